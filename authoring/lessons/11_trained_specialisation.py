# %% [markdown]
# # 11 · Trained specialisation
#
# **What do the experts of a trained model know?** "One for code, one for science", say many texts. Some papers looked
# and found hardly any subjects. Here you train a small language model, route text that it has never seen, and
# measure. The main question is: compared with what?
#
# You will be able to
#
# 1. compute from a count table how many bits a choice of expert tells about a token's class;
# 2. put the right comparisons beside it: shuffled sequences, an untrained router, a hash router, other seeds;
# 3. separate what a router knows about a *domain* from what any single *token* gives away;
# 4. test by switching experts off whether what an expert serves is also what it is needed for;
# 5. say which popular claims this model and published models support.
#
# **Before:** lessons 08 and 09; from lesson 02, entropy. **Time:** {{minutes}}.

# %% name="setup" tags=["setup"]
import numpy as np
import torch

from moe_lessons import metrics
from moe_lessons.corpus import text
from moe_lessons.experiments import specialisation as sp
from moe_lessons.checks import compare, reveal
from moe_lessons.figures import specialisation as figures
from moe_lessons.model import without_expert
from moe_lessons.support.progress import tqdm
from moe_lessons.variants import HashRouter
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
counts = np.array(
    [
        [80, 20],  # code:  to E1, to E2
        [20, 80],
    ]
)  # prose: to E1, to E2
p = counts / counts.sum()  # (domains, experts): share of all tokens
unrelated = p.sum(axis=1, keepdims=True) * p.sum(axis=0, keepdims=True)  # what it would be without a tie
bits = (p * np.log2(p / unrelated)).sum()
compare(my_bits, bits, "bits", within="5 %")
print("p =", p.tolist(), " if unrelated:", unrelated.tolist())
print(f"0.8·log2(0.4/0.25) + 0.2·log2(0.1/0.25) = {bits:.3f} bits")

# %% [markdown]
# In general $\;I(a; b) = \sum_{a,b} p(a,b)\,\log_2 \dfrac{p(a,b)}{p(a)\,p(b)}\;$: each cell compares what is there
# with what would be there if the two had nothing to do with each other. Right four times in five, and yet only about
# a quarter of a bit: the doubt that is left costs the rest.
#
# **Question for the picture:** let E1 have 80 of the code. Which count of prose makes the information zero? How do you
# get a whole bit?

# %% name="picture-counts"
Live(
    figures.counts_svg,
    code_to_first=slider("code tokens to E1", 80, 0, 100, 1, expert=0),
    prose_to_first=slider("prose tokens to E1", 20, 0, 100, 1, expert=0),
)

# %% [markdown]
# You should see zero at 80 and 80: E1 serves most of the code, but most of the prose as well, so seeing E1 tells
# nothing. A bit needs 100 and 0, or 0 and 100.

# %%
for table in ([[80, 20], [80, 20]], [[80, 20], [20, 80]], [[100, 0], [0, 100]]):
    print(table, f"{figures.table_information(table):.3f} bits")
assert figures.table_information([[80, 20], [80, 20]]) < 1e-12

# %% [markdown]
# ## Trap one: chance
#
# Estimated from counts, information is never below 0, so chance alone gives some. How much? Shuffle the labels, count
# again, and repeat: that is the **null**. But shuffle *what*? The tokens of one sequence resemble each other. Below,
# each of 40 sequences has favourite experts of its own, and its domain is drawn without looking at them: there is no
# tie. A value counts as an alarm if it beats 95 % of the shuffles, so about 1 alarm in 20 is fair.
#
# **Predict.** In 50 such experiments, how many alarms if you shuffle *tokens*?

# %% name="predict-alarms" tags=["predict"]
my_alarms = ...  # a whole number from 0 to 50


# %%
def alarms(seed, S=40, L=64, N=8):
    """Whether shuffled tokens, and shuffled sequences, see a tie that is not there"""
    rng = np.random.default_rng(seed)
    favourites = rng.dirichlet(np.ones(N), size=S)  # (S, N)
    expert = np.concatenate([rng.choice(N, size=L, p=row) for row in favourites])  # (T,)
    domain, sequence = np.repeat(rng.integers(4, size=S), L), np.repeat(np.arange(S), L)  # (T,) each
    value = metrics.mutual_information(domain, expert, base=2)
    shuffles = (np.arange(S * L), sequence)  # each token a unit of its own; each sequence a unit
    nulls = [metrics.permutation_null(domain, expert, unit, draws=60, base=2, rng=seed) for unit in shuffles]
    return [value > np.quantile(null, 0.95) for null in nulls]


