"""GET /api/market/<symbol>, the symbol's page and the commands, over the embedded set."""

import csv
import io
import re
from pathlib import Path
from types import SimpleNamespace

import empyrical
import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient

from blueprints import edge, market, pages
from services.market import embedded
from services.market.desk import MarketDesk

ROOT = Path(__file__).resolve().parents[2]
IDS = ("total_return cagr volatility max_drawdown sharpe sortino beta alpha correlation var95_historical var99_historical "
       "cvar95_historical var95_parametric rsi14 macd sma50 sma200 atr14").split()
YEAR_2022 = "/api/market/AAPL?start=2022-01-01&end=2022-12-31&benchmark=^GSPC"


@pytest.fixture(scope="module")
def app() -> Flask:
    """The blueprint with its own service and the page's templates; nothing else is running."""
    app = Flask("tickertape", root_path=str(ROOT))
    app.extensions[edge.EXTENSION] = SimpleNamespace(market=MarketDesk())
    edge.register_errors(app)
    app.register_blueprint(pages.blueprint)
    app.register_blueprint(market.blueprint)
    return app


@pytest.fixture
def client(app) -> FlaskClient:
    return app.test_client()


def values(client: FlaskClient, address: str) -> dict[str, dict]:
    response = client.get(address)
    assert response.status_code == 200, response.text
    return {item["id"]: item for item in response.json["measures"]}


def test_apple_in_2022_agrees_with_empyrical_on_the_same_249_returns(client) -> None:
    window = [embedded.prices(s) for s in ("AAPL", "^GSPC")]
    first = int(np.searchsorted(window[0].dates, np.datetime64("2022-01-01")))
    r, b = (np.diff(bars.close[first - 1 :]) / bars.close[first - 1 : -1] for bars in window)
    assert len(r) == 249
    got = values(client, YEAR_2022)
    expected = {
        "total_return": empyrical.cum_returns_final(r), "cagr": empyrical.cagr(r), "volatility": empyrical.annual_volatility(r),
        "max_drawdown": empyrical.max_drawdown(r), "sharpe": empyrical.sharpe_ratio(r), "sortino": empyrical.sortino_ratio(r),
        "beta": empyrical.beta(r, b), "alpha": empyrical.alpha(r, b), "correlation": np.corrcoef(r, b)[0, 1],
        "var95_historical": empyrical.value_at_risk(r, 0.05), "var99_historical": empyrical.value_at_risk(r, 0.01),
        "cvar95_historical": empyrical.conditional_value_at_risk(r, 0.05),
    }
    for id, value in expected.items():
        assert got[id]["value"] == pytest.approx(float(value), rel=1e-9), id
    assert got["volatility"]["value"] == pytest.approx(0.357164, abs=5e-7) and got["beta"]["value"] == pytest.approx(1.306311, abs=5e-7)


@pytest.mark.parametrize("symbol", ["^GSPC", "%5EGSPC", "GSPC", "^gspc"])
def test_the_index_fell_56_78_percent(client, symbol) -> None:
    fall = values(client, f"/api/market/{symbol}?start=2007-01-01&end=2009-12-31")["max_drawdown"]
    assert (round(fall["value"], 4), fall["from"], fall["to"]) == (-0.5678, "2007-10-09", "2009-03-09")


def test_the_answer_has_its_shape(client) -> None:
    body = client.get(YEAR_2022).json
    assert body["instrument"]["symbol"] == "AAPL" and body["asOf"] == "2022-12-28" and "embedded" in body["source"]
    assert len(body["bars"]["dates"]) == len(body["bars"]["close"]) == 249 and body["bars"]["dates"][0] == "2022-01-03"
    assert [item["id"] for item in body["measures"]] == IDS
    assert all({"id", "label", "value", "unit", "currency", "asOf", "source", "formula", "symbol"} <= set(i) for i in body["measures"])
    assert any("end on 2022-12-28" in note for note in body["notes"])


def test_what_the_data_cannot_give_is_null_with_a_reason(client) -> None:
    got = values(client, YEAR_2022)
    assert got["atr14"]["value"] is None and "highs and lows" in got["atr14"]["reason"]
    assert values(client, "/api/market/^GSPC?start=2018-01-01&end=2018-12-31")["atr14"]["value"] > 0
    alone = values(client, "/api/market/AAPL?start=2022-01-01&benchmark=")
    assert [alone[id]["value"] for id in ("beta", "alpha", "correlation")] == [None] * 3
    young = values(client, "/api/market/AAPL?start=1990-01-02&end=1990-02-01")
    assert young["sma50"]["value"] is None and "Needs 50 closes" in young["sma50"]["reason"]


