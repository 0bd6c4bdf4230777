"""The map of tiles says what the table says, and what is next."""

import re
import xml.etree.ElementTree as ET

import pytest

from moe_lessons.checks import progress, questions
from moe_lessons.checks.records import EMPTY
from moe_lessons.checks.tiles import tile_map

ALL = questions()


def drawn(known=(), place="kept here"):
    """Return the map where this is known of some questions, and nothing of the others."""
    sets = {}
    for question in ALL.values():
        sets.setdefault(question.set, []).append(question)
    html = tile_map(sets, {**dict.fromkeys(ALL, EMPTY), **dict(known)}, place)
    return ET.fromstring(f"<div>{html}</div>").find("div")


def state(correct, attempts=1, last="2026-01-01"):
    return {"attempts": attempts, "correct": correct, "last": last}


def words(tree):
    return " ".join(" ".join(tree.itertext()).split())


def tiles(tree):
    """Return what each tile says, by its question."""
    return {
        re.search(r"[\w.]+\.\d", span.text)[0]: span
        for span in tree.iter("span")
        if "moe-tile" in span.get("class", "")
    }


def test_there_is_a_tile_for_each_question_and_a_row_for_each_set():
    tree = drawn()
    assert list(tiles(tree)) == list(ALL)
    assert len(list(tree.iter("tr"))) == len({question.set for question in ALL.values()})
    assert f"0 of {len(ALL)} questions, 0 of {sum(q.points for q in ALL.values())} points." in words(tree)
    assert [th.text for th in tree.iter("th")][:5] == ["Lesson 01", "Lesson 02", "Lesson 03", "Lesson 04", "Review 04r"]


def test_a_tile_tells_by_sign_and_outline_how_it_stands():
    known = {"1.1": state(True, 2), "1.2": state(False, 3)}
    found = tiles(drawn(known))
    assert [found[id].text for id in ("1.1", "1.2", "1.3")] == ["✓ 1.1 (2)", "✗ 1.2 (3)", "· 1.3"]
    assert len({found[id].get("class") for id in ("1.1", "1.2", "1.3")}) == 3
    assert ["dashed" in found[id].get("style") for id in ("1.1", "1.2", "1.3")] == [False, False, True]
    assert found["1.2"].get("title") == f"{ALL['1.2'].title}: not yet"
    assert f"{ALL['1.1'].points} of {sum(q.points for q in ALL.values() if q.set == '01')} points" in words(
        drawn(known)
    )


@pytest.mark.parametrize(
    ("known", "next_one"),
    [
        ({}, "1.1"),
        ({"1.1": state(True)}, "1.2"),
        ({"1.1": state(False)}, "1.1"),
        ({"1.1": state(True), "4.1": state(True, last="2026-02-01")}, "4.2"),  # from where the learner is
        ({"11p.6": state(True)}, list(ALL)[(list(ALL).index("11p.6") + 1) % len(ALL)]),
    ],
)
def test_next_is_the_first_open_question_from_the_latest_on(known, next_one):
    assert f"Next: {next_one} {ALL[next_one].title}" in words(drawn(known))


def test_when_all_is_solved_nothing_is_next():
    assert "Next: nothing, all is solved" in words(drawn(dict.fromkeys(ALL, state(True))))


def test_the_place_is_escaped():
    assert "Kept in <b>" in words(drawn(place="kept in <b>"))


def test_progress_shows_the_map_over_its_table():
    shown = progress()
    assert "moe-map" in shown._repr_html_()
    assert repr(shown).startswith("set ")


def test_progress_that_cannot_be_read_is_words_alone(monkeypatch):
    monkeypatch.setattr("moe_lessons.checks.records.load", lambda _: 1 / 0)
    shown = progress()
    assert repr(shown).startswith("Your progress cannot be shown: ZeroDivisionError")
    assert shown._repr_html_() is None
