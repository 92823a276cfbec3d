"""The exchange as the stages see it: one method a question; bodies, tiers and retries are the other modules'.

Listings and market data are asked in modules of their own; here is what concerns the
exchange and the account themselves.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from kalshi_assets.errors import MalformedResponse
from kalshi_assets.exchange.limits import cost_function
from kalshi_assets.exchange.listings import Listings
from kalshi_assets.exchange.market_data import MarketData
from kalshi_assets.exchange.models import AccountLimits, Cutoff, EndpointCosts, ExchangeStatus, Schedule
from kalshi_assets.exchange.reader import object_in

# Tokens a second and capacity, at ten tokens a request: without a key about four requests a second are tolerated.
UNSIGNED_RATE = (40.0, 20.0)
# Tokens; an account whose budget is below one request in ten seconds is no account but a damaged answer.
_SLOWEST = 1.0


class Exchange(Listings, MarketData):
    """Reads Kalshi's Trade API; see ``reader.Reader`` for the arguments."""

    def status(self) -> ExchangeStatus:
        """Whether it is up; the answer counts also where it comes with a 5xx."""
        body = self.transport.get_json(
            "/exchange/status", signed=self.transport.can_sign, accepts=lambda _, b: "exchange_active" in b
        )
        return ExchangeStatus.parse(body, "/exchange/status", self.findings)

    def schedule(self) -> Schedule:
        """Trading hours and planned maintenance."""
        body = self._get("/exchange/schedule")
        return Schedule.parse(object_in(body, "schedule"), "/exchange/schedule", self.findings)

    def cutoff(self) -> Cutoff:
        """The boundary between the tiers at this moment; it moves, so read it at both ends of a run."""
        return Cutoff.parse(self._get("/historical/cutoff"), "/historical/cutoff", self.findings)

    def account_limits(self) -> AccountLimits:
        """The budget of the key's account (needs a key)."""
        body = self.transport.get_json("/account/limits", signed=True)
        return AccountLimits.parse(body, "/account/limits", self.findings)

    def endpoint_costs(self) -> EndpointCosts:
        """Tokens by endpoint where they differ from the default."""
        return EndpointCosts.parse(self._get("/account/endpoint_costs"), "/account/endpoint_costs", self.findings)

    def learn_limits(self) -> AccountLimits | None:
        """Spend at the account's own pace from now on; None where there is no key or no limiter."""
        limiter = self.transport.limiter
        if limiter is None or not self.transport.can_sign:
            return None
        limits, costs = self.account_limits(), self.endpoint_costs()
        rate, capacity = float(limits.read.refill_rate), float(limits.read.bucket_capacity)
        if rate < _SLOWEST or capacity < _SLOWEST:
            raise MalformedResponse(f"/account/limits grants a read budget of {rate} tokens/s and {capacity} tokens.")
        limiter.reconfigure(rate, capacity)
        self.transport.cost_of = cost_function(costs, urlsplit(self.transport.base_url).path)
        return limits
