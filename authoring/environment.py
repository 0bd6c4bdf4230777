"""Make .venv and .site and start JupyterLab, for the Makefile. Standard library only: nothing is installed yet."""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
SITE = ROOT / ".site"  # the tools of the web edition
SITE_LOCKS = ("requirements-site.lock", "docs/package-lock.json")
FIRST_LESSON = "notebooks/00_start_here.ipynb"
DEFAULT_PORT = 8888

# No question about news and no look for updates: the course needs no network. Widgets are saved with their notebook, so
# that they are there another day.
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyter-widgets/jupyterlab-manager:plugin": {"saveState": True},
}

# What pip prints, and what to do about it. The first match counts: a lost network, too, ends in
# "No matching distribution".
CAUSES = (
    (
        r"(?i)retrying \(|max retries|name resolution|network is unreachable|failed to connect|timed out",
        "pip could not reach its package index: check the network, and proxy or certificate if you use one. "
        "Then run the same command again; what was downloaded is kept.",
    ),
    (
        r"No space left on device",
        "The disk is full: .venv needs about 2 GB, with CUDA several more. Make room, then run it again.",
    ),
    (
        r"No matching distribution found for (?P<what>\S+)",
        "pip found no {what}. Either its package index is out of reach: check the network, then run the same "
        "command again. Or there is none for this Python and machine: make setup PYTHON=/path/to/another",
    ),
    (r"", "pip failed: its last lines are above. Set that right, then run the same command again."),
)


def stop(sentence: str) -> NoReturn:
    """Print one sentence and end with exit status 1."""
    sys.stdout.flush()
    print(sentence, file=sys.stderr)
    raise SystemExit(1)


def cause(pip_output: str) -> str:
    """Return what to do about a failed pip run, from what pip printed."""
    matches = ((re.search(pattern, pip_output), sentence) for pattern, sentence in CAUSES)
    return next(sentence.format(**match.groupdict()) for match, sentence in matches if match)


def show_status(line: str) -> None:
    """Show pip's latest line in place, on a terminal; a log file needs none of them."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns - 1
        print(f"\r\033[K{line.rstrip()[:width]}", end="", flush=True)


def python_of(venv: Path) -> Path:
    """Return the Python of a virtual environment."""
    return venv / "bin" / "python"


def pip_install(venv: Path, *arguments: str) -> None:
    """Run `pip install` in an environment; when it fails, print its last lines and what to do, and stop."""
    command = [str(python_of(venv)), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    lines: list[str] = []
    with subprocess.Popen(
        [*command, "--progress-bar=off", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as pip:
        for line in pip.stdout or ():
            if not line.startswith("Ignoring "):  # a package for other systems only
                lines.append(line)
                show_status(f"  {line}")
    show_status("")
    if pip.returncode:
        print(*(line.rstrip()[:110] for line in lines[-4:]), sep="\n")
        stop(cause("".join(lines)))


def is_usable(venv: Path) -> bool:
    """Say whether an environment holds pip and the same version of Python as runs this."""
    command = [str(python_of(venv)), "-m", "pip", "--version"]
    try:
        asked = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    except OSError:
        return False
    return f"(python {sys.version_info[0]}.{sys.version_info[1]})" in asked.stdout


def make_venv(venv: Path) -> None:
    """Make an environment unless a usable one is there."""
    if is_usable(venv):
        return
    command = [sys.executable, "-m", "venv", "--clear", str(venv)]
    made = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if made.returncode:
        print(made.stdout + made.stderr)
        stop(f"Python could not make {venv.name}. On Debian or Ubuntu: sudo apt install python3-venv, then again.")


def write_settings() -> None:
    """Set what this JupyterLab does unasked. The file is the course's own; the user's overrides.json goes before it."""
    folder = VENV / "share" / "jupyter" / "lab" / "settings" / "overrides.d"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "moe_lessons.json").write_text(json.dumps(SETTINGS, indent=2) + "\n", encoding="utf-8")


def setup() -> None:
    """Make .venv and install the locked packages, then the course itself."""
    version = ".".join(map(str, sys.version_info[:3]))
    print(f"Setting up .venv with Python {version}: some minutes the first time, seconds later.", flush=True)
    make_venv(VENV)
    pip_install(VENV, "-r", "requirements.lock")
    pip_install(VENV, "--no-deps", "--no-build-isolation", "-e", ".")
    write_settings()


def site() -> None:
    """Make .site unless it is as its locks have it: Sphinx and its like, and what the pages take from npm."""
    locks = [(ROOT / name).read_text(encoding="utf-8") for name in SITE_LOCKS]
    made_from, stamp = "\n".join([str(ROOT), *locks]), SITE / ".ready"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == made_from:
        return
    stamp.unlink(missing_ok=True)
    print("Setting up .site, the tools of the web edition: a minute or two.", flush=True)
    make_venv(SITE)
    pip_install(SITE, "-r", SITE_LOCKS[0])
    npm_install(ROOT / "docs")
    stamp.write_text(made_from, encoding="utf-8")


def npm_install(folder: Path) -> None:
    """Install what the package-lock.json in `folder` names, into its node_modules."""
    if shutil.which("npm") is None:
        stop("npm is missing: install Node.js. On Debian or Ubuntu: sudo apt install npm, then again.")
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    if subprocess.run(command, cwd=folder, check=False).returncode:
        stop("npm failed: its message is above. Check the network, then run the same command again.")


def is_taken(port: int) -> bool:
    """Say whether something answers on this port of this machine."""
    try:
        with socket.create_connection(("localhost", port), timeout=1):
            return True
    except OSError:
        return False


def port_options(wanted: str | None) -> list[str]:
    """Return JupyterLab's options: the wanted port and no other, or nothing, and it takes a free one."""
    if wanted is None:
        if is_taken(DEFAULT_PORT):
            print(f"Port {DEFAULT_PORT} is in use: JupyterLab takes the next free one.", flush=True)
        return []
    if not wanted.isdecimal() or not 1 <= int(wanted) <= 65535:
        stop(f"PORT={wanted}: expected a whole number from 1 to 65535.")
    if is_taken(int(wanted)):
        stop(f"Port {wanted} is in use: choose another, or leave PORT out and JupyterLab finds a free one.")
    return [f"--ServerApp.port={wanted}", "--ServerApp.port_retries=0"]


def lab(port: str | None, further: list[str]) -> NoReturn:
    """Start JupyterLab on the first lesson, in the place of this process, so that Ctrl-C reaches it."""
    options = ["--ServerApp.root_dir=.", f"--LabApp.default_url=/lab/tree/{FIRST_LESSON}"]
    options += port_options(port)
    if os.geteuid() == 0:
        print("You are root: JupyterLab starts with --allow-root.", flush=True)
        options.append("--allow-root")
    write_settings()
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", *options, *further])


def main() -> None:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("task", choices=["setup", "site", "lab"])
    parser.add_argument("--port", help="lab: this port and no other")
    options, further = parser.parse_known_args()
    try:
        if options.task == "lab":
            lab(options.port, further)
        site() if options.task == "site" else setup()
    except KeyboardInterrupt:
        stop("\nStopped. Run the same command again to go on.")


if __name__ == "__main__":
    main()
