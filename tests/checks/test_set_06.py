"""Each demand on a design can be the only one that is broken; the figure's numbers and the hints hold."""

import numpy as np
import pytest

from moe_lessons.checks import check
from moe_lessons.checks.engine import Status
from moe_lessons.checks.set_06.q1_counts import counts, counts_cases
from moe_lessons.checks.set_06.q2_touched import touched, touched_cases
from moe_lessons.checks.set_06.q3_design import DESIGN, VOCAB, design_found
from moe_lessons.checks.set_06.q4_claims import ADVICE, allowed, figure
from moe_lessons.checks.verdicts import Facts

GOOD = {"layers": 16, "d_model": 2048, "d_ff": 1024, "num_experts": 104, "top_k": 5}
BROKEN = {  # each breaks one demand alone
    "memory": {"num_experts": 120},
    "too small": {"num_experts": 90},
    "compute": {"layers": 8, "d_model": 4096, "num_experts": 100, "top_k": 6},
    "too little work": {"d_ff": 1664, "num_experts": 64, "top_k": 2},
    "batch": {"layers": 8, "d_model": 2560, "d_ff": 3500, "num_experts": 47, "top_k": 3},
    "router": {"d_ff": 512, "num_experts": 208, "top_k": 10},
}


def broken(design):
    found = Facts(**design_found(**design))
    return [demand.name for demand in DESIGN.mistakes if demand.seen(found)]


@pytest.mark.parametrize("name", BROKEN)
def test_each_demand_can_be_the_only_one_that_is_broken(name):
    assert broken(GOOD) == []
    assert broken({**GOOD, **BROKEN[name]}) == [name]
    result = check("6.3", {**GOOD, **BROKEN[name]})
    assert (result.status, result.mistake) == (Status.NOT_YET, name)


def test_every_broken_demand_is_reported_with_its_number():
    result = check("6.3", {**GOOD, "num_experts": 1000, "top_k": 100})
    total, _, flops = counts(16, 2048, VOCAB, 1000, 100, 1024)
    assert result.mistake == "memory"
    share = 100 * (1 - 0.9**8)
    numbers = {"store": f"{2 * total / 1e9:.4g} GB", "FLOPs": f"{flops / 1e9:.4g} GFLOPs", "batch": f"{share:.4g} %"}
    for name, number in numbers.items():
        line = next(line for line in result.message.splitlines() if name in line)
        assert number in line


NEARLY = {  # a design, and what it keeps to in the place of a demand
    (12, 2048, 2048, 80, 4): "It would fit 24 GiB",
    (24, 1536, 1024, 128, 6): "At 8 bits it would fit",
    (16, 2048, 1024, 72, 4): "It takes 10 GB and more",
    (16, 3072, 1536, 48, 2): "2 FLOPs for each weight: attention 1.21, the k experts 0.906, head 0.197",
    (12, 2560, 2048, 60, 2): "All active parameters together would be enough",
    (12, 1024, 4096, 72, 6): "k/N is small enough",
    (16, 2048, 512, 192, 8): "Beside all N experts",
}


@pytest.mark.parametrize("sizes", NEARLY)
def test_what_a_design_was_perhaps_measured_by_is_said(sizes):
    assert NEARLY[sizes] in check("6.3", dict(zip(GOOD, sizes, strict=True))).message


@pytest.mark.parametrize("sizes", [(16, 2048, 1024, 1000, 500), (32, 1536, 1024, 64, 4), (8, 1024, 16, 104, 5)])
def test_what_would_not_do_either_is_not_said(sizes):
    message = check("6.3", dict(zip(GOOD, sizes, strict=True))).message
    assert not any(words in message for words in NEARLY.values())


def test_random_designs_are_right_exactly_when_a_second_count_says_so():
    rng, found = np.random.default_rng(0), set()
    for _ in range(400):
        design = {name: round(size * rng.uniform(0.85, 1.18)) for name, size in GOOD.items()}
        layers, d, f, N, k = design.values()
        total, _, flops = counts(layers, d, VOCAB, N, k, f)
        keeps = (10e9 <= total <= 12e9 and flops <= 2e9 and layers * 3 * d * f * k >= 400e6
                 and (1 - k / N) ** 8 >= 0.6 and 0.03 * k * f >= N)  # fmt: skip
        assert (check("6.3", design).status == Status.CORRECT) == keeps
        found.add(keeps)
    assert found == {True, False}


