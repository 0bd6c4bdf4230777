"""Question 7r.4: how much of the work is padding."""

from collections.abc import Callable

import numpy as np

from moe_lessons.checks.apart import tells_apart
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.values import is_floats, unbracketed
from moe_lessons.checks.verdicts import by_test, by_value


def loads_of(selected: np.ndarray, N: int) -> np.ndarray:
    """Return how many rows each expert gets. selected (T, k). Returns (N,)."""
    return np.bincount(selected.ravel(), minlength=N)


def padding(selected: np.ndarray, N: int) -> float:
    """Return the share of padding when every expert gets as many rows as the fullest. selected (T, k)."""
    return 1 - selected.size / (N * loads_of(selected, N).max())


def draw_choices(rng: np.random.Generator, T: int, N: int, k: int, idle: tuple[int, ...]) -> np.ndarray:
    """Return choices (T, k): nobody chooses the `idle` experts, others are liked unevenly."""
    liked = rng.normal(size=N)  # (N,)
    liked[list(idle)] = -np.inf
    return np.argsort(-(liked + rng.gumbel(size=(T, N))), axis=1)[:, :k]  # (T, k)


def padding_cases(rng: np.random.Generator) -> list[tuple]:
    """One, two and three experts a token; idle ones are the last and one between, the first, and none by design.

    Drawn until all known mistakes come to different things.
    """
    sizes = ((23, 7, 1, (2, 6)), (31, 8, 2, (0, 5)), (26, 9, 3, ()))
    cases = [(draw_choices(rng, T, N, k, idle), N) for T, N, k, idle in sizes]
    return cases if tells_apart(PADDING, cases) else padding_cases(rng)


def share(multiplied: Callable, useful: Callable = lambda selected, N: selected.size) -> Callable:
    """Return the share of padding if so many rows are multiplied and so many of them are real: −∞ of 0 rows."""
    return np.errstate(divide="ignore")(
        lambda selected, N: 1 - np.float64(useful(selected, N)) / multiplied(selected, N)
    )


def in_all(selected: np.ndarray, N: int) -> int:
    """Return how many rows are multiplied."""
    return N * int(loads_of(selected, N).max())


def in_blocks_of(rows: Callable) -> Callable:
    """Return how many rows are multiplied when each expert's block has `rows`(selected, N)."""
    return lambda selected, N: N * rows(selected, N)


