"""The glossary is whole, its examples are right, and questions in four languages find it."""

import re
from math import erf, exp, log, sqrt
from statistics import mean, stdev
from time import process_time

import pytest

from services import glossary
from services.glossary import asks_for_more, find, nearest, render, terms

LONGEST_MESSAGE = 32_000


def ids(question):
    return [term.id for term in find(question)]


def normal(x):
    return (1 + erf(x / sqrt(2))) / 2


# ── The entries ──────────────────────────────────────────────────────────────────────────────────────────────


def test_there_are_at_least_eighty_terms_and_nearly_all_have_a_formula():
    assert len(terms()) >= 80
    assert sum(term.formula is not None for term in terms().values()) >= 0.9 * len(terms())


@pytest.mark.parametrize("term", terms().values(), ids=lambda term: term.id)
def test_an_entry_is_whole(term):
    assert term.definition.endswith((".", "?")) and term.example.endswith(".") and term.mistake.endswith(".")
    assert re.search(r"\d", term.example) or term.formula is None
    assert set(term.names) == {"de", "fr", "es"} and all(term.names.values())
    assert set(term.related) <= set(terms()) - {term.id} and term.related
    assert set(term.voices) <= set(glossary.VOICES)
    assert "\\" not in (term.formula or "") and "$" not in (term.formula or "")


@pytest.mark.parametrize("term", terms().values(), ids=lambda term: term.id)
def test_every_name_finds_its_own_term_and_no_other(term):
    for name in term.every_name():
        assert ids(name) == [term.id], name
        assert ids(f"What is {name.upper()}?") == [term.id], name


