"""The user's stop, and many streams at once: what only holds where gevent has patched the sockets, as in production."""

import time

import gevent
import pytest
from gevent import monkey
from gevent import socket as gevent_socket

from services.cancellation import Cancellation, Cancelled
from services.llm.config import Clocks
from services.llm.deltas import Content, LLMRequest
from services.llm.trail import Trail
from tests.llm.house import House
from tests.support.fake_provider import DONE, END, STALL, answer, chunk, events, ok, stop, tokens, usage, whole

assert monkey.is_module_patched("socket")  # by tests/conftest.py

REQUEST = LLMRequest(messages=[{"role": "user", "content": "x"}])


@pytest.fixture
def house():
    house = House(clocks=Clocks(connect=3, headers=3, first_content=3, between=3, turn=10), read_interval=0.04)
    yield house
    house.is_well()
    house.close()


def stopped(house: House, after: float) -> tuple[float, Trail, str]:
    """Start, stop after so many seconds; how long the stop took, the trail, the text."""
    cancellation, trail, text = Cancellation(), Trail(), []

    def run() -> float:
        try:
            for delta in house.service.stream(REQUEST, cancellation, trail):
                if isinstance(delta, Content):
                    text.append(delta.text)
        except Cancelled as cancelled:
            assert cancelled.reason == "stopped"
            return time.monotonic()
        raise AssertionError("it was not cancelled")

    running = gevent.spawn(run)
    gevent.sleep(after)
    began = time.monotonic()
    cancellation.cancel("stopped")
    running.join(1)
    return running.get(block=False) - began, trail, "".join(text)


def closed_within(house: House, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while house.first.requests[0].closed_at is None and time.monotonic() < deadline:
        gevent.sleep(0.005)
    return house.first.requests[0].closed_at is not None


SCRIPTS = {
    "before the headers": (STALL,),
    "before the first content": (ok(), events(chunk("", role="assistant")), STALL),
    "in the middle, while nothing comes": (ok(), events(*tokens(5)), STALL),
    "in the middle, while tokens come": (ok(), *[step for token in tokens(200) for step in (events(token), 0.005)]),
    "after the finish reason": (ok(), events(*tokens(5), stop()), STALL),
    "inside an error's body": (whole(500, b"x" * 99).replace(b"99", b"9999"), STALL),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_stop_closes_the_connection_at_once(house, name):
    house.first.play(*SCRIPTS[name])
    took, trail, text = stopped(house, 0.15)
    assert took < 0.2
    assert closed_within(house, 0.3)
    assert [attempt.outcome for attempt in trail.attempts] == ["cancelled"]
    if "middle" in name:
        assert text.startswith("word0 ")
        assert [(usage.estimated, usage.wasted) for usage in trail.usage] == [(True, False)] and trail.usage[0].completion_tokens > 0
    else:
        assert trail.usage == [] or name == "after the finish reason"
    assert house.service.states()[0].state == "closed"
    assert house.second.requests == []


def test_a_stop_while_connecting(house):
    listener = gevent_socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    filled = [gevent_socket.socket() for _ in range(3)]
    for sock in filled:  # the backlog is full: the next connection gets no answer
        sock.setblocking(False)
        sock.connect_ex(listener.getsockname())
    house.build(provider_first={"url": f"http://127.0.0.1:{listener.getsockname()[1]}/v1/chat/completions"})
    took, trail, _ = stopped(house, 0.15)
    assert took < 0.2 and [attempt.outcome for attempt in trail.attempts] == ["cancelled"]
    for sock in (*filled, listener):
        sock.close()


def test_a_stop_during_a_pause_between_two_tries(house):
    house.pause = 5.0
    house.first.play(whole(503, b""))
    took, trail, _ = stopped(house, 0.15)
    assert took < 0.2 and [attempt.outcome for attempt in trail.attempts] == ["server_error"]


def test_a_stop_before_the_start_asks_nobody(house):
    cancellation = Cancellation()
    cancellation.cancel("stopped")
    with pytest.raises(Cancelled):
        next(house.service.stream(REQUEST, cancellation))
    assert house.first.requests == []


def test_headers_that_trickle_are_given_up(house):
    from dataclasses import replace

    house.build(clocks=replace(house.settings.clocks, connect=0.2, headers=0.3))
    house.first.play(b"HTTP/1.1 200 OK\r\n", *[step for number in range(100) for step in (b"X: y\r\n", 0.05)])
    seen = house.ask()
    assert seen.outcomes == [("first", "timeout"), ("second", "answered")]
    assert seen.trail.attempts[0].duration_ms < 1500


def test_a_hundred_streams_at_once_are_whole_and_the_first_token_is_not_held_back(house):
    text = " ".join(f"w{number}" for number in range(30))
    house.first.default = lambda request: [step for piece in answer(text) for step in (piece,)]
    seen = [gevent.spawn(house.ask) for _ in range(100)]
    gevent.joinall(seen, raise_error=True)
    assert {one.value.text for one in seen} == {text}
    assert {one.value.finished.provider for one in seen} == {"first"}


def test_tokens_arrive_within_a_beat_and_the_first_at_once(house):
    sent: list[float] = []

    def script(request):
        yield ok()
        for token in tokens(30):
            yield 0.013
            sent.append(time.monotonic())
            yield events(token)
        yield events(stop(), usage()) + DONE + END

    house.first.default = script
    got = [time.monotonic() for delta in house.service.stream(REQUEST, Cancellation()) if isinstance(delta, Content)]
    delays = [there - here for here, there in zip(sent, got, strict=True)]
    assert delays[0] < 0.05 and sorted(delays)[15] < 0.05
    assert len({round(moment, 2) for moment in got}) < 25, "tokens that arrived together are given out together"


def test_a_flood_is_read_under_the_same_clocks(house):
    """After a large read the next one does not wait for the beat; it may not wait for longer than the clock says either."""
    house.build(clocks=Clocks(connect=3, headers=3, first_content=3, between=6, turn=20, tail=0.2), read_interval=0.04)
    house.first.play(ok(), events(*tokens(5)), 0.1, events(*tokens(200, start=5), stop()), STALL)
    began = time.monotonic()
    seen = house.ask()
    assert seen.finished.reason == "stop" and seen.text.endswith("word204 ")
    assert time.monotonic() - began < 3


def test_idle_is_told_each_time_everything_has_been_given_out(house):
    house.first.play(ok(), events(*tokens(5)), 0.1, events(*tokens(5)), 0.1, events(stop()), DONE, END)
    batches, batch = [], []
    trail = Trail(idle=lambda: batches.append(batch.copy()) or batch.clear())
    for delta in house.service.stream(REQUEST, Cancellation(), trail):
        if isinstance(delta, Content):
            batch.append(delta.text)
    assert [len(one) for one in batches if one] == [5, 5] and batch == []
