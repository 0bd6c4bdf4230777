"""What can be read off a picture: its words, its state, and how far its texts and marks reach."""

import re
import xml.etree.ElementTree as ET

import numpy as np

SVG = "{http://www.w3.org/2000/svg}"


def nodes(svg, tag):
    return list(ET.fromstring(svg).iter(SVG + tag))


def words(svg):
    """Return every text of a picture, in the order in which they are drawn."""
    return [node.text or "" for node in nodes(svg, "text")]


def state(svg, between=None):
    """Return the settings that a picture says it shows."""
    return dict(part.split("=") for part in ET.fromstring(svg).get("data-state").split(between))


def points(node):
    """Return the corners (P, 2) of a polygon or a polyline."""
    return np.array([pair.split(",") for pair in node.get("points").split()], dtype=float)


def size(root):
    """Return width and height of a picture."""
    return tuple(map(float, root.get("viewBox").split()[2:]))


def extents(root):
    """Yield left end, right end and baseline of each text: as measured with a wide sans-serif."""
    for node, down in placed(root):
        if node.tag == SVG + "text":
            per_letter = 0.57 if node.get("font-weight") == "bold" else 0.53
            length = len(node.text or "") * per_letter * float(node.get("font-size"))
            left = float(node.get("x")) - {"start": 0, "middle": 0.5, "end": 1}[node.get("text-anchor")] * length
            yield left, left + length, float(node.get("y")) + down


def boxes(root):
    """Yield left, top, right and bottom of each rectangle, line, circle, polygon and polyline."""
    for node, down in placed(root):
        corners = _corners(node)
        if corners is not None:
            x, y = corners.T
            yield x.min(), y.min() + down, x.max(), y.max() + down


def _corners(node):
    def at(*names):
        return [float(node.get(name, 0)) for name in names]

    match node.tag.removeprefix(SVG):
        case "rect":
            return np.array([at("x", "y"), np.add(at("x", "y"), at("width", "height"))])
        case "line":
            return np.array([at("x1", "y1"), at("x2", "y2")])
        case "circle":
            return np.array([np.subtract(at("cx", "cy"), at("r", "r")), np.add(at("cx", "cy"), at("r", "r"))])
        case "polygon" | "polyline":
            return points(node)
    return None


def placed(node, down=0.0):
    """Yield every element with how far the groups around it move it down; they move nothing sideways."""
    down += float(re.fullmatch(r"translate\(0 (-?[\d.]+)\)", node.get("transform", "translate(0 0)"))[1])
    yield node, down
    for child in node:
        yield from placed(child, down)
