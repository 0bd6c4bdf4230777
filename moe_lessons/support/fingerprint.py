"""Short texts that tell data, functions and models apart, so that what was kept of one is not taken for another."""

import contextlib
import dis
import functools
import hashlib
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

PLAIN = (type(None), bool, int, float, complex, str, bytes, range, slice, type(...), torch.dtype, torch.device)


def fingerprint(value: Any) -> str:
    """Return 16 hexadecimal digits for data (tensors, arrays, plain values, objects that hold them) or a function.

    A tensor counts by format, shape and every number, wherever it lies. A function counts by its code and by the
    numbers, texts and functions of its own module that it uses, not by its place in a file. What it changes itself (a
    counter) does not count, nor do the models and tensors around it.
    """
    whole = hashlib.sha256()
    for part in _parts(value, set()):
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()[:16]


def described(model: nn.Module) -> dict[str, str]:
    """Return by name what a model is, without its numbers: types and settings of modules, shapes of parameters."""
    found: dict[str, str] = {}
    for name, module in model.named_modules(prefix="model"):
        own = {key: value for key, value in vars(module).items() if key != "training" and not key.startswith("_")}
        found |= {f"{name}.{key}": repr(value) for key, value in own.items() if _is_plain(value)}
        found[name] = type(module).__name__
    for name, value in [*model.named_parameters(prefix="model"), *model.named_buffers(prefix="model")]:
        learned = ", learned" if value.requires_grad else ""
        found[name] = f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}{learned}"
    return found


def _is_plain(value: Any) -> bool:
    """Tell whether nothing in a value can change."""
    return isinstance(value, PLAIN) or (type(value) is tuple and all(map(_is_plain, value)))


def _parts(value: Any, seen: set[int]) -> Iterator[bytes]:
    """Yield the bytes that make a value what it is. seen: objects and functions on the way, for some lead back."""
    if isinstance(value, (Tensor, np.ndarray, np.generic)):
        yield from _numbers(value)
        return
    yield type(value).__name__.encode()
    if isinstance(value, PLAIN):
        yield repr(value).encode("utf-8", "surrogatepass")
    elif isinstance(value, (set, frozenset)):
        yield from sorted(fingerprint(entry).encode() for entry in value)
    elif isinstance(value, (list, tuple, Mapping)):
        yield str(len(value)).encode()
        for entry in value.items() if isinstance(value, Mapping) else value:
            yield from _parts(entry, seen)
    elif id(value) not in seen:
        seen.add(id(value))
        yield from _called(value, seen) if callable(value) else _parts(getattr(value, "__dict__", None), seen)


def _numbers(value: Any) -> Iterator[bytes]:
    """Yield format, shape and numbers of a tensor or array."""
    yield f"{value.dtype} {tuple(value.shape)}".encode()
    if isinstance(value, Tensor):
        value = value.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8).numpy()
    yield value.tobytes() if value.dtype != object else repr(value.tolist()).encode()


# --- functions ----------------------------------------------------------------------------------------------------


def _called(value: Any, seen: set[int]) -> Iterator[bytes]:
    """Yield what makes a function, a method, a partial or an object that can be called."""
    if isinstance(value, functools.partial):
        yield from _parts(value.func, seen)
        yield from _outside({str(i): argument for i, argument in enumerate(value.args)} | value.keywords, value, seen)
        return
    thing = getattr(value, "__self__", None) if isinstance(value, MethodType) else value
    function = getattr(value, "__func__", value if isinstance(value, FunctionType) else type(value).__call__)
    if isinstance(function, FunctionType):
        yield from _function(function, seen)
    if thing is not function:
        yield from _parts({key: own for key, own in getattr(thing, "__dict__", {}).items() if _is_plain(own)}, seen)


def _function(function: FunctionType, seen: set[int]) -> Iterator[bytes]:
    """Yield the code of a function, its defaults, and what it uses from around it."""
    yield f"{function.__module__}.{function.__qualname__}".encode()
    codes = list(_codes(function.__code__))
    for code in codes:
        consts = [const for const in code.co_consts if not isinstance(const, CodeType) and const != function.__doc__]
        yield code.co_code
        yield from _parts([consts, code.co_names], seen)
    defaults = dict(enumerate(function.__defaults__ or ())) | (function.__kwdefaults__ or {})
    yield from _outside({str(name): value for name, value in defaults.items()}, function, seen)
    yield from _outside(_used(function, codes), function, seen)


def _outside(values: dict[str, Any], function: Any, seen: set[int]) -> Iterator[bytes]:
    """Yield what a function takes from around it: plain values, functions of its module, of others only the type."""
    for name, value in sorted(values.items()):
        ours = isinstance(value, FunctionType) and value.__module__ == getattr(function, "__module__", "")
        yield name.encode()
        yield from _parts(value if ours or _is_plain(value) else type(value).__name__, seen)


def _codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of a function and of the functions, classes and comprehensions within it."""
    yield code
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _codes(const)


def _used(function: FunctionType, codes: list[CodeType]) -> dict[str, Any]:
    """Return by name what a function reads from around it, but for what it sets itself."""
    steps = [(step.opname, step.argval) for code in codes for step in dis.get_instructions(code)]
    found = {name: function.__globals__.get(name) for do, name in steps if do in ("LOAD_GLOBAL", "LOAD_NAME")}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # not set yet
            found[name] = cell.cell_contents
    changed = {name for do, name in steps if do in ("STORE_GLOBAL", "STORE_DEREF")}
    return {name: value for name, value in found.items() if name not in changed}
