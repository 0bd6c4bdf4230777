"""Routers in training: the labelled runs against a run of their own, the regression against what gradients allow."""

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from moe_lessons import metrics
from moe_lessons.data import gaussian_domains
from moe_lessons.experiments.core import drawn, rows_of_step, tensors
from moe_lessons.experiments.router_training import (
    Setting,
    _first_prototypes,
    _task,
    film_run,
    label_runs,
    naming_error,
    regression_runs,
)
from moe_lessons.layer import MoELayer
from moe_lessons.losses import z_loss
from moe_lessons.training import warmup_cosine

QUIET = {"progress": False}


def regression_run(top_k, gate, seed, **settings):
    return regression_runs(top_k, gate, [seed], **settings)[0]


@pytest.fixture(scope="module")
def films():
    return {labels: film_run(labels, seed=1, steps=60, every=20) for labels in (True, False)}


def by_hand(setting, steps, lr=0.01):
    """One supervised router, trained alone, as the lesson's cell does. Returns W_g."""
    task, _ = gaussian_domains(noise_std=setting.noise_std, seed=setting.seed)
    x, domain = torch.tensor(task.x, dtype=torch.float32), torch.tensor(task.domain)
    W = torch.nn.Parameter(_first_prototypes(setting, 16))
    optimizer = torch.optim.Adam([W], lr=lr)
    for step in range(steps):
        h = x[rows_of_step(step, len(x))] @ W
        loss = F.cross_entropy(h, domain[rows_of_step(step, len(x))]) + setting.z_loss_coef * z_loss(h)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return W.detach().numpy()


def test_runs_side_by_side_are_the_runs_alone():
    settings = [Setting(0.5, 1.0, 0.1, seed=3), Setting(2.0, 0.0, 0.0, seed=4), Setting(1.0, 0.1, 0.01, seed=3)]
    for setting, run in zip(settings, label_runs(settings, steps=30, **QUIET), strict=True):
        assert run.setting is setting
        assert run.W_g == pytest.approx(by_hand(setting, 30), abs=1e-5)


def test_broken_control_another_coefficient_gives_another_router():
    (run,) = label_runs([Setting(z_loss_coef=0.1)], steps=30, **QUIET)
    assert run.W_g != pytest.approx(by_hand(Setting(), 30), abs=1e-2)


def test_a_labelled_router_comes_within_two_points_of_the_best_rule():
    for run in label_runs([Setting(noise_std=s, seed=5) for s in (0.5, 1.0, 2.0)], **QUIET):
        assert run.best_accuracy - 0.02 < run.accuracy[-1] < run.best_accuracy + 0.01


def test_without_a_bias_means_of_unequal_length_are_out_of_reach():
    (run,) = label_runs([Setting(noise_std=0.5, norms="unequal")], **QUIET)
    assert run.accuracy[-1] < run.best_accuracy - 0.1


def test_the_measures_are_those_of_their_definitions():
    (run,) = label_runs([Setting(seed=2)], steps=20, measure_at=(0, 10), **QUIET)
    assert run.steps.tolist() == [0, 10, 20]
    _, task = gaussian_domains(noise_std=1.0, seed=2)
    h = task.x @ run.W_g
    p = np.exp(h) / np.exp(h).sum(axis=1, keepdims=True)
    ordered = np.sort(h, axis=1)
    assert run.loss[-1] == pytest.approx(-np.log(p[np.arange(len(h)), task.domain]).mean(), rel=1e-4)
    assert run.gap[-1] == pytest.approx((ordered[:, -1] - ordered[:, -2]).mean(), rel=1e-4)
    assert run.entropy[-1] == pytest.approx(metrics.entropy(p).mean(), rel=1e-4)
    assert run.z[-1] == pytest.approx((np.log(np.exp(h).sum(axis=1)) ** 2).mean(), rel=1e-4)
    assert run.largest[-1] == pytest.approx(np.abs(h).max(), rel=1e-4)
    assert run.accuracy[-1] == pytest.approx(np.mean(h.argmax(axis=1) == task.domain), abs=2e-3)
    assert run.best_accuracy == np.mean(task.best_guess(task.x) == task.domain)


def test_the_best_entropy_is_that_of_the_true_posterior():
    (run,) = label_runs([Setting(noise_std=0.7, seed=2)], steps=1, **QUIET)
    _, task = gaussian_domains(noise_std=0.7, seed=2)
    distance = ((task.x[:, None] - task.means) ** 2).sum(axis=-1)  # (T, D)
    density = np.exp(-(distance - distance.min(axis=1, keepdims=True)) / (2 * 0.7**2))  # (T, D)
    assert run.best_entropy == pytest.approx(metrics.entropy(density / density.sum(axis=1, keepdims=True)).mean())


