"""Question 3.4: a schedule that survives a restart."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from moe_lessons.checks.calls import AnswerRaised, call_answer
from moe_lessons.checks.question import NO_ANSWER, Data, FunctionQuestion, Reply, about
from moe_lessons.checks.values import agree, show, unbracketed
from moe_lessons.checks.verdicts import Verdict, by_value


def restart_cases(rng: np.random.Generator) -> list[tuple]:
    """The present τ, the end and how many values are still to come: falling, rising, two left, at the end already."""
    return [
        (4.0, 0.25, 4),
        (round(float(rng.uniform(2, 8)), 1), round(float(rng.uniform(0.05, 0.5)), 2), int(rng.integers(6, 12))),
        (0.5, round(float(rng.uniform(2, 4)), 1), 7),
        (3.0, 1.0, 2),
        (0.7, 0.7, 3),
    ]


def walks(rng: np.random.Generator) -> list[tuple]:
    """Return where walks start and end, and their number of steps: falling, rising, and one that is the last step."""
    return [(round(float(rng.uniform(3, 6)), 1), 0.5, 5), (0.2, round(float(rng.uniform(1, 3)), 1), 4), (2.0, 0.6, 1)]


def with_exponent(exponent: Callable) -> Callable:
    """Return the function of (tau, end, left) that is tau · (end/tau)^exponent(left)."""
    return lambda tau, end, left: tau * (end / tau) ** exponent(left)


following = with_exponent(lambda left: 1 / left)


def falling_only(tau: float, end: float, left: int) -> float:
    """Return the next temperature, which is never above the present one."""
    return min(tau, following(tau, end, left))


def turned_to_fall(tau: float, end: float, left: int) -> float:
    """Return the next temperature, by a ratio that is turned upside down where it is above 1."""
    return tau * min(end / tau, tau / end) ** (1 / left)


def planned(offset: int, to_end: bool, tau: float, end: float, left: int) -> float:
    """Return what the nine values from 4 give for so many left: they fall to the end, or to the 0.25 above."""
    last = end if to_end else 0.25
    return 4.0 * (last / 4.0) ** ((9 - left + offset) / 8)


def multiplied(ratio: float, tau: float, end: float, left: int) -> float:
    """Return the present temperature times a ratio that is always the same."""
    return ratio * tau


def at_least(ratio: float, tau: float, end: float, left: int) -> float:
    """Return the same, but never below the end."""
    return max(ratio * tau, end)


def rounded(decimals: int, tau: float, end: float, left: int) -> float:
    """Return the next temperature with so many decimals."""
    return round(following(tau, end, left), decimals)


@dataclass(frozen=True, kw_only=True)
class RestartQuestion(FunctionQuestion):
    """After the single calls the function is called again and again with what it returned, until no value is left."""

    probed_on: ClassVar[tuple[str, ...]] = ("cases", "walks")

    def draw(self, rng: np.random.Generator) -> Data:
        """Return the cases and the walks."""
        return {**super().draw(rng), "walks": walks(rng)}

    def probe(self, answer: Any, data: Data) -> Reply:
        """Call the answer on each case, then walk with it."""
        reply = super().probe(answer, data)
        return {**reply, "walked": [self._walk(answer, *walk) for walk in data["walks"]]}

    @np.errstate(all="ignore")
    def _walk(self, answer: Any, tau: float, end: float, steps: int) -> dict[str, Any]:
        """Return the values of a walk as far as they are numbers, and the error that stopped it, if one did."""
        path: list[float] = []
        for left in range(steps, 0, -1):
            try:
                value = unbracketed(call_answer(answer, self.parameters, (tau, end, left))[0])
            except AnswerRaised as raised:
                error = raised.__cause__
                return {"path": path, "raised": f"{type(error).__name__} for {raised}: {str(error)[:200]}"}
            if not isinstance(value, np.ndarray) or value.ndim or value.dtype.kind not in "fiu":
                break
            tau = float(value)
            path.append(tau)
        return {"path": path, "raised": ""}

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Judge the single calls; show where a wrong function walks to; then judge the walks."""
        verdict, walked = super().judge(data, reply), reply.get("walked", [])
        if len(walked) != len(data["walks"]):  # only a forged reply can be so
            return NO_ANSWER if verdict.correct else verdict
        stories = [walked_wrong(*pair) for pair in zip(data["walks"], walked, strict=True)]
        wrong = next(filter(None, stories), "")
        if not verdict.correct:
            return replace(verdict, case="\n".join(filter(None, (verdict.case, wrong))))
        if stories[-1]:
            return Verdict(False, LAST_STEP, "no last step", stories[-1])
        return Verdict(False, REMEMBERS, "remembers", wrong) if wrong else verdict


LAST_STEP = (
    "Right as long as more than one value is to come. With left = 1 the next value is the last: it must be the end."
)
REMEMBERS = "Each call is right by itself, but called again and again with its own answers your function leaves the path. It must not remember anything from one call to the next, and must return every digit."


def walked_wrong(walk: tuple, walked: dict[str, Any]) -> str:
    """Say where a walk went that is not the right one, or nothing."""
    start, end, steps = walk
    right, path = np.geomspace(start, end, steps + 1)[1:], np.array(walked["path"])  # (steps,), at most (steps,)
    if agree(path, right):
        return ""
    if walked["raised"]:
        return f"It raised {walked['raised']}"
    where = f"Called {steps} times with its own answers" if steps > 1 else "Called for the last step"
    return f"{where}, from τ = {start:g} to {end:g}: {show(path)}. It should go {show(right)}." if path.size else ""


