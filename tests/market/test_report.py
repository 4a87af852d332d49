"""The offline desk: six voices, every figure borne out by the evidence, honest about what it is and how old its data are."""

import re
import time

import pytest

from services.market.desk import MarketDesk
from services.market.grounding import check, unmatched
from services.market.report import ASSISTANTS, summary_table

QUESTIONS = (
    "How risky is AAPL compared with KO?", "40% KO, 60% MSFT", "I have $50,000: 30% JPM, 30% XOM and 40% PG?", "What about Apple in 2008?",
    "S&P 500 from 2007 to 2009", "How is the economy doing, and inflation?", "AAPL, MSFT, JPM, XOM, GE, PG, KO and PEP since 2015",
    "Toyota and Coca-Cola", "PFE over the last 5 days", "the Nasdaq in 2018", "RRC max", "AMD and BBY over the last 10 years",
    "AAPL and KO over 5 years", "Wie liefen AAPL und KO seit 2019?",
)


@pytest.fixture(scope="module")
def desk() -> MarketDesk:
    return MarketDesk()


def written(desk: MarketDesk, question: str, assistant: str, **context: object) -> str:
    return "".join(desk.report(question, assistant, context) or ())


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("assistant", ASSISTANTS)
def test_every_figure_of_every_voice_is_borne_out(desk, question, assistant) -> None:
    pack = desk.evidence(question, {"assistant": assistant})
    text = "".join(desk.report(question, assistant, {}, pack))
    marks = check(text, pack, question)
    assert [(m.text, m.reason) for m in unmatched(marks)] == []
    assert len(marks) > 5


@pytest.mark.parametrize("tolerance", ["conservative", "aggressive"])
def test_every_figure_is_borne_out_for_other_tolerances_and_frames(desk, tolerance) -> None:
    for assistant in ASSISTANTS:
        pack = desk.evidence("AAPL or JNJ with $7,500", {"riskTolerance": tolerance, "timeframe": "3y", "assistant": assistant})
        assert unmatched(check("".join(desk.report("", assistant, {}, pack)), pack, "")) == []


@pytest.mark.parametrize(
    ("assistant", "speaks_of"),
    [
        ("general", ("Volatility", "drawdown", "Sharpe")), ("analyst", ("50-day average", "trend", "Alpha")),
        ("trader", ("RSI", "MACD", "stop", "52-week", "at risk")), ("riskManager", ("VaR", "CVaR", "Stress", "Financial crisis", "drawdown limit")),
        ("economist", ("Unemployment", "beta", "US economy")), ("advisor", ("moderate risk tolerance", "weight", "cash, bonds")),
    ],
)
def test_each_assistant_has_its_own_voice(desk, assistant, speaks_of) -> None:
    text = written(desk, "AAPL and KO", assistant)
    for words in speaks_of:
        assert words in text
    assert "| AAPL | KO |" in text


def test_it_says_that_no_model_wrote_it_and_how_old_the_data_are(desk) -> None:
    for assistant in ASSISTANTS:
        text = written(desk, "AAPL", assistant)
        assert "No model wrote this" in text and "2022-12-28" in text and "advice" in text
    assert "2009-09-30" in written(desk, "the economy", "economist")


def test_risk_tolerance_changes_what_the_advisor_and_the_trader_say(desk) -> None:
    for assistant in ("advisor", "trader"):
        texts = {written(desk, "AAPL", assistant, riskTolerance=t) for t in ("conservative", "moderate", "aggressive")}
        assert len(texts) == 3


def test_timeframe_changes_what_is_said(desk) -> None:
    assert "2012-12-31 to 2022-12-28" in written(desk, "AAPL", "general", timeframe="10y")


def test_it_leaves_to_the_glossary_what_it_does_not_know(desk) -> None:
    for question in ("hello", "What is a drawdown?", "What is inflation?", "Explain VaR", ""):
        assert desk.report(question, "analyst", {}) is None


def test_the_summary_table_stands_alone_and_is_borne_out(desk) -> None:
    pack = desk.evidence("AAPL and KO")
    table = summary_table(pack)
    assert table.startswith("| 2021-12-29 to 2022-12-28 | AAPL | KO |") and unmatched(check(table, pack)) == []
    assert summary_table(desk.evidence("hello")) == ""


def test_ambiguity_and_unknown_symbols_are_said(desk) -> None:
    assert "Merck & Co. (MRK) or Merck KGaA (MRK.DE)" in written(desk, "How risky is Merck?", "general")
    assert "XYZQ is not a symbol known here" in written(desk, "$XYZQ", "general")


def test_it_comes_in_pieces_and_in_time(desk) -> None:
    written(desk, QUESTIONS[0], "riskManager")
    begun = time.process_time()
    pieces = list(desk.report(QUESTIONS[0], "riskManager", {}))
    assert time.process_time() - begun < 0.5 and len(pieces) > 20
    assert "".join(pieces).endswith("\n")


def test_its_tables_are_whole(desk) -> None:
    for assistant in ASSISTANTS:
        for table in re.findall(r"(?:^\|.*\n)+", written(desk, "AAPL, KO and 7 others: MSFT JPM PG XOM GE HD WMT", assistant), re.MULTILINE):
            assert len({line.count("|") for line in table.splitlines()}) == 1


@pytest.mark.parametrize(
    ("question", "dates"),
    [
        ("How did AAPL do?", "from 2021-12-29 to 2022-12-28"), ("AAPL over the last five years", "from 2017-12-29 to 2022-12-28"),
        ("AAPL over 5 years", "from 2017-12-29 to 2022-12-28"), ("AAPL seit 2019", "from 2019-01-02 to 2022-12-28"),
        ("AAPL since 1950", "from 1990-01-02 to 2022-12-28"), ("AAPL in 2008", "from 2008-01-02 to 2008-12-31"), ("AAPL since 2015", "from 2015-01-02 to 2022-12-28"),
    ],
)
def test_a_return_names_its_dates_and_old_data_are_not_the_last_year(desk, question, dates) -> None:
    text = written(desk, question, "general")
    assert re.search(rf"Apple \(AAPL\) (gained|lost) [\d,.]+ % {dates}", text), text[:600]
    assert "last year" not in text + desk.evidence(question).prompt_text()
    assert "close of" not in (trader := written(desk, question, "trader")) or f"on {dates[-10:]}" in trader


@pytest.mark.parametrize(("question", "asked"), [("AAPL in 1950", "from 1950-01-01 to 1950-12-31"), ("AAPL since 2024", "since 2024-01-01")])
def test_a_period_without_prices_is_named_with_the_one_that_is_shown_instead(desk, question, asked) -> None:
    notes = " ".join(desk.evidence(question).notes)
    assert f"There are no prices {asked}; the figures are from 2021-12-29 to 2022-12-28." in notes
