"""Shared by all tests: progress goes to a temporary folder, never into the user's own."""

import pytest


@pytest.fixture(autouse=True)
def progress_home(tmp_path, monkeypatch):
    """Keep progress of each test apart."""
    home = tmp_path / "moe-lessons-home"
    monkeypatch.setenv("MOE_LESSONS_HOME", str(home))
    return home
