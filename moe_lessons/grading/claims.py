"""What a notebook's saved outputs say of its answers. Nothing vouches for it: it is for a person to look at."""

import json
import re
from typing import Any

from moe_lessons.grading import submission

VERDICT = re.compile(r"^[✓✗·?] (\d+[rp]?\.\w{1,20}): (correct\b)?", re.MULTILINE)


def claimed(content: bytes) -> frozenset[str]:
    """Return the questions of which the last verdict among the saved outputs is "correct".

    content: of a notebook that could be read (`submission.parse`).
    """
    text, _ = submission._text(content)
    cells = [cell for cell in submission._cells(json.loads(text)) if isinstance(cell, dict)]
    outputs = [output for cell in cells for output in _list(cell.get("outputs")) if isinstance(output, dict)]
    texts = [output.get("text") or _plain(output.get("data")) for output in outputs]
    said = "\n".join("".join(map(str, _list(text) or [text])) for text in texts if text)
    return frozenset(id for id, correct in dict(VERDICT.findall(said)).items() if correct)


def _plain(data: Any) -> Any:
    """Return the plain text of an output that is shown in several ways."""
    return data.get("text/plain") if isinstance(data, dict) else None


def _list(value: Any) -> list:
    return value if isinstance(value, list) else []
