"""The text of lesson 11: four domains without a download, a tokenizer trained on the spot, classes of every token.

English prose and Python come from the standard library that is installed, JSON and arithmetic are generated. So the
text depends on the Python version; for one version and seed it is always the same. Nothing is kept on disk.
"""

import ast
import io
import json
import keyword
import os
import random
import re
import sys
import sysconfig
import tokenize
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import PathFinder
from itertools import chain
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from moe_lessons.validation import one_of, refuse, whole_number

DOMAINS = ("prose", "code", "json", "arithmetic")
# Characters of text for each domain: chosen so that all four come to about as many tokens.
SIZES = {"prose": 580_000, "code": 530_000, "json": 600_000, "arithmetic": 270_000}
LONGEST = 16_000  # characters: a document is cut here, so that no part of the split hangs on one document
HELD_OUT = 0.15  # the share of the text in `selection`, and again in `report`
OVERLAP = 100  # characters: whatever shares twice as many with another part is left out

CLASS_NAMES: dict[str, tuple[str, ...]] = {
    "domain": DOMAINS,
    "shape": ("word", "piece of a word", "number", "punctuation", "space", "other"),
    "python": ("name", "keyword", "operator", "number", "string", "comment", "layout", "not code"),
    "function": ("function word", "other word", "not a word", "not prose"),
    "position": ("1st", "2nd-3rd", "4th-7th", "8th-15th", "16th or later"),
    "frequency": ("rank 1-10", "rank 11-50", "rank 51-200", "rank 201 or later"),
}
POSITION_STARTS = (1, 3, 7, 15)  # tokens since the start of the line or sentence, from 0: where each next bucket begins
RANK_STARTS = (10, 50, 200)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


CODE_MODULES = _words("""
argparse ast base64 bdb bisect calendar cmd code codeop colorsys compileall concurrent.futures._base
concurrent.futures.thread configparser contextlib copy csv dataclasses difflib dis email.header email.message enum
filecmp fileinput fnmatch fractions ftplib functools getopt gettext glob gzip hashlib heapq hmac html.parser http.client
http.cookies http.server imaplib inspect ipaddress json.decoder json.encoder json.scanner linecache locale logging
logging.handlers mimetypes netrc opcode operator optparse pickle pickletools pkgutil platform plistlib poplib pprint
queue quopri random reprlib sched selectors shelve shlex shutil smtplib socket socketserver statistics string subprocess
symtable tarfile tempfile textwrap threading timeit trace traceback typing urllib.parse urllib.request uuid weakref
zipfile
""")
DOCSTRING_MODULES = _words("""
_collections_abc _pydatetime _pydecimal _pyio _strptime _weakrefset abc asyncio.base_events asyncio.events asyncio.locks
asyncio.queues asyncio.runners asyncio.streams asyncio.tasks asyncio.transports cgi codecs collections contextvars
ctypes.util curses.textpad datetime dbm.dumb decimal distutils.dist distutils.util doctest email._header_value_parser
email.charset email.feedparser email.utils genericpath graphlib http.cookiejar idlelib.config idlelib.pyparse imp
importlib._bootstrap importlib._bootstrap_external importlib.abc importlib.metadata importlib.resources lzma mailbox
modulefinder multiprocessing.managers multiprocessing.pool multiprocessing.shared_memory nntplib ntpath numbers os
pathlib pdb posixpath profile pstats py_compile pyclbr pydoc re rlcompleter runpy site ssl stat sysconfig tabnanny
telnetlib tkinter tkinter.ttk tokenize turtle types unittest.case unittest.loader unittest.mock unittest.suite venv
warnings wave webbrowser wsgiref.handlers wsgiref.util xml.dom.minidom xml.etree.ElementTree xml.sax.handler
xml.sax.xmlreader xmlrpc.client xmlrpc.server zipimport
""")

FUNCTION_WORDS = frozenset(
    _words("""
a about above after again against all also although am an and any are as at be because been before being below between
both but by can cannot could did do does doing down during each either few for from further had has have having he her
here hers him his how however i if in into is it its itself just may me might more most must my neither no nor not of
off on once only onto or other our out over own per same shall she should since so some such than that the their them
then there therefore these they this those though through to too under unless until up upon us very was we were what
when where whether which while who whom whose why will with within without would yet you your
""")
)


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


class Document(NamedTuple):
    """A text of one domain, in pieces that can be left out one by one (paragraphs, top-level statements, lines)."""

    domain: str
    pieces: tuple[str, ...]

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.pieces)


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


