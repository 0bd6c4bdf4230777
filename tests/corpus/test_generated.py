"""Generated text is what it says: JSON that loads, sums that are right, Python that parses, sentences."""

import ast
import json
import random
import re

import pytest

from moe_lessons.corpus.generated import write_arithmetic, write_code, write_json, write_prose

WRITERS = (write_arithmetic, write_code, write_json, write_prose)


def pages(write, count=40, seed=0):
    rng = random.Random(seed)
    return ["".join(write(rng)) for _ in range(count)]


@pytest.mark.parametrize("write", WRITERS)
def test_the_generator_decides(write):
    assert pages(write, 3) == pages(write, 3) != pages(write, 3, seed=1)


def test_json_loads_and_has_several_layouts():
    found = pages(write_json)
    assert all(json.loads(page) for page in found)
    assert len({page.count("\n") > 1 for page in found}) == 2


def test_code_parses():
    for page in pages(write_code):
        assert len(ast.parse(page).body) >= 10
    with pytest.raises(SyntaxError):
        ast.parse(pages(write_code, 1)[0].replace("(", "", 1))


def test_prose_is_made_of_sentences():
    for page in pages(write_prose):
        assert all(re.fullmatch(r"([A-Z][a-z, ]+\. ?)+", line) for line in page.strip().split("\n\n"))


def test_every_sum_is_right():
    lines = [line for page in pages(write_arithmetic) for line in page.splitlines()]
    assert len(lines) == 4000
    assert all(is_true(line) for line in lines)


def is_true(line):
    """Whether a line of arithmetic is right."""
    line = re.sub(r" plus ", " + ", re.sub(r" minus ", " - ", line)).replace(" is ", " = ")
    if given := re.fullmatch(r"x = (\d+); (.*)", line):
        line = given[2].replace("x", given[1])
    left, sign, right = re.fullmatch(r"(.*) ([=<>]) (.*)", line).groups()
    assert re.fullmatch(r"[\d .+*/()-]+", left)
    gap = eval(left) - float(right)
    return {"=": abs(gap) < 1e-9, "<": gap < 0, ">": gap > 0}[sign]


def test_a_wrong_line_is_noticed():
    assert is_true("2 + 2 = 4")
    assert not is_true("2 + 2 = 5")
    assert not is_true("3 plus 2 is 6")
    assert not is_true("3 < 2")
