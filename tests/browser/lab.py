"""A real JupyterLab in a real Chromium, for tests and benchmarks: start, open, run, and count every request."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Browser, Locator, Page, sync_playwright

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "screenshots"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
                  "--disable-background-networking", "--disable-component-update"]  # fmt: skip
RUNNING: list[Browser] = []
FOLDERS = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime",
           "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "spaces",
           "IPYTHONDIR": "ipython", "MOE_LESSONS_HOME": "progress"}  # fmt: skip

# Asked of JupyterLab itself: its indicator says "idle" before there is a kernel.
IDLE = """() => {
  const session = window.jupyterapp?.shell?.currentWidget?.sessionContext;
  return session?.isReady && session.session?.kernel?.status === 'idle';
}"""
LAST_COUNT = """() => Math.max(0, ...window.jupyterapp.shell.currentWidget.content.widgets
  .map(cell => cell.model.executionCount ?? 0))"""
ALL_RAN = """() => window.jupyterapp.shell.currentWidget.content.widgets
  .filter(cell => cell.model.type === 'code' && cell.model.sharedModel.source.trim())
  .every(cell => cell.model.executionCount !== null && cell.model.executionState !== 'running')"""


def chromium() -> str | None:
    """Return the path of an installed Chromium, if there is one."""
    return next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)


def copy_course(root: Path) -> Path:
    """Copy what a learner opens into `root`, so that running it changes nothing in the repository."""
    for folder in ("notebooks", "exercises", "solutions", "moe_lessons"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_check*"))
    return root


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def server(root: Path, work: Path, theme: str = "JupyterLab Light") -> Iterator[str]:
    """Serve `root` with settings and progress of its own below `work`. Yields the address. Stopped in any case."""
    _write_settings(work / "settings", theme)
    port = free_port()
    arguments = ["--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}",
                 "--ServerApp.port_retries=0", "--IdentityProvider.token=", "--ServerApp.password=",
                 "--ServerApp.disable_check_xsrf=True", f"--ServerApp.root_dir={root}",
                 "--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly",
                 "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]  # fmt: skip
    env = {**os.environ, **{name: str(work / folder) for name, folder in FOLDERS.items()}}
    command = [sys.executable, "-m", "jupyter", "lab", *arguments]
    with open(work / "server.log", "wb") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        try:
            wait_for(f"http://127.0.0.1:{port}/api", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=20)


def _write_settings(folder: Path, theme: str) -> None:
    """Choose the theme, answer the news prompt before it is asked, and keep cells that are scrolled away."""
    for name, settings in {
        "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        "apputils-extension/themes": {"theme": theme},
        "notebook-extension/tracker": {"windowingMode": "none"},
    }.items():
        path = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings), encoding="utf-8")


def wait_for(address: str, process: subprocess.Popen, seconds: float = 60) -> None:
    """Wait until the server answers."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=1)
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"JupyterLab did not answer at {address}; exit code {process.poll()}")


class Lab:
    """One page of a running JupyterLab. `requests` holds every address asked for, `console` every error."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        self.requests: list[str] = []
        self.console: list[str] = []
        page.on("websocket", lambda socket: self.requests.append(socket.url))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.console.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.console.append(str(error)))

    def open(self, path: str) -> None:
        """Open a notebook and wait until its kernel is ready."""
        self.page.goto(f"{self.address}/doc/tree/{path}?reset")
        self.page.wait_for_function(IDLE, timeout=60_000)

    def run_all(self) -> None:
        """Run every cell and wait until all have run."""
        self.command("notebook:run-all-cells")
        self.page.wait_for_function(ALL_RAN, timeout=90_000)
        self.page.wait_for_function(IDLE, timeout=90_000)

    def command(self, name: str) -> None:
        """Execute one of JupyterLab's commands."""
        self.page.evaluate("name => window.jupyterapp.commands.execute(name)", name)

    def cell(self, cell_text: str) -> Locator:
        """Return the code cell whose source contains this text, scrolled into view."""
        cell = self.page.locator(".jp-CodeCell").filter(has=self.page.locator(".cm-content", has_text=cell_text)).first
        cell.scroll_into_view_if_needed()
        return cell

    def replace_source(self, cell: Locator, source: str) -> None:
        """Type over the whole source of a cell, as a learner would, and run it."""
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(source)
        self.run(cell)

    def run(self, cell: Locator) -> None:
        """Run one cell with Shift + Enter."""
        before = self.page.evaluate(LAST_COUNT)
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Shift+Enter")
        self.page.wait_for_function(f"before => ({LAST_COUNT})() > before", arg=before, timeout=60_000)
        self.page.wait_for_function(IDLE, timeout=60_000)

    def strangers(self) -> list[str]:
        """Return the requests that would have left this machine."""
        own = (self.address, self.address.replace("http", "ws"), "data:", "blob:", "about:")
        return [address for address in self.requests if not address.startswith(own)]

    def screenshot(self, name: str, target: Locator | None = None) -> Path:
        """Keep a picture of the page, or of one element, in the git-ignored folder `screenshots`."""
        SCREENSHOTS.mkdir(exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        (target or self.page).screenshot(path=path)
        return path


@contextmanager
def page_of(address: str, width: int = 1280, height: int = 900) -> Iterator[Lab]:
    """Open a page of a Chromium without a history on a running server."""
    with running_browser() as browser:
        context = browser.new_context(viewport={"width": width, "height": height})
        try:
            yield Lab(context.new_page(), address)
        finally:
            context.close()


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Start Chromium, unless a page is open already: Playwright starts once in a process."""
    if RUNNING:
        yield RUNNING[0]
        return
    with sync_playwright() as playwright:
        RUNNING.append(playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS))
        try:
            yield RUNNING[0]
        finally:
            RUNNING.pop().close()


def write_notebook(address: str, name: str, cells: Iterable[str]) -> None:
    """Put a notebook of these code cells into the server's folder."""
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    content = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata=kernel)
    put_notebook(address, name, content)


def put_notebook(address: str, name: str, content: dict) -> None:
    """Put a notebook into the server's folder; it is trusted if its cells say that they are."""
    ask(f"{address}/api/contents/{name}", "PUT", {"type": "notebook", "format": "json", "content": content})


def get_notebook(address: str, name: str) -> dict:
    """Return a notebook of the server's folder, its cells marked as trusted if it is."""
    return ask(f"{address}/api/contents/{name}")["content"]


def shut_down_kernels(address: str) -> None:
    """End every kernel, as "Shut Down All" does."""
    for session in ask(f"{address}/api/sessions"):
        ask(f"{address}/api/sessions/{session['id']}", "DELETE")


def change_setting(address: str, plugin: str, settings: dict) -> None:
    """Change what the user has set for a plugin; pages opened from now on know it."""
    ask(f"{address}/lab/api/settings/{plugin}", "PUT", {"raw": json.dumps(settings)})


def ask(url: str, method: str = "GET", content: object = None) -> Any:
    """Send a request to the server and return its answer, read as JSON."""
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or "null")


@contextmanager
def silent_page(address: str) -> Iterator[Lab]:
    """Yield a fresh page; at the end it asked nobody else and wrote nothing to the console."""
    with page_of(address) as opened:
        yield opened
        assert opened.strangers() == []
        assert opened.console == [], opened.console


@contextmanager
def quiet_page(address: str, name: str, cells: Iterable[str]) -> Iterator[Lab]:
    """Yield a silent page on which these cells ran."""
    write_notebook(address, name, cells)
    with silent_page(address) as opened:
        opened.open(name)
        opened.run_all()
        yield opened
