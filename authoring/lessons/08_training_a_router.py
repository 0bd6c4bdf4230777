# %% [markdown]
# # 08 · Training a router
#
# **Who tells the router what to do?** First you do, with labels. Then nobody does: router and experts learn a task
# together, and you look at what the router made of it.
#
# You will be able to
#
# 1. train a router on labels, draw its loss and $W_g$, and say which entries decided one token's expert;
# 2. say what such a demonstration can show, and what it cannot;
# 3. train router and experts without labels, and measure specialisation against two baselines;
# 4. say what k changes in training, and what the second of two experts does;
# 5. test whether a trick in training helps: rates, lengths, fresh seeds.
#
# **Before:** lessons 03 to 07. **Time:** {{minutes}}.
#
# Which of these do you believe? (1) A router trained on labels shows how experts specialise. (2) A router that nobody
# trained already sorts tokens by cluster. (3) With k = 1, renormalised weights train like any others. (4) Without a
# balance loss one expert takes all. (5) Of two experts, the second could as well be left out. (6) The
# entries that decide a token's expert are what the expert looks for.

# %% name="setup" tags=["setup"]
import warnings

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F

from moe_lessons import metrics
from moe_lessons.checks import compare, reveal
from moe_lessons.data import clustered_regression, gaussian_domains
from moe_lessons.experiments import router_study
from moe_lessons.experiments.router_study import reported
from moe_lessons.experiments.studies import interval
from moe_lessons.experiments.router_training import Setting, film_run, label_runs, regression_runs
from moe_lessons.figures.spread import spread_svg
from moe_lessons.figures.still import Picture
from moe_lessons.figures.training_film import training_film_svg
from moe_lessons.layer import MoELayer, Router
from moe_lessons.support.progress import tqdm
from moe_lessons.training import constant, train
from moe_lessons.widgets.live import Live, choice, slider

# %% [markdown]
# ## A task with labels
#
# Four domains, each a round cloud of tokens around its mean. The means are equally long and 4 apart; `noise_std` is
# the spread of the clouds in each direction.

# %%
known, fresh = gaussian_domains(T=4096, d=16, domains=4, separation=4.0, noise_std=1.0, seed=0)
print("x", known.x.shape, " domains of the first ten tokens:", known.domain[:10])
gaps = np.linalg.norm(known.means[:, None] - known.means[None], axis=-1)  # (4, 4)
print("distances of the means:", gaps.round(2), sep="\n")

# %% [markdown]
# The clouds overlap: even someone who knows all four means names some tokens wrongly. The best is to name the nearest mean
# (Bayes' rule, as all domains are equally likely).
#
# The router is that of lesson 05: $h = xW_g$, no bias. Domain i belongs to expert i, so the loss is the cross-entropy,
# $-\ln p_{\text{right}}$. `train` is the course's loop (Adam).


# %%
def naming_loss(router, batch):
    x, domain = batch  # (T, d), (T,)
    return {"loss": F.cross_entropy(router(x).logits, domain)}


def trained(names, steps=300):
    """Train a router to name domain i as names[i]; return it with the history"""
    x, domain = torch.tensor(known.x, dtype=torch.float32), torch.tensor(names[known.domain])  # (T, d), (T,)
    rng = torch.Generator().manual_seed(0)
    router = Router(16, 4, top_k=1, gate="softmax_topk")
    with torch.no_grad():
        router.W_g.normal_(0, 0.1, generator=rng)  # (d, N)
    rows = torch.randint(len(x), (steps, 256), generator=rng)  # (steps, tokens of a batch)
    history = train(router, lambda i: (x[rows[i]], domain[rows[i]]), naming_loss, steps, lr=0.01, schedule=constant,
                    record_every=1, progress=False)  # fmt: skip
    return router, history


def chosen(router):
    """The expert of each fresh token (T,)"""
    with torch.no_grad():
        return router(torch.tensor(fresh.x, dtype=torch.float32)).selected[:, 0].numpy()


router, history = trained(np.arange(4))
W_g = router.W_g.detach().double().numpy()  # (d, N)
accuracy = (chosen(router) == fresh.domain).mean()
best_here = (fresh.best_guess(fresh.x) == fresh.domain).mean()
print(f"named rightly: {accuracy:.4f}; by the best rule, on the same tokens: {best_here:.4f}")
assert best_here - 0.02 < accuracy <= best_here + 0.005

# %% [markdown]
# **Draw it yourself:** the loss of each step, the four means and $W_g$. (The mean over the columns is taken off both:
# softmax does not see it.)

# %% name="draw-labels"
losses = history.losses["loss"]
fig, (left, middle, right) = plt.subplots(1, 3, figsize=(10, 3.5), layout="constrained")
left.set(xlabel="training step", ylabel="cross-entropy, nats")
...  # the losses, step by step: left.plot(…)
for ax, M, what in ((middle, known.means.T, "the means"), (right, W_g, "W_g after training")):
    M = M - M.mean(axis=1, keepdims=True)  # (d, N)
    ax.set(title=f"{what}: {M.min():.1f} to {M.max():.1f}", xlabel="domain or expert, from 0", ylabel="row")
    ...  # M, a shade for each number: ax.imshow(…, cmap="gray", aspect="auto")
