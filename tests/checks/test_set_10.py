"""The set's own arithmetic agrees with the package and with counting; its borders are where the exercises say."""

import numpy as np
import pytest
import torch

from moe_lessons import losses
from moe_lessons.balancing import BiasBalancer, within_capacity
from moe_lessons.checks import bias_logs, check
from moe_lessons.checks.apart import tells_apart
from moe_lessons.checks.engine import Status
from moe_lessons.checks.set_09.q4_devices import balance
from moe_lessons.checks.set_09.q5_below_one import LEAST_GAP as CLEAR_WINNER
from moe_lessons.checks.set_09.q5_below_one import MOST_EXPERTS, MOST_TOKENS
from moe_lessons.checks.set_10.q1_capacity import KEPT, kept_cases, kept_reference
from moe_lessons.checks.set_10.q2_cost import COST, by_device, cost_cases, costs, kept_of, rows_of
from moe_lessons.checks.set_10.q3_bias import LEAST_GAP, SPEEDS, UPDATE, step, update_cases
from moe_lessons.checks.set_10.q4_pooled import LEAST_ALONE, MOST_POOLED, POOLED
from moe_lessons.checks.set_10.q5_logs import LOGS, MEASURES, RUNS, is_met, right_measures, training_log
from moe_lessons.grading import wire

SEEDS = range(20)


def judged(question, answer, seed=0):
    data = question.draw(np.random.default_rng(seed))
    return question.verdict(data, question.probe(answer, data))


# --- 10.1 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_who_has_a_place_agrees_with_the_package(seed):
    for selected, weights, C, N, priority in kept_cases(np.random.default_rng(seed)):
        kept = within_capacity(torch.tensor(selected), torch.tensor(weights), C, N, priority).numpy()
        np.testing.assert_array_equal(kept_reference(selected, weights, C, N, priority), kept)
        assert len(np.unique(weights)) == weights.size
        assert not kept.all()
    asked = [(0 in selected, N - 1 in selected) for selected, _, _, N, _ in kept_cases(np.random.default_rng(seed))]
    assert {(True, False), (False, True)} <= set(asked)  # now nobody asks for the last, now for the first
    assert (True, True) not in asked


def test_a_half_right_answer_is_told_which_half():
    def answer(selected, weights, capacity, num_experts, priority):
        kept = kept_reference(selected, weights, capacity, num_experts, priority)
        return kept if priority == "position" else kept & (weights > 0.4)

    verdict = judged(KEPT, answer)
    assert (verdict.correct, verdict.mistake) == (False, None)
    assert verdict.message.startswith('With priority "position" all is right; with "probability" it is not.')


def test_the_queue_of_the_first_wrong_assignment_is_written_out():
    verdict = judged(KEPT, lambda selected, weights, C, N, priority: np.ones(selected.shape, dtype=bool))
    assert "There, E" in verdict.message
    assert "Who asks, in the order of service: t" in verdict.message
    assert verdict.seen.rstrip(".").endswith("has none")


def test_tokens_are_counted_from_1_in_every_line():
    """A row of a large case is called t3, as in the queue, not [2]."""

    def answer(selected, weights, C, N, priority):
        kept = kept_reference(selected, weights, C, N, priority)
        if len(kept) == 30:
            kept[2] = ~kept[2]
        return kept

    message = judged(KEPT, answer).message
    assert "for t3 expected" in message
    assert "So t3, number" in message


# --- 10.2 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_the_costs_agree_with_rows_that_are_laid_out(seed):
    for load, device, C, block in cost_cases(np.random.default_rng(seed)):
        slices = [np.arange(C if C is not None else n + -n % block) < n for n in load]
        full = sum(int(row.sum()) for row in slices)
        busiest = max(sum(len(slices[i]) for i in np.flatnonzero(device == d)) for d in set(device))
        assert costs(load, device, C, block) == (sum(map(len, slices)) - full, load.sum() - full, busiest)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_cases_hold_what_the_mistakes_hang_on(seed):
    cases = cost_cases(np.random.default_rng(seed))
    assert {C is None for _, _, C, _ in cases} == {True, False}
    for load, device, C, block in cases:
        assert 0 in load
        assert (load[load > 0] % block == 0).any()
        assert set(device) == set(range(device.max() + 1))
        rows = rows_of(load, C, block)
        assert by_device(rows, device).max() > rows.max()  # a device is more than an expert
        if C is not None:
            assert kept_of(load, C).sum() < load.sum()
    busiest = [by_device(rows_of(load, C, block), device).argmax() for load, device, C, block in cases]
    assert busiest == [0, 2, 1, 0, 1, 3]  # the first, the last, and one between


