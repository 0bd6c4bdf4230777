"""HTML as strings: elements nest, and text and attributes are escaped."""

from moe_lessons.support.markup import element, prose, tag


def test_text_and_attributes_are_escaped():
    assert prose("a `x < 1` & b") == "a <code>x &lt; 1</code> &amp; b"
    assert tag("td", "<", class_='"') == '<td class="&quot;">&lt;</td>'


def test_elements_hold_elements():
    assert element("p", tag("b", "<"), " ", data_x="1") == '<p data-x="1"><b>&lt;</b> </p>'
