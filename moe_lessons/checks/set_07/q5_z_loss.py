"""Question 7.5: the z-loss, with padding."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.gates import naive_softmax
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.set_07.q1_jacobian import spread
from moe_lessons.checks.set_07.slopes import along_the_tokens, over_the_batch
from moe_lessons.checks.values import agree, is_floats, stacked, unbracketed, unpack
from moe_lessons.checks.verdicts import by_formula, by_test, by_trace, by_value

lse = routing.log_sum_exp  # (T, N) -> (T,)


def z_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (h (T, N), mask (T,)): without padding; with numbers, and with no numbers, in padded rows; one real token.

    Among the last three are tokens with logits around 10⁴ and −10⁴, one of these and another with a masked expert.
    """
    plain, numbers, nothing, large, one = (
        np.stack([spread(rng, N, 1.5) + rng.uniform(-0.5, 0.5) + offset for _ in range(T)]).round(2)
        for T, N, offset in ((3, 4, 0), (5, 3, -2), (6, 4, 1), (4, 3, 0), (3, 5, 1))
    )
    nothing[[0, 3, 4]] = np.array([[np.nan], [-np.inf], [np.inf]])
    nothing[2, 1] = -np.inf  # a masked expert of a real token
    large[:2] += np.array([[1e4], [-1e4]])
    large[1, rng.integers(3)] = -np.inf
    large[2] = np.nan
    one[:2] = np.array([[np.nan], [3.0]])
    masks = ("TTT", "TFTTF", "FTTFFT", "TTFT", "FFT")
    rows = zip((plain, numbers, nothing, large, one), masks, strict=True)
    return [shuffled(rng, h, np.array([letter == "T" for letter in mask])) for h, mask in rows]


