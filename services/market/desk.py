"""The market desk: what the rest of the application asks for prices, measures, evidence and the offline report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from gevent.pool import Pool

from services.errors import InvalidRequest, NotFound, Unprocessable
from services.llm.deltas import LLMRequest
from services.market import embedded, evidence, grounding, macro, planning
from services.market.bars import History
from services.market.cache import BarCache, MemoryCache
from services.market.config import MarketSettings
from services.market.failures import NoData, SourceFailure
from services.market.fetch import off_loop
from services.market.fundamentals import Fundamentals
from services.market.instruments import Instrument, catalogue
from services.market.macro_sources import MacroSources
from services.market.measures import Item, measure
from services.market.portfolio import capital, weights
from services.market.report import write_report
from services.market.sources import Found, Sources
from services.market.symbols import Resolution, resolve, well_formed
from services.market.timeframe import Window, window

BENCHMARK = "^GSPC"
LEAD = timedelta(days=420)  # calendar days before a window: 252 closes for the 52-week range, 200 for the average
MOST_SYMBOLS = 20
AT_ONCE = 6
SHORT = 500  # characters; such a text is read here and now: its symbols take 0.1 ms, those of the longest message 80
FULL_RECORD = date(1990, 1, 1)
FIRST_DAY = date(1900, 1, 1)  # nobody has daily prices from before


class MarketDesk:
    """One for the application. Safe for many greenlets; computing goes to the hub's thread pool."""

    def __init__(self, settings: MarketSettings | None = None, cache: BarCache | None = None, **overrides: Any) -> None:
        self.settings = settings or MarketSettings()
        cache = cache or MemoryCache()
        self._sources = Sources(self.settings, cache, **overrides)
        self._macro = MacroSources(self.settings, cache, **overrides)
        self._fundamentals = Fundamentals(self.settings, cache, **overrides)

    # --- instruments -------------------------------------------------------------------------------------------------

    def resolve(self, text: str, context: Mapping[str, Any] | None = None) -> Resolution:
        """The instruments a question and its context name."""
        symbols = tuple(str(s) for s in (context or {}).get("symbols") or ())[:MOST_SYMBOLS]
        return _resolved(text, symbols) if len(text) <= SHORT else off_loop(resolve, text, symbols)

    def symbols(self, text: str, context: Mapping[str, Any] | None = None) -> list[str]:
        """The symbols of `resolve`, in order."""
        return [instrument.symbol for instrument in self.resolve(text, context).instruments]

    def instrument(self, symbol: str) -> Instrument:
        """The instrument of a symbol. InvalidRequest for what is no symbol, NotFound with the nearest for an unknown one.

        With a network source configured, a well-formed symbol that our names lack is left to the sources to know.
        """
        if not well_formed(symbol):
            raise InvalidRequest("A symbol has letters, digits and one of . - ^ = only, such as AAPL or 7203.T.", field="symbol")
        known = off_loop(lambda: catalogue().get(symbol))
        if known:
            return known
        if self.settings.networked:
            return Instrument(symbol.upper(), symbol.upper(), "", "", "unlisted")
        near = off_loop(lambda: catalogue().nearest(symbol))
        hint = f" Nearest: {evidence.listed([f'{i.symbol} ({i.name})' for i in near], 'or')}." if near else ""
        raise NotFound(f"{symbol.upper()} is not a symbol known here.{hint}", field="symbol", nearest=[i.as_dict() for i in near])

    # --- prices and measures -----------------------------------------------------------------------------------------

    def history(self, symbol: str, start: date | None = None, end: date | None = None) -> History:
        """The bars of a window and those before it. By default the last year there is.

        InvalidRequest for dates reversed or in the future, NotFound for an unknown symbol, Unprocessable for a window
        the data do not reach.
        """
        today = self._sources.today()
        if start and end and start > end:
            raise InvalidRequest("The start is after the end.", field="start")
        if start and start > today:
            raise InvalidRequest("The start is in the future.", field="start")
        instrument = self.instrument(symbol)
        start = start and max(start, FIRST_DAY)
        found = self._found(instrument, (start or min(end or today, today) - timedelta(days=366)) - LEAD, min(end or today, today))
        last = found.bars.last
        end = min(end or last, today)
        begins = start or window("", "1y", min(end, last)).start
        cut = found.bars.between(None, end)
        if not len(cut.between(begins, end)):
            raise Unprocessable(
                f"{instrument.symbol} has no prices from {begins} to {end}; there are some from {found.bars.first} to {last}.",
                field="start" if begins > last else "end", first=str(found.bars.first), last=str(last))
        history = History(instrument, cut, begins, end, found.source, found.notes, last)
        return history.with_notes(*_age_notes(history, start, end, today))

    def measures(
        self, symbol: str, start: date | None = None, end: date | None = None, benchmark: str | None = BENCHMARK
    ) -> tuple[History, list[Item]]:
        """A window's history and its measures against a benchmark; without a usable benchmark three of them are null."""
        history = self.history(symbol, start, end)
        return history, off_loop(measure, history, self._benchmark(history, benchmark))

    def _benchmark(self, history: History, symbol: str | None) -> History | None:
        """The benchmark over the same days. One that was asked for by name must be known; its prices may be missing."""
        if not symbol:
            return None
        try:
            instrument = self.instrument(symbol)
        except (InvalidRequest, NotFound) as error:
            error.field = "benchmark"
            raise
        days = history.based
        try:
            found = self._found(instrument, days.first, days.last)
        except NotFound:
            return None
        cut = found.bars.between(days.first, days.last)
        return History(instrument, cut, history.window.first, days.last, found.source, found.notes, found.bars.last) if len(cut) > 2 else None

    def _found(self, instrument: Instrument, start: date, end: date) -> Found:
        try:
            return self._sources.bars(instrument, start, end)
        except NoData as failure:
            raise NotFound(f"There are no prices for {instrument.symbol}. {failure.message}", field="symbol") from None

    # --- evidence and reports ----------------------------------------------------------------------------------------

    def evidence(self, question: str, context: Mapping[str, Any] | None = None) -> evidence.EvidencePack:
        """Everything computed for one run: fetched at once, several symbols side by side, computed off the event loop.

        `context` is the request's: symbols, timeframe, riskTolerance. What cannot be had becomes a note, never an error.
        """
        context = context or {}
        resolution = self.resolve(question, context)
        instruments = resolution.instruments[:MOST_SYMBOLS]
        today = self._sources.today()
        asked = _asked(question, context.get("timeframe"), today)
        begins = min(asked.start or FULL_RECORD, today)
        notes: list[str] = []
        if len(resolution.instruments) > MOST_SYMBOLS:
            notes.append(f"Only the first {MOST_SYMBOLS} symbols were measured.")
        found = self._all(instruments, begins - LEAD, today, notes)
        histories = _windowed(found, question, context.get("timeframe"), today, notes) if found else {}
        extra = self._macro_items(question, context, bool(instruments), notes) + self._fundamentals.items(list(histories.values()), notes)
        if not (histories or extra or notes or resolution.ambiguous or resolution.unknown):
            return evidence.EvidencePack(question=question)
        benchmark = next((h for s, h in histories.items() if s == BENCHMARK), None)
        if histories and benchmark is None:
            benchmark = self._quiet_benchmark(next(iter(histories.values())))
        subject = evidence.Subject(
            question, resolution, _tolerance(context.get("riskTolerance")),
            {i.symbol: w for i, w in weights(question, resolution.mentions).items()}, capital(question))
        return off_loop(evidence.build, subject, histories, benchmark, extra, notes)

    def answer(self, request: LLMRequest) -> Iterator[str] | None:
        """The report for a question that came to the embedded provider."""
        return self.report(request.question, request.assistant, request.context, request.evidence)

    def report(
        self, question: str, assistant: str, context: Mapping[str, Any] | None = None,
        pack: evidence.EvidencePack | None = None,
    ) -> Iterator[str] | None:
        """The offline desk's answer in pieces of Markdown; None when it knows neither symbol nor topic."""
        pack = pack if pack is not None else self.evidence(question, dict(context or {}) | {"assistant": assistant})
        return write_report(question, assistant, context or {}, pack)

    def check(self, answer: str, pack: evidence.EvidencePack, question: str = "") -> list[evidence.Mark]:
        """The marks of an answer's figures, found off the event loop."""
        return off_loop(grounding.check, answer, pack, question)

    def _all(
        self, instruments: Sequence[Instrument], start: date, end: date, notes: list[str]
    ) -> dict[str, tuple[Found, Instrument]]:
        def one(instrument: Instrument) -> Found | SourceFailure:
            try:
                return self._sources.bars(instrument, start, end)
            except SourceFailure as failure:
                return failure

        results = Pool(AT_ONCE).map(one, instruments) if self.settings.networked else [one(i) for i in instruments]
        found: dict[str, tuple[Found, Instrument]] = {}
        for instrument, result in zip(instruments, results, strict=True):
            if isinstance(result, Found):
                found[instrument.symbol] = result, instrument
            else:
                notes.append(f"There are no prices for {instrument.name} ({instrument.symbol}). {result.message}")
        return found

    def _quiet_benchmark(self, history: History) -> History | None:
        return self._benchmark(history, BENCHMARK)

    def _macro_items(self, question: str, context: Mapping[str, Any], named: bool, notes: list[str]) -> list[Item]:
        economist = context.get("assistant", context.get("assistantType")) == "economist"
        return self._macro.items(notes) if macro.asked_for(question) or (economist and named) else []

    # --- looking after it --------------------------------------------------------------------------------------------

    def warm(self) -> None:
        """Read names and embedded data now, off the event loop, so that the first question does not wait for them."""
        off_loop(lambda: (catalogue(), embedded.symbols(), embedded.macro(macro.SERIES[0])))

    def sources(self, *, ask: bool = False) -> list[dict[str, object]]:
        """What is configured, what it last said, and where its data end; with `ask` each configured one is asked now."""
        if ask:
            self._sources.probe(catalogue().by_symbol["AAPL"])
            self._macro.items([])
            self._fundamentals.probe()
        return self._sources.report() + self._macro.report() + self._fundamentals.report()

    def refresh(self, symbols: Sequence[str], start: date | None = None) -> Iterator[tuple[str, History | str]]:
        """Fetch symbols into the cache, each with its history or the reason there is none."""
        for symbol in symbols:
            try:
                yield symbol, self.history(symbol, start)
            except (InvalidRequest, NotFound, Unprocessable) as error:
                yield symbol, error.message


