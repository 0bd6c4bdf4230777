"""Question 6.1: counts for a model of today."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from moe_lessons.accounting import Attention, Config, active_breakdown, breakdown, flops_per_token
from moe_lessons.checks.question import FunctionQuestion, about
from moe_lessons.checks.values import agree, stacked, unpack
from moe_lessons.checks.verdicts import Fault, by_formula, by_test

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
PARTS = ("total", "active", "FLOPs")


class Sizes(NamedTuple):
    """The sizes of a decoder, in the order of the answer's arguments; without the last four all layers are alike."""

    layers: int
    d: int
    vocab: int
    N: int
    k: int
    d_ff: int
    shared: int = 0
    dense_layers: int = 0
    d_ff_dense: int = 0
    tied: bool = False

    @property
    def sparse(self) -> int:
        """Return the number of layers with a router."""
        return self.layers - self.dense_layers

    @property
    def expert(self) -> int:
        """Return the weights of one expert."""
        return 3 * self.d * self.d_ff

    @property
    def dense(self) -> int:
        """Return the weights of all dense FFNs."""
        return self.dense_layers * 3 * self.d * self.d_ff_dense

    @property
    def embedding(self) -> int:
        """Return the weights of one matrix over the vocabulary."""
        return self.vocab * self.d


def decoder(s: Sizes) -> Config:
    """Return the model of 6.1 and 6.3: attention of four (d, d) matrices, SwiGLU everywhere."""
    return Config(
        layers=s.layers,
        d_model=s.d,
        vocab=s.vocab,
        attention=Attention(heads=1, kv_heads=1, head_size=s.d),
        num_experts=s.N,
        top_k=s.k,
        d_ff=s.d_ff,
        shared_experts=s.shared,
        dense_layers=s.dense_layers,
        dense_d_ff=s.d_ff_dense,
        tied=s.tied,
    )


def total(s: Sizes) -> int:
    """Return all parameters but for the norms."""
    items = breakdown(decoder(s))
    return sum(items.values()) - items["norms"]


def active(s: Sizes) -> int:
    """Return the parameters that one token meets, but for the norms."""
    items = active_breakdown(decoder(s))
    return sum(items.values()) - items["norms"]


def flops(s: Sizes) -> int:
    """Return the forward FLOPs of one token."""
    return flops_per_token(decoder(s))


def hidden_widths(s: Sizes) -> int:
    """Return how wide all FFNs that a token passes are together."""
    return s.sparse * (s.k + s.shared) * s.d_ff + s.dense_layers * s.d_ff_dense


def counts(*sizes: Any) -> tuple[int, int, int]:
    """Return total and active parameters without norms, and the forward FLOPs of one token."""
    s = Sizes(*sizes)
    return total(s), active(s), flops(s)


def of_sizes(formula: Callable[[Sizes], Any]) -> Callable[..., Any]:
    """Return the function of a case that is `formula` of its sizes."""
    return lambda *sizes: formula(Sizes(*sizes))


def counts_cases(rng: np.random.Generator) -> list[tuple]:
    """Five small models whose routers still weigh enough to be missed: one with all layers alike, one for each switch.

    The third has k = 1 and more than one shared expert, the fourth one sparse layer, which shares none. The last runs all
    N experts, has shared ones beside them and is tied, without a dense layer.
    """
    cases = []
    plans = ((2, 0, 0, False, 2), (4, 1, 1, True, 3), (5, 2, 3, False, 1), (3, 2, 0, True, 2), (3, 0, 2, True, 0))
    for layers, dense_layers, shared, tied, k in plans:
        d, vocab, d_ff, d_ff_dense = map(int, rng.integers((24, 100, 30, 100), (60, 300, 90, 300)))
        N = int(rng.integers(6, 17))
        cases.append(tuple(Sizes(layers, d, vocab, N, k or N, d_ff, shared, dense_layers, d_ff_dense, tied)))
    return cases


def total_and_active(value: Any) -> list:
    """Return the first two counts of an answer."""
    return (unpack(value, PARTS) or [None] * 3)[:2]


