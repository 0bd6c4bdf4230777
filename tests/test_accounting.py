"""Counts agree with modules that torch builds, with the FLOPs that torch counts, with a simulation and with authors."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from moe_lessons.accounting import (
    PUBLISHED,
    Attention,
    Config,
    LatentAttention,
    Published,
    active_breakdown,
    active_parameters,
    breakdown,
    experts_touched,
    flops_breakdown,
    flops_per_token,
    in_billions,
    layer_counts,
    parameters,
    parameters_read,
    weight_bytes,
)

SMALL = Config(
    layers=3, d_model=16, vocab=40, attention=Attention(heads=4, kv_heads=2, head_size=6), num_experts=5, top_k=2,
    d_ff=7, matrices=2,
)  # fmt: skip
FULL = Config(
    layers=4, d_model=16, vocab=40,
    attention=Attention(heads=4, kv_heads=2, head_size=6, bias=True, sinks=True, qk_norm=12),
    num_experts=5, top_k=2, d_ff=7, shared_experts=2, dense_layers=1, dense_d_ff=20, router_bias=True,
    expert_bias=True, tied=True,
)  # fmt: skip
LATENT = replace(SMALL, attention=LatentAttention(
    heads=4, query_rank=5, kv_rank=3, plain_size=6, rope_size=2, value_size=8
))  # fmt: skip
CONFIGS = {"small": SMALL, "full": FULL, "latent": LATENT, **{name: p.config for name, p in PUBLISHED.items()}}


def shortened(config):
    """The same model with two MoE layers at most: what torch builds of it has a few hundred modules."""
    return replace(config, layers=min(config.layers, config.dense_layers + 2))


# --- the oracle: the same models, built of torch's modules --------------------------------------------------------


class Ffn(nn.Module):
    def __init__(self, d, width, matrices, bias):
        super().__init__()
        self.up = nn.ModuleList(nn.Linear(d, width, bias=bias) for _ in range(matrices - 1))
        self.down = nn.Linear(width, d, bias=bias)

    def forward(self, x):
        inner = [up(x) for up in self.up]
        return self.down(inner[0] * inner[-1])


class Grouped(nn.Module):
    def __init__(self, a, d):
        super().__init__()
        self.q = nn.Linear(d, a.heads * a.head_size, bias=a.bias)
        self.k = nn.Linear(d, a.kv_heads * a.head_size, bias=a.bias)
        self.v = nn.Linear(d, a.kv_heads * a.head_size, bias=a.bias)
        self.out = nn.Linear(a.heads * a.head_size, d, bias=a.bias)
        self.sinks = nn.Parameter(torch.zeros(a.heads if a.sinks else 0))
        self.norms = nn.Parameter(torch.zeros(a.qk_norm))
        self.sizes = (a.heads, a.head_size, a.head_size)

    def forward(self, x, context):
        self.k(x), self.v(x)
        return self.out(attend(self.q(x), context, *self.sizes))


class Latent(nn.Module):
    def __init__(self, a, d):
        super().__init__()
        self.q_down, self.q_norm = nn.Linear(d, a.query_rank, bias=False), nn.RMSNorm(a.query_rank)
        self.q_up = nn.Linear(a.query_rank, a.heads * (a.plain_size + a.rope_size), bias=False)
        self.kv_down, self.kv_norm = nn.Linear(d, a.kv_rank + a.rope_size, bias=False), nn.RMSNorm(a.kv_rank)
        self.kv_up = nn.Linear(a.kv_rank, a.heads * (a.plain_size + a.value_size), bias=False)
        self.out = nn.Linear(a.heads * a.value_size, d, bias=False)
        self.sizes = (a.heads, a.plain_size + a.rope_size, a.value_size)

    def forward(self, x, context):
        self.kv_up(self.kv_norm(self.kv_down(x)[:, : self.kv_up.in_features]))
        return self.out(attend(self.q_up(self.q_norm(self.q_down(x))), context, *self.sizes))


def attend(q, context, heads, qk_size, value_size):
    """One token's scores against `context` keys, and the sum of as many values."""
    if context == 0:
        return q.new_zeros(1, heads * value_size)
    keys, values = q.new_zeros(heads, qk_size, context), q.new_zeros(heads, context, value_size)
    return (q.view(heads, 1, qk_size) @ keys @ values).reshape(1, heads * value_size)


