"""Where prices come from: sources in a declared order, one answer, and the reason for each that was passed over."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import numpy as np

from services.market import embedded, readers
from services.market.bars import Bars, SourceNote
from services.market.cache import BarCache, OneAtATime
from services.market.config import MarketSettings
from services.market.failures import NoData, NotConfigured, SourceFailure, Stale
from services.market.fetch import get, off_loop
from services.market.instruments import Instrument

OVERLAP = timedelta(days=14)  # fetched again behind cached bars: if they differ, a split or dividend changed them all
SAME = 1e-3
CURRENT = timedelta(days=10)  # longer than any holiday: an exchange that trades has a newer price
TWELVE_EXCHANGES = {"T": "JPX", "HK": "HKEX", "DE": "XETR", "L": "LSE", "PA": "Euronext", "AS": "Euronext", "SW": "SIX",
                    "TO": "TSX", "AX": "ASX", "NS": "NSE", "KS": "KRX", "TW": "TWSE", "MI": "MTA", "MC": "BME"}
Params = dict[str, str]


@dataclass(frozen=True)
class Source:
    """One source as data: how it is asked and how its answer is read. `params` raises NoData for what it does not carry."""

    name: str
    title: str
    adjusted: str
    path: Callable[[Instrument], str]
    params: Callable[[Instrument, date, date, str], Params]
    read: Callable[..., readers.Read]

    @property
    def note(self) -> SourceNote:
        return SourceNote(self.name, self.title, self.adjusted)


def _seconds(day: date, after: int = 0) -> str:
    return str(int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) + after * 86400)


def _us_only(instrument: Instrument) -> str:
    """The symbol as US sources spell it. NoData for indices, foreign listings and currencies."""
    head, _, tail = instrument.symbol.partition(".")
    if not head.isalpha() or len(tail) > 1 or tail in ("T", "L") or instrument.kind in ("index", "crypto", "currency"):
        raise NoData("It carries US shares only.")
    return instrument.symbol


def _twelve_symbol(instrument: Instrument) -> Params:
    head, _, tail = instrument.symbol.partition(".")
    if instrument.kind == "crypto":
        return {"symbol": instrument.symbol.replace("-", "/")}
    if instrument.symbol.startswith("^"):
        return {"symbol": {"^GSPC": "SPX", "^IXIC": "IXIC", "^DJI": "DJI"}.get(instrument.symbol, instrument.symbol[1:])}
    if tail in TWELVE_EXCHANGES:
        return {"symbol": head, "exchange": TWELVE_EXCHANGES[tail]}
    return {"symbol": instrument.symbol}


SOURCES = (
    Source(
        "yahoo", "Yahoo chart API", "splits and dividends",
        lambda i: f"/v8/finance/chart/{i.symbol.replace('.', '-') if i.symbol[-2:] in ('.A', '.B') else i.symbol}",
        lambda i, start, end, key: {"period1": _seconds(start), "period2": _seconds(end, 1), "interval": "1d"},
        readers.yahoo_chart,
    ),
    Source(
        "twelvedata", "Twelve Data", "splits and dividends",
        lambda i: "/time_series",
        lambda i, start, end, key: _twelve_symbol(i) | {
            "interval": "1day", "start_date": start.isoformat(), "end_date": (end + timedelta(1)).isoformat(),
            "outputsize": "5000", "adjust": "all", "apikey": key},
        readers.twelve_data,
    ),
    Source(
        "alphavantage", "Alpha Vantage", "splits and dividends",
        lambda i: "/query",
        lambda i, start, end, key: {
            "function": "TIME_SERIES_DAILY_ADJUSTED", "symbol": _us_only(i), "outputsize": "full", "apikey": key},
        readers.alpha_vantage,
    ),
    Source(
        "finnhub", "Finnhub", "splits",
        lambda i: "/api/v1/stock/candle",
        lambda i, start, end, key: {
            "symbol": _us_only(i), "resolution": "D", "from": _seconds(start), "to": _seconds(end, 1), "token": key},
        readers.finnhub,
    ),
)
EMBEDDED = Source("embedded", embedded.NOTE.title, embedded.NOTE.adjusted, str, lambda *_: {}, readers.yahoo_chart)
BY_NAME = {source.name: source for source in (*SOURCES, EMBEDDED)}


@dataclass(frozen=True, eq=False)
class Found:
    """Bars from the start asked for, or as near as there are, with the sentences about how they were come by."""

    bars: Bars
    source: SourceNote
    notes: tuple[str, ...] = ()


@dataclass
class State:
    """What a source last said; `resting_until` keeps a failing one from costing every question its time limit."""

    resting_until: float = 0.0
    last: str = "not asked yet"
    answered_at: float | None = None
    took_ms: int | None = None
    newest: date | None = None


@dataclass
class Kept:
    """A cache entry: bars, and the range that was asked for, since a holiday has no bar to show for it."""

    bars: Bars
    source: str
    begins: date
    asked: date  # the last day asked for, and below the last of them that was over then
    settled: date
    fetched: float
    notes: tuple[str, ...] = field(default=())


class Sources:
    """Bars by instrument and dates. Asks the configured sources in order, then the cache whatever its age, then the set
    that ships. Settled days are kept for good, today's for `quote_ttl`; an empty answer is never kept."""

    def __init__(
        self,
        settings: MarketSettings,
        cache: BarCache,
        *,
        fetch: Callable[..., object] = get,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._cache, self._fetch, self._clock = settings, cache, fetch, clock
        self._single = OneAtATime()
        self.states: dict[str, State] = {name: State() for name in settings.order}

    def today(self) -> date:
        return datetime.fromtimestamp(self._clock(), UTC).date()

    def bars(self, instrument: Instrument, start: date, end: date) -> Found:
        """Bars of at least start to end where anyone has them. NoData, with what each source said, when none has."""
        return self._single.run(instrument.symbol, lambda: self._bars(instrument, start, end))

    def _bars(self, instrument: Instrument, start: date, end: date) -> Found:
        kept = self._kept(instrument) if self._settings.networked else None
        if kept and self._enough(kept, start, end):
            return Found(kept.bars, BY_NAME[kept.source].note, kept.notes)
        passed: list[str] = []
        old: Found | None = None
        for name in self._settings.order[: self._settings.order.index("embedded")]:
            try:
                found = self._fresh(BY_NAME[name], instrument, start, end, kept, passed)
                old = max(filter(None, (old, found)), key=lambda f: f.bars.last)
                _check_age(found.bars, min(end, self.today()))
                return found
            except NotConfigured:
                continue
            except SourceFailure as failure:
                passed.append(f"{BY_NAME[name].title} was passed over: {failure.message}")
        return self._offline(instrument, start, end, kept, passed, old)

    def _fresh(
        self, source: Source, instrument: Instrument, start: date, end: date, kept: Kept | None, passed: list[str]
    ) -> Found:
        extend = kept is not None and kept.source == source.name and kept.begins <= start and len(kept.bars) > 0
        begins = kept.bars.last - OVERLAP if extend else start
        bars, notes = self._ask(source, instrument, begins, end)
        if extend:
            joined = _joined(kept.bars, bars)
            if joined is None:  # the past was restated: what is kept of it is wrong as a whole
                begins = kept.begins
                bars, notes = self._ask(source, instrument, begins, end)
            else:
                bars, begins = joined, kept.begins
        entry = Kept(bars, source.name, begins, end, min(end, self.today() - timedelta(days=1)), self._clock(), tuple(notes))
        self._keep(instrument, entry)
        return Found(bars, source.note, (*passed, *notes))

    def _ask(self, source: Source, instrument: Instrument, start: date, end: date) -> tuple[Bars, list[str]]:
        """One request, with the source's state kept: how it went, and how long to leave it alone."""
        if not self._settings.configured(source.name):
            raise NotConfigured("It is not configured.")
        state, begun = self.states[source.name], self._clock()
        if state.resting_until > begun:
            raise SourceFailure(f"{state.last} It is left alone for {state.resting_until - begun:.0f} s.")
        try:
            params = source.params(instrument, start, end, self._settings.keys[source.name])
            answer = self._fetch(
                self._settings.addresses[source.name] + source.path(instrument), params, limit=self._settings.source_timeout
            )
            bars, notes = off_loop(_read, source, answer, self.today(), instrument.kind == "commodity")
        except SourceFailure as failure:
            state.last, state.resting_until = failure.message, self._clock() + failure.rest
            raise
        state.last, state.answered_at = "answered", self._clock()
        state.took_ms = round((self._clock() - begun) * 1000)
        return bars, notes

    def _offline(
        self, instrument: Instrument, start: date, end: date, kept: Kept | None, passed: list[str], old: Found | None
    ) -> Found:
        """The best there is without a current source: what one gave that had no newer, the cache, the set that ships."""
        try:
            shipped = off_loop(embedded.prices, instrument.symbol)
        except NoData:
            shipped = None
        if old and (shipped is None or old.bars.last >= shipped.last):
            return Found(old.bars, old.source, tuple(dict.fromkeys((*passed, *old.notes))))
        if kept and (shipped is None or (kept.begins <= start and kept.bars.last >= min(end, shipped.last))):
            age = f"The prices are from the cache and were fetched on {datetime.fromtimestamp(kept.fetched, UTC):%Y-%m-%d}."
            return Found(kept.bars, BY_NAME[kept.source].note, (*passed, *kept.notes, age))
        if shipped is None:
            raise NoData(" ".join(passed) or "The embedded set has no prices for it (it has large US shares and two US indices), and no other source is configured.")
        return Found(shipped, embedded.NOTE, tuple(passed))

    def _enough(self, kept: Kept, start: date, end: date) -> bool:
        if kept.begins > start:
            return False
        return end <= kept.settled or end <= kept.asked and self._clock() - kept.fetched < self._settings.quote_ttl

    def probe(self, instrument: Instrument) -> None:
        """Ask each configured source for a fortnight of one instrument, past the cache, so that its state is of now."""
        today = self.today()
        for name in self._settings.order:
            if name != "embedded" and self._settings.configured(name):
                try:
                    bars, _ = self._ask(BY_NAME[name], instrument, today - OVERLAP, today)
                    self.states[name].newest = bars.last
                except SourceFailure:
                    continue  # the state holds the reason

    def report(self) -> list[dict[str, object]]:
        """Each source of prices with what it last said."""
        rows: list[dict[str, object]] = []
        for name in self._settings.order:
            source, state, shipped = BY_NAME[name], self.states[name], name == "embedded"
            rows.append({
                "name": name, "title": source.title, "configured": self._settings.configured(name),
                "last": "ready" if shipped else state.last, "answeredAt": state.answered_at, "tookMs": state.took_ms,
                "dataEnd": str(embedded.ENDS if shipped else state.newest) if shipped or state.newest else None,
            })
        return rows

    def _kept(self, instrument: Instrument) -> Kept | None:
        # The cache is asked in this greenlet: whether its I/O may block, and where, is its own business.
        stored = self._cache.get(f"bars:{instrument.symbol}")
        return None if stored is None else off_loop(_unpacked, stored)

    def _keep(self, instrument: Instrument, entry: Kept) -> None:
        self._cache.put(f"bars:{instrument.symbol}", off_loop(_packed, entry))


def _packed(entry: Kept) -> bytes:
    return entry.bars.to_bytes({
        "source": entry.source, "begins": entry.begins.isoformat(), "asked": entry.asked.isoformat(), "settled": entry.settled.isoformat(),
        "fetched": entry.fetched, "notes": list(entry.notes),
    })


def _unpacked(stored: bytes) -> Kept | None:
    """None for an entry of another version or half a file: that is a miss, not an error."""
    try:
        bars, meta = Bars.from_bytes(stored)
        return Kept(bars, BY_NAME[meta["source"]].name, date.fromisoformat(meta["begins"]),
                    date.fromisoformat(meta["asked"]), date.fromisoformat(meta["settled"]), float(meta["fetched"]), tuple(meta["notes"]))
    except (ValueError, KeyError, OSError, TypeError, zipfile.BadZipFile):
        return None


def _read(source: Source, answer: object, today: date, negative_allowed: bool) -> tuple[Bars, list[str]]:
    return source.read(answer.json(), today=today, negative_allowed=negative_allowed)


def _check_age(bars: Bars, wanted: date) -> None:
    """Raise Stale when the newest bar is well before the day wanted: another source may have more."""
    if wanted - bars.last > CURRENT:
        raise Stale(f"Its newest price is of {bars.last}.")


def _joined(old: Bars, new: Bars) -> Bars | None:
    """Old bars with the new ones behind them; None when they disagree about a day both have, or share none."""
    shared, at_old, at_new = np.intersect1d(old.dates[:-1], new.dates, assume_unique=True, return_indices=True)
    if not len(shared) or (np.abs(old.close[at_old] / new.close[at_new] - 1) > SAME).any():
        return None
    cut = int(np.searchsorted(old.dates, new.dates[0]))
    columns = {}
    for name in ("open", "high", "low", "close", "volume"):
        before, after = getattr(old, name), getattr(new, name)
        columns[name] = None if before is None or after is None else np.concatenate((before[:cut], after))
    return Bars(np.concatenate((old.dates[:cut], new.dates)), **columns)
