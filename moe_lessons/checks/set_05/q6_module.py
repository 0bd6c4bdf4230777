"""Question 5.6, the module: its parameters, what it makes of tokens, and what is wrong with what it holds."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons.checks.attempt import described
from moe_lessons.checks.calls import AnswerRaised, Called, asked_with
from moe_lessons.checks.values import plain
from moe_lessons.checks.verdicts import Facts, Fault, by_test

PARTS, FLOAT32, BFLOAT16 = ("logits", "selected", "weights"), "torch.float32", "torch.bfloat16"


def expected_shapes(d: int, N: int, bias: bool) -> dict[str, str]:
    """Return the shapes of the parameters by name, as text."""
    return {"W_g": f"({d}, {N})"} | ({"bias": f"({N},)"} if bias else {})


def called_module(answer: Callable, parameters: tuple[str, ...], case: tuple) -> Called:
    """Make a module, look at its parameters, set them, and run it on x in float32 and in bfloat16."""
    import torch

    d, N, k, bias, W_g, b, *arrays = case
    asked = (d, N, k, True)[: 3 + bias]
    x, v = (torch.tensor(a, dtype=torch.float32) for a in arrays)  # (..., d), (..., k)
    try:
        with torch.enable_grad():
            module = answer(*asked)
            found = parameters_of(module)
            if found["shapes"] == expected_shapes(d, N, bias) and set(found["formats"]) == {FLOAT32}:
                set_parameters(module, {"W_g": W_g, "bias": b})
                found["float32"] = run(module, x, v)
                found["bfloat16"] = run_or_error(module, x.bfloat16(), v)
    except Exception as error:
        raise AnswerRaised(asked_with((*parameters[: len(asked)], "x"), (*asked, x))) from error
    return Called(found, [])


def parameters_of(module: Any) -> dict[str, Any]:
    """Return the shapes and formats of a module's parameters, and which of W_g and bias are tensors but no parameters."""
    import torch

    if not isinstance(module, torch.nn.Module):
        return {"shapes": None, "formats": [], "tensors": []}
    named = dict(module.named_parameters())
    shapes = {name: str(tuple(parameter.shape)) for name, parameter in named.items()}
    formats = [str(parameter.dtype) for parameter in named.values()]
    others = [name for name in ("W_g", "bias") if name not in named and torch.is_tensor(getattr(module, name, None))]
    return {"shapes": shapes, "formats": formats, "tensors": others}


def set_parameters(module: Any, values: dict[str, np.ndarray]) -> None:
    """Copy values into the parameters of these names."""
    import torch

    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.tensor(values[name]))


def run(module: Any, x: Any, v: Any) -> dict[str, Any]:
    """Run a module on x. Return what came, in which formats, and the gradients of Σ weights·v to the parameters."""
    returned = module(x)
    parts = dict(returned) if isinstance(returned, dict) else {}
    if isinstance(returned, (tuple, list)) and len(returned) == len(PARTS):
        parts = dict(zip(PARTS, returned, strict=True))
    formats = [str(getattr(parts.get(name), "dtype", "")) for name in PARTS]
    return {"returned": plain(returned), "formats": formats, "slopes": slopes(module, parts.get("weights"), v)}


def run_or_error(module: Any, x: Any, v: Any) -> dict[str, Any]:
    """Run a module on x; if it raises, return the error in words."""
    try:
        return run(module, x, v)
    except Exception as error:
        return {"raised": described(error)}


def slopes(module: Any, weights: Any, v: Any) -> dict[str, Any]:
    """Return the gradients of Σ weights·v to the parameters that it reaches."""
    import torch

    leaves = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    if not torch.is_tensor(weights) or not weights.requires_grad or weights.shape != v.shape or not leaves:
        return {}
    found = torch.autograd.grad((weights * v).sum(), list(leaves.values()), allow_unused=True)
    return {name: plain(slope) for name, slope in zip(leaves, found, strict=True) if slope is not None}


def written(shapes: dict[str, str] | None) -> str:
    """Write names and shapes of parameters on one line."""
    return ", ".join(f"{name} {shape}" for name, shape in (shapes or {}).items()) or "none"


MISFITS = by_test(
    "no module: What your class makes is no `torch.nn.Module`. Derive it: `class MyRouter(torch.nn.Module)`, with `super().__init__()` first.",
    lambda found: found.shapes is None,
    "not a parameter: {first} is a tensor, but no parameter: training would not move it. Wrap it in `torch.nn.Parameter(...)`.",
    lambda found: found.first,
    "bias always there: A parameter `bias` is there although none was asked for. Make it only if bias is True; else `self.bias = None`.",
    lambda found: set(found.shapes) - set(found.right) == {"bias"},
    "bias missing: With bias=True the module has a second parameter, `bias` (N,), which is added to the logits.",
    lambda found: set(found.right) - set(found.shapes) == {"bias"},
    "other names: The parameters have other names. `load_state_dict` finds them by name: they are W_g and, with bias=True, bias. (A `torch.nn.Linear` has names of its own, and its weight is (N, d).)",
    lambda found: set(found.shapes) != set(found.right),
    "transposed: W_g is (N, d), as in `torch.nn.Linear`. Asked is (d, N): then the logits are x W_g.",
    lambda found: found.shapes["W_g"] == found.turned,
    ": The parameters do not have the shapes that were asked for.",
    lambda found: found.shapes != found.right,
    ": The parameters are not float32: {formats}.",
    lambda found: set(found.formats) != {FLOAT32},
)


def misfit(value: dict, d: int, N: int, bias: bool) -> Fault | None:
    """Say what is wrong with the parameters of a module, or nothing."""
    right = expected_shapes(d, N, bias)
    first = next((name for name in value["tensors"] if name in right), "")
    found = Facts(**value, right=right, first=first, turned=f"({N}, {d})")
    mistake = next((mistake for mistake in MISFITS if mistake.seen(found)), None)
    if mistake is None:
        return None
    why = mistake.why.format(first=first, formats=", ".join(found.formats))
    asked = f"for d_model = {d}, num_experts = {N}, bias = {bias}"
    return Fault(mistake.name, why, f"parameters: expected {written(right)}, came {written(found.shapes)}, {asked}")
