"""What a teacher allows submissions to use."""

import re

import pytest

from moe_lessons.grading.limits import KNOWN, limits
from moe_lessons.grading.sandbox import Limits


def test_some_are_set_and_the_others_stay():
    assert limits("") == Limits()
    assert limits("cell=120, memory=4G") == Limits(cell_seconds=120, memory=4 * 2**30)
    assert limits("disk=512m,answer=1.5,processes=8") == Limits(disk_bytes=2**29, patience=1.5, processes=8)


def test_the_clock_follows_all_the_seconds():
    assert limits("all=1200") == Limits(all_seconds=1200, all_wall_seconds=3600)


def test_each_name_is_a_limit_of_its_own():
    values = {"cell": "7", "all": "7", "answer": "7", "processes": "7"}
    changed = [limits(f"{name}={values.get(name, '7M')}") for name in KNOWN]
    assert len({*changed, Limits()}) == len(KNOWN) + 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cel=120", "cel=120: expected name=value with one of the names cell, all, answer"),
        ("cell", "cell: expected name=value"),
        ("cell=two", "cell=two: expected seconds of CPU time, such as 120"),
        ("cell=0", "cell=0: expected seconds"),
        ("cell=-1", "cell=-1: expected seconds"),
        ("memory=lots", "memory=lots: expected a size, such as 4G"),
        ("processes=1.5", "processes=1.5: expected a whole number from 1"),
        ("cell=120,memory=", "memory=: expected a size"),
    ],
)
def test_what_makes_no_sense_is_said(text, said):
    with pytest.raises(ValueError, match=f"^{re.escape(said)}"):
        limits(text)
