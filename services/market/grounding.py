"""Checking an answer's figures against the evidence: what is borne out, by which item, and what is not. Pure and linear.

A figure is borne out when an item, rounded as the figure is, has its value, and nothing near by speaks of another
measure, symbol or direction. Differences and ratios of items count where the words ask for one. What the user said is
left alone.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from services.market.evidence import EvidencePack, Mark
from services.market.figures import Cell, Figure, figures, numbers, table_cells, within
from services.market.measures import Item

RETURNS = ("total_return", "cagr", "momentum", "change_1d", "alpha", "stress", "worst_day", "best_day")
KEYWORDS: tuple[tuple[str, tuple[str, ...]], ...] = (  # words, and the measures they speak of by prefix
    (r"volatil\w*|standard deviation", ("volatility",)), (r"sharpe", ("sharpe",)), (r"sortino", ("sortino",)),
    (r"draw-?downs?|peak[- ]to[- ]trough", ("max_drawdown", "drawdown", "stress", "limits:drawdown")), (r"beta", ("beta",)),
    (r"alpha", ("alpha",)), (r"correlat\w+", ("correlation",)), (r"c-?var|expected shortfall", ("cvar",)),
    (r"(?<![cC])(?<![cC]-)var|value[- ]at[- ]risk", ("var",)), (r"rsi|relative strength(?: index)?", ("rsi",)),
    (r"macd", ("macd",)), (r"cagr|annual growth", ("cagr", "gdp_growth")), (r"(?:average )?true range|atr", ("atr",)),
    (r"50-day(?: moving)?(?: average)?|sma50", ("sma50",)), (r"200-day(?: moving)?(?: average)?|sma200", ("sma200",)),
    (r"inflation|cpi", ("inflation", "core_inflation")), (r"unemployment(?: rate)?", ("unemployment",)), (r"gdp", ("gdp_growth",)),
    (r"vix", ("vix",)), (r"52-week high", ("high_52w",)), (r"52-week low", ("low_52w",)),
    (r"total return", ("total_return",)), (r"revenue|sales", ("revenue",)), (r"net income", ("net_income",)),
)
KEYWORD = re.compile("|".join(rf"(?P<k{n}>\b(?:{words})\b)" for n, (words, _) in enumerate(KEYWORDS)), re.IGNORECASE)
SAYS = re.compile(r"(?!\s+(?:and|or)\s+$)[^.;:,\d%|()]{0,28}$")  # what may stand between a measure's name and its figure
QUALIFIED = re.compile(r"^\s?(?:(?:annualised|annualized|annual|daily|one-day|maximum|max|historical|a|year|of)\s){0,3}$", re.IGNORECASE)
UP = r"rose|rises|gained|gains?|returned|climbed|up|added|grew|advanced|rallied|increased|rise of|increase of"
DOWN = r"fell|falls?|lost|loses?|dropped|down|declined?|shed|slid|slipped|sank|decreased|loss of|drop of|fallen"
DIRECTION = re.compile(rf"\b(?:(?P<up>{UP})|(?P<down>{DOWN}))\b[^.;,\d%]{{0,24}}$", re.IGNORECASE)
COMPARES = re.compile(
    r"\b(?:more|higher|lower|less|greater|smaller|larger|bigger|fewer|gap|differences?|differs?|spread|above|below|apart|ahead|behind|"
    r"exceed\w*|outperform\w*|underperform\w*|than|between|premium|discount|wider|narrower|from|over|under|beat\w*|trail\w*|lag\w*)\b", re.IGNORECASE)
DIVIDES = re.compile(r"\b(?:times|fold|twice|(?<!sharpe )(?<!sortino )ratio|as (?:much|high|volatile|large|risky|many)|x|×|per|multiple|half)\b|\d[x×]", re.IGNORECASE)
ONE_PERCENT = re.compile(r"\b(?:1|one)\s?(?:%|per ?cent)", re.IGNORECASE)
PRONOUN = re.compile(r"\b(?:it|its|they|their|them|the (?:stock|share|shares|company|former|latter|other|first|second|two)|both|which|whose)\b", re.IGNORECASE)
SENTENCE = re.compile(r"(?<=[.!?])[\"')*_]*\s+(?=[A-Z*_\"'(\[|#−\-0-9$€£])|\n+")
POSSESSIVE = r"(?:'s|’s)(?:\s+[\w-]+){0,5}?\s+(?:(?:of|at|is|was|stood at|near|about|to)\s+)?$"
MARKET = re.compile(r"\bthe (?:market|index|benchmark)\b", re.IGNORECASE)
PRICES = ("close", "sma50", "sma200", "ema20", "high_52w", "low_52w", "bollinger_lower", "bollinger_upper", "stop")


@dataclass(frozen=True)
class Claim:
    """A value the evidence allows, from one item or from two. `kind` is value, difference, ratio, product or sensitivity."""

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


@dataclass(frozen=True)
class Context:
    """What stands around a figure: its sentence's words and symbols, and what directly names it."""

    words: str
    symbols: frozenset[str]
    named: frozenset[str]
    measures: tuple[str, ...]
    direction: str

    @cached_property
    def vague(self) -> bool:
        """Whether it speaks of "it" or "the stock", so that a symbol named before may be meant."""
        return not self.symbols or PRONOUN.search(self.words) is not None

    @cached_property
    def compares(self) -> bool:
        return COMPARES.search(self.words) is not None

    @cached_property
    def divides(self) -> bool:
        return DIVIDES.search(self.words) is not None


