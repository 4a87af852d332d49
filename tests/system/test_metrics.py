"""The measurements of a real server with several workers: whichever is asked tells of all."""

import http.client
import json
import os
import signal
import time
from collections.abc import Iterator
from threading import Event

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.support.fake_provider import DONE, END, STALL, FakeProvider, chunk, events, ok, stop, usage, whole
from tests.support.fixtures import openai_at
from tests.support.server import Server
from tests.support.sse_client import Client

WAIT_S = 8.0


@pytest.fixture(scope="module")
def steady_provider() -> Iterator[FakeProvider]:
    with FakeProvider() as fake:
        yield fake


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory, steady_provider: FakeProvider) -> Iterator[Server]:
    """One server with two workers, for what can be counted from where others have left off."""
    with Server(tmp_path_factory.mktemp("steady"), workers=2, environ=openai_at(steady_provider)) as server:
        wait_for(lambda: total(server, "circuits", provider="openai", state="closed") == 2)  # both have begun
        yield server


def samples(server, name: str, **labels: str) -> list[float]:
    text = requests.get(f"{server.url}/metrics", timeout=5).text
    return [sample.value for family in text_string_to_metric_families(text) for sample in family.samples
            if sample.name == f"tickertape_{name}" and labels.items() <= sample.labels.items()]


def total(server, name: str, **labels: str) -> float:
    return sum(samples(server, name, **labels))


def wait_for(condition) -> None:
    until = time.monotonic() + WAIT_S
    while not condition() and time.monotonic() < until:
        time.sleep(0.1)
    assert condition()


def hold(server) -> http.client.HTTPResponse:
    """A completion that has begun and does not end."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    body = {"model": "auto", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    return connection.getresponse()


def is_open(response: http.client.HTTPResponse) -> bool:
    response.fp.raw._sock.settimeout(0.1)
    try:
        while data := response.fp.raw._sock.recv(65536):
            if b"[DONE]" in data:
                return False
        return False
    except TimeoutError:
        return True
    except OSError:
        return False


def counted(server) -> tuple[float, ...]:
    return (total(server, "attempts_total", outcome="answered"),
            total(server, "tokens_total", kind="completion"),
            total(server, "first_token_seconds_count", provider="openai", model="fake-1"),
            total(server, "http_requests_total", endpoint="chat.start", status="200"))


def test_two_workers_counts_are_added_up_whoever_is_asked(steady):
    client = Client(steady.url)
    before = counted(steady)
    for _ in range(12):
        with client.ask() as connection:
            assert list(connection.frames())[-1].event == "chat_completed"
    for _ in range(6):  # answered by one worker or the other
        more = tuple(now - then for now, then in zip(counted(steady), before, strict=True))
        assert more == (12, 12 * 4, 12, 12)
        assert total(steady, "circuits", provider="openai", state="closed") == 2


def test_live_streams_and_readers_are_those_of_all_workers(steady, steady_provider, monkeypatch):
    client, released = Client(steady.url), Event()

    def until_released(request):
        yield from (ok(), events(chunk("one")))
        while not released.is_set():
            yield 0.05
        yield from (events(stop(), usage()), DONE, END)

    monkeypatch.setattr(steady_provider, "default", until_released)
    connections = [client.ask() for _ in range(5)]
    wait_for(lambda: total(steady, "live_streams", door="chat") == 5)
    wait_for(lambda: total(steady, "live_readers") == 5)
    assert samples(steady, "log_lag_seconds")[0] < 1.0
    released.set()
    for connection in connections:
        assert list(connection.frames())[-1].event == "chat_completed"
    wait_for(lambda: total(steady, "live_streams") == 0)
    wait_for(lambda: total(steady, "live_readers") == 0)


def test_a_killed_workers_streams_are_gone_and_its_counts_stay(servers, provider):
    server = servers(workers=2, **openai_at(provider))
    for _ in range(8):
        assert requests.post(f"{server.url}/v1/chat/completions", timeout=10,
                             json={"model": "auto", "messages": [{"role": "user", "content": "Hi"}]}).status_code == 200
    held = []
    for _ in range(6):
        provider.play(ok(), events(chunk("one")), STALL)
        held.append(hold(server))
    wait_for(lambda: total(server, "live_streams", door="completions") == 6)
    os.kill(server.worker_pids()[0], signal.SIGKILL)
    wait_for(lambda: len(server.worker_pids()) == 2)
    wait_for(lambda: total(server, "live_streams", door="completions") == sum(map(is_open, held)))
    assert total(server, "attempts_total", outcome="answered") == 8


def test_a_second_server_on_the_same_folder_counts_for_itself(steady):
    before = total(steady, "attempts_total")
    with Client(steady.url).ask() as connection:
        list(connection.frames())
    with Server(steady.folder, environ=steady.environ) as second:
        assert total(steady, "attempts_total") == before + 1
        assert total(second, "attempts_total") == 0


def test_a_restart_begins_at_zero_and_a_reload_does_not(servers, provider):
    server = servers(**openai_at(provider))
    with Client(server.url).ask() as connection:
        list(connection.frames())
    before = server.worker_pids()
    server.reload()
    wait_for(lambda: server.worker_pids() and not set(before) & set(server.worker_pids()))
    assert total(server, "attempts_total") == 1
    server.terminate()
    server.start()
    assert total(server, "attempts_total") == 0


@pytest.mark.parametrize("status", [401, 402])
def test_an_open_circuit_is_seen_in_the_measurements_and_in_readyz(servers, provider, status):
    server = servers(**openai_at(provider), LLM_OFFLINE="0")
    assert requests.get(f"{server.url}/readyz", timeout=5).status_code == 200
    provider.play(whole(status, {"error": {"message": "no"}}))
    with Client(server.url).ask() as connection:
        assert list(connection.frames())[-1].event == "error"
    assert total(server, "circuits", provider="openai", state="open") == 1
    ready = requests.get(f"{server.url}/readyz", timeout=5)
    # A refused key stays refused until the settings change; an exhausted quota may be filled up.
    assert ready.status_code == (503 if status == 401 else 200)
    assert ready.json()["providers"][0]["reason"] == ("auth" if status == 401 else "quota")


def test_a_switch_is_counted_by_its_class(servers, provider):
    server = servers(**openai_at(provider))
    provider.play(whole(401, {"error": {"message": "no"}}))
    with Client(server.url).ask() as connection:
        list(connection.frames())
    assert samples(server, "switches_total", source="openai", target="offline", reason="auth") == [1]
    assert samples(server, "attempts_total", provider="offline", model="desk", outcome="answered") == [1]
