"""The reviews' own figures are those that torch and counting give, and their logs tell what they are asked for."""

from itertools import combinations

import numpy as np
import pytest
import torch

from moe_lessons import routing
from moe_lessons.checks import questions
from moe_lessons.checks.set_04r import drawn_log, three_routers
from moe_lessons.checks.set_04r.q1_drawn import SCORES, TAU
from moe_lessons.checks.set_04r.q2_programs import GATES, HIDDEN, MADE_BY, MOVES, rows_of_programs, signs
from moe_lessons.checks.set_04r.q3_length import NEEDED
from moe_lessons.checks.set_04r.q4_beliefs import HOLDS, entropy, part_of_most, share_at_gap
from moe_lessons.checks.set_04r.q6_changes import BEFORE_AND_AFTER, reaches
from moe_lessons.checks.set_07r import STEP_LOG, gradient_column, two_runs
from moe_lessons.checks.set_07r.q1_touched import BATCH, TWICE, K
from moe_lessons.checks.set_07r.q1_touched import N as OF_THE_LOG
from moe_lessons.checks.set_07r.q3_column import CUT, LOGITS, SLOPES, right
from moe_lessons.checks.set_07r.q4_padding import loads_of, padding, padding_cases
from moe_lessons.checks.set_07r.q5_size import gradient
from moe_lessons.checks.set_07r.q6_bill import BILLS
from moe_lessons.estimators import straight_through

REVIEWS = ("04r", "07r", "11r")


@pytest.mark.parametrize("name", REVIEWS)
def test_a_review_has_six_short_questions_and_something_to_keep_of_each(name):
    asked = [question for question in questions().values() if question.set == name]
    assert len(asked) == 6
    assert all(question.kind_of_set == "review" and question.minutes <= 6 for question in asked)
    assert all(10 <= len(question.takeaway.split()) <= 30 for question in asked)
    assert not any("lesson" in text.lower() for q in asked for text in (*q.hints, q.idea, q.takeaway, q.title))


def test_the_log_of_draws_tells_the_temperature_and_no_other_pair_of_words_another_one():
    counts = np.array(list(drawn_log().values()))
    for i, j in combinations(range(3), 2):
        assert abs((SCORES[i] - SCORES[j]) / np.log(counts[i] / counts[j]) - TAU) < 0.02


def test_each_gate_has_signs_of_its_own_and_the_printed_rows_show_them():
    assert len({tuple(signs(gate).values()) for gate in GATES}) == len(GATES)
    for program, rows in rows_of_programs().items():
        printed = [row.round(3) for row in rows.values()]
        found = signs(MADE_BY[program])
        assert ((printed[0] > 0).sum() > 2) == found["more than two"]
        assert (abs(printed[0].sum() - 1) < 0.003) == found["sum of 1"]
        assert (np.abs(printed[1] - printed[0]).max() > 0.01) == found["moved by 3"]
        assert (printed[2].max() / printed[2].sum() > 0.9) == found["decided"]


def test_a_gate_that_takes_the_softmax_twice_is_never_more_certain_than_e_to_one():
    assert GATES["softmax twice"](100 * HIDDEN).max() == pytest.approx(np.e / (np.e + 1))
    assert GATES["form A"](HIDDEN).tolist() == pytest.approx(routing.gate_weights(HIDDEN, 2).tolist())
    assert set(MOVES) == set(rows_of_programs()["program 1"])


def test_the_length_makes_the_probability_three_times_as_large():
    x, turn = np.array([3.0, 0.0]), np.radians(60)
    W_g = np.array([[NEEDED * np.cos(turn), 1.0, -3.0], [NEEDED * np.sin(turn), 0.0, 2.0]])  # (d, N)
    p = routing.softmax(x @ W_g)
    assert p[0] / p[1] == pytest.approx(3)


def test_what_is_said_of_the_three_routers_is_measured():
    X, Y, Z = three_routers().values()
    gap_of_2 = np.array([2.0, *np.zeros(63)])
    measured = {
        "a": bool((X.argmax(axis=1) == Y.argmax(axis=1)).all()),
        "b": bool((X.argmax(axis=1) != Y.argmax(axis=1)).any()),
        "c": part_of_most("Z") < part_of_most("X"),
        "d": abs(entropy(X) - entropy(X - 4)) > 1e-9,
        "e": np.allclose(routing.softmax(Z), routing.softmax(Z + 2)) and entropy(Z) == pytest.approx(entropy(Z + 2)),
        "f": routing.softmax(gap_of_2)[0] > 0.5,
    }
    assert measured == HOLDS
    assert routing.softmax(gap_of_2)[0] == pytest.approx(share_at_gap(2, 64))
    largest = [routing.softmax(h).max(axis=1).mean() for h in (X, Y)]
    assert largest[1] / largest[0] == pytest.approx(2, abs=0.05)
    assert routing.log_sum_exp(X).mean() > routing.log_sum_exp(Z).mean()