means, learned = (m - m.mean(axis=1, keepdims=True) for m in (known.means.T, W_g))  # (d, N) each
cosines = (means * learned).sum(axis=0) / np.linalg.norm(means, axis=0) / np.linalg.norm(learned, axis=0)  # (N,)
print("cosine of each column of W_g with its domain's mean:", cosines.round(3))
assert cosines.min() > 0.95
assert np.mean(losses[-50:]) > 0.1
plt.show()

# %% [markdown]
# <details><summary>Two lines that do it</summary>
#
# `left.plot(losses)` and `ax.imshow(M, cmap="gray", aspect="auto")`
#
# </details>
#
# You should see a loss that falls fast and stays above 0, and twice the same pattern: each column of $W_g$ points
# where its domain's mean does. That is enough because the means are equally long: the nearest one has the largest dot
# product.
#
# ## One token, entry by entry
#
# A logit is a sum of d terms, $h_i = \sum_a x_a W_{ai}$. So the **lead** of the expert that won over the second is a
# sum as well, of $x_a (W_{ai} - W_{aj})$. Set $x_a$ to 0, and its term is gone.
#
# **Predict.** The first fresh token, 16 entries. Take away those that speak most for its expert, the strongest first.
# How many must go before the second expert is ahead?

# %% name="predict-entries" tags=["predict"]
my_entries = ...  # 1 to 16


# %%
def lead_of(x, W_g):
    """Terms of the lead (d,) of one token x (d,), and how many must go; -1 if that never does it"""
    terms = x[:, None] * W_g  # (d, N): x_a W_ai
    second, first = terms.sum(axis=0).argsort()[-2:]
    lead = terms[:, first] - terms[:, second]  # (d,)
    rest = lead.sum() - np.cumsum(np.sort(lead)[::-1])  # (d,): what is left of the lead
    ahead = rest < -1e-9  # (d,): the second is ahead, by more than rounding
    return lead, int(ahead.argmax()) + 1 if ahead.any() else -1


lead, needed = lead_of(fresh.x[0], W_g)
compare(my_entries, needed, within=1)
print(f"lead {lead.sum():.2f}, terms, strongest first:", np.sort(lead)[::-1].round(2), sep="\n")
print(f"terms for the winner: {(lead > 0).sum()}, against it: {(lead < 0).sum()}; must go: {needed}")
assert needed > 2

# %% [markdown]
# No single entry decided: terms for and against add up. Is that so for other tokens, in other routers, and in other axes?
# (Tokens and $W_g$ are turned alike: every logit stays.)

# %% name="see-axes"
Q = np.linalg.qr(np.random.default_rng(0).normal(size=(16, 16)))[0]  # (d, d): turns the axes
for run in label_runs([Setting(seed=seed) for seed in range(5)], progress=False):
    x = gaussian_domains(test_T=1000, seed=run.setting.seed)[1].x  # (T, d), fresh
    along = np.linalg.qr(np.concatenate([run.means.T, Q[:, :12]], axis=1))[0]  # (d, d): the first four hold the means
    for name, axes in (("as drawn", np.eye(16)), ("turned at random", Q), ("along the means", along)):
        leads, counts = zip(*(lead_of(token, axes.T @ run.W_g) for token in x @ axes), strict=True)
        enough = np.equal(counts, 1)  # (T,): one entry is enough
        print(f"seed {run.setting.seed}, axes {name:<16}  first token: lead {leads[0].sum():.2f}, must go: {counts[0]}; "
              f"one is enough for {enough.mean():.2f} of 1,000")  # fmt: skip
        total = np.sum(leads, axis=1)  # (T,)
        assert 0.83 < enough.mean() < 0.9 if axes is along else 0.17 < enough.mean() < 0.3
        assert axes is along or np.median(total[enough]) < np.median(total[~enough]) / 2.5
        as_drawn = [lead_of(token, run.W_g) for token in x[:100]]
        assert np.allclose([terms.sum() for terms, _ in as_drawn], total[:100])
        assert axes is not Q or [count for _, count in as_drawn] != list(counts[:100])

# %% [markdown]
# One entry is enough for a fifth to a quarter of the tokens, most of them close calls. And do not read entries as features:
# in turned axes others carry the same lead, and along the means one is enough for most tokens.
#
# > **Myth: "a router trained on labels shows how experts specialise."** We give the domains other experts' names.

