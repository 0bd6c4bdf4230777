"""Asserts of a source: what goes with them, and that nothing else of the course's notebooks is gone."""

import ast
from pathlib import Path

import nbformat
import pytest
from course import Course
from ipynb import exercise_cells, lesson_cells, lesson_notebook
from markers import PEN
from percent import SourceError
from quizzes import LIVE

from moe_lessons.checks import questions

ROOT = Path(__file__).parents[2]
COURSE, NO_COURSE = Course(ROOT, questions), Course(Path("nowhere"), dict)


def learners_get(*cells):
    """Return the code cells that learners get for code cells of a lesson."""
    source = "\n\n".join("# %%\n" + cell if not cell.startswith("# %%") else cell for cell in cells)
    return [cell.source for cell in nbformat.reads(lesson_notebook(source, NO_COURSE, "01"), as_version=4).cells]


# What goes


def test_asserts_go_and_the_rest_stays_as_it_is_written():
    code = "x = [1,  2]  # (n,)\n# Why.\nassert x, 'assert'\nassert (\n    x\n)\nprint( 'assert x', x )\n"
    assert learners_get(code) == ["x = [1,  2]  # (n,)\n# Why.\nprint( 'assert x', x )"]


@pytest.mark.parametrize(
    ("code", "left"),
    [
        ("print()\n\nassert 1\n\nx = 2", "print()\n\nx = 2"),
        ("print()\nassert 1\n\n\ndef f():\n    pass", "print()\n\n\ndef f():\n    pass"),
        ("def f():\n    pass\n\n\nassert f\nx = 2", "def f():\n    pass\n\n\nx = 2"),
        ("print()\n\nassert 1\nassert 2\n", "print()"),
        ("assert 1\n\n\nprint()", "print()"),
        ("for i in range(3):\n    print(i)\n    assert i < 3\nx = 1", "for i in range(3):\n    print(i)\nx = 1"),
    ],
)
def test_blank_lines_do_not_pile_up(code, left):
    assert learners_get(code) == [left]


def test_fmt_skip_goes_from_code_alone():
    assert learners_get("x = [1,\n     2]  # (n,)  # fmt: skip\nprint('# fmt: skip here')") == [
        "x = [1,\n     2]  # (n,)\nprint('# fmt: skip here')"
    ]
    text = "# %% [markdown]\n# Say `x = 1  # fmt: skip`, or at the end # fmt: skip\n"
    assert learners_get(text) == ["Say `x = 1  # fmt: skip`, or at the end # fmt: skip"]


HELPERS = {
    "assignment": "twice = 2 * x\nassert twice == 2",
    "pair": "low, high = x, x + 1\nassert low < high",
    "chain": "a = x + 1\nb = a + 1\nassert b > 2",
    "import": "from math import floor, ceil as up\nassert floor(x) == up(x)",
    "function": "import math\nassert math.floor(x) == 1",
    "loop": "for i in range(3):\n    j = i + x\n    assert j > i\n    for k in (1, 2):\n        assert k",
    "if": "if x:\n    assert x == 1",
    "with": "from warnings import catch_warnings\nwith catch_warnings():\n    assert x",
    "set twice": "last = 0\nlast = x\nassert last",
}


@pytest.mark.parametrize("code", HELPERS.values(), ids=HELPERS)
def test_what_serves_only_asserts_goes_with_them(code):
    assert learners_get(f"x = 1\n{code}\nprint(x)") == ["x = 1\nprint(x)"]
    assert learners_get(f"x = 1\n{code}\nprint(x)", "# %% [markdown]\n# Text") == ["x = 1\nprint(x)", "Text"]


STAYS = {
    "read later": ("y = 2 * x\nassert y == 2", "print(y)"),
    "read in a function": ("y = 2\nassert y == 2", "def f():\n    return y"),
    "read by nobody": ("y = 2 * x\nassert x", "print(x)"),
    "added to": ("y = 0\nassert y == 0", "y += x\nprint(y)"),
}


@pytest.mark.parametrize(("code", "later"), STAYS.values(), ids=STAYS)
def test_what_others_need_stays(code, later):
    kept = "\n".join(line for line in code.split("\n") if not line.startswith("assert"))
    assert learners_get(f"x = 1\n{code}", later) == [f"x = 1\n{kept}", later]


def test_a_cell_of_asserts_alone_is_left_out():
    cells = "x = 1", "y = 2 * x\nassert y == 2\n\nassert x", "print(x)"
    assert learners_get(*cells) == ["x = 1", "print(x)"]


def test_a_cell_that_teaches_keeps_its_asserts_and_not_its_tag():
    source = '# %% tags=["teaches", "deeper"]\nx = 1\ny = x\nassert y == 1\n\n# %%\nassert x == 1\nprint(x)\n'
    first, second = nbformat.reads(lesson_notebook(source, NO_COURSE, "01"), as_version=4).cells
    assert (first.source, first.metadata) == ("x = 1\ny = x\nassert y == 1", {"tags": ["deeper"]})
    assert second.source == "print(x)"


