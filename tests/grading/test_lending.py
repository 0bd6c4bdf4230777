"""What an answer is lent works outside the sandbox: it finds no matrices, and rewrites no count."""

import signal
from dataclasses import replace

import hostile
import numpy as np
import pytest

from moe_lessons.checks import questions
from moe_lessons.checks.attempt import tried
from moe_lessons.checks.engine import Status, judged
from moe_lessons.grading import wire
from moe_lessons.grading.grade import grade_submission
from moe_lessons.grading.lending import MOST_BYTES, Borrowed, Lending, borrowed, lends
from moe_lessons.grading.records import Ended
from moe_lessons.grading.session import describe, described

RIGHT = """
def my_combine(x, probs, share, experts):
    order = np.argsort(-probs)
    chosen = order[np.cumsum(probs[order]) - probs[order] < share]
    weights = probs[chosen] / probs[chosen].sum()
    return sum(w * experts[i](x) for w, i in zip(weights, chosen))
"""
WASTEFUL = """
def my_combine(x, probs, share, experts):
    outputs = [expert(x) for expert in experts]
    order = np.argsort(-probs)
    chosen = order[np.cumsum(probs[order]) - probs[order] < share]
    {erase}
    weights = probs[chosen] / probs[chosen].sum()
    return sum(w * outputs[i] for w, i in zip(weights, chosen))
"""
# Goes from the lent functions to all lists that they hold, and leaves in those of calls the needed ones.
ERASE = """
import gc
def erase(experts, chosen):
    seen, waiting = set(), [experts[0]]
    for thing in waiting:
        is_globals = type(thing) is dict and "__builtins__" in thing
        if id(thing) in seen or is_globals or type(thing).__name__ in ("module", "type"):
            continue
        seen.add(id(thing))
        if type(thing) is list and thing and all(type(entry) is tuple and type(entry[0]) is int for entry in thing):
            thing[:] = [call for call in thing if call[0] in chosen]
        waiting += gc.get_referents(thing)
"""
PATCHED = """
from moe_lessons.checks.set_01.q3_share import CountedExperts
from moe_lessons.grading import lending, worker
CountedExperts.noted = lending.Borrowed.noted = lambda self: []
attempt = worker.Worker._attempt
def forged(self, request):
    said = attempt(self, request)
    if "cases" in request["data"] and said.get("reply"):
        from moe_lessons.checks.set_01.q3_share import needed
        said["reply"]["noted"] = [[[int(i), case[0]] for i in needed(*case[1:3])] for case in request["data"]["cases"]]
    return said
worker.Worker._attempt = forged
"""


def graded(folder, sandbox, id, *cells, seconds=5.0):
    """Return the record of a notebook that answers one question and 1.4, and the mark of the one."""
    asked = {name: replace(questions()[name], seconds=seconds) for name in (id, "1.4")}
    setup = "import numpy as np\nfrom moe_lessons.checks import check"
    path = folder / "eve.ipynb"
    check = f'check("{id}", {asked[id].answer})'
    path.write_bytes(hostile.notebook([setup, *cells, check, hostile.PROTOTYPE, 'check("1.4", my_prototype)']))
    record = grade_submission(path, folder, asked, b"secret", sandbox)
    assert record.marks[1].points == 2, record  # whatever became of the other
    return record, record.marks[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "erase"),
    [("", "pass"), (ERASE, "erase(experts, chosen)"), (PATCHED, "pass")],
    ids=["as it is", "erased", "patched"],
)
def test_who_calls_too_many_experts_has_no_marks_whatever_she_rewrites(tmp_path, sandbox, before, erase):
    record, mark = graded(tmp_path, sandbox, "1.3", before, WASTEFUL.format(erase=erase))
    assert (record.ended, mark.points, mark.mistake) == (Ended.OK, 0, "called too many"), mark


@pytest.mark.slow
@pytest.mark.parametrize("before", ["", PATCHED], ids=["as it is", "patched"])
def test_a_right_answer_has_them(tmp_path, sandbox, before):
    record, mark = graded(tmp_path, sandbox, "1.3", before, RIGHT)
    assert (record.ended, mark.points, mark.status) == (Ended.OK, 2, Status.CORRECT), mark


