import json
import os
import subprocess
import sys
from pathlib import Path

import build
import pytest
from course import Course
from hypothesis import given, settings
from hypothesis import strategies as st
from ipynb import lesson_notebook
from percent import Cell

LESSON = "authoring/lessons/01_demo.py"
EXERCISE = "authoring/exercises/01_demo.py"
NOTEBOOK = "notebooks/01_demo.ipynb"
NO_COURSE = Course(Path("nowhere"), dict)


def ids(notebook):
    return [cell["id"] for cell in notebook["cells"]]


def git(course, *arguments):
    subprocess.run(["git", *arguments], cwd=course.root, check=True, capture_output=True)


@pytest.fixture
def tracked_course(course, monkeypatch):
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    assert course.build() == 0
    git(course, "init", "--quiet")
    git(course, "add", ".")
    return course


# What is written


def test_a_lesson_becomes_exactly_these_bytes():
    text = '# %% [markdown] name="b"\n# é\n#\n# <b>\n\n# %% tags=["deeper"]\nx = 1\n'
    written = lesson_notebook(text, NO_COURSE, "01")
    assert written == (
        '{\n "cells": [\n  {\n   "cell_type": "markdown",\n   "id": "b",\n   "metadata": {},\n   "source": [\n'
        '    "é\\n",\n    "\\n",\n    "<b>"\n   ]\n  },\n'
        '  {\n   "cell_type": "code",\n   "execution_count": null,\n   "id": "89811aa68d45fc05",\n'
        '   "metadata": {\n    "tags": [\n     "deeper"\n    ]\n   },\n   "outputs": [],\n'
        '   "source": [\n    "x = 1"\n   ]\n  }\n ],\n'
        ' "metadata": {\n  "kernelspec": {\n   "display_name": "Python 3 (ipykernel)",\n   "language": "python",\n'
        '   "name": "python3"\n  },\n  "language_info": {\n   "name": "python"\n  }\n },\n'
        ' "nbformat": 4,\n "nbformat_minor": 5\n}\n'
    )


def test_building_twice_gives_the_same_bytes_and_touches_no_file(course, capsys):
    assert course.build() == 0
    before = course.bytes()
    times = {name: (course.root / name).stat().st_mtime_ns for name in before}
    assert course.build() == 0
    assert course.bytes() == before
    assert {name: (course.root / name).stat().st_mtime_ns for name in before} == times
    assert sorted(before) == ["exercises/01_demo.ipynb", NOTEBOOK, "solutions/01_demo.ipynb"]
    assert capsys.readouterr().out == "3 files written, 0 unchanged\n0 files written, 3 unchanged\n"


