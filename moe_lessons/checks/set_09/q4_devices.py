"""Question 9.4: the Switch loss, for devices."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons import routing
from moe_lessons.checks.gates import kept_probabilities, selected_mask, through_softmax
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.values import without_dust
from moe_lessons.checks.verdicts import by_value

SIZES = ((6, 2, (3, 2)), (5, 3, (3, 1, 2)), (9, 1, (1, 2, 2)))  # T, k, and how many experts each device has


def device_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (logits (T, N) in float32, k, device (N,)): some experts preferred, no ties, devices of unequal size.

    The experts of a device need not be neighbours. The mistakes in the shares of the devices show in every case.
    """
    cases = []
    for T, k, sizes in SIZES:
        case = draw_case(rng, T, k, sizes)
        while not tells(*case):
            case = draw_case(rng, T, k, sizes)
        cases.append(case)
    return cases


def draw_case(rng: np.random.Generator, T: int, k: int, sizes: tuple[int, ...]) -> tuple:
    """Draw logits (T, N), k, device (N,)."""
    N = sum(sizes)
    preference = 0.34 * rng.permutation(N)  # (N,): of no multiple of it comes one of 0.4
    ranks = np.stack([rng.permutation(N) for _ in range(T)])  # (T, N)
    h = 0.4 * ranks + preference + rng.uniform(-0.02, 0.02, size=(T, N))  # (T, N)
    return h.astype(np.float32), k, rng.permutation(np.repeat(np.arange(len(sizes)), sizes))


def tells(h: np.ndarray, k: int, device: np.ndarray) -> bool:
    """Tell whether the devices are unequally busy, and (for k > 1) other ways to count give other shares."""
    F, size = of_device(chosen_share(h, k), device), np.bincount(device)  # (D,) each
    by_mean, once = F / size / (F / size).sum(), once_a_token(h, k, device).mean(axis=0)  # (D,) each
    others = [np.full(len(F), 1 / len(F)), by_mean]
    first, likeliest = of_device(chosen_share(h, 1), device), likeliest_share(h, device)  # (D,) each
    others += [first, once / once.sum()] if k > 1 else []
    told_apart = all(np.abs(F - other).max() > 0.03 for other in others) and abs(device_loss(h, k, device) - 1) > 0.05
    return told_apart and (k == 1 or np.abs(first - likeliest).max() > 0.03)


def chosen_share(h: np.ndarray, k: int) -> np.ndarray:
    """Return f, each expert's share of the T·k assignments. h (T, N). Returns (N,)."""
    return selected_mask(h, k).mean(axis=0) / k


def mean_probability(h: np.ndarray) -> np.ndarray:
    """Return P, the mean probability of each expert. h (T, N). Returns (N,)."""
    return routing.softmax(h.astype(float)).mean(axis=0)


def balance(h: np.ndarray, k: int) -> float:
    """Return the lesson's loss, N Σ f_i P_i over experts. h (T, N)."""
    return float(h.shape[1] * chosen_share(h, k) @ mean_probability(h))


def of_device(values: np.ndarray, device: np.ndarray) -> np.ndarray:
    """Add up what the experts of each device have. values (..., N) -> (..., D)."""
    return values @ np.eye(device.max() + 1)[device]


def loss_of(F: np.ndarray, h: np.ndarray, device: np.ndarray) -> float:
    """Return D Σ F_g P_g, of these shares F (D,) and the probabilities of D devices. h (T, N), device (N,)."""
    return float(len(F) * F @ of_device(mean_probability(h), device))


def device_loss(h: np.ndarray, k: int, device: np.ndarray) -> float:
    """Return D Σ F_g P_g, of the shares and probabilities of D devices. h (T, N), device (N,)."""
    return loss_of(of_device(chosen_share(h, k), device), h, device)


