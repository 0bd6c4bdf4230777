"""Question 2.4: a test that tells whether a router lets tokens of one batch meet."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.calls import Lender
from moe_lessons.checks.gates import naive_softmax
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.verdicts import Facts, by_test, by_trace, by_value

Router = Callable[[Any], np.ndarray]
Kinds = dict[str, Callable[[np.ndarray], np.ndarray]]
ENOUGH = 8  # tokens, of which each router shows its fault
CROWD = 5  # up to so many tokens, the router that minds a crowd behaves
SLIGHTLY = 0.005  # above what the text promises of a bad router, 0.001
HUGE, TINY = 30, 0.05  # no number of an ordinary token is above, and not all are below


def standardised(h: np.ndarray) -> np.ndarray:
    """Return the softmax of logits (T, N) that were divided by their spread in the batch."""
    return routing.softmax(2 * h / h.std())


def centred(h: np.ndarray) -> np.ndarray:
    """Return the softmax of logits (T, N) from which each expert's mean over the batch was taken."""
    return routing.softmax(h - h.mean(axis=0))


def column_sums(h: np.ndarray) -> np.ndarray:
    """Return the logarithm of the sum of exponentials in each column of h (T, N). (N,)."""
    return routing.log_sum_exp(h, axis=0)  # (N,)


def mixed(h: np.ndarray, shift: int) -> np.ndarray:
    """Return the softmax of logits (T, N) into which those of a neighbour are mixed; at the end there is none."""
    neighbours = np.roll(h, shift, axis=0)  # (T, N)
    end = 0 if shift > 0 else len(h) - 1
    neighbours[end] = h[end]
    return routing.softmax(0.5 * h + 0.5 * neighbours)


def paired(h: np.ndarray) -> np.ndarray:
    """Return the softmax of logits (T, N) into which those of the other token of a pair are mixed: 0 and 1, 2 and 3."""
    other = np.minimum(np.arange(len(h)) ^ 1, len(h) - 1)  # (T,), a last one without a partner is its own
    return routing.softmax(0.5 * h + 0.5 * h[other])


def turned_in_company(h: np.ndarray) -> np.ndarray:
    """Return the softmax of logits (T, N), with the experts in the opposite order where there are several tokens."""
    p = routing.softmax(h)  # (T, N)
    return p[:, ::-1] if len(h) > 1 else p


def slightly_mixed(h: np.ndarray) -> np.ndarray:
    """Return the softmax of logits (T, N), each row a little nearer to their mean: at most by SLIGHTLY."""
    p = routing.softmax(h)  # (T, N)
    way = p.mean(axis=0) - p  # (T, N)
    return p + way * SLIGHTLY / max(np.abs(way).max(), SLIGHTLY)


def one_evened(h: np.ndarray, which: int) -> np.ndarray:
    """Return the softmax of logits (T, N), with an even row for one token: which, in the order of their best logits."""
    p = routing.softmax(h)  # (T, N)
    if len(h) > 1:
        p[np.argsort(h.max(axis=-1))[which]] = 1 / h.shape[-1]
    return p


def one_misled(place: int, h: np.ndarray) -> np.ndarray:
    """Return the softmax of logits (T, N), with half of one row, where there is one, on its least likely expert."""
    p = routing.softmax(h)  # (T, N)
    if 1 < len(h) > place:
        p[place] = (p[place] + np.eye(h.shape[-1])[h[place].argmin()]) / 2
    return p


