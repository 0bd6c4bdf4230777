"""A picture as an image that holds it whole: what a notebook's sanitiser, another day and an exported page leave alone.

An SVG inside HTML is stripped from a notebook that is not trusted, and its words stay behind as one line of numbers.
"""

import re
import xml.etree.ElementTree as ET
from base64 import b64encode
from html import escape

_SVG = "{http://www.w3.org/2000/svg}"
ET.register_namespace("", _SVG.strip("{}"))
_VARIABLE = re.compile(r"var\(--[\w-]+, ([^()]*)\)")


class Picture:
    """An SVG string that Jupyter shows as an image; printed, it says what is to be seen.

    numbers: a table of what is drawn, as text, folded below it.
    """

    def __init__(self, svg: str, numbers: str = "") -> None:
        self.svg, self.numbers = svg, numbers

    def _repr_html_(self) -> str:
        table = f"<details><summary>The numbers</summary><pre>{escape(self.numbers)}</pre></details>"
        return image(self.svg) + (table if self.numbers else "")

    def __repr__(self) -> str:
        return f"{alternative(self.svg)}\n{self.numbers}".strip()


def image(svg: str) -> str:
    """Return an HTML image with the picture in its address, and title and description as its text alternative.

    HTML that is no SVG comes back as it is. An image cannot know the page's theme: it has the light one's colours, and
    paper of its own.
    """
    if (root := _parsed(svg)) is None:
        return svg
    width, height = root.get("viewBox", "0 0 640 480").split()[2:]
    size = f'width="{width}" height="{height}"'  # known before the image is read: the page does not jump
    source, said = _address(root, width, height), escape(alternative(svg))
    return f'<img src="{source}" alt="{said}" {size} style="max-width: 100%; height: auto">'


def address(svg: str) -> str:
    """Return the picture as the address of an image, which holds it whole; "" for what is no SVG."""
    root = _parsed(svg)
    return "" if root is None else _address(root, *root.get("viewBox", "0 0 640 480").split()[2:])


def _address(root: ET.Element, width: str, height: str) -> str:
    return f"data:image/svg+xml;base64,{b64encode(_alone(root, width, height).encode()).decode()}"


def _alone(root: ET.Element, width: str, height: str) -> str:
    """Return the picture as a file of its own: with a size, without what belongs to a page around it."""
    for name in ("style", "data-state", "role"):
        root.attrib.pop(name, None)
    root.attrib.update(width=width, height=height)
    for part in ("title", "desc"):
        for said in root.findall(_SVG + part):
            root.remove(said)
    return _VARIABLE.sub(r"\1", ET.tostring(root, encoding="unicode"))


def alternative(svg: str) -> str:
    """Return what the picture says to those who do not see it: its title and its description."""
    root = _parsed(svg)
    said = [] if root is None else [root.findtext(_SVG + part, "").strip() for part in ("title", "desc")]
    return " ".join(part if part[-1] in ".?!" else f"{part}." for part in said if part)


def _parsed(svg: str) -> ET.Element | None:
    """Return the SVG's root, or None for what is none."""
    try:
        root = ET.fromstring(svg)
    except ET.ParseError:
        return None
    return root if root.tag == _SVG + "svg" else None
