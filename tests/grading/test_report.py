"""The tables: what stands in each cell, for whom it is safe to open, and that two runs write the same."""

import csv
import io
import itertools
import json
import re
from dataclasses import replace

import pytest

from moe_lessons.checks.attempt import Status
from moe_lessons.checks.registry import questions
from moe_lessons.grading.records import Ended
from moe_lessons.grading.report import (
    Results,
    canvas_csv,
    failed,
    marks_csv,
    marks_json,
    moodle_csvs,
    reasons,
    roster_csv,
)
from moe_lessons.grading.roster import Person, keys_of_name

SIGNS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
SET_04 = [q for q in questions().values() if q.set == "04"]
POINTS = {q.id: str(q.points) for q in SET_04}
FULL = str(sum(q.points for q in SET_04))


def rows(data):
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))


def formulas(data):
    """Return what a spreadsheet would run, whatever its separator, and whether it minds quotes and spaces or not."""
    text = data.decode("utf-8-sig")
    lines = text.splitlines()
    read = [cell for mark in ",;\t" for row in csv.reader(lines, delimiter=mark) for cell in row]
    torn = re.split(r"[,;\t\n\r]", text)
    return [cell for cell in [*read, *torn] if cell.lstrip(' "').startswith(SIGNS)]


def table(data):
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"))))


def complete(made, file, **statuses):
    """A record of set 04: all correct, but for those given as q1=..., q2=..."""
    marks = [made.mark(q.id, statuses.get(f"q{q.id[-1]}", Status.CORRECT)) for q in SET_04]
    return made.record(file, *marks)


@pytest.fixture
def results(made):
    gap = made.record(
        "bob/04.ipynb",
        made.mark("4.1", Status.NOT_YET, "…", mistake="zeros"),
        made.mark("4.2", Status.RAISED),
        made.mark("4.3", Status.NOT_ATTEMPTED),
        made.mark("4.4"),
        made.mark("4.5"),
        notes=("line 3: %timeit was passed over", "cell 4 raised"),
    )
    bad = made.record("cy/04.ipynb", ended=Ended.UNREADABLE, reason="not JSON")
    return Results.of([gap, bad, complete(made, "ann/04.ipynb")], questions())


def test_a_row_for_each_file_in_order(results):
    ann, bob, cy = table(marks_csv(results))
    assert list(ann) == ["learner", "file", "status", "4.1", "4.2", "4.3", "4.4", "4.5", "total", "possible",
                         "reasons", "notes"]  # fmt: skip
    assert list(ann.values()) == ["ann", "ann/04.ipynb", "ok", *POINTS.values(), FULL, FULL, "", ""]
    half = str(int(POINTS["4.4"]) + int(POINTS["4.5"]))
    assert [bob[q] for q in POINTS] == ["0", "0", "0", POINTS["4.4"], POINTS["4.5"]]
    assert (bob["total"], bob["possible"]) == (half, FULL)
    assert bob["reasons"] == "4.1 not yet (zeros); 4.2 your code raised; 4.3 not attempted yet"
    assert bob["notes"] == "line 3: %timeit was passed over; cell 4 raised"
    assert (cy["status"], cy["reasons"]) == ("unreadable", "not JSON")
    assert {cy[c] for c in ("4.1", "4.5", "total", "possible")} == {""}  # never a silent zero


def test_a_set_that_a_file_is_not_about_stays_empty(made):
    two = Results.of([complete(made, "ann/04.ipynb"), made.record("ann/01.ipynb", made.mark("1.1"))], questions())
    first, second = table(marks_csv(two))
    assert (first["1.1"], first["4.1"], first["total"]) == ("1", "", "1")
    assert (second["1.1"], second["4.1"], second["total"]) == ("", POINTS["4.1"], FULL)
    assert "2.1" not in first


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_order_of_grading_changes_no_byte(results, order):
    again = Results.of([results.records[i] for i in order], questions())
    for write in (marks_csv, canvas_csv, lambda r: marks_json(r, [])):
        assert write(again) == write(results)


def test_a_file_that_was_not_run_took_no_time(made):
    assert made.record("a.ipynb", ended=Ended.UNREADABLE).seconds == 0


