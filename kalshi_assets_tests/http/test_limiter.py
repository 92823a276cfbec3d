from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_assets.http import TokenBucket
from kalshi_assets_tests.http.fake_time import FakeTime


def test_a_full_bucket_grants_its_capacity_at_once_then_the_rate() -> None:
    fake = FakeTime()
    bucket = TokenBucket(20.0, 30.0, clock=fake.clock, sleep=fake.sleep)
    times = []
    for _ in range(6):
        bucket.acquire(10.0)
        times.append(fake.now - 1000.0)
    assert times == pytest.approx([0, 0, 0, 0.5, 1.0, 1.5])


steps = st.lists(
    st.tuples(st.floats(0.0, 5.0), st.floats(0.1, 25.0)),  # idle time before the request, its cost
    min_size=1,
    max_size=60,
)


@settings(deadline=None)
@given(
    rate=st.floats(0.5, 500.0), capacity=st.floats(25.0, 900.0), requests=steps, overshoot=st.sampled_from([0, 0.013])
)
def test_no_window_spends_more_than_its_budget(
    rate: float, capacity: float, requests: list[tuple[float, float]], overshoot: float
) -> None:
    fake = FakeTime(overshoot=overshoot)
    bucket = TokenBucket(rate, capacity, clock=fake.clock, sleep=fake.sleep)
    grants: list[tuple[float, float]] = []
    for idle, cost in requests:
        fake.now += idle
        bucket.acquire(cost)
        grants.append((fake.now, cost))
    for i in range(len(grants)):
        spent = 0.0
        for at, cost in grants[i:]:
            spent += cost
            assert spent <= capacity + rate * (at - grants[i][0]) + 1e-3


@settings(deadline=None)
@given(rate=st.floats(1.0, 500.0), capacity=st.floats(20.0, 500.0), n=st.integers(1, 80))
def test_a_busy_caller_waits_no_longer_than_the_budget_demands(rate: float, capacity: float, n: int) -> None:
    fake = FakeTime()
    bucket = TokenBucket(rate, capacity, clock=fake.clock, sleep=fake.sleep)
    for _ in range(n):
        bucket.acquire(10.0)
    least = max(0.0, (10.0 * n - capacity) / rate)
    assert fake.now - 1000.0 == pytest.approx(least, abs=1e-3)


def test_time_slept_too_long_is_credited() -> None:
    fake = FakeTime(overshoot=0.02)
    bucket = TokenBucket(100.0, 50.0, clock=fake.clock, sleep=fake.sleep)
    for _ in range(105):
        bucket.acquire(10.0)
    assert fake.now - 1000.0 == pytest.approx((1050 - 50) / 100, abs=0.1)


def test_an_unsatisfiable_cost_waits_for_a_full_bucket_and_leaves_a_debt() -> None:
    fake = FakeTime()
    bucket = TokenBucket(10.0, 20.0, clock=fake.clock, sleep=fake.sleep)
    bucket.acquire(50.0)
    assert fake.now == 1000.0
    bucket.acquire(10.0)
    assert fake.now == pytest.approx(1004.0)


def test_reconfigure_takes_effect_and_caps_what_was_saved() -> None:
    fake = FakeTime()
    bucket = TokenBucket(10.0, 100.0, clock=fake.clock, sleep=fake.sleep)
    bucket.reconfigure(20.0, 10.0)
    bucket.acquire(10.0)
    bucket.acquire(10.0)
    assert fake.now == pytest.approx(1000.5)
    assert (bucket.rate_per_s, bucket.capacity) == (20.0, 10.0)


def test_a_clock_that_runs_back_grants_nothing() -> None:
    fake = FakeTime()
    bucket = TokenBucket(10.0, 10.0, clock=fake.clock, sleep=fake.sleep)
    bucket.acquire(10.0)
    fake.now -= 500.0
    bucket.acquire(10.0)
    assert sum(fake.slept) == pytest.approx(1.0)


@pytest.mark.parametrize(("rate", "capacity"), [(0, 10), (10, 0), (-1, 10), (float("nan"), 10)])
def test_a_budget_must_be_positive(rate: float, capacity: float) -> None:
    with pytest.raises(ValueError):
        TokenBucket(rate, capacity)


def test_threads_share_one_budget() -> None:
    bucket = TokenBucket(2000.0, 100.0)
    grants: list[float] = []
    lock = threading.Lock()

    def worker() -> None:
        for _ in range(15):
            bucket.acquire(10.0)
            with lock:
                grants.append(time.monotonic())

    started = time.monotonic()
    threads = [threading.Thread(target=worker) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    elapsed = max(grants) - started
    assert len(grants) == 120
    # 1,200 tokens, 100 of them saved up: 0.55 s at the least.
    assert 0.54 <= elapsed < 1.5