# %%
others = np.array([2, 0, 3, 1])
renamed = (chosen(trained(others)[0]) == others[fresh.domain]).mean()
print(f"named as we renamed them: {renamed:.4f}, as before {accuracy:.4f}")
spreads = (2.0, 1.0, 0.5)
runs = label_runs([Setting(noise_std=spread, seed=seed) for spread in spreads for seed in range(3)])
print("spread   three routers, three seeds   best rule, same tokens")
for spread in spreads:
    three = [run for run in runs if run.setting.noise_std == spread]
    rights, bests = [run.accuracy[-1] for run in three], [run.best_accuracy for run in three]
    print(f"{spread:>6}   {np.round(rights, 3)}          {np.round(bests, 3)}")
    assert max(abs(b - r) for b, r in zip(bests, rights, strict=True)) < 0.02
assert abs(renamed - accuracy) < 0.01

# %% [markdown]
# Right is: the router learned whatever we told it, always within two points of the best rule. That shows that the
# **best borders are linear** here, as means of one length make them. What it cannot show:
#
# - how experts specialise: there are none in this program, and the labels were given;
# - balance: the labels say how many tokens each expert gets;
# - how sure a router in a model is: that one is never told the right expert. (Some add a z-loss to this
#   cross-entropy: *deeper*.)
#
# ## No labels
#
# Now router *and* experts learn from the error of the output alone. The task is that of lesson 06: tokens in clusters,
# each cluster with a target map of its own.
#
# First in the plane: four clusters, four experts, k = 1 in form B. We record it twice from the same first $W_g$: with
# labels and end to end.

# %% name="run-films" tags=["5 s"]
films = {}
for seed in tqdm(range(3), desc="films"):
    for way in ("with labels", "end to end"):
        films[way, seed] = film_run(labels=way == "with labels", seed=seed)

# %% [markdown]
# **Question for the picture:** move through the steps, first with labels, then end to end. Do the borders run between
# the clouds?

# %% name="picture-film"
Live(
    lambda way, seed, step: training_film_svg(films[way, seed], step),
    play="step",
    way=choice("training", ["with labels", "end to end"]),
    seed=slider("seed", 0, 0, 2, 1),
    step=slider("step", 0, 0, 400, 10),
)

# %% [markdown]
# You should see, with labels, every border settle between two clouds. End to end some borders run right through a cloud:
# the task asks for a small error, not for our clusters.
#
# `information` is what the expert's number tells about the cluster: the mutual information
# $\sum p(\text{cluster}, i) \ln \frac{p(\text{cluster}, i)}{p(\text{cluster})\,p(i)}$, 0 if they are independent,
# ln 4 = 1.39 nats if the expert gives the cluster away.

# %%
for (way, seed), film in films.items():
    print(f"{way:<11} seed {seed}: information {film.information[-1]:.2f}, loads {film.load[-1].round(2)}")
    assert film.information[0] > 0.5 * np.log(4)
for seed in range(3):
    assert films["with labels", seed].information[-1] > films["end to end", seed].information[-1] + 0.15

# %% [markdown]
# ## Thirty-two dimensions
#
# 16 clusters, 8 experts, d = 32. One run by hand:

# %%
part, test = clustered_regression(T=8192, d=32, clusters=16, seed=0)
x, y = torch.tensor(part.x, dtype=torch.float32), torch.tensor(part.y, dtype=torch.float32)  # (T, d) each
torch.manual_seed(0)
layer = MoELayer(32, 32, num_experts=8, top_k=2)
rows = torch.randint(len(x), (400, 256))  # (steps, tokens of a batch)
x_test = torch.tensor(test.x, dtype=torch.float32)  # (T, d)
untrained = layer(x_test, return_routing=True)[1].selected[:, 0].numpy()  # (T,), the first choice
train(layer, lambda i: (x[rows[i]], y[rows[i]]), lambda layer, batch: {"loss": F.mse_loss(layer(batch[0]), batch[1])},
      steps=400, lr=5e-3)  # fmt: skip
with torch.no_grad():
    y_hat, routing = layer(x_test, return_routing=True)
first = routing.selected[:, 0].numpy()  # (T,)
print(f"error: {((y_hat.numpy() - test.y) ** 2).mean() / test.y.var():.3f} of the target's variance")

# %% [markdown]
# Did it specialise? We ask for the information between cluster and first choice, of at most ln 8 = 2.08 nats, beside two
# baselines: a **permutation null** (the clusters' names dealt out anew among the tokens, 200 times), and the **untrained
# router**.
#
# **Predict.** At most 2.08 nats. How many does the untrained router have?

# %% name="predict-untrained" tags=["predict"]
my_untrained = ...  # a number from 0 to 2.08

# %%
tokens = np.arange(len(first))  # here each token is a sequence of its own
null = metrics.permutation_null(test.cluster, untrained, tokens, draws=200)  # (draws,)
before, after = (metrics.mutual_information(test.cluster, choices) for choices in (untrained, first))
compare(my_untrained, before, within="20 %")
print(f"null: mean {null.mean():.3f}, largest of 200: {null.max():.3f}")
print(f"untrained {before:.3f} (p = {metrics.p_value(before, null):.3f}), trained {after:.3f}, at most {np.log(8):.3f}")
plane = np.array([film.information for (way, _), film in films.items() if way == "end to end"])  # (seeds, frames)
print(f"in the plane: untrained {plane[:, 0].round(2)}, trained {plane[:, -1].round(2)}, at most {np.log(4):.2f}")
assert null.max() < 0.1 < 0.5 < before < after - 0.3
assert (plane[:, -1] - plane[:, 0]).max() < 0.2

