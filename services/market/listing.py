"""A history and its measures as JSON, as CSV and as what the symbol's page needs. Encoded off the event loop."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import orjson

from services.market import charts, wording
from services.market.bars import COLUMNS, Bars, History
from services.market.evidence import curve
from services.market.fetch import off_loop
from services.market.measures import Item, source_text


def as_json(history: History, measures: Sequence[Item]) -> bytes:
    """`{instrument, source, asOf, bars: {dates, close, …}, measures, notes}`; a bar without a value has null."""
    return off_loop(_encoded, history, measures)


def as_csv(history: History) -> bytes:
    """The window's bars, a line a day, oldest first; an unknown value is empty."""
    return off_loop(_lines, history.window)


def page_facts(history: History, measures: Sequence[Item]) -> dict[str, object]:
    """The values of market/symbol.html: pictures, rows and where the figures come from."""
    return off_loop(_facts, history, measures)


def _encoded(history: History, measures: Sequence[Item]) -> bytes:
    window = history.window
    return orjson.dumps({
        "instrument": history.instrument.as_dict(),
        "source": source_text(history),
        "adjusted": history.source.adjusted,
        "asOf": window.last.isoformat(),
        "bars": {"dates": _days(window)} | {name: np.ascontiguousarray(c) for name, c in _columns(window)},
        "measures": [item.as_dict() for item in measures],
        "notes": [*history.notes, *([history.source.caution] if history.source.caution else [])],
    }, option=orjson.OPT_SERIALIZE_NUMPY)


def _lines(window: Bars) -> bytes:
    columns = _columns(window)
    rows = zip(_days(window), *([_plain(v) for v in column.tolist()] for _, column in columns), strict=True)
    head = ",".join(("date", *(name for name, _ in columns)))
    return "\r\n".join([head, *(",".join(row) for row in rows), ""]).encode()


def _facts(history: History, measures: Sequence[Item]) -> dict[str, object]:
    instrument, window = history.instrument, history.window
    line = charts.line(instrument.symbol, curve(history.based))
    source = source_text(history)
    pictures = [charts.price_chart([line], instrument.money, source), charts.drawdown_chart([line], source)] \
        if len(history.based) > 2 else []
    return {
        "instrument": instrument, "source": source, "begins": window.first, "ends": window.last,
        "close": wording.money(float(window.close[-1]), instrument.money),
        "spark": charts.sparkline(window.close.tolist(), f"{instrument.symbol}, last {min(60, len(window))} days"),
        "pictures": [picture.html for picture in pictures],
        "rows": [(item, wording.shown(item)) for item in measures],
        "notes": [*history.notes, *([history.source.caution] if history.source.caution else [])],
        "adjusted": history.source.adjusted,
    }


def _columns(window: Bars) -> list[tuple[str, np.ndarray]]:
    """The columns that have a value on at least one day."""
    known = [(name, getattr(window, name)) for name in COLUMNS]
    return [(name, column) for name, column in known if column is not None and np.isfinite(column).any()]


def _days(window: Bars) -> list[str]:
    return np.datetime_as_string(window.dates, unit="D").tolist()


def _plain(value: float) -> str:
    return "" if value != value else repr(value)
