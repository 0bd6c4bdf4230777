"""A picture of lesson 08: do the learned prototypes point where the means of the domains do?"""

from typing import Any

import numpy as np

from moe_lessons.figures.heat import signed_cell
from moe_lessons.figures.svg import picture, text
from moe_lessons.support.validation import float_array, refuse

WIDTH = 480
MOST = 8  # domains whose numbers can still be read


def agreement_svg(cosines: Any, title: str = "True means and learned prototypes") -> str:
    """Draw the cosine of each true mean (row) with each learned prototype (column).

    cosines: (N, N), from −1 to 1, as `router_training.agreement` returns them. Returns an SVG string.
    Raises ValueError for another shape, and for numbers beyond 1.
    """
    table = _table(cosines)  # (N, N)
    N, step = len(table), 372 / len(table)
    columns = [text(100 + step * (j + 0.5) - 2, 56, f"w{j + 1}", anchor="middle") for j in range(N)]
    rows = [text(14, 88 + 34 * i, f"mean {i + 1}") for i in range(N)]
    cells = [part for (i, j), cosine in np.ndenumerate(table)
             for part in signed_cell(100 + step * j, 66 + 34 * i, step - 4, cosine, 1.0, digits=2)]  # fmt: skip
    return picture(
        WIDTH,
        34 * N + 102,
        title,
        "; ".join(f"mean {i + 1}: " + " ".join(f"{c:.2f}" for c in row) for i, row in enumerate(table)),
        text(14, 24, title, size=15, font_weight="bold"),
        *columns,
        *rows,
        *cells,
        text(14, 34 * N + 92, "Cosine. Shaded: the same direction. Dashed: away from it."),
        state=" ".join(f"{c:.2f}" for c in table.ravel()),
    )


def _table(cosines: Any) -> np.ndarray:
    """Return the cosines (N, N), if they are some."""
    table = float_array("cosines", cosines)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or not 2 <= len(table) <= MOST:
        raise refuse("cosines.shape", table.shape, f"(N, N), N from 2 to {MOST}")
    if np.abs(table).max() > 1 + 1e-9:
        raise refuse("cosines", cosines, "numbers from −1 to 1")
    return table
