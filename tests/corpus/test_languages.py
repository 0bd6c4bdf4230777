"""Two made-up languages: text that follows its grammar, classes that are right, tokens that both share."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_lessons import metrics
from moe_lessons.corpus import languages as la

PARTS = ("train", "selection", "report")


@pytest.fixture(scope="module")
def drawn():
    return la.world()


@pytest.fixture(scope="module")
def part(drawn):
    return la.written(drawn, 400, 64, 1)


@pytest.fixture(scope="module")
def task():
    return la.prepare(train=80, selection=16, report=40, context=32)


def words_of(lexicon):
    """(first, second) -> the parts of speech that such a word can be"""
    found = {}
    for first, second, part in zip(lexicon.first.tolist(), lexicon.second.tolist(), lexicon.part.tolist(), strict=True):
        found.setdefault((first, second), set()).add(part)
    return found


def parsed(ids, piece):
    """Return the words of a sequence in order, (first, second, place), but one that is cut off at the end."""
    at = np.flatnonzero((piece == 0) | (np.append(piece[1:], 0) == 2))
    return [(int(ids[i]), int(ids[i + 1]) if piece[i] else -1, int(i)) for i in at]


def test_every_word_is_one_of_its_language_and_part_and_every_slot_follows_the_grammar(drawn, part):
    for s in range(24):
        language = int(part.classes["language"][s, 0])
        lexicon, grammar = words_of(drawn.lexicons[language]), la.GRAMMARS[language]
        slots = {la.SLOTS - 1}  # where the sentence may be
        for first, second, at in parsed(part.ids[s], part.classes["piece"][s]):
            here = int(part.classes["part"][s, at])
            assert here in lexicon[first, second]
            slots = {after for slot in slots for after in grammar[slot][1] if la.PARTS.index(grammar[after][0]) == here}
            assert slots, f"sequence {s}, place {at}: no such sentence"


def test_broken_control_the_other_language_does_not_parse(drawn, part):
    language = int(part.classes["language"][0, 0])
    other = words_of(drawn.lexicons[1 - language])
    words = parsed(part.ids[0], part.classes["piece"][0])
    wrong = [int(part.classes["part"][0, at]) not in other.get((first, second), ()) for first, second, at in words]
    assert np.mean(wrong) > 0.5


def test_sentences_begin_after_endings_and_only_there(part):
    position, ending = part.classes["position"], part.classes["part"] == la.PARTS.index("ending")
    np.testing.assert_array_equal(position == 2, ending)
    np.testing.assert_array_equal(position[:, 1:] == 0, ending[:, :-1])
    assert (position[:, 0] == 0).all()


def test_a_second_piece_follows_a_first_one_and_only_there(part):
    piece = part.classes["piece"]
    np.testing.assert_array_equal(piece[:, 1:] == 2, piece[:, :-1] == 1)
    assert (piece[:, 0] < 2).all()
    for name in ("language", "topic", "part"):
        values = part.classes[name]
        assert (values[:, 1:] == values[:, :-1])[piece[:, 1:] == 2].all()


def test_the_tokens_serve_both_languages_in_about_the_same_numbers(drawn, part):
    for lexicon in drawn.lexicons:
        assert sorted(lexicon.first[lexicon.second < 0]) == list(range(la.FORMS))  # every token is a whole word
    token = part.ids.ravel()
    left = {}
    for name, values in part.classes.items():
        entropy = metrics.entropy(np.bincount(values.ravel()) / values.size, base=2)
        left[name] = 1 - metrics.mutual_information(values.ravel(), token, base=2) / entropy
    assert left["language"] > 0.9
    assert left["topic"] > 0.9
    assert min(left.values()) > 0.35  # of part, position and piece too, the token leaves much open
    by_language = [
        np.bincount(part.ids[part.classes["language"][:, 0] == i].ravel(), minlength=la.FORMS) for i in (0, 1)
    ]
    assert min(counts.min() for counts in by_language) > 0


def test_tokens_change_their_part_of_speech(drawn):
    north, south = ({f: p for f, s, p in zip(*lexicon[:3], strict=True) if s < 0} for lexicon in drawn.lexicons)
    assert np.mean([north[token] == south[token] for token in north]) < 0.35


def test_frequencies_fall_like_zipf(part):
    count = np.sort(np.bincount(part.ids.ravel(), minlength=la.FORMS))[::-1]
    assert 40 < count[0] / count[-1] < 200
    assert count[:10].sum() > 0.35 * count.sum()


def test_a_topic_favours_words_and_has_no_word_of_its_own(drawn):
    for lexicon in drawn.lexicons:
        content = lexicon.part < la.CONTENT
        assert (lexicon.share > 0).all()
        ratio = lexicon.share.max(axis=0) / lexicon.share.min(axis=0)  # (W,)
        assert (ratio[content] > 3).all()
        np.testing.assert_allclose(ratio[~content], 1)


def test_without_topics_every_topic_is_the_mean_and_nothing_else_changes(drawn):
    for seen, lexicon in zip(la.without_topics(drawn).lexicons, drawn.lexicons, strict=True):
        assert np.ptp(seen.share, axis=0).max() == 0
        np.testing.assert_allclose(seen.share.mean(axis=0), lexicon.share.mean(axis=0))
        np.testing.assert_array_equal(seen.first, lexicon.first)
    strong, alike = la.world(favour=40), la.world(favour=1)
    np.testing.assert_array_equal(strong.lexicons[1].second, drawn.lexicons[1].second)
    assert np.ptp(alike.lexicons[0].share, axis=0).max() < 1e-12
    assert np.ptp(strong.lexicons[0].share, axis=0).sum() > np.ptp(drawn.lexicons[0].share, axis=0).sum()


def test_parts_have_equally_many_sequences_of_each_domain(task):
    for name, size in zip(PARTS, (80, 16, 40), strict=True):
        part = getattr(task, name)
        np.testing.assert_array_equal(part.domain, np.arange(size) % 8)
        np.testing.assert_array_equal(part.domain, (4 * part.classes["language"] + part.classes["topic"])[:, 0])
        assert part.ids.shape == (size, 33)
        assert set(part.classes) == set(task.class_names)
        for key, values in part.classes.items():
            assert values.max() < len(task.class_names[key])
    assert task.domains[4] == "south, sea"
    assert not np.array_equal(task.train.ids[:16], task.selection.ids)


def test_text_is_written_in_syllables_and_read_again(task):
    ids = task.report.ids[3, :9]
    np.testing.assert_array_equal(task.encode(task.decode(ids)), ids)
    assert len({*task.token_bytes}) == la.FORMS


@settings(max_examples=10)
@given(seed=st.integers(0, 2**31), context=st.integers(8, 20))
def test_any_seed_makes_a_world_whose_shares_are_shares(seed, context):
    drawn = la.world(seed)
    for lexicon in drawn.lexicons:
        for p in range(len(la.PARTS)):
            np.testing.assert_allclose(lexicon.share[:, lexicon.part == p].sum(axis=1), 1)
        assert (lexicon.first != lexicon.second).all()
        pairs = lexicon.first * la.FORMS + lexicon.second
        assert len(set(pairs[lexicon.second >= 0])) == (lexicon.second >= 0).sum()
    one, again = (la.written(drawn, 16, context, seed) for _ in range(2))
    np.testing.assert_array_equal(one.ids, again.ids)
    assert not np.array_equal(one.ids, la.written(drawn, 16, context, seed + 1).ids)
    assert 0 <= one.ids.min() <= one.ids.max() < la.FORMS


def test_slots_come_as_often_as_the_grammar_says(drawn):
    part = la.written(drawn, 1600, 128, 3)
    whole = part.classes["piece"] < 2  # words, by their first token
    found = np.bincount(part.classes["part"][whole], minlength=len(la.PARTS)).astype(float)
    np.testing.assert_allclose(found / found.sum(), la._use() / la._use().sum(), atol=0.01)
    for moves in la.moves():
        np.testing.assert_allclose(moves.sum(axis=1), 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": 12}, "train = 12: expected a multiple of 8"),
        ({"report": 0}, "report = 0"),
        ({"context": 4}, "context = 4"),
        ({"seed": -1}, "seed = -1"),
        ({"favour": 0}, "favour = 0"),
        ({"selection": 8.5}, "selection = 8.5"),
    ],
)
def test_bad_sizes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        la.prepare(**{"train": 16, "selection": 8, "report": 8, "context": 8, **options})


def test_a_sentence_is_shown_word_by_word_up_to_its_ending(task):
    for row in range(len(task.report.ids)):
        *words, (ending, kind) = (word.split() for word in la.first_sentence(task, task.report, row).split(" | "))
        tokens = [piece for word, _ in words for piece in word.split("+")] + ending.split("+")
        assert tokens == [task.decode([token]).strip() for token in task.report.ids[row, : len(tokens)]]
        assert kind == "ending"
        assert "ending" not in {part for _, part in words} <= set(la.PARTS)
