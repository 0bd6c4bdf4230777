"""One JupyterLab for all browser tests. Without a browser they are skipped, except in CI, where that is a failure."""

import os
from contextlib import ExitStack

import lab
import plain_page
import pytest

left_open = ExitStack()  # the browser, from the first test that needs one to the last


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(nextitem):
    """Close the browser after the last test of this folder: others may not find Playwright's event loop running."""
    yield
    if nextitem is None or nextitem.path.parent != lab.HERE:
        left_open.close()


@pytest.fixture(scope="session")
def chromium():
    if lab.chromium() is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium here, and CI must not skip the browser tests: .ci/run installs one")
        pytest.skip("no Chromium found: install Debian's `chromium`, or Google Chrome, to run the browser tests")
    return lab.chromium()


@pytest.fixture(scope="session")
def address(chromium, tmp_path_factory):
    work = tmp_path_factory.mktemp("lab")
    root = tmp_path_factory.mktemp("course")
    with lab.server(lab.copy_course(root), work) as served:
        yield served


@pytest.fixture(scope="module", autouse=True)
def browser(chromium):
    return lab.RUNNING[0] if lab.RUNNING else left_open.enter_context(lab.running_browser())


@pytest.fixture
def show(browser):
    """Return a function that puts widgets on a plain page; nothing may be written to its console."""
    pages, errors = [], []

    def open_page(*widgets, width=800, style="", **media):
        page = browser.new_page(viewport={"width": width, "height": 700})
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.emulate_media(**media)
        page.set_content(plain_page.html(widgets, style))
        pages.append(page)
        page.locator(".moe-widget").nth(len(widgets) - 1).wait_for()
        return page

    yield open_page
    for page in pages:
        page.close()
    assert errors == []


@pytest.fixture(scope="module")
def one_page(address):
    """The desk for all tests of a module, as silent as `page`."""
    with lab.silent_page(address) as opened:
        yield opened


@pytest.fixture
def page(address, request):
    """The desk; after the test no request has left this machine and nothing was written to the console."""
    with lab.silent_page(address) as opened:
        yield opened
        opened.screenshot(request.node.name)


@pytest.fixture
def sheet(address, request):
    """A fresh page, as silent as `page`."""
    with lab.silent_page(address, fresh=True) as opened:
        yield opened
        opened.screenshot(request.node.name)
