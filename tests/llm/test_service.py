"""What the service does beyond the table: order, keys, choices, usage, recovery, the wire over a real socket."""

import gc
import logging
import threading
import time
from dataclasses import replace

import pytest

from services.cancellation import Cancellation
from services.errors import InvalidRequest
from services.llm.config import load
from services.llm.deltas import Attempt, LLMRequest, Usage
from services.llm.observer import Observer
from services.llm.prices import Price, PriceTable
from services.llm.routes import Board
from services.llm.service import LLMService
from tests.llm.house import FAST, HELLO, House
from tests.llm.test_wire import QUIRKS, deltas
from tests.llm.test_wire import text as text_of
from tests.support.fake_provider import CUT, DONE, END, RESET, STALL, answer, chunk, events, framed, head, ok, stop, tokens, usage, whole

WHOLE = " ".join(f"fallback{number}" for number in range(60))
SHOWN = {
    "cut at 40 of 60": (ok(), events(*tokens(40)), CUT),
    "stall after 20": (ok(), events(*tokens(20)), STALL),
    "error event after 10": (ok(), events(*tokens(10), {"error": {"message": "x", "code": 500}}), END),
    "reset after 30": (ok(), events(*tokens(30)), 0.06, RESET),
}


@pytest.mark.parametrize("name", SHOWN)
def test_the_client_ends_with_the_fallbacks_whole_answer(house, name):
    house.first.play(*SHOWN[name])
    house.second.play(*answer(WHOLE))
    seen = house.ask()
    assert seen.text == WHOLE
    assert [(switch.mode, switch.discard_from, switch.attempt) for switch in seen.switched] == [("restart", 0, 2)]
    assert seen.finished.provider == "second" and [usage.wasted for usage in seen.finished.usage] == [True, False]


def test_a_primary_that_is_down_for_a_minute(house):
    """20 requests, one every 4 s; answers 503 for the first 60 s of them."""
    calls: list[tuple[float, int]] = []
    began = house.time.now
    for number in range(30):
        down = house.time.now - began < 60
        house.first.forget()
        house.first.play(*([whole(503, b"")] if down else answer(HELLO)))
        house.first.play(*([whole(503, b"")] if down else answer(HELLO)))
        seen = house.ask()
        assert seen.text == HELLO, number
        calls.append((house.time.now - began, len(house.first.requests)))
        if seen.finished.provider == "first" and not down:
            break
        house.time.now += 4
    while_down = [asked for at, asked in calls if at < 60]
    assert len(while_down) == 15 and sum(while_down) <= 2 + 1 + 4  # the first two turns, then one probe each time the delay has passed
    assert max(while_down[2:]) <= 1
    assert calls[-1][0] - 60 <= 30 - 4


def test_half_open_lets_one_of_many_through(house):
    for _ in range(4):
        house.first.play(whole(503, b""))
    house.ask(), house.ask()
    house.first.forget()
    house.time.now += 5
    house.first.play(ok(), 0.2, *answer(HELLO)[1:])
    seen = [None] * 6
    threads = [threading.Thread(target=lambda at: seen.__setitem__(at, house.ask()), args=(at,)) for at in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.text for one in seen] == [HELLO] * 6
    assert sorted(one.finished.provider for one in seen) == ["first"] + ["second"] * 5
    assert house.ask().finished.provider == "first"


def test_who_is_not_asked_any_more_at_the_deadline_can_be_tried_by_the_next(house):
    """The first keeps the turn waiting to its deadline; the second, half-open, would have been next and is never asked."""
    board = Board()
    hurried = replace(house.settings, clocks=replace(FAST, turn=0.3, headers=5.0, first_content=5.0))
    patient, house.service = (LLMService(settings, board=board, clock=house.time) for settings in (house.settings, hurried))
    board.provider("second").told(house.time.now, "server_error")
    house.first.play(STALL)
    seen = house.ask()
    assert seen.error and [attempt.provider for attempt in seen.trail.attempts] == ["first"]
    house.service.close()
    house.service = patient
    assert house.ask(provider="second").outcomes == [("second", "answered")]


