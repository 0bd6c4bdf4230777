# %% [markdown]
# # 10b · Balancing without a loss
#
# **Can a router be balanced without a loss that pulls at it?** A balance loss pulls away from what the task wants.
# DeepSeek-V3 and many models after it put the balance into a number beside each score.
#
# You will be able to
#
# 1. write the bias update, and keep the bias out of the weights;
# 2. recognise a step that is too small or too large, and say what a tanh and a quantile do about it;
# 3. read a table whose coefficients were chosen on other seeds;
# 4. write one step of DeepSeek-V3's recipe as it was trained;
# 5. choose the tokens over which balance is asked for, and weigh what was published about it.
#
# **Before:** [](lesson:10). **Time:** {{minutes}}.
#
# Which of these do you believe? (1) The bias changes no expert's score. (2) A larger step balances
# faster, and at the end as well. (3) A balanced average means balanced layers. (4) DeepSeek-V3 has no balance loss.

# %% name="setup" tags=["setup"]
from functools import partial

import numpy as np
import torch

from moe_lessons.balancing import BiasBalancer, quantile_bias, sign_step, tanh_step
from moe_lessons.checks import compare, reveal
from moe_lessons.experiments import balancing_runs, bias_study, scope_runs
from moe_lessons.experiments.studies import interval
from moe_lessons.figures.balancing import balancing_svg, idle_strength
from moe_lessons.figures.spread import spread_svg
from moe_lessons.figures.still import Picture
from moe_lessons.layer import top_k_indices
from moe_lessons.losses import load_balancing_loss
from moe_lessons.metrics import expert_load, max_violation
from moe_lessons.support.progress import tqdm
from moe_lessons.widgets.live import Live, choice, slider

# %% [markdown]
# ## One number beside each score
#
# Each expert gets a bias $b_i$, added **for the selection only** (Wang et al. 2024, arXiv:2408.15664):
#
# $$S = \text{the } k \text{ largest of } s_i + b_i, \qquad w_i \text{ from } s_i \text{ alone}, \qquad
# b_i \leftarrow b_i + u \cdot \mathrm{sign}(\text{mean load} - \text{load}_i)$$
#
# The scores $s$ are sigmoids of the logits, or probabilities. After each step, whoever had too little is raised,
# whoever had too much is lowered, and at the mean nothing moves. No loss, no gradient.
#
# **Predict.** A token has the scores .60, .45, .30 and .20; u = 0.1, k = 1. The loads of the batch are 6, 1, 1, 0, and
# suppose that every batch has these loads again. After how many updates does E4, which gets nothing, win this token: a
# whole number, or `never`?

# %% name="predict-sign" tags=["predict"]
my_updates_until_E4 = ...  # a whole number, or "never"

# %%
balancer, scores = BiasBalancer(4, u=0.1), torch.tensor([[0.60, 0.45, 0.30, 0.20]])  # scores (T, N)
winners, rows = [], []
for _ in range(100):
    balancer.update([6, 1, 1, 0])
    chosen = balancer.select(scores, 1)  # (T, k)
    winners.append(chosen.item())
    weights = scores.gather(-1, chosen).item(), (scores + balancer.bias).gather(-1, chosen).item()
    rows.append(f"bias {balancer.bias.numpy().round(1)}: E{chosen.item() + 1} wins, its weight {weights[0]:.2f}, "
                f"with the bias in it {weights[1]:.2f}")  # fmt: skip
compare(my_updates_until_E4, winners.index(3) + 1 if 3 in winners else "never")
for step in (1, 2, 3, 100):
    print(f"update {step:>3}: {rows[step - 1]}")
assert set(winners) == {1}

# %% [markdown]
# Never: only the sign counts. E2, one token short of the mean, rises as fast as E4, which has none, and stays ahead. From the first update on the token goes to E2, and is weighed with E2's own
# score, .45. Adding the bias to the weight as well is a known mistake: the output would then change with the *load*, even where the
# selection stays.
#
# ## How large a step?
#
# First without any learning: 16 experts, k = 2, sigmoid scores that favour some experts, 512 fresh tokens at every
# step. The null is dice.
#
# **Predict.** Before the first update MaxVio is about 1.8; dice have about 0.2. Now u = 0.1, a hundred times the paper's 0.001.
# What is MaxVio in the last 100 of 300 steps, on average?

