"""The command line: what it refuses, what it writes, what it does not do twice, and its exit status."""

import csv
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from moe_lessons.checks import questions
from moe_lessons.checks.attempt import Status
from moe_lessons.grading import __main__ as command
from moe_lessons.grading import batch, sandbox
from moe_lessons.grading.records import Ended
from moe_lessons.grading.sandbox import Sandbox
from moe_lessons.grading.task import Task

ROOT = Path(__file__).parents[2]
SET_04 = [question.id for question in questions().values() if question.set == "04"]


@pytest.fixture
def graded(monkeypatch, made):
    """Grade by what stands in the file, in this process; the list that is returned names each file graded."""
    files = []

    def grade(task, file):
        files.append(file)
        text = (task.folder / file).read_text(encoding="utf-8")
        if text == "unreadable":
            return made.record(file, ended=Ended.UNREADABLE, reason="not JSON")
        if text == "crash":
            raise ZeroDivisionError("oops")
        if text == "interrupt":
            raise KeyboardInterrupt
        return made.record(file, *(made.mark(q, Status.CORRECT if q in text else Status.NOT_YET) for q in SET_04))

    monkeypatch.setattr("moe_lessons.grading.store.course_fingerprint", lambda: "the course")
    monkeypatch.setattr(sandbox, "available", Sandbox)
    monkeypatch.setattr(batch, "alone", lambda function, *arguments: function(*arguments))
    monkeypatch.setattr(Task, "grade", grade)
    return files


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out" / "marks.csv"


FILES = {"ann/04.ipynb": "4.1 4.2", "bob/04.ipynb": "", "cy_04_top_k_gating.ipynb": "4.5"}


def points(*ids):
    """Return the points of some questions together, as the tables write them."""
    return str(sum(questions()[id].points for id in ids))


FULL = points(*SET_04)


def grade(folder, out, *more):
    return command.main([str(folder), "-o", str(out), "--jobs", "1", *more])


def table(out):
    return list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8-sig"))))


def written(out):
    """Return the content of all reports, without what is kept for the next run."""
    names = [path for path in out.parent.rglob("*") if path.is_file() and "marks.d" not in path.parts]
    return {path.relative_to(out.parent).as_posix(): path.read_bytes() for path in names}


def test_a_folder_becomes_tables_and_pages(graded, submissions, out, capsys):
    assert grade(submissions(FILES | {"ann/essay.pdf": "", "ann/\x1b[31m.txt": ""}), out) == 0
    assert [(row["learner"], row["total"], row["possible"]) for row in table(out)] == [
        ("ann", points("4.1", "4.2"), FULL),
        ("bob", "0", FULL),
        ("cy", points("4.5"), FULL),
    ]
    assert sorted(written(out)) == [
        "marks-feedback/ann/04.html",
        "marks-feedback/bob/04.html",
        "marks-feedback/cy_04_top_k_gating.html",
        "marks-gradebook.csv",
        "marks-overview.html",
        "marks.csv",
        "marks.json",
    ]
    said = capsys.readouterr()
    assert said.out == f"{out}: 3 ok\n"
    assert "passed over: ann/essay.pdf" in said.err
    assert "\x1b" not in said.err  # a name must not steer the terminal


def test_an_archive_one_folder_deeper_is_a_class(graded, submissions, out, capsys):
    folder = submissions({"archive/ann/04.ipynb": "4.1", "eve/04.ipynb": "4.5"})
    grade(folder, out)
    assert [row["learner"] for row in table(out)] == ["archive", "eve"]  # one folder in one: nothing tells more
    submissions({"archive/bob/04.ipynb": "4.2", "archive/cy/04.zip": ""})
    capsys.readouterr()
    grade(folder, out)
    assert [(row["learner"], row["total"]) for row in table(out)] == [("ann", "2"), ("bob", "3"), ("eve", "2")]
    book = out.with_name("marks-gradebook.csv")
    assert [row["Student"] for row in table(book)][1:] == ["ann", "bob", "eve"]
    said = capsys.readouterr().err
    assert "several learners: archive\n" in said
    assert "passed over: archive/cy/04.zip (an archive: unpack it)\n" in said


