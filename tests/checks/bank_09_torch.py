"""Answers to 9.4: plausible wrong ones by the mistake that must be named, others, and right ones."""

import numpy as np
import torch
from torch.nn import functional

# --- 9.4 -------------------------------------------------------------------------------------------------------------


def count(logits, k):
    T, N = logits.shape
    return torch.bincount(logits.topk(k).indices.flatten(), minlength=N) / (T * k)


def hard(logits, k):
    return torch.zeros_like(logits).scatter(-1, logits.topk(k).indices, 1.0)


def weights(logits, k):
    best = logits.topk(k)
    return torch.zeros_like(logits).scatter(-1, best.indices, torch.softmax(best.values, -1))


def on(device):
    return functional.one_hot(torch.tensor(device)).float()


def switch(logits, k, device=None):
    """The lesson's, over experts."""
    return logits.shape[1] * (count(logits, k) * torch.softmax(logits, -1).mean(0)).sum()


def lesson_cell(h, k, device):
    p = h.softmax(dim=-1)
    P = p.mean(dim=0)
    f = torch.bincount(h.argmax(dim=-1), minlength=h.shape[1]) / len(h)
    return h.shape[1] * (f * P).sum()


def by_device(product):
    """product(F, P, size) of shares, probabilities and sizes of the devices."""

    def answer(logits, k, device):
        E = on(device)
        return product(count(logits, k) @ E, torch.softmax(logits, -1).mean(0) @ E, E.sum(0))

    return answer


devices = by_device(lambda F, P, size: len(F) * F @ P)


def devices_by_loop(logits, k, device):
    T, loss, D = len(logits), 0.0, len(set(device.tolist()))
    chosen, p = logits.topk(k).indices.tolist(), torch.softmax(logits, -1)
    for g in range(D):
        mine = [i for i, place in enumerate(device) if place == g]
        F = sum(i in row for row in chosen for i in mine) / (T * k)
        loss = loss + D * F * sum(p[:, i].mean() for i in mine)
    return loss


def devices_by_index_add(logits, k, device):
    place = torch.tensor(device)
    D = int(place.max()) + 1
    P = torch.zeros(D).index_add(0, place, torch.softmax(logits, -1).mean(0))
    F = torch.bincount(place[logits.topk(k).indices].flatten(), minlength=D) / (len(logits) * k)
    return D * torch.dot(F, P)


def devices_expert_by_expert(logits, k, device):
    """Each expert's probability at the price of its device, in double."""
    place, h = torch.tensor(device), logits.double()
    price = (on(device).double().T @ count(h, k).double())[place]
    return (place.max() + 1) * (price * torch.softmax(h, -1)).sum(-1).mean()


def once_a_token(rescale):
    """Devices that a token goes to count once."""

    def answer(logits, k, device):
        marks = (hard(logits, k) @ on(device)).clamp(max=1)
        P = torch.softmax(logits, -1).mean(0) @ on(device)
        return len(P) * rescale(marks.mean(0), k) @ P

    return answer


def first_choice(logits, k, device):
    E = on(device)
    return E.shape[1] * (E[logits.argmax(-1)].mean(0) @ (torch.softmax(logits, -1).mean(0) @ E))


def likeliest(logits, k, device):
    p = torch.softmax(logits, -1) @ on(device)
    F = functional.one_hot(p.argmax(-1), p.shape[1]).float().mean(0)
    return p.shape[1] * F @ p.mean(0)


def likeliest_k(logits, k, device):
    p = logits.softmax(-1) @ on(device)
    D = p.shape[1]
    F = torch.bincount(p.topk(min(k, D)).indices.flatten(), minlength=D) / (len(p) * min(k, D))
    return D * F @ p.mean(0)


