"""From what the exchange lists to rows of the catalog: what is known when, and what is left out."""

import json
from datetime import UTC, date, datetime
from types import SimpleNamespace

import pyarrow as pa
import pytest

from kalshi_assets.core.conditions import POLICY_LOOKBACK
from kalshi_assets.core.features import JoinAges
from kalshi_assets.core.release_times import release_mappings
from kalshi_assets.core.series import INFLATION_SERIES, POLICY_RATE, VOLATILITY_SYMBOL
from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import UsageError
from kalshi_assets.exchange.models import EventRecord, MarketRecord, SeriesRecord
from kalshi_assets.stages.catalog_rows import contract_rows
from kalshi_assets.stages.listing import DAILY_REFERENCES, EventListing, fetch_catalog
from kalshi_assets_tests.exchange import bodies

SERIES, EVENT = "KXCPIYOY", "KXCPIYOY-26DEC"
LISTED = datetime(2026, 10, 20, 20, 33, 23, 485950, tzinfo=UTC)
CLOSES = datetime(2027, 1, 13, 13, 25, tzinfo=UTC)
RELEASE = datetime(2027, 1, 13, 13, 30, tzinfo=UTC)
SETTLED = datetime(2027, 1, 13, 13, 40, tzinfo=UTC)
WORDS_OF_THE_FUTURE = (
    "bid", "ask", "price", "volume", "interest", "liquidity", "result", "settlement", "expiration_value", "status",
)  # fmt: skip


def market(ticker=f"{EVENT}-T0.3", tier="live", **changes):
    return MarketRecord.parse_from(tier, bodies.market(ticker, **{"event_ticker": EVENT, **changes}), "/markets")


def settled(ticker=f"{EVENT}-T0.3", tier="historical", **changes):
    outcome = {
        "status": "finalized", "result": "no", "expiration_value": "0.3%", "settlement_value_dollars": "0.0000",
        "settlement_ts": "2027-01-13T13:40:00Z", "volume_fp": "99.00", "updated_time": "2027-01-13T14:00:00Z",
    }  # fmt: skip
    return market(ticker, tier, **{**outcome, **changes})


def event(ticker=EVENT, **changes):
    given = {"series_ticker": SERIES, "title": "Inflation", "sub_title": "In December 2026", **changes}
    return EventRecord.parse(bodies.event(ticker, **given), "/events")


def rows_of(record):
    return contract_rows(record, event(), release_mappings(SERIES, LISTED, CLOSES, [])[0])


class Listing:
    """An exchange that lists what a test put there."""

    def __init__(self, events=(), markets=(), **series):
        self._events, self._markets, self._series = list(events), tuple(markets), series

    def series(self, ticker):
        return SeriesRecord.parse(bodies.series(ticker, **self._series), "/series")

    def events(self, ticker):
        return [e for e in self._events if e.series_ticker == ticker]

    def markets(self, ticker):
        return SimpleNamespace(
            markets=tuple(m for m in self._markets if m.event_ticker.startswith(f"{ticker}-")), pages=3
        )


class Macro:
    """A calendar that a test wrote, and the span for which closes were wanted."""

    provenance = "the test"

    def __init__(self, *entries):
        self.entries, self.asked, self.observed = entries, None, None

    def calendar(self, series):
        rows = [
            {
                "series_ticker": SERIES, "period": period, "release_time": release, "event_date": release.date(),
                "ts": release, "known_at": known, "source": "bls",
            }
            for period, release, known in self.entries
        ]  # fmt: skip
        return pa.Table.from_pylist(rows, schema=TABLES["release_calendar"].schema)

    def observations(self, series):
        self.observed = list(series)
        return TABLES["macro_observations"].schema.empty_table()

    def daily(self, symbols, start, end):
        self.asked = (tuple(symbols), start, end)
        return TABLES["asset_prices"].schema.empty_table()


DECEMBER = (date(2026, 12, 1), RELEASE, datetime(2026, 1, 5, tzinfo=UTC))


def fetch(listing, *entries, series=(SERIES,)):
    return fetch_catalog(listing, Macro(*(entries or (DECEMBER,))), series, simulated=False)


# Contracts


def test_an_open_contract_has_one_row_known_at_its_listing():
    (row,) = rows_of(market())
    assert (row["status"], row["ts"], row["known_at"]) == ("active", LISTED, LISTED)
    assert (row["ticker"], row["floor_strike"], row["cap_strike"]) == (f"{EVENT}-T0.3", 0.3, None)
    assert row["open_time"] == datetime(2026, 10, 20, 21, tzinfo=UTC)


