"""Question 5.6: a router as a module."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import scipy

from moe_lessons import routing
from moe_lessons.checks.calls import each_called
from moe_lessons.checks.gates import (
    kept_logits,
    kept_probabilities,
    masked_with_zero,
    naive_softmax,
    selected_mask,
    through_softmax,
)
from moe_lessons.checks.parts import Part
from moe_lessons.checks.question import Data, PropertyQuestion, Reply, about
from moe_lessons.checks.set_05.q1_expert import LAYER
from moe_lessons.checks.set_05.q5_backwards import of_their_sum
from moe_lessons.checks.set_05.q6_module import BFLOAT16, FLOAT32, PARTS, called_module, misfit
from moe_lessons.checks.values import agree, describe, difference, stacked, unpack
from moe_lessons.checks.verdicts import Facts, Fault, by_test, by_trace
from moe_lessons.precision import to_bfloat16

CLEAR = 0.01  # between any two logits of a token: no rounding of float32 decides who is selected
NEAR = 0.05  # of the largest number: bfloat16 has two to three digits
SURE = 0.9  # the largest probability of a token whose logits are not far apart
FAR, TIMES, AHEAD = 3, 256, 0.5  # so many tokens, times so much: their best expert is then 128 ahead, or more
LOST = 1e-50  # a probability so small is 0 in float32, where the least number is above 1e-45


def router_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (d, N, k, bias, W_g, b, x, v): rows, a batch of them, a single token with k = 1, and k = N.

    v is ∂L/∂weights. x is in eighths: bfloat16 holds it exactly. In the rows the last FAR tokens have logits so far
    apart that in float32 all probabilities but one are 0. Elsewhere none is near 1, where p(1 − p) loses its digits.
    """
    cases: list[tuple] = []
    for d, N, k, bias, shape in (
        (5, 7, 3, False, (5,)),
        (3, 6, 2, True, (2, 3)),
        (4, 5, 1, True, ()),
        (6, 3, 3, False, (2, 1, 4)),
    ):
        clear = False
        while not clear:
            W_g, b = 1.5 * rng.normal(size=(d, N)) / d**0.5, bias * rng.normal(size=N)  # (d, N), (N,)
            x = np.round(8 * rng.normal(size=(*shape, d))) / 8  # (..., d)
            h = x @ W_g + b  # (..., N)
            gaps = np.diff(np.sort(h, axis=-1))  # (..., N − 1), the last of each is the best expert's
            clear = gaps.min() >= CLEAR and (len(cases) > 0 or gaps[-FAR:, -1].min() >= AHEAD)
            clear = clear and routing.softmax(h).max() <= SURE
        if not cases:
            x[-FAR:] *= TIMES
        cases.append((d, N, k, bias, W_g, b, x, rng.normal(size=(*shape, k))))
    return cases


def expected_values(k: int, bias: bool, W_g: np.ndarray, b: np.ndarray, x: np.ndarray, v: np.ndarray) -> dict:
    """Return logits, selected and weights in form B, and the gradients of Σ weights·v to W_g and bias."""
    h = x @ W_g + b  # (..., N)
    selected = np.argsort(-h, axis=-1)[..., :k]  # (..., k)
    p, v_all = routing.softmax(h), np.zeros_like(h)  # (..., N) each
    np.put_along_axis(v_all, selected, v, axis=-1)
    v_h = through_softmax(p, v_all).reshape(-1, h.shape[-1])  # (T, N)
    found = {"logits": h, "selected": selected, "weights": np.take_along_axis(p, selected, axis=-1)}
    found |= {"W_g": x.reshape(-1, x.shape[-1]).T @ v_h}  # (d, N)
    return found | ({"bias": v_h.sum(axis=0)} if bias else {})


def parts_of(ran: dict) -> dict[str, Any] | None:
    """Return what a run gave, by name, with the gradients; None if it is not three things."""
    came = unpack(ran.get("returned"), PARTS)
    if came is None:
        return None
    return dict(zip(PARTS, map(stacked, came), strict=True)) | {
        name: ran["slopes"].get(name) for name in ("W_g", "bias")
    }


