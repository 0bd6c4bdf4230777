# %% [markdown]
# # 11 · Trained specialisation
#
# **What do the experts of a trained model know?** "One for code, one for science", say many texts. You train a small
# language model, route text that it has never seen, and measure. Compared with what?
#
# You will be able to
#
# 1. compute from a count table how many bits a choice of expert tells about a token's class;
# 2. put the right comparisons beside it: shuffles, untrained routers, blind tables, other seeds and lengths;
# 3. separate what a router knows about a *domain* from what the token and its neighbour give away;
# 4. test by switching experts and whole layers off whether what is served is also needed;
# 5. compare a learned router with a hash and a dense model.
#
# **Before:** lessons 08 and 09; from lesson 02, entropy. **Time:** {{minutes}}.
#
# Which of these do you believe? (1) An expert that serves mostly code is needed mostly for code. (2) A router whose
# choices tell the domain has learned something of domains. (3) A router with no training at all tells something about
# the domain.

# %% name="setup" tags=["setup"]
import numpy as np

from moe_lessons import metrics
from moe_lessons.checks import compare, reveal
from moe_lessons.corpus import text
from moe_lessons.experiments import specialisation as sp
from moe_lessons.experiments import specialisation_study as study
from moe_lessons.figures import specialisation as figures
from moe_lessons.support.progress import tqdm
from moe_lessons.widgets.live import Live, choice, slider
from moe_lessons.widgets.text_viewer import TextViewer, passage

# %% [markdown]
# ## Information, counted by hand
#
# Take 200 tokens, half code and half prose, and two experts. E1 gets 80 of the 100 code tokens and 20 of the prose.
# Before you see the expert, the domain is a coin toss: one **bit** of uncertainty. The **mutual information**
# I(domain; expert) is how much of it the expert takes away.
#
# **Predict.** If you guess the domain from the expert, you are right 80 times in 100. How many bits is that, 0 to 1?

# %% name="predict-bits" tags=["predict"]
my_bits = ...  # a number from 0 to 1

# %%
counts = np.array([[80, 20], [20, 80]])  # rows: code, prose; columns: to E1, to E2
p = counts / counts.sum()  # (domains, experts): share of all tokens
unrelated = p.sum(axis=1, keepdims=True) * p.sum(axis=0)  # what it would be without a tie
bits = (p * np.log2(p / unrelated)).sum()
compare(my_bits, bits, "bits", within="5 %")
print("p =", p.tolist(), " if unrelated:", unrelated.tolist())
print(f"0.8·log2(0.4/0.25) + 0.2·log2(0.1/0.25) = {bits:.3f} bits")
assert figures.table_information([[80, 20], [80, 20]]) < 1e-12
assert figures.table_information([[100, 0], [0, 100]]) == 1

# %% [markdown]
# In general $\;I(a; b) = \sum_{a,b} p(a,b)\,\log_2 \dfrac{p(a,b)}{p(a)\,p(b)}\;$: each cell compares what is there
# with what would be there without a tie. Right four times in five, and yet only about a quarter of a bit.

# %% [markdown]
# ## Trap one: chance
#
# Estimated from counts, information is never below 0, so chance alone gives some. Shuffle the labels, count
# again, and repeat: that is the **null**. A value that beats 95 % of the shuffles is an alarm.
#
# An experiment: 40 sequences, each with favourite experts of its own. Domains are drawn blindly: there is no tie, and
# about 1 alarm in 20 is fair.
#
# **Predict.** In 50 experiments, how many alarms, if labels are shuffled token by token?

# %% name="predict-alarms" tags=["predict"]
my_alarms = ...  # a whole number from 0 to 50


# %%
by_token, by_sequence = np.sum([sp.false_alarms(seed) for seed in tqdm(range(50), desc="experiments")], axis=0)
compare(my_alarms, by_token, within=5)
print(f"false alarms in 50: {by_token} when tokens are shuffled, {by_sequence} when whole sequences are")
assert by_token > 40 > 10 > by_sequence

