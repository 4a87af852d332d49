"""How much one may ask: bursts, days, what runs at once; shared, given back, and said so that one can wait for it."""

import logging
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import gevent
import pytest
import sqlalchemy
from flask import Flask

from app import create_app
from services.errors import RateLimited
from services.limits import network_of
from services.llm.deltas import Began, Content, Finished, Usage
from services.llm.trail import Trail
from services.rates import Rates, Window
from services.settings import Settings
from services.store import spending
from tests.support.fake_provider import STALL, FakeProvider, chunk, events, ok
from tests.support.fixtures import openai_at, services_of
from tests.support.redis_server import RedisServer
from tests.support.server import Server
from tests.support.sse_client import Client
from tests.support.tables import with_tables

QUESTION = {"message": "What is beta?"}


class Model:
    """An LLM that answers at once and says what it cost."""

    def __init__(self, *usage: Usage) -> None:
        self.usage = usage

    def stream(self, request, cancellation, trail=None):
        yield Began("fake", "fake-1", 1)
        yield Content("Beta is a slope.")
        if trail is not None:
            trail.usage.extend(self.usage)
        yield Finished("fake", "fake-1", "stop", self.usage, ())

    def states(self) -> list:
        return []

    def check(self, provider: str | None, model: str | None) -> None:
        """Nobody chooses here."""


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Flask]]:
    made: list[Flask] = []

    def app(*usage: Usage, **environ: str) -> Flask:
        settings = Settings.load(with_tables(tmp_path) | environ)
        made.append(create_app(settings, llm=Model(*usage)))
        return made[-1]

    yield app
    for each in made:
        each.extensions["tickertape"].close()


def ask(app: Flask, user: str = "ann", **headers: str):
    answer = app.test_client().post("/api/chat/stream", json=QUESTION, headers={"X-User-Id": user} | headers)
    assert answer.data
    return answer


