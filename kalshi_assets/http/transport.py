"""Signed or unsigned GETs of JSON objects, retried within a budget; what a body means does not belong here."""

from __future__ import annotations

import ipaddress
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from kalshi_assets.errors import AuthenticationFailed, ExchangeError, MalformedResponse, SettingsError, Unreachable
from kalshi_assets.http.attempt import Answer, Clock, NoAnswer, parse_object, send
from kalshi_assets.http.limiter import TokenBucket
from kalshi_assets.http.redaction import keep_out_of_logs
from kalshi_assets.http.refusal import parse_refusal, typed_error
from kalshi_assets.http.retry import RetryPolicy, retry_after_s
from kalshi_assets.http.server_clock import ServerClock

Params = Mapping[str, str | int | Sequence[str] | Sequence[int] | None]
Accepts = Callable[[int, dict[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class RequestEvent:
    """One attempt, for logs and metrics; it holds no query and no header.

    Attributes:
        host: host and port.
        path: URL path.
        attempt: 1 for the first.
        status: HTTP status, or None where no answer came.
        elapsed_s: seconds for this attempt.
        received_bytes: size of the decoded body.
        outcome: ``ok``, ``retry``, ``refused`` or ``gave_up``.
    """

    host: str
    path: str
    attempt: int
    status: int | None
    elapsed_s: float
    received_bytes: int
    outcome: str


@dataclass(slots=True)
class Counters:
    """Running totals of a transport: attempts sent, repeats among them, 429s, errors raised, bytes received."""

    requests: int = 0
    retries: int = 0
    throttled: int = 0
    failures: int = 0
    received_bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Fault:
    words: str
    status: int | None = None
    wish_s: float | None = None
    refused: bool = False
    malformed: bool = False
    final: ExchangeError | None = None
    expired_timestamp: bool = False


class Transport:
    """GETs JSON objects from one service.

    Retried: 429, 5xx, timeouts, broken connections, and a 200 whose body is no JSON
    object. Everything else is final at once. Safe to share between threads.

    Args:
        base_url: scheme, host and path prefix that every path is appended to.
        limiter: budget of tokens spent before each attempt; None for no limit.
        session: a session to use instead of an own one.
        authorize: headers for a method and the URL path as sent (with the prefix, percent-encoded,
            without the query). Called anew for each attempt, because timestamps expire.
        secret_params: query parameters added to each request and kept out of errors, events and logs.
        retry: bounds on attempts, pauses and time.
        server_clock: the clock that ``authorize`` stamps with; set from the ``Date`` header when the
            server calls a timestamp expired.
        cost_of: tokens that a GET of a path costs.
        clock, sleep, rng: injected for tests.
        on_request: called after each attempt.
    """

    def __init__(
        self,
        base_url: str,
        *,
        limiter: TokenBucket | None = None,
        session: requests.Session | None = None,
        authorize: Callable[[str, str], Mapping[str, str]] | None = None,
        secret_params: Mapping[str, str] | None = None,
        retry: RetryPolicy | None = None,
        server_clock: ServerClock | None = None,
        cost_of: Callable[[str], float] | None = None,
        clock: Clock = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        rng: random.Random | None = None,
        on_request: Callable[[RequestEvent], None] | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.host = _host_of(self.base_url, guarded=bool(authorize or secret_params))
        self.limiter = limiter
        self.counters = Counters()
        self.server_clock = server_clock or ServerClock()
        self.cost_of = cost_of
        self._loopback = is_loopback(self.base_url)
        self._session = session or _new_session(trust_env=not self._loopback)
        self._authorize = authorize
        self._secret_params = dict(secret_params or {})
        self._retry = retry or RetryPolicy()
        self._clock = clock
        self._sleep = sleep
        # Jitter needs spread, not secrecy.
        self._rng = rng or random.Random()  # noqa: S311
        self._on_request = on_request
        self._lock = threading.Lock()
        keep_out_of_logs(self._secret_params.values())

    def __repr__(self) -> str:
        return f"Transport({self.base_url!r}, signing={self.can_sign})"

    def __enter__(self) -> Transport:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the pooled connections."""
        self._session.close()

    def add_secret_params(self, params: Mapping[str, str]) -> None:
        """Add query parameters to each request and keep their values out of errors, events and logs.

        Raises:
            SettingsError: the base URL is plain http to another machine.
        """
        self.host = _host_of(self.base_url, guarded=True)
        self._secret_params.update(params)
        keep_out_of_logs(params.values())

    @property
    def can_sign(self) -> bool:
        """True where a key is configured."""
        return self._authorize is not None

    def get_json(
        self,
        path: str,
        params: Params | None = None,
        *,
        signed: bool = False,
        accepts: Accepts | None = None,
        keep: Callable[[bytes], object] | None = None,
    ) -> dict[str, Any]:
        """The JSON object at a path, numbers with a fraction as ``Decimal``.

        Args:
            path: appended to the base URL; its odd characters are already percent-encoded.
            params: query; None values are left out, sequences repeat the parameter.
            signed: send the headers of ``authorize``.
            accepts: says of a status other than 200 and its object whether that is an answer all the same.
            keep: given the body as received, once it is known to be an object.

        Raises:
            Unreachable: no usable answer within the attempts and the time budget.
            MalformedResponse: the service kept answering 200 with something that is no JSON object.
            AuthenticationFailed, NotFound, RequestRefused: a refusal, in the service's words.
        """
        what = f"GET {path} at {self.host}"
        if signed and self._authorize is None:
            raise AuthenticationFailed(f"{what} needs an API key, and none is configured.")
        query = {k: v for k, v in {**(params or {}), **self._secret_params}.items() if v is not None}
        request = requests.Request("GET", self.base_url + path, params=query)
        spent_s, attempt, resynced = 0.0, 0, False
        while True:
            attempt += 1
            if self.limiter is not None:
                self.limiter.acquire(self.cost_of(path) if self.cost_of else 10.0)
            started = self._clock()
            answer = self._send(request, signed, started, self._retry.budget_s - spent_s)
            result = self._judge(answer, what, accepts)
            elapsed_s = self._clock() - started
            spent_s += elapsed_s
            if not isinstance(result, _Fault):
                self._record(path, attempt, answer, elapsed_s, "ok")
                if keep is not None and isinstance(answer, Answer):
                    keep(answer.body)
                return result
            if result.expired_timestamp and signed and not resynced:
                resynced = True
                self.server_clock.resync()
                self._record(path, attempt, answer, elapsed_s, "retry")
                continue
            if result.final is not None:
                self._record(path, attempt, answer, elapsed_s, "refused")
                raise result.final
            pause_s = self._retry.pause_s(attempt, self._rng, result.wish_s)
            if attempt >= self._retry.attempts or spent_s + pause_s > self._budget_s(result):
                self._record(path, attempt, answer, elapsed_s, "gave_up")
                raise self._exhausted(result, what, attempt, spent_s)
            self._record(path, attempt, answer, elapsed_s, "retry")
            self._sleep(pause_s)
            spent_s += pause_s

    def _send(self, request: requests.Request, signed: bool, started: float, remaining_s: float) -> Answer | NoAnswer:
        prepared = self._session.prepare_request(request)
        if signed and self._authorize is not None:
            prepared.headers.update(self._authorize("GET", urlsplit(prepared.url or "").path))
        left = max(0.05, remaining_s)
        answer = send(
            self._session,
            prepared,
            connect_timeout_s=min(self._retry.connect_timeout_s, left),
            read_timeout_s=min(self._retry.read_timeout_s, left),
            deadline=started + left,
            clock=self._clock,
        )
        if isinstance(answer, Answer):
            self.server_clock.observe(answer.headers.get("Date"))
        return answer

    def _judge(self, answer: Answer | NoAnswer, what: str, accepts: Accepts | None) -> dict[str, Any] | _Fault:
        if isinstance(answer, NoAnswer):
            return _Fault(answer.words, refused=answer.refused)
        body = parse_object(answer.body)
        status = answer.status
        if isinstance(body, dict) and (status == 200 or (accepts is not None and accepts(status, body))):
            return body
        if status < 300:
            words = body if isinstance(body, str) else "is no answer to a question"
            return _Fault(f"the body {words}", status, malformed=True)
        refusal = parse_refusal(body, self._secret_params.values())
        if status == 429 or status >= 500:
            said = f" ({refusal.words})" if refusal.words else ""
            wish_s = retry_after_s(answer.headers.get("Retry-After"), self.server_clock.now())
            return _Fault(f"the answer was {status}{said}", status, wish_s)
        expired = refusal.code == "header_timestamp_expired"
        return _Fault("", status, final=typed_error(status, refusal, what), expired_timestamp=expired)

    def _budget_s(self, fault: _Fault) -> float:
        if fault.refused and self._loopback:
            return min(self._retry.loopback_budget_s, self._retry.budget_s)
        return self._retry.budget_s

    def _exhausted(self, fault: _Fault, what: str, attempts: int, spent_s: float) -> ExchangeError:
        tried = f"{attempts} attempt{'s' if attempts > 1 else ''} in {spent_s:.1f} s"
        words = fault.words
        if fault.malformed:
            return MalformedResponse(
                f"{what} was answered {fault.status}, but {words}, after {tried}; "
                "check that the base URL is the service's."
            )
        if fault.refused:
            return Unreachable(f"{what}: {words} ({tried}); check that the server runs and that the base URL is right.")
        if fault.status is not None:
            return Unreachable(f"{what} gave no usable answer: {words} ({tried}); try again later.")
        return Unreachable(f"{what} gave no answer: {words} ({tried}); check the network and the base URL.")

    def _record(self, path: str, attempt: int, answer: Answer | NoAnswer, elapsed_s: float, outcome: str) -> None:
        status, size = (answer.status, len(answer.body)) if isinstance(answer, Answer) else (None, 0)
        with self._lock:
            self.counters.requests += 1
            self.counters.retries += attempt > 1
            self.counters.throttled += status == 429
            self.counters.failures += outcome in {"refused", "gave_up"}
            self.counters.received_bytes += size
        if self._on_request is not None:
            self._on_request(RequestEvent(self.host, path, attempt, status, elapsed_s, size, outcome))


def is_loopback(base_url: str) -> bool:
    """True where the URL's host is this machine."""
    host = urlsplit(base_url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host_of(base_url: str, *, guarded: bool) -> str:
    try:
        parts = urlsplit(base_url)
        host = f"{parts.hostname}:{parts.port}" if parts.port else (parts.hostname or "")
    except ValueError:
        raise SettingsError(f"{base_url!r} is not a base URL; write it like https://host/path.") from None
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment or parts.username:
        raise SettingsError(f"{host or base_url!r} is not a base URL; write it like https://host/path.")
    if guarded and parts.scheme == "http" and not is_loopback(base_url):
        raise SettingsError(f"A key is sent to {host} only over https; change the base URL or remove the key.")
    return host


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """No redirect is followed: otherwise the library reads its body itself, without our deadline."""


def _new_session(*, trust_env: bool) -> requests.Session:
    session = _Session()
    # A proxy of the environment must not come between us and a server on this machine.
    session.trust_env = trust_env
    # Without a callable here requests would add credentials from the user's netrc file.
    session.auth = _no_auth
    session.headers.update({"Accept": "application/json", "User-Agent": "kalshi-assets"})
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = HTTPAdapter(pool_connections=4, pool_maxsize=16, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session
