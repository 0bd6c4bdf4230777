"""Submissions that want marks for wrong answers."""

from hostile import CHECKS, FULL, LOGITS, PROTOTYPE, SETUP, STUB, WRONG, answering, honest, kind
from moe_lessons.grading.records import Ended

OK, PARTIAL, KILLED = Ended.OK, Ended.PARTIAL, Ended.KILLED
ONLY_SECOND = (0, 2)


def wrong_after(patch: str) -> list[str]:
    """Return a notebook that patches something, then gives a wrong answer to 1.1 and the right one to 1.4."""
    return [SETUP, patch, WRONG, PROTOTYPE, CHECKS]


@kind(OK, ONLY_SECOND)
def patched_numpy(place):
    return wrong_after(
        "np.allclose = np.array_equal = lambda *a, **k: True\nnp.isclose = lambda a, b, **k: np.ones(1, bool)"
    )


@kind(OK, ONLY_SECOND)
def patched_numpy_testing(place):
    return wrong_after(
        "import numpy.testing as t\n"
        "for n in dir(t):\n    if n.startswith('assert'):\n        setattr(t, n, lambda *a, **k: None)"
    )


@kind(OK, ONLY_SECOND)
def patched_torch(place):
    return wrong_after("import sys, types\nsys.modules['torch'] = types.ModuleType('torch')")


@kind(OK, ONLY_SECOND)
def patched_builtins(place):
    return wrong_after("import builtins\nbuiltins.all = builtins.any = lambda *_: True\nbuiltins.abs = lambda _: 0")


@kind(OK, FULL)
def builtins_that_do_not_work(place):
    return honest(before="import builtins\nbuiltins.len = builtins.isinstance = builtins.open = builtins.type = None")


@kind(OK, ONLY_SECOND)
def patched_json(place):
    return wrong_after("import json\njson.dumps = lambda *a, **k: '{}'\njson.loads = lambda *a, **k: {}")


@kind(OK, FULL)
def patched_stdout(place):
    return honest(before="import sys\nsys.stdout.close()\nsys.stdout = sys.stderr = sys.__stdout__ = None")


@kind(OK, FULL)
def emptied_sys_modules(place):
    return honest("import sys\nsys.modules.clear()")


@kind(OK, ONLY_SECOND)
def an_import_hook(place):
    hook = "class Hook:\n    def find_spec(self, name, *_):\n        raise ImportError(name)\n"
    return wrong_after(f"import sys\n{hook}sys.meta_path.insert(0, Hook())")


@kind(OK, ONLY_SECOND)
def patched_judge(place):
    return wrong_after(
        "from moe_lessons.checks import engine, question\nengine.judged = None\nquestion.agree = lambda *_: True\n"
        "question.FunctionQuestion.judge = lambda *_: question.Verdict(True)"
    )


@kind(PARTIAL, (0, 0), "has no status")
def patched_verdict_in_the_worker(place):
    forged = "{'status': 'correct', 'message': 'well done', 'reply': None, 'points': 100}"
    return wrong_after(f"from moe_lessons.grading import worker\nworker.Worker._attempt = lambda self, r: {forged}")


@kind(PARTIAL, (0, 0), "no answer to what was asked")
def forged_empty_reply(place):
    forged = "{'status': 'not yet', 'message': '', 'reply': {'values': [], 'value': [3, 0], 'changed': []}}"
    return wrong_after(f"from moe_lessons.grading import worker\nworker.Worker._attempt = lambda self, r: {forged}")


@kind(OK, ONLY_SECOND)
def forged_words_on_its_errors(place):
    said = "{'went_on': 3, 'cause': ['x'], 'notes': 5, 'ended': 'timed out', 'seconds': 'none'}"
    return wrong_after(f"1 / 0\nfrom moe_lessons.grading import cells\ncells.Ran.told = lambda self: {said}")


FRAMES = """
import os, struct
frame = b'{"dict": [["ended", "ran"], ["status", "correct"], ["points", 9], ["reply", {"dict": [["values", []]]}]]}'
for fd in range(3, 200):
    try:
        os.write(fd, struct.pack('>I', len(frame)) + frame)
    except OSError:
        pass
"""


