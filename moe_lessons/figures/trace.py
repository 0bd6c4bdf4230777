"""The step-by-step picture of `route`: one token, one row per expert, one column per step."""

from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.data import worked_example
from moe_lessons.figures.palette import FAINT_INK, INK, RULE, filled
from moe_lessons.figures.svg import element, picture, text
from moe_lessons.support.validation import one_of, whole_number

WIDTH, HEADER, ROW, FOOTER = 580, 66, 38, 84
# (left edge, width, title, formula) of each step's column.
COLUMNS = (
    (44, 132, "1 logit", "h = x·column"),
    (180, 84, "2 exp", ""),
    (268, 120, "3 probability", "e / sum"),
    (392, 62, "4 top-k", "keep k"),
    (458, 120, "5 weight", ""),
)
WEIGHT_FORMULA = {
    "topk_softmax": "softmax of kept",
    "softmax_topk": "p as it is",
    "softmax_topk_renorm": "p / kept sum",
}


def trace_svg(
    x: Any, W_g: Any, k: int = 2, form: str = "topk_softmax", temperature: float = 1.0, step: int = 5,
    noise: Any = None,
) -> str:  # fmt: skip
    """Draw the first `step` steps of routing the token x (d,) with W_g (d, N). Returns an SVG string.

    noise: (N,), added to the logits. Raises ValueError for what `routing.route` refuses, for more than one token, and
    for a step outside 1..5.
    """
    one_of("form", form, routing.GATE_FORMS)
    trace = routing.route(x, W_g, k, form, temperature, noise=noise)
    whole_number("step", step, least=1, most=len(COLUMNS))
    whole_number("number of axes of x", trace.logits.ndim, least=1, most=1)
    rows = [_row(_cells(trace), i, step) for i in range(len(trace.logits))]
    sentences = _sentences(np.asarray(x, float), np.asarray(W_g, float), trace, noise)
    height = HEADER + ROW * len(rows) + FOOTER
    return picture(
        WIDTH,
        height,
        f"Routing one token, up to step {step}",
        " ".join(sentences[:step]),
        _header(step, form, temperature),
        *rows,
        _footer(sentences[step - 1], height),
        state=f"step={step}|k={k}|form={form}|tau={temperature:g}|x={np.round(x, 6).tolist()}",
    )


def worked_example_svg() -> str:
    """Draw every step of lesson 01's example."""
    return trace_svg(*worked_example())


def _cells(trace: routing.Trace) -> list[list[str]]:
    """Return the drawn content of each column, expert by expert."""
    chosen = set(trace.selected.tolist())
    exponentials = _exponentials(trace)  # (N,)
    # A whole power of two: the bars keep their scale while a slider moves the logits a little.
    scale = 2.0 ** max(0, np.ceil(np.log2(np.abs(trace.logits).max() or 1)))
    return [
        [_bar(0, h, scale, i, signed=True) for i, h in enumerate(trace.logits)],
        [_number(1, f"{e:.3f}" if e < 1000 else f"{e:.1e}") for e in exponentials],
        [_bar(2, p, 1.0, i) for i, p in enumerate(trace.probs)],
        [_number(3, "✓ kept" if i in chosen else "–") for i in range(len(trace.logits))],
        [_bar(4, w, 1.0, i) for i, w in enumerate(trace.weights)],
    ]


def _exponentials(trace: routing.Trace) -> np.ndarray:
    """Return e^(h/τ) as it stands in the formula; a very small τ makes it infinite, and the picture says so."""
    with np.errstate(over="ignore"):
        return np.exp(trace.logits / trace.temperature)  # (N,)


def _row(cells: list[list[str]], i: int, step: int) -> str:
    """Draw the line of expert i: its label, then the steps that are shown; the others are still open."""
    label = text(8, 5, f"E{i + 1}", size=16, font_weight="bold")
    drawn = [column[i] if number < step else _number(number, "?", FAINT_INK) for number, column in enumerate(cells)]
    return element("g", label, *drawn, transform=f"translate(0 {HEADER + ROW * i + ROW // 2})")