RESTART = RestartQuestion(
    **about("3.4", "A schedule that survives a restart", "find the bug", "easy", points=2, minutes=6),
    hints=(
        "From 4 by equal ratios to 0.25, with four values still to come, the last of them 0.25: how many ratios is that, and so what is each?",
        "All the ratios that are left multiply to `end / tau`, and there are as many as there are values to come. The one that is due now is a root of that.",
    ),
    idea="Equal ratios have no memory: of `left` steps to go, each is the `left`-th root of end/τ, wherever the run stands and however it came there.",
    takeaway="A rule for the next value from the present one survives restarts and changed plans; a schedule that counts steps must save the count and the start.",
    answer="my_next",
    parameters=("tau", "end", "left"),
    cases=restart_cases,
    reference=following,
    read=lambda value, *_: unbracketed(value),
    when_raised="If it is about an index: `np.geomspace(a, b, n)` has n values, and a is one of them.",
    mistakes=by_value(
        "one ratio too few: You share the way among left − 1 ratios, as between `left` values of which the present one is the first. But it is not one of those to come: from it to the end there are `left` ratios. (Lesson 03's schedule counts both ends.)",
        with_exponent(lambda left: 1 / (left - 1)),
        "one ratio too many: You share the way among left + 1 ratios. The path never arrives: there are as many ratios as values to come.",
        with_exponent(lambda left: 1 / (left + 1)),
        "ratio upside down: It moves away from the end instead of towards it: the ratio is upside down.",
        tuple(with_exponent(lambda left, more=more: -1 / (left + more)) for more in (0, 1, -1)),
        "linear: These steps have equal differences. Geometric means equal ratios.",
        (
            lambda tau, end, left: tau + (end - tau) / left,
            lambda tau, end, left: tau + (end - tau) / (left - 1),
            lambda tau, end, left: tau + (end - tau) / (left + 1),
            lambda tau, end, left: (tau + end) / 2,
        ),
        "equal steps of 1/τ: Here 1/τ grows by equal differences. Geometric means equal ratios.",
        lambda tau, end, left: 1 / (1 / tau + (1 / end - 1 / tau) / left),
        "two steps at once: This is the value after the next: you go two of the ratios at once.",
        with_exponent(lambda left: 2 / left),
        "power for root: You raised end/τ to the power of `left`. Of `left` equal ratios that multiply to end/τ each is a *root*.",
        with_exponent(lambda left: left),
        "start built in: The start of the schedule above, 4, is in your rule. After a restart only the present τ counts, the end, and how many are still to come.",
        (
            *(partial(planned, offset, to_end) for offset in (-1, 0, 1) for to_end in (True, False)),
            lambda tau, end, left: 4.0 * (end / 4.0) ** (1 / left),
        ),
        "fixed ratio: You multiply by the same number every time. How fast τ must fall, or rise, depends on how far the end is and how many values are left.",
        tuple(
            partial(made, ratio) for ratio in (0.5, 0.7, 0.75, 0.8, 0.9, 0.95, 0.99) for made in (multiplied, at_least)
        ),
        "cosine: This is a step of the cosine schedule. Geometric means equal ratios.",
        lambda tau, end, left: end + (tau - end) * (1 + np.cos(np.pi / left)) / 2,
        "jumps to the end: You return the end at once. Only the last value is the end; this one is a single ratio away.",
        lambda tau, end, left: end,
        "stays: You return the present value. Asked is the next one. Or is your exponent 0? `1 // left` divides whole numbers; `1 / left` does not round.",
        lambda tau, end, left: tau,
        "half of the way: You go half of the way, the root of τ times the end, however many values are to come. That is right for two.",
        with_exponent(lambda left: 0.5),
        "in one direction: Right as long as τ falls. The end may also lie above τ: then the ratio is above 1, and nothing has to be limited.",
        (lambda tau, end, left: end if end > tau else following(tau, end, left), falling_only, turned_to_fall),
        "lesson's ratio: You multiply by the ratio of the schedule above, whatever the end and `left` are. What is left to go decides: end/τ in `left` steps.",
        (lambda tau, end, left: tau * (0.25 / 4.0) ** (1 / 8), lambda tau, end, left: max(tau / np.sqrt(2), end)),
        "a fixed number of steps: You share the way out among eight ratios, however many values are to come: `left` says how many.",
        (with_exponent(lambda left: 1 / 8), with_exponent(lambda left: 1 / 9)),
        "begun at the end: You began at the end and not at the present value.",
        (
            lambda tau, end, left: end * (end / tau) ** (1 / left),
            lambda tau, end, left: end * (tau / end) ** (1 / left),
        ),
        "rounded: Right, but rounded. Called again and again, it leaves the path: return every digit.",
        tuple(partial(rounded, decimals) for decimals in (1, 2, 3, 4)),
        "ratio alone: This is the ratio alone. Multiply the present value by it.",
        lambda tau, end, left: (end / tau) ** (1 / left),
        "root forgotten: You share the whole ratio end/τ out by division. Equal ratios multiply: take the root.",
        lambda tau, end, left: tau * (end / tau) / left,
        "step of the logarithm added: You added a step of ln τ to τ itself. Steps of the logarithm are added to ln τ; then take the exponential.",
        lambda tau, end, left: tau + np.log(end / tau) / left,
        "logarithm: This is the logarithm of the next value. Take the exponential.",
        lambda tau, end, left: np.log(following(tau, end, left)),
        "all that is left: These are all the values to come. Asked is the next one.",
        (
            lambda tau, end, left: np.geomspace(tau, end, left + 1)[1:],
            lambda tau, end, left: np.geomspace(tau, end, left + 1),
        ),
        "all that is left, one ratio too few: This is the schedule started anew from the present value: `left` values of which that is the first. Asked is one number, the next value; and from the present value to the end there are `left` ratios.",
        lambda tau, end, left: np.geomspace(tau, end, left),
    ),
)
