"""`check`, `compare` and `progress` never raise: whatever the answer is, the disk, the user, the screen, the lock."""

import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from moe_lessons.checks import attempt, check, compare, progress, questions, records
from moe_lessons.checks.engine import Status
from moe_lessons.support import storage

FUNCTION, ARRAY, DICT = "1.1", "1.4", "1.5"  # a question about each


def right(x, weight, bias):
    return x @ weight.T + bias


def assert_verdict_without_progress(capsys, words=""):
    result = check(FUNCTION, right)
    printed = capsys.readouterr().out
    assert result.status == Status.CORRECT
    assert printed.startswith("✓ 1.1: correct\n")
    assert "(Your progress could not be saved: " in printed
    assert words in printed
    assert "Traceback" not in printed
    assert "1.1 · (0)" in repr(progress())


# --- places -------------------------------------------------------------------------------------------------------


@pytest.fixture
def impossible(tmp_path):
    """Return homes that cannot be, with a word of what is said about each."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    return {
        "a file": (tmp_path / "file", "file"),
        "below a file": (tmp_path / "file" / "below", "Not a directory"),
        "a device": ("/dev/null/x", "Not a directory"),
        "too long": (tmp_path / ("x" * 5000), "File name too long"),
        "an unknown user's": ("~nobody-of-this-name/x", "MOE_LESSONS_HOME = '~nobody-of-this-name/x' names none"),
        "half a character": ("/dev/null/\udcff", "/dev/null/?"),
    }


@pytest.mark.skipif(sys.platform == "win32", reason="the paths are those of Unix")
@pytest.mark.parametrize(
    "which", ["a file", "below a file", "a device", "too long", "an unknown user's", "half a character"]
)
def test_a_home_that_cannot_be(which, impossible, monkeypatch, capsys):
    path, words = impossible[which]
    monkeypatch.setenv("MOE_LESSONS_HOME", str(path))
    assert_verdict_without_progress(capsys, words)


def test_an_empty_setting_is_none(monkeypatch):
    monkeypatch.setenv("MOE_LESSONS_HOME", "")
    assert storage.home().name == "moe-lessons"


def without_a_home(monkeypatch):
    """Take every way to a home away: the variables, and the entry of the user."""

    def unknown(_):
        raise KeyError("uid not found")

    pwd = pytest.importorskip("pwd")
    for name in ("MOE_LESSONS_HOME", "XDG_DATA_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def test_a_user_without_home_and_without_entry(monkeypatch, capsys):
    without_a_home(monkeypatch)
    with pytest.raises(OSError, match="no home folder: this user has none; set the variable MOE_LESSONS_HOME"):
        storage.home()
    assert_verdict_without_progress(capsys, "set the variable MOE_LESSONS_HOME to a folder")
    assert "kept nowhere: no home folder" in repr(progress())


def test_a_system_that_knows_no_data_folder(monkeypatch, capsys):
    def unset(*_, **__):
        raise ValueError("Unset environment variable: LOCALAPPDATA")  # platformdirs, on Windows

    monkeypatch.delenv("MOE_LESSONS_HOME")
    monkeypatch.setattr(storage, "user_data_dir", unset)
    assert_verdict_without_progress(capsys, "no home folder")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody unknown")
def test_a_real_process_of_an_unknown_user():
    code = """
