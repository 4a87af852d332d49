"""Where a question names nothing, the instruments to look at: all there are, ranked by the desk's rules, the best kept."""

from collections.abc import Sequence
from dataclasses import replace

from services.workflows.desk import score
from services.workflows.jobs import Pack

KEPT = 5  # more would be a table, and a prompt of thousands of figures
VOICES = ("analyst", "trader")


def screened(pack: Pack, kept: int = KEPT) -> Pack:
    """The evidence of the best instruments, with a note that says how they were chosen. A small pack stays as it is."""
    ranked = ranking(pack)
    if len(ranked) <= kept:
        return pack
    best = ranked[:kept]
    note = (
        f"Of {len(ranked)} instruments with data, these {kept} rank highest by return, Sharpe ratio, trend and momentum: "
        f"{', '.join(best)}. A rank says nothing of what they are worth."
    )
    return replace(
        pack,
        items=tuple(item for item in pack.items if item.symbol is None or item.symbol in best),
        instruments=tuple(sorted((i for i in pack.instruments if i.symbol in best), key=lambda i: best.index(i.symbol))),
        curves={symbol: curve for symbol, curve in pack.curves.items() if symbol in best},
        notes=(note, *pack.notes),
    )


def ranking(pack: Pack) -> Sequence[str]:
    """The symbols, the best first; equal ones by name."""
    scores = score(pack, VOICES)
    return sorted(scores, key=lambda symbol: (-scores[symbol], symbol))
