"""What a run writes, what it takes away again, and that nothing a teacher wrote is lost."""

import subprocess

import pytest

from moe_lessons.grading.outputs import Outputs, seen_by_git


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out" / "marks.csv"


def run(out, *files):
    """Write files, "name content", as a run does; return what was put aside, as paths with their content."""
    with Outputs(out) as outputs:
        for name, content in map(str.split, files):
            outputs.write(out.parent / name, content.encode())
    return {path.relative_to(out.parent).as_posix(): path.read_text() for path in outputs.aside}


def there(out):
    return sorted(path.relative_to(out.parent).as_posix() for path in out.parent.rglob("*") if path.is_file())


def test_a_run_replaces_what_the_last_one_wrote(out):
    assert run(out, "marks.csv 1") == run(out, "marks.csv 2") == run(out, "marks.csv 2") == {}
    assert out.read_text() == "2"
    assert there(out) == ["marks.csv", "marks.d/written"]


def test_what_only_an_earlier_run_wrote_goes(out):
    run(out, "marks.csv 1", "pages/ann.html a", "pages/bo.html b")
    run(out, "marks.csv 1", "pages/bo.html b")
    assert there(out) == ["marks.csv", "marks.d/written", "pages/bo.html"]


def test_what_a_teacher_changed_is_put_aside_each_time(out):
    run(out, "marks.csv 1", "pages/ann.html a")
    out.write_text("mine")
    (out.parent / "pages" / "ann.html").write_text("my words")
    assert run(out, "marks.csv 2") == {"marks-edited/marks.csv": "mine", "marks-edited/pages/ann.html": "my words"}
    out.write_text("mine again")
    assert run(out, "marks.csv 3") == {"marks-edited/marks-2.csv": "mine again"}
    assert out.read_text() == "3"
    assert run(out, "marks.csv 4") == {}


def test_what_lay_there_before_the_first_run_is_a_teachers(out):
    out.parent.mkdir()
    out.write_text("mine")
    (out.parent / "notes.txt").write_text("mine, too")
    assert run(out, "marks.csv 1") == {"marks-edited/marks.csv": "mine"}
    run(out)
    assert "notes.txt" in there(out)


def test_a_run_that_cannot_write_all_remembers_what_it_wrote(out):
    run(out, "marks.csv 1", "pages/ann.html a")
    (out.parent / "bad").mkdir(parents=True)
    with pytest.raises(OSError, match="bad"):
        run(out, "marks.csv 2", "bad x")
    assert run(out, "marks.csv 3", "pages/ann.html b") == {}


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "3"])
def test_a_spoilt_list_loses_nothing(out, content):
    run(out, "marks.csv 1")
    (out.parent / "marks.d" / "written").write_text(content)
    assert run(out, "marks.csv 2") == {"marks-edited/marks.csv": "1"}


def test_git_is_asked(tmp_path):
    if subprocess.run(["git", "init", "-q", str(tmp_path)], capture_output=True).returncode:
        pytest.skip("no git")
    (tmp_path / ".gitignore").write_text("/submissions*/\n")
    assert seen_by_git(tmp_path / "out" / "marks.csv")
    assert not seen_by_git(tmp_path / "submissions-marks" / "marks.csv")


def test_without_git_or_a_tree_nothing_is_said(tmp_path, monkeypatch):
    assert not seen_by_git(tmp_path / "out" / "marks.csv")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not seen_by_git(tmp_path / "marks.csv")
