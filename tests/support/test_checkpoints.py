"""Checkpoints: the same run goes on as if nothing had happened, another one is refused, and nothing is lost."""

import functools
import os
import random
import signal
import subprocess
import sys
import warnings
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from moe_lessons.layer import MoELayer
from moe_lessons.support import checkpoints
from moe_lessons.support.checkpoints import checkpoint_path
from moe_lessons.training import constant, train, warmup_cosine

AFRESH = "to start afresh, delete .* or name another checkpoint"


def a_model(seed=0, width=16, **options):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), MoELayer(8, width, 4, 2, noise=True, **options))


def a_batch(step, seed=0):
    x = torch.randn(32, 4, generator=torch.Generator().manual_seed(1000 * seed + step))
    return x, torch.cat([x.sin(), x.cos()], dim=1)


def error(model, batch):
    x, target = batch
    return {"loss": (model(x) - target).square().mean()}


def run(model, steps=20, stop_at=None, batch=a_batch, losses=error, **options):
    """Train; with `stop_at`, somebody presses the square in the step before so many are done."""

    def drawn(step):
        if step + 1 == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        return batch(step)

    return train(model, drawn, losses, steps, **{"progress": False, "lr": 0.01, **options})


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.pt"


# --- going on -----------------------------------------------------------------------------------------------------


def test_a_resumed_run_equals_one_that_was_never_stopped(path):
    whole = a_model()
    straight = run(whole)
    assert run(a_model(), stop_at=9, checkpoint=path).steps_done == 9
    restarted = a_model()  # a fresh kernel, in which other random numbers were drawn before
    torch.randn(1000)
    resumed = run(restarted, checkpoint=path)
    assert same(whole, restarted)
    assert (resumed.losses["loss"][-1], resumed.steps_done) == (straight.losses["loss"][-1], 20)
    control = a_model()  # without the checkpoint it is another run
    torch.randn(1000)
    run(control)
    assert not same(whole, control)


def test_the_square_and_the_cell_once_more_with_the_same_model(path):
    straight = a_model()
    run(straight)
    model = a_model()
    for stop_at in (3, 11, None):
        run(model, stop_at=stop_at, checkpoint=path)
    assert same(straight, model)


def test_a_finished_run_is_loaded_and_not_repeated(path):
    def look(model, step):
        return {"s": step}

    first = run(a_model(), checkpoint=path, watch=look, watch_at=(0, 20))
    again = run(a_model(), checkpoint=path, watch=look, watch_at=(0, 20))
    assert (again.losses, again.snapshots) == (first.losses, [tuple(s) for s in first.snapshots])


def test_a_kernel_that_dies_costs_little(path, monkeypatch):
    straight = a_model()
    run(straight)

    def dying(step):
        if step == 13:
            raise SystemExit
        return a_batch(step)

    for every, kept in ((3600.0, False), (0.0, True)):
        monkeypatch.setattr(checkpoints, "SAVE_EVERY", every)
        with pytest.raises(SystemExit):
            run(a_model(), batch=dying, checkpoint=path)
        assert path.exists() == kept
    resumed = a_model()
    assert run(resumed, checkpoint=path).step == [10, 20]
    assert same(straight, resumed)


@pytest.mark.parametrize("draw", ["torch", "numpy", "python", "a generator of its own"])
def test_a_checkpoint_changes_no_number(path, draw):
    """Batches that are drawn afresh, against the rules: noting the first one must not draw one more."""

    def trained(**options):
        torch.manual_seed(1)
        np.random.seed(1)
        random.seed(1)
        own = np.random.default_rng(1)
        draws = {
            "torch": lambda: torch.randn(8, 4),
            "numpy": lambda: torch.tensor(np.random.randn(8, 4)).float(),
            "python": lambda: torch.tensor([[random.random()] * 4]),
            "a generator of its own": lambda: torch.tensor(own.normal(size=(8, 4))).float(),
        }
        model = nn.Linear(4, 1)
        run(model, batch=lambda _: draws[draw](), losses=lambda m, x: {"loss": m(x).square().mean()}, **options)
        return model, (torch.rand(1), np.random.rand(), random.random())

    without, with_one = trained(), trained(checkpoint=path)
    assert same(without[0], with_one[0])
    assert without[1] == with_one[1]


def test_comparing_leaves_random_numbers_as_they_were(path):
    def batch(step):
        torch.rand(3)
        np.random.rand(3)
        random.random()
        return a_batch(step)

    run(a_model(), checkpoint=path, batch=batch)
    model, before = a_model(), (torch.get_rng_state(), np.random.get_state()[2], random.getstate())
    with pytest.raises(ValueError, match="lr"):
        run(model, checkpoint=path, batch=batch, lr=0.1)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (np.random.get_state()[2], random.getstate())