def near_miss(value: Any, *sizes: int) -> Fault | None:
    """Find a count that is wrong by no more than rounding would explain: float32 holds all of these exactly."""
    for part, got, right in zip(PARTS, unpack(value, PARTS) or [], counts(*sizes), strict=True):
        if off := float(stacked(got)) - right:
            case = ", ".join(f"{name} = {size}" for name, size in zip(Sizes._fields, sizes, strict=True))
            return Fault(
                None, f"{part}: near, but a count is exact. Expected {right}, yours is off by {off:+g}.", f"for {case}"
            )
    return None


COUNTS = FunctionQuestion(
    **about("6.1", "Counts for a model of today", "write it", "medium", points=3, minutes=12),
    hints=(
        "Write down one layer of each kind, dense and sparse: what does it store, and how much of that does one token meet? Then count the layers of each kind. What every token meets is the same in both counts.",
        "A sparse layer stores N + shared experts, and a token meets k + shared of them; a dense one has no router. For the FLOPs begin with the products, not with the active parameters: is a tied matrix multiplied at the output?",
    ),
    idea="Only the routed experts are stored N times and met k times; whatever every token meets counts once in both. A matrix costs FLOPs where it is multiplied, however often it is used for looking up.",
    takeaway="Before you compare the active counts of two models, ask of each whether the input embedding is in it: published ones differ in that.",
    answer="my_counts",
    parameters=Sizes._fields,
    stands_for=COUNTING,
    cases=counts_cases,
    reference=counts,
    afterwards=near_miss,
    parts={
        "total": by_formula(
            of_sizes,
            "all layers alike: This is lesson 06's model: every layer has a router and N experts, and nothing else is there. Here some layers are dense, some experts are shared, and the embeddings may be tied.",
            lambda s: total(Sizes(*s[:6])),
            "sparse layers alone: You put the number of sparse layers in the place of `layers`, and the dense ones are gone. They are layers, too: each has attention, and one SwiGLU of width d_ff_dense.",
            (
                lambda s: total(s) - s.dense - s.dense_layers * 4 * s.d**2,
                lambda s: total(Sizes(*s[:6])._replace(layers=s.sparse)),
                lambda s: total(Sizes(*s[:6])._replace(layers=s.sparse, tied=s.tied)),
            ),
            "N copies of a model: You multiplied the whole model by N. This is how 8×7B becomes 56B. Only the routed experts exist N times.",
            (
                lambda s: s.N * (total(s._replace(N=1, k=1)) - s.sparse * s.d),
                lambda s: s.N * total(s._replace(N=1, k=1)),
            ),
            "two matrices: Your experts and dense FFNs have two matrices. A SwiGLU has three: W1 and W3 of d × width, W2 of width × d.",
            lambda s: total(s) - (s.sparse * (s.N + s.shared) * s.expert + s.dense) // 3,
            "two matrices in an expert: Your experts have two matrices. A SwiGLU expert has three: W1 and W3 of d × d_ff, W2 of d_ff × d.",
            lambda s: total(s) - s.sparse * (s.N + s.shared) * s.expert // 3,
            "two matrices in a dense FFN: Your dense FFNs have two matrices. A dense SwiGLU has three: W1 and W3 of d × d_ff_dense, W2 of d_ff_dense × d.",
            lambda s: total(s) - s.dense // 3,
            "shared forgotten: The shared experts are missing, or you took them out of the N. Each sparse layer stores them beside its N routed ones.",
            lambda s: total(s._replace(shared=0)),
            "shared N times: You counted the shared experts N times. A sparse layer stores N routed experts and `shared` more: N + shared.",
            lambda s: total(s) + s.sparse * (s.N - 1) * s.shared * s.expert,
            "shared once: You counted the shared experts once for the whole model. Each sparse layer has its own.",
            lambda s: total(s) - (s.sparse - 1) * s.shared * s.expert,
            "shared of dense width: You gave the shared experts the width d_ff_dense. They have that of the routed ones, d_ff.",
            (
                lambda s: total(s) + 3 * s.sparse * s.shared * s.d * (s.d_ff_dense - s.d_ff),
                lambda s: total(s) + 3 * s.sparse * s.shared * s.d * (s.d_ff_dense - s.d_ff) * (s.dense_layers > 0),
            ),
            "dense layers on top: You have layers + dense_layers layers in all. The dense ones are among the `layers`: sparse are layers − dense_layers.",
            lambda s: total(s._replace(layers=s.layers + s.dense_layers)),
            "a dense FFN where none is: With dense_layers = 0 you still count a SwiGLU of width d_ff_dense. Then there is none.",
            lambda s: total(s) + (s.dense_layers == 0) * 3 * s.d * s.d_ff_dense,
            "one shared: You counted one shared expert. There are `shared` of them in each sparse layer.",
            lambda s: total(s._replace(shared=min(1, s.shared))),
            "shared in the dense layers: You gave shared experts to the dense layers too. These have their one SwiGLU, and nothing beside it.",
            lambda s: total(s) + s.dense_layers * s.shared * s.expert,
            "router in the dense layers: You gave the dense layers a router. With one FFN there is nothing to choose: d·N weights in each of the layers − dense_layers others.",
            lambda s: total(s) + s.dense_layers * s.d * s.N,
            "dense layers forgotten: You gave every layer a router and experts. The first `dense_layers` have one SwiGLU of width d_ff_dense in their place.",
            lambda s: total(s._replace(dense_layers=0)),
            "experts in the dense layers: You gave the dense layers experts as well. They have one SwiGLU of width d_ff_dense instead.",
            (
                lambda s: total(s) + s.dense_layers * (s.N + s.shared) * s.expert,
                lambda s: total(s._replace(dense_layers=0)) + s.dense,
            ),
            "dense of expert width: Your dense layers have the width of an expert. Theirs is d_ff_dense.",
            lambda s: total(s._replace(d_ff_dense=s.d_ff)),
            "one dense FFN: You counted the dense SwiGLU once. There is one in each of the `dense_layers`, which may be none.",
            (
                lambda s: total(s) - s.dense + 3 * s.d * s.d_ff_dense,
                lambda s: total(s) - s.dense + 3 * min(1, s.dense_layers) * s.d * s.d_ff_dense,
            ),
            "one dense layer more: One layer too many is dense. The first `dense_layers` are layers 0 to dense_layers − 1: did you write ≤ for <?",
            lambda s: total(s._replace(dense_layers=s.dense_layers + 1)),
            "one layer missing: One layer is missing. There are `layers` of them, dense and sparse together: sparse ones are layers − dense_layers.",
            (
                lambda s: total(s) - (total(s._replace(layers=s.layers + 1)) - total(s)),
                lambda s: total(s) - min(1, s.dense_layers) * (4 * s.d**2 + 3 * s.d * s.d_ff_dense),
            ),
            "dense FFN in every layer: You gave every layer a dense SwiGLU. The first `dense_layers` have one; the others have the experts.",
            lambda s: total(s) + 3 * s.sparse * s.d * s.d_ff_dense,
            "no dense FFN: The dense layers have no FFN in your count. Each has a SwiGLU of width d_ff_dense: three matrices.",
            lambda s: total(s) - s.dense,
            "no attention in the dense layers: You counted attention in the sparse layers only. Every layer has it.",
            lambda s: total(s) - s.dense_layers * 4 * s.d**2,
            "no attention: Attention is missing: four matrices of d × d in each layer.",
            lambda s: total(s) - s.layers * 4 * s.d**2,
            "norms counted: You counted the norms too. They are left out here.",
            (lambda s: total(s) + (2 * s.layers + 1) * s.d, lambda s: total(s) + 2 * s.layers * s.d),
            "in millions: This is in millions or billions. Return the number of parameters itself.",
            (lambda s: total(s) / 1e6, lambda s: total(s) / 1e9),
            "attention of one layer: You counted attention once. Every layer has its own: 4·d² weights in each.",
            lambda s: total(s) - (s.layers - 1) * 4 * s.d**2,
            "router of width d_ff: Your routers have N·d_ff weights. They score the token, which has the width d: d·N.",
            lambda s: total(s) + s.sparse * (s.d_ff - s.d) * s.N,
            "no router: The routers are missing: d·N weights in each sparse layer.",
            lambda s: total(s) - s.sparse * s.d * s.N,
            "one router: You counted one router for the whole model. Each sparse layer has its own: d·N weights in each.",
            lambda s: total(s) - (s.sparse - 1) * s.d * s.N,
            "router scores the shared: Your routers have a column for each shared expert too. The router does not know them: it is d × N, whatever `shared` is.",
            lambda s: total(s) + s.sparse * s.d * s.shared,
            "tied counted twice: Where `tied` is True, you counted two matrices over the vocabulary. One matrix serves as both, and is stored once.",
            lambda s: total(s._replace(tied=False)),
            "tied throughout: You counted one matrix over the vocabulary whatever `tied` says. Untied, input embedding and output head are two.",
            lambda s: total(s._replace(tied=True)),
            "tied not stored: Where `tied` is True your total has no matrix over the vocabulary. One is left, which serves as both, and it is stored.",
            lambda s: total(s) - s.tied * s.embedding,
            "tied turned round: You count one matrix where `tied` is False and two where it is True. Turn that round.",
            lambda s: total(s._replace(tied=not s.tied)),
            "no head: One matrix over the vocabulary is missing in each of your totals. Tied, one is stored; untied, two.",
            lambda s: total(s) - s.embedding,
            "no embeddings: The embeddings are missing. Tied, one matrix of vocab · d weights is stored; untied, two.",
            lambda s: total(s) - (2 - s.tied) * s.embedding,
            "embeddings in every layer: You multiplied the embeddings by the number of layers. The model has them once.",
            lambda s: total(s) + (s.layers - 1) * (2 - s.tied) * s.embedding,
            "three attention matrices: Attention has a fourth matrix: queries, keys, values, and the output.",
            lambda s: total(s) - s.layers * s.d**2,
            "one attention matrix: Attention has four matrices of d × d; you counted one.",
            lambda s: total(s) - 3 * s.layers * s.d**2,
        ),
        "active": by_formula(
            of_sizes,
            "total as active: This is the total. One token meets k of the N routed experts in each sparse layer.",
            total,
            "experts only: Only the experts are counted. The token also meets attention, routers, dense layers and embeddings.",
            (lambda s: s.sparse * s.k * s.expert, lambda s: s.sparse * (s.k + s.shared) * s.expert),
            "total times k/N: You took k/N of everything. Only the routed experts shrink: all the rest works for every token.",
            lambda s: total(s) * s.k / s.N,
            "shared not active: The shared experts are missing among the active parameters. Every token meets them, and k routed ones besides.",
            lambda s: active(s._replace(shared=0)),
            "shared by the share: You took k/N of the shared experts too. The router does not choose them: every token meets each of them whole.",
            lambda s: active(s) - s.sparse * s.shared * s.expert * (1 - s.k / s.N),
            "shared k times: You counted the shared experts k times. A token meets k + shared experts in a sparse layer.",
            lambda s: active(s) + s.sparse * (s.k - 1) * s.shared * s.expert,
            "dense not active: The dense FFNs are missing among the active parameters. Every token meets them.",
            lambda s: active(s) - s.dense,
            "dense by the share: You took k/N of the dense FFNs too. They have no router: every token meets them whole.",
            lambda s: active(s) - s.dense * (1 - s.k / s.N),
            "router of k: You shrank the router too. It scores all N experts, or it could not choose: d·N weights are active.",
            lambda s: active(s) - s.sparse * s.d * (s.N - s.k),
            "active without input embedding: The input embedding is missing where it is not tied. Some authors leave it out; here it was asked to count.",
            lambda s: active(s._replace(tied=True)),
            "one row active: You counted one row of the input embedding, the one that is looked up. That is how many numbers a token reads. Here each matrix counts in full, as in published counts.",
            (
                lambda s: active(s._replace(tied=True)) + (not s.tied) * s.d,
                lambda s: active(s._replace(tied=True)) + s.d,
                lambda s: active(s) - s.embedding + s.d,
            ),
            "sparse layers alone, active: Your active count has the sparse layers only. Every token passes the dense layers as well: their attention and their SwiGLU.",
            lambda s: active(s) - s.dense - s.dense_layers * 4 * s.d**2,
            "attention not active in the dense layers: Your active count has attention in the sparse layers only. Every layer has it, and every token passes all layers.",
            lambda s: active(s) - s.dense_layers * 4 * s.d**2,
            "tied counted twice, active: Where `tied` is True, you counted the one matrix twice. The token uses it at both ends, but it is one set of weights.",
            lambda s: active(s._replace(tied=False)),
            "no head active: One matrix over the vocabulary is missing in each of your active counts. Tied, the token meets one; untied, two.",
            lambda s: active(s) - s.embedding,
            "no embeddings active: The embeddings are missing among the active parameters. Two count in full, a tied one once.",
            lambda s: active(s) - (2 - s.tied) * s.embedding,
            "no attention active: Attention is missing among the active parameters. Every token passes that of every layer.",
            lambda s: active(s) - s.layers * 4 * s.d**2,
            "no router active: The routers are missing among the active parameters. They work for every token.",
            lambda s: active(s) - s.sparse * s.d * s.N,
            "one router active: You counted one router for the whole model. A token meets one in each sparse layer.",
            lambda s: active(s) - (s.sparse - 1) * s.d * s.N,
            "experts active in the dense layers: Your active count has k + shared experts in every layer. The dense layers have none.",
            (
                lambda s: active(s) + s.dense_layers * (s.k + s.shared) * s.expert,
                lambda s: active(s) + s.dense_layers * s.k * s.expert,
            ),
            "shared by N active: You counted the shared experts N times. A token meets each of them once.",
            lambda s: active(s) + s.sparse * (s.N - 1) * s.shared * s.expert,
            "one shared, active: You counted one shared expert among the active ones. A token meets all `shared` of them in each sparse layer.",
            lambda s: active(s._replace(shared=min(1, s.shared))),
            "router in the dense layers, active: Your active count has a router in every layer. The dense layers have none.",
            lambda s: active(s) + s.dense_layers * s.d * s.N,
            "tied not met: Where `tied` is True your active count has no matrix over the vocabulary. The token meets the one that is left.",
            lambda s: active(s) - s.tied * s.embedding,
            "shared once, active: You counted the shared experts once for the whole model. Each sparse layer has its own.",
            lambda s: active(s) - (s.sparse - 1) * s.shared * s.expert,
            "one expert active: You counted one active routed expert. There are k.",
            lambda s: active(s._replace(k=1)),
        ),
        "FLOPs": by_formula(
            of_sizes,
            "lookup counted: You counted the input embedding. A token looks up one row of it: nothing is multiplied. Only the output head is a product.",
            (lambda s: 2 * active(s), lambda s: flops(s) + 2 * s.embedding),
            "tied head left out: Untied it is right. Where `tied` is True you left the one matrix out, as a lookup. But it is the output head too: a product with all its rows.",
            lambda s: 2 * (active(s) - s.embedding),
            "elementwise product counted: You added the product of the two branches of a SwiGLU, entry by entry. Here only products with weights count: 2 for each weight.",
            tuple(lambda s, cost=cost: flops(s) + cost * hidden_widths(s) for cost in (1, 2)),
            "tied FLOPs twice: Where `tied` is True you counted the matrix twice. It is multiplied once, as the output head; the lookup of a token costs nothing.",
            lambda s: flops(s) + 2 * s.tied * s.embedding,
            "one for each weight: This is 1 for each weight. A weight costs a multiplication and an addition: 2.",
            lambda s: flops(s) // 2,
            "active as FLOPs: This is the number of active parameters. A weight costs 2 FLOPs where it is multiplied, and a lookup none.",
            active,
            "head left out: The output head is missing. It is a real product: d · vocab multiplications for each token.",
            lambda s: flops(s) - 2 * s.embedding,
            "head counted once: The output head is doubled too: it is a product, 2 FLOPs for each of its weights.",
            lambda s: flops(s) - s.embedding,
            "all experts run: These are the FLOPs with all N routed experts running. k of them run.",
            lambda s: flops(s._replace(k=s.N)),
            "FLOPs of all: This is 2 for each weight that is stored. A token meets k of the N routed experts, and looks up in the input embedding.",
            lambda s: 2 * total(s),
            "one expert's FLOPs: You counted one routed expert. k of them run.",
            lambda s: flops(s._replace(k=1)),
            "no attention FLOPs: Attention is missing among the FLOPs: its four matrices are products too, in every layer.",
            lambda s: flops(s) - 8 * s.layers * s.d**2,
            "no shared FLOPs: The shared experts are missing among the FLOPs. They run for every token.",
            lambda s: flops(s._replace(shared=0)),
            "no dense FLOPs: The dense FFNs are missing among the FLOPs. They run for every token.",
            lambda s: flops(s) - 2 * s.dense,
            "sparse layers alone, FLOPs: Your FLOPs have the sparse layers only. Every token passes the dense layers as well: their attention and their SwiGLU.",
            lambda s: flops(s) - 2 * (s.dense + s.dense_layers * 4 * s.d**2),
            "one row as FLOPs: You counted one row of the input embedding. A token looks it up: nothing is multiplied.",
            (lambda s: flops(s) + 2 * (not s.tied) * s.d, lambda s: flops(s) + 2 * s.d),
            "attention counted once: Attention is doubled too: its matrices are products, 2 FLOPs for each weight.",
            lambda s: flops(s) - 4 * s.layers * s.d**2,
            "router counted once: The routers are doubled too: they are products, 2 FLOPs for each weight.",
            lambda s: flops(s) - s.sparse * s.d * s.N,
            "experts in the dense layers, FLOPs: You let k experts run in every layer. The dense layers have none.",
            (
                lambda s: flops(s) + 2 * s.dense_layers * (s.k + s.shared) * s.expert,
                lambda s: flops(s) + 2 * s.dense_layers * s.k * s.expert,
            ),
            "in millions, FLOPs: This is in millions or billions. Return the number of FLOPs itself.",
            (lambda s: flops(s) / 1e6, lambda s: flops(s) / 1e9),
            "FLOPs times k/N: You took k/N of all that is multiplied. Only the routed experts shrink: all the rest runs for every token.",
            lambda s: flops(s._replace(k=s.N)) * s.k / s.N,
            "shared k times, FLOPs: You counted the shared experts k times among the FLOPs. Each of them runs once.",
            lambda s: flops(s) + 2 * s.sparse * (s.k - 1) * s.shared * s.expert,
            "no router FLOPs: The routers are missing among the FLOPs. Each scores all N experts for every token: 2·d·N in each sparse layer.",
            lambda s: flops(s) - 2 * s.sparse * s.d * s.N,
            "router of k FLOPs: You shrank the router among the FLOPs. It scores all N experts, or it could not choose: 2·d·N in each sparse layer.",
            lambda s: flops(s) - 2 * s.sparse * s.d * (s.N - s.k),
            "training: You counted 6 for each weight. That is a training step: forward 2, backward 4. Asked is the forward pass.",
            lambda s: 3 * flops(s),
        ),
    },
    mistakes=by_test(
        "swapped: Your total and active are swapped. Return all parameters first, then those that one token meets.",
        lambda value, *sizes: all(map(agree, total_and_active(value), counts(*sizes)[1::-1])),
        "active as total: This is the number of active parameters. All N routed experts are stored, dormant ones too.",
        lambda value, *sizes: agree(total_and_active(value)[0], counts(*sizes)[1]),
    ),
)