def mean_rows(selected: np.ndarray, N: int) -> int:
    """Return the mean load, rounded up."""
    return -(-selected.size // N)


def cut_to_the_mean(selected: np.ndarray, N: int) -> float:
    """Return the share of padding when blocks have the mean load, and what is over it is lost."""
    rows = mean_rows(selected, N)
    return np.maximum(rows - loads_of(selected, N), 0).sum() / (N * rows)


def above(rows: float, selected: np.ndarray, N: int) -> float:
    """Return how many rows are over when every expert may have so many."""
    return np.maximum(loads_of(selected, N) - rows, 0).sum()


def without_the_first(blocks: Callable[[int], int]) -> Callable:
    """Return the share of padding when nobody counts expert 0, in blocks(N) blocks."""
    return lambda selected, N: 1 - loads_of(selected, N)[1:].sum() / (blocks(N) * loads_of(selected, N)[1:].max())


def by_columns(selected: np.ndarray, N: int) -> int:
    """Return how many rows are multiplied when each column of choices is padded by itself."""
    return sum(in_all(column, N) for column in selected.T)


def fullest(selected: np.ndarray, N: int) -> int:
    """Return which expert has most rows."""
    return int(loads_of(selected, N).argmax())


PADDING = FunctionQuestion(
    **about("7r.4", "How much of it is padding?", "write it", "medium", points=1, minutes=4),
    hints=(
        "How many rows has the fullest expert? How many rows are multiplied in all when every expert's block is that long, and how many of them are real?",
        "`np.bincount(selected.ravel(), minlength=N)` counts the rows of all N experts. Multiplied are N times the largest of these; real are as many as there are choices.",
    ),
    idea="Padding makes every expert as busy as the fullest one: N times the largest load is multiplied, T·k of it is real.",
    takeaway="A layer that pads to equal shapes pays for its fullest expert N times: uneven loads then cost FLOPs, on a single machine too.",
    answer="my_padding",
    parameters=("selected", "N"),
    cases=padding_cases,
    reference=padding,
    quiet=True,
    read=lambda value, *_: unbracketed(value),
    mistakes=by_value(
        "real share: This is the share of rows that are real. Asked is the padding: 1 minus that.",
        lambda selected, N: 1 - padding(selected, N),
        "number of rows: This is how many rows are padding. Asked is their share of all rows that are multiplied.",
        lambda selected, N: in_all(selected, N) - selected.size,
        "beside the real rows: You divided the padding by the real rows. Asked is its share of all rows that are multiplied, padding included.",
        lambda selected, N: in_all(selected, N) / selected.size - 1,
        "times: This is how many times as many rows are multiplied as are real. Asked is which share of them is padding.",
        lambda selected, N: in_all(selected, N) / selected.size,
        "idle left out: You left out experts that nobody chose. They get a block of zeros, too: all N blocks have one shape.",
        (
            share(lambda selected, N: len(np.unique(selected)) * loads_of(selected, N).max()),
            lambda selected, N: (len(np.unique(selected)) - selected.size / loads_of(selected, N).max()) / N,
        ),
        "last ones left out: Your count ends at the last expert that somebody chose. Idle experts behind it get a block, too: N is given.",
        share(lambda selected, N: (selected.max() + 1) * loads_of(selected, N).max()),
        "tokens for rows: You took the T tokens for the real rows. A token gives a row to each of its k experts.",
        share(in_all, lambda selected, N: len(selected)),
        "padded to T: You gave every expert a row for every token. The blocks are only as long as the fullest expert's rows.",
        share(lambda selected, N: N * len(selected)),
        "first choices only: You counted first choices alone. All k choices of a token are rows.",
        (
            share(lambda selected, N: in_all(selected[:, 0], N), lambda selected, N: len(selected)),
            share(lambda selected, N: in_all(selected[:, 0], N)),
        ),
        "one block: You compared with one block, the fullest expert's. There are N of them.",
        share(lambda selected, N: loads_of(selected, N).max()),
        "last choices only: You counted last choices alone. All k choices of a token are rows.",
        (
            share(lambda selected, N: in_all(selected[:, -1], N), lambda selected, N: len(selected)),
            share(lambda selected, N: in_all(selected[:, -1], N)),
        ),
        "fullest left out: You left out the fullest expert's block. It has no padding, but its rows are multiplied too.",
        lambda selected, N: padding(selected, N) * N / (N - 1),
        "by the tokens: You divided the padding by the T tokens. Asked is its share of all rows that are multiplied.",
        lambda selected, N: (in_all(selected, N) - selected.size) / len(selected),
        "spread of the loads: This is the spread of the loads beside their mean. Padding is about the fullest alone: how many rows are added?",
        lambda selected, N: loads_of(selected, N).std() / loads_of(selected, N).mean(),
        "of each expert: This is each expert's own share. Asked is one number, for all blocks together.",
        lambda selected, N: 1 - loads_of(selected, N) / loads_of(selected, N).max(),
        "percent: This is in percent. Return a share from 0 to 1.",
        lambda selected, N: 100 * padding(selected, N),
        "above the mean: These are the rows above the mean load, as a share of the real ones: what is dropped if every block has the mean load. Asked is what is filled up when every block is as long as the fullest.",
        (
            lambda selected, N: above(selected.size / N, selected, N) / selected.size,
            lambda selected, N: above(mean_rows(selected, N), selected, N) / selected.size,
        ),
        "E1 left out: The rows of expert 0 are missing in yours. Experts are numbered from 0 to N − 1.",
        (without_the_first(lambda N: N), without_the_first(lambda N: N - 1)),
        "blocks of the mean: Your blocks have the mean load, rounded up. The fullest expert has more rows, and none may be lost.",
        (cut_to_the_mean, share(in_blocks_of(mean_rows))),
        "each choice padded apart: You padded each column of `selected` by itself. An expert's rows from all k choices stand in one block.",
        share(by_columns),
        "index for load: You took an index where the load is asked: `argmax` says *which* expert is the fullest. A block has as many rows as that one has.",
        (
            share(in_blocks_of(fullest)),
            share(in_blocks_of(lambda selected, N: max(fullest(selected, N), 1))),
            share(in_blocks_of(lambda selected, N: fullest(selected, N) + 1)),
            share(in_blocks_of(lambda selected, N: selected.max())),
        ),
        "experts for rows: So many *experts* get padding, and so large a share it would be if every block held all T·k rows. Asked is the share of rows, in blocks as long as the fullest expert's rows.",
        (
            lambda selected, N: np.mean(loads_of(selected, N) < loads_of(selected, N).max()),
            share(lambda selected, N: N * selected.size),
        ),
        "idle experts: This is the share of experts that nobody chose. The others are padded too, up to the fullest.",
        lambda selected, N: np.mean(loads_of(selected, N) == 0),
        "of the emptiest: This is the padding of one expert alone, the emptiest. Asked is the share in all blocks together.",
        lambda selected, N: 1 - loads_of(selected, N).min() / loads_of(selected, N).max(),
        "rows of one block: This is how many rows of padding a block has on average. Asked is the share of all rows that are multiplied.",
        lambda selected, N: loads_of(selected, N).max() - loads_of(selected, N).mean(),
        "share of the fullest: This is the fullest expert's share of the real rows. Asked is what share of the rows that are multiplied is not real.",
        lambda selected, N: loads_of(selected, N).max() / selected.size,
        "divided by N again: You divided by N once too often: the padding of one expert in all rows. All N are padded.",
        lambda selected, N: padding(selected, N) / N,
    )
    + by_test(
        "below 0: A share of rows is never below 0: there you multiply by fewer rows than are real. Every block must hold the rows of the fullest expert.",
        lambda value, selected, N: is_floats(value, ()) and value < 0,
    ),
)
