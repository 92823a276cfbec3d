from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.hashing import canonical_json, content_hash_of, hash_json
from kalshi_assets.core.tables import PRICE, TABLES
from kalshi_assets.errors import DomainError

T0 = datetime(2024, 1, 1, tzinfo=UTC)
SCHEMA = TABLES["distributions"].schema


def row(n: int, **more: Any) -> dict[str, Any]:
    return {
        "event_ticker": f"E{n // 3}", "series_ticker": "S", "event_date": date(2024, 1, 1 + n % 2), "horizon": f"h{n}",
        "as_of": T0, "release_time": T0, "ts": T0, "known_at": T0 + timedelta(minutes=n), **more,
    }  # fmt: skip


numbers = st.one_of(st.none(), st.sampled_from([0.0, -0.0, float("nan"), 1.5, -2.0, float("inf")]))
contents = st.fixed_dictionaries(
    {
        "mean": numbers,
        "n_live": st.one_of(st.none(), st.integers(-3, 3)),
        "quality_low": st.one_of(st.none(), st.booleans()),
        "gate_reason": st.one_of(st.none(), st.sampled_from(["", "a", "ab", "b"])),
        "quality_flags": st.one_of(st.none(), st.lists(st.sampled_from([None, "", "x", "xy"]), max_size=3)),
        "support": st.one_of(st.none(), st.lists(numbers, max_size=3)),
        "inputs_known_at": st.one_of(st.none(), st.just(T0)),
    }
)  # fmt: skip
tables = st.lists(contents, min_size=1, max_size=8).map(
    lambda rows: pa.Table.from_pylist([row(i, **r) for i, r in enumerate(rows)], schema=SCHEMA)
)


