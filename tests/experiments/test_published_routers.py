"""Twelve published routers for the same logits: the file that ships is that of our gates, and of the classes."""

from importlib.util import find_spec

import numpy as np
import pytest

from moe_lessons.atlas import FAMILIES, gate_of
from moe_lessons.experiments.published_routers import (
    ROUTERS,
    K,
    N,
    T,
    configuration,
    inputs,
    load_results,
    reading,
    weights_of,
)

needs_transformers = pytest.mark.skipif(find_spec("transformers") is None, reason="transformers is not installed")
LOGITS, BIAS = inputs()


def ours(router, gate):
    return gate.weights(LOGITS, K, BIAS if FAMILIES[router.family].kind.bias else None)


def test_the_file_holds_every_model_and_token():
    shipped = load_results()
    assert list(shipped) == [router.name for router in ROUTERS]
    assert {weights.shape for weights in shipped.values()} == {(T, N)}
    assert all(((weights > 0).sum(axis=-1) == K).all() for weights in shipped.values())
    assert all(FAMILIES[router.family].model == router.name for router in ROUTERS)


@pytest.mark.parametrize("router", ROUTERS, ids=lambda router: router.module)
def test_the_file_is_what_our_gate_gives(router):
    np.testing.assert_allclose(ours(router, reading(router).gate), load_results()[router.name], atol=1e-6)


def test_broken_control_the_gate_of_another_model_is_not_what_the_file_holds():
    for router, other in zip(ROUTERS, [*ROUTERS[1:], ROUTERS[0]], strict=True):
        if np.abs(load_results()[router.name] - load_results()[other.name]).max() > 1e-6:
            assert np.abs(ours(router, reading(other).gate) - load_results()[router.name]).max() > 0.01, router.name


@needs_transformers
@pytest.mark.xdist_group("transformers")
@pytest.mark.parametrize("router", ROUTERS, ids=lambda router: router.module)
def test_the_classes_give_what_the_file_holds(router):
    np.testing.assert_allclose(weights_of(router, LOGITS, BIAS), load_results()[router.name], atol=1e-6)
    assert gate_of(configuration(router).to_dict()).gate == reading(router).gate


@needs_transformers
@pytest.mark.xdist_group("transformers")
def test_broken_control_a_setting_that_a_class_reads_changes_what_it_gives():
    (v3,) = (router for router in ROUTERS if router.module == "deepseek_v3")
    scaled = v3._replace(settings=v3.settings | {"routed_scaling_factor": 2.5})
    assert np.abs(weights_of(scaled, LOGITS, BIAS) - load_results()[v3.name]).max() > 0.5