def from_moodle(name):
    return f"{name}_{len(name)}_assignsubmission_file_/04.ipynb"


def moodle_sheets(out):
    """Return the worksheets by name, as rows of points and maximum."""
    return {path.name: [(row["Grade"], row["Maximum grade"]) for row in table(path)] for path in moodle_paths(out)}


def moodle_paths(out):
    return sorted(path for path in out.parent.iterdir() if "-moodle" in path.name)


def test_moodle_has_a_worksheet_for_each_set_and_none_of_an_earlier_run(graded, submissions, out, made, monkeypatch):
    folder = submissions({from_moodle("Ann"): "4.1 4.2", "bob/04.ipynb": ""})
    grade(folder, out)
    assert moodle_sheets(out) == {"marks-moodle.csv": [(points("4.1", "4.2"), FULL)]}
    (out.parent / "marks-moodle-mine.csv").write_text("Grade\n", encoding="utf-8")  # a teacher's own stays
    monkeypatch.setattr(Task, "grade", lambda task, file: made.record(file, made.mark("1.1")))
    submissions({from_moodle("Eve Adams"): ""})
    grade(folder, out)
    (out.parent / "marks-moodle-mine.csv").unlink()
    assert moodle_sheets(out) == {
        "marks-moodle-01.csv": [("1", "1")],
        "marks-moodle-04.csv": [(points("4.1", "4.2"), FULL)],
    }
    (folder / from_moodle("Eve Adams")).unlink()
    grade(folder, out)
    assert moodle_sheets(out) == {"marks-moodle.csv": [(points("4.1", "4.2"), FULL)]}
    (folder / from_moodle("Ann")).unlink()
    grade(folder, out)
    assert moodle_sheets(out) == {}


def test_a_review_is_a_set_with_a_worksheet_that_goes_as_others_do(graded, submissions, out, made, monkeypatch):
    folder = submissions({from_moodle("Ann"): "4.1", from_moodle("Eve Adams"): ""})
    monkeypatch.setattr(
        Task, "grade", lambda task, file: made.record(file, made.mark("4r.1" if "Eve" in file else "4.1"))
    )
    grade(folder, out, "--sets", "4,4r")
    assert list(moodle_sheets(out)) == ["marks-moodle-04.csv", "marks-moodle-04r.csv"]
    (folder / from_moodle("Eve Adams")).unlink()
    grade(folder, out, "--sets", "4,4r")
    assert list(moodle_sheets(out)) == ["marks-moodle.csv"]


def test_a_folder_that_cannot_be_read_is_said(graded, submissions, out, capsys, monkeypatch):
    folder, scandir = submissions(FILES), os.scandir

    def refusing(path):
        if Path(path).name == "bob":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)  # modes would not hold root back
    assert grade(folder, out) == 1
    assert [row["learner"] for row in table(out)] == ["ann", "cy"]
    assert "passed over: bob (cannot be read: Permission denied)" in capsys.readouterr().err
    assert b"bob (cannot be read: Permission denied)" in (out.parent / "marks-overview.html").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="no such file names")
def test_a_file_name_cannot_put_formulas_and_lines_into_a_table(graded, submissions, out, capsys):
    evil = "a;=1+2;\x1b[31m\nb"
    grade(submissions({f"{evil}.ipynb": "4.1", f"{evil}.txt": "", "ann/04.ipynb": ""}), out)
    lines = out.read_text(encoding="utf-8-sig").splitlines()
    assert [line.split(",")[1] for line in lines[1:]] == ["a;'=1+2;�[31m b.ipynb", "ann/04.ipynb"]
    assert "passed over: a;=1+2;�[31m b.txt\n" in capsys.readouterr().err
    kept = json.loads((out.parent / "marks.json").read_text(encoding="utf-8"))
    assert [known["file"] for known in kept["submissions"]] == [f"{evil}.ipynb", "ann/04.ipynb"]