# What routers return, in words, and the functions of a batch's logits (T, N) that return it.
GOOD: Kinds = {
    "a softmax of each row": routing.softmax,
    "a softmax of each row, in float32": lambda h: routing.softmax(h.astype(np.float32)),
    "a softmax of each row, of logits less the largest one of the batch": lambda h: naive_softmax(h, h.max()),
}
WHOLE_BATCH: Kinds = {  # every row is wrong
    "a softmax down the columns": lambda h: naive_softmax(h, h.max(axis=0), axis=0),
    "exponentials divided by the sum of the whole batch": lambda h: naive_softmax(h, h.max(), axis=None),
    "a softmax down the columns, each row then divided by its sum": lambda h: naive_softmax(h, column_sums(h)),
    "a softmax of each row, of logits less each expert's mean over the batch": centred,
    "a softmax of each row, of logits divided by their spread in the batch": standardised,
}
SLIGHT: Kinds = {  # a wide tolerance does not see it
    "a softmax of each row, each a little nearer to the mean of the batch": slightly_mixed,
}
NUMBER: Kinds = {
    "a softmax of each row, of logits divided by the number of tokens": lambda h: routing.softmax(3 * h / len(h)),
}
CROWDS: Kinds = {
    f"right rows for up to {CROWD} tokens, and flatter ones for more": lambda h: routing.softmax(
        h / 2 if len(h) > CROWD else h
    ),
}
PLACES: Kinds = {  # one row is wrong, that in one place
    f"right rows, but for the one in place {place}": partial(one_misled, place) for place in range(ENOUGH)
}
PAIRS: Kinds = {  # a batch that is cut in halves keeps tokens in company
    "right rows for a token alone, and in company the same with the experts in the opposite order": turned_in_company,
    "a softmax of each row, with half of its neighbour in a pair mixed in": paired,
}
EVENED: Kinds = {  # a single row is wrong
    "right rows, but for the token with the batch's highest logit": lambda h: one_evened(h, -1),
    "right rows, but for the token whose best logit is the lowest": lambda h: one_evened(h, 0),
}
SOME_ROWS: Kinds = {  # some rows of a batch stay right
    "a softmax of each row, with half of the token before mixed in": lambda h: mixed(h, 1),
    "a softmax of each row, with half of the token behind mixed in": lambda h: mixed(h, -1),
    "right rows in the opposite order": lambda h: routing.softmax(h)[::-1],
}
SOME_ROWS |= EVENED | PLACES
KINDS = GOOD | WHOLE_BATCH | SLIGHT | NUMBER | CROWDS | PAIRS | SOME_ROWS


# What a router notes of its calls: the most and the fewest tokens at once (0 if no call came through), how many different
# ones were alone, the largest number, whether two tokens ever differed, whether a call failed, and whether all calls held
# the same tokens, in whatever order.
NOTED = ("most", "fewest", "alone", "largest", "differ", "failed", "reordered")


class HiddenRouter(Lender):
    """A router made from (kind, W_g, bias), one of `kinds`, which notes what it was given."""

    kinds: ClassVar[Kinds] = KINDS

    def __init__(self, entry: tuple[str, np.ndarray, np.ndarray]) -> None:
        self.kind, self.W_g, self.bias = entry
        self.batches: list[np.ndarray] = []
        self.largest, self.differ, self.failed = 0.0, False, False
        super().__init__(entry)

    def work(self, index: int, given: Any) -> np.ndarray:
        """Route tokens (T, d). Returns (T, N)."""
        x, d = np.asarray(given, dtype=float), len(self.W_g)
        if x.ndim != 2 or x.shape[1] != d:
            self.failed = True
            raise ValueError(f"route takes x of shape (T, {d}), one row for each token; came {x.shape}")
        self._note(x)
        return np.ascontiguousarray(self.kinds[self.kind](x @ self.W_g + self.bias))  # (T, N)

    def _note(self, x: np.ndarray) -> None:
        self.batches.append(x[np.lexsort(x.T)])
        self.largest = max(self.largest, float(np.abs(x).max(initial=0)))
        self.differ = self.differ or bool((x != x[:1]).any())

    def noted(self) -> dict[str, Any]:
        """Return what is known of the calls, under the names in NOTED."""
        counts = [len(batch) for batch in self.batches] or [0]
        alone = len({batch.tobytes() for batch in self.batches if len(batch) == 1})
        reordered = len(counts) > 1 and all(np.array_equal(batch, self.batches[0]) for batch in self.batches)
        known = max(counts), min(counts), alone, self.largest, self.differ, self.failed, reordered
        return dict(zip(NOTED, known, strict=True))

    @staticmethod
    def written(name: str, entry: Any) -> str:
        """Return in words what the router does."""
        return f"and a router that returns {entry[0]}"


