"""`check` meets every kind of answer with one helpful verdict and never with a traceback."""

import asyncio
import functools
import json
import re
import signal
import sys
import threading
import time
import warnings

import numpy as np
import pytest

from moe_lessons import routing
from moe_lessons.checks import attempt, check, progress, questions
from moe_lessons.checks import engine as engine_module
from moe_lessons.checks.engine import PRINTED_CHARACTERS, Status
from moe_lessons.checks.verdicts import Verdict
from moe_lessons.routing import router_logits as imported_logits


def right(x, weight, bias):
    return x @ weight.T + bias


def stub(x, weight, bias):
    raise NotImplementedError


def uses_the_reference(x, weight, bias):
    return routing.router_logits(x, weight.T) + bias


def uses_the_trace(x, weight, bias):
    return routing.route(x, weight.T, 1).logits + bias


def imports_the_reference(x, weight, bias):
    from moe_lessons.routing import router_logits as imported

    return imported(x, weight.T) + bias


def loops(x, weight, bias):
    while True:
        pass


def loops_and_swallows(x, weight, bias):
    while True:
        try:  # noqa: SIM105
            sum(range(10))
        except:  # noqa: E722
            pass


def sleeps_and_swallows(x, weight, bias):
    while True:
        try:
            time.sleep(1)
        except BaseException:
            continue


def calls_by_its_own_name(x, weight, bias):
    return imported_logits(x, weight.T) + bias


def hides_the_reference(x, weight, bias):
    try:
        return routing.router_logits(x, weight.T) + bias
    except Exception:
        return x @ weight.T + bias


def recurses(x, weight, bias):
    return recurses(x, weight, bias)


def cancels(x, weight, bias):
    raise asyncio.CancelledError


def library_stub(x, weight, bias):
    raise NotImplementedError("a library's")


def changes_its_input(x, weight, bias):
    weight *= 2
    return x @ weight.T / 2 + bias


def output(capsys, *arguments, **settings):
    result = check(*arguments, **settings)
    printed = capsys.readouterr().out
    assert "Traceback" not in printed
    assert len(printed.splitlines()) < 20
    return result, printed


@pytest.mark.parametrize("answer", [..., stub], ids=["ellipsis", "stub"])
def test_untouched_is_one_calm_line_and_no_attempt(capsys, answer):
    result, printed = output(capsys, "1.1", answer)
    assert result.status == Status.NOT_ATTEMPTED
    assert printed == "· 1.1: not attempted yet\n"
    assert "1.1 · (0)" in repr(progress())


def test_no_answer_at_all_and_a_dict_of_dots_are_untouched(capsys):
    assert output(capsys, "1.1")[0].status == Status.NOT_ATTEMPTED
    assert output(capsys, "1.5", {"factor": ..., "p3 / p2": ...})[0].status == Status.NOT_ATTEMPTED


def test_correct_gives_the_points(capsys):
    result, printed = output(capsys, "1.1", right)
    assert (result.status, result.points) == (Status.CORRECT, 1)
    assert printed.startswith("✓ 1.1: correct\n")
    assert "1 of 1 points" in printed


def test_a_number_as_id_is_understood(capsys):
    assert output(capsys, 1.1, right)[0].status == Status.CORRECT


