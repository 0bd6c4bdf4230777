"""Calling a learner's function: on copies, with helpers and tensors, and what is kept of it as plain data."""

import contextlib
import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Protocol

import numpy as np

from moe_lessons.checks.values import agree, describe, plain, show, stacked


class AnswerRaised(Exception):
    """The learner's function raised; the message says what it was called with, the cause is the error.

    before: what came in the cases before; reply: the same, as `probe` returns it.
    """

    before: list["Called"]
    reply: dict[str, Any] | None = None


class Helper(Protocol):
    """Makes the last argument of a call from the last entry of a case, and notes what is done with it.

    The learner gets `argument`; `noted` is plain data for the judge; `written` says in code what it was, if it can.
    """

    argument: Any

    def __init__(self, entry: Any) -> None: ...

    def noted(self) -> Any:
        """Return what was noted, as plain data."""

    @staticmethod
    def written(name: str, entry: Any) -> str:
        """Return the argument as code, or nothing."""


class Lender:
    """A helper that lends functions of one argument: `work` is what they do, and notes it.

    In marking, they work outside the sandbox: what they are made of and what is noted is where no answer can reach it.
    `as_given` says that a tensor gets a tensor.
    """

    as_given: ClassVar[bool] = False

    def __init__(self, entry: Any) -> None:
        self.argument = lent(self.work, self.many(entry), self.as_given)

    @staticmethod
    def many(entry: Any) -> int | None:
        """Return how many functions are lent in a list, or None for one that is in no list."""

    def work(self, index: int, given: Any) -> np.ndarray:
        """Do what a function does with plain data. Raises ValueError for what it does not take."""
        raise NotImplementedError

    def noted(self) -> Any:
        """Return nothing, unless something was noted."""

    @staticmethod
    def written(name: str, entry: Any) -> str:
        """Return nothing: the learner does not see what they are made of."""
        return ""


def lent(work: Callable[[int, Any], Any], many: int | None, as_given: bool) -> Any:
    """Return a list of functions of one argument, or the only one, that do work(index, the argument as plain data).

    Where nothing comes of an array but itself, a function hands back that very array, as `lambda x: x` does.
    """

    def function(index: int) -> Callable[[Any], Any]:
        def lent_function(x: Any) -> Any:
            given = stacked(plain(x))
            y = work(index, given)
            if isinstance(x, np.ndarray) and agree(y, given):
                return x
            return x.new_tensor(y) if as_given and hasattr(x, "new_tensor") else y

        return lent_function

    return function(0) if many is None else [function(i) for i in range(many)]


class SeededGenerator:
    """A numpy generator made from the seed in the case. Notes whether anything was drawn from it."""

    def __init__(self, entry: Any) -> None:
        self.argument, self.fresh = np.random.default_rng(entry), np.random.default_rng(entry)

    def noted(self) -> bool:
        """Tell whether anything was drawn."""
        return bool(self.argument.bit_generator.state != self.fresh.bit_generator.state)

    @staticmethod
    def written(name: str, entry: Any) -> str:
        """Return the generator as code."""
        return f"{name} = np.random.default_rng({entry})"


@dataclass(frozen=True)
class Called:
    """What came of a call: the plain value, the names of the arguments it changed, what a helper noted."""

    value: Any
    changed: list[str]
    noted: Any = None


def call_answer(
    function: Callable[..., Any], parameters: tuple[str, ...], case: tuple, *helpers: Any
) -> tuple[Any, list[str]]:
    """Call a learner's function on copies of `case`, then the helpers as they are (functions to be called).

    Return its plain value and the names of the arguments it changed.
    """
    mine = copy.deepcopy(case)
    parameters = parameters[: len(case)]
    try:
        value = plain(function(*mine, *helpers))
    except Exception as error:
        raise AnswerRaised(asked_with(parameters, case)) from error
    pairs = zip(parameters, mine, case, strict=True)
    return value, [name for name, now, before in pairs if _changed(plain(now), plain(before))]


def called_with_help(
    function: Callable[..., Any], parameters: tuple[str, ...], case: tuple, helper: type[Helper]
) -> Called:
    """Call a learner's function; `helper` makes its last argument from the last entry of the case."""
    help = helper(case[-1])
    value, changed = call_answer(function, parameters, case[:-1], help.argument)
    return Called(value, changed, help.noted())


def called_with_tensors(
    function: Callable[..., Any], parameters: tuple[str, ...], case: tuple, tensors: tuple[str, ...]
) -> Called:
    """Call a learner's function with tensors in the place of the arrays that are named, with gradients on."""
    import torch  # here, so that reading the questions does not load it

    given = [torch.tensor(a) if name in tensors else a for name, a in zip(parameters, case, strict=False)]
    with torch.enable_grad():
        return Called(*call_answer(function, parameters, tuple(given)))


