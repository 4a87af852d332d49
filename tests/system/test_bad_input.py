"""Bad input at the socket: what the test client cannot say, a real one can. None of it disturbs a stream that runs."""

import json
import socket

import gevent
import pytest

from tests.support.scripts import paced
from tests.support.sse_client import Lines, Parser, text_of


def spoken(pair, request: bytes) -> tuple[int, bytes]:
    """Status and body of what a server answers to raw bytes; it may close without reading them all."""
    with socket.create_connection(("127.0.0.1", pair.here.port), timeout=10) as connection:
        try:
            connection.sendall(request)
        except ConnectionError:
            pass
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionError:
            pass
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), body


def posted(body: bytes, *headers: str) -> bytes:
    lines = ["POST /api/chat/stream HTTP/1.1", "Host: 127.0.0.1", "X-User-Id: tester", "Connection: close", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def followed(location: str, last_event_id: bytes) -> bytes:
    return (f"GET {location} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-User-Id: tester\r\nConnection: close\r\nLast-Event-ID: ".encode()
            + last_event_id + b"\r\n\r\n")


JSON = "Content-Type: application/json"
QUESTION = b'{"message": "What is beta?"}'


def test_two_megabytes_are_refused_and_the_refusal_arrives(pair):
    body = b'{"message": "' + b"x" * 2_000_000 + b'"}'
    status, answer = spoken(pair, posted(body, JSON, f"Content-Length: {len(body)}"))
    assert status == 413
    assert json.loads(answer)["error"]["code"] == "too_large"


def test_two_megabytes_in_chunks_are_refused_as_well(pair):
    chunks = (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 31 + b"0\r\n\r\n"
    status, answer = spoken(pair, posted(chunks, JSON, "Transfer-Encoding: chunked"))
    assert status == 413
    assert b"too_large" in answer


@pytest.mark.parametrize("given", [b"garbage", b"-1-5", b"x" * 8_000, "1-١".encode()])
def test_garbage_as_last_event_id_is_refused(pair, given):
    with pair.client().ask() as connection:
        list(connection.frames())
    status, answer = spoken(pair, followed(connection.headers["Location"], given))
    assert status == 400
    assert json.loads(answer)["error"]["field"] == "Last-Event-ID"


@pytest.mark.parametrize("given", [b"1-1\0", b"x" * 9_000])
def test_what_gunicorn_itself_refuses_is_refused_too(pair, given):
    with pair.client().ask() as connection:
        list(connection.frames())
    status, _ = spoken(pair, followed(connection.headers["Location"], given))
    assert status in (400, 431)


def test_bytes_that_are_no_http_do_no_harm(pair):
    with socket.create_connection(("127.0.0.1", pair.here.port), timeout=10) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    with pair.client().ask() as connection:
        assert list(connection.frames())[-1].event == "chat_completed"


def test_odd_text_comes_through_the_whole_house_unharmed(pair):
    odd = "a\u2028b\u2029c\u0085d\r\ne\rf\n\ng 🏳️‍🌈 \u202e <script>"
    pair.provider.default = paced(1, 0, lambda number: odd)
    client = pair.client()
    with client.ask(odd) as connection:
        frames = list(connection.frames())
    assert pair.provider.requests[0].json()["messages"][-1]["content"] == odd
    assert text_of(frames) == odd
    assert [each["content"] for each in client.get(f"/api/conversations/{frames[0].data['conversationId']}")["messages"]] == [odd, odd]


def test_none_of_it_breaks_another_stream(pair):
    pair.provider.default = paced(60, 0.02)
    with pair.client().ask() as connection:
        reader = gevent.spawn(lambda: list(connection.frames()))
        gevent.sleep(0.1)
        for _ in range(3):
            spoken(pair, posted(b"x" * 2_000_000, JSON, "Content-Length: 2000000"))
            spoken(pair, posted(b"{", JSON, "Content-Length: 1"))
            spoken(pair, posted(b"[" * 100_000, JSON, "Content-Length: 100000"))
            spoken(pair, followed(connection.headers["Location"], b"x" * 9_000))
            spoken(pair, followed(connection.headers["Location"], b"1-99999"))
            spoken(pair, followed("/api/chat/streams/%00", b"1-1"))
        frames = reader.get(timeout=20)
    assert [frame.id for frame in frames] == [(1, seq) for seq in range(1, 63)]


def test_a_client_that_speaks_http_1_0_gets_its_stream(pair):
    request = posted(QUESTION, JSON, f"Content-Length: {len(QUESTION)}").replace(b"HTTP/1.1", b"HTTP/1.0")
    status, body = spoken(pair, request)
    parser = Parser()
    frames = [frame for line in Lines().feed(body) if (frame := parser.take(line)) is not None]
    assert (status, frames[-1].event) == (200, "chat_completed")
