# %% [markdown]
# # 05 · The sparse layer
#
# **How is a sparse layer computed, and is it as fast as the arithmetic promises?** The router has named k experts for
# each token. You will write the layer in several ways, check that all give the same numbers, and time them on your
# machine.
#
# You will be able to
#
# 1. say where the layer sits in a transformer block, and build its router as a torch module;
# 2. work out an expert by hand, and count its multiplications and additions, the FLOPs (ReLU and SwiGLU);
# 3. write the layer as a loop over tokens, over experts, and with sorted slices, and show that all agree;
# 4. time such code fairly, forward and backward, and count the bytes behind a time;
# 5. say what an uneven load and the router itself cost, and name the baseline of a "times faster".
#
# **Before:** lessons 01 and 04, and in the [toolbox](lesson:00b) the feed-forward network and the residual stream.
# **Time:** {{minutes}}.

# %% name="setup" tags=["setup"]
import torch
from torch import nn

from moe_lessons import layer
from moe_lessons.accounting import PUBLISHED
from moe_lessons.checks import compare, reveal
from moe_lessons.figures.block import block_svg
from moe_lessons.figures.dispatch import dispatch_svg
from moe_lessons.figures.speed import speed_svg
from moe_lessons.figures.still import Picture
from moe_lessons.support.progress import tqdm
from moe_lessons.support.timing import CLOCK_NAME, interleaved, spread
from moe_lessons.widgets.live import Live, choice, slider

torch.set_num_threads(1)  # one thread for every measurement below: fewer things can disturb it
# CPU time: only the seconds in which the processor worked for us; on Windows wall time, all seconds
print("torch", torch.__version__, "with", torch.get_num_threads(), "thread; measured is", CLOCK_NAME)

# %% [markdown]
# ## Where the layer sits
#
# A transformer block has two halves. Attention lets tokens look at each other. The second half treats each token by
# itself: it is a feed-forward network (FFN), or, in a sparse model, our layer.
#
# **Question for the picture:** from where does the router get its x, and what happens to what the layer returns?

# %% name="picture-block"
Picture(block_svg([0, 0.7, 0, 0.3]))  # gate weights of four experts

# %% [markdown]
# You should see that x is not the token's embedding. It is norm(r) *after* attention, so the router sees context, and
# the experts get the same x. What the layer returns is *added* to r: where it returns zeros, the token passes
# unchanged.
#
# ## The router, from scratch
#
# A router is one matrix: scores, top-k, and a softmax over the kept logits. Ours has no bias (lesson 01).


# %%
class Router(nn.Module):
    def __init__(self, d_model, num_experts, top_k, bias=False):
        super().__init__()
        self.top_k = top_k
        bound = d_model**-0.5
        self.W_g = nn.Parameter(torch.empty(d_model, num_experts).uniform_(-bound, bound))  # (d, N)
        self.bias = nn.Parameter(torch.zeros(num_experts)) if bias else None  # (N,)

    def forward(self, x):
        """x (T, d) -> logits (T, N); selected (T, k), best first; their gate weights (T, k)"""
        h = x @ self.W_g  # (T, N)
        if self.bias is not None:
            h = h + self.bias
        best, selected = h.topk(self.top_k)  # (T, k) each
        return h, selected, best.softmax(dim=-1)


# %% [markdown]
# `nn.Parameter` is what training will move. The package's router gets the parameters of yours. Does it answer the same?

# %%
mine, theirs = Router(128, 8, 2, bias=True), layer.Router(128, 8, 2, bias=True)
nn.init.normal_(mine.bias)  # at 0, where it begins, it would not show
theirs.load_state_dict(mine.state_dict())  # the same names, so this copies every parameter
x = torch.randn(1000, 128)  # (T, d)
(_, selected, weights), routing = mine(x), theirs(x)
print("parameters:", {name: tuple(parameter.shape) for name, parameter in mine.named_parameters()})
print("the same experts for each token:", torch.equal(selected, routing.selected))
print("largest difference of a gate weight:", (weights - routing.weights).abs().max().item())
assert torch.equal(selected, routing.selected)
assert (weights - routing.weights).abs().max() < 1e-6

# %% [markdown]
# ## One expert, by hand
#
# An expert is an FFN with an inner width, **d_ff**. The plain kind:
# $E(x) = \mathrm{ReLU}(x W_1)\,W_2$. With x = (2, 1):


# %%
def expert(x, W1, W2):
    return torch.relu(x @ W1) @ W2  # (…, d) -> (…, d_ff) -> (…, d)


x = torch.tensor([2.0, 1.0])  # (d,) = (2,)
W1 = torch.tensor([[1.0, 0.0, -1.0], [0.0, 1.0, 1.0]])  # (d, d_ff) = (2, 3)
W2 = torch.tensor([[1.0, 0.0], [1.0, -1.0], [2.0, 2.0]])  # (d_ff, d) = (3, 2)
print("x W1 =", (x @ W1).tolist(), " after the ReLU", torch.relu(x @ W1).tolist())
print("E(x) =", expert(x, W1, W2).tolist())
assert expert(x, W1, W2).tolist() == [3.0, -1.0]

