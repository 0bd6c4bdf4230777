"""Whose file it is: read from the path, as teachers sort submissions and as Canvas and Moodle hand them over."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

# "Ann Lee_1234_assignsubmission_file_" is a folder, or the beginning of a file name: "download all submissions".
MOODLE = re.compile(r"(?P<name>[^_]+)_(?P<id>\d+)_assignsubmission_file_?")
# "leeann_LATE_567_8901_04_top_k_gating-1.ipynb": name, late or not, person, attachment, the learner's own file name.
CANVAS = re.compile(r"(?P<name>[^\W_]+)(?:_LATE)?_(?P<id>\d+)_\d+_.")
# The course's own name of an exercise notebook, at the end of a file name, with what browsers add to it.
EXERCISE = re.compile(r"[ _-]*\d\d_[a-z_]+(?:-\d+|\s?\(\d+\))?$")


@dataclass(frozen=True, order=True)
class Learner:
    """A name, and the number by which Canvas or Moodle knows the person, where the path tells it."""

    name: str
    canvas: str = ""
    moodle: str = ""


def learner(file: str) -> Learner:
    """Return whose `file` it is, a path with / inside the folder of submissions.

    The first folder names the learner; without one, the file name does, less the course's own: both
    "ann/04_top_k_gating.ipynb" and "ann_04_top_k_gating.ipynb" are ann's.
    """
    path = PurePosixPath(file)
    first = path.parts[0]
    if moodle := MOODLE.match(first):
        return Learner(moodle["name"].strip(), moodle=moodle["id"])
    if len(path.parts) > 1:
        return Learner(first)
    if canvas := CANVAS.match(first):
        return Learner(canvas["name"], canvas=canvas["id"])
    return Learner(EXERCISE.sub("", path.stem) or path.stem)
