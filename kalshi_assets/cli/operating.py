"""The commands that fill a home, look after it, and make and serve archives."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import click

from kalshi_assets.cli.arguments import Dates, series_tickers
from kalshi_assets.errors import UsageError
from kalshi_assets.settings import Settings, facts_folder


@click.command()
@click.option("--source", help="demo, archive:DIR, kalshi-demo or kalshi (default: KALSHI_ASSETS_SOURCE, else demo).")
@click.option(
    "--series", callback=series_tickers, help="Series tickers, separated by commas (default: all of the source)."
)
@click.option("--dates", type=Dates(), help="Event dates FROM:TO, both included (default: all).")
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


@click.command(name="import")
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


@click.command()
@click.option("--keep-days", type=click.IntRange(0), default=90, show_default=True, help="Keep younger lake snapshots.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def maintain(keep_days: int, dry_run: bool, as_json: bool) -> None:
    """Compact small files, expire old lake snapshots and remove files that nothing kept needs."""
    from kalshi_assets.store.maintenance import maintain as tidy
    from kalshi_assets.store.opening import open_lake

    report = tidy(open_lake(Settings.from_environment(), to_write=not dry_run), keep_days=keep_days, dry_run=dry_run)
    click.echo(json.dumps(report.as_json(), indent=2) if as_json else report.text())


@click.command()
@click.option("--source", help="The source to examine (default: KALSHI_ASSETS_SOURCE, else demo).")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option("--offline", is_flag=True, help="Ask nothing of other machines.")
@click.option("--deep/--shallow", default=None, help="Read every data file (default: where the lake is below 1 GB).")
@click.option(
    "--repair", "mend", is_flag=True, help="Mend first what can be mended; for quotes and trades a copy is better."
)
def doctor(source: str | None, as_json: bool, offline: bool, deep: bool | None, mend: bool) -> None:
    """Examine settings, keys, the source, the disk and the lake, and say what to do.

    --repair mends logs, takes damaged files out of the tables that a run fills again, and removes
    what killed runs left; it says each thing that it did or refused on standard error. Quotes and trades
    are filled again with what the exchange says now, dated as first seen, and rows that it no longer
    serves (books, deleted contracts) are gone: restoring the file from a copy is better.
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


@click.command()
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


@click.command()
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