# %% name="predict-large" tags=["predict"]
my_violation_of_a_large_step = ...  # a number


# %%
def balance(update, seed, steps=300, T=512, N=16, k=2):
    """MaxVio at every step (steps,) of a fixed skewed router, and its last loads; update(bias, scores, load) -> bias"""
    rng, bias, loads = torch.Generator().manual_seed(seed), torch.zeros(N), []
    skew = 0.5 * torch.randn(N, generator=rng)  # (N,)
    for _ in range(steps):
        scores = torch.sigmoid(skew + torch.randn(T, N, generator=rng))  # (T, N)
        selected = top_k_indices(scores + bias, k)  # (T, k)
        loads.append(torch.bincount(selected.flatten(), minlength=N).float())  # (N,)
        bias = update(bias, scores, loads[-1])
    return max_violation(torch.stack(loads).numpy()), torch.stack(loads[-6:]).int()


def by_sign(u):
    return lambda bias, scores, load: bias + sign_step(load, u)


steps_of_u = {u: [balance(by_sign(u), seed) for seed in range(3)] for u in (1e-4, 1e-3, 1e-2, 1e-1)}
late = {u: np.mean([curve[-100:] for curve, _ in runs], axis=1) for u, runs in steps_of_u.items()}  # (seeds,) each
compare(my_violation_of_a_large_step, late[0.1].mean(), within=0.3)
throws = [np.random.default_rng(seed).random((512, 16)).argsort(axis=1)[:, :2] for seed in range(200)]  # (T, k) each
dice = np.mean([max_violation(expert_load(throw, 16)) for throw in throws])
print(f"dice: MaxVio {dice:.2f}\n     u   step 0   step 50   mean of the last 100, by seed")
for u, runs in steps_of_u.items():
    first, later = (np.mean([curve[step] for curve, _ in runs]) for step in (0, 50))
    print(f"{u:>6g} {first:>8.2f} {later:>9.2f}   {np.array([curve[-100:].mean() for curve, _ in runs]).round(2)}")
print("u = 0.1: tokens of E1 in the last six steps:", steps_of_u[0.1][0][1][:, 0].tolist(), "at balance: 64")
assert (late[1e-4] > 2 * late[1e-3]).all()
assert (late[1e-1] > 2 * late[1e-2]).all()
assert max(late[1e-3].max(), late[1e-2].max()) < 1.5 * dice
assert abs(np.mean([curve[0] for curve, _ in steps_of_u[0.1]]) - 1.8) < 0.05
assert round(dice, 1) == 0.2
assert 0.4 < late[0.1].mean() / 1.8 < 0.6

# %% [markdown]
# Too small: after 300 steps it is still on its way. Too large: half of the unevenness is left, since every step overshoots,
# and the load swings to and fro (last line). The two values between them come down to about what dice do. The right $u$
# depends on the scores, on the skew, and on how long you train; 0.001 is the value of the paper, for sigmoid scores.
#
# ## A step that knows how far
#
# Near balance a sign still takes a whole step. Two newer updates do not:
#
# - **tanh with momentum** (SMEBU of Arcee Trinity Large, Singh et al. 2026, arXiv:2602.17004). With
#   $v_i = (\text{mean load} - \text{load}_i) / \text{mean load}$ let $g_i = u \tanh(2 v_i)$, less its mean over the
#   experts. The step is $m_i \leftarrow (m_i + g_i) / 2$, and $b_i \leftarrow b_i + m_i$.
# - **Quantile balancing** (Su 2026, kexue.fm/archives/11619; Kimi K3, 2026) has no step size. Each token selects the k
#   largest $s + b$. The next one, the (k + 1)-th, is its **bar**. Expert i gets token t if $s_{ti} + b_i$ is above the bar,
#   so it *needs* a bias above $\text{bar}_t - s_{ti}$. Say it needs −.2, .1 and .3 for three tokens, and its quota
#   $k/N = 1/3$ is one of them. Any bias between −.2 and .1 gets it just the first; the 1/3 quantile of its needs, here 0, is
#   one. So the new bias is the $k/N$ quantile of the needs in the batch.
#
# **Predict.** After how many updates by quantiles is MaxVio first below 1.5 times that
# of dice? (By the sign, with u = 0.001, it takes about a hundred.)

