"""The colours of every picture. Okabe and Ito's set, told apart with any colour vision; labels always repeat them."""

EXPERTS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6BB1", "#999933")

# JupyterLab defines these variables for its light and its dark theme; elsewhere the fallback is the light one.
INK = "var(--jp-content-font-color1, #1f2328)"
FAINT_INK = "var(--jp-content-font-color2, #57606a)"
PAPER = "var(--jp-layout-color0, #ffffff)"
RULE = "var(--jp-border-color1, #c4c9cf)"
ACCENT = "#0072B2"
WARNING = "#D55E00"


def expert_colour(index: int) -> str:
    """Return the colour of the expert with this index, counted from 0; colours repeat after eight."""
    return EXPERTS[index % len(EXPERTS)]
