"""Every picture gets every check: each test module lists its own in PICTURES, from a name to a function that draws."""

import importlib.util
import itertools
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from reading import SVG, boxes, extents, size

from moe_lessons import figures

HERE = Path(__file__).parent


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, "PICTURES", {})


DRAWN = {
    path.stem.removeprefix("test_"): load(path) for path in sorted(HERE.glob("test_*.py")) if path != Path(__file__)
}
PICTURES = {f"{module}: {name}": draw for module, pictures in DRAWN.items() for name, draw in pictures.items()}


def faults(svg):
    """Return what is wrong with a picture whatever it shows, in words."""
    root = ET.fromstring(svg)
    return [*of_form(root), *of_places(root), *overlaps(root)]


def of_form(root):
    if root.tag != SVG + "svg" or root.get("role") != "img":
        yield "it is no picture"
    if not root.get("data-state"):
        yield "it does not say its state"
    yield from (f"{part} is missing" for part in ("title", "desc") if len(root.find(SVG + part).text) <= 10)
    if {"nan", "inf"} & set(ET.tostring(root, encoding="unicode").lower().replace('"', " ").split()):
        yield "it shows what is no number"
    yield from (f"small: {n.text}" for n in root.iter(SVG + "text") if float(n.get("font-size")) < 13)


def of_places(root):
    width, height = size(root)
    for node, (left, right, y) in zip(root.iter(SVG + "text"), extents(root), strict=True):
        if not (-1 <= left <= right <= width + 1 and 0 <= y <= height):
            yield f"beyond the edge: {node.text}"
    for left, top, right, bottom in boxes(root):
        if not (0 <= left <= right <= width and 0 <= top <= bottom <= height):
            yield f"beyond the edge: a mark from ({left}, {top}) to ({right}, {bottom})"
    yield from (
        "a negative size" for n in root.iter(SVG + "rect") for side in ("width", "height") if n.get(side, "")[0] == "-"
    )


def overlaps(root):
    """Yield each pair of texts that meet. Names on a plane stand where their arrows end: those may, outlined."""
    texts = [(node, *place) for node, place in zip(root.iter(SVG + "text"), extents(root), strict=True)]
    for (one, left, right, y), (other, other_left, other_right, other_y) in itertools.combinations(texts, 2):
        apart = abs(y - other_y) > 10 or right <= other_left or other_right <= left
        if not apart and not one.get("paint-order") == other.get("paint-order") == "stroke":
            yield f"overlap: {one.text} and {other.text}"


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_well_formed_and_keeps_its_words_apart(name):
    svg = PICTURES[name]()
    assert faults(svg) == []
    assert svg == PICTURES[name](), "drawn again it is another"


def test_every_module_that_draws_a_picture_is_looked_at():
    drawing = {
        path.stem for path in Path(figures.__file__).parent.glob("*.py") if "picture(" in path.read_text("utf-8")
    }
    # A routed text gives a hundred tokens their size by their group, to stay light: test_routed_text looks at it.
    assert drawing - {"svg", "routed_text"} == {module for module, pictures in DRAWN.items() if pictures}