# --- 10.3 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_the_bias_step_selects_as_the_package_does_and_hangs_on_no_rounding(seed):
    for scores, bias, speed, u, k in update_cases(np.random.default_rng(seed)):
        assert np.diff(np.sort(scores + bias)).min() > LEAST_GAP
        assert speed.sum() == SPEEDS
        assert np.issubdtype(speed.dtype, np.integer)
        share = speed / SPEEDS
        balancer = BiasBalancer(len(bias), u)
        balancer.bias.copy_(torch.tensor(bias))
        s = torch.tensor(scores)
        selected = balancer.select(s, k)
        load = torch.bincount(selected.flatten(), minlength=len(bias))
        own = s.gather(-1, selected)
        expected = selected, own / own.sum(-1, keepdim=True)
        for mine, theirs in zip(step(scores, bias, speed, u, k), expected, strict=False):
            np.testing.assert_allclose(mine, theirs.numpy(), atol=1e-6)
        moved = bias + u * np.sign(share * selected.numel() - load.numpy())
        np.testing.assert_allclose(step(scores, bias, speed, u, k)[2], moved)
        times = load.numpy() / speed
        faster = np.sign(selected.numel() / speed.sum() - times)  # than if all finished together
        np.testing.assert_array_equal(np.sign(moved - bias), faster)


@pytest.mark.parametrize("question", [KEPT, COST, UPDATE], ids=lambda question: question.id)
@pytest.mark.parametrize("seed", SEEDS)
def test_no_known_mistake_comes_to_what_is_right_or_to_what_another_comes_to(question, seed):
    assert tells_apart(question, question.cases(np.random.default_rng(seed)))


@pytest.mark.parametrize("seed", SEEDS)
def test_two_cases_have_an_expert_at_its_share(seed):
    at_share = [
        0 in np.sign(new - bias).round(9)
        for scores, bias, speed, u, k in update_cases(np.random.default_rng(seed))
        for new in [step(scores, bias, speed, u, k)[2]]
    ]
    assert sum(at_share) >= 2


def test_with_equal_speeds_it_is_the_package_s_update():
    rng = np.random.default_rng(0)
    scores, bias, speed = rng.random((20, 4)), rng.normal(size=4) / 10, np.full(4, 8)
    balancer = BiasBalancer(4, 0.02)
    balancer.bias.copy_(torch.tensor(bias))
    balancer.update(torch.bincount(balancer.select(torch.tensor(scores), 2).flatten(), minlength=4))
    np.testing.assert_allclose(step(scores, bias, speed, 0.02, 2)[2], balancer.bias.numpy(), atol=1e-6)


# --- 10.4 ---------------------------------------------------------------------------------------------------------


def two_layers(p, N=4):
    """Layer 1 has collapsed onto E1 with this probability, layer 2 leans to E2 and leaves E1 out."""
    rest = (1 - p) / (N - 1)
    return np.stack([np.log([[p] + [rest] * (N - 1)] * 4), 20 * np.eye(N)[[1, 1, 2, 3]]])


def test_the_balance_loss_is_the_package_s():
    h = np.random.default_rng(0).normal(size=(50, 6))
    assert balance(h, 1) == pytest.approx(losses.load_balancing_loss(torch.tensor(h), 1).item(), rel=1e-6)


def test_the_borders_are_where_the_exercise_says():
    """Layer 1 alone has the loss 4p. Pooled it is p + r + 3/8 with r = (1 − p)/3, what each other has."""
    assert balance(two_layers(0.3)[0], 1) == pytest.approx(LEAST_ALONE)
    assert judged(POOLED, two_layers(0.301)).correct
    assert judged(POOLED, two_layers(0.299)).mistake == "too faint"
    border = (MOST_POOLED - 0.375 - 1 / 3) / (2 / 3)
    assert balance(np.concatenate(two_layers(border)), 1) == pytest.approx(MOST_POOLED)
    assert judged(POOLED, two_layers(border - 0.001)).correct
    assert judged(POOLED, two_layers(border + 0.001)).mistake == "winner too sure"
    assert judged(POOLED, two_layers(0.3)).correct
    assert "loss 1.1996 and" in judged(POOLED, two_layers(0.2999)).message
    close = two_layers(0.45)
    close[1, 0, 2] = 20 - 0.99 * CLEAR_WINNER
    assert judged(POOLED, close).mistake == "tie"
    close[1, 0, 2] = 20 - CLEAR_WINNER
    assert judged(POOLED, close).mistake != "tie"


