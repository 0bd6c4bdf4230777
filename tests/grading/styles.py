"""Honest ways of writing a notebook: what the learner did, the cells, and the marks that a human would give.

All answer questions 1.1 (a function, `LOGITS`) and 1.4 (a value, `PROTOTYPE`) rightly, if nothing else is said. A cell
is text, or else what the file holds of it: `raw`, `markdown`, `counted`. `right` are the questions that have full
marks, all others have none; `note` are words that the record must hold. Without a note there must be nothing to say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hostile import CHECKS, LOGITS, PROTOTYPE, SETUP, STUB, WRONG

Cell = str | Mapping[str, Any]
BOTH = ("1.1", "1.4")


@dataclass(frozen=True)
class Style:
    """One way. hurried: with little time, so that what takes long is short. info: the notebook's metadata."""

    did: str
    cells: tuple[Cell, ...]
    right: tuple[str, ...] = BOTH
    note: str = ""
    hurried: bool = False
    info: Mapping[str, Any] = field(default_factory=dict)


STYLES: list[Style] = []


def style(did: str, *cells: Cell, **more: Any) -> None:
    """Add a style: its cells stand behind the usual first one."""
    STYLES.append(Style(did, (SETUP, *cells), **more))


def markdown(text: str) -> Cell:
    """Return a cell that is text."""
    return {"cell_type": "markdown", "source": text, "metadata": {}}


def raw(text: str) -> Cell:
    """Return a cell that is neither code nor text."""
    return {"cell_type": "raw", "source": text, "metadata": {}}


def counted(count: int, source: str) -> Cell:
    """Return a cell that was the `count`-th to be run."""
    return {"cell_type": "code", "source": source, "metadata": {}, "execution_count": count, "outputs": []}


def as_saved(cell: Cell) -> Mapping[str, Any]:
    """Return what the file holds of a cell."""
    code = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
    return code | {"source": cell} if isinstance(cell, str) else cell


ANSWERS = f"{LOGITS}\n{PROTOTYPE}"
BEST = "def best():\n    return [2.5, -1.5]"
PARAMETERS = "x, weight, bias"

# Tools

COLAB = {"colab": {"provenance": [], "toc_visible": True}, "kernelspec": {"name": "python3"}, "accelerator": "GPU"}
style(
    "Colab, with an installation, a drive and its own metadata",
    {"cell_type": "code", "source": ["!pip install -q moe-lessons\n", "%matplotlib inline"], "metadata": {"id": "x7"}},
    "#@title My answer { run: 'auto' }\nfactor = 1 #@param {type:'slider', min:0}\n" + LOGITS,
    PROTOTYPE,
    CHECKS,
    info=COLAB,
    note="`!pip install -q moe-lessons`",
)
style(
    "Colab's drive, which is not here",
    f"from google.colab import drive\ndrive.mount('/content/drive')\n%cd /content/drive/MyDrive\n{ANSWERS}",
    CHECKS,
    note="No module named 'google",
)
style(
    "Colab or not is found out",
    "try:\n    import google.colab\n    HERE = True\n"
    "except ImportError:\n    HERE = 'google.colab' in str(get_ipython())",
    ANSWERS,
    CHECKS,
)
style(
    "VS Code, its metadata, sources in lines, regions",
    {"cell_type": "code", "source": LOGITS.splitlines(keepends=True), "metadata": {"vscode": {"languageId": "python"}}},
    f"# region value\n{PROTOTYPE}\n# endregion",
    CHECKS,
    info={"language_info": {"name": "python", "version": "3.12.1"}, "kernelspec": {"name": "python3"}},
)
style("Windows line ends and tabs", LOGITS.replace("    ", "\t").replace("\n", "\r\n"), PROTOTYPE + "\r\n", CHECKS)
style("pasted with prompts", ">>> " + LOGITS.replace("\n", "\n... "), f"In [3]: {PROTOTYPE}", CHECKS)

