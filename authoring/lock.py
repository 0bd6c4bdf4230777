"""Write requirements.lock: exact versions, for every system and Python that the course supports."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADER = """\
# The exact versions that `make` installs, whatever the system. `make lock` writes them, from pyproject.toml.
# CUDA packages are left out: which build of PyTorch comes, with CUDA or without, is up to your pip settings.
"""
EXTRAS = ("dev", "real-routers")  # not bench: nobody should install what only a comparison needs
CUDA = re.compile(r"nvidia-|cuda-|triton")


def resolve() -> str:
    """Return uv's resolution of pyproject.toml with EXTRAS, a line a package."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal"]
    command += [f"--extra={name}" for name in EXTRAS]
    command += ["--python-version=3.11", "--no-emit-find-links", "--no-header", "--no-annotate"]
    done = subprocess.run([*command, "pyproject.toml"], cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8", check=True)
    return done.stdout


def tidy(resolution: str) -> str:
    """Return the text of the lock: without CUDA packages, and without build tags as in 2.13.0+cpu."""
    lines = [re.sub(r"\+\w+", "", line) for line in resolution.splitlines() if not CUDA.match(line)]
    return HEADER + "\n".join(lines) + "\n"


def main() -> None:
    """Write the lock, or stop where uv did."""
    try:
        lock = tidy(resolve())
    except subprocess.CalledProcessError:
        raise SystemExit("uv could not choose versions: its message is above.") from None
    (ROOT / "requirements.lock").write_text(lock, encoding="utf-8", newline="\n")
    print("requirements.lock written. Next: make test")


if __name__ == "__main__":
    main()
