"""The text of lesson 11b: two made-up languages of which everything is known, and which share nearly all they have.

A word is one token or two, and nothing marks where it ends. Every token is a word, a part of speech or a piece of a
word according to what stands before it: in the other language the same token plays another part. Topics differ in how
often they use a word, never in which. `ideal_reader` says what the text gives away of each class.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, product
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers

from moe_lessons.corpus.text import Part, TextTask
from moe_lessons.support.validation import positive_number, refuse, whole_number

LANGUAGES, TOPICS = ("north", "south"), ("sea", "field", "market", "temple")
DOMAINS = tuple(f"{language}, {topic}" for language, topic in product(LANGUAGES, TOPICS))
PARTS = ("noun", "verb", "adjective", "determiner", "adposition", "ending")
CONTENT = 3  # so many of them, the first, have a topic
CLASS_NAMES: dict[str, tuple[str, ...]] = {
    "language": LANGUAGES,
    "topic": TOPICS,
    "part": PARTS,
    "position": ("first", "inside", "last"),
    "piece": ("whole word", "first piece", "second piece"),
}
WHOLE = (64, 36, 36, 4, 2, 2)  # how many words of each part are one token; the content parts have as many of two
FLATNESS, FAVOUR = 3, 6.0  # a word's share falls as 1/(rank + FLATNESS), and in its own topic is FAVOUR times as large

# Each slot of a sentence: its part of speech, and how likely which slot comes next.
Grammar = tuple[tuple[str, dict[int, float]], ...]
NORTH: Grammar = (  # determiner (adjective) noun, verb, the same again, perhaps adposition and the same again, ending
    ("determiner", {1: 0.5, 2: 0.5}), ("adjective", {2: 1}), ("noun", {3: 1}), ("verb", {4: 1}),
    ("determiner", {5: 0.5, 6: 0.5}), ("adjective", {6: 1}), ("noun", {7: 0.4, 11: 0.6}), ("adposition", {8: 1}),
    ("determiner", {9: 0.5, 10: 0.5}), ("adjective", {10: 1}), ("noun", {11: 1}), ("ending", {0: 1}),
)  # fmt: skip
SOUTH: Grammar = (  # noun (adjective) determiner, the same again, perhaps the same again and adposition, verb, ending
    ("noun", {1: 0.5, 2: 0.5}), ("adjective", {2: 1}), ("determiner", {3: 1}), ("noun", {4: 0.5, 5: 0.5}),
    ("adjective", {5: 1}), ("determiner", {6: 0.4, 10: 0.6}), ("noun", {7: 0.5, 8: 0.5}), ("adjective", {8: 1}),
    ("determiner", {9: 1}), ("adposition", {10: 1}), ("verb", {11: 1}), ("ending", {0: 1}),
)  # fmt: skip
GRAMMARS = (NORTH, SOUTH)
SLOTS = len(NORTH)
PART_OF = np.array([[PARTS.index(part) for part, _ in grammar] for grammar in GRAMMARS])  # (languages, slots)
FORMS = sum(WHOLE)  # tokens of the vocabulary


class Lexicon(NamedTuple):
    """The words of one language: first and second token of each (W,), second −1 for a whole word; its part (W,); and
    its share among the words of its part for each topic, (topics, W)."""

    first: np.ndarray
    second: np.ndarray
    part: np.ndarray
    share: np.ndarray


@dataclass(frozen=True, eq=False)
class World:
    """Two languages: what a seed draws before any text is written. lexicons: one for each language."""

    lexicons: tuple[Lexicon, ...]

    @cached_property
    def forms(self) -> tuple[str, ...]:
        """How the tokens (V,) are written: syllables."""
        return tuple("".join(signs) for signs in product("bdgklmnrst", "aeiou", ("", "n", "s")))[:FORMS]


def world(seed: int = 0, favour: float = FAVOUR) -> World:
    """Draw both lexicons. The same tokens serve both, those of one language in an order of their own.

    A token that is frequent in one is about as frequent in the other, but seldom the same part of speech.
    favour: how many times as often a content word occurs in its own topic as in another; 1: topics differ in nothing.
    Raises ValueError for a seed that is no whole number from 0 on, and a favour that is no finite number above 0.
    """
    positive_number("favour", favour)
    rng = np.random.default_rng(whole_number("seed", seed, least=0, most=2**63 - 1))
    parts = np.repeat(np.arange(len(PARTS)), WHOLE)  # (V,)
    usual = np.concatenate([_falling(count) * _use()[part] for part, count in enumerate(WHOLE)])  # (V,)
    order = np.argsort(-usual, kind="stable")  # (V,), the words by how often they occur
    other = min((_nearly(order, rng) for _ in range(300)), key=lambda tried: (parts[tried] == parts[order]).sum())
    tokens = rng.permutation(FORMS)  # (V,): which token the word of a rank is
    token_of = [np.empty(FORMS, dtype=np.int64) for _ in LANGUAGES]
    for table, ranked in zip(token_of, (order, other), strict=True):
        table[ranked] = tokens
    return World(tuple(_lexicon(table, favour, rng) for table in token_of))


def without_topics(drawn: World) -> World:
    """Return the world as one sees it who knows of no topics: every word as frequent as it is on average."""
    mean = [np.broadcast_to(lexicon.share.mean(axis=0), lexicon.share.shape) for lexicon in drawn.lexicons]
    return World(tuple(lexicon._replace(share=share) for lexicon, share in zip(drawn.lexicons, mean, strict=True)))


def _use() -> np.ndarray:
    """Return how often each part occurs in a sentence, a mean over both languages, (parts,)."""
    visits = np.zeros(len(PARTS))
    for grammar in GRAMMARS:
        likely = np.zeros(SLOTS)
        likely[0] = 1
        for slot, (part, following) in enumerate(grammar):  # slots stand in their order
            visits[PARTS.index(part)] += likely[slot] / len(GRAMMARS)
            for after, share in following.items():
                likely[after] += share * likely[slot] * (after > slot)
    return visits


def _nearly(order: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the order with neighbours exchanged at random, the further down the further."""
    rank = np.arange(len(order))
    return order[np.argsort(np.log(rank + 4) + 0.35 * rng.normal(size=len(order)), kind="stable")]


