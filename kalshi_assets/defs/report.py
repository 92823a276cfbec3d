"""The end of a run, for a person and for a script."""

from typing import Any

from rich.text import Text

from kalshi_assets.console import STDERR, STDOUT, failed_gates, score_table, span, stage_table, verdict_table
from kalshi_assets.defs.backfill import RunReport
from kalshi_assets.settings import Settings
from kalshi_assets.stages.forecast_scores import last_horizons, short_scores

_NEXT_QUERY = "select event_date, verdict, score from verdicts order by event_date"


def report_json(report: RunReport) -> dict[str, Any]:
    """One JSON-ready object: counts per stage, check results, verdicts."""
    return {
        "run_id": report.run_id,
        "source": report.source,
        "simulated": report.simulated,
        "macro_provenance": report.provenance,
        "series": list(report.series),
        "event_dates": [d.isoformat() for d in report.dates],
        "requests": report.requests,
        "stages": {
            r.stage: {
                "dates": len(r.dates),
                "rows": dict(r.rows),
                "changed": dict(r.changed),
                "lake_snapshot": r.snapshot_id,
                "notes": list(r.notes),
            }
            for r in report.stages
        },
        "checks": [
            {
                "asset": r.stage,
                "check": g.check_name,
                "event_date": g.event_date.isoformat(),
                "passed": g.passed,
                "detail": g.detail,
            }
            for r in report.stages
            for g in r.gates
        ],
        "forecast_scores": _scores(report),
        "verdicts": [
            {
                "verdict_id": v["verdict_id"],
                "strategy_id": v["strategy_id"],
                "event_date": v["event_date"].isoformat(),
                "verdict": v["verdict"],
                "reasons": v["reasons"],
                "score": v["score"],
                "n_events": v["n_events"],
                "n_trades": v["n_trades"],
                "n_trials": v["n_trials"],
            }
            for v in report.verdicts
        ],
        "error": str(report.failure) if report.failure else None,
        "exit_code": report.exit_code,
    }


def _scores(report: RunReport) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [] if report.scores is None else short_scores(report.scores).to_pylist()
    return rows


def print_report(report: RunReport, settings: Settings) -> None:
    """Stages, failed gates, verdict, and where to look next."""
    STDOUT.print()
    STDOUT.print(stage_table(report.stages, report.seconds))
    for sentence in failed_gates(report.stages):
        STDERR.print(Text(sentence, style="red"))
    for result in report.stages:
        for note in result.notes[:5]:
            STDOUT.print(f"[dim]{result.stage}: {note}[/]")
    if report.scores is not None and report.scores.num_rows:
        STDOUT.print(score_table(last_horizons(report.scores), simulated=report.simulated))
    if report.verdicts:
        STDOUT.print(verdict_table(report.verdicts, simulated=report.simulated))
    for verdict in report.verdicts:
        if verdict["reasons"]:
            STDOUT.print(f"Why not promoted: {', '.join(verdict['reasons'])}.")
    STDOUT.print(
        f"{', '.join(report.series)}; event dates {span(report.dates)}; {report.requests} requests; "
        f"prints from {report.provenance}."
    )
    STDOUT.print(f"Home: {settings.home}. Look next: `make ui`, or `kalshi-assets sql '{_NEXT_QUERY}'`.")
