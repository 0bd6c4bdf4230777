"""The training loop: the same run every time, stopped by hand or by a crash, resumed as if nothing had happened."""

import os
import signal
import threading
import warnings

import pytest
import torch
from torch import nn

from moe_lessons import training
from moe_lessons.layer import MoELayer
from moe_lessons.training import History, constant, train, warmup_cosine


def a_model(seed=0, width=16):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), MoELayer(8, width, 4, 2, noise=True))


def a_batch(step):
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(32, 4, generator=generator)
    return x, torch.cat([x.sin(), x.cos()], dim=1)


def error(model, batch):
    x, target = batch
    loss = (model(x) - target).square().mean()
    return {"loss": loss, "twice": 2 * loss}


def run(model, steps=20, **options):
    return train(model, a_batch, error, steps, progress=False, **options)


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_training_lowers_the_loss_and_keeps_a_record():
    model = a_model()
    history = run(model, 200, record_every=50)
    assert history.step == [50, 100, 150, 200]
    assert history.losses["loss"][-1] < 0.7 * history.losses["loss"][0]
    assert history.losses["twice"] == [pytest.approx(2 * loss) for loss in history.losses["loss"]]
    assert history.steps_done == 200
    assert history.seconds > 0
    assert not history.stopped_by_hand


def test_the_same_seed_gives_the_same_run():
    one, other = a_model(), a_model()
    torch.manual_seed(5)
    first = run(one)
    torch.manual_seed(5)
    second = run(other)
    assert first.losses == second.losses
    assert same(one, other)


def test_the_last_step_is_recorded_and_no_step_is_no_harm():
    assert run(a_model(), 7, record_every=5).step == [5, 7]
    model = a_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert run(model, 0).step == []
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_schedules():
    factors = [warmup_cosine(step, 100) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == 1
    assert factors.index(1) in (9, 10)
    assert factors[-1] < 0.11
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert {constant(step, 100) for step in range(100)} == {1}
    assert 0 < warmup_cosine(0, 1) <= 1


def test_the_learning_rate_follows_the_schedule():
    one, other = a_model(), a_model()
    run(one, 5, schedule=lambda step, steps: 0.0)
    assert same(one, other)


def test_another_optimiser_may_take_the_steps():
    """The oracle: gradient descent on the same batches, written out."""
    torch.manual_seed(0)
    model, with_adam, by_hand = (nn.Linear(4, 8) for _ in range(3))
    for other in (with_adam, by_hand):
        other.load_state_dict(model.state_dict())
    settings = {"lr": 0.1, "schedule": constant, "progress": False}
    train(model, a_batch, error, 3, optimizer=torch.optim.SGD, **settings)
    train(with_adam, a_batch, error, 3, **settings)
    for step in range(3):
        by_hand.zero_grad()
        error(by_hand, a_batch(step))["loss"].backward()
        with torch.no_grad():
            by_hand.weight -= 0.1 * by_hand.weight.grad
            by_hand.bias -= 0.1 * by_hand.bias.grad
    torch.testing.assert_close(model.state_dict(), by_hand.state_dict())
    assert not torch.allclose(with_adam.weight, by_hand.weight)  # broken control


def test_watch_looks_when_asked_without_gradients():
    def look(model, step):
        assert not torch.is_grad_enabled()
        return {"step": step, "norm": model[0].weight.norm()}

    history = run(a_model(), 10, watch=look, watch_at=(0, 3, 10))
    assert [step for step, _ in history.snapshots] == [0, 3, 10]
    assert [found["step"] for _, found in history.snapshots] == [0, 3, 10]
    norms = [found["norm"].item() for _, found in history.snapshots]
    assert len(set(norms)) == 3


def test_after_each_step_a_balancer_may_act():
    seen = []
    run(a_model(), 4, after_step=lambda model, step: seen.append(step))
    assert seen == [0, 1, 2, 3]


# --- stopping -----------------------------------------------------------------------------------------------------


def test_an_interrupt_stops_after_the_step_and_keeps_everything(tmp_path):
    model, steps = a_model(), []

    def batch(step):
        steps.append(step)
        if step == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return a_batch(step)

    history = train(model, batch, error, 1000, checkpoint=tmp_path / "run.pt", progress=False)
    assert history.stopped_by_hand
    assert history.steps_done == history.step[-1] == 7
    assert torch.isfinite(model(torch.randn(5, 4))).all()
    assert (tmp_path / "run.pt").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_interrupt_breaks_in_at_once():
    def batch(step):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        return a_batch(step)

    with pytest.raises(KeyboardInterrupt):
        train(a_model(), batch, error, 10, progress=False)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_thread_may_train_too():
    found = []
    thread = threading.Thread(target=lambda: found.append(run(a_model(), 3)))
    thread.start()
    thread.join()
    assert found[0].steps_done == 3


# --- what can go wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": -1}, "steps = -1"),
        ({"lr": 0.0}, "lr = 0.0"),
        ({"record_every": 0}, "record_every = 0"),
        ({"schedule": lambda step, steps: -1.0}, r"schedule\(0, 20\) = -1.0: expected a finite number from 0"),
        ({"schedule": lambda step, steps: 1 - step}, r"schedule\(2, 20\) = -1.0"),
        ({"schedule": lambda step, steps: torch.nan}, r"schedule\(0, 20\) = nan"),
    ],
)
def test_settings_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        run(a_model(), **options)


def test_a_loss_that_is_missing_or_not_finite():
    with pytest.raises(ValueError, match='an entry "loss"'):
        train(a_model(), a_batch, lambda m, b: {"error": error(m, b)["loss"]}, 2, progress=False)
    with pytest.raises(ValueError, match="the loss of step 0 = nan: expected a finite number: is lr too large"):
        train(a_model(), a_batch, lambda m, b: {"loss": error(m, b)["loss"] * torch.nan}, 2, progress=False)


def test_the_mode_of_the_model_is_left_as_it_was():
    model = a_model().eval()
    modes = []

    def spying(model, batch):
        modes.append(model.training)
        return error(model, batch)

    train(model, a_batch, spying, 2, progress=False)
    assert modes == [True, True]
    assert not model.training


def test_frozen_parameters_stay(monkeypatch):
    model = a_model()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    run(model, 5)
    assert torch.equal(model[0].weight, before)


def test_the_bar_shows_loss_and_time(capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train(a_model(), a_batch, error, 20)
    shown = capsys.readouterr().out
    assert "20/20" in shown
    assert "loss=" in shown


def test_the_device_is_one_that_torch_can_use():
    assert torch.zeros(2, device=training.device()).sum() == 0
    assert History().losses == {}
