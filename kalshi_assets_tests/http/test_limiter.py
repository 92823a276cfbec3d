from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field

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


COST = 10.0
CHANGE = st.tuples(
    st.floats(0.0, 30.0),  # when
    st.floats(20.0, 2000.0),  # rate
    st.floats(2 * COST, 900.0),  # capacity
)


@dataclass
class Hall:
    """Simulated callers before one bucket, on a clock that moves only in sleeps and between arrivals.

    Callers queue, as they do at the bucket's own lock, so the next one is served when the former
    is done. The budget changes at its moments, also in the middle of a sleep.
    """

    changes: list[tuple[float, float, float]]
    overshoot: float = 0.0
    now: float = 0.0
    grants: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.changes = [(0.0, *self.changes[0][1:]), *sorted(self.changes[1:])]
        self._due = self.changes[1:]
        self.bucket = TokenBucket(*self.changes[0][1:], clock=lambda: self.now, sleep=self.wait)

    def wait(self, seconds: float) -> None:
        self._advance(self.now + seconds + self.overshoot)

    def _advance(self, until: float) -> None:
        while self._due and self._due[0][0] <= until:
            at, rate, capacity = self._due.pop(0)
            self.now = max(self.now, at)
            self.bucket.reconfigure(rate, capacity)
        self.now = max(self.now, until)

    def serve(self, arrivals: list[tuple[float, float]]) -> None:
        """Callers come at their moments and want their costs, in order of arrival."""
        for at, cost in sorted(arrivals):
            self._advance(at)
            self.bucket.acquire(cost)
            self.grants.append((self.now, cost))

    def budget(self, start: float, end: float) -> float:
        """Tokens that flow back between two moments."""
        ends = [at for at, _, _ in self.changes[1:]] + [float("inf")]
        return sum(
            rate * max(0.0, min(end, to) - max(start, at)) for (at, rate, _), to in zip(self.changes, ends, strict=True)
        )

    def saved(self, at: float) -> float:
        """The most that any budget in force at a moment allows to be saved up."""
        before = [capacity for moment, _, capacity in self.changes if moment < at] or [0.0]
        return max(before[-1], *(capacity for moment, _, capacity in self.changes if moment == at), 0.0)


@settings(deadline=None, max_examples=150)
@given(
    changes=st.lists(CHANGE, min_size=1, max_size=4),
    arrivals=st.lists(st.tuples(st.floats(0.0, 30.0), st.floats(0.1, 2 * COST)), min_size=1, max_size=80),
    overshoot=st.sampled_from([0.0, 0.013, 0.4]),
)
def test_many_callers_and_changing_budgets_never_overspend_in_any_window(
    changes: list[tuple[float, float, float]], arrivals: list[tuple[float, float]], overshoot: float
) -> None:
    hall = Hall(changes, overshoot)
    hall.serve(arrivals)
    assert len(hall.grants) == len(arrivals)
    for i, (start, _) in enumerate(hall.grants):
        spent = 0.0
        for at, cost in hall.grants[i:]:
            spent += cost
            assert spent <= hall.saved(start) + hall.budget(start, at) + 1e-3


@settings(deadline=None, max_examples=60)
@given(changes=st.lists(CHANGE, min_size=1, max_size=4), late=st.floats(0.0, 1.0), seed=st.integers(0, 99))
def test_under_saturating_load_hardly_a_token_is_wasted_and_none_is_made_up(
    changes: list[tuple[float, float, float]], late: float, seed: int
) -> None:
    """Twenty callers want one more at every moment; sleeps end up to one request's worth of tokens too late.

    A sleeper notices a new budget a quarter of a second late at most, so that much of each may be lost.
    """
    fastest = max(rate for _, rate, _ in changes)
    hall = Hall(changes, overshoot=late * COST / fastest)
    rng = random.Random(seed)
    while hall.now < 40.0 and len(hall.grants) < 20_000:
        hall.serve([(hall.now, rng.choice((COST / 2, COST))) for _ in range(20)])
    end = hall.grants[-1][0]
    spent = sum(cost for _, cost in hall.grants)
    unnoticed = sum(0.25 * rate for _, rate, _ in changes[1:])
    assert 0.95 * hall.budget(0.0, end) - COST - unnoticed <= spent <= hall.budget(0.0, end) + hall.changes[0][2] + 1e-3


def test_a_budget_that_grows_is_used_at_once_by_whoever_waits_already() -> None:
    hall = Hall([(0.0, 0.1, 10.0), (2.0, 100.0, 10.0)])
    hall.serve([(0.0, 10.0), (0.0, 10.0)])
    assert hall.grants[-1][0] < 4.0


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


def test_threads_keep_to_a_budget_that_changes_under_them() -> None:
    """The moment of a grant is the last reading of the clock that the bucket took for that caller."""
    mine, grants, lock = threading.local(), [], threading.Lock()

    def clock() -> float:
        mine.now = time.monotonic()
        return mine.now

    bucket = TokenBucket(1000.0, 50.0, clock=clock)

    def worker() -> None:
        for _ in range(12):
            bucket.acquire(10.0)
            with lock:
                grants.append(mine.now)

    threads = [threading.Thread(target=worker) for _ in range(8)]
    for t in threads:
        t.start()
    time.sleep(0.1)
    changed = time.monotonic()
    bucket.reconfigure(3000.0, 50.0)
    settled = time.monotonic()
    for t in threads:
        t.join()
    grants.sort()
    assert len(grants) == 96
    for i, start in enumerate(grants):
        for n, at in enumerate(grants[i:], start=1):
            slow, fast = max(0.0, min(at, settled) - start), max(0.0, at - max(start, changed))
            assert 10.0 * n <= 50.0 + 1000.0 * slow + 3000.0 * fast + 1e-3
