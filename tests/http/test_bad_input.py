"""Bad input gets a clear error that names its field, and what only looks bad comes through unharmed."""

import json

import pytest
from gevent.event import Event
from hypothesis import given, settings
from hypothesis import strategies as st

from services.llm.deltas import Content
from tests.http.asking import STREAM, ask, error_of, frames_of, post
from tests.support.llm import began, finished, words
from tests.support.sse_client import text_of


@pytest.fixture
def edge(shared):
    """Somebody with one finished stream, at `location`; `asked()` counts what reached the model after it."""
    app, llm = shared
    client = app.test_client()
    first = post(client)
    first.get_data()
    client.location = first.headers["Location"]
    before = len(llm.requests)
    client.asked = lambda: len(llm.requests) - before
    return client


BODIES = [
    ("no message at all", {}, "message"),
    ("an empty message", {"message": ""}, "message"),
    ("a message of spaces", {"message": " \t\n "}, "message"),
    ("a message that is null", {"message": None}, "message"),
    ("a message that is no string", {"message": 7}, "message"),
    ("a message of 32,001 characters", {"message": "x" * 32_001}, "message"),
    ("a NUL in the message", {"message": "a\0b"}, "message"),
    ("half a surrogate pair in the message", {"message": "a\ud83d"}, "message"),
    ("an unknown assistantType", {"message": "hi", "assistantType": "astrologer"}, "assistantType"),
    ("an assistantType that is a list", {"message": "hi", "assistantType": ["general"]}, "assistantType"),
    ("an unknown field", {"message": "hi", "colour": "red"}, "colour"),
    ("an unknown field in the context", {"message": "hi", "context": {"mood": "good"}}, "context.mood"),
    ("a context that is no object", {"message": "hi", "context": []}, "context"),
    ("symbols that are no list", {"message": "hi", "context": {"symbols": "AAPL"}}, "context.symbols"),
    ("symbols that are no strings", {"message": "hi", "context": {"symbols": ["AAPL", 7]}}, "context.symbols[1]"),
    ("an empty symbol", {"message": "hi", "context": {"symbols": [" "]}}, "context.symbols[0]"),
    ("21 symbols", {"message": "hi", "context": {"symbols": ["AAPL"] * 21}}, "context.symbols"),
    ("an unknown risk tolerance", {"message": "hi", "context": {"riskTolerance": "yolo"}}, "context.riskTolerance"),
    ("an endless timeframe", {"message": "hi", "context": {"timeframe": "y" * 33}}, "context.timeframe"),
    ("an unknown rendering", {"message": "hi", "render": "pdf"}, "render"),
    ("an empty userId", {"message": "hi", "userId": ""}, "userId"),
    ("a userId with a line break", {"message": "hi", "userId": "a\nb"}, "userId"),
    ("a conversationId that cannot be one", {"message": "hi", "conversationId": "../etc"}, "conversationId"),
    ("a parentMessageId that cannot be one", {"message": "hi", "parentMessageId": "a b"}, "parentMessageId"),
    ("a workflow that cannot be one", {"message": "hi", "workflow": "a b"}, "workflow"),
]


@pytest.mark.parametrize(("body", "field"), [case[1:] for case in BODIES], ids=[case[0] for case in BODIES])
def test_bad_values_are_refused_with_their_field(edge, body, field):
    assert error_of(edge.post(STREAM, data=json.dumps(body), content_type="application/json")) == (400, "invalid_request", field)
    assert edge.asked() == 0


RAW = [
    ("broken JSON", b'{"message": "hi"', 400, "invalid_request"),
    ("an empty body", b"", 400, "invalid_request"),
    ("bytes that are no UTF-8", b'{"message": "\xff"}', 400, "invalid_request"),
    ("a list", b'["hi"]', 400, "invalid_request"),
    ("a string", b'"hi"', 400, "invalid_request"),
    ("null", b"null", 400, "invalid_request"),
    ("JSON nested 100,000 deep", b"[" * 100_000, 400, "invalid_request"),
    ("a number of 10,000 digits", b'{"message": ' + b"9" * 10_000 + b"}", 400, "invalid_request"),
    ("2 MB", b'{"message": "' + b"x" * 2_000_000 + b'"}', 413, "too_large"),
]


@pytest.mark.parametrize(("body", "status", "code"), [case[1:] for case in RAW], ids=[case[0] for case in RAW])
def test_bodies_that_are_no_question_are_refused(edge, body, status, code):
    assert error_of(edge.post(STREAM, data=body, content_type="application/json"))[:2] == (status, code)
    assert edge.asked() == 0


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""])
def test_another_content_type_is_refused(edge, kind):
    assert error_of(edge.post(STREAM, data=b'{"message": "hi"}', content_type=kind))[:2] == (415, "unsupported_media_type")


def test_a_content_type_with_a_charset_is_taken(client):
    response = client.post(STREAM, data=b'{"message": "hi"}', content_type="application/json; charset=utf-8")
    assert response.status_code == 200


