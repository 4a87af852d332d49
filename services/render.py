"""Markdown to safe HTML, block by block, once.

The page never renders Markdown. A live answer sends each block as it closes, history is by definition the
concatenation of the same blocks, so both are the same whatever the cuts between tokens were.
"""

import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

import nh3
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

LONG_BLOCK = 4_000
"""Code points from which a block may stall an event loop: measured on 8 kB, 10 ms for prose, 40 to 65 for lists and tables."""

MAX_BLOCK = 200_000
"""Code points from which a block is shown as plain text: no real answer has one, and inline parsing is not free."""

TextRule = Callable[[str], str]
"""Plain text of a run outside code and links in, safe inline HTML out: the seam for wrapping numbers in evidence."""

Offload = Callable[[Callable[..., str], tuple[object, ...]], str]
"""Runs a function with arguments elsewhere and waits for it, such as gevent's `threadpool.apply`."""


class Block(NamedTuple):
    """A finished block. `end` counts Unicode code points of source text, from the start, that blocks 0…index cover."""

    index: int
    html: str
    end: int


# ---- where a block ends -------------------------------------------------------------------------------------------

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


# ---- what a block looks like --------------------------------------------------------------------------------------

_LINKS = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)
_TAGS = frozenset(
    "a blockquote br code div em h3 h4 h5 h6 hr li ol p pre s span strong sub sup table tbody td th thead tr ul".split()
)
_ATTRIBUTES: dict[str, set[str]] = {
    "*": set(),
    "a": {"href"},
    "code": {"class"},
    "div": {"class", "tabindex", "role", "aria-label"},
    "ol": {"start"},
    "span": {"class", "tabindex", "role", "aria-describedby", "data-evidence"},
    "sup": {"class"},
    "td": {"class"},
    "th": {"class"},
}


def _shown_host(href: str, text: str) -> str:
    """What a reader must see of where a link goes: empty if the link's text already says it."""
    parts = urlsplit(href)
    host = parts.path if parts.scheme == "mailto" else (parts.hostname or "")
    said = text.strip().rstrip("/").lower()
    bare = href.rstrip("/").lower()
    return "" if said in {host, bare, bare.partition("://")[2], bare.removeprefix("mailto:")} else host


def _host_html(href: str, text: str) -> str:
    host = _shown_host(href, text)
    return f' <span class="host">({escapeHtml(host)})</span>' if host else ""


class _HTML(RendererHTML):
    """Our few differences from markdown-it's HTML: headings below the question's, links that show their host,
    pictures as links, wide tables in a box that scrolls, alignment without `style` (the CSP forbids it)."""

    def heading_open(self, tokens: list[Token], idx: int, options: object, env: dict) -> str:
        return f"<h{min(int(tokens[idx].tag[1]) + 2, 6)}>"

    def heading_close(self, tokens: list[Token], idx: int, options: object, env: dict) -> str:
        return f"</h{min(int(tokens[idx].tag[1]) + 2, 6)}>\n"

    def table_open(self, tokens: list[Token], idx: int, options: object, env: dict) -> str:
        return '<div class="wide" role="region" aria-label="Table" tabindex="0"><table>\n'

    def table_close(self, tokens: list[Token], idx: int, options: object, env: dict) -> str:
        return "</table></div>\n"

    def th_open(self, tokens: list[Token], idx: int, options: object, env: dict) -> str:
        return _cell(tokens[idx])

    td_open = th_open

    def fence(self, tokens: list[Token], idx: int, options: object, env: dict) -> str:
        language = re.match(r"[\w+#-]{1,24}(?=\s|$)", tokens[idx].info.strip())
        name = f' class="language-{language[0]}"' if language else ""
        return f"<pre><code{name}>{escapeHtml(tokens[idx].content)}</code></pre>\n"

    def text(self, tokens: list[Token], idx: int, options: object, env: dict) -> str:
        rule: TextRule | None = env.get("text_rule")
        if rule is None or env.get("link"):
            return escapeHtml(tokens[idx].content)
        return rule(tokens[idx].content)

    def link_open(self, tokens: list[Token], idx: int, options: object, env: dict) -> str:
        env["link"] = (str(tokens[idx].attrGet("href") or ""), _text_of(tokens, idx))
        return self.renderToken(tokens, idx, options, env)

    def link_close(self, tokens: list[Token], idx: int, options: object, env: dict) -> str:
        return "</a>" + _host_html(*env.pop("link"))

    def image(self, tokens: list[Token], idx: int, options: object, env: dict) -> str:
        href, text = str(tokens[idx].attrGet("src") or ""), tokens[idx].content
        if "link" in env:
            return escapeHtml(text)
        return f'<a href="{escapeHtml(href)}">{escapeHtml(text or "picture")}</a>' + _host_html(href, text)


