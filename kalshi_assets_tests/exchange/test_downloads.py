"""A download that is killed goes on where it stopped and gives what an unbroken one gives."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kalshi_assets.errors import ExchangeError, MalformedResponse, NotFound, RequestRefused, Unreachable
from kalshi_assets.exchange import Cutoff, Exchange, MarketRef
from kalshi_assets.exchange.downloads import Downloads, download_key
from kalshi_assets.exchange.journal import Download
from kalshi_assets.http.attempt import parse_object
from kalshi_assets_tests.exchange.bodies import CUTOFF, historical_candle, live_candle, trade
from kalshi_assets_tests.exchange.memory_journal import MemoryJournal

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
END_S = int(NOW.timestamp()) - 1
LISTING = Download("/markets/trades", "T", 0, END_S)
CUT = Cutoff.parse(CUTOFF, "cutoff")


class Killed(Exception):
    """The process dies."""


class Listing:
    """Serves numbered pages; a cursor that it does not know leads to page 1, as at the exchange."""

    def __init__(self, sizes: list[int], name: str = "c") -> None:
        starts = [sum(sizes[:i]) for i in range(len(sizes))]
        self.bodies = {
            None if i == 0 else f"{name}{i}": {
                "rows": list(range(start, start + size)),
                "cursor": f"{name}{i + 1}" if i + 1 < len(sizes) else "",
            }
            for i, (start, size) in enumerate(zip(starts, sizes, strict=True))
        }
        self.asked: list[str | None] = []
        self.fails: dict[str | None, BaseException] = {}

    def __call__(
        self, path: str, query: Mapping[str, Any] | None = None, *, keep: Callable[[bytes], object] | None = None
    ) -> dict[str, Any]:
        cursor = (query or {})["cursor"]
        self.asked.append(cursor)
        if cursor in self.fails:
            raise self.fails[cursor]
        data = json.dumps(self.bodies.get(cursor, self.bodies[None])).encode()
        if keep is not None:
            keep(data)
        body = parse_object(data)
        assert isinstance(body, dict)
        return body


def walk(listing: Listing, journal: MemoryJournal | None, download: Download = LISTING, read: Any = list) -> list[Any]:
    downloads = Downloads(listing, journal, lambda: NOW)
    return list(downloads.listing(download, "/markets/trades", {"limit": 2}, "rows", read=read))


SIZES = [2, 2, 0, 2, 1]
ROWS = list(range(7))


# Cursor-paged listings


@pytest.mark.parametrize("page", range(len(SIZES)))
def test_a_walk_killed_at_any_page_goes_on_there(page: int) -> None:
    journal, listing = MemoryJournal(), Listing(SIZES)
    cursors = list(listing.bodies)
    listing.fails = {cursors[page]: Killed()}
    with pytest.raises(Killed):
        walk(listing, journal)
    assert listing.asked == cursors[: page + 1]
    assert len(journal.pages(LISTING)) == page
    again = Listing(SIZES)
    assert walk(again, journal) == ROWS
    assert again.asked == cursors[page:]
    third = Listing(SIZES)
    assert walk(third, journal) == ROWS
    assert third.asked == []


def test_a_walk_killed_again_and_again_asks_for_each_page_once() -> None:
    journal, asked = MemoryJournal(), []
    for cursor in list(Listing(SIZES).bodies)[1:]:
        listing = Listing(SIZES)
        listing.fails = {cursor: Unreachable("gone")}
        with pytest.raises(Unreachable):
            walk(listing, journal)
        asked += [c for c in listing.asked if c != cursor]
    last = Listing(SIZES)
    assert walk(last, journal) == ROWS
    assert asked + last.asked == list(last.bodies)


def test_what_is_kept_is_the_page_as_received() -> None:
    journal, listing = MemoryJournal(), Listing(SIZES)
    walk(listing, journal)
    assert [parse_object(b) for b in journal.pages(LISTING)] == list(listing.bodies.values())
    assert journal.notes[LISTING] == [(1, 2, "c1"), (2, 2, "c2"), (3, 0, "c3"), (4, 2, "c4"), (5, 1, None)]


@pytest.mark.parametrize("kept", range(1, len(SIZES)))
def test_an_expired_cursor_starts_the_walk_anew_once(kept: int) -> None:
    journal = MemoryJournal()
    first = Listing(SIZES)
    first.fails = {list(first.bodies)[kept]: Killed()}
    with pytest.raises(Killed):
        walk(first, journal)
    later = Listing(SIZES, name="later")
    assert walk(later, journal) == ROWS
    # The lost cursor is tried and asked for twice more, then the walk begins with page 1.
    assert later.asked == [f"c{kept}"] * 3 + list(later.bodies)
    assert [parse_object(b) for b in journal.pages(LISTING)] == list(later.bodies.values())


def test_a_cursor_that_is_refused_starts_the_walk_anew_once() -> None:
    journal = MemoryJournal()
    first = Listing(SIZES)
    first.fails = {"c2": Killed()}
    with pytest.raises(Killed):
        walk(first, journal)
    later = Listing(SIZES, name="later")
    later.fails = {"c2": RequestRefused("unknown cursor")}
    assert walk(later, journal) == ROWS
    later = Listing(SIZES, name="later")
    later.fails = {None: RequestRefused("no")}
    with pytest.raises(RequestRefused):
        walk(later, MemoryJournal())
    assert later.asked == [None]


def test_a_listing_that_loops_for_good_is_an_error_after_one_new_start() -> None:
    journal = MemoryJournal()
    first = Listing(SIZES)
    first.fails = {"c2": Killed()}
    with pytest.raises(Killed):
        walk(first, journal)
    looping = Listing(SIZES)
    del looping.bodies["c2"]
    with pytest.raises(MalformedResponse, match="loops"):
        walk(looping, journal)
    assert looping.asked == ["c2"] * 3 + [None, "c1"] + ["c2"] * 3


def test_what_is_no_page_is_not_kept() -> None:
    journal, listing = MemoryJournal(), Listing(SIZES)
    listing.bodies["c1"] = {"error": "a strange day"}
    with pytest.raises(MalformedResponse):
        walk(listing, journal)
    assert len(journal.pages(LISTING)) == 1
    again = Listing(SIZES)
    assert walk(again, journal) == ROWS
    assert again.asked == list(again.bodies)[1:]


def test_the_page_that_fits_is_kept_and_not_the_one_before_it() -> None:
    journal, listing = MemoryJournal(), Listing(SIZES)
    right, stale = listing.bodies["c1"], listing.bodies[None]

    class Flaky(Listing):
        def __call__(self, path: str, query: Any = None, *, keep: Any = None) -> dict[str, Any]:
            self.bodies["c1"] = right if self.asked.count("c1") else stale
            return super().__call__(path, query, keep=keep)

    flaky = Flaky(SIZES)
    assert walk(flaky, journal) == ROWS
    assert flaky.asked.count("c1") == 2
    assert parse_object(journal.pages(LISTING)[1]) == right


@pytest.mark.parametrize("damaged", [0, 2, 4])
@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"rows": 5}', b"\xff\xfe", b'{"cursor": ["c"]}'])
def test_a_damaged_kept_page_is_forgotten_and_all_is_fetched_again(damaged: int, data: bytes) -> None:
    journal = MemoryJournal()
    walk(Listing(SIZES), journal)
    journal.kept[LISTING][damaged] = data
    again = Listing(SIZES)
    assert walk(again, journal) == ROWS
    # A text that is JSON but no page shows only where the walk comes to it; it is asked for nowhere before.
    assert again.asked == list(again.bodies)
    assert [parse_object(b) for b in journal.pages(LISTING)] == list(again.bodies.values())


def test_a_kept_page_that_repeats_another_is_asked_for_again_and_replaced() -> None:
    journal, listing = MemoryJournal(), Listing(SIZES)
    walk(listing, journal)
    journal.kept[LISTING][1] = json.dumps({**listing.bodies["c1"], "rows": [0, 1]}).encode()
    again = Listing(SIZES)
    assert walk(again, journal) == ROWS
    assert again.asked == ["c1"]
    assert [parse_object(b) for b in journal.pages(LISTING)] == list(listing.bodies.values())


def test_rows_that_cannot_be_read_do_not_stay_kept() -> None:
    def refuse(rows: list[Any]) -> list[Any]:
        raise MalformedResponse("these rows are none")

    journal, listing = MemoryJournal(), Listing(SIZES)
    with pytest.raises(MalformedResponse):
        walk(listing, journal, read=refuse)
    assert journal.kept == {}
    walk(Listing(SIZES), journal)
    again = Listing(SIZES)
    with pytest.raises(MalformedResponse, match="these rows"):
        walk(again, journal, read=refuse)
    assert again.asked == list(again.bodies)
    assert journal.kept == {}


@pytest.mark.parametrize(("ago_s", "kept"), [(-100, False), (0, False), (1, True), (100, True)])
def test_only_a_range_that_is_over_is_kept(ago_s: int, kept: bool) -> None:
    download = Download("/markets/trades", "T", 0, int(NOW.timestamp()) - ago_s)
    journal = MemoryJournal()
    assert walk(Listing(SIZES), journal, download) == ROWS
    assert bool(journal.kept) is kept
    again = Listing(SIZES)
    assert walk(again, journal, download) == ROWS
    assert again.asked == ([] if kept else list(again.bodies))


def test_without_a_journal_nothing_is_kept_and_all_is_as_before() -> None:
    for _ in range(2):
        listing = Listing(SIZES)
        assert walk(listing, None) == ROWS
        assert listing.asked == list(listing.bodies)


# Names


def test_keys_are_short_and_tell_lists_apart() -> None:
    assert download_key(["A"]) == "A"
    assert download_key(["A", "B"], 60) == "A,B@60"
    many = [f"KXZZZ-26DEC-T{i}" for i in range(100)]
    digest = hashlib.sha256(",".join(many).encode()).hexdigest()
    assert download_key(many, 1) == f"KXZZZ-26DEC-T0,{digest}@1"
    assert download_key(many) != download_key([*many[:-1], "OTHER"])


# Through the client


class Tape:
    """A transport that answers from a function and can die at the n-th request."""

    can_sign = False

    def __init__(self, answer: Callable[[str, dict[str, Any]], dict[str, Any]], dies_at: int | None = None) -> None:
        self.answer = answer
        self.dies_at = dies_at
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def get_json(self, path: str, params: Any = None, *, signed: bool = False, keep: Any = None) -> dict[str, Any]:
        if self.dies_at is not None and len(self.asked) >= self.dies_at:
            raise Killed
        self.asked.append((path, dict(params)))
        data = json.dumps(self.answer(path, dict(params))).encode()
        if keep is not None:
            keep(data)
        body = parse_object(data)
        assert isinstance(body, dict)
        return body


def client(tape: Tape, journal: MemoryJournal | None) -> Exchange:
    return Exchange(tape, now=lambda: NOW, journal=journal)  # type: ignore[arg-type]


DAY = timedelta(days=1)
BOUNDARY = CUT.market_settled_ts
START, END = BOUNDARY - 10 * DAY, BOUNDARY + 10 * DAY


def a_small_market(path: str, query: dict[str, Any]) -> dict[str, Any]:
    """Three live markets, one historical; trades on four pages of each tier."""
    ends = range(query.get("start_ts", 0), query.get("end_ts", 0) + 1, 3600 * 24)
    if path == "/markets/candlesticks":
        known = [t for t in query["market_tickers"].split(",") if t != "MOVED"]
        return {"markets": [{"market_ticker": t, "candlesticks": [live_candle(s) for s in ends]} for t in known]}
    if path == "/historical/markets/MOVED/candlesticks":
        return {"candlesticks": [historical_candle(s) for s in ends]}
    if path == "/series/KXZZZ/markets/A%2CB/candlesticks":
        raise NotFound("not found")
    if path == "/historical/markets/A%2CB/candlesticks":
        return {"candlesticks": [historical_candle(s) for s in ends]}
    if path in ("/markets/trades", "/historical/trades"):
        page = int(query["cursor"] or 0)
        first = datetime(2026, 9, 30 if path == "/markets/trades" else 20, tzinfo=UTC)
        at = (first - page * timedelta(hours=1)).isoformat().replace("+00:00", "Z")
        rows = [trade(f"{path}-{page}-{i}", at, ticker=query["ticker"]) for i in range(3)]
        return {"trades": rows, "cursor": str(page + 1) if page < 3 else ""}
    raise AssertionError(path)


REFS = [MarketRef(t, "E", "KXZZZ") for t in ("L1", "L2", "MOVED", "A,B")]


def pull(exchange: Exchange) -> tuple[Any, Any, Any]:
    span: dict[str, Any] = {"start": START, "end": END, "cutoff": CUT}
    return (
        exchange.candlesticks(REFS, period_minutes=60, **span),
        exchange.candlesticks(REFS, period_minutes=1, **{**span, "start": END - 8 * DAY}),
        exchange.trades(REFS[0], **span),
    )


def test_a_pull_killed_at_every_request_gives_what_an_unbroken_one_gives() -> None:
    whole_tape = Tape(a_small_market)
    whole = pull(client(whole_tape, None))
    assert whole[2].num_rows == 24
    n = len(whole_tape.asked)
    assert n > 15
    not_found = [a for a in whole_tape.asked if a[0].startswith("/series/")]
    for at in range(n):
        journal = MemoryJournal()
        first = Tape(a_small_market, dies_at=at)
        with pytest.raises(Killed):
            pull(client(first, journal))
        second = Tape(a_small_market)
        assert all(a.equals(b) for a, b in zip(pull(client(second, journal)), whole, strict=True))
        # Nothing is asked for twice but what the first tier did not know.
        twice = [a for a in second.asked if a in first.asked]
        assert all(a in not_found for a in twice)
        assert len(first.asked) + len(second.asked) - len(twice) == n


def test_endpoints_and_keys_of_the_clients_downloads() -> None:
    journal = MemoryJournal()
    pull(client(Tape(a_small_market), journal))
    names = {(d.endpoint, d.key) for d in journal.kept}
    assert names == {
        ("/markets/candlesticks", "L1,L2,MOVED@60"), ("/markets/candlesticks", "L1,L2,MOVED@1"),
        ("/markets/candlesticks", "L1,L2@1"),
        ("/historical/markets/candlesticks", "MOVED@60"), ("/historical/markets/candlesticks", "MOVED@1"),
        ("/historical/markets/candlesticks", "A,B@60"), ("/historical/markets/candlesticks", "A,B@1"),
        ("/markets/trades", "L1"), ("/historical/trades", "L1"),
    }  # fmt: skip


def test_a_single_answer_is_recalled_unless_it_is_damaged() -> None:
    journal, tape = MemoryJournal(), Tape(a_small_market)
    span: dict[str, Any] = {"period_minutes": 60, "start": START, "end": END, "cutoff": CUT}
    table = client(tape, journal).candlesticks(REFS[:2], **span)
    assert len(tape.asked) == 1
    (download,) = journal.kept
    # As received: the end of the range is included in the request and not in the table.
    assert journal.notes[download] == [(1, table.num_rows + 2, None)]
    recalled = Tape(a_small_market)
    assert client(recalled, journal).candlesticks(REFS[:2], **span).equals(table)
    assert recalled.asked == []
    for data in (b"{", b'{"markets": [{"market_ticker": 4}]}', b'{"error": "no"}'):
        journal.kept[download] = [data]
        again = Tape(a_small_market)
        assert client(again, journal).candlesticks(REFS[:2], **span).equals(table)
        assert len(again.asked) == 1
        assert journal.kept[download] != [data]


def test_an_answer_that_is_no_batch_is_not_kept() -> None:
    journal = MemoryJournal()
    tape = Tape(lambda path, query: {"markets": [{"market_ticker": "L1"}]})
    with pytest.raises(MalformedResponse):
        client(tape, journal).candlesticks(REFS[:1], period_minutes=60, start=START, end=END, cutoff=CUT)
    assert journal.kept == {}


def test_a_range_that_is_still_open_is_asked_for_each_time() -> None:
    journal = MemoryJournal()
    asked = []
    for _ in range(2):
        tape = Tape(a_small_market)
        exchange = client(tape, journal)
        exchange.candlesticks(REFS[:2], period_minutes=60, start=START, end=NOW + DAY, cutoff=CUT)
        exchange.trades(REFS[0], start=BOUNDARY + DAY, end=NOW, cutoff=CUT)
        asked.append(tape.asked)
    assert asked[0] == asked[1]
    assert journal.kept == {}


def test_a_trade_that_changes_between_two_pages_does_not_stay_kept() -> None:
    def two_faced(path: str, query: dict[str, Any]) -> dict[str, Any]:
        body = a_small_market(path, query)
        body["trades"][0] |= {"trade_id": "same", "count_fp": f"{query['cursor'] or 0}.00"}
        return body

    journal = MemoryJournal()
    with pytest.raises(ExchangeError, match="same"):
        client(Tape(two_faced), journal).trades(REFS[0], start=BOUNDARY + DAY, end=END, cutoff=CUT)
    assert journal.kept == {}
