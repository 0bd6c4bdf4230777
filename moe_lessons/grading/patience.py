"""How long something has been waited for, whatever else the machine does, and how much it worked meanwhile.

A deadline by the clock alone depends on the load: beside seven others, one second of work takes eight. So time in which
processes stand in line for a processor does not count, as far as the system tells (Linux does). Sleeping counts.
"""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from glob import glob
from pathlib import Path

MOST = 10.0  # times as long as asked, however busy the machine
LOOK_SECONDS = 0.05  # between two looks at all processes: so many more answers of a clock cost nothing


@dataclass(frozen=True)
class Used:
    """Seconds of CPU time, and those of the clock that count."""

    cpu: float = 0.0
    clock: float = 0.0


class Work:
    """The CPU time of a process and all that ever descended from it, wherever they went. It never falls.

    Of those that are gone it is in the account of who waited for them: in a sandbox its first process does, at last.
    Where nobody waits, because a program wants it so, their last reading stays.
    """

    def __init__(self, pid: int) -> None:
        self.pid, self.seconds = pid, 0.0
        self.latest: dict[int, float] = {}

    def spent(self, members: Iterable[int] | None = None) -> float:
        """Return the seconds up to now. members: the process's `family`, where somebody knows it already."""
        alive = {member: own_and_waited_for(member) for member in members or family(self.pid)}
        for member, (own, _) in alive.items():
            self.latest[member] = max(own, self.latest.get(member, 0.0))
        self.seconds = max(self.seconds, sum(map(sum, alive.values())), sum(self.latest.values()))
        return self.seconds


class Patience:
    """A clock that begins now and goes slower while a process and its descendants stand in line for a processor."""

    def __init__(self, pid: int) -> None:
        self.pid, self.begin = pid, time.monotonic()
        self.latest = {member: line_and_work(member) for member in family(pid)}
        self.first = self._totals()
        self.looked, self.known = -LOOK_SECONDS, 0.0  # when, after the beginning, and what was seen

    def spent(self) -> float:
        """Return the seconds that count: those of the clock less those in line, or those of work if these are more.

        Processes that stand in each other's way thus gain nothing.
        """
        elapsed = time.monotonic() - self.begin
        if elapsed - self.looked >= LOOK_SECONDS:
            self.looked, self.known = elapsed, self._seen(elapsed)
        return self.known + (elapsed - self.looked)

    def _seen(self, elapsed: float) -> float:
        """Return the seconds that count, by a look at all processes."""
        for member in family(self.pid):  # of one that is gone, the last reading stays
            now, last = line_and_work(member), self.latest.get(member, (0.0, 0.0))
            self.latest[member] = (max(now[0], last[0]), max(now[1], last[1]))
        in_line, at_work = (now - before for now, before in zip(self._totals(), self.first, strict=True))
        return max(elapsed - in_line, at_work, elapsed / MOST)

    def _totals(self) -> tuple[float, float]:
        """Return the seconds in line and at work of all processes seen so far."""
        return sum(line for line, _ in self.latest.values()), sum(work for _, work in self.latest.values())


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it, as far as the system tells."""
    children = [child for words in _told_of_threads(pid, "children") for child in words]
    return [pid, *(other for child in children for other in family(int(child)))]


def line_and_work(pid: int) -> tuple[float, float]:
    """Return the seconds in which a process's threads stood in line, and in which they ran; 0 where nobody tells."""
    known = [(int(words[1]) / 1e9, int(words[0]) / 1e9) for words in _told_of_threads(pid, "schedstat") if words]
    return sum(line for line, _ in known), sum(work for _, work in known)


def own_and_waited_for(pid: int) -> tuple[float, float]:
    """Return a process's seconds of CPU time, and those of its dead that were waited for; 0 where nobody tells."""
    words = told(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    if len(words) < 15:
        return 0.0, 0.0
    user, system, users, systems = (int(word) / os.sysconf("SC_CLK_TCK") for word in words[11:15])
    return user + system, users + systems


def _told_of_threads(pid: int, what: str) -> list[list[str]]:
    """Return the words that the system says of each thread of a process; nothing of one that ends meanwhile."""
    return [told(Path(path)).split() for path in glob(f"/proc/{pid}/task/*/{what}")]


def told(path: Path) -> str:
    """Return what the system says of a process; nothing where it is gone."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
