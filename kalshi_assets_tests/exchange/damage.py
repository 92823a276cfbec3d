"""Damages bodies and bytes, cheaply and by a seeded generator; what must become of them is the tests' business."""

from __future__ import annotations

import random
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

Spot = tuple[Any, ...]

# Without halves of surrogate pairs: they never get past the bytes, where ``TOKENS`` has them.
JUNK: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**70, -(2**63), Decimal("0.5"), Decimal("1e999"), Decimal("1e999999999"),
    Decimal("-1e-30"), "", " ", "x", "0.5000", "0.50000000001", "1.0001", "NaN", "inf", "1e5", "-0.1", "0x10", "1_0",
    "٠.5", "2026-02-30T00:00:00Z", "9999-12-31T23:59:59.999999-14:00", "0001-01-01T00:00:00+14:00", "1790136000",
    "\x00", "\u202e", "a" * 3000, [], [[]], [None], {}, {"open": None}, {"": ""}, [1, 2],
    {"a": {"b": []}}, ["0.4", "1.00"], ["0.4"], [["0.4", "1.00"]], {"\x00": "x"},
)  # fmt: skip
TOKENS = (
    b"NaN", b"-Infinity", b"1e999999999999999999999", b"9" * 5000, b"0.1e-999999", b'"\\ud800"', b"\xed\xa0\x80",
    b"\xff\xfe", b"\xef\xbb\xbf", b"\x00", b"[" * 3000, b'{"a":' * 3000, b'"ticker":1,', b"\\u0000", b"//", b"'",
    b"\xc3\x28", b"True", b",,", b"\xe2\x80\xa8",
)  # fmt: skip


class Damage:
    """Makes damaged copies of one body, which itself stays whole.

    Only the containers on the way to a damaged place are copied, so a copy costs microseconds
    however large the body is; the copies share everything else.
    """

    def __init__(self, body: Any) -> None:
        self.body = body
        self.spots = [spot for spot in _spots(body) if spot]

    def __call__(self, rng: random.Random) -> Any:
        """The body with one to three places removed, renamed, swapped, doubled, misspelt or replaced by junk."""
        broken = self.body
        for _ in range(rng.choice((1, 1, 2, 3))):
            broken = self._altered(broken, rng.choice(self.spots), rng)
        return broken

    def _altered(self, value: Any, way: Spot, rng: random.Random) -> Any:
        key, *rest = way
        if isinstance(value, dict):
            there = key in value
        else:
            there = isinstance(value, list) and isinstance(key, int) and key < len(value)
        if not there:  # An earlier blow took the place away.
            return value
        copy: Any = value.copy()
        if rest:
            copy[key] = self._altered(copy[key], tuple(rest), rng)
            return copy
        act = rng.random()
        if act < 0.40:
            copy[key] = rng.choice(JUNK)
        elif act < 0.55:
            del copy[key]
        elif act < 0.70:
            copy[key] = _misspelt(copy[key], rng)
        elif act < 0.85:
            copy[key] = _at(self.body, rng.choice(self.spots))
        elif isinstance(copy, dict):
            copy[f"{key}_v2"] = copy.pop(key)
        else:
            copy.append(copy[key])
        return copy


def damaged_bytes(whole: bytes, rng: random.Random) -> bytes:
    """The bytes with one to three places overwritten, cut, filled with noise or with a poisonous token."""
    data = bytearray(whole)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(data) + 1)
        act = rng.random()
        if act < 0.35:
            data[at : at + 1] = rng.randbytes(1)
        elif act < 0.60:
            del data[at : at + rng.randrange(1, 40)]
        elif act < 0.70:
            del data[at:]
        elif act < 0.85:
            data[at:at] = rng.randbytes(rng.randrange(1, 5))
        else:
            data[at:at] = rng.choice(TOKENS)
    return bytes(data)


def _spots(value: Any, way: Spot = ()) -> list[Spot]:
    inner: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way, *(spot for key, item in inner for spot in _spots(item, (*way, key)))]


def _at(value: Any, way: Sequence[Any]) -> Any:
    for key in way:
        value = value[key]
    return value


def _misspelt(value: Any, rng: random.Random) -> Any:
    """A near miss: one character of a text, or the size of a number."""
    if isinstance(value, str) and value:
        at = rng.randrange(len(value))
        return (
            value[:at] + rng.choice(("", "0", "9", "-", ".", "Z", ",", "e", "\n", "é", "\U0001f600")) + value[at + 1 :]
        )
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int):
        return rng.choice((-value, value * 1000, value + 1, str(value), Decimal(value) / 3))
    if isinstance(value, Decimal):
        return rng.choice((value.copy_negate(), str(value), Decimal(f"{value}7"), value.adjusted()))
    return rng.choice(JUNK)
