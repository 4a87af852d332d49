"""What the evidence allows a figure to be: the values of its items, and the differences and ratios they give. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from services.market.evidence import EvidencePack
from services.market.figures import Figure
from services.market.measures import Item

PRICES = ("close", "sma50", "sma200", "ema20", "high_52w", "low_52w", "bollinger_lower", "bollinger_upper", "stop")

MOVES = (1, 2, 5, 10, 15, 20, 25, 30, 40, 50)  # per cents a market is supposed to move by
SENSITIVITY = "sensitivity to"


@dataclass(frozen=True)
class Claim:
    """A value the evidence allows, from one item or from two. `kind` is value, difference, ratio, product or "sensitivity to" a move."""

    value: float
    unit: str
    item: Item
    kind: str = "value"
    other: Item | None = None

    @property
    def symbols(self) -> frozenset[str]:
        return frozenset(s for i in (self.item, self.other) if i for s in (i.symbol or "").split(", ") if s)

    def explain(self) -> str:
        if self.other is None:
            return self.item.label
        return f"{self.kind} of {self.item.id} and {self.other.id}"


class Ledger:
    """The values a pack allows, sorted, so that a figure costs two bisections and not a walk through the pack."""

    def __init__(self, pack: EvidencePack) -> None:
        self._items = [item for item in pack.items if item.value is not None]
        self._direct = _Sorted(Claim(item.value, item.unit, item) for item in self._items)

    @cached_property
    def _derived(self) -> _Sorted:
        return _Sorted([*_across(self._items), *_within_symbol(self._items), *_of_one(self._items)])

    def equal_to(self, figure: Figure) -> list[Claim]:
        """Claims of the figure's value: those of one item first, then those of two."""
        # A difference of two figures as they are shown may be a unit of the last place off the difference of their values.
        return self._found(figure, self._direct, 1.0) + self._found(figure, self._derived, 2.0)

    def _found(self, figure: Figure, claims: _Sorted, width: float) -> list[Claim]:
        found: list[Claim] = []
        for unit, factor in _readings(figure):
            value = abs(figure.value) * figure.scale * factor
            slack = width * _slack(figure) * figure.scale * factor + 1e-12 + 1e-9 * value
            found += [c for c in claims.near(value, slack) if _comparable(figure, c, unit) and _sign_agrees(figure, c)]
        return found


class _Sorted:
    def __init__(self, claims: Iterable[Claim]) -> None:
        self._claims = sorted(claims, key=lambda claim: abs(claim.value))
        self._values = [abs(claim.value) for claim in self._claims]

    def near(self, value: float, slack: float) -> list[Claim]:
        return self._claims[bisect_left(self._values, value - slack) : bisect_right(self._values, value + slack)]


def is_exact(figure: Figure, claim: Claim) -> bool:
    """Whether the figure is the claim's value as it stands, and not a rounding of it."""
    return any(abs(abs(claim.value) - abs(figure.value) * figure.scale * factor) < 1e-9 for _, factor in _readings(figure))


def _readings(figure: Figure) -> list[tuple[str, float]]:
    """The units a figure may be meant in, with the factor that brings it to the items' scale."""
    return {
        "percent": [("fraction", 0.01)],
        "points": [("fraction", 0.01)],
        "basis": [("fraction", 0.0001)],
        "money": [("amount", 1.0)],
        "times": [("ratio", 1.0)],
        "plain": [("number", 1.0)] + ([("fraction", 1.0)] if figure.places else []),
    }[figure.unit]


def _comparable(figure: Figure, claim: Claim, unit: str) -> bool:
    if unit == "amount":
        same = claim.item.currency is None or figure.currency is None or claim.item.currency == figure.currency
        return claim.unit in ("price", "money") and same
    if unit == "number":
        return claim.unit in ("ratio", "points", "price", "money", "units", "index")
    return claim.unit == unit


def _sign_agrees(figure: Figure, claim: Claim) -> bool:
    if claim.kind == "difference" or claim.value == 0:
        return True
    if not figure.sign:  # a loss of 5 % has its sign in a word; a Sharpe ratio of 0.8 has it nowhere
        return claim.value > 0 or claim.unit not in ("ratio", "points", "index")
    return (figure.sign == "-") == (claim.value < 0)


def _slack(figure: Figure) -> float:
    """Half of the last place shown; for "about 40" more, as the word says."""
    last = 10.0**-figure.places
    if not figure.hedged:
        return last / 2
    round_number = figure.places == 0 and figure.value != 0 and figure.value % 10 == 0
    return max(last, 0.05 * abs(figure.value) if round_number else 0.0)


def _across(items: Sequence[Item]) -> Iterator[Claim]:
    """Differences and ratios of one measure between two symbols."""
    by_measure: dict[str, list[Item]] = {}
    for item in items:
        if item.symbol and item.unit in ("fraction", "ratio", "points"):
            by_measure.setdefault(item.measure, []).append(item)
    for same in by_measure.values():
        for i, a in enumerate(same):
            for b in same[i + 1 :]:
                yield Claim(a.value - b.value, a.unit, a, "difference", b)
                for one, other in ((a, b), (b, a)):
                    if other.value:
                        yield Claim(one.value / other.value, "ratio", one, "ratio", other)
                        yield Claim(one.value / other.value - 1, "fraction", one, "ratio", other)


def _within_symbol(items: Sequence[Item]) -> Iterator[Claim]:
    """How far one price of a symbol is from another, in money and as a fraction; and CVaR over VaR and the like."""
    by_symbol: dict[str, list[Item]] = {}
    for item in items:
        if item.symbol and item.measure in PRICES:
            by_symbol.setdefault(item.symbol, []).append(item)
    for prices in by_symbol.values():
        for a in prices:
            for b in prices:
                if a is not b and b.value:
                    yield Claim(a.value / b.value - 1, "fraction", a, "difference", b)
                    yield Claim(a.value - b.value, "price", a, "difference", b)


def _of_one(items: Sequence[Item]) -> Iterator[Claim]:
    """What a beta makes of one per cent, a fraction of the capital, and what the capital became."""
    for item in items:
        if item.measure == "beta":  # "moves 1.3 % for every 1 % of the market"
            for move in MOVES:
                yield Claim(item.value * move / 100, "fraction", item, f"{SENSITIVITY} {move}")
    capital = next((item for item in items if item.id == "plan:capital"), None)
    if capital is None:
        return
    for item in items:
        if item.unit == "fraction":
            yield Claim(capital.value * item.value, "money", capital, "product", item)
            if item.measure == "total_return":
                yield Claim(capital.value * (1 + item.value), "money", capital, "product", item)
