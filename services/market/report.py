"""The offline desk: a short, honest report from computed figures alone, in the voice of the chosen assistant. Pure.

Every figure comes from the evidence and is written by wording.shown, so that the checker finds each one again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from services.market.evidence import PORTFOLIO, EvidencePack, listed, open_questions
from services.market.instruments import Instrument
from services.market.measures import Item
from services.market.wording import percent, shown

Pieces = Iterator[str]
Measured = Mapping[str, Item]
ASSISTANTS = ("general", "analyst", "trader", "advisor", "riskManager", "economist")
COMPARED_UP_TO = 4  # symbols that are spoken of one by one; beyond, the table speaks


def write_report(question: str, assistant: str, context: Mapping[str, Any], pack: EvidencePack) -> Pieces | None:
    """The report in pieces of Markdown; None when the pack holds neither figures nor an open question nor a note."""
    if not pack.items and not pack.notes and not open_questions(pack):
        return None
    return _written(assistant, pack)


def _written(assistant: str, pack: EvidencePack) -> Pieces:
    open_ = open_questions(pack)
    if not pack.items:
        yield _paragraph([*open_, *pack.notes, "No figures could be computed, and no model is configured to answer without them."])
        return
    yield f"*{_origin(pack)}*\n\n"
    if open_:
        yield _paragraph(open_)
    for section in VOICES.get(assistant, VOICES["general"]):
        yield from section(pack)
    yield from _closing(pack)


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


def _known(items: Measured, *names: str) -> bool:
    return all(name in items and items[name].value is not None for name in names)


def _called(instrument: Instrument) -> str:
    return instrument.name if instrument.name == instrument.symbol else f"{instrument.name} ({instrument.symbol})"


# --- sentences -------------------------------------------------------------------------------------------------------

def _return(instrument: Instrument, m: Measured, pack: EvidencePack) -> list[str]:
    if not _known(m, "total_return"):
        return [f"{_called(instrument)} has too few prices in {pack.window} for a return."]
    total = m["total_return"]
    went = "gained" if total.value >= 0 else "lost"
    first = f"{_called(instrument)} {went} {percent(abs(total.value))} over {pack.window}"
    if pack.window.startswith(tuple("12")) or pack.window.startswith("since"):
        first = f"{_called(instrument)} {went} {percent(abs(total.value))} in the window ({pack.window})"
    growth = f", which is {shown(m['cagr'])} a year" if _known(m, "cagr") and abs((total.ends - total.begins).days - 365) > 40 else ""
    return [first + growth + (f", with a volatility of {shown(m['volatility'])} a year." if _known(m, "volatility") else ".")]


def _quality(instrument: Instrument, m: Measured, pack: EvidencePack) -> list[str]:
    said = []
    if _known(m, "sharpe"):
        word = "paid" if m["sharpe"].value > 0 else "did not pay"
        said.append(f"The risk {word}: the Sharpe ratio is {shown(m['sharpe'])} with a risk-free rate of 0.")
    if _known(m, "beta", "correlation"):
        said.append(f"Against the S&P 500 its beta is {shown(m['beta'])} and its correlation {shown(m['correlation'])}.")
    return said


def _fall(instrument: Instrument, m: Measured, pack: EvidencePack) -> list[str]:
    fall = m.get("max_drawdown")
    if not fall or not fall.value:
        return []
    return [f"Its deepest fall in the window was a drawdown of {shown(fall)}, from {fall.begins} to {fall.ends}."]


def _trend(instrument: Instrument, m: Measured, pack: EvidencePack) -> list[str]:
    if not _known(m, "close", "sma50", "sma200"):
        return []
    close, fast, slow = m["close"], m["sma50"], m["sma200"]
    where = {2: "above both", 0: "below both"}.get((close.value > fast.value) + (close.value > slow.value), "between")
    tone = {"above both": "the trend is up", "below both": "the trend is down"}.get(where, "the trend is undecided")
    return [f"At a last close of {shown(close)}, {_called(instrument)} stands {where} its 50-day average of {shown(fast)} and its 200-day average "
            f"of {shown(slow)}: {tone}."]


def _momentum(instrument: Instrument, m: Measured, pack: EvidencePack) -> list[str]:
    said = []
    if _known(m, "rsi14"):
        value = m["rsi14"].value
        state = "overbought by the usual reading" if value >= 70 else "oversold by the usual reading" if value <= 30 else "in the neutral zone"
        said.append(f"The RSI is {shown(m['rsi14'])}, {state}.")
    if _known(m, "macd", "macd_signal"):
        side = "above" if m["macd"].value > m["macd_signal"].value else "below"
        said.append(f"The MACD is {shown(m['macd'])}, {side} its signal of {shown(m['macd_signal'])}.")
    if _known(m, "low_52w", "high_52w"):
        said.append(f"The 52-week range runs from {shown(m['low_52w'])} to {shown(m['high_52w'])}.")
    return said


def _stop(instrument: Instrument, m: Measured, pack: EvidencePack) -> list[str]:
    if not _known(m, "stop", "stop_distance"):
        return []
    basis = "average true ranges" if _known(m, "atr14") else "average daily moves (the data have no highs and lows)"
    said = [f"A stop two {basis} below the close lies at {shown(m['stop'])}, which is {percent(abs(m['stop_distance'].value))} away."]
    capital, risk = pack.item("plan:capital"), pack.item("limits:risk_per_trade")
    if _known(m, "size", "size_value", "risk_at_stop") and capital and risk:
        word = "an example capital" if capital.source.startswith("assumed") else "your capital"
        said.append(
            f"With {word} of {shown(capital)} and {shown(risk)} of it at risk ({pack.tolerance}), the size is {shown(m['size'])} units, "
            f"worth {shown(m['size_value'])}, and the stop would cost {shown(m['risk_at_stop'])}.")
    return said


def _tail(instrument: Instrument, m: Measured, pack: EvidencePack) -> list[str]:
    if not _known(m, "var95_historical", "cvar95_historical"):
        return []
    said = [f"On {_called(instrument)} the worst 5 % of days began at a VaR of {shown(m['var95_historical'])}, and on those days the mean "
            f"was a CVaR of {shown(m['cvar95_historical'])}."]
    if _known(m, "var99_historical", "worst_day"):
        said.append(f"The 99 % VaR is {shown(m['var99_historical'])}, and the worst day was {shown(m['worst_day'])}.")
    return said


def _bearing(instrument: Instrument, m: Measured, pack: EvidencePack) -> list[str]:
    """The drawdown beside what the risk tolerance bears."""
    limit, fall = pack.item("limits:drawdown"), m.get("max_drawdown")
    if not limit or not fall or fall.value is None:
        return []
    verdict = "deeper than" if -fall.value > limit.value else "within"
    return [f"Its drawdown of {shown(fall)} is {verdict} the drawdown limit of {shown(limit)} for a {pack.tolerance} risk tolerance."]


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
    ranked = [(i, m) for i, m in ranked if _known(m, "volatility", "total_return")]
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
    if not _known(whole, "total_return", "volatility", "max_drawdown"):
        return
    went = "gained" if whole["total_return"].value >= 0 else "lost"
    yield (f"**The portfolio {went} {percent(abs(whole['total_return'].value))}**, rebalanced every day, with a volatility of "
           f"{shown(whole['volatility'])} a year and a drawdown of {shown(whole['max_drawdown'])} at worst. ")
    parts = [f"{symbol} with a weight of {shown(own['given_weight'])} carries {shown(own['risk_share'])} of its variance"
             for symbol in pack.weights if _known(own := pack.of(symbol), "given_weight", "risk_share")]
    yield (f"{'; '.join(parts)}." if parts else "") + "\n\n"


def _stress(pack: EvidencePack) -> Pieces:
    names = ("stress_dotcom", "stress_crisis", "stress_covid", "stress_market")
    if any(_known(pack.of(i.symbol), name) for i in pack.instruments for name in names):
        yield "**Stress.** What past crises did to it, and what its beta makes of a market fall:\n\n"
        yield from _table(pack, names, "Stress")


def _allocation(pack: EvidencePack) -> Pieces:
    """What the risk tolerance allows, spread by volatility."""
    equity, cap, rest = (pack.item(i) for i in ("limits:equity", "limits:position", "plan:rest"))
    weighted = [(i, pack.of(i.symbol)) for i in pack.instruments if _known(pack.of(i.symbol), "weight")]
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
    known = {item.measure: item for item in figures}
    if {"gdp_growth", "unemployment"} <= known.keys():
        growth, jobs = known["gdp_growth"], known["unemployment"]
        went = "grew" if growth.value >= 0 else "shrank"
        yield (f"The US economy {went} by {percent(abs(growth.value))} over the year to {growth.as_of}, when unemployment was at "
               f"{shown(jobs)}. ")
    if {"inflation", "bill_rate", "real_rate"} <= known.keys():
        yield (f"Consumer prices showed an inflation of {shown(known['inflation'])}, and the 3-month bill paid {shown(known['bill_rate'])}: "
               f"a real short rate of {shown(known['real_rate'])}.")
    yield "\n\n| US economy | Figure | As of |\n|---|---:|---:|\n"
    for item in figures:
        yield f"| {item.label} | {shown(item)} | {item.as_of} |\n"
    yield "\n"


def _sensitivity(pack: EvidencePack) -> Pieces:
    """How much of the economy's swings each symbol takes, as far as beta tells."""
    for instrument in pack.instruments[:COMPARED_UP_TO]:
        m = pack.of(instrument.symbol)
        if _known(m, "beta", "stress_market"):
            yield (f"{_called(instrument)} has a beta of {shown(m['beta'])}: if the market fell 20 %, that alone would mean "
                   f"{shown(m['stress_market'])} for {instrument.symbol}.\n\n")