# %% [markdown]
# The tokens of a sequence resemble each other; shuffled one by one they no longer do. From here on we shuffle whole
# sequences.
#
# ## Trap two: the token itself
#
# Suppose `def` occurs in code only and "the" in prose only, and the router looks at nothing but the token. Then its
# experts tell the domain. But they know no more than the token does. So we also ask *within* each token:
# $I(\text{domain}; \text{expert} \mid \text{token}) = \sum_t p(t)\, I(\text{domain}; \text{expert} \mid t)$.

# %%
token = np.array(["def"] * 40 + ["the"] * 40 + ["."] * 20)  # (T,)
domain = np.array(["code"] * 40 + ["prose"] * 40 + ["code", "prose"] * 10)  # (T,)
expert = np.where(token == "def", 0, 1)  # (T,): a fixed table from token to expert
print(f"I(domain; expert)         = {metrics.mutual_information(domain, expert, base=2):.3f} bits")
print(f"I(domain; expert | token) = {metrics.mutual_information(domain, expert, token, base=2):.3f} bits")

# %% [markdown]
# And the null? Domains can be dealt out anew to whole sequences, or within each token, among the sequences that hold it:
#
# | sequence | as it is | to whole sequences | within the token `(` |
# |---|---|---|---|
# | `def ( .` | code | prose | prose |
# | `def ) .` | code | code | |
# | `the cat .` | prose | code | |
# | `the ( .` | prose | prose | code |
#
# Dealt to whole sequences, `def` may come to stand in prose: that cuts the tie of *token* and domain as well. So that
# is the null given nothing. Given the token, deal within each: `(` keeps one of code and one of prose.
#
# Bits minus the mean of these shuffles are the **excess**. All tables below show it.
#
# ## The text
#
# Four domains: English from the documentation and Python from the library that is installed, JSON and arithmetic
# generated. A tokenizer with 1,000 pieces is trained on the spot. Documents are split first, into *train*, *selection* (to
# choose) and *report*.

# %% name="prepare" tags=["7 s"]
for _ in tqdm(range(1), desc="text and tokenizer"):
    task = text.prepare()
V, domains = len(task.token_bytes), task.domains
print({name: part.ids.shape for name, part in (("train", task.train), ("report", task.report))})
kinds = [len(np.unique(row[:14])) for row in task.report.classes["shape"]]  # (sequences,): how varied each begins
shown = {name: max(np.flatnonzero(task.report.domain == i), key=lambda s: kinds[s]) for i, name in enumerate(domains)}
for name, row in shown.items():
    print(f"{name:>10}: {task.decode(task.report.ids[row, :32])!r}")

# %% [markdown]
# ## Two blind tables
#
# A **hash router** (Roller et al. 2021, arXiv:2106.04426) sends each token id to two experts drawn once. It learns
# nothing: given the token it tells 0, *by construction*. A second table, ours, looks at the token *before* only. By
# itself it tells a little of the domain.
#
# **Predict.** What does that second table tell *given the token*: `nothing`, `less`, about `the same` or `more`?

# %% name="predict-blind" tags=["predict"]
my_before = ...  # "nothing", "less", "the same" or "more"

# %%
labels = sp.labels_of(task.report)  # name -> (sequences, L)
blind = {"token": labels["token"], "before": labels["previous"] + 1}  # (sequences, L) each
chosen = {name: sp.by_table(ids, V + 1, seed=0) for name, ids in blind.items()}  # (sequences, L, k) each
excess = {name: {given: sp.information(c, labels, "domain", given, draws=20)["excess"] for given in (None, "token", "pair")}
          for name, c in chosen.items()}  # fmt: skip
alone, given = (excess["before"][x] for x in (None, "token"))  # bits
share = given / alone
compare(my_before, "nothing" if given < 0.01 else "more" if share > 1.25 else "less" if share < 0.8 else "the same")
for name, by in excess.items():
    print(f"{name}: bits about the domain {by[None]:.3f}; given the token {by['token']:.3f}; the pair {by['pair']:.3f}")
assert abs(excess["token"]["token"]) < 1e-9
assert given > 1.5 * alone

