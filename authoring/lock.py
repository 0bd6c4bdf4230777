"""Write requirements.lock and requirements-site.lock: exact versions, for every system and Python of the course."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADER = """\
# The exact versions that `make` installs, whatever the system. `make lock` writes them, from pyproject.toml.
# CUDA packages are left out: which build of PyTorch comes, with CUDA or without, is up to your pip settings.
"""
SITE_HEADER = """\
# The exact versions of the tools that write the web edition, in an environment of their own, .site. `make lock` writes
# them, from docs/requirements.in.
"""
EXTRAS = ("dev", "real-routers")  # not bench: nobody should install what only a comparison needs
CUDA = re.compile(r"nvidia-|cuda-|triton")


def resolve(source: str, extras: tuple[str, ...] = ()) -> str:
    """Return uv's resolution of a file of requirements with its extras, a line a package."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal"]
    command += [f"--extra={name}" for name in extras]
    command += ["--python-version=3.11", "--no-emit-find-links", "--no-header", "--no-annotate"]
    done = subprocess.run([*command, source], cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8", check=True)
    return done.stdout


def tidy(resolution: str, header: str = HEADER) -> str:
    """Return the text of the lock: without CUDA packages, and without build tags as in 2.13.0+cpu."""
    lines = [re.sub(r"\+\w+", "", line) for line in resolution.splitlines() if not CUDA.match(line)]
    return header + "\n".join(lines) + "\n"


def main() -> None:
    """Write the locks, or stop where uv did."""
    try:
        locks = {
            "requirements.lock": tidy(resolve("pyproject.toml", EXTRAS)),
            "requirements-site.lock": tidy(resolve("docs/requirements.in"), SITE_HEADER),
        }
    except subprocess.CalledProcessError:
        raise SystemExit("uv could not choose versions: its message is above.") from None
    for name, lock in locks.items():
        (ROOT / name).write_text(lock, encoding="utf-8", newline="\n")
    print(f"{' and '.join(locks)} written. Next: make test, make test-web")


if __name__ == "__main__":
    main()