# (term, what the example's arithmetic gives, the figure as the example prints it)
WORKED = [
    ("return", 56 / 50 - 1, "12%"),
    ("total-return", (104 - 100 + 3) / 100, "7%"),
    ("log-return", log(1.10), "9.53%"),
    ("cagr", (1331 / 1000) ** (1 / 3) - 1, "10%"),
    ("compound-interest", 1000 * 1.05**10, "1,628.89"),
    ("rule-of-72", log(2) / log(1.06), "11.9"),
    ("real-return", 1.07 / 1.03 - 1, "3.88%"),
    ("twr", 1.10 * 0.95 - 1, "4.5%"),
    ("present-value", 1000 / 1.05**3, "863.84"),
    ("npv", -100 + 60 / 1.1 + 60 / 1.1**2, "4.13"),
    ("volatility", 0.01 * sqrt(252), "15.9%"),
    ("standard-deviation", stdev([0.01, 0.03, 0.05]), "2%"),
    ("covariance", 0.5 * 0.20 * 0.10, "0.01"),
    ("correlation", 0.01 / (0.20 * 0.10), "0.5"),
    ("beta", 0.6 * 30 / 18, "1.0"),
    ("alpha", 12 - (2 + 1.2 * (9 - 2)), "1.6"),
    ("sharpe-ratio", (10 - 3) / 14, "0.5"),
    ("sortino-ratio", (10 - 4) / 8, "0.75"),
    ("information-ratio", 2 / 4, "0.5"),
    ("tracking-error", stdev([0.01, -0.01, 0.0]) * sqrt(12), "3.5%"),
    ("max-drawdown", 90 / 120 - 1, "−25%"),
    ("calmar-ratio", 9 / 18, "0.5"),
    ("var", 1.645 * 0.01 * 10_000, "164.50"),
    ("cvar", mean([-0.02, -0.03, -0.03, -0.04, -0.08]), "−4%"),
    ("stress-test", -6000 * 0.40 + 4000 * 0.05, "−2,200"),
    ("systematic-risk", sqrt(0.15**2 + 0.20**2), "25%"),
    ("counterparty-risk", 100_000 * 0.02 * (1 - 0.40), "1,200"),
    ("diversification", sqrt(2 * 0.25 * 0.20**2), "14.1%"),
    ("asset-allocation", 0.6 * 10 + 0.4 * 2, "6.8%%"),
    ("rebalancing", 7_000 - 0.6 * 11_000, "400"),
    ("efficient-frontier", sqrt((0.8 * 0.10) ** 2 + (0.2 * 0.20) ** 2), "8.9%"),
    ("capm", 3 + 1.4 * (8 - 3), "10%%"),
    ("dollar-cost-averaging", 300 / (100 / 10 + 100 / 5 + 100 / 10), "7.50"),
    ("position-sizing", 20_000 * 0.01 / (50 - 46), "50"),
    ("kelly-criterion", 0.55 - 0.45 / 1, "10%"),
    ("leverage", 2 * -8 - 5, "−21%%"),
    ("hedge", 1.2 * 500_000 / (5_000 * 50), "2.4"),
    ("stock", 100 / 2_000_000 * 4_000_000, "200"),
    ("market-cap", 50 * 200 / 1000, "10"),
    ("enterprise-value", 10 + 4 - 1, "13"),
    ("eps", (210 - 10) / 100, "2.00"),
    ("pe-ratio", 4 / 60, "6.7%"),
    ("cape", 3000 / 100, "30"),
    ("peg-ratio", 24 / 12, "2.0"),
    ("pb-ratio", 6 / ((900 - 500) / 100), "1.5"),
    ("ps-ratio", 6 / 2, "3"),
    ("ebitda", 80 + 15 + 5, "100"),
    ("ev-ebitda", 13 / 1.3, "10"),
    ("free-cash-flow", (500 - 200) / 6000, "5%"),
    ("dcf", 100 * 1.02 / (0.10 - 0.02), "1,275"),
    ("wacc", 0.7 * 9 + 0.3 * 5 * 0.8, "7.5%%"),
    ("roe", 30 / 200, "15%"),
    ("roa", 30 / 600, "5%"),
    ("roic", 50 * 0.8 / 400, "10%"),
    ("profit-margin", (200 - 120) / 200, "40%"),
    ("debt-to-equity", 300 / 200, "1.5"),
    ("interest-coverage", 60 / 15, "4"),
    ("current-ratio", (150 - 50) / 100, "1.0"),
    ("dividend-yield", 2 / 50, "4%"),
    ("payout-ratio", 1.60 / 4, "40%"),
    ("buyback", 200 / 95, "2.11"),
    ("dilution", 10 / 125, "8%"),
    ("stock-split", 10 * 300, "3,000"),
    ("ipo", 23 / 20 - 1, "15%"),
    ("index", (60 * 1.10 + 40 * 0.95) / 100 - 1, "4%"),
    ("etf", 50.10 / 50.00 - 1, "0.2%"),
    ("mutual-fund", 1000 * 0.96 / 25, "38.4"),
    ("hedge-fund", (10 - 2) * 0.8, "6.4%%"),
    ("expense-ratio", 1 - 0.985**20, "26%"),
    ("nav", (105 - 5) / 4, "25"),
    ("reit", 10.50 / ((40 + 35 - 5) / 100), "15"),
    ("bond", 4 / 1.05 + 104 / 1.05**2, "98.14"),
    ("coupon", 0.05 * 1000 / 2, "25"),
    ("current-yield", 4 / 80, "5%"),
    ("duration", -7 * 0.005, "−3.5%"),
    ("convexity", -7 * 0.02 + 60 * 0.02**2 / 2, "−12.8%"),
    ("zero-coupon", 100 / 1.04**5, "82.19"),
    ("yield-curve", (4.0 - 4.5) * 100, "−50"),
    ("credit-spread", 0.022 / (1 - 0.40), "3.7%"),
    ("option", max(108 - 100, 0) - 3, "5"),
    ("call-option", max(57 - 50, 0) - 2, "5"),
    ("put-option", max(45 - 30, 0) - 1, "14"),
    ("put-call-parity", 8 - 100 + 105 / 1.05, "8"),
    ("implied-volatility", 100 * 0.32 / sqrt(252), "2.02"),
    ("black-scholes", 100 * (normal(0.1) - normal(-0.1)), "7.97"),
    ("delta", 2 * 0.6, "1.20"),
    ("gamma", 0.50 + 0.04 * 2, "0.58"),
    ("theta", 3.00 - 0.05, "2.95"),
    ("vega", 3 * 0.12, "0.36"),
    ("futures", (4020 - 4000) * 50, "1,000"),
    ("contango", 2 / 72, "2.8%"),
    ("swap", 1_000_000 * 0.005 * 0.5, "2,500"),
    ("arbitrage", 100.15 - 100.00 - 0.10, "0.05"),
    ("bid-ask-spread", (20.02 - 19.98) / 20.00, "0.2%"),
    ("liquidity", 50_000 / (100_000 / 10), "5"),
    ("market-order", (100 * 10.00 + 200 * 10.06) / 300, "10.04"),
    ("stop-loss", 50 * (50 - 43), "350"),
    ("slippage", 20.03 / 20.00 - 1, "0.15%"),
    ("short-selling", 100 * (40 - 34) - 20, "580"),
    ("margin", 5000 / 0.70, "7,143"),
    ("volume", 3 / 1.2, "2.5"),
    ("vwap", (100 * 10 + 300 * 11) / 400, "10.75"),
    ("sma", mean([10, 11, 15]), "12"),
    ("ema", 0.2 * 55 + 0.8 * 50, "51"),
    ("rsi", 100 - 100 / (1 + 0.60 / 0.40), "60"),
    ("macd", (52.0 - 50.8) - 0.9, "0.3"),
    ("bollinger-bands", (103 - 94) / (106 - 94), "0.75"),
    ("atr", max(52 - 50, abs(52 - 49), abs(50 - 49)), "3"),
    ("momentum", 100 / 80 - 1, "25%"),
    ("trend", 0.0004 * 252, "10%"),
    ("fifty-two-week-range", (55 - 40) / (60 - 40), "75%"),
    ("risk-reward", (62 - 50) / (50 - 46), "3"),
    ("bull-bear-market", 3800 / 4800 - 1, "−20.8%"),
    ("inflation", 123.6 / 120.0 - 1, "3.0%"),
    ("deflation", 100 / 0.98, "102.04"),
    ("gdp", 60 + 20 + 22 + 15 - 17, "100"),
    ("recession", 1 - 0.997 * 0.998, "0.5%"),
    ("unemployment", 5 / (95 + 5), "5%"),
    ("interest-rate", (1 + 0.06 / 12) ** 12 - 1, "6.17%"),
    ("policy-rate", 1 + 3 + 0.5 * (3 - 2), "4.5%%"),
    ("real-interest-rate", 1.05 / 1.03 - 1, "1.94%"),
    ("quantitative-easing", 80 * 12, "960"),
    ("exchange-rate", 1.10 * 0.95 - 1, "4.5%"),
    ("purchasing-power-parity", 1.21 / 1.10 - 1, "10%"),
    ("carry-trade", 5 - 0.5 - 2, "2.5%%"),
    ("trade-balance", 15 - 17 + 0.5, "−1.5"),
    ("stagflation", 9 + 7, "16"),
]


