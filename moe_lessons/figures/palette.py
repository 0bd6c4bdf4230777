"""The one place that knows colours: each is an expert and nothing else; kept is filled, cut hollow; all else is ink.

Methods, layers and runs are told apart by shades, dashes and marks. What has an expert's colour says so in
`data-expert`, and what is kept or cut says so in `data-kept`: a test reads both in every picture.
"""

from typing import Any

# Okabe and Ito's set, told apart with any colour vision; labels always repeat them.
EXPERTS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6BB1", "#999933")

# JupyterLab defines these variables for its light and its dark theme; elsewhere the fallback is the light one.
INK = "var(--jp-content-font-color1, #1f2328)"
FAINT_INK = "var(--jp-content-font-color2, #57606a)"
PAPER = "var(--jp-layout-color0, #ffffff)"
RULE = "var(--jp-border-color1, #c4c9cf)"

AMOUNT = {"fill": FAINT_INK, "fill_opacity": 0.55, "stroke": FAINT_INK}  # a bar of what belongs to no expert
DARKEST = 0.45  # of a shade of FAINT_INK on which words still stand out

# Series that are told apart, the first as what matters: (ink, dash), with marks that are filled and hollow in turn.
SERIES = ((INK, ""), (INK, "9 5"), (FAINT_INK, "2 4"), (FAINT_INK, "12 4 2 4"))


def expert_colour(index: int) -> str:
    """Return the colour of the expert with this index, counted from 0; colours repeat after eight."""
    return EXPERTS[index % len(EXPERTS)]


def filled(expert: int) -> dict[str, Any]:
    """Return what makes a mark that of an expert, by its ground."""
    return {"fill": expert_colour(expert), "data_expert": expert}


def lined(expert: int) -> dict[str, Any]:
    """Return what makes a mark that of an expert, by its line."""
    return {"stroke": expert_colour(expert), "data_expert": expert}


def chosen(kept: bool, expert: int | None = None) -> dict[str, Any]:
    """Return what makes a mark that of a kept expert, or a cut one; with None, of kept ones or cut ones as a whole."""
    colour = FAINT_INK if expert is None else expert_colour(expert)
    owner = {} if expert is None else {"data_expert": expert}
    return {"fill": colour if kept else PAPER, "stroke": colour, "data_kept": "yes" if kept else "no", **owner}
