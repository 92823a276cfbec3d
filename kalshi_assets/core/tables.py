"""The tables of the lake as data: Arrow schema, key, partitioning and version rule of each.

One entry a table, in the order in which a run fills them. Reading and writing
is the store's work, meaning is the stages': neither belongs here.

Conventions: times are ``timestamp[us, UTC]``; ``ts`` is the instant or end of
period that a row describes and ``known_at`` the earliest time an observer
could have had it. Prices are decimal dollars with six places (``_usd``),
probabilities float64 (``_prob``). A missing value is null, never a default.
``run_id`` and ``recorded_at`` are added by the store; they are not content.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

TIME = pa.timestamp("us", tz="UTC")
PRICE = pa.decimal128(7, 6)
MONEY = pa.decimal128(18, 6)
COUNT = pa.decimal128(18, 2)
TEXT = pa.string()
REAL = pa.float64()
INT = pa.int64()
DATE = pa.date32()
BOOL = pa.bool_()
REALS = pa.list_(REAL)
TEXTS = pa.list_(TEXT)

BOOKKEEPING = ("run_id", "recorded_at", "lake_snapshot")


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One table of the lake.

    Attributes:
        name: the table's name in SQL.
        schema: content columns, in order; the store appends ``run_id`` and ``recorded_at``.
        key: columns that name one fact.
        partition_by: physical partition columns, outermost first; empty for small tables.
        versioned: True when one key may have several rows that differ in ``known_at``;
            the as-of door then yields the newest row known at the time.
        sort_by: order of rows inside a file (defaults to the key).
    """

    name: str
    schema: pa.Schema
    key: tuple[str, ...]
    partition_by: tuple[str, ...] = ()
    versioned: bool = False
    sort_by: tuple[str, ...] = ()

    @property
    def order(self) -> tuple[str, ...]:
        """Columns that put the rows in the one canonical order."""
        order = self.sort_by or self.key
        return (*order, *(("known_at",) if self.versioned and "known_at" not in order else ()))


def _schema(required: dict[str, pa.DataType], optional: dict[str, pa.DataType] | None = None) -> pa.Schema:
    fields = [pa.field(n, t, nullable=False) for n, t in required.items()]
    fields += [pa.field(n, t) for n, t in (optional or {}).items()]
    return pa.schema(fields)


_BY_EVENT = ("event_date", "series_ticker")
_EVENT = {"event_ticker": TEXT, "series_ticker": TEXT, "event_date": DATE}
_TIMES = {"ts": TIME, "known_at": TIME}
_SNAPSHOT = {**_EVENT, "horizon": TEXT, "as_of": TIME, "release_time": TIME, **_TIMES}

_CANDLE_PRICES = {
    f"{side}_{point}_usd": PRICE
    for side, points in (
        ("yes_bid", ("open", "high", "low", "close")),
        ("yes_ask", ("open", "high", "low", "close")),
        ("price", ("open", "high", "low", "close", "mean", "previous")),
    )
    for point in points
}

MOMENTS = ("mean", "std", "variance", "skewness", "kurtosis", "entropy", "median", "mode")
QUANTILES = ("q05", "q10", "q25", "q50", "q75", "q90", "q95")
DISTANCES = tuple(
    f"distance_{measure}_{lag}" for lag in ("1h", "1d") for measure in ("kl", "js", "wasserstein", "ks", "crps")
)

_DISTRIBUTION = {
    **dict.fromkeys(MOMENTS, REAL),
    **dict.fromkeys(QUANTILES, REAL),
    **{f"tail_threshold_{i}": REAL for i in (1, 2, 3)},
    **{f"tail_p_{i}": REAL for i in (1, 2, 3)},
    "tail_mass_low": REAL,
    "tail_mass_high": REAL,
    "mean_low": REAL,
    "mean_high": REAL,
    "median_low": REAL,
    "median_high": REAL,
    "repair_cost_usd": REAL,
    "repair_l1": REAL,
    "repair_l2": REAL,
    "violations_pre": INT,
    "violations_post": INT,
    "violation_magnitude": REAL,
    "renormalization_delta": REAL,
    "executable_arbitrage": BOOL,
    "n_contracts": INT,
    "n_live": INT,
    "n_two_sided": INT,
    "coverage_ratio": REAL,
    "median_spread_usd": REAL,
    "median_quote_age_s": REAL,
    "stale_cutoff_s": REAL,
    "volume_oi_proxy": REAL,
    "constraint_violation_score": REAL,
    "quality_score": REAL,
    "quality_low": BOOL,
    "quality_flags": TEXTS,
    "hard_gate_failed": BOOL,
    "gate_reason": TEXT,
    "tail_left_missing": BOOL,
    "tail_right_missing": BOOL,
    "mass_missing_estimate": REAL,
    "direction_resolved": BOOL,
    "direction_source": TEXT,
    "direction_confidence": TEXT,
    "tail_policy": TEXT,
    "spec_version": TEXT,
    "mapping_version": TEXT,
    "inputs_known_at": TIME,
    **dict.fromkeys(DISTANCES, REAL),
    "support": REALS,
    "probability": REALS,
}

