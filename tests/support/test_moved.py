"""Modules that moved are still found under their old names, as the very same modules."""

import importlib
import subprocess
import sys

import pytest

from moe_lessons.support import moved


@pytest.mark.parametrize(("old", "new"), moved.MOVED.items())
def test_an_old_name_is_the_module_itself(old, new):
    old_module = importlib.import_module(f"moe_lessons.{old}")
    assert old_module is importlib.import_module(f"moe_lessons.{new}")
    assert old_module.__name__ == old_module.__spec__.name == f"moe_lessons.{new}"


def test_what_handed_out_notebooks_wrote_still_runs():
    space = {}
    exec("from moe_lessons import balancing_runs, text\nfrom moe_lessons.timing import CLOCK_NAME", space)
    assert space["CLOCK_NAME"] == importlib.import_module("moe_lessons.support.timing").CLOCK_NAME
    assert space["text"].__name__ == "moe_lessons.corpus.text"


def test_a_module_of_that_name_that_is_there_comes_first():
    for name in moved.MOVED:
        assert moved.address(f"moe_lessons.{name}") != f"moe_lessons.{name}"
    assert moved.address("moe_lessons.routing") is None
    assert moved.address("elsewhere.timing") is None


def test_other_names_are_as_unknown_as_they_were():
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        importlib.import_module("moe_lessons.no_such_module")


def test_installing_twice_adds_one_finder():
    moved.install()
    moved.install()
    assert sum(isinstance(finder, moved.Moved) for finder in sys.meta_path) == 1


def test_an_old_name_can_be_run_as_a_program():
    subprocess.run([sys.executable, "-W", "error", "-m", "moe_lessons.environment"], check=True)
