"""What counts as evidence: passed, for exactly the rows that are in the lake, under the present rules."""

import shutil
from pathlib import Path

import pytest

import kalshi_assets
from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.errors import GateError
from kalshi_assets.stages.evidence import (
    GATES,
    OUTPUTS,
    READS,
    RULES_VERSION,
    STAGES,
    data_hashes,
    record_evidence,
    require_evidence,
)
from kalshi_assets.stages.sources_hash import hash_of_sources, sources_hash
from kalshi_assets.store.lake import Lake
from kalshi_assets_tests.stages.catalog_seed import DAY, LATER, fill_catalog, vouch, write


@pytest.fixture
def lake(tmp_path):
    made = Lake(tmp_path / "lake")
    fill_catalog(made)
    return made


def refusal(lake, *days):
    with pytest.raises(GateError) as caught:
        require_evidence(lake, "contracts", days or (DAY,))
    return str(caught.value)


def test_a_stage_reads_only_stages_before_it_and_every_one_has_a_gate():
    assert set(GATES) == set(OUTPUTS) == set(READS) == set(STAGES)
    for position, stage in enumerate(STAGES):
        assert set(READS[stage]) <= set(STAGES[:position])
        assert GATES[stage]


def test_current_passed_evidence_opens_the_gate(lake):
    vouch(lake)
    vouched = require_evidence(lake, "contracts", [DAY])
    assert list(vouched) == ["market_catalog"]
    assert require_evidence(lake, "contracts", [DAY]) == vouched


def test_the_first_stage_needs_none(tmp_path):
    assert require_evidence(Lake(tmp_path / "empty"), "market_catalog", [DAY]) == {}


def test_missing_evidence_names_stage_gate_and_date(lake):
    assert refusal(lake) == (
        "contracts will not read market_catalog for 2024-07-11: the evidence of its gate schema_and_keys is missing. "
        "Materialise market_catalog for 2024-07-11 again."
    )


def test_failed_evidence_is_a_failure(lake):
    vouch(lake, failed="catalog_complete")
    assert "its gate catalog_complete failed" in refusal(lake)


def test_a_failure_that_was_mended_counts_no_more(lake):
    vouch(lake, failed="catalog_complete")
    vouch(lake)
    require_evidence(lake, "contracts", [DAY])


def test_a_pass_that_was_withdrawn_counts_no_more(lake):
    vouch(lake)
    vouch(lake, failed="schema_and_keys")
    assert "schema_and_keys failed" in refusal(lake)


def test_data_changed_after_the_check_makes_it_stale(lake):
    vouch(lake)
    before = require_evidence(lake, "contracts", [DAY])
    fill_catalog(lake, ["3.2"])
    assert "is stale" in refusal(lake)
    vouch(lake)
    assert require_evidence(lake, "contracts", [DAY]) != before


def test_data_put_back_as_it_was_is_vouched_for_again(lake, tmp_path):
    twin = Lake(tmp_path / "twin")
    fill_catalog(twin)
    assert data_hashes(twin, "market_catalog", [DAY]) == data_hashes(lake, "market_catalog", [DAY])


def test_every_date_needs_its_own(lake):
    fill_catalog(lake, day=LATER)
    vouch(lake)
    require_evidence(lake, "contracts", [DAY])
    said = refusal(lake, DAY, LATER)
    assert "for 2024-08-14" in said
    assert "is missing" in said
    vouch(lake, "market_catalog", DAY, LATER)
    require_evidence(lake, "contracts", [DAY, LATER])


def test_another_dates_rows_do_not_make_evidence_stale(lake):
    vouch(lake)
    fill_catalog(lake, day=LATER)
    require_evidence(lake, "contracts", [DAY])


def test_every_stage_that_is_read_needs_its_own(lake):
    vouch(lake)
    with pytest.raises(GateError, match=r"distributions will not read contracts for 2024-07-11.*is missing"):
        require_evidence(lake, "distributions", [DAY])


def test_older_rules_are_no_evidence(lake, monkeypatch):
    vouch(lake)
    monkeypatch.setattr("kalshi_assets.stages.evidence.RULES_VERSION", "another")
    assert "is missing" in refusal(lake)
    vouch(lake)
    require_evidence(lake, "contracts", [DAY])


def test_a_gate_that_says_nothing_is_a_failure(lake):
    hashes = data_hashes(lake, "market_catalog", [DAY])
    silent = [GateResult("schema_and_keys", DAY, True, 1, "checked")]
    with pytest.raises(GateError, match="catalog_complete of market_catalog reported nothing for 2024-07-11"):
        record_evidence(lake, "market_catalog", silent, run_id="r", hashes=hashes)
    assert lake.version("gate_evidence") is None


def test_evidence_that_lies_about_another_table_is_not_enough(lake):
    """The hash covers every table of a stage: an event that changes alone makes the evidence stale as well."""
    vouch(lake)
    (row,) = lake.read("events", event_dates=[DAY]).to_pylist()
    write(lake, "events", [{**row, "title": "Another title"}])
    assert "is stale" in refusal(lake)


def test_evidence_that_stands_is_not_written_again(lake):
    vouch(lake)
    version = lake.version("gate_evidence")
    vouch(lake, detail="other rows were drawn, and they say the same")
    assert lake.version("gate_evidence") == version
    vouch(lake, failed="schema_and_keys")
    assert lake.version("gate_evidence") > version


def test_evidence_names_the_code_that_vouched_and_the_rules(lake, monkeypatch):
    vouch(lake)
    rows = lake.read("gate_evidence").to_pylist()
    assert {(r["code_version"], r["rules_version"]) for r in rows} == {(sources_hash(), RULES_VERSION)}
    monkeypatch.setattr("kalshi_assets.stages.evidence.sources_hash", lambda: "other")
    vouch(lake)
    assert {r["code_version"] for r in lake.read("gate_evidence").to_pylist()} == {sources_hash()}
    vouch(lake, failed="catalog_complete")
    named = {r["check_name"]: r["code_version"] for r in lake.read("gate_evidence").to_pylist()}
    assert named == {"schema_and_keys": sources_hash(), "catalog_complete": "other"}


def test_the_hash_of_the_sources_is_of_what_they_say_and_what_they_are_called(tmp_path):
    package = tmp_path / "package"
    shutil.copytree(Path(kalshi_assets.__file__).parent / "stages", package, ignore=shutil.ignore_patterns("*.pyc"))
    said = [hash_of_sources(package)]
    (package / "notes.txt").write_text("no code")
    assert hash_of_sources(package) == said[0]
    source = package / "evidence.py"
    source.write_text(source.read_text("utf-8") + "# one more line\n", "utf-8")
    said.append(hash_of_sources(package))
    source.rename(package / "other.py")
    said.append(hash_of_sources(package))
    assert len(set(said)) == 3
    assert len(sources_hash()) == 16
