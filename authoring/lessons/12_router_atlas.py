# %% [markdown]
# # 12 · The router atlas
#
# **Does every model have a router of its own?** You meet names such as `noaux_tc`, `topk_group` and
# `routed_scaling_factor`, and a new model every week. This lesson turns a configuration into a function that you can
# compute by hand.
#
# You will be able to
#
# 1. say what a score of one's own changes, and what it is good for;
# 2. keep apart what the selection sees and what the weights see;
# 3. choose first the groups, then the experts;
# 4. read a configuration key by key, and say what it leaves to the code;
# 5. say which models compute the same function;
# 6. say what a wrong reading costs, and which part of it no constant mends.
#
# **Before:** [](lesson:04) and [](lesson:07). **Time:** {{minutes}}.
#
# Which of these do you believe? (1) Twelve well-known models have twelve gates. (2) An expert with a larger bias gets
# more weight. (3) A bias belongs to sigmoid scores. (4) A configuration says what the model does. (5) With a wrong gate a
# model breaks visibly.

# %% name="setup" tags=["setup"]
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import torch

from moe_lessons.atlas import BEYOND, FAMILIES, KEYS, functions, gate_of
from moe_lessons.balancing import BiasBalancer
from moe_lessons.checks import compare, reveal
from moe_lessons.data import worked_example
from moe_lessons.experiments import published_routers
from moe_lessons.figures.atlas import family_tree_svg, function_name, selection_svg
from moe_lessons.layer import MoELayer
from moe_lessons.routing import Gate, route, sigmoid
from moe_lessons.widgets.live import Live, choice, slider

# %% [markdown]
# ## Twelve models, one token
#
# Mixtral, Jamba, OLMoE, DeepSeek-V2, DeepSeek-V3, Qwen3, Llama 4, gpt-oss, GLM-4.5, ERNIE 4.5, MiniMax-M2, DeepSeek-V4:
# each gets the same eight logits and keeps two. Constant factors are set to 1, groups are left out (both come below).
# Where a model's checkpoint holds a bias for each expert, all such models get the same bias.
#
# **Predict.** How many *other* models of the twelve give just the weights that Mixtral gives? And how many different
# functions are there in all?

# %% name="predict-twelve" tags=["predict"]
my_like_mixtral_and_functions = ..., ...  # 0 to 11; 1 to 12

# %%
logits, bias = published_routers.inputs()  # (T, N), (N,)
weights, alike = {}, {}
for router in published_routers.ROUTERS:
    model = published_routers.reading(router)  # what its keys mean
    weights[router.name] = model.gate.weights(logits, 2, bias if model.has_bias else None)
    alike.setdefault(weights[router.name].round(6).tobytes(), []).append(router.name)
(with_mixtral,) = (names for names in alike.values() if "Mixtral 8x7B" in names)
compare(my_like_mixtral_and_functions, [len(with_mixtral) - 1, len(alike)])
print("logits of the first token:", logits[0].round(2), "\nbias:                     ", bias.round(2))
for names in alike.values():
    print(", ".join(names), "\n   ", weights[names[0]][0].round(3))
real = published_routers.load_results()
print("largest difference from the real classes:", max(np.abs(weights[name] - real[name]).max() for name in real))
assert [len(with_mixtral) - 1, len(alike)] == [2, 6]
assert max(np.abs(weights[name] - real[name]).max() for name in real) < 1e-6