def test_an_open_circuit_is_skipped_in_under_a_millisecond(house):
    house.first.play(whole(401, b""))
    house.ask()
    best = min(house.ask().trail.attempts[0].started_ms for _ in range(5))
    assert best <= 1 and len(house.first.requests) == 1


def test_all_open_the_one_that_recovers_soonest_is_tried(house):
    house.first.play(whole(429, b"", {"Retry-After": "100"}))
    house.second.play(whole(429, b"", {"Retry-After": "50"}))
    assert house.ask().error.code == "rate_limited"
    assert house.ask().outcomes == [("second", "answered")]


def test_all_open_and_one_at_a_time_while_the_embedded_provider_can_answer(build):
    house = build(("first",), offline=True)
    house.first.play(whole(429, b"", {"Retry-After": "100"}))
    house.ask()
    house.first.play(ok(), STALL)
    request = LLMRequest(messages=[{"role": "user", "content": "x"}])
    stuck = house.service.stream(request, Cancellation())
    thread = threading.Thread(target=lambda: [*stuck])
    thread.start()
    time.sleep(0.1)
    assert house.ask().outcomes == [("offline", "answered")]
    thread.join()


def test_forty_keys_take_turns_and_a_dead_one_is_left_out(build):
    house = build(("first",), keys=40)
    for _ in range(80):
        house.ask()
    used = [request.headers["authorization"] for request in house.first.requests]
    assert used[:40] == used[40:] == [f"Bearer key-first-{number}" for number in range(40)]
    house.first.forget()
    house.first.play(whole(401, {"error": {"code": "invalid_api_key"}}))
    seen = house.ask()
    assert seen.text == HELLO and seen.outcomes == [("first", "auth"), ("first", "answered")] and seen.switched == []
    for _ in range(40):
        house.ask()
    used = [request.headers["authorization"] for request in house.first.requests]
    assert used.count("Bearer key-first-0") == 1 and house.service.states()[0].state == "closed"


def test_thirty_nine_dead_keys_and_one_that_lives(build):
    house = build(("first",), keys=40)
    for _ in range(39):
        house.first.play(whole(401, b""))
    assert house.ask().text == HELLO
    assert {request.headers["authorization"] for request in house.first.requests} == {f"Bearer key-first-{number}" for number in range(40)}


def test_a_choice_goes_first_and_the_others_stand_behind_it(house):
    assert house.ask(provider="second").finished.provider == "second"
    house.second.play(whole(404, b""))
    assert house.ask(provider="second").outcomes == [("second", "model_not_found"), ("first", "answered")]


def test_a_model_alone_names_its_provider(house):
    assert house.ask(model="second-model").finished.provider == "second"


@pytest.mark.parametrize(("fields", "wrong"), [({"provider": "third"}, "provider"), ({"model": "none"}, "model"), ({"provider": "first", "model": "second-model"}, "model"), ({"provider": "offline"}, "provider")])
def test_a_choice_that_is_not_offered_is_refused(house, fields, wrong):
    with pytest.raises(InvalidRequest) as caught:
        house.ask(**fields)
    assert caught.value.field == wrong and house.first.requests == []


def test_the_embedded_provider_may_be_chosen(build):
    house = build(offline=True)
    assert house.ask(provider="offline").outcomes == [("offline", "answered")]
    assert "providers_failed" not in house.embedded.requests[0].extra


def test_no_provider_at_all(build):
    house = build(())
    assert house.ask().error.status == 503
    assert build((), offline=True).ask().text == "No model answered."


def test_a_cut_before_commit_with_nobody_else_is_tried_once_more(build):
    house = build(("first",))
    house.first.play(ok(), events(chunk("", role="assistant")), CUT)
    assert house.ask().outcomes == [("first", "cut"), ("first", "answered")]


