"""The figures of the review 11r are those that counting, torch and the course's measures give."""

import numpy as np
import pytest
import torch

from moe_lessons import metrics
from moe_lessons.balancing import expert_capacity
from moe_lessons.checks import check
from moe_lessons.checks.set_11r import LOAD_LINE, PAIR_LOG, two_tokens
from moe_lessons.checks.set_11r.q1_full import FULLEST, LEAST_DROPPED
from moe_lessons.checks.set_11r.q2_neighbours import BY_LOADS, NEEDED
from moe_lessons.checks.set_11r.q3_parts import whole
from moe_lessons.checks.set_11r.q5_pushes import BIAS_TURNED, OF_TOKENS, PUSHED, WAYS, against, down, expected
from moe_lessons.checks.set_11r.q6_bits import LEANING, MANY, MOST, UNEVEN
from moe_lessons.losses import load_balancing_loss, stable_top_k


def test_the_fullest_expert_fits_at_one_and_maxvio_and_loses_at_factor_one_what_is_said():
    N, k, T = (LOAD_LINE[name] for name in ("experts", "k", "tokens"))
    load = np.full(N, (k * T - FULLEST) / (N - 1))  # the others share the rest evenly: nobody else is too full
    load[3] = FULLEST
    assert metrics.max_violation(load) == pytest.approx(LOAD_LINE["violation"])
    assert expert_capacity(T, N, k, 1 + LOAD_LINE["violation"]) == FULLEST > expert_capacity(T, N, k, 1.62)
    assert np.maximum(load - expert_capacity(T, N, k, 1.0), 0).sum() / (k * T) == pytest.approx(LEAST_DROPPED)


@pytest.mark.parametrize("cv", [PAIR_LOG["cv"], NEEDED])
def test_independent_neighbours_agree_as_the_spread_of_the_loads_says(cv):
    N = PAIR_LOG["experts"]
    above = cv * (N - 1) ** 0.5 / N
    load = np.array([1 / N + above] + [1 / N - above / (N - 1)] * (N - 1))  # (N,), of this CV
    assert metrics.coefficient_of_variation(load) == pytest.approx(cv)
    assert (load**2).sum() == pytest.approx(BY_LOADS if cv == PAIR_LOG["cv"] else PAIR_LOG["share"])


def test_the_loss_of_the_parts_is_that_of_their_tokens_together():
    rng = torch.Generator().manual_seed(0)
    for k in (1, 3):
        parts = [torch.randn(T, 6, generator=rng) + torch.randn(6, generator=rng) for T in (20, 70)]
        chosen = [stable_top_k(h, k) for h in parts]
        counts = np.stack([np.bincount(s.flatten().numpy(), minlength=6) for s in chosen])  # (parts, N)
        P = np.stack([h.softmax(-1).mean(0).numpy() for h in parts])  # (parts, N)
        together = load_balancing_loss(torch.cat(parts), k)
        assert whole(counts, P, np.array([20, 70])) == pytest.approx(float(together), rel=1e-5)


def test_dice_are_as_uneven_as_row_e_of_the_controls_says_and_row_c_is_even_per_served_token():
    rng = np.random.default_rng(0)
    loads = [np.bincount(rng.integers(64, size=640), minlength=64) for _ in range(2000)]
    assert np.mean(metrics.max_violation(loads)) == pytest.approx(0.81, abs=0.02)
    assert pytest.approx(0.01 / 0.2) == 0.03 / 0.6


def test_the_pushes_are_those_of_the_gradient_and_of_the_bias():
    f, p = two_tokens()
    logits = torch.tensor(np.log(p)).requires_grad_()  # (2, N)
    loss = 4 * (torch.tensor(f) * logits.softmax(-1).mean(0)).sum()
    (gradient,) = torch.autograd.grad(loss, logits)
    pushed = {"bias": f.mean() - f, **dict(zip(PUSHED, -gradient.numpy(), strict=False))}
    assert {name: np.abs(way).min() > 1e-4 for name, way in pushed.items()} == dict.fromkeys(pushed, True)
    for i, ways in enumerate(expected().values()):
        assert ways == {name: WAYS[int(pushed[name][i] < 0)] for name in PUSHED}


def test_what_is_said_of_1_over_N_is_said_only_where_the_mean_load_would_lead_there():
    along = {part: WAYS[1 - WAYS.index(way)] for part, way in expected()["E1"].items()}
    assert "1/N" not in against("E1", along).why
    by_the_mean = dict.fromkeys(PUSHED, expected()["E2"]["bias"])
    assert "Beside the mean load, 1/N" in against("E2", by_the_mean).why


def test_no_wrong_rule_for_the_pushes_gives_what_is_right_or_what_another_gives():
    made = [tuple(map(tuple, rule.wrong(*two_tokens()))) for rule in OF_TOKENS]
    assert len({*made, tuple(map(tuple, down(*two_tokens())))}) == len(OF_TOKENS) + 1


def test_a_bias_that_is_turned_round_is_told_beside_tokens_that_follow_a_wrong_rule():
    turned = {
        expert: {part: WAYS[1 - WAYS.index(way)] for part, way in row.items()} for expert, row in expected().items()
    }
    result = check("11r.5", turned)
    assert (result.mistake, BIAS_TURNED in result.message) == ("along the gradient", True)
    of_tokens_alone = {expert: row | {"bias": expected()[expert]["bias"]} for expert, row in turned.items()}
    assert BIAS_TURNED not in check("11r.5", of_tokens_alone).message


def test_no_choice_tells_more_than_the_smaller_entropy_and_those_of_the_question_can_tell_it_all():
    domain = np.repeat(np.arange(4), 400)  # (T,)
    assert metrics.mutual_information(domain, 4 * domain + np.arange(1600) % 4, base=2) == pytest.approx(2)
    assert np.allclose(np.bincount(domain // 3) / 1600, LEANING)
    assert metrics.entropy(LEANING, base=2) == pytest.approx(MOST)
    assert metrics.mutual_information(domain, domain // 3, base=2) == pytest.approx(MOST)  # three domains, and one
    across = np.arange(1600) % 4 // 3  # the control: the same loads, and each domain is split alike
    assert np.allclose(np.bincount(across) / 1600, LEANING)
    assert metrics.mutual_information(domain, across, base=2) == pytest.approx(0)
    rare, expert = np.repeat([0, 1], [1440, 160]), np.arange(1600) // 80
    assert np.allclose(np.bincount(expert), 1600 / MANY)
    assert metrics.mutual_information(rare, expert, base=2) == pytest.approx(UNEVEN)
    token = np.arange(1600) % 7
    assert metrics.mutual_information(domain, token % 3, token, base=2) == pytest.approx(0, abs=1e-12)
