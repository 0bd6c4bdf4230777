"""HTML as strings: elements, and sentences of the course. All text is escaped."""

import re
from html import escape


def element(name: str, *children: str, **attributes: str) -> str:
    """Return an element around children that are HTML already; `class_` is written as class, `data_x` as data-x."""
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items())
    return f"<{name}{written}>{''.join(children)}</{name}>"


def tag(name: str, content: str, **attributes: str) -> str:
    """Return an element around text."""
    return element(name, escape(content), **attributes)


def prose(text: str) -> str:
    """Return a sentence of the course as HTML: `code` between backticks becomes code, all else is text."""
    pieces = re.split(r"`([^`]+)`", text)
    return "".join(tag("code", piece) if i % 2 else escape(piece) for i, piece in enumerate(pieces))