by_token, by_sequence = np.sum([alarms(seed) for seed in tqdm(range(50), desc="experiments")], axis=0)
compare(my_alarms, by_token, within=5)
print(f"false alarms in 50: {by_token} when tokens are shuffled, {by_sequence} when whole sequences are")
assert by_token > 40 > 10 > by_sequence

# %% [markdown]
# Shuffled tokens find a tie every time here. From here on we shuffle sequences.
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
# ## The text
#
# Four domains, without a download: English from the documentation and Python from the library that is installed, JSON
# and arithmetic generated. A tokenizer with 1,000 pieces is trained on the spot. Documents are split first, into
# *train*, *selection* (to choose) and *report*. About ten seconds.

# %% name="prepare" tags=["7 s"]
for _ in tqdm(range(1), desc="text and tokenizer"):
    task = text.prepare()
V, domains = len(task.token_bytes), task.domains
print({name: part.ids.shape for name, part in (("train", task.train), ("report", task.report))})
mixed = 10 * task.report.classes["python"] + task.report.classes["shape"]
kinds = [len(np.unique(row[:14])) for row in mixed]  # (S,): how varied each sequence begins
shown = {name: max(np.flatnonzero(task.report.domain == i), key=lambda s: kinds[s]) for i, name in enumerate(domains)}
for name, row in shown.items():
    print(f"{name:>10}: {task.decode(task.report.ids[row, :32])!r}")

# %% [markdown]
# Every token comes with classes that we know without any model. Here are four (position: in the line); a fifth,
# `function`, is function word or not.

# %%
names = ("shape", "python", "position", "frequency")
print(f"{'token':<12}" + "".join(f"{name:<18}" for name in names))
for at, piece in enumerate(task.pieces(task.report.ids[shown["code"], :14])):
    classes = [task.class_names[c][task.report.classes[c][shown["code"], at]] for c in names]
    print(f"{piece:<12}" + "".join(f"{name:<18}" for name in classes))

# %% [markdown]
# > **Myth: "if the expert tells something about the domain, the router knows domains."** A **hash router** (Roller
# > et al. 2021, arXiv:2106.04426) sends each token id to two experts drawn once. It learns nothing.

# %%
labels = sp.labels_of(task.report)  # name -> (S, L)
chosen = HashRouter(V, 8, 2)(torch.from_numpy(labels["token"])).selected.numpy()  # (S, L, k)
plain, within = (sp.information(chosen, labels, "domain", given, draws=20) for given in (None, "token"))
print(f"hash: I(domain; expert) = {plain['bits']:.3f} bits, 95 % of shuffles below {plain['null_95']:.3f}")
print(f"hash: I(domain; expert | token) = {within['bits']:.3f} bits")
assert plain["bits"] > plain["null_95"]
assert within["bits"] == 0

# %% [markdown]
# Right is: each expert serves certain tokens, and each domain uses some tokens more. The second number is 0 *by
# construction*: given the token the experts are fixed. What a learned router has there beyond chance, it took from
# the context.
#
# ## Train
#
# Four layers of width 64, eight experts each, two active, form A, with a balance loss (0.01, lesson 09) and a z-loss
# (0.001, lesson 07). **The next cell computes for up to a minute**, two or three on a busy computer. The
# square in the toolbar stops it; run the cell again and it goes on from its checkpoint; the next time takes
# seconds. `STEPS = 2500` trains five minutes for a better model, `SEED = 1` another. Numbers differ with threads and machines.

# %% name="train" tags=["55 s"]
SEED, STEPS = 0, sp.STEPS
model, untrained = sp.build(V, seed=SEED), sp.build(V, seed=SEED)
history = sp.train_language_model(model, task, STEPS, checkpoint=f"lesson 11, seed {SEED}, {STEPS} steps")
as_ours = (SEED, STEPS, history.steps_done) == (0, sp.STEPS, sp.STEPS)
print(f"{history.steps_done} of {STEPS} steps; training loss {history.losses['task'][0]:.2f} nats at step "
      f"{history.step[0]}, {history.losses['task'][-1]:.2f} at the end. All tokens alike: {np.log(V):.2f} nats")  # fmt: skip

# %% [markdown]
# ## Four steps: route, record, aggregate, look
#
# **Route and record**: the report text goes through both models; for each layer and token we keep the two experts;
# each counts as one sample. **Aggregate**: the share of each domain's tokens that an expert serves (Muennighoff et
# al. 2024, arXiv:2409.02060, Eq. 7). If it did not care, at even load, that would be k/N = 2/8.