def first_wrong(came: dict, right: dict) -> str:
    """Return the name of the first part that is not right, or nothing."""
    return next((name for name in right if not agree(came[name], right[name])), "")


def near(value: Any, right: np.ndarray) -> bool:
    """Tell whether a value is right up to what bfloat16 rounds."""
    close = isinstance(value, np.ndarray) and value.shape == right.shape
    return bool(close and np.abs(value - right).max() < NEAR * np.abs(right).max())


def is_or_rounds_to(value: Any, right: np.ndarray) -> bool:
    """Tell whether a value is right, or what bfloat16 makes of what is right."""
    return agree(value, right) or agree(value, to_bfloat16(right))


def half_found(ran: dict, right: dict) -> dict[str, Any]:
    """Return facts about the run with x in bfloat16: the error, the first wrong part, whether rounding explains it."""
    came = parts_of(ran)
    if came is None:
        raised = str(ran.get("raised", ""))
        lost = {"raised": raised, "half_wrong": "logits", "rough": False, "half_seen": "", "given_back": False}
        return lost | {"half_logits": None}
    wrong = first_wrong(came, right)
    flipped = not agree(came["selected"], right["selected"])
    rough = near(came["logits"], right["logits"]) and (flipped or near(came["weights"], right["weights"]))
    seen = f"x in bfloat16: {said(wrong, came, right)}" if wrong else ""
    given_back = BFLOAT16 in ran["formats"] and all(is_or_rounds_to(came[part], right[part]) for part in PARTS)
    found = {"raised": "", "half_wrong": wrong, "rough": bool(wrong) and rough, "half_seen": seen}
    return found | {"given_back": given_back, "half_logits": came["logits"]}


def said(wrong: str, came: dict, right: dict) -> str:
    """Say how a part differs from what is right."""
    if wrong not in PARTS and came[wrong] is None:
        return f"no gradient reaches {wrong}"
    what = wrong if wrong in PARTS else f"the gradient of the weighted sum of the weights to {wrong}"
    if isinstance(came[wrong], np.ndarray) and came[wrong].shape != right[wrong].shape:
        return f"{what}: expected the shape {right[wrong].shape}, came {came[wrong].shape}"
    return difference(came[wrong], right[wrong], what, guess=False)


def router_found(
    value: dict, d: int, N: int, k: int, bias: bool, W_g: np.ndarray, b: np.ndarray, x: np.ndarray, v: np.ndarray
) -> dict | Fault:
    """Return facts about a module: of its run in float32, then of that in bfloat16."""
    if fault := misfit({name: value[name] for name in ("shapes", "formats", "tensors")}, d, N, bias):
        return fault
    came, right = parts_of(value["float32"]), expected_values(k, bias, W_g, b, x, v)
    if came is None:
        what = describe(value["float32"]["returned"])
        return Fault(None, f"Expected three things: {', '.join(PARTS)}. Your module returned {what}.")
    wrong, half = first_wrong(came, right), half_found(value["bfloat16"], right)
    formats = [*value["float32"]["formats"], *value["bfloat16"].get("formats", [])]
    other = next((f for f in (*formats[::3], *formats[2::3]) if f != FLOAT32), "")
    seen = said(wrong, came, right) if wrong else half["raised"] or half["half_seen"]
    case = f"d_model = {d}, num_experts = {N}, top_k = {k}, bias = {bias}, x of shape {x.shape}"
    plainly = x @ W_g  # (..., N)
    found = {"came": came, "right": right, "wrong": wrong, "other": other, "seen": seen, "case": case}
    return found | half | {"h": right["logits"], "plainly": plainly, "k": k, "d": d, "x": x, "W_g": W_g, "b": b}


def is_it(part: str, formula: Callable[[Facts], Any]) -> Callable[[Facts], bool]:
    """Return the test whether a part is what a formula gives."""
    return lambda found: agree(found.came[part], formula(found))


