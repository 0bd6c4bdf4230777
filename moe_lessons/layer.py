"""The sparse layer: a router, its experts, and three ways to run them that agree up to rounding.

`per_token` and `per_expert` say what the layer computes, as loops to be read. `Experts.forward` computes the same fast:
it sorts the tokens by expert, so that each expert meets its tokens as one matrix.

Letters: T tokens, d width, d_ff expert width, N experts, k active experts, x (T, d) tokens. Experts are counted from 0.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moe_lessons.balancing import BiasBalancer
from moe_lessons.gate import selected_weights, selection_scores
from moe_lessons.losses import check_selected, stable_top_k
from moe_lessons.routing import Gate, as_gate
from moe_lessons.support.validation import one_of, refuse, whole_number

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": partial(F.relu, inplace=True),
    "gelu": F.gelu,
    "swiglu": F.silu,
}
STORAGES = ("separate", "stacked")
# Up to this many numbers a matrix, one grouped call was faster than N single ones (tests/benchmarks/layers.py).
SMALL_MATRIX = 2**17
MOST = 2**31


class Routing(NamedTuple):
    """What the router decided: logits (..., N) with noise; selected (..., k), best first; their weights (..., k)."""

    logits: Tensor
    selected: Tensor
    weights: Tensor

    @property
    def probs(self) -> Tensor:
        """Return the softmax over all experts (..., N)."""
        return self.logits.softmax(dim=-1)


# --- the definition -----------------------------------------------------------------------------------------------


def per_token(experts: "Experts", x: Tensor, selected: Tensor, weights: Tensor) -> Tensor:
    """Compute y_t = Σ_{i ∈ S_t} w_ti E_i(x_t), one token after the other: the definition, and the slowest way.

    x: (T, d). selected, weights: (T, k). Returns (T, d). Raises ValueError as `Experts.forward` does.
    Source: Shazeer et al. 2017 (arXiv:1701.06538), Eq. 1.
    """
    check_assignments(x, selected, weights, experts.choices)
    E = experts.functions()
    y = [sum(w * E[i](x_t) for i, w in zip(chosen, w_t, strict=True))
         for x_t, chosen, w_t in zip(x, selected.tolist(), weights, strict=True)]  # fmt: skip
    return torch.stack(y) if y else torch.zeros_like(x)  # (T, d)


def per_expert(experts: "Experts", x: Tensor, selected: Tensor, weights: Tensor) -> Tensor:
    """Compute the same, one expert after the other: each looks for its tokens among all assignments.

    x: (T, d). selected, weights: (T, k). Returns (T, d). Raises ValueError as `Experts.forward` does.
    """
    check_assignments(x, selected, weights, experts.choices)
    y = torch.zeros_like(x)  # (T, d)
    for i, E_i in enumerate(experts.functions()):
        token, place = torch.where(selected == i)  # (rows,) each
        w = weights[token, place, None]  # (rows, 1)
        y = y.index_add(0, token, (w * E_i(x[token])).to(y.dtype))
    return y


def check_assignments(x: Tensor, selected: Tensor, weights: Tensor, num_experts: int) -> None:
    """Refuse assignments that are not those of these tokens: most would be computed all the same, into wrong numbers.

    x: (T, d). selected, weights: (T, k), with indices from 0 to N − 1; dense weights (T, N) belong to all experts.
    """
    if not isinstance(x, Tensor) or x.ndim != 2:
        raise refuse("x.shape", tuple(np.shape(x)), "(T, d): one row for each token")
    chosen = check_selected(selected, x.shape[:1], num_experts)  # (T, k)
    if not isinstance(weights, Tensor) or not weights.is_floating_point():
        raise refuse("weights", weights, "a floating-point torch tensor")
    if weights.shape != chosen.shape:
        raise refuse("weights.shape", tuple(weights.shape), f"{tuple(chosen.shape)}: one for each selected expert")


# --- the router ---------------------------------------------------------------------------------------------------


def top_k_indices(logits: Tensor, k: int) -> Tensor:
    """Return the indices of the k largest of each row, best first; of equal logits the lower index comes first.

    logits: (..., N), finite. Returns (..., k). `torch.topk` promises no order among equals; for small k it is slower.
    Raises ValueError for k outside 1..N, and for logits that are not finite floating-point numbers.
    """
    if not (logits.is_floating_point() and logits.detach().isfinite().all()):
        raise refuse("logits", logits.detach(), "finite floating-point numbers")
    return _first_largest(logits, k)


def _first_largest(logits: Tensor, k: int) -> Tensor:
    """Return what `top_k_indices` does, from logits that are known to be finite."""
    if whole_number("k", k, least=1, most=logits.shape[-1]) > 8:  # one sort, then, costs less than k rounds
        return stable_top_k(logits, k)
    rest, chosen = logits.detach().clone(), []
    for _ in range(k):
        best = rest.argmax(dim=-1, keepdim=True)  # (..., 1), the first of equals
        rest.scatter_(-1, best, -torch.inf)
        chosen.append(best)
    return torch.cat(chosen, dim=-1)


def gate_selected(logits: Tensor, selected: Tensor, form: str | Gate) -> Tensor:
    """Return the weights (..., k) of the selected experts. logits: (..., N). selected: (..., k).

    form: a key of `routing.GATE_FORMS`, or a Gate. The torch twin of `routing.gate_weights` and `Gate.weights`, for the
    selected experts only. Raises ValueError for an unknown form, and for a selection of other tokens or with an index
    outside 0..N − 1.
    """
    gate = as_gate(form, "form")
    selected = check_selected(selected, logits.shape[:-1], logits.shape[-1])  # (..., k)
    return selected_weights(logits, selected, gate)


class Router(nn.Module):
    """Scores every expert for every token, selects k, weighs them; in float32 at least, whatever the tokens are.

    noise: Shazeer's, with a learned size per token and expert. jitter: ε of Switch, x times U(1 − ε, 1 + ε).
    Both act in training only. balancer: its bias acts in the selection; whoever trains calls its `update`.
    Sources: Shazeer et al. 2017 (arXiv:1701.06538), Eq. 3-5; Fedus et al. 2021 (arXiv:2101.03961), Section 2.4
    (float32 router) and Appendix C (jitter).
    Raises ValueError for sizes that do not fit, an unknown gate, and a jitter outside 0 to 1.
    """

    def __init__(
        self, d_model: int, num_experts: int, top_k: int, gate: str | Gate = "topk_softmax",
        bias: bool = False, jitter: float = 0.0, noise: bool = False, balancer: BiasBalancer | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        _sizes(d_model=d_model, num_experts=num_experts)
        self.gate, self.jitter, self.balancer = gate, jitter, balancer
        self.top_k = whole_number("top_k", top_k, least=1, most=as_gate(gate).experts_in_reach(num_experts))
        if balancer is not None and len(balancer.bias) != num_experts:
            raise refuse("balancer", balancer, f"a BiasBalancer({num_experts}), one bias for each expert")
        if not isinstance(jitter, (int, float, np.floating)) or not 0 <= jitter < 1:
            raise refuse("jitter", jitter, "a number from 0 up to, but not including, 1")
        self.W_g = nn.Parameter(_uniform(d_model, num_experts))  # (d, N)
        self.bias = nn.Parameter(torch.zeros(num_experts)) if bias else None  # (N,)
        self.W_noise = nn.Parameter(torch.zeros(d_model, num_experts)) if noise else None  # (d, N)

    def forward(self, x: Tensor) -> Routing:
        """Route tokens x (..., d). Raises ValueError for logits that are not finite, with what spoils them."""
        with torch.autocast(x.device.type, enabled=False):
            logits = self.logits(x.to(torch.promote_types(x.dtype, torch.float32)))  # (..., N)
            if not torch.isfinite(logits).all():
                raise _not_finite(x, self, logits)
            return self.decide(logits)

    def decide(self, logits: Tensor) -> Routing:
        """Select k experts by finite logits (..., N) and weigh them: the step that `variants` take in other ways."""
        bias = None if self.balancer is None else self.balancer.bias
        selected = _first_largest(selection_scores(logits, as_gate(self.gate), bias), self.top_k)  # (..., k)
        return Routing(logits, selected, gate_selected(logits, selected, self.gate))

    def logits(self, x: Tensor) -> Tensor:
        """Return h = x W_g (+ bias, + noise in training), (..., N), for x (..., d)."""
        if self.training and self.jitter:
            x = x * torch.empty_like(x).uniform_(1 - self.jitter, 1 + self.jitter)  # (..., d)
        h = x @ self.W_g.to(x.dtype)  # (..., N)
        if self.bias is not None:
            h = h + self.bias.to(x.dtype)
        if self.training and self.W_noise is not None:
            h = h + torch.randn_like(h) * F.softplus(x @ self.W_noise.to(x.dtype))  # (..., N)
        return h


# --- the experts --------------------------------------------------------------------------------------------------


def feed_forward(
    x: Tensor, activation: str, matrices: Sequence[Tensor], product: Callable[..., Tensor] = torch.matmul
) -> Tensor:
    """Apply one expert: act(x W1) W2, or with W3 the gated (silu(x W1) · x W3) W2.

    x: (rows, d). matrices: W1 (d, d_ff), W2 (d_ff, d), and for SwiGLU W3 (d, d_ff). Returns (rows, d).
    With a grouped `product` and stacks (N, …) of matrices, all experts at once.
    Raises ValueError for an unknown activation, and another number of matrices than it has.
    Source: Shazeer 2020 (arXiv:2002.05202), Eq. 2 and 6.
    """
    if len(matrices) != (3 if one_of("activation", activation, ACTIVATIONS) == "swiglu" else 2):
        raise refuse("matrices", f"{len(matrices)} of them", "W1, W2 and for swiglu, only for it, W3")
    W1, W2, *W3 = matrices
    hidden = ACTIVATIONS[activation](product(x, W1))  # (rows, d_ff)
    if W3:
        hidden = hidden * product(x, W3[0])  # (rows, d_ff)
    return product(hidden, W2)  # (rows, d)


class Experts(nn.Module):
    """N feed-forward networks, and the fast way to run k of them a token.

    storage: "separate" keeps one parameter per expert and matrix, "stacked" one per matrix. Outputs and gradients are
    the same, and so is what `state_dict` holds (W1 (N, d, d_ff), W2 (N, d_ff, d), W3 (N, d, d_ff); of separate matrices
    it is a copy). By default, small experts are stacked: there N calls cost more than one. Large ones are separate: a
    stack's gradient is one huge fresh buffer at every step.
    zero_experts: so many more choices, with indices from N on, that compute nothing: E_i(x) = x (LongCat-Flash 2025,
    arXiv:2509.01322, Eq. 1).
    """

    def __init__(
        self, d_model: int, d_ff: int, num_experts: int, activation: str = "relu", storage: str | None = None,
        zero_experts: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.d_model, self.d_ff, self.num_experts = _sizes(d_model=d_model, d_ff=d_ff, num_experts=num_experts)
        self.choices = self.num_experts + whole_number("zero_experts", zero_experts, least=0, most=MOST)
        self.activation = one_of("activation", activation, ACTIVATIONS)
        small = d_model * d_ff <= SMALL_MATRIX
        self.storage = one_of("storage", STORAGES[small] if storage is None else storage, STORAGES)
        shapes = {"W1": (d_model, d_ff), "W2": (d_ff, d_model), "W3": (d_model, d_ff)}
        self.names = tuple(shapes) if activation == "swiglu" else ("W1", "W2")
        for name in self.names:
            matrices = [_uniform(*shapes[name]) for _ in range(num_experts)]
            stacked = self.storage == "stacked"
            setattr(self, name, nn.Parameter(torch.stack(matrices)) if stacked else nn.ParameterList(matrices))
        if self.storage == "separate":
            self.register_state_dict_post_hook(_stack_matrices)
            self.register_load_state_dict_pre_hook(_unstack_matrices)

    def forward(self, x: Tensor, selected: Tensor, weights: Tensor) -> Tensor:
        """Dispatch, compute, combine. x: (T, d). selected, weights: (T, k). Returns (T, d).

        Raises ValueError for dense weights (T, N), other shapes, and an expert that is not there.
        """
        check_assignments(x, selected, weights, self.choices)
        order = selected.flatten().argsort(stable=True)  # (T·k,): the assignments, sorted by expert
        token = order // selected.shape[1]  # (T·k,): whose they are
        load = torch.bincount(selected.flatten(), minlength=self.choices)  # (N,)
        out = self.sorted_rows(x.index_select(0, token), load)  # (T·k, d)
        # Weights in the experts' format, as in Switch (Section 2.4): a product of two formats takes passes of its own.
        w = weights.to(out.dtype).flatten().index_select(0, order)  # (T·k,)
        return torch.zeros_like(x).index_add_(0, token, (out * w[:, None]).to(x.dtype))  # (T, d)

    def sorted_rows(self, rows: Tensor, load: Tensor) -> Tensor:
        """Run each expert on its slice. rows: (T·k, d), the first load[0] of them for expert 0. Returns (T·k, d).

        load: (N,) whole numbers. Raises ValueError for loads of another number of experts or rows.
        """
        counts = load.tolist()  # N numbers
        if len(counts) != self.choices or min(counts) < 0 or sum(counts) != len(rows):
            raise refuse("load", load, f"{self.choices} counts, one an expert, that sum to {len(rows)} rows")
        if self.choices > self.num_experts:  # the rows of those that compute nothing come last, and stay as they are
            rows, same = rows.split([sum(counts[: self.num_experts]), sum(counts[self.num_experts :])])
            return torch.cat([self._computed(rows, load[: self.num_experts], counts[: self.num_experts]), same])
        return self._computed(rows, load, counts)

    def _computed(self, rows: Tensor, load: Tensor, counts: list[int]) -> Tensor:
        """Run the N experts that compute, each on its slice. load (N,) and counts are the same. Returns (rows, d)."""
        if self.storage == "stacked" and _grouped_fits(rows, self.d_model, self.d_ff):
            product = partial(F.grouped_mm, offs=load.cumsum(0).to(torch.int32))
            return feed_forward(rows, self.activation, [getattr(self, name) for name in self.names], product)
        E, slices = self.functions()[: self.num_experts], rows.split(counts)  # N times (rows of one expert, d)
        return torch.cat([E_i(x_i) for E_i, x_i in zip(E, slices, strict=True)])

    def functions(self) -> list[Callable[[Tensor], Tensor]]:
        """Return E_0 … E_{N−1}, each (rows, d) -> (rows, d), then those that compute nothing."""
        # unbind, not W[i]: each W[i] in a loop makes a gradient as large as the whole stack (lesson 05).
        stacks = [getattr(self, name) for name in self.names]
        by_expert = zip(*(s.unbind(0) if isinstance(s, Tensor) else s for s in stacks), strict=True)
        E = [partial(feed_forward, activation=self.activation, matrices=matrices) for matrices in by_expert]
        return [*E, *[lambda x: x] * (self.choices - self.num_experts)]

    def one(self, i: int, x: Tensor) -> Tensor:
        """Return E_i(x) for rows x (rows, d)."""
        return self.functions()[whole_number("i", i, least=0, most=self.num_experts - 1)](x)

    def extra_repr(self) -> str:
        """Show the sizes, as torch prints modules."""
        return f"N={self.num_experts}, d={self.d_model}, d_ff={self.d_ff}, {self.activation}, {self.storage}"


class MoELayer(nn.Module):
    """A router and N experts: y = Σ_{i ∈ S} w_i E_i(x), for each token on its own.

    d_model: width d. d_ff: width of an expert. top_k: k, from 1 to num_experts. gate: a key of `routing.GATE_FORMS`, or
    a `routing.Gate`. activation: "relu", "gelu" or "swiglu". bias, jitter, noise, balancer: the router's.
    router: one of your own, or of `variants`: a module that takes tokens (..., d) and returns a `Routing`. Then top_k
        is not read, and gate, bias, jitter, noise, balancer must be left as they are: they are the router's own affair.
    shared_experts: how many more run for every token (as one, so many times as wide: their sum is the same function);
    shared_gate: they are multiplied by sigmoid(x·w), learned. zero_experts, storage: see `Experts`.
    y = Σ_{i ∈ S} w_i E_i(x) + g(x) Σ_j F_j(x) then, with F_j the shared experts and g(x) = 1 or the shared gate.
    Sources: Dai et al. 2024 (arXiv:2401.06066), Eq. 9, for shared experts; the gate on them as in Qwen1.5-MoE.
    Raises ValueError for sizes that do not fit; in the call for integer tokens, another width, device or number format,
    and for logits that are not finite (unlike `routing`, the layer takes no −∞ as a mask).
    Warns for k = 1 with a renormalised gate: its weight is always 1, and the router learns nothing from the task.
    """

    def __init__(
        self, d_model: int, d_ff: int, num_experts: int, top_k: int, gate: str | Gate = "topk_softmax",
        activation: str = "relu", bias: bool = False, jitter: float = 0.0, noise: bool = False,
        storage: str | None = None, router: nn.Module | None = None, balancer: BiasBalancer | None = None,
        shared_experts: int = 0, shared_gate: bool = False, zero_experts: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        choices = _choices(d_model, num_experts, shared_experts, shared_gate, zero_experts)
        own = gate, bias, jitter, noise, balancer
        if router is not None and own != ("topk_softmax", False, 0.0, False, None):
            raise refuse("gate, bias, jitter, noise, balancer", own, "none of them beside a router")
        self.router: Any = Router(d_model, choices, top_k, *own) if router is None else router
        self.experts = Experts(d_model, d_ff, num_experts, activation, storage, zero_experts)
        self.shared = Experts(d_model, d_ff * shared_experts, 1, activation) if shared_experts else None
        self.W_shared = nn.Parameter(_uniform(d_model, 1)) if shared_gate else None  # (d, 1)
        if router is None and top_k == 1 < num_experts and as_gate(gate).constant_sum:
            warnings.warn(_NO_GRADIENT.format(gate), stacklevel=2)

    def forward(self, x: Tensor, return_routing: bool = False, routing: Routing | None = None) -> Any:
        """Return y (..., d) for tokens x (..., d); with `return_routing`, also what the router decided.

        routing: a decision made elsewhere, for the same tokens, (..., N) and (..., k) or one row a token; the layer's
        own router is then not asked.
        """
        tokens = self._tokens(x)  # (T, d)
        if routing is None:
            routing = self.router(x)
        decided = _in_rows(routing, x.shape[:-1])
        y = self.experts(tokens, decided.selected, decided.weights)  # (T, d)
        if self.shared is not None:
            g = 1.0 if self.W_shared is None else torch.sigmoid(tokens @ self.W_shared)  # (T, 1)
            y = y + g * self.shared.one(0, tokens)  # (T, d)
        y = y.reshape(x.shape)  # (..., d)
        if not return_routing:
            return y
        return y, Routing(*(part.reshape(*x.shape[:-1], part.shape[-1]) for part in decided))

    def _tokens(self, x: Tensor) -> Tensor:
        """Return x as (T, d), or say what is wrong with it."""
        weight = next(self.experts.parameters())
        if not isinstance(x, Tensor) or not x.is_floating_point():
            raise refuse("x", getattr(x, "dtype", type(x)), "a torch tensor of floating-point numbers")
        if x.ndim == 0 or x.shape[-1] != self.experts.d_model:
            raise refuse("x.shape", tuple(x.shape), f"a last axis of {self.experts.d_model}, the layer's width d_model")
        if x.device != weight.device:
            raise refuse("x.device", str(x.device), f"{weight.device}, where the layer is: move one of them with .to()")
        if x.dtype != weight.dtype and not torch.is_autocast_enabled(x.device.type):
            raise refuse("x.dtype", x.dtype, f"{weight.dtype}, as the layer's: convert one of them with .to()")
        return x.reshape(-1, x.shape[-1])


# --- helpers ------------------------------------------------------------------------------------------------------

_NO_GRADIENT = (
    'top_k = 1 with gate = "{}": the only weight is always 1, so the router gets no gradient from the task. '
    'Use gate = "softmax_topk", or top_k = 2.'
)


def _uniform(rows: int, columns: int) -> Tensor:
    """Draw a matrix (rows, columns) as `nn.Linear` does: U(−1/√rows, 1/√rows)."""
    return torch.empty(rows, columns).uniform_(-(rows**-0.5), rows**-0.5)


def _choices(d_model: Any, num_experts: Any, shared_experts: Any, shared_gate: bool, zero_experts: Any) -> int:
    """Return among how many experts a layer's router chooses, once all these sizes fit."""
    _sizes(d_model=d_model, num_experts=num_experts)
    whole_number("shared_experts", shared_experts, least=int(shared_gate), most=MOST)
    return num_experts + whole_number("zero_experts", zero_experts, least=0, most=MOST)


