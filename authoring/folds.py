"""Folds what a learner should see until it is asked for: a paragraph that begins so, and the list that it announces."""

import re

BEGINS = "You should see"
OPEN, CLOSE = "<details><summary>What you should see</summary>", "</details>"

_ITEM = re.compile(r"(\d+\.|[-*]) ")


def folded(lines: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Return numbered lines of a Markdown cell with a closed fold around each such paragraph."""
    texts = [text for _, text in lines]
    for start in (i for i, text in enumerate(texts) if text.startswith(BEGINS) and _is_blank(texts, i - 1)):
        end = _end(texts, start)
        texts[start] = f"{OPEN}\n\n{texts[start]}"
        texts[end] = f"{texts[end]}\n\n{CLOSE}"
    return [(number, text) for (number, _), text in zip(lines, texts, strict=True)]


def unfolded(text: str) -> str:
    """Return a text without these folds: what its author wrote."""
    return re.sub(rf"{re.escape(OPEN)}\n\n(.*?)\n\n{CLOSE}", r"\1", text, flags=re.DOTALL)


def _end(texts: list[str], start: int) -> int:
    """Return the last line of the paragraph, or of the list that follows if its words end in a colon."""
    end = start
    while not _is_blank(texts, end + 1):
        end += 1
    announced = texts[end].rstrip().endswith(":") and end + 2 < len(texts) and _ITEM.match(texts[end + 2])
    return _end(texts, end + 2) if announced else end


def _is_blank(texts: list[str], i: int) -> bool:
    return not 0 <= i < len(texts) or not texts[i].strip()
