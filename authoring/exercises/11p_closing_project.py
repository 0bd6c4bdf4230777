# %% [markdown]
# # Exercises 11p · Closing project: what is wrong with this run?
#
# **Here is a training run with a fault. Which one, how do you know, and what now?**
#
# {{questions}}.
#
# Somebody trained a small model and left you two things: a **log** and a **checkpoint**. Its loss fell, its program ran to
# the end, no error was printed. One line of the program is wrong, and it is one of these five:
#
# | name | what is wrong |
# |---|---|
# | `"renormalised k = 1"` | the weight of the one selected expert is divided by the sum of what is kept: by itself |
# | `"pooled loss"` | one balance loss is computed from the tokens of all layers together |
# | `"noise left on"` | the logits get noise in evaluation, too |
# | `"frozen bias"` | after a few steps the bias that balances the loads is no longer changed |
# | `"mask lost"` | padding counts as tokens do, in the loads and in the losses |
#
# **Marks are given for each part by itself.** Who measures rightly has these marks, whatever the diagnosis.
#
# The model: tokens of width 8 in a residual stream, two sparse layers with six experts each, k = 1. The weight of the
# selected expert is its probability. In training the logits get noise. Sequences have 3 to 12 tokens, and padding behind
# them. At the start the routers lean, layer 2 against layer 1. A run is balanced in one of two ways, its **recipe**:
# `"loss"`, a balance loss in each layer, or `"bias"`, a bias in each layer that is added to the probabilities for the
# selection and moved after each step. It is not hidden which recipe a run has.

# %% name="setup" tags=["setup"]
import numpy as np
import torch

from moe_lessons.checks import check, progress
from moe_lessons.experiments.case_files import healthy_logs, open_log
from moe_lessons.experiments.faulty_runs import healthy_run, open_run
from moe_lessons.losses import load_balancing_loss
from moe_lessons.metrics import max_violation

# %% [markdown]
# **Your case.** There are 20, and each of the five faults is behind four of them. Your teacher says which one is yours.
# If you work alone, take a number that means something to you. Type it here, before you look at anything.

# %% name="your-case"
CASE = 1  # from 1 to 20

# %% [markdown]
# Every 20 steps the log has a **frame**: everything was measured once. A healthy run of the same length, with the same
# recipe and other random numbers, looks like this beside it. There are eight such runs for each recipe:
# `healthy_logs("loss")` and `healthy_logs("bias")` return eight logs each.

# %% name="look-at-the-log"
log = open_log(CASE)
sound = healthy_logs(log["balanced by"])[0]
print(f"case {CASE}, balanced by a {log['balanced by']}. What is in the log (20 frames after the first):")
for name, values in log.items():
    print(f"   {name:<15}", f"shape {values.shape}" if isinstance(values, np.ndarray) else repr(values))
print("step   test error: yours  a healthy one's")
for i in range(0, len(log["step"]), 5):
    print(f"{log['step'][i]:>4}{log['test error'][i]:>19.3f}{sound['test error'][i]:>17.3f}")

# %% [markdown]
# F is the number of frames, here 21; layers is 2, N is 6.
#
# | name | shape | what |
# |---|---|---|
# | `"real"` | (F,) | real tokens in the batch of that step |
# | `"counts"` | (F, layers, N) | the load of each expert, as the program counted it |
# | `"P"` | (F, layers, N) | mean probability of each expert |
# | `"entropy"` | (F, layers) | mean entropy of a token's probabilities, in nats |
# | `"balance"` | (F,) | the balance loss $N\sum_i f_i P_i$ that the program computed (under `"bias"`, too, but not trained with) |
# | `"bias"` | (F, layers, N) | the bias (under `"loss"` it stays 0) |
# | `"training error"` | (F,) | the error, with noise, as the mean over the steps since the last frame |
# | `"test error"` | (F,) | the error on tokens that are the same in every frame, in evaluation |
#
# ## 11p.1 What the log says of the loads
#
# {{about 11p.1}}
#
# Write a function that takes a log and returns three numbers. All are about the **last 10 frames**, of any log: other
# numbers of frames, layers and experts come up.
#
# 1. **MaxVio**: in each of these frames, in each layer; then the mean over all of them.
# 2. **pooled MaxVio**: in each of these frames, of the loads that come from adding up the layers, expert by expert; then
#    the mean.
# 3. **counted**: in each of these frames, in each layer, how many tokens were counted for each real one; then the mean.
#
# `max_violation` is yours to use. The arrays of a log are numpy's; `torch.as_tensor` makes tensors of them.
#
# {{hints 11p.1}}


# %% name="answer-11p-1"
def my_loads(log):
    """log, a dict -> MaxVio, pooled MaxVio, counted"""
    # BEGIN SOLUTION
    counts, real = log["counts"][-10:], log["real"][-10:]  # (10, layers, N), (10,)
    pooled = counts.sum(axis=1)  # (10, N)
    return max_violation(counts).mean(), max_violation(pooled).mean(), (counts.sum(axis=-1) / real[:, None]).mean()
    # END SOLUTION


# %%
check("11p.1", my_loads)

