"""Nothing of anybody's exists for anybody else: every address that has an id, asked by another user and by a stranger."""

import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from services.settings import Settings
from tests.support.fixtures import services_of
from tests.support.tables import with_tables

PASSWORD = "three quiet words"
QUESTION = "Should Zebedee invest in Apple for the next 3 years?"
IDS = {"conversation_id", "stream_id", "workflow_id", "sign_in_id", "token_id"}
JSON, PAGE = {"Accept": "application/json"}, {"Accept": "text/html"}


class Try(NamedTuple):
    """What an outsider does: an address with names of ids in it, and a body as JSON, as a form, or none."""

    method: str
    path: str
    json: dict | None = None
    form: dict | None = None


TRIES = [
    Try("GET", "/api/conversations/{conversation}"),
    Try("GET", "/api/conversations/{conversation}?branches=all"),
    Try("GET", "/api/conversations/{conversation}?m={answer}"),
    Try("GET", "/api/conversations/{conversation}/export"),
    Try("GET", "/api/conversations/{conversation}/export?format=md&m={question}"),
    Try("GET", "/api/conversations/{conversation}/export?format=json"),
    Try("PATCH", "/api/conversations/{conversation}", json={"title": "Mine now"}),
    Try("DELETE", "/api/conversations/{conversation}"),
    Try("GET", "/api/chat/streams/{stream}"),
    Try("GET", "/api/chat/streams/{stream}?after=1-3"),
    Try("POST", "/api/chat/streams/{stream}/stop"),
    Try("GET", "/api/workflows/runs/{stream}"),
    Try("POST", "/api/chat/stream", json={"message": "Go on", "conversationId": "{conversation}"}),
    Try("POST", "/api/chat/stream", json={"message": "Go on", "parentMessageId": "{answer}"}),
    Try("POST", "/api/chat/stream", json={"message": "Another", "conversationId": "{conversation}", "parentMessageId": "{question}"}),
    Try("GET", "/c/{conversation}"),
    Try("GET", "/c/{conversation}?m={answer}"),
    Try("POST", "/streams/{stream}/stop", form={}),
    Try("POST", "/c/{conversation}/rename", form={"title": "Mine now"}),
    Try("POST", "/c/{conversation}/delete", form={}),
    Try("POST", "/ask", form={"message": "Go on", "conversationId": "{conversation}"}),
    Try("POST", "/ask", form={"message": "Go on", "parentMessageId": "{answer}"}),
    Try("POST", "/ask", form={"message": "Another", "conversationId": "{conversation}", "edit": "{question}"}),
    Try("POST", "/ask", form={"conversationId": "{conversation}", "again": "{answer}"}),
]
ACCOUNT_TRIES = [
    Try("POST", "/account/sign-ins/{sign_in}/end", json={}),
    Try("POST", "/account/sign-ins/{sign_in}/end", form={}),
    Try("POST", "/account/tokens/{token}/revoke", json={}),
    Try("POST", "/account/tokens/{token}/revoke", form={}),
]
WAYS = {"open": TRIES, "password": TRIES + ACCOUNT_TRIES}


class House(NamedTuple):
    """An application with somebody who has everything there is to have, and somebody else."""

    app: Flask
    owner: FlaskClient
    other: FlaskClient
    ids: dict[str, str]


@pytest.fixture(scope="module", params=WAYS)
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    environ = with_tables(tmp_path_factory.mktemp(request.param))
    settings = Settings.load(environ | {"AUTH": request.param, "RATE_LIMITS": "off"})
    app = create_app(settings)
    owner, other = (_person(app, name) for name in ("ann", "bob"))
    assert other.post("/api/chat/stream", json={"message": "What is beta?"}, headers=JSON).status_code == 200
    yield House(app, owner, other, _everything(owner, settings.auth))
    services_of(app).close()


def _person(app: Flask, name: str) -> FlaskClient:
    client = app.test_client()
    if services_of(app).settings.auth == "password":
        services_of(app).accounts.add(name, PASSWORD)
        assert client.post("/login", json={"name": name, "password": PASSWORD}).status_code == 200
    return client


def _everything(owner: FlaskClient, auth: str) -> dict[str, str]:
    """A conversation with a workflow's run, and with accounts a token; the ids of all of it."""
    made = owner.post("/api/chat/stream", json={"message": QUESTION}, headers=JSON).json
    ids = {"conversation": made["conversationId"], "stream": made["streamId"], "question": made["userMessageId"], "answer": made["messageId"]}
    if auth == "password":
        owner.post("/account/tokens", json={"name": "program"})
        own = owner.get("/account", headers=JSON).json
        ids |= {"sign_in": own["signIns"][0]["id"], "token": own["tokens"][0]["id"]}
    return ids


