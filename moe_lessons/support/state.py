"""State that grows by small steps keeps its digits, whatever number format the model around it has."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class WideState(nn.Module):
    """A module whose floating-point buffers hold float32 at least.

    `.half()` or `.to(torch.bfloat16)` of a model moves them to another device but does not round them: a bias of 0.5 in
    bfloat16 swallows every step of 0.001. `.double()` widens them. Loading a state dict widens a narrow one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_load_state_dict_pre_hook(_widen)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Convert as torch does (`to`, `half`, `cuda`, … all come here), and take back what was made narrow."""
        before = dict(self._buffers)
        super()._apply(fn, recurse)
        for name, old in before.items():
            new = self._buffers[name]
            if old is not None and new is not None and _is_narrow(new):
                self._buffers[name] = old.to(new.device)
        return self


def _is_narrow(values: Tensor) -> bool:
    return values.is_floating_point() and values.element_size() < torch.float32.itemsize


def _widen(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Give back to float32 what a model saved in 16 bits, so that `assign=True` takes no narrow buffer either."""
    for name in module._buffers:
        value = state.get(prefix + name)
        if isinstance(value, Tensor) and _is_narrow(value):
            state[prefix + name] = value.float()
