"""A server's instructions for a test: faults by rule, and switches of the exchange it plays.

Read from a JSON file whose keys are the fields of :class:`FaultPlan`. Which requests a
rule strikes is decided in ``faults``; what a switch does is decided where it acts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError

from kalshi_assets.emulator.drift import Drift
from kalshi_assets.emulator.faults import CLOSED, Rule
from kalshi_assets.emulator.signatures import SignatureCheck
from kalshi_assets.errors import UsageError


def _rfc3339(text: str) -> str:
    try:
        zoned = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        zoned = False
    if not zoned:
        raise ValueError(f"{text!r} is no RFC 3339 time with a zone")
    return text


Moment = Annotated[str, AfterValidator(_rfc3339)]
CutoffField = Literal["market_settled_ts", "trades_created_ts", "orders_updated_ts", "market_positions_last_updated_ts"]


@dataclass(frozen=True, slots=True)
class CutoffMove:
    """The boundary between the tiers moves in the middle of a pull.

    Attributes:
        after_requests: so many requests to the exchange still see the boundary before it.
        market_settled_ts: new value of the field of ``/historical/cutoff``; None keeps the old one, as below.
        trades_created_ts: the same.
        orders_updated_ts: the same.
        market_positions_last_updated_ts: the same.
    """

    __pydantic_config__: ClassVar[ConfigDict] = CLOSED

    after_requests: Annotated[int, Field(ge=0)]
    market_settled_ts: Moment | None = None
    trades_created_ts: Moment | None = None
    orders_updated_ts: Moment | None = None
    market_positions_last_updated_ts: Moment | None = None

    def fields(self) -> dict[str, str]:
        """The fields that it sets."""
        names = CutoffField.__args__  # type: ignore[attr-defined]
        return {name: value for name in names if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """What a loopback server does wrong, or differently from the archive.

    Attributes:
        seed: of every draw.
        rules: faults; the first that strikes a request is the one it meets.
        rate_limit: requests a second to the exchange, beyond it 429; None for no limit.
        cutoff: the boundary of the tiers, by field of ``/historical/cutoff``, over the archive's own.
        cutoff_moves: later positions of the boundary, by ascending ``after_requests``.
        overlap_s: seconds before the cutoff in which a settled market is on both tiers.
        now: the instant of a replay; later candles, trades and outcomes are hidden.
        drift: fields added to, or dropped from, the bodies.
        clock_skew_s: how far the server's ``Date`` and its clock for signatures are ahead of the truth.
        maintenance: ``/exchange/status`` answers 503 and says that trading is inactive.
        public_keys: PEM public keys by key id; in a file, each is the PEM itself or a path beside the plan.
            Requests with access headers are checked against them.
    """

    __pydantic_config__: ClassVar[ConfigDict] = CLOSED

    seed: int = 0
    rules: tuple[Rule, ...] = ()
    rate_limit: Annotated[float | None, Field(gt=0)] = None
    cutoff: Mapping[CutoffField, Moment] = field(default_factory=dict)
    cutoff_moves: tuple[CutoffMove, ...] = ()
    overlap_s: Annotated[float, Field(ge=0)] = 0.0
    now: AwareDatetime | None = None
    drift: Drift = field(default_factory=Drift)
    clock_skew_s: float = 0.0
    maintenance: bool = False
    public_keys: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the boundary's moves follow each other."""
        moves = [move.after_requests for move in self.cutoff_moves]
        if moves != sorted(set(moves)):
            raise ValueError("cutoff_moves must have ascending after_requests")

    @classmethod
    def parse(cls, document: Mapping[str, Any], *, folder: Path = Path(), name: str = "The fault plan") -> FaultPlan:
        """From the content of a plan's file.

        Args:
            document: the JSON object.
            folder: where paths of key files begin.
            name: what a refusal calls the plan.

        Raises:
            UsageError: a key, value or key file is wrong; the sentence names the place.
        """
        try:
            plan: FaultPlan = _PLAN.validate_json(json.dumps(document))
        except ValidationError as error:
            raise UsageError(f"{name} is wrong{_complaint(error, document)}. Correct it.") from error
        except (TypeError, RecursionError) as error:
            raise UsageError(f"{name} is no JSON object ({error}). Correct it.") from error
        keys = {key: _pem(pem, folder, f"{name} at public_keys.{key}") for key, pem in plan.public_keys.items()}
        SignatureCheck(keys)
        return replace(plan, public_keys=keys)

    @classmethod
    def load(cls, path: Path) -> FaultPlan:
        """From a JSON file.

        Raises:
            UsageError: the file cannot be read, or :meth:`parse` refuses it.
        """
        name = f"The fault plan {path}"
        try:
            document = json.loads(path.read_text("utf-8"))
        except OSError as error:
            raise UsageError(f"{name} cannot be read: {error.strerror or error}. Name a JSON file.") from error
        except ValueError as error:
            raise UsageError(f"{name} is not JSON ({error}). Correct it.") from error
        return cls.parse(document, folder=path.parent, name=name)

    def told(self) -> str:
        """One line: the rules, and the switches that are set."""
        untouched = FaultPlan()
        switches = [
            name
            for name in self.__dataclass_fields__
            if name not in ("seed", "rules") and getattr(self, name) != getattr(untouched, name)
        ]
        said = [rule.told() for rule in self.rules] + ([f"switches {', '.join(switches)}"] if switches else [])
        return f"Fault plan with seed {self.seed}: {'; '.join(said) or 'nothing goes wrong'}"


_PLAN = TypeAdapter(FaultPlan)


def _complaint(error: ValidationError, document: Any) -> str:
    """Where the first mistake is and what it is; names of alternatives in the place are left out."""
    first = error.errors()[0]
    place, value = "", document
    for part in first["loc"]:
        if isinstance(value, Mapping) and part in value:
            place, value = f"{place}.{part}" if place else str(part), value[part]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            place, value = f"{place}[{part}]", value[part]
    what = {
        "missing": f"the key {first['loc'][-1]!r} is missing" if first["loc"] else "",
        "unexpected_keyword_argument": "this key is unknown",
    }.get(first["type"]) or first["msg"].removeprefix("Value error, ").replace("tuple", "array")
    return f" at {place}: {what}" if place else f": {what}"


def _pem(text: str, folder: Path, name: str) -> str:
    if "-----BEGIN" in text:
        return text
    try:
        return (folder / text).read_text("ascii")
    except (OSError, ValueError) as error:
        raise UsageError(f"{name} is neither a PEM nor a file that can be read ({error}). Correct it.") from error
