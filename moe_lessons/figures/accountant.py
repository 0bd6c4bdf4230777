"""The picture of lesson 06: what an MoE transformer stores, what one token costs it, and what a batch reads."""

from collections.abc import Iterable

from moe_lessons.accounting import (
    PUBLISHED,
    Attention,
    Config,
    LayerCounts,
    active_breakdown,
    breakdown,
    experts_touched,
    flops_per_token,
    layer_counts,
    parameters,
    parameters_read,
    weight_bytes,
)
from moe_lessons.figures.palette import RULE, chosen
from moe_lessons.figures.svg import element, picture, text
from moe_lessons.support.validation import one_of, refuse, whole_number

WIDTH = 480  # narrow, so that text of size 14 can still be read on a page 400 wide
OWN = "your own"
SIZES = ("num_experts", "top_k", "d_model", "d_ff", "layers")
PRESETS = (OWN, *PUBLISHED)

_LEFT, _RIGHT = 14, 466
_BAR, _LONGEST, _ROW = 164, 216, 22  # where bars begin, how long they get, and how far apart rows are

_GROUPS = {
    "routed experts": ("routed experts",),
    "shared, dense FFNs": ("shared experts", "dense FFNs"),
    "attention, norms": ("attention", "norms"),
    "routers": ("routers",),
    "embeddings": ("input embedding", "output head"),
}

_SCALES = "Each group has its own scale: its longest bar fills the width."

Row = tuple[str, float, float]  # what it is, how much of it there is, and how much of that is drawn filled


def accountant_svg(
    preset: str = OWN, num_experts: int = 8, top_k: int = 2, d_model: int = 1024, d_ff: int = 4096, layers: int = 16,
    batch: int = 1, bits: int = 16,
) -> str:  # fmt: skip
    """Draw where the parameters of a model are, its FLOPs against two baselines, and its bytes. Returns an SVG string.

    Each of the three groups has a scale of its own, on which its longest bar fills the width; the picture says so.
    preset: one of `PRESETS`. With "your own" the five sizes hold (k above N becomes N), and the model is `own_config`;
    with a released model they are idle, and `batch` and `bits` (of every parameter) act alone.
    Raises ValueError for another preset, and for sizes that `own_config` refuses.
    """
    config, with_input = _chosen(preset, own_config(num_experts, top_k, d_model, d_ff, layers))
    whole_number("batch", batch, least=1, most=10**6)
    whole_number("bits", bits, least=1, most=64)
    active = active_breakdown(config, with_input)
    return picture(
        WIDTH,
        638,
        f"What a model costs: {preset}",
        _description(config, active, batch, bits),
        *_head(preset, config),
        *_parameters(114, config, active, with_input),
        *_flops(354, config),
        *_bytes(526, config, batch, bits),
        state=f"preset={preset.replace(' ', '_')} {_state(config, active)} batch={batch} bits={bits}",
    )


def _chosen(preset: str, own: Config) -> tuple[Config, bool]:
    """Return the model that a preset shows, and whether its active parameters count the input embedding."""
    released = PUBLISHED.get(one_of("preset", preset, PRESETS))
    return (released.config, released.input_embedding) if released else (own, True)


def _description(config: Config, active: dict[str, int], batch: int, bits: int) -> str:
    """Say in words what the picture shows."""
    return (
        f"{_sizes(config)}: {amount(parameters(config))} parameters, {amount(sum(active.values()))} active; "
        f"{amount(flops_per_token(config), 'FLOP')} FLOPs per token; {amount(weight_bytes(config, bits), 'byte')}; "
        f"a batch of {batch} touches {_touched(config, batch)}. {_SCALES}"
    )


def _state(config: Config, active: dict[str, int]) -> str:
    """Give the numbers of the model that tests read."""
    return f"N={config.num_experts} k={config.top_k} total={parameters(config)} active={sum(active.values())}"


def idle_sizes(preset: str, **_others: object) -> dict[str, str]:
    """Return the sizes that a released model does not take from its sliders, each with the reason."""
    return {} if preset == OWN else dict.fromkeys(SIZES, f"{preset} has its own")


def own_config(num_experts: int, top_k: int, d_model: int, d_ff: int, layers: int) -> Config:
    """Return a decoder of SwiGLU experts with plain attention in heads of 64, and 32,000 kinds of tokens.

    Where k is above N, all experts run. Raises ValueError for sizes out of range, or a d_model that 64 does not divide.
    """
    whole_number("num_experts", num_experts, least=1, most=1024)
    whole_number("top_k", top_k, least=1, most=1024)
    whole_number("d_ff", d_ff, least=1, most=65_536)
    whole_number("layers", layers, least=1, most=256)
    if whole_number("d_model", d_model, least=64, most=16_384) % 64:
        raise refuse("d_model", d_model, "a multiple of 64, the size of a head")
    heads = d_model // 64
    return Config(
        layers=layers, d_model=d_model, vocab=32_000, attention=Attention(heads=heads, kv_heads=heads, head_size=64),
        num_experts=num_experts, top_k=min(top_k, num_experts), d_ff=d_ff,
    )  # fmt: skip


def amount(number: float, unit: str = "") -> str:
    """Write a large number with a prefix: 46.7 B for billions; with unit "FLOP" or "byte" as 25.5 G or 93.4 GB."""
    steps = ((1e15, "P"), (1e12, "T"), (1e9, "G" if unit else "B"), (1e6, "M"), (1e3, "k"))
    # from 999.5 on it would be written 1000, which the next prefix says shorter
    size, prefix = next(((size, prefix) for size, prefix in steps if number >= 0.9995 * size), (1, ""))
    value = number / size
    digits = 2 if value < 10 and prefix else 1 if value < 100 and prefix else 0
    return f"{value:.{digits}f} {prefix}{'B' if unit == 'byte' else ''}".rstrip()


