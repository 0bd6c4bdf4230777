"""Runs the widgets' JavaScript inside pytest."""

import importlib.util
import json

import pytest


class Module:
    """A JavaScript module in quickjs; `module.map("softmax", cases)` calls a function once per list of arguments.

    The functions need not be exported. NaN and infinities come back as None.
    """

    def __init__(self, text, functions):
        import quickjs

        self.context = quickjs.Context()
        self.context.module(f"{text}\nglobalThis.called = {{ {functions} }};")

    def map(self, function, cases):
        # Python writes −∞ as -Infinity, which JSON lacks and JavaScript reads.
        calls = f"{json.dumps(cases)}.map((args) => called.{function}(...args))"
        return json.loads(self.context.eval(f"JSON.stringify({calls})"))


@pytest.fixture(scope="session")
def load_module():
    if importlib.util.find_spec("quickjs") is None:
        pytest.skip("quickjs comes ready-made for Python up to 3.12 only; the browser tests run the JavaScript anyway")
    return Module
