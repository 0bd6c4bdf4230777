"""How many words are explained: what is marked for whom, and that the choice lasts."""

import json
import re
from html import unescape

import pytest

from moe_lessons.checks import explain
from moe_lessons.checks.reading import AMOUNTS, chosen, style
from moe_lessons.support.glossary import LEVELS, as_json, read

TERMS = read().terms.values()


def unmarked(amount):
    """Return the levels of the words that a style unmarks."""
    says = set(re.findall(r'abbr\[title="([^"]*)"\]', style(amount)))
    assert says <= {term.says for term in TERMS}
    return {term.level for term in TERMS if term.says in says}


def test_who_asks_for_less_has_fewer_words_marked():
    assert [unmarked(amount) for amount in AMOUNTS] == [set(), {"newcomer"}, {"newcomer", "practitioner"}]
    assert style("everything") == ""


def test_each_word_is_found_by_what_it_says():
    assert len({term.says for term in TERMS}) == len(TERMS)


def test_the_choice_is_kept_with_the_progress(progress_home):
    assert chosen() == "everything"
    assert explain("little").said.endswith(f"Your choice is kept in {progress_home}.")
    assert chosen() == "little"
    assert explain().said.startswith("Explained: little, ")
    assert "kept" not in explain().said
    explain("the usual")
    assert chosen() == "the usual"


@pytest.mark.parametrize("spoilt", ["", "{", "[]", '{"explain": "all"}', '{"explain": 3}', "null"])
def test_a_spoilt_choice_is_none(progress_home, spoilt):
    explain("little")
    (progress_home / "reading.json").write_text(spoilt, encoding="utf-8")
    assert chosen() == "everything"


def test_a_choice_that_cannot_be_kept_is_told(monkeypatch, progress_home):
    progress_home.mkdir(parents=True, exist_ok=True)
    (progress_home / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("MOE_LESSONS_HOME", str(progress_home / "file"))
    assert "Your choice could not be kept" in repr(explain("little"))


def test_a_lesson_shows_its_words_of_these_levels():
    everything, little = explain("everything", lesson="07"), explain("little", lesson="07")
    assert {term.lesson for term in everything.terms} == {"07"}
    assert 0 < len(little.terms) < len(everything.terms)
    assert repr(little).count("\n") == len(little.terms)
    assert all(term.says in unescape(little._repr_html_()) for term in little.terms)
    assert repr(explain()).count("\n") == 0


@pytest.mark.parametrize(("arguments", "said"), [(("all",), "amount = 'all'"), ((None, "99"), "lesson = '99'")])
def test_what_is_none_is_refused(arguments, said):
    with pytest.raises(ValueError, match=f"{said}: expected one of"):
        explain(*arguments)
    assert chosen() == "everything"


def test_a_page_gets_the_words_as_json():
    words = json.loads(as_json(read()))
    assert len(words) == len(TERMS)
    assert {word["level"] for word in words} == set(LEVELS)
    assert words[0].keys() == {"name", "says", "level", "lesson"}
    assert [word["name"].lower() for word in words] == sorted(word["name"].lower() for word in words)
