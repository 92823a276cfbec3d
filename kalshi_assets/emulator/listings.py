"""Routes of the catalog: series, events and markets of both tiers, filtered and paged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kalshi_assets.emulator.catalog import Market, moment
from kalshi_assets.emulator.market_body import STATUSES_OF_FILTER
from kalshi_assets.emulator.query import Query, page
from kalshi_assets.emulator.replies import (
    Refused,
    Reply,
    bad_request,
    historical_not_found,
    json_reply,
    not_found,
    text_reply,
)
from kalshi_assets.emulator.served import ServedArchive

_MARKETS_PAGE = (100, 1000)
_EVENTS_PAGE = (200, 200)
# Each pair of time filters goes with no status, or with one of these.
_TIME_FILTERS = {
    "created": ("unopened", "open"),
    "close": ("closed",),
    "settled": ("settled",),
    "updated": (),
}


def series_list(served: ServedArchive, query: Query) -> Reply:
    """Every series, in one body; a category of another case matches nothing."""
    category = query.text("category")
    rows = [t for t, row in served.catalog.series.items() if category in (None, row["category"])]
    if query.text("tags"):
        rows = []
    return json_reply({"series": [served.catalog.series_body(ticker) for ticker in rows]})


def series(served: ServedArchive, query: Query, ticker: str) -> Reply:
    """One series."""
    if ticker not in served.catalog.series:
        return not_found()
    return json_reply({"series": served.catalog.series_body(ticker)})


def events(served: ServedArchive, query: Query) -> Reply:
    """Events; a status matches where any market of the event has it."""
    catalog, now = served.catalog, served.now()
    statuses = _statuses(query, detailed=False)
    chosen = query.listed("tickers")
    series_ticker = query.text("series_ticker")
    min_close = query.integer("min_close_ts")
    nested = query.flag("with_nested_markets")

    def kept(event_ticker: str) -> bool:
        markets = catalog.markets_of.get(event_ticker, [])
        return (
            (series_ticker is None or catalog.events[event_ticker]["series_ticker"] == series_ticker)
            and (chosen is None or event_ticker in chosen)
            and (statuses is None or any(catalog.status(m, now) in statuses for m in markets))
            and (min_close is None or any(m.row["close_time"].timestamp() >= min_close for m in markets))
            and catalog.listed(event_ticker, now)
        )

    rows = [e for e in catalog.events if kept(e)]
    numbers, cursor = page(len(rows), query, *_EVENTS_PAGE)
    texts = ",".join(catalog.event_text(rows[i], nested=nested, now=now) for i in numbers)
    return text_reply(f'{{"events":[{texts}],"milestones":[],"cursor":"{cursor}"}}')


def event(served: ServedArchive, query: Query, event_ticker: str) -> Reply:
    """One event, its live markets beside it or nested in it."""
    catalog, now = served.catalog, served.now()
    nested = query.flag("with_nested_markets")
    if nested and query.flag("exclude_markets"):
        return bad_request("with_nested_markets and exclude_markets may not be supplied together")
    if event_ticker not in catalog.events or not catalog.listed(event_ticker, now):
        return not_found()
    beside = "" if nested or query.flag("exclude_markets") else _joined(
        served, catalog.live_markets_of(event_ticker, now)
    )  # fmt: skip
    return text_reply(f'{{"event":{catalog.event_text(event_ticker, nested=nested, now=now)},"markets":[{beside}]}}')


def markets(served: ServedArchive, query: Query) -> Reply:
    """Markets of the live tier."""
    statuses = _statuses(query, detailed=True)
    now = served.now()
    tests = [*_ticker_filters(query), *_time_filters(served, query)]
    rows = [
        m
        for m in served.catalog.live(now)
        if all(test(m) for test in tests) and (statuses is None or served.catalog.status(m, now) in statuses)
    ]
    return _market_page(served, query, rows)


def market(served: ServedArchive, query: Query, ticker: str) -> Reply:
    """One market of the live tier."""
    found, at = served.catalog.markets.get(ticker), moment(served.now())
    if found is None or not found.live or (at is not None and found.row["created_time"] > at):
        return not_found()
    return text_reply(f'{{"market":{served.catalog.market_text(found, served.now())}}}')


def historical_cutoff(served: ServedArchive, query: Query) -> Reply:
    """Where the tiers part."""
    return json_reply(served.catalog.cutoff)


def historical_markets(served: ServedArchive, query: Query) -> Reply:
    """Markets of the historical tier, newest created first; at most one filter."""
    given = [n for n in ("tickers", "event_ticker", "series_ticker", "mve_filter") if query.text(n)]
    if len(given) > 1:
        return bad_request(f"{' and '.join(given)} are mutually exclusive")
    tests = _ticker_filters(query)
    return _market_page(served, query, [m for m in served.catalog.historical if all(test(m) for test in tests)])


def historical_market(served: ServedArchive, query: Query, ticker: str) -> Reply:
    """One market of the historical tier."""
    found = served.catalog.markets.get(ticker)
    if found is None or not found.historical:
        return historical_not_found()
    return text_reply(f'{{"market":{served.catalog.market_text(found, served.now())}}}')


def _joined(served: ServedArchive, rows: Sequence[Market]) -> str:
    return ",".join(served.catalog.market_text(m, served.now()) for m in rows)


def _market_page(served: ServedArchive, query: Query, rows: Sequence[Market]) -> Reply:
    chosen, cursor = page(len(rows), query, *_MARKETS_PAGE)
    return text_reply(f'{{"markets":[{_joined(served, [rows[i] for i in chosen])}],"cursor":"{cursor}"}}')


def _statuses(query: Query, *, detailed: bool) -> frozenset[str] | None:
    """The body statuses behind the filter word; the event listing refuses without details."""
    word = query.text("status")
    if word is None:
        return None
    if "," in word:
        raise Refused(bad_request("only one status filter may be supplied" if detailed else None))
    if word not in STATUSES_OF_FILTER:
        raise Refused(bad_request("invalid status filter" if detailed else None))
    return STATUSES_OF_FILTER[word]


def _ticker_filters(query: Query) -> list[Callable[[Market], bool]]:
    tests: list[Callable[[Market], bool]] = []
    if (event_ticker := query.text("event_ticker")) is not None:
        tests.append(lambda m: m.event_ticker == event_ticker)
    if (series_ticker := query.text("series_ticker")) is not None:
        tests.append(lambda m: m.series_ticker == series_ticker)
    if (tickers := query.listed("tickers")) is not None:
        chosen = frozenset(tickers)
        tests.append(lambda m: m.ticker in chosen)
    if query.text("mve_filter") == "only":
        tests.append(lambda m: False)
    return tests


def _time_filters(served: ServedArchive, query: Query) -> list[Callable[[Market], bool]]:
    bounds = {n: (query.integer(f"min_{n}_ts"), query.integer(f"max_{n}_ts")) for n in _TIME_FILTERS}
    given = [name for name, pair in bounds.items() if pair != (None, None)]
    if not given:
        return []
    if len(given) > 1:
        raise Refused(bad_request(f"{' and '.join(f'{n}_ts' for n in given)} filters are mutually exclusive"))
    name, status = given[0], query.text("status")
    if status is not None and status not in _TIME_FILTERS[name]:
        raise Refused(bad_request(f"{name}_ts filters may not be combined with status {status}"))
    if name == "updated" and (
        query.text("tickers")
        or query.text("event_ticker")
        or (query.text("series_ticker") and query.text("mve_filter") != "exclude")
    ):
        raise Refused(bad_request("updated_ts filters go with mve_filter=exclude, and with series_ticker beside it"))
    lowest, highest = bounds[name]

    def inside(m: Market) -> bool:
        at = served.catalog.times(m, served.now())[name]
        return (
            at is not None
            and (lowest is None or at.timestamp() >= lowest)
            and (highest is None or at.timestamp() <= highest)
        )

    return [inside]
