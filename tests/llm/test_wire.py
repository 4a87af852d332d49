import json
import time

import pytest

from services.llm.deltas import Content, Reasoning, ToolCall
from services.llm.errorbody import ErrorBody
from services.llm.wire import ChatWire
from services.llm.wire_events import Broken, Counted, Ended, Named
from tests.support.fake_provider import chunk, event, stop, tokens, usage


def read(*pieces: bytes, cap: int = 1 << 20) -> list[object]:
    wire = ChatWire(cap)
    events = [event for piece in pieces for event in wire.feed(piece)]
    return events + wire.end()


def deltas(*payloads: object) -> bytes:
    return b"".join(map(event, payloads))


def text(events: list[object], kind: type = Content) -> str:
    return "".join(event.text for event in events if type(event) is kind)


HEALTHY = deltas(chunk("", role="assistant"), chunk("Vol"), chunk("atility"), stop(), usage()) + b"data: [DONE]\n\n"
WHOLE = [Named("fake-1"), Content("Vol"), Content("atility"), Ended("stop"), Counted(10, 5)]
SAY = '{"choices":[{"index":0,"delta":{"content":%s}}]}'


def said(literal: str) -> bytes:
    """A chunk whose content is written exactly so."""
    return b"data: " + (SAY % literal).encode() + b"\n\n"


