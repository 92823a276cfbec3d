"""Every planted damage is found, and named; what can be mended is, and the rest is refused and left as it was."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kalshi_assets.doctor.check import Check, exit_code, guarded
from kalshi_assets.doctor.journal_checks import check_journal
from kalshi_assets.doctor.lake_examination import LAKE_CHECKS, examine_lake
from kalshi_assets.doctor.repair import repair
from kalshi_assets.doctor.run_storage_checks import check_run_storage
from kalshi_assets.errors import StoreError
from kalshi_assets.settings import Settings
from kalshi_assets.store.lake import Lake
from kalshi_assets.store.repairing import Deed
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


def test_an_emptied_entry_below_a_checkpoint_is_a_warning(home: Path) -> None:
    damages.summed_up(home, 3)
    damages.entry_emptied(home)
    found = {c.name: c for c in examined(home)}
    assert found["lake.quotes.log"].state == "warning"
    assert Lake(home / "lake").event_dates("quotes") == DAYS


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
    tables = ("quotes", "distributions", "distribution_rungs", "feature_panel", "labels", "gate_evidence")
    before = {name: lake.content_hash(name) for name in tables}
    source = ("--source", f"archive:{archive}")
    flipped = max((ka_filled.home / "lake" / "quotes").rglob("*.parquet"), key=lambda p: p.stat().st_size)
    dated = next(part for part in flipped.parts if part.startswith("event_date="))
    lost = min((ka_filled.home / "lake" / "distributions" / dated).rglob("*.parquet"))
    lost.unlink()
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
    day = dated.partition("=")[2]
    assert ka_filled("run", "--dates", f"{day}:{day}", *source).returncode == 0
    assert {name: Lake(lake.root).content_hash(name) for name in tables} == before
    checks = examine_lake(Lake(lake.root), deep=True, progress=lambda done, total: None)
    assert {c.name for c in troubles(checks)} <= {"lake.past"}, troubles(checks)