# --- gathering -------------------------------------------------------------------------------------------------------


def gather(seed: int = 0) -> tuple[list[Document], tuple[str, ...]]:
    """Return documents of all domains, about SIZES[domain] characters of each, and notes on generated text."""
    found = {"prose": _library_prose(SIZES["prose"]), "code": _library_code(SIZES["code"])}
    writers = {"prose": _write_prose, "code": _write_code, "json": _write_json, "arithmetic": _write_arithmetic}
    documents, notes = [], []
    for domain in DOMAINS:
        mine = found.get(domain, [])
        missing = SIZES[domain] - sum(len(document.text) for document in mine)
        documents += mine + _generate(domain, writers[domain], missing, seed)
        if missing > 0 and domain in found:
            notes.append(
                f"Note: this Python brings too little {domain} text (its standard library may be stripped); "
                f"{missing / SIZES[domain]:.0%} of the {domain} is generated."
            )
    return documents, tuple(notes)


def _generate(domain: str, write: Callable[[random.Random], list[str]], size: int, seed: int) -> list[Document]:
    """Return documents written by `write`, `size` characters or a little more in all."""
    rng = random.Random(f"{seed} {domain}")
    documents: list[Document] = []
    while size > 0:
        documents.append(Document(domain, tuple(write(rng))))
        size -= len(documents[-1].text)
    return documents


def _source(module: str) -> str | None:
    """Return the source of a module of the standard library, without importing it; None where there is none."""
    path: Sequence[str] | None = [sysconfig.get_path("stdlib"), *(p for p in sys.path if p.endswith(".zip"))]
    name, spec = "", None
    for step in module.split("."):
        name = f"{name}.{step}" if name else step
        spec = PathFinder.find_spec(name, path)
        path = spec.submodule_search_locations if spec else None
        if spec is None or (path is None and name != module):
            return None
    get_source = getattr(spec.loader, "get_source", None) if spec else None
    try:
        return get_source(module) if get_source else None
    except (ImportError, OSError):  # compiled files without their sources
        return None


def _topics() -> dict[str, str]:
    """Return the language reference that `help()` shows, topic by topic; empty where Python comes without it."""
    try:
        return dict(import_module("pydoc_data.topics").topics)
    except (ImportError, AttributeError):
        return {}


def _library_code(size: int) -> list[Document]:
    """Return one document for each of CODE_MODULES that is there, until `size` characters are reached."""
    documents: list[Document] = []
    for module in CODE_MODULES:
        source = _source(module)
        if source and size > 0:
            documents.append(Document("code", _shortened(_statements(source))))
            size -= len(documents[-1].text)
    return documents


def _statements(source: str) -> Iterator[str]:
    """Yield the top-level statements of a module, each with the comments above it, but no long tables."""
    lines, start = source.split("\n"), 0
    for node in ast.parse(source).body:
        end = node.end_lineno or start
        piece = "\n".join(lines[start:end]) + "\n"
        table = isinstance(node, (ast.Assign, ast.AnnAssign, ast.Expr)) and start > 0 and len(piece) > 2000
        if end > start and not table:
            yield piece
        start = end


def _shortened(pieces: Iterable[str]) -> tuple[str, ...]:
    """Return as many pieces as fit into LONGEST characters; a piece that does not fit is left out."""
    kept: list[str] = []
    room = LONGEST
    for piece in pieces:
        if len(piece) <= room:
            kept.append(piece)
            room -= len(piece)
    return tuple(kept)


def _library_prose(size: int) -> list[Document]:
    """Return the paragraphs of the language reference, then of docstrings, until `size` characters."""
    seen: set[str] = set()
    documents: list[Document] = []
    for text in chain(_topics().values(), map(_docstrings, DOCSTRING_MODULES)):
        if size <= 0:
            break
        pieces = _shortened(_paragraphs(text, seen))
        if pieces:
            documents.append(Document("prose", pieces))
            size -= len(documents[-1].text)
    return documents


def _docstrings(module: str) -> str:
    """Return all docstrings of a module, one after the other (found by their quotes: parsing would take seconds)."""
    return "\n\n".join(re.findall(r'"""(.*?)"""', _source(module) or "", flags=re.DOTALL))


