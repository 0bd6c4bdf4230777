"""Question 8.1: a data set of tokens with a known origin."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy

from moe_lessons.checks.calls import SeededGenerator, remark_on_changes
from moe_lessons.checks.parts import Part
from moe_lessons.checks.question import NO_ANSWER, CalledQuestion, Data, Reply, about
from moe_lessons.checks.values import describe, stacked
from moe_lessons.checks.verdicts import Facts, Mistake, Verdict, by_test, weighed

Test = Callable[[Facts], Any]
TOKENS, FEW = 20_002, 40  # TOKENS is divisible by none of 3, 4, 5: dealing out domains evenly cannot hide
RARE = 1e-10  # the chance that what is right is taken for wrong, by one test
SIGMAS = 6.5  # how many standard errors count as chance: RARE for one number
CLOSE = 0.03  # relative error of a standard deviation; chance, at SIGMAS, moves it by less than 0.025


def domain_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (means (D, d), noise_std, T) three times: means of equal norm, and no noise_std near 1.

    In the second the clusters overlap: there the nearest mean is often not a token's own.
    """
    cases = []
    for D, d, norm, noise in ((3, 2, 4.0, 0.5), (4, 3, 3.0, 1.7), (5, 6, 3.0, 0.3)):
        rows = rng.normal(size=(D, d))  # (D, d)
        means = norm * rows / np.linalg.norm(rows, axis=1, keepdims=True)
        cases.append((means.round(6), round(noise * rng.uniform(0.95, 1.05), 3), TOKENS))
    return cases


def domain_calls(rng: np.random.Generator) -> list[tuple]:
    """Return each case with a seed for the learner's rng; then the first with few tokens: one seed twice, another."""
    cases, seeds = domain_cases(rng), rng.choice(2**31, 3, replace=False)
    few = [(*cases[0][:2], FEW, int(seed)) for seed in (seeds[0], seeds[0], seeds[1])]
    return [(*case, int(seed)) for case, seed in zip(cases, seeds, strict=True)] + few


def written(means: np.ndarray, noise_std: float, T: int, seed: int) -> str:
    """Write down what the learner's function was called with."""
    return f"means: an array of shape {means.shape}, noise_std = {noise_std:g}, T = {T}"


def is_numbers(part: Any) -> bool:
    """Tell whether a part of the answer is an array of numbers."""
    return isinstance(part, np.ndarray) and part.dtype.kind in "fiu"


def as_indices(domain: Any) -> Any:
    """Return whole numbers of any dtype as int64, in which differences cannot wrap round; anything else unchanged."""
    whole = is_numbers(domain) and np.isfinite(domain).all() and (domain == np.rint(domain)).all()
    return domain.astype(np.int64) if whole else domain


def taken_apart(value: Any) -> tuple[Any, Any]:
    """Return the tokens and the domains of one call's answer; None for both where it is not two things."""
    x, domain = map(stacked, value) if isinstance(value, list) and len(value) == 2 else (None, None)
    return x, as_indices(domain)


def form_found(value: Any, means: np.ndarray, noise_std: float, T: int, seed: int) -> Facts:
    """Return what is known of the form of one call's answer."""
    x, domain = taken_apart(value)
    ends = (domain.min(), domain.max()) if is_numbers(domain) and domain.size else None
    D, d = means.shape
    return Facts(value=value, came=describe(value), x=x, domain=domain, ends=ends, T=T, D=D, d=d, last=D - 1)


def call_found(value: Any, means: np.ndarray, noise_std: float, T: int, seed: int) -> Facts:
    """Return what one call drew: tokens x (T, d), domains (T,), and the noise (T, d) that is left without the means."""
    x, domain = taken_apart(value)
    noise, counts = x - means[domain], np.bincount(domain, minlength=len(means))  # (T, d), (D,)
    case = written(means, noise_std, T, seed)
    drawn = Facts(x=x, domain=domain, noise=noise, counts=counts, means=means, sd=noise_std, case=case)
    drawn.off, drawn.size = noise.mean(axis=0), np.sqrt((noise**2).mean())  # (d,), and the noise's spread around 0
    return drawn


def in_all(test: Test) -> Test:
    """Return the test that holds if `test` does of each call with many tokens."""
    return lambda found: all(map(test, found.many))