# %% [markdown]
# More: `(` after `def` stands in code. Two hints can tell together what neither tells alone.
#
# > **Myth: "if the expert tells something about the domain, the router knows domains."** Both tables do, and know
# > nothing of domains.
#
# So ask a learned router given the token, and given the pair: it and the one before.
#
# ## Train
#
# Four layers of width 64, eight experts each, two active, form A, with a balance loss (0.01, lesson 09) and a z-loss
# (0.001, lesson 07). **The next cell computes for up to a minute**, two or three on a busy computer. The square in the
# toolbar stops it; run again, it goes on from its checkpoint. `STEPS = 1500` trains three minutes for a better model,
# `SEED = 1` another. Numbers differ with threads and machines.

# %% name="train" tags=["55 s"]
SEED, STEPS = 0, sp.STEPS
model, untrained = sp.build(V, seed=SEED), sp.build(V, seed=SEED)
history = sp.train_language_model(model, task, STEPS, checkpoint=f"lesson 11, seed {SEED}, {STEPS} steps")
print(f"{history.steps_done} of {STEPS} steps; training loss {history.losses['task'][0]:.2f} nats at step "
      f"{history.step[0]}, {history.losses['task'][-1]:.2f} at the end. All tokens alike: {np.log(V):.2f} nats")  # fmt: skip

# %% [markdown]
# ## Four steps: route, record, aggregate, look
#
# **Route and record**: the report text goes through both models; for each layer and token we keep the two experts;
# each counts as one sample. **Aggregate**: the load, and the share of each domain's tokens that an expert serves
# (Muennighoff et al. 2024, arXiv:2409.02060, Eq. 7). If it did not care, at even load, that would be k/N = 2/8.

# %% name="record-routes" tags=["10 s"]
models = {"before training": untrained, "after training": model}
routes = {stage: sp.record(m, task.report.ids) for stage, m in tqdm(models.items(), desc="routing")}
for stage, found in routes.items():
    print(f"{stage}: loss {found.loss.mean():.2f} nats")
    for layer, c in enumerate(found.selected, start=1):  # (sequences, L, k)
        load = metrics.expert_load(c, 8)  # (N,)
        shares = metrics.domain_specialisation(c, labels["domain"], 8)  # (domains, N)
        print(f"  layer {layer}: load {load.round(2)}, MaxVio {metrics.max_violation(load):.2f}, dead "
              f"{len(metrics.dead_experts(load))}; shares: spread between domains {shares.std(axis=0).mean():.3f}; of an "
              f"expert's tokens at most {(shares / shares.sum(axis=0)).max():.0%} are of one domain")  # fmt: skip

# %% [markdown]
# No expert is dead, and none serves one domain only. After training the shares differ more between domains, in every layer
# (*deeper*: a picture).
#
# **Look.** Below is held-out text, each token in the colour of its first choice. Switch layer and model, let one expert
# stand out, click a token for its trace.
#
# 1. Code, layer 1: do equal tokens go to the same expert? And in layer 4?
# 2. "never seen" has signs that the training text has not, cut into single bytes. Where do they go?

# %% name="viewer"
held_out = {name: task.report.ids[row] for name, row in shown.items()}
held_out["never seen"] = task.encode("def greet(name):\n    return '😀 ' + name\nA router is a 路由器.\n")
viewer = TextViewer([passage(name, task, models, ids) for name, ids in held_out.items()])
for kind, name in enumerate(task.class_names["shape"][:-1]):  # the last: single bytes
    those = labels["shape"] == kind  # (sequences, L)
    most = {stage: [np.bincount(c[those, 0]).max() for c in r.selected] / those.sum() for stage, r in routes.items()}
    print(f"{name:<16}largest share of one expert:", {stage: share.round(2).tolist() for stage, share in most.items()})
numbers = labels["shape"] == task.class_names["shape"].index("number")  # (sequences, L)
assert all(np.bincount(c[numbers, 0]).max() > numbers.sum() / 2 for c in routes["after training"].selected)
viewer

# %% [markdown]
# You should see digits keep together: in every layer more than half of them have the same first choice (lines above; so
# in each of three seeds). A router cannot say "unknown".
#
# ## What do the experts know about the domain?
#
# **Predict.** In which of the four layers do the experts say most about the domain *given the token*? Given the token
# before as well, less of the domain is left to know (an entropy). Does that layer then tell a larger share of it, about
# `the same`, or a smaller one?

# %% name="predict-layer" tags=["predict"]
my_layer = ...  # 1, 2, 3 or 4
my_share = ...  # "larger", "the same" or "smaller"

