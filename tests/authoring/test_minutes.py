"""How long a lesson takes: words, code, predictions, pictures, running."""

import pytest
from minutes import ACT, Minutes, minutes, words
from percent import TAGS, read_cells


def of(text):
    return minutes(read_cells(text, TAGS))


def test_words_are_read():
    assert of("# %% [markdown]\n# " + "word " * 400).core == 2


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("two words", 2),
        ("a formula $a + b = c$ is one", 5),
        ("code `x = a + b` as well", 4),
        ("see https://example.org/a/b-c/d", 2),
        ("<details><summary>Answer</summary>folded</details>", 6),
        ("12 - 3 = 9", 0),
    ],
)
def test_what_a_word_is(text, count):
    assert words(text) == count


def test_code_is_read_without_blank_lines_and_promises():
    assert of("# %%\nx = 1\n\n\nprint(x)\nassert x == 1\nexpected = 3\nassert x + 2 == expected\n").core == 0.2


def test_predictions_and_pictures_take_their_time():
    text = '# %%\nfrom moe_lessons.widgets.live import Live, slider\n\n# %% tags=["predict"]\nx = ...\n'
    shown = '\n# %%\nLive(slider("τ"))\nLive(slider("h"))\n'
    assert of(text).core == pytest.approx(0.2 + ACT)
    assert of(text + shown).core == pytest.approx(0.4 + 2 * ACT)
    assert of(text + '\n# %%\nslider("τ")\n').core == pytest.approx(0.3 + ACT)


def test_running_is_waited_for():
    assert of('# %% tags=["90 s", "deeper"]\nx = 1\n') == Minutes(core=0, deeper=pytest.approx(1.6))


@pytest.mark.parametrize(
    ("core", "deeper", "words", "short"),
    [
        (38.2, 0, "about 40 minutes", "40"),
        (38.2, 2.4, "about 40 minutes", "40"),
        (42.6, 8, "about 45 minutes, and 10 more for the *deeper* parts", "45 + 10"),
        (1, 0, "about 5 minutes", "5"),
    ],
)
def test_minutes_are_said_in_steps_of_five(core, deeper, words, short):
    assert str(Minutes(core, deeper)) == words
    assert Minutes(core, deeper).short == short