def _cell(token: Token) -> str:
    align = str(token.attrGet("style") or "").partition(":")[2]
    return f'<{token.tag} class="{align}">' if align in {"center", "right", "left"} else f"<{token.tag}>"


def _text_of(tokens: list[Token], start: int) -> str:
    """The visible text of the link that opens at `start`."""
    parts: list[str] = []
    for token in tokens[start + 1 :]:
        if token.type == "link_close":
            break
        parts.append(token.content)
    return "".join(parts)


def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "linkify": False}, renderer_cls=_HTML)
    markdown.enable(["table", "strikethrough"])
    markdown.validateLink = lambda url: bool(_LINKS.match(url.strip()))  # type: ignore[method-assign]
    return markdown


_MARKDOWN = _markdown()


def block_html(source: str, references: dict[str, object], text_rule: TextRule | None = None) -> str:
    """One block's safe HTML. `references` holds link definitions of earlier blocks and takes up new ones."""
    if len(source) > MAX_BLOCK:
        return f"<pre>{escapeHtml(source)}</pre>\n"
    env: dict[str, object] = {"references": references, "text_rule": text_rule}
    return nh3.clean(
        _MARKDOWN.render(source, env),
        tags=set(_TAGS),
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )


class _Kept(NamedTuple):
    block: Block
    references: int


class BlockRenderer:
    """Renders one growing answer: `feed` returns the blocks that closed, `finish` the last ones.

    Work is linear in the text. A block of more than LONG_BLOCK code points (a huge table, list or listing: they
    close only when they end) is rendered through `offload` where one is given, so that it stalls no event loop.
    """

    def __init__(self, *, text_rule: TextRule | None = None, offload: Offload | None = None) -> None:
        self._text_rule = text_rule
        self._offload = offload
        self._splitter = Splitter()
        self._kept: list[_Kept] = []
        self._text: list[str] = []
        self._references: dict[str, object] = {}

    @property
    def blocks(self) -> list[Block]:
        return [kept.block for kept in self._kept]

    @property
    def end(self) -> int:
        """The code points covered by finished blocks; the text from here on is still open."""
        return self._kept[-1].block.end if self._kept else 0

    def feed(self, text: str) -> list[Block]:
        self._text.append(text)
        return [self._keep(source) for source in self._splitter.feed(text)]

    def finish(self) -> list[Block]:
        return [self._keep(source) for source in self._splitter.finish()]

    def reset(self, offset: int) -> None:
        """Forget the text from code point `offset` on: a switch of provider discarded it.

        Blocks that only discarded text had closed are open again; the next one to close takes the next index, so an
        index may come twice and the later one counts.
        """
        text = "".join(self._text)[:offset]
        self._text = [text]
        self._splitter = Splitter()
        self._kept = self._kept[: len(self._splitter.feed(text))]
        known = self._kept[-1].references if self._kept else 0
        self._references = dict(list(self._references.items())[:known])

    def _keep(self, source: str) -> Block:
        block = Block(len(self._kept), self._html(source), self.end + len(source))
        self._kept.append(_Kept(block, len(self._references)))
        return block

    def _html(self, source: str) -> str:
        arguments = (source, self._references, self._text_rule)
        if self._offload is not None and len(source) > LONG_BLOCK:
            return self._offload(block_html, arguments)
        return block_html(*arguments)


def render(text: str, *, text_rule: TextRule | None = None) -> str:
    """A whole text's HTML: the same blocks a stream of it sends, in a row."""
    renderer = BlockRenderer(text_rule=text_rule)
    return "".join(block.html for block in [*renderer.feed(text), *renderer.finish()])