def test_the_secret_is_in_no_report(graded, submissions, out):
    grade(submissions(FILES), out)
    secret = (out.parent / "marks.d" / "secret").read_bytes().strip()
    for content in written(out).values():
        assert secret not in content
        assert hashlib.sha256(secret).hexdigest().encode() not in content


def test_what_is_graded_is_not_graded_again(graded, submissions, out):
    folder = submissions(FILES)
    grade(folder, out)
    before = written(out)
    grade(folder, out)
    assert sorted(graded) == sorted(FILES)
    assert written(out) == before
    submissions({"bob/04.ipynb": "4.1 anew", "dee/04.ipynb": "4.3"})
    grade(folder, out)
    assert sorted(graded[3:]) == ["bob/04.ipynb", "dee/04.ipynb"]
    assert [row["total"] for row in table(out)] == [
        points(*ids) for ids in (("4.1", "4.2"), ("4.1",), ("4.5",), ("4.3",))
    ]


def test_a_file_that_was_taken_away_is_no_row(graded, submissions, out):
    folder = submissions(FILES)
    grade(folder, out)
    (folder / "bob/04.ipynb").unlink()
    assert grade(folder, out) == 0
    assert [row["learner"] for row in table(out)] == ["ann", "cy"]


@pytest.mark.parametrize("change", ["again", "secret", "sets", "private", "spoilt", "trusted"])
def test_all_that_may_change_a_mark_makes_it_graded_again(graded, submissions, out, tmp_path, change, monkeypatch):
    folder = submissions({"ann/04.ipynb": ""})
    grade(folder, out)
    file = tmp_path / "file.py"
    more = {"again": ["--again"], "sets": ["--sets", "4"], "trusted": ["--trusted"]}.get(change, [])
    if change == "secret":
        file.write_text("another secret, long enough", encoding="utf-8")
        more = ["--secret", str(file)]
    if change == "private":
        file.write_text(PRIVATE, encoding="utf-8")
        more = ["--private", str(file)]
    if change == "spoilt":
        next((out.parent / "marks.d").glob("*.json")).write_text("{", encoding="utf-8")
    monkeypatch.setattr(sandbox, "trusted", lambda: Sandbox(trusted=True))
    grade(folder, out, *more)
    assert graded == ["ann/04.ipynb"] * 2


PRIVATE = """
from moe_lessons.checks.set_04 import QUESTIONS as OF_THE_COURSE
import dataclasses
QUESTIONS = [dataclasses.replace(OF_THE_COURSE[0], id="4.p1")]
"""


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_jobs_and_runs_change_no_byte(graded, submissions, tmp_path, jobs):
    folder = submissions(FILES)
    first, second = tmp_path / "a" / "marks.csv", tmp_path / "b" / "marks.csv"
    grade(folder, first)
    for part in ("3/3", "1/3", "2/3"):
        command.main([str(folder), "-o", str(second), "--jobs", jobs, "--only", part])
    assert written(first) == written(second)


def test_parts_share_a_folder(graded, submissions, out, capsys):
    folder = submissions(FILES)
    grade(folder, out, "--only", "1/2")
    assert capsys.readouterr().out == f"{out}: 2 ok; 1 not graded yet\n"
    assert [row["learner"] for row in table(out)] == ["ann", "cy"]
    grade(folder, out, "--only", "2/2")
    assert len(graded) == len(table(out)) == 3


def test_trouble_is_a_row_and_an_exit_status(graded, submissions, out, capsys):
    folder = submissions(FILES | {"dee/04.ipynb": "unreadable", "eve/04.ipynb": "crash"})
    assert grade(folder, out) == 1
    assert [row["status"] for row in table(out)] == ["ok", "ok", "ok", "unreadable", "killed"]
    assert table(out)[4]["reasons"].endswith("ZeroDivisionError: oops")
    assert capsys.readouterr().out == f"{out}: 3 ok, 1 unreadable, 1 killed\n"
    assert grade(folder, out) == 1  # what the grader itself failed on is tried again, what is unreadable is not
    assert graded[5:] == ["eve/04.ipynb"]


