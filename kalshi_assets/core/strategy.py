"""What a strategy is: the typed configuration, its canonical text and its hash.

Every choice that could change a fold, a prediction, a trade or a verdict is a
field here, so that one hash names them all. Gate thresholds are not a choice
of the strategy (``core.promotion``), nor are the data that it runs on.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from types import MappingProxyType

from kalshi_assets.core.hashing import canonical_json
from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import UsageError

DEFAULT_FEATURES = (
    "last_print_gap",
    "print_mean_12_gap",
    "skewness",
    "kurtosis",
    "entropy",
    "delta_mean",
    "delta_skewness",
    "delta_entropy",
    "variance_collapse_ratio",
    "entropy_collapse_ratio",
    "distance_js_1d",
    "distance_wasserstein_1d",
    "quality_score",
    "coverage_ratio",
    "median_spread_usd",
    "volume_oi_proxy",
    "micro_spread_median",
    "micro_active_fraction",
)
DEFAULT_PURGE_DAYS = {"CPI": 3.0, "FOMC": 1.0, "UNEMPLOYMENT": 2.0, "PAYROLLS": 2.0, "GDP": 3.0}
TAIL_POLICIES = ("step", "hazard", "truncate")
FEE_ROUNDINGS = ("model", "micro_ceil", "ten_thousandth_ceil", "cent_ceil")

_PANEL_SCHEMA = TABLES["feature_panel"].schema
NUMERIC_PANEL_COLUMNS = frozenset(f.name for f in _PANEL_SCHEMA if str(f.type) in ("double", "int64"))
REGIME_COLUMNS = ("inflation_regime", "policy_regime", "volatility_regime")


@dataclass(frozen=True)
class StrategyConfig:
    """A strategy that predicts the surprise of a print and trades the ladder on it.

    Attributes:
        strategy_id: name under which folds, predictions, trials and verdicts are filed.
        horizon: decision horizon; exactly one panel row an event is used.
        features: panel columns of the ridge: numeric ones, or regime columns (one indicator a level).
        alphas: ridge penalties to choose from, each of them a trial; ascending and positive.
        train_min_events: fewer training events than this and nothing is fitted.
        purge_days_by_event_type: days before the test interval by which a label must have ended.
        default_purge_days: the same for an event type that is not listed.
        embargo_events: newest training release dates left out on top of the purge.
        edge_threshold_usd: expected profit a contract, after fees, above which a contract is bought.
        capital_fraction: share of the bankroll at stake in one event (with Kelly: the most that may be).
        kelly_fraction: None buys one contract a rung; otherwise the fraction of full Kelly.
        bankroll_usd: bankroll that turns fractions into contracts and capacity into a ratio.
        fee_rounding: rounding rule of ``core.fees``.
        seed: base of every random draw.
        tail_policies: tail policies under which the verdict must hold; the first is the one traded.
    """

    strategy_id: str = "surprise_ridge"
    horizon: str = "1d"
    features: tuple[str, ...] = DEFAULT_FEATURES
    alphas: tuple[float, ...] = (0.1, 1.0, 10.0, 100.0, 1000.0)
    train_min_events: int = 40
    purge_days_by_event_type: Mapping[str, float] = field(default_factory=lambda: DEFAULT_PURGE_DAYS, hash=False)
    default_purge_days: float = 2.0
    embargo_events: int = 0
    edge_threshold_usd: float = 0.02
    capital_fraction: float = 0.02
    kelly_fraction: float | None = None
    bankroll_usd: float = 10_000.0
    fee_rounding: str = "model"
    seed: int = 7
    tail_policies: tuple[str, ...] = TAIL_POLICIES

    def __post_init__(self) -> None:
        """Freeze the containers and refuse what cannot be run.

        Raises:
            UsageError: a field is out of range, unknown or of the wrong kind; the message names it.
        """
        for name in ("features", "alphas", "tail_policies"):
            if isinstance(getattr(self, name), str):
                raise UsageError(f"Strategy field {name} is a single string: give a list.")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not isinstance(self.purge_days_by_event_type, Mapping):
            raise UsageError("Strategy field purge_days_by_event_type is not a mapping: give event type to days.")
        purge = {
            str(k).upper(): _number("purge_days_by_event_type", v) for k, v in self.purge_days_by_event_type.items()
        }
        object.__setattr__(self, "purge_days_by_event_type", MappingProxyType(dict(sorted(purge.items()))))
        object.__setattr__(self, "alphas", tuple(_number("alphas", a) for a in self.alphas))
        for problem in self._problems():
            raise UsageError(f"Strategy {self.strategy_id!r}: {problem}.")

    def _problems(self) -> list[str]:
        known = NUMERIC_PANEL_COLUMNS | set(REGIME_COLUMNS)
        unknown = [f for f in self.features if f not in known]
        checks = (
            (bool(self.strategy_id) and isinstance(self.strategy_id, str), "strategy_id is empty: give it a name"),
            (
                bool(self.horizon) and isinstance(self.horizon, str),
                "horizon is empty: name one of the panel",
            ),
            (bool(self.features), "features is empty: name at least one panel column"),
            (not unknown, f"{unknown} are not usable panel columns: choose from the table feature_panel"),
            (len(set(self.features)) == len(self.features), "features names a column twice: drop the repetition"),
            (bool(self.alphas) and min(self.alphas, default=0.0) > 0, "alphas must be positive and not empty"),
            (list(self.alphas) == sorted(set(self.alphas)), "alphas must ascend without repetition"),
            (_whole(self.train_min_events, 3), "train_min_events must be a whole number of at least 3"),
            (_whole(self.embargo_events, 0), "embargo_events must be a whole number of at least 0"),
            (_whole(self.seed, 0), "seed must be a whole number of at least 0"),
            (
                min((*self.purge_days_by_event_type.values(), self._float("default_purge_days"))) >= 0,
                "a purge is negative",
            ),
            (self._float("edge_threshold_usd") >= 0, "edge_threshold_usd is negative"),
            (0 < self._float("capital_fraction") <= 1, "capital_fraction must lie in (0, 1]"),
            (
                self.kelly_fraction is None or 0 < self._float("kelly_fraction") <= 1,
                "kelly_fraction must lie in (0, 1]",
            ),
            (self._float("bankroll_usd") > 0, "bankroll_usd must be positive"),
            (self.fee_rounding in FEE_ROUNDINGS, f"fee_rounding must be one of {FEE_ROUNDINGS}"),
            (bool(self.tail_policies), "tail_policies is empty: name at least the one that is traded"),
            (set(self.tail_policies) <= set(TAIL_POLICIES), f"tail_policies must come from {TAIL_POLICIES}"),
        )
        return [message for ok, message in checks if not ok]

    def _float(self, name: str) -> float:
        return _number(name, getattr(self, name))

    @cached_property
    def canonical_text(self) -> str:
        """The canonical JSON text of the configuration."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return canonical_json({**values, "purge_days_by_event_type": dict(self.purge_days_by_event_type)})

    @cached_property
    def config_hash(self) -> str:
        """SHA-256, in hexadecimal, of the canonical JSON text."""
        return hashlib.sha256(self.canonical_text.encode()).hexdigest()

    def purge_days(self, event_type: str | None) -> float:
        """Purge of an event type, in days; ``default_purge_days`` for an unknown or missing type."""
        return self.purge_days_by_event_type.get((event_type or "").upper(), self.default_purge_days)


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"Strategy field {name} holds {value!r}: give finite numbers.")
    return float(value)


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
