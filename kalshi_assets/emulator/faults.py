"""What can go wrong with one request, and with which request it does.

A rule strikes as a pure function of the plan's seed, the rule's place in the plan and
how many requests matched it before: the same plan over the same sequence of requests
does the same, whichever thread asks. Reading plans from files is ``fault_plan``'s work,
putting bytes on the wire the server's.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from email.utils import formatdate, parsedate_to_datetime
from fnmatch import fnmatchcase
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from kalshi_assets.emulator.query import Order, Slip
from kalshi_assets.emulator.replies import Reply, json_reply

CLOSED = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
"""For everything that is read from a plan: no unknown key, no text for a number, no NaN."""

FaultName = Literal[
    "latency",
    "stall",
    "reset",
    "cut",
    "truncate",
    "garbage",
    "status",
    "duplicate_page",
    "repeat_rows",
    "reorder",
    "expired_cursor",
]

# What each fault can be told, and what it must be.
_TAKES: dict[str, frozenset[str]] = {
    "latency": frozenset({"seconds"}),
    "stall": frozenset({"seconds"}),
    "garbage": frozenset({"status"}),
    "status": frozenset({"status", "retry_after", "shape"}),
    "repeat_rows": frozenset({"rows"}),
    "reorder": frozenset({"order"}),
}
_NEEDS = {"latency": "seconds", "stall": "seconds", "status": "status"}
_PARAMETERS = ("seconds", "status", "shape", "retry_after", "rows", "order")
_LONGEST_BURST = 1000
_WORDS = {
    400: "bad request",
    401: "unauthorized",
    403: "forbidden",
    404: "not found",
    429: "too many requests",
    500: "internal server error",
    502: "bad gateway",
    503: "service unavailable",
    504: "gateway timeout",
}

Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class Span:
    """Requests from the first number up to, but without, the second; no second means for ever."""

    __pydantic_config__: ClassVar[ConfigDict] = CLOSED

    first: Annotated[int, Field(ge=0, alias="from")]
    end: Annotated[int | None, Field(ge=0, alias="to")] = None

    def __contains__(self, number: int) -> bool:
        return self.first <= number and (self.end is None or number < self.end)


Requests = Annotated[
    Annotated[tuple[Count, ...], Tag("numbers")] | Annotated[Span, Tag("span")],
    Discriminator(lambda value: "span" if isinstance(value, dict | Span) else "numbers"),
]


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of bad luck, and the requests that meet it.

    Attributes:
        fault: what happens. Instead of the answer: ``status`` (an error body), ``garbage`` (HTML), ``reset``
            (TCP RST before the first byte). To the answer: ``latency`` (late), ``stall`` (silence in the middle
            of the body), ``cut`` (closed in the middle of the body), ``truncate`` (half the body with a correct
            length). To a page of a listing: ``duplicate_page`` (the page before it again, cursor and all),
            ``repeat_rows`` (it begins with rows of the page before), ``reorder`` (its rows in another order),
            ``expired_cursor`` (any cursor reads as page one).
        path: glob on the path behind the exchange's prefix; FRED's paths begin with ``/fred/``.
        requests: numbers of the requests that match the path, from 0; None for all.
        probability: of striking, for each such request.
        times: how many matching requests in a row are struck.
        seconds: of ``latency`` and ``stall``.
        status: of ``status``, and of ``garbage`` (502 if not given).
        shape: which of the four error bodies a ``status`` has: string for a 429 and nested otherwise, if not given.
        retry_after: the header of a ``status``: seconds, an HTTP date, or ``+N`` for the HTTP date N seconds on.
        rows: of ``repeat_rows``, 1 if not given.
        order: of ``reorder``: reversed, or shuffled by the seed (if not given).

    Raises:
        ValueError: a parameter that the fault does not take, or lacks.
    """

    __pydantic_config__: ClassVar[ConfigDict] = CLOSED

    fault: FaultName
    path: str = "*"
    requests: Requests | None = None
    probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    times: Annotated[int, Field(ge=1, le=_LONGEST_BURST)] = 1
    seconds: Annotated[float | None, Field(ge=0, le=3600)] = None
    status: Annotated[int | None, Field(ge=200, le=599)] = None
    shape: Literal["nested", "flat", "msg", "string"] | None = None
    retry_after: str | None = None
    rows: Annotated[int | None, Field(ge=1)] = None
    order: Order | None = None

    def __post_init__(self) -> None:
        """Check that fault and parameters fit."""
        for name in _PARAMETERS:
            if getattr(self, name) is not None and name not in _TAKES.get(self.fault, ()):
                raise ValueError(f"the fault {self.fault} takes no {name}")
        needed = _NEEDS.get(self.fault)
        if needed is not None and getattr(self, needed) is None:
            raise ValueError(f"the fault {self.fault} needs {needed}")
        if self.fault == "status" and self.status is not None and self.status < 400:
            raise ValueError("the fault status needs a status from 400 on")
        if self.retry_after is not None and not self.retry_after.removeprefix("+").isdecimal():
            try:
                parsedate_to_datetime(self.retry_after)
            except ValueError:
                raise ValueError("retry_after is neither seconds, nor an HTTP date, nor +N") from None

    def strikes(self, seed: int, place: int, number: int) -> bool:
        """Whether the matching request ``number`` is struck, as the ``place``-th rule of a plan with this seed."""
        burst = range(max(number - self.times + 1, 0), number + 1)
        return any(self._begins(seed, place, earlier) for earlier in burst)

    def _begins(self, seed: int, place: int, number: int) -> bool:
        if self.requests is not None and number not in self.requests:
            return False
        return self.probability >= 1 or random.Random(f"{seed}/{place}/{number}").random() < self.probability  # noqa: S311

    def told(self) -> str:
        """The rule in a few words."""
        given = [f"{name}={getattr(self, name)}" for name in _PARAMETERS if getattr(self, name) is not None]
        often = [f"p={self.probability:g}"] if self.probability < 1 else []
        burst = [f"x{self.times}"] if self.times > 1 else []
        return " ".join([self.fault, *given, *burst, *often, "on", self.path])