def check(answer: str, pack: EvidencePack, question: str = "") -> list[Mark]:
    """A mark for each figure of the answer that evidence bears out or ought to, in order."""
    given = _spoken(question)
    ledger = Ledger(pack)
    reader = Reader(answer, pack)
    return [
        _judge(figure, reader, ledger)
        for figure in figures(answer) if _key(figure) not in given
    ]


def unmatched(marks: Iterable[Mark]) -> list[Mark]:
    """The marks no evidence bears out."""
    return [mark for mark in marks if mark.evidence_id is None]


def _judge(figure: Figure, reader: Reader, ledger: Ledger) -> Mark:
    why = "No figure of the evidence has this value."
    equal = ledger.equal_to(figure)
    if not equal:
        return Mark(figure.start, figure.end, figure.text, None, why)
    context = reader.around(figure)
    equal = [claim for claim in equal if _fits(figure, claim, context)]
    for refuse in (_other_measure, _other_symbol, _other_direction):
        kept = [claim for claim in equal if not refuse(figure, claim, context)]
        if equal and not kept:
            why = f"The value is that of {equal[0].explain()}{_of(equal[0])}, but the text speaks of something else."
        equal = kept
    if not equal:
        return Mark(figure.start, figure.end, figure.text, None, why)
    best = min(equal, key=lambda claim: (claim.other is not None, not claim.symbols <= context.symbols))
    return Mark(figure.start, figure.end, figure.text, best.item.id, best.explain())


def _of(claim: Claim) -> str:
    return f" of {claim.item.symbol}" if claim.item.symbol else ""


def _fits(figure: Figure, claim: Claim, context: Context) -> bool:
    """Whether the words ask for this kind of claim: a difference wants a comparison, a ratio a multiple."""
    if claim.kind == "sensitivity":
        return ONE_PERCENT.search(context.words) is not None
    if claim.kind == "difference":
        return context.compares
    if claim.kind == "ratio":
        return figure.unit == "times" or context.divides or (figure.unit == "percent" and context.compares)
    # 0.36 may be a volatility of 36 %, but only where the text says that it is one.
    return figure.unit != "plain" or claim.unit != "fraction" or bool(context.measures)


def _other_measure(figure: Figure, claim: Claim, context: Context) -> bool:
    if not context.measures:
        return False
    named = [claim.item.id, claim.item.measure] + ([claim.other.measure] if claim.other else [])
    return not any(name.startswith(measure) for name in named for measure in context.measures)


def _other_symbol(figure: Figure, claim: Claim, context: Context) -> bool:
    if not claim.symbols:
        return False
    if context.named:
        return not claim.symbols & context.named
    return not context.vague and not claim.symbols & context.symbols


def _other_direction(figure: Figure, claim: Claim, context: Context) -> bool:
    if figure.sign or claim.other or not context.direction or not claim.item.measure.startswith(RETURNS):
        return False
    return (claim.value < 0) != (context.direction == "down") and claim.value != 0


class Ledger:
    """The values a pack allows, sorted, so that a figure costs two bisections and not a walk through the pack."""

    def __init__(self, pack: EvidencePack) -> None:
        self._items = [item for item in pack.items if item.value is not None]
        self._direct = _Sorted(Claim(item.value, item.unit, item) for item in self._items)

    @cached_property
    def _derived(self) -> _Sorted:
        return _Sorted([*_across(self._items), *_within_symbol(self._items), *_of_one(self._items)])

    def equal_to(self, figure: Figure) -> list[Claim]:
        """Claims of the figure's value: from items, and only where no item has it from two of them."""
        return self._found(figure, self._direct) + self._found(figure, self._derived)

    def _found(self, figure: Figure, claims: _Sorted) -> list[Claim]:
        found: list[Claim] = []
        for unit, factor in _readings(figure):
            value = abs(figure.value) * figure.scale * factor
            slack = _slack(figure) * figure.scale * factor + 1e-12 + 1e-9 * value
            found += [c for c in claims.near(value, slack) if _comparable(figure, c, unit) and _sign_agrees(figure, c)]
        return found


class _Sorted:
    def __init__(self, claims: Iterable[Claim]) -> None:
        self._claims = sorted(claims, key=lambda claim: abs(claim.value))
        self._values = [abs(claim.value) for claim in self._claims]

    def near(self, value: float, slack: float) -> list[Claim]:
        return self._claims[bisect_left(self._values, value - slack) : bisect_right(self._values, value + slack)]


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
            yield Claim(item.value / 100, "fraction", item, "sensitivity")
    capital = next((item for item in items if item.id == "plan:capital"), None)
    if capital is None:
        return
    for item in items:
        if item.unit == "fraction":
            yield Claim(capital.value * item.value, "money", capital, "product", item)
            if item.measure == "total_return":
                yield Claim(capital.value * (1 + item.value), "money", capital, "product", item)


