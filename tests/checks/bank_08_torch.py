"""Answers to 8.2: plausible wrong ones by the mistake that must be named, others, and right ones."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.special import log_softmax, logsumexp, softmax

# --- 8.2 -------------------------------------------------------------------------------------------------------------


def lse(h):
    return torch.logsumexp(h, dim=-1)  # (T,)


def z(h):
    return lse(h).square().mean()


def by_autograd(loss, update=lambda W, g, lr: W - lr * g):
    """A step on loss(h, domain, c)."""

    def step(W, x, domain, lr, z_loss_coef):
        W = W.clone().requires_grad_(True)
        (g,) = torch.autograd.grad(loss(x @ W, domain, z_loss_coef), W, allow_unused=True)
        return update(W.detach(), torch.zeros_like(W) if g is None else g, lr)

    return step


def total(cross_entropy=F.cross_entropy, penalty=z):
    return by_autograd(lambda h, domain, c: cross_entropy(h, domain) + c * penalty(h))


def right_loss(h, domain, c):
    return F.cross_entropy(h, domain) + c * z(h)


def by_optimiser(W, x, domain, lr, z_loss_coef):
    W = torch.nn.Parameter(W.clone())
    sgd = torch.optim.SGD([W], lr=lr)
    sgd.zero_grad()
    right_loss(x @ W, domain, z_loss_coef).backward()
    sgd.step()
    return W


def by_functional_grad(W, x, domain, lr, z_loss_coef):
    return W - lr * torch.func.grad(lambda V: right_loss(x @ V, domain, z_loss_coef))(W)


def by_hand(W, x, domain, lr, z_loss_coef):
    h = x @ W
    p, one_hot = torch.softmax(h, -1), F.one_hot(domain, W.shape[1])
    g = x.T @ (p - one_hot + 2 * z_loss_coef * lse(h)[:, None] * p) / len(x)
    return W - lr * g


def by_hand_in_numpy(W, x, domain, lr, z_loss_coef):
    W, x, domain = W.numpy().astype(float), x.numpy().astype(float), domain.numpy()
    h = x @ W
    g = softmax(h, axis=1) * (1 + 2 * z_loss_coef * logsumexp(h, axis=1)[:, None])
    g[np.arange(len(x)), domain] -= 1
    return W - lr * x.T @ g / len(x)


def by_adam(W, x, domain, lr, z_loss_coef):
    W = torch.nn.Parameter(W.clone())
    adam = torch.optim.Adam([W], lr=lr)
    right_loss(x @ W, domain, z_loss_coef).backward()
    adam.step()
    return W


def token_after_token(W, x, domain, lr, z_loss_coef):
    for t in range(len(x)):
        W = by_hand(W, x[t : t + 1], domain[t : t + 1], lr, z_loss_coef)
    return W


def in_place(W, x, domain, lr, z_loss_coef):
    W.requires_grad_(True)
    h = x @ W
    right = torch.log_softmax(h, -1).gather(1, domain[:, None])
    (-right.mean() + z_loss_coef * (lse(h) ** 2).mean()).backward()
    with torch.no_grad():
        W -= lr * W.grad
    return W


def by_another(optimiser, **options):
    """The step of another optimiser."""

    def step(W, x, domain, lr, z_loss_coef):
        W = torch.nn.Parameter(W.clone())
        other = optimiser([W], lr=lr, **options)
        right_loss(x @ W, domain, z_loss_coef).backward()
        other.step()
        return W.detach()

    return step


def clipped(clip, most):
    def step(W, x, domain, lr, z_loss_coef):
        W = torch.nn.Parameter(W.clone())
        right_loss(x @ W, domain, z_loss_coef).backward()
        clip([W], most)
        return W - lr * W.grad

    return step


def backward_twice(W, x, domain, lr, z_loss_coef):
    W = W.clone().requires_grad_(True)
    h = x @ W
    cross_entropy = F.cross_entropy(h, domain)
    cross_entropy.backward(retain_graph=True)
    (cross_entropy + z_loss_coef * z(h)).backward()
    return W - lr * W.grad


def two_steps(W, x, domain, lr, z_loss_coef):
    for _ in range(2):
        W = by_hand(W, x, domain, lr, z_loss_coef)
    return W


def with_penalty_on_weights(W, x, domain, lr, z_loss_coef):
    W = W.clone().requires_grad_(True)
    (F.cross_entropy(x @ W, domain) + z_loss_coef * (W**2).sum()).backward()
    return W - lr * W.grad


def by_a_layer(W, x, domain, lr, z_loss_coef):
    layer = torch.nn.Linear(*W.shape, bias=False)
    layer.weight.data = W.T.clone()
    right_loss(layer(x), domain, z_loss_coef).backward()
    return (layer.weight - lr * layer.weight.grad).T.tolist()


def by_differences(W, x, domain, lr, z_loss_coef):
    W, x, domain = W.double().numpy(), x.double().numpy(), domain.numpy()

    def loss(W):
        h = x @ W
        right = log_softmax(h, axis=1)[np.arange(len(x)), domain]
        return -right.mean() + z_loss_coef * (logsumexp(h, axis=1) ** 2).mean()

    g = np.zeros_like(W)
    for i in np.ndindex(W.shape):
        e = np.zeros_like(W)
        e[i] = 1e-5
        g[i] = (loss(W + e) - loss(W - e)) / 2e-5
    return W - lr * g


def largest_taken_off(h):
    return torch.logsumexp(h - h.max(dim=-1, keepdim=True).values, dim=-1).square().mean()


def alike(W, x, domain, lr, z_loss_coef):
    h = x @ W
    slope = torch.softmax(h, -1) - F.one_hot(domain, W.shape[1]) + 2 * z_loss_coef * torch.logsumexp(h, -1, True)
    return W - lr * x.T @ slope / len(x)


WRONG = {
    "8.2": {
        "largest taken off": total(lambda h, domain: F.cross_entropy(h, domain), largest_taken_off),
        "z-loss without p": alike,
        "transposed": lambda W, x, domain, lr, z_loss_coef: by_hand(W, x, domain, lr, z_loss_coef).T,
        "wrong length": by_another(torch.optim.SGD, momentum=0.9, nesterov=True),
        "uphill, wrong length": lambda W, x, domain, lr, z_loss_coef: by_hand(W, x, domain, -len(x) * lr, z_loss_coef),
        "wrong length (2)": lambda W, x, domain, lr, z_loss_coef: by_hand(W, x, domain, 0.9 * lr, z_loss_coef),
        "wrong length (3)": lambda W, x, domain, lr, z_loss_coef: by_hand(W, x, domain, lr**2, z_loss_coef),
        "another expert's domain": total(lambda h, domain: F.cross_entropy(h, (domain - 1) % h.shape[1])),
        "another logarithm": total(lambda h, domain: F.cross_entropy(h, domain) / np.log(2)),
        "step alone (2)": by_autograd(right_loss, lambda W, g, lr: lr * g),
        "Adam (2)": by_another(torch.optim.RMSprop),
        "Adam (3)": by_another(torch.optim.Adagrad),
        "clipped": clipped(torch.nn.utils.clip_grad_norm_, 1.0),
        "clipped (2)": clipped(torch.nn.utils.clip_grad_value_, 1.0),
        "clipped (3)": clipped(torch.nn.utils.clip_grad_norm_, 0.5),
        "weight decay": by_another(torch.optim.SGD, weight_decay=0.01),
        "weight decay (2)": by_another(torch.optim.SGD, weight_decay=1e-4),
        "one step too many": two_steps,
        "one token": lambda W, x, domain, lr, c: by_hand(W, x[:1], domain[:1], lr, c),
        "gradients added up": backward_twice,
        "gradients added up (2)": by_autograd(right_loss, lambda W, g, lr: W - lr * (g + g)),
        "squared weights": with_penalty_on_weights,
        "no cross-entropy": by_autograd(lambda h, domain, c: c * z(h)),
        "coefficient of both": by_autograd(lambda h, domain, c: (1 - c) * F.cross_entropy(h, domain) + c * z(h)),
        "coefficient of both (2)": by_autograd(lambda h, domain, c: c * (F.cross_entropy(h, domain) + z(h))),
        "coefficient squared": by_autograd(
            lambda h, domain, c: F.cross_entropy(h, domain) + (c * lse(h)).square().mean()
        ),
        "square of the sum": total(penalty=lambda h: lse(h).sum().square()),
        "one log-sum-exp": total(penalty=lambda h: lse(h.flatten()).square()),
        "softmax over the tokens": total(lambda h, domain: F.nll_loss(h.log_softmax(0), domain)),
        "domain not used": total(lambda h, domain: F.cross_entropy(h, h.argmax(-1))),
        "squared error (2)": total(lambda h, domain: F.mse_loss(h.softmax(-1), F.one_hot(domain, h.shape[1]).float())),
        "squared error (3)": total(lambda h, domain: F.mse_loss(h, F.one_hot(domain, h.shape[1]).float())),
        "the loss": lambda W, x, domain, lr, c: right_loss(x @ W, domain, c),
        "wrong sign": by_autograd(right_loss, lambda W, g, lr: W + lr * g),
        "no step": by_autograd(right_loss, lambda W, g, lr: W),
        "gradient alone": by_autograd(right_loss, lambda W, g, lr: g),
        "no learning rate": by_autograd(right_loss, lambda W, g, lr: W - g),
        "step alone": by_autograd(right_loss, lambda W, g, lr: -lr * g),
        "Adam": by_adam,
        "a step for each token": token_after_token,
        "logits for ln p": total(F.nll_loss),
        "cross-entropy averaged over T·N": total(
            lambda h, domain: -(F.one_hot(domain, h.shape[1]) * h.log_softmax(-1)).mean()
        ),
        "yes or no for each expert": total(
            lambda h, domain: F.binary_cross_entropy_with_logits(h, F.one_hot(domain, h.shape[1]).float())
        ),
        "no logarithm in the z-loss": total(penalty=lambda h: h.exp().sum(-1).square().mean()),
        "z-loss of the probabilities": total(penalty=lambda h: z(h.softmax(-1))),
        "sum over the tokens": by_autograd(lambda h, domain, c: len(h) * right_loss(h, domain, c)),
        "cross-entropy summed": total(lambda h, domain: F.cross_entropy(h, domain, reduction="sum")),
        "z-loss summed": total(penalty=lambda h: lse(h).square().sum()),
        "averaged over T·N": by_autograd(lambda h, domain, c: right_loss(h, domain, c) / h.shape[1]),
        "no z-loss": total(penalty=lambda h: z(h.detach())),
        "coefficient forgotten": by_autograd(lambda h, domain, c: right_loss(h, domain, 1)),
        "z-loss not squared": total(penalty=lambda h: lse(h).mean()),
        "z-loss subtracted": total(penalty=lambda h: -z(h)),
        "square of the mean": total(penalty=lambda h: lse(h).mean().square()),
        "squared logits": total(penalty=lambda h: h.square().sum(-1).mean()),
        "mean of squared logits": total(penalty=lambda h: h.square().mean()),
        "along the tokens": total(penalty=lambda h: torch.logsumexp(h, dim=0).square().mean()),
        "half the z-loss": total(penalty=lambda h: z(h) / 2),
        "probability, not its logarithm": total(lambda h, domain: F.nll_loss(h.softmax(-1), domain)),
        "softmax twice": total(lambda h, domain: F.cross_entropy(h.softmax(-1), domain)),
        "squared error": total(
            lambda h, domain: (h.softmax(-1) - F.one_hot(domain, h.shape[1])).square().sum(-1).mean()
        ),
        "pushed away": total(lambda h, domain: -F.cross_entropy(h, domain)),
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "8.2": [
        total(lambda h, domain: F.cross_entropy(h, domain, label_smoothing=0.1)),
        lambda W, x, domain, lr, z_loss_coef: None,
        lambda W, x, domain, lr, z_loss_coef: torch.full_like(W, torch.nan),
        lambda W, x, domain, lr, z_loss_coef: (by_hand(W, x, domain, lr, z_loss_coef), 0.0),
    ],
}

RIGHT = {
    "8.2": [
        by_another(torch.optim.SGD, momentum=0.9),
        by_a_layer,
        by_autograd(right_loss),
        by_optimiser,
        by_functional_grad,
        by_hand,
        by_hand_in_numpy,
        in_place,
        by_differences,
    ],
}
