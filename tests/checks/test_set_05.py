"""The trap's count finds full-size gradients however they arise, and the set's own arithmetic agrees with torch.

Also: what the lesson's cells give, where they are pasted.
"""

import sys

import numpy as np
import pytest
import torch
from torch.nn import functional

from moe_lessons import layer, routing
from moe_lessons.checks import check
from moe_lessons.checks.engine import Status
from moe_lessons.checks.set_05.q1_expert import expert_cases, gelu, interleaved, silu, swiglu, tanh_gelu
from moe_lessons.checks.set_05.q2_selected import chosen, dispatch, selections
from moe_lessons.checks.set_05.q3_sparse import SPARSE, RowCountingExperts, rows_fault, sparse, sparse_cases
from moe_lessons.checks.set_05.q4_trap import MOST_FULL, MOST_ROWS, full_size_gradients, loop_values, report, slow_cases
from moe_lessons.checks.set_05.q5_backwards import backwards, combine_cases, combined
from moe_lessons.checks.set_05.q6_router import CLEAR, FAR, SURE, expected_values, router_cases

SEEDS = range(20)


def looped(take_1, take_2=None):
    """A layer whose weights are taken apart by functions of the whole weight, N and the experts' axis."""

    def layer(rows, sizes, W1, W2):
        N = len(sizes)
        parts = zip(rows.split(sizes), take_1(W1, N, 1), (take_2 or take_1)(W2, N, 0), strict=True)
        return torch.cat([torch.relu(part @ a) @ b for part, a, b in parts])

    return layer


def each(take):
    """One expert after the other: `take` gets the weight, where the part begins, its length and the axis."""

    def parts(W, N, axis):
        width = W.shape[axis] // N
        return [take(W, i * width, width, axis) for i in range(N)]

    return parts


def slices(W, start, width, axis):
    return W[:, start : start + width] if axis else W[start : start + width]


def own_axis(W, N, axis):
    """The experts on an axis of their own, the first."""
    return W.unflatten(axis, (N, -1)).movedim(axis, 0)


