"""Where a stranger's notebook runs: a process that sees the course and its libraries, and can change nothing.

bubblewrap builds it: a read-only view, no network, no other processes, a small disk in memory, fewer system calls.
Started by a user it has a user namespace; started by root it has none, and the worker becomes an unprivileged user
before it reads the notebook: root's processes are not counted, so a fork bomb of root's would not end.
"""

import contextlib
import itertools
import math
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from moe_lessons.grading import syscalls, wire
from moe_lessons.grading.lending import Lending
from moe_lessons.grading.patience import Patience, Used, Work, family, told

PACKAGE = Path(__file__).parents[1]
START = "import sys; sys.path.append({!r}); from moe_lessons.grading import worker; worker.main({}, {}, {})"
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "MPLBACKEND": "agg",
    "PYTHONHASHSEED": "0",
    **{f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "NUMEXPR")},
}
FIRST_UID = 1 << 30  # far from any user: each worker has a number of its own, so each counts its own processes
TOO_MUCH_MEMORY = "too much memory"
WATCH_SECONDS = 0.25  # between two looks at the memory and the CPU time in use
AS_IT_IS = {"definitions_only": False, "count": None, "skipped": None}  # how a cell is run
NOTHING = {"do": "cell", "source": "", "number": 1, **AS_IT_IS, "seconds": 10.0, "wall": 60.0}
NO_CELL = "the sandbox runs no cell (before Linux 5.14, its limit of processes counts all those of the user)"
_count = itertools.count()


@dataclass(frozen=True)
class Limits:
    """What a submission may use. Seconds are CPU seconds; the clock's limit is `wall` times larger.

    A question's budget is its own `seconds`, times `patience`: no machine of the grader's is as quick as the learner's.
    """

    cell_seconds: float = 60.0
    all_seconds: float = 600.0
    all_wall_seconds: float = 1800.0
    patience: float = 2.0
    wall: float = 10.0
    memory: int = 2 * 2**30  # of one process, beyond what the libraries take
    all_memory: int = 6 * 2**30  # of all processes; pages that forks have in common count for each
    processes: int = 32
    file_bytes: int = 64 * 2**20
    disk_bytes: int = 256 * 2**20
    slack_seconds: float = 20.0  # of the clock's, that the worker may take beyond its limits before it is given up
    restarts: int = 10
    start_seconds: float = 120.0  # of the clock's


@dataclass(frozen=True)
class Sandbox:
    """How workers are started. trusted: without bubblewrap, for notebooks of people one trusts."""

    trusted: bool = False
    limits: Limits = field(default_factory=Limits)

    def start(self) -> "Running":
        """Start a worker. Raises OSError when it cannot be had."""
        return Running(self)

    def command(self, descriptor: int, uid: int, calls: int) -> list[str]:
        """Return the command line of a worker that is spoken to on the socket `descriptor`.

        calls: the descriptor of a file with the filter of system calls.
        """
        processes = 0 if self.trusted else self.limits.processes
        start = START.format(str(PACKAGE.parent), descriptor, uid, processes)
        python = [sys.executable, "-B", "-s", "-P", "-c", start]
        return python if self.trusted else [*_bubblewrap(self.limits, calls), *python]


