"""A reader who knows all: her probabilities are right, and nobody who counts does better."""

import numpy as np
import pytest

from moe_lessons.corpus import languages as la
from moe_lessons.corpus.ideal_reader import read


@pytest.fixture(scope="module")
def part():
    return la.written(la.world(), 320, 64, 5)


@pytest.fixture(scope="module")
def reading(part):
    return read(la.world(), part.ids)


def test_probabilities_are_probabilities(reading, part):
    assert set(reading.classes) == set(la.CLASS_NAMES)
    for name, p in reading.classes.items():
        assert p.shape == (*part.ids.shape, len(la.CLASS_NAMES[name]))
        assert p.min() > -1e-12
        np.testing.assert_allclose(p.sum(axis=-1), 1)
    assert reading.loss.shape == part.ids[:, 1:].shape


def test_what_she_thinks_likely_is_as_often_true(reading, part):
    """Calibrated: of all labels with a probability, that share is right. So her doubt is what is left open."""
    for name, p in reading.classes.items():
        true = np.eye(p.shape[-1])[part.classes[name]]
        for low, high in ((0.02, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 0.98)):
            here = (p > low) & (p < high)
            if here.sum() > 300:
                assert true[here].mean() == pytest.approx(p[here].mean(), abs=0.07), (name, low)


def test_broken_control_a_reader_who_thinks_more_of_topics_is_too_sure(reading, part):
    true = np.eye(len(la.TOPICS))[part.classes["topic"]]
    for p, right in ((reading.classes["topic"], True), (read(la.world(0, 100), part.ids).classes["topic"], False)):
        sure = (p > 0.5) & (p < 0.98)
        assert (true[sure].mean() == pytest.approx(p[sure].mean(), abs=0.07)) == right


def test_another_world_cannot_have_written_it(part):
    with pytest.raises(ValueError, match=r"ids = '… \d+, \d+ …': expected text that this world can write"):
        read(la.world(1), part.ids)


def test_she_soon_knows_the_language_and_late_the_topic(reading, part):
    right = {n: (reading.classes[n].argmax(axis=-1) == part.classes[n]).mean(axis=0) for n in ("language", "topic")}
    assert right["language"][10:].min() > 0.98
    assert right["topic"][:3].mean() < 0.6
    assert right["topic"][-5:].mean() > 0.9


def test_no_token_is_seen_before_it_comes(part):
    whole, beginning = (read(la.world(), part.ids[:8, :length]) for length in (65, 40))
    for name, p in whole.classes.items():
        np.testing.assert_allclose(beginning.classes[name], p[:, :40])


def test_her_loss_is_below_that_of_counting_pairs(reading, part):
    ids = la.written(la.world(), 4000, 64, 6).ids
    pairs = (
        np.bincount((ids[:, :-1] * la.FORMS + ids[:, 1:]).ravel(), minlength=la.FORMS**2).reshape(la.FORMS, -1) + 0.1
    )
    counted = -np.log((pairs / pairs.sum(axis=1, keepdims=True))[part.ids[:, :-1], part.ids[:, 1:]]).mean()
    assert reading.loss.mean() < counted - 0.2


@pytest.mark.parametrize(
    "ids", [np.zeros(4, dtype=int), np.full((2, 4), la.FORMS), np.zeros((2, 4)), np.zeros((0, 4), int)]
)
def test_what_are_no_tokens_is_refused(ids):
    with pytest.raises(ValueError, match="ids = "):
        read(la.world(), ids)
