"""Figures in prose: where a text states a number that evidence could bear out, and which numbers are none.

Years, dates, list markers, counts, parameters ("14-day RSI", "95 % VaR"), thresholds, hypotheses and how sure the writer is
are left alone: they state nothing about a market. Pure, and linear in the length of the text: every look around is of bounded length.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

SCALES = {"k": 1e3, "thousand": 1e3, "m": 1e6, "mn": 1e6, "million": 1e6, "bn": 1e9, "b": 1e9, "billion": 1e9, "tn": 1e12,
          "trillion": 1e12}
CURRENCIES = {"$": "USD", "US$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY"}
BEFORE, AFTER = 64, 40  # characters of context a rule may look at

NUMBER = re.compile(
    r"(?P<sign>(?<![\w)\]%])[-−–+])?\s?"
    r"(?P<currency>US\$|[$€£¥]|\b(?:USD|EUR|GBP|JPY|CHF|HKD)\s)?\s?(?P<inner>[-−])?"
    r"(?<![\w.#/^√])(?<![A-Za-z][-–])"
    r"(?P<digits>\d{1,3}(?:[,\u00a0\u202f\u2009]\d{3})+(?:\.\d+)?(?!\d)|\d+(?:\.\d+|,\d{1,2}(?!\d))?)"
    r"(?:(?P<percent>[ \u00a0\u202f]?%|[ \u00a0](?:percent|per cent)\b)"
    r"|(?P<points>[ \u00a0-]?(?:percentage[ -]points?|pp|ppts?)\b)"
    r"|(?P<basis>[ \u00a0-]?(?:bps?|basis points?)\b)"
    r"|(?P<scale>[ \u00a0]?(?:[kKmMB]|mn|bn|tn)\b|[ \u00a0](?:thousand|million|billion|trillion)\b)?"
    r"(?P<times>[ \u00a0]?[x×](?!\w)|-?[ \u00a0]?(?:times|fold)\b)?(?P<money>[ \u00a0](?:dollars|euros|pounds|yen|USD|EUR|GBP|JPY|CHF|HKD)\b)?)"
)
HEDGE = re.compile(
    r"(?:about|around|roughly|approximately|approx\.?|nearly|almost|some|close to|just (?:over|under|above|below)|more than|"
    r"less than|over|under|above|below|at least|at most|up to|circa|ca\.|c\.|~|≈)\s?$", re.IGNORECASE)

MINUS_WORD = re.compile(r"\b(?:minus|negative)\s$", re.IGNORECASE)

# Stretches in which no number is a figure.
ASIDE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|\]\([^)\s]*\)|https?://\S+|\[\^?\d+\]"
    r"|\b\d{4}-\d{2}(?:-\d{2})?\b|\b\d{1,2}/\d{1,2}/\d{2,4}\b|\b\d{1,2}:\d{2}\b|\b\d{1,2}/\d{1,2}\b"
    r"|\b(?:Q[1-4]|H[12]|FY)\s?'?\d{0,4}\b|\b\d{1,2}(?:st|nd|rd|th)\b"
    r"|\b\d{1,2}\.?\s+(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\b(?:\s+\d{4})?"
    r"|\b(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?\s+\d{1,2}\b(?:,?\s+\d{4})?"
    r"|\b(?:S\s?&\s?P|Nasdaq|FTSE|CAC|DAX|Nikkei|Russell|Dow|Stoxx(?: Europe)?|Euro Stoxx|IBEX|OMX[A-Z]*|CSI|Nifty|ASX|MSCI|Wilshire|Fortune|Topix)"
    r"[ -]?\d{2,4}\b|\b401\(k\)|\b3M\b|(?<![$€£¥\d.,])\b\d{1,2} (?:days? |times? |chances? )?(?:in|out of) \d{1,3}\b(?! (?:days|weeks|months|years))|\b24/7\b|\b\d{1,3}(?:\*\*)? (?:of|out of) (?:10|100)\b|\b\d{4}s\b", re.IGNORECASE | re.DOTALL)
LIST_MARK = re.compile(r"^[ \t>]*(?:#{1,6}[ \t]+)?(?:[-*+][ \t]+)?(?:\*\*)?\d{1,3}[.)](?=\s)", re.MULTILINE)

COUNTED = re.compile(
    r"^(?:\s|-)(?:(?:trading|calendar|consecutive|business|straight|full|large|big|US|daily|weekly|monthly|different|more|other|further|of "
    r"the|key|main|separate|independent|past|last|largest|biggest|closing|adjusted)[\s-]){0,2}"
    r"(?:days?|weeks?|months?|quarters?|years?|hours?|minutes?|seconds?|sessions?|decades?|closes|closing prices|prices|bars|returns|"
    r"observations|stocks|companies|names|symbols|positions|holdings|funds|assets|sectors|countries|agents|steps|reasons|questions|"
    r"things|factors|risks|scenarios|cases|points to|parts|indicators|measures|sources|banks|crises|trades|people|instruments|"
    r"investors|analysts|quarters|periods|times a|times out|or more|ways|options|of (?:them|these|those))\b", re.IGNORECASE)
NO_NOUN = re.compile(
    r"^\s(?:and|or|to|in|for|at|on|with|against|versus|vs|than|from|by|but|while|as|over|under|which|is|was|are|were|when|if|"
    r"per|a|an|the|since|after|before|because|so|now|today|that|this|it|compared|points?|shares?|units?|dollars?|euros?)\b")
NUMBERED = re.compile(
    r"(?:step|scenario|option|part|table|figure|note|page|chapter|section|point|item|case|top|no\.|number|phase|tier|level|version|"
    r"rank(?:ed)?|day|week|month|year|question|agent|basel|#)\s?$", re.IGNORECASE)
OPINION = re.compile(r"\b(?:confidence|conviction|agreement|score|rating|certainty)\b(?! level| interval)[^.;\d]{0,14}$", re.IGNORECASE)
HYPOTHESIS = re.compile(
    r"\b(?:every|each|per|suppose|supposing|assume|assuming|imagine|if|should|say|for example|e\.g\.|hypothetical(?:ly)?|whenever|when "
    r"the (?:market|index|benchmark) (?:moves?|rises?|falls?|drops?|gains?))\b[^.;!?\d]{0,44}$", re.IGNORECASE)
SUPPOSED = re.compile(  # "a 20 % drop would hurt"
    r"^\s?(?:market |price |further |sudden )?(?:drop|fall|decline|rise|gain|move|shock|correction|loss|drawdown|crash|increase|cut|hike|rally)\b"
    r"[^.;%\d]{0,20}\b(?:would|could|might|may|can)\b", re.IGNORECASE)
CONFIDENCE_BEFORE = re.compile(
    r"(?:\b(?:c?var|confidence(?: level)?|percentile|value[- ]at[- ]risk|expected shortfall|quantile)\b[^.;\d]{0,16}|"
    r"\b(?:worst|best|top|bottom|tail|upper|lower|at (?:the )?)\s?)$", re.IGNORECASE)
CONFIDENCE_AFTER = re.compile(
    r"^,?[\s-]?(?:\)?\s?)?(?:(?:one-day|1-day|daily|historical|parametric|normal|of (?:all )?(?:the )?)\s?){0,2}"
    r"(?:c?var\b|confidence|level|percentile|quantile|value[- ]at[- ]risk|expected shortfall|tail|days|trading days|of days|certain)", re.IGNORECASE)
THRESHOLD_BEFORE = re.compile(
    r"(?:above|below|over|under|past|beyond|than|between|crosses|crossing|through|near|at or (?:above|below)|[<>≤≥])\s?$", re.IGNORECASE)
THRESHOLD_AFTER = re.compile(
    r"^\s?(?:and (?:30|50|70|80)\b|or (?:above|below|higher|lower|more|less)\b|(?:is|are|as|means?|marks?|counts? as|signals?|would|implies|"
    r"indicates|says|line|level|threshold|mark)\b)", re.IGNORECASE)
PARAMETER_BEFORE = re.compile(
    r"(?:\b(?:RSI|MACD|SMA|EMA|ATR|ADX|Bollinger(?: bands?)?|moving averages?|averages?)\s?\(?(?:\d{1,3},\s?){0,2})$", re.IGNORECASE)
PARAMETER_AFTER = re.compile(r"^(?:,\s?\d{1,3}){0,2}\s?\)|^-(?:days?|weeks?|months?|years?|period|session|minute|hour|quarter|point|fold|way|stock|"
                             r"factor|step|percent|sigma)\b|^\s(?:standard deviations?|sigmas?)\b", re.IGNORECASE)
ROUND = frozenset((1, 2, 3, 5, 10, 15, 20, 25, 30, 40, 50, 100))  # what a hypothesis is put in
PARAMETERS = frozenset((2, 5, 9, 10, 12, 14, 20, 21, 26, 50, 100, 200))
REBASED = re.compile(r"(?:indexed|rebased|scaled|set|normalised|normalized|equal|adds? up|sums?|up) (?:to|at)\s?$", re.IGNORECASE)
WHOLE_AFTER = re.compile(r"^\s?(?:of (?:the|your|a|its|capital|equity)|cash|in\b|equit|invested|sure|certain|stocks?|at the start|clear|confident)", re.IGNORECASE)
SURE_AFTER = re.compile(r"^\s?(?:sure|certain|confident|clear)\b", re.IGNORECASE)
RANGE_ON = re.compile(r"^\s?(?:–|-|—|to|or|and)\s?\d{1,3}(?=[\s-])")  # the rest of "6–12 months"
LEVERAGE_AFTER = re.compile(r"^[ -](?:leverag|inverse|ETF)", re.IGNORECASE)


@dataclass(frozen=True)
class Figure:
    """A number a text states. `start` and `end` are code points; `value` is signed only where the text signs it.

    `unit` is percent, points, basis, money, times or plain. `places` are the decimals shown, before scaling by `scale`.
    """

    start: int
    end: int
    text: str
    value: float
    sign: str
    unit: str
    places: int
    scale: float = 1.0
    currency: str | None = None
    hedged: bool = False


@dataclass(frozen=True)
class Cell:
    """A table's cell with the words that say what it holds: its row's first cell and its column's heading."""

    start: int
    end: int
    heading: str


