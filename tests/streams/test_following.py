"""Reading a turn that another worker writes, and losing one to it: nothing lost, doubled or reordered."""

import gevent
import pytest

from services import sse
from services.sse import BEGINNING, EventId
from services.store.database import Database
from services.store.models import Conversation, Message, Segment, Turn, User, Worker
from services.streams.log import TurnLog
from services.streams.segments import SegmentStore
from services.streams.service import PolledFeed, Streams


def frames(attempt: int, first: int, last: int) -> list[bytes]:
    return [sse.token_frame(attempt, seq, f"{attempt}.{seq} ") for seq in range(first, last + 1)]


def end(attempt: int, seq: int) -> bytes:
    return b'id: %d-%d\nevent: chat_completed\ndata: {"type":"chat_completed"}\n\n' % (attempt, seq)


def ids(chunks: bytes) -> list[tuple[int, int]]:
    return [sse.parse(one)[0] for one in sse.split_wire(chunks)]


@pytest.fixture
def database(database_url):
    made = Database(database_url.replace("postgresql://", "postgresql+psycopg://"))
    yield made
    made.close()


@pytest.fixture
def turn_id(database):
    def make(session):
        session.add(User(id="u", handle="anon:u"))
        session.flush()
        session.add(Conversation(id="c", user_id="u", title="t"))
        session.flush()
        session.add_all(Message(id=name, conversation_id="c", role="user", assistant_type="general") for name in ("q", "a"))
        session.add(Worker(id="w", host="h", pid=1, seen_at=1.0))
        session.flush()
        session.add(Turn(id="t", user_id="u", conversation_id="c", user_message_id="q", message_id="a", trace_id="x",
                         worker_id="w", question={}))
    database.write(make)
    return "t"


@pytest.fixture
def store(database, turn_id):
    def write(attempt: int, *some: bytes) -> None:
        first, last = sse.parse(some[0])[0].seq, sse.parse(some[-1])[0].seq
        database.write(lambda session: session.add(
            Segment(turn_id=turn_id, attempt=attempt, seq_from=first, seq_to=last, frames=b"".join(some))))
    return write


@pytest.fixture
def streams(database):
    segments = SegmentStore(database)
    made = Streams(segments, PolledFeed(segments, 0.01), flush_ms=5, heartbeat_s=5, retry_ms=1, keep=8)
    loop = gevent.spawn(made.run_follower)
    yield made
    loop.kill()


def read(streams: Streams, turn_id: str, cursor: EventId = BEGINNING) -> gevent.Greenlet:
    return gevent.spawn(lambda: b"".join(streams.follow(turn_id, cursor, running=True)))


def test_a_mirror_gives_every_event_of_both_attempts_in_order(streams, store, turn_id):
    store(1, *frames(1, 1, 30))
    reader = read(streams, turn_id)
    gevent.sleep(0.05)
    store(1, *frames(1, 31, 50))
    gevent.sleep(0.05)
    store(2, *frames(2, 1, 20))
    store(2, *frames(2, 21, 40), end(2, 41))
    assert ids(reader.get(timeout=5)) == [(1, seq) for seq in range(1, 51)] + [(2, seq) for seq in range(1, 42)]


def test_a_mirror_keeps_only_the_newest_frames(streams, store, turn_id):
    reader = read(streams, turn_id)
    gevent.sleep(0.02)
    for first in range(1, 200, 20):
        store(1, *frames(1, first, first + 19))
        gevent.sleep(0.02)
    kept = streams._logs[turn_id]
    assert (kept.last_seq, len(kept._frames)) == (200, 8)
    store(1, end(1, 201))
    assert ids(reader.get(timeout=5)) == [(1, seq) for seq in range(1, 202)]


def test_a_mirror_takes_no_segment_that_leaves_a_gap():
    mirror = TurnLog("t", 1, seq=10, mirror=True)
    mirror.extend(1, 12, frames(1, 12, 14), keep=64)
    assert mirror.end == (1, 10)
    mirror.extend(1, 9, frames(1, 9, 12), keep=64)
    assert mirror.end == (1, 12)
    mirror.extend(2, 5, frames(2, 5, 6), keep=64)
    assert mirror.end == (1, 12)


def test_readers_of_a_lost_turn_go_on_with_the_worker_that_has_it(streams, store, turn_id):
    own = streams.produce(turn_id, 1)
    for number in range(10):
        own.append_token(f"{number} ")
    store(1, *frames(1, 1, 6))  # four events were seen here and never stored
    reader = read(streams, turn_id)
    gevent.sleep(0.05)
    streams.lose(turn_id)
    own.append_token("written by a run that does not know yet ")
    gevent.sleep(0.05)
    store(2, *frames(2, 1, 3), end(2, 4))
    assert ids(reader.get(timeout=5)) == [(1, seq) for seq in range(1, 11)] + [(2, seq) for seq in range(1, 5)]
    assert b"does not know" not in reader.get()


