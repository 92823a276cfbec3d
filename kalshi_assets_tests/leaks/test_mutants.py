"""Each known leak is caught by the gate that names it; the honest pipeline raises none."""

from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from kalshi_assets.core import leak_probes
from kalshi_assets.core.horizons import snapshot_grid
from kalshi_assets.core.leak_perturbations import Perturbed
from kalshi_assets.core.leak_probes import FUTURE, ORDER, Probing, probe
from kalshi_assets.core.leak_sample import Budget
from kalshi_assets.core.leak_verdicts import CANARIES, FUTURE_BLIND, ORDER_INDEPENDENT, leak_results
from kalshi_assets.core.tables import TABLES
from kalshi_assets_tests.leaks.market import (
    HORIZONS,
    Market,
    distributions_pipeline,
    honest_distributions,
    honest_panel,
    panel_pipeline,
)
from kalshi_assets_tests.leaks.mutants import EIGHT, JOINS, MIXED, PUBLISHED, newest_from_the_start

HONEST = {"distributions": (honest_distributions, distributions_pipeline), "panel": (honest_panel, panel_pipeline)}
SMALL = Budget(events=4, moments=1, lead=1)
SMALL_SHARED = Budget(events=3, moments=3, lead=1)
LONG_SEEDS, SHORT_SEEDS = range(200), range(12)


@pytest.fixture(scope="module")
def market() -> Market:
    return Market()


def dates_of(market: Market) -> list[date]:
    return sorted(set(market.events["event_date"].to_pylist()))


def failed_gates(market: Market, pipeline, seed: int = 5) -> dict[str, str]:
    """The gates that fail on the first date, with what they say."""
    return said_of(market, probe(pipeline, seed=seed))


def said_of(market: Market, probing: Probing) -> dict[str, str]:
    results = leak_results(probing, dates_of(market), code="test")
    assert len(results) == 3 * len(dates_of(market))
    return {r.check_name: r.detail for r in results if not r.passed and r.event_date == dates_of(market)[0]}


@pytest.fixture(scope="module")
def probings(market) -> dict[tuple[str, str], Probing]:
    """What the probes find in each mutant of each stage."""
    return {
        (stage, leak): probe(pipeline(market, EIGHT[leak](honest())), seed=5, budget=SMALL)
        for stage, (honest, pipeline) in HONEST.items()
        for leak in EIGHT
    }


@pytest.mark.parametrize("stage", HONEST)
@pytest.mark.parametrize("leak", EIGHT)
def test_a_look_into_the_future_fails_the_gate_of_the_future(market, probings, leak, stage):
    said = said_of(market, probings[stage, leak])
    assert FUTURE_BLIND in said
    assert "it uses the future" in said[FUTURE_BLIND] or "asks when things happened" in said[FUTURE_BLIND]
    assert CANARIES not in said


@pytest.mark.parametrize(("leak", "stage"), [(leak, stage) for leak, (_, stages) in JOINS.items() for stage in stages])
def test_a_leak_in_any_join_fails_the_gate_of_the_future(market, leak, stage):
    honest, pipeline = HONEST[stage]
    said = failed_gates(market, pipeline(market, JOINS[leak][0](honest())))
    assert set(said) == {FUTURE_BLIND}
    assert "it uses the future" in said[FUTURE_BLIND] or "asks when things happened" in said[FUTURE_BLIND]


@pytest.mark.parametrize("leak", ["consensus whenever known", *PUBLISHED])
def test_rows_added_to_a_reference_are_about_what_the_panel_asks_it(leak):
    """A forecast of a period and the odds of a meeting are found among made-up rows, whatever day these are of."""
    mutation = PUBLISHED[leak] if leak in PUBLISHED else JOINS[leak][0]
    market = Market(n_events=3, published=True)
    # On the day of the meeting a row that is about today would be about the meeting by chance.
    market.grid = snapshot_grid(market.events, horizons={"7d": 604_800, "1d": 86_400}, daily_grid=False)
    tallies = probe(panel_pipeline(market, mutation(honest_panel())), seed=5, budget=SMALL_SHARED).tallies
    assert tallies["injected"].found
    assert tallies["late"].found


