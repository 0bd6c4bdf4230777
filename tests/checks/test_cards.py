"""A card says what the plain text beneath it says, of every kind of verdict; nothing that a learner typed gets out."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest

from moe_lessons.checks import cards, check, compare, questions, saying
from moe_lessons.checks import engine as engine_module
from moe_lessons.checks.bars import sides
from moe_lessons.checks.engine import Result
from moe_lessons.checks.parts import Part
from moe_lessons.checks.values import Entry, difference
from moe_lessons.checks.verdicts import Verdict
from moe_lessons.figures.palette import EXPERTS

ROOT = Path(__file__).parents[2]
EVIL = "<script>alert(1)</script> \" ' & `<b>` $x$"
# What JupyterLab's sanitiser (apputils/sanitizer.ts) leaves of HTML that is not trusted; it removes `style` elements.
ALLOWED = {"class", "style", "href", "scope", "title"}


def right(x, weight, bias):
    return x @ weight.T + bias


def one_off(x, weight, bias):
    h = right(x, weight, bias)
    h[(0,) * h.ndim] += 1
    return h


def for_one_token_alone(x, weight, bias):
    return right(x, weight, bias) + (10 if x.ndim > 1 else 0)


def raises(x, weight, bias):
    raise ValueError(EVIL)


def prints(x, weight, bias):
    print(EVIL)
    return right(x, weight, bias)


def rounded(x, weight, bias):
    return right(x, weight, bias).round(3)


def of_another_shape(x, weight, bias):
    return right(x, weight, bias)[..., :1]


KINDS = {
    "correct": ("1.1", right),
    "correct, and printed": ("1.1", prints),
    "untouched": ("1.1", ...),
    "not yet": ("1.1", one_off),
    "close": ("1.1", rounded),
    "another shape": ("1.1", of_another_shape),
    "raised": ("1.1", raises),
    "a variable": ("1.4", [1.0, 1.0]),
    "text": ("1.5", {"factor": EVIL}),
    "in parts": ("1.5", {"factor": 9.987, "p3 / p2": 1, "selected for -x": [3, 1], "p3 / p2 for x/2": 1}),
    "unknown": ("99.9", 1),
    "a name": (EVIL, 1),
}


@pytest.fixture
def shown(monkeypatch):
    """A notebook: the outputs that it is given."""
    outputs = []
    shell = SimpleNamespace(display_pub=SimpleNamespace(publish=outputs.append))
    monkeypatch.setattr(saying, "notebook", lambda: shell)
    monkeypatch.setattr(engine_module.records, "record", lambda *_: {"attempts": 3})
    return outputs


def carded(shown, *arguments, ask=check, **settings):
    """Return the one card that a check or a comparison shows, as a tree, and its plain text."""
    shown.clear()
    ask(*arguments, **settings)
    (output,) = shown
    return ET.fromstring(f"<div>{output['text/html']}</div>"), output["text/plain"]


def words(tree):
    """Return what is read of a card, each piece after the other, as a screen reader does."""
    return " ".join(" ".join(tree.find("div").itertext()).split())


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_beneath_is_what_is_printed_elsewhere(shown, capsys, monkeypatch, kind):
    _, beneath = carded(shown, *KINDS[kind], seed=5)
    monkeypatch.setattr(saying, "notebook", lambda: None)
    check(*KINDS[kind], seed=5)
    assert capsys.readouterr().out == f"{beneath}\n"


@pytest.mark.parametrize("kind", KINDS)
def test_a_card_says_what_its_text_says(shown, kind):
    tree, beneath = carded(shown, *KINDS[kind], seed=5)
    told = closed_up(words(tree))
    for line in beneath.split("\n")[1:]:
        assert [piece for piece in pieces(line.strip().removeprefix("| ")) if closed_up(piece) not in told] == []


def closed_up(text):
    """Return a text without spaces, which stand between the pieces of a card, and backticks, which are code there."""
    return re.sub(r"[\s`]", "", text)


def pieces(line):
    """Return what of a line a card must hold: numbers where it sets them side by side, names where it has marks."""
    if "expected" in line and " came " in line:
        return re.findall(r"-?\d+\.\d+", line)
    if line.startswith(("Right: ", "Not yet: ")) and "cases" not in line:
        return re.sub(r"Right:|Not yet:|\.$|\. ", ";", line).split(";")
    return [line.replace(" Hints are folded above.", "")]


@pytest.mark.parametrize("kind", KINDS)
def test_the_verdict_comes_first_and_is_no_heading(shown, kind):
    tree, beneath = carded(shown, *KINDS[kind])
    icon, verdict = words(tree).split(". ")[0].split(" ", 1)
    assert icon in "✓≈✗○?"
    status = beneath.split("\n")[0].rsplit(": ", 1)[1]
    assert status in verdict.lower() or verdict == "Close, but not yet"
    assert not re.search(r"<h\d", ET.tostring(tree, encoding="unicode"))  # JupyterLab would list it in its contents


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_what_was_typed_gets_out_and_all_of_it_survives_the_sanitiser(shown, kind):
    tree, _ = carded(shown, *KINDS[kind])
    for node in tree.find("div").iter():
        assert node.tag in {"div", "p", "span", "strong", "code", "pre", "ul", "li", "a", "table", "thead", "tbody",
                            "tr", "th", "td"}  # fmt: skip
        assert set(node.attrib) <= ALLOWED
        assert node.get("href", "#").startswith("#")


def test_verdicts_differ_in_icon_word_and_outline(shown):
    seen = {}
    for kind in ("correct", "close", "not yet", "untouched"):
        tree, _ = carded(shown, *KINDS[kind])
        (card,) = tree.findall("div")
        seen[kind] = (words(tree)[0], card.get("class").split()[1])
    assert len({icon for icon, _ in seen.values()}) == 4
    assert len({look for _, look in seen.values()}) == 4


def test_no_colour_is_said_and_none_is_an_experts(shown):
    html = "".join(ET.tostring(carded(shown, *KINDS[kind])[0], encoding="unicode") for kind in KINDS)
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b(?![^<]*</)|rgb|hsl", re.sub(r'href="[^"]*"', "", html))
    assert not any(colour.lower() in html.lower() for colour in EXPERTS)


@pytest.mark.parametrize(
    ("parts", "mistake", "band"),
    [
        ((Part("a", 3, 3), Part("b", 3, 3), Part("c", 0, 3)), None, cards.CLOSE),
        ((Part("a", 3, 3), Part("b", 0, 3)), None, cards.NOT_YET),
        ((Part("", 2, 3),), None, cards.CLOSE),
        ((Part("", 1, 3),), None, cards.NOT_YET),
        ((Part("a", 1, chance=0.5),) * 9 + (Part("b", 0, chance=0.5),), None, cards.NOT_YET),  # as guesses would be
        ((), "rounded", cards.CLOSE),
        ((), None, cards.NOT_YET),
    ],
)
def test_close_is_more_than_half(parts, mistake, band):
    assert cards._band(Result("1.1", engine_module.Status.NOT_YET, mistake=mistake, parts=parts)) == band


# The next step

LAST = max((q for q in questions().values() if q.set == "01"), key=lambda q: q.id)


@pytest.mark.parametrize(
    ("kind", "targets"),
    [
        ("correct", ["1.2-What-the-log-still-knows"]),
        ("not yet", ["hint-1.1", "1.2-What-the-log-still-knows"]),
        ("raised", ["hint-1.1"]),
        ("untouched", ["hint-1.1"]),
        ("unknown", []),
    ],
)
def test_the_next_step_is_a_link(shown, kind, targets):
    tree, _ = carded(shown, *KINDS[kind])
    assert [link.get("href") for link in tree.iter("a")] == [f"#{target}" for target in targets]
    assert ("Next: " in words(tree)) == bool(targets)


def test_after_the_last_question_comes_where_you_stand():
    html = cards.verdict_card(Result(LAST.id, engine_module.Status.CORRECT), LAST, "", [])
    assert '<a href="#Where-you-stand">Where you stand</a>' in html


@pytest.mark.parametrize("path", sorted(ROOT.glob("exercises/*.ipynb")), ids=lambda path: path.stem)
def test_every_link_has_a_target(path):
    """JupyterLab names a heading by its words, with hyphens; it finds a link's target if no browser rewrites it."""
    text = "\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown")
    headings = {heading.replace(" ", "-") for heading in re.findall(r"^##+ (.+)$", text, re.MULTILINE)}
    ids = set(re.findall(r'id="([^"]+)"', text))
    asked = [question for question in questions().values() if question.set == path.stem.split("_")[0]]
    assert asked
    assert {cards.heading(question) for question in asked} <= headings
    assert {cards.hint_anchor(question) for question in asked} == ids
    assert cards.END.replace(" ", "-") in headings
    assert all(re.fullmatch(r"[\w.,'?!:;=()+*/-]+", target, re.ASCII) for target in (*map(cards.heading, asked), *ids))


