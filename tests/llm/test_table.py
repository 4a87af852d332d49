"""Every row of the table of failures, played at the socket."""

from dataclasses import replace

import pytest

from services.llm.deltas import Finished
from tests.llm.house import FAST, HELLO, House
from tests.support.fake_provider import CUT, DONE, END, RESET, STALL, chunk, event, events, framed, head, ok, stop, tokens, whole

SHOWN = 12  # tokens before a failure that comes late


def refused(house: House, kind: str, asked: int, status: int, body: object = b"", headers: dict[str, str] | None = None) -> None:
    """The first provider answers so; it is asked `asked` times, and the second answers with nobody the wiser."""
    for _ in range(asked):
        house.first.play(whole(status, body, headers))
    seen = house.ask()
    assert len(house.first.requests) == asked
    assert seen.text == HELLO and seen.finished.provider == "second"
    assert [(switch.source, switch.target, switch.reason, switch.mode, switch.discard_from) for switch in seen.switched] == [("first", "second", kind, "before_first_token", 0)]
    assert seen.outcomes == [("first", kind)] * asked + [("second", "answered")]


def state(house: House, name: str = "first") -> str:
    return next(state.state for state in house.service.states() if state.name == name)


def test_nobody_listens(house):
    house.first.close()
    seen = house.ask()
    assert seen.outcomes == [("first", "connect"), ("first", "connect"), ("second", "answered")]


def test_a_name_that_does_not_resolve(house):
    house.build(provider_first={"url": "http://no-such-host.invalid/v1/chat/completions"})
    seen = house.ask()
    assert seen.outcomes == [("first", "connect"), ("first", "connect"), ("second", "answered")]


def test_a_server_that_speaks_no_tls(house):
    house.build(provider_first={"url": house.first.url.replace("http:", "https:") + "/chat/completions"})
    house.first.play(b"HTTP/1.1 400 Bad Request\r\n\r\n", CUT)
    assert house.ask().outcomes[-1] == ("second", "answered")


@pytest.mark.parametrize("end", [RESET, CUT])
def test_the_connection_ends_before_the_headers(house, end):
    house.first.play(end)
    house.first.play(end)
    seen = house.ask()
    assert seen.outcomes == [("first", "connect"), ("first", "connect"), ("second", "answered")]


def test_the_second_try_is_fast_and_nobody_hears_of_it(house):
    house.first.play(RESET)
    seen = house.ask()
    assert seen.outcomes == [("first", "connect"), ("first", "answered")] and seen.switched == []
    assert seen.trail.attempts[1].started_ms < 400