# %% [markdown]
# ## 11p.2 What else the log says
#
# {{about 11p.2}}
#
# Four more numbers of a log.
#
# 1. **entropy lost**: the entropy of the first frame, less that of the last 10 frames; each as the mean over frames and
#    layers.
# 2. **bias path**: how far a bias went in the last 10 steps *from frame to frame*. Going up by .01 and down by .01 is a
#    way of .02. The mean over experts and layers.
# 3. **gain**: by what share the test error is lower than the training error: 1 − test/training, each as its mean over the
#    last 10 frames.
# 4. **hidden loss**: in each of the last 10 frames, the mean over the layers of their *own* $N\sum_i f_i P_i$, less the
#    logged balance loss; then the mean over these frames. f are the shares of the counts in that layer.
#
# {{hints 11p.2}}


# %% name="answer-11p-2"
def my_rest(log):
    """log, a dict -> entropy lost, bias path, gain, hidden loss"""
    # BEGIN SOLUTION
    lost = log["entropy"][0].mean() - log["entropy"][-10:].mean()
    path = np.abs(np.diff(log["bias"][-11:], axis=0)).sum(axis=0).mean()  # 10 steps need 11 frames
    gain = 1 - log["test error"][-10:].mean() / log["training error"][-10:].mean()
    f = log["counts"] / log["counts"].sum(axis=-1, keepdims=True)  # (F, layers, N)
    own = f.shape[-1] * (f * log["P"]).sum(axis=-1)  # (F, layers)
    return lost, path, gain, (own.mean(axis=-1) - log["balance"])[-10:].mean()
    # END SOLUTION


# %%
check("11p.2", my_rest)

# %% [markdown]
# ## 11p.3 What sets your run apart
#
# {{about 11p.3}}
#
# Now take all seven measures of your case, and of the eight healthy runs **with its recipe**. (If you could not write one
# of the functions: the solutions have it, and the marks of the other parts are still yours.)
#
# Eight runs are few, and a ninth healthy one could lie a little outside of their range. So leave **room** on both sides: as
# much as the range is wide, and at least 0.02. Say that a measure of the eight goes from 0.30 to 0.35. The range is 0.05
# wide, and so is the room: above 0.40 your number is `"higher"`, below 0.25 it is `"lower"`, and everything between is
# `"as healthy"`. If the eight go from 0.300 to 0.305, the room is 0.02: above 0.325, below 0.280.
#
# {{hints 11p.3}}

# %% name="try-11p-3" tags=["solution"]
names = ("MaxVio", "pooled MaxVio", "counted", "entropy lost", "bias path", "gain", "hidden loss")
mine = [*my_loads(log), *my_rest(log)]
eight = np.array([[*my_loads(one), *my_rest(one)] for one in healthy_logs(log["balanced by"])])  # (8, measures)
for name, value, low, high in zip(names, mine, eight.min(axis=0), eight.max(axis=0), strict=True):
    room = max(high - low, 0.02)  # on both sides
    where = "higher" if value > high + room else "lower" if value < low - room else "as healthy"
    print(f"{name:<14}{value:>7.3f}   healthy {low:>6.3f} to {high:>6.3f}   {where}")

# %% name="answer-11p-3"
my_signs = {
    "case": ...,  # the number of your case
    "MaxVio": ...,  # "higher", "lower" or "as healthy"
    "pooled MaxVio": ...,
    "counted": ...,
    "entropy lost": ...,
    "bias path": ...,
    "gain": ...,
    "hidden loss": ...,
}

# %% name="solution-11p-3" tags=["solution"]
my_signs = {
    "case": CASE,
    "MaxVio": "as healthy",  # by its own counts the run looks balanced
    "pooled MaxVio": "as healthy",
    "counted": "higher",  # more than a token and a half for each real one
    "entropy lost": "lower",  # padding is in that mean, too
    "bias path": "as healthy",  # no bias in this recipe
    "gain": "lower",  # a training error over padding, which is easy, against a test error over tokens
    "hidden loss": "as healthy",
}

# %%
check("11p.3", my_signs)

# %% [markdown]
# ## 11p.4 Which fault is it?
#
# {{about 11p.4}}
#
# - `"case"`: the number of your case.
# - `"fault"`: one of the five names at the top.
# - `"clue"`: the one measure, of the seven, that this fault moves by itself, whatever else follows from it (in a model like
#   these: the layers lean differently, the noise is not small, there is padding).
#
# {{hints 11p.4}}

# %% name="answer-11p-4"
my_diagnosis = {"case": ..., "fault": ..., "clue": ...}

# %% name="solution-11p-4" tags=["solution"]
my_diagnosis = {"case": CASE, "fault": "mask lost", "clue": "counted"}

# %%
check("11p.4", my_diagnosis)

# %% [markdown]
# ## 11p.5 The proof
#
# {{about 11p.5}}
#
# A log shows what happened. That it happened *because* of the fault, only a test of the program can show. Here is your run's
# model, from its checkpoint, with a batch of tokens; and a healthy one.

