"""Each broken source: one line on stderr, with the file and the line. `<--` ends the line that is to be named."""

import pytest

LESSON = "authoring/lessons/02_broken.py"
EXERCISE = "authoring/exercises/02_broken.py"

FUNCTION = "# %%\ndef f(x):\n"

BROKEN_ANYWHERE = {
    "syntax": ("# %%\nx = 1\n\n\n# %%\n\ny = 2\nz = = 3  <--\n", "syntax error: invalid syntax"),
    "unclosed": ("# %%\nx = [1,  <--\n", "syntax error: '[' was never closed"),
    "escape": ('# %%\nx = 1\ny = "\\d"  <--\n', "syntax error: invalid escape sequence"),
    "return": ("# %%\nreturn 1  <--\n", "syntax error: 'return' outside function"),
    "magic": ("# %%\nx = 1\n%matplotlib inline  <--\n", "IPython magic `%matplotlib inline`"),
    "cell magic": ("# %%\n%%bash  <--\nls\n", "IPython magic `%%bash`"),
    "shell": ("# %%\nfor i in range(3):\n    !ls  <--\n", "IPython magic `!ls`"),
    "same name": ('# %% name="a"\nx = 1\n\n# %% name="a"  <--\nx = 2\n', 'same name "a" as the cell on line 1'),
    "same content": (
        "# %%\nx = 1\n\n# %%  <--\nx = 1\n",
        "same content as the cell on line 1: give one of them a name",
    ),
    "name": ('# %% name="A b"  <--\nx = 1\n', 'invalid cell name "A b"'),
    "long name": (f'# %% name="{"a" * 65}"  <--\nx = 1\n', "invalid cell name"),
    "empty name": ('# %% name=""  <--\nx = 1\n', "cell header: '' does not match"),
    "name type": ("# %% name=3  <--\nx = 1\n", "cell header: 3 is not of type 'string'"),
    "tag": ('# %% tags=["predict", "secret"]  <--\nx = 1\n', 'unknown tag "secret"'),
    "key": ('# %% colour="red"  <--\nx = 1\n', 'unknown cell metadata "colour"'),
    "title": ("# %% A title  <--\nx = 1\n", "unknown cell metadata"),
    "unreadable": ('# %% tags=["predict"  <--\nx = 1\n', 'cannot read `tags=["predict"`'),
    "no value": ("# %% tags=None  <--\nx = 1\n", "cell header: it cannot be read"),
    "tag type": ("# %% tags=[1]  <--\nx = 1\n", "cell header: it cannot be read"),
    "form feed": ("# %%\nx = 1\n\x0cy = 2  <--\n", "a control character"),
    "raw": ("# %% [raw]  <--\n# x\n", "a raw cell"),
    "header": ("# %%\nx = 1\n\n#%%  <--\ny = 2\n", "`#%%`: write a cell header"),
    "bare text": ("# %% [markdown]\n# A\n\nB  <--\n", "a line of a Markdown cell starts with"),
    "preamble": ("\nimport os  <--\n# %%\nx = 1\n", "text before the first cell header"),
    "no cells": ("  <--\n", "no cells"),
    "too long": ("# %%  <--\n" + "".join(f"x{i} = {i}\n\n" for i in range(26)), "26 lines of code"),
}

BROKEN_LESSONS = {
    "marker": ("# %%\nx = 1  # SOLUTION  <--\n", "`# SOLUTION` in a lesson"),
    "solution tag": ('# %% tags=["solution"]  <--\nx = 1\n', 'unknown tag "solution"'),
    "directive": ("# %% [markdown]\n# {{hints 1.1}}  <--\n", "of an exercise source"),
}

