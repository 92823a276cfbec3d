"""Runs of equal neighbours in an Arrow column."""

from __future__ import annotations

from itertools import groupby

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.text_runs import runs

words = st.one_of(st.none(), st.sampled_from(["", "a", "aa", "ab", "ba", "abab", "é", "KXCPI-T1", "KXCPI-T2"]))
# a few long stretches, so that whole blocks of equal texts occur and end anywhere
stretches = st.lists(st.tuples(words, st.integers(1, 150)), max_size=6)


def plain(values: list[object]) -> tuple[list[int], list[object]]:
    ends, kept, at = [], [], 0
    for value, group in groupby(values):
        at += len(list(group))
        ends.append(at)
        kept.append(value)
    return ends, kept


@settings(deadline=None)
@given(stretches, st.integers(0, 3))
def test_runs_of_texts(parts: list[tuple[str | None, int]], skipped: int) -> None:
    values = [value for value, n in parts for _ in range(n)][skipped:]
    column = pa.chunked_array([pa.array(["x"] * skipped + values, pa.string())[skipped:]])
    found = runs(column)
    assert (found.ends.tolist(), found.values.to_pylist()) == plain(values)


@pytest.mark.parametrize("at", [1, 63, 64, 65, 127, 128])
def test_texts_of_one_length_that_differ_in_a_letter(at: int) -> None:
    found = runs(pa.chunked_array([["KXCPI-T1"] * at + ["KXCPI-T2"] * 70]))
    assert (found.ends.tolist(), found.values.to_pylist()) == ([at, at + 70], ["KXCPI-T1", "KXCPI-T2"])


@pytest.mark.parametrize("kind", [pa.int64(), pa.large_string()], ids=str)
def test_other_kinds_and_chunks(kind: pa.DataType) -> None:
    made = [1, 1, None, None, 2] if kind == pa.int64() else ["1", "1", None, None, "2"]
    found = runs(pa.chunked_array([pa.array(made, kind), pa.array([], kind), pa.array(made[-1:] * 3, kind)]))
    assert found.ends.tolist() == [2, 4, 5, 8]
    assert found.values.to_pylist() == [made[0], None, made[-1], made[-1]]  # a chunk starts a run


def test_an_empty_column_has_no_runs() -> None:
    found = runs(pa.chunked_array([], pa.string()))
    assert (found.ends.size, len(found.values)) == (0, 0)
