"""Pages on the package: every public name with its docstring, as it is written there."""

from pathlib import Path

import pytest
from reference import escaped, module_page, pages, prose

ROOT = Path(__file__).parents[2]
MODULE = '''\
"""What it is: x_1 and `x_1`."""

from typing import NamedTuple


class Found(NamedTuple):
    """A finding."""

    name: str
    count: int = 0

    @property
    def many(self) -> bool:
        """Whether there are some."""
        return self.count > 1


class Maker:
    """Makes things."""

    def __init__(self, width: int, *, depth: int = 2) -> None:
        self.width = width

    def made(self, x: float = 1.5, *rest: int) -> float:
        """Return the thing."""
        return x

    def _hidden(self) -> None:
        """Not for others."""


def undocumented():
    pass


def _private(x: int) -> int:
    """Return x."""
    return x
'''


@pytest.fixture
def page(tmp_path):
    (tmp_path / "moe_lessons").mkdir()
    path = tmp_path / "moe_lessons/found.py"
    path.write_text(MODULE, encoding="utf-8")
    return module_page(path, tmp_path)


def test_a_page_names_what_is_public_and_holds_the_module(page):
    described = page.partition("## The module")[0]
    for signature in ("class} Found(name, count=0)", "property} many", "class} Maker(width, *, depth=2)"):
        assert signature in described
    assert "method} made(x=1.5, *rest)" in described
    assert not any(word in described for word in ("_hidden", "undocumented", "_private"))
    assert MODULE in page
    assert "x\\_1 and `x_1`" in described


@pytest.mark.parametrize(
    ("docstring", "text"),
    [
        (
            "Return p_i.\n\nx: (T, d).\nRaises ValueError\nfor less.",
            "Return p\\_i.\n\nx: (T, d).\n\nRaises ValueError for less.",
        ),
        ("Shows\n\n    y = x * 2\n\nThat.", "Shows\n\n```text\ny = x * 2\n```\n\nThat."),
    ],
)
def test_a_docstring_reads_as_it_is_written(docstring, text):
    assert prose(docstring) == text


def test_what_markdown_would_take_for_its_own_is_shown():
    assert escaped("a*b_c $x$ <i> [l] `d*e`") == "a\\*b\\_c \\$x\\$ \\<i\\> \\[l\\] `d*e`"


def test_every_module_of_the_top_and_each_that_is_linked_has_a_page():
    made = pages(ROOT, {"experiments/claims"})
    top = {f"moe_lessons/{path.stem}.md" for path in (ROOT / "moe_lessons").glob("[!_]*.py")}
    assert top | {"moe_lessons/index.md", "moe_lessons/experiments/claims.md"} <= set(made)
    assert all(
        name.removeprefix("moe_lessons/").removesuffix(".md") in made["moe_lessons/index.md"]
        for name in {*made} - {"moe_lessons/index.md"}
    )
