"""The set's own arithmetic agrees with the package, with torch and with counting; its draws can tell mistakes apart."""

import numpy as np
import pytest
import torch

from moe_lessons import losses, metrics
from moe_lessons.checks import check
from moe_lessons.checks.engine import Status
from moe_lessons.checks.gates import selected_mask
from moe_lessons.checks.set_09.q1_statistics import LOADS, STATISTICS, statistics, statistics_cases, tokens_with
from moe_lessons.checks.set_09.q2_noisy import LEAST_GAP as LEAST_GAP_OF_NOISE
from moe_lessons.checks.set_09.q2_noisy import NOISY, noisy_cases, noisy_scores, noisy_top_k
from moe_lessons.checks.set_09.q2_noisy import SIZES as SIZES_OF_NOISE
from moe_lessons.checks.set_09.q3_smooth import load_cases, normal_cdf, of_the_others, smooth_load
from moe_lessons.checks.set_09.q4_devices import (
    DEVICES,
    SIZES,
    balance,
    chosen_share,
    device_cases,
    device_loss,
    device_slope,
    soft_slope,
)
from moe_lessons.checks.set_09.q5_below_one import BELOW_ONE, LEAST_GAP, LEAST_LOAD, MOST_EXPERTS, MOST_TOKENS
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


def test_the_mean_of_those_who_have_any_names_other_dead_experts_than_a_threshold_that_is_not_below():
    told_apart = 0
    for selected, N, below in statistics_cases(np.random.default_rng(0)):
        counts = np.bincount(selected.ravel(), minlength=N)
        of_used = (counts < below * counts[counts > 0].mean()).sum()
        told_apart += of_used != (counts <= below * counts.mean()).sum()
    assert told_apart


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
    assert [case[4] for case in cases] == [False, True] * len(SIZES_OF_NOISE)
    changed = [
        ((noisy_top_k(*case[:4], True, case[5]) > 0) != (noisy_top_k(*case[:4], False, case[5]) > 0)).any()
        for case in cases
        if case[4]
    ]
    assert any(changed)


def test_logits_never_tie_and_one_that_is_kept_is_exactly_0():
    for seed in range(200):
        cases = noisy_cases(np.random.default_rng(seed))
        assert min(np.diff(np.sort(noisy_scores(*case))).min() for case in cases) > LEAST_GAP_OF_NOISE
        kept_zeros = [
            ((noisy_scores(*case) == 0) & (noisy_top_k(*case) > 0)).any()
            for case in cases
            if not case[4] and case[3] > 1
        ]
        assert all(kept_zeros), seed
    assert {(case[3] == case[1].shape[1]) for case in cases} == {False, True}  # k = N, too


def test_two_things_of_which_one_is_right_are_no_fault_of_the_course():
    result = check("9.2", lambda *case: (noisy_top_k(*case[:5], 0), np.zeros((len(case[0]), case[3]))), seed=0)
    assert (result.status, result.mistake) == (Status.NOT_YET, None)


def test_no_two_logits_of_a_token_tie_and_the_noise_changes_who_is_selected():
    for seed in range(200):
        for clean, noisy, _, k in load_cases(np.random.default_rng(seed)):
            assert min(np.diff(np.sort(h)).min() for h in (clean, noisy)) > 0
            assert (selected_mask(clean, k) != selected_mask(noisy, k)).any()


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


def by_hand(logits, k, device):
    """The loss of the devices from the package's routes and torch's sums."""
    D = device.max() + 1
    place = torch.tensor(device)
    P = torch.zeros(D, dtype=logits.dtype).index_add(0, place, torch.softmax(logits, -1).mean(0))
    counts = torch.bincount(place[losses.stable_top_k(logits, k)].flatten(), minlength=D).to(P.dtype)
    return D * (counts / counts.sum()) @ P


@pytest.mark.parametrize("seed", SEEDS)
def test_loss_and_gradient_agree_with_autograd_and_for_single_experts_with_the_package(seed):
    for h, k, device in device_cases(np.random.default_rng(seed)):
        assert np.diff(np.sort(h)).min() > 0.01  # no ties
        logits = torch.tensor(h, dtype=torch.float64, requires_grad=True)
        loss = by_hand(logits, k, device)
        (found,) = torch.autograd.grad(loss, logits)
        assert device_loss(h, k, device) == pytest.approx(loss.item(), rel=1e-6)
        np.testing.assert_allclose(device_slope(h, k, device), found, atol=1e-7)
        assert not np.allclose(device_slope(h, k, np.arange(h.shape[1])), found, atol=1e-4)  # the broken control
        over_experts = losses.load_balancing_loss(torch.tensor(h), k).item()
        assert device_loss(h, k, np.arange(h.shape[1])) == pytest.approx(over_experts, rel=1e-6)
        assert balance(h, k) == pytest.approx(over_experts, rel=1e-6)


def test_balanced_devices_give_1_whatever_their_sizes_and_whoever_is_busy_within():
    h = np.array([[3.0, 2.0, 0.0], [0.0, 1.0, 3.0]])  # (T, N)
    assert device_loss(h, 1, np.array([0, 0, 1])) == pytest.approx(1)
    assert balance(h, 1) != pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_devices_are_of_the_sizes_that_were_asked_for(seed):
    for (_, k, device), (_, wanted_k, sizes) in zip(device_cases(np.random.default_rng(seed)), SIZES, strict=True):
        assert k == wanted_k
        assert sorted(np.bincount(device)) == sorted(sizes)
        assert len(set(sizes)) > 1


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("soft", ["weights", "probabilities"])
def test_a_soft_count_is_recognised_with_and_without_p_and_by_the_gate_weights_too(soft, alone):
    def answer(logits, k, device):
        on = torch.nn.functional.one_hot(torch.tensor(device)).float()  # (N, D)
        best, p = logits.topk(k), torch.softmax(logits, -1)
        hard = torch.zeros_like(logits).scatter(-1, best.indices, 1.0)
        w = torch.zeros_like(logits).scatter(-1, best.indices, torch.softmax(best.values, -1))
        carrier = w if soft == "weights" else p
        F = (hard + carrier - carrier.detach()).mean(0) @ on / k
        P = p.mean(0) @ on
        return len(P) * F @ (P.detach() if alone else P)

    assert judged(DEVICES, answer).mistake == f"through the shares {'alone' if alone else 'too'}"


