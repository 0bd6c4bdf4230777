"""The trap's count finds full-size gradients however they arise, and the set's own arithmetic agrees with torch."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from moe_lessons.checks import check
from moe_lessons.checks.engine import Status
from moe_lessons.checks.set_05 import full_size_gradients
from moe_lessons.checks.set_05.q1_expert import expert_cases, gelu, silu, swiglu, tanh_gelu
from moe_lessons.checks.set_05.q2_dispatch import dispatch, exchanged_rows
from moe_lessons.checks.set_05.q3_sparse import SPARSE, RowCountingExperts, rows_fault, sparse, sparse_cases
from moe_lessons.checks.set_05.q4_trap import MOST_FULL, MOST_ROWS, loop_values, slow_cases
from moe_lessons.checks.set_05.q5_combine import combined

SEEDS = range(20)


def looped(take_1, take_2=None):
    """A layer whose weights are taken apart by functions of the whole weight."""

    def layer(rows, sizes, W1, W2):
        parts = zip(rows.split(sizes), take_1(W1), (take_2 or take_1)(W2), strict=True)
        return torch.cat([torch.relu(part @ a) @ b for part, a, b in parts])

    return layer


def each(take):
    return lambda W: [take(W, i) for i in range(len(W))]


ONE_BY_ONE = {
    "index": each(lambda W, i: W[i]),
    "slice": each(lambda W, i: W[i : i + 1].squeeze(0)),
    "select": each(lambda W, i: W.select(0, i)),
    "index_select": each(lambda W, i: W.index_select(0, torch.tensor([i]))[0]),
    "narrow": each(lambda W, i: W.narrow(0, i, 1)[0]),
    "unbind anew": each(lambda W, i: W.unbind(0)[i]),
    "list of indices": each(lambda W, i: W[[i]][0]),
    "other axes first": lambda W: [W.permute(1, 2, 0)[..., i] for i in range(len(W))],
    "other axes, once": lambda W: (lambda V: [V[..., i] for i in range(len(W))])(W.permute(1, 2, 0)),
    "a copy first": lambda W: (lambda V: [V[i] for i in range(len(W))])(1.0 * W),
}
AT_ONCE = {
    "unbind": lambda W: W.unbind(0),
    "iteration": list,
    "split": lambda W: [piece[0] for piece in W.split(1)],
    "unbind of a transpose": lambda W: [piece.T for piece in W.mT.unbind(0)],
    "a copy first": lambda W: (1.0 * W).unbind(0),
}


def counts(layer, N=12, d=4, f=6):
    torch.manual_seed(0)
    rows, W1, W2 = (torch.randn(shape, requires_grad=True) for shape in ((2 * N, d), (N, d, f), (N, f, d)))
    return full_size_gradients(layer(rows, [2] * N, W1, W2), W1, W2)


@pytest.mark.parametrize("take", ONE_BY_ONE.values(), ids=ONE_BY_ONE)
def test_taking_experts_out_one_by_one_makes_a_full_gradient_for_each(take):
    for N in (6, 12):
        assert min(counts(looped(take), N)) >= N
    assert check("5.4", looped(take), seed=0).mistake == "a full gradient per expert"


@pytest.mark.parametrize("take", AT_ONCE.values(), ids=AT_ONCE)
def test_taking_them_apart_at_once_makes_few_however_many_experts(take):
    few = counts(looped(take), 6)
    assert few == counts(looped(take), 24)
    assert max(few) <= MOST_FULL
    assert check("5.4", looped(take), seed=0).status == Status.CORRECT


def test_each_weight_has_its_own_count():
    assert counts(looped(AT_ONCE["unbind"], ONE_BY_ONE["index"])) == [1, 12]
    assert counts(looped(ONE_BY_ONE["index"], AT_ONCE["unbind"])) == [12, 1]
    assert "W1 still gets" in check("5.4", looped(ONE_BY_ONE["index"], AT_ONCE["unbind"]), seed=0).message


def test_leaving_out_empty_experts_does_not_hide_the_trap():
    def layer(rows, sizes, W1, W2):
        parts = rows.split(sizes)
        return torch.cat([torch.relu(parts[i] @ W1[i]) @ W2[i] for i, size in enumerate(sizes) if size])

    assert {check("5.4", layer, seed=seed).mistake for seed in range(5)} == {"a full gradient per expert"}


def test_a_few_copies_of_the_weights_are_no_trap_and_many_get_no_diagnosis():
    def copies(count):
        return looped(lambda W: sum(W * (1 / count) for _ in range(count)).unbind(0))

    assert check("5.4", copies(2), seed=0).status == Status.CORRECT
    several = check("5.4", copies(6), seed=0)
    assert (several.status, several.mistake) == (Status.NOT_YET, None)


def test_a_fault_that_only_one_layer_shows_is_not_given_a_name():
    def sometimes(rows, sizes, W1, W2):
        return looped(ONE_BY_ONE["index"] if len(sizes) == 12 else AT_ONCE["unbind"])(rows, sizes, W1, W2)

    result = check("5.4", sometimes, seed=0)
    assert (result.status, result.mistake) == (Status.NOT_YET, None)
    assert "N = 12: the backward made" in result.message


@pytest.mark.parametrize("seed", SEEDS)
def test_the_layers_have_the_sizes_that_the_measures_need(seed):
    for rows, sizes, W1, _, v in slow_cases(np.random.default_rng(seed)):
        N, d, f = W1.shape
        assert sizes.sum() == len(rows) == len(v) > max(N, d)
        assert sizes.min() == 0 < sizes.max() <= MOST_ROWS < min(d, f)  # a padded batch is smaller than a weight
        assert N > 2 * MOST_FULL
        assert np.count_nonzero(sizes) > MOST_FULL


def test_values_and_gradients_of_the_slow_layer_agree_with_torch():
    for case in slow_cases(np.random.default_rng(0)):
        rows, W1, W2 = (torch.tensor(case[i], requires_grad=True) for i in (0, 2, 3))
        y = looped(AT_ONCE["unbind"])(rows, case[1].tolist(), W1, W2)
        y.backward(torch.tensor(case[4]))
        expected = loop_values(*case)
        found = {"y": y.detach(), "rows": rows.grad, "W1": W1.grad, "W2": W2.grad}
        for name, value in found.items():
            np.testing.assert_allclose(expected[name], value.numpy(), atol=1e-12, err_msg=name)
        assert not np.allclose(expected["W1"], 2 * W1.grad.numpy())  # the broken control


def test_activations_and_expert_agree_with_torch():
    z = np.linspace(-6, 6, 101)
    np.testing.assert_allclose(silu(z), functional.silu(torch.tensor(z)), atol=1e-14)
    np.testing.assert_allclose(gelu(z), functional.gelu(torch.tensor(z)), atol=1e-14)
    np.testing.assert_allclose(tanh_gelu(z), functional.gelu(torch.tensor(z), approximate="tanh"), atol=1e-14)
    assert np.abs(gelu(z) - tanh_gelu(z)).max() > 1e-4
    for case in expert_cases(np.random.default_rng(0)):
        x, W1, W2, W3 = map(torch.tensor, case)
        np.testing.assert_allclose(swiglu(*case), (functional.silu(x @ W1) * (x @ W3)) @ W2, atol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_dispatch_sparse_forward_and_combination_agree_with_loops_over_tokens(seed):
    for x, selected, weights, matrices in sparse_cases(np.random.default_rng(seed)):
        (T, k), N = selected.shape, len(matrices)
        order, offsets = dispatch(selected, N)
        for i in range(N):
            mine = [t * k + j for t in range(T) for j in range(k) if selected[t, j] == i]
            assert order[offsets[i] : offsets[i + 1]].tolist() == mine
        each_token = [sum(weights[t, j] * np.tanh(x[t] @ matrices[selected[t, j]]) for j in range(k)) for t in range(T)]
        np.testing.assert_allclose(sparse(x, selected, weights, matrices), each_token, atol=1e-12)
        outputs = np.array([np.tanh(x[a // k] @ matrices[selected[a // k, a % k]]) for a in order])
        np.testing.assert_allclose(combined(outputs, order, weights), each_token, atol=1e-12)


def test_rows_of_one_expert_that_are_exchanged_are_named():
    selected = np.array([[0, 1], [1, 0]])
    assert exchanged_rows(np.array([0, 3, 1, 2]), selected) == ""
    assert exchanged_rows(np.array([0, 3, 2, 1]), selected) == (
        "order[2] = 2 and order[3] = 1 both go to E2: the smaller comes first"
    )


@pytest.mark.parametrize("seed", range(5))
def test_an_unstable_sort_and_a_sort_by_choice_get_the_verdict_that_names_both(seed):
    def answer(order):
        return lambda selected, num_experts: (order(selected), dispatch(selected, num_experts)[1])

    unstable = answer(lambda s: np.argsort(s.ravel(), kind="quicksort"))
    by_choice = answer(lambda s: np.lexsort((np.arange(s.size) % s.shape[1], s.ravel())))
    for wrong in (unstable, by_choice):
        result = check("5.2", wrong, seed=seed)
        assert result.mistake == "not as they came"
        assert "not in the order in which they came" in result.message


@pytest.mark.parametrize("cut", ["tensor_split", "chunk"])
def test_equal_parts_are_recognised_however_torch_cuts(cut):
    def layer(rows, sizes, W1, W2):
        parts = zip(getattr(rows, cut)(len(W1)), W1, W2, strict=False)
        return torch.cat([torch.relu(part @ a) @ b for part, a, b in parts])

    assert {check("5.4", layer, seed=seed).mistake for seed in range(5)} == {"equal parts"}


def test_a_reshape_to_k_and_T_of_weighted_rows_gets_a_true_verdict():
    def reshaped(outputs, order, weights):
        back = (weights.ravel()[order, None] * outputs)[np.argsort(order)]
        return back.reshape(weights.shape[1], len(weights), -1).sum(axis=0)

    result = check("5.5", reshaped, seed=0)
    assert result.mistake == "modulo T"
    assert "a reshape to (k, T, d)" in result.message


def test_experts_answer_in_kind_and_keep_what_they_are_given():
    experts = RowCountingExperts(np.stack([np.eye(2), -np.eye(2)]))
    rows = torch.tensor([[0.5, -1.0]], requires_grad=True)
    assert torch.allclose(experts.argument[1](rows), -torch.tanh(rows.detach()))
    assert isinstance(experts.argument[0]([0.5, -1.0]), np.ndarray)
    assert [(index, given.tolist()) for index, given in experts.noted()] == [(1, [[0.5, -1.0]]), (0, [[0.5, -1.0]])]
    with pytest.raises(ValueError, match=r"rows \(r, d\) with d = 2; came an array of shape \(2, 3\)"):
        experts.argument[0](np.zeros((2, 3)))


def test_only_the_asked_rows_in_one_call_each_have_no_fault():
    x, selected = np.array([[1.0], [2.0]]), np.array([[0, 1], [1, 2]])
    good = [(0, x[:1]), (1, x), (2, x[1:])]
    assert rows_fault(None, good, x, selected) is None
    assert rows_fault(None, [(i, x) for i in range(3)], x, selected).name == "dense"
    one_by_one = [(0, x[:1]), (1, x[:1]), (1, x[1:]), (2, x[1:])]
    assert rows_fault(None, one_by_one, x, selected).name == "row by row"
    assert rows_fault(None, [*good, (2, x[1:])], x, selected).name is None


@pytest.mark.parametrize("seed", SEEDS)
def test_choices_shared_between_columns_make_the_loop_over_choices_visible(seed):
    """Else a layer that calls experts once for each choice would pass by luck."""
    cases = SPARSE.draw(np.random.default_rng(seed))["cases"]
    assert any(set(selected[:, 0]) & set(selected[:, 1:].ravel()) for _, selected, *_ in cases)


def test_a_wrong_shape_given_to_an_expert_is_the_learners_error():
    result = check("5.3", lambda x, selected, weights, experts: experts[0](x.T), seed=0)
    assert result.status == Status.RAISED
    assert "an expert takes rows (r, d) with d = 2; came an array of shape (2, 6)" in result.message


def test_an_error_in_the_learners_layer_is_shown_with_its_line():
    def transposed(rows, sizes, W1, W2):
        return torch.cat([part @ a.T for part, a in zip(rows.split(sizes), W1, strict=True)])

    result = check("5.4", transposed, seed=0)
    assert result.status == Status.RAISED
    assert "return torch.cat([part @ a.T" in result.message
    called = ["rows: a tensor of shape (48, 24)", "sizes: a list of 12", "W1: a tensor of shape (12, 24, 40)"]
    assert f"called with {', '.join(called)}, W2: a tensor of shape (12, 40, 24)." in result.message
    assert check("5.4", lambda rows, sizes, W1, W2: (rows, sizes), seed=0).status == Status.NOT_YET


def test_a_wrong_number_in_a_large_array_is_shown_with_its_place():
    right = looped(AT_ONCE["unbind"])

    def one_off(rows, sizes, W1, W2):
        y = right(rows, sizes, W1, W2)
        return y + torch.zeros_like(y).index_put((torch.tensor(3), torch.tensor(5)), torch.tensor(50.0))

    result = check("5.4", one_off, seed=0)
    assert result.mistake is None
    assert "y[3, 5]: expected" in result.message
    assert f"1 of {48 * 24} numbers are off" in result.message
    halved = check("5.4", lambda rows, sizes, W1, W2: right(rows, sizes, 0.5 * (W1 + W1.detach()), W2), seed=0)
    assert "the gradient to W1, at [" in halved.message
