"""A teacher's rules on records: parts, points, days late, overrides and comments, each for the right learner."""

from dataclasses import replace
from datetime import datetime

import pytest

from moe_lessons.checks.attempt import Status
from moe_lessons.checks.registry import questions
from moe_lessons.grading.marking import Comment, Late, Marking, Override
from moe_lessons.grading.records import Ended, Part
from moe_lessons.grading.report import Results, doubts, reasons
from moe_lessons.grading.roster import Person, keys_of_name

HALF = (Part("load", 4, 4), Part("cv", 1, 4))  # as the grader records it


@pytest.fixture
def half(made):
    """The mark of 4.2 (3 points): one of two parts is right."""
    return replace(made.mark("4.2", Status.NOT_YET), parts=HALF)


def marked(records, marking=None, **more):
    return Results.of(records, questions(), marking=marking, **more)


def points(results):
    return [[mark.points for mark in record.marks] for record in results.records]


@pytest.mark.parametrize(("by", "worth"), [("parts", 1.5), ("cases", 1.88), ("none", 0)])
def test_parts_of_a_wrong_answer_earn_what_the_teacher_says(made, half, by, worth):
    results = marked([made.record("ann/x.ipynb", half, made.mark("4.1"))], Marking(partial=by))
    assert points(results) == [[worth, 2]]
    assert results.records[0].total == worth + 2
    assert reasons(results.records[0]) == ["4.2 not yet, right: load, cv in 1 of 4 cases"]


def test_parts_count_without_a_file_too(made, half):
    assert points(marked([made.record("ann/x.ipynb", half)])) == [[1.5]]
    raised = replace(half, status=str(Status.RAISED), parts=())
    assert points(marked([made.record("ann/x.ipynb", raised)])) == [[0]]


def test_points_of_a_question_are_the_teachers(made, half):
    results = marked(
        [made.record("ann/x.ipynb", half, made.mark("4.1"), made.mark("4.5"))], Marking(points={"4.2": 10, "4.5": 0})
    )
    assert points(results) == [[5, 2, 0]]
    assert results.possible == {"04": 12}
    assert results.records[0].possible == 12
    assert {id: question.points for id, question in results.questions.items()} == {"4.1": 2, "4.2": 10, "4.5": 0}


def test_an_override_is_final(made, half):
    rules = Marking(
        overrides=(Override("ANN  lee", "4.2", 2.5, "right, but for a sign"),),
        comments=(Comment("Ann Lee", "See lesson 04.", "4.2"), Comment("Ann Lee", "Well done.")),
        late=Late(per_day=0.5, days={"ann lee": {"": 1}}),
    )
    ann, bo = (made.record(f"{who}/x.ipynb", half, made.mark("4.1")) for who in ("Ann Lee", "Bo"))
    results = marked([ann, bo], rules)
    assert points(results) == [[2.5, 1], [1.5, 2]]
    one = results.records[0]
    assert one.marks[0].by_hand
    assert one.marks[0].comment == "right, but for a sign See lesson 04."
    assert (one.comment, results.records[1].comment) == ("Well done.", "")
    assert reasons(one) == [
        "1 day late: 50% of the points less",
        "4.2 by hand: right, but for a sign See lesson 04.",
    ]
    assert results.problems == ()


def test_an_override_marks_what_could_not_be_read(made):
    bad = made.record("ann/x.ipynb", ended=Ended.UNREADABLE, reason="not JSON")
    other = made.record("bo/x.ipynb", made.mark("4.1"), made.mark("4.2"))
    rules = Marking(overrides=(Override("ann", "4.2", 2, "shown to me"), Override("ann", "1.1", 1, "also")))
    first = marked([other, bad], rules).records[0]
    assert [(mark.question, mark.points) for mark in first.marks] == [("4.2", 2), ("1.1", 1)]
    assert first.ended == Ended.UNREADABLE


def test_an_override_holds_for_each_file_of_the_learner(made, half):
    files = [made.record(f"ann/{name}.ipynb", half) for name in "xy"]
    results = marked(files, Marking(overrides=(Override("ann", "4.2", 0, "copied"),)))
    assert points(results) == [[0], [0]]
    assert [mark.points for marks in results.by_learner().values() for mark in marks.values()] == [0]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("An Lee", "marking.toml: no learner is called 'An Lee'; near: Ann Lee"),
        ("Zoe", "marking.toml: no learner is called 'Zoe'"),
        ("Bo", "marking.toml: several learners are called 'Bo': Bo (1), Bo (2)"),
    ],
)
def test_a_name_that_is_nobodys_is_said(made, name, said):
    files = ["Ann Lee/x.ipynb", *(f"Bo_{i}_assignsubmission_file_/x.ipynb" for i in (1, 2))]
    records = [made.record(file, made.mark("4.1")) for file in files]
    rules = Marking(
        overrides=(Override(name, "4.1", 1, "why"),), comments=(Comment(name, "x"),), late=Late(days={name: {"": 1}})
    )
    results = marked(records, rules)
    assert results.problems == (said,)
    assert {mark.points for record in results.records for mark in record.marks} == {2}


