"""What a probing means for the gates: one result a gate and event date, with seed, probes and first offender.

Belongs here: passing, failing, and saying so in plain words. Probing itself
belongs to ``core.leak_probes``, filing results to the stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from kalshi_assets.core.columns import day_number, moment_of
from kalshi_assets.core.gate_results import GateResult, require_dates
from kalshi_assets.core.leak_comparison import Difference
from kalshi_assets.core.leak_probes import FUTURE, LEAD, ORDER, REBUILT, Probing, Tally
from kalshi_assets.core.leak_sample import Budget

FUTURE_BLIND, ORDER_INDEPENDENT, CANARIES = "future_blind", "order_independent", "canaries"
LEAK_GATES = (FUTURE_BLIND, ORDER_INDEPENDENT, CANARIES)

# Perturbations without which a gate has not asked its question: made-up rows can always be made.
_NEEDED = {FUTURE_BLIND: ("injected", "late"), ORDER_INDEPENDENT: ORDER}
_RUNS = {FUTURE_BLIND: (*FUTURE, REBUILT), ORDER_INDEPENDENT: ORDER}
_MEANING = {
    REBUILT: "built again from the same inputs it is another row: materialise the stage and those before it again",
    "truncated": "it changes when what became known after its as-of time is taken away: it uses the future",
    "scrambled": "it changes when what became known after its as-of time says something else: it uses the future",
    "injected": "it changes when more becomes known after its as-of time: it uses the future",
    "late": "it changes when old news arrives after its as-of time: it asks when things happened, not when known",
    "shuffled": "it changes with the order of the input rows: it depends on how they happen to lie",
    "isolated": "it changes with the rows of other events: it mixes events",
}
_US_PER_DAY = 86_400_000_000


def leak_results(
    probing: Probing,
    dates: Sequence[date],
    *,
    code: str,
    allow_empty: str | None = None,
    budget: Budget | None = None,
) -> tuple[GateResult, ...]:
    """The results of ``LEAK_GATES`` for some dates, gate by gate.

    The rows of all dates come from one code, so a probe that changes a row of one date fails them all. A row
    that differs from what is stored fails its own date alone. A gate with too few probes fails.

    Args:
        probing: what the probes found.
        dates: the partitions asked about; at least one.
        code: version of the code that built the rows.
        allow_empty: why a date without rows may pass; None makes it fail.
        budget: the budget of the probing; ``Budget()`` when None.
    """
    require_dates(FUTURE_BLIND, dates)
    least = (budget or Budget()).least
    results = []
    for gate in LEAK_GATES:
        for day in dates:
            if not probing.available.get(day_number(day)):
                detail = f"no rows to probe: {allow_empty}" if allow_empty else "no rows to probe"
                results.append(GateResult(gate, day, allow_empty is not None, 0, detail))
            elif gate == CANARIES:
                results.append(_canaries(probing, day, code))
            else:
                results.append(_probed(gate, probing, day, code, least))
    return tuple(results)


def _probed(gate: str, probing: Probing, day: date, code: str, least: int) -> GateResult:
    tallies = {name: probing.tallies[name] for name in _RUNS[gate]}
    rows = sum(t.rows for t in tallies.values())
    asked = _asked(probing, tallies, day, code)
    own = day_number(day)
    found = [(name, at, d) for name, t in tallies.items() for at, d in t.found if name != REBUILT or at == own]
    if found:
        # A leak explains more than a row that is merely not as stored, and a row of this date more than another's.
        name, at, difference = min(found, key=lambda f: (f[0] == REBUILT, f[1] != own))
        offender = _offender(difference)
        elsewhere = "" if at == own else f" (a row of {_day(at)}, made by the same code)"
        events = len({d.event_ticker for _, _, d in found})
        detail = f"{offender}: {_MEANING[name]}{elsewhere}; {events} of the probed events are affected; {asked}"
        return GateResult(gate, day, False, rows, detail, offender)
    # Order is asked once an event, the future once a sampled row; fewer are enough only where there are no more.
    possible = _events(probing) if gate == FUTURE_BLIND else probing.n_events
    for name in _NEEDED[gate]:
        if tallies[name].probes < max(min(least, possible), 1) or not tallies[name].rows:
            few = f"only {tallies[name].probes} probes of the kind {name} could be made; too few is a failure"
            return GateResult(gate, day, False, rows, f"{few}; {asked}")
    return GateResult(gate, day, True, rows, f"{rows} rows built again, each bit-identical; {asked}")


def _canaries(probing: Probing, day: date, code: str) -> GateResult:
    tallies = {n: t for n, t in probing.tallies.items() if n != REBUILT}
    total = sum(t.probes for t in tallies.values())
    asked = _asked(probing, tallies, day, code)
    if not total:
        return GateResult(CANARIES, day, False, 0, f"no canary could be planted; {asked}")
    for name, tally in tallies.items():
        if tally.canaries < tally.probes:
            planted = "the rows asked for a second too late" if name == LEAD else "the planted column"
            missed = f"{name}: {planted} passed {tally.probes - tally.canaries} of {tally.probes} probes unnoticed"
            return GateResult(CANARIES, day, False, total, f"{missed}, so the probes prove nothing; {asked}", missed)
    return GateResult(CANARIES, day, True, total, f"all {total} planted leaks caught; {asked}")


def _asked(probing: Probing, tallies: dict[str, Tally], day: date, code: str) -> str:
    kinds = ", ".join(f"{name} {t.probes}" for name, t in tallies.items())
    own, n_dates = probing.sampled.get(day_number(day), 0), len(probing.available)
    where = f"{own} sampled rows of this date, {sum(probing.sampled.values())} of the {n_dates} dates of the run"
    return f"probes: {kinds}; {where}; seed {probing.seed}; code {code}"


def _events(probing: Probing) -> int:
    return sum(probing.sampled.values())


def _offender(difference: Difference) -> str:
    return f"{difference.key}: {difference.column} was {difference.was}, became {difference.now}"


def _day(number: int) -> str:
    return f"{moment_of(number * _US_PER_DAY):%Y-%m-%d}"
