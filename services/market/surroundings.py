"""What stands around a figure in an answer: the words of its sentence or table cell, and what they speak of. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property

from services.market.evidence import EvidencePack
from services.market.figures import Cell, Figure, table_cells, within

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
    def of_one_percent(self) -> bool:
        return ONE_PERCENT.search(self.words) is not None

    @cached_property
    def divides(self) -> bool:
        return DIVIDES.search(self.words) is not None


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