@pytest.mark.parametrize("p", [0.35, 0.45])
def test_the_pooled_loss_of_a_collapsed_layer_is_the_package_s(p):
    layers = torch.tensor(two_layers(p))
    assert losses.load_balancing_loss(layers, 1).item() == pytest.approx(balance(np.concatenate(two_layers(p)), 1))
    assert losses.load_balancing_loss(layers, 1) <= MOST_POOLED < losses.load_balancing_loss(layers[0], 1)


# --- 10.5 ---------------------------------------------------------------------------------------------------------


def test_every_measure_is_needed_and_is_the_only_one_where_something_is_wrong():
    right = right_measures()
    assert set(right.values()) == set(MEASURES)
    for run, setting in RUNS.items():
        met = {name for name, measure in MEASURES.items() if is_met(bias_logs.outcome(measure(setting)))}
        assert "nothing" in met if right[run] == "nothing" else met == {right[run]}


def test_a_log_shows_what_its_answer_hangs_on():
    numbers = {run: [line.split() for line in training_log(run).splitlines()[2:7]] for run in RUNS}
    columns = {run: np.array([[float(x.strip("%")) for x in row[3:]] for row in rows]) for run, rows in numbers.items()}
    assert (columns["D"][0, :2] - columns["D"][-1, :2] > 0.3).all()  # still falling
    assert (columns["F"][0, :2] - columns["F"][-1, :2] > 0.15).all()
    assert np.abs(columns["B"][0, :2] - columns["B"][-1, :2]).max() < 0.15  # flat, and even when pooled
    assert columns["B"][-1, 2] < 0.3
    assert (columns["E"][2:, 3] > 2).all()


def test_a_wrong_measure_is_carried_out_and_shown():
    verdict = judged(LOGS, right_measures() | {"A": "raise c", "D": "nothing"})
    assert verdict.mistake == "A: raise c"
    after = bias_logs.outcome(MEASURES["raise c"](RUNS["A"]))
    assert f"After `raise c`, run A has MaxVio {after.violation[0]:.2f} and {after.violation[1]:.2f}" in verdict.message
    assert verdict.message.endswith("\nRight: B; C; E; F. Not yet: A; D.")


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ("A", "already. One bias for both makes their sum even and leaves each uneven; here the sum is uneven, too."),
        ("D", "already. One bias for both makes their sum even and leaves each uneven; here the sum is uneven, too."),
        ("E", "already. MaxVio meets its demand already; only the drops do not."),
        ("F", "already: see whether both layers' MaxVio falls in the log. With one bias for both it would not."),
    ],
)
def test_a_bias_for_each_layer_is_refuted_with_what_the_log_shows(run, told):
    assert f"Each layer had its own bias {told}" in judged(LOGS, right_measures() | {run: "per layer"}).message
    pooled = [float(line.split()[5]) for line in training_log(run).splitlines()[2:7]]
    if "the sum is uneven" in told:
        assert min(pooled) > 1.5 * bias_logs.dice_violation(RUNS[run].T)


@pytest.mark.parametrize("measure", ["raise u", "lower u", "nothing"])
def test_who_moves_loads_that_are_even_already_is_told_so(measure):
    told = "MaxVio meets its demand already; only the drops do not."
    assert told in judged(LOGS, right_measures() | {"E": measure}).message
    assert told not in judged(LOGS, right_measures() | {"B": measure}).message


# --- all ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("10.1", lambda s, w, C, N, priority: within_capacity(torch.tensor(s), torch.tensor(w), C, N, priority)),
        ("10.3", lambda scores, bias, share, u, k: (BiasBalancer(len(bias), u).select(torch.tensor(scores), k), 0, 0)),
    ],
)
def test_the_package_s_own_functions_are_refused(question, answer):
    result = check(question, answer)
    assert result.status == Status.NOT_YET
    assert "which is the answer" in result.message


def test_the_largest_layers_that_are_accepted_fit_into_the_grader_s_reply():
    T, N = MOST_TOKENS, MOST_EXPERTS
    first = np.log([0.02] + [0.98 / (N - 1)] * (N - 1))  # (N,)
    wins = np.where(np.arange(T) % 16 == 0, 1, 2 + np.arange(T) % (N - 8))  # (T,)
    layers = np.stack([np.tile(first, (T, 1)), 64 / 3 * np.eye(N)[wins]])  # (2, T, N)
    assert check("10.4", layers.tolist()).status == Status.CORRECT
    assert len(wire.dumps(POOLED.probe(layers.tolist(), {}))) < 0.9 * wire.MOST_BYTES
    for large in (np.repeat(layers, 2, axis=1), np.repeat(layers, 2, axis=2)):
        assert f"1 to {T} tokens (rows) and 2 to {N} experts" in check("10.4", large).message
