"""What is right in an answer of several entries: part by part, and in how many of the cases. Marks rest on it."""

from dataclasses import dataclass, replace
from itertools import groupby

COIN = 1 / 2  # a choice between two: who hears that it is wrong has the right one


@dataclass(frozen=True)
class Part:
    """How much of one part of an answer is right: in `right` of `of` cases. An answer in one piece has no `name`.

    chance: the share of guesses that would be right, where the part is a choice among few. row: the entry that it
    stands in, if that has several. seen: in how many numbers of the first wrong case it is off, and where.
    """

    name: str
    right: int
    of: int = 1
    chance: float = 0.0
    row: str = ""
    seen: str = ""


def written(parts: tuple[Part, ...]) -> str:
    """Say of each part of an answer whether it is right: "Right: load; cv. Not yet: dead (1 of 3 cases right)."

    Nothing where all are right, or where there is one part and one case: the verdict has said it. By how much the first
    wrong part is off, the verdict says too.
    """
    told = _counted(parts)
    wrong = [part for part in told if part.right < part.of]
    if not wrong or (len(told) == 1 and told[0].of == 1):
        return ""
    if len(told) == 1:
        return f"Right: {_share(told[0])}."
    right = [part.name for part in told if part.right == part.of]
    not_yet = f"Not yet: {'; '.join(map(_with_details, [replace(wrong[0], seen=''), *wrong[1:]]))}."
    return f"Right: {'; '.join(right)}. {not_yet}" if right else not_yet


def _counted(parts: tuple[Part, ...]) -> list[Part]:
    """Return parts as they are told: as one, a row that is all right or all wrong; as a count, choices between two."""
    told: list[Part] = []
    for row, group in groupby(parts, lambda part: part.row):
        cells = list(group)
        states = {part.right == part.of for part in cells}
        told += [_together(row, cells)] if row and len(states) == 1 and len(cells) > 1 else _without_coins(row, cells)
    return told


def _without_coins(row: str, cells: list[Part]) -> list[Part]:
    """Return the entries of a row with one in the place of several choices between two."""
    told: list[Part] = []
    for coin, group in groupby(cells, lambda part: part.chance >= COIN):
        alike = list(group)
        told += [_together(row, alike)] if coin and len(alike) > 1 else alike
    return told


def _together(row: str, cells: list[Part]) -> Part:
    name = row or ", ".join(part.name for part in cells)
    return Part(name, sum(part.right for part in cells), sum(part.of for part in cells), COIN)


def _share(part: Part) -> str:
    return f"{part.right} of {part.of} {'entries' if part.chance else 'cases'}"


def _with_details(part: Part) -> str:
    """Write a part that is not right, with what is known of how far it is off."""
    some = f"{_share(part)} right" if part.right else ""
    details = "; ".join(filter(None, (some, part.seen)))
    return f"{part.name} ({details})" if details else part.name
