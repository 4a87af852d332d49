"""What stands around a figure in an answer: the words of its sentence or table cell, and what they speak of. Pure."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cached_property

from services.market.evidence import EvidencePack
from services.market.figures import Cell, Figure, table_cells, within

KEYWORDS: tuple[tuple[str, tuple[str, ...]], ...] = (  # words, and the measures they speak of by prefix
    (r"(?:recent|current|21-day|one-month|1-month) volatility|volatility, last 21 days", ("volatility_1m",)),
    (r"volatil\w*|standard deviation", ("volatility",)), (r"sharpe", ("sharpe",)), (r"sortino", ("sortino",)),
    (r"draw-?downs?|peak[- ]to[- ]trough", ("max_drawdown", "drawdown", "stress", "limits:drawdown")), (r"beta", ("beta",)),
    (r"alpha", ("alpha",)), (r"correlat\w+", ("correlation",)), (r"c-?var|expected shortfall", ("cvar",)),
    (r"(?<![cC])(?<![cC]-)var|value[- ]at[- ]risk", ("var",)), (r"rsi|relative strength(?: index)?", ("rsi",)),
    (r"macd", ("macd",)), (r"cagr|annual growth", ("cagr", "gdp_growth")), (r"(?:average )?true range|atr", ("atr",)),
    (r"50-day(?: moving)?(?: average)?|sma50", ("sma50",)), (r"distance from (?:its|the) 200-day (?:moving )?average", ("above_sma200",)),
    (r"200-day(?: moving)?(?: average)?|sma200", ("sma200", "above_sma200")),
    (r"inflation|cpi", ("inflation", "core_inflation")), (r"unemployment(?: rate)?", ("unemployment",)), (r"gdp", ("gdp_growth",)),
    (r"vix", ("vix",)), (r"52-week high", ("high_52w",)), (r"52-week low", ("low_52w",)),
    (r"total return", ("total_return",)), (r"revenue|sales", ("revenue",)), (r"net income", ("net_income",)),
)
KEYWORD = re.compile("|".join(rf"(?P<k{n}>\b(?:{words})\b)" for n, (words, _) in enumerate(KEYWORDS)), re.IGNORECASE)
SAYS = re.compile(r"(?!\s+(?:and|or)\s+$)[^.;:,\d%|()]{0,28}$")  # what may stand between a measure's name and its figure
QUALIFIED = re.compile(r"^\s?(?:(?:annualised|annualized|annual|daily|one-day|maximum|max|historical|a|year|of)\s){0,3}$", re.IGNORECASE)
AWAY_FROM = re.compile(r"^\s?(?:below|above|under|over|off|from|beneath)\s(?:its|the|their)\s$", re.IGNORECASE)
UP = r"rose|rises|gained|gains?|returned|climbed|up|added|grew|advanced|rallied|increased|rise of|increase of"
DOWN = r"fell|falls?|lost|loses?|dropped|down|declined?|shed|slid|slipped|sank|decreased|loss of|drop of|fallen"
DIRECTION = re.compile(rf"\b(?:(?P<up>{UP})|(?P<down>{DOWN}))\b[^.;,\d%]{{0,24}}(?<!to )(?<!at )$", re.IGNORECASE)
COMPARES = re.compile(
    r"\b(?:more|higher|lower|less|greater|smaller|larger|bigger|fewer|gap|differences?|differs?|spread|above|below|apart|ahead|behind|"
    r"exceed\w*|outperform\w*|underperform\w*|than|between|premium|discount|wider|narrower|from|over|under|beat\w*|trail\w*|lag\w*)\b", re.IGNORECASE)
DIVIDES = re.compile(r"\b(?:times|fold|twice|(?<!sharpe )(?<!sortino )ratio|as (?:much|high|volatile|large|risky|many)|x|×|per|multiple|half)\b|\d[x×]", re.IGNORECASE)
LEVELS = re.compile(r"\b(?:averages?|high|low|highs|lows|peak|bands?|stop|clos(?:e|ed|es)|trades?|stands?|[SE]?MA)\b", re.IGNORECASE)
PRONOUN = re.compile(r"\b(?:it|its|they|their|them|the (?:stock|share|shares|company|former|latter|other|first|second|two)|both|which|whose)\b", re.IGNORECASE)
SENTENCE = re.compile(r"(?<=[.!?])[\"')*_]*\s+(?=[A-Z*_\"'(\[|#−\-0-9$€£])|\n+")
POSSESSIVE = r"(?:'s|’s)(?:\s+[\w-]+){0,5}?\s+(?:(?:of|at|is|was|stood at|near|about|to)\s+)?$"


# Words without which a figure is not of these measures, wherever near it: so that 22 % is not just any 22 %.
BESPOKEN: tuple[tuple[tuple[str, ...], re.Pattern[str]], ...] = tuple(
    (measures, re.compile(rf"(?:{words})", re.IGNORECASE)) for measures, words in (
        (("risk_per_trade", "position", "equity", "limits:"), r"limit|risk|position|equit|toleran|allocat|\bbear\b"),
        (("given_weight", "weight", "risk_share"), r"weigh|portfolio|alloca|\bshare\b|varianc|carr(?:y|ies)|mix"),
        (("rest",), r"cash|bonds?\b|\brest\b|remain|other"),
        (("stress",), r"stress|cris[ie]s|crash|bust|covid|dot-?com|shock|scenario|pandemic|if the market|suppos|\b20(?:00|02|07|08|09|20)\b"),
        (("alpha",), r"alpha|excess|outperform|benchmark"),
        (("momentum",), r"momentum|month|week|quarter|days|\byear\b"),
        (("volatility",), r"volatil|risk|swing|deviat|fluctuat|annuali[sz]"),
        (("var95", "var99", "cvar"), r"\bc?-?var|shortfall|\bloss|\blos[et]|worst|tail|percentile|\bdays?\b|daily"),
        (("worst_day", "best_day", "change_1d"), r"\bdays?\b|daily|session"),
        (("sharpe", "sortino"), r"sharpe|sortino|risk-adjusted|per unit|reward"),
        (("beta",), r"\bbetas?\b|sensitiv|\bmarket\b|moves?\b"),
        (("correlation",), r"correl|together|lockstep"),
        (("rsi",), r"\brsi\b|relative strength|overbought|oversold"),
        (("macd",), r"\bmacd\b|signal"),
        (("bollinger",), r"bollinger|band"),
        (("stop", "size", "risk_at_stop"), r"\bstops?\b|position|\bsize|shares|units|hold"),
        (("vix",), r"\bvix\b|volatility index"),
    )
)
WIDE = 500  # code points before a figure in which such a word may stand


@dataclass(frozen=True)
class Context:
    """What stands around a figure: its sentence's words and symbols, and what directly names it."""

    words: str
    symbols: frozenset[str]
    named: frozenset[str]
    measures: tuple[str, ...]
    direction: str
    wide: str

    @cached_property
    def spoken_of(self) -> tuple[str, ...]:
        """The measures its sentence names anywhere."""
        return tuple(measure for match in KEYWORD.finditer(self.words) for measure in _measures(match))

    @cached_property
    def unspoken(self) -> tuple[str, ...]:
        """The measures that would need a word near by and have none."""
        return tuple(m for measures, words in BESPOKEN if not words.search(self.wide) for m in measures)

    @cached_property
    def vague(self) -> bool:
        """Whether it speaks of "it" or "the stock", so that a symbol named before may be meant."""
        return not self.symbols or PRONOUN.search(self.words) is not None

    @cached_property
    def compares(self) -> bool:
        return COMPARES.search(self.words) is not None

    def supposes(self, move: str) -> bool:
        """Whether a move of so many per cent is spoken of."""
        return re.search(rf"(?<![\d.]){move.strip()}\s?(?:%|per ?cent)", self.words) is not None

    @cached_property
    def of_levels(self) -> bool:
        """Whether prices to measure from are spoken of."""
        return LEVELS.search(self.words) is not None

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
        return Context(words, symbols, frozenset(), measures, "", self._text[max(0, cell.start - WIDE) : cell.start] + words)

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
            words, symbols, self._named(before, after), _tight(before[-72:], after[:48], figure.unit),
            "" if direction is None else "up" if direction["up"] else "down",
            self._text[max(0, figure.start - WIDE) : high],
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


def _tight(before: str, after: str, unit: str) -> tuple[str, ...]:
    """The measures a figure is directly given as: the last name before it with nothing but words between, or one behind.

    "12 % below its 50-day average" is about that average; "$126, below its average" is about the $126.
    """
    found: list[str] = []
    last = None
    for last in KEYWORD.finditer(before):
        pass
    if last and SAYS.fullmatch(before[last.end() :]) and not re.search(rf"\b(?:{UP}|{DOWN})\b", before[last.end() :]):
        found += _measures(last)
    behind = KEYWORD.search(after)
    between = after[: behind.start()] if behind else ""
    if behind and (QUALIFIED.match(between) or (unit == "percent" and AWAY_FROM.match(between))):
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
