"""Parameters, active parameters, FLOPs and bytes of a decoder transformer whose FFNs are MoE layers.

Everything is counted from a configuration; no model is built. A FLOP is one multiplication or one addition, so a weight
costs 2 for each token it works on. A "forward" is one token's pass; a training step costs about three times as much.
`PUBLISHED` holds five released models with the figures their authors give and the convention that reproduces them.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import floor

from moe_lessons.support.validation import one_of, positive_number, refuse, whole_number

MOST = 10**12  # no size is larger than this


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Attention whose `heads` of queries share `kv_heads` of keys and values (Ainslie et al. 2023, arXiv:2305.13245).

    bias: one on each of the four projections. sinks: a learned number for each head. qk_norm: how many weights the
    norms of queries and keys have, 0 without such norms.
    """

    heads: int
    kv_heads: int
    head_size: int
    bias: bool = False
    sinks: bool = False
    qk_norm: int = 0

    def __post_init__(self) -> None:
        _check_sizes(self, "heads", "kv_heads", "head_size")
        _check_switches(self, "bias", "sinks")
        whole_number("qk_norm", self.qk_norm, least=0, most=MOST)
        if self.heads % self.kv_heads:
            raise refuse("kv_heads", self.kv_heads, f"a divisor of heads = {self.heads}")

    def matrices(self, d_model: int) -> int:
        """Return the weights of the projections to queries, keys and values, and of the output."""
        return 2 * d_model * (self.heads + self.kv_heads) * self.head_size

    def vectors(self, d_model: int) -> int:
        """Return the biases and sinks."""
        biases = (self.heads + 2 * self.kv_heads) * self.head_size + d_model
        return self.bias * biases + self.sinks * self.heads

    def score_width(self) -> int:
        """Return the multiply-adds of one token with one token of its context: a score, and a weighted value."""
        return 2 * self.heads * self.head_size


@dataclass(frozen=True, kw_only=True)
class LatentAttention:
    """Multi-head latent attention: queries, and keys with values, pass a narrow layer (DeepSeek-V2, arXiv:2405.04434).

    query_rank, kv_rank: widths of the narrow layers. plain_size, rope_size: parts of a query or key without and with
    a rotation by position (the rotated part of the key is shared by all heads). value_size: of a value.
    """

    heads: int
    query_rank: int
    kv_rank: int
    plain_size: int
    rope_size: int
    value_size: int

    def __post_init__(self) -> None:
        _check_sizes(self, "heads", "query_rank", "kv_rank", "plain_size", "rope_size", "value_size")

    @property
    def qk_norm(self) -> int:
        """Return the weights of the norms of the two narrow layers."""
        return self.query_rank + self.kv_rank

    def matrices(self, d_model: int) -> int:
        """Return the weights of the five projections."""
        queries = self.query_rank * (d_model + self.heads * (self.plain_size + self.rope_size))
        down = d_model * (self.kv_rank + self.rope_size)
        up = self.kv_rank * self.heads * (self.plain_size + self.value_size)
        return queries + down + up + self.heads * self.value_size * d_model

    def vectors(self, d_model: int) -> int:
        """Return 0: there are no biases."""
        return 0

    def score_width(self) -> int:
        """Return the multiply-adds of one token with one token of its context, keys and values written out in full."""
        return self.heads * (self.plain_size + self.rope_size + self.value_size)


@dataclass(frozen=True, kw_only=True)
class Config:
    """The sizes that decide what a decoder MoE transformer costs.

    layers: all of them; the first `dense_layers` have one FFN of width `dense_d_ff` in place of the MoE layer.
    num_experts N, top_k k, d_ff f: of the routed experts; `shared_experts` of the same width run for every token.
    matrices: of an expert, 2 (ReLU, GELU) or 3 (SwiGLU). tied: input embedding and output head are one matrix.
    Raises ValueError for sizes that are not whole numbers above 0, k above N, dense layers without a width, a switch
    that is neither True nor False, or attention of another type.
    """

    layers: int
    d_model: int
    vocab: int
    attention: Attention | LatentAttention
    num_experts: int
    top_k: int
    d_ff: int
    matrices: int = 3
    shared_experts: int = 0
    dense_layers: int = 0
    dense_d_ff: int = 0
    router_bias: bool = False
    expert_bias: bool = False
    tied: bool = False

    def __post_init__(self) -> None:
        _check_sizes(self, "layers", "d_model", "vocab", "num_experts", "d_ff")
        _check_switches(self, "router_bias", "expert_bias", "tied")
        if not isinstance(self.attention, (Attention, LatentAttention)):
            raise refuse("attention", self.attention, "an Attention or a LatentAttention")
        whole_number("top_k", self.top_k, least=1, most=self.num_experts)
        whole_number("matrices", self.matrices, least=2, most=3)
        whole_number("shared_experts", self.shared_experts, least=0, most=MOST)
        whole_number("dense_layers", self.dense_layers, least=0, most=self.layers)
        whole_number("dense_d_ff", self.dense_d_ff, least=1 if self.dense_layers else 0, most=MOST)

    @property
    def moe_layers(self) -> int:
        """Return the number of layers with a router."""
        return self.layers - self.dense_layers


