"""Errors of single forecasts: what counts as an outcome, what was known, what is left out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from kalshi_assets.core.forecast_benchmarks import CONSENSUS
from kalshi_assets.core.forecast_errors import forecast_errors, named_forecasts
from kalshi_assets.core.forecast_outcomes import outcomes_of
from kalshi_assets.core.rung_forecasts import rung_forecasts
from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import DomainError
from kalshi_assets_tests.core.event_rows import table
from kalshi_assets_tests.core.forecast_rows import (
    HOUR,
    MONTH,
    contract,
    label,
    law,
    no_prints,
    printed,
    release,
    rung,
)

DAY = timedelta(days=1)
LAW = ([3.0, 3.1, 3.2], [0.2, 0.5, 0.3])


def errors(
    forecasts: list[Any], labels: list[Any], prints: pa.Table | None = None, **more: Any
) -> list[dict[str, Any]]:
    known = table("labels", labels)
    named = named_forecasts(table("distributions", forecasts), known)
    found = forecast_errors(named, outcomes_of(known), no_prints() if prints is None else prints, **more)
    assert found.schema.equals(TABLES["forecast_errors"].schema)
    return list(found.to_pylist())


def test_one_forecast_by_hand() -> None:
    (row,) = errors([law(0, *LAW)], [label(0, 3.2)])
    assert (row["mean"], row["median"], row["mode"], row["outcome"]) == (pytest.approx(3.11), 3.1, 3.1, 3.2)
    # ∫ (F − 1{x ≥ y})²: 0.04 · 0.1 up to 3.1, 0.49 · 0.1 up to 3.2.
    assert row["crps"] == pytest.approx(0.053)
    assert (row["pit_low"], row["pit_high"]) == (pytest.approx(0.7), pytest.approx(1.0))
    assert row["pit_low"] <= row["pit"] <= row["pit_high"]
    assert (row["outcome_source"], row["outcome_learned_at"], row["known_at"]) == (
        "first_print",
        release(0),
        release(0),
    )
    assert (row["basis"], row["tail_policy"], row["ts"]) == ("quotes", "step", release(0))
    assert row["last_print"] is row["print_mean_12"] is row["consensus"] is None


def test_a_print_goes_before_the_settlement_and_a_settlement_must_be_a_point() -> None:
    settled = {"settled_lo": 3.1, "settled_hi": 3.1, "settlement_learned_at": release(0) + HOUR}
    labels = [
        label(0, 3.2, **settled),
        label(1, None, **{**settled, "settlement_learned_at": release(1) + HOUR}),
        label(2, None, settled_lo=3.1, settled_hi=3.2),
        label(3, None, settled_lo=3.1),
        label(4, None, settled_lo=3.0, settled_hi=3.0, learned_at=release(4) + 3 * HOUR),
        label(5, None),
    ]
    found = {r["event_ticker"][-1]: r for r in errors([law(i, *LAW) for i in range(6)], labels)}
    assert set(found) == {"0", "1", "4"}
    assert (found["0"]["outcome"], found["0"]["outcome_source"]) == (3.2, "first_print")
    assert (found["1"]["outcome"], found["1"]["outcome_source"]) == (3.1, "settlement")
    assert found["1"]["known_at"] == release(1) + HOUR
    # Where the exchange gave no settlement time, it is when the label says that it was known.
    assert found["4"]["known_at"] == release(4) + 3 * HOUR


def test_a_gated_forecast_keeps_its_row_without_scores() -> None:
    gated, _ = errors([law(0, None, None), law(1, *LAW)], [label(0, 3.2), label(1, 3.1)])
    assert gated["outcome"] == 3.2
    scores = ("mean", "median", "mode", "crps", "log_score", "pit_low", "pit_high", "pit")
    assert [gated[name] for name in scores] == [None] * len(scores)


def test_midnights_and_forecasts_of_an_abandoned_date_are_no_forecasts() -> None:
    midnight = law(0, *LAW, horizon="daily", as_of=release(0) - 3 * DAY)
    moved = law(0, *LAW, release=release(0) - 7 * DAY)
    (row,) = errors([midnight, moved, law(0, *LAW)], [label(0, 3.2)])
    assert row["as_of"] == release(0) - DAY


def test_a_forecast_of_what_was_known_is_left_out_and_no_other() -> None:
    early = {"settled_lo": 3.1, "settled_hi": 3.1, "settlement_learned_at": release(0) - 2 * DAY}
    labels = [label(0, None, **early), label(1, 3.2, learned_at=release(1) - DAY), label(2, 3.2)]
    forecasts = [law(0, *LAW, horizon="3d"), law(0, *LAW), law(0, None, None, horizon="1h"), law(1, *LAW), law(2, *LAW)]
    found = {(r["event_ticker"][-1], r["horizon"]) for r in errors(forecasts, labels)}
    assert found == {("0", "3d"), ("2", "1d")}, "what is learned at the as-of time is known"


def test_two_forecasts_of_one_event_are_refused() -> None:
    with pytest.raises(DomainError, match="two distributions at 1d"):
        errors([law(0, *LAW), law(0, *LAW, as_of=release(0) - 2 * DAY)], [label(0, 3.2)])


def test_prints_are_those_known_at_the_forecasts_own_time() -> None:
    prints = [printed(release(0) - (14 - k) * MONTH, 2.0 + k / 10, release(0) - (13 - k) * MONTH) for k in range(13)]
    revision = printed(release(0) - 2 * MONTH, 9.9, release(0) - HOUR)
    prints = table("macro_observations", [*prints, revision])
    late = law(0, *LAW, horizon="5min")
    early = law(0, *LAW, horizon="30d", as_of=release(0) - MONTH - HOUR)
    found = {r["horizon"]: r for r in errors([late, early], [label(0, 3.2)], prints)}
    # At 30 days and an hour the twelfth print was not out yet, and eleven make no mean of twelve.
    assert (found["5min"]["last_print"], found["30d"]["last_print"]) == (pytest.approx(3.2), pytest.approx(3.1))
    assert found["5min"]["print_mean_12"] == pytest.approx(sum(2.0 + k / 10 for k in range(1, 13)) / 12)
    assert found["30d"]["print_mean_12"] == pytest.approx(sum(2.0 + k / 10 for k in range(12)) / 12)


def test_without_a_statistic_the_own_earlier_outcomes_are_the_prints() -> None:
    weather = {"series": "KXHIGHNY"}
    labels = [
        label(i, None, settled_lo=50.0 + i, settled_hi=50.0 + i, learned_at=release(i) + DAY, **weather)
        for i in range(3)
    ]
    found = errors([law(i, [50.0, 52.0], [0.5, 0.5], **weather) for i in range(3)], labels)
    assert [r["last_print"] for r in found] == [None, 50.0, 51.0]
    # An outcome that is learned a month and more later is not known yet at the next forecast.
    labels[1] |= {"known_at": release(2)}
    found = errors([law(i, [50.0, 52.0], [0.5, 0.5], **weather) for i in range(3)], labels)
    assert [r["last_print"] for r in found] == [None, 50.0, 50.0]


def test_of_a_consensus_the_newest_that_was_known_counts() -> None:
    event, other = "KXCPIYOY-000", "KXCPIYOY-777"
    at = release(0)
    rows = [(event, 3.0, at - 5 * DAY), (event, 3.3, at - 2 * DAY), (event, 9.9, at - HOUR), (other, 1.0, at - 5 * DAY)]
    consensus = pa.Table.from_pylist([dict(zip(CONSENSUS.names, r, strict=True)) for r in rows], schema=CONSENSUS)
    forecasts = [law(0, *LAW, horizon=h) for h in ("7d", "3d", "1d", "5min")]
    found = {r["horizon"]: r["consensus"] for r in errors(forecasts, [label(0, 3.2)], consensus=consensus)}
    assert found == {"7d": None, "3d": 3.0, "1d": 3.3, "5min": 9.9}
    # An age counts from when it became known: of sixty days it is taken still, as in panel and labels.
    for late, expected in ((timedelta(0), 3.0), (timedelta(microseconds=1), None)):
        known = consensus.slice(0, 1).set_column(2, CONSENSUS.field(2), [[at - DAY - late - 60 * DAY]])
        (row,) = errors([law(0, *LAW)], [label(0, 3.2)], consensus=known)
        assert row["consensus"] == expected
    undated = pa.Table.from_pylist([{"event_ticker": event, "consensus": 3.0, "known_at": None}], consensus.schema)
    assert errors([law(0, *LAW)], [label(0, 3.2)], consensus=undated)[0]["consensus"] is None
    with pytest.raises(DomainError, match="no column known_at"):
        errors(forecasts, [label(0, 3.2)], consensus=consensus.drop_columns(["known_at"]))


def test_the_seed_moves_the_draw_and_nothing_else() -> None:
    (one,), (two,) = (errors([law(0, *LAW)], [label(0, 3.1)], seed=seed) for seed in (0, 1))
    assert one.pop("pit") != two.pop("pit")
    assert one == two


def pairs(forecasts: list[Any], rungs: list[Any], contracts: list[Any]) -> list[dict[str, Any]]:
    known = table("labels", [label(i) for i in range(9)])
    named = named_forecasts(table("distributions", forecasts), known)
    tables = table("distribution_rungs", rungs), table("contracts", contracts)
    return list(rung_forecasts(named, *tables, basis="quotes").to_pylist())


def test_each_contract_is_paired_with_its_result() -> None:
    forecasts = [law(1, *LAW), law(0, *LAW), law(0, *LAW, horizon="7d")]
    rungs = [rung(0, "A", 0.8), rung(0, "B", 0.3), rung(1, "A", 0.6), rung(0, "A", 0.7, horizon="7d")]
    contracts = [contract(0, "A", "yes"), contract(0, "B", "no"), contract(1, "A", "no")]
    found = {
        (r["ticker"][-5:], r["horizon"]): (r["probability"], r["paid"]) for r in pairs(forecasts, rungs, contracts)
    }
    assert found == {
        ("000-A", "1d"): (0.8, 1),
        ("000-B", "1d"): (0.3, 0),
        ("001-A", "1d"): (0.6, 0),
        ("000-A", "7d"): (0.7, 1),
    }


def test_what_is_no_pair_is_left_out() -> None:
    forecasts = [law(i, *LAW) for i in (0, 1, 2)] + [law(3, None, None)]
    rungs = [
        rung(0, "VOID", 0.5), rung(0, "OPEN", 0.5), rung(0, "GONE", 0.5), rung(0, "NONE", None), rung(0, "KEPT", 0.5),
        rung(1, "EARLY", 0.5), rung(2, "A", 0.5, as_of=release(2) - 2 * DAY), rung(3, "A", 0.5), rung(4, "A", 0.5),
    ]  # fmt: skip
    contracts = [
        contract(0, "VOID", "void"), contract(0, "OPEN", None), contract(0, "NONE", "yes"), contract(0, "KEPT", "yes"),
        contract(1, "EARLY", "yes", known_at=release(1) - DAY), contract(2, "A", "yes"), contract(3, "A", "yes"),
        contract(4, "A", "yes"),
    ]  # fmt: skip
    (row,) = pairs(forecasts, rungs, contracts)
    assert row["ticker"].endswith("KEPT")
    assert row["known_at"] == release(0) + HOUR


def test_the_newest_state_of_a_contract_counts() -> None:
    states = [contract(0, "A", None, known_at=release(0) - 9 * DAY), contract(0, "A", "no")]
    (row,) = pairs([law(0, *LAW)], [rung(0, "A", 0.4)], states[::-1])
    assert row["paid"] == 0.0
