"""The command line: `python -m moe_lessons.grading SUBMISSIONS -o marks.csv`."""

import argparse
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from moe_lessons.checks import registry
from moe_lessons.checks.question import set_name
from moe_lessons.grading import batch, marking, questions, sandbox
from moe_lessons.grading.companions import companions
from moe_lessons.grading.feedback import feedback_name, feedback_page
from moe_lessons.grading.learners import classes_in
from moe_lessons.grading.limits import limits
from moe_lessons.grading.outputs import Outputs, seen_by_git
from moe_lessons.grading.overview import overview_page
from moe_lessons.grading.records import Ended, Record
from moe_lessons.grading.report import (
    Results,
    canvas_csv,
    doubts,
    failed,
    marks_csv,
    marks_json,
    moodle_csvs,
    one_line,
    roster_csv,
)
from moe_lessons.grading.roster import Person, read_roster
from moe_lessons.grading.sandbox import Limits, Sandbox
from moe_lessons.grading.store import Store, basis, secret_from, secret_in
from moe_lessons.grading.task import Task

OK, TROUBLE, USAGE, INTERRUPTED = 0, 1, 2, 130

TRUSTED = """\
--trusted: submissions run without a sandbox, as you. They can read and change your files, use the network, see the
secret and other submissions, and change their own marks. Do this only with code that you would run yourself."""

NOT_READ = f"""\
{marking.FILE} in the folder of submissions is not read: anyone may have put it there. Yours lies beside that folder, or
is named with --marking."""

FILES = {
    "marking": "your points, late rule, overrides and comments (default: marking.toml beside the folder, if there)",
    "roster": "the class, a name on each line or a platform's table: tells who is missing",
    "private": "a Python file with QUESTIONS of your own",
    "secret": "take the secret from here, not from marks.d/",
}

ENDING = """\
Beside marks.csv it writes marks.json, marks-gradebook.csv (for Canvas), marks-moodle.csv (where files come from
Moodle; of several sets marks-moodle-01.csv and so on), marks-overview.html, marks-feedback/ (a page for each file)
and marks.d/ (what a next run goes on from, and the secret); with --roster marks-roster.csv. What you changed in these
goes to marks-edited/. Points, a late rule, overrides and comments of yours stand in marking.toml beside the folder of
submissions. Exit status: 0 every file ended well, 1 some had trouble, a folder could not be read or marking.toml names
somebody who is not there, 2 nothing was graded, 130 interrupted."""


@dataclass(frozen=True)
class Batch:
    """One run: what was asked for on the command line, made ready."""

    options: argparse.Namespace
    found: batch.Found
    asked: questions.Questions
    store: Store
    task: Task
    marking: marking.Marking
    roster: tuple[Person, ...]

    def looked(self, files: list[str]) -> tuple[dict[str, str | Record], list[str]]:
        """Look at notebooks and what was handed in with them. Return their digests, and what went with none.

        Of one that cannot be read the record says why.
        """
        looks: dict[str, str | Record] = {}
        used: set[str] = set()
        for file in files:
            beside = companions(self.options.submissions, file, self.task.classes)
            looks[file] = batch.look(self.options.submissions, file, beside)
            used |= set(beside.paths.values())
        return looks, [name for name in self.found.passed_over if name not in used]


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
    box = _sandbox(options.trusted, options.limits)
    if not box.trusted:
        _keep_out_of_sight(options)
    asked = questions.chosen(options.sets, options.private)
    declared = _marking(options, asked)
    roster = read_roster(options.roster) if options.roster else ()
    private = options.private.read_bytes() if options.private else b""
    found, kept = _found(options.submissions), Outputs(options.out).beside(".d")
    secret = secret_from(options.secret) if options.secret else secret_in(kept)
    store = Store(kept, basis(list(asked), private, secret, options.trusted, options.limits))
    classes = tuple(classes_in(found.files))
    task = Task(options.submissions, tuple(options.sets), options.private, secret, box, classes)
    return Batch(options, found, asked, store, task, declared, roster)


def _keep_out_of_sight(options: argparse.Namespace) -> None:
    """Raise ValueError where something that is a teacher's lies in a folder that submissions can read."""
    for name in ("submissions", "out", *FILES):
        path = getattr(options, name)
        if path and (place := sandbox.in_sight(path)):
            raise ValueError(f"{path}: submissions can read what is in {place}. Put it into another folder.")


