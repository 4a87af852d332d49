"""kill -9 in the middle of an answer: what was written is kept, and the run comes to its end all the same."""

import os
import signal
import time

import gevent
import pytest

from tests.support.fixtures import openai_at
from tests.support.scripts import paced
from tests.support.sse_client import Client, text_of

KEPT_S = 0.25   # what is older than this at the moment of the crash is in history
TOKENS = 150
WHOLE = "".join(f"word{number} " for number in range(TOKENS))


def read_until_killed(client, server, seconds: float, **fields):
    """Ask, read for a while, kill the server; returns the frames with their arrival, and the moment of the kill."""
    killed = []

    def kill():
        killed.append(time.monotonic())
        server.kill()

    gevent.spawn_later(seconds, kill)
    with client.ask(**fields) as connection:
        location = connection.headers["Location"]
        seen = [(frame, time.monotonic()) for frame in connection.frames()]
    assert killed and not seen[-1][0].terminal
    return location, seen, killed[0]


def kept_at_least(seen, killed_at: float) -> str:
    return text_of([frame for frame, at in seen if at < killed_at - KEPT_S])


def answer_of(client, started) -> dict:
    return client.get(f"/api/conversations/{started['conversationId']}")["messages"][1]


def test_text_up_to_a_quarter_second_before_the_kill_is_kept_and_the_run_ends(servers, provider):
    """A turn too old to be tried again ends as it is."""
    provider.default = paced(TOKENS, 0.02)
    server = servers(**openai_at(provider), TAKEOVER_MAX_AGE_S="0")
    client = Client(server.url)
    location, seen, killed_at = read_until_killed(client, server, 1.2)
    assert len(seen) > 30
    server.start()

    with client.follow(location, "%d-%d" % seen[-1][0].id) as connection:
        rest = list(connection.frames())
    assert [frame.id for frame in rest] == [(2, 1), (2, 2)]
    switch, last = rest
    assert (switch.event, switch.data["mode"], switch.data["attempt"]) == ("provider_switch", "takeover", 2)
    assert (last.event, last.data["partial"], last.data["retryable"]) == ("error", True, True)

    answer = answer_of(client, seen[0][0].data)
    assert answer["status"] == "error"
    assert answer["content"] == text_of([frame for frame, _ in seen] + rest), "the client has on its screen what history keeps"
    assert answer["content"].startswith(kept_at_least(seen, killed_at))
    assert len(provider.requests) == 1


def test_the_text_can_be_read_before_anybody_has_taken_the_turn_over(servers, provider):
    provider.default = paced(TOKENS, 0.02)
    server = servers(**openai_at(provider), WORKER_GONE_S="60")
    client = Client(server.url)
    _, seen, killed_at = read_until_killed(client, server, 1.0)
    server.start()
    answer = answer_of(client, seen[0][0].data)
    assert answer["status"] == "streaming"
    assert answer["content"].startswith(kept_at_least(seen, killed_at))


def test_after_the_restart_the_answer_is_written_again_to_its_end(servers, provider):
    provider.default = paced(TOKENS, 0.01)
    server = servers(**openai_at(provider))
    client = Client(server.url)
    location, seen, _ = read_until_killed(client, server, 0.8)
    server.start()
    with client.follow(location, "%d-%d" % seen[-1][0].id) as connection:
        rest = list(connection.frames())
    assert [frame.id for frame in rest] == [(2, seq) for seq in range(1, len(rest) + 1)]
    assert rest[0].data["discardFrom"] == 0
    assert rest[-1].event == "chat_completed"
    assert text_of([frame for frame, _ in seen] + rest) == answer_of(client, seen[0][0].data)["content"] == WHOLE

    with client.follow(location) as connection:
        again = list(connection.frames())
    assert [frame.terminal for frame in again].count(True) == 1, "replayed whole, it still has one end"
    assert text_of(again) == WHOLE
    assert sorted(frame.id for frame in again) == [frame.id for frame in again]


def test_a_turn_that_kills_its_server_twice_is_not_tried_a_third_time(servers, provider):
    provider.default = paced(TOKENS, 0.02)
    server = servers(**openai_at(provider))
    client = Client(server.url)
    location, seen, _ = read_until_killed(client, server, 0.7)
    server.start()
    with client.follow(location) as connection:
        for frame in connection.frames():
            if frame.id >= (2, 20):
                break
    server.kill()
    server.start()
    with client.follow(location) as connection:
        frames = list(connection.frames())
    assert frames[-1].event == "error" and frames[-1].id[0] == 3
    assert len(provider.requests) == 2
    assert answer_of(client, seen[0][0].data)["content"] == text_of(frames) != ""


@pytest.mark.parametrize("html", ["text", "html"])
def test_when_one_worker_of_two_is_killed_the_other_takes_its_turns_over(servers, provider, html):
    provider.default = paced(TOKENS, 0.01)
    doomed, other = servers(**openai_at(provider)), servers(**openai_at(provider))
    client = Client(doomed.url, other.url)
    with client.ask(render=html) as connection:
        location = connection.headers["Location"]
        watcher = gevent.spawn(lambda: list(client.follow(location, base=other.url).frames()))
        gevent.sleep(0.7)
        doomed.kill()
        frames = watcher.get(timeout=20)
    assert frames[-1].event == "chat_completed" and frames[-1].id[0] == 2
    assert text_of(frames) == WHOLE
    ids = [frame.id for frame in frames]
    first, second = [seq for attempt, seq in ids if attempt == 1], [seq for attempt, seq in ids if attempt == 2]
    assert first == list(range(1, len(first) + 1)) and second == list(range(1, len(second) + 1))
    if html == "html":
        assert frames[-1].data["html"].count("word0 ") == 1


def test_a_stop_that_nobody_saw_before_the_crash_is_honoured_after_it(servers, provider):
    provider.default = paced(TOKENS, 0.02)
    doomed, other = servers(**openai_at(provider)), servers(**openai_at(provider))
    client = Client(doomed.url, other.url)
    with client.ask() as connection:
        location = connection.headers["Location"]
        gevent.sleep(0.5)
        doomed.kill()
        client.stop(location, base=other.url)
    with client.follow(location, base=other.url) as connection:
        frames = list(connection.frames())
    assert (frames[-1].event, frames[-1].data["finishReason"]) == ("chat_completed", "stopped")
    assert len(provider.requests) == 1
    assert "word0 word1 " in text_of(frames)


def test_a_killed_worker_process_is_replaced_and_its_turns_go_on(servers, provider):
    """One gunicorn with two workers, as it runs in earnest."""
    provider.default = paced(TOKENS, 0.01)
    server = servers(2, **openai_at(provider))
    client = Client(server.url)
    asked = [client.ask(f"Question {number}") for number in range(8)]
    gevent.sleep(0.5)
    os.kill(server.worker_pids()[0], signal.SIGKILL)
    for connection in asked:
        with connection:
            seen = list(connection.frames())
        last = seen[-1]
        if not last.terminal:
            with client.follow(connection.headers["Location"], "%d-%d" % last.id) as again:
                seen += again.frames()
        assert seen[-1].event == "chat_completed"
        assert text_of(seen) == WHOLE
