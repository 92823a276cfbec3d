"""The dynamic cutoff and the rules of the feeds."""

from __future__ import annotations

import math

import pytest

from kalshi_assets.core.staleness import (
    FEED_POLICIES,
    StalePolicy,
    dynamic_stale_cutoff_minutes,
    feed_policy,
)

DAY_S = 86_400.0


def test_near_event_tight_cutoff() -> None:
    assert dynamic_stale_cutoff_minutes(10) == 2.0


def test_far_event_loose_cutoff() -> None:
    assert dynamic_stale_cutoff_minutes(2000) == 60.0


def test_midpoint_interpolation() -> None:
    # half way between 30 and 1440 minutes: half way between 2 and 60
    assert dynamic_stale_cutoff_minutes(735) == pytest.approx(31.0)


def test_cutoff_monotonically_increases_with_distance() -> None:
    cutoffs = [dynamic_stale_cutoff_minutes(t) for t in (5, 30, 120, 720, 1440, 2880)]
    assert cutoffs == sorted(cutoffs)
    assert cutoffs[0] < cutoffs[-1]


def test_cpi_market_type_multiplier() -> None:
    base = dynamic_stale_cutoff_minutes(500)
    assert dynamic_stale_cutoff_minutes(500, event_type="cpi") == pytest.approx(0.8 * base)


def test_fomc_market_type_multiplier() -> None:
    cpi = dynamic_stale_cutoff_minutes(500, event_type="CPI")
    assert dynamic_stale_cutoff_minutes(500, event_type="FOMC") < cpi


def test_low_liquidity_widens_cutoff() -> None:
    assert dynamic_stale_cutoff_minutes(500, liquidity=1) == pytest.approx(
        1.35 * dynamic_stale_cutoff_minutes(500, liquidity=5)
    )


def test_high_liquidity_tightens_cutoff() -> None:
    assert dynamic_stale_cutoff_minutes(500, liquidity=10) == pytest.approx(
        0.8 * dynamic_stale_cutoff_minutes(500, liquidity=3)
    )


@pytest.mark.parametrize("unknown", [None, math.nan, math.inf])
def test_none_time_to_event_uses_base(unknown: float | None) -> None:
    assert dynamic_stale_cutoff_minutes(unknown) == 30.0


def test_cutoff_clamped_to_bounds() -> None:
    assert dynamic_stale_cutoff_minutes(0, StalePolicy(near_stale_minutes=0.1)) == 0.5
    assert dynamic_stale_cutoff_minutes(9999, StalePolicy(far_stale_minutes=99_999.0)) == 1440.0
    assert dynamic_stale_cutoff_minutes(-50) == dynamic_stale_cutoff_minutes(0)


def test_the_shipped_rules_tell_heartbeats_from_change_feeds() -> None:
    assert feed_policy("book", 0).change_feed is False
    assert feed_policy("candle", 60).change_feed is True
    assert feed_policy("candle", 60).carry_s == 2 * DAY_S
    assert feed_policy("candle", 3600).carry_s == 2 * DAY_S
    assert feed_policy("candle", 86_400).carry_s == 7 * DAY_S


def test_a_quote_never_lives_shorter_than_its_bar() -> None:
    assert feed_policy("candle", 30 * 86_400, FEED_POLICIES).carry_s == 30 * DAY_S
    assert feed_policy("candle", 3600, ()).carry_s == 3600.0
