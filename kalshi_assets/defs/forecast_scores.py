"""The scores of the market's own forecasts as an asset, with their plots.

It is no stage: it covers all event dates at once, nothing reads it, and no gate hangs on it. ``kalshi-assets run``
makes it after the stages and reports it to Dagster from outside the run. What is scored is ``core.forecast_scores``.
"""

import base64
from collections.abc import Iterator
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import reals
from kalshi_assets.core.corp import corp
from kalshi_assets.core.score_pictures import horizons_svg, pit_svg, reliability_svg
from kalshi_assets.core.series import facts_for
from kalshi_assets.defs.metadata import column_schema
from kalshi_assets.defs.workbench import Workbench
from kalshi_assets.stages.forecast_scores import NAME, ScoredForecasts, score_forecasts

_SHOWN = (
    "n",
    "mae_median",
    "mae_mean",
    "rmse_mean",
    "crps",
    "crps_low",
    "crps_high",
    "crps_to_mae",
    "pit_std",
    "brier",
)


@dg.asset(
    name=NAME,
    deps=["distributions", "labels"],
    group_name="kalshi_assets",
    kinds={"deltalake"},
    description="How good the market's own distribution was, by series and horizon: errors, CRPS, calibration, tests.",
    metadata={"dagster/column_schema": column_schema(NAME)},
)
def forecast_scores(
    context: dg.AssetExecutionContext, workbench: dg.ResourceParam[Workbench]
) -> dg.MaterializeResult[None]:
    """Score all that the lake holds."""
    return dg.MaterializeResult(metadata=score_metadata(score_forecasts(workbench.stage_context(context.run.run_id))))


def report_scores(instance: dg.DagsterInstance, scored: ScoredForecasts) -> None:
    """File scores that were made outside a Dagster run as a materialisation of the asset."""
    instance.report_runless_asset_event(dg.AssetMaterialization(asset_key=NAME, metadata=score_metadata(scored)))


def score_metadata(scored: ScoredForecasts) -> dict[str, Any]:
    """The table in short, and three pictures a series."""
    metadata: dict[str, Any] = {
        "dagster/row_count": scored.scores.num_rows,
        "forecasts": scored.errors.num_rows,
        "outcome known beforehand": scored.known_beforehand,
        "scores": dg.MetadataValue.md(_table(scored.scores)),
    }
    metadata |= {f"plots {name}": dg.MetadataValue.md(picture) for name, picture in _pictures(scored)}
    return metadata


def _table(scores: pa.Table) -> str:
    lines = [f"| series | horizon | {' | '.join(_SHOWN)} |", "|---|---|" + "---|" * len(_SHOWN)]
    for row in scores.to_pylist():
        cells = ["" if row[c] is None else f"{row[c]:.4g}" for c in _SHOWN]
        lines.append(f"| {row['series_ticker']} | {row['horizon']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _pictures(scored: ScoredForecasts) -> Iterator[tuple[str, str]]:
    """Series with basis and tail policy, and its pictures at the horizon closest to the release."""
    kinds = ("series_ticker", "basis", "tail_policy")
    for kind in scored.scores.group_by(list(kinds), use_threads=False).aggregate([]).to_pylist():
        rows = _where(scored.scores, kind)
        last = {**kind, "horizon": rows["horizon"][-1].as_py()}
        errors, pairs = _where(scored.errors, last), _where(scored.rungs, last)
        errors = errors.filter(pc.is_valid(errors["crps"]))
        facts = facts_for(kind["series_ticker"])
        split = corp(reals(pairs["probability"]), reals(pairs["paid"]))
        lines = [
            (label, reals(rows[score]), reals(rows[f"{score}_low"]), reals(rows[f"{score}_high"]))
            for label, score in (("MAE of the median", "mae_median"), ("CRPS", "crps"))
        ]
        drawn = {
            "reliability": reliability_svg(
                f"Reliability of {split.n} contracts, {last['horizon']}",
                split.forecast,
                split.recalibrated,
                split.count,
            ),
            "errors": horizons_svg(
                "Error by horizon, 95 % intervals", rows["horizon"].to_pylist(), lines, unit=facts.unit if facts else ""
            ),
            "pit": pit_svg(
                f"PIT of {errors.num_rows} releases, {last['horizon']}",
                reals(errors["pit_low"]),
                reals(errors["pit_high"]),
            ),
        }
        encoded = (
            f"![{n}](data:image/svg+xml;base64,{base64.b64encode(s.encode()).decode()})" for n, s in drawn.items()
        )
        yield " ".join(kind.values()), " ".join(encoded)


def _where(rows: pa.Table, values: dict[str, str]) -> pa.Table:
    kept = np.ones(rows.num_rows, bool)
    for name, value in values.items():
        kept &= np.asarray(pc.equal(rows[name], value), bool)
    return rows.filter(pa.array(kept))
