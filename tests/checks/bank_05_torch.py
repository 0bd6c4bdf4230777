"""Answers to 5.4 and 5.6, in torch: plausible wrong ones by the mistake that must be named, others, and right ones."""

import typing

import torch
from torch.nn import functional

# --- 5.4 ----------------------------------------------------------------------------------------------------------


def slow_layer(rows, sizes, W1, W2):
    outputs, d_ff = [], W1.shape[1] // len(sizes)
    for i, part in enumerate(rows.split(sizes)):
        mine = slice(i * d_ff, (i + 1) * d_ff)
        outputs.append(torch.relu(part @ W1[:, mine]) @ W2[mine])
    return torch.cat(outputs)


def layer_of(take_1, take_2, act=torch.relu):
    """The loop over experts, whose weights are taken apart by functions of the whole weight and N."""

    def layer(rows, sizes, W1, W2):
        N = len(sizes)
        parts = zip(rows.split(sizes), take_1(W1, N), take_2(W2, N), strict=True)
        return torch.cat([act(part @ a) @ b for part, a, b in parts])

    return layer


def columns(W, N):
    return W.chunk(N, dim=1)


def rows_of(W, N):
    return W.chunk(N)


def sliced_columns(W, N):
    width = W.shape[1] // N
    return [W[:, i * width : (i + 1) * width] for i in range(N)]


def sliced_rows(W, N):
    return [W.narrow(0, i * len(W) // N, len(W) // N) for i in range(N)]


def stacked_columns(W1, N):
    return W1.unflatten(1, (N, -1)).transpose(0, 1)


def stacked_rows(W2, N):
    return W2.unflatten(0, (N, -1))


def by_grouped_mm(rows, sizes, W1, W2):
    ends = torch.tensor(sizes).cumsum(0).to(torch.int32)
    A, B = stacked_columns(W1, len(sizes)), stacked_rows(W2, len(sizes))
    return functional.grouped_mm(torch.relu(functional.grouped_mm(rows, A.contiguous(), offs=ends)), B, offs=ends)


def by_padding(rows, sizes, W1, W2):
    box = torch.nn.utils.rnn.pad_sequence(rows.split(sizes), batch_first=True)  # (N, most, d)
    y = torch.bmm(torch.relu(torch.bmm(box, stacked_columns(W1, len(sizes)))), stacked_rows(W2, len(sizes)))
    return y[torch.arange(box.shape[1]) < torch.tensor(sizes)[:, None]]


def by_slices_of_rows(rows, sizes, W1, W2):
    start, pieces = 0, []
    for size, a, b in zip(sizes, list(stacked_columns(W1, len(sizes))), rows_of(W2, len(sizes)), strict=True):
        pieces.append((rows[start : start + size] @ a).relu() @ b)
        start += size
    return torch.vstack(pieces)


def equal_parts(rows, sizes, W1, W2):
    N = len(sizes)
    pieces = zip(rows.tensor_split(N), columns(W1, N), rows_of(W2, N), strict=True)
    return torch.cat([torch.relu(p @ A) @ B for p, A, B in pieces])


def busy_alone(rows, sizes, W1, W2):
    busy = [part for part in rows.split(sizes) if len(part)]
    parts = zip(busy, columns(W1, len(sizes)), rows_of(W2, len(sizes)), strict=False)
    return torch.cat([torch.relu(part @ a) @ b for part, a, b in parts])


class OwnBackward(torch.autograd.Function):
    """The gradients written by hand, each into its place."""

    @staticmethod
    def forward(ctx, rows, W1, W2, sizes):
        ctx.save_for_backward(rows, W1, W2)
        ctx.sizes = sizes
        return slow_layer(rows, sizes, W1, W2)

    @staticmethod
    def backward(ctx, v):
        rows, W1, W2 = ctx.saved_tensors
        grads, start, d_ff = [torch.zeros_like(t) for t in (rows, W1, W2)], 0, len(W2) // len(ctx.sizes)
        for i, size in enumerate(ctx.sizes):
            mine, own = slice(start, start + size), slice(i * d_ff, (i + 1) * d_ff)
            before = rows[mine] @ W1[:, own]
            slope = (v[mine] @ W2[own].T) * (before > 0)
            grads[0][mine], grads[1][:, own] = slope @ W1[:, own].T, rows[mine].T @ slope
            grads[2][own] = before.relu().T @ v[mine]
            start += size
        return *grads, None


def in_double(rows, sizes, W1, W2):
    return layer_of(columns, rows_of)(rows.double(), sizes, W1.double(), W2.double())


def expert_of_row(sizes):
    return torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))


