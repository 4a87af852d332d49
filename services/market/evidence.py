"""The evidence of one run: every figure an answer may use, with its source, fetched once and shared. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from services.market import indicators as ind
from services.market import planning, wording
from services.market.bars import Bars, History
from services.market.instruments import Instrument
from services.market.measures import Item, measure, paired_returns
from services.market.portfolio import blend
from services.market.symbols import Ambiguous, Resolution, Unknown

CURVE_POINTS = 240
PORTFOLIO = Instrument("portfolio", "the portfolio", "", "", "portfolio")
PRICE_MEASURES = ("rsi14", "macd", "sma50", "sma200", "atr14")
PAIRS_UP_TO = 6  # symbols; 20 would make 190 correlations nobody asked for


@dataclass(frozen=True)
class Mark:
    """A checked figure of an answer: `start` and `end` in code points; the item that bears it out, or none and why."""

    start: int
    end: int
    text: str
    evidence_id: str | None
    reason: str

    def as_dict(self) -> dict[str, object]:
        return {"start": self.start, "end": self.end, "text": self.text, "evidenceId": self.evidence_id, "reason": self.reason}


@dataclass(frozen=True)
class Curve:
    """Closes for a chart: at most CURVE_POINTS of them, highs and lows kept."""

    dates: tuple[str, ...]
    closes: tuple[float, ...]


@dataclass(frozen=True)
class Subject:
    """What a run is about, from the question and its context."""

    question: str = ""
    resolution: Resolution = field(default_factory=Resolution)
    tolerance: str = "moderate"
    weights: Mapping[str, float] = field(default_factory=dict)
    capital: tuple[float, str] | None = None


@dataclass(frozen=True)
class EvidencePack:
    """Items by id, the sentences that go with them, and curves for pictures. Immutable; JSON both ways."""

    question: str = ""
    instruments: tuple[Instrument, ...] = ()
    begins: str | None = None
    ends: str | None = None
    tolerance: str = "moderate"
    weights: Mapping[str, float] = field(default_factory=dict)
    items: tuple[Item, ...] = ()
    notes: tuple[str, ...] = ()
    ambiguous: tuple[Ambiguous, ...] = ()
    unknown: tuple[Unknown, ...] = ()
    curves: Mapping[str, Curve] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.items)

    def item(self, id: str) -> Item | None:
        return next((item for item in self.items if item.id == id), None)

    def of(self, symbol: str) -> dict[str, Item]:
        """A symbol's items by measure."""
        return {item.measure: item for item in self.items if item.id.rpartition(":")[0] == symbol}

    def as_dict(self) -> dict[str, object]:
        """For JSON: checkpoints, and `chat_completed.evidence` with `items` and `notes`."""
        return {
            "question": self.question, "instruments": [i.as_dict() for i in self.instruments],
            "from": self.begins, "to": self.ends, "riskTolerance": self.tolerance, "weights": dict(self.weights),
            "items": [item.as_dict() for item in self.items], "notes": list(self.notes),
            "ambiguous": [{"text": a.text, "candidates": [i.as_dict() for i in a.candidates]} for a in self.ambiguous],
            "unknown": [{"text": u.text, "nearest": [i.as_dict() for i in u.nearest]} for u in self.unknown],
            "curves": {s: {"dates": list(c.dates), "closes": list(c.closes)} for s, c in self.curves.items()},
        }

    @staticmethod
    def from_dict(pack: Mapping) -> EvidencePack:
        return EvidencePack(
            question=pack["question"], instruments=_instruments(pack["instruments"]),
            begins=pack["from"], ends=pack["to"], tolerance=pack["riskTolerance"], weights=dict(pack["weights"]),
            items=tuple(Item.from_dict(item) for item in pack["items"]), notes=tuple(pack["notes"]),
            ambiguous=tuple(Ambiguous(a["text"], _instruments(a["candidates"])) for a in pack["ambiguous"]),
            unknown=tuple(Unknown(u["text"], _instruments(u["nearest"])) for u in pack["unknown"]),
            curves={s: Curve(tuple(c["dates"]), tuple(c["closes"])) for s, c in pack["curves"].items()},
        )

    def completed(self, marks: Sequence[Mark] = ()) -> dict[str, object]:
        """`evidence` of chat_completed: the items, each with the text that shows its value, the marks and the notes."""
        return {
            "items": [item.as_dict() | {"shown": wording.shown(item)} for item in self.items],
            "marks": [mark.as_dict() for mark in marks], "notes": list(self.notes),
        }

    def prompt_text(self) -> str:
        """The evidence as a model is given it, data only: a line an item, what is missing and why, and the notes."""
        if not self.items and not self.notes:
            return ""
        head = ["Computed from market data, not by a model. id: label = value, days it speaks of (source)."] if self.items else []
        if self.instruments:
            head.append(f"Window: {self.begins} to {self.ends}. Risk tolerance: {self.tolerance}.")
        body = [_line(item) for item in self.items if item.value is not None]
        missing = [f"{item.id}: none. {item.reason}" for item in self.items if item.value is None and item.reason]
        return "\n".join([*head, *body, *missing[:10], *(f"Note: {note}" for note in self.notes), *open_questions(self)])


def _line(item: Item) -> str:
    span = f", {item.begins} to {item.ends}" if item.begins and item.ends else f", as of {item.as_of}" if item.as_of else ""
    who = f" of {item.symbol}" if item.symbol else ""
    return f"{item.id}: {item.label}{who} = {wording.shown(item)}{span} ({item.source})"