# %% name="record-routes" tags=["10 s"]
models = {"before training": untrained, "after training": model}
routes = {stage: sp.record(m, task.report.ids) for stage, m in tqdm(models.items(), desc="routing")}
apart = {}  # stage -> by how much the domains differ in each layer
for stage, found in routes.items():
    shares = np.array([metrics.domain_specialisation(c, labels["domain"], 8) for c in found.selected])
    overall, apart[stage] = shares.mean(axis=1), shares.std(axis=1).mean(axis=1)  # (layers, N), (layers,)
    print(f"{stage:<16} loss {found.loss.mean():.2f} nats; layers 1 to 4: mean distance of an expert's share from 2/8",
          np.abs(overall - 2 / 8).mean(axis=1).round(3), " spread between domains", apart[stage].round(3))  # fmt: skip
assert not as_ours or (apart["after training"] > 2 * apart["before training"]).all()

# %% [markdown]
# **Question for the picture:** compare before and after training. In which layers do single experts stand out? Does
# *any* expert serve one domain only?

# %% name="picture-domains"
Live(
    lambda stage, layer: figures.domains_svg(
        metrics.domain_specialisation(routes[stage].selected[layer - 1], labels["domain"], 8), domains, 2 / 8
    ),
    stage=choice("model", list(models), "after training"),
    layer=slider("layer", 1, 1, 4, 1),
)

# %% [markdown]
# You should see that a random router has favourites too, often the same in several rows. After training the rows
# differ: the spread between domains is more than twice as large, in every layer. No expert serves one domain only.
#
# **Look.** Below is held-out text, each token in the colour and with the number of its first choice. Switch layer and
# model, let one expert stand out, click a token (or use the arrow keys) for its trace. The fifth text has signs that
# the training text does not: the tokenizer falls back to single bytes.
#
# 1. Code, layer 1: do equal tokens go to the same expert? And in layer 4?
# 2. Arithmetic and JSON, layer 4: are digits treated alike?
# 3. "never seen": where do the bytes of 😀 and 路由器 go?

# %% name="viewer"
held_out = {name: task.report.ids[row] for name, row in shown.items()}
held_out["never seen"] = task.encode("def greet(name):\n    return '😀 ' + name\nA router is a 路由器.\n")
viewer = TextViewer([passage(name, task, models, ids) for name, ids in held_out.items()])
viewer

# %%
strange, ids = viewer.setting["passages"][-1], held_out["never seen"]
of_bytes = [at for at, piece in enumerate(strange["pieces"]) if piece.startswith("\\x")]
seen = np.isin(ids[of_bytes], task.train.ids).sum()
print(f"{len(of_bytes)} bytes; the training text has {seen} of them too, inside other signs")
for layer, h in enumerate(strange["logits"][-1], start=1):
    first = np.argmax(np.array(h)[of_bytes], axis=1)  # (bytes,)
    print(f"layer {layer}: their first choices", " ".join(f"E{i + 1}" for i in first))

# %% [markdown]
# You should see patterns you can name: line ends, digits, pieces of words. A router cannot say "unknown": it sends
# everything somewhere.
#
# But the eye does not count exceptions. First: how often do two occurrences of a token share their first choice?

# %%
for stage, found in routes.items():
    same = []
    for c in found.selected:  # (S, L, k)
        share = metrics.vocabulary_specialisation(c[..., :1], labels["token"], 8)  # (tokens, N)
        often = np.bincount(labels["token"].ravel())[np.unique(labels["token"])]  # (tokens,)
        same.append(often @ (share**2).sum(axis=1) / often.sum())  # two draws of one token agree
    print(f"{stage:<16} two occurrences of a token agree, layer by layer:", np.round(same, 2))

# %% [markdown]
# Next, one token in two domains. `=` is the same id in code and arithmetic. Does it go to the same expert?

# %%
(equals,) = [i for i in range(V) if task.token_bytes[i] == b" ="]
places = [(labels["token"] == equals) & (labels["domain"] == domains.index(name)) for name in ("code", "arithmetic")]
for layer, c in enumerate(routes["after training"].selected, start=1):
    in_code, in_sums = (np.bincount(c[there][:, 0], minlength=8) / there.sum() for there in places)  # (N,) each
    print(f"layer {layer}: first choice for ' =' is E{in_code.argmax() + 1} in {in_code.max():.0%} of code, "
          f"E{in_sums.argmax() + 1} in {in_sums.max():.0%} of arithmetic",
          "-> the same" if in_code.argmax() == in_sums.argmax() else "-> ANOTHER")  # fmt: skip

# %% [markdown]
# Where it is another, the router went by more than the token.
#
# ## What do the experts know about the domain?
#
# **Predict.** In which of the four layers do the experts say most about the domain *beyond the token*?