def figures(text: str) -> list[Figure]:
    """The figures of a text, in order, without those that are to be left alone."""
    aside = _asides(text)
    found = [_figure(m, text) for m in NUMBER.finditer(text) if not aside[m.start("digits")] and not _in_a_word(m, text)]
    return [f for f in _ranges(found, text) if not _left_alone(f, text)]


def numbers(text: str) -> list[Figure]:
    """Every number of a text, counts and years too: what a person wrote is theirs to repeat."""
    return [_figure(match, text) for match in NUMBER.finditer(text)]


def table_cells(text: str) -> list[Cell]:
    """The cells of the text's Markdown tables below their headings, the first of each row left out: it is a label."""
    cells: list[Cell] = []
    heading: list[str] = []
    at = 0
    for line in text.split("\n"):
        if not line.lstrip().startswith("|"):
            heading = []
        elif not heading:
            heading = [part.strip() for part in line.strip().strip("|").split("|")]
        elif not set(line) <= set("|-: \t"):
            cells += _row(line, at, heading)
        at += len(line) + 1
    return cells


def table_labels(text: str) -> list[tuple[int, int]]:
    """Spans of headings and of first cells that hold words: numbers there name a row or a column."""
    spans, inside, at = [], False, 0
    for line in text.split("\n"):
        row = line.lstrip().startswith("|")
        if row and not inside:
            spans.append((at, at + len(line)))
        elif row:
            first = line.find("|", line.find("|") + 1)
            if any(c.isalpha() for c in line[:first]):
                spans.append((at, at + first))
        inside = row
        at += len(line) + 1
    return spans


