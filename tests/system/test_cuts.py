"""200 streams, each cut at a random event and resumed three times, at random through another worker: nobody loses or doubles anything."""

import random

import gevent
from gevent.pool import Group

from tests.support.scripts import paced
from tests.support.sse_client import Client, Frame, text_of

STREAMS, TOKENS, INTERVAL_S, RESUMES = 200, 30, 0.1, 3
EVENTS = TOKENS + 2
SEED = 20_240_501


def taken(client: Client, rng: random.Random, message: str) -> list[Frame]:
    """What one client has seen in the end, over one first connection and three more."""
    cuts = sorted(rng.sample(range(1, EVENTS), RESUMES))
    seen: list[Frame] = []
    connection = client.ask(message, base=rng.choice(client.bases))
    location = connection.headers["Location"]
    for cut in [*cuts, EVENTS]:
        with connection:
            assert connection.status == 200, connection.response.read()
            for frame in connection.frames():
                seen.append(frame)
                if len(seen) == cut:
                    break
        if cut != EVENTS:
            gevent.sleep(rng.choice([0.0, 0.0, 0.05, 0.4]))
            after = "%d-%d" % seen[-1].id if seen else None
            connection = client.follow(location, after, base=rng.choice(client.bases))
    return seen


def test_two_hundred_streams_cut_and_resumed_three_times(pair):
    pair.provider.default = paced(TOKENS, INTERVAL_S)
    client = pair.client()
    rng = random.Random(SEED)
    group = Group()
    tasks = []
    for number in range(STREAMS):
        tasks.append(group.spawn(taken, client, random.Random(rng.random()), f"Question {number}"))
        gevent.sleep(0.005)
    group.join(timeout=60)
    expected = "".join(f"word{number} " for number in range(TOKENS))
    for task in tasks:
        frames = task.get(block=False)
        assert [frame.id for frame in frames] == [(1, seq) for seq in range(1, EVENTS + 1)]
        assert text_of(frames) == expected
        assert [frame.terminal for frame in frames].count(True) == 1
        assert frames[-1].event == "chat_completed"
    assert len(pair.provider.requests) == STREAMS
    for task in tasks[::10]:
        started = task.value[0].data
        messages = client.get(f"/api/conversations/{started['conversationId']}", base=rng.choice(client.bases))["messages"]
        assert messages[1]["content"] == expected
