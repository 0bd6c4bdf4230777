"""Wrong ways to place a case beside the healthy runs: each gives a whole pattern of signs, which is looked for."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from moe_lessons.checks.set_11p.drawn_logs import cut
from moe_lessons.checks.set_11p.measures import (
    LATE,
    MEASURES,
    PLACES,
    ROOM,
    Log,
    Measured,
    apart,
    healthy_rows,
    measured,
    place,
    ranges,
    usual_room,
)
from moe_lessons.checks.set_11p.q2_rest import as_one_layer
from moe_lessons.experiments.case_files import CASES, RECIPES, healthy_logs, kind_of, open_log

TURNED = dict(zip(PLACES, reversed(PLACES), strict=True))


class Rule(NamedTuple):
    """A wrong rule: its name, how its places come about, what is asked instead, and its places in a case."""

    name: str
    how: str
    asked: str
    places: Callable[[int], dict[str, str]]


def beside(
    rows: Callable[[int], Sequence[Measured]] | None = None,
    room: Callable[[float], float] = usual_room,
    of: Callable[[Log], Measured] = measured,
) -> Callable[[int], dict[str, str]]:
    """Return the function of a case that places it beside other rows, with another room, or by other measures."""

    def placed(case: int) -> dict[str, str]:
        others = rows(case) if rows else [of(log) for log in healthy_logs(kind_of(case).balanced_by)]
        limits = ranges(others)
        return {name: place(value, *limits[name], room) for name, value in of(open_log(case)).items()}

    return placed


def of_recipe(case: int) -> tuple[Measured, ...]:
    """Return the eight rows that a case is to be placed beside."""
    return healthy_rows(kind_of(case).balanced_by)


def of_other_recipe(case: int) -> tuple[Measured, ...]:
    """Return the eight rows of the other recipe."""
    return healthy_rows(next(one for one in RECIPES if one != kind_of(case).balanced_by))


def of_frames(late: int) -> Callable[[Log], Measured]:
    """Return all measures of so many late frames."""
    return lambda log: {name: measure(log, min(late, len(log["step"]) - 1)) for name, measure in MEASURES.items()}


def of_one_frame(log: Log) -> Measured:
    """Return all measures of the last frame, but the bias path, which takes steps, of the last ten."""
    return of_frames(1)(log) | {"bias path": MEASURES["bias path"](log)}


def of_first_frames(log: Log) -> Measured:
    """Return all measures of the first ten frames."""
    return of_frames(LATE)(cut(log, slice(LATE + 1)))


def as_distances(log: Log) -> Measured:
    """Return all measures, the bias path as the distance between where it began and where it ended."""
    b = log["bias"][-LATE - 1 :]  # (late + 1, layers, N)
    return measured(log) | {"bias path": float(np.abs(b[-1] - b[0]).mean())}


def exchanged(log: Log) -> Measured:
    """Return all measures, MaxVio and pooled MaxVio each with the value of the other."""
    found = measured(log)
    return found | {"MaxVio": found["pooled MaxVio"], "pooled MaxVio": found["MaxVio"]}


def hiding_nothing(log: Log) -> Measured:
    """Return all measures, the hidden loss from f and P of all layers together."""
    return measured(log) | {"hidden loss": as_one_layer(log)}


def spread_of(rows: tuple[Measured, ...], times: float) -> list[Measured]:
    """Return mean less, and mean plus, so many standard deviations of the rows, as two rows."""
    table = {name: np.array([row[name] for row in rows]) for name in MEASURES}
    return [{name: float(a.mean() + sign * times * a.std()) for name, a in table.items()} for sign in (-1, 1)]


def all_turned(case: int) -> dict[str, str]:
    """Return the places of a case with higher and lower exchanged."""
    return {name: TURNED[place] for name, place in apart(case).items()}


EIGHT = "Take the lowest and the highest of the eight healthy runs with the recipe of your case."
WIDE = f"The room on each side is as wide as the range, and at least {ROOM}."
FRAMES = "Take the last ten frames, of your case and of the eight."
RULES = (
    Rule("other recipe", "beside the eight runs with the other recipe", EIGHT, beside(of_other_recipe)),
    Rule("both recipes", "beside all sixteen healthy runs", EIGHT, beside(lambda case: (*of_recipe(case), *of_other_recipe(case)))),
    Rule("one healthy run", "beside the first healthy run alone", EIGHT, beside(lambda case: of_recipe(case)[:1])),
    Rule("beside the mean", "beside the mean of the eight", EIGHT, beside(lambda case: spread_of(of_recipe(case), 0.0))),
    Rule("standard deviations", "beyond two standard deviations of the eight", EIGHT, beside(lambda case: spread_of(of_recipe(case), 2.0), lambda width: 0.0)),
    Rule("no room", "without room", WIDE, beside(room=lambda width: 0.0)),
    Rule("small room", f"with a room of {ROOM} for every measure", WIDE, beside(room=lambda width: ROOM)),
    Rule("half the room", "with half the range as room", WIDE, beside(room=lambda width: usual_room(width / 2))),
    Rule("double room", "with twice the range as room", WIDE, beside(room=lambda width: 2 * usual_room(width))),
    Rule("last frame", "from the last frame alone", FRAMES, beside(of=of_frames(1))),
    Rule("last frame", "from the last frame alone", FRAMES, beside(of=of_one_frame)),
    Rule("all frames", "from all frames", FRAMES, beside(of=of_frames(100))),
    Rule("first frames", "from the first ten frames", FRAMES, beside(of=of_first_frames)),
    Rule("all turned", "the other way round", "Say how *your* number is beside the healthy ones, not how they are beside yours.", all_turned),
    Rule("nothing hidden", "with a hidden loss of all layers together", "The hidden loss is about each layer's *own* loss: computed of all layers together, nothing is hidden.", beside(of=hiding_nothing)),
    Rule("distance", "with a distance in the place of the bias path", "The path adds up the sizes of all steps, to and fro: it is no distance between first and last.", beside(of=as_distances)),
    Rule("exchanged", "with MaxVio and pooled MaxVio exchanged", "MaxVio is taken in each layer; pooled is what comes of all layers' loads, added up.", beside(of=exchanged)),
)  # fmt: skip


@cache
def patterns(case: int) -> tuple[tuple[Rule, dict[str, str]], ...]:
    """Return each rule with what it gives in a case, where that is not what is right."""
    found = ((rule, rule.places(case)) for rule in RULES)
    return tuple((rule, given) for rule, given in found if given != apart(case))


def rules_of(named: dict[str, str], case: int) -> list[Rule]:
    """Return the wrong rules by which all of these places would be right."""
    return [rule for rule, given in patterns(case) if given == named]


def told(rules: list[Rule]) -> str:
    """Say by which rules all places would be right, and what is asked instead."""
    ways, asked = dict.fromkeys(rule.how for rule in rules), dict.fromkeys(rule.asked for rule in rules)
    return f"All of this would be right {', or '.join(ways)}. {' '.join(asked)}"


def is_of_another(named: dict[str, str], case: int) -> bool:
    """Tell whether these places, of which more than one is wrong, are right for another case."""
    wrong = sum(named[name] != place for name, place in apart(case).items())
    return wrong > 1 and any(apart(other) == named for other in range(1, CASES + 1))


def overlooked(named: dict[str, str], case: int) -> int:
    """Return how many measures are wrongly called as healthy, if that is all that is wrong, some sign is there, and it
    is more than one."""
    right, healthy = apart(case), PLACES[1]
    wrong = [name for name, place in named.items() if place != right[name]]
    some = any(place != healthy for place in named.values())
    return len(wrong) if some and len(wrong) > 1 and all(named[name] == healthy for name in wrong) else 0