# %% [markdown]
# On paper: 2·(1, 0) + 1·(1, −1) + 0·(2, 2) = (3, −1). The third hidden unit was −1, and the ReLU closed it.
#
# Mixtral and OLMoE use **SwiGLU** (Shazeer 2020, arXiv:2002.05202): a third matrix, and
# $\mathrm{silu}(z) = z / (1 + e^{-z})$ in place of the ReLU (by hand: *deeper*):
#
# $$E(x) = \big(\mathrm{silu}(x W_1) \odot x W_3\big)\, W_2$$
#
# A **FLOP** is one multiplication or one addition. Each number of a matrix costs one of each per token: two FLOPs.
# Forward that is **4·d·d_ff** for ReLU (two matrices) and **6·d·d_ff** for SwiGLU. The backward pass makes two products
# for each one forward.
#
# ## The layer, in plain loops
#
# $$y_t = \sum_{i \in S_t} w_{ti}\, E_i(x_t)$$
#
# `selected` (T, k) and `weights` (T, k) come from the router. The first version is the formula:


# %%
def by_token(x, W1, W2, selected, weights):
    """x (T, d); W1, W2: N matrices (d, d_ff) and (d_ff, d); selected, weights (T, k). Returns (T, d)."""
    rows = []
    for x_t, w_t, chosen in zip(x, weights, selected.tolist(), strict=True):
        outputs = [expert(x_t, W1[e], W2[e]) for e in chosen]  # k times (d,)
        rows.append(w_t @ torch.stack(outputs))  # (k,) @ (k, d) -> (d,)
    return torch.stack(rows)


# %% [markdown]
# Every call multiplies a single row: T·k calls, 128 for 64 tokens and k = 2. Turn it round: loop over *experts*, which
# are few. Each finds its tokens first:


# %%
def by_expert(x, W1, W2, selected, weights):
    y = torch.zeros_like(x)  # (T, d)
    for e in range(len(W1)):
        t, place = torch.where(selected == e)  # (rows,) each: who asked, and as which choice
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
# E4 has no token. Its slice is empty and begins where E3's ends: no special case. The whole layer:


# %%
def by_slices(x, W1, W2, selected, weights):
    """Sort the assignments by expert, multiply slice by slice, add each row to the token it came from."""
    order = selected.flatten().argsort(stable=True)  # (T·k,)
    loads = selected.flatten().bincount(minlength=len(W1))  # (N,)
    token = order // selected.shape[1]  # (T·k,)
    slices = x[token].split(loads.tolist())  # N slices (rows, d)
    outputs = torch.cat([expert(rows, W1[e], W2[e]) for e, rows in enumerate(slices)])  # (T·k, d)
    return torch.zeros_like(x).index_add(0, token, outputs * weights.flatten()[order, None])


# %% [markdown]
# Copying rows to their experts is called **dispatch**; weighting and adding them, **combine**.
#
# Are the three versions the same function? Random tokens and experts, your router, five seeds, outputs and gradients:


# %%
def draw(N, T, d=128, d_ff=256, k=2, seed=0):
    """x (T, d), W1 (N, d, d_ff), W2 (N, d_ff, d), selected (T, k), weights (T, k)"""
    torch.manual_seed(seed)
    x, W1, W2 = torch.randn(T, d), torch.randn(N, d, d_ff) / d**0.5, torch.randn(N, d_ff, d) / d_ff**0.5
    _, selected, weights = Router(d, N, k)(x)
    return *(a.requires_grad_() for a in (x, W1, W2)), selected, weights.detach().requires_grad_()


def results(version, x, W1, W2, selected, weights):
    y = version(x, W1.unbind(), W2.unbind(), selected, weights)  # unbind: a list of N matrices
    return [y, *torch.autograd.grad(y.square().sum(), (x, W1, W2, weights))]


for version in (by_expert, by_slices):
    worst = 0.0
    for seed in range(5):
        case = [a.double() if a.is_floating_point() else a for a in draw(8, 64, seed=seed)]
        pairs = zip(results(by_token, *case), results(version, *case), strict=True)
        worst = max([worst, *(((a - b).abs().max() / a.abs().max()).item() for a, b in pairs)])
    print(f"{version.__name__:<9} differs from by_token by {worst:.0e} of the largest entry at most")
    assert worst < 1e-13

# %% [markdown]
# Only rounding (float64). Now the way of every row.
#
# **Question for the picture:** go through the steps 1 to 4. Whose lines does step 4 retrace? Then: what do the loads
# sum to when you change N or the seed? Which settings make all loads equal, whatever the seed? Which make sure that
# some expert is empty?


