"""Questions of exercise set 09: keeping experts alive."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe_lessons import metrics, routing
from moe_lessons.checks.question import (
    AnswerRaised,
    Data,
    FunctionQuestion,
    Mistake,
    Question,
    Reply,
    VariableQuestion,
    Verdict,
    call_answer,
    difference,
)
from moe_lessons.checks.values import agree, describe, plain, show, stacked


def selected_mask(h: np.ndarray, k: int) -> np.ndarray:
    """Mark the k largest of each row, of equal ones the first. h (T, N). Returns booleans (T, N)."""
    mask = np.zeros(h.shape, dtype=bool)  # (T, N)
    np.put_along_axis(mask, routing.top_k(h, k)[1], True, axis=-1)
    return mask


# --- 9.1 statistics -----------------------------------------------------------------------------------------------

# T, k, the counts of the experts, and `below`. The first is small enough to be shown. In the second an expert is nearly
# dead and the last has nothing; there the emptiest is farther from the mean than the fullest, later it is the other way
# round. In the third the empty one is in the middle, and the median far below the mean. In the last a count lies on the
# threshold, and all shares there are exact in binary; elsewhere none does.
LOADS = (
    (6, 2, (4, 3, 3, 2), 0.8),
    (20, 2, (12, 10, 1, 9, 8, 0), 0.25),
    (12, 1, (7, 3, 0, 1, 1), 0.5),
    (10, 3, (9, 7, 5, 1, 4, 3, 0, 1), 0.5),
    (16, 2, (9, 8, 1, 6, 4, 0, 2, 2), 0.25),
)


def statistics_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (selected (T, k), N, below) for each of LOADS, one token moved at random between the two fullest."""
    cases = []
    for T, k, template, below in LOADS:
        counts = np.array(template)  # (N,)
        counts[:2] += rng.integers(2) * np.array([-1, 1])
        cases.append((tokens_with(counts, T, k, rng), len(counts), below))
    return cases


