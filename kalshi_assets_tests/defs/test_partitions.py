"""Event dates stay in the order of time."""

from datetime import date

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_assets.defs.partitions import added_in_order, registered_dates, sync_event_dates
from kalshi_assets.errors import UsageError

JAN, FEB, MAR = date(2024, 1, 11), date(2024, 2, 13), date(2024, 3, 12)


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def test_later_dates_are_appended(instance):
    assert sync_event_dates(instance, [FEB, JAN]) == [JAN, FEB]
    assert sync_event_dates(instance, [MAR, JAN]) == [MAR]
    assert registered_dates(instance) == [JAN, FEB, MAR]


def test_a_late_date_is_put_where_it_belongs(instance):
    sync_event_dates(instance, [JAN, MAR])
    assert sync_event_dates(instance, [FEB]) == [FEB]
    assert registered_dates(instance) == [JAN, FEB, MAR]


def test_a_list_that_others_broke_is_mended(instance):
    instance.add_dynamic_partitions("event_date", [MAR.isoformat(), JAN.isoformat()])
    assert sync_event_dates(instance, []) == []
    assert registered_dates(instance) == [JAN, MAR]


def test_mending_waits_for_a_run_in_flight(instance):
    sync_event_dates(instance, [JAN, MAR])
    instance.create_run_for_job(dg.job(name="j")(lambda: None), status=dg.DagsterRunStatus.STARTED)
    with pytest.raises(UsageError, match="in flight"):
        sync_event_dates(instance, [FEB])
    assert registered_dates(instance) == [JAN, MAR]
    assert sync_event_dates(instance, [date(2024, 4, 10)]) == [date(2024, 4, 10)]


def test_a_key_that_is_no_date_is_named(instance):
    instance.add_dynamic_partitions("event_date", ["tomorrow"])
    with pytest.raises(UsageError, match="tomorrow"):
        registered_dates(instance)


@given(st.lists(st.dates()), st.lists(st.dates(), unique=True))
def test_adding_is_never_out_of_order(wanted, registered):
    new, rebuild = added_in_order(registered, wanted)
    after = sorted({*registered, *new}) if rebuild else [*registered, *new]
    assert after == sorted({*registered, *wanted})
