"""Portfolios: weights from a sentence, and what they would have done. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.market import indicators as ind
from services.market.bars import Bars
from services.market.instruments import Instrument
from services.market.symbols import Mention

SHARE = re.compile(r"(\d{1,3}(?:\.\d+)?)\s?(?:%|percent|per cent)", re.IGNORECASE)
MONEY = re.compile(
    r"(?:(?P<sign>[$€£])\s?|\b(?P<code>USD|EUR|GBP)\s?)(?P<a>\d[\d,]*(?:\.\d+)?)\s?(?P<m>k|thousand|m|million)?\b"
    r"|\b(?P<b>\d[\d,]*(?:\.\d+)?)\s?(?P<n>k|thousand|m|million)?\s?(?:dollars|euros|pounds|USD|EUR|GBP)\b", re.IGNORECASE)
TIMES = {"k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6}
HELD = re.compile(r"\b(?:portfolio|hold|holding|own|weights?|allocat\w+|invested|mix|split|blend)\b", re.IGNORECASE)
NEAR = 24  # characters between a share and the name it belongs to


@dataclass(frozen=True, eq=False)
class Blend:
    """A portfolio rebalanced to its weights every day: its level (1 at the start) on the days all its parts traded."""

    bars: Bars
    risk_shares: dict[str, float]


def weights(text: str, mentions: Sequence[Mention]) -> dict[Instrument, float]:
    """Weights as fractions from "40% KO, 60% MSFT" or "KO 40 %, MSFT 60 %"; empty unless every name has one.

    A share belongs to the nearest name after it, or in the other way of writing, before it; the closer reading counts.
    """
    shares = [(m.start(), m.end(), float(m[1]) / 100) for m in SHARE.finditer(text)]
    readings = [_paired(shares, mentions, shares_first) for shares_first in (True, False)]
    _, found = min(readings, key=lambda reading: (-len(reading[1]), reading[0]))
    whole = sum(found.values())
    if len(found) < 2 or len(found) < len({m.instrument for m in mentions}):
        return {}
    # "KO fell 10 % and MSFT 5 %" are no weights: they have to add up, or the text has to speak of holding.
    return found if 0.99 <= whole <= 1 + 1e-9 or (0 < whole < 1 and HELD.search(text)) else {}


def _paired(
    shares: Sequence[tuple[int, int, float]], mentions: Sequence[Mention], shares_first: bool
) -> tuple[int, dict[Instrument, float]]:
    """Each instrument's nearest share on one side of it, and how far apart they stand altogether."""
    nearest: dict[Instrument, tuple[int, float]] = {}
    for mention in mentions:
        for start, end, share in shares:
            gap = mention.start - end if shares_first else start - mention.end
            if 0 <= gap <= NEAR and (mention.instrument not in nearest or gap < nearest[mention.instrument][0]):
                nearest[mention.instrument] = (gap, share)
    return sum(gap for gap, _ in nearest.values()), {i: share for i, (_, share) in nearest.items()}


def capital(text: str) -> tuple[float, str] | None:
    """The first sum of money a text names and its currency: "$50,000", "20k euros"."""
    for match in MONEY.finditer(text):
        number, times = match["a"] or match["b"], (match["m"] or match["n"] or "").lower()
        value = float(number.replace(",", "")) * TIMES.get(times, 1)
        if value >= 100:
            words = match[0].upper()
            currency = "EUR" if "€" in words or "EUR" in words else "GBP" if "£" in words or "GBP" in words or "POUND" in words else "USD"
            return value, currency
    return None


def blend(parts: Sequence[tuple[str, Bars, float]]) -> Blend:
    """The portfolio of (symbol, bars, weight); what the weights leave over is cash that earns nothing."""
    dates = parts[0][1].dates
    for _, bars, _ in parts[1:]:
        dates = np.intersect1d(dates, bars.dates, assume_unique=True)
    closes = np.array([bars.close[np.searchsorted(bars.dates, dates)] for _, bars, _ in parts])
    share = np.array([weight for *_, weight in parts])
    returns = np.array([ind.simple_returns(row) for row in closes]).reshape(len(parts), -1)
    whole = share @ returns
    level = np.concatenate(([1.0], np.cumprod(1 + whole))) if len(dates) else np.zeros(0)
    return Blend(Bars(dates, level), _risk_shares([s for s, *_ in parts], share, returns, whole))


def _risk_shares(symbols: list[str], share: np.ndarray, returns: np.ndarray, whole: np.ndarray) -> dict[str, float]:
    """Each part's share of the variance, w_i cov(r_i, r_p) / var(r_p); they sum to 1."""
    if len(whole) < 2 or not np.var(whole) > 0:
        return {}
    centred = whole - whole.mean()
    shares = share * ((returns - returns.mean(axis=1, keepdims=True)) @ centred) / (centred @ centred)
    return dict(zip(symbols, shares.tolist(), strict=True))


def inverse_volatility(volatilities: dict[str, float], equity: float, cap: float) -> dict[str, float]:
    """Weights in proportion to 1 / volatility that add up to `equity`, none above `cap`; what a cap cuts off stays in cash."""
    usable = {s: v for s, v in volatilities.items() if v and v > 0}
    total = sum(1 / v for v in usable.values())
    return {s: min(cap, equity / v / total) for s, v in usable.items()}
