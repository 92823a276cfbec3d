from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.columns import MISSING_TIME, micros_of
from kalshi_assets.core.microstructure import Microstructure, microstructure
from kalshi_assets_tests.core.event_rows import RELEASE, empty, quote_row, table
from kalshi_assets_tests.core.plain_microstructure import NAMES, plain_microstructure

EVENT = "KXCPIYOY-24JUN"
T0 = RELEASE - timedelta(hours=1)
FIELDS = (*NAMES, "inputs_known_at")


def ago(**span: float) -> datetime:
    return T0 - timedelta(**span)


def describe(rows: list[dict[str, Any]], as_of: datetime = T0, event: str = EVENT) -> Microstructure:
    return microstructure(table("quotes", rows), pa.array([event]), np.array([micros_of(as_of)]))


def test_hand_worked_window() -> None:
    rows = [
        quote_row("A", ago(hours=9), "0.10", "0.90"),  # before the window
        quote_row("A", ago(hours=4), "0.40", "0.42"),  # exactly at its start: inside
        quote_row("A", ago(hours=1), "0.40", "0.46", "5"),
        quote_row("B", ago(hours=2), "0.20", "0.24"),
        quote_row("B", ago(seconds=0), None, "0.30"),  # exactly at the as-of time: inside, no spread
        quote_row("C", ago(hours=6), "0.05", "0.07", "9"),  # traded, if before the window
    ]
    got = describe(rows)
    assert got.update_freq[0] == 1.0
    assert got.staleness_median[0] == 3600.0
    assert got.staleness_p95[0] == pytest.approx(3600 + 0.9 * (6 * 3600 - 3600))
    assert got.spread_median[0] == pytest.approx(0.04, abs=1e-15)
    assert got.spread_vol[0] == pytest.approx(math.sqrt((0.02**2 + 0.0 + 0.02**2) / 3))
    assert got.active_fraction[0] == pytest.approx(2 / 3)
    assert got.tail_liquidity[0] == pytest.approx(math.tanh(0.1) * 2 / 3)
    assert got.inputs_known_at[0] == micros_of(T0)


def original(rows: list[dict[str, Any]], as_of: datetime = T0) -> dict[str, float]:
    """The numbers of the system that this one replaces, in so far as they differ anywhere."""
    hours = [(r["known_at"] - as_of).total_seconds() / 3600 for r in rows]
    window = [h for h in hours if h >= -4]
    bids, asks = ([float(r[f"yes_{side}_close_usd"]) for r in rows] for side in ("bid", "ask"))
    return {
        "update_freq": len(window) / max(max(window) - min(window), 1e-12) if window else 0.0,
        "spread_median": float(np.median([2 * (a - b) / (a + b) for b, a in zip(bids, asks, strict=True)])),
        "active_fraction": len({r["ticker"] for r in rows if r["volume_contracts"]}) / len({r["ticker"] for r in rows}),
    }


def test_the_formulas_of_the_original() -> None:
    rows = [quote_row("A", ago(hours=h), "0.40", "0.42") for h in (2, 1, 0)]
    assert describe(rows).update_freq[0] == original(rows)["update_freq"] == 1.5
    rows += [quote_row("A", ago(hours=9), "0.40", "0.42", "5"), quote_row("B", ago(hours=3), "0.40", "0.42")]
    got, their = describe(rows), original(rows)
    assert got.active_fraction[0] == their["active_fraction"] == 0.5  # A traded, though not in the window
    assert got.update_freq[0] == their["update_freq"] == 4 / 3
    assert got.tail_liquidity[0] == pytest.approx(math.tanh(0.4 / 3) * 0.5)


@pytest.mark.parametrize(
    ("rows", "field", "here", "there"),
    [
        # Rows after the as-of time are nobody's yet.
        ([quote_row("A", ago(hours=h), "0.40", "0.42") for h in (2, 1, -1)], "update_freq", 2.0, 1.0),
        # A cent on a contract of two cents is a cent, and last week's spread is last week's.
        ([quote_row("A", ago(hours=1), "0.02", "0.03")], "spread_median", 0.01, 0.4),
        (
            [quote_row("A", ago(hours=h), "0.20", a) for h, a in ((1, "0.30"), (9, "0.60"), (8, "0.60"))],
            "spread_median", 0.1, 1.0,
        ),
        # A daily candle cannot speak four times in four hours, nor contracts whose bars end together 1e12 times.
        (
            [quote_row("A", ago(hours=h), "0.10", "0.12", period_s=86400) for h in (12, 36, 60, 84, 108)],
            "update_freq", 4 / 72, 0.0,
        ),
        ([quote_row(c, ago(hours=1), "0.10", "0.12", period_s=3600) for c in "ABC"], "update_freq", 3.0, 3e12),
        ([quote_row("A", ago(hours=1), "0.10", "0.12", source="book", period_s=0)], "update_freq", 60.0, 1e12),
    ],
)  # fmt: skip
def test_what_differs_from_the_original(rows: list[dict[str, Any]], field: str, here: float, there: float) -> None:
    assert getattr(describe(rows), field)[0] == pytest.approx(here)
    assert original(rows)[field] == pytest.approx(there)