VOICES: Mapping[str, tuple[Callable[[EvidencePack], Pieces], ...]] = {
    "general": (
        _comparison, _portfolio, _paragraphs(_return, _quality, _fall),
        _rows("total_return", "volatility", "max_drawdown", "sharpe", "beta", "var95_historical"), _economy,
    ),
    "analyst": (
        _comparison, _portfolio, _paragraphs(_return, _quality, _fall, _trend),
        _rows("total_return", "cagr", "volatility", "max_drawdown", "sharpe", "sortino", "beta", "alpha", "correlation",
              "momentum_12m"), _economy,
    ),
    "trader": (
        _paragraphs(_trend, _momentum, _stop),
        _rows("close", "ema20", "sma50", "sma200", "bollinger_lower", "bollinger_upper", "rsi14", "macd", "momentum_1m", "momentum_3m",
              "volatility_1m", "atr14", "average_move14"), _portfolio,
    ),
    "advisor": (
        _portfolio, _allocation, _comparison, _paragraphs(_return, _bearing),
        _rows("weight", "total_return", "volatility", "max_drawdown", "sharpe"),
    ),
    "riskManager": (
        _comparison, _portfolio, _paragraphs(_tail, _fall, _bearing),
        _rows("volatility", "volatility_1m", "max_drawdown", "drawdown_now", "beta", "var95_historical", "var99_historical",
              "cvar95_historical", "cvar99_historical", "var95_parametric", "worst_day"), _stress,
    ),
    "economist": (
        _economy, _sensitivity, _rows("total_return", "volatility", "beta", "correlation"),
    ),
}