def every_row_through_every_expert(rows, sizes, W1, W2):
    """More work than is needed, and none of it large."""
    e, N, y = expert_of_row(sizes), len(sizes), 0
    for i, (a, b) in enumerate(zip(columns(W1, N), rows_of(W2, N), strict=True)):
        y = y + (e == i)[:, None] * (torch.relu(rows @ a) @ b)
    return y


def a_weight_per_row(rows, sizes, W1, W2):
    e, N = expert_of_row(sizes), len(sizes)
    return torch.bmm(torch.relu(torch.bmm(rows[:, None], stacked_columns(W1, N)[e])), stacked_rows(W2, N)[e])[:, 0]


def every_expert_for_every_row(rows, sizes, W1, W2):
    mine = torch.nn.functional.one_hot(expert_of_row(sizes), len(sizes)).to(rows.dtype)  # (R, N)
    hidden = torch.relu(rows @ W1).unflatten(1, (len(sizes), -1)) * mine[:, :, None]
    return hidden.flatten(1) @ W2


def without_gradients(rows, sizes, W1, W2):
    with torch.no_grad():
        return slow_layer(rows, sizes, W1, W2)


# --- 5.6 ----------------------------------------------------------------------------------------------------------


class Base(torch.nn.Module):
    """The parameters of the router; what it computes is `route`, of x and the module."""

    def __init__(self, d_model, num_experts, top_k, bias=False):
        super().__init__()
        self.top_k = top_k
        self.W_g = torch.nn.Parameter(torch.randn(d_model, num_experts) / d_model**0.5)
        self.bias = torch.nn.Parameter(torch.zeros(num_experts)) if bias else None

    def forward(self, x):
        return type(self).route(self, x)


def router(route):
    """A class whose forward is a function of the module and x."""
    return type("MyRouter", (Base,), {"route": route})


def scores(self, x):
    h = x.float() @ self.W_g
    return h if self.bias is None else h + self.bias


def chosen(h, k, rule=lambda h: h.softmax(dim=-1)):
    """Logits, the k selected by them, and a rule's weights of these."""
    selected = h.topk(k).indices
    return h, selected, rule(h).gather(-1, selected)


def route(self, x):
    return chosen(scores(self, x), self.top_k)


def selected_by(rule):
    """The router that selects by a rule of the logits: what it keeps is the largest."""

    def forward(self, x):
        h = scores(self, x)
        weights, selected = rule(h).topk(self.top_k)
        return h, selected, weights

    return router(forward)


def weighed_by(rule):
    """The router whose weights are a rule of the logits, at the selected experts."""

    return router(lambda self, x: chosen(scores(self, x), self.top_k, rule))


def after(rule):
    """The router that changes the right logits, selected and weights by a rule."""
    return router(lambda self, x: rule(*route(self, x)))


def pasted_router(self, x):
    """The lesson's Router."""
    h = x @ self.W_g
    if self.bias is not None:
        h = h + self.bias
    best, selected = h.topk(self.top_k)
    return h, selected, best.softmax(dim=-1)


def mixed_formats(self, x):
    h = x @ self.W_g
    return chosen(h if self.bias is None else h + self.bias, self.top_k)


def mixed_and_selected_on_probabilities(self, x):
    h = x @ self.W_g
    h = h if self.bias is None else h + self.bias
    weights, selected = h.softmax(-1).topk(self.top_k)
    return h, selected, weights


def in_the_tokens_format(self, x):
    h = x @ self.W_g.to(x.dtype)
    h = h if self.bias is None else h + self.bias.to(x.dtype)
    h, selected, weights = chosen(h, self.top_k)
    return h.float(), selected, weights.float()


def given_back_in_the_tokens_format(self, x):
    h, selected, weights = route(self, x)
    return h.to(x.dtype), selected, weights.to(x.dtype)


def of_rounded_parameters(*rounded):
    """In float32, of parameters that were in the tokens' format."""

    def forward(self, x):
        W_g, b = (
            p if p is None or name not in rounded else p.to(x.dtype).float()
            for name, p in (("W_g", self.W_g), ("bias", self.bias))
        )
        h = x.float() @ W_g
        return chosen(h if b is None else h + b, self.top_k)

    return router(forward)


