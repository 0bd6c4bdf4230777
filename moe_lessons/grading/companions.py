"""Files that a learner handed in beside a notebook: a module of helpers, a table of numbers. They run with it."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np

KINDS = (".py", ".csv", ".tsv", ".txt", ".json", ".toml", ".npy", ".npz")
MOST_FILES, MOST_BYTES = 50, 4 * 2**20  # what goes into one message to the sandbox
MOST_SEEN = 1000  # files that are looked at
# Parts of a copy of the course, and what tools put beside work.
NOT_INTO = ("moe_lessons", "notebooks", "solutions", "tests", "authoring", "venv", "env", "node_modules", "__pycache__")


@dataclass
class Companions:
    """What goes with a notebook: by the name under which its code finds it, the path among the submissions.

    left_out: what is too much, or cannot be read.
    """

    paths: dict[str, str] = field(default_factory=dict)
    content: dict[str, bytes] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        """Say what went with the notebook."""
        lines = {
            "files handed in beside it, and there when it ran": list(self.content),
            "files beside it that were left out": self.left_out[:10],
        }
        return [f"{what}: {', '.join(names)}" for what, names in lines.items() if names]


def companions(folder: Path, file: str, classes: Iterable[str] = ()) -> Companions:
    """Return what lies beside a notebook and is the same learner's, read: in a folder of theirs, it and what is below.

    Where a folder holds many people's files, those that a platform named for the same learner. classes: such folders.
    """
    found = Companions()
    for name, path in islice(_beside(folder, PurePosixPath(file), set(classes)), MOST_SEEN):
        content = _content(folder / path) if len(found.content) < MOST_FILES and name.isprintable() else None
        if content is None or sum(map(len, found.content.values())) + len(content) > MOST_BYTES:
            found.left_out.append(name)
        else:
            found.paths[name], found.content[name] = path, content
    return found


def _content(path: Path) -> bytes | None:
    """Return what is in a file; None of one that is too large, or that cannot be read."""
    try:
        return path.read_bytes() if path.stat().st_size <= MOST_BYTES else None
    except OSError:
        return None


def _beside(folder: Path, file: PurePosixPath, classes: set[str]) -> Iterator[tuple[str, str]]:
    """Yield the name and the path of each file that goes with a notebook."""
    here = str(file.parent)
    if here == "." or here in classes:
        yield from _named_for(folder, file)
        return
    for path in _below(folder / file.parent):
        inside = path.relative_to(folder)
        yield inside.relative_to(file.parent).as_posix(), inside.as_posix()


def _named_for(folder: Path, file: PurePosixPath) -> Iterator[tuple[str, str]]:
    """Yield, of a folder with the files of many, those that a platform named for the notebook's learner."""
    from moe_lessons.grading.downloads import handed  # here: workers load this module, and need no more of it

    said = handed(file.name)
    if said is None:
        return
    for path in _plain_files(folder / file.parent):
        other = handed(path.name)
        if other and other.own and other.person == said.person:
            yield other.own, path.relative_to(folder).as_posix()


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder, then those below; links, hidden ones and copies of the course are passed over."""
    yield from _plain_files(folder)
    for inner in _entries(folder):
        if inner.is_dir() and not inner.is_symlink() and not inner.name.startswith(".") and inner.name not in NOT_INTO:
            yield from _below(inner)


def _plain_files(folder: Path) -> Iterator[Path]:
    for path in _entries(folder):
        if path.suffix.lower() in KINDS and not path.name.startswith(".") and path.is_file() and not path.is_symlink():
            yield path


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def packed(files: Mapping[str, bytes]) -> dict[str, np.ndarray]:
    """Return files as the plain data that passes to a worker."""
    return {name: np.frombuffer(content, np.uint8) for name, content in files.items()}


def lay_out(files: Mapping[str, np.ndarray]) -> None:
    """Write files where a notebook's code looks for them, in the worker; modules that are known go before them."""
    for name, content in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.tobytes())
    if files and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
