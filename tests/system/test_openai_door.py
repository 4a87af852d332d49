"""The OpenAI-compatible door on a real server, through OpenAI's own client."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import openai
import pytest
import requests

from tests.support.fake_provider import CUT, DONE, END, STALL, FakeProvider, answer, chunk, events, ok, stop, tokens, usage, whole
from tests.support.fixtures import openai_at
from tests.support.server import ROOT, Server

HI = [{"role": "user", "content": "Hi"}]
FALLBACK = "The whole answer of the other."


@pytest.fixture(scope="module")
def healthy_provider() -> Iterator[FakeProvider]:
    with FakeProvider() as fake:
        yield fake


@pytest.fixture(scope="module")
def healthy(healthy_provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for everything that breaks nothing."""
    environ = openai_at(healthy_provider) | {"OPENAI_MODEL": "fake-1,fake-2", "STREAM_HEARTBEAT_S": "0.3", "RATE_LIMITS": "off"}
    with Server(tmp_path_factory.mktemp("door"), environ=environ) as server:
        yield server


@pytest.fixture
def fake(healthy_provider: FakeProvider) -> FakeProvider:
    healthy_provider.forget()
    return healthy_provider


@pytest.fixture
def client(healthy: Server) -> openai.OpenAI:
    return client_of(healthy)


@dataclass
class Pair:
    """A server with two providers, no desk behind them, and its client."""

    server: Server
    first: FakeProvider
    second: FakeProvider

    @property
    def client(self) -> openai.OpenAI:
        return client_of(self.server)


@contextmanager
def running_pair(folder: Path) -> Iterator[Pair]:
    with FakeProvider() as first, FakeProvider(default=lambda request: answer(FALLBACK, model="fake-2")) as second:
        environ = {"GROQ_API_KEY": "g", "GROQ_BASE_URL": first.url, "GROQ_MODEL": "fake-1", "OPENAI_API_KEY": "o",
                   "OPENAI_BASE_URL": second.url, "OPENAI_MODEL": "fake-2", "LLM_PRIORITY": "groq,openai", "LLM_OFFLINE": "0"}
        with Server(folder, environ=environ) as server:
            yield Pair(server, first, second)


@pytest.fixture(scope="module")
def steady_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running_pair(tmp_path_factory.mktemp("pair")) as pair:
        yield pair


@pytest.fixture
def pair(steady_pair: Pair) -> Iterator[Pair]:
    """The module's pair, for tests after which both providers are still asked: a failure is outweighed by good answers."""
    yield steady_pair
    for fake in (steady_pair.first, steady_pair.second):
        fake.forget()
    for _ in range(2):
        assert ask(steady_pair.client).model == "groq/fake-1"


@pytest.fixture
def fresh_pair(tmp_path: Path) -> Iterator[Pair]:
    """A pair for one test alone, which opens a circuit for longer than anybody would wait."""
    with running_pair(tmp_path) as pair:
        yield pair


def client_of(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0, timeout=20)


def ask(client: openai.OpenAI, **more: object):
    return client.chat.completions.create(**{"model": "auto", "messages": HI} | more)


def streamed(client: openai.OpenAI, **more: object) -> tuple[str, openai.APIError | None]:
    """The text of a streamed answer, and the error that ended it."""
    text = ""
    try:
        for piece in ask(client, stream=True, **more):
            text += piece.choices[0].delta.content or "" if piece.choices else ""
    except openai.APIError as error:
        return text, error
    return text, None


