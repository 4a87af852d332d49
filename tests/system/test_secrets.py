"""Secrets are planted wherever a server could pick one up; then everything it has said and written is searched for them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
import requests

from tests.support.fake_provider import CUT, DONE, END, FakeProvider, Received, chunk, event, events, framed, ok, whole
from tests.support.server import Server

KEY, CUSTOM, COOKIE, METRICS = "sk-PLANTED-key", "PLANTED-header", "PLANTED-cookie-key", "PLANTED-metrics-token"
TOKEN, PROMPT = "PLANTED-bearer", "PLANTED-prompt"
CSRF = re.compile(r'name="csrf" value="([^"]+)"')
ERROR = f"Incorrect key {KEY} <img src=x onerror=alert('PLANTED-error')> PLANTED-error"
TOLD = {"X-Debug": "PLANTED-response-header", "Set-Cookie": "session=PLANTED-response-header", "x-request-id": "PLANTED-response-header"}

FAULTS = {
    "refused": [whole(401, {"error": {"message": ERROR, "code": "invalid_api_key"}}, TOLD)],
    "forbidden": [whole(403, ERROR.encode(), TOLD, content_type="text/html")],
    "down": [whole(500, {"error": {"message": ERROR, "type": "PLANTED-error", "code": "PLANTED-error", "param": "PLANTED-error"}}, TOLD)],
    "page": [whole(200, f"<html><script>PLANTED-error</script>{ERROR}</html>".encode(), TOLD, content_type="text/html")],
    "json": [whole(200, {"object": "error", "message": ERROR}, TOLD)],
    "limited": [whole(429, {"error": {"message": ERROR}}, TOLD | {"Retry-After": "1"})],
    "broke": [whole(402, {"error": {"message": ERROR, "code": "insufficient_quota"}}, TOLD)],
    "moved": [whole(302, b"", TOLD | {"Location": f"http://127.0.0.1:1/?{KEY}"})],
    "unknown": [whole(404, {"error": {"message": f"The model PLANTED-error does not exist. {ERROR}", "code": "model_not_found"}}, TOLD)],
    "picky": [whole(400, {"error": {"message": f"Unsupported parameter: 'PLANTED-error' {ERROR}", "code": "unsupported_parameter", "param": "PLANTED-error"}}, TOLD)],
    "bad": [whole(400, {"error": {"message": ERROR, "code": "PLANTED-error"}}, TOLD)],
    "early": [ok(**TOLD), framed(event({"error": {"message": ERROR, "code": "PLANTED-error"}}))],
    "late": [ok(**TOLD), events(chunk("Half an "), chunk("answer")), 0.2, framed(event({"error": {"message": ERROR}}))],
    "filtered": [whole(400, {"error": {"message": ERROR, "code": "content_filter", "innererror": {"PLANTED-error": ERROR}}}, TOLD)],
    "garbled": [ok(**TOLD), *[framed(b"data: {PLANTED-error\n\n")] * 3],
    "raw": [f"HTTP/1.1 {ERROR}\r\n\r\n".encode(), CUT],
    "stray": [ok(**TOLD), events(chunk("Half")), framed(f"PLANTED-error: {ERROR}\n\n".encode()), CUT],
}


def play(request: Received) -> list:
    """One server that has every fault, each under its own address."""
    return FAULTS[request.path.split("/")[1]] if request.path.split("/")[1] in FAULTS else [ok(), events(chunk("fine")), DONE, END]


def providers_file(folder: Path, fake: FakeProvider) -> Path:
    """Each fault as a provider of its own, so that one's open circuit hides no other."""
    entries = [f'[[provider]]\nname = "{name}"\nbase_url = "http://127.0.0.1:{fake.port}/{name}/v1"\nkey = "{KEY}"\nmodel = "fake-1"\n'
               f'headers = {{X-Custom = "{CUSTOM}"}}\n' for name in FAULTS]
    path = folder / "providers.toml"
    path.write_text("\n".join(entries))
    return path


DESKS = {"with the desk behind": "1", "without": "0"}


