"""How long a learner waits: the import of the reference code, and `make lab` until the first cell has run."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import DEVNULL

import lab
from bench import ROOT, Row, summary

IMPORTS = {"import numpy": "import numpy", "import moe_lessons.routing": "import moe_lessons.routing"}


def measure() -> Iterator[Row]:
    """Yield rows for imports, then for JupyterLab if there is a browser."""
    times = import_times(15)
    yield summary("import numpy", times["import numpy"])
    added = [b - a for a, b in zip(*times.values(), strict=True)]
    yield summary("import moe_lessons.routing, beyond numpy", added, 50, loaded())
    if lab.chromium():
        yield from lab_times(3)


def import_times(rounds: int) -> dict[str, list[float]]:
    """Time each import in fresh processes, interleaved, in milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(rounds):
        for name, code in IMPORTS.items():
            timed = f"import time; t = time.perf_counter(); {code}; print((time.perf_counter() - t) * 1000)"
            times[name].append(float(subprocess.check_output([sys.executable, "-c", timed])))
    return times


def loaded() -> str:
    """Say which heavy packages the import of routing loads."""
    code = (
        "import sys, moe_lessons.routing; print([m for m in ('torch', 'matplotlib') if m in sys.modules] or 'neither')"
    )
    return f"loads {subprocess.check_output([sys.executable, '-c', code], text=True).strip()} of torch and matplotlib"


def lab_times(rounds: int) -> Iterator[Row]:
    """Time `make lab` until the server answers, and until the first cell of lesson 00 has run in a browser."""
    answered, ran = [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as work:
            server_ms, cell_ms = lab_once(Path(work))
        answered.append(server_ms)
        ran.append(cell_ms)
    yield summary("make lab until the server answers", answered, 6_000)
    yield summary("make lab until the first cell has run", ran, 12_000)


def lab_once(work: Path) -> tuple[float, float]:
    """Start `make lab` as a learner does, but without opening a window; return both times in milliseconds."""
    port = lab.free_port()
    options = "--no-browser --IdentityProvider.token= --LabApp.expose_app_in_browser=True"
    env = {**os.environ, "JUPYTERLAB_WORKSPACES_DIR": str(work), "MOE_LESSONS_HOME": str(work)}
    started = time.perf_counter()
    command = ["make", "-s", "lab", f"PORT={port}", f"ARGS={options}"]
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=DEVNULL, stderr=DEVNULL, start_new_session=True)
    try:
        lab.wait_for(f"http://127.0.0.1:{port}/api", process)
        server_ms = (time.perf_counter() - started) * 1000
        with lab.page_of(f"http://127.0.0.1:{port}") as page:
            page.open("notebooks/00_start_here.ipynb")
            page.run(page.cell("from moe_lessons.support.environment import report"))
            page.page.get_by_text("Everything the course needs is here").wait_for(timeout=60_000)
            return server_ms, (time.perf_counter() - started) * 1000
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)
