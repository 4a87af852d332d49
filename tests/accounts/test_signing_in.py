"""Who gets in, by what, and for how long."""

import logging
import re

import pytest
import sqlalchemy
from flask import Flask
from flask.testing import FlaskClient

from tests.accounts.conftest import PASSWORD, bearer, sign_in, token_of

QUESTION = {"message": "What is beta?"}


def test_nothing_is_open_to_a_stranger_but_the_door(app: Flask) -> None:
    stranger = app.test_client()
    for rule in app.url_map.iter_rules():
        if rule.endpoint == "static":
            continue
        path = re.sub(r"<[^>]+>", "x", rule.rule)
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            answer = stranger.open(path, method=method, json={} if method != "GET" else None, headers={"Accept": "application/json"})
            if path in ("/login", "/healthz", "/readyz", "/metrics"):
                assert answer.status_code not in (403, 404, 500), path
            elif path in ("/register", "/login/oidc", "/login/oidc/callback"):
                assert answer.status_code == 404, path
            else:
                assert answer.status_code == 401 and answer.json["error"]["code"] in ("unauthenticated", "invalid_api_key"), (method, path)


def test_a_page_sends_a_stranger_to_the_door_and_back(app: Flask) -> None:
    client = app.test_client()
    away = client.get("/c/abc?m=1")
    assert away.status_code == 302 and away.headers["Location"] == "/login?next=/c/abc?m%3D1"
    page = client.get(away.headers["Location"]).text
    form = {name: re.search(f'name="{name}" value="([^"]*)"', page)[1] for name in ("csrf", "next")}
    answer = client.post("/login", data=form | {"name": "ANN ", "password": PASSWORD})
    assert answer.status_code == 303 and answer.headers["Location"] == "/c/abc?m=1"
    assert client.get("/").status_code == 200 and "<span>ann</span>" in client.get("/").text


