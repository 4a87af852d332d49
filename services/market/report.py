"""The offline desk: a short, honest report from computed figures alone, in the voice of the chosen assistant. Pure.

Every figure comes from the evidence and is written by wording.shown, so that the checker finds each one again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from services.market.evidence import PORTFOLIO, EvidencePack, listed, open_questions
from services.market.instruments import Instrument
from services.market.sentences import (
    Measured, bearing, called, deepest_fall, known, momentum, reward, stop_and_size, tail, total_return, trend,
)
from services.market.wording import percent, shown

Pieces = Iterator[str]
ASSISTANTS = ("general", "analyst", "trader", "advisor", "riskManager", "economist")
SUMMARY = ("total_return", "volatility", "max_drawdown", "sharpe", "beta", "var95_historical")
COMPARED_UP_TO = 4  # symbols that are spoken of one by one; beyond, the table speaks


def write_report(question: str, assistant: str, context: Mapping[str, Any], pack: EvidencePack) -> Pieces | None:
    """The report in pieces of Markdown; None when the pack holds neither figures nor an open question nor a note."""
    if not pack.items and not pack.notes and not open_questions(pack):
        return None
    return _written(assistant, pack)


def _written(assistant: str, pack: EvidencePack) -> Pieces:
    open_ = open_questions(pack)
    if not pack.items:
        yield _paragraph([*open_, *pack.notes, "So there are no figures to report."])
        return
    yield f"*{_origin(pack)}*\n\n"
    if open_:
        yield _paragraph(open_)
    for section in VOICES.get(assistant, VOICES["general"]) if pack.instruments else (_economy,):
        yield from section(pack)
    yield from _closing(pack)


def summary_table(pack: EvidencePack) -> str:
    """The general report's table alone, for an answer that was written elsewhere; empty without symbols."""
    return "".join(_table(pack, SUMMARY))


# --- what every voice says -------------------------------------------------------------------------------------------

def _origin(pack: EvidencePack) -> str:
    sources = dict.fromkeys(item.source for item in pack.items if item.as_of and (item.symbol or item.id.startswith("macro:")))
    market = [s for s in sources if "statsmodels" not in s] if pack.instruments else list(sources)
    return f"No model wrote this: the figures are computed from the {listed(market[:3])}."


def _closing(pack: EvidencePack) -> Pieces:
    if pack.notes:
        yield "**About the data.** " + " ".join(pack.notes) + "\n\n"
    yield "Past figures say nothing certain about later ones, and none of this is advice to buy or sell.\n"


def _each(pack: EvidencePack, say: Callable[[Instrument, Measured, EvidencePack], list[str]]) -> Pieces:
    """A paragraph for each symbol, where there are few enough to speak of."""
    for instrument in pack.instruments[:COMPARED_UP_TO]:
        sentences = [s for s in say(instrument, pack.of(instrument.symbol), pack) if s]
        for place, sentence in enumerate(sentences):
            yield sentence + (" " if place < len(sentences) - 1 else "\n\n")


def _table(pack: EvidencePack, measures: Sequence[str], heading: str = "") -> Pieces:
    """Measures down, symbols across, and the portfolio where there is one; rows without a figure are left out."""
    columns = [(i.symbol, pack.of(i.symbol)) for i in pack.instruments]
    if pack.of(PORTFOLIO.symbol):
        columns.append(("the portfolio", pack.of(PORTFOLIO.symbol)))
    if not columns:
        return
    if len(columns) > 6:
        yield from _tall_table(columns, measures)
        return
    yield f"| {heading or _window(pack)} | " + " | ".join(name for name, _ in columns) + " |\n"
    yield "|---|" + "---:|" * len(columns) + "\n"
    for measure in measures:
        items = [own.get(measure) for _, own in columns]
        if any(item and item.value is not None for item in items):
            label = next(item.label for item in items if item)
            yield f"| {label} | " + " | ".join(shown(item) if item else "–" for item in items) + " |\n"
    yield "\n"


