"""The command line: `python -m moe_lessons.grading SUBMISSIONS -o marks.csv`."""

import argparse
import os
import re
import signal
import sys
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from moe_lessons.checks.question import SET_NUMBER, set_name
from moe_lessons.grading import batch, questions, sandbox
from moe_lessons.grading.feedback import feedback_name, feedback_page
from moe_lessons.grading.learners import classes_in
from moe_lessons.grading.overview import overview_page
from moe_lessons.grading.records import Ended
from moe_lessons.grading.report import Results, canvas_csv, failed, marks_csv, marks_json, moodle_csvs, one_line
from moe_lessons.grading.sandbox import Sandbox
from moe_lessons.grading.store import Store, basis, secret_from, secret_in
from moe_lessons.grading.task import Task
from moe_lessons.support.storage import write_atomically

OK, TROUBLE, USAGE, INTERRUPTED = 0, 1, 2, 130

TRUSTED = """\
--trusted: submissions run without a sandbox, as you. They can read and change your files, use the network, see the
secret and other submissions, and change their own marks. Do this only with code that you would run yourself."""

ENDING = """\
Beside marks.csv it writes marks.json, marks-gradebook.csv (for Canvas), marks-moodle.csv (where files come from
Moodle; of several sets marks-moodle-01.csv and so on), marks-overview.html, marks-feedback/ (a page for each file)
and marks.d/ (what a next run goes on from, and the secret). Exit status: 0 every file ended well, 1 some had trouble
or a folder could not be read, 2 nothing was graded, 130 interrupted."""


@dataclass(frozen=True)
class Outputs:
    """Where everything goes: beside the table of marks, under the same name."""

    csv: Path

    def beside(self, ending: str) -> Path:
        """Return marks-overview.html for "-overview.html", and so on."""
        return self.csv.with_name(self.csv.stem + ending)


@dataclass(frozen=True)
class Batch:
    """One run: what was asked for on the command line, made ready."""

    options: argparse.Namespace
    found: batch.Found
    asked: questions.Questions
    store: Store
    task: Task


def main(arguments: list[str] | None = None) -> int:
    """Grade a folder and return the exit status."""
    options = _options(arguments)
    try:
        ready = _prepared(options)
    except (ValueError, OSError) as error:
        print(f"Nothing was graded. {error}", file=sys.stderr)
        return USAGE
    try:
        _grade(ready)
        return _report(ready)
    except KeyboardInterrupt:
        print("\nInterrupted. What was graded is kept: the same command goes on from here.", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        print(f"A result could not be written. What was graded before is kept. {error}", file=sys.stderr)
        return TROUBLE


def _prepared(options: argparse.Namespace) -> Batch:
    """Make everything ready. Raises ValueError or OSError with the reason why nothing can be graded."""
    box = _sandbox(options.trusted)
    asked = questions.chosen(options.sets, options.private)
    private = options.private.read_bytes() if options.private else b""
    found, kept = _found(options.submissions), Outputs(options.out).beside(".d")
    secret = secret_from(options.secret) if options.secret else secret_in(kept)
    store = Store(kept, basis(list(asked), private, secret, options.trusted))
    task = Task(options.submissions, tuple(options.sets), options.private, secret, box)
    return Batch(options, found, asked, store, task)


def _grade(ready: Batch) -> None:
    """Grade what is not graded yet."""
    options, files = ready.options, ready.found.files
    mine = batch.part(files, *options.only)
    looks = {file: batch.look(options.submissions, file) for file in mine}
    kept = {} if options.again else batch.known(mine, looks, ready.store)
    done = {file for file, record in kept.items() if not failed(record)}
    todo = {file: look for file, look in looks.items() if file not in done and isinstance(look, str)}
    print(f"{len(mine)} of {len(files)} notebooks are for this run; {len(todo)} to grade.", file=sys.stderr)
    batch.run(todo, partial(batch.alone, ready.task.grade), ready.store, options.jobs)


def _report(ready: Batch) -> int:
    """Write the reports about all files that are graded by now, by this run or another."""
    outputs, found = Outputs(ready.options.out), ready.found
    with ready.store.locked():
        looks = {file: batch.look(ready.options.submissions, file) for file in found.files}
        results = Results.of(batch.known(found.files, looks, ready.store).values(), ready.asked, found.files)
        _write(outputs, results, found.passed_over)
        complete = _write_feedback(outputs, results)
    ended = Counter(record.ended for record in results.records)
    missing = len(found.files) - len(results.records)
    said = ", ".join(f"{ended[end]} {end}" for end in Ended if end in ended)
    print(f"{outputs.csv}: {said}" + (f"; {missing} not graded yet" if missing else ""))
    for what, names in (("several learners", classes_in(found.files)), ("passed over", found.passed_over)):
        for name in names:
            print(f"{what}: {one_line(name)}", file=sys.stderr)
    return OK if complete and found.complete and not results.troubled else TROUBLE


def _write(outputs: Outputs, results: Results, passed_over: list[str]) -> None:
    """Write every table, and the page about the class."""
    write_atomically(outputs.csv, marks_csv(results))
    write_atomically(outputs.beside(".json"), marks_json(results, passed_over))
    write_atomically(outputs.beside("-gradebook.csv"), canvas_csv(results))
    _write_moodle(outputs, moodle_csvs(results))
    write_atomically(outputs.beside("-overview.html"), overview_page(results, passed_over))


def _write_moodle(outputs: Outputs, sheets: dict[str, bytes]) -> None:
    """Write a worksheet for each set; those of a run about other sets go, so that none is taken for one of these."""
    one = re.compile(re.escape(outputs.csv.stem) + rf"-moodle(-{SET_NUMBER})?\.csv")
    new = {outputs.beside(f"-moodle-{name}.csv" if len(sheets) > 1 else "-moodle.csv"): sheets[name] for name in sheets}
    for path in outputs.csv.parent.iterdir():
        if one.fullmatch(path.name) and path not in new:
            path.unlink()
    for path, sheet in new.items():
        write_atomically(path, sheet)


def _write_feedback(outputs: Outputs, results: Results) -> bool:
    """Write a page for each file, and tell whether all could be: file names are their authors' choice."""
    failed = False
    for record in results.records:
        try:
            page = outputs.beside("-feedback") / feedback_name(record.file)
            write_atomically(page, feedback_page(record, results.questions))
        except OSError as error:
            failed = True
            print(f"no feedback page for {record.file!r}: {error.strerror}", file=sys.stderr)
    return not failed


def _found(folder: Path) -> batch.Found:
    """Return what there is to grade. Raises ValueError when there is nothing, or no such folder."""
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}.")
    found = batch.find(folder)
    if not found.files:
        raise ValueError(f"There is no notebook (.ipynb) in {folder}.")
    return found


