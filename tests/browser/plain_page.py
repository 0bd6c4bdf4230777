"""A plain page on which widgets of one kind live without a kernel, for tests of their looks."""

import json

import lab

# Stands in for the model that anywidget gives, with what was sent to the kernel.
SHIM = """
function modelOf(state) {
  const heard = {}, sent = [];
  return {
    sent,
    get: (key) => state[key],
    set: (key, value) => {
      if (state[key] === value) return;
      state[key] = value;
      for (const call of heard[`change:${key}`] ?? []) call();
    },
    on: (event, call) => (heard[event] ??= []).push(call),
    off: () => {},
    save_changes: () => sent.push(state.value),
  };
}
"""
DARK = """:root { --jp-content-font-color1: rgb(255 255 255 / 87%); --jp-content-font-color2: rgb(255 255 255 / 70%);
  --jp-layout-color0: #111; } body { background: #111; margin: 0 }"""


def html(widgets, style=""):
    """Return the page with these widgets, below each other."""
    module = widgets[0]._esm.replace("export default", "const widget =").replace("export function", "function")
    states = json.dumps([state_of(widget) for widget in widgets])
    start = f"""window.models = {states}.map(modelOf);
      for (const model of window.models) {{
        const el = document.body.appendChild(document.createElement("div"));
        widget.render({{ model, el }});
      }}"""
    styles = f"{widgets[0]._css}{style}"
    return f"<!doctype html><style>{styles}</style><body><script type='module'>{SHIM}{module}{start}</script>"


def state_of(widget):
    """Return what the browser gets of a widget's own traits."""
    return {key: value for key, value in widget.get_state().items() if not key.startswith("_")}


def shot(name):
    """Return where a picture of this name is kept."""
    lab.SCREENSHOTS.mkdir(exist_ok=True)
    return lab.SCREENSHOTS / f"{name}.png"
