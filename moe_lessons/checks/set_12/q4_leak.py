"""Question 12.4: a test that finds routers which look ahead."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.gates import naive_softmax, selected_mask
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_02.q4_test import HUGE, TINY, HiddenRouter, Kinds, is_distance, same
from moe_lessons.checks.verdicts import Facts, always, by_test, by_trace, by_value

ENOUGH, TEXTS = 12, 20  # tokens of a text, of which a leaky router shows its fault in half of all; texts to try
K, ROOM, SHORT = 2, 3, 8  # experts a token; places of an expert; up to so many tokens one router behaves
SLIGHTLY = 0.005  # above what the text promises of a leaky router, 0.001


def given_logits(h: np.ndarray, other: np.ndarray, part: float = 0.5) -> np.ndarray:
    """Return the weights of logits h (L, N) into which those of another token are mixed."""
    return routing.gate_weights((1 - part) * h + part * other, K)


def ahead(h: np.ndarray, steps: int) -> np.ndarray:
    """Return the logits (L, N) of the token so many places on, and a token's own where there is none."""
    there = np.arange(len(h)) + steps  # (L,)
    return h[np.where(there < len(h), there, np.arange(len(h)))]


def behind(h: np.ndarray) -> np.ndarray:
    """Return the logits (L, N) of the token before; the first has its own."""
    return h[np.maximum(np.arange(len(h)) - 1, 0)]


def running_mean(h: np.ndarray) -> np.ndarray:
    """Return the mean of the logits (L, N) of all tokens up to each."""
    return h.cumsum(axis=0) / np.arange(1, len(h) + 1)[:, None]


def turned_by_place(h: np.ndarray) -> np.ndarray:
    """Return the weights (L, N) of token choice, moved on by an expert from token to token."""
    w = routing.gate_weights(h, K)  # (L, N)
    return np.stack([np.roll(row, place) for place, row in enumerate(w)])


def with_room(h: np.ndarray, room: int, by_weight: bool = False) -> np.ndarray:
    """Return the probability of each token's best expert (L, N), 0 where that has no place left.

    Places go to the tokens in the order of the text, or by weight.
    """
    w = routing.gate_weights(h, 1, "softmax_topk")  # (L, N)
    order = np.argsort(-w.max(axis=-1), kind="stable") if by_weight else np.arange(len(h))  # (L,)
    asked = (w[order] > 0).cumsum(axis=0)  # (L, N): how many have asked by then
    kept = np.empty_like(w)  # (L, N)
    kept[order] = np.where(asked <= room, w[order], 0)
    return kept


def expert_choice(h: np.ndarray) -> np.ndarray:
    """Return the probabilities (L, N) where the expert is among those that took the token, else 0."""
    p = routing.softmax(h)  # (L, N)
    return np.where(selected_mask(p.T, math.ceil(K * len(h) / h.shape[1])).T, p, 0)


def evened_out(h: np.ndarray) -> np.ndarray:
    """Return the softmax of h (L, N) with columns and rows divided by their sums in turn: even loads."""
    plan = routing.softmax(h)  # (L, N)
    for _ in range(20):
        plan = plan / np.maximum(plan.sum(axis=0), np.finfo(float).tiny)  # an expert may have underflowed everywhere
        plan = plan / plan.sum(axis=1, keepdims=True)
    return plan


def slightly_ahead(h: np.ndarray) -> np.ndarray:
    """Return the softmax of logits (L, N), each row a little nearer to the next: at most by SLIGHTLY."""
    p = routing.softmax(h)  # (L, N)
    way = ahead(p, 1) - p  # (L, N)
    return p + way * SLIGHTLY / np.maximum(np.abs(way).max(axis=-1, keepdims=True), SLIGHTLY)


def one_ahead(place: int, h: np.ndarray) -> np.ndarray:
    """Return the weights (L, N) of token choice; the token in one place has those of the next."""
    w = routing.gate_weights(h, K)  # (L, N)
    if place + 1 < len(h):
        w[place] = w[place + 1]
    return w


