"""The cheat sheet prints on one sheet of paper, and reads on a telephone."""

import re

import pytest
from lab import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def test_it_prints_on_one_sheet(page):
    page.page.set_content((ROOT / "docs/cheat_sheet.html").read_text(encoding="utf-8"))
    pages = re.findall(rb"/Type\s*/Page\b(?!s)", page.page.pdf(prefer_css_page_size=True))
    assert len(pages) == 1


def test_broken_control_twice_as_much_takes_two(page):
    text = (ROOT / "docs/cheat_sheet.html").read_text(encoding="utf-8")
    page.page.set_content(text + text.partition("<body>")[2])
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", page.page.pdf(prefer_css_page_size=True))) > 1
