"""Shared by the tests of the web edition: its pages, served from this machine, and one browser for all of them."""

import functools
import http.server
import threading

import pytest
from pages import HTML, NoCall
from playwright.sync_api import sync_playwright


@pytest.fixture(scope="session")
def address():
    """The address under which the pages are served, as any server of plain files would."""
    handler = functools.partial(NoCall, directory=str(HTML))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def tab(browser):
    """One tab for all pages."""
    with browser.new_context(reduced_motion="reduce") as context:
        page = context.new_page()
        page.set_default_timeout(60_000)
        yield page
