# %% [markdown]
# # Exercises 11 · Trained specialisation
#
# {{questions}}, on [](lesson:11). Letters: the table in [](lesson:00).
#
# Write your answer where you see `raise NotImplementedError` or `...`, run that cell, then the `check` cell below it.
# You can check as often as you like. Stuck? Open a hint. Your functions get numpy arrays; torch works too, if you begin
# with `torch.as_tensor(x)`. You may use whatever you wrote yourself.
#
# Nothing is trained here. All data are drawn by a seeded program, with a structure that was put in on purpose. So these
# tables say how to measure, and nothing about real models; that is what the lesson is for.

# %% name="setup" tags=["setup"]
import numpy as np

from moe_lessons.checks import check, progress
from moe_lessons.checks.set_11 import DOMAINS, ROUTERS, ablation, results

# %% [markdown]
# ## 11.1 The domain table
#
# {{about 11.1}}
#
# Each of T tokens has selected k of N experts: `selected` is (T, k), best first, indices from 0. `domain` (T,) holds the
# domain of every token, 0 to D − 1; each occurs, in any order. Return the table (D, N): which share of a domain's tokens
# has expert i among its k? This is the domain specialisation of OLMoE (Muennighoff et al. 2024, arXiv:2409.02060, Eq. 7).
#
# {{hints 11.1}}


# %% name="answer-11-1"
def my_domain_table(selected, domain, num_experts):
    """selected (T, k), domain (T,), N -> (D, N)"""
    # BEGIN SOLUTION
    counts = np.zeros((domain.max() + 1, num_experts))  # (D, N)
    np.add.at(counts, (domain[:, None], selected), 1)
    return counts / np.bincount(domain)[:, None]
    # END SOLUTION


# %%
check("11.1", my_domain_table)

# %% [markdown]
# ## 11.2 Mutual information with the right null
#
# {{about 11.2}}
#
# How much does the expert tell about the domain? I(domain; expert) = Σ p(d, e) log2(p(d, e) / (p(d) p(e))), in bits, with
# p from the counts of all tokens. A domain that never meets an expert is an empty cell of the table, and adds 0. Even where
# the two have nothing to do with each other, a finite sample gives more than 0. How much more, a permutation null tells.
#
# All sequences have L tokens. `domain_of_sequence` is (sequences,), and all tokens of a sequence are of its domain.
# `expert` is (sequences, L), one expert a token. The tokens of a sequence are not independent of each other: it has a topic
# of its own, with a taste for some experts. Return `draws` values of I, (draws,). In each draw the domains are dealt out
# anew to the sequences: all permutations of them are equally likely. The labels move; tokens and experts stay where they
# are. `rng` is a numpy generator.
#
# Your numbers are random, so the check does not ask for particular ones. It asks whether they are values that permuted
# sequences can give, and whether they come as often as they should.
#
# {{hints 11.2}}


# %% name="answer-11-2"
def my_null(domain_of_sequence, expert, draws, rng):
    """domain_of_sequence (sequences,), expert (sequences, L), draws, a generator -> (draws,) in bits"""
    # BEGIN SOLUTION
    D, N, L = domain_of_sequence.max() + 1, expert.max() + 1, expert.shape[1]

    def information(domain, expert):
        joint = np.bincount(domain * N + expert, minlength=D * N).reshape(D, N) / domain.size  # (D, N)
        alone = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)  # (D, N)
        cells = joint > 0
        return (joint[cells] * np.log2(joint[cells] / alone[cells])).sum()

    dealt = (np.repeat(rng.permutation(domain_of_sequence), L) for _ in range(draws))  # (tokens,) each
    return np.array([information(domain, expert.ravel()) for domain in dealt])
    # END SOLUTION


# %%
check("11.2", my_null)

# %% [markdown]
# ## 11.3 Conditional on the token
#
# {{about 11.3}}
#
# Domains use different tokens. A router that looks at nothing but the token therefore tells something about the domain.
# What does the expert tell that the token does not? I(domain; expert | token) is the information within the occurrences
# of one token, averaged over all occurrences of all tokens. `domain`, `expert` and `token` are (T,), whole numbers; the
# token ids have gaps, and some tokens occur once. Return one number, in bits, from the counts as they are (no null here).
#
# {{hints 11.3}}


