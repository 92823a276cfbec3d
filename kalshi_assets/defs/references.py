"""The user's references as external assets: Dagster shows what hangs on them, and what each run found in them.

Nothing is computed here: files are taken in by ``stages.references``, and an
observation only reports what the lake holds.
"""

from collections.abc import Iterator, Mapping

import dagster as dg

from kalshi_assets.defs.metadata import column_schema
from kalshi_assets.macro.reference_formats import REFERENCE_FORMATS
from kalshi_assets.stages.references import reference_state
from kalshi_assets.store.lake import Lake

GROUP = "references"
_DESCRIPTIONS: Mapping[str, str] = {
    "asset_prices": "Daily closes: FRED's own, and files of the user.",
    "asset_bars": "Intraday prices of assets, one row a bar, dated by its end.",
    "option_surfaces": "Implied volatilities of an underlying, one row a day.",
    "fed_funds_futures": "Settlement prices of fed funds futures, one row a contract month and day.",
    "fomc_probabilities": "Published probabilities of the target rate after a meeting.",
    "consensus": "Consensus forecasts of a release, with when each became known.",
}
# Which stage reads which of them.
READ_BY: Mapping[str, tuple[str, ...]] = {
    "feature_panel": ("asset_prices", "option_surfaces", "fed_funds_futures", "fomc_probabilities", "consensus"),
    "labels": ("asset_prices", "asset_bars", "consensus"),
}


def reference_specs() -> list[dg.AssetSpec]:
    """One external asset a kind."""
    return [
        dg.AssetSpec(
            kind,
            group_name=GROUP,
            description=_DESCRIPTIONS[kind],
            kinds={"deltalake"},
            metadata={"dagster/column_schema": column_schema(kind), "folder": f"references/{kind}"},
        )
        for kind in REFERENCE_FORMATS
    ]


def observations(lake: Lake, stage: str) -> Iterator[dg.AssetObservation]:
    """What the lake holds of each reference that a stage reads."""
    state = reference_state(lake)
    for kind in READ_BY.get(stage, ()):
        held = state[kind]
        newest = held["newest_known_at"]
        yield dg.AssetObservation(
            kind,
            metadata={
                "dagster/row_count": held["rows"],
                "newest_known_at": newest.isoformat() if newest else "none",
                "files": dg.MetadataValue.md("\n".join(f"- {s}" for s in held["sentences"]) or "All files are well."),
            },
        )
