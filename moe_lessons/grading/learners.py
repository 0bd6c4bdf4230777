"""Whose file it is: read from the path, as teachers sort submissions and as Canvas and Moodle hand them over."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from moe_lessons.checks.question import SET_NUMBER

# "Ann Lee_1234_assignsubmission_file_" is a folder, or the beginning of a file name: "download all submissions".
MOODLE = re.compile(r"(?P<name>[^_]+)_(?P<id>\d+)_assignsubmission_file_?")
# "leeann_LATE_567_8901_04_top_k_gating-1.ipynb": name, late or not, person, attachment, the learner's own file name.
CANVAS = re.compile(r"(?P<name>[^\W_]+)(?:_LATE)?_(?P<id>\d+)_\d+_.")
# The course's own name of an exercise notebook, at the end of a file name, with what browsers add to it.
EXERCISE = re.compile(rf"[ _-]*{SET_NUMBER}_[a-z_]+(?:-\d+|\s?\(\d+\))?$")
# Words that name a piece of work, and no person. So do numbers such as "04", unless a whole class has numbers.
WORK = re.compile(
    "(?:assignment|attempt|authoring|backup|code|copy|corrected|data|doc|draft|ex|exercise|extra|figure|final|first|"
    "homework|hw|lab|late|lesson|main|misc|moe|more|new|note|notebook|old|other|part|second|set|sheet|solution|src|"
    "submission|submitted|task|test|third|tmp|try|unit|v|version|week|work)s?"
)
MOST_LEVELS = 8  # of folders in folders that are looked at
SLUG, NUMBER = re.compile(rf"{SET_NUMBER}_[a-z_]+"), re.compile(r"\d{1,2}[rp]?")

Folder = dict[str, "Folder | None"]  # what is in it, by name; a notebook holds None


@dataclass(frozen=True, order=True)
class Learner:
    """A name, and the number by which Canvas or Moodle knows the person, where the path tells it."""

    name: str
    canvas: str = ""
    moodle: str = ""


def learner(file: str, classes: Iterable[str] = ()) -> Learner:
    """Return whose `file` it is, a path with / inside the folder of submissions.

    The first folder names the learner, below those that hold a class (`classes_in`); without one, the file name does,
    less the course's own: both "ann/04_top_k_gating.ipynb" and "ann_04_top_k_gating.ipynb" are ann's.
    """
    path = PurePosixPath(file)
    for part in path.parts:
        if moodle := MOODLE.match(part):
            return Learner(moodle["name"].strip(), moodle=moodle["id"])
    above = max((PurePosixPath(folder) for folder in classes if path.is_relative_to(folder)), default=PurePosixPath())
    first, *rest = path.relative_to(above).parts
    if rest:
        return Learner(first)
    if canvas := CANVAS.match(first):
        return Learner(canvas["name"], canvas=canvas["id"])
    return Learner(EXERCISE.sub("", path.stem) or path.stem)


def learners(files: Iterable[str]) -> dict[str, Learner]:
    """Return whose each file is, seen beside the others."""
    files = list(files)
    classes = classes_in(files)
    return {file: learner(file, classes) for file in files}


def classes_in(files: Iterable[str]) -> list[str]:
    """Return the folders that hold a class, or a part of one, and not one learner's work: archives, groups, weeks.

    Such a folder holds folders or notebooks that are named after at least two people; names of work in it speak against
    that. A folder of which this is not clear is one learner's.
    """
    tree: Folder = {}
    for file in files:
        *folders, name = PurePosixPath(file).parts[:MOST_LEVELS]
        here = tree
        for folder in folders:
            inside = here.setdefault(folder, {})
            here = {} if inside is None else inside
        here[name] = None
    return list(_classes(PurePosixPath(), tree, alone=True))


def _classes(path: PurePosixPath, folder: Folder, alone: bool) -> Iterable[str]:
    """Yield the paths of classes directly in a folder, and those in them. alone: it is the only one, as all above."""
    alone = alone and len(folder) == 1
    for name, inside in folder.items():
        if inside and _is_class(name, inside, alone):
            yield str(path / name)
            yield from _classes(path / name, inside, alone)


def _is_class(name: str, folder: Folder, alone: bool) -> bool:
    """Tell whether what a folder holds belongs to several people, or to anyone where its own name is nobody's."""
    if MOODLE.match(name):
        return False
    [(inner, below), *others] = folder.items()
    if below and not others and not _is_work(inner) and _is_class(inner, below, alone):
        return True
    nobody = _is_work(name)
    people = [_people(entry, inside, alone, nobody) for entry, inside in folder.items()]
    return len(set().union(*people) - {name}) >= (1 if nobody else 2) + 2 * people.count(set())


def _people(name: str, folder: Folder | None, alone: bool = False, any_name: bool = False) -> set[str]:
    """Return after whom a folder or a notebook is named, or what is in it where its own name is one of work.

    any_name: a notebook's whole name may be a person's, too, not only what stands before the course's own.
    """
    if known := MOODLE.match(name) or (CANVAS.match(name) if folder is None else None):
        return {known["name"]}
    if folder and _is_work(name):
        return set().union(*(_people(*entry) for entry in folder.items()))
    stem = name if folder else PurePosixPath(name).stem
    person = stem if folder else EXERCISE.sub("", stem)
    nobody = not person or _is_work(person) or (NUMBER.fullmatch(person) and not (folder and alone))
    return set() if nobody or not (folder or any_name or person != stem) else {person}


def _is_work(name: str) -> bool:
    """Tell a name that is made of words for work: "week 3", "04_top_k_gating", "Assignment 4-1234", "old version b"."""
    first, *rest = re.findall(r"[^\W\d_]+|\d+", name.lower()) or [""]
    words = [first, *(word for word in rest if len(word) > 1 and not word.isdigit())]
    return SLUG.fullmatch(name) is not None or all(map(WORK.fullmatch, words))
