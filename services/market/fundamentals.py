"""Reported figures of US companies from the SEC's company facts: only with a contact to give, and never from the future."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date

import gevent
import orjson

from services.market import readers
from services.market.bars import History
from services.market.cache import BarCache, OneAtATime
from services.market.config import MarketSettings
from services.market.failures import Malformed, NoData, SourceFailure
from services.market.fetch import get, off_loop
from services.market.measures import Item

SOURCE = "SEC company facts"
KEPT_FOR = 24 * 3600.0
CONCEPTS = (  # id, label, US-GAAP concepts in order of preference
    ("revenue", "Revenue, fiscal year", ("RevenueFromContractWithCustomerExcludingAssessedTax", "Revenues", "SalesRevenueNet")),
    ("net_income", "Net income, fiscal year", ("NetIncomeLoss", "ProfitLoss")),
    ("eps", "Diluted earnings a share, fiscal year", ("EarningsPerShareDiluted", "EarningsPerShareBasic")),
)


class Pace:
    """At most so many calls a second, for all greenlets together: each call is given its moment and waits for it."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._gap, self._next, self._clock = 1 / per_second, 0.0, clock

    def wait(self) -> None:
        now = self._clock()
        moment = max(now, self._next)
        self._next = moment + self._gap
        if moment > now:
            gevent.sleep(moment - now)


class Fundamentals:
    """Items for the US stocks among histories, as they were known on the last day of each window."""

    def __init__(
        self, settings: MarketSettings, cache: BarCache, *, fetch: Callable[..., object] = get,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._cache, self._fetch, self._clock = settings, cache, fetch, clock
        self._single, self._pace = OneAtATime(), Pace(settings.sec_per_second)
        self._resting_until, self._last = 0.0, "not asked yet"

    def items(self, histories: Sequence[History], notes: list[str]) -> list[Item]:
        if not self._settings.configured("sec"):
            return []
        found: list[Item] = []
        for history in histories:
            instrument = history.instrument
            if instrument.kind != "stock" or instrument.currency != "USD":
                continue
            try:
                facts = self._document(f"facts:{self._cik(instrument.symbol)}")
                found += off_loop(_items, facts, history)
            except NoData:
                continue
            except SourceFailure as failure:
                note = f"{SOURCE} were passed over: {failure.message}"
                if note not in notes:
                    notes.append(note)
        return found

    def _cik(self, symbol: str) -> str:
        wanted = symbol.replace(".", "-")
        for row in self._document("tickers").values():
            if isinstance(row, dict) and row.get("ticker") == wanted:
                return f"{int(row['cik_str']):010d}"
        raise NoData("It files nothing with the SEC.")

    def _document(self, key: str) -> dict:
        return self._single.run(key, lambda: self._cached_or_asked(key))

    def _cached_or_asked(self, key: str) -> dict:
        stored = self._cache.get(f"sec:{key}")
        kept = off_loop(orjson.loads, stored) if stored else None
        if kept and self._clock() - kept["fetched"] < KEPT_FOR:
            return kept["document"]
        if self._clock() < self._resting_until:
            raise SourceFailure(self._last)
        self._pace.wait()
        try:
            answer = self._fetch(self._address(key), {}, limit=self._settings.source_timeout,
                                 headers={"User-Agent": f"Tickertape {self._settings.keys['sec']}"})
            document = off_loop(answer.json)
            if not isinstance(document, dict) or not document:
                raise Malformed("Its answer does not have the shape it promises.")
        except SourceFailure as failure:
            self._last, self._resting_until = failure.message, max(self._resting_until, self._clock() + failure.rest)
            raise
        self._last = "answered"
        self._cache.put(f"sec:{key}", off_loop(orjson.dumps, {"fetched": self._clock(), "document": document}))
        return document

    def _address(self, key: str) -> str:
        if key == "tickers":
            return self._settings.addresses["sec_files"] + "/files/company_tickers.json"
        return f"{self._settings.addresses['sec']}/api/xbrl/companyfacts/CIK{key.partition(':')[2]}.json"

    def probe(self) -> None:
        """Ask for the list of companies, so that the state is of now."""
        if self._settings.configured("sec"):
            try:
                self._document("tickers")
            except SourceFailure:
                return  # the state holds the reason

    def report(self) -> list[dict[str, object]]:
        return [{"name": "sec", "title": SOURCE, "configured": self._settings.configured("sec"), "last": self._last,
                 "dataEnd": None}]


def _items(facts: dict, history: History) -> list[Item]:
    """Figures filed by the window's last day, and the price to earnings ratio they give with its close."""
    known_on: date = history.window.last
    symbol, found = history.instrument.symbol, []
    for id, label, concepts in CONCEPTS:
        try:
            fact = readers.sec_fact(facts, concepts, known_on)
        except NoData:
            continue
        unit = "money" if fact.unit in ("USD", "USD/shares") else "ratio"
        found.append(Item(f"{symbol}:{id}", label, fact.value, unit, f"{SOURCE}, {fact.form} filed {fact.filed}",
                          concepts[0], as_of=fact.ends, currency="USD", symbol=symbol))
        if id == "eps" and fact.value > 0 and history.source.adjusted != "splits and dividends":
            found.append(Item(f"{symbol}:pe", "Price to earnings", float(history.window.close[-1]) / fact.value, "ratio",
                              f"{SOURCE} and {history.source.title}", "close / diluted earnings a share", as_of=known_on,
                              symbol=symbol))
    return found
