# %% [markdown]
# # 05 · The sparse layer
#
# **How is a sparse layer computed, and is it as fast as the arithmetic promises?** The router has named k experts for
# each token. Now they must do the work. There are many ways to compute it. They give the same numbers, and the slowest
# takes many times as long as the fastest. You will time them on your own machine.
#
# You will be able to
#
# 1. place the layer in a transformer block, and work out an expert by hand (ReLU and SwiGLU);
# 2. write the layer as a loop over tokens, as a loop over experts, and with sorted slices, and show that all agree;
# 3. time such code fairly, beside the work that nobody can avoid;
# 4. recognise indexing that is harmless forward and ruinous backward, by counting bytes;
# 5. say what an uneven load and the router itself cost, and name the baseline of a "times faster".
#
# **Before:** lessons 01 and 04, and in the [toolbox](lesson:00b) the feed-forward network and the residual stream.
# **Time:** {{minutes}}.

# %% name="setup" tags=["setup"]
import numpy as np
import torch

from moe_lessons.accounting import PUBLISHED
from moe_lessons.checks import compare, reveal
from moe_lessons.figures.dispatch import dispatch_svg
from moe_lessons.figures.speed import speed_svg
from moe_lessons.layer import MoELayer
from moe_lessons.routing import route
from moe_lessons.support.progress import tqdm
from moe_lessons.support.timing import CLOCK_NAME, interleaved, spread, timing_table
from moe_lessons.widgets.live import Live, choice, slider

torch.set_num_threads(1)  # one thread for every measurement below: fewer things can disturb it
print("torch", torch.__version__, "with", torch.get_num_threads(), "thread; measured is", CLOCK_NAME)

# %% [markdown]
# ## Where the layer sits
#
# A transformer block has two halves. Attention lets tokens look at each other. The second half treats each token by
# itself; it is a feed-forward network (FFN), or, in a sparse model, our layer. Both add to a residual stream r:
#
# $$r \leftarrow r + \mathrm{attention}(\mathrm{norm}(r)), \qquad r \leftarrow r + \mathrm{layer}(\mathrm{norm}(r))$$
#
# So the router's x is not the token's embedding. It is norm(r) *after* attention, and the experts get the same x.
# Below, attention is replaced by the average of all tokens so far.


# %%
def norm(r):
    return r / (r**2).mean(axis=-1, keepdims=True) ** 0.5  # (T, d)


def look_back(r):
    return np.cumsum(r, axis=0) / np.arange(1, len(r) + 1)[:, None]  # (T, d): stands in for attention


def block(r, layer):
    r = r + look_back(norm(r))  # (T, d)
    return r + layer(norm(r))  # (T, d)


def example(seed):
    """A text in which token 0 stands at places 0, 3 and 5, before and after attention; its logits there, its top 2"""
    rng = np.random.default_rng(seed)
    embedding, W_g = rng.normal(size=(5, 4)), rng.normal(size=(4, 6))  # (tokens, d), (d, N)
    text = embedding[[0, 1, 2, 0, 3, 0]]  # (T, d)
    after = text + look_back(norm(text))  # (T, d)
    h = norm(after)[[0, 3, 5]] @ W_g  # (places, N)
    return text, after, h, np.argsort(-h, axis=1)[:, :2]


moved = [seed for seed in range(20) if len({frozenset(row) for row in example(seed)[3].tolist()}) > 1]
text, after, logits, best = example(moved[0])
for place, h, (first, second) in zip((0, 3, 5), logits, best, strict=True):
    print(f"token 0 at place {place}: logits {h.round(2)}, the highest are E{first + 1} and E{second + 1}")
print(f"its top 2 changes with the place in {len(moved)} of 20 seeds; shown is the first of these, seed {moved[0]}")
silent = block(text, lambda x: np.zeros_like(x))  # a layer that returns 0 for every token
print("a layer that returns zeros changes r by at most", np.abs(silent - after).max())
assert np.allclose(silent, after)
assert 0 < len(moved) < 10

# %% [markdown]
# The same token has other logits in other places: the router sees context. Here that changes a choice, in most seeds it
# does not. The last line is what the residual stream is good for: where the layer returns zeros, the token passes
# unchanged, for instance when all its experts are full (lesson 10).
#
# ## One expert, by hand
#
# An expert is an FFN. The plain kind has two matrices and a ReLU: $E(x) = \mathrm{ReLU}(x W_1)\,W_2$. With x = (2, 1):

# %%
x = np.array([2.0, 1.0])  # (d,) = (2,)
W_1 = np.array([[1.0, 0.0, -1.0], [0.0, 1.0, 1.0]])  # (d, f) = (2, 3)
W_2 = np.array([[1.0, 0.0], [1.0, -1.0], [2.0, 2.0]])  # (f, d) = (3, 2)
print("x W_1           =", x @ W_1)
print("after the ReLU  =", np.maximum(x @ W_1, 0))
y = np.maximum(x @ W_1, 0) @ W_2  # (d,)
print("times W_2       =", y)
assert y.tolist() == [3.0, -1.0]

