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


def forward_quotient(function, h, step):
    """Differences to one side."""
    return np.stack([(function(h + step * e) - function(h)) / step for e in np.eye(len(h))], -1)


# --- 7.1 ----------------------------------------------------------------------------------------------------------


def sigmoid(h):
    return 1 / (1 + np.exp(-h))


def logits_of(scores):
    """The logits h (N,) behind the scores."""
    return np.log(scores) - np.log1p(-scores)


def shares(scores):
    return scores / scores.sum()


def sigmoid_gate(h):
    return shares(sigmoid(h))


def in_torch(h):
    scores = torch.sigmoid(h)
    return scores / scores.sum()


def jacobian_by_loop(scores):
    scores = scores.tolist()
    total, N = sum(scores), len(scores)
    slopes = [score * (1 - score) for score in scores]
    return [[slopes[j] * ((i == j) / total - scores[i] / total**2) for j in range(N)] for i in range(N)]


def jacobian_by_autograd(scores):
    return torch.autograd.functional.jacobian(in_torch, torch.tensor(logits_of(scores)))


def jacobian_by_rows(scores):
    """In float32, where a score near 1 is 1."""
    h = torch.tensor(scores, dtype=torch.float32).logit().requires_grad_()
    return torch.stack([torch.autograd.grad(weight, h, retain_graph=True)[0] for weight in in_torch(h)])


def jacobian_by_matrices(scores):
    outer = (np.eye(len(scores)) - np.outer(shares(scores), np.ones(len(scores)))) / scores.sum()
    return outer @ np.diag(scores * (1 - scores))


def jacobian_by_two_steps(scores):
    """Finite differences in the scores, times the slope of each."""
    return quotient(shares, scores) * scores * (1 - scores)


def jacobian_by_complex_step(scores):
    """A step of 10⁻³⁰ along the imaginary axis, where nothing is subtracted."""
    moved = logits_of(scores) + 1e-30j * np.eye(len(scores))  # (N, N): row j moves logit j
    return (sigmoid(moved) / sigmoid(moved).sum(1, keepdims=True)).imag.T / 1e-30


def gradient_of_the_sum(scores):
    h = torch.tensor(logits_of(scores), requires_grad=True)
    in_torch(h).sum().backward()
    return h.grad


def of_s(formula):
    """A formula of s, w and the identity."""
    return lambda scores: formula(scores, shares(scores), np.eye(len(scores)))


# --- 7.2 and 7.3 --------------------------------------------------------------------------------------------------


def gate(h, k, form, selected=None):
    selected = mask(h, k) if selected is None else selected
    e = np.exp(h)
    return e * selected / (e[selected].sum() if form == "A" else e.sum())


def slopes_by_jacobian(h, a, k):
    w = gate(h, k, "A")
    return a @ (np.diag(w) - np.outer(w, w))


def with_selection(select):
    def slopes(h, a, k):
        chosen = select(h, a, k)
        w = gate(h, k, "A", chosen)
        return w * (a - w @ a)

    return slopes


def middle_of_the_tied(h, a, k):
    """As an unstable sort might: of equal logits neither the first nor the last."""
    chosen = mask(h, k)
    tied = np.flatnonzero(h == h[order(h, k)[-1]])
    if len(tied) > 1:
        chosen = h > h[tied[0]]
        chosen[tied[1]] = True
    return chosen


def parts(formula):
    """A formula of p, w (form A), a and s (1 for the selected), for one token."""
    return lambda h, a, k: formula(softmax(h), gate(h, k, "A"), a, mask(h, k) * 1.0)


def masked_with_zero(h, a, k, throughout=False):
    chosen = mask(h, k)
    w = softmax(h * chosen)
    g = w * (a - w @ a)
    return g if throughout else g * chosen


def each(slopes):
    """Slopes of one token (h (N,), a (N,), k), for each token of a batch. (T, N)."""
    return lambda h, a, k: np.stack([slopes(*rows, k) for rows in zip(h, a, strict=True)])


right_slopes = each(slopes_by_jacobian)


def carried(slopes):
    """Slopes of one token, carried to W_g and x."""

    def answer(x, W_g, a, k):
        g = each(slopes)(x @ W_g, a, k)
        return x.T @ g, g @ W_g.T

    return answer


def first_from(wrong):
    """What `wrong` makes of x, W_g and g for the matrix; the token's gradient is right."""
    return lambda x, W_g, a, k: (wrong(x, W_g, g := right_slopes(x @ W_g, a, k)), g @ W_g.T)


def second_from(wrong):
    """What `wrong` makes of x, W_g and g for the token; the matrix's gradient is right."""
    return lambda x, W_g, a, k: (x.T @ (g := right_slopes(x @ W_g, a, k)), wrong(x, W_g, g))


def second_with(slopes):
    """The matrix's gradient right, the token's from other slopes."""
    return lambda x, W_g, a, k: (x.T @ right_slopes(x @ W_g, a, k), each(slopes)(x @ W_g, a, k) @ W_g.T)


def chain_at_once(x, W_g, a, k):
    h = x @ W_g
    chosen = np.argsort(-h, axis=-1, kind="stable")[:, :k]
    w = softmax(np.take_along_axis(h, chosen, -1))
    own = np.take_along_axis(a, chosen, -1)
    g = np.zeros_like(h)
    np.put_along_axis(g, chosen, w * (own - (w * own).sum(-1, keepdims=True)), -1)
    return np.einsum("td,tn->dn", x, g), np.einsum("tn,dn->td", g, W_g)


def chain_by_loop(x, W_g, a, k):
    dW, dx = np.zeros_like(W_g), []
    for token, own in zip(x, a, strict=True):
        g = slopes_by_jacobian(token @ W_g, own, k)
        dW += np.outer(token, g)
        dx.append(sum(g[j] * W_g[:, j] for j in range(len(g))))
    return dW, dx


def chain_by_autograd(dtype):
    def answer(x, W_g, a, k):
        x, W_g = (torch.tensor(t, dtype=dtype, requires_grad=True) for t in (x, W_g))
        h = x @ W_g
        chosen = h.detach().sort(dim=-1, descending=True, stable=True).indices[:, :k]
        w = torch.softmax(h.gather(-1, chosen), -1)
        (w * torch.tensor(a, dtype=dtype).gather(-1, chosen)).sum().backward()
        return {"∂L/∂W_g": W_g.grad, "∂L/∂x": x.grad}

    return answer