def test_namesakes_are_told_apart_by_their_number(made):
    records = [made.record(f"Bo_{i}_assignsubmission_file_/x.ipynb", made.mark("4.1")) for i in (1, 2)]
    results = marked(records, Marking(overrides=(Override("Bo (2)", "4.1", 1, "why"),)))
    assert [(record.learner, record.total) for record in results.records] == [("Bo (1)", 2), ("Bo (2)", 1)]


def test_a_learner_may_be_called_as_on_the_roster(made):
    roster = [Person("Lee, Ann", frozenset(keys_of_name("Lee, Ann")))]
    rules = Marking(overrides=(Override("Lee, Ann", "4.1", 1, "why"),))
    results = marked([made.record("leeann_567_8_x.ipynb", made.mark("4.1"))], rules, roster=roster)
    assert points(results) == [[1]]


def test_two_names_of_one_learner_say_two_things(made):
    roster = [Person("Lee, Ann", frozenset(keys_of_name("Lee, Ann")))]
    rules = Marking(overrides=(Override("leeann", "4.1", 1, "why"), Override("Lee, Ann", "4.1", 0, "why not")))
    results = marked([made.record("leeann_567_8_x.ipynb", made.mark("4.1"))], rules, roster=roster)
    assert points(results) == [[1]]
    assert results.problems == ("marking.toml: 'Lee, Ann' is leeann, of whom the same is said before",)


DUE = Late(per_day=0.1, most=0.25, due={"04": datetime(2026, 11, 20, 12)})


@pytest.mark.parametrize(
    ("file", "share", "words"),
    [
        ("Ex_ann_attempt_2026-11-20-11-59-00_x.ipynb", 1, ""),
        ("Ex_ann_attempt_2026-11-20-12-01-00_x.ipynb", 0.9, "1 day late: 10% of the points less"),
        ("1-2 - Ann Lee - Nov 22, 2026 1130 AM/x.ipynb", 0.8, "2 days late: 20% of the points less"),
        ("1-2 - Ann Lee - Nov 30, 2026 1130 AM/x.ipynb", 0.75, "10 days late: 25% of the points less"),
        ("annlee_LATE_567_8901_x.ipynb", 1, "late, as Canvas says; marking.toml does not say how many days"),
        ("annlee_567_8901_x.ipynb", 1, ""),
        ("ann/x.ipynb", 1, ""),
    ],
)
def test_days_late_are_read_where_the_name_tells_them(made, file, share, words):
    (record,) = marked([made.record(file, made.mark("4.1"))], Marking(late=DUE)).records
    assert (record.total, record.late) == (pytest.approx(2 * share), words)


def test_days_that_the_teacher_gives_go_before_the_name(made):
    files = ["Ex_ann_attempt_2026-11-30-12-01-00_x.ipynb", "bo_LATE_567_8901_x.ipynb", "cy/x.ipynb"]
    rule = replace(DUE, days={"ann": {"04": 0}, "bo": {"": 1}, "cy": {"05": 2}})
    results = marked([made.record(file, made.mark("4.1")) for file in files], Marking(late=rule))
    assert [record.total for record in results.records] == [2, 1.8, 2]
    assert doubts(results) == []


def test_each_set_of_a_notebook_has_its_own_day(made):
    rule = Late(per_day=0.1, due={"04": datetime(2026, 11, 20, 12), "05": datetime(2026, 12, 1)})
    record = made.record("Ex_ann_attempt_2026-11-20-12-01-00_x.ipynb", made.mark("4.1"), made.mark("5.1"))
    assert points(marked([record], Marking(late=rule))) == [[1.8, 1]]


def test_of_two_files_the_better_counts_after_what_being_late_costs(made, half):
    early = made.record("Ex_ann_attempt_2026-11-19-12-01-00_x.ipynb", half)
    late = made.record("Ex_ann_attempt_2026-11-30-12-01-00_x.ipynb", made.mark("4.2"))
    (marks,) = marked([early, late], Marking(late=DUE)).by_learner().values()
    assert marks["4.2"].points == 2.25


def test_without_a_rule_late_is_only_said(made):
    results = marked([made.record("ann_LATE_567_8901_x.ipynb", made.mark("4.1"))])
    assert (results.records[0].late, doubts(results)) == ("late, as Canvas says", [])


def test_what_the_notebook_claims_against_no_points_is_for_a_person(made, half):
    wrong = replace(made.mark("4.1", Status.NOT_YET), claimed=True)
    records = [
        made.record("ann/x.ipynb", wrong, replace(half, claimed=True), replace(made.mark("4.5"), claimed=True)),
        made.record("bo_LATE_567_8_x.ipynb", made.mark("4.1", Status.NOT_YET)),
        made.record("cy/x.ipynb", wrong),
    ]
    rules = Marking(late=DUE, overrides=(Override("cy", "4.1", 0, "looked at"),))
    what = [
        "4.1, 4.2: not correct, though the notebook's own output says correct",
        "late, as Canvas says; marking.toml does not say how many days",
    ]
    assert doubts(marked(records, rules)) == [("ann", "ann/x.ipynb", what[0]), ("bo", "bo_LATE_567_8_x.ipynb", what[1])]
    assert "4.1 not yet, though the notebook's own output says correct" in reasons(marked(records).records[0])


def test_the_rules_run_nothing_anew_and_change_no_record(made, half):
    record = made.record("ann/x.ipynb", half)
    marked([record], Marking(points={"4.2": 10}))
    assert record.marks == (half,)
