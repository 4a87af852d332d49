"""An event stream read as bytes, as providers write it and not only as WHATWG says. Bytes in, events out, no I/O.

Only CR, LF and CRLF end a line: `splitlines` would also break at U+2028, which is legal inside JSON. Every split of the
same bytes gives the same events.
"""

import re
from enum import Enum, auto
from typing import NamedTuple

import orjson

CAP = 1 << 20  # bytes of one event; real ones have some hundred
_STRAY_CAP = 1 << 16
_EOL = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"
_IGNORED = (b"id", b"retry")


class Kind(Enum):
    ERROR = auto()  # an event named error, or a line `error: {…}`
    STRAY = auto()  # JSON that stands outside any event: an error body, or an answer that was not streamed
    HTML = auto()  # the body is a page of some proxy
    OVERSIZE = auto()  # an event larger than the cap; its bytes were dropped as they came


class Special(NamedTuple):
    kind: Kind
    payload: bytes = b""


class EventStreamDecoder:
    """`feed` gives the data of each finished event as bytes, and a `Special` for what is not simply that."""

    def __init__(self, cap: int = CAP) -> None:
        self._cap = cap
        self._clean = False  # nothing is pending, so the next byte begins an event
        self._bom = b""  # the first bytes, while they could still be a byte order mark
        self._started = False
        self._skip_lf = False  # the last byte was CR: an LF that follows belongs to it
        self._parts: list[bytes] = []  # an unfinished line
        self._size = 0
        self._over: int | None = None  # first byte of an unfinished line beyond the cap
        self._data: list[bytes] = []
        self._data_size = 0
        self._event = b""
        self._stray: list[bytes] = []
        self._stray_size = 0
        self._seen = False  # a field has been understood: this is an event stream

    def feed(self, data: bytes) -> list[bytes | Special]:
        out: list[bytes | Special] = []
        if self._clean and b"\r" not in data:
            pieces = data.split(b"\n\n")
            data = pieces.pop()
            for piece in pieces:
                if self._clean and piece[:5] == b"data:" and b"\n" not in piece and len(piece) <= self._cap:
                    out.append(piece[6:] if piece[5:6] == b" " else piece[5:])
                else:
                    self._lines(piece + b"\n\n", out)
        if data:
            self._lines(data, out)
        return out

    def end(self) -> list[bytes | Special]:
        """The events still open when the body ended: an unterminated last event counts."""
        out: list[bytes | Special] = []
        if not self._started:
            self._started = True
            self._lines(self._bom, out)
        if self._parts or self._over is not None:
            self._finish_line(b"", out)
        self._dispatch(out)
        if self._stray:
            self._try_stray(out)
        return out

    def _lines(self, data: bytes, out: list[bytes | Special]) -> None:
        if not self._started:
            data = self._after_bom(data)
        if self._skip_lf and data:
            self._skip_lf = False
            data = data[1:] if data[:1] == b"\n" else data
        start = 0
        for match in _EOL.finditer(data) if b"\n" in data or b"\r" in data else ():
            self._finish_line(data[start : match.start()], out)
            start = match.end()
        if start and data.endswith(b"\r"):
            self._skip_lf = True
        self._hold(data[start:])
        self._clean = not (
            self._parts or self._data or self._event or self._stray or self._skip_lf or self._over is not None
        ) and self._started

    def _after_bom(self, data: bytes) -> bytes:
        """`data` without the mark that may open a stream; empty while that cannot be told yet."""
        data = self._bom + data
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._bom = data
            return b""
        self._started, self._bom = True, b""
        return data.removeprefix(_BOM)

    def _hold(self, rest: bytes) -> None:
        if not rest:
            return
        self._size += len(rest)
        if self._over is None:
            self._parts.append(rest)
            if self._size > self._cap:
                self._over = self._parts[0][0]
                self._parts.clear()

    def _finish_line(self, tail: bytes, out: list[bytes | Special]) -> None:
        size = self._size + len(tail)
        if size > self._cap:
            first = self._over if self._over is not None else (b"".join(self._parts[:1]) + tail)[0]
            if first != 0x3A:  # a long comment is still a comment
                out.append(Special(Kind.OVERSIZE))
            line = b":"
        else:
            line = b"".join([*self._parts, tail]) if self._parts else tail
        self._parts.clear()
        self._size, self._over = 0, None
        self._line(line, out)

    def _line(self, line: bytes, out: list[bytes | Special]) -> None:
        if not line:
            self._dispatch(out)
            return
        name, _, value = line.partition(b":")
        value = value[1:] if value[:1] == b" " else value
        if name == b"":
            return
        if name == b"data":
            self._seen = True
            self._add_data(value)
        elif name == b"event":
            self._seen = True
            self._event = value.strip()
        elif name == b"error":
            self._seen = True
            out.append(Special(Kind.ERROR, value))
        elif name not in _IGNORED:
            self._outside(line, out)

    def _add_data(self, value: bytes) -> None:
        self._data_size += len(value) + 1
        if self._data_size <= self._cap + 1:
            self._data.append(value)
        else:
            self._data = [b""]

    def _dispatch(self, out: list[bytes | Special]) -> None:
        if self._data:
            payload = b"\n".join(self._data)
            if self._data_size > self._cap + 1:
                out.append(Special(Kind.OVERSIZE))
            elif self._event == b"error":
                out.append(Special(Kind.ERROR, payload))
            else:
                out.append(payload)
        self._data, self._data_size, self._event = [], 0, b""

    def _outside(self, line: bytes, out: list[bytes | Special]) -> None:
        """A line that is no field: a body that is no event stream, or JSON printed over several lines."""
        if self._data and line[0] in b' \t"{}[]':
            self._add_data(line)
        elif self._stray or line.lstrip()[:1] == b"{":
            self._stray_size += len(line) + 1
            if self._stray_size > _STRAY_CAP:
                self._stray, self._stray_size = [], 0
                out.append(Special(Kind.OVERSIZE))
                return
            self._stray.append(line)
            if len(self._stray) == 1 or line[:1] == b"}":
                self._try_stray(out)
        elif not self._seen and line.lstrip()[:1] == b"<":
            self._seen = True
            out.append(Special(Kind.HTML))

    def _try_stray(self, out: list[bytes | Special]) -> None:
        payload = b"\n".join(self._stray)
        try:
            orjson.loads(payload)
        except orjson.JSONDecodeError:
            return
        out.append(Special(Kind.STRAY, payload))
        self._stray, self._stray_size = [], 0
