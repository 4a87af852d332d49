"""What each source's JSON means. Pure: parsed JSON in, cleaned bars or facts out, Malformed for anything unexpected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from services.market.bars import Bars, clean
from services.market.failures import Blocked, Malformed, NoData, SourceLimited

Read = tuple[Bars, list[str]]
PENCE = {"GBp": 0.01, "ZAc": 0.01, "ILA": 0.01}  # London, Johannesburg and Tel Aviv quote in hundredths


@dataclass(frozen=True)
class Fact:
    """One reported figure, as it stood when it was `filed`."""

    value: float
    unit: str
    ends: date
    filed: date
    form: str


def reading(reader: Callable[..., Read]) -> Callable[..., Read]:
    """Turn what goes wrong inside a foreign structure into Malformed, and no bars into NoData."""

    def read(document: Any, *, today: date, negative_allowed: bool = False) -> Read:
        try:
            bars, notes = reader(document, today=today, negative_allowed=negative_allowed)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError):
            raise Malformed("Its answer does not have the shape it promises.") from None
        if not len(bars):
            raise NoData("It has no prices for these dates.")
        return bars, notes

    return read


@reading
def yahoo_chart(document: Any, *, today: date, negative_allowed: bool) -> Read:
    """v8 chart: epoch seconds of each open, quote columns, and adjusted closes; a day's date is the exchange's own."""
    chart = document["chart"]
    if chart.get("error"):
        raise NoData("It has no such symbol.")
    result = chart["result"][0]
    seconds = result.get("timestamp") or []
    quote = result["indicators"]["quote"][0]
    unit = PENCE.get(result["meta"].get("currency"), 1.0)
    raw = _floats(quote.get("close") or [])
    adjusted = result["indicators"].get("adjclose")
    close = (_floats(adjusted[0]["adjclose"]) if adjusted else raw) * unit
    dates = (np.asarray(seconds, dtype=np.int64) + int(result["meta"].get("gmtoffset", 0))).astype("datetime64[s]")
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = close / raw
    columns = {n: _floats(quote[n]) * factor for n in ("open", "high", "low") if quote.get(n)}
    return clean(dates, close, today=today, negative_allowed=negative_allowed,
                 volume=_floats(quote["volume"]) if quote.get("volume") else None, **columns)


@reading
def twelve_data(document: Any, *, today: date, negative_allowed: bool) -> Read:
    """time_series with adjust=all; errors come with status 200 and a code inside."""
    if document.get("status") == "error":
        code = int(document.get("code", 0))
        if code == 429:
            raise SourceLimited("Its quota is used up for now.")
        if code in (401, 403):
            raise Blocked("It refused the key.")
        raise NoData("It has no such symbol or dates.")
    rows = document["values"]
    columns = {n: [_number(row.get(n)) for row in rows] for n in ("open", "high", "low", "volume")}
    return clean([row["datetime"][:10] for row in rows], [_number(row["close"]) for row in rows],
                 today=today, negative_allowed=negative_allowed, **columns)


@reading
def alpha_vantage(document: Any, *, today: date, negative_allowed: bool) -> Read:
    """TIME_SERIES_DAILY_ADJUSTED; a used-up quota and a missing right come as a sentence with status 200."""
    if "Error Message" in document:
        raise NoData("It has no such symbol.")
    said = str(document.get("Note") or document.get("Information") or "")
    if said:
        raise Blocked("Its adjusted prices need another plan.") if "premium" in said.lower() else SourceLimited(
            "Its quota is used up for now.")
    series = document["Time Series (Daily)"]
    raw = np.array([_number(row["4. close"]) for row in series.values()])
    close = np.array([_number(row["5. adjusted close"]) for row in series.values()])
    factor = close / np.where(raw != 0, raw, np.nan)
    columns = {
        name: np.array([_number(row[f"{place}. {name}"]) for row in series.values()]) * factor
        for place, name in ((1, "open"), (2, "high"), (3, "low"))
    }
    return clean(list(series), close, today=today, negative_allowed=negative_allowed, **columns)


@reading
def finnhub(document: Any, *, today: date, negative_allowed: bool) -> Read:
    """stock/candle: columns under one letter each, adjusted for splits only."""
    if document.get("error"):
        raise Blocked("It refused the request.")
    if document["s"] == "no_data":
        raise NoData("It has no prices for these dates.")
    names = {"open": "o", "high": "h", "low": "l", "volume": "v"}
    columns = {name: _floats(document[letter]) for name, letter in names.items() if document.get(letter)}
    dates = np.asarray(document["t"], dtype=np.int64).astype("datetime64[s]")
    return clean(dates, _floats(document["c"]), today=today, negative_allowed=negative_allowed, **columns)


def fred(document: Any) -> tuple[np.ndarray, np.ndarray]:
    """series/observations: dates and values, a dot for a missing one. In the series' own units."""
    try:
        rows = [row for row in document["observations"] if row["value"] != "."]
        dates = np.array([row["date"] for row in rows], dtype="datetime64[D]")
        values = np.array([float(row["value"]) for row in rows])
    except (KeyError, TypeError, ValueError):
        raise Malformed("Its answer does not have the shape it promises.") from None
    if not len(rows):
        raise NoData("It has no such series.")
    return dates, values


def sec_fact(document: Any, concepts: tuple[str, ...], known_on: date, *, annual: bool = True) -> Fact:
    """The latest figure of the first concept that has one, among those filed by `known_on`.

    What was filed later was not known then, even when it speaks of an earlier year; of two filings for one period the
    later restates the earlier.
    """
    try:
        taxonomy = document["facts"].get("us-gaap", {})
        for concept in concepts:
            for unit, rows in taxonomy.get(concept, {}).get("units", {}).items():
                known = [
                    Fact(float(r["val"]), unit, date.fromisoformat(r["end"]), date.fromisoformat(r["filed"]), r["form"])
                    for r in rows
                    if date.fromisoformat(r["filed"]) <= known_on and (not annual or r["form"].startswith(("10-K", "20-F")))
                    and (not annual or not r.get("start") or _whole_year(r["start"], r["end"]))
                ]
                if known:
                    return max(known, key=lambda fact: (fact.ends, fact.filed))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Malformed("Its answer does not have the shape it promises.") from None
    raise NoData("No such figure had been filed by then.")


def _whole_year(start: str, end: str) -> bool:
    return 350 <= (date.fromisoformat(end) - date.fromisoformat(start)).days <= 380


def _floats(values: list) -> np.ndarray:
    """Numbers, with NaN for null."""
    return np.array([np.nan if v is None else float(v) for v in values])


def _number(value: object) -> float:
    return np.nan if value in (None, "") else float(value)
