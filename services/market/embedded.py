"""The data that ships with the project: real prices and US macro series, good without a network, and dated.

Built by scripts/build_market_data.py; data/PROVENANCE.md says from what, under which licences.
"""

from __future__ import annotations

from datetime import date
from functools import cache
from pathlib import Path

import numpy as np

from services.market.bars import Bars, SourceNote
from services.market.failures import NoData

DATA = Path(__file__).parent / "data"
ENDS = date(2022, 12, 28)  # of the shares and the S&P 500; highs and lows, and the Nasdaq, end on 2018-12-31
NOTE = SourceNote(
    "embedded", "embedded set (skfolio, arch)", "splits and dividends",
    caution="The embedded prices are a fixed sample for testing and examples, not a live feed.",
)


def symbols() -> tuple[str, ...]:
    """Every symbol the embedded set has prices for."""
    return tuple(dict.fromkeys((*_closes(), *_ranges())))


def prices(symbol: str) -> Bars:
    """All embedded bars of a symbol; open, high, low and volume are NaN where only the close is known. NoData without any."""
    closes, ranges = _closes().get(symbol), _ranges().get(symbol)
    if closes is None and ranges is None:
        raise NoData("The embedded set has no prices for it.")
    if closes is None or ranges is None:
        return closes or ranges
    return _joined(closes, ranges)


def macro(series: str) -> tuple[np.ndarray, np.ndarray]:
    """Dates and values of a macro series by its FRED id, in FRED's units. NoData for another."""
    stored = _macro()
    if series not in stored:
        raise NoData("The embedded set has no such series.")
    return stored[series]


@cache
def _closes() -> dict[str, Bars]:
    with np.load(DATA / "prices.npz", allow_pickle=False) as stored:
        dates = stored["days"].astype("datetime64[D]")
        table = stored["thousandths"] / 1000
        return {str(symbol): Bars(dates, row) for symbol, row in zip(stored["symbols"], table, strict=True)}


@cache
def _ranges() -> dict[str, Bars]:
    with np.load(DATA / "ohlc.npz", allow_pickle=False) as stored:
        names = [key.removesuffix(".days") for key in stored.files if key.endswith(".days")]
        found = {}
        for symbol in names:
            opened, high, low, close = stored[f"{symbol}.ohlc"]
            found[symbol] = Bars(
                stored[f"{symbol}.days"].astype("datetime64[D]"), close, opened, high, low,
                stored[f"{symbol}.volume"].astype(float),
            )
        return found


@cache
def _macro() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    with np.load(DATA / "macro.npz", allow_pickle=False) as stored:
        names = [key.removesuffix(".days") for key in stored.files if key.endswith(".days")]
        return {n: (stored[f"{n}.days"].astype("datetime64[D]"), stored[f"{n}.values"]) for n in names}


def _joined(closes: Bars, ranges: Bars) -> Bars:
    """The closes, with highs and lows on the days that have them."""
    place = np.searchsorted(closes.dates, ranges.dates)
    inside = place < len(closes)
    inside[inside] &= closes.dates[place[inside]] == ranges.dates[inside]
    columns = {}
    for name in ("open", "high", "low", "volume"):
        columns[name] = np.full(len(closes), np.nan)
        columns[name][place[inside]] = getattr(ranges, name)[inside]
    return Bars(closes.dates, closes.close, **columns)
