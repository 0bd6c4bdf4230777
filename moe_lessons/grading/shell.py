"""Stands in for IPython in the worker: magics that compute are run, those that a page or a computer needs are not."""

import importlib
import os
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from moe_lessons.grading.syntax import CODE

QUIET = {"matplotlib", "config", "load_ext", "reload_ext", "autoreload", "precision", "pinfo", "pinfo2", "pdb", "xmode"}
MEASURING = {"time", "prun", "memit", "lprun", "mprun", "snakeviz", "pyinstrument", "scalene"}  # a statement, run once
OPTIONS = re.compile(r"((?:-[fmsTD][ \t]+\S+[ \t]+|-\w+[ \t]*\d*[ \t]+)*)(.*)", re.DOTALL)  # "-o -n 10 f(x)"
MOST_TOLD, MOST_SIGNS = 4, 60  # of what was passed over in a cell


class Shell:
    """Takes the place of `get_ipython()`. names: those of the notebook. passed_over: what was not run, as written."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.user_ns = names
        self.passed_over: list[str] = []

    def __getattr__(self, _name: str) -> Any:
        return lambda *_arguments, **_settings: None

    def run_line_magic(self, name: str, line: str = "", *_stack: Any) -> Any:
        """Run a line magic that computes something; pass over any other one."""
        known = {"timeit": self._timeit, "run": self._run, "env": self._env, "set_env": self._env, "pylab": self._pylab}
        if name in known:
            return known[name](line)
        if name in MEASURING:
            return self._value(OPTIONS.fullmatch(line)[2])  # type: ignore[index]
        if name == "pwd":
            return os.getcwd()
        return None if name in QUIET else self._pass_over(f"%{name} {line}")

    def run_cell_magic(self, name: str, line: str, cell: str) -> Any:
        """Write the file of a `%%writefile`, run code; pass over any other cell magic, above all other languages."""
        if name in CODE:
            return self._value(cell)
        if name not in ("writefile", "file"):
            return self._pass_over(f"%%{name}")
        path, how = _place(line.split()[-1]), "a" if "-a" in line.split() else "w"
        with open(path, how, encoding="utf-8") as file:
            file.write(cell)
        if getattr(sys.modules.get(path.stem), "__file__", None) == str(path.absolute()):
            del sys.modules[path.stem]  # as with `%autoreload`: the next import is of what is written now
        return importlib.invalidate_caches()

    def push(self, variables: dict[str, Any], *_: Any, **__: Any) -> None:
        """Give names to values."""
        self.user_ns.update(variables)

    def system(self, command: str, *_: Any, **__: Any) -> None:
        """Pass over a shell line."""
        self._pass_over(f"!{command}")

    def getoutput(self, command: str, *_: Any, **__: Any) -> list[str]:
        """Pass over a shell line of which the output is wanted: there are no lines."""
        self._pass_over(f"!{command}")
        return []

    def told(self) -> str:
        """Return in words what was passed over since this was asked last, or nothing."""
        told, self.passed_over = list(dict.fromkeys(self.passed_over)), []
        more = f" and {len(told) - MOST_TOLD} more" if len(told) > MOST_TOLD else ""
        listed = ", ".join(f"`{words[:MOST_SIGNS]}`" for words in told[:MOST_TOLD])
        return f"passed over, for marking runs Python alone: {listed}{more}" if told else ""

    def _pass_over(self, words: str) -> None:
        self.passed_over.append(words.strip())

    def _value(self, code: str) -> Any:
        """Run code in the notebook. Return the value of an expression."""
        try:
            expression = compile(code.strip(), "<magic>", "eval")
        except SyntaxError:
            return exec(compile(code, "<magic>", "exec"), self.user_ns)
        return eval(expression, self.user_ns)

    def _timeit(self, line: str) -> Any:
        """Return what `-o` asks for, of a single run; without it nothing is left to see."""
        options, statement = OPTIONS.fullmatch(line).groups()  # type: ignore[union-attr]
        if "o" not in options:
            return None
        begin = time.perf_counter()
        exec(statement, dict(self.user_ns))
        took = time.perf_counter() - begin
        times = dict.fromkeys(("best", "worst", "average"), took)
        return SimpleNamespace(**times, stdev=0.0, loops=1, repeat=1, timings=[took], all_runs=[took], compile_time=0.0)

    def _run(self, line: str) -> None:
        """Run a file that a cell has written, or that was handed in. Raises FileNotFoundError."""
        path = next((word for word in line.split() if not word.startswith("-")), "")
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path} is not here: it was not handed in")
        exec(compile(Path(path).read_text(encoding="utf-8"), path, "exec"), self.user_ns)

    def _env(self, line: str) -> Any:
        """Set a variable of the environment, or tell one, or all."""
        name, _, value = line.replace("=", " ", 1).strip().partition(" ")
        if value:
            os.environ[name] = value.strip()
        return os.environ.get(name) if name and not value else None if value else dict(os.environ)

    def _pylab(self, _line: str) -> None:
        """Import what `%pylab` brings."""
        exec("import numpy as np, matplotlib.pyplot as plt\nfrom pylab import *", self.user_ns)


def _place(name: str) -> Path:
    """Return where a file is to be written: in its folder, or here, where that cannot be (Colab's, for instance)."""
    path = Path(name.strip("\"'"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError:
        return Path(path.name)
    return path


def find_files_here() -> None:
    """Let imports find what a cell has written, as in Jupyter."""
    if sys.path[:1] != [""]:
        sys.path.insert(0, "")
