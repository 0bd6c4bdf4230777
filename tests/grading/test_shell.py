"""What takes the place of IPython: magics that compute are run, others are passed over and said."""

import pytest
from cell_runs import run


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%matplotlib inline\nx = 1", ""),
        ("!ls -la\nx = 1", "`!ls -la`"),
        ("files = !ls\nx = 1 if files == [] else 2", "`!ls`"),
        ("%%time\nx = 1", ""),
        ("%%an_unknown_profiler -r 3\nx = 1", ""),
        ("%time x = 1", ""),
        ("x = %time max(1, 0)", ""),
        ("x, y = %time (1, 2)", ""),
        ("for i in [1]:\n    %time x = i", ""),
        ("took = %timeit -o -n10 -r 3 sum([1])\nx = 1 if 0 < took.best <= took.average else 2", ""),
        ("x = 1\n%timeit missing", ""),
        ("x = 1\nx?", ""),
        ("x = 1\n?np.dot", ""),
        ("def f(x):\n    return x\n\n??f\nx = f(1)", ""),
        ("%%capture caught\n!pip install numpy\nimport math\nx = math.floor(1.5)", "`!pip install numpy`"),
        ("%%time\n%matplotlib inline\ndef f(x):\n    return x\nx = f(1)", ""),
        ("\n%%capture\n%%time\nx = 1", ""),
        ("%prun -l 5 x = max(1, 0)", ""),
        ("%lprun -f max x = max(1, 0)", ""),
        ("y = %memit -r 1 max(2, 0)\nx = y - 1", ""),
        ("get_ipython().run_cell_magic('time', '', 'x = 1\\ny = 2\\n')", ""),
        ("x = get_ipython().run_line_magic('time', 'max(1, 0)')", ""),
        ("%cd data\n%store -r y\n%cd data\nx = 1", "`%cd data`, `%store -r y`"),
        ("!a\n!b\n!c\n!d\n!e\n!f\nx = 1", "`!a`, `!b`, `!c`, `!d` and 2 more"),
        ("%set_env SEED=1\nseed = %env SEED\nx = int(seed)", ""),
        ("here = %pwd\nx = 1 if here else 2", ""),
    ],
)
def test_magics_that_compute_are_run_and_others_are_passed_over(notebook, cell, said):
    noted = [f"cell 2: passed over, for marking runs Python alone: {said}"] if said else []
    assert run(notebook, cell, 2) == noted
    assert notebook.names["x"] == 1


def test_a_file_that_a_cell_writes_can_be_imported_run_and_written_on(notebook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(notebook, "%%writefile part_of_a_test.py\nx = 1", 1) == []
    assert run(notebook, "%%file -a part_of_a_test.py\nx += 1", 2) == []
    assert run(notebook, "from part_of_a_test import x as y\n%run -i part_of_a_test.py", 3) == []
    assert (notebook.names["x"], notebook.names["y"]) == (2, 2)
    assert run(notebook, "%%writefile part_of_a_test.py\nx = 7", 4) == []
    assert run(notebook, "from part_of_a_test import x", 5) == []
    assert run(notebook, "%%writefile /proc/no/part.py\ny = 8", 6) == []
    assert run(notebook, "%%writefile 'new/part.py'\nz = 9", 7) == []
    assert run(notebook, "from part import y\nfrom new.part import z", 8) == []
    assert [notebook.names[name] for name in "xyz"] == [7, 8, 9]
    ran = notebook.run("%run no_such.py", 4)
    assert "no_such.py is not here" in ran.told()["cause"]  # it may have brought what is missing


@pytest.mark.parametrize("cell", ["x = (7\n     % 4)", 'x = """\n%time 3\n!ls\n""" and 3'])
def test_python_that_looks_like_magics_is_python(notebook, cell):
    assert run(notebook, cell, 1) == []
    assert notebook.names["x"] == 3


def test_a_cell_of_another_language_is_passed_over(notebook):
    for cell, name in (("%%bash\nrm -rf something", "bash"), ("%%duckdb\nselect everything", "duckdb")):
        assert run(notebook, cell, 4) == [f"cell 4: passed over, for marking runs Python alone: `%%{name}`"]


def test_get_ipython_is_there_and_does_nothing(notebook):
    assert run(notebook, "get_ipython().run_line_magic('matplotlib', 'inline')\ndisplay(3)", 1) == []


def test_what_ipython_brings_of_that_name_is_ours(notebook):
    cell = "from IPython import get_ipython\nfrom IPython.display import display\nimport IPython"
    run(notebook, cell, 1)
    assert notebook.names["get_ipython"]() is notebook.shell
    assert run(notebook, "get_ipython().run_line_magic('cd', 'x')\ndisplay(3, display_id=True).update(4)", 2) != []


def test_a_display_can_be_updated(notebook):
    assert run(notebook, "h = display(1, display_id=True)\nh.update(2)\nx = display(3)", 1) == []
    assert notebook.names["x"] is None