def test_separated_clusters_run_away_and_a_z_loss_stops_them():
    settings = [Setting(1 / 3), Setting(1 / 3, z_loss_coef=0.1)]
    free, held = label_runs(settings, steps=400, measure_at=(200,), lr=0.05, **QUIET)
    assert free.gap[1] > 1.05 * free.gap[0]
    assert held.gap[1] < 1.02 * held.gap[0]
    assert free.gap[1] > 2 * held.gap[1]


def test_a_renormalised_single_expert_teaches_its_router_nothing():
    with pytest.warns(UserWarning, match="top_k = 1"):
        still = regression_run(1, "topk_softmax", 0, steps=20)
    assert still.moved == 0
    assert still.information == still.before
    moving = regression_run(1, "softmax_topk", 0, steps=20)
    assert moving.moved > 0
    assert moving.before == still.before  # the same seed begins with the same router


@pytest.mark.slow
@pytest.mark.parametrize(("top_k", "gate"), [(2, "topk_softmax"), (1, "softmax_topk"), (3, "softmax_topk_renorm")])
def test_regressions_side_by_side_are_what_layers_alone_become(top_k, gate):
    """The oracle: one `MoELayer`, the same batches, Adam and the schedule of `train`, written out."""
    for seed, run in zip((0, 4), regression_runs(top_k, gate, (0, 4), steps=30), strict=True):
        (x, y), (fresh, target) = (tensors(part) for part in _task(seed))
        layer = drawn(seed, MoELayer, 32, 32, 8, top_k, gate)
        optimizer = torch.optim.Adam(layer.parameters(), lr=5e-3)
        for step in range(30):
            optimizer.param_groups[0]["lr"] = 5e-3 * warmup_cosine(step, 30)
            optimizer.zero_grad()
            (layer(x[rows_of_step(step, len(x))]) - y[rows_of_step(step, len(x))]).square().mean().backward()
            optimizer.step()
        with torch.no_grad():
            found, routing = layer(fresh, return_routing=True)
        error = (found - target).square().mean() / target.var(correction=0)
        assert run.error == pytest.approx(error.item(), rel=1e-3)
        assert np.mean(run.first == routing.selected[:, 0].numpy()) > 0.99
        another = drawn(seed + 1, MoELayer, 32, 32, 8, top_k, gate)
        other = another(fresh).sub(target).square().mean() / target.var(correction=0)
        assert run.error != pytest.approx(other.item(), rel=1e-3)  # the comparison can fail


def test_a_frozen_router_stays_and_its_experts_learn():
    short, longer = (regression_run(2, "topk_softmax", 1, frozen=True, steps=steps) for steps in (5, 60))
    assert short.moved == longer.moved == 0
    assert longer.error < 0.8 * short.error


def test_training_adds_information_about_the_clusters():
    run = regression_run(2, "topk_softmax", 0, steps=250)
    assert run.information > run.before + 0.3
    assert run.information == metrics.mutual_information(run.cluster, run.first)
    assert run.load.sum() == pytest.approx(1)
    assert run.error < 0.4


