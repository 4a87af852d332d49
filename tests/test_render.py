"""services/render.py: the blocks, their safety, and that live and history agree whatever the cuts."""

import re
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.blocks import Splitter
from services.render import LONG_BLOCK, Block, BlockRenderer, render

SAMPLE = """# Apple in 2022

Fell **26.4 %**, a ~~small~~ large move; it cost $5 and $6, not $$.
Second line.

- one
- two

  more of two
  ```python
  - not an item

  x = 1
  ```
* another list

1. first
2. second
   - nested
| a | b |
|---|--:|
| x | −1 |
| y | 2 |

> quoted
lazy
> ```
> code
> ```

```text
# no heading

- no list
```
Setext
------
    indented code

    still
after ✓ 𝄞 end
***
[good](https://example.com/x) <https://example.org>
"""

PIECES = ["# h\n", "a\n", "\n", "- x\n", "  y\n", "```\n", "~~~\n", "> q\n", "1. n\n", "---\n", "    c\n", "|a|b|\n", "|-|-|\n", "\r\n", "*b", "[r]: https://r.example\n", "[r] ", "𝄞", "   ```\n", "\t- t\n"]


def tags_of(html: str) -> list[tuple[str, dict[str, str]]]:
    """What a browser would see: every element with its attributes."""
    found: list[tuple[str, dict[str, str]]] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.append((tag, dict(attributes)))
    parser.feed(html)
    return found


def live(parts: list[str]) -> list[Block]:
    renderer = BlockRenderer()
    blocks = [block for part in parts for block in renderer.feed(part)]
    return blocks + renderer.finish()


def test_every_cut_of_a_text_gives_the_same_blocks() -> None:
    whole = live([SAMPLE])
    assert len(whole) > 10
    for cut in range(len(SAMPLE) + 1):
        assert live([SAMPLE[:cut], SAMPLE[cut:]]) == whole
    assert live(list(SAMPLE)) == whole


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25), st.data())
def test_random_texts_in_random_cuts_are_the_same_live_and_in_history(pieces: list[str], data: st.DataObject) -> None:
    text = "".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    parts = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)])]
    blocks = live(parts)
    assert "".join(block.html for block in blocks) == render(text)
    assert [block.index for block in blocks] == list(range(len(blocks)))
    ends = [block.end for block in blocks]
    assert ends == sorted(ends) and (not ends or text[ends[-1] :].strip() == "")


def test_blocks_cover_the_text_in_code_points() -> None:
    splitter = Splitter()
    sources = splitter.feed(SAMPLE) + splitter.finish()
    assert "".join(sources) == SAMPLE
    assert live([SAMPLE])[-1].end == len(SAMPLE)


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        ("# Heading\n", 1),
        ("a paragraph\n", 0),
        ("a paragraph\n\n", 1),
        ("```\ncode\n\n", 0),
        ("```\ncode\n```\n", 1),
        ("````\n```\n", 0),
        ("- a\n\n", 0),
        ("- a\n\nb", 0),
        ("- a\n\nb\n", 1),
        ("- a\n  ```\n\n- b\n", 0),
        ("- a\n* b\n", 1),
        ("Title\n===\n", 1),
        ("---\n", 1),
        ("> q\n\n", 1),
        ("    code\n\nx\n", 1),
        ("|a|b|\n|-|-|\n|1|2|\n", 0),
        ("text\n- item\n", 1),
        ("text\n2. no list\n", 0),
    ],
)
def test_a_block_closes_as_soon_as_its_lines_say_so(text: str, closed: int) -> None:
    assert len(BlockRenderer().feed(text)) == closed


def test_dollars_stay_text() -> None:
    assert "$5 and $6, not $$" in render("It costs $5 and $6, not $$.")


def test_headings_stand_below_the_question() -> None:
    assert render("# a\n## b\n###### c") == "<h3>a</h3>\n<h4>b</h4>\n<h6>c</h6>\n"