# %% [markdown]
# The best of four layers, reported from the text that chose it, is the luckiest. So it is chosen on `selection`.

# %% name="choose-layer" tags=["12 s"]
on_selection = sp.record(model, task.selection.ids).selected  # (layers, sequences, L, k)
there = sp.labels_of(task.selection)
best = int(np.argmax([sp.information(c, there, "domain", "token", draws=10)["excess"] for c in on_selection]))
left = {given: sp.left_to_know(labels, "domain", given) for given in (None, "token", "pair")}  # bits
told = {given: [sp.information(c, labels, "domain", given, draws=20)["excess"] for c in routes["after training"].selected]
        for given in left}  # fmt: skip
ratio = (told["pair"][best] / left["pair"]) / (told["token"][best] / left["token"])
compare(my_layer, best + 1)
compare(my_share, "larger" if ratio > 1.25 else "smaller" if ratio < 0.8 else "the same")
for given, bits in told.items():
    print(f"your model, given {given or 'nothing'}: of {left[given]:.2f} bits, layers 1 to 4 tell", np.round(bits, 3))

# %% [markdown]
# That was one model. We trained five seeds, each for 500 and for 1,500 steps, with a hash model and a dense model beside
# it: [specialisation.json](../moe_lessons/experiments/results/specialisation.json), made by
# `python -m moe_lessons.experiments.specialisation_study`. Below, mean over seeds, and lowest to highest.

# %% name="conclusion-domain"
results = study.load_results()
MEASURES = {
    "nothing": lambda r: r["information"]["domain"]["excess"],
    "the token": lambda r: r["domain_given_token"]["excess"],
    "the token and the one before": lambda r: r["domain_given_pair"]["excess"],
}
for (given, measure), bits in zip(MEASURES.items(), left.values(), strict=True):
    print(f"excess about the domain, given {given}: of {bits:.2f} bits, layers 1 to 4")
    print(study.table(results, measure))
LEARNED = [name for name in study.ROUTERS if "table" not in name]
print("MaxVio, layers 1 to 4")
print(study.table(results, lambda r: r["max_violation"], LEARNED, digits=2))
for steps in study.LENGTHS:
    beyond, pair = (
        study.by_layer(results, "moe", steps, MEASURES[given]) for given in list(MEASURES)[1:]
    )  # (seeds, 4)
    hashed = study.by_layer(results, "previous", 0, MEASURES["the token"])[:, 0]  # (seeds,)
    assert beyond[:, 0].mean() < hashed.mean() < hashed.max() < beyond[:, 1:].min()
    assert beyond[:, 1:].min() > 5 * study.by_layer(results, "untrained", 0, MEASURES["the token"]).mean()
    spreads = [
        study.by_layer(results, *router, lambda r: np.std(r["domain_specialisation"], axis=0).mean())
        for router in (("untrained", 0), ("moe", steps))
    ]  # (seeds, layers) each
    assert (spreads[1] > 1.5 * spreads[0]).all()
    assert (study.by_layer(results, "moe", steps, lambda r: r["dead"]) == 0).all()
    serving = np.array(study.by_layer(results, "moe", steps, lambda r: r["domain_specialisation"]))  # (seeds, layers,
    assert (serving / serving.sum(axis=2, keepdims=True)).max() < 0.95  # domains, N)
    assert 0.22 < beyond[:, 3].mean() / left["token"] < 0.31
    assert 0.22 < pair[:, 3].mean() / left["pair"] < 0.31

# %% [markdown]
# Given the token, the first layer's experts on average tell less than the blind table of the token before; those of
# layers 2 to 4 more, in every seed and at both lengths. Untrained models then tell next to nothing. (But their routers
# read an untrained stream; lesson 11b takes the two apart.) Given the pair, the table has nothing left. The bits of
# layer 4 fall, too. But so does what is left to know: of *that* it tells about a quarter, before and after. (Domains
# that share more tokens, or a balance loss over fewer texts, lesson 10b, may change it; not tried.)
#
# ## How far back?
#
# So something comes from further back than one token. Replace the first 64 tokens of every text by those of another
# document, and look at choices more than 32 tokens after the seam.
#
# **Predict.** In layer 4, what share of these choices stays, if the other document is of another domain? If it is of
# the same?

