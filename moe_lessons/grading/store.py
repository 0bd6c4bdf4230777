"""What a run of the grader leaves for the next one: a result file for each submission, and the teacher's secret."""

import hashlib
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

import moe_lessons
from moe_lessons.grading.records import Record
from moe_lessons.grading.sandbox import Limits
from moe_lessons.support.storage import file_name, write_atomically
from moe_lessons.support.validation import refuse

LEAST_SECRET = 16  # bytes


@dataclass(frozen=True)
class Store:
    """The result files in `folder`. `basis` stands for all that marks depend on beside the submission itself."""

    folder: Path
    basis: str

    def load(self, file: str, digest: str) -> Record | None:
        """Return what is known of a submission, or None when there is nothing, or only what no longer holds."""
        try:
            kept = json.loads(self.path(file).read_text(encoding="utf-8"))
            record = Record.from_json(kept["record"])
            current = (kept["basis"], record.file, record.digest) == (self.basis, file, digest)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):  # not there, or spoilt: grade it (again)
            return None
        return record if current else None

    def save(self, record: Record) -> None:
        """Keep a record. Raises OSError when it cannot be written."""
        kept = json.dumps({"basis": self.basis, "record": record.as_json()}, indent=1)
        write_atomically(self.path(record.file), kept.encode())

    def path(self, file: str) -> Path:
        """Return where the result of `file` is kept."""
        return self.folder / file_name(file, ".json")

    def locked(self) -> FileLock:
        """Return the lock under which several runs that share the folder write the reports, one after the other."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / ".lock")


def basis(questions: list[str], private: bytes, secret: bytes, trusted: bool, limits: Limits | None = None) -> str:
    """Return a fingerprint of what marks depend on: the course's code, questions, secret, sandbox and its limits."""
    hidden = hashlib.sha256(b"basis" + secret).hexdigest()
    own = hashlib.sha256(private).hexdigest()
    parts = [course_fingerprint(), *questions, own, hidden, str(trusted), repr(limits or Limits())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def course_fingerprint() -> str:
    """Return a hash of the package's source: whatever changes in it, submissions are graded anew."""
    root = Path(moe_lessons.__file__).parent
    whole = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        source = path.read_bytes().replace(b"\r\n", b"\n")  # the same on Windows
        whole.update(path.relative_to(root).as_posix().encode() + hashlib.sha256(source).digest())
    return whole.hexdigest()


def secret_in(folder: Path) -> bytes:
    """Return the secret kept in `folder`, made the first time; only its owner may read it."""
    path = folder / "secret"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # of several runs that begin at once, one makes it
        if not path.exists():
            write_atomically(path, (secrets.token_hex(32) + "\n").encode())  # with mode 600, as all that it writes
    return secret_from(path)


def secret_from(path: Path) -> bytes:
    """Return the secret in a file, less surrounding white space. Raises ValueError when it is too short, OSError."""
    secret = path.read_bytes().strip()
    if len(secret) < LEAST_SECRET:
        raise refuse("secret", f"{len(secret)} bytes in {path}", f"at least {LEAST_SECRET} bytes, hard to guess")
    return secret
