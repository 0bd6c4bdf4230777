# %% [markdown]
# # 11b · The claims, challenged
#
# **Do experts have subjects, languages, grammar?** Lesson 11 measured on real text. But there `def` gives away the
# domain, and nobody knows what could have been known. Here is a text in which everything is known.
#
# You will be able to
#
# 1. say how much of a class a text gives away at all, and measure experts against that;
# 2. tell what experts know from what the token, or a blind hash of its neighbour, gives away;
# 3. compare the experts of frequent and rare tokens without the trap of unequal counts;
# 4. say of six popular claims what this model, and published ones, support.
#
# **Before:** [](lesson:11). **Time:** {{minutes}}.
#
# Which of these do you believe? Note true or false. (1) Experts have subjects. (2) Experts have languages. (3) The first
# and the last token of a sentence go to experts of their own. (4) Pieces of words go elsewhere than whole words.
# (5) Early layers know grammar, late layers topics. (6) Function words go to few experts, rare words are spread over many.

# %% name="setup" tags=["setup"]
import numpy as np

from moe_lessons import metrics
from moe_lessons.checks import compare, reveal
from moe_lessons.corpus import languages
from moe_lessons.experiments import claims
from moe_lessons.experiments import specialisation as sp
from moe_lessons.figures import specialisation as figures
from moe_lessons.widgets.live import Live, choice

# %% [markdown]
# ## A text in which everything is known
#
# Two made-up languages, north and south. Each has nouns, verbs, adjectives, and three kinds of **function word**:
# determiners ("the"), adpositions ("of"), and endings, which close a sentence like a full stop. The order of words
# differs. A word is one token or two, and no space tells which. Here is a sentence of each.

# %% name="two-sentences"
task = claims.corpus()
labels = claims.labels_of(task.report)  # name -> (S, L)


def show_sentence(row):
    """Print the first sentence of a sequence, with the part of speech and the piece of each token"""
    end = (labels["position"][row] == 2).argmax() + 1
    print(task.domains[task.report.domain[row]])
    for name in ("part", "piece"):
        print("  ", *(f"{task.class_names[name][i]:<13}" for i in labels[name][row, :end]))
    print("  ", *(f"{piece:<13}" for piece in task.pieces(task.report.ids[row, :end])), "\n")


show_sentence(2)
show_sentence(7)

# %% [markdown]
# Both languages use the same 144 tokens. Take one that is a noun of the north: in the south it may be a verb, or close the
# sentence. Each document has one of four topics. A topic has no words of its own: it uses some words six times as often.
#
# **Predict.** The language is one bit. You see a single token, without its neighbours. How many bits of the language
# does it give away?

# %% name="predict-token" tags=["predict"]
my_bits = ...  # from 0 to 1

# %%
flat = {name: values.ravel() for name, values in labels.items()}  # name -> (T,)
compare(my_bits, metrics.mutual_information(flat["language"], flat["token"], base=2), "bits", within=0.05)
token = np.bincount(flat["token"][flat["part"] == languages.PARTS.index("ending")]).argmax()
for i, language in enumerate(languages.LANGUAGES):
    uses = np.bincount(flat["part"][(flat["token"] == token) & (flat["language"] == i)], minlength=6)
    told = {languages.PARTS[p]: int(uses[p]) for p in np.flatnonzero(uses)}
    print(f"{task.pieces([token])[0]} in the {language}: {told}")
