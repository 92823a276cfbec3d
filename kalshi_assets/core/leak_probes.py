"""Leak probes: sampled rows of a pipeline built again from changed inputs, and compared bit by bit.

A pipeline is any function of input tables and snapshots. Its rows may depend
only on what was known at their as-of time, so no perturbation of
``core.leak_perturbations`` may change them. Belongs here: the rounds and
the count. What is sampled belongs to ``core.leak_sample``, the verdict of a gate to ``core.leak_verdicts``.

The method is the invariance test of look-ahead freedom, f(D) = f(pi D) for every
pi that leaves what was known alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import codes, days, time_column, times, vocabulary
from kalshi_assets.core.leak_canaries import Canary, event_time, row_order, tomorrows_outcome, whole_sample
from kalshi_assets.core.leak_comparison import Difference, differences
from kalshi_assets.core.leak_perturbations import (
    EVENT,
    EVENTS,
    Cut,
    Inputs,
    Perturbation,
    entities,
    injected,
    isolated,
    late,
    scrambled,
    shuffled,
    truncated,
)
from kalshi_assets.core.leak_sample import (
    Budget,
    Outputs,
    Pipeline,
    Sample,
    chosen_events,
    key_list,
    keys_of,
    main_rows,
    of_events,
    require_columns,
)

REBUILT, LEAD = "rebuilt", "lead"
FUTURE = ("truncated", "scrambled", "injected", "late")
ORDER = ("shuffled", "isolated")
_FUTURE_PROBES: Mapping[str, tuple[Perturbation, Canary]] = {
    "truncated": (truncated, tomorrows_outcome),
    "scrambled": (scrambled, tomorrows_outcome),
    "injected": (injected, tomorrows_outcome),
    "late": (late, event_time),
}
LEAD_US = 1_000_000


@dataclass(slots=True)
class Tally:
    """What one perturbation did.

    Attributes:
        probes: (event, as-of time) pairs whose inputs it really changed.
        rows: rows compared for them.
        canaries: of those probes, how many caught the planted column.
        found: the first difference of each leaking probe, with the probe's event date in days since 1970.
    """

    probes: int = 0
    rows: int = 0
    canaries: int = 0
    found: list[tuple[int, Difference]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Probing:
    """Everything that the probes of one pipeline found.

    Attributes:
        pipeline: its name.
        seed: draws the sample and the made-up values; the same seed and data give the same probing.
        available: rows that could have been sampled, by event date (days since 1970).
        sampled: probes drawn, by event date.
        n_events: events sampled.
        tallies: by perturbation, in the order in which they ran.
    """

    pipeline: str
    seed: int
    available: Mapping[int, int]
    sampled: Mapping[int, int]
    n_events: int
    tallies: Mapping[str, Tally]


def probe(pipeline: Pipeline, *, seed: int, budget: Budget | None = None) -> Probing:
    """Build sampled rows again from changed inputs and compare them.

    Each event is sampled at one as-of time a round, drawn over its horizons; all its rows up to then are compared.
    What the pipeline raises on changed inputs is a difference too: it has read what it must not.

    Args:
        pipeline: the function under test.
        seed: any integer that is not negative; draws the sample and the made-up values.
        budget: bounds of the sample; ``Budget()`` when None.

    Raises:
        DomainError: the snapshots lack a column.
    """
    bounds = budget or Budget()
    require_columns(pipeline.snapshots)
    rng = np.random.default_rng([seed, 0])
    tallies = {name: Tally() for name in (REBUILT, *FUTURE, *ORDER, LEAD)}
    chosen = chosen_events(pipeline, bounds, rng)
    rows = Sample(pipeline, chosen)
    round_no = 0
    while (cut := rows.next_cut(rng)) is not None:
        again = _Round(pipeline, rows, cut, tallies, np.random.default_rng([seed, 1 + round_no]))
        again.run(first=round_no == 0, bounds=bounds)
        round_no += 1
        if rows.n_sampled >= bounds.least:
            break
    day_of = days(main_rows(pipeline)["event_date"])
    available = {int(d): int(n) for d, n in zip(*np.unique(day_of, return_counts=True), strict=True)}
    return Probing(pipeline.name, seed, available, rows.sampled, len(chosen), tallies)


class _Round:
    """One as-of time for each sampled event, under every perturbation."""

    def __init__(
        self, pipeline: Pipeline, sample: Sample, cut: Cut, tallies: Mapping[str, Tally], rng: np.random.Generator
    ) -> None:
        self._pipeline, self._sample, self._cut, self._tallies, self._rng = pipeline, sample, cut, tallies, rng
        self._inputs = entities(pipeline.inputs, cut.events)
        self._snapshots = sample.up_to(cut)
        self._control = self._build(self._inputs, self._snapshots)

    def run(self, *, first: bool, bounds: Budget) -> None:
        if self._pipeline.stored is not None:
            self._compare_with_stored(self._pipeline.stored)
        for name, (perturb, canary) in _FUTURE_PROBES.items():
            self._perturb(name, perturb, canary)
        if self._cut.moment is None:
            self._shared_inputs(bounds)
        if first:
            self._perturb("shuffled", shuffled, row_order)
            for side in (0, 1):
                self._perturb("isolated", partial(isolated, side=side), whole_sample)
            self._ask_too_late(bounds.lead)

    def _compare_with_stored(self, stored: Outputs) -> None:
        tally = self._tallies[REBUILT]
        tally.probes += len(self._cut.events)
        horizons = vocabulary(self._snapshots["horizon"])
        asked = keys_of(self._snapshots, self._cut.events, horizons)
        for name, rebuilt in self._control.items():
            held = of_events(stored[name], self._cut.events)
            mine = held.filter(pa.array([k in asked for k in key_list(held, self._cut.events, horizons)]))
            if self._pipeline.fresh is not None:
                fresh = pa.array(self._pipeline.fresh, pa.string())
                mine, rebuilt = (t.filter(pc.is_in(t["series_ticker"], value_set=fresh)) for t in (mine, rebuilt))
            tally.rows += mine.num_rows
            self._note(tally, differences(name, mine, rebuilt))

    def _perturb(self, name: str, perturb: Perturbation, canary: Canary) -> None:
        changed = perturb(self._inputs, self._cut, self._rng)
        if not changed.touched.any():
            return
        tally = self._tallies[name]
        tally.probes += int(changed.touched.sum())
        caught = canary(self._inputs, self._cut) != canary(changed.inputs, self._cut)
        tally.canaries += int((caught & changed.touched).sum())
        snapshots, control = self._snapshots, self._control
        if name == "shuffled":
            snapshots = snapshots.take(pa.array(self._rng.permutation(snapshots.num_rows)))
        elif not changed.touched.all():
            kept = self._cut.events.filter(pa.array(changed.touched))
            snapshots = of_events(snapshots, kept)
            control = {n: of_events(t, kept) for n, t in control.items()}
        self._compare(tally, control, changed.inputs, snapshots)

    def _shared_inputs(self, bounds: Budget) -> None:
        """Perturb what all events share, at some of the as-of times, for the events sampled there."""
        n_rows = sum(t.num_rows for t in self._inputs.values() if EVENT not in t.column_names)
        if not n_rows:
            return
        most = max(1, min(bounds.moments, bounds.shared_rows // n_rows))
        for moment in np.sort(self._rng.permutation(np.unique(self._cut.as_of))[:most]):
            here = np.flatnonzero(self._cut.as_of == moment)
            cut = Cut(self._cut.events.take(pa.array(here)), self._cut.as_of[here])
            inputs = entities(self._inputs, cut.events)
            shared = {n: t for n, t in inputs.items() if EVENT not in t.column_names}
            snapshots = of_events(self._snapshots, cut.events)
            control = {n: of_events(t, cut.events) for n, t in self._control.items()}
            for name, (perturb, canary) in _FUTURE_PROBES.items():
                changed = perturb(shared, cut, self._rng)
                if not changed.touched.any():
                    continue
                tally = self._tallies[name]
                tally.probes += here.size
                tally.canaries += int((canary(shared, cut) != canary(changed.inputs, cut)).sum())
                self._compare(tally, control, {**inputs, **changed.inputs}, snapshots)

    def _ask_too_late(self, most: int) -> None:
        """Ask the pipeline itself a second too late: what it then sees must show as a difference.

        The events stay as they are: a release that moves shows in every row, whether or not its prices are read.
        """
        some = np.sort(self._rng.permutation(len(self._cut.events))[:most])
        cut = Cut(self._cut.events.take(pa.array(some)), self._cut.as_of[some])
        inputs = entities(self._inputs, cut.events)
        changed = injected({n: t for n, t in inputs.items() if n != EVENTS}, cut, self._rng)
        snapshots = of_events(self._snapshots, cut.events)
        asked = times(snapshots["as_of"])
        last = asked == cut.as_of[codes(snapshots[EVENT], cut.events)]
        place = snapshots.schema.get_field_index("as_of")
        at = time_column(asked + np.where(last, LEAD_US, 0)).cast(snapshots.schema.field(place).type)
        tardy = snapshots.set_column(place, snapshots.schema.field(place), at)
        tally = self._tallies[LEAD]
        tally.probes += int(changed.touched.sum())
        honest = self._build(inputs, tardy)
        self._compare(noticed := Tally(), honest, {**inputs, **changed.inputs}, tardy)
        touched = set(cut.events.filter(pa.array(changed.touched)).to_pylist())
        tally.canaries += len({d.event_ticker for _, d in noticed.found} & touched)

    def _build(self, inputs: Inputs, snapshots: pa.Table) -> Outputs:
        """What the pipeline makes of the events that it is asked about.

        Rows of other events, made because their inputs were there, are harmless: nobody asked for them, and what
        they do to the rows asked for shows in those.
        """
        asked = pc.unique(snapshots[EVENT])
        return {name: of_events(table, asked) for name, table in self._pipeline.build(inputs, snapshots).items()}

    def _compare(self, tally: Tally, control: Outputs, inputs: Inputs, snapshots: pa.Table) -> None:
        try:
            rebuilt = self._build(inputs, snapshots)
        except Exception as error:  # Whatever a user's function raises on rows that it must not have read.
            said = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
            raised = [
                Difference(e, f"event_ticker={e}", "row", "built", f"not built: {said}")
                for e in pc.unique(snapshots[EVENT]).to_pylist()
            ]
            self._note(tally, raised)
            return
        tally.rows += sum(before.num_rows for before in control.values())
        self._note(tally, [d for name, before in control.items() for d in differences(name, before, rebuilt[name])])

    def _note(self, tally: Tally, found: list[Difference]) -> None:
        seen: set[str] = set()
        for difference in found:
            if difference.event_ticker not in seen:
                seen.add(difference.event_ticker)
                tally.found.append((self._sample.day_of(difference.event_ticker), difference))
