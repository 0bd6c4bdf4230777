"""Answers to 8.1 and 8.3: plausible wrong ones by the mistake that must be named, others, and right ones."""

import numpy as np
import torch
from scipy.stats import sem

from moe_lessons.data import gaussian_domains

# --- 8.1 -------------------------------------------------------------------------------------------------------------


def tokens(noise, domain=None):
    """A data set from noise(rng, domain, means, noise_std) and domain(rng, D, T), by default uniform."""

    def draw(means, noise_std, T, rng):
        named = (domain or (lambda rng, D, T: rng.integers(D, size=T)))(rng, len(means), T)  # (T,)
        return means[named] + noise(rng, named, means, noise_std), named

    return draw


def normal(rng, domain, means, noise_std):
    return noise_std * rng.normal(size=(len(domain), means.shape[1]))


def fresh(shape):
    """Normal noise of another shape, or size; `shape` is a function of T, D, d."""
    return lambda rng, domain, means, sd: sd * rng.normal(size=shape(len(domain), *means.shape))


def sized(size):
    """Normal noise with the standard deviation size(noise_std, d)."""
    return lambda rng, domain, means, sd: size(sd, means.shape[1]) * rng.normal(size=(len(domain), means.shape[1]))


def by_token(means, noise_std, T, rng):
    x, domain = [], []
    for _ in range(T):
        i = int(rng.integers(len(means)))
        x.append(rng.normal(means[i], noise_std))
        domain.append(i)
    return x, domain


def by_choice(means, noise_std, T, rng):
    domain = rng.choice(len(means), size=T)
    return rng.normal(means[domain], noise_std), domain


def in_torch(means, noise_std, T, rng):
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    domain = torch.randint(len(means), (T,), generator=generator)
    centre = torch.tensor(means)[domain]
    return centre + noise_std * torch.randn(centre.shape, generator=generator, dtype=torch.float64), domain


def by_covariance(means, noise_std, T, rng):
    d = means.shape[1]
    domain = np.floor(rng.uniform(size=T) * len(means)).astype(int)
    return means[domain] + rng.multivariate_normal(np.zeros(d), noise_std**2 * np.eye(d), size=T), domain


def labels_drawn_twice(means, noise_std, T, rng):
    x, _ = tokens(normal)(means, noise_std, T, rng)
    return x, rng.integers(len(means), size=T)


def with_seed(means, noise_std, T, rng):
    return tokens(normal)(means, noise_std, T, np.random.default_rng(0))


UNSEEDED = np.random.default_rng(5)


def from_elsewhere(means, noise_std, T, rng):
    return tokens(normal)(means, noise_std, T, UNSEEDED)


def changed(change):
    """A right data set, changed at the end."""
    return lambda means, noise_std, T, rng: change(*tokens(normal)(means, noise_std, T, rng), len(means))


def around_means_of_the_course(means, noise_std, T, rng):
    seed = int(rng.integers(2**31))
    part, _ = gaussian_domains(T, means.shape[1], len(means), noise_std=noise_std, seed=seed)
    return part.x, part.domain


def noise_of_its_own(means, noise_std, T, rng):
    x, domain = tokens(normal)(means, noise_std, T, rng)
    noise = noise_std * np.random.default_rng(0).normal(size=x.shape)
    return means[domain] + noise, domain


def in_single_precision(means, noise_std, T, rng):
    domain = rng.integers(len(means), size=T, dtype=np.uint8)
    noise = rng.standard_normal((T, means.shape[1]), dtype=np.float32)
    return np.float32(means)[domain] + np.float32(noise_std) * noise, domain


def whole_numbers_in_a_float_array(means, noise_std, T, rng):
    domain, x = np.zeros(T), np.zeros((T, means.shape[1]))
    for t in range(T):
        domain[t] = rng.integers(len(means))
        x[t] = means[int(domain[t])] + rng.normal(0, noise_std, means.shape[1])
    return x, domain