# Magics

style("%%time above an answer", f"%%time\n{LOGITS}", f"%time {PROTOTYPE}", CHECKS)
style("%%memit above an answer", f"%load_ext memory_profiler\n{LOGITS}", f"%%memit -r 1\n{PROTOTYPE}", CHECKS)
style("another profiler's cell magic", f"%%scalene --cpu\n{ANSWERS}", CHECKS)
style("%%capture, and what it caught", f"%%capture caught\n{ANSWERS}", "caught.show()\nprint(caught.stdout)", CHECKS)
style("the value of %time", BEST, LOGITS, "my_prototype = %time best()", CHECKS)
style("%time inside an answer", LOGITS.replace("return ", "%time h = ") + "\n    return h", PROTOTYPE, CHECKS)
style(
    "the value of %timeit -o",
    BEST,
    LOGITS,
    "took = %timeit -o -n 10 -r 3 best()\nmy_prototype = best() if 0 < took.best <= took.average else None",
    CHECKS,
)
style(
    "the value of a shell line",
    "files = !ls *.csv\nprint(len(files))",
    ANSWERS,
    CHECKS,
    note="`!ls *.csv`",
)
style("%%writefile, then an import", f"%%writefile answers.py\n{ANSWERS}", "from answers import *", CHECKS)
style("%%writefile, then %run", f"%%writefile -a other.py\n{ANSWERS}", "%run other.py", CHECKS)
style(
    "%run of a file that was not handed in",
    "%run helper.py",
    "def my_logits(x, weight, bias):\n    return logits_of(x, weight) + bias",
    PROTOTYPE,
    CHECKS,
    right=("1.4",),
    note="helper.py is not here",
)
style(
    "a file that is written anew",
    f"%%writefile mine.py\n{WRONG}",
    "from mine import my_logits",
    f"%%writefile mine.py\n{LOGITS}",
    f"from mine import my_logits\n{PROTOTYPE}",
    CHECKS,
)
style(
    "pasted from an exported script",
    "#!/usr/bin/env python\n# coding: utf-8\n# In[1]:\nget_ipython().run_line_magic('matplotlib', 'inline')",
    f"# In[2]:\nget_ipython().run_cell_magic('time', '', {LOGITS!r})",
    BEST,
    "my_prototype = get_ipython().run_line_magic('time', 'best()')",
    CHECKS,
)
style("%prun of an answer", BEST, "%prun -l 3 my_prototype = best()", LOGITS, CHECKS)
style(
    "the library of Python 3.12",
    "from itertools import batched\nfrom typing import override",
    "my_prototype = list(next(batched([2.5, -1.5, 0], 2)))",
    LOGITS,
    CHECKS,
)
style("checks above the answers", CHECKS, ANSWERS, note="is not defined")
style("%pylab", "%pylab inline", LOGITS, "my_prototype = array([2.5, -1.5])", CHECKS)
style("%env", "%env SEED=3", f"import os\nnp.random.seed(int(os.environ['SEED']))\n{ANSWERS}", CHECKS)
style("settings by magics", "%config InlineBackend.dpi = 90\n%load_ext autoreload\n%autoreload 2", ANSWERS, CHECKS)
style("%reset at the end", ANSWERS, CHECKS, "%reset -f", note="`%reset -f`")
style("pip without a sign", "pip install einops", ANSWERS, CHECKS, note="pip install einops")
style("a cell of another language", "%%bash\nls -la | head", "%%html\n<b>My work</b>", ANSWERS, note="`%%bash`")
style(
    "help and IPython by hand",
    "from IPython import get_ipython\nget_ipython().run_line_magic('matplotlib', 'inline')\nnp.dot?",
    ANSWERS,
    CHECKS,
)

# What is shown and asked for