@pytest.mark.parametrize("start", ["", "\ufeff", "# ---\n# jupyter:\n#   jupytext: {}\n# ---\n\n"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_line_ends_byte_order_mark_and_jupytext_header_change_no_byte(course, start, newline):
    course.build()
    before = course.bytes()
    for path in (LESSON, EXERCISE):
        course.write(path, start + (course.root / path).read_text(encoding="utf-8"), newline)
    assert course.build() == 0
    assert course.bytes() == before


def test_inserting_a_cell_changes_one_id(course):
    course.build()
    before = ids(course.notebook(NOTEBOOK))
    text = (course.root / LESSON).read_text(encoding="utf-8")
    course.write(LESSON, "# %%\nnew = 1\n\n" + text)
    course.build()
    after = ids(course.notebook(NOTEBOOK))
    assert after[1:] == before
    assert set(after) - set(before) == {after[0]}


def test_ids_taken_from_the_position_would_be_noticed(course, monkeypatch):
    monkeypatch.setattr(Cell, "id", property(lambda cell: f"line-{cell.line}"))
    with pytest.raises(AssertionError):
        test_inserting_a_cell_changes_one_id(course)


def test_a_named_cell_keeps_its_id_when_its_content_changes(course):
    course.build()
    before = ids(course.notebook(NOTEBOOK))
    text = (course.root / LESSON).read_text(encoding="utf-8")
    course.write(LESSON, text.replace("x = 1", "x = 2").replace('"τ"', '"T"'))
    course.build()
    after = ids(course.notebook(NOTEBOOK))
    assert before[1] == after[1] == "first-number"
    assert before[2] != after[2]


def test_only_tags_stay_in_the_metadata(course):
    course.build()
    metadata = [dict(cell.metadata) for cell in course.notebook(NOTEBOOK).cells]
    assert metadata == [{}, {"tags": ["setup"]}, {"tags": ["predict", "deeper"]}]


_WORDS = st.text("abc12", min_size=1, max_size=6)
_CELLS = st.lists(st.tuples(st.booleans(), _WORDS), min_size=2, max_size=8, unique=True)


@settings(max_examples=60)
@given(cells=_CELLS, position=st.integers(0, 7))
def test_ids_are_unique_and_survive_an_insertion(cells, position):
    def ids_of(cells):
        texts = [f"# %%\nx = '{word}'\n" if code else f"# %% [markdown]\n# {word}\n" for code, word in cells]
        return ids(json.loads(lesson_notebook("\n".join(texts), NO_COURSE, "01")))

    position = min(position, len(cells) - 1)
    every = ids_of(cells)
    assert len(set(every)) == len(cells)
    assert ids_of(cells[:position] + cells[position + 1 :]) == every[:position] + every[position + 1 :]


def test_a_picture_is_written_from_its_function(course, tmp_path, monkeypatch):
    (tmp_path / "drawings_for_test.py").write_text("def red():\n    return '<svg>é</svg>'\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    table = {"docs/red.svg": "drawings_for_test:red"}
    assert course.build(pictures=table) == 0
    assert (course.root / "docs/red.svg").read_bytes() == "<svg>é</svg>\n".encode()
    assert course.build("--check", pictures=table) == 0
    (course.root / "docs/red.svg").unlink()
    assert course.build("--check", pictures=table) == 1


def test_a_failed_write_leaves_the_old_file_and_no_draft(course, monkeypatch):
    course.build()
    before = sorted(course.root.rglob("*")), course.bytes()
    course.write(LESSON, "# %%\nx = 2\n")

    def full_disk(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="disk full"):
        course.build()
    assert (sorted(course.root.rglob("*")), course.bytes()) == before


# Exercises and solutions


def run(notebook):
    names = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            exec(cell.source.replace("from moe_lessons.checks import check", "check = lambda *_: None"), names)
    return names


def test_exercises_hold_stubs_and_run_to_the_end(course):
    course.build()
    text = course.sources("exercises/01_demo.ipynb")
    assert '# ✎ Your answer\ndef my_sum(a, b):\n    """Return the sum."""\n    a = float(a)\n    raise NotImpl' in text
    assert "# ✎ Your answer\nratio = ...\nuntouched = 7" in text
    assert text.count("✎") == 2
    for hidden in ("total", "2.0", "SOLUTION", "another_way", "Why this works"):
        assert hidden not in text
    names = run(course.notebook("exercises/01_demo.ipynb"))
    with pytest.raises(NotImplementedError):
        names["my_sum"](1, 2)


def test_solutions_hold_the_solution_without_markers(course):
    course.build()
    text = course.sources("solutions/01_demo.ipynb")
    assert "    a = float(a)\n    total = a + float(b)\n    return total\n\n" in text
    assert "ratio = 2.0 / 3.0\nuntouched = 7" in text
    assert "SOLUTION" not in text
    assert "✎" not in text
    names = run(course.notebook("solutions/01_demo.ipynb"))
    assert names["my_sum"](1, 2) == names["another_way"] == 3
    tags = [cell.metadata.get("tags") for cell in course.notebook("solutions/01_demo.ipynb").cells]
    assert tags[-2:] == [None, ["deeper"]]


def test_a_cell_has_the_same_id_in_both_notebooks(course):
    course.build()
    learners, solved = (ids(course.notebook(f"{folder}/01_demo.ipynb")) for folder in ("exercises", "solutions"))
    assert len(learners) == 6
    assert solved[:6] == learners
    assert len(set(solved)) == 8


def test_question_records_are_filled_in(course):
    course.build()
    text = course.notebook("exercises/01_demo.ipynb").cells[0].source
    assert text == (
        "# Exercises\n\n*Write it · easy · 2 points · about 5 minutes*\n\nAfter it.\n\n"
        '<details><summary id="hint-1.1">Hint 1</summary>\n\nUse $W$.\n\n</details>\n\n'
        "<details><summary>Hint 2</summary>\n\nRow by row.\n\n</details>\n\n"
        "<details><summary>The idea</summary>\n\nJust add.\n\n</details>"
    )


def test_one_point_and_one_minute_are_singular(empty_course):
    empty_course.write(EXERCISE, "# %% [markdown]\n# {{about 1.2}}\n")
    empty_course.build()
    assert empty_course.sources("exercises/01_demo.ipynb") == "*Predict · medium · 1 point · about 1 minute*"


# --check and orphans


def used(notebook):
    notebook.cells[1].outputs = [{"output_type": "stream", "name": "stdout", "text": "1"}]


def counted(notebook):
    notebook.cells[1].execution_count = 3


def with_widgets(notebook):
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {}}


def edited(notebook):
    notebook.cells[1].source = "x = 3"


def test_check_is_silent_when_all_is_up_to_date(course, capsys):
    course.build()
    capsys.readouterr()
    assert course.build("--check") == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("change", "fault"),
    [(used, "holds outputs"), (counted, "holds outputs"), (with_widgets, "holds widget state"), (edited, "stale")],
)
def test_check_names_a_notebook_that_differs(course, capsys, change, fault):
    course.build()
    notebook = course.notebook(NOTEBOOK)
    change(notebook)
    course.write(NOTEBOOK, json.dumps(notebook, indent=1))
    before = course.bytes()
    capsys.readouterr()
    assert course.build("--check") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{NOTEBOOK}: {fault}: ")
    assert 'run "make notebooks"' in line
    assert course.bytes() == before


def test_check_names_a_changed_source_and_a_missing_notebook(course, capsys):
    course.build()
    course.write(LESSON, "# %%\nx = 2\n")
    (course.root / "solutions/01_demo.ipynb").unlink()
    capsys.readouterr()
    assert course.build("--check") == 1
    assert capsys.readouterr().err.splitlines() == [
        'notebooks/01_demo.ipynb: stale: run "make notebooks"',
        'solutions/01_demo.ipynb: missing: run "make notebooks"',
    ]


@pytest.mark.parametrize("content", ["", "{}", "[1]", "null", '{"metadata": {}, "cells": [7]}'])
def test_a_notebook_that_is_no_notebook_is_stale(course, capsys, content):
    course.build()
    course.write(NOTEBOOK, content)
    assert course.build("--check") == 1
    assert capsys.readouterr().err == 'notebooks/01_demo.ipynb: stale: run "make notebooks"\n'


def test_orphans_are_named_then_removed(tracked_course, capsys):
    (tracked_course.root / EXERCISE).unlink()
    capsys.readouterr()
    assert tracked_course.build("--check") == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines] == [
        "exercises/01_demo.ipynb: orphan",
        "solutions/01_demo.ipynb: orphan",
    ]
    assert tracked_course.build() == 0
    assert list(tracked_course.bytes()) == [NOTEBOOK]
    assert capsys.readouterr().out == "0 files written, 1 unchanged, 2 removed\n"


