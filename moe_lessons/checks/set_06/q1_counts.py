"""Question 6.1: counts for a configuration."""

from collections.abc import Callable
from typing import Any

import numpy as np

from moe_lessons.accounting import Attention, Config, active_breakdown, breakdown, flops_per_token
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.values import agree, stacked, unpack
from moe_lessons.checks.verdicts import Fault, by_test, by_value

COUNTING = tuple(
    f"accounting.{name}"
    for name in (
        "parameters",
        "active_parameters",
        "breakdown",
        "active_breakdown",
        "flops_per_token",
        "flops_breakdown",
        "layer_counts",
    )
)
SIZES, PARTS = ("layers", "d", "vocab", "N", "k", "f"), ("total", "active", "FLOPs")


def plain_decoder(layers: int, d: int, vocab: int, N: int, k: int, f: int) -> Config:
    """Return the model of 6.1 and 6.3: attention of four (d, d) matrices, SwiGLU experts, two embeddings."""
    attention = Attention(heads=1, kv_heads=1, head_size=d)
    return Config(layers=layers, d_model=d, vocab=vocab, attention=attention, num_experts=N, top_k=k, d_ff=f)


def without_norms(items: dict[str, int]) -> int:
    """Return the sum of a breakdown but for the norms."""
    return sum(items.values()) - items["norms"]


def counts(layers: int, d: int, vocab: int, N: int, k: int, f: int) -> tuple[int, int, int]:
    """Return total and active parameters without norms, and the forward FLOPs of one token."""
    config = plain_decoder(layers, d, vocab, N, k, f)
    return without_norms(breakdown(config)), without_norms(active_breakdown(config)), flops_per_token(config)


