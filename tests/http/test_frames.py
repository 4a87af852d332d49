"""What goes over the wire is what DESIGN 1 promises."""

import json
import re

import gevent
from gevent.event import Event as Gate

from services.errors import Unavailable
from services.llm.deltas import Content, Reasoning, Switched
from services.sse import split
from tests.http.asking import STREAM, ask, frames_of, parse, post
from tests.support.llm import ANSWER, MODEL, NAME, began, finished, words
from tests.support.sse_client import text_of

FRAME = rb"id: 1-\d+\nevent: [a-z_]+\ndata: \{.*\}\n\n"


def test_the_response_has_the_headers_a_stream_needs(client):
    response = post(client)
    assert response.mimetype == "text/event-stream"
    assert response.headers["Cache-Control"] == "no-cache, no-transform"
    assert response.headers["X-Accel-Buffering"] == "no"
    assert "Content-Length" not in response.headers
    response.get_data()


def test_location_names_the_stream(client):
    response = post(client)
    started = frames_of(response)[0].data
    assert response.headers["Location"] == f"/api/chat/streams/{started['streamId']}"


def test_a_comment_and_retry_come_at_once_before_the_model_has_said_anything(client, llm):
    gate = Gate()
    llm.play(gate, began(), finished())
    response = post(client)
    first = next(response.iter_encoded())
    assert first.startswith(b": ") and b"\nretry: 1500\n" in first
    gate.set()
    response.close()


def test_every_frame_is_an_id_an_event_and_one_line_of_data(client):
    wire = post(client).get_data()
    assert re.fullmatch(rb": \w+\nretry: \d+\n(%b){5}" % FRAME, wire)


def test_ids_count_from_one_without_a_gap(client):
    frames = ask(client)
    assert [frame.id for frame in frames] == [(1, seq) for seq in range(1, len(frames) + 1)]


def test_data_repeats_the_type(client):
    for frame in ask(client):
        assert frame.data["type"] == frame.event


def test_a_whole_answer_is_started_tokens_completed_with_all_their_fields(client):
    first, *tokens, last = ask(client, assistantType="trader")
    assert list(first.data) == ["type", "streamId", "traceId", "conversationId", "userMessageId", "messageId", "assistantType"]
    assert first.data["assistantType"] == "trader"
    assert [token.event for token in tokens] == ["token"] * 3
    assert text_of(tokens) == ANSWER
    assert tokens[0].data["metadata"] == {"provider": NAME, "model": MODEL}
    assert all("metadata" not in token.data for token in tokens[1:])
    assert last.data | {"metrics": None, "usage": None} == {
        "type": "chat_completed", "messageId": first.data["messageId"], "provider": NAME, "model": MODEL, "finishReason": "stop",
        "tokensUsed": 3, "metrics": None, "usage": None}
    assert set(last.data["metrics"]) == {"ttftMs", "durationMs", "tokensPerSecond", "attempts"}
    assert last.data["usage"]["promptTokens"] == 20


def test_the_reason_of_the_end_is_the_model_s(client, llm):
    llm.play(began(), *words("cut off"), finished(reason="length"))
    assert ask(client)[-1].data["finishReason"] == "length"


def test_reasoning_goes_beside_the_answer(client, llm):
    llm.play(began(), Reasoning("hm"), Content("Yes."), finished(1))
    frames = ask(client)
    assert frames[1].data == {"type": "token", "content": "hm", "channel": "reasoning", "metadata": {"provider": NAME, "model": MODEL}}
    assert text_of(frames) == "Yes."


def test_a_switch_tells_the_client_what_to_discard(client, llm):
    llm.play(began(), Content("Wrong 🙂 start"), Switched("a", "b", "overloaded", "a could not answer; b goes on.", "restart", 0, 2),
             began(), Content("Right."), finished(1))
    frames = ask(client)
    switch = next(frame.data for frame in frames if frame.event == "provider_switch")
    assert switch == {"type": "provider_switch", "from": "a", "to": "b", "reason": "overloaded", "message": "a could not answer; b goes on.",
                      "mode": "restart", "discardFrom": 0, "attempt": 2}
    assert text_of(frames) == "Right."
    assert [frame.data["metadata"] for frame in frames if "metadata" in frame.data] == [{"provider": NAME, "model": MODEL}] * 2
    history = client.get(f"/api/conversations/{frames[0].data['conversationId']}").get_json()
    assert history["messages"][1]["content"] == "Right."


