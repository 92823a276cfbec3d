"""The commands that only read the lake, as one lake snapshot names it."""

from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import click

from kalshi_assets.cli.arguments import Dates, Time, series_tickers, snapshot_option
from kalshi_assets.errors import UsageError
from kalshi_assets.settings import Settings


@click.command()
@click.argument("query")
@click.option("--as-of", type=Time(), help="Hide every row that was not known at this time.")
@snapshot_option
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
def sql(query: str, as_of: datetime | None, snapshot: str | None, form: str) -> None:
    """Run one read-only SQL query over the lake."""
    from kalshi_assets.render import write_table
    from kalshi_assets.store.opening import open_lake
    from kalshi_assets.store.sql import query as run_query

    answer = run_query(open_lake(Settings.from_environment()), query, as_of=as_of, snapshot=snapshot)
    try:
        write_table(answer, form, sys.stdout)
    except (OverflowError, ValueError, UnicodeError) as error:
        raise UsageError(f"A value of the answer cannot be written ({error}): cast its column to text.") from error


@click.command()
@click.argument("event")
@click.option("--as-of", type=Time(), required=True, help="For example 2024-10-10T04:00:00Z.")
@click.option("--tail-policy", type=click.Choice(["step", "hazard", "truncate"]), default="step", show_default=True)
@snapshot_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def distribution(event: str, as_of: datetime, tail_policy: str, snapshot: str | None, as_json: bool) -> None:
    """Show the implied distribution of one EVENT at any time."""
    from kalshi_assets.research.on_demand import distribution_at
    from kalshi_assets.research.quick_start import skip_the_compiler
    from kalshi_assets.store.opening import open_lake

    skip_the_compiler()
    settings = Settings.from_environment()
    answer = distribution_at(
        open_lake(settings), event, as_of, tail_policy=tail_policy, snapshot=snapshot, traded=settings.traded_series
    )
    if as_json:
        click.echo(json.dumps(answer, default=str))
    else:
        from kalshi_assets.render import write_distribution

        write_distribution(answer, sys.stdout)


@click.command()
@click.option(
    "--series", callback=series_tickers, help="Series tickers, separated by commas (default: all in the lake)."
)
@click.option("--as-of", type=Time(), help="Leave out every label, result and print that was not known at this time.")
@snapshot_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list with every column instead of a table.")
def scores(series: tuple[str, ...], as_of: datetime | None, snapshot: str | None, as_json: bool) -> None:
    """Score the market's own forecasts, a row a series and horizon, from what the lake holds."""
    from kalshi_assets.render import write_table
    from kalshi_assets.stages.forecast_scores import published_scores, short_scores
    from kalshi_assets.store.opening import open_lake

    rows = published_scores(open_lake(Settings.from_environment()), as_of=as_of, series=series, snapshot=snapshot)
    write_table(rows if as_json else short_scores(rows), "json" if as_json else "table", sys.stdout)


@click.command(name="asset-panel")
@click.argument("symbol")
@click.argument("event")
@click.option("--as-of", type=Time(), help="Hide every row that was not known at this time (default: now).")
@snapshot_option
@click.option("--max-age-hours", type=click.FloatRange(0, min_open=True), default=24.0, show_default=True)
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="csv", show_default=True)
def asset_panel(
    symbol: str, event: str, as_of: datetime | None, snapshot: str | None, max_age_hours: float, form: str
) -> None:
    """Show an EVENT's distribution on the clock of the asset SYMBOL, a row a bar."""
    from kalshi_assets.render import write_table
    from kalshi_assets.research.asset_clock import asset_time_panel
    from kalshi_assets.research.store import open_store

    store = open_store(as_of, snapshot=snapshot)
    rows = asset_time_panel(store, symbol, event, max_age=timedelta(hours=max_age_hours))
    write_table(rows, form, sys.stdout)


@click.command()
@snapshot_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list instead of a table.")
def health(snapshot: str | None, as_json: bool) -> None:
    """Report how whole the lake is, a row a series; exit code 1 where anything is missing, overdue or failed."""
    from kalshi_assets.render import write_table
    from kalshi_assets.stages.health import health_of
    from kalshi_assets.store.opening import open_lake
    from kalshi_assets.store.snapshots import published

    rows = health_of(published(open_lake(Settings.from_environment()), snapshot), datetime.now(UTC))
    problems = any(rows["problems"].to_pylist())
    write_table(rows.drop_columns(["ts", "known_at"]), "json" if as_json else "table", sys.stdout)
    sys.exit(1 if problems else 0)


@click.command()
@click.option("--panel", type=click.Path(path_type=Path), help="A finished panel, CSV or Parquet, to look at instead.")
@click.option("--as-of-column", metavar="C", help="The panel's column with the as-of time of each row.")
@click.option("--function", metavar="MODULE:NAME", help="A feature function of your own to probe on the lake's data.")
@click.option("--dates", type=Dates(), help="Event dates FROM:TO, both included (default: all).")
@click.option("--seed", type=click.IntRange(0), help="Draws the sample (default: follows from the data).")
@snapshot_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list instead of a table.")
def leakcheck(
    panel: Path | None,
    as_of_column: str | None,
    function: str | None,
    dates: tuple[date, date] | None,
    seed: int | None,
    snapshot: str | None,
    as_json: bool,
) -> None:
    """Probe the lake's own features, or yours, for leaks; exit code 3 where one was found."""
    from kalshi_assets.render import write_table
    from kalshi_assets.stages.leak_check import check_function, check_lake, check_panel
    from kalshi_assets.store.opening import open_lake
    from kalshi_assets.store.snapshots import published

    if (panel is None) != (as_of_column is None) or (panel and function):
        raise UsageError("Give --panel and --as-of-column together, or --function alone, or none of them.")
    if panel and (dates is not None or seed is not None):
        raise UsageError("A finished panel is looked at as a whole: leave out --dates and --seed.")
    lake = published(open_lake(Settings.from_environment()), snapshot)
    days = None if dates is None else [d for d in lake.event_dates("events") if dates[0] <= d <= dates[1]]
    if panel is not None and as_of_column is not None:
        found = check_panel(lake, panel, as_of_column)
    elif function:
        found = check_function(lake, function, days, seed or 0)
    else:
        found = check_lake(lake, days, seed)
    write_table(found, "json" if as_json else "table", sys.stdout)
    failed = [row for row in found.to_pylist() if not row["passed"]]
    for row in failed if not as_json else ():
        click.echo(f"{row['subject']}, {row['gate']} {row['probe']}: {row['detail']}")
    sys.exit(3 if failed else 0)


@click.command()
@click.option("--verdict", "verdict_id", help="The verdict to recompute (default: the newest of each strategy).")
@snapshot_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(verdict_id: str | None, snapshot: str | None, as_json: bool) -> None:
    """Recompute a verdict from the lake and compare the hashes."""
    from kalshi_assets.stages.verification import verify_verdicts
    from kalshi_assets.store.opening import open_lake

    findings = verify_verdicts(open_lake(Settings.from_environment()), verdict_id, snapshot=snapshot)
    if as_json:
        click.echo(json.dumps(findings, default=str))
    else:
        for finding in findings:
            basis = f"  from lake snapshot {finding['lake_snapshot'][:12]}" if finding["lake_snapshot"] else ""
            click.echo(f"{finding['verdict_id'][:16]}  {finding['event_date']}  {finding['state']}{basis}")
    sys.exit(0 if all(f["state"] == "verified" for f in findings) else 1)