# %% name="picture-dispatch"
def routed(T, k, N, seed):
    """Choices and weights (T, k) of a random router for random tokens of width 4"""
    torch.manual_seed(seed)
    _, selected, weights = layer.Router(4, N, k)(torch.randn(T, 4))
    return selected, weights.detach()


Live(
    lambda step, T, k, N, seed: dispatch_svg(*routed(T, k, N, seed), step, N),
    play="step",
    step=slider("step", 1, 1, 4, 1),
    T=slider("T, tokens", 6, 2, 8, 1),
    k=slider("k, active", 2, 1, 3, 1),
    N=slider("N, experts", 5, 3, 8, 1),
    seed=slider("seed", 0, 0, 20, 1),
)

# %% [markdown]
# You should see that step 4 sends each row back to where step 2 took it from. The loads always sum to T·k. With
# k = N = 3 every expert gets every token: all loads are T, the dense mixture of lesson 02. With T·k below N someone
# must stay empty, a dashed box (T = 2, N = 8).
#
# ## The race
#
# A training step cannot do without the **active matrix products**: T·k rows times two matrices forward, and four
# products of that size backward. We time just these six, on one large block of rows, with the matrices of one expert:
# our limit. To be fair, all versions run in turns, in changing order: a machine that slows down then slows all alike.
# You will see medians and quartiles, of forward plus backward, on one thread.
#
# Three more run: the package's `Experts`, which sorts as `by_slices` does; `by_slices` with k = N, every expert on
# every token; and one dense FFN of an expert's size.
#
# We race with 1,024 tokens, 8 experts, k = 2, d = 128, d_ff = 256. First the limit itself, and what a single row takes.


# %%
def step(version, x, W1, W2, selected, weights):
    """Return a function that runs `version` forward and backward once"""
    v = torch.ones_like(x)  # (T, d): the gradient that comes from above

    def run():
        y = version(x, W1.unbind(), W2.unbind(), selected, weights)  # (T, d)
        torch.autograd.grad(y, (x, W1, W2, weights), v)

    return run


def products_only(x, W1, W2, selected, weights):
    """Return a function that makes the six active products and nothing else"""
    rows, A, B = torch.randn(selected.numel(), x.shape[1]), W1[0].detach(), W2[0].detach()  # (T·k, d), (d, d_ff), …

    def run():
        hidden = rows @ A  # (T·k, d_ff)
        v = hidden @ B  # (T·k, d)
        v_hidden = v @ B.T  # (T·k, d_ff)
        return hidden.T @ v, rows.T @ v_hidden, v_hidden @ A.T

    return run


# %% name="limit-alone"
case = draw(8, 1024)
alone = [a.detach().requires_grad_() for a in (case[0][:1], case[1][0], case[2][0])]  # (1, d), (d, d_ff), (d_ff, d)


def hundred_rows():
    for _ in range(100):
        torch.autograd.grad(expert(*alone).sum(), alone)


timed = interleaved({"limit": products_only(*case), "rows": hundred_rows})
limit, rows = (1000 * spread(seconds).median for seconds in timed.values())  # ms
print(f"the limit: {limit:.1f} ms for all 2,048 rows")
print(f"one row alone through one expert, forward and backward: {rows / 100:.3f} ms")

# %% [markdown]
# **Predict.** `by_token` takes the same 2,048 rows one by one. How many times the limit does it take?

# %% name="predict-race" tags=["predict"]
my_times_the_limit = ...  # a number

# %% name="race" tags=["10 s"]
LIMIT, ALL, ONE = "products only", "by_slices, k = N", "one dense FFN"


def race(N, T=1024):
    case = draw(N, T)
    x, W1, W2, selected, weights = case
    v, experts = torch.ones_like(x), layer.Experts(128, 256, N)  # (T, d)
    inputs = (x, weights, *experts.parameters())
    ffn = [a[0].detach().requires_grad_() for a in (W1, W2)]
    everyone = (torch.arange(N).expand(T, N), torch.full((T, N), 1 / N, requires_grad=True))
    versions = {f.__name__: step(f, *case) for f in (by_token, by_expert, by_slices)} | {
        "Experts (package)": lambda: torch.autograd.grad(experts(x, selected, weights), inputs, v),
        ALL: step(by_slices, x, W1, W2, *everyone),
        ONE: lambda: torch.autograd.grad(expert(x, *ffn), (x, *ffn), v),
        LIMIT: products_only(*case),
    }
    return interleaved(versions, rounds=5, progress=lambda turns: tqdm(turns, desc=f"N = {N}"))


times = {N: race(N) for N in (8, 32)}
medians = {N: {name: spread(seconds).median for name, seconds in rows.items()} for N, rows in times.items()}