class Reader:
    """Reads what stands around a figure. Sentences, symbols and table cells are found once for the whole text."""

    def __init__(self, text: str, pack: EvidencePack) -> None:
        self._text = text
        self._cells = table_cells(text)
        self._cell_starts = [cell.start for cell in self._cells]
        self._breaks = [0, *(m.end() for m in SENTENCE.finditer(text)), len(text)]
        self._names = _names(pack)
        pattern = "|".join(re.escape(name) for name in sorted(self._names, key=len, reverse=True))
        self._name = re.compile(rf"(?<![\w^])(?:{pattern})(?!\w)", re.IGNORECASE) if pattern else re.compile(r"(?!)")
        self._mentions = [(m.start(), m.end(), self._names[m[0].casefold()]) for m in self._name.finditer(text)]
        self._mention_starts = [start for start, *_ in self._mentions]

    def around(self, figure: Figure) -> Context:
        cell = within(self._cells, figure.start, self._cell_starts)
        return self._of_cell(cell) if cell else self._of_sentence(figure)

    def _of_cell(self, cell: Cell) -> Context:
        words = f"{cell.heading} {self._text[cell.start : cell.end]}"
        symbols = frozenset(self._names[m[0].casefold()] for m in self._name.finditer(words))
        measures = tuple(measure for m in KEYWORD.finditer(cell.heading) for measure in _measures(m))
        return Context(words, symbols, frozenset(), measures, "")

    def _of_sentence(self, figure: Figure) -> Context:
        place = bisect_right(self._breaks, figure.start) - 1
        start = self._breaks[place]
        end = self._breaks[place + 1] if place + 1 < len(self._breaks) else len(self._text)
        low, high = max(start, figure.start - 300), min(end, figure.end + 300)
        words, before, after = self._text[low:high], self._text[low : figure.start], self._text[figure.end : high]
        first, last = bisect_left(self._mention_starts, start), bisect_left(self._mention_starts, end)
        symbols = frozenset(symbol for *_, symbol in self._mentions[first:last])
        direction = DIRECTION.search(before[-48:])
        return Context(
            words, symbols, self._named(before, after), _tight(before[-72:], after[:48]),
            "" if direction is None else "up" if direction["up"] else "down",
        )

    def _named(self, before: str, after: str) -> frozenset[str]:
        """The symbol whose figure it plainly is: "KO's volatility of 20.1 %", "20.1 % for KO", "20.1 % (KO)"."""
        last = None
        for last in self._name.finditer(before[-90:]):
            pass
        if last and re.match(POSSESSIVE, before[-90:][last.end() :]):
            return frozenset((self._names[last[0].casefold()],))
        behind = re.match(r"\s?(?:\(|(?:for|in|at) (?:the )?)", after)
        if behind and (name := self._name.match(after, behind.end())):
            return frozenset((self._names[name[0].casefold()],))
        return frozenset()


def _tight(before: str, after: str) -> tuple[str, ...]:
    """The measures a figure is directly given as: the last name before it with nothing but words between, or one behind."""
    found: list[str] = []
    last = None
    for last in KEYWORD.finditer(before):
        pass
    if last and SAYS.fullmatch(before[last.end() :]) and not re.search(rf"\b(?:{UP}|{DOWN})\b", before[last.end() :]):
        found += _measures(last)
    behind = KEYWORD.search(after)
    if behind and QUALIFIED.match(after[: behind.start()]):
        found += _measures(behind)
    return tuple(found)


def _measures(match: re.Match[str]) -> tuple[str, ...]:
    return KEYWORDS[int(match.lastgroup[1:])][1]


def _names(pack: EvidencePack) -> dict[str, str]:
    """What an answer may call each instrument, folded: symbol, name, and the name without its second word."""
    names: dict[str, str] = {}
    for instrument in pack.instruments:
        short = instrument.name.split()[0]
        for name in (instrument.symbol, instrument.symbol.lstrip("^"), instrument.name, short if len(short) > 3 else ""):
            if name:
                names.setdefault(name.casefold(), instrument.symbol)
    if pack.weights:
        names |= {"the portfolio": "portfolio", "your portfolio": "portfolio", "portfolio": "portfolio"}
    return names


def _spoken(question: str) -> frozenset[tuple[float, str]]:
    """The numbers of the question. Money and plain numbers are one: "$10,000" may be answered as 10,000."""
    return frozenset(_key(f) for f in numbers(question[:32_000]))


def _key(figure: Figure) -> tuple[float, str]:
    unit = "plain" if figure.unit in ("money", "times") else figure.unit
    return round(abs(figure.value) * figure.scale, 9), unit