FEATURE_BASE = (
    "mean", "variance", "skewness", "entropy", "quality_score", "coverage_ratio", "median_spread_usd",
    "median_quote_age_s", "volume_oi_proxy", "constraint_violation_score", "tail_p_1", "tail_p_2", "tail_p_3",
    "distance_kl_1h", "distance_js_1h", "distance_wasserstein_1h",
    "distance_kl_1d", "distance_js_1d", "distance_wasserstein_1d",
)  # fmt: skip
MICROSTRUCTURE = (
    "micro_update_freq", "micro_staleness_median", "micro_staleness_p95", "micro_spread_median",
    "micro_spread_vol", "micro_tail_liquidity", "micro_active_fraction",
)  # fmt: skip

_PANEL = {
    "event_type": TEXT,
    "minutes_to_release": REAL,
    **dict.fromkeys(FEATURE_BASE, REAL),
    "std": REAL,
    "median": REAL,
    "kurtosis": REAL,
    **{f"delta_{c}": REAL for c in FEATURE_BASE},
    **{f"speed_{c}_per_hour": REAL for c in FEATURE_BASE},
    "late_drift_mean": REAL,
    "variance_collapse_ratio": REAL,
    "entropy_collapse_ratio": REAL,
    **dict.fromkeys(MICROSTRUCTURE, REAL),
    "last_print": REAL,
    "last_print_gap": REAL,
    "print_mean_12": REAL,
    "print_mean_12_gap": REAL,
    "inflation_regime": TEXT,
    "policy_regime": TEXT,
    "volatility_regime": TEXT,
    "mapping_version": TEXT,
    "spec_version": TEXT,
}