# %% name="predict-quantile" tags=["predict"]
my_updates = ...  # a whole number


# %%
def by_tanh(u):
    momentum = torch.zeros(16)  # (N,)

    def update(bias, scores, load):
        momentum.copy_(tanh_step(load, momentum, u))
        return bias + momentum

    return update


def by_quantile():
    return lambda bias, scores, load: quantile_bias(scores, bias, k=2)


RULES = {"sign, u = 0.001": partial(by_sign, 0.001), "sign, u = 0.1": partial(by_sign, 0.1)}
RULES |= {f"tanh, u = {u:g}": partial(by_tanh, u) for u in (0.001, 0.1, 0.3, 1.0)} | {"quantile": by_quantile}
curves = {name: np.stack([balance(rule(), seed)[0] for seed in range(3)]) for name, rule in RULES.items()}
first = {name: [int(np.argmax(c < 1.5 * dice)) if (c < 1.5 * dice).any() else None for c in curve]
         for name, curve in curves.items()}  # fmt: skip
compare(my_updates, np.median(first["quantile"]), within=2)
for name, curve in curves.items():
    print(
        f"{name:<16} updates until 1.5 × dice, by seed: {first[name]!s:<20} last 100: {curve[:, -100:].mean(1).round(2)}"
    )
assert (min(first["quantile"]), max(first["quantile"])) == (1, 3)
assert torch.tensor([-0.2, 0.1, 0.3]).quantile(1 / 3).abs() < 1e-6
assert (curves["quantile"][:, -100:].mean(1) < 1.5 * dice).all()
ends = {name: curve[:, -100:].mean(1) for name, curve in curves.items()}  # (seeds,) each
assert (ends["tanh, u = 0.1"] < 0.5 * ends["sign, u = 0.1"]).all()
assert (ends["tanh, u = 0.3"] > 2.5 * dice).all()
assert (ends["tanh, u = 1"] > 1.8).all()

# %% [markdown]
# The tanh with the same $u$ is as slow as the sign far from balance. With u = 0.1 it hardly swings where the sign does; from
# 0.3 on it swings, too, and with u = 1 it ends worse than it began. The quantile is there after one to three batches.
# What it pays: it hangs on one batch (it is redone from each), and it needs all scores of the batch, from all devices, not
# only the counts (Kimi K3 collects histograms).
#
# ## When the router learns, too
#
# Lesson 09's task again, at its rate 0.005: probabilities as scores, k = 1, a fair start and one in which E1 and E2 are ahead. A coefficient
# that is chosen on the seeds on which it is shown looks better than it is. So for each method, start and length, five
# seeds chose it, by the lowest mean error. The table holds twelve *other* seeds
# (`python -m moe_lessons.experiments.bias_study`).
#
# **Predict.** The bias (sign) with the paper's u = 0.001, from the *uneven* start. In how many of 12 seeds is its task error
# below that of no balancing at all, after 300 steps, and after 1,200?

# %% name="predict-table" tags=["predict"]
my_wins_of_a_small_step = ..., ...  # 0 to 12 each: after 300 steps, after 1,200

# %%
study = bias_study.load_results()
error = partial(bias_study.values, study, "error")
small = [(error("uneven", steps, "bias", 0.001) < error("uneven", steps, "none")).sum() for steps in (300, 1200)]
compare(my_wins_of_a_small_step, small, within=2)
for measure, name in (("error", "task error"), ("max_violation", "MaxVio")):
    print(f"{name}: mean ± standard deviation; coefficient; in how many of 12 seeds below no balancing")
    print(bias_study.table(study, measure), end="\n\n")
gap = {name: interval(error("fair", 300, name) - error("fair", 300, "none")) for name in bias_study.GRIDS}
print("fair, 300 steps, error less no balancing, 95 %:", {of: np.round(d, 3).tolist() for of, d in gap.items()})
at_end = bias_study.at_ends(study)
print(f"chosen at an end of what was tried: {len(at_end)} of 16", *at_end, sep="\n  ")
assert small == [3, 12]
assert [name for name in gap if not gap[name][0] < 0 < gap[name][1]] == ["bias"]
assert len(at_end) == 7
assert sum("memory 0.9" in end for end in at_end) == 4
orders = [sorted(bias_study.GRIDS, key=lambda name: error("uneven", length, name).mean()) for length in (300, 1200)]
assert orders[0] != orders[1]
below = {(start, length, name): int((error(start, length, name) < error(start, length, "none")).sum())
         for start in bias_study.STARTS for length in (300, 1200) for name in bias_study.GRIDS}  # fmt: skip