@pytest.fixture(scope="module")
def searching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, gevent.Greenlet]]:
    """Both at the same time: much of it is waiting for faults."""
    searches = {name: gevent.spawn(search, tmp_path_factory.mktemp("secrets"), desk) for name, desk in DESKS.items()}
    yield searches
    gevent.killall(list(searches.values()))


@pytest.mark.parametrize("desk", DESKS)
def test_no_planted_secret_comes_out_anywhere(searching, desk):
    searching[desk].get(timeout=180)


def search(folder: Path, desk: str) -> None:
    with FakeProvider(default=play) as faulty:
        file = providers_file(folder, faulty)
        environ = {"LLM_PROVIDERS_FILE": str(file), "LLM_PRIORITY": ",".join(FAULTS), "LLM_OFFLINE": desk, "OPENAI_API_KEY": KEY,
                   "SECRET_KEY": COOKIE, "METRICS_TOKEN": METRICS, "PLANTED_VARIABLE": KEY, "RATE_LIMITS": "off"}
        with Server(folder, environ=environ) as server:
            assert_nothing_planted_comes_out(server, faulty, file)


def assert_nothing_planted_comes_out(server: Server, faulty: FakeProvider, file: Path) -> None:
    said: list[str] = []
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {TOKEN}"

    def hear(response: requests.Response) -> requests.Response:
        said.append(f"{response.status_code} {response.url}\n{response.headers}\n{response.text}")
        return response

    conversations = []
    for name in FAULTS:
        for accept in ("text/event-stream", "application/json"):
            body = {"message": f"What is beta? {PROMPT}", "provider": name, "render": "html"}
            response = hear(session.post(f"{server.url}/api/chat/stream", json=body, headers={"Accept": accept}, timeout=30))
            stream = response.headers["Location"]
            hear(session.get(server.url + stream, timeout=30))
            if accept == "application/json":
                conversations.append(response.json()["conversationId"])
        for stream in (True, False):
            body = {"model": name, "messages": [{"role": "user", "content": PROMPT}], "stream": stream}
            hear(session.post(f"{server.url}/v1/chat/completions", json=body, timeout=30))
    form = {"message": f"What is beta? {PROMPT}", "csrf": CSRF.search(session.get(server.url, timeout=10).text)[1]}
    assert hear(session.post(f"{server.url}/ask", data=form, timeout=30)).status_code == 200  # the page without JavaScript, as it streams
    for path in ("/", "/readyz", "/healthz", "/api/providers", "/v1/models", "/api/conversations", "/nothing", "/metrics"):
        hear(session.get(server.url + path, timeout=10))
    measured = hear(session.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {METRICS}"}, timeout=10))
    for conversation in conversations:
        for path in (f"/api/conversations/{conversation}", f"/api/conversations/{conversation}/export?format=md",
                     f"/api/conversations/{conversation}/export?format=json", f"/c/{conversation}"):
            assert hear(session.get(server.url + path, timeout=10)).status_code == 200, path

    asked = {request.path.split("/")[1] for request in faulty.requests}
    assert asked == set(FAULTS)  # every fault has been met, with the key and the header it was to be asked with
    assert all(request.headers["authorization"] == f"Bearer {KEY}" for request in faulty.requests)
    assert all(request.headers["x-custom"] == CUSTOM for request in faulty.requests)
    assert "tickertape_attempts_total" in measured.text

    everything = "\n".join(said).replace(PROMPT, "")  # what somebody asked is theirs to see again
    assert not planted_in(everything)
    assert not planted_in(server.log)
    for path in file.parent.rglob("*"):
        if path.is_file() and path != file:
            assert not planted_in(path.read_bytes().decode("utf-8", "replace").replace(PROMPT, "")), path


def planted_in(text: str) -> list[str]:
    """The places, each with what stands around it."""
    places, at = [], text.find("PLANTED")
    while at != -1:
        places.append(text[max(at - 60, 0):at + 60])
        at = text.find("PLANTED", at + 1)
    return places


def test_a_planted_secret_would_be_found():
    assert planted_in(json.dumps({"message": ERROR}))
