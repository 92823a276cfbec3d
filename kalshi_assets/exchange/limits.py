"""What a request costs, from the exchange's list of exceptions; spending tokens does not belong here."""

from __future__ import annotations

import re
from collections.abc import Callable

from kalshi_assets.exchange.models import EndpointCosts


def cost_function(costs: EndpointCosts, prefix: str) -> Callable[[str], float]:
    """Tokens that a GET of a path costs.

    Args:
        costs: the default and its exceptions, whose paths hold ``:name`` for a variable segment.
        prefix: the base URL's path, which the listed paths carry and the client's do not.
    """
    default = float(costs.default_cost)
    exceptions = [
        (re.compile(re.sub(r":\w+", "[^/]+", re.escape(c.path.removeprefix(prefix)))), float(c.cost))
        for c in costs.endpoint_costs
        if c.method.upper() == "GET"
    ]

    def cost_of(path: str) -> float:
        return next((cost for pattern, cost in exceptions if pattern.fullmatch(path)), default)

    return cost_of
