"""A slow database holds up nobody who reads live; a shutdown cuts nobody off without a word."""

import sqlite3
import time

import gevent
import requests

from tests.support.fixtures import openai_at
from tests.support.scripts import paced, sent_at
from tests.support.sse_client import Client, text_of

LOCKED_S = 2.0
SMOOTH_MS = 250  # a token's way while the database is locked; without the lock it is 40 ms at most


def test_a_foreign_lock_of_two_seconds_does_not_stop_tokens(pair):
    pair.provider.default = paced(120, 0.025, sent_at)
    arrived = []
    with pair.client().ask() as connection:
        foreign = sqlite3.connect(pair.here.folder / "tickertape.db", isolation_level=None)
        foreign.execute("BEGIN IMMEDIATE")
        released = gevent.spawn_later(LOCKED_S, foreign.execute, "ROLLBACK")
        started = time.monotonic()
        for frame in connection.frames():
            if frame.event == "token":
                arrived.append((time.monotonic() - started, time.monotonic() * 1000 - float(frame.data["content"])))
        released.get(timeout=5)
    during = [late for at, late in arrived if 0.2 < at < LOCKED_S]
    assert len(during) > 40, "tokens kept coming while the database was locked"
    assert max(during) < SMOOTH_MS, sorted(during)[-5:]
    assert frame.event == "chat_completed", "and the answer was stored once it was free"
    foreign.close()


def test_health_is_answered_while_the_database_is_locked(pair):
    foreign = sqlite3.connect(pair.here.folder / "tickertape.db", isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    try:
        assert requests.get(f"{pair.here.url}/healthz", timeout=1).json() == {"status": "alive"}
    finally:
        foreign.execute("ROLLBACK")
        foreign.close()


def test_on_shutdown_readers_are_told_to_come_back_and_the_answer_is_finished(servers, provider):
    provider.default = paced(40, 0.05)
    server = servers(**openai_at(provider))
    client = Client(server.url)
    with client.ask() as connection:
        stopped = gevent.spawn_later(0.5, server.terminate)
        seen = list(connection.frames())
        assert connection.raw.endswith(b"\n\n") and b"retry: " in connection.raw[-20:]
        assert not seen[-1].terminal
    assert stopped.get(timeout=20) == 0
    server.start()
    with client.follow(connection.headers["Location"], "%d-%d" % seen[-1].id) as again:
        seen += again.frames()
    assert [frame.id for frame in seen] == [(1, seq) for seq in range(1, 43)], "finished by the server that began it"
    assert text_of(seen) == "".join(f"word{number} " for number in range(40))
    assert len(provider.requests) == 1


def test_what_cannot_be_finished_in_time_goes_on_after_the_restart(servers, provider):
    provider.default = paced(150, 0.04)
    server = servers(**openai_at(provider), DRAIN_S="1", WORKER_GONE_S="30")
    client = Client(server.url)
    with client.ask() as connection:
        gevent.spawn_later(0.3, server.terminate)
        seen = list(connection.frames())
    gevent.sleep(0.1)
    while server._process is not None:
        gevent.sleep(0.05)
    provider.default = paced(150, 0.005)  # who takes over need not take as long
    server.start()
    with client.follow(connection.headers["Location"], "%d-%d" % seen[-1].id) as again:
        rest = list(again.frames())
    first_of_second = next(frame for frame in rest if frame.id[0] == 2)
    assert first_of_second.data["mode"] == "takeover", "taken over at once, without waiting for the heartbeat to grow old"
    assert rest[-1].event == "chat_completed"
    assert text_of(seen + rest) == "".join(f"word{number} " for number in range(150))


def test_a_reload_changes_workers_without_losing_a_stream(servers, provider):
    provider.default = paced(60, 0.05)
    server = servers(**openai_at(provider))
    client = Client(server.url)

    def whole(number: int):
        connection = client.ask(f"Question {number}")
        seen = []
        while True:
            with connection:
                seen += connection.frames()
            if seen[-1].terminal:
                return seen
            gevent.sleep(0.1)
            connection = client.follow(connection.headers.get("Location") or f"/api/chat/streams/{seen[0].data['streamId']}",
                                       "%d-%d" % seen[-1].id)

    readers = [gevent.spawn(whole, number) for number in range(10)]
    gevent.sleep(0.8)
    server.reload()
    for reader in readers:
        frames = reader.get(timeout=30)
        assert [frame.id for frame in frames] == [(1, seq) for seq in range(1, 63)]
    assert len(provider.requests) == 10