# %% name="predict-seam" tags=["predict"]
my_kept = ...  # two numbers from 0 to 1: [another domain, the same domain]

# %% name="conclusion-seam" tags=["10 s"]
part = sp.some_of(task.report, 300)
kept = sp.kept_choices(model, part)  # name -> (layers,)
compare(my_kept, [kept["of another domain"][3], kept["of the same domain"][3]], within=0.1)
some = sp.some_of(part, 100)
fresh = [sp.kept_choices(sp.build(V, seed=seed), some) for seed in study.SEEDS]
share = {name: np.mean([one[name] for one in fresh], axis=0).round(2).tolist() for name in kept}
print("untrained", share)  # five seeds
print("yours    ", {name: share.round(2).tolist() for name, share in kept.items()})
print(study.kept_table(results))  # three seeds
assert max(one["of the same domain"][3] - one["of another domain"][3] for one in fresh) < 0.1

# %% [markdown]
# After a document of the same domain about nine in ten choices stay; after one of another domain, in layer 4, .60 (500
# steps) and .65 (1,500). (Untrained, in each of five seeds, they differ by less than .1.) So the choice carries the
# *domain* of text far back, not a neighbour alone. Of a meaning this shows nothing. Longer contexts may change it; not
# tried.
#
# ## Which layers are needed?
#
# Now switch off a *whole* sparse layer: its experts add nothing to the stream.
#
# **Predict.** Which of the four layers costs most when it is off? And how many times as much as the cheapest?

# %% name="predict-off" tags=["predict"]
my_costliest = ...  # 1, 2, 3 or 4
my_factor = ...  # a number

# %% name="layers-off" tags=["13 s"]
some = sp.some_of(task.report, 200)
rise = sp.layer_ablation(model, some).mean(axis=1)  # (layers,), nats a token
compare(my_costliest, int(rise.argmax()) + 1)
compare(my_factor, rise.max() / rise.min(), within="a factor of 2")
print("yours, layers 1 to 4: the loss rises by", rise.round(3), "nats")
table = sp.layer_ablation(model, some, sp.mean_outputs(model, task.selection)).mean(axis=1)
print("with its mean output for each token id in its place:", table.round(3))
print("layers 2 to 4 off together:", sp.layer_ablation(model, some, groups=[[1, 2, 3]]).mean().round(3))
print(study.layers_off_table(results))
assert rise.argmax() == table.argmax() == 0
for steps in study.LENGTHS:
    again = study.reaching(results, steps)
    tables = np.mean([s["by_token"] for s in again], axis=2)  # (seeds, layers)
    single = np.mean([s["layers_off"] for s in study.of(results, "moe", steps)[:3]], axis=2)  # (seeds, layers)
    assert (tables.argmax(axis=1) == 0).all()
    assert (tables[:, 0] < single[:, 0] / 10).all()
    assert (np.mean([s["off_together"] for s in again], axis=(1, 2)) > 1.2 * single[:, 1:].sum(axis=1)).all()
    kept_other, kept_same = (
        np.array([s["kept"][name] for s in again]) for name in ("of another domain", "of the same domain")
    )
    assert kept_same.min() > 0.85
    assert (kept_same - kept_other)[:, 3].min() > 0.2
    assert kept_other[:, 3].mean().round(2) == {500: 0.60, 1500: 0.65}[steps]
for steps in study.LENGTHS:
    ours, dense = (
        np.mean([s["layers_off"] for s in study.of(results, kind, steps)], axis=2) for kind in ("moe", "dense")
    )
    assert ours[:, 0].min() > 2 > 0.1 > ours[:, 1:].max()
    assert dense[:, 0].min() > 2
    assert dense[:, 1:].max().round(2) == {500: 0.05, 1500: 0.14}[steps]

