"""The accountant's picture shows what the counts say, for presets and for sliders at both ends."""

import re
import xml.etree.ElementTree as ET
from functools import partial

import pytest
from reading import SVG, extents, state, words

from moe_lessons.accounting import (
    PUBLISHED,
    active_parameters,
    breakdown,
    experts_touched,
    flops_per_token,
    layer_counts,
    parameters,
    parameters_read,
    weight_bytes,
)
from moe_lessons.figures.accountant import OWN, PRESETS, accountant_svg, amount, idle_sizes, own_config
from moe_lessons.widgets.live import Live, choice, slider

SMALLEST, LARGEST = (1, 1, 64, 1, 1), (1024, 1024, 16_384, 65_536, 256)
PICTURES = {
    "default": accountant_svg,
    "minimum": partial(accountant_svg, OWN, *SMALLEST, 1, 1),
    "maximum": partial(accountant_svg, OWN, *LARGEST, 10**6, 64),
    "wide and sparse": partial(accountant_svg, OWN, 1024, 1, 16_384, 65_536, 256, 10**6, 64),
    "k above N": partial(accountant_svg, OWN, 4, 16),
    **{name: partial(accountant_svg, name, batch=64) for name in PUBLISHED},
}


def bars(svg):
    """(baseline of the row, filled width, hollow width) of each row with a bar."""
    found = {}
    for node in ET.fromstring(svg).iter(SVG + "rect"):
        if node.get("height") == "14":
            filled, hollow = found.get(node.get("y"), (0, 0))
            width = float(node.get("width"))
            found[node.get("y")] = (width, hollow) if node.get("data-kept") == "yes" else (filled, width)
    return list(found.values())


@pytest.mark.parametrize("name", PICTURES)
def test_no_text_covers_a_bar(name):
    root = ET.fromstring(PICTURES[name]())
    for node in root.iter(SVG + "rect"):
        if node.get("height") == "14":
            left, base = float(node.get("x")), float(node.get("y")) + 12
            near = [(start, end) for start, end, y in extents(root) if abs(y - base) < 10]
            assert all(end <= left or left + float(node.get("width")) <= start for start, end in near)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_numbers_are_those_of_the_counts(preset):
    shown = words(accountant_svg(preset, 16, 4, 512, 256, 3, batch=5, bits=8))
    config = PUBLISHED[preset].config if preset in PUBLISHED else own_config(16, 4, 512, 256, 3)
    with_input = PUBLISHED[preset].input_embedding if preset in PUBLISHED else True
    active, total = active_parameters(config, with_input), parameters(config)
    shared = config.shared_experts
    layer = layer_counts(config.d_model, config.d_ff, config.num_experts, config.top_k, shared_experts=shared)
    stored = breakdown(config)
    for number in (total, stored["routed experts"], stored["routers"], stored["attention"] + stored["norms"],
                   stored["input embedding"] + stored["output head"]):  # fmt: skip
        assert amount(number) in shown
    for number in (layer.flops, layer.flops_all_experts, layer.flops_one_expert):
        assert amount(number, "FLOP") in shown
    assert amount(weight_bytes(config, 8), "byte") in shown
    assert amount(parameters_read(config, 5), "byte") in shown
    assert f"Active: {amount(active)}, {100 * active / total:.1f} % of the total for one token" in shown
    assert f"Saved against all N experts: {100 - 100 * layer.flops / layer.flops_all_experts:.1f} %" in shown
    assert f"Whole model, without attention scores: {amount(flops_per_token(config), 'FLOP')}" in shown
    touched = experts_touched(config.num_experts, config.top_k, 5)
    assert f"A batch of 5 touches {100 * touched:.1f} % of a layer's experts" in shown
    assert f"({'with' if with_input else 'without'} the input embedding)" in shown


@pytest.mark.parametrize("preset", PRESETS)
def test_the_bars_are_as_long_as_the_numbers(preset):
    svg = accountant_svg(preset, batch=64)
    drawn = bars(svg)
    total, active = int(state(svg)["total"]), int(state(svg)["active"])
    assert sum(drawn[0]) == pytest.approx(216, abs=0.01)
    assert drawn[0][0] == pytest.approx(216 * active / total, abs=0.01)
    items = drawn[1:6]
    assert sum(filled for filled, _ in items) == pytest.approx(drawn[0][0], abs=0.01)
    assert sum(hollow for _, hollow in items) == pytest.approx(drawn[0][1], abs=0.01)
    layer = drawn[6:9]
    assert layer[1][0] == pytest.approx(216, abs=0.01)
    assert layer[0][0] > layer[2][0]
    stored, read = drawn[9:]
    assert stored[0] == pytest.approx(216, abs=0.01)
    assert read[0] <= stored[0]


def test_a_preset_holds_whatever_the_sliders_say_and_says_so():
    here, there = accountant_svg("Mixtral 8x7B"), accountant_svg("Mixtral 8x7B", 64, 8, 512, 128, 2)
    assert here == there
    assert "The sliders for sizes are idle; batch and bits act." in words(here)
    assert "Your own model: the sliders hold" in words(accountant_svg())
    assert state(accountant_svg(OWN, 64, 8)) != state(accountant_svg(OWN, 32, 8))
    assert state(here)["active"] == str(active_parameters(PUBLISHED["Mixtral 8x7B"].config))