def chosen_of(values: np.ndarray, found: Facts) -> np.ndarray:
    """Return values (..., N) at the selected experts. (..., k)."""
    return np.take_along_axis(values, found.right["selected"], axis=-1)


def picked(formula: Callable[[np.ndarray], np.ndarray]) -> Callable[[Facts], bool]:
    """Return the test whether the weights are formula(logits), (..., N), at the selected experts."""
    return is_it("weights", lambda found: chosen_of(formula(found.h), found))


def along(axis: Any) -> Callable[[Facts], bool]:
    """Return the test whether the weights are of a softmax along another axis, selected by the logits or by itself."""

    def of_softmax(found: Facts) -> bool:
        p = naive_softmax(found.h, found.h.max(axis=axis_of(found), keepdims=True), axis_of(found))  # (..., N)
        by_logits = chosen_of(p, found)  # (..., k)
        return any(agree(found.came["weights"], w) for w in (by_logits, np.sort(p, axis=-1)[..., ::-1][..., : found.k]))

    def axis_of(found: Facts) -> Any:
        return axis if found.h.ndim > 1 else -1  # a single token has only one

    return of_softmax


def by_probability(found: Facts) -> bool:
    """Tell whether the wrong experts are those whose probabilities are 0 in float32, as are those of the right ones.

    It does so where there are such; elsewhere, whether the module is right in float32.
    """
    p, (chosen, right) = routing.softmax(found.h), (selected["selected"] for selected in (found.came, found.right))
    if not (np.take_along_axis(p, right, axis=-1) < LOST).any():
        return not found.wrong
    shaped = isinstance(chosen, np.ndarray) and chosen.shape == right.shape
    if found.wrong != "selected" or not shaped or not np.isin(chosen, range(p.shape[-1])).all():
        return False
    came = np.take_along_axis(p, chosen.astype(int), axis=-1)  # (..., k)
    return bool(((chosen == right) | (came < LOST) & (np.take_along_axis(p, right, axis=-1) < LOST)).all())


def is_overflow(found: Facts) -> bool:
    """Tell whether the logits are right and some weights are no numbers."""
    weights = found.came["weights"]
    return found.wrong in PARTS[1:] and isinstance(weights, np.ndarray) and bool(np.isnan(weights).any())


def is_flat(found: Facts) -> bool:
    """Tell whether all three are right but for the leading axes, which are made one."""
    rows = {name: found.right[name].reshape(-1, found.right[name].shape[-1]) for name in PARTS}
    return found.wrong in PARTS and all(agree(found.came[name], rows[name]) for name in PARTS)


def is_of_another_k(found: Facts) -> bool:
    """Tell whether so many experts are selected for each token as are neither k nor all."""
    chosen, right = found.came["selected"], found.right["selected"]
    shaped = isinstance(chosen, np.ndarray) and chosen.ndim == right.ndim and chosen.shape[:-1] == right.shape[:-1]
    return found.wrong == "selected" and shaped and chosen.shape[-1] not in (right.shape[-1], found.h.shape[-1])


def is_reordered(found: Facts) -> bool:
    """Tell whether the three came in another order."""
    came = [found.came[name] for name in PARTS]
    return any(all(agree(a, found.right[b]) for a, b in zip(order, PARTS, strict=True)) for order in permutations(came))


def is_unsorted(found: Facts) -> bool:
    """Tell whether each token has the right experts in another order, and not just all N of them."""
    chosen, right = found.came["selected"], found.right["selected"]
    shaped = isinstance(chosen, np.ndarray) and chosen.shape == right.shape != found.h.shape
    return found.wrong == "selected" and shaped and agree(np.sort(chosen, axis=-1), np.sort(right, axis=-1))


def is_rough_throughout(found: Facts) -> bool:
    """Tell whether the logits of x in float32 are right but for the digits that bfloat16 has not."""
    came, right = found.came["logits"], found.right["logits"]
    return found.wrong == "logits" and near(came, right)