@lru_cache(maxsize=256)
def _resolved(text: str, symbols: tuple[str, ...]) -> Resolution:
    """Every turn asks twice: what to detect, and what to gather evidence for."""
    return resolve(text, symbols)


def _asked(question: str, timeframe: str | None, last: date) -> Window:
    return window(question, timeframe, last) if len(question) <= SHORT else off_loop(window, question, timeframe, last)


def _windowed(
    found: Mapping[str, tuple[Found, Instrument]], question: str, timeframe: str | None, today: date, notes: list[str]
) -> dict[str, History]:
    """The histories over one window, counted back from the newest day that all of them have."""
    last = min(f.bars.last for f, _ in found.values())
    if max(f.bars.last for f, _ in found.values()) - last > timedelta(days=10):
        notes.append(f"The figures end on {last}, the last day all of them have prices for.")
    span = _asked(question, timeframe, last)
    if (span.start and span.start > last) or (span.end and span.end < min(f.bars.first for f, _ in found.values())):
        shown = window("", timeframe, last)
        notes.append(f"There are no prices {span}; the figures are {shown}.")
        span = shown
    histories = {}
    for symbol, (result, instrument) in found.items():
        end = min(span.end or last, last)
        cut = result.bars.between(None, end)
        begins = max(span.start or result.bars.first, result.bars.first)
        if not len(cut.between(begins, end)):
            notes.append(f"There are no prices for {instrument.symbol} {span}.")
            continue
        history = History(instrument, cut, begins, end, result.source, result.notes, result.bars.last)
        histories[symbol] = history.with_notes(*_age_notes(history, span.start, end, today))
    return histories


def _age_notes(history: History, start: date | None, end: date, today: date) -> list[str]:
    notes = []
    if history.source.name == "embedded":
        last = embedded.prices(history.instrument.symbol).last
        whose = "" if last == embedded.ENDS else f" of {history.instrument.symbol}"
        notes.append(f"The embedded prices{whose} end on {last}, {_ago(last, today)}; newer ones need a source with a network.")
    elif end - history.window.last > timedelta(days=7):
        notes.append(f"The newest price of {history.instrument.symbol} is of {history.window.last}.")
    if start and history.window.first - start > timedelta(days=7):
        notes.append(f"The prices of {history.instrument.symbol} begin on {history.window.first}.")
    return notes


def _ago(day: date, today: date) -> str:
    """How long ago in words: a figure here would have to be evidence."""
    years = (today - day).days // 365
    words = ("less than a year", "more than a year", "more than two years", "more than three years", "more than four years",
             "more than five years")
    return f"{words[years] if years < len(words) else 'many years'} ago"


def _tolerance(value: object) -> str:
    return value if value in planning.LIMITS else "moderate"

