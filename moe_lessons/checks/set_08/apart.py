"""Whether cases that were drawn tell mistakes apart."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Ways = tuple[Callable[..., np.ndarray], ...]  # several ways to make one mistake: each takes a case


def told_apart(mistakes: Mapping[str, Ways], cases: list[tuple[Any, ...]]) -> bool:
    """Tell whether no two mistakes give the same in all cases. Two ways to make one mistake may."""
    made_by: dict[tuple, str] = {}
    for mistake, ways in mistakes.items():
        for way in ways:
            given = tuple(number for case in cases for number in way(*case))
            if made_by.setdefault(given, mistake) != mistake:
                return False
    return True
