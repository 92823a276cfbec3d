"""Builds a client for a base URL: hosts, budget, signer and clock put together; requests are not made here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from kalshi_assets.exchange.client import UNSIGNED_RATE, Exchange
from kalshi_assets.exchange.credentials import Credentials
from kalshi_assets.exchange.findings import Findings
from kalshi_assets.exchange.journal import Journal
from kalshi_assets.exchange.signing import Signer
from kalshi_assets.http import RequestEvent, RetryPolicy, ServerClock, TokenBucket, Transport, is_loopback

# The lowest tier of accounts grants this; learn_limits reads the account's own budget.
_LOWEST_TIER = (200.0, 200.0)


def connect(
    base_url: str,
    credentials: Credentials | None = None,
    *,
    limiter: TokenBucket | None = None,
    retry: RetryPolicy | None = None,
    findings: Findings | None = None,
    now: Callable[[], datetime] | None = None,
    on_request: Callable[[RequestEvent], None] | None = None,
    journal: Journal | None = None,
) -> Exchange:
    """A client with the defaults that suit the host.

    Args:
        base_url: with ``/trade-api/v2``.
        credentials: a key, or None for public market data.
        limiter: a budget to use instead of the default; a server on this machine has none by default.
        retry: bounds on retries.
        findings: collector of oddities.
        now: clock that stamps order books and tells which ranges are over.
        on_request: called after each attempt.
        journal: keeps the answers about the past, so that a download goes on after a kill.
    """
    if limiter is None and not is_loopback(base_url):
        limiter = TokenBucket(*(_LOWEST_TIER if credentials else UNSIGNED_RATE))
    clock = ServerClock()
    transport = Transport(
        base_url,
        limiter=limiter,
        authorize=Signer(credentials, clock.now_ms).headers if credentials else None,
        retry=retry,
        server_clock=clock,
        on_request=on_request,
    )
    return Exchange(transport, findings=findings, now=now or (lambda: datetime.now(UTC)), journal=journal)