def raw(server: Server, body: dict, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"} | headers)
    return connection.getresponse()


# ---- answers

def test_an_answer_that_is_not_streamed(client, fake):
    reply = ask(client)
    assert reply.choices[0].message.content == "Hello from the fake."
    assert (reply.object, reply.model, reply.choices[0].finish_reason) == ("chat.completion", "openai/fake-1", "stop")
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (10, 4, 14)
    assert reply.id.startswith("chatcmpl-")
    assert abs(reply.created - time.time()) < 60


def test_a_streamed_answer_is_chunks_as_openai_sends_them(healthy, fake):
    response = raw(healthy, {"model": "auto", "messages": HI, "stream": True})
    assert response.getheader("Content-Type") == "text/event-stream; charset=utf-8"
    lines = [line for line in response.read().decode().split("\n\n") if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(line[6:]) for line in lines[:-1]]
    assert {one["object"] for one in chunks} == {"chat.completion.chunk"}
    assert len({(one["id"], one["created"], one["model"]) for one in chunks}) == 1
    assert chunks[0]["choices"] == [{"index": 0, "delta": {"role": "assistant", "content": "", "refusal": None}, "logprobs": None, "finish_reason": None}]
    assert chunks[-1]["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in chunks) == "Hello from the fake."
    assert not any("usage" in one for one in chunks)


def test_usage_comes_last_and_only_when_asked_for(client, fake):
    pieces = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert pieces[-1].choices == []
    assert pieces[-1].usage.total_tokens == 14
    assert [piece.usage for piece in pieces[:-1]] == [None] * (len(pieces) - 1)


def test_tokens_arrive_as_the_provider_sends_them(healthy, fake):
    fake.play(ok(), events(chunk("first")), 1.5, events(chunk(" second"), stop()), DONE, END)
    before = time.monotonic()
    response = raw(healthy, {"model": "auto", "messages": HI, "stream": True})
    seen = b""
    while b"first" not in seen:
        seen += response.read1(65536)
    assert time.monotonic() - before < 1.0
    assert b"second" in response.read()


def test_silence_is_filled_with_comments_before_the_first_token_and_after(healthy, fake):
    fake.play(1.0, ok(), 1.0, events(chunk("at last"), stop()), DONE, END)
    text = raw(healthy, {"model": "auto", "messages": HI, "stream": True}).read().decode()
    before, _, after = text.partition("data: ")
    assert before.count(": waiting\n\n") >= 3
    assert "at last" in after


def test_what_was_asked_for_reaches_the_provider(client, fake):
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}
    ask(client, model="openai/fake-2", temperature=0.3, max_tokens=7, stop=["\n"], top_p=0.5, seed=1, tools=[tool], tool_choice="auto", metadata={"a": "b"})
    sent = fake.requests[0].json()
    assert sent["messages"] == HI
    assert {name: sent[name] for name in ("model", "temperature", "max_completion_tokens", "stop", "top_p", "seed", "tools", "tool_choice")} == {
        "model": "fake-2", "temperature": 0.3, "max_completion_tokens": 7, "stop": ["\n"], "top_p": 0.5, "seed": 1, "tools": [tool], "tool_choice": "auto"}
    assert "metadata" not in sent


def calling() -> list:
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": ""}}
    rest = [{"index": 0, "function": {"arguments": part}} for part in ('{"symbol": ', '"KO"}')]
    return [ok(), events(*(chunk(tool_calls=[call]) for call in (first, *rest)), stop("tool_calls")), DONE, END]


def test_tool_calls_come_whole(client, fake):
    fake.play(*calling())
    choice = ask(client).choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    call = choice.message.tool_calls[0]
    assert (call.id, call.type, call.function.name, call.function.arguments) == ("call_1", "function", "look_up", '{"symbol": "KO"}')


def test_tool_calls_come_in_pieces(client, fake):
    fake.play(*calling())
    deltas = [piece.choices[0].delta.tool_calls[0] for piece in ask(client, stream=True) if piece.choices[0].delta.tool_calls]
    assert (deltas[0].id, deltas[0].type, deltas[0].function.name) == ("call_1", "function", "look_up")
    assert "".join(delta.function.arguments for delta in deltas) == '{"symbol": "KO"}'
    assert {delta.index for delta in deltas} == {0}


@pytest.mark.parametrize("stream", [True, False])
def test_thoughts_are_kept_apart(client, fake, stream):
    fake.play(ok(), events(chunk(reasoning_content="hm, "), chunk(reasoning_content="well"), chunk("42"), stop()), DONE, END)
    reply = ask(client, stream=stream)
    parts = [piece.choices[0].delta for piece in reply] if stream else [reply.choices[0].message]
    assert "".join(getattr(part, "reasoning_content", None) or "" for part in parts) == "hm, well"
    assert "".join(part.content or "" for part in parts) == "42"


def test_a_length_limit_is_told(client, fake):
    fake.play(ok(), events(chunk("half an"), stop("length"), usage()), DONE, END)
    assert ask(client).choices[0].finish_reason == "length"


# ---- models and errors

def test_the_list_of_models_names_what_can_be_asked_for(client):
    names = [model.id for model in client.models.list()]
    assert names == ["auto", "openai", "openai/fake-1", "openai/fake-2", "offline", "offline/desk"]
    one = client.models.retrieve("openai/fake-2")
    assert (one.object, one.owned_by) == ("model", "openai")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("openai/fake-3")


@pytest.mark.parametrize(("model", "asked"), [("openai", "fake-1"), ("openai/fake-2", "fake-2"), ("fake-2", "fake-2")])
def test_a_model_is_chosen_by_provider_by_both_or_by_its_own_name(client, fake, model, asked):
    ask(client, model=model)
    assert fake.requests[0].json()["model"] == asked


def test_the_desk_can_be_asked_by_name(client, fake):
    reply = ask(client, model="offline/desk", messages=[{"role": "user", "content": "What is beta?"}])
    assert reply.model == "offline/desk"
    assert "beta" in reply.choices[0].message.content.lower()
    assert fake.requests == []


@pytest.mark.parametrize(("change", "kind", "param", "code"), [
    ({"model": "gpt-99"}, openai.NotFoundError, "model", "not_found"),
    ({"model": ""}, openai.BadRequestError, "model", "invalid_request"),
    ({"messages": []}, openai.BadRequestError, "messages", "invalid_request"),
    ({"messages": [{"role": "robot", "content": "x"}]}, openai.BadRequestError, "messages[0].role", "invalid_request"),
    ({"messages": [{"role": "user"}]}, openai.BadRequestError, "messages[0].content", "invalid_request"),
    ({"temperature": 3}, openai.BadRequestError, "temperature", "invalid_request"),
    ({"max_tokens": 0}, openai.BadRequestError, "max_tokens", "invalid_request"),
    ({"n": 2}, openai.BadRequestError, "n", "invalid_request"),
    ({"stream_options": {"include_usage": True}}, openai.BadRequestError, "stream_options", "invalid_request"),
    ({"extra_body": {"top_k": 5}}, openai.BadRequestError, "top_k", "invalid_request"),
])
def test_a_request_that_cannot_be_used_says_what_is_wrong(client, fake, change, kind, param, code):
    with pytest.raises(kind) as caught:
        ask(client, **change)
    assert (caught.value.param, caught.value.code, caught.value.type) == (param, code, "invalid_request_error")
    assert fake.requests == []


@pytest.mark.parametrize(("method", "path", "body", "kind", "status"), [
    ("POST", "/v1/chat/completions", b"{", "application/json", 400),
    ("POST", "/v1/chat/completions", b"[]", "application/json", 400),
    ("POST", "/v1/chat/completions", b"{}", "text/plain", 415),
    ("POST", "/v1/chat/completions", b'{"model": "auto", "messages": ' + b"[" * 900 + b"]" * 900 + b"}", "application/json", 400),
    ("POST", "/v1/chat/completions", b'{"model": "auto", "messages": [{"role": "user", "content": "\\ud800"}]}', "application/json", 400),
    ("POST", "/v1/chat/completions", b" " * 1_100_000, "application/json", 413),
    ("GET", "/v1/chat/completions", None, "", 404),
    ("POST", "/v1/embeddings", b"{}", "application/json", 404),
])
def test_every_error_has_openais_shape(healthy, method, path, body, kind, status):
    response = requests.request(method, healthy.url + path, data=body, headers={"Content-Type": kind}, timeout=10)
    assert response.status_code == status
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_any_bearer_is_accepted_while_there_are_no_accounts(healthy, fake):
    response = raw(healthy, {"model": "auto", "messages": HI}, Authorization="Bearer whatever")
    assert response.status == 200


# ---- failover

def test_a_provider_that_fails_before_its_first_token_is_not_noticed(fresh_pair):
    fresh_pair.first.play(whole(401, {"error": {"code": "invalid_api_key"}}))
    assert streamed(fresh_pair.client) == (FALLBACK, None)
    assert ask(fresh_pair.client).model == "openai/fake-2"


def cut_in_the_middle() -> list:
    return [ok(), events(*tokens(20)), CUT]


def test_an_answer_that_broke_off_in_the_middle_is_not_passed_off_as_whole(pair):
    pair.first.play(ok(), events(*tokens(20)), 0.3, CUT)
    text, error = streamed(pair.client)
    assert text.startswith("word0 word1 ")
    assert FALLBACK not in text
    assert error is not None and error.code == "cut"
    assert "groq broke off" in error.message


def test_the_stream_of_a_broken_answer_ends_without_done(pair):
    pair.first.play(ok(), events(*tokens(20)), 0.3, CUT)
    with pair.client.chat.completions.with_streaming_response.create(model="auto", messages=HI, stream=True) as response:
        last = [line for line in response.iter_lines() if line][-1]
    assert json.loads(last.removeprefix("data: "))["error"]["type"] == "server_error"


def test_thoughts_may_be_followed_by_anothers_answer(pair):
    pair.first.play(ok(), events(*(chunk(reasoning_content=f"{number} ") for number in range(5))), 0.3, CUT)
    assert streamed(pair.client) == (FALLBACK, None)


def test_a_buffered_stream_holds_the_fallbacks_answer_and_nothing_else(pair):
    pair.first.play(*cut_in_the_middle())
    assert streamed(pair.client, extra_headers={"X-Tickertape-Failover": "buffer"}) == (FALLBACK, None)


def test_an_answer_that_is_not_streamed_is_the_fallbacks(pair):
    pair.first.play(*cut_in_the_middle())
    reply = ask(pair.client)
    assert (reply.choices[0].message.content, reply.model) == (FALLBACK, "openai/fake-2")
    assert reply.usage.completion_tokens == len(FALLBACK.split())  # what was discarded is not billed to the client


@pytest.mark.parametrize("stream", [True, False])
def test_when_nobody_can_answer_the_status_says_so(fresh_pair, stream):
    for fake in (fresh_pair.first, fresh_pair.second):
        fake.play(whole(401, {"error": {"code": "invalid_api_key", "message": "sk-secret is wrong"}}))
    with pytest.raises(openai.InternalServerError) as caught:
        ask(fresh_pair.client, stream=stream)
    assert caught.value.status_code == 503
    assert (caught.value.type, caught.value.code) == ("server_error", "auth")
    assert "sk-secret" not in str(caught.value)


def test_a_rate_limit_of_all_is_passed_on_with_its_time(fresh_pair):
    for fake in (fresh_pair.first, fresh_pair.second):
        fake.play(whole(429, {"error": {"code": "rate_limit_exceeded"}}, {"Retry-After": "7"}))
    with pytest.raises(openai.RateLimitError) as caught:
        ask(fresh_pair.client)
    assert caught.value.response.headers["Retry-After"] == "7"
    assert caught.value.code == "rate_limit_exceeded"


def test_too_long_a_conversation_is_the_requests_fault(pair):
    for fake in (pair.first, pair.second):
        fake.play(whole(400, {"error": {"code": "context_length_exceeded", "message": "maximum context length is 300 tokens"}}))
    with pytest.raises(openai.BadRequestError) as caught:
        ask(pair.client)
    assert caught.value.code == "context_length_exceeded"


def test_the_desk_does_not_stand_in_where_json_is_wanted(server):
    with pytest.raises(openai.InternalServerError, match="plain text"):
        ask(client_of(server), response_format={"type": "json_object"})


# ---- who may, and how often

def test_the_limits_of_turns_hold_here_too(servers, provider):
    client = client_of(servers(**openai_at(provider), RATE_LIMITS="on", TURNS_PER_MINUTE="2"))
    for stream in (True, False):
        assert ask(client, stream=stream)
    with pytest.raises(openai.RateLimitError) as caught:
        ask(client)
    assert int(caught.value.response.headers["Retry-After"]) > 0
    assert caught.value.code == "rate_limit_exceeded"
    assert len(provider.requests) == 2


def test_what_was_used_counts_for_the_day(servers, provider):
    client = client_of(servers(**openai_at(provider), RATE_LIMITS="on", TOKENS_PER_DAY="28", RESERVE_TOKENS="1"))
    for stream in (True, False):  # 14 tokens each
        assert streamed(client)[0] if stream else ask(client)
    with pytest.raises(openai.RateLimitError, match="28 tokens of today"):
        ask(client)


def test_with_accounts_an_api_token_is_the_key(servers, provider, tmp_path):
    server = servers(**openai_at(provider), AUTH="password")
    with pytest.raises(openai.AuthenticationError) as caught:
        ask(client_of(server))
    assert caught.value.code == "invalid_api_key"
    assert provider.requests == []
    environ = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {"INSTANCE_DIR": str(tmp_path), "AUTH": "password"}
    for command in (["users", "add", "ann", "--password", "correct horse battery"], ["tokens", "add", "ann"]):
        done = subprocess.run([sys.executable, "-m", "flask", *command], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    token = max(done.stdout.split(), key=len)
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=token, max_retries=0, timeout=20)
    assert ask(client).choices[0].message.content == "Hello from the fake."


# ---- leaving

@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("script", [(ok(), STALL), (ok(), events(chunk("one")), STALL)], ids=["before the first token", "after it"])
def test_a_client_that_leaves_ends_the_providers_work(healthy, fake, stream, script):
    fake.play(*script)
    connection = http.client.HTTPConnection("127.0.0.1", healthy.port, timeout=20)
    connection.request("POST", "/v1/chat/completions", json.dumps({"model": "auto", "messages": HI, "stream": stream}), {"Content-Type": "application/json"})
    until = time.monotonic() + 5
    while not fake.requests and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.1)
    left = time.monotonic()
    connection.close()
    while fake.requests[0].closed_at is None and time.monotonic() < left + 5:
        time.sleep(0.02)
    assert fake.requests[0].closed_at is not None
    assert fake.requests[0].closed_at - left < 1.0


def test_a_server_that_stops_ends_its_completions_with_a_word(servers, provider):
    server = servers(**openai_at(provider), DRAIN_S="1")
    provider.play(ok(), events(chunk("half")), STALL)
    pieces = ask(client_of(server), stream=True)
    assert next(pieces).choices[0].delta.role == "assistant"
    assert next(pieces).choices[0].delta.content == "half"
    server._process.terminate()
    with pytest.raises(openai.APIError, match="restarting"):
        list(pieces)


def test_the_instance_folder_keeps_nothing_of_a_completion(healthy, fake):
    ask(client_of(healthy), messages=[{"role": "user", "content": "remember-me-not"}])
    for path in Path(healthy.folder).rglob("*"):
        if path.is_file():
            assert b"remember-me-not" not in path.read_bytes(), path