NOT_A_PROMISE = {
    "walrus": ("# %%\nx = 1\n\n# %%\nassert (y := x)  <--\nprint(y)\n", "`(y := x)` in an assert, which learners"),
    "generator": ("# %%\nassert rng.normal() < 9  <--\n", "which draws random numbers, in an assert"),
    "numpy draws": ("# %%\nassert np.random.rand() < 1  <--\n", "which draws random numbers"),
    "torch draws": ("# %%\nassert (  <--\n    torch.randn(3).shape\n)\n", "`randn`, which draws random numbers"),
    "prints": ("# %%\nassert print(1) is None  <--\n", "`print(…)` in an assert"),
    "function that prints": ("# %%\ndef f():\n    print(1)\n\n\nassert f() is None  <--\n", "`f(…)` in an assert"),
    "changes a list": ("# %%\nx = []\nassert x.append(1) is None  <--\nprint(x)\n", "`append(…)` in an assert"),
    "changes a tensor": ("# %%\nassert w.zero_().any() == 0  <--\n", "`zero_(…)` in an assert"),
    "shared line": ("# %%\nx = 1; assert x  <--\nprint(x)\n", "shares its line with other code"),
    "if in one line": ("# %%\nif y: assert y  <--\nelse: print(y)\n", "asserts alone in a block"),
    "else": ("# %%\nif y:\n    print(y)\nelse:\n    assert y == 0  <--\n", "a block that cannot go with them"),
    "function": ("# %%\ndef f(x):\n    assert x  <--\n\n\nf(1)\n", "a block that cannot go with them"),
    "loop that draws": ("# %%\nfor x in rng.normal(size=3):\n    assert x < 9  <--\n", "that cannot go with them"),
    "value at the end": (
        "# %%\nx = 1\nx + 1  <--\nassert x\n",
        "learners would see this value: put the asserts before",
    ),
    "draws for asserts": (
        "# %%\nx = rng.normal()  <--\nassert x < 9\n",
        "only asserts read `x`, but this line would stay",
    ),
    "prints for asserts": (
        "# %%\ndef f():\n    print(1)\n    return 2\n\n\nx = f()  <--\nassert x == 2\n",
        "only asserts read `x`",
    ),
    "half a pair": ("# %%\nx, y = 1, 2  <--\nprint(x)\nassert y == 2\n", "only asserts read `y`, but this line would"),
    "half an import": ("# %%\nfrom m import a, b  <--\nprint(a)\nassert b\n", "only asserts read `b`"),
    "filled for asserts": ("# %%\nd = {}  <--\nd[1] = 2\nassert d[1] == 2\n", "only asserts read `d`"),
    "appended for asserts": ("# %%\nd = []  <--\nd.append(1)\nassert d\nprint()\n", "only asserts read `d`"),
}

BROKEN_MARKERS = {
    "no end": (FUNCTION + "    # BEGIN SOLUTION  <--\n    return x + 1\n", "without `# END SOLUTION`"),
    "end in next cell": (
        FUNCTION + "    # BEGIN SOLUTION  <--\n    return 1\n\n# %%\n# END SOLUTION\n",
        "without `# END",
    ),
    "no begin": (FUNCTION + "    return x\n    # END SOLUTION  <--\n", "`# END SOLUTION` without `# BEGIN"),
    "nested": (FUNCTION + "    # BEGIN SOLUTION\n    x = 1\n    # BEGIN SOLUTION  <--\n", "begun on line 3"),
    "answer inside": (FUNCTION + "    # BEGIN SOLUTION\n    y = x  # SOLUTION  <--\n", "begun on line 3"),
    "column 0": ("# %%\n# BEGIN SOLUTION  <--\nx = 1\n# END SOLUTION\n", "at column 0"),
    "end at column 0": (FUNCTION + "    # BEGIN SOLUTION\n    return 1\n# END SOLUTION  <--\n", "at column 0"),
    "no function": ("# %%\nif True:\n    # BEGIN SOLUTION  <--\n    x = 1\n    # END SOLUTION\n", "outside a function"),
    "not alone": (FUNCTION + "    y = 1  # BEGIN SOLUTION  <--\n    # END SOLUTION\n", "stands alone"),
    "indentation": (
        FUNCTION + "    if x:\n        # BEGIN SOLUTION\n        x = 1\n    # END SOLUTION  <--\n    return x\n",
        "not indented like its `# BEGIN SOLUTION` on line 4",
    ),
    "empty": (FUNCTION + "    # BEGIN SOLUTION  <--\n    # nothing\n    # END SOLUTION\n    return 1\n", "no code"),
    "cut statement": (
        FUNCTION + "    y = [\n        # BEGIN SOLUTION  <--\n        x,\n        # END SOLUTION\n    ]\n",
        "syntax error in what learners get",
    ),
    "two lines": ("# %%\nx = (\n    1\n)  # SOLUTION  <--\n", "belongs behind a one-line assignment"),
    "no assignment": ("# %%\nprint(1)  # SOLUTION  <--\n", "one-line assignment"),
    "alone": ("# %%\n# SOLUTION  <--\nx = 1\n", "one-line assignment"),
    "two statements": ("# %%\nx = 1; y = 2  # SOLUTION  <--\n", "one-line assignment"),
    "in one line": ("# %%\nif True: x = 1  # SOLUTION  <--\n", "one-line assignment"),
    "tuple": ("# %%\nx, y = 1, 2  # SOLUTION  <--\n", "one-line assignment"),
    "augmented": ("# %%\nx = 0\nx += 1  # SOLUTION  <--\n", "one-line assignment"),
    "in markdown": (
        "# %% [markdown]\n# Text\n# between BEGIN SOLUTION and  <--\n",
        "`BEGIN SOLUTION` is not a comment",
    ),
    "in a string": ('# %%\nx = """\n# SOLUTION  <--\n"""\n', "`# SOLUTION` is not a comment"),
    "in a solution cell": ('# %% tags=["solution"]\nx = 1  # SOLUTION  <--\n', "in a solution cell"),
}

