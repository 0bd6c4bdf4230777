"""Whose file it is: read from the path, as teachers sort submissions and as platforms hand them over."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import PurePosixPath

from moe_lessons.checks.question import SET_NUMBER
from moe_lessons.grading.downloads import Handed, handed, tidy, user_names
from moe_lessons.grading.published import COURSE, EXERCISES

# What Jupyter, Colab and file managers make of a copy's name: "-Copy1", "Copy of …", " - Copy (2)", " copy 2".
COPY = re.compile(
    r"^(?:(?:Copy of|Kopie von|Copie de|Copia de) )+"
    r"|(?:(?:-Copy\d+| - (?:Copy|Kopie|Copie|[Cc]opia)| copy(?: \d+)?)(?: ?\(\d+\))?)+$"
)
# The course's own name of an exercise notebook, at the end of a file name, with what browsers add to it.
EXERCISE = re.compile(rf"[ _-]*{SET_NUMBER}_[a-z_]+(?:-\d+|\s?\(\d+\))?$")
COUNTED = re.compile(r"(?P<name>.+?) ?\(\d+\)")  # "ann (1)": ann's again, unless others are only counted, too
NUMBERED = re.compile(r"[A-Za-z]{0,2}\d{5,}")  # a number that people have, such as s1234567
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
    """A name, and the number by which Canvas, Moodle or Brightspace knows the person, where the path tells it."""

    name: str
    canvas: str = ""
    moodle: str = ""
    brightspace: str = ""

    @property
    def number(self) -> str:
        """Return the number, whosever it is."""
        return self.canvas or self.moodle or self.brightspace


def learner(file: str, classes: Iterable[str] = ()) -> Learner:
    """Return whose `file` it is, a path with / inside the folder of submissions.

    The first folder names the learner, below those that hold a class (`classes_in`); without one, the file name does,
    less the course's own: both "ann/04_top_k_gating.ipynb" and "ann_04_top_k_gating.ipynb" are ann's.
    """
    if said := handed_in(file):
        numbers = {said.platform: said.number} if said.number else {}
        return Learner(said.name, **numbers)
    path = PurePosixPath(file)
    above = max((PurePosixPath(folder) for folder in classes if path.is_relative_to(folder)), default=PurePosixPath())
    first, *rest = path.relative_to(above).parts
    stem = COPY.sub("", tidy(path.stem)) or path.stem
    return Learner(tidy(first) if rest else _person_in(stem) or stem)


def _person_in(stem: str) -> str:
    """Return what a file name says beside the course's own: ann of "ann_04_top_k_gating", "04_top_k_gating - ann"."""
    for name in names_of_exercises():
        behind = stem[len(name) :].strip(" _-") if stem.startswith(name) else ""
        if re.match(r"[^\W\d_]", behind) and not _is_work(behind):
            return behind
    return EXERCISE.sub("", stem)


@cache
def names_of_exercises() -> tuple[str, ...]:
    """Return the names of the course's exercise notebooks, the longest first; none where the course is not at hand."""
    return tuple(sorted((path.stem for path in (COURSE / EXERCISES).glob("*.ipynb")), key=len, reverse=True))


def handed_in(file: str) -> Handed | None:
    """Return what the first part of a path says that a platform has named, if any has."""
    *folders, name = PurePosixPath(file).parts
    said = (handed(folder, folder=True) for folder in folders)
    return next(filter(None, said), handed(name))


def learners(files: Iterable[str]) -> dict[str, Learner]:
    """Return whose each file is, seen beside the others."""
    files = list(files)
    classes = classes_in(files)
    whose = {file: learner(file, classes) for file in files}
    said = {file: known for file in files if (known := handed_in(file))}
    names = user_names(said.values())
    whose |= {file: Learner(names[known]) for file, known in said.items() if known in names}
    everyone = set(whose.values())
    counted = {who: bare for who in everyone if not who.number and (bare := COUNTED.fullmatch(who.name))}
    times = Counter(bare["name"] for bare in counted.values())
    return {file: _uncounted(who, counted, times, everyone) for file, who in whose.items()}


def _uncounted(
    who: Learner, counted: dict[Learner, re.Match[str]], times: Counter[str], everyone: set[Learner]
) -> Learner:
    """Return ann for "ann (1)", where there is an ann, or no "ann (2)". "Student (1)" beside "Student (2)" are two."""
    if who not in counted:
        return who
    bare = replace(who, name=counted[who]["name"])
    return bare if bare in everyone or times[bare.name] == 1 else who


def labels(whose: Iterable[Learner]) -> dict[Learner, str]:
    """Return what to call each learner: the name, and the number too where several share the name."""
    whose = set(whose)
    shared = Counter(who.name for who in whose)
    return {who: f"{who.name} ({who.number})" if shared[who.name] > 1 and who.number else who.name for who in whose}


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
    if handed(name, folder=True):
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
    if known := handed(name, folder=folder is not None):
        return {known.name + known.number}
    if folder and _is_work(name):
        return set().union(*(_people(*entry) for entry in folder.items()))
    stem = tidy(name) if folder else COPY.sub("", tidy(PurePosixPath(name).stem))
    person = stem if folder else _person_in(stem)
    nobody = not person or _is_work(person) or (NUMBER.fullmatch(person) and not (folder and alone))
    theirs = folder or any_name or person != stem or NUMBERED.fullmatch(person)
    return {person} if theirs and not nobody else set()


def _is_work(name: str) -> bool:
    """Tell a name that is made of words for work: "week 3", "04_top_k_gating", "Assignment 4-1234", "old version b"."""
    first, *rest = re.findall(r"[^\W\d_]+|\d+", name.lower()) or [""]
    words = [first, *(word for word in rest if len(word) > 1 and not word.isdigit())]
    return SLUG.fullmatch(name) is not None or all(map(WORK.fullmatch, words))