def _sizes(**sizes: Any) -> list[int]:
    """Return sizes as whole numbers from 1."""
    return [whole_number(name, size, least=1, most=MOST) for name, size in sizes.items()]


def _in_rows(routing: Routing, lead: torch.Size) -> Routing:
    """Return a decision about tokens (*lead, d) with one row a token: (T, N) logits, (T, k) selected and weights."""
    if not isinstance(routing, Routing):
        raise refuse("routing", routing, "a Routing: logits, selected, weights")
    T = lead.numel()
    for name, part in zip(Routing._fields, routing, strict=True):
        if part.shape[:-1] not in (lead, (T,)):
            raise refuse(f"routing.{name}.shape", tuple(part.shape), f"{(*lead, '…')}, as the tokens have it")
    return Routing(*(part.reshape(T, part.shape[-1]) for part in routing))


def _grouped_fits(rows: Tensor, *widths: int) -> bool:
    """Tell whether `F.grouped_mm` takes these rows: it wants rows of whole 16 bytes, and knows no float64.

    Nor does it follow autocast, and `torch.compile` (2.13) refuses it in float32.
    """
    plain = not torch.is_autocast_enabled(rows.device.type) and not torch.compiler.is_compiling()
    known = rows.dtype in (torch.float32, torch.bfloat16) and len(rows) > 0
    return plain and known and all(width * rows.element_size() % 16 == 0 for width in widths)


