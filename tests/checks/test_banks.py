"""Every question against its bank: known mistakes are named, unknown ones are not, right answers pass."""

import importlib.util
import re
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from remembered import remembered

from moe_lessons.checks import check, questions
from moe_lessons.checks.engine import Status
from moe_lessons.checks.question import FunctionQuestion
from moe_lessons.checks.registry import modules
from moe_lessons.checks.values import plain


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BANKS = [load(path) for path in sorted(Path(__file__).parent.glob("bank_*.py"))]
MOST = {"RIGHT": 1000, "WRONG": 100, "UNRECOGNISED": 100}  # seeds of `make soak`
MOST_RUNS = 20  # seeds where every answer runs models
RUN_MODELS = ("11p.5",)
LONG = (
    "3.3",
    "8.1",
    "8.2",
    "8.5",
    "10.3",
    "10.5",
    "11.2",
    "11p.5",
    "12.4",
)  # banks of many seconds: not in `make test-fast`


@pytest.fixture(autouse=True)
def uncounted(monkeypatch):
    """Do not write thousands of attempts to the disk: these tests are about verdicts."""
    monkeypatch.setattr("moe_lessons.checks.engine.records.record", lambda *_: {"attempts": 1})


def diagnosis(key):
    """Return the mistake that a key of WRONG names: "twice (2)" is a second answer that makes the mistake "twice"."""
    return re.sub(r" \(\d\)$", "", key)


def of_each_question(kind):
    """Return a test for each question: its id, and its answers of one kind by mistake or number."""
    banks = {question: answers for bank in BANKS for question, answers in getattr(bank, kind).items()}
    return [
        pytest.param(
            question,
            answers if isinstance(answers, dict) else dict(enumerate(answers)),
            id=question,
            marks=[pytest.mark.slow] * (question in LONG),
        )
        for question, answers in banks.items()
    ]


def drawn(question, kind, seeds):
    """Return the seeds that a question's answers of one kind are drawn with: one if all draws are the same."""
    most = MOST_RUNS if question in RUN_MODELS else MOST[kind]
    return seeds[: most if questions()[question].random_inputs else 1]


@lru_cache(4)
def kept(question, seed):
    """Return a question that remembers what it draws with a seed and what is right; the next seed begins anew."""
    return remembered(questions()[question])