def _falling(count: int) -> np.ndarray:
    """Return shares that fall with the rank, (count,)."""
    share = 1 / (np.arange(count) + FLATNESS)
    return share / share.sum()


def _lexicon(token_of: np.ndarray, favour: float, rng: np.random.Generator) -> Lexicon:
    """Return a lexicon. token_of: (V,), the token of each whole word; the words of two tokens are drawn here."""
    halves = [count if part < CONTENT else 0 for part, count in enumerate(WHOLE)]  # words of two tokens
    pairs = rng.choice(FORMS * (FORMS - 1), size=sum(halves), replace=False)
    first = pairs // (FORMS - 1)
    second = (first + 1 + pairs % (FORMS - 1)) % FORMS  # never the same token twice
    part = np.concatenate([np.repeat(np.arange(len(PARTS)), WHOLE), np.repeat(np.arange(len(PARTS)), halves)])
    share = np.empty((len(TOPICS), len(part)))
    for p, (whole, more) in enumerate(zip(WHOLE, halves, strict=True)):
        usual = _falling(whole + more)  # (words of the part,): whole words are the frequent ones
        home = rng.permutation(np.arange(len(usual)) % len(TOPICS))  # (words of the part,)
        favoured = usual * np.where((p < CONTENT) & (home == np.arange(len(TOPICS))[:, None]), favour, 1)
        share[:, part == p] = favoured / favoured.sum(axis=1, keepdims=True)
    tokens = np.concatenate([token_of, first]), np.concatenate([np.full(FORMS, -1), second])
    return Lexicon(*tokens, part, share)


# --- writing ------------------------------------------------------------------------------------------------------