_ALL = (
    TableSpec("series", _schema({"series_ticker": TEXT, **_TIMES}, {
        "title": TEXT, "category": TEXT, "frequency": TEXT, "fee_type": TEXT, "fee_multiplier": REAL,
        "event_type": TEXT, "simulated": BOOL, "raw_json": TEXT}),
        key=("series_ticker",), versioned=True),
    TableSpec("release_calendar", _schema({
        "series_ticker": TEXT, "period": DATE, "release_time": TIME, "event_date": DATE, **_TIMES}, {
        "release_name": TEXT, "source": TEXT, "flag": TEXT}),
        key=("series_ticker", "period"), versioned=True),
    TableSpec("macro_observations", _schema({
        "series_id": TEXT, "units": TEXT, "observation_date": DATE, "vintage_date": DATE,
        "value": REAL, **_TIMES}, {"precision": REAL, "source": TEXT}),
        key=("series_id", "units", "observation_date"), versioned=True),
    TableSpec("asset_prices", _schema({"symbol": TEXT, "date": DATE, "close": REAL, **_TIMES}, {"source": TEXT}),
        key=("symbol", "date"), versioned=True),
    TableSpec("event_market_map", _schema({
        **_EVENT, "version": TEXT, "effective_from": TIME, "release_time": TIME, "source": TEXT, **_TIMES}, {
        "effective_to": TIME, "period": DATE, "event_type": TEXT}),
        key=("event_ticker", "version"), versioned=True),
    TableSpec("events", _schema({**_EVENT, "release_time": TIME, "release_time_source": TEXT, **_TIMES}, {
        "event_type": TEXT, "title": TEXT, "sub_title": TEXT, "period": DATE,
        "mutually_exclusive": BOOL, "collateral_return_type": TEXT, "strike_date": TIME, "strike_period": TEXT,
        "listed_at": TIME, "close_time": TIME, "n_contracts": INT, "mapping_version": TEXT, "raw_json": TEXT}),
        key=("event_ticker",), partition_by=_BY_EVENT, versioned=True),
    TableSpec("contracts", _schema({**_EVENT, "ticker": TEXT, "status": TEXT, **_TIMES}, {
        "market_type": TEXT, "strike_type": TEXT, "floor_strike": REAL, "cap_strike": REAL,
        "title": TEXT, "yes_sub_title": TEXT, "rules_primary": TEXT, "rules_secondary": TEXT,
        "open_time": TIME, "close_time": TIME, "created_time": TIME, "expected_expiration_time": TIME,
        "latest_expiration_time": TIME, "settlement_time": TIME, "result": TEXT, "outcome_type": TEXT,
        "settlement_value_usd": PRICE, "expiration_value": TEXT, "volume_contracts": COUNT,
        "notional_value_usd": MONEY, "tier": TEXT, "raw_json": TEXT}),
        key=("ticker",), partition_by=_BY_EVENT, versioned=True),
    TableSpec("contract_specs", _schema({**_EVENT, "ticker": TEXT, "spec_id": TEXT, **_TIMES}, {
        "direction": TEXT, "floor_strike": REAL, "cap_strike": REAL, "strict": BOOL, "tick": REAL, "rounding": TEXT,
        "lo_index": INT, "hi_index": INT, "source": TEXT, "confidence": TEXT, "lattice_source": TEXT,
        "rules_hash": TEXT}),
        key=("ticker",), partition_by=_BY_EVENT, versioned=True),
    TableSpec("quotes", _schema({**_EVENT, "ticker": TEXT, "source": TEXT, "period_s": INT, **_TIMES}, {
        **_CANDLE_PRICES, "volume_contracts": COUNT, "open_interest_contracts": COUNT}),
        key=("ticker", "source", "period_s", "ts"), partition_by=_BY_EVENT, versioned=True,
        sort_by=("ticker", "known_at", "source", "period_s", "ts")),
    TableSpec("trades", _schema({**_EVENT, "ticker": TEXT, "trade_id": TEXT, "sequence": INT, **_TIMES}, {
        "yes_price_usd": PRICE, "no_price_usd": PRICE, "count_contracts": COUNT, "taker_side": TEXT,
        "is_block_trade": BOOL}),
        key=("trade_id",), partition_by=_BY_EVENT, sort_by=("ticker", "known_at", "sequence", "trade_id")),
    TableSpec("orderbooks", _schema({
        **_EVENT, "ticker": TEXT, "side": TEXT, "level": INT, "price_usd": PRICE, "size_contracts": COUNT, **_TIMES}),
        key=("ticker", "side", "level", "ts"), partition_by=_BY_EVENT),
    TableSpec("coverage", _schema({**_EVENT, "endpoint": TEXT, **_TIMES}, {
        "expected": INT, "received": INT, "pages": INT, "complete": BOOL, "reason": TEXT}),
        key=("event_ticker", "endpoint"), partition_by=_BY_EVENT),
    TableSpec("rejected_rows", _schema({**_EVENT, "table_name": TEXT, "row_id": TEXT, "reason": TEXT, **_TIMES}, {
        "ticker": TEXT, "row_json": TEXT}),
        key=("table_name", "row_id"), partition_by=_BY_EVENT),
    TableSpec("distributions", _schema(_SNAPSHOT, _DISTRIBUTION),
        key=("event_ticker", "horizon", "as_of"), partition_by=_BY_EVENT),
    TableSpec("distribution_rungs", _schema({**_SNAPSHOT, "ticker": TEXT}, {
        "rung": INT, "lo_index": INT, "hi_index": INT, "strike": REAL, "yes_bid_prob": REAL, "yes_ask_prob": REAL,
        "mid_prob": REAL, "repaired_prob": REAL, "band_low_prob": REAL, "band_high_prob": REAL,
        "age_s": REAL, "weight": REAL, "quote_known_at": TIME}),
        key=("event_ticker", "horizon", "as_of", "ticker"), partition_by=_BY_EVENT),
    TableSpec("feature_panel", _schema({**_SNAPSHOT, "inputs_known_at": TIME}, _PANEL),
        key=("event_ticker", "horizon"), partition_by=_BY_EVENT),
    TableSpec("labels", _schema({**_EVENT, "release_time": TIME, **_TIMES}, {
        "event_type": TEXT, "period": DATE, "first_print": REAL, "first_print_learned_at": TIME,
        "first_print_source": TEXT, "revised": REAL, "revised_vintage": DATE, "revised_learned_at": TIME,
        "settled_lo": REAL, "settled_hi": REAL, "settlement_learned_at": TIME, "settlement_value": TEXT,
        "implied_mean": REAL, "implied_median": REAL, "implied_std": REAL,
        "surprise_mean": REAL, "surprise_median": REAL, "surprise_std": REAL, "unlabelled_reason": TEXT}),
        key=("event_ticker",), partition_by=_BY_EVENT, versioned=True),
    TableSpec("folds", _schema({
        "strategy_id": TEXT, "event_date": DATE, "event_ticker": TEXT, "role": TEXT, **_TIMES}, {
        "reason": TEXT, "label_start": TIME, "label_end": TIME}),
        key=("strategy_id", "event_date", "event_ticker"), partition_by=("event_date",)),
    TableSpec("trials", _schema({
        "trial_id": TEXT, "strategy_id": TEXT, "event_date": DATE, "config_hash": TEXT, "data_hash": TEXT, **_TIMES}, {
        "model": TEXT, "alpha": REAL, "horizon": TEXT, "n_train": INT, "n_features": INT,
        "inner_score": REAL, "selected": BOOL, "seed": INT, "config_json": TEXT}),
        key=("trial_id",), partition_by=("event_date",)),
    TableSpec("predictions", _schema({
        **_EVENT, "strategy_id": TEXT, "model": TEXT, "horizon": TEXT, "as_of": TIME, "release_time": TIME, **_TIMES}, {
        "prediction": REAL, "implied_mean": REAL, "trial_id": TEXT, "n_train": INT}),
        key=("strategy_id", "model", "event_ticker", "horizon"), partition_by=("event_date",)),
    TableSpec("verdicts", _schema({
        "verdict_id": TEXT, "strategy_id": TEXT, "event_date": DATE, "verdict": TEXT, **_TIMES}, {
        "score": REAL, "reasons": TEXTS, "n_events": INT, "n_trades": INT, "n_trials": INT, "simulated": BOOL,
        "metrics_json": TEXT, "gates_json": TEXT, "config_hash": TEXT, "code_version": TEXT, "inputs_hash": TEXT}),
        key=("verdict_id",), partition_by=("event_date",)),
    TableSpec("gate_evidence", _schema({
        "asset": TEXT, "check_name": TEXT, "event_date": DATE, "data_hash": TEXT, "passed": BOOL, **_TIMES}, {
        "code_version": TEXT, "n_rows": INT, "detail": TEXT, "first_offender": TEXT}),
        key=("asset", "check_name", "event_date", "data_hash", "code_version"), partition_by=("event_date",)),
    TableSpec("health", _schema({"report_date": DATE, "series_ticker": TEXT, **_TIMES}, {
        "n_events": INT, "n_released": INT, "n_labelled": INT, "n_overdue": INT, "n_incomplete": INT,
        "contracts_expected": INT, "contracts_received": INT, "n_rejected_rows": INT, "n_failed_gates": INT,
        "newest_quote": TIME, "next_release": TIME, "problems": TEXTS}),
        key=("report_date", "series_ticker")),
    TableSpec("ingest_log", _schema({"stage": TEXT, "endpoint": TEXT, **_TIMES}, {
        "requests": INT, "rows": INT, "errors": INT, "pages": INT, "findings_json": TEXT, "notes": TEXT}),
        key=("stage", "endpoint", "ts")),
    TableSpec("ingest_checkpoints", _schema({
        "endpoint": TEXT, "key": TEXT, "range_start": TIME, "range_end": TIME, **_TIMES}, {
        "cursor": TEXT, "pages": INT, "rows": INT, "complete": BOOL}),
        key=("endpoint", "key", "range_start", "range_end")),
)  # fmt: skip

TABLES: dict[str, TableSpec] = {t.name: t for t in _ALL}
