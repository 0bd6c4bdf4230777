"""How long the processor works for each lesson, and for its long cells beside the seconds that their tags tell.

The minutes of a lesson are computed from these tags. How fast this machine is, is the median of all cells with a tag:
a tag that is less than half or more than twice of what its cell then takes is to be corrected.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import nbformat
from bench import ROOT, Row

sys.path += [str(ROOT / "tests" / "notebooks"), str(ROOT / "authoring")]
from percent import RUNNING, TAGS, read_cells
from running import measured

LONG = 5.0  # seconds; what takes less needs no tag
LONGEST_CELL_MS = 60_000


def measure() -> Iterator[Row]:
    """Yield a row for each lesson, run once in a kernel of its own, and then one for each of its long cells."""
    worked, told = {}, {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = {f"{path.stem}: {name}": seconds for name, seconds in seconds_of_cells(path).items()}
        whole = 1000 * sum(cells.values())
        yield Row(f"{path.stem}, all cells", whole, whole, 1)
        worked |= cells
        told |= {f"{path.stem}: {name}": seconds for name, seconds in declared(path).items()}
    speed = median(worked[cell] / told[cell] for cell in told)
    for cell in sorted(cell for cell in worked if cell in told or worked[cell] > LONG * speed):
        tag = told.get(cell, LONG)
        note = f"{worked[cell] / speed / tag:.1f} times the {tag:g} s of {'its tag' if cell in told else 'no tag'}"
        yield Row(cell, 1000 * worked[cell], 1000 * worked[cell], 1, LONGEST_CELL_MS, note)


def seconds_of_cells(path: Path) -> dict[str, float]:
    """Return the seconds that the processor works for each cell of a lesson, by the cell's name."""
    with tempfile.TemporaryDirectory() as work:
        notebook = measured(nbformat.read(path, as_version=4), path.parent, Path(work), timeout=900)
    return {cell.id: cell.metadata["seconds"] for cell in notebook.cells if "seconds" in cell.metadata}


def declared(path: Path) -> dict[str, float]:
    """Return the seconds that each cell of a lesson declares, by its name."""
    cells = read_cells((ROOT / "authoring" / "lessons" / f"{path.stem}.py").read_text(encoding="utf-8"), TAGS)
    tags = {cell.id: [tag for tag in cell.tags if RUNNING.fullmatch(tag)] for cell in cells}
    return {name: float(found[0].removesuffix(" s")) for name, found in tags.items() if found}
