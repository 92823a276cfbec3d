"""Checks of columns against a look at every single value."""

from __future__ import annotations

import math
import sys
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kalshi_assets.core.row_checks import LARGEST, InOrder, InRange
from kalshi_assets.core.table_laws import checks_of
from kalshi_assets.core.tables import COUNT, INT, PRICE, REAL, REALS, TABLES, TIME

RANGES: dict[str, tuple[InRange, pa.DataType, st.SearchStrategy[Any]]] = {
    "price": (InRange("x", 0, 1), PRICE, st.decimals("-9.999999", "9.999999", places=6)),
    "near price": (InRange("x", 0, 1), PRICE, st.sampled_from(list(map(Decimal, ("0", "1", "1.000001", "-0.000001"))))),
    "count": (InRange("x", 0), COUNT, st.decimals(-(10**15), 10**15, places=2)),
    "integer": (InRange("x", 0), INT, st.integers(-(2**63), 2**63 - 1)),
    "real": (InRange("x", -LARGEST, LARGEST), REAL, st.floats()),
    "share": (InRange("x", -1e-9, 1 + 1e-9), REAL, st.one_of(st.floats(), st.floats(-1e-8, 1e-8))),
    "list": (InRange("x", 0, 1), REALS, st.lists(st.one_of(st.none(), st.floats(-0.1, 1.0), st.just(math.nan)))),
}


def holds(check: InRange, value: Any) -> bool:
    if isinstance(value, list):
        return all(holds(check, v) for v in value)
    return value is None or (value >= check.low and (check.high is None or value <= check.high))


def chunked(values: list[Any], kind: pa.DataType, cuts: list[int]) -> pa.Table:
    """A column in several pieces, each a slice of a longer array whose other values are out of every range."""
    edges = [0, *sorted(c % (len(values) + 1) for c in cuts), len(values)]
    beside: Any = -5 if not pa.types.is_list(kind) else [-5.0]
    pieces = [pa.array([beside, *values[a:b], beside], kind).slice(1, b - a) for a, b in pairwise(edges)]
    return pa.table({"x": pa.chunked_array(pieces, kind)})


@pytest.mark.parametrize("name", RANGES)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_the_first_value_outside_is_found(name: str, data: st.DataObject) -> None:
    check, kind, values = RANGES[name]
    given_values = data.draw(st.lists(st.one_of(st.none(), values), max_size=12))
    rows = chunked(given_values, kind, data.draw(st.lists(st.integers(0, 20), max_size=3)))
    expected = next((i for i, value in enumerate(given_values) if not holds(check, value)), None)
    assert check.first_breach(rows) == expected


@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 4)), st.one_of(st.none(), st.integers(0, 4)))))
def test_the_first_pair_out_of_order_is_found(pairs: list[tuple[int | None, int | None]]) -> None:
    for kind in (TIME, PRICE, REAL):
        rows = pa.table({n: pa.array([p[i] for p in pairs], kind) for i, n in enumerate("ab")})
        for strict in (False, True):
            out = [i for i, (a, b) in enumerate(pairs) if None not in (a, b) and (a > b or (strict and a == b))]
            assert InOrder("a", "b", strict=strict).first_breach(rows) == next(iter(out), None)


def test_what_lies_under_a_null_is_no_value() -> None:
    stored = np.array([7_500_000, 0, 400_000, 0], np.int64)
    validity = pa.array([False, True]).buffers()[1]
    hidden = pa.Array.from_buffers(PRICE, 2, [validity, pa.py_buffer(stored)])
    assert hidden.to_pylist() == [None, Decimal("0.400000")]
    assert InRange("x", 0, 1).first_breach(pa.table({"x": hidden})) is None
    shown = pa.Array.from_buffers(PRICE, 2, [None, pa.py_buffer(stored)])
    assert InRange("x", 0, 1).first_breach(pa.table({"x": shown})) == 0


def test_a_type_whose_memory_is_not_read_in_place_is_checked_too() -> None:
    assert InRange("x", 0, 1).first_breach(pa.table({"x": pa.array([1, 0, 2], pa.int32())})) == 2


def test_a_sentence_says_what_must_be_and_what_is() -> None:
    prices, lists = pa.array([Decimal(7)], PRICE), pa.array([[0.5, None, math.nan, 9.0]], REALS)
    rows = pa.table({"x": prices, "y": [math.inf], "n": [-3], "z": [0.5], "l": lists})
    said = [
        InRange("x", 0, 1).breach(rows, 0), InRange("y", -LARGEST, LARGEST).breach(rows, 0),
        InRange("n", 0).breach(rows, 0),
        InOrder("z", "n").breach(rows, 0), InOrder("z", "n", strict=True).breach(rows, 0),
        InRange("l", 0, 1).breach(rows, 0),
    ]  # fmt: skip
    assert said == [
        "x must lie between 0 and 1 and is 7.000000",
        "y must be a finite number and is inf",
        "n must be at least 0 and is -3",
        "z must not come after n and they are 0.5 and -3",
        "z must come before n and they are 0.5 and -3",
        "l must lie between 0 and 1 and is nan",
    ]


def test_every_number_of_every_table_has_a_range_unless_it_is_signed() -> None:
    free = {
        (name, field.name)
        for name, spec in TABLES.items()
        for field in spec.schema
        if (pa.types.is_floating(field.type) or pa.types.is_decimal(field.type) or pa.types.is_integer(field.type))
        and field.name not in {c.column for c in spec.checks if isinstance(c, InRange)}
    }
    assert free == {
        ("contract_specs", "lo_index"), ("contract_specs", "hi_index"), ("distribution_rungs", "lo_index"),
        ("distribution_rungs", "hi_index"), ("fomc_probabilities", "target_tenths_bp"), ("trades", "sequence"),
        ("trials", "seed"), ("forecast_scores", "pit_seed"),
    }  # fmt: skip


def test_checks_name_columns_of_their_table_and_differ_in_name() -> None:
    for spec in TABLES.values():
        named = [c.column if isinstance(c, InRange) else (c.first, c.then) for c in spec.checks]
        flat = {c for part in named for c in (part if isinstance(part, tuple) else (part,))}
        assert flat <= set(spec.schema.names), spec.name
        assert len({c.name for c in spec.checks}) == len(spec.checks)
    prices = checks_of("new", pa.schema([("bid_usd", PRICE), ("title", pa.string())]), price=PRICE)
    assert prices == (InRange("bid_usd", 0, 1),)
    assert sys.float_info.max == LARGEST