@pytest.mark.parametrize("stage", HONEST)
def test_a_grid_that_is_laid_by_what_is_known_now_is_found_out(stage):
    """The grid itself is made once and not built again: its rows are laid anew beside those that were stored."""
    market = Market()
    market.grid = snapshot_grid(
        newest_from_the_start("event_ticker")(market.events), horizons=HORIZONS, daily_grid=False
    )
    honest, pipeline = HONEST[stage]
    stored = honest()({**market.inputs, "events": newest_from_the_start("event_ticker")(market.events)}, market.grid)
    probing = probe(replace(pipeline(market), snapshots=market.grid, stored=stored), seed=5)
    said = {r.check_name for r in leak_results(probing, dates_of(market), code="t") if not r.passed}
    assert said == {FUTURE_BLIND}


@pytest.mark.parametrize("leak", MIXED)
def test_mixing_rows_fails_the_gate_of_order(market, leak):
    said = failed_gates(market, distributions_pipeline(market, MIXED[leak](honest_distributions())))
    assert ORDER_INDEPENDENT in said


def test_the_matrix_has_the_shape_that_the_theory_gives(probings):
    """Who must see what: no perturbation sees all, together they do."""
    found = {leak: {n for n in (*FUTURE, *ORDER) if probings["distributions", leak].tallies[n].found} for leak in EIGHT}
    assert "late" in found["event time instead of arrival time"]
    assert "injected" not in found["event time instead of arrival time"]
    assert {"injected", "late"} <= found["nearest join"]
    assert "injected" in found["backfill missing rungs"]
    assert {"truncated", "scrambled", "injected"} <= found["daily bar stamped at day start"]
    assert "isolated" in found["full-sample z-score"]
    assert "injected" in found["lifetime-volume weights"]
    assert "scrambled" in found["lifetime-volume universe filter"]
    assert "injected" in found["cross-contract ffill"]
    assert all(found.values())


def clean(seed: int) -> None:
    market = Market(seed, n_events=1 + seed % 3, published=seed % 2 == 1)
    for make in (distributions_pipeline, panel_pipeline):
        probing = probe(make(market), seed=seed)
        wrong = [r for r in leak_results(probing, dates_of(market), code="test") if not r.passed]
        assert wrong == []


@pytest.mark.parametrize("seed", SHORT_SEEDS)
def test_the_honest_pipeline_raises_no_alarm(seed):
    clean(seed)


@pytest.mark.soak
def test_the_honest_pipeline_raises_no_alarm_over_200_seeds():
    for seed in LONG_SEEDS:
        clean(seed)


def test_one_seed_gives_one_probing(market):
    first, again = (probe(distributions_pipeline(market), seed=11) for _ in range(2))
    assert first == again
    other = probe(distributions_pipeline(market), seed=12)
    assert other.tallies["truncated"].rows != first.tallies["truncated"].rows or other.sampled == first.sampled


def test_a_leak_of_one_date_fails_every_date_and_names_the_row(market):
    pipeline = distributions_pipeline(market, EIGHT["nearest join"](honest_distributions()))
    results = leak_results(probe(pipeline, seed=5), dates_of(market), code="test")
    mine = [r for r in results if r.check_name == FUTURE_BLIND]
    assert not any(r.passed for r in mine)
    for result in mine:
        assert result.first_offender is not None
        assert "event_ticker=KX" in result.first_offender
        assert "was" in result.first_offender
        assert "seed 5" in result.detail
        assert "code test" in result.detail


