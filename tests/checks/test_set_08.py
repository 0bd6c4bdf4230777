"""What set 08 says of its questions is so: steps by autograd, broken runs, wedges, entries by trying all subsets."""

import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import ndtr

from moe_lessons import losses
from moe_lessons.checks import check
from moe_lessons.checks.apart import told_apart
from moe_lessons.checks.engine import Status
from moe_lessons.checks.set_08.q1_domains import DOMAINS, TOKENS, domain_cases
from moe_lessons.checks.set_08.q2_step import STEP, gradient
from moe_lessons.checks.set_08.q3_fresh import BROKEN, OTHER_CHOICES, by_mean, differences, fresh_cases
from moe_lessons.checks.set_08.q4_bias import DIRECTIONS, WITHOUT, accuracy_with, angular_mass, best_without_bias
from moe_lessons.checks.set_08.q5_entries import ENTRIES, IMPOSSIBLE, MISTAKEN, entry_cases, hangs_on_a_tie


def drawn(means, noise_std, T, rng):
    domain = rng.integers(len(means), size=T)
    return means[domain] + noise_std * rng.normal(size=(T, means.shape[1])), domain


def test_means_have_equal_norms_and_no_number_of_domains_divides_the_tokens():
    for seed in range(20):
        for means, _, T in domain_cases(np.random.default_rng(seed)):
            assert np.ptp(np.linalg.norm(means, axis=1)) < 1e-5
            assert T == TOKENS
            assert T % len(means)


def test_right_data_is_never_refused_and_a_little_too_much_noise_always_is():
    for seed in range(25):
        data = DOMAINS.draw(np.random.default_rng(seed))
        assert DOMAINS.judge(data, DOMAINS.probe(drawn, data)).correct, seed
        louder = DOMAINS.probe(lambda means, sd, T, rng: drawn(means, 1.08 * sd, T, rng), data)
        assert not DOMAINS.judge(data, louder).correct, seed


def test_in_the_second_case_the_clusters_overlap():
    for seed in range(20):
        means, sd, T = domain_cases(np.random.default_rng(seed))[1]
        x, domain = drawn(means, sd, T, np.random.default_rng(seed))
        assert np.mean((x @ means.T).argmax(axis=1) != domain) > 0.05


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, float])
def test_whole_numbers_of_any_dtype_are_domains(dtype):
    data = DOMAINS.draw(np.random.default_rng(0))
    reply = DOMAINS.probe(lambda *case: (lambda x, domain: (x, domain.astype(dtype)))(*drawn(*case)), data)
    assert DOMAINS.judge(data, reply).correct
    halves = DOMAINS.probe(lambda *case: (lambda x, domain: (x, domain / 2))(*drawn(*case)), data)
    assert DOMAINS.judge(data, halves).mistake == "domains not whole"


def test_in_the_last_step_whoever_clips_the_gradient_at_1_clips_it():
    for seed in range(50):
        W, x, domain, _, c = STEP.draw(np.random.default_rng(seed))["cases"][-1]
        assert np.abs(gradient(W, x, domain, c)).max() > 1.19


@pytest.mark.parametrize("seed", range(5))
def test_the_step_is_that_of_autograd(seed):
    for W, x, domain, lr, c in STEP.draw(np.random.default_rng(seed))["cases"]:
        leaf = torch.tensor(W, dtype=torch.float64, requires_grad=True)
        h = torch.tensor(x, dtype=torch.float64) @ leaf
        (F.cross_entropy(h, torch.tensor(domain)) + c * losses.z_loss(h)).backward()
        assert STEP.reference(W, x, domain, lr, c) == pytest.approx((leaf - lr * leaf.grad).detach().numpy(), abs=1e-5)
        assert STEP.reference(W, x, domain, lr, c) != pytest.approx((leaf + lr * leaf.grad).detach().numpy(), abs=1e-3)


def test_numpy_inside_the_step_is_met_with_advice():
    result = check("8.2", lambda W, x, domain, lr, z_loss_coef: np.linalg.solve(W, x))
    assert result.status == Status.RAISED
    assert "comes without gradients" in result.message


def test_a_step_in_place_is_right_with_a_remark():
    def in_place(W, x, domain, lr, z_loss_coef):
        return W.copy_(torch.tensor(STEP.reference(W.numpy(), x.numpy(), domain.numpy(), lr, z_loss_coef)))

    result = check("8.2", in_place)
    assert result.status == Status.CORRECT
    assert "changes its input W" in result.message


@pytest.mark.parametrize("optimiser", [torch.optim.Adam, torch.optim.AdamW, "sign"])
def test_a_step_that_forgets_the_size_of_the_gradient_is_named_after_adam(optimiser):
    def step(W, x, domain, lr, z_loss_coef):
        W = torch.nn.Parameter(W.clone())
        h = x @ W
        (F.cross_entropy(h, domain) + z_loss_coef * losses.z_loss(h)).backward()
        if optimiser == "sign":
            return W - lr * W.grad.sign()
        optimiser([W], lr=lr).step()
        return W

    assert check("8.2", step, seed=0).mistake == "Adam"


def test_a_run_of_each_trick_broke_down_and_none_that_is_reported():
    for seed in range(10):
        for choosing, fresh in fresh_cases(np.random.default_rng(seed)):
            assert ((choosing == BROKEN).sum(axis=(1, 2)) == [0, *[1] * (len(choosing) - 1)]).all()
            chosen = choosing[np.arange(len(choosing)), by_mean(choosing, fresh)]
            assert np.isfinite(chosen).all()
            assert np.isfinite(fresh).all()


