"""The boundary between the tiers: where it stands, that it can move in the middle of a pull, and a replay's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kalshi_assets.emulator.archive import Archive
from kalshi_assets.emulator.fault_plan import CutoffMove, FaultPlan
from kalshi_assets.emulator.server import serve
from kalshi_assets.errors import UsageError
from kalshi_assets_tests.emulator.conftest import Client

EARLY, LATE = "2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z"


def test_the_cutoff_moves_after_so_many_requests(tiny: Archive) -> None:
    moves = (
        CutoffMove(2, market_settled_ts=LATE),
        CutoffMove(4, market_settled_ts=EARLY, trades_created_ts=EARLY),
    )
    with serve(tiny, plan=FaultPlan(cutoff_moves=moves)) as server:
        c = Client(server)
        first = c.get("/historical/cutoff")
        before = c.get("/historical/markets", limit=1000)["markets"]
        moved = c.get("/historical/cutoff")
        everything = c.get("/historical/markets", limit=1000)["markets"]
        assert first == dict(tiny.historical_cutoff)
        assert moved == {**first, "market_settled_ts": LATE}
        assert 0 < len(before) < len(everything) == tiny.tables["markets"].num_rows
        assert c.get("/historical/trades", limit=1000) == {"trades": [], "cursor": ""}
        assert c.get("/historical/markets") == {"markets": [], "cursor": ""}
        assert c.get("/historical/cutoff") == {**first, "market_settled_ts": EARLY, "trades_created_ts": EARLY}
        assert len(c.pages("/markets/trades", "trades", limit=1000)) == tiny.tables["trades"].num_rows
        c.session.close()


def test_a_market_can_leave_the_live_tier_between_two_requests(tiny: Archive, client: Client) -> None:
    market = client.get("/markets", limit=1)["markets"][0]
    path = f"/series/S/markets/{market['ticker']}/candlesticks"
    window = {"start_ts": 0, "end_ts": 3600, "period_interval": 60}
    with serve(tiny, plan=FaultPlan(cutoff_moves=(CutoffMove(1, market_settled_ts=LATE),))) as server:
        c = Client(server)
        c.get(path, **window)
        assert c.get(path, 404, **window)["error"]["code"] == "not_found"
        assert c.get(f"/historical/markets/{market['ticker']}")["market"] == market
        nested = c.get("/events", with_nested_markets="true")["events"]
        assert nested
        assert not any("markets" in event for event in nested)  # absent, not empty
        c.session.close()


def test_the_listing_of_events_nests_live_markets_only(client: Client) -> None:
    live = {m["ticker"] for m in client.pages("/markets", "markets", limit=1000)}
    events = client.get("/events", with_nested_markets="true")["events"]
    assert {m["ticker"] for e in events for m in e.get("markets", [])} == live
    assert [] not in [e.get("markets") for e in events]
    assert any("markets" not in e for e in events)


def test_overlap_is_on_both_tiers_and_only_near_the_boundary(tiny: Archive) -> None:
    cutoff = datetime.fromisoformat(tiny.historical_cutoff["market_settled_ts"])
    with serve(tiny, plan=FaultPlan(overlap_s=timedelta(days=4).total_seconds())) as server:
        c = Client(server)
        live = {m["ticker"]: m for m in c.pages("/markets", "markets", limit=1000)}
        historical = {m["ticker"]: m for m in c.pages("/historical/markets", "markets", limit=1000)}
        c.session.close()
    both = set(live) & set(historical)
    assert both
    assert both == {
        t
        for t, m in historical.items()
        if datetime.fromisoformat(m["settlement_ts"]) >= cutoff - timedelta(days=4)
    } < set(historical)  # fmt: skip
    assert all(live[t] == historical[t] for t in both)


def test_trades_part_at_their_own_boundary(tiny: Archive) -> None:
    times = sorted(t.as_py() for t in tiny.tables["trades"]["created_time"])
    middle = times[len(times) // 2].astimezone(UTC)
    with serve(tiny, plan=FaultPlan(cutoff={"trades_created_ts": middle.isoformat()})) as server:
        c = Client(server)
        old = c.pages("/historical/trades", "trades", limit=1000)
        new = c.pages("/markets/trades", "trades", limit=1000)
        c.session.close()
    assert (len(old), len(new)) == (sum(t < middle for t in times), sum(t >= middle for t in times))


def test_a_replay_begins_with_its_own_boundary(tiny: Archive) -> None:
    close = min(t.as_py() for t in tiny.tables["markets"]["close_time"])
    now = close - timedelta(hours=1)
    with serve(tiny, plan=FaultPlan(now=now)) as server:
        c = Client(server)
        assert datetime.fromisoformat(c.get("/historical/cutoff")["market_settled_ts"]) == now
        assert c.get("/historical/markets") == {"markets": [], "cursor": ""}
        # A market that will settle later is not found by the time of its settlement.
        assert c.get("/markets", min_settled_ts=0) == {"markets": [], "cursor": ""}
        assert c.get("/markets", status="open")["markets"]
        c.session.close()


def test_a_cutoff_must_be_a_time(tiny: Archive) -> None:
    with pytest.raises(UsageError, match="RFC 3339"):
        serve(tiny, cutoff={"market_settled_ts": "soon"})
