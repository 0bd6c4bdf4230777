"""`metrics` against loops over tokens, scipy and tables by hand; nulls against simulated routers; broken copies."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from moe_lessons import metrics
from moe_lessons.metrics import (
    bootstrap_interval,
    co_activation,
    coefficient_of_variation,
    consecutive_repetition,
    dead_experts,
    domain_specialisation,
    entropy,
    excess,
    expert_load,
    max_violation,
    mutual_information,
    p_value,
    per_assignment,
    permutation_null,
    saturation,
    vocabulary_specialisation,
)


def pairs(*labels):
    """The labels of each token as one tuple."""
    return list(zip(*(np.asarray(label).tolist() for label in labels), strict=True))


def information_by_hand(a, b, c=None):
    """Σ p(a, b, c) log p(a, b | c) / (p(a | c) p(b | c)), counted token by token."""
    c = [0] * len(a) if c is None else c
    abc, ac, bc, cc = (Counter(pairs(*kinds)) for kinds in ((a, b, c), (a, c), (b, c), (c,)))
    return sum(n / len(a) * math.log(n * cc[(k,)] / (ac[i, k] * bc[j, k])) for (i, j, k), n in abc.items())


def entropy_of(labels):
    return stats.entropy(np.unique(labels, return_counts=True)[1])


def random_selection(rng, T, N, k):
    return rng.permuted(np.tile(np.arange(N), (T, 1)), axis=1)[:, :k]


triples = st.integers(1, 40).flatmap(
    lambda T: st.tuples(*(st.lists(st.integers(-2, 3), min_size=T, max_size=T) for _ in range(3)))
)

# --- entropy -------------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.sampled_from([np.e, 2, 10]))
def test_entropy_is_scipys(seed, N, base):
    p = np.random.default_rng(seed).dirichlet(np.full(N, 0.3), size=(2, 3))
    np.testing.assert_allclose(entropy(p, base=base), stats.entropy(p, base=base, axis=-1), atol=1e-12)
    np.testing.assert_allclose(entropy(np.moveaxis(p, -1, 0), axis=0), entropy(p), atol=1e-12)
    assert (entropy(p) >= 0).all()
    assert (entropy(p) <= np.log(N) + 1e-12).all()


def test_entropy_of_known_distributions():
    assert entropy([1, 0, 0]) == 0
    assert math.copysign(1, entropy([1.0, 0.0])) == 1  # not −0
    assert entropy([0.5, 0.5], base=2) == pytest.approx(1, abs=1e-15)
    assert entropy([0.5, 0.25, 0.25], base=2) == pytest.approx(1.5, abs=1e-15)
    assert entropy(np.full(32, 1 / 32)) == pytest.approx(np.log(32))
    assert entropy([0.5, 0.5]) != pytest.approx(1, abs=0.1)  # broken: the wrong base
    assert np.shape(entropy([0.5, 0.5])) == ()
    assert entropy(np.float16([0.3335, 0.3335, 0.3335])) == pytest.approx(np.log(3), abs=1e-3)


@pytest.mark.parametrize(
    ("p", "keywords", "named"),
    [
        ([0.5, 0.6], {}, "sum to 1"),
        ([1.5, -0.5], {}, r"p\[1\]"),
        ([np.nan, 1], {}, r"p\[0\]"),
        ([], {}, "sum to 1"),
        (0.5, {}, "p"),
        ([0.5, 0.5], {"base": 1}, "base"),
        ([0.5, 0.5], {"base": 0.5}, "base"),
        ([0.5, 0.5], {"base": "bits"}, "base"),
        ([0.5, 0.5], {"axis": 1}, "axis"),
        ([[0.5, 0.5], [0.5, 0.5]], {}, None),
        ([[0.5, 0.4], [0.5, 0.6]], {"axis": 0}, None),
        ([[0.5, 0.4], [0.5, 0.6]], {}, "along axis -1"),
    ],
)
def test_entropy_refuses_what_is_no_distribution(p, keywords, named):
    if named is None:
        assert entropy(p, **keywords).shape == (2,)
        return
    with pytest.raises(ValueError, match=named):
        entropy(p, **keywords)


# --- loads ---------------------------------------------------------------------------------------------------------


def test_loads_of_a_small_selection():
    selected = np.array([[0, 1], [0, 2], [0, 1], [3, 0]])
    np.testing.assert_allclose(expert_load(selected, 5), [4 / 8, 2 / 8, 1 / 8, 1 / 8, 0])
    np.testing.assert_allclose(expert_load(selected, 4, mask=[True, False, False, True]), [2 / 4, 1 / 4, 0, 1 / 4])
    kept = np.array([[True, True], [False, True], [False, True], [True, False]])
    np.testing.assert_allclose(expert_load(selected, 4, mask=kept), [1 / 5, 2 / 5, 1 / 5, 1 / 5])
    np.testing.assert_allclose(expert_load(selected.reshape(2, 2, 2), 5), expert_load(selected, 5))


def test_measures_of_imbalance():
    assert coefficient_of_variation([5, 5, 5]) == max_violation([5, 5, 5]) == 0
    assert coefficient_of_variation([8, 0, 0, 0, 0]) == pytest.approx(2)  # √(N − 1)
    assert max_violation([8, 0, 0, 0, 0]) == pytest.approx(4)  # N − 1
    assert max_violation([0.75, 0.25]) == pytest.approx(0.5)
    np.testing.assert_allclose(max_violation([[1, 3], [2, 2]]), [0.5, 0])
    np.testing.assert_allclose(coefficient_of_variation([[1, 3], [2, 2]]), [0.5, 0])


@given(st.lists(st.integers(0, 50), min_size=1, max_size=9).filter(any), st.sampled_from([0.125, 1.0, 64.0]))
def test_imbalance_does_not_depend_on_the_unit_or_the_order(load, scale):
    load = np.array(load, float)
    assert coefficient_of_variation(load) == pytest.approx(stats.variation(load), abs=1e-12)
    for measure in (coefficient_of_variation, max_violation):
        assert measure(scale * load) == pytest.approx(measure(load), abs=1e-9)
        assert measure(load[::-1]) == pytest.approx(measure(load), abs=1e-12)
    assert dead_experts(scale * load, 0.2).tolist() == [i for i, n in enumerate(load) if n < 0.2 * load.mean()]


def test_dead_is_relative_to_the_fair_share():
    even = np.full(128, 1 / 128)  # each below 1 % of all assignments, and none dead
    assert dead_experts(even).tolist() == []
    assert np.flatnonzero(even < 0.01).size == 128  # broken: an absolute threshold
    assert dead_experts([0, 1, 199, 200]).tolist() == [0]
    assert dead_experts([0, 1, 199, 200], below=0.02).tolist() == [0, 1]


# --- mutual information --------------------------------------------------------------------------------------------


def from_table(table):
    """Labels (T,) and (T,) whose contingency table is `table`."""
    table = np.asarray(table)
    rows, columns = np.indices(table.shape)
    return np.repeat(rows.ravel(), table.ravel()), np.repeat(columns.ravel(), table.ravel())


@pytest.mark.parametrize(
    ("table", "bits"),
    [
        ([[5, 0], [0, 5]], 1.0),
        ([[5, 5], [5, 5]], 0.0),
        ([[3, 1], [1, 3]], 1 - 2 * 0.5 * (0.75 * math.log2(4 / 3) + 0.25 * 2)),  # 1 − H(1/4) = 0.1887
        ([[2, 2], [0, 4]], 0.31127812445913283),  # H(1/4, 3/4) − (1/2)·1 bit
    ],
)
def test_two_by_two_tables_by_hand(table, bits):
    a, b = from_table(table)
    assert mutual_information(a, b, base=2) == pytest.approx(bits, abs=1e-12)
    assert mutual_information(a, b) == pytest.approx(bits * math.log(2), abs=1e-12)
    if bits:
        assert mutual_information(a, b) != pytest.approx(bits, rel=0.1)  # broken: the wrong base


@given(triples)
def test_information_is_the_sum_by_hand(labels):
    a, b, c = labels
    assert mutual_information(a, b) == pytest.approx(information_by_hand(a, b), abs=1e-12)
    assert mutual_information(a, b, given=c) == pytest.approx(information_by_hand(a, b, c), abs=1e-12)


def test_information_is_half_of_g_over_t():
    a, b = from_table(np.random.default_rng(0).integers(1, 20, size=(4, 6)))
    table = np.zeros((4, 6))
    np.add.at(table, (a, b), 1)
    g = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic
    assert mutual_information(a, b) == pytest.approx(g / (2 * len(a)), rel=1e-12)


@given(triples)
def test_laws_of_information(labels):
    a, b, c = (np.array(label) for label in labels)
    value = mutual_information(a, b)
    assert value >= 0
    assert value == pytest.approx(mutual_information(b, a), abs=1e-12)
    assert value <= min(entropy_of(a), entropy_of(b)) + 1e-12
    assert mutual_information(a, a) == pytest.approx(entropy_of(a), abs=1e-12)
    both = 10 * b + c
    chain = mutual_information(a, c) + mutual_information(a, b, given=c)
    assert mutual_information(a, both) == pytest.approx(chain, abs=1e-12)
    assert mutual_information(a, b // 2) <= value + 1e-12  # a function of b knows no more than b
    assert mutual_information(a, b, given=both) == 0  # nothing is left to know, exactly
    words = np.array(["zero", "one", "two", "three", "minus two", "minus one"])[b]
    order = np.random.default_rng(0).permutation(len(a))
    assert mutual_information(a[order], words[order]) == pytest.approx(value, abs=1e-12)


def test_xor_is_seen_only_given_the_third():
    a, b = np.tile([0, 0, 1, 1], 25), np.tile([0, 1, 0, 1], 25)
    assert mutual_information(a, b) == pytest.approx(0, abs=1e-12)
    assert mutual_information(a, b, given=a ^ b, base=2) == pytest.approx(1)


def test_conditional_information_is_the_mean_over_the_conditions():
    a, b, c = np.random.default_rng(1).integers(0, 3, size=(3, 200))
    mean = sum((c == v).mean() * mutual_information(a[c == v], b[c == v]) for v in range(3))
    assert mutual_information(a, b, given=c) == pytest.approx(mean, abs=1e-12)


def test_the_plug_in_estimate_is_biased_upwards():
    rng = np.random.default_rng(0)
    values = [mutual_information(*rng.integers(0, 8, size=(2, 400))) for _ in range(200)]
    assert np.mean(values) == pytest.approx(7 * 7 / (2 * 400), rel=0.1)  # the textbook's bias, tokens independent


def test_per_assignment_repeats_the_labels():
    experts, domain, s = per_assignment([[2, 0], [1, 2]], ["py", "en"], [7, 8])
    assert experts.tolist() == [2, 0, 1, 2]
    assert domain.tolist() == ["py", "py", "en", "en"]
    assert s.tolist() == [7, 7, 8, 8]
    experts, token = per_assignment(np.arange(12).reshape(2, 3, 2), np.arange(6).reshape(2, 3))
    assert (token == experts // 2).all()
    with pytest.raises(ValueError, match=r"labels\[1\]"):
        per_assignment([[0], [1]], [0, 1], [0, 1, 2])


# --- nulls ---------------------------------------------------------------------------------------------------------


def routed_text(rng, sequences=40, length=50, N=4, loyal=0.8, domains=4):
    """Domains that say nothing; each sequence has a favourite expert that most of its tokens take."""
    s = np.repeat(np.arange(sequences), length)  # (T,)
    domain = rng.permutation(np.arange(sequences) % domains)[s]
    favourite = rng.integers(0, N, sequences)[s]
    expert = np.where(rng.random(len(s)) < loyal, favourite, rng.integers(0, N, len(s)))
    return domain, expert, s


def token_shuffle(a, b, rng, draws):
    """The broken null: tokens move one by one."""
    return np.array([mutual_information(rng.permutation(a), b) for _ in range(draws)])


def test_whole_sequences_give_the_right_rate_of_false_alarms_and_tokens_do_not():
    rng = np.random.default_rng(0)
    whole, tokens = [], []
    for seed in range(200):
        a, b, s = routed_text(rng)
        value = mutual_information(a, b)
        whole.append(p_value(value, permutation_null(a, b, s, draws=59, rng=seed)))
        tokens.append(p_value(value, token_shuffle(a, b, rng, 19)))
    assert 0.01 < np.mean(np.array(whole) <= 0.05) < 0.1  # 0.05, give or take 3 standard errors
    assert np.mean(whole) == pytest.approx(0.5, abs=0.07)
    assert np.mean(np.array(tokens) <= 0.05) > 0.9  # broken: an alarm nearly always


def test_a_token_shuffle_is_too_low_and_too_narrow():
    rng = np.random.default_rng(1)
    a, b, s = routed_text(rng)
    whole, tokens = permutation_null(a, b, s), token_shuffle(a, b, rng, 200)
    assert whole.mean() > 10 * tokens.mean()
    assert whole.std() > 10 * tokens.std()


def test_blocks_give_the_right_rate_where_the_label_varies():
    rng = np.random.default_rng(2)
    p = []
    for seed in range(150):
        _, b, s = routed_text(rng)
        _, a, _ = routed_text(rng)  # of another router: independent, and as loyal
        p.append(p_value(mutual_information(a, b), permutation_null(a, b, s, draws=59, rng=seed)))
    assert 0.005 < np.mean(np.array(p) <= 0.05) < 0.11
    assert np.mean(p) == pytest.approx(0.5, abs=0.08)


def test_the_null_finds_what_is_there():
    rng = np.random.default_rng(3)
    domain, expert, s = routed_text(rng)
    expert = np.where(rng.random(len(s)) < 0.5, domain, expert)
    null = permutation_null(domain, expert, s)
    assert p_value(mutual_information(domain, expert), null) == 1 / 201
    blocks = permutation_null(expert, domain * 1000 + np.tile(np.arange(50), 40), s)  # the label varies
    assert p_value(mutual_information(expert, domain * 1000 + np.tile(np.arange(50), 40)), blocks) == 1 / 201


def test_labels_move_with_whole_sequences():
    s = np.repeat([5, 9, 7], [2, 4, 3])
    a = np.repeat(["x", "y", "z"], [2, 4, 3])
    order = np.random.default_rng(0).permutation(9)  # the sequences' tokens may lie apart
    null = permutation_null(a[order], s[order], s[order], draws=20)
    np.testing.assert_allclose(null, entropy_of(s))  # the label still says which sequence: a token shuffle would not
    assert token_shuffle(a, s, np.random.default_rng(0), 20).mean() < entropy_of(s) - 0.1


def test_blocks_move_within_a_length_and_keep_their_order():
    s = np.repeat([0, 1, 2], [3, 3, 2])
    a = np.array([0, 1, 2, 3, 4, 5, 6, 7])
    shuffles = metrics._shuffles(a, s, None, np.random.default_rng(0))
    seen = {tuple(next(shuffles)) for _ in range(30)}
    assert seen == {(0, 1, 2, 3, 4, 5, 6, 7), (3, 4, 5, 0, 1, 2, 6, 7)}


def test_within_given_keeps_who_uses_what():
    domain, _, s = routed_text(np.random.default_rng(4))
    token = np.random.default_rng(5).integers(0, 9, len(s)) + domain  # domains differ in their tokens
    shuffles = metrics._shuffles(domain, s, token, np.random.default_rng(0))
    for _ in range(5):
        moved = next(shuffles)
        assert (moved != domain).any()
        assert Counter(pairs(moved, token)) == Counter(pairs(domain, token))


def test_within_given_takes_more_values_than_sequences():
    domain, s, token = np.repeat([0, 1], 3), np.repeat([0, 1], 3), np.tile([0, 1, 2], 2)
    shuffles = metrics._shuffles(domain, s, token, np.random.default_rng(0))
    for _ in range(20):
        assert Counter(pairs(next(shuffles), token)) == Counter(pairs(domain, token))


def tokens_of_domains(rng, share, sequences=120, length=64, V=60):
    """Domains with tokens of their own, a router that follows the token, the sequence and (`share`) the domain.

    Returns domain, expert, sequence, token, and the true I(domain; expert | token) in nats.
    """
    s, N, D = np.repeat(np.arange(sequences), length), 8, 4
    P = rng.dirichlet(np.full(V, 0.5), size=D)  # (D, V)
    domain = np.arange(sequences) % D
    token = np.concatenate([rng.choice(V, length, p=P[i]) for i in domain])
    home, u = rng.integers(0, N, V), rng.random(len(s))
    favourite = rng.integers(0, N, sequences)[s]
    expert = np.where(u < 0.4, favourite, np.where(u < 0.4 + share, domain[s], home[token]))
    q = np.full((V, D, N), 0.4 / N)  # p(expert | token, domain)
    q[:, np.arange(D), np.arange(D)] += share
    q[np.arange(V), :, home] += 0.6 - share
    w = P.T / D  # (V, D), p(token, domain)
    mean = (w[:, :, None] * q).sum(1) / w.sum(1)[:, None]  # (V, N), p(expert | token)
    truth = (w.sum(1) * stats.entropy(mean, axis=1)).sum() - (w * stats.entropy(q, axis=2)).sum()
    return domain[s], expert, s, token, truth


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_excess_given_the_token_is_right_within_and_far_too_small_otherwise(share):
    rng = np.random.default_rng(7)
    errors = {True: [], False: []}
    for seed in range(12):
        domain, expert, s, token, truth = tokens_of_domains(rng, share)
        value = mutual_information(domain, expert, given=token)
        for within in errors:
            null = permutation_null(domain, expert, s, given=token, draws=20, rng=seed, within_given=within)
            errors[within].append(excess(value, null) - truth)
    assert abs(np.mean(errors[True])) < 0.01
    assert np.mean(errors[False]) < -0.04  # below 0, although the domain matters (share 0.1)


def test_a_hash_router_knows_nothing_beyond_the_token():
    domain, _, s = routed_text(np.random.default_rng(0))
    token = np.random.default_rng(1).integers(0, 20, len(s)) + 5 * domain
    null = permutation_null(domain, token % 7, s, given=token, draws=20)
    assert mutual_information(domain, token % 7, given=token) == 0
    assert (null == 0).all()
    assert p_value(0.0, null) == 1


def test_draws_repeat_with_a_seed_and_the_base_is_a_factor():
    a, b, s = routed_text(np.random.default_rng(0))
    null = permutation_null(a, b, s, draws=10, rng=3)
    assert null.shape == (10,)
    assert (null == permutation_null(a, b, s, draws=10, rng=np.random.default_rng(3))).all()
    assert (null != permutation_null(a, b, s, draws=10, rng=4)).any()
    np.testing.assert_allclose(permutation_null(a, b, s, draws=10, rng=3, base=2), null / np.log(2))


def test_p_value_and_excess():
    assert p_value(3.0, [1, 2, 3, 4]) == pytest.approx(3 / 5)
    assert p_value(9.0, [1, 2, 3, 4]) == pytest.approx(1 / 5)  # never 0
    assert excess(3.0, [1, 2, 3, 4]) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"a": [0.5] * 6}, "a = "),
        ({"b": [[0] * 6]}, "b = "),
        ({"b": [0] * 5}, "b = "),
        ({"sequence": [0] * 7}, "sequence"),
        ({"given": []}, "given"),
        ({"draws": 0}, "draws"),
        ({"base": 1.0}, "base"),
        ({"sequence": [0] * 6, "a": [1] * 6}, "at least two sequences"),
        ({"sequence": [0, 0, 1, 1, 1, 1], "a": [0, 1, 2, 0, 1, 2]}, "same length"),
        ({"within_given": True}, "within_given"),
        ({"within_given": True, "given": [0] * 6, "a": [0, 1] * 3}, "within_given"),
        ({"within_given": True, "given": [0, 1, 2, 3, 4, 5]}, "at least two sequences"),
    ],
)
def test_nulls_refuse_bad_input(change, named):
    good = {"a": [0, 0, 1, 1, 0, 0], "b": [0, 1, 0, 1, 1, 1], "sequence": [0, 0, 1, 1, 2, 2], "draws": 3}
    assert len(permutation_null(**good)) == 3
    with pytest.raises(ValueError, match=named):
        permutation_null(**good | change)


def test_a_table_that_would_fill_the_memory_is_refused():
    many = np.arange(20_000)
    with pytest.raises(ValueError, match="combinations of a, b"):
        mutual_information(many, many)


# --- the bootstrap -------------------------------------------------------------------------------------------------


def test_bootstrap_of_a_mean_is_about_normal_theory():
    values = np.random.default_rng(0).normal(3, 2, size=400)
    low, high = bootstrap_interval(values, draws=4000)
    half = 1.96 * values.std(ddof=1) / 20
    assert low == pytest.approx(values.mean() - half, abs=0.03)
    assert high == pytest.approx(values.mean() + half, abs=0.03)
    assert bootstrap_interval(values, rng=1) == bootstrap_interval(values, rng=1)


def test_bootstrap_moves_whole_sequences():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 1)) + 0.1 * rng.normal(size=(50, 40))  # tokens of a sequence are alike
    low, high = bootstrap_interval(values)
    broken_low, broken_high = bootstrap_interval(values.ravel())  # as if 2,000 tokens were independent
    assert high - low == pytest.approx(2 * 1.96 / np.sqrt(50) * values.mean(1).std(), rel=0.1)
    assert high - low > 4 * (broken_high - broken_low)
    wide = bootstrap_interval(values, level=0.99)
    assert wide[0] < low < high < wide[1]
    assert bootstrap_interval(values, lambda rows: rows.shape[0]) == (50, 50)


@pytest.mark.parametrize(
    ("values", "keywords", "named"),
    [
        ([1.0], {}, "values"),
        ([1.0, np.nan], {}, "values"),
        ([1, 2], {"level": 1}, "level"),
        ([1, 2], {"draws": 0}, "draws"),
    ],
)
def test_bootstrap_refuses_bad_input(values, keywords, named):
    with pytest.raises(ValueError, match=named):
        bootstrap_interval(values, **keywords)


# --- how a router routes -------------------------------------------------------------------------------------------


def test_saturation_counts_shared_experts_whatever_their_order():
    final = [[0, 1], [2, 3], [4, 5]]
    assert saturation(final, final) == saturation([[1, 0], [3, 2], [5, 4]], final) == 1
    assert saturation([[1, 2], [0, 1], [5, 4]], final) == pytest.approx(3 / 6)
    broken = np.mean(np.array([[1, 0], [3, 2], [5, 4]]) == final)
    assert broken == 0  # a comparison place by place sees nothing
    rng = np.random.default_rng(0)
    chance = saturation(random_selection(rng, 20_000, 8, 2), random_selection(rng, 20_000, 8, 2))
    assert chance == pytest.approx(2 / 8, abs=0.01)
    with pytest.raises(ValueError, match=r"final\.shape"):
        saturation([[0, 1]], [[0]])


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(2, 6), st.data())
def test_routing_measures_are_the_loops(seed, T, N, data):
    k = data.draw(st.integers(1, N))
    rng = np.random.default_rng(seed)
    selected, label = random_selection(rng, T, N, k), rng.integers(0, 3, T)
    sets = [set(row) for row in selected.tolist()]
    for i, row in enumerate(co_activation(selected, N)):
        own = [chosen for chosen in sets if i in chosen]
        wanted = [sum(j in chosen for chosen in own) / len(own) if own else np.nan for j in range(N)]
        np.testing.assert_allclose(row, wanted, atol=1e-12)
    for measure in (domain_specialisation, vocabulary_specialisation):
        shares = measure(selected, label, N)
        assert shares.shape == (len(set(label.tolist())), N)
        for row, kind in zip(shares, np.unique(label), strict=True):
            held = [chosen for chosen, mine in zip(sets, label, strict=True) if mine == kind]
            np.testing.assert_allclose(row, [np.mean([i in chosen for chosen in held]) for i in range(N)], atol=1e-12)
        np.testing.assert_allclose(shares.sum(axis=1), k)


def test_co_activation_of_a_small_selection():
    shares = co_activation([[0, 1], [0, 1], [0, 2]], 4)
    np.testing.assert_allclose(shares[:3, :3], [[1, 2 / 3, 1 / 3], [1, 1, 0], [1, 0, 1]])
    assert np.isnan(shares[3]).all()  # an expert without tokens
    assert (shares[:3, 3] == 0).all()
    even = co_activation(random_selection(np.random.default_rng(0), 50_000, 8, 3), 8)
    np.testing.assert_allclose(even[~np.eye(8, dtype=bool)], 2 / 7, atol=0.02)


def test_repetition_stays_within_a_sequence():
    first, s = [0, 0, 1, 1, 1, 2], [0, 0, 0, 1, 1, 1]
    result = consecutive_repetition(first, s, 4)
    assert result.share == pytest.approx(2 / 4)  # the pair (1, 1) across the border does not count: that gave 3/5
    assert result.uniform == 1 / 4
    assert result.independent == pytest.approx((2 / 6) ** 2 + (3 / 6) ** 2 + (1 / 6) ** 2)
    order = [3, 0, 4, 1, 2, 5]  # tokens of both sequences in turn
    assert consecutive_repetition(np.array(first)[order], np.array(s)[order], 4) == result


def test_repetition_of_independent_draws_is_the_sum_of_squared_loads():
    rng = np.random.default_rng(0)
    first = rng.choice(4, 50_000, p=[0.7, 0.1, 0.1, 0.1])
    result = consecutive_repetition(first, np.repeat(np.arange(500), 100), 4)
    assert result.share == pytest.approx(result.independent, abs=0.01)
    assert result.share > 2 * result.uniform  # broken: 1/N makes uneven loads look like memory


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: expert_load([0, 1], 2), "selected"),
        (lambda: expert_load([[0.0, 1.0]], 2), "selected"),
        (lambda: expert_load([[0, 2]], 2), "experts from 0 to 1"),
        (lambda: expert_load([[0, -1]], 2), "selected"),
        (lambda: expert_load([[1, 1]], 2), "at most once"),
        (lambda: expert_load(np.zeros((0, 2), int), 2), "selected"),
        (lambda: expert_load([[0, 1]], 0), "num_experts"),
        (lambda: expert_load([[0, 1]], 2, mask=[0]), "mask"),
        (lambda: expert_load([[0, 1]], 2, mask=[True, True]), "mask"),
        (lambda: expert_load([[0, 1]], 2, mask=[False]), "mask"),
        (lambda: max_violation([0, 0]), "load"),
        (lambda: max_violation([1, -1]), r"load\[1\]"),
        (lambda: coefficient_of_variation([[1, 1], [0, 0]]), "load"),
        (lambda: dead_experts([[1, 1]]), r"load\.shape"),
        (lambda: dead_experts([1, 1], below=0), "below"),
        (lambda: co_activation([[0, 0]], 2), "at most once"),
        (lambda: consecutive_repetition([0, 1], [0, 1], 2), "at least two tokens"),
        (lambda: consecutive_repetition([0, 1], [0], 2), "sequence"),
        (lambda: consecutive_repetition([0, 2], [0, 0], 2), "first_choice"),
        (lambda: domain_specialisation([[0], [1]], ["a"], 2), "domain"),
        (lambda: vocabulary_specialisation([[0], [1]], [0.5, 1], 2), "token"),
        (lambda: per_assignment(np.arange(12).reshape(2, 3, 2), np.arange(6).reshape(3, 2)), r"labels\[0\].shape"),
        (lambda: domain_specialisation([[[0], [1]]] * 3, np.zeros((2, 3), int), 2), r"domain.shape = \(2, 3\)"),
        (lambda: p_value(np.nan, [1, 2]), "value = nan"),
        (lambda: p_value(np.ones(2), [1, 2]), "value = "),
        (lambda: excess(np.nan, [1, 2]), "value = nan"),
        (lambda: p_value(1.0, []), "null"),
        (lambda: excess(1.0, [np.nan]), "null"),
    ],
)
def test_bad_input_is_named(call, named):
    with pytest.raises(ValueError, match=named):
        call()