def test_no_other_choice_names_the_right_rates_and_some_trick_helps():
    for seed in range(10):
        cases = fresh_cases(np.random.default_rng(seed))
        for choosing, fresh in cases:
            right = by_mean(choosing, fresh)
            others = [choice(choosing, fresh) for choices in OTHER_CHOICES.values() for choice in choices]
            assert all((other != right).any() for other in others)
            assert differences(choosing, fresh).mean(axis=1).min() < 0
        assert told_apart(OTHER_CHOICES, cases)


def test_the_mass_in_each_direction_is_that_of_samples():
    mean = np.array([1.2, -0.7])
    x = mean + np.random.default_rng(0).normal(size=(200_000, 2))
    half = angular_mass(mean)[: DIRECTIONS // 2].sum()  # the upper half plane
    assert half == pytest.approx(ndtr(mean[1]), abs=1e-4)
    quarter = angular_mass(mean)[: DIRECTIONS // 4].sum()
    assert quarter == pytest.approx(np.mean((x > 0).all(axis=1)), abs=5e-3)


@pytest.mark.parametrize(
    "means", [[[2, 0], [7, 0]], [[3, 0], [0, 3]], [[1, 2], [-2, 1], [2, 4]], [[4, 0], [0, 4], [8, 0]]]
)
def test_no_router_without_a_bias_beats_the_best_wedges(means):
    means, rng = np.array(means, dtype=float), np.random.default_rng(1)
    noise = rng.normal(size=(3000, 2))
    W = rng.normal(size=(1500, 2, len(means)))  # many routers (d, N)
    right = [((mean + noise) @ W).argmax(axis=-1) == i for i, mean in enumerate(means)]  # (1500, 3000) each
    found = np.mean(right, axis=(0, 2)).max()
    assert best_without_bias(means) - 0.03 < found < best_without_bias(means) + 0.015
    assert best_without_bias(means) < accuracy_with(means, -(means**2).sum(axis=1) / 2) + 0.01


def test_two_means_on_a_ray_stay_below_three_quarters():
    for short in (0.0, 0.5, 2.0, 5.0):
        for long in (6.0, 8.0, 10.0):
            assert best_without_bias(np.array([[short, 0.0], [long, 0.0]])) <= 0.7501 < WITHOUT


def by_trying(x, W_g):
    """The fewest entries of one token by trying every subset, smallest first."""
    first = (x @ W_g).argmax()
    for many in range(1, len(x)):
        for gone in combinations(range(len(x)), many):
            h = np.delete(x, gone) @ np.delete(W_g, gone, axis=0)  # (N,)
            if (np.delete(h, first) > h[first]).any():
                return many
    return IMPOSSIBLE


@pytest.mark.parametrize("seed", range(3))
def test_the_fewest_entries_are_those_found_by_trying_all_subsets(seed):
    for x, W_g in entry_cases(np.random.default_rng(seed))[:2]:
        right = ENTRIES.reference(x, W_g)
        assert right.tolist() == [by_trying(token, W_g) for token in x]
        assert sorted(right)[:2] == [IMPOSSIBLE, max(1, sorted(right)[1])]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_of_the_terms_are_exact_in_any_order(dtype):
    for x, W_g in entry_cases(np.random.default_rng(0)):
        terms = (x.astype(dtype)[:, :, None] * W_g.astype(dtype)).astype(float)  # (T, d, N)
        whole = terms * 256
        assert (whole == whole.round()).all()
        assert np.abs(whole).sum(axis=1).max() < 2**23  # every partial sum is a whole number that float32 holds


def test_no_count_hangs_on_equal_logits():
    for x, W_g in entry_cases(np.random.default_rng(1)):
        assert not any(hangs_on_a_tie(token, W_g) for token in x)
    level = np.array([1.0, 1.0, 1.0]), np.array([[1.0, 0.0], [0.5, 0.0], [0.0, 0.5]])
    assert hangs_on_a_tie(*level)  # E2 is level once the first entry is gone


def test_every_mistaken_count_is_seen_in_some_case():
    for seed in range(3):
        cases = entry_cases(np.random.default_rng(seed))
        for name, ways in MISTAKEN.items():
            for way in ways:
                assert any((way(*case) != ENTRIES.reference(*case)).any() for case in cases), name


BY_SGD = """
import sys
from moe_lessons.checks import check

def answer(W, x, domain, lr, z_loss_coef):
    import torch
    assert "torch._dynamo" in sys.modules, "left for the learner's time"
    W = torch.nn.Parameter(W.clone())
    sgd = torch.optim.SGD([W], lr=lr)
    h = x @ W
    loss = torch.nn.functional.cross_entropy(h, domain) + z_loss_coef * h.logsumexp(-1).square().mean()
    loss.backward()
    sgd.step()
    return W

print(check("8.2", answer).status.name)
"""


@pytest.mark.slow
def test_an_optimiser_is_right_in_a_fresh_process_for_torch_is_loaded_before_the_time_counts():
    run = subprocess.run([sys.executable, "-c", BY_SGD], capture_output=True, text=True, check=True)
    assert run.stdout.split()[-1] == "CORRECT", run.stdout
