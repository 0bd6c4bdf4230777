"""What the experiments share: what a seed decides, batches, training to the end, histories, tables."""

import os
import signal

import numpy as np
import pytest
import torch

from moe_lessons.data import clustered_regression
from moe_lessons.experiments import core
from moe_lessons.experiments.core import BATCH, Column, batches, drawn, frames, mean_sd, rows_of_step, table, trained
from moe_lessons.layer import MoELayer
from moe_lessons.training import History, constant

SIZES = (6, 5, 4, 2)


# --- what a seed decides ------------------------------------------------------------------------------------------


def test_a_seed_decides_the_layer_and_the_callers_random_numbers_stay():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    one, again, other = (drawn(seed, MoELayer, *SIZES, gate="softmax_topk").router.W_g for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    torch.manual_seed(1)
    assert torch.equal(one, MoELayer(*SIZES).router.W_g)


def test_a_step_has_its_rows_whenever_it_is_taken():
    rows = rows_of_step(3, 50).clone()
    assert rows.shape == (BATCH,)
    assert set(rows.tolist()) <= set(range(50))
    core.rows_of_step.cache_clear()
    rows_of_step(4, 50)
    assert torch.equal(rows_of_step(3, 50), rows)
    assert not torch.equal(rows_of_step(4, 50), rows)


# --- a task -------------------------------------------------------------------------------------------------------


def test_a_batch_takes_its_rows_from_tokens_and_targets_of_every_task():
    parts = [clustered_regression(40, 3, 2, test_T=1, seed=seed)[0] for seed in (0, 1)]
    (x, y), (x_1, y_1) = map(core.tensors, parts)
    assert x.dtype == y.dtype == torch.float32
    rows = rows_of_step(5, 40)
    found, target = batches(x, y)(5)
    assert torch.equal(found, x[rows])
    assert torch.equal(target, y[rows])
    found, names = batches(torch.stack([x, x_1]), torch.stack([y[:, 0], y_1[:, 0]]))(5)
    assert torch.equal(found, torch.stack([x[rows], x_1[rows]]))
    assert torch.equal(names, torch.stack([y[rows, 0], y_1[rows, 0]]))
    assert torch.equal(batches(x, y, lambda step: torch.tensor([step, 0]))(2)[0], x[[2, 0]])


# --- training -----------------------------------------------------------------------------------------------------


def fall(model, batch):
    return {"loss": model.weight.square().sum()}


def test_training_is_measured_on_the_way_and_says_nothing(capsys):
    model = torch.nn.Linear(2, 1)
    torch.nn.init.constant_(model.weight, 3.0)  # far enough to fall six times
    watch = lambda model, step: {"size": model.weight.norm().numpy(), "twice": np.array([step, step])}  # noqa: E731
    history = trained(model, lambda step: None, fall, 6, lr=0.1, schedule=constant, watch=watch, watch_at=(0, 4, 6))
    measured = frames(history)
    assert list(measured) == ["steps", "size", "twice"]
    assert measured["steps"].tolist() == [0, 4, 6]
    assert measured["twice"].tolist() == [[0, 0], [4, 4], [6, 6]]
    assert measured["size"].shape == (3,)
    assert measured["size"][2] < measured["size"][1] < measured["size"][0]
    assert history.step == [6]
    assert capsys.readouterr().err == ""


def test_half_an_experiment_is_no_result():
    def interrupted(step):
        if step == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trained(torch.nn.Linear(2, 1), interrupted, fall, 5)
    whole = History(steps_done=5)
    assert core.to_the_end(whole) is whole


def test_no_step_is_no_experiment():
    with pytest.raises(ValueError, match="steps = 0: expected"):
        trained(torch.nn.Linear(2, 1), lambda step: None, fall, 0)


# --- tables -------------------------------------------------------------------------------------------------------


def test_a_table_has_a_line_of_heads_and_one_for_each_result():
    columns = [Column("name", "{:<6}", str.upper), Column("letters", " {:>8}", len), Column("first", "  {}", min)]
    assert table(columns, ["ba", "fedc"]).splitlines() == [
        "name    letters  first",
        "BA            2  a",
        "FEDC          4  c",
    ]
    assert table(columns, []) == "name    letters  first"


def test_mean_and_deviation_are_those_of_a_sample():
    assert mean_sd([1.0, 2.0, 4.5], 2) == "2.50 ± 1.80"
    assert mean_sd(np.array([0.25]), 3) == "0.250 ± 0.000"
