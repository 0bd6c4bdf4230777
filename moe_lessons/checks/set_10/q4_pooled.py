"""Question 10.4: what a pooled loss hides."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons.checks.question import VariableQuestion, about
from moe_lessons.checks.set_09.q4_devices import balance, chosen_share, mean_probability
from moe_lessons.checks.set_09.q5_below_one import (
    BATCH,
    LEAST_GAP,
    LEAST_VIOLATION,
    are_probabilities,
    batch_found,
    is_even,
    logits_of,
)
from moe_lessons.checks.values import describe, digits_apart, stacked
from moe_lessons.checks.verdicts import Facts, Fault, by_test

MOST_POOLED, LEAST_ALONE, LEAST_EXPERTS = 1.02, 1.2, 4
ROUNDING = 1e-6  # what float32 leaves of a loss that is just at its border


ONE_ROW = " Each layer has one row of numbers here: are these its loads? Asked are the logits of its tokens, a row for each; the loads follow from them."


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
            loads = [len(shape) for shape in shapes] == [1, 1]
            return Fault(name, f"Expected {self.asks}. Came {describe(value)}.{ONE_ROW if loads else ''}")
        layers = [BATCH.read(h) for h in pair]
        return next((h for h in layers if isinstance(h, Fault)), layers)


def layers_found(layers: list[np.ndarray]) -> dict[str, Any]:
    """Return what is found of each layer (T, N) and of both pooled; and the first layer that has a fault, by fault.

    name: of the expert that layer 1 prefers; shared: its load in layer 2; held: its pooled probability.
    """
    found = [Facts(**batch_found(h), number=number) for number, h in enumerate(layers, 1)]
    faults = {
        "tied": lambda layer: layer.tied,
        "blind": lambda layer: layer.loss < 1 - ROUNDING,
        "faint": lambda layer: layer.loss < LEAST_ALONE - ROUNDING,
    }
    first = {fault: next(filter(shows, found), None) for fault, shows in faults.items()}
    both, top = np.concatenate(layers), int(found[0].load.argmax())
    favourite = {"name": f"E{top + 1}", "shared": float(found[1].load[top]), "held": float(mean_probability(both)[top])}
    known = {"layers": found, "N": both.shape[1]}
    return {**known, **pooled_found(*layers), **favourite, **first, **shown(found)}


def pooled_found(one: np.ndarray, two: np.ndarray) -> dict[str, Any]:
    """Return the pooled loss of both layers, as a number and as it is shown, and whether it is too large.

    modest: what it is with a modest winner; modest_is_seen: whether this is too large as well. evened, evened_is_seen:
    the same with the winner as it is, and the rest of layer 1 even.
    """
    pooled, modest = balance(np.concatenate([one, two]), 1), with_even_rest(one, two, LEAST_ALONE / one.shape[1])
    evened = with_even_rest(one, two, float(mean_probability(one)[chosen_share(one, 1).argmax()]))
    return {
        "evened": evened,
        "evened_is_seen": evened > MOST_POOLED + ROUNDING,
        "pooled_shown": digits_apart(pooled, MOST_POOLED, 3),
        "seen": pooled > MOST_POOLED + ROUNDING,
        "modest": modest,
        "modest_is_seen": modest > MOST_POOLED + ROUNDING,
    }


def shown(layers: list[Facts]) -> dict[str, list[str]]:
    """Return MaxVio and loss of each layer, with enough digits to tell them from what is asked."""
    return {
        "violations": [digits_apart(layer.violation, LEAST_VIOLATION, 3) for layer in layers],
        "losses": [digits_apart(round(layer.loss, 6), LEAST_ALONE, 3) for layer in layers],
    }


def is_collapsed(found: Facts) -> bool:
    """Tell whether every token of a layer goes to the same expert."""
    return bool(found.load.max() >= 1)


def will_do(found: Facts) -> bool:
    """Tell whether these layers are what was asked for."""
    one, two = found.layers
    uneven = is_collapsed(one) and not is_even(two)
    return uneven and found.N >= LEAST_EXPERTS and not (found.tied or found.seen or found.blind or found.faint)


def would_do_as(change: Callable[[list[np.ndarray]], list[np.ndarray]]) -> Callable[[Facts], bool]:
    """Return the test whether the layers would do if they were change(both of them)."""

    def test(found: Facts) -> bool:
        changed = TwoLayers().read(change([layer.h for layer in found.layers]))
        return not isinstance(changed, Fault) and will_do(Facts(**layers_found(changed)))

    return test


def probabilities(which: str, *taken: bool) -> tuple[str, Callable[[Facts], bool]]:
    """Return the mistake that the layers which are taken hold probabilities, of logits that would do; `which` they are."""

    def logits(layers: list[np.ndarray]) -> list[np.ndarray]:
        return [logits_of(h) if this else h for h, this in zip(layers, taken, strict=True)]

    def test(found: Facts) -> bool:
        are = all(are_probabilities(layer.h) for layer, this in zip(found.layers, taken, strict=True) if this)
        return are and would_do_as(logits)(found)

    return (
        f"probabilities: With {which} as *probabilities* this would do, but they are taken for logits, and the softmax makes them nearly equal. Logits that give p are `np.log(p)` (with a small number in place of 0).",
        test,
    )


def with_even_rest(one: np.ndarray, two: np.ndarray, held: float) -> float:
    """Return the pooled loss if the favourite of layer 1 held this probability there, and the others an equal rest."""
    N, both = one.shape[1], np.concatenate([one, two])
    p = np.full(N, (1 - held) / (N - 1))  # (N,)
    p[chosen_share(one, 1).argmax()] = held
    P = (len(one) * p + len(two) * mean_probability(two)) / len(both)  # (N,)
    return float(N * chosen_share(both, 1) @ P)


POOLED = VariableQuestion(
    **about("10.4", "What a pooled loss hides", "build a counterexample", "medium", points=1, minutes=9),
    hints=(
        "One expert has all of layer 1, so at least half of the pooled loads, whatever layer 2 does: the loads cannot be even. But the loss is N Σ fᵢPᵢ. If the pooled P were 1/N for every expert, what would it be, with any f?",
        "Take four experts. Let E1 win every token of layer 1 with less than half of the probability, 0.45 for instance, and leave the rest to the others evenly. In layer 2 let E1 have next to nothing (a logit 20 below the winner's), one of the other three win half of the tokens, and the other two a quarter each. (All this is for four; with eight, half of the tokens is too much.) From probabilities to logits: `np.log(p)`.",
    ),
    idea="Pooled, f and P are means over layers that have nothing in common but the numbers of their experts. What layer 2 keeps away from E1 makes up for what layer 1 heaps on it, and the product sees neither. Compute the loss in each layer, then average.",
    takeaway="A pooled loss of 1 can hide a layer that uses a single expert: measure where the experts live, then average.",
    answer="my_layers",
    form=TwoLayers(),
    measured=layers_found,
    right=will_do,
    mistakes=by_test(
        "exchanged: Layer 1 is the one in which every token goes to the same expert. Exchange your two layers, and they would do.",
        would_do_as(lambda layers: layers[::-1]),
        "sign: With the other sign, `-layer`, both would do. Logits that give p are `np.log(p)`, without a minus.",
        would_do_as(lambda layers: [-h for h in layers]),
        "tokens as columns: Tokens are rows, and experts are columns. With each layer turned round (`.T`) yours would do.",
        would_do_as(lambda layers: [h.T for h in layers]),
        f"tie: Layer {{tied.number}} has no clear winner for {{tied.tied}} of its {{tied.T}} tokens: the two largest logits are less than {LEAST_GAP} apart (the first is row {{tied.row}}). Who is selected would hang on a rule for ties.",
        lambda found: found.tied,
        *probabilities("both layers", True, True),
        *probabilities("layer 2", False, True),
        *probabilities("layer 1", True, False),
        f"few experts: Here are {{N}} experts. Take at least {LEAST_EXPERTS}: with two or three, pooled loads hide more by themselves.",
        lambda found: found.N < LEAST_EXPERTS,
        "not collapsed: Layer 1 uses several experts (loads {layers[0].load}). There every token must go to the same one.",
        lambda found: not is_collapsed(found.layers[0]),
        "layer 2 balanced: No expert of layer 2 has twice its mean load. It must be uneven, too.",
        lambda found: is_even(found.layers[1]),
        "same leaning: Layer 2 sends {shared:.0%} of its tokens to {name} as well, to which layer 1 sends all. Let it prefer the others.",
        lambda found: found.seen and found.shared > 0,
        "rest of layer 1 uneven: {name} is not too sure. But in layer 1 the others hold unequal parts of the rest, and one of them is preferred by layer 2 as well. With an equal rest for each the pooled loss would be {evened:.3f}.",
        lambda found: found.seen and not found.evened_is_seen,
        "winner too sure: {name} has half of the pooled loads, and {held:.2f} of the pooled probability. Make it less sure: it can win every token of layer 1 with less, as long as nobody there has more.",
        lambda found: found.seen and not found.modest_is_seen,
        "layer 2 too much: If the winner of layer 1 were as unsure as it may be, the pooled loss would still be {modest:.3f}. So look at layer 2: it should give {name} next to no probability, let one other expert have twice the mean load, and spread the rest.",
        lambda found: found.seen,
        "blind in each layer: Layer {blind.number}'s own loss is small too: experts that never win hold much of the probability (as in 9.5). Here the loss of each layer must see what the pooled one does not: give the winners clearly more probability.",
        lambda found: found.blind,
        "too faint: The load of layer {faint.number} is uneven, but its probabilities are nearly equal, so that even its own loss hardly shows it. Make the winners' logits larger.",
        lambda found: found.faint,
    ),
    report=f"Pooled loss {{pooled_shown}} (at most {MOST_POOLED}). By layer: MaxVio {{violations[0]}} (all tokens to one expert) and {{violations[1]}} (at least {LEAST_VIOLATION:g}), loss {{losses[0]}} and {{losses[1]}} (at least {LEAST_ALONE}).\nLoads: layer 1 {{layers[0].load}}, layer 2 {{layers[1].load}}.",
)