# %% name="predict-layer" tags=["predict"]
my_layer = ...  # 1, 2, 3 or 4

# %% [markdown]
# The best of four layers, reported from the text that chose it, is the luckiest. So the layer is chosen on
# `selection`, and the number comes from `report`.
#
# Given the token, there are two nulls. Dealing the domains out to whole sequences also cuts the tie of token and
# domain: a strict line to beat, but too much to take off. The second deals them out, token by token, among the
# sequences that share it; the bits minus its mean are the **excess** (without a token: minus the first's).

# %% name="choose-layer" tags=["12 s"]
on_selection = sp.record(model, task.selection.ids)
choosing = [sp.information(c, sp.labels_of(task.selection), "domain", "token", draws=20)["excess"]
            for c in tqdm(on_selection.selected, desc="selection")]  # fmt: skip
best = int(np.argmax(choosing))
compare(my_layer, best + 1)
print("excess on selection:", np.round(choosing, 3), f"-> layer {best + 1}\n")
print("on report, in bits         domain: bits (95 % null)    domain | token: bits (95 % null)   excess")
for stage, found in routes.items():
    for layer, c in enumerate(found.selected, start=1):
        a, b = (sp.information(c, labels, "domain", given, draws=50) for given in (None, "token"))
        mark = " <- chosen" if stage == "after training" and layer == best + 1 else ""
        print(f"{stage:<16} layer {layer}:   {a['bits']:.3f} ({a['null_95']:.3f})"
              f"{b['bits']:>24.3f} ({b['null_95']:.3f}) {b['excess']:>14.3f}{mark}")  # fmt: skip

# %% [markdown]
# That was one model. We trained seeds 0, 1 and 2 (your 0 may differ), each with its untrained copy, a hash model and
# a dense model (the file [specialisation.json](../moe_lessons/experiments/results/specialisation.json), made by
# `python -m moe_lessons.experiments.specialisation`). From here, unmarked statements about layers rest on all three.

# %%
results = sp.load_results()
settings, studies = results["settings"], results["studies"]


def runs(measure, kind="moe"):
    """measure: from a layer's results to a number. Returns (seeds, layers)."""
    return np.array([[measure(layer) for layer in s["layers"]] for s in studies if s["kind"] == kind])


def lines(measure):
    """The three routers: name -> (seeds, layers)"""
    return {name: runs(measure, kind)
            for name, kind in (("learned router", "moe"), ("untrained", "untrained"), ("hash", "hash"))}  # fmt: skip


def show_row(name, values):
    """Print the mean of each layer and, below it, from the lowest to the highest seed."""
    print(f"{name:<20}" + "".join(f"{m:>17.3f}" for m in values.mean(axis=0)))
    print(" " * 20 + "".join(f"   ({a:.3f} to {b:.3f})"
                             for a, b in zip(values.min(axis=0), values.max(axis=0), strict=True)))  # fmt: skip


print(settings, "| seeds:", len(runs(lambda layer: 0)))
for title, key in (("I(domain; expert), excess", None), ("I(domain; expert | token), excess", "domain_given_token")):
    print(f"\n{title}, bits, layers 1 to 4")
    for name, values in lines(lambda r, key=key: (r[key] if key else r["information"]["domain"])["excess"]).items():
        show_row(name, values)

# %% name="conclusion-domain"
beyond = lines(lambda r: r["domain_given_token"]["excess"])
learned, before = beyond["learned router"], beyond["untrained"]  # (seeds, layers) each
bits_95 = [runs(lambda r, key=key: r["domain_given_token"][key]) for key in ("bits", "null_95")]
print("bits above the cautious null, seeds per layer:", (bits_95[0] > bits_95[1]).sum(axis=0))
print("excess above every untrained seed, seeds per layer:", (learned > before.max(axis=0)).sum(axis=0))
print("excess larger than in the layer before, seeds:", (np.diff(learned, axis=1) > 0).sum(axis=0))
by_token = runs(lambda r: r["token"]["excess"])  # (seeds, layers)
show_row("I(token; expert)", by_token)
assert (bits_95[0] > bits_95[1]).all()
assert (learned.min(axis=0) > 4 * before.max(axis=0)).all()
assert (learned.argmin(axis=1) == 0).all()
assert (learned[:, 2:].min(axis=1) > learned[:, :2].max(axis=1)).all()
assert (by_token.argmax(axis=1) == 0).all()