def slope(h: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return the gradient of Σ c_i P_i for constant c (N,): p (c − Σ c_i p_i) / T. h (T, N). Returns (T, N)."""
    return through_softmax(routing.softmax(h.astype(float)), c) / len(h)


def device_slope(h: np.ndarray, k: int, device: np.ndarray) -> np.ndarray:
    """Return ∂L/∂h of the loss, through the probabilities alone. (T, N)."""
    F = of_device(chosen_share(h, k), device)  # (D,)
    return slope(h, len(F) * F[device])


def soft_slope(h: np.ndarray, device: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return the gradient through the shares, if they had that of mean p (T, N), and the probabilities were constant."""
    P = of_device(mean_probability(h), device)  # (D,)
    return len(P) * through_softmax(p, P[device]) / len(h)


def with_factor(factor: Callable) -> Callable:
    """Return the loss times factor(T, N, k, D)."""
    return lambda h, k, device: device_loss(h, k, device) * factor(*h.shape, k, device.max() + 1)


def with_shares(product: Callable) -> Callable:
    """Return product(F, P, size): shares, probabilities and numbers of experts of the devices, (D,) each."""

    def wrong(h: np.ndarray, k: int, device: np.ndarray) -> Any:
        F, P = of_device(chosen_share(h, k), device), of_device(mean_probability(h), device)  # (D,) each
        return product(F, P, np.bincount(device))

    return wrong


def once_a_token(h: np.ndarray, k: int, device: np.ndarray) -> np.ndarray:
    """Mark the devices that each token goes to, however many of its experts are there. (T, D)."""
    return of_device(selected_mask(h, k).astype(float), device) > 0


def by_tokens(share: Callable) -> Callable:
    """Return the loss with share(marks (T, D), k) in the place of the shares."""
    return lambda h, k, device: loss_of(share(once_a_token(h, k, device), k), h, device)


def with_counts(share: Callable) -> Callable:
    """Return the loss with share(logits (T, N), k) (N,) in the place of the experts' shares."""
    return lambda h, k, device: loss_of(of_device(share(h, k), device), h, device)


def with_probabilities(probabilities: Callable) -> Callable:
    """Return the loss with probabilities(logits (T, N) in float64, device) in the place of P (D,)."""

    def wrong(h: np.ndarray, k: int, device: np.ndarray) -> float:
        F = of_device(chosen_share(h, k), device)  # (D,)
        return float(len(F) * F @ probabilities(h.astype(float), device))

    return wrong


def of_devices_logits(merged: Callable) -> Callable:
    """Return P (D,) by a softmax over one logit for each device: merged(the logits of its experts (T, n))."""

    def probabilities(h: np.ndarray, device: np.ndarray) -> np.ndarray:
        logits = np.stack([merged(h[:, device == g]) for g in range(device.max() + 1)], axis=1)  # (T, D)
        return routing.softmax(logits).mean(axis=0)

    return probabilities


def of_the_selected(divided: bool) -> Callable:
    """Return the loss with the probabilities of the selected experts alone, divided by their sum or not."""

    def wrong(h: np.ndarray, k: int, device: np.ndarray) -> float:
        F = of_device(chosen_share(h, k), device)  # (D,)
        w = routing.gate_weights(h.astype(float), k) if divided else kept_probabilities(h.astype(float), k)  # (T, N)
        return float(len(F) * F @ of_device(w, device).mean(axis=0))

    return wrong


def by_weights(weights: Callable) -> Callable:
    """Return the loss with weights(logits, k) (T, N) added up in the place of counts."""
    return with_counts(lambda h, k: weights(h.astype(float), k).mean(axis=0))


def token_by_token(h: np.ndarray, k: int, device: np.ndarray) -> float:
    """Return the loss when share and probability are multiplied for each token, and averaged afterwards."""
    F = of_device(selected_mask(h, k) / k, device)  # (T, D)
    return float(F.shape[1] * (F * of_device(routing.softmax(h.astype(float)), device)).sum(axis=1).mean())


def with_devices(places: Callable) -> Callable:
    """Return the loss for devices places(N, device) (N,)."""
    return lambda h, k, device: device_loss(h, k, places(h.shape[1], device))


def with_built_in(k_taken: int) -> Callable:
    """Return the loss with so many experts for each token, whatever k is."""
    return lambda h, k, device: device_loss(h, k_taken, device)


def likeliest_share(h: np.ndarray, device: np.ndarray) -> np.ndarray:
    """Return the share of the tokens for which each device is likeliest, as the sum of its experts. (D,)."""
    p = of_device(routing.softmax(h.astype(float)), device)  # (T, D)
    return np.bincount(p.argmax(axis=1), minlength=p.shape[1]) / len(h)


def likeliest_device(h: np.ndarray, k: int, device: np.ndarray) -> float:
    """Return the loss where each token counts for the device that is likeliest in sum."""
    return loss_of(likeliest_share(h, device), h, device)


def likeliest_devices(h: np.ndarray, k: int, device: np.ndarray) -> float:
    """Return the loss where each token counts for the k devices that are likeliest in sum, or for all there are."""
    p = of_device(routing.softmax(h.astype(float)), device)  # (T, D)
    return loss_of(selected_mask(p, min(k, p.shape[1])).mean(axis=0) / min(k, p.shape[1]), h, device)


def in_equal_blocks(h: np.ndarray, k: int, device: np.ndarray) -> float:
    """Return the loss if each device had the next N // D experts, and those that are left over none."""
    D = int(device.max()) + 1
    in_blocks = [a[: len(a) // D * D].reshape(D, -1).sum(axis=1) for a in (chosen_share(h, k), mean_probability(h))]
    return float(D * in_blocks[0] @ in_blocks[1])


def loss_and_slope(h: np.ndarray, k: int, device: np.ndarray) -> tuple[Any, Any]:
    """Return the loss and its gradient (T, N), in float32 as they should come."""
    return np.float32(device_loss(h, k, device)), np.float32(device_slope(h, k, device))


DEVICES = FunctionQuestion(
    **about("9.4", "The Switch loss, for devices", "write it", "medium", points=2, minutes=10),
    hints=(
        "Compute f and P of the experts as the lesson does, (N,) each. What has a device? The sum of its experts' shares, and the sum of its experts' probabilities.",
        "`torch.zeros(D).index_add(0, torch.tensor(device), f)` adds up what each device has, and lets a gradient through. With F and P of the D devices the loss is `D * (F * P).sum()`: the number of devices, not of experts.",
    ),
    idea="The loss does not care what its parts are: a share that is counted, a probability that can be pushed, and their number in front, so that balance gives 1. Summed over the experts of a device, both balance devices, and leave alone who is busy within one.",
    takeaway="Decide what has to be balanced before you write a loss: where experts share a machine, it is the machine that others wait for.",
    answer="my_device_loss",
    parameters=("logits", "k", "device"),
    stands_for=("losses.load_balancing_loss", "losses.balance_of_layers"),
    when_raised="`logits` is a float32 tensor (T, N) that carries a gradient, `device` a numpy array (N,) of whole numbers: `torch.tensor(device)` can be an index. Use torch's own `softmax`, `topk` and `bincount`: numpy and the course's numpy functions cannot take the logits. Do not call `.backward()`: the check does.",
    needs_torch="tensors",
    slopes=("logits",),
    cases=device_cases,
    reference=loss_and_slope,
    read=lambda value, h, k, device: without_dust(value, 1e-7),
    written=lambda h, k, device: (
        f"logits of {h.shape[0]} tokens and {h.shape[1]} experts, k = {k}, device = {device.tolist()}"
    ),
    parts={
        "the loss": by_value(
            "over the experts: This is the lesson's loss: it balances the experts. Two busy experts on one device are one busy device: add up shares and probabilities within each device first.",
            (lambda h, k, device: balance(h, k), lambda h, k, device: (device.max() + 1) / len(device) * balance(h, k)),
            "the lesson's cell: This is the lesson's cell: each token's first choice alone, and over the experts. Here a token has k experts, and what is to be balanced are devices.",
            lambda h, k, device: h.shape[1] * float(chosen_share(h, 1) @ mean_probability(h)),
            "times N: The number in front is that of the experts. Balanced devices have a share of 1/D each: then only D in front gives 1.",
            with_factor(lambda T, N, k, D: N / D),
            "weighed by size: You divide by how many experts a device has (a mean over its experts in place of a sum). That asks a device with more experts to do more work. Here all devices are to do the same: sums, and D in front.",
            (
                with_shares(lambda F, P, size: size.sum() * (F / size) @ P),
                with_shares(lambda F, P, size: (F / size) @ P),
                with_shares(lambda F, P, size: len(F) * (F / size) @ P),
                with_shares(lambda F, P, size: len(F) * (F / size) @ (P / size)),
                with_shares(lambda F, P, size: len(F) ** 2 * (F / size) @ (P / size)),
                with_shares(lambda F, P, size: size.sum() * (F / size) @ (P / size)),
            ),
            "tokens counted once: You count a token once for a device, also where two of its experts are there. Both have to be computed: count assignments.",
            (
                by_tokens(lambda marks, k: marks.sum(axis=0) / marks.sum()),
                by_tokens(lambda marks, k: marks.mean(axis=0)),
                by_tokens(lambda marks, k: marks.mean(axis=0) / k),
            ),
            "first choice only: Your shares count each token's first choice alone (argmax). Each token has k experts, and all of them count.",
            (with_counts(lambda h, k: chosen_share(h, 1)), with_counts(lambda h, k: chosen_share(h, 1) / k)),
            "smallest logits: You count the experts with the *smallest* logits. A token goes to the k largest.",
            with_counts(lambda h, k: chosen_share(-h, k)),
            "softmax over the devices: You made one logit for each device, and took a softmax over the devices. A device is as likely as its experts together: a softmax over all N logits first, then sums.",
            tuple(
                with_probabilities(of_devices_logits(merged))
                for merged in (
                    lambda part: part.max(axis=1),
                    lambda part: part.sum(axis=1),
                    lambda part: part.mean(axis=1),
                )
            ),
            "softmax over the tokens: Your softmax runs over the tokens (dim=0). It runs over the experts of each token: the last dimension.",
            with_probabilities(lambda h, device: of_device(routing.softmax(h, axis=0), device).mean(axis=0)),
            "sigmoid: Your probabilities are sigmoids, one for each expert on its own. Asked is a softmax over all N logits.",
            with_probabilities(lambda h, device: of_device(1 / (1 + np.exp(-h)), device).mean(axis=0)),
            "probabilities of the selected: Your probabilities are those of the selected experts alone. P is a mean over all tokens of the whole softmax: also what a token gives to experts that it does not go to.",
            (of_the_selected(divided=False), of_the_selected(divided=True)),
            "likeliest of each: A device is as likely as its experts *together*. You took the likeliest of them.",
            with_probabilities(
                lambda h, device: np.stack(
                    [routing.softmax(h)[:, device == g].max(axis=1).mean() for g in range(device.max() + 1)]
                )
            ),
            "weights, not counts: Your shares add up gate weights. An assignment counts as 1, however large its weight is.",
            (
                by_weights(routing.gate_weights),
                by_weights(kept_probabilities),
            ),
            "product for each token: You multiply share and probability for each token and average afterwards. First the two means over the tokens, then their product.",
            token_by_token,
            "within the devices: You multiplied share and probability of each expert, and added up within the devices only then. First add up the shares of a device, and its probabilities, then multiply.",
            lambda h, k, device: float(np.bincount(device)[device] * chosen_share(h, k) @ mean_probability(h)),
            "added to the loss of the experts: You added the loss of the experts, as DeepSeekMoE does. Asked is that of the devices alone.",
            lambda h, k, device: device_loss(h, k, device) + balance(h, k),
            "logarithm: You took a logarithm of the probabilities, as in a cross-entropy. This loss multiplies shares and probabilities as they are.",
            (
                with_shares(lambda F, P, size: -F @ np.log(P)),
                with_shares(lambda F, P, size: -len(F) * F @ np.log(P)),
                with_probabilities(lambda h, device: of_device(np.log(routing.softmax(h)), device).mean(axis=0)),
            ),
            "busiest device alone: You took the largest part of a device alone. The loss is D times the sum over all of them.",
            (
                with_shares(lambda F, P, size: len(F) * (F * P).max()),
                with_shares(lambda F, P, size: len(F) * F.max()),
            ),
            "a distance: You measure how far shares and probabilities are from each other. The loss is their product, summed, with D in front.",
            (
                with_shares(lambda F, P, size: ((F - P) ** 2).sum()),
                with_shares(lambda F, P, size: ((F - P) ** 2).mean()),
                with_shares(lambda F, P, size: np.abs(F - P).sum()),
            ),
            "D twice: There is one D too many: it stands once in front of the sum.",
            with_factor(lambda T, N, k, D: D),
            "counts and sums: You have counts in place of shares, and sums over the tokens in place of mean probabilities. Divide by T·k, and by T.",
            with_factor(lambda T, N, k, D: T * T * k),
            "k built in: You count the same number of experts for each token, whatever k is.",
            (with_built_in(2), with_built_in(3)),
            "experts in order: Your experts lie on the devices in order of their index, or in turn. `device` says where each one is.",
            (
                with_devices(lambda N, device: np.sort(device)),
                in_equal_blocks,
                with_devices(lambda N, device: np.arange(N) * (device.max() + 1) // N),
                with_devices(lambda N, device: np.arange(N) % (device.max() + 1)),
            ),
            "D built in: The number of devices in front is always the same. It is that of `device`: `device.max() + 1`.",
            (
                with_factor(lambda T, N, k, D: 2 / D),
                with_factor(lambda T, N, k, D: 3 / D),
            ),
            "D counted from 0: You put D − 1 in front: devices are counted from 0, so D is `device.max() + 1`.",
            with_factor(lambda T, N, k, D: (D - 1) / D),
            "likeliest device: You count the device that is likeliest in sum. A token goes where its k best *experts* are, whatever the sums say.",
            (likeliest_device, likeliest_devices),
            "not divided by k: Your shares sum to k: you divided the counts by T. Then balance gives k, not 1. A share is one of all T·k assignments.",
            with_factor(lambda T, N, k, D: k),
            "divided by k twice: One k too many: the shares are divided by T·k already, so that they sum to 1.",
            with_factor(lambda T, N, k, D: 1 / k),
            "D missing: The number of devices in front is missing: at balance this is 1/D. (D times a *mean* over the devices takes the D away again: take the sum.)",
            with_factor(lambda T, N, k, D: 1 / D),
            "mean over the devices: You averaged over the devices. The loss is D times their *sum*.",
            with_factor(lambda T, N, k, D: 1 / D**2),
            "probabilities summed: One T too many: the probability of a device is a *mean* over the tokens, not a sum.",
            with_factor(lambda T, N, k, D: T),
            "counts: You have counts in place of shares. Divide them by T·k.",
            with_factor(lambda T, N, k, D: T * k),
            "coefficient: You put a coefficient in front, such as 0.01. Asked is the loss without it, which is 1 at balance.",
            tuple(with_factor(lambda T, N, k, D, c=c: c) for c in (0.1, 0.01, 0.001)),
            "1 taken off: You took 1 off, perhaps so that balance gives 0. Asked is what is 1 at balance.",
            lambda h, k, device: device_loss(h, k, device) - 1,
            "probabilities twice: You used the probabilities twice. One factor counts who was *selected*.",
            with_shares(lambda F, P, size: len(F) * P @ P),
            "shares twice: You used the counted shares twice. Then nothing has a gradient. One factor is the mean probability.",
            with_shares(lambda F, P, size: len(F) * F @ F),
            "one for each device: These are the parts of the devices. Add them up.",
            with_shares(lambda F, P, size: len(F) * F * P),
        ),
        "∂L/∂logits": by_value(
            "P detached: The value is right, but no gradient reaches the logits. The probabilities must stay attached: no `.detach()`, `no_grad`, `.item()` or numpy on the way, and no `torch.tensor(...)` around them.",
            lambda h, k, device: np.zeros(h.shape),
            "through the shares too: The value is right, but the shares carry a gradient too: a soft count stands behind them. They are constants (detach them, or count whole numbers); only the probabilities are differentiated.",
            (
                lambda h, k, device: device_slope(h, k, device) + soft_slope(h, device, routing.softmax(h)),
                lambda h, k, device: device_slope(h, k, device) + soft_slope(h, device, routing.softmax(h)) / k,
                lambda h, k, device: device_slope(h, k, device) + soft_slope(h, device, routing.gate_weights(h, k)) / k,
            ),
            "through the shares alone: The value is right, but the gradient goes through soft shares, and the probabilities are detached. It is the other way round.",
            (
                lambda h, k, device: soft_slope(h, device, routing.softmax(h)),
                lambda h, k, device: soft_slope(h, device, routing.softmax(h)) / k,
                lambda h, k, device: soft_slope(h, device, routing.gate_weights(h, k)) / k,
            ),
        ),
    },
)