def test_an_interruption_keeps_what_is_done(graded, submissions, out, capsys):
    folder = submissions({"a.ipynb": "4.1", "b.ipynb": "interrupt", "c.ipynb": "4.2"})
    assert grade(folder, out) == 130
    assert "the same command goes on from here" in capsys.readouterr().err
    assert not out.exists()
    submissions({"b.ipynb": "4.3"})
    assert grade(folder, out) == 0
    assert graded.count("a.ipynb") == 1
    assert len(table(out)) == 3


def test_reports_that_cannot_be_written_lose_no_mark(graded, submissions, out, capsys):
    (out.parent / "marks.json").mkdir(parents=True)
    assert grade(submissions(FILES), out) == 1
    assert "could not be written" in capsys.readouterr().err
    (out.parent / "marks.json").rmdir()
    assert grade(submissions({}), out) == 0
    assert len(graded) == 3


def test_names_that_no_file_system_should_have(graded, submissions, out):
    folder = submissions({"<script>/=1+1.ipynb": "4.1", "x" * 240 + ".ipynb": "4.2"})
    if sys.platform == "linux":
        submissions({os.fsdecode(b"\xff\n.ipynb"): ""})
    assert grade(folder, out) == 0
    assert {"<script>", "x" * 240} < {row["learner"] for row in table(out)}
    assert len(list((out.parent / "marks-feedback").rglob("*.html"))) == len(table(out))


def test_a_page_that_cannot_be_written_costs_no_other(graded, submissions, out, capsys):
    folder = submissions({"ann/04.ipynb": "4.1", "ann/04.html/x.ipynb": "4.2", "bob/04.ipynb": ""})
    assert grade(folder, out) == 1
    assert "no feedback page for 'ann/04.ipynb'" in capsys.readouterr().err
    assert [row["total"] for row in table(out)] == ["3", "2", "0"]
    assert len(list((out.parent / "marks-feedback").rglob("*.html"))) == 3  # two pages, one folder


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "the following arguments are required: submissions"),
        (["{folder}", "--jobs", "0"], "expected a whole number from 1"),
        (["{folder}", "--jobs", "two"], "expected a whole number from 1"),
        (["{folder}", "--only", "0/3"], "expected i/n with i from 1 to n"),
        (["{folder}", "--only", "4/3"], "expected i/n with i from 1 to n"),
        (["{folder}", "--only", "1"], "expected i/n with i from 1 to n"),
        (["{folder}", "-o", "marks.xlsx"], "expected a name that ends in .csv"),
        (["{folder}", "--sets", "99"], "set = '99': expected one of 01, 02"),
        (["{folder}/none"], "There is no folder"),
        (["{folder}/ann/04.ipynb"], "There is no folder"),
        (["{folder}/empty"], "There is no notebook (.ipynb) in"),
        (["{folder}", "--secret", "{folder}/none"], "No such file"),
        (["{folder}", "--secret", "{folder}/ann/04.ipynb"], "expected at least 16 bytes"),
        (["{folder}", "--private", "{folder}/none"], "No such file"),
        (["{folder}", "--private", "{folder}/bob/04.ipynb"], "QUESTIONS"),
        (["{folder}", "--nonsense"], "unrecognized arguments"),
        (["{folder}", "--limits", "cell=long"], "cell=long: expected seconds of CPU time, such as 120"),
        (["{folder}", "--roster", "{folder}/none"], "No such file"),
        (["{folder}", "--roster", "{folder}/bob/04.ipynb"], "expected a name on each line"),
        (["{folder}", "--marking", "{folder}/ann/04.ipynb"], "04.ipynb cannot be read"),
    ],
)
def test_what_makes_no_sense_ends_with_2(graded, submissions, out, arguments, sentence, capsys, monkeypatch):
    folder = submissions(FILES)
    (folder / "empty").mkdir()
    monkeypatch.chdir(folder.parent)
    arguments = [argument.format(folder=folder) for argument in arguments]
    try:
        code = command.main(arguments)
    except SystemExit as end:  # argparse's own way
        code = end.code
    assert code == 2
    assert sentence in capsys.readouterr().err
    assert graded == []