# %% [markdown]
# The untrained router is far above the null, and has learned nothing: tokens of one cluster are near each other, and near
# tokens fall into the same cone. So "above the null" does not mean "learned". What training added is the rest.
# Because each cluster needs another map? The next table has the control: **one map** for all.
#
# ## What k changes
#
# Five seeds, and for each the same task, first weights and batches for every layer; 400 steps, rate 0.005. Lesson 07 said
# that with k = 1 and form A the weight is always 1, so the router gets no gradient.
#
# **Predict.** How many times as large is its error, compared with k = 1 in form B? And with k = 2 in form A: take every
# token's *second* expert away after training, and give its weight to the first. By what factor does the error grow?

# %% name="predict-k" tags=["predict"]
my_ratio = ...  # k = 1, error of A over error of B
my_factor = ...  # k = 2, error of the first alone over error of both

# %% [markdown]
# The table has two measures of the loads $f_i$. **CV**, the coefficient of variation, is their standard deviation over
# their mean. 0 is even. If m of N experts share everything evenly, CV² is N/m − 1: for one of eight, CV = √7 = 2.65. A
# **dead** expert has less than 1 % of the mean load.

# %% name="run-methods" tags=["12 s"]
SEEDS = range(5)
layers = {"k = 1, B": (1, "softmax_topk"), "k = 1, A": (1, "topk_softmax"), "k = 2, A": (2, "topk_softmax")}
results = {}
with warnings.catch_warnings():  # the layer warns of k = 1 with form A, as it should
    warnings.simplefilter("ignore")
    for name in tqdm(layers, desc="five layers each"):
        results[name] = regression_runs(*layers[name], SEEDS, steps=400)
for name in ("k = 1, B", "k = 2, A"):
    results[f"{name}, one map"] = regression_runs(*layers[name], SEEDS, steps=400, own_maps=False)


# %%
def values(name, what):
    return np.array([getattr(run, what) for run in results[name]])  # (seeds,), of load (seeds, N)


def report(names):
    print("layer              error, mean ± sd   information   CV of loads   largest load   dead   W_g moved")
    for name in names:
        error, load = values(name, "error"), values(name, "load")  # (seeds,), (seeds, N)
        dead = np.mean([len(metrics.dead_experts(f)) for f in load])
        print(f"{name:<18} {error.mean():.3f} ± {error.std(ddof=1):.3f}{values(name, 'before').mean():>10.2f} -> "
              f"{values(name, 'information').mean():.2f}{metrics.coefficient_of_variation(load).mean():>10.2f}"
              f"{load.max():>14.2f}{dead:>10.1f}{values(name, 'moved').mean():>10.2f}")  # fmt: skip


ratio = values("k = 1, A", "error") / values("k = 1, B", "error")  # (seeds,)
factor = values("k = 2, A", "alone") / values("k = 2, A", "error")  # (seeds,)
compare(my_ratio, ratio.mean(), within="25 %")
compare(my_factor, factor.mean(), within="25 %")
report(results)
print("k = 1, error of A over B, seed by seed:", ratio.round(2))
print("k = 2, A, error of the first expert alone over that of both:", factor.round(2))
assert ratio.min() > 1.2
assert round(factor.mean(), 1) == 1.3
assert (values("k = 1, A", "moved") == 0).all()
assert (values("k = 2, A", "information") > values("k = 2, A", "before") + 0.3).all()
assert all(values(name, "load").max() < 0.5 for name in layers)
gained = {name: (values(name, "information") - values(name, "before")).mean() for name in results}
assert 0.6 < gained["k = 1, B, one map"] / gained["k = 1, B"] < 0.8
assert 0.2 < gained["k = 2, A, one map"] / gained["k = 2, A"] < 0.3
assert round(256 / (1 + 3.01**2)) == 25

# %% [markdown]
# > **Myth: "with k = 1, renormalised weights train like any others."** The last column says it: $W_g$ has not moved by a
# > single bit. Its experts learn, behind a router that stays as it was drawn.
#
# **One map for all** (last two rows): the router gains information there, too, with k = 1 over two thirds as much, with
# k = 2 a quarter. So information alone does not show different jobs.
#
# > **Myth: "without a balance loss one expert takes all."** None of these layers had one, and none did that, from a
# > fair start and at this size (why, we did not test). In language models (lesson 09) a few experts can take most: those
# > of Shazeer et al. (2017, arXiv:1701.06538, Table 6) had a CV of 3.01, as if m = 256 / (1 + 3.01²) = 25 of 256 shared
# > all; in OLMoE (2024, arXiv:2409.02060, Fig. 10) one of 8, later two, took all of the first layer.
#
# At this rate `k = 1, B` is as good as `k = 2, A`. But the form differs, too, and one rate may suit one k and not
# another. So here is k alone, from a file, in form B. Two seeds chose the `rate` of each row, of three to five. Eight
# others report: the `error`; folded, how far it is `above` that of k = 2, seed by seed, with an interval (95 % of these hold the
# true mean); and `first alone`, the error if only each token's first expert answers, with the weight of all k.
# `balanced` has the balance loss of lesson 09 (α = 0.03, one try).

