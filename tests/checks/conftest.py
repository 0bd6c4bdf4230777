"""Shared by the tests of the checks."""

import gc

import pytest

from moe_lessons.checks import blocking


@pytest.fixture(autouse=True, scope="module")
def settled():
    """Let no check search all that the tests have loaded so far: a learner's kernel holds a tenth of it."""
    blocking.settle()
    yield
    gc.unfreeze()
