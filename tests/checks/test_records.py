"""Progress survives restarts, crashes in mid-write, spoilt files and two notebooks at once."""

import json
import os
import subprocess
import sys

import pytest

from moe_lessons.checks import progress as shown
from moe_lessons.checks import questions
from moe_lessons.checks.quiz import kept_as, lessons, quiz
from moe_lessons.checks.records import load, record
from moe_lessons.support.storage import home, write_atomically

IDEAS = sum(len(quiz(lesson).ideas) for lesson in lessons())


def test_attempts_count_and_correct_stays_correct():
    assert record("1.1", False)["correct"] is False
    assert record("1.1", True)["attempts"] == 2
    after = record("1.1", False)
    assert (after["attempts"], after["correct"]) == (3, True)
    assert load("1.2")["attempts"] == 0


def test_another_process_sees_it():
    record("1.1", True)
    code = "from moe_lessons.checks import progress; print(progress())"
    env = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", env=env, check=True)
    assert "1.1 ✓ (1)" in seen.stdout


def test_a_crash_in_mid_write_leaves_the_old_content(monkeypatch, progress_home):
    record("1.1", True)

    def crash(_descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        record("1.1", False)
    assert load("1.1")["correct"] is True
    assert {path.name for path in (progress_home / "progress").iterdir()} <= {"1.1.json", "1.1.lock"}


def test_a_kill_in_mid_write_leaves_the_old_content(progress_home):
    """The process dies between writing and renaming: no `finally` runs."""
    record("1.1", True)
    code = """
import os
from moe_lessons.checks import records
os.replace = lambda *_: os._exit(9)
records.record("1.1", False)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert load("1.1") == {**load("1.1"), "attempts": 1, "correct": True}
    assert record("1.1", False)["attempts"] == 2


@pytest.mark.parametrize(
    "spoilt", ["", "{", "[]", '{"attempts": Infinity}', '{"attempts": "many"}', "null", "\x00" * 20]
)
def test_a_spoilt_file_is_set_aside_and_counting_starts_afresh(spoilt, progress_home):
    path = progress_home / "progress" / "1.1.json"
    path.parent.mkdir(parents=True)
    path.write_text(spoilt, encoding="utf-8")
    assert load("1.1")["attempts"] == 0
    assert path.with_suffix(".unreadable").read_text(encoding="utf-8") == spoilt
    assert record("1.1", True)["attempts"] == 1


def test_files_are_plain_json_one_per_question(progress_home):
    record("1.1", True)
    record("1.2", False)
    files = sorted((progress_home / "progress").glob("*.json"))
    assert [path.name for path in files] == ["1.1.json", "1.2.json"]
    assert json.loads(files[0].read_text(encoding="utf-8"))["correct"] is True


def test_the_table_shows_all_sets_points_and_the_place():
    record("1.1", True)
    record("1.3", False)
    table = repr(shown())
    total = sum(q.points for q in questions().values() if q.set == "01")
    line = next(line for line in table.splitlines() if line.startswith("01"))
    assert "1/5" in line
    assert f"1/{total}" in line
    assert "1.1 ✓ (1)" in line
    assert "1.2 · (0)" in line
    assert "1.3 ✗ (1)" in line
    assert str(home()) in table
    assert f"quizzes: 0 of {IDEAS} ideas shown" in table


def test_the_table_counts_the_ideas_that_were_shown_in_quizzes():
    record(kept_as("04", "leak"), True)
    record(kept_as("04", "form"), False)
    record("quiz-04-no-such-idea", True)
    assert f"quizzes: 1 of {IDEAS} ideas shown" in repr(shown())
    assert f"Quizzes: 1 of {IDEAS} ideas shown, kept in " in shown()._repr_html_()


def test_the_default_place_is_the_users_data_folder(monkeypatch):
    monkeypatch.delenv("MOE_LESSONS_HOME")
    assert home().name == "moe-lessons"
    assert home().is_absolute()


def test_broken_control_a_plain_write_would_lose_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "plain.json"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt), open(path, "w", encoding="utf-8"):
        raise KeyboardInterrupt
    assert path.read_text(encoding="utf-8") == ""
    path.write_text("old", encoding="utf-8")
    monkeypatch.setattr(os, "fsync", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_atomically(path, b"new")
    assert path.read_text(encoding="utf-8") == "old"


def test_two_processes_at_once_lose_nothing(progress_home):
    code = "from moe_lessons.checks.records import record\nfor i in range(40): record('1.1', i == 20)"
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert load("1.1")["attempts"] == 80
    assert load("1.1")["correct"] is True


@pytest.mark.parametrize("obstacle", ["home is a file", "record is a folder"])
def test_a_home_that_cannot_be_used_is_survived(obstacle, progress_home):
    if obstacle == "home is a file":
        progress_home.write_text("", encoding="utf-8")
    else:
        (progress_home / "progress" / "1.1.json").mkdir(parents=True)
    assert "1.1 · (0)" in repr(shown())
    with pytest.raises(OSError, match=r"."):
        record("1.1", True)


def test_a_tilde_in_the_setting_is_the_users_folder(monkeypatch):
    monkeypatch.setenv("MOE_LESSONS_HOME", "~/somewhere")
    assert "~" not in str(home())
