from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.label_sets import FirstPrintLabels, RevisedLabels, first_print_labels, revised_labels
from kalshi_assets.core.labels import label_table
from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import DomainError
from kalshi_assets_tests.core.event_rows import (
    RELEASE,
    contract_row,
    event_row,
    print_row,
    snapshot_row,
    spec_row,
    table,
)
from kalshi_assets_tests.core.plain_labels import label_rows

Rows = list[dict[str, Any]]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def labels(
    macro: Rows | None = None,
    events: Rows | None = None,
    contracts: Rows | None = None,
    snapshots: Rows | None = None,
    specs: Rows | None = None,
) -> pa.Table:
    return label_table(
        table("events", events if events is not None else [event_row()]), table("macro_observations", macro or []),
        table("contracts", contracts or []), table("distributions", snapshots or []),
        table("contract_specs", specs or []),
    )  # fmt: skip


def rows(*args: Any, **more: Any) -> Rows:
    return list(labels(*args, **more).to_pylist())


def test_first_print_and_revision_are_two_numbers() -> None:
    macro = [print_row(3.3, RELEASE + 30 * DAY), print_row(3.2, RELEASE), print_row(3.4, RELEASE + 60 * DAY)]
    got = labels(macro)
    assert got.schema.equals(TABLES["labels"].schema)
    first, second, third = got.to_pylist()
    assert (first["first_print"], first["revised"], first["known_at"]) == (3.2, None, RELEASE)
    assert (second["first_print"], second["revised"], second["known_at"]) == (3.2, 3.3, RELEASE + 30 * DAY)
    assert (third["revised"], third["revised_learned_at"]) == (3.4, RELEASE + 60 * DAY)
    assert third["revised_vintage"] == (RELEASE + 60 * DAY).date()
    assert {r["first_print_learned_at"] for r in (first, second, third)} == {RELEASE}
    assert first["first_print_source"] == "CPIAUCNS:pc1"
    assert first["ts"] == RELEASE
    assert first["unlabelled_reason"] is None


def test_values_are_rounded_as_published() -> None:
    first, second = rows([print_row(3.25, RELEASE, source="BLS"), print_row(2.949, RELEASE + DAY)])
    assert (first["first_print"], second["revised"], first["first_print_source"]) == (3.3, 2.9, "BLS")
    jobs = [print_row(206_499.0, RELEASE, series="PAYEMS", units="chg")]
    assert rows(jobs, [event_row("KXPAYROLLS-24JUN")])[0]["first_print"] == 206_000.0
    negative = [print_row(-0.05, RELEASE, series="CPIAUCSL", units="pch")]
    assert rows(negative, [event_row("KXCPI-24JUN")])[0]["first_print"] == -0.1


@pytest.mark.parametrize("early", [timedelta(seconds=1), timedelta(minutes=5) - timedelta(microseconds=1)])
def test_a_print_a_moment_before_the_nominal_release_counts(early: timedelta) -> None:
    got = rows([print_row(3.2, RELEASE - early)])
    assert (got[0]["first_print"], got[0]["first_print_learned_at"]) == (3.2, RELEASE - early)


def test_a_vintage_long_before_the_release_is_no_print_and_its_successor_no_first_print() -> None:
    previous = print_row(3.0, RELEASE - 30 * DAY, date(2024, 5, 1))
    revision_of_previous = print_row(3.1, RELEASE, date(2024, 5, 1))
    assert rows([previous, revision_of_previous, print_row(3.2, RELEASE)])[0]["first_print"] == 3.2
    # What is known five minutes before is in the last snapshot already.
    too_early = print_row(3.2, RELEASE - timedelta(minutes=5))
    (only,) = rows([too_early, print_row(3.3, RELEASE + 30 * DAY)])
    assert (only["first_print"], only["unlabelled_reason"]) == (None, "print_precedes_release")