# %% [markdown]
# On paper: 2·(1, 0) + 1·(1, −1) + 0·(2, 2) = (3, −1). The third hidden unit was −1, and the ReLU closed it.
#
# Many recent models use **SwiGLU** (Shazeer 2020, arXiv:2002.05202): a third matrix $W_3$, and a smooth gate,
# $\mathrm{silu}(z) = z / (1 + e^{-z})$:
#
# $$E(x) = \big(\mathrm{silu}(x W_1) \odot x W_3\big)\, W_2$$
#
# **Predict.** The third row of $W_2$ becomes (200, 200) in place of (2, 2); $x W_3$ = (1, 2, 2). Whose output changes?
# (a) nobody's (b) only the ReLU expert's (c) only the SwiGLU expert's (d) both

# %% name="predict-closed" tags=["predict"]
my_expert = ...  # "a", "b", "c" or "d"


# %%
def relu_expert(x, W_1, W_2):
    return np.maximum(x @ W_1, 0) @ W_2  # (d,) -> (f,) -> (d,)


def swiglu_expert(x, W_1, W_2, W_3):
    z = x @ W_1  # (f,)
    return (z / (1 + np.exp(-z)) * (x @ W_3)) @ W_2  # (f,) -> (d,)


louder = W_2 * np.array([[1], [1], [100]])  # (f, d)
W_3 = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]])  # (d, f)
changes = [relu_expert(x, W_1, louder) - relu_expert(x, W_1, W_2),
           swiglu_expert(x, W_1, louder, W_3) - swiglu_expert(x, W_1, W_2, W_3)]  # fmt: skip
compare(my_expert, "abcd"[int(changes[0].any()) + 2 * int(changes[1].any())])
print("ReLU changes by  ", changes[0])
print("SwiGLU changes by", changes[1].round(1), " since silu(−1) =", round(-1 / (1 + np.exp(1)), 3))
assert (x @ W_3).tolist() == [1, 2, 2]
assert not changes[0].any()
assert abs(changes[1]).min() > 50

# %% [markdown]
# A closed unit adds nothing, whatever stands behind it. silu closes only gradually: at −1 it lets −0.27 through.
#
# Each number of a matrix costs one multiplication and one addition per token. Forward that is **4df** FLOPs
# for ReLU (two matrices of d × f) and **6df** for SwiGLU. The backward pass makes two products for each one forward, so
# training costs three times that.
#
# ## The layer, in plain loops
#
# $$y_t = \sum_{i \in S_t} w_{ti}\, E_i(x_t)$$
#
# From here on in torch. `selected` (T, k) and `weights` (T, k) come from a router, best expert first. The first version
# is the formula.


# %%
def expert(x, W1, W2):
    return torch.relu(x @ W1) @ W2  # (…, d) -> (…, f) -> (…, d)


def by_token(x, W1, W2, selected, weights):
    """The definition. x (T, d); W1, W2: N matrices (d, f) and (f, d); selected, weights (T, k). Returns (T, d)."""
    rows = []
    for x_t, w_t, chosen in zip(x, weights, selected.tolist(), strict=True):
        outputs = [expert(x_t, W1[e], W2[e]) for e in chosen]  # k times (d,)
        rows.append(w_t @ torch.stack(outputs))  # (k,) @ (k, d) -> (d,)
    return torch.stack(rows)


# %% [markdown]
# Every expert call multiplies a single row. T·k such calls: 128 for 64 tokens and k = 2. Turn it round: loop over
# *experts*, which are few. The quickest to write runs each expert on all tokens, and gives most of them weight 0. More
# careful: find the tokens of the expert first (the **mask** `selected == e`), and run only those.


# %%
def by_mask(x, W1, W2, selected, weights):
    """Every expert on every token; a weight of 0 hides what was not asked for."""
    y = torch.zeros_like(x)  # (T, d)
    for e in range(len(W1)):
        w = (weights * (selected == e)).sum(dim=1, keepdim=True)  # (T, 1)
        y = y + w * expert(x, W1[e], W2[e])
    return y


def by_expert(x, W1, W2, selected, weights):
    """Every expert on its own tokens."""
    y = torch.zeros_like(x)  # (T, d)
    for e in range(len(W1)):
        t, place = torch.where(selected == e)  # (rows,) each
        y = y.index_add(0, t, weights[t, place, None] * expert(x[t], W1[e], W2[e]))
    return y


# %% [markdown]
# ## Sort, then slice
#
# `by_expert` goes to x and to y once per expert. Sort the choices, and each expert's rows lie side by side: then one
# gather and one add serve all experts. Three tokens, four experts, k = 2, by index:

