"""Grade many files: find them, pass over what is graded already, several at a time, keep each result at once."""

import hashlib
import multiprocessing
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from tqdm import tqdm

from moe_lessons.checks import registry
from moe_lessons.grading.companions import Companions
from moe_lessons.grading.learners import learner
from moe_lessons.grading.records import Ended, Record
from moe_lessons.grading.store import Store
from moe_lessons.grading.submission import MOST_BYTES

Grade = Callable[[str], Record]
ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz")


@dataclass
class Found:
    """What a folder holds: notebooks, as paths with / inside it, in order; and what is no submission.

    complete: whether all folders in it could be read.
    """

    files: list[str] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    complete: bool = True


def find(folder: Path) -> Found:
    """Return the notebooks in `folder` and below, but for hidden ones. Links are not followed: they are passed over.

    Raises OSError when `folder` itself cannot be read.
    """
    found = Found()
    for here, folders, names in os.walk(folder, onerror=partial(_closed, found, folder)):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in [*folders, *names]:
            path = Path(here, name)
            inside, mode = path.relative_to(folder).as_posix(), _mode(path)
            if stat.S_ISLNK(mode):
                found.passed_over.append(f"{inside} (a link)")
            elif stat.S_ISREG(mode) and not name.startswith("."):
                kind = path.suffix.lower()
                packed = " (an archive: unpack it)" if kind in ARCHIVES else ""
                (found.files if kind == ".ipynb" else found.passed_over).append(inside + packed)
    return Found(sorted(found.files), sorted(found.passed_over), found.complete)


def _closed(found: Found, folder: Path, error: OSError) -> None:
    """Name a folder that cannot be read: its files are missing, which nobody would notice otherwise."""
    if Path(error.filename) == folder:
        raise error
    inside = Path(error.filename).relative_to(folder).as_posix()
    found.passed_over.append(f"{inside} (cannot be read: {error.strerror})")
    found.complete = False


def _mode(path: Path) -> int:
    """Return what a path is. One that cannot be asked counts as a file: when that is read, its row says why not."""
    try:
        return path.lstat().st_mode
    except OSError:
        return stat.S_IFREG


def part(files: list[str], which: int, of: int) -> list[str]:
    """Return the files of one machine: the `which`-th, from 1, of `of` parts of nearly the same size."""
    return files[which - 1 :: of]


def look(folder: Path, file: str, beside: Companions | None = None) -> str | Record:
    """Return the digest of a file and what goes with it, or the record of one that cannot be read.

    No more is read than is ever graded.
    """
    try:
        with open(folder / file, "rb") as stream:
            whole = hashlib.sha256(stream.read(MOST_BYTES + 1))
        for name, content in (beside.content if beside else {}).items():
            whole.update(name.encode("utf-8", "surrogatepass") + hashlib.sha256(content).digest())
        return whole.hexdigest()
    except OSError as error:
        return trouble(file, "", Ended.UNREADABLE, f"cannot be read: {error.strerror or error}")


def trouble(file: str, digest: str, ended: Ended, reason: str) -> Record:
    """Return the record of a file that has no marks."""
    return Record(file=file, learner=learner(file).name, digest=digest, ended=ended, reason=reason)


def known(files: Iterable[str], looks: dict[str, str | Record], store: Store) -> dict[str, Record]:
    """Return the records that hold, of those files that have one."""
    records = {}
    for file in files:
        digest = looks[file]
        record = digest if isinstance(digest, Record) else store.load(file, digest)
        if record is not None:
            records[file] = record
    return records


def run(files: dict[str, str], grade: Grade, store: Store, jobs: int, show: bool = True) -> None:
    """Grade the files (path: digest), `jobs` at a time, and keep each record as soon as it is there.

    Ctrl-C stops what is under way and raises KeyboardInterrupt; what was graded before is kept.
    """
    stopping = threading.Event()
    bar = tqdm(total=len(files), unit="file", desc="grading", file=sys.stderr, disable=None if show else True)
    with bar, ThreadPoolExecutor(jobs, initializer=_hold_interrupts) as pool:
        waiting = [pool.submit(_graded, file, digest, grade, store, stopping) for file, digest in files.items()]
        try:
            for done in as_completed(waiting):
                done.result()
                bar.update()
        except BaseException:
            stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise


def _graded(file: str, digest: str, grade: Grade, store: Store, stopping: threading.Event) -> None:
    """Grade one file and keep its record; whatever goes wrong is a record, too.

    It is kept under the name and for the content that were found, whatever the grader calls them.
    """
    try:
        record = replace(grade(file), file=file, learner=learner(file).name, digest=digest)
    except BrokenProcessPool:
        record = trouble(file, digest, Ended.KILLED, "the process that graded it died")
    except Exception as error:
        reason = f"a fault of the grader, please report it: {type(error).__name__}: {error}"
        record = trouble(file, digest, Ended.KILLED, reason)
    if not stopping.is_set():
        store.save(record)


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process of its own, so that nothing that happens there can end the batch.

    Raises BrokenProcessPool when the process dies, and what the function raises.
    """
    with ProcessPoolExecutor(1, mp_context=_context(), initializer=_leave_interrupts) as process:
        return process.submit(function, *arguments).result()


def _hold_interrupts() -> None:
    """Have what this thread starts begin with Ctrl-C held back: it would end a process that cannot leave it yet."""
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        resource_tracker.ensure_running()  # whoever starts it lets Ctrl-C through again
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def _leave_interrupts() -> None:
    """Leave Ctrl-C, which a terminal sends to all, to the process that runs the batch: it ends this one."""
    signal.signal(signal.SIGINT, lambda *_: None)  # not SIG_IGN, which programs started from here would inherit
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _context() -> BaseContext:
    """Return how processes start: as forks of one that has imported the grader, where the system can do that."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["moe_lessons.grading.task", *registry.modules()])
    return context
