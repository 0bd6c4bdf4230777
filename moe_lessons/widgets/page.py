"""A widget on a page without a kernel: a block with the module's name, the state, and what is shown without JavaScript.

`docs/_static/live.js` finds the blocks, and starts in each the module that `modules()` gives for its name.
"""

import json
from collections.abc import Mapping
from typing import Any

import ipywidgets as widgets

VARIABLE = "MOE_LESSONS_PAGE"  # set where notebooks run to become pages


def block(name: str, state: Mapping[str, Any], fallback: str) -> str:
    """Return the block of a widget. fallback: HTML that stands there until the widget does."""
    text = json.dumps(state, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")  # ends no script
    script = f'<script type="application/json">{text}</script>'
    return f'<div class="live" data-widget="{name}">{script}{fallback}</div>'


def state_of(widget: widgets.DOMWidget) -> dict[str, Any]:
    """Return what the browser gets of a widget's own traits."""
    of_any = widgets.DOMWidget.class_traits(sync=True)
    return widget.get_state([key for key in widget.keys if not key.startswith("_") and key not in of_any])


def modules() -> dict[str, str]:
    """Return the files that a page needs beside live.js, by name: a module and a style for each kind of block."""
    from moe_lessons.widgets.compass import PrototypeCompass
    from moe_lessons.widgets.javascript import source
    from moe_lessons.widgets.quiz import LessonQuiz
    from moe_lessons.widgets.text_viewer import TextViewer
    from moe_lessons.widgets.visualizer import GatingVisualizer

    files = {"frames.js": source("dom.js", "roving.js", "frames.js"), "frames.css": source("dom.css", "frames.css")}
    for widget in (GatingVisualizer, PrototypeCompass, TextViewer, LessonQuiz):
        files |= {f"{widget.name_on_page}.js": widget._esm, f"{widget.name_on_page}.css": widget._css}
    return files
