"""How Canvas, Moodle, Blackboard, Brightspace and Gradescope name what they hand over: whose it is, and since when.

A name is that of a file, or of a folder: a learner's own archive becomes one when it is unpacked.
"""

import contextlib
import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

# The learner's own file name comes last. Names are in any script; platforms put no "_" into those of people.
FORMS = {
    # "Ann Lee_1234_assignsubmission_file_", before 4.1 with "_" at the end; "…_onlinetext"; files too, before 3.1.
    "moodle": r"(?P<name>.+?)(?:_(?P<number>\d+))?_assignsubmission_(?:file|onlinetext|comments)(?:_(?P<own>.*))?",
    # "Exercise 4_annlee_attempt_2026-11-30-10-05-09_04.ipynb"
    "blackboard": r"(?P<title>.*_)?(?P<name>[^_]+)_attempt_(?P<when>\d{4}(?:-\d\d){5})(?:_(?P<own>.*))?",
    # "1234-5678 - Ann Lee - Nov 30, 2026 1005 AM - 04.ipynb", or a folder that ends with the date
    "brightspace": r"(?P<number>\d+)-\d+ - (?P<name>.+?) ?- (?P<when>[^-]*\b20\d\d\b[^-]*?)(?: - (?P<own>.*))?",
    # "anon_Ab3xY_8901_04.ipynb"; "LATE_anon_Ab3xY_…": marked without names
    "canvas, anonymous": r"(?P<late>LATE_)?(?P<name>anon_[A-Za-z0-9]+)_\d+_(?P<own>.+)",
    # "leeann_LATE_567_8901_04.ipynb": name, late or not, person, file
    "canvas": r"(?P<name>.+?)(?P<late>_LATE)?_(?!(?:19|20)\d\d_[01]?\d_)(?P<number>[1-9]\d*)_[1-9]\d*_(?P<own>.+)",
    # "submission_123456789"
    "gradescope": r"(?P<name>submission_\d{5,})",
}
PATTERNS = {platform: re.compile(form, re.DOTALL) for platform, form in FORMS.items()}
LEAST_OF_A_FOLDER = 100  # "week_1_2_x" is no folder of Canvas's: its numbers are larger
DATES = ("%Y-%m-%d-%H-%M-%S", "%b %d, %Y %I%M %p", "%B %d, %Y %I%M %p", "%d %B %Y %H%M", "%d %b %Y %H%M")
NAMELESS = ("Participant",)  # Moodle's word for all whose names are hidden
AGAIN = re.compile(r"-\d+(?=\.\w+$|$)")  # Canvas's mark of a file that was handed in again


@dataclass(frozen=True)
class Handed:
    """What a name says: platform, person, the number of that person there, the learner's own file name, and when.

    title: what Blackboard puts before the user name, the name of the exercise, with the beginning of a user name that
    has a "_" in it (`user_names`). late: Canvas says so, without a date.
    """

    platform: str
    name: str
    number: str = ""
    own: str = ""
    when: datetime | None = None
    title: str = ""
    late: bool = False

    @property
    def person(self) -> tuple[str, ...]:
        """Return all that tells one person from another."""
        return self.platform, self.name, self.number, self.title


def handed(part: str, folder: bool = False) -> Handed | None:
    """Read one part of a path. Returns None for a name that none of the platforms gives."""
    part = tidy(part)
    for platform, pattern in PATTERNS.items():
        found = pattern.fullmatch(part)
        if found and not (folder and platform == "canvas" and int(found["number"]) < LEAST_OF_A_FOLDER):
            return _read(platform, found.groupdict(default=""))
    return None


def _read(platform: str, said: dict[str, str]) -> Handed:
    name, number = tidy(said["name"]), said.get("number", "")
    if platform == "moodle":
        name = tidy(name.replace("_", " "))
        name = f"{name} {number}" if name in NAMELESS else name
    own, when = said.get("own", ""), _date(said.get("when", ""))
    own = AGAIN.sub("", own) if platform.startswith("canvas") else own
    title = tidy(said.get("title", ""))
    return Handed(platform.split(",")[0], name, number, own, when, title, late=bool(said.get("late")))


def user_names(handed_in: Iterable[Handed]) -> dict[Handed, str]:
    """Return Blackboard's user names, seen beside each other: "Ex 4_zoe" and "Ex 4_ann_lee" are of zoe and ann_lee.

    A title that goes on from another one has the beginning of a user name in it. So have all, where nearly each is
    another: then what they have in common is the title.
    """
    several = [said for said in handed_in if said.platform == "blackboard"]
    titles = {said.title for said in several}
    people = {(said.title, said.name) for said in several}
    common = os.path.commonprefix([title.split("_") for title in titles]) if 1 < len(titles) > len(people) / 2 else []
    shared = "".join(f"{part}_" for part in common if part)
    names = {}
    for said in several:
        title = min((other for other in titles if said.title.startswith(other)), key=len)
        names[said] = (said.title + said.name)[len(shared if title == said.title and shared else title) :]
    return names


def _date(text: str) -> datetime | None:
    """Return a date in any of the forms that platforms write; None for another."""
    text = " ".join(text.replace(",", ", ").split())
    for form in DATES:
        with contextlib.suppress(ValueError):
            return datetime.strptime(text, form)
    return None


def tidy(name: str) -> str:
    """Return a name as it is compared: letters composed, one plain space between words, no marks of direction."""
    name = "".join(sign for sign in unicodedata.normalize("NFC", name) if sign not in DIRECTIONS)
    return " ".join(name.split()) or name


DIRECTIONS = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
