"""What the stages read and compute for a time is the same whether or not later facts have arrived."""

from __future__ import annotations

import tempfile
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.core.distribution import DistributionConfig, build_distributions
from kalshi_assets.core.features import feature_panel
from kalshi_assets.core.horizons import snapshot_grid
from kalshi_assets.core.label_history import LabelHistory
from kalshi_assets.core.tables import TIME
from kalshi_assets.store.lake import Lake
from kalshi_assets_tests.store.rows import at, day, event_fields, label, macro, quote, table

DAY = 24 * 60
RELEASE = at(31 * DAY)
EVENT = event_fields(day(0))["event_ticker"]
EVENTS = [
    {**event_fields(day(0)), "release_time": RELEASE, "release_time_source": "c", "event_type": "CPI",
     "listed_at": at(0), "mapping_version": "v1", "ts": at(0), "known_at": at(0)}
]  # fmt: skip
# Hours after the listing: of what is described, and how much later it was learned.
LOOKS = [31 * 24 - ahead for ahead in (30 * 24, 14 * 24, 7 * 24, 3 * 24, 24, 4, 1)]
# Mostly about the time of a snapshot, where it matters which side of it a fact falls on.
HOURS = st.builds(lambda look, off: max(0, look + off), st.sampled_from(LOOKS), st.integers(-3, 5))
LATE = st.sampled_from([0, 0, 1, 3, 30, 200])


def spec(strike: int, hour: int, serial: int) -> dict[str, Any]:
    known = at(60 * hour) + timedelta(microseconds=serial)
    return {
        **event_fields(day(0)), "ticker": f"{EVENT}-T{strike}", "spec_id": f"s{serial}", "direction": "gt",
        "tick": 0.1, "lo_index": 30 + strike + serial % 2, "ts": known, "known_at": known,
    }  # fmt: skip


def quoted(strike: int, hour: int, late: int, bid: int) -> dict[str, Any]:
    bid_usd, ask_usd = f"0.{bid:02d}", f"0.{bid + 4:02d}"
    return quote(
        day(0), 60 * hour, strike=f"T{strike}", bid=bid_usd, yes_ask_close_usd=pa.scalar(ask_usd).cast(_PRICE).as_py(),
        source="candle", period_s=3600, known_at=at(60 * (hour + late)),
    )  # fmt: skip


_PRICE = pa.decimal128(7, 6)
STEADY = [
    quoted(strike, look - back, 0, 60 - 20 * strike) for strike in range(3) for look in LOOKS for back in (0, 1, 2)
]
quotes = st.lists(
    st.builds(quoted, st.integers(0, 2), HOURS, LATE, st.integers(5, 89)),
    max_size=25, unique_by=lambda r: (r["ticker"], r["ts"], r["known_at"]),
)  # fmt: skip
prints = st.lists(
    st.builds(
        lambda month, known, value: macro(date(2023, month, 1), 60 * known, value / 10, series_id="CPIAUCNS"),
        st.integers(1, 12), HOURS, st.integers(20, 40),
    ),
    min_size=4, max_size=20, unique_by=lambda r: (r["observation_date"], r["known_at"]),
)  # fmt: skip
labels = st.lists(
    st.builds(
        lambda event, known, revised: label(
            day(0), 60 * known, 3.0 + event, event_ticker=f"E{event}", first_print_learned_at=at(0),
            revised=None if revised is None else revised / 10,
        ),
        st.integers(0, 2), HOURS, st.one_of(st.none(), st.integers(20, 40)),
    ),
    max_size=9, unique_by=lambda r: (r["event_ticker"], r["known_at"]),
)  # fmt: skip


@settings(max_examples=10, deadline=None)
@given(
    quotes=quotes,
    changes=st.lists(st.tuples(st.integers(0, 2), HOURS), max_size=4),
    prints=prints,
    labels=labels,
    cut=HOURS,
    before=st.booleans(),
    order=st.randoms(use_true_random=False),
)
def test_nothing_learned_later_changes_a_row(
    quotes: Any, changes: Any, prints: Any, labels: Any, cut: int, before: bool, order: Any
) -> None:
    specs = [spec(strike, 0, strike) for strike in range(3)]
    specs += [spec(strike, hour, 10 + i) for i, (strike, hour) in enumerate(changes)]
    steady = {(r["ticker"], r["ts"], r["known_at"]): r for r in [*STEADY, *quotes]}
    moment = at(60 * cut) - timedelta(microseconds=before)
    with tempfile.TemporaryDirectory() as root:
        lake = Lake(root)
        for name, rows in (
            ("events", EVENTS), ("contract_specs", specs), ("quotes", list(steady.values())),
            ("macro_observations", prints), ("labels", labels),
        ):  # fmt: skip
            shuffled = order.sample(rows, len(rows))
            for batch in (shuffled[::2], shuffled[1::2]):
                lake.upsert(name, table(name, batch), run_id="r")
        whole, cut_off = panels(lake, None), panels(lake, moment)
        assert whole[1].num_rows >= len(LOOKS) - 1
        for now, then in zip(whole, cut_off, strict=True):
            past = pc.less_equal(now["as_of"], pa.scalar(moment, TIME))
            assert now.filter(past).equals(then.filter(pc.less_equal(then["as_of"], pa.scalar(moment, TIME))))
        micros = pa.scalar(moment, TIME).cast(pa.int64()).as_py()
        now, then = (
            LabelHistory(lake.read("labels", as_of=t, history=True), ["E0", "E1", "E2"]).known_before(micros + 1)
            for t in (None, moment)
        )
        assert (now.learned_at == then.learned_at).all()
        assert repr(now.first_print) == repr(then.first_print)


def panels(lake: Lake, as_of: Any) -> tuple[pa.Table, pa.Table]:
    """Distributions and panel from the very reads of their stages, of everything or of what was known."""
    pulled = lake.read("quotes", as_of=as_of, history=True)
    built = build_distributions(
        lake.read("contract_specs", as_of=as_of, history=True),
        pulled,
        snapshot_grid(lake.read("events")),
        DistributionConfig(),
    ).distributions
    prints = lake.read("macro_observations", as_of=as_of, history=True)
    return built, feature_panel(built, pulled, prints, lake.read("asset_prices", as_of=as_of, history=True))
