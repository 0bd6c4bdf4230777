"""How long each lesson takes from its first cell to its last, and its slowest cell: below a minute is the aim."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
from bench import ROOT, Row

sys.path.append(str(ROOT / "tests" / "notebooks"))
from running import run

LONGEST_CELL_MS = 60_000


def measure() -> Iterator[Row]:
    """Yield two rows for each lesson, run once in a kernel of its own."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as work:
            notebook = run(nbformat.read(path, as_version=4), path.parent, Path(work), timeout=900)
        cells = [(1000 * cell.metadata.get("seconds", 0.0), cell.id) for cell in notebook.cells]
        slowest, name = max(cells)
        whole = sum(ms for ms, _ in cells)
        yield Row(f"{path.stem}, all cells", whole, whole, 1)
        yield Row(f"{path.stem}, slowest cell", slowest, slowest, 1, LONGEST_CELL_MS, name)