def _sizes(config: Config) -> str:
    """Write the sizes of a model in one line."""
    c = config
    layers = f"{c.layers} layers" if c.layers > 1 else "1 layer"
    dense = f", {c.dense_layers} dense" if c.dense_layers else ""
    return f"N = {c.num_experts}, k = {c.top_k}, d = {c.d_model}, d_ff = {c.d_ff}, {layers}{dense}"


def _head(preset: str, config: Config) -> list[str]:
    """Say which model it is, which sliders hold, and how bars are scaled."""
    if preset == OWN:
        title, rule = "Your own model: the sliders hold", "SwiGLU, attention heads of 64, 32,000 kinds of tokens"
    else:
        title, rule = f"{preset}, as released", "The sliders for sizes are idle; batch and bits act."
    lines = [text(_LEFT, 46 + 20 * i, line) for i, line in enumerate((rule, _sizes(config), _SCALES))]
    return [text(_LEFT, 26, title, size=15, font_weight="bold"), *lines]


def _parameters(top: float, config: Config, active: dict[str, int], with_input: bool) -> list[str]:
    """Draw the parameters, item by item; filled is what counts as active for one token."""
    stored = breakdown(config)
    total, act = sum(stored.values()), sum(active.values())
    rows = [("total", total, act)]
    rows += [(name, sum(stored[i] for i in items), sum(active[i] for i in items)) for name, items in _GROUPS.items()]
    return [
        *_heading(top, "Parameters", "filled: active, hollow: dormant"),
        *_rows(top + 24, rows),
        text(_LEFT, top + 166, f"Active: {amount(act)}, {_percent(act / total)} of the total for one token",
             font_weight="bold"),
        text(_LEFT, top + 186, "(with the input embedding)" if with_input else "(without the input embedding)"),
        text(_LEFT, top + 206, f"k/N = {_percent(config.top_k / config.num_experts)} of the routed experts, "
                               f"N/k = {config.num_experts / config.top_k:.4g}"),
    ]  # fmt: skip


def _flops(top: float, config: Config) -> list[str]:
    """Draw the FLOPs of the MoE layers beside those of two baselines, and give those of the whole model."""
    c, shared = config, f" + {config.shared_experts} shared" if config.shared_experts else ""
    layer = layer_counts(c.d_model, c.d_ff, c.num_experts, c.top_k, c.matrices, c.shared_experts)
    numbers = [layer.flops, layer.flops_all_experts, layer.flops_one_expert]
    names = [
        f"k = {c.top_k}{shared}",
        f"N = {c.num_experts}{shared}" if shared else f"all N = {c.num_experts}",
        "one dense FFN",
    ]
    rows = [(name, flops, flops) for name, flops in zip(names, numbers, strict=True)]
    return [
        *_heading(top, "FLOPs of one MoE layer", "one token, forward"),
        *_rows(top + 24, rows, "FLOP"),
        *_savings(top + 100, config, layer),
        text(_LEFT, top + 140, f"Whole model, without attention scores: {amount(flops_per_token(config), 'FLOP')}"),
    ]


def _savings(top: float, config: Config, layer: LayerCounts) -> list[str]:
    """Say what is saved against the one baseline, and spent against the other."""
    saved, times = layer.saved_against_all_experts, layer.times_one_expert
    return [
        text(_LEFT, top, f"Saved against all N experts: {_percent(saved)}", font_weight="bold"),
        text(_LEFT, top + 20, f"Against one dense FFN of expert size: {times:.3g} times", font_weight="bold"),
    ]


def _bytes(top: float, config: Config, batch: int, bits: int) -> list[str]:
    """Draw the bytes of all weights, and how many of them one step on a batch reads."""
    stored, read = weight_bytes(config, bits), parameters_read(config, batch) * bits / 8
    return [
        *_heading(top, f"Bytes of the weights, {bits} bits each", "1 GB = 10⁹ bytes"),
        *_rows(top + 24, [("stored", stored, stored), (f"read for {batch:,}", read, read)], "byte"),
        text(_LEFT, top + 78, f"A batch of {batch:,} touches {_touched(config, batch)}", font_weight="bold"),
        text(_LEFT, top + 98, "(expected, were all choices equally likely and independent)"),
    ]


def _touched(config: Config, batch: int) -> str:
    return f"{_percent(experts_touched(config.num_experts, config.top_k, batch))} of a layer's experts"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _heading(y: float, words: str, remark: str) -> list[str]:
    """Draw a rule, a heading under it, and a remark at its right end."""
    return [
        element("line", x1=_LEFT, x2=_RIGHT, y1=y - 18, y2=y - 18, stroke=RULE),
        text(_LEFT, y, words, size=15, font_weight="bold"),
        text(_RIGHT, y, remark, size=13, anchor="end"),
    ]


def _rows(top: float, rows: Iterable[Row], unit: str = "") -> list[str]:
    """Draw a bar for each row, all on one scale, with its name at the left and its number at the right."""
    rows = list(rows)
    scale = _LONGEST / max(whole for _, whole, _ in rows)
    parts = []
    for i, (name, whole, filled) in enumerate(rows):
        y = top + _ROW * i
        parts += [text(_LEFT, y, name), text(_RIGHT, y, amount(whole, unit), anchor="end")]
        place = {"y": y - 12, "height": 14, "stroke_width": 1.5}
        parts.append(element("rect", x=_BAR, width=scale * filled, **place, **chosen(True)))
        if whole > filled:
            parts.append(
                element("rect", x=_BAR + scale * filled, width=scale * (whole - filled), **place, **chosen(False))
            )
    return parts
