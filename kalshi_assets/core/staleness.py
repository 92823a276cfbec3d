"""How old a quote may be before it stops counting.

Two kinds of feed need two kinds of rule. A heartbeat feed (a polled order
book) reports whether or not anything changed, so silence means that nobody
looked: the dynamic cutoff applies, minutes near the release, an hour far from
it. A change feed (a candlestick exists only where something changed) says by
its silence that the quote still stands. It was last *observed* when its feed last
reported anything on the ladder, however long ago it last *changed*; ages
count from the last observation, and a feed that falls silent on the whole
ladder carries up to a limit that guards against a hole in the recording.
Which row is the newest belongs to ``asof``, what a stale rung costs to ``quality``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from kalshi_assets.core.compiled import in_place

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400


@dataclass(frozen=True, slots=True)
class StalePolicy:
    """Parameters of the dynamic cutoff; times in minutes.

    Attributes:
        base_minutes: cutoff when the time to the event is unknown.
        near_minutes: closer than this, ``near_stale_minutes`` applies.
        near_stale_minutes: tightest cutoff.
        far_minutes: farther than this, ``far_stale_minutes`` applies; linear in between.
        far_stale_minutes: loosest cutoff.
        type_multipliers: factor by event type (upper case); ``_default`` for all others.
        low_liquidity: proxy at or below which quotes are expected to move seldom.
        high_liquidity: proxy at or above which they are expected to move often.
        low_multiplier: factor for low liquidity.
        high_multiplier: factor for high liquidity.
        min_minutes: the cutoff is never shorter.
        max_minutes: the cutoff is never longer.
    """

    base_minutes: float = 30.0
    near_minutes: float = 30.0
    near_stale_minutes: float = 2.0
    far_minutes: float = 1440.0
    far_stale_minutes: float = 60.0
    type_multipliers: dict[str, float] = field(
        default_factory=lambda: {"CPI": 0.80, "UNEMPLOYMENT": 0.90, "FOMC": 0.70, "_default": 1.00}
    )
    low_liquidity: float = 2.0
    high_liquidity: float = 6.0
    low_multiplier: float = 1.35
    high_multiplier: float = 0.80
    min_minutes: float = 0.5
    max_minutes: float = 1440.0

    def type_multiplier(self, event_type: str | None) -> float:
        """Factor of an event type, case-insensitively."""
        return self.type_multipliers.get((event_type or "").upper(), self.type_multipliers.get("_default", 1.0))

    def as_numbers(self) -> tuple[float, ...]:
        """The parameters that the kernel takes, in its order."""
        return (
            self.base_minutes, self.near_minutes, self.near_stale_minutes, self.far_minutes, self.far_stale_minutes,
            self.low_liquidity, self.high_liquidity, self.low_multiplier, self.high_multiplier,
            self.min_minutes, self.max_minutes,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class FeedPolicy:
    """The staleness rule of one feed.

    Attributes:
        source: the feed's ``source``, or None for any.
        max_period_s: the rule covers bars up to this long.
        carry_s: a quote counts at least this long after it was last observed,
            whatever the dynamic cutoff says.
        change_feed: silence about one contract means no change, as long as the
            feed reports on the ladder's other contracts.
    """

    source: str | None
    max_period_s: float
    carry_s: float
    change_feed: bool


# Books: two polls of the tightest cadence (one a minute), so that one missed poll does not empty the ladder.
# Minute and hourly candles: a ladder can rest from Friday's close to Monday's open, so two days.
# Daily candles: a week holds at least four sessions, holidays included; a ladder on which nothing at all
# changed for longer has more likely not been recorded.
# Trades: their weights fall with age, so only those go that are older than any horizon of the study behind them.
FEED_POLICIES = (
    FeedPolicy("trade", math.inf, 30.0 * DAY_S, change_feed=False),
    FeedPolicy("book", math.inf, 2.0 * MINUTE_S, change_feed=False),
    FeedPolicy(None, HOUR_S, 2.0 * DAY_S, change_feed=True),
    FeedPolicy(None, math.inf, 7.0 * DAY_S, change_feed=True),
)


def feed_policy(source: str, period_s: int, policies: tuple[FeedPolicy, ...] = FEED_POLICIES) -> FeedPolicy:
    """The first rule that fits a feed, its carry never shorter than the bar; without one, a heartbeat."""
    for policy in policies:
        if policy.source in (None, source) and period_s <= policy.max_period_s:
            return replace(policy, carry_s=max(policy.carry_s, float(period_s)))
    return FeedPolicy(source, float(period_s), float(period_s), change_feed=False)


@in_place
def cutoff_minutes(minutes: float, multiplier: float, liquidity: float, policy: tuple[float, ...]) -> float:
    """The dynamic cutoff; NaN minutes or liquidity mean unknown. Order of ``policy``: ``StalePolicy.as_numbers``."""
    base, near, near_stale, far, far_stale, low, high, low_multiplier, high_multiplier, least, most = policy
    if not math.isfinite(minutes):
        cutoff = base
    else:
        t = max(minutes, 0.0)
        if t <= near:
            cutoff = near_stale
        elif t >= far:
            cutoff = far_stale
        else:
            cutoff = near_stale + (t - near) / (far - near) * (far_stale - near_stale)
    cutoff *= multiplier
    if liquidity <= low:
        cutoff *= low_multiplier
    elif liquidity >= high:
        cutoff *= high_multiplier
    return min(max(cutoff, least), most)


def dynamic_stale_cutoff_minutes(
    minutes_to_event: float | None,
    policy: StalePolicy | None = None,
    event_type: str | None = None,
    liquidity: float | None = None,
) -> float:
    """Dynamic cutoff of a heartbeat feed.

    Args:
        minutes_to_event: time left; negative counts as zero, None or non-finite as unknown.
        policy: parameters; the defaults when None.
        event_type: picks the type's multiplier.
        liquidity: liquidity proxy (``quality.liquidity``); None leaves the cutoff alone.

    Returns:
        Minutes, within the policy's bounds.
    """
    policy = policy or StalePolicy()
    minutes = math.nan if minutes_to_event is None else float(minutes_to_event)
    level = math.nan if liquidity is None else float(liquidity)
    return float(cutoff_minutes(minutes, policy.type_multiplier(event_type), level, policy.as_numbers()))
