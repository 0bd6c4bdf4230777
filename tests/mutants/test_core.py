"""The list of mutants of the course's own code: every entry has its place, and the runner says what becomes of it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

from core import Mutant, Tree, changed, listed  # noqa: E402

STAGES, MUTANTS = listed((HERE / "core.txt").read_text("utf-8"))


@pytest.mark.parametrize("file", STAGES)
def test_every_mutant_has_one_place_and_changes_what_the_code_says(file):
    source = (ROOT / file).read_text("utf-8")
    seen = {ast.dump(ast.parse(source))}
    for mutant in (m for m in MUTANTS if m.file == file):
        now = ast.dump(ast.parse(changed(source, mutant)))  # which raises for none or several, and for no Python
        assert now not in seen, f"reads the same as the code or as another mutant: {mutant}"
        seen.add(now)
    assert len(seen) > 1


def test_the_list_covers_what_it_should():
    assert 200 <= len(MUTANTS) <= 260
    assert len([m for m in MUTANTS if m.reason]) < 0.05 * len(MUTANTS)
    reference = {f"moe_lessons/{name}.py" for name in ("routing", "layer", "losses", "balancing", "metrics")}
    assert {file for file in STAGES if file.count("/") == 1} == reference
    assert all(len([m for m in MUTANTS if m.file == file]) >= 25 for file in reference)


@pytest.mark.parametrize("stage", sorted({stage for stages in STAGES.values() for stage in stages}))
def test_the_tests_that_a_mutant_is_tried_against_are_there(stage):
    files = [word for word in stage.split() if word.startswith("tests/")]
    assert files
    assert all((ROOT / file).is_file() for file in files)


def test_a_tree_holds_one_mutant_at_a_time(tmp_path):
    (tmp_path / "tree").mkdir()
    for name in ("a.py", "b.py"):
        (tmp_path / "tree" / name).write_text(SOURCE)
    tree = Tree(tmp_path / "tree", tmp_path / "copy")
    times = []
    for name in ("a.py", "b.py", "b.py"):
        tree.put(Mutant(name, "twice", "return 2 * x", f"return {len(times)}"))
        texts = {path.name: path.read_text() for path in tree.folder.iterdir()}
        assert [other for other in texts if texts[other] != SOURCE] == [name]
        times.append((tree.folder / name).stat().st_mtime)
    assert times[0] + 1 < times[1] + 0.5 < times[2]


SOURCE = """class Gate:
    def twice(self, x):
        return 2 * x  # (T,)

    def both(self, x):
        y = x
        y = x
        return y


def twice(x):
    return 2 * x
"""


def test_a_mutant_is_one_line_of_one_function_and_leaves_indentation_and_comment():
    mutant = Mutant("a.py", "Gate.twice", "return 2 * x", "return 3 * x")
    assert changed(SOURCE, mutant) == SOURCE.replace("2 * x  #", "3 * x  #")


@pytest.mark.parametrize(
    ("function", "old", "count"), [("Gate.both", "y = x", 2), ("Gate.both", "y = z", 0), ("Gate", "twice", 0)]
)
def test_a_mutant_without_exactly_one_place_is_refused(function, old, count):
    with pytest.raises(ValueError, match=rf"a.py, {function}: {count} places for: {old}"):
        changed(SOURCE, Mutant("a.py", function, old, "pass"))


def test_a_line_of_no_kind_is_refused():
    with pytest.raises(ValueError, match="line 2 of the list is of no kind: softmax"):
        listed("== a.py\nsoftmax\n")


CODE = '"""Code."""\n\n\ndef half(x):\n    return x / 2\n'
TESTS = "from moe_lessons.code import half\n\n\ndef test_half():\n    assert half(4) == 2\n"
MORE = "from moe_lessons import code\n\n\ndef test_more():\n    assert code.half(0) == 0\n"

KILLED = ("- return x / 2", "+ return x * 2")
ONLY_LATER = ("- return x / 2", "+ return x / 2 or 1")  # the second stage sees it
NO_PLACE = ("- return x / 4", "+ return x")
SAME = ("- return x / 2", "+ return x / 2.0")


@pytest.fixture
def tried(tmp_path):
    """A function that tries mutants of `half` in a small tree and returns what the runner said."""

    def run(*pairs, options=(), tests=TESTS, least=0.5):
        files = {"moe_lessons/__init__.py": "", "moe_lessons/code.py": CODE}
        files |= {"tests/test_code.py": tests, "tests/test_more.py": MORE}
        lines = ["== moe_lessons/code.py", "$ tests/test_code.py", "$ tests/test_more.py", "@ half"]
        files["list.txt"] = "\n".join([*lines, *(line for pair in pairs for line in pair)])
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        light = f"import sys; sys.path.insert(0, {str(HERE)!r}); import core; core.LOADED = (); core.LEAST = {least}"
        command = [sys.executable, "-c", f"{light}; sys.exit(core.main(sys.argv[1:]))", "--root", tmp_path]
        command += ["--list", tmp_path / "list.txt", *options]
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    return run


def row_of_all(done):
    return next(line for line in done.stdout.splitlines() if line.startswith("all")).split()[1:7]


@pytest.mark.slow
def test_what_is_killed_what_is_listed_and_what_has_no_place_is_told(tried):
    done = tried(KILLED, ONLY_LATER, (*SAME, "= Two is two."), NO_PLACE, options=["--show", "--jobs", "2"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "control moe_lessons/code.py: survived" in done.stdout
    assert "killed tests/test_code.py::test_half - assert 8 == 2\n  moe_lessons/code.py, half\n  - ret" in done.stdout
    assert "killed tests/test_more.py::test_more - " in done.stdout
    assert row_of_all(done) == ["4", "2", "1", "0", "1", "66.7%"]


@pytest.mark.slow
def test_a_survivor_that_is_not_listed_and_a_listed_one_that_is_killed_are_shown_and_fail(tried):
    done = tried(SAME, (*KILLED, "= It is not."), ONLY_LATER)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "\nsurvived \n  moe_lessons/code.py, half\n  - return x / 2\n  + return x / 2.0\n" in done.stdout
    assert "\nkilled tests/test_code.py::test_half - " in done.stdout
    assert "or 1" not in done.stdout
    assert row_of_all(done) == ["3", "2", "0", "1", "0", "66.7%"]


@pytest.mark.slow
def test_too_few_killed_fail(tried):
    assert tried(KILLED, (*SAME, "= Two is two."), least=0.6).returncode == 1


@pytest.mark.slow
def test_without_a_control_that_passes_nothing_is_killed(tried):
    done = tried(KILLED, tests=TESTS.replace("2", "3"))
    assert done.returncode == 2
    assert "do not pass on the code as it is: tests/test_code.py::test_half - " in done.stdout


@pytest.mark.slow
def test_a_test_must_fail_twice(tried):
    once = "tries = []\n\n\ndef test_once():\n    tries.append(1)\n    assert len(tries) == 2\n"
    done = tried(KILLED, tests=once)
    assert "control moe_lessons/code.py: survived" in done.stdout
    assert row_of_all(done) == ["1", "0", "0", "1", "0", "0.0%"]
