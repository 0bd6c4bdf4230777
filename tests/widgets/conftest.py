"""Runs the widgets' JavaScript inside pytest."""

import json

import pytest
import quickjs


class Module:
    """A JavaScript module in quickjs; `module.map("softmax", cases)` calls a function once per list of arguments.

    The functions need not be exported. NaN and infinities come back as None.
    """

    def __init__(self, text, functions):
        self.context = quickjs.Context()
        self.context.module(f"{text}\nglobalThis.called = {{ {functions} }};")

    def map(self, function, cases):
        # Python writes −∞ as -Infinity, which JSON lacks and JavaScript reads.
        calls = f"{json.dumps(cases)}.map((args) => called.{function}(...args))"
        return json.loads(self.context.eval(f"JSON.stringify({calls})"))


@pytest.fixture(scope="session")
def load_module():
    return Module
