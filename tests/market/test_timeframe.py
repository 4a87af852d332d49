"""Windows: the question's own words, else the chosen timeframe, else a year; never counted from today."""

from datetime import date

import pytest

from services.market.timeframe import valid, window

LAST = date(2022, 12, 28)


@pytest.mark.parametrize(
    ("question", "timeframe", "start", "end"),
    [
        ("", "1y", "2021-12-29", "2022-12-28"), ("", "3 years", "2019-12-29", "2022-12-28"), ("", "6m", "2022-06-29", "2022-12-28"),
        ("", "5d", "2022-12-24", "2022-12-28"), ("", "ytd", "2022-01-01", "2022-12-28"), ("", "max", None, "2022-12-28"),
        ("", None, "2021-12-29", "2022-12-28"), ("", "soon", "2021-12-29", "2022-12-28"), ("What happened in 2008?", "1y", "2008-01-01", "2008-12-31"),
        ("from 2007 to 2009", "1y", "2007-01-01", "2009-12-31"), ("2007–2009", "1y", "2007-01-01", "2009-12-31"),
        ("since 2015", "1m", "2015-01-01", "None"), ("over the last five years", "1m", "2017-12-29", "2022-12-28"),
        ("for the next three years", "6m", "2022-06-29", "2022-12-28"),
    ],
)
def test_the_window_of_a_question(question, timeframe, start, end) -> None:
    found = window(question, timeframe, LAST)
    assert (found.start and str(found.start), str(found.end)) == (start, end)


def test_a_month_back_from_its_last_day_is_the_shorter_months_last() -> None:
    assert window("", "1m", date(2023, 3, 31)).start == date(2023, 3, 1)
    assert window("", "1y", date(2024, 2, 29)).start == date(2023, 3, 1)


@pytest.mark.parametrize(("timeframe", "means"), [("1y", True), ("10 years", True), ("max", True), ("", False), ("0d", False), ("abc", False)])
def test_a_timeframe_is_valid_or_not(timeframe, means) -> None:
    assert valid(timeframe) is means