def test_an_unpublished_release() -> None:
    may, july = (print_row(3.0, RELEASE + n * 30 * DAY, date(2024, 6 + n, 1)) for n in (-1, 1))
    (waiting,) = rows([may])
    assert (waiting["unlabelled_reason"], waiting["known_at"]) == ("not_yet_published", RELEASE)
    (skipped,) = rows([may, july])
    assert (skipped["unlabelled_reason"], skipped["known_at"]) == ("not_published", july["known_at"])
    (unrecorded,) = rows([july])
    assert unrecorded["unlabelled_reason"] == "not_recorded"
    (no_period,) = rows([may], [event_row(period=None)])
    assert no_period["unlabelled_reason"] == "no_reference_period"
    assert waiting["first_print"] is None


def test_a_print_that_came_two_weeks_late() -> None:
    (only,) = rows([print_row(3.2, RELEASE + 14 * DAY)])
    assert (only["first_print"], only["known_at"]) == (3.2, RELEASE + 14 * DAY)


def test_the_newest_release_time_of_an_event_that_moved() -> None:
    moved = event_row(release=RELEASE + 14 * DAY, known_at=RELEASE - DAY)
    (only,) = rows([print_row(3.2, RELEASE + 14 * DAY)], [moved, event_row()])
    assert only["release_time"] == RELEASE + 14 * DAY
    assert only["event_date"] == date(2024, 7, 25)


LADDER = [spec_row("T2.9", 30, None), spec_row("T3.0", 31, None), spec_row("T3.1", 32, None)]


def test_settlement_interval_of_a_threshold_ladder() -> None:
    contracts = [
        contract_row("T2.9", "yes"), contract_row("T3.0", "yes", expiration_value="3.1"), contract_row("T3.1", "no")
    ]  # fmt: skip
    first, settled = rows([print_row(3.1, RELEASE)], contracts=contracts, specs=LADDER)
    assert (first["settled_lo"], first["settled_hi"], first["settlement_learned_at"]) == (None, None, None)
    assert (settled["settled_lo"], settled["settled_hi"]) == (3.1, 3.1)
    assert settled["settlement_learned_at"] == settled["known_at"] == RELEASE + 2 * HOUR
    assert settled["settlement_value"] == "3.1"
    assert settled["first_print"] == 3.1


@pytest.mark.parametrize(
    ("outcomes", "interval"),
    [
        (("yes", "no", "no"), (3.0, 3.0)),
        (("yes", "yes", "yes"), (3.2, None)),
        (("no", "no", "no"), (None, 2.9)),
        (("scalar", None, ""), (None, None)),
        (("no", "no", "yes"), (None, None)),
    ],
)
def test_settlement_intervals(outcomes: tuple[str, ...], interval: tuple[float | None, ...]) -> None:
    contracts = [contract_row(s, o) for s, o in zip(("T2.9", "T3.0", "T3.1"), outcomes, strict=True)]
    last = rows([print_row(3.0, RELEASE)], contracts=contracts, specs=LADDER)[-1]
    assert (last["settled_lo"], last["settled_hi"]) == interval


def test_between_contracts_that_lost_narrow_from_the_ends_only() -> None:
    specs = [spec_row("LOW", None, 69, 1.0), spec_row("B70", 70, 71, 1.0), spec_row("B72", 72, 73, 1.0)]
    specs += [spec_row("B74", 74, 75, 1.0), spec_row("HIGH", 76, None, 1.0)]
    kwargs: dict[str, Any] = {"event": "KXHIGHNY-24JUL11"}
    specs = [spec_row(s["ticker"].split("-", 2)[2], s["lo_index"], s["hi_index"], 1.0, **kwargs) for s in (
        r | {"ticker": "KXCPIYOY-24JUN-" + r["ticker"].rsplit("-", 1)[1]} for r in specs)]  # fmt: skip
    event = event_row("KXHIGHNY-24JUL11", period=None)

    def interval(**results: str) -> tuple[Any, Any]:
        contracts = [contract_row(k, v, **kwargs) for k, v in results.items()]
        got = rows(events=[event], contracts=contracts, specs=specs)[-1]
        assert got["first_print"] is None
        return got["settled_lo"], got["settled_hi"]

    assert interval(B72="yes") == (72.0, 73.0)
    assert interval(LOW="no", HIGH="no") == (70.0, 75.0)
    assert interval(LOW="no", HIGH="no", B70="no", B74="no") == (72.0, 73.0)
    assert interval(LOW="no", HIGH="no", B72="no") == (70.0, 75.0), "a hole in the middle is no interval"