def test_a_change_reaches_as_far_in_other_worlds():
    from moe_lessons.checks.set_04r import q6_changes as here

    first, reached = here.world(), {change: reaches(change) for change in BEFORE_AND_AFTER}
    for seed in range(1, 4):
        rng = np.random.default_rng(seed)
        other = here.World(*(part.std() * rng.normal(size=part.shape) for part in first))
        for change, (before, after) in BEFORE_AND_AFTER.items():
            one, two = before(other), after(other)  # (T, N) each
            moved = np.abs(one - two).max() > 1e-9
            assert reached[change] == (
                "choice" if ((one > 0) != (two > 0)).any() else "weights" if moved else "nothing"
            )


def test_the_line_of_the_log_is_what_a_simulation_counts():
    rng = np.random.default_rng(0)
    for batch, touched in ((BATCH, STEP_LOG["touched"]), (2 * BATCH, TWICE)):
        steps = [len({e for _ in range(batch) for e in rng.choice(OF_THE_LOG, K, replace=False)}) for _ in range(400)]
        assert np.mean(steps) == pytest.approx(touched, abs=0.4)


def test_the_two_runs_differ_by_another_factor_for_each_token_and_in_no_direction():
    runs = two_runs()
    factors = runs.second / runs.first
    assert factors.max() / factors.min() > 1.1
    assert (factors < 1).all()
    assert runs.cosine == pytest.approx(1)


def test_the_column_is_what_torch_finds_whatever_the_cut_expert_says():
    for scale in (1, 10):
        slopes = SLOPES * np.where(np.arange(6) == CUT, scale, 1)
        h = torch.tensor(LOGITS, requires_grad=True)
        selected = torch.topk(h, 2).indices
        (torch.softmax(h, 0)[selected] @ torch.tensor(slopes)[selected]).backward()
        assert h.grad.numpy() == pytest.approx(gradient_column()[1], abs=6e-5)
        assert h.grad[CUT].item() == pytest.approx(right()["E4"], abs=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_padding_is_counted_in_the_blocks_themselves(seed):
    for selected, N in padding_cases(np.random.default_rng(seed)):
        loads = loads_of(selected, N)
        blocks = np.arange(loads.max()) >= loads[:, None]  # (N, rows): True is padding
        assert padding(selected, N) == pytest.approx(blocks.mean())
    first, second, _ = padding_cases(np.random.default_rng(seed))
    assert loads_of(*first)[[2, 6]].tolist() == loads_of(*second)[[0, 5]].tolist() == [0, 0]


@pytest.mark.parametrize("k", [4, 8])
def test_an_experts_gradient_beside_that_of_a_dense_layer(k):
    T, N, d = 64, 32, 3
    x, v = torch.ones(T, d), torch.ones(T, d)  # every token the same
    dense, experts = torch.ones(d, d, requires_grad=True), torch.ones(N, d, d, requires_grad=True)
    (v * (x @ dense)).sum().backward()
    selected = torch.arange(T * k).reshape(T, k) % N  # (T, k), even loads
    outputs = torch.einsum("td,tkde->tke", x, experts[selected])  # (T, k, d)
    (v * outputs.mean(dim=1)).sum().backward()  # weights 1/k
    assert (experts.grad[0] / dense.grad).unique().tolist() == pytest.approx([gradient(k)])


def heard(row, worth):
    """Return ∂L/∂h of the expert that is cut, whose slope is `worth`."""
    h = torch.tensor([0.3, 2.0, 1.0, 0.1, 0.7], dtype=torch.float64, requires_grad=True)  # (N,); asked is E4
    E = torch.tensor([[0.4], [1.0], [-0.7], [worth], [0.2]], dtype=torch.float64)  # (N, 1)
    on = torch.zeros(5, dtype=torch.bool).scatter(0, torch.topk(h, 2).indices, True)
    y = {
        "form A": lambda: torch.softmax(h.masked_fill(~on, -torch.inf), 0) @ E,
        "form B": lambda: (torch.softmax(h, 0) * on) @ E,
        "straight-through": lambda: straight_through(h, E, 2),
        "form A, k = 64": lambda: torch.softmax(h, 0) @ E,
        "mask of 0": lambda: torch.softmax(h.masked_fill(~on, 0), 0) @ E,
    }[row]()
    return torch.autograd.grad(y.sum(), h)[0][3].item()


@pytest.mark.parametrize("row", BILLS)
def test_what_a_cut_logit_hears(row):
    one, other = heard(row, 0.5), heard(row, 5.0)
    found = "nothing" if one == other == 0 else "a push" if one == other else "its worth"
    assert found == BILLS[row][1]
