"""Rows that break a law of their table are refused at every door, and nothing of them is committed."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.row_checks import InOrder, InRange, RowCheck
from kalshi_assets.core.tables import TABLES, TableSpec
from kalshi_assets.errors import StoreError
from kalshi_assets.store import conform
from kalshi_assets.store.conform import stored_schema
from kalshi_assets.store.inspection import file_faults
from kalshi_assets.store.lake import Lake, Scope
from kalshi_assets.store.registry import record_trials
from kalshi_assets_tests.store.rows import at, day, lawful_row, quote, table, trial

CHECKED = [spec for spec in TABLES.values() if spec.checks]
Row = dict[str, Any]


def key_of(check: RowCheck) -> str:
    return check.column if isinstance(check, InRange) else check.first


def next_above(value: Any) -> Any:
    """A value just above another one of the same column."""
    if isinstance(value, Decimal):
        return value + Decimal("0.01")
    return value + 0.5 if isinstance(value, float) else value + (at(1) - at(0))


def outside(spec: TableSpec, check: InRange) -> list[Any]:
    """Values that a column's type holds and its check does not allow, the nearest and the farthest."""
    kind = spec.schema.field(check.column).type
    if pa.types.is_list(kind):
        kind = kind.value_type
    if pa.types.is_decimal(kind):
        unit, largest = Decimal(1).scaleb(-kind.scale), Decimal(10**kind.precision - 1).scaleb(-kind.scale)
        return [-unit, -largest, *([] if check.high is None else [check.high + unit, largest])]
    if pa.types.is_integer(kind):
        return [-1, -(2**63)]
    finite = [
        math.nextafter(end, way) for end, way in ((check.low, -math.inf), (check.high, math.inf)) if end is not None
    ]
    return [math.nan, -math.nan, math.inf, -math.inf, *(value for value in finite if math.isfinite(value))]


def broken(spec: TableSpec, check: RowCheck, value: Any = None) -> Row:
    """A row that keeps every check before this one in the table's list, and breaks it."""
    row = lawful_row(spec)
    if isinstance(check, InOrder):
        return row | {check.first: row[check.then] if check.strict else next_above(row[check.then])}
    listed = pa.types.is_list(spec.schema.field(check.column).type)
    return row | {check.column: [*row[check.column], value] if listed else value}


def cases(spec: TableSpec, check: RowCheck) -> list[Row]:
    """Rows that break a check, of every kind that there is."""
    values = outside(spec, check) if isinstance(check, InRange) else [None]
    return [broken(spec, check, value) for value in values]


def put(lake: Lake, spec: TableSpec, rows: list[Row]) -> None:
    if spec.partition_by:
        lake.replace(spec.name, table(spec.name, rows), scope=Scope([day(0)]), run_id="r")
    lake.upsert(spec.name, table(spec.name, rows), run_id="r")


def stamped(spec: TableSpec, rows: list[Row]) -> pa.Table:
    """Rows as another engine would write them."""
    bookkeeping = {"run_id": "other", "recorded_at": at(0)}
    return pa.Table.from_pylist([row | bookkeeping for row in rows], schema=stored_schema(spec))


def refused_outside(lake: Lake, spec: TableSpec, row: Row, mode: Any = "append") -> None:
    with pytest.raises(DeltaError, match="Invalid data found"):
        write_deltalake(lake.tables.address(spec.name), stamped(spec, [row]), mode=mode)


def state(root: Path) -> set[tuple[str, int]]:
    """Every data file and log entry."""
    return {(str(p), p.stat().st_size) for p in root.rglob("*") if p.is_file()}


@pytest.mark.parametrize("spec", CHECKED, ids=lambda spec: spec.name)
def test_our_writer_refuses_what_breaks_a_check_and_names_it(spec: TableSpec, tmp_path: Path) -> None:
    lake, good = Lake(tmp_path), lawful_row(spec)
    put(lake, spec, [good])
    before = state(tmp_path)
    for check in spec.checks:
        *others, row = cases(spec, check)
        assert all(check.first_breach(table(spec.name, [good, other])) == 1 for other in others)
        with pytest.raises(StoreError) as refused:
            lake.upsert(spec.name, table(spec.name, [row]), run_id="r")
        said = str(refused.value)
        assert f"Row 0 for table {spec.name}, key (" in said
        assert f"breaks the check {check.name}: {key_of(check)} must" in said
        assert f"{spec.key[0]}={row[spec.key[0]]}" in said
    assert state(tmp_path) == before
    # What a check needs may be missing.
    optional = {f.name for f in spec.schema if f.nullable}
    put(lake, spec, [{c: None if c in optional else v for c, v in good.items()}])