def _tall_table(columns: Sequence[tuple[str, Measured]], measures: Sequence[str]) -> Pieces:
    """Symbols down, where there are too many to stand side by side."""
    few = [m for m in measures if any(own.get(m) and own[m].value is not None for _, own in columns)][:5]
    label = {m: next(own[m].label for _, own in columns if m in own) for m in few}
    yield "| Symbol | " + " | ".join(label[m] for m in few) + " |\n|---|" + "---:|" * len(few) + "\n"
    for name, own in columns:
        yield f"| {name} | " + " | ".join(shown(own[m]) if m in own else "–" for m in few) + " |\n"
    yield "\n"


def _window(pack: EvidencePack) -> str:
    return f"{pack.begins} to {pack.ends}"


def _paragraph(sentences: Sequence[str]) -> str:
    return " ".join(sentences) + "\n\n"


# --- sections --------------------------------------------------------------------------------------------------------

def _paragraphs(*sayers: Callable[[Instrument, Measured, EvidencePack], list[str]]) -> Callable[[EvidencePack], Pieces]:
    def section(pack: EvidencePack) -> Pieces:
        yield from _each(pack, lambda i, m, p: [sentence for say in sayers for sentence in say(i, m, p)])

    return section


def _rows(*measures: str) -> Callable[[EvidencePack], Pieces]:
    return lambda pack: _table(pack, measures)


def _comparison(pack: EvidencePack) -> Pieces:
    """Who was steadier and who did better, for two symbols or more."""
    ranked = [(i, pack.of(i.symbol)) for i in pack.instruments]
    ranked = [(i, m) for i, m in ranked if known(m, "volatility", "total_return")]
    if len(ranked) < 2:
        return
    steady = min(ranked, key=lambda pair: pair[1]["volatility"].value)
    rough = max(ranked, key=lambda pair: pair[1]["volatility"].value)
    best = max(ranked, key=lambda pair: pair[1]["total_return"].value)
    if rough[0] is not steady[0]:
        yield (f"**{rough[0].name} was the riskier:** a volatility of {shown(rough[1]['volatility'])} for {rough[0].symbol} against "
               f"{shown(steady[1]['volatility'])} for {steady[0].symbol}. ")
    yield f"{best[0].name} had the better return, {shown(best[1]['total_return'], signed=True)}. "
    pair = pack.item(f"{ranked[0][0].symbol}~{ranked[1][0].symbol}:correlation")
    if len(ranked) == 2 and pair and pair.value is not None:
        tone = "move together" if pair.value > 0.6 else "move loosely together" if pair.value > 0.3 else "hardly move together"
        yield f"The two {tone}: their correlation is {shown(pair)}."
    yield "\n\n"


def _portfolio(pack: EvidencePack) -> Pieces:
    """The portfolio as a whole and what each part adds to its risk."""
    whole = pack.of(PORTFOLIO.symbol)
    if not known(whole, "total_return", "volatility", "max_drawdown"):
        return
    went = "gained" if whole["total_return"].value >= 0 else "lost"
    yield (f"**The portfolio {went} {percent(abs(whole['total_return'].value))}**, rebalanced every day, with a volatility of "
           f"{shown(whole['volatility'])} a year and a drawdown of {shown(whole['max_drawdown'])} at worst. ")
    parts = [f"{symbol} with a weight of {shown(own['given_weight'])} carries {shown(own['risk_share'])} of its variance"
             for symbol in pack.weights if known(own := pack.of(symbol), "given_weight", "risk_share")]
    yield (f"{'; '.join(parts)}." if parts else "") + "\n\n"


def _stress(pack: EvidencePack) -> Pieces:
    names = ("stress_dotcom", "stress_crisis", "stress_covid", "stress_market")
    if any(known(pack.of(i.symbol), name) for i in pack.instruments for name in names):
        yield "**Stress.** What past crises did to it, and what its beta makes of a market fall:\n\n"
        yield from _table(pack, names, "Stress")


