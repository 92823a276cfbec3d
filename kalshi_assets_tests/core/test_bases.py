"""Each series on its own basis: what comes out is what the two bases give alone."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.bases import distributions_by_basis, traded_series
from kalshi_assets.core.distribution import DistributionConfig, build_distributions
from kalshi_assets_tests.core.ladder_rows import CPI_QUOTES, contract, quote, quotes_table, snapshots_table, specs_of
from kalshi_assets_tests.core.test_trade_distributions import table, trade

CONFIG = DistributionConfig()
STRIKES = (-0.1, 0.0, 0.1, 0.2, 0.3, 0.4)


def world() -> tuple[pa.Table, pa.Table, pa.Table, pa.Table]:
    """Two events of two series with the same ladder; their trades say less than their quotes."""
    events = {"E-A": "A", "E-B": "B"}
    contracts = [
        contract(f"{event}-{i}", "greater", strike, event=event, series=series)
        for event, series in events.items()
        for i, strike in enumerate(STRIKES)
    ]
    tickers = [(c["ticker"], c["event_ticker"]) for c in contracts]
    quotes = [quote(t, *CPI_QUOTES[i % 6], event=e) for i, (t, e) in enumerate(tickers)]
    trades = [trade(t, (95, 90, 80, 50, 20, 5)[i % 6]) | {"event_ticker": e} for i, (t, e) in enumerate(tickers)]
    grid = pa.concat_tables(snapshots_table(event=e, series=s) for e, s in events.items())
    return specs_of(contracts), quotes_table(quotes), table(trades), grid


def test_each_series_is_what_its_basis_gives_alone() -> None:
    specs, quotes, trades, grid = world()
    found = distributions_by_basis(specs, quotes, trades, grid, CONFIG, traded=["B"])
    alone = {
        "E-A": build_distributions(specs, quotes, grid, CONFIG),
        "E-B": build_distributions(specs, trades, grid, replace(CONFIG, basis="trades")),
    }
    for event, expected in alone.items():
        for name in ("distributions", "rungs"):
            mine = getattr(found, name).filter(pc.equal(getattr(found, name)["event_ticker"], event))
            theirs = getattr(expected, name).filter(pc.equal(getattr(expected, name)["event_ticker"], event))
            assert mine.num_rows > 0
            assert mine.equals(theirs)
    assert found.distributions["basis"].to_pylist() == ["quotes", "trades"]
    assert found.rungs["event_ticker"].to_pylist() == ["E-A"] * 6 + ["E-B"] * 6
    assert traded_series(found.distributions) == ("B",)


def test_without_traded_series_trades_are_not_read() -> None:
    specs, quotes, _, grid = world()
    found = distributions_by_basis(specs, quotes, pa.table({}), grid, CONFIG, traded=["C"])
    assert found.distributions.equals(build_distributions(specs, quotes, grid, CONFIG).distributions)
    assert traded_series(found.distributions) == ()
