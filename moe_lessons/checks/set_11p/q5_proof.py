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
from moe_lessons.experiments.case_files import FAULTS, KEPT, WEIGHTS, Kind, held_back, kind_of

FORM = Fields({"case": CASE, "found": Truth()})
SEQUENCES, MANY = 16, 80  # in the batch of a run; among which calm ones are looked for
FEW = 2  # runs that may come out right by chance in a test that is turned round
FAR = 3.5  # between two logits: noise crosses it once in hundreds of tokens


class Opened:
    """Makes a run, its model with a fresh batch, from a case of this question, and takes no notes."""

    def __init__(self, entry: dict[str, Any]) -> None:
        from moe_lessons.experiments import faulty_runs  # here, so that reading the questions loads no torch

        seed, kind = int(entry["seed"]), Kind(str(entry["balanced by"]), fault_in(entry))
        if is_trained(entry):
            weights = {name: np.asarray(entry[name]) for name in KEPT}
        else:
            weights = faulty_runs.drawn_anew(kind, str(entry["weights"]), seed)
        run = faulty_runs.run_from(weights, kind, seed)
        if kind.fault == "noise left on" and is_sure(entry):
            run = run._replace(**calm_batch(weights, kind.balanced_by, seed))
        self.argument = run

    def noted(self) -> None:
        """Return nothing."""

    @staticmethod
    def written(name: str, entry: Any) -> str:
        """Return nothing: what it is shall be found out."""
        return ""


def calm_batch(weights: dict[str, np.ndarray], balanced_by: str, seed: int) -> dict[str, Any]:
    """Return x and mask of sequences in which hardly any token is so near to another expert that noise would move it.

    What loads and selections do under noise is then no matter of chance: nothing. Logits, y and the loss it changes all
    the same: of each sequence one token is real, the one that is nearest to another expert. In the mean over many that
    are far away, what noise does to the loss would be lost in rounding.
    """
    import torch

    from moe_lessons.experiments import faulty_runs

    x, _, mask = faulty_runs.draw_batch(np.random.default_rng(seed), MANY)
    x = x.where(mask[..., None], x[:, :1])  # padding is moved no more than the first token is
    logits = faulty_runs.restored(weights, Kind(balanced_by))(x, mask).logits.detach()  # (layers, B, L, N)
    first, second = logits.topk(2, dim=-1).values.unbind(dim=-1)  # (layers, B, L) each
    gap = (first - second).amin(dim=0).where(mask, torch.inf)  # (B, L)
    least, nearest = gap.min(dim=1)  # (B,) each
    calm = least.argsort()[(least < FAR).sum() :][:SEQUENCES]  # (16,)
    return {"x": x[calm], "mask": torch.arange(mask.shape[1]) == nearest[calm, None]}


def proof_cases(rng: np.random.Generator) -> list[tuple]:
    """Return the programs that no case opens, two sound ones and all kinds of faults, in any order, with a fresh batch
    each: with the weights that were trained, and with two sorts of weights drawn anew."""
    runs = [(kind, name, kept) for kind, kept in held_back() for name in WEIGHTS]
    order, seeds = [runs[i] for i in rng.permutation(len(runs))], rng.integers(2**31, size=len(runs))
    return [(entry_of(kind, name, kept, int(n)),) for (kind, name, kept), n in zip(order, seeds, strict=True)]