def _paragraphs(text: str, seen: set[str]) -> Iterator[str]:
    """Yield the paragraphs that read as English and are new, each on one line; code, grammar, tables are left out."""
    for block in re.split(r"\n\s*\n", text):
        paragraph = " ".join(block.split())
        words = re.findall(r"[A-Za-z]+", paragraph)
        letters = sum(map(len, words)) + paragraph.count(" ")
        common = sum(word.lower() in FUNCTION_WORDS for word in words)
        ends = paragraph.endswith((".", ":", "?", "!", ")"))
        reads = ends and len(words) >= 6 and common >= 0.25 * len(words) and letters >= 0.85 * len(paragraph)
        if reads and paragraph not in seen and ">>>" not in block and "::=" not in block:
            seen.add(paragraph)
            yield paragraph + "\n\n"


# --- generating ------------------------------------------------------------------------------------------------------

_NOUNS = _words("""
answer author book branch bridge call change city class client colour cost day door engine error event farm field  file
forest garden group hand harbour hour house idea island key lamp letter level library light line list market  method
minute mountain name number object order page paper part pattern place plan point price question reader  reason record
result river road room rule school sentence server shape ship signal size song source station step  stone story street
string summer table teacher test thing time title tool train tree type user valley value village  visitor voice wall
watch water week window winter word worker year
""")
_VERBS = _words("""
adds builds calls checks counts finds follows gives holds keeps leaves loads makes opens reads returns sees sends
""")
_ADJECTIVES = _words("""
bright busy cold common deep empty fast first full good large late long new old open plain quiet short small
""")
_SENTENCES = (
    "The {a} {n} {v} the {n} of the {n}.",
    "When the {n} is {a}, it {v} a {n} from the {n}.",
    "This {n} {v} every {n} that is in the {n}, but not the {a} {n}.",
    "If a {n} has no {n}, then the {n} {v} the {a} {n} and the {n}.",
    "It is not {a}, because the {n} {v} its {n} before the {n}.",
    "You should use a {a} {n} for the {n} when there is no {n} with a {n}.",
    "There is a {n} between the {n} and the {a} {n}, which {v} them both.",
)
_FUNCTIONS = (
    "def {n}_{m}({p}, {q}={d}):\n    if {p} is None:\n        return {q}\n    {m} = {p}({d})\n    return {m} + {q}\n\n",
    "def {n}_{m}({p}):\n    # {p} of {n}\n    for {q} in range({d}):\n        {p}.append({q})\n    return {p}\n\n",
    "class {N}{M}:\n    def __init__(self, {p}, {q}):\n        self.{p} = {p}\n        self.{q} = {q} or '{m} {d}'\n\n",
    "{n}_{m} = [{p} for {p} in {q}_{n} if {p} != {d}]\nassert len({n}_{m}) < {d}, '{p} and {q}'\n\n",
    "try:\n    {n} = open({p}_{q}, 'rb')\nexcept OSError as {m}:\n    raise ValueError('no {p} in {q}') from {m}\n\n",
)


def _write_prose(rng: random.Random) -> list[str]:
    """Return the paragraphs of one page of generated English: grammatical, without a meaning."""
    return [" ".join(_sentence(rng) for _ in range(rng.randint(2, 6))) + "\n\n" for _ in range(rng.randint(8, 20))]


def _sentence(rng: random.Random) -> str:
    """Return one sentence with random words in it."""
    words = {"n": _NOUNS, "v": _VERBS, "a": _ADJECTIVES}
    return re.sub(r"\{(\w)\}", lambda slot: rng.choice(words[slot[1]]), rng.choice(_SENTENCES))


def _write_code(rng: random.Random) -> list[str]:
    """Return the statements of one generated module: valid Python, without a purpose."""
    return [_statement(rng) for _ in range(rng.randint(10, 30))]


def _statement(rng: random.Random) -> str:
    """Return one function, class or statement with random names in it."""
    n, m, p, q = rng.sample([noun for noun in _NOUNS if not keyword.iskeyword(noun)], 4)
    names = {"n": n, "m": m, "p": p, "q": q, "d": rng.randint(0, 999), "N": n.title(), "M": m.title()}
    return rng.choice(_FUNCTIONS).format(**names)


def _write_json(rng: random.Random) -> list[str]:
    """Return one generated JSON file as its lines: records of the same form, with the layout drawn for each file."""
    form = {key: rng.choice(_VALUES) for key in rng.sample(_NOUNS, rng.randint(3, 7))}
    records = [_record(form, rng) for _ in range(rng.randint(6, 25))]
    layout = rng.choice(({"indent": 2}, {"indent": 4}, {}, {"separators": (",", ":")}))
    content = {rng.choice(_NOUNS) + "s": records} if rng.random() < 0.5 else records
    text = json.dumps(content, **layout)
    return [line + "\n" for line in text.split("\n")]