# %% [markdown]
# Six functions. The last line compares with the router classes of Hugging Face `transformers`; their outputs ship with
# the course (`python -m moe_lessons.experiments.published_routers` makes them again, a *deeper* cell runs them here if you
# have the library). So Mixtral, Qwen3 and gpt-oss share a function, and so do DeepSeek-V3, GLM-4.5 and MiniMax-M2. (Weights
# are compared here. Llama 4 multiplies an expert's *input* by its weight, the others the output.)
#
# All six are values of one **gate** with a few switches:
#
# $$s_i = \text{score}(h_i), \qquad S = \text{the } k \text{ largest } s_i + b_i, \qquad
# w_i = \text{scale} \cdot \frac{s_i}{\sum_{j \in S} s_j} \;\text{ for } i \in S$$
#
# The score is a softmax, a sigmoid, or $\sqrt{\ln(1 + e^{h})}$ (√softplus). The bias may be missing, and so may the
# division. In code: `Gate(score, normalise, scale)`. The rest of the lesson goes through the switches.
#
# ## A score of one's own
#
# A softmax gives each expert a share, so a rival's logit lowers it. A sigmoid and √softplus look at one logit alone:
# **independent scores**. What are they good for?
#
# Balancing by a bias (lesson 10b) adds a number to scores. **Predict.** 256 experts, 8 for each token, logits with standard
# deviation 1. One expert gets a bias of 0.1, the others none; without it, it would be selected by 3 % of the tokens. Which
# percentage selects it now, with softmax scores, and with sigmoid scores?

# %% name="predict-bias-size" tags=["predict"]
my_percentages = ..., ...  # softmax, sigmoid


# %%
def selecting(score, N, k, seed, size=0.1, T=2000):
    """Percentage of T tokens that select E1, whose bias is `size`"""
    h, b = np.random.default_rng(seed).normal(size=(T, N)), np.zeros(N)  # (T, N), (N,)
    b[0] = size
    return 100 * Gate(score).selected(h, k, b)[:, 0].mean()


shares = {(score, N, k): [selecting(score, N, k, seed) for seed in range(5)]
          for score in ("softmax", "sigmoid") for N, k in ((8, 2), (64, 8), (256, 8))}  # fmt: skip
compare(my_percentages, [np.mean(shares[score, 256, 8]) for score in ("softmax", "sigmoid")], "%", within=4)
for (score, N, k), found in shares.items():
    print(f"{score:<8} N = {N:>3}, k = {k}: {min(found):5.1f} % to {max(found):5.1f} % of the tokens select E1, "
          f"fair: {100 * k / N:.1f} %")  # fmt: skip
assert min(shares["softmax", 256, 8]) > 99.5
assert all(max(shares["sigmoid", N, k]) < 5 * 100 * k / N for N, k in ((8, 2), (64, 8), (256, 8)))
assert np.flatnonzero(weights["ERNIE-4.5-21B-A3B"][0]).tolist() == sorted(np.argsort(-bias)[:2])
assert max(shares["sigmoid", 256, 8]) < 15
assert round(100 * 8 / 256) == 3

# %% [markdown]
# With softmax scores every token. Shares of 256 experts are about 1/256 each, so 0.1 beats nearly all of them; with 8
# experts it was mild. (ERNIE's row above is of that kind: its two experts have the largest biases.) Sigmoids keep their
# level and spread, whatever N is: 0.1 helps an expert, here to less than five times its fair share, and does not overrule
# the others.
#
# > **Myth: "a bias in the selection goes with sigmoid scores."** Whose checkpoints hold one beside a softmax?

# %%
print([family.model for family in FAMILIES.values() if family.kind.bias and family.gate.score == "softmax"])
assert sum(family.kind.bias and family.gate.score == "softmax" for family in FAMILIES.values()) == 3

# %% [markdown]
# Right is: the two are separate switches, and these models use a bias with shares; its size then has to fit them.
#
# ## Who is selected, and with what weight
#
# The token of lesson 01 with sigmoid scores, k = 2: E3 (.627) and E2 (.574) are selected. E4 has .435. Now E4 gets a bias of
# 0.2, which is enough to be first.
#
# **Predict.** What weight does E4 get?

# %% name="predict-biased-weight" tags=["predict"]
my_weight_of_E4 = ...  # a number

