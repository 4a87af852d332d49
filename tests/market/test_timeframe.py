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


@pytest.mark.parametrize(
    ("question", "start", "end"),
    [
        ("Compare AAPL and KO over 5 years", "2017-12-29", "2022-12-28"), ("How did AAPL do over three months?", "2022-09-29", "2022-12-28"),
        ("AAPL over 5y", "2017-12-29", "2022-12-28"), ("the 5-year return of AAPL", "2017-12-29", "2022-12-28"),
        ("AAPL's performance in the past decade", "2012-12-29", "2022-12-28"), ("AAPL over the last twelve months", "2021-12-29", "2022-12-28"),
        ("How is AAPL doing YTD?", "2022-01-01", "2022-12-28"), ("AAPL year-to-date", "2022-01-01", "2022-12-28"),
        ("AAPL since the start of the year", "2022-01-01", "2022-12-28"),
        ("since March 2020", "2020-03-01", "None"), ("since the end of 2019", "2019-12-31", "None"), ("from 2024", "2024-01-01", "None"),
        ("Wie lief AAPL in den letzten 5 Jahren?", "2017-12-29", "2022-12-28"), ("AAPL über 5 Jahre", "2017-12-29", "2022-12-28"),
        ("letzte drei Monate von AAPL", "2022-09-29", "2022-12-28"), ("AAPL im letzten Jahr", "2021-12-29", "2022-12-28"),
        ("AAPL seit 2019", "2019-01-01", "None"), ("seit März 2020", "2020-03-01", "None"), ("AAPL seit zwei Jahren", "2020-12-29", "2022-12-28"),
        ("AAPL seit Jahresbeginn", "2022-01-01", "2022-12-28"), ("von 2007 bis 2009", "2007-01-01", "2009-12-31"), ("AAPL im Jahr 2008", "2008-01-01", "2008-12-31"),
        ("AAPL sur les 5 dernières années", "2017-12-29", "2022-12-28"), ("AAPL sur 5 ans", "2017-12-29", "2022-12-28"),
        ("AAPL depuis 2019", "2019-01-01", "None"), ("entre 2007 et 2009", "2007-01-01", "2009-12-31"), ("AAPL en 2008", "2008-01-01", "2008-12-31"),
        ("AAPL en los últimos 5 años", "2017-12-29", "2022-12-28"), ("AAPL desde 2019", "2019-01-01", "None"), ("desde hace 3 meses", "2022-09-29", "2022-12-28"),
    ],
)
def test_a_period_that_is_plainly_said_is_the_window(question, start, end) -> None:
    found = window(question, "6m", LAST)
    assert (str(found.start), str(found.end)) == (start, end)


@pytest.mark.parametrize(
    "question",
    [
        "Where does AAPL stand to its 200-day average?", "What does the 10-year Treasury yield mean for JPM?", "the 52-week high of AAPL",
        "I retire in 5 years, is AAPL right?", "over the next 5 years", "in den nächsten 5 Jahren", "dans les 5 prochaines années",
        "en los próximos 5 años", "AAPL with $2019", "over 0 years", "the 30-year mortgage and WFC", "should I hold AAPL for 10 years?",
    ],
)
def test_what_is_no_period_of_the_past_leaves_the_chosen_one(question) -> None:
    assert window(question, "6m", LAST) == window("", "6m", LAST)