assert {below["uneven", length, name] for length in (300, 1200) for name in bias_study.GRIDS} == {12}
assert all(6 <= below["fair", 300, name] <= 8 and below["fair", 1200, name] >= 10 for name in bias_study.GRIDS)

# %% [markdown]
# From the uneven start every method is better than none in all 12 seeds, at both lengths; from the fair start in 10 to 12
# after 1,200 steps, and in 6 to 8 after 300, which tells little: only the bias's interval is clear of 0.
#
# Which method is best, the tables do not say: the order changes. And 7 of the 16 coefficients lie at an end of what was tried
# (the memory always), so further out some methods may do better still. And your small step? The same with one coefficient
# throughout, chosen or not:


# %% name="picture-others"
def errors_of(methods, starts=tuple(bias_study.STARTS)):
    """The task errors of these methods, seed by seed, with mean, coefficient and wins in numbers"""
    rows = bias_study.by_row(study, "error", methods, starts)
    heads = "mean ± standard deviation; coefficient; in how many of 12 seeds below no balancing\n"
    numbers = heads + bias_study.table(study, "error", methods, starts)
    return Picture(spread_svg(rows, ["300 steps", "1,200 steps"], "task error"), numbers)


errors_of([("bias", 0.001), ("bias", 0.1), ("tanh", 0.1), ("quantile", 0.0), ("switch", 0.1)])

# %%
tanh, sign, batches, memory = ("tanh", 0.1), ("bias", 0.1), ("quantile", 0.0), ("quantile", 0.9)
print("in how many of 12 seeds the first has the lower error, after 300 and after 1,200 steps:")
for arm, rival in ((tanh, sign), (memory, batches), (("bias", None), ("switch", None))):
    for start in bias_study.STARTS:
        wins = [int((error(start, n, *arm) < error(start, n, *rival)).sum()) for n in (300, 1200)]
        names = " against ".join(f"{name} {'as chosen' if value is None else value}" for name, value in (arm, rival))
        print(f"{names:<40} {start:<8} {wins}")
mean = {(start, steps, of): error(start, steps, *of).mean() for start in bias_study.STARTS for steps in (300, 1200)
        for of in (("none",), ("bias",), ("bias", 0.1))}  # fmt: skip
assert all(mean["fair", steps, ("bias", 0.1)] > mean["fair", steps, ("none",)] for steps in (300, 1200))
assert (error("fair", 300, "bias", 0.1) > error("fair", 300, "none")).sum() == 11
for steps in (300, 1200):
    lost, gained = (mean["uneven", steps, of] - mean["uneven", steps, ("bias",)] for of in (("bias", 0.1), ("none",)))
    assert 0.5 * gained < lost < gained
assert (error("fair", 1200, "bias") < error("fair", 1200, "switch")).sum() == 11
assert abs(error("fair", 1200, "bias").mean() - error("fair", 1200, "switch", 0.1).mean()) < 0.001
for start in bias_study.STARTS:
    for length in (300, 1200):
        assert (error(start, length, "tanh", 0.1) < error(start, length, "bias", 0.1)).sum() >= 11
        assert (error(start, length, "quantile", 0.9) < error(start, length, "quantile", 0.0)).sum() >= 9
    assert (error(start, 300, "bias", 0.001) > error(start, 300, "none")).sum() == 9
    assert (error(start, 1200, "bias", 0.001) < error(start, 1200, "none")).sum() >= 10

# %% [markdown]
# u = 0.001 comes too late: from either start it is worse than no balancing in 9 of 12 seeds after 300 steps, and better in 10
# to 12 after 1,200. With u = 0.1 the sign swings. From the uneven start it loses more than half of what the chosen step gains.
# From the fair one it is worse than no balancing in 11 of 12 seeds after 300 steps, and after 1,200 no gain is left on average.
# The tanh with the same u is better than the sign in 11 or 12, at both starts and lengths. The quantile of each batch alone
# (memory 0) is noisy here, with 256 tokens a batch; keeping nine tenths of the old bias (memory 0.9, above) is better in 9 to
# 12.
#
# Beware of a single line. From the fair start, after 1,200 steps, the bias beats the Switch loss in 11 of 12 seeds. But five
# seeds chose α = 0.03 for that loss, and with α = 0.1 (last row) it has the bias's error. The choice of a coefficient moved
# it as much as the choice of a method.
#
# What is balance good for from a fair start, after 300 steps? Thirty further seeds:

# %%
print("fair start, 300 steps: mean ± standard deviation; in how many of 30 further seeds below no balancing")
print(bias_study.further_table(study, "fair"))
further = partial(bias_study.values, study, start="fair", length=300, part="further")
thirty = {name: further(measure="error", method=name) for name in ("none", "switch", "bias")}  # (seeds,) each
gain = {name: 1 - thirty[name].mean() / thirty["none"].mean() for name in ("switch", "bias")}
assert [(thirty[name] < thirty["none"]).sum() for name in ("bias", "switch")] == [24, 19]
assert [round(100 * gain[name]) for name in ("bias", "switch")] == [12, 8]
assert round(further(measure="dead", method="none").mean(), 1) == 1.3

# %% [markdown]
# The bias is below none in 24 of them, the Switch loss in 19, by 12 % and 8 % on average. So balance gains beyond undoing a
# head start, *in this task*: its 16 clusters are equally frequent, and an even load is what they need. In the next table
# they are not: the second comes half as often as the first, the third a third as often, and so on.

# %% name="picture-unequal"
tried = [("switch", None), ("switch", 0.01), ("bias", None), ("bias", 0.003)]
errors_of(tried, [bias_study.UNEQUAL])

# %%
print("MaxVio:\n" + bias_study.table(study, "max_violation", tried, starts=[bias_study.UNEQUAL]))
print("how far the mean error is above no balancing, with 95 % intervals, after 300 and after 1,200 steps:")
for name, value in tried:
    above = [
        error("unequal", steps, name, value) - error("unequal", steps, "none") for steps in (300, 1200)
    ]  # (seeds,) each
    print(f"{bias_study.METHODS[name].label:<12}{value or 'as chosen':<10}", *(
        f"{d.mean():+.4f} [{interval(d)[0]:+.4f}, {interval(d)[1]:+.4f}]  " for d in above))  # fmt: skip

rare = {(name, value, steps): error("unequal", steps, name, value) - error("unequal", steps, "none")
        for name, value in tried for steps in (300, 1200)}  # (seeds,) each  # fmt: skip
assert [(d < 0).sum() for d in rare.values()] == [2, 4, 7, 6, 1, 2, 1, 3]
costs = {case for case, d in rare.items() if interval(d)[0] > 0}
assert costs == {("bias", None, 300), ("bias", 0.003, 300), ("bias", 0.003, 1200)}
assert all(interval(d)[1] > 0 for d in rare.values())
assert interval(rare["bias", None, 1200])[0] > -0.0005
shares = [rare["bias", None, n].mean() / error("unequal", n, "none").mean() for n in (300, 1200)]
assert np.round(shares, 2).tolist() == [0.21, 0.1]
uneven = partial(bias_study.values, study, "max_violation", "unequal")
rare_load = [uneven(n, "bias", u).mean().round(2) for u in (None, 0.003) for n in (300, 1200)]
assert rare_load == [0.15, 0.2, 0.23, 0.11]
loose = [uneven(n, *of).mean().round(2) for of in (("switch", 0.01), ("none",)) for n in (300, 1200)]
assert loose == [1.69, 0.79, 1.96, 1.81]

# %% [markdown]
# Now the gain is gone. The bias of the tables above makes the loads even (MaxVio 0.15 and 0.2), but its error is below none in 1
# of 12 seeds after 300 steps and in 2 after 1,200, on average 21 % and 10 % above it (the second interval just holds 0; those of
# the Switch loss hold it). The coefficients were chosen where all clusters come alike. Weaker ones: with α = 0.01 the Switch
# loss costs nothing that shows, and evens out less (MaxVio 1.69 and 0.79; without 1.96 and 1.81). A bias with
# u = 0.003 evens out all the same (0.23 and 0.11), and costs as much.

