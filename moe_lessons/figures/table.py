"""Tables as HTML: what a picture shows, in numbers, for pages without a kernel and for screen readers."""

from html import escape

from moe_lessons.figures.palette import FAINT_INK, INK, RULE
from moe_lessons.routing import Trace
from moe_lessons.support.validation import refuse

_NUMBER = "text-align: right; font-variant-numeric: tabular-nums; padding: 2px 12px"
_WORD = "text-align: left; padding: 2px 12px"
_COLUMNS = {"Expert": _WORD, "Logit": _NUMBER, "Probability": _NUMBER, "Weight": _NUMBER, "Selected": _WORD}


def trace_table(trace: Trace, caption: str = "") -> str:
    """Return the trace of one token as an HTML table, one row per expert.

    trace: of one token, so its logits are (N,). caption: a sentence, by default the settings of the trace.
    Raises ValueError for a trace of several tokens.
    """
    if trace.logits.ndim != 1:
        raise refuse("trace.logits.shape", trace.logits.shape, "(N,): the trace of a single token")
    rows = "".join(_row(trace, i) for i in range(len(trace.logits)))
    style = f"border-collapse: collapse; color: {INK}; border-bottom: 1px solid {RULE}"
    return f'<table style="{style}">{_caption(trace, caption)}{_header()}<tbody>{rows}</tbody></table>'


def _caption(trace: Trace, caption: str) -> str:
    """Name the table."""
    setting = f"k = {len(trace.selected)}, form = {trace.form}, τ = {trace.temperature:g}"
    style = f"text-align: left; color: {FAINT_INK}; padding: 4px 12px"
    return f'<caption style="{style}">{escape(caption or setting)}</caption>'


def _header() -> str:
    """Name the columns."""
    cells = "".join(f'<th scope="col" style="{style}">{name}</th>' for name, style in _COLUMNS.items())
    return f'<thead style="border-bottom: 1px solid {RULE}"><tr>{cells}</tr></thead>'


def _row(trace: Trace, i: int) -> str:
    """Write the row of the expert with index i."""
    rank = {int(index): place for place, index in enumerate(trace.selected, start=1)}
    numbers = (trace.logits[i], trace.probs[i], trace.weights[i])
    cells = "".join(f'<td style="{_NUMBER}">{number:.3f}</td>' for number in numbers)
    mark = f"✓ rank {rank[i]}" if i in rank else "no"
    return f'<tr><th scope="row" style="{_WORD}">E{i + 1}</th>{cells}<td style="{_WORD}">{mark}</td></tr>'