def _row(line: str, at: int, heading: Sequence[str]) -> list[Cell]:
    bars = [i for i, c in enumerate(line) if c == "|"]
    if len(bars) < 2:
        return []
    label = line[bars[0] + 1 : bars[1]].strip()
    return [
        Cell(at + a, at + b, f"{label} {heading[n] if n < len(heading) else ''}")
        for n, (a, b) in enumerate(zip(bars, bars[1:], strict=False)) if n > 0
    ]


def _asides(text: str) -> bytearray:
    mask = bytearray(len(text))
    spans = [m.span() for pattern in (ASIDE, LIST_MARK) for m in pattern.finditer(text)]
    for start, end in [*spans, *table_labels(text)]:
        mask[start:end] = b"\1" * (end - start)
    return mask


def _figure(match: re.Match[str], text: str) -> Figure:
    digits = re.sub("[\u00a0\u202f\u2009]", "", match["digits"])
    if re.fullmatch(r"\d+,\d{1,2}", digits):
        digits = digits.replace(",", ".")
    digits = digits.replace(",", "")
    sign = match["inner"] or match["sign"] or ("-" if MINUS_WORD.search(text[max(0, match.start() - 10) : match.start("digits")]) else "")
    start = match.start("sign") if match["sign"] else match.start("currency") if match["currency"] else match.start("digits")
    start = match.start("inner") if match["inner"] and not match["currency"] else start
    scale = SCALES[match["scale"].strip().lower()] if match["scale"] else 1.0
    unit = ("percent" if match["percent"] else "points" if match["points"] else "basis" if match["basis"] else
            "times" if match["times"] else "money" if match["currency"] or match["money"] else "plain")
    written = (match["currency"] or match["money"] or "").strip()
    end = match.end("digits") if unit == "plain" and scale == 1 else match.end()
    negative = sign in ("-", "−", "–") and sign != ""
    return Figure(
        start, end, text[start:end], -float(digits) if negative else float(digits), "-" if negative else sign, unit,
        len(digits.partition(".")[2]), scale,
        {"dollars": "USD", "euros": "EUR", "pounds": "GBP", "yen": "JPY"}.get(written.lower(), CURRENCIES.get(written, written or None)),
        HEDGE.search(text[max(0, start - 20) : start]) is not None,
    )


