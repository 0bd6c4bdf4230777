"""How long things take, measured so that they can be compared: in turns, several rounds, with the spread."""

import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from moe_lessons.support.validation import refuse, whole_number

# CPU time of all threads of this process: other programs on the machine disturb it least. On Windows it advances in
# steps of 1/64 s, too coarse for a layer, so wall time has to do there.
CLOCK, CLOCK_NAME = (
    (time.perf_counter, "wall time") if sys.platform == "win32" else (time.process_time, "CPU time")
)  # fmt: skip


class Spread(NamedTuple):
    """The first quartile, the median and the third quartile of measured times, in seconds."""

    low: float
    median: float
    high: float


def interleaved(
    functions: Mapping[str, Callable[[], Any]],
    rounds: int = 7,
    *,
    warmup: int = 1,
    clock: Callable[[], float] = CLOCK,
    progress: Callable[[range], Iterable[int]] = iter,
) -> dict[str, list[float]]:
    """Time functions in turns: each round calls every function once, in a new order. Returns name -> seconds.

    In turns, because a machine that gets slower (heat, another program) then slows all of them alike.
    functions: name -> a function without arguments. rounds: measurements of each, at least 1. warmup: rounds whose
    times are thrown away (the first call often pays for something else). clock: returns seconds; by default CPU time,
    on Windows wall time. progress: wraps the rounds, for instance `tqdm`.
    Raises ValueError for no functions, something that cannot be called, or too few rounds.
    """
    _callables(functions)
    whole_number("rounds", rounds, least=1, most=10**6)
    whole_number("warmup", warmup, least=0, most=10**6)
    shuffle, order = random.Random(0).shuffle, list(functions)
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for turn in progress(range(warmup + rounds)):
        shuffle(order)  # or a function would always find the cache as the same neighbour left it
        for name in order:
            start = clock()
            functions[name]()
            elapsed = clock() - start
            if turn >= warmup:
                seconds[name].append(elapsed)
    return seconds


def _callables(functions: Any) -> None:
    """Refuse what cannot be timed."""
    if not isinstance(functions, Mapping) or not functions:
        raise refuse("functions", functions, "a dict of name -> function, with at least one entry")
    for name, function in functions.items():
        if not callable(function):
            raise refuse(f"functions[{name!r}]", function, "a function without arguments")


def spread(seconds: Sequence[float]) -> Spread:
    """Return quartiles and median of the measured times. Raises ValueError for none, or one that is no number >= 0."""
    if len(seconds) == 0:
        raise refuse("seconds", seconds, "at least one measured time")
    for i, value in enumerate(seconds):
        if not 0 <= value < float("inf"):
            raise refuse(f"seconds[{i}]", value, "a finite number of seconds, not below 0")
    if len(seconds) == 1:
        return Spread(seconds[0], seconds[0], seconds[0])
    return Spread(*statistics.quantiles(seconds, n=4, method="inclusive"))


def timing_table(times: Mapping[str, Sequence[float]], baseline: str) -> str:
    """Lay measured times out as text: median and quartiles in ms, and the ratio of the medians to `baseline`'s.

    times: name -> seconds, as `interleaved` returns them. Raises ValueError for a baseline that is not among them, or
    one whose median is 0 (too short for the clock).
    """
    if baseline not in times:
        raise refuse("baseline", baseline, f"one of {list(times)}")
    unit = spread(times[baseline]).median
    if unit == 0:
        raise refuse(f"times[{baseline!r}]", times[baseline], "a median above 0: repeat the work, it is too short")
    wide = max(map(len, times))
    lines = [f"{'':<{wide}}  {'median':>9}   (quartiles)          ratio"]
    for name, seconds in times.items():
        low, median, high = (1000 * t for t in spread(seconds))
        quartiles = f"({low:.1f} to {high:.1f})"
        lines.append(f"{name:<{wide}}  {median:>6.1f} ms   {quartiles:<18} {median / 1000 / unit:>7.2f}")
    return "\n".join(lines)