# %% [markdown]
# **Question for the picture:** a bar ends at how many times the limit it takes (log scale: equal steps multiply). Which
# grow from N = 8 to 32, although the active work stays the same?

# %% name="picture-speed"
compare(my_times_the_limit, medians[8]["by_token"] / medians[8][LIMIT], within="a factor of 1.5")
Live(
    lambda N: speed_svg(times[N], LIMIT, f"N = {N}: forward + backward, {CLOCK_NAME}", reach=40),
    N=choice("N, experts", [8, 32]),
)

# %% name="race-baselines"
for N, rows in medians.items():
    print(f"N = {N}, in limits:", *(f"{name} {t / rows[LIMIT]:.1f}" for name, t in rows.items()), sep="  ")
print(f"top-2 of 8: all 8 take {medians[8][ALL] / medians[8]['by_slices']:.2f} times as long as by_slices, "
      f"one dense FFN {medians[8][ONE] / medians[8]['by_slices']:.2f} times")  # fmt: skip
assert medians[8][ONE] < medians[8]["by_slices"] < medians[8][ALL]
assert all(medians[N]["by_token"] > 3 * medians[N]["by_slices"] for N in (8, 32))
assert all(medians[N]["by_slices"] > 0.8 * medians[N][LIMIT] for N in (8, 32))
assert medians[32][ALL] > 3 * medians[32]["by_slices"]
assert medians[32][ALL] > 1.5 * medians[8][ALL]
assert medians[32]["by_expert"] > 1.1 * medians[8]["by_expert"]
assert max(medians[32]["by_slices"], medians[32]["Experts (package)"]) < medians[32]["by_expert"]

# %% [markdown]
# You should see (on our machine each time): `by_token` takes by far the longest. With k = N the time
# grows with N, as the work does. `by_expert` grows too, though its matrix products do not, and at N = 32 the two that
# gather and add *once* are faster. (What they take above 1: *deeper*.)
#
# > **Myth: "top-2 of 8 makes the layer four times faster."** Four is N/k. Faster than *what*? See the last line.
#
# Right is: the *expert work* is a quarter of running all eight, the dense mixture. Against one dense FFN of an expert's
# size it is k = 2 times the work. Compare your two ratios with 4 and 0.5: time follows the work only roughly.
#
# ## One stack, or N matrices?
#
# We called the versions with `W1.unbind()`, a list of N matrices. They also accept `W1` itself, one stacked tensor
# (N, d, d_ff). Then `W1[e]` is a view; it copies nothing.
#
# **Predict.** Call `by_slices` with the stacked tensors: 256 tokens, d = 256, d_ff = 512, N = 32. How many times as
# long as with `unbind` do forward and backward together take?

# %% name="predict-trap" tags=["predict"]
my_ratio = ...  # a number


# %% name="trap"
def trap(N):
    """How many times as long w[e] takes as unbind: forward, and forward plus backward"""
    x, W1, W2, selected, weights = draw(N, T=256, d=256, d_ff=512)
    forward = {
        "w[e]": lambda: by_slices(x, W1, W2, selected, weights),
        "unbind": lambda: by_slices(x, W1.unbind(), W2.unbind(), selected, weights),
    }
    both = {name: lambda f=f: torch.autograd.grad(f().sum(), (x, W1, W2, weights)) for name, f in forward.items()}
    timed = [interleaved(ways, rounds=5) for ways in (forward, both)]
    return [spread(seconds["w[e]"]).median / spread(seconds["unbind"]).median for seconds in timed]


ratios = {N: trap(N) for N in (8, 32)}
compare(my_ratio, ratios[32][1], within="a factor of 1.5")
for N, (forward, both) in ratios.items():
    print(f"N = {N:>2}: w[e] takes {forward:5.2f} times as long forward, {both:6.2f} times with backward")
assert ratios[32][0] < 2 < 3 < ratios[32][1]

# %% [markdown]
# Forward they are alike. Backward they are not, and it gets worse with N.
#
# > **Myth: "`w[e]` is only a view, so indexing is free."** True of the forward pass. But what is the *gradient* of
# > `w[e]`? Autograd gives it the shape of what was indexed: all of `w`, zeros except for slice e.
#
# The next cell counts the bytes. Autograd keeps a **node** for each operation (`piece.grad_fn` is the one that made
# `piece`). In the backward pass a node hands a gradient back to what the operation was given, here `w`. A **hook** is a
# function that is called then, and may look.


# %%
def gradient_bytes(pieces):
    """Bytes of gradient that the nodes which cut `pieces` from one tensor hand back to it"""
    made = []  # bytes, an entry for each gradient that is handed back

    def look(handed_back, _):
        made.extend(g.nbytes for g in handed_back)

    for node in {piece.grad_fn for piece in pieces}:  # N nodes for w[e], a single one for unbind
        node.register_hook(look)
    sum(piece.sum() for piece in pieces).backward()  # any loss would do
    return sum(made)


