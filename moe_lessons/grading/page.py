"""The frame of every page that the grader writes: one file, nothing loaded, no script, light and dark."""

from collections.abc import Iterable
from html import escape

from moe_lessons.support.markup import tag

# The variables are those that the course's pictures ask for (figures/palette.py): they follow the page.
STYLE = """
:root { color-scheme: light dark; --jp-content-font-color1: #1f2328; --jp-content-font-color2: #57606a;
  --jp-layout-color0: #ffffff; --jp-border-color1: #c4c9cf; --box: #f6f8fa; --good: #116329; --bad: #a40e26;
  --jp-content-font-family: system-ui, -apple-system, 'Segoe UI', sans-serif; }
@media (prefers-color-scheme: dark) { :root { --jp-content-font-color1: #e6edf3; --jp-content-font-color2: #9da7b3;
  --jp-layout-color0: #0d1117; --jp-border-color1: #3d444d; --box: #161b22; --good: #56d364; --bad: #ff7b72; } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 16px; max-width: 860px; color: var(--jp-content-font-color1);
  background: var(--jp-layout-color0); font: 16px/1.5 var(--jp-content-font-family); overflow-wrap: anywhere; }
h1 { font-size: 1.6em; line-height: 1.25; margin: 0.4em 0 } h2 { font-size: 1.2em; margin: 1.6em 0 0.4em }
.faint { color: var(--jp-content-font-color2) } .good { color: var(--good) } .bad { color: var(--bad) }
section { border: 1px solid var(--jp-border-color1); border-radius: 8px; padding: 4px 16px 12px; margin: 12px 0 }
section h2 { margin: 0.5em 0 0.2em; font-size: 1.05em } section p { margin: 4px 0 }
pre { white-space: pre-wrap; background: var(--box); border-radius: 6px; padding: 8px 12px; margin: 8px 0;
  font: 0.875em/1.45 ui-monospace, Consolas, monospace; }
code { font: 0.9em ui-monospace, Consolas, monospace; background: var(--box); border-radius: 4px; padding: 0 3px }
summary { cursor: pointer } details p { margin: 4px 0 4px 16px }
.wide { overflow-x: auto } .wide svg { min-width: 620px } table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: 4px 20px 4px 0; min-width: 8em;
  border-bottom: 1px solid var(--jp-border-color1); }
th { overflow-wrap: normal } td:first-child { min-width: 11em }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; min-width: 0 }
"""

# Should an escape ever be missing, a browser still runs and loads nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def document(title: str, *body: str) -> bytes:
    """Return a whole page as UTF-8. `title` is text, the body is HTML."""
    text = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )
    return text.encode("utf-8", "backslashreplace")


def table(head: list[str], rows: Iterable[list[str | int]]) -> str:
    """Return a table that scrolls by itself where the window is narrow; numbers stand to the right."""
    rows = list(rows)
    numeric = [bool(rows) and all(isinstance(row[i], int) for row in rows) for i in range(len(head))]
    kinds = [{"class_": "number"} if number else {} for number in numeric]
    top = "".join(tag("th", name, scope="col", **kind) for name, kind in zip(head, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(tag("td", str(cell), **kind) for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<div class="wide" tabindex="0"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
