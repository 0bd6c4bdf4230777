"""The loader of the words, and where in Markdown they are found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_lessons.support.glossary import LEVELS, Glossary, Term, read

ENTRY = 'says = "A sentence."\nlevel = "expert"\nlesson = "05"\nsection = "Here"\n'
WORDS = Glossary({name: Term(name, "A sentence.", "expert", "05", "Here", forms=forms) for name, forms in {
    "load": ("loads",), "balance loss": (), "loss": (), "top-k": ("top-2",),
}.items()})  # fmt: skip


def found(text):
    return [term.name for term in WORDS.used(text)]


def write(tmp_path, text):
    path = tmp_path / "glossary.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_glossary_of_the_course_can_be_read():
    terms = read().terms.values()
    assert {term.level for term in terms} == set(LEVELS)
    assert all(term.name in term.spellings for term in terms)


def test_an_entry_is_read_as_it_stands(tmp_path):
    more = 'told = "in other words"\nforms = ["routers"]\nearly = { "02" = "why" }\n'
    (term,) = read(write(tmp_path, f"[router]\n{ENTRY}{more}")).terms.values()
    assert term == Term("router", "A sentence.", "expert", "05", "Here", "in other words", ("routers",), {"02": "why"})
    assert term.spellings == {"router", "Router", "routers", "Routers"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"[a]\n{ENTRY}".replace('"expert"', '"guru"'), 'line 3: a.level = guru: expected one of "newcomer", '),
        (f"[a]\n{ENTRY}".replace("A sentence.", "No stop"), "line 2: a.says = No stop: expected one sentence"),
        (f"[a]\n{ENTRY}".replace("A sentence.", "With <b>."), "expected one sentence"),
        (f"[a]\n{ENTRY}".replace("A sentence.", "With $x$."), "expected one sentence"),
        ("[a]\nsays = 'A sentence.'\n", "expected level = …, too"),
        (f"[a]\n{ENTRY}form = []\n", "expected the name forms"),
        (f'[a]\n{ENTRY}forms = "b"\n', "expected a list of spellings"),
        (f"[a]\n{ENTRY}early = {{ '02' = '' }}\n", "expected a reason"),
        (f'[a]\n{ENTRY}forms = ["b"]\n[b]\n{ENTRY}', "'B' is a spelling of 'a' and of 'b'"),
        ("[a\n", "cannot be read"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, text, message):
    with pytest.raises(ValueError, match=r"glossary\.toml") as error:
        read(write(tmp_path, text))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Loads, a load.", ["load", "load"]),
        ("the balance\nloss and the loss", ["balance loss", "loss"]),
        ("> **Myth: a loss**", ["loss"]),
        ("unload, workload, load-bearing, loaded, top-2-like", []),
        ("`load` and ``loads``", []),
        ("```\nload\n```\nloss", ["loss"]),
        ("$load$ and $$\nload\n$$ and `loss`", []),
        ("# Load\n\n## A loss\nloss", ["loss"]),
        ("| load | loss |", []),
        ("[the load](load.py), ![loss](x) and https://x.org/load", []),
        ("<summary>The load</summary>\n\n<b>loss</b>", ["loss"]),
        ("{{load}}", []),
    ],
)
def test_words_are_found_in_prose_alone(text, names):
    assert found(text) == names


def test_broken_control_without_the_exceptions_code_would_be_found(monkeypatch):
    monkeypatch.setattr("moe_lessons.support.glossary._NO_PROSE", "(?!)")
    with pytest.raises(AssertionError):
        assert list(Glossary(WORDS.terms).used("`load` and $loss$")) == []


def test_an_empty_glossary_finds_nothing():
    assert Glossary({}).replaced("load", lambda here, term: "x") == "load"


@given(
    st.lists(st.sampled_from(["load", "balance loss", " ", "\n", "`", "$", "# ", "|", "<b>", "(", "](", "top-k", "x"]))
)
def test_what_is_written_back_is_the_same_text(parts):
    text = "".join(parts)
    assert WORDS.replaced(text, lambda here, term: here) == text
    assert WORDS.replaced(text, lambda here, term: f"«{here}»").replace("«", "").replace("»", "") == text