def test_the_listing_of_a_settled_contract_shows_nothing_of_its_fate():
    listing, _ = rows_of(settled())
    (unsettled,) = rows_of(market())
    assert listing | {"changed_at": None} == unsettled | {"changed_at": None}
    shown = json.loads(listing["raw_json"])
    assert not [key for key in shown if any(word in key for word in WORDS_OF_THE_FUTURE)]
    assert shown["rules_primary"] == "If more."
    for column in ("result", "outcome_type", "settlement_time", "settlement_value_usd", "expiration_value"):
        assert listing.get(column) is None
    assert listing.get("volume_contracts") is None


def test_a_settled_contract_is_known_at_its_settlement():
    _, row = rows_of(settled())
    assert (row["status"], row["ts"], row["known_at"], row["settlement_time"]) == ("finalized", *[SETTLED] * 3)
    assert (row["result"], row["outcome_type"], row["expiration_value"]) == ("no", "binary", "0.3%")
    assert (str(row["settlement_value_usd"]), str(row["volume_contracts"])) == ("0.0000", "99.00")
    assert row["tier"] == "historical"
    assert json.loads(row["raw_json"])["result"] == "no"


@pytest.mark.parametrize(
    ("expected", "known"),
    [
        ("2027-01-13T14:56:00Z", datetime(2027, 1, 13, 14, 56, tzinfo=UTC)),
        ("2027-01-13T13:00:00Z", RELEASE),
        (None, RELEASE),
        (..., RELEASE),
    ],
)
def test_without_a_settlement_time_the_outcome_is_known_once_it_was_due(expected, known):
    """Contracts close minutes before the number that decides them is published."""
    _, row = rows_of(settled(settlement_ts=None, expected_expiration_time=expected))
    assert row["known_at"] == row["ts"] == known
    assert row["settlement_time"] is None


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"result": "yes"}, "binary"),
        ({"result": "scalar", "settlement_value_dollars": "0.4200"}, "scalar"),
        ({"result": "", "settlement_value_dollars": "0.4200"}, "scalar"),
        ({"result": "", "settlement_value_dollars": None}, "void"),
    ],
)
def test_outcomes_are_typed(changes, outcome):
    _, row = rows_of(settled(**changes))
    assert row["outcome_type"] == outcome


@pytest.mark.parametrize("status", ["initialized", "inactive", "active", "closed"])
def test_without_a_result_nothing_is_determined(status):
    assert len(rows_of(settled(status=status, result="", settlement_value_dollars=None))) == 1


@pytest.mark.parametrize("status", ["determined", "disputed", "amended"])
def test_a_dispute_without_a_result_is_told_without_an_outcome(status):
    listing, row = rows_of(settled(status=status, result="", settlement_value_dollars=None, settlement_ts=None))
    assert (listing["status"], row["status"]) == ("active", status)
    assert (row["result"], row["outcome_type"], row["settlement_value_usd"]) == (None, None, None)


def test_rows_say_when_the_exchange_last_changed_them():
    told = datetime(2027, 1, 13, 14, tzinfo=UTC)
    assert [row["changed_at"] for row in rows_of(settled())] == [told, told]
    assert rows_of(market(updated_time=...))[0]["changed_at"] is None
    catalog = fetch(Listing([event()], [market(), settled(f"{EVENT}-T0.4")]))
    assert catalog.events["changed_at"].to_pylist() == [told]
    early = fetch(Listing([event()], [market(updated_time=..., created_time="2026-10-01T00:00:00Z")]))
    assert early.events["changed_at"].to_pylist() == [datetime(2026, 11, 16, 14, 2, 11, tzinfo=UTC)]


# Events and their releases


def test_an_event_belongs_to_the_release_of_its_period():
    catalog = fetch(Listing([event()], [market(), settled(f"{EVENT}-T0.4")]))
    (row,) = catalog.events.to_pylist()
    assert (row["event_date"], row["release_time"], row["period"]) == (date(2027, 1, 13), RELEASE, date(2026, 12, 1))
    assert row["release_time_source"] == "calendar:bls"
    assert (row["known_at"], row["n_contracts"], row["event_type"]) == (LISTED, 2, "CPI")
    assert catalog.event_dates == [date(2027, 1, 13)]
    assert catalog.contracts.num_rows == 3
    listed = EventListing(frozenset({f"{EVENT}-T0.3", f"{EVENT}-T0.4"}), {}, is_listed=True)
    assert (catalog.listings, catalog.pages) == ({EVENT: listed}, {SERIES: 3})
    (series,) = catalog.series.to_pylist()
    assert (series["series_ticker"], series["known_at"], series["simulated"]) == (SERIES, LISTED, False)
    assert catalog.notes == ()