# %%
x, W_g = worked_example()  # (d,), (d, N)
b = np.array([0.0, 0.0, 0.0, 0.2])  # (N,)
biased = route(x, W_g, 2, Gate("sigmoid"), bias=b)
compare(my_weight_of_E4, biased.weights[3])
print(route(x, W_g, 2, Gate("sigmoid"), bias=0 * b), "\n")
print(biased)
in_the_weights = biased.seen[3] / biased.seen[[2, 3]].sum()
print(f"if the bias were in the weights too: E4 would get {in_the_weights:.3f}")
assert biased.selected.tolist() == [3, 2]
assert biased.weights[3].round(2) == 0.41
assert in_the_weights > 0.5

# %% [markdown]
# First in the selection, and less weight than E3: the weights see .435 and .627, as if there were no bias. It moves who
# runs, not how much. And it moved E3's weight all the same, from .522 to .590: it shares with someone else now.
#
# (With neither bias nor groups the selection sees the logits themselves: they are in the same order as their scores.)
#
# ## First the groups, then the experts
#
# Where experts lie on several machines, a token that needs eight of them may have to visit eight machines. DeepSeek-V2
# (arXiv:2405.04434) and V3 (arXiv:2412.19437) limit that by **group-limited selection**. The experts, in their order, form
# groups; a token keeps its best groups and selects only in these. A group is as good as its best expert (V2), or as its
# best two together (V3, bias included).
#
# **Predict.** Eight experts in four groups: E1 E2, E3 E4, E5 E6, E7 E8. Two groups are kept, each worth the sum of its two.
# The scores: .77 .60, .43 .82, .70 .69, .27 .55. Which two experts are selected, the best first?

# %% name="predict-groups" tags=["predict"]
my_two = ...  # such as "E7 E8"

# %%
scores = np.array([0.77, 0.60, 0.43, 0.82, 0.70, 0.69, 0.27, 0.55])  # (N,)
h = np.log(scores / (1 - scores))  # (N,), the logits with these sigmoids
by_two = Gate("sigmoid", groups=4, kept_groups=2, group_score="top2")
of_two = route(np.ones(1), h[None], 2, by_two)
compare(my_two, " ".join(f"E{i + 1}" for i in of_two.selected))
print("worth by the best two:", scores.reshape(4, 2).sum(axis=1).round(2), "\n")
print(of_two)
assert of_two.selected.tolist() == [0, 4]
assert scores.argmax() == 3

# %% [markdown]
# E4, the best of all, is out: its neighbour is weak. Note the −inf: a dropped expert must get −∞, not 0, or a bias can
# push the kept ones below it (one family of the atlas does fill in 0).
#
# **Question for the picture:** which way of scoring groups brings E4 back? Raise E4's bias: from where on is it selected
# although groups are worth their best two? And what does its weight do while the bias goes on rising?

# %% name="picture-groups"
for size, back in ((0.0, False), (0.1, False), (0.15, True), (1.0, True)):
    assert by_two.selected(h, 2, size * np.eye(8)[3])[3] == back
assert replace(by_two, group_score="max").selected(h, 2)[3]
assert replace(by_two, kept_groups=3).selected(h, 2)[3]
assert by_two.weights(h, 2, np.eye(8)[3] * 0.2)[3] == by_two.weights(h, 2, np.eye(8)[3])[3]
Live(
    lambda b4, kept, k, by: selection_svg(h, b4 * np.eye(8)[3], replace(by_two, kept_groups=kept, group_score=by), k),
    by=choice("a group is worth", {"its best two": "top2", "its best one": "max"}),
    b4=slider("bias of E4", 0.0, -0.3, 1.0, 0.05, expert=3),
    kept=slider("groups kept", 2, 1, 4, 1),
    k=slider("k", 2, 1, 2, 1),
)

# %% [markdown]
# You should see that E4 is back when a group is worth its best one, when three groups are kept, or from a bias of 0.15 on.
# From there its bar above grows, and its weight below stays where it is.
#
# ## The keys, read aloud
#
# The same switch has many names. What the atlas of the course knows:

# %%
for setting, names in KEYS.items():
    print(f"{setting:<13}", ", ".join(names))

# %% [markdown]
# - `num_experts`, `k`: the experts that are scored, and how many run for a token. Shared experts run besides.
# - `score`, `normalise`, `scale`, `groups`, `kept_groups`: the switches above.
# - `method`: `greedy`, no groups; `group_limited_greedy`, a group is worth its best; `noaux_tc` ("no auxiliary loss"),
#   a bias in the selection, and a group is worth its best two.
# - `has_bias`: whether the checkpoint holds a bias. The others are rare: experts that compute nothing, a factor or a cap
#   on the logits.
#
# Here is a configuration that you cannot have seen. **It is invented**, for the code of DeepSeek-V3.

# %%
config = {
    "model_type": "deepseek_v3", "hidden_size": 512, "num_hidden_layers": 12, "n_routed_experts": 16,
    "num_experts_per_tok": 3, "n_shared_experts": 1, "scoring_func": "sigmoid", "topk_method": "noaux_tc",
    "n_group": 4, "topk_group": 2, "norm_topk_prob": True, "routed_scaling_factor": 1.8,
}  # fmt: skip
print(*(f"{key} = {value}" for key, value in config.items()), sep="\n")

# %% [markdown]
# **Predict.** From how many experts can a token select, once its groups are chosen? And what do its weights sum to?

# %% name="predict-config" tags=["predict"]
my_reach_and_sum = ..., ...  # a whole number, a number

# %%
model = gate_of(config)
h16 = np.random.default_rng(3).normal(size=16)  # (N,)
b16 = 0.1 * np.random.default_rng(4).normal(size=16)  # (N,)
compare(my_reach_and_sum, [model.gate.experts_in_reach(16), model.gate.weights(h16, model.k, b16).sum()])
print(*model.remarks, sep="\n")

# %% [markdown]
# And by hand, in the order of the code, with logits and a bias that we draw:

