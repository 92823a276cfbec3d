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

from dataclasses import dataclass, replace

import pyarrow as pa

from kalshi_assets.core.row_checks import RowCheck
from kalshi_assets.core.table_laws import checks_of

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
        checks: laws that every row keeps, whoever writes it (``core.table_laws``).
    """

    name: str
    schema: pa.Schema
    key: tuple[str, ...]
    partition_by: tuple[str, ...] = ()
    versioned: bool = False
    sort_by: tuple[str, ...] = ()
    checks: tuple[RowCheck, ...] = ()

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
# The median's band has names of its own.
QUANTILE_BANDS = tuple(f"{q}_{side}" for q in QUANTILES if q != "q50" for side in ("low", "high"))
DISTANCES = tuple(
    f"distance_{measure}_{lag}" for lag in ("1h", "1d") for measure in ("kl", "js", "wasserstein", "ks", "crps")
)

TAIL_SENSITIVITY = tuple(
    f"{number}_{policy}" for policy in ("step", "hazard", "truncate") for number in ("mean", "std")
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
    **dict.fromkeys(QUANTILE_BANDS, REAL),
    **dict.fromkeys(TAIL_SENSITIVITY, REAL),
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
    "basis": TEXT,
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

# References beside the exchange's own quotes, under the names of the system that this one replaces.
OPTION_FACTORS = (
    "opt_iv_atm_30", "opt_iv_atm_60", "opt_iv_atm_90", "opt_term_slope_30_90", "opt_skew_25d", "opt_curvature",
    "opt_vrp_10", "opt_vrp_30", "opt_vrp_60", "opt_iv_rank_1y", "opt_skew_rank_1y", "opt_vrp_rank_1y",
    "opt_entropy_proxy", "opt_iv_repricing_speed_per_hour", "opt_heuristic_tail_proxy",
)  # fmt: skip
OPTION_GAPS = ("entropy_gap", "tail_gap", "repricing_speed_gap", "uncertainty_gap")
DISAGREEMENT = (
    "disagree_entropy_gap", "disagree_entropy_gap_z", "disagree_tail_gap", "disagree_tail_gap_z",
    "disagree_iv_vol_gap", "disagree_skew_tail_gap",
)  # fmt: skip
FUTURES_GAPS = ("ref_mean", "ref_var", "ref_tail", "gap_mean", "gap_var", "gap_tail")
CONSENSUS_GAPS = ("consensus", "consensus_gap")

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
    **dict.fromkeys((*OPTION_FACTORS, *OPTION_GAPS, *DISAGREEMENT, *FUTURES_GAPS, *CONSENSUS_GAPS), REAL),
    "inflation_regime": TEXT,
    "policy_regime": TEXT,
    "volatility_regime": TEXT,
    "spec_version": TEXT,
}

POINT_FORECASTS = ("mean", "median", "mode")
BENCHMARKS = ("last_print", "print_mean_12", "consensus")
_SCORE_INTERVALS = (
    *(f"{kind}_{point}" for kind in ("mae", "rmse") for point in POINT_FORECASTS),
    "crps",
    "crps_to_mae",
)
# The market against a benchmark, over the events for which both are known.
_AGAINST = (
    "n", "mae", "market_mae_median", "market_crps",
    "dm_absolute", "dm_absolute_p", "dm_squared", "dm_squared_p", "dm_crps", "dm_crps_p",
)  # fmt: skip
_FORECAST_SCORES = {
    "first_event_date": DATE,
    "n_events": INT,
    "n": INT,
    **{f"{score}{end}": REAL for score in _SCORE_INTERVALS for end in ("", "_low", "_high")},
    "log_score": REAL,
    "pit_mean": REAL,
    "pit_std": REAL,
    "mid_pit_std": REAL,
    "pit_seed": INT,
    "n_rungs": INT,
    "brier": REAL,
    "brier_miscalibration": REAL,
    "brier_discrimination": REAL,
    "brier_uncertainty": REAL,
    **{f"{benchmark}_{column}": INT if column == "n" else REAL for benchmark in BENCHMARKS for column in _AGAINST},
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
    TableSpec("asset_bars", _schema({"symbol": TEXT, "close": REAL, **_TIMES}, {
        "open": REAL, "high": REAL, "low": REAL, "volume": REAL, "period_s": INT, "source": TEXT}),
        key=("symbol", "ts"), versioned=True),
    TableSpec("option_surfaces", _schema({"symbol": TEXT, "date": DATE, **_TIMES}, {
        "iv_30": REAL, "iv_60": REAL, "iv_90": REAL, "put_25d": REAL, "call_25d": REAL, "close": REAL,
        "source": TEXT}),
        key=("symbol", "date"), versioned=True),
    TableSpec("fed_funds_futures", _schema({"contract_month": DATE, "date": DATE, "price": REAL, **_TIMES}, {
        "source": TEXT}),
        key=("contract_month", "date"), versioned=True),
    TableSpec("fomc_probabilities", _schema({
        "meeting_date": DATE, "date": DATE, "target_tenths_bp": INT, "target_mid_pct": REAL, "probability": REAL,
        **_TIMES}, {"source": TEXT}),
        key=("meeting_date", "date", "target_tenths_bp"), versioned=True),
    TableSpec("consensus", _schema({"series_ticker": TEXT, "period": DATE, "consensus": REAL, **_TIMES}, {
        "source": TEXT}),
        key=("series_ticker", "period"), versioned=True),
    TableSpec("reference_files", _schema({"kind": TEXT, "file": TEXT, "state": TEXT, **_TIMES}, {
        "sha256": TEXT, "n_rows": INT, "n_rejected": INT, "newest_known_at": TIME, "sentence": TEXT}),
        key=("kind", "file"), versioned=True),
    TableSpec("reference_rejects", _schema({
        "kind": TEXT, "file": TEXT, "sha256": TEXT, "line": INT, "reason": TEXT, **_TIMES}, {"row_json": TEXT}),
        key=("kind", "file", "sha256", "line"), versioned=True),
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
        key=("ticker", "trade_id"), partition_by=_BY_EVENT, versioned=True,
        sort_by=("ticker", "known_at", "sequence", "trade_id")),
    TableSpec("orderbooks", _schema({
        **_EVENT, "ticker": TEXT, "side": TEXT, "level": INT, "price_usd": PRICE, "size_contracts": COUNT, **_TIMES}),
        key=("ticker", "side", "level", "ts"), partition_by=_BY_EVENT),
    TableSpec("coverage", _schema({**_EVENT, "endpoint": TEXT, **_TIMES}, {
        "expected": INT, "received": INT, "pages": INT, "complete": BOOL, "reason": TEXT}),
        key=("event_ticker", "endpoint"), partition_by=_BY_EVENT, versioned=True),
    TableSpec("rejected_rows", _schema({**_EVENT, "table_name": TEXT, "row_id": TEXT, "reason": TEXT, **_TIMES}, {
        "ticker": TEXT, "row_json": TEXT}),
        key=("table_name", "row_id"), partition_by=_BY_EVENT),
    TableSpec("distributions", _schema(_SNAPSHOT, _DISTRIBUTION),
        key=("event_ticker", "horizon", "as_of"), partition_by=_BY_EVENT),
    # The same from trades alone, beside whatever a series' distributions rest on.
    TableSpec("trade_distributions", _schema(_SNAPSHOT, _DISTRIBUTION),
        key=("event_ticker", "horizon", "as_of"), partition_by=_BY_EVENT),
    TableSpec("distribution_rungs", _schema({**_SNAPSHOT, "ticker": TEXT}, {
        "rung": INT, "lo_index": INT, "hi_index": INT, "strike": REAL, "yes_bid_prob": REAL, "yes_ask_prob": REAL,
        "mid_prob": REAL, "repaired_prob": REAL, "band_low_prob": REAL, "band_high_prob": REAL,
        "age_s": REAL, "weight": REAL, "quote_known_at": TIME}),
        key=("event_ticker", "horizon", "as_of", "ticker"), partition_by=_BY_EVENT),
    TableSpec("feature_panel", _schema({**_SNAPSHOT, "inputs_known_at": TIME, "mapping_version": TEXT}, _PANEL),
        key=("event_ticker", "horizon", "mapping_version"), partition_by=_BY_EVENT),
    TableSpec("labels", _schema({**_EVENT, "release_time": TIME, **_TIMES}, {
        "event_type": TEXT, "period": DATE, "first_print": REAL, "first_print_learned_at": TIME,
        "first_print_source": TEXT, "revised": REAL, "revised_vintage": DATE, "revised_learned_at": TIME,
        "settled_lo": REAL, "settled_hi": REAL, "settlement_learned_at": TIME, "settlement_value": TEXT,
        "implied_mean": REAL, "implied_median": REAL, "implied_std": REAL,
        "surprise_mean": REAL, "surprise_median": REAL, "surprise_std": REAL, "unlabelled_reason": TEXT,
        "consensus": REAL, "surprise_consensus": REAL}),
        key=("event_ticker",), partition_by=_BY_EVENT, versioned=True),
    TableSpec("asset_responses", _schema({
        **_EVENT, "symbol": TEXT, "window": TEXT, "release_time": TIME, **_TIMES}, {
        "calendar": TEXT, "entry_time": TIME, "exit_time": TIME, "entry_price": REAL, "exit_price": REAL,
        "simple_return": REAL, "learned_at": TIME, "reason": TEXT}),
        key=("event_ticker", "symbol", "window"), partition_by=_BY_EVENT),
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
        key=("strategy_id", "model", "event_ticker", "horizon", "as_of"), partition_by=("event_date",)),
    TableSpec("verdicts", _schema({
        "verdict_id": TEXT, "strategy_id": TEXT, "event_date": DATE, "verdict": TEXT, **_TIMES}, {
        "score": REAL, "reasons": TEXTS, "n_events": INT, "n_trades": INT, "n_trials": INT, "simulated": BOOL,
        "metrics_json": TEXT, "gates_json": TEXT, "config_hash": TEXT, "code_version": TEXT, "inputs_hash": TEXT}),
        key=("verdict_id",), partition_by=("event_date",)),
    TableSpec("gate_evidence", _schema({
        "asset": TEXT, "check_name": TEXT, "event_date": DATE, "data_hash": TEXT, "rules_version": TEXT,
        "passed": BOOL, **_TIMES}, {
        "code_version": TEXT, "n_rows": INT, "detail": TEXT, "first_offender": TEXT}),
        key=("asset", "check_name", "event_date", "data_hash", "rules_version"), partition_by=("event_date",)),
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
    TableSpec("forecast_errors", _schema({**_SNAPSHOT, "basis": TEXT, "tail_policy": TEXT}, {
        "outcome": REAL, "outcome_source": TEXT, "outcome_learned_at": TIME,
        **dict.fromkeys(POINT_FORECASTS, REAL), "crps": REAL, "log_score": REAL,
        "pit_low": REAL, "pit_high": REAL, "pit": REAL, **dict.fromkeys(BENCHMARKS, REAL)}),
        key=("event_ticker", "horizon", "basis", "tail_policy"), partition_by=_BY_EVENT),
    TableSpec("forecast_scores", _schema({
        "series_ticker": TEXT, "horizon": TEXT, "basis": TEXT, "tail_policy": TEXT, "event_date": DATE, **_TIMES},
        _FORECAST_SCORES),
        key=("series_ticker", "horizon", "basis", "tail_policy"), partition_by=("event_date",)),
)  # fmt: skip

TABLES: dict[str, TableSpec] = {t.name: replace(t, checks=checks_of(t.name, t.schema, price=PRICE)) for t in _ALL}
