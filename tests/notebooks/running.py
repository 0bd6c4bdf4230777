"""Executes a notebook in a real kernel that can reach nothing but this machine."""

import json
import os
from pathlib import Path

import nbformat
from checked import checked, place, startup
from keeping import once
from nbclient import NotebookClient

from moe_lessons.widgets.page import VARIABLE

ROOT = Path(__file__).parents[2]

# Runs inside the kernel before the first cell: loopback only, so that a hidden download fails here and now.
REFUSE_NETWORK = """
import ipaddress
import socket


def _is_loopback(address):
    if not isinstance(address, tuple):
        return True  # a Unix socket
    host = address[0]
    return host in ("", "localhost") or ipaddress.ip_address(host.split("%")[0]).is_loopback


def _guarded(method):
    def call(self, address, *rest):
        if not _is_loopback(address):
            raise ConnectionRefusedError(f"this notebook tried to reach {address}")
        return method(self, address, *rest)

    return call


def _no_lookup(host, *rest, **settings):
    if host not in (None, "", b"", "localhost", "127.0.0.1", "::1"):
        raise ConnectionRefusedError(f"this notebook tried to look up {host}")
    return _lookup(host, *rest, **settings)


_lookup = socket.getaddrinfo
socket.getaddrinfo = _no_lookup
for name in ("connect", "connect_ex"):
    setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))


def _guarded_sendto(self, data, *rest):
    if not _is_loopback(rest[-1]):
        raise ConnectionRefusedError(f"this notebook tried to reach {rest[-1]}")
    return _sendto(self, data, *rest)


_sendto = socket.socket.sendto
socket.socket.sendto = _guarded_sendto
"""

# Runs before the first cell, too: counts what the processor works for each, however busy the machine is.
METER = """
import os


def _meter(now=os.times):
    work = get_ipython().work = []  # CPU seconds of the cells that ran; of the one that runs, less the time it began
    get_ipython().events.register("pre_run_cell", lambda _: work.append(-sum(now()[:4])))
    get_ipython().events.register("post_run_cell", lambda _: work.append(work.pop() + sum(now()[:4])))


_meter()
del os, _meter
"""

# Runs after the last cell.
LOADED = """
import json
import sys

ours = [module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "moe_lessons"]
work = get_ipython().work[:-1]
print(json.dumps({"modules": ours, "loaded_torch": "torch" in sys.modules, "work": work}))
"""


def run(notebook: nbformat.NotebookNode, folder: Path, work: Path, timeout: int = 300) -> nbformat.NotebookNode:
    """Execute `notebook` with `folder` as the working directory; errors stay in the outputs. `work` holds settings.

    Beside what learners see, each widget leaves what a page of the web edition needs of it.
    """
    scripts = work / "ipython" / "profile_default" / "startup"
    scripts.mkdir(parents=True, exist_ok=True)
    (scripts / "00-no-network.py").write_text(REFUSE_NETWORK, encoding="utf-8")
    (scripts / "01-meter.py").write_text(METER, encoding="utf-8")
    (scripts / "02-promises.py").write_text(startup(notebook), encoding="utf-8")
    env = {**os.environ, "IPYTHONDIR": str(work / "ipython"), "MOE_LESSONS_HOME": str(work / "progress"),
           "MPLBACKEND": "module://matplotlib_inline.backend_inline", VARIABLE: "1"}  # fmt: skip
    client = NotebookClient(notebook, timeout=timeout, allow_errors=True, kernel_name="python3",
                            shutdown_kernel="immediate", resources={"metadata": {"path": str(folder)}})  # fmt: skip
    client.execute(env=env)
    return notebook


def measured(notebook: nbformat.NotebookNode, folder: Path, work: Path, timeout: int = 300) -> nbformat.NotebookNode:
    """Execute as `run` does, and note what was loaded, and for each cell the seconds that the processor worked."""
    notebook.cells.append(nbformat.v4.new_code_cell(LOADED))
    result = run(notebook, folder, work, timeout)
    result.metadata.update(json.loads(result.cells.pop().outputs[0].text))
    ran = (cell for cell in result.cells if cell.get("execution_count"))
    for cell, seconds in zip(ran, result.metadata.pop("work"), strict=True):
        cell.metadata["seconds"] = seconds
    return result


def executed(path: Path, shared: Path) -> nbformat.NotebookNode:
    """Return the executed copy of a notebook, running it if there is none of just this content yet."""
    if path.parent.name == "notebooks":
        return executed_once(checked(path), path, shared)
    return executed_pair(path, shared)[path.parent.name == "solutions"]


def executed_pair(path: Path, shared: Path) -> tuple[nbformat.NotebookNode, nbformat.NotebookNode]:
    """Return the exercises and the solutions of a set, executed in one kernel: to start one takes as long as they do.

    Before the solutions it forgets what the exercises have defined.
    """
    exercises, solutions = (checked(ROOT / folder / path.name) for folder in ("exercises", "solutions"))
    both, first = exercises.copy(), len(exercises.cells)
    forget = nbformat.v4.new_code_cell("%reset -f", id="forget")
    both.cells = [*exercises.cells, forget, *(_renamed(cell, f"solved-{cell.id}") for cell in solutions.cells)]
    done = executed_once(both, path, shared, path.stem)
    exercises.cells, solutions.cells = done.cells[:first], done.cells[first + 1 :]
    return exercises, solutions


def executed_once(notebook: nbformat.NotebookNode, path: Path, shared: Path, name: str = "") -> nbformat.NotebookNode:
    """Return `notebook` executed, where `path` lies: its own prose, and outputs that may be those of a kept copy."""
    name = name or f"{path.parent.name}-{path.stem}"

    def noted(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
        return measured(notebook, path.parent, shared / name)

    copy = nbformat.read(once(notebook, name, noted, shared), as_version=4)
    ran = iter([cell for cell in copy.cells if cell.cell_type == "code"])
    copy.cells = [_renamed(next(ran), cell.id) if cell.cell_type == "code" else cell for cell in notebook.cells]
    return copy


def _renamed(cell: nbformat.NotebookNode, name: str) -> nbformat.NotebookNode:
    cell.id = name
    return cell


def printed(notebook: nbformat.NotebookNode) -> str:
    """Return everything a notebook printed, what was kept back included."""
    outputs = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
    return "".join(o.text if o.output_type == "stream" else on_a_card(o) or kept_back(o) for o in outputs)


def on_a_card(output: nbformat.NotebookNode) -> str:
    """Return the lines beneath a verdict's card, or nothing."""
    data = output.get("data", {}) if output.output_type == "display_data" else {}
    return f"{data['text/plain']}\n" if "moe-card" in data.get("text/html", "") else ""


def kept_back(output: nbformat.NotebookNode) -> str:
    """Return the closed fold that an output is, or nothing."""
    html = output.get("data", {}).get("text/html", "")
    return html if '<details class="moe-withheld">' in html else ""


def errors(notebook: nbformat.NotebookNode) -> list[str]:
    """Return `place: error` for every cell that raised; the place is a line of the source where that is known."""
    return [
        f"{place(notebook, output) or cell.id}: {output.ename}: {output.evalue}"
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "error"
    ]
