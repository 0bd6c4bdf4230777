"""The study of lesson 11: what it trains, what a model leaves in it, and the results that ship with the course."""

import json

import numpy as np
import pytest

from moe_lessons.corpus import text
from moe_lessons.experiments import specialisation as sp
from moe_lessons.experiments import specialisation_study as study
from moe_lessons.training import warmup_cosine


def test_every_seed_is_measured_at_both_lengths_and_no_training_comes_twice():
    runs = study.runs()
    assert len(set(runs)) == len(runs)
    assert {(run.kind, run.seed, run.steps) for run in runs if run.measured} == {
        (kind, seed, steps) for kind in ("moe", "hash", "dense") for seed in study.SEEDS for steps in study.LENGTHS
    }
    for kind, free in (("moe", False), ("moe", True), ("hash", False)):
        tried = {(r.rate, r.seed, r.steps) for r in runs if (r.kind, r.free) == (kind, free)}
        assert tried >= {
            (rate, seed, steps) for rate in study.RATES for seed in study.RATE_SEEDS for steps in study.LENGTHS
        }


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("kind", ["moe", "hash", "dense"])
def test_a_training_leaves_what_the_lesson_reports_and_fits_into_json(task, kind):
    found = json.loads(json.dumps(study.trained(study.Run(kind, 0, 6), task, draws=3)))
    assert len(found["loss"]) == 2
    assert np.shape(found["layers_off"]) == (2, 2)
    assert ("layers" in found) == (kind != "dense")
    assert ("ablation" in found) == ("saturation" in found) == (kind == "moe")
    if kind == "moe":
        assert [share[-1] for share in found["saturation"]["share"]] == [1, 1]
        assert np.shape(found["ablation"]) == (2, 4, 2)
        assert {len(share) for share in found["kept"].values()} == {2}
        assert (np.shape(found["by_token"]), np.shape(found["off_together"])) == ((2, 2), (1, 2))
    if kind == "hash":
        assert found["layers"][0]["domain_given_token"]["bits"] == pytest.approx(0, abs=1e-9)


@pytest.mark.usefixtures("tiny")
def test_a_training_that_is_not_measured_leaves_its_losses_alone(task):
    run = study.Run("moe", 0, 6, free=True, measured=False)
    assert set(study.trained(run, task)) == {*study.Run._fields, "loss", "selection_loss"}


@pytest.mark.usefixtures("tiny")
def test_what_needs_no_training_is_measured_too(task):
    before, untrained = study.previous(0, task, draws=3), study.untrained(0, task, draws=3)
    assert before["layers"][0]["domain_given_pair"]["bits"] == pytest.approx(0, abs=1e-9)
    assert len(untrained["layers"]) == 2


def planted(rises, more=0.5):
    """Results of two seeds in which each of four experts serves one domain most, and hurts as `rises` (4, 4) says."""
    share = 0.2 + more * np.eye(4)  # (domains, N)
    layer = {"domain_specialisation": share.tolist(), "max_violation": 0.5}
    one = {"kind": "moe", "steps": study.LONG, "best": 0, "layers": [layer, layer], "ablation": [rises.tolist()]}
    return {"studies": [one | {"seed": seed} for seed in (0, 1)]}


def test_experts_that_are_needed_where_they_serve_are_told_from_those_that_only_serve():
    needed = study.served(planted(0.1 * np.eye(4) + 0.01, more=0.05), study.LONG, 0)
    assert needed.hits.tolist() == needed.per_token.tolist() == [4, 4]
    assert max(np.mean(needed.dealt >= 8), np.mean(needed.dealt_within >= 8)) < 0.05
    serving = study.served(
        planted((0.2 + 0.5 * np.eye(4)) * np.random.default_rng(0).uniform(0.9, 1, (4, 4))), study.LONG, 0
    )
    assert serving.hits.tolist() == [4, 4]
    assert np.mean(serving.dealt >= 8) == 1  # the same, however the damage is dealt out
    assert np.mean(needed.dealt_per_token >= 8) < 0.05 < np.mean(serving.dealt_per_token >= serving.per_token.sum())
    assert 1.5 < needed.dealt_per_token.mean() < 2.5  # of eight, by guessing one of four
    assert serving.rise.shape == (2, 4, 4)


