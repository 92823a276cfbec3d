"""What a strategy's predictions would have earned at the quotes it could have traded: one row an event.

Executable prices only: YES at its ask, NO at its ask, fees on top, settlement
as the exchange decided. Where quotes come from one-sided candles the NO ask is
taken as 1 − the YES bid, and the row says so. Prediction is ``core.walk_forward``'s
work, judgement ``core.promotion``'s.

How a predicted mean becomes probabilities: the market's repaired distribution is
moved, shape unchanged, by (prediction − implied mean). On the survival function of the ladder,
linear between its rungs, that is S_model(x) = S_market(x − shift), so the mean moves by exactly the shift
wherever the ladder covers the mass. Beyond the outermost rungs the function falls over one
rung gap, as in the ``step`` tail policy.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import newest_versions, real_column, reals, time_column, times
from kalshi_assets.core.contract_outcomes import contract_outcomes
from kalshi_assets.core.fees import fee_terms_at, taker_fee_usd
from kalshi_assets.core.ladder_survival import model_probabilities
from kalshi_assets.core.ordering import first_duplicate, sort_rows
from kalshi_assets.core.strategy import StrategyConfig
from kalshi_assets.core.tables import DATE, INT, REAL, TEXT, TIME
from kalshi_assets.errors import DomainError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_MICRO = 1_000_000
# Share of a contract's traded volume that one participant may take without moving the market.
PARTICIPATION = 0.05

PNL_SCHEMA = pa.schema(
    [
        pa.field("event_ticker", TEXT, nullable=False),
        pa.field("series_ticker", TEXT, nullable=False),
        pa.field("event_date", DATE, nullable=False),
        pa.field("event_type", TEXT),
        pa.field("model", TEXT, nullable=False),
        pa.field("horizon", TEXT, nullable=False),
        pa.field("decided_at", TIME, nullable=False),
        pa.field("learned_at", TIME, nullable=False),
        pa.field("prediction", REAL),
        pa.field("implied_mean", REAL),
        pa.field("n_trades", INT, nullable=False),
        pa.field("n_synthetic_no", INT, nullable=False),
        pa.field("n_backdated_fees", INT, nullable=False),
        pa.field("contracts", REAL, nullable=False),
        pa.field("stake_usd", REAL, nullable=False),
        pa.field("fees_usd", REAL, nullable=False),
        pa.field("pnl_usd", REAL, nullable=False),
        pa.field("return", REAL),
        pa.field("capital_fraction", REAL, nullable=False),
        pa.field("capacity_usd", REAL),
    ]
)


def event_pnl(
    predictions: pa.Table,
    rungs: pa.Table,
    contracts: pa.Table,
    series: pa.Table,
    *,
    config: StrategyConfig,
    model: str = "ridge",
) -> pa.Table:
    """Trade each predicted event at its decision time and settle it.

    A contract is bought when its expected profit after fees exceeds ``edge_threshold_usd``: YES at the
    ask with the model's probability, or NO at 1 − bid with its complement. A rung without the quote, or
    quoted at 0 or 1, is not tradable on that side. Size is one contract a rung; with
    ``kelly_fraction`` it is that share of each contract's Kelly stake, scaled down together when
    their sum would exceed ``capital_fraction`` of the bankroll.

    An event is counted when every rung of its ladder has settled and there was a quoted ladder at the decision
    time; without an edge it is counted with no trade. A voided contract returns its price, not its
    fee. A fee that the series never stated makes its contracts untradable.

    Args:
        predictions: rows of table ``predictions``; other models and horizons are ignored.
        rungs: rows of table ``distribution_rungs``; matched by event, horizon and as-of time.
        contracts: rows of table ``contracts`` with their versions.
        series: rows of table ``series`` with their versions, for fees and event types.
        config: horizon, threshold, sizing and fee rounding.
        model: whose predictions to trade.

    Returns:
        Schema ``PNL_SCHEMA``, one row an event, by (event date, event ticker). ``stake_usd`` is price
        paid, without ``fees_usd``. ``return`` is P&L over stake plus fees, the capital at
        risk: −1 is a total loss; null without a trade. ``capital_fraction`` is the
        share of the bankroll that this capital is. ``learned_at`` is when the last rung settled.

    Raises:
        DomainError: two predictions for an event, or a ladder that settled before the decision.
    """
    wanted = pc.and_(pc.equal(predictions["model"], model), pc.equal(predictions["horizon"], config.horizon))
    events = sort_rows(predictions.filter(wanted), ("event_date", "event_ticker"))
    if first_duplicate(events, ("event_ticker",)) is not None:
        raise DomainError(f"Two predictions of {model} name one event at {config.horizon}: pass each event once.")
    ladder, event = _rungs_of(events, rungs, config.horizon)
    outcome = contract_outcomes(contracts, ladder["ticker"])
    settled = np.ones(events.num_rows, dtype=np.bool_)
    np.logical_and.at(settled, event, outcome.settled)
    decided = times(events["as_of"])
    learned = np.full(events.num_rows, np.iinfo(np.int64).min)
    np.maximum.at(learned, event, outcome.learned_at)
    counted = settled & (np.bincount(event, minlength=events.num_rows) > 0)
    if np.any(counted & (learned <= decided)):
        ticker = events["event_ticker"][int(np.flatnonzero(counted & (learned <= decided))[0])]
        raise DomainError(f"The ladder of {ticker} settled before its decision time: no trade was possible. Fix as_of.")

    probability = model_probabilities(
        event,
        ladder,
        shift=reals(events["prediction"]) - reals(events["implied_mean"]),
        series_ticker=np.asarray(events["series_ticker"].to_pylist(), dtype=object),
    )
    fees = fee_terms_at(series, np.asarray(ladder["series_ticker"].to_pylist(), dtype=object), decided[event])
    bid, ask = reals(ladder["yes_bid_prob"]), reals(ladder["yes_ask_prob"])
    yes, yes_edge, yes_fee = _edge(ask, probability, fees.fee_type, fees.multiplier, config)
    no, no_edge, no_fee = _edge(1 - bid, 1 - probability, fees.fee_type, fees.multiplier, config)
    buys_no = np.nan_to_num(no_edge, nan=-np.inf) > np.nan_to_num(yes_edge, nan=-np.inf)
    edge = np.where(buys_no, no_edge, yes_edge)
    price, unit_fee = np.where(buys_no, no, yes), np.where(buys_no, no_fee, yes_fee)
    traded = np.isfinite(edge) & (edge > config.edge_threshold_usd) & counted[event]

    cost = price + unit_fee
    size = _contracts(traded, edge, cost, event, events.num_rows, config)
    fee = _fees(np.where(traded, price, 0.0), size, fees.fee_type, fees.multiplier, config)
    payout = np.where(buys_no, 1 - outcome.yes_payout_usd, outcome.yes_payout_usd)
    payout = np.where(outcome.void, price, payout)
    stake = np.where(traded, price * size, 0.0)
    profit = np.where(traded, payout * size - stake - fee, 0.0)
    capacity = np.where(traded, PARTICIPATION * price * outcome.volume_contracts, 0.0)

    def total(values: npt.ArrayLike) -> FloatArray:
        summed = np.bincount(event, weights=np.asarray(values, dtype=np.float64), minlength=events.num_rows)
        return summed.astype(np.float64)

    n_trades = total(traded).astype(np.int64)
    at_risk = total(stake) + total(fee)
    with np.errstate(invalid="ignore", divide="ignore"):
        returns = np.where(n_trades > 0, total(profit) / at_risk, np.nan)
    if config.kelly_fraction is None:
        fraction = np.where(n_trades > 0, config.capital_fraction, 0.0)
    else:
        fraction = at_risk / config.bankroll_usd
    columns = {
        **{name: events[name] for name in ("event_ticker", "series_ticker", "event_date", "model", "horizon")},
        **{name: events[name] for name in ("prediction", "implied_mean")},
        "event_type": _event_types(series, events["series_ticker"]),
        "decided_at": events["as_of"],
        "learned_at": time_column(learned),
        "n_trades": pa.array(n_trades),
        "n_synthetic_no": pa.array(total(traded & buys_no).astype(np.int64)),
        "n_backdated_fees": pa.array(total(traded & fees.backdated).astype(np.int64)),
        "contracts": real_column(total(size)),
        "stake_usd": real_column(total(stake)),
        "fees_usd": real_column(total(fee)),
        "pnl_usd": real_column(total(profit)),
        "return": real_column(returns),
        "capital_fraction": real_column(fraction),
        "capacity_usd": real_column(np.where(n_trades > 0, total(capacity), np.nan)),
    }
    keep = pa.array(counted)
    arrays = [columns[name].filter(keep) for name in PNL_SCHEMA.names]
    return pa.table(arrays, schema=PNL_SCHEMA)


def _rungs_of(events: pa.Table, rungs: pa.Table, horizon: str) -> tuple[pa.Table, IntArray]:
    """The ladder rows of the events at their decision times, and the event position of each row, ascending."""
    at_horizon = rungs.filter(pc.equal(rungs["horizon"], horizon))
    position = pc.index_in(at_horizon["event_ticker"], value_set=events["event_ticker"].combine_chunks())
    event = np.asarray(pc.fill_null(position, -1), dtype=np.int64)
    mine = event >= 0
    mine[mine] = times(at_horizon["as_of"])[mine] == times(events["as_of"])[event[mine]]
    rows = np.flatnonzero(mine)
    rows = rows[np.argsort(event[rows], kind="stable")]
    return at_horizon.take(pa.array(rows)), event[rows]


def _edge(
    price: FloatArray,
    probability: FloatArray,
    fee_type: npt.NDArray[np.object_],
    multiplier: FloatArray,
    config: StrategyConfig,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Price, expected profit and fee of one contract; NaN where there is nothing to buy."""
    tradable = np.isfinite(price) & (price > 0) & (price < 1)
    price = np.where(tradable, price, np.nan)
    fee = _fees(price, np.ones_like(price), fee_type, multiplier, config)
    return price, probability - price - fee, fee


