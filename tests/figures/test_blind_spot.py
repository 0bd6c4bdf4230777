"""The film of lesson 07 shows the numbers of made-up results, which are computed here a second time."""

import re
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from reading import nodes, state, words

from moe_lessons.experiments.blind_spot import METHODS, Result
from moe_lessons.figures.blind_spot import blind_spot_svg
from moe_lessons.figures.palette import INK

STEPS = np.arange(0, 301, 10)


def made_up(runs=64, seed=0, scale=5.0, names=tuple(METHODS)):
    """Results of every method whose share and margin grow at random."""
    rng = np.random.default_rng(seed)
    results = {}
    for name in names:
        margin = scale * (rng.normal(size=runs) + rng.uniform(-1, 2) * STEPS[:, None] / 300)  # (frames, R)
        share = (1 + np.tanh(margin)) / 2
        results[name] = Result(name, METHODS[name].label, 0.0, STEPS, share, share, margin, 2 + 0 * share,
                               not METHODS[name].start, METHODS[name].relu)  # fmt: skip
    return results


RESULTS = made_up()
NEVER = {n: Result(n, METHODS[n].label, 0.0, STEPS, *[np.zeros((31, 64))] * 4) for n in METHODS}
PICTURES = {
    "film, first": partial(blind_spot_svg, RESULTS),
    "film, middle": partial(blind_spot_svg, RESULTS, 155),
    "film, last": partial(blind_spot_svg, RESULTS, 300),
    "film, one run": partial(blind_spot_svg, made_up(runs=1), 300),
    "film, many runs": partial(blind_spot_svg, made_up(runs=999, scale=50), 300),
    "film, two methods": partial(blind_spot_svg, made_up(names=("fair", "top_k_a")), 10),
    "film, never found": partial(blind_spot_svg, NEVER, 300),
}


def film_rows(svg):
    """Return of each row: mean, quartiles, rate and interval, read off the places of its marks."""
    below = float(next(n for n in nodes(svg, "text") if n.text.startswith("mean over")).get("y")) - 30
    tokens, runs = (lambda x: (float(x) - 146) / 150), (lambda x: (float(x) - 330) / 92)
    means = [tokens(n.get("cx")) for n in nodes(svg, "circle") if float(n.get("cy")) < below]
    bands = [n for n in nodes(svg, "rect") if n.get("rx") == "3"]
    quartiles = [(tokens(n.get("x")), tokens(float(n.get("x")) + float(n.get("width")))) for n in bands]
    rates = [float(n.get("width")) / 92 for n in nodes(svg, "rect") if n.get("height") == "14"]
    whiskers = [re.findall(r"M([\d.]+) .*H([\d.]+)", n.get("d"))[0] for n in nodes(svg, "path")][: len(means)]
    return means, quartiles, rates, [tuple(map(runs, ends)) for ends in whiskers]


@pytest.mark.parametrize(("step", "frame"), [(0, 0), (9, 0), (10, 1), (155, 15), (300, 30)])
def test_the_film_shows_the_last_measurement_up_to_the_step(step, frame):
    svg = blind_spot_svg(RESULTS, step)
    means, quartiles, rates, intervals = film_rows(svg)
    assert state(svg)["step"] == str(STEPS[frame])
    assert f"after {STEPS[frame]} of 300 training steps" in words(svg)
    for i, result in enumerate(RESULTS.values()):
        share = result.share[frame]
        assert means[i] == pytest.approx(share.mean(), abs=1e-4)
        low, high = np.quantile(share, [0.25, 0.75])
        least = max(0, 4 / 150 - (high - low)) / 2  # no band is narrower than 4 of 150 units
        assert quartiles[i] == pytest.approx((low - least, high + least), abs=1e-4)
        assert rates[i] == pytest.approx((share >= 0.5).mean(), abs=1e-4)
        assert intervals[i] == pytest.approx(result.interval_at(frame), abs=2e-3)
        assert f"{(share >= 0.5).sum()}/64" in words(svg)
    assert [w for w in words(svg) if w in {r.label for r in RESULTS.values()}] == [r.label for r in RESULTS.values()]


def test_broken_control_another_frame_would_be_noticed():
    means = film_rows(blind_spot_svg(RESULTS, 10))[0]
    assert means != pytest.approx([result.share[0].mean() for result in RESULTS.values()], abs=1e-4)


def test_nulls_are_hollow():
    bars = [n for n in nodes(blind_spot_svg(RESULTS), "rect") if n.get("height") == "14"]
    assert [n.get("fill") == INK for n in bars] == [not result.is_null for result in RESULTS.values()]


def test_the_line_of_chance_leaves_out_relu_routing():
    x = f"{146 + 150 * 0.25:g}"
    pieces = [n for n in nodes(blind_spot_svg(RESULTS), "line") if n.get("stroke-dasharray") and n.get("x1") == x]
    rows = [int((float(n.get("y1")) - 92) / 29) for n in pieces]
    assert rows == [i for i, method in enumerate(METHODS.values()) if not method.relu]


def test_the_module_does_not_load_torch():
    code = "import sys, moe_lessons.figures.blind_spot as b; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


OTHER_TIMES = Result("noise", "noise", 0.0, np.array([0]), *[np.zeros((1, 64))] * 4)


@pytest.mark.parametrize(
    ("draw", "named"),
    [
        (partial(blind_spot_svg, {}), "results = "),
        (partial(blind_spot_svg, RESULTS, -1), "step = -1"),
        (partial(blind_spot_svg, RESULTS, 301), "step = 301"),
        (partial(blind_spot_svg, {**RESULTS, "noise": OTHER_TIMES}), "results = 'noise'"),
    ],
)
def test_bad_input(draw, named):
    with pytest.raises(ValueError, match="expected") as error:
        draw()
    assert str(error.value).startswith(named)