class Block(nn.Module):
    def __init__(self, c, dense):
        super().__init__()
        d = c.d_model
        self.norms = nn.ModuleList([nn.RMSNorm(d), nn.RMSNorm(d)])
        self.attention = (Grouped if isinstance(c.attention, Attention) else Latent)(c.attention, d)
        self.router = None if dense else nn.Linear(d, c.num_experts, bias=c.router_bias)
        routed = 0 if dense else c.num_experts
        self.routed = nn.ModuleList(Ffn(d, c.d_ff, c.matrices, c.expert_bias) for _ in range(routed))
        always = [(c.dense_d_ff, False)] if dense else c.shared_experts * [(c.d_ff, c.expert_bias)]
        self.always = nn.ModuleList(Ffn(d, width, c.matrices, bias) for width, bias in always)
        self.top_k = c.top_k

    def forward(self, x, context):
        x = self.norms[1](self.attention(self.norms[0](x), context))
        if self.router is not None:
            self.router(x)
        return x + sum(ffn(x) for ffn in [*self.always, *self.routed[: self.top_k]])


class Decoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        # One that draws its numbers makes torch import for seconds.
        self.embed = nn.Embedding.from_pretrained(torch.empty(c.vocab, c.d_model))
        self.blocks = nn.ModuleList(Block(c, dense=i < c.dense_layers) for i in range(c.layers))
        self.norm = nn.RMSNorm(c.d_model)
        self.head = nn.Linear(c.d_model, c.vocab, bias=False)
        if c.tied:
            self.head.weight = self.embed.weight

    def forward(self, token, context):
        x = self.embed(token)
        for block in self.blocks:
            x = block(x, context)
        return self.head(self.norm(x))


def built(config):
    with torch.device("meta"):  # modules with shapes but without numbers: billions of them cost nothing
        return Decoder(config)


def size(module):
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module", params=CONFIGS)
def pair(request):
    config = shortened(CONFIGS[request.param])
    return config, built(config)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_every_further_layer_adds_the_same(config):
    one, two = (replace(shortened(config), layers=config.dense_layers + n) for n in (1, 2))
    for count in (parameters, active_parameters, flops_per_token):
        assert count(config) == count(one) + (config.moe_layers - 1) * (count(two) - count(one))


def test_the_parameters_are_those_of_torch_modules(pair):
    config, model = pair
    assert parameters(config) == size(model)
    dormant = sum(size(block.routed[0]) for block in model.blocks if len(block.routed))
    dormant *= config.num_experts - config.top_k
    assert active_parameters(config) == size(model) - dormant
    lookup = 0 if config.tied else size(model.embed)
    assert active_parameters(config, input_embedding=False) == size(model) - dormant - lookup


def test_each_item_is_that_of_torch_modules(pair):
    config, model = pair
    moe = [block for block in model.blocks if block.router is not None]
    qk_norm = config.layers * config.attention.qk_norm
    assert breakdown(config) == {
        "attention": sum(size(block.attention) for block in model.blocks) - qk_norm,
        "routers": sum(size(block.router) for block in moe),
        "routed experts": sum(size(block.routed) for block in moe),
        "shared experts": sum(size(block.always) for block in moe),
        "dense FFNs": sum(size(block.always) for block in model.blocks if block.router is None),
        "input embedding": 0 if config.tied else size(model.embed),
        "output head": size(model.head),
        "norms": sum(size(block.norms) for block in model.blocks) + size(model.norm) + qk_norm,
    }


