"""The state of the economy as known at each snapshot: regime tags, and when their inputs became known.

Belongs here: looking up inflation, the policy rate and volatility as of a
time, each with a greatest age. The thresholds belong to ``core.regimes``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import MISSING_TIME, Ints, Reals, days, reals, span_micros, times
from kalshi_assets.core.prints import newest_known, prints_known, vintages_of
from kalshi_assets.core.regimes import Tags, inflation_regime, policy_regime, volatility_regime
from kalshi_assets.core.series import INFLATION_SERIES, POLICY_RATE, SERIES_FACTS, VOLATILITY_SYMBOL

POLICY_LOOKBACK = timedelta(days=90)
_BPS_PER_PERCENT = 100.0


@dataclass(frozen=True, slots=True)
class Conditions:
    """Tags of each snapshot, shape (n_snapshots,), and the greatest ``known_at`` behind them.

    ``inputs_known_at`` is ``MISSING_TIME`` where every tag is ``unknown``.
    """

    inflation: Tags
    policy: Tags
    volatility: Tags
    inputs_known_at: Ints


def conditions_known(
    macro_observations: pa.Table,
    asset_prices: pa.Table,
    as_of: Ints,
    *,
    max_print_age: timedelta,
    max_price_age: timedelta,
) -> Conditions:
    """Tag each as-of time with the regimes as known then.

    Inflation is the newest first print of CPI year over year. The policy rate's change is the newest
    target known at the as-of time minus the newest one known 90 days before it, a span that holds
    at least one meeting of the committee. Volatility is the newest close of VIXCLS.

    Args:
        macro_observations: rows of that table; DFEDTARU is taken from here where it is present.
        asset_prices: rows of that table.
        as_of: microseconds since 1970 UTC, in any order.
        max_print_age: oldest inflation print that counts, from when it became known.
        max_price_age: oldest close or policy rate that counts, from the instant it describes.
    """
    prints = prints_known(vintages_of(macro_observations, SERIES_FACTS[INFLATION_SERIES]), as_of, max_age=max_print_age)
    vix, vix_known = _daily(_prices(asset_prices, VOLATILITY_SYMBOL), as_of, max_price_age)

    rate = policy_rate(macro_observations, asset_prices)
    now, now_known = _daily(rate, as_of, max_price_age)
    before, _ = _daily(rate, as_of - span_micros(POLICY_LOOKBACK), max_price_age)
    change_bps = np.round((now - before) * _BPS_PER_PERCENT, 6)

    used = [
        prints.last_known_at,
        vix_known,
        np.where(np.isfinite(change_bps), now_known, MISSING_TIME),
    ]
    return Conditions(
        inflation=inflation_regime(prints.last),
        policy=policy_regime(change_bps),
        volatility=volatility_regime(vix),
        inputs_known_at=np.maximum.reduce(used),
    )


def policy_rate(macro_observations: pa.Table, asset_prices: pa.Table) -> pa.Table:
    """The upper end of the target range, all versions: ``date``, ``close`` in per cent, ``ts``, ``known_at``.

    From the macro observations where they have it, else from the prices.
    """
    macro = macro_observations.filter(pc.equal(macro_observations["series_id"], POLICY_RATE))
    named = {"observation_date": "date", "value": "close"}
    rows = macro.rename_columns(named) if macro.num_rows else _prices(asset_prices, POLICY_RATE)
    return rows.select(["date", "close", "ts", "known_at"])


def _prices(asset_prices: pa.Table, symbol: str) -> pa.Table:
    return asset_prices.filter(pc.equal(asset_prices["symbol"], symbol))


def _daily(rows: pa.Table, as_of: Ints, max_age: timedelta) -> tuple[Reals, Ints]:
    """Newest close known at each time and when it became known; missing where it is older than ``max_age``."""
    known_at, describes, close = times(rows["known_at"]), times(rows["ts"]), reals(rows["close"])
    at = newest_known(days(rows["date"]), known_at, as_of)
    if not close.size:
        return np.full(as_of.shape, np.nan), np.full(as_of.shape, MISSING_TIME, np.int64)
    fresh = (at >= 0) & (as_of - describes[at] <= span_micros(max_age)) & np.isfinite(close[at])
    return np.where(fresh, close[at], np.nan), np.where(fresh, known_at[at], MISSING_TIME)
