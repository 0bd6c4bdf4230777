"""The exact null of set 11 is the reference's, its judge can fail and pass, and what is said of the tables is so."""

from importlib import util
from math import comb
from pathlib import Path

import numpy as np
import pytest

from moe_lessons import metrics
from moe_lessons.checks import check
from moe_lessons.checks.engine import Status
from moe_lessons.checks.set_11.q1_table import TABLE
from moe_lessons.checks.set_11.q2_null import (
    ALIKE,
    NULL,
    Z,
    arrangements,
    distance,
    exact_null,
    expected_number,
    is_among,
    is_chained,
    kept_at,
    number_of_values,
    observed,
    tokens_shuffled,
    unlikeness,
)
from moe_lessons.checks.set_11.q3_conditional import CONDITIONAL, between, conditional, entropies
from moe_lessons.checks.set_11.q4_saturation import SATURATION, saturations
from moe_lessons.checks.set_11.q5_ablation import (
    ABLATION,
    DOMAINS,
    ablation,
    effects,
    findings,
    in_sum,
    is_clear,
    rises,
    written,
)
from moe_lessons.checks.set_11.q6_claims import CLAIMS, CONCLUSION, OVERCLAIMS, ROUTERS, results


def load(name):
    spec = util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BANK, INFORMATION = load("bank_11"), load("bank_11_information")
FOUND = BANK.FOUND
OTHER_WAYS = [
    (q, name, answer) for b in (BANK, INFORMATION) for q, answers in b.SAME_MISTAKE.items() for name, answer in answers
]


@pytest.mark.parametrize(("question", "mistake", "answer"), OTHER_WAYS)
def test_the_same_mistake_is_named_however_it_is_made(question, mistake, answer):
    result = check(question, answer, seed=0)
    assert (result.status, result.mistake) == (Status.NOT_YET, mistake), result.message


# --- 11.2 ---------------------------------------------------------------------------------------------------------


def test_all_permutations_are_listed_once():
    ways = arrangements((4, 3, 2))
    assert len(np.unique(ways, axis=0)) == len(ways) == comb(9, 4) * comb(5, 3)
    assert all(np.bincount(way).tolist() == [4, 3, 2] for way in ways)


@pytest.mark.parametrize("seed", range(3))
def test_the_exact_null_is_the_one_that_the_package_draws(seed):
    for domain, expert, *_ in NULL.draw(np.random.default_rng(seed))["cases"]:
        S, L = expert.shape
        labels, sequence = np.repeat(domain, L), np.repeat(np.arange(S), L)
        drawn = metrics.permutation_null(labels, expert.ravel(), sequence, draws=300, rng=seed, base=2)
        known = exact_null(domain, expert)
        assert is_among(drawn, known)
        assert distance(drawn, known) < Z
        value = metrics.mutual_information(labels, expert.ravel(), base=2)
        assert observed(domain, expert) == pytest.approx(value)
        assert not is_among(drawn * np.log(2), known)


@pytest.mark.parametrize("seed", range(40))
def test_shuffled_tokens_are_far_too_narrow_in_every_draw(seed):
    for domain, expert, draws, _ in NULL.draw(np.random.default_rng(seed))["cases"]:
        known = exact_null(domain, expert)
        tokens = tokens_shuffled(domain, expert, draws, np.random.default_rng(seed))
        assert tokens.std() < known.std()
        assert tokens.mean() < known.mean()
        assert not is_among(tokens, known)


@pytest.mark.parametrize("seed", range(40))
def test_a_fair_sample_is_never_near_to_being_refused(seed):
    for domain, expert, draws, _ in NULL.draw(np.random.default_rng(seed))["cases"]:
        known = exact_null(domain, expert)
        fair = np.random.default_rng(seed).choice(known, draws)
        assert distance(fair, known) < Z - 1
        assert number_of_values(fair) > 0.8 * expected_number(known, draws)
        assert not is_chained(fair)
        assert not is_chained(np.sort(fair)[::-1])


