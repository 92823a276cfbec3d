"""What must hold of the simulated archive, read from its files."""

from __future__ import annotations

import json
from datetime import datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kalshi_assets.emulator.archive import Archive, load_archive
from kalshi_assets.emulator.fixed_point import unscaled
from kalshi_assets.emulator.simulate import simulate
from kalshi_assets.errors import UsageError
from kalshi_assets_tests.emulator.conftest import FACTS

Floats = npt.NDArray[np.float64]


class Ladder:
    """Closing quotes of one event, carried forward, in cents: (rungs, times)."""

    def __init__(self, markets: list[dict[str, Any]], candles: dict[str, dict[str, npt.NDArray[np.int64]]]) -> None:
        self.markets = sorted(markets, key=lambda m: float(m["floor_strike"]))
        rows = [candles[m["ticker"]] for m in self.markets]
        self.times = np.unique(np.concatenate([r["end"] for r in rows]))
        at = [np.searchsorted(r["end"], self.times, "right") - 1 for r in rows]
        self.bid, self.ask = (
            np.array([np.where(i >= 0, r[side][i], empty) for i, r in zip(at, rows, strict=True)])
            for side, empty in (("bid", 0), ("ask", 100))
        )

    @property
    def two_sided(self) -> npt.NDArray[np.bool_]:
        return np.asarray((self.bid > 0) & (self.ask < 100))

    def total_mid(self, minutes_before_close: int) -> float:
        """Sum of the mids over the rungs: the implied mean, but for a constant and the step.

        A rung without a bid counts as worthless and one without an ask as certain; an empty book is taken
        from its neighbours, beyond the quoted rungs as certain below and worthless above.
        """
        t = int(np.searchsorted(self.times, self.times[-1] - 60 * minutes_before_close, "right")) - 1
        bid, ask = self.bid[:, t], self.ask[:, t]
        mid = np.where(bid == 0, 0.0, np.where(ask == 100, 1.0, (bid + ask) / 200))
        quoted = np.flatnonzero((bid > 0) | (ask < 100))
        return float(np.interp(np.arange(len(mid)), quoted, mid[quoted], left=1.0, right=0.0).sum())


def intraday(archive: Archive) -> pa.Table:
    """Hours and minutes, which follow each other without overlap."""
    table = archive.tables["candlesticks"]
    return table.filter(pa.compute.less(table["period_interval"], 1440)).combine_chunks()


