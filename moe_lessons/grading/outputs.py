"""Where results are written, and that nothing a teacher wrote there is lost: what was changed by hand is put aside."""

import contextlib
import hashlib
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from moe_lessons.support.storage import write_atomically


@dataclass
class Outputs:
    """The table of marks and all that lies beside it under the same name: marks.csv, marks-overview.html, …

    A context around the writing of all. before: what the last run wrote, as paths beside the table with the hash of
    their content; now: what this one has. aside: where what a teacher changed lies now.
    """

    csv: Path
    before: dict[str, str] = field(default_factory=dict)
    now: dict[str, str] = field(default_factory=dict)
    aside: list[Path] = field(default_factory=list)

    def beside(self, ending: str) -> Path:
        """Return marks-overview.html for "-overview.html", and so on."""
        return self.csv.with_name(self.csv.stem + ending)

    @property
    def record(self) -> Path:
        """Return where the hashes of what was written are kept."""
        return self.beside(".d") / "written"

    def __enter__(self) -> "Outputs":
        """Recall what the last run wrote."""
        with contextlib.suppress(OSError, ValueError, AttributeError):  # a first run: then all there is is a teacher's
            known = json.loads(self.record.read_text(encoding="utf-8"))
            self.before = {str(name): str(seen) for name, seen in known.items()}
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        """Keep what was written; where all was, remove what only earlier runs wrote."""
        if not failed:
            self._clear()
        kept = self.before | self.now if failed else self.now
        write_atomically(self.record, (json.dumps(kept, indent=1) + "\n").encode())

    def write(self, path: Path, content: bytes) -> None:
        """Write a result. What lies there and was not written by a run is put aside first. Raises OSError."""
        name, new = path.relative_to(self.csv.parent).as_posix(), _hash(content)
        if path.is_file() and _hash(path.read_bytes()) not in (new, self.before.get(name)):
            self._put_aside(path, name)
        write_atomically(path, content)
        self.now[name] = new

    def _clear(self) -> None:
        """Remove what only earlier runs wrote, such as pages of files that are gone."""
        for name in sorted(self.before.keys() - self.now.keys()):
            path = self.csv.parent / name
            if not path.is_file():
                continue
            if _hash(path.read_bytes()) == self.before[name]:
                path.unlink()
            else:
                self._put_aside(path, name)

    def _put_aside(self, path: Path, name: str) -> None:
        """Move a file that was changed by hand to marks-edited/, under the first name that is free there."""
        place = self.beside("-edited") / name
        number = 1
        while place.exists():
            number += 1
            place = (self.beside("-edited") / name).with_name(f"{path.stem}-{number}{path.suffix}")
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, place)
        self.aside.append(place)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def seen_by_git(path: Path) -> bool:
    """Tell whether git would take a file: it lies in a working tree, and no rule there passes over it."""
    here = next((folder for folder in path.absolute().parents if folder.is_dir()), Path("/"))
    try:
        asked = ["git", "-C", str(here), "check-ignore", "-q", str(path.absolute())]
        return subprocess.run(asked, capture_output=True, timeout=10).returncode == 1  # 128 where there is no tree
    except (OSError, subprocess.SubprocessError):  # no git
        return False
