"""`flask providers check`: what works, how fast, and in plain words what does not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.llm.check import PROBLEMS, check
from services.llm.config import Clocks, load
from tests.support.fake_provider import CUT, STALL, FakeProvider, Received, whole
from tests.support.fixtures import openai_at
from tests.support.server import ROOT

MODELS = whole(200, {"object": "list", "data": [{"id": "fake-1", "object": "model"}, {"id": "fake-2", "object": "model"}]})
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "H"}, "finish_reason": "length"}
ONE_TOKEN = whole(200, {"id": "x", "object": "chat.completion", "created": 1, "model": "fake-1", "choices": [CHOICE]})
QUICK = Clocks(connect=1, first_content=1)


@pytest.fixture
def fake():
    with FakeProvider(default=lambda request: [MODELS if request.method == "GET" else ONE_TOKEN]) as fake:
        yield fake


def checked(environ: dict[str, str]):
    settings = load(environ)
    return list(check(settings.providers[0], QUICK))


def completions(fake: FakeProvider) -> list[Received]:
    return [request for request in fake.requests if request.method == "POST"]


def test_a_provider_that_works_lists_its_models_and_says_how_fast_it_was(fake):
    found, = checked(openai_at(fake))
    assert found.works
    assert found.models == ("fake-1", "fake-2")
    assert 0 <= found.latency_ms < 1000
    asked = completions(fake)[0]
    assert asked.json()["max_completion_tokens"] == 1
    assert asked.headers["authorization"] == "Bearer sk-test"


def test_each_key_is_checked(fake):
    fake.play(MODELS)
    fake.play(ONE_TOKEN)
    fake.play(whole(401, {"error": {"message": "Incorrect API key provided: sk-b"}}))
    first, second = checked(openai_at(fake) | {"OPENAI_API_KEY": "sk-a,sk-b"})
    assert (first.works, second.works) == (True, False)
    assert (second.key, second.keys) == (2, 2)
    assert second.problem == "the key is refused (HTTP 401)"


@pytest.mark.parametrize(("script", "problem"), [
    ((whole(401, {"error": {"message": "sk-test is no key"}}),), "the key is refused (HTTP 401)"),
    ((whole(429, {"error": {"code": "insufficient_quota"}}),), "the account's quota or credit is exhausted (HTTP 429)"),
    ((whole(429, {"error": {"code": "rate_limit_exceeded"}}),), "its rate limit is reached; the key is good (HTTP 429)"),
    ((whole(503, {"error": {"message": "down"}}),), "it has a fault of its own or is overloaded (HTTP 503)"),
    ((whole(404, {"error": {"code": "model_not_found"}}),), "it does not have this model or deployment (HTTP 404)"),
    ((whole(200, b"<html>sk-test</html>", content_type="text/html"),), PROBLEMS["bad_response"]),
    ((whole(200, {"hello": "there"}),), PROBLEMS["bad_response"]),
    ((whole(302, b"", {"Location": "http://127.0.0.1:1/"}),), f"{PROBLEMS['bad_response']} (HTTP 302)"),
    ((CUT,), PROBLEMS["connect"]),
    ((STALL,), PROBLEMS["timeout"]),
])
def test_what_is_wrong_is_said_in_plain_words_without_the_providers_own(fake, script, problem):
    fake.play(MODELS)
    fake.play(*script)
    found, = checked(openai_at(fake))
    assert found.problem == problem
    assert "sk-test" not in json.dumps(found.json())


def test_it_asks_once_and_goes_nowhere_else(fake):
    fake.play(MODELS)
    fake.play(whole(500, {}))
    checked(openai_at(fake))
    assert len(completions(fake)) == 1


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_without_a_list_of_models_may_work_all_the_same(fake, status):
    fake.play(whole(status, {}))
    found, = checked(openai_at(fake))
    assert (found.works, found.models) == (True, None)


def test_nobody_there_is_said_so():
    found, = checked({"OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "LLM_PRIORITY": "openai"})
    assert found.problem == PROBLEMS["connect"]


def test_a_name_that_resolves_to_a_metadata_address_is_not_asked(fake, monkeypatch):
    monkeypatch.setattr("services.llm.check.socket.getaddrinfo", lambda *_: [(2, 1, 6, "", ("169.254.169.254", 80))])
    found, = checked(openai_at(fake))
    assert found.problem == PROBLEMS["refused_address"]
    assert fake.requests == []


def test_azure_gets_its_own_header_its_version_and_no_bearer_token(fake):
    environ = {"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": f"http://127.0.0.1:{fake.port}", "AZURE_OPENAI_DEPLOYMENT": "mine",
               "AZURE_OPENAI_API_VERSION": "2024-10-21", "LLM_PRIORITY": "azure"}
    assert checked(environ)[0].works
    asked = completions(fake)[0]
    assert asked.path == "/openai/deployments/mine/chat/completions?api-version=2024-10-21"
    assert asked.headers["api-key"] == "k"
    assert "authorization" not in asked.headers


def test_openais_organization_is_not_told_to_others(fake, monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    checked({"GROQ_API_KEY": "g", "GROQ_BASE_URL": fake.url, "LLM_PRIORITY": "groq"})
    assert all("openai-organization" not in request.headers for request in fake.requests)


# ---- the command

def command(tmp_path: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess:
    clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run([sys.executable, "-m", "flask", "providers", "check", *arguments], cwd=ROOT, capture_output=True, text=True,
                          env=clean | {"INSTANCE_DIR": str(tmp_path)} | environ, timeout=60)


def test_the_command_says_what_works_in_a_folder_where_nothing_has_run_yet(fake, tmp_path):
    done = command(tmp_path, **openai_at(fake))
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert lines[0].startswith("ok    openai fake-1: ") and lines[0].endswith(" ms; lists 2 models")
    assert lines[-1].startswith("ok    offline")


def test_the_command_fails_when_a_provider_does(fake, tmp_path):
    fake.play(whole(401, {"error": {"message": "no"}}))
    done = command(tmp_path, **openai_at(fake))
    assert done.returncode == 1
    assert done.stdout.startswith("FAILS openai fake-1: the key is refused (HTTP 401)")
    assert "sk-test" not in done.stdout + done.stderr


def test_the_command_without_any_key_says_which_are_missing(tmp_path):
    done = command(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "groq: not set up; it has no key" in done.stdout


def test_as_json_each_outcome_is_a_line(fake, tmp_path):
    done = command(tmp_path, "--json", **openai_at(fake))
    assert [json.loads(line)["works"] for line in done.stdout.splitlines()] == [True]
