"""Query answers and distributions as text: table, JSON or CSV. Light to import, since queries should start at once."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, TextIO

import pyarrow as pa

_WIDEST = 48


def write_table(table: pa.Table, form: str, out: TextIO) -> None:
    """Write an Arrow table.

    Args:
        table: the answer.
        form: ``table``, ``json`` (one array of objects) or ``csv`` (with a header; null is empty).
        out: where to.
    """
    names, rows = table.column_names, [tuple(_plain(v) for v in row.values()) for row in table.to_pylist()]
    if form == "json":
        json.dump([dict(zip(names, row, strict=True)) for row in rows], out)
        out.write("\n")
    elif form == "csv":
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([[json.dumps(v) if isinstance(v, (list, dict)) else v for v in row] for row in rows])
    else:
        _write_aligned(names, rows, out)


def _write_aligned(names: list[str], rows: list[tuple[Any, ...]], out: TextIO) -> None:
    cells = [["" if v is None else _short(v) for v in row] for row in rows]
    widths = [max([len(n), *(len(r[i]) for r in cells)]) for i, n in enumerate(names)]
    out.write("  ".join(n.ljust(w) for n, w in zip(names, widths, strict=True)).rstrip() + "\n")
    for cell_row in cells:
        out.write("  ".join(c.ljust(w) for c, w in zip(cell_row, widths, strict=True)).rstrip() + "\n")
    out.write(f"({len(rows)} row{'' if len(rows) == 1 else 's'})\n")


def _short(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def _plain(value: Any) -> Any:
    """JSON's own types: times as ISO text, decimals as text, so that no digit is lost."""
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (str, int, float, bool, list, dict)) or value is None:
        return value
    return str(value)


def write_distribution(answer: Mapping[str, Any], out: TextIO) -> None:
    """Write one distribution: moments, quality, and a bar for each lattice point."""
    out.write(f"{answer['event_ticker']} as of {answer['as_of']} (release {answer['release_time']})\n")
    quality = answer["quality"]
    if answer["mean"] is None:
        out.write(f"No distribution: {quality['gate_reason']}\n")
        return
    for name in ("mean", "median", "std", "skewness"):
        value = answer[name]
        out.write(f"{name:<9} {'' if value is None else format(value, '.4f')}\n")
    bands = answer["bands"]
    out.write(f"mean lies in [{bands['mean_low']:.4f}, {bands['mean_high']:.4f}] for any price inside the spread\n")
    top = max(answer["pmf"]["probability"])
    for value, p in zip(answer["pmf"]["support"], answer["pmf"]["probability"], strict=True):
        out.write(f"{value:>10g}  {p:6.3f}  {'█' * round(40 * p / top)}\n")
    flags = ", ".join(quality["quality_flags"] or []) or "none"
    out.write(f"quality {quality['quality_score']:.2f}, flags: {flags}, tails: {answer['tail_policy']}\n")