def open_questions(pack: EvidencePack) -> list[str]:
    """Sentences for what could not be resolved."""
    lines = [f"“{a.text}” may be {listed([f'{i.name} ({i.symbol})' for i in a.candidates], 'or')}. Ask which."
             for a in pack.ambiguous]
    for unknown in pack.unknown:
        near = f" Nearest: {listed([f'{i.symbol} ({i.name})' for i in unknown.nearest], 'or')}." if unknown.nearest else ""
        lines.append(f"{unknown.text} is not a symbol known here.{near}")
    return lines


def listed(words: Sequence[str], last: str = "and") -> str:
    """A, B and C."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}" if words else ""


def build(
    subject: Subject,
    histories: Mapping[str, History],
    benchmark: History | None,
    extra: Sequence[Item] = (),
    notes: Sequence[str] = (),
) -> EvidencePack:
    """The pack: measures of each symbol, pairs, the portfolio, sizes and stress, then `extra` such as macro figures."""
    items: list[Item] = []
    measured: dict[str, dict[str, Item]] = {}
    for symbol, history in histories.items():
        own = measure(history, benchmark if symbol != _symbol(benchmark) else None, more=True)
        measured[symbol] = {item.id: item for item in own}
        items += planning.named(own, symbol)
        items += planning.named(planning.sizing_items(history, measured[symbol], subject.tolerance, subject.capital), symbol)
        items += planning.stress_items(history, measured[symbol]["beta"].value)
    items += _pairs(histories) if len(histories) <= PAIRS_UP_TO else []
    items += _portfolio(subject, histories, benchmark)
    if histories:
        first = next(iter(histories.values()))
        items += planning.limit_items(subject.tolerance)
        items.append(planning.capital_item(subject.capital, first.instrument.currency))
        items.append(Item("stress:market", "Market fall in the stress case", planning.SHOCK, "fraction", "scenario", "assumed"))
        items += planning.allocation_items({s: m["volatility"] for s, m in measured.items()}, subject.tolerance)
    windows = [history.window for history in histories.values()]
    said = dict.fromkeys([*notes, *(note for history in histories.values() for note in history.notes)])
    return EvidencePack(
        question=subject.question, instruments=tuple(h.instrument for h in histories.values()),
        begins=min((w.first for w in windows), default=None) and min(w.first for w in windows).isoformat(),
        ends=max((w.last for w in windows), default=None) and max(w.last for w in windows).isoformat(),
        tolerance=subject.tolerance, weights=dict(subject.weights) if _covers(subject, histories) else {},
        items=(*items, *extra), notes=tuple(said), ambiguous=subject.resolution.ambiguous, unknown=subject.resolution.unknown,
        curves={symbol: curve(history.based) for symbol, history in histories.items()},
    )


def _pairs(histories: Mapping[str, History]) -> list[Item]:
    items = []
    for (one, a), (other, b) in combinations(histories.items(), 2):
        value = ind.correlation(*paired_returns(a.based, b.based))
        template = measure(a)[0]
        items.append(replace(
            template, id=f"{one}~{other}:correlation", label="Correlation with each other", unit="ratio",
            value=value if np.isfinite(value) else None, formula="cov(r1, r2) / (std(r1) * std(r2))", symbol=f"{one}, {other}",
            reason=None if np.isfinite(value) else "Too few days in common."))
    return items


def _covers(subject: Subject, histories: Mapping[str, History]) -> bool:
    return bool(subject.weights) and all(symbol in histories for symbol in subject.weights)


def _portfolio(subject: Subject, histories: Mapping[str, History], benchmark: History | None) -> list[Item]:
    """The portfolio's own measures, and each part's weight and share of the risk."""
    if not _covers(subject, histories):
        return []
    parts = [(symbol, histories[symbol].based, weight) for symbol, weight in subject.weights.items()]
    mixed = blend(parts)
    if len(mixed.bars) < 3:
        return []
    first = histories[parts[0][0]]
    whole = History(PORTFOLIO, mixed.bars, mixed.bars.dates[1].item(), mixed.bars.last, first.source)
    items = [i for i in planning.named(measure(whole, benchmark, more=True), "portfolio")
             if i.unit in ("fraction", "ratio") and not i.measure.startswith("momentum")]
    for symbol, weight in subject.weights.items():
        items.append(Item(f"{symbol}:given_weight", "Weight in the portfolio", weight, "fraction", "your question", "given",
                          symbol=symbol))
    for symbol, share in mixed.risk_shares.items():
        items.append(Item(f"{symbol}:risk_share", "Share of the portfolio's variance", share, "fraction", items[0].source,
                          "w * cov(r, portfolio) / var(portfolio)", as_of=mixed.bars.last, symbol=symbol))
    return items


def curve(bars: Bars) -> Curve:
    """The bars thinned to CURVE_POINTS: of each stretch its lowest and its highest close, so that no extreme is lost."""
    at = np.arange(len(bars))
    if len(bars) > CURVE_POINTS:
        stretches = np.array_split(at, CURVE_POINTS // 2 - 1)
        kept = {0, len(bars) - 1}
        for stretch in stretches:
            kept |= {int(stretch[np.argmin(bars.close[stretch])]), int(stretch[np.argmax(bars.close[stretch])])}
        at = np.array(sorted(kept))
    return Curve(tuple(str(day) for day in bars.dates[at]), tuple(float(p) for p in bars.close[at]))


def _symbol(history: History | None) -> str:
    return history.instrument.symbol if history else ""


def _instruments(rows: Sequence[Mapping[str, str]]) -> tuple[Instrument, ...]:
    return tuple(Instrument(**row) for row in rows)

