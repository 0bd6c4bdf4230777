"""A plain page on which widgets of one kind live without a kernel, for tests of their looks."""

import json

import lab

from moe_lessons.widgets.page import state_of

STATIC = lab.ROOT / "docs/_static"
SHIM = (STATIC / "shim.js").read_text(encoding="utf-8").replace("export function", "function")
DARK = """:root { --jp-content-font-color1: rgb(255 255 255 / 87%); --jp-content-font-color2: rgb(255 255 255 / 70%);
  --jp-layout-color0: #111; } body { background: #111; margin: 0 }"""


def html(widgets, style=""):
    """Return the page with these widgets, below each other."""
    module = widgets[0]._esm.replace("export default", "const widget =").replace("export function", "function")
    states = json.dumps([state_of(widget) for widget in widgets])
    start = f"""window.models = {states}.map((state) => {{
        const sent = []; // what would go to the kernel
        return {{ ...modelOf(state, () => sent.push(state.value)), sent }};
      }});
      for (const model of window.models) {{
        const el = document.body.appendChild(document.createElement("div"));
        widget.render({{ model, el }});
      }}"""
    styles = f"{widgets[0]._css}{style}"
    return f"<!doctype html><style>{styles}</style><body><script type='module'>{SHIM}{module}{start}</script>"


def shot(name):
    """Return where a picture of this name is kept."""
    lab.SCREENSHOTS.mkdir(exist_ok=True)
    return lab.SCREENSHOTS / f"{name}.png"
