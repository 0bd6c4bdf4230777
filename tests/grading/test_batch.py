"""Many files: found, divided, graded in any order; a crash is a row, an interruption loses nothing."""

import hashlib
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver
from pathlib import Path

import pytest

from moe_lessons.grading import batch
from moe_lessons.grading.batch import alone, find, known, look, part, run
from moe_lessons.grading.records import Ended
from moe_lessons.grading.store import Store

NAMES = [f"learner{i}/04.ipynb" for i in range(9)]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "marks.d", "basis")


def test_notebooks_are_found_in_order_and_the_rest_is_named(submissions):
    folder = submissions(
        {
            "bob/x.ipynb": "",
            "ann/b/y.IPYNB": "",
            "ann/essay.pdf": "",
            "ann/.ipynb_checkpoints/x-checkpoint.ipynb": "",
            ".hidden.ipynb": "",
            "z.ipynb": "",
        }
    )
    (folder / "folder.ipynb").mkdir()
    found = find(folder)
    assert found.files == ["ann/b/y.IPYNB", "bob/x.ipynb", "z.ipynb"]
    assert found.passed_over == ["ann/essay.pdf"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no links and pipes as on Unix")
def test_links_and_pipes_are_not_followed(submissions, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.ipynb").write_text("x", encoding="utf-8")
    folder = submissions({"ann/04.ipynb": ""})
    (folder / "ann" / "link.ipynb").symlink_to(tmp_path / "outside" / "secret.ipynb")
    (folder / "ann" / "broken.ipynb").symlink_to("nowhere")
    (folder / "bob").symlink_to(tmp_path / "outside")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.ipynb")
    found = find(folder)
    assert found.files == ["ann/04.ipynb"]
    assert found.passed_over == [f"{name} (a link)" for name in ("ann/broken.ipynb", "ann/link.ipynb", "bob", "loop")]


@pytest.fixture
def closed(monkeypatch):
    """A function after which the system lets nobody look into a folder: modes would not hold root back."""

    def close(module, name, what):
        real = getattr(module, name)

        def refusing(path, *more, **options):
            if os.fspath(path) == os.fspath(what):
                raise PermissionError(13, "Permission denied", os.fspath(path))
            return real(path, *more, **options)

        monkeypatch.setattr(module, name, refusing)

    return close


def test_a_folder_that_cannot_be_read_is_named(submissions, closed):
    folder = submissions({"ann/04.ipynb": "", "bob/in/04.ipynb": "", "bob/x.ipynb": ""})
    assert find(folder).complete
    closed(os, "scandir", folder / "bob" / "in")
    found = find(folder)
    assert found.files == ["ann/04.ipynb", "bob/x.ipynb"]
    assert found.passed_over == ["bob/in (cannot be read: Permission denied)"]
    assert not found.complete


def test_nothing_is_found_where_the_whole_folder_cannot_be_read(submissions, closed):
    folder = submissions({"ann/04.ipynb": ""})
    closed(os, "scandir", folder)
    with pytest.raises(PermissionError):
        find(folder)


def test_a_file_that_cannot_even_be_looked_at_is_found(submissions, closed):
    folder = submissions({"ann/04.ipynb": "", "bob/04.ipynb": ""})
    closed(Path, "lstat", folder / "bob" / "04.ipynb")
    assert find(folder).files == ["ann/04.ipynb", "bob/04.ipynb"]


@pytest.mark.parametrize("of", [1, 2, 4, 9, 20])
def test_parts_share_all_files_evenly(of):
    parts = [part(NAMES, i, of) for i in range(1, of + 1)]
    assert sorted(name for one in parts for name in one) == NAMES
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_file_that_is_gone_is_a_row(submissions, store):
    gone = look(submissions({}), "ann/04.ipynb")
    assert (gone.file, gone.learner, gone.ended) == ("ann/04.ipynb", "ann", Ended.UNREADABLE)
    assert gone.reason == "cannot be read: No such file or directory"
    assert known(["ann/04.ipynb"], {"ann/04.ipynb": gone}, store) == {"ann/04.ipynb": gone}


def test_a_file_without_end_is_read_to_the_limit(submissions, monkeypatch):
    folder = submissions({"a.ipynb": "0123456789", "b.ipynb": "0123456789abc"})
    monkeypatch.setattr("moe_lessons.grading.batch.MOST_BYTES", 9)
    assert look(folder, "a.ipynb") == look(folder, "b.ipynb") == hashlib.sha256(b"0123456789").hexdigest()


def digests(made):
    return {name: made.record(name).digest for name in NAMES}


@pytest.mark.parametrize("jobs", [1, 4])
@pytest.mark.parametrize("order", [1, -1])
def test_jobs_and_order_change_nothing(store, made, jobs, order):
    def grade(file):
        time.sleep(0.002 * (hash(file) % 3))
        return made.record(file, made.mark("4.1"))

    run(dict(list(digests(made).items())[::order]), grade, store, jobs, show=False)
    assert known(NAMES, digests(made), store) == {name: made.record(name, made.mark("4.1")) for name in NAMES}


def test_a_crash_is_a_row_and_the_rest_goes_on(store, made):
    def grade(file):
        if file == NAMES[2]:
            raise ZeroDivisionError("oops")
        if file == NAMES[3]:
            raise BrokenProcessPool
        return made.record(file, made.mark("4.1"))

    run(digests(made), grade, store, 2, show=False)
    records = known(NAMES, digests(made), store)
    assert {file for file, record in records.items() if record.ended != Ended.OK} == set(NAMES[2:4])
    assert records[NAMES[2]].reason == "a fault of the grader, please report it: ZeroDivisionError: oops"
    assert records[NAMES[3]].ended == Ended.KILLED
    assert records[NAMES[3]].reason == "the process that graded it died"


def test_an_interruption_keeps_what_is_done_and_nothing_half_done(store, made):
    started = threading.Event()

    def grade(file):
        if file == NAMES[4]:
            raise KeyboardInterrupt  # as Ctrl-C in the middle of one
        if file == NAMES[5]:
            started.set()
        return made.record(file, made.mark("4.1"))

    with pytest.raises(KeyboardInterrupt):
        run(digests(made), grade, store, 1, show=False)
    done = known(NAMES, digests(made), store)
    assert set(NAMES[:4]) <= set(done) < set(NAMES)
    assert NAMES[4] not in done


def test_a_process_of_its_own_may_die():
    assert alone(divmod, 17, 5) == (3, 2)
    with pytest.raises(BrokenProcessPool):
        alone(os._exit, 3)
    with pytest.raises(ZeroDivisionError):
        alone(divmod, 1, 0)
    assert alone(os.getpid) != os.getpid()


def test_an_interrupt_is_left_to_the_batch():
    assert alone(signal.raise_signal, signal.SIGINT) is None


def _leave_interrupts_late(at_once=batch._leave_interrupts):
    signal.raise_signal(signal.SIGINT)
    at_once()


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows: Ctrl-C cannot be held back")
@pytest.mark.parametrize("held", [True, False], ids=["held", "broken control"])
def test_an_interrupt_ends_no_process_that_is_not_ready_for_it(held, monkeypatch):
    monkeypatch.setattr(batch, "_leave_interrupts", _leave_interrupts_late)
    monkeypatch.setattr(forkserver, "_forkserver", forkserver.ForkServer())  # one that is started from here
    monkeypatch.setattr(forkserver, "connect_to_new_process", forkserver._forkserver.connect_to_new_process)
    with ThreadPoolExecutor(1, initializer=batch._hold_interrupts if held else None) as pool:
        lives = pool.submit(alone, divmod, 17, 5)
        assert (lives.exception() is None) == held
    forkserver._forkserver._stop()