def test_one_day_has_a_return_and_no_spread(client) -> None:
    got = values(client, "/api/market/AAPL?start=2022-05-02&end=2022-05-02")
    assert got["total_return"]["value"] is not None
    assert got["volatility"]["value"] is None and "two daily returns" in got["volatility"]["reason"]
    first = values(client, "/api/market/AAPL?start=1990-01-02&end=1990-01-02")
    assert first["total_return"]["value"] is None and first["total_return"]["reason"]


@pytest.mark.parametrize(
    ("address", "status", "field"),
    [
        ("AAPL?start=2022-12-31&end=2022-01-01", 400, "start"), ("AAPL?start=2999-01-01", 400, "start"), ("AAPL?start=yesterday", 400, "start"),
        ("AAPL?end=2022-13-01", 400, "end"), ("AAPL?end=20220101", 400, "end"), ("AAPL?start=1970-01-01&end=1970-12-31", 422, "end"),
        ("AAPL?start=2023-01-01&end=2023-06-30", 422, "start"), ("AAPL?format=xml", 400, "format"), ("AAPL?benchmark=a/b", 400, "benchmark"),
        ("AAPL?benchmark=NOPE", 404, "benchmark"), ("APPL", 404, "symbol"), ("7203.T", 404, "symbol"), ("a/b", 400, "symbol"), ("..", 400, "symbol"),
        ("..%2f..%2fetc%2fpasswd", 400, "symbol"), ("A" * 300, 400, "symbol"), ("%00", 400, "symbol"), ("AAPL,KO", 400, "symbol"),
        (",".join(["AAPL"] * 200), 400, "symbol"),
    ],
)
def test_bad_input_gets_its_error(client, address, status, field) -> None:
    response = client.get(f"/api/market/{address}")
    assert (response.status_code, response.json["error"].get("field")) == (status, field)
    assert response.json["error"]["message"]


def test_an_unknown_symbol_comes_with_the_nearest(client) -> None:
    error = client.get("/api/market/APPL").json["error"]
    assert "AAPL" in [i["symbol"] for i in error["nearest"]] and "AAPL" in error["message"]


@pytest.mark.parametrize("query", ["end=2999-01-01", "start=0001-01-01", "start=1980-01-01", ""])
def test_an_end_or_start_beyond_the_data_is_cut_to_them(client, query) -> None:
    assert client.get(f"/api/market/AAPL?{query}").json["asOf"] == "2022-12-28"


def test_csv_is_a_table_of_the_same_bars(client) -> None:
    response = client.get("/api/market/^GSPC?start=2018-12-24&end=2018-12-31&format=csv")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert response.mimetype == "text/csv" and 'filename="GSPC-2018-12-24-2018-12-31.csv"' in response.headers["Content-Disposition"]
    assert list(rows[0]) == ["date", "open", "high", "low", "close", "volume"] and rows[-1]["close"] == "2506.85"


def test_the_page_shows_pictures_measures_and_sources_in_markup_a_strict_policy_allows(client) -> None:
    page = client.get("/market/AAPL?start=2022-01-01&end=2022-12-31")
    assert page.status_code == 200
    text = page.text
    assert text.count('<svg class="mk-chart"') == 2 and "mk-spark" in text and "35.7 %" in text and "embedded set" in text
    assert " style=" not in text and not re.search(r"<script(?![^>]*\bsrc=)|\son[a-z]+=", text)


def test_a_browser_that_opens_the_api_gets_the_page(client) -> None:
    page = client.get(YEAR_2022, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.mimetype == "text/html" and "mk-chart" in page.text and "Accept" in page.headers["Vary"]
    assert client.get(YEAR_2022, headers={"Accept": "*/*"}).mimetype == "application/json"


def test_the_page_of_an_unknown_symbol_is_an_error_page(client) -> None:
    page = client.get("/market/APPL", headers={"Accept": "text/html"})
    assert page.status_code == 404 and "Nearest" in page.text


def test_the_commands_say_what_is_configured_and_what_came(app) -> None:
    runner = app.test_cli_runner()
    said = runner.invoke(args=["market", "sources"]).output
    assert "Yahoo chart API" in said and "not configured" in said and "data end 2022-12-28" in said
    said = runner.invoke(args=["market", "refresh", "AAPL", "7203.T", "a/b", "--since", "2022-01-01"]).output
    assert "249 bars to 2022-12-28" in said and "There are no prices for 7203.T" in said and "A symbol has letters" in said