# --- another run --------------------------------------------------------------------------------------------------


def half(step, steps):
    return 0.5


def with_a_penalty(alpha):
    def losses(model, batch):
        return {"loss": error(model, batch)["loss"] + alpha * model[0].weight.square().sum()}

    return losses


PENALTY = 0.1


def with_a_global(model, batch):
    return {"loss": PENALTY * error(model, batch)["loss"]}


FIRST = {
    "steps": 20, "lr": 0.01, "schedule": warmup_cosine, "losses": with_a_penalty(0.1), "record_every": 5,
    "belongs_to": {"seed": 0, "text": "a"}, "watch": lambda model, step: step, "watch_at": (0, 20),
    "after_step": lambda model, step: None, "batch": a_batch,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"steps": 30}, "steps = 20 (now 30)"),
        ({"steps": 10}, "steps = 20 (now 10)"),
        ({"lr": 0.03}, "lr = 0.01 (now 0.03)"),
        ({"optimizer": torch.optim.SGD}, "optimizer = Adam (now SGD)"),
        ({"optimizer": functools.partial(torch.optim.Adam, fused=True, betas=(0.5, 0.9))}, "optimizer options = {"),
        ({"schedule": constant}, "schedule = warmup_cosine"),
        ({"schedule": half}, "schedule = warmup_cosine"),
        ({"losses": error}, "losses = losses"),
        ({"losses": with_a_penalty(0.2)}, "losses = losses"),
        ({"record_every": 10}, "record_every = 5 (now 10)"),
        ({"belongs_to": {"seed": 1, "text": "a"}}, "{'seed': 0, 'text': 'a'} (now {'seed': 1, 'text': 'a'})"),
        ({"belongs_to": None}, "belongs_to = {'seed': 0, 'text': 'a'} (now None)"),
        ({"watch": lambda model, step: 2 * step}, "watch = <lambda>"),
        ({"watch_at": (0, 10, 20)}, "watch_at = [0, 20] (now [0, 10, 20])"),
        ({"after_step": None}, "after_step = <lambda>"),
        ({"batch": functools.partial(a_batch, seed=1)}, "first batch = "),
        ({"batch": lambda step: tuple(part[:16] for part in a_batch(step))}, "first batch = "),
        ({"batch": lambda step: tuple(part.double() for part in a_batch(step))}, "first batch = "),
        ({"model": {"width": 12}}, "model.1.experts.W1 = (4, 8, 16) float32, learned (now (4, 8, 12)"),
        ({"model": {"gate": "softmax_topk"}}, "model.1.router.gate = 'topk_softmax' (now 'softmax_topk')"),
        ({"model": {"jitter": 0.1}}, "model.1.router.jitter = 0.0 (now 0.1)"),
        ({"model": {"bias": True}}, "model.1.router.bias = None (now (4,) float32, learned)"),
        ({"model": {"activation": "gelu"}}, "model.1.experts.activation = 'relu' (now 'gelu')"),
        ({"model": {"seed": 1}}, "torch.manual_seed = 0 (now 1)"),
    ],
)  # fmt: skip
def test_a_checkpoint_of_another_run_is_refused(path, change, named):
    def trained(model, batch=None, **options):
        return run(model, batch=batch, checkpoint=path, **options)

    trained(a_model(), **FIRST)
    assert trained(a_model(), **FIRST | {"belongs_to": {"text": "a", "seed": 0}}).steps_done == 20  # control
    kept = path.read_bytes()
    other = a_model(**change.get("model", {}))
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(ValueError, match=AFRESH) as refusal:
        trained(other, **FIRST | {name: value for name, value in change.items() if name != "model"})
    assert named in str(refusal.value)
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())
    assert path.read_bytes() == kept


def test_a_number_that_the_loss_takes_from_the_notebook_counts(path, monkeypatch):
    run(a_model(), losses=with_a_global, checkpoint=path)
    run(a_model(), losses=with_a_global, checkpoint=path)
    monkeypatch.setattr(sys.modules[__name__], "PENALTY", 0.2)
    with pytest.raises(ValueError, match="losses = with_a_global"):
        run(a_model(), losses=with_a_global, checkpoint=path)


def test_frozen_parameters_make_another_run(path):
    run(a_model(), checkpoint=path)
    frozen = a_model()
    frozen[0].requires_grad_(False)
    with pytest.raises(ValueError, match=r"model\.0\.weight = \(8, 4\) float32, learned \(now \(8, 4\) float32\)"):
        run(frozen, checkpoint=path)


def test_of_many_differences_the_first_few_are_named(path):
    run(a_model(), checkpoint=path)
    with pytest.raises(ValueError, match=r"steps = 20 \(now 30\), lr = .*, record_every = .* and 4 more; to start"):
        run(a_model(width=12), 30, lr=0.1, record_every=3, belongs_to={"seed": 1}, checkpoint=path)