def test_a_series_without_a_statistic_is_labelled_by_its_settlement() -> None:
    event = event_row("KXFED-24JUL", period=None)
    specs = [spec_row("T5", 21, None, 0.25, event="KXFED-24JUL")]
    contract = contract_row("T5", "yes", event="KXFED-24JUL", close_time=RELEASE + HOUR)
    (settled,) = rows(events=[event], contracts=[contract], specs=specs)
    assert (settled["settled_lo"], settled["known_at"]) == (5.25, RELEASE + 2 * HOUR)
    assert settled["unlabelled_reason"] is settled["first_print_source"] is None
    (untimed,) = rows(events=[event], contracts=[contract | {"settlement_time": None}], specs=specs)
    assert (untimed["known_at"], untimed["settlement_learned_at"]) == (RELEASE + HOUR, None)
    (early,) = rows(
        events=[event], contracts=[contract | {"settlement_time": None, "close_time": RELEASE - HOUR}], specs=specs
    )
    assert early["known_at"] == RELEASE, "an outcome is not known before its release"
    (open_event,) = rows(events=[event], contracts=[contract | {"result": ""}], specs=specs)
    assert (open_event["unlabelled_reason"], open_event["known_at"]) == ("no_statistic", RELEASE)


def test_two_ticks_in_one_event_are_refused() -> None:
    contracts = [contract_row("T2.9", "yes"), contract_row("T3.0", "no")]
    with pytest.raises(DomainError, match=r"KXCPIYOY-24JUN are on lattices of step 0.1 and 0.25"):
        rows(contracts=contracts, specs=[LADDER[0], spec_row("T3.0", 12, None, 0.25)])


def test_surprise_against_the_last_ungated_snapshot_before_the_release() -> None:
    snapshots = [
        snapshot_row("1d", mean=3.0, median=3.05, std=0.1),
        snapshot_row("1h", mean=3.1, median=3.15, std=0.05),
        snapshot_row("15min", mean=None, hard_gate_failed=True),
        snapshot_row("5min", mean=9.9, hard_gate_failed=True),
        snapshot_row("daily", as_of=RELEASE, mean=3.2, std=0.01),
        snapshot_row("1h", "KXU3-24JUN", mean=4.0),
    ]
    (got,) = rows([print_row(3.2, RELEASE)], snapshots=snapshots)
    assert (got["implied_mean"], got["implied_median"], got["implied_std"]) == (3.1, 3.15, 0.05)
    assert got["surprise_mean"] == pytest.approx(0.1)
    assert got["surprise_median"] == pytest.approx(0.05)
    assert got["surprise_std"] == pytest.approx(2.0)
    (certain,) = rows([print_row(3.2, RELEASE)], snapshots=[snapshot_row("1h", mean=3.1, std=0.0)])
    assert certain["surprise_std"] is certain["surprise_median"] is None
    (old,) = rows([print_row(3.2, RELEASE)], snapshots=[snapshot_row("14d", mean=3.1, std=0.1)])
    assert old["surprise_mean"] is None, "two weeks old says nothing about the eve"


# --- label sets ------------------------------------------------------------------------------------

REVISED = [print_row(3.2, RELEASE), print_row(3.3, RELEASE + 30 * DAY), print_row(3.4, RELEASE + 365 * DAY)]


def test_label_sets_are_two_types_and_hold_only_their_own_columns() -> None:
    got = labels(REVISED)
    first = first_print_labels(got)
    assert first.table["first_print"].to_pylist() == [3.2]
    assert first.table["learned_at"].to_pylist() == [RELEASE]
    assert not [c for c in first.table.column_names if "revised" in c]
    revised = revised_labels(got, RELEASE + 31 * DAY)
    assert revised.table["revised"].to_pylist() == [3.3]
    assert "first_print" not in revised.table.column_names
    with pytest.raises(DomainError, match="first-print labels need the columns"):
        FirstPrintLabels(revised.table)
    with pytest.raises(DomainError, match="revised labels need the columns"):
        RevisedLabels(first.table, RELEASE)


