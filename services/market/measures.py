"""From a history to figures with their source, date and formula. Pure; the arithmetic is in indicators.py."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple

import numpy as np

from services.market import indicators as ind
from services.market.bars import Bars, History


@dataclass(frozen=True)
class Item:
    """One figure and where it comes from.

    `unit` is fraction (0.01 is 1 %), ratio, price, money, points (RSI, 0 to 100), units, index, or year. `value` is None
    with a `reason` where the data cannot give one. `begins` and `ends` are the days it speaks of.
    """

    id: str
    label: str
    value: float | None
    unit: str
    source: str
    formula: str
    as_of: date | None = None
    currency: str | None = None
    symbol: str | None = None
    begins: date | None = None
    ends: date | None = None
    reason: str | None = None

    @property
    def measure(self) -> str:
        """The id without the symbol before it."""
        return self.id.rpartition(":")[2]

    def as_dict(self) -> dict[str, object]:
        """The item for JSON; `from`, `to` and `reason` only where they say something."""
        item: dict[str, object] = {
            "id": self.id, "label": self.label, "value": self.value, "unit": self.unit, "currency": self.currency,
            "asOf": _iso(self.as_of), "source": self.source, "formula": self.formula, "symbol": self.symbol,
        }
        optional = {"from": _iso(self.begins), "to": _iso(self.ends), "reason": self.reason}
        return item | {key: value for key, value in optional.items() if value is not None}

    @staticmethod
    def from_dict(item: dict) -> Item:
        return Item(
            id=item["id"], label=item["label"], value=item["value"], unit=item["unit"], source=item["source"],
            formula=item["formula"], as_of=_day(item.get("asOf")), currency=item.get("currency"),
            symbol=item.get("symbol"), begins=_day(item.get("from")), ends=_day(item.get("to")), reason=item.get("reason"),
        )


class Spec(NamedTuple):
    label: str
    unit: str
    formula: str


# The measures of GET /api/market/<symbol>, in its order. r: daily returns of the window; b: the benchmark's.
SPECS: dict[str, Spec] = {
    "total_return": Spec("Total return", "fraction", "prod(1 + r) - 1"),
    "cagr": Spec("Annual growth (CAGR)", "fraction", "prod(1 + r) ** (252 / n) - 1"),
    "volatility": Spec("Volatility a year", "fraction", "std(r, ddof=1) * sqrt(252)"),
    "max_drawdown": Spec("Maximum drawdown", "fraction", "min(p[t] / max(p[0..t]) - 1)"),
    "sharpe": Spec("Sharpe ratio", "ratio", "mean(r) / std(r, ddof=1) * sqrt(252), risk-free rate 0"),
    "sortino": Spec("Sortino ratio", "ratio", "mean(r) * 252 / (sqrt(mean(min(r, 0)^2)) * sqrt(252))"),
    "beta": Spec("Beta", "ratio", "cov(r, b) / var(b)"),
    "alpha": Spec("Alpha a year", "fraction", "(1 + mean(r - beta * b)) ** 252 - 1, risk-free rate 0"),
    "correlation": Spec("Correlation", "ratio", "cov(r, b) / (std(r) * std(b))"),
    "var95_historical": Spec("One-day VaR, 95 %", "fraction", "5 % quantile of r, linear"),
    "var99_historical": Spec("One-day VaR, 99 %", "fraction", "1 % quantile of r, linear"),
    "cvar95_historical": Spec("One-day CVaR, 95 %", "fraction", "mean of the worst floor(0.05 (n - 1)) + 1 of r"),
    "var95_parametric": Spec("One-day VaR, 95 %, normal", "fraction", "mean(r) - 1.645 * std(r, ddof=1)"),
    "rsi14": Spec("RSI, 14 days", "points", "100 - 100 / (1 + average rise / average fall), Wilder"),
    "macd": Spec("MACD (12, 26)", "price", "EMA12(p) - EMA26(p)"),
    "sma50": Spec("50-day average", "price", "mean of the last 50 closes"),
    "sma200": Spec("200-day average", "price", "mean of the last 200 closes"),
    "atr14": Spec("Average true range, 14 days", "price", "Wilder average of max(h - l, |h - c'|, |l - c'|)"),
}
# What evidence and reports add to them.
MORE: dict[str, Spec] = {
    "close": Spec("Last close", "price", "last adjusted close of the window"),
    "above_sma200": Spec("Distance from the 200-day average", "fraction", "p[-1] / mean of the last 200 closes - 1"),
    "change_1d": Spec("Last day", "fraction", "p[-1] / p[-2] - 1"),
    "momentum_1m": Spec("Momentum, 21 days", "fraction", "p[-1] / p[-22] - 1"),
    "momentum_3m": Spec("Momentum, 63 days", "fraction", "p[-1] / p[-64] - 1"),
    "momentum_12m": Spec("Momentum, 252 days", "fraction", "p[-1] / p[-253] - 1"),
    "low_52w": Spec("52-week low", "price", "min of the last 252 closes"),
    "high_52w": Spec("52-week high", "price", "max of the last 252 closes"),
    "macd_signal": Spec("MACD signal (9)", "price", "EMA9(MACD)"),
    "bollinger_lower": Spec("Lower Bollinger band", "price", "SMA20 - 2 * std(last 20, ddof=0)"),
    "bollinger_upper": Spec("Upper Bollinger band", "price", "SMA20 + 2 * std(last 20, ddof=0)"),
    "ema20": Spec("20-day exponential average", "price", "e + 2 / 21 * (p - e)"),
    "volatility_1m": Spec("Volatility, last 21 days", "fraction", "std(last 21 of r, ddof=1) * sqrt(252)"),
    "average_move14": Spec("Average daily move, 14 days", "price", "Wilder average of |p[t] - p[t-1]|"),
    "drawdown_now": Spec("Below the window's peak", "fraction", "p[-1] / max(p) - 1"),
    "worst_day": Spec("Worst day", "fraction", "min(r)"),
    "best_day": Spec("Best day", "fraction", "max(r)"),
    "cvar99_historical": Spec("One-day CVaR, 99 %", "fraction", "mean of the worst floor(0.01 (n - 1)) + 1 of r"),
    "cvar95_parametric": Spec("One-day CVaR, 95 %, normal", "fraction", "mean(r) - std(r, ddof=1) * phi(1.645) / 0.05"),
    "var99_parametric": Spec("One-day VaR, 99 %, normal", "fraction", "mean(r) - 2.326 * std(r, ddof=1)"),
}
RECENT = 1500  # closes: a price before them weighs less than 1e-40 in any average whose last value is asked for
AGAINST_BENCHMARK = ("beta", "alpha", "correlation")
NEEDS = {"sma50": 50, "sma200": 200, "above_sma200": 200, "rsi14": 15, "macd": 26, "macd_signal": 34, "ema20": 20, "momentum_1m": 22,
         "momentum_3m": 64, "momentum_12m": 253, "bollinger_lower": 20, "bollinger_upper": 20, "average_move14": 15}


def measure(history: History, benchmark: History | None = None, *, more: bool = False) -> list[Item]:
    """The measures of a window as items, in the order of SPECS; with `more`, those of MORE behind them.

    Returns run from the close before the window, averages and momentum look back past its start.
    """
    bars, based = history.bars, history.based
    returns = ind.simple_returns(based.close)
    figures = _of_returns(returns) | _of_prices(bars, history, more)
    figures |= _against(based, benchmark.based if benchmark else None)
    if more:
        figures |= _more_of_returns(returns)
    fall = ind.max_drawdown(based.close)
    figures["max_drawdown"] = fall.depth if fall and len(based) > 1 else math.nan
    spans = {"max_drawdown": (based.dates[fall.peak].item(), based.dates[fall.trough].item())} if fall else {}
    specs = SPECS | MORE if more else SPECS
    common = _common(history)
    return [
        _item(name, spec, figures[name], common, spans.get(name), lambda name=name: _why_not(name, history, benchmark))
        for name, spec in specs.items()
    ]


def _of_returns(r: np.ndarray) -> dict[str, float]:
    return {
        "total_return": ind.total_return(r), "cagr": ind.cagr(r), "volatility": ind.volatility(r),
        "sharpe": ind.sharpe(r), "sortino": ind.sortino(r), "var95_historical": ind.historical_var(r, 0.95),
        "var99_historical": ind.historical_var(r, 0.99), "cvar95_historical": ind.historical_cvar(r, 0.95),
        "var95_parametric": ind.parametric_var(r, 0.95),
    }


def _more_of_returns(r: np.ndarray) -> dict[str, float]:
    finite = r[np.isfinite(r)]
    return {
        "cvar99_historical": ind.historical_cvar(r, 0.99), "cvar95_parametric": ind.parametric_cvar(r, 0.95),
        "var99_parametric": ind.parametric_var(r, 0.99),
        "worst_day": float(finite.min()) if len(finite) else math.nan,
        "best_day": float(finite.max()) if len(finite) else math.nan,
    }


def _of_prices(bars: Bars, history: History, more: bool) -> dict[str, float]:
    bars = bars.slice(max(0, len(bars) - RECENT), len(bars))
    p = bars.close
    line = ind.macd(p)
    figures = {
        "rsi14": _last(ind.rsi(p)), "macd": _last(line.line), "sma50": _last(ind.sma(p, 50)), "sma200": _last(ind.sma(p, 200)),
        "atr14": _last(ind.atr(bars.high, bars.low, p)) if _recent_range(bars) else math.nan,
    }
    if not more:
        return figures
    low, high = ind.year_range(p)
    bands = ind.bollinger(p[-60:])
    return figures | {
        "close": _last(p), "above_sma200": _last(p) / figures["sma200"] - 1, "change_1d": ind.momentum(p, 1), "momentum_1m": ind.momentum(p, 21),
        "momentum_3m": ind.momentum(p, 63), "momentum_12m": ind.momentum(p, 252), "low_52w": low, "high_52w": high,
        "macd_signal": _last(line.signal), "bollinger_lower": _last(bands.lower), "bollinger_upper": _last(bands.upper),
        "ema20": _last(ind.ema(p, 20)), "volatility_1m": ind.volatility(ind.simple_returns(p[-22:])),
        "average_move14": _last(ind.average_move(p)), "drawdown_now": _last(ind.drawdowns(history.based.close)),
    }


def _against(based: Bars, benchmark: Bars | None) -> dict[str, float]:
    """Beta, alpha and correlation over the days both traded; a return spans the days between two common closes."""
    if benchmark is None:
        return dict.fromkeys(AGAINST_BENCHMARK, math.nan)
    r, b = paired_returns(based, benchmark)
    return {"beta": ind.beta(r, b), "alpha": ind.alpha(r, b), "correlation": ind.correlation(r, b)}


def paired_returns(one: Bars, other: Bars) -> tuple[np.ndarray, np.ndarray]:
    """The returns of two instruments over the days on which both have a close."""
    if np.array_equal(one.dates, other.dates):
        return ind.simple_returns(one.close), ind.simple_returns(other.close)
    _, at_one, at_other = np.intersect1d(one.dates, other.dates, assume_unique=True, return_indices=True)
    return ind.simple_returns(one.close[at_one]), ind.simple_returns(other.close[at_other])


def _recent_range(bars: Bars) -> bool:
    """Highs and lows for the last 100 days, after which Wilder's average has forgotten what was before."""
    return len(bars) > 0 and bars.slice(max(0, len(bars) - 100), len(bars)).has_range()


