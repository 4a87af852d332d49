"""The first whole way through the house, on a real server: a question in, its events out, history after."""

import time

import gevent

from tests.support.scripts import paced, sent_at
from tests.support.sse_client import Client, text_of


def test_a_question_streams_an_answer_without_any_key(server, client_of):
    with client_of(server).ask("What is beta?") as connection:
        frames = list(connection.frames())
    assert [frames[0].event, frames[-1].event] == ["chat_started", "chat_completed"]
    assert "No model is configured" in text_of(frames)
    assert frames[-1].data["provider"] == "offline"


def test_tokens_arrive_one_by_one_the_first_at_once(pair):
    """Within 50 ms of being sent; the later ones wait for the next write, 40 ms apart."""
    first, others, writes = [], [], []
    pair.provider.default = paced(25, 0.05, sent_at)

    def read() -> list[float]:
        with pair.client().ask() as connection:
            return [time.monotonic() * 1000 - float(frame.data["content"]) for frame in connection.frames() if frame.event == "token"]

    readers = [gevent.spawn_later(0.6 * number, read) for number in range(5)]
    for reader in readers:
        arrived = reader.get(timeout=30)
        first.append(arrived[0])
        others += arrived[1:]
        writes.append(len(set(round(at) for at in arrived)))
    assert len(others) == 5 * 24
    assert sorted(first)[2] < 50, first
    assert sorted(others)[len(others) // 2] < 50, sorted(others)
    assert pair.provider.requests[0].json()["stream"] is True


def test_the_provider_is_asked_by_the_assistant_s_prompt_the_context_and_the_branch(pair):
    client = pair.client("somebody new")
    with client.ask("What is beta?", assistantType="riskManager", context={"symbols": ["KO"], "riskTolerance": "conservative"}) as connection:
        started = next(connection.frames())
        list(connection.frames())
    with client.ask("And alpha?", assistantType="economist", conversationId=started.data["conversationId"]) as connection:
        list(connection.frames())
    first, second = (request.json()["messages"] for request in pair.provider.requests)
    assert first[0]["role"] == "system" and '"KO"' in first[0]["content"] and "conservative" in first[0]["content"]
    assert [message["role"] for message in second] == ["system", "user", "assistant", "user"]
    assert [message["content"] for message in second[1:]] == ["What is beta?", "Hello from the fake.", "And alpha?"]
    assert first[0]["content"].split("\n")[0] != second[0]["content"].split("\n")[0]
    assert '"KO"' not in second[0]["content"]


def test_two_tabs_on_one_stream_see_the_same(pair):
    pair.provider.default = paced(30, 0.02)
    client = pair.client()
    with client.ask() as one, client.follow(one.headers["Location"]) as two, \
            client.follow(one.headers["Location"], base=pair.there.url) as three:
        seen = [list(tab.frames()) for tab in (one, two, three)]
    assert seen[0] == seen[1] == seen[2]


def test_a_server_makes_its_own_tables(servers, tmp_path) -> None:
    server = servers(DATABASE_URL=f"sqlite:///{tmp_path}/own.db")
    assert sum(frame.event == "chat_completed" for frame in Client(server.url).ask("What is beta?").frames()) == 1
