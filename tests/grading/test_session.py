"""A worker that dies, lies or hangs costs one step: told with a made worker, so no sandbox is needed."""

from dataclasses import replace

import pytest

from moe_lessons.checks import questions
from moe_lessons.grading import session as module
from moe_lessons.grading import wire
from moe_lessons.grading.patience import Used
from moe_lessons.grading.records import Ended
from moe_lessons.grading.sandbox import Limits
from moe_lessons.grading.session import Lost, Session, describe

RAN = {"ended": "ran", "notes": ["a note", 3]}
TIMED_OUT = {"ended": "timed out"}


class Made:
    """A sandbox and its workers in one: `replies` gives, for a request's key, what each asking brings.

    Each asking takes half a second of CPU time.
    """

    def __init__(self, replies, **limits):
        self.limits = replace(Limits(restarts=2), **limits)
        self.replies = {key: list(value) for key, value in replies.items()}
        self.log, self.stopped, self.trusted, self.broken = [], 0, False, False

    def start(self):
        return self

    def complaint(self):
        return "No module named numpy"

    def ask(self, request, seconds, cpu=None, lending=None):
        self.used = Used(0.5)
        if request["do"] == "begin":
            self.log.append("start")
            if self.broken:
                raise wire.Closed
            return {"ended": "ready"}
        key = request.get("source", "question") + (" again" if request.get("definitions_only") else "")
        self.log.append(key)
        waiting = self.replies.get(key, [])
        reply = waiting.pop(0) if waiting else RAN
        if isinstance(reply, Exception):
            raise reply
        return reply

    def stop(self):
        self.stopped += 1


def session(made, *cells):
    return Session(made, cells, [questions()["1.1"]], [])


def run_all(made, *cells):
    with session(made, *cells) as running:
        return [running.run_cell(number) for number in range(1, len(cells) + 1)], running


def test_cells_run_once_each_in_one_worker_which_is_stopped():
    made = Made({})
    steps, running = run_all(made, "a", "b")
    assert made.log == ["start", "a", "b"]
    assert made.stopped == 1
    assert [step.ended for step in steps] == [Ended.OK, Ended.OK]
    assert steps[0].notes == ["a note"]
    assert running.seconds == 1.0


@pytest.mark.parametrize(("said", "ended"), [("timed out", Ended.TIMED_OUT), ("killed", Ended.KILLED)])
def test_of_a_cell_that_did_not_come_through_the_definitions_are_run(said, ended):
    made = Made({"b": [{"ended": said}]})
    steps, _ = run_all(made, "a", "b", "c")
    assert made.log == ["start", "a", "b", "b again", "c"]
    assert [step.ended for step in steps] == [Ended.OK, ended, Ended.OK]


@pytest.mark.parametrize(
    ("error", "ended"),
    [(wire.Closed(), Ended.KILLED), (TimeoutError(), Ended.TIMED_OUT), (wire.Malformed(), Ended.PARTIAL)],
)
def test_a_worker_that_breaks_is_followed_by_another_that_repeats_the_cells_before(error, ended):
    made = Made({"b": [error]})
    steps, _ = run_all(made, "a", "b", "c")
    assert made.log == ["start", "a", "b", "start", "a", "b again", "c"]
    assert made.stopped == 2
    assert [step.ended for step in steps] == [Ended.OK, ended, Ended.OK]


def test_another_worker_repeats_of_a_cell_what_was_kept_of_it():
    made = Made({"a": [TIMED_OUT], "b": [wire.Closed()]})
    run_all(made, "a", "b", "c")
    assert made.log == ["start", "a", "a again", "b", "start", "a again", "b again", "c"]


def test_a_cell_whose_definitions_break_the_worker_too_is_left_out():
    made = Made({"a": [wire.Closed()], "a again": [wire.Closed()]})
    run_all(made, "a", "b")
    assert made.log == ["start", "a", "start", "a again", "start", "b"]


def test_after_too_many_workers_it_gives_up():
    made = Made({"a": [wire.Closed()] * 9, "a again": [wire.Closed()] * 9, "b": [wire.Closed()] * 9})
    with session(made, "a", "b") as running, pytest.raises(Lost, match="3 times"):
        for number in (1, 2):
            running.run_cell(number)


def test_a_worker_that_never_starts_is_no_fault_of_the_learners():
    made = Made({})
    made.broken = True
    with pytest.raises(RuntimeError, match="does not start: No module named numpy"):
        run_all(made, "a")
    assert made.stopped == 1


@pytest.mark.parametrize("said", [{}, {"ended": "correct"}, {"ended": ["ran"]}, {"ended": "ran"}])
def test_what_a_worker_says_is_read_with_care(said):
    made = Made({"question": [said | {"seconds": 1e4, "notes": "x" * 5}]})
    with session(made) as running:
        step = running.try_answer(questions()["1.1"], {"cases": []})
    assert step.ended == (Ended.OK if said == {"ended": "ran"} else Ended.PARTIAL)
    assert step.notes == []
    assert running.seconds == 0.5  # as seen from outside