style(
    "display, widgets, cleared output",
    "from IPython.display import HTML, clear_output, display\nimport ipywidgets as widgets",
    "shown = display(HTML('<b>1</b>'), display_id=True)\nshown.update(2)\nclear_output(wait=True)",
    "@widgets.interact(k=(1, 4))\ndef show(k=2):\n    display(k)",
    ANSWERS,
    CHECKS,
)
style(
    "a plot in a window",
    "import matplotlib\nmatplotlib.use('agg')\nimport matplotlib.pyplot as plt\n%matplotlib tk",
    f"fig, ax = plt.subplots()\nax.plot([1, 2])\nplt.show()\nfig.savefig('plot.png')\n{ANSWERS}",
    CHECKS,
)
style("input for a name", f"name = input('Your name? ')\n{ANSWERS}", CHECKS, note="EOFError")
style(
    "prints by the thousand",
    "import sys\nfor i in range(20_000):\n    print(i, 'token', flush=True)\nprint('ü', file=sys.stderr)",
    f"if sys.stdout.encoding.lower() == 'utf-8':\n    sys.stdout.flush()\n{ANSWERS}",
    CHECKS,
)
style("exit and quit", f"{LOGITS}\nexit()", f"{PROTOTYPE}\nquit()", CHECKS, note="SystemExit")
style(
    "warnings made errors", "import warnings\nwarnings.filterwarnings('error')\nnp.seterr(all='raise')", ANSWERS, CHECKS
)
style(
    "bars and logs",
    "from tqdm.notebook import tqdm\nimport logging, sys\nlogging.basicConfig(stream=sys.stdout, level='INFO')",
    f"for _ in tqdm(range(3)):\n    logging.info('step')\n{ANSWERS}",
    CHECKS,
)

# Forms of an answer