def test_the_table_of_hits_has_a_line_for_each_layer_and_names_what_is_beside_the_hits():
    found = {(study.LONG, 0): study.served(planted(0.1 * np.eye(4) + 0.01, more=0.05), study.LONG, 0)}
    head, line = study.served_table(found).splitlines()
    assert head.split("|")[0].split() == ["hits", "dealt", "out", "p", "by", "domain", "p"]
    assert line.split()[:5] == [str(study.LONG), "steps,", "layer", "1", "8"]
    assert line.split("|")[1].split()[0] == "8"


def test_a_table_has_a_line_for_each_router_with_mean_lowest_and_highest():
    printed = study.table(planted(np.eye(4)), lambda r: r["max_violation"], [f"learned, {study.LONG} steps"], digits=2)
    assert printed.split() == ["learned,", str(study.LONG), "steps", *["0.50", "(0.50", "to", "0.50)"] * 2]


def test_the_tables_of_layers_and_of_the_seam_have_a_line_for_each_length():
    one = {"layers_off": [[2.0, 4.0], [0.2, 0.4]]}
    reach = {
        "by_token": [[0.2, 0.2], [0.0, 0.1]],
        "off_together": [[0.5, 0.7]],
        "kept": {"of another domain": [0.8, 0.6]},
    }
    results = {
        "studies": [{"kind": kind, "steps": steps} | one | (reach if kind == "moe" else {})
                    for steps in study.LENGTHS for kind in ("moe", "dense")]
    }  # fmt: skip
    learned, *_, table = (line.split(":", 1)[-1].split() for line in study.layers_off_table(results).splitlines())
    assert (learned, table[-1]) == (["[3.", "0.3]"], "0.600")
    lines = study.kept_table(results).splitlines()
    assert len(lines) == 2
    assert lines[1].split()[:2] == [str(study.LONG), "steps,"]
    assert lines[1].endswith("0.60 (0.60 to 0.60)")


def test_fractions_are_rounded_wherever_they_stand():
    assert study.rounded({"a": [0.123456789, 1], "b": {"c": (2.0000004, "x", None)}}) == {
        "a": [0.12346, 1],
        "b": {"c": [2.0, "x", None]},
    }


# --- the results that ship ----------------------------------------------------------------------------------------


def test_the_results_are_those_of_the_present_settings():
    results = study.load_results()
    assert results["settings"] == {
        "lengths": list(study.LENGTHS), "batch": sp.BATCH, "lr": sp.LR, "balance": sp.BALANCE, "z": sp.Z,
        "seeds": list(study.SEEDS), "rates": list(study.RATES), "rate_seeds": list(study.RATE_SEEDS),
    }  # fmt: skip
    assert results["domains"] == list(text.DOMAINS)
    trained = [s for s in results["studies"] if s["steps"]]
    assert [study.Run(**{name: s[name] for name in study.Run._fields}) for s in trained] == study.runs()
    for steps in study.LENGTHS:
        assert [s["seed"] for s in study.reaching(results, steps)] == list(study.RATE_SEEDS)


@pytest.mark.slow
def test_a_fresh_short_run_is_consistent_with_the_results():
    """The losses of the first steps, within what another machine or Python's other standard library may change."""
    studies = study.load_results()["studies"]
    shipped = next(s for s in studies if (s["kind"], s["seed"], s["steps"]) == ("moe", 0, study.SHORT))
    words, schedule = text.prepare(), lambda step, _: warmup_cosine(step, study.SHORT)
    model = sp.build(len(words.token_bytes))
    history = sp.train_language_model(model, words, 60, progress=False, schedule=schedule)
    np.testing.assert_allclose(history.losses["task"], shipped["train"][:6], atol=0.15)
    assert np.ptp(shipped["train"][:6]) > 0.5  # control: they do differ from step to step