@pytest.mark.parametrize("unknown", ["1.9", "x", "", None, "logits"])
def test_unknown_question_lists_near_ones(capsys, unknown):
    result, printed = output(capsys, unknown, right)
    assert result.status == Status.UNKNOWN
    assert "1.1" in printed


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (3.0, "Expected the function my_logits(x, weight, bias), not called: came a number"),
        (np.zeros(3), "came an array of shape (3,)"),
        (None, "came None"),
        (lambda x: x, "yours is my_logits(x)"),
        (lambda a, b: a, "yours is my_logits(a, b)"),
        (dict, "came the class dict"),
        (routing.router_logits, "This is the course's `router_logits`"),
        (functools.partial(routing.router_logits), "This is the course's `router_logits`"),
        (
            functools.wraps(uses_the_reference)(lambda x, weight, bias: uses_the_reference(x, weight, bias)),
            "the course's `router_logits`",
        ),
        (calls_by_its_own_name, "uses the course's `router_logits`"),
        (hides_the_reference, "uses the course's `router_logits`"),
        (uses_the_reference, "uses the course's `router_logits`"),
        (uses_the_trace, "uses the course's `route`"),
        (imports_the_reference, "uses the course's `router_logits`"),
        (lambda x, weight, bias: None, "came None (is a `return` missing?)"),
        (lambda x, weight, bias: [1, "a"], "came a list of 2"),
        (lambda x, weight, bias: x[:1], "came an array of shape (1,)"),
        (lambda x, weight, bias: (x @ weight.T + bias).astype(int), "was something rounded"),
        (lambda x, weight, bias: x @ weight.T + bias + 0j, "dtype complex128, which is not real numbers"),
        (lambda x, weight, bias: (i for i in x), "came an object of type generator"),
        (lambda x, weight, bias: (x @ weight.T + bias) > 0, "came"),
    ],
)
def test_answers_that_do_not_fit_get_a_sentence(capsys, answer, words):
    result, printed = output(capsys, "1.1", answer)
    assert result.status == Status.NOT_YET
    assert words in printed
    assert "Attempt 1" in printed


def test_the_reference_works_again_after_the_check():
    before = routing.router_logits
    check("1.1", uses_the_reference)
    assert routing.router_logits is before
    assert uses_the_reference(np.ones(2), np.ones((3, 2)), np.zeros(3)).shape == (3,)


def test_a_list_with_the_right_numbers_is_right(capsys):
    answer = lambda x, weight, bias: (x @ weight.T + bias).tolist()  # noqa: E731
    assert output(capsys, "1.1", answer)[0].status == Status.CORRECT


def test_what_the_answer_raises_is_shown_with_its_own_line(capsys):
    def answer(x, weight, bias):
        scores = x @ weight
        return scores

    result, printed = output(capsys, "1.1", answer)
    assert result.status == Status.RAISED
    assert "in answer: scores = x @ weight" in printed
    assert "ValueError: matmul" in printed
    assert "x: an array of shape (2,), float64" in printed
    assert "before raised nothing" not in printed
    assert "a row for each expert" in printed


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (recurses, "RecursionError"),
        (lambda x, weight, bias: sys.exit(3), "SystemExit: 3"),
        (cancels, "CancelledError"),
        (library_stub, "NotImplementedError: a library's"),
        (lambda x, weight, bias: missing, "NameError: name 'missing'"),  # noqa: F821
        (lambda x, weight, bias: int("x" * 5000), "ValueError"),
    ],
)
def test_every_way_to_fail_is_caught(capsys, answer, words):
    result, printed = output(capsys, "1.1", answer)
    assert result.status == Status.RAISED
    assert words in printed


def test_an_error_that_cannot_be_written_and_an_odd_signature_are_no_faults_of_the_course(capsys):
    class Unwritable(Exception):
        def __str__(self):
            raise ValueError

    class Odd:
        __signature__ = property(lambda self: 1 / 0)

        def __call__(self, x, weight, bias):
            raise Unwritable

    result, printed = output(capsys, "1.1", Odd())
    assert result.status == Status.RAISED
    assert "Unwritable" in printed


def test_a_reply_with_too_few_values_is_no_right_answer():
    """The grader's worker is in the learner's hands: only there can a reply be cut short."""
    question = questions()["1.1"]
    data = question.draw(np.random.default_rng(0))
    assert not question.judge(data, {"values": [], "changed": []}).correct
    assert question.judge(data, {"values": [right(*case) for case in data["cases"]], "changed": []}).correct


@pytest.mark.slow
@pytest.mark.parametrize("answer", [loops, loops_and_swallows, sleeps_and_swallows])
def test_an_endless_loop_is_stopped(capsys, monkeypatch, answer):
    monkeypatch.setitem(questions(), "1.1", short_of_time("1.1"))
    result, printed = output(capsys, "1.1", answer)
    assert result.status == Status.NOT_YET
    assert "Stopped after 0.3 seconds" in printed
    assert f"in {answer.__name__}" in printed


