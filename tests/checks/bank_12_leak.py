"""Answers to 12.4 to 12.6: plausible wrong ones by the mistake that must be named, others, and right ones."""

import numpy as np
import torch
from scipy.special import expit, softmax

from moe_lessons.checks.set_12 import GIVEN_BIAS, GIVEN_LOGITS, SHIFT_BIAS, SHIFTED_LOGITS

# --- 12.4 ---------------------------------------------------------------------------------------------------------


def text(d, L=12, scale=1.0):
    return scale * np.random.default_rng().normal(size=(L, d))


def close(one, other):
    return np.allclose(one, other, atol=1e-4)


def left_out(same=close, texts=20, L=12, cuts=None, scale=1.0):
    """A right test, in which the comparison, the number of texts, their length and the cuts can be changed."""

    def test(d, route):
        for _ in range(texts):
            x = text(d, L, scale)
            whole = route(x)
            if not all(same(route(x[:t]), whole[:t]) for t in cuts or range(1, L)):
                return True
        return False

    return test


EVERY_CUT = range(1, 12)


def begun_alike(d, route):
    """Every text begins with the same token, of zeros: a start symbol."""
    for _ in range(20):
        x = text(d)
        x[0] = 0
        if not all(close(route(x[:t]), route(x)[:t]) for t in EVERY_CUT):
            return True
    return False


def replaced(texts=20, cuts=EVERY_CUT):
    def test(d, route):
        for _ in range(texts):
            x = text(d)
            whole = route(x)
            for t in cuts:
                other = np.concatenate([x[:t], text(d)[t:]])
                if not close(route(other)[:t], whole[:t]):
                    return True
        return False

    return test


def next_replaced(d, route):
    """Changes the next token only."""
    for _ in range(20):
        x = text(d)
        whole = route(x)
        for t in range(1, 12):
            other = x.copy()
            other[t] = text(d)[0]
            if not close(route(other)[:t], whole[:t]):
                return True
    return False


def alone(d, route):
    for _ in range(20):
        x = text(d)
        if not close(np.concatenate([route(x[t : t + 1]) for t in range(12)]), route(x)):
            return True
    return False


def other_past(d, route):
    """Takes the beginning away, as well as the end."""
    for _ in range(20):
        x = text(d)
        whole = route(x)
        for t in range(1, 12):
            if not close(route(x[t:]), whole[t:]) or not close(route(x[:t]), whole[:t]):
                return True
    return False


def all_compared(d, route):
    """Compares what was changed, too."""
    x = text(d)
    other = np.concatenate([x[:6], text(d)[6:]])
    return not close(route(x), route(other))


def last_result(d, route):
    for _ in range(20):
        x = text(d)
        whole = route(x)
        for t in range(1, 12):
            moved = not close(route(x[:t]), whole[:t])
    return moved


def step_by_step(d, route):
    """Writes the text token by token, and compares the newest row only."""
    for _ in range(25):
        x = text(d)
        written = np.stack([np.asarray(route(x[: t + 1]))[-1] for t in range(12)])
        if np.abs(written - route(x)).max() > 1e-3:
            return True
    return False


def in_torch(d, route):
    return any(
        not torch.allclose(torch.as_tensor(route(x[:t])), torch.as_tensor(route(x))[:t], atol=1e-4)
        for x in torch.randn(20, 12, d, dtype=torch.float64).numpy()
        for t in range(1, 12)
    )


def swallowed(d, route):
    try:
        return bool(np.abs(route(text(d)[0]) - route(text(d))).max() > 1e-4)
    except ValueError:
        return False


def farthest(d, route):
    x = text(d)
    whole = route(x)
    return max(float(np.abs(route(x[:t]) - whole[:t]).max()) for t in range(1, 12))


def which_moved(d, route):
    x = text(d)
    return np.abs(route(x)[:6] - route(x[:6])).max(axis=1) > 1e-4


def best_two(one, other):
    return np.array_equal(np.sort(np.argsort(one)[:, 2:]), np.sort(np.argsort(other)[:, 2:]))


# --- 12.5 ---------------------------------------------------------------------------------------------------------

S, ROOT = expit(GIVEN_LOGITS), np.sqrt(np.logaddexp(0, GIVEN_LOGITS))


