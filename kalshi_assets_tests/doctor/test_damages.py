"""Every planted damage is found, and named; what can be mended is, and the rest is refused and left as it was."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kalshi_assets.console import RunProgress
from kalshi_assets.defs.backfill import run_backfill
from kalshi_assets.doctor.check import Check, exit_code, guarded
from kalshi_assets.doctor.journal_checks import check_journal
from kalshi_assets.doctor.lake_examination import LAKE_CHECKS, examine_lake
from kalshi_assets.doctor.repair import repair
from kalshi_assets.doctor.run_storage_checks import check_run_storage
from kalshi_assets.errors import HomeInUse, StoreError
from kalshi_assets.settings import Settings
from kalshi_assets.stages.evidence import OUTPUTS
from kalshi_assets.store.lake import Commit, Lake
from kalshi_assets.store.maintenance import maintain
from kalshi_assets.store.repairing import REFILLED as TABLES_FILLED
from kalshi_assets.store.repairing import Deed
from kalshi_assets.store.transactions import transaction
from kalshi_assets_tests.doctor import damages
from kalshi_assets_tests.doctor.damages import DAYS, LEFT, MENDED, REFILLED, REFUSED, Planted, build_home, fill

Damage = Callable[[Path], Planted]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("whole") / "home"
    build_home(home)
    return home


@pytest.fixture
def home(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "home")
    return tmp_path / "home"


def examined(home: Path, deep: bool | None = None) -> list[Check]:
    return [
        *examine_lake(Lake(home / "lake"), deep=deep, progress=lambda done, total: None),
        *guarded("lake.downloads", lambda: check_journal(home / "ingest")),
        *guarded("dagster.files", lambda: check_run_storage(home / "dagster")),
    ]


def troubles(checks: list[Check]) -> list[Check]:
    return [c for c in checks if c.state in ("warning", "failure")]


def mend(home: Path) -> list[Deed]:
    return repair(Settings(home=home), lambda done, total: None)


def content(home: Path) -> dict[object, str]:
    lake = Lake(home / "lake")
    return {**lake.content_hash("quotes"), "trials": str(lake.content_hash("trials"))}


def fingerprint(home: Path) -> dict[str, str]:
    return {
        str(p.relative_to(home)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(home.rglob("*"))
        if p.is_file() and p.name not in (".lock", "_transaction") and not p.name.endswith(("-wal", "-shm"))
    }


def test_a_whole_home_is_quiet_and_there_is_nothing_to_mend(home: Path) -> None:
    checks = examined(home)
    assert troubles(checks) == []
    by_name = {c.name: c for c in checks}
    assert {name for name in LAKE_CHECKS if by_name[name].state == "ok"} == set(LAKE_CHECKS)
    assert by_name["lake.evidence"].found.startswith(f"{len(DAYS)} of {len(DAYS)} ")
    before = fingerprint(home)
    assert mend(home) == []
    assert fingerprint(home) == before


@pytest.mark.parametrize("damage", [*MENDED, *REFILLED, *REFUSED, *LEFT], ids=lambda d: d.__name__)
def test_each_damage_is_found_and_named(home: Path, damage: Damage) -> None:
    planted = damage(home)
    before = fingerprint(home)
    checks = examined(home)
    found = [c for c in checks if c.name == planted.check]
    assert [c.state for c in found] == [planted.state], troubles(checks)
    assert planted.names in found[0].found
    assert found[0].advice
    assert found[0].found.endswith(".")
    assert not any("itself broke" in c.found for c in checks), troubles(checks)
    assert exit_code(checks) == (1 if planted.state == "failure" else 0)
    assert fingerprint(home) == before


@pytest.mark.parametrize("damage", MENDED, ids=lambda d: d.__name__)
def test_what_stands_elsewhere_is_mended(home: Path, damage: Damage) -> None:
    before = content(home)
    damage(home)
    deeds = mend(home)
    assert deeds
    assert all(d.done for d in deeds), deeds
    assert troubles(examined(home)) == []
    assert content(home) == before


@pytest.mark.parametrize(
    "damage",
    [damages.file_removed, damages.page_flipped, damages.other_values, damages.file_moved],
    ids=lambda d: d.__name__,
)
def test_damaged_rows_are_taken_out_and_a_run_fills_them_in(home: Path, damage: Damage) -> None:
    before = content(home)
    damage(home)
    deeds = mend(home)
    assert deeds
    assert all(d.done for d in deeds), deeds
    checks = examined(home)
    assert exit_code(checks) == 0, troubles(checks)
    gone = [n for n, one in enumerate(DAYS) if one not in Lake(home / "lake").event_dates("quotes")]
    assert 1 in gone
    assert any(f"Run {DAYS[1]} again" in (c.advice or "") for c in checks)
    assert mend(home) == []
    for n in gone:
        fill(Lake(home / "lake"), n)
    assert content(home) == before
    checks = examined(home)
    assert {c.name for c in troubles(checks)} <= {"lake.past"}, troubles(checks)


@pytest.mark.parametrize("damage", REFUSED, ids=lambda d: d.__name__)
def test_what_only_a_copy_mends_is_refused_and_left_as_it_is(home: Path, damage: Damage) -> None:
    damage(home)
    before = fingerprint(home)
    deeds = mend(home)
    assert deeds
    assert not any(d.done for d in deeds), deeds
    assert "estore" in deeds[0].words
    assert fingerprint(home) == before
    assert exit_code(examined(home)) == 1


def test_what_looks_stale_by_a_log_that_lacks_an_entry_is_left_alone(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it a date has one series as it was and another as it is, which no gate ever saw together."""
    monkeypatch.setattr(damages, "ROWS", damages.ROWS + 1)
    fill(Lake(home / "lake"), 0, KXB=1)
    fill(Lake(home / "lake"), 0, KXB=2)
    damages.entry(home, 5).write_text('{"odd":{}}\n')
    assert "lake.quotes.evidence" in {c.name for c in troubles(examined(home))}
    before = fingerprint(home)
    deeds = mend(home)
    assert not any(d.done for d in deeds), deeds
    assert "no file of the lake is taken out" in deeds[-1].words
    assert fingerprint(home) == before