def _stack_matrices(experts: Experts, state: dict[str, Any], prefix: str, _metadata: Any) -> None:
    """Write separate matrices as one stack (N, …), the form that every storage reads."""
    for name in experts.names:
        matrices = [state.pop(f"{prefix}{name}.{i}") for i in range(experts.num_experts)]
        state[prefix + name] = torch.stack(matrices)


def _unstack_matrices(experts: Experts, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Take a stack apart; what is no stack of N is left for torch to refuse."""
    for name in experts.names:
        if isinstance(state.get(prefix + name), Tensor) and state[prefix + name].ndim == 3:
            state.update({f"{prefix}{name}.{i}": matrix for i, matrix in enumerate(state.pop(prefix + name))})


def _not_finite(tokens: Tensor, router: Router, logits: Tensor) -> ValueError:
    """Say what spoils the logits: a parameter of the router, a token, or a product that is too large."""
    for name, parameter in router.named_parameters():
        if not torch.isfinite(parameter).all():
            return refuse(f"router.{name}", "NaN or ∞", "finite numbers: has the training diverged?")
    tokens, logits = tokens.reshape(-1, tokens.shape[-1]), logits.reshape(-1, logits.shape[-1])  # (T, d), (T, N)
    t = int((~torch.isfinite(logits).all(dim=-1)).nonzero()[0, 0])
    bad = tokens[t][~torch.isfinite(tokens[t])]
    if len(bad):
        return refuse(f"x (token {t})", bad[0].item(), "finite numbers")
    return refuse(f"the logits of token {t}", logits[t].tolist(), "finite numbers: x or W_g is too large")