def ahead_if(h: np.ndarray, is_so: bool) -> np.ndarray:
    """Return the weights (L, N) of token choice, or of one that looks ahead if so."""
    return given_logits(h, ahead(h, 1)) if is_so else routing.gate_weights(h, K)


# What routers do, in words, and the functions of a text's logits (L, N) that do it.
GOOD: Kinds = {
    "keeps each token's best two (token choice)": lambda h: routing.gate_weights(h, K),
}
ROUNDED: Kinds = {
    "takes a softmax in float32, which rounds otherwise in a longer text": lambda h: routing.softmax(
        (h + len(h)).astype(np.float32)
    ),
}
LOOKS_BACK: Kinds = {
    "gives places in the order of the text, as many as ever": lambda h: with_room(h, ROOM),
    "keeps each token's best two, with half of the token before mixed in": lambda h: given_logits(h, behind(h)),
    "keeps each token's best two, of logits less the mean of all so far": lambda h: routing.gate_weights(
        h - 0.5 * running_mean(h), K
    ),
}
BY_PLACE: Kinds = {"keeps each token's best two, moved on by an expert from place to place": turned_by_place}
FREE = GOOD | ROUNDED | LOOKS_BACK | BY_PLACE  # of leaks
WHOLE_TEXT: Kinds = {
    "lets each expert take its best tokens (expert choice)": expert_choice,
    "evens out the loads of the text (Sinkhorn)": evened_out,
    "takes a softmax down the columns": lambda h: naive_softmax(h, h.max(axis=0), axis=0),
    "gives places to the largest weights first": partial(with_room, room=2, by_weight=True),
    "keeps each token's best two, with half of the text's last token mixed in": lambda h: given_logits(h, h[-1:]),
}
NEXT: Kinds = {
    "keeps each token's best two, with half of the next token mixed in": lambda h: given_logits(h, ahead(h, 1))
}
FURTHER: Kinds = {
    f"keeps each token's best two, with half of the token {steps} places on mixed in": partial(
        lambda h, steps: given_logits(h, ahead(h, steps)), steps=steps
    )
    for steps in (2, ENOUGH - 1)
}
SLIGHT: Kinds = {"takes a softmax, with a little of the next token mixed in": slightly_ahead}
LENGTH: Kinds = {  # only how much follows counts
    "divides the logits by the number of tokens": lambda h: routing.softmax(8 * h / len(h)),
    "gives places in the order of the text, the more, the longer it is": lambda h: with_room(
        h, math.ceil(len(h) / h.shape[1] / 2)
    ),
}
LONG: Kinds = {
    f"keeps each token's best two in up to {SHORT} tokens, and looks at the next one in longer texts": lambda h: (
        ahead_if(h, len(h) > SHORT)
    ),
}
PLACES: Kinds = {
    f"looks at the next token in place {place} only": partial(one_ahead, place) for place in (0, 5, ENOUGH - 2)
}
PAIRS = [(one, other) for one in range(4) for other in ((one + 1) % 4, (one - 1) % 4)]
SOME_TEXTS: Kinds = {
    f"looks at the next token in texts whose first token prefers E{one + 1} to E{other + 1}": partial(
        lambda h, one, other: ahead_if(h, h[0, one] > h[0, other]), one=one, other=other
    )
    for one, other in PAIRS
}
LEAKY = WHOLE_TEXT | NEXT | FURTHER | SLIGHT | LENGTH | LONG | PLACES | SOME_TEXTS

# What a router notes of its calls: the longest text, how many texts (that begin alike), at how many places one is cut
# or changed, the largest number, whether a call failed, whether all are of one length.
NOTED = ("most", "texts", "cuts", "largest", "failed", "one_length")


