"""The typed strategy: canonical hash, frozen containers, refusals."""

from __future__ import annotations

import dataclasses
import json

import pytest

from kalshi_assets.core.strategy import DEFAULT_FEATURES, NUMERIC_PANEL_COLUMNS, StrategyConfig
from kalshi_assets.errors import UsageError


def test_hash_depends_on_content_and_not_on_how_it_was_written() -> None:
    written = StrategyConfig(alphas=[0.1, 1, 10], purge_days_by_event_type={"gdp": 3, "CPI": 3.0})  # type: ignore[arg-type]
    again = StrategyConfig(alphas=(0.1, 1.0, 10.0), purge_days_by_event_type={"CPI": 3, "GDP": 3})
    assert written.config_hash == again.config_hash
    assert written == again
    assert len(written.config_hash) == 64


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(StrategyConfig)])
def test_every_field_reaches_the_hash(field: str) -> None:
    other = {
        "strategy_id": "b", "horizon": "4h", "features": ("mean",), "alphas": (2.0,), "train_min_events": 41,
        "purge_days_by_event_type": {"CPI": 9}, "default_purge_days": 9.0, "embargo_events": 1,
        "edge_threshold_usd": 0.5, "capital_fraction": 0.5, "kelly_fraction": 0.5, "bankroll_usd": 1.0,
        "fee_rounding": "cent_ceil", "seed": 8, "tail_policies": ("step",),
    }  # fmt: skip
    assert StrategyConfig(**{field: other[field]}).config_hash != StrategyConfig().config_hash


def test_canonical_text_is_sorted_json_of_every_field() -> None:
    text = StrategyConfig().canonical_text
    assert list(json.loads(text)) == sorted(f.name for f in dataclasses.fields(StrategyConfig))
    assert " " not in text


def test_default_features_are_numeric_panel_columns() -> None:
    assert set(DEFAULT_FEATURES) <= NUMERIC_PANEL_COLUMNS


def test_purge_of_listed_unlisted_and_missing_types() -> None:
    config = StrategyConfig()
    assert [config.purge_days(t) for t in ("CPI", "cpi", "FOMC", "TEMPERATURE", None)] == [3.0, 3.0, 1.0, 2.0, 2.0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"features": ("no_such_column",)},
        {"features": ()},
        {"features": "mean"},
        {"features": ("mean", "mean")},
        {"features": ("spec_version",)},
        {"alphas": ()},
        {"alphas": (0.0, 1.0)},
        {"alphas": (10.0, 1.0)},
        {"alphas": (float("nan"),)},
        {"alphas": ("one",)},
        {"train_min_events": 2},
        {"train_min_events": 40.5},
        {"embargo_events": -1},
        {"seed": True},
        {"purge_days_by_event_type": {"CPI": -1}},
        {"purge_days_by_event_type": [("CPI", 3)]},
        {"default_purge_days": float("inf")},
        {"edge_threshold_usd": -0.01},
        {"capital_fraction": 0.0},
        {"kelly_fraction": 1.5},
        {"bankroll_usd": 0},
        {"fee_rounding": "nearest"},
        {"tail_policies": ("flat",)},
        {"tail_policies": ()},
        {"strategy_id": ""},
        {"horizon": ""},
    ],
)
def test_malformed_configuration_is_refused(wrong: dict) -> None:
    with pytest.raises(UsageError):
        StrategyConfig(**wrong)
