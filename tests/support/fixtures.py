"""Fixtures for every folder of tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.fake_provider import FakeProvider
from tests.support.server import Server


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """A provider at the socket, playing OpenAI."""
    with FakeProvider() as fake:
        yield fake


def openai_at(fake: FakeProvider) -> dict[str, str]:
    """The environment of a server whose only model is that provider's."""
    return {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": fake.url, "OPENAI_MODEL": "fake-1", "LLM_PRIORITY": "openai"}


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """`servers(workers=1, **environ)` starts another gunicorn on this test's database; all are killed at the end."""
    running: list[Server] = []

    def start(workers: int = 1, **environ: str) -> Server:
        running.append(Server(tmp_path, workers=workers, environ=environ))
        return running[-1].start()

    yield start
    for server in running:
        server.kill()


@pytest.fixture
def server(servers: Callable[..., Server]) -> Server:
    """One server with one worker and no provider but the embedded one."""
    return servers()