def ladders(archive: Archive) -> list[Ladder]:
    table = intraday(archive)
    tickers = table["ticker"].to_numpy(zero_copy_only=False)
    bounds = np.concatenate([[0], np.flatnonzero(tickers[1:] != tickers[:-1]) + 1, [len(tickers)]])
    end = np.asarray(table["end_period_ts"].to_numpy())
    bid, ask = (unscaled(table[f"yes_{s}_close"])[0] // 10_000 for s in ("bid", "ask"))
    candles = {
        str(tickers[lo]): {"end": end[lo:hi], "bid": bid[lo:hi], "ask": ask[lo:hi]} for lo, hi in pairwise(bounds)
    }
    events: dict[str, list[dict[str, Any]]] = {}
    for m in archive.tables["markets"].to_pylist():
        events.setdefault(m["event_ticker"], []).append(m)
    return [Ladder(markets, candles) for markets in events.values()]


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return load_archive(simulate(tmp_path_factory.mktemp("ordinary"), facts=FACTS, events=24))


@pytest.fixture(scope="module")
def shown(ordinary: Archive) -> list[Ladder]:
    return ladders(ordinary)


def test_says_that_it_is_simulated(ordinary: Archive) -> None:
    assert ordinary.simulated
    for name, columns in (
        ("series", ["title"]),
        ("events", ["title"]),
        ("markets", ["title", "rules_primary", "rules_secondary"]),
    ):
        for row in ordinary.tables[name].select(columns).to_pylist():
            assert all("simulated" in text.lower() for text in row.values())


def test_same_seed_same_rows_other_seed_other_rows(tiny: Archive, tmp_path: Path) -> None:
    def made(name: str, seed: int) -> Archive:
        series = ("KXCPIYOY", "KXPAYROLLS")
        return load_archive(simulate(tmp_path / name, facts=FACTS, seed=seed, events=4, series=series))

    again, other = made("again", 3), made("other", 4)
    assert all(again.tables[n].equals(t) for n, t in tiny.tables.items())
    assert again.about == tiny.about
    assert not other.tables["candlesticks"].equals(tiny.tables["candlesticks"])
    for name in ("macro_observations", "release_calendar"):  # facts do not depend on the seed
        assert other.tables[name].equals(tiny.tables[name])


def test_a_series_does_not_depend_on_its_neighbours(tiny: Archive, tmp_path: Path) -> None:
    alone = load_archive(simulate(tmp_path / "one", facts=FACTS, seed=3, events=4, series=("KXPAYROLLS",)))
    ours = tiny.tables["candlesticks"].filter(
        pa.compute.starts_with(tiny.tables["candlesticks"]["ticker"], "KXPAYROLLS")
    )
    assert alone.tables["candlesticks"].equals(ours.combine_chunks())


def test_results_follow_the_strict_rule_and_fall_with_the_strike(ordinary: Archive, shown: list[Ladder]) -> None:
    prints = {
        (r["series_id"], r["observation_date"].strftime("%y%b").upper()): r["value"]
        for r in ordinary.tables["macro_observations"].to_pylist()
    }
    ids = {"CPIYOY": "CPIAUCNS_PC1", "U3": "UNRATE", "PAYROLLS": "PAYEMS_CHG"}
    assert len(shown) == 72
    for ladder in shown:
        name, month = ladder.markets[0]["event_ticker"].removeprefix("KX").split("-")
        value = prints[ids[name], month] * (1000 if name == "PAYROLLS" else 1)
        results = [m["result"] for m in ladder.markets]
        assert results == ["yes" if value > m["floor_strike"] + 1e-9 else "no" for m in ladder.markets]
        assert results == sorted(results, reverse=True)
        assert 7 <= len(results) <= 13
        assert {float(m["expiration_value"].rstrip("%").replace(",", "")) for m in ladder.markets} == {value}


def test_quotes_are_plausible(ordinary: Archive, shown: list[Ladder]) -> None:
    table = intraday(ordinary)
    bid, ask = (unscaled(table[f"yes_{s}_close"])[0] // 10_000 for s in ("bid", "ask"))
    spread = (ask - bid)[(bid > 0) & (ask < 100)]
    assert (spread.min(), spread.max()) == (1, 6)
    assert 0.05 <= np.mean((bid == 0) & (ask == 100)) <= 0.10
    inverted, crossed, settled_far = [], 0, 0
    for ladder in shown:
        both = ladder.two_sided
        mid = np.where(both, (ladder.bid + ladder.ask) / 2, np.nan)
        highest_later = np.fmax.accumulate(mid[::-1], axis=0)[::-1]
        with np.errstate(invalid="ignore"):
            inverted.append(np.mean((highest_later[1:] > mid[:-1]).any(axis=0)))
        # A rung with a higher strike pays in fewer cases: buying the lower one below its bid is free money.
        lowest = np.minimum.accumulate(ladder.ask, axis=0)
        crossed += int((ladder.bid[1:] > lowest[:-1]).sum())
        settled_far += int(len({m["result"] for m in ladder.markets}) == 1)
    assert crossed == 0
    assert 0.03 < np.mean(inverted) < 0.3
    assert settled_far < len(shown) / 4


def test_candles_are_a_change_feed_inside_the_life_of_their_market(ordinary: Archive) -> None:
    table = intraday(ordinary).to_pydict()
    markets = {m["ticker"]: m for m in ordinary.tables["markets"].to_pylist()}
    previous: dict[str, int] = {}
    for i in range(len(table["ticker"])):
        ticker, end, period = table["ticker"][i], table["end_period_ts"][i], table["period_interval"][i]
        m = markets[ticker]
        assert m["open_time"].timestamp() < end <= m["close_time"].timestamp()
        assert end % (60 * period) == 0
        if period == 1:
            assert m["close_time"].timestamp() - end <= 2 * 86_400 + 3600
        last = previous.get(ticker)
        previous[ticker] = i
        if last is None:
            continue
        assert end > table["end_period_ts"][last]
        for side in ("yes_bid", "yes_ask"):
            assert table[f"{side}_open"][i] == table[f"{side}_close"][last]
            low, high = table[f"{side}_low"][i], table[f"{side}_high"][i]
            assert low <= min(table[f"{side}_open"][i], table[f"{side}_close"][i])
            assert high >= max(table[f"{side}_open"][i], table[f"{side}_close"][i])
        changed = any(table[f"{s}_open"][i] != table[f"{s}_close"][i] for s in ("yes_bid", "yes_ask"))
        assert changed or table["volume"][i] > 0
        assert (table["volume"][i] > 0) == (table["price_close"][i] is not None)


def test_trades_add_up_to_candles_and_markets(tiny: Archive) -> None:
    trades = tiny.tables["trades"].to_pylist()
    volume: dict[str, Any] = {}
    for t in trades:
        volume[t["ticker"]] = volume.get(t["ticker"], 0) + t["count"]
        assert t["yes_price"] + t["no_price"] == 1
    candle_volume: dict[str, Any] = {}
    for r in intraday(tiny).select(["ticker", "volume"]).to_pylist():
        candle_volume[r["ticker"]] = candle_volume.get(r["ticker"], 0) + r["volume"]
    for m in tiny.tables["markets"].to_pylist():
        assert m["volume"] == candle_volume[m["ticker"]] == volume.get(m["ticker"], 0)


def test_a_day_is_its_hours_and_minutes(tiny: Archive) -> None:
    new_york = ZoneInfo("America/New_York")
    inside: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in intraday(tiny).to_pylist():
        last_moment = datetime.fromtimestamp(row["end_period_ts"] - 1, new_york)
        midnight = datetime.combine(last_moment.date() + timedelta(days=1), time(), new_york)
        inside.setdefault((row["ticker"], int(midnight.timestamp())), []).append(row)
    days = [r for r in tiny.tables["candlesticks"].to_pylist() if r["period_interval"] == 1440]
    assert {(r["ticker"], r["end_period_ts"]) for r in days} == set(inside)
    for day in days:
        parts = inside[day["ticker"], day["end_period_ts"]]
        for side in ("yes_bid", "yes_ask"):
            assert day[f"{side}_open"] == parts[0][f"{side}_open"]
            assert day[f"{side}_close"] == parts[-1][f"{side}_close"]
            assert day[f"{side}_high"] == max(p[f"{side}_high"] for p in parts)
            assert day[f"{side}_low"] == min(p[f"{side}_low"] for p in parts)
        assert day["volume"] == sum(p["volume"] for p in parts)
        assert day["open_interest"] == parts[-1]["open_interest"]
        assert day["price_previous"] == parts[0]["price_previous"]
        traded = [p for p in parts if p["price_close"] is not None]
        if not traded:
            assert all(day[f"price_{p}"] is None for p in ("open", "high", "low", "close", "mean"))
            continue
        assert (day["price_open"], day["price_close"]) == (traded[0]["price_open"], traded[-1]["price_close"])
        assert day["price_high"] == max(p["price_high"] for p in traded)
        assert day["price_low"] == min(p["price_low"] for p in traded)
        mean = sum(p["price_mean"] * p["volume"] for p in traded) / day["volume"]
        assert abs(day["price_mean"] - mean) <= Decimal("0.00005")


def test_size_and_lost_releases(ordinary: Archive) -> None:
    tickers = set(ordinary.tables["events"]["event_ticker"].to_pylist())
    assert "KXCPIYOY-25SEP" in tickers
    assert not {t for t in tickers if t.endswith("-25OCT")}
    assert {"CPIYOY-24OCT", "KXCPIYOY-24NOV", "PAYROLLS-24OCT"} <= tickers
    assert json.dumps(dict(ordinary.about)).count("2026-03-13T00:00:00Z") == 3


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no simulation of KXGDP"):
        simulate(tmp_path, facts=FACTS, series=("KXGDP",))
    with pytest.raises(UsageError, match="not 500"):
        simulate(tmp_path, facts=FACTS, events=500)
    with pytest.raises(UsageError, match="facts file"):
        simulate(tmp_path, facts=tmp_path)


def test_a_stale_archive_is_replaced_whole(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "fed_funds_futures.parquet")
    simulate(tmp_path, facts=FACTS, events=1, series=("KXU3",))
    assert load_archive(tmp_path).tables["fed_funds_futures"].num_rows == 0


def reversal(folder: Path, edge: float) -> float:
    """Correlation of the ladder's last drift with what its settlement adds to it, over 90 events."""
    archive = load_archive(simulate(folder, facts=FACTS, seed=11, events=90, edge=edge, series=("KXCPIYOY",)))
    drift, rest = [], []
    for ladder in ladders(archive):
        end = ladder.total_mid(0)
        drift.append(end - ladder.total_mid(7 * 24 * 60))
        rest.append(sum(m["result"] == "yes" for m in ladder.markets) - end)
    return float(np.corrcoef(drift, rest)[0, 1])


def test_drift_predicts_reversal_only_with_a_planted_edge(tmp_path: Path) -> None:
    assert abs(reversal(tmp_path / "fair", 0.0)) < 0.25
    assert reversal(tmp_path / "planted", 1.5) < -0.5
