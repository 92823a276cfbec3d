"""What Dagster's UI shows of a stage: rows, dates, column schema, gate tables, a picture.

Presentation only; every number comes from the stage's result or the lake.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.core.pictures import ladder_svg
from kalshi_assets.core.tables import TABLES
from kalshi_assets.stages.context import StageResult
from kalshi_assets.store.lake import Lake

_MOST_GATES = 25


def column_schema(table: str) -> dg.TableSchema:
    """The declared columns of a table, for the asset's page."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(f.name, str(f.type), constraints=dg.TableColumnConstraints(nullable=f.nullable))
            for f in TABLES[table].schema
        ]
    )


def stage_metadata(result: StageResult, main_table: str) -> dict[str, Any]:
    """Rows, dates, notes and gates of one stage run."""
    metadata: dict[str, Any] = {
        "dagster/row_count": result.rows[main_table],
        "dates": len(result.dates),
        "first_date": result.dates[0].isoformat(),
        "last_date": result.dates[-1].isoformat(),
        "lake_snapshot": result.snapshot_id,
        "rows": dict(result.rows),
        "rows_written": dict(result.changed),
        "gates": gate_table(result.gates),
    }
    if result.notes:
        metadata["notes"] = dg.MetadataValue.md("\n".join(f"- {note}" for note in result.notes[:20]))
    return metadata


def gate_table(results: Sequence[GateResult]) -> dg.TableMetadataValue:
    """Failed gates first, then as many passed ones as fit."""
    shown = sorted(results, key=lambda r: (r.passed, r.event_date))[:_MOST_GATES]
    columns = ("gate", "event_date", "passed", "rows", "detail", "first_offender")
    return dg.MetadataValue.table(
        records=[
            dg.TableRecord(
                dict(
                    zip(
                        columns,
                        (
                            r.check_name,
                            r.event_date.isoformat(),
                            r.passed,
                            r.n_rows,
                            r.detail or "",
                            r.first_offender or "",
                        ),
                        strict=True,
                    )
                )
            )
            for r in shown
        ],
        schema=dg.TableSchema(
            columns=[
                dg.TableColumn(c, "boolean" if c == "passed" else "integer" if c == "rows" else "string")
                for c in columns
            ]
        ),
    )


def distribution_picture(lake: Lake, dates: Sequence[date]) -> dg.MarkdownMetadataValue | None:
    """The last ungated ladder of the newest date and its distribution, as an embedded SVG."""
    for day in sorted(dates, reverse=True):
        table = lake.read("distributions", event_dates=[day])
        table = table.filter(pc.is_valid(table["mean"]))
        if table.num_rows:
            row = table.slice(int(np.argmax(table["as_of"].cast(pa.int64()).to_numpy())), 1).to_pylist()[0]
            return _picture(row, lake.read("distribution_rungs", event_dates=[day], series=[row["series_ticker"]]))
    return None


def _picture(row: Mapping[str, Any], rungs: pa.Table) -> dg.MarkdownMetadataValue:
    keys = ("event_ticker", "horizon", "as_of")
    mask = pc.equal(rungs[keys[0]], row[keys[0]])
    for key in keys[1:]:
        mask = pc.and_(mask, pc.equal(rungs[key], pa.scalar(row[key], rungs[key].type)))
    ladder = rungs.filter(mask).sort_by("strike")

    def floats(name: str) -> Any:
        return ladder[name].to_numpy().astype(np.float64)

    svg = ladder_svg(
        f"{row['event_ticker']} at {row['as_of']:%Y-%m-%d %H:%M} UTC: mean {row['mean']:.4g}, std {row['std']:.3g}",
        floats("strike"),
        floats("yes_bid_prob"),
        floats("yes_ask_prob"),
        floats("repaired_prob"),
        np.asarray(row["support"], np.float64),
        np.asarray(row["probability"], np.float64),
    )
    encoded = base64.b64encode(svg.encode()).decode()
    return dg.MarkdownMetadataValue(f"![ladder](data:image/svg+xml;base64,{encoded})")
