from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from kalshi_assets.errors import MalformedResponse
from kalshi_assets.exchange import EventRecord, Findings, MarketRecord, SeriesRecord
from kalshi_assets.exchange.models import AccountLimits, Cutoff, ExchangeStatus, Milestone, SeriesFeeChange
from kalshi_assets.exchange.record import canonical_json
from kalshi_assets_tests.exchange import bodies


def parse(body: Any, findings: Findings | None = None) -> MarketRecord:
    return MarketRecord.parse(body, "/markets", findings)


def test_a_market_field_by_field() -> None:
    record = parse(bodies.market())
    assert record.ticker == "KXZZZ-26DEC-T0.3"
    assert record.created_time == datetime(2026, 10, 20, 20, 33, 23, 485950, tzinfo=UTC)
    assert record.floor_strike == Decimal("0.3")
    assert record.cap_strike is None
    assert record.volume_fp == Decimal("18042.75")
    assert record.settlement_ts is None
    assert record.tier == "live"
    assert MarketRecord.parse_from("historical", bodies.settled(), "x").tier == "historical"


def test_blank_is_unset_where_the_exchange_means_it_so() -> None:
    record = parse(bodies.market())
    assert (record.result, record.expiration_value) == (None, None)
    event = EventRecord.parse(bodies.event(), "/events")
    assert event.strike_period is None
    assert event.collateral_return_type == ""  # blank is a value here: no netting


@pytest.mark.parametrize("field", ["floor_strike", "settlement_value_dollars", "volume_fp", "result", "rules_primary"])
def test_absent_and_null_are_alike_and_nothing_is_defaulted(field: str) -> None:
    absent, null = parse(bodies.market(**{field: ...})), parse(bodies.market(**{field: None}))
    assert getattr(absent, field) is None
    assert absent.model_dump() == null.model_dump()


@pytest.mark.parametrize("field", ["ticker", "event_ticker", "status", "open_time", "close_time", "created_time"])
@pytest.mark.parametrize("value", [..., None])
def test_a_required_field_must_be_there(field: str, value: Any) -> None:
    with pytest.raises(MalformedResponse, match=rf"/markets: field '{field}'.*is missing"):
        parse(bodies.market(**{field: value}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("volume_fp", 12.5),
        ("volume_fp", "12,5"),
        ("volume_fp", True),
        ("volume_fp", "NaN"),
        ("volume_fp", Decimal("Infinity")),
        ("floor_strike", Decimal("1e400")),
        ("close_time", 1700000000),
        ("close_time", "1700000000"),
        ("close_time", "2027-01-13T13:25:00"),
        ("close_time", "2027-13-13T13:25:00Z"),
        ("close_time", "0001-01-01T00:00:00+23:00"),
        ("status", 3),
        ("ticker", "\ud800"),
        ("can_close_early", "yes"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(field: str, value: Any) -> None:
    with pytest.raises(MalformedResponse, match=f"'{field}'"):
        parse(bodies.market(**{field: value}))


@pytest.mark.parametrize("body", [None, [], "x", 3, Decimal(1)])
def test_a_body_must_be_an_object(body: Any) -> None:
    with pytest.raises(MalformedResponse, match="expected an object"):
        parse(body)


def test_the_message_names_the_record_and_not_the_value() -> None:
    with pytest.raises(MalformedResponse) as caught:
        parse(bodies.market(volume_fp="a very strange volume"))
    assert "KXZZZ-26DEC-T0.3" in str(caught.value)
    assert "strange" not in str(caught.value)


def test_what_the_documentation_does_not_know_is_counted_and_kept() -> None:
    findings = Findings()
    for _ in range(3):
        record = parse(bodies.market(brand_new={"x": 1}, status="hibernating", strike_type="fuzzy"), findings)
    assert record.status == "hibernating"
    assert record.raw["brand_new"] == {"x": 1}
    seen = {(f.endpoint, f.kind, f.field): f.count for f in findings.summary()}
    assert seen == {
        ("/markets", "unknown_field", "brand_new"): 3,
        ("/markets", "unknown_value", "status=hibernating"): 3,
        ("/markets", "unknown_value", "strike_type=fuzzy"): 3,
    }


def test_documented_bodies_cause_no_finding() -> None:
    findings = Findings()
    parse(bodies.market(), findings)
    parse(bodies.settled(), findings)
    EventRecord.parse(bodies.event(), "/events", findings)
    SeriesRecord.parse(bodies.series(), "/series", findings)
    assert findings.summary() == []


def test_findings_are_bounded() -> None:
    findings = Findings()
    for i in range(12_000):
        findings.note("e", "k", str(i))
    assert len(findings) == 10_000


def test_canonical_json_is_one_text_per_value() -> None:
    body = {"b": Decimal("0.30"), "a": [1, None, "é"], "c": Decimal("1e400")}
    assert canonical_json(body) == '{"a":[1,null,"é"],"b":0.3,"c":"1E+400"}'
    assert canonical_json(dict(reversed(body.items()))) == canonical_json(body)
    assert json.loads(parse(bodies.market()).raw_json, parse_float=Decimal) == bodies.market()


def test_text_that_no_table_can_hold_is_refused() -> None:
    with pytest.raises(MalformedResponse):
        canonical_json({"x": "\ud800"})


def test_records_do_not_change() -> None:
    with pytest.raises(ValueError):
        parse(bodies.market()).status = "x"  # type: ignore[misc]


def test_the_smaller_records() -> None:
    assert Cutoff.parse(bodies.CUTOFF, "c").market_settled_ts == datetime(2026, 9, 23, tzinfo=UTC)
    status = ExchangeStatus.parse({"exchange_active": True, "trading_active": False}, "s")
    assert (status.exchange_active, status.trading_active) == (True, False)
    limits = AccountLimits.parse({"read": {"refill_rate": 200, "bucket_capacity": 600}}, "l")
    assert (limits.read.refill_rate, limits.read.bucket_capacity) == (200, 600)
    fee = {"series_ticker": "KXZZZ", "fee_type": "flat", "fee_multiplier": 1, "scheduled_ts": "2026-11-30T00:00:00Z"}
    assert SeriesFeeChange.parse(fee, "f").fee_multiplier == 1
    assert Milestone.parse({"id": "m", "start_date": "2026-11-30T00:00:00Z"}, "m").related_event_tickers == []
    with pytest.raises(MalformedResponse, match=r"read\.refill_rate"):
        AccountLimits.parse({"read": {"bucket_capacity": 600}}, "l")
