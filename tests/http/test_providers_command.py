"""`flask providers check`: what works, how fast, and in plain words what does not."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import Result

from app import create_app
from services.llm.failures import POLICIES
from services.providers import OTHERWISE, PROBLEMS
from services.settings import Settings
from tests.support.fake_provider import FakeProvider, answer, whole
from tests.support.fixtures import openai_at, services_of
from tests.support.server import ROOT
from tests.support.tables import with_tables

MODELS = whole(200, {"object": "list", "data": [{"id": "fake-1", "object": "model"}]})


@pytest.fixture
def fake():
    with FakeProvider(default=lambda request: [MODELS] if request.method == "GET" else answer("ready")) as fake:
        yield fake


@pytest.fixture
def command(tmp_path):
    """Runs it in this process, where starting takes no two seconds."""
    apps = []

    def run(*arguments: str, **environ: str) -> Result:
        apps.append(create_app(Settings.load(with_tables(tmp_path) | environ)))
        return apps[-1].test_cli_runner().invoke(args=["providers", "check", *arguments])

    yield run
    for app in apps:
        services_of(app).close()


def test_a_provider_that_works_is_said_to_with_its_times_by_the_command_itself(tmp_path, fake):
    """In a process of its own, and in a folder where nothing has run yet."""
    clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run([sys.executable, "-m", "flask", "providers", "check"], cwd=ROOT, capture_output=True, text=True,
                          env=clean | {"INSTANCE_DIR": str(tmp_path)} | openai_at(fake), timeout=60)
    assert done.returncode == 0, done.stderr
    listed, spoke, desk = done.stdout.splitlines()
    assert listed.startswith("ok    openai models: listed in ")
    assert spoke.startswith("ok    openai fake-1: first token after ") and spoke.endswith(" ms")
    assert desk.startswith("ok    offline")


@pytest.mark.parametrize(("fault", "said"), [
    (whole(401, {"error": {"message": "sk-test is no key"}}), "the key is refused"),
    (whole(429, {"error": {"code": "insufficient_quota"}}), "the account's quota or credit is exhausted"),
    (whole(200, b"<html>sk-test</html>", content_type="text/html"), "what answers is no OpenAI-compatible server"),
    (whole(418, {"error": {"message": "sk-test"}}), OTHERWISE),
])
def test_what_is_wrong_is_said_in_plain_words_and_the_command_fails(command, fake, caplog, fault, said):
    fake.play(MODELS)
    fake.play(fault)
    done = command(**openai_at(fake))
    assert done.exit_code == 1
    assert f"FAILS openai fake-1: {said}" in done.stdout
    assert "sk-test" not in done.output + caplog.text


def test_a_second_key_is_told_from_the_first(command, fake):
    for script in ([MODELS], answer("ready"), [MODELS], [whole(401, {"error": {"message": "no"}})]):
        fake.play(*script)
    done = command(**openai_at(fake) | {"OPENAI_API_KEY": "sk-a,sk-b"})
    assert "FAILS openai fake-1, key 2: the key is refused" in done.stdout
    assert done.stdout.count("FAILS") == 1


def test_a_server_that_lists_no_models_may_work_all_the_same(command, fake):
    fake.play(whole(404, {"error": {"message": "no"}}))
    done = command(**openai_at(fake))
    assert done.exit_code == 0
    assert "-     openai models: " in done.stdout and "ok    openai fake-1" in done.stdout


def test_without_any_key_it_says_which_are_missing(command):
    done = command()
    assert done.exit_code == 0, done.output
    assert "-     groq: not set up; no key is set" in done.stdout


def test_without_any_key_and_without_the_desk_it_fails(command):
    assert command(LLM_OFFLINE="0").exit_code == 1


def test_as_json_each_outcome_is_a_line(command, fake):
    found = [json.loads(text) for text in command("--json", **openai_at(fake)).stdout.splitlines()]
    assert [(one["provider"], one["what"], one["works"]) for one in found] == [("openai", "models", True), ("openai", "fake-1", True)]


def test_every_problem_that_has_words_of_its_own_exists():
    assert set(PROBLEMS) - {"not_configured"} <= set(POLICIES)
