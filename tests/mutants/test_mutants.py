"""The mutation pass: it makes the mistakes it says, finds every solution, and shows what a lax check lets pass."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from moe_lessons.checks import questions

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from operators import mutants  # noqa: E402
from worked import ROOT, run, worked_solutions  # noqa: E402

SOLUTION = '''
def renormalised(p, k, train=True):
    """p (T, N) -> weights (T, N)"""
    kept = p.copy()
    cut = kept < np.sort(p, axis=-1)[:, -k, None]
    kept[cut] = -np.inf
    if not train:
        kept = kept + 1
    for i in range(k):
        kept[i] = 2 * kept[i].detach()
    return kept / kept.sum(axis=-1, keepdims=True)
'''


@pytest.mark.parametrize(
    ("operator", "now"),
    [
        ("arithmetic", "kept[i] = 2 / kept[i].detach()"),
        ("left_out", "return kept"),
        ("order", "return kept.sum(axis=-1, keepdims=True) / kept"),
        ("comparison", "cut = kept <= np.sort(p, axis=-1)[:, -k, None]"),
        ("constant", "kept[i] = 3 * kept[i].detach()"),
        ("axis", "return kept / kept.sum(axis=0, keepdims=True)"),
        ("keyword", "return kept / kept.sum(axis=-1)"),
        ("sign", "cut = kept < np.sort(p, axis=-1)[:, k, None]"),
        ("sign", "if train:"),
        ("mask", "kept[cut] = -0"),
        ("mask", "kept[~cut] = -np.inf"),
        ("bound", "for i in range(k - 1):"),
        ("bound", "kept[i] = 2 * kept[i + 1].detach()"),
        ("function", "return kept / kept.mean(axis=-1, keepdims=True)"),
        ("not_called", "kept = p"),
        ("not_called", "kept[i] = 2 * kept[i]"),
        ("statement", "without kept[cut] = -np.inf"),
        ("in_place", "kept += 1"),
        ("name", "for i in range(p):"),
    ],
)
def test_each_operator_makes_its_mistakes(operator, now):
    assert (operator, now) in {(mutant.operator, mutant.name) for mutant in mutants(SOLUTION)}


def test_every_mutant_differs_from_the_solution_and_from_the_others():
    made = list(mutants(SOLUTION))
    codes = [ast.unparse(ast.parse(SOLUTION)), *(mutant.code for mutant in made)]
    assert len(set(codes)) == len(codes) > 50
    assert all('"""p (T, N) -> weights (T, N)"""' in code and "train=True" in code for code in codes)
    assert len({mutant.name for mutant in made}) == len(made)


def test_the_axes_of_einsum_and_the_words_of_a_solution_are_exchanged():
    names = {mutant.name for mutant in mutants("y = np.einsum('tn,tnd->td', p, o)\nkind = 'a' if y else 'b'")}
    assert {"y = np.einsum('tn,tnd->dt', p, o)", "y = np.einsum('tn,tnd->t', p, o)"} <= names
    assert "kind = 'b' if y else 'b'" in names


SOURCES = sorted((ROOT / "authoring/exercises").glob("[0-9]*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_every_question_of_a_source_has_a_solution_that_can_be_changed(path):
    found = list(worked_solutions(path))
    assert [w.question for w in found] == [q.id for q in questions().values() if q.set == path.stem.partition("_")[0]]
    assert all(w.name in w.code and list(mutants(w.code)) for w in found)


def test_a_solution_takes_along_what_it_needs_and_no_more(tmp_path):
    source = tmp_path / "01_demo.py"
    source.write_text(
        "# %%\nimport math\nimport torch\n\nslow = 1 / 0\nscale = 2\n\n"
        "# %%\ndef twice(x):\n    # BEGIN SOLUTION\n    slow = scale * x\n    return math.floor(slow)\n"
        '    # END SOLUTION\n\n# %%\ncheck("1.1", twice)\n'
    )
    (worked,) = worked_solutions(source)
    assert worked.before.split("\n") == ["import math", "scale = 2"]
    assert run(worked.code, dict(worked.space))["twice"](3.5) == 7


# In a process of its own: it forks, and pytest has threads.
def pass_over(*questions_and_options, before=""):
    command = f"import sys; sys.path.insert(0, {str(HERE)!r}); import run; {before}\nsys.exit(run.main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", command, *questions_and_options], capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
def test_two_questions_catch_all_their_mutants(tmp_path):
    done = pass_over("1.1", "2.3", "--draws", "2", "--json", str(tmp_path / "mutants.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "100.0%" in done.stdout
    assert '"fate": "named"' in (tmp_path / "mutants.json").read_text()


@pytest.mark.slow
def test_a_check_that_takes_everything_shows_survivors_and_fails(tmp_path):
    lax = "from moe_lessons.checks import question; question.FunctionQuestion.judge = lambda *_: question.Verdict(True)"
    done = pass_over("1.1", "--draws", "2", "--json", str(tmp_path / "mutants.json"), before=lax)
    assert done.returncode == 1, done.stderr
    assert "+ return bias" in done.stdout
    assert "survived, passes 2 of 2 draws" in done.stdout
