"""The records of the Trade API that the platform reads; how a body is read does not belong here.

Prices and counts stay decimals and are never defaulted: what the body lacks is None.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr

from kalshi_assets.exchange.findings import Findings
from kalshi_assets.exchange.record import Flag, Number, Record, Time

STATUSES = frozenset(
    {"initialized", "inactive", "active", "closed", "determined", "disputed", "amended", "finalized"}
)  # fmt: skip
STRIKE_TYPES = frozenset(
    {"greater", "greater_or_equal", "less", "less_or_equal", "between", "functional", "custom", "structured"}
)
FEE_TYPES = frozenset({"quadratic", "quadratic_with_maker_fees", "quadratic_with_combo_maker_fees", "flat"})

Tier = Literal["live", "historical"]


class SeriesRecord(Record):
    """A series: the template of a family of events."""

    identity: ClassVar[str] = "ticker"
    documented: ClassVar[frozenset[str]] = frozenset({
        "categories", "settlement_sources", "contract_url", "contract_terms_url", "additional_prohibitions",
        "product_metadata", "exchange_index", "tags",
    })  # fmt: skip
    vocabulary: ClassVar[dict[str, frozenset[str]]] = {"fee_type": FEE_TYPES}

    ticker: str
    title: str | None = None
    category: str | None = None
    frequency: str | None = None
    fee_type: str | None = None
    fee_multiplier: Number | None = None
    volume_fp: Number | None = None
    last_updated_ts: Time | None = None


class EventRecord(Record):
    """An event: one release and its ladder of markets."""

    identity: ClassVar[str] = "event_ticker"
    blank_is_unset: ClassVar[frozenset[str]] = frozenset({"strike_period", "strike_date"})
    documented: ClassVar[frozenset[str]] = frozenset({
        "markets", "product_metadata", "settlement_sources", "exchange_index", "milestones",
    })  # fmt: skip
    vocabulary: ClassVar[dict[str, frozenset[str]]] = {
        "collateral_return_type": frozenset({"", "MECNET", "DIRECNET"}),
        "fee_type_override": FEE_TYPES,
    }

    event_ticker: str
    series_ticker: str
    title: str | None = None
    sub_title: str | None = None
    category: str | None = None
    collateral_return_type: str | None = None
    mutually_exclusive: Flag | None = None
    strike_date: Time | None = None
    strike_period: str | None = None
    fee_type_override: str | None = None
    fee_multiplier_override: Number | None = None
    last_updated_ts: Time | None = None


class MarketRecord(Record):
    """A market, which the platform calls a contract.

    The body has no series; that is the event's. Its quotes are the present ones and
    degenerate after settlement, so they are not modelled: quotes come from candles.
    """

    identity: ClassVar[str] = "ticker"
    blank_is_unset: ClassVar[frozenset[str]] = frozenset({
        "result", "expiration_value", "strike_type", "settlement_ts", "settlement_value_dollars",
        "expected_expiration_time", "expiration_time", "latest_expiration_time", "occurrence_datetime",
        "updated_time",
    })  # fmt: skip
    documented: ClassVar[frozenset[str]] = frozenset({
        "no_sub_title", "subtitle", "yes_bid_dollars", "yes_bid_size_fp", "yes_ask_dollars", "yes_ask_size_fp",
        "no_bid_dollars", "no_ask_dollars", "last_price_dollars", "volume_24h_fp", "previous_yes_bid_dollars",
        "previous_yes_ask_dollars", "previous_price_dollars", "settlement_floor_dollars",
        "fee_waiver_expiration_time", "early_close_condition", "functional_strike", "custom_strike",
        "mve_collection_ticker", "mve_selected_legs", "primary_participant_key", "price_ranges", "exchange_index",
        "settlement_timer_seconds",
    })  # fmt: skip
    vocabulary: ClassVar[dict[str, frozenset[str]]] = {
        "status": STATUSES,
        "strike_type": STRIKE_TYPES,
        "market_type": frozenset({"binary", "scalar"}),
        "result": frozenset({"yes", "no", "scalar"}),
        "settlement_bounds_type": frozenset({"default", "floor"}),
    }

    ticker: str
    event_ticker: str
    status: str
    open_time: Time
    close_time: Time
    created_time: Time
    market_type: str | None = None
    title: str | None = None
    yes_sub_title: str | None = None
    strike_type: str | None = None
    floor_strike: Number | None = None
    cap_strike: Number | None = None
    updated_time: Time | None = None
    expected_expiration_time: Time | None = None
    expiration_time: Time | None = None
    latest_expiration_time: Time | None = None
    occurrence_datetime: Time | None = None
    settlement_ts: Time | None = None
    result: str | None = None
    settlement_value_dollars: Number | None = None
    settlement_bounds_type: str | None = None
    expiration_value: str | None = None
    rules_primary: str | None = None
    rules_secondary: str | None = None
    volume_fp: Number | None = None
    open_interest_fp: Number | None = None
    notional_value_dollars: Number | None = None
    price_level_structure: str | None = None
    can_close_early: Flag | None = None
    is_provisional: Flag | None = None

    _tier: Tier = PrivateAttr("live")

    @property
    def tier(self) -> Tier:
        """Where the record came from."""
        return self._tier

    @classmethod
    def parse_from(cls, tier: Tier, body: Any, endpoint: str, findings: Findings | None = None) -> Self:
        """Read a market that came from one tier."""
        record = cls.parse(body, endpoint, findings)
        record._tier = tier
        return record


class Cutoff(Record):
    """Where the live tier ends and the historical one begins; each kind of data has its own boundary."""

    documented: ClassVar[frozenset[str]] = frozenset({"market_positions_last_updated_ts"})

    market_settled_ts: Time
    trades_created_ts: Time
    orders_updated_ts: Time | None = None


class ExchangeStatus(Record):
    """Whether the exchange and trading are up."""

    documented: ClassVar[frozenset[str]] = frozenset({"exchange_index_statuses", "intra_exchange_transfers_active"})
    blank_is_unset: ClassVar[frozenset[str]] = frozenset({"exchange_estimated_resume_time"})

    exchange_active: Flag
    trading_active: Flag
    exchange_estimated_resume_time: Time | None = None


class MaintenanceWindow(Record):
    """A span in which the exchange may be away."""

    start_datetime: Time
    end_datetime: Time


class Schedule(Record):
    """Trading hours (New York wall clock, kept raw) and planned maintenance."""

    standard_hours: list[dict[str, Any]] = Field(default_factory=list)
    maintenance_windows: list[MaintenanceWindow] = Field(default_factory=list)


class Budget(Record):
    """A token bucket as the exchange runs it: tokens a second and the most it holds."""

    refill_rate: Number
    bucket_capacity: Number


class AccountLimits(Record):
    """The budgets of the account behind the key."""

    documented: ClassVar[frozenset[str]] = frozenset({"grants"})

    usage_tier: str | None = None
    read: Budget
    write: Budget | None = None


class EndpointCost(Record):
    """What one endpoint costs where it is not the default."""

    method: str
    path: str
    cost: Number


class EndpointCosts(Record):
    """Tokens by endpoint."""

    default_cost: Number
    endpoint_costs: list[EndpointCost] = Field(default_factory=list)


class SeriesFeeChange(Record):
    """A change of a series' fees and the time from which it holds."""

    identity: ClassVar[str] = "series_ticker"
    vocabulary: ClassVar[dict[str, frozenset[str]]] = {"fee_type": FEE_TYPES}

    id: str | None = None
    series_ticker: str
    fee_type: str
    fee_multiplier: Number
    scheduled_ts: Time


class EventFeeChange(Record):
    """A change of one event's fees; None for both overrides returns it to its series' fees."""

    identity: ClassVar[str] = "event_ticker"
    vocabulary: ClassVar[dict[str, frozenset[str]]] = {"fee_type_override": FEE_TYPES}

    id: str | None = None
    event_ticker: str
    series_ticker: str
    fee_type_override: str | None = None
    fee_multiplier_override: Number | None = None
    scheduled_ts: Time


class Milestone(Record):
    """A dated happening that events refer to; for releases it starts up to an hour before the print."""

    identity: ClassVar[str] = "id"
    documented: ClassVar[frozenset[str]] = frozenset({"notification_message", "source_id", "source_ids", "details"})

    id: str
    title: str | None = None
    category: str | None = None
    type: str | None = None
    start_date: Time
    end_date: Time | None = None
    related_event_tickers: list[str] = Field(default_factory=list)
    primary_event_tickers: list[str] = Field(default_factory=list)
    last_updated_ts: Time | None = None
