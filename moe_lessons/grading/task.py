"""The work of grading one file, in a form that can be handed to another process."""

from dataclasses import dataclass
from pathlib import Path

from moe_lessons.grading.companions import companions
from moe_lessons.grading.grade import grade_submission
from moe_lessons.grading.questions import chosen
from moe_lessons.grading.records import Record
from moe_lessons.grading.sandbox import Sandbox


@dataclass(frozen=True)
class Task:
    """What grading any file of a folder needs. Questions are loaded there: their functions cannot be handed over."""

    folder: Path
    sets: tuple[str, ...]
    private: Path | None
    secret: bytes
    sandbox: Sandbox
    classes: tuple[str, ...] = ()  # folders that hold files of several people

    def grade(self, file: str) -> Record:
        """Return the record of one file of the folder."""
        asked = chosen(list(self.sets), self.private)
        beside = companions(self.folder, file, self.classes)
        return grade_submission(self.folder / file, self.folder, asked, self.secret, self.sandbox, beside)
