"""What the parts earn that are right in an answer which is not right as a whole."""

from moe_lessons.checks.parts import Part


def earned(parts: tuple[Part, ...], by: str) -> float:
    """Return the share of a question's points that parts earn: `by` "parts" those right in all cases, by "cases" each.

    Guessing earns nothing on average: of choices, what counts is by how much they beat chance. By "none" nothing does.
    """
    if by == "none" or not parts or all(part.right == part.of for part in parts):
        return 0.0  # all right, and yet not correct: then what is wrong lies elsewhere
    got = [part.right / part.of if by == "cases" else float(part.right == part.of) for part in parts]
    room = sum(1 - part.chance for part in parts)
    beaten = sum(share - part.chance for share, part in zip(got, parts, strict=True))
    return max(0.0, beaten / room) if room else 0.0
