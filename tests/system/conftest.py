"""Two real servers on one database and one provider, shared by all tests that leave them as they were."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.fake_provider import FakeProvider
from tests.support.fixtures import openai_at
from tests.support.server import Server, together
from tests.support.sse_client import Client


@dataclass
class Pair:
    """What two workers are to each other, with a choice of which one to talk to."""

    here: Server
    there: Server
    provider: FakeProvider

    @property
    def bases(self) -> tuple[str, str]:
        return self.here.url, self.there.url

    def client(self, user: str = "tester") -> Client:
        return Client(*self.bases, user=user)


@pytest.fixture(scope="session")
def running_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    with FakeProvider() as provider:
        # Nobody is killed here. On a busy machine a disk may take longer for a heartbeat than those who kill want to wait.
        here, there = (Server(folder, environ=openai_at(provider) | {"WORKER_GONE_S": "15"}) for _ in range(2))
        with together(here, there):
            yield Pair(here, there, provider)


@pytest.fixture
def pair(running_pair: Pair) -> Iterator[Pair]:
    """The one pair, its provider having forgotten what other tests asked."""
    usual = running_pair.provider.default
    running_pair.provider.forget()
    yield running_pair
    running_pair.provider.default = usual


@pytest.fixture
def client_of():
    return lambda server: Client(server.url)
