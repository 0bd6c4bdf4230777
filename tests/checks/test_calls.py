"""How a learner's function is called: with a helper that takes notes, with tensors, with gradients of what comes."""

import numpy as np
import pytest
import torch

from moe_lessons.checks.calls import (
    AnswerRaised,
    Called,
    SeededGenerator,
    called_with_help,
    called_with_tensors,
    differentiated,
    each_called,
    lent,
)

W, K = np.float32([[1.0, 2.0], [3.0, 4.0]]), 2


def test_a_helper_makes_the_last_argument_and_takes_notes():
    used = called_with_help(lambda n, rng: rng.normal(size=n), ("n", "rng"), (3, 7), SeededGenerator)
    assert used.value.tolist() == np.random.default_rng(7).normal(size=3).tolist()
    assert used.noted is True
    assert called_with_help(lambda n, rng: n, ("n", "rng"), (3, 7), SeededGenerator).noted is False
    assert SeededGenerator.written("rng", 7) == "rng = np.random.default_rng(7)"


def test_a_lent_function_hands_back_the_very_array_that_it_does_not_change():
    x = np.array([1.0, 2.0])
    same, doubled = lent(lambda index, given: (1 + index) * given, 2, as_given=True)
    assert same(x) is x
    assert doubled(x) is not x
    assert isinstance(same(torch.tensor(x)), torch.Tensor)
    assert same([1.0, 2.0]).tolist() == [1.0, 2.0]


def test_named_arguments_come_as_tensors_and_changes_are_seen():
    def answer(W, k):
        assert isinstance(W, torch.Tensor)
        assert isinstance(k, int)
        W += 1
        return W * k

    called = called_with_tensors(answer, ("W", "k"), (W.copy(), K), ("W",))
    assert called.value.tolist() == [[4.0, 6.0], [8.0, 10.0]]
    assert called.changed == ["W"]


def test_a_number_is_differentiated_and_an_array_along_what_the_case_holds_beyond_the_parameters():
    number = differentiated(lambda W, k: (k * W).sum()[None], ("W", "k"), (W, K), ("W",))
    assert [part.tolist() for part in number.value] == [20.0, [[2.0, 2.0], [2.0, 2.0]]]
    array = differentiated(lambda W, k: W[:, 0], ("W", "k"), (W, K, np.float32([1, 5])), ("W",))
    assert array.value[1].tolist() == [[1.0, 0.0], [5.0, 0.0]]
    assert (number.noted, array.noted) == (True, True)


@pytest.mark.parametrize(
    ("answer", "gradient", "noted"),
    [
        (lambda W, k: W.detach().sum(), [[0, 0], [0, 0]], False),
        (lambda W, k: W, [[0, 0], [0, 0]], True),  # no number
        (lambda W, k: torch.tensor(3.0, requires_grad=True), [[0, 0], [0, 0]], True),  # of something else
        (lambda W, k: 3.0, None, False),
        (lambda W, k: None, None, False),
    ],
)
def test_where_no_gradient_arrives_it_is_0_and_where_no_tensor_came_it_is_none(answer, gradient, noted):
    called = differentiated(answer, ("W", "k"), (W, K), ("W",))
    found = called.value[1]
    assert (None if found is None else found.tolist()) == gradient
    assert called.noted is noted


@pytest.mark.parametrize("answer", [lambda W, k: 1 / 0, lambda W, k: W.sum().mul_(W.exp().sum()).sqrt_().log_() + W.x])
def test_an_error_says_what_the_function_was_called_with(answer):
    with pytest.raises(AnswerRaised, match=r"^W: a tensor of shape \(2, 2\), k = 2$"):
        differentiated(answer, ("W", "k"), (W, K), ("W",))


def test_an_error_in_a_later_call_says_what_came_before():
    def call(case):
        if case[0] == 3:
            raise AnswerRaised("x = 3") from ValueError()
        return Called(case[0], [])

    with pytest.raises(AnswerRaised, match=r"x = 3 \(2 before raised nothing\)") as raised:
        each_called(call, [(1,), (2,), (3,)])
    assert [called.value for called in raised.value.before] == [1, 2]
    with pytest.raises(AnswerRaised, match=r"x = 3$"):
        each_called(call, [(3,)])


def test_quiet_calls_overflow_in_silence():
    (called,) = each_called(lambda case: Called(np.exp(case[0]), []), [(np.array([1e4]),)], quiet=True)
    assert np.isinf(called.value).all()
    with pytest.warns(RuntimeWarning, match="overflow"):
        each_called(lambda case: Called(np.exp(case[0]), []), [(np.array([1e4]),)])
