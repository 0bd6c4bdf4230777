"""Question 10.2: what a dispatch costs on devices that hold several experts."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons.checks.apart import tells_apart
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.verdicts import by_formula, by_value

Case = tuple[np.ndarray, np.ndarray, int | None, int]  # load (N,), device (N,), capacity, block
PARTS = ("empty", "dropped", "busiest")


def cost_cases(rng: np.random.Generator) -> list[tuple]:
    """Return (load (N,), device (N,), capacity, block): dropless in blocks and without, and with places for some.

    In each an expert is idle, one load is a multiple of the block, and all that is taken for one of the parts differs.
    The busiest device is the first, the last, or one between. Drawn until all known mistakes come to different things.
    """
    while True:
        cases = [
            cost_case(rng, 6, 3, None, 4, busiest=0),
            cost_case(rng, 6, 3, "some", 4, busiest=2),
            cost_case(rng, 9, 4, None, 1, busiest=1),
            cost_case(rng, 8, 3, "some", 8, busiest=0),
            cost_case(rng, 7, 2, "many", 5, busiest=1),
            cost_case(rng, 10, 4, None, 16, busiest=3),
        ]
        if tells_apart(COST, cases):
            return cases


def cost_case(rng: np.random.Generator, N: int, devices: int, places: str | None, block: int, busiest: int) -> tuple:
    """Draw loads and devices until the mistakes show: "some" places drop about a quarter, "many" hardly any."""
    while True:
        load = rng.integers(1, 8 * max(block, 3), size=N)  # (N,)
        load[rng.integers(N)] = 0
        load[rng.choice(np.flatnonzero(load))] = 2 * block
        device = rng.permutation(np.r_[np.arange(devices), rng.integers(devices, size=N - devices)])  # (N,)
        C = {"some": round(load.mean()), "many": int(np.sort(load)[-2])}.get(places or "")
        rows = by_device(rows_of(load, C, block), device)  # (devices,)
        if fits(load, device, C, block) and (rows == rows.max()).sum() == 1:
            return load, (device + busiest - rows.argmax()) % devices, C, block


def fits(load: np.ndarray, device: np.ndarray, C: int | None, block: int) -> bool:
    """Tell whether each part differs from what is taken for it, in a case with places or without them."""
    rows = rows_of(load, C, block)  # (N,)
    sums = [by_device(each, device) for each in (rows, load, kept_of(load, C))]  # (devices,) each
    tops = [int(total.max()) for total in sums]
    crowded = np.bincount(device).argmax()
    if C is not None:
        return tops[0] != rows.max() and len(set(tops)) == 3 and sums[0].argmax() != sums[1].argmax() and load.max() > C
    all_tops = {tops[0], tops[1], int(by_device_in_blocks(load, device, C, block).max())}
    padded = block == 1 or (len(all_tops) == 3 and load.sum() % block > 0)
    return tops[0] != rows.max() and padded and crowded != sums[0].argmax()


def rows_of(load: np.ndarray, C: int | None, block: int) -> np.ndarray:
    """Return how many rows each expert computes, (N,)."""
    return -(-load // block) * block if C is None else np.full_like(load, C)


def kept_of(load: np.ndarray, C: int | None) -> np.ndarray:
    """Return how many of its assignments each expert computes, (N,)."""
    return load if C is None else np.minimum(load, C)


def by_device(values: np.ndarray, device: np.ndarray) -> np.ndarray:
    """Add up the values (N,) of the experts on each device, (devices,)."""
    return np.bincount(device, weights=values)


def costs(load: np.ndarray, device: np.ndarray, capacity: int | None, block: int) -> tuple[int, int, int]:
    """Return the empty rows, the dropped assignments, and the rows of the busiest device."""
    rows, kept = rows_of(load, capacity, block), kept_of(load, capacity)  # (N,) each
    return int((rows - kept).sum()), int((load - kept).sum()), int(by_device(rows, device).max())


def of_rows(wrong: Callable) -> Callable:
    """Return wrong(rows (N,), kept (N,), load (N,), device (N,)) of the right rows and what is kept."""
    return lambda load, device, C, block: wrong(rows_of(load, C, block), kept_of(load, C), load, device)


def dropless(rows: Callable) -> Callable:
    """Return the rows of (load, C, block) that are rows(load, block) where nothing is dropped."""
    return lambda load, C, block: rows(load, block) if C is None else rows_of(load, C, block)


def limited(rows: Callable) -> Callable:
    """Return the rows of (load, C, block) that are rows(load, C, block) where there is a capacity."""
    return lambda load, C, block: rows_of(load, C, block) if C is None else rows(load, C, block)


def empty_of(rows: Callable) -> Callable:
    """Return the empty rows if the experts compute rows(load, C, block): those less what is kept."""
    return lambda load, device, C, block: (rows(load, C, block) - kept_of(load, C)).sum()


def empty_not_below_zero(rows: Callable) -> Callable:
    """Return the empty rows if the experts compute rows(load, C, block), counted where they are more than the load."""
    return lambda load, device, C, block: np.maximum(rows(load, C, block) - load, 0).sum()


def of_all(rows: Callable) -> Callable:
    """Return all rows less all assignments, if the experts compute rows(load, C, block)."""
    return lambda load, device, C, block: rows(load, C, block).sum() - load.sum()


def busiest_of(rows: Callable) -> Callable:
    """Return the rows of the busiest device if the experts compute rows(load, C, block)."""
    return lambda load, device, C, block: by_device(rows(load, C, block), device).max()


def limited_else(part: int, wrong: Callable) -> Callable:
    """Return wrong(load, device, C) where there is a capacity, else what is right of this part."""
    return lambda load, device, C, block: costs(load, device, C, block)[part] if C is None else wrong(load, device, C)


def blocks_of(number: np.ndarray | int, block: int) -> Any:
    """Return how many blocks it takes."""
    return -(-number // block)


def one_more(load: np.ndarray, block: int) -> np.ndarray:
    """Fill up with a whole block also where nothing is left over, (N,)."""
    return (load // block + 1) * block


def for_the_busy(rows: Callable) -> tuple[Callable, Callable]:
    """Return rows(load, block) as they are, and with none for an expert without a token."""
    return dropless(rows), dropless(lambda load, block: np.where(load > 0, rows(load, block), 0))


def block_in_all(load: np.ndarray, device: np.ndarray, C: int | None, block: int) -> int:
    """Return the empty rows if all slices together were filled up once."""
    return int(-load.sum() % block) if C is None else costs(load, device, C, block)[0]


def by_device_in_blocks(load: np.ndarray, device: np.ndarray, C: int | None, block: int) -> np.ndarray:
    """Return the rows of each device if all slices on it were filled up once, (devices,)."""
    total = by_device(load, device)  # (devices,)
    return np.ceil(total / block) * block if C is None else by_device(rows_of(load, C, block), device)


def in_order(rows: np.ndarray, device: np.ndarray) -> tuple[int, ...]:
    """Return the most rows of a device if experts lay on the devices in order, or in turn: three ways."""
    D, places = device.max() + 1, np.arange(len(rows))  # (N,)
    split = max(part.sum() for part in np.array_split(rows, D))
    return split, *(int(by_device(rows, other).max()) for other in (places * D // len(rows), places % D))


def other_part(part: int) -> Callable:
    """Return one of the three costs, for those that are returned in another order."""
    return lambda *case: costs(*case)[part]


DEVICE_PLACES = (
    "places of a device: You let each device compute `capacity` rows in all. Each *expert* on it computes that many."
)
OTHER_ORDER = (
    "another of the three: This is another of the three numbers. Return them in this order: empty, dropped, busiest."
)
OTHER_ROWS = (  # rules by which the experts would compute other rows: (load, C, block) -> rows (N,)
    "capacity ignored: With a capacity every expert computes just that many rows. Yours fills up whole blocks there, too.",
    (
        limited(lambda load, C, block: rows_of(load, None, block)),
        limited(lambda load, C, block: rows_of(kept_of(load, C), None, block)),
    ),
    "rounded to the nearest: You rounded to the nearest number of blocks. Round *up*, `-(-load // block)`: every token needs a row.",
    (
        dropless(lambda load, block: np.round(load / block) * block),
        dropless(lambda load, block: np.maximum(np.round(load / block) * block, load)),
    ),
    "one block too many: A load that is a whole multiple of the block needs no further one. Yours gets it: round *up*, `-(-load // block)`.",
    for_the_busy(one_more),
    "a block on top: You add a block, or a row less than that, to each load. Fill it up only to the next whole multiple of `block`.",
    (*for_the_busy(lambda load, block: load + block), *for_the_busy(lambda load, block: load + block - 1)),
    "the remainder added: You add `load % block`, which is what stands *beyond* the last whole block. Add what is missing to the next one.",
    dropless(lambda load, block: load + load % block),
    "all as the fullest: You filled up every slice to the fullest. Without a capacity each is filled up to whole blocks of its own.",
    (
        dropless(lambda load, block: np.full_like(load, load.max())),
        dropless(lambda load, block: np.full_like(load, blocks_of(load.max(), block) * block)),
    ),
    "capacity in blocks: You rounded the capacity to whole blocks. With a capacity `block` does not matter: every expert computes just that many rows.",
    (
        limited(lambda load, C, block: np.full_like(load, blocks_of(C, block) * block)),
        limited(lambda load, C, block: np.full_like(load, C // block * block)),
    ),
    "capacity for the busy: With a capacity *every* expert computes just that many rows, also one without a token.",
    limited(lambda load, C, block: np.where(load > 0, C, 0)),
)
TOO_FEW_ROWS = (  # as above, with fewer rows than tokens
    "rounded down: You round down, so that some tokens have no row. Round *up*: every token needs one.",
    dropless(lambda load, block: load // block * block),
    "blocks: You count blocks. Asked are rows, of which each block has `block`.",
    dropless(blocks_of),
)


COST = FunctionQuestion(
    **about("10.2", "What a dispatch costs", "write it", "medium", points=2, minutes=8),
    hints=(
        "First the rows that each expert computes: `capacity` for all of them, or without one the load rounded up to whole blocks. Then what each of them keeps: all, or at most `capacity`. The three numbers come from these and the load.",
        "Rounded up: `-(-load // block) * block`. Kept: `np.minimum(load, capacity)`. The rows of each device: `np.bincount(device, weights=rows)`.",
    ),
    idea="Each expert's rows and what it keeps decide everything. Empty rows at one expert and lost tokens at another are both counted, never set off against each other, and the device with the most rows, full or empty, is the one that all wait for.",
    takeaway="With several experts on a device, an uneven router costs time only as far as the *devices* are uneven: where experts are placed is part of load balancing.",
    answer="my_costs",
    parameters=("load", "device", "capacity", "block"),
    when_raised="load and device are arrays (N,) of whole numbers; `device[i]` is where expert i lives. capacity is a whole number from 1 on, or None.",
    cases=cost_cases,
    reference=costs,
    parts={
        "empty": by_value(
            "set off: You took all rows less all assignments, so that what is dropped at a full expert pays for empty rows at another. Count at each expert: its rows less what it *keeps*.",
            (
                of_rows(lambda rows, kept, load, device: rows.sum() - load.sum()),
                of_rows(lambda rows, kept, load, device: max(rows.sum() - load.sum(), 0)),
                of_rows(lambda rows, kept, load, device: np.maximum(by_device(rows - load, device), 0).sum()),
            ),
            "set off, and rounded down: Two things. Without a capacity you round down: each slice is filled *up* to whole blocks. And with one you took all rows less all assignments, so that what is dropped at a full expert pays for empty rows at another.",
            of_all(dropless(lambda load, block: load // block * block)),
            "a share: This is a share of the rows. Asked is how many rows are empty.",
            of_rows(lambda rows, kept, load, device: 1 - kept.sum() / rows.sum()),
            "full rows: These are the rows that hold a token. Asked are the empty ones.",
            of_rows(lambda rows, kept, load, device: kept.sum()),
            "computed rows: These are all computed rows, full ones included. Asked are the empty ones.",
            of_rows(lambda rows, kept, load, device: rows.sum()),
            "experts: This is how many experts have empty rows. Asked is how many rows they are.",
            of_rows(lambda rows, kept, load, device: (rows > kept).sum()),
            "idle experts: This is how many experts have no token. Asked is how many rows hold none.",
            of_rows(lambda rows, kept, load, device: (load == 0).sum()),
            "idle experts' rows: You count the rows of experts without a token alone. One with some tokens has empty rows, too: its rows less what it keeps.",
            of_rows(lambda rows, kept, load, device: rows[load == 0].sum()),
            "one expert alone: These are the empty rows of one expert, the one that has most. Asked are those of all.",
            of_rows(lambda rows, kept, load, device: (rows - kept).max()),
            "one device alone: These are the empty rows of one device. Asked are those of all.",
            (
                of_rows(lambda rows, kept, load, device: by_device(rows - kept, device).max()),
                of_rows(
                    lambda rows, kept, load, device: by_device(rows - kept, device)[by_device(rows, device).argmax()]
                ),
            ),
            DEVICE_PLACES,
            limited_else(0, lambda load, device, C: np.maximum(C - by_device(load, device), 0).sum()),
            OTHER_ORDER,
            (other_part(1), other_part(2)),
            "no blocks: Without a capacity you have no empty rows, as in slices of any length, or rounded down. Here each slice is filled *up* to whole blocks.",
            empty_of(dropless(lambda load, block: load)),
            "capacity at most: With a capacity you have no empty rows. Every *expert* computes just that many, however few tokens come to it.",
            empty_of(limited(lambda load, C, block: kept_of(load, C))),
            "a block for nobody: An expert without a token computes nothing. Yours gets a block.",
            empty_of(dropless(lambda load, block: np.maximum(blocks_of(load, block), 1) * block)),
            "missing rows: You counted rows that are missing at a full expert as empty ones. Count only those that are there.",
            of_rows(lambda rows, kept, load, device: np.abs(rows - load).sum()),
            "filled up once: You filled up the sum of all loads, or of those on each device. Each expert's slice is filled up on its own.",
            (block_in_all, lambda *case: by_device_in_blocks(*case).sum() - kept_of(case[0], case[2]).sum()),
        )
        + by_formula(empty_of, *OTHER_ROWS, *TOO_FEW_ROWS)
        + by_formula(empty_not_below_zero, *OTHER_ROWS),
        "dropped": by_value(
            "a common pool: You compared the sum of the loads with all N·C places. Each expert has C of its own, and a place at another expert helps nobody.",
            (
                limited_else(1, lambda load, device, C: max(load.sum() - len(load) * C, 0)),
                of_rows(lambda rows, kept, load, device: load.sum() - rows.sum()),
            ),
            "common places on a device: You set a full expert off against an empty one on the same device. Each expert has C places of its own.",
            of_rows(lambda rows, kept, load, device: np.maximum(by_device(load - rows, device), 0).sum()),
            "places of a device: You let each device, or all of them together, keep `capacity` assignments. Each *expert* has that many places.",
            (
                limited_else(1, lambda load, device, C: np.maximum(by_device(load, device) - C, 0).sum()),
                limited_else(1, lambda load, device, C: max(load.sum() - C, 0)),
            ),
            OTHER_ORDER,
            (other_part(0), other_part(2)),
            "a share of what was asked: This is a share. Asked is how many assignments are dropped.",
            of_rows(lambda rows, kept, load, device: 1 - kept.sum() / load.sum()),
            "what is kept: This is what is kept. Asked is what is dropped.",
            of_rows(lambda rows, kept, load, device: kept.sum()),
            "all of a full expert: You dropped all assignments of an expert with too many. The first C of them have a place.",
            of_rows(lambda rows, kept, load, device: load[load > kept].sum()),
            "the fullest alone: This is what one expert drops, the one that drops most. Asked are all together.",
            of_rows(lambda rows, kept, load, device: (load - kept).max()),
            "experts: This is how many experts are full. Asked is how many assignments find no place there.",
            of_rows(lambda rows, kept, load, device: (load > kept).sum()),
        ),
        "busiest": by_value(
            DEVICE_PLACES,
            limited_else(2, lambda load, device, C: C),
            "an expert: This is the busiest *expert*, as in the lesson, where each had a device of its own. Here a device holds several: add up the rows of its experts.",
            of_rows(lambda rows, kept, load, device: rows.max()),
            "what was asked: You added up the loads of each device. It computes *rows*: whole blocks, or C for each of its experts, empty ones included.",
            (
                of_rows(lambda rows, kept, load, device: by_device(load, device).max()),
                busiest_of(dropless(lambda load, block: load)),
            ),
            "dropped ones too: You counted an expert's rows as its load where that is more than its capacity. What is dropped is not computed.",
            of_rows(lambda rows, kept, load, device: by_device(np.maximum(rows, load), device).max()),
            "the fullest expert's: These are the rows of the device with the fullest expert. Another computes more.",
            of_rows(lambda rows, kept, load, device: by_device(rows, device)[device[load.argmax()]]),
            "empty rows alone: You counted the empty rows of each device alone. It computes those with a token as well.",
            of_rows(lambda rows, kept, load, device: by_device(rows - kept, device).max()),
            "experts in order: Your experts lie on the devices in order of their index, or in turn. `device` says where each one is.",
            tuple(of_rows(lambda rows, kept, load, device, way=way: in_order(rows, device)[way]) for way in range(3)),
            "most tokens: These are the rows of the device that most assignments ask for. Another computes more rows, empty ones included.",
            of_rows(lambda rows, kept, load, device: by_device(rows, device)[by_device(load, device).argmax()]),
            "most experts: These are the rows of the device with the most experts. Another computes more.",
            of_rows(lambda rows, kept, load, device: by_device(rows, device)[np.bincount(device).argmax()]),
            "filled up once: You filled up the sum of each device's loads. Each expert's slice is filled up on its own.",
            lambda *case: by_device_in_blocks(*case).max(),
            "tokens only: You added up the rows that hold a token. A device computes its empty rows, too.",
            of_rows(lambda rows, kept, load, device: by_device(kept, device).max()),
            "the mean: This is the mean over the devices. All wait for the slowest: the largest.",
            (
                of_rows(lambda rows, kept, load, device: by_device(rows, device).mean()),
                of_rows(lambda rows, kept, load, device: rows.sum() // (device.max() + 1)),
                of_rows(lambda rows, kept, load, device: -(-rows.sum() // (device.max() + 1))),
            ),
            "a ratio: This is largest / mean. Asked is how many rows the device with the most computes.",
            of_rows(lambda rows, kept, load, device: by_device(rows, device).max() / by_device(rows, device).mean()),
            "all rows: These are the rows of all devices together. They work at the same time: asked is the one with the most.",
            of_rows(lambda rows, kept, load, device: rows.sum()),
            "which device: This is the device's number. Asked is how many rows it computes.",
            of_rows(lambda rows, kept, load, device: by_device(rows, device).argmax()),
            "a device left out: The device with the most rows is left out in yours. They are numbered from 0 to the largest number in `device`.",
            (
                of_rows(lambda rows, kept, load, device: by_device(rows, device)[1:].max()),
                of_rows(lambda rows, kept, load, device: by_device(rows, device)[:-1].max()),
            ),
            "fewest rows: This is the device with the fewest rows. All wait for the one with the most.",
            of_rows(lambda rows, kept, load, device: by_device(rows, device).min()),
        )
        + by_formula(busiest_of, *OTHER_ROWS, *TOO_FEW_ROWS),
    },
)
