"""Frames, comments and event ids, by value."""

import json

import pytest

from services import sse
from services.events import ChatCompleted, ChatFailed, ProviderSwitched, TokenArrived
from services.sse import BEGINNING, EventId, parse_event_id
from tests.support.sse_client import Lines, Parser

FAILED = ChatFailed(code="timeout", message="Too late.", retryable=True, partial=False)
COMPLETED = ChatCompleted(message_id="m", provider=None, model=None, finish_reason="stop", tokens_used=0, usage={}, metrics={})


def test_a_frame_is_id_event_and_one_line_of_data():
    assert sse.frame(1, 17, TokenArrived(content="Vol")) == b'id: 1-17\nevent: token\ndata: {"type":"token","content":"Vol"}\n\n'


@pytest.mark.parametrize("text", ["Vol", "", "\n\n", "\r\n", "\u2028\u2029\u0085", '"\\', "\0", "🏳️‍🌈", "id: 9-9\n\ndata: {}\n\n"])
def test_a_token_s_short_way_gives_the_frame_of_the_long_one(text):
    assert sse.token_frame(2, 3, text) == sse.frame(2, 3, TokenArrived(content=text))


@pytest.mark.parametrize("text", ["a\n\nb", "a\r\n\r\nb", "a\u2028b\u0085c", "data: x\n\nevent: error\n\n"])
def test_no_text_can_break_out_of_its_frame(text):
    wire = sse.token_frame(1, 1, text) + sse.frame(1, 2, COMPLETED)
    parser = Parser()
    frames = [frame for line in Lines().feed(wire) if (frame := parser.take(line))]
    assert [(frame.id, frame.event) for frame in frames] == [((1, 1), "token"), ((1, 2), "chat_completed")]
    assert frames[0].data["content"] == text
    assert sse.split(wire) == [sse.token_frame(1, 1, text), sse.frame(1, 2, COMPLETED)]


def test_the_opening_is_a_comment_and_the_retry_of_the_first_frame():
    wire = sse.opening(1500) + sse.frame(1, 1, FAILED)
    parser = Parser()
    frames = [frame for line in Lines().feed(wire) if (frame := parser.take(line))]
    assert (parser.comments, parser.retry, len(frames)) == (1, 1500, 1)


def test_a_heartbeat_is_a_comment_and_dispatches_nothing():
    parser = Parser()
    assert [parser.take(line) for line in Lines().feed(sse.opening(1) + sse.HEARTBEAT + sse.HEARTBEAT)].count(None) == 6
    assert parser.comments == 3


def test_fields_that_are_none_are_left_out_and_names_are_those_of_the_contract():
    switch = ProviderSwitched(source="a", target="b", reason="overloaded", message="…", mode="restart", discard_from=4, attempt=2)
    _, data = sse.parse(sse.frame(1, 2, switch))
    assert data == {"type": "provider_switch", "from": "a", "to": "b", "reason": "overloaded", "message": "…", "mode": "restart",
                    "discardFrom": 4, "attempt": 2}
    assert list(sse.parse(sse.frame(1, 1, TokenArrived(content="x")))[1]) == ["type", "content"]


def test_what_was_framed_can_be_parsed():
    identity, data = sse.parse(sse.frame(3, 4, FAILED))
    assert identity == EventId(3, 4)
    assert data == {"type": "error", "code": "timeout", "message": "Too late.", "retryable": True, "partial": False}


@pytest.mark.parametrize(("event", "last"), [(FAILED, True), (COMPLETED, True), (TokenArrived(content="\nevent: error\n"), False)])
def test_the_last_frame_is_known_by_its_event(event, last):
    assert sse.is_terminal(sse.frame(999_999_999, 999_999_999_999, event)) is last


def test_frames_of_a_response_come_without_what_is_around_them():
    wire = sse.opening(1500) + sse.token_frame(1, 1, "id: 7-7") + sse.HEARTBEAT + sse.token_frame(1, 2, "b") + b"retry: 2000\n\n"
    assert sse.split_wire(wire) == [sse.token_frame(1, 1, "id: 7-7"), sse.token_frame(1, 2, "b")]


# ---- ids

@pytest.mark.parametrize(("text", "expected"), [("1-17", EventId(1, 17)), ("0-0", EventId(0, 0)), ("12-0", EventId(12, 0)),
                                                ("999999999-999999999999", EventId(999_999_999, 999_999_999_999))])
def test_ids_of_ours_are_read(text, expected):
    assert parse_event_id(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize("text", ["", "1", "1-", "-1", "-1-1", "1--1", "1-1-1", " 1-1", "1-1 ", "1-1\n", "1-1\0", "1.5-2", "0x1-1", "1-1e3",
                                  "١-١", "1_0-1", "9999999999-1", "1-" + "9" * 8_000, "null", "undefined"])
def test_everything_else_is_none_of_ours(text):
    assert parse_event_id(text) is None


def test_ids_compare_as_pairs_not_as_text():
    assert BEGINNING < EventId(1, 2) < EventId(1, 10) < EventId(2, 0) < EventId(2, 1) < EventId(10, 1)
    assert max(EventId(0, 7), BEGINNING) == BEGINNING


def test_data_is_json_that_every_reader_can_hold():
    wire = sse.token_frame(1, 1, "ü\u2028")
    assert json.loads(wire.split(b"data: ", 1)[1]) == {"type": "token", "content": "ü\u2028"}
    assert wire.count(b"\n") == 4