# %% name="look-at-the-model"
run = open_run(CASE)  # another batch: open_run(CASE, seed=1)
sound_run = healthy_run(run.model.balanced_by)
found = run.model(run.x, run.mask)
print("x", tuple(run.x.shape), " mask", tuple(run.mask.shape), f" {int(run.mask.sum())} real tokens")
for name, value in found._asdict().items():
    print(f"   found.{name:<9} shape {tuple(value.shape)}")
print("   run.model.W_g: the routers of both layers,", [tuple(W_g.shape) for W_g in run.model.W_g])
print("   run.model.bias:", tuple(run.model.bias.shape), f"  run.model.balanced_by: {run.model.balanced_by!r}")

# %% [markdown]
# The model is in evaluation. After `run.model.train()` each pass has noise and moves the bias, if there is one;
# `run.model.eval()` goes back. The mask is True for a real token. You may hand over any `x` (B, L, 8) and `mask` (B, L),
# and take gradients with `torch.autograd.grad`. Do not read the program: in your own work you could not read a fault
# that you do not see.
#
# Write a function that takes a run and says whether it has **your** fault. It is tried on thirty runs that you do not know.
# They are ten programs: two healthy ones, and at least one with each of the five faults, under both recipes where there are
# both. Each comes three times: with the weights that its training made, and twice with **weights drawn anew**, once with
# routers that are unsure of every token, once with routers that are very sure. (A frozen bias is frozen there, too.)
# `open_run(CASE, weights="unsure")` is such a run, and so is `healthy_run("loss", weights="sure")`.
#
# Your function must say `True` for all runs with your fault, whatever the weights, and `False` for *all* others, the other
# faults included. So uneven loads or an unsure router will not do: they are in the weights, and the fault is in the program.
# What *must* be equal, or zero, in one case and not in the other? (Zero up to rounding: in floating point a gradient that
# should be 0 may come out as 1e-5. And one number of a whole batch, such as a loss, may by chance come out the same in two
# passes, up to rounding: look at tensors, such as y.)
#
# {{hints 11p.5}}


# %% name="answer-11p-5"
def my_proof(run):
    """run.model, run.x, run.mask -> {"case": the number of your case, "found": True or False}"""
    # BEGIN SOLUTION
    counted = run.model(run.x, run.mask).counts.sum(dim=-1)  # (layers,)
    return {"case": CASE, "found": bool((counted > run.mask.sum()).all())}  # every layer has counted padding
    # END SOLUTION


# %%
check("11p.5", my_proof)


# %% name="solution-11p-5" tags=["solution"]
# A test for each of the five faults, and what it says of this run. With another case, return one of these in my_proof.
def own_losses(found, mask):
    """the balance loss of each layer alone"""
    pairs = zip(found.logits, found.selected, strict=True)
    return torch.stack([load_balancing_loss(h, 1, selected[..., None], mask) for h, selected in pairs])


def all_five(run):
    """run -> for each fault whether it is there"""
    found, again, full = run.model(run.x, run.mask), run.model(run.x, run.mask), torch.ones_like(run.mask)
    gradient = torch.autograd.grad(found.y.square().sum(), list(run.model.W_g))
    unpadded, before = run.model(run.x, full), run.model.bias.clone()
    run.model.train()(run.x, run.mask)
    moved = not torch.equal(before, run.model.bias)
    return {
        "renormalised k = 1": max(float(g.abs().max()) for g in gradient) < 1e-4,
        "pooled loss": not torch.isclose(own_losses(unpadded, full).mean(), unpadded.balance, atol=1e-3),
        "noise left on": not torch.equal(found.y, again.y),
        "frozen bias": run.model.balanced_by == "bias" and not moved,
        "mask lost": int(found.counts[0].sum()) > int(run.mask.sum()),
    }


print(all_five(open_run(CASE)))

# %% [markdown]
# ## 11p.6 The repair
#
# {{about 11p.6}}
#
# - `"case"`: the number of your case.
# - `"repair"`: which change mends the program? `"probability as weight"`, `"a loss in each layer"`, `"no noise in
#   evaluation"`, `"let the bias move"`, `"count real tokens"`, `"a larger coefficient"` (of the loss, or the step of the
#   bias) or `"larger capacity"`.
# - `"train on"`: the line is mended. Must the checkpoint be trained further before its test error and its loads are those
#   of a healthy run? `True`, or `False` if its weights are good as they are.
#
# {{hints 11p.6}}

# %% name="answer-11p-6"
my_repair = {"case": ..., "repair": ..., "train on": ...}

# %% name="solution-11p-6" tags=["solution"]
acts_in_training = my_diagnosis["fault"] != "noise left on"  # the weights of the other four were trained with the fault
my_repair = {"case": CASE, "repair": "count real tokens", "train on": acts_in_training}

# %%
check("11p.6", my_repair)

# %% [markdown]
# ## Where you stand

# %%
progress()

# %% [markdown]
# Compare with the [solutions](solutions:11p): they go through case 1, and show a test for each of the five faults. Then
# take a second case, if you like. This is the end of the course.
#
# <details><summary>In which lesson is each fault?</summary>
#
# A renormalised k = 1: 07. A pooled loss and a frozen bias: 10b. Noise: 04 and 09. Padding in loads and losses: 10, *deeper*.
#
# </details>