def test_a_copy_of_the_file_heals_what_was_refused(home: Path, whole: Path) -> None:
    damages.entry_emptied(home)
    shutil.copy(damages.entry(whole, 2), damages.entry(home, 2))
    assert troubles(examined(home)) == []


def test_no_reader_takes_an_emptied_entry_for_one_that_changed_nothing(home: Path) -> None:
    damages.entry_emptied(home)
    lake = Lake(home / "lake")
    with pytest.raises(StoreError, match=r"00002\.json of table quotes is empty"):
        lake.read("quotes")
    with pytest.raises(StoreError, match="is empty"):
        lake.at({"quotes": 3}).read("quotes")
    assert lake.at({"quotes": 1}).event_dates("quotes") == DAYS[:1]


@pytest.mark.parametrize(
    "damage",
    [damages.entry_emptied, damages.entry_garbled, damages.entry_of_no_action, damages.entry_missing],
    ids=lambda d: d.__name__,
)
def test_a_damaged_entry_below_a_checkpoint_is_a_warning_and_costs_nothing(home: Path, damage: Damage) -> None:
    """Only a copy of it says which files belong to past versions, so all files and all records stay."""
    damages.summed_up(home, 3)
    damage(home)
    found = {c.name: c for c in examined(home)}
    assert found["lake.quotes.log"].state == "warning"
    assert "lake/quotes/_delta_log from a copy" in (found["lake.past"].advice or "")
    before = fingerprint(home)
    (deed,) = mend(home)
    assert not deed.done
    assert "restore lake/quotes/_delta_log from a copy" in deed.words
    assert fingerprint(home) == before
    assert Lake(home / "lake").read("quotes").num_rows == len(DAYS) * damages.ROWS


def test_upkeep_removes_nothing_by_a_log_with_an_emptied_entry(home: Path) -> None:
    damages.summed_up(home, 3)
    damages.entry_emptied(home)
    files = set((home / "lake" / "quotes").rglob("*.parquet"))
    with pytest.raises(StoreError, match=r"00002\.json is empty, so nothing of its table is removed"):
        maintain(Lake(home / "lake"), now=datetime.now(UTC) + timedelta(days=400))
    assert files <= set((home / "lake" / "quotes").rglob("*.parquet"))


def test_the_journal_of_a_stage_at_work_is_left_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damages.journal_garbled(home)
    monkeypatch.setattr("kalshi_assets.doctor.repair._PATIENCE_S", 0.0)
    journal = home / "ingest" / "downloads.sqlite"
    with transaction(Lake(home / "lake"), "at work"):
        with pytest.raises(HomeInUse):
            mend(home)
        assert journal.exists()
    (deed,) = mend(home)
    assert deed.done
    assert not journal.exists()


def test_what_a_run_does_not_bring_back_is_said(home: Path) -> None:
    damages.file_removed(home)
    found = {c.name: c for c in examined(home)}
    deed = mend(home)[0]
    for words in (found["lake.quotes"].advice or "", deed.words):
        assert "what the exchange says now, dated as first seen" in words
        assert "no longer serves (books, deleted contracts) are gone" in words
    assert "from a copy is better" in deed.words


# What runs write whole, but out of what these tables themselves hold or what was decided once.
HELD = {"contracts", "events", "predictions"}