def with_rounded(W_rounds: bool, b_rounds: bool) -> Callable[[Facts], bool]:
    """Return the test whether the logits of x in bfloat16 are exact for a W_g, or a bias, that was rounded to it."""

    def test(found: Facts) -> bool:
        W_g, b = (to_bfloat16(a) if rounds else a for a, rounds in ((found.W_g, W_rounds), (found.b, b_rounds)))
        return not found.wrong and agree(found.half_logits, found.x @ W_g + b)

    return test


def is_off_by_token(found: Facts) -> bool:
    """Tell whether the logits are right but for a number of each token's own."""
    came = found.came["logits"]
    if found.wrong != "logits" or not isinstance(came, np.ndarray) or came.shape != found.h.shape:
        return False
    off = came - found.h  # (..., N)
    return agree(found.h + off[..., :1], came)


def sums_to_1_from_k_2(found: Facts) -> Any:
    """Return the weights (..., k) of form A where k is above 1, of form B where it is 1."""
    return routing.softmax(chosen_of(found.h, found)) if found.k > 1 else found.right["weights"]


def is_cut_off(found: Facts) -> bool:
    """Tell whether the values are right and no gradient reaches W_g."""
    return found.wrong == "W_g" and (found.came["W_g"] is None or not np.any(found.came["W_g"]))


NAMED = {**dict(zip(PARTS, PARTS, strict=True)), "W_g": "gradient to W_g", "bias": "gradient to bias"}


@dataclass(frozen=True, kw_only=True)
class RouterQuestion(PropertyQuestion):
    """A module class is right whose parameters, results and gradients are, also for tokens in bfloat16."""

    def probe(self, answer: Any, data: Data) -> Reply:
        """Make a module for each case and run it."""
        calls = each_called(lambda case: called_module(answer, self.parameters, case), data["cases"])
        return {"values": [call.value for call in calls], "changed": []}

    def rights(self, data: Data, reply: Reply) -> tuple[Part, ...]:
        """Tell of each part, and of the gradient to each parameter, in how many cases it is right in float32."""
        runs = [router_found(value, *case) for value, case in zip(reply["values"], data["cases"], strict=True)]
        facts = [run for run in runs if not isinstance(run, Fault)]
        if len(facts) < len(runs):
            return ()
        right = {
            name: [agree(run["came"][name], run["right"][name]) for run in facts if name in run["right"]]
            for name in NAMED
        }
        return tuple(Part(NAMED[name], sum(found), len(found)) for name, found in right.items())