def _why_not(name: str, history: History, benchmark: History | None) -> str:
    if name == "atr14" and not _recent_range(history.bars):
        return f"No daily highs and lows for this window in the {history.source.title}."
    if name in AGAINST_BENCHMARK:
        return "No benchmark." if benchmark is None else "Too few days in common with the benchmark, or it did not move."
    if name in NEEDS and len(history.bars) < NEEDS[name]:
        return f"Needs {NEEDS[name]} closes; there are {len(history.bars)}."
    if len(history.based) < 3:
        return "Needs at least two daily returns."
    return "Not defined for these prices: they do not vary, or are not above zero."


def _common(history: History) -> Item:
    """What all items of a history share; each is this one with its own name and value."""
    window = history.window
    return Item("", "", None, "", source_text(history), "", as_of=window.last, currency=history.instrument.money,
                symbol=history.instrument.symbol, begins=window.first, ends=window.last)


def _item(
    name: str, spec: Spec, value: float, common: Item, span: tuple[date, date] | None, why_not: Callable[[], str]
) -> Item:
    known = math.isfinite(value)
    begins, ends = span or (common.begins, common.ends)
    return replace(
        common, id=name, label=spec.label, value=value if known else None, unit=spec.unit, formula=spec.formula,
        currency=common.currency if spec.unit == "price" else None, begins=begins, ends=ends,
        reason=None if known else why_not(),
    )


def source_text(history: History) -> str:
    """The source as a person reads it; of the embedded set with the last day it has."""
    ends = f", data end {history.data_end or history.bars.last}" if history.source.name == "embedded" else ""
    return history.source.title + ends


def _last(values: np.ndarray) -> float:
    return float(values[-1]) if len(values) else math.nan


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