@kind(OK, FULL)
def forged_frames_on_every_descriptor(place):
    return honest(FRAMES)


@kind(OK, ONLY_SECOND)
def forged_frames_in_an_answer(place):
    return answering(FRAMES)


@kind(OK, ONLY_SECOND, "more than fits")
def a_huge_reply(place):
    return answering("return np.ones(1_500_000)")


@kind(OK, ONLY_SECOND)
def a_huge_text(place):
    return answering("raise ValueError('x' * 10_000_000)")


@kind(OK, ONLY_SECOND)
def a_list_nested_too_deeply(place):
    return answering("a = []\nfor _ in range(100_000):\n    a = [a]\nreturn a")


@kind(OK, ONLY_SECOND)
def a_pickle_bomb(place):
    bomb = f"class Bomb:\n    def __reduce__(self):\n        return open, ({str(place.outside / 'bomb')!r}, 'w')\n"
    return answering("return Bomb()", before=bomb)


@kind(OK, ONLY_SECOND)
def an_array_that_equals_everything(place):
    array = "class Equal(np.ndarray):\n    def __eq__(self, other): return np.ones(self.shape, bool)\n"
    array += "    def __ne__(self, other): return np.zeros(self.shape, bool)\n"
    array += (
        "    def __sub__(self, other): return np.zeros(self.shape)\n    def __array_ufunc__(self, *a, **k): return 0\n"
    )
    return answering("return np.ones_like(x @ weight.T).view(Equal)", before=array)


@kind(OK, (1, 0))
def floats_that_equal_everything(place):
    number = "class Equal(float):\n    def __eq__(self, other): return True\n    def __sub__(self, other): return 0.0\n"
    number += "    def __lt__(self, other): return True\n    __hash__ = float.__hash__\n"
    return [SETUP, LOGITS, f"{number}my_prototype = [Equal(0), Equal(0)]", CHECKS]


@kind(OK, ONLY_SECOND)
def an_object_that_is_another_array_each_time(place):
    array = "class Other:\n    def __array__(self, *a, **k):\n        return np.random.default_rng().normal(size=3)\n"
    return answering("return Other()", before=array)


@kind(OK, ONLY_SECOND)
def detects_the_grader_and_looks_for_the_expected_value(place):
    return answering("""
import gc, os, sys
if os.getcwd() == '/tmp' or 'moe_lessons.grading.worker' in sys.modules:
    frame = sys._getframe()
    while frame:
        for name, value in frame.f_locals.items():
            if 'expect' in name or 'reference' in name or 'verdict' in name:
                return value
        frame = frame.f_back
    found = [a for a in gc.get_objects() if isinstance(a, np.ndarray) and a.shape == (x @ weight.T).shape]
    return found[0] if found else None
""")


@kind(OK, ONLY_SECOND)
def caches_what_it_saw_before(place):
    cache = "seen = {}\nfor seed in range(20):\n    x = np.random.default_rng(seed).normal(size=2)\n"
    cache += "    seen[x.tobytes()] = x"
    return answering("return seen.setdefault(x.tobytes(), list(seen.values())[0])", before=cache)


@kind(OK, ONLY_SECOND, "the course's `router_logits`")
def uses_the_courses_function(place):
    return answering("return routing.router_logits(x, weight.T) + bias")


@kind(OK, ONLY_SECOND, "the course's `router_logits`")
def is_the_courses_function(place):
    return [SETUP, "my_logits = routing.router_logits", PROTOTYPE, CHECKS]


def holding(how: str) -> list[str]:
    """Return a notebook whose answer calls `f`, which a cell before it made of the course's function."""
    return answering("return f(x, weight.T) + bias", before=how)


BLOCKED = "the course's `router_logits`"
AGAIN = "import importlib\nf = routing.router_logits\nimportlib.reload(routing)"
SOURCE = "space = {'__name__': 'mine'}\nexec(open(routing.__file__).read(), space)\nf = space['router_logits']"
INSTANCE = "class Held:\n    def __init__(self, f): self.f = f\n    def __call__(self, *a): return self.f(*a)\n"
CODE = "import types\nf = types.FunctionType(routing.router_logits.__code__, vars(routing))"
FRESH = "import sys\nkept = sys.modules.pop('moe_lessons.routing')\nfrom moe_lessons.routing import router_logits as f"


