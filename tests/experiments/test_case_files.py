"""The case files: every fault is behind four cases, nothing in the file names it, and the logs are what they say."""

from collections import Counter

import numpy as np
import pytest

from moe_lessons.experiments import case_files
from moe_lessons.experiments.case_files import CASES, FAULTS, FAULTY, HEALTHY, LAYERS, RECIPES, RESULTS, N


def test_each_fault_is_behind_four_cases_and_under_both_recipes_where_it_can_be():
    kinds = [case_files.kind_of(case) for case in range(1, CASES + 1)]
    assert Counter(kind.fault for kind in kinds) == dict.fromkeys(FAULTS, 4)
    assert set(kinds) == set(FAULTY)
    assert len(FAULTY) == 8
    assert [kind.fault for kind in kinds] != sorted((kind.fault for kind in kinds), key=FAULTS.index)


def test_the_key_is_for_teachers():
    lines = case_files.key().splitlines()
    assert len(lines) == CASES
    assert lines[6] == f"case  7: {case_files.kind_of(7).fault}"


@pytest.mark.parametrize("case", [0, CASES + 1, 1.5, "one"])
def test_a_case_that_is_not_there_is_refused(case):
    with pytest.raises(ValueError, match="expected a whole number from 1 to 20"):
        case_files.open_log(case)


def test_another_recipe_is_refused():
    with pytest.raises(ValueError, match="balanced_by"):
        case_files.healthy_logs("luck")


def test_the_file_is_small_and_names_no_fault():
    assert RESULTS.stat().st_size < 300_000
    with np.load(RESULTS) as file:
        assert set(file.files) == {*case_files.KEPT, *(f"log {name}" for name in case_files.LOGGED)}
        assert {len(file[name]) for name in file.files} == {len(case_files.runs())}


def test_a_log_holds_what_its_words_say():
    F = case_files.STEPS // case_files.EVERY + 1
    for case in range(1, CASES + 1):
        log = case_files.open_log(case)
        assert log["balanced by"] == case_files.kind_of(case).balanced_by
        assert {log[name].shape for name in ("step", "real", "balance", "training error", "test error")} == {(F,)}
        assert {log[name].shape for name in ("counts", "P", "bias")} == {(F, LAYERS, N)}
        assert np.allclose(log["P"].sum(axis=-1), 1, atol=2e-3)
        assert log["bias"].any() == (log["balanced by"] == "bias")
        assert all(np.isfinite(values).all() for name, values in log.items() if name != "balanced by")


@pytest.mark.parametrize("recipe", RECIPES)
def test_sound_runs_count_real_tokens(recipe):
    logs = case_files.healthy_logs(recipe)
    assert len(logs) == HEALTHY
    assert {log["balanced by"] for log in logs} == {recipe}
    assert all((log["counts"].sum(axis=-1) == log["real"][:, None]).all() for log in logs)


def test_what_is_handed_out_is_a_copy():
    case_files.open_log(1)["counts"][:] = 0
    case_files.checkpoint_of(0)["W_g"][:] = 0
    assert case_files.open_log(1)["counts"].any()
    assert case_files.checkpoint_of(0)["W_g"].any()


def test_the_runs_held_back_are_two_sound_ones_and_one_of_each_kind():
    assert [kind for kind, _ in case_files.held_back()] == [*case_files.SOUND, *FAULTY]
