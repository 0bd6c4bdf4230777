"""The progress bar of every long cell."""

import sys
from typing import Any

import tqdm as bars


def tqdm(*args: Any, **settings: Any) -> bars.tqdm:
    """Return tqdm's bar as text on standard output: it is still there when the notebook is opened another day.

    The bar of tqdm.auto is a widget, of which only "model not found" is left then. On standard error, where tqdm.std
    writes, a notebook shows it in red.
    """
    return bars.tqdm(*args, **{"file": sys.stdout, **settings})
