"""Cells of a matrix that is drawn: each number on a ground that tells its sign and size."""

from moe_lessons.figures.palette import ACCENT, RULE, WARNING
from moe_lessons.figures.svg import element, text


def signed_cell(x: float, y: float, width: float, value: float, most: float, digits: int = 3) -> list[str]:
    """Draw one number, 30 high, on a ground that is the stronger, the nearer |value| comes to `most`."""
    zero = f"{0:.{digits}f}"
    written = f"{value:+.{digits}f}"
    written = zero if written[1:] == zero else written.replace("-", "−")
    ground = {"fill": WARNING if value > 0 else ACCENT, "fill_opacity": 0.6 * abs(value) / most, "stroke": RULE}
    return [
        element("rect", x=x, y=y, width=width, height=30, **ground),
        text(x + width / 2, y + 20, written, anchor="middle"),
    ]