def counts_cases(rng: np.random.Generator) -> list[tuple]:
    """Three small models, whose routers still weigh enough to be missed."""
    cases = []
    for layers in (2, 3, 5):
        d, vocab, f = (int(rng.integers(low, high)) for low, high in ((24, 60), (100, 300), (30, 90)))
        N = int(rng.integers(6, 17))
        cases.append((layers, d, vocab, N, int(rng.integers(2, N // 2)), f))
    return cases


def place(i: int) -> Callable[..., int]:
    """Return the function that gives number i of the right counts."""
    return lambda *sizes: counts(*sizes)[i]


total_of, active_of, flops_of = map(place, range(3))


def less(right: Callable, forgotten: Callable) -> Callable:
    """Return the count that is right but for `forgotten(layers, d, vocab, N, k, f)`."""
    return lambda *sizes: right(*sizes) - forgotten(*sizes)


def total_and_active(value: Any) -> list:
    """Return the first two counts of an answer."""
    return (unpack(value, PARTS) or [None] * 3)[:2]


def near_miss(value: Any, *sizes: int) -> Fault | None:
    """Find a count that is wrong by no more than rounding would explain: float32 holds all of these exactly."""
    for part, got, right in zip(PARTS, unpack(value, PARTS) or [], counts(*sizes), strict=True):
        if off := float(stacked(got)) - right:
            case = ", ".join(f"{name} = {size}" for name, size in zip(SIZES, sizes, strict=True))
            return Fault(
                None, f"{part}: near, but a count is exact. Expected {right}, yours is off by {off:+g}.", f"for {case}"
            )
    return None


COUNTS = FunctionQuestion(
    **about("6.1", "Counts for a configuration", "write it", "easy", points=3, minutes=10),
    hints=(
        "Write down one layer first: attention, router, one expert. How many of each does the layer store, and how many does one token meet? Then the layers, then the two embeddings.",
        "Stored: layers · (4d² + dN + N·3df) + 2·vocab·d. For active parameters N·3df becomes k·3df, and nothing else changes. FLOPs: 2 for each active weight but those of the input embedding.",
    ),
    idea="Only the routed experts exist N times; a token meets k of them, and all the rest whole. A weight costs a multiplication and an addition, unless it is only looked up.",
    answer="my_counts",
    parameters=SIZES,
    stands_for=COUNTING,
    cases=counts_cases,
    reference=counts,
    afterwards=near_miss,
    parts={
        "total": by_value(
            "N copies of a model: You multiplied the whole model by N. This is how 8×7B becomes 56B. Attention and embeddings exist once; only the experts exist N times.",
            lambda layers, d, vocab, N, k, f: N * (total_of(layers, d, vocab, 1, 1, f) - layers * d),
            "N copies of a model and routers: You multiplied attention and embeddings by N as well. They exist once; only the experts exist N times.",
            lambda layers, d, vocab, N, k, f: N * total_of(layers, d, vocab, 1, 1, f),
            "two matrices: Your experts have two matrices. A SwiGLU expert has three: W1 and W3 of d × f, W2 of f × d.",
            less(total_of, lambda layers, d, vocab, N, k, f: layers * N * d * f),
            "no router: The routers are missing: d·N weights in each layer.",
            less(total_of, lambda layers, d, vocab, N, k, f: layers * d * N),
            "one router: You counted one router for the whole model. Each layer has its own: d·N weights in each.",
            less(total_of, lambda layers, d, vocab, N, k, f: (layers - 1) * d * N),
            "one embedding: One of the two embeddings is missing: input embedding and output head are different matrices here.",
            less(total_of, lambda layers, d, vocab, N, k, f: vocab * d),
            "no embeddings: The two embeddings are missing: vocab · d weights each.",
            less(total_of, lambda layers, d, vocab, N, k, f: 2 * vocab * d),
            "one layer: You counted one layer.",
            lambda layers, d, vocab, N, k, f: total_of(1, d, vocab, N, k, f),
            "embeddings in every layer: You multiplied the embeddings by the number of layers too. The model has two of them in all.",
            lambda layers, d, vocab, N, k, f: total_of(layers, d, vocab, N, k, f) + (layers - 1) * 2 * vocab * d,
            "three attention matrices: Attention has a fourth matrix: queries, keys, values, and the output.",
            less(total_of, lambda layers, d, vocab, N, k, f: layers * d * d),
            "one attention matrix: Attention has four matrices of d × d; you counted one.",
            less(total_of, lambda layers, d, vocab, N, k, f: 3 * layers * d * d),
        ),
        "active": by_value(
            "total as active: This is the total. One token meets k experts of each layer.",
            total_of,
            "experts only: Only the k experts are counted. The token also meets attention, routers and embeddings.",
            lambda layers, d, vocab, N, k, f: layers * k * 3 * d * f,
            "total times k/N: You took k/N of everything. Only the routed experts shrink: attention, routers and embeddings work for every token.",
            lambda layers, d, vocab, N, k, f: total_of(layers, d, vocab, N, k, f) * k / N,
            "router of k: You shrank the router too. It scores all N experts, or it could not choose: d·N weights are active.",
            less(active_of, lambda layers, d, vocab, N, k, f: layers * d * (N - k)),
            "active without input embedding: The input embedding is missing. Some authors leave it out; here it was asked to count.",
            less(active_of, lambda layers, d, vocab, N, k, f: vocab * d),
            "no router active: The routers are missing among the active parameters. They work for every token.",
            less(active_of, lambda layers, d, vocab, N, k, f: layers * d * N),
            "one router active: You counted one router for the whole model. A token meets one in each layer.",
            less(active_of, lambda layers, d, vocab, N, k, f: (layers - 1) * d * N),
            "one expert active: You counted one active expert. There are k.",
            lambda layers, d, vocab, N, k, f: active_of(layers, d, vocab, N, 1, f),
        ),
        "FLOPs": by_value(
            "lookup counted: You counted the input embedding. A token looks up one row of it: nothing is multiplied.",
            lambda layers, d, vocab, N, k, f: 2 * active_of(layers, d, vocab, N, k, f),
            "one for each weight: This is 1 for each weight. A weight costs a multiplication and an addition: 2.",
            lambda layers, d, vocab, N, k, f: flops_of(layers, d, vocab, N, k, f) // 2,
            "active as FLOPs: This is the number of active parameters. A weight costs 2 FLOPs, and the input embedding none.",
            active_of,
            "head left out: You left out both embeddings. The output head is a real product: d · vocab multiplications for each token.",
            less(flops_of, lambda layers, d, vocab, N, k, f: 2 * vocab * d),
            "head counted once: The output head is doubled too: it is a product, 2 FLOPs for each of its weights.",
            less(flops_of, lambda layers, d, vocab, N, k, f: vocab * d),
            "all experts run: These are the FLOPs with all N experts running. k of them run.",
            lambda layers, d, vocab, N, k, f: flops_of(layers, d, vocab, N, N, f),
            "no router FLOPs: The routers are missing among the FLOPs. Each scores all N experts for every token: 2·d·N in each layer.",
            less(flops_of, lambda layers, d, vocab, N, k, f: 2 * layers * d * N),
            "router of k FLOPs: You shrank the router among the FLOPs. It scores all N experts, or it could not choose: 2·d·N in each layer.",
            less(flops_of, lambda layers, d, vocab, N, k, f: 2 * layers * d * (N - k)),
            "training: You counted 6 for each weight. That is a training step: forward 2, backward 4. Asked is the forward pass.",
            lambda layers, d, vocab, N, k, f: 3 * flops_of(layers, d, vocab, N, k, f),
        ),
    },
    mistakes=by_test(
        "swapped: Your total and active are swapped. Return all parameters first, then those that one token meets.",
        lambda value, *sizes: all(map(agree, total_and_active(value), (active_of(*sizes), total_of(*sizes)))),
        "active as total: This is the number of active parameters. All N experts are stored, dormant ones too.",
        lambda value, *sizes: agree(total_and_active(value)[0], active_of(*sizes)),
    ),
)