def bias_after_the_softmax(self, x):
    h, selected, _ = route(self, x)
    return h, selected, (x.float() @ self.W_g).softmax(-1).gather(-1, selected)


def in_sum_one(h, selected, weights):
    """Divided by their sum where there are several."""
    return h, selected, weights / weights.sum(-1, keepdim=True) if weights.shape[-1] > 1 else weights


def softmax_in_the_tokens_format(self, x):
    h, selected, _ = route(self, x)
    return h, selected, h.to(x.dtype).softmax(-1).gather(-1, selected).float()


def flattened(self, x):
    return route(self, x.reshape(-1, x.shape[-1]))


def mask_and_restore(self, x):
    flat = x.reshape(-1, x.shape[-1]).to(torch.float32)
    h = torch.einsum("td,dn->tn", flat, self.W_g)
    h = h + (0 if self.bias is None else self.bias)
    selected = h.argsort(dim=1, descending=True)[:, : self.top_k]
    weights = torch.exp(h.gather(1, selected) - h.logsumexp(dim=1, keepdim=True))
    return tuple(part.reshape(*x.shape[:-1], -1) for part in (h, selected, weights))


def by_numpy(self, x):
    h, selected, weights = (part.detach() for part in route(self, x))
    return h.numpy(), selected.numpy(), weights.numpy()


class Named(typing.NamedTuple):
    logits: torch.Tensor
    selected: torch.Tensor
    weights: torch.Tensor


class OwnRouter(torch.nn.Module):
    """Written out, with other beginnings."""

    def __init__(self, d_model, num_experts, top_k, bias=False):
        super().__init__()
        self.k = top_k
        self.register_parameter("W_g", torch.nn.Parameter(torch.zeros(d_model, num_experts)))
        self.register_parameter("bias", torch.nn.Parameter(torch.ones(num_experts)) if bias else None)

    def forward(self, x):
        x = x.to(self.W_g.dtype)
        logits = (x[..., None] * self.W_g).sum(dim=-2)
        if self.bias is not None:
            logits = logits + self.bias
        p = torch.exp(logits - logits.amax(dim=-1, keepdim=True))
        p = p / p.sum(dim=-1, keepdim=True)
        selected = torch.topk(logits.detach(), self.k, dim=-1).indices
        return logits, selected, torch.take_along_dim(p, selected, dim=-1)


class InDouble(Base):
    def forward(self, x):
        h = x.double() @ self.W_g.double() + (0 if self.bias is None else self.bias.double())
        h, selected, weights = chosen(h, self.top_k)
        return h.float(), selected, weights.float()


def module(make, forward=route):
    """A class whose parameters are made by a function of the module and its arguments."""

    class MyRouter(torch.nn.Module):
        def __init__(self, d_model, num_experts, top_k, bias=False):
            super().__init__()
            self.top_k = top_k
            make(self, d_model, num_experts, bias)

    MyRouter.forward = forward
    return MyRouter


def with_linear(self, d_model, num_experts, bias):
    self.score = torch.nn.Linear(d_model, num_experts, bias=bias)


def with_turned(self, d_model, num_experts, bias):
    self.W_g = torch.nn.Parameter(torch.randn(num_experts, d_model))
    self.bias = torch.nn.Parameter(torch.zeros(num_experts)) if bias else None


def with_bias_always(self, d_model, num_experts, bias):
    self.W_g = torch.nn.Parameter(torch.randn(d_model, num_experts))
    self.bias = torch.nn.Parameter(torch.zeros(num_experts), requires_grad=bias)


def without_bias(self, d_model, num_experts, bias):
    self.W_g, self.bias = torch.nn.Parameter(torch.randn(d_model, num_experts)), None


def with_plain_bias(self, d_model, num_experts, bias):
    self.W_g = torch.nn.Parameter(torch.randn(d_model, num_experts))
    self.bias = torch.zeros(num_experts, requires_grad=True) if bias else None


def with_plain_matrix(self, d_model, num_experts, bias):
    self.register_buffer("W_g", torch.randn(d_model, num_experts))
    self.bias = torch.nn.Parameter(torch.zeros(num_experts)) if bias else None


def with_wide_bias(self, d_model, num_experts, bias):
    self.W_g = torch.nn.Parameter(torch.randn(d_model, num_experts))
    self.bias = torch.nn.Parameter(torch.zeros(1, num_experts)) if bias else None


