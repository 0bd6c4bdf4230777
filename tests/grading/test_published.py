"""The course's own notebooks are no learner's work: lessons anywhere, solutions and untouched exercises in a copy."""

import json
import shutil
from pathlib import Path

import hostile
import pytest

from moe_lessons.checks import questions
from moe_lessons.grading import published, submission
from moe_lessons.grading.grade import grade_submission
from moe_lessons.grading.published import Own, lesson, refuse_own
from moe_lessons.grading.records import Ended
from moe_lessons.grading.submission import Unreadable, evidence

ROOT = Path(__file__).parents[2]
LESSONS, SOLUTIONS = (sorted((ROOT / folder).glob("*.ipynb")) for folder in ("notebooks", "solutions"))


def cells_of(path):
    return submission.parse(path.read_bytes()).cells


def unmarked(folder, name, cells):
    """Grade a notebook that must not get as far as a sandbox; return its record."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(hostile.notebook(list(cells)))
    return grade_submission(path, folder, questions(), b"secret", sandbox=None)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_is_a_lesson_whatever_it_is_called_and_however_it_was_used(path, tmp_path):
    cells = cells_of(path)
    changed = [cell + "  \n" if i % 3 else "my_guess = 3\nexample = 4" for i, cell in enumerate(cells)]
    for number, used in enumerate((cells, ["", *reversed(cells), "print(1)"], changed)):
        record = unmarked(tmp_path, f"ann/my homework {number}.ipynb", used)
        assert (record.ended, record.marks, record.reason) == (Ended.OK, (), "")
        assert record.notes == ("a lesson of the course, without answers to an exercise set: it is not marked",)


def test_an_answer_in_the_tour_of_lesson_00_makes_it_no_exercise(tmp_path):
    cells = [hostile.LOGITS if "def my_logits" in cell else cell for cell in cells_of(LESSONS[0])]
    assert hostile.LOGITS in cells
    assert "a lesson" in unmarked(tmp_path, "ann/00.ipynb", cells).notes[0]


def test_exercises_done_in_a_lesson_are_found():
    cells = cells_of(LESSONS[5])
    added = tuple(cell for cell in (*cells, *hostile.honest()) if cell.strip() not in lesson(cells))
    assert set(evidence(added, questions())) == {"01"}


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
@pytest.mark.parametrize("folder", ["ann/solutions", "ann/moe-lessons/solutions", "ann/Solutions"])
def test_a_solution_in_a_copy_of_the_course_is_not_marked(path, folder, tmp_path):
    record = unmarked(tmp_path, f"{folder}/{path.name}", cells_of(path))
    assert (record.ended, record.marks) == (Ended.OK, ())
    assert "the course's own solution" in record.notes[0]


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_an_exercise_is_not_marked_where_the_course_puts_it_and_nothing_was_changed(path, tmp_path):
    record = unmarked(tmp_path, f"ann/exercises/{path.name}", cells_of(ROOT / "exercises" / path.name))
    assert (record.ended, record.marks) == (Ended.OK, ())
    assert "nothing was changed" in record.notes[0]


def test_a_solution_that_someone_ran_and_tried_something_in_is_still_the_courses(tmp_path):
    cells = [
        cell if "check(" in cell or i % 4 else f"{cell}\nprint(1)" for i, cell in enumerate(cells_of(SOLUTIONS[3]))
    ]
    assert "own solution" in unmarked(tmp_path, "ann/solutions/x.ipynb", [*cells, "print(2)"]).notes[0]


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    "file", ["ann/{}", "ann/exercises/{}", "ann_{}", "{}", "solutions/ann/{}", "ann/my solutions/{}"]
)
def test_a_copied_solution_that_is_handed_in_as_ones_own_is_marked(path, file):
    refuse_own(file.format(path.name), cells_of(path))


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_own_answers_in_a_folder_of_that_name_are_marked(path):
    """A learner may well call her folder `solutions`: what counts is that the answers are not the published ones."""
    answers = set().union(*published._answers())
    refuse_own(
        f"ann/solutions/{path.name}", [f"{cell}  # mine" if cell in answers else cell for cell in cells_of(path)]
    )


def test_an_exercise_that_was_begun_is_marked():
    cells = cells_of(ROOT / "exercises" / SOLUTIONS[0].name)
    with pytest.raises(Own):
        refuse_own("ann/exercises/x.ipynb", cells)
    refuse_own("ann/exercises/x.ipynb", [*cells, "x = 1"])
    refuse_own("ann/untouched.ipynb", cells)


def test_where_the_course_is_not_at_hand_nothing_is_recognised(tmp_path, monkeypatch):
    published.published.cache_clear()
    monkeypatch.setattr(published, "COURSE", tmp_path)
    (tmp_path / "solutions").mkdir()
    (tmp_path / "solutions" / "broken.ipynb").write_text("{", encoding="utf-8")
    refuse_own("ann/solutions/x.ipynb", cells_of(SOLUTIONS[0]))
    assert lesson(cells_of(LESSONS[3])) == frozenset()
    published.published.cache_clear()


def test_a_single_cell_of_a_lesson_is_no_lesson():
    cells = cells_of(LESSONS[3])
    assert lesson(cells) > lesson(cells[:1]) == frozenset()


def test_a_single_common_name_is_no_exercise_set(tmp_path):
    for cells in (
        ["example = 3"],
        [hostile.SETUP, "example = 3\nprint(example)"],
        ["import moe_lessons", "gaps = [1]"],
    ):
        record = unmarked(tmp_path, "ann/scratch.ipynb", cells)
        assert (record.file, record.learner) == ("ann/scratch.ipynb", "ann")
        assert (record.ended, record.marks) == (Ended.UNREADABLE, ())


@pytest.mark.slow
def test_of_a_clone_only_what_the_learner_did_counts(tmp_path, sandbox):
    clone = tmp_path / "ann" / "moe-lessons"
    for folder in ("notebooks", "exercises", "solutions"):
        shutil.copytree(ROOT / folder, clone / folder, ignore=shutil.ignore_patterns(".*"))
    done = clone / "exercises" / SOLUTIONS[0].name
    notebook = json.loads(done.read_text(encoding="utf-8"))
    right = hostile.notebook([hostile.LOGITS, hostile.PROTOTYPE])
    notebook["cells"] += json.loads(right)["cells"]
    done.write_text(json.dumps(notebook), encoding="utf-8")
    records = [
        grade_submission(path, tmp_path, questions(), b"secret", sandbox) for path in sorted(tmp_path.rglob("*.ipynb"))
    ]
    marked = {record.file: (record.ended, record.total, record.possible) for record in records if record.marks}
    assert marked == {f"ann/moe-lessons/exercises/{SOLUTIONS[0].name}": (Ended.OK, 3, 10)}
    assert {record.ended for record in records} == {Ended.OK}
    assert all(record.marks or record.notes for record in records)
    assert len(records) == len(LESSONS) + 2 * len(SOLUTIONS)


def test_broken_control_a_notebook_of_no_set_is_unreadable():
    with pytest.raises(Unreadable):
        submission.wanted(("print(1)",), questions())
