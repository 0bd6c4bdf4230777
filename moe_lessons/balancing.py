"""Capacity and what it drops, the random second expert, balancing by a bias instead of a loss (three updates). torch.

Letters as in `routing`: T tokens, N experts, k active, C capacity. An assignment is one choice of one token: there are
T·k of them. None of this re-routes a token: what is dropped is not computed, and the residual connection alone
carries the token on. Statistics of loads are in `metrics`.
"""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import scipy
import torch
from torch import Tensor

from moe_lessons.losses import check_logits, check_selected, stable_top_k
from moe_lessons.support.state import WideState
from moe_lessons.support.validation import one_of, positive_number, refuse, whole_number

PRIORITIES = ("position", "probability")
MOST = 2**40


# --- capacity -----------------------------------------------------------------------------------------------------


def expert_capacity(num_tokens: int, num_experts: int, top_k: int, factor: float) -> int:
    """Return C, how many assignments each expert accepts: ⌈factor · k·T / N⌉, the balanced load times a factor.

    Rounded up, and computed exactly: 1.1 · 100 is 110; as floats 110.00000000000001, and rounded up 111.
    Rounded down, a short input would get C = 0: with one token being generated and N = 64, everything is dropped.
    num_tokens: T, counted without padding; 0 gives 0. top_k: from 1 to N. factor: above 0; 1 is room for balance.
    Raises ValueError for other arguments.
    Sources: Fedus et al. 2021 (arXiv:2101.03961), Eq. 3, for k = 1; Zoph et al. 2022 (arXiv:2202.08906) for k = 2.
    """
    T = whole_number("num_tokens", num_tokens, least=0, most=MOST)
    N = whole_number("num_experts", num_experts, least=1, most=MOST)
    k = whole_number("top_k", top_k, least=1, most=N)
    as_written = Fraction(str(positive_number("factor", factor)))
    return math.ceil(as_written * k * T / N)