def test_tables_scroll_in_a_box_and_align_without_style() -> None:
    html = render("|a|b|\n|:-:|-:|\n|1|~~2~~|\n")
    assert tags_of(html)[0] == ("div", {"class": "wide", "role": "region", "aria-label": "Table", "tabindex": "0"})
    assert '<td class="center">1</td>' in html and '<td class="right"><s>2</s>' in html and "style" not in html


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](java\nscript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](data:text/html,<script>)",
        "[x](vbscript:x)",
        "[x](/c/secret)",
        "[x](//elsewhere.example)",
        "![x](https://elsewhere.example/pixel.gif)",
        "<https://a.example/\"onmouseover=alert(1)>",
        "[x](https://a.example/ \"t\\\" onclick=alert(1)\")",
        "`<b onclick=x>`",
        "```<svg/onload=x>\n<b>\n```",
        "| <iframe src=x> |\n|---|\n| <style>*{}</style> |",
        "&lt;script&gt; &#x3c;script&#x3e;",
        "[r]\n\n[r]: javascript:alert(1)",
        "<a href=https://a.example style=position:fixed>x</a>",
    ],
)
def test_nothing_from_outside_becomes_markup(text: str) -> None:
    for tag, attributes in tags_of(render(text)):
        assert tag not in {"script", "img", "iframe", "svg", "style", "b"}
        assert set(attributes) <= {"href", "rel", "class", "role", "aria-label", "tabindex"}
        if tag == "a":
            assert attributes["href"].startswith("http") and attributes["rel"] == "noopener noreferrer nofollow"


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("[Apple's report](https://apple.example/r)", "apple.example"),
        ("[https://bank.example](https://evil.example/)", "evil.example"),
        ("[bank](https://bank.example@evil.example/)", "evil.example"),
        ("[a](https://аррӏе.example/)", "xn--80ak6aa92e.example"),
        ("[write](mailto:a@b.example)", "a@b.example"),
        ("![chart](https://charts.example/1.png)", "charts.example"),
    ],
)
def test_a_link_shows_its_host_when_its_text_says_something_else(text: str, host: str) -> None:
    assert f'</a> <span class="host">({host})</span>' in render(text)


@pytest.mark.parametrize("text", ["<https://a.example/x>", "[a.example](https://a.example/x)", "[a@b.example](mailto:a@b.example)"])
def test_a_link_that_says_its_address_is_left_alone(text: str) -> None:
    assert 'class="host"' not in render(text)


def test_a_definition_serves_the_blocks_after_it() -> None:
    assert 'href="https://r.example"' in render("[r]: https://r.example\n\nSee [r].\n")


def test_after_a_reset_the_answer_is_as_if_the_discarded_text_had_never_come() -> None:
    second = "Another *start*.\n\n- x\n- y\n"
    for offset in range(len(SAMPLE) + 1):
        renderer = BlockRenderer()
        renderer.feed(SAMPLE)
        renderer.reset(offset)
        renderer.feed(second)
        renderer.finish()
        assert "".join(block.html for block in renderer.blocks) == render(SAMPLE[:offset] + second)


def test_numbers_can_be_wrapped_outside_code_and_links() -> None:
    def mark(text: str) -> str:
        return re.sub(r"\d+", r'<span class="n" data-evidence="e1">\g<0></span>', text)

    html = render("Up 12, `34`, [56](https://a.example)", text_rule=mark)
    assert 'Up <span class="n" data-evidence="e1">12</span>' in html
    assert "<code>34</code>" in html and ">56</a>" in html


def test_long_blocks_go_through_offload_and_short_ones_do_not() -> None:
    sent: list[int] = []

    def offload(function: object, arguments: tuple) -> str:
        sent.append(len(arguments[0]))
        return function(*arguments)

    renderer = BlockRenderer(offload=offload)
    renderer.feed("short\n\n" + "word " * (LONG_BLOCK // 4) + "\n\n")
    assert len(sent) == 1 and sent[0] > LONG_BLOCK
    assert "".join(block.html for block in renderer.blocks) == render("short\n\n" + "word " * (LONG_BLOCK // 4) + "\n\n")


def cost(paragraphs: int) -> float:
    renderer = BlockRenderer()
    tokens = ["word ", "and ", "more.", "\n\n"] * paragraphs
    start = time.process_time()
    for token in tokens:
        renderer.feed(token)
    return time.process_time() - start


def test_cost_grows_with_the_text_not_with_its_square() -> None:
    small, large = min(cost(250) for _ in range(3)), min(cost(2500) for _ in range(3))
    assert large < small * 10 * 2.5


@pytest.mark.parametrize("piece", ["[", "*a **a ", "`" * 3 + "x", "> ", "- ", "![", "<a ", "~~a~", "|", "\\", "a_"])
def test_pathological_text_stays_cheap(piece: str) -> None:
    text = piece * (16_000 // len(piece))
    start = time.process_time()
    render(text)
    assert time.process_time() - start < 2
