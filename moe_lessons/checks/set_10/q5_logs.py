"""Question 10.5: a measure for each log."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

from moe_lessons.checks.bias_logs import LATE, Outcome, Setting, outcome, written_log
from moe_lessons.checks.forms import Fields, Name
from moe_lessons.checks.question import EntriesQuestion, about
from moe_lessons.checks.values import digits_apart
from moe_lessons.checks.verdicts import Fault

MOST_OVER_DICE, MOST_DROPPED = 1.5, 0.02

RUNS = {
    "A": Setting(T=512, u=1e-1, factor=1.5),
    "B": Setting(T=512, u=1e-2, factor=1.5, pooled=True, opposite=True),
    "C": Setting(T=64, u=1e-2, factor=2.0),
    "D": Setting(T=512, u=2e-4, factor=1.5),
    "E": Setting(T=512, u=1e-2, factor=1.0),
    "F": Setting(T=512, u=1e-4, factor=1.5, opposite=True),
}
MEASURES: dict[str, Callable[[Setting], Setting]] = {
    "raise u": lambda setting: replace(setting, u=10 * setting.u),
    "lower u": lambda setting: replace(setting, u=setting.u / 10),
    "raise c": lambda setting: replace(setting, factor=1.5 * setting.factor),
    "per layer": lambda setting: replace(setting, pooled=False),
    "nothing": lambda setting: setting,
}
REASONS = {
    "raise u": "A larger step helps where the load goes the right way, and too slowly.",
    "lower u": "A smaller step helps where single experts swing from too much to too little.",
    "raise c": "More places drop less, but in these runs, whose routers do not learn, they move no load: MaxVio counts what tokens ask for.",
    "per layer": "One bias for each layer helps where both layers stay uneven and their sum is even.",
}


def training_log(run: str) -> str:
    """Return the log of one of the runs "A" to "F" as text."""
    return written_log(run, RUNS[run])


def is_even(found: Outcome) -> bool:
    """Tell whether the first demand is met: balance near that of dice in each layer."""
    return bool(found.violation.max() <= MOST_OVER_DICE * found.dice)


def is_met(found: Outcome) -> bool:
    """Tell whether both demands are met: even loads, and few drops."""
    return is_even(found) and bool(found.dropped <= MOST_DROPPED)


@cache
def right_measures() -> dict[str, str]:
    """Return for each run the measure that meets both demands; "nothing" where they are met already."""
    first = sorted(MEASURES, key=lambda name: name != "nothing")
    return {run: next(m for m in first if is_met(outcome(MEASURES[m](setting)))) for run, setting in RUNS.items()}


def written(found: Outcome) -> str:
    """Write an outcome in words."""
    most = MOST_OVER_DICE * found.dice
    one, two = (digits_apart(violation, most, 2) for violation in found.violation)
    dropped = digits_apart(found.dropped, MOST_DROPPED, 1, "%")
    return f"MaxVio {one} and {two} (dice {found.dice:.2f}, so at most {most:.2f}), {dropped} dropped"


def against(run: str, measure: str) -> Fault:
    """Refute a measure with what it leads to in this run."""
    return Fault(f"{run}: {measure}", f"{run!r} is not {measure!r}.", refuted(run, measure))


def refuted(run: str, measure: str) -> str:
    """Say what the measure leads to in this run, and what in its log speaks against it."""
    setting, before, after = RUNS[run], outcome(RUNS[run]), outcome(MEASURES[measure](RUNS[run]))
    if right_measures()[run] == "nothing":
        return f"Run {run} meets both demands as it is: {written(before)}. With few tokens even dice are uneven; look at the null beside each number."
    hint = " MaxVio meets its demand already; only the drops do not." if is_even(before) else ""
    if measure == "nothing":
        missed = f"over the last {LATE} steps {written(before)}.{hint}{only_seems_met(setting, before)}"
        return f"Run {run} does not meet the demands: {missed}"
    why = f"We tried it. After `{measure}`, run {run} has {written(after)}; before: {written(before)}."
    if measure == "per layer" and not setting.pooled:
        return f"{why} Each layer had its own bias already{'.' + hint if hint else own_bias_shows(setting)}"
    return f"{why} {REASONS[measure]}{hint}"


def only_seems_met(setting: Setting, before: Outcome) -> str:
    """Say which demand an uneven run meets, or seems to meet, for all that."""
    if is_even(before):
        return ""
    drops = " The drops meet their demand already; MaxVio does not." if before.dropped <= MOST_DROPPED else ""
    pooled = " The demand is on *each* layer: that both pooled are even says nothing of it." if setting.opposite else ""
    return drops + pooled


def own_bias_shows(setting: Setting) -> str:
    """Say where the log of an uneven run shows that its layers share no bias."""
    if setting.opposite:
        return ": see whether both layers' MaxVio falls in the log. With one bias for both it would not."
    return ". One bias for both makes their sum even and leaves each uneven; here the sum is uneven, too."


LOGS = EntriesQuestion(
    **about("10.5", "A measure for each log", "find the bug", "medium", points=2, minutes=10),
    hints=(
        "Begin with the null: compare MaxVio with that of dice for this number of tokens, and the dropped share with 2 %. Which of the two demands is missed? MaxVio counts what is asked for, and the routers of these runs do not learn: more places change nothing of it.",
        "If MaxVio is too large, ask three things. Is it still falling? Then it is too slow. Does E1 jump between much and little in the last six steps? Then the step is too large. Does it stay flat in each layer while both pooled are even? Then the layers share one bias.",
    ),
    idea="The same symptom, a large MaxVio and many drops, has different causes, and each leaves a trace: a slow fall, a swing, or an even sum of uneven layers. More capacity treats the drops alone. And a number without its null can send you mending what is not broken.",
    takeaway="One symptom, several causes: look at how a number moves over time, and beside its null, before you choose the remedy.",
    answer="my_measures",
    form=Fields(dict.fromkeys(RUNS, Name(tuple(MEASURES)))),
    expected=right_measures,
    against=against,
)
