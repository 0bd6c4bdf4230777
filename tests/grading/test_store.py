"""What a run leaves for the next: results that hold, results that no longer do, and the secret."""

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from moe_lessons.grading import store as module
from moe_lessons.grading.records import Ended
from moe_lessons.grading.store import Store, basis, course_fingerprint, secret_from, secret_in


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "marks.d", "basis")


def test_a_record_comes_back_as_it_was(store, made):
    record = made.record(
        "ann/04.ipynb", made.mark("4.1"), ended=Ended.PARTIAL, reason="why", notes=("a", "b"), seconds=1.5
    )
    store.save(record)
    assert store.load(record.file, record.digest) == record


def test_only_what_still_holds_is_returned(store, made):
    record = made.record("ann/04.ipynb", made.mark("4.1"))
    store.save(record)
    assert store.load(record.file, "another digest") is None
    assert store.load("bob/04.ipynb", record.digest) is None
    assert Store(store.folder, "another basis").load(record.file, record.digest) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"basis": "basis"}', b"\xff\xfe", b'{"record": 1}'])
def test_a_spoilt_result_counts_as_none(store, made, content):
    record = made.record("ann/04.ipynb")
    store.save(record)
    store.path(record.file).write_bytes(content)
    assert store.load(record.file, record.digest) is None


def test_names_that_look_alike_are_kept_apart(store):
    names = ["a/b.ipynb", "a-b.ipynb", "a b.ipynb", "ä-b.ipynb", "../a/b.ipynb", "x" * 300, "x" * 301, "\udcff.ipynb"]
    paths = [store.path(name) for name in names]
    assert len(set(paths)) == len(names)
    assert {path.parent for path in paths} == {store.folder}
    assert max(len(path.name) for path in paths) < 100


def test_saving_that_fails_leaves_the_old_result(store, made, monkeypatch):
    before, after = made.record("ann/04.ipynb"), made.record("ann/04.ipynb", made.mark("4.1"))
    store.save(before)

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        store.save(after)
    assert store.load(before.file, before.digest) == before
    assert [path.name for path in store.folder.iterdir()] == [store.path(before.file).name]


def test_all_that_marks_depend_on_changes_the_basis(monkeypatch):
    same = (["4.1"], b"", b"s" * 16, False)
    others = [(["4.2"], *same[1:]), (["4.1"], b"x", *same[2:]), (["4.1"], b"", b"t" * 16, False), (*same[:3], True)]
    assert basis(*same) == basis(*same)
    assert len({basis(*arguments) for arguments in [same, *others]}) == 5
    monkeypatch.setattr(module, "course_fingerprint", lambda: "changed")
    assert basis(*same) not in {basis(["4.1"], b"", b"s" * 16, True)}


def test_a_changed_course_is_seen_whatever_its_line_ends(tmp_path, monkeypatch):
    package = tmp_path / "moe_lessons"
    package.mkdir()
    monkeypatch.setattr(module.moe_lessons, "__file__", str(package / "__init__.py"))
    seen = []
    for source in (b"a = 1\n", b"a = 1\r\n", b"a = 2\n"):
        (package / "routing.py").write_bytes(source)
        seen.append(course_fingerprint())
    assert seen[0] == seen[1] != seen[2]


def test_the_secret_never_shows_in_the_basis():
    secret = b"0123456789abcdef"
    assert secret.decode() not in basis([], b"", secret, False)


def test_the_secret_is_made_once_and_its_owners_alone(tmp_path):
    first = secret_in(tmp_path / "marks.d")
    assert first == secret_in(tmp_path / "marks.d") != secret_in(tmp_path / "other.d")
    assert len(first) == 64
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "marks.d" / "secret").stat().st_mode) == 0o600


def test_runs_that_begin_at_once_agree_on_the_secret(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(secret_in, [tmp_path / "marks.d"] * 8))) == 1


def test_a_secret_that_is_too_short_is_refused(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"0123456789abcdef\n")
    assert secret_from(path) == b"0123456789abcdef"
    path.write_bytes(b"0123456789abcde\n")
    with pytest.raises(ValueError, match=r"15 bytes in .*: expected at least 16 bytes"):
        secret_from(path)


def test_a_result_file_holds_nothing_but_the_record(store, made):
    record = made.record("ann/04.ipynb")
    store.save(record)
    kept = json.loads(store.path(record.file).read_text(encoding="utf-8"))
    assert kept == {"basis": "basis", "record": record.as_json() | {"marks": [], "notes": []}}
