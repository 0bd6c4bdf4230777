# %% [markdown]
# # 00 · Start here
#
# **How does this course work?** Many of the largest language models use only a part of their parameters for each token.
# A small piece, the **router**, chooses which. This course shows how it chooses: first on paper, then in code, then in
# a model that you train on your own computer. What it claims is shown by a cell that you can run, change and break;
# most facts from papers name their source.
#
# You will be able to
#
# 1. run a lesson and know what its parts are for;
# 2. read the letters that every lesson uses;
# 3. see that your computer has what the course needs;
# 4. find your way: which lesson next, how long it takes, where your progress is kept.
#
# **Before:** some Python; vectors and matrices. The [toolbox](lesson:00b) tells you in a few questions whether
# you need a refresher. **Time:** {{minutes}}.
#
# ## Run a cell
#
# Click the grey box below and press **Shift + Enter**. The cell runs, and the cursor moves on. Go through every lesson
# like this, from top to bottom. Where a picture comes, **Ctrl + Enter** is better: the cell runs, and the page stays where
# you look.

# %% name="environment" tags=["setup"]
try:
    from moe_lessons.support.environment import report
except ImportError:
    print("This notebook runs in an environment without the course. Close it, and start with `make lab`.")
else:
    print(report())

# %% [markdown]
# A line that begins with `!` needs mending, and says how. (torch is listed but not loaded: the first lessons do
# without.)
#
# ## A first look at a router
#
# A model is a stack of blocks. This is one of them, and the way of one token through it:

# %% name="one-block"
from moe_lessons.figures.block import block_svg
from moe_lessons.figures.still import Picture

Picture(block_svg([0, 0.7, 0, 0.3]))  # the weights of four experts

# %% [markdown]
# Each expert is a small network. Here the router keeps two of four; the others do not run. (The block: lesson 05.)
#
# The same with controls is the Gating Network Visualizer: five experts, the best `k` share the weight. You need not
# understand it yet: lesson 01 builds it step by step, and lesson 04 comes back to it. We planted the tokens and the
# router's matrix by hand, so what the experts seem to be good at proves nothing. But every number is computed from them
# when you move something.
#
# **Question:** move the temperature from one end to the other. Which numbers change, and which experts are active?

# %% name="first-look"
from moe_lessons.widgets.visualizer import GatingVisualizer

GatingVisualizer()

# %% [markdown]
# You should see that the temperature changes the probabilities and the weights, from nearly all on one expert to nearly
# equal shares.
#
# And the active experts: could they change, for other numbers than these? Note your bet: lesson 03 settles it.
#
# > **Note** If you see numbers here but no sliders above, the notebook is being shown without a running kernel (on a
# > web page, say), or the kernel was restarted: run the cells again.
#
# ## The parts of a lesson
#
# - **Predict** cells ask you to commit before you see; a pen, ✎, marks what you fill in. Type your answer in place of
#   the dots, run the cell, then the next one. A wrong guess costs nothing and teaches most. If you leave the dots, all
#   goes on, but the answer is kept back until you type one; `reveal()`, in a cell of its own, shows it.
# - **Pictures** come with a question. Move the controls until you can answer it; then open *What you should see*.
# - **Myth** boxes take a popular claim that is wrong, and break it with two lines of code.
# - Cells marked ***deeper*** stand at the end. The lesson makes sense without them.
# - A **quiz** closes the lesson. It tells why each choice is right or wrong; after a wrong one it asks once more.
# - Words of the field have dots below them where they come first: rest the pointer on one.
#
# Try a prediction now. DeepSeek-V3 holds 671 billion parameters (DeepSeek-AI 2024, arXiv:2412.19437). How
# many of them take part in the computation for one token? A guess is welcome.

# %% name="predict-active" tags=["predict"]
my_billions = ...  # a number, in billions

# %%
from moe_lessons.accounting import PUBLISHED, active_parameters, parameters
from moe_lessons.checks import compare, reveal

config = PUBLISHED["DeepSeek-V3"].config  # its published sizes
total, active = parameters(config) / 1e9, active_parameters(config) / 1e9
compare(my_billions, active, "billion", within="10 %")
print(f"{active:.1f} of {total:.0f} billion, that is {active / total:.1%}")
assert (round(total), 36 < active < 38) == (671, True)

# %% [markdown]
# ## Exercises and verdicts
#
# From lesson 01 on, each lesson has a notebook in the folder `exercises/`. You write **in place of
# `raise NotImplementedError` or `...`**, run that cell, then the `check(...)` cell below it. The verdict is one of
# four: *not attempted yet*, *your code raised*, *not yet* (with what came, what was expected and, where the check
# recognises it, the mistake behind it), or *correct*.

# %%
from moe_lessons.checks import check


def my_logits(x, weight, bias):
    raise NotImplementedError  # in an exercise, you would write here


check("1.1", my_logits)

# %% [markdown]
# Two hints and the idea are folded under each question. Worked solutions lie in `solutions/`; look when you have tried.
#
# Correct answers and attempts are kept on your computer, in a folder of their own, so that restarting the kernel or
# closing the browser loses nothing. The last line of the table says where.

# %%
from moe_lessons.checks import progress

progress()

# %% [markdown]
# How many words have dots is yours to choose, `explain("everything")`, `explain("the usual")` or `explain("little")`,
# and is kept as well. The other lessons follow once you run their quiz.

# %% name="explain"
from moe_lessons.checks import explain

explain()

# %% [markdown]
# ## The letters
#
# | letter | meaning | shape or range |
# |---|---|---|
# | T, d, N, k | number of tokens, width of a token, number of experts, experts that run per token | whole numbers |
# | x | the token, or T tokens as rows | (d,) or (T, d) |
# | W_g | the router's matrix | (d, N) |
# | c_i | column i of W_g, the prototype of expert i | (d,) |
# | h | logits, h = x W_g | (N,) or (T, N) |
# | τ | temperature; p = softmax(h/τ) | above 0 |
# | p | probabilities over all experts | as h, each row sums to 1 |
# | S | the set of the k selected experts | k indices |
# | w | gate weights: zero outside S | as h |
# | E_i | expert i, a function from a vector to a vector | (d,) → (d,) |
# | y | output, the sum of w_i E_i(x) over S | as x |
# | f_i, P_i, α | share of assignments that expert i gets, mean probability of expert i, strength of the balance loss | from 0 to 1; above 0 |
#
# In text and pictures experts are counted from 1: E1, E2, and so on. In code they are indices and begin at 0, so **E3
# is index 2**. Logarithms are natural, and information is measured in nats, unless bits are named.
#
# ## The map
#
# {{map}}
#
# Minutes: first the core, which makes sense alone, then the cells marked *deeper*. Formulas, gate forms and usual
# settings stand on [one sheet to print](../docs/cheat_sheet.html).

# %% [markdown]
# ## Recap
#
# 1. Shift + Enter runs a cell, Ctrl + Enter runs it and stays; predict first, then look; answer the question of each picture.
# 2. One table of letters holds for the whole course; E3 is index 2.
# 3. The report above tells whether anything is missing.
# 4. `progress()` shows where you stand, and where that is kept.
#
# ## Quiz
#
# {{quiz}}
#
# ## Next
#
# [Lesson 01, the worked example](lesson:01); or the [toolbox](lesson:00b) first.
