"""The course's own notebooks, which come with every copy of it: what among submissions is no learner's work."""

import contextlib
from functools import cache
from pathlib import Path, PurePosixPath

import moe_lessons
from moe_lessons.grading import submission

COURSE = Path(moe_lessons.__file__).parents[1]
LESSONS, EXERCISES, SOLUTIONS = "notebooks", "exercises", "solutions"

Cells = frozenset[str]  # sources of code cells, without surrounding and trailing white space


class Own(Exception):
    """A notebook of the course's own; the message says which kind."""


@cache
def published(folder: str) -> dict[str, Cells]:
    """Return the cells of each notebook in one of the course's folders, by file name.

    There are none where the package is installed without the rest of the course: then nothing is recognised.
    """
    found = {}
    for path in (COURSE / folder).glob("*.ipynb"):
        with contextlib.suppress(OSError, submission.Unreadable):  # one that the teacher has tried something in
            found[path.name] = plain(submission.parse(path.read_bytes()).cells)
    return found


def plain(cells: tuple[str, ...]) -> Cells:
    """Return what cells hold, whatever tool saved them; those that hold nothing are left out."""
    texts = ("\n".join(map(str.rstrip, cell.splitlines())).strip() for cell in cells)
    return frozenset(filter(None, texts))


def refuse_own(file: str, cells: tuple[str, ...]) -> None:
    """Raise Own for what a copy of the course brings: a solution, or an exercise in which nothing was changed.

    file: the path among the submissions. In any other folder than the course's, a notebook is a learner's: who hands in
    a copied solution as her own earns its marks.
    """
    folder, mine = PurePosixPath(file).parent.name.lower(), plain(cells)
    if folder == SOLUTIONS and any(_mostly(mine, answers) for answers in _answers()):
        raise Own("the course's own solution, in a copy of its folder `solutions`: it is not marked")
    if folder == EXERCISES and any(mine <= given for given in published(EXERCISES).values()):
        raise Own("an exercise in which nothing was changed, in a copy of the course's `exercises`: it is not marked")


def lesson(cells: tuple[str, ...]) -> Cells:
    """Return the cells of the lesson that a notebook is, with whatever a learner did in it; none if it is no lesson."""
    mine = plain(cells)
    return next((given for given in published(LESSONS).values() if _mostly(mine, given)), frozenset())


def _answers() -> list[Cells]:
    """Return, solution by solution, the cells that its exercise has not."""
    given = published(EXERCISES)
    return [cells - given.get(name, frozenset()) for name, cells in published(SOLUTIONS).items()]


def _mostly(mine: Cells, published: Cells) -> bool:
    """Tell whether at least half of published cells are there: someone may have tried something in the others."""
    return bool(published) and 2 * len(mine & published) >= len(published)
