"""What a learner should see is folded: the paragraph that says so, the list that it announces, and nothing else."""

import folds
import pytest
from folds import folded, unfolded

OPEN, CLOSE = f"{folds.OPEN}\n\n", f"\n\n{folds.CLOSE}"


def fold(text):
    lines = list(enumerate(text.split("\n"), 7))
    done = folded(lines)
    assert [number for number, _ in done] == [number for number, _ in lines]  # errors name lines of the source
    text_done = "\n".join(text for _, text in done)
    assert unfolded(text_done) == text
    return text_done


@pytest.mark.parametrize(
    "shown",
    [
        "You should see 7.",
        "You should see\nthree lines\nof it.",
        "You should see, in this order:\n\n1. one\n   and more\n2. two",
        "You should see:\n\n- one",
    ],
)
@pytest.mark.parametrize(("before", "after"), [("", ""), ("Words.\n\n", "\n\nMore words."), ("", "\n\n1. A list.")])
def test_the_paragraph_and_its_list_are_folded(before, shown, after):
    assert fold(f"{before}{shown}{after}") == f"{before}{OPEN}{shown}{CLOSE}{after}"


@pytest.mark.parametrize(
    "text", ["", "Move it. You should see 7.", "A line.\nYou should see 7.", "> You should see 7."]
)
def test_what_only_mentions_it_stays(text):
    assert fold(text) == text


def test_words_that_end_in_a_colon_announce_nothing_but_a_list():
    assert fold("You should see this:\n\nWords.") == f"{OPEN}You should see this:{CLOSE}\n\nWords."


def test_there_may_be_two():
    once = f"{OPEN}You should see 1.{CLOSE}"
    assert fold("You should see 1.\n\nYou should see 1.") == f"{once}\n\n{once}"
