"""The package's own answers raise while a learner's is tried: not their names are blocked but their code.

So it does not matter where one is held: in a variable, a default argument, a list, an object that was made before. Nor
does it matter which copy: what was loaded again or run from the file has the same code. Who copies the text of a
function into an answer is not found out; nor is that meant to be.
"""

import contextlib
import gc
import importlib
import importlib.util
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

PACKAGE = Path(__file__).parents[1]
STUB = """
def blocked(*_arguments, **_named):
    from moe_lessons.checks.blocking import UsesReference
    raise UsesReference({!r})
"""


class _Settled:
    """The functions that were there, in an object that came right after: whether it is seen tells what still is."""

    def __init__(self, functions: list[FunctionType]) -> None:
        self.functions = functions


_settled: list[_Settled] = []


class UsesReference(BaseException):
    """The answer calls the package's function that it was asked to write. No `except Exception` hides it."""


@contextlib.contextmanager
def blocked(names: tuple[str, ...]) -> Iterator[None]:
    """Let functions of the package raise, and the methods of its classes: "routing.softmax", "layer.Experts"."""
    for name in names:
        _loaded(name)
    known = {code: name for name in names for code in codes(name)}
    held = [(function, function.__code__) for function in _alive(known)]
    for function, code in held:
        function.__code__ = _stub(known[code]).replace(co_freevars=code.co_freevars)
    try:
        yield
        for name in names:
            _stay_blocked(name)
    finally:
        for function, code in held:
            function.__code__ = code


@cache
def codes(name: str) -> frozenset[CodeType]:
    """Return the code of a function of the package, or of all methods of a class, as its file has it.

    Raises ValueError where the file has no such function.
    """
    module, _, wanted = name.rpartition(".")
    found = [code for code in _written(module) if f"{code.co_qualname}.".startswith(f"{wanted}.")]
    if not found:
        raise ValueError(f"moe_lessons.{module} defines no {wanted}")
    return frozenset(found)


@cache
def _written(module: str) -> list[CodeType]:
    """Return the code of all functions, methods and classes in the file of a module; none where there is no file."""
    spec: Any = importlib.util.find_spec(f"moe_lessons.{module}")
    whole = spec and spec.loader and spec.loader.get_code(spec.name)
    return list(_inside(whole)) if whole else []


def _inside(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of functions and classes in a file, and of what is in the classes."""
    for inner in code.co_consts:
        if isinstance(inner, CodeType) and "<locals>" not in inner.co_qualname:
            yield inner
            yield from _inside(inner)


def settle() -> None:
    """Remember the package's functions that are there by now, and let no later search go through all these objects.

    A process that is forked again and again, as a worker is, does so once: each search would copy all memory.
    """
    here = [one for one in gc.get_objects() if type(one) is FunctionType and _is_own(one.__code__)]
    gc.freeze()
    _settled[:] = [_Settled(here)]


def _is_own(code: CodeType) -> bool:
    return code.co_filename.startswith(f"{PACKAGE}{os.sep}")


def _alive(known: dict[CodeType, str]) -> list[FunctionType]:
    """Return every function there is that has one of these codes."""
    names = {code.co_name for code in known}
    functions = _functions() if known else []
    return [one for one in functions if one.__code__.co_name in names and one.__code__ in known]


def _functions() -> list[FunctionType]:
    """Return the functions there are: all, or those of the package and all that came since it was settled."""
    since = gc.get_objects() if _settled else []
    if any(one is _settled[0] for one in since):
        return _settled[0].functions + [one for one in since if type(one) is FunctionType]
    gc.unfreeze()  # nothing was settled, or a learner's code has set aside what it made, too
    return [one for one in gc.get_objects() if type(one) is FunctionType]


@cache
def _stub(name: str) -> CodeType:
    """Return the code of a function without free variables that raises UsesReference."""
    words = f"This uses the course's `{name.rpartition('.')[2]}`, which is the answer. Write yours without it."
    space: dict[str, Any] = {}
    exec(compile(STUB.format(words), __file__, "exec"), space)
    return space["blocked"].__code__


def _stay_blocked(name: str) -> None:
    """Raise UsesReference if an answer loaded the module of a function again: then that is another function."""
    now = _loaded(name)
    functions = vars(now).values() if isinstance(now, type) else [now]
    if any(getattr(one, "__code__", None) in codes(name) for one in functions):
        what = name.rpartition(".")[2]
        raise UsesReference(f"This loads the course's `{what}` again, which is the answer. Write yours without it.")


def _loaded(name: str) -> Any:
    """Return what the package has under a name; its module is loaded by then."""
    module, _, wanted = name.rpartition(".")
    return getattr(importlib.import_module(f"moe_lessons.{module}"), wanted, None)