# %% [markdown]
# **Question for the picture:** a short run of your own, from the uneven start. Choose `bias, sign` and go through its
# three strengths: how does the slow one differ from the right one, and what is wrong with the last? Then tanh with the same
# steps, and the quantile. (35 layers, some 13 seconds.)

# %% name="run-bias" tags=["13 s"]
methods, results = bias_study.METHODS, {}
for name, tried in tqdm(
    (("none", (0.0,)), ("bias", (0.001, 0.01, 0.1)), ("tanh", (0.01, 0.1)), ("quantile", (0.0,))), desc="bias"
):
    results |= balancing_runs.run(name, coefficients=tried, methods=methods)

# %% name="picture-balancing"
Live(
    partial(balancing_svg, results),
    idle=partial(idle_strength, results),
    play="step",
    method=choice("method", {result.label: name for (name, _), result in results.items()}, "bias"),
    strength=slider("coefficient, smallest first", 2, 1, 3, 1),
    step=slider("training step", 300, 0, 300, 15),
)

# %% [markdown]
# You should see bands that even out early with u = 0.01. With u = 0.001 they keep moving until the end: tokens change
# experts all the time, and in these five seeds the error turns upwards on the way. With the sign and u = 0.1 the bands are saw-teeth, with
# the tanh they are not.
#
# ## The recipe of DeepSeek-V3, as trained
#
# > **Myth: "DeepSeek-V3 is balanced without a loss."** Right is: by the bias, *and* a small loss. The report
# > (arXiv:2412.19437) has five parts: sigmoid scores; the bias, in the selection; weights divided by their sum over S,
# > times 2.5; a balance loss within each sequence, with α = 0.0001, against extreme cases in a single text; and u =
# > 0.001 for 14.3 of 14.8 trillion tokens, then **0**: in the last part the bias is frozen.
#
# One step of it, in code:


# %%
def v3_step(h, bias, k, u=0.001, scale=2.5, alpha=1e-4):
    """h (T, N), one sequence; bias (N,) -> selected (T, k), weights (T, k), the loss, the next bias"""
    s = torch.sigmoid(h)  # (T, N)
    selected = top_k_indices(s + bias, k)  # (T, k)
    kept = s.gather(-1, selected)  # (T, k), without the bias
    load = torch.bincount(selected.flatten(), minlength=len(bias)).float()  # (N,)
    P = (s / s.sum(dim=-1, keepdim=True)).mean(dim=0)  # (N,): sigmoids do not sum to 1
    loss = alpha * len(bias) * (load / load.sum() * P).sum()
    return selected, scale * kept / kept.sum(dim=-1, keepdim=True), loss, bias + sign_step(load, u)


h = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))  # (T, N)
selected, weights, loss, bias = v3_step(h, torch.zeros(16), k=4)
print("weights of the first token:", weights[0].numpy().round(2), "sum", round(weights[0].sum().item(), 3))
print(f"loss: {loss:.6f}")
print("the same bias for all selects as before:", torch.equal(selected, v3_step(h, torch.full((16,), 0.3), k=4)[0]))
biased = v3_step(h, 0.1 * torch.randn(16, generator=torch.Generator().manual_seed(1)), k=4)
spread = [torch.zeros(64, 16).scatter(1, *pair) for pair in ((selected, weights), biased[:2])]  # (T, N) each
shift = (spread[1] - spread[0]).abs()[(spread[0] > 0) & (spread[1] > 0)]  # (kept,): selected with and without the bias
print(f"with a bias for each: {len(shift)} of {selected.numel()} stay selected; of these {int((shift > 1e-6).sum())} "
      f"have another weight, by up to {shift.max():.2f}")  # fmt: skip
assert torch.allclose(weights.sum(dim=-1), torch.tensor(2.5))
assert (shift > 1e-6).float().mean() > 0.4

# %% [markdown]
# The bias is in no weight. Yet, where weights are divided by their sum over S, it moves those of the experts that stay: it
# changes who else is in the sum.
#
# The loss is about α at balance, next to a language loss of 2 or so: a fence far out, no steering. (A real step takes the load
# of the whole batch for the bias. V3 also limits each token to experts on four machines, and drops no token.)
#
# ## Balance over what?
#
# Loads are counted over *something*. First, over layers: some code joins the logits of all layers for one loss.
#
# **Predict.** Eight layers of eight experts, k = 1. Added up over the layers the loads are exactly even, and the pooled loss
# $N \sum f_i P_i$ is 1.00. How large can MaxVio be in *every one* of the layers at the same time?