def in_16_bits(self, d_model, num_experts, bias):
    self.W_g = torch.nn.Parameter(torch.randn(d_model, num_experts).bfloat16())
    self.bias = torch.nn.Parameter(torch.zeros(num_experts).bfloat16()) if bias else None


class NoModule:
    def __init__(self, d_model, num_experts, top_k, bias=False):
        self.W_g, self.bias, self.top_k = torch.randn(d_model, num_experts), None, top_k

    __call__ = route


def sigmoid_weights(h):
    return h.sigmoid()


def over_everything(h):
    return h.flatten().softmax(0).reshape(h.shape)


def masked_with_zero(h, selected, weights):
    kept = h.new_zeros(h.shape).scatter(-1, selected, h.gather(-1, selected))
    return h, selected, kept.softmax(-1).gather(-1, selected)


def full_width(h, selected, weights):
    return h, selected, torch.zeros_like(h).scatter(-1, selected, weights)


def by_index(h, selected, weights):
    """Experts in ascending order."""
    selected, places = selected.sort(dim=-1)
    return h, selected, weights.gather(-1, places)


def in_16_bits_throughout(self, x):
    h = (x.bfloat16() @ self.W_g.bfloat16()).float()
    return chosen(h if self.bias is None else h + self.bias, self.top_k)


def with_the_bias_subtracted(self, x):
    return chosen(x.float() @ self.W_g - (0 if self.bias is None else self.bias), self.top_k)


def without_adding(self, x):
    return chosen(x.float() @ self.W_g, self.top_k)


def smallest(self, x):
    h = scores(self, x)
    selected = h.topk(self.top_k, largest=False).indices
    return h, selected, h.softmax(-1).gather(-1, selected)


def with_scaled_products(self, x):
    h = x.float() @ self.W_g / x.shape[-1] ** 0.5
    return chosen(h if self.bias is None else h + self.bias, self.top_k)


def by_size(self, x):
    h = scores(self, x)
    selected = h.abs().topk(self.top_k).indices
    return h, selected, h.softmax(-1).gather(-1, selected)


def without_subtracting(h):
    return h.exp() / h.exp().sum(-1, keepdim=True)


def by_masked_argmax(self, x):
    """One expert after the other, the chosen one struck out."""
    h, left, selected = scores(self, x), scores(self, x).detach(), []
    for _ in range(self.top_k):
        selected.append(left.argmax(-1, keepdim=True))
        left = left.scatter(-1, selected[-1], -torch.inf)
    selected = torch.cat(selected, -1)
    return h, selected, (h - h.logsumexp(-1, keepdim=True)).exp().gather(-1, selected)


