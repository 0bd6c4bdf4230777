"""Makes the web edition: pages from executed notebooks and the course's texts, then Sphinx on them.

Usage: python authoring/web.py [--sphinx .site/bin/sphinx-build] [--repository ADDRESS] [NUMBER ...]

Executed copies are those of the test suite (.executed/); what is missing there is executed now, two at a time, and
kept. With numbers of lessons, the other notebooks are shown as they are, without results. Pages lie as the notebooks
do, so that links between them need no change.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import nbformat
from build import course_questions, write_file
from course import Course
from landing import landing, toctree, words
from reference import pages
from shown import LINK, Pictures, page_of

from moe_lessons.support.glossary import Glossary, as_json

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = ROOT / "_site/pages"  # what Sphinx reads
EXTRA = ROOT / "_site/beside"  # what stands beside its pages as it is
HTML = ROOT / "_site/html"
MODULES = DOCS / "node_modules"  # what npm installed
WORKERS = 2
FOLDERS = ("notebooks", "exercises", "solutions")
TEXTS = ("docs/teachers.md", "docs/cheat_sheet.md")
RESULTS = "moe_lessons/experiments/results"
FROM_NPM = {"mathjax/es5/tex-svg.js": "mathjax/tex-svg.js", "mathjax/LICENSE": "mathjax/LICENSE"}
NAMES = {"notebooks": "Lessons", "exercises": "Exercises", "solutions": "Solutions"}


def main(argv: Sequence[str] | None = None) -> int:
    """Write all pages and run Sphinx; return its exit status."""
    options = _parser().parse_args(argv)
    course = Course(ROOT, course_questions)
    paths = _notebooks(course)
    for folder in (EXTRA, HTML):
        shutil.rmtree(folder, ignore_errors=True)
    keep_only(write_notebooks(paths, course, options) | write_texts(paths, course, options.repository))
    write_static(course.glossary)
    return run_sphinx(options)


def run_sphinx(options: argparse.Namespace) -> int:
    """Let Sphinx make HTML of the pages; a warning is an error. Pages that are as they were are not read again."""
    command = [options.sphinx, "-W", "--keep-going", "-q", "-b", "html", "-c", str(DOCS), "-j", str(WORKERS)]
    doctrees = ["-d", str(ROOT / "_site/doctrees"), str(PAGES), str(HTML)]
    environment = {**os.environ, "REPOSITORY": options.repository, "BRANCH": options.branch}
    done = subprocess.run([*command, *doctrees], env=environment, check=False)
    if done.returncode == 0:
        print(f"{len(list(HTML.rglob('*.html')))} pages in {HTML.relative_to(ROOT)}: open index.html")
    return done.returncode


def _parser() -> argparse.ArgumentParser:
    settings = tomllib.loads((DOCS / "site.toml").read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("numbers", nargs="*", help="lessons to show with results, such as 01 04r; all if none")
    parser.add_argument("--sphinx", default=str(ROOT / ".site/bin/sphinx-build"), help="the command sphinx-build")
    parser.add_argument("--repository", default=settings["repository"], help="address on GitHub, for Binder and Colab")
    parser.add_argument("--branch", default=settings["branch"])
    return parser


def _notebooks(course: Course) -> list[Path]:
    """Return the published notebooks, lessons before exercises before solutions, each in the order of the course."""
    steps = {**course.lessons, **course.standalone}
    found = [ROOT / folder / f"{steps[number].stem}.ipynb" for folder in FOLDERS for number in course.order]
    return [path for path in found if path.exists()]


# --- notebooks ----------------------------------------------------------------------------------------------------


def write_notebooks(paths: Sequence[Path], course: Course, options: argparse.Namespace) -> set[Path]:
    """Write the page of every notebook, with what its executed copy shows where that is wanted; return the files."""
    pictures = Pictures(EXTRA / "pictures")
    wanted = [path for path in paths if not options.numbers or _number(path) in options.numbers]
    done = dict(zip(wanted, executed(wanted), strict=True))
    for path in paths:
        published = nbformat.read(path, as_version=4)
        page = page_of(published, done.get(path, published), course.glossary, pictures)
        if path.parent.name == "solutions":
            page.cells[0].source = as_solutions(page.cells[0].source, path.name)
        write_file(PAGES / path.relative_to(ROOT), nbformat.writes(page).encode("utf-8"))
        if options.repository:
            copy = for_colab(published, options.repository, options.branch)
            write_file(EXTRA / "colab" / path.relative_to(ROOT), nbformat.writes(copy).encode("utf-8"))
    return {PAGES / path.relative_to(ROOT) for path in paths}


def as_solutions(text: str, file: str) -> str:
    """Return the first cell of solutions with a title of its own; in notebooks it is that of the exercises."""
    head, _, rest = text.partition("\n")
    title = head.replace("# Exercises ", "# Solutions ")
    return f"{title}\n\n*One way of several to answer each question of [these exercises](../exercises/{file}).*\n{rest}"


def for_colab(notebook: nbformat.NotebookNode, repository: str, branch: str) -> nbformat.NotebookNode:
    """Return a notebook that begins with installing the course: Colab opens a file, and has nothing beside it."""
    install = nbformat.v4.new_code_cell(f'%pip install --quiet "git+{repository}@{branch}"', id="install")
    return nbformat.v4.new_notebook(cells=[install, *notebook.cells], metadata=notebook.metadata)


def _number(path: Path) -> str:
    return path.stem.partition("_")[0]


def executed(paths: Sequence[Path]) -> list[nbformat.NotebookNode]:
    """Return the executed copies of notebooks, WORKERS at a time. Raises SystemExit for one that raises an error."""
    with tempfile.TemporaryDirectory() as shared, ProcessPoolExecutor(WORKERS) as pool:
        return list(pool.map(_executed, paths, [Path(shared)] * len(paths)))


def _executed(path: Path, shared: Path) -> nbformat.NotebookNode:
    """Return the copy that the test suite keeps, or make it: the suite knows how to run and when to run again."""
    sys.path.insert(0, str(ROOT / "tests/notebooks"))
    from running import errors
    from running import executed as run

    done = run(path, shared)
    if faults := errors(done):
        raise SystemExit(f"{path.name}: {faults[0]}")
    return done


# --- other pages --------------------------------------------------------------------------------------------------


def write_texts(paths: Sequence[Path], course: Course, repository: str) -> set[Path]:
    """Write the landing page, the words, the texts in docs/, and the pages on the package; return the files."""
    written = texts(paths, course, repository)
    for name, text in written.items():
        write_file(PAGES / name, text.encode("utf-8"))
    shutil.copytree(ROOT / RESULTS, PAGES / RESULTS, dirs_exist_ok=True)
    return {PAGES / name for name in written}


def keep_only(files: set[Path]) -> None:
    """Remove pages of an earlier run that no source makes any more."""
    for path in PAGES.rglob("*"):
        if path.suffix in (".md", ".ipynb") and path not in files:
            path.unlink()


def texts(paths: Sequence[Path], course: Course, repository: str) -> dict[str, str]:
    """Return the Markdown of all pages that are no notebooks, by path."""
    template = (DOCS / "index.md").read_text(encoding="utf-8")
    start = landing(template, course, visualizer(), repository) + contents(paths)
    plain = {name: (ROOT / name).read_text(encoding="utf-8") for name in TEXTS}
    return {"index.md": start, "glossary.md": words(course.glossary, course), **plain, **pages(ROOT, linked(paths))}


def contents(paths: Iterable[Path]) -> str:
    """Return the table of contents: lessons, exercises and solutions each in order, then the rest."""
    parts: dict[str, list[str]] = {}
    for path in paths:
        parts.setdefault(NAMES[path.parent.name], []).append(f"{path.parent.name}/{path.stem}")
    parts["Besides"] = ["docs/cheat_sheet", "glossary", "moe_lessons/index", "docs/teachers"]
    return "\n" + "\n".join(toctree(caption, names) for caption, names in parts.items())


def linked(paths: Iterable[Path]) -> set[str]:
    """Return the modules that notebooks link to, as paths within the package."""
    found = {target for path in paths for _, target in LINK.findall(path.read_text(encoding="utf-8"))}
    return {target.partition("/")[2] for target in found if target}


def visualizer() -> str:
    """Return the visualizer as HTML that comes alive on the page."""
    from moe_lessons.figures.still import image
    from moe_lessons.widgets.page import block
    from moe_lessons.widgets.visualizer import GatingVisualizer

    widget = GatingVisualizer()
    svg, said = widget.still()
    html = block(widget.name_on_page, widget.page_state(), f"{image(svg)}<p>{said}</p>")
    return Pictures(EXTRA / "pictures").moved_out(html, "")


def write_static(glossary: Glossary) -> None:
    """Write what the pages load: MathJax, the widgets' modules and styles, the words, the verdicts' style."""
    from moe_lessons.widgets.page import modules

    for source, target in FROM_NPM.items():
        _copy(MODULES / source, EXTRA / "_static" / target)
    for name, text in modules().items():
        write_file(EXTRA / "_static/widgets" / name, text.encode("utf-8"))
    write_file(EXTRA / "_static/glossary.json", as_json(glossary).encode("utf-8"))
    _copy(ROOT / "moe_lessons/checks/cards.css", EXTRA / "_static/cards.css")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


if __name__ == "__main__":
    sys.exit(main())
