"""The window a question looks at: from its own words, else from the timeframe that was chosen, else a year. Pure."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, timedelta

# The words are matched without case and accents, in the languages that the workflows are detected in: en, de, fr, es.
UNITS = {
    "day": r"days?|tage?n?|jours?|dias?", "week": r"weeks?|wochen?|semaines?|semanas?", "month": r"months?|mo|monate?[ns]?|mois|mes(?:es)?",
    "quarter": r"quarters?|quartale?[ns]?|trimestres?", "year": r"years?|yrs?|y|jahre?[ns]?|ans?|annees?|anos?",
    "decade": r"decades?|jahrzehnte?[ns]?|decennies?|decadas?",
}  # fmt: skip
MONTHS_OF = {"month": 1, "quarter": 3, "year": 12, "decade": 120}
SHORT = {"d": "day", "w": "week", "m": "month", "q": "quarter"}
NUMBERS = {
    word: number
    for number, words in {
        1: "a an one ein eine einem einen einer un une una", 2: "two zwei deux dos", 3: "three drei trois tres", 4: "four vier quatre cuatro",
        5: "five funf cinq cinco", 6: "six sechs seis", 7: "seven sieben sept siete", 8: "eight acht huit ocho", 9: "nine neun neuf nueve",
        10: "ten zehn dix diez", 12: "twelve zwolf douze doce", 15: "fifteen funfzehn quinze quince", 18: "eighteen achtzehn",
        20: "twenty zwanzig vingt veinte", 30: "thirty dreissig trente treinta",
    }.items()
    for word in words.split()
}  # fmt: skip
MONTHS = ("jan|ene", "feb|fev", "mar", "apr|avr|abr", "mai|may", "jun|juin", "jul|juil", "aug|aou|ago", "sep", "oct|okt", "nov", "dec|dez|dic")

_YEAR = r"((?:19|20)\d\d)\b"
_UNIT = rf"({'|'.join(UNITS.values())})\b"
_COUNT = rf"(\d{{1,3}}|{'|'.join(NUMBERS)})"
FRAME = re.compile(rf"(\d{{1,3}})\s*-?\s*([dwmq]|{_UNIT})")
SPAN = re.compile(rf"\b{_YEAR}\s*(?:[-–—]|to|and|until|through|bis|und|et|y|a|hasta)\s*{_YEAR}")
SINCE = re.compile(
    r"\b(?:since|from|after|seit|ab|depuis|desde)\s+(?:the |le |la )?"
    r"(?:(?P<start>(?:start|beginning) of|anfang|debut(?: de)?|principios de)\s+|(?P<end>end of|ende|fin(?: de)?|finales de)\s+)?"
    rf"(?:(?P<month>{'|'.join(MONTHS)})[a-z]*\s+(?:of |de )?)?(?P<year>(?:19|20)\d\d)\b"
)
TO_DATE = re.compile(
    r"\bytd\b|\byear[- ]to[- ]date\b|\bsince (?:the )?(?:start|beginning) of (?:the|this) year\b|\bseit (?:jahres(?:beginn|anfang)|anfang des jahres)\b"
    r"|\bdepuis le debut de l.annee\b|\ben lo que va de ano\b|\bdesde (?:principios|inicios?|el inicio) del? ano\b"
)
WITHIN = re.compile(rf"\b(?:in|during|over|of|for|throughout|year|jahre?|wahrend|en|durant|annee|durante|ano)\s+{_YEAR}")
# Back from the newest day. "For" and "in" are left to horizons: "I retire in 5 years".
BACK = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\b{_COUNT}\s+(?:derniere?s?|ultim[ao]s)\s+{_UNIT}",
        rf"\b(?:last|past|previous|trailing|(?:letzt|vergangen|vorig)e[mnrs]?|derniere?s?|ultim[ao]s?)\s+(?:{_COUNT}\s*-?\s*)?{_UNIT}",
        rf"\b(?:over|across|since|uber|ueber|seit|sur|depuis|desde hace)\s+(?:the |die |les |los )?{_COUNT}\s*-?\s*{_UNIT}",
        rf"\b{_COUNT}\s*-?\s*{_UNIT}\s*-?\s*(?:returns?|performance|volatility|volatilitat|chart|history|drawdown|record|cagr|sharpe|rendite|entwicklung|vergleich)",
    )
)


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
    return _spoken(_plain(question), last) or _chosen(timeframe or "1y", last) or _back(1, "year", last)


def valid(timeframe: str) -> bool:
    """Whether a timeframe such as 5d, 6m, 1y, "3 years", ytd or max means anything here."""
    return _chosen(timeframe, date(2020, 6, 1)) is not None


def _chosen(timeframe: str, last: date) -> Window | None:
    text = _plain(timeframe).strip()
    if text in ("max", "all", "full"):
        return Window(None, last)
    if text == "ytd":
        return _to_date(last)
    match = FRAME.fullmatch(text)
    return _back(int(match[1]), match[2], last) if match and int(match[1]) else None


def _spoken(question: str, last: date) -> Window | None:
    if match := SPAN.search(question):
        first, second = sorted((int(match[1]), int(match[2])))
        return Window(date(first, 1, 1), date(second, 12, 31))
    if match := SINCE.search(question):
        month = next((number for number, names in enumerate(MONTHS, 1) if re.match(names, match["month"] or "")), 12 if match["end"] else 1)
        return Window(_clamped(int(match["year"]), month, 31 if match["end"] else 1), None)
    if TO_DATE.search(question):
        return _to_date(last)
    if match := WITHIN.search(question):
        return Window(date(int(match[1]), 1, 1), date(int(match[1]), 12, 31))
    for pattern in BACK:
        if match := pattern.search(question):
            said = match[1] or "1"
            count = NUMBERS.get(said) or int(said)
            return _back(count, match[2], last) if count else None
    return None


def _to_date(last: date) -> Window:
    return Window(date(last.year, 1, 1), last)


def _back(count: int, unit: str, last: date) -> Window:
    """So many units back from the last day, by the calendar from months on: the day after the same day then."""
    unit = SHORT.get(unit) or next(name for name, words in UNITS.items() if re.fullmatch(words, unit))
    if unit in MONTHS_OF:
        year, month = divmod(last.year * 12 + last.month - 1 - count * MONTHS_OF[unit], 12)
        before = None if year < 1900 else _clamped(year, month + 1, last.day)
    else:
        before = last - timedelta(days=count * {"day": 1, "week": 7}[unit])
    return Window(None if before is None else before + timedelta(days=1), last)


def _plain(text: str) -> str:
    """Without case and accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", text).casefold() if not unicodedata.combining(c))


def _clamped(year: int, month: int, day: int) -> date:
    """The day, or the month's last where it has no such day."""
    following = date(year + month // 12, month % 12 + 1, 1)
    return min(date(year, month, min(day, 28)) + timedelta(days=max(0, day - 28)), following - timedelta(days=1))
