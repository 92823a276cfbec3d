"""Which files may hold the same key, from the ranges that the log states."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kalshi_assets.store.files import DataFile, key_clusters, rivals, split_by_rivalry

texts = st.text("abc", max_size=2)
ranges = st.lists(st.tuples(texts, texts).map(sorted), max_size=8)


def files_of(spans: list[list[str]], *, unknown: int = 0) -> list[DataFile]:
    known = [DataFile(f"f{i}", (), 1, 1, None, None, low, high) for i, (low, high) in enumerate(spans)]
    return [*known, *(DataFile(f"u{i}", (), 1, 1, None, None, None, None) for i in range(unknown))]


@given(spans=ranges)
def test_clusters_share_no_key_and_follow_one_another(spans: list[list[str]]) -> None:
    files = files_of(spans)
    clusters = key_clusters(files)
    assert sorted(f.path for c in clusters for f in c) == sorted(f.path for f in files)
    for i, cluster in enumerate(clusters):
        for later in clusters[i + 1 :]:
            assert max(f.key_high or "" for f in cluster) < min(f.key_low or "" for f in later)
        # No cluster could be parted further.
        for cut in range(1, len(cluster)):
            before, after = cluster[:cut], cluster[cut:]
            assert max(f.key_high or "" for f in before) >= min(f.key_low or "" for f in after)
    alone, shared = split_by_rivalry(files)
    for f in files:
        overlapping = any(f.overlaps(g) for g in files if g is not f)
        assert (f in shared) == overlapping
        assert (f in alone) != overlapping


@given(spans=ranges, chosen=st.sets(st.integers(0, 7)))
def test_rivals_are_the_files_that_overlap(spans: list[list[str]], chosen: set[int]) -> None:
    files = files_of(spans)
    mine = [f for i, f in enumerate(files) if i in chosen]
    others = [f for i, f in enumerate(files) if i not in chosen]
    assert rivals(mine, others) == [f for f in others if any(f.overlaps(m) for m in mine)]


def test_a_file_of_unknown_range_may_hold_any_key() -> None:
    files = files_of([["a", "a"], ["b", "b"]], unknown=1)
    assert key_clusters(files) == [files]
    assert split_by_rivalry(files) == ([], files)
    assert key_clusters([]) == []
