"""What every lesson must have, checked on the notebooks that learners open."""

import re

import nbformat
import numpy as np
import pytest
from running import ROOT

from moe_lessons.checks import questions

LESSONS = {path.stem: nbformat.read(path, as_version=4) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
ALL = {
    path: nbformat.read(path, as_version=4)
    for folder in ("notebooks", "exercises", "solutions")
    for path in sorted((ROOT / folder).glob("*.ipynb"))
}
FULL = {name: notebook for name, notebook in LESSONS.items() if not name.startswith("00")}


def text(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def tagged(notebook, tag):
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def minutes(notebook):
    return int(re.search(r"\*\*Time:\*\* about (\d+) minutes", text(notebook))[1])


def words(notebook):
    prose = re.sub(r"\$[^$]*\$|<[^>]*>|https?://\S+|`[^`]*`", " x ", text(notebook))
    return len(re.findall(r"[A-Za-zÀ-ÿ][\w'’-]*", prose))


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_opens_with_what_it_is_for(name):
    first = LESSONS[name].cells[0].source
    assert first.startswith("# ")
    assert "You will be able to" in first
    assert 3 <= len(re.findall(r"^\d\. ", first, re.MULTILINE)) <= 6
    assert "**Before:**" in first
    assert minutes(LESSONS[name]) in range(5, 41)


@pytest.mark.parametrize("name", FULL)
def test_a_full_lesson_has_its_parts(name):
    notebook, prose = FULL[name], text(FULL[name])
    assert 40 <= len(notebook.cells) <= 65
    assert 1200 <= words(notebook) <= 2500
    assert len(tagged(notebook, "predict")) >= 2
    assert "You should see" in prose
    assert "> **Myth: " in prose
    assert "## Recap" in prose
    assert len(re.findall(r"^\*\*\d\. ", prose.split("## Quiz")[1], re.MULTILINE)) == 3
    assert prose.split("## Quiz")[1].count("<summary>Answer</summary>") == 3
    assert f"../exercises/{name}.ipynb" in prose
    assert "../moe_lessons/" in prose


@pytest.mark.parametrize("name", FULL)
def test_objectives_and_recap_mirror_each_other(name):
    prose = text(FULL[name])
    objectives = re.findall(r"^\d\. ", FULL[name].cells[0].source, re.MULTILINE)
    recap = re.findall(r"^\d\. ", prose.split("## Recap")[1].split("## Quiz")[0], re.MULTILINE)
    assert len(objectives) == len(recap)


@pytest.mark.parametrize("path", ALL, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_code_cells_are_short_and_the_folds_are_closed(path):
    for cell in ALL[path].cells:
        if cell.cell_type == "code":
            assert sum(bool(line.strip()) for line in cell.source.splitlines()) <= 25, cell.id
        else:
            assert cell.source.count("<details>") == cell.source.count("</details>"), cell.id


@pytest.mark.parametrize("path", ALL, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_link_leads_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)\)", re.sub(r"`[^`]*`", "", text(ALL[path]))):
        if not target.startswith("http"):
            assert (path.parent / target).resolve().exists(), target


@pytest.mark.parametrize("where", ["README.md", "notebooks/00_start_here.ipynb"])
def test_the_map_names_every_lesson_with_its_minutes(where):
    page = text(LESSONS["00_start_here"]) if where.endswith("ipynb") else (ROOT / where).read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("|")]
    for name, notebook in LESSONS.items():
        number = name.split("_")[0]
        row = next(row for row in rows if re.match(rf"\|\s*\[?{number}\b", row))
        assert f"{minutes(notebook)} min" in row, row
        assert "planned" not in row
        exercises = sum(q.minutes for q in questions().values() if q.set == number)
        assert not exercises or row.count(f"{exercises} min") >= 1, row


@pytest.mark.parametrize("path", [path for path in ALL if path.parent.name == "exercises"], ids=lambda path: path.stem)
def test_the_minutes_of_a_set_are_the_same_wherever_they_stand(path):
    asked = sum(q.minutes for q in questions().values() if q.set == path.name[:2])
    found = re.findall(r"questions, about (\d+) minutes", text(ALL[path]))
    found += re.findall(rf"{path.name}\), about (\d+) minutes", text(LESSONS[path.stem]))
    assert set(found) == {str(asked)}


@pytest.mark.parametrize("path", ALL, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_lesson_that_is_spoken_of_exists(path):
    lists = re.findall(r"\blessons? (\d\d(?:(?:, | and | or )\d\d)*)", text(ALL[path]), re.IGNORECASE)
    spoken_of = {number for found in lists for number in re.findall(r"\d\d", found)}
    assert spoken_of <= {name[:2] for name in LESSONS}


def test_the_changes_that_lesson_06_suggests_run():
    from moe_lessons.data import clustered_regression
    from moe_lessons.experiments import worth_it

    change, layers = re.findall(r"`([^`]+)`", LESSONS["06_counting_the_cost"].cells[-1].source)
    names = {"worth_it": worth_it}
    exec(layers, names)
    for (kind, _), make in names["three"].items():
        run = worth_it.train_and_test(kind, make, clustered_regression(T=64, test_T=64), steps=2, **eval(change))
        assert np.isfinite(run.error)


def test_the_lesson_types_the_worked_example_that_the_package_holds():
    from moe_lessons.data import worked_example

    cell = next(
        c for c in LESSONS["01_worked_example"].cells if c.cell_type == "code" and c.source.startswith("x = np")
    )
    space = {}
    exec("import numpy as np\n" + cell.source, space)
    x, W_g = worked_example()
    assert space["x"].tolist() == x.tolist()
    assert space["W_g"].tolist() == W_g.tolist()


@pytest.mark.parametrize("path", [path for path in ALL if path.parent.name == "exercises"], ids=lambda path: path.stem)
def test_each_check_is_given_the_answer_that_its_question_names(path):
    code = "\n".join(cell.source for cell in ALL[path].cells if cell.cell_type == "code")
    given = dict(re.findall(r'check\("([\d.]+)", (\w+)\)', code))
    assert given == {q.id: q.answer for q in questions().values() if q.set == path.name[:2]}
