"""A streamed answer as HTML for a browser without scripts: blocks as they close, nothing that would have to change.

HTML that was sent cannot be taken back. After a switch of provider a new `attempt` begins with the blocks that still
count, and the stylesheet hides every attempt but the last.
"""

from collections.abc import Iterable, Iterator, Mapping
from html import escape

KEEP_ALIVE = b"\n"


def live_page(events: Iterable[Mapping[str, object] | None]) -> Iterator[bytes]:
    """The HTML of a turn's events, in one `attempt` or more; None (a heartbeat) becomes a line break."""
    kept: list[Mapping[str, object]] = []
    yield b'<div class="attempt">'
    for event in events:
        match event["type"] if event else None:
            case None:
                yield KEEP_ALIVE
            case "block":
                if event["index"] < len(kept):  # it replaces what a switch had left open
                    del kept[event["index"]:]
                    yield b'</div><div class="attempt">' + _html(kept)
                kept.append(event)
                yield _html([event])
            case "provider_switch":
                kept = [block for block in kept if block["end"] <= event["discardFrom"]]
                note = f'</div><div class="attempt"><p class="note">{escape(str(event["message"]))}</p>'
                yield note.encode() + _html(kept)
    yield b"</div>"


def _html(blocks: Iterable[Mapping[str, object]]) -> bytes:
    return "".join(f'<div class="block">{block["html"]}</div>\n' for block in blocks).encode()
