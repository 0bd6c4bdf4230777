"""Shared by the tests of notebooks."""

import pytest


@pytest.fixture(scope="session")
def shared(tmp_path_factory, worker_id):
    """Return a folder that all workers of this run see."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "executed"
    folder.mkdir(exist_ok=True)
    return folder
