"""Formulas as HTML: what is written, what is said, and what is refused; every quiz of the course has only such ones."""

import re

import pytest

from moe_lessons.checks.quiz import lessons, quiz
from moe_lessons.support.formulas import formula, inline


@pytest.mark.parametrize(
    ("tex", "shown", "said"),
    [
        ("E_5", "<i>E</i><sub>5</sub>", "E 5"),
        ("1 - 0.75^{16}", "1 − 0.75<sup>16</sup>", "1 minus 0.75 to the 16"),
        (r"-p_j\,(y \cdot v)", "−<i>p</i><sub><i>j</i></sub> (<i>y</i> · <i>v</i>)", "minus p j ( y times v )"),
        ("e^{2g}", "<i>e</i><sup>2<i>g</i></sup>", "e to the 2 g"),
        (r"N \sum f_i", "<i>N</i>∑ <i>f</i><sub><i>i</i></sub>", "N the sum of f i"),
        ("{a}", "<i>a</i>", "a"),
        ("a < b", "<i>a</i> &lt; <i>b</i>", "a is less than b"),
        (r"\tau", "<i>τ</i>", "tau"),
    ],
)
def test_a_formula_is_shown_and_said(tex, shown, said):
    html = formula(tex).replace("\N{THIN SPACE}", " ")
    assert html == f'<span class="moe-formula" role="math" aria-label="{said}">{shown}</span>'


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        (r"\frac{1}{2}", "letters, numbers, braces"),
        ("a & b", "letters, numbers, braces"),
        ("x_", "something after _ and ^"),
        ("x^}", "something after _ and ^"),
        ("_i", "something before _"),
        ("{a", "a brace that closes each one"),
        ("x_{a", "a brace that closes each one"),
        ("a}", "no brace that closes nothing"),
    ],
)
def test_what_it_does_not_know_is_refused(tex, expected):
    with pytest.raises(ValueError, match=re.escape(f"tex = {tex!r}: expected {expected}")):
        formula(tex)


def test_a_sentence_keeps_its_code_and_its_emphasis_and_is_text_otherwise():
    assert inline("a `w[e] < 1` *next* 2 * 3 * 4 <b> & $k$") == (
        "a <code>w[e] &lt; 1</code> <em>next</em> 2 * 3 * 4 &lt;b&gt; &amp; "
        '<span class="moe-formula" role="math" aria-label="k"><i>k</i></span>'
    )


def texts():
    for idea in (idea for number in lessons() for idea in quiz(number).ideas):
        yield from (idea.says, idea.section)
        for asked in idea.questions:
            yield asked.asks
            yield from (text for option in asked.options for text in (option.text, option.why))


def test_every_text_of_the_quizzes_can_be_shown():
    shown = [inline(text) for text in texts()]
    assert len(shown) > 1000
    assert sum("moe-formula" in text for text in shown) > 8
    left = [re.sub(r"<code>.*?</code>", "", text) for text in shown]
    assert [text for text in left if re.search(r"[$`]|\\[a-z]|\*\w", text)] == []
