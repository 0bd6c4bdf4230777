"""Where the text of lesson 11 comes from: the standard library that is installed, and generated text beside it."""

import ast
import random
import re
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from importlib.machinery import PathFinder
from itertools import chain
from typing import NamedTuple

from moe_lessons.corpus.generated import word_list, write_arithmetic, write_code, write_json, write_prose

DOMAINS = ("prose", "code", "json", "arithmetic")
# Characters of text for each domain: chosen so that all four come to about as many tokens.
SIZES = {"prose": 580_000, "code": 530_000, "json": 600_000, "arithmetic": 270_000}
LONGEST = 16_000  # characters: a document is cut here, so that no part of the split hangs on one document

CODE_MODULES = word_list("""
argparse ast base64 bdb bisect calendar cmd code codeop colorsys compileall concurrent.futures._base
concurrent.futures.thread configparser contextlib copy csv dataclasses difflib dis email.header email.message enum
filecmp fileinput fnmatch fractions ftplib functools getopt gettext glob gzip hashlib heapq hmac html.parser http.client
http.cookies http.server imaplib inspect ipaddress json.decoder json.encoder json.scanner linecache locale logging
logging.handlers mimetypes netrc opcode operator optparse pickle pickletools pkgutil platform plistlib poplib pprint
queue quopri random reprlib sched selectors shelve shlex shutil smtplib socket socketserver statistics string subprocess
symtable tarfile tempfile textwrap threading timeit trace traceback typing urllib.parse urllib.request uuid weakref
zipfile
""")
DOCSTRING_MODULES = word_list("""
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
    word_list("""
a about above after again against all also although am an and any are as at be because been before being below between
both but by can cannot could did do does doing down during each either few for from further had has have having he her
here hers him his how however i if in into is it its itself just may me might more most must my neither no nor not of
off on once only onto or other our out over own per same shall she should since so some such than that the their them
then there therefore these they this those though through to too under unless until up upon us very was we were what
when where whether which while who whom whose why will with within without would yet you your
""")
)


class Document(NamedTuple):
    """A text of one domain, in pieces that can be left out one by one (paragraphs, top-level statements, lines)."""

    domain: str
    pieces: tuple[str, ...]

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self.pieces)


def gather(seed: int = 0) -> tuple[list[Document], tuple[str, ...]]:
    """Return documents of all domains, about SIZES[domain] characters of each, and notes on generated text."""
    found = {"prose": _library_prose(SIZES["prose"]), "code": _library_code(SIZES["code"])}
    writers = {"prose": write_prose, "code": write_code, "json": write_json, "arithmetic": write_arithmetic}
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
