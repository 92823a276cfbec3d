"""Whether FRED answers and takes the key; the key's form is ``key_checks``'."""

from __future__ import annotations

from datetime import date, timedelta

from kalshi_assets.doctor.check import Check, failure, failure_of, ok, skipped
from kalshi_assets.doctor.exchange_checks import PATIENCE
from kalshi_assets.errors import AuthenticationFailed, ExchangeError, RequestRefused
from kalshi_assets.http import Transport
from kalshi_assets.macro.fred import Fred

REACHED, ACCEPTED = "fred.reachable", "key.fred_accepted"
# Consumer prices: published every month, so half a year always holds a date.
_RELEASE = 10
_SPAN = timedelta(days=180)


def check_fred(base_url: str, api_key: str, today: date) -> list[Check]:
    """One request with the key.

    Args:
        base_url: FRED's address.
        api_key: a key of the right form.
        today: the end of the days asked for.
    """
    with Transport(base_url, retry=PATIENCE) as transport:
        try:
            Fred(transport, api_key).release_dates(_RELEASE, today - _SPAN, today)
        except ExchangeError as error:
            return judge_fred_answer(error)
    return judge_fred_answer(None)


def judge_fred_answer(error: ExchangeError | None) -> list[Check]:
    """A refusal is the key's fault; any other error is the connection's."""
    if error is None:
        return [ok(REACHED, "FRED answers."), ok(ACCEPTED, "FRED accepts the key.")]
    if isinstance(error, RequestRefused | AuthenticationFailed):
        advice = "Compare FRED_API_KEY with your FRED account, or unset it to use the packaged facts."
        return [ok(REACHED, "FRED answers."), failure(ACCEPTED, str(error), advice)]
    return [failure_of(REACHED, error), skipped(ACCEPTED, "FRED gave no usable answer.")]
