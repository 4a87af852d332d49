"""An application with accounts, and people who use it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from services.settings import Settings
from services.store.database import upgrade

PASSWORD = "three quiet words"


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Flask]]:
    made: list[Flask] = []

    def app(**environ: str) -> Flask:
        settings = Settings.load({"INSTANCE_DIR": str(tmp_path), "AUTH": "password", "TRUSTED_PROXIES": "127.0.0.1"} | environ)
        upgrade(settings.database)
        made.append(create_app(settings))
        return made[-1]

    yield app
    for each in made:
        each.extensions["tickertape"].close()


@pytest.fixture
def app(make) -> Flask:
    app = make()
    for name in ("ann", "bob"):
        app.extensions["tickertape"].accounts.add(name, PASSWORD)
    return app


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
