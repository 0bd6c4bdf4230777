"""Question 4r.5: two logits that one format takes for one."""

from typing import Any

import numpy as np

from moe_lessons.checks.forms import row
from moe_lessons.checks.question import VariableQuestion, about
from moe_lessons.checks.verdicts import always, by_test
from moe_lessons.precision import to_bfloat16, to_float16

LEAST_GAP, DUST = 0.6, 1e-4  # 137.2 − 136.6 is 0.59999 in float32


def stored(pair: np.ndarray) -> dict[str, Any]:
    """Return the lead of E2 over E1 in logits (2,), exact and as two formats store them, and what is stored."""
    short, half = to_bfloat16(pair), to_float16(pair)  # (2,) each
    beyond = int(np.isinf(half).sum())
    return {
        "highest": float(pair.max()),
        "gap": float(pair[1] - pair[0]),
        "step": float(2.0 ** (np.frexp(np.abs(pair).max())[1] - 8)),
        "in_bfloat16": short,
        "in_float16": half,
        "beyond": "both become" if beyond == 2 else "one of them becomes",
        "fits": not beyond,
        "bfloat16_errs": bool(short[1] <= short[0]),
        "float16_errs": beyond > 0 or bool(half[1] <= half[0]),
    }


BITS = VariableQuestion(
    **about("4r.5", "Two logits, taken for one", "build a counterexample", "medium", points=1, minutes=3),
    hints=(
        "How far apart must the numbers of bfloat16 lie, at least, so that two logits with a gap of 0.6 can fall on the same one? From which size on do they?",
        "From 128 to 256 bfloat16 has whole numbers only. Find two logits there, 0.6 apart, that round to the same one. `to_bfloat16` shows what is stored.",
    ),
    idea="The steps of a format grow with the size of the number, so a gap survives at a low level and is lost at a high one; float16 has finer steps at the same level.",
    takeaway="A router in bfloat16 is only as sharp as its logits are small: one reason to compute it in float32, and to keep logits near 0.",
    answer="my_two_logits",
    form=row("a list of two finite numbers, the logits of E1 and E2", least=2, most=2),
    measured=stored,
    right=lambda found: found.gap >= LEAST_GAP - DUST and found.bfloat16_errs and not found.float16_errs,
    mistakes=by_test(
        "equal: Both logits are the same, so choosing E1 is right. Give them as they are before they are stored: E2's is to be the larger one.",
        lambda found: found.gap == 0,
        "size for value: E1's logit is the larger one, so choosing E1 is right: below 0, the number farther from 0 is the smaller.",
        lambda found: found.gap < 0 and found.highest < 0,
        "E1 is better: E1's logit is above E2's, so choosing E1 is right. Make E2 the better one.",
        lambda found: found.gap < 0,
        f"gap too small: Their gap is {{gap:.3g|{LEAST_GAP}}}. At 0.6 or more it must take larger steps to lose it.",
        lambda found: found.gap < LEAST_GAP - DUST,
        "formats exchanged: It is the wrong way round: bfloat16 tells your two apart, and float16 does not. From 65,520 on float16 stores ∞; below that, whose steps are finer?",
        lambda found: found.in_float16[1] <= found.in_float16[0] and not found.bfloat16_errs,
        "too large for float16: float16 ends at 65,504: {beyond} infinite there.",
        lambda found: not found.fits,
        "float16 errs too: float16 takes the two for one as well: its steps are too large at this level. A lower level will do.",
        lambda found: found.float16_errs,
        "level too low: bfloat16 still tells them apart, because its steps are smaller than your gap at this level. Raise both logits.",
        lambda found: np.abs(found.in_bfloat16).max() < 128,
        "gap too wide: At this level bfloat16 has a number every {step:g}, and your two are {gap:.4g} apart: they cannot fall on the same one. Bring them nearer, 0.6 will do, or raise both.",
        lambda found: found.gap > found.step,
        "two whole numbers: The level is high enough, but the two fall on different numbers of bfloat16: each is rounded to the *nearest* that there is. Move both a little.",
        always,
    ),
    report="Stored in bfloat16: {in_bfloat16}. In float16: {in_float16}.",
)