# %% name="conclusion-chosen"
chosen = [s["best"] for s in studies if s["kind"] == "moe"]  # the layer of each seed, from the selection part
told = [bits_95[0][seed, layer] for seed, layer in enumerate(chosen)]  # bits, bias included
most = runs(lambda r: r["domain_given_token"]["bits"], "untrained").max()
print(f"bits in the chosen layer, bias included: {np.round(told, 3)}, mean {np.mean(told):.3f}; "
      f"untrained, the best of all layers and seeds: {most:.3f}; hash: 0")  # fmt: skip
left = np.log2(4) - metrics.mutual_information(labels["domain"].ravel(), labels["token"].ravel(), base=2)
share = np.mean([learned[seed, layer] for seed, layer in enumerate(chosen)]) / left
print(
    f"knowing the token leaves {left:.2f} of the domain's 2 bits open; of these one of the two experts tells {share:.0%} (excess)"
)
print("chosen layer per seed (on selection):", [layer + 1 for layer in chosen])
assert min(told) > most + 0.2
assert 0.2 < share < 0.3

# %% [markdown]
# In every layer and seed the experts say of the domain what the token does not: above the cautious null, and with
# over four times any untrained copy's excess there. In the chosen layer one of the two experts tells about a quarter
# of what the token leaves open. In every seed the first layer says least of it and the last two most. Of the token
# itself the first tells most.
#
# **Question for the picture:** the same for every class of token, whole text. Which classes does even the hash router
# tell? Is the order that of "syntax first"?

# %% name="picture-information"
ABOUT = {f"{name} (bits)": name for name in sp.ABOUT} | {"domain, given the token": None}


def picture(about):
    """The information about one class by layer, with the band of the learned router's null"""
    found = (lambda r: r["information"][about]) if about else (lambda r: r["domain_given_token"])
    null = runs(lambda r: found(r)["null_95"]).max(axis=0)  # (layers,)
    title = f"I({about or 'domain'}; expert{'' if about else ' | token'}), bias included"
    return figures.layers_svg(lines(lambda r: found(r)["bits"]), title, "bits", null)


for name in sp.ABOUT:
    values = runs(lambda r, name=name: r["information"][name]["excess"])  # (seeds, layers)
    peak = values.argmax(axis=1)  # (seeds,)
    print(f"{name:<9} told most in layer (per seed): {peak + 1}, most and least: "
          f"{values.mean(axis=0).max():.3f}, {values.mean(axis=0).min():.3f} bits")  # fmt: skip
    hashed = runs(lambda r, name=name: r["information"][name]["excess"], "hash")  # (seeds, layers)
    assert (peak < 2).all() or name not in ("shape", "frequency")
    assert (peak > 1).all() or name not in ("domain", "python", "position")
    assert (hashed > 0.005).all()
Live(picture, about=choice("about", ABOUT, "domain"))

# %% [markdown]
# You should see that the hash router says something about every class. In these three seeds shape, the nearest to
# "syntax", and frequency are told most in layer 1 or 2, domain, `python` and position in 3 or 4.
#
# Bits of different classes cannot be compared: some have fewer to give. And `python` holds "not code", `function`
# "not prose", and position is counted by line or by sentence: all three contain the domain. So take those inside
# *one* domain, and divide by the entropy. Does `python` still peak late, and shape early?

# %%
print("share of the class's entropy that the experts tell (excess), layers 1 to 4")
inside = {"shape": None, "frequency": None, "position": "code", "python": "code", "function": "prose"}
for about, name in inside.items():
    rows = task.report.domain == domains.index(name) if name else np.full(len(task.report.ids), True)  # (S,)
    mine = {key: values[rows] for key, values in labels.items()}
    H = metrics.entropy(np.bincount(mine[about].ravel()) / mine[about].size, base=2)
    for stage, found in routes.items():
        told = [sp.information(c[rows], mine, about, draws=5)["excess"] / H for c in found.selected]
        print(f"{about:<9} in {name or 'all text':<9} {stage:<16}", np.round(told, 3), f"of {H:.2f} bits",
              f"-> most in layer {np.argmax(told) + 1}")  # fmt: skip

# %% [markdown]
# Our own runs disagree on this.
#
# ## Do later layers decide more sharply?
#
# > **Myth: "early layers are unsure, later layers are decisive."** The mean entropy of the router's probabilities, at
# > most log₂ 8 = 3 bits, would fall from each layer to the next.

# %% name="myth-entropy"
entropy = runs(lambda r: r["entropy_bits"])  # (seeds, layers)
falls = (np.diff(entropy, axis=1) < 0).all(axis=1).sum()
print(f"entropy falls at every step of depth in {falls} of {len(entropy)} seeds; mean and range, layers 1 to 4, bits")
for name, values in lines(lambda r: r["entropy_bits"]).items():
    if name != "hash":  # its table of random numbers is no probability
        show_row(name, values)
