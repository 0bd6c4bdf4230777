"""Every page of the web edition in a browser: three widths, light and dark, nothing from outside, and an audit.

`make test-web` makes the pages first. `make test` passes this folder over.
"""

import pytest
from pages import (
    AXE,
    HTML,
    LARGEST,
    NAMES,
    ROOT,
    WIDTHS,
    audited,
    can_be_reached,
    dead,
    faults_of_content,
    heard,
    opened,
    set_theme,
    size,
    too_wide,
)

LOOKS = [
    "color-contrast",
    "link-in-text-block",
    "scrollable-region-focusable",
    "target-size",
]  # what a theme or a width changes


def test_the_pages_are_there():
    assert len(NAMES) > 80, "run `make site` first"
    assert AXE.exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_page(name, tab, address):
    """Opened once: resized and given the other theme, rather than loaded again."""
    found = []
    with heard(tab, address) as calls:
        tab.set_viewport_size({"width": WIDTHS[0], "height": 900})
        tab.emulate_media(color_scheme="light")
        opened(tab, f"{address}{name}")
        set_theme(tab, "light")
        found += faults_of_content(tab) + [f"light: {fault}" for fault in audited(tab)]
        for width in WIDTHS:
            tab.set_viewport_size({"width": width, "height": 900})
            if (more := too_wide(tab)) > 0:
                found.append(f"{more} pixels wider than {width}")
        set_theme(tab, "dark")
        can_be_reached(tab)
        found += [f"dark: {fault}" for fault in audited(tab, LOOKS)]
    assert "\n".join(found + calls) == ""


def test_no_link_between_pages_is_dead():
    assert dead(HTML, NAMES) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_light_and_names_no_folder_of_this_machine(name):
    text = (HTML / name).read_text(encoding="utf-8")
    assert size(text) < LARGEST
    assert str(ROOT) not in text


# --- broken controls ----------------------------------------------------------------------------------------------

GOOD = "<!doctype html><html lang='en'><title>A page</title><main><h1>One</h1><h2>Two</h2><p>Text.</p></main>"


def shown(tab, address, html):
    """Serve a page of this HTML under the site's own address."""
    tab.route(f"{address}control.html", lambda route: route.fulfill(body=html, content_type="text/html"))
    opened(tab, f"{address}control.html")
    tab.unroute(f"{address}control.html")


def test_a_good_page_passes(tab, address):
    with heard(tab, address) as calls:
        shown(tab, address, GOOD)
        assert [*faults_of_content(tab), *audited(tab), *calls] == []
        assert too_wide(tab) <= 0


@pytest.mark.parametrize(
    ("added", "fault"),
    [
        ("<h4>Four</h4>", "h4 after h2: Four"),
        ("<h1>Again</h1>", "not one h1"),
        ("<img src='data:image/png;base64,' alt=''>", "no alt: "),
    ],
)
def test_broken_control_headings_and_images(tab, address, added, fault):
    shown(tab, address, GOOD.replace("</main>", f"{added}</main>"))
    assert [found.startswith(fault) for found in faults_of_content(tab)] == [True]


@pytest.mark.parametrize(
    ("added", "fault"),
    [
        ("<script src='http://elsewhere.invalid/x.js'></script>", "asked for http://elsewhere.invalid/x.js"),
        ("<script>console.error('oh')</script>", "console: oh"),
        ("<script>nothing()</script>", "error: nothing is not defined"),
        ("<script src='missing.js'></script>", "404 for "),
    ],
)
def test_broken_control_requests_and_errors(tab, address, added, fault):
    with heard(tab, address) as calls:
        shown(tab, address, GOOD + added)
    assert any(call.startswith(fault) for call in calls)


def test_broken_control_what_is_too_wide_or_too_pale(tab, address):
    tab.set_viewport_size({"width": 360, "height": 900})
    shown(tab, address, GOOD + "<div style='width: 400px; color: #ccc; background: #fff'>pale</div>")
    assert too_wide(tab) > 0
    assert any(fault.startswith("color-contrast") for fault in audited(tab, LOOKS))


def test_broken_control_dead_links(tmp_path):
    (tmp_path / "a.html").write_text(
        "<p id='x'><a href='b.html#y'></a><a href='#x'></a><a href='http://e.invalid'></a>"
    )
    (tmp_path / "b.html").write_text("<a href='a.html#z'></a><img src='gone.png'><p id='y'>")
    assert dead(tmp_path, ["a.html", "b.html"]) == ["b.html: a.html#z", "b.html: gone.png"]


def test_broken_control_a_heavy_page():
    assert size("<p>" + "x" * LARGEST) > LARGEST
    assert size('<img src="data:image/png;base64,' + "x" * LARGEST + '">') < 100
