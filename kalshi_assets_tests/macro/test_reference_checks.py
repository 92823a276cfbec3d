"""Reference files: what enters, what is put aside, what is refused, each with its sentence."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kalshi_assets.core.tables import TABLES
from kalshi_assets.errors import UsageError
from kalshi_assets.macro.reference_checks import Checked, check_reference
from kalshi_assets.macro.reference_files import read_reference_file
from kalshi_assets.macro.reference_formats import REFERENCE_FORMATS
from kalshi_assets.macro.trading_days import trading_sessions

NOW = datetime(2024, 12, 31, 12, tzinfo=UTC)
CONSENSUS = "series_ticker,period,consensus,known_at\n"
GOOD = "KXCPIYOY,2024-06-01,3.1,2024-07-05T20:00:00-04:00\n"
MORE = "".join(f"KXU3,2024-0{m}-01,4.{m},2024-0{m}-28T12:00Z\n" for m in range(1, 6))


def check(kind: str, text: str, tmp_path: Path, *, calendars: bool = True) -> Checked:
    path = tmp_path / "given.csv"
    path.write_text(text)
    sessions = trading_sessions if calendars else None
    return check_reference(REFERENCE_FORMATS[kind], read_reference_file(path), now=NOW, sessions_of=sessions)


def test_a_good_file_is_taken_as_it_is(tmp_path: Path) -> None:
    got = check("consensus", CONSENSUS + GOOD + MORE, tmp_path)
    assert got.rows.schema.equals(TABLES["consensus"].schema)
    assert (got.rejected, got.missing, got.remarks) == ((), (), ())
    known = datetime(2024, 7, 6, tzinfo=UTC)
    assert got.rows.to_pylist()[0] == {
        "series_ticker": "KXCPIYOY", "period": date(2024, 6, 1), "consensus": 3.1, "ts": known, "known_at": known,
        "source": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "text", "sentence"),
    [
        ("consensus", "series_ticker,period,consensus\nKXU3,2024-01-01,4\n", "lacks the column known_at"),
        ("consensus", CONSENSUS.replace("consensus", "forecast") + GOOD, "column forecast, which consensus does not"),
        ("consensus", CONSENSUS + GOOD.replace("-04:00", ""), "known_at has times without a time zone ('2024-07-05T20"),
        ("consensus", CONSENSUS + GOOD + "KXU3,2024-06-01,4.1,2024-07-05\n", "without a time zone"),
        ("consensus", CONSENSUS, "it has no rows"),
        ("consensus", "", "no table|cannot be read|lacks the column|column "),
        ("consensus", CONSENSUS + "KXU3,x,4,2024-01-01T00:00Z\n", "1 of its 1 rows are wrong, the first on line 2"),
        ("asset_bars", "symbol,close\nES,1\n", "lacks the column ts"),
        ("asset_prices", "symbol,date,close,ticker\nSPX,2024-07-01,1,SPY\n",
         "it has the columns symbol and ticker, which both stand for symbol; keep one"),
        ("asset_prices", "symbol,date,close\n" + "".join(
            f"SP500,2024-07-{d:02},1\n" for d in (1, 12)), "SP500 lacks 7 of 9 sessions of XNYS, the first 2024-07-02"),
    ],
)  # fmt: skip
def test_a_file_is_refused_with_a_sentence(kind: str, text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=sentence.replace("(", r"\(")):
        check(kind, text, tmp_path)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("KXCPIYOY,2024-07-01,three,2024-08-05T20:00Z", "consensus cannot be read"),
        ("KXCPIYOY,2024-07-01,nan,2024-08-05T20:00Z", "consensus cannot be read"),
        ("KXCPIYOY,2024-07-41,3.0,2024-08-05T20:00Z", "period cannot be read"),
        ("KXCPIYOY,2024-07-01,,2024-08-05T20:00Z", "consensus is empty"),
        ("KXCPIYOY,2024-07-11,3.0,2024-08-05T20:00Z", "period is not the first day of a month"),
        (",2024-07-01,3.0,2024-08-05T20:00Z", "series_ticker is empty"),
        ("KXCPIYOY,2024-07-01,3.0,", "known_at is empty"),
        ("KXCPIYOY,2024-07-01,3.0,2025-01-01T00:00Z", "known_at lies in the future"),
    ],
)
def test_a_bad_row_is_put_aside_and_the_others_stay(row: str, reason: str, tmp_path: Path) -> None:
    got = check("consensus", f"{CONSENSUS}{MORE}{row}\n{GOOD}", tmp_path)
    assert [(line, said) for line, said, _ in got.rejected] == [(7, reason)]
    assert got.rows.num_rows == 6
    assert row.split(",")[1] in got.rejected[0][2]


def test_a_series_that_nobody_described_is_taken_with_a_remark(tmp_path: Path) -> None:
    known, day = "2024-07-05T20:00Z", "2024-06-01"
    strange = f"MINE,{day},1,{known}\nCPIYOY,{day},1,{known}\nMINE,2024-07-01,1,{known}\n"
    got = check("consensus", CONSENSUS + MORE + strange, tmp_path)
    assert (got.rows.num_rows, got.rejected) == (8, ())
    assert got.remarks == (
        "Nothing is known here of the series CPIYOY (now KXCPIYOY), MINE: "
        "only events filed under that very name use it.",
    )
    many = "".join(f"MINE{n},{day},1,{known}\n" for n in range(8))
    assert "MINE4, 3 more: only" in check("consensus", CONSENSUS + many, tmp_path).remarks[0]


def test_repeats(tmp_path: Path) -> None:
    got = check("consensus", CONSENSUS + MORE + GOOD + GOOD, tmp_path)
    assert (got.rows.num_rows, got.rejected) == (6, ()), "equal rows are one"
    got = check("consensus", CONSENSUS + MORE + GOOD + GOOD.replace("3.1", "3.2"), tmp_path)
    assert [line for line, _, _ in got.rejected] == [7, 8], "neither of two that contradict each other counts"
    assert got.rejected[0][1] == "it is there twice with different values"
    later = GOOD.replace("3.1", "3.2").replace("T20", "T21")
    assert check("consensus", CONSENSUS + MORE + GOOD + later, tmp_path).rows.num_rows == 7, "a version of its own"


def test_a_row_that_tells_of_the_future(tmp_path: Path) -> None:
    head = "symbol,ts,close,known_at\n"
    good = "".join(f"ES,2024-07-11T12:3{m}:00Z,5000,2024-07-11T12:3{m}:01Z\n" for m in range(3))
    got = check("asset_bars", head + good + "ES,2024-07-11T12:39:00Z,5000,2024-07-11T12:38:59Z\n", tmp_path)
    assert [(line, reason) for line, reason, _ in got.rejected] == [
        (5, "ts is later than known_at: it tells of the future")
    ]


def test_each_kinds_own_rule_dates_its_rows(tmp_path: Path) -> None:
    prices = check("asset_prices", "symbol,date,close\nSP500,2024-01-05,1\nSP500,2024-01-08,2\n", tmp_path).rows
    assert prices["ts"][0].as_py() == prices["known_at"][0].as_py() == datetime(2024, 1, 5, 21, tzinfo=UTC)
    surface = check("option_surfaces", "symbol,date,iv_30\nSPX,2024-07-05,0.12\n", tmp_path).rows
    assert surface["ts"][0].as_py() == datetime(2024, 7, 5, 20, tzinfo=UTC)
    assert surface["known_at"][0].as_py() == datetime(2024, 7, 6, 4, tzinfo=UTC), "when the New York day has ended"
    curve = check("fed_funds_futures", "contract_month,date,price\n2024-08-01,2024-07-05,94.67\n", tmp_path).rows
    assert curve["ts"][0].as_py() == datetime(2024, 7, 5, 19, tzinfo=UTC)
    bars = check("asset_bars", "ticker,ts,close\nES,2024-07-11 08:31:00-04:00,5000\n", tmp_path).rows
    assert bars["known_at"][0].as_py() == datetime(2024, 7, 11, 12, 31, tzinfo=UTC)


def test_ranges(tmp_path: Path) -> None:
    days = "".join(f"SPX,2024-07-0{d},0.1{d}\n" for d in (1, 2, 3))
    got = check("option_surfaces", f"symbol,date,iv_30\n{days}SPX,2024-07-05,14.2\n", tmp_path)
    assert got.rejected[0][1] == "iv_30 lies outside 1e-06 to 5", "per cent were written for fractions"
    head = "fomc_date,observation_date,target_mid_pct,probability\n"
    good = "".join(f"2024-07-31,2024-07-0{d},{t},0.5\n" for d in (1, 2, 3) for t in (5.125, 5.375))
    bad = "2024-07-31,2024-07-05,5.125,0.5\n2024-07-31,2024-07-05,5.375,0.4\n"
    got = check("fomc_probabilities", head + good + bad, tmp_path)
    assert [(line, said) for line, said, _ in got.rejected] == [
        (line, "the probabilities of its meeting and day do not sum to 1") for line in (8, 9)
    ]


def test_days_against_the_calendar(tmp_path: Path) -> None:
    days = [1, 2, 3, 5, 8, 9, 11]  # of July 2024: the fourth is a holiday, the tenth is missing
    text = "symbol,date,close\n" + "".join(f"SP500,2024-07-{d:02},1\n" for d in [*days, 4])
    got = check("asset_prices", text, tmp_path)
    assert [(line, said) for line, said, _ in got.rejected] == [(9, "its day is no session of XNYS")]
    assert got.missing == ("SP500 lacks 1 of 8 sessions of XNYS, the first 2024-07-10.",)
    blind = check("asset_prices", text, tmp_path, calendars=False)
    assert (blind.rejected, blind.rows.num_rows) == ((), 8)
    assert "was not looked for" in blind.remarks[0]
    other = check("asset_prices", text.replace("SP500", "BTC"), tmp_path)
    assert (other.rejected, other.missing, other.remarks) == ((), (), ()), "an asset without a calendar"


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    def given(**columns: Any) -> pa.Table:
        path = tmp_path / "given.parquet"
        base = {"symbol": ["ES"], "close": pa.array([5000], pa.int64())}
        pq.write_table(pa.table(base | columns), path)
        return read_reference_file(path)

    form = REFERENCE_FORMATS["asset_bars"]
    moment = datetime(2024, 7, 11, 12, 31)  # noqa: DTZ001 (the point of the test)
    aware = given(ts=pa.array([moment], pa.timestamp("ns", "America/New_York")))
    got = check_reference(form, aware, now=NOW, sessions_of=None)
    assert got.rows.num_rows == 1
    for column, sentence in (
        (pa.array([moment], pa.timestamp("us")), "without a time zone"),
        (pa.array([1720701060], pa.int64()), "holds int64, which is no time"),
    ):
        with pytest.raises(UsageError, match=sentence):
            check_reference(form, given(ts=column), now=NOW, sessions_of=None)


def test_files_that_are_none(tmp_path: Path) -> None:
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 nothing")
    ragged = tmp_path / "ragged.csv"
    ragged.write_text("a,b\n1\n")
    for path, sentence in (
        (tmp_path / "notes.xlsx", "neither CSV nor Parquet"), (tmp_path / "absent.csv", "cannot be read"),
        (broken, "damaged or no table"), (ragged, "damaged or no table"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=sentence):
            read_reference_file(path)


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01", "1899-12-31", "2025-01-02"])
@pytest.mark.parametrize(
    ("kind", "head", "good", "row"),
    [
        ("option_surfaces", "symbol,date,iv_30", "SPX,2024-07-0{},0.1", "SPX,{},0.1"),
        ("asset_prices", "symbol,date,close", "SP500,2024-07-0{},5", "SP500,{},5"),
        ("fed_funds_futures", "contract_month,date,price", "2024-08-01,2024-07-0{},95", "2024-08-01,{},95"),
        ("fomc_probabilities", "fomc_date,date,target_mid_pct,probability", "2024-07-31,2024-07-0{},5.1,1",
         "2024-07-31,{},5.1,1"),
    ],
)  # fmt: skip
def test_a_day_that_can_be_none_is_put_aside(
    kind: str, head: str, good: str, row: str, day: str, tmp_path: Path
) -> None:
    text = "\n".join([head, *(good.format(d) for d in (1, 2, 3)), row.format(day)])
    got = check(kind, text, tmp_path)
    reason = "date lies in the future" if day > "2024" else "date lies before 1900"
    assert [(line, said) for line, said, _ in got.rejected] == [(5, reason)]
    assert (got.rows.num_rows, got.missing) == (3, ())


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("consensus", f"{CONSENSUS}{MORE}KXU3,0001-01-01,4,2024-01-01T00:00Z\n", "period lies before 1900"),
        ("consensus", f"{CONSENSUS}{MORE}KXU3,9999-01-01,4,2024-01-01T00:00Z\n", "period lies after 2199"),
        ("consensus", f"{CONSENSUS}{MORE}KXU3,2024-06-01,4,0001-01-01T00:00Z\n", "its time lies before 1900"),
        ("consensus", f"{CONSENSUS}{MORE}KXU3,2024-06-01,4,0001-01-01T00:00:00.0000001+14:00\n",
         "known_at cannot be read"),
        ("asset_bars", "symbol,ts,close\nES,2024-07-11T12:31Z,1\nES,2024-07-11T12:32Z,1\nES,0001-01-01T00:00Z,1\n",
         "its time lies before 1900"),
        ("asset_bars", "symbol,ts,close,period_s\nES,2024-07-11T12:31Z,1,60\nES,2024-07-11T12:32Z,1,60\n"
                       "ES,2024-07-11T12:33Z,1,99999999999999999999\n", "period_s cannot be read"),
        ("asset_bars", "symbol,ts,close,period_s\nES,2024-07-11T12:31Z,1,60\nES,2024-07-11T12:32Z,1,60\n"
                       "ES,2024-07-11T12:33Z,1,9223372036854775807\n", "period_s lies outside 1 to 2.6784e+06"),
    ],
)  # fmt: skip
def test_a_cell_beyond_what_a_clock_or_a_computer_counts_is_put_aside(
    kind: str, text: str, reason: str, tmp_path: Path
) -> None:
    assert [said for _, said, _ in check(kind, text, tmp_path).rejected] == [reason]
