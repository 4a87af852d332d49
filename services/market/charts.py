"""Pictures of prices as inline SVG: made on the server, without script and without style attributes. Pure.

Colours come from classes (static/css/market.css), so that dark mode and print work; text inside is sized for 320 px.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from hashlib import blake2s

from services.market.evidence import Curve, EvidencePack
from services.market.wording import MINUS, money, percent

WIDTH, HEIGHT = 640, 260
LEFT, RIGHT, TOP, BOTTOM = 8, 70, 14, 30  # the scale stands at the right, where the newest price is
LINES = 4  # symbols in one chart; a fifth line would have no colour of its own


Label = Callable[..., str]  # a value, and for a tick its decimals
Scale = Callable[[float], float]


@dataclass(frozen=True)
class Picture:
    """A figure for the page: `html` is a whole <figure>, with its table alternative in <details>."""

    id: str
    html: str
    caption: str


@dataclass(frozen=True)
class Line:
    name: str
    dates: tuple[date, ...]
    values: tuple[float, ...]


def chart_html(pack: EvidencePack) -> list[Picture]:
    """The pictures of a pack: prices (indexed to 100 where several share a chart), and how far below their peaks."""
    curves = {symbol: curve for symbol, curve in list(pack.curves.items())[:LINES] if len(curve.dates) > 2}
    if not curves:
        return []
    currency = next((i.money for i in pack.instruments if i.symbol in curves), None)
    lines = [line(symbol, curve) for symbol, curve in curves.items()]
    source = next((item.source for item in pack.items if item.symbol in curves), "")
    return [price_chart(lines, currency, source), drawdown_chart(lines, source)]


def price_chart(lines: Sequence[Line], currency: str | None, source: str = "") -> Picture:
    """One symbol's prices in its currency, or several indexed to 100 on the first day."""
    indexed = len(lines) > 1
    drawn = [_indexed(line) for line in lines] if indexed else list(lines)
    names = ", ".join(line.name for line in lines)
    title = f"{names}, indexed to 100" if indexed else f"{names}, closing prices"

    def label(value: float, places: int | None = None) -> str:
        return f"{value:,.{places or 0}f}" if indexed else money(value, currency, places)

    told = ". ".join(
        f"{line.name} goes from {label(line.values[0])} on {line.dates[0]} to {label(line.values[-1])} on {line.dates[-1]}, "
        f"lowest {label(min(line.values))}, highest {label(max(line.values))}" for line in drawn)
    return _picture(drawn, title, told + ".", label, source, "mk-price")


def drawdown_chart(lines: Sequence[Line], source: str = "") -> Picture:
    """How far each stands below its highest price so far."""
    drawn = [_below_peak(line) for line in lines]
    names = ", ".join(line.name for line in lines)

    def label(value: float, places: int | None = None) -> str:
        return percent(value, 1 if places is None else max(0, places - 2))

    told = ". ".join(
        f"{line.name} stands at its lowest {percent(min(line.values))} below its peak, on {line.dates[line.values.index(min(line.values))]}"
        .replace(MINUS, "") for line in drawn)
    return _picture(drawn, f"{names}, fall from the peak so far", told + ".", label, source, "mk-fall", ceiling=0.0)


def line(symbol: str, curve: Curve) -> Line:
    """A curve of the evidence as a line to draw."""
    return Line(symbol, tuple(date.fromisoformat(d) for d in curve.dates), curve.closes)


def sparkline(values: Sequence[float], label: str) -> str:
    """A line of a word's height for beside a symbol: no axes, a name for those who do not see it."""
    points = [v for v in values][-60:]
    if len(points) < 2:
        return ""
    low, span = min(points), (max(points) - min(points)) or 1.0
    path = " ".join(f"{i * 72 / (len(points) - 1):.1f},{18 - (v - low) / span * 16:.1f}" for i, v in enumerate(points))
    trend = "mk-up" if points[-1] >= points[0] else "mk-down"
    return (f'<svg class="mk-spark {trend}" viewBox="0 0 72 20" width="72" height="20" role="img" aria-label="{escape(label)}">'
            f'<polyline points="{path}"/></svg>')


# --- drawing ---------------------------------------------------------------------------------------------------------