@pytest.mark.parametrize(("term", "value", "figure"), WORKED, ids=[row[0] for row in WORKED])
def test_a_worked_example_is_right(term, value, figure):
    """`%` after a figure: the value is a fraction. `%%`: it was computed in percent already."""
    number = figure.rstrip("%").replace("−", "-").replace(",", "")
    scale = 100 if figure.endswith("%") and not figure.endswith("%%") else 1
    decimals = len(number.partition(".")[2])
    assert f"{value * scale:.{decimals}f}" == number
    printed = figure.replace("%%", "%").removeprefix("−") if figure[0] == "−" else figure.replace("%%", "%")
    assert re.search(rf"(?<![\d.,]){re.escape(printed)}(?![\d%]|[.,]\d)", terms()[term].example)


def test_the_yields_in_the_examples_solve_their_prices():
    def price(y):
        return 4 / (1 + y) + 4 / (1 + y) ** 2 + 104 / (1 + y) ** 3

    assert price(0.05875) < 95 < price(0.05865) and "5.87%" in terms()["ytm"].example

    def worth(y):
        return 60 / (1 + y) + 60 / (1 + y) ** 2

    assert worth(0.13075) < 100 < worth(0.13065) and "13.07%" in terms()["irr"].example


def test_claims_in_definitions_and_mistakes_hold():
    assert 1 - 0.99**30 == pytest.approx(0.26, abs=0.01)  # compound-interest: "about a quarter"
    assert exp(0.0953) == pytest.approx(1.10, abs=1e-4)  # log-return
    assert log(2) / log(1.5) == pytest.approx(1.7, abs=0.05)  # rule-of-72 at 50 %
    assert 1 / normal(-5) / 252 == pytest.approx(14_000, rel=0.02)  # fat-tails: years between five-sigma falls
    assert 102 / (0.09 - 0.02) == pytest.approx(1457, abs=0.5)  # dcf at 9 %
    assert 252 * 0.05 == pytest.approx(13, abs=0.5)  # var: days beyond 95 %
    assert 1.03**-10 == pytest.approx(0.75, abs=0.01)  # inflation: "a quarter in ten years"
    assert 1 - 0.998**252 == pytest.approx(0.40, abs=0.005)  # slippage: daily round trips at 0.1 % a side


