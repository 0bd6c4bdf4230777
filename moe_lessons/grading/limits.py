"""What a teacher allows submissions to use, in place of the usual: `--limits cell=120,memory=4G`."""

import re
from collections.abc import Callable
from typing import Any

from moe_lessons.grading.sandbox import Limits

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
WALL = Limits().all_wall_seconds / Limits().all_seconds  # the clock's limit of all, in its limits of CPU time


def _seconds(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,5}(?:\.\d{1,3})?", text) and float(text) > 0 else None


def _bytes(text: str) -> int | None:
    size = re.fullmatch(r"([1-9]\d{0,9})([KMG]?)", text.upper().removesuffix("B"))
    return int(size[1]) * UNITS[size[2]] if size else None


def _count(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[1-9]\d{0,4}", text) else None


# By the name on the command line: the field of `Limits`, how it is read, and what is expected.
KNOWN: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "cell": ("cell_seconds", _seconds, "seconds of CPU time, such as 120"),
    "all": ("all_seconds", _seconds, "seconds of CPU time, such as 1200"),
    "answer": ("patience", _seconds, "a factor for what questions allow at home, such as 4"),
    "memory": ("memory", _bytes, "a size, such as 4G"),
    "all-memory": ("all_memory", _bytes, "a size, such as 12G"),
    "processes": ("processes", _count, "a whole number from 1"),
    "file": ("file_bytes", _bytes, "a size, such as 128M"),
    "disk": ("disk_bytes", _bytes, "a size, such as 1G"),
}


def limits(text: str) -> Limits:
    """Return the limits with some set: "cell=120,memory=4G". Raises ValueError that says what is expected."""
    found: dict[str, Any] = {}
    for piece in filter(None, map(str.strip, text.split(","))):
        name, equals, value = map(str.strip, piece.partition("="))
        if name not in KNOWN or not equals:
            raise ValueError(f"{piece}: expected name=value with one of the names {', '.join(KNOWN)}")
        field, read, expected = KNOWN[name]
        found[field] = read(value)
        if found[field] is None:
            raise ValueError(f"{piece}: expected {expected}")
    if "all_seconds" in found:
        found["all_wall_seconds"] = WALL * found["all_seconds"]
    return Limits(**found)