def renormalised_by_autograd(x, W_g, a, k):
    chosen = torch.tensor(np.stack([mask(h, k) for h in x @ W_g]))
    x, W_g = (torch.tensor(t, requires_grad=True) for t in (x, W_g))
    p = torch.softmax(x @ W_g, -1) * chosen
    loss = (p / p.sum(-1, keepdim=True) * torch.tensor(a)).sum()
    return torch.autograd.grad(loss, (W_g, x))


def differences_selecting_anew(x, W_g, a, k, step=1e-5, anew=True):
    chosen = np.stack([mask(h, k) for h in x @ W_g])

    def loss(x, W_g):
        h = x @ W_g
        return sum(gate(h[t], k, "A", None if anew else chosen[t]) @ a[t] for t in range(len(h)))

    def moved(array, of):
        found = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            up, down = array.copy(), array.copy()
            up[place] += step
            down[place] -= step
            found[place] = (of(up) - of(down)) / (2 * step)
        return found

    return moved(W_g, lambda M: loss(x, M)), moved(x, lambda t: loss(t, W_g))


def sum_over_the_batch(x, W_g, a, k):
    w = np.stack([gate(h, k, "A") for h in x @ W_g])
    g = w * (a - np.sum(w * a))
    return x.T @ g, g @ W_g.T


def lesson_cell(x, W_g, a, k):
    """The lesson's formula of form A, for a batch."""
    w = np.stack([gate(h, k, "A") for h in x @ W_g])
    return w * ((w > 0) * a - (w * a).sum(-1, keepdims=True))


def kept(h, k):
    return np.stack([mask(row, k) for row in h])


def usefulness(logits, g, k, p=None):
    """a of the kept by the last cut column of each token, NaN for the cut; p: in place of the softmax."""
    p, chosen = softmax(logits) if p is None else p, kept(logits, k)
    last = len(chosen[0]) - 1 - np.argmin(chosen[:, ::-1], axis=1)
    s = -(g / p)[np.arange(len(g)), last]
    return np.where(chosen, g / p + s[:, None], np.nan)


def usefulness_by_the_kept(logits, g, k, p=None):
    """Without a cut column: the kept lines alone determine s."""
    p, chosen = softmax(logits) if p is None else p, kept(logits, k)
    s = (g * chosen).sum(1) / (1 - (p * chosen).sum(1))
    return np.where(chosen, (g.T / p.T + s).T, np.nan)


def usefulness_by_loop(logits, g, k):
    rows = []
    for h, own in zip(logits, g, strict=True):
        p, chosen = softmax(h), set(order(h, k).tolist())
        cut = next(j for j in range(len(h)) if j not in chosen)
        s = -own[cut] / p[cut]
        rows.append([own[i] / p[i] + s if i in chosen else float("nan") for i in range(len(h))])
    return rows


def usefulness_by_equations(logits, g, k):
    """Solve the k lines of the kept for their a."""
    found = np.full(logits.shape, np.nan)
    for t, h in enumerate(logits):
        chosen, p = np.sort(order(h, k)), softmax(h)
        lines = np.diag(p[chosen]) - np.outer(p[chosen], p[chosen])
        found[t, chosen] = np.linalg.solve(lines, g[t, chosen])
    return found


def usefulness_in_torch(logits, g, k):
    h, g = torch.tensor(logits), torch.tensor(g)
    chosen = h.sort(dim=-1, descending=True, stable=True).indices[:, :k]
    ratio = g / torch.softmax(h, -1)
    cut = torch.ones_like(h).scatter(-1, chosen, 0.0)
    s = -(ratio * cut).sum(-1, keepdim=True) / cut.sum(-1, keepdim=True)
    found = torch.full_like(h, torch.nan)
    return found.scatter(-1, chosen, (ratio + s).gather(-1, chosen))


def of_ratio(formula, cut=np.nan):
    """A formula of g, p, s and w (form A), with something else for the cut."""

    def answer(logits, g, k):
        p, chosen = softmax(logits), kept(logits, k)
        s = (g * chosen).sum(1, keepdims=True) / (1 - (p * chosen).sum(1, keepdims=True))
        w = np.stack([gate(h, k, "A") for h in logits])
        with np.errstate(all="ignore"):
            found = formula(g, p, s, w)
        return found if cut is None else np.where(chosen, found, cut(g, p, s) if callable(cut) else cut)

    return answer


def with_kept(select):
    """The method right, the selection not."""

    def answer(logits, g, k):
        p, chosen = softmax(logits), np.stack([select(h, k) for h in logits])
        s = np.stack([-(row / q)[~m][0] for row, q, m in zip(g, p, chosen, strict=True)])
        return np.where(chosen, g / p + s[:, None], np.nan)

    return answer


def with_scores(scores):
    """The method right, but kept are the k experts with the largest `scores`(logits, g)."""

    def answer(logits, g, k):
        p, chosen = softmax(logits), kept(scores(logits, g), k)
        s = -(g * ~chosen).sum(1, keepdims=True) / (p * ~chosen).sum(1, keepdims=True)
        return np.where(chosen, g / p + s, np.nan)

    return answer


def first_cut_undivided(logits, g, k):
    p, chosen = softmax(logits), kept(logits, k)
    s = -g[np.arange(len(g)), chosen.argmin(1)]
    return np.where(chosen, g / p + s[:, None], np.nan)


def gradient_again(logits, g, k, cut=True):
    chosen = kept(logits, k)
    again = softmax(logits) * (g * chosen - (softmax(logits) * g * chosen).sum(1, keepdims=True))
    return again if cut else np.where(chosen, again, np.nan)


# --- 7.5 ----------------------------------------------------------------------------------------------------------


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


# --- 7.6 ----------------------------------------------------------------------------------------------------------


def sparse(logits, k):
    """Form A's weights with the k best."""
    values, chosen = logits.topk(k)
    return torch.zeros_like(logits).scatter(-1, chosen, torch.softmax(values, -1))


def dense(logits):
    return torch.softmax(logits, -1)


def kept_probabilities(logits, k):
    p = torch.softmax(logits, -1)
    return p * (p >= p.topk(k).values[-1])


def selected(logits, k):
    return (sparse(logits.detach(), k) > 0).float()


def through(attached):
    """Value of form A with k, derivative of whatever `attached`(logits, k, m) gives, in the weights."""
    return lambda logits, outputs, k, m: (
        (sparse(logits, k).detach() + (u := attached(logits, k, m)) - u.detach()) @ outputs
    )


