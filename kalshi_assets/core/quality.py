"""How good a snapshot is: a soft score, flags, and the hard gates that withhold its moments.

Spreads are judged in dollars: a two-cent spread on a three-cent rung is a
normal market, so a spread relative to the mid is not a measure of quality. A
gated snapshot keeps its evidence (rungs, counts, ages) and says why.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kalshi_assets.core.compiled import in_place

Floats = npt.NDArray[np.float64]

# Code 0 means that no gate failed. The first failing gate names the reason.
GATE_REASONS = (
    "passed",
    "not_listed",  # before the listing, or no contract was known yet
    "mixed_lattice",  # the contracts of one event disagree about the publication tick
    "unresolved_direction",  # too few contracts have a known settlement predicate
    "no_quotes",  # nothing was quoted: no rows, or only empty books
    "stale_quotes",  # enough contracts were quoted once, too few recently
    "low_coverage",  # too few contracts have a live price
    "too_few_contracts",  # fewer live prices than a distribution needs, or none narrow enough for a mid
    "wide_spread",  # the median interval that the quotes leave open is too wide
    "ladder_too_large",  # overlapping ranges beyond what the projection handles
    "infeasible",  # the quotes contradict each other by more than the allowed cost
    "no_interior_mass",  # the truncating tail policy leaves nothing
)
(
    PASSED, NOT_LISTED, MIXED_LATTICE, UNRESOLVED, NO_QUOTES, STALE, LOW_COVERAGE, TOO_FEW, WIDE, TOO_LARGE,
    INFEASIBLE, NO_INTERIOR,
) = range(len(GATE_REASONS))  # fmt: skip

FLAGS = (
    "low_coverage",
    "stale_quotes",
    "insufficient_contracts",
    "unresolved_direction",
    "invalid_bin_structure",
    "crossed_book",
    "invalid_price",
    "executable_arbitrage",
    "wide_spread",
    "coarse_support",
    "open_tail",
    "one_sided",  # no live contract has both a bid and an ask: the law rests on bounds alone
    "duplicate_strikes",  # several contracts pay on the same values: their quotes were merged
    "bin_gaps",  # values between the bins that no contract pays on: their mass is a remainder
    "non_monotone",  # trades contradict each other by more than the cost at which quotes are gated
)
(
    FLAG_COVERAGE, FLAG_STALE, FLAG_FEW, FLAG_UNRESOLVED, FLAG_BINS, FLAG_CROSSED, FLAG_PRICE, FLAG_ARBITRAGE,
    FLAG_WIDE, FLAG_COARSE, FLAG_TAIL, FLAG_ONE_SIDED, FLAG_DUPLICATE, FLAG_GAPS, FLAG_NON_MONOTONE,
) = (1 << i for i in range(len(FLAGS)))  # fmt: skip

# The score's age term decays by a factor e for every sixth of a quote's permitted life: five minutes of thirty.
_AGE_SHARES = 6.0


@dataclass(frozen=True, slots=True)
class QualityGates:
    """Limits of the hard gates.

    Attributes:
        min_coverage: least share of known contracts with a live price. A quarter only: the exchange
            lists many strikes that nobody trades, and a rung without a price lies between its
            neighbours, so what matters is how much they leave open, which the spread gate measures
            on every known contract.
        good_coverage: below this share the snapshot is flagged, not gated.
        max_median_spread_usd: widest median, over the known contracts, of the interval that all
            quotes together leave to a contract (its own bid and ask, tightened by its neighbours').
            The limit of the system that this one succeeds, in dollars and not relative to the mid.
        good_median_spread_usd: above this the snapshot is flagged ``wide_spread``, not gated. Ten
            cents, like the widest spread whose mid is believed without reserve. A tail mass above it
            raises the flag ``open_tail``.
        min_contracts: least number of live prices; two points cannot show a shape.
        max_repair_cost_usd: most that repaired prices may leave the quoted intervals, summed over
            contracts. Candle closes of different contracts are not simultaneous, so small crossings
            happen; beyond the width of one usable spread the ladder is not one market.
    """

    min_coverage: float = 0.25
    good_coverage: float = 0.8
    max_median_spread_usd: float = 0.25
    good_median_spread_usd: float = 0.10
    min_contracts: int = 3
    max_repair_cost_usd: float = 0.10


@in_place
def liquidity(volume: float, open_interest: float) -> float:
    """Liquidity proxy ``ln(1 + volume) + ln(1 + open interest)``; NaN when neither is known.

    A missing part is taken to equal the other, so that the scale does not
    depend on which columns a feed has.
    """
    if math.isnan(volume) and math.isnan(open_interest):
        return math.nan
    if math.isnan(volume):
        return 2.0 * math.log1p(open_interest)
    if math.isnan(open_interest):
        return 2.0 * math.log1p(volume)
    return math.log1p(volume) + math.log1p(open_interest)


@in_place
def score(
    coverage: float, spread: float, spread_limit: float, age_share: float, liquidity_proxy: float, violation: float
) -> tuple[float, float, float]:
    """Soft score of a snapshot.

    ``0.35 coverage + 0.20 spread + 0.20 age + 0.10 liquidity + 0.15 constraints``.
    The spread term falls linearly to 0 at ``spread_limit``, the age term is
    ``exp(-6 age / permitted age)``, the liquidity term ``tanh(liquidity / 8)``
    and the constraint term ``exp(-violation)``. An unknown spread or age counts one half.

    Args:
        coverage: share of contracts with a live price.
        spread: median spread in dollars, NaN when unknown.
        spread_limit: dollars at which the spread term is 0.
        age_share: median of age over permitted age, NaN when unknown.
        liquidity_proxy: see ``liquidity``; NaN counts 0.
        violation: monotonicity violation plus deviation of the bins from one, in probability.

    Returns:
        (score, liquidity term, constraint term), each in [0, 1].
    """
    spread_term = 0.5 if math.isnan(spread) else min(max(1.0 - spread / spread_limit, 0.0), 1.0)
    age_term = 0.5 if math.isnan(age_share) else math.exp(-_AGE_SHARES * max(age_share, 0.0))
    liquidity_term = math.tanh(liquidity_proxy / 8.0) if liquidity_proxy > 0.0 else 0.0
    constraint_term = math.exp(-max(violation, 0.0))
    total = (
        0.35 * min(max(coverage, 0.0), 1.0)
        + 0.20 * spread_term
        + 0.20 * age_term
        + 0.10 * liquidity_term
        + 0.15 * constraint_term
    )
    return min(max(total, 0.0), 1.0), liquidity_term, constraint_term


@in_place
def quote_gate(
    n: int, resolved: int, quoted: int, fresh: int, live: int, min_coverage: float, min_contracts: int
) -> int:
    """First gate that the quotes of a ladder fail, or 0.

    Args:
        n: known contracts.
        resolved: those with a settlement predicate.
        quoted: resolved ones with any quote row known.
        fresh: those whose newest row is within its permitted age.
        live: those of them with a price on at least one side.
        min_coverage: see ``QualityGates``.
        min_contracts: see ``QualityGates``.
    """
    needed = min_coverage * n
    if n == 0:
        return NOT_LISTED
    if resolved == 0 or resolved < needed:
        return UNRESOLVED
    if quoted == 0:
        return NO_QUOTES
    if fresh == 0 or fresh < needed <= quoted:
        return STALE
    if live == 0:
        return NO_QUOTES
    if live < needed:
        return LOW_COVERAGE
    if live < min_contracts:
        return TOO_FEW
    return PASSED