for N in (8, 32):
    x, w, _, selected, _ = draw(N, T=256, d=256, d_ff=512)  # (T, d), (N, d, d_ff), as in the cell before
    cuts = {"w[e]": [w[e] for e in range(N)], "w.unbind()": w.unbind(),
            "x[t]": [x[torch.where(selected == e)[0]] for e in range(N)]}  # fmt: skip
    made = {name: gradient_bytes(pieces) for name, pieces in cuts.items()}
    print(f"N = {N:>2}: w has {w.nbytes / 2**20:.0f} MiB, x {x.nbytes / 2**20} MiB; gradients made with "
          + ", ".join(f"{name} {count / 2**20:.0f} MiB" for name, count in made.items()))  # fmt: skip
    assert made == {"w[e]": N * w.nbytes, "w.unbind()": w.nbytes, "x[t]": N * x.nbytes}

# %% [markdown]
# Right is: N indexings make N gradients of full size, nearly all zeros, which are then added up: N times the bytes of
# `w`, however few the tokens. `unbind` is one operation; its gradient is `w` once. So: **unbind before the loop, or
# keep one parameter per expert.** A test of outputs, or of the forward time, never finds this. `x[t]` in a loop is the
# same trap: `by_expert` walks into it, and copies all of y at each turn. Both grow with N.
#
# ## Uneven loads, empty experts
#
# **Predict.** The router sends every token to the same two experts; six stand empty. On your processor, does a step
# take (a) about as long (b) 2 times (c) 4 times as long as with even loads?

# %% name="predict-uneven" tags=["predict"]
my_letter = ...  # "a", "b" or "c"

# %%
tokens, W1, W2, _, weights = draw(8, 1024)
loads = {
    "even": torch.arange(2048).reshape(1024, 2) % 8,  # (T, k): 256 rows for every expert
    "all to two": torch.tensor([[0, 1]]).expand(1024, 2),  # (T, k): 1,024 rows for each of two
}
timed = interleaved({name: step(by_slices, tokens, W1, W2, chosen, weights) for name, chosen in loads.items()}, 7)
uneven = spread(timed["all to two"]).median / spread(timed["even"]).median
compare(my_letter, "a" if uneven < 1.5 else "b" if uneven < 3 else "c")
print(f"all to two takes {uneven:.2f} times as long as even")
assert uneven < 1.5

# %% [markdown]
# The same rows, in fewer and longer slices: on one processor uneven loads hardly matter at this size. An expert without
# rows gets a gradient of zeros. (Under Adam, which remembers earlier gradients, it may move all the same: *deeper*.)
#
# **What one processor does not show.** Large models keep their experts on many machines.
#
# - Each row travels to its expert and back, unless that is at home: up to 2·k·d numbers per token and layer forward, as
#   many backward (**all-to-all**: every machine sends to every other).
# - All wait for the fullest machine. With one expert on each, here for 1,024 rows, where the mean is 256.
# - All N experts need memory: weights, and in training gradients and the optimizer's numbers (Adam: two a parameter).
#
# ## What the router costs
#
# The router scores all N experts: 2·d·N FLOPs a token forward. The k active experts take k·6·d·d_ff with SwiGLU.
#
# **Predict.** DeepSeek-V3 has d = 7,168 and SwiGLU experts with d_ff = 2,048. Each token is scored against N = 256 and
# uses k = 8. What share of the work of the router and those 8 together is the router's?

# %% name="predict-router" tags=["predict"]
my_share = ...  # for instance 0.2 for a fifth


# %%
def router_share(d, d_ff, N, k, matrices=3):
    """The router's share of the FLOPs of a sparse layer; `matrices` per expert: 2 for ReLU, 3 for SwiGLU"""
    router, experts = 2 * d * N, k * 2 * matrices * d * d_ff
    return router / (router + experts)


configs = {name: model.config for name, model in PUBLISHED.items()}  # sources: in moe_lessons/accounting.py
shares = {name: router_share(c.d_model, c.d_ff, c.num_experts, c.top_k) for name, c in configs.items()}
compare(my_share, shares["DeepSeek-V3"], within="10 %")
for name, c in configs.items():
    print(f"{name:<13} d = {c.d_model}, d_ff = {c.d_ff:>5}, N = {c.num_experts:>3}, k = {c.top_k}: "
          f"router {shares[name]:.1e}, all-to-all up to {2 * c.top_k * c.d_model:>7,} numbers")  # fmt: skip
assert max(shares.values()) < 0.01
c = configs["DeepSeek-V3"]
assert (c.d_model, c.d_ff, c.num_experts, c.top_k) == (7168, 2048, 256, 8)

