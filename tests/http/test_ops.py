"""For whoever runs it: readiness tells of providers, and the measurements are not for everybody."""

import pytest

from app import create_app
from services.llm.service import ProviderState
from services.settings import Settings
from tests.support.fixtures import services_of
from tests.support.llm import ScriptedLLM
from tests.support.tables import with_tables


@pytest.fixture
def client_with(tmp_path):
    """A client of an application with these settings, and providers in these states."""
    apps = []

    def make(*states: ProviderState, **settings: object):
        llm = ScriptedLLM()
        if states or settings.pop("no_states", False):
            llm.states = lambda: list(states)
        apps.append(create_app(Settings.load(with_tables(tmp_path), **settings), llm))
        return apps[-1].test_client()

    yield make
    for app in apps:
        services_of(app).close()


def state(name: str = "groq", state: str = "closed", **more: object) -> ProviderState:
    return ProviderState(name, ("llama-3",), state, **more)


@pytest.mark.parametrize(("states", "ready"), [
    ([state()], True),
    ([state(state="half_open", reason="cut")], True),
    ([state(state="open", reason="cut", retry_in=4.0)], True),  # tried all the same when nobody else is left
    ([state(state="open", reason="auth")], False),
    ([state(state="open", reason="auth"), state("openai")], True),
    ([state(state="open", reason="auth"), state("offline")], True),
])
def test_it_is_ready_while_a_provider_can_be_tried(client_with, states, ready):
    response = client_with(*states).get("/readyz")
    assert (response.status_code, response.json["checks"]["provider"]) == (200 if ready else 503, ready)
    assert [(one["name"], one["state"]) for one in response.json["providers"]] == [(one.name, one.state) for one in states]


def test_it_is_not_ready_without_any_provider(client_with):
    assert client_with(no_states=True).get("/readyz").status_code == 503


def test_the_menu_of_providers_says_what_is_open_and_for_how_long(client_with):
    client = client_with(state(), state("azure", "open", reason="server_error", retry_in=4.26), state("offline"))
    assert client.get("/api/providers").json == {"providers": [
        {"name": "groq", "models": ["llama-3"], "state": "closed", "embedded": False},
        {"name": "azure", "models": ["llama-3"], "state": "open", "embedded": False, "reason": "server_error", "retryIn": 4.3},
        {"name": "offline", "models": ["llama-3"], "state": "closed", "embedded": True},
    ], "line": {"state": "degraded", "text": "groq ready; azure does not answer now"}}


@pytest.mark.parametrize(("address", "headers", "status"), [
    ("127.0.0.1", {}, 200),
    ("::1", {"Host": "[::1]:8000"}, 200),
    ("192.0.2.7", {}, 403),
    ("127.0.0.1", {"X-Forwarded-For": "192.0.2.7"}, 403),
    ("127.0.0.1", {"Forwarded": "for=192.0.2.7"}, 403),
    ("127.0.0.1", {"Host": "tickertape.example"}, 403),
])
def test_without_a_token_only_this_machine_reads_the_measurements(client_with, address, headers, status):
    response = client_with().get("/metrics", environ_base={"REMOTE_ADDR": address}, headers=headers)
    assert response.status_code == status
    assert (b"tickertape_live_readers" in response.data) is (status == 200)


@pytest.mark.parametrize(("given", "status"), [("Bearer right", 200), ("Bearer wrong", 403), ("Bearer rïght", 403), ("", 403)])
def test_with_a_token_whoever_has_it_reads_them_from_anywhere(client_with, given, status):
    client = client_with(metrics_token="right")
    headers = {"Authorization": given} if given else {}
    assert client.get("/metrics", environ_base={"REMOTE_ADDR": "192.0.2.7"}, headers=headers).status_code == status
    if not given:
        assert client.get("/metrics").status_code == 403  # from here as well


def test_the_measurements_are_in_prometheus_format(client_with):
    assert client_with().get("/metrics").content_type == "text/plain; version=0.0.4; charset=utf-8"