def test_a_failure_is_the_one_last_event_and_keeps_the_text(client, llm):
    llm.play(began(), *words("Half an"), Unavailable("No provider could answer."))
    frames = ask(client)
    assert frames[-1].data == {"type": "error", "code": "unavailable", "message": "No provider could answer.", "retryable": True, "partial": True}
    assert [frame.terminal for frame in frames].count(True) == 1
    answer = client.get(f"/api/conversations/{frames[0].data['conversationId']}").get_json()["messages"][1]
    assert (answer["status"], answer["content"]) == ("error", "Half an")


def test_an_unexpected_failure_shows_no_detail(client, llm, caplog):
    llm.play(began(), RuntimeError("the key is sk-secret"))
    last = ask(client)[-1]
    assert (last.event, last.data["code"], last.data["partial"]) == ("error", "internal", False)
    assert "sk-secret" not in json.dumps(last.data)


def test_html_comes_block_by_block_and_whole_at_the_end(client, llm):
    llm.play(began(), *words("# One\n\nTwo *three*\n\n- four\n- five\n"), finished(4))
    frames = ask(client, render="html")
    blocks = [frame.data for frame in frames if frame.event == "block"]
    assert [block["index"] for block in blocks] == [0, 1, 2]
    assert "<em>three</em>" in blocks[1]["html"]
    assert frames[-1].data["html"] == "".join(block["html"] for block in blocks)
    assert frames[-2].event == "block", "the last block closes before the answer does"


def test_without_html_there_are_no_blocks(client):
    frames = ask(client)
    assert "block" not in [frame.event for frame in frames]
    assert "html" not in frames[-1].data


def test_silence_is_broken_by_comments(client, llm, app):
    app.extensions["tickertape"].streams._heartbeat = 0.05
    llm.play(began(), *words("one"), 0.3, *words(" two"), finished(2))
    wire = post(client).get_data()
    assert wire.count(b"\n:\n\n") >= 3
    assert text_of(parse(wire)) == "one two"


# ---- the fallback for what cannot stream

ONLY_JSON = {"Accept": "application/json"}


def test_a_client_that_takes_only_json_gets_the_finished_answer(client):
    response = post(client, headers=ONLY_JSON)
    body = response.get_json()
    assert response.headers["Location"] == f"/api/chat/streams/{body['streamId']}"
    assert body["content"] == ANSWER
    assert (body["provider"], body["finishReason"], body["tokensUsed"]) == (NAME, "stop", 3)
    assert body["messageId"] and body["userMessageId"] and body["conversationId"]


def test_json_of_a_failed_answer_has_the_error_and_the_text_so_far(client, llm):
    llm.play(began(), *words("Half an"), Unavailable("No provider could answer."))
    response = client.post(STREAM, json={"message": "hi"}, headers=ONLY_JSON)
    assert response.status_code == 503
    body = response.get_json()
    assert body["error"] == {"code": "unavailable", "message": "No provider could answer.", "retryable": True, "partial": True}
    assert body["content"] == "Half an"


def test_a_client_that_takes_anything_gets_the_stream(client):
    for accept in ("*/*", "text/event-stream, application/json", "application/json, text/event-stream;q=0.5", None):
        response = post(client, headers={"Accept": accept} if accept else None)
        assert response.mimetype == "text/event-stream", accept
        response.get_data()


def test_json_is_never_half_an_answer_that_looks_whole(app, client, llm):
    gate = Gate()
    llm.play(began(), *words("Half an"), gate, *words(" answer"), finished(3))

    def leave():
        app.extensions["tickertape"].streams.drain()
        gate.set()

    gevent.spawn_later(0.1, leave)
    response = client.post(STREAM, json={"message": "hi"}, headers=ONLY_JSON)
    assert response.status_code == 503
    assert response.get_json()["error"]["code"] == "unavailable"


# ---- our own frames, read back

def test_the_wire_splits_into_frames_at_blank_lines_only(client, llm):
    llm.play(began(), Content("a\n\nb\r\n\r\nc\u2028"), finished(1))
    wire = post(client).get_data()
    assert len(split(wire)) == 3
