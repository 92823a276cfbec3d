"""The comparison itself, and our half of it; the SDK's half needs a package index and runs by ``make conformance``."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from kalshi_assets.emulator.archive import load_archive
from kalshi_assets.emulator.server import serve
from kalshi_assets_tests.conformance import client_reader
from kalshi_assets_tests.conformance.__main__ import differences, main, table
from kalshi_assets_tests.conformance.questions import questions


def test_values_that_differ_or_are_absent_are_found() -> None:
    ours = {"a": ["1"], "b": ["2"], "d": ["4"]}
    theirs = {"a": ["1"], "b": ["3"], "c": ["9"]}
    assert differences(ours, theirs) == ["b", "c", "d"]
    lines = list(table(ours, theirs))
    assert [line.split()[0] for line in lines if line.startswith("  equal") or "DIFFERENT" in line] == [
        "equal",
        *["DIFFERENT"] * 3,
    ]
    assert sum("our client" in line for line in lines) == 3
    assert differences(ours, dict(ours)) == []


def test_our_half_reads_what_the_archive_holds(archive: Path) -> None:
    served = load_archive(archive)
    asked = questions(served)
    with serve(served) as server:
        read = client_reader.answers({**asked, "base_url": server.base_url, "keys": {}})
    markets = served.tables["markets"].to_pylist()
    assert asked["series"] == ["KXCPIYOY", "KXPAYROLLS", "KXU3"] == read["series listed"][1:]
    assert sum(int(read[f"markets {s} both tiers"][0]) for s in asked["series"]) == len(markets)
    assert sum(Decimal(read[f"markets {s} both tiers"][3]) for s in asked["series"]) == sum(
        m["volume"] for m in markets
    )
    trades = served.tables["trades"].to_pylist()
    for ticker in asked["trades"]:
        own = [t for t in trades if t["ticker"] == ticker]
        assert int(read[f"trades {ticker}"][2]) == len(own)
        assert Decimal(read[f"trades {ticker}"][5]) == sum(t["count"] for t in own)
    for tier in ("live", "historical"):
        at = asked[tier]
        window = [
            c
            for c in served.tables["candlesticks"].to_pylist()
            if (c["ticker"], c["period_interval"]) == (at["ticker"], at["period"])
            and at["start"] <= c["end_period_ts"] <= at["end"]
        ]
        name = {"live": "candles live, batch", "historical": "candles historical"}[tier]
        assert [int(v) for v in read[name][:3]] == [len(window), window[0]["end_period_ts"], at["end"]]
        assert Decimal(read[name][3]) == sum(c["volume"] for c in window) > 0


def test_without_a_package_index_it_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    assert main(tmp_path / "environment") == 0
    said = capsys.readouterr().out
    assert said.startswith("conformance: skipped")
    assert "kalshi-python-sync" in said
    assert len(said.splitlines()) == 1
