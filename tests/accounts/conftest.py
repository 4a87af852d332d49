"""An application with accounts, and people who use it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from services.settings import Settings
from tests.support.fixtures import services_of
from tests.support.tables import NAME, with_tables

PASSWORD = "three quiet words"


def build(folder: Path, database: Path | None = None, **environ: str) -> Flask:
    """An application in that folder, on a copy of that database if the folder has none."""
    return create_app(Settings.load(with_tables(folder, database) | {"AUTH": "password", "TRUSTED_PROXIES": "127.0.0.1"} | environ))


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Flask]]:
    made: list[Flask] = []

    def app(database: Path | None = None, **environ: str) -> Flask:
        made.append(build(tmp_path, database, **environ))
        return made[-1]

    yield app
    for each in made:
        services_of(each).close()


@pytest.fixture(scope="session")
def inhabited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the accounts of ann and bob, to be copied: hashing a password takes long, as it should."""
    app = build(tmp_path_factory.mktemp("inhabited"))
    for name in ("ann", "bob"):
        services_of(app).accounts.add(name, PASSWORD)
    with services_of(app).database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    services_of(app).close()
    return services_of(app).settings.instance_dir / NAME


@pytest.fixture
def app(make: Callable[..., Flask], inhabited: Path) -> Flask:
    return make(inhabited)


def sign_in(app: Flask, name: str = "ann", password: str = PASSWORD, address: str = "192.0.2.1", client: FlaskClient | None = None):
    """The answer to a try, and the client that tried."""
    client = client or app.test_client()
    answer = client.post("/login", json={"name": name, "password": password}, headers={"X-Forwarded-For": address})
    return answer, client


@pytest.fixture
def ann(app: Flask) -> FlaskClient:
    answer, client = sign_in(app)
    assert answer.status_code == 200
    return client


@pytest.fixture
def bob(app: Flask) -> FlaskClient:
    return sign_in(app, "bob")[1]


def token_of(client: FlaskClient, name: str = "test") -> str:
    answer = client.post("/account/tokens", json={"name": name})
    assert answer.status_code == 201
    return answer.json["token"]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