def attempt(client: FlaskClient, what: Try, ids: dict[str, str]) -> TestResponse:
    """A form comes from a page of the outsider's own, so that nothing but the owner stands in its way."""
    path = what.path.format(**ids)
    if what.form is not None:
        form = {name: value.format(**ids) for name, value in what.form.items()}
        page = client.get("/").text
        token = page.split('name="csrf" value="', 1)[1].split('"', 1)[0] if 'name="csrf"' in page else ""
        return client.open(path, method=what.method, data=form | {"csrf": token}, headers=PAGE)
    body = {name: value.format(**ids) for name, value in what.json.items()} if what.json is not None else None
    return client.open(path, method=what.method, json=body, headers=JSON if path.startswith(("/api/", "/account")) else PAGE)


def owned(house: House) -> str:
    """All the owner has, as text."""
    ids = house.ids
    parts = [house.owner.get(f"/api/conversations/{ids['conversation']}?branches=all"), house.owner.get("/api/conversations"),
             house.owner.get(f"/api/chat/streams/{ids['stream']}"), house.owner.get(f"/api/workflows/runs/{ids['stream']}")]
    assert all(part.status_code == 200 for part in parts)
    account = house.owner.get("/account", headers=JSON).json if "token" in ids else {"tokens": [], "signIns": []}
    return "".join(part.text for part in parts) + json.dumps([account["tokens"], [each["id"] for each in account["signIns"]]])


def test_every_address_with_an_id_is_tried(house: House) -> None:
    tried = {_matched(house.app, what) for what in TRIES + ACCOUNT_TRIES}
    missing = {(method, rule.endpoint) for rule in house.app.url_map.iter_rules() if rule.arguments & IDS
               for method in rule.methods - {"HEAD", "OPTIONS"}} - tried
    assert not missing


def _matched(app: Flask, what: Try) -> tuple[str, str]:
    path = what.path.partition("?")[0].replace("{", "").replace("}", "")
    return what.method, app.url_map.bind("localhost").match(path, method=what.method)[0]


def test_the_owner_gets_it_all(house: House) -> None:
    """So that what others are refused is there, and is called by its right name."""
    for what in WAYS[services_of(house.app).settings.auth]:
        if what.method == "GET":
            assert attempt(house.owner, what, house.ids).status_code == 200, what


def test_another_user_finds_nothing_and_changes_nothing(house: House) -> None:
    before = owned(house)
    for what in WAYS[services_of(house.app).settings.auth]:
        answer = attempt(house.other, what, house.ids)
        assert answer.status_code == 404, what
        assert "Zebedee" not in answer.text, what
    assert owned(house) == before
    listed = house.other.get("/api/conversations").text + house.other.get("/").text
    assert not any(id in listed for id in house.ids.values()) and "Zebedee" not in listed
    if "token" in house.ids:
        everything = house.other.get("/account/export").text
        assert not any(id in everything for id in house.ids.values()) and '"bob"' in everything


def test_a_stranger_is_told_no_more(house: House) -> None:
    """Without accounts a stranger finds nothing; with accounts it is sent to the door, before anything is looked up."""
    before = owned(house)
    for what in WAYS[services_of(house.app).settings.auth]:
        answer, nowhere = (attempt(house.app.test_client(), what, ids) for ids in (house.ids, dict.fromkeys(house.ids, "0" * 26)))
        assert answer.status_code == nowhere.status_code, what
        if services_of(house.app).settings.auth == "open":
            assert answer.status_code == 404, what
        else:
            page = what.method == "GET" and what.path.startswith("/c/")
            assert answer.status_code == (302 if page else 401), what
            assert not page or answer.headers["Location"].startswith("/login?next=")
    for path in ("/account/export", "/account"):
        assert house.app.test_client().get(path, headers=JSON).status_code == (404 if "token" not in house.ids else 401)
    assert owned(house) == before


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data"])
def test_a_page_elsewhere_changes_nothing_with_the_owners_cookies(house: House, kind: str) -> None:
    """As a form and as text, which browsers send without asking first."""
    before = owned(house)
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Content-Type": kind}
    for what in WAYS[services_of(house.app).settings.auth]:
        if what.method != "GET":
            body = "title=x&message=x" if kind != "text/plain" else json.dumps({"message": "x", "title": "x"})
            answer = house.owner.open(what.path.format(**house.ids), method=what.method, data=body, headers=headers)
            assert answer.status_code == 403, what
    assert owned(house) == before
