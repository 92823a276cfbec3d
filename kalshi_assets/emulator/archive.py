"""Reading an archive folder: recorded or simulated exchange data, one Parquet file a table.

The only module that knows the folder's files and columns. What the exchange
would answer from them is not decided here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kalshi_assets.errors import ArchiveError

FORMAT = 1

_TIME = pa.timestamp("us", tz="UTC")
_PRICE = pa.decimal128(10, 6)
_COUNT = pa.decimal128(18, 2)
_TEXT = pa.string()

_QUOTE_POINTS = ("open", "high", "low", "close")
_PRICE_POINTS = (*_QUOTE_POINTS, "mean", "previous")


def _fields(required: Mapping[str, pa.DataType], optional: Mapping[str, pa.DataType] | None = None) -> pa.Schema:
    fields = [pa.field(n, t, nullable=False) for n, t in required.items()]
    return pa.schema(fields + [pa.field(n, t) for n, t in (optional or {}).items()])


SCHEMAS: dict[str, pa.Schema] = {
    "series": _fields(
        {"ticker": _TEXT, "title": _TEXT, "category": _TEXT, "frequency": _TEXT, "fee_type": _TEXT},
        {"fee_multiplier": pa.float64()},
    ),
    "events": _fields(
        {"event_ticker": _TEXT, "series_ticker": _TEXT, "title": _TEXT},
        {
            "sub_title": _TEXT,
            "collateral_return_type": _TEXT,
            "mutually_exclusive": pa.bool_(),
            "category": _TEXT,
            "strike_date": _TIME,
            "strike_period": _TEXT,
        },
    ),
    "markets": _fields(
        {
            "ticker": _TEXT,
            "event_ticker": _TEXT,
            "market_type": _TEXT,
            "open_time": _TIME,
            "close_time": _TIME,
            "created_time": _TIME,
            "latest_expiration_time": _TIME,
            "status": _TEXT,
        },
        {
            "title": _TEXT,
            "yes_sub_title": _TEXT,
            "no_sub_title": _TEXT,
            "strike_type": _TEXT,
            "floor_strike": pa.float64(),
            "cap_strike": pa.float64(),
            "expected_expiration_time": _TIME,
            "settlement_ts": _TIME,
            "result": _TEXT,
            "expiration_value": _TEXT,
            "settlement_value_dollars": _PRICE,
            "rules_primary": _TEXT,
            "rules_secondary": _TEXT,
            "settlement_timer_seconds": pa.int64(),
            "can_close_early": pa.bool_(),
            "notional_value_dollars": _PRICE,
            "price_level_structure": _TEXT,
            "volume": _COUNT,
        },
    ),
    "candlesticks": _fields(
        {
            "ticker": _TEXT,
            "period_interval": pa.int32(),
            "end_period_ts": pa.int64(),
            **{f"{side}_{point}": _PRICE for side in ("yes_bid", "yes_ask") for point in _QUOTE_POINTS},
        },
        {**{f"price_{point}": _PRICE for point in _PRICE_POINTS}, "volume": _COUNT, "open_interest": _COUNT},
    ),
    "trades": _fields(
        {
            "trade_id": _TEXT,
            "ticker": _TEXT,
            "created_time": _TIME,
            "yes_price": _PRICE,
            "no_price": _PRICE,
            "count": _COUNT,
            "taker_side": _TEXT,
        },
        {"event_ticker": _TEXT, "series_ticker": _TEXT, "is_block_trade": pa.bool_()},
    ),
    "macro_observations": _fields(
        {"series_id": _TEXT, "observation_date": pa.date32(), "value": pa.float64(), "released_at": _TIME},
        {"vintage": _TEXT, "unit": _TEXT, "precision": pa.float64()},
    ),
    "release_calendar": _fields(
        {"series_ticker": _TEXT, "release_time": _TIME}, {"release_name": _TEXT, "source": _TEXT, "flag": _TEXT}
    ),
    "asset_prices": _fields({"symbol": _TEXT, "date": pa.date32(), "close": pa.float64(), "known_at": _TIME}),
    "fed_funds_futures": _fields(
        {
            "fomc_date": pa.date32(),
            "observation_date": pa.date32(),
            "target_mid_pct": pa.float64(),
            "probability": pa.float64(),
        }
    ),
}


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive in memory.

    Attributes:
        name: the archive's name.
        simulated: True where the quotes are invented.
        historical_cutoff: body of ``/historical/cutoff``.
        tables: every table of ``SCHEMAS``, empty where the archive has none of that kind.
        about: the whole of ``archive.json``.
    """

    name: str
    simulated: bool
    historical_cutoff: Mapping[str, str]
    tables: Mapping[str, pa.Table]
    about: Mapping[str, Any]


