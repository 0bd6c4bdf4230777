"""Question 8.3: a coefficient by its effect."""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np

from moe_lessons.checks.forms import Fields, Number
from moe_lessons.checks.question import Data, EntriesQuestion, Reply, about
from moe_lessons.checks.verdicts import Facts, Fault, Verdict, always, by_test, weighed

NOISE, STEPS, LOGGED_AT = 0.7, 600, (100, 200, 400, 600)
LOGGED = {"router 1": 10.0, "router 2": 0.0, "router 3": 0.02}  # the z_loss_coef of each
LOG_SEED, NEW_SEEDS = 0, (1, 2)  # the task of the notebook, and those on which a learner's coefficient is tried
MOST_Z, MOST_LOSS = 6.0, 0.15  # what a coefficient is chosen for: z-loss, and cross-entropy in nats
PUBLISHED = 1e-3  # Zoph et al. 2022 (arXiv:2202.08906), for their language models


@cache
def logged_runs() -> dict[str, Any]:
    """Train the three routers of question 8.3, which differ in z_loss_coef alone. Returns name -> LabelRun."""
    from moe_lessons.experiments.router_training import Setting, label_runs  # here, because it loads torch

    settings = [Setting(noise_std=NOISE, z_loss_coef=c, seed=LOG_SEED) for c in LOGGED.values()]
    runs = label_runs(settings, STEPS, LOGGED_AT, progress=False)
    return dict(zip(LOGGED, runs, strict=True))


@lru_cache(maxsize=64)
def coefficient_effect(coefficient: float) -> tuple[float, float, float]:
    """Return (largest z-loss, largest cross-entropy, smallest accuracy) over NEW_SEEDS; NaN if training breaks down."""
    from moe_lessons.experiments.router_training import Setting, label_runs

    settings = [Setting(noise_std=NOISE, z_loss_coef=coefficient, seed=seed) for seed in NEW_SEEDS]
    try:
        runs = label_runs(settings, STEPS, progress=False)
    except ValueError:  # a loss that is not finite any more
        return np.nan, np.nan, np.nan
    return max(r.z[-1] for r in runs), max(r.loss[-1] for r in runs), min(r.accuracy[-1] for r in runs)


def against(router: str, named: float) -> Fault:
    """Say what in a router's log speaks against a coefficient."""
    run = logged_runs()[router]
    first, last, loss = run.z[0], run.z[-1], run.loss[-1]
    rises = f"its z-loss goes from {first:.2f} after {LOGGED_AT[0]} steps to {last:.2f} after {STEPS}"
    if named == 0:
        why = f"Without a z-loss nothing holds the logits: with clusters so far apart they grow as long as you train, and the z-loss with them. Here {rises}."
    elif last > 10:
        why = f"Even a small coefficient stops the growth at some point. Here {rises}."
    elif named > 1:
        why = f"So large a coefficient leaves hardly anything for the cross-entropy: it would end near ln 4 = {np.log(4):.2f}, a guess, or above. Here it is {loss:.3f}."
    else:
        why = f"A coefficient that suits lets the cross-entropy go far below ln 4 = {np.log(4):.2f}, a guess among four domains. Here it is {loss:.3f}, and the accuracy {run.accuracy[-1]:.3f}."
    return Fault(f"{router}: {named:g}", f"{router!r} was not trained with {named:g}.\n{why}")


@dataclass(frozen=True, kw_only=True)
class CoefficientQuestion(EntriesQuestion):
    """Which log belongs to which coefficient; then any coefficient that keeps both demands on fresh tasks."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Judge the routers in order, then train with the chosen coefficient."""
        verdict = super().judge(data, reply)
        if not verdict.correct:
            return verdict
        named: Any = FORM.read(reply["value"])
        coefficient = named["z_loss_coef"]
        if coefficient < 0:
            return Verdict.of(NEGATIVE)
        z, loss, accuracy = coefficient_effect(min(coefficient, 1e6))
        found = Facts(coefficient=coefficient, z=z, loss=loss, accuracy=accuracy)
        return weighed(found, lambda found: found.z <= MOST_Z and found.loss <= MOST_LOSS, self.mistakes, self.report)


AMONG = Number(f"one of {', '.join(f'{c:g}' for c in sorted(LOGGED.values()))}", among=tuple(LOGGED.values()))
FORM = Fields({**dict.fromkeys(LOGGED, AMONG), "z_loss_coef": Number("one number of at least 0")})
NEGATIVE = Fault("negative", "'z_loss_coef' should be one number of at least 0. Below 0 large logits are rewarded.")
NAMED = "The three routers are right."

COEFFICIENT = CoefficientQuestion(
    **about("8.3", "A coefficient by its effect", "design an experiment", "medium", points=2, minutes=8),
    hints=(
        "Which log keeps growing to its end? Which one is no better than a guess, ln 4 for the cross-entropy and 1/4 for the accuracy? For your own coefficient try powers of ten first.",
        "A z-loss above the limit asks for a larger coefficient, a cross-entropy above the limit for a smaller one. Between 0.001 and 0.1 there is room: take something near the middle on a logarithmic scale.",
    ),
    idea="The z-loss and the cross-entropy pull against each other once the clusters are told apart: the coefficient sets how far the log-sum-exp may go, and the accuracy is the last number to notice.",
    takeaway="Watch the loss that a regulariser is meant to spare, not only the number it lowers: accuracy is the last to notice.",
    answer="my_coefficients",
    needs_torch="optimiser",
    form=FORM,
    expected=lambda: LOGGED,
    against=against,
    lists_others=False,
    mistakes=by_test(
        f"no z-loss: {NAMED} Without a z-loss the logits run away.",
        lambda found: found.coefficient == 0,
        f"published value: {NAMED} 0.001 is what ST-MoE took for its language models. Here it is too weak: look at the effect, not at the number.",
        lambda found: found.z > MOST_Z and np.isclose(found.coefficient, PUBLISHED),
        f"too small: {NAMED} But this coefficient is too small: the log-sum-exp still grows too far.",
        lambda found: found.z > MOST_Z,
        f"far too large: {NAMED} But this coefficient is so large that the router gives up naming domains.",
        lambda found: not found.accuracy > 0.9,
        f"too large: {NAMED} But this coefficient is too large. The accuracy does not show it: it only asks which logit is the largest. The cross-entropy does.",
        always,
    ),
    report=f"With {{coefficient:g}}, on two fresh tasks and the worse of both: z-loss {{z:.2f}} (at most {MOST_Z:g}), cross-entropy {{loss:.3f}} (at most {MOST_LOSS:g}), accuracy {{accuracy:.3f}}.",
)
