"""US macro figures: which question asks for them, and how they are computed from series under FRED's ids. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from services.market.measures import Item

Series = tuple[np.ndarray, np.ndarray]
TOPICS = re.compile(
    r"\b(inflation|cpi|consumer prices|unemployment|jobless|labou?r market|gdp|economic growth|growth of the economy|econom(?:y|ic)|"
    r"recession|interest rates?|treasury bills?|t-bills?|real rates?|fed|federal reserve|monetary policy|credit spreads?|"
    r"corporate bond yields?|macro(?:economic)?s?|vix|business cycle)\b", re.IGNORECASE)

DEFINITION = re.compile(
    r"^\W*(?:what(?:'s|’s| is| are| does| do)\s+(?!the\b|.*\b(?:now|today|current)\b)(?:an?\s+)?(?:[\w-]+\s?){1,3}(?:mean|stand for)?\s*\?*\s*$|(?:please\s+)?(?:explain|define)\b)|"
    r"\b(?:meaning|definition) of\b|\bhow (?:is|are) .* (?:measured|calculated|computed|defined)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Figure:
    """A macro figure: the series it needs, the arithmetic on their last values, and what it is called."""

    id: str
    label: str
    needs: tuple[str, ...]
    compute: Callable[..., tuple[float, date]]
    formula: str
    unit: str = "fraction"


def year_on_year(series: Series) -> tuple[float, date]:
    """The last value over the value a year before it, less one. NaN without one within 20 days of that day."""
    dates, values = series
    year_ago = dates[-1] - np.timedelta64(365, "D")
    at = int(np.argmin(np.abs((dates - year_ago).astype(int))))
    near = abs(int((dates[at] - year_ago).astype(int))) <= 20
    return (float(values[-1] / values[at] - 1) if near else float("nan")), dates[-1].item()


def level(series: Series) -> tuple[float, date]:
    """The last value of a series in percent, as a fraction."""
    return float(series[1][-1]) / 100, series[0][-1].item()


def points(series: Series) -> tuple[float, date]:
    return float(series[1][-1]), series[0][-1].item()


def real_rate(bill: Series, prices: Series) -> tuple[float, date]:
    inflation, day = year_on_year(prices)
    rate, other = level(bill)
    return rate - inflation, min(day, other)


def spread(low: Series, high: Series) -> tuple[float, date]:
    (a, day), (b, other) = level(low), level(high)
    return b - a, min(day, other)


FIGURES = (
    Figure("gdp_growth", "Real GDP growth, a year", ("GDPC1",), year_on_year, "GDPC1[t] / GDPC1[t - 1 year] - 1"),
    Figure("inflation", "Inflation (CPI), a year", ("CPIAUCSL",), year_on_year, "CPIAUCSL[t] / CPIAUCSL[t - 1 year] - 1"),
    Figure("core_inflation", "Core inflation (CPI less food and energy), a year", ("CPILFESL",), year_on_year,
           "CPILFESL[t] / CPILFESL[t - 1 year] - 1"),
    Figure("unemployment", "Unemployment rate", ("UNRATE",), level, "UNRATE"),
    Figure("bill_rate", "3-month Treasury bill rate", ("TB3MS",), level, "TB3MS"),
    Figure("real_rate", "Real short rate", ("TB3MS", "CPIAUCSL"), real_rate, "TB3MS - CPI inflation"),
    Figure("credit_spread", "Credit spread, BAA less AAA", ("AAA", "BAA"), spread, "BAA - AAA"),
    Figure("vix", "VIX", ("VIXCLS",), points, "VIXCLS", "points"),
)
SERIES = tuple(dict.fromkeys(series for figure in FIGURES for series in figure.needs))


def asked_for(question: str) -> bool:
    """Whether a question is about the state of the economy, and not about what a word means."""
    return TOPICS.search(question) is not None and DEFINITION.search(question) is None


def items(series: Mapping[str, Series], sources: Mapping[str, str]) -> list[Item]:
    """The figures whose series are there, each dated by its own last value."""
    found = []
    for figure in FIGURES:
        if not all(name in series for name in figure.needs):
            continue
        value, day = figure.compute(*(series[name] for name in figure.needs))
        if np.isfinite(value):
            found.append(Item(f"macro:{figure.id}", figure.label, value, figure.unit, sources[figure.needs[0]],
                              figure.formula, as_of=day, symbol=None))
    return found
