from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.features import JoinAges, feature_panel
from kalshi_assets.core.labels import label_table
from kalshi_assets.core.tables import FEATURE_BASE, TABLES
from kalshi_assets.errors import DomainError
from kalshi_assets_tests.core.event_rows import (
    HORIZONS,
    RELEASE,
    contract_row,
    empty,
    event_row,
    price_row,
    print_row,
    quote_row,
    snapshot_row,
    spec_row,
    table,
)
from kalshi_assets_tests.core.plain_panel import panel_rows

Rows = list[dict[str, Any]]


def panel(
    distributions: Rows, quotes: Sequence[Any] = (), macro: Sequence[Any] = (), prices: Sequence[Any] = (), **more: Any
) -> pa.Table:
    return feature_panel(
        table("distributions", distributions), table("quotes", list(quotes)),
        table("macro_observations", list(macro)), table("asset_prices", list(prices)), **more,
    )  # fmt: skip


def by_horizon(got: pa.Table, event: str = "KXCPIYOY-24JUN") -> dict[str, dict[str, Any]]:
    return {r["horizon"]: r for r in got.to_pylist() if r["event_ticker"] == event}


def test_one_event_by_hand() -> None:
    got = panel([
        snapshot_row("5min", mean=3.05, variance=0.01, entropy=0.5),
        snapshot_row("1d", mean=3.10, variance=0.04, entropy=1.0),
        snapshot_row("1h", mean=3.15, variance=0.02, entropy=None),
        snapshot_row("4h", mean=3.30, variance=None, entropy=0.8),
        snapshot_row("daily", mean=9.0, as_of=RELEASE - timedelta(hours=6)),
    ])  # fmt: skip
    assert got.schema.equals(TABLES["feature_panel"].schema)
    assert got["horizon"].to_pylist() == ["1d", "1h", "4h", "5min"]
    rows = by_horizon(got)
    assert rows["1d"]["delta_mean"] is None
    assert rows["4h"]["delta_mean"] == pytest.approx(0.20)
    assert rows["4h"]["speed_mean_per_hour"] == pytest.approx(0.20 / 20)
    assert rows["1h"]["delta_mean"] == pytest.approx(-0.15)
    assert rows["1h"]["delta_variance"] is None, "the previous named snapshot has none"
    assert rows["1h"]["minutes_to_release"] == 60.0
    assert rows["1h"]["late_drift_mean"] == pytest.approx(-0.15), "60 minutes is within the hour"
    assert rows["5min"]["late_drift_mean"] == pytest.approx(-0.25), "against four hours, not one"
    assert rows["4h"]["late_drift_mean"] is None
    assert rows["1d"]["variance_collapse_ratio"] == 1.0
    assert rows["4h"]["variance_collapse_ratio"] is None
    assert rows["5min"]["variance_collapse_ratio"] == pytest.approx(0.25)
    assert rows["5min"]["entropy_collapse_ratio"] == pytest.approx(0.5)
    assert rows["5min"]["as_of"] == rows["5min"]["known_at"] == rows["5min"]["ts"] == RELEASE - timedelta(minutes=5)
    assert (rows["5min"]["mapping_version"], rows["5min"]["spec_version"]) == ("v1", "s1")
    assert rows["5min"]["event_type"] == "CPI"


def test_all_horizons_keep_their_own_time_and_their_distances() -> None:
    got = panel([snapshot_row(h, mean=3.0, distance_kl_1d=0.1, distance_kl_1h=0.2) for h in HORIZONS])
    assert len(set(got["as_of"].to_pylist())) == len(HORIZONS)
    assert got["distance_kl_1d"].to_pylist() == [0.1] * 9
    assert got["distance_kl_1h"].to_pylist() == [0.2] * 9
    assert got["delta_distance_kl_1d"].null_count == 1
    assert min(got["minutes_to_release"].to_pylist()) == 5.0