def in_blocks(logits, k, device):
    """As if the next N // D experts were always those of one device."""
    D, N = max(device) + 1, logits.shape[1]
    parts = [torch.arange(N)[g * (N // D) : (g + 1) * (N // D)] for g in range(D)]
    f, P = count(logits, k), logits.softmax(-1).mean(0)
    return D * sum(f[part].sum() * P[part].sum() for part in parts)


def soft_count(soft, alone=False):
    """F has the value of the counted shares and the gradient of `soft`."""

    def answer(logits, k, device):
        carrier = soft(logits, k)
        f = (hard(logits, k) + carrier - carrier.detach()).mean(0) / k
        P = torch.softmax(logits, -1).mean(0) @ on(device)
        return len(P) * (f @ on(device)) @ (P.detach() if alone else P)

    return answer


def with_probabilities(probabilities):
    """The loss with probabilities(logits, E, device) of the devices."""

    def answer(logits, k, device):
        E = on(device)
        return E.shape[1] * (count(logits, k) @ E) @ probabilities(logits, E, device)

    return answer


def by_device_logits(merge):
    return with_probabilities(
        lambda h, E, device: torch.stack([merge(h[:, device == g]) for g in range(E.shape[1])], 1).softmax(1).mean(0)
    )


def with_selected(weigh):
    """Probabilities of the selected alone."""
    return lambda logits, k, device: (
        (max(device) + 1) * (count(logits, k) @ on(device)) @ (weigh(logits, k) @ on(device)).mean(0)
    )


def kept(logits, k):
    return logits.softmax(-1) * hard(logits, k)


def by_weights(weigh):
    """Gate weights in the place of counts."""
    return lambda logits, k, device: (
        (max(device) + 1) * (weigh(logits, k).detach() @ on(device)).mean(0) @ (logits.softmax(-1) @ on(device)).mean(0)
    )


def token_by_token(logits, k, device):
    E = on(device)
    return E.shape[1] * ((hard(logits, k) @ E / k) * (logits.softmax(-1) @ E)).sum(1).mean()


class DetachedValue(torch.autograd.Function):
    """The right value; the gradient is twice what it should be."""

    @staticmethod
    def forward(ctx, logits, k, device):
        with torch.enable_grad():
            leaf = logits.detach().requires_grad_()
            loss = devices(leaf, k, device)
            (ctx.slope,) = torch.autograd.grad(loss, leaf)
        return loss.detach()

    @staticmethod
    def backward(ctx, v):
        return 2 * v * ctx.slope, None, None


WRONG = {
    "9.4": {
        "over the experts (2)": lambda logits, k, device: (
            (count(logits, k) * torch.softmax(logits, -1).mean(0)).sum() * (max(device) + 1)
        ),
        "weighed by size (2)": by_device(lambda F, P, size: len(F) ** 2 * (F / size) @ (P / size)),
        "softmax over the devices": by_device_logits(lambda part: part.sum(1)),
        "softmax over the devices (2)": by_device_logits(lambda part: part.max(1).values),
        "softmax over the tokens": with_probabilities(lambda h, E, device: (h.softmax(0) @ E).mean(0)),
        "sigmoid": with_probabilities(lambda h, E, device: (h.sigmoid() @ E).mean(0)),
        "probabilities of the selected": with_selected(kept),
        "probabilities of the selected (2)": with_selected(weights),
        "likeliest of each": with_probabilities(
            lambda h, E, device: torch.stack(
                [h.softmax(-1)[:, device == g].max(1).values.mean() for g in range(E.shape[1])]
            )
        ),
        "weights, not counts": by_weights(weights),
        "weights, not counts (2)": by_weights(kept),
        "product for each token": token_by_token,
        "k built in": lambda logits, k, device: devices(logits, 2, device),
        "experts in order": lambda logits, k, device: devices(logits, k, np.sort(device)),
        "experts in order (2)": lambda logits, k, device: devices(
            logits, k, np.arange(len(device)) % (max(device) + 1)
        ),
        "D built in": by_device(lambda F, P, size: 3 * F @ P),
        "D counted from 0": lambda logits, k, device: by_device(lambda F, P, size: max(device) * F @ P)(
            logits, k, device
        ),
        "over the experts": switch,
        "the lesson's cell": lesson_cell,
        "times N": lambda logits, k, device: logits.shape[1] / (max(device) + 1) * devices(logits, k, device),
        "weighed by size": by_device(lambda F, P, size: (size.sum() / size * F) @ P),
        "tokens counted once": once_a_token(lambda marks, k: marks / marks.sum()),
        "first choice only": first_choice,
        "likeliest device": likeliest,
        "likeliest device (2)": likeliest_k,
        "experts in order (3)": in_blocks,
        "not divided by k": lambda logits, k, device: k * devices(logits, k, device),
        "divided by k twice": lambda logits, k, device: devices(logits, k, device) / k,
        "D missing": by_device(lambda F, P, size: F @ P),
        "mean over the devices": by_device(lambda F, P, size: (F * P).mean()),
        "probabilities summed": lambda logits, k, device: len(logits) * devices(logits, k, device),
        "counts": lambda logits, k, device: len(logits) * k * devices(logits, k, device),
        "1 taken off": lambda logits, k, device: devices(logits, k, device) - 1,
        "probabilities twice": by_device(lambda F, P, size: len(F) * P.square().sum()),
        "shares twice": by_device(lambda F, P, size: len(F) * F.square().sum()),
        "one for each device": by_device(lambda F, P, size: len(F) * F * P),
        "weighed by size (3)": by_device(lambda F, P, size: size.sum() * (F / size) @ (P / size)),
        "first choice only (2)": lambda logits, k, device: first_choice(logits, k, device) / k,
        "smallest logits": lambda logits, k, device: (
            (count(-logits, k) @ on(device)) @ (logits.softmax(-1) @ on(device)).mean(0) * (max(device) + 1)
        ),
        "within the devices": lambda logits, k, device: (
            count(logits, k) * logits.softmax(-1).mean(0) * on(device).sum(0)[torch.tensor(device)]
        ).sum(),
        "added to the loss of the experts": lambda logits, k, device: devices(logits, k, device) + switch(logits, k),
        "logarithm": by_device(lambda F, P, size: -(F * P.log()).sum()),
        "busiest device alone": by_device(lambda F, P, size: len(F) * (F * P).max()),
        "a distance": by_device(lambda F, P, size: (F - P).square().sum()),
        "D twice": by_device(lambda F, P, size: len(F) ** 2 * F @ P),
        "counts and sums": lambda logits, k, device: len(logits) ** 2 * k * devices(logits, k, device),
        "busiest device alone (2)": by_device(lambda F, P, size: len(F) * F.max() * P.sum()),
        "coefficient": lambda logits, k, device: 0.01 * devices(logits, k, device),
        "P detached": by_device(lambda F, P, size: len(F) * F @ P.detach()),
        "through the shares too": soft_count(lambda logits, k: torch.softmax(logits, -1)),
        "through the shares alone": soft_count(lambda logits, k: torch.softmax(logits, -1), alone=True),
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "9.4": [
        with_probabilities(lambda h, E, device: h.mean(0).softmax(0) @ E),
        lambda logits, k, device: None,
        lambda logits, k, device: devices(logits, k, device).item(),
        lambda logits, k, device: 3 * devices(logits, k, device),
        lambda logits, k, device: devices(logits, k, device) + 1,
        DetachedValue.apply,
        lambda logits, k, device: devices(2 * logits - logits.detach(), k, device),
    ],
}

RIGHT = {
    "9.4": [
        devices,
        devices_by_loop,
        devices_by_index_add,
        devices_expert_by_expert,
        lambda *case: devices(*case)[None],
    ],
}