@pytest.mark.parametrize("context", [0, 1, 50])
def test_the_flops_are_those_that_torch_counts(pair, context):
    config, model = pair
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, dtype=torch.long, device="meta"), context)
    assert flops_per_token(config, context) == counter.get_total_flops()


def test_broken_control_counting_all_experts_as_active_would_be_noticed():
    model = built(SMALL)
    for block in model.blocks:
        block.top_k = SMALL.num_experts
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, dtype=torch.long, device="meta"), 0)
    assert flops_per_token(SMALL) != counter.get_total_flops()
    assert flops_per_token(replace(SMALL, top_k=5)) == counter.get_total_flops()


def test_flops_are_two_for_each_active_weight_of_a_matrix_but_the_lookup():
    assert flops_per_token(SMALL) == 2 * (active_parameters(SMALL, False) - breakdown(SMALL)["norms"])
    items = flops_breakdown(SMALL, context=10)
    assert sum(items.values()) == flops_per_token(SMALL, context=10)
    assert items["attention scores"] == 10 * flops_breakdown(SMALL, context=1)["attention scores"]
    assert items["input embedding"] == 0


# --- what the authors say -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_figures_are_reproduced_under_their_convention(name):
    model = PUBLISHED[name]
    assert model.counted() == (model.total, model.active)
    assert model.source
    assert model.convention
    assert model.sizes_from


@pytest.mark.parametrize("name", ["OLMoE-1B-7B", "Qwen3-30B-A3B", "gpt-oss-120b", "DeepSeek-V3", "Mixtral 8x7B"])
def test_the_other_convention_gives_another_active_number(name):
    model = PUBLISHED[name]
    other = replace(model, input_embedding=not model.input_embedding)
    assert other.counted()[0] == model.total
    assert other.counted()[1] != model.active


def test_the_numbers_in_the_conventions():
    def other(name):
        return replace(PUBLISHED[name], input_embedding=not PUBLISHED[name].input_embedding).counted()[1]

    assert other("Mixtral 8x7B") == "12.7"
    assert other("gpt-oss-120b") == "5.7"
    assert other("DeepSeek-V3") == "37.6"
    qwen = PUBLISHED["Qwen3-30B-A3B"]
    assert replace(qwen, active="3.35", rounding="nearest").counted()[1] == "3.35"
    assert replace(qwen, rounding="nearest").counted()[1] == "3.4"


@pytest.mark.parametrize(("name", "total", "active"), [("Mixtral 8x7B", "47", "13"), ("DeepSeek-V3", "671", "37"),
                                                       ("gpt-oss-120b", "117", "5.1")])  # fmt: skip
def test_the_coarser_figures_of_the_papers_follow_too(name, total, active):
    assert replace(PUBLISHED[name], total=total, active=active).counted() == (total, active)


def test_the_checkpoint_of_gpt_oss_has_the_size_its_card_gives():
    """60.8 GiB: experts at 4.25 bits (MXFP4 with its scales), all else at 16."""
    assert f"{weight_bytes(PUBLISHED['gpt-oss-120b'].config, 16, 4.25) / 2**30:.1f}" == "60.8"


def test_broken_control_eight_times_seven_is_not_the_size_of_mixtral():
    mixtral = PUBLISHED["Mixtral 8x7B"]
    dense = parameters(replace(mixtral.config, num_experts=1, top_k=1))
    assert in_billions(dense, "7") == "7"  # one expert with its own attention is a model of 7B
    assert in_billions(8 * dense, mixtral.total) != mixtral.total
    assert in_billions(8 * dense, "58") == "58"
    shared = breakdown(mixtral.config)
    assert 8 * dense - parameters(mixtral.config) == 7 * sum(
        shared[item] for item in ("attention", "input embedding", "output head", "norms")
    )


