"""kill -9 in the middle of an answer: what was written is kept, and the run comes to its end all the same.

A server starts for seconds, so that tests which look at the same crash share it: a fixture lives through it, and they ask it.
"""

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import gevent
import pytest

from tests.support.fake_provider import FakeProvider
from tests.support.fixtures import openai_at
from tests.support.scripts import paced
from tests.support.server import Server, together
from tests.support.sse_client import Client, Frame, text_of

KEPT_S = 0.25   # what is older than this at the moment of the crash is in history
TOKENS = 150
WHOLE = "".join(f"word{number} " for number in range(TOKENS))


@dataclass
class Read:
    """What a reader has seen of an answer before its server was killed, each frame with its arrival."""

    location: str
    seen: list[tuple[Frame, float]]
    killed_at: float

    @property
    def frames(self) -> list[Frame]:
        return [frame for frame, _ in self.seen]

    @property
    def last_id(self) -> str:
        return "%d-%d" % self.frames[-1].id

    @property
    def kept_at_least(self) -> str:
        return text_of([frame for frame, at in self.seen if at < self.killed_at - KEPT_S])


def read_until_killed(client: Client, server: Server, seconds: float, *questions: str) -> list[Read]:
    """Ask, read for a while, kill the server; what was read of each answer."""
    asked = [client.ask(question) for question in questions]
    readers = [gevent.spawn(lambda connection: [(frame, time.monotonic()) for frame in connection.frames()], connection)
               for connection in asked]
    gevent.sleep(seconds)
    killed_at = time.monotonic()
    server.kill()
    reads = [Read(connection.headers["Location"], reader.get(timeout=20), killed_at)
             for connection, reader in zip(asked, readers, strict=True)]
    assert not any(read.frames[-1].terminal for read in reads)
    return reads


def follow(client: Client, location: str, after: str | None = None, base: str | None = None) -> list[Frame]:
    with client.follow(location, after, base=base) as connection:
        return list(connection.frames())


def answer_of(client: Client, started: Frame) -> dict:
    return client.get(f"/api/conversations/{started.data['conversationId']}")["messages"][1]


def asked_for(provider: FakeProvider, question: str) -> int:
    """How often the provider was asked this."""
    return sum(request.json()["messages"][-1]["content"] == question for request in provider.requests)


# ---- one server that starts again

@dataclass
class CutShort:
    """A turn whose server was killed, and started again: first patient, then one to whom every turn is too old to try again."""

    read: Read
    before_takeover: dict
    rest: list[Frame]
    after_takeover: dict
    times_asked: int


@pytest.fixture(scope="module")
def cut_short(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CutShort]:
    with FakeProvider(paced(TOKENS, 0.02)) as provider:
        server = Server(tmp_path_factory.mktemp("cut"), environ=openai_at(provider))
        client = Client(server.url)
        with server:
            read, = read_until_killed(client, server, 1.2, "What is beta?")
            server.environ["WORKER_GONE_S"] = "60"
            server.start()
            before = answer_of(client, read.frames[0])
            server.kill()
            server.environ |= {"WORKER_GONE_S": "1.5", "TAKEOVER_MAX_AGE_S": "0"}
            server.start()
            rest = follow(client, read.location, read.last_id)
            yield CutShort(read, before, rest, answer_of(client, read.frames[0]), len(provider.requests))


def test_the_text_can_be_read_before_anybody_has_taken_the_turn_over(cut_short):
    assert cut_short.before_takeover["status"] == "streaming"
    assert cut_short.before_takeover["content"].startswith(cut_short.read.kept_at_least)


def test_text_up_to_a_quarter_second_before_the_kill_is_kept_and_the_run_ends(cut_short):
    """A turn too old to be tried again ends as it is."""
    seen, rest = cut_short.read.frames, cut_short.rest
    assert len(seen) > 30
    assert [frame.id for frame in rest] == [(2, 1), (2, 2)]
    switch, last = rest
    assert (switch.event, switch.data["mode"], switch.data["attempt"]) == ("provider_switch", "takeover", 2)
    assert (last.event, last.data["partial"], last.data["retryable"]) == ("error", True, True)

    answer = cut_short.after_takeover
    assert answer["status"] == "error"
    assert answer["content"] == text_of(seen + rest), "the client has on its screen what history keeps"
    assert answer["content"].startswith(cut_short.read.kept_at_least)
    assert cut_short.times_asked == 1