@dataclass(frozen=True, slots=True)
class Strike:
    """A rule that struck a request.

    Attributes:
        rule: the rule.
        luck: text that seeds whatever is drawn for this request.
    """

    rule: Rule
    luck: str

    def reply(self, now: float) -> Reply | None:
        """What is sent instead of the answer; None where the answer itself is sent.

        Args:
            now: the server's clock, Unix seconds.
        """
        rule = self.rule
        if rule.fault == "garbage":
            status = rule.status or 502
            return Reply(status, b"<html><body>%d Bad Gateway</body></html>" % status, "text/html")
        if rule.fault != "status" or rule.status is None:
            return None
        words = _WORDS.get(rule.status, "refused")
        code = words.replace(" ", "_")
        bodies = {
            "nested": {"error": {"code": code, "message": words}},
            "flat": {"code": code, "message": words, "details": "by the fault plan"},
            "msg": {"msg": words},
            "string": {"error": words},
        }
        shape = rule.shape or ("string" if rule.status == 429 else "nested")
        return replace(json_reply(bodies[shape], rule.status), headers=_retry_after(rule.retry_after, now))

    def slip(self) -> Slip:
        """How a page of a listing comes out."""
        fault = self.rule.fault
        return Slip(
            first_page=fault == "expired_cursor",
            previous_page=fault == "duplicate_page",
            rows_again=(self.rule.rows or 1) if fault == "repeat_rows" else 0,
            order=(self.rule.order or "shuffled") if fault == "reorder" else None,
            luck=self.luck,
        )


class Script:
    """The rules of one running server, with their counts of matching requests."""

    def __init__(self, seed: int, rules: Sequence[Rule]) -> None:
        """Begin counting at 0."""
        self._seed = seed
        self._rules = tuple(rules)
        self._matched = [0] * len(self._rules)
        self._lock = threading.Lock()

    def next(self, path: str) -> Strike | None:
        """Count one request for every rule whose path it matches; the first rule that strikes."""
        struck: Strike | None = None
        with self._lock:
            for place, rule in enumerate(self._rules):
                if not fnmatchcase(path, rule.path):
                    continue
                number = self._matched[place]
                self._matched[place] += 1
                if struck is None and rule.strikes(self._seed, place, number):
                    struck = Strike(rule, f"{self._seed}/{place}/{number}/luck")
        return struck


def _retry_after(wish: str | None, now: float) -> dict[str, str]:
    if wish is None:
        return {}
    return {"Retry-After": formatdate(now + int(wish[1:]), usegmt=True) if wish.startswith("+") else wish}
