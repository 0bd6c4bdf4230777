"""Timing is tested with a clock that the test moves itself: nothing here depends on the machine's speed."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_lessons.support.timing import CLOCK, CLOCK_NAME, Spread, interleaved, spread, timing_table


class Machine:
    """A clock, and functions that take a known time on it; `drift` makes everything slower from round to round."""

    def __init__(self, drift=0.0):
        self.now, self.drift, self.calls = 0.0, drift, []

    def clock(self):
        return self.now

    def takes(self, name, seconds):
        def function():
            self.now += seconds * (1 + self.drift * len(self.calls))
            self.calls.append(name)

        return function

    def functions(self, **seconds):
        return {name: self.takes(name, s) for name, s in seconds.items()}


def test_each_function_gets_its_own_time_and_the_warm_up_is_not_counted():
    machine = Machine()
    times = interleaved(machine.functions(a=1.0, b=0.25), 5, warmup=2, clock=machine.clock)
    assert times == {"a": [1.0] * 5, "b": [0.25] * 5}
    assert machine.calls.count("a") == machine.calls.count("b") == 7


def test_every_round_calls_each_function_once_and_in_changing_order():
    machine = Machine()
    interleaved(machine.functions(a=1, b=1, c=1), 20, warmup=0, clock=machine.clock)
    rounds = [tuple(machine.calls[i : i + 3]) for i in range(0, 60, 3)]
    assert all(sorted(r) == ["a", "b", "c"] for r in rounds)
    assert len(set(rounds)) > 3


def ratio(times):
    return spread(times["a"]).median / spread(times["b"]).median


def test_a_machine_that_gets_slower_hardly_changes_the_ratio_of_equals():
    machine = Machine(drift=0.05)
    assert ratio(interleaved(machine.functions(a=1, b=1), 40, clock=machine.clock)) == pytest.approx(1, abs=0.1)


def test_broken_control_one_after_the_other_gets_that_ratio_wrong():
    machine = Machine(drift=0.05)
    one_by_one = {name: interleaved({name: f}, 40, clock=machine.clock)[name]
                  for name, f in machine.functions(a=1, b=1).items()}  # fmt: skip
    assert abs(ratio(one_by_one) - 1) > 0.3


def test_the_progress_bar_sees_every_round():
    seen = []

    def progress(rounds):
        for turn in rounds:
            seen.append(turn)
            yield turn

    machine = Machine()
    interleaved(machine.functions(a=1), 3, warmup=1, clock=machine.clock, progress=progress)
    assert seen == [0, 1, 2, 3]


def test_the_real_clock_tells_long_from_short():
    times = interleaved({"long": lambda: sum(range(300_000)), "short": lambda: None}, 5)
    assert spread(times["long"]).median > spread(times["short"]).median
    assert CLOCK() >= 0
    assert CLOCK_NAME in ("CPU time", "wall time")


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=30))
def test_the_spread_is_that_of_numpy(seconds):
    assert spread(seconds) == pytest.approx(np.quantile(seconds, [0.25, 0.5, 0.75]), rel=1e-9, abs=1e-9)


def test_the_spread_of_one_time_is_that_time():
    assert spread([2.0]) == Spread(2.0, 2.0, 2.0)


def test_the_table_shows_medians_quartiles_and_ratios():
    head, slow, fast = timing_table({"slow": [0.004, 0.002, 0.003], "fast": [0.001]}, "fast").split("\n")
    assert slow.split() == ["slow", "3.0", "ms", "(2.5", "to", "3.5)", "3.00"]
    assert fast.split()[-1] == "1.00"
    assert "median" in head


def test_importing_it_loads_no_torch():
    code = "import sys, moe_lessons.support.timing; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: interleaved({}), "functions = {}"),
        (lambda: interleaved([print]), "functions = ["),
        (lambda: interleaved({"a": 3}), "functions['a'] = 3"),
        (lambda: interleaved({"a": print}, 0), "rounds = 0"),
        (lambda: interleaved({"a": print}, 2.5), "rounds = 2.5"),
        (lambda: interleaved({"a": print}, warmup=-1), "warmup = -1"),
        (lambda: spread([]), "seconds = []"),
        (lambda: spread([1.0, -1.0]), "seconds[1] = -1.0"),
        (lambda: spread([float("nan")]), "seconds[0] = nan"),
        (lambda: timing_table({"a": [1.0]}, "b"), "baseline = 'b'"),
        (lambda: timing_table({"a": [0.0]}, "a"), "times['a'] = [0.0]"),
    ],
)
def test_bad_input(call, named):
    with pytest.raises(ValueError, match="expected") as error:
        call()
    assert str(error.value).startswith(named)
