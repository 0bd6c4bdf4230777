"""Question 6.3: a model under two budgets."""

from dataclasses import dataclass

from moe_lessons.accounting import active_breakdown, experts_touched, layer_counts
from moe_lessons.checks.forms import Fields, whole
from moe_lessons.checks.question import Data, Reply, VariableQuestion, about
from moe_lessons.checks.set_06.q1_counts import Sizes, active, decoder, flops, total
from moe_lessons.checks.verdicts import Facts, Fault, Mistake, Verdict, by_test, filled

VOCAB = 32_000
SIZES = Fields(
    {
        "layers": whole(8, 200),
        "d_model": whole(1024, 20_000),
        "d_ff": whole(1, 200_000),
        "num_experts": whole(1, 10_000),
        "top_k": whole(1, 10_000),
    }
)
MOST_GB, LEAST_BILLIONS, MOST_GFLOPS, LEAST_WORK, MOST_TOUCHED, MOST_ROUTER = 24, 10, 2, 400, 40, 1


def design_found(layers: int, d_model: int, d_ff: int, num_experts: int, top_k: int) -> dict[str, float]:
    """Return what the demands are about: billions of parameters, GFLOPs, millions of weights, shares in percent."""
    sizes = Sizes(layers, d_model, VOCAB, num_experts, top_k, d_ff)
    work = active_breakdown(decoder(sizes))["routed experts"]
    return {
        "gigabytes": 2 * total(sizes) / 1e9,
        "billions": total(sizes) / 1e9,
        "gflops": flops(sizes) / 1e9,
        "work": work / 1e6,
        "touched": 100 * experts_touched(num_experts, top_k, 8),
        "router": 100 * layer_counts(d_model, d_ff, num_experts, top_k).router_share,
        "active": active(sizes) / 1e6,
        "even": 100 * top_k / num_experts,
        "router_of_all": 100 / (3 * d_ff),
        "experts": 2 * work / 1e9,
        "head": 2 * VOCAB * d_model / 1e9,
        "attention": 2 * layers * 4 * d_model**2 / 1e9,
    }


# To each demand, what a design was perhaps measured by instead: told where it keeps to the demand in that way.
ASIDES = {
    "memory": by_test(
        f": It would fit {MOST_GB} GiB; {MOST_GB} GB are {MOST_GB}·10⁹ bytes.",
        lambda found: found.gigabytes * 1e9 <= MOST_GB * 2**30,
        ": At 8 bits it would fit; 16 bits are 2 bytes for each parameter.",
        lambda found: found.billions <= MOST_GB,
    ),
    "too small": by_test(
        f": It takes {LEAST_BILLIONS} GB and more, but asked are {LEAST_BILLIONS} billion parameters, of 2 bytes each.",
        lambda found: found.gigabytes >= LEAST_BILLIONS,
    ),
    "too little work": by_test(
        ": All active parameters together would be enough, but attention, routers and embeddings do not count here.",
        lambda found: found.active >= LEAST_WORK,
    ),
    "batch": by_test(
        ": k/N is small enough, but that is what one token touches.",
        lambda found: found.even <= MOST_TOUCHED < round(found.touched),
    ),
    "router": by_test(
        ": Beside all N experts it would be little, but only k of them run.",
        lambda found: found.router_of_all <= MOST_ROUTER,
    ),
}


def said(demand: Mistake, found: Facts) -> str:
    """Return what is told of a demand that is not met, with what the design was perhaps measured by instead."""
    aside = next((aside.why for aside in ASIDES.get(str(demand.name), ()) if aside.seen(found)), "")
    return f"{filled(demand.why, found)} {aside}".rstrip()


@dataclass(frozen=True, kw_only=True)
class DesignQuestion(VariableQuestion):
    """Any design is right that keeps to every demand; each demand that it breaks is told."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Read the sizes, then measure the design."""
        sizes = SIZES.read(reply["value"])
        if isinstance(sizes, Fault):
            return Verdict.of(sizes)
        k, N = sizes["top_k"], sizes["num_experts"]
        if k > N:
            why = f"top_k = {k} experts of {N}: a token cannot choose more experts than there are."
            return Verdict.of(Fault("k above N", why))
        found = Facts(**design_found(**sizes))
        broken = [mistake for mistake in self.mistakes if mistake.seen(found)]
        told = "\n".join(said(mistake, found) for mistake in broken)
        kept = f"Demands that it meets: {len(self.mistakes) - len(broken)} of {len(self.mistakes)}."
        return Verdict.of(Fault(broken[0].name, told, kept)) if broken else Verdict(True)


DESIGN = DesignQuestion(
    **about("6.3", "A model under two budgets", "design an experiment", "medium", points=3, minutes=12),
    hints=(
        "Take the demands in this order. Choose layers and d so that attention and head leave FLOPs for the experts. Then k·d_ff from the active expert weights, N·d_ff from the total. What remains is how finely you split: k and N up, d_ff down.",
        "With 16 layers and d = 2048, attention and head cost about 0.7 GFLOPs. k·d_ff near 5000 then gives about 500 million active expert weights, and N about 20 times k gives a total a little above 10 billion. Now choose k: few and wide experts, or many and narrow ones?",
    ),
    idea="N·d_ff sets the memory, k·d_ff the FLOPs, k/N what a batch reads, and N/(k·d_ff) what the router costs: four knobs, almost one for each demand.",
    takeaway="More experts cost memory and hardly any compute, finer ones cost router: in a configuration look at N·d_ff and k·d_ff before you look at N and k.",
    answer="my_design",
    mistakes=by_test(
        f"memory: Too much to store. Memory holds all N experts, dormant or not; k plays no part in it. Yours: {{gigabytes:.4g|{MOST_GB}}} GB at 16 bits; at most {MOST_GB}.",
        lambda found: found.gigabytes > MOST_GB,
        f"too small: Too few parameters in all. N·d_ff decides, and it costs no FLOPs while k·d_ff stays. Yours: {{billions:.4g|{LEAST_BILLIONS}}} billion parameters; at least {LEAST_BILLIONS}.",
        lambda found: found.billions < LEAST_BILLIONS,
        f"compute: Too many FLOPs. They grow with layers · (4d² + 3·d·k·d_ff), and hardly with N. Yours: {{gflops:.4g|{MOST_GFLOPS}}} GFLOPs for one token, 2 FLOPs for each weight: attention {{attention:.3g}}, the k experts {{experts:.3g}}, head {{head:.3g}}; at most {MOST_GFLOPS}.",
        lambda found: found.gflops > MOST_GFLOPS,
        f"too little work: The experts of one token do too little: layers · 3·d·k·d_ff. Yours: {{work:.4g|{LEAST_WORK}}} million active expert weights; at least {LEAST_WORK}.",
        lambda found: found.work < LEAST_WORK,
        f"batch: A batch touches too many experts. Only k/N counts here: 1 − (1 − k/N)^8. Yours: {{touched:.4g|{MOST_TOUCHED}}} % of the experts for 8 tokens; at most {MOST_TOUCHED}.",
        lambda found: found.touched > MOST_TOUCHED,
        f"router: The router costs too much for such small experts: its share is dN / (3·d·k·d_ff), so finer experts make it grow. Yours: {{router:.4g|{MOST_ROUTER}}} % of the FLOPs of the k experts; at most {MOST_ROUTER}.",
        lambda found: found.router > MOST_ROUTER,
    ),
)
