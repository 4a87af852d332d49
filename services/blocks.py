"""Where Markdown's top-level blocks end in a text that is still growing. Lines in, block sources out; nothing is parsed."""

import re
from typing import NamedTuple

_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]|$)")
_RULE = re.compile(r" {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$")
_QUOTE = re.compile(r" {0,3}>")
_ITEM = re.compile(r"( *)([-+*]|\d{1,9}[.)])(?:([ \t]+)(?=\S)|[ \t]*$)")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-+)[ \t]*$")
_INDENTED = re.compile(r"(?: {4}| {0,3}\t)")


class _Item(NamedTuple):
    """A list item's first line: how far it is indented, where its content starts, and which list it belongs to."""

    indent: int
    content: int
    kind: str
    starts: bool


def _item(line: str) -> _Item | None:
    match = _ITEM.match(line)
    if match is None or _RULE.match(line):
        return None
    indent, marker, gap = match[1], match[2], match[3]
    width = len(gap) if gap and len(gap) <= 4 else 1
    interrupts = gap is not None and (not marker[0].isdigit() or int(marker[:-1]) == 1)
    return _Item(len(indent), len(indent) + len(marker) + width, marker[-1], interrupts)


def _closes(line: str, fence: str) -> bool:
    text = line.strip()
    return len(text) >= len(fence) and not text.strip(fence[0])


def _indent(line: str) -> int:
    expanded = line.expandtabs(4) if "\t" in line[:4] else line
    return len(expanded) - len(expanded.lstrip(" "))


class Splitter:
    """Cuts a growing text into top-level Markdown blocks. Each line is looked at once; nothing is parsed.

    `feed` and `finish` return the sources of the blocks that closed. Their concatenation is the text, except for
    blank lines after the last block. Where a block closes depends on whole lines alone, never on the cuts of `feed`.
    """

    def __init__(self) -> None:
        self._unended: list[str] = []
        self._lines: list[str] = []
        self._kind = ""  # of the open block: paragraph, quote, list, fence, code; empty between blocks
        self._fence = ""
        self._list: _Item | None = None
        self._blank = False

    def feed(self, text: str) -> list[str]:
        first, newline, rest = text.partition("\n")
        self._unended.append(first)
        if not newline:
            return []
        closed: list[str] = []
        lines = rest.split("\n")
        lines.insert(0, "".join(self._unended))
        self._unended = [lines.pop()]
        for line in lines:
            self._take(line + "\n", line.rstrip("\r"), closed)
        return closed

    def finish(self) -> list[str]:
        """The blocks that only the end of the text closes."""
        closed: list[str] = []
        last = "".join(self._unended)
        self._unended = []
        if last:
            self._take(last, last.rstrip("\r"), closed)
        if self._kind:
            self._close(closed)
        return closed

    def _take(self, raw: str, line: str, closed: list[str]) -> None:
        if self._kind and not getattr(self, "_in_" + self._kind)(line):
            self._close(closed)
        if not self._kind and line.strip():
            self._open(line)
        self._lines.append(raw)
        if self._kind == "done":
            self._close(closed)

    def _close(self, closed: list[str]) -> None:
        closed.append("".join(self._lines))
        self._lines = []
        self._kind = self._fence = ""
        self._list = None
        self._blank = False

    def _open(self, line: str) -> None:
        """Say what the first line of a block begins."""
        if _INDENTED.match(line):
            self._kind = "code"
        elif fence := _FENCE.match(line):
            self._kind, self._fence = "fence", fence[1]
        elif _HEADING.match(line) or _RULE.match(line):
            self._kind = "done"
        elif _QUOTE.match(line):
            self._kind = "quote"
        elif item := _item(line):
            self._kind, self._list = "list", item
            self._fence_in_item(line[item.content :])
        else:
            self._kind = "paragraph"

    # Each `_in_` says whether the open block takes this line too; "done" closes it after the line.

    def _in_fence(self, line: str) -> bool:
        if _closes(line, self._fence) and not _INDENTED.match(line):
            self._kind = "done"
        return True

    def _in_code(self, line: str) -> bool:
        return not line.strip() or bool(_INDENTED.match(line))

    def _in_paragraph(self, line: str) -> bool:
        """A paragraph or a table. The blank line that ends it belongs to it."""
        if not line.strip() or _UNDERLINE.match(line):
            self._kind = "done"
            return True
        return not self._interrupts(line)

    def _in_quote(self, line: str) -> bool:
        if not line.strip():
            self._kind = "done"
            return True
        return bool(_QUOTE.match(line)) or not self._interrupts(line)

    def _in_list(self, line: str) -> bool:
        assert self._list is not None
        if not line.strip():
            self._blank = True
            return True
        after_blank, self._blank = self._blank, False
        indent = _indent(line)
        if self._fence and indent >= self._list.content:
            if _closes(line, self._fence):
                self._fence = ""
            return True
        in_fence, self._fence = bool(self._fence), ""  # a line left of its content ends the item, and its fence
        item = _item(line)
        if item and item.indent < self._list.content:
            if item.kind != self._list.kind or item.indent > self._list.indent + 3:
                return False
            self._list = item
            self._fence_in_item(line[item.content :])
            return True
        if indent >= self._list.content:
            self._fence_in_item(line.lstrip())
            return True
        return not (after_blank or in_fence or self._interrupts(line))

    def _fence_in_item(self, text: str) -> None:
        nested = _item(text)
        fence = _FENCE.match(text[nested.content :] if nested else text)
        self._fence = fence[1] if fence else ""

    def _interrupts(self, line: str) -> bool:
        """Whether this line starts another block in the middle of a paragraph."""
        if _INDENTED.match(line):
            return False
        if _FENCE.match(line) or _HEADING.match(line) or _RULE.match(line) or _QUOTE.match(line):
            return True
        item = _item(line)
        return item is not None and item.starts
