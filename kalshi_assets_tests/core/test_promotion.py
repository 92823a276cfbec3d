"""The verdict: what promotes, what cannot, and that nothing missing ever passes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from kalshi_assets.core.hashing import content_hash_of
from kalshi_assets.core.pnl import event_pnl
from kalshi_assets.core.promotion import (
    EvidenceSummary,
    PromotionThresholds,
    TrialCount,
    candidate_returns,
    judge,
    trial_counts,
    verdict_row,
    verdict_time,
    verdicts_for_dates,
)
from kalshi_assets.core.strategy import StrategyConfig
from kalshi_assets.core.tables import TABLES
from kalshi_assets.core.walk_forward import walk_forward
from kalshi_assets.errors import DomainError
from kalshi_assets_tests.core.promotion_case_files import CONFIG, SOUND, Case, abstained, case, day_of, pnl_table
from kalshi_assets_tests.core.synthetic_events import FEATURES, sample


@pytest.fixture(scope="module")
def strong() -> Case:
    return case(0.25)


def test_a_strong_edge_is_promoted_and_every_gate_has_a_number(strong: Case) -> None:
    verdict = strong.judge()
    assert (verdict.verdict, verdict.reasons) == ("promote", ())
    assert all(gate.passed and math.isfinite(gate.value) for gate in verdict.gates)
    assert {g.name for g in verdict.gates} == {
        "events", "trades", "track_record", "win_rate", "sharpe", "profit_factor", "max_drawdown", "annual_return",
        "worst_event_loss", "dsr_pvalue", "mc_pvalue", "wf_oos_corr", "surprise_hit_rate", "wf_is_oos_gap", "pbo",
        "capacity_utilization", "wf_positive_fold_fraction", "event_type_stability", "macro_regime_stability",
        "regime_positive_fraction", "tail_policy_flips", "null_strategies_passing", "leakage_evidence",
    }  # fmt: skip
    assert verdict.n_events == verdict.n_trades == 200
    assert verdict.n_trials == 900
    assert verdict.score > 3


def test_noise_is_not_promoted_over_many_seeds() -> None:
    words = [case(0.0, n=120, seed=seed, skill=0.0).judge().verdict for seed in range(60)]
    assert "promote" not in words
    assert set(words) <= {"reject", "insufficient_evidence", "hold"}


def test_spa_counts_only_when_required(strong: Case) -> None:
    required = strong.judge(thresholds=PromotionThresholds(require_spa=True))
    assert required.verdict == "promote"
    assert required.metrics["spa_pvalue"] < 0.05
    assert "spa_pvalue" not in strong.judge().metrics
    without = strong.judge(thresholds=PromotionThresholds(require_spa=True), config_returns=None)
    assert "spa_pvalue_unavailable" in without.reasons


PERFORMANCE = {
    "win_rate": {"min_win_rate": 0.99},
    "sharpe": {"min_sharpe": 50.0},
    "profit_factor": {"min_profit_factor": 50.0},
    "max_drawdown": {"max_drawdown": -1e-6},
    "annual_return": {"min_annual_return": 5.0},
    "worst_event_loss": {"worst_event_loss": -1e-6},
    "dsr_not_significant": {"max_dsr_pvalue": -1.0},
    "mc_not_significant": {"max_mc_pvalue": 0.0},
    "wf_oos_corr": {"min_oos_correlation": 0.999},
    "surprise_hit_rate": {"min_surprise_hit_rate": 1.1},
}
ROBUSTNESS = {
    "pbo": {"max_pbo": -0.1},
    "capacity_utilization": {"max_capacity_utilization": 1e-6},
    "wf_positive_fold_fraction": {"min_positive_fold_fraction": 1.1},
    "wf_is_oos_gap": {"max_is_oos_gap": -1.0},
    "event_type_stability": {"min_event_type_stability": 1.1},
    "macro_regime_stability": {"min_macro_regime_stability": 1.1},
    "regime_positive_fraction": {"min_regime_positive_fraction": 1.1},
}
EVIDENCE = {
    "insufficient_events": {"min_events": 201},
    "insufficient_trades": {"min_trades": 201},
    "insufficient_track_record": {"track_record_confidence": 1 - 1e-12},
}


@pytest.mark.parametrize(
    ("word", "reason", "limit"),
    [(w, r, k) for w, group in (("reject", PERFORMANCE), ("hold", ROBUSTNESS)) for r, k in group.items()],
)
def test_each_gate_decides_alone(strong: Case, word: str, reason: str, limit: dict) -> None:
    verdict = strong.judge(thresholds=PromotionThresholds(**limit))
    assert reason in verdict.reasons
    assert verdict.verdict == word


@pytest.mark.parametrize(("reason", "limit"), EVIDENCE.items())
def test_insufficient_evidence_comes_before_everything_else(strong: Case, reason: str, limit: dict) -> None:
    verdict = strong.judge(thresholds=PromotionThresholds(**limit))
    assert (verdict.verdict, verdict.reasons) == ("insufficient_evidence", (reason,))
    assert math.isnan(verdict.score)
    assert "sharpe" not in verdict.metrics


def test_reject_outranks_hold(strong: Case) -> None:
    verdict = strong.judge(thresholds=PromotionThresholds(min_sharpe=50, max_pbo=-0.1))
    assert verdict.verdict == "reject"
    assert {"sharpe", "pbo"} <= set(verdict.reasons)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"config_returns": None}, "pbo_unavailable"),
        ({"regimes": None}, "macro_regime_stability_unavailable"),
        ({"tail_pnls": None}, "tail_policy_flips_unavailable"),
        ({"trials": TrialCount(3, 900)}, "wf_is_oos_gap_unavailable"),
        ({"evidence": EvidenceSummary(False, True, True)}, "leakage_evidence_missing"),
        ({"evidence": EvidenceSummary(True, False, True)}, "leakage_evidence_stale"),
        ({"evidence": EvidenceSummary(True, True, False)}, "leakage_evidence_failed"),
    ],
)
def test_missing_evidence_holds_a_strong_strategy(strong: Case, change: dict, reason: str) -> None:
    verdict = strong.judge(**change)
    assert verdict.verdict == "hold"
    assert reason in verdict.reasons


def test_missing_null_strategies_or_capacity_hold_too(strong: Case) -> None:
    without = strong.but(pnl={k: v for k, v in strong.pnl.items() if k != "random"})
    assert without.judge().reasons == ("null_strategies_passing_unavailable",)
    unknown = strong.pnl["ridge"].set_column(
        strong.pnl["ridge"].schema.get_field_index("capacity_usd"), "capacity_usd", pa.nulls(200, pa.float64())
    )
    assert strong.but(pnl={**strong.pnl, "ridge": unknown}).judge().reasons == ("capacity_utilization_unavailable",)


def test_trials_without_variance_or_labels_fail_performance(strong: Case) -> None:
    alone = {k: v for k, v in strong.pnl.items() if not k.startswith("ridge[")}
    assert "dsr_pvalue_unavailable" in strong.but(pnl=alone).judge().reasons
    empty = strong.but(labels=TABLES["labels"].schema.empty_table()).judge()
    assert {"wf_oos_corr_unavailable", "surprise_hit_rate_unavailable"} <= set(empty.reasons)
    assert empty.verdict == "reject"


def test_many_trials_deflate_the_same_record() -> None:
    modest = case(0.15)
    few, many = (
        modest.judge(trials=TrialCount(n, 900, inner_score=0.2, sharpe_variance=0.01)).metrics["dsr_pvalue"]
        for n in (1, 1000)
    )
    assert few < 0.05 < many


def test_a_null_strategy_that_passes_holds_the_verdict(strong: Case) -> None:
    verdict = strong.but(pnl={**strong.pnl, "random": strong.pnl["ridge"]}).judge()
    assert (verdict.verdict, verdict.reasons) == ("hold", ("null_strategy_passes",))


def test_a_verdict_that_flips_under_another_tail_policy_cannot_promote(strong: Case) -> None:
    poor = case(-0.05, seed=5).pnl["ridge"]
    verdict = strong.judge(tail_pnls={"hazard": strong.pnl["ridge"], "truncate": poor})
    assert (verdict.verdict, verdict.reasons) == ("hold", ("tail_policy_flips_verdict",))
    assert strong.judge(tail_pnls={"hazard": poor}).reasons == ("tail_policy_flips_unavailable",)


@pytest.mark.parametrize("n", [0, 1, 2, 20])
def test_few_or_no_events(strong: Case, n: int) -> None:
    few = strong.but(pnl={"ridge": strong.pnl["ridge"].slice(0, n)}, config_returns=None)
    verdict = few.judge()
    assert verdict.verdict == "insufficient_evidence"
    assert verdict.n_events == n


def test_zero_trades_is_insufficient_evidence() -> None:
    idle = case(0.2)
    verdict = idle.but(pnl={**idle.pnl, "ridge": abstained(200, "ridge")}).judge()
    assert verdict.verdict == "insufficient_evidence"
    assert "insufficient_trades" in verdict.reasons


@pytest.mark.parametrize("returns", [np.full(200, -1.0), np.random.default_rng(0).normal(-0.4, 0.3, 200)])
def test_all_losses_are_rejected(returns: np.ndarray) -> None:
    losing = case(0.2)
    losing.pnl["ridge"] = pnl_table(returns)
    verdict = losing.judge()
    assert verdict.verdict == "reject"
    assert {"max_drawdown", "annual_return", "mc_not_significant"} <= set(verdict.reasons)


@pytest.mark.parametrize("share", [1.0, 0.005])
def test_missing_returns_never_pass(share: float) -> None:
    holes = case(0.3)
    returns = np.random.default_rng(0).normal(0.3, 0.3, 200)
    returns[: max(1, round(200 * share))] = np.nan
    holes.pnl["ridge"] = pnl_table(returns)
    verdict = holes.judge()
    assert verdict.verdict != "promote"
    assert any(reason.endswith("_unavailable") for reason in verdict.reasons)


def test_a_constant_gain_has_no_sharpe_and_is_not_promoted() -> None:
    constant = case(0.2)
    constant.pnl["ridge"] = pnl_table(np.full(200, 0.1))
    assert constant.judge().verdict == "insufficient_evidence"


def test_repeated_horizon_rows_are_refused_and_cannot_inflate_significance(strong: Case) -> None:
    six = pa.concat_tables([strong.pnl["ridge"]] * 6)
    with pytest.raises(DomainError, match="occurs twice"):
        strong.but(pnl={**strong.pnl, "ridge": six}, config_returns=None).judge()


def test_events_of_one_morning_are_one_observation() -> None:
    spread, together = case(0.12), case(0.12)
    day = day_of(0)
    same = together.pnl["ridge"].to_pylist()
    for i, row in enumerate(same):
        row["event_date"] = day_of(i // 4 * 4)
        row["learned_at"] = row["learned_at"] if i % 4 == 0 else same[i // 4 * 4]["learned_at"]
    assert day == same[0]["event_date"]
    together.pnl["ridge"] = pa.Table.from_pylist(same, schema=together.pnl["ridge"].schema)
    limits = PromotionThresholds(track_record_confidence=0.5)
    alone = spread.judge(thresholds=limits, config_returns=None).metrics
    clustered = together.judge(thresholds=limits, config_returns=None).metrics
    assert (alone["release_dates"], clustered["release_dates"]) == (200.0, 50.0)
    assert alone["trades"] == clustered["trades"] == 200.0


def test_outcomes_learned_after_the_date_do_not_count(strong: Case) -> None:
    day = day_of(149)
    then = strong.judge(event_date=day)
    assert then.n_events == 150
    future = strong.pnl["ridge"].to_pylist()
    for row in future[150:]:
        row |= {"return": -1.0, "pnl_usd": -1.55}
    scrambled = strong.but(
        pnl={**strong.pnl, "ridge": pa.Table.from_pylist(future, schema=strong.pnl["ridge"].schema)},
        labels=strong.labels.slice(0, 150),
    )
    changed = scrambled.judge(event_date=day)
    assert changed.metrics == then.metrics
    assert changed.gates == then.gates


def test_the_verdict_speaks_from_the_end_of_the_new_york_day() -> None:
    assert verdict_time(day_of(0)).isoformat() == "2012-01-04T05:00:00+00:00"
    late = case(0.2, n=100)
    rows = late.pnl["ridge"].to_pylist()
    end = verdict_time(day_of(99))
    for offset, n in ((timedelta(0), 100), (timedelta(microseconds=1), 99)):
        rows[-1]["learned_at"] = end + offset
        table = pa.Table.from_pylist(rows, schema=late.pnl["ridge"].schema)
        assert late.but(pnl={**late.pnl, "ridge": table}).judge().n_events == n


def test_rows_of_many_dates_equal_single_verdicts(strong: Case) -> None:
    dates = [day_of(i) for i in (10, 90, 150, 199)]
    arguments = strong.arguments()
    arguments.pop("event_date")
    stamp = {"code_version": "abc", "inputs_hash": "def"}
    table = verdicts_for_dates(dates, strong.pnl, strong.predictions, strong.labels, **arguments, **stamp)
    assert table.schema.equals(TABLES["verdicts"].schema)
    table.validate(full=True)
    assert len(content_hash_of("verdicts", table)) == 4
    singles = [verdict_row(strong.judge(event_date=d), config=CONFIG, **stamp) for d in dates]
    assert table.equals(pa.Table.from_pylist(singles, schema=TABLES["verdicts"].schema))
    assert table["verdict"].to_pylist()[0] == "insufficient_evidence"
    assert table["verdict"].to_pylist()[-1] == "promote"


def test_dates_without_evidence_fail_closed_and_without_trials_are_refused(strong: Case) -> None:
    arguments = strong.arguments() | {"evidence": {}}
    arguments.pop("event_date")
    stamp = {"code_version": "abc", "inputs_hash": "def"}
    frames = (strong.pnl, strong.predictions, strong.labels)
    table = verdicts_for_dates([strong.event_date], *frames, **arguments, **stamp)
    assert table["verdict"].to_pylist() == ["hold"]
    with pytest.raises(DomainError, match="no trial count"):
        verdicts_for_dates([strong.event_date], *frames, **arguments | {"trials": {}}, **stamp)


def test_verdict_row_identity_and_json(strong: Case) -> None:
    verdict = strong.judge(config_returns=None)
    row = verdict_row(verdict, config=CONFIG, code_version="a", inputs_hash="b")
    assert row == verdict_row(strong.judge(config_returns=None), config=CONFIG, code_version="a", inputs_hash="b")
    assert json.loads(row["metrics_json"])["pbo"] is None
    gates = {g["name"]: g for g in json.loads(row["gates_json"])}
    assert gates["pbo"] == {
        "name": "pbo", "kind": "robustness", "value": None, "threshold": 0.45, "passed": False,
        "reason": "pbo_unavailable",
    }  # fmt: skip
    other = StrategyConfig(alphas=(1.0, 10.0, 100.0), seed=8)
    ids = {
        verdict_row(verdict, config=CONFIG, code_version="a", inputs_hash="c")["verdict_id"],
        verdict_row(verdict, config=CONFIG, code_version="z", inputs_hash="b")["verdict_id"],
        verdict_row(verdict, config=other, code_version="a", inputs_hash="b")["verdict_id"],
        verdict_row(replace(verdict, simulated=False), config=CONFIG, code_version="a", inputs_hash="b")["verdict_id"],
        row["verdict_id"],
    }
    assert len(ids) == 5


def test_wrong_inputs_are_refused(strong: Case) -> None:
    with pytest.raises(DomainError, match="No P&L"):
        strong.but(pnl={}).judge()
    with pytest.raises(DomainError, match="config_returns"):
        strong.judge(config_returns=np.zeros((3, 3)))


def test_candidates_are_aligned_by_event(strong: Case) -> None:
    shorter = {**strong.pnl, "last_print": strong.pnl["last_print"].slice(10)}
    matrix = candidate_returns(shorter)
    assert matrix.shape == (200, 5)
    names = ["climatology", "last_print", *sorted(n for n in strong.pnl if n.startswith("ridge["))]
    assert (matrix[:10, names.index("last_print")] == 0).all()
    for name in ("last_print", "ridge[alpha=100]"):
        expected = np.array(strong.pnl[name]["return"].to_pylist()) * 0.02
        assert np.allclose(matrix[10:, names.index(name)], expected[10:])


@pytest.fixture(scope="module")
def whole_flow() -> list:
    verdicts = []
    for edge in (0.0, 0.75):
        data = sample(60, edge=edge, seed=4)
        config = StrategyConfig(features=FEATURES)
        run = walk_forward(data.panel, data.labels, test_dates=data.dates, config=config)
        pnl = {
            model: event_pnl(run.predictions, data.rungs, data.contracts, data.series, config=config, model=model)
            for model in sorted(set(run.predictions["model"].to_pylist()))
        }
        last = data.dates[-1]
        counts = trial_counts(run.trials, [data.dates[20], last])
        assert counts[data.dates[20]].n_fits < counts[last].n_fits
        assert counts[last].n_configurations == len(config.alphas)
        verdicts.append(
            judge(
                pnl, run.predictions, data.labels, trials=counts[last], config=config, event_date=last, evidence=SOUND,
                simulated=True, config_returns=candidate_returns(pnl), regimes=data.panel,
                tail_pnls=dict.fromkeys(config.tail_policies, pnl["ridge"]),
            )
        )  # fmt: skip
    return verdicts


def test_whole_flow_promotes_a_planted_edge_and_not_noise(whole_flow: list) -> None:
    noise, edge = whole_flow
    assert noise.verdict != "promote"
    assert (edge.verdict, edge.reasons) == ("promote", ())
    assert all(math.isfinite(value) for value in edge.metrics.values())
