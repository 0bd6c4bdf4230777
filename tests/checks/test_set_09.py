"""The set's own arithmetic agrees with the package, with torch and with counting; its draws can tell mistakes apart."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from moe_lessons import losses, metrics
from moe_lessons.checks import check
from moe_lessons.checks.engine import Status
from moe_lessons.checks.set_09.q1_statistics import LOADS, STATISTICS, statistics, statistics_cases, tokens_with
from moe_lessons.checks.set_09.q2_noisy import NOISY, noisy_cases, noisy_top_k
from moe_lessons.checks.set_09.q3_smooth import load_cases, normal_cdf, of_the_others, smooth_load
from moe_lessons.checks.set_09.q4_balance import (
    BALANCE,
    balance,
    balance_cases,
    balance_slope,
    chosen_share,
    slope,
    weight_slope,
)
from moe_lessons.checks.set_09.q5_below_one import BELOW_ONE, LEAST_GAP, MOST_EXPERTS, MOST_TOKENS
from moe_lessons.grading import wire

SEEDS = range(20)


def judged(question, answer, seed=0):
    data = question.draw(np.random.default_rng(seed))
    return question.judge(data, question.probe(answer, data))


@pytest.mark.parametrize("seed", SEEDS)
def test_tokens_have_the_counts_that_were_asked_for_and_no_expert_twice(seed):
    for T, k, counts, _ in LOADS:
        selected = tokens_with(np.array(counts), T, k, np.random.default_rng(seed))
        assert selected.shape == (T, k)
        assert np.bincount(selected.ravel(), minlength=len(counts)).tolist() == list(counts)
        assert all(len(set(row)) == k for row in selected)


def test_the_loads_tell_nearly_dead_from_dead_and_only_the_last_has_one_on_the_threshold():
    *others, last = statistics_cases(np.random.default_rng(0))
    for selected, N, below in others:
        counts = np.bincount(selected.ravel(), minlength=N)
        assert np.abs(counts - below * counts.mean()).min() > 0.1
    counts = np.bincount(last[0].ravel(), minlength=last[1])
    assert (counts == last[2] * counts.mean()).sum() == 1
    second = statistics_cases(np.random.default_rng(0))[1]
    assert statistics(*second)[3] == 2
    assert (metrics.expert_load(*second[:2]) == 0).sum() == 1


@pytest.mark.parametrize("fixed", [0.25, 0.5, 1.0])
def test_a_threshold_that_is_always_the_same_share_of_the_mean_is_named(fixed):
    def answer(selected, N, below):
        load, cv, max_violation, _ = statistics(selected, N, below)
        return load, cv, max_violation, (load < fixed / N).sum()

    assert judged(STATISTICS, answer).mistake == "below not used"


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_is_of_use_it_changes_who_is_selected(seed):
    """Else noise that is added after the top-k could not be seen where k = 1."""
    cases = noisy_cases(np.random.default_rng(seed))
    assert [case[4] for case in cases] == [False, True] * 3
    changed = [
        ((noisy_top_k(*case[:4], True, case[5]) > 0) != (noisy_top_k(*case[:4], False, case[5]) > 0)).any()
        for case in cases
        if case[4]
    ]
    assert any(changed)


def test_noise_from_elsewhere_is_named_only_where_all_else_is_right():
    def elsewhere(x, W_g, W_noise, k, train, rng):
        return noisy_top_k(x, W_g, W_noise, k, train, 123)

    def halved(x, W_g, W_noise, k, train, rng):
        noise = rng.standard_normal((len(x), W_g.shape[1])) / 2
        h = x @ W_g + train * noise * np.logaddexp(0, x @ W_noise)
        return np.where(h >= np.sort(h)[:, [-k]], np.exp(h), 0) / np.sort(np.exp(h))[:, -k:].sum(1, keepdims=True)

    assert judged(NOISY, elsewhere).mistake == "not from rng"
    verdict = judged(NOISY, halved)
    assert (verdict.correct, verdict.mistake) == (False, None)
    assert verdict.message.startswith("Right without noise. With train = True it is not.")
    assert judged(NOISY, lambda *case: 2 * elsewhere(*case)).mistake is None


def test_the_generator_is_written_as_code():
    result = check("9.2", lambda x, W_g, W_noise, k, train, rng: np.zeros((len(x), W_g.shape[1])), seed=0)
    assert "train = False, rng = np.random.default_rng(" in result.message


def test_normal_cdf_and_smooth_load_agree_with_torch_and_the_package():
    z = np.linspace(-5, 5, 101)
    np.testing.assert_allclose(normal_cdf(z), torch.special.ndtr(torch.tensor(z)), atol=1e-14)
    for clean, noisy, noise_sd, k in load_cases(np.random.default_rng(0)):
        theirs = losses.smooth_load(*map(torch.tensor, (clean, noisy, noise_sd)), k)
        np.testing.assert_allclose(smooth_load(clean, noisy, noise_sd, k), theirs, atol=1e-12)


def test_smooth_load_is_how_often_an_expert_gets_in_with_new_noise_of_its_own():
    rng = np.random.default_rng(1)
    clean, noisy, noise_sd, k = load_cases(rng)[1]
    draws, (_, N) = 20_000, clean.shape
    counted = np.empty(N)
    for i in range(N):
        again = np.tile(noisy[1], (draws, 1))  # (draws, N)
        again[:, i] = rng.normal(clean[1, i], noise_sd[1, i], size=draws)
        counted[i] = (np.argsort(-again, axis=1)[:, :k] == i).any(axis=1).mean()
    P = smooth_load(clean, noisy, noise_sd, k)[1]
    assert np.abs(P - counted).max() < 0.02
    wrong = normal_cdf((clean - np.sort(noisy)[:, [-k]]) / noise_sd)[1]  # itself counted
    assert np.abs(wrong - counted).max() > 0.02  # the broken control


def test_the_threshold_of_the_others_leaves_the_expert_itself_out():
    assert of_the_others(np.array([[3.0, 1.0, 2.0, 0.0]]), 2).tolist() == [[1.0, 2.0, 1.0, 2.0]]


@pytest.mark.parametrize("seed", SEEDS)
def test_loss_and_gradient_agree_with_the_package_and_autograd(seed):
    for h, k in balance_cases(np.random.default_rng(seed)):
        assert np.diff(np.sort(h)).min() > 0.01  # no ties
        logits = torch.tensor(h, dtype=torch.float64, requires_grad=True)
        loss = losses.load_balancing_loss(logits, k)
        (found,) = torch.autograd.grad(loss, logits)
        assert balance(h, k) == pytest.approx(loss.item(), rel=1e-6)
        np.testing.assert_allclose(balance_slope(h, k), found, atol=1e-7)
        assert not np.allclose(slope(h, np.ones(h.shape[1])), found, atol=1e-4)  # the broken control


@pytest.mark.parametrize("alone", [True, False])
def test_a_soft_count_is_recognised_with_and_without_p_and_by_the_gate_weights_too(alone):
    def through_weights(logits, k):
        best = logits.topk(k)
        hard = torch.zeros_like(logits).scatter(-1, best.indices, 1.0)
        w = torch.zeros_like(logits).scatter(-1, best.indices, torch.softmax(best.values, -1))
        P = torch.softmax(logits, -1).mean(0)
        f = (hard + w - w.detach()).mean(0) / k
        return logits.shape[1] * f @ (P.detach() if alone else P)

    def through_probabilities(logits, k):
        p = torch.softmax(logits, -1)
        f = torch.zeros_like(p).scatter(-1, logits.topk(k).indices, 1.0).mean(0) / k
        f = f + p.mean(0) - p.mean(0).detach()
        return logits.shape[1] * f @ (p.mean(0).detach() if alone else p.mean(0))

    for answer in (through_weights, through_probabilities):
        assert judged(BALANCE, answer).mistake == ("through f alone" if alone else "through f too")


def test_weight_slope_agrees_with_autograd():
    for h, k in balance_cases(np.random.default_rng(3)):
        logits = torch.tensor(h, dtype=torch.float64, requires_grad=True)
        best = logits.topk(k)
        w = torch.zeros_like(logits).scatter(-1, best.indices, torch.softmax(best.values, -1))
        P = torch.softmax(logits, -1).mean(0).detach()
        (found,) = torch.autograd.grad(h.shape[1] * w.mean(0) @ P / k, logits)
        np.testing.assert_allclose(weight_slope(h, k), found, atol=1e-7)


@pytest.mark.parametrize("cut", ["detach", "numpy", "no_grad"])
def test_a_loss_without_a_gradient_is_named_however_it_was_lost(cut):
    def answer(logits, k):
        if cut == "no_grad":
            with torch.no_grad():
                return losses_by_hand(logits, k)
        kept = torch.tensor(logits.detach().numpy()) if cut == "numpy" else logits.detach()
        return losses_by_hand(kept, k)

    def losses_by_hand(logits, k):
        f = torch.bincount(logits.topk(k).indices.flatten(), minlength=logits.shape[1]) / logits[:, :k].numel()
        return logits.shape[1] * (f * torch.softmax(logits, -1).mean(0)).sum()

    assert judged(BALANCE, answer).mistake == "P detached"
    assert judged(BALANCE, losses_by_hand).correct


def test_numpy_inside_the_loss_is_met_with_advice():
    result = check("9.4", lambda logits, k: torch.tensor(np.exp(logits)).sum())
    assert result.status == Status.RAISED
    assert "a tensor of shape (6, 4), k = 2" in result.message
    assert "Use torch's own" in result.message


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("9.1", lambda s, N, below: (metrics.expert_load(s, N), 0, 0, 0)),
        ("9.3", lambda clean, noisy, sd, k: losses.smooth_load(*map(torch.tensor, (clean, noisy, sd)), k)),
        ("9.4", lambda logits, k: losses.load_balancing_loss(logits, k)),
    ],
)
def test_the_package_s_own_functions_are_refused(question, answer):
    result = check(question, answer)
    assert result.status == Status.NOT_YET
    assert "which is the answer" in result.message


def nearly_equal(gap):
    """Two living and two dead experts, the winner `gap` above the dead ones."""
    return np.array([[gap, -10, 0, 0], [-10, gap, 0, 0]])


def test_the_border_of_a_tie_is_where_the_exercise_says():
    assert judged(BELOW_ONE, nearly_equal(1.01 * LEAST_GAP)).correct
    assert judged(BELOW_ONE, nearly_equal(0.99 * LEAST_GAP)).mistake == "tie"


def test_what_is_judged_is_the_package_s_loss_and_violation():
    h = nearly_equal(0.3)
    verdict = judged(BELOW_ONE, h)
    loss = losses.load_balancing_loss(torch.tensor(h), 1).item()
    assert verdict.correct
    assert f"The balance loss is {loss:.4f}, MaxVio is 1.0000" in verdict.message
    assert chosen_share(h, 1).tolist() == [0.5, 0.5, 0, 0]


def test_with_two_experts_no_batch_will_do():
    rng = np.random.default_rng(0)
    for scale in (0.1, 1, 10):
        for _ in range(50):
            assert not judged(BELOW_ONE, scale * rng.normal(size=(rng.integers(1, 6), 2))).correct


def test_the_questions_are_read_without_torch():
    code = "import sys; from moe_lessons.checks import set_09; print(len(set_09.QUESTIONS), 'torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["5", "False"]


def test_the_largest_batch_that_is_accepted_fits_into_the_grader_s_reply():
    T, N = MOST_TOKENS, MOST_EXPERTS
    h = np.full((T, N), -10.0)  # (T, N)
    h[:, N // 2 :] = 0
    h[np.arange(T), np.arange(T) % (N // 2)] = 1 / 30
    assert check("9.5", h.tolist()).status == Status.CORRECT
    assert len(wire.dumps(BELOW_ONE.probe(h.tolist(), {}))) < 0.9 * wire.MOST_BYTES
    for large in (np.vstack([h, h[:1]]), np.hstack([h, h[:, :1]])):
        assert f"1 to {T} tokens (rows) and 2 to {N} experts" in check("9.5", large).message