def test_the_hints_lead_to_a_design():
    attention_and_head = 2 * (16 * 4 * 2048**2 + VOCAB * 2048)
    assert attention_and_head / 1e9 == pytest.approx(0.7, abs=0.05)
    experts = 16 * 3 * 2048 * 5000
    assert experts / 1e6 == pytest.approx(500, abs=25)
    for k, f in ((2, 2500), (5, 1000), (4, 1250)):
        assert broken({**GOOD, "d_ff": f, "num_experts": 20 * k, "top_k": k}) == []
    assert 10e9 < counts(16, 2048, VOCAB, 100, 5, 1000)[0] < 10.5e9
    assert len(DESIGN.hints) == 2


def test_the_figure_rises_from_the_small_model_to_the_one_that_runs_all():
    for column in figure()["sparse"]:
        assert figure()["one"][column] <= figure()["sparse"][column] <= figure()["all"][column]
    assert figure()["sparse"]["stored"] == figure()["all"]["stored"]


def test_all_wrong_claims_are_named_and_the_first_explained():
    right = allowed()
    result = check("6.4", {**right, "A": 75, "C": 27, "E": 27, "G": 365})
    assert result.mistake == "A: experts only"
    assert "1 − k/N" in result.message
    assert result.message.rstrip().endswith("Right: B; D; F. Not yet: A; C; E; G.")
    assert check("6.4", {**right, "E": 27}).message.endswith("Right: A; B; C; D; F; G. Not yet: E.")


def test_decimals_count_where_they_are_given():
    right = allowed()
    for number, status in (
        (100, Status.CORRECT),
        (99.7, Status.CORRECT),
        (99.99, Status.NOT_YET),
        (99.3, Status.NOT_YET),
    ):
        assert check("6.4", {**right, "E": number}).status == status


def test_two_things_of_three_are_called_two():
    message = check("6.1", lambda *sizes: (1, 2)).message
    assert "Your function returned 2: a number; a number." in message


@pytest.mark.parametrize(("place", "part"), [(0, "total"), (1, "active"), (2, "FLOPs")])
def test_a_count_that_is_wrong_by_one_is_wrong(place, part):
    def off_by_one(layers, d, vocab, N, k, d_ff, shared, dense_layers, d_ff_dense, tied):
        sparse, expert, head = layers - dense_layers, 3 * d * d_ff, vocab * d
        fixed = layers * 4 * d * d + dense_layers * 3 * d * d_ff_dense + sparse * (d * N + shared * expert) + head
        stored, met = fixed + sparse * N * expert, fixed + sparse * k * expert
        numbers = [stored + (not tied) * head, met + (not tied) * head, 2 * met]
        numbers[place] += 1
        return numbers

    results = [check("6.1", off_by_one, seed=seed) for seed in range(20)]
    assert {(result.status, result.mistake) for result in results} == {(Status.NOT_YET, None)}
    assert all(f"\n{part}: " in f"\n{result.message}" for result in results)
    near = [result.message for result in results if "near, but a count is exact" in result.message]
    assert near  # where one more is within the tolerance of a rounded number
    assert all("off by +1." in message for message in near)


def test_single_precision_holds_every_count_of_6_1():
    largest = max(max(counts(*case)) for seed in range(200) for case in counts_cases(np.random.default_rng(seed)))
    assert largest < 2**24


def test_a_named_mistake_is_not_followed_by_a_guess():
    assert "rounded" not in check("6.2", lambda q, batch: len(q)).message


def test_the_draws_of_6_2_hold_the_hard_cases():
    for seed in range(200):
        cases = touched_cases(np.random.default_rng(seed))
        for q, batch in cases:
            k = round(q.sum())
            assert q.sum() == pytest.approx(k)
            assert 0 <= q.min() <= q.max() <= 1
            assert touched(q, batch) <= len(q) * (1 - (1 - k / len(q)) ** batch) + 1e-9  # even is the most
        assert sum(q.min() == 0 and q.max() == 1 for q, _ in cases) >= 4
        assert touched(*cases[0]) == pytest.approx(2)  # one token touches k


def test_rounded_numbers_pass_and_the_claims_of_the_exercise_do_not():
    rounded = {part: right if right is None else round(right) for part, right in allowed().items()}
    assert check("6.4", rounded).status == Status.CORRECT
    claimed = {"A": 75, "B": 100, "C": 27, "E": 27, "F": 100, "G": 365}
    for part, number in claimed.items():
        result = check("6.4", {**rounded, part: number})
        assert result.status == Status.NOT_YET
        assert result.mistake.startswith(part)
    assert set(ADVICE) == set(allowed())