def test_seconds_of_cpu_time_change_no_byte(made):
    one, other = (Results.of([made.record("a.ipynb", seconds=s)], questions()) for s in (1.0, 2.0))
    assert marks_json(one, []) == marks_json(other, [])
    assert marks_csv(one) == marks_csv(other)


EVIL = [
    *("=HYPERLINK(1)", "+1+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1", "=1,2", '=1"x', "-ann\n=2"),
    *("a;=1+2;", "x;=HYPERLINK(A1);=1+1", "a; +1", "a,-1", "a\n@1", "a\t=1", 'a;"=1+2";', ";;＝1"),
]


@pytest.mark.parametrize("name", EVIL)
def test_no_cell_is_a_formula(made, name):
    mark = made.mark("4.1", Status.NOT_YET, mistake=name)
    record = made.record(f"{name}_1_assignsubmission_file_/{name}.ipynb", mark, notes=("", name), reason=name)
    results = Results.of([record], questions())
    tables = [marks_csv(results), canvas_csv(results), *moodle_csvs(results).values()]
    assert [formulas(data) for data in tables] == [[], [], []]
    assert [len(data.splitlines()) for data in tables] == [2, 3, 2]


@pytest.mark.parametrize("name", EVIL)
def test_broken_control_an_unprotected_cell_would_be_seen(made, monkeypatch, name):
    monkeypatch.setattr("moe_lessons.grading.report._harmless", lambda cell: cell)
    assert formulas(marks_csv(Results.of([made.record(f"{name}/04.ipynb")], questions())))


def test_words_stay_as_they_are(made):
    name = "Ann-Marie O'Neil (x = 1; y, z) 李 e+1@home"
    assert rows(marks_csv(Results.of([made.record(f"{name}/04.ipynb")], questions())))[1][0] == name


def test_names_of_any_bytes_can_be_written(made):
    record = made.record("a\udcff\n李\x1b[31m,\"/04.ipynb", made.mark("4.1"))  # fmt: skip
    results = Results.of([record], questions())
    assert rows(marks_csv(results))[1][:2] == ['a? 李�[31m,"', 'a? 李�[31m,"/04.ipynb']
    known = json.loads(marks_json(results, []))["submissions"][0]
    assert (known["learner"], known["file"]) == (record.learner, record.file)


def test_the_json_tells_all(results):
    known = json.loads(marks_json(results, ["ann/essay.pdf"]))
    assert known["questions"]["4.2"] == {"title": "Three gate forms", "set": "04", "possible": int(POINTS["4.2"])}
    half = int(POINTS["4.4"]) + int(POINTS["4.5"])
    assert [s["total"] for s in known["submissions"]] == [int(FULL), half, 0]
    assert known["submissions"][1]["marks"][0]["mistake"] == "zeros"
    assert known["passed_over"] == ["ann/essay.pdf"]
    assert not {"seconds", "secret", "seed"} & set(known["submissions"][0])


def test_several_files_of_one_learner_count_with_the_best_of_each_question(made):
    early = complete(made, "ann/try.ipynb", q1=Status.NOT_YET, q2=Status.NOT_YET)
    late = complete(made, "ann/late.ipynb", q1=Status.NOT_YET, q3=Status.RAISED)
    (marks,) = Results.of([early, late], questions()).by_learner().values()
    assert [marks[q.id].points for q in SET_04] == [0, *(int(POINTS[f"4.{n}"]) for n in (2, 3, 4, 5))]
    assert len(table(marks_csv(Results.of([early, late], questions())))) == 2


def test_what_canvas_imports(results, made):
    extra = made.record("lee_567_8_01_worked_example.ipynb", made.mark("1.1"))
    head, possible, ann, bob, cy, lee = rows(canvas_csv(Results.of([*results.records, extra], questions())))
    assert head == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Exercises 01", "Exercises 04"]
    assert possible == ["Points Possible", "", "", "", "", "1", FULL]
    assert [ann[0], *ann[5:]] == ["ann", "", FULL]
    assert [bob[0], *bob[5:]] == ["bob", "", str(int(POINTS["4.4"]) + int(POINTS["4.5"]))]
    assert cy[5:] == ["", ""]
    assert lee == ["lee", "567", "", "", "", "1", ""]


def from_moodle(name, number):
    return f"{name}_{number}_assignsubmission_file_/04.ipynb"