def test_a_revision_is_seen_from_the_moment_it_is_known() -> None:
    got = labels(REVISED)
    assert revised_labels(got, RELEASE + 30 * DAY - timedelta(microseconds=1)).table.num_rows == 0
    assert revised_labels(got, RELEASE + 30 * DAY).table["revised"].to_pylist() == [3.3]
    assert revised_labels(got, RELEASE + 366 * DAY).table["revised"].to_pylist() == [3.4]


def test_training_on_a_revision_not_yet_known_is_refused() -> None:
    revised = revised_labels(labels(REVISED), RELEASE + 366 * DAY)
    revised.require_known(RELEASE + 365 * DAY)
    with pytest.raises(DomainError, match="the revision of KXCPIYOY-24JUN was learned at 2025-07-11"):
        revised.require_known(RELEASE + 364 * DAY)
    first = first_print_labels(labels(REVISED))
    first.require_known(RELEASE)
    with pytest.raises(DomainError, match="the first print of KXCPIYOY-24JUN"):
        first.require_known(RELEASE - timedelta(seconds=1))
    with pytest.raises(DomainError, match="no time zone"):
        first.require_known(datetime(2024, 7, 11))  # noqa: DTZ001
    with pytest.raises(DomainError, match="learned at"):
        RevisedLabels(revised.table, RELEASE)


# --- against plain Python --------------------------------------------------------------------------

SERIES = {"KXCPIYOY": ("CPIAUCNS", "pc1"), "KXU3": ("UNRATE", "lin"), "KXFED": ("", ""), "KXNEW": ("", "")}


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Rows, Rows, Rows, Rows, Rows]:
    events: Rows = []
    macro: dict[Any, dict[str, Any]] = {}
    contracts: Rows = []
    snapshots: Rows = []
    specs: Rows = []
    for series, (series_id, units) in SERIES.items():
        for k in draw(st.lists(st.integers(0, 3), unique=True, max_size=3)):
            period, release = date(2024, 3 + k, 1), datetime(2024, 4 + k, 10, 12, 30, tzinfo=UTC)
            ticker = f"{series}-{k}"
            has_period = draw(st.integers(0, 9)) > 0
            events.append(event_row(ticker, release, period=period if has_period else None))
            if draw(st.booleans()):
                events.append(event_row(ticker, release + DAY, period=period, known_at=release - 90 * DAY))
            ladder = draw(st.lists(st.integers(25, 35), unique=True, max_size=4))
            between = draw(st.booleans())
            truth = draw(st.integers(22, 38))
            for i in ladder:
                hi = i + 1 if between else None
                pays = truth >= i and (hi is None or truth <= hi)
                flipped = draw(st.integers(0, 14)) == 0
                result = draw(st.sampled_from(["", "yes" if pays != flipped else "no", "yes" if pays else "no"]))
                settled = draw(st.sampled_from([None, release + HOUR, release + 3 * HOUR, release - HOUR]))
                more: dict[str, Any] = {"event": ticker, "release": release}
                text = draw(st.sampled_from([None, "", "3.1"]))
                contracts.append(contract_row(f"T{i}", result, settlement_time=settled, expiration_value=text, **more))
                if draw(st.integers(0, 9)) > 0:
                    specs.append(spec_row(f"T{i}", i, hi, **more))
            for h in draw(st.lists(st.sampled_from(["14d", "7d", "1d", "1h"]), unique=True)):
                gated = draw(st.booleans())
                mean = draw(st.sampled_from([None, 3.0, 3.1]))
                snapshots.append(
                    snapshot_row(
                        h, ticker, release, mean=mean, std=draw(st.sampled_from([0.0, 0.1])), hard_gate_failed=gated
                    )
                )
        if series_id:
            for k in range(4):
                for minutes in draw(
                    st.lists(st.sampled_from([-60, -5, -1, 0, 30, 40_000, 80_000]), unique=True, max_size=3)
                ):
                    known = datetime(2024, 4 + k, 10, 12, 30, tzinfo=UTC) + timedelta(minutes=minutes)
                    value = draw(st.integers(-100, 900)) / 100
                    macro[series, k, known] = print_row(value, known, date(2024, 3 + k, 1), series_id, units)
    return events, list(macro.values()), contracts, snapshots, specs


