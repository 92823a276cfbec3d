"""The ladder on recorded markets: how often it speaks, and how far from what was then published."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from kalshi_assets.core.contracts import resolve_specs
from kalshi_assets.core.distribution import DistributionTables, build_distributions
from kalshi_assets.core.horizons import snapshot_grid

ARCHIVE = Path(__file__).parents[3] / "shared" / "archive" / "macro-run"
pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not ARCHIVE.is_dir(), reason="the recorded archive is not beside the project (../shared)"),
]

_CONTRACTS = """
select m.event_ticker, e.series_ticker, m.close_time::date as event_date, m.ticker, m.status,
    m.created_time as ts, m.created_time as known_at, m.market_type, m.strike_type, m.floor_strike, m.cap_strike,
    m.title, m.yes_sub_title, m.rules_primary, m.rules_secondary
from markets m join events e using (event_ticker) where e.series_ticker in {series}
"""
# an empty side is written as bid 0 or ask 1
_QUOTES = """
select m.event_ticker, c.ticker, 'candle' as source, period_interval * 60 as period_s,
    to_timestamp(end_period_ts) as ts, to_timestamp(end_period_ts) as known_at,
    nullif(yes_bid_close, 0) as yes_bid_close_usd, nullif(yes_ask_close, 1) as yes_ask_close_usd,
    c.volume as volume_contracts, c.open_interest as open_interest_contracts
from candlesticks c join markets m using (ticker) join events e using (event_ticker)
where e.series_ticker in {series}
"""
_MACRO_EVENTS = """
with prints as (
    select case series_id when 'UNRATE' then 'KXU3' else 'KXCPIYOY' end as series_ticker, observation_date, value,
        released_at
    from macro_observations where vintage = 'first_print' and series_id in ('UNRATE', 'CPIAUCNS_PC1')
), listings as (select event_ticker, min(created_time) as listed_at from markets group by 1)
select e.event_ticker, e.series_ticker, p.released_at::date as event_date,
    case e.series_ticker when 'KXU3' then 'UNEMPLOYMENT' else 'CPI' end as event_type,
    coalesce(r.release_time, p.released_at) as release_time, listed_at, '1' as mapping_version, p.value
from events e join listings using (event_ticker)
join prints p on p.series_ticker = e.series_ticker
    and p.observation_date = try_strptime('1 ' || e.strike_period, '%d %B %Y')::date
left join release_calendar r on r.series_ticker = e.series_ticker and r.release_name like '%' || e.strike_period
"""
_WEATHER_EVENTS = """
select event_ticker, series_ticker, max(close_time)::date as event_date, 'TEMPERATURE' as event_type,
    max(close_time) as release_time, min(created_time) as listed_at, '1' as mapping_version
from markets join events using (event_ticker) where series_ticker in ('KXHIGHNY', 'KXLOWTNYC') group by all
"""


def archive() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    names = ("markets", "events", "candlesticks", "macro_observations", "release_calendar")
    for name in names:
        connection.execute(f"create view {name} as from '{ARCHIVE / name}.parquet'")
    return connection


def distributions(connection: duckdb.DuckDBPyConnection, series: str, events: pa.Table) -> DistributionTables:
    specs = resolve_specs(connection.sql(_CONTRACTS.format(series=series)).to_arrow_table())
    quotes = connection.sql(_QUOTES.format(series=series)).to_arrow_table()
    return build_distributions(specs, quotes, snapshot_grid(events, daily_grid=False))


@pytest.fixture(scope="module")
def macro() -> dict[str, dict[str, float]]:
    """Per series at the last horizon: events, distributions, and mean absolute errors of mean and median."""
    connection = archive()
    events = connection.sql(_MACRO_EVENTS).to_arrow_table()
    built = distributions(connection, "('KXU3', 'KXCPIYOY')", events).distributions
    connection.register("built", built)
    connection.register("known", events)
    rows = connection.sql("""
        select b.series_ticker, count(*), count(mean), avg(abs(mean - value)), avg(abs(median - value))
        from built b join known using (event_ticker) where horizon = '5min' group by all
    """).fetchall()
    names = ("events", "spoken", "mean_error", "median_error")
    return {series: dict(zip(names, numbers, strict=True)) for series, *numbers in rows}


def test_cpi_on_the_morning_of_the_release(macro: dict[str, dict[str, float]]) -> None:
    found = macro["KXCPIYOY"]
    assert found["events"] == 24
    assert found["spoken"] >= 23
    assert found["mean_error"] < 0.077
    assert found["median_error"] < 0.0655


def test_unemployment_on_the_morning_of_the_release(macro: dict[str, dict[str, float]]) -> None:
    found = macro["KXU3"]
    assert found["events"] == 35
    assert found["spoken"] >= 30
    assert found["mean_error"] < 0.13


def test_temperatures_are_bins_that_sum_to_one() -> None:
    connection = archive()
    events = connection.sql(_WEATHER_EVENTS).to_arrow_table()
    built = distributions(connection, "('KXHIGHNY', 'KXLOWTNYC')", events).distributions
    connection.register("built", built)
    rows = connection.sql("""
        select count(*), count(mean), max(abs(list_sum(probability) - 1)), min(list_min(probability)),
            max(violations_post)
        from built where horizon in ('1d', '4h', '1h', '5min')
    """).fetchall()
    total, spoken, off_one, least, violations = rows[0]
    assert spoken >= 0.95 * total > 0
    assert off_one < 1e-9
    assert least > 0.0
    assert violations == 0