@pytest.mark.parametrize("spec", CHECKED, ids=lambda spec: spec.name)
def test_other_writers_are_refused_by_the_tables_own_constraints(spec: TableSpec, tmp_path: Path) -> None:
    lake, good = Lake(tmp_path), lawful_row(spec)
    put(lake, spec, [good])
    before = DeltaTable(lake.tables.address(spec.name)).version()
    of_a_kind = {
        (spec.schema.field(c).type, repr(row[c])): row
        for check in spec.checks
        for c in [key_of(check)]
        for row in cases(spec, check)
    }
    for row in of_a_kind.values():
        refused_outside(lake, spec, row)
    assert DeltaTable(lake.tables.address(spec.name)).version() == before
    # Every condition can be understood, and is kept by a row without values as by one with them.
    optional = {f.name for f in spec.schema if f.nullable}
    bare = {c: None if c in optional else v for c, v in good.items()}
    write_deltalake(lake.tables.address(spec.name), stamped(spec, [bare, good]), mode="append")
    assert DeltaTable(lake.tables.address(spec.name)).version() == before + 1


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with a lawful row in every table."""
    lake = Lake(tmp_path_factory.mktemp("checks") / "lake")
    for spec in CHECKED:
        put(lake, spec, [lawful_row(spec)])
    return lake


@st.composite
def breaches(draw: st.DrawFn) -> tuple[TableSpec, RowCheck, Row]:
    """Some table, some check of it, and a row that breaks it by a random amount."""
    spec = draw(st.sampled_from(CHECKED))
    check = draw(st.sampled_from(spec.checks))
    if isinstance(check, InOrder):
        return spec, check, broken(spec, check)
    near = outside(spec, check)
    kind = spec.schema.field(check.column).type
    kind = kind.value_type if pa.types.is_list(kind) else kind
    if pa.types.is_decimal(kind):
        sides = [st.decimals(near[1], near[0], places=kind.scale)]
        sides += [st.decimals(near[2], near[3], places=kind.scale)] if check.high is not None else []
    elif pa.types.is_integer(kind):
        sides = [st.integers(-(2**63), -1)]
    else:
        sides = [st.sampled_from(near), st.floats(max_value=check.low, exclude_max=True)]
        sides += [] if check.high is None else [st.floats(min_value=check.high, exclude_min=True)]
    return spec, check, broken(spec, check, draw(st.one_of(sides)))


@settings(max_examples=60, deadline=None)
@given(breach=breaches(), place=st.integers(0, 4), door=st.sampled_from(["replace", "upsert", "append", "outside"]))
def test_whatever_lies_outside_is_refused_and_nothing_is_committed(
    full: Lake, breach: tuple[TableSpec, RowCheck, Row], place: int, door: str
) -> None:
    spec, check, bad = breach
    # Rows differ in the beginning of their keys, which no check looks at.
    lead = spec.key[0]
    names = [f"n{n}" if spec.schema.field(lead).type == pa.string() else day(n) for n in range(5)]
    rows = [(bad if n == place else lawful_row(spec)) | {lead: name} for n, name in enumerate(names)]
    before = full.version(spec.name), full.read(spec.name, history=True, bookkeeping=True)
    if door == "outside":
        with pytest.raises(DeltaError, match="Invalid data found"):
            write_deltalake(full.tables.address(spec.name), stamped(spec, rows), mode="append")
    else:
        given = table(spec.name, rows)
        write: Any = full.append if door == "append" else full.upsert
        if door == "replace" and spec.partition_by:
            write = partial(full.replace, scope=Scope([day(0)]))
        with pytest.raises(
            StoreError, match=rf"Row {place} .*\({lead}={names[place]}.* breaks the check {check.name}:"
        ):
            write(spec.name, given, run_id="r")
    assert (full.version(spec.name), full.read(spec.name, history=True, bookkeeping=True)) == before


LATER, HALF = {"ts": at(1), "known_at": at(0)}, Decimal("0.5")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("quotes", {"yes_bid_close_usd": Decimal("7.5")}),
        ("quotes", {"yes_ask_open_usd": Decimal("-3")}),
        ("quotes", {"yes_bid_close_usd": HALF, "yes_ask_close_usd": Decimal("0.4")}),
        ("quotes", {"price_low_usd": HALF, "price_high_usd": Decimal("0.4")}),
        ("quotes", {"open_interest_contracts": Decimal("-0.01")}),
        ("contracts", {"settlement_value_usd": Decimal("1.000001")}),
        ("contracts", {"notional_value_usd": Decimal("-1")}),
        ("labels", {"first_print": math.inf}),
        ("labels", {"settled_lo": 3.2, "settled_hi": 3.1}),
        ("macro_observations", {"value": math.nan}),
        ("event_market_map", {"effective_to": at(0)}),
        ("distributions", {"probability": [0.5, 1.5]}),
        ("distributions", {"support": [0.1, math.inf]}),
        ("distributions", {"tail_p_1": 1.1}),
        ("trade_distributions", {"q05": 3.0, "q10": 2.0, "q25": 4.0, "q50": 4.0, "q75": 4.0, "q90": 4.0, "q95": 4.0}),
        ("trade_distributions", {"mean_low": 2.0, "mean_high": 1.0}),
        ("distribution_rungs", {"yes_bid_prob": -0.01}),
        ("distribution_rungs", {"band_low_prob": 0.4, "band_high_prob": 0.3}),
        ("distribution_rungs", {"age_s": -1.0}),
        ("forecast_scores", {"consensus_dm_crps_p": 1.2}),
        ("fomc_probabilities", {"probability": 1.2}),
        ("option_surfaces", {"iv_30": -0.1}),
        ("asset_bars", {"volume": -1.0}),
        ("asset_responses", {"entry_time": at(2), "exit_time": at(1)}),
        ("coverage", {"received": -1}),
        *(
            (name, LATER)
            for name in ("asset_prices", "asset_bars", "option_surfaces", "fed_funds_futures", "consensus")
        ),
        *((name, LATER) for name in ("fomc_probabilities", "quotes", "trades", "orderbooks", "distributions")),
        *((name, LATER) for name in ("trade_distributions", "distribution_rungs", "feature_panel")),
    ],
)
def test_the_laws_by_example(name: str, changes: Row) -> None:
    with pytest.raises(StoreError, match="breaks the check"):
        conform.conform(TABLES[name], table(name, [lawful_row(TABLES[name]) | changes]))


# Doors that are not in the list above


def test_the_ledgers_and_the_registry_refuse_too(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with pytest.raises(StoreError, match=r"trials.*n_train must be at least 0 and is -1"):
        record_trials(lake, table("trials", [trial(1, day(0), n_train=-1)]), "r")
    assert lake.versions() == {}


def test_an_update_and_an_overwrite_of_others_are_refused_too(tmp_path: Path) -> None:
    lake, spec = Lake(tmp_path), TABLES["quotes"]
    put(lake, spec, [quote(day(0), 1)])
    delta = DeltaTable(lake.tables.address("quotes"))
    with pytest.raises(DeltaError, match="Invalid data found"):
        delta.update({"yes_bid_close_usd": "cast(7.5 as decimal(7, 6))"})
    refused_outside(lake, spec, quote(day(0), 1, bid="-3"), mode="overwrite")
    assert lake.read("quotes").equals(table("quotes", [quote(day(0), 1)]))


def test_one_bad_row_in_many_is_found_in_whichever_piece_it_lies(tmp_path: Path) -> None:
    n = conform._MANY_ROWS
    one = table("quotes", [quote(day(0), 1)])
    bad = table("quotes", [quote(day(0), 7, volume_contracts=Decimal("-0.01"))])
    rows = pa.concat_tables([one.take(pa.array([0] * n)), bad, one])
    with pytest.raises(StoreError, match=rf"Row {n} .*12:07:00.*volume_contracts must be at least 0 and is -0.01;"):
        Lake(tmp_path).upsert("quotes", rows, run_id="r")


# What is stored already


def test_stored_rows_that_break_a_check_are_named_and_stop_no_writer(tmp_path: Path) -> None:
    lake, spec = Lake(tmp_path), TABLES["quotes"]
    with pytest.MonkeyPatch.context() as before_checks:
        before_checks.setitem(TABLES, "quotes", replace(spec, checks=()))
        put(lake, TABLES["quotes"], [quote(day(0), 1, bid="7.5"), quote(day(0), 2)])
    (fault,) = file_faults(lake, "quotes")
    assert "holds a row that breaks the check yes_bid_close_usd_in_range, (ticker=KXCPIYOY-24FEB01-T2.5" in fault.words
    assert fault.words.endswith("yes_bid_close_usd must lie between 0 and 1 and is 7.500000")
    lake.upsert("quotes", table("quotes", [quote(day(0), 3)]), run_id="r")
    lake.upsert("quotes", table("quotes", [quote(day(0), 1)]), run_id="r")
    assert file_faults(lake, "quotes") == []
    assert lake.read("quotes").num_rows == 3