assert falls == 0
assert (np.diff(entropy[:, :3], axis=1) > 0).all()
assert (entropy[:, 3] > entropy[:, 0]).all()

# %% [markdown]
# Right is: in none of our seeds. The first layer is the sharpest in each, and the entropy rises up to the third.
#
# ## When is it decided?
#
# **Saturation** (OLMoE, Eq. 5) is the share of a checkpoint's choices that are also final ones. Of experts {1, 2} and
# finally {2, 5}, that is one of two. For OLMoE about 60 % of the choices were final after 1 % of the training.

# %% name="picture-saturation"
saturations = [s["saturation"] for s in studies if s["kind"] == "moe"]
kept = np.array([s["share"] for s in saturations])  # (seeds, layers, snapshots)
steps = saturations[0]["step"]
for step, now in zip(steps, np.moveaxis(kept, 2, 0), strict=True):
    print(f"step {step:>4} ({step / steps[-1]:>4.0%}): final choices, layers 1 to 4", now.mean(axis=0).round(2),
          f" lowest and highest of all {now.min():.2f}, {now.max():.2f}")  # fmt: skip
by_share = {round(step / steps[-1], 2): kept[:, :, i] for i, step in enumerate(steps)}  # of training -> (seeds, layers)
assert np.abs(by_share[0.1].mean(axis=0) - 0.5).max() < 0.05
assert (by_share[0.25].argmax(axis=1) == 0).all()
Live(lambda seed: figures.saturation_svg(steps, kept[seed], 2 / 8), seed=slider("seed", 0, 0, len(kept) - 1, 1))

# %% [markdown]
# After a tenth of the training about half of the choices are final; after a quarter the first layer leads in every
# seed. In OLMoE the first layer was the slowest. Above 2/8 at step 0 needs no foresight: loads are uneven, and the
# final router began there. And 1 % of our training is five steps, of theirs billions of tokens.
#
# ## Neighbours and pairs
#
# **Repetition**: how often a token's first choice is that of the token before it. Papers compare with 1/N. But uneven
# loads alone give Σ load².

# %%
print("layers 1 to 4, mean and range over seeds")
for name, kind in (("learned", "moe"), ("untrained", "untrained"), ("hash", "hash")):
    show_row(f"{name}, repeated", runs(lambda r: r["repetition"]["share"], kind))
    show_row("  Σ load²", runs(lambda r: r["repetition"]["independent"], kind))
print("  1/N", 1 / 8)
for name, kind in (("learned", "moe"), ("untrained", "untrained"), ("hash", "hash")):
    show_row(f"{name}, pair", runs(lambda r: r["co_activation_max"], kind))
print("  no preference: (k − 1)/(N − 1) =", round(1 / 7, 3))
repeated = {kind: runs(lambda r: r["repetition"]["share"], kind) for kind in ("moe", "untrained")}
assert (repeated["moe"] > runs(lambda r: r["repetition"]["independent"], "moe")).all()
assert (repeated["moe"] > repeated["untrained"]).all()

# %% [markdown]
# In every layer and seed neighbours agree more often than the loads explain. But their untrained copies do so too, if
# less. (Mixtral: 13.6 to 28.4 % against 12.5 %, Jiang et al. 2024, arXiv:2401.04088.) "Pair" is the largest share of
# one expert's tokens that some other expert serves too (OLMoE, Eq. 6): a maximum over 56 pairs, so a high number is
# expected even by chance.
#
# ## The causal test
#
# An expert may *serve* mostly code and yet be needed by nobody: the other expert of the pair, or a later layer, may
# make up for it. So switch it off: its term is dropped, the rest stays. Whose loss rises, and by how much?
#
# **Predict.** Switch off one expert of the first layer, or one of the last. Which costs more, on average?

# %% name="predict-ablation" tags=["predict"]
my_costlier_layer = ...  # "first" or "last"

# %% [markdown]
# Experts off one by one in the first, the last and the chosen layer, on 200 sequences: about 20 seconds.

# %% name="switch-off" tags=["16 s"]
some = sp.some_of(task.report, 200)
whole = np.array(sp.loss_by_domain(model, some))  # (domains,)
rise = {layer: np.zeros((8, 4)) for layer in sorted({0, best, 3})}  # layer -> (N, domains)
for layer, expert in tqdm([(layer, i) for layer in rise for i in range(8)], desc="experts off"):
    with without_expert(model, layer, expert):
        rise[layer][expert] = np.array(sp.loss_by_domain(model, some)) - whole