MISSPELT = [
    "# BEGIN SOLUTON", "#SOLUTION", "#BEGIN SOLUTION", "# begin solution", "# Solution", "# solution:", "# SOLUTIONS",
    "# BEGINSOLUTION", "# END SOLUTION.", "# END SOLTUION", "### BEGIN SOLUTION", "# START SOLUTION",
    "# SOLUTION (two points)", "# BEGN SOLUTIN", "# Stop solution",
]  # fmt: skip

STUB = "# %%\ndef f(x):\n    # BEGIN SOLUTION\n    return x @ x + 1\n    # END SOLUTION\n\n"

LEAKS = {
    "line in code": (STUB + "# %%\ndef g(x):\n    return x @ x + 1  <--\n", "`return x @ x + 1` stays in exercises/"),
    "line in a comment": (STUB + "# %%\n# try\n# return x @ x + 1 once  <--\n", "stays in exercises/"),
    "line in text": (STUB + "# %% [markdown]\n# Well:\n# `return x @ x + 1`  <--\n", "stays in exercises/"),
    "answer in text": (
        "# %%\nq = 7.389056  # SOLUTION\n\n# %% [markdown]\n# q = 7.389056  <--\n",
        "`q = 7.389056` stays",
    ),
    "line in a docstring": (
        '# %%\ndef f(x):\n    """Do\n    return x @ x + 1  <--\n    """\n'
        "    # BEGIN SOLUTION\n    return x @ x + 1\n    # END SOLUTION\n",
        "stays in exercises/",
    ),
    "solution cell": ('# %% tags=["solution"]\nbest = min(3, 4)\n\n# %%\nbest = min(3, 4)  # same  <--\n', "stays in"),
    "line in the idea": (
        "# %%\ngap = log(r)  # SOLUTION\n\n# %% [markdown]\n# Now:\n#\n# {{hints 1.2}}  <--\n",
        "`gap = log(r)` stays in exercises/",
    ),
    "given function": ('# %%\ndef f(x):\n    return x\n\n# %%\ncheck("1.1", f)  <--\n', "`f` is given away: line 2"),
    "given twice": (STUB + 'f2 = 3\n\n# %%\nf = 3\n\n# %%\ncheck("1.1", f)  <--\n', "given away: line 10"),
    "forgotten marker": (
        '# %%\na = 1  # SOLUTION\nb = 22\n\n# %%\ncheck("1.2", b)  <--\n',
        "`b` is given away: line 3",
    ),
    "open form": ('# %%\na = {"p": ...}\n\n# %%\ncheck("1.2", a)  <--\n', "no solution cell defines it"),
    "half a form": ('# %%\na = [..., 22]\n\n# %%\ncheck("1.2", a)  <--\n', "`a` is given away: line 2"),
    "nowhere": (STUB + '# %%\nif True:\n    check("1.1", ff)  <--\n', "`ff` is defined nowhere"),
    "imported": ('# %%\nfrom math import exp as f\n\n# %%\ncheck("1.1", f)  <--\n', "given away"),
    "solution only": ('# %% tags=["solution"]\nz = 2\n\n# %%\ncheck("1.1", z)  <--\n', "only in a solution cell"),
    "unknown question": (STUB + '# %%\ncheck("9.9", f)  <--\n', "unknown question 9.9"),
    "unknown directive": ("# %% [markdown]\n# {{about 9.9}}  <--\n", "unknown question 9.9"),
    "misspelt directive": ("# %% [markdown]\n# {{ hint 1.1 }}  <--\n", "`{{ hint 1.1 }}`: write"),
    "directive in a sentence": ("# %% [markdown]\n# A\n# See {{hints 1.1}}.  <--\n", "alone on a line"),
}

CASES = [
    *((LESSON, *case) for case in (BROKEN_ANYWHERE | BROKEN_LESSONS | NOT_A_PROMISE).items()),
    *((EXERCISE, *case) for case in (BROKEN_ANYWHERE | NOT_A_PROMISE | BROKEN_MARKERS | LEAKS).items()),
    *((EXERCISE, word, (f"# %%\nx = 1\ny = 2  {word}  <--\n", "resembles a marker")) for word in MISSPELT),
]


