"""Files that were handed in beside a notebook: whose they are, what they are called there, and what is too much."""

import importlib
import os
import sys

import pytest

from moe_lessons.grading import companions as module
from moe_lessons.grading.batch import look
from moe_lessons.grading.companions import companions, lay_out, packed

MOODLE, BLACKBOARD, BRIGHTSPACE = (
    "_assignsubmission_file_",
    "_attempt_2026-11-30-10-05-09_",
    " - Nov 3, 2026 105 PM - ",
)


def names(folder, file, classes=()):
    return sorted(companions(folder, file, classes).content)


def test_a_folder_of_one_learner_goes_with_the_notebook(submissions):
    files = ["helpers.py", "data/x.csv", "deep/er/__init__.py", "essay.pdf", "other.ipynb", ".hidden.py", ".git/x.py"]
    folder = submissions({"ann/04.ipynb": "", "bo/theirs.py": "", **{f"ann/{name}": name for name in files}})
    found = companions(folder, "ann/04.ipynb")
    assert found.content == {name: name.encode() for name in ("helpers.py", "data/x.csv", "deep/er/__init__.py")}
    assert found.paths["data/x.csv"] == "ann/data/x.csv"
    assert found.notes == [
        "files handed in beside it, and there when it ran: helpers.py, data/x.csv, deep/er/__init__.py"
    ]


def test_nobody_gets_the_files_of_another(submissions):
    folder = submissions(dict.fromkeys(["ann.ipynb", "helpers.py", "archive/ann.ipynb", "archive/bo_helpers.py"], ""))
    assert names(folder, "ann.ipynb") == []
    assert names(folder, "archive/ann.ipynb", ["archive"]) == []
    assert names(folder, "archive/ann.ipynb") == ["bo_helpers.py"]  # where it is one learner's folder


@pytest.mark.parametrize(
    ("notebook", "mine", "theirs"),
    [
        ("lee_567_1_04.ipynb", "lee_567_2_helpers-1.py", "roe_568_3_helpers.py"),
        ("lee_567_1_04.ipynb", "lee_LATE_567_2_helpers.py", "lee_568_3_helpers.py"),
        ("anon_Ab3xY_1_04.ipynb", "anon_Ab3xY_2_helpers.py", "anon_Cd3xY_3_helpers.py"),
        (f"Ann_1{MOODLE}04.ipynb", f"Ann_1{MOODLE}helpers.py", f"Ann_2{MOODLE}helpers.py"),
        (f"E_ann{BLACKBOARD}04.ipynb", f"E_ann{BLACKBOARD}helpers.py", f"E_bo{BLACKBOARD}helpers.py"),
        (f"1-2 - Ann{BRIGHTSPACE}04.ipynb", f"1-2 - Ann{BRIGHTSPACE}helpers.py", f"2-2 - Bo{BRIGHTSPACE}helpers.py"),
    ],
)  # fmt: skip
def test_in_a_folder_of_many_the_platform_tells(submissions, notebook, mine, theirs):
    folder = submissions({notebook: "", mine: "mine", theirs: "theirs"})
    assert companions(folder, notebook).content == {"helpers.py": b"mine"}


def test_a_copy_of_the_course_does_not_come_along(submissions):
    folder = submissions(dict.fromkeys(["ann/04.ipynb", "ann/moe_lessons/x.py", "ann/venv/y.py", "ann/mine/z.py"], ""))
    assert names(folder, "ann/04.ipynb") == ["mine/z.py"]


def test_links_are_not_followed(submissions, tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    folder = submissions({"ann/04.ipynb": ""})
    (folder / "ann" / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "ann" / "folder").symlink_to(tmp_path)
    assert names(folder, "ann/04.ipynb") == []


def test_what_is_too_much_is_left_out_and_said(submissions, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    folder = submissions(
        {"ann/04.ipynb": "", "ann/a.py": "12345678", "ann/b.py": "123", "ann/c.py": "12", "ann/d.csv": "x" * 11}
    )
    found = companions(folder, "ann/04.ipynb")
    assert (sorted(found.content), found.left_out) == (["a.py", "c.py"], ["b.py", "d.csv"])
    assert found.notes[1] == "files beside it that were left out: b.py, d.csv"
    monkeypatch.setattr(module, "MOST_FILES", 1)
    assert companions(folder, "ann/04.ipynb").left_out == ["b.py", "c.py", "d.csv"]


def test_a_changed_helper_is_another_submission(submissions):
    folder = submissions({"ann/04.ipynb": "x"})
    alone = look(folder, "ann/04.ipynb", companions(folder, "ann/04.ipynb"))
    seen = {alone}
    for name, text in (("a.py", "1"), ("a.py", "2"), ("b.py", "2")):
        submissions({f"ann/{name}": text})
        seen.add(look(folder, "ann/04.ipynb", companions(folder, "ann/04.ipynb")))
    assert len(seen) == 4
    assert look(folder, "ann/04.ipynb") == alone


def test_a_notebook_can_import_what_is_laid_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    files = {"helpers_of_ann.py": b"from inner_of_ann.x import y", "inner_of_ann/x.py": b"y = 3", "json.py": b"broken"}
    lay_out(packed(files | {"empty.txt": b""}))
    assert importlib.import_module("helpers_of_ann").y == 3
    assert sys.path[-1] == os.getcwd()
    assert importlib.import_module("json").loads("3") == 3