def differentiated(
    function: Callable[..., Any], parameters: tuple[str, ...], case: tuple, slopes: tuple[str, ...]
) -> Called:
    """Call a learner's function with tensors, and differentiate what it returns by those that are named.

    What is differentiated is the number that came, or the sum of y·v where the case goes on with a v beyond the
    parameters. The value is a list: what came, then a gradient for each name; 0 where none arrives, None where no
    tensor came. It is noted whether what came carries a gradient at all.
    """
    import torch

    named = dict(zip(parameters, copy.deepcopy(case), strict=False))
    named |= {name: torch.tensor(named[name], requires_grad=True) for name in slopes}
    v = torch.tensor(case[len(parameters)]) if len(case) > len(parameters) else None
    try:
        with torch.enable_grad():
            return _differentiated(function(*(_cloned(a) for a in named.values())), [named[n] for n in slopes], v)
    except Exception as error:
        raise AnswerRaised(asked_with(named, named.values())) from error


def _cloned(argument: Any) -> Any:
    """Return a copy of a tensor through which gradients flow back; anything else as it is."""
    return argument.clone() if hasattr(argument, "requires_grad") else argument


def _differentiated(y: Any, leaves: list, v: Any) -> Called:
    """Differentiate y, or the sum of y·v, by the leaves."""
    import torch

    if not isinstance(y, torch.Tensor):
        return Called([plain(y), *(None for _ in leaves)], [], False)
    if v is None:
        y = y.reshape(()) if y.numel() == 1 else y  # one number, in whatever brackets
        v = torch.tensor(1.0)
    if not y.requires_grad or y.shape != v.shape:
        return Called([plain(y), *(np.zeros(leaf.shape) for leaf in leaves)], [], bool(y.requires_grad))
    found = torch.autograd.grad((y * v).sum(), leaves, allow_unused=True)
    pairs = zip(found, leaves, strict=True)
    return Called([plain(y), *(np.zeros(leaf.shape) if g is None else plain(g) for g, leaf in pairs)], [], True)


def each_called(call: Callable[[tuple], Called], cases: list[tuple], quiet: bool = False) -> list[Called]:
    """Call a learner's function on every case; when it raises after others, say so. What came there may be wrong."""
    results: list[Called] = []
    for case in cases:
        try:
            with np.errstate(all="ignore") if quiet else contextlib.nullcontext():
                results.append(call(case))
        except AnswerRaised as raised:
            before = f" ({len(results)} before raised nothing)" if results else ""
            later = AnswerRaised(f"{raised}{before}")
            later.before = results
            raise later from raised.__cause__
    return results


def replied(call: Callable[[tuple], Called], cases: list[tuple], quiet: bool, noted: bool) -> dict[str, Any]:
    """Call a learner's function on every case; return what came as plain data, with the notes if there are any.

    What it raises in a later case carries the reply of those before.
    """
    try:
        return _as_reply(each_called(call, cases, quiet), noted)
    except AnswerRaised as raised:
        raised.reply = _as_reply(raised.before, noted)
        raise


def _as_reply(calls: list[Called], noted: bool) -> dict[str, Any]:
    changed = sorted({name for call in calls for name in call.changed})
    notes = {"noted": [call.noted for call in calls]} if noted else {}
    return {"values": [call.value for call in calls], "changed": changed, **notes}


def asked_with(names: Iterable[str], arguments: Iterable[Any]) -> str:
    """Say what a function was called with."""
    return ", ".join(map(_named, names, arguments))


def _named(name: str, argument: Any) -> str:
    """Name an argument: a number with its value, an array or a tensor with its shape, a list with its length."""
    value = plain(argument)
    if isinstance(argument, list):
        return f"{name}: a list of {len(argument)}"
    if isinstance(value, np.ndarray) and not isinstance(argument, np.ndarray) and value.ndim:
        return f"{name}: a tensor of shape {value.shape}"
    small = isinstance(value, (np.ndarray, str)) and np.ndim(value) == 0
    return f"{name} = {show(value)}" if small else f"{name}: {describe(value)}"


def _changed(now: Any, before: Any) -> bool:
    """Tell whether an argument that holds numbers differs from what was passed."""
    return isinstance(before, np.ndarray) and not (isinstance(now, np.ndarray) and agree(now, before))


def remark_on_changes(changed: list[str]) -> str:
    """Warn that the caller's arrays were changed in place; say nothing when they were not."""
    if not changed:
        return ""
    names = ", ".join(changed)
    return (
        f"One remark: your function changes its input {names} in place, so its caller's array is different afterwards."
    )


@cache
def load_torch(optimiser: bool) -> None:
    """Load torch before the learner's time counts; with `optimiser`, what it only loads when one steps, too.

    That takes seconds, and an import that the deadline cuts off half way leaves torch broken for good.
    """
    import torch

    if not optimiser:
        return
    W = torch.nn.Parameter(torch.ones(2))
    step = torch.optim.SGD([W], lr=0.1)
    with torch.enable_grad():
        W.square().sum().backward()
        torch.func.grad(lambda v: v.square().sum())(torch.ones(2))
    step.step()
