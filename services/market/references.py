"""Evidence ids that a model wrote into its prose: found, turned into numbered notes, or hidden. Pure and linear."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import NamedTuple

_SYMBOL = r"\^?[A-Z0-9][A-Z0-9.=^-]{0,15}"
_OWNER = rf"(?:{_SYMBOL}(?:~{_SYMBOL})?|portfolio|verdict|limits|plan|macro|stress)"
_WORD = r"[a-z][a-z0-9]++(?:_[a-z0-9]++)*+"
_ID = rf"(?=[0-9.^=~-]{{0,16}}[A-Za-z]){_OWNER}:{_WORD}(?![\w:])"
_IDS = rf"{_ID}(?:[ \t]{{0,3}}(?:[,;/|]|and|&)?[ \t]{{0,3}}{_ID})*"
_LABEL = r"(?:(?:[Ee]vidence|[Ss]ources?|[Rr]ef|[Ss]ee|[Ii]ds?)[ \t]{0,3}:?[ \t]{0,3})?"
_FOUND = re.compile(
    rf"\[{_LABEL}(?P<square>{_IDS})\]|【{_LABEL}(?P<thick>{_IDS})】|\({_LABEL}(?P<round>{_IDS})\)|(?<![\w.:/^~-])(?P<bare>{_IDS})(?![\w/])"
)
_ONE = re.compile(rf"{_OWNER}:({_WORD})")
_PLAIN_WORDS = frozenset(
    "agreement alpha beta cagr capital close confidence correlation drawdown eps equity inflation macd market pe position rest sharpe"
    " size sortino stop unemployment vix volatility weight".split()
)


class Reference(NamedTuple):
    """A place that names evidence: `start` and `end` in code points, the brackets and the blanks before it included."""

    start: int
    end: int
    ids: tuple[str, ...]


def references(text: str) -> Iterator[Reference]:
    """The places of a text that name evidence: `[AAPL:cagr]`, `(AAPL:cagr, ^GSPC:beta)`, or an id alone."""
    if ":" not in text:
        return
    end = 0
    for found in _FOUND.finditer(text):
        ids = list(_ONE.finditer(found[found.lastgroup]))
        if found["bare"] and not all(_is_measure(one[1]) for one in ids):
            continue  # C:windows, 12:am
        start = found.start()
        while start > end and text[start - 1] in " \t":
            start -= 1
        end = found.end()
        yield Reference(start, end, tuple(one[0] for one in ids))


def _is_measure(word: str) -> bool:
    return word in _PLAIN_WORDS or not word.isalpha()


def hidden(text: str) -> str:
    """The text without them, for what is shown before, or without, its evidence."""
    pieces, done = [], 0
    for reference in references(text):
        pieces.append(text[done : reference.start])
        done = reference.end
    return "".join([*pieces, text[done:]])


def hiding(run: str) -> str:
    """A rule for the Markdown renderer that shows a run without them."""
    return escape(hidden(run), quote=False)


def notes(reference: Reference, numbers: Mapping[str, int]) -> str:
    """A reference as HTML: the number of each id that is evidence. What is none is not shown."""
    ids = [id for id in dict.fromkeys(reference.ids) if id in numbers]
    return "".join(f'<sup class="ref" tabindex="0" data-evidence="{escape(id)}">{numbers[id]}</sup>' for id in ids)