def test_a_turn_that_comes_back_to_its_first_worker_is_written_by_the_new_attempt_alone(streams, turn_id):
    first = streams.produce(turn_id, 1)
    first.append_token("one ")
    reader = read(streams, turn_id)
    gevent.sleep(0.02)
    streams.lose(turn_id)
    second = streams.produce(turn_id, 3)
    first.append_token("late ")
    second.append_token("three ")
    second.close(end(3, 2))
    streams.release(first)
    assert ids(reader.get(timeout=5)) == [(1, 1), (3, 1), (3, 2)]
    assert b"late" not in reader.get()


def test_nothing_is_skipped_when_frames_are_stored_and_forgotten_while_the_database_answers(streams, store, turn_id, monkeypatch):
    own = streams.produce(turn_id, 2)
    asked = streams._segments.after

    def slow(turn_id, cursor, limit=64):
        found = asked(turn_id, cursor, limit)
        if not found and own.last_seq == 0:  # meanwhile the turn goes on, is stored, and its tail is cut
            for number in range(1, 31):
                own.append_token(f"2.{number} ")
            store(2, *frames(2, 1, 30))
            own.mark_stored(30, keep=8)
        return found

    monkeypatch.setattr(streams._segments, "after", slow)
    reader = read(streams, turn_id, EventId(1, 5))
    with gevent.Timeout(5):
        while own.last_seq < 30:
            gevent.sleep(0.01)
    own.close(end(2, 31))
    assert ids(reader.get(timeout=5)) == [(2, seq) for seq in range(1, 32)]


def test_readers_of_a_deleted_turn_end(streams, store, turn_id, database, monkeypatch):
    monkeypatch.setattr("services.streams.service.SWEEP_S", 0.1)
    store(1, *frames(1, 1, 3))
    reader = read(streams, turn_id)
    gevent.sleep(0.05)
    database.write(lambda session: session.delete(session.get(Conversation, "c")))
    assert ids(reader.get(timeout=5)) == [(1, 1), (1, 2), (1, 3)]
    assert streams.readers() == 0 and not streams._logs


def test_a_turn_lost_without_readers_leaves_nothing_to_follow(streams, turn_id):
    streams.produce(turn_id, 1)
    streams.lose(turn_id)
    assert not streams._logs


def test_what_is_newer_is_found_for_many_turns_in_one_question(database, store, turn_id):
    store(1, *frames(1, 1, 10))
    store(1, *frames(1, 11, 20))
    store(2, *frames(2, 1, 5))
    segments = SegmentStore(database)
    cursors = {f"nobody-{number}": EventId(1, 0) for number in range(1_500)} | {turn_id: EventId(1, 10)}
    assert [(part.attempt, part.seq_from, part.seq_to) for part in segments.newer(cursors)] == [(1, 11, 20), (2, 1, 5)]
    assert [part.seq_from for part in segments.newer({turn_id: EventId(1, 5)})] == [1, 11, 1]
    assert segments.newer({turn_id: EventId(2, 5)}) == []


def test_a_reader_ahead_of_a_worker_that_was_overtaken_and_does_not_know_it_is_not_refused(streams, store, turn_id):
    own = streams.produce(turn_id, 1)
    for number in range(5):
        own.append_token(f"{number} ")
    assert streams.is_ahead(turn_id, EventId(1, 6))
    assert not streams.is_ahead(turn_id, EventId(2, 3))
    store(1, *frames(1, 1, 5))
    store(2, *frames(2, 1, 4), end(2, 5))
    reader = read(streams, turn_id, EventId(2, 3))
    gevent.sleep(0.05)
    streams.lose(turn_id)
    assert ids(reader.get(timeout=5)) == [(2, 4), (2, 5)]


@pytest.mark.parametrize(("written", "counts_as"), [(10.03, 10.03), (10.04, 10.04), (10.07, 10.04), (10.09, 10.09)])
def test_one_late_write_does_not_make_those_after_it_late(streams, monkeypatch, written, counts_as):
    """A provider is read at a steady beat: what comes 40 ms after a write that was due 30 ms ago must not wait for 30 ms."""
    monkeypatch.setattr(streams, "_flush", 0.04)
    monkeypatch.setattr("services.streams.service.time.monotonic", lambda: written)
    assert streams._written(10.0) == pytest.approx(counts_as)
