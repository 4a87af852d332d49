"""Sentences about one symbol, from its measured items alone; none where the figures for one are missing. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from services.market.evidence import EvidencePack
from services.market.instruments import Instrument
from services.market.measures import Item
from services.market.wording import percent, shown

Measured = Mapping[str, Item]


def known(items: Measured, *names: str) -> bool:
    return all(name in items and items[name].value is not None for name in names)


def called(instrument: Instrument) -> str:
    return instrument.name if instrument.name == instrument.symbol else f"{instrument.name} ({instrument.symbol})"


def total_return(instrument: Instrument, m: Measured, pack: EvidencePack) -> list[str]:
    """What it gained or lost, and how rough the way was."""
    if not known(m, "total_return"):
        return [f"{called(instrument)} has too few prices from {pack.begins} to {pack.ends} for a return."]
    total = m["total_return"]
    went = "gained" if total.value >= 0 else "lost"
    first = f"{called(instrument)} {went} {percent(abs(total.value))} from {total.begins} to {total.ends}"
    growth = f", which is {shown(m['cagr'])} a year" if known(m, "cagr") and abs((total.ends - total.begins).days - 365) > 40 else ""
    return [first + growth + (f", with a volatility of {shown(m['volatility'])} a year." if known(m, "volatility") else ".")]


def reward(instrument: Instrument, m: Measured, pack: EvidencePack) -> list[str]:
    """Whether the risk paid, and how it moves with the market."""
    said = []
    if known(m, "sharpe"):
        word = "paid" if m["sharpe"].value > 0 else "did not pay"
        said.append(f"The risk {word}: the Sharpe ratio is {shown(m['sharpe'])} with a risk-free rate of 0.")
    if known(m, "beta", "correlation"):
        said.append(f"Against the S&P 500 its beta is {shown(m['beta'])} and its correlation {shown(m['correlation'])}.")
    return said


def deepest_fall(instrument: Instrument, m: Measured, pack: EvidencePack) -> list[str]:
    """The maximum drawdown with its days."""
    fall = m.get("max_drawdown")
    if not fall or not fall.value:
        return []
    return [f"Its deepest fall in the window was a drawdown of {shown(fall)}, from {fall.begins} to {fall.ends}."]


def trend(instrument: Instrument, m: Measured, pack: EvidencePack) -> list[str]:
    """Where the close stands to its averages."""
    if not known(m, "close", "sma50", "sma200"):
        return []
    close, fast, slow = m["close"], m["sma50"], m["sma200"]
    where = {2: "above both", 0: "below both"}.get((close.value > fast.value) + (close.value > slow.value), "between")
    tone = {"above both": "the trend is up", "below both": "the trend is down"}.get(where, "the trend is undecided")
    return [f"At a last close of {shown(close)} on {close.as_of}, {called(instrument)} stands {where} its 50-day average of {shown(fast)} and its 200-day average "
            f"of {shown(slow)}: {tone}."]


def momentum(instrument: Instrument, m: Measured, pack: EvidencePack) -> list[str]:
    """RSI, MACD and the 52-week range."""
    said = []
    if known(m, "rsi14"):
        value = m["rsi14"].value
        state = "overbought by the usual reading" if value >= 70 else "oversold by the usual reading" if value <= 30 else "in the neutral zone"
        said.append(f"The RSI is {shown(m['rsi14'])}, {state}.")
    if known(m, "macd", "macd_signal"):
        side = "above" if m["macd"].value > m["macd_signal"].value else "below"
        said.append(f"The MACD is {shown(m['macd'])}, {side} its signal of {shown(m['macd_signal'])}.")
    if known(m, "low_52w", "high_52w"):
        said.append(f"The 52-week range runs from {shown(m['low_52w'])} to {shown(m['high_52w'])}.")
    return said


def stop_and_size(instrument: Instrument, m: Measured, pack: EvidencePack) -> list[str]:
    """A stop by the average range, and the size at which it costs what the tolerance allows."""
    if not known(m, "stop", "stop_distance"):
        return []
    basis = "average true ranges" if known(m, "atr14") else "average daily moves (the data have no highs and lows)"
    said = [f"A stop two {basis} below the close lies at {shown(m['stop'])}, which is {percent(abs(m['stop_distance'].value))} away."]
    capital, risk = pack.item("plan:capital"), pack.item("limits:risk_per_trade")
    if known(m, "size", "size_value", "risk_at_stop") and capital and risk:
        word = "an example capital" if capital.source.startswith("assumed") else "your capital"
        said.append(
            f"With {word} of {shown(capital)} and {shown(risk)} of it at risk ({pack.tolerance}), the size is {shown(m['size'])} units, "
            f"worth {shown(m['size_value'])}, and the stop would cost {shown(m['risk_at_stop'])}.")
    return said


def tail(instrument: Instrument, m: Measured, pack: EvidencePack) -> list[str]:
    """The bad days: VaR, CVaR, the worst."""
    if not known(m, "var95_historical", "cvar95_historical"):
        return []
    said = [f"On {called(instrument)} the worst 5 % of days began at a VaR of {shown(m['var95_historical'])}, and on those days the mean "
            f"was a CVaR of {shown(m['cvar95_historical'])}."]
    if known(m, "var99_historical", "worst_day"):
        said.append(f"The 99 % VaR is {shown(m['var99_historical'])}, and the worst day was {shown(m['worst_day'])}.")
    return said


def bearing(instrument: Instrument, m: Measured, pack: EvidencePack) -> list[str]:
    """The drawdown beside what the risk tolerance bears."""
    limit, fall = pack.item("limits:drawdown"), m.get("max_drawdown")
    if not limit or not fall or fall.value is None:
        return []
    verdict = "deeper than" if -fall.value > limit.value else "within"
    return [f"Its drawdown of {shown(fall)} is {verdict} the drawdown limit of {shown(limit)} for a {pack.tolerance} risk tolerance."]
