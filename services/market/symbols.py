"""From what a person writes to instruments. Words are no tickers: a word needs evidence that a share is meant.

Pure: text and names in, a Resolution out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from services.market.instruments import SYMBOL, Catalogue, Instrument, catalogue, plain

MAX_TEXT = 32_000
MOST_UNKNOWN = 5  # unknown symbols worth a look for their nearest, at 10 ms each
SUFFIXES = "T|HK|DE|L|PA|AS|BR|MI|MC|SW|ST|HE|CO|OL|TO|AX|NS|BO|KS|KQ|TW|SS|SZ|SI|SA|SR|VI|LS|IR|NZ|JK|BK|MX|WA"

# Tickers that are words, roles, countries or terms of the trade. Alone they name no share.
WORDS = frozenset("""
A ABS ACE AI AIR ALL AM AMP AN ANY APP APPS ARE ARM AS ATR AT AUD B BALL BEEN BEN BEST BETA BIG BILL BIT BOND BRO BUILD BULL BUY
C CAD CAGR CALL CAN CAP CAR CARE CARR CASH CAT CDW CEO CFO CHF CNY COIN COLD COO COP COST CPI CPU CTO CVAR D DAD DAY DCF DD
DID DIY DO DOC DOG DOW E EAT EBIT ECB ECL EL EMA EPS ESG ETF ETFS EU EUR EVER F FAN FAST FAT FED FOMC FOR FOX FUN FX G GAIN GAP
GBP GDP GO GOLD GOOD GPU H HAS HE HIGH HIT HOLD HOT HP I ICE IF IN INFO INR IPO IQ IR IRA IRR IS IT ITS J JPY JUST K KEY KEYS KIM
L LAND LIFE LIKE LIVE LONG LOOP LOVE LOW LT M MACD MAIN MAN MAR MAX ME MEAN MET MIN MO MOM MOS MUCH N NET NEW NEXT NICE NO NOW
NPV NYSE O OF OK OLD ON ONE OPEN OR OTC OUT OWN P PAY PE PEG PER PLAY PM POOL POP PRO PUT PUTS Q R REAL RED REG RISK ROE ROI ROL
RSI S SAFE SAVE SEC SEE SELL SHOP SHORT SMA SNOW SO SOL SOLD SPOT STOP STEP SUN T TALK TEAM TECH TEL TERM THE TIP TO TOP TRUE
TT TWO U UK UP URI US USA USD V VAR VAT VIA W WAS WE WELL WHEN WHO WORK X XEL Y YEN YES YOU YTD Z
""".split())

# What else, near by, shows that the share is meant after all.
HINTS = {
    "IT": ("gartner",), "ALL": ("allstate", "insurer"), "A": ("agilent",), "SO": ("southern company", "utility"),
    "GO": ("grocery outlet", "grocer"), "ON": ("onsemi", "semiconductor", "chipmaker"), "NOW": ("servicenow",),
    "LOW": ("lowe's", "lowes"), "CAT": ("caterpillar",), "COST": ("costco",), "KEY": ("keycorp",), "T": ("at&t",),
    "F": ("ford",), "V": ("visa",), "C": ("citigroup", "citi"), "GAP": (), "ICE": ("intercontinental exchange",),
}
EVIDENCE_BEFORE = re.compile(
    r"(?:\b(?:shares? (?:of|in)|stocks? (?:of|in)|ticker|symbol|position in|long|own|holding|holdings in)|\b(?:NYSE|NASDAQ|TSE|LSE)\s*:|"
    r"[\d.,]+\s?%(?:\s+(?:of|in))?)\s*[\"'(]?$", re.IGNORECASE)
EVIDENCE_AFTER = re.compile(
    r"^[\"')]?(?:'s|’s)?\s+(?:shares?|stock|equity|earnings|dividend|call options|put options|bonds)\b|^\s*[:=]?\s*\d[\d.]*\s?%", re.IGNORECASE)

# Company names that are words: only with a capital inside a sentence, or with evidence.
WORD_NAMES = frozenset("""
target gap shell block match progressive southern sun ball open dow key arch coach next compass ferguson pool carnival equity
principal prudential republic waters spirit limited fox news general plc sage pearson land marks silver ether smart vale mercury
insight crown discover edison regions street hub ares duke coty dover snap constellation monster gold meta bp relay admiral weir
""".split()) | {"best buy", "dollar general", "public storage", "american express"}

POPULAR_LOWER = frozenset("""aapl amd bac bby cvx jnj jpm lly mrk msft pep pfe rrc unh wmt xom tsla nvda amzn goog googl nflx
spy qqq voo btc eth intc ibm orcl baba tsm""".split())

EXPLICIT = re.compile(
    r"(?<![\w$])\$(?P<cash>[A-Za-z]{1,6}(?:[.\-][A-Za-z]{1,3})?)(?![\w])"
    r"|(?<!\w)(?P<index>\^[A-Z0-9]{2,10})(?!\w)"
    r"|(?<![\w.])(?P<listed>[A-Z0-9&\-]{1,12}\.(?:" + SUFFIXES + r"))(?![\w])"
    r"|(?<![\w.])(?P<share>[A-Z]{1,4}[.\-][A-C])(?![\w.])"
    r"|(?<!\w)(?P<pair>[A-Z]{2,6}-USD|[A-Z]{6}=X|[A-Z]{2}=F)(?!\w)"
    r"|\b(?:NYSE|NASDAQ|Nasdaq)\s*:\s*(?P<quoted>[A-Z]{1,5}(?:\.[A-Z])?)\b"
    r"|(?<![\w$^.&])(?P<bare>[A-Z]{1,5})(?![\w&]|\.\w|-\w)"
)
LOWER = re.compile(r"(?<![\w$^.])[a-z]{3,5}(?![\w.]\w)")
NOT_CASHTAGS = frozenset(("USD", "EUR", "GBP", "K", "M", "B", "BN", "MN"))
NOT_A_NAME_AFTER = re.compile(r"\s+(?:prices?|date|value|level|weight|returns?|allocation|risk|analysis)\b")
NAME_AFTER = re.compile(r"(?:'s|’s|,|\?|\s+(?:or|vs|versus|and|against|is|has|compared|fell|rose))")
BEGINS = re.compile(r"(?:[.!?:]|\n)\s*[\"'(]*$")
TOKEN = re.compile(r"\w+(?:['’]\w+)?(?:&\w+)*|&")


@dataclass(frozen=True)
class Ambiguous:
    """A name that several instruments bear; none was chosen."""

    text: str
    candidates: tuple[Instrument, ...]


@dataclass(frozen=True)
class Unknown:
    """Something given as a symbol that no list of ours has, and what it is closest to."""

    text: str
    nearest: tuple[Instrument, ...]


@dataclass(frozen=True)
class Mention:
    """Where the text names an instrument: offsets in code points."""

    start: int
    end: int
    instrument: Instrument


@dataclass(frozen=True)
class Resolution:
    instruments: tuple[Instrument, ...] = ()
    ambiguous: tuple[Ambiguous, ...] = ()
    unknown: tuple[Unknown, ...] = ()
    mentions: tuple[Mention, ...] = field(default=(), repr=False)


def resolve(text: str, symbols: Sequence[str] = (), *, names: Catalogue | None = None) -> Resolution:
    """The instruments a text and a list of symbols name, in order of mention, those of the list first."""
    names = names or catalogue()
    text = text[:MAX_TEXT]
    taken = bytearray(len(text))  # 1 where a mention already stands, so that each look costs its own length only
    listed, unknown = _listed(symbols, names)
    mentions, strangers = _explicit(text, names, taken)
    named, ambiguous = _named(text, names, taken)
    mentions = sorted([*mentions, *named, *_bare(text, names, taken)], key=lambda m: m.start)
    found = dict.fromkeys([*listed, *(m.instrument for m in mentions)])
    open_ = {a.text.casefold(): a for a in ambiguous if not any(c in found for c in a.candidates)}
    unheard = [Unknown(text, tuple(names.nearest(text))) for text in list(dict.fromkeys([*unknown, *strangers]))[:MOST_UNKNOWN]]
    return Resolution(tuple(found), tuple(open_.values()), tuple(unheard), tuple(mentions))


def _listed(symbols: Iterable[str], names: Catalogue) -> tuple[list[Instrument], list[str]]:
    """A list of symbols is meant as one: words count, and so do names written where a symbol belongs."""
    found, unknown = [], []
    for text in symbols:
        instrument = names.get(text) or next(iter(names.by_name.get(plain(text), ())), None)
        if instrument:
            found.append(instrument)
        elif text.strip():
            unknown.append(text.strip()[:40])
    return found, unknown


def _explicit(text: str, names: Catalogue, taken: bytearray) -> tuple[list[Mention], list[str]]:
    """What is written as a symbol: $T, ^GSPC, 7203.T, BRK.B, BTC-USD, NYSE: T."""
    found, unknown = [], []
    for match in EXPLICIT.finditer(text):
        kind, written = match.lastgroup, match[match.lastgroup]
        if kind == "bare" or (kind == "cash" and written.upper() in NOT_CASHTAGS):
            continue
        instrument = names.get(written)
        if instrument:
            found.append(_mention(match.start(), match.end(), instrument, taken))
        elif kind in ("cash", "index", "quoted") or (kind == "listed" and written[0].isdigit()):
            unknown.append(written.upper())
    return found, unknown


def _named(text: str, names: Catalogue, taken: bytearray) -> tuple[list[Mention], list[Ambiguous]]:
    """Names, longest first: "Mitsubishi Electric" is not Mitsubishi."""
    tokens = [(m.start(), m.end(), plain(m[0])) for m in TOKEN.finditer(text)]
    found, ambiguous, at = [], [], 0
    while at < len(tokens):
        step = 1
        for count in range(min(names.longest_from(tokens[at][2]), len(tokens) - at), 0, -1):
            begin, end = tokens[at][0], tokens[at + count - 1][1]
            name, candidates = _candidates([t[2] for t in tokens[at : at + count]], text[begin:end], names)
            if not candidates or any(taken[begin:end]) or not _is_a_name(text, begin, end, name, names):
                continue
            candidates = _preferred(text, begin, end, candidates)
            if len(candidates) > 1:
                ambiguous.append(Ambiguous(text[begin:end], tuple(candidates)))
            else:
                found.append(_mention(begin, end, candidates[0], taken))
            step = count
            break
        at += step
    return found, ambiguous


def _candidates(words: list[str], written: str, names: Catalogue) -> tuple[str, list[Instrument]]:
    """The instruments of a name, or of the name a possessive belongs to."""
    name = " ".join(words)
    if name not in names.by_name and re.search(r"['’]s$", written):
        name = name.removesuffix("s")
    return name, names.by_name.get(name, [])


def _preferred(text: str, start: int, end: int, candidates: list[Instrument]) -> list[Instrument]:
    """Of an index and the company named like it, the index, unless shares are spoken of: "Dow", "Nasdaq"."""
    indices = [c for c in candidates if c.kind == "index"]
    companies = [c for c in candidates if c.kind != "index"]
    if indices and companies:
        return companies if _evidence(text, start, end) else indices
    return candidates


def _bare(text: str, names: Catalogue, taken: bytearray) -> list[Mention]:
    """Upper-case words that are tickers, unless they are words; and a few tickers no word is spelled like, in lower case."""
    found = []
    shouted = _shouted(text[:2000], names)
    for match in EXPLICIT.finditer(text):
        if match.lastgroup != "bare" or any(taken[match.start() : match.end()]):
            continue
        ticker = match["bare"]
        instrument = names.get(ticker)
        if instrument is None or (instrument.kind == "index" and ticker in WORDS):
            continue
        word = ticker in WORDS or len(ticker) == 1 or (shouted and ticker.lower() not in POPULAR_LOWER)
        if not word or _share_is_meant(text, match.start(), match.end(), ticker):
            found.append(_mention(match.start(), match.end(), instrument, taken))
    for match in LOWER.finditer(text):
        if match[0] in POPULAR_LOWER and not any(taken[match.start() : match.end()]):
            found.append(_mention(match.start(), match.end(), names.get(match[0]), taken))
    return found


def _mention(start: int, end: int, instrument: Instrument, taken: bytearray) -> Mention:
    taken[start:end] = b"\1" * (end - start)
    return Mention(start, end, instrument)


def _evidence(text: str, start: int, end: int) -> bool:
    """Whether the words right beside speak of a share: "shares of …", "… stock", "40 % …"."""
    return bool(EVIDENCE_BEFORE.search(text[max(0, start - 40) : start]) or EVIDENCE_AFTER.search(text[end : end + 30]))


def _share_is_meant(text: str, start: int, end: int, ticker: str) -> bool:
    around = text[max(0, start - 48) : end + 48].lower()
    return _evidence(text, start, end) or any(
        re.search(rf"\b{re.escape(hint)}\b", around) for hint in HINTS.get(ticker, ())
    )


def _is_a_name(text: str, start: int, end: int, name: str, names: Catalogue) -> bool:
    """A name that is also a word needs its capital where a sentence would not give it one, or evidence."""
    if len(name) == 1:
        return False
    if name.upper() not in WORDS and name not in WORD_NAMES:
        return True
    if text[start:end].isupper() and name.upper() in WORDS:
        return False  # that is the ticker, and _bare judges it
    if re.search(r"\d\s*$", text[max(0, start - 4) : start]) and name == "bp":
        return False  # a basis point
    if _evidence(text, start, end):
        return True
    if NOT_A_NAME_AFTER.match(text, end) or not text[start].isupper() or _shouted(text[:2000], names):
        return False
    begins = BEGINS.search(text, max(0, start - 8), start) is not None or not text[:start].strip("\"'( *_#>-\n")
    return not begins or NAME_AFTER.match(text, end) is not None


@lru_cache(maxsize=8)  # asked again at every doubtful word of one text
def _shouted(text: str, names: Catalogue) -> bool:
    """Whether the text is written in capitals throughout, so that capitals say nothing. A row of tickers is not."""
    letters = [c for c in text if c.isalpha()]
    words = re.findall(r"[A-Za-z]+", text)
    tickers = sum(word in names.by_symbol and word not in WORDS for word in words)
    return len(words) > 3 and sum(c.isupper() for c in letters) > 0.7 * len(letters) and tickers < 0.5 * len(words)


def well_formed(symbol: str) -> bool:
    """Whether a symbol can be one at all: no slash, no dots in a row, nothing a path or an address would read."""
    return len(symbol) <= 16 and SYMBOL.fullmatch(symbol.upper()) is not None