# %% [markdown]
# The first layer, by far: nats, where the others cost less than a tenth of one. In the dense model, too, the first
# costs most by far (others up to .14). But nearly all of that is a *table*: with its mean output for each token id in
# its place the first layer costs a tenth as much or less. And layers 2 to 4 stand in for each other: together they cost
# more than one by one. The costliest layer is the one whose experts tell least about the domain. (In deeper models it
# may cost less.)
#
# ## Serving is not being needed
#
# Switch the experts of a layer off one by one. A **hit** is an expert without which the mean loss rises most in the domain
# that it serves most. "A quarter, by guessing" is the wrong null: an expert touches only tokens that it serves (and, below
# the last layer, what attends to them), so the rise grows with the share even if no expert is better at one domain than at
# another.
#
# **Predict.** So let the damage per served token be dealt out *at random* among experts and domains, and multiply it by
# the shares. How many hits among the eight experts of layer 4, on average?

# %% name="predict-hits" tags=["predict"]
my_hits = ...  # from 0 to 8

# %% name="conclusion-ablation"
served = {(steps, layer): study.served(results, steps, layer) for steps in study.LENGTHS for layer in range(4)}
compare(my_hits, served[500, 3].dealt.mean() / 5, within=0.75)
print(study.served_table(served))
first, *rises = (served[1500, layer].rise for layer in range(4))  # (seeds, N, domains) each
print(f"1,500 steps, median change, nats: layer 1 {np.median(np.abs(first)):.2f}, layers 2 to 4 "
      f"{np.median(np.abs(rises)):.4f}; there it fell in {np.mean(np.array(rises) < 0):.0%}")  # fmt: skip
clear = {of for of, s in served.items() if max(np.mean(n >= s.hits.sum()) for n in (s.dealt, s.dealt_within)) < 0.006}
assert clear == {(500, 0), *((1500, layer) for layer in range(4))}
assert all(0.6 < served[of].dealt.mean() / served[of].hits.sum() < 0.68 for of in clear)
assert {of for of, s in served.items() if np.mean(s.dealt_per_token >= s.per_token.sum()) < 0.006} == {
    (500, 0),
    (1500, 3),
}
assert all(round(s.dealt_per_token.mean()) == 10 for s in served.values())
assert all(np.mean(s.dealt_per_token >= s.per_token.sum()) < 0.12 for s in served.values())
assert 0.18 < np.median(np.abs(first)) < 0.23
assert 0.001 < np.median(np.abs(rises)) < 0.002

# %% [markdown]
# Hits are of 40: eight experts, five seeds. *Dealt out*: among all experts and domains; *by domain*: among the experts of
# each domain. p: the share of 2,000 such deals with as many hits. Of eight rows, those are clear whose two p left of the
# bar are below .05/8 = .006; per served token, the one right of it.
#
# After 1,500 steps every layer has clearly more hits than serving makes; after 500 the first alone. So belief 1 is
# right here in part: experts are needed where they serve, but serving alone gives about two thirds of these hits. Per
# served token, where chance gives 10, layer 1 is clear after 500 steps and layer 4 after 1,500; p is below .12 in all
# eight rows, so more seeds may clear more. In layers 2 to 4 it is about little: at the median .0015 nats after 1,500
# steps, noise in part. In layer 1 it is .2.
#
# ## Against models without a router
#
# The hash model has the same experts behind its blind table. The dense model runs one feed-forward network of width
# $k \cdot d_{ff}$: the same active work per token.
#
# **Predict.** After 500 and after 1,500 steps: which has the lowest loss on new text, `learned`, `hash` or `dense`?

# %% name="predict-lowest" tags=["predict"]
my_lowest = ...  # two words, such as ["dense", "dense"]

# %% name="conclusion-hash"
losses = study.losses(results)  # (kind, steps) -> (seeds,), nats a token
compare(my_lowest, [min(study.KINDS, key=lambda kind: losses[kind, steps].mean()) for steps in study.LENGTHS])
print(study.losses_table(results))
for steps in study.LENGTHS:
    ours, free, hashed = (study.tuned(results, steps, *a)[1] for a in (("moe",), ("moe", True), ("hash",)))
    assert (hashed < np.minimum(ours, free)).all()
    rates = {study.tuned(results, steps, *a)[0] for a in (("moe",), ("moe", True), ("hash",))}
    assert rates == {study.RATES[1] if steps == 500 else min(study.RATES)}
    assert abs(ours.mean() - free.mean()) < 0.01
    assert (0.1 < ours.mean() - hashed.mean() < 0.13) if steps == 500 else (0 < ours.mean() - hashed.mean() < 0.05)
    assert steps == 500 or [f"{gap:.2f}" for gap in np.sort(ours - hashed)[[0, -1]]] == ["0.02", "0.06"]
