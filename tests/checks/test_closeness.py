"""A prediction is judged as a person would: right, close and on which side, or off."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_lessons.checks import compare
from moe_lessons.checks.closeness import RIGHT, judged, tolerance

SOME = st.floats(1e-6, 1e6)
LOW, HIGH, TOO_LOW, TOO_HIGH = "Close: a little too low.", "Close: a little too high.", "Too low", "Too high"


def said(capsys, *arguments, **options):
    compare(*arguments, **options)
    return capsys.readouterr().out.split("Computed: ", 1)[1].split(". ", 1)[1].strip()


@pytest.mark.parametrize(
    ("guess", "answer", "within", "verdict"),
    [
        (3.1, 3.185, "10 %", RIGHT),  # "roughly"
        (3.1, 3.185, None, LOW),
        (60, 61, None, LOW),
        (60, 61, 2, RIGHT),
        (64, 61, None, HIGH),
        (30, 61, None, TOO_LOW),
        (1, 0.98, "a factor of 2", RIGHT),
        (0.5, 0.98, "a factor of 2", RIGHT),
        (3.9, 0.98, "a factor of 2", HIGH),
        (4, 0.98, "a factor of 2", TOO_HIGH),
        (-1, 0.98, "a factor of 2", TOO_LOW),
        (2.8, 3.0, 0.8, RIGHT),  # the spread of the seeds
        (1.0, 3.0, 0.8, LOW),
        (0, 0, None, RIGHT),
        (0.0, 1e-16, 1e-9, RIGHT),
        (1, 0, None, HIGH),
        (3, 0, None, TOO_HIGH),
        (0.18, -0.18, None, "Too high: right but for the sign"),
        (36.3, 0.363, None, "Too high: a hundred times the answer (per cent"),
        (0.55, 55, None, "Too low: a hundredth of the answer (a share"),
        (math.inf, 3.0, None, "They differ"),
        (math.inf, math.inf, None, RIGHT),
        (1.0, math.nan, None, "They differ"),
        (math.nan, 1.0, None, "They differ"),
        (math.nan, math.nan, None, RIGHT),
    ],
)
def test_numbers(capsys, guess, answer, within, verdict):
    assert said(capsys, guess, answer, within=within).startswith(verdict)


@pytest.mark.parametrize(
    ("guess", "verdict"),
    [
        (["hash", "learned"], RIGHT),
        (("Hash", " learned."), RIGHT),
        (["hash", "hash"], "1 of 2 entries are right: number 2 is not."),
        (["dense", "hash"], "0 of 2 entries are right: numbers 1 and 2 are not."),
        (["hash"], "They are of different shapes"),
        ("hash", "They are of different shapes"),
    ],
)
def test_several_words(capsys, guess, verdict):
    compare(guess, ["hash", "learned"])
    told = capsys.readouterr().out
    assert "Computed: ['hash', 'learned']." in told
    assert told.split("]. ")[-1].strip().startswith(verdict)


@pytest.mark.parametrize(
    ("typed", "answer", "unit"),
    [
        ("1.25", 1.246, ""),
        ("1/4", 0.25, ""),
        ("1,000", 1000, ""),
        ("64,000", 64000, ""),
        ("0,18", 0.18, ""),
        ("−0.18", -0.18, ""),  # a minus sign, as pages write it
        ("~ 7", 7, ""),
        ("37 billion", 37, "billion"),
        ("37", 37, "billion"),
        ("20 %", 20, "%"),
        ("20%", 0.2, ""),
        ("nan", math.nan, ""),
        ("none", math.nan, ""),
        ("None", math.nan, ""),
        ("yes", True, ""),
        ("False", False, ""),
        (True, True, ""),
        (1, True, ""),
        (["1", "1/2"], np.array([1, 0.5]), ""),
        ((1, 0.5), np.array([1, 0.5]), ""),
        ("(c)", "c", ""),
        (" C ", "c", ""),
        ('"c"', "c", ""),
        ("an E4.", "E4", ""),
        ("expert 4", "E4", ""),
        (4, "E4", ""),
        ("Raise", "raise", ""),
    ],
)
def test_what_a_person_would_type_is_taken(capsys, typed, answer, unit):
    assert said(capsys, typed, answer, unit) == RIGHT


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("lots", 3),
        ("1/0", 3),
        ("", 3),
        ("e4", "E5"),
        (5, "E4"),
        ("yes", "no"),
        ("yes", False),
        ("c d", "cd"),
    ],
)
def test_and_nothing_else(capsys, typed, answer):
    assert RIGHT not in said(capsys, typed, answer)


def test_entries_that_are_right_are_counted(capsys):
    assert said(capsys, [1, 2, 9], np.array([1, 2, 3])).startswith("2 of 3 entries are right: number 3 is not.")


def test_a_prediction_that_is_off_shows_the_digit(capsys):
    compare(0.33331, 1 / 3, within=1e-9)
    assert "You predicted 0.33331. Computed: 0.33333." in capsys.readouterr().out
    compare([1, 0.20001], np.array([1, 0.2]), within=1e-9)
    assert "You predicted [1, 0.20001]. Computed: [1, 0.2]." in capsys.readouterr().out


@given(answer=SOME, guess=SOME, room=st.floats(0.1, 90))
def test_right_close_and_off_are_bands_around_the_answer(answer, guess, room):
    verdict = judged(np.array(guess), np.array(answer), f"{room} %")
    off = abs(guess - answer) / (answer * room / 100)
    if min(abs(off - 1), abs(off - 3)) > 1e-6:
        side = "low" if guess < answer else "high"
        assert verdict.startswith(RIGHT if off < 1 else f"Close: a little too {side}." if off < 3 else f"Too {side}")


@given(answer=SOME, factor=st.floats(1.1, 5))
def test_a_factor_is_the_same_both_ways(answer, factor):
    for guess in (answer * factor * 0.999, answer / factor * 1.001):
        assert judged(np.array(guess), np.array(answer), f"a factor of {factor}") == RIGHT


def test_tolerances_are_said_in_words():
    assert tolerance(None, 50.0) == ("by", 1.0)
    assert tolerance(None, 50) == ("by", 0)
    assert tolerance("10 %", -50.0) == ("by", 5.0)
    assert tolerance("a factor of 2") == ("factor", 2.0)
    assert tolerance(0.8, 3.0) == ("by", 0.8)