def test_an_alarm_that_rings_again_on_the_way_out_still_names_the_line():
    """The last alarm rang in the course's own lines, and only the one before it in the learner's."""
    late = attempt.OutOfTime()
    try:
        stub(None, None, None)
    except NotImplementedError as first:
        late.__context__ = first
    assert attempt._learner_line(late).endswith("of its cell, in stub: raise NotImplementedError")
    assert attempt._learner_line(attempt.OutOfTime()) == ""


def test_an_endless_loop_is_stopped_outside_the_main_thread_too(capsys, monkeypatch):
    monkeypatch.setitem(questions(), "1.1", short_of_time("1.1"))
    results = []
    thread = threading.Thread(target=lambda: results.append(check("1.1", loops)))
    thread.start()
    thread.join(timeout=20)
    assert results[0].status == Status.NOT_YET


def short_of_time(question_id):
    import dataclasses

    return dataclasses.replace(questions()[question_id], seconds=0.3)


def test_the_learners_own_interrupt_passes_through():
    def answer(x, weight, bias):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check("1.1", answer)


def test_printing_is_kept_short(capsys):
    def answer(x, weight, bias):
        for i in range(20_000):
            print("line", i)
        print("on stderr", file=sys.stderr)
        return x @ weight.T + bias

    result, printed = output(capsys, "1.1", answer)
    assert result.status == Status.CORRECT
    assert "| line 9" in printed
    assert "line 10\n" not in printed
    assert "... and more" in printed


def test_an_error_inside_a_library_is_shown_with_the_learners_own_line(capsys):
    def answer(x, weight, bias):
        return json.loads("{")

    printed = output(capsys, "1.1", answer)[1]
    assert 'in answer: return json.loads("{")' in printed
    assert "JSONDecodeError" in printed


def test_of_one_long_line_it_is_said_that_there_is_more(capsys):
    def answer(x, weight, bias):
        print("z" * 3 * PRINTED_CHARACTERS)
        sys.stdout.seek(3 * PRINTED_CHARACTERS)
        print("z" * 3 * PRINTED_CHARACTERS)
        return x @ weight.T + bias

    printed = output(capsys, "1.1", answer)[1]
    assert printed.count("z") == PRINTED_CHARACTERS
    assert "... and more" in printed


def test_a_warning_on_the_way_to_a_verdict_is_the_courses_own(capsys, monkeypatch):
    def judge(*_):
        warnings.warn("of the judge's", stacklevel=1)
        return Verdict(True)

    monkeypatch.setattr(type(questions()["1.1"]), "judge", judge)
    result, printed = output(capsys, "1.1", right)
    assert result.status == Status.CORRECT
    assert "of the judge's" not in printed


def test_a_changed_input_is_remarked_on_beside_a_right_answer(capsys):
    result, printed = output(capsys, "1.1", changes_its_input)
    assert result.status == Status.CORRECT
    assert "changes its input weight in place" in printed
    assert "in place" not in output(capsys, "1.1", right)[1]

    def spoils_it(x, weight, bias):
        weight *= 2
        return x @ weight.T + bias

    assert "changes its input weight in place" in output(capsys, "1.1", spoils_it)[1]


def test_the_printed_seed_repeats_the_same_inputs(capsys):
    wrong = lambda x, weight, bias: 3 * (x @ weight.T + bias)  # noqa: E731
    result, first = output(capsys, "1.1", wrong)
    assert f"seed={result.seed}" in first
    again = output(capsys, "1.1", wrong, seed=result.seed)[1]
    assert again.splitlines()[1:3] == first.splitlines()[1:3]
    assert output(capsys, "1.1", wrong)[1].splitlines()[1:3] != first.splitlines()[1:3]


