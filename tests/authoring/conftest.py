"""A small course in a temporary folder. The build step is a script: its folder goes on the path."""

import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "authoring"))

QUESTIONS = {
    "1.1": SimpleNamespace(
        id="1.1",
        set="01",
        kind="write it",
        difficulty="easy",
        points=2,
        minutes=5,
        hints=("Use $W$.", "Row by row."),
        idea="Just add.",
    ),
    "1.2": SimpleNamespace(
        id="1.2",
        set="01",
        kind="predict",
        difficulty="medium",
        points=1,
        minutes=1,
        hints=("Think.", "More."),
        idea="Take gap = log(r).",
    ),
}

LESSON = """\
# %% [markdown]
# # A lesson
#
# é and $x_1$

# %% name="first-number" tags=["setup"]
x = 1

# %% tags=["predict", "deeper"]
print("τ", x)
"""

EXERCISE = '''\
# %% [markdown]
# # Exercises
# {{about 1.1}}
# After it.
#
# {{hints 1.1}}

# %%
from moe_lessons.checks import check

# %%
def my_sum(a, b):
    """Return the sum."""
    a = float(a)
    # BEGIN SOLUTION
    total = a + float(b)
    return total
    # END SOLUTION

# %%
check("1.1", my_sum)

# %% name="ratio"
ratio = 2.0 / 3.0  # SOLUTION
untouched = 7

# %%
check("1.2", ratio)

# %% [markdown] tags=["solution"]
# Why this works.

# %% tags=["solution", "deeper"]
another_way = sum([1, 2])
'''


class Course:
    """A repository with sources under `root`, and no pictures unless a test asks for them."""

    def __init__(self, root: Path) -> None:
        self.root, self.questions = root, QUESTIONS

    def write(self, path: str, text: str, newline: str = "\n") -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.replace("\n", newline).encode("utf-8"))
        return file

    def build(self, *options: str, pictures: dict[str, str] | None = None) -> int:
        import build

        return build.main(options, self.root, lambda: self.questions, pictures or {})

    def notebook(self, path: str) -> nbformat.NotebookNode:
        return nbformat.read(self.root / path, as_version=4)

    def sources(self, path: str) -> str:
        return "\n\n".join(cell.source for cell in self.notebook(path).cells)

    def bytes(self) -> dict[str, bytes]:
        return {p.relative_to(self.root).as_posix(): p.read_bytes() for p in self.root.rglob("*.ipynb")}


@pytest.fixture
def empty_course(tmp_path: Path) -> Course:
    return Course(tmp_path)


@pytest.fixture
def course(empty_course: Course) -> Course:
    """One lesson and one exercise set, not built yet."""
    empty_course.write("authoring/lessons/01_demo.py", LESSON)
    empty_course.write("authoring/exercises/01_demo.py", EXERCISE)
    return empty_course