def test_a_first_value_of_zero_gives_no_ratio() -> None:
    rows = by_horizon(panel([snapshot_row("1d", variance=0.0), snapshot_row("1h", variance=0.5)]))
    assert rows["1d"]["variance_collapse_ratio"] is None
    assert rows["1h"]["variance_collapse_ratio"] is None


def test_events_that_interleave_in_time_do_not_mix() -> None:
    other = RELEASE + timedelta(minutes=30)
    one = [snapshot_row(h, mean=1.0 + i) for i, h in enumerate(HORIZONS)]
    two = [snapshot_row(h, "KXU3-24JUN", other, mean=100.0 + i) for i, h in enumerate(HORIZONS)]
    got = panel([row for pair in zip(two, one, strict=True) for row in pair])
    assert got.num_rows == 18
    assert got["delta_mean"].drop_null().to_pylist() == [1.0] * 16


def test_strictly_before_the_release() -> None:
    releases = [datetime(2024, m, 11, 12, 30, tzinfo=UTC) for m in range(1, 6)]
    rows = [snapshot_row(h, f"KXCPIYOY-24M{r.month}", r, mean=3.0) for r in releases for h in ("15min", "1h")]
    got = panel(rows)
    assert got.num_rows == 10
    assert all(a < r for a, r in zip(got["as_of"].to_pylist(), got["release_time"].to_pylist(), strict=True))
    assert all(k <= a for k, a in zip(got["inputs_known_at"].to_pylist(), got["as_of"].to_pylist(), strict=True))
    for late in (timedelta(0), timedelta(seconds=1)):
        with pytest.raises(DomainError, match="not before its release"):
            panel([snapshot_row("5min", as_of=RELEASE + late, mean=3.0)])


def test_a_snapshot_that_names_no_mapping_is_refused() -> None:
    with pytest.raises(DomainError, match="snapshot 1h of KXCPIYOY-24JUN does not say which mapping"):
        panel([snapshot_row("1d", mean=3.0), snapshot_row("1h", mean=3.0, mapping_version=None)])


def test_a_two_year_old_distribution_is_not_joined() -> None:
    old = RELEASE - timedelta(days=730)
    rows = by_horizon(panel([
        snapshot_row("30d", as_of=old, mean=9.0, variance=9.0, entropy=9.0),
        snapshot_row("1h", mean=3.0, variance=0.5, entropy=1.0),
    ]))  # fmt: skip
    assert rows["1h"]["delta_mean"] is rows["1h"]["late_drift_mean"] is None
    assert rows["1h"]["variance_collapse_ratio"] == 1.0
    assert list(by_horizon(panel([snapshot_row("1h", mean=9.0, inputs_known_at=old)]))) == []
    reach = JoinAges(distribution=timedelta(days=800))
    assert list(by_horizon(panel([snapshot_row("1h", mean=9.0, inputs_known_at=old)], max_age=reach))) == ["1h"]


def test_a_snapshot_that_rests_on_nothing_has_no_row_and_breaks_the_chain() -> None:
    rows = by_horizon(panel([
        snapshot_row("1d", mean=3.0), snapshot_row("4h", mean=None, inputs_known_at=None), snapshot_row("1h", mean=3.2),
    ]))  # fmt: skip
    assert list(rows) == ["1d", "1h"]
    assert rows["1h"]["delta_mean"] is None
    assert rows["1h"]["late_drift_mean"] == pytest.approx(0.2)


def test_a_gated_snapshot_keeps_its_row_and_its_evidence() -> None:
    gated = snapshot_row("1h", mean=None, quality_score=0.2, hard_gate_failed=True, gate_reason="coverage")
    rows = by_horizon(panel([snapshot_row("4h", mean=3.0, quality_score=0.9), gated]))
    assert rows["1h"]["mean"] is None
    assert rows["1h"]["delta_quality_score"] == pytest.approx(-0.7)