def tokens_with(counts: np.ndarray, T: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """Return a selection (T, k) with these counts (N,), no expert twice in a row; no count may be above T."""
    columns = np.repeat(np.arange(len(counts)), counts).reshape(k, T)  # sorted: equal ones lie less than T apart
    return rng.permuted(rng.permutation(columns.T), axis=1)  # (T, k)


def statistics(selected: np.ndarray, N: int, below: float) -> tuple[np.ndarray, ...]:
    """Return the shares (N,), their CV, MaxVio, and the number of experts with less than `below` times the mean."""
    load = metrics.expert_load(selected, N)  # (N,)
    dead = metrics.dead_experts(load, below)  # (dead,)
    numbers = metrics.coefficient_of_variation(load), metrics.max_violation(load), dead.size
    return load, *map(np.array, numbers)


def of_counts(wrong: Callable) -> Callable:
    """Return the function of (selected, N, below) that is `wrong` of the counts (N,), T, k and below."""

    def answer(selected: np.ndarray, N: int, below: float) -> Any:
        return wrong(np.bincount(selected.ravel(), minlength=N), *selected.shape, below)

    return answer


def of_load(wrong: Callable) -> Callable:
    """Return the function of (selected, N, below) that is `wrong` of the shares f (N,), the fair share m and k/N."""
    return lambda selected, N, below: wrong(metrics.expert_load(selected, N), 1 / N, selected.shape[1] / N)


def of_threshold(limit: Callable) -> Callable:
    """Return the function that counts the shares below limit(shares (N,), k, below)."""
    return lambda selected, N, below: int(
        ((load := metrics.expert_load(selected, N)) < limit(load, selected.shape[1], below)).sum()
    )


def below_the_threshold(selected: np.ndarray, N: int, below: float) -> np.ndarray:
    """Mark the dead experts. (N,)."""
    return metrics.expert_load(selected, N) < below / N


AROUND_K = "You measure from k/N. Your shares sum to 1, so their mean is 1/N, whatever k is; k/N is the mean only of shares that sum to k. Measured from k/N, even perfect balance does not give 0 when k > 1. (A popular demo does this.)"

STATISTICS = FunctionQuestion(
    id="9.1",
    title="Measuring the load",
    kind="write it",
    points=1,
    minutes=7,
    difficulty="easy",
    hints=(
        "`np.bincount(selected.ravel(), minlength=num_experts)` counts each expert's assignments, also where there are none. Divide by their number, T·k.",
        "CV is `load.std() / load.mean()`, MaxVio is `load.max() / load.mean() - 1`. An expert is dead where `load < below * load.mean()`: count those.",
    ),
    idea="All four compare the load with the fair share, which is 1/N of the assignments for every k: on average (CV), at the fullest expert (MaxVio), and at the empty ones (dead experts).",
    answer="my_statistics",
    parameters=("selected", "num_experts", "below"),
    stands_for=("metrics.expert_load", "metrics.coefficient_of_variation", "metrics.max_violation", "metrics.dead_experts"),
    when_raised="selected is (T, k): flatten it (`selected.ravel()`) before `np.bincount`.",
    parts=("load", "cv", "max_violation", "dead"),
    cases=statistics_cases,
    reference=statistics,
    mistakes=(
        Mistake("divided by T", "Your shares sum to k: you divided by the number of tokens. Asked are shares of all T·k assignments, which sum to 1.",
                of_counts(lambda c, T, k, below: c / T), "load"),
        Mistake("counts", "These are the counts. Divide them by their sum, T·k.", of_counts(lambda c, T, k, below: c), "load"),
        Mistake("divided by N", "You divided the counts by the number of experts. Divide by the number of assignments, T·k, so that the shares sum to 1.",
                of_counts(lambda c, T, k, below: c / len(c)), "load"),
        Mistake("first choice only", "You counted each token's first choice alone. All k count.",
                lambda s, N, below: np.bincount(s[:, 0], minlength=N) / len(s), "load"),
        Mistake("no minlength", "Your loads end with the last expert that has any. Experts after it have load 0: `np.bincount(..., minlength=num_experts)`.",
                lambda s, N, below: np.bincount(s.ravel()) / s.size, "load"),
        Mistake("empty left out", "Experts without tokens are missing from your loads, so those after them move up. Their load is 0: `np.bincount(..., minlength=num_experts)`.",
                lambda s, N, below: np.unique(s, return_counts=True)[1] / s.size, "load"),
        Mistake("relative to the mean", "You divided by the mean load: these numbers sum to N. Asked are shares, which sum to 1.",
                of_counts(lambda c, T, k, below: c / c.mean()), "load"),
        Mistake("sample deviation", "Your standard deviation divides by N − 1 (as torch's `std` and pandas do). The N experts are all there are, not a sample: divide by N.",
                of_load(lambda f, m, km: f.std(ddof=1) / m), "cv"),
        Mistake("squared", "This is CV², which the importance loss uses. Take the root.", of_load(lambda f, m, km: f.var() / m**2), "cv"),
        Mistake("deviation of the shares", "This is the standard deviation alone. Divide it by the mean, so that it can be compared between different N.",
                of_load(lambda f, m, km: f.std()), "cv"),
        Mistake("deviation of the counts", "This is the standard deviation of the counts. Divide it by their mean.",
                of_counts(lambda c, T, k, below: c.std()), "cv"),
        Mistake("turned over", "This is mean / deviation. CV is deviation / mean.", of_load(lambda f, m, km: m / f.std()), "cv"),
        Mistake("variance", "You divided the variance by the mean. CV is the standard deviation, its root, divided by the mean.",
                of_load(lambda f, m, km: f.var() / m), "cv"),
        Mistake("added, not averaged", "You added the squared distances and did not divide by N: that is √N too large. The deviation is the root of their *mean*.",
                of_load(lambda f, m, km: f.std() * math.sqrt(len(f)) / m), "cv"),
        Mistake("absolute distances", "You averaged the absolute distances from the mean. The standard deviation is the root of the mean of their squares.",
                of_load(lambda f, m, km: np.abs(f - m).mean() / m), "cv"),
        Mistake("around k/N", AROUND_K, of_load(lambda f, m, km: math.sqrt(((f - km) ** 2).mean()) / km), "cv"),
        Mistake("divided by k/N", "You divided by k/N. Your shares sum to 1, so their mean is 1/N, whatever k is.", of_load(lambda f, m, km: f.std() / km), "cv"),
        Mistake("ratio", "This is largest / mean, which is 1 at balance. MaxVio is by how much it is exceeded: 1 less.", of_load(lambda f, m, km: f.max() / m), "max_violation"),
        Mistake("emptiest", "You measured how far the *emptiest* expert is below the mean. MaxVio looks at the fullest: it decides how long all others wait.",
                of_load(lambda f, m, km: 1 - f.min() / m), "max_violation"),
        Mistake("emptiest, negative", "You took the smallest load. MaxVio looks at the largest.", of_load(lambda f, m, km: f.min() / m - 1), "max_violation"),
        Mistake("farthest from the mean", "You took the expert that is farthest from the mean on either side; that can be an empty one. MaxVio looks at the fullest alone.",
                of_load(lambda f, m, km: np.abs(f / m - 1).max()), "max_violation"),
        Mistake("not relative", "This is largest − mean. Divide it by the mean.", of_load(lambda f, m, km: f.max() - m), "max_violation"),
        Mistake("not relative, counts", "This is largest − mean, in counts. Divide it by the mean.", of_counts(lambda c, T, k, below: c.max() - c.mean()), "max_violation"),
        Mistake("divided by the largest", "You divided by the largest load. Divide by the mean.", of_load(lambda f, m, km: 1 - m / f.max()), "max_violation"),
        Mistake("range", "This is (largest − smallest) / mean. MaxVio compares the largest with the mean.", of_load(lambda f, m, km: np.ptp(f) / m), "max_violation"),
        Mistake("MaxVio around k/N", AROUND_K, of_load(lambda f, m, km: f.max() / km - 1), "max_violation"),
        Mistake("exactly zero", "You counted experts with nothing at all, or next to nothing. Here an expert with less than `below` times the mean load is dead. Is `below` used, and the mean?",
                of_threshold(lambda f, k, below: 1e-12), "dead"),
        Mistake("at the threshold", "You counted an expert with exactly `below` times the mean load as dead. Dead is who has *less*: `<`, not `<=`.",
                lambda s, N, below: int((metrics.expert_load(s, N) <= below / N + 1e-12).sum()), "dead"),
        Mistake("threshold not relative", "You compared the shares with `below` itself. The threshold is relative to the mean load: below · 1/N. With many experts even a fair share is a small number.",
                of_threshold(lambda f, k, below: below), "dead"),
        Mistake("below not used", "You counted experts with less than the mean load itself. The threshold is `below` times that.",
                of_threshold(lambda f, k, below: f.mean()), "dead"),
        Mistake("below not used", "Your threshold is a quarter of the mean load, whatever `below` is.", of_threshold(lambda f, k, below: 0.25 * f.mean()), "dead"),
        Mistake("below not used", "Your threshold is half the mean load, whatever `below` is.", of_threshold(lambda f, k, below: 0.5 * f.mean()), "dead"),
        Mistake("threshold from the median", "Your threshold is `below` times the *median* load. Asked is `below` times the mean: where many experts are nearly empty, so is the median, and they would pass.",
                of_threshold(lambda f, k, below: below * np.median(f)), "dead"),
        Mistake("threshold from k/N", "Your threshold is below · k/N. The shares sum to 1, so their mean is 1/N.",
                of_threshold(lambda f, k, below: below * k / len(f)), "dead"),
        Mistake("threshold from the fullest", "Your threshold is `below` times the largest load. Asked is `below` times the mean.",
                of_threshold(lambda f, k, below: below * f.max()), "dead"),
        Mistake("alive", "You counted those that are alive.", lambda s, N, below: N - statistics(s, N, below)[3], "dead"),
        Mistake("which", "These are the indices of the dead experts. Asked is how many there are.", lambda s, N, below: np.flatnonzero(below_the_threshold(s, N, below)), "dead"),
        Mistake("mask", "This marks the dead experts. Asked is how many there are.", below_the_threshold, "dead"),
        Mistake("share of the experts", "This is the share of the experts that are dead. Asked is how many there are.", lambda s, N, below: statistics(s, N, below)[3] / N, "dead"),
    ),
)  # fmt: skip


# --- 9.2 noisy top-k ----------------------------------------------------------------------------------------------


def noisy_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (x, W_g, W_noise, k, train, seed): without noise and with it, for k = 2, 3 and 1."""
    cases = []
    for T, d, N, k in ((4, 3, 5, 2), (5, 4, 6, 3), (6, 3, 4, 1)):
        x, W_g, W_noise = (rng.normal(size=shape).round(1) + 0.05 for shape in ((T, d), (d, N), (d, N)))
        cases += [(x, W_g, W_noise, k, train, int(rng.integers(10_000))) for train in (False, True)]
    return cases


def softplus(z: np.ndarray) -> np.ndarray:
    """Return ln(1 + e^z), same shape."""
    return np.logaddexp(0, z)


def with_noisy_logits(logits: Callable) -> Callable:
    """Return the gate of form A that, when train is set, routes by logits(h, ε, z), with z = x W_noise, (T, N) each."""

    def weights(x: np.ndarray, W_g: np.ndarray, W_noise: np.ndarray, k: int, train: bool, seed: int) -> np.ndarray:
        h, z = x @ W_g, x @ W_noise  # (T, N)
        noise = np.random.default_rng(seed).standard_normal(h.shape)  # (T, N)
        return routing.gate_weights(logits(h, noise, z) if train else h, k)  # (T, N)

    return weights


noisy_top_k = with_noisy_logits(lambda h, noise, z: h + noise * softplus(z))


def when(rule: Callable) -> Callable:
    """Return the right gate, with noise where rule(train) says so."""
    return lambda x, W_g, W_noise, k, train, seed: noisy_top_k(x, W_g, W_noise, k, rule(train), seed)


def with_draw(draw: Callable) -> Callable:
    """Return the right gate with other noise: draw(rng, T, N), which broadcasts to (T, N)."""

    def weights(x: np.ndarray, W_g: np.ndarray, W_noise: np.ndarray, k: int, train: bool, seed: int) -> np.ndarray:
        h = x @ W_g  # (T, N)
        noise = draw(np.random.default_rng(seed), *h.shape)  # broadcasts to (T, N)
        return routing.gate_weights(h + train * noise * softplus(x @ W_noise), k)  # (T, N)

    return weights


def with_gate(gate: Callable) -> Callable:
    """Return what `gate` makes of the clean logits, the noisy ones (equal without noise) and k."""

    def weights(x: np.ndarray, W_g: np.ndarray, W_noise: np.ndarray, k: int, train: bool, seed: int) -> np.ndarray:
        h = x @ W_g  # (T, N)
        noisy = routing.noisy_logits(x, W_g, W_noise, np.random.default_rng(seed)) if train else h  # (T, N)
        return gate(h, noisy, k)

    return weights


def softmax_where(mask: np.ndarray, h: np.ndarray, cut: float = -np.inf) -> np.ndarray:
    """Return the softmax of h (T, N) after what is not marked is set to `cut`."""
    return routing.softmax(np.where(mask, h, cut))


def in_index_order(h: np.ndarray, noisy: np.ndarray, k: int) -> np.ndarray:
    """Return the k weights, largest first, at the selected experts in order of their index. (T, N)."""
    values, selected = routing.top_k(noisy, k)  # (T, k) each
    weights = np.zeros(noisy.shape)  # (T, N)
    np.put_along_axis(weights, np.sort(selected, axis=-1), routing.softmax(values), axis=-1)
    return weights


@dataclass(frozen=True, kw_only=True)
class NoisyQuestion(FunctionQuestion):
    """Passes a fresh generator with a known seed, and sees whether anything was drawn from it."""

    def probe(self, answer: Any, data: Data) -> Reply:
        """Call the answer once for each case, on copies; the seed becomes a generator."""
        values, changed, drawn = [], set(), []
        for *case, seed in data["cases"]:
            rng = np.random.default_rng(seed)
            value, names = call_answer(answer, self.parameters, tuple(case), rng)
            values.append(value)
            changed |= set(names)
            drawn.append(rng.bit_generator.state != np.random.default_rng(seed).bit_generator.state)
        return {"values": values, "changed": sorted(changed), "drawn": drawn}

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Compare; where no known mistake fits, say what can be said of the noise."""
        verdict = super().judge(data, reply)
        pairs = list(zip(data["cases"], reply["values"], strict=True))
        clean_is_right = all(agree(value, noisy_top_k(*case)) for case, value in pairs if not case[4])
        if verdict.correct or verdict.mistake or not clean_is_right:
            return verdict
        drawn = [was for case, was in zip(data["cases"], reply["drawn"], strict=True) if case[4]]
        if any(drawn):
            return Verdict(False, f"Right without noise. With train = True it is not.\n{verdict.message}")
        why = "Right without noise. With train = True nothing is drawn from `rng`: take the noise from there, as `rng.standard_normal(...)`, so that a run can be repeated."
        return Verdict(False, f"{why}\n{verdict.message}", "not from rng")

    def _write_case(self, case: tuple) -> str:
        return f"{super()._write_case(case[:-1])}, rng = np.random.default_rng({case[-1]})"


NOISY = NoisyQuestion(
    id="9.2",
    title="Noisy top-k",
    kind="write it",
    points=2,
    minutes=8,
    difficulty="medium",
    hints=(
        "softplus(z) = ln(1 + e^z) is always above 0: `np.logaddexp(0, z)`. Its argument is x W_noise, (T, N): every token has its own noise scale for every expert.",
        "First the logits, noisy only `if train`. After that nothing knows of the noise any more: the k largest of *these* logits, −∞ for the others, softmax.",
    ),
    idea="The noise goes in before the choice, so that it moves the choice: an expert just outside the top-k sometimes gets a token. Its size is learned for each token and expert. When the model is used, the flag switches it off.",
    answer="my_noisy_top_k",
    parameters=("x", "W_g", "W_noise", "k", "train", "rng"),
    stands_for=("routing.noisy_logits",),
    when_raised="The shapes: x (T, d), W_g and W_noise (d, N), so `x @ W_g` and `x @ W_noise` are (T, N), and so is the noise.",
    cases=noisy_cases,
    reference=noisy_top_k,
    mistakes=(
        Mistake("noise left on", "Your noise is on with train = False too. Then the same token can get other experts each time the model is used.", when(lambda train: True)),
        Mistake("never noise", "There is no noise with train = True. Is `train` used?", when(lambda train: False)),
        Mistake("flag turned round", "The flag is the wrong way round: you add noise when train is False.", when(lambda train: not train)),
        Mistake("one global scale", "Your noise has the same scale, 1, for every token and expert; W_noise is not used. Scale it by softplus(x W_noise).",
                with_noisy_logits(lambda h, e, z: h + e)),
        Mistake("softplus forgotten", "You scaled the noise by x W_noise itself. A scale must be above 0: put softplus around it.",
                with_noisy_logits(lambda h, e, z: h + e * z)),
        Mistake("softplus twice", "Softplus is taken twice. ln(1 + e^z) is all of it: `np.logaddexp(0, z)` or torch's `softplus`, once, around x W_noise.",
                with_noisy_logits(lambda h, e, z: h + e * softplus(softplus(z)))),
        Mistake("exp", "Your scale is exp(x W_noise). Softplus is ln(1 + e^z): for large z it grows like z, not like e^z.", with_noisy_logits(lambda h, e, z: h + e * np.exp(z))),
        Mistake("no logarithm", "Your scale is 1 + exp(x W_noise). The logarithm is missing: softplus(z) = ln(1 + e^z).", with_noisy_logits(lambda h, e, z: h + e * (1 + np.exp(z)))),
        Mistake("sigmoid", "Your scale is sigmoid(x W_noise), which cannot exceed 1. Softplus is ln(1 + e^z).", with_noisy_logits(lambda h, e, z: h + e / (1 + np.exp(-z)))),
        Mistake("ReLU", "Your scale is ReLU(x W_noise), which is 0 for half of the inputs: no noise there, and no gradient. Softplus is ln(1 + e^z).",
                with_noisy_logits(lambda h, e, z: h + e * np.maximum(z, 0))),
        Mistake("softplus around all", "Your softplus is around the product with the noise, so the noise only ever raises a logit. It belongs around x W_noise alone.",
                with_noisy_logits(lambda h, e, z: h + softplus(e * z))),
        Mistake("taken for a variance", "You took the root of the softplus. It is the standard deviation itself, not the variance.", with_noisy_logits(lambda h, e, z: h + e * np.sqrt(softplus(z)))),
        Mistake("squared", "You squared the softplus. It is the standard deviation itself, and a factor in front of a standard normal draw is one.", with_noisy_logits(lambda h, e, z: h + e * softplus(z) ** 2)),
        Mistake("subtracted", "You subtracted the noise. That is as random, but the check repeats your draws: add them.", with_noisy_logits(lambda h, e, z: h - e * softplus(z))),
        Mistake("multiplied", "You multiplied the logits by the noise. It is added.", with_noisy_logits(lambda h, e, z: h * (1 + e * softplus(z)))),
        Mistake("noise alone", "You routed by the noise alone. It is added to the logits x W_g.", with_noisy_logits(lambda h, e, z: e * softplus(z))),
        Mistake("scale from the logits", "Your scale is softplus(x W_g). The noise has a matrix of its own: softplus(x W_noise).", with_noisy_logits(lambda h, e, z: h + e * softplus(h))),
        Mistake("floor of 0.01", "You added 0.01 to the scale. Shazeer's published code does that; the formula asked for here does not.", with_noisy_logits(lambda h, e, z: h + e * (softplus(z) + 0.01))),
        Mistake("noise after top-k", "You chose the experts by the clean logits and added the noise afterwards. Then it never brings in another expert. Add it first.",
                with_gate(lambda h, noisy, k: softmax_where(selected_mask(h, k), noisy))),
        Mistake("noise for the choice only", "You chose by the noisy logits, but the weights come from the clean ones. Here the softmax is over the noisy logits too.",
                with_gate(lambda h, noisy, k: softmax_where(selected_mask(noisy, k), h))),
        Mistake("masked with 0", "Unselected experts still carry weight: you set their logits to 0, and e⁰ = 1. Mask with −∞.",
                with_gate(lambda h, noisy, k: softmax_where(selected_mask(noisy, k), noisy, 0))),
        Mistake("kept probabilities", "You took the softmax over all experts and cut afterwards, so your weights do not sum to 1. Here the softmax is over the k selected logits.",
                with_gate(lambda h, noisy, k: routing.gate_weights(noisy, k, "softmax_topk"))),
        Mistake("nothing cut", "Every expert has a weight: keep the k largest logits and set the others to −∞ before the softmax.", with_gate(lambda h, noisy, k: routing.softmax(noisy))),
        Mistake("uniform noise", "Your noise is uniform, from −1 to 1. It should be Gaussian: `rng.standard_normal`.", with_draw(lambda rng, T, N: rng.uniform(-1, 1, (T, N)))),
        Mistake("uniform from 0", "Your noise is uniform, from 0 to 1 (`rng.random`): it only ever raises a logit. It should be Gaussian: `rng.standard_normal`.", with_draw(lambda rng, T, N: rng.random((T, N)))),
        Mistake("one draw for each expert", "All tokens share the same N draws. Every token draws its own: shape (T, N).", with_draw(lambda rng, T, N: rng.standard_normal(N))),
        Mistake("one draw for each token", "All experts of a token share one draw. Every expert draws its own: shape (T, N).", with_draw(lambda rng, T, N: rng.standard_normal((T, 1)))),
        Mistake("one draw", "You drew a single number. Every token draws one for every expert: shape (T, N).", with_draw(lambda rng, T, N: rng.standard_normal())),
        Mistake("drawn as (N, T)", "You drew the noise as (N, T) and transposed it. That is as random, but the check repeats your draws: one call with the shape (T, N).", with_draw(lambda rng, T, N: rng.standard_normal((N, T)).T)),
        Mistake("softmax twice", "Your weights are a softmax of probabilities: the softmax is taken twice, which flattens them. Take it once, over the k selected *logits*.",
                with_gate(lambda h, noisy, k: softmax_where(selected_mask(noisy, k), routing.softmax(noisy)))),
        Mistake("weights in the wrong places", "The k weights are right, but they stand at the wrong experts: largest first, while the experts are in order of their index. Put each weight at the index of its own expert.", with_gate(in_index_order)),
        Mistake("only the selected", "These are k weights for each token. Return one for each expert, 0 for the unselected: (T, N).",
                with_gate(lambda h, noisy, k: routing.softmax(routing.top_k(noisy, k)[0]))),
        Mistake("logits", "These are the logits. Go on: the k largest, then the softmax.", with_gate(lambda h, noisy, k: noisy)),
    ),
)  # fmt: skip


# --- 9.3 smooth load ----------------------------------------------------------------------------------------------


def load_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (clean (T, N), noisy (T, N), noise_sd (T, N), k) for several k; the noise changes who is selected."""
    cases = []
    for T, N, k in ((2, 4, 2), (4, 6, 2), (5, 7, 4), (3, 5, 1)):
        clean = rng.normal(size=(T, N)).round(2)  # (T, N)
        noise_sd = rng.uniform(0.4, 1.6, size=(T, N)).round(2)  # (T, N)
        noisy = (clean + noise_sd * rng.standard_normal((T, N))).round(3)  # (T, N)
        noisy[0] = clean[0, ::-1] + 0.01 * np.arange(N)  # here the others are selected than by the clean logits
        cases.append((clean, noisy, noise_sd, k))
    return cases


def normal_cdf(z: np.ndarray) -> np.ndarray:
    """Return Φ(z), the chance that a standard normal draw is below z, same shape."""
    return np.vectorize(lambda value: 0.5 * math.erfc(-value / math.sqrt(2)))(z)


def best(h: np.ndarray, k: int) -> np.ndarray:
    """Return the k-th largest of each row. h (T, N). Returns (T, 1)."""
    return np.sort(h, axis=-1)[:, [-k]]


def of_the_others(h: np.ndarray, k: int) -> np.ndarray:
    """Return for each expert the k-th largest among the others. h (T, N). Returns (T, N)."""
    return np.stack([best(np.delete(h, i, axis=-1), k)[:, 0] for i in range(h.shape[1])], axis=-1)  # (T, N)


def of_the_two(h: np.ndarray, k: int, selected: int, others: int) -> np.ndarray:
    """Return number `selected` of all for those in the top k, number `others` for the rest. h (T, N). Returns (T, N)."""
    return np.where(selected_mask(h, k), best(h, selected), best(h, others))


def smooth_load(clean: np.ndarray, noisy: np.ndarray, noise_sd: np.ndarray, k: int) -> np.ndarray:
    """Return P(x, i), the chance that expert i is selected if its own noise is drawn afresh. (T, N)."""
    return normal_cdf((clean - of_the_others(noisy, k)) / noise_sd)  # (T, N)


def with_threshold(threshold: Callable) -> Callable:
    """Return the estimator that uses threshold(clean, noisy, k)."""
    return lambda clean, noisy, sd, k: normal_cdf((clean - threshold(clean, noisy, k)) / sd)


def with_gap(formula: Callable) -> Callable:
    """Return the estimator formula(clean − threshold, sd)."""
    return lambda clean, noisy, sd, k: formula(clean - of_the_others(noisy, k), sd)


SMOOTH = FunctionQuestion(
    id="9.3",
    title="A load with a gradient",
    kind="write it",
    points=3,
    minutes=9,
    difficulty="hard",
    hints=(
        "Expert i gets in when clean_i + sd_i·ε is above a threshold: the k-th largest noisy logit of the *others*. ε is standard normal, and the chance that it is above −z is Φ(z).",
        "So P = Φ((clean − threshold) / sd). With all N noisy logits sorted, the threshold of an expert that is selected is number k + 1; of one that is not, number k. Or take each expert out and sort the rest.",
    ),
    idea="Whether an expert is selected is a yes or no, without a gradient. How likely it was, before its noise was drawn, is a smooth function of its logit; so the sum over the tokens is a load that can be trained on.",
    answer="my_smooth_load",
    parameters=("clean", "noisy", "noise_sd", "k"),
    stands_for=("losses.smooth_load", "losses.load_loss"),
    when_raised="clean, noisy and noise_sd are (T, N). A k-th largest for each row has the shape (T,): keep the axis, (T, 1), or make one for each expert, (T, N).",
    cases=load_cases,
    reference=smooth_load,
    mistakes=(
        Mistake("itself counted", "Your threshold is the k-th largest of *all* noisy logits. For an expert that is selected, that list holds its own old draw, so it competes with itself. Leave it out.",
                with_threshold(lambda clean, noisy, k: best(noisy, k))),
        Mistake("the next for all", "Your threshold is number k + 1 of all noisy logits. That is right for the selected. An unselected expert must beat number k: of the others, that is the k-th.",
                with_threshold(lambda clean, noisy, k: best(noisy, k + 1))),
        Mistake("thresholds exchanged", "The two thresholds are exchanged. A selected expert, taken out, leaves number k + 1 of all as the k-th of the others; an unselected one leaves number k.",
                with_threshold(lambda clean, noisy, k: np.where(selected_mask(noisy, k), best(noisy, k), best(noisy, k + 1)))),
        Mistake("k − 1", "Your threshold is the (k − 1)-th largest of the others. Above k − 1 others there is still a place: the k-th counts.",
                with_threshold(lambda clean, noisy, k: of_the_others(noisy, k - 1))),
        Mistake("k + 1", "Your threshold is the (k + 1)-th largest of the others. Whoever is above only that one has k others above: not selected. The k-th counts.",
                with_threshold(lambda clean, noisy, k: of_the_others(noisy, k + 1))),
        Mistake("one place too high", "Both thresholds are one place too high: numbers k and k − 1 of all. That of a selected expert is number k + 1, that of the others number k. (Number k of a sorted list is `ordered[:, k - 1]`: indices count from 0.)",
                with_threshold(lambda clean, noisy, k: of_the_two(noisy, k, k, k - 1))),
        Mistake("one place too low", "Your two thresholds are numbers k + 2 and k + 1 of all. That of a selected expert is number k + 1, that of the others number k. (Number k of a sorted list is `ordered[:, k - 1]`: indices count from 0.)",
                with_threshold(lambda clean, noisy, k: of_the_two(noisy, k, k + 2, k + 1))),
        Mistake("k − 1 of all", "Your threshold is number k − 1 of all noisy logits, for every expert. It is number k of the *others*: number k + 1 of all for the selected, number k for the rest.",
                with_threshold(lambda clean, noisy, k: best(noisy, k - 1))),
        Mistake("last place taken for none", "The expert in the k-th place is selected too: it is compared with number k + 1. You compare it with itself: `>=`, not `>`.",
                with_threshold(lambda clean, noisy, k: np.where(noisy > best(noisy, k), best(noisy, k + 1), best(noisy, k)))),
        Mistake("number k + 1 taken for selected", "The expert in place k + 1 is not selected: it is compared with number k. You compare it with itself.",
                with_threshold(lambda clean, noisy, k: np.where(noisy >= best(noisy, k + 1), best(noisy, k + 1), best(noisy, k)))),
        Mistake("k-th from below", "You took the k-th *smallest* of the others: sorting goes upwards.", with_threshold(lambda clean, noisy, k: -of_the_others(-noisy, k))),
        Mistake("largest of the others", "Your threshold is the largest of the others, right for k = 1 only. There are k places.", with_threshold(lambda clean, noisy, k: of_the_others(noisy, 1))),
        Mistake("k is 2", "You take two places, whatever k is.", with_threshold(lambda clean, noisy, k: of_the_others(noisy, 2))),
        Mistake("clean threshold", "Your threshold comes from the clean logits. The others keep the noise that they drew: take the k-th largest of their *noisy* logits.",
                with_threshold(lambda clean, noisy, k: of_the_others(clean, k))),
        Mistake("selected by the clean logits", "You choose between the two thresholds by who is in the top-k of the *clean* logits. The noisy ones decide.",
                with_threshold(lambda clean, noisy, k: np.where(selected_mask(clean, k), best(noisy, k + 1), best(noisy, k)))),
        Mistake("noisy logit", "You compare the expert's *noisy* logit with the threshold. Its own noise is what is drawn afresh: begin at its clean logit.",
                lambda clean, noisy, sd, k: normal_cdf((noisy - of_the_others(noisy, k)) / sd)),
        Mistake("clean and noisy exchanged", "Clean and noisy are exchanged: you compare the expert's noisy logit with the clean ones of the others. Its own noise is drawn afresh, theirs stays.",
                lambda clean, noisy, sd, k: normal_cdf((noisy - of_the_others(clean, k)) / sd)),
        Mistake("all clean", "You used the clean logits throughout. The threshold comes from the noisy logits of the others.",
                lambda clean, noisy, sd, k: normal_cdf((clean - best(clean, k)) / sd)),
        Mistake("variance", "You divided by the squared noise scale. Φ takes the gap in standard deviations: divide by noise_sd itself.", with_gap(lambda gap, sd: normal_cdf(gap / sd**2))),
        Mistake("root", "You divided by the root of noise_sd. It is a standard deviation already.", with_gap(lambda gap, sd: normal_cdf(gap / np.sqrt(sd)))),
        Mistake("not divided", "You did not divide by noise_sd. A gap of 1 is much where the noise is small, and little where it is large.", with_gap(lambda gap, sd: normal_cdf(gap))),
        Mistake("multiplied", "You multiplied the gap by noise_sd. Divide: the larger the noise, the less a gap decides.", with_gap(lambda gap, sd: normal_cdf(gap * sd))),
        Mistake("sign turned", "This is the chance of *not* being selected: the gap is clean − threshold.", with_gap(lambda gap, sd: normal_cdf(-gap / sd))),
        Mistake("no Φ", "This is the gap in standard deviations. Φ turns it into a probability.", with_gap(lambda gap, sd: gap / sd)),
        Mistake("sigmoid", "You used the sigmoid for Φ. The noise is normal, not logistic.", with_gap(lambda gap, sd: 1 / (1 + np.exp(-gap / sd)))),
        Mistake("density", "This is the normal density. Asked is the chance of being above the threshold: Φ, its integral.",
                with_gap(lambda gap, sd: np.exp(-((gap / sd) ** 2) / 2) / math.sqrt(2 * math.pi))),
        Mistake("hard count", "This is 1 for the selected and 0 for the others: a count has no gradient. Asked is how likely each was.",
                lambda clean, noisy, sd, k: selected_mask(noisy, k)),
        Mistake("summed over the tokens", "You added up the tokens: that is the load. Asked is P for each token and expert, (T, N).", lambda *case: smooth_load(*case).sum(axis=0)),
        Mistake("only for the selected", "P is 0 for your unselected experts. With fresh noise of its own such an expert may get in as well: it has a chance too.",
                lambda clean, noisy, sd, k: selected_mask(noisy, k) * smooth_load(clean, noisy, sd, k)),
        Mistake("normalised", "You divided by the sum over the experts. P(x, i) is a chance for each expert on its own: the N need not sum to 1, nor to k.",
                lambda *case: (P := smooth_load(*case)) / P.sum(axis=-1, keepdims=True)),
    ),
)  # fmt: skip


# --- 9.4 the Switch loss ------------------------------------------------------------------------------------------


def balance_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (logits (T, N) in float32, k) for k = 2, 3 and 1, some experts preferred, no ties."""
    cases = []
    for T, N, k in ((6, 4, 2), (5, 6, 3), (9, 4, 1)):
        preference = rng.permutation(np.linspace(-0.85, 0.85, N))  # (N,)
        ranks = np.stack([rng.permutation(N) for _ in range(T)])  # (T, N)
        h = 0.4 * ranks + preference + rng.uniform(-0.02, 0.02, size=(T, N))  # (T, N)
        cases.append((h.astype(np.float32), k))
    return cases


def chosen_share(h: np.ndarray, k: int) -> np.ndarray:
    """Return f, each expert's share of the T·k assignments. h (T, N). Returns (N,)."""
    return selected_mask(h, k).mean(axis=0) / k


def mean_probability(h: np.ndarray) -> np.ndarray:
    """Return P, the mean probability of each expert. h (T, N). Returns (N,)."""
    return routing.softmax(h.astype(float)).mean(axis=0)


def balance(h: np.ndarray, k: int) -> float:
    """Return N Σ f_i P_i. h (T, N)."""
    return float(h.shape[1] * chosen_share(h, k) @ mean_probability(h))


def slope(h: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return the gradient of N Σ c_i P_i for constant c (N,): (N/T) p (c − Σ c_i p_i). h (T, N). Returns (T, N)."""
    T, N = h.shape
    p = routing.softmax(h.astype(float))  # (T, N)
    return N / T * p * (c - (p @ c)[:, None])  # (T, N)


def balance_slope(h: np.ndarray, k: int) -> np.ndarray:
    """Return ∂L/∂h of the loss, through P alone. (T, N)."""
    return slope(h, chosen_share(h, k))


def weight_slope(h: np.ndarray, k: int) -> np.ndarray:
    """Return the gradient of N Σ f_i P_i for constant P, where f has the derivative of form A's weights / k. (T, N)."""
    T, N = h.shape
    w, P = routing.gate_weights(h.astype(float), k), mean_probability(h)  # (T, N), (N,)
    return N / (T * k) * w * (P - (w @ P)[:, None])  # (T, N)


def with_factor(factor: Callable) -> Callable:
    """Return the loss times factor(T, N, k)."""
    return lambda h, k: balance(h, k) * factor(*h.shape, k)


def with_shares(product: Callable) -> Callable:
    """Return product(f, P, m, p, w): f and P (N,), mask m, probabilities p and weights w of form A (T, N)."""

    def wrong(h: np.ndarray, k: int) -> Any:
        p, w = routing.softmax(h.astype(float)), routing.gate_weights(h.astype(float), k)  # (T, N) each
        return product(chosen_share(h, k), p.mean(axis=0), selected_mask(h, k), p, w)

    return wrong


LOSS_FAULTS = (
    Mistake("not divided by k", "Your f sums to k: you divided the counts by T. Then balance gives k, not 1. f is the share of all T·k assignments. (Some libraries do it your way; then a coefficient means something else.)",
            with_factor(lambda T, N, k: k)),
    Mistake("first choice only", "Your f counts each token's first choice alone (argmax). Each token has k experts, and all of them count.",
            lambda h, k: h.shape[1] * float(chosen_share(h, 1) @ mean_probability(h))),
    Mistake("divided by k twice", "One k too many: f is divided by T·k already, so that it sums to 1. Then the factor is N, not N/k. (N/k belongs to an f that sums to k.)", with_factor(lambda T, N, k: 1 / k)),
    Mistake("N twice", "The factor N is in it twice.", with_factor(lambda T, N, k: N)),
    Mistake("T twice", "You divided by the number of tokens once too often: P is a mean over them already.", with_factor(lambda T, N, k: 1 / T)),
    Mistake("1 taken off", "You took 1 off, perhaps so that balance gives 0. The loss asked for is N Σ fᵢPᵢ as it is.", lambda h, k: balance(h, k) - 1),
    Mistake("softmax of the mean logits", "You averaged the logits over the tokens and took one softmax of that. Take each token's softmax first, then average.",
            lambda h, k: h.shape[1] * float(chosen_share(h, k) @ routing.softmax(h.astype(float).mean(axis=0)))),
    Mistake("N missing", "The factor N is missing: this is Σ fᵢPᵢ, which is 1/N at balance. (N times a *mean* over the experts takes the N away again: take the sum.)", with_factor(lambda T, N, k: 1 / N)),
    Mistake("mean over the experts", "You averaged fᵢPᵢ over the experts. The loss is N times their *sum*.", with_factor(lambda T, N, k: 1 / N**2)),
    Mistake("probabilities summed", "One T too many: Pᵢ is the *mean* probability over the tokens, not the sum.", with_factor(lambda T, N, k: T)),
    Mistake("counts", "Your f are counts. Divide them by T·k: f sums to 1.", with_factor(lambda T, N, k: T * k)),
    Mistake("coefficient included", "You multiplied by a coefficient of 0.01. Asked is the loss without one.", with_factor(lambda T, N, k: 0.01)),
    Mistake("f is P", "You used the mean probabilities twice: N Σ Pᵢ². One factor counts who was *selected*.", with_shares(lambda f, P, m, p, w: len(f) * P @ P)),
    Mistake("P is f", "You used the counted shares twice: N Σ fᵢ². Then nothing has a gradient. One factor is the mean probability.", with_shares(lambda f, P, m, p, w: len(f) * f @ f)),
    Mistake("CV²", "This is CV² of the counts. It measures balance well, but a count has no gradient; the Switch loss is N Σ fᵢPᵢ.", with_shares(lambda f, P, m, p, w: len(f) * f @ f - 1)),
    Mistake("f from the gate weights", "Your f is the mean gate weight: a soft count. f counts each selected expert as 1, whatever its weight.", with_shares(lambda f, P, m, p, w: len(f) * w.mean(axis=0) @ P)),
    Mistake("kept probabilities only", "Your P averages the probabilities of selected experts alone, with 0 for the others. P is the mean over all tokens, whether they chose the expert or not: that is how a dead expert hears anything.",
            with_shares(lambda f, P, m, p, w: len(f) * f @ (m * p).mean(axis=0))),
    Mistake("gate weights for P", "Your P averages the gate weights. P is the mean of the softmax over *all* experts.", with_shares(lambda f, P, m, p, w: len(f) * f @ w.mean(axis=0))),
    Mistake("multiplied before the mean", "You multiplied selection and probability token by token and averaged afterwards. Average each over the tokens first, then multiply.",
            with_shares(lambda f, P, m, p, w: len(f) * (m * p).sum() / m.sum())),
    Mistake("logits for P", "Your P averages the logits. Take the softmax first.", lambda h, k: h.shape[1] * float(chosen_share(h, k) @ h.astype(float).mean(axis=0))),
    Mistake("softmax over the tokens", "Your softmax runs over the tokens (dim 0). Each token has its own softmax over the experts: dim −1.", lambda h, k: h.shape[1] / h.shape[0]),
    Mistake("one for each expert", "These are N·fᵢ·Pᵢ, expert by expert. Add them up.", with_shares(lambda f, P, m, p, w: len(f) * f * P)),
    Mistake("one for each token", "These are the parts of the single tokens. Average them.", with_shares(lambda f, P, m, p, w: len(f) * p @ f)),
)  # fmt: skip

THROUGH_F = "The value is right, but f carries a gradient too: a soft count stands behind it. f is a constant (detach it, or count whole numbers); only P is differentiated."
F_ALONE = "The value is right, but the gradient goes through a soft f, and P is detached. It is the other way round: f is a constant, P carries the gradient."
SLOPE_FAULTS = (
    Mistake("P detached", "The value is right, but no gradient reaches the logits. P must stay attached: no `.detach()`, `no_grad`, `.item()` or numpy on the way.", lambda h, k: np.zeros(h.shape)),
    Mistake("through f too", THROUGH_F, lambda h, k: slope(h, chosen_share(h, k) + mean_probability(h))),
    Mistake("through f too", THROUGH_F, lambda h, k: slope(h, chosen_share(h, k) + mean_probability(h) / k)),
    Mistake("through f too", THROUGH_F, lambda h, k: balance_slope(h, k) + weight_slope(h, k)),
    Mistake("through f alone", F_ALONE, lambda h, k: slope(h, mean_probability(h))),
    Mistake("through f alone", F_ALONE, lambda h, k: slope(h, mean_probability(h) / k)),
    Mistake("through f alone", F_ALONE, weight_slope),
)  # fmt: skip


def loss_and_slope(answer: Callable, h: np.ndarray, k: int) -> dict[str, Any]:
    """Call a learner's loss with a tensor and differentiate what it returns. Returns plain data."""
    import torch  # here, so that reading the questions does not load it

    leaf = torch.tensor(h, requires_grad=True)  # (T, N)
    with torch.enable_grad():
        loss = answer(leaf.clone(), k)
        if isinstance(loss, torch.Tensor) and loss.numel() == 1:
            loss = loss.reshape(())  # one number, in whatever brackets
        run: dict[str, Any] = {"loss": plain(loss), "tensor": isinstance(loss, torch.Tensor)}
        if not run["tensor"] or loss.shape != () or not loss.requires_grad:
            return {**run, "slope": np.zeros(h.shape)}
        (found,) = torch.autograd.grad(loss, leaf, allow_unused=True)
    return {**run, "slope": np.zeros(h.shape) if found is None else plain(found)}


@dataclass(frozen=True, kw_only=True)
class BalanceQuestion(Question):
    """Judges the value of the loss, then its gradient."""

    def draw(self, rng: np.random.Generator) -> Data:
        """Return the cases (logits, k)."""
        return {"cases": balance_cases(rng)}

    def probe(self, answer: Any, data: Data) -> Reply:
        """Compute the loss and its gradient once for each case."""
        runs = []
        for h, k in data["cases"]:
            try:
                runs.append(loss_and_slope(answer, h, k))
            except Exception as error:
                raise AnswerRaised(f"logits: a tensor of shape {h.shape}, k = {k}") from error
        return {"runs": runs}

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Find the first of value and gradient that is wrong in any case."""
        cases, runs = data["cases"], reply["runs"]
        if not all(run["tensor"] for run in runs):
            return Verdict(False, f"Expected a torch tensor that holds one number; came {describe(runs[0]['loss'])}. Only a tensor carries a gradient.")  # fmt: skip
        losses, slopes = ([run[name] for run in runs] for name in ("loss", "slope"))
        verdict = compared("the loss", cases, losses, balance, LOSS_FAULTS)
        verdict = verdict or compared("∂L/∂logits", cases, slopes, balance_slope, SLOPE_FAULTS)
        return verdict or Verdict(True)


def compared(what: str, cases: list[tuple], came: list, right: Callable, faults: tuple[Mistake, ...]) -> Verdict | None:
    """Return None if all that came is right, else what is wrong, with the fault that explains it in every case."""
    expected = [right(*case) for case in cases]
    wrong = next((i for i, pair in enumerate(zip(came, expected, strict=True)) if not close(*pair)), None)
    if wrong is None:
        return None
    pairs = list(zip(came, cases, strict=True))
    fault = next((f for f in faults if all(close(value, f.wrong(*case)) for value, case in pairs)), None)
    h, k = cases[wrong]
    lines = [fault.why] if fault else []
    lines.append(difference(came[wrong], np.asarray(expected[wrong], np.float32), what))
    lines.append(f"for logits of {h.shape[0]} tokens and {h.shape[1]} experts, k = {k}")
    return Verdict(False, "\n".join(lines), fault.name if fault else None)


def close(value: Any, expected: Any) -> bool:
    """Tell whether value has the shape and numbers of expected, where 0 may be a rounding error of float32."""
    value = stacked(value)
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        value = np.where(np.abs(value) < 1e-7, 0, value)
    return agree(value, expected)


BALANCE = BalanceQuestion(
    id="9.4",
    title="The Switch loss",
    kind="write it",
    points=2,
    minutes=9,
    difficulty="medium",
    hints=(
        "P = `torch.softmax(logits, dim=-1).mean(dim=0)`, with its gradient. For f, count: `logits.topk(k).indices` holds T·k expert indices, and indices are whole numbers without a gradient.",
        "`torch.bincount(indices.flatten(), minlength=N)` counts them (`functional.one_hot(indices, N)`, summed, does it too); divided by T·k this is f. The loss is `N * (f * P).sum()`.",
    ),
    idea="f says who has too much, and P is the handle: pressing P down where f is large makes the busy experts less likely for every token. f itself is a count and gives no gradient.",
    answer="my_balance_loss",
    parameters=("logits", "k"),
    stands_for=("losses.load_balancing_loss", "losses.balance_of_layers"),
    when_raised="`logits` is a float32 tensor (T, N) that carries a gradient. Use torch's own `softmax`, `topk` and `bincount`: numpy and the course's numpy functions cannot take it. Whole numbers become float32 with `.to(logits.dtype)`.",
)  # fmt: skip


# --- 9.5 a loss below 1 -------------------------------------------------------------------------------------------

MOST_LOSS, LEAST_VIOLATION = 0.95, 1.0
LEAST_GAP = 0.001  # between a token's best and second best logit: who is selected must not hang on rounding
MOST_TOKENS, MOST_EXPERTS = 1000, 64  # as lists of numbers, too, such logits fit into the grader's reply


@dataclass(frozen=True, kw_only=True)
class BelowOneQuestion(VariableQuestion):
    """Any logits with an unbalanced load and a small balance loss."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Check the form, then that someone wins clearly, then the two numbers."""
        h = stacked(reply["value"])
        if verdict := form_fault(h):
            return verdict
        h = h.astype(float)  # (T, N)
        loss, load = balance(h, 1), chosen_share(h, 1)
        violation = float(metrics.max_violation(load))
        seen = f"The balance loss is {loss:.4f}, MaxVio is {violation:.4f}; asked are at most {MOST_LOSS} and at least {LEAST_VIOLATION:g}."  # fmt: skip
        fault = winner_fault(h)
        if not fault and (loss > MOST_LOSS or violation < LEAST_VIOLATION - 1e-9):
            fault = probabilities_fault(h) or size_fault(loss, violation, load)
        if not fault:
            return Verdict(True, f"{seen} Loads: {show(load)}.")
        why, name = fault
        return Verdict(False, f"{why}\n{seen}\nLoads: {show(load)}.", name)


def form_fault(h: Any) -> Verdict | None:
    """Return a verdict on something that is not a batch of logits, or None."""
    if not isinstance(h, np.ndarray) or h.dtype.kind not in "fiu":
        return Verdict(False, f"Expected an array of logits (T, N), one row for each token; came {describe(h)}.")
    if h.ndim != 2:
        return Verdict(False, f"Expected the shape (T, N), one row for each token; came {h.shape}.", "wrong shape")
    if not (1 <= len(h) <= MOST_TOKENS and 2 <= h.shape[1] <= MOST_EXPERTS):
        return Verdict(False, f"Expected 1 to {MOST_TOKENS} tokens (rows) and 2 to {MOST_EXPERTS} experts (columns); came {h.shape}.", "wrong shape")  # fmt: skip
    if not np.isfinite(h).all():
        return Verdict(False, "Every logit must be a finite number. For a probability that is nearly 0, −20 is enough: e⁻²⁰ is 2 in a billion.", "not finite")  # fmt: skip
    return None


def winner_fault(h: np.ndarray) -> tuple[str, str] | None:
    """Return why and name if a token's two best experts tie, or nearly; None if each has a clear winner."""
    top = np.sort(h, axis=-1)[:, -2:]  # (T, 2)
    tied = np.flatnonzero(top[:, 1] - top[:, 0] < LEAST_GAP)
    if not tied.size:
        return None
    return f"{tied.size} of {len(h)} tokens have no clear winner: their two largest logits are less than {LEAST_GAP} apart (the first is row {tied[0]}). Who is selected would hang on a rule for ties. Lift the winner by a little, 0.01 for instance.", "tie"  # fmt: skip


def probabilities_fault(h: np.ndarray) -> tuple[str, str] | None:
    """Return why and name if these are probabilities that would do; else None."""
    if h.min() < 0 or not np.allclose(h.sum(axis=-1), 1, atol=1e-3):
        return None
    with np.errstate(divide="ignore"):
        logits = np.maximum(np.log(h), -50)  # (T, N)
    violation = metrics.max_violation(chosen_share(logits, 1))
    if balance(logits, 1) > MOST_LOSS or violation < LEAST_VIOLATION - 1e-9:
        return None
    return "As *probabilities* these would do, but they are taken for logits, and the softmax makes them nearly equal. Logits that give p are `np.log(p)` (with a small number in place of 0).", "probabilities"  # fmt: skip


def size_fault(loss: float, violation: float, load: np.ndarray) -> tuple[str, str]:
    """Explain a load that is too even, or a loss that is too large, and name which."""
    if loss <= MOST_LOSS:
        return "The loss is small enough, but no expert has twice the mean load. Let half of the experts get no token at all: then the others have twice the mean.", "load balanced"  # fmt: skip
    if len(load) == 2:
        return "With two experts, one has twice the mean load only if it has *every* token, and then the loss is 2·P₁ with P₁ above a half. Take more experts.", "two experts"  # fmt: skip
    if load.max() == 1:
        return "All tokens go to one expert. Then the loss is N times its mean probability, and whoever wins has at least 1/N in every token: the loss cannot be below 1. Let at least two experts win, and others none.", "one expert has all"  # fmt: skip
    if violation < LEAST_VIOLATION - 1e-9:
        return "The load is too even. Begin with the load: let only half of the experts ever win.", "neither"
    if loss < 1:
        return "The loss is below 1 already, and the load is unbalanced. A little further: move more of the winners' probability to experts that never win.", "not far enough"  # fmt: skip
    return "The load is unbalanced, but the loss shows it. Keep who wins, and make Pᵢ small where fᵢ is large: each token gives experts that *never* win nearly as much probability as its winner, and next to nothing to the other winners.", "loss not below 1"  # fmt: skip


BELOW_ONE = BelowOneQuestion(
    id="9.5",
    title="Unbalanced, with a loss below 1",
    kind="build a counterexample",
    points=2,
    minutes=7,
    difficulty="medium",
    hints=(
        "The loss is N Σ fᵢPᵢ. An expert that never wins has f = 0, so probability that it gets costs nothing. How much can it get without winning?",
        "Let only half of the experts ever win, each with its share of the tokens, and give every token a little more probability for its winner than for each expert that never wins; next to nothing for the other winners. From probabilities to logits: `np.log(p)`.",
    ),
    idea="Dead experts can hold most of the probability and never be selected. Their P counts for nothing, since f is 0 there, so the loss falls below 1 while half of the experts are idle. The gradient is still right: it raises the dead ones. Only the value misleads; for balance look at the load itself.",
    answer="my_batch",
)  # fmt: skip

QUESTIONS = (STATISTICS, NOISY, SMOOTH, BALANCE, BELOW_ONE)
