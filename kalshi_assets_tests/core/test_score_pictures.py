"""The pictures of scores: what is drawn, where, and what is said where there is nothing."""

from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_assets.core.score_pictures import HEIGHT, MARGIN, horizons_svg, pit_shares, pit_svg, reliability_svg

SVG = "{http://www.w3.org/2000/svg}"
NONE = np.array([])


def words(svg):
    return "".join(ElementTree.fromstring(svg).itertext())


def points(line):
    return [tuple(float(v) for v in pair.split(",")) for pair in line.get("points").split()]


def test_reliability_draws_the_curve_and_how_often_each_was_said():
    root = ElementTree.fromstring(
        reliability_svg("a & b", np.array([0.1, 0.5, 0.9]), np.array([0.0, 0.5, 1.0]), np.array([2.0, 1, 4]))
    )
    _, diagonal, curve = root.iter(f"{SVG}polyline")
    assert diagonal.get("stroke-dasharray")
    assert [y for _, y in points(curve)] == [HEIGHT - MARGIN, HEIGHT / 2, MARGIN]
    assert len(list(root.iter(f"{SVG}circle"))) == 3
    heights = [float(r.get("height")) for r in list(root.iter(f"{SVG}rect"))[1:]]
    assert heights == pytest.approx([heights[2] / 2, heights[2] / 4, heights[2]], abs=0.1)
    assert root.find(f"{SVG}text").text == "a & b"


def test_horizons_draw_one_line_a_score_and_only_known_intervals():
    value, low, high = np.array([0.4, np.nan, 0.2]), np.array([0.3, np.nan, np.nan]), np.array([0.8, np.nan, np.nan])
    root = ElementTree.fromstring(horizons_svg("t", ["7d", "1d", "1h"], [("CRPS", value, low, high)], unit="percent"))
    assert len(list(root.iter(f"{SVG}circle"))) == 2
    (interval,) = [line for line in root.iter(f"{SVG}polyline") if line.get("class") == "interval"]
    (_, bottom), (_, top) = points(interval)
    # The axis ends at the greatest bound.
    assert top == MARGIN
    assert bottom == pytest.approx(HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * 0.3 / 0.8, abs=0.1)
    said = "".join(root.itertext())
    assert all(name in said for name in ("7d", "1h", "CRPS", "percent", "0.8"))


def test_pit_bars_are_the_shares():
    root = ElementTree.fromstring(pit_svg("t", np.array([0.0, 0.0]), np.array([0.1, 0.2])))
    heights = [float(r.get("height")) for r in list(root.iter(f"{SVG}rect"))[1:]]
    assert heights[1] / heights[0] == pytest.approx(1 / 3, abs=0.01)
    assert heights[2:] == [0.0] * 8


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20))
def test_pit_shares_add_up_to_one(ends):
    low, high = (np.array(v) for v in zip(*(sorted(pair) for pair in ends), strict=True))
    share = pit_shares(low, high, 10)
    assert share.sum() == pytest.approx(1.0)
    assert (share >= 0).all()


def test_intervals_spread_over_their_bins():
    assert pit_shares(np.array([0.05]), np.array([0.25]), 10)[:3] == pytest.approx([0.25, 0.5, 0.25])
    assert pit_shares(np.array([1.0]), np.array([1.0]), 4).tolist() == pytest.approx([0, 0, 0, 1])


def test_nothing_to_draw_is_said():
    assert "no forecasts" in words(reliability_svg("t", NONE, NONE, NONE))
    assert "no forecasts" in words(pit_svg("t", NONE, NONE))
    nan = np.array([np.nan])
    assert "no scores" in words(horizons_svg("t", ["1d"], [("CRPS", nan, nan, nan)], unit=""))
    assert "no scores" in words(horizons_svg("t", [], [], unit=""))