def _sandbox(trusted: bool) -> Sandbox:
    """Return what submissions run in. Raises ValueError where they cannot be kept from doing harm, unless trusted."""
    if trusted:
        print(TRUSTED, file=sys.stderr)
    box = sandbox.trusted() if trusted else sandbox.available()
    if isinstance(box, Sandbox):
        return box
    also = "" if trusted else " Submissions that you trust as your own code can be graded without it: --trusted."
    raise ValueError(f"No sandbox: {box}.{also}")


def _options(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line. Ends with status 2 when it makes no sense."""
    parser = argparse.ArgumentParser(
        "python -m moe_lessons.grading", description="Mark a folder of exercise notebooks.", epilog=ENDING
    )
    parser.add_argument("submissions", type=Path, help="folder with notebooks; its first folders are the learners")
    parser.add_argument("-o", "--out", type=_csv, default=Path("marks.csv"), metavar="marks.csv", help="the table")
    parser.add_argument("--jobs", type=_jobs, default=_cores(), help="files graded at a time (default: one a core)")
    parser.add_argument("--sets", type=_sets, default=[], metavar="04,05", help="mark these exercise sets only")
    parser.add_argument("--only", type=_part, default=(1, 1), metavar="i/n", help="of n equal parts, grade part i")
    parser.add_argument("--again", action="store_true", help="grade files anew that are graded already")
    parser.add_argument("--private", type=Path, metavar="FILE", help="a Python file with QUESTIONS of your own")
    parser.add_argument("--secret", type=Path, metavar="FILE", help="take the secret from here, not from marks.d/")
    parser.add_argument("--trusted", action="store_true", help="run submissions without a sandbox")
    return parser.parse_args(arguments)


def _cores() -> int:
    """Return how many cores this process may use: in a job array fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _csv(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() != ".csv":
        raise argparse.ArgumentTypeError(f"{text}: expected a name that ends in .csv")
    return path


def _jobs(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,3}", text):
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number from 1")
    return int(text)


def _sets(text: str) -> list[str]:
    return sorted({set_name(name.strip()) for name in text.split(",") if name.strip()})


def _part(text: str) -> tuple[int, int]:
    numbers = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    which, of = map(int, numbers.groups()) if numbers else (0, 0)
    if not 1 <= which <= of:
        raise argparse.ArgumentTypeError(f"{text}: expected i/n with i from 1 to n, such as 2/8")
    return which, of


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a job whose time is over stops as with Ctrl-C
    # The processes that judge inherit this: one thread each, so that --jobs says how many cores are at work.
    os.environ |= {name: count for name, count in sandbox.ENVIRONMENT.items() if name.endswith("_NUM_THREADS")}
    sys.exit(main())