class Ears(Observer):
    def __init__(self) -> None:
        self.heard: list[tuple] = []

    def attempt_started(self, provider, model, purpose):
        self.heard.append(("started", provider, model, purpose))

    def first_content(self, provider, model, ttft):
        self.heard.append(("first", provider, model, ttft < 1))

    def switched(self, source, target, failure):
        self.heard.append(("switched", source, target, failure.kind))

    def attempt_ended(self, attempt: Attempt, usage: Usage | None):
        self.heard.append(("ended", attempt.provider, attempt.outcome, usage and usage.wasted))

    def breaker_changed(self, provider, state):
        self.heard.append(("breaker", provider, state))


def test_the_observer_hears_everything(house):
    ears = Ears()
    house.service = LLMService(house.settings, None, ears, clock=house.time)
    house.first.play(ok(), events(*tokens(3)), CUT)
    house.ask(purpose="agent")
    assert ears.heard == [
        ("started", "first", "first-model", "agent"), ("first", "first", "fake-1", True), ("ended", "first", "cut", True), ("switched", "first", "second", "cut"),
        ("started", "second", "second-model", "agent"), ("first", "second", "fake-1", True), ("ended", "second", "answered", False),
    ]  # fmt: skip
    ears.heard.clear()
    house.first.play(whole(401, b""))
    house.ask()
    assert ("breaker", "first", "open") in ears.heard


def test_usage_and_cost_of_every_attempt(house):
    prices = PriceTable({"fake-1": Price(1.0, 10.0)})
    house.build(prices=prices)
    house.first.play(ok(), events(*tokens(8), usage(100, 50)), CUT)
    house.second.play(ok(), events(chunk("x" * 400), stop()), DONE, END)
    first, second = house.ask("y" * 400).finished.usage
    assert (first.prompt_tokens, first.completion_tokens, first.estimated, first.wasted) == (100, 50, False, True)
    assert first.cost == pytest.approx(0.0006)
    assert (second.prompt_tokens, second.completion_tokens, second.estimated, second.wasted) == (104, 100, True, False)
    assert second.cost == pytest.approx(0.001104)


def test_an_estimate_counts_the_messages_that_were_sent(house):
    house.build(provider_first={"window": 2000})
    house.first.play(ok(), events(chunk("x" * 400), stop()), DONE, END)  # without a count of its own
    seen = house.ask(messages=[{"role": "user", "content": "y" * 396}] * 60)
    usage, sent = seen.finished.usage[0], house.first.requests[0].json()["messages"]
    assert seen.finished.left_out == 60 - len(sent) > 0
    assert (usage.estimated, usage.prompt_tokens) == (True, 103 * len(sent))


def test_times_are_told(house):
    house.first.play(ok(), 0.1, events(chunk("a")), 0.1, events(chunk("b"), stop()), DONE, END)
    attempt = house.ask().finished.attempts[0]
    assert 90 <= attempt.ttft_ms < 300 and 190 <= attempt.duration_ms < 800


def test_reasoning_and_tools_keep_their_channels(house):
    house.first.play(ok(), events(chunk(reasoning_content="hm"), chunk("a"), chunk(tool_calls=[{"index": 0, "id": "c", "function": {"name": "bars", "arguments": "{}"}}]), stop("tool_calls")), DONE, END)
    seen = house.ask()
    assert (seen.reasoning, seen.text, seen.tools[0].name, seen.finished.reason) == ("hm", "a", "bars", "tool_calls")


def test_thoughts_without_an_answer_are_no_answer(house):
    house.first.play(ok(), events(chunk("<think>hm"), stop()), DONE, END)
    seen = house.ask()
    assert seen.text == HELLO and seen.reasoning == "" and seen.switched[0].mode == "restart"


