"""What an executed copy depends on, and that nothing but a clean one is kept."""

import nbformat
import pytest
from keeping import is_clean, is_current, key, once

CELL = nbformat.v4.new_code_cell


def notebook(source="1 + 1", **outputs):
    cell = CELL(source, id="only")
    cell.outputs = [nbformat.v4.new_output(**outputs)] if outputs else []
    return nbformat.v4.new_notebook(cells=[cell])


@pytest.fixture
def package(tmp_path):
    """A package with a module that is used, one that is not, and their data."""
    folder = tmp_path / "package"
    for name in ("__init__.py", "used.py", "unused.py", "data.json", "deep/table.json",
                 "other/__init__.py", "other/view.py", "other/view.css"):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


@pytest.fixture
def counted(package, tmp_path):
    """A function that returns the copy of a notebook, and the runs so far."""
    runs = []

    def run(given):
        runs.append(given)
        given.metadata["modules"] = [str(package / "used.py")]
        return given

    def copy(given, session="one"):
        shared = tmp_path / session
        shared.mkdir(exist_ok=True)
        return once(given, "lesson", run, shared, tmp_path / "kept", package), len(runs)

    return copy


@pytest.fixture(autouse=True)
def daily(monkeypatch):
    """These tests say themselves when no kept copy may be used."""
    monkeypatch.delenv("FRESH", raising=False)


def test_what_is_known_before_the_run_makes_the_key(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert key(notebook()) == key(notebook())
    assert key(notebook()) != key(notebook("1 + 2"))
    with_prose = notebook()
    with_prose.cells.insert(0, nbformat.v4.new_markdown_cell("# Prose"))
    assert key(with_prose) == key(notebook())
    before = key(notebook())
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert key(notebook()) != before


@pytest.mark.parametrize(
    ("changed", "again"),
    [
        ("used.py", 2),
        ("data.json", 2),
        ("deep/table.json", 2),
        ("unused.py", 1),
        ("other/view.py", 1),
        ("other/view.css", 1),
    ],
)
def test_a_change_of_what_it_loaded_runs_it_again_and_no_other(changed, again, counted, package):
    assert counted(notebook())[1] == 1
    (package / changed).write_text("changed")
    assert counted(notebook(), "two")[1] == again


def test_what_is_edited_during_a_run_is_not_what_ran(package, tmp_path):
    def run(given):
        (package / "used.py").write_text("edited")
        given.metadata["modules"] = [str(package / "used.py")]
        return given

    copy = once(notebook(), "lesson", run, tmp_path, tmp_path / "kept", package)
    assert not is_current(copy, package)


def test_a_module_that_is_gone_runs_it_again(counted, package):
    counted(notebook())
    (package / "used.py").unlink()
    assert counted(notebook(), "two")[1] == 2


def test_a_kept_copy_is_found_by_later_sessions_unless_they_want_it_fresh(counted, monkeypatch):
    first, _ = counted(notebook())
    kept, runs = counted(notebook(), "two")
    assert (runs, kept.parent.name, kept.read_text()) == (1, "kept", first.read_text())
    monkeypatch.setenv("FRESH", "1")
    assert [counted(notebook(), "three")[1] for _ in range(2)] == [2, 2]


def test_of_a_notebook_one_copy_is_kept(counted, tmp_path):
    counted(notebook())
    counted(notebook("1 + 2"))
    assert len(list((tmp_path / "kept").iterdir())) == 1


@pytest.mark.parametrize(
    "outputs",
    [
        {"output_type": "error", "ename": "ZeroDivisionError", "evalue": "", "traceback": []},
        {"output_type": "stream", "name": "stderr", "text": "a warning"},
    ],
)
def test_a_failure_is_never_kept(outputs, counted, tmp_path):
    assert not is_clean(notebook(**outputs))
    assert [counted(notebook(**outputs), session)[1] for session in ("one", "one", "two")] == [1, 1, 2]
    assert not (tmp_path / "kept").exists()
