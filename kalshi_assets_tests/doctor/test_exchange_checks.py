"""Real answers of a loopback exchange, and thresholds on literal ones."""

import socket
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from kalshi_assets.doctor.clock_checks import judge_clock, measure_skew, median_skew
from kalshi_assets.doctor.exchange_checks import (
    REMOTE,
    check_exchange,
    judge_costs,
    judge_cutoff,
    judge_limits,
    judge_signature,
    judge_status,
)
from kalshi_assets.doctor.fred_checks import check_fred, judge_fred_answer
from kalshi_assets.emulator.faults import Rule
from kalshi_assets.emulator.server import serve
from kalshi_assets.errors import AuthenticationFailed, MalformedResponse, RequestRefused, Unreachable
from kalshi_assets.exchange.connect import connect
from kalshi_assets.exchange.credentials import load_credentials
from kalshi_assets.exchange.models import (
    AccountLimits,
    Budget,
    Cutoff,
    EndpointCost,
    EndpointCosts,
    ExchangeStatus,
    MaintenanceWindow,
    Schedule,
)
from kalshi_assets_tests.doctor.keys import ED, KEY_ID, OTHER_ED, RSA, private_pem

NOW = datetime(2026, 11, 19, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def states(checks) -> dict[str, str]:
    return {c.name: c.state for c in checks}


def ask(base_url, credentials):
    """What a real exchange would be asked, without the pauses that its clock needs."""
    return check_exchange(base_url, credentials, recorded=False, apart_s=0.0)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_without_a_key_everything_public_is_answered(venue):
    checks = ask(venue.base_url, None)
    assert tuple(c.name for c in checks) == REMOTE
    by_name = {c.name: c for c in checks}
    assert by_name["key.signature"].state == "skipped"
    assert "forecast percentiles" in by_name["key.signature"].found
    assert "about 4 requests a second" in by_name["exchange.limits"].found
    assert states(checks)["exchange.status"] == states(checks)["clock.skew"] == states(checks)["exchange.costs"] == "ok"


@pytest.mark.parametrize(("key_id", "key", "kind"), [(KEY_ID, ED, "Ed25519"), ("rsa-key", RSA, "RSA")])
def test_with_a_key_the_signature_is_accepted_and_the_budget_read(venue, key_id, key, kind):
    credentials = load_credentials(key_id, private_key_pem=private_pem(key))
    by_name = {c.name: c for c in ask(venue.base_url, credentials)}
    assert by_name["key.signature"].state == "ok"
    assert kind in by_name["key.signature"].found
    assert "200 tokens/s (tier basic), at most 600" in by_name["exchange.limits"].found


@pytest.mark.parametrize(
    ("key_id", "words"), [(KEY_ID, "does not belong to this key id"), ("unknown", "does not know this key id")]
)
def test_a_refused_signature_is_the_keys_fault(venue, key_id, words):
    credentials = load_credentials(key_id, private_key_pem=private_pem(OTHER_ED))
    by_name = {c.name: c for c in ask(venue.base_url, credentials)}
    assert by_name["key.signature"].state == "failure"
    assert words in by_name["key.signature"].found
    assert by_name["exchange.status"].state == by_name["exchange.limits"].state == "ok"


def test_nobody_listens():
    checks = ask(f"http://127.0.0.1:{free_port()}/trade-api/v2", None)
    assert states(checks) == {"exchange.status": "failure", **dict.fromkeys(REMOTE[1:], "skipped")}
    assert "refused" in checks[0].found
    assert "--source" in checks[0].advice


def test_a_gateway_that_is_no_exchange(tiny):
    with serve(tiny, rules=(Rule("garbage", status=200),)) as server:
        checks = ask(server.base_url, None)
    assert states(checks)["exchange.status"] == "failure"
    assert "not as the exchange does" in checks[0].found


def test_one_endpoint_that_fails_does_not_hide_the_others(tiny):
    broken = ("/historical/cutoff", "/account/endpoint_costs")
    with serve(tiny, rules=tuple(Rule("status", path=path, status=502) for path in broken)) as server:
        found = states(ask(server.base_url, None))
    assert found["exchange.cutoff"] == found["exchange.costs"] == "failure"
    assert found["exchange.status"] == found["clock.skew"] == "ok"


@pytest.mark.parametrize(("ahead_s", "state", "way"), [(30.0, "failure", "behind"), (-3600.0, "failure", "ahead of")])
def test_a_wrong_clock_is_measured(tiny, ahead_s, state, way):
    with serve(tiny, now=lambda: time.time() + ahead_s) as server:
        skew_s = measure_skew(connect(server.base_url), apart_s=0.05)
    assert skew_s == pytest.approx(ahead_s, abs=0.7)
    check = judge_clock(skew_s)
    assert check.state == state
    assert f"{way} the exchange's" in check.found
    assert "NTP" in check.advice


@pytest.mark.parametrize(
    ("skew_s", "state"),
    [
        (0.0, "ok"),
        (1.99, "ok"),
        (-1.99, "ok"),
        (2.0, "warning"),
        (-2.0, "warning"),
        (4.99, "warning"),
        (5.0, "failure"),
        (-5.0, "failure"),
        (None, "skipped"),
    ],
)
def test_the_clocks_bounds(skew_s, state):
    assert judge_clock(skew_s).state == state


def test_direction_and_size_are_said():
    assert "3.2 s behind" in judge_clock(3.2).found
    assert "3.2 s ahead of" in judge_clock(-3.2).found
    assert "172800.0 s (2.0 days) behind" in judge_clock(172_800.0).found


def test_the_median_ignores_one_slow_answer():
    assert median_skew([0.1, 0.2, -9.0, 0.3, 0.0]) == 0.1
    assert median_skew([]) is None


def test_a_pause_in_the_replay_is_a_warning_with_the_schedules_words(tiny):
    with serve(tiny) as server:
        (window,) = connect(server.base_url).schedule().maintenance_windows
    pause = window.start_datetime.timestamp() + 600
    with serve(tiny, now=lambda: pause) as server:
        status = ask(server.base_url, None)[0]
    assert status.state == "warning"
    assert "trading is paused" in status.found
    assert f"maintenance now, {window.start_datetime.astimezone(UTC):%Y-%m-%d %H:%M} UTC to" in status.found


@pytest.mark.parametrize(
    ("exchange", "trading", "window", "state", "words"),
    [
        (True, True, None, "ok", "trading are active"),
        (True, False, None, "warning", "trading is paused"),
        (False, False, None, "warning", "the exchange is not active"),
        (True, False, (NOW, NOW + HOUR), "warning", "maintenance now, 2026-11-19 09:00 UTC"),
        (True, False, (NOW + HOUR, NOW + 2 * HOUR), "warning", "names maintenance 2026-11-19 10:00 UTC"),
    ],
)
def test_status(exchange, trading, window, state, words):
    status = ExchangeStatus(exchange_active=exchange, trading_active=trading)
    windows = [MaintenanceWindow(start_datetime=window[0], end_datetime=window[1])] if window else []
    check = judge_status(status, Schedule(maintenance_windows=windows), NOW, "host")
    assert check.state == state
    assert words in check.found


@pytest.mark.parametrize("window", [(NOW - HOUR, NOW), (NOW + 8 * 24 * HOUR, NOW + 9 * 24 * HOUR)])
def test_maintenance_that_is_over_or_far_off_is_not_named(window):
    schedule = Schedule(maintenance_windows=[MaintenanceWindow(start_datetime=window[0], end_datetime=window[1])])
    status = ExchangeStatus(exchange_active=True, trading_active=False, exchange_estimated_resume_time=NOW)
    check = judge_status(status, schedule, NOW, "host")
    assert "schedule" not in check.found
    assert "resume at 2026-11-19 09:00 UTC" in check.found


def cutoff(markets: datetime, trades: datetime | None = None) -> Cutoff:
    return Cutoff(market_settled_ts=markets, trades_created_ts=trades or markets)


MIDNIGHT = datetime(2026, 9, 20, tzinfo=UTC)
TWO_YEARS = datetime(2024, 11, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("read", "recorded", "state"),
    [
        (cutoff(MIDNIGHT), False, "ok"),
        (cutoff(MIDNIGHT + HOUR), False, "warning"),
        (cutoff(MIDNIGHT, MIDNIGHT + HOUR), False, "warning"),
        (cutoff(TWO_YEARS), False, "ok"),
        (cutoff(TWO_YEARS - timedelta(days=1)), False, "warning"),
        (cutoff(TWO_YEARS - timedelta(days=1)), True, "ok"),
        (cutoff(datetime(2026, 11, 20, tzinfo=UTC)), False, "failure"),
        (cutoff(MIDNIGHT, datetime(2026, 11, 20, tzinfo=UTC)), False, "failure"),
        (cutoff(datetime(2026, 11, 20, tzinfo=UTC)), True, "ok"),
        (MalformedResponse("no such field; its shape has changed."), False, "failure"),
    ],
)
def test_the_cutoff_is_plausible(read, recorded, state):
    check = judge_cutoff(read, NOW, recorded=recorded)
    assert check.state == state
    assert (check.advice is None) == (state == "ok")


def limits(rate: int, capacity: int) -> AccountLimits:
    return AccountLimits(usage_tier="expert", read=Budget(refill_rate=Decimal(rate), bucket_capacity=Decimal(capacity)))


@pytest.mark.parametrize(
    ("read", "recorded", "state", "words"),
    [
        (limits(600, 600), False, "ok", "about 60 requests a second"),
        (limits(0, 600), False, "failure", "nothing can be read"),
        (None, True, "ok", "No budget"),
        (None, False, "ok", "about 4 requests a second"),
        (Unreachable("no answer; try again later."), False, "failure", "no answer"),
    ],
)
def test_limits(read, recorded, state, words):
    check = judge_limits(read, recorded=recorded)
    assert check.state == state
    assert words in check.found


def test_costs():
    some = [EndpointCost(method=m, path="/p", cost=Decimal(2)) for m in ("GET", "POST")]
    found = judge_costs(EndpointCosts(default_cost=Decimal(10), endpoint_costs=some)).found
    assert "10 tokens a request; 1 reading" in found


@pytest.mark.parametrize(
    ("error", "state"),
    [(None, "ok"), (AuthenticationFailed("401. Check the key."), "failure"), (Unreachable("gone; try."), "skipped")],
)
def test_only_a_refusal_blames_the_signature(error, state):
    assert judge_signature(error, "RSA").state == state


def test_fred_takes_a_key_of_the_right_form(venue):
    today = datetime(2024, 6, 1, tzinfo=UTC).date()
    assert set(states(check_fred(venue.fred_url, "0123456789abcdef" * 2, today)).values()) == {"ok"}
    reached, accepted = check_fred(venue.fred_url, "Z" * 32, today)
    assert (reached.state, accepted.state) == ("ok", "failure")
    assert "FRED_API_KEY" in accepted.advice
    assert "ZZZZ" not in accepted.found


def test_fred_that_is_not_there():
    checks = check_fred(f"http://127.0.0.1:{free_port()}/fred", "0" * 32, NOW.date())
    assert [c.state for c in checks] == ["failure", "skipped"]
    assert [c.state for c in judge_fred_answer(RequestRefused("400; change it."))] == ["ok", "failure"]
