"""Measures of risk, return and trend: numpy only, no I/O.

Arrays are one-dimensional, oldest first. Returns and rates are fractions (0.01 is 1 %). A year has 252 trading days.
A measure the data cannot give is NaN, never zero; NaN among returns is left out; a moving measure is NaN until its
window is full and wherever its window holds a NaN. Definitions follow the sources named with each function.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
YEAR = 252
NOTHING = 1e-20  # a weight below the last digit of any price


# --- returns ---------------------------------------------------------------------------------------------------------

def simple_returns(prices: ArrayLike) -> Array:
    """p[t] / p[t-1] - 1; n prices give n-1 returns. NaN where the earlier price is not above zero: no base, no return."""
    p = np.asarray(prices, dtype=float)
    base = np.where(p[:-1] > 0, p[:-1], np.nan)
    return p[1:] / base - 1


def log_returns(prices: ArrayLike) -> Array:
    """ln(p[t] / p[t-1]); NaN where either price is not above zero."""
    p = np.asarray(prices, dtype=float)
    p = np.where(p > 0, p, np.nan)
    return np.diff(np.log(p))


def total_return(returns: ArrayLike) -> float:
    """prod(1 + r) - 1 over the whole period."""
    r = _finite(returns)
    return float(np.prod(1 + r) - 1) if len(r) else np.nan


def cagr(returns: ArrayLike) -> float:
    """prod(1 + r) ** (252 / n) - 1, a fraction a year. NaN when everything was lost twice over."""
    r = _finite(returns)
    growth = np.prod(1 + r)
    return float(growth ** (YEAR / len(r)) - 1) if len(r) and growth >= 0 else np.nan


# --- risk ------------------------------------------------------------------------------------------------------------

def volatility(returns: ArrayLike) -> float:
    """std(r, ddof=1) * sqrt(252), a fraction a year; NaN below two returns."""
    r = _finite(returns)
    return float(np.std(r, ddof=1) * np.sqrt(YEAR)) if len(r) > 1 else np.nan


class Drawdown(NamedTuple):
    """`depth` is zero or negative; the others are positions in the prices. `recovered` is None while below the peak."""

    depth: float
    peak: int
    trough: int
    recovered: int | None


def drawdowns(prices: ArrayLike) -> Array:
    """p[t] / max(p[0..t]) - 1: how far below its highest price so far; NaN until a price above zero."""
    p = np.asarray(prices, dtype=float)
    top = np.fmax.accumulate(p) if len(p) else p
    return p / np.where(top > 0, top, np.nan) - 1


def max_drawdown(prices: ArrayLike) -> Drawdown | None:
    """The deepest fall from a peak, min(p[t] / max(p[0..t]) - 1), with its peak, trough and recovery.

    None without a price above zero. The peak is the first day at that price, the trough the first at that depth.
    """
    p = np.asarray(prices, dtype=float)
    depths = drawdowns(p)
    if not np.isfinite(depths).any():
        return None
    trough = int(np.nanargmin(depths))
    peak = int(np.nanargmax(p[: trough + 1]))
    back = np.flatnonzero(p[trough:] >= p[peak])
    return Drawdown(float(depths[trough]), peak, trough, trough + int(back[0]) if len(back) else None)


def sharpe(returns: ArrayLike, risk_free: float = 0.0) -> float:
    """mean(r - rf) / std(r - rf, ddof=1) * sqrt(252), rf a day (Sharpe 1994). NaN when the returns do not vary."""
    r = _finite(returns) - risk_free
    if len(r) < 2 or _constant(r):
        return np.nan
    return float(np.mean(r) / np.std(r, ddof=1) * np.sqrt(YEAR))


def sortino(returns: ArrayLike, required: float = 0.0) -> float:
    """mean(r - req) * 252 / (sqrt(mean(min(r - req, 0)^2)) * sqrt(252)). NaN without a return below `required`."""
    r = _finite(returns) - required
    downside = np.sqrt(np.mean(np.minimum(r, 0) ** 2)) if len(r) > 1 else 0.0
    return float(np.mean(r) * YEAR / (downside * np.sqrt(YEAR))) if downside > 0 else np.nan


def beta(returns: ArrayLike, benchmark: ArrayLike) -> float:
    """cov(r, b) / var(b) over the days both have. NaN when the benchmark does not vary."""
    r, b = _paired(returns, benchmark)
    if len(r) < 2 or _constant(b):
        return np.nan
    residual = b - b.mean()
    return float(np.mean(residual * (r - r.mean())) / np.mean(residual**2))


def alpha(returns: ArrayLike, benchmark: ArrayLike, risk_free: float = 0.0) -> float:
    """Jensen's alpha a year: (1 + mean(r - rf - beta * (b - rf))) ** 252 - 1, rf a day."""
    r, b = _paired(returns, benchmark)
    slope = beta(r, b)
    if not np.isfinite(slope):
        return np.nan
    daily = np.mean(r - risk_free - slope * (b - risk_free))
    return float((1 + daily) ** YEAR - 1) if daily > -1 else np.nan