def shuffled(rng: np.random.Generator, h: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return h (T, N) and mask (T,) with their rows in another order."""
    order = rng.permutation(len(h))
    return h[order], mask[order]


def z_slope(h: np.ndarray) -> np.ndarray:
    """Return the gradient of the mean squared log-sum-exp of h. (T, N)."""
    return 2 * lse(h)[:, None] * routing.softmax(h) / len(h) + 0.0  # −0 would read badly


def z_loss_and_gradient(h: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean squared log-sum-exp of the real rows of h (T, N), and its gradient (T, N), 0 in padded rows."""
    return np.array((lse(h[mask]) ** 2).mean()), on_all_rows(z_slope(h[mask]), mask)


def on_all_rows(g: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the rows g (n, N) of the real tokens in their places, 0 in padded rows. (T, N)."""
    whole = np.zeros((len(mask), g.shape[-1]))  # (T, N)
    whole[mask] = g
    return whole


def of_real(formula: Callable) -> Callable[..., Any]:
    """Return the function of a case that is `formula` of its real rows (n, N)."""

    def of_case(h: np.ndarray, mask: np.ndarray) -> Any:
        with np.errstate(all="ignore"):  # where a mistake does what it should not with −∞, or overflows
            return formula(h[mask])

    return of_case


def with_z(formula: Callable) -> Callable[..., Any]:
    """Return the function of a case that is `formula` of z (n, 1), p (n, N), n and T, 0 in padded rows. (T, N)."""
    return lambda h, mask: on_all_rows(
        formula(lse(h[mask])[:, None], routing.softmax(h[mask]), mask.sum(), len(mask)), mask
    )


def with_softmax(softmax: Callable) -> Callable[..., Any]:
    """Return the function of a case that is the gradient with another `softmax`(h (n, N)), 0 in padded rows. (T, N)."""
    return lambda h, mask: on_all_rows(2 * lse(h[mask])[:, None] * softmax(h[mask]) / mask.sum(), mask)


@np.errstate(all="ignore")
def naive_lse(h: np.ndarray) -> np.ndarray:
    """Return the log-sum-exp (T,) with exponentials that overflow: ∞ for large logits of h (T, N)."""
    return np.log(np.exp(h).sum(axis=-1))


@np.errstate(all="ignore")
def times_mask(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return values (T, ...) times 1 for real tokens and 0 for padding: NaN where 0 meets NaN or ∞."""
    return (values.T * mask).T


@np.errstate(all="ignore")
def squares(h: np.ndarray) -> np.ndarray:
    """Return the squared log-sum-exp of every row (T,), whatever it holds: NaN where it is not finite."""
    top = h.max(axis=-1)  # (T,)
    return (top + np.log(np.exp(h - top[:, None]).sum(axis=-1))) ** 2


def with_a_number(h: np.ndarray) -> np.ndarray:
    """Return h (T, N) with −10⁴ in the place of −∞."""
    return np.where(np.isneginf(h), -1e4, h)


def of_padding(clean: Callable, none: float) -> Callable[..., Any]:
    """Return the function of a case that is the loss of its padded rows, `clean`(rows); `none` if there are none."""
    return np.errstate(all="ignore")(
        lambda h, mask: none if mask.all() else squares(clean(h[~mask])).mean(),
    )


THE_PADDING = tuple(
    of_padding(clean, none)
    for clean in (lambda rows: rows, np.nan_to_num, lambda rows: np.where(np.isfinite(rows), rows, 0))
    for none in (np.nan, 0.0)
)


def is_0(value: Any, h: np.ndarray, where: np.ndarray) -> bool:
    """Tell whether a gradient is 0 in the rows `where` (T,) is True."""
    return is_floats(value, h.shape) and not value[where].any()


def is_turned(value: Any, *case: Any) -> bool:
    """Tell whether gradient and loss came, in this order."""
    loss, gradient = z_loss_and_gradient(*case)
    return isinstance(value, list) and len(value) == 2 and agree(value[1], loss) and agree(value[0], gradient)


def is_rounded(value: Any, *case: Any) -> bool:
    """Tell whether loss and gradient, in float32, are right to three digits."""
    came = unpack(value, ("loss", "gradient")) or [None, None]
    return all(is_nearly(stacked(v), right) for v, right in zip(came, z_loss_and_gradient(*case), strict=True))


def is_nearly(value: Any, right: np.ndarray) -> bool:
    """Tell whether a value is float32 and right to three digits of the largest number."""
    near = is_floats(value, right.shape) and value.dtype == np.float32
    return bool(near and np.allclose(value, right, rtol=0, atol=2e-3 * np.abs(right).max()))


def is_not_0_in_padding(value: Any, h: np.ndarray, mask: np.ndarray) -> bool:
    """Tell whether the real rows of a gradient are right and some other row is not 0."""
    if not is_floats(value, h.shape) or not agree(value[mask], z_slope(h[mask])):
        return False
    return not (value[~mask] == 0).all()


def is_nan_of_masked(value: Any, h: np.ndarray, mask: np.ndarray) -> bool:
    """Tell whether a loss is right where no real token has a logit of −∞, and NaN or infinite elsewhere."""
    if not np.isneginf(h[mask]).any():
        return agree(value, z_loss_and_gradient(h, mask)[0])
    return is_floats(value, ()) and not np.isfinite(value)


def is_nan_of_padding(value: Any, h: np.ndarray, mask: np.ndarray) -> bool:
    """Tell whether a loss is right where padded rows hold numbers, and NaN or infinite where they do not."""
    if np.isfinite(h[~mask]).all():
        return agree(value, z_loss_and_gradient(h, mask)[0])
    return is_floats(value, ()) and not np.isfinite(value)


Z_LOSS = FunctionQuestion(
    **about("7.5", "The z-loss, with padding", "write it", "medium", points=2, minutes=7),
    hints=(
        "What is NaN times 0? A padded row has to be out of the way before anything is computed with it, not afterwards. And how many tokens does the mean divide by?",
        "`logits[mask]` are the real rows alone: loss and gradient of these are the lesson's formula. Then a gradient of zeros in the shape of the logits, and `gradient[mask] = ...` puts the rows where they belong.",
    ),
    idea="Take the real rows out first: what is multiplied by 0 must be a number already. The mean divides by the number of real tokens, and each logit is pulled by 2z times its probability.",
    takeaway="A mask that multiplies is safe for finite numbers only; in public code look whether padding is indexed away, zeroed after the fact, or silently counted in the mean.",
    answer="my_z_loss",
    parameters=("logits", "mask"),
    stands_for=("losses.z_loss",),
    when_raised="If it is about shapes: z has the shape (T,), the logits (T, N). `z[:, None]` makes it (T, 1). If it is about NaN or ∞: padded rows may hold anything, and the course's functions refuse that, as the lesson's formula on all rows would not work. Take the real rows out first: those where `mask` is True. If it divides by 0: is it the number of padded rows, `~mask`? A batch may have none.",
    cases=z_cases,
    reference=z_loss_and_gradient,
    quiet=True,
    read=lambda value, *_: unbracketed(value),
    parts={
        "loss": by_value(
            "the padding instead: These are the padded rows. The mask is True for the real ones.",
            THE_PADDING,
            "padding counted: This is the lesson's formula over all rows. Padded rows count nothing: a NaN among them makes the mean NaN, a number among them shifts it. Take the real rows out first.",
            (lambda h, mask: squares(h).mean(), lambda h, mask: squares(np.nan_to_num(h)).mean()),
            "finite rows: You take the rows whose logits are all finite. Padded rows may hold numbers, and a real token may have a logit of −∞: `mask` says which rows are real.",
            lambda h, mask: squares(h[np.isfinite(h).all(axis=1)]).mean(),
            "divided by T: You divided by T. The mean runs over the real tokens: divide by their number.",
            lambda h, mask: squares(h[mask]).sum() / len(h),
            "padding gets through, divided by T: Two things. Where padded rows hold NaN or ∞, your loss is NaN: some padded value is still computed with, and 0 · NaN is NaN. And where they hold numbers, you divided by T, not by the number of real tokens.",
            lambda h, mask: times_mask(squares(h), mask).mean(),
            "logits times 0: You multiplied the logits of padded rows by 0. Where they are NaN or ∞ that is NaN; elsewhere the row becomes (0, …, 0), whose log-sum-exp is ln N. Take the real rows out.",
            (
                lambda h, mask: squares(times_mask(h, mask)).mean(),
                lambda h, mask: squares(times_mask(h, mask)).sum() / mask.sum(),
            ),
            "padding set to −∞: Your loss is ∞ as soon as a row is padded. A row of −∞, or one whose exponentials are all 0, has the log-sum-exp −∞, and its square is ∞: it still counts. Take padded rows out.",
            lambda h, mask: z_loss_and_gradient(h, mask)[0] if mask.all() else np.inf,
            "padding set to 0: You set padded rows to 0. A row of zeros has the log-sum-exp ln N, not 0: it still counts. Take it out.",
            (
                lambda h, mask: squares(np.where(mask[:, None], h, 0)).mean(),
                lambda h, mask: squares(np.where(mask[:, None], h, 0)).sum() / mask.sum(),
            ),
        )
        + by_formula(
            of_real,
            "not squared: This is the mean of the log-sum-exp. It has no smallest value: a router could lower it for ever by shifting all logits down. The loss is the mean of its *square*.",
            lambda h: lse(h).mean(),
            "sum over the tokens: You added up over the tokens. The loss is the mean: it must not grow with the batch.",
            lambda h: (lse(h) ** 2).sum(),
            "one for each token: These are the squares, one for each token. The loss is one number: their mean.",
            lambda h: lse(h) ** 2,
            "squared logits: This is made of h², expert by expert. The z-loss squares one number for each token, its log-sum-exp; it does not pull every logit to 0.",
            (lambda h: (h**2).sum(axis=-1).mean(), lambda h: (h**2).mean()),
            "square of the mean: You averaged first and squared afterwards: a token with +3 and one with −3 would cost nothing. Square each token's number, then average.",
            lambda h: lse(h).mean() ** 2,
            "largest logit: You squared the largest logit of each token. The log-sum-exp lies above it, by up to ln N.",
            lambda h: (h.max(axis=-1) ** 2).mean(),
            "along the tokens: Your log-sum-exp runs over the tokens (axis 0). It runs over the experts of one token: the last axis.",
            lambda h: (lse(h, axis=0) ** 2).mean(),
            "over the whole batch: You took one log-sum-exp over the whole batch. Each token has its own.",
            lambda h: lse(h.ravel()) ** 2,
            "half: This is half the loss. There is no ½ in the definition: the mean of the squares.",
            lambda h: (lse(h) ** 2).mean() / 2,
            "mean over the experts: You divided by the number of experts too. There is one log-sum-exp for each token, so the mean divides by the number of real tokens.",
            lambda h: (lse(h) ** 2).mean() / h.shape[-1],
            "divided by the logits: You divided by the number of finite logits. There is one square for each token: divide by the number of real tokens.",
            lambda h: (lse(h) ** 2).sum() / np.isfinite(h).sum(),
            "log of the mean: This is the log of the *mean* of the exponentials, ln N too low. The z-loss takes the log of their sum.",
            lambda h: ((lse(h) - np.log(h.shape[-1])) ** 2).mean(),
            "of the probabilities: You took the softmax first. The log-sum-exp of the probabilities forgets the very shift that the z-loss is about. Use the logits.",
            lambda h: (lse(routing.softmax(h)) ** 2).mean(),
            "sum, not squared: This is the sum of the log-sum-exps. The loss is the mean of their *squares*.",
            lambda h: lse(h).sum(),
            "square of the sum: You added up first and squared afterwards. Square each token's number, then take the mean.",
            lambda h: lse(h).sum() ** 2,
            "root: You took the root of the mean of the squares. The loss is the mean itself.",
            lambda h: np.sqrt((lse(h) ** 2).mean()),
            "variance: You subtracted the mean of the log-sum-exp before squaring. The z-loss pulls each token's own to 0, not what is between them.",
            lambda h: lse(h).var(),
            "divided by N: You divided by the number of experts in the place of the number of real tokens.",
            lambda h: (lse(h) ** 2).sum() / h.shape[-1],
            "largest square: This is the square of one token's. The loss is the mean of all real tokens' squares.",
            lambda h: (lse(h) ** 2).max(),
            "root of the sum: This is the root of the sum of the squares. The loss is the mean of the squares.",
            lambda h: np.sqrt((lse(h) ** 2).sum()),
            "base 10: Your logarithm has base 10. The z-loss uses the natural one.",
            lambda h: ((lse(h) / np.log(10)) ** 2).mean(),
            "base 2: Your logarithm has base 2. The z-loss uses the natural one.",
            (
                lambda h: ((lse(h) / np.log(2)) ** 2).mean(),
                lambda h: ((h.max(axis=-1) + (lse(h) - h.max(axis=-1)) / np.log(2)) ** 2).mean(),
            ),
            "coefficient included: This is 0.001 times the z-loss. The coefficient comes in when the losses are added up, not here.",
            lambda h: 1e-3 * (lse(h) ** 2).mean(),
            "sum over the batch: The maximum is each row's own, but the sum of the exponentials runs over the whole batch. Each token has its own sum: the last axis.",
            lambda h: ((h.max(axis=-1) + np.log(np.exp(h - h.max(axis=-1, keepdims=True)).sum())) ** 2).mean(),
            "−∞ as 0: You put 0 in the place of −∞. A masked expert then adds e⁰ = 1 to the sum. exp(−∞) is 0: leave it.",
            lambda h: (lse(np.where(np.isneginf(h), 0, h)) ** 2).mean(),
            "maximum not added back: You subtracted each row's largest logit before the exponential, and did not add it afterwards. log Σ exp(h) = max + log Σ exp(h − max).",
            lambda h: ((lse(h) - h.max(axis=-1)) ** 2).mean(),
            "overflow: Right for ordinary logits, not for a token with logits around 10000 and one around −10000. An exponential of 10000 is ∞. A row whose exponentials are all 0 has the log −∞: that happens around −10000, and also when one number is subtracted from the whole batch. Subtract *each row's own* largest logit first and add it afterwards, or use `log_sum_exp`.",
            lambda h: (naive_lse(h) ** 2).mean(),
        )
        + by_test(
            "−∞ as a number: You put about −10000 in the place of −∞. Beside other logits around −10000 that counts. exp(−∞) is 0: leave it.",
            lambda value, h, mask: agree(value, (lse(with_a_number(h[mask])) ** 2).mean()),
            "no number at −∞: Right but for the tokens with a masked expert: their log-sum-exp is no number in your answer. ∞ − ∞ and 0 · ∞ are none: did you subtract the mean or the smallest logit, or multiply by a logit of −∞? Subtract each row's largest.",
            is_nan_of_masked,
            "padding gets through: Right where padded rows hold numbers. Where they hold NaN or ∞, the loss is no number: some padded value is still computed with. If you multiply padded rows by 0: 0 · NaN is NaN, and so is 0 · ∞. Take the real rows out before anything else.",
            is_nan_of_padding,
        ),
        "gradient": by_formula(
            with_z,
            "factor 2: Half of what it should be: the derivative of z² is 2z.",
            lambda z, p, n, T: z * p / n,
            "of the log-sum-exp: This is the gradient of the mean of z, not of z². The factor 2z is missing.",
            lambda z, p, n, T: p / n,
            "log-sum-exp left out: The factor z is missing: the derivative of z² is 2z times that of z. It sets how strong the pull is, and its sign.",
            lambda z, p, n, T: 2 * p / n,
            "gradient divided by T: You divided by T. The loss is a mean over the real tokens, so the gradient is divided by their number.",
            lambda z, p, n, T: 2 * z * p / T,
            "not divided: The loss is a mean over the real tokens, so each one's gradient is divided by their number.",
            lambda z, p, n, T: 2 * z * p,
            "mean over the experts, gradient: You divided by the number of experts too. The loss is a mean over the tokens alone.",
            lambda z, p, n, T: 2 * z * p / n / p.shape[-1],
            "of the largest: You let only the largest logit move the log-sum-exp. Every logit does, in proportion to its probability.",
            lambda z, p, n, T: 2 * z * np.eye(p.shape[-1])[p.argmax(axis=-1)] / n,
            "the same for all experts: Every expert of a token gets the same here. The derivative of the log-sum-exp with respect to hⱼ is the probability pⱼ.",
            lambda z, p, n, T: 2 * z * np.ones_like(p) / n,
            "derivative of p: You went on to differentiate the softmax, p(1 − p). The softmax *is* the derivative of the log-sum-exp: 2z p / n.",
            lambda z, p, n, T: 2 * z * p * (1 - p) / n,
            "mean log-sum-exp: You used the mean of z over the batch for every token. Each token is pulled by its own z.",
            lambda z, p, n, T: 2 * z.mean() * p / n,
            "sign turned: Every sign is turned round. This is the direction of a descent step; the gradient is its opposite.",
            lambda z, p, n, T: -2 * z * p / n,
            "z squared: In front stands z². The derivative of z² is 2z.",
            (lambda z, p, n, T: 2 * z**2 * p / n, lambda z, p, n, T: z**2 * p / n),
            "loss in front: The loss stands where each token's own z is due: 2z p / n.",
            (lambda z, p, n, T: 2 * (z**2).mean() * p / n, lambda z, p, n, T: (z**2).mean() * p / n),
            "sign of z lost: The sign of z is lost: where z is below 0, the pull is upwards.",
            lambda z, p, n, T: 2 * np.abs(z) * p / n,
            "p less the mean: You subtracted 1/N from p. That is the gradient of another loss; of the log-sum-exp it is p itself.",
            lambda z, p, n, T: 2 * z * (p - 1 / p.shape[-1]) / n,
            "p squared: You have p². The derivative of the log-sum-exp with respect to hⱼ is the probability pⱼ itself.",
            lambda z, p, n, T: 2 * z * p**2 / n,
            "p (p − mean): You put 2z / n through the Jacobian of the softmax. The softmax *is* the derivative of the log-sum-exp.",
            lambda z, p, n, T: 2 * z * p * (1 - (p**2).sum(axis=-1, keepdims=True)) / n,
            "1 − p: In place of p stands 1 − p or its negative. The derivative of the log-sum-exp with respect to hⱼ is the probability pⱼ.",
            (lambda z, p, n, T: 2 * z * (1 - p) / n, lambda z, p, n, T: 2 * z * (p - 1) / n),
            "as the cross-entropy: You subtracted 1 from the largest p. So it goes with a cross-entropy; of the log-sum-exp the derivative is p itself.",
            lambda z, p, n, T: 2 * z * (p - np.eye(p.shape[-1])[p.argmax(axis=-1)]) / n,
            "neither 2 nor n: The derivative of z² is 2z, and the loss is a mean over the real tokens.",
            lambda z, p, n, T: z * p,
            "divided by N, gradient: You divided by the number of experts in the place of the number of real tokens.",
            lambda z, p, n, T: 2 * z * p / p.shape[-1],
            "maximum not added back, gradient: In front stands the log-sum-exp without the largest logit, which you subtracted and did not add again.",
            lambda z, p, n, T: -2 * np.log(p.max(axis=-1, keepdims=True)) * p / n,
            "twice divided: You divided by the number of real tokens twice.",
            lambda z, p, n, T: 2 * z * p / n**2,
            "a quarter: You have z p / 2n. The derivative of z² is 2z.",
            lambda z, p, n, T: z * p / n / 2,
        )
        + by_formula(
            of_real,
            "only the real rows: Right for the real tokens, but their rows stand alone. Return a row for each token, padded ones too, in the shape of the logits: (T, N).",
            z_slope,
            "added up over the tokens: You added up over the tokens. Return one row for each token: (T, N).",
            lambda h: z_slope(h).sum(axis=0),
        )
        + by_value(
            "one for each token, gradient: One number for each token. Every logit of a token has its own, 2z pⱼ / n, in the shape (T, N).",
            (
                lambda h, mask: 2 * lse(h[mask]) / mask.sum(),
                lambda h, mask: on_all_rows(2 * lse(h[mask])[:, None] / mask.sum(), mask)[:, 0],
            ),
            "softmax over the batch: The softmax in your gradient runs over the whole batch. Each token has its own: the last axis.",
            with_softmax(over_the_batch),
            "along the tokens, gradient: The softmax in your gradient runs over the tokens (axis 0). It runs over the experts of one token: the last axis.",
            with_softmax(along_the_tokens),
            "−∞ as a number, gradient: You put about −10000 in the place of −∞. Beside other logits around −10000 that counts. exp(−∞) is 0: leave it.",
            lambda h, mask: on_all_rows(z_slope(with_a_number(h[mask])), mask),
            "overflow in the softmax: The loss is right. In the gradient your softmax overflows: ∞/∞ around 10000, 0/0 around −10000. Use `softmax`, or subtract each row's largest logit before the exponential.",
            with_softmax(naive_softmax),
        )
        + by_test(
            "0 throughout: Your gradient is 0 in every row. Was it written into a copy? `g[mask] = ...` writes into g itself, `g[mask][...] = ...` does not.",
            lambda value, h, mask: is_0(value, h, mask | ~mask),
            "0 in the real rows: Your gradient is 0 in the real rows. The mask is True for these.",
            lambda value, h, mask: is_0(value, h, mask),
        )
        + by_trace(
            "padding not 0: The loss and the real rows of the gradient are right, but padded rows do not get 0. A row that was computed and then multiplied by 0, or that `where` did not choose, may still be NaN in the gradient. Begin with zeros, and write the real rows into them.",
            is_not_0_in_padding,
        ),
    },
    mistakes=by_test(
        "turned round: Both are right, but in the wrong order: return the loss first, then the gradient.",
        is_turned,
        "32 bits: Right but for rounding: float32 stores numbers around 10000 in steps of 0.001, so the gaps between such logits are off. The logits come in float64; keep it.",
        is_rounded,
    ),
)
