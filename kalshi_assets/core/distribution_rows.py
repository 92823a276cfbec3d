"""The kernel's numbers as rows of the lake's tables; nothing is computed here that a kernel could have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import codes, time_column, times
from kalshi_assets.core.quality import FLAGS, GATE_REASONS, PASSED
from kalshi_assets.core.rungs import RUNG_NUMBERS, RungRows
from kalshi_assets.core.snapshot_numbers import COUNTS, NUMBERS
from kalshi_assets.core.spec_index import Ladders, ladder_versions
from kalshi_assets.core.tables import DISTANCES, TABLES, TEXT

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the kernel returned for one batch; see ``snapshots.evaluate``."""

    ticks: Floats
    numbers: Floats
    counts: Ints
    distances: Floats
    rungs: RungRows
    offsets: Ints
    index: Ints
    mass: Floats


def _nullable(values: Floats) -> pa.Array:
    return pa.array(values, from_pandas=True)


def _names(places: Ints, names: tuple[str, ...] | list[str], missing: npt.NDArray[np.bool_]) -> pa.Array:
    return pa.array([*names], TEXT).take(pa.array(places, pa.int64(), mask=missing))


def _flag_lists(bits: Ints) -> pa.Array:
    matrix = (bits[:, None] >> np.arange(len(FLAGS))) & 1
    offsets = np.concatenate([[0], np.cumsum(matrix.sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(FLAGS, TEXT).take(pa.array(np.nonzero(matrix)[1])))


def _real_lists(offsets: Ints, values: Floats, absent: npt.NDArray[np.bool_]) -> pa.Array:
    return pa.ListArray.from_arrays(
        pa.array(offsets.astype(np.int32)), pa.array(values), mask=pa.array(absent) if absent.size else None
    )


def distribution_rows(snapshots: pa.Table, ladders: Ladders, run: Evaluation, tail_policy: str, basis: str) -> pa.Table:
    """Rows of table ``distributions``, one a snapshot.

    Args:
        snapshots: in the order of the evaluation.
        ladders: the specs that it saw.
        run: what the kernel returned.
        tail_policy: named in the rows.
        basis: the same.
    """
    n = snapshots.num_rows
    # a column of its own for each, turned once for all
    numbers = dict(zip((*NUMBERS, *DISTANCES), np.hstack([run.numbers, run.distances]).T.copy(), strict=True))
    counts = dict(zip(COUNTS, run.counts.T.copy(), strict=True))
    gated = counts["gate"] != PASSED
    event, as_of = codes(snapshots["event_ticker"], ladders.events), times(snapshots["as_of"])
    step, versions = ladder_versions(ladders, event, as_of)
    unseen = step < 0
    version, source, confidence = zip(*versions, strict=True) if versions else ((), (), ())
    last = int(run.offsets[n])
    points = _lattice_values(run.index[:last], np.repeat(run.ticks, np.diff(run.offsets)))
    unresolved_bit = 1 << FLAGS.index("unresolved_direction")
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        **{name: _nullable(values) for name, values in numbers.items()},
        **{name: pa.array(counts[name]) for name in COUNTS[:5]},
        **{name: pa.array(counts[name] != 0) for name in COUNTS[7:10]},
        "ts": snapshots["as_of"],
        "known_at": snapshots["as_of"],
        "quality_flags": _flag_lists(counts["flags"]),
        "quality_low": pa.array(gated | (counts["flags"] != 0)),
        "hard_gate_failed": pa.array(gated),
        "gate_reason": _names(counts["gate"], GATE_REASONS, ~gated),
        "direction_resolved": pa.array((counts["flags"] & unresolved_bit) == 0),
        "direction_source": pc.fill_null(_names(step, list(source), unseen), "none"),
        "direction_confidence": pc.fill_null(_names(step, list(confidence), unseen), "none"),
        "spec_version": _names(step, list(version), unseen),
        "tail_policy": pa.repeat(tail_policy, n),
        "basis": pa.repeat(basis, n),
        "inputs_known_at": time_column(counts["inputs_known_at"]),
        "support": _real_lists(run.offsets, points, gated),
        "probability": _real_lists(run.offsets, run.mass[:last], gated),
    }
    return _conform(columns, snapshots, "distributions")


def _lattice_values(index: Ints, tick: Floats) -> Floats:
    """Published values, divided where the tick is a whole part of one; see ``moments.lattice_value``."""
    parts = np.floor(1.0 / tick + 0.5)
    whole = (parts > 1.0) & (np.abs(parts * tick - 1.0) < 1e-12)
    return np.where(whole, index / np.maximum(parts, 1.0), index * tick)


def _conform(columns: dict[str, pa.Array | pa.ChunkedArray], inherited: pa.Table, table: str) -> pa.Table:
    """Columns in the table's order and types; what was not computed is inherited from the snapshots."""
    schema = TABLES[table].schema
    given = ((columns[f.name] if f.name in columns else inherited[f.name], f.type) for f in schema)
    # A cast that changes nothing costs as much as it costs to make the column.
    return pa.table([c if c.type == kind else pc.cast(c, kind) for c, kind in given], schema=schema)


def rung_rows(snapshots: pa.Table, ladders: Ladders, run: Evaluation) -> pa.Table:
    """Rows of table ``distribution_rungs``, one a (snapshot, known contract)."""
    kept = snapshots.select([c for c in snapshots.column_names if c in TABLES["distribution_rungs"].schema.names])
    inherited = kept.take(pa.array(np.repeat(np.arange(snapshots.num_rows), np.diff(run.rungs.offsets))))
    wanted = ("ticker", "lo_index", "hi_index", "floor_strike", "cap_strike")
    specs = ladders.table.select(wanted).take(pa.array(run.rungs.spec))
    numbers = dict(zip(RUNG_NUMBERS, run.rungs.numbers.T, strict=True))
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        **{name: _nullable(np.ascontiguousarray(values)) for name, values in numbers.items()},
        "ts": inherited["as_of"],
        "known_at": inherited["as_of"],
        "ticker": specs["ticker"],
        "rung": pa.array(run.rungs.rank),
        "lo_index": specs["lo_index"],
        "hi_index": specs["hi_index"],
        "strike": pc.coalesce(specs["floor_strike"], specs["cap_strike"]),
        "quote_known_at": time_column(run.rungs.known_at),
    }
    return _conform(columns, inherited, "distribution_rungs")