def test_a_reasoning_model_may_take_longer_to_begin(house):
    house.build(provider_first={"models": ("o3-mini",)})
    house.first.play(ok(), 0.8, *answer(HELLO)[1:])
    assert house.ask().finished.provider == "first"


@pytest.mark.parametrize("name", QUIRKS)
def test_every_quirk_of_the_wire_comes_through_a_socket(house, name):
    stream, expected = QUIRKS[name]
    ended = any(type(event).__name__ == "Ended" for event in expected)
    for script in framings(stream):
        house.build()
        house.first.heal()
        house.first.play(*script)
        house.first.play(*script)
        seen = house.ask()
        if ended and text_of(expected):
            assert seen.text == text_of(expected) and seen.finished.provider == "first"
        elif seen.finished is not None:
            assert seen.text == HELLO or seen.tools
        else:
            assert seen.error is not None


def framings(stream: bytes) -> list[tuple]:
    """The same body in chunks, with its length, and until the connection closes."""
    half, kind = len(stream) // 2, {"Content-Type": "text/event-stream"}
    return [
        (ok(), framed(stream[:half]) if half else b"", framed(stream[half:]) if stream else b"", END),
        (head(200, kind | {"Content-Length": str(len(stream))}), stream[:half], stream[half:]),
        (head(200, kind | {"Connection": "close"}), stream[:half], stream[half:], CUT),
    ]


def test_connections_are_used_again(house):
    for _ in range(5):
        house.ask()
    assert house.first.connections == 1
    house.first.play(whole(503, b"x" * 100))
    house.ask()
    assert house.first.connections == 1, "an error's body that was read whole leaves the connection usable"


def test_a_connection_that_died_while_idle_is_no_failure(house):
    house.first.play(*answer(HELLO), CUT)
    house.ask()
    time.sleep(0.05)
    assert house.ask().outcomes == [("first", "answered")] and house.first.connections == 2


def test_a_server_that_compresses_against_our_wish(house):
    import gzip

    body = gzip.compress(deltas(*tokens(3), stop()) + b"data: [DONE]\n\n")
    house.first.play(whole(200, body, {"Content-Encoding": "gzip"}, "text/event-stream"))
    assert house.ask().text == "word0 word1 word2 "
    assert house.first.requests[0].headers["accept-encoding"] == "identity"


def test_a_redirect_is_not_followed(house):
    for status in (301, 307, 308):
        house.first.play(head(status, {"Location": house.second.url + "/steal", "Content-Length": "0"}))
        house.ask()
    assert [request.path for request in house.second.requests] == ["/v1/chat/completions"] * 3


def test_a_body_of_an_error_or_a_redirect_that_never_ends(house):
    for status in (500, 302):
        house.first.play(head(status, {"Content-Type": "text/plain", "Location": "/x"}), *([b"x" * 65536] * 200), STALL)
        house.first.play(head(status, {"Content-Type": "text/plain", "Location": "/x"}), *([b"x" * 65536] * 200), STALL)
        began = time.monotonic()
        assert house.ask().text == HELLO
        assert time.monotonic() - began < 4


def test_an_answer_that_never_ends_is_ended(house, monkeypatch):
    monkeypatch.setattr("services.llm.reading._MOST_BYTES", 100_000)
    house.first.play(ok(), *([events(*tokens(100))] * 1000), STALL)
    seen = house.ask()
    assert seen.finished.reason == "length" and len(seen.text) < 200_000
    assert left(house)


def test_a_fifty_megabyte_line_is_dropped(house):
    house.build(clocks=replace(FAST, first_content=5.0, headers=5.0, between=5.0))
    house.first.play(ok(), events(chunk("a")), *([framed(b"x" * 65536)] * 800), framed(b"\n\n"), events(chunk("b"), stop()), DONE, END)
    assert house.ask().text == "ab"