def test_a_stored_row_that_is_not_what_its_inputs_give_fails_its_own_date(market):
    pipeline = distributions_pipeline(market)
    rows = pipeline.stored["distributions"]
    days = np.array(rows["event_date"].to_pylist())
    first = dates_of(market)[0]
    mean = pc.if_else(pa.array(days == first), 9.0, rows["mean"])
    place = rows.schema.get_field_index("mean")
    pipeline.stored["distributions"] = rows.set_column(place, rows.schema.field(place), mean)
    results = leak_results(probe(pipeline, seed=5), dates_of(market), code="test")
    wrong = {(r.check_name, r.event_date) for r in results if not r.passed}
    assert wrong == {(FUTURE_BLIND, first)}


def test_too_few_probes_is_a_failure(market):
    probing = probe(distributions_pipeline(market), seed=5)
    probing.tallies["injected"].probes = 0
    results = leak_results(probing, dates_of(market)[:1], code="t")
    (result,) = [r for r in results if r.check_name == FUTURE_BLIND]
    assert not result.passed
    assert "too few" in result.detail


def test_no_rows_pass_only_for_a_reason(market):
    probing = probe(distributions_pipeline(market), seed=5)
    day = date(2001, 1, 1)
    assert not any(r.passed for r in leak_results(probing, [day], code="t"))
    assert all(r.passed for r in leak_results(probing, [day], code="t", allow_empty="nothing was listed"))


def test_probes_without_teeth_fail_the_canaries(market, monkeypatch):
    def blunt_edge(inputs, cut, _rng):
        return Perturbed(inputs, np.ones(len(cut.events), bool))

    blunt = {name: (blunt_edge, canary) for name, (_, canary) in leak_probes._FUTURE_PROBES.items()}
    monkeypatch.setattr(leak_probes, "_FUTURE_PROBES", blunt)
    said = failed_gates(market, distributions_pipeline(market))
    assert set(said) == {CANARIES}
    assert "so the probes prove nothing" in said[CANARIES]


def test_a_pipeline_that_does_not_look_at_its_as_of_time_fails_the_lead_canary(market):
    honest = honest_distributions()

    def frozen(inputs, snapshots):
        rows = honest(inputs, snapshots)["distributions"]
        return {"distributions": rows.select(TABLES["distributions"].schema.names[:6])}

    assert CANARIES in failed_gates(market, distributions_pipeline(market, frozen))


def test_what_a_function_raises_on_rows_of_the_future_is_a_leak(market):
    honest = honest_panel()

    def touchy(inputs, snapshots):
        if "INJECTED" in "".join(sorted(set(inputs["quotes"]["ticker"].to_pylist()))):
            raise RuntimeError("an unknown contract")
        return honest(inputs, snapshots)

    said = failed_gates(market, panel_pipeline(market, touchy))
    assert "RuntimeError: an unknown contract" in said[FUTURE_BLIND]


def every_event(build):
    """A function of a user's that gives rows of whatever events are in its inputs."""

    def made(inputs, snapshots):
        rows = build(inputs, snapshots)["distributions"]
        mine = set(snapshots["event_ticker"].to_pylist())
        others = sorted(set(inputs["quotes"]["event_ticker"].to_pylist()) - mine)
        place = rows.schema.get_field_index("event_ticker")
        like = rows.slice(0, 1)
        more = [like.set_column(place, rows.schema.field(place), pa.array([e])) for e in others]
        return {"distributions": pa.concat_tables([rows, *(more if like.num_rows else [])])}

    return made


def test_rows_of_events_that_were_not_asked_about_are_left_out():
    market = Market(n_events=3)
    probing = probe(distributions_pipeline(market, every_event(honest_distributions())), seed=5)
    assert probing.tallies["isolated"].probes > 0
    assert said_of(market, probing) == {}
    leaking = every_event(MIXED["ffill from the event before"](honest_distributions()))
    assert ORDER_INDEPENDENT in failed_gates(market, distributions_pipeline(market, leaking))


def test_the_budget_bounds_the_sample(market):
    probing = probe(distributions_pipeline(market), seed=1, budget=Budget(events=2, least=1))
    assert probing.n_events == 2
    assert sum(probing.sampled.values()) == 2
    assert len(probing.available) == 5
