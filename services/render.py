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

from services.blocks import Splitter

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


_LIKE_AN_ID = re.compile(r"\[?[\w.^=~-]{1,40}:[a-z][a-z0-9_]{0,40}\]?")
# A browser takes `https:///host` to host, where nobody could be shown one.
_LINKS = re.compile(r"(?:https?://[^/?#]|mailto:)", re.IGNORECASE)
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
    "sup": {"class", "tabindex", "data-evidence"},
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

    def code_inline(self, tokens: list[Token], idx: int, options: object, env: dict) -> str:
        """An evidence id that a model put in code marks is no code: the rule may show it otherwise."""
        rule: TextRule | None = env.get("text_rule")
        content = tokens[idx].content
        if rule is not None and not env.get("link") and _LIKE_AN_ID.fullmatch(content):
            shown = rule(content)
            if shown != escapeHtml(content):
                return shown
        return super().code_inline(tokens, idx, options, env)

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
