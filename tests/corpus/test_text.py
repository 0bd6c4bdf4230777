"""The text task: parts that share nothing, sequences that are text, a tokenizer that loses nothing."""

import ast
import hashlib
import os
import random
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_lessons.corpus import sources, text
from moe_lessons.corpus.sources import DOMAINS, Document

pytestmark = pytest.mark.xdist_group("text")  # one worker prepares the text

PARTS = ("train", "selection", "report")


@pytest.fixture(scope="module")
def parts(documents):
    return text.split(documents, 0)


def small(monkeypatch, size=30_000):
    monkeypatch.setattr(sources, "SIZES", dict.fromkeys(DOMAINS, size))


def digest(task):
    """One number for all the arrays of a task."""
    found = hashlib.sha256()
    for part in (task.train, task.selection, task.report):
        for array in (part.ids, part.domain, part.document, *part.classes.values()):
            found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def test_every_part_has_equally_many_sequences_of_each_domain(task):
    for name, least in zip(PARTS, (800, 120, 120), strict=True):
        part = getattr(task, name)
        S = len(part.ids)
        assert part.ids.shape == (S, 129)
        assert part.ids.dtype == np.int64
        np.testing.assert_array_equal(part.domain, np.tile(np.arange(4), S // 4))
        assert least <= S // 4
        assert 0 <= part.ids.min() <= part.ids.max() < 1000


def test_every_label_has_a_name(task):
    assert task.domains == DOMAINS
    for part in (task.train, task.selection, task.report):
        assert set(part.classes) == set(task.class_names)
        for name, labels in part.classes.items():
            assert labels.shape == part.ids.shape
            assert set(np.unique(labels)) == set(range(len(task.class_names[name])))
        assert (part.classes["domain"] == part.domain[:, None]).all()
        assert ((part.classes["python"] != 7) == (part.domain[:, None] == 1)).all()
        assert ((part.classes["function"] != 3) == (part.domain[:, None] == 0)).all()


def test_the_library_of_this_python_is_enough(task, documents):
    assert task.notes == ()
    for domain, size in sources.SIZES.items():
        total = sum(len(document.text) for document in documents if document.domain == domain)
        assert size <= total < size + 2 * sources.LONGEST


SCRIPT = """
import os, sys
sys.path.insert(0, sys.argv[1])
import test_text
from moe_lessons.corpus import text
print(test_text.digest(text.prepare()), "torch" in sys.modules, flush=True)
if hasattr(os, "fork"):
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.slow
def test_another_process_gets_the_same_task_without_torch_and_without_a_warning(task, request):
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(request.path.parent)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "17"},
    )
    assert run.stdout.split() == [digest(task), "False"]
    assert run.stderr == ""


@pytest.mark.slow
def test_the_seed_decides(monkeypatch):
    small(monkeypatch)
    first, again, other = (text.prepare(32, 400, seed) for seed in (1, 1, 2))
    assert digest(first) == digest(again) != digest(other)


def test_a_stripped_library_is_made_up_for_and_said(monkeypatch, capsys):
    small(monkeypatch, 60_000)
    monkeypatch.setattr(sources, "_topics", dict)
    monkeypatch.setattr(sources, "_source", lambda module: None)
    task = text.prepare(64, 400)
    lines = capsys.readouterr().out.splitlines()
    assert lines == list(task.notes)
    assert [re.findall(r"100% of the (\w+) is generated", line) for line in lines] == [["prose"], ["code"]]
    assert len(task.train.ids) > 400
    documents, _ = text.gather(0)
    for document in documents:
        if document.domain == "code":
            ast.parse(document.text)
    assert shared_runs(text.split(documents, 0)) == 0


def test_the_frequency_is_the_rank_in_the_train_part(task):
    counts = np.bincount(task.train.ids.ravel(), minlength=1000)
    assert abs(counts.sum() - task.train.ids.size) == 0
    for part in (task.train, task.report):
        for bucket, (low, high) in enumerate(((0, 10), (10, 50), (50, 200), (200, 1000))):
            inside = np.unique(part.ids[part.classes["frequency"] == bucket])
            ranks = [(counts > counts[token]).sum() for token in inside]
            assert max(ranks) < high
            assert all((counts >= counts[token]).sum() > low for token in inside)


# --- the split -------------------------------------------------------------------------------------------------------


def windows(documents, doublings=3, base=text.OVERLAP // 4):
    """A hash (uint64) of each run of base · 2^doublings characters in the documents, by a polynomial."""
    found, power = [], 0x9E3779B97F4A7C15
    for document in documents:
        codes = np.frombuffer(document.text.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
        length, hashes = base, np.zeros(max(len(codes) - base + 1, 0), dtype=np.uint64)
        for i in range(base):
            hashes = hashes * np.uint64(power) + codes[i : i + len(hashes)]
        for _ in range(doublings):
            hashes = hashes[:-length] * np.uint64(pow(power, length, 2**64)) + hashes[length:]
            length *= 2
        found.append(hashes)
    return np.unique(np.concatenate(found))


def shared_runs(parts):
    train, selection, report = (windows(parts[name]) for name in PARTS)
    return sum(len(np.intersect1d(a, b)) for a, b in ((train, selection), (train, report), (selection, report)))


@pytest.mark.slow
def test_no_200_characters_occur_in_two_parts(parts):
    assert shared_runs(parts) == 0


def test_the_search_for_shared_runs_finds_one(parts):
    passage = Document("prose", (parts["report"][0].text[40:241],))
    assert shared_runs({"train": [passage], "selection": parts["selection"], "report": parts["report"]}) == 2
    assert shared_runs({"train": [passage], "selection": [passage], "report": parts["train"][:1]}) == 2
    shorter = Document("prose", (passage.text[:199],))
    assert shared_runs({"train": [shorter], "selection": [passage], "report": [shorter]}) == 0


def test_no_document_is_in_two_parts_and_train_is_whole(documents, parts):
    whole = {document.text for document in documents}
    assert {document.text for document in parts["train"]} <= whole
    heads = [document.text for name in PARTS for document in parts[name]]
    assert len(heads) == len(set(heads))
    for domain, size in sources.SIZES.items():
        for name, share in zip(PARTS, (0.7, 0.15, 0.15), strict=True):
            mine = sum(len(document.text) for document in parts[name] if document.domain == domain)
            assert abs(mine - share * size) < 2 * sources.LONGEST + 0.02 * size


def test_what_repeats_another_part_is_left_out():
    copy = "this line is in two documents, and it is long enough to be found: " + "x" * 200 + "\n"
    rng = random.Random(0)
    fresh = [f"{rng.random()} {rng.random()} a line of its own\n" for _ in range(40)]
    parts = {
        "train": [Document("prose", ("lead in\n", copy, *fresh[:20]))],
        "selection": [Document("prose", (*fresh[20:30], copy, *fresh[30:]))],
        "report": [Document("prose", (copy,))],
    }
    kept = text._without_repeats(parts)
    assert kept["train"] == parts["train"]
    assert kept["selection"][0].pieces == tuple(fresh[20:])
    assert kept["report"] == []


def test_the_tokenizer_has_seen_the_train_part_alone(task, parts):
    again = text._train_tokenizer([document.text for document in parts["train"]], 1000)
    assert again.to_str() == task.tokenizer.to_str()
    other = text._train_tokenizer([document.text for document in parts["report"]], 1000)
    assert other.to_str() != task.tokenizer.to_str()


def test_each_sequence_is_a_passage_of_its_document(task, parts):
    for name in PARTS:
        part = getattr(task, name)
        for i in range(0, len(part.ids), 7):
            document = parts[name][part.document[i]]
            assert document.domain == task.domains[part.domain[i]]
            passage = b"".join(task.token_bytes[token] for token in part.ids[i])
            assert passage in document.text.encode()


def test_the_sequences_do_not_overlap(task, parts):
    lengths = np.array([len(token) for token in task.token_bytes])
    total = {number: len(document.text.encode()) for number, document in enumerate(parts["train"])}
    used = np.bincount(task.train.document, weights=lengths[task.train.ids].sum(axis=1))
    assert all(size <= total[number] for number, size in enumerate(used))
    assert len(np.unique(task.train.ids, axis=0)) > 0.999 * len(task.train.ids)


# --- the tokenizer ---------------------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=60))
def test_any_text_survives(task, sample):
    ids = task.encode(sample)
    assert ids.dtype == np.int64
    assert task.decode(ids) == sample
    assert task.tokenizer.decode(ids.tolist()) == sample
    assert len(task.pieces(ids)) == len(ids)


def test_characters_never_seen_become_bytes(task):
    ids = task.encode("漢 12")
    assert task.pieces(ids) == ["\\xe6", "\\xbc", "\\xa2", "␣", "1", "2"]
    assert task.decode(ids[:2]) == "\ufffd"
    assert "".join(task.pieces(task.encode("a b\n\tc"), visible=False)) == "a b\n\tc"
    assert "".join(task.pieces(task.encode("a b\n\tc"))) == "a␣b⏎⇥c"


def test_every_digit_is_a_token_and_the_vocabulary_is_as_large_as_asked(task):
    assert len(task.token_bytes) == task.tokenizer.get_vocab_size() == 1000
    assert {bytes([byte]) for byte in range(256)} <= set(task.token_bytes)
    assert [token for token in task.token_bytes if re.search(rb"\d", token)] == [b"%d" % i for i in range(10)]


# --- batches ---------------------------------------------------------------------------------------------------------


def test_batches_have_equal_shares_and_use_every_sequence_once_a_round(task):
    part = task.selection
    count = len(part.ids) // 4
    row = {tuple(ids): i for i, ids in enumerate(part.ids.tolist())}
    stream = text.batches(part, 4, np.random.default_rng(0))
    first, second = ([next(stream) for _ in range(count)] for _ in range(2))
    for batch in first:
        assert batch.shape == (4, 129)
        assert sorted(part.domain[row[tuple(ids)]] for ids in batch.tolist()) == [0, 1, 2, 3]
    rounds = [[row[tuple(ids)] for batch in batches for ids in batch.tolist()] for batches in (first, second)]
    assert sorted(rounds[0]) == sorted(rounds[1]) == sorted(row[tuple(ids)] for ids in part.ids.tolist())
    assert rounds[0] != rounds[1]


def test_batches_are_repeatable(task):
    one, same, other = (text.batches(task.train, 32, np.random.default_rng(seed)) for seed in (3, 3, 4))
    batch = next(one)
    np.testing.assert_array_equal(batch, next(same))
    assert not np.array_equal(batch, next(other))


@pytest.mark.parametrize("batch_size", [0, 6, 10**6, 8.0])
def test_a_batch_that_cannot_be_shared_equally_is_refused(task, batch_size):
    with pytest.raises(ValueError, match=r"^batch_size = .*: expected"):
        text.batches(task.train, batch_size, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"context": 7}, "context = 7"),
        ({"context": 2000}, "context = 2000"),
        ({"vocabulary": 256}, "vocabulary = 256"),
        ({"vocabulary": 1000.0}, "vocabulary = 1000.0"),
        ({"seed": -1}, "seed = -1"),
    ],
)
def test_bad_settings_are_refused(settings, named):
    with pytest.raises(ValueError, match="expected") as error:
        text.prepare(**settings)
    assert str(error.value).startswith(named)