def test_what_moodle_imports(made):
    ann = complete(made, from_moodle("Ann Lee", 1234), q2=Status.NOT_YET)
    bad = made.record(from_moodle("Cy", 7), ended=Ended.UNREADABLE)
    sheets = moodle_csvs(Results.of([ann, bad, complete(made, "bob/04.ipynb")], questions()))
    head, row = rows(sheets.pop("04"))
    assert head == ["Identifier", "Full name", "Grade", "Maximum grade", "Last modified (grade)"]
    assert row == ["Participant 1234", "Ann Lee", str(int(FULL) - int(POINTS["4.2"])), FULL, ""]
    assert sheets == {}
    assert moodle_csvs(Results.of([complete(made, "bob/04.ipynb")], questions())) == {}


def test_each_set_has_its_own_maximum(made):
    """Eve hands in notebooks of other sets: nobody's points are out of more for that, hers neither."""
    ann = made.record(from_moodle("Ann", 1), made.mark("1.1"), made.mark("1.2", Status.NOT_YET))
    eve = made.record(from_moodle("Eve", 2), made.mark("1.1"), made.mark("1.2"))
    also = replace(complete(made, from_moodle("Eve", 2)), file=from_moodle("Eve", 2).replace("04", "also"))
    alone = Results.of([ann, eve], questions())
    beside = Results.of([ann, eve, also], questions())
    possible = sum(questions()[id].points for id in ("1.1", "1.2"))
    graded = {name: [row[1:4] for row in rows(sheet)[1:]] for name, sheet in moodle_csvs(beside).items()}
    assert graded == {
        "01": [["Ann", "1", str(possible)], ["Eve", str(possible), str(possible)]],
        "04": [["Eve", FULL, FULL]],
    }
    assert moodle_csvs(alone) == {"01": moodle_csvs(beside)["01"]}
    assert [row[5] for row in rows(canvas_csv(alone))] == [row[5] for row in rows(canvas_csv(beside))]
    assert table(marks_csv(alone))[0]["possible"] == table(marks_csv(beside))[0]["possible"] == str(possible)


def test_a_learner_with_a_class_of_notebooks_is_asked_about(made):
    files = [made.record(f"archive/hw{i}.ipynb", made.mark("4.1")) for i in range(6)]
    assert [(who.name, count) for who, count in Results.of(files, questions()).crowds] == [("archive", 6)]
    assert Results.of(files[:5], questions()).crowds == []


def test_a_roster_tells_who_has_no_marks(made):
    roster = [Person(name, frozenset(keys_of_name(name))) for name in ("Ann", "Bob", "Zoe")]
    records = [made.record("ann/x.ipynb", made.mark("4.1")), made.record("bob/05.ipynb", notes=("a lesson",))]
    results = Results.of([*records, made.record("cy/x.ipynb")], questions(), roster=roster)
    assert [row[3:] for row in rows(roster_csv(results))] == [
        ["Exercises 04", "remark"], ["2", ""], ["", "no marks"], ["", "missing"], ["", "not on the roster, no marks"],
    ]  # fmt: skip


def test_a_person_under_two_names_is_one_row(made):
    roster = [Person("Ann Lee", frozenset(keys_of_name("Ann Lee")))]
    records = [made.record("Ann Lee/x.ipynb", made.mark("4.1")), made.record("lee ann/x.ipynb", made.mark("4.2"))]
    results = Results.of(records, questions(), roster=roster)
    assert (results.missing, results.strangers) == ([], [])
    assert rows(roster_csv(results))[1:] == [["Ann Lee", "Ann Lee, lee ann", "2", "3", "under several names"]]


def test_reasons_begin_with_that_of_the_file(made):
    partial = made.record("a.ipynb", made.mark("4.1", Status.NOT_YET), ended=Ended.TIMED_OUT, reason="cell 3")
    assert reasons(partial) == ["cell 3", "4.1 not yet"]
    assert reasons(made.record("a.ipynb", made.mark("4.1"))) == []


def test_grading_broke_down_where_it_was_killed_before_any_mark(made):
    ends = [(Ended.KILLED, []), (Ended.KILLED, [made.mark("4.1")]), (Ended.OK, []), (Ended.UNREADABLE, [])]
    told = [failed(made.record("a.ipynb", *marks, ended=ended)) for ended, marks in ends]
    assert told == [True, False, False, False]