def test_without_a_sandbox_it_refuses_with_the_reason(graded, submissions, out, capsys, monkeypatch):
    monkeypatch.setattr(sandbox, "available", lambda: "bubblewrap is not installed")
    monkeypatch.setattr(sandbox, "trusted", lambda: Sandbox(trusted=True))
    assert grade(submissions(FILES), out) == 2
    said = capsys.readouterr().err
    assert "No sandbox: bubblewrap is not installed." in said
    assert "--trusted" in said
    assert graded == []
    assert not out.parent.exists()
    assert grade(submissions(FILES), out, "--trusted") == 0
    assert "without a sandbox, as you" in capsys.readouterr().err


MARKING = """
[points]
"4.1" = 4

[[override]]
learner = "bob"
question = "4.2"
points = 1
reason = "shown to me"

[[comment]]
learner = "ann"
text = "Well done, ann."
"""


def test_what_a_teacher_declares_survives_every_run_and_grades_nothing_anew(graded, submissions, out, tmp_path):
    folder, declared = submissions(FILES), tmp_path / "marking.toml"
    grade(folder, out)
    declared.write_text(MARKING, encoding="utf-8")
    for more in ([], ["--again"], []):
        assert grade(folder, out, *more) == 0
        assert [(row["4.1"], row["4.2"], row["total"]) for row in table(out)] == [
            ("4", "3", "7"), ("0", "1", "1"), ("0", "0", "2"),
        ]  # fmt: skip
        assert declared.read_text(encoding="utf-8") == MARKING
    assert table(out)[1]["reasons"].startswith("4.1 not yet; 4.2 by hand: shown to me;")
    assert len(graded) == 6  # once, and once for --again
    pages = {
        who: (out.parent / "marks-feedback" / who / "04.html").read_text(encoding="utf-8") for who in ("ann", "bob")
    }
    assert ("Your teacher: Well done, ann." in pages["ann"], "Well done" in pages["bob"]) == (True, False)
    assert "Your teacher: shown to me" in pages["bob"]
    declared.unlink()
    grade(folder, out)
    assert [row["total"] for row in table(out)] == [points("4.1", "4.2"), "0", points("4.5")]


def test_a_teachers_file_is_not_taken_from_the_submissions(graded, submissions, out, capsys):
    grade(submissions(FILES | {"marking.toml": MARKING, "ann/marking.toml": MARKING}), out)
    assert "marking.toml in the folder of submissions is not read" in capsys.readouterr().err
    assert [row["4.1"] for row in table(out)] == ["2", "0", "0"]


def test_a_mistake_in_a_teachers_file_stops_the_run_before_it_begins(graded, submissions, out, tmp_path, capsys):
    (tmp_path / "own.toml").write_text(MARKING.replace("points = 1", "points = 100"), encoding="utf-8")
    assert grade(submissions(FILES), out, "--marking", str(tmp_path / "own.toml")) == 2
    said = capsys.readouterr().err
    assert "Nothing was graded. own.toml, line 8: override.points = 100: expected a number from 0 to 3" in said
    assert graded == []
    assert grade(submissions(FILES), out, "--marking", str(tmp_path / "none.toml")) == 2


def test_a_name_in_a_teachers_file_that_is_nobodys_is_said(graded, submissions, out, tmp_path, capsys):
    (tmp_path / "marking.toml").write_text(MARKING.replace('"ann"', '"anne"'), encoding="utf-8")
    assert grade(submissions(FILES), out) == 1
    words = "marking.toml: no learner is called 'anne'; near: ann"
    assert words in capsys.readouterr().err
    assert words in json.loads((out.parent / "marks.json").read_text(encoding="utf-8"))["problems"]
    assert b"no learner is called" in (out.parent / "marks-overview.html").read_bytes()


