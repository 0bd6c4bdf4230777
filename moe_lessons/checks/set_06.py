"""Questions of exercise set 06: counting the cost."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from moe_lessons.accounting import (
    PUBLISHED,
    Attention,
    Config,
    breakdown,
    experts_touched,
    flops_per_token,
    layer_counts,
    parameters_read,
    weight_bytes,
)
from moe_lessons.checks.question import (
    Data,
    FunctionQuestion,
    Mistake,
    Reply,
    ValuesQuestion,
    VariableQuestion,
    Verdict,
    unpack,
)
from moe_lessons.checks.values import agree, describe, show, stacked

COUNTING = tuple(
    f"accounting.{name}"
    for name in ("parameters", "active_parameters", "breakdown", "active_breakdown", "flops_per_token",
                 "flops_breakdown", "layer_counts")
)  # fmt: skip

# --- 6.1 counts for a configuration -------------------------------------------------------------------------------


def plain_decoder(layers: int, d: int, vocab: int, N: int, k: int, f: int) -> Config:
    """Return the model of 6.1 and 6.3: attention of four (d, d) matrices, SwiGLU experts, two embeddings."""
    attention = Attention(heads=1, kv_heads=1, head_size=d)
    return Config(layers=layers, d_model=d, vocab=vocab, attention=attention, num_experts=N, top_k=k, d_ff=f)


def counts(layers: int, d: int, vocab: int, N: int, k: int, f: int) -> tuple[int, int, int]:
    """Return total and active parameters without norms, and the forward FLOPs of one token."""
    config = plain_decoder(layers, d, vocab, N, k, f)
    dormant = layers * (N - k) * 3 * d * f
    total = sum(breakdown(config).values()) - breakdown(config)["norms"]
    return total, total - dormant, flops_per_token(config)


def counts_cases(rng: np.random.Generator) -> list[tuple]:
    """Three small models, whose routers still weigh enough to be missed."""
    cases = []
    for layers in (2, 3, 5):
        d, vocab, f = (int(rng.integers(low, high)) for low, high in ((24, 60), (100, 300), (30, 90)))
        N = int(rng.integers(6, 17))
        cases.append((layers, d, vocab, N, int(rng.integers(2, N // 2)), f))
    return cases


def total_of(layers: int, d: int, vocab: int, N: int, k: int, f: int) -> int:
    """Return the right total."""
    return counts(layers, d, vocab, N, k, f)[0]


def active_of(layers: int, d: int, vocab: int, N: int, k: int, f: int) -> int:
    """Return the right number of active parameters."""
    return counts(layers, d, vocab, N, k, f)[1]


def flops_of(layers: int, d: int, vocab: int, N: int, k: int, f: int) -> int:
    """Return the right FLOPs."""
    return counts(layers, d, vocab, N, k, f)[2]


def copies_of_a_model(layers: int, d: int, vocab: int, N: int, k: int, f: int) -> int:
    """Return N times a dense model of one expert: how 8 × 7B becomes 56B."""
    return N * (layers * (4 * d * d + 3 * d * f) + 2 * vocab * d)


@dataclass(frozen=True, kw_only=True)
class CountsQuestion(FunctionQuestion):
    """Takes one array of three numbers for three numbers, and wants every digit: counts are whole."""

    def probe(self, answer: Any, data: Data) -> Reply:
        """Call the answer once for each case; split arrays."""
        reply = super().probe(answer, data)
        values = [list(map(np.asarray, v)) if isinstance(v, np.ndarray) and v.ndim else v for v in reply["values"]]
        return {**reply, "values": values}

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Recognise total and active in each other's place first, which no single part shows; a near miss last."""
        values = [unpack(value, self.parts) for value in reply["values"]]
        pairs = [(total_of(*case), active_of(*case)) for case in data["cases"]]
        if all(
            v and agree(v[1], total) and agree(v[0], active) for v, (total, active) in zip(values, pairs, strict=True)
        ):
            return Verdict(
                False,
                "Your total and active are swapped. Return all parameters first, then those that one token meets.",
                "swapped",
            )
        verdict = super().judge(data, reply)
        near_miss = self._near_miss(data["cases"], values) if verdict.correct else None
        return near_miss or verdict

    def _near_miss(self, cases: list[tuple], values: list) -> Verdict | None:
        """Find a count that is wrong by no more than rounding would explain: float32 holds all of these exactly."""
        for case, got in zip(cases, values, strict=True):
            for part, value, right in zip(self.parts, got, counts(*case), strict=True):
                off = float(stacked(value)) - right
                if off:
                    near = f"{part}: near, but a count is exact. Expected {right}, yours is off by {off:+g}."
                    return Verdict(False, f"{near}\nfor {self._write_case(case)}")
        return None