def _ranges(found: list[Figure], text: str) -> list[Figure]:
    """In "20–36 %" and "$120 to 130" the unit written once belongs to both."""
    joined = list(found)
    for i in range(len(joined) - 1):
        a, b = joined[i], joined[i + 1]
        if not re.fullmatch(r"\s?(?:–|-|—|to|and|or)?\s?", text[a.end : b.start]) or b.start - a.end > 5:
            continue
        if re.search(r"[–-]$", text[a.end : b.start]) is None and b.sign in ("-",) and b.start == a.end:
            joined[i + 1] = b = replace(b, start=b.start + 1, text=b.text[1:], value=abs(b.value), sign="")
        if a.unit == "plain" and b.unit in ("percent", "points", "basis", "times"):
            joined[i] = replace(a, unit=b.unit)
        elif a.unit == "money" and b.unit == "plain":
            joined[i + 1] = replace(b, unit="money", currency=a.currency)
    return joined


def _in_a_word(match: re.Match[str], text: str) -> bool:
    """Whether letters go on where the digits end, as in 7203.T, 1st or 10K filings written together."""
    behind = text[match.end() : match.end() + 2]
    return match.end() == match.end("digits") and re.match(r"\w|\.[A-Za-z]|-[A-Za-z]", behind) is not None


def _left_alone(f: Figure, text: str) -> bool:
    before, after = text[max(0, f.start - BEFORE) : f.start].rpartition("\n")[2], text[f.end : f.end + AFTER].partition("\n")[0]
    whole = f.places == 0 and f.scale == 1
    if f.unit in ("plain", "percent") and OPINION.search(before):
        return True  # how sure the writer is, is no figure of a market
    if f.unit == "plain":
        return whole and _is_no_figure(f, before, after)
    if f.unit == "percent":
        tail = abs(f.value) in (1, 2.5, 5, 10, 90, 95, 97.5, 99, 99.5, 99.9)
        return (
            (tail and bool(CONFIDENCE_BEFORE.search(before) or CONFIDENCE_AFTER.match(after)))
            or (whole and SURE_AFTER.match(after) is not None)
            or (abs(f.value) == 100 and bool(WHOLE_AFTER.match(after) or REBASED.search(before)))
            or (f.value == 0 and "risk-free" in before)
            or (whole and abs(f.value) in ROUND and bool(HYPOTHESIS.search(before) or SUPPOSED.match(after)))
        )
    if f.unit == "money":
        return whole and f.value in (1, 100, 1000, 10_000, 100_000) and HYPOTHESIS.search(before) is not None
    return f.unit == "times" and (LEVERAGE_AFTER.match(after) is not None or (whole and HYPOTHESIS.search(before) is not None))


def _is_no_figure(f: Figure, before: str, after: str) -> bool:
    """Whether a whole number without a unit is a year, a count, a parameter, a threshold or a definition."""
    value = abs(f.value)
    if 1900 <= value <= 2100 and not f.sign and len(f.text) == 4:
        return True
    if COUNTED.match(RANGE_ON.sub("", after)) or NUMBERED.search(before) or PARAMETER_AFTER.match(after):
        return True
    if value in PARAMETERS and PARAMETER_BEFORE.search(before) and not re.search(r"\b(?:of|is|was|at)\s?$", before):
        return True
    if value in (90, 95, 99) and CONFIDENCE_BEFORE.search(before):
        return True
    if value in (0, 1, 2, 20, 30, 50, 70, 80) and (THRESHOLD_BEFORE.search(before) or THRESHOLD_AFTER.match(after)):
        return True
    if value in (1, 100, 1000) and REBASED.search(before):
        return True
    if value == 0 and "risk-free" in before:
        return True
    if value <= 12 and re.match(r"^\s[a-z]", after) and not NO_NOUN.match(after) and not re.search(r"\b(?:of|is|was|at)\s$", before):
        return True
    return value in ROUND and HYPOTHESIS.search(before) is not None


def within(spans: Sequence[Cell], at: int, starts: Sequence[int]) -> Cell | None:
    """The cell that holds a position; `starts` are the cells' starts, for bisection."""
    place = bisect_right(starts, at) - 1
    return spans[place] if place >= 0 and spans[place].end > at else None