def hidden_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (d, (kind, W_g, bias)) for every kind, in any order; every other router has a bias."""
    cases: list[tuple] = []
    for kind in rng.permutation(list(KINDS)).tolist():
        d, N = rng.integers(2, 7), rng.integers(3, 7)
        W_g = rng.normal(size=(d, N))  # (d, N)
        W_g *= 1.5 / np.linalg.norm(W_g, axis=0)  # each expert's logits have the same spread
        cases.append((int(d), (kind, W_g, rng.normal(size=N) * (len(cases) % 2))))
    return cases


def is_good(d: int, entry: tuple) -> bool:
    """Tell whether a router treats each token by itself."""
    return entry[0] in GOOD


def by_rows(test: Callable[[Router, np.ndarray], Any]) -> Callable[[int, tuple], bool]:
    """Return the function of a case that tries `test` on the router and eight fixed tokens (8, d)."""

    def tested(d: int, entry: tuple) -> bool:
        return bool(test(HiddenRouter(entry).argument, np.random.default_rng(d).normal(size=(8, d))))

    return tested


def same(value: Any, truth: bool) -> bool:
    """Tell whether an answer is one truth value, and this one."""
    return isinstance(value, np.ndarray) and value.ndim == 0 and bool(value == truth)


def given(test: Callable[[Facts], Any]) -> Callable[..., bool]:
    """Return a test of what a router noted of its calls."""
    return lambda value, noted, d, entry: (
        isinstance(noted, dict) and set(noted) == set(NOTED) and bool(test(Facts(**noted)))
    )


def missing(*kinds: Kinds) -> Callable[..., bool]:
    """Return a test: is all right, but that bad routers of these kinds are called good?"""
    return lambda value, noted, d, entry: (
        same(value, is_good(d, entry)) or (same(value, True) and any(entry[0] in known for known in kinds))
    )


few = given(lambda calls: calls.most < ENOUGH)
never_alone = given(lambda calls: calls.fewest > 1)
one_size = given(lambda calls: calls.fewest == calls.most)
some_alone = given(lambda calls: calls.alone < ENOUGH)
many = given(lambda calls: calls.most >= ENOUGH)


def both(*tests: Callable[..., bool]) -> Callable[..., bool]:
    """Return the test whether all of these hold."""
    return lambda *seen: all(test(*seen) for test in tests)


def is_distance(value: Any, *_: Any) -> bool:
    """Tell whether an answer is a number, and not a truth value or what stands for one."""
    return isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind == "f" and value not in (0, 1)


def refusing_good(value: Any, noted: list, d: int, entry: tuple) -> bool:
    """Tell whether no bad router is called good; asked of answers that are wrong, so that a good one is called bad."""
    return same(value, False) or (is_good(d, entry) and same(value, True))


TEST = FunctionQuestion(
    **about("2.4", "The test that was missing", "find the bug", "medium", points=2, minutes=10),
    hints=(
        "The cell above shows the way in its last line. You need no right answer to compare with: the router itself must say the same of a token alone and in company.",
        "Route `x = np.random.normal(size=(8, d))` once as a whole, then each `x[t : t + 1]` by itself, and put those rows together. `np.allclose` compares them with the first result.",
    ),
    idea="A metamorphic test: you do not know what is right, but you know what must not change. Route every token alone and in company, and compare all rows, up to rounding.",
    takeaway="Rows that sum to 1 show that somebody divided, and no more. Where you do not know what is right, test what must not change: it needs no right answer.",
    answer="my_test",
    parameters=("d", "route"),
    when_raised="If it is about shapes: `route` takes a batch (T, d) and returns (T, N). A single token is a batch of one: `x[t : t + 1]`, not `x[t]`.",
    cases=hidden_cases,
    reference=is_good,
    helper=HiddenRouter,
    mistakes=by_test(
        "never called: You never called `route`. All that can be known of it is what it returns.",
        given(lambda calls: calls.most == 0 and not calls.failed),
        "calls that fail: A call of `route` fails, and your function goes on. `route` takes a batch, (T, d): a single token is a batch of one, `x[t : t + 1]`.",
        given(lambda calls: calls.failed),
        "no company: You never gave `route` more than one token at once. Alone, most of the bad routers behave: give it a token in company, too.",
        given(lambda calls: calls.most == 1),
        "copies: The tokens of each of your batches are all alike. Then each is in its own company, and most faults change nothing. Draw them at random.",
        given(lambda calls: not calls.differ),
        "huge tokens: The numbers in your tokens are very large. Then nearly all probabilities are 0 or 1, which hides faults, and rounding breaks good routers. Draw tokens with `np.random.normal(size=(8, d))`.",
        given(lambda calls: calls.largest > HUGE),
        "same company: You call every router good. All your calls hold the same tokens, so each is in the same company every time. Take the company away: what does a token get that is alone?",
        both(given(lambda calls: calls.reordered), missing(KINDS), lambda value, *_: same(value, True)),
        "tiny tokens: The numbers in your tokens are very small. Then all probabilities are nearly alike, which hides faults. Draw tokens with `np.random.normal(size=(8, d))`.",
        both(given(lambda calls: 0 < calls.largest < TINY), missing(KINDS)),
    )
    + by_trace(
        "a distance: You return a number, how far the two are apart. Return True where it is next to nothing, and False elsewhere.",
        is_distance,
        "many answers: You return a truth value for each token or probability. Return one, for all of them: `np.all`, or `np.allclose` in place of `np.isclose`.",
        lambda value, *_: isinstance(value, np.ndarray) and value.size > 1 and value.dtype.kind == "b",
    )
    + by_value(
        "always good: You call every router good. What differs when a token is alone, and when it is in company?",
        lambda d, entry: True,
        "always bad: You call every router bad, the good ones too. Do you compare the rows of one and the same token, and up to rounding?",
        lambda d, entry: False,
        "turned round: You return True for the bad routers and False for the good ones.",
        lambda d, entry: not is_good(d, entry),
        "sums of the rows: Your test finds those whose rows do not sum to 1, and no others: it looks at sums or means of the probabilities, it seems. A bad router may have rows that sum to 1: it takes its softmax too late. Compare the probabilities one by one, of the same token alone and in company.",
        by_rows(lambda route, x: np.allclose(route(x).sum(axis=-1), 1)),
    )
    + by_test(
        "order of the batch: Your test only changes the order of the tokens. Most of the bad routers follow: all tokens are still there. Take the company away.",
        given(lambda calls: calls.reordered),
        "crowds missed: You miss routers that go wrong in larger batches only. The text says how many tokens show every fault.",
        both(few, missing(CROWDS, PLACES)),
        "not all alone: You find the faults that touch the whole batch, and miss some that touch single tokens only. You call `route` with some of your tokens alone, not with each of them. Compare *every* token in company with the same one alone. Does a loop return at the first that agrees?",
        both(some_alone, missing(SOME_ROWS)),
        "some rows missed: You find the faults that touch the whole batch, and miss some that touch single tokens only. Do you compare *every* token, alone and in company? Or does only one of them decide: with `any`, or in a loop that keeps its last result alone? Take `all`.",
        missing(SOME_ROWS),
        "some rows missed: You miss faults that touch single tokens only, or larger batches only. Take as many tokens as the text says, and compare *every* one, alone and in company.",
        both(few, missing(SOME_ROWS, CROWDS)),
        "same number: You miss what looks at *how many* tokens there are. Compare batches of different size: a token alone, and in company.",
        both(one_size, missing(SOME_ROWS, CROWDS, NUMBER, PAIRS)),
        "company left: You compare a batch with other batches, and some faults show only where the company is gone: neighbours are still together in a smaller batch, a mean stays the same in a doubled one. Route each token alone.",
        both(never_alone, missing(KINDS)),
        "wide tolerance: You miss the router whose probabilities are off by less than 0.01. A good one differs by 10⁻⁶ at most: leave room for that and not for more, `np.allclose(one, other, atol=1e-4)`.",
        both(many, missing(SLIGHT)),
        "too loose: Your batches are large enough, and still you call some bad routers good. Is every single probability compared, and with room for rounding only? A wide tolerance, `any`, sums, means and a comparison of the best experts alone hide faults: `np.allclose(one, other, atol=1e-4)`.",
        both(many, missing(KINDS)),
        "no room for rounding: You find all bad routers, and call a good one bad too. Do you compare exactly? Two right computations differ in the last digits, in float32 by about 10⁻⁷: use `np.allclose`.",
        refusing_good,
    ),
)