def test_a_move_takes_no_row_away_and_nothing_is_compared_across_it() -> None:
    before = [snapshot_row("7d", mean=1.0), snapshot_row("3d", mean=3.0)]
    again = RELEASE + timedelta(days=10)
    after = [snapshot_row(h, release=again, mapping_version="v2", mean=m) for h, m in (("3d", 7.0), ("1h", 4.0))]
    unmoved, moved = panel(before), panel([*after, *before])
    rows = {(r["horizon"], r["mapping_version"]): r for r in moved.to_pylist()}
    assert set(rows) == {("7d", "v1"), ("3d", "v1"), ("3d", "v2"), ("1h", "v2")}
    assert [rows[r["horizon"], "v1"] for r in unmoved.to_pylist()] == unmoved.to_pylist()
    assert [r["delta_mean"] for r in rows.values() if r["horizon"] != "1h"].count(None) == 2
    assert rows["3d", "v1"]["delta_mean"] == 2.0
    assert rows["1h", "v2"]["delta_mean"] == rows["1h", "v2"]["late_drift_mean"] == -3.0
    assert TABLES["feature_panel"].key == ("event_ticker", "horizon", "mapping_version")


def test_one_time_per_event_and_horizon() -> None:
    with pytest.raises(DomainError, match="several snapshots at horizon 1d"):
        panel([snapshot_row("1d"), snapshot_row("1d", as_of=RELEASE - timedelta(days=2))])