# %% name="answer-11-3"
def my_conditional_information(domain, expert, token):
    """domain (T,), expert (T,), token (T,) -> bits"""

    # BEGIN SOLUTION
    def entropy(*labels):
        counts = np.unique(np.stack(labels), axis=1, return_counts=True)[1]
        return -(counts / token.size * np.log2(counts / token.size)).sum()

    without_expert = entropy(domain, token) - entropy(token)  # H(domain | token)
    with_expert = entropy(domain, expert, token) - entropy(expert, token)  # H(domain | expert, token)
    return without_expert - with_expert
    # END SOLUTION


# %%
check("11.3", my_conditional_information)

# %% [markdown]
# ## 11.4 When does the router stop moving?
#
# {{about 11.4}}
#
# The same T tokens were routed by C checkpoints of one training run: `selected` is (C, T, k), and the last checkpoint is
# the final model. Return the router saturation of each checkpoint, (C,): |its k experts ∩ the final k experts| / k,
# averaged over the tokens (Muennighoff et al. 2024, arXiv:2409.02060, Eq. 5). The last number is 1.
#
# {{hints 11.4}}


# %% name="answer-11-4"
def my_saturation(selected):
    """selected (C, T, k), the last checkpoint is the final -> (C,)"""
    # BEGIN SOLUTION
    hits = selected[:, :, :, None] == selected[-1][None, :, None, :]  # (C, T, k, k)
    return hits.any(axis=-1).mean(axis=(1, 2))  # (C,)
    # END SOLUTION


# %%
check("11.4", my_saturation)

# %% [markdown]
# ## 11.5 An expert is switched off
#
# {{about 11.5}}
#
# The last layer of a model has 8 experts, k = 2. The same 40 texts of each of three domains are read nine times: with all experts, then
# with one switched off at a time. `use` (3, 8) is the table of 11.1. `losses` (9, 3, 40) holds the loss of each text in
# nats; row 0 is with all experts, row i with E*i* off.

# %% name="given-11-5"
use, losses = ablation()
print(f"{'share of tokens':>16}", *(f"{f'E{i + 1}':>5}" for i in range(8)))
for domain, row in zip(DOMAINS, use, strict=True):
    print(f"{domain:>16}", *(f"{share:5.2f}" for share in row))
print(f"\n{'mean loss':>16}", *(f"{domain:>7}" for domain in DOMAINS))
for name, row in zip(["all on", *(f"E{i + 1} off" for i in range(8))], losses.mean(axis=-1), strict=True):
    print(f"{name:>16}", *(f"{loss:7.3f}" for loss in row))

# %% [markdown]
# In the last layer an expert can only hurt tokens that it serves, so the loss rises more where it serves more, whatever it
# does there. (Below, attention carries the change on to later tokens.) So an expert's *effect* on a domain is what its
# absence costs **per served token**: the mean over the 40 texts of the difference to the same text with all experts on,
# divided by the domain's `use` of the expert. The effect is *clear* if that mean is more than three of its standard errors
# above 0. (Divide the mean and its standard error by the same `use`, and what is clear stays clear.) Name one expert for
# each entry, as `"E7"`.
#
# - `"prose"`, `"code"`, `"JSON"`: the expert with the largest clear effect on this domain;
# - `"used but not needed"`: each domain has an expert that it uses most, the largest number in its row of `use`. One of
#   these three experts has no clear effect on any domain;
# - `"needed by all alike"`: clear effects on all three domains, the largest less than 1.5 times the smallest.
#
# {{hints 11.5}}

# %% name="answer-11-5"
my_findings = {
    "prose": ...,
    "code": ...,
    "JSON": ...,
    "used but not needed": ...,
    "needed by all alike": ...,
}