style("a lambda", f"my_logits = lambda {PARAMETERS}: x @ weight.T + bias\n{PROTOTYPE}", CHECKS)
style(
    "functools.partial",
    "from functools import partial",
    "def scaled_logits(x, weight, bias, scale):\n    return scale * (x @ weight.T) + bias",
    f"my_logits = partial(scaled_logits, scale=1)\n{PROTOTYPE}",
    CHECKS,
)
style(
    "an object that can be called",
    f"class Router:\n    def __call__(self, {PARAMETERS}):\n        return x @ weight.T + bias\nmy_logits = Router()",
    PROTOTYPE,
    CHECKS,
)
style(
    "a decorator of one's own",
    "import functools, time\ndef timed(f):\n    @functools.wraps(f)\n    def inner(*a, **k):\n"
    "        begin = time.time()\n        try:\n            return f(*a, **k)\n"
    "        finally:\n            print(time.time() - begin)\n    return inner",
    f"@timed\n{LOGITS}",
    PROTOTYPE,
    CHECKS,
)
style("a compiler that is not here", f"from numba import njit\n@njit(cache=True)\n{ANSWERS}", CHECKS, note="'numba'")
style(
    "torch.compile",
    f"import torch\n@torch.compile(dynamic=True)\ndef my_logits({PARAMETERS}):\n"
    "    x, weight, bias = map(torch.as_tensor, (x, weight, bias))\n    return x @ weight.T + bias",
    PROTOTYPE,
    CHECKS,
)
style(
    "the syntax of Python 3.12: generics and aliases",
    "type Array = np.ndarray\ntype Pair[T] = tuple[T, T]",
    f"def my_logits[T: Array](x: T, weight: T, bias: T) -> T:\n    return x @ weight.T + bias\n{PROTOTYPE}",
    "class Stack[T]:\n    def push(self, item: T) -> None: ...",
    CHECKS,
)
style(
    "the syntax of Python 3.12: quotes inside quotes",
    'names = {"a": "E1", "b": "E2"}\nprint(f"{names["a"]} beats {", ".join(names.values())}")\n'
    'print(f"{"\\n".join(f"{k}: {names[k]!r:>{4}}" for k in names)} it\'s")\n' + LOGITS,
    'try:\n    print(f"{names["c"]}")\nexcept KeyError, TypeError:\n    ' + PROTOTYPE,
    CHECKS,
)
style("annotations from the future", f"from __future__ import annotations\n{LOGITS}", "def g(x: Later): ...", PROTOTYPE)
style("star imports", "from numpy import *\nfrom math import *", f"{LOGITS}\nmy_prototype = array([2.5, -1.5])", CHECKS)
style("several definitions, the last is right", WRONG, "check('1.1', my_logits)", LOGITS, PROTOTYPE, CHECKS)
style(
    "another name, and the asked one for it",
    f"{LOGITS.replace('my_logits', 'router_v2')}\nmy_logits = router_v2\nmy_prototype = found = (2.5, -1.5)",
    CHECKS,
)
style(
    "another name, which was checked",
    f"{STUB}\nmy_prototype = ...",
    f"{LOGITS.replace('my_logits', 'router_v2')}\nfound = np.array([2.5, -1.5])",
    "from moe_lessons import checks as c\nc.check(1.1, router_v2)\nc.check(question_id='1.4', answer=found)",
)
style(
    "answers without a name",
    f"check('1.1', lambda {PARAMETERS}: x @ weight.T + bias); check('1.4', [2.5, -1.5])",
)
style(
    "checks in a loop",
    ANSWERS,
    "from moe_lessons.checks import check as ask\nfor id, answer in {'1.1': my_logits, '1.4': my_prototype}.items():\n"
    "    result = ask(id, answer)\n    assert result.points",
)
style("the stubs once more at the end", ANSWERS, CHECKS, f"{STUB}\nmy_prototype = ...", CHECKS)
style(
    "a helper that is redefined below",
    "def product(a, b):\n    return a @ b.T",
    f"def my_logits({PARAMETERS}):\n    return product(x, weight) + bias",
    'check("1.1", my_logits)',
    "def product(a, b):\n    return a * b",
    PROTOTYPE,
    'check("1.4", my_prototype)',
    note="1.1: my_logits",
)
style(
    "a variable that is used again below",
    f"scale = 1\ndef my_logits({PARAMETERS}):\n    return scale * (x @ weight.T) + bias",
    'check("1.1", my_logits)',
    "for scale in (10, 100):\n    print(scale)",
    PROTOTYPE,
    note="1.1: my_logits",
)
style(
    "the name used for its result",
    f"{LOGITS}\ncheck('1.1', my_logits)",
    "my_logits = my_logits(np.ones(2), np.ones((3, 2)), np.zeros(3))",
    f"{PROTOTYPE}\ncheck('1.4', my_prototype)\nmy_prototype = np.array(my_prototype) / 2",
    note="what was checked last is, and counts",
)
style("del of what was checked", ANSWERS, CHECKS, "del my_logits, my_prototype")
style("del of what was not checked", ANSWERS, "del my_logits\ndel my_prototype")
style(
    "one function for each type",
    f"from functools import singledispatch\n{STUB}\n@singledispatch\ndef my_logits(x, weight, bias):\n"
    "    raise NotImplementedError\n@my_logits.register\n"
    "def _(x: np.ndarray, weight, bias):\n    return x @ weight.T + bias",
    PROTOTYPE,
    CHECKS,
)
style(
    "overloads",
    "from typing import overload\n@overload\ndef my_logits(x: list, weight, bias) -> list: ...\n@overload\n"
    f"def my_logits(x: np.ndarray, weight, bias) -> np.ndarray: ...\n{LOGITS}",
    PROTOTYPE,
)
style("names made by a program", f"exec({LOGITS!r})", "globals()['my_' + 'prototype'] = [2.5, -1.5]", CHECKS)
style(
    "a main function",
    ANSWERS,
    "def main():\n    check('1.1', my_logits)\n    check('1.4', my_prototype)\nif __name__ == '__main__':\n    main()",
)
style(
    "unit tests",
    f"import doctest, unittest\n{ANSWERS}",
    "class TestLogits(unittest.TestCase):\n    def test_shape(self):\n        assert len(my_prototype) == 2\n"
    "unittest.main(argv=[''], exit=False)\ndoctest.testmod()",
    CHECKS,
)

