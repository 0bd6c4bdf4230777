"""Answers to 7.5: plausible wrong ones by the mistake that must be named, others that match none, and right ones."""

import numpy as np
import torch


def softmax(h):
    e = np.exp(h - h.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def lse(h, axis=-1):
    top = h.max(axis=axis, keepdims=True)
    return np.log(np.exp(h - top).sum(axis)) + top.squeeze(axis)


@np.errstate(all="ignore")
def lse_less(h, subtracted):
    """With something else than the largest subtracted."""
    return np.log(np.exp(h - subtracted).sum(1)) + subtracted[:, 0]


def masked_by_ten_thousand(logits, mask):
    loss, _ = z_by_logaddexp(logits, mask)
    return loss, z_by_logaddexp(np.where(np.isneginf(logits) & mask[:, None], -1e4, logits), mask)[1]


def along_the_tokens(logits, mask):
    real = logits[mask]
    e = np.exp(real - real.max(0))
    return z_of(real)[0], placed(2 * lse(real)[:, None] * e / e.sum(0) / len(real), mask)


def z_by_nan(logits, mask):
    """Padding is made NaN, which the mean leaves out, and the gradient turns into 0."""
    h = np.where(mask[:, None], logits, np.nan)
    z = np.logaddexp.reduce(h, axis=1)
    return [np.nanmean(z**2)], np.nan_to_num(2 * z[:, None] * np.exp(h - z[:, None]) / mask.sum())


def z_in_torch(logits, mask):
    h = torch.tensor(logits, requires_grad=True)
    loss = torch.logsumexp(h[torch.tensor(mask)], -1).square().mean()
    loss.backward()
    return loss, h.grad


def z_by_loop(logits, mask):
    T, N = logits.shape
    loss, gradient, n = 0.0, np.zeros((T, N)), sum(mask)
    for t in range(T):
        if not mask[t]:
            continue
        top = max(logits[t])
        e = [np.exp(value - top) for value in logits[t]]
        z = top + np.log(sum(e))
        loss += z * z / n
        gradient[t] = [2 * z * value / sum(e) / n for value in e]
    return {"loss": loss, "gradient": gradient}


def z_of(rows):
    """Loss and gradient of rows that are all real."""
    z = np.logaddexp.reduce(rows, axis=1)
    return np.mean(z**2), np.einsum("t,tn->tn", 2 * z / len(z), np.exp(rows - z[:, None]))


def z_by_logaddexp(logits, mask):
    loss, rows = z_of(logits[mask])
    gradient = np.zeros_like(logits)
    gradient[mask] = rows
    return loss, gradient


def z_by_where(logits, mask):
    """Padded rows become zeros before anything is computed, and leave the mean and the gradient afterwards."""
    safe = np.where(mask[:, None], logits, 0)
    top = safe.max(1, keepdims=True)
    e = np.exp(safe - top)
    z = np.where(mask, (np.log(e.sum(1, keepdims=True)) + top)[:, 0], 0)
    return (z**2).sum() / mask.sum(), 2 * z[:, None] * (e / e.sum(1, keepdims=True)) / mask.sum()


def z_by_index(logits, mask):
    real = np.flatnonzero(mask)
    loss, rows = z_of(logits[real])
    return [loss, [rows[list(real).index(t)] if t in real else np.zeros(logits.shape[1]) for t in range(len(mask))]]


def with_loss(formula):
    """What `formula` makes of the real rows as a loss, beside the right gradient."""
    return lambda logits, mask: (formula(logits[mask]), z_by_logaddexp(logits, mask)[1])


def with_all(formula):
    """What `formula` makes of all rows and the mask as a loss, beside the right gradient."""
    return lambda logits, mask: (formula(logits, mask), z_by_logaddexp(logits, mask)[1])


def placed(rows, mask):
    gradient = np.zeros((len(mask), rows.shape[1]))
    gradient[mask] = rows
    return gradient


def with_gradient(formula):
    """The right loss, beside a gradient made of z (n, 1), p (n, N), n and T."""

    def answer(logits, mask):
        real = logits[mask]
        return z_of(real)[0], placed(formula(lse(real)[:, None], softmax(real), mask.sum(), len(mask)), mask)

    return answer


def with_rows(formula):
    """The right loss, beside what `formula` makes of the right gradient and the mask."""
    return lambda logits, mask: ((right := z_by_logaddexp(logits, mask))[0], formula(right[1], mask))


def naive_gradient(logits, mask):
    e = np.exp(logits[mask])
    rows = 2 * lse(logits[mask])[:, None] * e / e.sum(1, keepdims=True) / mask.sum()
    return z_of(logits[mask])[0], placed(rows, mask)


def naive_in_torch(logits, mask):
    h = torch.tensor(logits, requires_grad=True)
    loss = torch.log(torch.exp(h[torch.tensor(mask)]).sum(-1)).square().mean()
    loss.backward()
    return loss, h.grad


def z_in_32_bits(logits, mask):
    h = torch.tensor(logits, dtype=torch.float32, requires_grad=True)
    loss = torch.logsumexp(h[torch.tensor(mask)], -1).square().mean()
    return loss, torch.autograd.grad(loss, h)[0]


def z_where_in_torch(logits, mask):
    """The loss is right; the gradient of what `where` did not choose is 0 · NaN."""
    h, real = torch.tensor(logits, requires_grad=True), torch.tensor(mask)
    loss = torch.where(real, torch.logsumexp(h, -1), 0.0).square().sum() / real.sum()
    loss.backward()
    return loss, h.grad


def deeper_cell(logits, mask):
    """The lesson's formula on all rows."""
    h = torch.tensor(logits)
    z = torch.logsumexp(h, -1)
    return z.square().mean(), 2 / len(h) * z[:, None] * torch.softmax(h, -1)


def times_mask(logits, mask):
    """All rows are computed, and the padded ones multiplied by 0."""
    h = torch.tensor(logits)
    z, n = torch.logsumexp(h, -1) * torch.tensor(mask), mask.sum()
    return z.square().sum() / n, 2 / n * z[:, None] * torch.softmax(h, -1)


def by_finite_rows(logits, mask):
    return z_by_logaddexp(logits, np.isfinite(logits).all(axis=1))


def over_finite_logits(logits, mask):
    loss, gradient = z_by_logaddexp(logits, mask)
    share = mask.sum() / np.isfinite(logits[mask]).sum()
    return loss * share, gradient * share


def in_tensors_of(number):
    """Padded rows hold a number, and autograd does the rest."""

    def z_loss(logits, mask):
        h = torch.tensor(np.where(mask[:, None], logits, number), requires_grad=True)
        loss = torch.logsumexp(h, 1).square().sum() / mask.sum()
        loss.backward()
        return loss.item(), h.grad

    return z_loss


WRONG = {
    "7.5": {
        "finite rows": by_finite_rows,
        "divided by the logits": over_finite_logits,
        "padding counted": deeper_cell,
        "padding counted (2)": with_all(lambda h, m: (lse(np.nan_to_num(h)) ** 2).mean()),
        "divided by T": with_all(lambda h, m: (lse(h[m]) ** 2).sum() / len(m)),
        "padding gets through": times_mask,
        "padding gets through, divided by T": with_all(lambda h, m: (lse(h) ** 2 * m).mean()),
        "the padding instead (2)": with_all(lambda h, m: np.mean(lse(h[~m]) ** 2) if (~m).any() else 0.0),
        "the padding instead (3)": lambda logits, mask: (
            z_by_logaddexp(np.where(np.isfinite(logits), logits, 0), ~mask)
            if (~mask).any()
            else (0.0, np.zeros(logits.shape))
        ),
        "the padding instead": with_all(lambda h, m: np.mean(lse(h[~m]) ** 2) if (~m).any() else np.nan),
        "logits times 0": with_all(lambda h, m: (lse(h * m[:, None]) ** 2).mean()),
        "logits times 0 (2)": with_all(lambda h, m: (lse(h * m[:, None]) ** 2).sum() / m.sum()),
        "base 2 (2)": with_loss(
            lambda h: ((h.max(1) + np.log2(np.exp(h - h.max(1, keepdims=True)).sum(1))) ** 2).mean()
        ),
        "padding set to −∞": in_tensors_of(-np.inf),
        "padding set to 0": with_all(lambda h, m: (lse(np.where(m[:, None], h, 0)) ** 2).mean()),
        "padding set to 0 (2)": with_all(lambda h, m: (lse(np.where(m[:, None], h, 0)) ** 2).sum() / m.sum()),
        "padding gets through (2)": with_all(lambda h, m: (lse(h)[m] ** 2 + 0 * h[~m].sum()).mean()),
        "not squared": with_loss(lambda h: lse(h).mean()),
        "sum over the tokens": with_loss(lambda h: (lse(h) ** 2).sum()),
        "one for each token": with_loss(lambda h: lse(h) ** 2),
        "squared logits": with_loss(lambda h: (h**2).sum(1).mean()),
        "squared logits (2)": with_loss(lambda h: (h * h).mean()),
        "square of the mean": with_loss(lambda h: np.mean(lse(h)) ** 2),
        "largest logit": with_loss(lambda h: (h.max(1) ** 2).mean()),
        "along the tokens": with_loss(lambda h: (lse(h, axis=0) ** 2).mean()),
        "over the whole batch": with_loss(lambda h: torch.logsumexp(torch.tensor(h).flatten(), 0) ** 2),
        "half": with_loss(lambda h: 0.5 * (lse(h) ** 2).mean()),
        "mean over the experts": with_loss(lambda h: (lse(h) ** 2).sum() / h.size),
        "log of the mean": with_loss(
            lambda h: ((np.log(np.exp(h - h.max(1)[:, None]).mean(1)) + h.max(1)) ** 2).mean()
        ),
        "of the probabilities": with_loss(lambda h: (lse(softmax(h)) ** 2).mean()),
        "sum, not squared": with_loss(lambda h: sum(lse(h))),
        "square of the sum": with_loss(lambda h: sum(lse(h)) ** 2),
        "root": with_loss(lambda h: (lse(h) ** 2).mean() ** 0.5),
        "variance": with_loss(lambda h: np.var(lse(h))),
        "divided by N": with_loss(lambda h: (lse(h) ** 2).sum() / h.shape[1]),
        "largest square": with_loss(lambda h: max(lse(h) ** 2)),
        "root of the sum": with_loss(lambda h: np.linalg.norm(lse(h))),
        "base 10": with_loss(lambda h: (np.log10(np.e) * lse(h) @ lse(h) * np.log10(np.e)) / len(h)),
        "base 2": with_loss(lambda h: ((lse(h) * np.log2(np.e)) ** 2).mean()),
        "coefficient included": with_loss(lambda h: (lse(h) ** 2).mean() / 1000),
        "sum over the batch": with_loss(
            lambda h: ((h.max(1) + np.log(np.exp(h - h.max(1, keepdims=True)).sum())) ** 2).mean()
        ),
        "−∞ as 0": with_loss(lambda h: (lse(np.where(np.isinf(h), 0, h)) ** 2).mean()),
        "−∞ as a number, gradient": masked_by_ten_thousand,
        "no number at −∞": with_loss(lambda h: (lse_less(h, h.mean(1, keepdims=True)) ** 2).mean()),
        "no number at −∞ (2)": with_loss(lambda h: (lse_less(h, h.min(1, keepdims=True)) ** 2).mean()),
        "maximum not added back": with_loss(lambda h: (np.log(np.exp(h - h.max(1, keepdims=True)).sum(1)) ** 2).mean()),
        "overflow": naive_in_torch,
        "factor 2": with_gradient(lambda z, p, n, T: z * p / n),
        "of the log-sum-exp": with_gradient(lambda z, p, n, T: p / n),
        "log-sum-exp left out": with_gradient(lambda z, p, n, T: 2 / n * p),
        "gradient divided by T": with_gradient(lambda z, p, n, T: 2 / T * z * p),
        "not divided": with_gradient(lambda z, p, n, T: 2 * z * p),
        "mean over the experts, gradient": with_gradient(lambda z, p, n, T: 2 * z * p / n / p.shape[1]),
        "of the largest": with_gradient(lambda z, p, n, T: 2 * z * (p == p.max(1, keepdims=True)) / n),
        "the same for all experts": with_gradient(lambda z, p, n, T: np.repeat(2 * z / n, p.shape[1], axis=1)),
        "derivative of p": with_gradient(lambda z, p, n, T: 2 * z / n * (p - p**2)),
        "mean log-sum-exp": with_gradient(lambda z, p, n, T: 2 * np.mean(z) * p / n),
        "sign turned": with_gradient(lambda z, p, n, T: -2 / n * z * p),
        "1 − p": with_gradient(lambda z, p, n, T: 2 / n * z * (1 - p)),
        "1 − p (2)": with_gradient(lambda z, p, n, T: 2 / n * z * (p - 1)),
        "as the cross-entropy": with_gradient(lambda z, p, n, T: 2 / n * z * (p - (p == p.max(1, keepdims=True)))),
        "neither 2 nor n": with_gradient(lambda z, p, n, T: p * z),
        "divided by N, gradient": with_gradient(lambda z, p, n, T: 2 / p.shape[1] * z * p),
        "maximum not added back, gradient": lambda logits, mask: (
            z_of(real := logits[mask])[0],
            placed(2 / len(real) * (lse(real) - real.max(1))[:, None] * softmax(real), mask),
        ),
        "z squared": with_gradient(lambda z, p, n, T: 2 / n * z * z * p),
        "z squared (2)": with_gradient(lambda z, p, n, T: z * z * p / n),
        "loss in front": with_gradient(lambda z, p, n, T: 2 * np.mean(z**2) * p / n),
        "sign of z lost": with_gradient(lambda z, p, n, T: 2 / n * abs(z) * p),
        "p less the mean": with_gradient(lambda z, p, n, T: 2 / n * z * (p - p.mean(1, keepdims=True))),
        "p squared": with_gradient(lambda z, p, n, T: 2 / n * z * p * p),
        "p (p − mean)": with_gradient(lambda z, p, n, T: 2 / n * z * p * (1 - (p * p).sum(1, keepdims=True))),
        "twice divided": with_gradient(lambda z, p, n, T: 2 / n / n * z * p),
        "a quarter": with_gradient(lambda z, p, n, T: z / n * p / 2),
        "softmax over the batch": lambda logits, mask: (
            z_of(real := logits[mask])[0],
            placed(2 * lse(real)[:, None] * softmax(real.ravel()).reshape(real.shape) / len(real), mask),
        ),
        "0 throughout": with_rows(lambda g, m: 0 * g),
        "0 in the real rows": with_rows(lambda g, m: np.where(m[:, None], 0 * g, 1.0)),
        "only the real rows": with_rows(lambda g, m: g[m]),
        "added up over the tokens": with_rows(lambda g, m: g.sum(0)),
        "one for each token, gradient": with_rows(lambda g, m: g[m].sum(1)),
        "one for each token, gradient (2)": with_rows(lambda g, m: g.sum(1)),
        "along the tokens, gradient": along_the_tokens,
        "overflow in the softmax": naive_gradient,
        "padding not 0": z_where_in_torch,
        "padding not 0 (2)": with_rows(lambda g, m: np.where(m[:, None], g, np.nan)),
        "padding not 0 (3)": with_rows(lambda g, m: np.where(m[:, None], g, 0.1)),
        "32 bits": z_in_32_bits,
        "turned round": lambda logits, mask: z_by_logaddexp(logits, mask)[::-1],
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "7.5": [
        lambda logits, mask: None,
        lambda logits, mask: z_by_logaddexp(logits, mask)[0],
        lambda logits, mask: (0.0, np.zeros_like(logits)),
        lambda logits, mask: (np.nan, np.full(logits.shape, np.nan)),
        with_loss(lambda h: np.abs(lse(h)).mean()),
        with_gradient(lambda z, p, n, T: 2 * z * p / n + 1),
        lambda logits, mask: (2 * z_by_logaddexp(logits, mask)[1], z_by_logaddexp(logits, mask)[0]),
    ],
}

RIGHT = {
    "7.5": [z_in_torch, z_by_loop, z_by_logaddexp, z_by_where, z_by_index, z_by_nan],
}
