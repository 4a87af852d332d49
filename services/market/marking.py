"""Marks in an answer's HTML: a rule for the Markdown renderer that wraps each checked figure where it stands. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from services.market.evidence import Mark

AHEAD = 8_000  # code points of markup (an address, a code block) that may lie between two runs of text


def text_rule(source: str, marks: Sequence[Mark]) -> Callable[[str], str]:
    """A rule that turns runs of the answer's text, given in order, into HTML with its figures wrapped.

    A run is looked up in the source from where the last one ended, so that marks fall on their own code points. A run the
    source spells differently (an entity, an escape) stays unmarked. A rule is good for one rendering.
    """
    cursor = place = 0

    def rule(run: str) -> str:
        nonlocal cursor, place
        at = source.find(run, cursor, cursor + len(run) + AHEAD)
        if at < 0:
            return escape(run, quote=False)
        cursor = at + len(run)
        pieces, done = [], at
        while place < len(marks) and marks[place].start < cursor:
            mark = marks[place]
            place += 1
            if mark.start >= done and mark.end <= cursor:
                pieces += [escape(source[done : mark.start], quote=False), _wrapped(mark)]
                done = mark.end
        return "".join([*pieces, escape(source[done:cursor], quote=False)])

    return rule


def _wrapped(mark: Mark) -> str:
    figure = escape(mark.text, quote=False)
    if mark.evidence_id is None:
        return f'<span class="n open" role="mark">{figure}</span>'
    return f'<span class="n" tabindex="0" data-evidence="{escape(mark.evidence_id)}">{figure}</span>'