def test_an_error_does_not_repeat_bytes_that_could_break_a_log_or_a_page(client):
    response = client.post(STREAM, json={"message": "hi", "evil\r\n\x1b[31m<script>é": 1})
    assert error_of(response)[0] == 400
    assert response.get_json()["error"]["field"] == "evil\\r\\n\\x1b[31m<script>\\xe9"[:64]


UNHARMED = [
    ("32,000 characters", "ü" * 32_000),
    ("the line separators of Unicode", "a\u2028b\u2029c\u0085d"),
    ("CR LF", "a\r\nb\rc\n\nd"),
    ("what looks like a frame", "x\n\nevent: chat_completed\ndata: {}\n\nid: 9-9"),
    ("emoji, flags and joined letters", "🏳️‍🌈 क्षि e\u0301"),
    ("text from right to left", "\u202eabc\u202c שלום"),
    ("markup", "<script>alert(1)</script> & \"'"),
    ("quotation and backslash", '"\\" \\u0000 %00'),
]


@pytest.mark.parametrize("message", [case[1] for case in UNHARMED], ids=[case[0] for case in UNHARMED])
def test_odd_text_comes_through_to_the_model_and_back_unharmed(client, llm, message):
    llm.play(began(), Content(message), finished(1))
    frames = ask(client, message)
    assert llm.requests[0].messages[-1]["content"] == message
    assert text_of(frames) == message
    history = client.get(f"/api/conversations/{frames[0].data['conversationId']}").get_json()["messages"]
    assert [each["content"] for each in history] == [message, message]


def test_bad_input_does_not_disturb_a_stream_that_runs(client, llm):
    gate = Event()
    llm.play(began(), *words("one two"), gate, *words(" three four"), finished(4))
    running = post(client)
    for _, body, _ in BODIES:
        client.post(STREAM, data=json.dumps(body), content_type="application/json")
    for _, body, _, _ in RAW:
        client.post(STREAM, data=body, content_type="application/json")
    gate.set()
    frames = frames_of(running)
    assert text_of(frames) == "one two three four"
    assert [frame.id for frame in frames] == [(1, seq) for seq in range(1, len(frames) + 1)]


LAST_EVENT_IDS = ["garbage", "17", "1-", "-1-5", "1--5", "1-5-2", "1-1\0", "٣-٤", "1-" + "9" * 8_000, "0x1-1", "1 - 1", " ", "1-1, 1-2"]


@pytest.mark.parametrize("where", ["header", "query"])
@pytest.mark.parametrize("given", LAST_EVENT_IDS)
def test_a_last_event_id_of_garbage_is_refused(edge, given, where):
    location = edge.location
    if where == "header":
        if not given.isascii():
            given = given.encode().decode("latin-1")
        response = edge.get(location, environ_overrides={"HTTP_LAST_EVENT_ID": given})
        field = "Last-Event-ID"
    else:
        response = edge.get(location, query_string={"after": given})
        field = "after"
    assert error_of(response) == (400, "invalid_request", field)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3), max_leaves=8)
NAMES = st.sampled_from(["message", "assistantType", "userId", "context", "conversationId", "parentMessageId", "workflow", "render",
                         "provider", "model"])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(body=st.dictionaries(NAMES, JSON, max_size=5))
def test_no_json_whatever_makes_the_server_fail(shared, body):
    response = shared[0].test_client().post(STREAM, data=json.dumps(body), content_type="application/json")
    assert response.status_code in (200, 400, 404), response.get_data(as_text=True)
    response.close()


ODD_IDS = ["%00", "a%00b", "..", "%F0%9F%92%A9", "%FF", "x" * 3_000, "a'%20OR%201=1"]


def test_an_odd_id_in_a_path_is_simply_not_found(client):
    ask(client)
    for odd in ODD_IDS:
        for path in ("/api/chat/streams/{}", "/api/conversations/{}", "/api/conversations/{}/export"):
            assert error_of(client.get(path.format(odd)))[:2] == (404, "not_found"), path.format(odd)
        assert client.post(f"/api/chat/streams/{odd}/stop").status_code == 404, odd


@pytest.mark.parametrize("query", ["limit=nan", "limit=inf", "limit=x", "before=x", "before=nan", "before=-inf"])
def test_numbers_of_a_list_that_are_no_numbers_are_refused(edge, query):
    name = query.split("=")[0]
    assert error_of(edge.get(f"/api/conversations?{query}")) == (400, "invalid_request", name)


@pytest.mark.parametrize("name", ["a\0b", " ", "x" * 129, "\x7f"])
def test_an_odd_user_in_the_header_is_refused(edge, name):
    response = edge.application.test_client().get("/api/conversations", environ_overrides={"HTTP_X_USER_ID": name})
    assert error_of(response) == (400, "invalid_request", "X-User-Id")


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "a\0b", "schlüssel"])
def test_an_odd_idempotency_key_is_refused(edge, key):
    response = edge.post(STREAM, json={"message": "hi"}, environ_overrides={"HTTP_IDEMPOTENCY_KEY": key})
    assert error_of(response) == (400, "invalid_request", "Idempotency-Key")
    assert edge.asked() == 0
