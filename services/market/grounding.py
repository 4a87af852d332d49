"""Checking an answer's figures against the evidence: what is borne out, by which item, and what is not. Pure and linear.

A figure is borne out when an item, rounded as the figure is, has its value, and nothing near by speaks of another
measure, symbol or direction. Differences and ratios of items count where the words ask for one. What the user said is
left alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from services.market.evidence import EvidencePack, Mark
from services.market.figures import Figure, figures, numbers
from services.market.ledger import PRICES, SENSITIVITY, Claim, Ledger, is_exact
from services.market.surroundings import Context, Reader

MOVES = (  # what rises and falls, as a volatility or a weight does not
    "total_return", "cagr", "momentum", "change_1d", "alpha", "stress", "worst_day", "best_day", "max_drawdown", "drawdown_now", "var",
    "cvar", "stop_distance", "gdp_growth", "inflation", "core_inflation", "beta", "limits:drawdown", "market",
)
RETURNS = ("total_return", "cagr", "momentum", "change_1d", "alpha", "stress", "worst_day", "best_day")


def check(answer: str, pack: EvidencePack, question: str = "") -> list[Mark]:
    """A mark for each figure of the answer that evidence bears out or ought to, in order."""
    given = _spoken(question)
    ledger = Ledger(pack)
    reader = Reader(answer, pack)
    return [
        _judge(figure, reader, ledger)
        for figure in figures(answer) if _key(figure) not in given
    ]


def unmatched(marks: Iterable[Mark]) -> list[Mark]:
    """The marks no evidence bears out."""
    return [mark for mark in marks if mark.evidence_id is None]


def _judge(figure: Figure, reader: Reader, ledger: Ledger) -> Mark:
    why = "No figure of the evidence has this value."
    equal = ledger.equal_to(figure)
    if not equal:
        return Mark(figure.start, figure.end, figure.text, None, why)
    context = reader.around(figure)
    equal = [claim for claim in equal if _fits(figure, claim, context)]
    for refuse in (_other_measure, _other_symbol, _other_direction):
        kept = [claim for claim in equal if not refuse(figure, claim, context)]
        if equal and not kept:
            why = f"The value is that of {equal[0].explain()}{_of(equal[0])}, but the text speaks of something else."
        equal = kept
    if not equal:
        return Mark(figure.start, figure.end, figure.text, None, why)
    # "10 %" may round a 9.6 % of something else; the figure that is 10 % is the one that is meant.
    best = min(equal, key=lambda claim: (claim.other is not None, not is_exact(figure, claim), not claim.symbols <= context.symbols))
    return Mark(figure.start, figure.end, figure.text, best.item.id, best.explain())


def _of(claim: Claim) -> str:
    return f" of {claim.item.symbol}" if claim.item.symbol else ""


def _fits(figure: Figure, claim: Claim, context: Context) -> bool:
    """Whether the words ask for this kind of claim: a difference wants a comparison, a ratio a multiple."""
    if claim.kind.startswith(SENSITIVITY):
        return context.supposes(claim.kind.removeprefix(SENSITIVITY))
    if claim.kind == "difference" and claim.item.measure in PRICES:
        return context.compares and context.of_levels
    if claim.kind == "difference":
        return context.compares
    if claim.kind == "ratio" and figure.unit == "percent":
        return context.compares and not context.direction
    if claim.kind == "ratio":
        return figure.unit == "times" or context.divides
    # 0.36 may be a volatility of 36 %, but only where the text says that it is one.
    return figure.unit != "plain" or claim.unit != "fraction" or bool(context.measures)


def _other_measure(figure: Figure, claim: Claim, context: Context) -> bool:
    named = [claim.item.id, claim.item.measure] + ([claim.other.measure] if claim.other else [])
    if context.measures:
        return not _any_of(named, context.measures)
    if _any_of(named, context.unspoken):
        return True
    if claim.kind in ("difference", "ratio") and context.spoken_of:
        return not _any_of(named, context.spoken_of)
    return claim.other is None and figure.unit == "percent" and bool(context.direction) and not _any_of(named, MOVES)


def _any_of(named: Iterable[str], measures: Iterable[str]) -> bool:
    """Whether a measure is among some given by their beginnings; volatility is not the volatility of a month."""
    return any(name == m if m == "volatility" else name.startswith(m) for name in named for m in measures)


def _other_symbol(figure: Figure, claim: Claim, context: Context) -> bool:
    if not claim.symbols:
        return False
    if context.named:
        return not claim.symbols & context.named
    return not context.vague and not claim.symbols & context.symbols


def _other_direction(figure: Figure, claim: Claim, context: Context) -> bool:
    if figure.sign or claim.other or not context.direction or not claim.item.measure.startswith(RETURNS):
        return False
    return (claim.value < 0) != (context.direction == "down") and claim.value != 0


def _spoken(question: str) -> frozenset[tuple[float, str]]:
    """The numbers of the question. Money and plain numbers are one: "$10,000" may be answered as 10,000."""
    return frozenset(_key(f) for f in numbers(question[:32_000]))


def _key(figure: Figure) -> tuple[float, str]:
    unit = "plain" if figure.unit in ("money", "times") else figure.unit
    return round(abs(figure.value) * figure.scale, 9), unit
