"""What the exchange answers: its status, a signed call, budgets and the historical cutoff. Reading only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from kalshi_assets.doctor.check import Check, failure, failure_of, not_asked, ok, skipped, warning
from kalshi_assets.doctor.clock_checks import SAMPLES_APART_S, judge_clock, measure_skew
from kalshi_assets.doctor.key_checks import UNSIGNED
from kalshi_assets.errors import AuthenticationFailed, ExchangeError, MalformedResponse, Unreachable
from kalshi_assets.exchange.client import UNSIGNED_RATE
from kalshi_assets.exchange.connect import connect
from kalshi_assets.exchange.credentials import Credentials
from kalshi_assets.exchange.models import AccountLimits, Cutoff, EndpointCosts, ExchangeStatus, Schedule
from kalshi_assets.http import RetryPolicy

STATUS, SKEW, SIGNATURE = "exchange.status", "clock.skew", "key.signature"
LIMITS, COSTS, CUTOFF = "exchange.limits", "exchange.costs", "exchange.cutoff"
REMOTE = (STATUS, SKEW, SIGNATURE, LIMITS, COSTS, CUTOFF)
OLDEST_CUTOFF = timedelta(days=2 * 365)
# A person waits: one more attempt after a bad one, and no long silence.
PATIENCE = RetryPolicy(attempts=2, budget_s=8.0, loopback_budget_s=1.0, connect_timeout_s=4.0, read_timeout_s=6.0)
_DEFAULT_COST = 10
_AHEAD = timedelta(days=7)
_SAME_KEY = (
    "See on the exchange's account page that the key id and the private key belong together; keys of the demo and "
    "of the real exchange are separate, and this machine's clock must be right."
)
_CHECK_ADDRESS = "Check the network, a proxy (HTTPS_PROXY) and the source's address (--source or KALSHI_ASSETS_SOURCE)."

_Answer = TypeVar("_Answer")


def check_exchange(
    base_url: str,
    credentials: Credentials | None,
    *,
    recorded: bool,
    key_wrong: bool = False,
    apart_s: float = SAMPLES_APART_S,
) -> list[Check]:
    """All checks that need an answer; the first one unanswered, the others are skipped.

    Args:
        base_url: the exchange's address.
        credentials: a key to sign one call with, or None.
        recorded: whether an archive on this machine answers: it knows no key, and its cutoff may be of any age.
        key_wrong: whether a key is configured that cannot be used.
        apart_s: seconds between two looks at the exchange's clock.
    """
    exchange = connect(base_url, retry=PATIENCE)
    with exchange.transport:
        try:
            status = exchange.status()
        except ExchangeError as error:
            return [_not_there(error), *not_asked(REMOTE[1:], "The exchange was not reached.")]
        skew_s = measure_skew(exchange, apart_s=apart_s)
        now = datetime.now(UTC) + timedelta(seconds=skew_s or 0.0)
        schedule = None if _open(status) else _answer(exchange.schedule)
        signature, limits = _sign(base_url, credentials, recorded=recorded, key_wrong=key_wrong)
        return [
            judge_status(status, schedule if isinstance(schedule, Schedule) else None, now, exchange.transport.host),
            judge_clock(skew_s),
            signature,
            judge_limits(limits, recorded=recorded),
            judge_costs(_answer(exchange.endpoint_costs)),
            judge_cutoff(_answer(exchange.cutoff), now, recorded=recorded),
        ]


def judge_status(status: ExchangeStatus, schedule: Schedule | None, now: datetime, host: str) -> Check:
    """Active, or a warning with what the schedule says.

    Args:
        status: what the exchange says of itself.
        schedule: planned maintenance, if it could be read.
        now: the present by the exchange's clock.
        host: who answered.
    """
    if _open(status):
        return ok(STATUS, f"{host} answers; the exchange and trading are active.")
    what = "trading is paused" if status.exchange_active else "the exchange is not active"
    resumes = status.exchange_estimated_resume_time
    words = [f"{host} answers, but {what}."]
    if resumes is not None:
        words.append(f"It expects to resume at {_minute(resumes)}.")
    for window in schedule.maintenance_windows if schedule else ():
        span = f"{_minute(window.start_datetime)} to {_minute(window.end_datetime)}"
        if window.start_datetime <= now < window.end_datetime:
            words.append(f"Its schedule names maintenance now, {span}.")
        elif now < window.start_datetime <= now + _AHEAD:
            words.append(f"Its schedule names maintenance {span}.")
    advice = "Recorded data can be read; order books stand still. Try again when trading resumes."
    return warning(STATUS, " ".join(words), advice)


def judge_limits(limits: AccountLimits | ExchangeError | None, *, recorded: bool) -> Check:
    """The account's budget, or in words what applies without one."""
    if isinstance(limits, ExchangeError):
        return failure_of(LIMITS, limits)
    if limits is not None:
        rate, capacity = float(limits.read.refill_rate), float(limits.read.bucket_capacity)
        if rate <= 0 or capacity <= 0:
            return failure(
                LIMITS,
                f"The account's read budget is {rate:g} tokens/s and holds {capacity:g}: nothing can be read.",
                "Ask the exchange about the account, or unset the key to read unsigned.",
            )
        tier = f" (tier {limits.usage_tier})" if limits.usage_tier else ""
        return ok(
            LIMITS,
            f"{rate:g} tokens/s{tier}, at most {capacity:g} at once: about {rate / _DEFAULT_COST:g} requests a second.",
        )
    if recorded:
        return ok(LIMITS, "No budget: this machine answers itself.")
    rate, capacity = UNSIGNED_RATE
    return ok(
        LIMITS,
        f"Without a usable key about {rate / _DEFAULT_COST:g} requests a second are sent "
        f"({rate:g} tokens/s, at most {capacity:g} at once).",
    )