class HiddenWriter(HiddenRouter):
    """A router of a text (L, d), made from (kind, W_g, bias), which notes what it was given."""

    kinds: ClassVar[Kinds] = FREE | LEAKY

    def _note(self, x: np.ndarray) -> None:
        self.batches.append(x)
        self.largest = max(self.largest, float(np.abs(x).max(initial=0)))

    def noted(self) -> dict[str, Any]:
        """Return what is known of the calls, under the names in NOTED."""
        texts: dict[bytes, np.ndarray] = {}
        cuts = {common(texts.setdefault(x[:1].tobytes(), x), x) for x in self.batches}
        lengths = {len(x) for x in self.batches}
        known = max(lengths, default=0), len(texts), len(cuts - {0, max(lengths, default=0)})
        return dict(zip(NOTED, (*known, self.largest, self.failed, len(lengths) == 1), strict=True))

    @staticmethod
    def written(name: str, entry: Any) -> str:
        """Return in words what the router does."""
        return f"and a router that {entry[0]}"


def common(one: np.ndarray, other: np.ndarray) -> int:
    """Return how many tokens two texts begin with in common."""
    many = min(len(one), len(other))
    differ = (one[:many] != other[:many]).any(axis=1)  # (many,)
    return int(differ.argmax()) if differ.any() else many