def _allocation(pack: EvidencePack) -> Pieces:
    """What the risk tolerance allows, spread by volatility."""
    equity, cap, rest = (pack.item(i) for i in ("limits:equity", "limits:position", "plan:rest"))
    weighted = [(i, pack.of(i.symbol)) for i in pack.instruments if known(pack.of(i.symbol), "weight")]
    if not (equity and cap and rest and weighted):
        return
    yield (f"**For a {pack.tolerance} risk tolerance** the house limits allow {shown(equity)} in equities and {shown(cap)} in a single "
           f"position. Spread by volatility, that gives ")
    shares = listed([f"{i.symbol} a weight of {shown(m['weight'])}" for i, m in weighted])
    yield f"{shares}; the other {shown(rest)} belongs in cash, bonds and broad funds.\n\n"


def _economy(pack: EvidencePack) -> Pieces:
    """The macro figures, each with its own date."""
    figures = [item for item in pack.items if item.id.startswith("macro:")]
    if not figures:
        return
    macro = {item.measure: item for item in figures}
    if {"gdp_growth", "unemployment"} <= macro.keys():
        growth, jobs = macro["gdp_growth"], macro["unemployment"]
        went = "grew" if growth.value >= 0 else "shrank"
        yield (f"The US economy {went} by {percent(abs(growth.value))} over the year to {growth.as_of}, when unemployment was at "
               f"{shown(jobs)}. ")
    if {"inflation", "bill_rate", "real_rate"} <= macro.keys():
        yield (f"Consumer prices showed an inflation of {shown(macro['inflation'])}, and the 3-month bill paid {shown(macro['bill_rate'])}: "
               f"a real short rate of {shown(macro['real_rate'])}.")
    yield "\n\n| US economy | Figure | As of |\n|---|---:|---:|\n"
    for item in figures:
        yield f"| {item.label} | {shown(item)} | {item.as_of} |\n"
    yield "\n"


def _sensitivity(pack: EvidencePack) -> Pieces:
    """How much of the economy's swings each symbol takes, as far as beta tells."""
    for instrument in pack.instruments[:COMPARED_UP_TO]:
        m = pack.of(instrument.symbol)
        if known(m, "beta", "stress_market"):
            yield (f"{called(instrument)} has a beta of {shown(m['beta'])}: if the market fell 20 %, that alone would mean "
                   f"{shown(m['stress_market'])} for {instrument.symbol}.\n\n")


VOICES: Mapping[str, tuple[Callable[[EvidencePack], Pieces], ...]] = {
    "general": (
        _comparison, _portfolio, _paragraphs(total_return, reward, deepest_fall),
        _rows(*SUMMARY), _economy,
    ),
    "analyst": (
        _comparison, _portfolio, _paragraphs(total_return, reward, deepest_fall, trend),
        _rows("total_return", "cagr", "volatility", "max_drawdown", "sharpe", "sortino", "beta", "alpha", "correlation",
              "momentum_12m"), _economy,
    ),
    "trader": (
        _paragraphs(trend, momentum, stop_and_size),
        _rows("close", "ema20", "sma50", "sma200", "bollinger_lower", "bollinger_upper", "rsi14", "macd", "momentum_1m", "momentum_3m",
              "volatility_1m", "atr14", "average_move14"), _portfolio,
    ),
    "advisor": (
        _portfolio, _allocation, _comparison, _paragraphs(total_return, bearing),
        _rows("weight", "total_return", "volatility", "max_drawdown", "sharpe"),
    ),
    "riskManager": (
        _comparison, _portfolio, _paragraphs(tail, deepest_fall, bearing),
        _rows("volatility", "volatility_1m", "max_drawdown", "drawdown_now", "beta", "var95_historical", "var99_historical",
              "cvar95_historical", "cvar99_historical", "var95_parametric", "worst_day"), _stress,
    ),
    "economist": (
        _economy, _sensitivity, _rows("total_return", "volatility", "beta", "correlation"),
    ),
}
