"""Every feature of the system that this one succeeds is in the panel, under its name or one that is declared."""

from kalshi_assets.core.tables import TABLES

THERE = (
    "mean", "var", "skew", "entropy", "quality_score", "coverage_ratio", "median_spread", "median_quote_age_seconds",
    "volume_oi_proxy", "constraint_violation_score", "tail_p_1", "tail_p_2", "tail_p_3", "distance_kl_1h",
    "distance_js_1h", "distance_wasserstein_1h", "distance_kl_1d", "distance_js_1d", "distance_wasserstein_1d",
)  # fmt: skip
DERIVED = ("late_drift_mean", "variance_collapse_ratio", "entropy_collapse_ratio", "minutes_to_release", "horizon")
GAPS = ("gap_mean", "gap_var", "gap_tail", "ref_mean", "ref_var", "ref_tail")
TAGS = ("inflation_regime", "policy_regime", "vol_regime")
# docs/adr/0021
RENAMED = {
    "var": "variance", "skew": "skewness", "median_spread": "median_spread_usd",
    "median_quote_age_seconds": "median_quote_age_s", "vol_regime": "volatility_regime",
}  # fmt: skip


def test_every_feature_is_there_with_its_change_and_its_speed():
    panel = set(TABLES["feature_panel"].schema.names)
    here = [RENAMED.get(name, name) for name in THERE]
    wanted = {*here, *(f"delta_{n}" for n in here), *(f"speed_{n}_per_hour" for n in here), *DERIVED, *GAPS}
    wanted |= {RENAMED.get(name, name) for name in TAGS}
    assert len(wanted) == 3 * 19 + 5 + 6 + 3
    assert sorted(wanted - panel) == []
