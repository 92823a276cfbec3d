"""Leakage and quality checks on the tables of the stages, one result a check and event date.

Belongs here: rules on one state of the tables. Rebuilding rows from a changed
store (invariance) and planting canaries belong to the stages; what a failure
blocks belongs to ``defs``. A missing or NaN value breaks a rule; a date without
rows fails unless the caller says in ``allow_empty`` why there are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import (
    MICRO_USD,
    MISSING_PRICE,
    MISSING_TIME,
    Bools,
    Ints,
    codes,
    day_number,
    days,
    integers,
    micro_usd,
    newest_versions,
    reals,
    span_micros,
    times,
    vocabulary,
)
from kalshi_assets.core.gate_results import GateResult, failed_everywhere, require_dates, results_by_date
from kalshi_assets.core.labels import EARLY_PRINT_TOLERANCE
from kalshi_assets.core.tables import BOOKKEEPING, PRICE, QUANTILES, TableSpec

_SUM_TOLERANCE = 1e-9
_UNKNOWN_COUNT = -1


def check_schema_and_keys(
    spec: TableSpec, table: pa.Table, dates: Sequence[date], *, allow_empty: str | None = None
) -> tuple[GateResult, ...]:
    """Columns and types as declared, nothing missing in a required one, no fact twice.

    A table without ``event_date`` is one whole: every date gets its result.
    """
    name = "schema_and_keys"
    if wrong := _schema_differences(spec, table.schema):
        return failed_everywhere(name, dates, table.num_rows, f"{spec.name} is not as declared: {wrong}", wrong)
    ok = np.ones(table.num_rows, bool)
    for field in spec.schema:
        if not field.nullable:
            ok &= np.asarray(pc.is_valid(table[field.name]), bool)
            ok &= np.isfinite(reals(table[field.name])) if pa.types.is_floating(field.type) else True
    ok &= ~_repeated(table, (*spec.key, "known_at") if spec.versioned else spec.key)
    dated = "event_date" in table.schema.names
    if dated and table["event_date"].null_count:
        detail = f"{table['event_date'].null_count} rows of {spec.name} have no event_date"
        return failed_everywhere(name, dates, table.num_rows, detail, "event_date is null")
    require_dates(name, dates)
    results: list[GateResult] = []
    for day in dates:
        row_days = days(table["event_date"]) if dated else np.full(table.num_rows, day_number(day))
        results += results_by_date(
            name, [day], row_days, ok, "required columns are filled and no key occurs twice",
            _naming(table, spec.key), allow_empty=allow_empty,
        )  # fmt: skip
    return tuple(results)


def check_catalog_complete(
    events: pa.Table, contracts: pa.Table, coverage: pa.Table, dates: Sequence[date], *, allow_empty: str | None = None
) -> tuple[GateResult, ...]:
    """Every event has a contract, a release time, and coverage that is whole or says why it need not be.

    A coverage row is whole where as much was received as expected. Where less was, it must state that it is
    complete and a reason: the exchange may delete provisional contracts, and the detail counts those.
    """
    event = newest_versions(events, "event_ticker")
    words = pa.array(event["event_ticker"].to_pylist(), pa.string())
    n = event.num_rows
    expected, received = integers(coverage["expected"], -1), integers(coverage["received"], -1)
    explained = np.asarray(pc.fill_null(pc.greater(pc.utf8_length(coverage["reason"]), 0), False), bool)
    whole = (received >= 0) & ((expected == received) | ((received < expected) & explained))
    whole &= reals(coverage["complete"]) == 1.0
    covered = codes(coverage["event_ticker"], words)
    ok = np.bincount(_present(codes(contracts["event_ticker"], words)), minlength=n) > 0
    ok &= np.bincount(_present(covered), minlength=n) > 0
    ok &= np.bincount(_present(covered[~whole]), minlength=n) == 0
    ok &= times(event["release_time"]) != MISSING_TIME
    name, deleted = _naming(event, ("event_ticker",)), np.where(whole, expected - received, 0)

    def reasoned(row: int) -> str:
        said = coverage["reason"].filter(pa.array((covered == row) & ~whole)).drop_null().to_pylist()
        return ": ".join([name(row), *said[:1]])

    def vanished(mine: Bools) -> str:
        count = int(deleted[np.isin(covered, np.flatnonzero(mine))].sum())
        return f"{count} provisional contracts are not listed any more" if count else ""

    rule = "an event has contracts, a release time and complete coverage with as much received as expected"
    return results_by_date(
        "catalog_complete", dates, days(event["event_date"]), ok, rule, reasoned,
        allow_empty=allow_empty, note=vanished,
    )  # fmt: skip


def check_specs_resolved(
    events: pa.Table, specs: pa.Table, dates: Sequence[date], *, allow_empty: str | None = None
) -> tuple[GateResult, ...]:
    """Every event has at least one contract whose newest spec is on a lattice.

    A ladder with some unresolved contracts passes and the detail counts them: its distribution is flagged and
    its coverage judged in its own stage. An event where nothing resolves could only ever yield a guess.
    """
    event, spec = newest_versions(events, "event_ticker"), newest_versions(specs, "ticker")
    words = pa.array(event["event_ticker"].to_pylist(), pa.string())
    bounded = np.asarray(pc.or_(pc.is_valid(spec["lo_index"]), pc.is_valid(spec["hi_index"])), bool)
    resolved = bounded & (reals(spec["tick"]) > 0)
    ok = np.bincount(_present(codes(spec["event_ticker"], words)[resolved]), minlength=event.num_rows) > 0
    event_days, spec_days = days(event["event_date"]), days(spec["event_date"])

    def unresolved(mine: Bools) -> str:
        of_date = np.isin(spec_days, event_days[mine])
        count = int((of_date & ~resolved).sum())
        return f"{count} of {int(of_date.sum())} contracts are unresolved" if count else ""

    return results_by_date(
        "specs_resolved", dates, event_days, ok, "an event has a contract whose predicate is on the lattice",
        _naming(event, ("event_ticker",)), allow_empty=allow_empty, note=unresolved,
    )  # fmt: skip


def check_quotes_ordered(
    quotes: pa.Table, dates: Sequence[date], *, allow_empty: str | None = None
) -> tuple[GateResult, ...]:
    """Closing bid not above closing ask where both are there, every price within [0, 1], known no earlier than it is.

    A missing price is no fault; a missing time is.
    """
    bid, ask = micro_usd(quotes["yes_bid_close_usd"]), micro_usd(quotes["yes_ask_close_usd"])
    ok = (bid == MISSING_PRICE) | (ask == MISSING_PRICE) | (bid <= ask)
    for field in quotes.schema:
        if field.type == PRICE:
            present = np.asarray(pc.is_valid(quotes[field.name]), bool)
            price = micro_usd(quotes[field.name])
            ok &= ~present | ((price >= 0) & (price <= MICRO_USD))
    ts = times(quotes["ts"])
    ok &= (ts != MISSING_TIME) & (times(quotes["known_at"]) >= ts)
    return results_by_date(
        "quotes_ordered", dates, days(quotes["event_date"]), ok,
        "bid <= ask, prices within 0 and 1, known_at no earlier than ts", _naming(quotes, ("ticker", "ts")),
        allow_empty=allow_empty,
    )  # fmt: skip


def check_distribution_laws(
    distributions: pa.Table, dates: Sequence[date], *, allow_empty: str | None = None
) -> tuple[GateResult, ...]:
    """The laws of probability where there is a pmf, and silence where a gate failed.

    A pmf sums to one within 1e-9, has no negative mass (its survival function never rises) and an ascending
    support of the same length; quantiles ascend. A gated row has no mean and a reason. An ungated row has a
    mean and a pmf, unless its direction is unresolved.
    """
    n_mass, lawful = _lawful_mass(distributions["probability"])
    n_support, ascending = _ascending(distributions["support"])
    quantiles = np.column_stack([reals(distributions[name]) for name in QUANTILES])
    steps = np.diff(quantiles, axis=1)
    ok = (lawful | (n_mass == 0)) & (ascending | (n_support == 0)) & (n_mass == n_support)
    ok &= ((steps >= 0) | np.isnan(steps)).all(axis=1)
    mean = reals(distributions["mean"])
    gate = reals(distributions["hard_gate_failed"])
    has_reason = np.asarray(pc.fill_null(pc.greater(pc.utf8_length(distributions["gate_reason"]), 0), False), bool)
    unresolved = reals(distributions["direction_resolved"]) == 0.0
    silent = (gate == 1.0) & np.isnan(mean) & has_reason
    spoken = (gate == 0.0) & ((np.isfinite(mean) & (n_mass > 0)) | unresolved)
    return results_by_date(
        "distribution_laws", dates, days(distributions["event_date"]), ok & (silent | spoken),
        "a pmf sums to one, is not negative and matches its support; a gated row has a reason and no mean",
        _naming(distributions, ("event_ticker", "horizon", "as_of")), allow_empty=allow_empty,
    )  # fmt: skip


def check_order_of_times(
    panel: pa.Table, dates: Sequence[date], *, allow_empty: str | None = None
) -> tuple[GateResult, ...]:
    """Every feature row rests on inputs known by its as-of time, which is before the release."""
    inputs, as_of, release = times(panel["inputs_known_at"]), times(panel["as_of"]), times(panel["release_time"])
    present = (inputs != MISSING_TIME) & (as_of != MISSING_TIME) & (release != MISSING_TIME)
    return results_by_date(
        "order_of_times", dates, days(panel["event_date"]), present & (inputs <= as_of) & (as_of < release),
        "inputs_known_at <= as_of < release_time",
        _naming(panel, ("event_ticker", "horizon", "inputs_known_at", "as_of", "release_time")),
        allow_empty=allow_empty,
    )  # fmt: skip


def check_labels_learned_after_release(
    labels: pa.Table,
    dates: Sequence[date],
    *,
    tolerance: timedelta = EARLY_PRINT_TOLERANCE,
    allow_empty: str | None = None,
) -> tuple[GateResult, ...]:
    """No label is known before its release, a revision before its first print, or a row before what it holds."""
    known_at, earliest = times(labels["known_at"]), times(labels["release_time"]) - span_micros(tolerance)
    ok = (known_at != MISSING_TIME) & (times(labels["release_time"]) != MISSING_TIME) & (known_at > earliest)
    first_learned = times(labels["first_print_learned_at"])
    for value, learned_column in (("first_print", "first_print_learned_at"), ("revised", "revised_learned_at")):
        present, learned = np.asarray(pc.is_valid(labels[value]), bool), times(labels[learned_column])
        ok &= ~present | ((learned != MISSING_TIME) & (learned > earliest) & (learned >= first_learned))
        ok &= ~present | np.isfinite(reals(labels[value]))
        ok &= learned <= known_at
    ok &= times(labels["settlement_learned_at"]) <= known_at
    return results_by_date(
        "labels_learned_after_release", dates, days(labels["event_date"]), ok,
        "release_time <= learned_at <= known_at, and a revision follows its first print",
        _naming(labels, ("event_ticker", "release_time", "first_print_learned_at", "revised_learned_at", "known_at")),
        allow_empty=allow_empty,
    )  # fmt: skip


def check_no_label_after_test(
    folds: pa.Table, labels: pa.Table, predictions: pa.Table, dates: Sequence[date], *, allow_empty: str | None = None
) -> tuple[GateResult, ...]:
    """No fold trains on a label that ended, or was learned, after its test interval began.

    The test interval of a strategy's fold begins at the earliest ``label_start`` of its test rows, or at the
    earliest as-of time of its predictions where that is sooner. A label is learned when the first row
    of the event that holds one became known. A train row without a label, or in a fold without a test row, fails.
    """
    strategies = vocabulary(folds["strategy_id"], predictions["strategy_id"])
    fold, predicted = _fold_ids(folds, strategies), _fold_ids(predictions, strategies)
    roles = pa.array(["test", "train"])
    role = codes(folds["role"], roles)
    ids = np.unique(fold)
    start = np.full(ids.size, np.iinfo(np.int64).max)
    tested = np.zeros(ids.size, bool)
    in_test = role == 0
    np.minimum.at(start, np.searchsorted(ids, fold[in_test]), times(folds["label_start"])[in_test])
    tested[np.searchsorted(ids, fold[in_test])] = True
    used = np.isin(predicted, ids)
    np.minimum.at(start, np.searchsorted(ids, predicted[used]), times(predictions["as_of"])[used])

    words = vocabulary(folds["event_ticker"])
    learned = np.full(len(words), np.iinfo(np.int64).max)
    holds = np.asarray(pc.is_null(labels["unlabelled_reason"]), bool)
    holds &= np.asarray(pc.or_(pc.is_valid(labels["first_print"]), _settled(labels)), bool)
    event = codes(labels["event_ticker"], words)
    holds &= event >= 0
    np.minimum.at(learned, event[holds], times(labels["known_at"])[holds])

    train = np.flatnonzero(role == 1)
    at = np.searchsorted(ids, fold[train])
    end = times(folds["label_end"])[train]
    learned_at = learned[codes(folds["event_ticker"], words)[train]]
    ok = tested[at] & (end != MISSING_TIME) & (end <= start[at]) & (learned_at <= start[at])
    rows = folds.take(pa.array(train))
    return results_by_date(
        "no_label_after_test", dates, days(rows["event_date"]), ok,
        "label_end and learned_at of a train row are not after the start of the test interval",
        _naming(rows, ("strategy_id", "event_date", "event_ticker", "label_end")), allow_empty=allow_empty,
    )  # fmt: skip


def _schema_differences(spec: TableSpec, schema: pa.Schema) -> str:
    wrong = [f"no column {n}" for n in spec.schema.names if n not in schema.names]
    wrong += [f"unknown column {n}" for n in schema.names if n not in spec.schema.names and n not in BOOKKEEPING]
    wrong += [
        f"{f.name} is {schema.field(f.name).type}, not {f.type}"
        for f in spec.schema
        if f.name in schema.names and schema.field(f.name).type != f.type
    ]
    return ", ".join(wrong)


def _repeated(table: pa.Table, key: Sequence[str]) -> Bools:
    """True for every row after the first of its key."""
    numbered = table.select(list(key)).append_column("row", pa.array(np.arange(table.num_rows)))
    first = numbered.group_by(list(key)).aggregate([("row", "min")])["row_min"]
    repeated = np.ones(table.num_rows, bool)
    repeated[np.asarray(first, np.int64)] = False
    return repeated


def _fold_ids(table: pa.Table, strategies: pa.Array) -> Ints:
    return codes(table["strategy_id"], strategies) * 2**32 + days(table["event_date"])


def _settled(labels: pa.Table) -> Any:
    return pc.or_(pc.is_valid(labels["settled_lo"]), pc.is_valid(labels["settled_hi"]))


def _present(code: Ints) -> Ints:
    return code[code >= 0]


def _rows_of(lists: Any) -> tuple[Ints, Ints, Any]:
    """Length of each list (0 for null), the row of each element, and the elements."""
    combined = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
    lengths = np.asarray(pc.fill_null(pc.list_value_length(combined), 0), np.int64)
    return lengths, np.repeat(np.arange(lengths.size), lengths), reals(combined.flatten())


def _lawful_mass(lists: Any) -> tuple[Ints, Bools]:
    lengths, row, mass = _rows_of(lists)
    total = np.bincount(row, weights=mass, minlength=lengths.size)
    illegal = np.bincount(row[~(mass >= 0.0)], minlength=lengths.size)
    return lengths, (np.abs(total - 1.0) <= _SUM_TOLERANCE) & (illegal == 0)


def _ascending(lists: Any) -> tuple[Ints, Bools]:
    lengths, row, point = _rows_of(lists)
    falls = (row[1:] == row[:-1]) & ~(point[1:] > point[:-1])
    bad = np.bincount(row[1:][falls], minlength=lengths.size) + np.bincount(
        row[~np.isfinite(point)], minlength=lengths.size
    )
    return lengths, bad == 0


def _naming(table: pa.Table, columns: Sequence[str]) -> Any:
    """A function that names a row by some of its columns."""

    def name(row: int) -> str:
        values = [(column, table[column][row].as_py()) for column in columns]
        return ", ".join(f"{c}={v.isoformat() if hasattr(v, 'isoformat') else v}" for c, v in values)

    return name
