"""Signing in with an OpenID provider: a small real one, over HTTP, that signs what it says."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "tickertape", "client-secret"


class Provider(ThreadingHTTPServer):
    """An authorisation server with one person in it; `claims` and `key` may be spoiled by a test."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.key = self.signing = RSAKey.generate_key(2048, {"kid": "1", "alg": "RS256", "use": "sig"})
        self.codes: dict[str, dict[str, str]] = {}
        self.person = {"sub": "person-1", "preferred_username": "Ann Example"}
        self.claims: dict[str, object] = {}
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def authorise(self, url: str) -> str:
        """What a browser would bring back after the person said yes: the query of the callback."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert asked["client_id"] == CLIENT and asked["response_type"] == "code" and asked["code_challenge_method"] == "S256"
        self.codes["c1"] = asked
        return f"code=c1&state={asked['state']}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        issuer = self.server.issuer
        pages = {"/.well-known/openid-configuration": {
            "issuer": issuer, "authorization_endpoint": f"{issuer}/authorise", "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/keys", "id_token_signing_alg_values_supported": ["RS256"]},
            "/keys": {"keys": [self.server.key.as_dict(private=False)]}}
        self.answer(pages[self.path])

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        asked = self.server.codes.pop(form["code"][0])
        basic = base64.b64decode(self.headers["Authorization"].split()[1]).decode()
        verifier = hashlib.sha256(form["code_verifier"][0].encode()).digest()
        assert basic == f"{CLIENT}:{SECRET}" and base64.urlsafe_b64encode(verifier).rstrip(b"=").decode() == asked["code_challenge"]
        now = int(time.time())
        claims = {"iss": self.server.issuer, "aud": CLIENT, "iat": now, "exp": now + 60, "nonce": asked["nonce"]}
        signed = jwt.encode({"alg": "RS256", "kid": "1"}, claims | self.server.person | self.server.claims, self.server.signing)
        self.answer({"access_token": "a", "token_type": "Bearer", "id_token": signed})

    def answer(self, body: dict) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.shutdown()


@pytest.fixture
def app(make, provider: Provider) -> Flask:
    return make(AUTH="oidc", OIDC_ISSUER=provider.issuer, OIDC_CLIENT_ID=CLIENT, OIDC_CLIENT_SECRET=SECRET)


def come_back(app: Flask, provider: Provider, client: FlaskClient | None = None, to: str = "/"):
    client = client or app.test_client()
    away = client.get("/login/oidc", query_string={"next": to})
    assert away.status_code == 302 and away.headers["Location"].startswith(provider.issuer)
    return client.get(f"/login/oidc/callback?{provider.authorise(away.headers['Location'])}"), client


def test_a_person_the_provider_knows_gets_an_account_the_first_time_and_the_same_one_later(app: Flask, provider: Provider) -> None:
    answer, client = come_back(app, provider, to="/account")
    assert answer.status_code == 303 and answer.headers["Location"] == "/account"
    assert client.get("/account", headers={"Accept": "application/json"}).json["name"] == "ann-example"
    assert client.post("/api/chat/stream", json={"message": "What is beta?"}).status_code == 200
    again = come_back(app, provider)[1]
    assert len(again.get("/api/conversations").json["conversations"]) == 1


def test_two_people_with_one_name_have_two_accounts(app: Flask, provider: Provider) -> None:
    come_back(app, provider)
    provider.person = {"sub": "person-2", "preferred_username": "ann example"}
    other = come_back(app, provider)[1]
    name = other.get("/account", headers={"Accept": "application/json"}).json["name"]
    assert name.startswith("ann-example-") and other.get("/api/conversations").json["conversations"] == []


@pytest.mark.parametrize("claims", [{"aud": "somebody else"}, {"iss": "https://evil.example"}, {"nonce": "old"}, {"exp": 1}, {"sub": ""}])
def test_what_the_provider_did_not_say_to_us_now_signs_nobody_in(app: Flask, provider: Provider, claims: dict) -> None:
    provider.claims = claims
    answer, client = come_back(app, provider)
    assert answer.status_code in (401, 503)
    assert client.get("/api/conversations").status_code == 401


def test_another_key_signs_nobody_in(app: Flask, provider: Provider) -> None:
    provider.signing = RSAKey.generate_key(2048, {"kid": "1"})
    answer, client = come_back(app, provider)
    assert answer.status_code in (401, 503) and client.get("/api/conversations").status_code == 401


def test_an_answer_nobody_asked_for_signs_nobody_in(app: Flask, provider: Provider) -> None:
    away = app.test_client().get("/login/oidc").headers["Location"]
    victim = app.test_client()
    assert victim.get(f"/login/oidc/callback?{provider.authorise(away)}").status_code == 401
    assert victim.get("/login/oidc/callback?error=access_denied&state=x").status_code == 401


def test_a_provider_that_is_away_is_said_plainly(make) -> None:
    app = make(AUTH="oidc", OIDC_ISSUER="http://127.0.0.1:9", OIDC_CLIENT_ID=CLIENT)
    answer = app.test_client().get("/login/oidc")
    assert answer.status_code == 503 and "127.0.0.1:9" not in answer.text


def test_passwords_are_not_for_here(app: Flask) -> None:
    assert app.test_client().post("/login", json={"name": "ann", "password": "x"}).status_code == 404
    assert "organisation" in app.test_client().get("/login").text
