"""Answers to 10.2: plausible wrong ones by the mistake that must be named, others, and right ones."""

import numpy as np
import torch


def cost(load, device, capacity, block):
    rows = [-(-n // block) * block if capacity is None else capacity for n in load.tolist()]
    kept = [min(n, r) for n, r in zip(load.tolist(), rows, strict=True)]
    on = {}
    for d, r in zip(device.tolist(), rows, strict=True):
        on[d] = on.get(d, 0) + r
    return sum(rows) - sum(kept), int(load.sum()) - sum(kept), max(on.values())


def cost_in_numpy(load, device, capacity, block):
    rows = np.ceil(load / block) * block if capacity is None else np.full(len(load), capacity)
    empty, lost = np.maximum(rows - load, 0).sum(), np.maximum(load - rows, 0).sum()
    return {"empty": int(empty), "dropped": int(lost), "busiest": max(rows[device == d].sum() for d in set(device))}


def cost_in_torch(load, device, capacity, block):
    load, device = torch.tensor(load), torch.tensor(device)
    rows = (load + block - 1) // block * block if capacity is None else torch.full_like(load, capacity)
    on = torch.zeros(int(device.max()) + 1, dtype=torch.int64).index_add(0, device, rows)
    return [(rows - load).clamp(min=0).sum(), (load - rows).clamp(min=0).sum(), on.max()]


def cost_by_padding(load, device, capacity, block):
    """Write every row down: 1 where a token sits."""
    slices = []
    for n in load:
        size = capacity if capacity is not None else n + (-n) % block
        slices.append(np.arange(size) < n)
    full = sum(row.sum() for row in slices)
    on = [sum(len(row) for row, d in zip(slices, device, strict=True) if d == i) for i in range(device.max() + 1)]
    return sum(map(len, slices)) - full, load.sum() - full, max(on)


def cost_of_lists(load, device, capacity, block):
    load, device = load.tolist(), device.tolist()
    rows = [(n + block - 1) // block * block if capacity is None else capacity for n in load]
    spare = [r - n for r, n in zip(rows, load, strict=True)]
    on = [sum(r for r, e in zip(rows, device, strict=True) if e == d) for d in set(device)]
    return [float(sum(s for s in spare if s > 0)), -float(sum(s for s in spare if s < 0)), float(max(on))]


def costs_with(empty=None, dropped=None, busiest=None):
    """The right costs, with some of the three replaced by functions of rows, kept, load, device (and the case)."""

    def answer(load, device, capacity, block):
        rows = -(-load // block) * block if capacity is None else np.full(len(load), capacity)
        parts = rows, np.minimum(load, rows), load, device, capacity, block
        right = cost(load, device, capacity, block)
        return tuple(f(*parts) if f else part for f, part in zip((empty, dropped, busiest), right, strict=True))

    return answer


def with_rows(rows_of, short=False):
    """rows_of(load, capacity, block) in the place of the right rows; short: what finds none is not kept."""

    def answer(load, device, capacity, block):
        rows = rows_of(load, capacity, block)
        kept = load if capacity is None else np.minimum(load, capacity)
        kept = np.minimum(load, rows) if short else kept
        return (rows - kept).sum(), (load - kept).sum(), np.bincount(device, weights=rows).max()

    return answer


def cost_in_blocks(rows_of):
    """rows_of(load, block) in the place of whole blocks, where nothing is dropped."""
    return with_rows(lambda load, capacity, block: 0 * load + capacity if capacity else rows_of(load, block))


def per_device(load, device, capacity, block):
    """Round up what comes to each device."""
    if capacity is not None:
        return cost(load, device, capacity, block)
    rows = [n + -n % block for n in np.bincount(device, weights=load).astype(int)]
    return sum(rows) - load.sum(), 0, max(rows)


def in_turn(rows, kept, load, device, *_):
    return max(rows[d :: device.max() + 1].sum() for d in range(device.max() + 1))


WRONG = {
    "10.2": {
        "set off": costs_with(empty=lambda rows, kept, load, *_: rows.sum() - load.sum()),
        "set off (2)": costs_with(
            empty=lambda rows, kept, load, *_: max(rows.sum() - load.sum(), 0),
            dropped=lambda rows, kept, load, *_: max(load.sum() - rows.sum(), 0),
        ),
        "set off, and rounded down": costs_with(
            empty=lambda rows, kept, load, device, C, block: (
                (load // block * block if C is None else rows).sum() - load.sum()
            )
        ),
        "a share": costs_with(empty=lambda rows, kept, *_: (rows - kept).sum() / rows.sum()),
        "full rows": costs_with(empty=lambda rows, kept, *_: kept.sum()),
        "no blocks": cost_in_blocks(lambda load, block: load),
        "one block too many": cost_in_blocks(lambda load, block: load + block - load % block),
        "a block for nobody": cost_in_blocks(lambda load, block: np.ceil(np.maximum(load, 1) / block) * block),
        "filled up once": costs_with(
            empty=lambda rows, kept, load, device, C, block: (rows - kept).sum() if C else -load.sum() % block
        ),
        "a common pool": costs_with(
            dropped=lambda rows, kept, load, device, C, block: 0 if C is None else max(load.sum() - C * len(load), 0)
        ),
        "a common pool (2)": costs_with(dropped=lambda rows, kept, load, *_: load.sum() - rows.sum()),
        "a share of what was asked": costs_with(dropped=lambda rows, kept, load, *_: 1 - kept.sum() / load.sum()),
        "what is kept": costs_with(dropped=lambda rows, kept, *_: kept.sum()),
        "all of a full expert": costs_with(dropped=lambda rows, kept, load, *_: (load * (load > rows)).sum()),
        "experts": costs_with(dropped=lambda rows, kept, load, *_: (load > rows).sum()),
        "an expert": costs_with(busiest=lambda rows, *_: rows.max()),
        "what was asked": costs_with(busiest=lambda rows, kept, load, device, *_: np.bincount(device, load).max()),
        "tokens only": costs_with(busiest=lambda rows, kept, load, device, *_: np.bincount(device, kept).max()),
        "the mean": costs_with(busiest=lambda rows, kept, load, device, *_: rows.sum() / len(set(device))),
        "all rows": costs_with(busiest=lambda rows, *_: rows.sum()),
        "which device": costs_with(busiest=lambda rows, kept, load, device, *_: np.bincount(device, rows).argmax()),
        "set off (3)": costs_with(
            empty=lambda rows, kept, load, device, *_: sum(
                max((rows - load)[device == d].sum(), 0) for d in set(device)
            )
        ),
        "another of the three": lambda *case: [cost(*case)[i] for i in (1, 0, 2)],
        "another of the three (2)": lambda *case: [cost(*case)[i] for i in (2, 1, 0)],
        "another of the three (3)": lambda *case: [cost(*case)[i] for i in (0, 2, 1)],
        "experts (2)": costs_with(empty=lambda rows, kept, *_: (kept < rows).sum()),
        "no blocks (2)": cost_in_blocks(lambda load, block: np.maximum(load // block * block, load)),
        "missing rows": costs_with(empty=lambda rows, kept, load, *_: np.abs(rows - load).sum()),
        "capacity ignored": lambda load, device, C, block: cost(load, device, None, block),
        "the fullest alone": costs_with(dropped=lambda rows, kept, load, *_: max(load - kept)),
        "most experts": costs_with(
            busiest=lambda rows, kept, load, device, *_: rows[device == np.bincount(device).argmax()].sum()
        ),
        "rounded to the nearest": cost_in_blocks(lambda load, block: np.rint(load / block) * block),
        "rounded to the nearest (2)": cost_in_blocks(
            lambda load, block: np.maximum(np.rint(load / block) * block, load)
        ),
        "one block too many (2)": cost_in_blocks(lambda load, block: (load // block + (load > 0)) * block),
        "all as the fullest": cost_in_blocks(lambda load, block: 0 * load + load.max()),
        "all as the fullest (2)": cost_in_blocks(lambda load, block: 0 * load + -(-load.max() // block) * block),
        "capacity in blocks": lambda load, device, C, block: cost(load, device, C and -(-C // block) * block, block),
        "capacity for the busy": costs_with(empty=lambda rows, kept, load, *_: (rows - kept)[load > 0].sum()),
        "capacity at most": costs_with(
            empty=lambda rows, kept, load, device, C, block: 0 if C else (rows - kept).sum()
        ),
        "common places on a device": costs_with(
            dropped=lambda rows, kept, load, device, *_: sum(
                max((load - rows)[device == d].sum(), 0) for d in set(device)
            )
        ),
        "what was asked (2)": costs_with(
            busiest=lambda rows, kept, load, device, C, block: np.bincount(device, rows if C else load).max()
        ),
        "most tokens": costs_with(
            busiest=lambda rows, kept, load, device, *_: rows[device == np.bincount(device, load).argmax()].sum()
        ),
        "filled up once (2)": costs_with(
            busiest=lambda rows, kept, load, device, C, block: (
                np.bincount(device, rows).max() if C else max(n + -n % block for n in np.bincount(device, load))
            )
        ),
        "a device left out": costs_with(
            busiest=lambda rows, kept, load, device, *_: max(
                rows[device == d].sum() for d in range(1, device.max() + 1)
            )
        ),
        "a device left out (2)": costs_with(
            busiest=lambda rows, kept, load, device, *_: max(rows[device == d].sum() for d in range(device.max()))
        ),
        "fewest rows": costs_with(busiest=lambda rows, kept, load, device, *_: np.bincount(device, rows).min()),
        "capacity in blocks (2)": with_rows(
            lambda load, C, block: load * 0 + (C + -C % block) if C else load + -load % block
        ),
        "capacity in blocks (3)": with_rows(
            lambda load, C, block: load * 0 + C - C % block if C else load + -load % block
        ),
        "capacity ignored (2)": with_rows(
            lambda load, C, block: (n := np.minimum(load, C) if C else load) + -n % block
        ),
        "filled up once (3)": per_device,
        "rounded down": cost_in_blocks(lambda load, block: load // block * block),
        "no blocks (3)": with_rows(lambda load, C, block: 0 * load + C if C else load // block * block, short=True),
        "blocks": cost_in_blocks(lambda load, block: np.ceil(load / block)),
        "blocks (2)": costs_with(
            busiest=lambda rows, kept, load, device, C, block: np.bincount(device, rows / (1 if C else block)).max()
        ),
        "a block on top": cost_in_blocks(lambda load, block: load + block),
        "a block on top (2)": cost_in_blocks(lambda load, block: load + block * (load > 0)),
        "a block on top (3)": cost_in_blocks(lambda load, block: load + block - 1),
        "the remainder added": cost_in_blocks(lambda load, block: load + load % block),
        "idle experts": costs_with(empty=lambda rows, kept, *_: (kept == 0).sum()),
        "idle experts' rows": costs_with(empty=lambda rows, kept, *_: rows[kept == 0].sum()),
        "computed rows": costs_with(empty=lambda rows, *_: rows.sum()),
        "one expert alone": costs_with(empty=lambda rows, kept, *_: max(rows - kept)),
        "one device alone": costs_with(
            empty=lambda rows, kept, load, device, *_: max((rows - kept)[device == d].sum() for d in set(device))
        ),
        "one device alone (2)": costs_with(
            empty=lambda rows, kept, load, device, *_: (rows - kept)[device == np.bincount(device, rows).argmax()].sum()
        ),
        "places of a device": costs_with(
            dropped=lambda rows, kept, load, device, C, block: (
                sum(max(n - C, 0) for n in np.bincount(device, load)) if C else 0
            )
        ),
        "places of a device (3)": costs_with(
            empty=lambda rows, kept, load, device, C, block: (
                sum(max(C - n, 0) for n in np.bincount(device, load)) if C else (rows - kept).sum()
            )
        ),
        "places of a device (4)": costs_with(
            busiest=lambda rows, kept, load, device, C, block: C or np.bincount(device, rows).max()
        ),
        "places of a device (2)": costs_with(
            dropped=lambda rows, kept, load, device, C, block: sum(load) - C if C else 0
        ),
        "dropped ones too": costs_with(
            busiest=lambda rows, kept, load, device, *_: np.bincount(device, rows + load - kept).max()
        ),
        "the fullest expert's": costs_with(
            busiest=lambda rows, kept, load, device, *_: rows[device == device[load.argmax()]].sum()
        ),
        "empty rows alone": costs_with(
            busiest=lambda rows, kept, load, device, *_: np.bincount(device, rows - kept).max()
        ),
        "experts in order": costs_with(
            busiest=lambda rows, kept, load, device, *_: max(map(sum, np.array_split(rows, device.max() + 1)))
        ),
        "experts in order (2)": costs_with(busiest=in_turn),
        "the mean (2)": costs_with(busiest=lambda rows, kept, load, device, *_: rows.sum() // (device.max() + 1)),
        "a ratio": costs_with(
            busiest=lambda rows, kept, load, device, *_: (n := np.bincount(device, rows)).max() / n.mean()
        ),
        "capacity ignored (3)": costs_with(
            busiest=lambda rows, kept, load, device, C, block: np.bincount(device, load + -load % block).max()
        ),
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "10.2": [
        lambda load, device, capacity, block: None,
        lambda load, device, capacity, block: cost(load, device, capacity, block)[:2],
        costs_with(empty=lambda rows, kept, *_: 2 * (rows - kept).sum()),
        costs_with(dropped=lambda *_: -1),
    ],
}

RIGHT = {
    "10.2": [cost, cost_in_numpy, cost_in_torch, cost_by_padding, cost_of_lists],
}