def entry_of(kind: Kind, weights: str, kept: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
    """Return a run as plain data; only trained weights are in it, others are drawn with the seed."""
    fault = FAULTS.index(kind.fault) if kind.fault else -1
    given = kept if weights == "trained" else {}
    return {**given, "balanced by": kind.balanced_by, "of": fault, "weights": weights, "seed": seed}


def fault_in(entry: dict[str, Any]) -> str | None:
    """Return the fault of a run."""
    return FAULTS[int(entry["of"])] if int(entry["of"]) >= 0 else None


def is_trained(entry: dict[str, Any]) -> bool:
    """Tell whether a run has weights that were trained."""
    return str(entry["weights"]) == "trained"


def is_sure(entry: dict[str, Any]) -> bool:
    """Tell whether a run's weights were drawn anew with routers that are sure: noise moves few of their tokens."""
    return str(entry["weights"]) == "sure"


def named(entry: dict[str, Any]) -> str:
    """Write what a run is."""
    return f"{fault_in(entry) or 'healthy'} ({entry['balanced by']}, {entry['weights']})"


def of_loss(entry: dict[str, Any]) -> bool:
    """Tell whether a run is balanced by a loss."""
    return str(entry["balanced by"]) == "loss"


def some(entries: list[dict[str, Any]]) -> str:
    """Write what runs are, healthy ones first, six of them at most."""
    written = ", ".join(map(named, sorted(entries, key=lambda entry: int(entry["of"]))[:6]))
    return f"{written}, and {len(entries) - 6} more" if len(entries) > 6 else written


def facts(found: list[bool], entries: list[dict[str, Any]], case: int) -> Facts:
    """Return what a test did on all runs, beside what it should do for a case."""
    fault = str(kind_of(case).fault)
    has = [fault_in(entry) == fault for entry in entries]
    alarms, missed, caught = (
        [entry for entry, *both in zip(entries, found, has, strict=True) if both == kind]
        for kind in ([True, False], [False, True], [True, True])
    )
    known = {"case": case, "fault": fault, "right": found == has, "found": found}
    turned = sum(f != h for f, h in zip(found, has, strict=True))
    known["turned"] = turned >= len(found) - FEW
    known["but"] = f", in all but {len(found) - turned} runs" * (turned < len(found))
    known["asleep"] = fault == "frozen bias" and says_so(found, entries, lambda entry: entry["balanced by"] == "bias")
    known["in_training"] = fault == "noise left on" and says_so(found, entries, lambda entry: not is_sure(entry))
    known |= half_seen(fault, alarms, missed, caught)
    known["at_the_end"] = not any(map(is_trained, [*alarms, *missed])) and any(found)
    proves = next((g for g in FAULTS if found == [fault_in(entry) == g for entry in entries]), None)
    told_of = {"alarms": some(alarms), "missed": some(missed), "wrong": some([*alarms, *missed])}
    told_of |= {"caught": some(caught), "always": ALWAYS[fault], "never": NEVER[fault], "look": LOOK[fault]}
    told_of["and_not"] = f" And False for some that have it: {some(missed)}." if missed else ""
    known["by_recipe"] = parted(caught, missed)
    return Facts(**known, **told_of, proves=proves, wrongly={(fault_in(e), e["balanced by"]) for e in alarms})


def half_seen(fault: str, alarms: list, missed: list, caught: list) -> dict[str, bool]:
    """Return what false alarms, missed and caught runs say of a test that sees a part of what it should."""
    noise_missed = fault == "noise left on" and not alarms
    return {
        "by_chance": noise_missed and all(map(is_sure, missed)),
        "may_agree": noise_missed and not all(map(is_trained, caught)),
        "asks_for_zero": fault == "frozen bias" and bool(alarms) and not caught and all(map(of_loss, alarms)),
    }


def parted(caught: list[dict[str, Any]], missed: list[dict[str, Any]]) -> bool:
    """Tell whether the recipe decides which runs with the fault are caught and which are missed."""
    of_caught, of_missed = ({str(entry["balanced by"]) for entry in runs} for runs in (caught, missed))
    return bool(of_caught and of_missed) and not of_caught & of_missed


def says_so(found: list[bool], entries: list[dict[str, Any]], where: Callable[[dict[str, Any]], bool]) -> bool:
    """Tell whether a test says True for all runs where something holds."""
    return all(f for f, entry in zip(found, entries, strict=True) if where(entry))


def is_loss_run(kind: tuple[str | None, str]) -> bool:
    """Tell a run that is balanced by a loss."""
    return kind[1] == "loss"


def is_bias_run(kind: tuple[str | None, str]) -> bool:
    """Tell a run that is balanced by a bias."""
    return kind[1] == "bias"


def only(test: Callable[[tuple[str | None, str]], bool]) -> Callable[[Facts], bool]:
    """Return the test of whether there are false alarms, and all of this sort, and nothing was missed."""
    return lambda found: bool(found.wrongly) and not found.missed and all(map(test, found.wrongly))


def leaves_padding_in(wrongly: set[tuple[str | None, str]]) -> bool:
    """Tell whether there are alarms of healthy runs, but none where padding is counted anyway."""
    faults = {fault for fault, _ in wrongly}
    return None in faults and "mask lost" not in faults


ALWAYS = {  # what a test that says True for every run may have overlooked
    "renormalised k = 1": "A weight is never above 1, and a balance loss reaches the router in every run: which of it is not so in a sound one?",
    "pooled loss": "The logged loss is the *mean* over the layers of what they have alone, not the sum, and not one of them; and up to rounding: two ways to add up never agree in the last digit.",
    "noise left on": "Two passes in evaluation, over the same x, are the same in a sound run.",
    "frozen bias": "A bias moves in training only, and where there is one.",
    "mask lost": "Each layer counts every real token once: two layers together make twice as many. And `run.mask.sum()` are the real ones, `run.mask.numel()` all places. What y is on padding says nothing: it is not 0 in a sound run either.",
}
NEVER = {  # what a test that says False for every run may have overlooked
    "renormalised k = 1": "",
    "pooled loss": "The two losses differ by as much as the layers lean differently: is your limit too wide, or is one and the same loss on both sides?",
    "noise left on": "Did you make two passes, both in evaluation, and compare them? A pass in training has noise in every run. And after the same `torch.manual_seed` before each, two passes have the same noise.",
    "frozen bias": "A frozen bias is not 0: it is where it was when it froze, and stays there.",
    "mask lost": "Without padding a lost mask changes nothing: is your mask True everywhere? Keep `run.mask`. Then ask for more counted tokens than real ones, in a layer or in both, on both sides alike.",
}
LOOK = {  # at what a proof looks, whatever the weights
    "renormalised k = 1": "How sure a router is was trained, or drawn: every program comes with unsure ones and with sure ones. What does the router hear of y? The gradient of a *mean* of y is small in sound runs, too: take the sum of the squares, with 1e-4 as the limit.",
    "pooled loss": "Loads, and how large a loss is, come of the weights: fresh ones lean, too. The logged loss is the mean over *both* layers. What have they alone, on the same tokens, and what is logged?",
    "noise left on": "What do two passes over the same tokens, both in evaluation, have in common? A pass in training has noise in every run.",
    "frozen bias": "Loads and the size of a bias are left by training. What does one more pass in training do to a bias?",
    "mask lost": "Loads are left by training, and fresh weights lean, too. What do the counts *add up to*?",
}

MISTAKES = by_test(
    "another fault: As a test it is sound: it finds {proves!r} and nothing else. But case {case} has not got that: call your function on `open_run({case})`. Which fault do the signs of your log need?",
    lambda found: found.proves,
    "turned round: It says True for the runs that have not got your fault, and False for those that have it{but}.",
    lambda found: found.turned,
    "nothing moved: It says True for every run that is balanced by a bias, also for the healthy ones. If you compare the bias before a pass and after it: it moves only in training (`run.model.train()`), and `before = run.model.bias` is no copy, it moves along. `.clone()` is one. One pass moves a bias by 0.005: a tolerance must be far below that.",
    lambda found: found.asleep,
    "always: It says True for every run, also for the healthy ones. Does it look at `run`, at the one that is handed over? What is *different* in a run with your fault? {always}",
    lambda found: all(found.found) and not found.in_training,
    "noise in training: It says True for every run, or nearly, also for the healthy ones. After `run.model.train()` every run has noise: look at two passes in evaluation, as a run is handed to you or after `run.model.eval()`.",
    lambda found: found.in_training,
    "no gradient of 0: It says False for every run, also for those that have the fault of case {case}. If you look at a gradient: take that of `found.y`, for the balance loss has one in any case; and do not ask whether it *is* 0. There it should be, but it is a sum of rounding errors: 1e-6 or 1e-4, beside 1 or 100 in a sound run. Or look at `found.weights`: a number divided by itself is 1, exactly.",
    lambda found: found.fault == "renormalised k = 1" and not any(found.found),
    "nothing found: It says False for every run, also for those that have the fault of case {case}. Try it on `open_run({case})`: it must say True there. Does it look at `run`, at the one that is handed over? {never}",
    lambda found: not any(found.found),
    "a bias of 0: It says True for runs that are balanced by a loss: {alarms}. Their bias is 0 and stays, and nothing is wrong with that. And False for all that have your fault. A frozen bias is not 0: it is where it was when it froze. What does one more pass in training do to it?",
    lambda found: found.asks_for_zero,
    "no bias to move: It says True for runs that are balanced by a loss, too: {alarms}. Their bias is 0 and stays, and nothing is wrong with that. `run.model.balanced_by` tells which recipe a run has.",
    lambda found: found.fault == "frozen bias" and only(is_loss_run)(found),
    "padding in the batch: It says True for {alarms}, too: there padding changes the loss. Use a batch without padding, with a mask of True everywhere, and only what you suspect can differ.",
    lambda found: found.fault == "pooled loss" and only(lambda kind: kind[0] == "mask lost")(found),
    "by chance: It says False for runs with noise whose routers are sure: {missed}. There noise moves few tokens, so loads or selections may agree by chance, and the loss nearly. Compare what it changes in every pass: the logits, or y.",
    lambda found: found.by_chance,
    "a number that may agree: It says False for some runs with noise: {missed}. Noise changes every pass, but a rounded number, or one number of a whole batch, may come out the same, and a wide limit sees nothing. Compare tensors, such as y or the logits, up to rounding.",
    lambda found: found.may_agree and not found.by_recipe,
    "trace in the weights: It is right for all runs with trained weights, and not with weights drawn anew (`open_run({case}, weights='unsure')`, or `'sure'`). Wrong are: {wrong}. Then it looks at what training left in the weights, a symptom, or its limit fits trained weights only. The fault is in the program: change or repeat one thing, and look at what the program must do with *any* weights. {look}",
    lambda found: found.at_the_end,
    "chosen by the logits: It says True for runs without your fault, all of them balanced by a bias: {alarms}. There the selected expert is not always the one with the largest logit. `load_balancing_loss` is told which are selected: hand it `found.selected`.",
    lambda found: found.fault == "pooled loss" and only(is_bias_run)(found),
    "chosen by the logits, and padding: It says True for runs without your fault: {alarms}. Two things can differ there. Where a bias balances, the selected expert is not always the one with the largest logit: hand `found.selected` to `load_balancing_loss`. And where padding is counted, the program's loss is of other tokens than yours: use a batch without padding, with a mask of True everywhere.",
    lambda found: (
        found.fault == "pooled loss" and only(lambda kind: is_bias_run(kind) or kind[0] == "mask lost")(found)
    ),
    "padding left in: It says True for runs without your fault, healthy ones among them: {alarms}. If you compare the balance loss with the layers' own: both must be of the same tokens, and where there is padding, the program counts real ones only. Use a batch without padding, with a mask of True everywhere: there the two are equal in a sound program, up to rounding.",
    lambda found: found.fault == "pooled loss" and not found.missed and leaves_padding_in(found.wrongly),
    "healthy suspected: It says True for runs without your fault, healthy ones among them: {alarms}.{and_not} A number that is only *larger* with the fault needs a limit; better is one that must be exactly the same, or 0, in the one case and cannot be in the other. {look}",
    lambda found: any(fault is None for fault, _ in found.wrongly),
    "several faults: It says True for other faults, too: {alarms}.{and_not} What you look at is a symptom that they share. Change or repeat the one thing that only your fault reacts to. {look}",
    lambda found: found.wrongly,
    "hangs on the recipe: It says False for {missed}, and True for {caught}: the recipe decides. The fault is in programs that are balanced by a loss, and in those that are balanced by a bias.",
    lambda found: found.by_recipe,
    "hangs on the weights: It says False for {missed}, and True for {caught}, so of one and the same program it depends on weights or batch. Do you look at what the weights make, such as how sure a router is? Or is your limit smaller than rounding, or larger than what the fault does, in some of them? {look}",
    always,
)


@dataclass(frozen=True, kw_only=True)
class ProofQuestion(CalledQuestion):
    """A test is called on each run; it must tell those with the fault of its case from all others."""

    def probe(self, answer: Any, data: Data) -> Reply:
        """Call the answer on each run. Noise and what the answer draws are the seed's: the same check ends the same."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(data["cases"][0][0]["seed"]))
            return super().probe(answer, data)

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
        "Think of something that must be equal, or 0 up to rounding, in every sound program, with any weights, and is not in one with your fault (or the other way round). Repeat a pass, change one thing, take a gradient, count.",
        "Weights that are 1 whatever the router says let no gradient of y reach `run.model.W_g`: what arrives is rounding, 1e-4 at most. A layer's own loss, on a batch without padding, is that of `load_balancing_loss`. Two passes of a model in evaluation agree. In training, a pass moves a bias. And `found.counts` of a layer add up to the real tokens.",
    ),
    idea="A proof changes or repeats one thing, in a setting where nothing else can differ, and knows in advance what a sound program must give.",
    takeaway="A test that proves a bug is also the test that keeps it away: put it beside the code, and let it run on every change.",
    answer="my_proof",
    parameters=("run",),
    cases=proof_cases,
    helper=Opened,
    needs_torch="tensors",
    seconds=15.0,  # thirty runs; a proof may train a few steps
)