@pytest.mark.parametrize(("path", "case"), [pytest.param(path, case, id=name) for path, name, case in CASES])
def test_a_broken_source_is_one_line(empty_course, capsys, path, case):
    marked_text, message = case
    line = next(n for n, text in enumerate(marked_text.split("\n"), 1) if text.endswith("  <--"))
    empty_course.write(path, marked_text.replace("  <--", ""))
    assert empty_course.build() == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith(f"{path}:{line}: ")
    assert message in error
    assert empty_course.bytes() == {}


@pytest.mark.parametrize("name", ["1_a.py", "01-a.py", "01_A.py", "01c_a.py", "01_.py", "lesson.py", "01_a b.py"])
def test_a_file_name_out_of_pattern(course, capsys, name):
    course.write(f"authoring/lessons/{name}", "# %%\nx = 1\n")
    assert course.build() == 1
    assert capsys.readouterr().err.startswith(f"authoring/lessons/{name}:1: file name: expected NN_slug.py")


def test_a_source_that_is_not_utf_8(course, capsys):
    (course.root / LESSON).write_bytes(b"# %%\nx = 1\ny = '\xff'\n")
    assert course.build() == 1
    assert capsys.readouterr().err == f"{LESSON}:3: not UTF-8 text\n"


@pytest.mark.parametrize("option", ["", "--check"])
def test_every_broken_source_is_named_and_the_sound_ones_are_built(course, capsys, option):
    course.write(LESSON, "# %%\nx = = 1\n")
    course.write(EXERCISE, "# %%\nx = 1\n# BEGIN SOLUTION\n")
    assert course.build() == 1
    assert sorted(course.bytes()) == ["exercises/01_demo.ipynb", "notebooks/01_demo.ipynb", "solutions/01_demo.ipynb"]
    capsys.readouterr()
    assert course.build(*option.split()) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [f"{LESSON}:2", f"{EXERCISE}:3"]


def test_a_broken_source_leaves_its_old_notebooks(course):
    course.build()
    before = course.bytes()
    path = "authoring/exercises/01_demo.py"
    course.write(path, (course.root / path).read_text(encoding="utf-8").replace("    # END SOLUTION\n", ""))
    assert course.build() == 1
    assert course.bytes() == before


FINE = {
    "resembling comments": "# %%\nn = 200  # resolution\n# the solution of a linear system, in closed form\n",
    "common lines stay": (
        "# %%\ndef f(x):\n    # BEGIN SOLUTION\n    import numpy as np\n    result = np.zeros(3)\n"
        "    for token in x.rows():\n        pass\n    return result\n    # END SOLUTION\n\n"
        "# %%\ndef g(x):\n    import numpy as np\n    result = np.zeros(3)\n"
        "    for token in x.rows():\n        pass\n    return result\n"
    ),
    "answers put together": '# %%\na = 1  # SOLUTION\nb = 2  # SOLUTION\nboth = (a, b)\n\n# %%\ncheck("1.2", both)\n',
    "a form": (
        '# %%\nmy_answer = {\n    "p": ...,\n    "q": [..., ...],\n}\n\n# %% tags=["solution"]\n'
        'my_answer = {\n    "p": 1,\n    "q": [2, 3],\n}\n\n# %%\ncheck("1.2", my_answer)\n'
    ),
    "a marked method": (
        "# %%\nclass Gate:\n    def f(self):\n        # BEGIN SOLUTION\n        return 1\n        # END SOLUTION\n\n"
        '# %%\ncheck("1.1", Gate)\n'
    ),
    "an expression": '# %%\nx = 1\ncheck("1.1", [x])\n',
    "braces in a formula": "# %% [markdown]\n# $\\frac{{a}}{b}$\n",
    "25 lines and their markers": (
        "# %%\ndef f(x):\n    # BEGIN SOLUTION\n" + "    x += 1\n\n" * 24 + "    # END SOLUTION\n"
    ),
    "an empty cell": "# %%\n",
}


@pytest.mark.parametrize("text", FINE.values(), ids=FINE)
def test_a_sound_source_is_accepted(empty_course, capsys, text):
    empty_course.write(EXERCISE, text)
    assert empty_course.build() == 0
    assert capsys.readouterr().err == ""
    assert sorted(empty_course.bytes()) == ["exercises/02_broken.ipynb", "solutions/02_broken.ipynb"]
