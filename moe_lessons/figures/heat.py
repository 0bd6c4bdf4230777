"""Cells of a matrix that is drawn: each number on a ground that tells its size; what is below 0 is dashed."""

from moe_lessons.figures.palette import DARKEST, FAINT_INK, INK, RULE
from moe_lessons.figures.svg import element, text


def signed_cell(x: float, y: float, width: float, value: float, most: float, digits: int = 3) -> list[str]:
    """Draw one number, 30 high, on a shade that is the stronger, the nearer |value| comes to `most`."""
    zero = f"{0:.{digits}f}"
    written = f"{value:+.{digits}f}"
    written = zero if written[1:] == zero else written.replace("-", "−")
    rim = {"stroke": INK, "stroke_dasharray": "4 3"} if written[0] == "−" else {"stroke": RULE}
    ground = {"fill": FAINT_INK, "fill_opacity": DARKEST * abs(value) / most}
    return [
        element("rect", x=x, y=y, width=width, height=30, **ground, **rim),
        text(x + width / 2, y + 20, written, anchor="middle"),
    ]