def in_any(test: Test) -> Test:
    """Return the test that holds if `test` does of some call with many tokens."""
    return lambda found: any(map(test, found.many))


def in_runs(call: Facts) -> bool:
    """Tell whether the domains come sorted, or round after round, upwards or downwards."""
    up = np.diff(call.domain)  # (T - 1,)
    return any((steps >= 0).all() or np.isin(steps, (1, -call.domain.max())).all() for steps in (up, -up))


def go_with_the_last(call: Facts) -> bool:
    """Tell whether tokens have the domain of the one before them more often, or less, than chance."""
    same, p = np.mean(np.diff(call.domain) == 0), 1 / len(call.means)
    return bool(abs(same - p) > SIGMAS * np.sqrt(p * (1 - p) / (len(call.domain) - 1)))


def more_even(found: Facts) -> float:
    """Return the chance that independent draws, over all calls, give counts at most as uneven as these."""
    counts = [call.counts for call in found.many]
    total = sum(float(((c - c.mean()) ** 2 / c.mean()).sum()) for c in counts)
    return float(scipy.special.chdtr(sum(len(c) - 1 for c in counts), total))


def same_in_each_domain(call: Facts) -> bool:
    """Tell whether all tokens of a domain have the same noise."""
    return all(np.ptp(call.noise[call.domain == i], axis=0).max() < 1e-5 for i in np.unique(call.domain))


def distances(call: Facts) -> np.ndarray:
    """Return the squared distance of each token from each mean. (D, T)."""
    return np.stack([((call.x - mean) ** 2).sum(axis=1) for mean in call.means])


def is_shuffled(call: Facts) -> bool:
    """Tell whether the tokens lie around the means in the right way, but not around those that domain names."""
    gaps = distances(call)  # (D, T)
    named = np.mean(gaps.argmin(axis=0) == call.domain)
    near = np.sqrt(gaps.min(axis=0).mean()) < 2 * call.sd * np.sqrt(call.x.shape[1])
    return bool(named < 1.5 / len(call.means) and near)


def is_labelled_by_distance(call: Facts) -> bool:
    """Tell whether tokens have the label of the mean that is nearest to them, with noise enough for others to be."""
    noisy = call.size > 0.7 * call.sd and not same_in_each_domain(call)
    return bool(noisy and np.mean(distances(call).argmin(axis=0) == call.domain) > 0.999)


def is_around_one_point(call: Facts) -> bool:
    """Tell whether all tokens lie around one point, whatever domain says."""
    return bool(abs((call.x - call.x.mean(axis=0)).std() / call.sd - 1) < CLOSE)


def is_moved(by: float, call: Facts) -> bool:
    """Tell whether the noise is what it should be, but for `by` times the mean of each token's domain."""
    rest = call.noise - by * call.means[call.domain]  # (T, d)
    return bool(abs(rest.std() / call.sd - 1) < CLOSE and np.abs(rest.mean(axis=0)).max() < CLOSE * call.sd)


def has_other_means(call: Facts) -> bool:
    """Tell whether each domain's tokens lie around a mean of their own, with the right spread, but not all around those
    of the case, nor around those moved by one step for all."""
    off = np.stack([call.noise[call.domain == i].mean(axis=0) for i in range(len(call.means))])  # (D, d)
    spread = (call.noise - off[call.domain]).std()
    error = np.sqrt(2) * SIGMAS * call.sd / np.sqrt(call.counts.min())
    return bool(abs(spread / call.sd - 1) < CLOSE and np.ptp(off, axis=0).max() > 2 * error)


def is_off_centre(call: Facts) -> bool:
    """Tell whether the noise has a mean that is farther from 0 than chance."""
    return np.abs(call.off).max() > SIGMAS * call.noise.std() / np.sqrt(len(call.noise))


def spread_is(formula: Callable[[float, int], float]) -> Test:
    """Return the test of noise whose standard deviation is formula(σ, d)."""
    return in_all(lambda call: abs(call.size / formula(call.sd, call.means.shape[1]) - 1) < CLOSE)


def is_sized(formula: Callable[[float, int], float]) -> Test:
    """Return the test of noise that is wrong in its size alone, which is formula(σ, d)."""
    return lambda found: spread_is(formula)(found) and not in_any(goes_together)(found)


