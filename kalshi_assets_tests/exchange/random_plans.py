"""Fault plans drawn from a seed, from mild to brutal; what a client makes of them is the tests' business."""

from __future__ import annotations

import random
from typing import Any

MOODS = ("mild", "rough", "brutal")
PATHS = (
    "*", "*", "/events", "/markets", "*/markets", "/historical/cutoff", "*/candlesticks", "*/candlesticks",
    "/historical/markets/*/candlesticks", "/markets/candlesticks", "*/trades", "*/trades", "*/trades",
)  # fmt: skip
# Of one rule: how often it strikes at most, and how many requests in a row.
_REACH = {"mild": (0.05, 1), "rough": (0.3, 3), "brutal": (0.9, 12)}
_RULES = {"mild": (1, 2), "rough": (2, 4), "brutal": (2, 5)}
_PASSING = (429, 429, 500, 502, 503, 504)
_FINAL = (400, 401, 403, 404, 404)
_UNKNOWN = {
    "market": {"mood": "good"},
    "event": {"weather": {"sky": []}},
    "trade": {"x": None},
    "candlestick": {"y": 1},
}


def random_plan(seed: int, cutoffs: tuple[str, ...]) -> dict[str, Any]:
    """The document of a plan.

    Args:
        seed: the same seed gives the same plan; every third one is mild, rough, brutal.
        cutoffs: moments between which the boundary of the tiers may lie, ascending.
    """
    rng = random.Random(f"plan {seed}")
    mood = MOODS[seed % len(MOODS)]
    plan: dict[str, Any] = {"seed": seed, "rules": [_rule(rng, mood) for _ in range(rng.randint(*_RULES[mood]))]}
    if rng.random() < 0.5:
        first, last = sorted(rng.choices(cutoffs, k=2))
        plan["cutoff"] = dict.fromkeys(("market_settled_ts", "trades_created_ts"), first)
        if first < last:
            after = {"after_requests": rng.randrange(60), "market_settled_ts": last, "trades_created_ts": last}
            plan["cutoff_moves"] = [after]
    if rng.random() < 0.3:
        plan["overlap_s"] = rng.choice((60, 86_400, 90 * 86_400))
    if rng.random() < 0.3:
        plan["drift"] = {"add": dict(rng.sample(list(_UNKNOWN.items()), 2))}
    if rng.random() < 0.1:
        plan["clock_skew_s"] = rng.choice((-3600, 3600))
    return plan


def world_of(plan: dict[str, Any]) -> dict[str, Any]:
    """The plan without its faults, after the boundary's last move: the same exchange on a good day later."""
    world = {k: v for k, v in plan.items() if k in ("cutoff", "overlap_s")}
    for move in plan.get("cutoff_moves", ()):
        world["cutoff"] = {k: v for k, v in move.items() if k != "after_requests"}
    return world


def _rule(rng: random.Random, mood: str) -> dict[str, Any]:
    often, burst = _REACH[mood]
    rule = {
        "path": rng.choice(PATHS),
        "probability": round(rng.uniform(0.01, often), 3),
        "times": rng.randint(1, burst),
        **_fault(rng, mood),
    }
    if rng.random() < 0.3:
        first = rng.randrange(40)
        rule["requests"] = rng.choice(([first, first + 1], {"from": first}, {"from": first, "to": first + 20}))
    return rule


def _fault(rng: random.Random, mood: str) -> dict[str, Any]:
    fault = rng.choice(
        ("latency", "stall", "reset", "reset", "cut", "truncate", "garbage", "garbage", "status", "status", "status",
         "duplicate_page", "repeat_rows", "reorder", "expired_cursor")
    )  # fmt: skip
    if fault in ("latency", "stall"):
        # The tests' client waits a quarter of a second; only few of many requests may be slower.
        slow = rng.random() < 0.1
        return {
            "fault": fault,
            "seconds": 0.35 if slow else 0.004,
            **({"probability": 0.02, "times": 1} if slow else {}),
        }
    if fault == "garbage":
        return {"fault": fault, "status": rng.choice((200, 200, 404, 502))}
    if fault == "repeat_rows":
        return {"fault": fault, "rows": rng.randint(1, 4)}
    if fault == "reorder":
        return {"fault": fault, "order": rng.choice(("reversed", "shuffled"))}
    if fault == "status":
        final = rng.random() < (0.3 if mood == "brutal" else 0.1)
        status = rng.choice(_FINAL if final else _PASSING)
        wish = {"retry_after": rng.choice(("0", "1", "+1", "Thu, 08 Jan 2026 08:00:02 GMT"))} if status == 429 else {}
        return {
            "fault": fault,
            "status": status,
            "shape": rng.choice(("nested", "flat", "msg", "string")),
            **(wish if rng.random() < 0.6 else {}),
        }
    return {"fault": fault}