def correlation(returns: ArrayLike, other: ArrayLike) -> float:
    """Pearson's r over the days both have, -1 to 1. NaN when either does not vary."""
    a, b = _paired(returns, other)
    if len(a) < 2 or _constant(a) or _constant(b):
        return np.nan
    a, b = a - a.mean(), b - b.mean()
    return float(np.clip(np.sum(a * b) / np.sqrt(np.sum(a * a) * np.sum(b * b)), -1, 1))


def historical_var(returns: ArrayLike, level: float = 0.95) -> float:
    """The (1 - level) quantile of the returns, linear between neighbours: a day's return, negative for a loss."""
    r = _finite(returns)
    return float(np.quantile(r, _tail(level))) if len(r) else np.nan


def historical_cvar(returns: ArrayLike, level: float = 0.95) -> float:
    """The mean of the worst floor((n - 1)(1 - level)) + 1 returns: the average day beyond the VaR."""
    r = _finite(returns)
    if not len(r):
        return np.nan
    # int() of 0.05 * 60 and the like may fall just below the whole number; empyrical counts so, and so do we.
    count = int((len(r) - 1) * _tail(level)) + 1
    return float(np.mean(np.partition(r, count - 1)[:count]))


def parametric_var(returns: ArrayLike, level: float = 0.95) -> float:
    """mean + z * std(ddof=1) with z the normal (1 - level) quantile (RiskMetrics 1996)."""
    r = _finite(returns)
    return float(np.mean(r) + NormalDist().inv_cdf(_tail(level)) * np.std(r, ddof=1)) if len(r) > 1 else np.nan


def parametric_cvar(returns: ArrayLike, level: float = 0.95) -> float:
    """mean - std(ddof=1) * phi(z) / (1 - level): the normal mean beyond the VaR (McNeil, Frey, Embrechts 2015, 2.3.4)."""
    r, normal = _finite(returns), NormalDist()
    density = normal.pdf(normal.inv_cdf(_tail(level)))
    return float(np.mean(r) - np.std(r, ddof=1) * density / _tail(level)) if len(r) > 1 else np.nan


def rolling_volatility(returns: ArrayLike, window: int = 21) -> Array:
    """std(last `window` returns, ddof=1) * sqrt(252), one value a return."""
    r = np.asarray(returns, dtype=float)
    out = np.full(len(r), np.nan)
    if window < 2 or len(r) < window:
        return out
    count = len(r) - window + 1
    # Adding shifted views is exact for a flat stretch; running sums of squares are not.
    mean = sum(r[k : k + count] for k in range(window)) / window
    squares = sum((r[k : k + count] - mean) ** 2 for k in range(window))
    out[window - 1 :] = np.sqrt(squares / (window - 1) * YEAR)
    return out


# --- trend and momentum ----------------------------------------------------------------------------------------------

def sma(values: ArrayLike, window: int) -> Array:
    """Mean of the last `window` values."""
    v = np.asarray(values, dtype=float)
    out = np.full(len(v), np.nan)
    if window < 1 or len(v) < window:
        return out
    gaps = ~np.isfinite(v)
    # Sums run over distances from the middle, which keeps the rounding of 20,000 additions below 1e-12 of a price.
    middle = float(np.mean(v[~gaps])) if not gaps.all() else 0.0
    total = np.concatenate(([0.0], np.cumsum(np.where(gaps, 0.0, v - middle))))
    missing = np.concatenate(([0], np.cumsum(gaps)))
    out[window - 1 :] = (total[window:] - total[:-window]) / window + middle
    out[window - 1 :][missing[window:] > missing[:-window]] = np.nan
    return out


def ema(values: ArrayLike, window: int) -> Array:
    """e[t] = e[t-1] + 2 / (window + 1) * (v[t] - e[t-1]), begun at the first value; NaN for the first window - 1."""
    out = _smooth(values, 2 / (window + 1))
    out[: _first(out) + window - 1] = np.nan
    return out


def rsi(prices: ArrayLike, window: int = 14) -> Array:
    """Wilder's relative strength index, 0 to 100: 100 - 100 / (1 + average rise / average fall) (Wilder 1978).

    The first average is the plain mean of `window` changes, later ones are smoothed by 1 / window. 50 when nothing moved.
    """
    p = np.asarray(prices, dtype=float)
    change = np.diff(p)
    out = np.full(len(p), np.nan)
    rise, fall = _wilder(np.maximum(change, 0), window), _wilder(np.maximum(-change, 0), window)
    both = rise + fall
    with np.errstate(invalid="ignore", divide="ignore"):
        out[1:] = np.where(both == 0, 50.0, 100 * rise / both)
    return out


class Macd(NamedTuple):
    line: Array
    signal: Array
    histogram: Array


def macd(prices: ArrayLike, fast: int = 12, slow: int = 26, signal: int = 9) -> Macd:
    """line = EMA(fast) - EMA(slow); signal = EMA(line, signal); histogram = line - signal (Appel 2005). In price units."""
    line = ema(prices, fast) - ema(prices, slow)
    smoothed = ema(line, signal)
    return Macd(line, smoothed, line - smoothed)


class Bands(NamedTuple):
    lower: Array
    middle: Array
    upper: Array