def test_idle_are_the_sizes_that_a_preset_does_not_take():
    sizes = {"num_experts": 64, "top_k": 8, "d_model": 512, "d_ff": 128, "layers": 2, "batch": 2, "bits": 8}
    for preset in ("Mixtral 8x7B", OWN):
        idle = {
            name for name, size in sizes.items() if accountant_svg(preset, **{name: size}) == accountant_svg(preset)
        }
        assert set(idle_sizes(preset, **sizes)) == idle
    assert idle_sizes("Mixtral 8x7B")["layers"] == "Mixtral 8x7B has its own"


def test_the_picture_says_that_each_group_has_its_own_scale_and_it_has():
    svg = accountant_svg()
    sentence = "Each group has its own scale: its longest bar fills the width."
    assert sentence in words(svg)
    assert sentence in ET.fromstring(svg).find(SVG + "desc").text
    drawn = bars(svg)
    for group in (drawn[:6], drawn[6:9], drawn[9:]):
        assert max(sum(bar) for bar in group) == pytest.approx(216, abs=0.01)


@pytest.mark.parametrize(("change", "said"), [({"batch": 7}, ("batch", "7")), ({"bits": 4}, ("bits", "4"))])
def test_the_state_tells_every_setting_that_acts(change, said):
    assert state(accountant_svg(**change))[said[0]] == said[1]
    assert state(accountant_svg(**change)) != state(accountant_svg())


def test_k_above_the_number_of_experts_runs_all():
    assert state(accountant_svg(OWN, 4, 16))["k"] == "4"
    assert "Saved against all N experts: 0.0 %" in words(accountant_svg(OWN, 4, 16))


def test_it_works_as_a_live_picture_at_every_preset_and_the_sliders_ends():
    live = Live(
        accountant_svg,
        preset=choice("model", PRESETS),
        num_experts=slider("N", 8, 1, 256, 1),
        top_k=slider("k", 2, 1, 16, 1),
        d_model=slider("d", 1024, 128, 8192, 128),
        d_ff=slider("f", 4096, 128, 16_384, 128),
        layers=slider("layers", 16, 1, 96, 1),
        batch=slider("batch", 1, 1, 256, 1),
        bits=slider("bits", 16, 4, 32, 1),
    )
    for name in ("num_experts", "top_k", "d_model", "d_ff", "layers", "batch", "bits"):
        for end in (live.controls[name].min, live.controls[name].max):
            live.controls[name].value = end
            assert "data-state" in live.canvas.value
    for preset in PRESETS:
        live.controls["preset"].value = preset
        assert state(live.canvas.value)["preset"] == preset.replace(" ", "_")


def test_amounts():
    shown = [amount(n) for n in (0, 7, 999, 1000, 12_345, 67.1e6, 1.342e9, 46.7e9, 671e9, 1.25e12)]
    assert shown == ["0", "7", "999", "1.00 k", "12.3 k", "67.1 M", "1.34 B", "46.7 B", "671 B", "1.25 T"]
    assert amount(93.4e9, "byte") == "93.4 GB"
    assert [amount(n) for n in (999.4e6, 999.7e6, 999_600, 999_400)] == ["999 M", "1.00 B", "1.00 M", "999 k"]
    assert amount(25.5e9, "FLOP") == "25.5 G"


def test_the_shared_expert_is_paid_for_and_named():
    shown = words(accountant_svg("DeepSeek-V3"))
    assert {"k = 8 + 1 shared", "N = 256 + 1 shared"} <= set(shown)
    assert "Against one dense FFN of expert size: 9.04 times" in shown
    assert "Saved against all N experts: 96.5 %" in shown
    assert not any("shared" in word for word in words(accountant_svg("Mixtral 8x7B"))[-12:])


def test_broken_control_the_dense_baselines_differ():
    shown = words(accountant_svg("Mixtral 8x7B"))
    saved, times = (next(w for w in shown if w.startswith(start)) for start in ("Saved", "Against"))
    assert re.search(r"75\.0 %", saved)
    assert not re.search("75", times)
    assert times.endswith(" 2 times")


@pytest.mark.parametrize(
    ("draw", "named"),
    [
        (partial(accountant_svg, "GPT-5"), "preset = 'GPT-5'"),
        (partial(accountant_svg, OWN, 0), "num_experts = 0"),
        (partial(accountant_svg, OWN, 8, 0), "top_k = 0"),
        (partial(accountant_svg, OWN, 8, 2, 100), "d_model = 100"),
        (partial(accountant_svg, OWN, 8, 2, 64, 0), "d_ff = 0"),
        (partial(accountant_svg, OWN, 8, 2, 64, 64, 257), "layers = 257"),
        (partial(accountant_svg, batch=0), "batch = 0"),
        (partial(accountant_svg, bits=4.25), "bits = 4.25"),
    ],
)
def test_bad_input(draw, named):
    with pytest.raises(ValueError, match="expected") as error:
        draw()
    assert str(error.value).startswith(named)