def test_25_lines_are_counted_without_asserts():
    code = (
        "".join(f"x{i} = {i}\n" for i in range(25))
        + "assert x0 == 0\n" * 20
        + "print("
        + "+".join(f"x{i}" for i in range(25))
    )
    with pytest.raises(SourceError, match="26 lines of code"):
        learners_get(code + ")")
    assert len(learners_get(code.replace("x24 = 24\n", "").replace("+x24", "") + ")")) == 1


def test_the_checked_notebook_keeps_the_promises_and_knows_their_lines():
    text = "# %%\nx = 1  # fmt: skip\nassert x\n\n# %%\nassert x == 1\n"
    (cell, lines), (alone, _) = lesson_cells(text, NO_COURSE, "01", checked=True)
    assert lines == [(2, "x = 1  # fmt: skip"), (3, "assert x")]
    assert (cell.first_line, alone.source) == (2, "assert x == 1")


# This course: what is gone is asserts, and what binds names that the notebooks do not have


def without_promises(statements, names):
    """Return statements less asserts, what binds only names not in `names`, and blocks that held nothing else."""
    kept = []
    for node in statements:
        if isinstance(node, ast.Assert) or (bound_by(node) and not bound_by(node) & names):
            continue
        for part in ("body", "orelse"):
            if held := getattr(node, part, []):
                setattr(node, part, without_promises(held, names))
        if not isinstance(node, ast.For | ast.With | ast.If) or node.body:
            kept.append(node)
    return kept


def bound_by(node):
    """Return the names that an assignment or an import binds."""
    match node:
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return {alias.asname or alias.name.split(".")[0] for alias in names}
        case ast.Assign(targets=targets):
            return {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
    return set()


def names_in(tree):
    parts = list(ast.walk(tree))
    return {part.id for part in parts if isinstance(part, ast.Name)}.union(*map(bound_by, parts))


def checked(path, folder):
    """Return the cells of a notebook with the promises."""
    text, number = path.read_text("utf-8"), path.stem.partition("_")[0]
    if folder == "notebooks":
        return lesson_cells(text, COURSE, number, checked=True)
    return exercise_cells(text, COURSE, number, checked=True)[folder == "solutions"]


NOTEBOOKS = [(path, "notebooks") for path in sorted(ROOT.glob("authoring/lessons/*.py"))]
NOTEBOOKS += [
    (path, folder) for path in sorted(ROOT.glob("authoring/exercises/*.py")) for folder in ("exercises", "solutions")
]


@pytest.mark.parametrize(("path", "folder"), NOTEBOOKS, ids=[f"{folder}-{path.stem}" for path, folder in NOTEBOOKS])
def test_a_notebook_is_its_syntax_tree_less_the_asserts(path, folder):
    notebook = nbformat.read(ROOT / folder / f"{path.stem}.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    given = {cell.id: ast.parse(cell.source) for cell in code}
    names = set().union(*map(names_in, given.values()))
    for cell, lines in checked(path, folder):
        if cell.kind == "code":
            tree = ast.parse("\n".join(text for _, text in lines))
            tree.body = tree.body if "teaches" in cell.tags else without_promises(tree.body, names)
            assert ast.dump(tree) == ast.dump(given.pop(cell.id, ast.parse(""))), cell.line
    assert given == {}


def test_broken_control_a_lost_line_would_be_noticed():
    left = without_promises(ast.parse("x = 1\nassert x\nprint(x)").body, {"x", "print"})
    assert list(map(ast.unparse, left)) == ["x = 1", "print(x)"]


@pytest.mark.parametrize("path", sorted(ROOT.glob("authoring/lessons/*.py")), ids=lambda path: path.stem)
def test_every_line_that_learners_get_is_one_of_the_source(path):
    text = path.read_text("utf-8")
    source = dict(enumerate(text.split("\n"), 1))
    for cell, lines in lesson_cells(text, COURSE, path.stem.partition("_")[0]):
        if cell.kind == "code" and cell.name != LIVE:  # which the build writes
            own = [(number, line) for number, line in lines if not line.startswith(PEN)]  # the build's own word
            assert [line for _, line in own] == [
                line and source[number].removesuffix("  # fmt: skip") for number, line in own
            ]
            assert not any("fmt: skip" in line for _, line in lines)


def test_no_notebook_of_the_course_holds_an_assert():
    assert [
        f"{path.parent.name}/{path.stem}, {cell.id}"
        for folder in ("notebooks", "exercises", "solutions")
        for path in sorted((ROOT / folder).glob("*.ipynb"))
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "code" and any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(cell.source)))
    ] == [], "a cell that teaches by an assert: name it here"
