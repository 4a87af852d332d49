"""A deployment under load: readers end in order and come back, runs finish or go on elsewhere, nothing is lost."""

import random
import time
from collections.abc import Callable, Iterator

import gevent
import pytest

from tests.support.fake_provider import FakeProvider
from tests.support.fixtures import openai_at
from tests.support.scripts import Pace, paced
from tests.support.server import Server
from tests.support.sse_client import Client
from tests.support.traveller import Traveller

STREAMS = 50
PATIENT = (60.0, 60.0)  # these clients leave only when the server ends the response


class Visits(Traveller):
    """Notes how each response ended, and when."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.ends: list[tuple[float, bytes, int | None]] = []

    def _connect(self):
        connection = super()._connect()
        frames = connection.frames

        def noted():
            yield from frames()
            self.ends.append((time.monotonic(), connection.raw[-20:], connection.parser.retry))
        connection.frames = noted
        return connection


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider() as fake:
        yield fake


@pytest.fixture(autouse=True)
def forgetful(provider: FakeProvider) -> None:
    provider.forget()


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory, provider: FakeProvider) -> Iterator[Server]:
    """A server whose runs may all finish, however often it is reloaded: afterwards it is as it was."""
    environ = openai_at(provider) | {"DRAIN_S": "30", "STREAM_RETRY_MS": "1500"}
    with Server(tmp_path_factory.mktemp("patient"), workers=2, environ=environ) as running:
        yield running


def travellers(client: Client, count: int = STREAMS) -> tuple[list[Visits], list[gevent.Greenlet]]:
    visits = [Visits(client, f"Question {number}", random.Random(number), PATIENT) for number in range(count)]
    return visits, [gevent.spawn(each.run) for each in visits]


def until_all(visits: list[Visits], condition: Callable[[Visits], object]) -> None:
    with gevent.Timeout(30):
        while not all(map(condition, visits)):
            gevent.sleep(0.02)


def assert_whole(visits: list[Visits], tokens: int) -> None:
    for each in visits:
        account = each.account
        assert (account.lost(), account.doubled(), account.reordered()) == (0, 0, 0)
        assert account.frames[-1].event == "chat_completed"
        assert account.text == "".join(f"word{number} " for number in range(tokens))


def test_a_reload_under_fifty_live_streams_loses_nothing(patient, provider):
    pace = Pace(0.2)
    provider.default = paced(80, pace)
    visits, running = travellers(Client(patient.url))
    until_all(visits, lambda each: each.account.text)
    reloaded = time.monotonic()
    patient.reload()
    until_all(visits, lambda each: each.ends)
    assert not any(each.account.ended for each in visits), "they were told to come back in the middle of their answers"
    pace.seconds = 0.02
    gevent.joinall(running, raise_error=True)
    assert_whole(visits, 80)
    assert {each.account.attempts for each in visits} == {1}, "finished by the workers that began them"
    assert len(provider.requests) == STREAMS
    first_ends = [each.ends[0] for each in visits]
    assert max(at for at, _, _ in first_ends) - reloaded < 5.0
    assert all(tail.endswith(b"\n\n") and b"retry: " in tail for _, tail, _ in first_ends), "ended in order, not cut"
    retries = [retry for _, _, retry in first_ends]
    assert min(retries) >= 1500 and max(retries) - min(retries) > 1000, "they come back spread over time"


def test_runs_that_cannot_finish_in_time_are_taken_over_at_once(servers, provider):
    provider.default = paced(60, 0.2)
    server = servers(2, **openai_at(provider), DRAIN_S="1", WORKER_GONE_S="60")
    visits, running = travellers(Client(server.url))
    until_all(visits, lambda each: each.account.text)
    reloaded = time.monotonic()
    server.reload()
    provider.default = paced(60, 0.02)  # who takes over need not take as long
    gevent.joinall(running, raise_error=True)
    assert_whole(visits, 60)
    assert {each.account.attempts for each in visits} == {2}, "once, not by each other while both were going"
    assert time.monotonic() - reloaded < 30, "nobody waited for a heartbeat to grow old"


def test_questions_asked_during_a_reload_are_all_answered_once(patient, provider):
    provider.default = paced(5, 0.05)
    client = Client(patient.url, user="somebody else")  # the keys of the same questions are not those of the others
    asked = []
    gevent.spawn_later(0.5, patient.reload)
    for number in range(60):
        asked.append(Traveller(client, f"Question {number}", random.Random(number), PATIENT))
        gevent.spawn(asked[-1].run)
        gevent.sleep(0.05)
    with gevent.Timeout(30):
        while not all(each.account.ended for each in asked):
            gevent.sleep(0.1)
    assert_whole(asked, 5)
    assert len(provider.requests) == 60
