"""Panel and labels of a filled lake against the plain references, on every cell."""

from __future__ import annotations

from typing import Any

import pytest

from kalshi_assets.core.features import JoinAges
from kalshi_assets.core.tables import MICROSTRUCTURE
from kalshi_assets.macro.facts import load_fomc_meetings
from kalshi_assets.settings import facts_folder
from kalshi_assets.store.lake import Lake
from kalshi_assets_tests.core.plain_labels import label_rows
from kalshi_assets_tests.core.plain_microstructure import plain_microstructure
from kalshi_assets_tests.core.plain_panel import panel_rows
from kalshi_assets_tests.core.plain_references import PlainReferences
from kalshi_assets_tests.core.plain_responses import close_responses

Row = dict[str, Any]


def rows_of(lake: Lake, name: str) -> list[Row]:
    return list(lake.read(name, history=True).to_pylist())


def assert_same(got: Any, want: Any, where: Any) -> None:
    if isinstance(want, float):
        assert got == (None if want != want else pytest.approx(want, rel=1e-9, abs=1e-12)), where
    else:
        assert got == want, where


def compare_panel(lake: Lake) -> int:
    """Every row and column of the panel; the number of cells."""
    names = ("events", "option_surfaces", "fed_funds_futures", "fomc_probabilities", "consensus")
    given = PlainReferences(*(rows_of(lake, n) for n in names), meetings=load_fomc_meetings(facts_folder()))
    distributions, quotes = rows_of(lake, "distributions"), rows_of(lake, "quotes")
    tables = (rows_of(lake, "macro_observations"), rows_of(lake, "asset_prices"))
    panel = {(r["event_ticker"], r["horizon"], r["mapping_version"]): r for r in rows_of(lake, "feature_panel")}
    by_event: dict[str, list[Row]] = {}
    for d in distributions:
        by_event.setdefault(d["event_ticker"], []).append(d)
    flow: dict[str, list[Row]] = {}
    for q in quotes:
        flow.setdefault(q["event_ticker"], []).append(q)
    want: dict[Any, Row] = {}
    for mine in by_event.values():
        want |= panel_rows(mine, *tables, JoinAges(), given)
    assert sorted(panel) == sorted(want)
    cells = 0
    for key, row in want.items():
        event = key[0]
        micro = plain_microstructure(flow.get(event, []), event, row["as_of"])
        row |= {name: micro[name.removeprefix("micro_")] for name in MICROSTRUCTURE}
        newest = max((q["known_at"] for q in flow.get(event, []) if q["known_at"] <= row["as_of"]), default=None)
        row["inputs_known_at"] = max(t for t in (row["inputs_known_at"], newest) if t is not None)
        (copied,) = (d for d in by_event[event] if (d["horizon"], d["mapping_version"]) == key[1:])
        for name, got in panel[key].items():
            assert_same(got, row[name] if name in row else copied[name], (key, name))
            cells += 1
    return cells


def compare_labels(lake: Lake) -> int:
    """Every row of the labels, and every response of daily closes; the number of cells."""
    names = ("events", "macro_observations", "contracts", "distributions", "contract_specs", "consensus")
    want = {(r["event_ticker"], r["known_at"]): r for r in label_rows(*(rows_of(lake, n) for n in names))}
    labels = {(r["event_ticker"], r["known_at"]): r for r in rows_of(lake, "labels")}
    assert sorted(labels) == sorted(want)
    event_of = {e["event_ticker"]: e for e in sorted(rows_of(lake, "events"), key=lambda e: e["known_at"])}
    cells = 0
    for key, row in labels.items():
        event = event_of[key[0]]
        for name, got in row.items():
            expected = event["release_time"] if name == "ts" else want[key].get(name, event.get(name))
            assert_same(got, expected, (key, name))
            cells += 1
    responses = {(r["event_ticker"], r["symbol"]): r for r in rows_of(lake, "asset_responses")}
    given = {k: r for k, r in responses.items() if r["reason"] is None and r["calendar"] is not None}
    plain = close_responses(list(event_of.values()), rows_of(lake, "asset_prices"))
    assert sorted(given) == sorted(plain)
    for pair, row in plain.items():
        for name, value in row.items():
            assert_same(given[pair][name], value, (pair, name))
            cells += 1
    return cells