@settings(max_examples=60, deadline=None)
@given(worlds(), st.randoms(use_true_random=False))
def test_agrees_with_plain_python_cell_by_cell(world: tuple[Rows, ...], shuffler: Any) -> None:
    tables = [table(n, w) for n, w in zip(TABLE_NAMES, world, strict=True)]
    full = [t.to_pylist() for t in tables]
    want = {(r["event_ticker"], r["known_at"]): r for r in label_rows(*full)}
    got = {(r["event_ticker"], r["known_at"]): r for r in label_table(*tables).to_pylist()}
    assert list(got) == sorted(want)
    for key, row in got.items():
        for name in TABLES["labels"].schema.names[6:]:
            if name in ("event_type", "period"):
                continue
            value = want[key].get(name)
            assert row[name] == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value), (key, name)

    for rows_of in world:
        shuffler.shuffle(rows_of)
    again = label_table(*(table(n, w) for n, w in zip(TABLE_NAMES, world, strict=True)))
    assert again.to_pylist() == list(got.values())


TABLE_NAMES = ("events", "macro_observations", "contracts", "distributions", "contract_specs")


@settings(max_examples=40, deadline=None)
@given(worlds(), st.integers(0, 120))
def test_a_label_known_at_a_time_needs_nothing_learned_later(world: tuple[Rows, ...], day: int) -> None:
    events, macro, contracts, snapshots, specs = world
    cut = datetime(2024, 4, 1, tzinfo=UTC) + day * DAY
    full = label_table(*(table(n, w) for n, w in zip(TABLE_NAMES, world, strict=True)))
    known = [m for m in macro if m["known_at"] <= cut]
    early = label_table(
        *(table(n, w) for n, w in zip(TABLE_NAMES, (events, known, contracts, snapshots, specs), strict=True))
    )

    def printed(rows_of: Rows) -> Rows:
        keep = ("event_ticker", "known_at", "first_print", "revised", "revised_vintage")
        return [{k: r[k] for k in keep} for r in rows_of if r["first_print"] is not None and r["known_at"] <= cut]

    assert printed(full.to_pylist()) == printed(early.to_pylist())


def test_surprise_against_the_newest_consensus_known_before_the_release() -> None:
    def said(value: float, known_at: datetime, **more: Any) -> dict[str, Any]:
        row = {"series_ticker": "KXCPIYOY", "period": date(2024, 6, 1), "consensus": value}
        return row | {"ts": known_at, "known_at": known_at} | more

    given = [
        said(3.1, RELEASE - 9 * DAY), said(3.0, RELEASE - 2 * DAY), said(9.9, RELEASE),
        said(7.7, RELEASE - DAY, period=date(2024, 7, 1)), said(8.8, RELEASE - DAY, series_ticker="KXU3"),
    ]  # fmt: skip
    macro = [print_row(3.3, RELEASE), print_row(3.4, RELEASE + DAY)]

    def made(consensus: Rows) -> Rows:
        tables = (table(n, r) for n, r in (
            ("events", [event_row()]), ("macro_observations", macro), ("contracts", []), ("distributions", []),
            ("contract_specs", []),
        ))  # fmt: skip
        return list(label_table(*tables, consensus=table("consensus", consensus)).to_pylist())

    for row in made(given):
        assert (row["consensus"], row["surprise_consensus"]) == (3.0, pytest.approx(0.3))
    assert {r["consensus"] for r in made(given[2:])} == {None}
    assert {r["surprise_consensus"] for r in made([said(3.0, RELEASE - 61 * DAY)])} == {None}