@dataclass
class Restarted:
    """Two turns over one crash; the one that then still ran, over another."""

    seen: list[Frame]
    rest: list[Frame]
    again: list[Frame]
    answer: dict
    fatal: list[Frame]
    fatal_answer: dict
    fatal_times_asked: int


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restarted]:
    usual, fatal = "What is beta?", "What kills you?"

    def script(request):
        """The fatal answer is never finished in time; the other one is, once it is written again."""
        slow = request.json()["messages"][-1]["content"] == fatal
        return paced(TOKENS, 0.05 if slow else 0.02 if asked_for(provider, usual) == 0 else 0.005)(request)

    with FakeProvider(script) as provider:
        server = Server(tmp_path_factory.mktemp("restarted"), environ=openai_at(provider))
        client = Client(server.url)
        with server:
            one, two = read_until_killed(client, server, 0.8, usual, fatal)
            server.start()
            rest = follow(client, one.location, one.last_id)
            answer, again = answer_of(client, one.frames[0]), follow(client, one.location)
            with client.follow(two.location) as connection:
                assert next(frame for frame in connection.frames() if frame.id >= (2, 20)), "tried again"
            server.kill()
            server.start()
            frames = follow(client, two.location)
            yield Restarted(one.frames, rest, again, answer, frames, answer_of(client, two.frames[0]), asked_for(provider, fatal))


def test_after_the_restart_the_answer_is_written_again_to_its_end(restarted):
    rest, again = restarted.rest, restarted.again
    assert [frame.id for frame in rest] == [(2, seq) for seq in range(1, len(rest) + 1)]
    assert rest[0].data["discardFrom"] == 0
    assert rest[-1].event == "chat_completed"
    assert text_of(restarted.seen + rest) == restarted.answer["content"] == WHOLE

    assert [frame.terminal for frame in again].count(True) == 1, "replayed whole, it still has one end"
    assert text_of(again) == WHOLE
    assert sorted(frame.id for frame in again) == [frame.id for frame in again]


def test_a_turn_that_kills_its_server_twice_is_not_tried_a_third_time(restarted):
    frames = restarted.fatal
    assert frames[-1].event == "error" and frames[-1].id[0] == 3
    assert restarted.fatal_times_asked == 2
    assert restarted.fatal_answer["content"] == text_of(frames) != ""


# ---- one of two

STOPPED = "What is gamma?"


@dataclass
class Bereaved:
    """Two turns of a server that was killed, as their readers on the other one saw them; and one stopped in between."""

    watched: dict[str, list[Frame]] = field(default_factory=dict)
    stopped: list[Frame] = field(default_factory=list)
    stopped_times_asked: int = 0


@pytest.fixture(scope="module")
def bereaved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bereaved]:
    folder, found = tmp_path_factory.mktemp("bereaved"), Bereaved()
    with FakeProvider(paced(TOKENS, 0.02)) as provider:
        doomed, other = (Server(folder, environ=openai_at(provider)) for _ in range(2))
        client = Client(doomed.url, other.url)
        with together(doomed, other):
            asked = {html: client.ask(f"As {html}?", render=html) for html in ("text", "html")}
            watchers = {html: gevent.spawn(follow, client, each.headers["Location"], base=other.url) for html, each in asked.items()}
            to_stop = client.ask(STOPPED)
            while len(provider.requests) < 3:
                gevent.sleep(0.02)
            gevent.sleep(0.7)
            doomed.kill()
            client.stop(to_stop.headers["Location"], base=other.url)
            provider.default = paced(TOKENS, 0.005)  # who takes over need not take as long
            found.watched = {html: watcher.get(timeout=20) for html, watcher in watchers.items()}
            found.stopped = follow(client, to_stop.headers["Location"], base=other.url)
            found.stopped_times_asked = asked_for(provider, STOPPED)
            yield found


@pytest.mark.parametrize("html", ["text", "html"])
def test_when_one_worker_of_two_is_killed_the_other_takes_its_turns_over(bereaved, html):
    frames = bereaved.watched[html]
    assert frames[-1].event == "chat_completed" and frames[-1].id[0] == 2
    assert text_of(frames) == WHOLE
    ids = [frame.id for frame in frames]
    first, second = [seq for attempt, seq in ids if attempt == 1], [seq for attempt, seq in ids if attempt == 2]
    assert first == list(range(1, len(first) + 1)) and second == list(range(1, len(second) + 1))
    if html == "html":
        assert frames[-1].data["html"].count("word0 ") == 1


def test_a_stop_that_nobody_saw_before_the_crash_is_honoured_after_it(bereaved):
    frames = bereaved.stopped
    assert (frames[-1].event, frames[-1].data["finishReason"]) == ("chat_completed", "stopped")
    assert bereaved.stopped_times_asked == 1
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
