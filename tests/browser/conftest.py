"""One JupyterLab for all browser tests. Without a browser they are skipped, except in CI, where that is a failure."""

import os

import lab
import pytest


@pytest.fixture(scope="session")
def address(tmp_path_factory):
    if lab.chromium() is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium here, and CI must not skip the browser tests: .ci/run installs one")
        pytest.skip("no Chromium found: install Debian's `chromium`, or Google Chrome, to run the browser tests")
    work = tmp_path_factory.mktemp("lab")
    root = tmp_path_factory.mktemp("course")
    with lab.server(lab.copy_course(root), work) as served:
        yield served


@pytest.fixture(scope="module")
def one_page(address):
    """A page for all tests of a module, as silent as `page`."""
    with lab.silent_page(address) as opened:
        yield opened


@pytest.fixture
def page(address, request):
    """A fresh page; after the test no request has left this machine and nothing was written to the console."""
    with lab.silent_page(address) as opened:
        yield opened
        opened.screenshot(request.node.name)
