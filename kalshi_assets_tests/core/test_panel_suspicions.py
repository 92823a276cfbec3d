"""What a finished panel is suspected of: 24 events of two series, their outcomes and the lake's own panel."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import spearmanr

from kalshi_assets.core.panel_suspicions import Suspicion, panel_suspicions
from kalshi_assets_tests.core.event_rows import HORIZONS, RELEASE, contract_row, event_row, table

N, USED = 24, ("7d", "1d", "1h")
RNG = np.random.default_rng(6)
SERIES = np.arange(N) % 2
RELEASES = [RELEASE + timedelta(days=30 * (i // 2)) for i in range(N)]
EVENTS = [f"{('KXCPIYOY', 'KXU3')[i % 2]}-{i}" for i in range(N)]
Y = np.round(3 + SERIES + RNG.normal(0, 0.4, N), 1)
# The market knows more as time goes on, and never all.
MEAN = {h: Y + RNG.normal(0, s, N) for h, s in zip(USED, (0.25, 0.18, 0.12), strict=True)}
CONSENSUS = np.round(Y + RNG.normal(0, 0.12, N), 1)
STRIKES = np.array([2.9, 3.4, 3.9])
PAYS = (Y[:, None] > STRIKES).astype(float)
ALMOST = (np.arange(PAYS.size) % 40 == 7).reshape(PAYS.shape) != PAYS
PROB = np.clip(0.5 + Y[:, None] - STRIKES + RNG.normal(0, 0.3, PAYS.shape), 0.01, 0.99)

Each = Iterable[tuple[int, str, datetime]]


def snapshots() -> Each:
    return ((i, h, RELEASES[i] - HORIZONS[h]) for i in range(N) for h in USED)


def own_panel(**more: Callable[[int, str], float | None]) -> pa.Table:
    return table("feature_panel", [
        event_key(i) | {
            "horizon": h, "as_of": at, "inputs_known_at": at - timedelta(seconds=30), "mean": float(MEAN[h][i]),
            "median": float(MEAN[h][i] + 0.01 * (i % 3)), "consensus": float(CONSENSUS[i]),
            "consensus_gap": float(MEAN[h][i] - CONSENSUS[i]), "last_print": float(Y[max(0, i - 2)]),
            **{name: given(i, h) for name, given in more.items()},
        }
        for i, h, at in snapshots()
    ])  # fmt: skip


def label(i: int) -> dict[str, Any]:
    learned = RELEASES[i] + timedelta(minutes=1)
    surprise = float(Y[i] - MEAN["1h"][i])
    return event_key(i) | {
        "release_time": RELEASES[i], "ts": RELEASES[i], "known_at": RELEASES[i] + timedelta(hours=1),
        "first_print": float(Y[i]), "first_print_learned_at": learned, "settled_lo": float(Y[i]),
        "settled_hi": float(Y[i]), "settlement_learned_at": learned, "surprise_mean": surprise,
        "surprise_median": surprise, "surprise_std": surprise / (0.1 + 0.01 * i),
        "surprise_consensus": float(Y[i] - CONSENSUS[i]),
    }  # fmt: skip


def event_key(i: int) -> dict[str, Any]:
    return {
        "event_ticker": EVENTS[i], "series_ticker": EVENTS[i].split("-")[0], "event_date": RELEASES[i].date()
    }  # fmt: skip


def ask(panel: pa.Table, own: pa.Table | None = None) -> list[Suspicion]:
    contracts = [
        contract_row(
            str(k), "yes" if PAYS[i, k] else "no", event=EVENTS[i], release=RELEASES[i], outcome_type="binary",
            settlement_value_usd=Decimal(int(PAYS[i, k])),
        )
        for i, k in np.ndindex(PAYS.shape)
    ]  # fmt: skip
    rungs = [
        event_key(i) | {
            "horizon": "7d", "as_of": RELEASES[i] - HORIZONS["7d"], "ticker": f"{EVENTS[i]}-{k}",
            "repaired_prob": PROB[i, k],
        }
        for i, k in np.ndindex(PAYS.shape)
    ]  # fmt: skip
    found = panel_suspicions(
        panel, "as_of", table("events", [event_row(e, r) for e, r in zip(EVENTS, RELEASES, strict=True)]),
        table("labels", [label(i) for i in range(N)]), own or own_panel(), table("contracts", contracts),
        table("distribution_rungs", rungs),
    )  # fmt: skip
    return [s for s in found if not s.passed]


def panel(value: Any, name: str = "feature_7", **more: Any) -> pa.Table:
    """A column of one value an event, or of one for each horizon."""
    given = value if isinstance(value, dict) else dict.fromkeys(USED, value)
    rows = [(EVENTS[i], at, given[h][i]) for i, h, at in snapshots()]
    event, as_of, values = zip(*rows, strict=True)
    return pa.table({"event_ticker": event, "as_of": pa.array(as_of, pa.timestamp("us", "UTC")), name: values, **more})


def of_contracts(value: Any) -> pa.Table:
    rows = [
        (EVENTS[i], f"{EVENTS[i]}-{k}", RELEASES[i] - HORIZONS["1d"], value[i, k]) for i, k in np.ndindex(PAYS.shape)
    ]
    event, ticker, as_of, values = zip(*rows, strict=True)
    times = pa.array(as_of, pa.timestamp("us", "UTC"))
    return pa.table({"event_ticker": event, "ticker": ticker, "as_of": times, "feature_7": values})


def z_score(values: Any) -> Any:
    return (values - values.mean()) / values.std()


def within_series(values: Any) -> Any:
    return np.where(SERIES == 0, (values - values[SERIES == 0].mean()), (values - values[SERIES == 1].mean()) / 7)


FORMS = {
    "the outcome": (Y, "equals_outcome"),
    "in per cent": (Y / 100, "tracks_outcome"),
    "moved by one": (Y + 1, "tracks_outcome"),
    "upside down": (-Y, "tracks_outcome"),
    "with noise": (Y + RNG.normal(0, 0.001, N), "tracks_outcome"),
    "z-score of the whole sample": (z_score(Y), "tracks_outcome"),
    "scaled within each series": (within_series(Y), "tracks_outcome"),
    "above a threshold": (Y > 3.4, "separates_outcome"),
    "not above it, as a number": (np.where(Y > 3.4, -1.0, 5.0), "separates_outcome"),
    "the surprise in another unit": (100 * (Y - CONSENSUS), "tracks_outcome"),
    "a surprise upwards": (MEAN["1h"] < Y, "separates_outcome"),
}


@pytest.mark.parametrize(("value", "rule"), FORMS.values(), ids=list(FORMS))
def test_a_form_of_the_outcome_is_found(value: Any, rule: str) -> None:
    found = ask(panel(value))
    assert {(s.rule, s.column) for s in found} == {(rule, "feature_7")}


def test_the_sentence_names_outcome_events_and_both_numbers() -> None:
    rho = spearmanr(np.concatenate([MEAN[h] for h in USED]), np.tile(Y, 3)).statistic
    assert ask(panel(Y / 100))[0].detail == (
        "|Spearman| 1.0000 with first_print over 24 events, where it was learned only later;"
        f" the lake's own forecast has {rho:.4f}"
    )
    assert ask(panel(Y > 3.4))[0].detail == (
        "separates first_print into two without an error over 24 events, where it was learned only later;"
        " the lake's own forecast does not"
    )


@pytest.mark.parametrize("seed", range(10))
def test_an_honest_forecast_passes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    honest = {
        "as_good": {h: Y + rng.normal(0, 0.12, N) for h in USED},
        "better": {h: Y + rng.normal(0, 0.09, N) for h in USED},
        "the_markets": {h: MEAN[h] + rng.normal(0, 0.01, N) for h in USED},
        "consensus": CONSENSUS,
        "rounded": {h: np.round(MEAN[h], 1) for h in USED},
        "high": {h: MEAN[h] > 3.4 for h in USED},
        "coin": rng.random(N) > 0.5,
        "noise": rng.normal(0, 1, N),
        "trend": np.arange(N),
        "nothing": np.zeros(N),
    }
    for name, value in honest.items():
        assert ask(panel(value, name)) == [], name


def test_the_lakes_own_panel_passes() -> None:
    assert ask(own_panel()) == []
    sharp = own_panel(consensus_gap=lambda i, _: float(Y[i] - CONSENSUS[i] + 0.001 * np.sin(i)))
    assert ask(sharp, sharp) == []


def test_what_the_lake_forecasts_as_well_is_no_leak() -> None:
    """A meeting whose outcome the market has in its price: whoever says the same has not looked ahead."""
    sure = own_panel(mean=lambda i, h: float(Y[i] + 0.04 * np.sin(i + USED.index(h))))
    for value in (Y, Y / 100, Y > 3.4):
        assert ask(panel(value), sure) == []
        assert ask(panel(value)) != []


def test_without_a_forecast_of_the_lake_nothing_excuses() -> None:
    without = own_panel(mean=lambda *_: None, consensus_gap=lambda *_: None)
    for value in (Y / 100, Y > 3.4):
        assert ask(panel(value), without)[0].detail.endswith("; the lake has no forecast of it")


def test_eleven_events_prove_no_rank_and_rows_are_no_events() -> None:
    for k, suspected in ((11, False), (12, True)):
        first = panel(Y / 100).slice(0, k * len(USED))
        assert bool(ask(first)) == suspected


def test_an_outcome_that_was_known_by_then_is_no_leak() -> None:
    late = pa.array([RELEASES[i] + timedelta(minutes=1) for i, *_ in snapshots()], pa.timestamp("us", "UTC"))
    assert {s.rule for s in ask(panel(Y / 100).set_column(1, "as_of", late))} == {"as_of_before_release"}


@pytest.mark.parametrize(
    ("value", "suspected"),
    [
        (PAYS, True), (1 - PAYS, True), (PAYS > 0, True), (PAYS + RNG.normal(0, 0.01, PAYS.shape), True),
        (PROB, False), (PROB > 0.5, False), (ALMOST, False),
        (np.clip(PROB + RNG.normal(0, 0.02, PAYS.shape), 0, 1), False),
        (np.tile(STRIKES, (N, 1)), False),
    ],
    ids=["result", "no_result", "boolean", "noise", "price", "likelier", "right_but_twice", "another_price", "strike"],
)  # fmt: skip
def test_a_contracts_result_is_an_outcome_where_rows_name_contracts(value: Any, suspected: bool) -> None:
    found = ask(of_contracts(value))
    assert bool(found) == suspected
    assert all("result" in s.detail for s in found)


@pytest.mark.parametrize(
    ("value", "suspected"),
    [
        (dict.fromkeys(USED, MEAN["1h"]), True),
        ({"7d": MEAN["1d"], "1d": MEAN["1h"], "1h": MEAN["1h"]}, True),
        ({h: MEAN["1h"].astype(np.float32) for h in USED}, True),
        ({"7d": np.where(SERIES, MEAN["7d"], MEAN["1d"]), "1d": MEAN["1d"], "1h": MEAN["1h"]}, True),
        (MEAN, False),
        (dict.fromkeys(USED, MEAN["7d"]), False),
        ({h: MEAN[h] * (1 + 1e-4) for h in USED}, False),
    ],
    ids=["last", "next", "as_float32", "of_one_series", "own", "earlier", "rounded"],
)
def test_a_value_that_the_lake_had_only_later(value: Any, suspected: bool) -> None:
    assert [s.rule for s in ask(panel(value, "mean"))] == ["equals_later_snapshot"] * suspected


def test_a_value_that_came_back_was_not_only_later() -> None:
    own = own_panel(kurtosis=lambda i, h: float(MEAN["1d" if h == "1d" else "7d"][i]))
    assert ask(panel(MEAN["7d"], "kurtosis"), own) == []


def test_a_gap_filled_from_behind() -> None:
    own = own_panel(kurtosis=lambda i, h: None if h == "7d" and i % 2 else float(MEAN[h][i]))
    filled = {"7d": np.where(SERIES, MEAN["1d"], MEAN["7d"]), "1d": MEAN["1d"], "1h": MEAN["1h"]}
    assert [s.rule for s in ask(panel(filled, "kurtosis"), own)] == ["equals_later_snapshot"]


def test_between_snapshots_the_nearest_is_one_of_later() -> None:
    soon = pa.array([at - timedelta(minutes=1) for *_, at in snapshots()], pa.timestamp("us", "UTC"))
    nearest = panel(MEAN, "mean").set_column(1, "as_of", soon)
    assert [s.rule for s in ask(nearest)] == ["equals_later_snapshot"]
    # Where the later snapshot rests on what was known by then, it is no news.
    old = [at - timedelta(minutes=2) for *_, at in snapshots()]
    own = own_panel()
    place = own.schema.get_field_index("inputs_known_at")
    own = own.set_column(place, "inputs_known_at", pa.array(old, own.schema.field(place).type))
    assert ask(nearest, own) == []


def test_shares_of_a_few_contracts_meet_by_chance() -> None:
    own = own_panel(coverage_ratio=lambda i, h: (0.5, 0.75, 1.0)[USED.index(h)])
    assert ask(panel(np.ones(N), "coverage_ratio"), own) == []
