"""Hostile and broken submissions: each kind is a small function that makes one, with the status and marks it must get.

A function returns the sources of the code cells, or the bytes of a file, or writes the file itself and returns nothing.
All are about questions 1.1 (a function, one point) and 1.4 (a value, two points). Whatever they do is bounded:
were there no sandbox, they would leave a few files in a temporary folder, and for two minutes 200 processes and 4 GB of
address space.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from moe_lessons.grading.records import Ended

SETUP = "import numpy as np\nfrom moe_lessons import routing\nfrom moe_lessons.checks import check"
LOGITS = "def my_logits(x, weight, bias):\n    return x @ weight.T + bias"
WRONG = "def my_logits(x, weight, bias):\n    return 2 * (x @ weight.T) + bias"
STUB = "def my_logits(x, weight, bias):\n    raise NotImplementedError"
PROTOTYPE = "my_prototype = [2.5, -1.5]"
CHECKS = 'check("1.1", my_logits)\ncheck("1.4", my_prototype)'
FULL = (1, 2)


@dataclass(frozen=True)
class Place:
    """Where a submission lies, and what it may try to reach: a folder, a file with the word `secret`, a port."""

    path: Path
    outside: Path
    neighbour: Path
    port: int


@dataclass(frozen=True)
class Kind:
    """One kind: how it is made, and what must come of it. words: to be found in the record."""

    name: str
    make: Callable[[Place], list[str] | bytes | None]
    ended: Ended
    points: tuple[int, ...]
    words: str


KINDS: dict[str, Kind] = {}


def kind(ended: Ended, points: tuple[int, ...], words: str = "") -> Callable:
    """Register a function as a kind that must end so, with these points for 1.1 and 1.4."""

    def register(make: Callable) -> Callable:
        name = make.__name__.replace("_", " ")
        assert name not in KINDS, name
        KINDS[name] = Kind(name, make, ended, points, words)
        return make

    return register


def notebook(cells: list[str], **changes: object) -> bytes:
    """Return a notebook of format 4 with these code cells."""
    listed = [{"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": [], "source": c} for c in cells]
    return json.dumps({"cells": listed, "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **changes}).encode()


def honest(*extra: str, before: str = "") -> list[str]:
    """Return right answers to both questions, with further cells between them."""
    return [SETUP, *filter(None, [before]), LOGITS, *extra, PROTOTYPE, CHECKS]


def answering(body: str, before: str = "") -> list[str]:
    """Return a notebook whose `my_logits` has this body, and whose other answer is right."""
    lines = "\n".join(f"    {line}" for line in body.strip("\n").split("\n"))
    return [SETUP, *filter(None, [before]), f"def my_logits(x, weight, bias):\n{lines}", PROTOTYPE, CHECKS]


def write(place: Place, made: list[str] | bytes | None) -> None:
    """Write what a kind returned."""
    if made is not None:
        place.path.write_bytes(made if isinstance(made, bytes) else notebook(made))
