"""Workers for tests, each a fork of one process that has loaded what all need: sixty then cost as much as a few.

With torch among `modules`, all that a question could need of it is loaded.
"""

import socket
from dataclasses import dataclass
from functools import cached_property

from moe_lessons.grading.sandbox import PACKAGE, Running, Sandbox

NURSE = """
import importlib, os, signal, socket, sys
sys.path.append({folder!r})
from moe_lessons.checks import calls
from moe_lessons.grading import forks, worker
for module in {modules}:
    importlib.import_module(module)
if "torch" in sys.modules:
    calls.load_torch(optimiser=True)
signal.signal(signal.SIGCHLD, lambda *_: forks.reap())
channel = socket.socket(fileno={descriptor})
while descriptors := socket.recv_fds(channel, 1, 1)[1]:
    if os.fork() == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        channel.close()
        worker.main(descriptors[0], {uid}, {processes})
    os.close(descriptors[0])
"""


@dataclass(frozen=True)
class Nurse(Sandbox):
    """A sandbox whose first process makes workers."""

    modules: tuple[str, ...] = ()

    def command(self, descriptor, uid, calls):
        """Return the command line of the nurse: the first process, since a worker ends all others that it finds."""
        bubblewrap, *line, _ = super().command(descriptor, uid, calls)
        numbers = {"descriptor": descriptor, "uid": uid, "processes": self.limits.processes}
        return [
            bubblewrap,
            "--as-pid-1",
            *line,
            NURSE.format(folder=str(PACKAGE.parent), modules=self.modules, **numbers),
        ]


@dataclass(frozen=True)
class Nursery(Sandbox):
    """A sandbox of which all workers are forks of one. Call `close` at the end."""

    modules: tuple[str, ...] = ()

    @cached_property
    def nurse(self):
        """The process that makes workers."""
        return Running(Nurse(limits=self.limits, modules=self.modules))

    def hurried(self, limits):
        """Return the same with other limits of time."""
        other = Nursery(limits=limits)
        vars(other)["nurse"] = self.nurse
        return other

    def start(self):
        """Start a worker."""
        return Nursling(self)

    def close(self):
        """End the nurse and all workers."""
        self.nurse.stop()


class Nursling(Running):
    """A worker that a nurse has made."""

    def __init__(self, nursery):
        self.channel, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(nursery.nurse.channel, [b"."], [theirs.fileno()])
        self.process, self.most_memory, self.next_look = nursery.nurse.process, nursery.limits.all_memory, 0.0
        self.complaint, self.work = nursery.nurse.complaint, nursery.nurse.work

    def stop(self):
        """Let it go: it ends, and the next one ends what it has left."""
        self.channel.close()
