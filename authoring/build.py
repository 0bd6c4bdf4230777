"""Writes notebooks/, exercises/, solutions/, the README's map and pictures, and the cheat sheet from their sources.

Usage: python authoring/build.py [--check]

The three folders belong to this step: a notebook without a source is removed, unless git does not track it, for then
it is a learner's own copy. `--check` writes nothing and names every file that does not match its source.
"""

import argparse
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from course import Course, Questions, kind_of, read_lesson, read_standalone
from fields import fill_readme
from ipynb import exercise_notebooks, lesson_notebook, refuse_file_name
from percent import SourceError
from sheet import page

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("notebooks", "exercises", "solutions")
PICTURES = {
    "docs/worked_example.svg": "moe_lessons.figures.trace:worked_example_svg",
}
REBUILD = 'run "make notebooks"'


def course_questions() -> Mapping[str, Any]:
    """Return the records of the course's questions."""
    from moe_lessons.checks import questions

    return questions()


def main(
    argv: Sequence[str] | None = None,
    root: Path = ROOT,
    questions: Questions = course_questions,
    pictures: Mapping[str, str] = PICTURES,
) -> int:
    """Build or check everything under `root`; return the exit status: 1 for a broken source or a stale file."""
    options = _parser().parse_args(argv)
    files, errors = assemble(root, questions)
    files |= {path: pkgutil.resolve_name(function)().rstrip("\n") + "\n" for path, function in pictures.items()}
    # A source with a wrong file name could make its notebook look orphaned.
    orphans, unclear = ([], []) if errors else without_source(root, files)
    if options.check:
        errors += check(root, files, orphans)
    else:
        write(root, files, orphans, unclear)
    for error in errors:
        print(error, file=sys.stderr)
    return 1 if errors else 0


def _parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file does not match its source")
    return parser


def assemble(root: Path, questions: Questions) -> tuple[dict[str, str], list[str]]:
    """Return the text of every notebook and of the README by its path, and one line for each source that is broken."""
    course, files, errors = Course(root, questions), {}, []
    for path in sorted(root.glob("authoring/lessons/[!.]*.py")) + sorted(root.glob("authoring/exercises/[!.]*.py")):
        try:
            files |= _notebooks_of(path, course)
        except SourceError as error:
            errors.append(f"{path.relative_to(root).as_posix()}:{error.line}: {error}")
    if (sheet := root / "docs/cheat_sheet.md").exists():
        files["docs/cheat_sheet.html"] = page(sheet.read_text(encoding="utf-8"))
    if course.has_map:
        files["README.md"] = fill_readme((root / "README.md").read_text(encoding="utf-8"), course)
    return files, errors


def _notebooks_of(path: Path, course: Course) -> dict[str, str]:
    """Return the one or two notebooks of a source by their paths."""
    refuse_file_name(path.name)
    text, number = _read(path), path.stem.partition("_")[0]
    if path.parent.name == "lessons":
        if course.has_map and path.stem not in {lesson.stem for lesson in course.lessons.values()}:
            read_lesson(path)  # raises what is wrong with it
        return {f"notebooks/{path.stem}.ipynb": lesson_notebook(text, course, number)}
    if course.has_map and kind_of(path):
        read_standalone(path)  # raises what is wrong with it
    texts = exercise_notebooks(text, course, number)
    return {f"{folder}/{path.stem}.ipynb": text for folder, text in zip(FOLDERS[1:], texts, strict=True)}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(error.object.count(b"\n", 0, error.start) + 1, "not UTF-8 text") from None


def without_source(root: Path, files: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the notebooks that no source makes: those that git tracks, and all of them where git does not answer."""
    found = [path.relative_to(root) for folder in FOLDERS for path in sorted((root / folder).rglob("*.ipynb"))]
    names = [path.as_posix() for path in found if ".ipynb_checkpoints" not in path.parts]
    strays = [name for name in names if name not in files]
    if not strays:
        return [], []
    listing = ["git", "ls-files", "-z", "--", *FOLDERS]
    try:
        done = subprocess.run(listing, cwd=root, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return [], strays
    tracked = done.stdout.decode("utf-8").split("\0")
    return [name for name in strays if name in tracked], []


def check(root: Path, files: Mapping[str, str], orphans: Sequence[str]) -> list[str]:
    """Return one line for each file that is missing, stale, used or without a source."""
    faults = {name: _fault(root / name, text) for name, text in files.items()}
    faults |= dict.fromkeys(orphans, f"orphan, it has no source: {REBUILD} to remove it")
    return [f"{name}: {fault}" for name, fault in faults.items() if fault]


def _fault(path: Path, text: str) -> str | None:
    """Say how a file differs from the text that it should hold."""
    if not path.exists():
        return f"missing: {REBUILD}"
    content = path.read_bytes()
    if content == text.encode("utf-8"):
        return None
    if path.suffix == ".ipynb" and (left := _left_by_a_run(content)):
        return f"holds {left}: save your own work under another name, then {REBUILD} to clear it"
    return f"stale: {REBUILD}"


def _left_by_a_run(content: bytes) -> str | None:
    """Name what running a notebook has left in its file."""
    try:
        notebook = json.loads(content)
        if "widgets" in notebook["metadata"]:
            return "widget state"
        used = [cell for cell in notebook["cells"] if cell.get("outputs") or cell.get("execution_count")]
    except (ValueError, TypeError, LookupError, AttributeError):
        return None
    return "outputs" if used else None


def write(root: Path, files: Mapping[str, str], orphans: Sequence[str], unclear: Sequence[str]) -> None:
    """Write the files that changed, remove the orphans, and say how many and what was left."""
    written = sum(write_file(root / name, text.encode("utf-8")) for name, text in files.items())
    for name in orphans:
        (root / name).unlink()
    removed = f", {len(orphans)} removed" if orphans else ""
    print(f"{written} files written, {len(files) - written} unchanged{removed}")
    if unclear:
        print(f"git gives no list of files here, so nothing was removed: {', '.join(unclear)}")


def write_file(path: Path, content: bytes) -> bool:
    """Write `content` at once or not at all; return False, and leave the file alone, if it is there already."""
    if path.exists() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
