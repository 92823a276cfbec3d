"""Stage 2: every contract as a predicate on the publication lattice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import pyarrow as pa

from kalshi_assets.core.contracts import resolve_specs
from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.core.gates import check_specs_resolved
from kalshi_assets.stages.commit import Gate, finish, whole
from kalshi_assets.stages.context import StageContext, StageResult
from kalshi_assets.stages.evidence import require_evidence
from kalshi_assets.store.lake import Lake, Scope

STAGE = "contracts"


@whole
def contracts(context: StageContext, scope: Scope) -> StageResult:
    """Resolve the contracts of the scope into specs, versioned by their content.

    Raises:
        GateError: when the catalog is not vouched for.
    """
    lake, dates = context.lake, scope.event_dates
    require_evidence(lake, STAGE, dates)
    listed = lake.read("contracts", event_dates=dates, series=scope.series, history=True)
    commit = lake.replace("contract_specs", resolve_specs(listed), scope=scope, run_id=context.run_id)
    return finish(context, STAGE, dates, changed={"contract_specs": commit.rows}, gate=_resolved(lake))


def _resolved(lake: Lake) -> Gate:
    def gate(stored: Mapping[str, pa.Table], dates: Sequence[date]) -> Sequence[GateResult]:
        return check_specs_resolved(lake.read("events", event_dates=dates), stored["contract_specs"], dates)

    return gate
