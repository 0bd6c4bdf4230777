"""Question 7r.1: what one line of a server's log tells."""

import numpy as np

from moe_lessons.accounting import experts_touched
from moe_lessons.checks.question import ValuesQuestion, about
from moe_lessons.checks.verdicts import Mistake, by_value

N, K, BATCH = 64, 4, 16
STEP_LOG = {"experts": N, "texts": BATCH, "touched": round(N * experts_touched(N, K, BATCH), 1)}
SHARE = STEP_LOG["touched"] / N
MISSED = 1 - SHARE  # the share of experts that no text chose
TWICE = N * experts_touched(N, K, 2 * BATCH)


def refuted(k: int) -> tuple[Mistake, ...]:
    """Return the mistake of a whole k that does not fit the log, with what it would leave untouched.

    Several slips come to one whole number, so none of them is named.
    """
    missed = f"With k = {k} one text misses {N - k} of {N} experts, and {BATCH} texts miss {N * (1 - k / N) ** BATCH:.1f}. In the log it is {N * MISSED:.1f}."
    asks = f"Is it the *untouched* share of which you took a root, and the {BATCH}th? Dividing by the number of texts will not do: texts meet on an expert."
    return by_value(f"k = {k}: {missed} {asks}", lambda: k)


TOUCHED = ValuesQuestion(
    **about("7r.1", "One line of a log", "read a log", "medium", points=1, minutes=3),
    hints=(
        "Look at the experts that nobody touched. What share are they after 16 texts, and what becomes of that share when 16 more come?",
        "One text leaves an expert out with probability 1 − k/64, 16 texts with that to the power 16, which is the untouched share. For 32 texts square the untouched share; for k take its 16th root.",
    ),
    idea="What multiplies from text to text is the untouched share: (1 − k/N) to the power of the batch.",
    takeaway="What a batch reads is told by the experts it misses: shares that are missed multiply from token to token, shares that are touched do not.",
    answer="my_server",
    expected=lambda: {"k": K, "touched by 32": TWICE},
    tolerance={"k": 0.05, "touched by 32": 0.1},
    advice={
        "k": "The untouched share after 16 texts is (1 − k/N) to the power 16. Solve for k.",
        "touched by 32": "Ask what share of the experts stays untouched by 16 texts, and by 16 more.",
    },
    parts={
        "k": by_value(
            "shared out: You divided what was touched by the number of texts. Several texts touch the same expert, and it counts once.",
            lambda: STEP_LOG["touched"] / BATCH,
            "with replacement: You let one text choose an expert twice. Its k experts are different ones: it misses one with probability 1 − k/N.",
            lambda: np.log(MISSED) / np.log(1 - 1 / N) / BATCH,
            "all touched: You took k/N to the power 16: the chance that *every* text chooses an expert. One text is enough to touch it.",
            lambda: N * SHARE ** (1 / BATCH),
            "touched: This is what 16 texts touch together. One text alone touches k.",
            lambda: STEP_LOG["touched"],
            "share: This is k/N. Asked is k, a number of experts.",
            lambda: K / N,
            "root of the touched: You took the root of the share that is touched. What multiplies from text to text is the share that is missed.",
            lambda: N * (1 - SHARE ** (1 / BATCH)),
            "another root: The untouched share is right, the root is not: 16 texts make it, so take the 16th.",
            tuple(lambda root=root: N * (1 - MISSED ** (1 / root)) for root in (BATCH / 2, BATCH - 1, BATCH + 1)),
            "untouched shared out: You divided what is untouched by the number of texts. It shrinks by the same factor with each text.",
            lambda: N * MISSED / BATCH,
            "share touched: This is the share that 16 texts touch. Asked is k, a number of experts that one text chooses.",
            lambda: SHARE,
            "what one text misses: This is what one text leaves out. k is what it chooses.",
            (lambda: N - K, lambda: 1 - K / N),
        )
        + sum((refuted(k) for k in range(1, N + 1) if k != K), ()),
        "touched by 32": by_value(
            "doubled: Twice as many would be more than there are. The second 16 texts mostly touch what is touched already.",
            lambda: 2 * STEP_LOG["touched"],
            "all: Not quite: some experts are missed by all 32. Twice the texts do not touch twice as many, for the second 16 mostly meet experts that are touched already.",
            lambda: N,
            "half of the rest: You let the second 16 texts touch half of what is left. Look what share of all the first 16 touched: of what is left the second touch that share.",
            lambda: (STEP_LOG["touched"] + N) / 2,
            "the same: The second 16 texts choose for themselves, and touch some of the experts that the first left out.",
            lambda: STEP_LOG["touched"],
            "touched share squared: You squared the touched share, which makes it smaller. What multiplies is the share that is missed.",
            lambda: N * SHARE**2,
            "untouched: These are the experts that 32 texts leave out. Asked is how many they touch.",
            (lambda: N - TWICE, lambda: N * MISSED**2, lambda: MISSED**2),
            "share: This is the share of the experts. Asked is how many of the 64.",
            (lambda: TWICE / N, lambda: 100 * TWICE / N),
            "small shares: Near. e^(−B·k/N) gives this, and so does letting a text choose an expert twice: it would be so for a small k/N. Here one text misses an expert with probability 1 − k/N exactly.",
            (lambda: N * (1 - np.exp(-2 * BATCH * K / N)), lambda: N * (1 - (1 - 1 / N) ** (2 * BATCH * K))),
            "three batches: This is after 48 texts, the 16 and 32 more. The batch has 32 in all.",
            lambda: N * (1 - MISSED**3),
            "untouched by 16: These are the experts that 16 texts leave out. Asked is how many 32 touch.",
            lambda: N - STEP_LOG["touched"],
            "halved: More texts touch more experts, not fewer.",
            lambda: STEP_LOG["touched"] / 2,
            "half a batch: This is after 8 texts. From 16 to 32 the untouched share is squared; you took its root.",
            lambda: N * (1 - MISSED**0.5),
            "only the second: This is how many the second 16 add. Asked is how many 32 touch together.",
            lambda: TWICE - STEP_LOG["touched"],
            "root of the touched share: You took the root of the touched share. What multiplies is the share that is missed.",
            lambda: N * SHARE**0.5,
            "k doubled: So many would 16 texts touch with 2k choices each. The choices of one text are different experts; two texts may choose the same one.",
            lambda: N * (1 - (1 - 2 * K / N) ** BATCH),
            "choices: This is how many choices 32 texts make. Several of them fall on the same expert, and it counts once.",
            lambda: 2 * BATCH * K,
        ),
    },
)