compare(my_costlier_layer, "first" if rise[0].mean() > rise[3].mean() else "last")
for layer, rises in rise.items():
    print(f"layer {layer + 1}: loss rises by {rises.mean():.4f} nats on average, at most {rises.max():.3f}")
if as_ours:
    assert rise[0].mean() > 5 * rise[3].mean()

# %% [markdown]
# The first layer knows less of the domain and is needed far more. (One model; its gates differ too.)
#
# **Question for the picture:** is each expert needed by one domain? Is it the one that it serves most?

# %% name="picture-ablation"
trained = [s for s in studies if s["kind"] == "moe"]
matrices = {f"yours, layer {layer + 1}": rises for layer, rises in rise.items()}
matrices |= {f"seed {s['seed']}, layer {s['best'] + 1}": np.array(s["ablation"]) for s in trained}
Live(
    lambda model: figures.ablation_svg(matrices[model], domains, f"Loss when one expert is off: {model}"),
    model=choice("model", list(matrices)),
)

# %% name="conclusion-ablation"
shares = [np.array(s["layers"][s["best"]]["domain_specialisation"]).T for s in trained]  # (N, domains) each
rises = [np.array(s["ablation"]) for s in trained]  # (N, domains) each, in nats
pairs = list(zip(shares, rises, strict=True))
hits = [sp.hits(share, r) for share, r in pairs]
by_token = [sp.hits(share, sp.per_served_token(r, share)) for share, r in pairs]
null = np.sum([sp.hits_by_serving(share, r, rng=seed) for seed, (share, r) in enumerate(pairs)], axis=0)  # (draws,)
as_many, below = np.mean(null >= sum(hits)), np.sum(np.array(rises) < 0)
print(f"experts (of 8) that hurt most the domain they serve most, per seed: {hits}, {sum(hits)} of 24")
print(f"damage per served token dealt out at random: {null.mean():.1f} of 24, as many in {as_many:.0%} of the draws")
print(f"by damage per served token: {by_token}, {sum(by_token)} of 24; guessing gives {24 / len(domains):g}")
print(f"the loss fell without the expert in {below} of {np.size(rises)} cases; largest rise per seed, in nats: "
      f"{[round(float(r.max()), 3) for r in rises]}")  # fmt: skip
assert hits == [7, 3, 4]
assert 11 < null.mean() < 12
assert 0.15 < as_many < 0.21
assert sum(by_token) == 7
assert below == 26
assert np.max(rises) < 0.04

# %% [markdown]
# Of 24 experts, 14 hurt most the domain they serve most. But an expert can only hurt tokens that it serves. If the damage
# per served token is dealt out at random, about 11 do, and 14 is nothing rare. *Per served token* it is 7; guessing gives
# six. So this is no sign that experts are needed most where they serve most. In 26 of 96 cases the loss even fell. Its
# limits: no rise was tested, the layer was never trained that way, and redundancy hides what two experts share.
#
# ## Against a model without a router
#
# The dense model runs one feed-forward network of width k·f: the same active work per token.

# %%
losses = {kind: np.array([s["loss"] for s in studies if s["kind"] == kind]) for kind in sp.KINDS}  # (seeds, domains)
for kind, loss in losses.items():
    by_domain = "  ".join(f"{name} {value:.2f}" for name, value in zip(domains, loss.mean(axis=0), strict=True))
    seeds = loss.mean(axis=1)  # (seeds,)
    print(f"{kind:<9} {seeds.mean():.3f} nats on report (seeds {seeds.min():.3f} to {seeds.max():.3f})  {by_domain}")
assert losses["hash"].mean(axis=1).max() < losses["moe"].mean(axis=1).min()
assert losses["moe"].mean(axis=1).max() < losses["dense"].mean(axis=1).min()

# %% [markdown]
# In every seed the learned router beats the dense model by a little, and the hash model beats both, though its
# choices tell nothing beyond the token. How much experts *specialise* and how good the model *is* are two questions.
# (Roller et al. found hashing competitive with learned routers. After a longer training the order may change.)
#
# ## Claims, and what supports them
#
# > **Myth: "experts specialise in subjects: science, law, history."** Prose has subjects: every report document is
# > one topic. Take the prose alone and ask what the expert tells about the document.

# %% name="myth-subjects"
prose = task.report.domain == domains.index("prose")  # (S,)
topic = {"document": np.broadcast_to(task.report.document[:, None], labels["token"].shape)[prose]}
topic |= {name: labels[name][prose] for name in ("token", "sequence")}
H = metrics.entropy(np.bincount(topic["document"].ravel()) / topic["document"].size, base=2)
for stage, found in routes.items():
    told = [sp.information(c[prose], topic, "document", draws=20)["excess"] for c in found.selected]
    print(f"{stage:<16} I(document; expert) in prose, excess: {np.round(told, 3)} of {H:.2f} bits")