assert (losses["hash", 500] < losses["learned", 500] - 0.09).all()
assert (losses["hash", 1500] < losses["learned", 1500]).sum() == 4
of_token = {kind: study.by_layer(results, kind, 1500, lambda r: r["token"]["bits"]) for kind in ("hash", "moe")}
assert of_token["hash"].min() > of_token["moe"].mean()
of_documents = [len(np.unique(task.report.document[task.report.domain == i])) for i in range(len(domains))]
assert sum(of_documents) < 100
assert 6 <= of_documents[domains.index("code")] <= 14

# %% [markdown]
# After 500 steps the blind hash is ahead of the learned router by a tenth of a nat, in every seed; after 1,500 at equal
# rates in four of five seeds, and by .02 to .06 at the lowest of three rates, which was the best for each (three
# seeds). Why? Not the rate, at 500 steps, nor balance loss and z-loss: without them the loss is the same within the
# seeds' spread. *Longer training* narrows the gap; still longer, or in a larger model, it may turn. What fits,
# untested: the hash sends a token to the same experts from the first step on, while a learned router keeps changing
# (*deeper*).
#
# Roller et al. also report hash layers level with learned routers or ahead, in larger models. And in the first three
# sparse layers of DeepSeek-V4 a fixed table of the token id chooses; the gate only weighs. (So the code of transformers
# 5.23; what it gains, it does not say.)
#
# Are more specialised experts better? Of the domain beyond the token the hash tells nothing; of the token it
# tells most.
#
# ## Recap
#
# 1. Information compares the count table with one without a tie. A favourite expert alone is none.
# 2. Chance gives bits as well; shuffle sequences, not tokens. Untrained routers and blind tables tell something, too.
# 3. Given the token, a table of the token before still tells something: ask given both, against what is left to know.
#    Change the text far back: does the choice?
# 4. Serving is not being needed: switch experts and layers off, count per served token, and deal the damage out at random.
# 5. Here a blind hash did as well or better, most of all after a short training. Of the beliefs: (1) in part; (2) no:
#    blind tables tell it, too; (3) yes, a little.
#
# **What this lesson cannot tell you:** what large models do, or other texts. Ours has four layers, very unlike domains, and
# fewer than a hundred documents to report on, about ten of them code.
#
# ## Quiz
#
# {{quiz}}
#
# ## Next
#
# - [](lesson:11b): subjects, languages, grammar, in a text in which everything is known.
# - Exercises: [](exercises:11). Then [mixed review](exercises:11r) and [closing project](exercises:11p).
# - The code: [](module:experiments/specialisation), [](module:experiments/specialisation_study), [](module:metrics).

# %% [markdown] name="deeper-domains" tags=["deeper"]
# ## Deeper: which expert serves which domain
#
# **Question for the picture:** in which layers do single experts stand out, before training and after?

# %% name="picture-domains" tags=["deeper"]
Live(
    lambda stage, layer: figures.domains_svg(
        metrics.domain_specialisation(routes[stage].selected[layer - 1], labels["domain"], 8), domains, 2 / 8
    ),
    stage=choice("model", list(models), "after training"),
    layer=slider("layer", 1, 1, 4, 1),
)

# %% [markdown] name="deeper-domains-seen" tags=["deeper"]
# You should see that a random router has favourites too, often the same in several rows.

# %% [markdown] name="deeper-counts" tags=["deeper"]
# ## Deeper: other counts
#
# **Question for the picture:** let E1 have 80 of the code. Which count of prose makes the information zero? How do you
# get a whole bit?

# %% name="picture-counts" tags=["deeper"]
Live(
    figures.counts_svg,
    code_to_first=slider("code tokens to E1", 80, 0, 100, 1, expert=0),
    prose_to_first=slider("prose tokens to E1", 20, 0, 100, 1, expert=0),
)

# %% [markdown] name="deeper-counts-seen" tags=["deeper"]
# You should see zero at 80 and 80. A bit needs 100 and 0, or 0 and 100.

