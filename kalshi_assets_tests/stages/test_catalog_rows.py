"""What a row of the catalog's coverage says of contracts that are listed and of those that are not."""

from datetime import UTC, date, datetime

import pytest

from kalshi_assets.stages.catalog_rows import coverage_row

LISTED = datetime(2026, 10, 20, 20, 33, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expected", "listed", "event_listed", "complete", "reason"),
    [
        ({"A": False, "B": True}, ["A", "B"], True, True, None),
        (
            {"A": False, "B": True, "C": True}, ["A"], True, True,
            "2 of 3 contracts are not listed any more, the first is B; 2 of them provisional",
        ),
        (
            {"A": False, "B": True}, [], True, False,
            "2 of 2 contracts are not listed any more, the first is A; 1 of them provisional",
        ),
        ({"A": False}, ["A"], False, False, "the event is not listed any more"),
        (
            {"A": False}, [], False, False,
            "the event is not listed any more; 1 of 1 contracts are not listed any more, the first is A; "
            "none of them provisional",
        ),
        (
            {"A": True}, [], False, True,
            "the event is not listed any more; 1 of 1 contracts are not listed any more, the first is A; "
            "1 of them provisional",
        ),
    ],
)  # fmt: skip
def test_coverage_says_what_is_missing(expected, listed, event_listed, complete, reason):
    place = {
        "event_ticker": "KXCPIYOY-26DEC", "series_ticker": "KXCPIYOY", "event_date": date(2027, 1, 13), "ts": LISTED,
        "known_at": LISTED,
    }  # fmt: skip
    row = coverage_row(place, expected, listed, event_listed=event_listed, pages=2)
    assert row == place | {
        "endpoint": "markets", "expected": len(expected), "received": len(listed), "pages": 2,
        "complete": complete, "reason": reason,
    }  # fmt: skip