def _fees(
    price: FloatArray,
    size: FloatArray,
    fee_type: npt.NDArray[np.object_],
    multiplier: FloatArray,
    config: StrategyConfig,
) -> FloatArray:
    fee = np.full(len(price), np.nan)
    for kind in {k for k in fee_type.tolist() if k is not None}:
        rows = fee_type == kind
        micro = np.rint(price[rows] * _MICRO)
        fee[rows] = taker_fee_usd(micro, size[rows], kind, multiplier[rows], rounding=config.fee_rounding)
    return np.where(size > 0, fee, 0.0)


def _contracts(
    traded: npt.NDArray[np.bool_],
    edge: FloatArray,
    cost: FloatArray,
    event: IntArray,
    n_events: int,
    config: StrategyConfig,
) -> FloatArray:
    """Contracts to buy on each rung; 0 where not traded.

    The Kelly stake of a binary bought at cost c with win probability p is (p − c)/(1 − c) of the bankroll.
    """
    if config.kelly_fraction is None:
        return traded.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        stake = np.where(traded, config.kelly_fraction * edge / (1 - cost), 0.0)
        total = np.bincount(event, weights=stake, minlength=n_events)
        limit = np.minimum(1.0, config.capital_fraction / np.maximum(total, 1e-300))
        return np.where(traded, stake * limit[event] * config.bankroll_usd / cost, 0.0)


def _event_types(series: pa.Table, series_ticker: pa.ChunkedArray) -> pa.Array:
    newest = newest_versions(series, "series_ticker")
    kinds = dict(zip(newest["series_ticker"].to_pylist(), newest["event_type"].to_pylist(), strict=True))
    return pa.array([kinds.get(ticker) for ticker in series_ticker.to_pylist()], pa.string())
