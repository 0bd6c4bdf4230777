"""The text of lesson 11: four domains without a download, a tokenizer trained on the spot, classes of every token.

English prose and Python come from the standard library that is installed, JSON and arithmetic are generated. So the
text depends on the Python version; for one version and seed it is always the same. Nothing is kept on disk.
"""

import os
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from moe_lessons.corpus.sources import DOMAINS, Document, gather
from moe_lessons.corpus.token_classes import CLASS_NAMES, labels_of_tokens
from moe_lessons.support.validation import refuse, whole_number

HELD_OUT = 0.15  # the share of the text in `selection`, and again in `report`
OVERLAP = 100  # characters: whatever shares twice as many with another part is left out
RANK_STARTS = (10, 50, 200)


@dataclass(frozen=True, eq=False)
class Part:
    """Sequences for one purpose; neighbours in the list are of different domains.

    ids: (S, context + 1) int64, the tokens. domain, document: (S,) int64, an index into DOMAINS, and the number of the
    document that the sequence was cut from. classes: name -> (S, context + 1) int64, an index into `class_names[name]`.
    """

    ids: np.ndarray
    domain: np.ndarray
    document: np.ndarray
    classes: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class TextTask:
    """Text in three parts that share no document, and its tokenizer; `notes` says what had to be generated instead."""

    train: Part
    selection: Part
    report: Part
    domains: tuple[str, ...]
    class_names: dict[str, tuple[str, ...]]
    tokenizer: Tokenizer
    token_bytes: tuple[bytes, ...]
    notes: tuple[str, ...]

    def encode(self, text: str) -> np.ndarray:
        """Return the token ids (T,) of any text; characters never seen in training become tokens of one byte each."""
        with _one_thread():
            return np.array(self.tokenizer.encode(text).ids, dtype=np.int64)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of token ids (T,). A character of which some bytes are missing becomes the sign �."""
        return b"".join(self.token_bytes[i] for i in ids).decode("utf-8", errors="replace")

    def pieces(self, ids: Iterable[int], visible: bool = True) -> list[str]:
        """Return the text of each token on its own. `visible` shows a space as ␣, a new line as ⏎, a tab as ⇥.

        A token that holds only a part of a character is written as its bytes, like \\xe2.
        """
        shown = [self.token_bytes[i].decode("utf-8", errors="backslashreplace") for i in ids]
        return [piece.translate(_VISIBLE) for piece in shown] if visible else shown


_VISIBLE = str.maketrans({" ": "␣", "\n": "⏎", "\t": "⇥"})


def prepare(context: int = 128, vocabulary: int = 1000, seed: int = 0) -> TextTask:
    """Gather or generate the text, split it, train the tokenizer on the train part, and label every token.

    The documents (a topic, a module, a generated page) are split before anything else; what repeats another part is
    left out, so that no 200 characters in a row occur in two parts. The tokenizer is a byte-level BPE (Sennrich et al.
    2016, arXiv:1508.07909) of `vocabulary` tokens, every digit a token of its own. Sequences have context + 1 tokens,
    do not overlap, and stay in one document; each part has equally many from each domain.

    Classes of a token: `domain`; `shape`; `python` (what `tokenize` calls it; layout: new line, indent, space);
    `function` (of the word it is part of, in prose); `position`, counted in tokens from the start of the sentence in
    prose and of the line elsewhere; `frequency`, by rank among the tokens of the train part.
    A token with a space in front has the class of what follows. `seed` decides the generated text and the split.
    Where the standard library brings too little text, generated text fills up; one printed line and `notes` say so.
    Raises ValueError for a context outside 8..1024 or a vocabulary outside 300..4000.
    """
    whole_number("context", context, least=8, most=1024)
    whole_number("vocabulary", vocabulary, least=300, most=4000)
    whole_number("seed", seed, least=0, most=2**63 - 1)
    documents, notes = gather(seed)
    parts = split(documents, seed)
    with _one_thread():
        tokenizer = _train_tokenizer([document.text for document in parts["train"]], vocabulary)
        cut = {name: _sequences(part, tokenizer, context) for name, part in parts.items()}
    token_bytes = _bytes_of_tokens(tokenizer)
    rng = np.random.default_rng(seed)
    balanced = {name: _equal_shares(part, rng) for name, part in cut.items()}
    ranks = _ranks(balanced["train"].ids, len(token_bytes))
    for part in balanced.values():
        part.classes["frequency"] = np.searchsorted(RANK_STARTS, ranks[part.ids], side="right")  # (S, context + 1)
    for note in notes:
        print(note)
    return TextTask(
        **balanced, domains=DOMAINS, class_names=CLASS_NAMES, tokenizer=tokenizer, token_bytes=token_bytes, notes=notes
    )


def batches(part: Part, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield ids (batch_size, context + 1) for ever, with equally many sequences of each domain in every batch.

    Each domain is gone through in a new random order every time it is used up.
    Raises ValueError where batch_size is no multiple of the number of domains, or larger than the part.
    """
    count = int(part.domain.max()) + 1
    whole_number("batch_size", batch_size, least=1, most=len(part.ids))
    if batch_size % count:
        raise refuse("batch_size", batch_size, f"a multiple of {count}, the number of domains")
    streams = [_forever(np.flatnonzero(part.domain == i), batch_size // count, rng) for i in range(count)]
    return (part.ids[np.concatenate(rows)] for rows in zip(*streams, strict=True))  # (B, context + 1)


def _forever(rows: np.ndarray, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield `size` of the rows at a time, in random orders one after the other."""
    waiting = rows[:0]
    while True:
        while len(waiting) < size:
            waiting = np.concatenate([waiting, rng.permutation(rows)])
        yield waiting[:size]
        waiting = waiting[size:]


# --- splitting -------------------------------------------------------------------------------------------------------


def split(documents: Sequence[Document], seed: int = 0) -> dict[str, list[Document]]:
    """Split whole documents at random into train, selection and report, then leave out what repeats another part.

    Of each domain, HELD_OUT of the text (up to a document more) goes to report and to selection, the rest to train.
    Train is never cut: the others lose each piece that shares 2 · OVERLAP characters in a row with train or each other.
    """
    rng = random.Random(f"{seed} split")
    parts: dict[str, list[Document]] = {"train": [], "selection": [], "report": []}
    for domain in dict.fromkeys(document.domain for document in documents):
        mine = [document for document in documents if document.domain == domain]
        rng.shuffle(mine)
        share = HELD_OUT * sum(len(document.text) for document in mine)
        for name in ("report", "selection"):
            taken = 0
            while taken < share:
                parts[name].append(mine.pop())
                taken += len(parts[name][-1].text)
        parts["train"] += mine
    return _without_repeats(parts)


def _without_repeats(parts: dict[str, list[Document]]) -> dict[str, list[Document]]:
    """Return the parts, the later ones without the pieces that repeat an earlier one.

    Every run of 2 · OVERLAP characters holds a whole window of OVERLAP that starts at a multiple of OVERLAP. So it is
    enough to keep those windows of the earlier text, and to look them up at every place of the later text.
    """
    seen: set[str] = set()
    result: dict[str, list[Document]] = {}
    for name, part in parts.items():
        kept = [Document(document.domain, _fresh(document, seen)) for document in part] if seen else part
        result[name] = [document for document in kept if document.pieces]
        for document in result[name]:
            seen |= {document.text[i : i + OVERLAP] for i in range(0, len(document.text) - OVERLAP + 1, OVERLAP)}
    return result


def _fresh(document: Document, seen: set[str]) -> tuple[str, ...]:
    """Return the pieces of a document that no window in `seen` touches."""
    text = document.text
    hits = np.array([text[i : i + OVERLAP] in seen for i in range(max(len(text) - OVERLAP + 1, 0))], dtype=bool)
    places = np.flatnonzero(hits)
    ends = np.cumsum([len(piece) for piece in document.pieces])
    touched: set[int] = set()
    for place in places.tolist():
        first, last = np.searchsorted(ends, (place, place + OVERLAP - 1), side="right").tolist()
        touched |= set(range(first, last + 1))
    return tuple(piece for i, piece in enumerate(document.pieces) if i not in touched)


# --- tokens ----------------------------------------------------------------------------------------------------------


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep `tokenizers` in one thread: after several, it warns on stderr whenever the notebook starts a program."""
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ["TOKENIZERS_PARALLELISM"]
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = before


def _train_tokenizer(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """Return a byte-level BPE of `vocabulary` tokens, all 256 bytes among them."""
    tokenizer = Tokenizer(models.BPE())
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _bytes_of_tokens(tokenizer: Tokenizer) -> tuple[bytes, ...]:
    """Return the bytes of every token. The BPE writes bytes that print as themselves, the others from U+0100 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    byte = {chr(b): b for b in plain} | {chr(256 + i): b for i, b in enumerate(others)}
    tokens = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    return tuple(bytes(byte[sign] for sign in token or "") for token in tokens)


def _sequences(documents: Sequence[Document], tokenizer: Tokenizer, context: int) -> Part:
    """Cut each document into sequences of context + 1 tokens, the rest at its end left out, and label the tokens."""
    ids, domain, source, classes = [], [], [], []
    lengths = np.array([len(token) for token in _bytes_of_tokens(tokenizer)])  # (V,)
    encodings = tokenizer.encode_batch_fast([document.text for document in documents])
    for number, (document, encoding) in enumerate(zip(documents, encodings, strict=True)):
        count = len(encoding.ids) // (context + 1)
        tokens = np.array(encoding.ids, dtype=np.int64)  # (T,)
        labels = {"ids": tokens, **labels_of_tokens(document, np.cumsum(lengths[tokens]))}
        rows = {name: row[: count * (context + 1)].reshape(count, context + 1) for name, row in labels.items()}
        ids.append(rows.pop("ids"))  # (count, context + 1)
        domain.append(np.full(count, DOMAINS.index(document.domain)))
        source.append(np.full(count, number))
        classes.append(rows)
    joined = {name: np.concatenate([rows[name] for rows in classes]) for name in classes[0]}
    return Part(np.concatenate(ids), np.concatenate(domain), np.concatenate(source), joined)


def _equal_shares(part: Part, rng: np.random.Generator) -> Part:
    """Keep equally many sequences of each domain, drawn at random, the domains taking turns."""
    least = np.bincount(part.domain, minlength=len(DOMAINS)).min()
    chosen = [rng.permutation(np.flatnonzero(part.domain == i))[:least] for i in range(len(DOMAINS))]
    rows = np.stack(chosen, axis=1).ravel()  # (S,)
    classes = {name: labels[rows] for name, labels in part.classes.items()}
    return Part(part.ids[rows], part.domain[rows], part.document[rows], classes)


def _ranks(ids: np.ndarray, vocabulary: int) -> np.ndarray:
    """Return the rank (V,) of each token by its count in ids, 0 for the most frequent."""
    order = np.argsort(-np.bincount(ids.ravel(), minlength=vocabulary), kind="stable")  # (V,)
    ranks = np.empty_like(order)
    ranks[order] = np.arange(vocabulary)
    return ranks