def test_a_roster_tells_who_is_missing(graded, submissions, out, tmp_path, capsys):
    (tmp_path / "class.csv").write_text("Student,ID\nAnn,1\nBob,2\nZoe,3\n", encoding="utf-8")
    assert grade(submissions(FILES), out, "--roster", str(tmp_path / "class.csv")) == 0
    assert [list(row.values()) for row in table(out.with_name("marks-roster.csv"))] == [
        ["Ann", "ann", "1", points("4.1", "4.2"), ""],
        ["Bob", "bob", "1", "0", ""],
        ["Zoe", "", "0", "", "missing"],
        ["", "cy", "1", points("4.5"), "not on the roster"],
    ]
    said = capsys.readouterr().err
    assert "missing: Zoe\n" in said
    assert "not on the roster: cy\n" in said
    assert b"<h2>Missing</h2><ul><li>Zoe</li></ul>" in (out.parent / "marks-overview.html").read_bytes().replace(
        b"\n", b""
    )
    grade(submissions(FILES), out)
    assert not out.with_name("marks-roster.csv").exists()  # that of another run


def test_pages_of_files_that_are_gone_go_and_a_teachers_words_stay(graded, submissions, out, capsys):
    folder = submissions(FILES)
    grade(folder, out)
    pages = out.parent / "marks-feedback"
    (pages / "bob" / "04.html").write_text("my words to bob", encoding="utf-8")
    (pages / "ann" / "more.txt").write_text("mine", encoding="utf-8")
    for name in ("bob/04.ipynb", "cy_04_top_k_gating.ipynb"):
        (folder / name).unlink()
    capsys.readouterr()
    grade(folder, out)
    assert sorted(path.name for path in pages.rglob("*") if path.is_file()) == ["04.html", "more.txt"]
    aside = out.parent / "marks-edited" / "marks-feedback" / "bob" / "04.html"
    assert aside.read_text(encoding="utf-8") == "my words to bob"
    assert f"changed by you, put aside: {aside}\n" in capsys.readouterr().err


def test_what_lies_beside_a_notebook_is_graded_with_it(graded, submissions, out, capsys):
    folder = submissions(FILES | {"ann/helpers.py": "x = 1", "ann/essay.pdf": "", "stray.py": ""})
    grade(folder, out)
    said = capsys.readouterr().err
    assert ("helpers.py" in said, "passed over: ann/essay.pdf\n" in said, "passed over: stray.py\n" in said) == (
        False,
        True,
        True,
    )
    submissions({"ann/helpers.py": "x = 2"})
    grade(folder, out)
    assert graded[3:] == ["ann/04.ipynb"]


def test_limits_are_what_marks_depend_on(graded, submissions, out, monkeypatch):
    seen = []
    known = Task.grade
    monkeypatch.setattr(Task, "grade", lambda task, file: seen.append(task.sandbox.limits) or known(task, file))
    folder = submissions({"ann/04.ipynb": ""})
    for more in ([], ["--limits", "cell=120"], ["--limits", "cell=120"]):
        grade(folder, out, *more)
    assert [limits.cell_seconds for limits in seen] == [60, 120]


def test_two_notebooks_that_two_sign_with_one_name_stay_two(graded, submissions, out):
    files = {f"Bo_{i}_assignsubmission_file_/04.ipynb": "4.1" if i > 1 else "" for i in (1, 2)}
    grade(submissions(files), out)
    assert [(row["learner"], row["total"]) for row in table(out)] == [("Bo (1)", "0"), ("Bo (2)", "2")]


# --- the real one -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["submissions", "out", "private", "secret", "roster", "marking"])
def test_what_submissions_could_read_is_refused(submissions, tmp_path, graded, monkeypatch, capsys, which):
    """In the folders that a worker sees nothing of a teacher's may lie; a --trusted run sees everything anyway."""
    folder, seen = submissions(FILES), tmp_path / "venv"
    monkeypatch.setattr(sandbox, "_visible", lambda: [str(folder if which == "submissions" else seen)])
    out = (seen if which == "out" else tmp_path / "out") / "marks.csv"
    more = () if which in ("submissions", "out") else (f"--{which}", str(seen / "file"))
    assert grade(folder, out, *more) == command.USAGE
    assert "submissions can read what is in" in capsys.readouterr().err
    assert graded == []


