"""Answers to 7.6: plausible wrong ones by the mistake that must be named, others that match none, and right ones."""

import torch


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
    "7.6": [in_the_weights, in_the_output, by_a_loop, by_masks, Own.apply, in_double, on_the_heard_alone],
}
