"""What a tick of the release sensor registers and asks for."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import dagster as dg
import pyarrow as pa
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context

from kalshi_assets.defs.assets import build_assets
from kalshi_assets.defs.build import build_definitions
from kalshi_assets.defs.partitions import registered_dates
from kalshi_assets.defs.sensors import build_release_sensor
from kalshi_assets.errors import ExchangeError

MARCH, APRIL, MAY = date(2024, 3, 12), date(2024, 4, 10), date(2024, 5, 15)
# Half past eight in New York, on summer time.
RELEASES = {day: datetime(day.year, day.month, day.day, 12, 30, tzinfo=UTC) for day in (MARCH, APRIL, MAY)}
BEFORE_APRIL = RELEASES[APRIL] - timedelta(minutes=10, seconds=30)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.time = BEFORE_APRIL

    def __call__(self) -> datetime:
        return self.time


class Listing:
    """A source whose listing a test sets, or breaks."""

    def __init__(self) -> None:
        self.dates = [APRIL, MARCH]
        self.error: ExchangeError | None = None

    def catalog(self, series: tuple[str, ...]) -> SimpleNamespace:
        assert series == ("KXCPIYOY",)
        if self.error:
            raise self.error
        rows = [{"event_date": day, "release_time": RELEASES[day], "event_ticker": str(day)} for day in self.dates]
        schema = pa.schema(
            [("event_date", pa.date32()), ("release_time", pa.timestamp("us", "UTC")), ("event_ticker", pa.string())]
        )
        return SimpleNamespace(events=pa.Table.from_pylist(rows, schema=schema))


class Ticks:
    """The sensor on an instance of its own; each call is a tick, which hands its cursor to the next."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance, self.listing, self.clock = instance, Listing(), Clock()
        self.cursor: str | None = None
        job = dg.define_asset_job("refresh", selection=dg.AssetSelection.assets(*build_assets()))
        self._sensor = build_release_sensor(job, self.clock)

    def __call__(self) -> dg.SensorResult | dg.SkipReason:
        workbench = SimpleNamespace(source=self.listing, chosen_series=lambda: ("KXCPIYOY",))
        context = dg.build_sensor_context(
            instance=self.instance, resources={"workbench": workbench}, cursor=self.cursor
        )
        result = self._sensor(context)
        assert isinstance(result, dg.SensorResult | dg.SkipReason)
        if isinstance(result, dg.SensorResult):
            self.cursor = result.cursor
        return result

    @property
    def registered(self) -> list[date]:
        return registered_dates(self.instance)


@pytest.fixture
def tick():
    with dg.DagsterInstance.ephemeral() as instance:
        yield Ticks(instance)


def requested(result):
    return [(r.run_key, r.partition_key) for r in result.run_requests]


def test_new_dates_are_registered_in_order_and_the_near_one_is_refreshed(tick):
    result = tick()
    assert tick.registered == [MARCH, APRIL]
    assert requested(result) == [("2024-04-10@2024-04-10T12:19:00Z", "2024-04-10")]


def test_an_older_date_that_appears_late_goes_where_it_belongs(tick):
    tick.listing.dates = [MARCH, MAY]
    tick()
    tick.listing.dates = [MARCH, MAY, APRIL]
    result = tick()
    assert tick.registered == [MARCH, APRIL, MAY]
    assert [key for _, key in requested(result)] == ["2024-04-10"]


def test_the_same_tick_twice_asks_for_nothing_new(tick):
    tick()
    again = tick()
    assert isinstance(again, dg.SkipReason)
    assert again.skip_message == "Nothing is due; the next refresh is at 2024-04-10 12:20 UTC."


def test_a_lost_cursor_asks_under_the_same_key(tick):
    first = tick()
    tick.cursor = None
    assert requested(tick()) == requested(first)


def test_the_next_slot_is_asked_for_once_it_is_due(tick):
    tick()
    tick.clock.time += timedelta(minutes=1)
    assert requested(tick()) == [("2024-04-10@2024-04-10T12:20:00Z", "2024-04-10")]


def test_the_cursor_keeps_what_other_dates_were_served(tick):
    tick.listing.dates = [APRIL, MAY]
    tick.clock.time = RELEASES[MAY] - timedelta(days=28, minutes=-1)
    assert [key for _, key in requested(tick())] == ["2024-04-10", "2024-05-15"]
    tick.clock.time += timedelta(days=1)
    assert [key for _, key in requested(tick())] == ["2024-05-15"]


def test_a_listing_that_cannot_be_read_is_no_empty_calendar(tick):
    tick()
    held = tick.cursor
    tick.listing.dates, tick.listing.error = [APRIL, MARCH, MAY], ExchangeError("No answer from 127.0.0.1:1.")
    result = tick()
    assert isinstance(result, dg.SkipReason)
    assert "No answer from 127.0.0.1:1." in result.skip_message
    assert tick.registered == [MARCH, APRIL]
    assert tick.cursor == held
    tick.listing.error = None
    assert isinstance(tick(), dg.SensorResult)
    assert tick.registered == [MARCH, APRIL, MAY]


def test_history_is_registered_without_asking_for_a_run(tick):
    tick.clock.time = RELEASES[APRIL] + timedelta(days=400)
    assert requested(tick()) == []
    assert tick.registered == [MARCH, APRIL]
    then = tick()
    assert isinstance(then, dg.SkipReason)
    assert then.skip_message == "Nothing is listed whose release lies ahead."


def test_a_late_date_waits_for_the_run_in_flight(tick):
    tick.listing.dates = [MARCH, MAY]
    tick()
    run = tick.instance.create_run_for_job(dg.job(name="j")(lambda: None), status=dg.DagsterRunStatus.STARTED)
    tick.listing.dates = [MARCH, APRIL, MAY]
    result = tick()
    assert isinstance(result, dg.SkipReason)
    assert run.run_id[:8] in result.skip_message
    assert "in flight" in result.skip_message
    assert tick.registered == [MARCH, MAY]
    tick.instance.delete_run(run.run_id)
    assert [key for _, key in requested(tick())] == ["2024-04-10"]
    assert tick.registered == [MARCH, APRIL, MAY]


def test_dagster_resolves_a_request_to_its_partition(tick):
    workbench = SimpleNamespace(source=tick.listing, chosen_series=lambda: ("KXCPIYOY",))
    repository = build_definitions(workbench).get_repository_def()
    tick.listing.dates = [APRIL]
    job = dg.define_asset_job("refresh", selection=dg.AssetSelection.assets(*build_assets()))
    given = {"instance": tick.instance, "repository_def": repository, "resources": {"workbench": workbench}}
    with (
        dg.build_sensor_context(**given) as context,
        partition_loading_context(dynamic_partitions_store=tick.instance),
    ):
        ticked = build_release_sensor(job, tick.clock).evaluate_tick(context)
    (request,) = ticked.run_requests
    assert request.tags["dagster/partition"] == "2024-04-10"
    assert request.run_key == "2024-04-10@2024-04-10T12:19:00Z"