# Side by side


def table(html):
    """Return the cells of each row, as text."""
    rows = ET.fromstring(html).iter("tr")
    return [["".join(cell.itertext()) for cell in row] for row in rows]


def lengths(html):
    """Return where each bar begins and how long it is, in per cent."""
    return [tuple(map(float, pair)) for pair in re.findall(r"margin-left: ([\d.]+)%; width: ([\d.]+)%", html)]


def test_a_vector_has_bars_on_one_scale_and_what_is_off_is_marked():
    html = sides(difference(np.array([0.5, 1.0, -1.0]), np.array([0.5, 3.0, -1.0])).entries, ("expected", "came"))
    assert table(html) == [
        ["entry", "expected", "came", ""],
        ["[0]", "0.5", "0.5", ""],
        ["[1]", "3", "1", "✗ off"],
        ["[2]", "-1", "-1", ""],
    ]
    assert lengths(html) == [(25, 12.5), (25, 12.5), (25, 75), (25, 25), (0, 25), (0, 25)]


def test_where_all_is_off_no_mark_is_needed_and_a_single_number_has_no_bar():
    assert table(sides(difference(np.array([1.0, 2.0]), np.zeros(2)).entries, ("a", "b")))[0] == ["entry", "a", "b"]
    html = sides(difference(np.array(2.0), np.array(3.0)).entries, ("expected", "came"))
    assert table(html) == [["expected", "came"], ["3", "2"]]
    assert lengths(html) == []


