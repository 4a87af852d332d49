"""Behind a real nginx with deploy/nginx.conf, and behind two in a row: streams arrive token by token."""

import gzip
import http.client
import json
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator

import gevent
import pytest

from tests.support.fake_provider import DONE, END, FakeProvider, Received, Step, answer, chunk, events, ok, stop
from tests.support.fixtures import openai_at
from tests.support.nginx import Nginx
from tests.support.server import Server

TOKENS, PAUSE = 10, 0.2
BODY, QUICK_BODY = json.dumps({"message": "slowly, please"}), json.dumps({"message": "Hi"})


@pytest.fixture(scope="module")
def provider() -> Iterator[FakeProvider]:
    with FakeProvider(slowly) as fake:
        yield fake


@pytest.fixture(scope="module")
def app_server(tmp_path_factory: pytest.TempPathFactory, provider: FakeProvider) -> Iterator[Server]:
    environ = openai_at(provider) | {"TRUSTED_PROXIES": "127.0.0.1", "LOG_FORMAT": "json"}
    with Server(tmp_path_factory.mktemp("app"), environ=environ) as server:
        yield server


@pytest.fixture(scope="module")
def fronts(app_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Nginx]]:
    """One nginx, and `two`: another one before it."""
    folder = tmp_path_factory.mktemp("nginx")
    one = Nginx(folder / "one", app_server.port)
    two = Nginx(folder / "two", one.port, tls_upstream=True)
    yield {"one": one, "two": two}
    two.stop()
    one.stop()


@pytest.fixture
def front(fronts: dict[str, Nginx]) -> Nginx:
    return fronts["one"]


@pytest.fixture(scope="module")
def slow(fronts: dict[str, Nginx]) -> dict[tuple[str, str], gevent.Greenlet]:
    """Everybody who reads a slow answer, at the same time."""
    return {(way, rows): gevent.spawn(read, front) for way, read in WAYS.items() for rows, front in fronts.items()}


one_and_two = pytest.mark.parametrize("rows", ["one", "two"])


def request(front: Nginx, method: str, path: str, body: str | None = None, **headers: str) -> http.client.HTTPResponse:
    context = ssl.create_default_context(cafile=str(front.folder / "fullchain.pem"))
    context.check_hostname = False
    connection = http.client.HTTPSConnection("127.0.0.1", front.port, timeout=20, context=context)
    given = {"Content-Type": "application/json"} if body else {}
    connection.request(method, path, body, given | {name.replace("_", "-"): value for name, value in headers.items()})
    return connection.getresponse()


def slowly(request: Received) -> Iterator[Step]:
    """A page is streamed by blocks: what it asks is answered in paragraphs."""
    question = request.json()["messages"][-1]["content"]
    if "slowly" not in question:
        yield from answer("At once.")
        return
    end = "\n\n" if "paragraphs" in question else " "
    yield ok()
    for number in range(TOKENS):
        yield events(chunk(f"t{number}{end}"))
        yield PAUSE
    yield events(stop()) + DONE + END


def arrivals(read: Callable[[], bytes]) -> list[float]:
    """When each token came."""
    seen, times = b"", []
    while data := read():
        seen += data
        times += [time.monotonic()] * (seen.count(b"\nevent: token\n") - len(times))
    assert b"\nevent: chat_completed\n" in seen
    return times


def assert_one_by_one(times: list[float]) -> None:
    gaps = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    assert len(times) == TOKENS and times[-1] - times[0] > PAUSE * (TOKENS - 1) * 0.8
    assert max(gaps) < PAUSE * 2.5, gaps


def read_stream(front: Nginx) -> tuple[http.client.HTTPResponse, list[float]]:
    response = request(front, "POST", "/api/chat/stream", BODY, Accept_Encoding="gzip")
    return response, arrivals(lambda: response.read1(65536))


def read_over_http_2(front: Nginx) -> tuple[bytes, list[float]]:
    """What curl wrote last, which is the version, and when each token came."""
    with subprocess.Popen(["curl", "-sN", "--http2", "--cacert", str(front.folder / "fullchain.pem"), "-k", "-w", "%{http_version}",
                           "-H", "Content-Type: application/json", "-d", BODY, f"{front.url}/api/chat/stream"],
                          stdout=subprocess.PIPE, bufsize=0) as curl:
        last = [b""]

        def read() -> bytes:
            data = curl.stdout.read(65536)
            last[0] = data or last[0]
            return data
        times = arrivals(read)
    return last[0], times