def best(values, k):
    return np.argsort(np.argsort(-values)) < k


def in_groups(values, m=2):
    sums = np.sort(values.reshape(4, 2))[:, -m:].sum(axis=1)
    return np.where(np.repeat(best(sums, 2), 2), values, -np.inf)


def weights_a(seen=S + GIVEN_BIAS, k=3, made_of=S, scale=2.5, m=2, limited=True, divided=True):
    values = np.where(best(in_groups(seen, m) if limited else seen, k), made_of, 0)
    return scale * values / (values.sum() if divided else 1)


def weights_b(seen=ROOT + GIVEN_BIAS, k=2, made_of=ROOT, scale=1.5, divided=False):
    values = np.where(best(seen, k), made_of, 0)
    return scale * values / (values.sum() if divided else 1)


def read(a=None, b=None):
    return {"A": weights_a() if a is None else a, "B": weights_b() if b is None else b}


P = softmax(GIVEN_LOGITS)

# --- 12.6 ---------------------------------------------------------------------------------------------------------

H = SHIFTED_LOGITS[0]


def root(h):
    return np.sqrt(np.logaddexp(0, h))


def change(score, bias, scale=1.0, made_of=lambda s, b: s, divided=True, held=False):
    """By how much each weight changes."""
    rows = []
    for h in (H, H - H.max()):
        s = score(h)
        kept = best((score(H) if held else s) + bias, 2)
        values = np.where(kept, made_of(s, bias), 0)
        rows.append(scale * values / (values.sum() if divided else 1))
    return rows[1] - rows[0]


C, D, E = (
    np.abs(moves).max()
    for moves in (change(expit, 0 * SHIFT_BIAS), change(expit, SHIFT_BIAS, 2.5), change(root, SHIFT_BIAS, 1.5))
)


def changes(**other):
    return {"A": 0, "B": 0, "C": C, "D": D, "E": E} | other


def largest(*how, **other):
    return np.abs(change(*how, **other)).max()


