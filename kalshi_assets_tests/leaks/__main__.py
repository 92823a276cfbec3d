"""Prints the matrix of leaks and probes: of how many probed rows each probe finds each leak in."""

from kalshi_assets.core.leak_probes import FUTURE, ORDER, probe
from kalshi_assets_tests.leaks.market import (
    Market,
    distributions_pipeline,
    honest_distributions,
    honest_panel,
    panel_pipeline,
)
from kalshi_assets_tests.leaks.mutants import EIGHT, JOINS, MIXED, PUBLISHED

PROBES = (*FUTURE, *ORDER)


def matrix(seed: int = 5) -> None:
    market = Market()
    print("| pipeline | leak | " + " | ".join(PROBES) + " |")
    print("|---|---|" + "---|" * len(PROBES))
    stages = (("distributions", honest_distributions, distributions_pipeline), ("panel", honest_panel, panel_pipeline))
    for stage, honest, pipeline in stages:
        joins = {name: mutation for name, (mutation, seen_in) in JOINS.items() if stage in seen_in}
        cases = [(market, {"none": lambda build: build, **EIGHT, **MIXED, **joins})]
        cases += [(Market(published=True), PUBLISHED)] if stage == "panel" else []
        for where, name, mutation in [(at, *leak) for at, leaks in cases for leak in leaks.items()]:
            tallies = probe(pipeline(where, mutation(honest())), seed=seed).tallies
            cells = [f"{len(tallies[p].found)}/{tallies[p].probes}" for p in PROBES]
            print(f"| {stage} | {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    matrix()
