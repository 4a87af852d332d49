"""Compressed streams: every write can be read at once, a third of the bytes, and no time lost."""

import gzip
import http.client
import json
import statistics
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache

import pytest

from services import sse
from services.streams.compression import gzipped
from tests.support.fake_provider import DONE, END, FakeProvider, chunk, events, ok, stop
from tests.support.fixtures import openai_at
from tests.support.server import Server

WORDS = "Volatility is how far returns stray from their mean; over a year it grows with the square root of time. ".split(" ")


def frames(count: int = 500) -> list[bytes]:
    return [sse.token_frame(1, number + 2, f" {WORDS[number % len(WORDS)]}{number if number % 7 == 0 else ''}") for number in range(count)]


def test_every_write_can_be_read_before_the_next_one() -> None:
    unpack = zlib.decompressobj(31)
    source = [sse.opening(1500), *frames(), sse.HEARTBEAT]
    packed = gzipped(iter(source))
    for plain in source:
        assert unpack.decompress(next(packed)) == plain
    assert unpack.decompress(b"".join(packed)) == b"" and unpack.eof


def test_any_reader_of_gzip_reads_the_whole() -> None:
    assert gzip.decompress(b"".join(gzipped(frames()))) == b"".join(frames())


def test_tokens_take_at_most_a_third_of_their_bytes() -> None:
    plain, packed = sum(map(len, frames())), sum(map(len, gzipped(frames())))
    assert packed * 3 <= plain, (plain / 500, packed / 500)


def test_a_reader_that_leaves_ends_the_source() -> None:
    ended = []

    def source() -> Iterator[bytes]:
        try:
            yield from frames()
        finally:
            ended.append(True)

    packed = gzipped(source())
    next(packed)
    packed.close()
    assert ended == [True]


# ---- on real servers, one for each setting

@pytest.fixture(scope="module")
def source() -> Iterator[FakeProvider]:
    with FakeProvider() as fake:
        yield fake


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory, source: FakeProvider) -> Iterator[Callable[[str], Server]]:
    """The server with that STREAM_GZIP."""
    with ExitStack() as running:

        @cache
        def server(setting: str) -> Server:
            environ = {"STREAM_GZIP": setting, "RATE_LIMITS": "off"} | openai_at(source)
            return running.enter_context(Server(tmp_path_factory.mktemp(f"gzip-{setting}"), environ=environ))

        yield server


def ask(server: Server, accept: str) -> tuple[http.client.HTTPResponse, float]:
    """The response, and the seconds to the first token."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    started = time.monotonic()
    connection.request("POST", "/api/chat/stream", json.dumps({"message": "hello"}),
                       {"Content-Type": "application/json", "Accept-Encoding": accept})
    response = connection.getresponse()
    unpack = zlib.decompressobj(31) if response.headers["Content-Encoding"] == "gzip" else None
    seen = b""
    while b"\nevent: token\n" not in seen:
        data = response.read1(65536)
        assert data
        seen += unpack.decompress(data) if unpack else data
    took = time.monotonic() - started
    while data := response.read1(65536):
        seen += unpack.decompress(data) if unpack else data
    assert b"\nevent: chat_completed\n" in seen and (unpack is None or unpack.eof)
    return response, took


@pytest.mark.parametrize(("setting", "accept", "encoding"), [
    ("on", "gzip", "gzip"), ("on", "br, gzip;q=0.5", "gzip"), ("on", "identity", None), ("on", "gzip;q=0", None), ("off", "gzip", None),
])
def test_only_who_accepts_it_gets_it_and_only_where_the_setting_allows(
        serving: Callable[[str], Server], setting: str, accept: str, encoding: str | None) -> None:
    response, _ = ask(serving(setting), accept)
    assert response.headers["Content-Encoding"] == encoding
    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert ("Accept-Encoding" in response.headers.get("Vary", "")) == (setting == "on")


def test_the_first_token_is_not_later(serving: Callable[[str], Server], source: FakeProvider) -> None:
    server = serving("on")
    times: dict[str, list[float]] = {"identity": [], "gzip": []}
    for _ in range(15):
        for accept, taken in times.items():
            source.play(ok(), events(chunk("first ")), 0.05, events(chunk("second")), events(stop()), DONE, END)
            taken.append(ask(server, accept)[1])
    plain, packed = (statistics.median(each) for each in times.values())
    assert packed - plain < 0.010, (plain, packed)
    print(f"first token: {plain * 1000:.1f} ms plain, {packed * 1000:.1f} ms compressed")