def _record(form: dict[str, str], rng: random.Random) -> dict[str, object]:
    """Return one record: each key of the form with a value of its kind, now and then null or left out."""
    present = [key for key in form if rng.random() < 0.95]
    return {key: None if rng.random() < 0.05 else _value(form[key], rng) for key in present}


_VALUES = ("whole", "decimal", "flag", "word", "phrase", "identifier", "date", "list", "record")


def _value(kind: str, rng: random.Random) -> object:
    """Return a random value of one of the kinds in _VALUES."""
    one_of("kind", kind, _VALUES)
    if kind == "list":
        return [_value(rng.choice(("whole", "word")), rng) for _ in range(rng.randint(0, 5))]
    if kind == "record":
        return {key: _value(rng.choice(_VALUES[:7]), rng) for key in rng.sample(_NOUNS, rng.randint(1, 3))}
    simple: dict[str, Callable[[], object]] = {
        "whole": lambda: rng.randint(0, 10 ** rng.randint(1, 5)),
        "decimal": lambda: round(rng.uniform(-100, 100), rng.randint(1, 3)),
        "flag": lambda: rng.random() < 0.5,
        "word": lambda: rng.choice(_NOUNS),
        "phrase": lambda: f"the {rng.choice(_ADJECTIVES)} {rng.choice(_NOUNS)} of the {rng.choice(_NOUNS)}",
        "identifier": lambda: f"{rng.choice(_NOUNS)}_{rng.randint(0, 999)}",
        "date": lambda: f"{rng.randint(1990, 2030)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}",
    }
    return simple[kind]()


def _write_arithmetic(rng: random.Random) -> list[str]:
    """Return one generated page of calculations, a line each; every page has kinds and sizes of its own."""
    kinds, largest = rng.sample(_CALCULATIONS, 4), rng.choice((9, 20, 99, 999))
    return [rng.choice(kinds)(rng.randint(1, largest), rng.randint(1, largest), rng) + "\n" for _ in range(100)]


_CALCULATIONS: tuple[Callable[[int, int, random.Random], str], ...] = (
    lambda a, b, rng: f"{a} + {b} = {a + b}",
    lambda a, b, rng: f"{a} - {b} = {a - b}",
    lambda a, b, rng: f"{a} * {b} = {a * b}",
    lambda a, b, rng: f"{a * b} / {b} = {a}",
    lambda a, b, rng: f"{a} {'<' if a < b else '>' if a > b else '='} {b}",
    lambda a, b, rng: f"({a} + {b}) * 2 = {2 * (a + b)}",
    lambda a, b, rng: f"{a / 10} + {b / 10} = {(a + b) / 10}",
    lambda a, b, rng: f"{a} plus {b} is {a + b}",
    lambda a, b, rng: f"{max(a, b)} minus {min(a, b)} is {max(a, b) - min(a, b)}",
    lambda a, b, rng: f"x = {a}; x + {b} = {a + b}",
    lambda a, b, rng: f"{a} + {b} + {rng.randint(1, 9)} > {a + b}",
)


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
        labels = {"ids": tokens, **_labels(document, np.cumsum(lengths[tokens]))}
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


# --- labels ----------------------------------------------------------------------------------------------------------


class _Tokens(NamedTuple):
    """The tokens of a text, by the characters they cover."""

    text: str
    kinds: np.ndarray  # (characters,) in the letters of `_kind`
    start: np.ndarray  # (T,) the first character
    end: np.ndarray  # (T,) the place after the last character
    core: np.ndarray  # (T,) the first character after the space in front
    torn: np.ndarray  # (T,) whether it begins or ends inside a character


def _kind(sign: str) -> str:
    """Return the kind of a character: L letter, D digit, S space, C control sign or unassigned, P any other."""
    if sign.isspace():
        return "S"
    return {"L": "L", "N": "D", "C": "C"}.get(unicodedata.category(sign)[0], "P")