def _picture(
    lines: Sequence[Line], title: str, told: str, label: Label, source: str, kind: str, ceiling: float | None = None
) -> Picture:
    # By content, so that one answer has one markup whoever renders it and whenever.
    id = f"{kind}-{blake2s(f'{title}{told}'.encode(), digest_size=6).hexdigest()}"
    low, high = min(min(line.values) for line in lines), max(max(line.values) for line in lines)
    if ceiling is not None:
        high = ceiling
    ticks = scale(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    first, last = min(line.dates[0] for line in lines), max(line.dates[-1] for line in lines)

    def x(day: date) -> float:
        return LEFT + (day - first).days / max(1, (last - first).days) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (high - value) / ((high - low) or 1) * (HEIGHT - TOP - BOTTOM)

    body = "".join([
        *_grid(ticks, y, label), *_days(first, last, x),
        *(f'<polyline class="mk-line mk-line-{n}" points="{" ".join(f"{x(d):.1f},{y(v):.1f}" for d, v in zip(line.dates, line.values, strict=True))}"/>'
          for n, line in enumerate(lines, 1)),
    ])
    caption = f"{title}. {source[:1].upper()}{source[1:]}." if source else f"{title}."
    html = (
        f'<figure class="mk-figure {kind}"><svg class="mk-chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-labelledby="{id}-t {id}-d"><title id="{id}-t">{escape(title)}</title><desc id="{id}-d">{escape(told)}</desc>{body}</svg>'
        f"{_legend(lines) if len(lines) > 1 else ''}<figcaption>{escape(caption)}</figcaption>{_table(lines, title, label)}</figure>"
    )
    return Picture(id, html, caption)


def scale(low: float, high: float, steps: int = 4) -> list[float]:
    """Round values that span low to high: steps of 1, 2 or 5 times a power of ten."""
    span = (high - low) or abs(high) or 1.0
    rough = span / steps
    power = 10.0 ** len(str(int(1 / rough))) if rough < 1 else 1.0
    unit = 10.0 ** (len(str(int(rough * power))) - 1) / power
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= rough * 0.999)
    begin = int(low // step)
    ticks = []
    while not ticks or ticks[-1] < high - step * 1e-9 or len(ticks) < 2:
        ticks.append(begin * step)
        begin += 1
    return ticks


def _grid(ticks: Sequence[float], y: Scale, label: Label) -> Iterator[str]:
    places = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    for value in ticks:
        at = y(value)
        yield f'<path class="mk-grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>'
        yield f'<text class="mk-tick" x="{WIDTH - RIGHT + 6}" y="{at + 5:.1f}">{escape(label(value, places))}</text>'


def _days(first: date, last: date, x: Callable[[date], float]) -> Iterator[str]:
    """The first and the last day."""
    for day, anchor in ((first, "start"), (last, "end")):
        yield f'<text class="mk-tick" x="{x(day):.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{day}</text>'


def _legend(lines: Sequence[Line]) -> str:
    entries = "".join(
        f'<li><svg class="mk-key" viewBox="0 0 20 8" width="20" height="8" aria-hidden="true"><path class="mk-line mk-line-{n}" d="M0 4H20"/></svg>'
        f"{escape(line.name)}</li>" for n, line in enumerate(lines, 1))
    return f'<ul class="mk-legend">{entries}</ul>'


def _table(lines: Sequence[Line], title: str, label: Label) -> str:
    """A dozen days of each line, for who would rather read than look."""
    places = sorted({round(i * (len(lines[0].dates) - 1) / 11) for i in range(12)})
    head = "".join(f'<th scope="col">{escape(line.name)}</th>' for line in lines)
    rows = "".join(
        f'<tr><th scope="row">{lines[0].dates[p]}</th>' + "".join(f"<td>{escape(label(_at(line, lines[0].dates[p])))}</td>" for line in lines) + "</tr>"
        for p in places)
    return (f'<details class="mk-alternative"><summary>As a table</summary><div class="wide" tabindex="0"><table><caption>{escape(title)}</caption>'
            f'<thead><tr><th scope="col">Day</th>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>')


def _at(line: Line, day: date) -> float:
    """The line's value on a day, or its last before it."""
    place = max((i for i, d in enumerate(line.dates) if d <= day), default=0)
    return line.values[place]


def _indexed(line: Line) -> Line:
    return Line(line.name, line.dates, tuple(v / line.values[0] * 100 for v in line.values))


def _below_peak(line: Line) -> Line:
    top, falls = float("-inf"), []
    for value in line.values:
        top = max(top, value)
        falls.append(value / top - 1)
    return Line(line.name, line.dates, tuple(falls))