WRONG = {
    "5.4": {
        "a full gradient per expert": slow_layer,
        "a full gradient per expert (2)": layer_of(lambda W, N: [W.chunk(N, dim=1)[i] for i in range(N)], sliced_rows),
        "a full gradient per expert (3)": layer_of(
            lambda W, N: W.tensor_split(N, dim=1), lambda W, N: W.tensor_split(N)
        ),
        "one weight mended": layer_of(columns, sliced_rows),
        "one weight mended (2)": layer_of(sliced_columns, rows_of),
        "gradient lost": without_gradients,
        "a weight per row": a_weight_per_row,
        "every expert for every row": every_expert_for_every_row,
        "no ReLU": layer_of(columns, rows_of, act=lambda z: z),
        "ReLU after W2": lambda *case: torch.relu(layer_of(columns, rows_of, act=lambda z: z)(*case)),
        "equal parts": equal_parts,
        "empty left out": busy_alone,
        "second ReLU": lambda *case: torch.relu(layer_of(columns, rows_of)(*case)),
        "every N-th": layer_of(lambda W, N: W.view(len(W), -1, N).unbind(2), rows_of),
        "every N-th (2)": layer_of(columns, lambda W, N: W.view(-1, N, W.shape[1]).unbind(1)),
        "every N-th (3)": layer_of(
            lambda W, N: W.view(len(W), -1, N).unbind(2), lambda W, N: W.view(-1, N, W.shape[1]).unbind(1)
        ),
        "a full gradient per expert (4)": layer_of(
            lambda W, N: (lambda V: [V[:, i] for i in range(N)])(W.view(len(W), N, -1)), sliced_rows
        ),
        "width N": layer_of(lambda W, N: W.chunk(W.shape[1] // N, dim=1)[:N], lambda W, N: W.chunk(len(W) // N)[:N]),
        "width N (2)": layer_of(lambda W, N: W.split(N, dim=1)[:N], lambda W, N: W.split(N)[:N]),
        "reshaped to (N, d, d_ff)": layer_of(lambda W, N: W.reshape(N, len(W), -1).unbind(), rows_of),
    },
    "5.6": {
        "form A": router(pasted_router),
        "form A (2)": after(lambda h, selected, weights: (h, selected, weights / weights.sum(-1, keepdim=True))),
        "form A for k > 1": after(in_sum_one),
        "rounded parameters": of_rounded_parameters("W_g"),
        "rounded parameters (2)": of_rounded_parameters("W_g", "bias"),
        "rounded parameters (3)": of_rounded_parameters("bias"),
        "bias after the softmax": router(bias_after_the_softmax),
        "off by token": after(lambda h, selected, weights: (h.log_softmax(-1), selected, weights)),
        "off by token (2)": after(lambda h, selected, weights: (h - h.amax(-1, keepdim=True), selected, weights)),
        "formats mixed": router(mixed_formats),
        "computed in bfloat16": router(in_the_tokens_format),
        "given back in bfloat16": router(given_back_in_the_tokens_format),
        "given back in bfloat16 (2)": router(lambda self, x: (*(r := route(self, x))[:2], r[2].to(x.dtype))),
        "computed in bfloat16 (2)": router(softmax_in_the_tokens_format),
        "gradient cut": after(lambda h, selected, weights: (h, selected, weights.detach())),
        "gradient cut (2)": router(by_numpy),
        "gradient cut (3)": router(lambda self, x: torch.no_grad()(route)(self, x)),
        "another order": after(lambda h, selected, weights: (h, weights, selected)),
        "another order (2)": after(lambda h, selected, weights: (selected, weights, h)),
        "flattened": router(flattened),
        "16 bits throughout": router(in_16_bits_throughout),
        "bias subtracted": router(with_the_bias_subtracted),
        "counted from 1": after(lambda h, selected, weights: (h, selected + 1, weights)),
        "weights not best first": after(lambda h, selected, weights: (h, selected, weights.flip(-1))),
        "weights not best first (2)": after(lambda h, selected, weights: (h, selected, weights.sort(-1).values)),
        "bias not added": router(without_adding),
        "probabilities as logits": after(lambda h, selected, weights: (h.softmax(-1), selected, weights)),
        "worst experts": router(smallest),
        "a mask": after(lambda h, selected, weights: (h, torch.zeros_like(h).scatter(-1, selected, 1), weights)),
        "a mask (2)": after(
            lambda h, selected, weights: (h, torch.zeros_like(h).scatter(-1, selected, 1) > 0, weights)
        ),
        "another k": router(lambda self, x: chosen(scores(self, x), 2)),
        "divided by √d": router(lambda self, x: chosen(scores(self, x) / x.shape[-1] ** 0.5, self.top_k)),
        "divided by √d (2)": router(with_scaled_products),
        "cut logits": after(
            lambda h, selected, weights: (
                torch.full_like(h, -torch.inf).scatter(-1, selected, h.gather(-1, selected)),
                selected,
                weights,
            )
        ),
        "selected logits": after(lambda h, selected, weights: (h.gather(-1, selected), selected, weights)),
        "largest sizes": router(by_size),
        "logarithms": weighed_by(lambda h: h.log_softmax(-1)),
        "softmax twice": weighed_by(lambda h: h.softmax(-1).softmax(-1)),
        "sigmoids divided": weighed_by(lambda h: h.sigmoid() / h.sigmoid().sum(-1, keepdim=True)),
        "sigmoids divided (2)": after(
            lambda h, selected, weights: (h, selected, functional.normalize(h.gather(-1, selected).sigmoid(), 1, -1))
        ),
        "not best first": after(by_index),
        "not cut": after(lambda h, selected, weights: (h, selected, h.softmax(-1))),
        "full width": after(full_width),
        "logits as weights": weighed_by(lambda h: h),
        "sigmoid": weighed_by(sigmoid_weights),
        "masked with 0": after(masked_with_zero),
        "softmax over the tokens": weighed_by(lambda h: h.softmax(0)),
        "softmax over the tokens (2)": weighed_by(lambda h: h.softmax(max(-2, -h.ndim))),
        "softmax over the tokens (3)": selected_by(lambda h: h.softmax(0)),
        "softmax over the tokens (4)": selected_by(lambda h: h.softmax(max(-2, -h.ndim))),
        "softmax over the tokens (5)": weighed_by(lambda h: h.softmax(1 if h.ndim > 1 else 0)),
        "softmax over everything": weighed_by(over_everything),
        "softmax over everything (2)": selected_by(over_everything),
        "selected on probabilities": selected_by(lambda h: h.softmax(-1)),
        "selected on probabilities (2)": router(mixed_and_selected_on_probabilities),
        "selected on probabilities (3)": selected_by(lambda h: (h - h.logsumexp(-1, keepdim=True)).exp()),
        "overflow": weighed_by(without_subtracting),
        "overflow (2)": selected_by(without_subtracting),
        "overflow (3)": weighed_by(lambda h: without_subtracting(h - h.max())),
        "overflow (4)": weighed_by(lambda h: without_subtracting(h - h.mean(-1, keepdim=True))),
        "overflow (5)": weighed_by(lambda h: without_subtracting(h - h.amin(-1, keepdim=True))),
        "no module": NoModule,
        "not a parameter": module(with_plain_bias),
        "not a parameter (2)": module(with_plain_matrix),
        "bias always there": module(with_bias_always),
        "bias missing": module(without_bias),
        "other names": module(with_linear),
        "transposed": module(with_turned),
    },
}

# Wrong in a way no list foresees: these must not be given a reason.
UNRECOGNISED = {
    "5.4": [
        lambda rows, sizes, W1, W2: None,
        lambda rows, sizes, W1, W2: rows,
        lambda rows, sizes, W1, W2: slow_layer(rows, sizes, W1, W2).detach().numpy() * 2,
        lambda rows, sizes, W1, W2: layer_of(columns, rows_of)(rows, sizes, W1, W2) + 1,
        lambda rows, sizes, W1, W2: layer_of(columns, rows_of)(rows, sizes, W1, W2).flip(0),
        lambda rows, sizes, W1, W2: layer_of(columns, rows_of)(rows, sizes, W1 + 0 * (W1 * W1), W2)[:, :1],
        lambda rows, sizes, W1, W2: layer_of(columns, rows_of)(rows, sizes, 0.5 * W1 + 0.5 * W1.detach(), W2),
    ],
    "5.6": [
        router(lambda self, x: None),
        router(lambda self, x: route(self, x)[2]),
        after(lambda h, selected, weights: (2 * h, selected, weights)),
        after(lambda h, selected, weights: (h, selected, 2 * weights)),
        after(lambda h, selected, weights: (h, selected, 0.5 * weights + 0.5 * weights.detach())),
        after(lambda h, selected, weights: (h.double(), selected, weights)),
        after(lambda h, selected, weights: ("h", "selected", "weights")),
        after(lambda h, selected, weights: (h, None, weights)),
        after(lambda h, selected, weights: (h, selected.squeeze(-1), weights)),
        after(lambda h, selected, weights: (h, [selected.flatten(), selected.flatten()[:1]], weights)),
        module(with_wide_bias),
        module(in_16_bits),
    ],
}

RIGHT = {
    "5.4": [
        layer_of(columns, rows_of),
        layer_of(lambda W, N: W.split(W.shape[1] // N, dim=1), lambda W, N: W.view(N, -1, W.shape[1]).unbind()),
        layer_of(lambda W, N: W.view(len(W), N, -1).unbind(1), lambda W, N: list(stacked_rows(W, N))),
        layer_of(lambda W, N: [piece.T for piece in W.T.chunk(N)], rows_of),
        layer_of(lambda W, N: W.view(len(W), N, -1).permute(1, 0, 2).contiguous(), rows_of),
        by_grouped_mm,
        by_padding,
        by_slices_of_rows,
        layer_of(columns, rows_of, act=lambda z: z.clamp(min=0)),
        layer_of(columns, rows_of, act=lambda z: torch.maximum(z, torch.zeros(()))),
        layer_of(columns, rows_of, act=lambda z: z * (z > 0)),
        layer_of(columns, rows_of, act=lambda z: torch.where(z < 0, 0, z)),
        every_row_through_every_expert,
        in_double,
        lambda rows, sizes, W1, W2: OwnBackward.apply(rows, W1, W2, sizes),
    ],
    "5.6": [
        router(route),
        router(mask_and_restore),
        OwnRouter,
        InDouble,
        router(by_masked_argmax),
        after(Named),
        after(lambda *parts: dict(zip(Named._fields, parts, strict=True))),
        after(lambda h, selected, weights: [h, selected.int(), weights]),
    ],
}