def read_page(front: Nginx) -> tuple[int, float, float | None, float]:
    """The status of the answer as a page, and when it started, held the first token and ended."""
    page = request(front, "GET", "/")
    cookie = page.headers["Set-Cookie"].split(";")[0]
    token = page.read().decode().split('name="csrf" value="', 1)[1].split('"', 1)[0]
    response = request(front, "POST", "/ask", f"csrf={token}&message=slowly,+in+paragraphs", Cookie=cookie,
                       **{"Content_Type": "application/x-www-form-urlencoded"})
    started, first = time.monotonic(), None
    while data := response.read1(65536):
        if first is None and b"t0" in data:
            first = time.monotonic()
    return response.status, started, first, time.monotonic()


def read_in_two_parts(front: Nginx) -> bytes:
    """Some tokens, and after leaving the rest."""
    first = request(front, "POST", "/api/chat/stream", BODY, X_User_Id="ann")
    seen = b""
    while b"t3 " not in seen:
        seen += first.read1(65536)
    first.close()
    last = seen.rsplit(b"id: ", 1)[1].split(b"\n")[0].decode()
    return seen + request(front, "GET", first.headers["Location"], X_User_Id="ann", Last_Event_ID=last).read()


WAYS = {"stream": read_stream, "http 2": read_over_http_2, "page": read_page, "two parts": read_in_two_parts}


@one_and_two
def test_a_stream_arrives_token_by_token(slow: dict, rows: str) -> None:
    response, times = slow["stream", rows].get()
    assert response.status == 200 and response.headers["Content-Type"].startswith("text/event-stream")
    assert "Content-Encoding" not in response.headers
    assert_one_by_one(times)


@one_and_two
def test_a_stream_arrives_token_by_token_over_http_2(slow: dict, rows: str) -> None:
    last, times = slow["http 2", rows].get()
    assert_one_by_one(times)
    assert last.endswith(b"2")


@one_and_two
def test_a_page_without_a_script_is_streamed_too(slow: dict, rows: str) -> None:
    status, started, first, ended = slow["page", rows].get()
    assert status == 200
    assert first is not None and ended - first > PAUSE * TOKENS / 2 and first - started < PAUSE * TOKENS / 2


@one_and_two
def test_a_resumed_stream_goes_on_behind_nginx(slow: dict, rows: str) -> None:
    whole = slow["two parts", rows].get()
    assert whole.count(b"\nevent: token\n") == TOKENS and b"chat_completed" in whole


@one_and_two
def test_it_knows_the_client_and_that_the_connection_is_secure(fronts: dict[str, Nginx], app_server: Server, rows: str) -> None:
    response = request(fronts[rows], "POST", "/api/chat/stream", QUICK_BODY, X_Forwarded_For="6.6.6.6", X_Forwarded_Proto="http")
    assert response.headers["Set-Cookie"].startswith("__Host-tickertape=") and "Secure" in response.headers["Set-Cookie"]
    assert response.headers["Strict-Transport-Security"]
    response.read()
    logged = [json.loads(line) for line in app_server.log.splitlines() if line.startswith("{")]
    asked, = (line for line in logged if line.get("logger") == "tickertape.request" and "stream" in line["message"]
              and line["request"] == response.headers["X-Request-ID"])
    assert asked["turn"] and asked["user"]


def test_our_own_origin_is_ours_and_another_is_not(front: Nginx) -> None:
    own = request(front, "POST", "/api/chat/stream", QUICK_BODY, Origin=front.url)
    assert own.status == 200
    own.close()
    assert request(front, "POST", "/api/chat/stream", QUICK_BODY, Origin="https://evil.example").status == 403


def test_pages_and_scripts_are_compressed_and_plain_http_is_sent_to_tls(front: Nginx) -> None:
    for path in ("/", "/static/js/client.js", "/static/css/base.css"):
        response = request(front, "GET", path, Accept_Encoding="gzip")
        assert response.headers["Content-Encoding"] == "gzip", path
        assert gzip.decompress(response.read())
    plain = http.client.HTTPConnection("127.0.0.1", front.plain, timeout=5)
    plain.request("GET", "/c/x?m=1", headers={"Host": "ask.example.org"})
    answer = plain.getresponse()
    assert answer.status == 301 and answer.headers["Location"] == "https://ask.example.org/c/x?m=1"


def test_what_is_for_the_inside_is_not_served_outside(front: Nginx) -> None:
    assert request(front, "GET", "/metrics").status == 404


def test_the_unit_is_well_formed_and_confined() -> None:
    from tests.support.server import ROOT
    unit = ROOT / "deploy" / "tickertape.service"
    result = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(unit)], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-500:] + result.stderr