def _bar(column: int, value: float, scale: float, expert: int, signed: bool = False) -> str:
    """Draw a bar with its number; a signed bar starts at a zero line."""
    left, width, *_ = COLUMNS[column]
    room = width - 58
    zero = left + room / 2 if signed else left
    length = float(value) / scale * (room / 2 if signed else room)
    bar = element("rect", x=min(zero, zero + length), y=-9, width=abs(length), height=18, **filled(expert))
    line = element("line", x1=zero, x2=zero, y1=-13, y2=13, stroke=FAINT_INK)
    written = f"{round(float(value), 3) + 0.0:.3f}".replace("-", "−")  # + 0.0 turns −0 into 0
    return bar + line + text(left + width - 8, 5, written, size=15, anchor="end")


def _number(column: int, content: str, colour: str | None = None) -> str:
    left, width, *_ = COLUMNS[column]
    attributes = {"fill": colour} if colour else {}
    return text(left + width / 2, 5, content, size=15, anchor="middle", **attributes)


def _header(step: int, form: str, temperature: float) -> str:
    """Draw the columns' titles; the step that the footer explains is underlined."""
    formulas = {2: "e^h" if temperature == 1 else "e^(h/τ)", 5: WEIGHT_FORMULA[form]}
    parts = [element("line", x1=8, x2=WIDTH - 8, y1=HEADER - 8, y2=HEADER - 8, stroke=RULE)]
    for number, (left, width, title, formula) in enumerate(COLUMNS, start=1):
        middle = left + width / 2
        parts.append(text(middle, 24, title, size=15, anchor="middle", font_weight="bold"))
        parts.append(text(middle, 44, formulas.get(number, formula), size=14, anchor="middle", fill=FAINT_INK))
        if number == step:
            parts.append(element("rect", x=left, y=HEADER - 10, width=width - 4, height=4, fill=INK))
    return "".join(parts)


def _footer(sentence: str, height: int) -> str:
    """Write the sentence of the present step below the rows, broken into lines."""
    lines = [text(8, height - FOOTER + 28 + 20 * i, line, size=15) for i, line in enumerate(_wrap(sentence, 68))]
    return "".join(lines)


def _wrap(sentence: str, width: int) -> list[str]:
    """Break a sentence between words into lines of at most `width` characters."""
    lines = [""]
    for word in sentence.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        lines[-1:] = [longer] if len(longer) <= width else [lines[-1], word]
    return lines


def _sentences(x: np.ndarray, W_g: np.ndarray, trace: routing.Trace, noise: Any = None) -> list[str]:
    """Return what each step does, with the numbers of the best expert."""
    best, tau = int(trace.selected[0]), trace.temperature
    name, total = f"E{best + 1}", _exponentials(trace).sum()
    products = " + ".join(f"{_factor(a)}·{_factor(b)}" for a, b in zip(x, W_g[:, best], strict=True))
    products += f" + noise {_factor(noise[best])}" if noise is not None and noise[best] else ""
    names, resting = ", ".join(f"E{i + 1}" for i in trace.selected), len(trace.logits) - len(trace.selected)
    divide = "Take" if tau == 1 else f"Divide by τ = {tau:g} and take"
    sentences = [
        f"Multiply and add: the logit of {name} is {products} = {trace.logits[best]:.3f}.",
        f"{divide} the exponential: every number is positive now. Sum {total:.5g}.",
        f"Divide by that sum: {name} gets {trace.probs[best]:.3f}. The probabilities sum to 1.",
        f"Keep the k = {len(trace.selected)} largest: {names}. Experts that do no work: {resting}.",
        _last_sentence(trace),
    ]
    return [sentence.replace("-", "−") for sentence in sentences]


def _last_sentence(trace: routing.Trace) -> str:
    """Return where the weights come from, with those of the best expert."""
    best, kept = int(trace.selected[0]), trace.probs[trace.selected].sum()
    name, p, w = f"E{best + 1}", trace.probs[best], trace.weights[best]
    return {
        "topk_softmax": f"A softmax over the kept logits alone: {name} gets {w:.3f}, and the weights sum to 1.",
        "softmax_topk": f"The kept probabilities as they are: {name} keeps {w:.3f}; the weights sum to {kept:.3f}.",
        "softmax_topk_renorm": f"The kept probabilities sum to {kept:.3f}; {name} gets {p:.3f} / {kept:.3f} = {w:.3f}.",
    }[str(trace.form)]


def _factor(number: float) -> str:
    return f"({number:.3g})" if number < 0 else f"{number:.3g}"
