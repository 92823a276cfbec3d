"""The leak probes on demand: on the lake's own rows, on a user's feature function, on a finished panel.

Nothing is written and no evidence is filed: that is the stages' work. Which
probes there are is ``core.leak_probes``' matter.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from kalshi_assets.core.distribution import DistributionConfig
from kalshi_assets.core.features import feature_panel
from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.core.gates import check_labels_learned_after_release, check_no_label_after_test, check_order_of_times
from kalshi_assets.core.horizons import snapshot_grid
from kalshi_assets.core.leak_perturbations import Inputs
from kalshi_assets.core.leak_probes import FUTURE, LEAD, ORDER, REBUILT, Probing, Tally, probe
from kalshi_assets.core.leak_sample import Outputs, Pipeline
from kalshi_assets.core.leak_verdicts import CANARIES, FUTURE_BLIND, ORDER_INDEPENDENT, leak_results
from kalshi_assets.core.panel_suspicions import RESULT_COLUMNS, RUNG_COLUMNS, panel_suspicions
from kalshi_assets.core.reference_features import REFERENCE_TABLES
from kalshi_assets.errors import UsageError
from kalshi_assets.stages.evidence import OUTPUTS
from kalshi_assets.stages.features import panel_inputs
from kalshi_assets.stages.leak_gates import (
    DISTRIBUTIONS,
    EVENTS,
    PANEL,
    Recipe,
    distributions_recipe,
    ladders,
    panel_recipe,
    probe_stored,
    seed_of,
)
from kalshi_assets.stages.sources_hash import sources_hash
from kalshi_assets.store.lake import Lake

_GATE_OF = {**dict.fromkeys((REBUILT, *FUTURE), FUTURE_BLIND), **dict.fromkeys(ORDER, ORDER_INDEPENDENT)}
_FINDINGS = pa.schema(
    [
        ("subject", pa.string()), ("gate", pa.string()), ("probe", pa.string()), ("asked", pa.int64()),
        ("found", pa.int64()), ("canaries", pa.int64()), ("passed", pa.bool_()), ("detail", pa.string()),
    ]
)  # fmt: skip
_SHARED = ("macro_observations", "asset_prices", *REFERENCE_TABLES)


def check_lake(lake: Lake, dates: Sequence[date] | None = None, seed: int | None = None) -> pa.Table:
    """Probe the distributions and the panel that the lake holds, and ask the rules on order of panel, labels, folds.

    Args:
        lake: the store.
        dates: event dates; all when None.
        seed: of the probes; follows from the data when None.

    Returns:
        One row a probe or rule: ``subject, gate, probe, asked, found, canaries, passed, detail``.

    Raises:
        UsageError: the lake holds no panel for these dates.
    """
    held = [d for d in lake.event_dates(PANEL) if dates is None or d in set(dates)]
    if not held:
        raise UsageError("The lake holds no feature panel for these dates: make one with kalshi-assets run.")
    recipes: Mapping[str, Recipe] = {
        DISTRIBUTIONS: distributions_recipe(DistributionConfig()),
        PANEL: panel_recipe(panel_inputs, feature_panel),
    }
    rows: list[dict[str, Any]] = []
    for stage, recipe in recipes.items():
        stored = {name: lake.read(name, event_dates=held) for name in OUTPUTS[stage]}
        drawn = seed_of(lake, stage, held) if seed is None else seed
        rows += _probe_rows(probe_stored(lake, stage, recipe, stored, seed=drawn), held)
    labels = lake.read("labels", event_dates=held, history=True)
    every = lake.read("labels", history=True)
    rows += _rule_rows(PANEL, check_order_of_times(lake.read(PANEL, event_dates=held), held, allow_empty="no row"))
    rows += _rule_rows("labels", check_labels_learned_after_release(labels, held, allow_empty="no label"))
    folds, predictions = (lake.read(name, event_dates=held) for name in ("folds", "predictions"))
    learned = check_no_label_after_test(folds, every, predictions, held, allow_empty="nothing to train on")
    rows += _rule_rows("walk_forward_folds", learned)
    return pa.Table.from_pylist(rows, schema=_FINDINGS)


def check_function(lake: Lake, name: str, dates: Sequence[date] | None = None, seed: int = 0) -> pa.Table:
    """Probe a user's feature function on the lake's data.

    The function takes the inputs (a mapping of Arrow tables: events, contract_specs, quotes, trades,
    macro_observations, asset_prices and the reference tables, all versions) and snapshots (``event_ticker, horizon,
    as_of, ...``), and gives a table with at least ``event_ticker, horizon, as_of``, one row a snapshot at most.

    Raises:
        UsageError: no such function, or it gives something else.
    """
    function = _load(name)
    held = [d for d in lake.event_dates("quotes") if dates is None or d in set(dates)]
    if not held:
        raise UsageError("The lake holds no quotes for these dates: fetch some with kalshi-assets run.")
    inputs = {**ladders(lake, held), **{table: lake.read(table, history=True) for table in _SHARED}}

    def build(given: Inputs, snapshots: pa.Table) -> Outputs:
        try:
            made = function(dict(given), snapshots)
            table = made if isinstance(made, pa.Table) else pa.table(made)
        except Exception as error:  # Whatever a user's own code does is the user's to mend.
            raise UsageError(f"{name} failed {_place_of(error)}: {_said(error)}") from error
        return {"features": _as_rows(name, table)}

    probing = probe(Pipeline(name, inputs, snapshot_grid(inputs[EVENTS], daily_grid=False), build), seed=seed)
    # Whether the function looks at its as-of time at all is its own business.
    tallies = {n: t for n, t in probing.tallies.items() if n not in (LEAD, REBUILT)}
    return pa.Table.from_pylist(_probe_rows(replace(probing, tallies=tallies), held), schema=_FINDINGS)


def check_panel(lake: Lake, path: Path, as_of_column: str) -> pa.Table:
    """Look for traces of the future in a finished panel, CSV or Parquet.

    Raises:
        UsageError: the file cannot be read as a table.
    """
    try:
        panel = pa.csv.read_csv(path) if path.suffix.lower() == ".csv" else pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        said = next(iter(str(error).splitlines()), "")
        raise UsageError(f"The panel {path} cannot be read ({said}): give a CSV or Parquet file.") from error
    found = panel_suspicions(
        panel,
        as_of_column,
        lake.read(EVENTS),
        lake.read("labels", history=True),
        lake.read(PANEL),
        lake.read("contracts", history=True, columns=RESULT_COLUMNS),
        lake.read("distribution_rungs", columns=RUNG_COLUMNS),
    )
    rows = [
        {"subject": path.name, "gate": s.rule, "probe": s.column, "asked": s.rows, "found": s.broken,
         "passed": s.passed, "detail": s.detail}
        for s in found
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=_FINDINGS)


def _probe_rows(probing: Probing, dates: Sequence[date]) -> list[dict[str, Any]]:
    """One row a probe, and one a gate with what it says of the first date that it fails, else of the first."""
    rows = [
        {"subject": probing.pipeline, "gate": _GATE_OF.get(name, CANARIES), "probe": name, "asked": tally.probes,
         "found": len(tally.found), "canaries": tally.canaries if name != REBUILT else None,
         "passed": not tally.found and (name == REBUILT or tally.canaries == tally.probes),
         "detail": f"{d.key}: {d.column} was {d.was}, became {d.now}" if (d := _first(tally.found)) else ""}
        for name, tally in probing.tallies.items()
    ]  # fmt: skip
    have = [d for d in dates if probing.available.get((d - date(1970, 1, 1)).days)]
    tallies = {REBUILT: Tally(), **probing.tallies}
    results = leak_results(replace(probing, tallies=tallies), have or dates, code=sources_hash())
    return rows + _rule_rows(probing.pipeline, results)


def _first(found: Sequence[tuple[int, Any]]) -> Any:
    return found[0][1] if found else None


def _rule_rows(subject: str, results: Sequence[GateResult]) -> list[dict[str, Any]]:
    rows = []
    for check in dict.fromkeys(r.check_name for r in results):
        mine = [r for r in results if r.check_name == check]
        failed = [r for r in mine if not r.passed]
        said = f"{failed[0].event_date}: {failed[0].detail}" if failed else f"passed on {len(mine)} dates"
        rows.append(
            {"subject": subject, "gate": check, "probe": "", "asked": len(mine), "found": len(failed),
             "passed": not failed, "detail": said}
        )  # fmt: skip
    return rows


def _load(name: str) -> Callable[[dict[str, pa.Table], pa.Table], Any]:
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise UsageError(f"{name!r} names no function: write it like my_features:build.")
    sys.path.insert(0, str(Path.cwd()))  # A command that is installed does not look where it is called.
    try:
        found: Any = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # As above: a module runs while it is imported.
        raise UsageError(f"{name} cannot be imported ({_said(error)}): run this where the module is.") from error
    if not callable(found):
        raise UsageError(f"{name} is no function.")
    return found  # type: ignore[no-any-return]


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"


def _place_of(error: Exception) -> str:
    """The innermost line of a trace."""
    (*_, last) = traceback.extract_tb(error.__traceback__)
    return f"in {Path(last.filename).name}, line {last.lineno}"


def _as_rows(name: str, table: pa.Table) -> pa.Table:
    missing = [c for c in ("event_ticker", "horizon", "as_of") if c not in table.column_names]
    if missing:
        raise UsageError(f"What {name} gives has no column {', '.join(missing)}: every row must name its snapshot.")
    return table.filter(pc.is_valid(table["event_ticker"]))
