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
    told = as_told(parts)
    if not told:
        return ""
    if len(told) == 1:
        return f"Right: {share(told[0])}."
    right = [part.name for part in told if part.right == part.of]
    wrong = [f"{part.name} ({details(part)})" if details(part) else part.name for part in told if part.right < part.of]
    not_yet = f"Not yet: {'; '.join(wrong)}."
    return f"Right: {'; '.join(right)}. {not_yet}" if right else not_yet


def as_told(parts: tuple[Part, ...]) -> list[Part]:
    """Return parts as they are told, as `written` says, or none."""
    told = _counted(parts)
    first = next((i for i, part in enumerate(told) if part.right < part.of), None)
    if first is None or (len(told) == 1 and told[0].of == 1):
        return []
    return [*told[:first], replace(told[first], seen=""), *told[first + 1 :]]


def is_close(parts: tuple[Part, ...]) -> bool:
    """Tell whether more than half of an answer is right that is not right, choices among few left aside."""
    earned = [part.right / part.of for part in parts if not part.chance]
    return sum(earned) > len(earned) / 2


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


def share(part: Part) -> str:
    """Say in how many cases, or of choices in how many entries, a part is right."""
    return f"{part.right} of {part.of} {'entries' if part.chance else 'cases'}"


def details(part: Part) -> str:
    """Say what is known of how far a part that is not right is off, or nothing."""
    some = f"{share(part)} right" if part.right else ""
    return "; ".join(filter(None, (some, part.seen)))
