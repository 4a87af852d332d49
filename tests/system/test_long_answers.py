"""An answer of 20,000 tokens streams whole, and the server does not keep it many times over."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_provider import DONE, END, chunk, events, ok, stop
from tests.support.server import Server
from tests.support.sse_client import Client, text_of

TOKENS, BATCH = 20_000, 20
TOKEN = "forty characters of text to weigh more, "
TEXT_BYTES = TOKENS * len(TOKEN)
TIMES = 12  # two such answers, one after another: small pieces, their text, its copies for the database, what the allocator keeps


def long_answer(request):
    yield ok()
    for _ in range(TOKENS // BATCH):
        yield events(*[chunk(TOKEN)] * BATCH)
        yield 0.002
    yield events(stop()) + DONE + END


def resident(pid: int) -> int:
    """Bytes of memory a process holds."""
    return next(int(line.split()[1]) * 1024 for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))


@pytest.fixture
def fresh(pair) -> Iterator[Server]:
    """A third server on the pair's database, in whose memory no other test has left room."""
    with Server(pair.here.folder, environ=pair.here.environ) as server:
        yield server


def test_a_very_long_answer_streams_whole_and_costs_little_memory(pair, fresh):
    client = Client(fresh.url)
    pid = fresh.worker_pids()[0]

    def ask():
        with client.ask() as connection:
            return list(connection.frames())

    ask()  # what a worker loads with its first question does not count
    pair.provider.default = long_answer
    grown = [-resident(pid)]
    for _ in range(2):
        frames = ask()
        grown.append(resident(pid))
    assert [frame.id for frame in frames] == [(1, seq) for seq in range(1, TOKENS + 3)]
    assert text_of(frames) == TOKEN * TOKENS
    assert frames[-1].event == "chat_completed"
    assert grown[0] + grown[-1] < TIMES * TEXT_BYTES, f"{[(at + grown[0]) / 1e6 for at in grown[1:]]} MB"

    with client.follow(f"/api/chat/streams/{frames[0].data['streamId']}", base=pair.there.url) as connection:
        assert list(connection.frames()) == frames, "the other worker reads it all from the database"