# %%
few = torch.tensor([[2, 0], [2, 1], [0, 2]])  # (T, k) = (3, 2): the selected experts
flat = few.flatten()  # (T·k,): the assignments, token by token
few_order = flat.argsort(stable=True)  # (T·k,): which assignment comes first, second, …
few_loads = flat.bincount(minlength=4)  # (N,)
print("assignments, in the order of the tokens:", flat.tolist())
print("sorted by expert:                       ", flat[few_order].tolist())
print("they were assignment number             ", few_order.tolist())
print("so they belong to token (number // k)   ", (few_order // 2).tolist())
print("loads, the rows of each expert:         ", few_loads.tolist())

# %% [markdown]
# **Predict.** At which row (counted from 0) does the slice of E4, the last expert, begin? How long is it?

# %% name="predict-slice" tags=["predict"]
my_begin, my_length = ..., ...  # two whole numbers

# %%
begins = few_loads.cumsum(0) - few_loads  # (N,): the sum of the loads before
compare(my_begin, begins[3])
compare(my_length, few_loads[3])
for e in range(4):
    begin, end = begins[e].item(), (begins[e] + few_loads[e]).item()
    print(f"E{e + 1}: rows [{begin}:{end}], tokens {(few_order // 2)[begin:end].tolist()}")

# %% [markdown]
# E4 has no token. Its slice is empty and begins where E3's ends; nothing special has to be done for it. The whole layer,
# and one that searches as `by_expert` does, but also gathers and adds once:


# %%
def by_slices(x, W1, W2, selected, weights):
    """Sort the assignments by expert, multiply slice by slice, add each row to the token it came from."""
    order = selected.flatten().argsort(stable=True)  # (T·k,)
    loads = selected.flatten().bincount(minlength=len(W1))  # (N,)
    token = order // selected.shape[1]  # (T·k,)
    slices = x[token].split(loads.tolist())  # N slices (rows, d)
    outputs = torch.cat([expert(rows, W1[e], W2[e]) for e, rows in enumerate(slices)])  # (T·k, d)
    return torch.zeros_like(x).index_add(0, token, outputs * weights.flatten()[order, None])


def by_search(x, W1, W2, selected, weights):
    """As by_slices, but the rows are found by N searches instead of one sort."""
    found = [torch.where(selected == e) for e in range(len(W1))]  # N times (token, place), (rows,) each
    token, place = (torch.cat(parts) for parts in zip(*found, strict=True))  # (T·k,) each
    slices = x[token].split([len(t) for t, _ in found])  # N slices (rows, d)
    outputs = torch.cat([expert(rows, W1[e], W2[e]) for e, rows in enumerate(slices)])  # (T·k, d)
    return torch.zeros_like(x).index_add(0, token, outputs * weights[token, place, None])


# %% [markdown]
# The first half, copying rows to their experts, is called **dispatch**; the second, weighting and adding, **combine**.
#
# Are the five versions the same function? Random experts, five seeds, outputs and gradients:


# %%
def draw(N, T, d=128, f=256, k=2, seed=0):
    """Random tokens, experts and a random router: x, W1 (N, d, f), W2 (N, f, d), selected (T, k), weights (T, k)"""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(T, d, generator=g)
    W1, W2 = torch.randn(N, d, f, generator=g) / d**0.5, torch.randn(N, f, d, generator=g) / f**0.5
    logits = x @ torch.randn(d, N, generator=g) / d**0.5  # (T, N)
    best, selected = logits.topk(k)
    leaves = [a.requires_grad_() for a in (x, W1, W2)]
    return *leaves, selected, best.softmax(dim=-1).requires_grad_()


def results(layer, x, W1, W2, selected, weights):
    y = layer(x, W1.unbind(), W2.unbind(), selected, weights)  # unbind: a list of N matrices
    return [y, *torch.autograd.grad(y.square().sum(), (x, W1, W2, weights))]


# %%
def apart(layer, dtype):
    worst = 0.0
    for seed in range(5):
        case = [a.to(dtype) if a.is_floating_point() else a for a in draw(8, 64, seed=seed)]
        pairs = zip(results(by_token, *case), results(layer, *case), strict=True)
        worst = max([worst, *(((a - b).abs().max() / a.abs().max()).item() for a, b in pairs)])
    return worst


for layer in (by_mask, by_expert, by_slices, by_search):
    in_32, in_64 = apart(layer, torch.float32), apart(layer, torch.float64)
    print(
        f"{layer.__name__:<9} differs from by_token by {in_32:.0e} of the largest entry at most, {in_64:.0e} in float64"
    )
    assert in_32 < 1e-5
    assert in_64 < 1e-13

# %% [markdown]
# Only rounding, from adding in another order: in float64 it is smaller. Now look at the way of every row.
#
# **Question for the picture:** go through the steps 1 to 4. Whose lines does step 4 retrace? Then: what do the loads
# sum to when you change N or the seed? How do you make all loads equal, whatever the seed? Can a slider setting make
# sure that some expert is empty?


# %% name="picture-dispatch"
def routed(T, k, N, seed):
    """Choices and weights (T, k) of a random router for random tokens of width 4"""
    rng = np.random.default_rng(seed)
    trace = route(rng.normal(size=(T, 4)), rng.normal(size=(4, N)), k)
    return trace.selected, np.take_along_axis(trace.weights, trace.selected, axis=1)


Live(
    lambda step, T, k, N, seed: dispatch_svg(*routed(T, k, N, seed), step, N),
    step=slider("step", 1, 1, 4, 1),
    T=slider("T, tokens", 6, 2, 8, 1),
    k=slider("k, active", 2, 1, 3, 1),
    N=slider("N, experts", 5, 3, 8, 1),
    seed=slider("seed", 0, 0, 20, 1),
)

# %% [markdown]
# You should see that step 4 sends each row back to where step 2 took it from. The loads always sum to T·k; an expert
# without tokens is a dashed box. With k = N = 3 every expert gets every token: all loads are T, the dense mixture.
# With T·k below N someone must stay empty (T = 2, N = 8), and at 5 experts it also happens by chance.

# %%
empty = []
for seed in range(21):
    loads = np.bincount(routed(6, 2, 5, seed)[0].ravel(), minlength=5)  # (N,)
    assert loads.sum() == 6 * 2
    empty.append((loads == 0).any())
    assert (np.bincount(routed(6, 3, 3, seed)[0].ravel()) == 6).all()
    assert (np.bincount(routed(2, 3, 8, seed)[0].ravel(), minlength=8) == 0).any()
print(f"T = 6, k = 2, N = 5: some expert is empty for {sum(empty)} of 21 seeds")
assert sum(empty) > 0

# %% [markdown]
# ## The race
#
# How far is each version from the best possible? A training step cannot do without the **active matrix products**:
# T·k rows times two matrices forward, and four products of that size backward. We time just these six, on one large
# block of rows, with the matrices of one expert: our limit.
#
# To be fair, all versions run in turns, in changing order: a machine that slows down then slows all alike. You see medians and quartiles, of forward plus backward, on one thread. CPU time counts only the seconds in
# which the processor worked for us (Windows: wall time, all seconds).
#
# The package's `Experts` runs too. It sorts as `by_slices` does, but experts as small as these it keeps stacked, and
# multiplies all slices in one call (*deeper*).
#
# **Predict.** 1,024 tokens, 8 experts, k = 2. How many times the limit does `by_token` take?

# %% name="predict-race" tags=["predict"]
my_times_the_limit = ...  # a number


# %%
def step(layer, x, W1, W2, selected, weights):
    """Return a function that runs `layer` forward and backward once"""
    v = torch.ones_like(x)  # (T, d): the gradient that comes from above

    def run():
        y = layer(x, W1.unbind(), W2.unbind(), selected, weights)  # (T, d)
        torch.autograd.grad(y, (x, W1, W2, weights), v)

    return run


def products_only(x, W1, W2, selected, weights):
    """Return a function that makes the six active products and nothing else"""
    rows, A, B = torch.randn(selected.numel(), x.shape[1]), W1[0].detach(), W2[0].detach()  # (T·k, d), (d, f), (f, d)

    def run():
        hidden = rows @ A  # (T·k, f)
        v = hidden @ B  # (T·k, d)
        v_hidden = v @ B.T  # (T·k, f)
        return hidden.T @ v, rows.T @ v_hidden, v_hidden @ A.T

    return run


# %% [markdown]
# The next cell takes about ten seconds, on a slow machine up to thirty.

# %% name="race" tags=["20 s"]
LIMIT = "products only"


def race(N, rounds=5, T=1024):
    case = draw(N, T)
    moe = MoELayer(128, 256, N, 2)
    moe_parameters = list(moe.experts.parameters())
    x, _, _, selected, weights = case
    versions = {f.__name__: step(f, *case) for f in (by_token, by_mask, by_expert, by_search, by_slices)}

    def package():
        y = moe.experts(x, selected, weights)  # (T, d)
        torch.autograd.grad(y, (x, weights, *moe_parameters), torch.ones_like(x))

    versions |= {"Experts (package)": package, LIMIT: products_only(*case)}
    return interleaved(versions, rounds, progress=lambda turns: tqdm(turns, desc=f"N = {N}"))


times = {N: race(N) for N in (8, 32)}

# %%
medians = {N: {name: spread(seconds).median for name, seconds in rows.items()} for N, rows in times.items()}
compare(my_times_the_limit, medians[8]["by_token"] / medians[8][LIMIT], within="a factor of 2")
for N, rows in times.items():
    print(f"\nN = {N}, forward + backward, {CLOCK_NAME}; ratio to the limit")
    print(timing_table(rows, LIMIT))
for N in (8, 32):
    assert medians[N]["by_token"] > 3 * medians[N]["by_slices"]
    assert medians[N]["by_slices"] > 0.8 * medians[N][LIMIT]
assert medians[32]["by_mask"] > 3 * medians[32]["by_slices"]
assert medians[32]["by_mask"] > 1.5 * medians[8]["by_mask"]
assert medians[32]["by_expert"] > 1.1 * medians[8]["by_expert"]
assert max(medians[32][name] for name in ("by_search", "by_slices", "Experts (package)")) < medians[32]["by_expert"]

# %% [markdown]
# These are your machine's numbers. On ours, each time: `by_token` takes over three times as long as `by_slices`;
# `by_slices` does not beat the limit by more than a fifth; `by_mask` grows with N, as its work does (T·N rows in place
# of T·k), and `by_expert` too; and at N = 32 all who gather and add *once* are faster than `by_expert`. `by_search` is
# among them, so the search is not what costs. For every expert, `by_expert` copies all of y, and backward makes a
# gradient of all of x (the trap below).
#
# **Question for the picture:** how far right a bar reaches is how many times the limit it takes (log scale: equal steps
# multiply). Which bars grow from N = 8 to 32, although the active work stays the same? Where would you still look for
# time?

# %% name="picture-speed"
# one axis for both N: the picture shows at least the largest multiple of either
reach = max(spread(seconds).high / medians[N][LIMIT] for N, rows in times.items() for seconds in rows.values())
Live(
    lambda N: speed_svg(times[N], LIMIT, f"N = {N}: forward + backward, {CLOCK_NAME}", reach),
    N=choice("N, experts", [8, 32]),
)

# %% [markdown]
# You should see `by_mask` run away, and `by_expert` grow. Those that gather once have the short bars at N = 32; whether
# they grow too, your picture says. What they take above 1 is shorter products, copied rows and autograd: see *deeper*.
#
# > **Myth: "the loop over experts is the slow part."** Let us run the same code with experts of width d = f = 1.
# > Then there is next to nothing to multiply: what remains is the loop, with sorting, copying and autograd.

# %%
tiny = interleaved({f.__name__: step(f, *draw(32, 1024, d=1, f=1)) for f in (by_token, by_slices)}, 5)
bare, of_gap = {}, {}
for name, turns in (("by_token", 1024 * 2), ("by_slices", 32)):
    seconds, real = spread(tiny[name]).median, medians[32][name]
    bare[name], of_gap[name] = seconds / real, seconds / (real - medians[32][LIMIT])
    print(f"N = 32, {name:<9}: with experts of width 1 it takes {bare[name]:3.0%} of its time with real ones, "
          f"{of_gap[name]:3.0%} of the gap to the limit; {turns} turns of {seconds / turns * 1e6:.0f} µs")  # fmt: skip
assert bare["by_slices"] < 0.4
assert of_gap["by_slices"] < 0.6
assert bare["by_token"] > 0.25

# %% [markdown]
# Right is: it matters *over what* the loop goes. A turn has its price, whatever it multiplies.
# For N turns with a whole slice each that is a small part of the time, a larger one of the gap. For T·k turns with a
# single row each it is a large part. (On a GPU the products are so fast that starting 2N of them counts.)
#
# ## The trap: `w[e]`
#
# We called the versions with `W1.unbind()`, a list of N matrices. The same functions also accept `W1` itself, one stacked tensor (N, d, f). Then `W1[e]` is a view; it copies nothing.
#
# **Predict.** Call `by_slices` with the stacked tensors: 256 tokens, d = 256, f = 512, N = 32. How many times as long
# as with `unbind` does it take forward alone? And forward plus backward? (This takes some seconds.)

# %% name="predict-trap" tags=["predict"]
my_ratio_forward, my_ratio_with_backward = ..., ...  # two numbers


# %%
def trap(N, rounds=5):
    x, W1, W2, selected, weights = draw(N, T=256, d=256, f=512)

    def run(backward, unbound):
        with torch.set_grad_enabled(backward):
            parts = (W1.unbind(), W2.unbind()) if unbound else (W1, W2)
            y = by_slices(x, *parts, selected, weights)  # (T, d)
        if backward:
            torch.autograd.grad(y, (x, W1, W2, weights), torch.ones_like(y))

    ways = {(b, u): (lambda b=b, u=u: run(b, u)) for b in (False, True) for u in (False, True)}
    return interleaved(ways, rounds, progress=lambda turns: tqdm(turns, desc=f"N = {N}"))


ratios = {}
for N in (8, 32):
    seconds = {way: spread(t).median for way, t in trap(N).items()}
    ratios[N] = [seconds[b, False] / seconds[b, True] for b in (False, True)]
compare(my_ratio_forward, ratios[32][0], within="a factor of 2")
compare(my_ratio_with_backward, ratios[32][1], within="a factor of 2")
for N, (forward, both) in ratios.items():
    print(f"N = {N:>2}: w[e] takes {forward:5.2f} times as long forward, {both:6.2f} times with backward")
assert ratios[32][0] < 2 < 3 < ratios[32][1]

# %% [markdown]
# Forward they are alike. Backward they are not, worse with larger N.
#
# > **Myth: "`w[e]` is only a view, so indexing is free."** True of the forward pass. But what is the *gradient* of
# > `w[e]`? Autograd gives it the shape of what was indexed: all of `w`, zeros except for slice e. Count the bytes made:


# %%
def gradient_bytes(pieces):
    """Bytes of gradient that the nodes which cut `pieces` from one tensor hand back to it"""
    made = []
    for node in {piece.grad_fn for piece in pieces}:
        node.register_hook(lambda handed_back, _: made.extend(g.nbytes for g in handed_back))
    sum(piece.sum() for piece in pieces).backward()
    return sum(made)


for N in (8, 32):
    w = draw(N, T=256, d=256, f=512)[1]  # (N, d, f): W1 of the cell before
    indexed, unbound = gradient_bytes([w[e] for e in range(N)]), gradient_bytes(w.unbind())
    print(f"N = {N:>2}: w has {w.nbytes / 2**20:3.0f} MiB; gradients made with w[e] {indexed / 2**20:5.0f} MiB, "
          f"with unbind {unbound / 2**20:3.0f} MiB")  # fmt: skip
    assert indexed == N * w.nbytes
    assert unbound == w.nbytes
x, _, _, selected, _ = draw(32, 1024)
found = [torch.where(selected == e)[0] for e in range(32)]  # N times (rows,)
in_loop, once = gradient_bytes([x[t] for t in found]), gradient_bytes([x[torch.cat(found)]])
print(f"N = 32: x has {x.nbytes / 2**20} MiB; gradients made with x[t] for every expert {in_loop / 2**20} MiB, "
      f"with one x[token] {once / 2**20} MiB")  # fmt: skip
assert (in_loop, once) == (32 * x.nbytes, x.nbytes)

# %% [markdown]
# Right is: N indexings make N gradients of full size, nearly all zeros, which are then added up: N times the bytes of
# `w`, however few the tokens. `unbind` is one operation; its gradient is `w` once. (`for A in W1` calls `unbind` for
# you.) So: **unbind before the loop, or keep one parameter per expert.** A test of outputs, or of the forward time, would
# never find this.
#
# `x[t]` in a loop over experts is the same trap: `by_expert` walks into it (last line of the output). So is `x[t]` in a
# loop over tokens, which is why `by_token` loops with `zip(x, …)`.
#
# ## "Times faster" than what?
#
# > **Myth: "top-2 of 8 makes the layer four times faster."** Four is N/k. Faster than *what*?

# %%
case = draw(8, 1024)
ffn = [a.detach()[0].requires_grad_() for a in case[1:3]]  # one expert, as a dense FFN for every token


def one_ffn():
    torch.autograd.grad(expert(case[0], *ffn), (case[0], *ffn), torch.ones_like(case[0]))


versus = interleaved({"top-2 of 8": step(by_slices, *case), "all 8": step(by_mask, *case), "one FFN": one_ffn}, 7)
print(timing_table(versus, "top-2 of 8"))
own = {name: spread(t).median for name, t in versus.items()}
assert own["one FFN"] < own["top-2 of 8"] < own["all 8"]

# %% [markdown]
# Right is: the *expert work* is a quarter of running all eight, the dense mixture of lesson 02. Against a dense model with
# one FFN of an expert's size it is k = 2 times the work. Compare your table with 4 and 0.5: measured ratios differ.
# Lesson 06 asks which baseline is fair.
#
# ## Uneven loads, empty experts, k = N
#
# **Predict.** The router sends every token to the same two experts; six stand empty. On your processor, does a step
# take (a) about as long (b) 2 times (c) 4 times as long as with even loads?

# %% name="predict-uneven" tags=["predict"]
my_letter = ...  # "a", "b" or "c"

# %%
tokens, W1, W2, selected, weights = case
even = torch.arange(selected.numel()).reshape(-1, 2) % 8  # (T, k): every expert 256 rows
same_two = torch.tensor([[0, 1]]).expand_as(selected)  # (T, k)
everyone = torch.arange(8).expand(len(tokens), 8)  # (T, N): k = N
eighths = torch.full(everyone.shape, 1 / 8, requires_grad=True)  # (T, N)
loads_timed = interleaved({
    "even": step(by_slices, tokens, W1, W2, even, weights), "as routed": step(by_slices, *case),
    "all to two": step(by_slices, tokens, W1, W2, same_two, weights),
    "k = N = 8": step(by_slices, tokens, W1, W2, everyone, eighths)}, 7)  # fmt: skip
uneven = spread(loads_timed["all to two"]).median / spread(loads_timed["even"]).median
compare(my_letter, "a" if uneven < 1.5 else "b" if uneven < 3 else "c")
print(timing_table(loads_timed, "even"))
assert uneven < 1.5

# %% [markdown]
# The same rows are computed, in fewer and longer slices: on one processor uneven loads hardly matter here. When experts
# live on *different* machines, all wait for the fullest. Empty experts get no rows and so no gradient. And k = N is the dense mixture of lesson 02, with
# 8/2 times the work of k = 2.

# %%
y, _, grad_W1, _, _ = results(by_slices, tokens, W1, W2, same_two, weights)
print("experts that get a gradient:", [f"E{e + 1}" for e in range(8) if grad_W1[e].any()])
for name, chosen in (("even", even), ("as routed", selected), ("all to two", same_two)):
    loads = chosen.flatten().bincount(minlength=8).float()  # (N,)
    print(f"{name:<10} loads {loads.int().tolist()}: largest / mean = {loads.max() / loads.mean():.2f} "
          "(computed, not timed)")  # fmt: skip
assert not grad_W1[2:].any()
dense = sum(expert(tokens, W1[e], W2[e]) / 8 for e in range(8))  # (T, d)
apart = (by_slices(tokens, W1, W2, everyone, eighths) - dense).abs().max().item()
print(f"k = N = 8 differs from the dense mixture by {apart:.1g} at most")
assert apart < 1e-6

# %% [markdown]
# ## What the router costs
#
# The router scores all N experts for every token: 2dN FLOPs forward. The k active experts take k·4df, or k·6df with
# SwiGLU.
#
# **Predict.** In DeepSeek-V3 each token is scored against 256 experts of which 8 are used. What share of the work of
# the router and those 8 together is the router's?

# %% name="predict-router" tags=["predict"]
my_share = ...  # for instance 0.2 for a fifth


# %%
def router_share(d, f, N, k, matrices=3):
    """The router's share of the FLOPs of a sparse layer; `matrices` per expert: 2 for ReLU, 3 for SwiGLU"""
    router, experts = 2 * d * N, k * 2 * matrices * d * f
    return router / (router + experts)


configs = {name: model.config for name, model in PUBLISHED.items()}  # sources: in moe_lessons/accounting.py
shares = {name: router_share(c.d_model, c.d_ff, c.num_experts, c.top_k) for name, c in configs.items()}
compare(my_share, shares["DeepSeek-V3"], within="a factor of 2")
for name, c in configs.items():
    print(
        f"{name:<13} d = {c.d_model}, f = {c.d_ff:>5}, N = {c.num_experts:>3}, k = {c.top_k}: router {shares[name]:.1e}"
    )
for N in (8, 32):
    print(f"this lesson, with N = {N}: {router_share(128, 256, N, 2, matrices=2):.1e}")
assert max(shares.values()) < 0.01

# %% [markdown]
# > **Myth: "scoring every expert eats up what sparsity saves."** It is below one percent in each of these models. The width d
# > cancels: for SwiGLU, router to experts is N to 3kf. Many *narrow* experts make it grow.
#
# FLOPs are not seconds, though. Softmax, top-k and sorting hardly count as FLOPs, but they take time. We time the
# router alone (scores, top-k, softmax), the sorting alone, and the whole layer:


# %%
def time_shares(N):
    """Shares of the time of forward plus backward: the router's, and that of sorting and counting"""
    moe = MoELayer(128, 256, N, 2)
    x = draw(N, 1024)[0]  # (T, d)
    parameters = list(moe.parameters())

    def routing():
        torch.autograd.grad(moe.router(x).weights.square().sum(), (x, *moe.router.parameters()))

    chosen = moe.router(x).selected.flatten()  # (T·k,)

    def sorting():
        chosen.argsort(stable=True), chosen.bincount(minlength=N)

    def whole():
        torch.autograd.grad(moe(x), (x, *parameters), torch.ones_like(x))

    seconds = interleaved({"routing": routing, "sorting": sorting, "whole": whole}, 9)
    return [spread(seconds[name]).median / spread(seconds["whole"]).median for name in ("routing", "sorting")]


for N in (8, 32):
    routing, sorting = time_shares(N)
    print(f"N = {N:>2}: the router is {router_share(128, 256, N, 2, matrices=2):.1%} of the FLOPs, "
          f"{routing:.1%} of the time; sorting {sorting:.1%} of the time")  # fmt: skip
    assert routing + sorting < 1 / 3

# %% [markdown]
# Right is: little work, and a larger share of the time, here below a third. What sparsity does cost: memory for all N experts, and traffic between machines.
#
# ## Recap
#
# 1. The layer takes the place of the FFN: norm(r) after attention goes in, its output is added to r. An expert is an
#    FFN: 4df FLOPs per token with ReLU, 6df with SwiGLU.
# 2. Loop over tokens, loop over experts, sort and slice: one function, equal up to rounding. Dispatch copies rows to
#    their experts, combine weights them and adds them up.
# 3. Time in turns, with medians and quartiles, beside the active matrix products. How far above them you are is what
#    the code costs.
# 4. `w[e]`, or `x[t]`, in a loop makes a gradient of full size at every turn. Forward timing does not show it. Unbind
#    first; gather once.
# 5. On one processor uneven loads hardly mattered (`by_slices`, N = 8); across machines the fullest expert sets the pace.
#    The router has a small share of the FLOPs. "N/k times faster" is against running all N experts.
#
# **What this lesson cannot tell you:** how these versions rank on a GPU, or on many machines: other things are slow
# there. Nor whether a sparse layer is worth its memory. That is lesson 06.
#
# ## Quiz
#
# **1. Two layers give equal outputs and equal gradients, and their forward times agree. Which may still be ten times
# slower to train?** (a) neither (b) the one that indexes `w[e]` in its loop (c) the one that sorts
#
# <details><summary>Answer</summary>
#
# (b). Its backward pass makes a gradient of full size for every expert. (a) trusts the forward time, which does not
# include that. (c): sorting T·k small whole numbers is a small part.
#
# </details>
#
# **2. 16 experts, k = 4. Against which layer does yours do a quarter of the expert work?** (a) a dense FFN of one expert's
# width (b) all 16 experts run for every token (c) the same layer with k = 1
#
# <details><summary>Answer</summary>
#
# (b): 4/16. Against (a) it is four times the work, since four experts run. Against (c) as well.
#
# </details>
#
# **3. An expert got no token in this batch. What happens?** (a) the layer must skip it, or it fails (b) it computes on
# zeros (c) its slice is empty, and so its gradient is zero
#
# <details><summary>Answer</summary>
#
# (c). A product of (0, d) with (d, f) is (0, f), which needs no special case (a). (b): an empty slice has no rows at
# all, not rows of zeros.
#
# </details>
#
# ## Next
#
# - Exercises: [](exercises:05), {{questions}}.
# - The package's layer: [](module:layer), read together below. The clock:
#   [](module:timing).
# - Lesson 06: what it all costs, and whether it is worth it.

# %% [markdown] name="deeper-read" tags=["deeper"]
# ## Deeper: the package's layer
#
# Find sort, slices and combine in these two functions. `sorted_rows` has two branches: experts of up to 2^17 numbers a
# matrix are stacked, for one grouped product; larger ones are separate parameters, and get slices (`split`). The output
# says which ran. `per_token` and `per_expert` are our loops.

# %% name="deeper-read-cell" tags=["deeper"]
import inspect
from unittest.mock import patch

from moe_lessons.layer import Experts, per_expert, per_token
from moe_lessons.layer import SMALL_MATRIX

print(inspect.getsource(Experts.forward))
print(inspect.getsource(Experts.sorted_rows))
assert SMALL_MATRIX == 2**17
for activation, storage in (("relu", None), ("gelu", None), ("swiglu", None), ("relu", "separate")):
    moe = MoELayer(32, 48, 8, 2, activation=activation, storage=storage)
    x_small = torch.randn(100, 32)  # (T, d)
    with patch.object(torch.nn.functional, "grouped_mm", wraps=torch.nn.functional.grouped_mm) as grouped:
        y_small, routing = moe(x_small, return_routing=True)
    loops = [loop(moe.experts, x_small, routing.selected, routing.weights) for loop in (per_token, per_expert)]
    agrees = all(torch.allclose(y_loop, y_small, atol=1e-5) for y_loop in loops)  # y_loop (T, d)
    ran = f"{grouped.call_count} grouped products"
    print(f"{activation:<6} {moe.experts.storage:<8}: {ran}, agrees with both loops: {agrees}")
    assert agrees
    assert grouped.called == (moe.experts.storage == "stacked")

# %% [markdown] name="deeper-apart" tags=["deeper"]
# ## Deeper: the gap to the limit, taken apart
#
# Between the limit and `by_slices` lies a step that we can time: the same six products, but in N slices, each with its
# own matrices and gradients. No choosing, no copying of rows, no autograd.


# %% name="deeper-apart-cell" tags=["deeper"]
def products_in_slices(N, case):
    """Return a function that makes the six products for each expert's slice"""
    loads = case[3].flatten().bincount(minlength=N).tolist()  # (N,)
    x, W1, W2, *_ = case
    blocks = [products_only(x, W1[e:], W2[e:], torch.zeros(loads[e]), None) for e in range(N)]
    return lambda: [block() for block in blocks]


for N in (8, 32):
    drawn = draw(N, 1024)
    timed = interleaved({"one block": products_only(*drawn), "N slices": products_in_slices(N, drawn),
                         "by_slices": step(by_slices, *drawn)}, 9)  # fmt: skip
    print(f"N = {N}")
    print(timing_table(timed, "one block"))

# %% [markdown] name="deeper-apart-reading" tags=["deeper"]
# From the first line to the second: shorter products and more matrices to read and write. From the second to the third:
# sorting, copying rows, autograd's bookkeeping, and stacking N gradients into one.
#
# ## Deeper: all slices in one call
#
# `torch.nn.functional.grouped_mm` takes all rows, all matrices, and the row at which each slice *ends*. On a GPU this
# saves 2N starts. On a CPU (torch 2.13, float32 or bfloat16) it runs as well. The third row is `by_slices` with a
# parameter per expert, whose gradients need no stacking. Against it, the gain of one call shrinks with the width; does
# it win at both sizes?


# %% name="deeper-grouped" tags=["7 s", "deeper"]
def by_group(x, W1, W2, selected, weights):
    """As by_slices, with one product for all experts. W1 (N, d, f) and W2 (N, f, d) are stacked."""
    order = selected.flatten().argsort(stable=True)  # (T·k,)
    token = order // selected.shape[1]  # (T·k,)
    ends = selected.flatten().bincount(minlength=len(W1)).cumsum(0).to(torch.int32)  # (N,)
    hidden = torch.relu(torch.nn.functional.grouped_mm(x[token], W1, offs=ends))  # (T·k, f)
    outputs = torch.nn.functional.grouped_mm(hidden, W2, offs=ends)  # (T·k, d)
    return torch.zeros_like(x).index_add(0, token, outputs * weights.flatten()[order, None])


def grouped_step(x, W1, W2, selected, weights):
    v = torch.ones_like(x)  # (T, d)
    return lambda: torch.autograd.grad(by_group(x, W1, W2, selected, weights), (x, W1, W2, weights), v)


def separate_step(x, W1, W2, selected, weights):
    A, B = ([one.detach().clone().requires_grad_() for one in W] for W in (W1, W2))  # N matrices each
    v = torch.ones_like(x)  # (T, d)
    return lambda: torch.autograd.grad(by_slices(x, A, B, selected, weights), (x, *A, *B, weights), v)


timed = {}
for d, f in ((32, 64), (256, 1024)):
    drawn = draw(32, 1024, d, f)
    timed[d] = interleaved({"by_group": grouped_step(*drawn), "by_slices": step(by_slices, *drawn),
                            "by_slices, separate": separate_step(*drawn)}, 5)  # fmt: skip
    print(f"N = 32, d = {d}, f = {f}")
    print(timing_table(timed[d], "by_slices, separate"))
gains = [spread(t["by_group"]).median / spread(t["by_slices, separate"]).median for t in timed.values()]
assert gains[0] < gains[1]

# %% [markdown] name="deeper-memory" tags=["deeper"]
# ## Deeper: memory
#
# A training step keeps inputs and hidden rows for its backward pass. We count the bytes that autograd saves, each piece
# of memory once, with N = 8 and k = 2.


# %% name="deeper-memory-cell" tags=["deeper"]
def saved_bytes(layer, x, W1, W2, selected, weights):
    """Bytes that the forward pass keeps for the backward pass, without the parameters"""
    kept = {}

    def keep(a):
        kept[a.untyped_storage().data_ptr()] = a.untyped_storage()
        return a

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda a: a):
        layer(x, W1.unbind(), W2.unbind(), selected, weights)
    parameters = {a.untyped_storage().data_ptr() for a in (W1, W2)}
    return sum(s.nbytes() for place, s in kept.items() if place not in parameters)


drawn = draw(8, 1024)
saved = {f.__name__: saved_bytes(f, *drawn) for f in (by_mask, by_expert, by_slices)}
for name, count in saved.items():
    print(f"{name:<10} keeps {count / 2**20:5.1f} MiB; all experts' weights are {2 * drawn[1].nbytes / 2**20:.1f} MiB")
assert saved["by_mask"] > 2 * saved["by_slices"]

# %% [markdown] name="deeper-memory-reading" tags=["deeper"]
# `by_mask` keeps the hidden rows of T·N computations, the others those of T·k, and copies of the rows they dispatched.
# Sparsity saves no memory for the weights of the N experts.