def test_what_a_run_writes_whole_is_filled_again_or_named_here(
    ka_filled, archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KALSHI_ASSETS_HOME", "DAGSTER_HOME", "DAGSTER_EVENT_BATCH_SIZE", "DAGSTER_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")  # A run sets some of them: none is left behind.
        monkeypatch.delenv(name)
    written: set[str] = set()
    replace = Lake.replace

    def noted(lake: Lake, name: str, *args: Any, **more: Any) -> Commit:
        written.add(name)
        return replace(lake, name, *args, **more)

    monkeypatch.setattr(Lake, "replace", noted)
    settings = Settings.from_environment({}, home=ka_filled.home, source=f"archive:{archive}")
    day = Lake(settings.lake).event_dates("quotes")[-1]
    assert run_backfill(settings, dates=(day, day), progress=RunProgress(())).exit_code == 0
    assert written == TABLES_FILLED | HELD
    added = {table for tables in OUTPUTS.values() for table in tables} - written
    assert added == {"verdicts"}


def test_entries_that_another_engine_removed_are_not_missed(home: Path) -> None:
    damages.checkpoint_without_entries(home)
    assert "lake.quotes.log" not in {c.name for c in troubles(examined(home))}


def test_content_is_read_only_where_it_is_wanted(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damages.page_flipped(home)
    shallow = {c.name: c for c in examined(home, deep=False)}
    assert shallow["lake.content"].state == shallow["lake.evidence"].state == "skipped"
    assert "lake.quotes.content" not in shallow
    monkeypatch.setattr("kalshi_assets.doctor.content_checks.READ_BY_DEFAULT_BYTES", 10)
    unasked = {c.name: c for c in examined(home)}
    assert unasked["lake.content"].state == "skipped"
    assert "--deep" in (unasked["lake.content"].advice or "")
    assert "lake.quotes.content" in {c.name for c in examined(home, deep=True)}


def test_progress_ends_at_the_whole(home: Path) -> None:
    told: list[tuple[int, int]] = []
    examine_lake(Lake(home / "lake"), deep=True, progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] > 0
    assert told == sorted(told)


def test_the_content_of_an_absent_home_is_not_made(tmp_path: Path) -> None:
    assert mend(tmp_path / "home") == []
    assert not (tmp_path / "home").exists()


def test_a_repaired_home_holds_after_a_plain_run_what_it_held_before(ka_filled, archive) -> None:
    lake = Lake(ka_filled.home / "lake")
    tables = (
        "quotes", "distributions", "distribution_rungs", "feature_panel", "labels", "gate_evidence",
        "trade_distributions", "forecast_errors", "forecast_scores",
    )  # fmt: skip
    before = {name: lake.content_hash(name) for name in tables}
    source = ("--source", f"archive:{archive}")
    flipped = max((ka_filled.home / "lake" / "quotes").rglob("*.parquet"), key=lambda p: p.stat().st_size)
    dated = next(part for part in flipped.parts if part.startswith("event_date="))
    lost = min((ka_filled.home / "lake" / "distributions" / dated).rglob("*.parquet"))
    lost.unlink()
    # Beside what the gates look at; the scores of a series lie under its last date.
    others = [
        min((ka_filled.home / "lake" / name).rglob(f"{under}/**/*.parquet"))
        for name, under in (("trade_distributions", dated), ("forecast_errors", dated), ("forecast_scores", "."))
    ]
    for path in others:
        path.unlink()
    data = bytearray(flipped.read_bytes())
    data[len(data) // 2] ^= 4
    flipped.write_bytes(data)
    found = {c.name: c.found for c in troubles(examine_lake(lake, deep=None, progress=lambda done, total: None))}
    assert lost.name in found["lake.distributions"]
    assert flipped.name in found["lake.quotes.content"]
    done = ka_filled("doctor", "--offline", "--shallow", *source)
    assert done.returncode == 1
    assert lost.name in "".join(done.stdout.split())
    done = ka_filled("doctor", "--repair", "--offline", *source)
    assert done.returncode == 0, done.stdout
    assert {line.partition(":")[0] for line in done.stderr.strip().splitlines()} == {"mended"}
    assert f"{lost.name} is not there: taken out of distributions" in done.stderr
    assert all(path.name in done.stderr for path in others)
    day = dated.partition("=")[2]
    assert ka_filled("run", "--dates", f"{day}:{day}", *source).returncode == 0
    assert {name: Lake(lake.root).content_hash(name) for name in tables} == before
    checks = examine_lake(Lake(lake.root), deep=True, progress=lambda done, total: None)
    assert {c.name for c in troubles(checks)} <= {"lake.past"}, troubles(checks)
