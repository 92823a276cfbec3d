from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.ordering import (
    first_duplicate,
    last_of_each,
    packed_keys,
    runs,
    sort_codes,
    sort_permutation,
    sort_rows,
)

SCHEMA = pa.schema({"s": pa.string(), "i": pa.int64(), "d": pa.date32(), "b": pa.bool_()})
rows_of = st.lists(
    st.fixed_dictionaries(
        {
            "s": st.one_of(st.none(), st.sampled_from(["", "a", "B", "b", "é", "zz", "\U0001f600"])),
            "i": st.one_of(st.none(), st.sampled_from([-(2**63), -1, 0, 1, 2**40, 2**62])),
            "d": st.builds(lambda n: date(1960, 1, 1) + timedelta(days=n), st.integers(0, 3)),
            "b": st.booleans(),
        }
    ),
    max_size=12,
)
columns_of = st.permutations(["s", "i", "d", "b"]).flatmap(lambda p: st.integers(1, 4).map(lambda n: p[:n]))


def rank(row: dict[str, Any], columns: list[str]) -> tuple[Any, ...]:
    def one(value: Any) -> tuple[bool, Any]:
        return value is None, "" if value is None else value.encode() if isinstance(value, str) else value

    return tuple((one(row[c])[0], one(row[c])[1] if row[c] is not None else 0) for c in columns)


@settings(deadline=None)
@given(rows=rows_of, columns=columns_of)
def test_order_duplicates_and_newest_agree_with_sorting_tuples(rows: list[dict[str, Any]], columns: list[str]) -> None:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    expected = sorted(rows, key=lambda r: rank(r, columns))
    assert sort_rows(table, columns).to_pylist() == expected
    assert (sort_permutation(table, columns) is None) == (expected == rows or table.num_rows < 2)
    ranks = [rank(r, columns) for r in rows]
    duplicate = first_duplicate(table, columns)
    assert (duplicate is None) == (len(set(ranks)) == len(ranks))
    assert duplicate is None or ranks.count(ranks[duplicate]) > 1
    mask = last_of_each(table, columns[:1], columns[1:])
    for key in {rank(r, columns[:1]) for r in rows}:
        group = [i for i, r in enumerate(rows) if rank(r, columns[:1]) == key]
        best = max(group, key=lambda i: (rank(rows[i], columns[1:]), i))
        assert [i for i in group if mask[i]] == [best]


def test_columns_that_fit_share_one_key() -> None:
    table = pa.table({"a": [1, 2, 3], "b": ["x", "y", "x"], "c": [0, 2**61, 5]})
    assert len(packed_keys(table, ["a", "b"])) == 1
    assert len(packed_keys(table, ["a", "b", "c"])) == 2


def test_layout_does_not_matter() -> None:
    values = ["b", "a", None, "b"]
    plain = pa.table({"s": values})
    chunks = [pa.array(["b", "a"]).dictionary_encode(), pa.array([None, "b"]).dictionary_encode()]
    coded = pa.table({"s": pa.chunked_array(chunks)})
    for table in (plain, coded, pa.table({"s": pa.array(["x", *values]).cast(pa.large_string())[1:]})):
        assert sort_permutation(table, ["s"]).tolist() == [1, 0, 3, 2]
    assert np.array_equal(last_of_each(plain, ["s"], []), [False, True, True, True])


def test_a_float_has_no_canonical_order() -> None:
    with pytest.raises(TypeError, match="double"):
        sort_rows(pa.table({"x": [1.0, 0.5]}), ["x"])


@settings(deadline=None)
@given(
    texts=st.lists(st.tuples(st.sampled_from(["b", "", "a", "é", None]), st.integers(1, 6)), max_size=6),
    cuts=st.lists(st.integers(0, 30), max_size=3),
)
def test_runs_and_the_codes_that_rest_on_them(texts: list[tuple[str | None, int]], cuts: list[int]) -> None:
    """Long runs are ranked run by run, short ones text by text; dictionaries keep their codes."""
    values = [text for text, n in texts for _ in range(n)]
    edges = [0, *sorted(c % (len(values) + 1) for c in cuts), len(values)]
    whole = pa.array(values, pa.string())
    column = pa.chunked_array([whole[a:b] for a, b in pairwise(edges)], pa.string())
    starts, words = runs(column)
    lengths = np.diff(starts, append=len(values))
    assert np.repeat(np.array(words.to_pylist(), object), lengths).tolist() == values
    distinct = sorted({v for v in values if v is not None}, key=str.encode)
    ranks = {v: i for i, v in enumerate(distinct)} | {None: len(distinct)}
    expected = [ranks[v] for v in values]
    assert sort_codes(column).tolist() == expected
    coded = pa.chunked_array([c.dictionary_encode() for c in column.chunks], pa.dictionary(pa.int32(), pa.string()))
    assert sort_codes(coded).tolist() == expected


def test_a_dictionary_that_names_a_text_twice_or_not_at_all() -> None:
    twice = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 3], pa.int32()), pa.array(["b", "a", "b", "c"]))
    assert sort_codes(pa.chunked_array([twice])).tolist() == [1, 0, 1, 2]
    unused = pa.DictionaryArray.from_arrays(pa.array([2, 0], pa.int32()), pa.array(["z", "unused", "y"]))
    assert np.argsort(sort_codes(pa.chunked_array([unused]))).tolist() == [0, 1]
