"""`make bench`: measure what the course promises, print a table, keep it as JSON in bench-results/.

Each module listed in PARTS has `measure()`, which yields rows, or `main()`, which prints and keeps tables of its own.
Times are measured, never asserted: a slow machine is no failure of the course.
"""

import argparse
import json
import platform
import statistics
import sys
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PARTS = ("startup", "pictures", "lessons", "model", "layers")


@dataclass(frozen=True)
class Row:
    """One measured thing: median, 95th percentile and number of runs, in milliseconds, beside its aim if it has one."""

    what: str
    median_ms: float
    p95_ms: float
    runs: int
    aim_ms: float | None = None
    note: str = ""


def summary(what: str, milliseconds: list[float], aim_ms: float | None = None, note: str = "") -> Row:
    """Return the row for a list of measured times."""
    p95 = statistics.quantiles(milliseconds, n=20)[-1] if len(milliseconds) > 1 else milliseconds[0]
    return Row(what, statistics.median(milliseconds), p95, len(milliseconds), aim_ms, note)


def main() -> None:
    """Measure all parts, or those named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=PARTS, metavar="PART", help=f"any of {', '.join(PARTS)}")
    sys.path[:0] = [str(HERE), str(ROOT / "tests" / "browser")]
    rows = []
    print(f"{'':<58}{'median':>10}{'95 %':>10}{'runs':>6}{'aim':>9}")
    for part in parser.parse_args().parts:
        module = import_module(part)
        if hasattr(module, "main"):
            module.main()
            continue
        for row in module.measure():
            rows.append(row)
            aim = f"{row.aim_ms:.0f} ms" if row.aim_ms else ""
            times = f"{row.median_ms:>7.1f} ms{row.p95_ms:>7.1f} ms{row.runs:>6}{aim:>9}"
            print(f"{row.what:<58}{times}  {row.note}", flush=True)
    if rows:
        keep(rows)


def keep(rows: list[Row]) -> None:
    """Write the rows and the machine they were measured on."""
    results = ROOT / "bench-results"
    results.mkdir(exist_ok=True)
    machine = {"python": platform.python_version(), "system": platform.platform(), "processor": platform.machine()}
    path = results / "bench.json"
    path.write_text(json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=1), encoding="utf-8")
    print(f"kept in {path.relative_to(ROOT)}")


if __name__ == "__main__":
    # Rows are made by modules that import this file by its name: make both the same module.
    sys.modules["bench"] = sys.modules["__main__"]
    main()