WRONG = {
    "12.4": {
        "never called": lambda d, route: False,
        "calls that fail": swallowed,
        "single tokens": lambda d, route: not close(route(text(d, 1)).sum(), 1),
        "huge tokens": left_out(scale=1e5),
        "tiny tokens": left_out(scale=1e-6),
        "a distance": farthest,
        "many answers": which_moved,
        "never": lambda d, route: not close(route(text(d)).shape, (12, 4)),
        "always": all_compared,
        "turned round": lambda d, route: not left_out()(d, route),
        "looking back": alone,
        "looking back (2)": other_past,
        "always (2)": left_out(np.array_equal),
        "no room for rounding": left_out(lambda a, b: np.allclose(a, b, rtol=0, atol=1e-9)),
        "one length": replaced(),
        "wide tolerance": left_out(lambda a, b: np.allclose(a, b, rtol=0, atol=0.02)),
        "few texts": begun_alike,
        "short texts": left_out(L=6),
        "few cuts": left_out(cuts=[6]),
        "few cuts (2)": left_out(cuts=[11]),
        "one length (2)": next_replaced,
        "few cuts (3)": replaced(cuts=[1, 11]),
        "few cuts (4)": left_out(texts=1, cuts=[3]),
        "not all compared (2)": last_result,
        "some places missed": left_out(lambda a, b: close(a[:1], b[:1])),
        "not all compared": left_out(lambda a, b: close(a.mean(), b.mean())),
    },
    "12.5": {
        "A, groups ignored": read(weights_a(limited=False)),
        "A, best of each group": read(weights_a(m=1)),
        "A, one group": read(weights_a(np.where(np.arange(8) // 2 == 1, 9.0, 0.0), k=2)),
        "A, groups for experts": read(weights_a(k=2)),
        "A, no bias": read(weights_a(S)),
        "A, bias in the weights": read(weights_a(made_of=S + GIVEN_BIAS)),
        "A, bias on the logits": read(weights_a(GIVEN_LOGITS + GIVEN_BIAS)),
        "A, scale left out": read(weights_a(scale=1)),
        "A, the other way with the sum": read(weights_a(divided=False)),
        "A, one more": read(weights_a(k=4)),
        "A, softmax": read(weights_a(P + GIVEN_BIAS, made_of=P)),
        "B, sigmoid": read(b=weights_b(S + GIVEN_BIAS, made_of=S)),
        "B, groups as in A": read(b=weights_b(in_groups(ROOT + GIVEN_BIAS))),
        "B, no bias": read(b=weights_b(ROOT)),
        "B, bias in the weights": read(b=weights_b(made_of=ROOT + GIVEN_BIAS)),
        "B, bias on the logits": read(b=weights_b(GIVEN_LOGITS + GIVEN_BIAS)),
        "B, scale left out": read(b=weights_b(scale=1)),
        "B, the other way with the sum": read(b=weights_b(divided=True)),
        "B, one more": read(b=weights_b(k=4)),
        "B, softmax": read(b=weights_b(P + GIVEN_BIAS, made_of=P)),
    },
    "12.6": {
        "A, a shift counts": changes(A=C),
        "B, a shift counts": changes(B=2 * C),
        "C, as in a softmax": changes(C=0),
        "C, not divided": changes(C=largest(expit, 0 * SHIFT_BIAS, divided=False)),
        "C, sizes added": changes(C=np.abs(change(expit, 0 * SHIFT_BIAS)).sum()),
        "C, per cent": changes(C=100 * C),
        "C, sign": changes(C=-C),
        "D, as in a softmax": changes(D=0),
        "D, scale left out": changes(D=D / 2.5),
        "D, bias in the weights": changes(D=largest(expit, SHIFT_BIAS, 2.5, made_of=lambda s, b: s + b)),
        "D, choice held fixed": changes(D=largest(expit, SHIFT_BIAS, 2.5, held=True)),
        "D, no bias": changes(D=2.5 * C),
        "D, sizes added": changes(D=np.abs(change(expit, SHIFT_BIAS, 2.5)).sum()),
        "D, not divided": changes(D=largest(expit, SHIFT_BIAS, 2.5, divided=False)),
        "D, per cent": changes(D=100 * D),
        "D, sign": changes(D=-D),
        "E, bias in the weights": changes(E=largest(root, SHIFT_BIAS, 1.5, made_of=lambda s, b: s + b)),
        "E, sizes added": changes(E=np.abs(change(root, SHIFT_BIAS, 1.5)).sum()),
        "E, per cent": changes(E=100 * E),
        "E, sign": changes(E=-E),
        "E, as in a softmax": changes(E=0.0),
        "E, scale left out": changes(E=E / 1.5),
        "E, not divided": changes(E=largest(root, SHIFT_BIAS, 1.5, divided=False)),
        "E, no root": changes(E=largest(lambda h: root(h) ** 2, SHIFT_BIAS, 1.5)),
        "E, sigmoid": changes(E=largest(expit, SHIFT_BIAS, 1.5)),
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "12.4": [
        lambda d, route: route(text(d)),
        lambda d, route: [left_out()(d, route)],
        lambda d, route: "leaks" if left_out()(d, route) else "does not",
        lambda d, route: print(route(text(d)).shape),
    ],
    "12.5": [
        None,
        {"A": weights_a()},
        read(a=np.ones(8)),
        read(b=weights_b()[:4]),
        read(a=[*weights_a(), 0]),
        list(weights_a()),
    ],
    "12.6": [None, changes(A=1), changes(D=0.5), {"A": 0}, [0, 0, C, D, E], changes(E="a little")],
}

RIGHT = {
    "12.4": [
        left_out(),
        left_out(texts=25, L=14),
        step_by_step,
        in_torch,
        lambda d, route: int(left_out()(d, route)),
        lambda d, route: torch.tensor(left_out()(d, route)),
    ],
    "12.5": [
        read(),
        {model: w.tolist() for model, w in read().items()},
        {model: torch.tensor(w) for model, w in read().items()},
        {model: w.round(3) for model, w in read().items()},
        read() | {"C": 3},
    ],
    "12.6": [
        changes(),
        {model: np.float32(moves) for model, moves in changes().items()},
        {model: round(moves, 3) for model, moves in changes().items()},
        {model: torch.tensor(float(moves)) for model, moves in changes().items()},
        changes(C=[C]),
    ],
}
