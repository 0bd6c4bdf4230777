"""One JupyterLab for all browser tests. Without a browser they are skipped, except in CI, where that is a failure."""

import os

import lab
import plain_page
import pytest


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


@pytest.fixture(scope="module")
def browser(chromium):
    with lab.running_browser() as running:
        yield running


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
    """A page for all tests of a module, as silent as `page`."""
    with lab.silent_page(address) as opened:
        yield opened


@pytest.fixture
def page(address, request):
    """A fresh page; after the test no request has left this machine and nothing was written to the console."""
    with lab.silent_page(address) as opened:
        yield opened
        opened.screenshot(request.node.name)