# %% [markdown]
# > **Myth: "scoring every expert eats up what sparsity saves."** It is below one percent in each of these models. The
# > width d cancels: for SwiGLU, router to experts is N to 3·k·d_ff. Many *narrow* experts make it grow.
#
# FLOPs are not seconds, though: top-k and sorting hardly count as FLOPs, but take time (*deeper*).
#
# ## Recap
#
# 1. The layer takes the place of the FFN: norm(r) after attention goes in, its output is added to r. A router is a
#    matrix, top-k and a softmax.
# 2. An expert is an FFN: 4·d·d_ff FLOPs per token with ReLU, 6·d·d_ff with SwiGLU.
# 3. Loop over tokens, loop over experts, sort and slice: one function, equal up to rounding. Dispatch copies rows,
#    combine weights and adds them.
# 4. Time in turns, with medians, beside the active matrix products. `w[e]`, or `x[t]`, in a loop makes a gradient of
#    full size at every turn; forward timing does not show it. Unbind first; gather once.
# 5. On one processor uneven loads hardly mattered (`by_slices`, N = 8); across machines the fullest one sets the pace.
#    The router has a small share of the FLOPs. "N/k times faster" is against running all N experts.
#
# **What this lesson cannot tell you:** how these versions rank on a GPU, or on many machines: other things are slow
# there. Nor whether a sparse layer is worth its memory: lesson 06.
#
# ## Quiz
#
# {{quiz}}
#
# ## Next
#
# - Exercises: [](exercises:05), {{questions}}.
# - The package's layer: [](module:layer), read together below. The clock: [](module:timing).

# %% [markdown] name="deeper-swiglu" tags=["deeper"]
# ## Deeper: SwiGLU by hand
#
# Our expert again. For x = (2, 1), x W_1 = (2, 1, −1); the new matrix gives x W_3 = (1, 2, 2).
#
# **Predict.** The third row of W_2 becomes (200, 200) in place of (2, 2). Whose output changes?
# (a) nobody's (b) only the ReLU expert's (c) only the SwiGLU expert's (d) both

# %% name="predict-closed" tags=["predict", "deeper"]
my_expert = ...  # "a", "b", "c" or "d"

# %% name="deeper-swiglu-cell" tags=["deeper"]
before, x_W3 = torch.tensor([2.0, 1.0, -1.0]), torch.tensor([1.0, 2.0, 2.0])  # (d_ff,) each
W2 = torch.tensor([[1.0, 0.0], [1.0, -1.0], [2.0, 2.0]])  # (d_ff, d)
louder = W2 * torch.tensor([[1], [1], [100]])  # (d_ff, d)
hidden = {"ReLU": torch.relu(before), "SwiGLU": nn.functional.silu(before) * x_W3}  # (d_ff,) each
change = {name: units @ louder - units @ W2 for name, units in hidden.items()}  # (d,) each
compare(my_expert, "abcd"[int(change["ReLU"].any()) + 2 * int(change["SwiGLU"].any())])
for name, units in hidden.items():
    print(f"{name:<6}: hidden {units.numpy().round(2)}, output changes by {change[name].numpy().round(1)}")
assert not change["ReLU"].any()
assert change["SwiGLU"].abs().min() > 50
assert round(nn.functional.silu(torch.tensor(-1.0)).item(), 2) == -0.27

# %% [markdown] name="deeper-inputs" tags=["deeper"]
# A unit that the ReLU closes adds nothing, whatever stands behind it. silu closes only gradually: at −1 it lets −0.27
# through.
#
# ## Deeper: what else could a router look at?
#
# Token 0 stands at three places of a text. The mean of all tokens so far stands in for attention. Four routers, which
# look at norm(r), at r before the norm, at the embedding, and at embedding and norm(r), concatenated to 2d numbers. In
# how many of 20 texts do the experts of token 0 change with its place?


# %% name="deeper-inputs-cell" tags=["deeper"]
def norm(r):
    return r / r.square().mean(dim=-1, keepdim=True).sqrt()  # (T, d)


found = {}
for seed in range(20):
    torch.manual_seed(seed)
    narrow, wide = Router(16, 8, 2), Router(2 * 16, 8, 2)
    text = torch.randn(4, 16)[[0, 1, 2, 0, 3, 0]]  # (T, d): token 0 at places 0, 3 and 5
    r = text + norm(text).cumsum(0) / torch.arange(1, 7)[:, None]  # (T, d)
    looked_at = {"norm(r)": norm(r), "r before the norm": r, "embedding": text}
    routed_by = {name: narrow(x) for name, x in looked_at.items()}
    routed_by["embedding and norm(r)"] = wide(torch.cat([text, norm(r)], dim=-1))
    for name, (_, selected, weights) in routed_by.items():
        moved = len({frozenset(row) for row in selected[[0, 3, 5]].tolist()}) > 1
        same = torch.equal(selected, routed_by["norm(r)"][1])
        found.setdefault(name, []).append((moved, same, weights[:, 0].mean().item()))