# Order, and what earlier cells left

style("Out and _", BEST, counted(7, "best()"), LOGITS, "my_prototype = Out[7]", CHECKS)
style("the last results", BEST, "best()", "_[0]", f"{LOGITS}\nmy_prototype = [_, __[1]]", CHECKS)
style("Out below its use", LOGITS, counted(9, "my_prototype = _8"), BEST, counted(8, "best()"), CHECKS, note="cell 3")
style(
    "a helper below its use", "my_prototype = best()", LOGITS, BEST, CHECKS, note="cell 2: line 1 was run after cell 4"
)
style(
    "imports below their use",
    "start = stats.norm.ppf(.5)\nmy_prototype = [2.5 + start, -1.5]",
    "def my_logits(x, weight, bias, activation=F.identity):\n    return activation(x @ weight.T + bias)",
    "from scipy import stats\nclass F:\n    identity = np.asarray",
    CHECKS,
    note="was run after cell 4",
)
style(
    "awaited at top level",
    "import asyncio\nasync def find():\n    await asyncio.sleep(0)\n    return [2.5, -1.5]",
    f"my_prototype = await find()\n{LOGITS}",
    CHECKS,
)
style(
    "awaited as in a script",
    "import asyncio\nasync def find():\n    return [2.5, -1.5]",
    f"my_prototype = asyncio.run(find())\n{LOGITS}",
    CHECKS,
)
style(
    "tasks at top level",
    "import asyncio\nasync def find():\n    await asyncio.sleep(0.01)\n    return [2.5, -1.5]\n"
    "task = asyncio.create_task(find())",
    f"both = asyncio.gather(find(), find())\n{LOGITS}",
    "my_prototype, _ = await task, await both",
    CHECKS,
)
style(
    "a pool of threads for the whole notebook",
    "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(4)",
    "print(list(pool.map(abs, [1, -2])))",
    f"def my_logits({PARAMETERS}):\n    return np.array(list(pool.map(lambda w: x @ w, weight))).T + bias",
    "later = pool.submit(lambda: [2.5, -1.5])",
    "my_prototype = later.result()",
    CHECKS,
)
style(
    "a pool of processes for the whole notebook",
    "import multiprocessing as mp\nfrom multiprocessing import Pool\ndef half(n):\n    return n / 2\n"
    "pool = Pool(2)\nother = mp.get_context('fork').Pool(2)",
    f"{LOGITS}\nprint(pool.map(half, range(4)), list(other.imap(half, [1])))",
    "my_prototype = pool.map(half, [5, -3])\npool.close()\npool.join()",
    CHECKS,
)
style(
    "a thread that is joined in the next cell",
    "import threading, time\nfound = []\ndef search():\n    time.sleep(0.05)\n    found.extend([2.5, -1.5])\n"
    "thread = threading.Thread(target=search)\nthread.start()",
    "thread.join()\nmy_prototype = found",
    LOGITS,
    CHECKS,
)

# Time

LOOP = "n = 0\nwhile True:\n    n += 1"
style(
    "experiments use the time before the answers",
    "import time\ndef burn():\n    begin = time.process_time()\n    while time.process_time() < begin + 0.7: pass",
    *["burn()"] * 4,
    LOGITS,
    f"my_prototype = np.array([2.5, -1.5])\n{CHECKS}",
    hurried=True,
    note="all time was used up before",
)
style(
    "a lambda in a cell that does not end",
    f"my_logits = lambda {PARAMETERS}: x @ weight.T + bias\n{PROTOTYPE}\n{LOOP}",
    hurried=True,
    note="was stopped after",
)
style(
    "values around what does not end",
    f"{BEST}\nmy_prototype = best()\n{LOOP}\nproduct = np.matmul\n"
    + LOGITS.replace("x @ weight.T", "product(x, weight.T)"),
    CHECKS,
    hurried=True,
    note="all of it was run but what stands in line 5",
)

