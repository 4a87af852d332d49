"""Stop closes the provider's connection within half a second, wherever the run is, and keeps the text so far."""

import time

import gevent
import pytest

from tests.support.fake_provider import STALL, chunk, events, framed, head, ok
from tests.support.scripts import paced, silent
from tests.support.sse_client import text_of

WITHIN_S = 0.5


def unheard(request):
    """Takes the question and answers nothing at all."""
    yield STALL


def headless(request):
    yield head(200, {"Content-Type": "text/event-stream"})[:20]
    yield STALL


def keeping_alive(request):
    """Comments, and never a token."""
    yield ok()
    while True:
        yield framed(b": still here\n\n")
        yield 0.02


def stopped_after(pair, tokens: int, through: str):
    """Ask, read `tokens` tokens, stop through a server; returns the frames and how long the provider's socket stayed open."""
    client = pair.client()
    with client.ask() as connection:
        frames = connection.frames()
        seen = [next(frames) for _ in range(1 + tokens)]
        while not pair.provider.requests:
            gevent.sleep(0.01)
        called = time.monotonic()
        client.stop(connection.headers["Location"], base=through)
        seen += frames
    request = pair.provider.requests[0]
    for _ in range(100):
        if request.closed_at is not None:
            break
        gevent.sleep(0.02)
    assert request.closed_at is not None, "the provider's connection stayed open"
    return seen, request.closed_at - called


@pytest.mark.parametrize("through", ["here", "there"])
@pytest.mark.parametrize("script", [unheard, headless, silent, keeping_alive])
def test_before_the_first_token(pair, script, through):
    pair.provider.default = script
    frames, took = stopped_after(pair, 0, getattr(pair, through).url)
    assert took < WITHIN_S
    assert [frame.event for frame in frames] == ["chat_started", "chat_completed"]
    assert frames[-1].data["finishReason"] == "stopped"


@pytest.mark.parametrize("through", ["here", "there"])
def test_in_the_middle(pair, through):
    pair.provider.default = paced(500, 0.02)
    frames, took = stopped_after(pair, 10, getattr(pair, through).url)
    assert took < WITHIN_S
    assert frames[-1].data["finishReason"] == "stopped"
    assert [frame.terminal for frame in frames].count(True) == 1
    answer = pair.client().get(f"/api/conversations/{frames[0].data['conversationId']}")["messages"][1]
    assert (answer["content"], answer["status"]) == (text_of(frames), "stopped")
    assert text_of(frames).startswith("word0 word1 ")


def test_in_the_middle_of_a_provider_that_has_fallen_silent(pair):
    pair.provider.default = lambda request: iter([ok(), events(chunk("one ")), STALL])
    frames, took = stopped_after(pair, 1, pair.there.url)
    assert took < WITHIN_S
    assert text_of(frames) == "one "


def test_one_stopped_run_leaves_the_others_alone(pair):
    pair.provider.default = paced(40, 0.02)
    client = pair.client()
    asked = [client.ask(f"Question {number}", base=pair.bases[number % 2]) for number in range(6)]
    gevent.sleep(0.2)
    client.stop(asked[0].headers["Location"], base=pair.there.url)
    endings = []
    for connection in asked:
        with connection:
            endings.append(list(connection.frames())[-1].data["finishReason"])
    assert endings == ["stopped"] + ["stop"] * 5
