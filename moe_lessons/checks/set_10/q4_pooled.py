"""Question 10.4: what a pooled loss hides."""

from typing import Any

import numpy as np

from moe_lessons.checks.question import VariableQuestion, about
from moe_lessons.checks.set_09.q4_devices import balance
from moe_lessons.checks.set_09.q5_below_one import BATCH, LEAST_GAP, LEAST_VIOLATION, batch_found, is_even
from moe_lessons.checks.values import describe, stacked
from moe_lessons.checks.verdicts import Facts, Fault, by_test

MOST_POOLED, LEAST_ALONE = 1.02, 1.2


class TwoLayers:
    """The form of two layers' logits. They are read as a list of both, as floats."""

    asks = "two layers, each (T, N), with the same N: the shape (2, T, N), or two arrays"

    def read(self, value: Any) -> Any:
        """Return both layers, or a `Fault`."""
        stack = stacked(value)
        pair = list(stack) if isinstance(stack, list) or np.ndim(stack) else [stack]
        shapes = [h.shape for h in map(stacked, pair) if isinstance(h, np.ndarray)]
        if [len(shape) for shape in shapes] != [2, 2] or shapes[0][1] != shapes[1][1]:
            name = "wrong shape" if len(shapes) == len(pair) else None
            return Fault(name, f"Expected {self.asks}. Came {describe(value)}.")
        layers = [BATCH.read(h) for h in pair]
        return next((h for h in layers if isinstance(h, Fault)), layers)


def layers_found(layers: list[np.ndarray]) -> dict[str, Any]:
    """Return what is found of each layer (T, N), and of both pooled; and the first layer that has a fault, by fault."""
    found = [Facts(**batch_found(h), number=number) for number, h in enumerate(layers, 1)]
    faults = {"tied": lambda layer: layer.tied, "even": is_even, "blind": lambda layer: layer.loss < LEAST_ALONE}
    first = {fault: next(filter(shows, found), None) for fault, shows in faults.items()}
    common = float(np.minimum(*(layer.load for layer in found)).sum())
    return {"layers": found, "pooled": balance(np.concatenate(layers), 1), "common": common, **first}


POOLED = VariableQuestion(
    **about("10.4", "What a pooled loss hides", "build a counterexample", "easy", points=1, minutes=7),
    hints=(
        "Pooled, f and P are means over the tokens of both layers. If layer 1 uses one half of the experts and layer 2 the other half, what are they? (The lesson's example is not quite enough: its MaxVio is below 1.)",
        "Let each layer use only half of the experts, evenly and with clear winners. Which half should layer 2 use, so that the mean load of every expert is 1/N?",
    ),
    idea="E1 of layer 1 and E1 of layer 2 share nothing but their number. Averaged by number, opposite leanings cancel, and the pooled loss has nothing to mend. Compute the loss in each layer, then average.",
    takeaway="An average over layers can be perfect while every layer is lopsided: measure where the experts live, then average.",
    answer="my_layers",
    form=TwoLayers(),
    measured=layers_found,
    mistakes=by_test(
        f"tie: Layer {{tied.number}} has no clear winner for {{tied.tied}} of its {{tied.T}} tokens: the two largest logits are less than {LEAST_GAP} apart (the first is row {{tied.row}}). Who is selected would hang on a rule for ties.",
        lambda found: found.tied,
        "layers balanced: No layer has an expert with twice its mean load. Each *layer* must be unbalanced; leanings of single tokens may cancel only between the layers.",
        lambda found: all(map(is_even, found.layers)),
        "one layer balanced: Layer {even.number} alone is too even. Both must be unbalanced, and cancel each other.",
        lambda found: found.even,
        "same leaning: Both layers lean towards the same experts ({common:.0%} of their loads are in common), so pooling hides nothing. Let layer 2 prefer those that layer 1 leaves out.",
        lambda found: found.pooled > MOST_POOLED and found.common > 0.5,
        "not cancelled: The leanings differ, but do not cancel. Over both layers together every expert should have about the same load, 1/N.",
        lambda found: found.pooled > MOST_POOLED,
        "blind in each layer: Layer {blind.number}'s own loss is small too: experts that never win hold much of the probability (as in 9.5). Here the loss of each layer must see what the pooled one does not: give the winners clearly more probability.",
        lambda found: min(layer.loss for layer in found.layers) < 1,
        "too faint: The load of layer {blind.number} is uneven, but its probabilities are nearly equal, so that even its own loss hardly shows it. Make the winners' logits larger.",
        lambda found: found.blind,
    ),
    report=f"Pooled loss {{pooled:.3f}} (at most {MOST_POOLED}). By layer: MaxVio {{layers[0].violation:.3f}} and {{layers[1].violation:.3f}} (at least {LEAST_VIOLATION:g}), loss {{layers[0].loss:.3f}} and {{layers[1].loss:.3f}} (at least {LEAST_ALONE}).\nLoads: layer 1 {{layers[0].load}}, layer 2 {{layers[1].load}}.",
)