# %% name="picture-k"
study = router_study.load_results()
errors = {arm: [reported(study, "active", arm, steps) for steps in router_study.LENGTHS]
          for arm in router_study.QUESTIONS["active"]}  # fmt: skip
Picture(spread_svg(errors, ["400 steps", "1,200 steps"], "error"), router_study.table(study, "active", "k = 2, B"))

# %% name="study-k"
for steps in router_study.LENGTHS:
    for arm in router_study.QUESTIONS["active"]:
        found = {of: reported(study, "active", arm, steps, of) for of in ("error", "alone", "dead")}  # (seeds,) each
        lost = found["alone"] / found["error"]  # (seeds,)
        by_first = f"; first alone: {lost.min():.2f} to {lost.max():.2f} times the error" if lost.max() > 1 else ""
        print(f"{steps:>5,} steps, {arm}: dead experts in {(found['dead'] > 0).sum()} of {lost.size} layers{by_first}")
for steps in router_study.LENGTHS:
    pair = [reported(study, "active", f"k = {k}, B", steps) for k in (1, 2)]  # (seeds,) each
    print(f"{steps:>5,} steps: correlation of the errors of k = 1 and k = 2, over seeds {np.corrcoef(pair)[0, 1]:.2f}")
for steps in router_study.LENGTHS:
    one, two, four = (reported(study, "active", f"k = {k}, B", steps) for k in (1, 2, 4))  # (seeds,) each
    assert (one > two).all()
    level = reported(study, "active", "k = 1, B, balanced", steps)  # (seeds,)
    assert (level < one).mean() >= 0.75
    assert interval(level - two)[0] > 0 if steps == 400 else interval(level - two)[0] < 0 < interval(level - two)[1]
    assert steps > 400 or 0.4 < (level - two).mean() / (one - two).mean() < 0.6
    assert reported(study, "active", "k = 1, B, balanced", steps, "dead").max() == 0
    both = reported(study, "active", "k = 2, B, balanced", steps)  # (seeds,)
    assert (both < level).sum() == (8 if steps == 400 else 7)
    assert interval(level - both)[0] > 0
    assert round((level - both).mean(), 3) == (0.014 if steps == 400 else 0.006)
    assert np.corrcoef(one, two)[0, 1] > 0.88
    assert (reported(study, "active", "k = 2, B", steps, "alone") > 1.9 * two).all()
    assert (reported(study, "active", "k = 1, B", steps, "dead") > 0).sum() == (7 if steps == 400 else 5)
    assert reported(study, "active", "k = 2, B", steps, "dead").max() == 0
    assert reported(study, "active", "k = 4, B", steps, "dead").max() == 0
    assert (interval(four - two)[1] < 0) == (steps == 400)

# %% [markdown]
# And over the rates, on the two seeds that chose:

# %% name="rates-of-k"
for steps in router_study.LENGTHS:
    by_k = {k: router_study.by_rate(study["trials"], "active", f"k = {k}, B", steps) for k in (1, 2, 4)}
    for k, errors in by_k.items():  # by rate
        above = {rate: round(error / min(errors.values()), 2) for rate, error in errors.items()}
        print(f"{steps:>5,} steps, k = {k}: error over that at the best rate, by rate: {above}")
        assert max(errors.values()) < 0.25
    lowest, highest = ([e[end(e)] / min(e.values()) for e in by_k.values()] for end in (min, max))
    assert highest[0] > highest[1] > highest[2]
    assert lowest[0] < min(lowest[1:])

# %% [markdown]
# **Is k = 1 unstable?** No run broke down. But in 7 and 5 of its 8 layers an expert died; with k = 2 and 4 none did. Of
# the three it bears the highest rate worst and the lowest best; k = 4 bears the highest best. (Over seeds its errors spread
# more; much of that is the task's: correlation .9 with those of k = 2.)
#
# **Is the second expert redundant?** Not in a trained layer, form B at its best rate: without it the error is 1.9 times
# as large at least. (Form A at its best rate: 3.2 times after 400 steps, next section, row `1`.) And k = 1 from the
# start is behind in every seed, at both lengths. But much of that is uneven load: `balanced`, it makes up half of the
# gap after 400 steps, and after 1,200 it cannot be told from k = 2 *without* that loss, at half the expert work. With
# the same loss k = 2 is ahead: by .014 in 8 of 8 seeds, and by .006, just clear of 0, in 7. From k = 2 to 4 the gain is
# clear after 400 steps and cannot be told after 1,200. What would change this: a rate or coefficient that we did not
# try at which k = 1 keeps all experts, or is not behind.
#
# ## Cooling down
#
# A popular recipe: begin with a high temperature, "to explore", and lower it step by step ("annealing"). We divide the
# logits by τ. `1 to 1/4` cools from 1 to 1/4; `1` and `1/4` are constants.
#
# **Predict.** Rate 0.005, 400 steps, five seeds: which has the lowest mean error, `1 to 1/4`, `1` or `1/4`?

