"""What the text of `languages` gives away: to a reader who knows both grammars and all words, and reads on and on.

Bayes' rule, token by token (the forward algorithm, Rabiner 1989, A tutorial on hidden Markov models, section III.A).
Nobody can know more of a class from the tokens up to here, nor guess the next token better.
"""

from typing import NamedTuple

import numpy as np

from moe_lessons.corpus.languages import FORMS, LANGUAGES, PART_OF, PARTS, SLOTS, TOPICS, Lexicon, World, moves
from moe_lessons.support.validation import refuse

STATES = (len(LANGUAGES), len(TOPICS), SLOTS, 3)  # of a token: language, topic, slot, and whole word or which piece


class Reading(NamedTuple):
    """What the reader knows: classes, name -> (S, L, labels), the probability of every label given the tokens up to
    here; loss (S, L) in nats of each token given those before it, without the first."""

    classes: dict[str, np.ndarray]
    loss: np.ndarray


def read(world: World, ids: np.ndarray) -> Reading:
    """Read sequences ids (S, L), which begin with a sentence.

    Raises ValueError for what are no tokens, and for text that the world cannot have written.
    """
    ids = np.asarray(ids)
    if ids.ndim != 2 or ids.dtype.kind != "i" or not ids.size or not 0 <= ids.min() <= ids.max() < FORMS:
        raise refuse("ids", ids, f"whole numbers from 0 to {FORMS - 1}, (S, L)")
    tables = [_tables(lexicon, part) for lexicon, part in zip(world.lexicons, PART_OF, strict=True)]
    stacked = [np.stack(table) for table in zip(*tables, strict=True)]  # (languages, topics, slots, V) or (..., V, V)
    state = np.zeros((len(ids), *STATES))  # (S, languages, topics, slots, 3)
    state[:, :, :, -1, 0] = 1 / (len(LANGUAGES) * len(TOPICS))  # as if a sentence had just ended
    known, losses, before = [], [], ids[:, 0]
    for token in ids.T:
        state, loss = _after(state, before, token, *stacked)
        known.append(_classes(state))
        losses.append(loss)
        before = token
    classes = {name: np.stack([now[name] for now in known], axis=1) for name in known[0]}
    return Reading(classes, np.stack(losses, axis=1)[:, 1:])


def _after(
    state: np.ndarray, before: np.ndarray, token: np.ndarray, whole: np.ndarray, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the state after one more token (S,), and that token's loss (S,) in nats. state: (S, *STATES)."""
    ended = state[..., 0] + state[..., 2]  # (S, languages, topics, slots): a word is complete
    begins = np.einsum("nlts,lsr->nltr", ended, moves())  # (S, languages, topics, slots)
    here = [np.moveaxis(table[..., token], -1, 0) for table in (whole, first)]  # (S, languages, topics, slots) each
    goes_on = state[..., 1] * np.moveaxis(second[..., before, token], -1, 0)
    state = np.stack([begins * here[0], begins * here[1], goes_on], axis=-1)
    likely = state.sum(axis=(1, 2, 3, 4), keepdims=True)  # (S, 1, 1, 1, 1), of the token given those before it
    if not likely.all():
        raise refuse(
            "ids", f"… {before[likely.argmin()]}, {token[likely.argmin()]} …", "text that this world can write"
        )
    return state / likely, -np.log(likely.ravel())


def _classes(state: np.ndarray) -> dict[str, np.ndarray]:
    """Return the probability of each label of each class, (S, labels). state: (S, *STATES)."""
    by_part = np.eye(len(PARTS))[PART_OF]  # (languages, slots, parts)
    first, last = state[..., 0, :2].sum(axis=(1, 2, 3)), state[..., -1, :].sum(axis=(1, 2, 3))  # (S,) each
    return {
        "language": state.sum(axis=(2, 3, 4)),
        "topic": state.sum(axis=(1, 3, 4)),
        "part": np.einsum("nltsp,lsq->nq", state, by_part),
        "position": np.stack([first, 1 - first - last, last], axis=-1),
        "piece": state.sum(axis=(1, 2, 3)),
    }


def _tables(lexicon: Lexicon, part_of: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return how likely each whole word is in each topic and slot, each first piece (topics, slots, V both), and each
    second piece after a first (topics, slots, V, V). part_of: (slots,)."""
    together = np.zeros((len(TOPICS), len(PARTS), FORMS, FORMS + 1))  # the last column: no second piece
    for word, share in enumerate(lexicon.share.T):  # two words may be written alike
        together[:, lexicon.part[word], lexicon.first[word], lexicon.second[word]] += share
    split = together[..., :FORMS].sum(axis=-1)  # (topics, parts, V)
    pair = together[..., :FORMS]
    after = np.divide(pair, split[..., None], out=np.zeros(pair.shape), where=split[..., None] > 0)
    return together[..., -1][:, part_of], split[:, part_of], after[:, part_of]