@pytest.mark.parametrize("garbage", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x16\x03\x01\x00\x00" * 100, b"HTTP/1.1 banana\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n"])
def test_what_is_no_http(house, garbage):
    house.first.play(garbage, CUT)
    house.first.play(garbage, CUT)
    assert house.ask().outcomes[-1] == ("second", "answered")


def test_no_headers(house):
    house.first.play(STALL)
    seen = house.ask()
    assert seen.outcomes == [("first", "timeout"), ("second", "answered")]
    assert house.first.requests[0].closed_at is not None


def test_no_first_content_however_many_comments_come(house):
    house.first.play(ok(), *([events(chunk("", role="assistant")) + framed(b": ping\n\n") + events(chunk("")), 0.05] * 40))
    seen = house.ask()
    assert seen.outcomes == [("first", "timeout"), ("second", "answered")]
    assert 450 <= seen.trail.attempts[0].duration_ms < 1500


@pytest.mark.parametrize("status", [500, 502, 503, 504, 529])
def test_the_server_fails_twice(house, status):
    refused(house, "server_error", 2, status, {"error": {"message": "x"}})


def test_the_server_fails_once(house):
    house.first.play(whole(503, b""))
    seen = house.ask()
    assert seen.outcomes == [("first", "server_error"), ("first", "answered")] and seen.switched == []


@pytest.mark.parametrize(("status", "kind"), [(408, "request_timeout"), (409, "conflict")])
def test_408_and_409(house, status, kind):
    refused(house, kind, 2, status)


def test_429_with_a_time_opens_the_circuit_until_then(house):
    refused(house, "rate_limited", 1, 429, {"error": {"code": "rate_limit_exceeded"}}, {"Retry-After": "7"})
    assert house.ask().outcomes == [("second", "answered")]
    house.time.now += 7
    assert house.ask().outcomes == [("first", "answered")]


def test_429_with_a_short_time_is_waited_for_when_nobody_else_is_there(build):
    house = build(("first",), offline=True)
    house.first.play(whole(429, b"", {"Retry-After": "0.3"}))
    seen = house.ask()
    assert seen.outcomes == [("first", "rate_limited"), ("first", "answered")] and seen.switched == []
    assert seen.trail.attempts[1].started_ms >= 300
    house.is_well()


def test_429_with_a_long_time_is_not_waited_for(build):
    house = build(("first",), offline=True)
    house.first.play(whole(429, b"", {"Retry-After": "3"}))
    seen = house.ask()
    assert seen.outcomes == [("first", "rate_limited"), ("offline", "answered")]
    assert seen.trail.attempts[1].started_ms < 300


def test_429_without_a_time_opens_the_circuit_for_five_seconds_and_then_longer(house):
    refused(house, "rate_limited", 1, 429)
    house.time.now += 4.9
    assert house.ask().outcomes == [("second", "answered")]
    house.time.now += 0.2
    house.first.play(whole(429, b""))
    assert house.ask().outcomes == [("first", "rate_limited"), ("second", "answered")]
    house.time.now += 9.9
    assert house.ask().outcomes == [("second", "answered")]
    house.time.now += 0.2
    assert house.ask().outcomes == [("first", "answered")]


@pytest.mark.parametrize(("status", "error"), [(429, {"code": "insufficient_quota"}), (402, {}), (403, {"message": "Insufficient balance"})])
def test_the_quota_is_exhausted(house, status, error):
    refused(house, "quota", 1, status, {"error": error})
    house.time.now += 599
    assert house.ask().outcomes == [("second", "answered")]
    house.time.now += 2
    assert house.ask().outcomes == [("first", "answered")]


@pytest.mark.parametrize(("status", "error"), [(401, {}), (403, {"message": "no access"}), (400, {"message": "API key not valid. Please pass a valid API key."})])
def test_a_refused_key_is_not_used_again_and_the_operator_hears_of_it(house, caplog, status, error):
    refused(house, "auth", 1, status, {"error": error})
    house.time.now += 1e6
    assert house.ask().outcomes == [("second", "answered")]
    assert state(house) == "open"
    assert [record.levelname for record in caplog.records if "refused credential 1" in record.getMessage()] == ["ERROR"]


@pytest.mark.parametrize(("status", "error"), [(404, {}), (410, {}), (400, {"code": "model_decommissioned"}), (404, {"code": "DeploymentNotFound"})])
def test_a_model_that_is_gone_closes_only_that_model(house, status, error):
    house.build(provider_first={"models": ("first-model", "other-model")})
    refused(house, "model_not_found", 1, status, {"error": error})
    assert house.ask().outcomes == [("second", "answered")]
    other = house.ask(provider="first", model="other-model")
    assert other.outcomes == [("first", "answered")] and house.first.requests[-1].json()["model"] == "other-model"


TOO_LONG = {"error": {"code": "context_length_exceeded", "message": "This model's maximum context length is 1000 tokens."}}


@pytest.mark.parametrize("script", [(whole(400, TOO_LONG),), (ok(), events(TOO_LONG), END)], ids=["as a status", "inside the stream"])
def test_too_long_goes_to_a_larger_window_as_it_is(house, script):
    house.build(provider_first={"window": 1000}, provider_second={"window": 8000})
    house.first.play(*script)
    seen = house.ask()
    assert seen.outcomes == [("first", "context_length"), ("second", "answered")]
    assert house.second.requests[0].json()["messages"] == house.first.requests[0].json()["messages"]
    assert state(house) == "closed"


def test_too_long_for_all_is_trimmed_and_said_so(house):
    house.build(provider_first={"window": 1000}, provider_second={"window": 1000})
    house.first.play(whole(400, TOO_LONG))
    talk = [{"role": "system", "content": "Be brief."}]
    for number in range(40):
        talk += [{"role": "user", "content": f"question {number} " + "x" * 100}, {"role": "assistant", "content": "y" * 100}]
    seen = house.ask(messages=[*talk, {"role": "user", "content": "last"}])
    assert seen.outcomes == [("first", "context_length"), ("first", "answered")] and seen.text == HELLO
    assert [(switch.reason, switch.mode) for switch in seen.switched] == [("context_length", "before_first_token")]
    assert "oldest messages were left out" in seen.switched[0].message
    sent = house.first.requests[1].json()["messages"]
    assert sent[0] == talk[0] and sent[1]["role"] == "user" and sent[-1]["content"] == "last" and 2 < len(sent) < 20
    assert house.second.requests == []


def test_what_was_trimmed_and_is_still_too_long_is_a_clear_error(house):
    house.build(provider_first={"window": 3000})
    house.first.play(whole(400, TOO_LONG))
    house.first.play(whole(400, TOO_LONG))
    seen = house.ask(messages=[{"role": "user", "content": "x" * 200}] * 60)
    assert seen.error.code == "context_length" and seen.outcomes == [("first", "context_length")] * 2
    first, second = (len(request.json()["messages"]) for request in house.first.requests)
    assert 60 > first > second > 1


def test_too_long_in_itself_is_a_clear_error_and_never_sent_unchanged(house):
    house.first.play(whole(400, TOO_LONG))
    seen = house.ask("x" * 20000)
    assert (seen.error.code, seen.error.status, seen.error.retryable, seen.error.partial) == ("context_length", 400, False, False)
    assert len(house.first.requests) == 1 and house.second.requests == []


FILTERED = {"error": {"code": "content_filter", "message": "The prompt was filtered.", "status": 400}}


def test_a_refused_prompt_goes_nowhere_else(house):
    house.first.play(whole(400, FILTERED))
    seen = house.ask()
    assert (seen.error.code, seen.error.status, seen.error.retryable) == ("content_filter", 400, False)
    assert house.second.requests == [] and state(house) == "closed"


def test_a_refused_prompt_goes_on_where_the_setting_says_so(house):
    house.build(switch_on_filter=True)
    house.first.play(whole(400, FILTERED))
    assert house.ask().outcomes == [("first", "content_filter"), ("second", "answered")]


@pytest.mark.parametrize(
    ("refusal", "fields", "gone", "instead"),
    [
        ({"code": "unsupported_parameter", "param": "max_tokens", "message": "x"}, {"max_tokens": 9}, "max_tokens", "max_completion_tokens"),
        ({"message": "Unrecognized request argument supplied: stream_options"}, {}, "stream_options", None),
        ({"code": "unsupported_value", "param": "temperature"}, {"temperature": 0.2}, "temperature", None),
        ({"message": "property 'seed' is unsupported"}, {"extra": {"seed": 1}}, "seed", None),
    ],
)
def test_an_unsupported_parameter_is_left_out_from_then_on(house, refusal, fields, gone, instead):
    house.first.play(whole(400, {"error": refusal}))
    seen = house.ask(**fields)
    assert seen.outcomes == [("first", "unsupported"), ("first", "answered")] and seen.switched == []
    house.ask(**fields)
    sent = [request.json() for request in house.first.requests]
    assert [gone in body for body in sent] == [True, False, False]
    assert instead is None or [instead in body for body in sent] == [False, True, True]


def sent(house: House, name: str) -> list[object]:
    return [request.json().get(name) for request in house.first.requests]


def test_a_refused_value_says_nothing_about_other_values(house):
    refusal = {"code": "unsupported_value", "param": "reasoning_effort", "message": "Unsupported value: 'minimal'. Supported values are: 'low' and 'high'."}
    house.first.play(whole(400, {"error": refusal}))
    minimal = {"extra": {"reasoning_effort": "minimal"}}
    assert house.ask(**minimal).outcomes == [("first", "unsupported"), ("first", "answered")]
    assert house.ask(**minimal).outcomes == [("first", "answered")]
    house.ask(extra={"reasoning_effort": "low"})
    assert sent(house, "reasoning_effort") == ["minimal", None, None, "low"]


def test_where_only_the_default_is_taken_no_other_value_is_tried(house):
    refusal = {"code": "unsupported_value", "param": "temperature",
               "message": "Unsupported value: 'temperature' does not support 0.3 with this model. Only the default (1) value is supported."}
    house.first.play(whole(400, {"error": refusal}))
    for temperature in (0.3, 0.7):
        assert house.ask(temperature=temperature).outcomes[-1] == ("first", "answered")
    assert sent(house, "temperature") == [0.3, None, None]


TOO_MANY = {
    "OpenAI": {"code": "invalid_value", "param": "max_tokens",
               "message": "max_tokens is too large: 9000. This model supports at most 4096 completion tokens, whereas you provided 9000."},
    "Groq": {"type": "invalid_request_error", "message": "`max_tokens` must be less than or equal to `4096`, the maximum value for `max_tokens` "
                                                         "is less than the `context_window` for this model"},
    "DeepSeek": {"message": "Invalid max_tokens value, the valid range of max_tokens is [1, 4096]", "code": "invalid_request_error"},
    "Anthropic": {"message": "max_tokens: 9000 > 4096, which is the maximum allowed number of output tokens for this model"},
    "above": {"code": "integer_above_max_value", "param": "max_tokens",
              "message": "Invalid 'max_tokens': integer above maximum value. Expected a value <= 4096, but got 9000 instead."},
}


@pytest.mark.parametrize("name", TOO_MANY)
def test_more_tokens_than_a_model_writes_are_cut_to_what_it_names(house, name):
    house.first.play(whole(400, {"error": TOO_MANY[name]}))
    assert house.ask(max_tokens=9000).outcomes == [("first", "unsupported"), ("first", "answered")]
    house.ask(max_tokens=9000)
    house.ask(max_tokens=300)
    assert sent(house, "max_tokens") == [9000, 4096, 4096, 300]


def test_a_limit_that_is_refused_as_well_ends_the_asking_for_that_value_alone(house):
    """The model's own limit is below what was asked for, so an answer without the cap is no longer than one with it."""
    for limit in (4096, 2048):
        house.first.play(whole(400, {"error": TOO_MANY["OpenAI"] | {"message": f"max_tokens is too large. This model supports at most {limit} completion tokens."}}))
    assert house.ask(max_tokens=9000).outcomes == [("first", "unsupported")] * 2 + [("first", "answered")]
    house.ask(max_tokens=300)
    assert sent(house, "max_tokens") == [9000, 4096, None, 300]
    assert sent(house, "max_completion_tokens") == [None] * 4


def test_a_refused_value_of_nothing_named_is_a_clear_error(house):
    house.first.play(whole(400, {"error": {"code": "unsupported_value"}}))
    assert house.ask(temperature=0.2).error.code == "unsupported"
    assert len(house.first.requests) == 1


def test_a_parameter_that_cannot_be_left_out_is_a_clear_error(house):
    house.first.play(whole(400, {"error": {"code": "unsupported_parameter", "param": "messages"}}))
    assert house.ask().error.code == "unsupported"
    assert len(house.first.requests) == 1 and house.second.requests == []


@pytest.mark.parametrize("status", [400, 422])
def test_any_other_refusal_is_final(house, status):
    house.first.play(whole(status, {"error": {"message": "messages: wrong"}}))
    seen = house.ask()
    assert (seen.error.code, seen.error.status) == ("invalid", 400)
    assert house.second.requests == [] and state(house) == "closed"


NO_STREAM = {
    "a page": whole(200, b"<!doctype html><title>Log in</title>", content_type="text/html"),
    "a JSON error": whole(200, {"error": {"message": "x"}}),
    "a pretty JSON error": whole(200, b'{\n  "error": {\n    "message": "x"\n  }\n}\n'),
    "an empty body": whole(200, b"", content_type="text/event-stream"),
    "an empty stream": ok() + END,
    "[DONE] alone": ok() + DONE + END,
    "a stop alone": ok() + events(chunk("", role="assistant"), stop()) + DONE + END,
    "text": whole(200, b"it works", content_type="text/plain"),
    "other JSON": whole(200, {"status": "ok"}),
}


@pytest.mark.parametrize("name", NO_STREAM)
def test_a_200_that_is_no_answer(house, name):
    house.first.play(NO_STREAM[name])
    house.first.play(NO_STREAM[name])
    seen = house.ask()
    assert seen.text == HELLO and seen.finished.provider == "second"
    assert [switch.mode for switch in seen.switched] == ["before_first_token"]


@pytest.mark.parametrize("name", [name for name in NO_STREAM if "JSON error" not in name])
def test_a_200_that_is_no_answer_is_not_asked_again(house, name):
    house.first.play(NO_STREAM[name])
    assert house.ask().outcomes == [("first", "bad_response"), ("second", "answered")]


ERRORS = {
    "server_error": {"error": {"message": "x", "type": "server_error"}},
    "rate_limited": {"error": {"code": 429, "message": "x"}},
    "quota": {"error": {"code": "insufficient_quota"}},
    "auth": {"error": {"code": "invalid_api_key"}},
}


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_inside_the_stream_before_commit_is_what_its_code_says(house, kind):
    for _ in range(2):
        house.first.play(ok(), events(chunk("", role="assistant"), ERRORS[kind]), END)
    seen = house.ask()
    assert set(seen.outcomes[:-1]) == {("first", kind)} and seen.outcomes[-1] == ("second", "answered")
    assert seen.switched[0].mode == "before_first_token"


LATE = {
    "an error": (ok(), events(*tokens(SHOWN), ERRORS["server_error"]), END),
    "an error line": (ok(), events(*tokens(SHOWN)), framed(b'error: {"message": "x"}\n\n'), END),
    "a reset": (ok(), events(*tokens(SHOWN)), 0.06, RESET),
    "a cut": (ok(), events(*tokens(SHOWN)), CUT),
    "a cut inside an event": (ok(), events(*tokens(SHOWN)), framed(b'data: {"choices":[{"delta"'), CUT),
    "a cut inside a chunk": (ok(), events(*tokens(SHOWN)), b"ff\r\ndata: ", CUT),
    "an end without an end": (ok(), events(*tokens(SHOWN)), END),
    "a stall": (ok(), events(*tokens(SHOWN)), STALL),
    "comments for ever": (ok(), events(*tokens(SHOWN)), *([framed(b": ping\n\n"), 0.05] * 60)),
    "empty deltas for ever": (ok(), events(*tokens(SHOWN)), *([events(chunk("")), 0.05] * 60)),
    "three malformed events": (ok(), events(*tokens(SHOWN), b"{", b"{", b"{"), events(*tokens(SHOWN)), END),
    "broken framing": (ok(), events(*tokens(SHOWN)), b"zz\r\n", STALL),
    "less than its length": (head(200, {"Content-Type": "text/event-stream", "Content-Length": "99999"}), b"".join(map(event, tokens(SHOWN))), CUT),
    "until close, and closed early": (head(200, {"Content-Type": "text/event-stream"}), b"".join(map(event, tokens(SHOWN))), CUT),
}


@pytest.mark.parametrize("name", LATE)
def test_a_failure_after_commit_restarts_with_the_next(house, name):
    house.first.play(*LATE[name])
    seen = house.ask()
    assert seen.text == HELLO and seen.finished.provider == "second"
    assert [(switch.mode, switch.discard_from) for switch in seen.switched] == [("restart", 0)]
    assert [began.provider for began in seen.began] == ["first", "second"]
    wasted, kept = seen.finished.usage
    assert wasted.wasted and wasted.estimated and wasted.provider == "first" and wasted.completion_tokens > 0
    assert not kept.wasted and not kept.estimated


@pytest.mark.parametrize("name", ["an error", "a cut", "a stall"])
def test_a_failure_after_commit_counts(house, name):
    for _ in range(3):
        house.first.play(*LATE[name])
        house.ask()
    assert state(house) == "open"


def test_a_failure_after_commit_restarts_with_the_same_when_nobody_else_is_there(build):
    house = build(("first",), offline=True)
    house.first.play(*LATE["a cut"])
    seen = house.ask()
    assert seen.text == HELLO and seen.outcomes == [("first", "cut"), ("first", "answered")]
    assert [(switch.source, switch.target, switch.mode) for switch in seen.switched] == [("first", "first", "restart")]
    house.is_well()


def test_text_that_was_shown_stays_when_nobody_can_go_on(build):
    house = build(("first",))
    for _ in range(2):
        house.first.play(*LATE["a cut"])
    seen = house.ask()
    assert (seen.error.code, seen.error.partial, seen.error.retryable, seen.error.status) == ("cut", True, True, 503)
    assert seen.text.startswith("word0 word1 ")
    assert [usage.wasted for usage in seen.error.usage] == [True, False]
    house.is_well()


@pytest.mark.parametrize("end", [(END,), (CUT,), (RESET,), (STALL,), tuple([framed(b": ping\n\n"), 0.05] * 30)], ids=["end", "cut", "reset", "stall", "pings"])
def test_a_finish_reason_without_done_is_success(house, end):
    house.first.play(ok(), events(*tokens(3), stop()), 0.01, *end)
    seen = house.ask()
    assert seen.finished == Finished("first", "fake-1", "stop", seen.finished.usage, seen.finished.attempts)
    assert seen.text == "word0 word1 word2 " and seen.trail.attempts[0].duration_ms < 1500
    assert state(house) == "closed"


def test_length_is_told(house):
    house.first.play(ok(), events(*tokens(3), stop("length")), DONE, END)
    seen = house.ask()
    assert seen.finished.reason == "length" and seen.text == "word0 word1 word2 " and state(house) == "closed"


def test_a_filter_in_the_middle_keeps_the_text_and_says_so(house):
    house.first.play(ok(), events(*tokens(3), stop("content_filter")), DONE, END)
    seen = house.ask()
    assert seen.finished.reason == "content_filter" and seen.text == "word0 word1 word2 " and seen.switched == []


def test_one_malformed_event_is_skipped(house):
    house.first.play(ok(), events(chunk("a"), b"{nonsense", chunk("b"), stop()), DONE, END)
    seen = house.ask()
    assert seen.text == "ab" and seen.outcomes == [("first", "answered")]


@pytest.mark.parametrize("knows", [True, False])
def test_half_an_answer_is_not_given_up_for_an_excuse(build, knows):
    """Text is shown, and nobody but the embedded provider is left: it takes over only with an answer of its own."""
    house = build(("first",), offline=True)
    house.embedded.knows = knows
    for _ in range(2):  # the same provider is asked again first
        house.first.play(ok(), events(*tokens(20)), RESET)
    seen = house.ask()
    if knows:
        assert seen.text == "No model answered." and seen.switched[-1].target == "offline"
    else:
        assert seen.error.partial and seen.text.startswith("word0 ") and seen.text.endswith("word19 ")
        assert not house.embedded.requests


def test_all_fail_and_the_embedded_provider_answers(build):
    house = build(offline=True)
    for fake in house.fakes.values():
        for _ in range(2):
            fake.play(whole(500, b""))
    seen = house.ask()
    assert seen.text == "No model answered." and seen.finished.provider == "offline"
    assert [switch.target for switch in seen.switched] == ["second", "offline"]
    assert [switch.message for switch in seen.switched] == ["first could not answer; second goes on.", "second could not answer; the built-in desk goes on."]
    assert house.embedded.requests[0].extra["providers_failed"] == ("first", "second")
    house.is_well()


def test_all_fail_and_nobody_is_left(house):
    for fake in house.fakes.values():
        for _ in range(2):
            fake.play(whole(500, b""))
    seen = house.ask()
    assert (seen.error.code, seen.error.status, seen.error.retryable, seen.error.partial) == ("server_error", 503, True, False)
    assert len(seen.error.attempts) == 4


def test_the_whole_turn_has_a_limit(build):
    house = build(clocks=replace(FAST, turn=0.5))
    house.first.play(ok(), *[step for token in tokens(100) for step in (events(token), 0.05)])
    seen = house.ask()
    assert (seen.error.code, seen.error.partial) == ("deadline", True)
    assert seen.trail.attempts[0].duration_ms < 1500
    house.is_well()
