"""A cell that works for long says so: the minutes of a lesson are computed from the seconds of its tag."""

from statistics import median

import pytest
from checked import ROOT
from percent import RUNNING, TAGS, read_cells
from running import executed

pytestmark = pytest.mark.slow

LONG = 5  # seconds; what takes less needs no tag
LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def declared(path):
    """Return the seconds that each cell of a lesson declares, by its name."""
    cells = read_cells((ROOT / "authoring" / "lessons" / f"{path.stem}.py").read_text(encoding="utf-8"), TAGS)
    tags = {cell.id: [tag for tag in cell.tags if RUNNING.fullmatch(tag)] for cell in cells}
    return {name: float(found[0].removesuffix(" s")) for name, found in tags.items() if found}


def untrue(worked, told):
    """Name the cells that work more than twice or less than half of what is told, on a machine of usual speed.

    How fast this one is, is the median of all cells that tell anything: so the comparison is of cells in one run.
    """
    speed = median(worked[cell] / told[cell] for cell in told)
    lasted = {cell: seconds / speed for cell, seconds in worked.items()}
    wrong = [cell for cell in told if not 0.5 <= lasted[cell] / told[cell] <= 2]
    silent = [cell for cell in lasted.keys() - told.keys() if lasted[cell] > 2 * LONG]
    return [f"{cell}: {lasted[cell]:.1f} s" for cell in sorted([*wrong, *silent])]


def test_the_tag_of_a_cell_tells_how_long_it_works(shared):
    worked, told = {}, {}
    for path in LESSONS:
        cells = executed(path, shared).cells
        worked |= {f"{path.stem}: {c.id}": c.metadata["seconds"] for c in cells if "seconds" in c.metadata}
        told |= {f"{path.stem}: {name}": seconds for name, seconds in declared(path).items()}
    assert len(told) > 10
    assert untrue(worked, told) == []


def test_broken_control_a_tag_that_is_untrue_and_one_that_is_missing_are_found():
    worked = {"a": 10.0, "b": 40.0, "c": 3.0, "d": 21.0, "e": 41.0, "f": 16.0}
    told = {"a": 5.0, "b": 21.0, "c": 3.2, "f": 8.0}  # on a machine that takes twice as long
    assert untrue(worked, told) == ["c: 1.5 s", "d: 10.8 s", "e: 21.0 s"]