@contextmanager
def asked_often(question, seed):
    """Let `check` ask such a question: a bank holds a hundred answers to the same draw."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("moe_lessons.checks.engine.questions", lambda: questions() | {question: kept(question, seed)})
        yield


def misjudged(question, answers, seed, status, mistake_of):
    """Return the result of each answer that did not get this status, `mistake_of` its name, and points or words."""
    points = questions()[question].points if status == Status.CORRECT else 0
    with asked_often(question, seed):
        results = {name: check(question, answer, seed=seed) for name, answer in answers.items()}
    return {
        (name, seed): result
        for name, result in results.items()
        if (result.status, result.mistake, result.points) != (status, mistake_of(name), points)
        or not (points or result.message)
    }


@pytest.mark.parametrize(("question", "answers"), of_each_question("WRONG"))
def test_known_mistakes_are_named(question, answers, bank_seeds):
    for seed in drawn(question, "WRONG", bank_seeds):
        assert misjudged(question, answers, seed, Status.NOT_YET, diagnosis) == {}


@pytest.mark.parametrize(("question", "answers"), of_each_question("UNRECOGNISED"))
def test_unknown_mistakes_are_not_given_a_reason(question, answers, bank_seeds):
    for seed in drawn(question, "UNRECOGNISED", bank_seeds):
        assert misjudged(question, answers, seed, Status.NOT_YET, lambda _: None) == {}


@pytest.mark.parametrize(("question", "answers"), of_each_question("RIGHT"))
def test_right_answers_pass_however_they_are_written(question, answers, bank_seeds):
    for seed in drawn(question, "RIGHT", bank_seeds):
        assert misjudged(question, answers, seed, Status.CORRECT, lambda _: None) == {}


@pytest.mark.parametrize("question", questions().values(), ids=list(questions()))
def test_a_question_has_all_it_needs(question):
    by_kind = {kind: {q: a for bank in BANKS for q, a in getattr(bank, kind).items()} for kind in
               ("WRONG", "UNRECOGNISED", "RIGHT")}  # fmt: skip
    for kind, known in by_kind.items():
        assert question.id in known, f"no {kind} answers to {question.id} in bank_{question.set}.py"
    assert len(set(map(diagnosis, by_kind["WRONG"][question.id]))) >= 4
    assert len(by_kind["UNRECOGNISED"][question.id]) >= 3
    assert len(by_kind["RIGHT"][question.id]) >= 3
    assert len(question.hints) == 2
    assert question.idea
    assert 8 <= len(question.takeaway.split()) <= 35
    assert question.takeaway != question.idea
    assert question.points > 0
    assert question.minutes > 0
    assert question.difficulty in ("easy", "medium", "hard")
    assert question.kind in (
        "write it",
        "predict a number",
        "find the bug",
        "build a counterexample",
        "design an experiment",
        "read a log",
        "choose what holds",
    )


def test_every_question_has_an_id_of_its_own_in_its_own_set():
    listed = {name: [question.id for question in import_module(name).QUESTIONS] for name in modules()}
    assert sorted(id for ids in listed.values() for id in ids) == sorted(questions())
    others = {id for name, ids in listed.items() for id in ids if questions()[id].set != name.rpartition("_")[2]}
    assert others == set()


def function_mistakes():
    asked = [q for q in questions().values() if isinstance(q, FunctionQuestion)]
    return [pytest.param(q, m, id=f"{q.id}-{m.name}") for q in asked for m in q.known_mistakes if m.wrong]


@pytest.mark.slow
@pytest.mark.parametrize(("question", "mistake"), function_mistakes())
def test_each_mistake_is_told_from_every_other_and_from_the_truth(question, mistake, bank_seeds):
    """The values of one mistake are never taken for another, nor for a right answer."""
    for seed in drawn(question.id, "WRONG", bank_seeds):
        assert verdict_on(kept(question.id, seed), mistake, seed) == (False, mistake.name)


def verdict_on(question, mistake, seed):
    """Return whether an answer that makes a mistake is taken to be right, and for which mistake."""
    data = question.draw(np.random.default_rng(seed))
    got = [plain(mistake.wrong(*case)) for case in data["cases"]]
    part = list(question.parts).index(mistake.part) if mistake.part else None
    truth = [plain(question.reference(*case)) for case in data["cases"]]
    values = got if part is None else [[*t[:part], g, *t[part + 1 :]] for t, g in zip(truth, got, strict=True)]
    noted = [True for _ in got] if question.slopes else got  # a gradient arrives
    verdict = question.judge(data, {"values": values, "changed": [], "noted": noted})
    return verdict.correct, verdict.mistake


def test_one_diagnosis_has_one_name():
    named = {}
    for question in questions().values():
        for mistake in getattr(question, "known_mistakes", getattr(question, "mistakes", ())):
            named.setdefault((question.id, mistake.part, mistake.why), set()).add(mistake.name)
    assert {key: names for key, names in named.items() if len(names) > 1} == {}


def test_a_whole_set_takes_half_an_hour_to_three_quarters_a_review_less_and_a_project_more():
    minutes, allowed = {}, {}
    limits = {"lesson": range(30, 46), "review": range(15, 36), "project": range(45, 61)}
    for question in questions().values():
        minutes[question.set] = minutes.get(question.set, 0) + question.minutes
        allowed[question.set] = limits[question.kind_of_set]
    assert {number: total for number, total in minutes.items() if total not in allowed[number]} == {}