@pytest.mark.parametrize("factor", [0.5, 1.5, 2])
def test_values_on_another_scale_are_not_taken_for_a_wrong_null(factor):
    answer = INFORMATION.null_with(after=lambda values: factor * values)
    assert {check("11.2", answer, seed=seed).mistake for seed in (1, 7, 15)} == {None}


def test_what_was_observed_may_stand_anywhere_in_values_in_order_and_not_at_one_end_of_all_others():
    assert kept_at(np.array([0.5, 0.2, 0.3, 0.5]), 0.5) == {0, -1}
    assert kept_at(np.array([0.2, 0.5, 0.3]), 0.5) == set()
    assert kept_at(np.array([0.5, 0.3, 0.2]), 0.5) == set()
    result = check("11.2", INFORMATION.observed_first, seed=0)
    assert result.mistake == "observed kept"
    assert [part.right for part in result.parts] == [0]


def test_samples_of_one_distribution_are_alike_and_of_two_are_not():
    drawn = np.random.default_rng(0).normal(size=(2, 300))
    assert unlikeness(*drawn) < ALIKE < unlikeness(drawn[0], 3 * drawn[1])
    assert unlikeness(drawn[0], drawn[0]) == 0


def test_values_that_walk_are_told_from_values_that_are_drawn():
    steps = np.random.default_rng(0).normal(size=200)
    assert is_chained(steps.cumsum())
    assert not is_chained(steps)


def test_the_verdict_sets_both_nulls_side_by_side():
    message = check("11.2", INFORMATION.null_with(move=INFORMATION.tokens_moved), seed=0).message
    domain, expert, *_ = NULL.draw(np.random.default_rng(0))["cases"][0]
    known = exact_null(domain, expert)
    assert f"Whole sequences permuted: {known.mean():.4f} ± {known.std():.4f}." in message


def test_labels_shuffled_in_place_pass_with_a_remark():
    def in_place(domain_of_sequence, expert, draws, rng):
        rng.shuffle(domain_of_sequence)
        return INFORMATION.null_with()(domain_of_sequence, expert, draws, rng)

    result = check("11.2", in_place)
    assert result.status == Status.CORRECT
    assert "changes its input domain_of_sequence in place" in result.message


# --- 11.1, 11.3, 11.4 ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (TABLE, lambda selected, domain, N: metrics.domain_specialisation(selected, domain, N)),
        (CONDITIONAL, lambda d, e, t: metrics.mutual_information(d, e, t, base=2)),
        (SATURATION, lambda selected: [metrics.saturation(now, selected[-1]) for now in selected]),
        (NULL, lambda domain, expert, draws, rng: metrics.permutation_null(domain, domain, domain, rng=rng)),
    ],
)
def test_the_package_s_own_measures_are_refused(question, answer):
    assert "which is the answer" in check(question.id, answer).message


@pytest.mark.parametrize("seed", range(20))
def test_the_cases_hold_what_they_should(seed):
    rng = np.random.default_rng(seed)
    cases = TABLE.cases(rng)
    assert [selected.max() < N - 1 for selected, _, N in cases] == [True, True, False]  # nobody has the last expert
    for selected, domain, _ in cases:
        assert domain[0] > 0
        assert (np.diff(np.sort(selected)) > 0).all()
        assert set(domain) == set(range(domain.max() + 1))
    first, second = CONDITIONAL.cases(rng)
    for domain, _, token in (first, second):
        kinds, counts = np.unique(token, return_counts=True)
        assert (counts == 1).sum() == 3
        assert any(np.ptp(domain[token == t]) == 0 for t in kinds[counts > 1])
    h = entropies(*second)
    assert between(h, "d", "e") < conditional(h)  # only both together tell
    for (selected,) in SATURATION.cases(rng):
        assert (np.diff(np.sort(selected)) > 0).all()
        assert saturations(selected)[-1] == 1


# --- 11.5 ---------------------------------------------------------------------------------------------------------


