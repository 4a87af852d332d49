"""How figures are written, everywhere the same, so that what is written can be found again in the evidence. Pure."""

from __future__ import annotations

from services.market.measures import Item

SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}
FINE = ("var", "cvar", "change_1d", "worst_day", "best_day")  # small fractions: two decimals of a percent
MINUS = "\N{MINUS SIGN}"


def shown(item: Item, *, signed: bool = False) -> str:
    """The item's value for a sentence or a cell; a dash where there is none."""
    if item.value is None:
        return "–"
    if item.id.startswith("limits:") or item.measure == "given_weight":
        return f"{round(item.value * 100, 6):g} %"  # set by hand: shown as it was set
    if item.unit == "fraction":
        return percent(item.value, 2 if item.measure.startswith(FINE) else 1, signed=signed)
    if item.unit in ("price", "money"):
        return money(item.value, item.currency)
    if item.unit == "units":
        return f"{item.value:,.0f}"
    return number(item.value, 1 if item.unit == "points" else 2)


def percent(fraction: float, places: int = 1, *, signed: bool = False) -> str:
    text = f"{abs(fraction) * 100:,.{places}f}"
    negative = fraction < 0 and float(text.replace(",", "")) != 0
    return f"{MINUS if negative else '+' if signed else ''}{text} %"


def number(value: float, places: int = 2) -> str:
    return f"{value:,.{places}f}".replace("-", MINUS)


def money(value: float, currency: str | None, places: int | None = None) -> str:
    """$1,234.50, or 1,234.50 CHF where there is no sign every reader knows. Small prices keep four decimals."""
    if places is None:
        places = 4 if 0 < abs(value) < 1 else 0 if abs(value) >= 1000 and value == int(value) else 2
    amount, minus = f"{abs(value):,.{places}f}", MINUS if value < 0 else ""
    if currency is None:
        return minus + amount
    sign = SIGNS.get(currency)
    return f"{minus}{sign}{amount}" if sign else f"{minus}{amount} {currency}"