for name, rows in found.items():
    moved, same, largest = torch.tensor(rows).T  # (20,) each
    print(f"{name:<22} changes in {moved.sum():2.0f} of 20 texts; chooses as norm(r) does in {same.sum():2.0f}; "
          f"mean of the larger weight {largest.mean():.3f}")  # fmt: skip
assert not any(moved for moved, _, _ in found["embedding"])
assert all(same for _, same, _ in found["r before the norm"])
assert any(moved for moved, _, _ in found["norm(r)"])
assert any(moved for moved, _, _ in found["embedding and norm(r)"])

# %% [markdown] name="deeper-inputs-reading" tags=["deeper"]
# This norm divides a token by a positive number. So without it the same experts win; but their weights then depend on
# how long r has grown. (A norm with a learned factor per entry could change the choice; W_g can take such factors in.)
# An embedding is the same everywhere: so are its experts. Concatenated, h is the sum of two scores, one of the token
# and one of its context: 2d rows in W_g, twice the router's FLOPs.
#
# ## Deeper: the package's layer
#
# Find sort, slices and combine in these two functions. `sorted_rows` has two branches: experts of up to 2^17 numbers a
# matrix are stacked, for one grouped product; larger ones are separate parameters, and get slices (`split`). The output
# says which ran. `per_token` and `per_expert` are our loops.

# %% name="deeper-read-cell" tags=["deeper"]
import inspect
from unittest.mock import patch

print(inspect.getsource(layer.Experts.forward))
print(inspect.getsource(layer.Experts.sorted_rows))
assert layer.SMALL_MATRIX == 2**17
for activation, storage in (("relu", None), ("swiglu", None), ("relu", "separate")):
    moe = layer.MoELayer(32, 48, 8, 2, activation=activation, storage=storage)
    x = torch.randn(100, 32)  # (T, d)
    with patch.object(nn.functional, "grouped_mm", wraps=nn.functional.grouped_mm) as grouped:
        y, routing = moe(x, return_routing=True)
    loops = [f(moe.experts, x, routing.selected, routing.weights) for f in (layer.per_token, layer.per_expert)]
    agrees = all(torch.allclose(y_loop, y, atol=1e-5) for y_loop in loops)  # y_loop (T, d)
    ran = f"{grouped.call_count} grouped products"
    print(f"{activation:<6} {moe.experts.storage:<8}: {ran}, agrees with both loops: {agrees}")
    assert agrees
    assert grouped.called == (moe.experts.storage == "stacked")

# %% [markdown] name="deeper-apart" tags=["deeper"]
# ## Deeper: is the loop the slow part?
#
# Between the limit and `by_slices` lies a step that we can time: the same six products, but in N slices, each with its
# own matrices. No choosing, no copying of rows, no autograd. And `by_slices` itself with experts of width d = d_ff = 1:
# then there is next to nothing to multiply, and the loop remains, with sorting, copying and autograd.


# %% name="deeper-apart-cell" tags=["deeper"]
def products_in_slices(N, x, W1, W2, selected, weights):
    """Return a function that makes the six products for each expert's slice"""
    loads = selected.flatten().bincount(minlength=N).tolist()  # N numbers
    blocks = [products_only(x, W1[e:], W2[e:], torch.zeros(loads[e]), None) for e in range(N)]
    return lambda: [block() for block in blocks]


for N in (8, 32):
    case = draw(N, 1024)
    timed = interleaved({
        "one block of rows": products_only(*case), "N slices": products_in_slices(N, *case),
        "by_slices": step(by_slices, *case), "by_slices, width 1": step(by_slices, *draw(N, 1024, d=1, d_ff=1)),
    }, 9)  # fmt: skip
    bare = {name: 1000 * spread(seconds).median for name, seconds in timed.items()}
    print(f"N = {N}: " + ", ".join(f"{name} {ms:.1f} ms" for name, ms in bare.items()))
    assert bare["by_slices, width 1"] < 0.4 * bare["by_slices"]

# %% [markdown] name="deeper-apart-reading" tags=["deeper"]
# From the first to the second: shorter products, more matrices to read and write. From the second to the third:
# sorting, copying rows, autograd's bookkeeping, and stacking N gradients into one. A loop of N turns with a whole slice
# each is a small part. (On a GPU the products are so fast that starting 2N of them counts.)
#
# ## Deeper: all slices in one call
#
# `torch.nn.functional.grouped_mm` takes all rows, all matrices, and the row at which each slice *ends*. On a GPU this
# saves 2N starts. On a CPU (torch 2.13, float32 or bfloat16) it runs as well. We compare it with `by_slices` and a
# parameter per expert, whose gradients need no stacking. Does one call win at both sizes?


