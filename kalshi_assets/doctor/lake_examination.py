"""All checks of a lake, in the order of the report; what each looks at is its module's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from kalshi_assets.doctor.check import Check, guarded, not_asked
from kalshi_assets.doctor.content_checks import CONTENT, EVIDENCE, Progress, check_content, check_evidence, too_large
from kalshi_assets.doctor.lake_checks import check_snapshot, check_tables
from kalshi_assets.doctor.log_checks import LOG, check_logs
from kalshi_assets.doctor.past_checks import PAST, STAGE, STRAYS, check_past, check_stage, check_strays
from kalshi_assets.store.lake import Lake

# Of logs, records and listings: what they cost does not grow with the rows.
_OUTSIDE: Mapping[str, Callable[[Lake], list[Check]]] = {
    "lake.tables": check_tables,
    LOG: check_logs,
    "lake.snapshot": check_snapshot,
    PAST: check_past,
    STRAYS: check_strays,
    STAGE: check_stage,
}
LAKE_CHECKS = (*_OUTSIDE, CONTENT, EVIDENCE)


def examine_lake(lake: Lake, *, deep: bool | None, progress: Progress) -> list[Check]:
    """Every check of a lake.

    Args:
        lake: the lake, at its newest versions.
        deep: whether to read the data files; None reads those of a lake that is not too large.
        progress: told how many bytes of how many were read.
    """
    checks = [c for name, check in _OUTSIDE.items() for c in guarded(name, partial(check, lake))]
    return [*checks, *guarded(CONTENT, lambda: _content(lake, deep=deep, progress=progress))]


def _content(lake: Lake, *, deep: bool | None, progress: Progress) -> list[Check]:
    if deep is False:
        return not_asked((CONTENT, EVIDENCE), "Not read, because of --shallow.")
    large = too_large(lake) if deep is None else None
    if large is not None:
        return [large, *not_asked((EVIDENCE,), large.found)]
    return [
        *guarded(CONTENT, lambda: check_content(lake, progress)),
        *guarded(EVIDENCE, lambda: check_evidence(lake)),
    ]