ROUTER = RouterQuestion(
    **about("5.6", "A router as a module", "write it", "medium", points=3, minutes=10),
    needs_torch="tensors",
    asks_for="class",
    hints=(
        "Begin with the lesson's Router and change two things: x becomes float32 first (`x.float()`), and the softmax is over all N logits, before anything is cut.",
        "Select on the logits: `selected = logits.topk(self.top_k).indices`. With the probabilities p of all experts, the weights are `p.gather(-1, selected)`; no division follows. Softmax and top-k both work along the last axis, however many stand before it.",
    ),
    idea="A module is its parameters, by name and shape, and what it computes from them. Form B is a softmax over all N, of which the k largest are handed on as they are.",
    takeaway="Many models run in bfloat16 and keep the router in float32; and the names and shapes in a checkpoint never say which form its gate has.",
    answer="MyRouter",
    parameters=("d_model", "num_experts", "top_k", "bias"),
    stands_for=(*LAYER, "layer.Router", "layer.gate_selected", "gate.selected_weights"),
    when_raised="x is (…, d) with any leading shape, also a single token (d,): the experts are the last axis, −1. W_g is (d, N), so the logits are `x @ W_g`.",
    cases=router_cases,
    measured=router_found,
    right=lambda found: not (found.wrong or found.half_wrong or found.other),
    mistakes=by_test(
        "formats mixed: In float32 all is right, but with x in bfloat16 your module raises: torch multiplies numbers of one format only, and W_g is float32. Make x float32 first: `x.float()`.",
        lambda found: not found.wrong and found.raised,
        "given back in bfloat16: In float32 all is right; with x in bfloat16 you turn what you computed into bfloat16 at the end, and lose digits. `logits` and `weights` go back as they are, in float32, whatever x is.",
        lambda found: not found.wrong and found.half_wrong and found.given_back,
        "rounded parameters: In float32 all is right; with x in bfloat16 you round W_g or the bias to bfloat16, and only then compute in float32. What was rounded does not come back: the parameters stay as they are, and only x becomes float32, `x.float()`.",
        (with_rounded(True, True), with_rounded(True, False), with_rounded(False, True)),
        "computed in bfloat16: In float32 all is right; with x in bfloat16 your numbers have two or three digits only: the scores or the softmax are computed in bfloat16. Make x float32 first, `x.float()`, and stay there.",
        lambda found: not found.wrong and found.rough,
        ": The numbers are right, but not their format: logits and weights come back as float32, whatever x is; yours are {other}.",
        lambda found: not found.wrong and not found.half_wrong and found.other,
        "gradient cut: The weights are right, but no gradient reaches W_g, so the router would never learn. `.detach()`, `.data`, `torch.no_grad()`, `torch.tensor(...)`, numpy and `requires_grad=False` all cut the way back.",
        is_cut_off,
        ": The numbers are right, but the gradient of the weights to {wrong} is not.",
        lambda found: found.wrong in ("W_g", "bias"),
        "another order: All three are right, but they come in another order. Return logits, selected, weights.",
        lambda found: found.wrong in PARTS and is_reordered(found),
    )
    + by_trace(
        "overflow: Some of your weights are no numbers. Logits may lie far from 0, and e^h is ∞ above 88 in float32, and 0 far below. Take `torch.softmax`, or subtract each token's *own largest* logit first: not the mean, the smallest, or the largest of the batch.",
        is_overflow,
    )
    + by_test(
        "selected on probabilities: You selected by the probabilities. Where logits lie far apart, several probabilities are 0 in float32, and no longer tell which expert is better; the logits do. Select on the logits, then take the probabilities of the selected.",
        by_probability,
    )
    + by_trace(
        "flattened: The numbers are right, but the leading axes of x are gone: you made rows of all tokens. The leading shape stays: x (2, 3, d) gives logits (2, 3, N).",
        is_flat,
        "another k: `selected` does not hold k experts of each token. How many they are is said when the module is made: keep `top_k`, and use it.",
        is_of_another_k,
        "not best first: Each token has the right experts, but not the best one first.",
        is_unsorted,
    )
    + by_test(
        "16 bits throughout: Your logits have two or three digits only, also where x is float32. Was W_g or x turned into bfloat16? Make x float32, `x.float()`, and stay there.",
        is_rough_throughout,
        "bias subtracted: You subtracted the bias. It is added: h = x W_g + bias.",
        is_it("logits", lambda found: 2 * found.plainly - found.h),
        "counted from 1: Every index in `selected` is one too high. Experts are numbered from 0.",
        is_it("selected", lambda found: found.right["selected"] + 1),
        "weights not best first: `selected` is right, but the weights stand the other way round. weights[…, j] belongs to selected[…, j].",
        is_it("weights", lambda found: found.right["weights"][..., ::-1]),
        "bias not added: The bias is a parameter, and it is not in the logits: h = x W_g + bias.",
        is_it("logits", lambda found: found.plainly),
        "probabilities as logits: Your first result is the softmax. Return the logits before it: balancing losses need them.",
        is_it("logits", lambda found: routing.softmax(found.h)),
        "off by token: Your logits are right but for one number of each token's own, which is taken from all its N: that is what `log_softmax` does, or subtracting the largest. Asked is x W_g, plus the bias, as it is.",
        is_off_by_token,
        "bias after the softmax: Your weights are right for the logits *without* the bias. The softmax is over the logits that you return, x W_g plus the bias.",
        is_it("weights", lambda found: chosen_of(routing.softmax(found.plainly), found)),
        "divided by √d: You divided the logits by √d, as attention does. A router's logits are x W_g.",
        (
            is_it("logits", lambda found: found.h / found.d**0.5),
            is_it("logits", lambda found: found.plainly / found.d**0.5 + found.h - found.plainly),
        ),
        "cut logits: Your first result has −∞ for the cut experts. Return all N logits as they are: balancing losses need them.",
        is_it("logits", lambda found: kept_logits(found.h, found.k)),
        "selected logits: Your first result has the logits of the k selected alone. Return those of all N experts: balancing losses need them.",
        is_it("logits", lambda found: chosen_of(found.h, found)),
        "largest sizes: You selected those that are largest without their signs. A logit far below 0 is a small one.",
        is_it("selected", lambda found: np.argsort(-np.abs(found.h), axis=-1)[..., : found.k]),
        "worst experts: You selected the experts with the smallest logits.",
        is_it("selected", lambda found: np.argsort(found.h, axis=-1)[..., : found.k]),
        "a mask: `selected` is a mask over all experts. Asked are the indices of the k selected ones, best first: (…, k).",
        (
            is_it("selected", lambda found: selected_mask(found.h, found.k)),
            is_it("selected", lambda found: selected_mask(found.h, found.k).astype(int)),
        ),
        "form A: The weights of each token sum to 1: a softmax over the k kept logits, form A, as in the lesson's Router; or divided by their sum, form B′, which is the same function. Asked is form B: a softmax over all N logits, of which k are kept as they are.",
        is_it("weights", lambda found: routing.softmax(chosen_of(found.h, found))),
        "form A for k > 1: Where k is above 1 the weights of each token sum to 1: that is form A, or B′, which is the same function. Asked is form B whatever k is: a softmax over all N logits, of which k are kept as they are.",
        is_it("weights", sums_to_1_from_k_2),
        "not cut: These are the probabilities of all N experts. Asked are those of the k selected: (…, k), in the order of `selected`.",
        is_it("weights", lambda found: routing.softmax(found.h)),
        "full width: The weights are right, but with a place for all N experts. Asked are those of the k selected: (…, k), in the order of `selected`.",
        is_it("weights", lambda found: kept_probabilities(found.h, found.k)),
        "logits as weights: The weights are the selected logits. A softmax over all N makes probabilities of them.",
        picked(lambda h: h),
        "logarithms: These weights are logarithms of the probabilities, as `log_softmax` gives them.",
        picked(lambda h: h - routing.log_sum_exp(h)[..., None]),
        "softmax twice: You took a softmax of the probabilities. The logits go into one, and what it returns are the weights.",
        picked(lambda h: routing.softmax(routing.softmax(h))),
        "sigmoid: You used the sigmoid of each logit: experts then do not compete. Form B has a softmax over all N.",
        picked(lambda z: scipy.special.expit(z)),  # scipy is loaded late
        "sigmoids divided: You divided sigmoids by their sum, as some models do. Form B is a softmax, which is made of e to the logits.",
        (
            picked(lambda z: of_their_sum(scipy.special.expit(z))),
            is_it("weights", lambda found: of_their_sum(scipy.special.expit(chosen_of(found.h, found)))),
        ),
        "masked with 0: Before the softmax you set the cut logits to 0, which is not the same as to leave them. Form B: first the softmax, over the logits as they are.",
        is_it("weights", lambda found: chosen_of(masked_with_zero(found.h, found.k), found)),
        "softmax over the tokens: Your softmax goes along the tokens: they compete for an expert. The experts compete for a token: `dim=-1`.",
        (along(0), along(1), along(-2)),
        "softmax over everything: One softmax for all tokens together. Each token has its own: `dim=-1`.",
        along(None),
    ),
    report="{seen}\nfor {case}",
)
