"""Tokens, acting for others, export and deletion; and that nobody reaches what is somebody else's."""

import json
import time

import pytest
import sqlalchemy
from flask import Flask
from flask.testing import FlaskClient

from services.store.models import first_id, new_id
from tests.accounts.conftest import PASSWORD, bearer, token_of
from tests.accounts.test_signing_in import change

QUESTION = {"message": "What is beta?"}


def ask(client: FlaskClient, headers: dict | None = None, **fields: object) -> dict:
    answer = client.post("/api/chat/stream", json=QUESTION | fields, headers={"Accept": "application/json"} | (headers or {}))
    assert answer.status_code == 200, answer.text
    return answer.json


def listed(client: FlaskClient, headers: dict | None = None) -> list[str]:
    return [each["id"] for each in client.get("/api/conversations", headers=headers).json["conversations"]]


def test_a_token_asks_as_its_owner_until_it_is_revoked(app: Flask, ann: FlaskClient) -> None:
    token = token_of(ann, "my script")
    program = app.test_client()
    made = ask(program, bearer(token))
    assert listed(ann) == [made["conversationId"]]
    shown = ann.get("/account", headers={"Accept": "application/json"}).json["tokens"]
    assert shown[0]["name"] == "my script" and shown[0]["usedAt"] and token not in json.dumps(shown)
    assert ann.post(f"/account/tokens/{shown[0]['id']}/revoke", json={}).status_code == 200
    answer = program.get("/api/conversations", headers=bearer(token))
    assert answer.status_code == 401 and answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer x", "bearer tt_x", "Basic YW5uOng="])
def test_a_wrong_token_is_nobodys_whatever_cookie_comes_with_it(app: Flask, ann: FlaskClient, header: str) -> None:
    assert app.test_client().get("/api/conversations", headers={"Authorization": header}).status_code == 401
    if header.lower().startswith("bearer"):
        assert ann.get("/api/conversations", headers={"Authorization": header}).status_code == 401


def test_a_token_cannot_change_its_owners_account(app: Flask, ann: FlaskClient) -> None:
    headers = bearer(token_of(ann))
    program = app.test_client()
    for path, body in (("/account/tokens", {"name": "more"}), ("/account/delete", {"password": PASSWORD}),
                       ("/account/password", {"password": PASSWORD, "newPassword": "something else"})):
        assert program.post(path, json=body, headers=headers).status_code == 401
    assert program.get("/account", headers=headers | {"Accept": "application/json"}).json["name"] == "ann"


def test_the_user_id_in_a_question_is_ignored(app: Flask, ann: FlaskClient, bob: FlaskClient) -> None:
    ask(ann, {"X-User-Id": "bob"}, userId="bob")
    ask(app.test_client(), bearer(token_of(ann)) | {"X-User-Id": "bob"}, userId="bob")
    assert len(listed(ann)) == 2 and listed(ann, {"X-User-Id": "bob"}) == listed(ann)
    assert listed(bob) == []


def test_a_token_that_may_act_for_others_does_and_reaches_no_account(app: Flask, ann: FlaskClient, bob: FlaskClient) -> None:
    made = app.test_cli_runner().invoke(args=["tokens", "add", "ann", "--act-for", "--label", "backend"])
    headers = bearer(made.output.strip())
    program = app.test_client()
    one, other = ask(program, headers, userId="customer-1"), ask(program, headers, userId="bob")
    assert listed(program, headers | {"X-User-Id": "customer-1"}) == [one["conversationId"]]
    assert listed(program, headers | {"X-User-Id": "bob"}) == [other["conversationId"]]
    assert listed(program, headers) == [] and listed(ann) == [] and listed(bob) == []
    stranger = program.get(f"/api/conversations/{one['conversationId']}", headers=headers | {"X-User-Id": "bob"})
    assert stranger.status_code == 404


def test_an_outsider_finds_nothing_of_anybody(app: Flask, ann: FlaskClient, bob: FlaskClient) -> None:
    mine = ask(ann)
    token_of(ann)
    own = ann.get("/account", headers={"Accept": "application/json"}).json
    conversation, stream = f"/api/conversations/{mine['conversationId']}", f"/api/chat/streams/{mine['streamId']}"
    outsider = [
        ("GET", conversation), ("GET", f"{conversation}?branches=all"), ("GET", f"{conversation}/export"), ("GET", f"{conversation}/export?format=json"),
        ("PATCH", conversation), ("DELETE", conversation), ("GET", stream), ("GET", f"{stream}?after=1-1"), ("POST", f"{stream}/stop"),
        ("GET", f"/c/{mine['conversationId']}"),
        ("POST", f"/account/tokens/{own['tokens'][0]['id']}/revoke"), ("POST", f"/account/sign-ins/{own['signIns'][0]['id']}/end"),
    ]
    for method, path in outsider:
        body = {"title": "mine now"} if method == "PATCH" else {} if path.startswith("/account") else None
        assert bob.open(path, method=method, json=body).status_code == 404, (method, path)
    for field in ("conversationId", "parentMessageId"):
        value = mine["conversationId"] if field == "conversationId" else mine["messageId"]
        assert bob.post("/api/chat/stream", json=QUESTION | {field: value}).status_code == 404
    assert ann.get(conversation).status_code == 200 and ann.get(stream).status_code == 200
    assert len(ann.get("/account", headers={"Accept": "application/json"}).json["tokens"]) == 1