def test_an_answer_in_parts_names_the_part():
    assert table(sides((Entry("", "3", "2"),), ("a", "b"), "load")) == [["load", "a", "b"], ["", "3", "2"]]


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_what_has_no_length_has_no_bar(number):
    html = sides(difference(np.array([number, 1.0]), np.array([2.0, 1.0])).entries, ("a", "b"))
    assert lengths(html) == [(0, 100), (0, 50), (0, 50)]
    assert all(lengths(sides(difference(np.zeros(2), np.full(2, n)).entries, ("a", "b"))) == [] for n in (number,))


def test_numbers_as_large_as_floats_get_have_no_bars():
    largest = np.finfo(float).max
    entries = (Entry("[0]", "a", "b", True, (largest, -largest)), Entry("[1]", "1", "2", True, (1, 2)))
    assert lengths(sides(entries, ("a", "b"))) == []


def test_of_a_table_the_places_count_from_the_whole():
    value = np.zeros((3, 5))
    value[2, 3] = 1
    told = difference(value, np.zeros((3, 5)))
    assert [entry.place for entry in told.entries] == [f"[2, {i}]" for i in range(5)]
    assert [entry.off for entry in told.entries] == [False, False, False, True, False]


# Predictions


@pytest.mark.parametrize(
    ("prediction", "actual", "first", "rest"),
    [
        (1.25, 1.246, "✓ That is it.", ["1.25", "1.246"]),
        ([49], np.array([50]), "≈ Close: a little too low.", ["49", "50"]),
        (5.0, 1.246, "✗ Too high.", ["What led you to yours?", "1.246 nats", "5 nats"]),
        (EVIL, "E1", "✗ They differ.", ["<script>"]),
        ([1, 2, 4], np.array([1, 2, 3]), "✗ 2 of 3 entries are right: number 3 is not.", ["3 3 4 ✗ off"]),
    ],
)
def test_a_prediction_stands_beside_the_answer(shown, prediction, actual, first, rest):
    tree, beneath = carded(shown, prediction, actual, "nats" if isinstance(actual, float) else "", ask=compare)
    assert beneath.startswith("You predicted ")
    assert words(tree).startswith(first)
    assert all(piece in words(tree) for piece in rest)


def test_a_prediction_that_counts_as_right_is_not_marked(shown):
    tree, _ = carded(shown, [0.5, 0.251], np.array([0.4999, 0.25]), ask=compare)
    assert "off" not in words(tree)


def test_a_missing_prediction_is_asked_for():
    tree = ET.fromstring(f"<div>{cards.request_card('No prediction yet. Type one.')}</div>")
    assert words(tree) == "○ No prediction yet. Next: Type one."


# Broken controls


def test_a_card_that_cannot_be_drawn_leaves_the_text(shown, monkeypatch):
    monkeypatch.setattr(cards, "verdict_card", lambda *_: 1 / 0)
    assert check("1.1", right).status == "correct"
    (output,) = shown
    assert set(output) == {"text/plain"}


def test_text_that_is_not_escaped_would_be_found(shown, monkeypatch):
    monkeypatch.setattr(cards, "prose", str)
    with pytest.raises((ET.ParseError, AssertionError)):
        test_nothing_of_what_was_typed_gets_out_and_all_of_it_survives_the_sanitiser(shown, "raised")


def test_a_verdict_of_its_own_words_has_no_table():
    verdict = Verdict(False, "why", seen="seen", remark="remark", case="case")
    html = cards._judged(verdict)
    assert re.findall(r">(\w+)</p>", html) == ["why", "seen", "case", "remark"]
    assert "<table" not in html
    assert "<table" in cards._judged(replace(verdict, seen=difference(np.zeros(2), np.ones(2))))
