"""A small made-up market with everything that invites a leak; the same seed gives the same rows.

Late arrivals, daily and hourly bars, contracts that are listed late or never quoted,
a spec that is corrected, prints that are revised, releases that move, a period that was wrong at first,
ladders that trade at the last moment, references that arrive after the day that they are about. Mutants are in
``mutants``.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from kalshi_assets.core.conditions import policy_rate
from kalshi_assets.core.contracts import resolve_specs
from kalshi_assets.core.distribution import DistributionConfig, build_distributions
from kalshi_assets.core.features import feature_panel
from kalshi_assets.core.horizons import snapshot_grid
from kalshi_assets.core.leak_perturbations import Inputs
from kalshi_assets.core.leak_sample import Build, Pipeline
from kalshi_assets.core.reference_features import REFERENCE_TABLES, References
from kalshi_assets.core.tables import TABLES
from kalshi_assets.stages.leak_gates import distributions_build, panel_build

HORIZONS = {"7d": 7 * 86_400, "1d": 86_400, "4h": 4 * 3_600, "1h": 3_600, "15min": 900}
PRINTS, RATES = ("KXCPIYOY", "CPI"), ("KXFED", "FOMC")
STEPS = {"KXCPIYOY": 0.1, "KXFED": 0.25}
LADDERS = ("events", "contract_specs", "quotes", "trades")
N_STRIKES = 5
LATE_SHARE = 0.03


def rows_of(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=TABLES[name].schema)


def _cents(value: float) -> Decimal:
    return Decimal(round(min(max(value, 0.01), 0.99) * 100)) / 100


class Market:
    """Inputs and grid of some monthly events; every third is a rate decision, the others are prints.

    Where probabilities of the decisions are ``published``, the futures curve is not asked.
    """

    def __init__(
        self, seed: int = 0, n_events: int = 5, first: date = date(2023, 3, 14), *, published: bool = False
    ) -> None:
        self._rng = np.random.default_rng(seed)
        releases = [
            datetime(first.year + (first.month + i - 1) // 12, (first.month + i - 1) % 12 + 1, 10 + i % 5, 12, 30,
                     tzinfo=UTC) for i in range(n_events)
        ]  # fmt: skip
        events, contracts, quotes, trades, forecasts = [], [], [], [], []
        for n, release in enumerate(releases):
            series, kind = RATES if n % 3 == 2 else PRINTS
            step = STEPS[series]
            ticker = f"{series}-{release:%y%b}".upper()
            key = {"event_ticker": ticker, "series_ticker": series, "event_date": release.date()}
            listed = release - timedelta(days=12)
            events += self._versions({**key, "event_type": kind, "listed_at": listed}, release, n)
            forecasts += self._forecasts(series, release)
            mean = round(self._rng.uniform(2.5, 4.0) / step) * step
            for i in range(N_STRIKES):
                strike = round(mean + step * (i - N_STRIKES // 2), 2)
                opened = listed if i < N_STRIKES - 1 else release - timedelta(days=2)
                contract = {**key, "ticker": f"{ticker}-T{strike}", "status": "active", "strike_type": "greater",
                            "floor_strike": strike, "ts": opened, "known_at": opened}  # fmt: skip
                contracts.append(contract)
                if i == 1:  # the exchange corrects a strike in mid-life
                    fixed = release - timedelta(hours=20)
                    contracts.append({**contract, "floor_strike": strike + step, "ts": fixed, "known_at": fixed})
                p = 1.0 - (i + 1) / (N_STRIKES + 1)
                quotes += self._quotes(contract, p, opened, release, quoted=i > 0)
                trades += self._trades(contract, p, release, rare=n % 2 == 1)
        self.events = rows_of("events", events)
        self.inputs = {
            "events": self.events,
            "contract_specs": resolve_specs(rows_of("contracts", contracts)),
            "quotes": rows_of("quotes", quotes).sort_by([(c, "ascending") for c in TABLES["quotes"].sort_by]),
            "trades": rows_of("trades", trades),
            "macro_observations": self._prints(releases[0]),
            "asset_prices": self._prices(releases[0], releases[-1]),
            "option_surfaces": self._surfaces(releases[0], releases[-1]),
            "fed_funds_futures": self._curves(releases[0], releases[-1]),
            "fomc_probabilities": rows_of("fomc_probabilities", self._published(releases) if published else []),
            "consensus": rows_of("consensus", forecasts),
        }
        self.grid = snapshot_grid(self.events, horizons=HORIZONS, daily_grid=False)

    def _versions(self, event: dict[str, Any], release: datetime, n: int) -> list[dict[str, Any]]:
        """What was known of an event: of every other one the release moves, and the period is corrected."""
        listed, told, corrected = event["listed_at"], release - timedelta(days=6), release - timedelta(days=5)
        period = (release.date().replace(day=1) - timedelta(days=1)).replace(day=1)
        row = {**event, "release_time_source": "calendar", "period": period}
        if n % 2:
            return [{**row, "release_time": release, "mapping_version": "v1", "ts": listed, "known_at": listed}]
        early, wrong = release - timedelta(days=3), (period - timedelta(days=1)).replace(day=1)
        first = {**row, "release_time": early, "mapping_version": "v1", "period": wrong}
        moved = {**row, "release_time": release, "mapping_version": "v2"}
        return [
            {**first, "ts": listed, "known_at": listed},
            {**moved, "period": wrong, "ts": told, "known_at": told},
            {**moved, "ts": corrected, "known_at": corrected},
        ]

    def _forecasts(self, series: str, release: datetime) -> list[dict[str, Any]]:
        rows = []
        for months in (0, 1):
            period = (release.date().replace(day=1) - timedelta(days=1)).replace(day=1)
            period = (period - timedelta(days=1)).replace(day=1) if months else period
            for days in (20, 4, 0):
                at = release - timedelta(days=days, hours=2)
                value = 3.0 + float(self._rng.normal(0, 0.2)) + 5 * months
                rows.append({"series_ticker": series, "period": period, "consensus": value, "ts": at, "known_at": at})
        return list({(r["period"], r["known_at"]): r for r in rows}.values())

    def _trades(self, contract: dict[str, Any], p: float, release: datetime, *, rare: bool) -> list[dict[str, Any]]:
        """A trade now and then; a ladder that is rarely traded has its first ones half an hour before the release."""
        key = {k: contract[k] for k in ("event_ticker", "series_ticker", "event_date", "ticker")}
        minutes = (30, 10) if rare else sorted(self._rng.integers(5, 11 * 1440, 8).tolist(), reverse=True)
        rows = []
        for i, ahead in enumerate(minutes):
            ts = release - timedelta(minutes=int(ahead))
            late = timedelta(hours=5) if self._rng.random() < LATE_SHARE else timedelta()
            rows.append(
                {**key, "trade_id": f"{key['ticker']}-{i}", "sequence": i, "ts": ts, "known_at": ts + late,
                 "yes_price_usd": _cents(p + float(self._rng.normal(0, 0.03))), "count_contracts": Decimal(1)}
            )  # fmt: skip
        return rows

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

    def _surfaces(self, first: datetime, last: datetime) -> pa.Table:
        rows = []
        for i in range((last - first).days + 40):
            day = (first - timedelta(days=30) + timedelta(days=i)).date()
            at = datetime(day.year, day.month, day.day, 20, tzinfo=UTC)
            drawn = dict(zip(("iv_30", "iv_60", "iv_90"), self._rng.uniform(0.1, 0.3, 3).tolist(), strict=True))
            rows.append(
                {"symbol": "SPX", "date": day, **drawn, "put_25d": 0.3, "call_25d": 0.2, "close": 100.0 + i,
                 "ts": at, "known_at": at + timedelta(hours=17)}
            )  # fmt: skip
        return rows_of("option_surfaces", rows)

    def _curves(self, first: datetime, last: datetime) -> pa.Table:
        """Prices of the month of each day and its two neighbours."""
        rows = []
        for i in range((last - first).days + 30):
            day = (first - timedelta(days=20) + timedelta(days=i)).date()
            at = datetime(day.year, day.month, day.day, 21, tzinfo=UTC)
            for months in (-1, 0, 1):
                number = day.year * 12 + day.month - 1 + months
                month = date(number // 12, number % 12 + 1, 1)
                price = 95.9 + float(self._rng.uniform(0, 0.1))
                known = {"ts": at, "known_at": at + timedelta(hours=12)}
                rows.append({"contract_month": month, "date": day, "price": price, **known})
        return rows_of("fed_funds_futures", rows)

    def _published(self, releases: list[datetime]) -> list[dict[str, Any]]:
        """Probabilities of two targets at each decision, of every day before it and the day after."""
        rows = []
        for release in releases[2::3]:
            for ahead in range(25, -2, -1):
                day = release - timedelta(days=ahead)
                raised = round(float(self._rng.uniform(0.2, 0.8)), 3)
                for target, p in ((3625, 1 - raised), (3875, raised)):
                    rows.append(
                        {"meeting_date": release.date(), "date": day.date(), "target_tenths_bp": target,
                         "target_mid_pct": target / 1000, "probability": p, "ts": day.replace(hour=7),
                         "known_at": day.replace(hour=20)}
                    )  # fmt: skip
        return rows


def honest_panel() -> Build:
    return panel_build(_panel_from)


def _panel_from(distributions: pa.Table, inputs: Inputs) -> pa.Table:
    macro, prices = inputs["macro_observations"], inputs["asset_prices"]
    references = References(
        events=inputs["events"], **{n: inputs[n] for n in REFERENCE_TABLES}, policy_rate=policy_rate(macro, prices)
    )
    return feature_panel(distributions, inputs["quotes"], macro, prices, references=references)


def honest_distributions() -> Build:
    return distributions_build(DistributionConfig())


def panel_pipeline(market: Market, build: Build | None = None) -> Pipeline:
    """The panel of a market, stored as the build makes it of everything at once."""
    chosen = build or honest_panel()
    return Pipeline("feature_panel", market.inputs, market.grid, chosen, chosen(market.inputs, market.grid))


def distributions_pipeline(market: Market, build: Build | None = None) -> Pipeline:
    chosen = build or honest_distributions()
    inputs = {name: market.inputs[name] for name in LADDERS}
    return Pipeline("distributions", inputs, market.grid, chosen, chosen(inputs, market.grid), reach=4)


def built(market: Market) -> pa.Table:
    return build_distributions(market.inputs["contract_specs"], market.inputs["quotes"], market.grid).distributions