def _check_sizes(config: object, *names: str) -> None:
    for name in names:
        whole_number(name, getattr(config, name), least=1, most=MOST)


def _check_switches(config: object, *names: str) -> None:
    for name in names:
        _check_switch(name, getattr(config, name))


def _check_switch(name: str, value: object) -> None:
    if not isinstance(value, bool):  # a number would multiply, and a word would count as True
        raise refuse(name, value, "True or False")


# --- counting a model ---------------------------------------------------------------------------------------------


def breakdown(config: Config) -> dict[str, int]:
    """Return the parameters, item by item: all that must be stored. Their sum is `parameters(config)`.

    The keys: attention, routers, routed experts, shared experts, dense FFNs, input embedding, output head, norms.
    Where the two embeddings are tied, the one matrix counts as the output head.
    """
    return _items(config, config.num_experts)


def active_breakdown(config: Config, input_embedding: bool = True) -> dict[str, int]:
    """Return the parameters that one token meets, item by item: k routed experts of N, and all the rest.

    input_embedding: count that matrix too, although a token only looks up one row. Authors differ in this.
    Raises ValueError where it is neither True nor False.
    """
    _check_switch("input_embedding", input_embedding)
    items = _items(config, config.top_k)
    return items if input_embedding else {**items, "input embedding": 0}


def parameters(config: Config) -> int:
    """Return the number of parameters, those of dormant experts included."""
    return sum(breakdown(config).values())


def active_parameters(config: Config, input_embedding: bool = True) -> int:
    """Return the number of parameters that one token meets (see `active_breakdown` for the convention)."""
    return sum(active_breakdown(config, input_embedding).values())


def _items(config: Config, experts: int) -> dict[str, int]:
    """Count matrices and vectors together, with so many routed experts in a layer."""
    vectors = _vectors(config, experts)
    return {name: count + vectors.get(name, 0) for name, count in _matrices(config, experts).items()}


def _matrices(config: Config, experts: int) -> dict[str, int]:
    """Count the weights of matrices, with so many routed experts in a layer."""
    c, d = config, config.d_model
    one_expert, embedding = c.matrices * d * c.d_ff, c.vocab * d
    return {
        "attention": c.layers * c.attention.matrices(d),
        "routers": c.moe_layers * d * c.num_experts,  # a router scores all N, whatever k is
        "routed experts": c.moe_layers * experts * one_expert,
        "shared experts": c.moe_layers * c.shared_experts * one_expert,
        "dense FFNs": c.dense_layers * c.matrices * d * c.dense_d_ff,
        "input embedding": 0 if c.tied else embedding,
        "output head": embedding,
        "norms": 0,
    }


def _vectors(config: Config, experts: int) -> dict[str, int]:
    """Count biases, sinks and the weights of norms."""
    c, d = config, config.d_model
    bias = c.expert_bias * ((c.matrices - 1) * c.d_ff + d)
    return {
        "attention": c.layers * c.attention.vectors(d),
        "routers": c.moe_layers * c.router_bias * c.num_experts,
        "routed experts": c.moe_layers * experts * bias,
        "shared experts": c.moe_layers * c.shared_experts * bias,
        "norms": c.layers * (2 * d + c.attention.qk_norm) + d,
    }


def flops_breakdown(config: Config, context: int = 0) -> dict[str, int]:
    """Return the forward FLOPs of one token, item by item: 2 for each weight of a matrix that it meets.

    context: how many tokens it attends to, itself included; "attention scores" are separate because they alone
    grow with it (every layer is taken to see all of them, without windows). Left out, as is usual: looking up the
    input embedding, norms, softmax, activation functions, biases, and the weighted sum of the experts.
    """
    whole_number("context", context, least=0, most=MOST)
    items = {name: 2 * count for name, count in _matrices(config, config.top_k).items()}
    scores = 2 * config.layers * context * config.attention.score_width()
    return {**items, "input embedding": 0, "attention scores": scores}


