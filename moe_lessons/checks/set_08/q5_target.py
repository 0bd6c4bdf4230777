"""Question 8.5: a target, end to end."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.forms import Fields, Name, Number, whole
from moe_lessons.checks.question import Data, Reply, VariableQuestion, about
from moe_lessons.checks.verdicts import Facts, Fault, Verdict, by_value, filled

WIDTH, CLUSTERS, EXPERTS, BATCH = 8, 8, 8, 256  # WIDTH is that of tokens and experts, d = f
BUDGET, TARGET = 500, 0.16  # steps · top_k; and the share of the target's variance that may be left
JUDGE_SEEDS = (1, 2)  # the notebook's own trials use 0 as a rule
USUAL_LR, USUAL_K = 0.015, 2  # what a diagnosis puts in the place of a setting, to see whether it was to blame


@lru_cache(maxsize=256)
def error_left(gate: str, top_k: int, lr: float, steps: int, seed: int) -> float:
    """Train a layer on a small clustered regression; return the share of the target's variance left on fresh tokens.

    8 experts, 8 clusters with a map each, tokens of width 8; Adam, 256 tokens a step. `seed` draws the task, the layer
    and the batches, so the same call has the same result. ∞ when the loss is not finite any more.
    Raises ValueError for what `MoELayer` and `train` refuse.
    """
    import torch  # here, so that reading the questions does not load it

    from moe_lessons.data import clustered_regression
    from moe_lessons.experiments.core import tensors

    parts = clustered_regression(4096, WIDTH, CLUSTERS, test_T=1024, seed=seed)
    (x, y), (fresh, target) = map(tensors, parts)  # (T, d) each
    layer = trained_layer(x, y, gate, top_k, lr, steps, seed)
    if layer is None:
        return float("inf")
    with torch.no_grad():
        return float((layer(fresh) - target).square().mean() / target.var(correction=0))


def trained_layer(x: Any, y: Any, gate: str, top_k: int, lr: float, steps: int, seed: int) -> Any:
    """Return a layer trained on the tokens x, y (T, d), or None when the loss is not finite any more."""
    import torch

    from moe_lessons.experiments.core import batches, drawn, squared_error, trained
    from moe_lessons.layer import MoELayer
    from moe_lessons.training import constant

    layer = drawn(seed, MoELayer, WIDTH, WIDTH, EXPERTS, top_k, gate)
    rows = torch.tensor(np.random.default_rng([seed, 85]).integers(len(x), size=(steps, BATCH)))  # (steps, B)
    try:
        trained(layer, batches(x, y, rows.__getitem__), squared_error, steps, lr=lr, schedule=constant)
    except ValueError as error:
        if "finite" not in str(error):
            raise
        return None
    return layer


@dataclass(frozen=True)
class Settings:
    """What a learner chooses."""

    gate: str
    top_k: int
    lr: float
    steps: int

    @property
    def spent(self) -> int:
        """Return what the settings cost."""
        return self.steps * self.top_k

    def error(self) -> float:
        """Return the error, mean over the judge's seeds."""
        return float(np.mean([error_left(self.gate, self.top_k, self.lr, self.steps, seed) for seed in JUDGE_SEEDS]))

    def fault(self) -> Fault:
        """Mend one setting after the other; name the first that reaches the target when it alone is mended."""
        for mistake in REPAIRS:
            mended = mistake.wrong(self)
            if mended and (error := mended.error()) <= TARGET:
                why = filled(mistake.why, Facts(most=BUDGET // self.top_k, top_k=self.top_k))
                return Fault(
                    mistake.name, f"{why} With that mended, and the rest as it is, the error would be {error:.3f}."
                )
        return Fault(
            None, "More than one of your settings stands in the way. Change one at a time, and look at the error."
        )


# What is said against a setting that may be to blame, the surest first; and the settings with it mended, or None.
REPAIRS = by_value(
    "k = 1 renormalised: With one expert and a weight that is always 1, the gradient of the router is 0: it stays as it was drawn, and nobody decides who learns what.",
    lambda s: replace(s, gate="softmax_topk") if s.top_k == 1 and s.gate != "softmax_topk" else None,
    "too few steps: You leave most of the budget: {most} steps would be allowed with k = {top_k}.",
    lambda s: replace(s, steps=BUDGET // s.top_k) if s.steps <= BUDGET // s.top_k // 2 else None,
    "lr too low: The learning rate is too low: after so few steps the layer has hardly moved.",
    lambda s: replace(s, lr=USUAL_LR) if s.lr < USUAL_LR else None,
    "lr too high: The learning rate is too high: the steps jump over what they should settle in.",
    lambda s: replace(s, lr=USUAL_LR) if s.lr >= USUAL_LR else None,
    "too many experts: So many experts for each token leave few steps in the budget.",
    lambda s: replace(s, top_k=USUAL_K, steps=BUDGET // USUAL_K) if s.top_k > USUAL_K else None,
)


@dataclass(frozen=True, kw_only=True)
class TargetQuestion(VariableQuestion):
    """Trains with the learner's settings; a diagnosis is given only if mending that one setting reaches the target."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Read the settings, add up what they cost, then train on the seeds of the judge."""
        chosen = FORM.read(reply["value"])
        if isinstance(chosen, Fault):
            return Verdict.of(chosen)
        settings = Settings(**chosen)
        if settings.spent > BUDGET:
            why = f"{settings.steps} steps with {settings.top_k} experts for each token cost {settings.spent}; the budget is {BUDGET}."
            return Verdict.of(Fault("over budget", why))
        error = settings.error()
        seen = f"Error {error:.3f} on average over {len(JUDGE_SEEDS)} fresh tasks; the target is at most {TARGET:g}. Spent: {settings.spent} of {BUDGET}."
        return Verdict(True, seen=seen) if error <= TARGET else replace(Verdict.of(settings.fault()), seen=seen)


FORM = Fields(
    {
        "gate": Name(tuple(routing.GATE_FORMS)),
        "top_k": whole(1, EXPERTS),
        "lr": Number("a number above 0, and at most 100", np.nextafter(0, 1), 100),
        "steps": Number("a whole number of at least 1", low=1, whole=True),
    }
)

END_TO_END = TargetQuestion(
    **about("8.5", "Reach a target error", "design an experiment", "medium", points=3, minutes=10),
    needs_torch="optimiser",
    hints=(
        "Start in the middle: k = 2, all of the budget, lr = 0.01. Then change one setting at a time. With Adam, try learning rates by factors of 3.",
        "With k = 1 the router learns only in form B, `softmax_topk`. With k = 8 there is no choice left to learn, and only 62 steps. Try between them, and a larger lr.",
    ),
    idea="The gate decides whether the router hears of the task at all, k how many steps the budget buys, and the learning rate has to fit the number of steps: change one at a time, and judge on seeds that you did not tune on.",
    takeaway="Tune on some seeds and judge on others, at the number of steps that you will use: a setting that wins early need not win late.",
    answer="my_settings",
)