def monthly_prints(values: list[float], **more: Any) -> Rows:
    rows = []
    for i, value in enumerate(values):
        month = 2023 * 12 + i
        period = date(month // 12, month % 12 + 1, 1)
        known = datetime((month + 1) // 12, (month + 1) % 12 + 1, 12, 12, 30, tzinfo=UTC)
        rows.append(print_row(value, known, period, **more))
    return rows


def test_prints_as_known_then() -> None:
    macro = monthly_prints([float(i) for i in range(1, 18)])  # January 2023 to May 2024, known 12 June 2024
    macro.append(print_row(7.0, datetime(2024, 6, 20, tzinfo=UTC), date(2024, 5, 1)))  # a revision of May
    macro.append(print_row(99.0, RELEASE, date(2024, 6, 1)))  # the print to come
    got = by_horizon(panel([snapshot_row(h, mean=20.0) for h in ("30d", "1d")], macro=macro))
    assert got["1d"]["last_print"] == 17.0, "a revision is not a print"
    assert got["1d"]["last_print_gap"] == 3.0
    assert got["1d"]["print_mean_12"] == np.mean(range(6, 18))
    assert got["1d"]["print_mean_12_gap"] == 20.0 - 11.5
    assert got["30d"]["last_print"] == 16.0, "at 12:30 on 11 June that of May was a day away"
    few = by_horizon(panel([snapshot_row("1d", mean=3.0)], macro=macro[6:17]))
    assert few["1d"]["last_print"] == 17.0
    assert few["1d"]["print_mean_12"] is None, "eleven prints are not a year"
    stale = by_horizon(panel([snapshot_row("1d", mean=3.0)], macro=macro[:3]))
    assert stale["1d"]["last_print"] is None


def test_prints_are_rounded_as_published_and_taken_from_the_own_statistic() -> None:
    macro = [
        print_row(3.2512, RELEASE - timedelta(days=30), date(2024, 5, 1)),
        print_row(4.0, RELEASE - timedelta(days=34), date(2024, 5, 1), series="UNRATE", units="lin"),
    ]
    rows = [snapshot_row("1d", mean=3.0), snapshot_row("1d", "KXU3-24JUN"), snapshot_row("1d", "KXFED-24JUN")]
    got = panel(rows, macro=macro)
    assert got["last_print"].to_pylist() == [3.3, None, 4.0]


@pytest.mark.parametrize(
    ("cpi", "vix", "rates", "tags"),
    [
        (3.5, 25.0, (5.25, 5.5), ("high", "tightening", "high")),
        (2.0, 15.0, (5.5, 5.25), ("low", "easing", "low")),
        (2.1, 15.1, (5.5, 5.5), ("moderate", "neutral", "moderate")),
    ],
)
def test_regimes_as_known_then(cpi: float, vix: float, rates: tuple[float, float], tags: tuple[str, ...]) -> None:
    macro = [print_row(cpi, RELEASE - timedelta(days=30), date(2024, 5, 1)), print_row(9.0, RELEASE)]
    yesterday, spring = date(2024, 7, 9), date(2024, 4, 8)
    prices = [price_row("VIXCLS", yesterday, vix), price_row("VIXCLS", date(2024, 7, 11), 80.0)]
    prices += [price_row("DFEDTARU", spring, rates[0]), price_row("DFEDTARU", yesterday, rates[1])]
    row = by_horizon(panel([snapshot_row("1d")], macro=macro, prices=prices))["1d"]
    assert (row["inflation_regime"], row["policy_regime"], row["volatility_regime"]) == tags
    assert row["inputs_known_at"] == RELEASE - timedelta(days=1, seconds=30)

    as_series = [
        print_row(p["close"], p["known_at"], p["date"], "DFEDTARU", "lin", ts=p["ts"])
        for p in prices if p["symbol"] == "DFEDTARU"
    ]  # fmt: skip
    row = by_horizon(panel([snapshot_row("1d")], macro=as_series))["1d"]
    assert (row["inflation_regime"], row["policy_regime"], row["volatility_regime"]) == ("unknown", tags[1], "unknown")


def test_a_close_older_than_a_week_says_nothing() -> None:
    prices = [price_row("VIXCLS", date(2024, 7, 2), 30.0)]
    rows = by_horizon(panel([snapshot_row("3d"), snapshot_row("1d")], prices=prices))
    assert (rows["3d"]["volatility_regime"], rows["1d"]["volatility_regime"]) == ("high", "unknown")


def test_a_late_correction_does_not_refresh_an_old_close() -> None:
    corrected = price_row("VIXCLS", date(2024, 6, 20), 30.0, known_at=RELEASE - timedelta(days=2))
    newer = price_row("VIXCLS", date(2024, 7, 8), 10.0)
    assert by_horizon(panel([snapshot_row("1d")], prices=[corrected]))["1d"]["volatility_regime"] == "unknown"
    assert by_horizon(panel([snapshot_row("1d")], prices=[corrected, newer]))["1d"]["volatility_regime"] == "low"


def test_inputs_known_at_is_the_newest_thing_used() -> None:
    quote = quote_row("A", RELEASE - timedelta(hours=1, seconds=5), "0.10", "0.12")
    assert by_horizon(panel([snapshot_row("1h")], [quote]))["1h"]["inputs_known_at"] == quote["known_at"]
    macro = [print_row(3.0, RELEASE - timedelta(hours=1, seconds=2), date(2024, 5, 1))]
    row = by_horizon(panel([snapshot_row("1h")], [quote], macro))["1h"]
    assert row["inputs_known_at"] == macro[0]["known_at"]
    leaking = snapshot_row("1h", inputs_known_at=RELEASE)
    assert by_horizon(panel([leaking]))["1h"]["inputs_known_at"] == RELEASE, "a fault upstream stays visible"


# --- against plain Python, and against the future ---------------------------------------------------

EVENTS = {
    "KXCPIYOY-24JUN": RELEASE, "KXU3-24JUN": RELEASE - timedelta(days=6), "KXCPI-24JUN": RELEASE,
    "KXHIGHNY-24JUL11": RELEASE + timedelta(hours=5), "KXOTHER-1": RELEASE + timedelta(minutes=1),
}  # fmt: skip
maybe = st.one_of(st.none(), st.integers(0, 40).map(lambda n: n / 10))


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Rows, Rows, Rows]:
    distributions: Rows = []
    for event, release in EVENTS.items():
        for horizon in draw(st.lists(st.sampled_from([*HORIZONS, "daily"]), unique=True, max_size=6)):
            as_of = release - HORIZONS.get(horizon, timedelta(hours=9))
            age = draw(st.one_of(st.none(), st.integers(0, 9)))
            values = {name: draw(maybe) for name in ("mean", "variance", "entropy", "quality_score", "tail_p_2")}
            inputs = None if age is None else as_of - timedelta(days=age)
            row = snapshot_row(horizon, event, release, as_of=as_of, inputs_known_at=inputs, **values)
            distributions.append(row)
            if horizon != "daily" and draw(st.booleans()):  # and once more, the release having moved
                times = {n: row[n] and row[n] + timedelta(days=8) for n in ("as_of", "release_time", "inputs_known_at")}
                distributions.append(row | times | {"mapping_version": "v2", "mean": draw(maybe)})
    macro: dict[Any, dict[str, Any]] = {}
    for series, units in (("CPIAUCNS", "pc1"), ("UNRATE", "lin"), ("CPIAUCSL", "pch")):
        start = draw(st.integers(0, 18))
        for i in range(start, 20):
            for delay in draw(st.lists(st.integers(1, 400), min_size=0 if i % 5 == 0 else 1, max_size=2)):
                period = date(2022 + (10 + i) // 12, (10 + i) % 12 + 1, 1)
                known = datetime(period.year, period.month, 1, tzinfo=UTC) + timedelta(days=delay)
                row = print_row(draw(st.integers(-50, 500)) / 100, known, period, series, units)
                macro[series, period, known] = row
    prices: dict[Any, dict[str, Any]] = {}
    for symbol, levels in (("VIXCLS", (10.0, 20.0, 30.0)), ("DFEDTARU", (5.0, 5.25))):
        for back in draw(st.lists(st.integers(-2, 110), max_size=12)):
            day = RELEASE.date() - timedelta(days=back)
            late = timedelta(days=draw(st.integers(0, 3)))
            row = price_row(symbol, day, draw(st.sampled_from(levels)))
            row["known_at"] += late
            prices[symbol, day, row["known_at"]] = row
    return distributions, list(macro.values()), list(prices.values())


@settings(max_examples=40, deadline=None)
@given(worlds())
def test_agrees_with_plain_python_cell_by_cell(world: tuple[Rows, Rows, Rows]) -> None:
    distributions, macro, prices = world
    want = panel_rows(distributions, macro, prices, JoinAges())
    built = panel(distributions, (), macro, prices).to_pylist()
    got = {(r["event_ticker"], r["horizon"], r["mapping_version"]): r for r in built}
    assert list(got) == sorted(want)
    for key, row in want.items():
        for name, value in row.items():
            if isinstance(value, float):
                assert got[key][name] == pytest.approx(value, rel=1e-12, abs=1e-12), (key, name)
            else:
                assert got[key][name] == value, (key, name)


@settings(max_examples=20, deadline=None)
@given(worlds(), st.randoms(use_true_random=False))
def test_what_is_learned_later_changes_nothing(world: tuple[Rows, Rows, Rows], shuffler: Any) -> None:
    distributions, macro, prices = world
    quotes = [
        quote_row(c, RELEASE - timedelta(minutes=m), "0.1", "0.2", "1", event=e)
        for e in EVENTS for c in "AB" for m in (2, 20, 70, 300, 1500)
    ]  # fmt: skip
    before = panel(distributions, quotes, macro, prices)
    cuts = sorted({(r["horizon"], r["as_of"]) for r in before.to_pylist()})
    for horizon, cut in shuffler.sample(cuts, min(4, len(cuts))):
        later = [
            [r for r in rows if r["known_at"] <= cut] for rows in (quotes, macro, prices)
        ]  # fmt: skip
        future = cut + timedelta(microseconds=1)
        later[0] += [quote_row("Z", future, "0.5", "0.9", "7", event=e) for e in EVENTS]
        later[1] += [
            print_row(77.0, future, date(2024, 7, 1), s, u) for s, u in (("CPIAUCNS", "pc1"), ("UNRATE", "lin"))
        ]
        later[2] += [price_row("VIXCLS", date(2024, 7, 20), 99.0, known_at=future)]
        for rows in later:
            shuffler.shuffle(rows)
        sightless = [d for d in distributions if d["as_of"] <= cut]
        after = panel(sightless, *later)
        kept = [r for r in before.to_pylist() if r["as_of"] == cut and r["horizon"] == horizon]
        again = [r for r in after.to_pylist() if r["as_of"] == cut and r["horizon"] == horizon]
        assert kept == again, "bit-identical, not approximately"


def test_an_event_alone_gives_the_same_rows() -> None:
    rows = [snapshot_row(h, e, r, mean=len(e) + i / 7) for e, r in EVENTS.items() for i, h in enumerate(HORIZONS)]
    together = panel(rows)
    for event in EVENTS:
        alone = panel([r for r in rows if r["event_ticker"] == event])
        assert alone.to_pylist() == [r for r in together.to_pylist() if r["event_ticker"] == event]


def test_an_empty_world_gives_an_empty_panel() -> None:
    got = panel([])
    assert got.num_rows == 0
    assert got.schema.equals(TABLES["feature_panel"].schema)


def test_two_hundred_event_dates_within_a_second() -> None:
    def world(n: int) -> dict[str, Rows]:
        made: dict[str, Rows] = {k: [] for k in ("distributions", "quotes", "macro", "events", "contracts", "specs")}
        for k in range(n):
            release = RELEASE + timedelta(days=30 * k)
            month = 2024 * 12 + 5 + k
            period, event = date(month // 12, month % 12 + 1, 1), f"KXCPIYOY-{k:04d}"
            made["events"].append(event_row(event, release, period=period))
            made["macro"].append(print_row(3.1, release, period))
            for i, h in enumerate(HORIZONS):
                values = dict.fromkeys(FEATURE_BASE, 1.0 + i)
                made["distributions"].append(snapshot_row(h, event, release, median=3.0, std=0.1, **values))
            for c in range(10):
                strike = f"T{c}"
                made["contracts"].append(contract_row(strike, "yes" if c < 5 else "no", event=event, release=release))
                made["specs"].append(spec_row(strike, 27 + c, None, event=event, release=release))
                made["quotes"] += [
                    quote_row(strike, release - timedelta(hours=h), "0.1", "0.2", event=event, period_s=3600)
                    for h in range(40)
                ]
        return made

    def run(tables: dict[str, pa.Table]) -> tuple[pa.Table, pa.Table]:
        prices = empty("asset_prices")
        features = feature_panel(tables["distributions"], tables["quotes"], tables["macro"], prices)
        names = ("events", "macro", "contracts", "distributions", "specs")
        return features, label_table(*(tables[n] for n in names))

    full_names = {"macro": "macro_observations", "specs": "contract_specs"}
    small, large = (
        {name: table(full_names.get(name, name), rows) for name, rows in world(n).items()} for n in (2, 200)
    )
    run(small)  # compiles the kernels
    started = time.perf_counter()
    features, labels = run(large)
    elapsed = time.perf_counter() - started
    assert features.num_rows == 1800
    assert labels["first_print"].null_count == 0
    assert elapsed < 1.0, f"{elapsed:.2f} s"


def test_prices_are_decimal_on_the_way_in() -> None:
    row = quote_row("A", RELEASE - timedelta(hours=2), "0.123400", "0.123500")
    assert isinstance(row["yes_bid_close_usd"], Decimal)
    got = by_horizon(panel([snapshot_row("1h")], [row]))["1h"]
    assert got["micro_spread_median"] == 0.0001