def test_when_all_time_is_used_up_only_definitions_are_asked_for():
    made = Made({}, all_seconds=0.6)
    steps, _ = run_all(made, "a", "b", "c")
    assert made.log == ["start", "a", "b", "c again"]
    assert [step.ended for step in steps] == [Ended.OK, Ended.OK, Ended.TIMED_OUT]
    assert steps[2].kept == "of it only definitions were kept"
    made = Made({}, all_wall_seconds=-1.0)
    assert run_all(made, "a")[0][0].ended == Ended.TIMED_OUT
    assert made.log == []


def test_definitions_have_little_time_beyond_all_time(monkeypatch):
    monkeypatch.setattr(module, "LATE_SECONDS", 1.2)
    made = Made({}, all_seconds=0.6)
    steps, _ = run_all(made, "a", "b", "c", "d", "e", "f")
    assert made.log == ["start", "a", "b", "c again", "d again"]
    assert steps[-1].kept == "nothing of it was kept"


def test_answers_have_time_of_their_own():
    made = Made({}, all_seconds=0.6)
    with session(made, "a", "b", "c") as running:
        for number in (1, 2, 3):
            running.run_cell(number)
        ended = [running.try_answer(questions()["1.1"], {"cases": []}).ended for _ in range(3)]
    assert ended == [Ended.OK, Ended.OK, Ended.TIMED_OUT]
    assert running.seconds == 2.5


@pytest.mark.parametrize("reached", [[1, 7], [0, 1], [3, 0]])
def test_of_a_cell_that_was_stopped_all_is_run_but_the_statement_that_it_had_reached(reached):
    made = Made({"b": [TIMED_OUT | {"reached": reached}, RAN, RAN], "c": [wire.Closed()]})
    steps, running = run_all(made, "a", "b", "c")
    assert made.log == ["start", "a", "b", "b", "c", "start", "a", "b", "c again"]
    what = f"stands in line {reached[1]}" if reached[1] else "had waited for it, or went on after it"
    assert steps[1].kept == f"all of it was run but what {what}"
    assert [request["skipped"] for request in running.done[:2]] == [None, reached[0]]


@pytest.mark.parametrize("reached", [None, 3, [1], [1, "2"], [-1, 2], [True, 2], [1, 2, 3]])
def test_a_statement_that_nobody_could_reach_is_not_left_out(reached):
    made = Made({"a": [{"ended": "killed", "reached": reached}]})
    steps, _ = run_all(made, "a")
    assert made.log == ["start", "a", "a again"]
    assert steps[0].kept == "of it only definitions were kept"


class Clock:
    """Time that passes only while a worker is asked for a cell."""

    def __init__(self):
        self.now, self.asked = 0.0, []

    def slows(self, made, seconds):
        ask = made.ask

        def slow(request, allowed, cpu=None, lending=None):
            if request["do"] == "begin":
                return ask(request, allowed)
            self.asked.append(allowed)
            self.now += min(seconds, allowed)
            try:
                if seconds > allowed:
                    raise TimeoutError
                return ask(request, allowed)
            finally:
                made.used = Used(0.5, min(seconds, allowed))

        made.ask = slow
        return made


def test_repeating_slow_cells_after_each_kill_does_not_outlast_the_limit_of_the_clock():
    clock = Clock()
    killed = {key: [wire.Closed()] * 9 for key in ("b", "b again", "c", "c again", "d", "d again")}
    made = clock.slows(Made(killed, all_wall_seconds=12.0, restarts=50), 4.0)
    steps, _ = run_all(made, "a", "b", "c", "d")
    assert clock.now == 16.0  # and not 28: then come the definitions of the last cell alone
    assert [step.ended for step in steps] == [Ended.OK, Ended.KILLED, Ended.TIMED_OUT, Ended.TIMED_OUT]
    assert "all time was used up" in steps[-1].why
    assert made.stopped == made.log.count("start")


def test_a_slow_cell_has_as_much_time_when_it_is_repeated():
    clock = Clock()
    made = clock.slows(Made({"b": [wire.Closed()]}, start_seconds=1.0), 500.0)
    steps, _ = run_all(made, "a", "b", "c")
    assert made.log == ["start", "a", "b", "start", "a", "start"]
    assert [step.ended for step in steps] == [Ended.OK, Ended.KILLED, Ended.TIMED_OUT]
    assert clock.asked[:3] == [620.0] * 3


def test_what_a_step_may_use_of_the_cpu_is_a_little_more_than_its_own_limit():
    allowed, made = [], Made({})
    ask = made.ask
    made.ask = lambda request, clock, cpu=None, lending=None: (allowed.append(cpu), ask(request, clock))[1]
    with session(made, "a") as running:
        running.run_cell(1)
        running.try_answer(questions()["1.1"], {"cases": []})
        running.try_answer(questions()["1.3"], {"cases": []})  # is lent functions
    assert allowed[0] is None  # the start
    assert allowed[1:] == [seconds + module.AROUND_SECONDS for seconds in (60.0, 10.0, 20.0)]


@pytest.mark.parametrize("error", [TimeoutError(), wire.Closed(), wire.Malformed()])
def test_what_a_step_used_that_broke_its_worker_counts(error):
    made = Made({"a": [error]})
    _, running = run_all(made, "a")
    assert running.seconds == 1.0


def test_the_worker_is_told_nothing_of_what_is_right():
    told = str(describe(questions()["1.1"]))
    assert "my_logits" in told
    assert "reference" not in told
    assert "mistakes" not in told
    assert questions()["1.1"].idea not in told
