"""Who may send what: other sites, forms without a token, bodies that are too large or too deep; and the headers."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask, request
from flask.testing import FlaskClient

from app import create_app
from services import logs
from services.settings import Settings
from tests.support.fixtures import services_of
from tests.support.tables import with_tables

QUESTION = {"message": "What is beta?"}


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Flask]]:
    """Applications in folders of their own."""
    made: list[Flask] = []

    def app(**environ: str) -> Flask:
        made.append(create_app(Settings.load(with_tables(tmp_path_factory.mktemp("guarded")) | environ)))
        return made[-1]

    yield app
    for each in made:
        services_of(each).close()


@pytest.fixture(scope="module")
def app(make: Callable[..., Flask]) -> Flask:
    """One for all these tests: what they ask is answered or refused whoever asked before."""
    app = make(TRUSTED_PROXIES="127.0.0.1, 10.0.0.0/8", MAX_BODY_BYTES="50000")
    app.add_url_rule("/address", view_func=lambda: request.remote_addr)
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


EVIL = {"Origin": "https://evil.example"}


@pytest.mark.parametrize("headers", [
    EVIL, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
    EVIL | {"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://localhost.evil.example"}, {"Origin": "http://localhost:81"},
])
@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", "application/json"])
def test_a_post_from_another_site_is_refused_whatever_it_carries(client: FlaskClient, headers: dict, content_type: str) -> None:
    answer = client.post("/api/chat/stream", data=json.dumps(QUESTION), content_type=content_type, headers=headers)
    assert answer.status_code == 403
    assert answer.json["error"]["code"] == "forbidden"


@pytest.mark.parametrize(("method", "path"), [
    ("POST", "/ask"), ("POST", "/api/chat/streams/x/stop"), ("DELETE", "/api/conversations/x"), ("PATCH", "/api/conversations/x"),
])
def test_no_other_method_and_no_page_is_open_to_another_site(client: FlaskClient, method: str, path: str) -> None:
    assert client.open(path, method=method, headers=EVIL).status_code == 403


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://localhost"}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"},
                                     {"Sec-Fetch-Site": "same-origin", "Origin": "null"}])
def test_our_own_page_and_programs_may_ask(client: FlaskClient, headers: dict) -> None:
    assert client.post("/api/chat/stream", json=QUESTION, headers=headers).status_code == 200


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", "text/html", ""])
def test_only_json_reaches_the_api(client: FlaskClient, content_type: str) -> None:
    answer = client.post("/api/chat/stream", data=json.dumps(QUESTION), content_type=content_type)
    assert answer.status_code == 415


@pytest.mark.parametrize("token", [None, "", "x", "x.y", "aW1hZ2luZWQ.c2lnbmF0dXJl"])
def test_a_form_without_this_sessions_token_is_refused(client: FlaskClient, token: str | None) -> None:
    client.get("/")
    assert client.post("/ask", data={"message": "hi"} | ({"csrf": token} if token is not None else {})).status_code == 403


def test_a_form_from_our_page_is_taken_and_another_sessions_token_is_not(app: Flask) -> None:
    mine, other = app.test_client(), app.test_client()
    token = token_in(mine.get("/").text)
    assert token != token_in(mine.get("/").text), "a token that stays the same can be guessed from compressed pages"
    other.get("/")
    assert other.post("/ask", data={"message": "What is beta?", "csrf": token}).status_code == 403
    answer = mine.post("/ask", data={"message": "What is beta?", "csrf": token})
    assert answer.status_code == 200
    again = token_in(answer.text)
    assert mine.post("/ask", data={"message": "What is alpha?", "csrf": again}).status_code == 200, "the streamed page's forms work"


def token_in(page: str) -> str:
    return page.split('name="csrf" value="', 1)[1].split('"', 1)[0]


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/conversations", "/nowhere", "/static/js/main.js"])
def test_every_answer_has_the_headers(client: FlaskClient, path: str) -> None:
    headers = client.get(path).headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["img-src"] == policy["connect-src"] == "'self'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert "Strict-Transport-Security" not in headers


def test_pages_need_nothing_inline(client: FlaskClient) -> None:
    client.post("/api/chat/stream", json=QUESTION)
    for page in (client.get("/").text, client.get("/nowhere").text):
        for inline in (" style=", " onclick=", " onload=", "<style", "<script>", "javascript:"):
            assert inline not in page


def test_cookies_are_bound_to_the_host_behind_tls_and_out_of_reach_of_scripts(client: FlaskClient) -> None:
    plain = client.post("/api/chat/stream", json=QUESTION).headers["Set-Cookie"]
    assert plain.startswith("tickertape=") and "HttpOnly" in plain and "SameSite=Lax" in plain and "Secure" not in plain
    answer = client.post("/api/chat/stream", json=QUESTION, headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"})
    secure = answer.headers["Set-Cookie"]
    assert secure.startswith("__Host-tickertape=")
    assert all(word in secure for word in ("HttpOnly", "Secure", "SameSite=Lax", "Path=/")) and "Domain" not in secure
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=")


@pytest.mark.parametrize(("peer", "forwarded", "seen"), [
    ("127.0.0.1", "192.0.2.1", "192.0.2.1"),
    ("127.0.0.1", "6.6.6.6, 192.0.2.1", "192.0.2.1"),               # what the client itself claims does not count
    ("127.0.0.1", "6.6.6.6, 192.0.2.1, 10.1.2.3", "192.0.2.1"),     # two named proxies in a row
    ("127.0.0.1", "10.1.2.3", "10.1.2.3"),
    ("127.0.0.1", "unknown", "127.0.0.1"),
    ("127.0.0.1", "", "127.0.0.1"),
    ("192.0.2.9", "6.6.6.6", "192.0.2.9"),                          # not a named proxy
    ("2001:db8::9", "6.6.6.6", "2001:db8::9"),
])
def test_only_named_proxies_say_who_the_client_is(app: Flask, peer: str, forwarded: str, seen: str) -> None:
    answer = app.test_client().get("/address", headers={"X-Forwarded-For": forwarded}, environ_base={"REMOTE_ADDR": peer})
    assert answer.text == seen


@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000"])
def test_without_accounts_a_name_that_merely_resolves_to_this_machine_is_not_answered(client: FlaskClient, name: str) -> None:
    assert client.get("/api/conversations", headers={"Host": name}).status_code == 403


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1:8000", "[::1]:8000"])
def test_loopback_names_are_answered(client: FlaskClient, name: str) -> None:
    assert client.get("/api/conversations", headers={"Host": name}).status_code == 200


def test_named_hosts_alone_are_answered(make: Callable[..., Flask]) -> None:
    client = make(AUTH="password", TRUSTED_HOSTS="ask.example.org").test_client()
    assert client.get("/login", headers={"Host": "ask.example.org"}).status_code == 200
    assert client.get("/login", headers={"Host": "other.example.org"}).status_code == 403
    assert client.get("/readyz", headers={"Host": "10.0.0.5:8000"}).status_code == 200, "a load balancer asks by address"


def test_json_nested_a_thousand_deep_is_refused(client: FlaskClient) -> None:
    for body in (b"[" * 1000 + b"]" * 1000, b'{"message":' * 1000 + b"1" + b"}" * 1000,
                 b'{"message": "x", "context": {"symbols": ' + b"[" * 20_000 + b"]" * 20_000 + b"}}"):
        answer = client.post("/api/chat/stream", data=body, content_type="application/json")
        assert answer.status_code == 400
        assert answer.json["error"]["code"] == "invalid_request"


def test_a_body_over_the_limit_is_refused(client: FlaskClient) -> None:
    answer = client.post("/api/chat/stream", data=b" " * 50_001, content_type="application/json")
    assert answer.status_code == 413
    assert answer.json["error"]["code"] == "too_large"


def test_a_request_has_an_id_that_only_a_named_proxy_may_give(client: FlaskClient) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": "abc123"}).headers["X-Request-ID"] == "abc123"
    assert client.get("/healthz", headers={"X-Request-ID": "a\tb"}).headers["X-Request-ID"] != "a\tb"
    foreign = client.get("/healthz", headers={"X-Request-ID": "abc123"}, environ_base={"REMOTE_ADDR": "192.0.2.9"})
    assert foreign.headers["X-Request-ID"] != "abc123"


def test_log_lines_name_request_turn_and_user_and_no_prompt(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    secret = "How much is my house worth to Zebedee"
    with caplog.at_level(logging.INFO):
        answer = client.post("/api/chat/stream", json={"message": secret}, headers={"Cookie": "other=1"})
        turn = answer.headers["Location"].rsplit("/", 1)[1]
        assert answer.data
    lines = [json.loads(logs.Json().format(record)) for record in caplog.records]
    asked = next(line for line in lines if line["logger"] == "tickertape.request")
    assert asked["turn"] == turn and asked["request"] == answer.headers["X-Request-ID"] and len(asked["user"]) == 26
    ended = next(line for line in lines if line["message"].startswith("turn "))
    assert ended["turn"] == turn and ended["user"] == asked["user"]
    everything = caplog.text + json.dumps(lines)
    assert "Zebedee" not in everything


def test_a_json_line_holds_what_the_text_line_holds() -> None:
    record = logging.makeLogRecord({"name": "tickertape", "levelno": 20, "levelname": "INFO", "msg": "turn %s", "args": ("completed",),
                                    "turn": "t1", "user": "u1", "missing": None})
    line = json.loads(logs.Json().format(record))
    assert (line["message"], line["turn"], line["user"], line["level"]) == ("turn completed", "t1", "u1", "info")
    assert "missing" not in line
    assert logs.Text("%(message)s").format(record) == "turn completed turn=t1 user=u1"


def test_a_client_that_stopped_reading_is_a_line_and_not_a_traceback() -> None:
    record = logging.makeLogRecord({"msg": "Socket error", "exc_info": (TimeoutError, TimeoutError("timed out"), None), "levelno": 40})
    assert logs.Departed().filter(record)
    assert record.exc_info is None and record.levelno == logging.INFO


def test_secrets_come_from_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from a file\n")
    settings = Settings.load({"SECRET_KEY_FILE": str(tmp_path / "key"), "GROQ_API_KEY_FILE": str(tmp_path / "key")})
    assert settings.secret_key == "from a file"
    assert settings.environ["GROQ_API_KEY"] == "from a file"


def test_a_secret_made_on_the_first_run_is_its_owners_alone(make: Callable[..., Flask]) -> None:
    folder = services_of(make()).settings.instance_dir
    assert (folder / "secret_key").stat().st_mode & 0o777 == 0o600
