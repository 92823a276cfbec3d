from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kalshi_assets.errors import StoreError
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.registry import TrialCount, count_trials, latest_verdicts, record_trials, record_verdicts
from kalshi_assets_tests.store.rows import at, day, table, trial


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def verdict(n: int, d: int, **more: Any) -> dict[str, Any]:
    return {
        "verdict_id": f"v{n}", "strategy_id": "ridge", "event_date": day(d), "verdict": "hold", "ts": at(n),
        "known_at": at(n), "reasons": ["few events"], "score": 0.5, **more,
    }  # fmt: skip


def test_trials_are_counted_by_strategy_until_a_date(lake: Lake) -> None:
    assert count_trials(lake, "ridge", day(9)) == TrialCount(0, 0)
    rows = [
        trial(1, day(0)),
        trial(2, day(0)),
        trial(3, day(1), config_hash="c1"),
        trial(4, day(2), strategy_id="other"),
    ]
    record_trials(lake, table("trials", rows), "r1")
    assert count_trials(lake, "ridge", day(-1)) == TrialCount(0, 0)
    assert count_trials(lake, "ridge", day(0)) == TrialCount(2, 2)
    assert count_trials(lake, "ridge", day(1)) == TrialCount(2, 3)
    assert count_trials(lake, "ridge", day(9)) == TrialCount(2, 3)
    assert count_trials(lake, "other", day(9)) == TrialCount(1, 1)


def test_the_ledger_takes_a_trial_once_and_never_another_in_its_place(lake: Lake) -> None:
    record_trials(lake, table("trials", [trial(1, day(0), inner_score=0.3), trial(2, day(1))]), "r1")
    assert not record_trials(lake, table("trials", [trial(1, day(0), inner_score=0.3)]), "r2").changed
    for other in (
        trial(1, day(0), inner_score=0.4),
        trial(1, day(0)),
        trial(1, day(0), inner_score=0.3, known_at=at(9)),
    ):
        with pytest.raises(StoreError, match=r"trial_id=t1.*other content"):
            record_trials(lake, table("trials", [trial(3, day(0)), other]), "r2")
    with pytest.raises(StoreError, match="trial_id t1 is there under event date 2024-02-01"):
        record_trials(lake, table("trials", [trial(3, day(0)), trial(1, day(1), inner_score=0.3)]), "r2")
    stored = lake.read("trials", bookkeeping=True).to_pylist()
    assert [(r["trial_id"], r["inner_score"], r["run_id"]) for r in stored] == [("t1", 0.3, "r1"), ("t2", None, "r1")]
    record_trials(lake, table("trials", [trial(3, day(0)), trial(2, day(1))]), "r3")
    assert [r["run_id"] for r in lake.read("trials", bookkeeping=True).to_pylist()] == ["r1", "r1", "r3"]


def test_verdicts_only_grow_and_the_newest_of_each_strategy_is_found(lake: Lake) -> None:
    rows = [
        verdict(1, 0),
        verdict(2, 3),
        verdict(3, 3, verdict="promote"),
        verdict(9, 1),
        verdict(4, 0, strategy_id="b"),
    ]
    record_verdicts(lake, table("verdicts", rows), "r1")
    assert not record_verdicts(lake, table("verdicts", rows), "r2").changed
    with pytest.raises(StoreError, match=r"verdict_id=v2.*other content"):
        record_verdicts(lake, table("verdicts", [verdict(2, 3, reasons=["few", "events"])]), "r2")

    def newest(**more: Any) -> list[str]:
        return latest_verdicts(lake, **more).column("verdict_id").to_pylist()

    assert newest() == ["v3", "v4"]
    assert newest(as_of=at(2)) == ["v2"]
    assert newest(strategy_id="b") == ["v4"]
    assert newest(strategy_id="none") == []