# %% name="predict-pooled" tags=["predict"]
my_largest_violation = ...  # a number

# %%
rng = torch.Generator().manual_seed(0)
h = 10 * torch.eye(8)[:, None] + torch.randn(8, 512, 8, generator=rng)  # (layers, T, N): layer l sends all to E_l
pooled = load_balancing_loss(h, 1)  # of the rows of all layers
apart = [load_balancing_loss(layer, 1).item() for layer in h]  # (layers,)
violation = [float(max_violation(expert_load(top_k_indices(layer, 1).numpy(), 8))) for layer in h]  # (layers,)
compare(my_largest_violation, min(violation))
print(f"pooled loss {pooled:.2f}; by layer: loss {np.round(apart, 2)}, MaxVio {violation}")
assert abs(pooled - 1) < 0.01
assert min(apart) > 7.9
assert set(violation) == {7.0}

# %% [markdown]
# > **Myth: "a balanced pooled loss means balanced layers."** Here every layer has collapsed onto one expert, each onto
# > another. E1 of layer 1 and E1 of layer 2 have nothing in common but the number. Count in each layer.
#
# Second, over tokens. Large batches are worked off in **micro-batches**, often one or a few texts each. Suppose each
# text is about one thing. Here a layer learns a task (16 clusters, a text is 16 tokens of one cluster, 16 texts a batch) with a
# Switch loss, α = 0.1, counted over more or fewer texts.
#
# The table's columns: `bits of 3` is what a token's expert tells about its cluster, at most log₂ 8 = 3 bits; `MaxVio, all`
# counts all fresh tokens together, `in a cluster` those of one cluster, a mean over the clusters.
#
# **Predict.** The task error when the loss is counted in each text alone: how many times that of the whole batch is it? And
# counted in parts as small, but mixed from all texts? (30 layers, some 6 seconds.)

# %% name="predict-scope" tags=["predict"]
my_times_by_text = ...  # a number; 1: the same error
my_times_if_mixed = ...

# %% name="run-scope" tags=["7 s"]
scopes = scope_runs.run()
times = {name: scopes[name].error.mean() / scopes["batch"].error.mean() for name in ("text", "mixed")}
compare(my_times_by_text, times["text"], "times", within="30 %")
compare(my_times_if_mixed, times["mixed"], "times", within=0.1)
print(f"300 steps, five seeds\n{scope_runs.table(scopes)}")
later = scope_runs.load_results(1200)
print(f"\n1,200 steps, twelve other seeds\n{scope_runs.table(later)}")
print(
    "\nabove no loss, after 300 and after 1,200 steps: in how many of these twelve seeds, and by how much (95 % interval)"
)
above = {}
for name in ("batch", "batch_weak", "batch_weaker", "batch_once", "faint", "fainter"):
    pairs = [(shipped[name].error, shipped["none_once" if "once" in name else "none"].error) for shipped in
             (scope_runs.load_results(300), later)]  # (seeds,) each  # fmt: skip
    above[name] = [int((error > none).sum()) for error, none in pairs]
    by_much = [(error.mean() / none.mean() - 1, *interval(error - none)) for error, none in pairs]
    print(f"{scope_runs.ALL[name].label.strip() + ', once' * ('once' in name):<26}{above[name]!s:<12}"
          + "; ".join(f"{share:+4.0%} ({low:+.4f} to {high:+.4f})" for share, low, high in by_much))  # fmt: skip
assert above == {"batch": [11, 11], "batch_weak": [6, 7], "batch_weaker": [7, 2], "batch_once": [6, 2], "faint": [11, 9],
                 "fainter": [8, 4]}  # fmt: skip
weak = [later[name].max_violation.mean().round(2) for name in ("batch_weak", "batch_weaker", "none")]
assert weak == [0.41, 0.72, 1.0]
for shipped in (scope_runs.load_results(300), later):
    assert all(interval(shipped[name].error - shipped["none"].error)[0] < 0 for name in ("batch_weak", "batch_weaker"))
    assert all(interval(shipped[name].error - shipped["none"].error)[1] > 0 for name in ("batch_weak", "batch_weaker"))