@pytest.mark.parametrize("to", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/\tx", "evil"])
def test_nobody_is_sent_to_another_site_after_signing_in(app: Flask, to: str) -> None:
    client = app.test_client()
    page = client.get("/login", query_string={"next": to}).text
    assert 'name="next" value="/"' in page


def test_a_wrong_name_and_a_wrong_password_look_the_same(app: Flask) -> None:
    wrong, unknown = sign_in(app, password="wrong word")[0], sign_in(app, name="nobody", password="wrong word")[0]
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json == unknown.json


def test_the_form_says_what_was_wrong_and_keeps_the_name(app: Flask) -> None:
    client = app.test_client()
    token = re.search('name="csrf" value="([^"]*)"', client.get("/login").text)[1]
    answer = client.post("/login", data={"csrf": token, "name": "ann", "password": "wrong word"})
    assert answer.status_code == 401
    assert "The name or the password is wrong." in answer.text and 'value="ann"' in answer.text


def test_a_session_from_before_signing_in_is_worth_nothing_after(app: Flask) -> None:
    client = app.test_client()
    token = re.search('name="csrf" value="([^"]*)"', client.get("/login").text)[1]
    sign_in(app, client=client)
    assert client.post("/ask", data={"message": "x", "csrf": token}).status_code == 403


def test_a_thousand_wrong_passwords_are_throttled_and_the_owner_still_gets_in(app: Flask) -> None:
    known = sign_in(app)[1]
    codes = [sign_in(app, password=f"guess {number}", address="198.51.100.7")[0].status_code for number in range(900)]
    codes += [sign_in(app, password=f"guess {number}", address=f"198.51.{number}.8")[0].status_code for number in range(100)]
    assert set(codes) == {401, 429} and codes.count(401) <= 40, codes.count(401)
    assert known.get("/account", headers={"Accept": "application/json"}).status_code == 200
    known.delete_cookie("tickertape")
    assert sign_in(app, client=known)[0].status_code == 200, "a browser that signed in before, from anywhere"
    assert sign_in(app, client=known, address="198.51.100.7")[0].status_code == 200


def test_guesses_from_one_address_leave_the_owner_at_another_untouched(app: Flask) -> None:
    codes = [sign_in(app, password=f"guess {number}", address="198.51.100.7")[0].status_code for number in range(100)]
    assert codes.count(401) == 5
    assert sign_in(app, address="192.0.2.9")[0].status_code == 200


def test_a_throttled_try_says_when_to_come_back_and_soon(app: Flask) -> None:
    answers = [sign_in(app, password="guess")[0] for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 16
    assert answers[-1].json["error"]["code"] == "rate_limited"


def test_one_address_cannot_try_one_password_on_many_accounts(app: Flask) -> None:
    codes = [sign_in(app, name=f"user{number}", password="guess")[0].status_code for number in range(60)]
    assert codes.count(401) == 20


def test_a_device_cookie_is_good_for_its_own_account_only(app: Flask) -> None:
    client = sign_in(app, "bob")[1]
    codes = [sign_in(app, "ann", password="guess", client=client)[0].status_code for _ in range(8)]
    assert codes.count(401) == 5
    assert sign_in(app, "ann", client=client)[0].status_code == 429


def test_slips_before_the_right_password_are_forgotten(app: Flask) -> None:
    for _ in range(3):
        assert [sign_in(app, password="slip")[0].status_code for _ in range(4)] == [401] * 4
        assert sign_in(app)[0].status_code == 200


def test_a_session_ends_when_signed_out_and_when_ended_elsewhere(app: Flask, ann: FlaskClient) -> None:
    other = sign_in(app)[1]
    listed = ann.get("/account", headers={"Accept": "application/json"}).json["signIns"]
    assert len(listed) == 2 and sum(each["current"] for each in listed) == 1
    elsewhere = next(each for each in listed if not each["current"])
    assert ann.post(f"/account/sign-ins/{elsewhere['id']}/end", json={}).status_code == 200
    assert other.get("/api/conversations").status_code == 401
    stolen = ann.get_cookie("tickertape").value
    assert ann.post("/logout", json={}).status_code == 200
    ann.set_cookie("tickertape", stolen)
    assert ann.get("/api/conversations").status_code == 401, "an old cookie is worth nothing"


def test_a_session_that_was_not_used_for_long_ends(make) -> None:
    app = make(SIGN_IN_D="30")
    app.extensions["tickertape"].accounts.add("ann", PASSWORD)
    client = sign_in(app)[1]
    change(app, "UPDATE sign_ins SET seen_at = seen_at - 29 * 86400")
    assert client.get("/api/conversations").status_code == 200
    change(app, "UPDATE sign_ins SET seen_at = seen_at - 31 * 86400")
    assert client.get("/api/conversations").status_code == 401


def test_a_disabled_account_is_out_at_once_by_every_way(app: Flask, ann: FlaskClient) -> None:
    token = token_of(ann)
    runner = app.test_cli_runner()
    assert runner.invoke(args=["users", "disable", "ann"]).exit_code == 0
    assert ann.get("/api/conversations").status_code == 401
    assert app.test_client().get("/api/conversations", headers=bearer(token)).status_code == 401
    assert sign_in(app)[0].status_code == 401
    assert "ann\tpassword" in (listed := runner.invoke(args=["users", "list"]).output) and "disabled" in listed
    assert runner.invoke(args=["users", "enable", "ann"]).exit_code == 0
    assert sign_in(app, address="192.0.2.77")[0].status_code == 200


def test_a_new_password_ends_every_other_session(app: Flask, ann: FlaskClient) -> None:
    other = sign_in(app)[1]
    wrong = ann.post("/account/password", json={"password": "not it at all", "newPassword": "four other quiet words"})
    assert wrong.status_code == 401
    answer = ann.post("/account/password", json={"password": PASSWORD, "newPassword": "four other quiet words"})
    assert answer.status_code == 200
    assert ann.get("/api/conversations").status_code == 200 and other.get("/api/conversations").status_code == 401
    assert sign_in(app)[0].status_code == 401
    assert sign_in(app, password="four other quiet words")[0].status_code == 200


def test_the_keeper_of_the_server_can_set_a_password(app: Flask, ann: FlaskClient) -> None:
    result = app.test_cli_runner().invoke(args=["users", "password", "ann"], input="another long word\nanother long word\n")
    assert result.exit_code == 0
    assert ann.get("/api/conversations").status_code == 401
    assert sign_in(app, password="another long word")[0].status_code == 200


@pytest.mark.parametrize(("name", "password", "says"), [
    ("ann", PASSWORD, "taken"), ("x" * 65, PASSWORD, "1 to 64"), ("a b", PASSWORD, "1 to 64"), ("", PASSWORD, "1 to 64"),
    ("carl", "short", "8 to 512"), ("carl", "x" * 513, "8 to 512"),
])
def test_names_and_passwords_have_rules(app: Flask, name: str, password: str, says: str) -> None:
    result = app.test_cli_runner().invoke(args=["users", "add", name, "--password", password])
    assert result.exit_code == 1 and says in result.output


def test_strangers_make_accounts_only_where_that_is_wanted(make) -> None:
    closed = make()
    body = {"name": "carl", "password": PASSWORD}
    assert closed.test_client().get("/register").status_code == 404
    assert closed.test_client().post("/register", json=body).status_code == 404
    client = make(REGISTRATION="on").test_client()
    assert "Make one" in client.get("/login").text
    assert client.post("/register", json=body).status_code == 200
    assert client.get("/account", headers={"Accept": "application/json"}).json["name"] == "carl"
    again = make(REGISTRATION="on").test_client().post("/register", json=body)
    assert again.status_code == 409


def test_one_address_makes_only_a_few_accounts(make) -> None:
    client = make(REGISTRATION="on").test_client()
    codes = [client.post("/register", json={"name": f"user{number}", "password": PASSWORD}).status_code for number in range(7)]
    assert codes == [200] * 5 + [429] * 2


def test_passwords_and_tokens_are_stored_as_hashes_and_logged_nowhere(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        client = sign_in(app)[1]
        token = token_of(client)
        sign_in(app, password="a wrong password")
        sign_in(app, name="a name that is a password", password="x")
    cookie = client.get_cookie("tickertape").value
    content = dump(app)
    assert "$argon2id$" in content
    for secret in (PASSWORD, token, token.removeprefix("tt_"), "a wrong password", "a name that is a password"):
        assert secret not in content and secret not in caplog.text
    assert cookie not in caplog.text


def test_where_everybody_is_trusted_there_are_no_accounts(make) -> None:
    client = make(AUTH="open").test_client()
    for path in ("/login", "/account", "/register"):
        assert client.get(path).status_code == 404
    assert client.post("/api/chat/stream", json=QUESTION).status_code == 200


def change(app: Flask, statement: str) -> None:
    app.extensions["tickertape"].database.write(lambda session: session.execute(sqlalchemy.text(statement)))


def dump(app: Flask) -> str:
    def everything(session) -> str:
        tables = session.execute(sqlalchemy.text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars().all()
        return "\n".join(str(tuple(row)) for table in tables for row in session.execute(sqlalchemy.text(f"SELECT * FROM {table}")))
    return app.extensions["tickertape"].database.read(everything)
