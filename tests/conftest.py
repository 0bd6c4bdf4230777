"""Shared by all tests: progress goes to a temporary folder, never into the user's own."""

import signal

import pytest


@pytest.fixture(autouse=True, scope="session")
def interrupts():
    """Let Ctrl-C interrupt: a shell that starts the tests in the background has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def progress_home(tmp_path, monkeypatch):
    """Keep progress of each test apart."""
    home = tmp_path / "moe-lessons-home"
    monkeypatch.setenv("MOE_LESSONS_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def task():
    """The text of lesson 11, which takes seconds to prepare."""
    from moe_lessons.corpus import text

    return text.prepare()


@pytest.fixture(scope="session")
def documents():
    """All that the text of lesson 11 is cut from."""
    from moe_lessons.corpus import sources

    return sources.gather(0)[0]
