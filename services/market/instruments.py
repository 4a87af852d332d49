"""What can be asked about: instruments and where their names come from."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

DATA = Path(__file__).parent / "data"
SYMBOL = re.compile(r"\^?[A-Z0-9]{1,12}(?:[.\-&=][A-Z0-9]{1,4})?")
LEGAL = re.compile(
    r"\b(the|inc|incorporated|corp|corporation|company|co|plc|sa|se|ag|nv|ab|asa|oyj|spa|ltd|limited|llc|"
    r"holdings?|group|class [abc]|lp|kgaa)\b"
)

PAIR_BITS = 1021


@dataclass(frozen=True)
class Instrument:
    """Something with a price. `kind` is stock, index, etf, crypto, currency, commodity, or unlisted (not in our names)."""

    symbol: str
    name: str
    exchange: str
    currency: str
    kind: str = "stock"

    @property
    def money(self) -> str | None:
        """The currency its price is an amount of; None where the price is a level, as an index's is."""
        return None if self.kind in ("index", "portfolio") else self.currency or None

    def as_dict(self) -> dict[str, str]:
        return {"symbol": self.symbol, "name": self.name, "exchange": self.exchange, "currency": self.currency,
                "kind": self.kind}


def plain(text: str) -> str:
    """Lower case without accents and punctuation: how names are compared. "L'Oréal" is "l oreal", "S&P" stays "s&p"."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    kept = "".join(c for c in folded if not unicodedata.combining(c))
    return " ".join(re.sub(r"[^\w&]+", " ", re.sub(r"(?<=\w)['’]s\b", "s", kept)).split())


class Catalogue:
    """Instruments by symbol and by name. Two instruments of one name are both kept: the name is then ambiguous."""

    def __init__(self, rows: Iterable[tuple[Instrument, tuple[str, ...]]]) -> None:
        self.by_symbol: dict[str, Instrument] = {}
        self.by_name: dict[str, list[Instrument]] = defaultdict(list)
        for instrument, aliases in rows:
            if instrument.symbol in self.by_symbol:
                continue
            self.by_symbol[instrument.symbol] = instrument
            for name in (instrument.name, *aliases):
                self._name(name, instrument)
        self._longest: dict[str, int] = {}
        for name in self.by_name:
            first, count = name.split()[0] if name.split() else "", len(name.split())
            self._longest[first] = max(count, self._longest.get(first, 0))

    def longest_from(self, word: str) -> int:
        """How many words the longest name that begins with this word has; 0 for none. Allows a possessive word."""
        word = word.partition(" ")[0]  # "L'Oréal" is one token and two words
        return max(self._longest.get(word, 0), self._longest.get(word.removesuffix("s"), 0))

    def _name(self, name: str, instrument: Instrument) -> None:
        full = plain(name)
        for form in dict.fromkeys((full, " ".join(LEGAL.sub(" ", full).split()))):
            known = self.by_name[form]
            # A second listing of the same company is not another company: the first one, by order, keeps the name.
            if form and len(form) > 1 and not any(_same_company(k, instrument) for k in known):
                known.append(instrument)

    def get(self, symbol: str) -> Instrument | None:
        """By symbol in any case, with Yahoo's BRK-B for BRK.B, GSPC for ^GSPC and BTC for BTC-USD."""
        wanted = symbol.strip().upper().lstrip("$")
        for form in (wanted, wanted.replace("-", "."), f"^{wanted}", f"{wanted}-USD"):
            if form in self.by_symbol:
                return self.by_symbol[form]
        return None

    def nearest(self, text: str, count: int = 3) -> list[Instrument]:
        """The instruments whose symbol or name shares most pairs of letters with the text, best first."""
        wanted = _pairs(plain(text.lstrip("$^")))
        if not wanted:
            return []
        scored = ((_alike(wanted, pairs), -place, i) for place, (pairs, i) in enumerate(self._letter_pairs()))
        best: dict[str, Instrument] = {}
        for score, _, instrument in sorted(scored, key=lambda s: s[:2], reverse=True):
            if score < 0.3 or len(best) == count:
                break
            best.setdefault(instrument.symbol, instrument)
        return list(best.values())

    def _letter_pairs(self) -> list[tuple[int, Instrument]]:
        if not hasattr(self, "_pairs_of"):
            self._pairs_of = [(_pairs(plain(s)), i) for s, i in self.by_symbol.items()]
            self._pairs_of += [(_pairs(name), found[0]) for name, found in self.by_name.items() if found]
        return self._pairs_of


@cache
def catalogue() -> Catalogue:
    """The names that ship with the project: written by hand first, then those from pytickersymbols."""
    return Catalogue(row for file in ("instruments_hand.csv", "instruments.csv") for row in _rows(DATA / file))


def _rows(path: Path) -> Iterable[tuple[Instrument, tuple[str, ...]]]:
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            aliases = tuple(a for a in (row.pop("aliases") or "").split("|") if a)
            yield Instrument(**row), aliases


def _same_company(a: Instrument, b: Instrument) -> bool:
    first, second = (LEGAL.sub(" ", plain(i.name)).split() for i in (a, b))
    return a.symbol == b.symbol or first == second


def _pairs(text: str) -> int:
    """The pairs of neighbouring letters as bits: thousands of sets would keep the garbage collector busy, numbers do not."""
    padded = f" {text} " if text else ""
    bits = 0
    for first, second in zip(padded, padded[1:], strict=False):
        bits |= 1 << (ord(first) * 37 + ord(second)) % PAIR_BITS
    return bits


def _alike(a: int, b: int) -> float:
    """Dice's coefficient, 0 to 1."""
    return 2 * (a & b).bit_count() / ((a.bit_count() + b.bit_count()) or 1)
