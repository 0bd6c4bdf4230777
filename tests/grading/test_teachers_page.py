"""docs/teachers.md says what is so: its commands can be read, its example can be asked, its numbers are the limits."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from moe_lessons import routing
from moe_lessons.checks import questions
from moe_lessons.grading import __main__ as command
from moe_lessons.grading import companions
from moe_lessons.grading.learners import classes_in, learner, learners
from moe_lessons.grading.limits import KNOWN
from moe_lessons.grading.marking import read_marking
from moe_lessons.grading.outputs import seen_by_git
from moe_lessons.grading.questions import private_questions
from moe_lessons.grading.records import Ended, Part
from moe_lessons.grading.sandbox import Limits
from moe_lessons.grading.shares import earned
from moe_lessons.grading.submission import MOST_BYTES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "teachers.md").read_text(encoding="utf-8")
WORDS = " ".join(PAGE.split())
COMMANDS = re.findall(r"python -m moe_lessons\.grading (.*?)(?= :::|\n)", PAGE)
TOML = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)[1]
EXAMPLE = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]


def understood(line):
    """Tell whether the command line takes what the page says to type."""
    try:
        return command._options(shlex.split(line.replace("{}", "3"))).submissions == Path("submissions")
    except SystemExit:
        return False


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_can_be_typed(line):
    assert understood(line)


def test_broken_control_a_wrong_command_is_seen():
    assert len(COMMANDS) >= 2
    assert not understood("submissions --parts 3")


OPTIONS = r"(?<![\w-])--(?:only|sets|again|private|secret|trusted|marking|roster|limits)"


@pytest.mark.parametrize("option", sorted(set(re.findall(OPTIONS, PAGE))))
def test_the_options_exist(option):
    files = {option: ["f"] for option in ("--private", "--secret", "--marking", "--roster")}
    values = {"--only": ["1/2"], "--sets": ["04"], "--limits": ["cell=120"], **files}
    assert understood(shlex.join(["submissions", option, *values.get(option, [])]))


def test_the_example_of_a_private_question_can_be_asked(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(EXAMPLE, encoding="utf-8")
    assert list(private_questions(path)) == ["4.p1"]


def judged(gate):
    """Return the verdict of the page's example on a gate, tried as it is in marking."""
    scope = {}
    exec(EXAMPLE, scope)
    question = scope["LARGE"]
    data = question.draw(np.random.default_rng(4))
    with np.errstate(all="ignore"):
        return question.judge(data, question.probe(gate, data)).correct


def naive(logits, k, form):
    """A gate that is right on moderate logits."""
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)  # (T, N)
    kept = p * (logits >= np.sort(logits, axis=-1)[:, [-k]])  # (T, N)
    return kept if form == "softmax_topk" else kept / kept.sum(axis=-1, keepdims=True)


def test_the_example_tells_right_from_wrong():
    assert judged(routing.gate_weights)
    for form in ("topk_softmax", "softmax_topk", "softmax_topk_renorm"):
        assert not judged(lambda logits, k, _, form=form: routing.gate_weights(logits, k, form))
    moderate = np.array([[1.0, 3.0, 2.0]])
    assert np.allclose(naive(moderate, 2, "softmax_topk"), routing.gate_weights(moderate, 2, "softmax_topk"))
    assert not judged(naive)


def test_the_file_of_a_teacher_is_read_as_it_stands(tmp_path):
    (tmp_path / "marking.toml").write_text(TOML, encoding="utf-8")
    declared = read_marking(tmp_path / "marking.toml", questions())
    assert declared.points == {"4.2": 5, "4.5": 0}
    assert set(declared.late.days) == {"Ann Lee", "Bo Roe"}
    assert (len(declared.overrides), len(declared.comments), declared.late.most) == (1, 1, 0.5)


def test_what_choices_earn_is_as_the_page_says():
    assert "of six statements to be called true or false, four right ones earn a third" in WORDS
    assert earned(tuple(Part(str(i), int(i < 4), 1, 1 / 2) for i in range(6)), "parts") == pytest.approx(1 / 3)


def test_what_comes_along_is_as_the_page_says():
    assert ", ".join(f"`{kind}`" for kind in companions.KINDS) in WORDS
    assert f"at most {companions.MOST_FILES}, {companions.MOST_BYTES // 2**20} MB in all" in WORDS
    assert all(f"`{name}`" in PAGE for name in KNOWN)


def test_git_passes_over_what_is_written_and_over_nothing_of_the_course():
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert {"marks.csv", "marks.json", "marks.d/", "marks-*.csv", "marking.toml"} <= set(ignored)
    assert not seen_by_git(ROOT / "out" / "marks.csv")
    assert not seen_by_git(ROOT / "submissions-marks" / "any.csv")


def test_the_limits_are_those_of_the_sandbox():
    limits = Limits()
    for words in [
        f"{limits.cell_seconds:g} seconds of CPU time for a cell, {limits.all_seconds:g} in all",
        f"{limits.memory // 2**30} GB of memory for each process, {limits.all_memory // 2**30} GB for all",
        f"{limits.processes} processes, {limits.disk_bytes // 2**20} MB of disk",
        f"Notebooks of more than {MOST_BYTES // 2**20} MB are not read",
    ]:
        assert words in WORDS
    assert limits.patience == 2
    assert "for an answer twice what its question allows at home" in WORDS


def test_every_status_is_explained():
    assert set(re.findall(r"\*\*(.*?)\*\*", PAGE)) >= {str(ended) for ended in Ended}


def test_the_learners_are_found_as_the_table_says():
    rows = re.findall(r"^\| `(.*?\.ipynb)` \| (.*?):", PAGE, re.MULTILINE)
    assert len(rows) == 9
    assert [learner(file).name for file, _ in rows] == [name for _, name in rows]


def test_an_archive_holds_the_learners_that_the_table_says():
    (files, names), *others = re.findall(r"^\| (both `archive.*?) \| (.*?):", PAGE, re.MULTILINE)
    assert [who.name for who in learners(re.findall(r"`(.*?)`", files)).values()] == names.split(" and ")
    assert others == []


def test_what_is_no_persons_name_is_as_the_page_says():
    words = re.search(r"Names of work, such as (.*?), are nobody's", WORDS)[1]
    work = re.findall(r"`(.*?)`", words)
    assert len(work) == 4
    assert classes_in([f"ann/{name}/x.ipynb" for name in work]) == []
    assert classes_in([f"ann/{name} of/x.ipynb" for name in work]) == ["ann"]  # the control


def test_the_files_are_those_that_are_written():
    named = re.findall(r"^\| `(marks[^`]*)`", PAGE, re.MULTILINE)
    assert set(named) == {
        "marks.csv", "marks.json", "marks-gradebook.csv", "marks-moodle.csv", "marks-overview.html", "marks-feedback/",
        "marks-roster.csv", "marks-edited/", "marks.d/",
    }  # fmt: skip