def test_other_first_weights_under_the_same_seed_are_told_of_and_go_on(path):
    """A kernel without a seed draws other weights when the cell runs again; the work of the first time must not go."""
    straight = a_model()
    run(straight)
    run(a_model(), stop_at=9, checkpoint=path)
    torch.manual_seed(0)
    torch.randn(5)
    later = nn.Sequential(nn.Linear(4, 8), MoELayer(8, 16, 4, 2, noise=True))
    with pytest.warns(RuntimeWarning, match="began with other weights .*goes on with its own") as told:
        run(later, checkpoint=path)
    assert told[0].filename == __file__
    assert same(straight, later)


@pytest.mark.slow
def test_another_process_with_the_same_code_goes_on(path):
    """Fingerprints hold from one day to the next: no address, no order of a set, no line number in them."""
    code = f"""
import torch
from moe_lessons.training import train
torch.manual_seed(0)
alpha, kinds = 0.5, {{"x", "y"}}
def losses(model, x):
    assert "a" in {{"a", "b", "c"}}
    return {{"loss": alpha * model(x).square().mean()}}
history = train(torch.nn.Linear(4, 1), lambda step: torch.full((2, 4), step + 1.0), losses, 5, progress=False,
                checkpoint={str(path)!r})
print(history.seconds)
"""
    runs = [["-c", code], ["-c", "\n\n# moved\n" + code]]
    env = {**os.environ, "PYTHONHASHSEED": "random"}
    printed = [subprocess.run([sys.executable, *a], check=True, capture_output=True, env=env).stdout for a in runs]
    assert len(printed) == 2
    assert b"0." in printed[1]
    assert "losses" in torch.load(path, weights_only=True)["settings"]


# --- names --------------------------------------------------------------------------------------------------------

NAMES = [
    "lr_0.001", "lr_0.003", "lr_0", "LR_0", "lr 0", "lr-0", "lr_0.pt", "lr_0.PT", ".lr", "lr.", "..", ".", " ", "a ",
    " a", "a", "A", "ä", "a\u0308", "ß", "SS", "漢", "🙂", "con", "NUL", "lesson 11, seed 0, 500 steps", "x" * 300,
    "x" * 301, "a:b", "a*b", "a\\b", "a\nb", "\ud800", "-rf", "~",
]  # fmt: skip


def test_any_two_names_are_two_files(progress_home):
    names = [name for name in NAMES if name.strip()]
    paths = [checkpoint_path(name) for name in names]
    assert {path.parent for path in paths} == {progress_home / "checkpoints"}
    assert len({path.name.casefold() for path in paths}) == len(names)
    assert max(len(path.name) for path in paths) < 100
    assert all(path.name.isascii() for path in paths)
    assert checkpoint_path("lesson 11").name.startswith("lesson-11-")  # to be recognised


def test_two_rates_are_two_runs(progress_home):
    models = {rate: a_model() for rate in (0.001, 0.003)}
    histories = {rate: run(model, lr=rate, checkpoint=f"lr_{rate}") for rate, model in models.items()}
    assert histories[0.001].losses != histories[0.003].losses
    assert not same(*models.values())
    assert len(list((progress_home / "checkpoints").iterdir())) == 2


@pytest.mark.parametrize("name", ["", " ", "a\0b", "runs/", 5, b"run", "x/" + "y" * 5000 + "/z.pt"])
def test_what_can_be_no_file_is_refused_before_anything_is_trained(name):
    with pytest.raises(ValueError, match=r"checkpoint = .*expected"):
        run(a_model(), batch=None, checkpoint=name)


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(ValueError, match="this is a folder"):
        run(a_model(), batch=None, checkpoint=tmp_path)
    assert checkpoint_path(None) is None


def test_a_path_is_taken_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(a_model(), 2, checkpoint="./lr_0.001")
    assert (tmp_path / "lr_0.001").exists()


# --- what can go wrong --------------------------------------------------------------------------------------------


def test_a_file_of_an_earlier_version_is_told_of_and_left_alone(progress_home):
    old = progress_home / "checkpoints" / "lr_0.pt"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"the work of an evening")
    for name in ("lr_0.001", "lr_0.003"):
        with pytest.warns(RuntimeWarning, match=r"lr_0\.pt, from an earlier version .*It stays as it is"):
            run(a_model(), checkpoint=name)
        run(a_model(), checkpoint=name)  # from now on it is found, and nothing said
    assert old.read_bytes() == b"the work of an evening"


