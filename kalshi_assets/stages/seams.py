"""Proves that the two tiers tell the same where both hold a ladder; comparing rows is ``exchange.seam``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from kalshi_assets.core.gate_results import GateResult
from kalshi_assets.exchange.client import Exchange
from kalshi_assets.exchange.models import Cutoff
from kalshi_assets.exchange.seam import Seam
from kalshi_assets.stages.ladder_pulls import Ladder

CHECK = "tiers_agree"
# Markets have been seen on both tiers within days of the boundary.
NEAR = timedelta(days=3)
_CANDLES_FROM_CLOSE = timedelta(days=7)


def seams_of(exchange: Exchange, ladders: Sequence[Ladder], cutoff: Cutoff) -> dict[date, list[tuple[str, Seam]]]:
    """What both tiers said of the ladders near the boundary, by event date.

    Candles are compared for ladders that settled within three days of the boundary, trades for ladders
    that traded across it. Elsewhere only one tier answers, and there is nothing to compare.
    """
    found: dict[date, list[tuple[str, Seam]]] = {}
    for ladder in ladders:
        near = [
            ref
            for ref in ladder.contracts
            if ref.settlement_time is not None and abs(ref.settlement_time - cutoff.market_settled_ts) <= NEAR
        ]
        if near:
            seam = exchange.seam(
                near,
                period_minutes=60,
                start=ladder.closed - _CANDLES_FROM_CLOSE,
                end=ladder.closed + timedelta(hours=2),
                cutoff=cutoff,
            )
            found.setdefault(ladder.event_date, []).append((f"candles of {ladder.event_ticker}", seam))
        if ladder.opened < cutoff.trades_created_ts < ladder.closed:
            for ref in ladder.contracts:
                seam = exchange.trade_seam(ref, cutoff=cutoff)
                found.setdefault(ladder.event_date, []).append((f"trades of {ref.ticker}", seam))
    return found


def seam_gates(seams: Mapping[date, Sequence[tuple[str, Seam]]], dates: Sequence[date]) -> list[GateResult]:
    """One result a date: every row that both tiers hold is the same on both."""
    return [_gate(day, seams.get(day, ())) for day in dates]


def _gate(day: date, seams: Sequence[tuple[str, Seam]]) -> GateResult:
    compared = sum(s.compared for _, s in seams)
    broken = [(what, s) for what, s in seams if not s.whole]
    if not seams:
        detail = "no contract of this date is near the boundary of the tiers"
    elif not compared and not broken:
        detail = "only one tier holds the contracts of this date"
    else:
        detail = f"{compared} rows are on both tiers, {sum(s.different for _, s in broken)} of them differ"
    offender = None
    if broken:
        what, seam = broken[0]
        offender = (
            f"{what}: {seam.different} differ, {seam.only_live} only live, "
            f"{seam.only_historical} only historical; {seam.first}"
        )
    return GateResult(CHECK, day, not broken, compared, detail, offender)
