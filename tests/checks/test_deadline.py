"""Both kinds of timer stop a Python loop, leave quick code alone, and put everything back."""

import signal
import time

import pytest

from moe_lessons.checks import deadline as module
from moe_lessons.checks.deadline import OutOfTime, deadline

TIMERS = [pytest.param(module._timer_thread, id="thread")]
if hasattr(signal, "setitimer"):
    TIMERS.append(pytest.param(module._Alarm, id="alarm"))


@pytest.mark.parametrize("timer", TIMERS)
def test_a_loop_is_stopped(timer):
    started = time.monotonic()
    with pytest.raises(OutOfTime), timer(0.2):
        while True:
            pass
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize("timer", TIMERS)
def test_one_swallowed_alarm_is_followed_by_another(timer):
    swallowed, started = 0, time.monotonic()
    with pytest.raises(OutOfTime), timer(0.1):
        while True:
            try:
                while True:
                    pass
            except OutOfTime:
                swallowed += 1
                if swallowed == 3:
                    raise
    assert swallowed == 3
    assert time.monotonic() - started < 30  # half a second, on a quiet machine


@pytest.mark.parametrize("timer", TIMERS)
def test_quick_code_is_left_alone_afterwards_too(timer):
    with timer(0.1):
        value = sum(range(100))
    time.sleep(0.25)
    assert value == 4950


@pytest.mark.slow
@pytest.mark.parametrize("timer", TIMERS)
def test_who_was_kept_from_the_processor_gets_longer_and_not_for_ever(timer):
    started = time.monotonic()
    with timer(0.2, load=10):
        time.sleep(0.5)  # nothing of its own time is used
    with pytest.raises(OutOfTime), timer(0.2, load=3):
        while True:
            time.sleep(0.01)
    assert time.monotonic() - started >= 0.99 * (0.5 + 0.6)  # two clocks
    with pytest.raises(OutOfTime), timer(0.2, load=1000):
        while True:
            pass


@pytest.mark.parametrize("timer", TIMERS)
def test_other_exceptions_pass(timer):
    with pytest.raises(KeyboardInterrupt), timer(1.0):
        raise KeyboardInterrupt


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no timer of CPU time")
def test_cpu_time_is_counted_where_it_is_asked_for():
    with deadline(0.2, cpu=True):
        time.sleep(0.5)
    with pytest.raises(OutOfTime), deadline(0.2, cpu=True):
        while True:
            pass
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no SIGALRM: the thread is used there")
def test_the_signal_handler_is_put_back():
    before = signal.getsignal(signal.SIGALRM)
    with deadline(1.0):
        assert signal.getsignal(signal.SIGALRM) is not before
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="Windows has no SIGALRM: the thread is used there")
def test_an_alarm_at_the_very_end_leaves_nothing_behind():
    """Whenever it rings: a timer left on without its handler would end the learner's kernel."""
    before, stopped = signal.getsignal(signal.SIGALRM), 0
    for step in range(4000):
        try:
            with deadline(1e-6 * (1 + step % 40)):
                sum(range(step % 100))
        except OutOfTime:
            stopped += 1
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        assert signal.getsignal(signal.SIGALRM) is before
    assert 0 < stopped < 4000