assert [round(100 * (error.mean() / none.mean() - 1)) for error, none in pairs] == [0, 0]
assert -0.001 < interval(later["batch_once"].error - later["none_once"].error)[1] < 0
assert later["faint"].max_violation.mean() > later["none"].max_violation.mean()
for found in (scopes, later):
    left = {name: result.error.mean() for name, result in found.items()}
    assert left["text"] > max(2 * left["batch"], left["micro"])
    assert left["micro"] > 1.2 * left["batch"]
    assert abs(left["mixed"] - left["batch"]) < 0.01
    assert left["faint"] - left["none"] < 0.01
    assert found["text"].bits.max() < found["batch"].bits.min() / 2
    assert left["none"] < left["batch"]

# %% [markdown]
# Counted in each text, the error more than doubles, and the expert says less than half as much about the cluster. The
# expert that knows what a text is about would serve all of it; now *every text* is forced onto all experts. Four texts at a
# time lie between. The null says what does it: parts as small, mixed from all texts, lose nothing. So it is what a part
# consists of, not its size. A faint loss per text costs a little (α = 0.001: 2 % and 6 %), and evens out nothing. With V3's
# 0.0001 no difference could be seen.
#
# The whole batch with α = 0.1 is behind no loss at all, in 11 of 12 seeds at both lengths. In the study above the same loss
# gained. There a batch was 256 tokens of all clusters; here it is sixteen texts: some clusters come twice, others not at all, and
# the loss evens out that, too. The test: in the rows `once` each cluster comes just once in every batch. Then α = 0.1 costs
# nothing that shows after 300 steps (6 of 12 above), and after 1,200 it gains (2 of 12, the interval just clear of 0).
# Strength matters, too: α = 0.03 or 0.01 costs nothing that shows, and evens out less (MaxVio 0.41 and 0.72 after 1,200
# steps, without 1.00).
#
# Real texts are not of one cluster, so take the direction from here, not the amount.
#
# ## What was published
#
# DeepSeek-V3's report compared three methods (validation loss; no spread is given):
#
# | parameters | loss per sequence | bias, no loss | loss per batch |
# |---|---|---|---|
# | 1B | 2.258 | 2.253 | 2.253 |
# | 3B | 2.085 | 2.080 | 2.080 |
#
# With the same scope, loss and bias came out equal to three decimals. A bias is counted over the whole batch
# by construction, so part of its good name may be scope. Qiu et al. (2025, arXiv:2501.11873) count f over the global batch
# and report a lower perplexity and experts that follow domains more, up to 42.8 billion parameters; Qwen3, by the same
# team, does so. Against it stands one remark: ST-MoE (Zoph et al. 2022, arXiv:2202.08906, section 7.3) tried a
# global loss in its *multilingual* model, found it mostly worse, and left it as open work. That is not equal weight: the
# wide scope has two reports with comparisons, of two teams, and both teams use it in their models.
#
# ## Recap
#
# 1. $b_i \leftarrow b_i + u\,\mathrm{sign}(\text{mean load} - \text{load}_i)$, in the selection only; weights come from
#    the scores. Divided by their sum over S, they move with the company.
# 2. Too small a step arrives late, too large a one swings. A tanh steps less near balance; a quantile needs no step.
# 3. On seeds that chose nothing, balance gained, beyond undoing a head start, where the clusters are equally frequent. Where
#    they are not, with the same coefficients, it gained nothing, and after 300 steps the bias cost. The order of the
#    methods did not hold; that at u = 0.1 a tanh is better than the sign did.
# 4. V3: sigmoids, bias, divided by the sum and scaled, a loss of α = 0.0001 within the sequence, the bias frozen at the
#    end.
# 5. Count in each layer, and over many different texts: a loss within each text works against experts that know what the
#    text is about. Both published comparisons agree.
#
# Of the four sentences, (1) holds. (2) is right about the beginning alone; (3) and (4) do not hold.
#
# **What this lesson cannot tell you:** which method trains the better *large* model, and how unequal real topics may be before
# an even load costs. One small task in two forms, k = 1, scores that are probabilities.
#
# ## Quiz
#
# {{quiz}}
#
# ## Next
#
# - Exercises, shared with lesson 10: [](exercises:10).
# - The code you used: [](module:balancing), and the experiments in [](module:bias_study) and [](module:scope_runs).
# - Lesson 11: [trained specialisation](lesson:11).
