"""The house: the code that lessons are about on top, eight folders below it, and imports that point one way."""

import ast
from pathlib import Path

import pytest

import moe_lessons

PACKAGE = Path(moe_lessons.__file__).parent
REFERENCE = (
    "routing gate layer losses balancing estimators metrics accounting precision data model training causality atlas "
    "families"
)
# Whoever stands on a later line may import from the lines before it, and from its own folder.
ORDER = (("support",), ("reference", "corpus"), ("experiments",), ("figures", "checks"), ("widgets", "grading"))
LEVEL = {folder: level for level, folders in enumerate(ORDER) for folder in folders}
FOLDERS = set(LEVEL) - {"reference"} | {"variants"}  # the variants are reference code, too many for one file


def folder_of(dotted):
    """Return the folder of a module named below moe_lessons: "figures.svg" -> "figures", "routing" -> "reference"."""
    first = dotted.split(".")[0]
    return first if first in LEVEL else "reference"


def imported(source):
    """Return every module of the package that a source imports, wherever in it, named below moe_lessons."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "moe_lessons":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("moe_lessons."):
            found.add(node.module.removeprefix("moe_lessons."))
        elif isinstance(node, ast.Import):
            found |= {a.name.removeprefix("moe_lessons.") for a in node.names if a.name.startswith("moe_lessons.")}
    return found


def wrong_arrows(name, source):
    """Return the imports of a module that do not point down, or stay in its folder."""
    here = folder_of(name)
    there = {other: folder_of(other) for other in imported(source)}
    return sorted(other for other, folder in there.items() if folder != here and LEVEL[folder] >= LEVEL[here])


MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
}


def test_the_top_holds_the_reference_code_and_eight_folders():
    assert {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"} == set(REFERENCE.split())
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert folders == FOLDERS
    assert len(folders) == 8


def test_the_reference_code_can_be_read():
    assert sum(len(path.read_text("utf-8").splitlines()) for path in PACKAGE.glob("*.py")) < 4000


def in_modules(find):
    """Return what `find(name, source)` finds, by the name of each module in which it does."""
    found = {name: find(name, path.read_text("utf-8")) for name, path in MODULES.items()}
    return {name: faults for name, faults in found.items() if faults}


def test_imports_point_one_way():
    assert in_modules(wrong_arrows) == {}


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("routing", "def f():\n    from moe_lessons.checks import check"),
        ("support.timing", "from moe_lessons import routing"),
        ("experiments.worth_it", "import moe_lessons.figures.svg"),
        ("figures.svg", "from moe_lessons.checks.values import show"),
    ],
)
def test_an_import_that_points_up_would_be_found(name, source):
    assert wrong_arrows(name, source)


def test_tests_mirror_the_package():
    """Every folder of the package has its tests under the same name."""
    assert all((PACKAGE.parent / "tests" / folder).is_dir() for folder in FOLDERS)


# What can be read in one sitting

LONGEST_MODULE, LONGEST_FUNCTION = 450, 20  # lines; a docstring is not counted


def too_long(source):
    """Return what is longer than it may be, unless `# long: why` stands on its first line."""
    lines = source.splitlines()
    found = ["the module"] if len(lines) > LONGEST_MODULE else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and "# long: " not in lines[node.lineno - 1]:
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            if node.end_lineno - body[0].lineno + 1 > LONGEST_FUNCTION:
                found.append(node.name)
    return found


def test_modules_and_functions_are_short():
    assert in_modules(lambda _, source: too_long(source)) == {}


def test_broken_control_what_is_long_is_found():
    body = "".join(f"    x{i} = {i}\n" for i in range(21))
    assert too_long(f'def f():\n    """Words.\n\n    More.\n    """\n{body}') == ["f"]
    assert too_long(f"def f():  # long: it must be\n{body}") == []
    assert too_long("x = 1\n" * 451) == ["the module"]