def leak_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (d, (kind, W_g, no bias)) for every kind, in any order; four experts."""
    cases: list[tuple] = []
    for kind in rng.permutation(list(HiddenWriter.kinds)).tolist():
        d, N = int(rng.integers(3, 7)), 4
        W_g = rng.normal(size=(d, N))  # (d, N)
        W_g *= 1.5 / np.linalg.norm(W_g, axis=0)  # each expert's logits have the same spread
        cases.append((d, (kind, W_g, np.zeros(N))))
    return cases


def is_leaky(d: int, entry: tuple) -> bool:
    """Tell whether a router looks ahead."""
    return entry[0] in LEAKY


def given(test: Callable[[Facts], Any]) -> Callable[..., bool]:
    """Return a test of what a router noted of its calls."""
    return lambda value, noted, d, entry: (
        isinstance(noted, dict) and set(noted) == set(NOTED) and bool(test(Facts(**noted)))
    )


def but_for(truth: bool, *kinds: Kinds, calls: Callable[[Facts], Any] = always) -> Callable[..., bool]:
    """Return a test: is all right, but that of these kinds, called like this, `truth` is said wrongly?"""
    wrongly = given(calls)

    def seen(value: Any, noted: Any, d: int, entry: tuple) -> bool:
        if same(value, is_leaky(d, entry)):
            return True
        return same(value, truth) and any(entry[0] in known for known in kinds) and wrongly(value, noted, d, entry)

    return seen


missing, refusing = partial(but_for, False), partial(but_for, True)


def one_length(calls: Facts) -> bool:
    """Tell whether all texts were of one length."""
    return calls.one_length


def few_texts(calls: Facts) -> bool:
    """Tell whether there were few texts."""
    return calls.texts < TEXTS


def short(calls: Facts) -> bool:
    """Tell whether no text was as long as it takes."""
    return calls.most < ENOUGH


def few_cuts(calls: Facts) -> bool:
    """Tell whether texts were not cut or changed at every place."""
    return calls.cuts < ENOUGH - 1


LEAK = FunctionQuestion(
    **about("12.4", "Who looks ahead?", "find the bug", "hard", points=3, minutes=10),
    hints=(
        "Ask for what must not change. If only what is written counts, then the first t tokens get the same weights whether the rest of the text is there or not.",
        "Route `x = np.random.normal(size=(12, d))`, then `x[:t]` for t = 1 to 11, and compare *all* rows of the second with the first t rows of the whole. `np.allclose(one, other, atol=1e-4)` leaves room for rounding. Do so with twenty texts.",
    ),
    idea="A causal router gives a prefix the same weights with and without its continuation: f(x)[:t] = f(x[:t]) for every t. To replace what follows is not enough, for the length alone can tell; one text and one t are not enough, for a leak may hide in one place.",
    takeaway="Cutting the text off asks exactly what writing asks: nothing follows yet. Replacing what follows only asks whether it matters what it is.",
    answer="my_leaks",
    stands_for=("causality.leak",),
    parameters=("d", "route"),
    when_raised="If it is about shapes: `route` takes a text (L, d) and returns (L, N). A text of one token is `x[:1]`, not `x[0]`.",
    cases=leak_cases,
    reference=is_leaky,
    helper=HiddenWriter,
    seconds=20.0,
    mistakes=by_test(
        "never called: You never called `route`. All that can be known of it is what it returns.",
        given(lambda calls: calls.most == 0 and not calls.failed),
        "calls that fail: A call of `route` fails, and your function goes on. `route` takes a text, (L, d): one token is a text of one, `x[:1]`.",
        given(lambda calls: calls.failed),
        "single tokens: You never gave `route` more than one token at once. Then nothing follows, and nobody can look ahead.",
        given(lambda calls: calls.most == 1),
        "huge tokens: The numbers in your tokens are very large. Then nearly all weights are 0 or 1, which hides leaks, and rounding looks like one. Draw tokens with `np.random.normal(size=(12, d))`.",
        given(lambda calls: calls.largest > HUGE),
        "tiny tokens: The numbers in your tokens are very small. Then all tokens are nearly alike, which hides leaks. Draw tokens with `np.random.normal(size=(12, d))`.",
        given(lambda calls: 0 < calls.largest < TINY),
    )
    + by_trace(
        "a distance: You return a number, how far the outputs moved. Return True where that is more than rounding, and False elsewhere.",
        is_distance,
        "many answers: You return several truth values. Return one: True if the weights of *any* token moved.",
        lambda value, *_: isinstance(value, np.ndarray) and value.size > 1 and value.dtype.kind == "b",
    )
    + by_value(
        "never: You say of no router that it looks ahead. What does the beginning of a text get when the rest is left out?",
        lambda d, entry: False,
        "always: You say of every router that it looks ahead. Do you compare only the tokens *before* what you changed, and up to rounding?",
        lambda d, entry: True,
        "turned round: You return False for the routers that look ahead, and True for the others.",
        lambda d, entry: not is_leaky(d, entry),
    )
    + by_test(
        "looking back: You find all that look ahead, and call some leaky that only look back. That is allowed: what is written may count. A token alone, or with another past, may well get something else; keep what stands before it.",
        refusing(LOOKS_BACK, BY_PLACE),
        "no room for rounding: You find all that look ahead, and call one leaky that only rounds otherwise in a longer text. Do you compare exactly? Use `np.allclose(one, other, atol=1e-4)`.",
        refusing(ROUNDED),
        "one length: You miss what looks only at *how much* follows. You replace the rest of the text, so the length never changes. Leave the rest out: when a model writes, nothing follows yet.",
        missing(LENGTH, calls=one_length),
        "wide tolerance: You miss the router that is moved by less than 0.01. One that does not look ahead moves by 10⁻⁶ at most: leave room for that and not for more, `np.allclose(one, other, atol=1e-4)`.",
        missing(SLIGHT),
        "few texts: You miss some that look ahead in some texts only. The text says in how many it shows: try twenty texts, and say True if *any* of them tells.",
        missing(SOME_TEXTS, calls=few_texts),
        "short texts: Your texts are short. The text says how many tokens show every leak: one router behaves in short ones, others look far ahead, or in one late place.",
        missing(LONG, PLACES, FURTHER, SOME_TEXTS, LENGTH, calls=short),
        "few cuts: You miss some that look ahead in one place only, or a certain way on. You cut the text, or change it, at a few places only: try *every* t from 1 to 11.",
        missing(LEAKY, calls=few_cuts),
        "some places missed: You miss some that look ahead in one place only. Do you compare *every* token before the cut, not the first or the last alone?",
        missing(PLACES, FURTHER, LENGTH),
        "not all compared: You try every cut, and still miss some. Is every single weight of every token before the cut compared, at each cut, with room for rounding only? A loop that keeps its last result, a wide tolerance, sums, means and a comparison of the choices alone hide leaks.",
        missing(LEAKY),
    ),
)