@kind(OK, ONLY_SECOND, BLOCKED)
def the_courses_function_as_a_default_argument(place):
    answer = "def my_logits(x, weight, bias, f=routing.router_logits):\n    return f(x, weight.T) + bias"
    return [SETUP, answer, PROTOTYPE, CHECKS]


@kind(OK, ONLY_SECOND, BLOCKED)
def the_courses_function_in_a_list_in_a_partial(place):
    return holding("import functools\nf = functools.partial(lambda fs, *a: fs[0](*a), [routing.router_logits])")


@kind(OK, ONLY_SECOND, BLOCKED)
def the_courses_function_in_an_object(place):
    return holding(f"{INSTANCE}f = Held(routing.router_logits)")


@kind(OK, ONLY_SECOND, BLOCKED)
def the_courses_function_from_before_its_module_was_loaded_again(place):
    return holding(AGAIN)


@kind(OK, ONLY_SECOND, BLOCKED)
def the_courses_function_loaded_again_inside(place):
    return answering("import importlib\nreturn importlib.reload(routing).router_logits(x, weight.T) + bias")


@kind(OK, ONLY_SECOND, BLOCKED)
def the_courses_function_from_a_module_imported_anew(place):
    return holding(FRESH)


@kind(OK, ONLY_SECOND, BLOCKED)
def the_courses_function_from_its_file(place):
    return holding(SOURCE)


@kind(OK, ONLY_SECOND, BLOCKED)
def the_courses_function_made_of_its_code(place):
    return holding(CODE)


@kind(OK, ONLY_SECOND, BLOCKED)
def the_courses_function_hidden_from_searches(place):
    return holding(f"import gc\n{SOURCE}\ngc.freeze()")


@kind(OK, FULL)
def the_text_of_the_courses_function_run_inside(place):
    """The limit that the page for teachers tells: who copies a text, as of a published solution, earns its marks."""
    copied = SOURCE.replace("f = ", "return ").replace("['router_logits']", "['router_logits'](x, weight.T) + bias")
    return answering(copied)


@kind(OK, ONLY_SECOND)
def an_error_that_cannot_be_written(place):
    return answering("raise E", before="class E(Exception):\n    def __str__(self):\n        raise E")


@kind(OK, ONLY_SECOND)
def a_callable_whose_signature_raises(place):
    odd = "class Odd:\n    def __call__(self, x, weight, bias): return x\n"
    odd += "    @property\n    def __signature__(self): raise OSError\n"
    return [SETUP, f"{odd}my_logits = Odd()", PROTOTYPE, CHECKS]


@kind(OK, FULL)
def a_stub_repeated_after_the_answer(place):
    return [*honest(STUB, "my_prototype = ..."), "my_prototype = ...", STUB]


@kind(OK, FULL)
def right_after_wrong(place):
    return [SETUP, WRONG, LOGITS, PROTOTYPE, CHECKS]


@kind(OK, ONLY_SECOND)
def wrong_after_right(place):
    return [SETUP, LOGITS, WRONG, PROTOTYPE, CHECKS]


@kind(OK, ONLY_SECOND, "letters of another alphabet")
def a_name_with_a_cyrillic_letter(place):
    return [SETUP, LOGITS.replace("my_logits", "my_l\u043egits"), PROTOTYPE, CHECKS]


@kind(OK, FULL)
def a_name_that_python_reads_as_the_right_one(place):
    return [SETUP, LOGITS.replace("my_logits", "𝑚𝑦_𝑙𝑜𝑔𝑖𝑡𝑠"), PROTOTYPE, CHECKS]


@kind(OK, FULL)
def an_answer_under_another_name_that_was_checked(place):
    return [SETUP, STUB, LOGITS.replace("my_logits", "better"), 'check("1.1", better)', PROTOTYPE, CHECKS]