def bollinger(prices: ArrayLike, window: int = 20, width: float = 2.0) -> Bands:
    """middle = SMA(window); lower, upper = middle -+ width * std(last window, ddof=0) (Bollinger 2001)."""
    p = np.asarray(prices, dtype=float)
    middle = sma(p, window)
    spread = np.full(len(p), np.nan)
    if len(p) >= window:
        spread[window - 1 :] = np.std(np.lib.stride_tricks.sliding_window_view(p, window), axis=1)
    return Bands(middle - width * spread, middle, middle + width * spread)


def true_range(high: ArrayLike, low: ArrayLike, close: ArrayLike) -> Array:
    """max(high - low, |high - close before|, |low - close before|); the first day has only high - low."""
    h, lo, c = (np.asarray(x, dtype=float) for x in (high, low, close))
    before = np.concatenate(([np.nan], c[:-1]))
    return np.fmax(h - lo, np.fmax(np.abs(h - before), np.abs(lo - before)))


def atr(high: ArrayLike, low: ArrayLike, close: ArrayLike, window: int = 14) -> Array:
    """Wilder's average of the true range, in price units; NaN, not zero, until `window` ranges are there."""
    return _wilder(true_range(high, low, close), window)


def average_move(prices: ArrayLike, window: int = 14) -> Array:
    """Wilder's average of |p[t] - p[t-1]|: what is left of the true range when only closes are known. It is smaller."""
    p = np.asarray(prices, dtype=float)
    return np.concatenate((np.full(min(1, len(p)), np.nan), _wilder(np.abs(np.diff(p)), window)))


def momentum(prices: ArrayLike, days: int) -> float:
    """p[-1] / p[-1-days] - 1 over the last `days` trading days."""
    p = np.asarray(prices, dtype=float)
    return float(p[-1] / p[-1 - days] - 1) if len(p) > days and p[-1 - days] > 0 else np.nan


def year_range(prices: ArrayLike) -> tuple[float, float]:
    """Lowest and highest of the last 252 values: the 52-week range."""
    p = _finite(prices)[-YEAR:]
    return (float(p.min()), float(p.max())) if len(p) else (np.nan, np.nan)


def position_size(capital: float, risk_fraction: float, entry: float, stop: float) -> float:
    """Units to hold so that a fall from entry to stop loses capital * risk_fraction, at most what capital can buy.

    capital * risk_fraction / |entry - stop|, in units of the instrument. NaN when entry and stop coincide.
    """
    distance = abs(entry - stop)
    if not distance > 0 or entry <= 0 or capital <= 0:
        return np.nan
    return float(min(capital * risk_fraction / distance, capital / entry))


# --- within ----------------------------------------------------------------------------------------------------------

def _finite(values: ArrayLike) -> Array:
    v = np.asarray(values, dtype=float)
    known = np.isfinite(v)
    return v if known.all() else v[known]


def _paired(a: ArrayLike, b: ArrayLike) -> tuple[Array, Array]:
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if x.shape != y.shape:
        raise ValueError(f"returns of {len(x)} and {len(y)} days cannot be paired")
    both = np.isfinite(x) & np.isfinite(y)
    return (x, y) if both.all() else (x[both], y[both])


def _constant(values: Array) -> bool:
    """Whether they vary by no more than rounding: a spread of 1e-15 is not risk."""
    return bool(np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())))


def _tail(level: float) -> float:
    """1 - level without its rounding: 1 - 0.95 is 0.050000000000000044."""
    return round(1 - level, 12)


def _first(values: Array) -> int:
    finite = np.flatnonzero(np.isfinite(values))
    return int(finite[0]) if len(finite) else len(values)


def _wilder(values: ArrayLike, window: int) -> Array:
    """Wilder's average: the mean of the first `window` values, then a[t] = a[t-1] + (v[t] - a[t-1]) / window."""
    v = np.asarray(values, dtype=float)
    out = np.full(len(v), np.nan)
    begin = _first(v)
    if len(v) - begin < window or window < 1:
        return out
    seed = np.mean(v[begin : begin + window])
    last = begin + window - 1
    out[last:] = _smooth(np.concatenate(([seed], v[last + 1 :])), 1 / window)
    return out


def _smooth(values: ArrayLike, weight: float) -> Array:
    """y[0] = v[0], y[t] = (1 - weight) y[t-1] + weight v[t], from the first finite value; NaN from a later gap on.

    Solved by doubling: after the step of s each y holds the last 2 s terms, until a term that old weighs nothing.
    """
    v = np.asarray(values, dtype=float)
    out = np.full(len(v), np.nan)
    begin = _first(v)
    gaps = np.flatnonzero(~np.isfinite(v[begin:]))
    x = v[begin : begin + int(gaps[0])] if len(gaps) else v[begin:]
    if not len(x):
        return out
    y = weight * x
    y[0] = x[0]
    step, fade = 1, 1 - weight
    while step < len(y) and fade > NOTHING:
        y[step:] = y[step:] + fade * y[:-step]
        step, fade = 2 * step, fade * fade
    out[begin : begin + len(x)] = y
    return out