# %% [markdown] name="deeper-same" tags=["deeper"]
# ## Deeper: does a token always go the same way?
#
# How often do two of its occurrences share their first choice?

# %% name="deeper-same-cell" tags=["deeper"]
for stage, found in routes.items():
    same = []
    for c in found.selected:  # (sequences, L, k)
        share = metrics.vocabulary_specialisation(c[..., :1], labels["token"], 8)  # (tokens, N)
        often = np.bincount(labels["token"].ravel())[np.unique(labels["token"])]  # (tokens,)
        same.append(often @ (share**2).sum(axis=1) / often.sum())  # two draws of one token agree
    print(f"{stage:<16} two occurrences of a token agree, layer by layer:", np.round(same, 2))

# %% [markdown] name="deeper-classes" tags=["deeper"]
# ## Deeper: other classes, and what changes with depth
#
# Classes known without a model:

# %% name="deeper-classes-cell" tags=["deeper"]
names = ("shape", "python", "position", "frequency")
print(f"{'token':<12}" + "".join(f"{name:<18}" for name in names))
for at, piece in enumerate(task.pieces(task.report.ids[shown["code"], :14])):
    classes = [task.class_names[c][task.report.classes[c][shown["code"], at]] for c in names]
    print(f"{piece:<12}" + "".join(f"{name:<18}" for name in classes))

# %% [markdown] name="deeper-depth" tags=["deeper"]
# The picture shows what experts tell of each class, in excess; further down, the routers' mean entropy (at most log₂ 8 = 3
# bits), and how often a token's first choice is that of the token before, less what uneven loads give.
#
# **Question for the picture:** which of these do untrained routers show as well?

# %% name="picture-depth" tags=["deeper"]
DEPTH = {f"information about {about}": lambda r, about=about: r["information"][about]["excess"] for about in sp.ABOUT}
DEPTH |= {f"domain, given {given}": MEASURES[given] for given in list(MEASURES)[1:]}
DEPTH |= {"entropy": lambda r: r["entropy_bits"], "MaxVio": lambda r: r["max_violation"],
          "repeated choice": lambda r: r["repetition"]["share"] - r["repetition"]["independent"]}  # fmt: skip
UNITS = {"MaxVio": "times the mean, less 1", "repeated choice": "share of tokens"}


def depth(what):
    lines = {name: study.by_layer(results, *study.ROUTERS[name], DEPTH[what]) for name in LEARNED}
    return figures.layers_svg(lines, what, UNITS.get(what, "bits"))


Live(depth, what=choice("measure", list(DEPTH), "domain, given the token"))

# %% [markdown] name="deeper-saturation" tags=["deeper"]
# The share of a checkpoint's choices that are the final ones is called **saturation** (OLMoE, Eq. 5). After a tenth of the
# training it is about a half here, mean over layers and seeds, of 500 steps or of 1,500; before the first step, a third.

# %% name="picture-saturation" tags=["deeper"]
saturations = {steps: [s["saturation"] for s in study.of(results, "moe", steps)] for steps in study.LENGTHS}
for steps, found in saturations.items():
    shares = np.mean([s["share"] for s in found], axis=(0, 1))  # (checkpoints,)
    print(f"{steps} steps, after {found[0]['step']}: {shares.round(2)}")
    assert 0.45 < shares[found[0]["step"].index(steps // 10)] < 0.56
    assert 0.29 < shares[0] < 0.35
Live(
    lambda steps, seed: figures.saturation_svg(
        saturations[steps][seed]["step"], saturations[steps][seed]["share"], 2 / 8
    ),
    steps=choice("steps", list(study.LENGTHS)),
    seed=slider("seed", 0, 0, len(study.SEEDS) - 1, 1),
)

# %% [markdown] name="deeper-ablation" tags=["deeper"]
# ## Deeper: expert by expert
#
# In the layer that says most about the domain.

# %% name="picture-ablation" tags=["deeper"]
matrices = {f"seed {s['seed']}, {steps} steps, layer {s['best'] + 1}": np.array(s["ablation"][s["best"]])
            for steps in study.LENGTHS for s in study.of(results, "moe", steps)}  # fmt: skip
Live(
    lambda model: figures.ablation_svg(matrices[model], domains, f"One expert off: {model}"),
    model=choice("model", list(matrices)),
)