def flops_per_token(config: Config, context: int = 0) -> int:
    """Return the forward FLOPs of one token (see `flops_breakdown`; context 0 leaves the attention scores out)."""
    return sum(flops_breakdown(config, context).values())


def weight_bytes(config: Config, bits: float = 16, expert_bits: float | None = None) -> float:
    """Return the bytes that hold all parameters at `bits` each; the routed experts' matrices at `expert_bits` if given.

    This is the weights alone: a cache of keys and values, activations or an optimiser come on top.
    """
    expert_bits = positive_number("bits", bits) if expert_bits is None else positive_number("expert_bits", expert_bits)
    routed = _matrices(config, config.num_experts)["routed experts"]
    return (routed * expert_bits + (parameters(config) - routed) * positive_number("bits", bits)) / 8


# --- a batch ------------------------------------------------------------------------------------------------------


def experts_touched(num_experts: int, top_k: int, batch: int) -> float:
    """Return the expected fraction of a layer's experts that at least one of `batch` tokens selects.

    1 − (1 − k/N)^B: each token takes k of N experts, all choices equally likely and independent. Tokens of real
    text are alike and routers are uneven, and then fewer experts are touched. From 0 (batch 0) to 1.
    """
    whole_number("num_experts", num_experts, least=1, most=MOST)
    whole_number("top_k", top_k, least=1, most=num_experts)
    whole_number("batch", batch, least=0, most=MOST)
    return 1 - (1 - top_k / num_experts) ** batch


def parameters_read(config: Config, batch: int) -> float:
    """Return how many parameters one step on `batch` tokens reads from memory, as `experts_touched` expects.

    Attention, routers, shared experts, dense FFNs, output head and norms are read once for the whole batch, each
    routed expert if any token selects it. The few rows of the input embedding are left out.
    """
    items = {**breakdown(config), "input embedding": 0}
    routed = items.pop("routed experts")
    return sum(items.values()) + routed * experts_touched(config.num_experts, config.top_k, batch)


# --- counting one MoE layer ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LayerCounts:
    """What one MoE layer stores and what one token costs it: routed and shared experts, and a router without bias.

    FLOPs are forward, for one token; `flops` is router, k experts and shared ones together. `router_share`: the
    router's FLOPs against those of the k experts. `flops_all_experts`: router, all N experts and the shared ones.
    `flops_one_expert`: one dense FFN of expert size. The saving depends on which of the two it is measured against.
    """

    parameters: int
    active: int
    router_parameters: int
    flops: int
    router_share: float
    flops_all_experts: int
    flops_one_expert: int

    @property
    def saved_against_all_experts(self) -> float:
        """Return which part of the FLOPs of running all N experts is not spent: nearly 1 − k/N."""
        return 1 - self.flops / self.flops_all_experts

    @property
    def times_one_expert(self) -> float:
        """Return the FLOPs as a multiple of one dense FFN of expert size: a little above k and the shared ones."""
        return self.flops / self.flops_one_expert


def layer_counts(
    d_model: int, d_ff: int, num_experts: int, top_k: int, matrices: int = 3, shared_experts: int = 0
) -> LayerCounts:
    """Return the counts of one MoE layer of `num_experts` experts of width `d_ff`, `top_k` active.

    matrices: of an expert, 2 (ReLU) or 3 (SwiGLU). shared_experts: of the same width, run for every token.
    Raises ValueError for sizes below 1, shared experts below 0, or k above N.
    """
    for name, value in (("d_model", d_model), ("d_ff", d_ff), ("num_experts", num_experts)):
        whole_number(name, value, least=1, most=MOST)
    whole_number("top_k", top_k, least=1, most=num_experts)
    expert = whole_number("matrices", matrices, least=2, most=3) * d_model * d_ff
    router = d_model * num_experts
    always = router + whole_number("shared_experts", shared_experts, least=0, most=MOST) * expert
    return LayerCounts(
        parameters=always + num_experts * expert,
        active=always + top_k * expert,
        router_parameters=router,
        flops=2 * (always + top_k * expert),
        router_share=router / (top_k * expert),
        flops_all_experts=2 * (always + num_experts * expert),
        flops_one_expert=2 * expert,
    )


