"""Which prices a series' distributions rest on, and building each on its own; one law is ``distribution``'s work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.distribution import QUOTES, TRADES, DistributionConfig, DistributionTables, build_distributions
from kalshi_assets.core.horizons import DAILY
from kalshi_assets.core.tables import TABLES, TEXT


def distributions_by_basis(
    specs: pa.Table,
    quotes: pa.Table,
    trades: pa.Table,
    snapshots: pa.Table,
    config: DistributionConfig,
    *,
    traded: Sequence[str],
) -> DistributionTables:
    """Distributions of every snapshot: from trades for some series, from quotes for all others.

    Args:
        specs: rows of table ``contract_specs``, any versions.
        quotes: rows of table ``quotes``.
        trades: rows of table ``trades``; read only where a series wants them.
        snapshots: rows shaped as ``horizons.SNAPSHOTS``.
        config: every choice but the basis.
        traded: series whose distributions rest on trades.

    Returns:
        As ``distribution.build_distributions``.

    Raises:
        DomainError: as there.
    """
    wants_trades = pc.is_in(snapshots["series_ticker"], pa.array(list(traded), TEXT))
    on_trades = snapshots.filter(wants_trades)
    if not on_trades.num_rows:
        return build_distributions(specs, quotes, snapshots, replace(config, basis=QUOTES))
    parts = (
        build_distributions(specs, quotes, snapshots.filter(pc.invert(wants_trades)), replace(config, basis=QUOTES)),
        build_distributions(specs, trades, on_trades, replace(config, basis=TRADES)),
    )
    return DistributionTables(
        distributions=_merged("distributions", [p.distributions for p in parts]),
        rungs=_merged("distribution_rungs", [p.rungs for p in parts]),
    )


def distributions_from_trades(
    specs: pa.Table, trades: pa.Table, snapshots: pa.Table, config: DistributionConfig
) -> pa.Table:
    """Distributions of every named snapshot from trades alone, whatever a series rests on.

    An event that has not traded by then has its rows as well, without moments: leaving out those that never trade
    would tell at each time what comes.

    Args:
        specs: rows of table ``contract_specs``, any versions.
        trades: rows of table ``trades``.
        snapshots: rows shaped as ``horizons.SNAPSHOTS``; the daily grid is left out.
        config: every choice but the basis.

    Returns:
        Rows of table ``trade_distributions``.

    Raises:
        DomainError: as ``distribution.build_distributions``.
    """
    named = snapshots.filter(pc.not_equal(snapshots["horizon"], DAILY))
    return build_distributions(specs, trades, named, replace(config, basis=TRADES)).distributions


def traded_series(distributions: pa.Table) -> tuple[str, ...]:
    """The series whose rows rest on trades.

    Args:
        distributions: rows of that table; series_ticker and basis are read.
    """
    found = distributions.filter(pc.equal(distributions["basis"], TRADES))
    return tuple(sorted(pc.unique(found["series_ticker"]).to_pylist()))


def _merged(name: str, parts: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(parts).sort_by([(c, "ascending") for c in TABLES[name].key]).combine_chunks()
