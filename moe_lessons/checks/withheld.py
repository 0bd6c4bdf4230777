"""What a cell shows is kept back until it is asked for: a prediction comes before its answer.

The notebook's file keeps it in a closed fold, which pages show and a notebook that is at work hides.
"""

import sys
from base64 import b64encode
from collections.abc import Callable
from html import escape
from typing import Any

from moe_lessons.checks.saying import one_output, say

_kept_back: list[Any] = []  # IPython's CapturedIO of the latest cell alone
STYLE = (
    "<style>.jp-NotebookPanel .moe-withheld { display: none }"
    " details.moe-withheld pre { font-family: monospace }</style>"
)


def withhold(request: str, html: Callable[[], str] | None = None) -> bool:
    """Print a request, and keep back what the running cell shows after it. Return False where there is no cell.

    html: makes what decorates the request.
    """
    ipython = sys.modules.get("IPython")  # not loaded here: the grader's worker does without
    shell = ipython.get_ipython() if ipython else None
    if shell is not None and _Cell.running is None:
        with one_output() as output:
            say(request)
            output.html = html
        _Cell.running = _Cell(shell)
    return shell is not None


def reveal() -> None:
    """Show what the last cell without a prediction kept back."""
    if not _kept_back:
        say("Nothing is kept back. Run the cell whose answer you want to see, then reveal().")
        return
    _kept_back.pop().show()


class _Cell:
    """A cell from which on nothing is shown, until it ends."""

    running: "_Cell | None" = None

    def __init__(self, shell: Any) -> None:
        from IPython.utils.capture import capture_output

        self.shell, self.capture = shell, capture_output(stderr=False)  # a warning is for now
        self.captured = self.capture.__enter__()
        shell.events.register("post_run_cell", self.ended)

    def ended(self, _result: Any) -> None:
        """Show again what is shown, and leave what was kept back in a closed fold."""
        self.shell.events.unregister("post_run_cell", self.ended)
        hook = sys.displayhook  # by now the shell's own again
        self.capture.__exit__(None, None, None)
        sys.displayhook, _Cell.running = hook, None
        _kept_back[:] = [self.captured]
        self.shell.display_pub.publish({"text/html": f"{STYLE}{fold(self.captured)}", "text/plain": ""})


def fold(captured: Any) -> str:
    """Return captured output (IPython's CapturedIO) as one closed fold of a page, in HTML."""
    shown = [f"<pre>{escape(captured.stdout)}</pre>"] + [_as_html(output.data) for output in captured.outputs]
    return f'<details class="moe-withheld"><summary>The answer</summary>{"".join(shown)}</details>'


def _as_html(data: dict) -> str:
    """Return the richest form of an output that a page can hold."""
    if "text/html" in data:
        return data["text/html"]
    for kind in ("image/png", "image/svg+xml"):
        if kind in data:
            raw = data[kind] if kind == "image/png" else b64encode(data[kind].encode()).decode()
            return f'<img alt="" src="data:{kind};base64,{raw.strip()}">'
    return f"<pre>{escape(data.get('text/plain', ''))}</pre>"