ONE_BY_ONE = {
    "slice": each(slices),
    "narrow": each(lambda W, start, width, axis: W.narrow(axis, start, width)),
    "index_select": each(lambda W, start, width, axis: W.index_select(axis, torch.arange(start, start + width))),
    "split anew": each(lambda W, start, width, axis: W.split(width, dim=axis)[start // width]),
    "tensor_split": lambda W, N, axis: W.tensor_split(N, dim=axis),
    "the other axis first": each(lambda W, start, width, axis: slices(W.T, start, width, 1 - axis).T),
    "an axis of their own": lambda W, N, axis: (lambda V: [V[i] for i in range(N)])(own_axis(W, N, axis)),
    "a copy first": lambda W, N, axis: each(slices)(1.0 * W, N, axis),
}
AT_ONCE = {
    "split": lambda W, N, axis: W.split(W.shape[axis] // N, dim=axis),
    "chunk": lambda W, N, axis: W.chunk(N, dim=axis),
    "unbind": lambda W, N, axis: own_axis(W, N, axis).unbind(0),
    "iteration": lambda W, N, axis: list(own_axis(W, N, axis)),
    "split of a transpose": lambda W, N, axis: [piece.T for piece in W.T.chunk(N, dim=1 - axis)],
    "a copy first": lambda W, N, axis: (1.0 * W).chunk(N, dim=axis),
    "contiguous": lambda W, N, axis: own_axis(W, N, axis).contiguous().unbind(0),
}


def counts(layer, N=12, d=4, d_ff=6):
    torch.manual_seed(0)
    rows, W1, W2 = (torch.randn(shape, requires_grad=True) for shape in ((2 * N, d), (d, N * d_ff), (N * d_ff, d)))
    return full_size_gradients(layer(rows, [2] * N, W1, W2), W1, W2)


def test_the_report_has_a_line_for_each_number_of_experts(capsys):
    report(lambda rows, sizes, W1, W2: rows @ W1 @ W2, R=32, d=4, d_ff=4)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:6] for line in lines] == ["N =  8", "N = 16", "N = 32"]
    assert all(line.endswith("gradients as large as W1: 1, as large as W2: 1") for line in lines)


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
    assert counts(looped(AT_ONCE["split"], ONE_BY_ONE["slice"])) == [1, 12]
    assert counts(looped(ONE_BY_ONE["slice"], AT_ONCE["split"])) == [12, 1]
    assert "W1 still gets" in check("5.4", looped(ONE_BY_ONE["slice"], AT_ONCE["split"]), seed=0).message


def test_leaving_out_empty_experts_does_not_hide_the_trap():
    def layer(rows, sizes, W1, W2):
        parts, d_ff = rows.split(sizes), W1.shape[1] // len(sizes)
        own = [slice(i * d_ff, (i + 1) * d_ff) for i, size in enumerate(sizes) if size]
        busy = [part for part in parts if len(part)]
        return torch.cat([torch.relu(part @ W1[:, i]) @ W2[i] for part, i in zip(busy, own, strict=True)])

    assert {check("5.4", layer, seed=seed).mistake for seed in range(5)} == {"a full gradient per expert"}


def test_a_few_copies_of_the_weights_are_no_trap_and_many_get_no_diagnosis():
    def copies(count):
        return looped(lambda W, N, axis: sum(W * (1 / count) for _ in range(count)).chunk(N, dim=axis))

    assert check("5.4", copies(2), seed=0).status == Status.CORRECT
    several = check("5.4", copies(6), seed=0)
    assert (several.status, several.mistake) == (Status.NOT_YET, None)


def test_a_fault_that_only_one_layer_shows_is_not_given_a_name():
    def sometimes(rows, sizes, W1, W2):
        return looped(ONE_BY_ONE["slice"] if len(sizes) == 12 else AT_ONCE["split"])(rows, sizes, W1, W2)

    result = check("5.4", sometimes, seed=0)
    assert (result.status, result.mistake) == (Status.NOT_YET, None)
    assert "N = 12: the backward made" in result.message


class Silent(torch.Tensor):
    """A tensor that shows no way back, and goes it all the same."""

    grad_fn = None

    def backward(self, v):
        self.inner.backward(v)

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        with torch._C.DisableTorchFunctionSubclass():
            return function(*args, **(kwargs or {}))


def test_a_tensor_that_hides_its_backward_is_looked_through():
    def hidden(rows, sizes, W1, W2):
        y = looped(ONE_BY_ONE["slice"])(rows, sizes, W1, W2)
        shown = y.as_subclass(Silent)
        shown.inner = y
        return shown

    assert check("5.4", hidden, seed=0).mistake == "a full gradient per expert"


def test_gradients_that_no_step_of_torchs_made_are_no_proof():
    """The leaves get theirs while the layer runs, so that the backward that is watched has nothing to make."""

    def beforehand(rows, sizes, W1, W2):
        y = looped(ONE_BY_ONE["slice"])(rows, sizes, W1, W2)
        frame = sys._getframe()
        while "case" not in frame.f_locals:
            frame = frame.f_back
        y.backward(frame.f_locals["v"])
        return y.detach() + 0 * rows.new_zeros(()).requires_grad_()

    result = check("5.4", beforehand, seed=0)
    assert result.status == Status.NOT_YET
    assert "makes no gradient of a weight" in result.message


@pytest.mark.parametrize("seed", SEEDS)
def test_the_layers_have_the_sizes_that_the_measures_need(seed):
    for rows, sizes, W1, _, v in slow_cases(np.random.default_rng(seed)):
        N, d, d_ff = len(sizes), len(W1), W1.shape[1] // len(sizes)
        assert sizes.sum() == len(rows) == len(v) > max(N, d)
        assert sizes.min() == 0 < sizes.max() <= MOST_ROWS < min(d, d_ff)  # a padded batch is smaller than a weight
        assert N > 2 * MOST_FULL
        assert np.count_nonzero(sizes) > MOST_FULL


def test_values_and_gradients_of_the_slow_layer_agree_with_torch():
    for case in slow_cases(np.random.default_rng(0)):
        rows, W1, W2 = (torch.tensor(case[i], requires_grad=True) for i in (0, 2, 3))
        y = looped(AT_ONCE["split"])(rows, case[1].tolist(), W1, W2)
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
        x, W13, W2 = map(torch.tensor, case)
        gate, other = (x @ W13).unflatten(-1, (-1, 2)).unbind(-1)
        np.testing.assert_allclose(swiglu(*case), (functional.silu(gate) * other) @ W2, atol=1e-12)
        first, second = interleaved(case[1])
        assert first.shape == second.shape == (len(case[1]), len(case[2]))
        assert first.shape[1] > 1  # else the halves would be the same


@pytest.mark.parametrize("seed", SEEDS)
def test_draws_tell_what_else_would_pass(seed):
    """A clip, ReLU's slope at its kink, weights that were sorted."""
    *_, (x, W13, _) = expert_cases(np.random.default_rng(seed))
    gate, other = (x @ W for W in interleaved(W13))
    assert (gate > 7).any()
    assert (np.abs(other) > 7).any()
    for rows, sizes, W1, *_ in slow_cases(np.random.default_rng(seed)):
        of_row = np.repeat(np.arange(len(sizes)), sizes)
        before = np.einsum("rd,drf->rf", rows, W1.reshape(len(W1), len(sizes), -1)[:, of_row])
        assert np.abs(before).min() >= 1 / 128
    for weights in (sparse_cases(np.random.default_rng(seed))[0][2], combine_cases(np.random.default_rng(seed))[1][2]):
        assert (np.diff(weights, axis=1) > 0).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_selections_come_back_from_the_sorted_list(seed):
    for selected, N in chosen(np.random.default_rng(seed)):
        order, offsets = dispatch(selected, N)
        T, k = selected.shape
        for i in range(N):
            mine = [t * k + j for t in range(T) for j in range(k) if selected[t, j] == i]
            assert order[offsets[i] : offsets[i + 1]].tolist() == mine
        assert np.array_equal(selections(order, offsets, k), selected)
        assert not np.array_equal(np.argsort(order), order)


def test_experts_are_idle_in_front_between_and_behind():
    loads = [np.bincount(selected.ravel(), minlength=N) for selected, N in chosen(np.random.default_rng(0))]
    assert [load[0] > 0 for load in loads] == [True, False, False]
    assert [load[1:-2].min() > 0 for load in loads] == [False, True, False]
    assert [load[-1] > 0 for load in loads] == [False, False, True]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_sparse_forward_agrees_with_a_loop_over_tokens(seed):
    for x, selected, weights, matrices in sparse_cases(np.random.default_rng(seed)):
        for t, (row, w) in enumerate(zip(selected, weights, strict=True)):
            left = [(w[j], np.tanh(x[t] @ matrices[i])) for j, i in enumerate(row) if i >= 0]
            total = sum(weight for weight, _ in left)
            expected = sum((weight / total * y for weight, y in left), np.zeros(x.shape[1]))
            np.testing.assert_allclose(sparse(x, selected, weights, matrices)[t], expected, atol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_dropped_choices_are_of_all_kinds(seed):
    cases = sparse_cases(np.random.default_rng(seed))
    lost = [(selected < 0).sum(axis=1) for _, selected, _, _ in cases]
    assert all(0 in row for row in lost)
    assert [selected.shape[1] in row for row, (_, selected, _, _) in zip(lost, cases, strict=True)] == [
        True,
        False,
        True,
        True,
    ]
    assert {1} < set(np.concatenate([lost[0], lost[1], lost[3]]))
    assert all((weights[selected < 0] > 0).all() for _, selected, weights, _ in cases)  # to be left out, not 0 already


@pytest.mark.parametrize("seed", SEEDS)
def test_the_backward_of_combine_is_that_of_torch(seed):
    for outputs, order, weights, v in combine_cases(np.random.default_rng(seed)):
        leaves = [torch.tensor(array, requires_grad=True) for array in (weights, outputs)]
        y = torch.zeros(v.shape, dtype=torch.float64)
        y = y.index_add(0, torch.tensor(order // weights.shape[1]), leaves[0].flatten()[order, None] * leaves[1])
        np.testing.assert_allclose(combined(outputs, order, weights), y.detach(), atol=1e-12)
        for found, slope in zip(
            backwards(outputs, order, weights, v), torch.autograd.grad(y, leaves, torch.tensor(v)), strict=True
        ):
            np.testing.assert_allclose(found, slope, atol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_router_and_its_gradients_are_those_of_torch(seed):
    for d, N, k, bias, W_g, b, x, v in router_cases(np.random.default_rng(seed)):
        assert d != N
        assert torch.equal(torch.tensor(x).bfloat16().double(), torch.tensor(x))  # nothing is rounded
        leaves = [torch.tensor(array, requires_grad=True) for array in (W_g, b)]
        logits = torch.tensor(x) @ leaves[0] + leaves[1]
        selected = logits.topk(k).indices
        weights = logits.softmax(-1).gather(-1, selected)
        slopes = torch.autograd.grad((weights * torch.tensor(v)).sum(), leaves)
        expected = expected_values(k, True, W_g, b, x, v)
        found = [logits.detach(), selected, weights.detach(), *slopes]
        for name, value in zip(("logits", "selected", "weights", "W_g", "bias"), found, strict=True):
            np.testing.assert_allclose(expected[name], value, atol=1e-12, err_msg=name)
        assert np.diff(np.sort(expected["logits"], axis=-1)).min() >= CLEAR
        assert bias == b.any()
        p = routing.softmax(expected["logits"])
        assert (p[:-FAR] if d == 5 else p).max() <= SURE


@pytest.mark.parametrize("seed", SEEDS)
def test_in_one_draw_the_probabilities_no_longer_tell_who_is_better_and_the_logits_do(seed):
    *_, W_g, b, x, _ = router_cases(np.random.default_rng(seed))[0]
    p = torch.tensor(x @ W_g + b, dtype=torch.float32).softmax(-1)  # (T, N)
    assert ((p > 0).sum(dim=-1) == 1).tolist() == [False] * (len(p) - FAR) + [True] * FAR


@pytest.mark.parametrize("cut", ["tensor_split", "chunk"])
def test_equal_parts_are_recognised_however_torch_cuts(cut):
    def layer(rows, sizes, W1, W2):
        N = len(sizes)
        parts = zip(getattr(rows, cut)(N), W1.chunk(N, dim=1), W2.chunk(N), strict=False)
        return torch.cat([torch.relu(part @ a) @ b for part, a, b in parts])

    assert {check("5.4", layer, seed=seed).mistake for seed in range(5)} == {"equal parts"}


def pasted(rows, sizes, W1, W2):
    """The lesson's way, on matrices that are not stacked."""
    experts = zip(rows.split(sizes), W1.unbind(0), W2.unbind(0), strict=False)
    return torch.cat([torch.relu(part @ a) @ b for part, a, b in experts])


def test_the_lessons_unbind_raises_on_a_matrix_and_the_reason_is_told():
    result = check("5.4", pasted, seed=0)
    assert result.status == Status.RAISED
    assert "`unbind(0)`, or a loop over W1, gives their single rows" in result.message


def test_the_lessons_slices_raise_at_a_dropped_choice_and_the_reason_is_told():
    def by_slices(x, selected, weights, experts):
        return np.bincount(selected.ravel(), minlength=len(experts))

    result = check("5.3", by_slices, seed=0)
    assert result.status == Status.RAISED
    assert "`bincount` refuses a −1" in result.message


def test_a_softmax_along_the_second_axis_raises_at_a_single_token_and_the_reason_is_told(router):
    result = check("5.6", router(lambda h: h.softmax(1)), seed=0)
    assert result.status == Status.RAISED
    assert "the experts are the last axis, −1" in result.message


@pytest.fixture
def router():
    """Routers whose probabilities are a rule of the logits."""

    def make(rule):
        class MyRouter(torch.nn.Module):
            def __init__(self, d_model, num_experts, top_k, bias=False):
                super().__init__()
                self.top_k, self.W_g = top_k, torch.nn.Parameter(torch.ones(d_model, num_experts))
                self.bias = torch.nn.Parameter(torch.ones(num_experts)) if bias else None

            def forward(self, x):
                h = x.float() @ self.W_g + (0 if self.bias is None else self.bias)
                selected = h.topk(self.top_k).indices
                return h, selected, rule(h).gather(-1, selected)

        return MyRouter

    return make


def test_a_router_that_is_right_and_one_whose_forward_is_still_to_be_written(router):
    assert check("5.6", router(lambda h: h.softmax(-1)), seed=0).status == Status.CORRECT

    def unwritten(h):
        raise NotImplementedError

    assert check("5.6", router(unwritten), seed=0).status == Status.NOT_ATTEMPTED


@pytest.mark.parametrize("wrapped", ["itself", "derived", "inside", "default"])
def test_the_courses_router_is_no_answer_in_any_wrapping(wrapped):
    class Inside(torch.nn.Module):
        def __init__(self, d_model, num_experts, top_k, bias=False):
            super().__init__()
            self.inner = layer.Router(d_model, num_experts, top_k, "softmax_topk", bias)
            self.W_g, self.bias = self.inner.W_g, self.inner.bias

        def forward(self, x):
            return tuple(self.inner(x))

    class Default(Inside):
        def __init__(self, d_model, num_experts, top_k, bias=False, Router=layer.Router):
            torch.nn.Module.__init__(self)
            self.W_g = torch.nn.Parameter(torch.ones(d_model, num_experts))
            self.bias = torch.nn.Parameter(torch.ones(num_experts)) if bias else None
            self.inner = lambda x: Router.forward(self, x)
            self.top_k, self.gate, self.logits = top_k, "softmax_topk", lambda x: Router.logits(self, x)
            self.jitter, self.W_noise = 0.0, None

    class Derived(layer.Router):
        pass

    answers = {"itself": layer.Router, "derived": Derived, "inside": Inside, "default": Default}
    result = check("5.6", answers[wrapped], seed=0)
    assert result.status == Status.NOT_YET
    assert "the course's `" in result.message


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            lambda MyRouter: MyRouter(5, 7, 3),
            "the class MyRouter(d_model, num_experts, top_k, bias), not called: came an",
        ),
        (lambda MyRouter: MyRouter(5, 7, 3).forward, "not called: came an object of type method"),
        (lambda MyRouter: 5, "not called: came a number"),
        (lambda MyRouter: torch.nn.Identity.forward, "came an object of type function"),
        (
            lambda MyRouter: torch.nn.ReLU,
            "Expected a class to call as MyRouter(d_model, num_experts, top_k, bias); yours is",
        ),
    ],
)
def test_what_is_no_class_to_call_as_asked_gets_a_sentence(router, given, words):
    result = check("5.6", given(router(lambda h: h.softmax(-1))), seed=0)
    assert result.status == Status.NOT_YET
    assert words in result.message


def test_the_courses_router_is_whole_again_after_a_check(router):
    before = layer.Router
    check("5.6", router(lambda h: h.softmax(-1)), seed=0)
    assert layer.Router is before


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
    three, thrice = np.array([[1.0], [2.0], [3.0]]), np.array([[1, -1], [1, 0], [1, -1]])
    halves = [(0, three[1:2]), (1, three[:1]), (1, three[1:])]
    assert rows_fault(None, halves, three, thrice).name is None
    assert rows_fault(None, [(0, three[1:2]), (1, three)], three, thrice) is None
    assert rows_fault(None, [(0, three[1:2]), (1, three), (1, three[::2])], three, thrice).name == "dropped computed"


@pytest.mark.parametrize("seed", SEEDS)
def test_choices_shared_between_columns_make_the_loop_over_choices_visible(seed):
    """Else a layer that calls experts once for each choice would pass by luck."""
    _, selected, *_ = SPARSE.draw(np.random.default_rng(seed))["cases"][0]
    first, later = selected[:, 0], selected[:, 1:].ravel()
    assert set(first[first >= 0]) & set(later[later >= 0])
    assert max(np.bincount(first[first >= 0])) > 1  # else it would look as if it went row by row


def test_a_wrong_shape_given_to_an_expert_is_the_learners_error():
    result = check("5.3", lambda x, selected, weights, experts: experts[0](x.T), seed=0)
    assert result.status == Status.RAISED
    assert "an expert takes rows (r, d) with d = 2; came an array of shape (2, 8)" in result.message


def test_an_error_in_the_learners_layer_is_shown_with_its_line():
    def transposed(rows, sizes, W1, W2):
        return torch.cat([part @ a.T for part, a in zip(rows.split(sizes), W1.chunk(len(sizes), dim=1), strict=True)])

    result = check("5.4", transposed, seed=0)
    assert result.status == Status.RAISED
    assert "return torch.cat([part @ a.T" in result.message
    called = ["rows: a tensor of shape (48, 24)", "sizes: a list of 12", "W1: a tensor of shape (24, 480)"]
    assert f"called with {', '.join(called)}, W2: a tensor of shape (480, 24)." in result.message
    assert check("5.4", lambda rows, sizes, W1, W2: (rows, sizes), seed=0).status == Status.NOT_YET


def test_a_wrong_number_in_a_large_array_is_shown_with_its_place():
    right = looped(AT_ONCE["split"])

    def one_off(rows, sizes, W1, W2):
        y = right(rows, sizes, W1, W2)
        return y + torch.zeros_like(y).index_put((torch.tensor(3), torch.tensor(5)), torch.tensor(50.0))

    result = check("5.4", one_off, seed=0)
    assert result.mistake is None
    assert "y[3, 5]: expected" in result.message
    assert f"1 of {48 * 24} numbers is off: [3, 5]" in result.message
    assert result.message.endswith("\nRight: gradient to rows; gradient to W1; gradient to W2. Not yet: y.")
    halved = check("5.4", lambda rows, sizes, W1, W2: right(rows, sizes, 0.5 * (W1 + W1.detach()), W2), seed=0)
    assert "the gradient to W1, at [" in halved.message
