"""Generated text for lesson 11: JSON and arithmetic, and prose and Python where the standard library has too little."""

import json
import keyword
import random
import re
from collections.abc import Callable

from moe_lessons.support.validation import one_of


def word_list(text: str) -> tuple[str, ...]:
    """Return the words of a list that is written as text."""
    return tuple(text.split())


_NOUNS = word_list("""
answer author book branch bridge call change city class client colour cost day door engine error event farm field  file
forest garden group hand harbour hour house idea island key lamp letter level library light line list market  method
minute mountain name number object order page paper part pattern place plan point price question reader  reason record
result river road room rule school sentence server shape ship signal size song source station step  stone story street
string summer table teacher test thing time title tool train tree type user valley value village  visitor voice wall
watch water week window winter word worker year
""")
_VERBS = word_list("""
adds builds calls checks counts finds follows gives holds keeps leaves loads makes opens reads returns sees sends
""")
_ADJECTIVES = word_list("""
bright busy cold common deep empty fast first full good large late long new old open plain quiet short small
""")
_SENTENCES = (
    "The {a} {n} {v} the {n} of the {n}.",
    "When the {n} is {a}, it {v} a {n} from the {n}.",
    "This {n} {v} every {n} that is in the {n}, but not the {a} {n}.",
    "If a {n} has no {n}, then the {n} {v} the {a} {n} and the {n}.",
    "It is not {a}, because the {n} {v} its {n} before the {n}.",
    "You should use a {a} {n} for the {n} when there is no {n} with a {n}.",
    "There is a {n} between the {n} and the {a} {n}, which {v} them both.",
)
_FUNCTIONS = (
    "def {n}_{m}({p}, {q}={d}):\n    if {p} is None:\n        return {q}\n    {m} = {p}({d})\n    return {m} + {q}\n\n",
    "def {n}_{m}({p}):\n    # {p} of {n}\n    for {q} in range({d}):\n        {p}.append({q})\n    return {p}\n\n",
    "class {N}{M}:\n    def __init__(self, {p}, {q}):\n        self.{p} = {p}\n        self.{q} = {q} or '{m} {d}'\n\n",
    "{n}_{m} = [{p} for {p} in {q}_{n} if {p} != {d}]\nassert len({n}_{m}) < {d}, '{p} and {q}'\n\n",
    "try:\n    {n} = open({p}_{q}, 'rb')\nexcept OSError as {m}:\n    raise ValueError('no {p} in {q}') from {m}\n\n",
)


def write_prose(rng: random.Random) -> list[str]:
    """Return the paragraphs of one page of generated English: grammatical, without a meaning."""
    return [" ".join(_sentence(rng) for _ in range(rng.randint(2, 6))) + "\n\n" for _ in range(rng.randint(8, 20))]


def _sentence(rng: random.Random) -> str:
    """Return one sentence with random words in it."""
    words = {"n": _NOUNS, "v": _VERBS, "a": _ADJECTIVES}
    return re.sub(r"\{(\w)\}", lambda slot: rng.choice(words[slot[1]]), rng.choice(_SENTENCES))


def write_code(rng: random.Random) -> list[str]:
    """Return the statements of one generated module: valid Python, without a purpose."""
    return [_statement(rng) for _ in range(rng.randint(10, 30))]


def _statement(rng: random.Random) -> str:
    """Return one function, class or statement with random names in it."""
    n, m, p, q = rng.sample([noun for noun in _NOUNS if not keyword.iskeyword(noun)], 4)
    names = {"n": n, "m": m, "p": p, "q": q, "d": rng.randint(0, 999), "N": n.title(), "M": m.title()}
    return rng.choice(_FUNCTIONS).format(**names)


def write_json(rng: random.Random) -> list[str]:
    """Return one generated JSON file as its lines: records of the same form, with the layout drawn for each file."""
    form = {key: rng.choice(_VALUES) for key in rng.sample(_NOUNS, rng.randint(3, 7))}
    records = [_record(form, rng) for _ in range(rng.randint(6, 25))]
    layout = rng.choice(({"indent": 2}, {"indent": 4}, {}, {"separators": (",", ":")}))
    content = {rng.choice(_NOUNS) + "s": records} if rng.random() < 0.5 else records
    text = json.dumps(content, **layout)
    return [line + "\n" for line in text.split("\n")]


def _record(form: dict[str, str], rng: random.Random) -> dict[str, object]:
    """Return one record: each key of the form with a value of its kind, now and then null or left out."""
    present = [key for key in form if rng.random() < 0.95]
    return {key: None if rng.random() < 0.05 else _value(form[key], rng) for key in present}


_VALUES = ("whole", "decimal", "flag", "word", "phrase", "identifier", "date", "list", "record")


def _value(kind: str, rng: random.Random) -> object:
    """Return a random value of one of the kinds in _VALUES."""
    one_of("kind", kind, _VALUES)
    if kind == "list":
        return [_value(rng.choice(("whole", "word")), rng) for _ in range(rng.randint(0, 5))]
    if kind == "record":
        return {key: _value(rng.choice(_VALUES[:7]), rng) for key in rng.sample(_NOUNS, rng.randint(1, 3))}
    simple: dict[str, Callable[[], object]] = {
        "whole": lambda: rng.randint(0, 10 ** rng.randint(1, 5)),
        "decimal": lambda: round(rng.uniform(-100, 100), rng.randint(1, 3)),
        "flag": lambda: rng.random() < 0.5,
        "word": lambda: rng.choice(_NOUNS),
        "phrase": lambda: f"the {rng.choice(_ADJECTIVES)} {rng.choice(_NOUNS)} of the {rng.choice(_NOUNS)}",
        "identifier": lambda: f"{rng.choice(_NOUNS)}_{rng.randint(0, 999)}",
        "date": lambda: f"{rng.randint(1990, 2030)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}",
    }
    return simple[kind]()


def write_arithmetic(rng: random.Random) -> list[str]:
    """Return one generated page of calculations, a line each; every page has kinds and sizes of its own."""
    kinds, largest = rng.sample(_CALCULATIONS, 4), rng.choice((9, 20, 99, 999))
    return [rng.choice(kinds)(rng.randint(1, largest), rng.randint(1, largest), rng) + "\n" for _ in range(100)]


_CALCULATIONS: tuple[Callable[[int, int, random.Random], str], ...] = (
    lambda a, b, rng: f"{a} + {b} = {a + b}",
    lambda a, b, rng: f"{a} - {b} = {a - b}",
    lambda a, b, rng: f"{a} * {b} = {a * b}",
    lambda a, b, rng: f"{a * b} / {b} = {a}",
    lambda a, b, rng: f"{a} {'<' if a < b else '>' if a > b else '='} {b}",
    lambda a, b, rng: f"({a} + {b}) * 2 = {2 * (a + b)}",
    lambda a, b, rng: f"{a / 10} + {b / 10} = {(a + b) / 10}",
    lambda a, b, rng: f"{a} plus {b} is {a + b}",
    lambda a, b, rng: f"{max(a, b)} minus {min(a, b)} is {max(a, b) - min(a, b)}",
    lambda a, b, rng: f"x = {a}; x + {b} = {a + b}",
    lambda a, b, rng: f"{a} + {b} + {rng.randint(1, 9)} > {a + b}",
)
