"""JSON over HTTP that survives a bad day: budget of requests, retries, typed refusals, clock offset.

What every remote service needs lives here. Signing, routing and response
shapes are the services' own (``exchange``, ``macro``) and do not belong here.
"""

from kalshi_assets.http.limiter import TokenBucket
from kalshi_assets.http.retry import RetryPolicy
from kalshi_assets.http.server_clock import ServerClock
from kalshi_assets.http.transport import Counters, RequestEvent, Transport, is_loopback

__all__ = ["Counters", "RequestEvent", "RetryPolicy", "ServerClock", "TokenBucket", "Transport", "is_loopback"]