def judge_costs(costs: EndpointCosts | ExchangeError) -> Check:
    """What requests cost."""
    if isinstance(costs, ExchangeError):
        return failure_of(COSTS, costs)
    reads = sum(c.method.upper() == "GET" for c in costs.endpoint_costs)
    return ok(COSTS, f"{float(costs.default_cost):g} tokens a request; {reads} reading endpoints cost something else.")


def judge_cutoff(cutoff: Cutoff | ExchangeError, now: datetime, *, recorded: bool) -> Check:
    """The boundary between the tiers: in the past, at midnight UTC, and at most two years old.

    Args:
        cutoff: as read, or why it could not be.
        now: the present by the exchange's clock.
        recorded: an archive keeps the boundary of its own time, which is neither too old nor too new.
    """
    if isinstance(cutoff, ExchangeError):
        return failure_of(CUTOFF, cutoff)
    moments = {"markets settled": cutoff.market_settled_ts, "trades made": cutoff.trades_created_ts}
    found = ", ".join(f"{what} before {_minute(moment)}" for what, moment in moments.items())
    found = f"On the historical tier: {found}."
    if not recorded and any(moment > now for moment in moments.values()):
        return failure(
            CUTOFF,
            f"{found} That is in the future, so recent data would be asked for in the wrong place.",
            "Check this machine's clock and the source's address; if both are right, try again later.",
        )
    oddities = [
        words
        for odd, words in (
            (any(m.astimezone(UTC).time() != datetime.min.time() for m in moments.values()), "not at midnight UTC"),
            (not recorded and any(now - m > OLDEST_CUTOFF for m in moments.values()), "more than two years old"),
        )
        if odd
    ]
    if oddities:
        return warning(
            CUTOFF,
            f"{found} It is {' and '.join(oddities)}, as it never was before.",
            "Check that the source is the exchange that you mean; the exchange may have changed its rules.",
        )
    return ok(CUTOFF, found)


def judge_signature(error: ExchangeError | None, kind: str) -> Check:
    """Whether the exchange took a signed call."""
    if error is None:
        return ok(SIGNATURE, f"The exchange accepts the {kind} key's signature.")
    if isinstance(error, AuthenticationFailed):
        return failure_of(SIGNATURE, error, _SAME_KEY)
    return skipped(SIGNATURE, f"The signed call got no usable answer: {error}")


def _sign(
    base_url: str, credentials: Credentials | None, *, recorded: bool, key_wrong: bool
) -> tuple[Check, AccountLimits | ExchangeError | None]:
    """One signed call, and the account's limits that it asks for."""
    if recorded:
        return skipped(SIGNATURE, "An archive on this machine knows no keys and needs none."), None
    if credentials is None:
        why = "The configured key cannot be used" if key_wrong else "No key is configured"
        return skipped(SIGNATURE, f"{why}: {UNSIGNED}."), None
    exchange = connect(base_url, credentials, retry=PATIENCE)
    with exchange.transport:
        answer = _answer(exchange.account_limits)
    error = answer if isinstance(answer, ExchangeError) else None
    limits = None if isinstance(answer, AuthenticationFailed) else answer
    return judge_signature(error, credentials.kind), limits


def _answer(ask: Callable[[], _Answer]) -> _Answer | ExchangeError:
    try:
        return ask()
    except ExchangeError as error:
        return error


def _not_there(error: ExchangeError) -> Check:
    if isinstance(error, Unreachable):
        return failure(STATUS, str(error), _CHECK_ADDRESS)
    if isinstance(error, MalformedResponse):
        return failure(STATUS, f"Something answers, but not as the exchange does: {error}", _CHECK_ADDRESS)
    return failure_of(STATUS, error)


def _open(status: ExchangeStatus) -> bool:
    return bool(status.exchange_active and status.trading_active)


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
