"""The cheat sheet: its code runs and gives what the package gives, and its links lead somewhere."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from sheet import page

from moe_lessons import balancing, losses, metrics, routing
from moe_lessons.accounting import experts_touched

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "cheat_sheet.md").read_text(encoding="utf-8")
CODE = re.findall(r"`([^`]+)`", TEXT)
NAMED = {code.split(" = ")[0]: code for code in CODE if re.match(r"\w+ = ", code)}
T, N, k, factor, u, B = 12, 5, 2, 1.25, 0.1, 16


@pytest.fixture
def space():
    """What the sheet's lines may use, and then what they computed."""
    rng = np.random.default_rng(0)
    x, W_g = rng.normal(size=(T, 3)), rng.normal(size=(3, N))
    known = {"x": x, "W_g": W_g, "tau": 0.5, "T": T, "N": N, "k": k, "factor": factor, "u": u, "B": B}
    known |= {name: getattr(np, name) for name in ("exp", "log", "argsort", "ceil", "sign")}
    known |= {"softmax": routing.softmax, "bias": np.zeros(N)}
    for name in ("h", "lse", "p", "p_tau", "S", "H"):
        exec(NAMED[name], known)
    known["on"] = (routing.gate_weights(known["h"], k) > 0).astype(float)
    known["load"], known["P"] = metrics.expert_load(known["S"], N), known["p"].mean(axis=0)
    for name in ("A", "B2", "C", "bias"):
        exec(NAMED[name], known)
    return known


def test_every_named_line_is_run():
    assert set(NAMED) == {"h", "lse", "p", "p_tau", "S", "H", "A", "B", "B2", "C", "bias"}


def test_the_router(space):
    h = space["h"]
    assert np.allclose(h, routing.router_logits(space["x"], space["W_g"]))
    assert np.allclose(space["lse"][:, 0], routing.log_sum_exp(h))
    assert np.allclose(space["p"], routing.softmax(h))
    assert np.allclose(space["p_tau"], routing.softmax(h, 0.5))
    assert np.array_equal(space["S"], routing.top_k(h, k)[1])
    assert np.allclose(space["H"], metrics.entropy(space["p"]))
    assert np.allclose(*(eval(code, space) for code in ("p[:, 0] / p[:, 1]", "exp(h[:, 0] - h[:, 1])")))


def test_the_gates(space):
    forms = {"topk_softmax": space["A"], "softmax_topk": eval(NAMED["B"].split(" = ")[1], space),
             "softmax_topk_renorm": space["B2"]}  # fmt: skip
    for form, weights in forms.items():
        assert f"`{form}`" in TEXT
        assert np.allclose(weights, routing.gate_weights(space["h"], k, form))


@pytest.mark.parametrize(
    ("code", "reference"),
    [
        ("N * (load * P).sum()", lambda s: losses.load_balancing_loss(torch.tensor(s["h"]), k).item()),
        ("(lse**2).mean()", lambda s: losses.z_loss(torch.tensor(s["h"])).item()),
        ("load.std() / load.mean()", lambda s: metrics.coefficient_of_variation(s["load"])),
        ("load.max() / load.mean() - 1", lambda s: metrics.max_violation(s["load"])),
        ("1 - (1 - k / N)**B", lambda s: experts_touched(N, k, B)),
    ],
)
def test_losses_and_measures(space, code, reference):
    assert code in CODE
    assert np.isclose(eval(code, space), reference(space))


def test_capacity_and_bias(space):
    balancer = balancing.BiasBalancer(N, u=u)
    balancer.update(space["load"])
    assert np.allclose(space["bias"], balancer.bias.numpy())
    assert space["C"] == balancing.expert_capacity(T, N, k, factor)


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert len(links) > 10
    assert [link for link in links if not (DOCS / link).exists()] == []


def test_a_page_holds_text_and_tables():
    html = page("# A *title*\n\n| a | b |\n|---|---|\n| 1 | `x < 2` |\n")
    assert "<title>A *title*</title>" in html
    assert "<td><code>x &lt; 2</code></td>" in html
