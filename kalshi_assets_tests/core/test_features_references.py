"""The panel's reference columns against plain Python, cell by cell, and against what comes later."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from kalshi_assets.core.conditions import policy_rate
from kalshi_assets.core.features import JoinAges, feature_panel
from kalshi_assets.core.reference_features import References
from kalshi_assets.core.tables import CONSENSUS_GAPS, DISAGREEMENT, FUTURES_GAPS, OPTION_FACTORS, OPTION_GAPS
from kalshi_assets_tests.core.event_rows import RELEASE, event_row, price_row, snapshot_row, table
from kalshi_assets_tests.core.plain_panel import panel_rows
from kalshi_assets_tests.core.plain_references import PlainReferences

Rows = list[dict[str, Any]]
DAY = timedelta(days=1)
FED = datetime(2024, 7, 31, 18, tzinfo=UTC)
MEETINGS = (date(2024, 5, 1), date(2024, 6, 12), date(2024, 7, 31), date(2024, 9, 18))
EVENTS = {"KXCPIYOY-24JUN": RELEASE, "KXFED-24JUL": FED, "KXHIGHNY-24JUL11": RELEASE + timedelta(hours=5)}
NAMED = ("7d", "3d", "1d", "1h")


def world(seed: int) -> tuple[Rows, Rows, PlainReferences]:
    """Distributions, prices and references with gaps, corrections and late arrivals."""
    rng = random.Random(seed)

    def maybe(low: float, high: float, share: float = 0.9) -> float | None:
        return rng.uniform(low, high) if rng.random() < share else None

    distributions: Rows = []
    for event, release in EVENTS.items():
        grid = [("daily", release - (n + 0.4) * DAY) for n in range(rng.choice([9, 14, 25]))]
        for horizon, as_of in [*grid, *((h, None) for h in NAMED if rng.random() < 0.9)]:
            values = {name: maybe(0.01, 5.0) for name in ("mean", "variance", "entropy", "tail_p_1")}
            row = snapshot_row(horizon, event, release, as_of=as_of, tail_threshold_1=maybe(5.0, 5.75), **values)
            distributions.append(row if rng.random() < 0.95 else row | {"inputs_known_at": None})
    # With a meeting in August too, July is known only by way of October.
    given = PlainReferences(meetings=MEETINGS if seed % 3 else tuple(sorted((*MEETINGS, date(2024, 8, 28)))))
    given.events = [event_row(e, r, period=date(2024, 6, 1) if "CPI" in e else None) for e, r in EVENTS.items()]
    if seed % 2:  # the period was wrong at first
        given.events[0] |= {"known_at": RELEASE - 2 * DAY}
        given.events.append(event_row(period=date(2024, 5, 1)))

    def file(rows: Rows, key: str, day: date, late: timedelta, row: dict[str, Any]) -> None:
        """A row known at the end of its day, now and then later, now and then corrected."""
        ts = datetime(day.year, day.month, day.day, 20, tzinfo=UTC)
        known = ts + late + (rng.choice([0, 0, 0, 0, 3]) * DAY)
        rows.append({"date": day, "ts": ts, "known_at": known} | row)
        if rng.random() < 0.1:
            rows.append(rows[-1] | {"known_at": known + 2 * DAY, key: row[key] * 1.01})

    for n in range(150):
        day = date(2024, 3, 6) + n * DAY
        if day.weekday() < 5:
            iv = rng.uniform(0.1, 0.3)
            for symbol in ("SPX", "SPY") if rng.random() < 0.5 else ("SPX",):
                file(given.option_surfaces, "iv_30", day, timedelta(hours=8), {
                    "symbol": symbol, "iv_30": iv, "iv_60": maybe(0.1, 0.3), "iv_90": maybe(0.1, 0.3),
                    "put_25d": maybe(0.1, 0.4), "call_25d": maybe(0.1, 0.3), "close": maybe(90, 110),
                })  # fmt: skip
            if n > 100 and rng.random() < 0.8:
                for month in (5, 6, 7, 8, 9, 10):
                    if rng.random() < 0.95:
                        file(given.fed_funds_futures, "price", day, timedelta(hours=4), {
                            "contract_month": date(2024, month, 1), "price": 94.67 + rng.uniform(0, 0.1),
                        })  # fmt: skip
            if n > 130 and rng.random() < 0.3:
                p = rng.random()
                for target, q in ((5.125, p), (5.375, (1 - p) * rng.choice([1, 1, 1, 0.5]))):
                    given.fomc_probabilities.append({
                        "meeting_date": FED.date(), "date": day, "target_mid_pct": target, "probability": q,
                        "target_tenths_bp": round(target * 1000),
                        "ts": datetime(day.year, day.month, day.day, 19, tzinfo=UTC),
                        "known_at": datetime(day.year, day.month, day.day, 20, tzinfo=UTC) + rng.choice([0, 3]) * DAY,
                    })  # fmt: skip
    given.consensus = [
        {"series_ticker": "KXCPIYOY", "period": date(2024, 6, 1), "consensus": 3.0 + n / 10,
         "ts": RELEASE - n * DAY, "known_at": RELEASE - n * DAY}
        for n in rng.sample(range(-3, 80), 3)
    ]  # fmt: skip
    rate = 5.5
    prices = [price_row("DFEDTARU", date(2024, 4, 1) + n * DAY, rate) for n in range(125) if rng.random() < 0.8]
    return distributions, prices, given


def built(distributions: Rows, prices: Rows, given: PlainReferences) -> dict[Any, dict[str, Any]]:
    asset_prices, macro = table("asset_prices", prices), table("macro_observations", [])
    names = ("events", "option_surfaces", "fed_funds_futures", "fomc_probabilities", "consensus")
    references = References(
        **{name: table(name, getattr(given, name)) for name in names},
        policy_rate=policy_rate(macro, asset_prices), meetings=given.meetings,
    )  # fmt: skip
    panel = feature_panel(
        table("distributions", distributions), table("quotes", []), macro, asset_prices, references=references
    )
    return {(r["event_ticker"], r["horizon"], r["mapping_version"]): r for r in panel.to_pylist()}


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_plain_python_cell_by_cell(seed: int) -> None:
    distributions, prices, given = world(seed)
    want = panel_rows(distributions, [], prices, JoinAges(), given)
    got = built(distributions, prices, given)
    assert list(got) == sorted(want)
    for key, row in want.items():
        for name, value in row.items():
            if isinstance(value, float):
                assert got[key][name] == pytest.approx(value, rel=1e-9, abs=1e-12), (key, name)
            else:
                assert got[key][name] == value, (key, name)


def test_the_worlds_fill_every_reference_column() -> None:
    filled: set[str] = set()
    for seed in range(5):
        filled |= {n for r in built(*world(seed)).values() for n, v in r.items() if v is not None}
    wanted = {*OPTION_FACTORS, *OPTION_GAPS, *DISAGREEMENT, *FUTURES_GAPS, *CONSENSUS_GAPS}
    assert wanted <= filled, wanted - filled


@pytest.mark.parametrize("seed", range(2))
def test_what_is_learned_later_changes_nothing(seed: int) -> None:
    distributions, prices, given = world(seed)
    full = built(distributions, prices, given)
    known: Callable[[Rows, datetime], Rows] = lambda rows, t: [r for r in rows if r["known_at"] <= t]  # noqa: E731
    for key, row in full.items():
        t = row["as_of"]
        cut = PlainReferences(meetings=given.meetings)
        for name in ("events", "option_surfaces", "fed_funds_futures", "fomc_probabilities", "consensus"):
            setattr(cut, name, known(getattr(given, name), t))
        assert built(known(distributions, t), known(prices, t), cut)[key] == row


def test_without_references_only_their_columns_are_missing() -> None:
    distributions, prices, given = world(1)
    full, bare = built(distributions, prices, given), built(distributions, prices, PlainReferences())
    ours = {n for r in full.values() for n in r if n.startswith(("opt_", "ref_", "gap_", "consensus", "disagree_"))}
    ours |= {"entropy_gap", "tail_gap", "repricing_speed_gap", "uncertainty_gap", "inputs_known_at"}
    ours -= {"disagree_entropy_gap_z", "disagree_tail_gap_z"}
    for key, row in full.items():
        for name, value in row.items():
            if name not in ours:
                assert bare[key][name] == value, (key, name)
            elif name != "inputs_known_at":
                assert bare[key][name] is None, (key, name)


def test_a_rate_decision_rests_on_no_event_beside_it_and_on_the_day_that_was_known() -> None:
    """Between March and April 2027 lies a decision that no packaged file knows: only its own row may use its day."""
    march, april = datetime(2027, 3, 17, 18, tzinfo=UTC), datetime(2027, 4, 28, 18, tzinfo=UTC)
    day = date(2027, 3, 10)
    at = datetime(2027, 3, 10, 21, tzinfo=UTC)
    given = PlainReferences(events=[event_row("KXFED-27MAR", march), event_row("KXFED-27APR", april)])
    given.fed_funds_futures = [
        {"contract_month": date(2027, m, 1), "date": day, "price": 95.0 - m / 10, "ts": at, "known_at": at}
        for m in (2, 3, 4, 5)
    ]  # fmt: skip
    prices = [price_row("DFEDTARU", day, 4.5)]
    rows = {
        e: snapshot_row("7d", e, r, as_of=at + DAY, tail_threshold_1=5.0)
        for e, r in (("KXFED-27MAR", march), ("KXFED-27APR", april))
    }
    both = built(list(rows.values()), prices, given)
    for event, row in rows.items():
        (alone,) = built([row], prices, given).values()
        assert both[event, "7d", "v1"] == alone
        filed = row | {"event_date": date(2027, 6, 16)}
        (moved,) = built([filed], prices, given).values()
        assert moved["ref_mean"] == alone["ref_mean"] is not None