import os
from moe_lessons.checks import check, progress, questions
questions()  # the interpreter may lie where only root can read
os.setgid(54321); os.setuid(54321)
check("1.1", lambda x, weight, bias: x @ weight.T + bias)
print(progress())
"""
    env = {"PATH": os.environ["PATH"], "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", env=env, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "✓ 1.1: correct" in done.stdout
    assert "(Your progress could not be saved: OSError: no home folder: this user has none" in done.stdout
    assert "kept nowhere" in done.stdout


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("mkstemp", OSError(28, "No space left on device")),
        ("mkstemp", OSError(30, "Read-only file system")),
        ("mkstemp", PermissionError(13, "Permission denied")),
        ("lock", NotImplementedError("FileSystem does not appear to support flock")),
        ("lock", PermissionError(13, "Permission denied")),
    ],
)
def test_a_disk_that_cannot_be_written(name, error, monkeypatch, capsys):
    def failing(*_, **__):
        raise error

    target = {"mkstemp": (storage.tempfile, "mkstemp"), "lock": (FileLock, "acquire")}[name]
    monkeypatch.setattr(*target, failing)
    assert_verdict_without_progress(capsys, error.args[-1])


@pytest.mark.parametrize("spoilt", ["{", "[" * 100_000, '{"attempts": 1e999}'])
def test_a_spoilt_record_that_cannot_be_set_aside(spoilt, monkeypatch, capsys, progress_home):
    def read_only(*_):
        raise OSError(30, "Read-only file system")

    path = progress_home / "progress" / "1.1.json"
    path.parent.mkdir(parents=True)
    path.write_text(spoilt, encoding="utf-8")
    monkeypatch.setattr(Path, "replace", read_only)
    assert_verdict_without_progress(capsys, "Read-only")
    assert path.read_text(encoding="utf-8") == spoilt


def test_a_record_that_cannot_be_read_today_is_not_written_over(monkeypatch, capsys, progress_home):
    check(FUNCTION, right)
    path = progress_home / "progress" / "1.1.json"
    before, read = path.read_bytes(), Path.read_text

    def unreadable(self, *args, **kwargs):
        if self == path:
            raise PermissionError(13, "Permission denied")
        return read(self, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", unreadable)
    capsys.readouterr()
    assert_verdict_without_progress(capsys, "Permission denied")
    monkeypatch.undo()
    assert path.read_bytes() == before


def test_a_fault_in_the_table_is_told(monkeypatch):
    monkeypatch.setattr(records, "questions", lambda: 1 / 0)
    assert "Your progress cannot be shown: ZeroDivisionError" in repr(progress())


# --- the lock -----------------------------------------------------------------------------------------------------


class Held:
    """A lock that another thread holds until it is told to give it back."""

    def __init__(self, home):
        path = home / "progress" / "1.1.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.taken, self.free = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.hold, args=(path,))
        self.thread.start()
        self.taken.wait()

    def hold(self, path):
        with FileLock(path):
            self.taken.set()
            self.free.wait(60)

    def give_back(self):
        self.free.set()
        self.thread.join()


@pytest.fixture
def shorter(monkeypatch):
    monkeypatch.setattr(records, "WORD_AFTER", 0.1)
    monkeypatch.setattr(records, "END_AFTER", 0.4)


def test_the_waits_are_two_seconds_and_a_minute():
    assert (records.WORD_AFTER, records.END_AFTER) == (2, 60)


@pytest.mark.usefixtures("shorter")
def test_a_lock_held_for_good_costs_the_count_and_not_the_verdict(capsys, progress_home):
    held = Held(progress_home)
    start = time.perf_counter()
    result = check(FUNCTION, right)
    waited = time.perf_counter() - start
    lines = capsys.readouterr().out.splitlines()
    assert result.status == Status.CORRECT
    assert 0.4 < waited < 30
    assert lines[0] == "✓ 1.1: correct"
    assert lines[-2].startswith("  (Another program holds your progress: ")
    assert "could not be saved: OSError: another program holds it" in lines[-1]
    held.give_back()
    assert records.load("1.1")["attempts"] == 0


@pytest.mark.usefixtures("shorter")
def test_a_lock_that_is_given_back_in_time_is_waited_for(capsys, progress_home, monkeypatch):
    """The verdict comes first, then a word about the wait; once the lock is free, the attempt is counted."""

    class Screen(io.StringIO):
        def write(self, text):
            seen.append((held.thread.is_alive(), text))
            if "Another program holds your progress" in text:
                held.give_back()
            return super().write(text)

    seen, held = [], Held(progress_home)
    with monkeypatch.context() as patched:
        patched.setattr(records, "END_AFTER", 60)
        patched.setattr(sys, "stdout", Screen())
        check(FUNCTION, right)
    assert next(alive for alive, text in seen if "correct" in text)
    assert not next(alive for alive, text in seen if "Attempts: 1." in text)
    check(FUNCTION, right)  # control: nobody holds it
    assert "Another program" not in capsys.readouterr().out


# --- answers ------------------------------------------------------------------------------------------------------


def raising(error):
    def method(*_, **__):
        raise error

    return method


def hostile(error, *names, base=object, **more):
    """Return an object whose methods of these names raise."""
    return type("Hostile", (base,), {name: raising(error) for name in names} | more)


def with_property(error, name):
    """Return a right answer with one attribute that raises when it is looked at."""
    return type(
        "Hostile", (), {name: property(raising(error)), "__call__": lambda self, x, weight, bias: x @ weight.T + bias}
    )()


def raises(error):
    def answer(x, weight, bias):
        raise error

    return answer


def nested(depth):
    found = []
    for _ in range(depth):
        found = [found]
    return found


def knot(kind):
    found = kind()
    found.append(found) if kind is list else found.update(me=found)
    return found


METHODS = ("__repr__", "__eq__", "__bool__", "__array__", "__len__", "__iter__", "__str__", "__float__", "__hash__")
ANSWERS = {
    **{name: lambda error, name=name: hostile(error, name)() for name in METHODS},
    "every attribute": lambda error: hostile(error, "__getattribute__")(),
    "any other attribute": lambda error: hostile(
        error, "__getattr__", __call__=lambda self, x, weight, bias: x @ weight.T + bias
    )(),
    **{
        name: lambda error, name=name: with_property(error, name)
        for name in ("__class__", "__module__", "__signature__", "__wrapped__", "__globals__", "__name__")
    },
    "values of a dict": lambda error: hostile(error, "values", base=dict)(a=1),
    "entries of a dict": lambda error: hostile(error, "items", base=dict)(a=1),
    "a key's text": lambda error: {hostile(error, "__str__")(): 1},
    "entries of a list": lambda error: hostile(error, "__iter__", base=list)([1]),
    "truth of a list": lambda error: hostile(error, "__bool__", "__len__", base=list)([1]),
    "the text of what it raises": lambda error: raises(hostile(error, "__str__", base=Exception)()),
    "the arguments of what it raises": lambda error: raises(
        type("Odd", (NotImplementedError,), {"args": property(raising(error))})()
    ),
    "what it returns": lambda error: (
        lambda x, weight, bias: hostile(error, "__array__", "__repr__", "__len__", "__eq__")()
    ),
    "something like a tensor": lambda error: hostile(error, "detach", __module__="torch")(),
}


def assert_a_calm_word(capsys, question, answer):
    result = check(question, answer)
    printed = capsys.readouterr().out
    assert result.status in (Status.CORRECT, Status.NOT_YET, Status.RAISED)
    assert 1 < len(printed.splitlines()) < 20
    assert "fault of the course" not in printed
    assert "Traceback" not in printed
    compare(answer, 1.0)
    compare(1.0, answer)
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit(3), GeneratorExit(), RecursionError()], ids=repr)
@pytest.mark.parametrize("what", ANSWERS)
def test_an_answer_that_resists_being_looked_at(what, error, capsys):
    for question in (FUNCTION, ARRAY, DICT):
        assert_a_calm_word(capsys, question, ANSWERS[what](error))


ODD = {
    "a list in itself": lambda: knot(list),
    "a dict in itself": lambda: knot(dict),
    "a deep list": lambda: nested(100_000),
    "a module": lambda: np,
    "a class": lambda: int,
    "a class without a name": lambda: type("Meta", (type,), {"__name__": property(raising(OSError()))})("A", (), {}),
    "a huge number": lambda: 10**5000,
    "a generator": lambda: (i for i in range(3)),
    "half a character": lambda: "\ud800",
    "half a character as key": lambda: {"\ud800": 1},
    "printing half a character": lambda: lambda x, weight, bias: print("\ud800") or x @ weight.T + bias,
    "a tensor without numbers": lambda: torch.zeros(3, device="meta"),
    "a sparse tensor": lambda: torch.eye(3).to_sparse(),
    "an array of objects": lambda: np.array([object()]),
    "an array of texts": lambda: np.array(["a"]),
    "a complex number": lambda: 1j,
    "bytes": lambda: b"x",
}


@pytest.mark.parametrize("what", ODD)
def test_odd_answers(what, capsys):
    for question in (FUNCTION, ARRAY, DICT):
        assert_a_calm_word(capsys, question, ODD[what]())


class Endless(dict):
    def values(self):
        while True:
            pass


class Unspeakable(Exception):
    def __str__(self):
        while True:
            pass


@pytest.mark.parametrize("answer", [Endless(a=1), raises(Unspeakable())], ids=["looked at", "described"])
def test_an_answer_that_never_ends_being_looked_at_is_stopped(answer, monkeypatch, capsys):
    import dataclasses

    monkeypatch.setitem(questions(), FUNCTION, dataclasses.replace(questions()[FUNCTION], seconds=0.2))
    result = check(FUNCTION, answer)
    assert result.status in (Status.RAISED, Status.NOT_YET)
    assert "fault" not in capsys.readouterr().out


@pytest.mark.parametrize("where", [Endless, "refused", "_stopped"])
def test_the_learners_own_interrupt_passes_wherever_it_comes(where, monkeypatch):
    if isinstance(where, str):
        monkeypatch.setattr(attempt, where, raising(KeyboardInterrupt()))
        answer = raises(ValueError())
    else:
        answer = hostile(KeyboardInterrupt(), "values", base=dict)(a=1)
    with pytest.raises(KeyboardInterrupt):
        check(DICT if where is Endless else FUNCTION, answer)


# --- questions, seeds, screens ------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit(3)], ids=repr)
def test_a_question_that_cannot_be_written(error, capsys):
    result = check(hostile(error, "__str__")(), right)
    assert (result.status, result.question) == (Status.UNKNOWN, "?")
    assert check("x" * 1_000_000, right).status == Status.UNKNOWN
    assert len(capsys.readouterr().out) < 600


@pytest.mark.parametrize("seed", ["x", -1, 1.5, object()])
def test_a_seed_that_is_none(seed):
    assert check(FUNCTION, right, seed=seed).status == Status.FAULT


def test_questions_that_cannot_be_loaded(monkeypatch, capsys):
    from moe_lessons.checks import engine

    monkeypatch.setattr(engine, "questions", raising(SyntaxError("in a question")))
    assert check(FUNCTION, right).status == Status.FAULT
    assert "SyntaxError: in a question" in capsys.readouterr().out


class Broken(io.StringIO):
    def write(self, text):
        raise BrokenPipeError(32, "Broken pipe")


def closed():
    screen = io.StringIO()
    screen.close()
    return screen


@pytest.mark.parametrize("screen", [None, closed(), Broken(), object()], ids=["none", "closed", "broken", "odd"])
def test_a_screen_that_takes_nothing(screen, monkeypatch):
    monkeypatch.setattr(sys, "stdout", screen)
    result = check(FUNCTION, right)
    compare(1, 2)
    assert result.status == Status.CORRECT
    assert records.load("1.1")["correct"] is True


@pytest.mark.parametrize("coding", ["ascii", "cp1252"])
def test_a_screen_without_these_characters(coding, monkeypatch):
    screen = io.TextIOWrapper(io.BytesIO(), encoding=coding)
    monkeypatch.setattr(sys, "stdout", screen)
    check(FUNCTION, lambda x, weight, bias: print("漢") or x @ weight.T + bias)
    compare(1, 2, "τ")
    assert screen.buffer.getvalue().decode(coding).startswith("? 1.1: correct")
    assert "| ?" in screen.buffer.getvalue().decode(coding)
