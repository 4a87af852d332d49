"""US macro series: FRED with a key, otherwise what ships."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable

import numpy as np

from services.market import embedded, macro, readers
from services.market.cache import BarCache, OneAtATime
from services.market.config import MarketSettings
from services.market.failures import NoData, SourceFailure
from services.market.fetch import get, off_loop
from services.market.measures import Item

EMBEDDED = "embedded set (statsmodels, arch)"
KEPT_FOR = 6 * 3600.0  # the series come out once a month or quarter
FROM = "1990-01-01"


class MacroSources:
    """Macro items. A series FRED does not give in time comes from the embedded set, which ends in 2009 to 2019."""

    def __init__(
        self, settings: MarketSettings, cache: BarCache, *, fetch: Callable[..., object] = get,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._cache, self._fetch, self._clock = settings, cache, fetch, clock
        self._single = OneAtATime()
        self._resting_until, self._last = 0.0, "not asked yet"

    def items(self, notes: list[str]) -> list[Item]:
        """The macro figures; what went wrong on the way, and how old embedded ones are, is added to `notes`."""
        series, sources = {}, {}
        for name in macro.SERIES:
            fresh = self._fresh(name, notes)
            try:
                series[name] = fresh or embedded.macro(name)
            except NoData:
                continue
            sources[name] = "FRED" if fresh else f"{EMBEDDED}, data end {series[name][0][-1]}"
        if any(source != "FRED" for source in sources.values()):
            notes.append("The embedded macro series are old: each figure is dated. With a FRED key they are current.")
        return macro.items(series, sources)

    def _fresh(self, name: str, notes: list[str]) -> macro.Series | None:
        if not self._settings.configured("fred"):
            return None
        return self._single.run(name, lambda: self._cached_or_asked(name, notes))

    def _cached_or_asked(self, name: str, notes: list[str]) -> macro.Series | None:
        stored = self._cache.get(f"macro:{name}")
        kept = off_loop(_unpacked, stored) if stored else None
        if kept and self._clock() - kept[0] < KEPT_FOR:
            return kept[1]
        try:
            if self._clock() < self._resting_until:
                raise SourceFailure(self._last)
            answer = self._fetch(
                self._settings.addresses["fred"] + "/fred/series/observations",
                {"series_id": name, "api_key": self._settings.keys["fred"], "file_type": "json", "observation_start": FROM},
                limit=self._settings.source_timeout,
            )
            series = off_loop(lambda: readers.fred(answer.json()))
        except SourceFailure as failure:
            self._last, self._resting_until = failure.message, max(self._resting_until, self._clock() + failure.rest)
            note = f"FRED was passed over: {failure.message}"
            if note not in notes:
                notes.append(note)
            return kept[1] if kept else None
        self._last = "answered"
        self._cache.put(f"macro:{name}", _packed(self._clock(), series))
        return series

    def report(self) -> list[dict[str, object]]:
        ends = max(embedded.macro(name)[0][-1] for name in macro.SERIES)
        return [
            {"name": "fred", "title": "FRED", "configured": self._settings.configured("fred"), "last": self._last,
             "dataEnd": None},
            {"name": "embedded_macro", "title": EMBEDDED, "configured": True, "last": "ready", "dataEnd": str(ends)},
        ]


def _packed(fetched: float, series: macro.Series) -> bytes:
    out = io.BytesIO()
    np.savez(out, fetched=np.array(fetched), days=series[0].astype("datetime64[D]").astype(np.int32), values=series[1])
    return out.getvalue()


def _unpacked(stored: bytes) -> tuple[float, macro.Series] | None:
    try:
        with np.load(io.BytesIO(stored), allow_pickle=False) as kept:
            return float(kept["fetched"]), (kept["days"].astype("datetime64[D]"), kept["values"])
    except (ValueError, KeyError, OSError, zipfile.BadZipFile):
        return None


