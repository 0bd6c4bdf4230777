"""What a teacher declares: read as it is meant, and where it is wrong, told with its line and what fits there."""

from datetime import datetime, timedelta

import pytest

from moe_lessons.checks import questions
from moe_lessons.grading.marking import Comment, Late, Marking, Override, named, read_marking
from moe_lessons.support.declared import line_of

WHOLE = """\
partial = "cases"   # of a wrong answer

[points]
"4.2" = 5
"4.5" = 0

[late]
due = {"04" = 2026-11-20, "5" = "2026-11-27 18:00"}
per_day = "10 %"
most = "50 %"
grace_minutes = 15

[late.days]
"Ann Lee" = 2
"Bo" = {"04" = 0}

[[override]]
learner = "Ann Lee"
question = "4.2"
points = 4.5
reason = "right, but for a sign"

[[override]]
learner = "Bo"
question = "4.1"
points = 0
reason = "copied"

[[comment]]
learner = "Ann Lee"
text = "Well done."

[[comment]]
learner = "Ann Lee"
question = "4.1"
text = "See page 3."
"""


@pytest.fixture
def marking(tmp_path):
    """A function that reads what a file declares."""

    def read(content):
        file = tmp_path / "marking.toml"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_marking(file, questions())

    return read


def test_a_whole_file(marking):
    declared = marking(WHOLE)
    assert declared.partial == "cases"
    assert declared.points == {"4.2": 5, "4.5": 0}
    assert declared.overrides[0] == Override("Ann Lee", "4.2", 4.5, "right, but for a sign")
    assert declared.comments == (Comment("Ann Lee", "Well done."), Comment("Ann Lee", "See page 3.", "4.1"))
    late = declared.late
    assert (late.per_day, late.most, late.grace) == (0.1, 0.5, timedelta(minutes=15))
    assert late.due == {"04": datetime(2026, 11, 20, 23, 59, 59, 999999), "05": datetime(2026, 11, 27, 18)}
    assert late.days == {"Ann Lee": {"": 2}, "Bo": {"04": 0}}


def test_nothing_is_needed(marking):
    assert marking("") == marking("# nothing yet\n") == Marking()


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-8"])
def test_whatever_an_editor_saves(marking, coding):
    assert marking(WHOLE.replace("\n", "\r\n").encode(coding)) == marking(WHOLE)


def changed(old, new):
    assert WHOLE.count(old) == 1
    return WHOLE.replace(old, new)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (changed("points = 4.5", "points = 6"), "line 20: override.points = 6: expected a number from 0 to 5"),
        (changed("points = 4.5", "points = -1"), "line 20: override.points = -1: expected a number from 0 to 5"),
        (changed("points = 4.5", 'points = "4"'), "line 20: override.points = 4: expected a number from 0 to 5"),
        (changed("points = 0\n", "points = true\n"), "line 26: override.points = True: expected a number from 0 to 2"),
        (changed("points = 4.5\n", ""), "line 17: override = {'learner'"),
        (changed("points = 4.5\n", ""), "expected points = …, too"),
        (changed('reason = "copied"', 'raeson = "copied"'), "override.raeson = copied: expected the name reason"),
        (changed('reason = "copied"', 'reason = " "'), "line 27: override.reason = "),
        (changed('question = "4.2"', "question = 4.2"), 'override.question = 4.2: expected a question in quotation'),
        (changed('question = "4.2"', 'question = "4.22"'), "line 19: override.question = 4.22"),
        (changed('"4.5" = 0', '"4.9" = 0'), "line 5: points.4.9 = 0: expected a question in quotation marks"),
        (changed('"4.5" = 0', "4.5 = 0"), "line 5: points.4 = {'5': 0}: expected a question in quotation marks"),
        (changed('"4.5" = 0', '"4.5" = "many"'), "line 5: points.4.5 = many: expected a number from 0"),
        (changed('per_day = "10 %"', "per_day = 10"), 'late.per_day = 10: expected a share in percent, such as "10 %"'),
        (changed('per_day = "10 %"', 'per_day = "110 %"'), "line 9: late.per_day = 110 %"),
        (changed('"2026-11-27 18:00"', '"on Friday"'), "line 8: late.due.5 = on Friday: expected a day or an hour"),
        (changed('"5" = "2026', '"five" = "2026'), 'late.due.five = 2026-11-27 18:00: expected the number of a set'),
        (changed('"Ann Lee" = 2', '"Ann Lee" = "two"'), "line 14: late.days.Ann Lee = two: expected a number from 0"),
        (changed('partial = "cases"', 'partial = "some"'), 'partial = some: expected one of "parts", "cases", "none"'),
        (changed('partial = "cases"', 'patrial = "cases"'), "line 1: patrial = cases: expected the name partial"),
        (changed('"Bo"\nquestion = "4.1"', '"ann  lee"\nquestion = "4.2"'), "line 24: override.learner"),
        (changed('[[comment]]\nlearner = "Ann Lee"\ntext', '[comment]\nlearner = "Ann Lee"\ntext'), "cannot be read"),
        ('[override]\nlearner = "Bo"\n', "line 1: override = {'learner': 'Bo'}: expected [[override]] before each"),
        ("points = 3\n", "line 1: points = 3: expected a table with names and values"),
        ('[points]\n"4.2" = “5”\n', "cannot be read: Invalid value (at line 2"),
        ('[points]\n"4.2" = 5\n"4.2" = 6\n', "cannot be read"),
        ("# Jos\xe9".encode("latin-1"), "expected a file in UTF-8"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(marking, content, said):
    with pytest.raises(ValueError, match=r"^marking\.toml") as refused:
        marking(content)
    assert said in str(refused.value)


def test_the_line_of_a_value():
    assert line_of(WHOLE, ("late", "days", "Bo", "04")) == 15
    assert line_of(WHOLE, ("override", 1, "reason")) == 27
    assert line_of(WHOLE, ("comment", 1)) == 33
    assert line_of('late.days."Ann Lee" = 2\n', ("late", "days", "Ann Lee")) == 1
    assert line_of(WHOLE, ("nothing",)) is None


def test_a_day_that_has_begun_is_a_day():
    late = Late(0.1, 0.25, timedelta(minutes=15), {"": datetime(2026, 11, 20, 12), "05": datetime(2026, 12, 1)})
    minutes = [-60 * 24, 0, 15, 16, 60 * 24, 60 * 24 + 1]
    assert [late.days_after(datetime(2026, 11, 20, 12) + timedelta(minutes=m), "04") for m in minutes] == [
        0,
        0,
        0,
        1,
        1,
        2,
    ]
    assert late.days_after(datetime(2026, 11, 30), "05") == 0
    assert [late.cost(days) for days in (0, 1, 2, 3)] == [0, 0.1, 0.2, 0.25]
    assert Late().days_after(datetime(2026, 11, 20), "04") == 0


def test_names_are_compared_without_capitals():
    assert named("ANN  Lee ") == named("Ann Lee") != named("Anne Lee")