def test_an_export_has_everything_and_no_secret(ann: FlaskClient) -> None:
    first, second = ask(ann), ask(ann, message="What is alpha?")
    token = token_of(ann)
    answer = ann.get("/account/export")
    assert "attachment" in answer.headers["Content-Disposition"]
    everything = answer.json
    assert everything["name"] == "ann"
    assert [each["id"] for each in everything["conversations"]] == [first["conversationId"], second["conversationId"]]
    assert everything["conversations"][0]["messages"][1]["content"] == first["content"]
    assert {entry["kind"] for entry in everything["audit"]} >= {"account_made", "signed_in", "token_made"}
    assert everything["tokens"][0]["name"] == "test" and len(everything["signIns"]) == 1
    for secret in (token, PASSWORD, "argon2"):
        assert secret not in answer.text


def test_deleting_an_account_deletes_all_it_has_and_nothing_of_others(app: Flask, ann: FlaskClient, bob: FlaskClient) -> None:
    ask(ann), ask(bob)
    headers = bearer(token_of(ann))
    assert ann.post("/account/delete", json={"password": "not the password"}).status_code == 401
    assert ann.post("/account/delete", json={"password": PASSWORD}).status_code == 200
    assert ann.get("/api/conversations").status_code == 401
    assert app.test_client().get("/api/conversations", headers=headers).status_code == 401
    counts = {table: count(app, table) for table in ("accounts", "users", "conversations", "turns", "messages", "api_tokens", "sign_ins")}
    assert counts == {"accounts": 1, "users": 1, "conversations": 1, "turns": 1, "messages": 2, "api_tokens": 0, "sign_ins": 1}
    assert count(app, "segments WHERE turn_id NOT IN (SELECT id FROM turns)") == 0
    assert len(listed(bob)) == 1
    kinds = column(app, "SELECT kind FROM audit WHERE name = 'ann' ORDER BY at")
    assert kinds[-1] == "account_deleted", "that it happened is kept"


def test_the_pages_of_an_account_work_without_a_script(ann: FlaskClient) -> None:
    page = ann.get("/account").text
    csrf = page.split('name="csrf" value="', 1)[1].split('"', 1)[0]
    assert ann.post("/account/tokens", data={"name": "x"}).status_code == 403
    made = ann.post("/account/tokens", data={"name": "x", "csrf": csrf})
    token = made.text.split('<code class="token">', 1)[1].split("<", 1)[0]
    assert token.startswith("tt_") and token not in ann.get("/account").text
    out = ann.post("/logout", data={"csrf": csrf})
    assert out.status_code == 303 and out.headers["Location"] == "/login"


def test_a_token_that_is_used_is_in_the_audit_but_not_for_every_request(app: Flask, ann: FlaskClient) -> None:
    headers = bearer(token_of(ann))
    for _ in range(5):
        app.test_client().get("/api/conversations", headers=headers)
    assert column(app, "SELECT kind FROM audit WHERE kind = 'token_used'") == ["token_used"]


# ---- retention

def test_what_is_past_its_time_goes_and_the_rest_stays(make) -> None:
    app = make(CONVERSATION_RETENTION_D="10", AUDIT_RETENTION_D="20", LOG_RETENTION_H="1")
    app.extensions["tickertape"].accounts.add("ann", PASSWORD)
    from tests.accounts.conftest import sign_in
    ann = sign_in(app)[1]
    old, young = ask(ann), ask(ann)
    runner = app.test_cli_runner()
    assert set(runner.invoke(args=["retention", "run"]).output.split("\n")) >= {"0 logs deleted", "0 conversations deleted"}
    change(app, "UPDATE turns SET ended_at = ended_at - 7200")
    change(app, f"UPDATE conversations SET updated_at = updated_at - 11 * 86400 WHERE id = '{old['conversationId']}'")
    change(app, "UPDATE audit SET at = at - 21 * 86400")
    change(app, "UPDATE spending SET day = day - 21")
    change(app, "INSERT INTO users (id, handle, created_at) VALUES ('x', 'anon:x', 0), ('y', 'claimed:y', 0)")
    output = runner.invoke(args=["retention", "run"]).output
    assert "1 conversations deleted" in output and "2 logs deleted" in output and "1 strangers deleted" in output
    assert listed(ann) == [young["conversationId"]]
    assert (count(app, "audit"), count(app, "spending"), count(app, "segments"), count(app, "turns")) == (0, 0, 0, 1)
    gone = ann.get(f"/api/chat/streams/{young['streamId']}")
    assert gone.status_code == 410 and young["conversationId"] in gone.text
    assert column(app, "SELECT id FROM users WHERE handle = 'claimed:y'") == ["y"]


def test_an_answer_that_is_being_written_is_not_past_its_time(make) -> None:
    app = make(CONVERSATION_RETENTION_D="1")
    app.extensions["tickertape"].accounts.add("ann", PASSWORD)
    from tests.accounts.conftest import sign_in
    ask(sign_in(app)[1])
    change(app, "UPDATE conversations SET updated_at = 0")
    change(app, "UPDATE turns SET status = 'running', ended_at = NULL")
    app.extensions["tickertape"].retention.run()
    assert count(app, "conversations") == 1


def count(app: Flask, table: str) -> int:
    return column(app, f"SELECT count(*) FROM {table}")[0]


def column(app: Flask, statement: str) -> list:
    return app.extensions["tickertape"].database.read(lambda session: session.execute(sqlalchemy.text(statement)).scalars().all())


def test_rows_of_workers_long_gone_go_and_one_that_just_left_stays(make) -> None:
    app = make()
    change(app, f"INSERT INTO workers (id, host, pid, seen_at) VALUES ('{first_id(time.time() - 3 * 86_400)}', 'h', 1, 0), ('{new_id()}', 'h', 2, 0)")
    assert app.extensions["tickertape"].retention.run()["workers"] == 1
    assert column(app, "SELECT pid FROM workers WHERE seen_at = 0") == [2]
