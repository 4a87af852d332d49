"""Clients that are slow on purpose, on a real server: each is closed in its time, and nobody else waits."""

import json
import socket
import time
from collections.abc import Iterable, Iterator

import gevent
import pytest
import requests

from tests.support.fake_provider import DONE, END, FakeProvider, chunk, events, ok, stop
from tests.support.fixtures import openai_at
from tests.support.server import Server

HEAD = b"POST /api/chat/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
FORM = HEAD.replace(b"application/json", b"application/x-www-form-urlencoded")

# What each begins with, and what it then trickles.
SLOW = {
    "head": (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n", b"X-%d: y\r\n"),
    "length": (HEAD + b"Content-Length: 5000\r\n\r\n", b"x"),
    "chunked": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "form": (FORM + b"Content-Length: 5000\r\n\r\n", b"x"),
    "unwanted": (b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n\r\n", b"x"),
}
Trickled = tuple[float, bytes, bool]


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as fake:
        yield fake


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, provider: FakeProvider) -> Iterator[Server]:
    """One for all of them: whoever is slow or wrong here must leave it as it was."""
    environ = openai_at(provider) | {"BODY_TIMEOUT_S": "2", "STREAM_STALL_S": "2"}
    with Server(tmp_path_factory.mktemp("slow"), environ=environ) as running:
        yield running


@pytest.fixture(scope="module")
def slow(server: Server) -> dict[str, gevent.Greenlet]:
    """All slow clients at the same time, as they would come."""
    return {name: gevent.spawn(trickled, server, begin, piece) for name, (begin, piece) in SLOW.items()}


def trickled(server: Server, begin: bytes, piece: bytes) -> Trickled:
    """How long the server took it, what it said, and whether it answered others at once afterwards."""
    pieces = (piece % number if b"%d" in piece else piece for number in range(10_000))
    with connect(server) as connection:
        connection.sendall(begin)
        took, answer = trickle(connection, pieces)
        return took, answer, answers(server)


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def trickle(connection: socket.socket, pieces: Iterable[bytes], pause: float = 0.2) -> tuple[float, bytes]:
    """Send piece after piece until the server has had enough; how long that took, and what it said."""
    started, answer, pieces = time.monotonic(), b"", iter(pieces)
    connection.settimeout(pause)
    while time.monotonic() - started < 30:
        try:
            connection.sendall(next(pieces, b""))
            data = connection.recv(4096)
        except TimeoutError:
            continue
        except ConnectionError:
            break
        answer += data
        if not data:
            break
    return time.monotonic() - started, answer


def answers(server: Server) -> bool:
    started = time.monotonic()
    ok = requests.get(f"{server.url}/readyz", timeout=5).status_code == 200
    return ok and time.monotonic() - started < 1


def test_a_trickled_head_is_closed_in_time(slow: dict[str, gevent.Greenlet]) -> None:
    took, answer, others_answered = slow["head"].get()
    assert took < 7 and not answer
    assert others_answered


@pytest.mark.parametrize("kind", ["length", "chunked", "form"])
def test_a_trickled_body_is_refused_in_time_and_the_connection_closed(slow: dict[str, gevent.Greenlet], kind: str) -> None:
    took, answer, others_answered = slow[kind].get()
    assert 1.5 < took < 9
    assert answer.startswith(b"HTTP/1.1 408") and b'"too_slow"' in answer
    assert others_answered


def test_a_body_nobody_wants_does_not_hold_the_connection(slow: dict[str, gevent.Greenlet]) -> None:
    took, answer, _ = slow["unwanted"].get()
    assert took < 7 and answer.startswith(b"HTTP/1.1 200") and answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("lengths", [b"Content-Length: 15\r\nContent-Length: 15\r\n", b"Content-Length: 15\r\nContent-Length: 16\r\n",
                                     b"Content-Length: 15\r\nTransfer-Encoding: chunked\r\n", b"Content-Length: -1\r\n",
                                     b"Content-Length: 15, 15\r\n", b"Transfer-Encoding: gzip\r\n"])
def test_an_ambiguous_length_is_refused_and_the_connection_closed(server: Server, lengths: bytes) -> None:
    with connect(server) as client:
        client.sendall(HEAD + lengths + b'\r\n{"message":"x"}')
        took, answer = trickle(client, iter(()))
        assert answer.startswith(b"HTTP/1.1 400") and answer.count(b"HTTP/1.1") == 1
        assert took < 3


@pytest.mark.parametrize("request_head", [
    b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX-Big: " + b"a" * 9000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(100)) + b"\r\n",
], ids=["line", "field", "fields"])
def test_a_head_over_the_limits_is_refused(server: Server, request_head: bytes) -> None:
    with connect(server) as client:
        client.sendall(request_head)
        _, answer = trickle(client, iter(()))
        assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431", b"HTTP/1.1 414"))


def test_a_reader_with_a_closed_window_is_dropped_and_the_answer_is_written_to_its_end(
        server: Server, provider: FakeProvider) -> None:
    provider.play(ok(), *[events(chunk("0123456789abcdef" * 64)) for _ in range(6000)], events(stop()), DONE, END)
    body = json.dumps({"message": "go on"}).encode()
    stalled = socket.socket()
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    stalled.connect(("127.0.0.1", server.port))
    stalled.sendall(HEAD + b"X-User-Id: ann\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    reading = requests.Session()
    until = time.monotonic() + 30
    while time.monotonic() < until and "took nothing for too long" not in server.log:
        assert answers(server)
        time.sleep(0.3)
    assert "took nothing for too long" in server.log
    assert "Traceback" not in server.log
    listed = reading.get(f"{server.url}/api/conversations", headers={"X-User-Id": "ann"}).json()["conversations"]
    address = f"{server.url}/api/conversations/{listed[0]['id']}"
    while time.monotonic() < until:
        answer = reading.get(address, headers={"X-User-Id": "ann"}).json()["messages"][-1]
        if answer["status"] != "streaming":
            break
        time.sleep(0.3)
    assert answer["status"] == "complete" and len(answer["content"]) == 6000 * 1024
    stalled.close()