# --- bytes and batches --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("N", "k", "batch"), [(8, 2, 1), (8, 2, 16), (256, 8, 64), (64, 8, 5), (4, 4, 1)])
def test_the_experts_touched_are_those_of_a_simulation(N, k, batch):
    rng, runs = np.random.default_rng(0), 1000
    chosen = rng.random((runs, batch, N)).argsort(axis=-1)[..., :k].reshape(runs, -1)
    fractions = np.array([np.unique(row).size / N for row in chosen])
    margin = 5 * fractions.std() / np.sqrt(runs) + 1e-12
    assert experts_touched(N, k, batch) == pytest.approx(fractions.mean(), abs=margin)
    if batch > 1 and k < N:  # the broken control: with replacement within a token, the fraction is another
        assert 1 - (1 - 1 / N) ** (k * batch) != pytest.approx(experts_touched(N, k, batch), rel=1e-6)


@given(st.integers(1, 300), st.data())
def test_touched_experts_grow_from_nothing_to_all(N, data):
    k, batch = data.draw(st.integers(1, N)), data.draw(st.integers(0, 10_000))
    assert experts_touched(N, k, 0) == 0
    assert experts_touched(N, k, 1) == pytest.approx(k / N)
    assert experts_touched(N, k, batch) <= experts_touched(N, k, batch + 1) <= 1


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_one_token_reads_the_active_parameters_and_a_large_batch_all(config):
    assert parameters_read(config, 1) == pytest.approx(active_parameters(config, False))
    lookup = breakdown(config)["input embedding"]
    assert parameters_read(config, 10**7) == pytest.approx(parameters(config) - lookup)


def test_bytes():
    assert weight_bytes(SMALL) == 2 * parameters(SMALL)
    assert weight_bytes(SMALL, bits=4) == parameters(SMALL) / 2
    routed = breakdown(SMALL)["routed experts"]
    assert weight_bytes(SMALL, 32, expert_bits=8) == 4 * (parameters(SMALL) - routed) + routed


# --- one layer ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("matrices", [2, 3])
def test_a_layer_counts_as_a_model_with_that_layer_alone(matrices):
    layer = layer_counts(16, 7, 5, 2, matrices)
    model = breakdown(replace(SMALL, layers=1, matrices=matrices))
    active = active_breakdown(replace(SMALL, layers=1, matrices=matrices))
    flops = flops_breakdown(replace(SMALL, layers=1, matrices=matrices))
    assert layer.parameters == model["routers"] + model["routed experts"]
    assert layer.active == active["routers"] + active["routed experts"]
    assert layer.router_parameters == model["routers"]
    assert layer.flops == flops["routers"] + flops["routed experts"]
    assert layer.router_share == pytest.approx(flops["routers"] / flops["routed experts"])
    assert layer.flops_one_expert == 2 * size(Ffn(16, 7, matrices, False))


def test_the_same_layer_saves_against_one_baseline_and_costs_against_the_other():
    mixtral = layer_counts(4096, 14336, 8, 2)
    assert mixtral.saved_against_all_experts == pytest.approx(0.75, abs=1e-4)
    assert mixtral.times_one_expert == pytest.approx(2, abs=1e-3)
    assert mixtral.router_share == pytest.approx(9.3e-5, abs=5e-7)
    assert layer_counts(7168, 2048, 256, 8).router_share == pytest.approx(5.2e-3, abs=5e-5)


def test_a_shared_expert_is_stored_and_runs_for_every_token():
    layer, model = layer_counts(16, 7, 5, 2, shared_experts=1), replace(SMALL, layers=1, matrices=3, shared_experts=1)
    items = ("routers", "routed experts", "shared experts")
    assert layer.parameters == sum(breakdown(model)[item] for item in items)
    assert layer.active == sum(active_breakdown(model)[item] for item in items)
    assert layer.flops == sum(flops_breakdown(model)[item] for item in items)
    assert layer.flops_all_experts == sum(flops_breakdown(replace(model, top_k=5))[item] for item in items)
    assert layer.router_share == layer_counts(16, 7, 5, 2).router_share


