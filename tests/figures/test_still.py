"""A picture as an image: whole, of the right size, without what only a page around it could give, and with words."""

import re
import xml.etree.ElementTree as ET
from base64 import b64decode
from html.parser import HTMLParser

import pytest

from moe_lessons.data import worked_example
from moe_lessons.figures.still import Picture, alternative, image
from moe_lessons.figures.svg import picture, text
from moe_lessons.figures.trace import trace_svg

SVG = "{http://www.w3.org/2000/svg}"
TRACE = trace_svg(*worked_example())


def attributes(html):
    """Return the attributes of the one tag."""
    found = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, pairs: found.append((tag, dict(pairs)))
    parser.feed(html)
    ((tag, pairs),) = found
    assert tag == "img"
    return pairs


def held(html):
    """Return the SVG inside the image's address."""
    kind, _, data = attributes(html)["src"].partition(",")
    assert kind == "data:image/svg+xml;base64"
    return ET.fromstring(b64decode(data))


def test_the_image_holds_the_picture_in_its_own_size():
    root = held(image(TRACE))
    texts = [[node.text for node in tree.iter(SVG + "text")] for tree in (root, ET.fromstring(TRACE))]
    assert texts[0] == texts[1]
    size = {"width": "580", "height": "302"}
    assert {name: root.get(name) for name in size} == size
    assert {name: attributes(image(TRACE))[name] for name in size} == size


def test_nothing_in_it_waits_for_a_page_around_it():
    assert "var(--" in TRACE
    alone = ET.tostring(held(image(TRACE)), encoding="unicode")
    assert not re.search(r"var\(|style=|ns0:|data-state", alone)
    assert 'fill="#1f2328"' in alone
    assert "font-family=\"system-ui, -apple-system, 'Segoe UI', sans-serif\"" in alone


def test_the_text_alternative_is_title_and_description():
    drawn = picture(10, 20, 'A "title"', "x < y. And more.", text(0, 0, "ignored"))
    assert alternative(drawn) == 'A "title". x < y. And more.'
    assert attributes(image(drawn))["alt"] == alternative(drawn)
    assert alternative(picture(10, 20, "Who?", "")) == "Who?"
    assert alternative(picture(10, 20, "", "")) == ""


@pytest.mark.parametrize("html", ["<p role='alert'>No picture</p>", "<svg></svg>", "<svg", "one < two", ""])
def test_what_is_no_svg_stays_as_it_is(html):
    assert image(html) == html
    assert alternative(html) == ""


def test_jupyter_shows_a_picture_as_an_image_and_prints_its_words():
    shown = Picture(TRACE)
    assert shown._repr_html_() == image(TRACE)
    assert repr(shown) == alternative(TRACE)
    assert repr(shown).startswith("Routing one token, up to step 5. Multiply and add: the logit of E3 is")
