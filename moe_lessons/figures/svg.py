"""Building blocks for SVG strings: escaped elements, text, and the frame that every picture shares."""

from numbers import Real
from xml.sax.saxutils import escape, quoteattr

from moe_lessons.figures.palette import INK, PAPER

FONT = "var(--jp-content-font-family, system-ui, -apple-system, 'Segoe UI', sans-serif)"


def element(tag: str, *children: str, **attributes: object) -> str:
    """Return one SVG element; `stroke_width=2` becomes `stroke-width="2"`. Children are SVG already."""
    written = "".join(
        f" {name.rstrip('_').replace('_', '-')}={quoteattr(_number(value))}" for name, value in attributes.items()
    )
    return f"<{tag}{written}>{''.join(children)}</{tag}>"


def text(x: float, y: float, content: str, *, size: int = 14, anchor: str = "start", **attributes: object) -> str:
    """Return a line of text whose baseline starts (or is centred, or ends) at (x, y). `content` is escaped."""
    attributes = {"fill": INK, **attributes}
    return element("text", escape(content), x=x, y=y, font_size=size, text_anchor=anchor, **attributes)


def picture(width: int, height: int, title: str, description: str, *body: str, state: str = "") -> str:
    """Return a whole picture that scales down with the page, with a text alternative for screen readers.

    `state` is repeated in `data-state`, where a test can read which settings the picture shows.
    """
    background = element("rect", width=width, height=height, rx=8, fill=PAPER)
    return element(
        "svg",
        element("title", escape(title)),
        element("desc", escape(description)),
        background,
        *body,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width} {height}",
        role="img",
        data_state=state,
        font_family=FONT,
        style=f"width: 100%; max-width: {width}px; height: auto; display: block",
    )


def _number(value: object) -> str:
    """Write numbers with at most three decimals: pictures stay small, and the same on every machine."""
    if not isinstance(value, Real):
        return str(value)
    return f"{round(float(value), 3) + 0.0:.3f}".rstrip("0").rstrip(".")  # + 0.0 turns −0 into 0