def test_a_soft_slope_agrees_with_autograd():
    for h, _, device in device_cases(np.random.default_rng(3)):
        logits = torch.tensor(h, dtype=torch.float64, requires_grad=True)
        on = torch.nn.functional.one_hot(torch.tensor(device)).double()  # (N, D)
        p = torch.softmax(logits, -1)
        (found,) = torch.autograd.grad(on.shape[1] * (p.mean(0) @ on) @ (p.detach().mean(0) @ on), logits)
        np.testing.assert_allclose(soft_slope(h, device, p.detach().numpy()), found, atol=1e-7)


@pytest.mark.parametrize("cut", ["detach", "numpy", "no_grad"])
def test_a_loss_without_a_gradient_is_named_however_it_was_lost(cut):
    def answer(logits, k, device):
        if cut == "no_grad":
            with torch.no_grad():
                return by_hand(logits, k, device)
        kept = torch.tensor(logits.detach().numpy()) if cut == "numpy" else logits.detach()
        return by_hand(kept, k, device)

    assert judged(DEVICES, answer).mistake == "P detached"
    assert judged(DEVICES, by_hand).correct


def test_numpy_inside_the_loss_is_met_with_advice():
    result = check("9.4", lambda logits, k, device: torch.tensor(np.exp(logits)).sum())
    assert result.status == Status.RAISED
    assert "a tensor of shape (6, 5), k = 2" in result.message
    assert "Use torch's own" in result.message


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("9.1", lambda s, N, below: (metrics.expert_load(s, N), 0, 0, 0)),
        ("9.3", lambda clean, noisy, sd, k: losses.smooth_load(*map(torch.tensor, (clean, noisy, sd)), k)),
        ("9.4", lambda logits, k, device: losses.load_balancing_loss(logits, k)),
    ],
)
def test_the_package_s_own_functions_are_refused(question, answer):
    result = check(question, answer)
    assert result.status == Status.NOT_YET
    assert "which is the answer" in result.message


def nearly_equal(gap):
    """Two experts that often win, two close seconds that rarely do, the winner `gap` above them."""
    rows = [[gap, -10, 0, 0]] * 10 + [[-10, gap, 0, 0]] * 8 + [[-10, -10, gap, 0], [-10, -10, 0, gap]]
    return np.array(rows, dtype=float)


def test_the_border_of_a_tie_is_where_the_exercise_says():
    assert judged(BELOW_ONE, nearly_equal(1.01 * LEAST_GAP)).correct
    assert judged(BELOW_ONE, nearly_equal(0.99 * LEAST_GAP)).mistake == "tie"


def test_the_border_of_being_alive_is_where_the_exercise_says():
    for counts, correct in (([200, 180, 10, 10], True), ([200, 182, 9, 9], False)):  # the mean is 100
        winners = np.repeat(np.arange(4), counts)
        h = np.tile([-10.0, -10.0, 0.0, 0.0], (len(winners), 1))
        h[np.arange(len(winners)), winners] = 0.1
        least = np.bincount(winners).min() / len(winners) * 4
        assert (least >= LEAST_LOAD) == correct == judged(BELOW_ONE, h).correct
        assert judged(BELOW_ONE, h).mistake == (None if correct else "dead, as in the lesson")


def test_what_is_judged_is_the_package_s_loss_and_violation():
    h = nearly_equal(0.3)
    verdict = judged(BELOW_ONE, h)
    loss = losses.load_balancing_loss(torch.tensor(h), 1).item()
    assert verdict.correct
    assert f"The balance loss is {loss:.4f}, MaxVio is 1.0000" in verdict.message
    assert chosen_share(h, 1).tolist() == [0.5, 0.4, 0.05, 0.05]


def test_with_two_experts_no_batch_will_do():
    rng = np.random.default_rng(0)
    for scale in (0.1, 1, 10):
        for _ in range(50):
            assert not judged(BELOW_ONE, scale * rng.normal(size=(rng.integers(1, 6), 2))).correct


def test_the_largest_batch_that_is_accepted_fits_into_the_grader_s_reply():
    T, N = MOST_TOKENS, MOST_EXPERTS
    h = np.full((T, N), -10.0)  # (T, N)
    h[:, N // 2 :] = 0
    rarely = np.repeat(np.arange(N // 2, N), 2)  # the close seconds, two tokens each
    winners = np.concatenate([rarely, np.zeros(60, dtype=int), np.arange(T - 60 - N) % (N // 2)])  # (T,)
    h[np.arange(T), winners] = 1 / 30
    assert check("9.5", h.tolist()).status == Status.CORRECT
    assert len(wire.dumps(BELOW_ONE.probe(h.tolist(), {}))) < 0.9 * wire.MOST_BYTES
    for large in (np.vstack([h, h[:1]]), np.hstack([h, h[:, :1]])):
        assert f"1 to {T} tokens (rows) and 2 to {N} experts" in check("9.5", large).message