def test_nothing_known_is_missing_not_zero() -> None:
    for rows in ([], [quote_row("A", T0 + timedelta(microseconds=1), "0.1", "0.2")]):
        got = describe(rows)
        assert all(np.isnan(getattr(got, f)[0]) for f in FIELDS[:-1])
        assert got.inputs_known_at[0] == MISSING_TIME


def test_quiet_window_is_zero_updates_with_staleness() -> None:
    got = describe([quote_row("A", ago(hours=30), "0.10", "0.12")])
    assert (got.update_freq[0], got.tail_liquidity[0]) == (0.0, 0.0)
    assert got.staleness_median[0] == 30 * 3600
    assert np.isnan(got.spread_median[0])


def test_a_finer_feed_does_not_shorten_an_earlier_window() -> None:
    daily = [quote_row("A", ago(days=d), "0.10", "0.12", period_s=86400) for d in (0.5, 1.5)]
    later = quote_row("A", T0 + timedelta(minutes=1), "0.10", "0.12")
    assert describe([*daily, later]).update_freq[0] == describe(daily).update_freq[0] == 2 / 24


def test_one_update_when_two_feeds_end_together_and_the_finer_gives_the_spread() -> None:
    rows = [
        quote_row("A", ago(hours=1), "0.10", "0.30", period_s=3600),
        quote_row("A", ago(hours=1), "0.10", "0.14", "3", period_s=60),
    ]
    for order in (rows, rows[::-1]):
        got = describe(order)
        assert got.update_freq[0] == 60.0
        assert got.spread_median[0] == pytest.approx(0.04)
        assert got.active_fraction[0] == 1.0


def test_a_correction_of_an_old_bar_is_no_update() -> None:
    bars = [quote_row("A", ago(hours=h), "0.10", "0.12") for h in (30, 29, 28)]
    corrected = quote_row("A", ago(hours=1), "0.10", "0.90") | {"ts": ago(days=20)}
    again = quote_row("A", ago(hours=2), "0.10", "0.90") | {"ts": ago(hours=28)}
    for rows in (bars, [*bars, corrected], [again, corrected, *bars]):
        got = describe(rows)
        assert (got.update_freq[0], got.staleness_median[0]) == (0.0, 28 * 3600)
        assert np.isnan(got.spread_median[0])
    coarser = quote_row("A", ago(hours=1), "0.10", "0.20", period_s=3600) | {"ts": ago(hours=28)}
    assert describe([*bars, coarser]).spread_median[0] == pytest.approx(0.10)


def test_events_do_not_see_each_other() -> None:
    mine = [quote_row("A", ago(hours=1), "0.10", "0.30")]
    other = [quote_row("A", ago(minutes=m), "0.50", "0.51", "9", event="KXU3-24JUN") for m in range(50)]
    alone, beside = describe(mine), describe(other + mine)
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(alone, field), getattr(beside, field))


def test_no_snapshots() -> None:
    got = microstructure(empty("quotes"), pa.array([], pa.string()), np.zeros(0, np.int64))
    assert got.update_freq.size == 0


quotes_strategy = st.lists(
    st.tuples(
        st.sampled_from(["KXCPIYOY-24JUN", "KXU3-24JUN"]), st.sampled_from("ABC"), st.integers(-30, 720),
        st.sampled_from([0, 60, 3600, 86400]), st.sampled_from([None, "0.10", "0.20"]),
        st.sampled_from([None, "0.25", "0.31"]), st.sampled_from([None, "0", "4"]), st.sampled_from([0, 0, 30, 300]),
    ),
    max_size=25, unique_by=lambda r: r[:4],
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(quotes_strategy, st.randoms(use_true_random=False))
def test_agrees_with_plain_python_and_ignores_the_future(rows: list[Any], shuffler: Any) -> None:
    quotes = [
        quote_row(c, ago(minutes=m), bid, ask, vol, event=e, period_s=p) | {"ts": ago(minutes=m + late)}
        for e, c, m, p, bid, ask, vol, late in rows
    ]
    snapshots = [(e, ago(minutes=m)) for e in ("KXU3-24JUN", "KXCPIYOY-24JUN") for m in (0, 45, 400)]
    events, as_of = pa.array([e for e, _ in snapshots]), np.array([micros_of(t) for _, t in snapshots])
    got = microstructure(table("quotes", quotes), events, as_of)
    for i, (event, moment) in enumerate(snapshots):
        for field, want in plain_microstructure(quotes, event, moment).items():
            assert getattr(got, field)[i] == pytest.approx(want, rel=1e-12, abs=1e-15, nan_ok=True), field

    mixed = quotes + [quote_row("Z", T0 + timedelta(seconds=s), "0.5", "0.9", "7") for s in (1, 60)]
    shuffler.shuffle(mixed)
    again = microstructure(table("quotes", mixed), events, as_of)
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(got, field), getattr(again, field))
