"""The process in which a stranger's notebook runs. It sends back plain data; nothing that it says is trusted.

One process holds the state of the notebook. Each cell runs in a fork of it, which becomes the state if it comes
through; each question is tried in a fork whose reply is all that is left of it. A fork that loops, dies or fills its
memory costs nothing else. Threads and timers that a cell leaves behind end with it: its heir is a fork of that fork.
"""

import builtins
import contextlib
import functools
import importlib
import math
import mmap
import os
import random
import resource
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import numpy

from moe_lessons.checks import blocking
from moe_lessons.checks.attempt import Attempt, Status, refused, tried
from moe_lessons.checks.calls import load_torch
from moe_lessons.checks.question import Question
from moe_lessons.grading import forks, older, wire
from moe_lessons.grading.cells import Notebook, Ran
from moe_lessons.grading.companions import lay_out
from moe_lessons.grading.lending import Borrowed

CAME_THROUGH = 77  # how a cell's process ends when its heir carries on
MOST_FILES = 64  # few: what lies in a pipe or a socket is memory that no process shows
MOST_MESSAGE = 10_000
HANDLERS: dict[int, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGPIPE: signal.SIG_IGN,
    signal.SIGXFSZ: signal.SIG_IGN,
}


def main(descriptor: int, uid: int, processes: int) -> NoReturn:
    """Serve one submission on the socket with this descriptor, as user `uid` (0: as whoever runs it)."""
    with contextlib.suppress(OSError):  # should memory run out, these processes go first; later it is not theirs to say
        Path("/proc/self/oom_score_adj").write_text("1000")
    if uid:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if processes:
        resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
    Worker(socket.socket(fileno=descriptor)).serve()


