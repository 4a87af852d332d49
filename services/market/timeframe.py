"""The window a question looks at: from its own words, else from the timeframe that was chosen, else a year. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta

UNITS = {"d": 1, "day": 1, "w": 7, "week": 7, "m": 30, "mo": 30, "month": 30, "q": 91, "quarter": 91, "y": 365, "year": 365,
         "yr": 365}
NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "ten": 10, "twenty": 20, "a": 1}
FRAME = re.compile(r"(\d{1,3})\s*-?\s*(days?|weeks?|months?|quarters?|years?|yrs?|mo|[dwmqy])", re.IGNORECASE)
SPAN = re.compile(r"\b(?:from |between )?((?:19|20)\d\d)\s*(?:[-–—]|to|and|until|through)\s*((?:19|20)\d\d)\b", re.IGNORECASE)
SINCE = re.compile(r"\b(?:since|from|after) (?:the start of )?((?:19|20)\d\d)\b", re.IGNORECASE)
WITHIN = re.compile(r"\b(?:in|during|over|of|for|throughout|year)\s+((?:19|20)\d\d)\b", re.IGNORECASE)
LAST = re.compile(
    r"\b(?:last|past|previous|trailing)\s+(\d{1,3}|one|two|three|four|five|six|ten|twenty)?\s*-?\s*(days?|weeks?|months?|quarters?|years?)\b",
    re.IGNORECASE)


@dataclass(frozen=True)
class Window:
    """`start` and `end` are days, both included; None is as far as the data go."""

    start: date | None
    end: date | None

    def __str__(self) -> str:
        """As a sentence says it, by its dates: "the last year" of old data would be taken for the one before today."""
        if self.start is None:
            return f"until {self.end}"
        return f"since {self.start}" if self.end is None else f"from {self.start} to {self.end}"


def window(question: str, timeframe: str | None, last: date) -> Window:
    """The window, counted back from `last`, the newest day there is data for: never from today."""
    return _spoken(question, last) or _chosen(timeframe or "1y", last) or _back("1", "y", last)


def valid(timeframe: str) -> bool:
    """Whether a timeframe such as 5d, 6m, 1y, "3 years", ytd or max means anything here."""
    return _chosen(timeframe, date(2020, 6, 1)) is not None


def _chosen(timeframe: str, last: date) -> Window | None:
    text = timeframe.strip().lower()
    if text in ("max", "all", "full"):
        return Window(None, last)
    if text == "ytd":
        return Window(date(last.year, 1, 1), last)
    match = FRAME.fullmatch(text)
    return _back(match[1], match[2], last) if match and int(match[1]) else None


def _spoken(question: str, last: date) -> Window | None:
    if match := SPAN.search(question):
        first, second = sorted((int(match[1]), int(match[2])))
        return Window(date(first, 1, 1), date(second, 12, 31))
    if match := SINCE.search(question):
        return Window(date(int(match[1]), 1, 1), None)
    if match := WITHIN.search(question):
        return Window(date(int(match[1]), 1, 1), date(int(match[1]), 12, 31))
    if match := LAST.search(question):
        count = (match[1] or "1").lower()
        return _back(str(NUMBERS.get(count, count)), match[2], last)
    return None


def _back(count: str, unit: str, last: date) -> Window:
    """So many units back from the last day, by the calendar for months and years: the day after the same day then."""
    number, name = int(count), unit.lower().rstrip("s") if len(unit) > 1 else unit.lower()
    label_unit = {"d": "day", "w": "week", "m": "month", "mo": "month", "q": "quarter", "y": "year", "yr": "year"}.get(name, name)
    months = {"month": 1, "quarter": 3, "year": 12}.get(label_unit, 0) * number
    if months:
        total = last.year * 12 + last.month - 1 - months
        year, month = divmod(total, 12)
        before = None if year < 1900 else _clamped(year, month + 1, last.day)
    else:
        before = last - timedelta(days=number * UNITS[name])
    return Window(None if before is None else before + timedelta(days=1), last)


def _clamped(year: int, month: int, day: int) -> date:
    """The day, or the month's last where it has no such day."""
    following = date(year + month // 12, month % 12 + 1, 1)
    return min(date(year, month, min(day, 28)) + timedelta(days=max(0, day - 28)), following - timedelta(days=1))
