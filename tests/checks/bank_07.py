"""Answers to set 07: plausible wrong ones by the mistake that must be named, others that match none, and right ones."""

import numpy as np
import torch

GENERATOR = np.random.default_rng(0)


def softmax(h):
    e = np.exp(h - h.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def order(h, k):
    return np.argsort(-h, kind="stable")[:k]


def mask(h, k):
    return np.isin(np.arange(len(h)), order(h, k))


def quotient(function, h, step=1e-5):
    """Central differences of a function of h (N,): the last axis is the logit that moves."""
    return np.stack([(function(h + step * e) - function(h - step * e)) / (2 * step) for e in np.eye(len(h))], -1)


# --- 7.1 ----------------------------------------------------------------------------------------------------------


def jacobian_by_loop(logits):
    p = softmax(logits)
    N = len(p)
    return [[p[i] * ((i == j) - p[j]) for j in range(N)] for i in range(N)]


def jacobian_by_autograd(logits):
    return torch.autograd.functional.jacobian(lambda h: torch.softmax(h, -1), torch.tensor(logits))


def jacobian_by_rows(logits):
    h = torch.tensor(logits, dtype=torch.float32, requires_grad=True)
    p = torch.softmax(h, -1)
    return torch.stack([torch.autograd.grad(entry, h, retain_graph=True)[0] for entry in p])


def gradient_of_the_sum(logits):
    h = torch.tensor(logits, requires_grad=True)
    torch.softmax(h, -1).sum().backward()
    return h.grad


def of_p(formula):
    return lambda logits: formula(softmax(logits))


# --- 7.2 and 7.3 --------------------------------------------------------------------------------------------------


def gate(h, k, form, selected=None):
    selected = mask(h, k) if selected is None else selected
    e = np.exp(h)
    return e * selected / (e[selected].sum() if form == "A" else e.sum())


def by_autograd(form, dtype=torch.float64, stable=True):
    def answer(logits, a, k):
        h = torch.tensor(logits, dtype=dtype, requires_grad=True)
        chosen = h.sort(descending=True, stable=stable).indices[:k]
        weights = torch.softmax(h[chosen], -1) if form == "A" else torch.softmax(h, -1)[chosen]
        (weights * torch.tensor(a, dtype=dtype)[chosen]).sum().backward()
        return h.grad

    return answer


def renormalised_by_autograd(logits, a, k):
    h = torch.tensor(logits, requires_grad=True)
    p = torch.softmax(h, -1) * torch.tensor(mask(logits, k))
    ((p / p.sum()) @ torch.tensor(a)).backward()
    return h.grad


def by_differences(form):
    def answer(logits, a, k):
        chosen = mask(logits, k)
        return quotient(lambda h: gate(h, k, form, chosen) @ a, logits)

    return answer


def by_differences_selecting_anew(form, step=1e-5):
    return lambda logits, a, k: quotient(lambda h: gate(h, k, form) @ a, logits, step)


def by_jacobian(form):
    def answer(logits, a, k):
        chosen = mask(logits, k)
        if form == "A":
            w = gate(logits, k, "A")
            return a @ (np.diag(w) - np.outer(w, w))
        p = softmax(logits)
        return np.einsum("i,ij->j", a * chosen, np.diag(p) - np.outer(p, p))

    return answer


def by_loop(form):
    def answer(logits, a, k):
        w, chosen = gate(logits, k, form), set(order(logits, k).tolist())
        p = softmax(logits)
        mean = sum(w[i] * a[i] for i in chosen)
        result = []
        for j in range(len(logits)):
            share = w[j] if form == "A" else p[j]
            result.append(float(share * ((a[j] if j in chosen else 0) - mean)))
        return result

    return answer


def with_selection(form, select):
    def answer(logits, a, k):
        chosen = select(logits, a, k)
        e = np.exp(logits)
        front = e * chosen / e[chosen].sum() if form == "A" else e / e.sum()
        return front * (chosen * a - front @ (chosen * a))

    return answer


def middle_of_the_tied(logits, a, k):
    """As an unstable sort might: of equal logits neither the first nor the last."""
    chosen = mask(logits, k)
    tied = np.flatnonzero(logits == logits[order(logits, k)[-1]])
    if len(tied) > 1:
        chosen = logits > logits[tied[0]]
        chosen[tied[1]] = True
    return chosen


def parts(formula):
    """A wrong formula of p, w (form A), a and s (1 for the selected)."""
    return lambda logits, a, k: formula(softmax(logits), gate(logits, k, "A"), a, mask(logits, k) * 1.0)


def masked_with_zero(logits, a, k, throughout=False):
    chosen = mask(logits, k)
    w = softmax(logits * chosen)
    g = w * (a - w @ a)
    return g if throughout else g * chosen


def batched(answer):
    """An answer about one token (h (N,), a (N,), k), called for each token of a batch."""
    return lambda logits, a, k: np.stack([np.asarray(answer(*rows, k)) for rows in zip(logits, a, strict=True)])


def each_batched(answers):
    if isinstance(answers, dict):
        return {name: batched(answer) for name, answer in answers.items()}
    return [batched(answer) for answer in answers]


def a_batch_at_once(logits, a, k):
    chosen = np.argsort(-logits, axis=-1, kind="stable")[:, :k]
    w = softmax(np.take_along_axis(logits, chosen, -1))
    own = np.take_along_axis(a, chosen, -1)
    gradient = np.zeros_like(logits)
    np.put_along_axis(gradient, chosen, w * (own - (w * own).sum(-1, keepdims=True)), -1)
    return gradient


def b_batch_at_once(logits, a, k):
    chosen = np.argsort(-logits, axis=-1, kind="stable")[:, :k]
    p, kept = softmax(logits), np.zeros_like(a)
    np.put_along_axis(kept, chosen, np.take_along_axis(a, chosen, -1), -1)
    return p * (kept - np.einsum("tn,tn->t", p, kept)[:, None])


def sum_over_the_batch(form):
    def answer(logits, a, k):
        chosen = np.stack([mask(h, k) for h in logits])
        w = np.stack([gate(h, k, form) for h in logits])
        return (w if form == "A" else softmax(logits)) * (chosen * a - np.sum(w * a))

    return answer


def a_batch_by_autograd(logits, a, k):
    h = torch.tensor(logits, requires_grad=True)
    chosen = h.sort(dim=-1, descending=True, stable=True).indices[:, :k]
    w = torch.softmax(h.gather(-1, chosen), -1)
    (w * torch.tensor(a).gather(-1, chosen)).sum().backward()
    return h.grad


# --- 7.5 ----------------------------------------------------------------------------------------------------------


def lse(h, axis=-1):
    top = h.max(axis=axis, keepdims=True)
    return np.log(np.exp(h - top).sum(axis)) + top.squeeze(axis)


def z_in_torch(logits):
    h = torch.tensor(logits, requires_grad=True)
    loss = torch.logsumexp(h, -1).square().mean()
    loss.backward()
    return loss, h.grad


def z_by_loop(logits):
    T, N = logits.shape
    loss, gradient = 0.0, np.zeros((T, N))
    for t in range(T):
        top = max(logits[t])
        e = [np.exp(value - top) for value in logits[t]]
        z = top + np.log(sum(e))
        loss += z * z / T
        gradient[t] = [2 * z * value / sum(e) / T for value in e]
    return {"loss": loss, "gradient": gradient}


def z_by_logaddexp(logits):
    z = np.logaddexp.reduce(logits, axis=1)
    return np.mean(z**2), np.einsum("t,tn->tn", 2 * z / len(z), np.exp(logits - z[:, None]))


def with_loss(formula):
    """The given loss, beside the right gradient."""
    return lambda logits: (formula(logits), z_by_logaddexp(logits)[1])


def with_gradient(formula):
    """The right loss, beside a gradient made of z (T, 1), p (T, N) and T."""
    return lambda logits: (z_by_logaddexp(logits)[0], formula(lse(logits)[:, None], softmax(logits), len(logits)))


def naive_gradient(logits):
    e = np.exp(logits)
    return z_by_logaddexp(logits)[0], 2 * lse(logits)[:, None] * e / e.sum(1, keepdims=True) / len(logits)


def z_in_32_bits(logits):
    h = torch.tensor(logits, dtype=torch.float32, requires_grad=True)
    loss = torch.logsumexp(h, -1).square().mean()
    return loss, torch.autograd.grad(loss, h)[0]


def naive_in_torch(logits):
    h = torch.tensor(logits, requires_grad=True)
    loss = torch.log(torch.exp(h).sum(-1)).square().mean()
    loss.backward()
    return loss, h.grad


# --- 7.6 ----------------------------------------------------------------------------------------------------------


def dense_weights(logits):
    return torch.softmax(logits, -1)


def sparse_weights(logits, k):
    values, chosen = logits.topk(k)
    return torch.zeros_like(logits).scatter(-1, chosen, torch.softmax(values, -1))


def kept_probabilities(logits, k):
    p = torch.softmax(logits, -1)
    return p * (p >= p.topk(k).values[-1])


def in_the_weights(logits, outputs, k):
    p, w = dense_weights(logits), sparse_weights(logits, k)
    return (w.detach() + p - p.detach()) @ outputs


def in_the_output(logits, outputs, k):
    sparse = sparse_weights(logits.detach(), k) @ outputs
    dense = dense_weights(logits) @ outputs.detach()
    return sparse + dense - dense.detach()


def by_a_loop(logits, outputs, k):
    p, w, y = dense_weights(logits), sparse_weights(logits, k), 0
    for i in range(len(logits)):
        y = y + w[i].detach() * outputs[i] + (p[i] - p[i].detach()) * outputs[i].detach()
    return y


class Own(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, outputs, k):
        w = sparse_weights(logits, k)
        ctx.save_for_backward(dense_weights(logits), w, outputs)
        return w @ outputs

    @staticmethod
    def backward(ctx, v):
        p, w, outputs = ctx.saved_tensors
        a = outputs @ v
        return p * (a - p @ a), w[:, None] * v, None


def in_double(logits, outputs, k):
    return in_the_weights(logits.double(), outputs.double(), k)


def by_surrogate(logits, outputs, k):
    """The dense gradient by a hand-made term that is 0 forwards."""
    p = dense_weights(logits)
    mixed = torch.einsum("n,nd->d", p - p.detach(), outputs.detach())
    return torch.einsum("n,nd->d", sparse_weights(logits, k).detach(), outputs) + mixed


def less_attached_sparse(logits, outputs, k):
    """Forward right; what is subtracted still carries form A's gradient."""
    p, w = dense_weights(logits), sparse_weights(logits, k)
    return (p - w + 2 * w.detach() - p.detach()) @ outputs


def dense_on_the_selected(logits, outputs, k):
    w = sparse_weights(logits.detach(), k)
    p, mine = dense_weights(logits), (w > 0).float()
    a_part = outputs.detach()
    kept = logits * mine + logits.detach() * (1 - mine)
    q = torch.softmax(kept, -1)
    return w @ outputs + (q - q.detach()) @ a_part + 0 * p.sum()


WRONG = {
    "7.1": {
        "diagonal only": of_p(lambda p: np.diag(p) * (1 - p)),
        "diagonal as a vector": of_p(lambda p: p - p**2),
        "added": of_p(lambda p: np.diag(p) + p[:, None] * p),
        "positive off the diagonal": of_p(lambda p: np.where(np.eye(len(p)) > 0, p * (1 - p), p[:, None] * p)),
        "no diagonal term": of_p(lambda p: -np.outer(p, p)),
        "outer product alone": of_p(lambda p: np.einsum("i,j->ij", p, p)),
        "sign turned": of_p(lambda p: p[:, None] * (p - np.eye(len(p)))),
        "outer product with 1 − p": of_p(lambda p: p[:, None] * (1 - p)),
        "one factor off the diagonal": of_p(lambda p: np.diag(p * (2 - p)) - np.repeat(p[:, None], len(p), axis=1)),
        "one factor off the diagonal (2)": of_p(lambda p: np.diag(p * (2 - p)) - np.repeat(p[None], len(p), 0)),
        "not an outer product": of_p(lambda p: np.diag(p) - p**2),
        "of the logarithm": lambda logits: torch.autograd.functional.jacobian(
            lambda h: torch.log_softmax(h, -1), torch.tensor(logits)
        ),
        "of the logarithm, turned": of_p(lambda p: np.eye(len(p)) - p.reshape(-1, 1)),
        "no softmax": lambda logits: np.diag(logits) - np.outer(logits, logits),
        "gradient of the sum": gradient_of_the_sum,
    },
    "7.2": {
        "dense": parts(lambda p, w, a, s: p * (a - (p * a).sum())),
        "form B": by_autograd("B"),
        "form B, cut": parts(lambda p, w, a, s: p * s * (a - (p * s * a).sum())),
        "dense, cut": parts(lambda p, w, a, s: p * s * (a - (p * a).sum())),
        "nothing subtracted": parts(lambda p, w, a, s: w * a),
        "diagonal only": parts(lambda p, w, a, s: a * w * (1 - w)),
        "plain mean": parts(lambda p, w, a, s: w * (a - a[s > 0].mean())),
        "plain mean over all": parts(lambda p, w, a, s: w * (a - np.mean(a))),
        "mean with probabilities": parts(lambda p, w, a, s: w * (a - (p * s) @ a)),
        "mean over all": parts(lambda p, w, a, s: w * (a - p @ a)),
        "probability in front": parts(lambda p, w, a, s: p * s * (a - w @ a)),
        "probability in front of all": parts(lambda p, w, a, s: p * a - p * (w @ a)),
        "probability in front, masked a": parts(lambda p, w, a, s: p * s * a - p * (w @ a)),
        "no weight in front": parts(lambda p, w, a, s: np.where(s > 0, a - w @ a, 0)),
        "mean given to the unselected": parts(lambda p, w, a, s: np.where(s > 0, w * (a - w @ a), -p * (w @ a))),
        "sign turned": lambda logits, a, k: -by_jacobian("A")(logits, a, k),
        "for the weights": parts(lambda p, w, a, s: np.where(s > 0, a, 0)),
        "for the weights (2)": lambda logits, a, k: torch.tensor(a),
        "masked with 0": masked_with_zero,
        "masked with 0 throughout": lambda logits, a, k: masked_with_zero(logits, a, k, throughout=True),
        "more than k": with_selection("A", lambda h, a, k: h >= np.sort(h)[-k]),
        "last of the tied": with_selection("A", lambda h, a, k: mask(h[::-1], k)[::-1]),
        "another of the tied": with_selection("A", middle_of_the_tied),
        "difference across the tie": by_differences_selecting_anew("A"),
        "k is 2": lambda logits, a, k: by_loop("A")(logits, a, 2),
        "only the selected": lambda logits, a, k: by_jacobian("A")(logits, a, k)[order(logits, k)],
        "only the selected (2)": lambda logits, a, k: by_jacobian("A")(logits, a, k)[mask(logits, k)],
        "selected by a": with_selection("A", lambda h, a, k: mask(a, k)),
        "selected by small a": with_selection("A", lambda h, a, k: mask(-a, k)),
        "weights from a": lambda logits, a, k: by_loop("A")(a, a, k),
    },
    "7.3": {
        "zero for the unselected": parts(lambda p, w, a, s: s * p * (a - (p * s) @ a)),
        "form A": by_autograd("A"),
        "dense": parts(lambda p, w, a, s: p * (a - p @ a)),
        "own a for the unselected": parts(lambda p, w, a, s: p * (a - (p * s) @ a)),
        "mean over all": parts(lambda p, w, a, s: p * (a * s - p @ a)),
        "renormalised mean": parts(lambda p, w, a, s: p * (a * s - w @ a)),
        "mean added": parts(lambda p, w, a, s: p * (a * s + (p * s) @ a)),
        "renormalised mean added": parts(lambda p, w, a, s: p * (a * s + w @ a)),
        "renormalised mean, cut": parts(lambda p, w, a, s: p * s * (a - w @ a)),
        "no probability for the unselected": parts(lambda p, w, a, s: p * s * a - (p * s) @ a),
        "no probability in front": parts(lambda p, w, a, s: a * s - (p * s) @ a),
        "sign of the unselected": parts(lambda p, w, a, s: np.where(s > 0, p * (a - (p * s) @ a), p * ((p * s) @ a))),
        "nothing subtracted": parts(lambda p, w, a, s: p * s * a),
        "diagonal only": parts(lambda p, w, a, s: p * (1 - p) * s * a),
        "sign turned": lambda logits, a, k: -by_jacobian("B")(logits, a, k),
        "for the weights": parts(lambda p, w, a, s: s * a),
        "for the weights (2)": lambda logits, a, k: a.tolist(),
        "more than k": with_selection("B", lambda h, a, k: h >= np.sort(h)[-k]),
        "last of the tied": with_selection("B", lambda h, a, k: mask(h[::-1], k)[::-1]),
        "another of the tied": with_selection("B", middle_of_the_tied),
        "difference across the tie": by_differences_selecting_anew("B", step=1e-3),
        "k is 2": lambda logits, a, k: by_loop("B")(logits, a, 2),
        "only the selected": lambda logits, a, k: by_jacobian("B")(logits, a, k)[order(logits, k)],
        "only the selected (2)": lambda logits, a, k: by_jacobian("B")(logits, a, k)[mask(logits, k)],
        "selected by a": with_selection("B", lambda h, a, k: mask(a, k)),
        "selected by small a": with_selection("B", lambda h, a, k: mask(-a, k)),
    },
    "7.4": {
        f"router {n}: {build}": {
            f"router {m}": build if m == n else right
            for m, right in enumerate(("form B", "masked with 0", "straight-through"), start=1)
        }
        for n, correct in enumerate(("form B", "masked with 0", "straight-through"), start=1)
        for build in ("as ordered", "k = 1", "k = 3", "form B", "masked with 0", "straight-through")
        if build != correct
    },
    "7.5": {
        "not squared": with_loss(lambda h: lse(h).mean()),
        "sum over the tokens": with_loss(lambda h: (lse(h) ** 2).sum()),
        "one for each token": with_loss(lambda h: lse(h) ** 2),
        "squared logits, summed": with_loss(lambda h: (h**2).sum(1).mean()),
        "squared logits, averaged": with_loss(lambda h: (h * h).mean()),
        "square of the mean": with_loss(lambda h: np.mean(lse(h)) ** 2),
        "largest logit": with_loss(lambda h: (h.max(1) ** 2).mean()),
        "along the tokens": with_loss(lambda h: (lse(h, axis=0) ** 2).mean()),
        "over the whole batch": with_loss(lambda h: torch.logsumexp(torch.tensor(h).flatten(), 0) ** 2),
        "half": with_loss(lambda h: 0.5 * (lse(h) ** 2).mean()),
        "divided by T·N": with_loss(lambda h: (lse(h) ** 2).sum() / h.size),
        "log of the mean": with_loss(
            lambda h: ((np.log(np.exp(h - h.max(1)[:, None]).mean(1)) + h.max(1)) ** 2).mean()
        ),
        "of the probabilities": with_loss(lambda h: (lse(softmax(h)) ** 2).mean()),
        "base 2": with_loss(lambda h: (np.logaddexp2.reduce(h / np.log(2), axis=1) ** 2).mean()),
        "coefficient included": with_loss(lambda h: (lse(h) ** 2).mean() / 1000),
        "maximum not added back": with_loss(lambda h: (np.log(np.exp(h - h.max(1, keepdims=True)).sum(1)) ** 2).mean()),
        "overflow": naive_in_torch,
        "factor 2": with_gradient(lambda z, p, T: z * p / T),
        "of the log-sum-exp": with_gradient(lambda z, p, T: p / T),
        "log-sum-exp left out": with_gradient(lambda z, p, T: 2 / T * p),
        "not divided by T": with_gradient(lambda z, p, T: 2 * z * p),
        "gradient divided by T·N": with_gradient(lambda z, p, T: 2 * z * p / T / p.shape[1]),
        "of the largest": with_gradient(lambda z, p, T: 2 * z * (p == p.max(1, keepdims=True)) / T),
        "one for each token, gradient": with_gradient(lambda z, p, T: 2 * z[:, 0] / T),
        "the same for all experts": with_gradient(lambda z, p, T: np.repeat(2 * z / T, p.shape[1], axis=1)),
        "derivative of p": with_gradient(lambda z, p, T: 2 * z / T * (p - p**2)),
        "of squared logits": lambda logits: (z_by_logaddexp(logits)[0], 2 * logits / len(logits)),
        "mean log-sum-exp": with_gradient(lambda z, p, T: 2 * np.mean(z) * p / T),
        "added up over the tokens": with_gradient(lambda z, p, T: 2 / T * (z * p).sum(0)),
        "sign turned": with_gradient(lambda z, p, T: -2 / T * z * p),
        "overflow in the softmax": naive_gradient,
        "32 bits": z_in_32_bits,
        "turned round": lambda logits: z_by_logaddexp(logits)[::-1],
    },
    "7.6": {
        "dense forward": lambda logits, outputs, k: dense_weights(logits) @ outputs,
        "form B forward": lambda logits, outputs, k: kept_probabilities(logits, k) @ outputs,
        "both added": lambda logits, outputs, k: (
            sparse_weights(logits, k).detach() @ outputs + dense_weights(logits) @ outputs
        ),
        "value cancelled": lambda logits, outputs, k: (
            dense_weights(logits) @ outputs - (dense_weights(logits) @ outputs).detach()
        ),
        "not weighted": lambda logits, outputs, k: outputs[logits.topk(k).indices].sum(0),
        "equal weights": lambda logits, outputs, k: outputs[logits.topk(k).indices].mean(0),
        "the dense less the sparse": lambda logits, outputs, k: (
            (dense_weights(logits) - sparse_weights(logits, k).detach()) @ outputs
        ),
        "not added up": lambda logits, outputs, k: sparse_weights(logits, k)[:, None] * outputs,
        "all detached": lambda logits, outputs, k: in_the_weights(logits, outputs, k).detach(),
        "nothing for the router": lambda logits, outputs, k: sparse_weights(logits, k).detach() @ outputs,
        "form A's gradient": lambda logits, outputs, k: sparse_weights(logits, k) @ outputs,
        "form B's gradient": lambda logits, outputs, k: (
            (
                sparse_weights(logits, k).detach()
                + kept_probabilities(logits, k)
                - kept_probabilities(logits, k).detach()
            )
            @ outputs
        ),
        "both gradients": lambda logits, outputs, k: (
            (sparse_weights(logits, k) + dense_weights(logits) - dense_weights(logits).detach()) @ outputs
        ),
        "less form A's": less_attached_sparse,
        "past the softmax": lambda logits, outputs, k: (
            (sparse_weights(logits, k).detach() + logits - logits.detach()) @ outputs
        ),
        "dense, cut": dense_on_the_selected,
        "sign turned": lambda logits, outputs, k: (
            (sparse_weights(logits, k).detach() + dense_weights(logits).detach() - dense_weights(logits)) @ outputs
        ),
        "leak into the unselected": lambda logits, outputs, k: (
            dense_weights(logits) @ outputs + ((sparse_weights(logits, k) - dense_weights(logits)) @ outputs).detach()
        ),
        "nothing for the experts": lambda logits, outputs, k: in_the_weights(logits, outputs.detach(), k),
        "both for the experts": lambda logits, outputs, k: (
            sparse_weights(logits.detach(), k) @ outputs
            + dense_weights(logits) @ outputs
            - (dense_weights(logits) @ outputs).detach()
        ),
        "form B's for the experts": lambda logits, outputs, k: (
            kept_probabilities(logits.detach(), k) @ outputs
            + ((sparse_weights(logits, k) - kept_probabilities(logits, k)) @ outputs).detach()
            + (dense_weights(logits) - dense_weights(logits).detach()) @ outputs.detach()
        ),
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "7.1": [
        lambda logits: None,
        lambda logits: softmax(logits),
        lambda logits: np.zeros((len(logits), len(logits))),
        lambda logits: 2 * np.array(jacobian_by_loop(logits)),
        lambda logits: "p(1 - p)",
    ],
    "7.2": [
        lambda logits, a, k: np.zeros(len(logits)),
        lambda logits, a, k: 2 * by_jacobian("A")(logits, a, k),
        lambda logits, a, k: by_jacobian("A")(logits, a, k)[::-1],
        lambda logits, a, k: by_jacobian("A")(logits, a, k) + 0.01,
        lambda logits, a, k: np.full(len(logits), np.nan),
        lambda logits, a, k: 1e6 * by_jacobian("A")(logits, a, k),
    ],
    "7.3": [
        lambda logits, a, k: np.zeros(len(logits)),
        lambda logits, a, k: by_jacobian("B")(logits, a, k) / 2,
        lambda logits, a, k: by_jacobian("B")(logits, a, k) ** 2,
        lambda logits, a, k: GENERATOR.normal(size=len(logits)),
    ],
    "7.4": [
        "form B",
        None,
        ["form B", "masked with 0", "straight-through"],
        {"router 1": "form B", "router 2": "masked with 0"},
        {"router 1": "form C", "router 2": "masked with 0", "router 3": "straight-through"},
        {"router 1": 1, "router 2": 2, "router 3": 3},
    ],
    "7.5": [
        lambda logits: None,
        lambda logits: z_by_logaddexp(logits)[0],
        lambda logits: (0.0, np.zeros_like(logits)),
        with_loss(lambda h: np.abs(lse(h)).mean()),
        with_gradient(lambda z, p, T: 2 * z * p / T + 1),
        lambda logits: (2 * z_by_logaddexp(logits)[1], z_by_logaddexp(logits)[0]),
    ],
    "7.6": [
        lambda logits, outputs, k: None,
        lambda logits, outputs, k: in_the_weights(logits, outputs, k).detach().numpy(),
        lambda logits, outputs, k: 2 * in_the_weights(logits, outputs, k),
        lambda logits, outputs, k: in_the_weights(logits, outputs, k)[None],
        lambda logits, outputs, k: in_the_weights(2 * logits - logits.detach(), outputs, k),
        lambda logits, outputs, k: in_the_weights(logits, 2 * outputs - outputs.detach(), k),
        lambda logits, outputs, k: in_the_weights(logits, 2 * outputs.detach() - outputs, k),
    ],
}

RIGHT = {
    "7.1": [
        jacobian_by_loop,
        jacobian_by_autograd,
        jacobian_by_rows,
        lambda logits: quotient(softmax, logits),
        of_p(lambda p: np.einsum("i,ij->ij", p, np.eye(len(p)) - p)),
        lambda logits: -torch.outer(p := torch.softmax(torch.tensor(logits), -1), p) + torch.diag(p),
    ],
    "7.2": [
        by_jacobian("A"),
        by_loop("A"),
        by_autograd("A"),
        by_autograd("A", dtype=torch.float32),
        renormalised_by_autograd,
        by_differences("A"),
        with_selection("A", lambda h, a, k: mask(h, k)),
    ],
    "7.3": [
        by_jacobian("B"),
        by_loop("B"),
        by_autograd("B"),
        by_autograd("B", dtype=torch.float32),
        by_differences("B"),
        with_selection("B", lambda h, a, k: mask(h, k)),
    ],
    "7.4": [
        {"router 1": "form B", "router 2": "masked with 0", "router 3": "straight-through"},
        {"router 3": "Straight-Through", "router 2": " masked with 0", "router 1": "FORM B"},
        {"router 1": "form B", "router 2": "masked with 0", "router 3": "straight through"},
        {"router 1": "formB", "router 2": "masked  with  0", "router 3": "straight-through\n", "router 4": "?"},
    ],
    "7.5": [z_in_torch, z_by_loop, z_by_logaddexp, lambda logits: list(z_in_torch(logits))],
    "7.6": [in_the_weights, in_the_output, by_a_loop, Own.apply, in_double, by_surrogate],
}

for answers in (WRONG, UNRECOGNISED, RIGHT):
    answers.update({question: each_batched(answers[question]) for question in ("7.2", "7.3")})
WRONG["7.2"]["sum over the batch"] = sum_over_the_batch("A")
WRONG["7.3"]["sum over the batch"] = sum_over_the_batch("B")
RIGHT["7.2"] += [a_batch_at_once, a_batch_by_autograd]
RIGHT["7.3"] += [b_batch_at_once, lambda logits, a, k: b_batch_at_once(logits, a, k).tolist()]
UNRECOGNISED["7.2"] += [lambda logits, a, k: None, lambda logits, a, k: a_batch_at_once(logits, a, k).sum(0)]
UNRECOGNISED["7.3"] += [lambda logits, a, k: None, lambda logits, a, k: {"gradient": a}]