def within_capacity(
    selected: Tensor, weights: Tensor, capacity: int, num_experts: int,
    priority: str = "position", wanted: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Return which assignments find a place, when each expert has `capacity` places. Booleans (T, k).

    priority "position": all first choices before all second choices, in each of them earlier tokens first, as in
        Mesh TensorFlow, GShard and Switch. So it is late tokens that are dropped, whatever they would have gained.
    priority "probability": each expert keeps its largest weights; equal ones in the order of "position". For k = 1
        this is batch prioritised routing (V-MoE). For k > 1, V-MoE sorts the tokens by their largest weight, but still
        serves first choices first; sorting assignments, as here, is Megatron's policy "probs".
    Both look beyond the token: whether it is computed depends on others, with "probability" on later ones too.

    selected: (T, k) whole numbers from 0 to N − 1. weights: (T, k), finite. capacity: C ≥ 0. num_experts: N.
    wanted: booleans (T, k), False for an assignment that asks for no place: padding, or a second expert left out.
    Raises ValueError for other arguments.
    Sources: Lepikhin et al. 2020 (arXiv:2006.16668), Algorithm 1; Riquelme et al. 2021 (arXiv:2106.05974), Section 4.
    """
    one_of("priority", priority, PRIORITIES)
    C = whole_number("capacity", capacity, least=0, most=MOST)
    N = whole_number("num_experts", num_experts, least=1, most=MOST)
    expert, weight = _choice_major(_check_selected(selected, N)), _choice_major(_check_weights(weights, selected))
    asks = _choice_major(_check_booleans("wanted", wanted, selected))  # (k·T,)
    expert = torch.where(asks, expert, N)  # those who ask for nothing queue elsewhere
    queue = torch.arange(len(expert), device=expert.device)
    if priority == "probability":
        queue = weight.argsort(descending=True, stable=True)
    place = torch.empty_like(queue)
    place[queue] = places_in_queue(expert[queue], N + 1)  # (k·T,)
    return (asks & (place < C)).reshape(selected.shape[::-1]).T.contiguous()  # (T, k)


def places_in_queue(experts: Tensor, num_experts: int) -> Tensor:
    """Return for each entry how many entries before it name the same expert: its place in that expert's queue, from 0.

    One stable sort and the cumulative counts, instead of a one-hot array (entries, N) and its cumulative sum.
    experts: (entries,) whole numbers from 0 to N − 1. Returns (entries,).
    """
    order = experts.argsort(stable=True)  # (entries,): by expert, in each the order of arrival
    count = torch.bincount(experts, minlength=num_experts)  # (N,)
    start = count.cumsum(0) - count  # (N,): where each expert's entries begin
    places = torch.empty_like(experts)
    places[order] = torch.arange(len(experts), device=experts.device) - start[experts[order]]
    return places


def drop_weights(weights: Tensor, kept: Tensor, renormalise: bool = False) -> Tensor:
    """Return the gate weights with 0 for dropped assignments, ready for the experts. (T, k).

    renormalise: False leaves the others as they are, so the token's output shrinks. True divides them by their sum:
        the experts that are left take over. For k = 1 a kept weight is then 1, and the router learns nothing.
    A token that lost all its experts has zeros in both cases: its layer output is 0.
    weights: (T, k), finite, at least 0. kept: booleans (T, k). Raises ValueError for others.
    """
    w = torch.where(_check_booleans("kept", kept, _check_weights(weights)), weights, 0.0)  # (T, k)
    if (w.detach() < 0).any():
        raise refuse("weights", w.detach(), "gate weights of at least 0")
    if not renormalise:
        return w
    total = w.sum(dim=-1, keepdim=True)  # (T, 1)
    return w / torch.where(total > 0, total, 1.0)


def drop_rate(kept: Tensor, wanted: Tensor | None = None) -> float:
    """Return the share of the wanted assignments that found no place, from 0 to 1. kept, wanted: booleans (T, k).

    Assignments, not tokens: a token that lost one of its two experts counts half.
    Raises ValueError for other types or shapes, and when nothing was wanted.
    """
    asks = _check_booleans("wanted", wanted, _check_booleans("kept", kept))
    if not asks.any():
        raise refuse("wanted", asks, "at least one assignment")
    return 1 - int((kept & asks).sum()) / int(asks.sum())


def uniform_drop_rate(num_tokens: int, num_experts: int, factor: float, top_k: int = 1) -> float:
    """Return the expected drop rate when every token picks k different experts uniformly at random.

    Perfectly balanced on average, and still it drops: loads scatter. Each is binomial, X ~ B(T, k/N), and the rate is
    N·E[max(X − C, 0)] / (k·T), exactly. It depends on the tokens per expert, and less on N: with few experts the
    loads scatter less. Arguments as in `expert_capacity`, with T from 1 to 10⁷; raises ValueError as it does.
    """
    T = whole_number("num_tokens", num_tokens, least=1, most=10**7)
    C = expert_capacity(T, num_experts, top_k, factor)
    beyond = scipy.stats.binom.sf(np.arange(C, T), T, top_k / num_experts)  # E[max(X − C, 0)] = Σ_{c ≥ C} P(X > c)
    return float(num_experts * beyond.sum() / (top_k * T))


# --- the random second expert -------------------------------------------------------------------------------------


def random_second_expert(weights: Tensor, threshold: float = 0.2, generator: torch.Generator | None = None) -> Tensor:
    """Return which assignments to send, when the second expert is used with probability min(1, w₂ / threshold).

    It saves places at the experts: a faint second choice is often left out, decided before the capacity (give the
    result to `within_capacity` as `wanted`). It is no exploration: no expert outside the top k is ever tried.
    The first choice always stays; a third and later one follows the rule of the second.
    weights: (T, k), best first, finite, at least 0; normalised over the selected in GShard. threshold: above 0;
        0.5 is GShard's "2·g₂ > random". generator: of the random numbers. Returns booleans (T, k).
    Raises ValueError for other weights (dense ones, for instance, are not best first) or thresholds.
    Source: Lepikhin et al. 2020 (arXiv:2006.16668), Section 2.2 and Algorithm 1.
    """
    w = _check_weights(weights)  # (T, k)
    if (w < 0).any():
        raise refuse("weights", w, "gate weights of at least 0")
    if (w > 1.001 * w[:, :1]).any():  # more than rounding: the first choice is the one that always stays
        raise refuse("weights", w, "those of the selected experts, (T, k), best first")
    u = torch.rand(w.shape, generator=generator, device=w.device, dtype=torch.float32)  # (T, k), below 1
    send = u < w / positive_number("threshold", threshold)  # (T, k)
    send[:, :1] = True
    return send


# --- a bias instead of a loss -------------------------------------------------------------------------------------


class BiasBalancer(WideState):
    """A bias per expert that moves the selection towards balance, with no loss and no gradient.

    Select the k largest of s_i + b_i; weigh them by s_i alone. After each step b_i ← b_i + u·sign(mean load − load_i).

        selected = balancer.select(scores, k)      # (T, k)
        weights = scores.gather(-1, selected)      # the scores, never the bias
        balancer.update(torch.bincount(selected.flatten(), minlength=N))

    num_experts: N. u: the step, at least 0, in units of the scores (0.001 for sigmoid scores); it may be changed later.
    bias: a buffer (N,), saved with a model's state. Without it a trained model routes differently. It stays in float32
        (float64 in a model of doubles) when the model goes to 16 bits, where steps of u would be rounded away.
    Raises ValueError for N below 1 and a negative or infinite u.
    Sources: Wang et al. 2024 (arXiv:2408.15664), Algorithm 1; DeepSeek-V3 2024 (arXiv:2412.19437), Eq. 16.
    """

    bias: Tensor

    def __init__(self, num_experts: int, u: float = 1e-3) -> None:
        super().__init__()
        N = whole_number("num_experts", num_experts, least=1, most=MOST)
        if isinstance(u, bool) or not isinstance(u, (int, float)) or not 0 <= u < math.inf:
            raise refuse("u", u, "a finite number of at least 0")
        self.u = float(u)
        self.register_buffer("bias", torch.zeros(N, dtype=torch.float32))

    def select(self, scores: Tensor, k: int) -> Tensor:
        """Return the indices of the k largest s + b, best first; of equal ones the lower index first. (..., k).

        scores: (..., N), floating; −∞ masks an expert. Raises ValueError for NaN, +∞, another N, k outside 1..N.
        """
        s = check_logits(scores, name="scores").detach()  # (..., N)
        if s.shape[-1] != len(self.bias):
            raise refuse("scores.shape", tuple(s.shape), f"a last axis of {len(self.bias)}, one entry for each expert")
        return stable_top_k(s + self.bias, k)  # (..., k)

    @torch.no_grad()
    def update(self, load: Any) -> None:
        """Raise the bias of experts with less than the mean load by u, lower that of those with more.

        load: (N,) counts or shares of the last step, over the whole batch (over all devices, in a large model).
        Only the sign counts: an expert one token short moves as far as a dead one. At the mean nothing moves.
        Raises ValueError for another shape, negative or non-finite loads.
        """
        loads = _check_load(load, self.bias)  # (N,)
        self.bias += sign_step(loads, self.u).to(self.bias.dtype)


def sign_step(load: Tensor, u: float | Tensor) -> Tensor:
    """Return u·sign(mean load − load): what one step adds to the biases of a router, or of a stack of them.

    load: (..., N), floating: counts or shares of the last step, at least 0. u: the step, broadcast to it.
    Returns (..., N). Source: Wang et al. 2024 (arXiv:2408.15664), Algorithm 1.
    """
    mean = load.mean(dim=-1, keepdim=True)  # (..., 1)
    short = mean - load  # (..., N)
    # Shares such as 1/3 are equal up to rounding: that difference has no sign.
    return u * torch.where(short.abs() <= 1e-7 * mean, 0.0, short).sign()


def tanh_step(load: Tensor, momentum: Tensor, u: float | Tensor, kappa: float = 2.0, beta: float = 0.5) -> Tensor:
    """Return the new momentum, which is what one step adds to the biases: near balance a smaller step than the sign's.

    v_i = (mean load − load_i) / mean load; Δ_i = u·tanh(κ v_i), less the mean of Δ over the experts;
    m_i ← β m_i + (1 − β) Δ_i; the caller adds m to the biases, and hands it in at the next step.
    load: (..., N), floating, at least 0, not all 0. momentum: (..., N), zeros at first. kappa: κ, large is the sign;
    beta: β, from 0 (no memory) to below 1. Returns (..., N).
    Source: SMEBU of Arcee Trinity Large, Singh et al. 2026 (arXiv:2602.17004), with κ 2, β 0.5, u 5e-4, sigmoid scores.
    """
    mean = load.mean(dim=-1, keepdim=True)  # (..., 1)
    change = u * torch.tanh(kappa * (mean - load) / mean)  # (..., N)
    return beta * momentum + (1 - beta) * (change - change.mean(dim=-1, keepdim=True))


def quantile_bias(scores: Tensor, bias: Tensor, k: int) -> Tensor:
    """Return the biases under which each expert would get its quota of these tokens, k·T/N: no step size.

    For token t the bar is α_t, the (k + 1)-th largest of s_t + b: an expert above it is selected. Expert i needs a bias
    above α_t − s_ti to get token t. The k/N quantile of these needs over the tokens lets k·T/N of them in. The mean
    over the experts is taken off: a common shift selects nobody else. The quota is met if the bars stay (an expert that
    is itself the bar of some tokens needs its old bias for each of them, a tie). The new biases move the bars: one
    round comes near, and the next batch brings the next round.
    scores: (..., T, N), finite, floating. bias: (..., N), that selected. k: from 1 to N − 1 (for k = N nothing is
    selected). Returns (..., N). Raises ValueError for another k.
    Sources: Su 2026 (kexue.fm/archives/11619); Kimi K3 technical report 2026, Section 2.3.3.
    """
    N = scores.shape[-1]
    whole_number("k", k, least=1, most=N - 1)
    bar = (scores + bias.unsqueeze(-2)).topk(k + 1, dim=-1).values[..., -1:]  # (..., T, 1)
    needed = bar - scores  # (..., T, N)
    new = needed.quantile(k / N, dim=-2)  # (..., N)
    return new - new.mean(dim=-1, keepdim=True)


# --- checks -------------------------------------------------------------------------------------------------------


def _choice_major(values: Tensor) -> Tensor:
    """Flatten (T, k) to (k·T,): all first choices, then all second choices."""
    return values.T.flatten()


def _check_selected(selected: Any, N: int) -> Tensor:
    """Check that `selected` holds indices of experts (T, k)."""
    T = selected.shape[:1] if isinstance(selected, Tensor) and selected.ndim else (0,)
    return check_selected(selected, T, N)


def _check_weights(weights: Any, like: Tensor | None = None) -> Tensor:
    """Check that `weights` holds finite numbers (T, k). Returns them without their gradient."""
    if not isinstance(weights, Tensor) or not weights.is_floating_point():
        raise refuse("weights", weights, "a floating-point torch tensor")
    if weights.ndim != 2 or weights.shape[1] == 0 or (like is not None and weights.shape != like.shape):
        raise refuse("weights.shape", tuple(weights.shape), "(T, k)" if like is None else f"{tuple(like.shape)}")
    if not weights.detach().isfinite().all():
        raise refuse("weights", weights.detach(), "finite numbers")
    return weights.detach()


def _check_load(load: Any, bias: Tensor) -> Tensor:
    """Check that `load` holds one number for each expert (N,). Returns them in float64."""
    expected = f"{len(bias)} finite numbers of at least 0, one for each expert"
    try:
        loads = torch.as_tensor(load, dtype=torch.float64, device=bias.device)  # (N,)
    except (RuntimeError, TypeError, ValueError):
        raise refuse("load", load, expected) from None
    if loads.shape != bias.shape or not loads.isfinite().all() or (loads < 0).any():
        raise refuse("load", load, expected)
    return loads


def _check_booleans(name: str, values: Any, like: Tensor | None = None) -> Tensor:
    """Check that `values` holds booleans (T, k); None stands for True everywhere."""
    if values is None and like is not None and name == "wanted":
        return torch.ones_like(like, dtype=torch.bool)
    if not isinstance(values, Tensor) or values.dtype != torch.bool:
        raise refuse(name, values, "a tensor of booleans")
    if values.ndim != 2 or (like is not None and values.shape != like.shape):
        raise refuse(f"{name}.shape", tuple(values.shape), "(T, k)" if like is None else f"{tuple(like.shape)}")
    return values
