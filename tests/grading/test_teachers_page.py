"""docs/teachers.md says what is so: its commands can be read, its example can be asked, its numbers are the limits."""

import re
import shlex
from pathlib import Path

import pytest

from moe_lessons.grading import __main__ as command
from moe_lessons.grading.learners import classes_in, learner, learners
from moe_lessons.grading.questions import private_questions
from moe_lessons.grading.records import Ended
from moe_lessons.grading.sandbox import Limits
from moe_lessons.grading.submission import MOST_BYTES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "teachers.md").read_text(encoding="utf-8")
WORDS = " ".join(PAGE.split())
COMMANDS = re.findall(r"python -m moe_lessons\.grading (.*?)(?= :::|\n)", PAGE)
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


@pytest.mark.parametrize(
    "option", sorted(set(re.findall(r"(?<![\w-])--(?:only|sets|again|private|secret|trusted)", PAGE)))
)
def test_the_options_exist(option):
    values = {"--only": ["1/2"], "--sets": ["04"], "--private": ["f"], "--secret": ["f"]}
    assert understood(shlex.join(["submissions", option, *values.get(option, [])]))


def test_the_example_of_a_private_question_can_be_asked(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(EXAMPLE, encoding="utf-8")
    assert list(private_questions(path)) == ["4.p1"]


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
    assert len(rows) == 4
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
        "marks.d/",
    }  # fmt: skip
