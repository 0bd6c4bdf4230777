"""Keeps executed notebooks by content: one is run again only when something that it was made from has changed.

What a notebook needs is known in two halves. Before a run: its code, the lock, Python, the number of threads, and how
it is run. After a run: the modules of the course that its kernel had loaded, and the data that lies with them.
"""

import hashlib
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import nbformat
from filelock import FileLock

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "moe_lessons"
KEPT = ROOT / ".executed"  # `make clean` removes it

Notebook = nbformat.NotebookNode
Run = Callable[[Notebook], Notebook]


def key(notebook: Notebook) -> str:
    """Return a digest of all that is known before the run. Prose is not run."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    how = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("[!t]*.py")))
    lock = (ROOT / "requirements.lock").read_bytes()
    known = [code, sys.version, os.environ.get("OMP_NUM_THREADS", os.cpu_count())]
    return hashlib.sha256(b"\0".join([how, lock, repr(known).encode()])).hexdigest()


def digests(modules: Iterable[str], package: Path) -> dict[str, str]:
    """Return a digest of each module's file and of the data files in its packages, by path within the package.

    A data file belongs to the nearest folder above it that is a package. A file that is gone has an empty digest.
    """
    loaded = {Path(module).resolve() for module in modules}
    homes = {module.parent for module in loaded}
    data = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    files = loaded | {path for path in data if _home(path) in homes}
    return {str(path.relative_to(package)): _digest(path) for path in sorted(files)}


def _home(path: Path) -> Path:
    return next(folder for folder in path.parents if (folder / "__init__.py").exists())


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def is_current(copy: Path, package: Path) -> bool:
    """Tell whether an executed copy is there and none of the modules that it loaded, nor their data, has changed."""
    if not copy.exists():
        return False
    made_from = nbformat.read(copy, as_version=4).metadata["made_from"]
    modules = [str(package / name) for name in made_from if name.endswith(".py")]
    return digests(modules, package) == made_from


def is_clean(notebook: Notebook) -> bool:
    """Tell whether no cell raised or warned: nothing else is kept, so that no copy hides a failure."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return not any(o.output_type == "error" or o.get("name") == "stderr" for o in outputs)


def once(notebook: Notebook, name: str, run: Run, shared: Path, kept: Path = KEPT, package: Path = PACKAGE) -> Path:
    """Return where the executed copy lies: in `kept`, or, run now, in `shared`, which only this test session reads.

    `run` executes the notebook and leaves the files of its modules in `metadata["modules"]`. With FRESH set, copies
    of earlier sessions are passed over.
    """
    file = f"{name}-{key(notebook)[:16]}.ipynb"
    with FileLock(shared / f"{file}.lock"):
        for folder in (shared,) if os.environ.get("FRESH") else (shared, kept):
            if is_current(folder / file, package):
                return folder / file
        before = digests(map(str, package.rglob("*.py")), package)  # a file may be edited while the notebook runs
        result = run(notebook)
        loaded = digests(result.metadata.pop("modules"), package)
        result.metadata["made_from"] = {path: before.get(path, "") for path in loaded}
        nbformat.write(result, shared / file)
        if is_clean(result):
            _keep(shared / file, name, kept)
    return shared / file


def _keep(copy: Path, name: str, kept: Path) -> None:
    """Put a copy into `kept` in one step, for other sessions may look, in place of older ones of that notebook."""
    kept.mkdir(exist_ok=True)
    for old in kept.glob(f"{name}-{'[0-9a-f]' * 16}.ipynb"):
        old.unlink(missing_ok=True)
    draft = kept / f".{copy.name}.{os.getpid()}"
    draft.write_bytes(copy.read_bytes())
    draft.replace(kept / copy.name)