def _bubblewrap(limits: Limits, calls: int) -> list[str]:
    """Return the command line that builds the sandbox; the worker's own follows it."""
    arguments = [shutil.which("bwrap") or "bwrap", "--die-with-parent", "--new-session", "--clearenv"]
    arguments += ["--seccomp", str(calls)]
    arguments += [f"--unshare-{kind}" for kind in ("pid", "net", "ipc", "uts", "cgroup-try")]
    if os.geteuid() != 0:
        arguments += ["--unshare-user", "--uid", "65534", "--gid", "65534"]
    for name, value in ENVIRONMENT.items():
        arguments += ["--setenv", name, value]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    for disk in ("/tmp", "/dev/shm"):
        arguments += ["--perms", "1777", "--size", str(limits.disk_bytes), "--tmpfs", disk]
    for source in _visible():
        for parent in reversed(Path(source).parents[:-1]):  # bubblewrap would make them for root alone
            arguments += ["--perms", "0755", "--dir", str(parent)]
        arguments += (
            ["--symlink", os.readlink(source), source] if os.path.islink(source) else ["--ro-bind", source, source]
        )
    return [*arguments, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp", "--"]


def _visible() -> list[str]:
    """Return what a worker sees: system libraries, the interpreter, its packages, the course's package."""
    system = [path for path in ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache") if os.path.lexists(path)]
    own = {os.path.abspath(path) for path in (sys.prefix, sys.base_prefix, sys.exec_prefix, str(PACKAGE))}
    return system + sorted(path for path in own if not path.startswith("/usr/"))


def in_sight(path: Path) -> str:
    """Return the folder in which a worker would see this path, or nothing where it sees none of it."""
    real = os.path.realpath(path)
    return next((source for source in _visible() if Path(real).is_relative_to(os.path.realpath(source))), "")


class Running:
    """A worker that runs: ask it things, then stop it. used: what the latest asking took, as seen from here."""

    used, most_work = Used(), math.inf

    def __init__(self, sandbox: Sandbox) -> None:
        ours, theirs = socket.socketpair()
        uid = next_uid() if _is_root() and not sandbox.trusted else 0
        self.channel, self.most_memory, self.next_look = ours, sandbox.limits.all_memory, 0.0
        self.folder = tempfile.TemporaryDirectory(prefix="grading-", ignore_cleanup_errors=True)
        self.errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        with theirs, tempfile.TemporaryFile() as calls:
            calls.write(b"" if sandbox.trusted else syscalls.program(platform.machine()))
            calls.seek(0)
            self.process = subprocess.Popen(
                sandbox.command(theirs.fileno(), uid, calls.fileno()),
                pass_fds=[theirs.fileno(), calls.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self.errors,
                cwd=self.folder.name,
                env=ENVIRONMENT | ({"HOME": self.folder.name} if sandbox.trusted else {}),
                start_new_session=True,
            )
        self.work = Work(self.process.pid)

    def ask(
        self, request: Mapping[str, Any], seconds: float, cpu: float = math.inf, lending: Lending | None = None
    ) -> dict[str, Any]:
        """Send a request, return the reply, within seconds of the clock and of the CPU time of all its processes.

        lending: answers the calls that come before the reply. Raises TimeoutError, wire.Closed, wire.Malformed.
        """
        patience, before = Patience(self.process.pid), self.work.spent()
        self.most_work = before + cpu
        try:
            wire.send(self.channel, dict(request), self._watch)
            reply = wire.receive(self.channel, seconds, self._watch, patience.spent)
            while lending and isinstance(reply, dict) and "call" in reply:
                wire.send(self.channel, lending.answer(reply["call"]), self._watch)
                reply = wire.receive(self.channel, seconds, self._watch, patience.spent)
        finally:
            self.used = Used(self.work.spent() - before, patience.spent())
        if self.used.cpu > cpu:
            raise TimeoutError
        if not isinstance(reply, dict):
            raise wire.Malformed("the reply is no dict")
        return reply

    def _watch(self) -> None:
        """Look at the memory and the CPU time in use, now and then."""
        if time.monotonic() > self.next_look:
            self.next_look = time.monotonic() + WATCH_SECONDS
            members = family(self.process.pid)
            if self.work.spent(members) > self.most_work:
                raise TimeoutError
            if _memory(members) > self.most_memory:
                raise wire.Closed(TOO_MUCH_MEMORY)

    def stop(self) -> None:
        """End the worker and all that it started."""
        self.channel.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.errors.close()
        self.folder.cleanup()

    def complaint(self) -> str:
        """Return what bubblewrap or Python wrote before the worker ran."""
        self.errors.seek(0)
        return self.errors.read(2000).decode(errors="replace").strip()


def _memory(pids: list[int]) -> int:
    """Return the bytes of memory that processes have in use."""
    pages = sum(int(count) for pid in pids for count in told(Path(f"/proc/{pid}/statm")).split()[1:2])
    shared = {mapping for pid in pids for mapping in _shared(pid)}
    return pages * os.sysconf("SC_PAGESIZE") + sum(size for *_, size in shared)


def _shared(pid: int) -> Iterator[tuple[str, str, str, int]]:
    """Yield device, inode, offset and bytes of each shared mapping: its pages need not show in any process."""
    for line in told(Path(f"/proc/{pid}/maps")).splitlines():
        addresses, flags, offset, device, inode, *_ = line.split()
        if flags.endswith("s"):
            start, end = addresses.split("-")
            yield device, inode, offset, int(end, 16) - int(start, 16)


def next_uid() -> int:
    """Return a user number that no other running worker has: the limit of processes is counted by user."""
    return FIRST_UID + (os.getpid() % 2**20 << 8) + next(_count) % 2**8


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def available(limits: Limits | None = None) -> Sandbox | str:
    """Return a sandbox that was seen to work, or the reason why there is none."""
    if not sys.platform.startswith("linux"):
        return "the sandbox is made by bubblewrap, which is for Linux"
    if not shutil.which("bwrap"):
        return "bubblewrap is not installed (the program bwrap; on Debian and Ubuntu: apt install bubblewrap)"
    if platform.machine() not in syscalls.ARCHITECTURES:
        return f"which system calls to forbid is not known for this machine, {platform.machine()}"
    return _seen_to_work(Sandbox(limits=limits or Limits()))


def trusted(limits: Limits | None = None) -> Sandbox | str:
    """Return a sandbox that protects from nothing but loops and crashes, or the reason why there is none."""
    if not hasattr(os, "fork"):
        return "grading needs fork, which this system lacks: on Windows use WSL"
    return _seen_to_work(Sandbox(trusted=True, limits=limits or Limits()))


def _seen_to_work(sandbox: Sandbox) -> Sandbox | str:
    """Try the sandbox on a cell that does nothing."""
    try:
        running = sandbox.start()
    except OSError as error:
        return f"the sandbox cannot be started: {error}"
    failed = "the sandbox does not start"
    try:
        running.ask(beginning(sandbox, [], {}), sandbox.limits.start_seconds)
        failed = NO_CELL
        said = running.ask(NOTHING, sandbox.limits.start_seconds)
        return sandbox if said.get("ended") == "ran" else f"{failed}: {said}"
    except (OSError, wire.Closed, wire.Malformed) as error:
        return f"{failed}: {running.complaint() or error}"
    finally:
        running.stop()


def beginning(
    sandbox: Sandbox, modules: list[str], asked: dict[str, tuple[str, int]], seconds: float = 0.0, torch: str = ""
) -> dict[str, Any]:
    """Return the first request to a worker: what to load, the name and the points of each question, its limits.

    seconds: of CPU time that the longest answer may take. torch: "", "tensors" or "optimiser", as `needs_torch` has it.
    """
    limits = sandbox.limits
    longest = max(limits.cell_seconds, seconds)
    limited = {"seconds": longest, "memory": limits.memory, "file_bytes": limits.file_bytes}
    loaded = {"modules": modules, "torch": torch}
    return {"do": "begin", **loaded, "asked": asked, "alone": not sandbox.trusted, **limited}
