"""Which laws the rows of each table keep, as data.

What types and names say of a single value holds in every table. A law between columns stands here
only if no row may ever break it: prices that contradict each other are put aside before they are
stored, and whether anything rests on what came later is for the gates to judge.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pyarrow as pa

from kalshi_assets.core.row_checks import LARGEST, InOrder, InRange, RowCheck

# Sums of shares miss the ends of their range by rounding.
_SHARE = (-1e-9, 1 + 1e-9)
_SHARES = frozenset({
    "probability", "tail_p_1", "tail_p_2", "tail_p_3", "tail_mass_low", "tail_mass_high", "coverage_ratio",
    "volume_oi_proxy", "constraint_violation_score", "quality_score", "mass_missing_estimate", "micro_tail_liquidity",
    "micro_active_fraction", "pit", "pit_low", "pit_high",
})  # fmt: skip
_SHARE_ENDINGS = ("_prob", "_p")
_NOT_NEGATIVE = frozenset({
    "std", "variance", "entropy", "std_step", "std_hazard", "std_truncate", "implied_std", "repair_cost_usd",
    "repair_l1", "repair_l2", "violation_magnitude", "renormalization_delta", "median_quote_age_s", "stale_cutoff_s",
    "age_s", "weight", "micro_update_freq", "micro_staleness_median", "micro_staleness_p95", "micro_spread_vol",
    "iv_30", "iv_60", "iv_90", "put_25d", "call_25d", "volume",
    *(f"distance_{measure}_{lag}" for measure in ("kl", "js", "wasserstein", "ks", "crps") for lag in ("1h", "1d")),
})  # fmt: skip
# All other integers count something.
_SIGNED = frozenset({"target_tenths_bp", "lo_index", "hi_index", "sequence", "seed", "pit_seed"})

_QUANTILES = ("q05", "q10", "q25", "q50", "q75", "q90", "q95")
_BANDS = ("mean", "median", "q05", "q10", "q25", "q75", "q90", "q95")
_DISTRIBUTION = (
    *(InOrder(lower, higher) for lower, higher in pairwise(_QUANTILES)),
    *(InOrder(f"{number}_low", f"{number}_high") for number in _BANDS),
)
_BETWEEN_COLUMNS: dict[str, tuple[InOrder, ...]] = {
    "event_market_map": (InOrder("effective_from", "effective_to", strict=True),),
    "quotes": (
        *(InOrder(f"{side}_low_usd", f"{side}_high_usd") for side in ("yes_bid", "yes_ask", "price")),
        InOrder("yes_bid_close_usd", "yes_ask_close_usd"),
    ),
    "distributions": _DISTRIBUTION,
    "trade_distributions": _DISTRIBUTION,
    "distribution_rungs": (InOrder("band_low_prob", "band_high_prob"),),
    "labels": (InOrder("settled_lo", "settled_hi"),),
    "asset_responses": (InOrder("entry_time", "exit_time"),),
}
# What their rows describe is past, so nobody knew it sooner.
_OF_THE_PAST = frozenset({
    "asset_prices", "asset_bars", "option_surfaces", "fed_funds_futures", "fomc_probabilities", "consensus", "quotes",
    "trades", "orderbooks", "distributions", "trade_distributions", "distribution_rungs", "feature_panel",
})  # fmt: skip


def checks_of(name: str, schema: pa.Schema, *, price: pa.DataType) -> tuple[RowCheck, ...]:
    """The checks of a table.

    Args:
        name: the table.
        schema: its content columns.
        price: the type of prices, which are shares of a dollar; any other decimal is an amount or a count.
    """
    past = (InOrder("ts", "known_at"),) if name in _OF_THE_PAST else ()
    return (*_of_single_columns(schema, price), *past, *_BETWEEN_COLUMNS.get(name, ()))


def _of_single_columns(schema: pa.Schema, price: pa.DataType) -> Iterator[InRange]:
    for field in schema:
        name, kind = field.name, field.type.value_type if pa.types.is_list(field.type) else field.type
        if kind == price:
            yield InRange(name, 0, 1)
        elif pa.types.is_floating(kind):
            share = name in _SHARES or name.endswith(_SHARE_ENDINGS)
            yield InRange(name, *(_SHARE if share else (0 if name in _NOT_NEGATIVE else -LARGEST, LARGEST)))
        elif pa.types.is_decimal(kind) or (pa.types.is_integer(kind) and name not in _SIGNED):
            yield InRange(name, 0)
