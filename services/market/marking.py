"""Marks in an answer's HTML: a rule for the Markdown renderer that wraps each checked figure and numbers each reference. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from itertools import count

from services.market.evidence import Mark
from services.market.references import notes, references

AHEAD = 8_000  # code points of markup (an address, a code block) that may lie between two runs of text
Span = tuple[int, int, str]  # start and end in a run, and the HTML that stands there instead


def cited(text: str, marks: Iterable[Mark]) -> list[str]:
    """The ids of the evidence an answer uses, as its notes are numbered: those it names itself first, in their order."""
    named = [id for reference in references(text) for id in reference.ids]
    return list(dict.fromkeys([*named, *(mark.evidence_id for mark in marks if mark.evidence_id)]))


def text_rule(source: str, marks: Sequence[Mark], numbers: Mapping[str, int] = {}) -> Callable[[str], str]:
    """A rule that turns runs of the answer's text, given in order, into HTML with its figures wrapped and its notes numbered.

    A run is looked up in the source from where the last one ended, so that marks fall on their own code points. A run the
    source spells differently (an entity, an escape) stays unmarked. A rule is good for one rendering.
    """
    cursor = place = 0

    def rule(run: str) -> str:
        nonlocal cursor, place
        spans = [(one.start, one.end, notes(one, numbers)) for one in references(run)]
        at = source.find(run, cursor, cursor + len(run) + AHEAD)
        if at < 0:
            return _replaced(run, spans)
        cursor = at + len(run)
        while place < len(marks) and marks[place].start < cursor:
            mark = marks[place]
            place += 1
            if mark.start >= at and mark.end <= cursor:
                spans.append((mark.start - at, mark.end - at, _wrapped(mark)))
        return _replaced(run, sorted(spans))

    return rule


def numbered(ids: Iterable[str], known: Iterable[str]) -> dict[str, int]:
    """1, 2, 3 for the ids that are evidence."""
    known, number = set(known), count(1)
    return {id: next(number) for id in ids if id in known}


def _replaced(run: str, spans: Iterable[Span]) -> str:
    pieces, done = [], 0
    for start, end, html in spans:
        if start >= done:
            pieces += [escape(run[done:start], quote=False), html]
            done = end
    return "".join([*pieces, escape(run[done:], quote=False)])


def _wrapped(mark: Mark) -> str:
    figure = escape(mark.text, quote=False)
    if mark.evidence_id is None:
        return f'<span class="n open" tabindex="0" role="mark">{figure}</span>'
    return f'<span class="n" tabindex="0" data-evidence="{escape(mark.evidence_id)}">{figure}</span>'
