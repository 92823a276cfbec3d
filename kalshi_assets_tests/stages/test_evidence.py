"""What counts as evidence: passed, for exactly the rows that are in the lake, under the present rules."""

import pytest

from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.errors import GateError
from kalshi_assets.stages.evidence import (
    GATES,
    OUTPUTS,
    READS,
    STAGES,
    data_hashes,
    record_evidence,
    require_evidence,
)
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
