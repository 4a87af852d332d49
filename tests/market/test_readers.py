"""What sources say is read, put right, or refused with the kind of failure it is."""

from datetime import date

import numpy as np
import pytest

from services.market import readers
from services.market.bars import Bars, clean
from services.market.failures import Blocked, Malformed, NoData, SourceLimited
from tests.market.server import weekdays, yahoo

TODAY = date(2024, 6, 28)


def test_yahoo_days_are_the_exchanges_and_prices_are_adjusted() -> None:
    document = yahoo(["2024-01-02", "2024-01-03"], [100.0, 110.0], open=[99.0, 100.0], high=[101.0, 111.0], low=[98.0, 99.0])
    document["chart"]["result"][0]["indicators"]["adjclose"] = [{"adjclose": [50.0, 55.0]}]
    bars, notes = readers.yahoo_chart(document, today=TODAY)
    assert [str(d) for d in bars.dates] == ["2024-01-02", "2024-01-03"]
    assert bars.close.tolist() == [50.0, 55.0] and bars.high.tolist() == [50.5, 55.5]
    assert notes == []


def test_pence_become_pounds() -> None:
    bars, _ = readers.yahoo_chart(yahoo(["2024-01-02"], [650.0], "GBp", high=[700.0]), today=TODAY)
    assert bars.close.tolist() == [6.5] and bars.high.tolist() == [7.0]


def test_null_zero_negative_future_and_repeated_bars_are_put_right_and_said() -> None:
    days = ["2024-01-04", "2024-01-02", "2024-01-03", "2024-01-03", "2024-01-05", "2024-01-08", "2031-01-01"]
    bars, notes = readers.yahoo_chart(yahoo(days, [40.0, 20.0, 29.0, 30.0, None, 0.0, 70.0]), today=TODAY)
    assert bars.close.tolist() == [20.0, 30.0, 40.0]
    assert any("out of order" in n for n in notes) and any("repeated" in n for n in notes) and any("3 bars" in n for n in notes)


def test_only_commodities_may_be_negative() -> None:
    document = yahoo(["2020-04-17", "2020-04-20", "2020-04-21"], [18.27, -37.63, 10.01])
    assert len(readers.yahoo_chart(document, today=TODAY)[0]) == 2
    assert readers.yahoo_chart(document, today=TODAY, negative_allowed=True)[0].close[1] == -37.63


def test_a_split_that_was_not_adjusted_for_is_named() -> None:
    bars, notes = clean(weekdays("2020-08-26", 5), [500.0, 504.0, 499.0, 125.0, 130.0], today=TODAY)
    assert len(bars) == 5 and any("2020-08-31" in n and "split" in n for n in notes)


def test_twelve_data_reads_its_rows_and_its_errors_inside_200() -> None:
    rows = [{"datetime": "2024-01-03", "open": "1", "high": "2", "low": "1", "close": "2", "volume": "5"}, {"datetime": "2024-01-02", "close": "1"}]
    bars, _ = readers.twelve_data({"status": "ok", "values": rows}, today=TODAY)
    assert bars.close.tolist() == [1.0, 2.0] and np.isnan(bars.volume[0])
    for code, failure in ((429, SourceLimited), (401, Blocked), (404, NoData)):
        with pytest.raises(failure):
            readers.twelve_data({"status": "error", "code": code, "message": "secret words"}, today=TODAY)


def test_alpha_vantage_reads_adjusted_closes_and_its_sentences() -> None:
    day = {"1. open": "10", "2. high": "12", "3. low": "8", "4. close": "10", "5. adjusted close": "5"}
    bars, _ = readers.alpha_vantage({"Time Series (Daily)": {"2024-01-02": day}}, today=TODAY)
    assert (bars.close[0], bars.high[0], bars.low[0]) == (5.0, 6.0, 4.0)
    for document, failure in (
        ({"Note": "5 calls a minute"}, SourceLimited), ({"Information": "a premium endpoint"}, Blocked), ({"Error Message": "Invalid"}, NoData),
    ):
        with pytest.raises(failure):
            readers.alpha_vantage(document, today=TODAY)


def test_finnhub_reads_its_letters() -> None:
    bars, _ = readers.finnhub({"s": "ok", "t": [1704153600], "c": [3.0], "h": [4.0], "l": [2.0], "o": [3.0]}, today=TODAY)
    assert str(bars.dates[0]) == "2024-01-02" and bars.has_range()
    with pytest.raises(NoData):
        readers.finnhub({"s": "no_data"}, today=TODAY)


@pytest.mark.parametrize("reader", [readers.yahoo_chart, readers.twelve_data, readers.alpha_vantage, readers.finnhub])
@pytest.mark.parametrize("document", [{}, [], None, 5, "x", {"chart": {}}, {"values": [{}]}, {"s": "ok"}, {"Time Series (Daily)": [1]}, {"values": None}])
def test_any_other_shape_is_malformed(reader, document) -> None:
    with pytest.raises((Malformed, NoData)):
        reader(document, today=TODAY)


def test_fred_leaves_its_dots_out() -> None:
    dates, values = readers.fred({"observations": [{"date": "2024-01-01", "value": "3.7"}, {"date": "2024-02-01", "value": "."}]})
    assert values.tolist() == [3.7] and str(dates[0]) == "2024-01-01"
    with pytest.raises(Malformed):
        readers.fred({"observations": [{"date": "x", "value": "1"}]})


FACTS = {"facts": {"us-gaap": {"NetIncomeLoss": {"units": {"USD": [
    {"start": "2020-10-01", "end": "2021-09-30", "val": 90.0, "filed": "2021-10-29", "form": "10-K"},
    {"start": "2021-10-01", "end": "2022-09-30", "val": 100.0, "filed": "2022-10-28", "form": "10-K"},
    {"start": "2021-10-01", "end": "2022-09-30", "val": 99.0, "filed": "2023-11-03", "form": "10-K"},
    {"start": "2022-07-01", "end": "2022-09-30", "val": 20.0, "filed": "2022-10-28", "form": "10-K"},
]}}}}}


@pytest.mark.parametrize(("known_on", "value"), [("2022-10-27", 90.0), ("2022-12-28", 100.0), ("2023-12-01", 99.0)])
def test_a_filing_is_not_known_before_it_is_filed_and_the_later_restates(known_on, value) -> None:
    assert readers.sec_fact(FACTS, ("Revenues", "NetIncomeLoss"), date.fromisoformat(known_on)).value == value


def test_nothing_filed_yet_is_no_data() -> None:
    with pytest.raises(NoData):
        readers.sec_fact(FACTS, ("NetIncomeLoss",), date(2020, 1, 1))


def test_bars_come_back_from_bytes_and_half_of_them_do_not() -> None:
    bars = Bars(np.array(["2024-01-02", "2024-01-03"], dtype="datetime64[D]"), np.array([1.0, np.nan]), volume=np.array([5.0, 6.0]))
    stored = bars.to_bytes({"source": "yahoo"})
    again, meta = Bars.from_bytes(stored)
    assert (again.dates == bars.dates).all() and np.isnan(again.close[1]) and again.open is None and meta == {"source": "yahoo"}
    with pytest.raises(Exception):  # noqa: B017 - zip, value or key, by where it was cut
        Bars.from_bytes(stored[: len(stored) // 2])