def test_a_fault_of_the_course_is_owned_and_not_counted(capsys, monkeypatch):
    monkeypatch.setattr(type(questions()["1.1"]), "judge", lambda *_: 1 / 0)
    result, printed = output(capsys, "1.1", right)
    assert result.status == Status.FAULT
    assert "A fault of the course, not yours" in printed
    assert "1.1 · (0)" in repr(progress())


def test_unwritable_progress_still_gives_the_verdict(capsys, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(engine_module.records, "write_atomically", full)
    result, printed = output(capsys, "1.1", right)
    assert result.status == Status.CORRECT
    assert "could not be saved" in printed
    assert "No space left" in printed


def test_a_notebook_shows_nothing_twice():
    assert check("1.1", right)._ipython_display_() is None


def test_an_answer_for_single_tokens_only_is_told_that_those_went_well(capsys):
    result, printed = output(
        capsys, "1.1", lambda x, weight, bias: np.array([x @ row for row in weight]) + [0] * len(x.shape)
    )
    assert result.status == Status.RAISED
    result, printed = output(capsys, "1.1", lambda x, weight, bias: weight @ x + bias)
    assert result.status == Status.RAISED
    assert "(2 before raised nothing)" in printed
    assert "wrong already" not in printed


def test_a_missing_key_and_text_for_numbers_are_named(capsys):
    printed = output(capsys, "1.5", {"fact": 1, "p3 / p2": 9, "selected for -x": [3, 1], "p3 / p2 for x/2": 1})[1]
    assert "The key 'factor' is missing; yours are 'fact', " in printed
    assert "came a piece of text" in output(capsys, "1.5", {"factor": "9.987"})[1]
    assert "came still ..." in output(capsys, "1.5", {"factor": 9.987, "p3 / p2": ...})[1]


def test_the_courses_softmax_is_a_mistake_of_1_1_not_its_answer(capsys):
    assert (
        output(capsys, "1.1", lambda x, weight, bias: routing.softmax(x @ weight.T + bias))[0].mistake
        == "probabilities"
    )


def test_a_check_inside_an_answer_is_refused_and_leaves_the_deadline_alone(capsys, monkeypatch):
    monkeypatch.setitem(questions(), "1.1", short_of_time("1.1"))
    before = signal.getsignal(signal.SIGINT)

    def answer(x, weight, bias):
        check("1.4", [1.0, 1.0])
        while True:
            pass

    printed = output(capsys, "1.1", answer)[1]
    assert "Stopped after" in printed
    assert "not inside an answer" in printed
    assert signal.getsignal(signal.SIGINT) is before
    assert check("1.1", right).status == Status.CORRECT


def test_closing_stdout_does_no_harm(capsys):
    def answer(x, weight, bias):
        sys.stdout.close()
        print("after closing")
        return x @ weight.T + bias

    result, printed = output(capsys, "1.1", answer)
    assert result.status == Status.CORRECT
    assert "after closing" in printed


def test_huge_numbers_stay_on_one_short_line(capsys):
    printed = output(capsys, "1.1", lambda x, weight, bias: (x @ weight.T + bias) * 1e300)[1]
    assert max(map(len, printed.splitlines())) < 200


def test_numbers_that_look_alike_are_told_apart(capsys):
    wrong = lambda x, weight, bias: x @ weight.T + bias + 4e-5  # noqa: E731
    line = next(line for line in output(capsys, "1.1", wrong, seed=3)[1].splitlines() if "expected [" in line)
    expected, came = (re.findall(r"-?[\d.]+", part) for part in line.partition(";")[0].split(", came "))
    assert len(expected) == len(came)
    assert not set(expected) & set(came)


def test_a_seed_is_offered_only_where_inputs_are_drawn(capsys):
    assert "seed=" in output(capsys, "1.1", lambda x, weight, bias: x)[1]
    assert "seed=" not in output(capsys, "1.4", [1.0, 1.0])[1]


def test_of_a_large_array_the_first_wrong_row_is_shown(capsys):
    def answer(x, weight, bias):
        h = x @ weight.T + bias
        if h.ndim > 1:
            h[-1] += 1
        return h

    assert "in [2] expected [" in output(capsys, "1.1", answer, seed=0)[1]
