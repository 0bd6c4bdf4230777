"""The building blocks of the pictures: escaped, rounded, with a text alternative."""

import xml.etree.ElementTree as ET

from moe_lessons.figures import palette, svg


def test_attributes_and_text_are_escaped():
    drawn = svg.text(1, 2, "a < b & c", data_note='say "hi"')
    root = ET.fromstring(drawn)
    assert root.text == "a < b & c"
    assert root.get("data-note") == 'say "hi"'


def test_numbers_are_rounded_so_that_every_machine_writes_the_same():
    assert 'x="0.333"' in svg.element("rect", x=1 / 3)
    assert 'x="2"' in svg.element("rect", x=2.0)
    assert 'x="-0"' not in svg.element("rect", x=-1e-9)


def test_a_picture_scales_and_can_be_read_aloud():
    root = ET.fromstring(svg.picture(300, 100, "Title", "What it shows", svg.text(0, 0, "x"), state="k=2"))
    assert root.get("viewBox") == "0 0 300 100"
    assert root.get("data-state") == "k=2"
    assert [child.tag.split("}")[1] for child in root][:2] == ["title", "desc"]
    assert "max-width: 300px" in root.get("style")


def test_neighbouring_experts_have_different_colours():
    colours = [palette.expert_colour(i) for i in range(8)]
    assert len(set(colours)) == 8
    assert palette.expert_colour(8) == colours[0]