# %%
s = sigmoid(h16)  # (N,), scoring_func
seen = s + b16  # (N,), noaux_tc
worth = np.sort(seen.reshape(4, 4), axis=1)[:, -2:].sum(axis=1)  # (groups,), n_group and noaux_tc
kept_groups = np.sort(np.argsort(-worth)[:2])  # topk_group
allowed = np.where(np.isin(np.arange(16) // 4, kept_groups), seen, -np.inf)  # (N,)
S = np.argsort(-allowed)[:3]  # num_experts_per_tok
w = 1.8 * s[S] / s[S].sum()  # (k,), norm_topk_prob and routed_scaling_factor; s, not seen
print("groups are worth", worth.round(2), "kept:", (kept_groups + 1).tolist())
print("selected", [f"E{i + 1}" for i in S], "weights", w.round(3))
print("Gate:   ", model.gate.weights(h16, 3, b16)[S].round(3))
assert np.allclose(model.gate.weights(h16, 3, b16)[S], w)

# %% [markdown]
# What no key says, the code decides: that the bias is left out of the weights, that groups are neighbours, what is assumed
# where a key is missing. Two files without `norm_topk_prob`:
#
# > **Myth: "the configuration says what the model does."** A key that the code does not read does nothing.

# %%
for name in ("olmoe", "qwen3_next"):
    print(name, "->", gate_of({"model_type": name, "num_experts": 8, "num_experts_per_tok": 2}).remarks[2])
try:
    gate_of({"model_type": "mixtral", "num_experts": 8, "num_experts_per_tok": 2, "norm_topk_prob": False})
except ValueError as error:
    print("mixtral ->", error)

# %% [markdown]
# Right is: the configuration fills in what the code asks for. The same missing key means opposite things in two families.
# Mixtral's code always divides; `false` in its file would be passed over silently. So the atlas refuses a key that
# contradicts the code.
#
# ## How many functions are there?
#
# The atlas has one row for each family of models whose router a `Gate` expresses, read in the code of `transformers` and
# compared with its classes, class by class, by a test of the course. How many functions are there, if settings are as alike
# as the keys allow?

# %%
print(
    f"{len(FAMILIES)} families; with the same bias {len(functions())} functions, with all biases 0 {len(functions(False))}"
)
for names in functions():
    print(
        f"{len(names):>3}  {function_name(FAMILIES[names[0]]):<29}",
        ", ".join(FAMILIES[name].model for name in names[:3]),
    )
print("no Gate expresses:", *(f"  {name}: {reason}" for name, reason in BEYOND.items()), sep="\n")
largest = functions()[:2]
assert len(functions()) > len(functions(False))
assert sum(map(len, largest)) > len(FAMILIES) / 2
assert [function_name(FAMILIES[names[0]]) for names in largest] == ["softmax", "sigmoid + b, groups"]

# %% [markdown]
# Most families share two functions. (Kolibri-1 adds its bias to the logits, before the sigmoid.) With all biases at 0 some that differ fall together: of a fresh model the gate alone
# may not tell which it is.
#
# **Question for the picture:** each row is a function, each dot a family. When did the sigmoid arrive, and what
# happened to the softmax? Choose Mixtral, then Llama 4: what do their weights do when you raise all four logits by 1? And
# for which families does the bias of E4 do anything?

# %% name="picture-tree"
years = {score: sorted(f.year for f in FAMILIES.values() if f.gate.score == score) for score in ("softmax", "sigmoid")}
assert years["sigmoid"][0] == 2024
assert years["softmax"][-1] == 2026
assert sum(year == 2026 for year in years["sigmoid"]) > sum(f.year == 2026 for f in FAMILIES.values()) / 2
by_name = sorted((f"{family.model} ({name})", name) for name, family in FAMILIES.items())
Live(
    lambda family, h1, h2, h3, h4, b4: family_tree_svg(family, [h1, h2, h3, h4], [0.0, 0.0, 0.0, b4]),
    idle=lambda family, **_: {} if FAMILIES[family].kind.bias else {"b4": "no bias in this family"},
    family=choice("family", dict(by_name), "deepseek_v3"),
    h1=slider("h of E1", 1.0, -3.0, 3.0, 0.1, expert=0),
    h2=slider("h of E2", 0.4, -3.0, 3.0, 0.1, expert=1),
    h3=slider("h of E3", 0.8, -3.0, 3.0, 0.1, expert=2),
    h4=slider("h of E4", -0.3, -3.0, 3.0, 0.1, expert=3),
    b4=slider("bias of E4", 0.0, -1.0, 1.0, 0.05, expert=3),
)

# %% [markdown]
# You should see the first sigmoid in 2024, with DeepSeek-V3, and most families of 2026 on its rows; the softmax is still
# there. Mixtral's weights ignore a common rise, Llama 4's do not. The bias acts in the rows with a b in their name. (The years are those of paper or code. A family is a
# folder of code, not a model, so this is no census of what is used.)
#
# ## What a wrong reading costs
#
# Somebody runs a model of DeepSeek-V3's kind, and reads one switch wrongly. We take layers of that kind in two sizes, five
# seeds each, with random weights, logits of standard deviation 1 and biases of 0.1. By how much does the output move, as a
# share of its own size? Two controls: the same gate (0), and the output of *another token* in place of the right one.
# The next column multiplies the wrong output by the best constant first; the last counts the experts that stay.
#
# **Predict.** Six switches are read wrongly, one at a time: the factor forgotten, the division, the groups, what a group is
# worth, the bias, the score. In how many of the six does the best constant bring the output to within 10 % of the right one?

# %% name="predict-cost" tags=["predict"]
my_mended = ...  # 0 to 6

# %%
RIGHT = Gate("sigmoid", scale=2.5, groups=8, kept_groups=4, group_score="top2")
WRONG = {  # gate, and whether the bias is there
    "the same gate": (RIGHT, True),
    "factor forgotten": (replace(RIGHT, scale=1.0), True),
    "not divided by the sum": (replace(RIGHT, normalise=False), True),
    "groups forgotten": (replace(RIGHT, groups=1, kept_groups=1), True),
    "groups by their best one": (replace(RIGHT, group_score="max"), True),
    "bias forgotten": (RIGHT, False),
    "softmax for sigmoid": (replace(RIGHT, score="softmax"), True),
}


def run(layer, x, gate, bias):
    """Output (T, d) of the layer with a gate and a selection bias (N,), and whom each token selects (T, N)"""
    layer.router.gate = gate
    layer.router.balancer.bias.copy_(bias)
    with torch.no_grad():
        y, routing = layer(x, return_routing=True)
    return y, torch.zeros_like(routing.logits).scatter(-1, routing.selected, 1.0)


def moved(z, y):
    """How far z (T, d) is from y (T, d), as a share of y: as it is, and times the best constant"""
    best = (z * y).sum() / z.square().sum()
    return ((z - y).norm() / y.norm()).item(), ((best * z - y).norm() / y.norm()).item()


# %%
def costs(d, N, k, seed, size=0.1, wrong=WRONG, T=256):
    """By reading: how far the output moves, the same with the best constant, the share of experts that stays"""
    torch.manual_seed(seed)
    layer = MoELayer(d, d, N, k, gate=RIGHT, balancer=BiasBalancer(N)).eval()
    layer.router.W_g.data = torch.randn(d, N) / d**0.5  # (d, N): logits of standard deviation 1
    x, bias = torch.randn(T, d), size * torch.randn(N)  # (T, d), (N,)
    y, S = run(layer, x, RIGHT, bias)
    rows = {}
    for name, (gate, has_bias) in wrong.items():
        z, other = run(layer, x, gate, bias * has_bias)
        rows[name] = *moved(z, y), ((S * other).sum() / S.sum()).item()
    rows["another token"] = *moved(y.roll(1, dims=0), y), ((S * S.roll(1, dims=0)).sum() / S.sum()).item()
    return rows


# %%
SIZES = {"32 experts": (32, 32, 6), "128 experts": (32, 128, 8)}
found = {size: [costs(*sizes, seed) for seed in range(5)] for size, sizes in SIZES.items()}
cost = {(size, name): np.array([rows[name] for rows in runs]) for size, runs in found.items() for name in runs[0]}
mended = [name for name in WRONG if name != "the same gate" and max(cost[n, name][:, 1].max() for n in SIZES) < 0.1]
compare(my_mended, len(mended))
print("lowest and highest of 5 seeds              output moves        with the best constant  same experts")
for (size, name), seeds in cost.items():
    low, high = seeds.min(axis=0), seeds.max(axis=0)  # (3,) each
    cells = [f"{100 * a:.0f} % to {100 * b:.0f} %" for a, b in zip(low, high, strict=True)]
    print(f"{size:<12} {name:<26}", "".join(f"{cell:<22}" for cell in cells))
for size in SIZES:
    assert cost[size, "the same gate"][:, :2].max() < 1e-6
    assert np.allclose(cost[size, "factor forgotten"][:, 0], 0.6, atol=1e-5)
    assert cost[size, "factor forgotten"][:, 1].max() < 1e-5
    assert min(cost[size, name][:, 1].min() for name in set(WRONG) - {"the same gate", *mended}) > 0.4
    assert 0.2 < 1 - cost[size, "bias forgotten"][:, 2].max() < 1 - cost[size, "bias forgotten"][:, 2].min() < 0.55
assert mended == ["factor forgotten", "not divided by the sum"]

# %% [markdown]
# Two of six. How much a forgotten bias costs hangs on the size of the biases, which we chose:

# %%
no_bias = {"bias forgotten": WRONG["bias forgotten"]}
for size in (0.01, 0.03, 0.1, 0.3):
    left = [costs(*SIZES["128 experts"], seed, size, no_bias)["bias forgotten"][1] for seed in range(5)]
    print(
        f"biases of {size:<4} forgotten: the output moves by {100 * min(left):.0f} % to {100 * max(left):.0f} %, with the best constant"
    )
    assert size > 0.01 or 0.25 < min(left) < max(left) < 0.45

# %% [markdown]
# No error, no warning, no nan: numbers that look like others. Two kinds of mistake:
#
# - **In the sharing** (factor, division): the same experts run, and the output has another size. One constant mends all of
#   it, or nearly all.
# - **In the choice** (bias, groups, score): other experts run, and no constant brings them back. A forgotten bias exchanges
#   a quarter to a half of the experts here, and biases of 0.01 still move the output by a third.
#
# So compare *who is selected* first, token by token, with a few tokens from the original code.
#
# ## Recap
#
# 1. Sigmoid and √softplus score each logit alone, at the same level for every N. A bias that helps there overrules shares of
#    many experts.
# 2. The selection sees $s_i + b_i$, the weights see $s_i$: the bias moves who runs. A weight can still change, for its
#    company does.
# 3. Groups first, by their best one or two, bias included; then the experts in the kept groups. The best expert can be out.
# 4. A key is read aloud by what the code does with it. What no key says, the code decides, and a key that it does not read
#    does nothing.
# 5. Twelve well-known models have six functions; most families of the atlas share two.
# 6. A wrong reading raises no error. In the sharing it costs a constant or nearly that, in the choice it costs other experts.
#
# Of the five sentences none is true as it stands.
#
# **What this lesson cannot tell you:** which gate trains better, or what a wrong reading costs a *trained* model beside its
# residual stream: our layers were random. And a `Gate` is one layer's rule: norms, capacity and shared experts are other
# code.
#
# ## Quiz
#
# {{quiz}}
#
# ## Next
#
# - Exercises: [](exercises:12).
# - The code you used: [](module:atlas), with its table in [](module:families), and `Gate` in [](module:routing).

# %% [markdown] name="deeper-classes" tags=["deeper"]
# ## Deeper: the real classes
#
# Where Hugging Face `transformers` is installed (`pip install transformers`; 5.23 made the file), the twelve router classes run here, small,
# with a matrix that passes its tokens through as logits. Nothing is downloaded.

# %% name="deeper-classes-cell" tags=["deeper"]
if find_spec("transformers"):
    fresh = published_routers.run()  # (T, N) for each model
    print("largest difference from the file:", max(np.abs(fresh[name] - real[name]).max() for name in real))
else:
    print("transformers is not installed: the file that ships was used above")

# %% [markdown] name="deeper-gradient" tags=["deeper"]
# ## Deeper: what the logits hear
#
# In lesson 07 every gradient through a softmax summed to 0: the level of the logits was free. Is it so for sigmoids that are
# divided by their sum? The gate of the invented configuration with each score, by finite differences; the slopes
# $a_i = \partial L / \partial w_i$ are drawn at random.

# %% name="deeper-gradient-cell" tags=["deeper"]
a, step = np.random.default_rng(0).normal(size=16), 1e-6  # (N,)
for score in ("softmax", "sigmoid", "sqrtsoftplus"):
    gate = replace(model.gate, score=score)
    sides = [[gate.weights(h16 + move * e, 3, b16) @ a for e in np.eye(16)] for move in (step, -step)]
    slope = np.subtract(*sides) / (2 * step)  # (N,), ∂L/∂h
    print(f"{score:<13} at the selected {slope[gate.selected(h16, 3, b16)].round(4)}, sum of all {slope.sum():+.4f}")
    assert (abs(slope.sum()) < 1e-8) == (score == "softmax")
    assert np.count_nonzero(slope.round(9)) == 3

# %% [markdown] name="deeper-gradient-right" tags=["deeper"]
# No: with sigmoids or √softplus a loss can push all logits up or down together, and the level means something. Experts that
# are not selected hear nothing, as in form A.
