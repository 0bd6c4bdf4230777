"""A tiny language model in place of lesson 11's."""

from functools import partial

import pytest
import tiny_language

from moe_lessons.experiments import specialisation


@pytest.fixture(scope="module")
def task():
    return tiny_language.a_task()


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(specialisation, "build", partial(specialisation.build, **tiny_language.TINY))
    monkeypatch.setattr(specialisation, "BATCH", 4)