def test_the_question_after_the_last_one_of_a_minute_is_refused_and_says_when(make) -> None:
    app = make(TURNS_PER_MINUTE="3")
    assert [ask(app).status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = ask(app)
    error = refused.json["error"]
    assert (error["code"], error["limit"], error["allowed"]) == ("rate_limited", "turns_per_minute", 3)
    assert 50 <= int(refused.headers["Retry-After"]) <= 61 and int(refused.headers["Retry-After"]) == error["retryAfter"]
    assert 45 < datetime.fromisoformat(error["resetAt"]).timestamp() - time.time() < 63
    assert "3 questions within a minute" in error["message"] and re.search(r"in \d+ seconds", error["message"])
    assert ask(app, "bob").status_code == 200, "another user is not affected"


def test_answers_say_how_much_is_left(make) -> None:
    app = make(TURNS_PER_MINUTE="5", TURNS_PER_DAY="9")
    ask(app)
    headers = ask(app).headers
    assert headers["RateLimit-Policy"] == '"turns_per_minute";q=5;w=60, "turns_per_day";q=9;w=86400'
    assert re.fullmatch(r'"turns_per_minute";r=3;t=\d+', headers["RateLimit"])
    app = make(TURNS_PER_MINUTE="5", TURNS_PER_DAY="2")
    refused = ask(app)
    assert re.fullmatch(r'"turns_per_day";r=0;t=\d+', refused.headers["RateLimit"])


def test_a_day_is_counted_in_the_database_and_outlives_a_restart_and_a_deletion(make) -> None:
    app = make(TURNS_PER_DAY="2")
    ask(app), ask(app)
    listed = app.test_client().get("/api/conversations", headers={"X-User-Id": "ann"}).json["conversations"]
    for each in listed:
        app.test_client().delete(f"/api/conversations/{each['id']}", headers={"X-User-Id": "ann"})
    restarted = make(TURNS_PER_DAY="2")
    refused = ask(restarted)
    assert refused.json["error"]["limit"] == "turns_per_day"
    assert 0 < int(refused.headers["Retry-After"]) <= 86_401
    assert ask(restarted, "bob").status_code == 200


def test_a_day_ends_at_midnight(make) -> None:
    app = make(TURNS_PER_DAY="1")
    ask(app)
    assert ask(app).status_code == 429
    change(app, "UPDATE spending SET day = day - 1")
    assert ask(app).status_code == 200


@pytest.mark.parametrize(("name", "limit", "usage"), [
    ("TOKENS_PER_DAY", "5000", Usage("fake", "fake-1", 4000, 1000, cost=None)),
    ("COST_PER_DAY", "0.5", Usage("fake", "fake-1", 10, 10, cost=0.6)),
    ("TOKENS_PER_DAY", "5000", Usage("fake", "fake-1", 4000, 1000, wasted=True)),
])
def test_tokens_and_cost_of_a_day_are_what_was_used(make, name: str, limit: str, usage: Usage) -> None:
    app = make(usage, **{name: limit})
    assert ask(app).status_code == 200
    refused = ask(app)
    assert refused.status_code == 429 and refused.json["error"]["limit"] == name.lower()


def test_what_was_not_used_is_given_back(make) -> None:
    app = make(Usage("fake", "fake-1", 10, 5, cost=0.0), TOKENS_PER_DAY="4500", RESERVE_TOKENS="4000")
    assert [ask(app).status_code for _ in range(5)] == [200] * 5
    assert rows(app) == [(15, 0.0, 1)] * 5


def test_a_turn_that_cannot_begin_reserves_nothing(make) -> None:
    app = make()
    refused = app.test_client().post("/api/chat/stream", json=QUESTION | {"conversationId": "nobodys"}, headers={"X-User-Id": "ann"})
    assert refused.status_code == 404
    assert rows(app) == []


def test_a_retry_of_an_admitted_question_is_not_a_new_one(make) -> None:
    app = make(TURNS_PER_MINUTE="1", TURNS_PER_DAY="1", CONCURRENT_TURNS="1")
    first = ask(app, **{"Idempotency-Key": "k"})
    again = ask(app, **{"Idempotency-Key": "k"})
    assert again.status_code == 200 and again.headers["Location"] == first.headers["Location"]
    assert ask(app, **{"Idempotency-Key": "other"}).status_code == 429
    assert len(rows(app)) == 1


def test_an_address_has_limits_where_nobody_is_signed_in(make) -> None:
    app = make(ADDRESS_TURNS_PER_MINUTE="3", TRUSTED_PROXIES="127.0.0.1")

    def ask_from(address: str) -> int:
        # No cookie is kept, so each question is another anonymous user's.
        return app.test_client().post("/api/chat/stream", json=QUESTION, headers={"X-Forwarded-For": address}).status_code

    assert [ask_from("192.0.2.1") for _ in range(4)] == [200, 200, 200, 429]
    assert ask_from("192.0.2.2") == 200
    assert [ask_from(f"2001:db8::{last}") for last in range(1, 5)] == [200, 200, 200, 429], "a household has a whole IPv6 network"
    assert ask_from("2001:db8:0:1::1") == 200
    assert ask(app, "named", **{"X-Forwarded-For": "192.0.2.1"}).status_code == 200, "a named user has limits of their own"


def test_the_days_of_an_address_are_in_the_database(make) -> None:
    app = make(ADDRESS_TURNS_PER_DAY="2")
    codes = [app.test_client().post("/api/chat/stream", json=QUESTION).status_code for _ in range(3)]
    assert codes == [200, 200, 429]


def test_limits_off_count_nothing(make) -> None:
    app = make(RATE_LIMITS="off", TURNS_PER_MINUTE="1", TURNS_PER_DAY="1")
    answers = [ask(app) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 5
    assert "RateLimit" not in answers[0].headers and rows(app) == []


def test_open_readers_of_one_user_are_limited_and_counted_back(make) -> None:
    app = make(CONCURRENT_READERS="2")
    limits = app.extensions["tickertape"].limits
    location = ask(app).headers["Location"]
    open_responses = [limits.reading(user_id, iter([b"x", b"y"])) for user_id in [user_of(app)] * 2]
    for each in open_responses:
        next(each)
    refused = app.test_client().get(location, headers={"X-User-Id": "ann"})
    assert refused.status_code == 429 and refused.json["error"]["limit"] == "concurrent_readers"
    again = app.test_client().post("/api/chat/stream", json=QUESTION, headers={"X-User-Id": "ann"})
    assert again.status_code == 429 and again.json["error"]["limit"] == "concurrent_readers"
    listed = app.test_client().get("/api/conversations", headers={"X-User-Id": "ann"}).json["conversations"]
    assert len(listed) == 1, "a question that was refused does not run"
    open_responses.pop().close()
    assert app.test_client().get(location, headers={"X-User-Id": "ann"}).status_code == 200
    assert app.test_client().head(location, headers={"X-User-Id": "ann"}).status_code == 200
    assert app.test_client().get(location, headers={"X-User-Id": "ann"}).status_code == 200, "HEAD opens nothing"


@pytest.mark.parametrize(("address", "network"), [
    ("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::"), ("2001:db8:0:0:ffff::1", "2001:db8::"), ("", ""), ("unix:", "unix:"),
])
def test_what_counts_as_one_address(address: str, network: str) -> None:
    assert network_of(address) == network


# ---- many at once, on real servers

def test_a_hundred_streams_of_one_user_get_429_beyond_the_limit_and_nobody_else_does(
        servers: Callable[..., Server], provider: FakeProvider) -> None:
    for _ in range(12):
        provider.play(ok(), events(chunk("so far")), STALL)
    first = servers(workers=2, RATE_LIMITS="on", CONCURRENT_TURNS="6", TURNS_PER_MINUTE="1000", **openai_at(provider))
    greedy = [Client(first.url, user="greedy") for _ in range(100)]
    with ThreadPoolExecutor(20) as pool:
        opened = list(pool.map(lambda client: client.ask(), greedy))
    codes = [connection.status for connection in opened]
    assert sorted(set(codes)) == [200, 429] and codes.count(200) == 6
    refused = next(connection for connection in opened if connection.status == 429)
    assert refused.headers["Retry-After"] and refused.json()["error"]["limit"] == "concurrent_turns"
    other = Client(first.url, user="modest").ask()
    assert other.status == 200
    running = next(connection for connection in opened if connection.status == 200)
    greedy[0].stop(running.headers["Location"])
    list(running.frames())
    with Client(first.url, user="greedy").ask() as again:
        assert again.status == 200, "a stopped turn makes room"
    for connection in [*opened, other]:
        connection.close()


def test_completions_at_the_same_moment_are_counted_before_any_of_them_waits(make: Callable[..., Flask]) -> None:
    charges, admitted = services_of(make(RATE_LIMITS="on", CONCURRENT_TURNS="3")).completions._charges, []

    def come() -> None:
        with suppress(RateLimited):
            admitted.append(charges.open("ann", None))

    gevent.joinall([gevent.spawn(come) for _ in range(10)], raise_error=True)
    assert len(admitted) == 3
    charges.close(admitted.pop(), Trail())
    come()
    assert len(admitted) == 3, "one that has ended makes room"


def test_what_a_killed_server_reserved_is_settled_by_the_one_that_takes_over(
        servers: Callable[..., Server], provider: FakeProvider) -> None:
    provider.play(ok(), events(chunk("so far")), STALL)
    environ = {"RATE_LIMITS": "on", "CONCURRENT_TURNS": "1", "MAX_ATTEMPTS": "1"} | openai_at(provider)
    first = servers(**environ)
    with Client(first.url).ask() as connection:
        next(connection.frames())
        assert Client(first.url).ask().status == 429
        first.kill()
    second = servers(**environ)
    until = time.monotonic() + 20
    while Client(second.url).ask().status == 429 and time.monotonic() < until:
        time.sleep(0.3)
    database = sqlalchemy.create_engine(f"sqlite:///{second.folder / 'tickertape.db'}")
    with database.connect() as session:
        unsettled = session.execute(sqlalchemy.text(
            "SELECT count(*) FROM spending s JOIN turns t ON t.id = s.turn_id WHERE NOT s.settled AND t.status != 'running'")).scalar()
        assert session.execute(sqlalchemy.text("SELECT count(*) FROM turns")).scalar() >= 2
    assert unsettled == 0


# ---- Redis

def test_with_redis_workers_count_together_and_without_it_each_for_itself(redis_server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    window = Window("tests", 3, 60)
    one, other = Rates(redis_server.url), Rates(redis_server.url)
    assert [one.hit(window, "ann"), other.hit(window, "ann"), one.hit(window, "ann")] == [None] * 3
    standing = other.hit(window, "ann")
    assert standing.remaining == 0 and 55 < standing.reset_s <= 60
    redis_server.stop()
    started = time.monotonic()
    with caplog.at_level(logging.WARNING):
        assert one.hit(window, "ann") is None
    assert time.monotonic() - started < 2 and "counting in memory" in caplog.text
    assert one.hit(window, "ann") is None


def rows(app: Flask) -> list[tuple]:
    statement = sqlalchemy.text("SELECT tokens, cost, settled FROM spending ORDER BY turn_id")
    return app.extensions["tickertape"].database.read(lambda session: [tuple(row) for row in session.execute(statement)])


def change(app: Flask, statement: str) -> None:
    app.extensions["tickertape"].database.write(lambda session: session.execute(sqlalchemy.text(statement)))


def user_of(app: Flask) -> str:
    return app.extensions["tickertape"].users.find("claimed:ann")


def test_a_day_is_a_utc_day() -> None:
    assert spending.day_of(86_399.9) == 0 and spending.day_of(86_400.0) == 1
