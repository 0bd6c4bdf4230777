"""Question 11p.5: a test of a checkpoint that proves the fault."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from moe_lessons.checks.calls import remark_on_changes
from moe_lessons.checks.forms import Fields, Truth
from moe_lessons.checks.question import NO_ANSWER, CalledQuestion, Data, Reply, about
from moe_lessons.checks.set_11p.case_question import CASE
from moe_lessons.checks.verdicts import Facts, Fault, Verdict, always, by_test, told
from moe_lessons.experiments.case_files import FAULTS, Kind, held_back, kind_of

FORM = Fields({"case": CASE, "found": Truth()})


class Opened:
    """Makes a run, its model with a fresh batch, from a case of this question, and takes no notes."""

    def __init__(self, entry: dict[str, Any]) -> None:
        from moe_lessons.experiments.faulty_runs import run_from  # here, so that reading the questions loads no torch

        weights = {name: np.asarray(entry[name]) for name in ("W_g", "W1", "W2", "bias")}
        fault = FAULTS[int(entry["of"])] if int(entry["of"]) >= 0 else None
        self.argument = run_from(weights, Kind(str(entry["balanced by"]), fault), int(entry["seed"]))

    def noted(self) -> None:
        """Return nothing."""

    @staticmethod
    def written(name: str, entry: Any) -> str:
        """Return nothing: what it is shall be found out."""
        return ""


def proof_cases(rng: np.random.Generator) -> list[tuple]:
    """Return the runs that no case opens, two sound ones and all kinds of faults, in any order, with a fresh batch each."""
    runs, seeds = held_back(), rng.integers(2**31, size=len(held_back()))
    order = [runs[i] for i in rng.permutation(len(runs))]
    return [(entry_of(kind, weights, int(seed)),) for (kind, weights), seed in zip(order, seeds, strict=True)]


def entry_of(kind: Kind, weights: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
    """Return a run as plain data."""
    fault = FAULTS.index(kind.fault) if kind.fault else -1
    return {**weights, "balanced by": kind.balanced_by, "of": fault, "seed": seed}


def fault_in(entry: dict[str, Any]) -> str | None:
    """Return the fault of a run."""
    return FAULTS[entry["of"]] if entry["of"] >= 0 else None


def named(entry: dict[str, Any]) -> str:
    """Write what a run is."""
    return f"{fault_in(entry) or 'healthy'} (balanced by a {entry['balanced by']})"


def facts(found: list[bool], entries: list[dict[str, Any]], case: int) -> Facts:
    """Return what a test did on all runs, beside what it should do for a case."""
    fault = str(kind_of(case).fault)
    has = [fault_in(entry) == fault for entry in entries]
    alarms = [entry for entry, f, h in zip(entries, found, has, strict=True) if f and not h]
    missed = [entry for entry, f, h in zip(entries, found, has, strict=True) if h and not f]
    known = {
        "case": case,
        "fault": fault,
        "right": found == has,
        "found": found,
        "turned": [not f for f in found] == has,
    }
    proves = next((g for g in FAULTS if found == [fault_in(entry) == g for entry in entries]), None)
    told_of = {"alarms": ", ".join(map(named, alarms)), "missed": ", ".join(map(named, missed))}
    return Facts(**known, **told_of, proves=proves, wrongly={(fault_in(e), e["balanced by"]) for e in alarms})


def is_loss_run(kind: tuple[str | None, str]) -> bool:
    """Tell a run that is balanced by a loss."""
    return kind[1] == "loss"


def only(test: Callable[[tuple[str | None, str]], bool]) -> Callable[[Facts], bool]:
    """Return the test of whether there are false alarms, and all of this sort, and nothing was missed."""
    return lambda found: bool(found.wrongly) and not found.missed and all(map(test, found.wrongly))


MISTAKES = by_test(
    "another fault: As a test it is sound: it finds {proves!r} and nothing else. But case {case} has not got that: call your function on `open_run({case})`. Which fault do the signs of your log need?",
    lambda found: found.proves,
    "turned round: It says True for the runs that have not got your fault, and False for those that have it.",
    lambda found: found.turned,
    "always: It says True for every run, also for the healthy ones. What is *different* in a run with your fault? (In training mode every run has noise.)",
    lambda found: all(found.found),
    "nothing found: It says False for every run, also for those that have the fault of case {case}. Try it on `open_run({case})`: it must say True there.",
    lambda found: not any(found.found),
    "no bias to move: It says True for runs that are balanced by a loss, too: {alarms}. Their bias is 0 and stays, and nothing is wrong with that. `run.model.balanced_by` tells which recipe a run has.",
    lambda found: found.fault == "frozen bias" and only(is_loss_run)(found),
    "padding in the batch: It says True for {alarms}, too: there padding changes the loss. Use a batch without padding, with a mask of True everywhere, and only what you suspect can differ.",
    lambda found: found.fault == "pooled loss" and only(lambda kind: kind[0] == "mask lost")(found),
    "healthy suspected: It says True for runs without your fault, healthy ones among them: {alarms}. A number that is only *larger* with the fault needs a limit; better is one that must be exactly the same, or exactly 0, without it.",
    lambda found: any(fault is None for fault, _ in found.wrongly),
    "several faults: It says True for other faults, too: {alarms}. What you look at is a symptom that they share. Change or repeat the one thing that only your fault reacts to.",
    lambda found: found.wrongly,
    "missed: It says False for a run that has the fault: {missed}. Does your test hang on the recipe, or on the batch?",
    always,
)


@dataclass(frozen=True, kw_only=True)
class ProofQuestion(CalledQuestion):
    """A test is called on each run; it must tell those with the fault of its case from all others."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Read what the test said of each run, look up its case, weigh both."""
        values, entries = reply["values"], [entry for (entry,) in data["cases"]]
        if not isinstance(values, list) or len(values) != len(entries):
            return NO_ANSWER
        read = [FORM.read(value) for value in values]
        if fault := next((one for one in read if isinstance(one, Fault)), None):
            return Verdict.of(fault)
        answers = [one for one in read if not isinstance(one, Fault)]
        cases = sorted({one["case"] for one in answers})
        if len(cases) > 1:
            return Verdict(
                False, f"Expected the number of one case in every answer. Came {', '.join(map(str, cases))}."
            )
        known = facts([one["found"] for one in answers], entries, cases[0])
        if known.right:
            return Verdict(True, seen=f"Case {known.case}.", remark=remark_on_changes(reply["changed"]))
        mistake = next(mistake for mistake in MISTAKES if mistake.seen(known))
        return replace(told(mistake, known, ""), remark=remark_on_changes(reply["changed"]))


PROOF = ProofQuestion(
    **about("11p.5", "The proof", "design an experiment", "hard", points=3, minutes=18),
    hints=(
        "Think of something that must be *exactly* equal, or exactly 0, in every sound program, and is not in one with your fault (or the other way round). Repeat a pass, change one thing, take a gradient, count.",
        "Weights of exactly 1 let no gradient of y reach `run.model.W_g`. A layer's own loss, on a batch without padding, is that of `load_balancing_loss`. Two passes of a model in evaluation agree. In training, a pass moves a bias. And `found.counts` of a layer add up to the real tokens.",
    ),
    idea="A proof changes or repeats one thing, in a setting where nothing else can differ, and knows in advance what a sound program must give.",
    takeaway="A test that proves a bug is also the test that keeps it away: put it beside the code, and let it run on every change.",
    answer="my_proof",
    parameters=("run",),
    cases=proof_cases,
    helper=Opened,
    needs_torch="tensors",
)
