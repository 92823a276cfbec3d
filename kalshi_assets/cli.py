"""The command line: arguments in, one call, an exit code out.

Exit codes: 0 all well, 2 a wrong argument or setting, 3 a blocking gate failed,
1 anything else. Errors are one sentence on standard error, never a traceback.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from kalshi_assets.errors import KalshiAssetsError, UsageError
from kalshi_assets.settings import Settings, facts_folder


class _Time(click.ParamType[datetime]):
    """An instant: ISO 8601 with a zone; a bare day is its start in UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time: write it like 2024-10-10T04:00:00Z.", param, ctx)
        if moment.tzinfo is None:
            if len(value) > len("2024-10-10"):
                self.fail(f"{value!r} has no time zone: write {value}Z for UTC.", param, ctx)
            moment = moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)


class _Dates(click.ParamType[tuple[date, date]]):
    """FROM:TO, both days included; one day stands for itself."""

    name = "from:to"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[date, date]:
        if isinstance(value, tuple):
            return value
        first, _, last = value.partition(":")
        try:
            return date.fromisoformat(first), date.fromisoformat(last or first)
        except ValueError:
            self.fail(f"{value!r} is no range of days: write it like 2024-01-01:2024-12-31.", param, ctx)


def _series(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(part.strip().upper() for part in (value or "").split(",") if part.strip())


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kalshi_assets")
def cli() -> None:
    """Point-in-time research on Kalshi macro event markets."""


@cli.command()
@click.option("--source", help="demo, archive:DIR, kalshi-demo or kalshi (default: KALSHI_ASSETS_SOURCE, else demo).")
@click.option("--series", callback=_series, help="Series tickers, separated by commas (default: all of the source).")
@click.option("--dates", type=_Dates(), help="Event dates FROM:TO, both included (default: all).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def run(source: str | None, series: tuple[str, ...], dates: tuple[date, date] | None, as_json: bool) -> None:
    """Materialise all eight stages for some event dates."""
    from kalshi_assets.console import RunProgress
    from kalshi_assets.defs.backfill import run_backfill
    from kalshi_assets.defs.report import print_report, report_json
    from kalshi_assets.stages.evidence import STAGES

    settings = Settings.from_environment(source=source)
    progress = RunProgress(STAGES)
    with progress.showing():
        report = run_backfill(settings, series=series, dates=dates, progress=progress)
    if as_json:
        click.echo(json.dumps(report_json(report), indent=2))
    else:
        print_report(report, settings)
    if report.failure:
        click.echo(str(report.failure), err=True)
    sys.exit(report.exit_code)


@cli.command()
@click.argument("query")
@click.option("--as-of", type=_Time(), help="Hide every row that was not known at this time.")
@click.option("--snapshot", metavar="ID", help="Read this lake snapshot (see the table lake_snapshots).")
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


@cli.command()
@click.argument("event")
@click.option("--as-of", type=_Time(), required=True, help="For example 2024-10-10T04:00:00Z.")
@click.option("--tail-policy", type=click.Choice(["step", "hazard", "truncate"]), default="step", show_default=True)
@click.option("--snapshot", metavar="ID", help="Read this lake snapshot (see the table lake_snapshots).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def distribution(event: str, as_of: datetime, tail_policy: str, snapshot: str | None, as_json: bool) -> None:
    """Show the implied distribution of one EVENT at any time."""
    from kalshi_assets.research.on_demand import distribution_at
    from kalshi_assets.research.quick_start import skip_the_compiler
    from kalshi_assets.store.opening import open_lake

    skip_the_compiler()
    lake = open_lake(Settings.from_environment())
    answer = distribution_at(lake, event, as_of, tail_policy=tail_policy, snapshot=snapshot)
    if as_json:
        click.echo(json.dumps(answer, default=str))
    else:
        from kalshi_assets.render import write_distribution

        write_distribution(answer, sys.stdout)


@cli.command()
@click.option("--verdict", "verdict_id", help="The verdict to recompute (default: the newest of each strategy).")
@click.option("--snapshot", metavar="ID", help="Read this lake snapshot (see the table lake_snapshots).")
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


@cli.command()
@click.option("--keep-days", type=click.IntRange(0), default=90, show_default=True, help="Keep younger lake snapshots.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def maintain(keep_days: int, dry_run: bool, as_json: bool) -> None:
    """Compact small files, expire old lake snapshots and remove files that nothing kept needs."""
    from kalshi_assets.store.maintenance import maintain as tidy
    from kalshi_assets.store.opening import open_lake

    report = tidy(open_lake(Settings.from_environment(), to_write=not dry_run), keep_days=keep_days, dry_run=dry_run)
    click.echo(json.dumps(report.as_json(), indent=2) if as_json else report.text())


@cli.command()
@click.option("--series", callback=_series, help="Series tickers, separated by commas (default: all in the lake).")
@click.option("--as-of", type=_Time(), help="Leave out every label, result and print that was not known at this time.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list with every column instead of a table.")
def scores(series: tuple[str, ...], as_of: datetime | None, as_json: bool) -> None:
    """Score the market's own forecasts, a row a series and horizon, from what the lake holds."""
    from kalshi_assets.render import write_table
    from kalshi_assets.stages.forecast_scores import published_scores, short_scores
    from kalshi_assets.store.opening import open_lake

    rows = published_scores(open_lake(Settings.from_environment()), as_of=as_of, series=series)
    write_table(rows if as_json else short_scores(rows), "json" if as_json else "table", sys.stdout)


@cli.command(name="import")
@click.argument("kind")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def import_reference(kind: str, file: Path, as_json: bool) -> None:
    """Take a reference FILE of a KIND into the lake: asset_prices, option_surfaces, consensus and others."""
    from kalshi_assets.stages.references import REFUSED, import_and_record
    from kalshi_assets.store.locks import hold_home
    from kalshi_assets.store.opening import open_lake

    settings = Settings.from_environment()
    settings.home.mkdir(parents=True, exist_ok=True)
    with hold_home(settings.home):
        done = import_and_record(open_lake(settings, to_write=True), kind, file, now=datetime.now(UTC))
    if as_json:
        click.echo(json.dumps(done.as_json(), indent=2))
    elif done.state != REFUSED:
        click.echo(f"{done.file}: {done.n_rows} rows of {kind}, {done.n_rejected} put aside.")
    if done.sentence:
        click.echo(f"kalshi-assets: {done.sentence}", err=True)
    sys.exit(UsageError.exit_code if done.state == REFUSED else 0)


@cli.command(name="asset-panel")
@click.argument("symbol")
@click.argument("event")
@click.option("--as-of", type=_Time(), help="Hide every row that was not known at this time.")
@click.option("--max-age-hours", type=click.FloatRange(0, min_open=True), default=24.0, show_default=True)
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="csv", show_default=True)
def asset_panel(symbol: str, event: str, as_of: datetime | None, max_age_hours: float, form: str) -> None:
    """Show an EVENT's distribution on the clock of the asset SYMBOL, a row a bar."""
    from kalshi_assets.render import write_table
    from kalshi_assets.research.asset_clock import asset_time_panel
    from kalshi_assets.research.store import open_store

    rows = asset_time_panel(open_store(as_of), symbol, event, max_age=timedelta(hours=max_age_hours))
    write_table(rows, form, sys.stdout)


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list instead of a table.")
def health(as_json: bool) -> None:
    """Report how whole the lake is, a row a series; exit code 1 where anything is missing, overdue or failed."""
    from kalshi_assets.render import write_table
    from kalshi_assets.stages.health import health_of
    from kalshi_assets.store.opening import open_lake

    rows = health_of(open_lake(Settings.from_environment()), datetime.now(UTC))
    problems = any(rows["problems"].to_pylist())
    write_table(rows.drop_columns(["ts", "known_at"]), "json" if as_json else "table", sys.stdout)
    sys.exit(1 if problems else 0)


@cli.command()
@click.option("--panel", type=click.Path(path_type=Path), help="A finished panel, CSV or Parquet, to look at instead.")
@click.option("--as-of-column", metavar="C", help="The panel's column with the as-of time of each row.")
@click.option("--function", metavar="MODULE:NAME", help="A feature function of your own to probe on the lake's data.")
@click.option("--dates", type=_Dates(), help="Event dates FROM:TO, both included (default: all).")
@click.option("--seed", type=click.IntRange(0), help="Draws the sample (default: follows from the data).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list instead of a table.")
def leakcheck(
    panel: Path | None,
    as_of_column: str | None,
    function: str | None,
    dates: tuple[date, date] | None,
    seed: int | None,
    as_json: bool,
) -> None:
    """Probe the lake's own features, or yours, for leaks; exit code 3 where one was found."""
    from kalshi_assets.render import write_table
    from kalshi_assets.stages.leak_check import check_function, check_lake, check_panel
    from kalshi_assets.store.opening import open_lake

    if (panel is None) != (as_of_column is None) or (panel and function):
        raise UsageError("Give --panel and --as-of-column together, or --function alone, or none of them.")
    lake = open_lake(Settings.from_environment())
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


@cli.command()
@click.option("--source", help="The source to examine (default: KALSHI_ASSETS_SOURCE, else demo).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option("--offline", is_flag=True, help="Ask nothing of other machines.")
@click.option("--deep/--shallow", default=None, help="Read every data file (default: where the lake is below 1 GB).")
@click.option("--repair", "mend", is_flag=True, help="Mend first what can be mended without losing anything.")
def doctor(source: str | None, as_json: bool, offline: bool, deep: bool | None, mend: bool) -> None:
    """Examine settings, keys, the source, the disk and the lake, and say what to do.

    --repair mends logs, takes damaged files out of the tables that a run fills again, and removes
    what killed runs left; it says each thing that it did or refused on standard error.
    """
    from kalshi_assets.doctor import examine, exit_code
    from kalshi_assets.doctor.report import check_json, print_checks, reading

    with reading() as progress:
        if mend:
            from kalshi_assets.doctor.repair import repair

            deeds = repair(Settings.from_environment(), progress)
            for deed in deeds:
                click.echo(f"{'mended' if deed.done else 'refused'}: {deed.words}", err=True)
            if not deeds:
                click.echo("There was nothing to mend.", err=True)
        checks = examine(os.environ, source=source, offline=offline, deep=deep, progress=progress)
    if as_json:
        click.echo(json.dumps(check_json(checks), indent=2))
    else:
        print_checks(checks, sys.stdout)
    sys.exit(exit_code(checks))


@cli.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The folder to write; it must not exist.")
@click.option("--seed", type=int, default=7, show_default=True)
@click.option("--events", type=click.IntRange(1), default=96, show_default=True, help="Releases of each series.")
@click.option("--edge", type=float, default=0.0, show_default=True, help="Size of a planted mispricing; 0 plants none.")
def simulate(out: Path, seed: int, events: int, edge: float) -> None:
    """Write an archive of simulated quotes over public dates and prints."""
    from kalshi_assets.emulator.simulate import simulate as write_archive

    if out.exists():
        raise UsageError(f"{out} exists already: name a folder that does not (--out).")
    write_archive(out, facts=facts_folder(), seed=seed, events=events, edge=edge)
    click.echo(f"Simulated archive written to {out}; read it with --source archive:{out}")


@cli.command()
@click.option("--archive", type=click.Path(path_type=Path), required=True, help="The archive's folder.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 picks a free port.")
@click.option("--faults", type=click.Path(path_type=Path), help="A fault plan, JSON: what the server does wrong.")
def emulate(archive: Path, port: int, faults: Path | None) -> None:
    """Serve an archive as the exchange and FRED, on 127.0.0.1 only, until interrupted."""
    from kalshi_assets.emulator.archive import load_archive
    from kalshi_assets.emulator.fault_plan import FaultPlan
    from kalshi_assets.emulator.server import run_forever

    try:
        plan = None if faults is None else FaultPlan.load(faults)
        run_forever(load_archive(archive), port=port, plan=plan)
    except KeyboardInterrupt:
        return


# These only read and answer at once, so neither collecting garbage nor tearing down is worth the wait.
_QUESTIONS = ("sql", "distribution")


def main() -> None:
    """Run the command line; every foreseen error ends as one sentence and its exit code."""
    question = sys.argv[1:2] and sys.argv[1] in _QUESTIONS
    if question:
        gc.disable()
    code = _guarded(lambda: cli.main(standalone_mode=False))
    if question:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _guarded(command: Callable[[], Any]) -> int:
    try:
        command()
    except KalshiAssetsError as error:
        click.echo(f"kalshi-assets: {error}", err=True)
        return error.exit_code
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("kalshi-assets: interrupted; what was committed stays, run the same command again.", err=True)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f" at {error.filename}" if error.filename else ""
        click.echo(f"kalshi-assets: the system refused{where}: {error.strerror or error}.", err=True)
        return 1
    except Exception as error:  # The last door: a bug ends in a sentence too, and its trace in a file.
        click.echo(f"kalshi-assets: a bug: {type(error).__name__}: {_first_line(error)} {_keep_trace()}", err=True)
        return 1
    return 0


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "").rstrip(".") + "."


def _keep_trace() -> str:
    """Write the trace of the error in hand to a temporary file and say where."""
    with tempfile.NamedTemporaryFile("w", prefix="kalshi-assets-", suffix=".trace", delete=False) as file:
        file.write(traceback.format_exc())
    return f"Its trace is in {file.name}; please report it."


if __name__ == "__main__":
    main()
