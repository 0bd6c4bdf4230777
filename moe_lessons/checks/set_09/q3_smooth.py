"""Question 9.3: a load with a gradient."""

import math
from collections.abc import Callable

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.gates import normal_cdf, selected_mask
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.verdicts import by_value

LEAST_GAP = 1e-3  # between two logits of a token


def load_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (clean (T, N), noisy (T, N), noise_sd (T, N), k) for several k."""
    return [load_case(rng, *size) for size in ((2, 4, 2), (4, 6, 2), (5, 7, 4), (3, 5, 1))]


def load_case(rng: np.random.Generator, T: int, N: int, k: int) -> tuple:
    """Return clean and noisy logits (T, N) without ties, noise_sd (T, N), k; the noise changes who is selected."""
    while True:
        clean = rng.normal(size=(T, N)).round(2)  # (T, N)
        noise_sd = rng.uniform(0.4, 1.6, size=(T, N)).round(2)  # (T, N)
        noisy = (clean + noise_sd * rng.standard_normal((T, N))).round(3)  # (T, N)
        noisy[0] = clean[0, ::-1]
        if min(np.diff(np.sort(h)).min() for h in (clean, noisy)) > LEAST_GAP and changes(clean[0], noisy[0], k):
            return clean, noisy, noise_sd, k


def changes(clean: np.ndarray, noisy: np.ndarray, k: int) -> bool:
    """Tell whether others are selected by the noisy logits (N,) than by the clean ones."""
    return bool((selected_mask(clean, k) != selected_mask(noisy, k)).any())


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
    """Return Pr(x, i), the chance that expert i is selected if its own noise is drawn afresh. (T, N)."""
    return normal_cdf((clean - of_the_others(noisy, k)) / noise_sd)  # (T, N)


def with_threshold(threshold: Callable) -> Callable:
    """Return the estimator that uses threshold(clean, noisy, k)."""
    return lambda clean, noisy, sd, k: normal_cdf((clean - threshold(clean, noisy, k)) / sd)


def erf(z: np.ndarray) -> np.ndarray:
    """Return the error function, 2Φ(√2 z) − 1, same shape."""
    return 2 * normal_cdf(math.sqrt(2) * z) - 1


def with_scale(scale: Callable) -> Callable:
    """Return the estimator that divides by scale(sd (T, N))."""
    return lambda clean, noisy, sd, k: normal_cdf((clean - of_the_others(noisy, k)) / scale(sd))


def with_gap(formula: Callable) -> Callable:
    """Return the estimator formula(clean − threshold, sd)."""
    return lambda clean, noisy, sd, k: formula(clean - of_the_others(noisy, k), sd)


def above_all(clean: np.ndarray, noisy: np.ndarray, sd: np.ndarray, k: int) -> np.ndarray:
    """Return the product, over the others, of the chances to be above each. (T, N)."""
    chances = normal_cdf((clean[:, :, None] - noisy[:, None]) / sd[:, :, None])  # (T, N, N)
    return np.where(np.eye(clean.shape[1]) == 1, 1, chances).prod(axis=-1)


def of_the_threshold(noisy: np.ndarray, sd: np.ndarray, k: int) -> np.ndarray:
    """Return, for each expert, the noise scale of the k-th largest of the others. (T, N)."""
    threshold = of_the_others(noisy, k)  # (T, N)
    return np.take_along_axis(sd, (noisy[:, None] == threshold[..., None]).argmax(axis=-1), axis=-1)


SMOOTH = FunctionQuestion(
    **about("9.3", "A load with a gradient", "write it", "hard", points=3, minutes=11),
    hints=(
        "Expert i gets in when clean_i + sd_i·ε is above a threshold: the k-th largest noisy logit of the *others*. ε is standard normal, and the chance that it is above −z is Φ(z).",
        "So Pr(x, i) = Φ((clean − threshold) / sd). With all N noisy logits sorted, the threshold of an expert that is selected is number k + 1; of one that is not, number k. Or take each expert out and sort the rest.",
    ),
    idea="Whether an expert is selected is a yes or no, without a gradient. How likely it was, before its noise was drawn, is a smooth function of its logit; so the sum over the tokens is a load that can be trained on.",
    takeaway="Where a count has no gradient, train on the probability of the count: the same move stands behind many losses on choices.",
    answer="my_smooth_load",
    parameters=("clean", "noisy", "noise_sd", "k"),
    stands_for=("losses.smooth_load", "losses.load_loss"),
    when_raised="clean, noisy and noise_sd are (T, N). A k-th largest for each row has the shape (T,): keep the axis, (T, 1), or make one for each expert, (T, N).",
    cases=load_cases,
    reference=smooth_load,
    mistakes=by_value(
        "itself counted: Your threshold is the k-th largest of *all* noisy logits. For an expert that is selected, that list holds its own old draw, so it competes with itself. Leave it out.",
        with_threshold(lambda clean, noisy, k: best(noisy, k)),
        "the next for all: Your threshold is number k + 1 of all noisy logits. That is right for the selected. An unselected expert must beat number k: of the others, that is the k-th.",
        with_threshold(lambda clean, noisy, k: best(noisy, k + 1)),
        "thresholds exchanged: The two thresholds are exchanged. A selected expert, taken out, leaves number k + 1 of all as the k-th of the others; an unselected one leaves number k.",
        with_threshold(lambda clean, noisy, k: np.where(selected_mask(noisy, k), best(noisy, k), best(noisy, k + 1))),
        "k − 1: Your threshold is the (k − 1)-th largest of the others. Above k − 1 others there is still a place: the k-th counts.",
        with_threshold(lambda clean, noisy, k: of_the_others(noisy, k - 1)),
        "k + 1: Your threshold is the (k + 1)-th largest of the others. Whoever is above only that one has k others above: not selected. The k-th counts.",
        with_threshold(lambda clean, noisy, k: of_the_others(noisy, k + 1)),
        "one place too high: Both thresholds are one place too high: numbers k and k − 1 of all. That of a selected expert is number k + 1, that of the others number k. (Number k of a sorted list is `ordered[:, k - 1]`: indices count from 0.)",
        with_threshold(lambda clean, noisy, k: of_the_two(noisy, k, k, k - 1)),
        "one place too low: Your two thresholds are numbers k + 2 and k + 1 of all. That of a selected expert is number k + 1, that of the others number k. (Number k of a sorted list is `ordered[:, k - 1]`: indices count from 0.)",
        with_threshold(lambda clean, noisy, k: of_the_two(noisy, k, k + 2, k + 1)),
        "k − 1 of all: Your threshold is number k − 1 of all noisy logits, for every expert. It is number k of the *others*: number k + 1 of all for the selected, number k for the rest.",
        with_threshold(lambda clean, noisy, k: best(noisy, k - 1)),
        "last place taken for none: The expert in the k-th place is selected too: it is compared with number k + 1. You compare it with itself: `>=`, not `>`.",
        with_threshold(lambda clean, noisy, k: np.where(noisy > best(noisy, k), best(noisy, k + 1), best(noisy, k))),
        "number k + 1 taken for selected: The expert in place k + 1 is not selected: it is compared with number k. You compare it with itself.",
        with_threshold(
            lambda clean, noisy, k: np.where(noisy >= best(noisy, k + 1), best(noisy, k + 1), best(noisy, k))
        ),
        "halfway: You have one threshold for all, halfway between number k and number k + 1. For a selected expert it is number k + 1, for another number k.",
        with_threshold(lambda clean, noisy, k: (best(noisy, k) + best(noisy, k + 1)) / 2),
        "k-th from below: You took the k-th *smallest* of the others: sorting goes upwards.",
        (
            with_threshold(lambda clean, noisy, k: -of_the_others(-noisy, k)),
            with_threshold(lambda clean, noisy, k: -best(-noisy, k)),
            with_threshold(lambda clean, noisy, k: -best(-noisy, k + 1)),
        ),
        "mean of the others: Your threshold is a mean over the experts. There are k places: the k-th largest of the others decides.",
        (
            with_threshold(lambda clean, noisy, k: (noisy.sum(axis=1, keepdims=True) - noisy) / (noisy.shape[1] - 1)),
            with_threshold(lambda clean, noisy, k: noisy.mean(axis=1, keepdims=True)),
        ),
        "along the tokens: You sorted along the tokens (axis 0). An expert competes with the others of its own token: the last axis.",
        with_threshold(lambda clean, noisy, k: best(noisy.T, min(k, len(noisy))).T),
        "largest of the others: Your threshold is the largest of the others, right for k = 1 only. There are k places.",
        (
            with_threshold(lambda clean, noisy, k: of_the_others(noisy, 1)),
            with_threshold(lambda clean, noisy, k: best(noisy, 1)),
        ),
        "k is 2: You take two places, whatever k is.",
        with_threshold(lambda clean, noisy, k: of_the_others(noisy, 2)),
        "clean threshold: Your threshold comes from the clean logits. The others keep the noise that they drew: take the k-th largest of their *noisy* logits.",
        with_threshold(lambda clean, noisy, k: of_the_others(clean, k)),
        "selected by the clean logits: You choose between the two thresholds by who is in the top-k of the *clean* logits. The noisy ones decide.",
        with_threshold(lambda clean, noisy, k: np.where(selected_mask(clean, k), best(noisy, k + 1), best(noisy, k))),
        "noisy logit: You compare the expert's *noisy* logit with the threshold. Its own noise is what is drawn afresh: begin at its clean logit.",
        (
            lambda clean, noisy, sd, k: normal_cdf((noisy - of_the_others(noisy, k)) / sd),
            lambda clean, noisy, sd, k: normal_cdf((noisy - best(noisy, k)) / sd),
        ),
        "noisy logit, not divided: Two things. You compare the expert's *noisy* logit with the threshold: its own noise is what is drawn afresh, so begin at its clean logit. And the gap is not divided by noise_sd.",
        lambda clean, noisy, sd, k: normal_cdf(noisy - of_the_others(noisy, k)),
        "own noise: You compare the noisy logits with the clean ones, expert by expert: that is how unusual the draw was. Asked is the chance to be above the k-th largest of the *others*.",
        (
            lambda clean, noisy, sd, k: normal_cdf((noisy - clean) / sd),
            lambda clean, noisy, sd, k: normal_cdf((clean - noisy) / sd),
        ),
        "product over the others: You multiplied the chances to be above each of the others. They keep their noise: whoever is above the k-th largest of them is selected, and one comparison is enough.",
        above_all,
        "softmax: These are probabilities of a softmax. Asked is how likely each expert is to be among the k, over draws of its own noise.",
        (
            lambda clean, noisy, sd, k: routing.softmax(clean),
            lambda clean, noisy, sd, k: routing.softmax(noisy),
            lambda clean, noisy, sd, k: k * routing.softmax(clean),
        ),
        "clean and noisy exchanged: Clean and noisy are exchanged: you compare the expert's noisy logit with the clean ones of the others. Its own noise is drawn afresh, theirs stays.",
        lambda clean, noisy, sd, k: normal_cdf((noisy - of_the_others(clean, k)) / sd),
        "all clean: You used the clean logits throughout. The threshold comes from the noisy logits of the others.",
        lambda clean, noisy, sd, k: normal_cdf((clean - best(clean, k)) / sd),
        "variance: You divided by the squared noise scale. Φ takes the gap in standard deviations: divide by noise_sd itself.",
        with_gap(lambda gap, sd: normal_cdf(gap / sd**2)),
        "root: You divided by the root of noise_sd. It is a standard deviation already.",
        with_gap(lambda gap, sd: normal_cdf(gap / np.sqrt(sd))),
        "not divided: You did not divide by noise_sd. A gap of 1 is much where the noise is small, and little where it is large.",
        with_gap(lambda gap, sd: normal_cdf(gap)),
        "multiplied: You multiplied the gap by noise_sd. Divide: the larger the noise, the less a gap decides.",
        with_gap(lambda gap, sd: normal_cdf(gap * sd)),
        "sign turned: This is the chance of *not* being selected: the gap is clean − threshold.",
        with_gap(lambda gap, sd: normal_cdf(-gap / sd)),
        "no Φ: This is the gap in standard deviations. Φ turns it into a probability.",
        (with_gap(lambda gap, sd: gap / sd), with_gap(lambda gap, sd: gap)),
        "sigmoid: You used the sigmoid for Φ. The noise is normal, not logistic.",
        (
            with_gap(lambda gap, sd: 1 / (1 + np.exp(-gap / sd))),
            with_gap(lambda gap, sd: 1 / (1 + np.exp(-1.702 * gap / sd))),
            with_gap(lambda gap, sd: 1 / (1 + np.exp(-2 * gap / sd))),
        ),
        "erf: The error function is not Φ: Φ(z) = (1 + erf(z/√2)) / 2.",
        (with_gap(lambda gap, sd: erf(gap / sd)), with_gap(lambda gap, sd: (1 + erf(gap / sd)) / 2)),
        "two noises: You divided by √2 · noise_sd, as if two noises were drawn. That of the others is drawn already: only expert i's own is fresh.",
        with_scale(lambda sd: math.sqrt(2) * sd),
        "noise of the threshold, too: You count the noise of the expert at the threshold, too. The others keep theirs: divide by expert i's own scale alone.",
        lambda clean, noisy, sd, k: normal_cdf(
            (clean - of_the_others(noisy, k)) / np.hypot(sd, of_the_threshold(noisy, sd, k))
        ),
        "one scale: You divided by one noise scale for several experts. Each token has a noise_sd for each expert.",
        (
            with_scale(np.mean),
            with_scale(lambda sd: sd.mean(axis=1, keepdims=True)),
            with_scale(lambda sd: sd[:, :1]),
        ),
        "scale of the threshold: You divided by the noise scale of the expert at the threshold. Its noise is drawn already: divide by expert i's own.",
        lambda clean, noisy, sd, k: normal_cdf((clean - of_the_others(noisy, k)) / of_the_threshold(noisy, sd, k)),
        "density: This is the normal density. Asked is the chance of being above the threshold: Φ, its integral.",
        with_gap(lambda gap, sd: np.exp(-((gap / sd) ** 2) / 2) / math.sqrt(2 * math.pi)),
        "hard count: These are 1 or 0, a yes or no: a count has no gradient. Asked is how likely each was.",
        (
            lambda clean, noisy, sd, k: selected_mask(noisy, k),
            lambda clean, noisy, sd, k: selected_mask(clean, k),
            lambda clean, noisy, sd, k: clean > of_the_others(noisy, k),
        ),
        "summed over the tokens: You added up the tokens, or averaged over them: that is the load. Asked is Pr(x, i) for each token and expert, (T, N).",
        (lambda *case: smooth_load(*case).sum(axis=0), lambda *case: smooth_load(*case).mean(axis=0)),
        "summed over the experts: You added up the experts. Asked is Pr(x, i) for each token and expert, (T, N).",
        lambda *case: smooth_load(*case).sum(axis=1),
        "selected for certain: Pr(x, i) is 1 for your selected experts. With fresh noise of its own such an expert may drop out: it has a chance like the others.",
        lambda clean, noisy, sd, k: np.where(selected_mask(noisy, k), 1, smooth_load(clean, noisy, sd, k)),
        "only for the selected: Pr(x, i) is 0 for your unselected experts. With fresh noise of its own such an expert may get in as well: it has a chance too.",
        lambda clean, noisy, sd, k: selected_mask(noisy, k) * smooth_load(clean, noisy, sd, k),
        "normalised: You divided by the sum over the experts. Pr(x, i) is a chance for each expert on its own: the N need not sum to 1, nor to k.",
        (
            lambda *case: (P := smooth_load(*case)) / P.sum(axis=-1, keepdims=True),
            lambda *case: case[-1] * (P := smooth_load(*case)) / P.sum(axis=-1, keepdims=True),
        ),
    ),
)
