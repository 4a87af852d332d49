"""Server-Sent Events as bytes: frames, comments, event ids. Values in, bytes out.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import orjson

from services.events import Event, data

HEARTBEAT = b":\n\n"


class EventId(NamedTuple):
    """`<attempt>-<seq>`, ordered as a pair. A valid Redis stream id as well."""

    attempt: int
    seq: int

    def __str__(self) -> str:
        return f"{self.attempt}-{self.seq}"


BEGINNING = EventId(1, 0)
_EVENT_ID = re.compile(r"(\d{1,9})-(\d{1,12})", re.ASCII)


def parse_event_id(text: str) -> EventId | None:
    """The id a client sent back, or None when it is not one of ours."""
    match = _EVENT_ID.fullmatch(text)
    return EventId(int(match[1]), int(match[2])) if match else None


def frame(attempt: int, seq: int, event: Event) -> bytes:
    """One event. JSON holds no raw line break, so one data line always suffices."""
    return b"id: %d-%d\nevent: %b\ndata: %b\n\n" % (attempt, seq, event.name.encode(), orjson.dumps(data(event)))


def token_frame(attempt: int, seq: int, text: str) -> bytes:
    """The frame of a bare answer token, without the detour over an object: this runs once a token."""
    return b'id: %d-%d\nevent: token\ndata: {"type":"token","content":%b}\n\n' % (attempt, seq, orjson.dumps(text))


def opening(retry_ms: int) -> bytes:
    """What a response begins with at once: a comment, and `retry:` as the first line of the first frame."""
    return b": tickertape\nretry: %d\n" % retry_ms


def split(frames: bytes) -> list[bytes]:
    """The single frames of a stored segment."""
    return [piece + b"\n\n" for piece in frames.split(b"\n\n")[:-1]]


def parse(one: bytes) -> tuple[EventId, dict[str, object]]:
    """Our own frame back as its id and JSON object."""
    head, payload = one.split(b"\ndata: ", 1)
    identity = parse_event_id(head.split(b"\n", 1)[0][4:].decode())
    return identity, orjson.loads(payload)


def is_terminal(one: bytes) -> bool:
    """Whether a frame is a turn's last."""
    return b"\nevent: chat_completed\n" in one[:80] or b"\nevent: error\n" in one[:80]


def events_of(frames: Iterable[bytes]) -> Iterator[dict[str, object]]:
    """The JSON objects of our own frames."""
    return (parse(one)[1] for one in frames)


def split_wire(chunk: bytes) -> list[bytes]:
    """The frames in a chunk of a response, without the comments and `retry:` lines around them."""
    return [b"id: " + piece.split(b"id: ", 1)[1] for piece in split(chunk) if b"\nevent: " in piece]
