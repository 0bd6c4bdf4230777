"""Where the text comes from: prose that reads, Python that parses, and a library that is zipped, stripped or bare."""

import ast
import importlib
import py_compile
import re
import sys
import zipfile

import numpy as np

from moe_lessons.corpus import sources


def test_the_prose_reads_as_english_and_repeats_nothing(documents):
    pieces = [piece for document in documents if document.domain == "prose" for piece in document.pieces]
    assert len(pieces) == len(set(pieces))
    words = [word.lower() for piece in pieces for word in re.findall(r"[A-Za-z]+", piece)]
    assert 0.3 < np.mean([word in sources.FUNCTION_WORDS for word in words]) < 0.6
    assert not any(">>>" in piece or "::=" in piece for piece in pieces)


def test_paragraphs_leave_out_code_and_grammar():
    code = "   x = [1, 2]\n   print(x)\n\n   a ::= b\n\n"
    sample = f"This is a sentence that is kept, as it\nreads as English.\n\n{code}Too short."
    kept = "This is a sentence that is kept, as it reads as English."
    assert list(sources._paragraphs(sample, set())) == [kept + "\n\n"]
    assert list(sources._paragraphs(sample, {kept})) == []


def test_the_code_is_python_and_has_no_long_tables(documents):
    code = [document for document in documents if document.domain == "code"]
    assert all(len(document.text) <= sources.LONGEST for document in code)
    for document in code:
        ast.parse(document.text)
    source = "import os\n\nTABLE = {\n" + "    1: 2,\n" * 400 + "}\n\n# about f\ndef f():\n    pass\n"
    assert "".join(sources._statements(source)) == "import os\n\n# about f\ndef f():\n    pass\n"


def test_a_half_stripped_library_is_filled_up(monkeypatch):
    monkeypatch.setattr(sources, "SIZES", dict.fromkeys(sources.DOMAINS, 60_000))
    source = sources._source
    monkeypatch.setattr(sources, "_source", lambda module: source(module) if module == "argparse" else None)
    documents, notes = sources.gather(0)
    assert len(notes) == 1
    assert re.search(r"too little code text .* \d\d% of the code is generated", notes[0])
    assert sum(len(document.text) for document in documents if document.domain == "code") >= 60_000


def test_a_library_without_topics_is_no_error(monkeypatch):
    def missing(name):
        raise ImportError(name)

    assert sources._topics()
    monkeypatch.setattr(sources, "import_module", missing)
    assert sources._topics() == {}


def test_sources_are_found_in_a_folder_and_in_a_zip_file_and_nothing_is_imported(monkeypatch, tmp_path):
    assert "class JSONDecoder" in sources._source("json.decoder")
    assert "def join" in sources._source("posixpath")  # frozen: its source is in the folder all the same
    assert sources._source("no_such_module") is None
    assert sources._source("argparse.no_such_module") is None
    assert sources._source("sys") is None
    with zipfile.ZipFile(tmp_path / "python.zip", "w") as archive:
        archive.writestr("argparse.py", "raise SystemExit('imported')\n")
        archive.writestr("logging/__init__.py", "")
        archive.writestr("logging/handlers.py", "x = 1\n")
    monkeypatch.setattr(sources.sysconfig, "get_path", lambda name: str(tmp_path / "nowhere"))
    monkeypatch.setattr(sys, "path", [str(tmp_path / "python.zip")])
    importlib.invalidate_caches()
    assert sources._source("argparse") == "raise SystemExit('imported')\n"
    assert sources._source("logging.handlers") == "x = 1\n"
    assert sources._source("ast") is None


def test_a_module_without_its_source_is_as_if_it_were_not_there(monkeypatch, tmp_path):
    """A stripped Python keeps compiled files alone, in a folder or in a zip file."""
    (tmp_path / "argparse.py").write_text("x = 1\n", encoding="utf-8")
    py_compile.compile(str(tmp_path / "argparse.py"), cfile=str(tmp_path / "argparse.pyc"), doraise=True)
    monkeypatch.setattr(sources.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(sys, "path", [])
    assert sources._source("argparse") == "x = 1\n"  # control: with its source it is found
    (tmp_path / "argparse.py").unlink()
    with zipfile.ZipFile(tmp_path / "python.zip", "w") as archive:
        archive.write(tmp_path / "argparse.pyc", "argparse.pyc")
    importlib.invalidate_caches()
    assert sources._source("argparse") is None
    monkeypatch.setattr(sources.sysconfig, "get_path", lambda name: str(tmp_path / "nowhere"))
    monkeypatch.setattr(sys, "path", [str(tmp_path / "python.zip")])
    assert sources._source("argparse") is None
