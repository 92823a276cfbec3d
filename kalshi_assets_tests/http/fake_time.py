"""A clock that moves only when somebody sleeps."""

from __future__ import annotations


class FakeTime:
    def __init__(self, start: float = 1000.0, overshoot: float = 0.0) -> None:
        self.now = start
        self.slept: list[float] = []
        self.overshoot = overshoot

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.slept.append(seconds)
        self.now += seconds + self.overshoot
