"""Fixtures for every folder of tests."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import gevent
import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from services.bootstrap import Services
from services.settings import Settings
from tests.support.fake_provider import FakeProvider
from tests.support.llm import ScriptedLLM
from tests.support.postgres import Postgres, binaries
from tests.support.redis_server import RedisServer
from tests.support.server import Server
from tests.support.tables import migrated, with_tables


# ---- an application in this process, over each database

@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Debian's PostgreSQL, started once a run."""
    folder = binaries()
    if folder is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    running = Postgres(folder)
    yield running
    running.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database with all tables; every test that asks for it, or for an app, runs over both kinds."""
    if request.param == "postgresql":
        with request.getfixturevalue("postgres").database() as url:
            yield url
    else:
        yield f"sqlite:///{shutil.copy(migrated(), request.getfixturevalue('tmp_path'))}"


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return Settings(instance_dir=tmp_path, database_url=database_url)


@pytest.fixture
def llm() -> ScriptedLLM:
    return ScriptedLLM()


@pytest.fixture
def make_app(settings: Settings, llm: ScriptedLLM) -> Iterator[Callable[[], Flask]]:
    """Another worker on the same database, with the same double of the LLM service."""
    made: list[Flask] = []

    def make() -> Flask:
        made.append(create_app(settings, llm))
        return made[-1]

    yield make
    for app in made:
        services_of(app).close()


@pytest.fixture
def app(make_app: Callable[[], Flask]) -> Flask:
    return make_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Flask, ScriptedLLM]]:
    """One application on SQLite for a whole module, for what never reaches the database or leaves nothing there."""
    llm = ScriptedLLM()
    app = create_app(Settings.load(with_tables(tmp_path_factory.mktemp("shared"))), llm)
    yield app, llm
    services_of(app).close()


def services_of(app: Flask) -> Services:
    return app.extensions["tickertape"]


def until_stored(app: Flask, stream_id: str, seq: int, attempt: int = 1) -> None:
    """Wait until a stream's event `<attempt>-<seq>` is in the database."""
    with gevent.Timeout(10):
        while services_of(app).streams._segments.end(stream_id)[0] < (attempt, seq):
            gevent.sleep(0.02)


# ---- a provider and servers as processes

@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with closing(RedisServer()) as running:
        yield running


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
    with ExitStack() as running:
        yield lambda workers=1, **environ: running.enter_context(Server(tmp_path, workers=workers, environ=environ))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server with one worker and no provider but the embedded one, for all tests that leave it as it was."""
    with Server(tmp_path_factory.mktemp("keyless")) as running:
        yield running
