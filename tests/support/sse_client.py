"""A client of the stream endpoints over a socket of its own, that can leave after any event and come back.

It parses by the WHATWG rules and knows nothing of the server's code, so that both can be wrong only separately.
"""

import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Frame:
    """One dispatched event: `data` decoded, `id` as (attempt, seq)."""

    id: tuple[int, int]
    event: str
    data: dict

    @property
    def terminal(self) -> bool:
        return self.event in ("chat_completed", "error")


class Lines:
    """Lines of a byte stream; they end with CR LF, LF or CR."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        text = self._rest + data
        held = b"\r" if text.endswith(b"\r") else b""  # an LF may follow
        text = (text[:-1] if held else text).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = text.split(b"\n")
        self._rest = rest + held
        return [line.decode() for line in lines]


@dataclass
class Parser:
    """Lines in, frames out. `comments` and `retry` are what else came."""

    comments: int = 0
    retry: int | None = None
    last_id: str = ""
    _event: str = ""
    _data: list[str] = field(default_factory=list)

    def take(self, line: str) -> Frame | None:
        if line == "":
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "":
            self.comments += 1
        elif name == "retry":
            self.retry = int(value)
        elif name == "id":
            self.last_id = value
        elif name == "event":
            self._event = value
        elif name == "data":
            self._data.append(value)
        return None

    def _dispatch(self) -> Frame | None:
        event, data, self._event, self._data = self._event, self._data, "", []
        if not data:
            return None
        attempt, seq = self.last_id.split("-")
        return Frame((int(attempt), int(seq)), event, json.loads("\n".join(data)))


class Connection:
    """One request and its response, read as it arrives."""

    def __init__(self, base: str, method: str, path: str, *, body: object = None, headers: Mapping[str, str] | None = None,
                 timeout: float = 30.0) -> None:
        address = urlsplit(base)
        self._http = http.client.HTTPConnection(address.hostname, address.port, timeout=timeout)
        payload = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        given = {"Content-Type": "application/json"} if body is not None else {}
        self._http.request(method, path, payload, given | dict(headers or {}))
        self.response = self._http.getresponse()
        self.status = self.response.status
        self.headers = self.response.headers
        self.parser = Parser()
        self.raw = b""

    def frames(self) -> Iterator[Frame]:
        """The frames as they arrive, to the end of the response. A cut connection ends them as well."""
        lines = Lines()
        while data := self._read():
            self.raw += data
            for line in lines.feed(data):
                frame = self.parser.take(line)
                if frame is not None:
                    yield frame

    def _read(self) -> bytes:
        try:
            return self.response.read1(65536)
        except (http.client.IncompleteRead, ConnectionError):
            return b""

    def json(self) -> dict:
        return json.loads(self.response.read())

    def close(self) -> None:
        """Leave at once, whatever is still to come."""
        self.response.close()
        self._http.close()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Client:
    """Somebody with a name, talking to one server or to any of several."""

    def __init__(self, *bases: str, user: str = "tester") -> None:
        self.bases = bases
        self.user = user

    def request(self, method: str, path: str, body: object = None, *, base: str | None = None, **headers: str) -> Connection:
        named = {"X-User-Id": self.user} | {name.replace("_", "-"): value for name, value in headers.items()}
        return Connection(base or self.bases[0], method, path, body=body, headers=named)

    def ask(self, message: str = "What is beta?", *, base: str | None = None, key: str | None = None, **fields: object) -> Connection:
        headers = {"Idempotency_Key": key} if key else {}
        return self.request("POST", "/api/chat/stream", {"message": message} | fields, base=base, **headers)

    def follow(self, location: str, after: str | None = None, *, base: str | None = None) -> Connection:
        headers = {"Last_Event_ID": after} if after else {}
        return self.request("GET", location, base=base, **headers)

    def stop(self, location: str, *, base: str | None = None) -> dict:
        with self.request("POST", f"{location}/stop", base=base) as connection:
            assert connection.status == 202, connection.status
            return connection.json()

    def get(self, path: str, *, base: str | None = None) -> dict:
        with self.request("GET", path, base=base) as connection:
            assert connection.status == 200, (connection.status, connection.response.read())
            return connection.json()


def text_of(frames: list[Frame]) -> str:
    """The answer as a client has it on the screen: tokens, cut back where a switch says so."""
    text = ""
    for frame in frames:
        if frame.event == "token" and frame.data.get("channel") != "reasoning":
            text += frame.data["content"]
        elif frame.event == "provider_switch":
            text = text[:frame.data["discardFrom"]]
    return text
