"""A real server on the loopback that plays a source: it hangs, trickles, lies, limits, cuts, or answers."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

Behaviour = Callable[["Conversation"], None]


class Conversation:
    """One request and the socket it came on."""

    def __init__(self, connection: socket.socket, head: str) -> None:
        self.connection, self.head = connection, head
        self.target = head.split(" ")[1]
        self.path, self.query = urlsplit(self.target).path, parse_qs(urlsplit(self.target).query)

    def send(self, body: bytes, status: str = "200 OK", *headers: str, length: int | None = None) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", "Connection: close", *headers]
        self.connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    def json(self, document: object) -> None:
        self.send(json.dumps(document).encode(), "200 OK", "Content-Type: application/json")


class SourceServer:
    """Answers each request with `behaviour`, a thread each; keeps the requests."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour, self.requests = behaviour, []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._closing = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> SourceServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._socket.shutdown(socket.SHUT_RDWR)  # closing alone would still let the waiting accept take one more
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                head = b""
                while b"\r\n\r\n" not in head:
                    if not (piece := connection.recv(65536)):
                        return
                    head += piece
                conversation = Conversation(connection, head.decode())
                self.requests.append(conversation)
                self.behaviour(conversation)
            except OSError:
                return  # the client left, as it should

    def hang(self, conversation: Conversation) -> None:
        self._closing.wait(20)

    def trickle_head(self, conversation: Conversation) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nX-Padding: " + b"x" * 400:
            conversation.connection.sendall(bytes([byte]))
            if self._closing.wait(0.05):
                return

    def trickle_body(self, conversation: Conversation) -> None:
        conversation.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")
        for _ in range(400):
            conversation.connection.sendall(b"[")
            if self._closing.wait(0.05):
                return


def yahoo(dates: list[str], closes: list[float | None], currency: str = "USD", **quote: list) -> dict:
    """A chart document of v8, its days as the exchange's morning in New York."""
    from datetime import UTC, datetime

    stamps = [int(datetime.fromisoformat(d).replace(tzinfo=UTC).timestamp()) + 14 * 3600 + 1800 for d in dates]
    return {"chart": {"error": None, "result": [{
        "meta": {"currency": currency, "gmtoffset": -18000, "symbol": "AAPL"}, "timestamp": stamps,
        "indicators": {"quote": [{"close": closes, **quote}], "adjclose": [{"adjclose": closes}]},
    }]}}


def weekdays(first: str, count: int) -> list[str]:
    from datetime import date, timedelta

    day, found = date.fromisoformat(first), []
    while len(found) < count:
        if day.weekday() < 5:
            found.append(day.isoformat())
        day += timedelta(days=1)
    return found


def waited(begun: float) -> float:
    return time.monotonic() - begun