in_the_weights = through(lambda logits, k, m: sparse(logits, k + m))


def in_the_output(logits, outputs, k, m):
    wide = sparse(logits, k + m) @ outputs.detach()
    return sparse(logits.detach(), k) @ outputs + wide - wide.detach()


def by_a_loop(logits, outputs, k, m):
    w, u, y = sparse(logits, k), sparse(logits, k + m), 0
    for i in range(len(logits)):
        y = y + w[i].detach() * outputs[i] + (u[i] - u[i].detach()) * outputs[i].detach()
    return y


def by_masks(logits, outputs, k, m):
    """With −∞ in the place of whatever is not heard."""
    ranks = logits.detach().argsort(descending=True).argsort()
    u = torch.softmax(logits.masked_fill(ranks >= k + m, -torch.inf), -1)
    w = torch.softmax(logits.detach().masked_fill(ranks >= k, -torch.inf), -1)
    return torch.einsum("n,nd->d", w, outputs) + torch.einsum("n,nd->d", u - u.detach(), outputs.detach())


class Own(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, outputs, k, m):
        w = sparse(logits, k)
        ctx.save_for_backward(sparse(logits, k + m), w, outputs)
        return w @ outputs

    @staticmethod
    def backward(ctx, v):
        u, w, outputs = ctx.saved_tensors
        a = outputs @ v
        return u * (a - u @ a), w[:, None] * v, None, None


def zero_for_cut(logits, k):
    """A kept logit of 0 is taken for a cut one."""
    marked = logits * selected(logits, k)
    return torch.softmax(marked.masked_fill(marked == 0, -torch.inf), -1)


def in_double(logits, outputs, k, m):
    return in_the_weights(logits.double(), outputs.double(), k, m)


def on_the_heard_alone(logits, outputs, k, m):
    """Only the k + m that run are read."""
    best = logits.detach().topk(k + m).indices
    u, E = torch.softmax(logits[best], -1), outputs[best]
    w = torch.softmax(logits.detach()[best[:k]], -1)
    return w @ E[:k] + (u - u.detach()) @ E.detach()


def dense_gradient(logits, outputs, k, m):
    """The lesson's deeper cell."""
    values, chosen = torch.topk(logits.detach(), k)
    mixed = torch.softmax(logits, dim=-1) @ outputs.detach()
    return torch.softmax(values, dim=-1) @ outputs[chosen] + (mixed - mixed.detach())


def with_leaks(path):
    """Output and router right; the experts' gradient is that of what `path`(logits, k, m) gives as weights."""
    return lambda logits, outputs, k, m: (
        in_the_weights(logits, outputs.detach(), k, m) + (leak := path(logits.detach(), k, m) @ outputs) - leak.detach()
    )


def rows_to_0(scores):
    w = scores / scores.sum()
    J = (np.eye(len(w)) - w[:, None]) * scores * (1 - scores) / scores.sum()
    np.fill_diagonal(J, 0)
    np.fill_diagonal(J, -J.sum(axis=1))
    return J


def by_finite_rows(logits, mask):
    return z_by_logaddexp(logits, np.isfinite(logits).all(axis=1))


def over_finite_logits(logits, mask):
    loss, gradient = z_by_logaddexp(logits, mask)
    share = mask.sum() / np.isfinite(logits[mask]).sum()
    return loss * share, gradient * share


def packed(order):
    """The right a in the first k columns."""

    def answer(logits, g, k):
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p = p / p.sum(axis=1, keepdims=True)
        best = np.argsort(-logits, axis=1, kind="stable")
        kept, cut = order(best[:, :k]), best[:, [-1]]
        found = np.full(g.shape, np.nan)
        found[:, :k] = np.take_along_axis(g / p, kept, 1) - np.take_along_axis(g / p, cut, 1)
        return found

    return answer


def over_the_kept(logits, g, k):
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = p / p.sum(axis=1, keepdims=True)
    best = np.argsort(-logits, axis=1, kind="stable")
    found = np.full(g.shape, np.nan)
    for t, row in enumerate(best):
        kept = row[:k]
        found[t, kept] = g[t, kept] / p[t, kept] - g[t, row[-1]] / p[t, row[-1]] / p[t, kept].sum()
    return found


def hears(other):
    """An estimator with other(values, u, E, k, m) beside the weights of the k."""

    def answer(logits, outputs, k, m):
        values, index = torch.topk(logits, k + m)
        w = torch.cat([torch.softmax(values[:k], 0), torch.zeros(m)])
        return w.detach() @ outputs[index] + other(values, torch.softmax(values, 0), outputs[index], k, m)

    return answer


def the_m_apart(logits, outputs, k, m):
    values, index = torch.topk(logits, k + m)
    if m == 0:
        return torch.softmax(values, 0) @ outputs[index]
    u = torch.softmax(values[k:], 0)
    return torch.softmax(values[:k], 0).detach() @ outputs[index[:k]] + (u - u.detach()) @ outputs[index[k:]]


def up_to_minus_m(logits, outputs, k, m):
    values, index = torch.topk(logits, k + m)
    u, w = torch.softmax(values, 0), torch.zeros(k + m)
    w[:-m] = torch.softmax(values[:-m], 0)
    return (w.detach() + u - u.detach()) @ outputs[index]


def with_the_worst(logits, outputs, k, m):
    order = torch.argsort(logits, descending=True)
    index = torch.cat([order[:k], order[len(order) - m :]])
    u, w = torch.softmax(logits[index], 0), torch.cat([torch.softmax(logits[order[:k]], 0), torch.zeros(m)])
    return (w.detach() + u - u.detach()) @ outputs[index]