def test_the_same_call_gives_the_same_run_and_leaves_the_random_numbers_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    one, other = (regression_run(2, "softmax_topk", 3, steps=5) for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    assert one.error == other.error


def test_a_temperature_of_one_changes_nothing_and_another_scales_the_start():
    plain = regression_run(2, "topk_softmax", 0, steps=10)
    assert regression_run(2, "topk_softmax", 0, steps=10, temperature=lambda done: 1.0).error == plain.error
    cold = regression_run(2, "topk_softmax", 0, steps=10, frozen=True, temperature=lambda done: 0.1)
    warm = regression_run(2, "topk_softmax", 0, steps=10, frozen=True, temperature=lambda done: 10.0)
    assert cold.entropy < plain.entropy < warm.entropy
    assert np.array_equal(cold.first, warm.first)  # the temperature selects nobody


def test_the_first_choice_alone_answers_with_the_weight_of_all():
    """The oracle: one layer, its first expert at weight 1 (form A), or at the sum of both (form B)."""
    for gate in ("topk_softmax", "softmax_topk"):
        run = regression_run(2, gate, 0, steps=1, lr=1e-12)
        layer, (fresh, target) = drawn(0, MoELayer, 32, 32, 8, 2, gate), tensors(_task(0)[1])
        with torch.no_grad():
            _, routing = layer(fresh, return_routing=True)
            first = torch.stack([layer.experts.one(i, fresh) for i in range(8)])[
                routing.selected[:, 0], torch.arange(len(fresh))
            ]  # (T, d)
            alone = (routing.weights.sum(dim=1, keepdim=True) * first - target).square().mean()
        assert run.alone == pytest.approx((alone / target.var(correction=0)).item(), rel=1e-3)
        assert run.alone != pytest.approx(run.error, rel=1e-3)  # two experts answer otherwise
    single = regression_run(1, "softmax_topk", 0, steps=1)
    assert single.alone == pytest.approx(single.error)


def test_a_learning_rate_decides_how_far_a_layer_comes():
    slow, usual = (regression_run(2, "topk_softmax", 0, steps=20, lr=lr) for lr in (1e-4, 5e-3))
    assert usual.error == regression_run(2, "topk_softmax", 0, steps=20).error
    assert usual.moved > 10 * slow.moved


def test_a_balance_loss_evens_the_load_and_one_map_leaves_the_tokens():
    plain, balanced, one = (
        regression_run(1, "softmax_topk", 0, steps=60, **more) for more in ({}, {"balance": 1.0}, {"own_maps": False})
    )
    assert balanced.load.std() < 0.8 * plain.load.std()
    assert (one.cluster == plain.cluster).all()
    assert one.before == plain.before
    assert one.error != plain.error


def test_a_schedule_runs_from_its_start_to_its_end():
    asked = []
    regression_run(2, "topk_softmax", 0, steps=4, temperature=lambda done: asked.append(done) or 1.0)
    assert asked == [0, 0.25, 0.5, 0.75, 1]


def test_a_router_that_starts_at_zero_sends_everything_to_the_first_experts():
    run = regression_run(2, "topk_softmax", 0, steps=1, router_scale=0.0)
    assert run.load_before.tolist() == [0.5, 0.5, 0, 0, 0, 0, 0, 0]
    assert run.before == pytest.approx(0, abs=1e-12)


def test_experts_absorb_a_constant_factor_at_the_start_and_learn_at_another_rate():
    plain, absorbed, scaled = (
        [regression_run(2, "softmax_topk", 0, steps=steps, **scales).error for steps in (1, 60)]
        for scales in ({}, {"output_scale": 1 / 16, "expert_scale": 16.0}, {"output_scale": 16.0})
    )
    assert absorbed[0] == pytest.approx(plain[0], rel=0.05)
    assert scaled[0] > 2 * plain[0]
    assert absorbed[1] > 1.05 * plain[1]


def test_both_films_begin_with_the_same_router(films):
    with_labels, end_to_end = films[True], films[False]
    assert np.array_equal(with_labels.W_g[0], end_to_end.W_g[0])
    assert np.array_equal(with_labels.x, end_to_end.x)
    assert not np.array_equal(with_labels.W_g[-1], end_to_end.W_g[-1])
    assert with_labels.loss_name != end_to_end.loss_name


@pytest.mark.parametrize("labels", [True, False])
def test_the_frames_of_a_film_fit_together(films, labels):
    film = films[labels]
    assert film.steps.tolist() == [0, 20, 40, 60]
    assert film.loss[-1] < film.loss[0]
    for frame in range(4):
        assert np.mean((film.x @ film.W_g[frame]).argmax(axis=1) == film.selected[frame]) > 0.999
        assert film.load[frame] == pytest.approx(metrics.expert_load(film.selected[frame][:, None], 4))
        assert film.information[frame] == metrics.mutual_information(film.cluster, film.selected[frame])


def test_the_naming_loss_has_no_gradient_for_experts(films):
    layer = MoELayer(2, 4, 4, 1, "softmax_topk")
    naming_error(layer, (torch.randn(5, 2), torch.zeros(5, dtype=torch.long)))["loss"].backward()
    assert layer.router.W_g.grad.abs().max() > 0
    assert layer.experts.W1.grad is None


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (partial(label_runs, []), "settings = []"),
        (partial(label_runs, [Setting()], steps=0), "steps = 0"),
        (partial(label_runs, [Setting(noise_std=0.0)], **QUIET), "noise_std = 0.0"),
        (partial(label_runs, [Setting(norms="odd")], **QUIET), "norms = 'odd'"),
        (partial(regression_run, 9, "topk_softmax", 0), "top_k = 9"),
        (partial(regression_runs, 2, "topk_softmax", []), "seeds = []"),
        (partial(regression_run, 2, "soft", 0), "gate = 'soft'"),
        (partial(regression_run, 2, "topk_softmax", 0, steps=0), "steps = 0"),
        (partial(regression_run, 2, "topk_softmax", 0, steps=1, lr=0.0), "lr = 0.0"),
        (partial(film_run, True, steps=30, every=7), "every = 7"),
        (partial(film_run, True, steps=0), "steps = 0"),
    ],
)
def test_bad_input(call, named):
    with pytest.raises(ValueError, match="expected") as error:
        call()
    assert str(error.value).startswith(named)