def test_at_home_the_count_is_as_near_as_any_object():
    """The control, and the limit: there nobody is marked."""
    space = {"np": np}
    exec(ERASE + WASTEFUL.format(erase="erase(experts, chosen)"), space)
    question = questions()["1.3"]
    data = question.draw(np.random.default_rng(0))
    attempt = tried(question, space["my_combine"], data, 20)
    assert judged(question, data, attempt).status == Status.CORRECT


def test_the_sandbox_is_given_nothing_that_functions_are_made_of():
    for id in ("1.3", "2.4", "4.4", "5.3"):
        question = questions()[id]
        data = question.draw(np.random.default_rng(0))
        given = described(question, data)
        assert lends(question)
        assert describe(question)["fields"]["helper"] == ["moe_lessons.grading.lending", "Borrowed"]
        assert all(type(entry) in (int, bool, type(None)) for *_, last in given["cases"] for entry in last)
    assert not lends(questions()["9.2"])  # a generator is used as it is
    assert borrowed(question, data)["cases"][1][-1] == [1, len(data["cases"][1][-1]), True]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "ended"),
    [
        ("while True: experts[0](x)", {Ended.OK, Ended.TIMED_OUT}),
        ("while True:\n        try: experts[0](x)\n        except: pass", {Ended.OK, Ended.TIMED_OUT}),
        ("import os\n    experts[0](x)\n    os._exit(0)", {Ended.KILLED}),
        ("while True: experts[0](np.ones((len(x), 200_000)))", {Ended.PARTIAL, Ended.TIMED_OUT, Ended.OK}),
        ("from moe_lessons.grading.lending import Borrowed\n    Borrowed.channel.send(b'xxxx')", {Ended.PARTIAL}),
        ("from moe_lessons.grading.lending import Borrowed\n    Borrowed.channel.close()", {Ended.OK}),
    ],
)
def test_an_answer_that_misuses_what_it_was_lent_costs_itself_alone(tmp_path, sandbox, body, ended):
    record, mark = graded(
        tmp_path, sandbox, "1.3", f"def my_combine(x, probs, share, experts):\n    {body}", seconds=0.3
    )
    assert mark.points == 0
    assert record.ended in ended, record


@pytest.fixture
def lending():
    question = questions()["1.3"]
    return Lending(question, question.draw(np.random.default_rng(0)), 5.0)


def test_calls_are_answered_and_noted(lending):
    x = np.zeros(3)
    assert lending.answer([0, 1, x])["value"].tolist() == [0, 0, 0]
    assert "matmul" in lending.answer([0, 1, np.zeros(2)])["raised"]
    assert lending.answer([0, 99, x])["raised"]
    assert [[index for index, _ in calls] for calls in lending.noted()] == [[1, 1, 99], [], [], []]


@pytest.mark.parametrize("call", [None, [], [0, 1], [9, 0, 1.0], [-1, 0, 1.0], ["0", 0, 1.0], [True, 0, 1.0], {}])
def test_what_is_no_call_is_refused(lending, call):
    with pytest.raises(wire.Malformed):
        lending.answer(call)


def test_calls_without_end_are_refused(lending):
    lending.room = 1
    with pytest.raises(wire.Malformed, match="more than anybody needs"):
        lending.answer([0, 0, np.zeros(3)])
    lending.room, lending.most_seconds = MOST_BYTES, -1.0
    with pytest.raises(TimeoutError):
        lending.answer([0, 0, np.zeros(3)])


def test_a_stand_in_asks_for_each_call_and_no_alarm_rings_meanwhile(monkeypatch):
    log = []

    def exchange(channel, message):
        log.extend([message, signal.SIGPROF in signal.pthread_sigmask(signal.SIG_BLOCK, [])])
        return next(replies)

    replies = iter([{"value": np.ones(2)}, {"raised": "no"}])
    monkeypatch.setattr(Borrowed, "channel", None, raising=False)
    monkeypatch.setattr(wire, "exchange", exchange)
    first, second = Borrowed([3, 2, False]).argument
    assert first([1.0, 2.0]).tolist() == [1, 1]
    with pytest.raises(ValueError, match="no"):
        second(np.zeros(1))
    assert [message["call"][:2] for message in log[::2]] == [[3, 0], [3, 1]]
    assert log[1::2] == [True, True]
    assert signal.SIGPROF not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert Borrowed([0, None, False]).argument.__name__ == "lent_function"