# %% name="solution-11-5" tags=["solution"]
rise = losses[1:] - losses[0]  # (8, 3, 40)
served = use.T  # (8, 3)
effect = rise.mean(axis=-1) / served  # (8, 3), nats per served token
error = rise.std(axis=-1, ddof=1) / np.sqrt(rise.shape[-1]) / served  # (8, 3)
for i in range(8):
    print(f"E{i + 1}", *(f"{d}: {m:6.3f} ± {e:.3f}" for d, m, e in zip(DOMAINS, effect[i], error[i], strict=True)))
clear = np.where(effect > 3 * error, effect, 0)  # (8, 3)
largest = [f"E{i + 1}" for i in clear.argmax(axis=0)]
my_findings = {
    **dict(zip(DOMAINS, largest, strict=True)),
    "used but not needed": "E3",  # JSON uses it most, and misses nothing without it
    "needed by all alike": "E5",
}
print(my_findings)

# %%
check("11.5", my_findings)

# %% [markdown]
# Had you not subtracted text by text, the texts' own differences would have drowned most of the effects:

# %% name="after-11-5"
on, off = losses[0], losses[1:]  # (3, 40), (8, 3, 40)
unpaired = np.sqrt(on.var(axis=-1, ddof=1) + off.var(axis=-1, ddof=1)) / np.sqrt(40)  # (8, 3)
paired = (off - on).std(axis=-1, ddof=1) / np.sqrt(40)  # (8, 3)
print(f"standard error, median over 24 effects: {np.median(paired):.3f} by pairs, {np.median(unpaired):.3f} without")

# %% [markdown]
# ## 11.6 Three sentences that the data allow
#
# {{about 11.6}}
#
# Suppose that one small language model with MoE layers was trained three times, with different seeds. (Here too a program
# drew the numbers.) The table holds one number for each seed. "Above its null" means: less the mean of the right
# permutation null. The hash router chooses by the token alone, and is not trained.

# %% name="given-11-6"
table = results()
print(f"{'bits about the domain, above its null':42}{'expert alone':26}expert, given the token")
for router in ROUTERS:
    alone, given = (" ".join(f"{bits:7.3f}" for bits in table[router][m]) for m in ("domain", "given token"))
    print(f"{router:42}{alone:26}{given}")
print("\nlast layer, the expert that code uses most in each model")
lines = {
    "share of code tokens that have it (k/N is 0.25)": table["use of the code expert"],
    **{f"rise of the loss without it, {d} (nats)": numbers for d, numbers in table["rise without it"].items()},
    "router saturation of the layer after 10 % of training": table["saturation at 10 %"],
}
for name, numbers in lines.items():
    print(f"{name:54}", *(f"{number:6.2f}" for number in numbers))

# %% [markdown]
# Nine sentences were proposed for the conclusion. The table allows three of them.
#
# - **A** "Training has made the experts of the first layer specialists of domains: they tell more about it than chance."
# - **B** "In the first layer the expert tells something about the domain, but hardly anything beyond what the token tells."
# - **C** "Code uses one expert of the last layer far above the baseline: this is where the model keeps what it knows of
#   code."
# - **D** "After a tenth of the training most choices are final, so by then the experts have learned what they will do."
# - **E** "In the last layer the expert tells something about the domain that the token does not tell."
# - **F** "Training did this: in an untrained model the expert of the last layer would tell nothing beyond the token."
# - **G** "As the expert of the last layer tells more than the token, the router has understood what the text is about."
# - **H** "In all three models, without the expert that code uses most, the loss of prose rises more than that of code."
# - **I** "So in mixture-of-experts language models the last layer specialises in domains."
#
# Give the three letters, in any order.
#
# {{hints 11.6}}

# %% name="answer-11-6"
my_conclusion = [..., ..., ...]

# %% name="solution-11-6" tags=["solution"]
assert max(table["first layer"]["given token"]) < 0.01 < 0.2 < min(table["last layer"]["given token"])
assert all(p > c for p, c in zip(table["rise without it"]["prose"], table["rise without it"]["code"], strict=True))
my_conclusion = ["B", "E", "H"]

# %%
check("11.6", my_conclusion)

# %% [markdown]
# ## Where you stand

# %%
progress()

# %% [markdown]
# Compare with the [solutions](solutions:11), which show one way of several.