def prepare(
    train: int = 12_000, selection: int = 400, report: int = 3_000, context: int = 128, seed: int = 0,
    favour: float = FAVOUR,
) -> TextTask:  # fmt: skip
    """Write text in both languages and all topics: three parts of so many sequences of context + 1 tokens.

    Each sequence is a document of its own, in one language and of one topic (its `domain`, `languages.DOMAINS`), and
    begins with a sentence. Classes of a token: `language`, `topic`; `part`, the part of speech of its word; `position`,
    whether it begins or ends its sentence; `piece`, whether it is a whole word or one of its two pieces.
    seed, favour: as in `world`. Raises ValueError as `world`, for numbers of sequences that are no multiple of the 8
    domains, and for a context outside 8..1024.
    """
    whole_number("context", context, least=8, most=1024)
    drawn = world(seed, favour)
    sizes = {"train": train, "selection": selection, "report": report}
    parts = {
        name: written(drawn, size, context, [seed, number], name) for number, (name, size) in enumerate(sizes.items())
    }
    tokenizer = Tokenizer(models.WordLevel({form: i for i, form in enumerate(drawn.forms)}, unk_token=drawn.forms[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    spaced = tuple(f" {form}".encode() for form in drawn.forms)
    return TextTask(
        **parts, domains=DOMAINS, class_names=CLASS_NAMES, tokenizer=tokenizer, token_bytes=spaced, notes=()
    )


def written(drawn: World, sequences: int, context: int, seed: int | list[int], name: str = "sequences") -> Part:
    """Return so many sequences of context + 1 tokens, the domains taking turns. `name`: of the argument, for errors."""
    whole_number(name, sequences, least=len(DOMAINS), most=10**6)
    if sequences % len(DOMAINS):
        raise refuse(name, sequences, f"a multiple of {len(DOMAINS)}, the number of domains")
    domain = np.arange(sequences) % len(DOMAINS)  # (S,)
    steps = _tokens(drawn, *np.divmod(domain, len(TOPICS)), np.random.default_rng(seed))
    columns = zip(*islice(steps, context + 1), strict=True)
    ids, slot, piece = (np.stack(column, axis=1) for column in columns)  # (S, context + 1) each
    return Part(ids, domain, np.arange(sequences), _classes(domain, slot, piece))


def _classes(domain: np.ndarray, slot: np.ndarray, piece: np.ndarray) -> dict[str, np.ndarray]:
    """Return the classes of tokens. domain: (S,). slot, piece: (S, L)."""
    language, topic = (np.repeat(label[:, None], slot.shape[1], axis=1) for label in np.divmod(domain, len(TOPICS)))
    part = PART_OF[language, slot]
    position = np.select([(slot == 0) & (piece < 2), slot == SLOTS - 1], [0, 2], default=1)  # (S, L)
    return {"language": language, "topic": topic, "part": part, "position": position, "piece": piece}


def _tokens(
    drawn: World, language: np.ndarray, topic: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield token, slot and piece (S,) of one place after the other. language, topic: (S,)."""
    next_slot = _picker(moves().reshape(-1, SLOTS))
    words = [_picker(_by_part(lexicon)) for lexicon in drawn.lexicons]
    slot, waiting = np.full(len(language), SLOTS - 1), np.full(len(language), -1)  # (S,): a sentence has just ended
    while True:
        goes_on, u = waiting >= 0, rng.random((2, len(language)))  # (S,), (2, S)
        slot = np.where(goes_on, slot, next_slot(language * SLOTS + slot, u[0]))
        row = topic * len(PARTS) + PART_OF[language, slot]  # (S,)
        word = np.choose(language, [pick(row, u[1]) for pick in words])  # (S,)
        first, second = (np.choose(language, [lexicon[i][word] for lexicon in drawn.lexicons]) for i in (0, 1))
        token, waiting = np.where(goes_on, waiting, first), np.where(goes_on, -1, second)
        yield token, slot, np.where(goes_on, 2, waiting >= 0)


def _by_part(lexicon: Lexicon) -> np.ndarray:
    """Return how likely each word is in each topic and part, (topics · parts, W)."""
    of_part = lexicon.part == np.arange(len(PARTS))[:, None]  # (parts, W)
    return (lexicon.share[:, None] * of_part).reshape(-1, len(lexicon.part))


def _picker(shares: np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return a function (row (S,), u (S,) from 0 to 1) -> the choice (S,) that row makes. shares: (rows, choices)."""
    rows, choices = shares.shape
    ends = (shares.cumsum(axis=1).clip(max=1) + np.arange(rows)[:, None]).ravel()  # ascending
    last = choices - 1 - (shares[:, ::-1] > 0).argmax(axis=1)  # (rows,): the last choice that can be
    return lambda row, u: np.minimum(np.searchsorted(ends, row + u, side="right") - row * choices, last[row])


def moves() -> np.ndarray:
    """Return how likely each slot follows each, (languages, slots, slots); the row is the slot before."""
    chances = np.zeros((len(LANGUAGES), SLOTS, SLOTS))
    for language, grammar in enumerate(GRAMMARS):
        for slot, (_, following) in enumerate(grammar):
            chances[language, slot, list(following)] = list(following.values())
    return chances


# --- showing ------------------------------------------------------------------------------------------------------


def first_sentence(task: TextTask, part: Part, row: int) -> str:
    """Return the first sentence of a sequence: its words, the tokens of each joined by +, with its part of speech."""
    words: list[list[str]] = []
    for at in range(int((part.classes["position"][row] == CLASS_NAMES["position"].index("last")).argmax()) + 1):
        syllable = task.decode(part.ids[row, at : at + 1]).strip()
        if CLASS_NAMES["piece"][part.classes["piece"][row, at]] == "second piece":
            words[-1][0] += f"+{syllable}"
        else:
            words.append([syllable, PARTS[part.classes["part"][row, at]]])
    return " | ".join(" ".join(word) for word in words)