# %% name="predict-schedule" tags=["predict"]
my_winner = ...  # "1 to 1/4", "1" or "1/4"

# %% name="run-schedules" tags=["5 s"]
results["1"] = results["k = 2, A"]
for name, tau in {"1 to 1/4": lambda done: 0.25**done, "1/4": lambda done: 0.25}.items():
    results[name] = regression_runs(2, "topk_softmax", SEEDS, steps=400, temperature=tau)

# %%
arms = ("1 to 1/4", "1", "1/4")
compare(my_winner, min(arms, key=lambda name: values(name, "error").mean()))
report(arms)
for arm in ("1 to 1/4", "1/4"):
    d = values(arm, "error") - values("1", "error")  # (seeds,)
    low, high = interval(d)
    print(
        f"{arm} − 1: {d.mean():+.4f}, 95 % from {low:+.4f} to {high:+.4f}; below 0 in {np.sum(d < 0)} of {len(d)} seeds"
    )
    assert (d < 0).sum() >= 4
    assert arm == "1/4" or 2 < -100 * d.mean() / values("1", "error").mean() < 3.5

# %% [markdown]
# Here cooling helps, by some 3 %, and a smaller constant helps more. In the file: four constants and four schedules, at both
# lengths. The two seeds choose each arm's rate; the eight others report.
#
# **Predict.** `1 to 1/4` and `1` once more after 400 steps, each at its own best rate, on the eight seeds: how much lower
# is the mean error of `1 to 1/4`, in per cent of that of `1`? (Below 0: it is higher.)

# %% name="predict-gain" tags=["predict"]
my_gain = ...  # per cent


# %%
def best_on_two(steps, moving):
    """The constant, or the schedule (`moving`), with the lowest error on the seeds that choose"""
    arms = [arm for arm in router_study.QUESTIONS["schedules"] if ("to" in arm) == moving]
    return min(arms, key=lambda arm: min(router_study.by_rate(study["trials"], "schedules", arm, steps).values()))


best_arms = {steps: [best_on_two(steps, moving) for moving in (False, True)] for steps in router_study.LENGTHS}
constant_1, cooled = (reported(study, "schedules", arm, 400) for arm in ("1", "1 to 1/4"))  # (seeds,) each
compare(my_gain, round(100 * (1 - cooled.mean() / constant_1.mean()), 1), "%", within=1)
print(router_study.table(study, "schedules", "1"))
print("the best constant and the best schedule, as the two seeds choose them, on the eight others:")
for steps, arms_of in best_arms.items():
    held, schedule = (reported(study, "schedules", arm, steps) for arm in arms_of)  # (seeds,) each
    low, high = interval(schedule - held)
    print(f"{steps:>5,} steps: `{arms_of[1]}` against `{arms_of[0]}`: gain {100 * (1 - schedule.mean() / held.mean()):+.1f} %, "
          f"error {(schedule - held).mean():+.4f}, 95 % from {low:+.4f} to {high:+.4f}")  # fmt: skip
    assert low < 0 < high if steps == 400 else low > 0
    by_arm = {arm: reported(study, "schedules", arm, steps).mean() for arm in router_study.QUESTIONS["schedules"]}
    assert min(e for arm, e in by_arm.items() if "to" in arm) > 0.99 * min(
        e for arm, e in by_arm.items() if "to" not in arm
    )
    one, quarter, cooling = (reported(study, "schedules", arm, steps) for arm in ("1", "1/4", "1 to 1/4"))  # (seeds,)
    for d in (quarter - one, cooling - one, cooling - quarter):
        assert interval(d)[0] < 0 < interval(d)[1]
    for arm in ("1/16", "1"):
        alone, both = (reported(study, "schedules", arm, steps, what) for what in ("alone", "error"))  # (seeds,) each
        assert arm == "1/16" or steps == 1200 or round(alone.mean() / both.mean(), 1) == 3.2
        assert (alone.mean() < 1.02 * both.mean()) == (arm == "1/16")

for steps in router_study.LENGTHS:
    less = reported(study, "schedules", "1 to 1/4", steps) - reported(study, "schedules", "1/4", steps)  # (seeds,)
    low, high = interval(less)
    print(f"{steps:>5,} steps: `1 to 1/4` less `1/4` {less.mean():+.4f}, 95 % from {low:+.4f} to {high:+.4f}")