def left(house: House) -> bool:
    """Whether the first provider saw its client go, within a second."""
    deadline = time.monotonic() + 1
    while house.first.requests[0].closed_at is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return house.first.requests[0].closed_at is not None


def test_the_consumer_who_leaves_closes_the_connection(house):
    house.first.play(ok(), events(*tokens(3)), STALL)
    stream = house.service.stream(LLMRequest(messages=[{"role": "user", "content": "x"}]), Cancellation())
    next(stream), next(stream)
    stream.close()
    assert left(house)
    assert house.service.states()[0].state == "closed"


def test_what_a_service_is_given_does_not_change_the_request(house):
    messages = ({"role": "user", "content": "lone \ud83d half"},)
    assert house.ask(messages=messages).text == HELLO
    assert "lone" in house.first.requests[0].json()["messages"][0]["content"]


def test_a_conversation_that_cannot_fit_is_shortened_before_it_is_sent(house):
    house.build(provider_first={"window": 2000})
    talk = [{"role": "system", "content": "Be brief."}]
    for number in range(60):
        talk += [{"role": "user", "content": f"question {number} " + "x" * 100}, {"role": "assistant", "content": "y" * 100}]
    seen = house.ask(messages=[*talk, {"role": "user", "content": "last"}])
    sent = house.first.requests[0].json()["messages"]
    assert sent[0] == talk[0] and sent[1]["role"] == "user" and sent[-1]["content"] == "last"
    assert seen.finished.left_out == len(talk) + 1 - len(sent) > 0 and seen.switched == []
    assert house.ask(messages=talk[:5]).finished.left_out == 0
    assert house.first.requests[-1].json()["messages"] == talk[:5]


def test_an_error_in_the_middle_that_blames_the_request_is_still_a_broken_answer(house):
    house.first.play(ok(), events(*tokens(5), {"error": {"code": "unsupported_parameter", "param": "seed", "message": "x"}}), END)
    seen = house.ask()
    assert seen.text == HELLO and seen.switched[0].mode == "restart" and seen.switched[0].reason == "server_error"


def test_a_filter_that_steps_in_as_an_error_keeps_the_text(house):
    house.first.play(ok(), events(*tokens(3), {"error": {"code": "content_filter", "message": "x"}}), END)
    seen = house.ask()
    assert seen.text == "word0 word1 word2 " and seen.finished.reason == "content_filter" and seen.switched == []


def test_a_refused_key_that_is_the_only_one_is_told_as_it_is(build):
    house = build(("first",))
    house.first.play(whole(401, b""))
    for _ in range(2):
        error = house.ask().error
        assert (error.code, error.status, error.retryable) == ("auth", 503, False)
    assert len(house.first.requests) == 1
    assert build(()).ask().error.code == "not_configured"


def test_chunks_are_read_through_urllib3_where_its_private_parts_differ(house, monkeypatch):
    def missing(self):
        raise AttributeError("_fp")

    monkeypatch.setattr("services.llm.body.Body._prepare", missing)
    assert house.ask().text == HELLO
    house.first.play(ok(), events(*tokens(3)), CUT)
    assert house.ask().outcomes == [("first", "cut"), ("second", "answered")]
    house.first.play(ok(), events(*tokens(3)), STALL)
    assert house.ask().outcomes == [("first", "stall"), ("second", "answered")]
    house.first.play(ok(), STALL)
    assert house.ask().outcomes == [("first", "timeout"), ("second", "answered")]


def test_a_model_name_that_is_none_is_not_shown(house):
    name = "<script>alert(1)</script>"
    house.first.play(ok(), events(chunk("a", model=name), stop(model=name)), DONE, END)
    assert house.ask().finished.model == "first-model"