def load_archive(path: Path) -> Archive:
    """Read an archive folder whole.

    Args:
        path: the folder.

    Returns:
        The archive, with columns cast to ``SCHEMAS`` and unknown columns dropped.

    Raises:
        ArchiveError: no such folder, no or a broken ``archive.json``, an unknown format, a Parquet
            file that cannot be read, lacks a column, has a null where a value is due, or has another
            number of rows than ``archive.json`` says.
    """
    path = Path(path)
    if not path.is_dir():
        raise ArchiveError(f"There is no archive folder at {path}. Name a folder that holds archive.json.")
    about = _about(path / "archive.json")
    rows = about.get("rows")
    tables = {name: _table(path, name, schema) for name, schema in SCHEMAS.items()}
    if isinstance(rows, dict):
        for name, expected in rows.items():
            if name in tables and tables[name].num_rows != expected:
                raise ArchiveError(
                    f"{path / name}.parquet has {tables[name].num_rows} rows, but archive.json says {expected}: "
                    "the archive is half-written. Copy or write it again."
                )
    cutoff = about.get("historical_cutoff")
    if not isinstance(cutoff, dict) or not {"market_settled_ts", "trades_created_ts", "orders_updated_ts"} <= set(
        cutoff
    ):
        raise ArchiveError(
            f"{path / 'archive.json'} has no historical_cutoff with market_settled_ts, trades_created_ts and "
            "orders_updated_ts. Add it: it decides which tier serves what."
        )
    return Archive(
        name=str(about.get("name", path.name)),
        simulated=bool(about.get("simulated", False)),
        historical_cutoff={k: str(v) for k, v in cutoff.items()},
        tables=tables,
        about=about,
    )


def _about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ArchiveError(
            f"There is no archive.json in {path.parent}. It is written last, so the archive is half-written "
            "or this is another folder."
        ) from None
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{path} is not readable JSON ({error}). Copy or write the archive again.") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        found = about.get("format") if isinstance(about, dict) else None
        raise ArchiveError(f"{path} has format {found!r}; only format {FORMAT} can be read.")
    return about


def _table(folder: Path, name: str, schema: pa.Schema) -> pa.Table:
    path = folder / f"{name}.parquet"
    if not path.exists():
        return schema.empty_table()
    try:
        raw = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ArchiveError(
            f"{path} is not a whole Parquet file ({str(error).splitlines()[0]}). Copy or write the archive again."
        ) from error
    missing = [f.name for f in schema if f.name not in raw.column_names and not f.nullable]
    if missing:
        raise ArchiveError(f"{path} lacks the columns {', '.join(missing)}. Write the archive again, in format 1.")
    columns = []
    for field in schema:
        if field.name not in raw.column_names:
            columns.append(pa.nulls(raw.num_rows, field.type))
            continue
        try:
            column = raw.column(field.name).cast(field.type)
        except pa.ArrowException as error:
            raise ArchiveError(
                f"{path}: column {field.name} cannot be read as {field.type} ({str(error).splitlines()[0]})."
            ) from error
        if not field.nullable and column.null_count:
            raise ArchiveError(
                f"{path}: column {field.name} has {column.null_count} empty values; it needs one in every row."
            )
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema).combine_chunks()
