"""Where the course keeps what must not be lost (progress, checkpoints, marks), and how a file is written safely."""

import hashlib
import os
import re
import tempfile
from pathlib import Path

from platformdirs import user_data_dir


def home() -> Path:
    """Return the folder of the learner's own files, whether it exists yet or not.

    The user's data folder (on Linux ~/.local/share/moe-lessons); the variable MOE_LESSONS_HOME names another.
    Raises OSError where neither says where it is: a user without a home, as in some containers.
    """
    named = os.environ.get("MOE_LESSONS_HOME")
    try:
        return Path(named or user_data_dir("moe-lessons", appauthor=False)).expanduser()
    except Exception as error:  # each system has its own
        which = f"MOE_LESSONS_HOME = {named!r} names none" if named else "this user has none"
        raise OSError(f"no home folder: {which}; set the variable MOE_LESSONS_HOME to a folder") from error


def file_name(name: str, ending: str) -> str:
    """Return a file name for any text, another one for every text, also where a system takes A and a for the same.

    What is plain of the text, to be read, and a hash of it, to be told apart.
    """
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:60]
    return f"{plain}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}{ending}"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that at any moment either the old or the new content is there, whole.

    Its folder is made if need be. Raises OSError when it cannot be written; what was there before is then untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name[:40], suffix=".part")
    try:
        with open(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