def is_uniform(call: Facts) -> bool:
    """Tell whether the noise has the fourth moment of uniform noise, and not the right size."""
    z = call.noise / call.noise.std()  # (T, d)
    return bool(abs((z**4).mean() - 1.8) < 0.05 and abs(call.size / call.sd - 1) > CLOSE)


def is_not_normal(call: Facts) -> bool:
    """Tell whether the third or fourth moment of the noise is not that of normal noise."""
    z = call.noise / call.noise.std()  # (T, d)
    errors = 1.5 * SIGMAS / np.sqrt(z.size)
    return bool(abs((z**4).mean() - 3) > np.sqrt(24) * errors or abs((z**3).mean()) > np.sqrt(6) * errors)


def have_one_length(call: Facts) -> bool:
    """Tell whether all tokens have the same norm."""
    lengths = np.linalg.norm(call.x, axis=1)  # (T,)
    return bool(np.ptp(lengths) < 1e-5 * lengths.max())


def goes_with_the_mean(call: Facts) -> bool:
    """Tell whether the noise is σ times the mean's entry, in every domain and coordinate."""
    spread = np.stack([call.noise[call.domain == i].std(axis=0) for i in range(len(call.means))])  # (D, d)
    return bool(np.abs(spread / (call.sd * np.abs(call.means)) - 1).max() < 5 * CLOSE)


def goes_together(call: Facts) -> bool:
    """Tell whether the coordinates of the noise are correlated, or spread by different amounts."""
    z = call.noise / call.noise.std()  # (T, d)
    together = z.T @ z / len(z) - np.eye(z.shape[1])  # (d, d)
    return bool(np.abs(together).max() > np.sqrt(2) * SIGMAS / np.sqrt(len(z)))


def same(*parts: str) -> Callable[[list[Facts]], bool]:
    """Return the test of calls that drew the same in each of these parts (x, domain or noise)."""
    return lambda calls: all(np.ptp([vars(call)[part] for call in calls], axis=0).max() < 1e-5 for part in parts)