real = pytest.mark.skipif(
    not os.environ.get("CI") and not isinstance(sandbox.available(), Sandbox), reason="no sandbox here: see .ci/run"
)


@pytest.fixture
def class_of_four(submissions):
    """A class: one solved everything, one nothing, one one question wrongly, one handed in something else."""
    folder = submissions({"dee/04.ipynb": "an essay"})
    shutil.copy(ROOT / "solutions" / "04_top_k_gating.ipynb", folder / "ann_04_top_k_gating.ipynb")
    shutil.copy(ROOT / "exercises" / "04_top_k_gating.ipynb", folder / "bob_04_top_k_gating.ipynb")
    wrong = json.loads((ROOT / "exercises" / "04_top_k_gating.ipynb").read_text(encoding="utf-8"))
    cells = {"cell_type": "code", "source": "def my_keep_top_k(logits, k):\n    return logits * 0", "outputs": []}
    wrong["cells"].append(cells | {"execution_count": None, "metadata": {}})
    (folder / "cy.ipynb").write_text(json.dumps(wrong), encoding="utf-8")
    return folder


def run(folder, out, jobs="1"):
    """Start the grader as a teacher does; .communicate(...) waits for it."""
    command = [sys.executable, "-m", "moe_lessons.grading", str(folder), "-o", str(out), "--jobs", jobs]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE, text=True)


@real
@pytest.mark.slow
def test_a_class_is_graded_and_goes_on_after_ctrl_c(class_of_four, out):
    interrupted = run(class_of_four, out)
    kept = out.parent / "marks.d"
    until = time.monotonic() + 120
    while not list(kept.glob("ann*.json")) and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(interrupted.pid, signal.SIGINT)  # as a terminal does: to all processes
    _, said = interrupted.communicate(timeout=60)
    assert interrupted.returncode == 130, said
    assert "Traceback" not in said
    before = {path.name: path.stat().st_mtime_ns for path in kept.glob("*.json")}
    assert 1 <= len(before) < 4
    again = run(class_of_four, out)
    _, said = again.communicate(timeout=300)
    assert again.returncode == 1, said  # dee's is no notebook
    assert {name: (kept / name).stat().st_mtime_ns for name in before} == before
    rows = {row["learner"]: row for row in table(out)}
    assert {name: (row["total"], row["status"]) for name, row in rows.items()} == {
        "ann": (FULL, "ok"),
        "bob": ("0", "ok"),
        "cy": ("0", "ok"),
        "dee": ("", "unreadable"),
    }
    assert rows["cy"]["reasons"].startswith("4.1 not yet")


@real
@pytest.mark.slow
def test_another_order_other_jobs_and_another_secret_change_no_mark(class_of_four, tmp_path):
    learners = ("ann", "bob", "cy", "dee")
    turned = dict(zip(learners, reversed(learners), strict=True))
    for path in class_of_four.rglob("*.ipynb"):
        name = path.relative_to(class_of_four).as_posix()
        there = tmp_path / "turned" / re.sub("|".join(learners), lambda found: turned[found[0]], name)
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, there)
    outs = tmp_path / "one" / "marks.csv", tmp_path / "two" / "marks.csv"
    for folder, out, jobs in zip((class_of_four, tmp_path / "turned"), outs, ("1", "2"), strict=True):
        run(folder, out, jobs).communicate(timeout=300)
    first, second = ({row["learner"]: row for row in table(out)} for out in outs)
    for name in learners:
        differ = {key for key in first[name] if first[name][key] != second[turned[name]][key]}
        assert differ <= {"learner", "file"}, (first[name], second[turned[name]])
    secrets = [(out.parent / "marks.d" / "secret").read_bytes() for out in outs]
    assert secrets[0] != secrets[1]