def _tokens(text: str, ends: np.ndarray) -> _Tokens:
    """Return the tokens of a text; `ends` (T,) are the byte offsets at which they end."""
    codes, where = np.unique(np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32), return_inverse=True)
    kinds = np.array([_kind(chr(code)) for code in codes])[where]  # (characters,)
    widths = np.array([len(chr(code).encode()) for code in codes])[where]  # (characters,) in bytes
    borders = np.concatenate([[0], np.cumsum(widths)])  # (characters + 1,)
    begins = np.concatenate([[0], ends[:-1]])  # (T,)
    start = np.searchsorted(borders, begins, side="right") - 1  # (T,)
    end = np.searchsorted(borders, ends)  # (T,)
    core = start + ((kinds[start] == "S") & (kinds[end - 1] != "S"))  # (T,)
    return _Tokens(text, kinds, start, end, core, (borders[start] != begins) | (borders[end] != ends))


def _labels(document: Document, ends: np.ndarray) -> dict[str, np.ndarray]:
    """Return the classes of each token from the text and the byte offsets (T,) at which its tokens end."""
    tokens = _tokens(document.text, ends)
    core, T = tokens.core, len(ends)
    labels = {
        "domain": np.full(T, DOMAINS.index(document.domain)),
        "shape": _shapes(tokens),
        "python": np.full(T, CLASS_NAMES["python"].index("not code")),
        "function": np.full(T, CLASS_NAMES["function"].index("not prose")),
        "position": _positions(tokens, sentences=document.domain == "prose"),
    }
    if document.domain == "code":
        labels["python"] = _python_classes(document.text)[core]
    if document.domain == "prose":
        labels["function"] = _function_words(document.text)[core]
    return labels


def _shapes(tokens: _Tokens) -> np.ndarray:
    """Return the shape class (T,) of tokens."""
    is_letter = np.concatenate([[False], tokens.kinds == "L", [False]])  # (characters + 2,) with a place on each side
    count = np.cumsum(is_letter)  # (characters + 2,)
    has_letters = count[tokens.end] > count[tokens.start]  # (T,)
    whole = ~is_letter[tokens.core] & ~is_letter[tokens.end + 1]  # (T,) no letter before, none after
    kind = tokens.kinds[tokens.core]  # (T,)
    cases = [tokens.torn, has_letters & whole, has_letters, kind == "D", kind == "P", kind == "S"]
    names = ("other", "word", "piece of a word", "number", "punctuation", "space")
    values = [CLASS_NAMES["shape"].index(name) for name in names]
    return np.select(cases, values, default=CLASS_NAMES["shape"].index("other"))


def _python_classes(source: str) -> np.ndarray:
    """Return the Python token class of each character (characters,); layout is whatever stands between the tokens."""
    classes = np.full(len(source), CLASS_NAMES["python"].index("layout"))
    lines = np.cumsum([0, *(len(line) + 1 for line in source.split("\n"))])
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        name = _python_class(token)
        begin, end = (lines[row - 1] + column for row, column in (token.start, token.end))
        classes[begin:end] = CLASS_NAMES["python"].index(name)
    return classes


def _python_class(token: tokenize.TokenInfo) -> str:
    """Return the name of the class of one token of `tokenize`."""
    if token.type == tokenize.NAME:
        return "keyword" if keyword.iskeyword(token.string) else "name"
    name = tokenize.tok_name[token.type]
    if name.startswith(("FSTRING", "TSTRING")):  # from Python 3.12 and 3.14 on, strings with {} come in parts
        return "string"
    known = {"OP": "operator", "NUMBER": "number", "STRING": "string", "COMMENT": "comment"}
    return known.get(name, "layout")


def _function_words(prose: str) -> np.ndarray:
    """Return for each character (characters,) whether it belongs to a function word, another word, or none."""
    function, other, none = (CLASS_NAMES["function"].index(n) for n in ("function word", "other word", "not a word"))
    classes = np.full(len(prose), none)
    for word in re.finditer(r"[^\W\d_]+", prose):
        classes[word.start() : word.end()] = function if word[0].lower() in FUNCTION_WORDS else other
    return classes


def _positions(tokens: _Tokens, sentences: bool) -> np.ndarray:
    """Return the position class (T,) of tokens: how many came before it since its line or sentence began."""
    ends = r"[.!?][\")\]]*(?=\s)|\n" if sentences else r"\n"
    begins = np.zeros(len(tokens.text) + 1, dtype=int)  # (characters + 1,)
    begins[[end.end() for end in re.finditer(ends, tokens.text)]] = 1
    unit = np.cumsum(begins)[tokens.core]  # (T,)
    first = np.searchsorted(unit, unit)  # (T,) where the unit's first token is
    return np.searchsorted(POSITION_STARTS, np.arange(len(unit)) - first, side="right")