QUIRKS: dict[str, tuple[bytes, list[object]]] = {
    "healthy": (HEALTHY, WHOLE),
    "byte order mark": (b"\xef\xbb\xbf" + HEALTHY, WHOLE),
    "CRLF": (HEALTHY.replace(b"\n", b"\r\n"), WHOLE),
    "CR": (HEALTHY.replace(b"\n", b"\r"), WHOLE),
    "mixed line ends": (HEALTHY.replace(b"\n\n", b"\r\n\r", 1).replace(b"\n\n", b"\n\r\n", 1), WHOLE),
    "data without a space": (HEALTHY.replace(b"data: ", b"data:"), WHOLE),
    "empty data": (b"data:\n\ndata: \n\ndata\n\n" + HEALTHY, WHOLE),
    "comments": (b": OPENROUTER PROCESSING\n\n" + HEALTHY.replace(b"\n\n", b"\n\n:\n\n: ping\n"), WHOLE),
    "ids, retries, names and blank lines": (b"\n\nid: 1\nretry: 3\nevent: message\nother: x\n" + HEALTHY.replace(b"\n\n", b"\n\n\n"), WHOLE),
    "an unterminated last event": (HEALTHY.rstrip(b"\n"), WHOLE),
    "an unterminated last chunk": (deltas(chunk("a"), stop()).rstrip(b"\n"), [Named("fake-1"), Content("a"), Ended("stop")]),
    "several data lines": (b'data: {"choices":[{"index":0,\ndata: "delta":\ndata: {"content":"a"}}]}\n\n', [Content("a")]),
    "pretty-printed data": (b"data: " + json.dumps(chunk("a"), indent=2).encode() + b"\n\n", [Named("fake-1"), Content("a")]),
    "UTF-8": (said('"é€😀"'), [Content("é€😀")]),
    "broken UTF-8": (b'data: {"choices":[{"index":0,"delta":{"content":"a\xff\xc3"}}]}\n\n', [Content("a\ufffd\ufffd")]),
    "line separators of Unicode": (said('"a\u2028b\u2029c\u0085d"'), [Content("a\u2028b\u2029c\u0085d")]),
    "raw control characters": (said('"a\tb\x0bc"'), [Content("a\tb\x0bc")]),
    "NUL": (said('"a\\u0000b"'), [Content("a\ufffdb")]),
    "surrogates split over two deltas": (said('"a\\ud83d"') + said('"\\ude00b"'), [Content("a"), Content("😀b")]),
    "surrogates alone": (said('"\\ud83d"') + said('"x\\ude00"') + deltas(stop()), [Content("\ufffdx\ufffd"), Named("fake-1"), Ended("stop")]),
    "a surrogate alone at the end": (said('"a\\ud83d"') + deltas(stop()), [Content("a"), Named("fake-1"), Content("\ufffd"), Ended("stop")]),
    "Azure's first frame": (
        b'data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}]}\n\n' + HEALTHY,
        WHOLE,
    ),
    "Azure's asynchronous filter": (
        deltas(chunk("a"), {"id": "", "choices": [{"index": 0, "finish_reason": None, "content_filter_results": {}, "content_filter_offsets": {"check_offset": 44}}]}, chunk("b")),
        [Named("fake-1"), Content("a"), Content("b")],
    ),
    "Azure's asynchronous refusal": (
        deltas(chunk("a"), {"choices": [{"index": 0, "finish_reason": "content_filter", "content_filter_results": {}}]}),
        [Named("fake-1"), Content("a"), Ended("content_filter")],
    ),
    "usage on the last content chunk": (
        deltas(chunk("a") | {"usage": None}, chunk("b", "stop") | {"usage": {"prompt_tokens": 3, "completion_tokens": 2}}),
        [Named("fake-1"), Content("a"), Content("b"), Ended("stop"), Counted(3, 2)],
    ),
    "x_groq usage": (
        deltas(chunk("a") | {"x_groq": {"id": "req_1"}}, stop(x_groq={"id": "req_1", "usage": {"prompt_tokens": 3, "completion_tokens": 1}})),
        [Named("fake-1"), Content("a"), Counted(3, 1), Ended("stop")],
    ),
    "x_groq error": (
        deltas(chunk("a"), {"choices": [], "x_groq": {"id": "req_1", "error": "over_capacity"}}),
        [Named("fake-1"), Content("a"), Broken("error", ErrorBody(code="over_capacity", message="over_capacity"))],
    ),
    "OpenRouter's cost": (deltas({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1, "cost": 0.25}}), [Counted(3, 1, 0.25)]),
    "an error object": (deltas({"error": {"message": "m", "type": "t", "code": "c"}}), [Broken("error", ErrorBody("c", "t", "m"))]),
    "an error text": (deltas({"error": "m"}), [Broken("error", ErrorBody(message="m"))]),
    "an object of the kind error": (deltas({"object": "error", "message": "m", "type": "t", "code": 40003}), [Broken("error", ErrorBody("40003", "t", "m"))]),
    "a line named error": (b'error: {"error":{"code":503,"message":"m"}}\n\n', [Broken("error", ErrorBody(message="m", status=503))]),
    "an event named error": (b'event: error\ndata: {"message":"m","code":"c"}\n\n', [Broken("error", ErrorBody("c", message="m"))]),
    "a null error": (deltas(chunk("a") | {"error": None}), [Named("fake-1"), Content("a")]),
    "OpenRouter's error": (
        deltas(chunk("a"), {"error": {"code": 502, "message": "m"}, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]}, chunk("b")),
        [Named("fake-1"), Content("a"), Broken("error", ErrorBody(message="m", status=502))],
    ),
    "an error inside the choice": (
        deltas({"choices": [{"index": 0, "delta": {}, "finish_reason": "error", "error": {"code": 429, "message": "m"}}]}),
        [Broken("error", ErrorBody(message="m", status=429))],
    ),
    "a pretty-printed error body": (json.dumps({"error": {"code": "c", "message": "m"}}, indent=2).encode(), [Broken("error", ErrorBody("c", message="m"))]),
    "a pretty-printed error in the middle": (
        deltas(chunk("a")) + json.dumps({"error": {"code": "c", "message": "m"}}, indent=2).encode() + b"\n",
        [Named("fake-1"), Content("a"), Broken("error", ErrorBody("c", message="m"))],
    ),
    "an answer that was not streamed": (
        json.dumps({"model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}]}).encode(),
        [Named("m"), Content("a"), Ended("stop")],
    ),
    "a page": (b"<!doctype html>\n<html><body>data: x</body></html>", [Broken("page")]),
    "role only, empty and null deltas": (
        deltas(chunk(role="assistant"), chunk(""), {"choices": [{"index": 0, "delta": None}]}, {"choices": [{"index": 0, "delta": {"content": None}}]}, chunk("a")),
        [Named("fake-1"), Content("a")],
    ),
    "another choice": (deltas({"choices": [{"index": 1, "delta": {"content": "no"}}]}), []),
    "reasoning_content": (deltas(chunk(reasoning_content="hm"), chunk("a", reasoning_content=None)), [Named("fake-1"), Reasoning("hm"), Content("a")]),
    "reasoning": (deltas(chunk("", reasoning="hm"), chunk("a", reasoning="")), [Named("fake-1"), Reasoning("hm"), Content("a")]),
    "reasoning by both names": (deltas(chunk(reasoning="hm", reasoning_content="hm")), [Named("fake-1"), Reasoning("hm")]),
    "inline thoughts": (
        said('"<th"') + said('"ink>hm "') + said('"so</thi"') + said('"nk>\\n\\n"') + said('"\\na"') + said('" <think> b"'),
        [Reasoning("hm "), Reasoning("so"), Content("a"), Content(" <think> b")],
    ),
    "what only looked like a thought": (said('"\\n<thi"') + said('"s>"'), [Content("\n<this>")]),
    "half a tag at the end": (said('"<thi"') + deltas(stop()), [Named("fake-1"), Content("<thi"), Ended("stop")]),
    "parts": (
        deltas({"choices": [{"index": 0, "delta": {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}]}}]}),
        [Reasoning("hm"), Content("a")],
    ),
    "tool calls": (
        deltas(
            chunk(tool_calls=[{"index": 0, "id": "call_1", "type": "function", "function": {"name": "bars", "arguments": ""}}]),
            chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"symbol"'}}]),
            stop("tool_calls"),
        ),
        [Named("fake-1"), ToolCall(0, "call_1", "bars", ""), ToolCall(0, None, None, '{"symbol"'), Ended("tool_calls")],
    ),
    "text and a tool call in one": (
        deltas(chunk("a", tool_calls=[{"index": 0, "id": "call_1", "function": {"name": "bars", "arguments": "{}"}}])),
        [Named("fake-1"), Content("a"), ToolCall(0, "call_1", "bars", "{}")],
    ),
    "text and a thought in one": (deltas(chunk("a", reasoning_content="hm")), [Named("fake-1"), Reasoning("hm"), Content("a")]),
    "one malformed event": (deltas(chunk("a")) + b"data: {not json\n\n" + deltas(chunk("b"), stop()), [Named("fake-1"), Content("a"), Content("b"), Ended("stop")]),
    "three malformed events": (deltas(chunk("a")) + b"data: {not json\n\n" * 3 + deltas(chunk("b")), [Named("fake-1"), Content("a"), Broken("malformed")]),
    "[DONE] alone": (deltas(chunk("a")) + b"data: [DONE]\n\n", [Named("fake-1"), Content("a"), Ended("stop")]),
    "an error after the end": (deltas(chunk("a"), stop(), {"error": "x"}), [Named("fake-1"), Content("a"), Ended("stop")]),
    "what follows [DONE]": (HEALTHY + deltas(chunk("ghost")), WHOLE),
    "a cut": (deltas(chunk("a")) + b'data: {"choices":[{"index":0,"delta":{"con', [Named("fake-1"), Content("a")]),
    "strange shapes": (
        deltas({"choices": {}}, {"choices": [1]}, {"choices": [{"delta": []}]}, {"choices": [{"delta": {"content": 5, "tool_calls": [1, {"function": 2}]}}]}),
        [],
    ),
    "nothing": (b"", []),
}  # fmt: skip