def test_a_learners_own_copy_stays_and_is_no_fault(tracked_course, capsys):
    copies = ["notebooks/01_demo-mine.ipynb", "exercises/mine/é.ipynb", "notebooks/.ipynb_checkpoints/a.ipynb"]
    for path in copies:
        tracked_course.write(path, "{}")
    capsys.readouterr()
    assert tracked_course.build("--check") == 0
    assert capsys.readouterr() == ("", "")
    assert tracked_course.build() == 0
    assert set(copies) < set(tracked_course.bytes())


def test_no_orphan_is_removed_while_a_source_is_broken(tracked_course):
    (tracked_course.root / LESSON).rename(tracked_course.root / "authoring/lessons/1_demo.py")
    assert tracked_course.build() == 1
    assert NOTEBOOK in tracked_course.bytes()


@pytest.mark.parametrize("missing", ["git", "repository"])
def test_without_git_nothing_is_removed(course, capsys, monkeypatch, missing):
    course.build()
    (course.root / LESSON).unlink()
    if missing == "git":
        monkeypatch.setenv("PATH", str(course.root))
    else:
        monkeypatch.setenv("GIT_DIR", str(course.root / "none"))
    capsys.readouterr()
    assert course.build("--check") == 0
    assert capsys.readouterr() == ("", "")
    assert course.build() == 0
    assert NOTEBOOK in course.bytes()
    assert f"nothing was removed: {NOTEBOOK}" in capsys.readouterr().out


# This repository


def test_this_repositorys_notebooks_are_up_to_date(capsys):
    assert build.main(["--check"]) == 0, capsys.readouterr().err


@pytest.mark.slow
def test_the_script_gives_the_same_answer_from_another_folder(tmp_path, capsys):
    script = Path(build.__file__)
    done = subprocess.run([sys.executable, script, "--check"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == build.main(["--check"])
    assert done.stderr == capsys.readouterr().err