@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 64), st.data())
def test_granularity_leaves_the_experts_alone_and_multiplies_the_router(d, f, N, data):
    k, m = data.draw(st.integers(1, N)), data.draw(st.integers(1, 8))
    coarse, fine = layer_counts(d, m * f, N, k), layer_counts(d, f, m * N, m * k)
    assert fine.parameters - fine.router_parameters == coarse.parameters - coarse.router_parameters
    assert fine.flops - 2 * fine.router_parameters == coarse.flops - 2 * coarse.router_parameters
    assert fine.router_parameters == m * coarse.router_parameters


# --- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: replace(SMALL, layers=0), "layers = 0"),
        (lambda: replace(SMALL, d_model=1.5), "d_model = 1.5"),
        (lambda: replace(SMALL, num_experts=True), "num_experts = True"),
        (lambda: replace(SMALL, attention=None), "attention = None"),
        (lambda: replace(SMALL, router_bias=3), "router_bias = 3"),
        (lambda: replace(SMALL, expert_bias=1), "expert_bias = 1"),
        (lambda: replace(SMALL, tied="no"), "tied = 'no'"),
        (lambda: Attention(heads=4, kv_heads=4, head_size=8, sinks=2), "sinks = 2"),
        (lambda: replace(SMALL, top_k=6), "top_k = 6"),
        (lambda: replace(SMALL, top_k=0), "top_k = 0"),
        (lambda: replace(SMALL, matrices=4), "matrices = 4"),
        (lambda: replace(SMALL, shared_experts=-1), "shared_experts = -1"),
        (lambda: replace(SMALL, dense_layers=4), "dense_layers = 4"),
        (lambda: replace(SMALL, dense_layers=1), "dense_d_ff = 0"),
        (lambda: Attention(heads=4, kv_heads=3, head_size=8), "kv_heads = 3"),
        (lambda: Attention(heads=4, kv_heads=4, head_size=8, qk_norm=-1), "qk_norm = -1"),
        (lambda: replace(LATENT.attention, kv_rank=0), "kv_rank = 0"),
        (lambda: flops_per_token(SMALL, context=-1), "context = -1"),
        (lambda: weight_bytes(SMALL, bits=0), "bits = 0"),
        (lambda: weight_bytes(SMALL, expert_bits=np.nan), "expert_bits = nan"),
        (lambda: weight_bytes(SMALL, bits=-1, expert_bits=4), "bits = -1"),
        (lambda: experts_touched(0, 1, 1), "num_experts = 0"),
        (lambda: experts_touched(8, 9, 1), "top_k = 9"),
        (lambda: experts_touched(8, 2, -1), "batch = -1"),
        (lambda: parameters_read(SMALL, 1.5), "batch = 1.5"),
        (lambda: layer_counts(0, 1, 1, 1), "d_model = 0"),
        (lambda: layer_counts(4, 4, 4, 5), "top_k = 5"),
        (lambda: layer_counts(4, 4, 4, 1, matrices=1), "matrices = 1"),
        (lambda: layer_counts(4, 4, 4, 1, shared_experts=-1), "shared_experts = -1"),
        (lambda: in_billions(1, "1", "up"), "rounding = 'up'"),
        (lambda: active_parameters(SMALL, "without"), "input_embedding = 'without'"),
    ],
)
def test_bad_input(call, named):
    with pytest.raises(ValueError, match="expected") as error:
        call()
    assert str(error.value).startswith(named)


def test_halves_round_up_and_cutting_drops_digits():
    assert in_billions(2_500_000_000, "3") == "3"
    assert in_billions(3_350_000_000, "3.3") == "3.4"
    assert in_billions(3_399_999_999, "3.3", "cut") == "3.3"
    assert in_billions(671_026_419_200, "671") == "671"


def test_what_is_published_cannot_be_changed():
    with pytest.raises(AttributeError):
        PUBLISHED["DeepSeek-V3"].total = "672"
    assert all(isinstance(model, Published) for model in PUBLISHED.values())