if as_ours:
    assert max(told) < 0.02 * H

# %% [markdown]
# Right is: next to nothing in this documentation, hardly more, if at all, than before training. Our experts know four
# *formats*.
#
# | claim | here | published |
# |---|---|---|
# | experts have subjects | formats yes; subjects within prose next to none (one model) | no obvious pattern in Mixtral (Jiang et al. 2024); near uniform in OpenMoE (Xue et al. 2024, arXiv:2402.01739); some in OLMoE for arXiv and GitHub |
# | experts follow tokens and syntax | tokens yes, most of all in the first layer; syntax beyond the token was not tested | Mixtral; OpenMoE, very strongly; ST-MoE's encoder, not its decoder (Zoph et al. 2022, arXiv:2202.08906) |
# | syntax early, subjects late | in three seeds, token classes (shape, frequency) are told most in the first two layers, formats in the last two (not in all our runs); subjects nowhere | no support: Mixtral aligns with syntax in its *first and last* layers; OpenMoE sees no difference by layer |
# | later layers are decisive | no: the first layer is the sharpest | one kind of token in ST-MoE's encoder; not its decoder |
# | neighbours share experts | yes, but untrained routers do it too | Mixtral: in middle and last layers, hardly in the first |
# | routing is fixed early | no: half after a tenth | OpenMoE; OLMoE, about 60 % after 1 % |
#
# ## Recap
#
# 1. Information compares the count table with one without a tie. A favourite expert alone is none.
# 2. Chance gives bits as well; shuffle sequences, not tokens. Untrained and hash routers show what you get for nothing.
# 3. $I(\text{domain}; \text{expert} \mid \text{token})$ is 0 for a router that sees only the token. What is above its null and its
#    bias comes from the context.
# 4. Serving is not being needed: switch the expert off, look at all domains, and count per served token.
# 5. Sharp late layers, token-then-format: measured with seeds, not assumed; subjects in one model.
#
# **What this lesson cannot tell you:** what large models do. Ours has four layers, very unlike domains and a minute of
# training. Nor *what* an expert computes: information says that the choice and the class go together, no more.
#
# ## Quiz
#
# **1. E3 serves 60 % of all code tokens. How much information about the domain is that?** (a) 0.6 bits (b) it depends
# on what E3 serves of the other domains (c) 60 % of the domain's entropy
#
# <details><summary>Answer</summary>
#
# (b): if it serves 60 % of everything, it is none. (a) and (c) take a share for information, and look at one row of the
# table only.
#
# </details>
#
# **2. A router has I(domain; expert) = 0.5 bits and I(domain; expert | token) at its null. What do you conclude?**
# (a) it knows the domain from the context (b) it may do no more than read the token (c) there is a bug: the second
# must be larger
#
# <details><summary>Answer</summary>
#
# (b): so does a hash router, if domains use different tokens. (a) would show in the second number. (c): conditioning
# can raise or lower information.
#
# </details>
#
# **3. You test ten classes in four layers and find one value above the 95 % of its null. What now?** (a) publish that
# layer (b) shuffle tokens to get a narrower null (c) fix layer and class on other text or seeds, and test that one
#
# <details><summary>Answer</summary>
#
# (c): of 40 tests two beat a 95 % line by chance. (a) reports the luckiest. (b) makes more false alarms, as you saw.
#
# </details>
#
# ## Next
#
# - Exercises: [](exercises:11).
# - The code: [](module:experiments/specialisation), [](module:metrics).
# - [Mixed review](exercises:11r), [closing project](exercises:11p).

# %% [markdown] name="deeper-tokens" tags=["deeper"]
# ## Deeper: which tokens tell the domain?
#
# I(domain; expert | token) is a sum over tokens. Here are the ten that add most in the chosen layer
# (frequent ones only; the bias is small there, and not taken off).

# %% name="deeper-tokens-cell" tags=["deeper"]
expert, where, ids = metrics.per_assignment(routes["after training"].selected[best], labels["domain"], labels["token"])
parts = {}
for i in np.flatnonzero(np.bincount(ids) >= 400):
    mine = ids == i
    if len(np.unique(where[mine])) > 1:
        parts[i] = mine.mean() * metrics.mutual_information(where[mine], expert[mine], base=2)
total = metrics.mutual_information(where, expert, ids, base=2)
for i in sorted(parts, key=parts.get, reverse=True)[:10]:
    print(f"{task.pieces([i])[0]:<10} {parts[i]:.4f} bits, {parts[i] / total:.1%} of the sum")