def test_a_checkpoint_that_does_not_say_how_it_was_made_is_refused(path):
    model = a_model()
    state = {"model": model.state_dict(), "optimizer": {}, "history": {}, "random": None, "belongs_to": {"seed": 0}}
    torch.save(state, path)
    with pytest.raises(ValueError, match=rf"from an earlier version .*torch.load\(path\)\['model'\].*{AFRESH}"):
        run(model, checkpoint=path)
    assert torch.equal(torch.load(path)["model"]["0.weight"], model[0].weight)


def test_a_full_disk_on_the_way_is_no_end(path, monkeypatch):
    tries, write = [], checkpoints.write_atomically

    def full_at_first(*args):
        tries.append(args)
        if len(tries) < 5:
            raise OSError(28, "No space left on device")
        write(*args)

    monkeypatch.setattr(checkpoints, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(checkpoints, "write_atomically", full_at_first)
    assert run(a_model(), 10, checkpoint=path).steps_done == 10
    assert len(tries) > 5
    assert path.exists()


def test_a_full_disk_keeps_the_old_checkpoint_the_model_and_the_history(path, monkeypatch):
    straight = a_model()
    run(straight)
    model = a_model()
    run(model, stop_at=5, checkpoint=path)
    old = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(
        RuntimeWarning, match=r"could not be written .*No space left.*the older one there is still whole"
    ):
        history = run(model, checkpoint=path)
    assert history.steps_done == 20
    assert same(straight, model)
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name]
    monkeypatch.undo()
    assert run(a_model(), checkpoint=path).steps_done == 20  # goes on from step 5


def test_without_a_place_for_it_the_run_goes_on_and_says_so(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("MOE_LESSONS_HOME", str(tmp_path / "file"))
    with pytest.warns(RuntimeWarning, match="could not be written.*nothing was written"):
        assert run(a_model(), checkpoint="lesson 11").steps_done == 20


def test_without_a_home_the_run_goes_on_and_says_so(monkeypatch):
    def nobody():
        raise OSError("no home")

    monkeypatch.setattr(checkpoints, "home", nobody)
    with pytest.warns(RuntimeWarning, match="No checkpoint is kept: no home"):
        assert run(a_model(), checkpoint="lesson 11").steps_done == 20


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut off", None, [1], {"model": 1}, 3])
def test_a_spoilt_checkpoint_says_how_to_start_afresh(path, content):
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=f"expected a file written by train .*{AFRESH}") as refusal:
        run(a_model(), checkpoint=path)
    assert str(path) in str(refusal.value)
    path.unlink()
    run(a_model(), checkpoint=path)


@pytest.mark.parametrize("part", ["model", "optimizer", "history", "random"])
@pytest.mark.parametrize("with_what", [None, {"a": 1}, "gone"])
def test_a_checkpoint_in_which_something_is_missing_is_refused(path, part, with_what):
    run(a_model(), checkpoint=path)
    state = torch.load(path, weights_only=True)
    if with_what == "gone":
        del state[part]
    else:
        state[part] = with_what
    torch.save(state, path)
    with pytest.raises(ValueError, match=AFRESH), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        run(a_model(), checkpoint=path)


def test_a_cut_checkpoint_is_noticed(path):
    run(a_model(), 5, checkpoint=path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match="to start afresh"):
        run(a_model(), 5, checkpoint=path)


def test_a_checkpoint_that_would_run_code_is_refused(path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(path.with_suffix(".trapped")),))

    torch.save({"model": Trap()}, path)
    with pytest.raises(ValueError, match="to start afresh"):
        run(a_model(), checkpoint=path)
    assert not path.with_suffix(".trapped").exists()


# --- snapshots ----------------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    step: int


def test_snapshots_of_arrays_come_back(path):
    def look(model, step):
        return {"a": np.arange(3.0), "b": [np.float32(0.5), np.array(["x", "yy"]), np.array(True)], "c": (1, "t", None)}

    run(a_model(), checkpoint=path, watch=look, watch_at=(20,))
    ((step, found),) = run(a_model(), checkpoint=path, watch=look, watch_at=(20,)).snapshots
    assert (step, found["a"].tolist(), found["c"]) == (20, [0, 1, 2], (1, "t", None))
    assert [part.tolist() for part in found["b"]] == [0.5, ["x", "yy"], True]


@pytest.mark.parametrize("snapshot", [Seen(3), a_batch, lambda: 0, object(), (i for i in range(3)), nn.Linear(1, 1)])
def test_a_snapshot_that_could_not_be_read_again_is_told_of_at_once(path, snapshot):
    told = []

    def batch(step):
        told.append(step)
        return a_batch(step)

    def look(model, step):
        return snapshot

    with pytest.warns(RuntimeWarning, match=f"watch returned {type(snapshot).__name__} .*No checkpoint|No checkpoint"):
        history = run(a_model(), batch=batch, checkpoint=path, watch=look, watch_at=(0,))
    assert history.snapshots == [(0, snapshot)]
    assert not path.exists()
    assert len(told) == 20