COUNTS = CountsQuestion(
    id="6.1",
    title="Counts for a configuration",
    kind="write it",
    points=3,
    minutes=10,
    difficulty="easy",
    hints=(
        "Write down one layer first: attention, router, one expert. How many of each does the layer store, and how many does one token meet? Then the layers, then the two embeddings.",
        "Stored: layers · (4d² + dN + N·3df) + 2·vocab·d. For active parameters N·3df becomes k·3df, and nothing else changes. FLOPs: 2 for each active weight but those of the input embedding.",
    ),
    idea="Only the routed experts exist N times; a token meets k of them, and all the rest whole. A weight costs a multiplication and an addition, unless it is only looked up.",
    answer="my_counts",
    parameters=("layers", "d", "vocab", "N", "k", "f"),
    stands_for=COUNTING,
    parts=("total", "active", "FLOPs"),
    cases=counts_cases,
    reference=lambda *sizes: tuple(map(np.asarray, counts(*sizes))),
    mistakes=(
        Mistake("N copies of a model", "You multiplied the whole model by N. This is how 8×7B becomes 56B. Attention and embeddings exist once; only the experts exist N times.", copies_of_a_model, "total"),
        Mistake("N copies of a model and routers", "You multiplied attention and embeddings by N as well. They exist once; only the experts exist N times.",
                lambda layers, d, vocab, N, k, f: copies_of_a_model(layers, d, vocab, N, k, f) + layers * d * N, "total"),
        Mistake("two matrices", "Your experts have two matrices. A SwiGLU expert has three: W1 and W3 of d × f, W2 of f × d.",
                lambda layers, d, vocab, N, k, f: total_of(layers, d, vocab, N, k, f) - layers * N * d * f, "total"),
        Mistake("no router", "The routers are missing: d·N weights in each layer.",
                lambda layers, d, vocab, N, k, f: total_of(layers, d, vocab, N, k, f) - layers * d * N, "total"),
        Mistake("one router", "You counted one router for the whole model. Each layer has its own: d·N weights in each.",
                lambda layers, d, vocab, N, k, f: total_of(layers, d, vocab, N, k, f) - (layers - 1) * d * N, "total"),
        Mistake("one embedding", "One of the two embeddings is missing: input embedding and output head are different matrices here.",
                lambda layers, d, vocab, N, k, f: total_of(layers, d, vocab, N, k, f) - vocab * d, "total"),
        Mistake("no embeddings", "The two embeddings are missing: vocab · d weights each.",
                lambda layers, d, vocab, N, k, f: total_of(layers, d, vocab, N, k, f) - 2 * vocab * d, "total"),
        Mistake("one layer", "You counted one layer.", lambda layers, d, vocab, N, k, f: total_of(1, d, vocab, N, k, f), "total"),
        Mistake("embeddings in every layer", "You multiplied the embeddings by the number of layers too. The model has two of them in all.",
                lambda layers, d, vocab, N, k, f: total_of(layers, d, vocab, N, k, f) + (layers - 1) * 2 * vocab * d, "total"),
        Mistake("three attention matrices", "Attention has a fourth matrix: queries, keys, values, and the output.",
                lambda layers, d, vocab, N, k, f: total_of(layers, d, vocab, N, k, f) - layers * d * d, "total"),
        Mistake("one attention matrix", "Attention has four matrices of d × d; you counted one.",
                lambda layers, d, vocab, N, k, f: total_of(layers, d, vocab, N, k, f) - 3 * layers * d * d, "total"),
        Mistake("active as total", "This is the number of active parameters. All N experts are stored, dormant ones too.", active_of, "total"),
        Mistake("total as active", "This is the total. One token meets k experts of each layer.", total_of, "active"),
        Mistake("experts only", "Only the k experts are counted. The token also meets attention, routers and embeddings.",
                lambda layers, d, vocab, N, k, f: layers * k * 3 * d * f, "active"),
        Mistake("total times k/N", "You took k/N of everything. Only the routed experts shrink: attention, routers and embeddings work for every token.",
                lambda layers, d, vocab, N, k, f: total_of(layers, d, vocab, N, k, f) * k / N, "active"),
        Mistake("router of k", "You shrank the router too. It scores all N experts, or it could not choose: d·N weights are active.",
                lambda layers, d, vocab, N, k, f: active_of(layers, d, vocab, N, k, f) - layers * d * (N - k), "active"),
        Mistake("active without input embedding", "The input embedding is missing. Some authors leave it out; here it was asked to count.",
                lambda layers, d, vocab, N, k, f: active_of(layers, d, vocab, N, k, f) - vocab * d, "active"),
        Mistake("no router active", "The routers are missing among the active parameters. They work for every token.",
                lambda layers, d, vocab, N, k, f: active_of(layers, d, vocab, N, k, f) - layers * d * N, "active"),
        Mistake("one router active", "You counted one router for the whole model. A token meets one in each layer.",
                lambda layers, d, vocab, N, k, f: active_of(layers, d, vocab, N, k, f) - (layers - 1) * d * N, "active"),
        Mistake("one expert active", "You counted one active expert. There are k.",
                lambda layers, d, vocab, N, k, f: active_of(layers, d, vocab, N, 1, f), "active"),
        Mistake("lookup counted", "You counted the input embedding. A token looks up one row of it: nothing is multiplied.",
                lambda layers, d, vocab, N, k, f: 2 * active_of(layers, d, vocab, N, k, f), "FLOPs"),
        Mistake("one for each weight", "This is 1 for each weight. A weight costs a multiplication and an addition: 2.",
                lambda layers, d, vocab, N, k, f: flops_of(layers, d, vocab, N, k, f) // 2, "FLOPs"),
        Mistake("active as FLOPs", "This is the number of active parameters. A weight costs 2 FLOPs, and the input embedding none.", active_of, "FLOPs"),
        Mistake("head left out", "You left out both embeddings. The output head is a real product: d · vocab multiplications for each token.",
                lambda layers, d, vocab, N, k, f: flops_of(layers, d, vocab, N, k, f) - 2 * vocab * d, "FLOPs"),
        Mistake("head counted once", "The output head is doubled too: it is a product, 2 FLOPs for each of its weights.",
                lambda layers, d, vocab, N, k, f: flops_of(layers, d, vocab, N, k, f) - vocab * d, "FLOPs"),
        Mistake("all experts run", "These are the FLOPs with all N experts running. k of them run.",
                lambda layers, d, vocab, N, k, f: flops_of(layers, d, vocab, N, N, f), "FLOPs"),
        Mistake("no router FLOPs", "The routers are missing among the FLOPs. Each scores all N experts for every token: 2·d·N in each layer.",
                lambda layers, d, vocab, N, k, f: flops_of(layers, d, vocab, N, k, f) - 2 * layers * d * N, "FLOPs"),
        Mistake("router of k FLOPs", "You shrank the router among the FLOPs. It scores all N experts, or it could not choose: 2·d·N in each layer.",
                lambda layers, d, vocab, N, k, f: flops_of(layers, d, vocab, N, k, f) - 2 * layers * d * (N - k), "FLOPs"),
        Mistake("training", "You counted 6 for each weight. That is a training step: forward 2, backward 4. Asked is the forward pass.",
                lambda layers, d, vocab, N, k, f: 3 * flops_of(layers, d, vocab, N, k, f), "FLOPs"),
    ),
)  # fmt: skip


# --- 6.2 expected experts touched by a batch ----------------------------------------------------------------------


def touched(N: int, k: int, batch: int) -> float:
    """Return the expected number of experts that at least one of `batch` tokens selects."""
    return N * experts_touched(N, k, batch)


def touched_cases(rng: np.random.Generator) -> list[tuple]:
    """One token; a few, which touch some; many, which ask for more than N; a batch between."""
    cases = [(int(rng.integers(8, 20)), 2, 1)]
    for low, high in ((3, 6), (10, 16), (40, 60)):
        N = int(rng.integers(24, 65))
        cases.append((N, int(rng.integers(2, 7)), int(rng.integers(low, high))))
    return cases


@dataclass(frozen=True, kw_only=True)
class TouchedQuestion(FunctionQuestion):
    """Also recognises a simulation, whose numbers differ from call to call."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Ask about a simulation where no mistake was named and the numbers are near, but by more than rounding."""
        verdict = super().judge(data, reply)
        if verdict.correct or verdict.mistake or not self._simulated(data["cases"], reply["values"]):
            return verdict
        why = "Near, but not equal. Did you simulate? Asked is a formula: what is the chance that one expert is missed by all?"
        return Verdict(False, f"{why}\n{verdict.message}", "simulated")

    def _simulated(self, cases: list[tuple], values: list) -> bool:
        """Tell whether one token touches exactly k, and each batch nearly the right number, not to two decimals."""
        values = [stacked(value) for value in values]
        if not all(isinstance(value, np.ndarray) and value.ndim == 0 for value in values):
            return False
        right = np.array([self.reference(*case) for case in cases])
        off = np.abs(np.array(values, dtype=float) - right)
        alone = np.array([batch == 1 for _, _, batch in cases])
        return bool(np.all(off[alone] < 1e-9) and np.all(off < 0.05 * right) and np.any(off > 0.006))


TOUCHED = TouchedQuestion(
    id="6.2",
    title="How many experts a batch touches",
    kind="write it",
    points=2,
    minutes=7,
    difficulty="medium",
    hints=(
        "Look at one expert and one token. With what chance does the token *not* choose it? And with what chance do all B tokens not choose it?",
        "One token leaves an expert out with probability 1 − k/N, and B independent tokens with (1 − k/N)^B. An expectation of a count is the sum of the chances: N times the rest to 1.",
    ),
    idea="Count the experts that nobody chose: each of the N is missed by all B tokens with probability (1 − k/N)^B.",
    answer="my_touched",
    parameters=("N", "k", "batch"),
    stands_for=("accounting.experts_touched", "accounting.parameters_read"),
    cases=touched_cases,
    reference=touched,
    mistakes=(
        Mistake("added up", "You added k for each token. Two tokens may choose the same expert, and it is touched once.",
                lambda N, k, batch: batch * k),
        Mistake("added up to N", "You added k for each token, up to N. Two tokens may choose the same expert: some experts are chosen twice, and others still not at all.",
                lambda N, k, batch: min(N, batch * k)),
        Mistake("with replacement", "You let the k choices of one token fall on the same expert. A token's k experts are different: it misses an expert with probability 1 − k/N, not (1 − 1/N)^k.",
                lambda N, k, batch: N * (1 - (1 - 1 / N) ** (k * batch))),
        Mistake("one choice each", "You took k = 1: each token chooses k experts, so it misses one with probability 1 − k/N.",
                lambda N, k, batch: N * (1 - (1 - 1 / N) ** batch)),
        Mistake("untouched", "These are the experts that no token chose. Take them from N.", lambda N, k, batch: N * (1 - k / N) ** batch),
        Mistake("fraction", "This is the fraction of the experts. Asked is how many: times N.", experts_touched),
        Mistake("fraction untouched", "This is the fraction of experts that no token chose. Asked is how many are chosen.",
                lambda N, k, batch: (1 - k / N) ** batch),
        Mistake("percent", "This is in percent of the experts. Asked is how many experts.",
                lambda N, k, batch: 100 * experts_touched(N, k, batch)),
        Mistake("batch ignored", "You return k, whatever the batch is. Other tokens choose other experts.", lambda N, k, batch: k),
        Mistake("all", "You return N, whatever the batch is. A small batch leaves experts out.", lambda N, k, batch: N),
        Mistake("all chosen", "(k/N)^B is the chance that every token chooses an expert. One token is enough to touch it.",
                lambda N, k, batch: N * (k / N) ** batch),
        Mistake("all chosen, turned round", "(k/N)^B is the chance that every token chooses an expert, and you took it from 1. An expert stays untouched if every token misses it: (1 − k/N)^B.",
                lambda N, k, batch: N * (1 - (k / N) ** batch)),
        Mistake("times k", "The chance in the brackets is right, and each of all N experts has it: times N, not k.",
                lambda N, k, batch: k * experts_touched(N, k, batch)),
        Mistake("nothing", "You return 0. Did you write k // N? That drops the fraction: k / N keeps it.", lambda N, k, batch: 0),
        Mistake("rounded", "You rounded to whole experts. An expectation need not be whole: return it as it is.",
                lambda N, k, batch: np.rint(touched(N, k, batch))),
    ),
)  # fmt: skip


# --- 6.3 a design under budgets -----------------------------------------------------------------------------------

VOCAB = 32_000
SIZES = {"layers": (8, 200), "d_model": (1024, 20_000), "d_ff": (1, 200_000), "num_experts": (1, 10_000), "top_k": (1, 10_000)}  # fmt: skip


@dataclass(frozen=True)
class Demand:
    """One thing asked of a design: `measure` must be at most, or at least, `limit` (in `unit`)."""

    name: str
    measure: Callable[[Config], float]
    limit: float
    unit: str
    why: str
    at_most: bool = True

    def report(self, config: Config) -> str:
        """Return nothing if the design keeps to it, else why not, with the design's number and the limit."""
        value = self.measure(config)
        kept = value <= self.limit if self.at_most else value >= self.limit
        bound = "at most" if self.at_most else "at least"
        return "" if kept else f"{self.why} Yours: {value:.4g} {self.unit}; {bound} {self.limit:g}."


def without_norms(config: Config) -> int:
    """Return all parameters but those of norms, as 6.1 counts."""
    return sum(breakdown(config).values()) - breakdown(config)["norms"]


def active_expert_weights(config: Config) -> int:
    """Return the routed experts' weights that one token meets, in all layers."""
    return breakdown(config)["routed experts"] * config.top_k // config.num_experts


DEMANDS = (
    Demand("memory", lambda c: 2 * without_norms(c) / 1e9, 24, "GB at 16 bits",
           "Too much to store. Memory holds all N experts, dormant or not; k plays no part in it."),
    Demand("too small", lambda c: without_norms(c) / 1e9, 10, "billion parameters",
           "Too few parameters in all. N·f decides, and it costs no FLOPs while k·f stays.", at_most=False),
    Demand("compute", lambda c: flops_per_token(c) / 1e9, 2, "GFLOPs for one token",
           "Too many FLOPs. They grow with layers · (4d² + 3dkf), and hardly with N."),
    Demand("too little work", lambda c: active_expert_weights(c) / 1e6, 400, "million active expert weights",
           "The experts of one token do too little: layers · 3dkf.", at_most=False),
    Demand("batch", lambda c: 100 * experts_touched(c.num_experts, c.top_k, 8), 40, "% of the experts for 8 tokens",
           "A batch touches too many experts. Only k/N counts here: 1 − (1 − k/N)^8."),
    Demand("router", lambda c: 100 * layer_counts(c.d_model, c.d_ff, c.num_experts, c.top_k).router_share, 1,
           "% of the FLOPs of the k experts",
           "The router costs too much for such small experts: its share is dN / 3dkf, so finer experts make it grow."),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DesignQuestion(VariableQuestion):
    """Any design is right that keeps to every demand; each demand that it breaks is reported."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Check the sizes, then measure the design."""
        value = reply["value"]
        if not isinstance(value, dict) or not set(SIZES) <= set(value):
            return Verdict(False, f"Expected a dict with the keys {', '.join(SIZES)}. Came {describe(value)}.")
        sizes: dict[str, int] = {}
        for name, (low, high) in SIZES.items():
            size = whole(value[name])
            if size is None or not low <= size <= high:
                return Verdict(False, f"{name!r} should be a whole number from {low} to {high}. Came {show(value[name])}.")  # fmt: skip
            sizes[name] = size
        layers, d, f, N, k = sizes.values()
        if k > N:
            return Verdict(False, f"top_k = {k} experts of {N}: a token cannot choose more experts than there are.", "k above N")  # fmt: skip
        config = plain_decoder(layers, d, VOCAB, N, k, f)
        broken = {demand.name: report for demand in DEMANDS if (report := demand.report(config))}
        return Verdict(not broken, "\n".join(broken.values()), next(iter(broken), None))


def whole(value: Any) -> int | None:
    """Return a plain value as an int if it is one whole number (5.0 is), else None."""
    value = stacked(value)
    if not isinstance(value, np.ndarray) or value.size != 1 or value.dtype.kind not in "fiu":
        return None
    number = value.reshape(())
    return int(number) if np.isfinite(number) and number == int(number) else None


DESIGN = DesignQuestion(
    id="6.3",
    title="A model under two budgets",
    kind="design an experiment",
    points=3,
    minutes=12,
    difficulty="medium",
    hints=(
        "Take the demands in this order. Choose layers and d so that attention and head leave FLOPs for the experts. Then k·f from the active expert weights, N·f from the total. What remains is how finely you split: k and N up, f down.",
        "With 16 layers and d = 2048, attention and head cost about 0.7 GFLOPs. k·f near 5000 then gives about 500 million active expert weights, and N about 20 times k gives a total a little above 10 billion. Now choose k: few and wide experts, or many and narrow ones?",
    ),
    idea="N·f sets the memory, k·f the FLOPs, k/N what a batch reads, and N/(k·f) what the router costs: four knobs, almost one for each demand.",
    answer="my_design",
)  # fmt: skip


# --- 6.4 what the figure allows -----------------------------------------------------------------------------------

TEXTS = 32
DECIMALS = 0.15  # room for one decimal, and for shares of the printed numbers, which have two


@cache
def figure() -> dict[str, dict[str, float]]:
    """Return what the exercise prints: FLOPs of a token, bytes stored, bytes read for 1 and for 32 tokens."""
    sparse = PUBLISHED["Mixtral 8x7B"].config
    models = {"sparse": sparse, "all": replace(sparse, top_k=8), "one": replace(sparse, num_experts=1, top_k=1)}
    return {
        name: {
            "FLOPs": flops_per_token(config),
            "stored": weight_bytes(config),
            "read for 1": 2 * parameters_read(config, 1),
            "read for 32": 2 * parameters_read(config, TEXTS),
        }
        for name, config in models.items()
    }


def percent(model: str, number: str, of_model: str, of_number: str) -> float:
    """Return one number of the figure in percent of another."""
    return 100 * figure()[model][number] / figure()[of_model][of_number]


def allowed() -> dict[str, Any]:
    """Return the percentage that the figure puts in the place of each claim's; None where it has none."""
    return {
        "A": 100 - percent("sparse", "FLOPs", "all", "FLOPs"),
        "B": percent("sparse", "FLOPs", "one", "FLOPs"),
        "C": percent("sparse", "stored", "all", "stored"),
        "D": percent("sparse", "read for 1", "sparse", "stored"),
        "E": percent("sparse", "read for 32", "sparse", "stored"),
        "F": None,
        "G": None,
    }


@dataclass(frozen=True, kw_only=True)
class ClaimsQuestion(ValuesQuestion):
    """Each claim gets the percentage that the figure allows, or None where the figure cannot tell.

    A whole number may be off by `tolerance`, one with decimals by DECIMALS.
    """

    silent: dict[str, str]

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Judge all claims: the first that is wrong is explained, the others named."""
        value, expected = reply["value"], self.expected()
        if not isinstance(value, dict) or not set(expected) <= set(value):
            return Verdict(False, f"Expected a dict with the keys {', '.join(expected)}; came {describe(value)}.")
        faults = {part: self._fault(part, value[part], right) for part, right in expected.items()}
        wrong = [(part, fault) for part, fault in faults.items() if fault]
        if not wrong:
            return Verdict(True)
        (_, first), *others = wrong
        also = f"Not right yet either: {', '.join(part for part, _ in others)}." if others else ""
        return replace(first, remark=also)

    def _fault(self, part: str, got: Any, right: float | None) -> Verdict | None:
        """Say what is wrong with the answer to one claim; None when nothing is."""
        is_number = isinstance(stacked(got), np.ndarray) and np.size(got) == 1
        if not is_number and got is not None:
            return Verdict(False, f"{part!r}: expected a number in percent, or None. Came {describe(got)}.")
        if right is None:
            return Verdict(False, f"{part!r} is not {show(got)}.\n{self.silent[part]}", f"{part}: not in the figure") if is_number else None  # fmt: skip
        if not is_number:
            return Verdict(False, f"{part!r}: the figure does tell.\n{self.advice[part]}", f"{part}: it is in the figure")  # fmt: skip
        if self._near(got, right):
            return None
        verdict = self._not_yet(part, got)
        if verdict.mistake is None and right / 100 <= 2 and abs(float(np.ravel(got)[0]) - right / 100) < 0.006:
            return Verdict(False, f"{part!r} is not {show(got)}.\nGive it in percent: 100 times that.", f"{part}: not in percent")  # fmt: skip
        if verdict.mistake is None and float(np.ravel(got)[0]) == np.floor(right):
            return Verdict(False, f"{part!r} is not {show(got)}.\nVery near. If you cut off the decimals: round to the nearest.", f"{part}: cut")  # fmt: skip
        return verdict

    def _near(self, value: Any, expected: Any) -> bool:
        """Allow more to a number that was rounded to a whole one than to one with decimals."""
        number = np.ravel(stacked(value)).astype(float)
        room = self.tolerance if np.all(number == np.round(number)) else DECIMALS
        return bool(number.size == 1 and abs(number[0] - float(expected)) <= room)


CLAIMS = ClaimsQuestion(
    id="6.4",
    title="What the figure allows",
    kind="predict a number",
    points=2,
    minutes=8,
    difficulty="hard",
    hints=(
        "For each claim find the column it speaks about, and the row it compares with. Some claims speak of something that has no column.",
        "A, B and C divide two rows of one column; A asks what is *spared*. D and E divide two columns of one row. F and G speak of quality and of time.",
    ),
    idea="A saving needs a baseline, a batch is not a token, and a count of FLOPs or bytes is neither a time nor a quality.",
    answer="my_figures",
    expected=allowed,
    tolerance=0.5,
    advice={
        "A": "Take the FLOPs of the sparse model as a share of those with all eight experts. The rest to 100 is spared.",
        "B": "Take the FLOPs of the sparse model as a percentage of those of the model with one expert.",
        "C": "Take the bytes stored by the sparse model as a percentage of those stored with all eight experts running.",
        "D": "Take the bytes read for 1 token as a percentage of the bytes stored.",
        "E": "Take the bytes read for 32 tokens as a percentage of the bytes stored.",
    },
    silent={
        "F": "The figure has no column for quality. Neither parameters nor FLOPs measure it: one would have to train both models and compare their losses.",
        "G": "The figure has no column for time. FLOPs are not seconds: memory, the router and the transport of tokens count too, so one would have to measure.",
    },
    mistakes=(
        Mistake("A: experts only", "75 is 1 − k/N: it holds for the experts alone. Attention and the head run in full in both models, so of the whole model less is spared.", lambda: 75, part="A"),
        Mistake("A: what is left", "This is what the sparse model still costs. The claim is about what is spared.",
                lambda: 100 - allowed()["A"], part="A"),
        Mistake("A: spared in memory", "Nothing is spared in memory, but the claim is about FLOPs.", lambda: 0, part="A"),
        Mistake("B: as one expert", "Two experts run, not one. Only if k were 1 would the FLOPs be (nearly) those of the small model.", lambda: 100, part="B"),
        Mistake("B: twice", "200 holds for the experts alone, against one dense FFN. Attention and the head are not doubled.", lambda: 200, part="B"),
        Mistake("B: more only", "This is how much is added. The claim is about the cost as a percentage of the other.",
                lambda: allowed()["B"] - 100, part="B"),
        Mistake("B: upside down", "This is the small model as a percentage of the sparse one. It was asked the other way round.",
                lambda: 1e4 / allowed()["B"], part="B"),
        Mistake("C: only active stored", "Dormant experts are stored too: which experts the next token needs is known only after the router has run.",
                lambda: allowed()["D"], part="C"),
        Mistake("C: only active stored", "Dormant experts are stored too: which experts the next token needs is known only after the router has run.", lambda: 25, part="C"),
        Mistake("C: spared", "This is how much is spared: nothing. Asked is what is needed, as a percentage.", lambda: 0, part="C"),
        Mistake("D: experts only", "25 is k/N: it holds for the experts alone. Attention and the head are read in full.", lambda: 25, part="D"),
        Mistake("D: all", "One token reads k experts of each layer, and not all that is stored.", lambda: 100, part="D"),
        Mistake("E: as for one token", "The 32 tokens choose different experts: together they touch nearly all. What holds for one token does not hold for a batch.",
                lambda: allowed()["D"], part="E"),
        Mistake("E: a quarter", "The 32 tokens choose different experts: together they touch nearly all. k/N holds for one token.", lambda: 25, part="E"),
        Mistake("E: of what is read", "This compares with what the model of all eight experts reads. The claim is about what is stored, which the input embedding belongs to.",
                lambda: percent("sparse", "read for 32", "all", "read for 32"), part="E"),
        Mistake("E: added up", "You added the reads of 32 tokens. What is read once serves all tokens of the batch, and nothing is read twice.",
                lambda: TEXTS * allowed()["D"], part="E"),
    ),
)  # fmt: skip

QUESTIONS = (COUNTS, TOUCHED, DESIGN, CLAIMS)
