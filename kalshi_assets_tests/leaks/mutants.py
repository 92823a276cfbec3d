"""Ways of looking ahead, each as a build over the same inputs as the honest one: eight that are known, one a join.

Each changes what the honest build is given, or adds a column to what it makes; the names are those
under which the leaks are known. Catching them is the tests' business.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kalshi_assets.core.columns import codes, days, integers, micro_usd, reals, time_column, times, vocabulary
from kalshi_assets.core.leak_perturbations import Inputs
from kalshi_assets.core.leak_sample import Build, Outputs

Mutation = Callable[[Build], Build]
SECOND = 1_000_000
DAY = 86_400 * SECOND


def _with(table: pa.Table, **columns: object) -> pa.Table:
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        array = time_column(values) if isinstance(values, np.ndarray) else values
        table = table.set_column(place, table.schema.field(place), array)
    return table


def _on_quotes(change: Callable[[pa.Table, pa.Table], pa.Table]) -> Mutation:
    """A mutation that hands the honest build other quotes."""

    def mutation(build: Build) -> Build:
        return lambda inputs, snapshots: build({**inputs, "quotes": change(inputs["quotes"], snapshots)}, snapshots)

    return mutation


def _event_time(quotes: pa.Table, _snapshots: pa.Table) -> pa.Table:
    return _with(quotes, known_at=times(quotes["ts"]))


def _nearest(quotes: pa.Table, _snapshots: pa.Table) -> pa.Table:
    # Backward search over the midpoints between neighbours is a search for the nearest.
    contract, known_at = codes(quotes["ticker"], vocabulary(quotes["ticker"])), times(quotes["known_at"])
    order = np.lexsort((known_at, contract))
    midpoint = known_at.copy()
    follows = contract[order][1:] == contract[order][:-1]
    later, earlier = order[1:][follows], order[:-1][follows]
    midpoint[later] = known_at[earlier] + (known_at[later] - known_at[earlier] + 1) // 2
    return _with(quotes, known_at=midpoint, ts=np.minimum(midpoint, times(quotes["ts"])))


def _first_of_each(quotes: pa.Table) -> pa.Table:
    contract = codes(quotes["ticker"], vocabulary(quotes["ticker"]))
    order = np.lexsort((times(quotes["known_at"]), contract))
    first = order[np.append(True, contract[order][1:] != contract[order][:-1])]
    return quotes.take(pa.array(first))


def _backfill(quotes: pa.Table, snapshots: pa.Table) -> pa.Table:
    first = _first_of_each(quotes)
    return pa.concat_tables([quotes, _at_snapshots(first, snapshots, lambda at, known: at < known)])


def _at_snapshots(rows: pa.Table, snapshots: pa.Table, when: Callable[..., np.ndarray]) -> pa.Table:
    """The rows once more a second before each snapshot of their event for which ``when(as_of, known_at)``."""
    events = vocabulary(snapshots["event_ticker"])
    of_row, of_snapshot = codes(rows["event_ticker"], events), codes(snapshots["event_ticker"], events)
    as_of, known_at = times(snapshots["as_of"]), times(rows["known_at"])
    row, snapshot = np.nonzero((of_row[:, None] == of_snapshot[None, :]) & when(as_of[None, :], known_at[:, None]))
    copied = rows.take(pa.array(row))
    return _with(copied, ts=as_of[snapshot] - SECOND, known_at=as_of[snapshot] - SECOND)


def _day_start(quotes: pa.Table, _snapshots: pa.Table) -> pa.Table:
    start = times(quotes["ts"]) - integers(quotes["period_s"], 0) * SECOND
    return _with(quotes, ts=start, known_at=start)


def _lifetime_volume(quotes: pa.Table) -> tuple[np.ndarray, np.ndarray, pa.Array]:
    tickers = vocabulary(quotes["ticker"])
    contract = codes(quotes["ticker"], tickers)
    return contract, np.bincount(contract, np.nan_to_num(reals(quotes["volume_contracts"])), len(tickers)), tickers


def _busy_contracts(quotes: pa.Table, _snapshots: pa.Table) -> pa.Table:
    contract, volume, tickers = _lifetime_volume(quotes)
    first = np.unique(contract, return_index=True)[1]
    event = codes(quotes["event_ticker"], vocabulary(quotes["event_ticker"]))[first]
    keeps = np.array([volume[c] >= np.median(volume[event == event[c]]) for c in range(len(tickers))])
    return quotes.filter(pa.array(keeps[contract]))


def _added(column: Callable[[Inputs, pa.Table], np.ndarray]) -> Mutation:
    """A mutation that adds a column to the honest rows."""

    def mutation(build: Build) -> Build:
        def leaking(inputs: Inputs, snapshots: pa.Table) -> Outputs:
            outputs = dict(build(inputs, snapshots))
            name = next(iter(outputs))
            outputs[name] = outputs[name].append_column("mutant", pa.array(column(inputs, outputs[name])))
            return outputs

        return leaking

    return mutation


def _z_score(inputs: Inputs, rows: pa.Table) -> np.ndarray:
    mids = micro_usd(inputs["quotes"]["yes_bid_close_usd"]) / 1e6
    return (reals(rows["mean"]) - mids.mean()) / mids.std()


def _weighted(inputs: Inputs, rows: pa.Table) -> np.ndarray:
    quotes = inputs["quotes"]
    contract, volume, _ = _lifetime_volume(quotes)
    events = vocabulary(rows["event_ticker"])
    of_quote, as_of = codes(quotes["event_ticker"], events), times(rows["as_of"])
    known_at, bid = times(quotes["known_at"]), micro_usd(quotes["yes_bid_close_usd"])
    out = np.full(rows.num_rows, np.nan)
    for i, event in enumerate(codes(rows["event_ticker"], events).tolist()):
        known = np.flatnonzero((of_quote == event) & (known_at <= as_of[i]))
        newest = {int(contract[q]): q for q in known[np.lexsort((bid[known], known_at[known]))]}
        if newest:
            chosen = np.array(sorted(newest))
            weight = volume[chosen] + 1.0
            out[i] = (weight * bid[[newest[c] for c in chosen.tolist()]]).sum() / weight.sum()
    return out


def _cross_contract_ffill(build: Build) -> Build:
    def leaking(inputs: Inputs, snapshots: pa.Table) -> Outputs:
        quotes, specs = inputs["quotes"], inputs["contract_specs"]
        events = vocabulary(specs["event_ticker"])
        event, known_at = codes(specs["event_ticker"], events), times(specs["known_at"])
        first = np.full(len(events), np.iinfo(np.int64).max)
        np.minimum.at(first, event, known_at)
        # The list of contracts comes from their whole lives; a cell without a quote takes the one above it.
        always = _with(_first_of_each(specs), known_at=first[codes(_first_of_each(specs)["event_ticker"], events)])
        filled = []
        for at in snapshots.select(["event_ticker", "as_of"]).to_pylist():
            of_event = pc.equal(quotes["event_ticker"], at["event_ticker"])
            known = quotes.filter(pc.and_(of_event, pc.less_equal(quotes["known_at"], at["as_of"])))
            newest = {r["ticker"]: r for r in known.sort_by("known_at").to_pylist()}
            above = None
            mine = always.filter(pc.equal(always["event_ticker"], at["event_ticker"]))["ticker"].to_pylist()
            for ticker in sorted(mine):
                if ticker in newest:
                    above = newest[ticker]
                elif above is not None:
                    filled.append({**above, "ticker": ticker, "ts": at["as_of"], "known_at": at["as_of"]})
        more = pa.Table.from_pylist(filled, schema=quotes.schema)
        specs = pa.concat_tables([specs, always])
        return build({**inputs, "quotes": pa.concat_tables([quotes, more]), "contract_specs": specs}, snapshots)

    return leaking


def _first_ticker(inputs: Inputs, rows: pa.Table) -> np.ndarray:
    """A price that depends on which row of its event comes first."""
    events = vocabulary(rows["event_ticker"])
    of_quote = codes(inputs["quotes"]["event_ticker"], events)
    bid = micro_usd(inputs["quotes"]["yes_bid_close_usd"])
    first = {int(e): int(bid[i]) for i, e in reversed(list(enumerate(of_quote.tolist())))}
    return np.array([first.get(e, -1) for e in codes(rows["event_ticker"], events).tolist()])


def _event_before(inputs: Inputs, rows: pa.Table) -> np.ndarray:
    """The newest price known of the event that comes before in ticker order: an ffill over ungrouped rows."""
    quotes = inputs["quotes"]
    names = np.array(quotes["event_ticker"].to_pylist())
    known_at, bid = times(quotes["known_at"]), micro_usd(quotes["yes_bid_close_usd"])
    out = np.full(rows.num_rows, -1, np.int64)
    for i, (event, as_of) in enumerate(
        zip(rows["event_ticker"].to_pylist(), times(rows["as_of"]).tolist(), strict=True)
    ):
        before = np.flatnonzero((names < event) & (known_at <= as_of))
        if before.size:
            out[i] = bid[before[np.lexsort((bid[before], known_at[before], names[before]))[-1]]]
    return out


def _on(table: str, change: Callable[[pa.Table], pa.Table]) -> Mutation:
    """A mutation that hands the honest build another table."""

    def mutation(build: Build) -> Build:
        return lambda inputs, snapshots: build({**inputs, table: change(inputs[table])}, snapshots)

    return mutation


def _by_its_day(rows: pa.Table) -> pa.Table:
    """Known as soon as the day that it is about has begun."""
    day = times(rows["ts"]) // DAY * DAY
    return _with(rows, known_at=day)


def newest_from_the_start(*key: str) -> Callable[[pa.Table], pa.Table]:
    """The last version of each fact, as if it had been known when the first one was."""

    def change(rows: pa.Table) -> pa.Table:
        order = rows.sort_by("known_at").to_pylist()
        last, first = {}, {}
        for row in order:
            last[tuple(row[k] for k in key)] = row
            first.setdefault(tuple(row[k] for k in key), row["known_at"])
        return pa.Table.from_pylist([{**row, "known_at": first[k]} for k, row in last.items()], schema=rows.schema)

    return change


def _newest_period(events: pa.Table) -> pa.Table:
    last = {r["event_ticker"]: r["period"] for r in events.sort_by("known_at").to_pylist()}
    rows = [{**r, "period": last[r["event_ticker"]]} for r in events.to_pylist()]
    return pa.Table.from_pylist(rows, schema=events.schema)


def _any_consensus(inputs: Inputs, rows: pa.Table) -> np.ndarray:
    """The mean of every consensus about the period that the event was first known to stand for."""
    first = {r["event_ticker"]: r["period"] for r in reversed(inputs["events"].sort_by("known_at").to_pylist())}
    said: dict[tuple[object, object], list[float]] = {}
    for row in inputs["consensus"].to_pylist():
        said.setdefault((row["series_ticker"], row["period"]), []).append(row["consensus"])
    keys = zip(rows["series_ticker"].to_pylist(), rows["event_ticker"].to_pylist(), strict=True)
    return np.array([math.fsum(v) / len(v) if (v := said.get((s, first[e]))) else 0.0 for s, e in keys])


def _any_probability(inputs: Inputs, rows: pa.Table) -> np.ndarray:
    """The mean target of every probability of the meeting."""
    table = inputs["fomc_probabilities"]
    meeting, mass = days(table["meeting_date"]), reals(table["probability"])
    mean = reals(table["target_mid_pct"]) * mass
    mine = [np.flatnonzero(meeting == day) for day in days(rows["event_date"]).tolist()]
    return np.array([math.fsum(mean[m]) / math.fsum(mass[m]) if m.size else 0.0 for m in mine])


def _ever_traded(build: Build) -> Build:
    def leaking(inputs: Inputs, snapshots: pa.Table) -> Outputs:
        outputs = dict(build(inputs, snapshots))
        rows = outputs["trade_distributions"]
        traded = pc.is_in(rows["event_ticker"], pc.unique(inputs["trades"]["event_ticker"]))
        return {**outputs, "trade_distributions": rows.filter(traded)}

    return leaking


# What only order and isolation can show: neither reads the future.
MIXED: dict[str, Mutation] = {
    "first row of the event": _added(_first_ticker),
    "ffill from the event before": _added(_event_before),
}
EIGHT: dict[str, Mutation] = {
    "event time instead of arrival time": _on_quotes(_event_time),
    "nearest join": _on_quotes(_nearest),
    "backfill missing rungs": _on_quotes(_backfill),
    "daily bar stamped at day start": _on_quotes(_day_start),
    "full-sample z-score": _added(_z_score),
    "lifetime-volume weights": _added(_weighted),
    "lifetime-volume universe filter": _on_quotes(_busy_contracts),
    "cross-contract ffill": _cross_contract_ffill,
}
# One for each thing that is joined, by the stages whose rows it is joined to.
BOTH, FIRST, PANEL = ("distributions", "panel"), ("distributions",), ("panel",)
JOINS: dict[str, tuple[Mutation, tuple[str, ...]]] = {
    "newest release for all snapshots": (_on("events", newest_from_the_start("event_ticker")), BOTH),
    "newest period": (_on("events", _newest_period), PANEL),
    "universe of events that ever traded": (_ever_traded, FIRST),
    "trades by their own time": (_on("trades", _by_its_day), FIRST),
    "newest spec": (_on("contract_specs", newest_from_the_start("ticker")), BOTH),
    "revision in place of the first print": (
        _on("macro_observations", newest_from_the_start("series_id", "units", "observation_date")), PANEL,
    ),
    "close before the close": (_on("asset_prices", _by_its_day), PANEL),
    "option surface by its day": (_on("option_surfaces", _by_its_day), PANEL),
    "futures curve by its day": (_on("fed_funds_futures", _by_its_day), PANEL),
    "consensus whenever known": (_added(_any_consensus), PANEL),
    "newest consensus": (_on("consensus", newest_from_the_start("series_ticker", "period")), PANEL),
}  # fmt: skip
# On what only a market with published probabilities has.
PUBLISHED: dict[str, Mutation] = {
    "probabilities whenever known": _added(_any_probability),
    "probabilities by their day": _on("fomc_probabilities", _by_its_day),
}
