"""Questions of exercise set 08: training a router."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from scipy.special import chdtri, ndtr

from moe_lessons import routing
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
    remark_on_changes,
)
from moe_lessons.checks.values import describe, plain, show, stacked

# --- 8.1 the data set ---------------------------------------------------------------------------------------------

TOKENS, FEW = 20_002, 40  # TOKENS is divisible by none of 3, 4, 5: dealing out domains evenly cannot hide
SIGMAS = 6.5  # how many standard errors count as chance: about 1 in 10 billion for one number
CLOSE = (
    0.03  # relative error of a standard deviation; chance moves it by less than 0.025 (SIGMAS of the fewest numbers)
)


def domain_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (means (D, d), noise_std, T) three times: means of equal norm, and no noise_std near 1."""
    cases = []
    for D, d, norm, noise in ((3, 2, 4.0, 0.5), (4, 3, 7.0, 1.7), (5, 6, 3.0, 0.3)):
        rows = rng.normal(size=(D, d))  # (D, d)
        means = norm * rows / np.linalg.norm(rows, axis=1, keepdims=True)
        cases.append((means.round(6), round(noise * rng.uniform(0.95, 1.05), 3), TOKENS))
    return cases


# What someone gets as standard deviation of each number in the place of σ, for tokens of width d.
SPREADS = (
    Mistake("square root of the std", "The noise has the standard deviation √noise_std: you took noise_std for a variance. `rng.normal` wants the standard deviation, and so does a factor in front of standard normal noise.",
            lambda sd, d: np.sqrt(sd)),
    Mistake("variance for std", "The noise has the standard deviation noise_std²: you passed the variance where numpy wants the standard deviation.",
            lambda sd, d: sd**2),
    Mistake("standard deviation 1", "The noise has standard deviation 1 whatever noise_std is. Multiply it.", lambda sd, d: 1.0),
    Mistake("shared among the coordinates", "The noise is too small by √d: noise_std is the standard deviation of each coordinate, not of the whole vector's length.",
            lambda sd, d: sd / np.sqrt(d)),
    Mistake("uniform noise", "The noise is spread evenly from −noise_std to noise_std: then its standard deviation is noise_std/√3, and it is not normal. Use `rng.normal`.",
            lambda sd, d: sd / np.sqrt(3)),
    Mistake("too large by √d", "The noise is too large by √d. noise_std is the standard deviation of each coordinate: nothing to multiply by the width.",
            lambda sd, d: sd * np.sqrt(d)),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DomainsQuestion(Question):
    """Judges the form, then the domains, then the noise that is left when each token's mean is taken off."""

    def draw(self, rng: np.random.Generator) -> Data:
        """Return three cases (means, noise_std, T), and seeds for the learner's rng."""
        return {"cases": domain_cases(rng), "seeds": rng.choice(2**31, 3, replace=False)}

    def probe(self, answer: Any, data: Data) -> Reply:
        """Draw each case once; then a few tokens of the first with one seed, the same seed, and another."""
        changed: set[str] = set()

        def drawn(case: tuple, seed: int) -> Any:
            value, names = call_answer(answer, self.parameters, case, np.random.default_rng(int(seed)))
            changed.update(names)
            return value

        first, seeds = (*data["cases"][0][:2], FEW), data["seeds"]
        many = [drawn(case, seed) for case, seed in zip(data["cases"], seeds, strict=True)]
        few = [drawn(first, seed) for seed in (seeds[0], seeds[0], seeds[1])]
        return {"many": many, "few": few, "changed": sorted(changed)}

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Go from form to statistics to seeds; the first fault is explained."""
        cases = data["cases"]
        few_cases = [(*cases[0][:2], FEW)] * len(reply["few"])
        for value, case in zip(reply["many"] + reply["few"], cases + few_cases, strict=True):
            if fault := form_fault(value, *case):
                return Verdict(False, f"{fault[0]}\nfor {written(*case)}", fault[1])
        many, few = ([tuple(map(stacked, value)) for value in reply[name]] for name in ("many", "few"))
        fault = label_fault(many, cases) or noise_fault(many, cases) or seed_fault(few)
        if fault:
            return Verdict(False, *fault)
        return Verdict(True, remark_on_changes(reply["changed"]))


def written(means: np.ndarray, noise_std: float, T: int) -> str:
    """Write down what the learner's function was called with."""
    return f"means: an array of shape {means.shape}, noise_std = {noise_std:g}, T = {T}"


Fault = tuple[str, str | None]


def form_fault(value: Any, means: np.ndarray, noise_std: float, T: int) -> Fault | None:
    """Say what is wrong with shapes and number formats; None when nothing is."""
    if isinstance(value, list) and len(value) == T and isinstance(value[0], list):
        return "You return a list of T pairs. Return two things: all tokens, (T, d), and all domains, (T,).", "pairs"
    if not isinstance(value, list) or len(value) != 2:
        return f"Expected two arrays, x and domain. Came {describe(value)}.", None
    x, domain = map(stacked, value)
    D, d = means.shape
    if not all(isinstance(part, np.ndarray) and part.dtype.kind in "fiu" for part in (x, domain)):
        return f"Expected two arrays of numbers, x and domain. Came {describe(value)}.", None
    if domain.shape == (T, d) and x.shape == (T,):
        return "Both are there, but in the wrong order: return x first, then domain.", "turned round"
    if x.shape == (d, T):
        return f"x has the shape {x.shape}. Tokens are rows: ({T}, {d}).", "tokens as columns"
    if domain.shape == (T, D):
        return f"`domain` has the shape {domain.shape}, a column for each domain. Return one whole number for each token, from 0 to {D - 1}.", "one-hot domains"  # fmt: skip
    if x.shape != (T, d) or domain.shape != (T,):
        return f"Expected x of shape ({T}, {d}) and domain of shape ({T},). Came {describe(x)}, and {describe(domain)}.", None  # fmt: skip
    return format_fault(x, domain, D)


def format_fault(x: np.ndarray, domain: np.ndarray, D: int) -> Fault | None:
    """Say what is wrong with the numbers' kind and range. x (T, d), domain (T,)."""
    if domain.dtype.kind == "f":
        return (
            f"`domain` holds {domain.dtype}. It is used as an index later: return whole numbers.",
            "domains as floats",
        )
    if x.dtype.kind != "f":
        return f"x holds whole numbers ({x.dtype}): was it stored in an array made for integers?", None
    if domain.min() == 1 and domain.max() == D:
        return f"You count the domains from 1. Row i of `means` is domain i, from 0 to {D - 1}.", "counted from one"
    if domain.min() < 0 or domain.max() >= D:
        return f"Domains go from 0 to {D - 1}; yours go from {domain.min()} to {domain.max()}.", None
    return None if np.isfinite(x).all() else ("x is not finite everywhere.", None)


def label_fault(many: list[tuple], cases: list[tuple]) -> Fault | None:
    """Say what is wrong with the domains (T,): order, frequencies."""
    domains, counts = [domain for _, domain in many], []
    for domain, (means, _, _) in zip(domains, cases, strict=True):
        counts.append(np.bincount(domain, minlength=len(means)))  # (D,)
    if all(np.ptp(domain) == 0 for domain in domains):
        return (
            "All tokens of a call come from one domain: draw a domain for each token, `size=T`.",
            "one domain for all",
        )
    if all(in_runs(domain) for domain in domains):
        return "The domains come in a fixed order, one block or one round after the other. Draw each token's domain at random, so that every batch of consecutive rows is a fair sample.", "in order"  # fmt: skip
    if all(np.ptp(count) <= 1 for count in counts):
        return f"Every domain has the same number of tokens, to within one: {show(counts[0])}. So the domains were dealt out, not drawn. Independent draws vary from call to call.", "dealt out"  # fmt: skip
    if all(count[-1] == 0 for count in counts) and all(count[:-1].all() for count in counts):
        return "The last domain never comes. The upper end of `rng.integers` is not included.", "last domain missing"
    total = sum(float(((c - c.mean()) ** 2 / c.mean()).sum()) for c in counts)
    if total > chdtri(sum(len(count) - 1 for count in counts), 1e-10):
        return f"The domains are not equally likely. So many of {TOKENS} tokens came from each: {show(counts[-1])}.", "not uniform"  # fmt: skip
    return None


def in_runs(domain: np.ndarray) -> bool:
    """Tell whether domains (T,) come sorted, or round after round."""
    steps = np.diff(domain)
    return bool((steps >= 0).all() or np.isin(steps, (1, -domain.max())).all())


def noise_fault(many: list[tuple], cases: list[tuple]) -> Fault | None:
    """Say what is wrong with the noise: the tokens less the means of their domains."""
    noises = [x - case[0][domain] for (x, domain), case in zip(many, cases, strict=True)]  # (T, d) each
    rows = list(zip(noises, many, cases, strict=True))
    if fault := shared_fault(rows):
        return fault
    if all(is_shuffled(*row) for row in rows):
        return "`domain` does not belong to x: your tokens lie around the means, but around other ones than `domain` says. Draw the domains once, and use the same array for both.", "labels of another draw"  # fmt: skip
    if any(np.abs(r.mean(axis=0)).max() > SIGMAS * r.std() / np.sqrt(len(r)) for r in noises):
        return off_centre(rows)
    return spread_fault(rows) or shape_fault(noises)


def shared_fault(rows: list[tuple]) -> Fault | None:
    """Say where noise is missing or shared: no two numbers of it should be the same draw."""
    noises = [r for r, _, _ in rows]
    if all(np.abs(r).max() < 1e-5 for r in noises):
        return "There is no noise: every token is exactly the mean of its domain.", "no noise"
    if all(np.ptp(r, axis=0).max() < 1e-5 for r in noises):
        return (
            "All tokens of a call share one noise vector. Each token needs its own: `size=(T, d)`.",
            "one noise for all",
        )
    if all(all(np.ptp(r[domain == i], axis=0).max() < 1e-5 for i in range(len(means))) for r, (_, domain), (means, *_) in rows):  # fmt: skip
        return "All tokens of a domain are the same: you drew one noise vector for each domain. Each token needs its own: `size=(T, d)`, after the means have been looked up.", "one noise for each domain"  # fmt: skip
    if all(np.ptp(r, axis=1).max() < 1e-5 for r in noises):
        return "In each token all coordinates have the same noise: one number for each token. Draw d of them: `size=(T, d)`.", "one noise for each token"  # fmt: skip
    return None


def is_shuffled(r: np.ndarray, drawn: tuple, case: tuple) -> bool:
    """Tell whether tokens x (T, d) lie around the means in the right way, but not around those that domain names."""
    (x, domain), (means, noise_std, _) = drawn, case
    gaps = np.stack([((x - mean) ** 2).sum(axis=1) for mean in means])  # (D, T)
    named = np.mean(gaps.argmin(axis=0) == domain)
    return bool(named < 1.5 / len(means) and np.sqrt(gaps.min(axis=0).mean()) < 2 * noise_std * np.sqrt(x.shape[1]))


def off_centre(rows: list[tuple]) -> Fault:
    """Explain noise whose mean is not 0."""
    if all(r.min() >= -1e-6 for r, _, _ in rows):
        return "Your noise is never negative, so every cluster is shifted. Normal noise has mean 0: `rng.normal`.", "positive noise"  # fmt: skip
    if all(is_moved(-1, *row) for row in rows):
        return "The clusters all lie around 0: your tokens are the noise alone. Add each one's mean, `means[domain]`.", "means left out"  # fmt: skip
    if all(is_moved(1, *row) for row in rows):
        return "The clusters lie around twice their means: you added them twice. `rng.normal(means[domain], ...)` has them already.", "means twice"  # fmt: skip
    r, _, case = rows[0]
    return f"The clusters do not lie around their means: on average a token is off by {show(r.mean(axis=0))}.\nfor {written(*case)}", None  # fmt: skip


def is_moved(by: float, r: np.ndarray, drawn: tuple, case: tuple) -> bool:
    """Tell whether noise r (T, d) is what it should be, but for `by` times the mean of each token's domain."""
    rest = r - by * case[0][drawn[1]]  # (T, d)
    return bool(abs(rest.std() / case[1] - 1) < CLOSE and np.abs(rest.mean(axis=0)).max() < CLOSE * case[1])


def spread_fault(rows: list[tuple]) -> Fault | None:
    """Say what is wrong with the noise's standard deviation, over all and domain by domain."""
    measured = [np.sqrt((r**2).mean()) for r, _, _ in rows]
    wanted = [(case[1], case[0].shape[1]) for _, _, case in rows]
    if all(abs(sd / right - 1) < CLOSE for sd, (right, _) in zip(measured, wanted, strict=True)):
        return None
    found = [m for m in SPREADS if all(abs(sd / m.wrong(*w) - 1) < CLOSE for sd, w in zip(measured, wanted, strict=True))]  # fmt: skip
    why = found[0].why if found else "The noise has the wrong size."
    seen = f"standard deviation of the noise: expected {wanted[1][0]:g}, came {measured[1]:.4g}"
    return f"{why}\n{seen}\nfor {written(*rows[1][2])}", found[0].name if found else None


def shape_fault(noises: list[np.ndarray]) -> Fault | None:
    """Say whether noise of the right size is not normal, or its coordinates go together."""
    for r in noises:
        z = r / r.std()  # (T, d)
        errors = SIGMAS / np.sqrt(z.size)
        if abs((z**4).mean() - 3) > np.sqrt(24) * errors * 1.5 or abs((z**3).mean()) > np.sqrt(6) * errors * 1.5:
            return "Mean and standard deviation of the noise are right, but it is not normal: use `rng.normal`.", "not normal"  # fmt: skip
        together = z.T @ z / len(z) - np.eye(z.shape[1])  # (d, d)
        if np.abs(together).max() > np.sqrt(2) * SIGMAS / np.sqrt(len(z)):
            return "The noise has the right size over all, but not in every coordinate alike and on its own.", None
    return None


def seed_fault(few: list[tuple]) -> Fault | None:
    """Say whether the rng decides, and it alone: two calls with one seed, one with another."""
    (x, domain), (again, domain_again), (other, _) = few
    if np.array_equal(x, again) and np.array_equal(x, other):
        return "Every seed gives the same tokens. Take all randomness from the `rng` that is passed in.", "rng not used"
    if not (np.array_equal(x, again) and np.array_equal(domain, domain_again)):
        return "The same seed gives different tokens. Some randomness does not come from the `rng` that is passed in.", "another source"  # fmt: skip
    return None


DOMAINS = DomainsQuestion(
    id="8.1",
    title="Tokens with a known origin",
    kind="write it",
    points=1,
    minutes=7,
    difficulty="easy",
    hints=(
        "First a domain for each token: `rng.integers(len(means), size=T)`. Then its mean: an array of T indices picks T rows of `means` at once.",
        "The noise has the shape of x, (T, d): `noise_std * rng.normal(size=...)`. Every token and every coordinate has a draw of its own.",
    ),
    idea="Draw the domain, look up its mean, add fresh noise: since you planted the domains, you know the best possible answer and can measure a router against it.",
    answer="my_domains",
    parameters=("means", "noise_std", "T", "rng"),
    seconds=15.0,  # 60,000 tokens: a loop over them is right too, and slow
    when_raised="`means` has the shape (D, d). `means[domain]` with domain (T,) has the shape (T, d), and so must the noise. Domains are counted from 0.",
)  # fmt: skip


# --- 8.2 a training step ------------------------------------------------------------------------------------------


def step_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (W (d, N), x (T, d), domain (T,), lr, z_loss_coef) four times, once with coefficient 0; float32."""
    cases = []
    for T, d, N, lr, c in ((3, 2, 3, 0.5, 0.1), (6, 4, 5, 0.2, 0.03), (5, 3, 4, 1.5, 0.0), (4, 5, 3, 0.8, 0.3)):
        W, x = rng.normal(size=(d, N)), rng.normal(size=(T, d))
        domain = rng.permutation(np.arange(T) % N)  # (T,)
        cases.append((np.float32(W), np.float32(x), domain, lr, c))
    return cases


Slope = Callable[[np.ndarray, np.ndarray, float], np.ndarray]


def cross_entropy_slope(h: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Return ∂/∂h of the mean cross-entropy. h (T, N), Y (T, N) one-hot. Returns (T, N)."""
    return (routing.softmax(h) - Y) / len(h)


def z_slope(h: np.ndarray) -> np.ndarray:
    """Return ∂/∂h of the mean squared log-sum-exp. h (T, N). Returns (T, N)."""
    return 2 * routing.log_sum_exp(h)[:, None] * routing.softmax(h) / len(h)


def stepped(slope: Slope, sign: float = -1.0) -> Callable[..., np.ndarray]:
    """Return the function (W, x, domain, lr, c) -> W after a step along slope(h, Y, c), in float32. (d, N)."""

    def step(W: np.ndarray, x: np.ndarray, domain: np.ndarray, lr: float, c: float) -> np.ndarray:
        W, x = W.astype(float), x.astype(float)
        return (W + sign * lr * (x.T @ slope(x @ W, np.eye(W.shape[1])[domain], c))).astype(np.float32)

    return step


def right_slope(h: np.ndarray, Y: np.ndarray, c: float) -> np.ndarray:
    """Return ∂/∂h of cross-entropy + c · z-loss. (T, N)."""
    return cross_entropy_slope(h, Y) + c * z_slope(h)


def with_z(z_part: Callable[[np.ndarray], np.ndarray]) -> Callable[..., np.ndarray]:
    """Return the step with another slope in the place of the z-loss's."""
    return stepped(lambda h, Y, c: cross_entropy_slope(h, Y) + c * z_part(h))


def with_cross_entropy(part: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[..., np.ndarray]:
    """Return the step with another slope in the place of the cross-entropy's."""
    return stepped(lambda h, Y, c: part(h, Y) + c * z_slope(h))


def probability_slope(h: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Return ∂/∂h of minus the mean probability of the right domain. (T, N)."""
    p = routing.softmax(h)  # (T, N)
    right = (p * Y).sum(axis=1, keepdims=True)  # (T, 1)
    return right * (p - Y) / len(h)


def doubled_softmax_slope(h: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Return ∂/∂h when probabilities are passed where the cross-entropy expects logits. (T, N)."""
    p = routing.softmax(h)  # (T, N)
    v = cross_entropy_slope(p, Y)
    return p * (v - (p * v).sum(axis=1, keepdims=True))


def squared_error_slope(h: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Return ∂/∂h of the mean over tokens of Σ (p − Y)². (T, N)."""
    p = routing.softmax(h)  # (T, N)
    v = 2 * (p - Y) / len(h)
    return p * (v - (p * v).sum(axis=1, keepdims=True))


def along_tokens(h: np.ndarray) -> np.ndarray:
    """Return ∂/∂h of the mean squared log-sum-exp over the tokens, for each expert. (T, N)."""
    return z_slope(h.T).T


def gradient_alone(W: np.ndarray, x: np.ndarray, domain: np.ndarray, lr: float, c: float) -> np.ndarray:
    """Return the gradient in the place of the new W. (d, N)."""
    W, x = W.astype(float), x.astype(float)
    return (x.T @ right_slope(x @ W, np.eye(W.shape[1])[domain], c)).astype(np.float32)


def adam(decay: float) -> Callable[..., np.ndarray]:
    """Return the function (W, x, domain, lr, c) -> W after Adam's first step, with its weight decay. (d, N)."""

    def step(W: np.ndarray, x: np.ndarray, domain: np.ndarray, lr: float, c: float) -> np.ndarray:
        g = gradient_alone(W, x, domain, lr, c)  # (d, N)
        return W * np.float32(1 - lr * decay) - np.float32(lr) * g / (np.abs(g) + np.float32(1e-8))

    return step


def token_by_token(W: np.ndarray, x: np.ndarray, domain: np.ndarray, lr: float, c: float) -> np.ndarray:
    """Return W after a step for each token, one after the other. (d, N)."""
    for t in range(len(x)):
        W = stepped(right_slope)(W, x[t : t + 1], domain[t : t + 1], lr, c)
    return W


def no_logarithm(h: np.ndarray) -> np.ndarray:
    """Return ∂/∂h of the mean over tokens of (Σ e^h)². (T, N)."""
    e = np.exp(h)  # (T, N)
    return 2 * e.sum(axis=1, keepdims=True) * e / len(h)


def z_of_probabilities(h: np.ndarray) -> np.ndarray:
    """Return ∂/∂h of the z-loss of p in the place of h. (T, N)."""
    p = routing.softmax(h)  # (T, N)
    v = z_slope(p)
    return p * (v - (p * v).sum(axis=1, keepdims=True))


@dataclass(frozen=True, kw_only=True)
class StepQuestion(FunctionQuestion):
    """Hands the arrays over as tensors; what comes back is compared with derivatives worked out by hand, in numpy."""

    def probe(self, answer: Any, data: Data) -> Reply:
        """Call the answer once for each case, with gradients on."""
        import torch  # here, so that reading the questions does not load it

        values, changed = [], set()
        for W, x, domain, lr, c in data["cases"]:
            mine = torch.tensor(W)  # (d, N)
            with torch.enable_grad():
                try:
                    values.append(plain(answer(mine, torch.tensor(x), torch.tensor(domain), lr, c)))
                except Exception as error:
                    called = f"W: a tensor of shape {W.shape}, x: {x.shape}, domain: {domain.shape}, lr = {lr:g}, z_loss_coef = {c:g}"
                    raise AnswerRaised(called) from error
            if not np.array_equal(plain(mine), W):
                changed.add("W")
        return {"values": values, "changed": sorted(changed)}


ADAM = "Every entry of W moved by lr, whatever its gradient: Adam's first step is that (and so is a step along the gradient's sign). Asked is plain gradient descent: W − lr · gradient, as `torch.optim.SGD` does it."

STEP = StepQuestion(
    id="8.2",
    needs_torch="optimiser",
    title="One training step",
    kind="write it",
    points=2,
    minutes=8,
    difficulty="medium",
    hints=(
        "Make a copy of W that records gradients: `W = W.clone().requires_grad_(True)`. Then the logits x @ W and the loss; call `.backward()` on it, and `W.grad` is there.",
        "`F.cross_entropy(h, domain)` takes logits, not probabilities, and averages over the tokens. The z-loss is `torch.logsumexp(h, dim=-1).square().mean()`. The step is W − lr · W.grad; `.detach()` it before you return it.",
    ),
    idea="Logits, one number to lower, its gradient, a step against it. In formulas ∂L/∂h = (p − one-hot + 2·c·LSE·p)/T and ∂L/∂W = xᵀ ∂L/∂h: each prototype moves towards the tokens it should have won.",
    answer="my_step",
    parameters=("W", "x", "domain", "lr", "z_loss_coef"),
    when_raised="W (d, N) and x (T, d) are float32 tensors, domain (T,) whole numbers. The tensor W comes without gradients: `W.clone().requires_grad_(True)` gives a copy that has them. The new W is W − lr · gradient, without `+=` on a tensor that records gradients.",
    cases=step_cases,
    reference=stepped(right_slope),
    mistakes=(
        Mistake("wrong sign", "You went uphill: W + lr · gradient makes the loss larger. Subtract.", stepped(right_slope, 1.0)),
        Mistake("no step", "This is W as it came. The step W − lr · gradient is missing, or it went into a copy that you did not return.", stepped(lambda h, Y, c: 0 * h)),
        Mistake("gradient alone", "This is the gradient. Return the new W: W − lr · gradient.", gradient_alone),
        Mistake("no learning rate", "The step is the whole gradient: lr is missing.",
                lambda W, x, domain, lr, c: stepped(right_slope)(W, x, domain, 1.0, c)),
        Mistake("step alone", "This is −lr · gradient, the step itself. Add it to W.",
                lambda W, x, domain, lr, c: -np.float32(lr) * gradient_alone(W, x, domain, lr, c)),
        Mistake("Adam", ADAM, adam(0.0)),
        Mistake("Adam", ADAM, adam(0.01)),
        Mistake("a step for each token", "You take one step for each token, and each begins where the last one ended. Asked is a single step, along the gradient of the mean over all tokens.", token_by_token),
        Mistake("sum over the tokens", "Your step is T times too long: both losses are means over the tokens, not sums.",
                stepped(lambda h, Y, c: len(h) * right_slope(h, Y, c))),
        Mistake("cross-entropy summed", "The cross-entropy is added up over the tokens. It is their mean: otherwise a larger batch takes longer steps.",
                with_cross_entropy(lambda h, Y: len(h) * cross_entropy_slope(h, Y))),
        Mistake("z-loss summed", "The squares of the log-sum-exp are added up over the tokens. The z-loss is their mean.",
                with_z(lambda h: len(h) * z_slope(h))),
        Mistake("averaged over T·N", "Your gradient is N times too small: an average over all T·N entries. Both losses have one number for each token, and average over T.",
                stepped(lambda h, Y, c: right_slope(h, Y, c) / h.shape[1])),
        Mistake("no z-loss", "This is the step of the cross-entropy alone. The z-loss is missing, or it is cut off from W (`detach`, numpy), or taken of ln p, whose log-sum-exp is 0 whatever the logits are.",
                stepped(lambda h, Y, c: cross_entropy_slope(h, Y))),
        Mistake("coefficient forgotten", "The z-loss is in it, but with weight 1: multiply it by z_loss_coef.",
                stepped(lambda h, Y, c: right_slope(h, Y, 1.0))),
        Mistake("z-loss not squared", "The z-loss is not squared. The mean log-sum-exp alone has no smallest value: it pushes the logits down for ever.",
                with_z(lambda h: routing.softmax(h) / len(h))),
        Mistake("z-loss subtracted", "The z-loss has the wrong sign: it is added to the loss, so that large log-sum-exps cost something.",
                stepped(lambda h, Y, c: right_slope(h, Y, -c))),
        Mistake("square of the mean", "You averaged the log-sum-exp over the tokens and squared afterwards. Square each token's, then average.",
                with_z(lambda h: 2 * routing.log_sum_exp(h).mean() * routing.softmax(h) / len(h))),
        Mistake("no logarithm in the z-loss", "The logarithm is missing in your z-loss: it squares Σ eʰ. It is the *log*-sum-exp that is squared: `torch.logsumexp(h, dim=-1)`.",
                with_z(no_logarithm)),
        Mistake("z-loss of the probabilities", "You took the log-sum-exp of the probabilities. The z-loss is about the logits, before the softmax.",
                with_z(z_of_probabilities)),
        Mistake("squared logits", "Your penalty is the mean over tokens of Σ h². The z-loss squares one number for each token, its log-sum-exp.",
                with_z(lambda h: 2 * h / len(h))),
        Mistake("mean of squared logits", "Your penalty is the mean of h². The z-loss squares one number for each token, its log-sum-exp.",
                with_z(lambda h: 2 * h / h.size)),
        Mistake("along the tokens", "Your log-sum-exp runs over the tokens (dim=0). It runs over the experts of one token: the last dimension.", with_z(along_tokens)),
        Mistake("half the z-loss", "Half the z-loss: there is no ½ in it. Or you worked out the derivative of the square without its 2.",
                with_z(lambda h: z_slope(h) / 2)),
        Mistake("probability, not its logarithm", "You raise the probability of the right domain. The cross-entropy is minus its *logarithm*: a token that is badly wrong must push hard, and in yours it hardly does.",
                with_cross_entropy(probability_slope)),
        Mistake("logits for ln p", "You took the logits themselves for ln p: `F.nll_loss` expects logarithms of probabilities. Without the softmax nothing holds the other logits down. Use `log_softmax` first, or `F.cross_entropy`.",
                with_cross_entropy(lambda h, Y: -Y / len(h))),
        Mistake("cross-entropy averaged over T·N", "The cross-entropy is N times too small: averaged over all T·N entries. It has one number for each token: average over T.",
                with_cross_entropy(lambda h, Y: cross_entropy_slope(h, Y) / h.shape[1])),
        Mistake("yes or no for each expert", "Your loss asks each expert on its own, yes or no (a sigmoid for each logit). The cross-entropy asked for has one softmax over all experts.",
                with_cross_entropy(lambda h, Y: (1 / (1 + np.exp(-h)) - Y) / h.size)),
        Mistake("softmax twice", "You passed probabilities to a function that expects logits: the softmax is taken twice. `F.cross_entropy` takes the logits as they are.",
                with_cross_entropy(doubled_softmax_slope)),
        Mistake("squared error", "Your loss is the squared error of the probabilities. Asked is the cross-entropy, −ln p of the right domain.",
                with_cross_entropy(squared_error_slope)),
        Mistake("pushed away", "The cross-entropy has the wrong sign: the right domain's probability falls. It is *minus* ln p.",
                with_cross_entropy(lambda h, Y: -cross_entropy_slope(h, Y))),
    ),
)  # fmt: skip


# --- 8.3 a coefficient by its effect ------------------------------------------------------------------------------

NOISE, STEPS, LOGGED_AT = 0.7, 600, (100, 200, 400, 600)
LOGGED = {"router 1": 10.0, "router 2": 0.0, "router 3": 0.02}  # the z_loss_coef of each
LOG_SEED, NEW_SEEDS = 0, (1, 2)  # the task of the notebook, and those on which a learner's coefficient is tried
MOST_Z, MOST_LOSS = 6.0, 0.15  # what a coefficient is chosen for: z-loss, and cross-entropy in nats
PUBLISHED = 1e-3  # Zoph et al. 2022 (arXiv:2202.08906), for their language models


@cache
def logged_runs() -> dict[str, Any]:
    """Train the three routers of question 8.3, which differ in z_loss_coef alone. Returns name -> LabelRun."""
    from moe_lessons.experiments.router_training import Setting, label_runs  # here, because it loads torch

    settings = [Setting(noise_std=NOISE, z_loss_coef=c, seed=LOG_SEED) for c in LOGGED.values()]
    runs = label_runs(settings, STEPS, LOGGED_AT, progress=False)
    return dict(zip(LOGGED, runs, strict=True))


@lru_cache(maxsize=64)
def coefficient_effect(coefficient: float) -> tuple[float, float, float]:
    """Return (largest z-loss, largest cross-entropy, smallest accuracy) over NEW_SEEDS; NaN if training breaks down."""
    from moe_lessons.experiments.router_training import Setting, label_runs

    settings = [Setting(noise_std=NOISE, z_loss_coef=coefficient, seed=seed) for seed in NEW_SEEDS]
    try:
        runs = label_runs(settings, STEPS, progress=False)
    except ValueError:  # a loss that is not finite any more
        return np.nan, np.nan, np.nan
    return max(r.z[-1] for r in runs), max(r.loss[-1] for r in runs), min(r.accuracy[-1] for r in runs)


@dataclass(frozen=True, kw_only=True)
class CoefficientQuestion(VariableQuestion):
    """Which log belongs to which coefficient; then any coefficient that keeps both demands on fresh tasks."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Judge the routers in order, then train with the chosen coefficient."""
        value, keys = reply["value"], (*LOGGED, "z_loss_coef")
        if not isinstance(value, dict) or not set(keys) <= set(value):
            return Verdict(False, f"Expected a dict with the keys {', '.join(map(repr, keys))}. Came {describe(value)}.")  # fmt: skip
        numbers = {key: one_number(value[key]) for key in keys}
        for router, right in LOGGED.items():
            named = numbers[router]
            if named is None or named not in LOGGED.values():
                return Verdict(False, f"{router!r}: expected one of {', '.join(f'{c:g}' for c in sorted(LOGGED.values()))}. Came {show(value[router])}.")  # fmt: skip
            if named != right:
                return Verdict(False, f"{router!r} was not trained with {named:g}.\n{against_coefficient(named, router)}", f"{router}: {named:g}")  # fmt: skip
        return coefficient_verdict(numbers["z_loss_coef"], value["z_loss_coef"])


def one_number(value: Any) -> float | None:
    """Return a plain value as one finite real number, or None."""
    value = stacked(value)
    if not isinstance(value, np.ndarray) or value.size != 1 or value.dtype.kind not in "fiu":
        return None
    number = float(value.reshape(()))
    return number if np.isfinite(number) else None


def against_coefficient(named: float, router: str) -> str:
    """Say what in a router's log speaks against a coefficient."""
    run = logged_runs()[router]
    first, last, loss = run.z[0], run.z[-1], run.loss[-1]
    rises = f"its z-loss goes from {first:.2f} after {LOGGED_AT[0]} steps to {last:.2f} after {STEPS}"
    if named == 0:
        return f"Without a z-loss nothing holds the logits: with clusters so far apart they grow as long as you train, and the z-loss with them. Here {rises}."  # fmt: skip
    if last > 10:
        return f"Even a small coefficient stops the growth at some point. Here {rises}."
    if named > 1:
        return f"So large a coefficient leaves hardly anything for the cross-entropy: it would end near ln 4 = {np.log(4):.2f}, a guess, or above. Here it is {loss:.3f}."  # fmt: skip
    return f"A coefficient that suits lets the cross-entropy go far below ln 4 = {np.log(4):.2f}, a guess among four domains. Here it is {loss:.3f}, and the accuracy {run.accuracy[-1]:.3f}."  # fmt: skip


def coefficient_verdict(coefficient: float | None, given: Any) -> Verdict:
    """Train with a coefficient on fresh tasks and hold the result against both demands."""
    if coefficient is None or coefficient < 0:
        why = "Below 0 large logits are rewarded." if coefficient is not None else f"Came {show(given)}."
        return Verdict(False, f"'z_loss_coef' should be one number of at least 0. {why}", "negative" if coefficient is not None else None)  # fmt: skip
    z, loss, accuracy = coefficient_effect(min(coefficient, 1e6))
    seen = f"With {coefficient:g}, on two fresh tasks and the worse of both: z-loss {z:.2f} (at most {MOST_Z:g}), cross-entropy {loss:.3f} (at most {MOST_LOSS:g}), accuracy {accuracy:.3f}."  # fmt: skip
    if z <= MOST_Z and loss <= MOST_LOSS:
        return Verdict(True, seen)
    why, name = coefficient_fault(coefficient, z, accuracy)
    return Verdict(False, f"The three routers are right. {why}\n{seen}", name)


def coefficient_fault(coefficient: float, z: float, accuracy: float) -> tuple[str, str]:
    """Say in which direction a coefficient misses, and name it."""
    if coefficient == 0:
        return "Without a z-loss the logits run away.", "no z-loss"
    if z > MOST_Z and np.isclose(coefficient, PUBLISHED):
        return "0.001 is what ST-MoE took for its language models. Here it is too weak: look at the effect, not at the number.", "published value"  # fmt: skip
    if z > MOST_Z:
        return "But this coefficient is too small: the log-sum-exp still grows too far.", "too small"
    if not accuracy > 0.9:
        return "But this coefficient is so large that the router gives up naming domains.", "far too large"
    return "But this coefficient is too large. The accuracy does not show it: it only asks which logit is the largest. The cross-entropy does.", "too large"  # fmt: skip


COEFFICIENT = CoefficientQuestion(
    id="8.3",
    needs_torch="optimiser",
    title="A coefficient by its effect",
    kind="design an experiment",
    points=2,
    minutes=8,
    difficulty="medium",
    hints=(
        "Which log keeps growing to its end? Which one is no better than a guess, ln 4 for the cross-entropy and 1/4 for the accuracy? For your own coefficient try powers of ten first.",
        "A z-loss above the limit asks for a larger coefficient, a cross-entropy above the limit for a smaller one. Between 0.001 and 0.1 there is room: take something near the middle on a logarithmic scale.",
    ),
    idea="The z-loss and the cross-entropy pull against each other once the clusters are told apart: the coefficient sets how far the log-sum-exp may go, and the accuracy is the last number to notice.",
    answer="my_coefficients",
)


# --- 8.4 where a bias is needed -----------------------------------------------------------------------------------

DIRECTIONS = (
    240  # wedges are tried in steps of 1.5°, a third of the angle that a token at distance LARGEST·√2 varies by
)
LARGEST = 10.0  # of a mean's coordinates
WITHOUT, WITH = 0.85, 0.95  # accuracy that no router without a bias may exceed, and one that yours must reach
CLOUD = 10_000  # tokens of each domain, to measure a given bias with


def angular_mass(mean: np.ndarray) -> np.ndarray:
    """Return how much of a Gaussian around mean (2,), standard deviation 1, lies in each direction. (DIRECTIONS,)."""
    phi = (np.arange(DIRECTIONS) + 0.5) * 2 * np.pi / DIRECTIONS
    r = mean @ np.stack([np.cos(phi), np.sin(phi)])  # (DIRECTIONS,): how far the mean reaches in this direction
    across = mean @ mean - r**2
    density = np.exp(-mean @ mean / 2) / np.sqrt(2 * np.pi) + r * np.exp(-across / 2) * ndtr(r)
    return density / density.sum()


def best_without_bias(means: np.ndarray) -> float:
    """Return the largest accuracy that a linear router without a bias can have. means (2 or 3, 2), σ = 1.

    Without a bias the winner depends on a token's direction only, and each expert wins in one wedge of at most 180°:
    all such wedges are tried. The domains are equally likely.
    """
    mass = np.stack([angular_mass(mean) for mean in means])  # (D, directions)
    twice = np.concatenate([np.zeros((len(means), 1)), np.cumsum(np.tile(mass, 2), axis=1)], axis=1)
    start, half = np.arange(DIRECTIONS)[:, None], DIRECTIONS // 2
    if len(means) == 2:
        first, second = np.array([half]), np.array([half])
    else:
        first, second = (a.ravel() for a in np.mgrid[: half + 1, : half + 1])
        first, second = first[first + second >= half], second[first + second >= half]
    ends = [start, start + first, start + first + second, start + DIRECTIONS]
    orders = [(0, 1)] if len(means) == 2 else [(0, 1, 2), (0, 2, 1)]
    won = [sum(twice[i][b] - twice[i][a] for i, a, b in zip(order, ends, ends[1:], strict=False)) for order in orders]
    return float(max(w.max() for w in won) / len(means))


def accuracy_with(means: np.ndarray, bias: np.ndarray) -> float:
    """Return how often the largest x·μ_i + b_i belongs to the domain of x, over fixed draws. means (D, 2), bias (D,)."""
    noise = np.random.default_rng(84).normal(size=(CLOUD, 2))
    noise = np.concatenate([noise, -noise])  # (2 · CLOUD, 2)
    right = [((mean + noise) @ means.T + bias).argmax(axis=1) == i for i, mean in enumerate(means)]
    return float(np.mean(right))


@dataclass(frozen=True, kw_only=True)
class BiasQuestion(VariableQuestion):
    """Any means are right for which wedges from the origin fail and straight lines do not; and a bias that works."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Measure the best router with a bias, the best one without, then the learner's bias."""
        value = reply["value"]
        if not isinstance(value, dict) or not {"means", "bias"} <= set(value):
            return Verdict(False, f"Expected a dict with the keys 'means' and 'bias'. Came {describe(value)}.")
        means, bias = stacked(value["means"]), stacked(value["bias"])
        if fault := means_form(means) or bias_form(bias, len(means)):
            return Verdict(False, *fault)
        means, bias = means.astype(float), bias.astype(float)
        best, free = accuracy_with(means, -(means**2).sum(axis=1) / 2), best_without_bias(means)
        seen = f"Best accuracy with a bias {best:.3f} (at least {WITH:g}), without {free:.3f} (at most {WITHOUT:g})."
        if fault := means_fault(means, best, free) or bias_fault(means, bias):
            return Verdict(False, f"{fault[0]}\n{seen}", fault[1])
        return Verdict(True, f"{seen} With yours: {accuracy_with(means, bias):.3f}.")


def means_form(means: Any) -> Fault | None:
    """Say why means cannot be tried at all; None when they can."""
    if not isinstance(means, np.ndarray) or means.dtype.kind not in "fiu" or means.shape not in ((2, 2), (3, 2)):
        return f"'means' should be two or three rows of two numbers. Came {describe(means)}.", None
    if not (np.abs(means) <= LARGEST).all():
        return f"The numbers of 'means' should lie between −{LARGEST:g} and {LARGEST:g}.", None
    return None


def bias_form(bias: Any, D: int) -> Fault | None:
    """Say why a bias cannot be tried at all; None when it can."""
    fits = isinstance(bias, np.ndarray) and bias.dtype.kind in "fiu" and bias.shape == (D,)
    if not fits or not np.isfinite(bias).all():
        return f"'bias' should hold one finite number for each of your {D} domains. Came {describe(bias)}.", None
    return None


def means_fault(means: np.ndarray, best: float, free: float) -> Fault | None:
    """Say why means are no counterexample, and name it; None when they are one."""
    if best < WITH:
        gaps = [np.linalg.norm(a - b) for i, a in enumerate(means) for b in means[:i]]
        return f"Your domains overlap: even the best rule confuses them too often. The nearest two means are {min(gaps):.2f} apart; the tokens spread by 1.", "too close"  # fmt: skip
    if free <= WITHOUT:
        return None
    norms = np.linalg.norm(means, axis=1)
    if np.ptp(norms) <= 0.01 * norms.max():
        return f"Your means have equal norms, {norms[0]:.2f}. Then the bias −|μ|²/2 is the same for all, and can be left out: a router without one is as good.", "equal norms"  # fmt: skip
    if len(means) == 2 and means[0] @ means[1] < 0:
        return "Your two means lie on opposite sides of the origin, so a line through the origin separates them. No bias is needed.", "opposite sides"  # fmt: skip
    return "The norms differ, but so do the directions: a router without a bias sees directions, and that is enough here. Which means can it not tell apart, however long they are?", "different directions"  # fmt: skip


# What someone who has the formula wrong writes, in terms of |μ|² (D,).
BIASES = (
    Mistake("bias of equals", "The means are a counterexample. But your bias is the same for all domains, so it changes nothing.", lambda q: 0 * q),
    Mistake("bias with the wrong sign", "The means are a counterexample. But your bias has the wrong sign, or its entries are swapped: a long mean wins too often by itself, and must be held back.", lambda q: q / 2),
    Mistake("half forgotten", "The means are a counterexample. But your bias is −|μ|²; it is half of that. Write out |x − μ|² and see what remains beside x·μ.", lambda q: -q),
    Mistake("norm not squared", "The means are a counterexample. But your bias has the norm, not its square: −|μ|²/2.", lambda q: -np.sqrt(q) / 2),
    Mistake("norm not squared, half forgotten", "The means are a counterexample. But your bias is −|μ|. Write out |x − μ|² and see what remains beside x·μ.", lambda q: -np.sqrt(q)),
)  # fmt: skip


def bias_fault(means: np.ndarray, bias: np.ndarray) -> Fault | None:
    """Say why a bias does not serve, and name it; None when it does."""
    reached = accuracy_with(means, bias)
    if reached >= WITH:
        return None
    squares = (means**2).sum(axis=1)  # (D,)
    found = next((m for m in BIASES if same_but_for_a_shift(bias, m.wrong(squares))), None)
    why = found.why if found else "The means are a counterexample. But your bias does not fit them."
    return f"{why} With it the accuracy is {reached:.3f}.", found.name if found else None


def same_but_for_a_shift(a: np.ndarray, b: np.ndarray) -> bool:
    """Tell whether a and b (D,) differ by one number for all, which no softmax and no argmax sees."""
    return bool(np.ptp(a - b) <= 0.01 * max(1.0, np.ptp(b)))


BIAS = BiasQuestion(
    id="8.4",
    title="Where a router needs a bias",
    kind="build a counterexample",
    points=3,
    minutes=9,
    difficulty="hard",
    hints=(
        "Without a bias, x and 2x go to the same expert. So the router sees only the direction of a token. Which two domains look alike to someone who sees only directions?",
        "Put two means on one ray from the origin, far enough apart. For the bias: the nearest mean is the one with the smallest |x − μ|² = |x|² − 2x·μ + |μ|². |x|² is the same for all experts.",
    ),
    idea="A linear router without a bias cuts space into wedges from the origin, so it cannot tell a short mean from a long one in the same direction; −|μ|²/2 moves the border between them.",
    answer="my_counterexample",
)


# --- 8.5 a target, end to end -------------------------------------------------------------------------------------

WIDTH, CLUSTERS, EXPERTS, BATCH = 8, 8, 8, 256  # WIDTH is that of tokens and experts, d = f
BUDGET, TARGET = 500, 0.16  # steps · top_k; and the share of the target's variance that may be left
JUDGE_SEEDS = (1, 2)  # the notebook's own trials use 0 as a rule
USUAL_LR, USUAL_K = 0.015, 2  # what a diagnosis puts in the place of a setting, to see whether it was to blame
KNOBS = ("gate", "top_k", "lr", "steps")


@lru_cache(maxsize=256)
def error_left(gate: str, top_k: int, lr: float, steps: int, seed: int) -> float:
    """Train a layer on a small clustered regression; return the share of the target's variance left on fresh tokens.

    8 experts, 8 clusters with a map each, tokens of width 8; Adam, 256 tokens a step. `seed` draws the task, the layer
    and the batches, so the same call has the same result. ∞ when the loss is not finite any more.
    Raises ValueError for what `MoELayer` and `train` refuse.
    """
    import torch  # here, so that reading the questions does not load it

    from moe_lessons.data import clustered_regression
    from moe_lessons.experiments.core import batches, drawn, squared_error, tensors, trained
    from moe_lessons.layer import MoELayer
    from moe_lessons.training import constant

    parts = clustered_regression(4096, WIDTH, CLUSTERS, test_T=1024, seed=seed)
    (x, y), (fresh, target) = map(tensors, parts)  # (T, d) each
    layer = drawn(seed, MoELayer, WIDTH, WIDTH, EXPERTS, top_k, gate)
    rows = torch.tensor(np.random.default_rng([seed, 85]).integers(len(x), size=(steps, BATCH)))  # (steps, B)
    try:
        trained(layer, batches(x, y, rows.__getitem__), squared_error, steps, lr=lr, schedule=constant)
    except ValueError as error:
        if "finite" not in str(error):
            raise
        return float("inf")
    with torch.no_grad():
        return float((layer(fresh) - target).square().mean() / target.var(correction=0))


@dataclass(frozen=True, kw_only=True)
class TargetQuestion(VariableQuestion):
    """Trains with the learner's settings; a diagnosis is given only if mending that one setting reaches the target."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Check settings and budget, then train on the seeds of the judge."""
        value = reply["value"]
        if not isinstance(value, dict) or not set(KNOBS) <= set(value):
            return Verdict(False, f"Expected a dict with the keys {', '.join(map(repr, KNOBS))}. Came {describe(value)}.")  # fmt: skip
        settings, why = read_settings(value)
        if settings is None:
            return Verdict(False, why)
        spent = settings.steps * settings.top_k
        if spent > BUDGET:
            return Verdict(False, f"{settings.steps} steps with {settings.top_k} experts for each token cost {spent}; the budget is {BUDGET}.", "over budget")  # fmt: skip
        error = settings.error()
        seen = f"Error {error:.3f} on average over {len(JUDGE_SEEDS)} fresh tasks; the target is at most {TARGET:g}. Spent: {spent} of {BUDGET}."  # fmt: skip
        if error <= TARGET:
            return Verdict(True, seen)
        why, name = settings.fault()
        return Verdict(False, f"{why}\n{seen}".strip(), name)


@dataclass(frozen=True)
class Settings:
    """What a learner chooses."""

    gate: str
    top_k: int
    lr: float
    steps: int

    def error(self) -> float:
        """Return the error, mean over the judge's seeds."""
        return float(np.mean([error_left(self.gate, self.top_k, self.lr, self.steps, seed) for seed in JUDGE_SEEDS]))

    def fault(self) -> tuple[str, str | None]:
        """Mend one setting after the other; name the first that reaches the target when it alone is mended."""
        for name, why, mended in self._repairs():
            if (error := mended.error()) <= TARGET:
                return f"{why} With that mended, and the rest as it is, the error would be {error:.3f}.", name
        return "More than one of your settings stands in the way. Change one at a time, and look at the error.", None

    def _repairs(self) -> list[tuple[str, str, "Settings"]]:
        """Return (name, reason, mended settings) for each setting that may be to blame, the surest first."""
        found, low, most = [], self.lr < USUAL_LR, BUDGET // self.top_k
        if self.top_k == 1 and self.gate != "softmax_topk":
            found.append(("k = 1 renormalised", "With one expert and a weight that is always 1, the gradient of the router is 0: it stays as it was drawn, and nobody decides who learns what.", self._with(gate="softmax_topk")))  # fmt: skip
        if self.steps <= most // 2:
            found.append(("too few steps", f"You leave most of the budget: {most} steps would be allowed with k = {self.top_k}.", self._with(steps=most)))  # fmt: skip
        if low:
            found.append(("lr too low", "The learning rate is too low: after so few steps the layer has hardly moved.", self._with(lr=USUAL_LR)))  # fmt: skip
        else:
            found.append(("lr too high", "The learning rate is too high: the steps jump over what they should settle in.", self._with(lr=USUAL_LR)))  # fmt: skip
        if self.top_k > USUAL_K:
            found.append(("too many experts", "So many experts for each token leave few steps in the budget.", self._with(top_k=USUAL_K, steps=BUDGET // USUAL_K)))  # fmt: skip
        return found

    def _with(self, **changes: Any) -> "Settings":
        return Settings(**{**{name: getattr(self, name) for name in KNOBS}, **changes})


def read_settings(value: dict[str, Any]) -> tuple[Settings | None, str]:
    """Return the settings in a plain dict, or None and what is wrong with one of them."""
    gate = value["gate"].strip().lower() if isinstance(value["gate"], str) else None
    if gate not in routing.GATE_FORMS:
        return None, f"'gate' should be one of {', '.join(map(repr, routing.GATE_FORMS))}. Came {show(value['gate'])}."
    k, lr, steps = (one_number(value[name]) for name in KNOBS[1:])
    if k is None or k != int(k) or not 1 <= k <= EXPERTS:
        return None, f"'top_k' should be a whole number from 1 to {EXPERTS}. Came {show(value['top_k'])}."
    if steps is None or steps != int(steps) or steps < 1:
        return None, f"'steps' should be a whole number of at least 1. Came {show(value['steps'])}."
    if lr is None or not 0 < lr <= 100:
        return None, f"'lr' should be a number above 0, and at most 100. Came {show(value['lr'])}."
    return Settings(gate, int(k), lr, int(steps)), ""


END_TO_END = TargetQuestion(
    id="8.5",
    needs_torch="optimiser",
    title="Reach a target error",
    kind="design an experiment",
    points=3,
    minutes=10,
    difficulty="medium",
    hints=(
        "Start in the middle: k = 2, all of the budget, lr = 0.01. Then change one setting at a time. With Adam, try learning rates by factors of 3.",
        "With k = 1 the router learns only in form B, `softmax_topk`. With k = 8 there is no choice left to learn, and only 62 steps. Try between them, and a larger lr.",
    ),
    idea="The gate decides whether the router hears of the task at all, k how many steps the budget buys, and the learning rate has to fit the number of steps: change one at a time, and judge on seeds that you did not tune on.",
    answer="my_settings",
)

QUESTIONS = (DOMAINS, STEP, COEFFICIENT, BIAS, END_TO_END)
