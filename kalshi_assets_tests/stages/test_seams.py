"""Both tiers of the loopback exchange, where they overlap."""

from datetime import UTC, date, datetime, timedelta

import pytest

from kalshi_assets.emulator.archive import load_archive
from kalshi_assets.emulator.server import serve
from kalshi_assets.exchange.connect import connect
from kalshi_assets.exchange.routing import MarketRef
from kalshi_assets.stages.ladder_pulls import Ladder
from kalshi_assets.stages.seams import seam_gates, seams_of


def midnight_after(moment):
    return datetime(moment.year, moment.month, moment.day, tzinfo=UTC) + timedelta(days=1)


@pytest.fixture(scope="module")
def loaded(archive):
    return load_archive(archive)


@pytest.fixture(scope="module")
def ladder(loaded):
    rows = [r for r in loaded.tables["markets"].to_pylist() if r["event_ticker"].startswith("KXU3")]
    last = max(r["settlement_ts"] for r in rows)
    rows = [r for r in rows if r["settlement_ts"] == last]
    refs = tuple(MarketRef(r["ticker"], r["event_ticker"], "KXU3", r["settlement_ts"]) for r in rows)
    opened, closed = min(r["open_time"] for r in rows), max(r["close_time"] for r in rows)
    return Ladder(refs[0].event_ticker, "KXU3", last.date(), opened, closed, refs)


def compared(loaded, ladder, **switches):
    boundary = midnight_after(ladder.contracts[0].settlement_time).strftime("%Y-%m-%dT%H:%M:%SZ")
    moved = {"market_settled_ts": boundary, "trades_created_ts": ladder.closed.strftime("%Y-%m-%dT00:00:00Z")}
    with serve(loaded, cutoff=moved, **switches) as server:
        exchange = connect(server.base_url)
        seams = seams_of(exchange, [ladder], exchange.cutoff())
    return seams, seam_gates(seams, [ladder.event_date, date(1999, 1, 1)])


def test_tiers_that_hold_the_same_agree(loaded, ladder):
    seams, (gate, other) = compared(loaded, ladder, overlap_s=3 * 86_400)
    (what, candles), *trades = seams[ladder.event_date]
    assert what == f"candles of {ladder.event_ticker}"
    assert candles.compared > 50
    assert len(trades) == len(ladder.contracts)
    assert (gate.passed, gate.n_rows) == (True, sum(s.compared for _, s in seams[ladder.event_date]))
    assert (other.passed, other.n_rows) == (True, 0)


def test_without_an_overlap_there_is_nothing_to_compare(loaded, ladder):
    _, (gate, _) = compared(loaded, ladder)
    assert (gate.passed, gate.n_rows) == (True, 0)
    assert gate.detail == "only one tier holds the contracts of this date"
