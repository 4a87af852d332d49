"""Daily bars: what a source delivers, cleaned once, and the window a question looks at."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import ArrayLike, NDArray

COLUMNS = ("open", "high", "low", "close", "volume")
SPLIT_RATIOS = np.array([1.5, 2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 50])


@dataclass(frozen=True, eq=False)
class Bars:
    """One instrument's daily bars, dates ascending and unique. Columns are float64 of one length; only close is certain."""

    dates: NDArray[np.datetime64]
    close: NDArray[np.float64]
    open: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None
    low: NDArray[np.float64] | None = None
    volume: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.dates)

    @property
    def first(self) -> date:
        return self.dates[0].item()

    @property
    def last(self) -> date:
        return self.dates[-1].item()

    def slice(self, start: int, stop: int) -> Bars:
        """The bars of positions start to stop, as views."""
        columns = {name: getattr(self, name) for name in COLUMNS}
        return Bars(self.dates[start:stop], **{n: None if c is None else c[start:stop] for n, c in columns.items()})

    def between(self, start: date | None, end: date | None) -> Bars:
        """The bars from start to end, both included; empty where there are none."""
        low = 0 if start is None else int(np.searchsorted(self.dates, np.datetime64(start)))
        high = len(self) if end is None else int(np.searchsorted(self.dates, np.datetime64(end), side="right"))
        return self.slice(low, max(low, high))

    def has_range(self) -> bool:
        """Whether every bar has a high and a low, as the average true range needs."""
        return self.high is not None and self.low is not None and bool(np.isfinite(self.high + self.low).all())

    def to_bytes(self, meta: dict[str, object]) -> bytes:
        """The bars and a few plain facts as bytes for a cache."""
        arrays = {n: getattr(self, n) for n in COLUMNS if getattr(self, n) is not None}
        out = io.BytesIO()
        np.savez(out, dates=self.dates.astype("datetime64[D]").astype(np.int32), meta=np.array(json.dumps(meta)), **arrays)
        return out.getvalue()

    @staticmethod
    def from_bytes(data: bytes) -> tuple[Bars, dict[str, object]]:
        """What to_bytes wrote. ValueError, KeyError or OSError for anything else."""
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            meta = json.loads(str(stored["meta"]))
            columns = {name: stored[name] for name in COLUMNS if name in stored.files}
            return Bars(stored["dates"].astype("datetime64[D]"), **columns), meta


@dataclass(frozen=True)
class SourceNote:
    """Where bars came from. `adjusted` says for what: "splits and dividends", "splits", or "nothing"."""

    name: str
    title: str
    adjusted: str = "splits and dividends"
    caution: str = ""


@dataclass(frozen=True, eq=False)
class History:
    """An instrument's bars for a window, with the bars before it that averages and the first return need.

    `notes` are sentences for the person who asked: sources passed over, bars dropped, data older than asked for.
    """

    instrument: object
    bars: Bars
    start: date
    end: date
    source: SourceNote
    notes: tuple[str, ...] = ()
    data_end: date | None = None  # the last day the source has, where the window ends before it

    @property
    def opening(self) -> int:
        """The position of the window's first bar in `bars`."""
        return int(np.searchsorted(self.bars.dates, np.datetime64(self.start)))

    @property
    def window(self) -> Bars:
        return self.bars.slice(self.opening, len(self.bars))

    @property
    def based(self) -> Bars:
        """The window and the bar before it, so that n bars in the window give n returns."""
        return self.bars.slice(max(0, self.opening - 1), len(self.bars))

    def with_notes(self, *notes: str) -> History:
        return replace(self, notes=self.notes + tuple(n for n in notes if n not in self.notes))


def clean(
    dates: ArrayLike,
    close: ArrayLike,
    *,
    today: date,
    negative_allowed: bool = False,
    **columns: ArrayLike | None,
) -> tuple[Bars, list[str]]:
    """Bars from what a source said, and what had to be put right.

    Sorts, keeps the later of two bars of one day, drops bars without a close, from the future, or at or below zero
    (commodity futures may be negative), and names days that look like a split the source did not adjust for.
    """
    days = np.asarray(dates, dtype="datetime64[D]")
    arrays = {n: np.asarray(c, dtype=float) for n, c in ({"close": close} | columns).items() if c is not None}
    notes: list[str] = []
    order = np.argsort(days, kind="stable")
    if len(days) > 1 and (np.diff(days).astype(int) < 0).any():
        notes.append("The source's days were out of order and were sorted.")
    days = days[order]
    latest = np.append(np.diff(days).astype(int) != 0, True) if len(days) else np.zeros(0, bool)
    if not latest.all():
        notes.append(f"{int((~latest).sum())} repeated days of the source were merged.")
    prices = arrays["close"][order]
    bad = ~np.isfinite(prices) | ((prices <= 0) if not negative_allowed else (prices == 0)) | (days > np.datetime64(today))
    if bad.any():
        notes.append(f"{int(bad.sum())} bars without a usable price or from the future were dropped.")
    keep = latest & ~bad
    kept = {n: a[order][keep] for n, a in arrays.items()}
    bars = Bars(days[keep], **kept)
    return bars, notes + [f"The move on {day} looks like a split the source did not adjust for." for day in split_days(bars)]


def split_days(bars: Bars) -> list[date]:
    """Days whose close is within 1 % of a usual split ratio of the close before: 4 for 1, 3 for 2, 1 for 10 and so on."""
    if len(bars) < 2 or (bars.close <= 0).any():
        return []
    ratio = bars.close[:-1] / bars.close[1:]
    ratio = np.where(ratio < 1, 1 / ratio, ratio)
    near = np.abs(ratio[:, None] / SPLIT_RATIOS - 1).min(axis=1) < 0.01
    return [day.item() for day in bars.dates[1:][near & (ratio > 1.45)]][:5]
