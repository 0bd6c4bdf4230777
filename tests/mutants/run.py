"""`make mutants`: measure how many small mistakes in the worked solutions the checks catch.

Prints a table for each exercise set, keeps every mutant in bench-results/mutants.json, and exits with 1 if one gets
past its check and is not listed in equivalent.toml with the reason why it is a right answer.

    python tests/mutants/run.py                 every question
    python tests/mutants/run.py 04 5.3          set 04 and one more question
    python tests/mutants/run.py 4.2 --show      with every mutant and what became of it
    python tests/mutants/run.py core            mistakes in the course's own code against its tests: see core.py
"""

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import torch
from operators import Mutant, mutants
from trial import FAULT, KILLED, NAMED, REMARKED, SAME, SURVIVED, Outcome, examine, trials
from worked import ROOT, Worked, worked_solutions

from moe_lessons.checks import questions
from moe_lessons.checks.question import Question

HERE = Path(__file__).parent
DRAWS = 5
SECONDS = 90  # for one question: where a check trains something, only every n-th mutant is tried


@dataclass
class Tally:
    """What became of the mutants of one question. `listed` are the survivors that equivalent.toml explains."""

    question: str
    outcomes: list[Outcome] = field(default_factory=list)
    listed: set[str] = field(default_factory=set)
    stale: list[str] = field(default_factory=list)
    left_out: int = 0

    def count(self, *fates: str) -> int:
        """Return how many mutants ended so."""
        return sum(outcome.fate in fates for outcome in self.outcomes)

    @property
    def survivors(self) -> list[Outcome]:
        """The mutants that a check took for right and that nothing excuses, and those that broke the check."""
        return [o for o in self.outcomes if o.fate in (SURVIVED, FAULT) and o.mutant.name not in self.listed]


def main(arguments: list[str] | None = None) -> int:
    """Try the mutants of the questions or sets named, print and keep the result; return the exit status."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    known, tallies = equivalents(), []
    print(HEAD)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MOE_LESSONS_HOME"] = folder  # nobody's progress
        for worked in chosen(options.only):
            tallies.append(measured(worked, known.get(worked.question, set()), options))
            tell(tallies[-1], options.show)
    print(f"\n{HEAD}")
    for name in dict.fromkeys(questions()[t.question].set for t in tallies):
        print(_line(f"set {name}", [t for t in tallies if questions()[t.question].set == name]))
    print(_line("all", tallies))
    keep(tallies, options.json)
    return 1 if any(t.survivors or t.stale for t in tallies) or not tallies else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("only", nargs="*", metavar="SET or QUESTION", help="such as 04 or 5.3; default: all")
    parser.add_argument("--draws", type=int, default=DRAWS, help="checks of each mutant, with different inputs")
    parser.add_argument("--jobs", type=int, default=1, help="mutants tried at once")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for one question; then mutants are left out")
    parser.add_argument("--json", type=Path, default=ROOT / "bench-results" / "mutants.json", help="where to keep them")
    parser.add_argument("--show", action="store_true", help="show every mutant, not the survivors alone")
    return parser


def chosen(only: list[str]) -> Iterator[Worked]:
    """Yield the worked solutions of the sets or questions named, or all."""
    for path in sorted((ROOT / "authoring/exercises").glob("[0-9]*.py")):
        for worked in worked_solutions(path):
            if not only or worked.question in only or questions()[worked.question].set in only:
                yield worked


def equivalents() -> dict[str, set[str]]:
    """Return for each question the mutants that are right answers."""
    found: dict[str, set[str]] = {}
    for entry in tomllib.loads((HERE / "equivalent.toml").read_text("utf-8"))["right"]:
        assert entry["reason"], entry
        found.setdefault(entry["question"], set()).update(entry["now"])
    return found


def measured(worked: Worked, listed: set[str], options: argparse.Namespace) -> Tally:
    """Try the mutants of one question: all, or as many as its time allows, spread over the solution."""
    question = questions()[worked.question]
    draws = options.draws if question.random_inputs else 1
    every = list(mutants(worked.code))
    seconds = seconds_of_a_check(worked, question)
    affordable = max(10, int(options.seconds * options.jobs / (draws * seconds)))
    step = max(1, -(-len(every) // affordable))
    outcomes = list(trials(worked, question, every[::step], draws, options.jobs))
    survivors = {o.mutant.name for o in outcomes if o.fate == SURVIVED}
    tried = {o.mutant.name for o in outcomes}
    stale = sorted(name for name in listed - survivors if step == 1 or name in tried)
    return Tally(question.id, outcomes, listed, stale, len(every) - len(outcomes))


def seconds_of_a_check(worked: Worked, question: Question) -> float:
    """Time the second check of the solution itself; what the first one loads, every fork inherits."""
    seconds = 0.0
    for _ in range(2):
        start = time.monotonic()
        with contextlib.redirect_stdout(io.StringIO()):
            right = examine(worked, question, Mutant("none", worked.code, "", ""), 1)
        assert right.fate == SURVIVED, f"{question.id}: the worked solution itself is refused: {right.message}"
        seconds = time.monotonic() - start
    return seconds


HEAD = f"{'':<9}{'mutants':>8}{'killed':>8}{'equivalent':>12}{'survivors':>11}{'score':>8}   named  not tried"


def tell(tally: Tally, everything: bool) -> None:
    """Print a question's row, and below it the mutants that got past its check, or all of them."""
    print(_line(tally.question, [tally]), flush=True)
    for outcome in tally.outcomes if everything else tally.survivors:
        print(_story(outcome))
    for name in tally.stale:
        print(f"      equivalent.toml lists what is no survivor: {name}")


def _line(name: str, tallies: list[Tally]) -> str:
    """Write one row: score is the share of the killed among those that are not right answers."""
    killed = sum(t.count(*KILLED) for t in tallies)
    survivors = sum(len(t.survivors) for t in tallies)
    equivalent = sum(t.count(SURVIVED, FAULT, SAME) for t in tallies) - survivors
    score = killed / (killed + survivors) if killed + survivors else 0
    named = sum(t.count(NAMED) for t in tallies) / killed if killed else 0
    numbers = f"{killed + survivors + equivalent:>8}{killed:>8}{equivalent:>12}{survivors:>11}{score:>8.1%}"
    return f"{name:<9}{numbers}{named:>8.0%}{sum(t.left_out for t in tallies):>11}"


def _story(outcome: Outcome) -> str:
    """Tell of one mutant in two lines."""
    passed = f", passes {outcome.passed} of {outcome.draws} draws" if outcome.fate in (SURVIVED, REMARKED) else ""
    named = f" ({', '.join(outcome.mistakes)})" if outcome.mistakes else ""
    lines = f"    - {outcome.mutant.was}\n    + {outcome.mutant.name}"
    fault = f": {outcome.message}" if outcome.fate == FAULT else ""
    return f"{lines}\n      {outcome.mutant.operator}: {outcome.fate}{named}{passed}{fault}"


def keep(tallies: list[Tally], path: Path) -> None:
    """Write every mutant with what became of it as JSON."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([asdict(t) | {"listed": sorted(t.listed)} for t in tallies], indent=1) + "\n", "utf-8")
    print(f"\nkept in {path}")


if __name__ == "__main__":
    if "core" in sys.argv:  # in a process that has loaded nothing of the course
        rest = [argument for argument in sys.argv[1:] if argument != "core"]
        os.execv(sys.executable, [sys.executable, str(HERE / "core.py"), *rest])
    sys.exit(main())