def silence() -> None:
    """Point the standard streams at nothing: 100 MB of output then cost no memory."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)


def tame_torch() -> None:
    """Let torch, where it is loaded, never start threads: a fork has none of them, and would wait for them for ever.

    And compile nothing: that takes longer than all answers, and what is compiled does the same.
    """
    torch: Any = sys.modules.get("torch")
    if torch:
        torch.set_num_threads(1)
        torch.set_num_threads = torch.set_num_interop_threads = lambda count: None
        torch.compile = lambda model=None, **_how: model or (lambda function: function)


class Worker:
    """Serves requests: `begin`, then cells, then questions."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.first = os.getpid()
        self.alone = False
        self.notebook = Notebook({})

    def serve(self) -> NoReturn:
        """Answer requests until the other side closes."""
        while True:
            try:
                request = wire.receive(self.channel)
                if "do" in request:  # else an answer ended before what it had called came back
                    {"begin": self.begin, "cell": self.cell, "try": self.question}[request["do"]](request)
            except wire.Closed:
                os._exit(0)

    def begin(self, request: dict) -> None:
        """Load what the questions need, then give up the right to more memory and larger files."""
        for module in request["modules"]:
            importlib.import_module(module)
        if request["torch"]:
            load_torch(request["torch"] == "optimiser")  # as at home
        tame_torch()
        older.lend()
        random.seed(0)
        numpy.random.seed(0)
        self.notebook = Notebook(request["asked"])
        self.alone = request["alone"]
        lay_out(request.get("files", {}))
        for module in ("moe_lessons.checks", "moe_lessons.checks.engine"):
            vars(sys.modules[module]).update(check=self.notebook.check, progress=lambda: None)
        self._limit_all(request)
        blocking.settle()
        self.built_in, self.modules = dict(vars(builtins)), dict(sys.modules)
        silence()
        wire.send(self.channel, {"ended": "ready"})

    @staticmethod
    def _limit_all(request: dict) -> None:
        """Set what every process may use at most."""
        most = {
            resource.RLIMIT_AS: forks.address_space() + request["memory"],
            resource.RLIMIT_FSIZE: request["file_bytes"],
            resource.RLIMIT_NOFILE: MOST_FILES,
            resource.RLIMIT_CPU: math.ceil(time.process_time() + request["seconds"] + forks.GRACE) + 1,
        }
        for what, limit in most.items():
            with contextlib.suppress(ValueError, OSError):  # macOS knows no limit of address space
                resource.setrlimit(what, (limit, limit))

    def cell(self, request: dict) -> None:
        """Run a cell in a fork. If it comes through, its heir goes on from here, and this process has done its work."""
        mine, theirs = socket.socketpair()
        with forks.report() as report:
            child = os.fork()
            if child == 0:
                mine.close()
                self._run_cell(request, theirs, report)  # only the heir returns from this
                return
            theirs.close()
            ended, _, code = forks.watched(child, request["seconds"], request["wall"])
            said = forks.read(report)
        if code == CAME_THROUGH and forks.greeted(mine):
            self._hand_over(mine, {**said, "ended": "ran"}, said)
        mine.close()
        self._purge()
        wire.send(self.channel, {"ended": ended, "reached": said.get("reached")})

    def _run_cell(self, request: dict, theirs: socket.socket, report: mmap.mmap) -> None:
        """Run the cell, fork the heir, end. The heir waits for the channel, which the cell itself never has."""
        self.channel.close()
        forks.limit_cpu(request["seconds"])
        ran = self._ran(request, report)
        self.tidy()
        self._purge()
        forks.try_to_fork()
        heir = os.fork()
        if heir:
            forks.write(report, {**ran.told(), "heir": heir})
            os._exit(CAME_THROUGH)
        report.close()
        theirs.settimeout(None)
        theirs.sendall(b".")
        _, descriptors, _, _ = socket.recv_fds(theirs, 1, 1)
        theirs.close()
        if not descriptors:
            os._exit(1)
        self.channel = socket.socket(fileno=descriptors[0])

    def _ran(self, request: dict, report: mmap.mmap) -> Ran:
        """Run the cell, and let the report say before each statement which one comes."""
        how = {name: request[name] for name in ("source", "number", "definitions_only", "count", "skipped")}
        return self.notebook.run(**how, reached=functools.partial(forks.write_reached, report))

    def _hand_over(self, mine: socket.socket, reply: dict, said: dict) -> NoReturn:
        """Report, give the channel to the heir, and end; the first process stays."""
        self._purge(said.get("heir"))
        wire.send(self.channel, reply)
        socket.send_fds(mine, [b"."], [self.channel.fileno()])
        forks.drain(mine)
        self.channel.close()
        while os.getpid() == self.first:  # with it the sandbox would end
            signal.pause()
        os._exit(0)

    def question(self, request: dict) -> None:
        """Try the answer of one question in a fork."""
        with forks.report() as report:
            child = os.fork()
            if child == 0:
                self._lend(request)
                forks.limit_cpu(request["seconds"] + forks.GRACE)
                said = self._attempt(request)
                self.tidy()
                forks.write(report, said)
                os._exit(0)
            ended, _, code = forks.watched(child, request["seconds"], request["wall"])
            said = forks.read(report) if code == 0 else {}
        self._purge()
        wire.send(self.channel, {**said, "ended": "ran" if said else ended})

    def _lend(self, request: dict) -> None:
        """Leave the channel to functions that are lent; else an answer's process has none."""
        if request["question"]["fields"].get("helper") == [Borrowed.__module__, Borrowed.__qualname__]:
            Borrowed.channel = self.channel
        else:
            self.channel.close()

    def _attempt(self, request: dict) -> dict:
        """Look for the answer and try it; return the attempt as plain data."""
        question = bare_question(request["question"])
        name = question.answer
        answer = (
            self.notebook.answer_when_checked(name, question.id) if request["checked"] else self.notebook.answer(name)
        )
        try:
            attempt = refused(question, answer) or tried(
                question, answer, request["data"], request["seconds"], cpu=True
            )
        except BaseException as error:  # an interrupt, or an object that raises as soon as it is looked at
            attempt = Attempt(status=Status.RAISED, message=type(error).__name__)
        return _fitting(attempt)

    def tidy(self) -> None:
        """Put back what learner's code may have set and this process relies on."""
        vars(builtins).update(self.built_in)
        sys.modules.update(self.modules)
        sys.settrace(None)
        sys.setprofile(None)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, HANDLERS.get(number, signal.SIG_DFL))

    def _purge(self, *spared: int | None) -> None:
        """Kill whatever a step left running, where this sandbox has its processes to itself."""
        if not self.alone:
            return
        keep = {1, self.first, os.getpid(), os.getppid(), *spared}
        for _ in range(100):
            forks.reap()
            others = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in keep]
            if not others:
                return
            for other in others:
                with contextlib.suppress(OSError):
                    os.kill(other, signal.SIGKILL)
            time.sleep(0.005)


def _fitting(attempt: Attempt) -> dict:
    """Return an attempt as plain data that fits into a reply."""
    said = {"status": str(attempt.status), "message": attempt.message[:MOST_MESSAGE], "reply": attempt.reply}
    try:
        if len(wire.dumps(said)) <= wire.MOST_BYTES - 1000:
            return said
        unfit = "it is more than fits into a reply"
    except (wire.Malformed, MemoryError, RecursionError) as error:
        unfit = str(error) or "it is too large, or nested too deeply"
    if attempt.status == Status.RAISED:
        return said | {"reply": None}  # what came before it raised is not needed
    return {"status": str(Status.NOT_YET), "message": f"What your code gave back is no answer: {unfit}."}


def bare_question(description: dict) -> Question:
    """Return a question that can probe and knows nothing of what is right."""
    cls: Any = getattr(importlib.import_module(description["module"]), description["class"])
    question = object.__new__(cls)
    for name, value in description["fields"].items():
        if name == "helper":
            module, helper = value
            value = getattr(importlib.import_module(module), helper)
        object.__setattr__(question, name, value)
    return question