@dataclass(frozen=True, kw_only=True)
class DomainsQuestion(CalledQuestion):
    """Judges the form of each call's answer, then the domains, the noise and the seeds of all together."""

    unlike: tuple[Mistake, ...]
    mistakes: tuple[Mistake, ...]

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Go from form to statistics to seeds; the first fault is explained."""
        cases, values = data["cases"], reply["values"]
        if not isinstance(values, list) or len(values) != len(cases):
            return NO_ANSWER
        for value, case in zip(values, cases, strict=True):
            verdict = weighed(form_found(value, *case), None, self.unlike)
            if not verdict.correct:
                return replace(verdict, case=f"for {self._write_case(case)}")
        calls = [call_found(value, *case) for value, case in zip(values, cases, strict=True)]
        verdict = weighed(Facts(many=calls[:3], few=calls[3:]), None, self.mistakes)
        return replace(verdict, remark=remark_on_changes(reply["changed"]))

    def rights(self, data: Data, reply: Reply) -> tuple[Part, ...]:
        """Tell whether the tokens are right and whether the domains are, where both have their form."""
        calls = [call_found(value, *case) for value, case in zip(reply["values"], data["cases"], strict=True)]
        seen = {mistake.name for mistake in self.mistakes if shows(mistake, Facts(many=calls[:3], few=calls[3:]))}
        return (Part("x", int(seen <= OF_DOMAIN)), Part("domain", int(not seen & (OF_DOMAIN | OF_BOTH))))


# What is wrong with the domains alone, and with both; all else is wrong with the tokens.
OF_DOMAIN = {"one domain for all", "in order", "dealt out", "last domain missing", "not uniform", "not independent"}
OF_DOMAIN |= {"rng not used for the domains"}
OF_BOTH = {"labels of another draw", "labels by distance", "rng not used", "another source"}


def shows(mistake: Mistake, found: Facts) -> bool:
    """Tell whether a mistake shows. A test that cannot be made, since a domain has no token, does not."""
    with contextlib.suppress(Exception):
        return bool(mistake.seen(found))
    return False


SPREAD = "standard deviation of the noise: expected {many[1].sd:g}, came {many[1].size:.4g}\nfor {many[1].case}"

DOMAINS = DomainsQuestion(
    **about("8.1", "Tokens with a known origin", "write it", "easy", points=1, minutes=7),
    hints=(
        "First a domain for each token: `rng.integers(len(means), size=T)`. Then its mean: an array of T indices picks T rows of `means` at once.",
        "The noise has the shape of x, (T, d): `noise_std * rng.normal(size=...)`. Every token and every coordinate has a draw of its own.",
    ),
    idea="Draw the domain, look up its mean, add fresh noise: since you planted the domains, you know the best possible answer and can measure a router against it.",
    takeaway="Data that you made yourself is a kind whose best possible answer is known, so it comes before any claim about data that you did not make.",
    answer="my_domains",
    parameters=("means", "noise_std", "T", "rng"),
    seconds=15.0,  # 60,000 tokens: a loop over them is right too, and slow
    when_raised="`means` has the shape (D, d). `means[domain]` with domain (T,) has the shape (T, d), and so must the noise. Domains are counted from 0.",
    helper=SeededGenerator,
    cases=domain_calls,
    written=written,
    unlike=by_test(
        "pairs: You return a list of T pairs. Return two things: all tokens, (T, d), and all domains, (T,).",
        lambda found: (
            isinstance(found.value, list) and len(found.value) == found.T and isinstance(found.value[0], list)
        ),
        ": Expected two arrays of numbers, x and domain. Came {came}.",
        lambda found: not (is_numbers(found.x) and is_numbers(found.domain)),
        "turned round: Both are there, but in the wrong order: return x first, then domain.",
        lambda found: found.domain.shape == (found.T, found.d) and found.x.shape == (found.T,),
        "tokens as columns: x has the shape {x.shape}. Tokens are rows: ({T}, {d}).",
        lambda found: found.x.shape == (found.d, found.T),
        "one-hot domains: `domain` has the shape {domain.shape}, a column for each domain. Return one whole number for each token, from 0 to {last}.",
        lambda found: found.domain.shape == (found.T, found.D),
        ": Expected x of shape ({T}, {d}) and domain of shape ({T},). Came {came}.",
        lambda found: found.x.shape != (found.T, found.d) or found.domain.shape != (found.T,),
        "domains not whole: `domain` holds numbers that are not whole. It is used as an index later.",
        lambda found: found.domain.dtype.kind == "f",
        ": x holds whole numbers ({x.dtype}): was it stored in an array made for integers?",
        lambda found: found.x.dtype.kind != "f",
        "counted from one: You count the domains from 1. Row i of `means` is domain i, from 0 to {last}.",
        lambda found: found.ends == (1, found.D),
        ": Domains go from 0 to {last}; yours go from {ends[0]} to {ends[1]}.",
        lambda found: found.ends[0] < 0 or found.ends[1] > found.last,
        ": x is not finite everywhere.",
        lambda found: not np.isfinite(found.x).all(),
    ),
    mistakes=by_test(
        "labels by distance: Every token is labelled by the mean that is nearest to it. Where clusters overlap, that is not always the one that it was drawn around: return the domains that you drew.",
        in_all(is_labelled_by_distance),
        "one domain for all: All tokens of a call come from one domain: draw a domain for each token, `size=T`.",
        in_all(lambda call: np.ptp(call.domain) == 0),
        "in order: The domains come in a fixed order, one block or one round after the other. Draw each token's domain at random, so that every batch of consecutive rows is a fair sample.",
        in_all(in_runs),
        "dealt out: The domains have the same number of tokens, as nearly as it goes: {many[0].counts}. So they were dealt out, not drawn. Independent draws vary from call to call.",
        lambda found: more_even(found) < RARE,
        "last domain missing: The last domain never comes. The upper end of `rng.integers` is not included.",
        in_all(lambda call: call.counts[-1] == 0 and call.counts[:-1].all()),
        f"not uniform: The domains are not equally likely. So many of {TOKENS} tokens came from each: {{many[2].counts}}.",
        lambda found: more_even(found) > 1 - RARE,
        "not independent: The domains are equally likely, but a token's domain depends on that of the token before it. Draw each independently of the others.",
        in_any(go_with_the_last),
        "no noise: There is no noise: every token is exactly the mean of its domain.",
        in_all(lambda call: np.abs(call.noise).max() < 1e-5),
        "one noise for all: All tokens of a call share one noise vector. Each token needs its own: `size=(T, d)`.",
        in_all(lambda call: np.ptp(call.noise, axis=0).max() < 1e-5),
        "one noise for each domain: All tokens of a domain are the same: you drew one noise vector for each domain. Each token needs its own: `size=(T, d)`, after the means have been looked up.",
        in_all(same_in_each_domain),
        "one noise for each token: In each token all coordinates have the same noise: one number for each token. Draw d of them: `size=(T, d)`.",
        in_all(lambda call: np.ptp(call.noise, axis=1).max() < 1e-5),
        "means left out: The clusters all lie around 0: your tokens are the noise alone. Add each one's mean, `means[domain]`.",
        in_all(lambda call: is_moved(-1, call)),
        "means subtracted: The clusters lie on the other side of 0: you took each token's mean off. Add it.",
        in_all(lambda call: is_moved(-2, call)),
        "one mean for all: All tokens of a call lie around one point, whatever `domain` says. Each token has the mean of its own domain: `means[domain]`, with T indices, picks T rows.",
        in_all(is_around_one_point),
        "labels of another draw: `domain` does not belong to x: your tokens lie around the means, but around other ones than `domain` says. Draw the domains once, and use the same array for both.",
        in_all(is_shuffled),
        "positive noise: Your noise is never negative, so every cluster is shifted. Normal noise has mean 0: `rng.normal`.",
        in_all(lambda call: call.noise.min() >= -1e-6),
        "means twice: The clusters lie around twice their means: you added them twice. `rng.normal(means[domain], ...)` has them already.",
        in_all(lambda call: is_moved(1, call)),
        "other means: The clusters have the right spread, but lie around other means than the ones passed in: look up `means[domain]`, and change nothing about them. (`gaussian_domains` of the course draws means of its own, and so does whatever wraps it.)",
        in_all(has_other_means),
        "rescaled: All your tokens have the same length. Only the means do: the noise changes a token's length, so divide by nothing afterwards.",
        in_all(have_one_length),
        ": The clusters do not lie around their means: on average a token is off by {many[0].off}.\nfor {many[0].case}",
        in_any(is_off_centre),
        f"square root of the std: The noise has the standard deviation √noise_std: you took noise_std for a variance. `rng.normal` wants the standard deviation, and so does a factor in front of standard normal noise.\n{SPREAD}",
        is_sized(lambda sd, d: np.sqrt(sd)),
        f"variance for std: The noise has the standard deviation noise_std²: you passed the variance where numpy wants the standard deviation.\n{SPREAD}",
        is_sized(lambda sd, d: sd**2),
        f"standard deviation 1: The noise has standard deviation 1 whatever noise_std is. Multiply it.\n{SPREAD}",
        is_sized(lambda sd, d: 1.0),
        f"shared among the coordinates: The noise is too small by √d: noise_std is the standard deviation of each coordinate, not of the whole vector's length.\n{SPREAD}",
        is_sized(lambda sd, d: sd / np.sqrt(d)),
        f"uniform noise: The noise is spread evenly between two limits: it is uniform, not normal. Use `rng.normal`. (From −noise_std to noise_std, its standard deviation is noise_std/√3.)\n{SPREAD}",
        in_all(is_uniform),
        "noise grows with the mean: Your noise is larger where the mean's entry is: it is multiplied by it. Add it to the mean, equally large in every coordinate.",
        in_all(goes_with_the_mean),
        f"too large by √d: The noise is too large by √d. noise_std is the standard deviation of each coordinate: nothing to multiply by the width.\n{SPREAD}",
        is_sized(lambda sd, d: sd * np.sqrt(d)),
        f": The noise has the wrong size.\n{SPREAD}",
        lambda found: not spread_is(lambda sd, d: sd)(found),
        "not normal: Mean and standard deviation of the noise are right, but it is not normal: use `rng.normal`.",
        in_any(is_not_normal),
        ": The noise has the right size over all, but not in every coordinate alike and on its own.",
        in_any(goes_together),
        "rng not used: Every seed gives the same tokens. Take all randomness from the `rng` that is passed in.",
        lambda found: same("x", "domain")(found.few),
        "rng not used for the domains: Every seed gives the same domains. Draw them from the `rng` that is passed in, too.",
        lambda found: same("domain")(found.few),
        "rng not used for the noise: Every seed gives the same noise. Draw it from the `rng` that is passed in, too.",
        lambda found: same("noise")(found.few),
        "another source: The same seed gives different tokens. Some randomness does not come from the `rng` that is passed in.",
        lambda found: not same("x", "domain")(found.few[:2]),
    ),
)
