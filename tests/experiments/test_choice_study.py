"""The comparison of ways to choose: every arm trains and is measured on a tiny scale; readers, and going on."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from tiny_language import a_part, a_task

from moe_lessons.experiments import choice_runs, choice_study, studies
from moe_lessons.experiments import specialisation as sp
from moe_lessons.experiments.choice_runs import ARMS, BATCH, WITHOUT_IDS, D, K, N
from moe_lessons.experiments.choice_study import FACTORS, LENGTHS, OF_RATES, RATES, SEEDS, Job
from moe_lessons.layer import Routing
from moe_lessons.model import Config, LanguageModel

WHAT = {"loss", "entropy", "tells", "max_violation", "experts", "without", "over"}

# --- what is trained and measured ---------------------------------------------------------------------------------


def of_each_kind(names):
    """Mark as slow all arms but one of each kind."""
    quick = ("token_choice", "sigmoid_bias", "threshold", "soft")
    return [pytest.param(name, marks=[pytest.mark.slow] * (name not in quick)) for name in names]


@pytest.mark.parametrize("name", of_each_kind(WITHOUT_IDS))
def test_every_arm_trains_on_the_clusters_and_is_measured_on_the_way(name):
    found = choice_runs.on_clusters(name, 0, (2, 12), 5e-3)
    assert list(found) == ["2", "12"]
    assert set(found["2"]) == WHAT
    assert found["12"]["loss"] < found["2"]["loss"]
    assert 0 < found["12"]["entropy"] <= np.log(N)
    assert found["12"]["experts"] == pytest.approx(K) or name == "threshold"


@pytest.mark.parametrize("name", of_each_kind(ARMS))
def test_every_arm_trains_on_a_text_and_is_measured_layer_by_layer(name):
    found = choice_runs.on_text(name, 0, 2, 1e-3, a_task())
    assert set(found) == WHAT | {"tells_token"}
    assert {len(values) for what, values in found.items() if what != "loss"} == {4}  # the layers
    assert json.loads(json.dumps(found)) == found


def test_active_work_is_equal():
    """Rows that experts read for a pool of tokens: k a token, for soft experts as many in slots."""
    x = torch.randn(BATCH, D, generator=torch.Generator().manual_seed(0))
    for name in set(WITHOUT_IDS) - {"threshold"}:
        layer, rows = ARMS[name].build(D, 16, BATCH), []
        whole = layer.experts.sorted_rows
        layer.experts.sorted_rows = lambda given, load, whole=whole, rows=rows: (
            rows.append(len(given)) or whole(given, load)
        )
        layer(x)
        assert sum(rows) >= K * BATCH
        assert sum(rows) == K * BATCH or name == "expert_choice"  # some of its rows have weight 0
    assert choice_runs.measured(ARMS["expert_choice"], np.full((BATCH, 3), -1), BATCH)["experts"] == 0


def test_all_arms_of_a_seed_begin_alike_where_they_have_the_same_modules():
    one, other = (choice_runs.language_model(name, 30, 3, context=16) for name in ("token_choice", "expert_choice"))
    assert torch.equal(one.blocks[3].feed_forward.experts.W1, other.blocks[3].feed_forward.experts.W1)
    different = choice_runs.language_model("token_choice", 30, 4, context=16)
    assert not torch.equal(one.tokens.weight, different.tokens.weight)


def test_the_bias_moves_with_training_and_the_frozen_router_does_not():
    arm = ARMS["sigmoid_bias"]
    layer = arm.build(D, 16, BATCH)
    move = choice_runs.after_step(arm, [layer])
    layer(torch.ones(4, D))  # four tokens alike
    move(layer, 0)
    assert sorted(layer.router.balancer.bias.sign().tolist()) == [-1.0] * K + [1.0] * (N - K)
    assert choice_runs.after_step(ARMS["token_choice"], [layer]) is None
    assert not any(p.requires_grad for p in ARMS["frozen"].build(D, 16, BATCH).router.parameters())


def test_balance_is_counted_without_empty_places():
    chosen = np.array([[0, 1], [0, -1], [-1, -1], [2, 0]])
    found = choice_runs.measured(ARMS["threshold"], chosen, 4)
    assert found["experts"] == 5 / 4
    assert found["without"] == 1 / 4
    assert found["max_violation"] == pytest.approx(3 / (5 / N) - 1)
    assert found["over"] == pytest.approx(1 / 5)  # two places an expert, and E1 is asked for three times
    assert choice_runs.first_choice(chosen).tolist() == [0, 0, N, 2]


@pytest.mark.parametrize(
    ("name", "training", "evaluation"),
    [("token_choice", False, False), ("bigram", False, False), ("threshold", False, False), ("base", True, False),
     ("sinkhorn", True, False), ("expert_choice", True, True), ("soft", True, True)],
)  # fmt: skip
def test_who_looks_ahead(name, training, evaluation):
    study = {"rows": [Job("ahead", name)._asdict() | {"found": choice_runs.looks_ahead(name)}]}
    assert choice_study.leaks(study, "training") == {name: training}
    assert choice_study.leaks(study) == {name: evaluation}


def test_costs_are_measured_in_turns():
    found = choice_runs.costs(2, ("token_choice", "frozen"), a_task())
    assert set(found) == {"token_choice", "frozen"}
    assert min(found.values()) > 0


# --- what lesson 11's functions learned for it --------------------------------------------------------------------


def test_routes_hold_different_numbers_of_experts():
    model = LanguageModel(Config(30, context=16, layers=2, d_model=8, heads=2, d_ff=8, feed_forward="expert_choice"))
    routes = sp.record(model, a_part(7, 0).ids, size=4)
    assert routes.selected.shape[:3] == (2, 7, 16)
    places = (routes.selected >= 0).sum(axis=(2, 3))  # of each layer and sequence
    assert (places == 16 * K).all()
    decided = Routing(torch.zeros(1, 3), torch.tensor([[2, 0]]), torch.tensor([[0.7, 0.0]]))
    assert sp.chosen_of(decided, uneven=True).tolist() == [[2, -1]]
    assert sp.chosen_of(decided, uneven=False).tolist() == [[2, 0]]
    assert [w.tolist() for w in sp.widened([np.array([[1]]), np.array([[2, 3]])])] == [[[1, -1]], [[2, 3]]]


@pytest.mark.parametrize(("kind", "more"), [("two_layer", True), ("hierarchical", True), ("expert_choice", False)])
def test_who_chooses_freely_is_balanced(kind, more):
    model = LanguageModel(Config(30, context=16, layers=1, d_model=8, heads=2, d_ff=8, feed_forward=kind))
    found = sp.language_losses(model, torch.from_numpy(a_part(2, 0).ids), balance_coef=1.0)
    assert bool(found["loss"] > found["task"]) == more


# --- jobs, and going on -------------------------------------------------------------------------------------------


def test_every_job_is_there_once():
    jobs = choice_study.jobs()
    assert len(set(jobs)) == len(jobs)
    runs = {"clusters": len(WITHOUT_IDS) * len(SEEDS), "text": len(ARMS) * len(SEEDS) * len(LENGTHS["text"])}
    for task, many in runs.items():
        assert sum(job.task == task and job.rate == RATES[task] for job in jobs) == many
    assert sum(job.task == "ahead" for job in jobs) == len(ARMS)


def test_a_run_that_fails_is_a_result_and_another_error_is_not(monkeypatch):
    def diverges(*_):
        raise ValueError("the loss of step 3 = nan: expected a finite number: is lr too large?")

    monkeypatch.setattr(choice_runs, "on_clusters", diverges)
    assert choice_study.run(Job("clusters", "base", 0, 300, 1.0))["found"] is None
    monkeypatch.setattr(choice_runs, "on_clusters", lambda *_: int("x"))
    with pytest.raises(ValueError, match="invalid literal"):
        choice_study.run(Job("clusters", "base", 0, 300, 1.0))


def quick(job):
    return job._asdict() | {"found": {"1": {"loss": job.seed}}}


def test_an_interrupted_study_goes_on_where_it_was(tmp_path):
    part, jobs, asked = tmp_path / "some.part", [Job("text", "soft", seed) for seed in range(4)], []

    def until_two(job):
        asked.append(job.seed)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return quick(job)

    with ThreadPoolExecutor(1) as pool, pytest.raises(KeyboardInterrupt):
        list(studies.resumed(part, {"a": 1}, jobs, until_two, pool))
    kept = len(part.read_text("utf-8").splitlines()) - 1
    assert kept >= 1
    part.write_text(part.read_text("utf-8") + '{"task": "te', "utf-8")  # cut off while writing
    asked.clear()
    with ThreadPoolExecutor(1) as pool:
        rows = list(studies.resumed(part, {"a": 1}, jobs, lambda job: asked.append(job.seed) or quick(job), pool))
    assert sorted(row["seed"] for row in rows) == [0, 1, 2, 3]
    assert len(asked) == 4 - kept
    assert studies.missing(jobs, studies.finished(part, {"a": 1})) == []
    with pytest.raises(ValueError, match=r"those that some\.part was begun with"):
        studies.finished(part, {"a": 2})


# --- reading ------------------------------------------------------------------------------------------------------


def study_of(tasks):
    """A study in which each loss tells seed, arm and rate; the largest rate fails."""
    rows = []
    for job in choice_study.jobs():
        if job.task in tasks:
            measures = dict.fromkeys(WHAT, [0.5] * 4 if job.task == "text" else 0.5)
            measures["loss"] = 0.1 + job.seed / 10
            lengths = LENGTHS["clusters"] if job.task == "clusters" else (job.steps,)
            found = {str(n): measures for n in lengths if n <= job.steps}
            fails = job.rate > 10 * RATES[job.task] or (job.arm == "two_layer" and job.rate > RATES[job.task])
            rows.append(job._asdict() | {"found": None if fails else found})
        elif job.task == "ahead":
            rows.append(job._asdict() | {"found": {"training, other": job.arm == "base", "evaluation, none": False}})
        elif job.task == "costs":
            rows.append(job._asdict() | {"found": {name: 2.0 + (name == "base") for name in ARMS}})
    return json.loads(json.dumps({"rows": rows, "vocabulary": 1000}))


def test_tables_tell_spread_cost_leaks_and_failures():
    study = study_of(("clusters", "text"))
    assert choice_study.values(study, "clusters", "base", 300).tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert choice_study.values(study, "text", "base", 750, "tells").shape == (5, 4)
    assert choice_study.costs(study)["base"] == 1.5
    line = next(line for line in choice_study.table(study, "text", 250).splitlines() if line.startswith("BASE"))
    assert line.split()[1:4] == ["0.300", "±", "0.158"]
    assert line.endswith("1.50  no, yes")
    assert "hash of the token" not in choice_study.table(study, "clusters", 1200)
    assert choice_study.failed(study, "text", "two_layer", 4) == (3, 3)
    assert choice_study.failed(study, "clusters", "base") == (0, 5)
    rates = choice_study.rates_table(study, "clusters").splitlines()
    assert len(rates) == 1 + len(OF_RATES["clusters"])
    assert "nan, 5 of 5 failed" in rates[-1]
    assert f"{max(FACTORS['clusters']):g}" in rates[0]
    with pytest.raises(KeyError):
        choice_study.values(study, "text", "base", 9)


def test_the_file_is_written_in_the_order_of_the_jobs(tmp_path, monkeypatch):
    monkeypatch.setattr(choice_study, "RESULTS", tmp_path / "choice.json")
    monkeypatch.setattr(choice_runs, "corpus", a_task)
    study = study_of(("clusters", "text"))
    choice_study.save(study["rows"][::-1])
    again = choice_study.load_results()
    assert again["rows"] == study["rows"]
    assert again["settings"] == json.loads(json.dumps(choice_study.SETTINGS))
    assert again["vocabulary"] == 30