def test_the_ablation_is_as_the_exercise_says():
    (use, losses), (mean, error) = ablation(), rises()
    assert {part: f"E{i + 1}" for part, i in findings().items()} == FOUND
    assert use.sum(axis=1) == pytest.approx([2, 2, 2])
    assert (np.sort(use)[:, -1] - np.sort(use)[:, -2] > 0.05).all()  # each domain has one that it uses most
    assert effects()[0][:, 2].argmax() == 5  # E6 on JSON leads the means, and is not clear
    assert not is_clear()[5].any()
    unpaired = np.sqrt((losses[0].var(axis=-1, ddof=1) + losses[1:].var(axis=-1, ddof=1)) / 40)  # (8, 3)
    assert np.median(error) < np.median(unpaired) / 10
    drowned = mean < 3 * unpaired
    assert (is_clear() & drowned).sum() > 0.8 * is_clear().sum()
    ratio = np.abs(mean / error)
    assert ((ratio > 4) | (ratio < 2)).all()  # no verdict hangs on the threshold


def test_population_or_sample_errors_lead_to_the_same_findings():
    losses = ablation()[1]
    rise = losses[1:] - losses[0]
    error = rise.std(axis=-1) / np.sqrt(40)
    assert ((rise.mean(axis=-1) > 3 * error) == is_clear()).all()


def test_dividing_by_use_decides_two_findings_and_none_narrowly():
    decided = {part for part in findings() if in_sum()[part] != findings()[part]}
    assert decided == {"prose", "needed by all alike"}
    for part in decided:
        result = check("11.5", {**FOUND, part: f"E{in_sum()[part] + 1}"})
        assert result.mistake == f"{part}: not divided"
    for size in (rises()[0], effects()[0]):
        first, second = np.sort(np.where(is_clear(), size, 0), axis=0)[[-1, -2]]  # (3,) each
        assert (first > 1.2 * second).all()
        ratio = size[is_clear().all(axis=1)].max(axis=1) / size[is_clear().all(axis=1)].min(axis=1)
        assert ((ratio < 1.3) | (ratio > 1.8)).all()


def test_every_wrong_expert_is_answered_with_its_numbers():
    for part, right in findings().items():
        for i in range(8):
            result = check("11.5", {**FOUND, part: f"E{i + 1}"})
            assert (result.status == Status.CORRECT) == (i == right)
            assert i == right or written(i, DOMAINS.index(part) if part in DOMAINS else 2) in result.message


def test_all_wrong_entries_are_named():
    message = check("11.5", {**FOUND, "prose": "E1", "JSON": "E6"}).message
    assert message.endswith("\nRight: code; used but not needed; needed by all alike. Not yet: prose; JSON.")
    assert set(FOUND) == {*DOMAINS, "used but not needed", "needed by all alike"}
    assert ABLATION.answer == "my_findings"


# --- 11.6 ---------------------------------------------------------------------------------------------------------


def test_the_table_allows_what_is_allowed_and_bears_out_what_is_said_of_the_rest():
    table = results()
    alone = {name: np.array(table[name]["domain"]) for name in ROUTERS}
    given = {name: np.array(table[name]["given token"]) for name in ROUTERS}
    assert alone["first layer"].min() > 0.01  # A, B
    assert np.abs(given["first layer"]).max() < 0.01
    assert given["last layer"].min() > 0.2  # E
    assert alone["hash router"].mean() > alone["first layer"].mean()
    assert np.abs(given["hash router"]).max() < 1e-9
    prose, code, _ = (np.array(table["rise without it"][domain]) for domain in DOMAINS)
    assert (prose - code).min() > 0.05  # H
    assert min(table["use of the code expert"]) > 0.5
    assert min(table["saturation at 10 %"]) > 0.5


def test_every_over_claim_is_explained_at_once():
    assert {*CONCLUSION, *OVERCLAIMS} == set("ABCDEFGHI")
    message = check("11.6", ["A", "G", "I"]).message
    assert all(f"{letter} claims too much. {OVERCLAIMS[letter]}" in message for letter in "AGI")
    assert not any(f"{letter} claims" in message for letter in CONCLUSION)
    assert "Allowed" not in message
    assert check("11.6", ["H", "A", "B"]).message.endswith("\nAllowed: B, H.")


def test_a_part_of_the_conclusion_is_told_how_many_are_missing():
    assert "1 more to find" in check("11.6", ["B", "H"]).message
    assert CLAIMS.title
