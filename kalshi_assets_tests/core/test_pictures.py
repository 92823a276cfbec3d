"""The picture of a ladder."""

from xml.etree import ElementTree

import numpy as np

from kalshi_assets.core.pictures import ladder_svg

SVG = "{http://www.w3.org/2000/svg}"


def draw(**changed):
    given = {
        "title": "CPI & co",
        "strikes": np.array([2.3, 2.4, np.nan]),
        "bid": np.array([0.6, np.nan, 0.1]),
        "ask": np.array([0.7, 0.2, 0.9]),
        "repaired": np.array([0.65, 0.15, np.nan]),
        "support": np.array([2.3, 2.4, 2.5]),
        "probability": np.array([0.35, 0.5, 0.15]),
    }
    title, *arrays = {**given, **{k: v for k, v in changed.items() if k != "realised"}}.values()
    return ElementTree.fromstring(ladder_svg(title, *arrays, realised=changed.get("realised")))


def rectangles(root, opacity):
    return [r for r in root.iter(f"{SVG}rect") if (r.get("fill-opacity") is not None) == opacity][0 if opacity else 1 :]


def test_one_box_a_rung_and_one_bar_a_lattice_point():
    root = draw()
    assert len(rectangles(root, opacity=True)) == 2
    assert len(rectangles(root, opacity=False)) == 3
    assert root.find(f"{SVG}text").text == "CPI & co"


def test_bars_are_as_high_as_their_mass():
    heights = [float(r.get("height")) for r in rectangles(draw(), opacity=False)]
    assert abs(heights[0] / heights[1] - 0.35 / 0.5) < 0.01


def test_the_print_is_a_dashed_line_only_once_it_is_known():
    dashed = [e for e in draw(realised=2.4).iter(f"{SVG}line") if e.get("stroke-dasharray")]
    assert len(dashed) == 1
    assert not [e for e in draw().iter(f"{SVG}line") if e.get("stroke-dasharray")]


def test_nothing_to_draw_is_said():
    empty = np.array([])
    words = "".join(
        draw(strikes=empty, bid=empty, ask=empty, repaired=empty, support=empty, probability=empty).itertext()
    )
    assert "no quotes" in words
    assert "no distribution" in words
