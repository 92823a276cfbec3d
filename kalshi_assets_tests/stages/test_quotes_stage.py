"""What the quotes stage asks of the exchange, and what it files."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pyarrow as pa
import pytest

from kalshi_assets.errors import GateError, Unreachable
from kalshi_assets.exchange.candles import CANDLES
from kalshi_assets.exchange.findings import Finding
from kalshi_assets.exchange.journal import Download
from kalshi_assets.exchange.models import Cutoff
from kalshi_assets.exchange.seam import Seam
from kalshi_assets.exchange.trades import TRADES
from kalshi_assets.stages.context import StageContext
from kalshi_assets.stages.ladder_pulls import CandleWindow
from kalshi_assets.stages.quotes import quotes
from kalshi_assets.store.journal import DownloadJournal
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets_tests.exchange import bodies
from kalshi_assets_tests.stages.catalog_seed import (
    CLOSED,
    DAY,
    EVENT,
    OPENED,
    RELEASE,
    SERIES,
    fill_catalog,
    vouch,
    write,
)

HOURLY = (CandleWindow(60, timedelta(days=35)),)


def cutoff(**changes):
    return Cutoff.parse({**bodies.CUTOFF, **changes}, "/historical/cutoff")


class Exchange:
    """Answers one candle and one trade for each contract but the silent ones, and remembers the questions."""

    def __init__(self, *cutoffs, silent=()):
        self.cutoffs = list(cutoffs or (cutoff(), cutoff()))
        self.silent = set(silent)
        self.candles_asked, self.trades_asked, self.seams_asked = [], [], []
        self.broken = False
        self.looked_up, self.deleted = [], set()
        self.bid, self.ask, self.price, self.ends = {}, None, "0.42", [CLOSED.replace(minute=0)]
        self.on_seam = Seam(compared=9, different=0, only_live=0, only_historical=0, first=None)

    def cutoff(self):
        return self.cutoffs.pop(0)

    def candlesticks(self, markets, *, period_minutes, start, end, cutoff):
        self.candles_asked.append((period_minutes, start, end, cutoff))
        rows = [
            {
                "ticker": m.ticker, "period_s": period_minutes * 60, "ts": last,
                "yes_bid_close_usd": Decimal(self.bid.get(m.ticker, "0.41")), "yes_ask_close_usd": self.ask,
            }
            for m in markets if m.ticker not in self.silent
            for last in self.ends
        ]  # fmt: skip
        return pa.Table.from_pylist(rows, schema=CANDLES)

    def trades(self, market, *, start, end, cutoff):
        if self.broken:
            raise Unreachable("No answer from 127.0.0.1:1.")
        self.trades_asked.append((market.ticker, start, end, cutoff))
        at = CLOSED - timedelta(seconds=90)
        row = {
            "trade_id": f"t-{market.ticker}", "ticker": market.ticker, "sequence": 1, "ts": at,
            "yes_price_usd": Decimal(self.price), "count_contracts": Decimal("3.00"),
        }  # fmt: skip
        return pa.Table.from_pylist([] if market.ticker in self.silent else [row], schema=TRADES)

    def markets_by_ticker(self, tickers):
        self.looked_up.append(list(tickers))
        return tuple(SimpleNamespace(ticker=t) for t in tickers if t not in self.deleted)

    def seam(self, refs, *, period_minutes, start, end, cutoff):
        self.seams_asked.append(("candles", len(refs)))
        return self.on_seam

    def trade_seam(self, ref, *, cutoff):
        self.seams_asked.append(("trades", ref.ticker))
        return self.on_seam


@pytest.fixture
def lake(tmp_path):
    made = Lake(tmp_path / "lake")
    fill_catalog(made)
    vouch(made)
    return made


def pull(lake, exchange, *, dates=(DAY,), series=(SERIES,), journal=None, findings=tuple, now=None, **windows):
    context = StageContext(
        lake=lake,
        run_id="r1",
        exchange=lambda: exchange,
        catalog=lambda _: None,
        simulated=lambda: False,
        journal=journal,
        findings=findings,
        **({"now": lambda: now} if now else {}),
    )
    return quotes(context, Scope(list(dates), series), **windows)


def test_without_evidence_the_exchange_is_not_even_asked(tmp_path):
    lake = Lake(tmp_path / "lake")
    fill_catalog(lake)
    exchange = Exchange()
    with pytest.raises(GateError, match="quotes will not read market_catalog"):
        pull(lake, exchange)
    assert len(exchange.cutoffs) == 2


def test_each_window_reaches_from_opening_or_near_the_close_to_the_closing_period(lake):
    exchange = Exchange()
    pull(lake, exchange)
    asked = [question[:3] for question in exchange.candles_asked]
    assert asked == [
        (1440, OPENED, CLOSED + timedelta(days=2)),
        (60, OPENED, CLOSED + timedelta(hours=2)),  # listed for less than five weeks
        (1, RELEASE - timedelta(days=2), CLOSED + timedelta(minutes=2)),
    ]


def test_which_minutes_are_pulled_rests_on_the_release_as_it_was_known_at_the_time(lake):
    (event,) = lake.read("events").to_pylist()
    told, early = RELEASE - timedelta(days=5), RELEASE - timedelta(days=6, hours=12)
    for at, since in ((early, OPENED), (RELEASE, told)):
        write(lake, "events", [{**event, "release_time": at, "known_at": since, "ts": since}])
    vouch(lake)
    exchange = Exchange(silent=lake.read("contracts")["ticker"].to_pylist())
    pull(lake, exchange)
    asked = [question[1:3] for question in exchange.candles_asked if question[0] == 1]
    assert asked == [
        (early - timedelta(days=2), told),
        (RELEASE - timedelta(days=2), CLOSED + timedelta(minutes=2)),
    ]


def test_trades_are_asked_for_each_contract_past_the_close(lake):
    exchange = Exchange()
    pull(lake, exchange, windows=HOURLY)
    assert sorted(ticker for ticker, *_ in exchange.trades_asked) == [f"{EVENT}-T{s}" for s in ("2.9", "3.0", "3.1")]
    for _, start, end, _ in exchange.trades_asked:
        assert start < OPENED
        assert end == CLOSED + timedelta(minutes=1)


def test_a_candle_is_known_when_its_period_ends(lake):
    result = pull(lake, Exchange(), windows=HOURLY)
    assert result.rows == {"quotes": 3, "trades": 3}
    for row in lake.read("quotes").to_pylist():
        assert row["known_at"] == row["ts"] == datetime(2024, 7, 11, 12, 0, tzinfo=UTC)
        assert (row["event_ticker"], row["series_ticker"], row["event_date"]) == (EVENT, SERIES, DAY)
        assert (row["source"], row["period_s"]) == ("candle", 3600)
        assert (row["yes_bid_close_usd"], row["yes_ask_close_usd"]) == (Decimal("0.410000"), None)
    for row in lake.read("trades").to_pylist():
        assert row["known_at"] == row["ts"] == CLOSED - timedelta(seconds=90)
    assert all(g.passed for g in result.gates)


def coverage(lake, endpoint="candlesticks"):
    (row,) = [r for r in lake.read("coverage").to_pylist() if r["endpoint"] == endpoint]
    return row["expected"], row["received"], row["complete"], row["reason"]


def test_coverage_counts_contracts_that_were_never_quoted(lake):
    result = pull(lake, Exchange(silent=[f"{EVENT}-T3.1"]), windows=HOURLY)
    assert coverage(lake) == (3, 2, False, f"1 of 3 contracts were never quoted, the first is {EVENT}-T3.1")
    assert "1 contracts were never quoted (table coverage)." in result.notes
    assert all(g.passed for g in result.gates)


def test_full_coverage_needs_no_reason(lake):
    pull(lake, Exchange(), windows=HOURLY)
    assert coverage(lake) == (3, 3, True, None)


def test_contracts_far_from_the_boundary_are_not_compared(lake):
    exchange = Exchange()
    result = pull(lake, exchange, windows=HOURLY)
    assert exchange.seams_asked == []
    (gate,) = [g for g in result.gates if g.check_name == "tiers_agree"]
    assert (gate.passed, gate.n_rows) == (True, 0)
    assert "near the boundary" in gate.detail


def settle(lake):
    """A settled version of each contract, an hour and a half after the close."""
    at = CLOSED + timedelta(minutes=90)
    rows = [
        {**row, "ts": at, "known_at": at, "settlement_time": at, "result": "no", "status": "finalized"}
        for row in lake.read("contracts").to_pylist()
    ]
    write(lake, "contracts", rows)
    vouch(lake)


NEAR = {"market_settled_ts": "2024-07-12T00:00:00Z", "trades_created_ts": "2024-07-01T00:00:00Z"}


def test_near_the_boundary_both_tiers_are_asked_and_counted(lake):
    settle(lake)
    exchange = Exchange(cutoff(**NEAR), cutoff(**NEAR))
    result = pull(lake, exchange, windows=HOURLY)
    assert ("candles", 3) in exchange.seams_asked
    assert sum(kind == "trades" for kind, _ in exchange.seams_asked) == 3
    (gate,) = [g for g in result.gates if g.check_name == "tiers_agree"]
    assert (gate.passed, gate.n_rows) == (True, 36)


def test_tiers_that_disagree_block(lake):
    settle(lake)
    exchange = Exchange(cutoff(**NEAR), cutoff(**NEAR))
    exchange.on_seam = Seam(compared=9, different=1, only_live=0, only_historical=0, first="T at noon")
    result = pull(lake, exchange, windows=HOURLY)
    (gate,) = result.failed
    assert gate.check_name == "tiers_agree"
    assert gate.first_offender.startswith(f"candles of {EVENT}: 1 differ")
    assert gate.first_offender.endswith("T at noon")


def test_undocumented_fields_are_told_and_logged(lake):
    result = pull(lake, Exchange(), windows=HOURLY, findings=lambda: [Finding("/markets", "unknown_field", "x", 7)])
    assert any("1 kinds of undocumented fields" in note for note in result.notes)
    assert lake.read("ingest_log")["findings_json"].to_pylist() == ['["/markets: unknown_field x (7)"]']


def make_provisional(lake, ticker):
    (row,) = [r for r in lake.read("contracts").to_pylist() if r["ticker"] == ticker]
    write(lake, "contracts", [{**row, "raw_json": '{"is_provisional":true}'}])
    vouch(lake)


def test_a_deleted_provisional_contract_keeps_what_was_seen_of_it(lake):
    gone = f"{EVENT}-T3.1"
    make_provisional(lake, gone)
    pull(lake, Exchange(), windows=HOURLY)
    held = lake.read("quotes"), lake.read("trades")
    exchange = Exchange()
    exchange.deleted = {gone}
    result = pull(lake, exchange, windows=HOURLY)
    assert exchange.looked_up == [[gone]]
    assert gone not in [ticker for ticker, *_ in exchange.trades_asked]
    assert (lake.read("quotes"), lake.read("trades")) == held
    assert any("deleted 1 provisional contracts" in note for note in result.notes)
    assert all(g.passed for g in result.gates)


def test_where_nothing_is_provisional_nothing_is_looked_up(lake):
    exchange = Exchange()
    pull(lake, exchange, windows=HOURLY)
    assert exchange.looked_up == []


class Journalling(Exchange):
    """Keeps one page of a listing in the journal, then breaks."""

    def __init__(self, journal, *, then_break):
        super().__init__()
        self.journal, self.broken = journal, then_break

    def trades(self, market, **range_):
        self.journal.keep(Download("/markets/trades", market.ticker, 0, 60), 1, b"{}", rows=5, cursor="next")
        return super().trades(market, **range_)


def test_a_pull_that_breaks_off_says_how_far_it_came_and_keeps_its_pages(lake, tmp_path):
    journal = DownloadJournal(tmp_path, "test")
    with pytest.raises(Unreachable):
        pull(lake, Journalling(journal, then_break=True), windows=HOURLY, journal=journal)
    rows = lake.read("ingest_checkpoints").to_pylist()
    assert rows
    assert {(r["endpoint"], r["pages"], r["rows"], r["cursor"], r["complete"]) for r in rows} == {
        ("/markets/trades", 1, 5, "next", False)
    }
    assert journal.pages(Download("/markets/trades", rows[0]["key"], 0, 60)) == [b"{}"]
    journal.close()


def test_a_committed_pull_leaves_nothing_in_the_journal(lake, tmp_path):
    journal = DownloadJournal(tmp_path, "test")
    pull(lake, Journalling(journal, then_break=False), windows=HOURLY, journal=journal)
    assert journal.pages(Download("/markets/trades", f"{EVENT}-T3.0", 0, 60)) == []
    assert lake.read("ingest_checkpoints").num_rows == 3
    journal.close()


@pytest.mark.parametrize("boundary", ["market_settled_ts", "trades_created_ts"])
def test_a_cutoff_that_moves_meanwhile_repeats_the_pull_once(lake, boundary):
    before, after = cutoff(), cutoff(**{boundary: "2026-09-24T00:00:00Z"})
    exchange = Exchange(before, after, cutoff(**{boundary: "2026-09-25T00:00:00Z"}))
    result = pull(lake, exchange, windows=HOURLY)
    assert [question[3] for question in exchange.candles_asked] == [before, after]
    assert [question[3] for question in exchange.trades_asked] == [before] * 3 + [after] * 3
    assert len(exchange.cutoffs) == 1
    assert result.rows == {"quotes": 3, "trades": 3}


def test_the_boundary_of_orders_is_none_of_ours(lake):
    exchange = Exchange(cutoff(), cutoff(orders_updated_ts="2026-11-09T00:00:00Z"))
    pull(lake, exchange, windows=HOURLY)
    assert len(exchange.candles_asked) == 1


def test_a_pull_that_breaks_off_writes_nothing(lake):
    pull(lake, Exchange(silent=[f"{EVENT}-T3.1"]), windows=HOURLY)
    held = lake.versions()
    exchange = Exchange()
    exchange.broken = True
    with pytest.raises(Unreachable):
        pull(lake, exchange, windows=HOURLY)
    assert lake.versions() == held


def test_the_same_answers_change_nothing(lake):
    pull(lake, Exchange(), windows=HOURLY)
    held = lake.version("quotes"), lake.version("trades"), lake.version("coverage")
    result = pull(lake, Exchange(), windows=HOURLY)
    assert set(result.changed.values()) == {0}
    assert (lake.version("quotes"), lake.version("trades"), lake.version("coverage")) == held


def test_a_date_of_other_series_pulls_nothing_and_keeps_what_is_there(lake):
    pull(lake, Exchange(), windows=HOURLY)
    exchange = Exchange()
    result = pull(lake, exchange, series=("KXU3",), windows=HOURLY)
    assert exchange.candles_asked == []
    assert set(result.changed.values()) == {0}
    assert result.rows == {"quotes": 3, "trades": 3}
    assert all(g.passed for g in result.gates)
