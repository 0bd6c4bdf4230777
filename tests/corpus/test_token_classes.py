"""The classes of a token, against a slow reading of the text: shapes, Python's own tokenizer, words, places."""

import io
import tokenize

import numpy as np
import pytest

from moe_lessons.corpus import token_classes
from moe_lessons.corpus.sources import Document
from moe_lessons.corpus.token_classes import CLASS_NAMES

pytestmark = pytest.mark.xdist_group("text")


def labelled(task, domain, sample):
    """(piece, class name) for each kind of label and each token of a text."""
    ids = task.encode(sample)
    lengths = np.array([len(token) for token in task.token_bytes])
    labels = token_classes.labels_of_tokens(Document(domain, (sample,)), np.cumsum(lengths[ids]))
    named = {name: [task.class_names[name][i] for i in rows] for name, rows in labels.items()}
    return task.pieces(ids, visible=False), named


def test_the_shapes_of_a_line(task):
    pieces, named = labelled(task, "json", "the  thezz 42, 漢\n\x01")
    shapes = dict(zip(pieces, named["shape"], strict=True))
    assert shapes["the"] == "word"
    assert shapes["zz"] == "piece of a word" if "zz" in shapes else shapes["z"] == "piece of a word"
    assert shapes["4"] == shapes["2"] == "number"
    assert shapes[","] == "punctuation"
    assert shapes[" "] == shapes["\n"] == "space"
    assert shapes["\\xe6"] == shapes["\x01"] == "other"
    assert set(named["python"]) == {"not code"}
    assert set(named["function"]) == {"not prose"}


def test_the_python_classes_of_a_line(task):
    sample = 'def é(x):\n    # why\n    return x + 12 if x else "a b"\n'
    pieces, named = labelled(task, "code", sample)
    assert "".join(piece for piece in pieces if not piece.startswith("\\x")) == sample.replace("é", "")
    found = list(zip((piece.strip() for piece in pieces), named["python"], strict=True))
    for pair in (("def", "keyword"), ("return", "keyword"), ("x", "name"), ("\\xc3", "name"), ("1", "number")):
        assert pair in found
    assert {name for piece, name in found if piece == ""} == {"layout"}
    assert {name for piece, name in found if piece in ("(", "+", "):")} == {"operator"}
    assert [name for piece, name in found if name in ("comment", "string")] == sorted(
        name for piece, name in found if name in ("comment", "string")
    )


def test_the_python_classes_agree_with_tokenize_on_a_whole_module(task, documents):
    document = next(document for document in documents if document.domain == "code")
    rows = document.text.split("\n")
    strings = ""
    for token in tokenize.generate_tokens(io.StringIO(document.text).readline):
        if token.type == tokenize.COMMENT:
            strings += token.string
    assert strings
    classes = token_classes._python_classes(document.text)
    assert len(classes) == len("\n".join(rows))
    comment = CLASS_NAMES["python"].index("comment")
    assert "".join(np.array(list(document.text))[classes == comment]) == strings


def test_function_words_and_positions_of_a_sentence(task):
    pieces, named = labelled(task, "prose", "The list is of the type. It is.\n\nThe end")
    found = {piece.strip(): name for piece, name in zip(pieces, named["function"], strict=True)}
    assert found["The"] == found["is"] == found["of"] == "function word"
    assert found["list"] == found["type"] == "other word"
    assert found["."] == "not a word"
    starts = [piece.strip() for piece, name in zip(pieces, named["position"], strict=True) if name == "1st"]
    assert [start[0] for start in (*starts[:2], starts[-1])] == ["T", "I", "T"]


def slow_positions(pieces):
    """The position class of each token, counted line by line, for text whose new lines end a token."""
    names, since = [], 0
    for piece in pieces:
        bucket = 0 if since == 0 else 1 if since < 3 else 2 if since < 7 else 3 if since < 15 else 4
        names.append(CLASS_NAMES["position"][bucket])
        since = 0 if piece.endswith("\n") else since + 1
    return names


def test_positions_count_the_tokens_of_a_line(task):
    pieces, named = labelled(task, "arithmetic", "123 + 4567 = 4690\n7 * 8 = 56\n" + "1" * 20 + "\n5")
    assert named["position"] == slow_positions(pieces)
    assert named["position"][-1] == "1st"
    assert "16th or later" in named["position"]
