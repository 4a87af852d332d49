"""The pack: timeframe sets its window, risk tolerance its limits; JSON both ways; what a model is given."""

import json

import pytest

from services.market.desk import MarketDesk
from services.market.evidence import CURVE_POINTS, EvidencePack, curve
from services.market import embedded

QUESTION = "How risky is AAPL compared with KO?"


@pytest.fixture(scope="module")
def desk() -> MarketDesk:
    return MarketDesk()


@pytest.fixture(scope="module")
def pack(desk) -> EvidencePack:
    return desk.evidence(QUESTION, {"timeframe": "1y", "riskTolerance": "moderate"})


def test_every_item_says_where_it_comes_from(pack) -> None:
    assert len(pack.items) > 60
    for item in pack.items:
        row = item.as_dict()
        assert set(row) >= {"id", "label", "value", "unit", "currency", "asOf", "source", "formula", "symbol"}
        assert row["source"] and row["formula"] and row["label"]
        assert (row["value"] is None) == ("reason" in row)
    assert len({item.id for item in pack.items}) == len(pack.items)


def test_the_timeframe_changes_the_window_and_the_figures(desk, pack) -> None:
    longer = desk.evidence(QUESTION, {"timeframe": "5y"})
    assert (pack.begins, longer.begins, longer.ends) == ("2021-12-29", "2017-12-29", "2022-12-28")
    assert longer.item("AAPL:volatility").value != pack.item("AAPL:volatility").value
    assert longer.item("AAPL:total_return").value > 0 > pack.item("AAPL:total_return").value


def test_the_risk_tolerance_changes_limits_size_and_allocation(desk) -> None:
    packs = [desk.evidence(QUESTION, {"riskTolerance": t}) for t in ("conservative", "moderate", "aggressive")]
    for id in ("limits:risk_per_trade", "limits:equity", "limits:drawdown", "AAPL:size", "AAPL:weight", "AAPL:risk_at_stop"):
        values = [pack.item(id).value for pack in packs]
        assert values == sorted(values) and len(set(values)) == 3, id
    rests = [pack.item("plan:rest").value for pack in packs]
    assert rests == sorted(rests, reverse=True)
    assert packs[0].item("AAPL:volatility").value == packs[2].item("AAPL:volatility").value


def test_a_size_never_risks_more_than_the_limit_nor_holds_more_than_the_position(pack) -> None:
    own = pack.of("AAPL")
    assert own["risk_at_stop"].value <= 0.01 * 10_000 and own["size_value"].value <= 0.10 * 10_000
    assert own["size"].value == int(own["size"].value)


def test_the_capital_of_the_question_is_used(desk) -> None:
    pack = desk.evidence("How many KO should I buy with $50k?", {})
    assert pack.item("plan:capital").value == 50_000 and pack.item("plan:capital").source == "your question"
    assert desk.evidence("KO with 5,000 euros").item("KO:size") is None, "a size in another currency would need a rate"


def test_json_goes_both_ways(pack) -> None:
    stored = json.loads(json.dumps(pack.as_dict()))
    assert EvidencePack.from_dict(stored) == pack or EvidencePack.from_dict(stored).as_dict() == pack.as_dict()
    assert EvidencePack.from_dict(stored).prompt_text() == pack.prompt_text()


def test_a_portfolio_is_measured_as_one(desk) -> None:
    pack = desk.evidence("40% KO, 60% MSFT", {"timeframe": "1y"})
    assert pack.weights == {"KO": 0.4, "MSFT": 0.6}
    alone = [pack.item(f"{s}:volatility").value for s in ("KO", "MSFT")]
    whole = pack.item("portfolio:volatility").value
    assert min(alone) < whole < 0.4 * alone[0] + 0.6 * alone[1]
    assert sum(pack.item(f"{s}:risk_share").value for s in ("KO", "MSFT")) == pytest.approx(1)


@pytest.mark.parametrize("question", ["KO fell 10% and MSFT 5%", "Is 40% KO too much?", "KO and MSFT"])
def test_percentages_that_are_no_weights_make_no_portfolio(desk, question) -> None:
    assert desk.evidence(question).weights == {}


def test_the_prompt_holds_every_known_figure_and_says_what_is_missing(pack) -> None:
    text = pack.prompt_text()
    assert "AAPL:volatility: Volatility a year of AAPL = 35.5 %, 2021-12-29 to 2022-12-28" in text
    assert "AAPL:atr14: none. No daily highs and lows" in text and "end on 2022-12-28" in text
    assert MarketDesk().evidence("hello").prompt_text() == ""


def test_the_completed_event_carries_items_as_shown_and_marks(pack, desk) -> None:
    marks = desk.check("AAPL has a beta of 1.31 and a target of $182.", pack, QUESTION)
    completed = json.loads(json.dumps(pack.completed(marks)))
    assert [(m["text"], m["evidenceId"]) for m in completed["marks"]] == [("1.31", "AAPL:beta"), ("$182", None)]
    assert next(i for i in completed["items"] if i["id"] == "AAPL:beta")["shown"] == "1.31"


def test_what_cannot_be_had_is_a_note_not_an_error(desk) -> None:
    pack = desk.evidence("Toyota, $XYZQ, Merck and KO in 2024", {"symbols": ["???"]})
    assert any("7203.T" in note for note in pack.notes) and any("2024" in note for note in pack.notes)
    assert [u.text for u in pack.unknown] == ["???", "XYZQ"] and pack.ambiguous[0].text == "Merck"
    assert pack.item("KO:volatility").value > 0


def test_symbols_of_different_ends_share_their_last_common_day(desk) -> None:
    pack = desk.evidence("AAPL against the Nasdaq")
    assert pack.ends == "2018-12-31" and any("2018-12-31" in note for note in pack.notes)
    assert pack.item("^IXIC:atr14").value > 0


def test_at_most_twenty_symbols_are_measured(desk) -> None:
    pack = desk.evidence(" ".join(embedded.symbols()) + " TSLA NVDA")
    assert len(pack.instruments) <= 20 and any("first 20" in note for note in pack.notes)


def test_macro_figures_come_where_the_economy_is_asked_about(desk) -> None:
    assert desk.evidence("How is inflation and the labour market?").item("macro:unemployment").value == pytest.approx(0.096)
    assert not desk.evidence("What is inflation?"), "a definition is the glossary's"
    assert desk.evidence("AAPL", {"assistantType": "economist"}).item("macro:vix")
    assert not desk.evidence("AAPL").item("macro:vix")


def test_a_curve_keeps_its_extremes() -> None:
    bars = embedded.prices("^GSPC")
    thin = curve(bars)
    assert len(thin.dates) <= CURVE_POINTS and list(thin.dates) == sorted(thin.dates)
    assert (min(thin.closes), max(thin.closes)) == (bars.close.min(), bars.close.max())
    assert (thin.dates[0], thin.dates[-1]) == ("1990-01-02", "2022-12-28")


def test_crises_are_measured_from_peak_to_trough(desk) -> None:
    pack = desk.evidence("S&P 500")
    assert pack.item("^GSPC:stress_crisis").value == pytest.approx(-0.5678, abs=5e-5)
    assert pack.item("^GSPC:stress_covid").value == pytest.approx(-0.3392, abs=5e-5)