# %% [markdown]
# > **Myth: "a router needs its temperature annealed."** Right is: *here*, on eight fresh seeds, the gain is gone once
# > each arm has its own rate. τ = 1, τ = 1/4 and cooling between them cannot be told apart, at either length. What
# > looked like a gain was a rate too low for τ = 1: a constant 1/4 is a $W_g$ four times as large that Adam moves four
# > times as fast (lesson 03). Nor did the chosen schedule beat the chosen constant: not told apart after 400 steps,
# > behind after 1,200 (there it is a *warming* one). What would change this: a schedule ahead of *every* constant, each
# > at its own rate, on fresh seeds, at both lengths. Nor is it "exploration": for a given $W_g$, without noise or a
# > bias, τ never changes who is selected.
#
# The last column: the smaller a constant τ, the less the second expert does. At 1/16 the first alone does as well as
# both: "redundant" is a question of τ.
#
# ## Recap
#
# 1. On labels a linear router comes within two points of the best rule, when the means are equally long. A lead is a
#    sum of terms $x_a (W_{ai} - W_{aj})$, for and against; at spread 1 a fifth to a quarter of the tokens hang on one, in axes
#    along the means most.
# 2. It learns any naming we choose, without experts: linear borders, not emergence, and nothing about balance.
# 3. End to end, information between cluster and expert rose far above null *and* untrained router in 32 dimensions, less
#    with one map for all; in the plane by less than .2, or it fell.
# 4. k = 1 renormalised leaves its router where it was. k = 1 in form B loses experts, and bears high rates worst; balanced,
#    it closed half of the gap to k = 2 or more. k = 2 needs its second expert at τ = 1, and does not at τ = 1/16.
# 5. At their own best rates no schedule beat the chosen constant, at either length. A trick gets a fair test when every
#    arm has its own rate, at two lengths, on seeds that chose nothing.
#
# Of the six sentences (2) is true. (4) is false of this toy. (5) depends on τ. The others are false, as they stand.
#
# **What this lesson cannot tell you:** what routers in language models learn (lesson 11). Our clusters were planted and
# equally large.
#
# ## Quiz
#
# {{quiz}}
#
# ## Next
#
# - Exercises: [](exercises:08).
# - The code you used: [](module:training), [](module:experiments/router_training) and
#   [](module:experiments/router_study).
# - Lesson 09: keeping experts alive.

# %% [markdown] name="deeper-sure" tags=["deeper"]
# ## Deeper: too easy, too sure
#
# Labels once more, for 3,000 steps, with overlapping clouds (spread 1) and separated ones (1/3), and with a z-loss of
# three sizes beside the cross-entropy. The gap is the best logit
# minus the second. "Right" is the mean entropy of the probabilities that the true means give.

# %% name="run-z" tags=["7 s", "deeper"]
coefficients = (0.0, 0.001, 0.01)
long = label_runs([Setting(noise_std=s, z_loss_coef=c, seed=seed)
                   for s in (1.0, 1 / 3) for c in coefficients for seed in range(3)],
                  steps=3000, measure_at=(1000, 2000))  # fmt: skip


def of(spread, coefficient, name):
    """(seeds, measurements): step 1,000, 2,000 and 3,000"""
    return np.array([getattr(run, name) for run in long
                     if (run.setting.noise_std, run.setting.z_loss_coef) == (spread, coefficient)])  # fmt: skip


print("spread  z-coef   gap at 1,000, 2,000, 3,000   cross-entropy   accuracy   entropy (right)")
for spread in (1.0, 1 / 3):
    for c in coefficients:
        gap, right = of(spread, c, "gap").mean(axis=0), of(spread, c, "best_entropy").mean()
        loss, accuracy, entropy = (of(spread, c, name)[:, -1].mean() for name in ("loss", "accuracy", "entropy"))
        print(f"{spread:>6.2f}  {c:<6}   " + "".join(f"{g:>6.2f}" for g in gap)
              + f"{loss:>20.4f}{accuracy:>12.3f}{entropy:>10.3f} ({right:.3f})")  # fmt: skip
growth = {(s, c): of(s, c, "gap")[:, 2] / of(s, c, "gap")[:, 0] - 1 for s in (1.0, 1 / 3) for c in coefficients}
assert (growth[1 / 3, 0.0] > 0.2).all()
assert max(growth[1.0, 0.0].max(), growth[1 / 3, 0.01].max()) < 0.1
assert (of(1 / 3, 0.0, "loss")[:, -1] < 0.001).all()
assert np.abs(of(1.0, 0.0, "entropy")[:, -1] - of(1.0, 0.0, "best_entropy")).max() < 0.02
assert (of(1.0, 0.01, "entropy")[:, -1] - of(1.0, 0.01, "best_entropy")).min() > 0.1
assert (of(1.0, 0.01, "loss")[:, -1] > of(1.0, 0.0, "loss")[:, -1] + 0.01).all()

