"""What risk tolerance means in figures: limits, a stop and a size, an allocation, and stress. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from services.market import indicators as ind
from services.market.bars import History
from services.market.measures import Item, source_text
from services.market.portfolio import inverse_volatility

EXAMPLE_CAPITAL = 10_000.0
STOP_WIDTH = 2.0
SHOCK = -0.20


@dataclass(frozen=True)
class Limits:
    """Fractions: capital risked on one position, the largest position, the share in equities, the drawdown to bear."""

    risk_per_trade: float
    position: float
    equity: float
    drawdown: float


LIMITS = {
    "conservative": Limits(0.005, 0.05, 0.30, 0.10),
    "moderate": Limits(0.01, 0.10, 0.60, 0.20),
    "aggressive": Limits(0.02, 0.20, 0.90, 0.35),
}
LIMIT_LABELS = {
    "risk_per_trade": "Capital at risk on one position", "position": "Largest single position",
    "equity": "Largest share in equities", "drawdown": "Drawdown to be borne",
}
CRISES = (  # S&P 500 closing highs and lows
    ("dotcom", "Dot-com bust", date(2000, 3, 24), date(2002, 10, 9)),
    ("crisis", "Financial crisis", date(2007, 10, 9), date(2009, 3, 9)),
    ("covid", "Covid crash", date(2020, 2, 19), date(2020, 3, 23)),
)


def limit_items(tolerance: str) -> list[Item]:
    source = f"house limits, {tolerance} risk tolerance"
    limits = LIMITS[tolerance]
    return [
        Item(f"limits:{name}", label, getattr(limits, name), "fraction", source, "set by riskTolerance")
        for name, label in LIMIT_LABELS.items()
    ]


def sizing_items(
    history: History, measured: Mapping[str, Item], tolerance: str, capital: tuple[float, str] | None
) -> list[Item]:
    """A stop two average ranges below the close, and the size at which it costs what the tolerance allows."""
    instrument, limits = history.instrument, LIMITS[tolerance]
    close, span = measured["close"], measured["atr14"]
    basis = "ATR14" if span.value is not None else "average daily move, for want of highs and lows"
    span = span if span.value is not None else measured["average_move14"]
    if close.value is None or span.value is None or close.value <= STOP_WIDTH * span.value or instrument.kind == "index":
        return []
    money, currency = capital or (EXAMPLE_CAPITAL, instrument.currency)
    base = replace(close, begins=None, ends=None)
    stop = close.value - STOP_WIDTH * span.value
    items = [
        replace(base, id="stop", label="Stop", value=stop, formula=f"close - 2 * {basis}"),
        replace(base, id="stop_distance", label="Distance to the stop", value=stop / close.value - 1, unit="fraction",
                currency=None, formula="stop / close - 1"),
    ]
    if currency != instrument.currency:
        return items
    size = math.floor(min(ind.position_size(money, limits.risk_per_trade, close.value, stop), limits.position * money / close.value))
    rule = "floor(min(capital * risk / (close - stop), capital * position limit / close))"
    return items + [
        replace(base, id="size", label="Position size", value=float(size), unit="units", currency=None, formula=rule),
        replace(base, id="size_value", label="Position value", value=size * close.value, unit="money", formula="size * close"),
        replace(base, id="risk_at_stop", label="Loss at the stop", value=size * (close.value - stop), unit="money",
                formula="size * (close - stop)"),
    ]


def capital_item(capital: tuple[float, str] | None, currency: str) -> Item:
    money, unit = capital or (EXAMPLE_CAPITAL, currency)
    label, source = ("Capital", "your question") if capital else ("Example capital", "assumed, none was named")
    return Item("plan:capital", label, money, "money", source, "given", currency=unit)


def allocation_items(volatilities: Mapping[str, Item], tolerance: str) -> list[Item]:
    """Weights in proportion to 1 / volatility within the tolerance's equity share and position limit; the rest is not equity."""
    limits = LIMITS[tolerance]
    known = {symbol: item for symbol, item in volatilities.items() if item.value}
    # The position limit is for single shares; with few of them in question the rest stays in cash rather than breaking it.
    weights = inverse_volatility({s: i.value for s, i in known.items()}, limits.equity, limits.position)
    if not weights:
        return []
    rule = "min(position limit, equity share * (1 / volatility) / sum(1 / volatility))"
    items = [
        replace(known[symbol], id=f"{symbol}:weight", label="Weight", value=weight, formula=rule)
        for symbol, weight in weights.items()
    ]
    rest = Item("plan:rest", "Cash, bonds and broad funds", 1 - sum(weights.values()), "fraction",
                items[0].source, "1 - sum of weights", as_of=items[0].as_of)
    return [*items, rest]


def stress_items(history: History, beta: float | None) -> list[Item]:
    """What past crises did to it, where the data reach back, and what its beta makes of a market fall of 20 %."""
    symbol, source, bars = history.instrument.symbol, source_text(history), history.bars
    items = []
    for name, label, start, end in CRISES:
        span = bars.between(start, end)
        if len(span) > 1 and span.first == start and span.last == end and span.close[0] > 0:
            items.append(Item(
                f"{symbol}:stress_{name}", label, float(span.close[-1] / span.close[0] - 1), "fraction", source,
                "p[end] / p[start] - 1", as_of=end, symbol=symbol, begins=start, ends=end))
    if beta is not None:
        items.append(Item(f"{symbol}:stress_market", "If the market fell 20 %", beta * SHOCK, "fraction", source,
                          "beta * -0.20", as_of=history.window.last, symbol=symbol))
    return items


def named(items: Sequence[Item], symbol: str) -> list[Item]:
    """The items under the symbol's name, as a pack needs them."""
    return [replace(item, id=f"{symbol}:{item.id}") for item in items]
