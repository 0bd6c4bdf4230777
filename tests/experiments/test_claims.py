"""The evidence of lesson 11b: measures within groups on planted routes, experts per token, what ships."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from moe_lessons import metrics
from moe_lessons.corpus import ideal_reader, languages
from moe_lessons.experiments import claims, experts_per_token
from moe_lessons.experiments import specialisation as sp
from moe_lessons.training import warmup_cosine

CONTEXT, LAYERS = 24, 2


@pytest.fixture(scope="module")
def task():
    return languages.prepare(train=64, selection=8, report=800, context=CONTEXT)


@pytest.fixture(scope="module")
def labels(task):
    return claims.labels_of(task.report)


def planted(labels, kind):
    """Return a selection (S, L, 1) of eight experts that follows the language, a token, or nothing."""
    chance = np.random.default_rng(1)
    follow = {
        "language": labels["language"] + 2 * (labels["token"] % 4),
        "token": labels["token"] % 8,
        "previous": (labels["previous"] + 1) % 8,
        "nothing": chance.integers(0, 8, labels["token"].shape),
    }
    return follow[kind][..., None]


# --- within groups ------------------------------------------------------------------------------------------------


def test_a_sample_holds_each_value_once_a_sequence_and_weighs_all_its_tokens(labels):
    token = labels["token"]
    within = claims.sample(token, least=50)
    sequence, value = within.rows // token.shape[1], token.ravel()[within.rows]
    assert len({*zip(sequence.tolist(), value.tolist(), strict=True)}) == len(within.rows)
    kept = value[np.unique(within.group, return_index=True)[1]]  # (G,)
    counts = np.bincount(token.ravel())
    np.testing.assert_allclose(within.weight, counts[kept] / counts[kept].sum())
    assert within.coverage == pytest.approx(counts[kept].sum() / token.size)
    assert np.bincount(within.group).min() >= 50
    assert (within.group[within.shuffles] == within.group).all()  # labels stay in their group
    assert (within.shuffles != np.arange(len(within.rows))).mean() > 0.9


def test_without_a_condition_it_is_the_mutual_information_and_whole_sequences_move(labels):
    chosen, whole = planted(labels, "previous"), claims.everything(labels["part"].shape, draws=20)
    found = claims.told(chosen, labels["part"], whole)
    part, expert, sequence = (a.ravel() for a in (labels["part"], chosen, labels["sequence"]))
    bits = metrics.mutual_information(part, expert, base=2)
    null = metrics.permutation_null(part, expert, sequence, draws=20, base=2)
    assert found["bits"] == pytest.approx(bits, abs=1e-4)
    assert found["excess"] == pytest.approx(metrics.excess(bits, null), abs=5e-3)


def test_experts_that_follow_the_language_know_it_and_those_of_the_token_or_of_nothing_do_not(labels):
    within = claims.sample(labels["token"])
    excess = {k: claims.told(planted(labels, k), labels["language"], within)["excess"]
              for k in ("language", "token", "nothing")}  # fmt: skip
    open_bits = claims._open(labels["language"], np.zeros(labels["token"].size), within)["open"]
    assert excess["language"] == pytest.approx(open_bits, abs=0.02)
    assert excess["token"] == 0
    assert abs(excess["nothing"]) < 0.01


def test_what_follows_the_token_before_ends_where_that_is_given(labels):
    chosen = planted(labels, "previous")
    alone = claims.told(chosen, labels["position"], claims.sample(labels["token"], least=10))
    both = claims.told(chosen, labels["position"], claims.sample(labels["pair"], least=10))
    assert alone["excess"] > 0.1
    assert both["bits"] == 0


def test_the_bias_is_taken_off_also_for_labels_that_stay_the_same_in_a_sequence(task):
    """Control: with every occurrence in place of one a sequence, a favourite of the sequence looks like knowledge."""
    labels, chance = claims.labels_of(task.report), np.random.default_rng(2)
    favourite = chance.integers(0, 8, (len(labels["token"]), 1, 1))
    chosen = np.where(
        chance.random((*labels["token"].shape, 1)) < 0.7, favourite, chance.integers(0, 8, favourite.shape)
    )
    topic = chance.permutation(labels["topic"][:, 0])[:, None] * np.ones_like(labels["topic"])  # of no sequence
    fair = claims.told(chosen, topic, claims.sample(labels["token"]))["excess"]
    token, topics, expert = labels["token"].ravel(), topic.ravel(), chosen.ravel()
    order = np.argsort(token + chance.random(token.size))  # within each token, in any order
    naive = [metrics.mutual_information(t, e, np.sort(token), base=2)
             for t, e in ((topics[np.argsort(token, kind="stable")], expert[np.argsort(token, kind="stable")]),
                          (topics[order], expert[np.argsort(token, kind="stable")]))]  # fmt: skip
    assert abs(fair) < 0.01
    assert naive[0] - naive[1] > 2 * abs(fair) + 0.005


def test_both_experts_are_one_symbol_whatever_their_order(labels):
    """Experts that stand for a language only together: one of them tells nothing, both tell all."""
    chance, north = np.random.default_rng(3), labels["language"] == 0
    first = chance.integers(0, 4, north.shape)  # (S, L)
    second = 4 + (first + 2 * north + chance.integers(0, 2, north.shape)) % 4
    chosen = np.where(
        chance.random((*north.shape, 1)) < 0.5, np.stack([first, second], -1), np.stack([second, first], -1)
    )
    within = claims.sample(labels["token"], least=500)
    one, two = (claims.told(c, labels["language"], within)["excess"] for c in (chosen, claims.both(chosen)))
    assert abs(one) < 0.01
    assert two == pytest.approx(claims.left_open(labels["language"], within), abs=0.05)
    np.testing.assert_array_equal(claims.both(chosen), claims.both(chosen[..., ::-1]))
    assert claims.both(chosen).shape == (*north.shape, 1)


def test_one_of_two_experts_has_room_for_the_bits_of_its_choice_less_one(labels):
    within = claims.sample(labels["token"], least=500)
    even = np.random.default_rng(0).permuted(np.broadcast_to(np.arange(8), (*labels["token"].shape, 8)), axis=-1)
    assert claims.room(even[..., :2], within) == pytest.approx(3 - 1, abs=0.02)
    assert claims.room(even[..., :1], within) == pytest.approx(3, abs=0.02)
    of_the_token = np.stack([labels["token"] % 4, 4 + labels["token"] % 4], axis=-1)
    assert claims.room(of_the_token, within) == pytest.approx(0, abs=1e-9)


def test_a_linear_reader_finds_what_the_states_hold_and_nothing_else(labels):
    chance, topic = np.random.default_rng(4), labels["topic"]
    states = torch.from_numpy(chance.normal(size=(*topic.shape, 6))).float()
    states[..., :4] += 4 * torch.nn.functional.one_hot(torch.from_numpy(topic).long(), 4)
    half = len(topic) // 2
    tokens = labels["token"][half:], labels["token"][:half]
    reads = [claims.linear_reader(x[half:], x[:half], topic[:half], tokens) for x in (states, states[..., 4:])]
    left = [-np.log2(np.take_along_axis(p, topic[half:, :, None], axis=-1)).mean() for p in reads]  # bits
    assert left[0] < 0.3
    assert 1.7 < left[1] < 2
    np.testing.assert_allclose(reads[0].sum(axis=-1), 1, atol=1e-5)
    assert reads[0].shape == (*topic[half:].shape, 4)


def test_a_linear_reader_knows_what_the_token_says(labels):
    function, blind = (
        labels["function"],
        torch.from_numpy(np.random.default_rng(0).normal(size=(800, CONTEXT, 2))).float(),
    )
    half, token = 400, labels["token"]
    read = claims.linear_reader(blind[half:], blind[:half], function[:half], (token[half:], token[:half]))
    left = -np.log2(np.take_along_axis(read, function[half:, :, None], axis=-1)).mean()
    assert left == pytest.approx(claims.left_open(function, claims.sample(token, least=1)), abs=0.02)


def test_what_a_class_saves_on_the_next_token_is_what_it_tells_of_it(task):
    part, chance = claims.corpus().report, np.random.default_rng(5)
    found = claims.saves(part)
    assert set(found) == set(claims.ABOUT)
    assert min(found.values()) > 0.05
    shuffled = {about: chance.permuted(values, axis=1) for about, values in part.classes.items()}
    assert abs(claims.saves(replace(part, classes=shuffled))["piece"]) < 0.03


def test_what_can_be_known_lies_between_nothing_and_all(task):
    reading = ideal_reader.read(languages.world(), task.report.ids[:, :-1])
    found = claims.knowable(task.report, reading)
    assert set(found) == set(claims.ABOUT)
    for table in found.values():
        opens = [table[given]["open"] for given in claims.GIVEN[:2]]
        assert opens[0] > opens[1] > 0
        for cell in table.values():
            assert 0 < cell["known"] < cell["open"] + 1e-9


# --- experts per token --------------------------------------------------------------------------------------------


def test_many_occurrences_find_many_experts_and_equal_counts_do_not():
    chance = np.random.default_rng(0)
    group = np.repeat([0, 1, 2], [4000, 40, 5])
    first = chance.integers(0, 8, group.size)
    every = experts_per_token.different(first, group, None)
    equal = experts_per_token.different(first, group, 10, draws=200)
    expected = 8 * (1 - (7 / 8) ** 10)
    assert every[0] == 8
    assert every[2] <= 5
    assert equal[0] == pytest.approx(expected, abs=0.3)
    assert equal[1] == pytest.approx(expected, abs=0.6)
    assert np.isnan(equal[2])
    np.testing.assert_array_equal(experts_per_token.different(group % 8, group, 5), [1, 1, 1])


def test_a_token_with_two_uses_is_counted_in_both(labels):
    of_use = (2 * labels["function"] + labels["previous"] % 2)[..., None]  # a function word has other experts
    found = experts_per_token.per_token(of_use, labels)
    assert found["the same token as content word"]["equal"] <= 2
    assert found["the same token as function word"]["equal"] <= 2
    assert found["the 10 most frequent"]["all"] > 2
    assert found["the same token as content word"]["null"] > 2.5
    for use in ("content word", "function word"):
        assert (
            found[f"the same token as {use}"]["tokens"] >= found[f"the same token as {use} in one role"]["tokens"] > 0
        )


def test_within_one_role_a_choice_that_follows_the_role_is_one_expert(labels):
    of_role = (labels["part"] + 3 * labels["piece"])[..., None] % 8
    found = experts_per_token.per_token(of_role, labels)
    assert found["the same token as content word in one role"]["equal"] == 1
    assert found["the same token as function word in one role"]["equal"] == 1
    assert found["the same token as content word"]["equal"] > 1.5


def test_the_token_two_before_is_the_one_before_the_one_before(labels):
    np.testing.assert_array_equal(labels["two_before"][:, 2:], labels["token"][:, :-2])
    assert (labels["two_before"][:, :2] == -1).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: claims.sample(np.zeros(4, dtype=int)), r"given.shape = \(4,\)"),
        (lambda: claims.sample(np.zeros((4, 2), dtype=int), draws=0), "draws = 0"),
        (lambda: claims.sample(np.zeros((4, 2), dtype=int), least=5), "least = 5: expected at most 4"),
        (lambda: experts_per_token.different(np.zeros(3, dtype=int), np.zeros(4, dtype=int)), "first.shape"),
        (lambda: experts_per_token.different(np.zeros(3, dtype=int), np.zeros(3, dtype=int), 0), "count = 0"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- a study, and what ships --------------------------------------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch):
    whole = sp.build
    sizes = {"context": CONTEXT, "layers": LAYERS, "d_model": 8, "heads": 2, "d_ff": 16}
    monkeypatch.setattr(sp, "build", lambda V, kind="moe", seed=0: whole(V, kind, seed, **sizes))


@pytest.mark.slow
@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("kind", ["3 steps", "3 steps, strong topics", *claims.KINDS[2:6]])
def test_a_study_holds_what_the_lesson_reports_and_fits_into_json(task, kind):
    found = json.loads(json.dumps(claims.study(kind, 0, task)))
    assert len(found["layers"]) == (1 if "hash" in kind else LAYERS)
    assert set(found["layers"][0]) == {*claims.ABOUT, "experts"}
    for about in claims.ABOUT:
        told = found["layers"][0][about]
        assert set(told) == set(claims.GIVEN)
        assert kind != "hash" or told["token"] == {"bits": 0, "excess": 0}
        assert kind != "hash of the token before" or abs(told[claims.GIVEN[2]]["excess"]) < 1e-9
    assert set(found["beside"]) == set(claims.WHO[1:2] if "hash" in kind else claims.WHO[1:])
    for who, layers in found["beside"].items():
        givens = {*(claims.GIVEN[1:2] if who == "linear reader" else claims.GIVEN[1:])}
        assert len(layers) == len(found["layers"])
        assert all(set(told) == givens for layer in layers for told in layer.values())
    if "hash" not in kind:
        assert len(found["layers_off"]) == len(found["max_violation"]) == len(found["gate_max_violation"]) == LAYERS


@pytest.fixture(scope="module")
def shipped():
    return claims.load_results()


def test_the_file_holds_every_router_once_and_says_how_it_was_made(shipped):
    settings = shipped["settings"]
    assert (settings["seeds"], settings["lengths"]) == (list(claims.SEEDS), list(claims.LENGTHS))
    held = [(s["kind"], s["seed"]) for s in shipped["studies"]]
    assert held == claims.routers()
    assert len({*held}) == len(held) == 6 * len(claims.SEEDS) + len(claims.FEWER)
    assert settings["kinds"] == list(claims.KINDS)
    for kind in claims.KINDS:
        seeds = len(claims.FEWER if "strong" in kind else claims.SEEDS)
        assert claims.runs(shipped, kind, "topic", "token").shape == (seeds, 1 if "hash" in kind else 4)
        assert (claims.shares(shipped, kind, "topic", "token") < 1).all()
        for who in claims.WHO[1:] if "hash" not in kind else claims.WHO[1:2]:
            assert (claims.shares(shipped, kind, "topic", "token", who) < 1).all()


def test_a_hash_of_the_token_knows_nothing_beyond_it(shipped):
    for about in claims.ABOUT:
        assert (claims.runs(shipped, "hash", about, "token") == 0).all()
        assert (claims.runs(shipped, "hash of the token before", about, claims.GIVEN[2]) == 0).all()


@pytest.mark.parametrize("name", claims.TEXTS)
def test_what_ships_of_the_ideal_reader_is_what_she_reads(shipped, name):
    ids = languages.prepare(train=8, selection=8, report=64, favour=claims.TEXTS[name]).report.ids
    drawn, told = languages.world(favour=claims.TEXTS[name]), shipped["texts"][name]
    loss, blind = (ideal_reader.read(w, ids).loss.mean() for w in (drawn, languages.without_topics(drawn)))
    assert loss == pytest.approx(told["best_loss"], abs=0.05)
    assert blind - loss == pytest.approx(told["topics_save"], abs=0.04)
    assert min(s["loss"] for s in shipped["studies"] if "loss" in s and claims.text_of(s["kind"]) == name) > loss


def test_what_ships_of_the_next_token_is_what_the_text_saves(shipped):
    now, then = claims.saves(claims.corpus().report), shipped["texts"]["usual"]["saves"]
    assert {about: pytest.approx(then[about], abs=0.03) for about in claims.ABOUT} == now


def test_a_kind_names_its_text():
    assert [claims.text_of(kind) for kind in claims.KINDS] == ["usual"] * 6 + ["strong topics"]
    with pytest.raises(ValueError, match="name = 'weak topics'"):
        claims.corpus("weak topics")


@pytest.mark.slow
def test_a_fresh_short_run_is_consistent_with_the_file(shipped):
    """The same text and untrained router give the same numbers; a few steps lead where the shipped training passed."""
    part = languages.prepare(train=8, selection=8, report=claims.corpus().report.ids.shape[0]).report
    np.testing.assert_array_equal(part.ids, claims.corpus().report.ids)
    routes = sp.record(claims.trained(claims.corpus(), 0, 0), part.ids)
    fresh = [claims.tells(chosen, part, ("token",)) for chosen in routes.selected]
    (row,) = (s for s in shipped["studies"] if (s["kind"], s["seed"]) == ("untrained", 0))
    assert routes.loss.mean() == pytest.approx(row["loss"], abs=0.01)
    for about in claims.ABOUT:
        now, then = ([layer[about]["token"]["excess"] for layer in layers] for layers in (fresh, row["layers"]))
        np.testing.assert_allclose(now, then, atol=0.01)
    model = sp.build(languages.FORMS)
    history = sp.train_language_model(model, claims.corpus(), 60, progress=False,
                                      schedule=lambda step, _: warmup_cosine(step, claims.LENGTHS[0]))  # fmt: skip
    (trained,) = (s for s in shipped["studies"] if (s["kind"], s["seed"]) == (f"{claims.LENGTHS[0]} steps", 0))
    assert trained["loss"] + 0.3 < history.losses["task"][-1] < row["loss"] - 0.2
