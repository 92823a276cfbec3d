"""A small made-up market with everything that invites a leak; the same seed gives the same rows.

Late arrivals, daily and hourly bars, contracts that are listed late or never quoted,
a spec that is corrected, prints that are revised. Mutants are in ``mutants``.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from kalshi_assets.core.contracts import resolve_specs
from kalshi_assets.core.distribution import DistributionConfig, build_distributions
from kalshi_assets.core.features import feature_panel
from kalshi_assets.core.horizons import snapshot_grid
from kalshi_assets.core.leak_perturbations import Inputs
from kalshi_assets.core.leak_sample import Build, Pipeline
from kalshi_assets.core.tables import TABLES
from kalshi_assets.stages.leak_gates import distributions_build, panel_build

HORIZONS = {"7d": 7 * 86_400, "1d": 86_400, "4h": 4 * 3_600, "1h": 3_600, "15min": 900}
SERIES, KIND = "KXCPIYOY", "CPI"
N_STRIKES = 5
LATE_SHARE = 0.03


def rows_of(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=TABLES[name].schema)


def _cents(value: float) -> Decimal:
    return Decimal(round(min(max(value, 0.01), 0.99) * 100)) / 100


class Market:
    """Inputs and grid of some monthly events."""

    def __init__(self, seed: int = 0, n_events: int = 5, first: date = date(2023, 3, 14)) -> None:
        self._rng = np.random.default_rng(seed)
        releases = [
            datetime(first.year + (first.month + i - 1) // 12, (first.month + i - 1) % 12 + 1, 10 + i % 5, 12, 30,
                     tzinfo=UTC) for i in range(n_events)
        ]  # fmt: skip
        events, contracts, quotes = [], [], []
        for release in releases:
            ticker = f"{SERIES}-{release:%y%b}".upper()
            key = {"event_ticker": ticker, "series_ticker": SERIES, "event_date": release.date()}
            listed = release - timedelta(days=12)
            events.append(
                {**key, "release_time": release, "release_time_source": "calendar", "ts": listed, "known_at": listed,
                 "event_type": KIND, "listed_at": listed, "mapping_version": "v1"}
            )  # fmt: skip
            mean = round(self._rng.uniform(2.5, 4.0), 1)
            for i in range(N_STRIKES):
                strike = round(mean + 0.1 * (i - N_STRIKES // 2), 1)
                opened = listed if i < N_STRIKES - 1 else release - timedelta(days=2)
                contract = {**key, "ticker": f"{ticker}-T{strike}", "status": "active", "strike_type": "greater",
                            "floor_strike": strike, "ts": opened, "known_at": opened}  # fmt: skip
                contracts.append(contract)
                if i == 1:  # the exchange corrects a strike in mid-life
                    fixed = release - timedelta(hours=20)
                    contracts.append({**contract, "floor_strike": strike + 0.1, "ts": fixed, "known_at": fixed})
                p = 1.0 - (i + 1) / (N_STRIKES + 1)
                quotes += self._quotes(contract, p, opened, release, quoted=i > 0)
        self.events = rows_of("events", events)
        self.inputs = {
            "contract_specs": resolve_specs(rows_of("contracts", contracts)),
            "quotes": rows_of("quotes", quotes).sort_by([(c, "ascending") for c in TABLES["quotes"].sort_by]),
            "macro_observations": self._prints(releases[0]),
            "asset_prices": self._prices(releases[0], releases[-1]),
        }
        self.grid = snapshot_grid(self.events, horizons=HORIZONS, daily_grid=False)

    def _quotes(
        self, contract: dict[str, Any], p: float, opened: datetime, release: datetime, *, quoted: bool
    ) -> list[dict[str, Any]]:
        key = {k: contract[k] for k in ("event_ticker", "series_ticker", "event_date", "ticker")}
        day = opened.replace(hour=4, minute=0)
        ends = [(day + timedelta(days=d), 86_400) for d in range(1, 16)]
        ends += [(release - timedelta(hours=h, minutes=20), 3_600) for h in range(30, -4, -1)]
        if not quoted:  # first seen in the last hours
            ends = [e for e in ends if e[1] == 3_600 and e[0] > release - timedelta(hours=3)]
        rows = []
        for ts, period in ends:
            if ts <= opened:
                continue
            p = float(np.clip(p + self._rng.normal(0, 0.03), 0.03, 0.97))
            is_late = self._rng.random() < LATE_SHARE
            known_at = ts + timedelta(hours=float(self._rng.uniform(1, 12))) if is_late else ts
            rows.append(
                {**key, "source": "candle", "period_s": period, "ts": ts, "known_at": known_at,
                 "yes_bid_close_usd": _cents(p - 0.01), "yes_ask_close_usd": _cents(p + 0.02),
                 "volume_contracts": Decimal(int(self._rng.integers(0, 500))),
                 "open_interest_contracts": Decimal(int(self._rng.integers(100, 5000)))}
            )  # fmt: skip
        return rows

    def _prints(self, first: datetime) -> pa.Table:
        rows = []
        for month in range(30):
            at = first - timedelta(days=30 * (20 - month), hours=3)
            period = date(2021, 6, 1) if month == 0 else date(2021 + (5 + month) // 12, (5 + month) % 12 + 1, 1)
            value = 3.0 + float(self._rng.normal(0, 0.4))
            fact = {"series_id": "CPIAUCNS", "units": "pc1", "observation_date": period, "ts": at}
            rows.append({**fact, "vintage_date": at.date(), "value": value, "known_at": at})
            later = at + timedelta(days=31)
            rows.append({**fact, "vintage_date": later.date(), "value": value + 0.1, "known_at": later})
        return rows_of("macro_observations", rows)

    def _prices(self, first: datetime, last: datetime) -> pa.Table:
        rows = []
        n_days = (last - first).days + 130
        for i in range(n_days):
            day = (first - timedelta(days=120) + timedelta(days=i)).date()
            at = datetime(day.year, day.month, day.day, 20, tzinfo=UTC)
            for symbol, close in (("VIXCLS", 18 + 6 * float(self._rng.normal())), ("DFEDTARU", 4.0 + 0.25 * (i // 60))):
                rows.append({"symbol": symbol, "date": day, "close": close, "ts": at, "known_at": at})
        return rows_of("asset_prices", rows)


def honest_panel() -> Build:
    return panel_build(_panel_from)


def _panel_from(distributions: pa.Table, inputs: Inputs) -> pa.Table:
    return feature_panel(distributions, inputs["quotes"], inputs["macro_observations"], inputs["asset_prices"])


def honest_distributions() -> Build:
    return distributions_build(DistributionConfig())


def panel_pipeline(market: Market, build: Build | None = None) -> Pipeline:
    """The panel of a market, stored as the build makes it of everything at once."""
    chosen = build or honest_panel()
    return Pipeline("feature_panel", market.inputs, market.grid, chosen, chosen(market.inputs, market.grid))


def distributions_pipeline(market: Market, build: Build | None = None) -> Pipeline:
    chosen = build or honest_distributions()
    stored = chosen(market.inputs, market.grid)
    return Pipeline("distributions", market.inputs, market.grid, chosen, stored, reach=4)


def built(market: Market) -> pa.Table:
    return build_distributions(market.inputs["contract_specs"], market.inputs["quotes"], market.grid).distributions