# --- released models ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Published:
    """A released model: its configuration, and what its authors say it has.

    total, active: billions of parameters, with the decimals of the source. input_embedding: whether counting that
    matrix among the active ones reproduces `active`. rounding: "nearest", or "cut" where the further digits of the
    active number were dropped. sizes_from: where the configuration was read, and how sure it is.
    """

    config: Config
    total: str
    active: str
    source: str
    convention: str
    sizes_from: str
    input_embedding: bool = True
    rounding: str = "nearest"

    def counted(self) -> tuple[str, str]:
        """Return total and active parameters as counted here, written as the source writes them."""
        active = active_parameters(self.config, self.input_embedding)
        return in_billions(parameters(self.config), self.total), in_billions(active, self.active, self.rounding)


def in_billions(count: int, like: str, rounding: str = "nearest") -> str:
    """Return `count` in billions with as many decimals as `like` has; rounding "nearest" (halves up) or "cut"."""
    half = Fraction(1, 2) if one_of("rounding", rounding, ("nearest", "cut")) == "nearest" else 0
    decimals = len(like.partition(".")[2])
    return f"{floor(Fraction(count * 10**decimals, 10**9) + half) / 10**decimals:.{decimals}f}"


_ALL = "all parameters, input embedding and output head included"
_NO_INPUT = "without the input embedding, with the output head"

PUBLISHED = {
    "Mixtral 8x7B": Published(
        config=Config(
            layers=32, d_model=4096, vocab=32000, attention=Attention(heads=32, kv_heads=8, head_size=128),
            num_experts=8, top_k=2, d_ff=14336,
        ),
        total="46.7",
        active="12.9",
        source="Mistral AI's announcement, 2023; the paper (Jiang et al. 2024, arXiv:2401.04088) says 47 and 13",
        convention=f"active: {_ALL} (without the input embedding 12.7, which the paper's 13 would also allow)",
        sizes_from="config.json of Mixtral-8x7B-Instruct-v0.1 and the paper's table 1: sure",
    ),
    "OLMoE-1B-7B": Published(
        config=Config(
            layers=16, d_model=2048, vocab=50304,
            attention=Attention(heads=16, kv_heads=16, head_size=128, qk_norm=2 * 2048),
            num_experts=64, top_k=8, d_ff=1024,
        ),
        total="6.9",
        active="1.3",
        source="Muennighoff et al. 2024, arXiv:2409.02060",
        convention=f"active: {_ALL}",
        sizes_from="config.json of OLMoE-1B-7B-0924: sure; norms of queries and keys over the whole width: model code",
    ),
    "Qwen3-30B-A3B": Published(
        config=Config(
            layers=48, d_model=2048, vocab=151936,
            attention=Attention(heads=32, kv_heads=4, head_size=128, qk_norm=2 * 128),
            num_experts=128, top_k=8, d_ff=768,
        ),
        total="30.5",
        active="3.3",
        source="Qwen's model card; Yang et al. 2025, arXiv:2505.09388",
        convention=f"active: {_ALL}; 3.35 was cut to 3.3, not rounded to 3.4",
        sizes_from="config.json of Qwen3-30B-A3B, the same in several copies: sure",
        rounding="cut",
    ),
    "gpt-oss-120b": Published(
        config=Config(
            layers=36, d_model=2880, vocab=201088,
            attention=Attention(heads=64, kv_heads=8, head_size=64, bias=True, sinks=True),
            num_experts=128, top_k=4, d_ff=2880, router_bias=True, expert_bias=True,
        ),
        total="116.8",
        active="5.1",
        source="OpenAI's model card, August 2025, arXiv:2508.10925",
        convention=f"active: {_NO_INPUT} (with both it would be 5.7)",
        sizes_from="OpenAI's own code, gpt_oss/torch/model.py: sure",
        input_embedding=False,
    ),
    "DeepSeek-V3": Published(
        config=Config(
            layers=61, d_model=7168, vocab=129280,
            attention=LatentAttention(
                heads=128, query_rank=1536, kv_rank=512, plain_size=128, rope_size=64, value_size=128
            ),
            num_experts=256, top_k=8, d_ff=2048, shared_experts=1, dense_layers=3, dense_d_ff=18432, router_bias=True,
        ),
        total="671",
        active="36.6",
        source="README_WEIGHTS.md of the model, in the version with 36.6B and the output head alone (another has 36.7B "
        "with both embeddings); the paper (DeepSeek-AI 2024, arXiv:2412.19437) says 671 and 37",
        convention=f"active: {_NO_INPUT} (with both it would be 37.6); the module for a second token is left out",
        sizes_from="inference/configs/config_671B.json of DeepSeek-V3: sure",
        input_embedding=False,
    ),
}  # fmt: skip