@pytest.mark.parametrize("name", QUIRKS)
def test_quirk(name):
    stream, expected = QUIRKS[name]
    assert read(stream) == expected


@pytest.mark.parametrize("name", QUIRKS)
def test_every_split_gives_the_same_events(name):
    stream, expected = QUIRKS[name]
    for at in range(len(stream) + 1):
        assert read(stream[:at], stream[at:]) == expected, at
    for size in (1, 2, 3, 7):
        assert read(*(stream[at : at + size] for at in range(0, len(stream), size))) == expected, size


@pytest.mark.parametrize(("said", "meant"), [("end_turn", "stop"), ("MAX_TOKENS", "length"), ("length", "length"), ("safety", "content_filter"), ("function_call", "tool_calls"), ("novel", "stop")])
def test_finish_reasons_are_told_in_one_language(said, meant):
    assert read(deltas(chunk("a"), stop(said)))[-1] == Ended(meant)


def test_a_finish_reason_that_means_failure_breaks_the_stream():
    assert read(deltas(chunk("a"), stop("insufficient_system_resource")))[-1] == Broken("error", ErrorBody(code="server_error"))


def test_a_line_beyond_the_cap_is_dropped_and_the_stream_goes_on():
    long = event(chunk("x" * 5000))
    stream = deltas(chunk("a")) + long + deltas(chunk("b"), stop())
    expected = [Named("fake-1"), Content("a"), Content("b"), Ended("stop")]
    for size in (1, 100, 999, 1000, 10000):
        assert read(*(stream[at : at + size] for at in range(0, len(stream), size)), cap=1000) == expected
    many = b"data: " + b"\ndata: ".join([b"x" * 100] * 50) + b"\n\n"
    assert read(deltas(chunk("a")), many, deltas(chunk("b"), stop()), cap=1000) == expected


def test_fifty_megabytes_in_one_line_are_read_quickly_and_not_kept():
    wire, began = ChatWire(), time.process_time()
    wire.feed(b"data: ")
    for _ in range(800):
        wire.feed(b"x" * 65536)
    assert wire.feed(b"\n\n" + deltas(chunk("a"), stop())) == [Named("fake-1"), Content("a"), Ended("stop")]
    assert time.process_time() - began < 1


def test_a_whole_page_of_tokens_keeps_its_order():
    assert text(read(deltas(*tokens(500)))) == "".join(f"word{number} " for number in range(500))


def test_an_error_body_does_not_show_its_text_when_printed():
    assert "secret" not in repr(read(deltas({"error": {"message": "secret", "code": "secret"}})))