def _marking(options: argparse.Namespace, asked: questions.Questions) -> marking.Marking:
    """Return what the teacher's file declares; nothing where there is none. Raises ValueError, OSError."""
    beside = options.submissions.absolute().parent / marking.FILE
    file = options.marking or (beside if beside.is_file() else None)
    if file is None:
        if (options.submissions / marking.FILE).is_file():
            print(NOT_READ, file=sys.stderr)
        return marking.Marking()
    print(f"Points, rules, overrides and comments: {file}", file=sys.stderr)
    return marking.read_marking(file, registry.questions() | asked)


def _grade(ready: Batch) -> None:
    """Grade what is not graded yet."""
    options, files = ready.options, ready.found.files
    mine = batch.part(files, *options.only)
    looks, _ = ready.looked(mine)
    kept = {} if options.again else batch.known(mine, looks, ready.store)
    done = {file for file, record in kept.items() if not failed(record)}
    todo = {file: look for file, look in looks.items() if file not in done and isinstance(look, str)}
    print(f"{len(mine)} of {len(files)} notebooks are for this run; {len(todo)} to grade.", file=sys.stderr)
    batch.run(todo, partial(batch.alone, ready.task.grade), ready.store, options.jobs)


def _report(ready: Batch) -> int:
    """Write the reports about all files that are graded by now, by this run or another."""
    outputs, found = Outputs(ready.options.out), ready.found
    with ready.store.locked():
        looks, passed_over = ready.looked(found.files)
        records = batch.known(found.files, looks, ready.store).values()
        results = Results.of(records, ready.asked, found.files, ready.marking, ready.roster)
        with outputs:
            _write(outputs, results, passed_over)
            complete = _write_feedback(outputs, results)
    ended = Counter(record.ended for record in results.records)
    left = len(found.files) - len(results.records)
    said = ", ".join(f"{ended[end]} {end}" for end in Ended if end in ended)
    print(f"{outputs.csv}: {said}" + (f"; {left} not graded yet" if left else ""))
    _tell(ready.task.classes, passed_over, results, outputs)
    return OK if complete and found.complete and not (results.troubled or results.problems) else TROUBLE


def _tell(classes: Iterable[str], passed_over: list[str], results: Results, outputs: Outputs) -> None:
    """Say, line by line, what a teacher should know beside the tables."""
    lines = {
        "several learners": classes,
        "passed over": passed_over,
        "one learner?": [f"{who.name} has {count} notebooks of one set" for who, count in results.crowds],
        "missing": [person.name for person in results.missing],
        "not on the roster": [who.name for who in results.strangers],
        "look at": [f"{learner}, {what} ({file})" for learner, file, what in doubts(results)],
        "changed by you, put aside": map(str, outputs.aside),
        "git would add": [str(outputs.csv)] if seen_by_git(outputs.csv) else [],
    }
    for what, names in lines.items():
        for name in names:
            print(f"{what}: {one_line(name)}", file=sys.stderr)
    for problem in results.problems:
        print(one_line(problem), file=sys.stderr)


def _write(outputs: Outputs, results: Results, passed_over: list[str]) -> None:
    """Write every table, and the page about the class; Moodle's worksheet set by set."""
    outputs.write(outputs.csv, marks_csv(results))
    outputs.write(outputs.beside(".json"), marks_json(results, passed_over))
    outputs.write(outputs.beside("-gradebook.csv"), canvas_csv(results))
    sheets = moodle_csvs(results)
    for name, sheet in sheets.items():
        outputs.write(outputs.beside(f"-moodle-{name}.csv" if len(sheets) > 1 else "-moodle.csv"), sheet)
    if results.roster:
        outputs.write(outputs.beside("-roster.csv"), roster_csv(results))
    outputs.write(outputs.beside("-overview.html"), overview_page(results, passed_over))


def _write_feedback(outputs: Outputs, results: Results) -> bool:
    """Write a page for each file, and tell whether all could be: file names are their authors' choice."""
    failed = False
    for record in results.records:
        try:
            page = outputs.beside("-feedback") / feedback_name(record.file)
            outputs.write(page, feedback_page(record, results.questions))
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


def _sandbox(trusted: bool, limits: Limits) -> Sandbox:
    """Return what submissions run in. Raises ValueError where they cannot be kept from doing harm, unless trusted."""
    if trusted:
        print(TRUSTED, file=sys.stderr)
    box = sandbox.trusted() if trusted else sandbox.available()
    if isinstance(box, Sandbox):
        return replace(box, limits=limits)
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
    parser.add_argument("--trusted", action="store_true", help="run submissions without a sandbox")
    parser.add_argument(
        "--limits", type=_limits, default=Limits(), metavar="cell=120,memory=4G", help="what code may use"
    )
    for name, what in FILES.items():
        parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=what)
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


def _limits(text: str) -> Limits:
    try:
        return limits(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


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