WRONG = {
    "7.1": {
        "rows sum to 0": rows_to_0,
        "of the softmax": lambda scores: quotient(softmax, scores, 1e-6),  # the lesson's cell
        "of the softmax (2)": lambda scores: np.diag(p := softmax(logits_of(scores))) - np.outer(p, p),
        "a sigmoid of the scores": lambda scores: quotient(sigmoid_gate, scores),  # that cell with the gate of 7.1
        "a sigmoid of the scores (2)": lambda scores: quotient(shares, sigmoid(scores)) * scores * (1 - scores),
        "transposed": lambda scores: jacobian_by_matrices(scores).T,
        "diagonal only": lambda scores: jacobian_by_matrices(scores) * np.eye(len(scores)),
        "diagonal as a vector": of_s(lambda s, w, one: (1 - w) * s * (1 - s) / s.sum()),
        "sign turned": lambda scores: -np.array(jacobian_by_loop(scores)),
        "the softmax's formula with w": of_s(lambda s, w, one: np.diag(w) - w[:, None] * w),
        "the softmax's formula with s": of_s(lambda s, w, one: np.diag(s) - s[:, None] * s),
        "not divided by the sum": of_s(lambda s, w, one: one * (s - s**2)),
        "not divided by the sum (2)": of_s(lambda s, w, one: s - s**2),
        "the sum held fixed": of_s(lambda s, w, one: one * (s - s**2) / s.sum()),
        "the sum held fixed (2)": of_s(lambda s, w, one: w * (1 - s)),
        "of the logarithm": lambda scores: torch.autograd.functional.jacobian(
            lambda h: torch.log(in_torch(h)), torch.tensor(logits_of(scores))
        ),
        "softmax of the sigmoids": lambda scores: torch.autograd.functional.jacobian(
            lambda h: torch.softmax(torch.sigmoid(h), -1), torch.tensor(logits_of(scores))
        ),
        "added": of_s(lambda s, w, one: (one + w[:, None]) * w * (1 - s)),
        "added (2)": of_s(lambda s, w, one: np.abs((one - w[:, None]) * w * (1 - s))),
        "no diagonal term": of_s(lambda s, w, one: -np.outer(w, w * (1 - s))),
        "weight of the wrong expert": of_s(lambda s, w, one: (one - w[None]) * (w * (1 - s))[None]),
        "1 − w throughout": of_s(lambda s, w, one: np.outer(1 - w, w * (1 - s))),
        "derivative by the scores": of_s(lambda s, w, one: (one - w[:, None]) / s.sum()),
        "derivative by the scores (2)": lambda scores: quotient(shares, scores),  # the lesson's cell with s / sum(s)
        "not divided": of_s(lambda s, w, one: (one - w[:, None]) * s * (1 - s)),
        "neither slope nor sum": of_s(lambda s, w, one: one - w[:, None]),
        "half the slope": of_s(lambda s, w, one: (one - w[:, None]) * (1 - s) / s.sum()),
        "half the slope (2)": of_s(lambda s, w, one: (one - w[:, None]) * (1 - s)),
        "slope of w": of_s(lambda s, w, one: (one - w[:, None]) * (w - w**2) / s.sum()),
        "slope of w (2)": of_s(lambda s, w, one: (one - w[:, None]) * (w - w**2)),
        "divided by the sum twice": of_s(lambda s, w, one: (one - w[:, None]) * w * (1 - s) / s.sum()),
        "slope of the wrong logit": of_s(lambda s, w, one: (one - w[:, None]) * (w * (1 - s))[:, None]),
        "score for weight": of_s(lambda s, w, one: (one - s[:, None]) * w * (1 - s)),
        "score for weight (2)": of_s(lambda s, w, one: (one - s[:, None]) * (s - s**2)),
        "divided by N": of_s(lambda s, w, one: (one - w[:, None]) * (s - s**2) / len(s)),
        "divided by the slopes": of_s(lambda s, w, one: (one - w[:, None]) * shares(s - s**2)),
        "weight in front twice": of_s(lambda s, w, one: (one - w[:, None]) * w**2 * (1 - s)),
        "the sum held fixed on the diagonal": of_s(lambda s, w, one: (one - (1 - one) * w[:, None]) * w * (1 - s)),
        "sign in the slope": of_s(lambda s, w, one: (one - w[:, None]) * w * (1 + s)),
        "no weight off the diagonal": of_s(lambda s, w, one: (one * (2 - w[:, None]) - 1) * w * (1 - s)),
        "slope of the tanh": of_s(lambda s, w, one: (one - w[:, None]) / s.sum() * (1 - s * s)),
        "slope from the score again": of_s(
            lambda s, w, one: (one - w[:, None]) / s.sum() * sigmoid(s) * (1 - sigmoid(s))
        ),
        "by the scores, transposed": lambda scores: quotient(shares, scores).T,
        "gradient of the sum": gradient_of_the_sum,
        "rounded": lambda scores: jacobian_by_matrices(scores).round(3),
        "rounded (2)": lambda scores: np.round(jacobian_by_loop(scores), 6),
        "digits lost": lambda scores: quotient(sigmoid_gate, logits_of(scores)),  # the lesson's cell, by way of logits
        "digits lost (2)": jacobian_by_rows,
        "digits lost (3)": lambda scores: forward_quotient(sigmoid_gate, logits_of(scores), 1e-6),
        "digits lost (4)": lambda scores: jacobian_by_matrices(np.clip(scores, 1e-7, 1 - 1e-7)),
        "digits lost (5)": lambda scores: jacobian_by_matrices(np.maximum(scores, 1e-6)),
    },
    "7.2": {
        "reshaped, x": lambda x, W_g, a, k: (
            chain_at_once(x, W_g, a, k)[0],
            lesson_cell(x, W_g, a, k) @ W_g.reshape(W_g.shape[::-1]),
        ),
        "reshaped": lambda x, W_g, a, k: (
            x.reshape(x.shape[::-1]) @ lesson_cell(x, W_g, a, k),
            chain_at_once(x, W_g, a, k)[1],
        ),
        "only the logits": lesson_cell,
        "dense": carried(parts(lambda p, w, a, s: p * (a - (p * a).sum()))),
        "form B": carried(parts(lambda p, w, a, s: p * (s * a - (p * s * a).sum()))),
        "form B, cut": carried(parts(lambda p, w, a, s: p * s * (a - (p * s * a).sum()))),
        "dense, cut": carried(parts(lambda p, w, a, s: p * s * (a - (p * a).sum()))),
        "nothing subtracted": carried(parts(lambda p, w, a, s: w * a)),
        "diagonal only": carried(parts(lambda p, w, a, s: a * w * (1 - w))),
        "plain mean": carried(parts(lambda p, w, a, s: w * (a - a[s > 0].mean()))),
        "plain mean over all": carried(parts(lambda p, w, a, s: w * (a - np.mean(a)))),
        "mean with probabilities": carried(parts(lambda p, w, a, s: w * (a - (p * s) @ a))),
        "mean over all": carried(parts(lambda p, w, a, s: w * (a - p @ a))),
        "probability in front": carried(parts(lambda p, w, a, s: p * s * (a - w @ a))),
        "probability in front of all": carried(parts(lambda p, w, a, s: p * a - p * (w @ a))),
        "probability in front of all (2)": carried(parts(lambda p, w, a, s: p * s * a - p * (w @ a))),
        "softmax twice": carried(parts(lambda p, w, a, s: (u := softmax(w)) * (a - u @ a))),
        "no weight in front": carried(parts(lambda p, w, a, s: np.where(s > 0, a - w @ a, 0))),
        "sign turned": carried(lambda h, a, k: -slopes_by_jacobian(h, a, k)),
        "past the gate": carried(parts(lambda p, w, a, s: np.where(s > 0, a, 0))),
        "past the gate (2)": carried(lambda h, a, k: a),
        "the gate's weights": carried(parts(lambda p, w, a, s: w)),
        "the gate's weights (2)": carried(parts(lambda p, w, a, s: p)),
        "sum over the batch": sum_over_the_batch,
        "masked with 0": carried(masked_with_zero),
        "masked with 0 (2)": carried(lambda h, a, k: masked_with_zero(h, a, k, throughout=True)),
        "weights from a": carried(lambda h, a, k: slopes_by_jacobian(a, a, k)),
        "more than k": carried(with_selection(lambda h, a, k: h >= np.sort(h)[-k])),
        "last of the tied": carried(with_selection(lambda h, a, k: mask(h[::-1], k)[::-1])),
        "k is 2": carried(lambda h, a, k: slopes_by_jacobian(h, a, 2)),
        "smallest logits": carried(with_selection(lambda h, a, k: mask(-h, k))),
        "selected by size": carried(with_selection(lambda h, a, k: mask(abs(h), k))),
        "selected by a": carried(with_selection(lambda h, a, k: mask(a, k))),
        "selected by small a": carried(with_selection(lambda h, a, k: mask(-a, k))),
        "sum along the tokens": lambda x, W_g, a, k: [
            x.T @ (g := (w := np.stack([gate(h, k, "A") for h in x @ W_g])) * (a - (w * a).sum(0))),
            g @ W_g.T,
        ],
        "plain mean of the batch": lambda x, W_g, a, k: [
            x.T @ (g := np.stack([gate(h, k, "A") for h in x @ W_g]) * (a - np.mean(a))),
            g @ W_g.T,
        ],
        "a left out": carried(parts(lambda p, w, a, s: w - w * w)),
        "one token alone": first_from(lambda x, W_g, g: np.outer(x[0], g[0])),
        "one token alone (2)": first_from(lambda x, W_g, g: np.outer(x[-1], g[-1])),
        "added up first": first_from(lambda x, W_g, g: np.outer(x.sum(0), g.sum(0))),
        "mean added": carried(parts(lambda p, w, a, s: w * (a + w @ a))),
        "mean without the weight": carried(parts(lambda p, w, a, s: w * a - w @ a)),
        "mean without the weight (2)": carried(parts(lambda p, w, a, s: s * (w * a - w @ a))),
        "mean squared": carried(parts(lambda p, w, a, s: w * (a - w**2 @ a))),
        "mean divided by k": carried(parts(lambda p, w, a, s: w * (a - w @ a / s.sum()))),
        "mean divided by k (2)": carried(parts(lambda p, w, a, s: w * (a - np.mean(w * a)))),
        "sum in place of the mean": carried(parts(lambda p, w, a, s: w * (a - a[s > 0].sum()))),
        "plain mean, kept alone": carried(parts(lambda p, w, a, s: s * (a - a[s > 0].mean()))),
        "weight twice": carried(parts(lambda p, w, a, s: w**2 * (a - w @ a))),
        "Jacobian twice": carried(parts(lambda p, w, a, s: (J := np.diag(w) - np.outer(w, w)) @ J @ a)),
        "diagonal and mean": carried(parts(lambda p, w, a, s: w * (1 - w) * (a - w @ a))),
        "softmax of the kept p": carried(
            parts(lambda p, w, a, s: (u := softmax(np.where(s > 0, p, -np.inf))) * (a - u @ a))
        ),
        "no weight in front (2)": carried(parts(lambda p, w, a, s: a - w @ a)),
        "mean over the experts": first_from(lambda x, W_g, g: x.T @ g / g.shape[1]),
        "mean over the experts (2)": lambda x, W_g, a, k: (chain_at_once(x, W_g, a, k)[0] / k, 0 * x),
        "nothing subtracted, x": second_with(parts(lambda p, w, a, s: w * a)),
        "dense, x": second_with(parts(lambda p, w, a, s: p * (a - p @ a))),
        "form B, x": second_with(parts(lambda p, w, a, s: p * (s * a - p @ (s * a)))),
        "plain mean, x": second_with(parts(lambda p, w, a, s: w * (a - a[s > 0].mean()))),
        "mean added, x": second_with(parts(lambda p, w, a, s: w * (a + w @ a))),
        "mean over the batch": lambda x, W_g, a, k: [part / len(x) for part in chain_at_once(x, W_g, a, k)],
        "transposed": first_from(lambda x, W_g, g: g.T @ x),
        "one for each token": first_from(lambda x, W_g, g: np.einsum("td,tn->tdn", x, g)),
        "logits' gradient first": first_from(lambda x, W_g, g: g),
        "another of the tied": carried(with_selection(middle_of_the_tied)),
        "difference across the tie": differences_selecting_anew,
        "mean over the batch, x": second_from(lambda x, W_g, g: g @ W_g.T / len(x)),
        "transposed, x": second_from(lambda x, W_g, g: W_g @ g.T),
        "added up over the tokens": second_from(lambda x, W_g, g: W_g @ g.sum(0)),
        "added up over the tokens (2)": second_from(lambda x, W_g, g: np.tile(W_g @ g.sum(0), (len(x), 1))),
        "logits' gradient": second_from(lambda x, W_g, g: g),
        "sign turned, x": second_from(lambda x, W_g, g: -(W_g @ g.T).T),
        "nothing for the token": second_from(lambda x, W_g, g: 0 * x),
        "the gate's weights, x": second_with(parts(lambda p, w, a, s: w)),
        "the gate's weights, x (2)": second_with(parts(lambda p, w, a, s: p)),
        "past the gate, x": second_with(parts(lambda p, w, a, s: s * a)),
        "past the gate, x (2)": second_with(lambda h, a, k: a),
        "turned round": lambda x, W_g, a, k: chain_at_once(x, W_g, a, k)[::-1],
    },
    "7.3": {
        "first columns": packed(lambda kept: kept),
        "first columns (2)": packed(lambda kept: np.sort(kept, axis=1)),
        "s over the kept p": over_the_kept,
        "the formula the other way": gradient_again,
        "the formula the other way (2)": lambda logits, g, k: gradient_again(logits, g, k, cut=False),
        "form A, solved": of_ratio(lambda g, p, s, w: g / w),
        "form A, solved (2)": of_ratio(lambda g, p, s, w: g / w, cut=0),
        "zeros for the cut": lambda logits, g, k: np.nan_to_num(usefulness(logits, g, k)),
        "zeros for the cut (2)": of_ratio(lambda g, p, s, w: g / p + s, cut=None),
        "also the cut": of_ratio(lambda g, p, s, w: g / p + s, cut=lambda g, p, s: g / p),
        "also the cut (2)": of_ratio(lambda g, p, s, w: g / p + s, cut=lambda g, p, s: -g / p),
        "also the cut (3)": of_ratio(lambda g, p, s, w: g / p + s, cut=lambda g, p, s: g),
        "s for the cut and the kept alike": of_ratio(lambda g, p, s, w: s + 0 * g),
        "s for the cut and the kept alike (2)": of_ratio(lambda g, p, s, w: s, cut=None),
        "g/p without s": of_ratio(lambda g, p, s, w: g / p),
        "s subtracted": of_ratio(lambda g, p, s, w: g / p - s),
        "w in place of p": of_ratio(lambda g, p, s, w: g / w + s),
        "not divided by p": of_ratio(lambda g, p, s, w: g + s),
        "not divided by p (2)": of_ratio(lambda g, p, s, w: g),
        "s not divided": first_cut_undivided,
        "s not divided (2)": lambda logits, g, k: np.where(
            kept(logits, k), g / softmax(logits) + (g * kept(logits, k)).sum(1, keepdims=True), np.nan
        ),
        "s added up": lambda logits, g, k: np.where(
            m := kept(logits, k), (r := g / softmax(logits)) - (r * ~m).sum(1, keepdims=True), np.nan
        ),
        "s from the kept": lambda logits, g, k: np.where(
            kept(logits, k), (r := g / softmax(logits)) - r.mean(1, keepdims=True), np.nan
        ),
        "less the mean of the kept": lambda logits, g, k: np.where(
            m := kept(logits, k), (r := g / softmax(logits)) - (r * m).sum(1, keepdims=True) / k, np.nan
        ),
        "one column for all": lambda logits, g, k: np.where(
            kept(logits, k), (r := g / softmax(logits)) - r[:, -1:], np.nan
        ),
        "one column for all (2)": lambda logits, g, k: np.where(
            kept(logits, k), (r := g / softmax(logits)) - r[:, :1], np.nan
        ),
        "one column for all (3)": lambda logits, g, k: np.where(
            m := kept(logits, k), (r := g / softmax(logits)) - r[:, [np.flatnonzero(~m[0])[0]]], np.nan
        ),
        "one column for all (4)": lambda logits, g, k: np.where(
            m := kept(logits, k), (r := g / softmax(logits)) - r[:, [np.flatnonzero(~m[0])[-1]]], np.nan
        ),
        "softmax along the tokens": lambda logits, g, k: usefulness(logits, g, k, softmax(logits.T).T),
        "softmax along the tokens (2)": lambda logits, g, k: usefulness_by_the_kept(logits, g, k, softmax(logits.T).T),
        "softmax over the batch": lambda logits, g, k: usefulness(
            logits, g, k, softmax(logits.ravel()).reshape(g.shape)
        ),
        "s divided by the kept p": lambda logits, g, k: np.where(
            m := kept(logits, k),
            g / (p := softmax(logits)) - (g * ~m).sum(1, keepdims=True) / (p * m).sum(1, keepdims=True),
            np.nan,
        ),
        "less the mean of the kept (2)": lambda logits, g, k: (
            (found := usefulness(logits, g, k)) - np.nanmean(found, axis=1, keepdims=True)
        ),
        "k times s": lambda logits, g, k: of_ratio(lambda g, p, s, w: g / p + k * s)(logits, g, k),
        "k times s (2)": lambda logits, g, k: of_ratio(lambda g, p, s, w: g / p + s / k)(logits, g, k),
        "exponentials": lambda logits, g, k: usefulness(logits, g, k, np.exp(logits)),
        "k for each token (2)": lambda logits, g, k: usefulness(logits, g, k)[kept(logits, k)],
        "times p": of_ratio(lambda g, p, s, w: g * p + s),
        "times p (2)": of_ratio(lambda g, p, s, w: g * p),
        "p times s": of_ratio(lambda g, p, s, w: g / p + s * p),
        "size of s": of_ratio(lambda g, p, s, w: g / p + abs(s)),
        "diagonal of the Jacobian": of_ratio(lambda g, p, s, w: g / (p - p**2) + s),
        "weighted again": of_ratio(lambda g, p, s, w: p * (g / p + s)),
        "kept by g": with_scores(lambda h, g: g),
        "kept by the size of g": with_scores(lambda h, g: np.abs(g)),
        "smallest logits": with_scores(lambda h, g: -h),
        "kept by size": with_scores(lambda h, g: np.abs(h)),
        "k cut": lambda logits, g, k: usefulness(logits, g, logits.shape[1] - k),
        "s divided by another number": lambda logits, g, k: np.where(
            m := kept(logits, k), (r := g / softmax(logits)) - (r * ~m).mean(1, keepdims=True), np.nan
        ),
        "s divided by another number (2)": lambda logits, g, k: np.where(
            m := kept(logits, k), (r := g / softmax(logits)) - (r * ~m).sum(1, keepdims=True) / k, np.nan
        ),
        "k for each token": lambda logits, g, k: np.take_along_axis(
            usefulness(logits, g, k), np.argsort(-logits, axis=1, kind="stable")[:, :k], axis=1
        ),
        "one s for the batch": of_ratio(lambda g, p, s, w: g / p + np.mean(s)),
        "sign turned": lambda logits, g, k: -usefulness(logits, g, k),
        "last of the tied": with_kept(lambda h, k: mask(h[::-1], k)[::-1]),
        "more than k": with_kept(lambda h, k: h >= np.sort(h)[-k]),
        "kept and cut exchanged": of_ratio(lambda g, p, s, w: np.nan * g, cut=lambda g, p, s: g / p + s),
        "k is 2": lambda logits, g, k: usefulness(logits, g, 2),
        "something for the cut": of_ratio(lambda g, p, s, w: g / p + s, cut=1.0),
        "something for the cut (2)": of_ratio(lambda g, p, s, w: g / p + s, cut=-np.inf),
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
    "7.6": {
        "the m apart": the_m_apart,
        "m is 0": up_to_minus_m,
        "outputs of the m alone": hears(lambda h, u, E, k, m: (u[k:] - u[k:].detach()) @ E[k:]),
        "the m twice": hears(
            lambda h, u, E, k, m: (u - u.detach()) @ E + u[k:] @ E[k:] - (u[k:] @ E[k:]).detach(),
        ),
        "the worst heard": with_the_worst,
        "more in the output": lambda logits, outputs, k, m: sparse(logits, k + m) @ outputs,
        "dense forward": lambda logits, outputs, k, m: dense(logits) @ outputs,
        "form B forward": lambda logits, outputs, k, m: kept_probabilities(logits, k) @ outputs,
        "form B forward (2)": lambda logits, outputs, k, m: kept_probabilities(logits, k + m) @ outputs,
        "weights of the k + m": lambda logits, outputs, k, m: (sparse(logits, k + m) * selected(logits, k)) @ outputs,
        "both added": lambda logits, outputs, k, m: (sparse(logits, k).detach() + sparse(logits, k + m)) @ outputs,
        "both added (2)": lambda logits, outputs, k, m: (sparse(logits, k).detach() + dense(logits)) @ outputs,
        "m added": lambda logits, outputs, k, m: (
            (sparse(logits, k) + sparse(logits, k + m) * (1 - selected(logits, k))) @ outputs
        ),
        "best alone": lambda logits, outputs, k, m: in_the_weights(logits, outputs, 1, k + m - 1),
        "value cancelled": lambda logits, outputs, k, m: (
            sparse(logits, k + m) @ outputs - (sparse(logits, k + m) @ outputs).detach()
        ),
        "not weighted": lambda logits, outputs, k, m: outputs[logits.topk(k).indices].sum(0),
        "averaged": lambda logits, outputs, k, m: (sparse(logits, k) + sparse(logits, k + m)) / 2 @ outputs,
        "averaged (2)": lambda logits, outputs, k, m: (sparse(logits, k) @ outputs + dense(logits) @ outputs) / 2,
        "divided by k": lambda logits, outputs, k, m: sparse(logits, k) @ outputs / k,
        "more of them alone": lambda logits, outputs, k, m: (
            (sparse(logits, k + m) * (1 - selected(logits, k))) @ outputs
        ),
        "more of them alone (2)": lambda logits, outputs, k, m: (
            sparse(logits - 1e9 * selected(logits, k), m) @ outputs if m else 0 * outputs[0] + 0 * logits.sum()
        ),
        "k is 2": lambda logits, outputs, k, m: in_the_weights(logits, outputs, 2, k + m - 2 if k + m > 2 else 0),
        "m is 2": lambda logits, outputs, k, m: in_the_weights(logits, outputs, k, min(2, len(logits) - k)),
        "outputs not gathered": lambda logits, outputs, k, m: logits.topk(k).values.softmax(-1) @ outputs[:k],
        "equal weights": lambda logits, outputs, k, m: outputs[logits.topk(k).indices].mean(0),
        "the wide less the sparse": lambda logits, outputs, k, m: (
            (sparse(logits, k + m) - sparse(logits, k).detach()) @ outputs
        ),
        "the wide less the sparse (2)": lambda logits, outputs, k, m: (
            (dense(logits) - sparse(logits, k).detach()) @ outputs
        ),
        "not added up": lambda logits, outputs, k, m: sparse(logits, k)[:, None] * outputs,
        "all detached": lambda *arguments: in_the_weights(*arguments).detach(),
        "nothing for the router": lambda logits, outputs, k, m: sparse(logits, k).detach() @ outputs,
        "dense": dense_gradient,
        "dense (2)": through(lambda logits, k, m: dense(logits)),
        "m ignored": lambda logits, outputs, k, m: sparse(logits, k) @ outputs,
        "m ignored (2)": through(lambda logits, k, m: sparse(logits, k)),
        "dense, cut": through(
            lambda logits, k, m: dense(
                logits * selected(logits, k + m) + logits.detach() * (1 - selected(logits, k + m))
            )
        ),
        "form B's gradient": through(lambda logits, k, m: kept_probabilities(logits, k + m)),
        "form B's gradient (2)": through(lambda logits, k, m: kept_probabilities(logits, k)),
        "outputs of the k alone": through(lambda logits, k, m: sparse(logits, k + m) * selected(logits, k)),
        "only the selected hear": through(
            lambda logits, k, m: sparse(
                logits * selected(logits, k) + logits.detach() * (1 - selected(logits, k)), k + m
            )
        ),
        "m in all": through(lambda logits, k, m: sparse(logits, max(k, m))),
        "one too many": through(lambda logits, k, m: sparse(logits, min(k + m + 1, len(logits)))),
        "one too many (2)": through(lambda logits, k, m: sparse(logits, min(k + m + 1, len(logits)) if m else k)),
        "one too few": through(lambda logits, k, m: sparse(logits, max(k + m - 1, 1))),
        "one too few (2)": through(lambda logits, k, m: sparse(logits, k + m - 1 if m else k)),
        "sum held fixed": through(
            lambda logits, k, m: (e := logits.exp() * selected(logits, k + m)) / e.sum().detach()
        ),
        "mean of the k": through(
            lambda logits, k, m: (
                (u := sparse(logits.detach(), k + m)) * logits - sparse(logits.detach(), k) * (u @ logits)
            )
        ),
        "the selected hear nothing": through(
            lambda logits, k, m: sparse(
                logits.detach() * selected(logits, k) + logits * (1 - selected(logits, k)), k + m
            )
        ),
        "w in front": through(
            lambda logits, k, m: (
                (w := sparse(logits.detach(), k)) * logits - sparse(logits.detach(), k + m) * (w @ logits)
            )
        ),
        "only the m": through(lambda logits, k, m: sparse(logits, m)),
        "k and m apart": through(
            lambda logits, k, m: sparse(logits, k) + (sparse(logits - 1e9 * selected(logits, k), m) if m else 0)
        ),
        "k and m apart (2)": lambda logits, outputs, k, m: (
            sparse(logits, k) @ outputs
            + (u := (sparse(logits, k + m) * (1 - selected(logits, k))) @ outputs.detach())
            - u.detach()
        ),
        "both gradients": lambda logits, outputs, k, m: (
            (sparse(logits, k) + (u := sparse(logits, k + m)) - u.detach()) @ outputs
        ),
        "less that of the k": lambda logits, outputs, k, m: (
            (2 * (w := sparse(logits, k)).detach() - w + (u := sparse(logits, k + m)) - u.detach()) @ outputs
        ),
        "past the softmax": through(lambda logits, k, m: logits),
        "past the softmax (2)": through(lambda logits, k, m: logits * selected(logits, k + m)),
        "sign turned": through(lambda logits, k, m: -sparse(logits, k + m)),
        "leak into the m": lambda logits, outputs, k, m: (
            (u := sparse(logits, k + m)) @ outputs + ((sparse(logits, k) - u) @ outputs).detach()
        ),
        "nothing for the experts": lambda logits, outputs, k, m: in_the_weights(logits, outputs.detach(), k, m),
        "both for the experts": lambda logits, outputs, k, m: (
            sparse(logits.detach(), k) @ outputs + (u := sparse(logits, k + m) @ outputs) - u.detach()
        ),
        "weights of the wider path": with_leaks(lambda logits, k, m: sparse(logits, k + m) * selected(logits, k)),
        "form B's for the experts": with_leaks(lambda logits, k, m: kept_probabilities(logits, k)),
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "7.1": [
        lambda scores: None,
        lambda scores: shares(scores),
        lambda scores: np.zeros((len(scores), len(scores))),
        lambda scores: 2 * np.array(jacobian_by_loop(scores)),
        lambda scores: "s(1 - s)",
    ],
    "7.2": [
        lambda x, W_g, a, k: None,
        lambda x, W_g, a, k: chain_at_once(x, W_g, a, k)[0],
        lambda x, W_g, a, k: (np.zeros_like(W_g), np.zeros_like(x)),
        lambda x, W_g, a, k: [2 * part for part in chain_at_once(x, W_g, a, k)],
        lambda x, W_g, a, k: [part + 0.01 for part in chain_at_once(x, W_g, a, k)],
        lambda x, W_g, a, k: (np.full(W_g.shape, np.nan), np.full(x.shape, np.nan)),
        carried(with_selection(lambda h, a, k: mask(h, k) & (h != 0))),  # a kept logit of 0 taken for a cut one
        lambda x, W_g, a, k: 1.5 * lesson_cell(x, W_g, a, k),
        second_from(lambda x, W_g, g: 2 * g @ W_g.T),
    ],
    "7.3": [
        lambda logits, g, k: None,
        lambda logits, g, k: {"a": g},
        lambda logits, g, k: np.full(g.shape, np.nan),
        lambda logits, g, k: usefulness(logits, g, k) / 2,
        lambda logits, g, k: usefulness(logits, g, k) ** 2,
        lambda logits, g, k: np.where(kept(logits, k), GENERATOR.normal(size=g.shape), np.nan),
        lambda logits, g, k: usefulness(logits, g, k)[0],
        with_kept(lambda h, k: mask(h, k) & (h != 0)),
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
        lambda logits, mask: None,
        lambda logits, mask: z_by_logaddexp(logits, mask)[0],
        lambda logits, mask: (0.0, np.zeros_like(logits)),
        lambda logits, mask: (np.nan, np.full(logits.shape, np.nan)),
        with_loss(lambda h: np.abs(lse(h)).mean()),
        with_gradient(lambda z, p, n, T: 2 * z * p / n + 1),
        lambda logits, mask: (2 * z_by_logaddexp(logits, mask)[1], z_by_logaddexp(logits, mask)[0]),
    ],
    "7.6": [
        lambda logits, outputs, k, m: None,
        lambda *arguments: in_the_weights(*arguments).detach().numpy(),
        lambda *arguments: 2 * in_the_weights(*arguments),
        lambda *arguments: in_the_weights(*arguments)[None],
        lambda logits, outputs, k, m: in_the_weights(2 * logits - logits.detach(), outputs, k, m),
        through(lambda logits, k, m: zero_for_cut(logits, k + m)),
        lambda logits, outputs, k, m: in_the_weights(logits, 2 * outputs - outputs.detach(), k, m),
        lambda logits, outputs, k, m: in_the_weights(logits, 2 * outputs.detach() - outputs, k, m),
    ],
}

RIGHT = {
    "7.1": [
        jacobian_by_loop,
        jacobian_by_autograd,
        jacobian_by_matrices,
        jacobian_by_two_steps,
        jacobian_by_complex_step,
        of_s(lambda s, w, one: np.einsum("ij,j->ij", one - w[:, None], w * (1 - s))),
        of_s(lambda s, w, one: (np.diag(w) - np.outer(w, w)) * (1 - s)),
    ],
    "7.2": [
        chain_at_once,
        chain_by_loop,
        carried(slopes_by_jacobian),
        chain_by_autograd(torch.float64),
        chain_by_autograd(torch.float32),
        renormalised_by_autograd,
        lambda x, W_g, a, k: differences_selecting_anew(x, W_g, a, k, anew=False),
        lambda x, W_g, a, k: [part.tolist() for part in chain_at_once(x, W_g, a, k)],
    ],
    "7.3": [
        usefulness,
        usefulness_by_the_kept,
        usefulness_by_loop,
        usefulness_by_equations,
        usefulness_in_torch,
        of_ratio(lambda g, p, s, w: (g + p * s) / p),
    ],
    "7.4": [
        {"router 1": "form B", "router 2": "masked with 0", "router 3": "straight-through"},
        {"router 3": "Straight-Through", "router 2": " masked with 0", "router 1": "FORM B"},
        {"router 1": "form B", "router 2": "masked with 0", "router 3": "straight through"},
        {"router 1": "form_B", "router 2": "masked_with_0", "router 3": "straight_through"},
        {"router 1": "formB", "router 2": "masked  with  0", "router 3": "straight-through\n", "router 4": "?"},
    ],
    "7.5": [z_in_torch, z_by_loop, z_by_logaddexp, z_by_where, z_by_index, z_by_nan],
    "7.6": [in_the_weights, in_the_output, by_a_loop, by_masks, Own.apply, in_double, on_the_heard_alone],
}