# %% [markdown] name="deeper-sure-read" tags=["deeper"]
# Separated clouds: a larger $W_g$ always lowers the loss a little more, so the logits run away, slower and slower.
# Overlapping clouds stop that by themselves, since being sure *and wrong* is expensive: the entropy ends near the right
# one. A z-loss of 0.01 stops the run-away, and makes the honest router less sure than it should be, in every seed.
#
# ## Deeper: does form B cost anything?
#
# From the file, k = 2, eight fresh seeds: behind a *frozen* router at fixed rates, with a trained one at the best rates.

# %% name="run-forms" tags=["deeper"]
pairs = {}
for steps, rates in router_study.FROZEN_RATES.items():
    for rate in rates:
        A, B = (router_study.at_rate(study, "frozen", arm, steps, rate) for arm in "AB")  # (seeds,) each
        pairs[f"frozen, {steps:,} steps, rate {rate:g} (A {A.mean():.4f})"] = B - A
for steps in router_study.LENGTHS:
    B, A = reported(study, "active", "k = 2, B", steps), reported(study, "schedules", "1", steps)  # (seeds,) each
    pairs[f"trained, {steps:,} steps"] = B - A
for name, d in pairs.items():
    low, high = interval(d)
    print(f"B − A, {name}: {d.mean():+.4f}, 95 % from {low:+.4f} to {high:+.4f}; larger in {(d > 0).sum()} of {len(d)} seeds")  # fmt: skip
for name, d in pairs.items():
    assert "0.005" not in name or (d > 0).all()
    assert "0.04" not in name or interval(d)[1] < (0 if "400" in name else 0.001)
    assert "trained" not in name or interval(d)[0] < 0 < interval(d)[1]

# %% [markdown] name="deeper-zero" tags=["deeper"]
# Behind a frozen router, at the rate 0.005, form B is behind in every seed. At 0.04, where both are better, it is ahead by
# .002 after 400 steps, and after 1,200 not behind. What looked like a cost was a rate too low for smaller outputs. With a
# trained router both intervals hold 0, most of them above: a small cost cannot be ruled out.
#
# ## Deeper: a router that starts at zero
#
# With labels, $W_g = 0$ is a fine start: labels reach every logit. End to end all logits tie, and the lower index wins: E1
# (and E2, if k = 2) gets every token. With k = 2 the layer gets out of it in either form, with k = 1 in form B in 400 steps
# only partly.

# %% name="deeper-zero-cell" tags=["deeper"]
for name, layer_of in {
    "k = 2, A": layers["k = 2, A"],
    "k = 2, B": (2, "softmax_topk"),
    "k = 1, B": layers["k = 1, B"],
}.items():
    zero = regression_runs(*layer_of, range(3), steps=400, router_scale=0.0)
    dead = [len(metrics.dead_experts(run.load)) for run in zero]
    print(f"{name}: load of the fullest expert at the start {zero[0].load_before.max():.2f}, dead at the end {dead}, "
          f"error {np.round([run.error for run in zero], 3)}")  # fmt: skip
    if name in results:
        usual = [len(metrics.dead_experts(run.load)) for run in results[name][:3]]
        print(f"    from the usual start: dead {usual}, error {values(name, 'error')[:3].round(3)}")
    assert sum(dead) > sum(usual) if name == "k = 1, B" else sum(dead) == 0

# %% [markdown] name="deeper-factor" tags=["deeper"]
# ## Deeper: a constant factor on the output
#
# Experts can absorb a constant factor on the layer's output, in principle (lesson 04). k = 2, form B, from the file: with
# factors 1/16 and 16, from the same weights, and with the last matrices divided by the factor, so from the same outputs.
# Rates are four-fold apart, and no best one is at an end.

# %% name="deeper-factor-cell" tags=["deeper"]
print(router_study.table(study, "factor", "1"))
for arm in router_study.QUESTIONS["factor"]:
    for steps in router_study.LENGTHS:
        errors = router_study.by_rate(study["trials"], "factor", arm, steps)
        print(f"{arm}, {steps:,} steps: by rate " + ", ".join(f"{rate:g}: {e:.3f}" for rate, e in errors.items()))
for steps in router_study.LENGTHS:
    base = reported(study, "factor", "1", steps)  # (seeds,)
    cost = {arm: interval(reported(study, "factor", arm, steps) - base) for arm in router_study.QUESTIONS["factor"]}
    assert cost["16, same weights"][0] > 0.02
    assert cost["1/16, same weights"][0] < 0 < cost["1/16, same weights"][1]
    assert min(cost["1/16, same outputs"][0], cost["16, same outputs"][0]) > 0

# %% [markdown] name="deeper-factor-read" tags=["deeper"]
# The best rate moves: up for 1/16, and down for 16 from the same outputs. So a factor is a starting size and a step size.
# At their best rates 16 from the same weights costs most, at both lengths: its outputs begin far too large. 1/16 from the
# same weights cannot be told from 1. From the same outputs both factors cost, less so after 1,200 steps.