# ── Finding ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is the Sharpe ratio?", ["sharpe-ratio"]),
        ("profit margin vs. margin call", ["profit-margin", "margin"]),
        ("What is a yield curve? And yield?", ["yield-curve", "ytm"]),
        ("explain P/Es", []),
        ("P/E ratios", ["pe-ratio"]),
        ("ETFs or REITs", ["etf", "reit"]),
        ("CAGR, cagr and Cagr", ["cagr"]),
        ("Black–Scholes", ["black-scholes"]),
        ("what’s an ex-dividend date?", ["dividend"]),
        ("Was ist das KGV?", ["pe-ratio"]),
        ("Wie funktionieren Leerverkäufe?", ["short-selling"]),
        ("WAS IST VOLATILITAET", []),
        ("was ist volatilitat", ["volatility"]),
        ("Qu’est-ce que l’effet de levier ?", ["leverage"]),
        ("Qu'est-ce que les obligations d'État ?", ["bond"]),
        ("¿Qué es la inflación?", ["inflation"]),
        ("apalancamiento y liquidez", ["leverage", "liquidity"]),
        ("What is a put?", ["put-option"]),
        ("What is a put option? What are calls?", ["put-option", "call-option"]),
        ("I put my savings there, call me, and share it", []),
        ("a plan of action under obligation", []),
        ("", []),
        ("😀\u2028\x00", []),
        ("债券是什么", []),
    ],
)
def test_a_question_finds_its_terms(question, expected):
    assert ids(question) == expected


def test_a_term_is_found_with_combining_or_precomposed_accents():
    assert ids("volatilité") == ids("volatilite\u0301") == ["volatility"]


@pytest.mark.parametrize(
    ("question", "more"),
    [
        ("What is the Sharpe ratio?", False),
        ("Please explain beta and alpha with an example", False),
        ("Was bedeutet Inflation?", False),
        ("Qu'est-ce que la volatilité ?", False),
        ("¿Qué es la inflación?", False),
        ("Should I buy bonds now?", True),
        ("Which stock is best?", True),
        ("Tell me a joke", True),
    ],
)
def test_a_question_that_asks_for_more_than_terms_is_known(question, more):
    assert asks_for_more(question) is more


@pytest.mark.parametrize(
    ("question", "first"),
    [("volatilty", "volatility"), ("Bolinger", "bollinger-bands"), ("dividnds", "dividend"), ("Zinsezins", "compound-interest"), ("sortno", "sortino-ratio")],
)
def test_a_misspelt_name_has_its_term_nearest(question, first):
    assert nearest(question)[0].id == first


@pytest.mark.parametrize("question", ["", "hi", "zzzz qqqq", "ratio ratio ratio", "x" * LONGEST_MESSAGE])
def test_there_are_always_as_many_different_suggestions_as_asked_for(question):
    assert len({term.id for term in nearest(question)}) == 3


@pytest.mark.parametrize("unit", ["x", "bond ", "yield to ", "a ", "abcdefgh ijklmnop ", "\u0301", "😀", "volatilty1 "])
def test_the_longest_message_takes_little_time(unit):
    find(unit), nearest(unit)  # the tables are built once
    message = (unit * LONGEST_MESSAGE)[:LONGEST_MESSAGE]
    began = process_time()
    find(message), asks_for_more(message), nearest(message)
    assert process_time() - began < 0.4  # about 0.07 measured; a quadratic walk takes seconds


# ── Showing ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_term_is_shown_whole():
    text = render(terms()["duration"])
    entry = terms()["duration"]
    for part in (f"### {entry.name}", entry.definition, entry.formula, entry.example, entry.mistake, "Convexity", "German: Duration"):
        assert part in text


def test_an_assistant_adds_only_what_the_entry_has_for_it():
    entry = terms()["duration"]
    plain, risk, trader = render(entry), render(entry, "riskManager"), render(entry, "trader")
    assert entry.voices["riskManager"] in risk and entry.voices["riskManager"] not in plain
    assert "trader" not in entry.voices and trader == plain
    assert render(entry, "general") == plain
