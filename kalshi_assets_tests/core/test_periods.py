"""Which period an event is about."""

from datetime import date

import pytest

from kalshi_assets.core.periods import reference_period


@pytest.mark.parametrize(
    ("texts", "ticker", "expected"),
    [
        (("September 2024",), "CPIYOY-24SEP", (date(2024, 9, 1), "text")),
        ((None, "In Sept. 2024"), None, (date(2024, 9, 1), "text")),
        (("", None, "CPI in May 2023"), "KXCPI-23MAY", (date(2023, 5, 1), "text")),
        (("Q3 2024",), None, (date(2024, 7, 1), "text")),
        ((None, ""), "KXU3-25JAN", (date(2025, 1, 1), "ticker")),
        (("no period here",), "KXHIGHNY-26MAR30", (None, "none")),
        ((), "GDP-232022 Q4", (None, "none")),
        (("Octember 2024",), None, (None, "none")),
    ],
)
def test_reference_period(texts, ticker, expected):
    assert reference_period(*texts, event_ticker=ticker) == expected


def test_words_are_trusted_before_the_ticker():
    assert reference_period("In October 2022", event_ticker="CPI-22JUN")[0] == date(2022, 10, 1)