# Which answers count

style("an answer in a raw cell", raw(LOGITS), PROTOTYPE, CHECKS, right=("1.4",), note="my_logits stands in a raw cell")
style(
    "an answer in a Markdown cell",
    LOGITS,
    markdown(f"```python\n{PROTOTYPE}\n```"),
    "check('1.1', my_logits)",
    right=("1.1",),
    note="my_prototype stands in a Markdown cell",
)
style(
    "an answer that is a comment",
    "# " + LOGITS.replace("\n", "\n# "),
    PROTOTYPE,
    right=("1.4",),
    note="my_logits is written in a cell, but never got there: is it a comment",
)
style(
    "the end of the stub below an answer",
    LOGITS.replace("return ", "h = ") + "\n    raise NotImplementedError",
    PROTOTYPE,
    CHECKS,
    right=("1.4",),
    note="my_logits is begun, but still raises NotImplementedError",
)
style(
    "a wrong answer in cells of another order",
    counted(5, "k = 3"),
    counted(4, WRONG),
    counted(9, PROTOTYPE),
    right=("1.4",),
    note="in another order than they stand: cell 2 after cell 3",
)
style(
    "an answer with a syntax error",
    "def my_logits(x, weight, bias)\n    return x @ weight.T + bias",
    PROTOTYPE,
    CHECKS,
    right=("1.4",),
    note="raised SyntaxError: expected ':'",
)
style("prose below an answer", f"{ANSWERS}\nThis is my answer (I think.", CHECKS, note="SyntaxError")
style(
    "both sides of a merge",
    f"<<<<<<< HEAD\n{WRONG}\n=======\n{LOGITS}\n>>>>>>> mine\n{PROTOTYPE}",
    CHECKS,
    note="SyntaxError",
)
for did, name in {
    "a Cyrillic letter": "my_l\u043egits",
    "capital letters": "My_Logits",
    "no line": "mylogits",
    "a letter too few": "my_logit",
    "a number behind": "my_logits_2",
}.items():
    style(
        f"a name with {did}",
        LOGITS.replace("my_logits", name),
        PROTOTYPE,
        right=("1.4",),
        note=f"{name!a} is not 'my_logits'",
    )
style("a name in full width", LOGITS.replace("my", "\uff4d\uff59"), PROTOTYPE)
style(
    "two sets in one notebook",
    ANSWERS,
    CHECKS,
    "def my_merged(largest, total):\n    top = largest.max(axis=0)\n"
    "    return top + np.log((total * np.exp(largest - top)).sum(axis=0))",
    "def my_mixture(p, outputs):\n    return np.einsum('tn,tnd->td', p, outputs)",
    'check("2.1", my_merged)\ncheck("2.3", my_mixture)',
    right=(*BOTH, "2.1", "2.3"),
    note="it holds work on set 02 too, which counts as well",
)
style(
    "two sets that share a name",
    ANSWERS,
    CHECKS,
    "my_logits = [0.0] * 4 + [-5.0] * 2",
    'check("4.3", my_logits)',
    right=(*BOTH, "4.3"),
    note="it holds work on set 04 too",
)
style(
    "a value of 8 MB",
    "my_logits = np.full(1_000_000, -100.0)\nmy_logits[:4] = 0\nmy_logits[4:6] = -9\ncheck('4.3', my_logits)",
    right=("4.3",),
)
style(
    "a long list",
    "my_logits = [0.0] * 4 + [-100.0] * 300_000\ncheck('4.3', my_logits)",
    right=("4.3",),
)