# %% name="deeper-grouped" tags=["deeper"]
def by_group(x, W1, W2, selected, weights):
    """As by_slices, with one product for all experts. W1 (N, d, d_ff) and W2 (N, d_ff, d) are stacked."""
    order = selected.flatten().argsort(stable=True)  # (T·k,)
    token = order // selected.shape[1]  # (T·k,)
    ends = selected.flatten().bincount(minlength=len(W1)).cumsum(0).to(torch.int32)  # (N,)
    hidden = torch.relu(nn.functional.grouped_mm(x[token], W1, offs=ends))  # (T·k, d_ff)
    outputs = nn.functional.grouped_mm(hidden, W2, offs=ends)  # (T·k, d)
    return torch.zeros_like(x).index_add(0, token, outputs * weights.flatten()[order, None])


def against_slices(x, W1, W2, selected, weights):
    A, B = ([one.detach().clone().requires_grad_() for one in W] for W in (W1, W2))  # N matrices each
    v = torch.ones_like(x)  # (T, d)
    timed = interleaved({
        "group": lambda: torch.autograd.grad(by_group(x, W1, W2, selected, weights), (x, W1, W2, weights), v),
        "slices": lambda: torch.autograd.grad(by_slices(x, A, B, selected, weights), (x, *A, *B, weights), v),
    }, 5)  # fmt: skip
    return spread(timed["group"]).median / spread(timed["slices"]).median


ratio = {(d, d_ff): against_slices(*draw(32, 1024, d, d_ff)) for d, d_ff in ((32, 64), (256, 1024))}
for (d, d_ff), times_as_long in ratio.items():
    print(f"N = 32, d = {d}, d_ff = {d_ff}: by_group takes {times_as_long:.2f} times as long as by_slices, separate")
assert ratio[32, 64] < ratio[256, 1024]

# %% [markdown] name="deeper-router-time" tags=["deeper"]
# The gain of one call shrinks with the width.
#
# ## Deeper: the router's share of the time
#
# Its share of the FLOPs is small. And of the seconds? We time the router alone (scores, top-k, softmax, and backward),
# the sorting alone, and the whole layer of the package.


# %% name="deeper-router-time-cell" tags=["deeper"]
def time_shares(N):
    """Shares of the time of forward plus backward: the router's, and that of sorting and counting"""
    moe, x = layer.MoELayer(128, 256, N, 2), draw(N, 1024)[0]  # x (T, d)
    chosen, v = moe.router(x).selected.flatten(), torch.ones_like(x)  # (T·k,), (T, d)
    timed = interleaved({
        "router": lambda: torch.autograd.grad(moe.router(x).weights.square().sum(), (x, moe.router.W_g)),
        "sorting": lambda: (chosen.argsort(stable=True), chosen.bincount(minlength=N)),
        "layer": lambda: torch.autograd.grad(moe(x), (x, *moe.parameters()), v),
    }, 9)  # fmt: skip
    return [spread(timed[name]).median / spread(timed["layer"]).median for name in ("router", "sorting")]


for N in (8, 32):
    routing, sorting = time_shares(N)
    print(f"N = {N:>2}: the router is {router_share(128, 256, N, 2, matrices=2):.1%} of the FLOPs and "
          f"{routing:.1%} of the time; sorting {sorting:.1%} of the time")  # fmt: skip
    assert router_share(128, 256, N, 2, matrices=2) < routing < 1 / 3 - sorting

# %% [markdown] name="deeper-idle" tags=["deeper"]
# A larger share than of the FLOPs, here below a third.
#
# ## Deeper: an idle expert under three optimizers
#
# In the first step all eight experts get rows, in the second only E1 and E2. How far does the second step move the
# *others*?

# %% name="deeper-idle-cell" tags=["deeper"]
SGD, Adam = torch.optim.SGD, torch.optim.Adam
for name, make, decay in (("SGD", SGD, 0), ("SGD, decay 0.1", SGD, 0.1), ("Adam", Adam, 0)):
    x, W1, W2, _, weights = draw(8, 1024)
    optimizer = make([W1, W2], lr=1e-3, weight_decay=decay)
    for chosen in loads.values():  # even, then all to two
        before = W1.detach().clone()  # (N, d, d_ff)
        _, _, W1.grad, W2.grad, _ = results(by_slices, x, W1, W2, chosen, weights)
        optimizer.step()
    idle = (W1 - before)[2:].abs().mean().item()
    kept = sum(a.numel() for state in optimizer.state.values() for a in state.values() if a is not None and a.ndim)
    print(f"{name:<14} moves the six idle experts by {idle:.1e} on average; "
          f"it keeps {kept / (W1.numel() + W2.numel()):.0f} numbers for each parameter")  # fmt: skip
    assert (idle > 0) == (name != "SGD")

# %% [markdown] name="deeper-idle-reading" tags=["deeper"]
# Plain SGD leaves them. A weight decay pulls on every weight. Adam's step is made of averages of *earlier* gradients
# too, which do not vanish at once; both averages are kept for all N experts, busy or not.