def test_azure_by_its_own_header_and_path(house):
    environ = {"AZURE_OPENAI_API_KEY": "az", "AZURE_OPENAI_ENDPOINT": house.first.url.removesuffix("/v1"), "AZURE_OPENAI_DEPLOYMENT": "desk", "AZURE_OPENAI_API_VERSION": "2024-10-21"}
    house.service = LLMService(load(environ))
    assert house.ask().finished.provider == "azure"
    request = house.first.requests[0]
    assert request.path == "/openai/deployments/desk/chat/completions?api-version=2024-10-21"
    assert request.headers["api-key"] == "az" and "authorization" not in request.headers


def test_a_local_server_without_a_key_is_sent_none(house):
    house.service = LLMService(load({"OPENAI_BASE_URL": house.first.url, "OPENAI_MODEL": "llama3.2"}))
    assert house.ask().text == HELLO
    request = house.first.requests[0]
    assert "authorization" not in request.headers and request.json()["stream_options"] == {"include_usage": True}


def test_a_name_that_resolves_to_a_metadata_address_is_refused_when_it_is_used(house, monkeypatch):
    import socket

    real = socket.getaddrinfo
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: found if host == "innocent.example" else real(host, *rest, **more))
    house.build(provider_first={"url": "http://innocent.example/v1/chat/completions"})
    assert house.ask().outcomes == [("first", "refused_address"), ("second", "answered")]
    monkeypatch.setattr(socket, "getaddrinfo", real)


SECRET = "sk-planted-secret"


def test_no_secret_reaches_users_or_logs(build, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    house = build(keys=1)
    house.build(provider_first={"keys": (SECRET,), "headers": {"X-Extra": SECRET}}, provider_second={"keys": (SECRET,)})
    spoiled = [
        (whole(400, {"error": {"message": SECRET, "code": SECRET, "type": SECRET, "param": SECRET}}),),
        (whole(401, {"error": {"message": f"Incorrect API key provided: {SECRET}"}}),),
        (whole(503, SECRET.encode()), whole(503, SECRET.encode())),
        (ok(), events(chunk("a"), {"error": {"message": SECRET, "code": SECRET}}), END),
        (b"HTTP/1.1 200 " + SECRET.encode() + b"\r\n" + SECRET.encode() + b"\r\n: x\r\n\r\n", CUT),
        (SECRET.encode(), CUT),
        (head(302, {"Location": f"http://{SECRET}.example/", "Content-Length": "0"}),),
        (ok(**{"X-Secret": SECRET}), framed(b"data: {" + SECRET.encode() + b"\n\n") * 3, END),
    ]
    for script in spoiled:
        house.build()
        for fake in house.fakes.values():
            fake.heal()
            for _ in range(3):
                fake.play(*script)
        seen = house.ask()
        shown = [repr(seen.switched), repr(seen.trail), repr(seen.finished), repr(house.service.states()), repr(seen.error), repr(seen.error and seen.error.payload())]
        assert SECRET not in "".join(shown)
    written = capfd.readouterr()
    assert SECRET not in caplog.text + written.out + written.err


def test_threads_and_memory_do_not_grow_with_turns(house):
    for _ in range(20):
        house.ask()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(100):
        house.ask()
    house.first.forget()
    gc.collect()
    assert len(gc.get_objects()) - before < 2500


def test_a_short_real_outage(build):
    """With real clocks: down for 1.2 s, asked every 0.1 s, back soon after."""
    house = build()
    house.service = LLMService(house.settings, jitter=lambda low, high: 0.0, clock=lambda: time.monotonic() * 10)
    began = time.monotonic()
    house.first.default = lambda request: [whole(503, b"")] if time.monotonic() - began < 1.2 else answer(HELLO)
    providers = []
    while time.monotonic() - began < 4:
        seen = house.ask()
        assert seen.text == HELLO
        providers.append(seen.finished.provider)
        if seen.finished.provider == "first":
            break
        time.sleep(0.1)
    assert providers[-1] == "first" and time.monotonic() - began < 1.2 + 3
    assert len([request for request in house.first.requests if request.at - began < 1.2]) <= 6