def test_a_release_that_was_moved_gives_a_version_each():
    moved, told = datetime(2027, 1, 15, 13, 30, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    catalog = fetch(Listing([event()], [market()]), DECEMBER, (DECEMBER[0], moved, told))
    mapped = catalog.event_market_map.sort_by("known_at").to_pylist()
    assert [(m["known_at"], m["release_time"], m["event_date"]) for m in mapped] == [
        (LISTED, RELEASE, date(2027, 1, 13)),
        (told, moved, date(2027, 1, 15)),
    ]
    assert catalog.event_dates == [date(2027, 1, 13), date(2027, 1, 15)], "it was decided on for both"
    said = [
        (row["known_at"], row["release_time"], row["mapping_version"], row["event_date"])
        for row in (*catalog.former_events.to_pylist(), *catalog.events.to_pylist())
    ]
    assert said == [
        (LISTED, RELEASE, "v1", date(2027, 1, 15)),
        (told, moved, "v2", date(2027, 1, 15)),
    ]
    assert set(catalog.contracts["event_date"].to_pylist()) == {date(2027, 1, 15)}


def test_an_unknown_period_falls_back_to_the_exchanges_clock_and_says_so():
    odd = event("KXCPIYOY-SPECIAL", sub_title="Soon", title="Inflation")
    catalog = fetch(Listing([odd], [market("KXCPIYOY-SPECIAL-T1", event_ticker="KXCPIYOY-SPECIAL")]))
    (row,) = catalog.events.to_pylist()
    assert row["period"] is None
    assert (row["release_time"], row["release_time_source"]) == (RELEASE, "exchange_close_clock")
    assert row["event_date"] == date(2027, 1, 13)


def test_a_period_that_the_calendar_does_not_hold_falls_back_too():
    catalog = fetch(Listing([event(sub_title="In November 2026")], [market()]))
    (row,) = catalog.events.to_pylist()
    assert (row["period"], row["release_time_source"]) == (date(2026, 11, 1), "exchange_close_clock")


def test_a_series_nobody_described_is_dated_by_its_close():
    odd = event("KXZZZ-26DEC", series_ticker="KXZZZ")
    catalog = fetch(Listing([odd], [market("KXZZZ-26DEC-T1", event_ticker="KXZZZ-26DEC")]), series=("KXZZZ",))
    (row,) = catalog.events.to_pylist()
    assert (row["release_time"], row["release_time_source"]) == (CLOSES, "exchange_close_time")
    assert row["event_type"] is None


# What is left out


def test_an_event_without_contracts_is_left_out_with_a_note():
    catalog = fetch(Listing([event("KXCPIYOY-26NOV"), event()], [market()]))
    assert catalog.events["event_ticker"].to_pylist() == [EVENT]
    assert catalog.listings["KXCPIYOY-26NOV"] == EventListing(frozenset(), {}, is_listed=True)
    assert catalog.notes == ("KXCPIYOY-26NOV lists no contract on either tier and is left out.",)


def test_contracts_of_no_listed_event_are_noted():
    stray = market("KXCPIYOY-26NOV-T1", event_ticker="KXCPIYOY-26NOV")
    catalog = fetch(Listing([event()], [market(), stray]))
    assert catalog.contracts["ticker"].to_pylist() == [f"{EVENT}-T0.3"]
    assert catalog.notes == ("KXCPIYOY-26NOV: 1 contracts belong to no listed event.",)


def test_contracts_that_the_event_names_itself_are_noted_with_whether_they_are_provisional():
    named = [{"ticker": "A", "is_provisional": True}, {"ticker": "B"}, {"is_provisional": True}, "C"]
    catalog = fetch(Listing([event(markets=named)], [market()]))
    assert catalog.listings[EVENT].named == {"A": True, "B": False}
    assert fetch(Listing([event(markets="A")], [market()])).listings[EVENT].named == {}


def test_a_series_without_events_is_refused():
    with pytest.raises(UsageError, match="KXCPIYOY exists but has no event"):
        fetch(Listing())


def test_events_without_any_contract_are_refused():
    with pytest.raises(UsageError, match="No event of KXCPIYOY lists a contract"):
        fetch(Listing([event()]))


def test_closes_are_wanted_around_the_events():
    macro = Macro(DECEMBER)
    fetch_catalog(Listing([event()], [market()]), macro, (SERIES,), simulated=False)
    assert macro.asked == (DAILY_REFERENCES, date(2026, 7, 12), date(2027, 1, 20))


def test_what_the_regimes_rest_on_is_wanted_whatever_the_series():
    other = [event("KXU3-26DEC", series_ticker="KXU3")], [market("KXU3-26DEC-T4", event_ticker="KXU3-26DEC")]
    macro = Macro(DECEMBER)
    fetch_catalog(Listing(*other), macro, ("KXU3",), simulated=False)
    assert macro.observed == [INFLATION_SERIES, "KXU3"]
    assert {VOLATILITY_SYMBOL, POLICY_RATE} <= set(macro.asked[0])
    # A rate is compared with the one of 90 days before, which may be a week old.
    oldest = LISTED - POLICY_LOOKBACK - JoinAges().price
    assert macro.asked[1] <= oldest.date()