def blocks_of_equal_size(rng, D, T):
    return rng.permutation(np.concatenate([np.repeat(np.arange(D), T // D), np.zeros(T % D, dtype=int)]))


def lopsided(rng, D, T):
    return np.minimum(rng.integers(D, size=T), rng.integers(D, size=T))


# --- 8.3 -------------------------------------------------------------------------------------------------------------


def comparison(rates=None, spread=None, of=lambda choosing, fresh: fresh, change=lambda d: d):
    """A comparison with arm 0: rates(choosing, fresh) (arms,), the errors `of` them, a spread of (found, d)."""
    rates = rates or (lambda choosing, fresh: choosing.mean(axis=2).argmin(axis=1))
    spread = spread or (lambda found, d: d.std(axis=1, ddof=1) / d.shape[1] ** 0.5)

    def compared(choosing, fresh):
        reported = of(choosing, fresh)
        found = np.stack([errors[rate] for errors, rate in zip(reported, rates(choosing, fresh), strict=True)])
        d = change(found - found[0])
        return d.mean(axis=1), spread(found, d)

    return compared


def arm_by_arm(choosing, fresh):
    rows = []
    for known, new in zip(choosing.tolist(), fresh.tolist(), strict=True):
        means = [sum(errors) / len(errors) for errors in known]
        rows.append(new[means.index(min(means))])
    pairs = [[e - e_0 for e, e_0 in zip(row, rows[0], strict=True)] for row in rows]
    n = len(rows[0])
    means = [sum(d) / n for d in pairs]
    squares = [sum((v - m) ** 2 for v in d) / (n - 1) for d, m in zip(pairs, means, strict=True)]
    return means, [(square / n) ** 0.5 for square in squares]


def by_sem(choosing, fresh):
    rate = np.argmin(np.mean(choosing, axis=-1), axis=-1)
    found = np.take_along_axis(fresh, rate[:, None, None], axis=1)[:, 0]
    d = found - found[:1]
    return np.stack([d.mean(-1), sem(d, axis=-1)])


def in_tensors(choosing, fresh):
    rate = torch.tensor(choosing).mean(dim=2).argmin(dim=1)
    found = torch.tensor(fresh)[torch.arange(len(rate)), rate]
    d = found - found[0]
    return d.mean(dim=1), d.std(dim=1) / d.shape[1] ** 0.5


def mean_alone(change):
    """The mean difference changed: change(found (arms, seeds)) -> (arms,)."""

    def compared(choosing, fresh):
        found = fresh[np.arange(len(fresh)), choosing.mean(axis=2).argmin(axis=1)]
        return change(found), comparison()(choosing, fresh)[1]

    return compared


def beside(rates):
    """Each arm beside arm 0 at other rates(choosing, fresh)."""

    def compared(choosing, fresh):
        found = fresh[np.arange(len(fresh)), choosing.mean(axis=2).argmin(axis=1)]
        d = found - fresh[0, rates(choosing, fresh)]
        return d.mean(axis=1), sem(d, axis=1)

    return compared


def zero_for_arm_0(spread):
    return comparison(spread=lambda found, d: np.where(np.arange(len(d)) == 0, 0, spread(found, d)))


def turned_to_pairs(choosing, fresh):
    return np.stack(comparison()(choosing, fresh), axis=1)


def chosen_rates(choosing, fresh):
    return choosing.mean(axis=2).argmin(axis=1), comparison()(choosing, fresh)[0]


def averaged_over_the_rates(choosing, fresh):
    d = (fresh - fresh[0]).mean(axis=1)
    return d.mean(axis=1), sem(d, axis=1)


def in_float32(choosing, fresh):
    return comparison()(np.float32(choosing), np.float32(fresh))


def every_seed_its_own(choosing, fresh):
    found = fresh.min(axis=1)
    return (found - found[0]).mean(axis=1), comparison()(choosing, fresh)[1]


def rescaled(means, noise_std, T, rng):
    domain = rng.integers(len(means), size=T)
    x = means[domain] + noise_std * rng.normal(size=(T, means.shape[1]))
    return x / np.linalg.norm(x, axis=1, keepdims=True) * np.linalg.norm(means[0]), domain


def multiplied(means, noise_std, T, rng):
    domain = rng.integers(len(means), size=T)
    return means[domain] * (1 + noise_std * rng.normal(size=(T, means.shape[1]))), domain


WRONG = {
    "8.1": {
        "rescaled": rescaled,
        "noise grows with the mean": multiplied,
        "in order (2)": tokens(normal, lambda rng, D, T: np.sort(rng.integers(D, size=T))[::-1]),
        "in order (3)": tokens(normal, lambda rng, D, T: -np.arange(T) % D),
        "dealt out (2)": tokens(normal, blocks_of_equal_size),
        "not independent": tokens(normal, lambda rng, D, T: np.repeat(rng.integers(D, size=T), 2)[:T]),
        "means subtracted": lambda means, noise_std, T, rng: tokens(normal)(-means, noise_std, T, rng),
        "one mean for all": lambda means, noise_std, T, rng: tokens(normal)(
            np.repeat(means[:1], len(means), axis=0), noise_std, T, rng
        ),
        "one mean for all (2)": lambda means, noise_std, T, rng: tokens(normal)(
            np.tile(means.mean(axis=0), (len(means), 1)), noise_std, T, rng
        ),
        "labels by distance": lambda means, noise_std, T, rng: (
            x := tokens(normal)(means, noise_std, T, rng)[0],
            (x @ means.T).argmax(axis=1),
        ),
        "rng not used for the domains": tokens(normal, lambda rng, D, T: np.random.default_rng(0).integers(D, size=T)),
        "rng not used for the noise": noise_of_its_own,
        "uniform noise (2)": tokens(
            lambda rng, domain, means, sd: sd * (rng.random((len(domain), means.shape[1])) - 0.5)
        ),
        "square root of the std": tokens(sized(lambda sd, d: sd**0.5)),
        "variance for std": tokens(sized(lambda sd, d: sd**2)),
        "standard deviation 1": tokens(sized(lambda sd, d: 1)),
        "shared among the coordinates": tokens(sized(lambda sd, d: sd / d**0.5)),
        "too large by √d": tokens(sized(lambda sd, d: sd * d**0.5)),
        "uniform noise": tokens(
            lambda rng, domain, means, sd: rng.uniform(-sd, sd, size=(len(domain), means.shape[1]))
        ),
        "means left out": lambda means, noise_std, T, rng: tokens(normal)(0 * means, noise_std, T, rng),
        "other means": around_means_of_the_course,
        "other means (2)": lambda means, noise_std, T, rng: tokens(normal)(means[::-1] + means**2, noise_std, T, rng),
        "means twice": lambda means, noise_std, T, rng: tokens(normal)(2 * means, noise_std, T, rng),
        "pairs": lambda means, noise_std, T, rng: list(zip(*tokens(normal)(means, noise_std, T, rng), strict=True)),
        "no noise": tokens(sized(lambda sd, d: 0)),
        "one noise for all": tokens(fresh(lambda T, D, d: (d,))),
        "one noise for each domain": tokens(lambda rng, domain, means, sd: (sd * rng.normal(size=means.shape))[domain]),
        "one noise for each token": tokens(fresh(lambda T, D, d: (T, 1))),
        "positive noise": tokens(lambda rng, domain, means, sd: sd * rng.random(size=(len(domain), means.shape[1]))),
        "not normal": tokens(
            lambda rng, domain, means, sd: sd * 3**0.5 * rng.uniform(-1, 1, size=(len(domain), means.shape[1]))
        ),
        "labels of another draw": labels_drawn_twice,
        "one domain for all": tokens(normal, lambda rng, D, T: np.full(T, rng.integers(D))),
        "in order": tokens(normal, lambda rng, D, T: np.arange(T) % D),
        "dealt out": tokens(normal, lambda rng, D, T: rng.permutation(np.arange(T) % D)),
        "last domain missing": tokens(normal, lambda rng, D, T: rng.integers(0, D - 1, size=T)),
        "not uniform": tokens(normal, lopsided),
        "rng not used": with_seed,
        "another source": from_elsewhere,
        "turned round": changed(lambda x, domain, D: (domain, x)),
        "tokens as columns": changed(lambda x, domain, D: (x.T, domain)),
        "one-hot domains": changed(lambda x, domain, D: (x, np.eye(D)[domain])),
        "domains not whole": changed(lambda x, domain, D: (x, domain / D)),
        "counted from one": changed(lambda x, domain, D: (x, domain + 1)),
    },
    "8.3": {
        "most wins": comparison(
            lambda c, f: [np.bincount(row, minlength=c.shape[1]).argmax() for row in c.argmin(axis=1)]
        ),
        "chosen on all seeds (2)": comparison(lambda c, f: (c.mean(axis=2) + f.mean(axis=2)).argmin(axis=1)),
        "reported on the choosing seeds (2)": comparison(of=lambda c, f: np.concatenate([c, f], axis=2)),
        "one rate for all (3)": comparison(lambda c, f: [-1] * len(c)),
        "broken runs left out": comparison(
            lambda c, f: np.nanmean(np.where(np.isfinite(c), c, np.nan), axis=2).argmin(axis=1)
        ),
        "broken runs left out (2)": comparison(lambda c, f: np.nan_to_num(c, posinf=0).mean(axis=2).argmin(axis=1)),
        "worst run": comparison(lambda c, f: c.max(axis=2).argmin(axis=1)),
        "chosen by the gain": comparison(lambda c, f: (c.mean(axis=2) - c[0].mean(axis=1)).argmin(axis=1)),
        "arm 0 at another rate": beside(lambda c, f: c.mean(axis=2).argmin(axis=1)),
        "arm 0 at another rate (2)": beside(lambda c, f: [0] * len(c)),
        "no rate chosen": averaged_over_the_rates,
        "rates": chosen_rates,
        "exchanged": lambda c, f: comparison()(c, f)[::-1],
        "pairs": turned_to_pairs,
        "pairs (2)": lambda c, f: list(zip(*comparison()(c, f), strict=True)),
        "without a sign": mean_alone(lambda found: np.abs((found - found[0]).mean(axis=1))),
        "without a sign (2)": comparison(change=np.abs),
        "share (2)": mean_alone(lambda found: ((found - found[0]) / found[0]).mean(axis=1)),
        "share (3)": mean_alone(lambda found: found.mean(axis=1) / found[0].mean()),
        "not paired (2)": zero_for_arm_0(lambda found, d: np.hypot(sem(found, axis=1), sem(found[0]))),
        "of the arm alone (2)": zero_for_arm_0(lambda found, d: sem(found, axis=1)),
        "standard deviation (2)": comparison(spread=lambda found, d: d.std(axis=1)),
        "variance (2)": comparison(spread=lambda found, d: d.var(axis=1, ddof=1)),
        "1 taken off twice": comparison(spread=lambda found, d: d.std(axis=1, ddof=1) / (d.shape[1] - 1) ** 0.5),
        "other seeds counted": lambda c, f: (
            comparison()(c, f)[0],
            comparison()(c, f)[1] * (f.shape[2] / c.shape[2]) ** 0.5,
        ),
        "other seeds counted (2)": comparison(spread=lambda found, d: d.std(axis=1, ddof=1) / len(d) ** 0.5),
        "interval": comparison(spread=lambda found, d: 1.96 * sem(d, axis=1)),
        "t": comparison(spread=lambda found, d: d.mean(axis=1) / sem(d, axis=1)),
        "chosen on the fresh seeds": comparison(lambda choosing, fresh: fresh.mean(axis=2).argmin(axis=1)),
        "chosen on all seeds": comparison(
            lambda choosing, fresh: np.concatenate([choosing, fresh], axis=2).mean(axis=2).argmin(axis=1)
        ),
        "reported on the choosing seeds": comparison(of=lambda choosing, fresh: choosing),
        "the baseline's rate for all": comparison(
            lambda choosing, fresh: [choosing[0].mean(axis=1).argmin()] * len(choosing)
        ),
        "one rate for all": comparison(lambda choosing, fresh: [choosing.mean(axis=(0, 2)).argmin()] * len(choosing)),
        "one rate for all (2)": comparison(lambda choosing, fresh: [0] * len(choosing)),
        "best single run": comparison(lambda choosing, fresh: choosing.min(axis=2).argmin(axis=1)),
        "median": comparison(lambda choosing, fresh: np.median(choosing, axis=2).argmin(axis=1)),
        "highest error": comparison(lambda choosing, fresh: choosing.mean(axis=2).argmax(axis=1)),
        "a rate for each seed": every_seed_its_own,
        "wrong way round": comparison(change=lambda d: -d),
        "no difference": mean_alone(lambda found: found.mean(axis=1)),
        "share": mean_alone(lambda found: (found - found[0]).mean(axis=1) / found[0].mean()),
        "not paired": comparison(
            spread=lambda found, d: np.sqrt(
                sem(found, axis=1) ** 2 + sem(found[0]) ** 2,
            )
        ),
        "standard deviation": comparison(spread=lambda found, d: d.std(axis=1, ddof=1)),
        "divided by n": comparison(spread=lambda found, d: d.std(axis=1) / d.shape[1] ** 0.5),
        "of the arm alone": comparison(spread=lambda found, d: sem(found, axis=1)),
        "no root": comparison(spread=lambda found, d: d.std(axis=1, ddof=1) / d.shape[1]),
        "variance": comparison(spread=lambda found, d: sem(d, axis=1) ** 2),
        "from other arms": mean_alone(lambda found: np.r_[0, np.diff(found, axis=0).mean(axis=1)]),
        "from other arms (2)": mean_alone(lambda found: (found - found[found.mean(axis=1).argmin()]).mean(axis=1)),
        "from other arms (3)": comparison(change=lambda d: d - d.mean(axis=0)),
        "not the mean": mean_alone(lambda found: np.median(found - found[0], axis=1)),
        "not the mean (2)": mean_alone(lambda found: (found - found[0]).sum(axis=1)),
        "not the mean (3)": mean_alone(lambda found: found.min(axis=1) - found.min(axis=1)[0]),
        "from other arms (4)": mean_alone(lambda found: (found - found[-1]).mean(axis=1)),
        "arm 0 left out": mean_alone(lambda found: (found - found[0]).mean(axis=1)[1:]),
        "share (4)": comparison(of=lambda choosing, fresh: np.log(fresh)),
        "sorted": comparison(spread=lambda found, d: sem(np.sort(found) - np.sort(found[0]), axis=1)),
        "one for all arms": comparison(spread=lambda found, d: np.full(len(d), d[1:].std(ddof=1) / d.shape[1] ** 0.5)),
        "over the arms": comparison(spread=lambda found, d: d.std(axis=0, ddof=1) / d.shape[1] ** 0.5),
        "seeds counted": mean_alone(lambda found: (found < found[0]).sum(axis=1)),
        "seeds counted (2)": mean_alone(lambda found: (found > found[0]).mean(axis=1)),
        "not averaged": mean_alone(lambda found: found - found[0]),
        "averaged over the arms": mean_alone(lambda found: (found - found[0]).mean(axis=0)),
        "not paired (3)": zero_for_arm_0(lambda found, d: sem(found, axis=1) + sem(found[0])),
        "of the choosing seeds": lambda c, f: (comparison()(c, f)[0], comparison()(c, c)[1]),
        "difference of the errors": comparison(spread=lambda found, d: sem(found, axis=1) - sem(found[0])),
        "of the arm alone (3)": zero_for_arm_0(lambda found, d: sem(found - found[0].mean(), axis=1)),
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "8.1": [
        tokens(lambda rng, domain, means, sd: np.eye(1, means.shape[1]) * sd * rng.normal(size=(len(domain), 1))),
        lambda means, noise_std, T, rng: None,
        lambda means, noise_std, T, rng: tokens(normal)(means, noise_std, T, rng)[0],
        tokens(sized(lambda sd, d: 2.3 * sd)),
        tokens(lambda rng, domain, means, sd: 0.4 + normal(rng, domain, means, sd)),
        changed(lambda x, domain, D: (x[:-1], domain[:-1])),
        changed(lambda x, domain, D: (x * np.linspace(0.5, 1.3, x.shape[1]), domain)),
    ],
    "8.3": [
        comparison(lambda choosing, fresh: np.where(np.isinf(choosing), 1, choosing).mean(axis=2).argmin(axis=1)),
        mean_alone(lambda found: np.percentile(found - found[0], 75, axis=1)),
        lambda choosing, fresh: None,
        lambda choosing, fresh: comparison()(choosing, fresh)[0],
        lambda choosing, fresh: [1.1 * part for part in comparison()(choosing, fresh)],
        comparison(spread=lambda found, d: np.zeros(len(d))),
        comparison(change=lambda d: d**2),
    ],
}

RIGHT = {
    "8.1": [
        tokens(normal),
        by_choice,
        by_token,
        in_torch,
        by_covariance,
        in_single_precision,
        whole_numbers_in_a_float_array,
    ],
    "8.3": [comparison(), arm_by_arm, by_sem, in_tensors, in_float32],
}