def dirty_nulls(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same column with garbage in the slots of its nulls."""
    array = column.combine_chunks()
    if array.null_count == 0 or not pa.types.is_floating(array.type):
        return column
    values = np.where(array.is_null().to_numpy(zero_copy_only=False), 77.7, array.fill_null(0.0).to_numpy())
    validity = np.packbits(array.is_valid().to_numpy(zero_copy_only=False), bitorder="little")
    buffers = [pa.py_buffer(validity.tobytes()), pa.py_buffer(values.tobytes())]
    return pa.chunked_array([pa.Array.from_buffers(pa.float64(), len(array), buffers)])


@settings(max_examples=25, deadline=None)
@given(table=tables, data=st.data())
def test_layout_order_and_bookkeeping_do_not_change_the_hash(table: pa.Table, data: st.DataObject) -> None:
    expected = content_hash_of("distributions", table)
    assert set(expected) == set(table.column("event_date").to_pylist())
    order = data.draw(st.permutations(range(table.num_rows)))
    cut = data.draw(st.integers(0, table.num_rows))
    shuffled = table.take(pa.array(order, pa.int64()))
    chunked = pa.concat_tables([shuffled[:cut], shuffled[cut:]])
    sliced = pa.concat_tables([table[:1], shuffled]).combine_chunks()[1:]
    coded = table
    for name in ("event_ticker", "horizon", "gate_reason"):
        coded = coded.set_column(coded.schema.get_field_index(name), name, coded.column(name).dictionary_encode())
    dirty = pa.table([dirty_nulls(c) for c in table.columns], schema=table.schema)
    wide = table.append_column("run_id", pa.array(["r"] * table.num_rows))
    elsewhere = table.column("known_at").cast(pa.timestamp("ns", "Asia/Tokyo"))
    tokyo = table.set_column(SCHEMA.get_field_index("known_at"), "known_at", elsewhere)
    for other in (shuffled, chunked, sliced, coded, dirty, wide, tokyo, table.select(sorted(table.column_names))):
        assert content_hash_of("distributions", other) == expected


@settings(max_examples=40, deadline=None)
@given(table=tables, data=st.data())
def test_any_changed_cell_changes_its_date_and_no_other(table: pa.Table, data: st.DataObject) -> None:
    rows = table.to_pylist()
    i = data.draw(st.integers(0, len(rows) - 1))
    name = data.draw(
        st.sampled_from(["mean", "n_live", "quality_low", "gate_reason", "quality_flags", "support", "ts"])
    )
    new = data.draw(contents).get(name, T0 + timedelta(seconds=1))

    def text(value: Any) -> str:
        return repr(
            [v + 0.0 if isinstance(v, float) else v for v in (value if isinstance(value, list) else [value])]
        ) + str(type(value) is list)

    same = text(rows[i][name]) == text(new)
    before = content_hash_of("distributions", table)
    after = content_hash_of(
        "distributions", pa.Table.from_pylist([*rows[:i], {**rows[i], name: new}, *rows[i + 1 :]], schema=SCHEMA)
    )
    day = rows[i]["event_date"]
    assert (before[day] == after[day]) == same
    assert {d: h for d, h in before.items() if d != day} == {d: h for d, h in after.items() if d != day}


def test_close_neighbours_differ() -> None:
    variants = [
        {}, {"mean": 0.0}, {"mean": float("nan")}, {"std": 0.0}, {"n_live": 0}, {"quality_low": False},
        {"gate_reason": ""}, {"tail_policy": ""}, {"support": []}, {"support": [0.0]}, {"support": [None]},
        {"support": [0.0, 0.0]}, {"probability": [0.0]}, {"quality_flags": []}, {"quality_flags": [""]},
        {"quality_flags": ["", ""]}, {"quality_flags": ["ab"]}, {"quality_flags": ["a", "b"]},
        {"gate_reason": "ab", "tail_policy": "c"}, {"gate_reason": "a", "tail_policy": "bc"},
    ]  # fmt: skip
    hashes = [content_hash_of("distributions", pa.Table.from_pylist([row(0, **v)], schema=SCHEMA)) for v in variants]
    assert len({str(h) for h in hashes}) == len(variants)
    two = pa.Table.from_pylist([row(0, support=[1.0], mean=None), row(2, support=[])], schema=SCHEMA)
    swapped = pa.Table.from_pylist([row(0, support=[]), row(2, support=[1.0])], schema=SCHEMA)
    assert content_hash_of("distributions", two) != content_hash_of("distributions", swapped)


def test_decimals_hash_by_value() -> None:
    base = {
        "event_ticker": "E", "series_ticker": "S", "event_date": date(2024, 1, 1), "ticker": "T", "source": "c",
        "period_s": 60, "ts": T0, "known_at": T0,
    }  # fmt: skip
    schema = TABLES["quotes"].schema

    def of(price: str, kind: pa.DataType = PRICE) -> str:
        table = pa.Table.from_pylist(
            [{**base, "ts": T0 + timedelta(1)}, {**base, "yes_bid_close_usd": Decimal(price)}], schema=schema
        )
        i = schema.get_field_index("yes_bid_close_usd")
        return content_hash_of("quotes", table.set_column(i, "yes_bid_close_usd", table.column(i).cast(kind)))[
            date(2024, 1, 1)
        ]

    assert of("0.41") == of("0.41", pa.decimal128(12, 8)) == of("0.410000")
    assert len({of(p) for p in ("0.41", "0.410001", "0", "-0.41", "1")}) == 5


def test_there_is_one_zero_and_one_nan() -> None:
    payload = np.array([0x7FF8DEADBEEF0001], dtype=np.uint64).view(np.float64)

    def of(value: pa.Array) -> str:
        table = pa.Table.from_pylist([row(0)], schema=SCHEMA)
        table = table.set_column(SCHEMA.get_field_index("mean"), "mean", value)
        lists = pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), value)
        (only,) = content_hash_of(
            "distributions", table.set_column(SCHEMA.get_field_index("support"), "support", lists)
        ).values()
        return only

    assert of(pa.array([0.0])) == of(pa.array([-0.0])) == of(pa.array([0], pa.int64()).cast(pa.float64()))
    assert of(pa.array([np.nan], from_pandas=False)) == of(pa.array(payload, from_pandas=False))
    assert of(pa.array([np.nan], from_pandas=False)) == of(pa.array(-payload, from_pandas=False))
    assert of(pa.array([np.nan], from_pandas=False)) != of(pa.array([0.0]))


def test_slices_and_garbage_under_nulls_do_not_show_in_decimals_and_integers() -> None:
    spec = TABLES["quotes"]
    base = {
        "event_ticker": "E", "series_ticker": "S", "event_date": date(2024, 1, 1), "ticker": "T", "source": "c",
        "period_s": 60, "known_at": T0,
    }  # fmt: skip
    prices = [None, Decimal("0.41"), None, Decimal("-0.5"), Decimal("0.07")]
    rows = [{**base, "ts": T0 + timedelta(i), "yes_bid_close_usd": p} for i, p in enumerate(prices)]
    table = pa.Table.from_pylist(rows, schema=spec.schema)
    i = spec.schema.get_field_index("yes_bid_close_usd")
    clean = table.column(i).combine_chunks()
    raw = bytearray(clean.buffers()[1].to_pybytes())
    raw[0:16], raw[32:48] = b"\x05" * 16, b"\x07" * 16
    dirty = pa.Array.from_buffers(clean.type, len(clean), [clean.buffers()[0], pa.py_buffer(bytes(raw))])
    assert dirty.equals(clean)
    assert content_hash_of("quotes", table.set_column(i, "yes_bid_close_usd", dirty)) == content_hash_of(
        "quotes", table
    )
    for start in range(1, 4):
        fresh = pa.Table.from_pylist(rows[start:], schema=spec.schema)
        assert content_hash_of("quotes", table.combine_chunks()[start:]) == content_hash_of("quotes", fresh)


def test_tables_without_event_date_partitions_have_one_hash() -> None:
    spec = TABLES["asset_prices"]
    rows = [{"symbol": "A", "date": date(2024, 1, d), "close": 1.0 * d, "ts": T0, "known_at": T0} for d in (1, 2)]
    table = pa.Table.from_pylist(rows, schema=spec.schema)
    (only,) = content_hash_of("asset_prices", table).items()
    assert only[0] is None
    assert content_hash_of("asset_prices", table.take([1, 0])) == dict([only])
    assert content_hash_of("asset_prices", table[:0]) != dict([only])
    assert content_hash_of("quotes", TABLES["quotes"].schema.empty_table()) == {}


def test_what_has_no_hash_is_said() -> None:
    one = pa.Table.from_pylist([row(0)], schema=SCHEMA)
    with pytest.raises(DomainError, match="two rows with the key"):
        content_hash_of("distributions", pa.concat_tables([one, one]))
    with pytest.raises(DomainError, match="no table 'nope'"):
        content_hash_of("nope", one)
    with pytest.raises(DomainError, match="lacks its column horizon"):
        content_hash_of("distributions", one.drop_columns(["horizon"]))
    with pytest.raises(DomainError, match=r"distributions\.n_live"):
        content_hash_of("distributions", one.set_column(SCHEMA.get_field_index("n_live"), "n_live", pa.array([0.5])))


def test_canonical_json_is_one_text_a_value() -> None:
    value = {"b": [1, 2.5, -0.0, None, True], "a": date(2024, 1, 2), "é": Decimal("1.500"), "z": Decimal("100")}
    assert canonical_json(value) == '{"a":"2024-01-02","b":[1,2.5,0.0,null,true],"z":"100","é":"1.5"}'
    noon = datetime(2024, 1, 1, 12, tzinfo=UTC)
    assert (
        canonical_json(noon)
        == canonical_json(noon.astimezone(timezone(timedelta(hours=9))))
        == '"2024-01-01T12:00:00Z"'
    )
    assert canonical_json({"x": (1,), "y": 2}) == canonical_json({"y": 2, "x": [1]})
    assert hash_json([]) == hashlib.sha256(b"[]").hexdigest()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), datetime(2024, 1, 1), {1: 2}, {"a": object()}, b"x"])  # noqa: DTZ001
def test_canonical_json_refuses_what_has_no_text(value: object) -> None:
    with pytest.raises(DomainError):
        canonical_json(value)
