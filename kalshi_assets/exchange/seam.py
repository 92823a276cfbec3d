"""Whether the two tiers say the same where both hold it; asking the tiers does not belong here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

# The mean and the previous price are left out: each is derived, and the tiers need not round or look back alike.
_CANDLE_VALUES = (
    *(f"{side}_{point}_usd" for side in ("yes_bid", "yes_ask", "price") for point in ("open", "high", "low", "close")),
    "volume_contracts",
    "open_interest_contracts",
)
_TRADE_VALUES = ("ticker", "ts", "yes_price_usd", "count_contracts", "taker_side")


@dataclass(frozen=True, slots=True)
class Seam:
    """What comparing the tiers found.

    Attributes:
        compared: rows that both tiers hold.
        different: how many of those differ in a value.
        only_live: rows inside the common range that the historical tier lacks.
        only_historical: rows inside the common range that the live tier lacks.
        first: the first difference in words; None where there is none.
        skipped: markets that only one tier knows, so that nothing could be compared.
    """

    compared: int
    different: int
    only_live: int
    only_historical: int
    first: str | None
    skipped: int = 0

    @property
    def whole(self) -> bool:
        """True where the tiers agree on all that both should hold."""
        return not (self.different or self.only_live or self.only_historical)


def candle_seam(live: pa.Table, historical: pa.Table, *, skipped: int = 0) -> Seam:
    """Compare the candles of the same markets over the same range.

    Args:
        live: what the live tier answered, columns of ``candles.CANDLES``, one row per (ticker, ts).
        historical: what the historical tier answered to the same range, so a row that one lacks is missing there.
        skipped: markets that only one tier knows, to be reported.

    Returns:
        The comparison by (ticker, ts) of the open, high, low and close of bids, asks and trade
        prices, of volume and of open interest. Null agrees with null and with nothing else.
    """
    return _compare(live, historical, ("ticker", "ts"), _CANDLE_VALUES, skipped)


def trade_seam(live: pa.Table, historical: pa.Table) -> Seam:
    """Compare the trades of one market by their ids.

    The historical tier holds trades up to some moment and the live tier from some moment
    on, so what both must hold lies between the first live and the last historical trade.
    Where the tiers do not overlap nothing is compared.

    Args:
        live: what the live tier answered, columns of ``trades.TRADES``.
        historical: what the historical tier answered.

    Returns:
        The comparison of ticker, time, yes price, count and taker's side.
    """
    first, last = pc.min(live["ts"]), pc.max(historical["ts"])
    return _compare(
        _between(live, first, last), _between(historical, first, last), ("trade_id",), _TRADE_VALUES, skipped=0
    )


def _between(table: pa.Table, first: Any, last: Any) -> pa.Table:
    # A tier without a trade has no bound; the filter then drops every row, as a comparison with null is null.
    return table.filter(pc.and_(pc.greater_equal(table["ts"], first), pc.less_equal(table["ts"], last)))


def _compare(live: pa.Table, historical: pa.Table, key: Sequence[str], values: Sequence[str], skipped: int) -> Seam:
    sides = [
        table.select([*key, *values]).append_column(f"on_{name}", pa.repeat(pa.scalar(True), table.num_rows))
        for name, table in (("live", live), ("historical", historical))
    ]
    joined = sides[0].join(
        sides[1], list(key), join_type="full outer", left_suffix="_live", right_suffix="_historical", use_threads=False
    )
    joined = joined.sort_by([(column, "ascending") for column in key])
    on_live, on_historical = (pc.is_valid(joined[f"on_{name}"]) for name in ("live", "historical"))
    both = pc.and_(on_live, on_historical)
    differing = {v: pc.and_(both, _unequal(joined[f"{v}_live"], joined[f"{v}_historical"])) for v in values}
    different = reduce(pc.or_, differing.values())
    odd = pc.or_(pc.invert(both), different)
    at = pc.index(odd, True).as_py()
    return Seam(
        compared=_count(both),
        different=_count(different),
        only_live=_count(pc.and_not(on_live, on_historical)),
        only_historical=_count(pc.and_not(on_historical, on_live)),
        first=_words(joined.slice(at, 1).to_pylist()[0], key, values) if at >= 0 else None,
        skipped=skipped,
    )


def _unequal(left: Any, right: Any) -> Any:
    one_null = pc.xor(pc.is_null(left), pc.is_null(right))
    return pc.or_(one_null, pc.fill_null(pc.not_equal(left, right), False))


def _count(mask: Any) -> int:
    return int(pc.sum(mask).as_py() or 0)


def _words(row: Mapping[str, Any], key: Sequence[str], values: Sequence[str]) -> str:
    name = " at ".join(v.isoformat() if isinstance(v, datetime) else str(v)[:80] for v in (row[k] for k in key))
    for tier, other in (("live", "historical"), ("historical", "live")):
        if row[f"on_{other}"] is None:
            return f"{name} is on the {tier} tier only"
    said = [(v, row[f"{v}_live"], row[f"{v}_historical"]) for v in values]
    value, live, historical = next(found for found in said if found[1] != found[2])
    return f"{name}: {value} is {live} on the live tier and {historical} on the historical one"
