"""Streams through Redis: fast while it is there, whole when it is not."""

import time

import gevent
import pytest
from gevent.event import Event

from app import create_app
from services import sse
from services.bus import Bus, Entry
from services.llm.breaker import CLOSED, OPEN
from services.llm.failures import Failure
from services.llm.routes import Board
from services.llm.sharing import SharedCircuits
from services.questions import Question
from services.settings import Settings
from services.sse import EventId
from services.store.models import Turn
from services.streams.redis import _fitting
from services.streams.segments import Stored
from tests.support.fixtures import services_of
from tests.support.llm import began, finished, words

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture
def workers(tmp_path, database_url, redis_server, llm):
    """`workers()` is another worker; the database is asked seldom, so that what comes in time came through Redis."""
    made = []

    def make(**more):
        settings = Settings(instance_dir=tmp_path, database_url=database_url, redis_url=redis_server.url, rate_limits=False, **more)
        made.append(services_of(create_app(settings, llm)))
        return made[-1]

    yield make
    for services in made:
        services.close()


def ask(services) -> Turn:
    return services.chat.start(services.users.ensure("claimed:tester"), Question(message="What is beta?", workflow="off"))


class Reader:
    """Follows a turn on some worker and notes when each frame came."""

    def __init__(self, services, turn: Turn) -> None:
        self.frames: list[tuple[float, bytes]] = []
        self.greenlet = gevent.spawn(self._read, services, turn)

    def _read(self, services, turn: Turn) -> None:
        for chunk in services.chat.follow(services.chat.find(turn.user_id, turn.id)):
            self.frames += [(time.monotonic(), one) for one in sse.split_wire(chunk)]

    def ids(self) -> list[EventId]:
        return [sse.parse(one)[0] for _, one in self.frames]


def until(condition, timeout: float = 10.0) -> None:
    with gevent.Timeout(timeout):
        while not condition():
            gevent.sleep(0.01)


def connected(services) -> bool:
    return services.streams._feed._bus.connected


def test_a_reader_elsewhere_has_frames_before_they_are_committed(workers, llm):
    one, two = workers(segment_interval_ms=60_000), workers()
    hold = Event()
    llm.play(began(), *words("these words are in no database"), hold, finished())
    turn = ask(one)
    reader = Reader(two, turn)
    gevent.sleep(0.3)  # the first commit is done; the next one is a minute away
    stored = one.chat._segments.end(turn.id)[0]
    began_at = time.monotonic()
    one.streams._logs[turn.id].append_token(" at all")
    until(lambda: reader.ids() and reader.ids()[-1] > stored)
    assert reader.frames[-1][0] - began_at < 0.5
    hold.set()
    reader.greenlet.join(5)
    assert reader.ids() == [EventId(1, seq) for seq in range(1, len(reader.frames) + 1)]
    assert sse.is_terminal(reader.frames[-1][1])


def test_the_last_event_is_in_the_database_before_it_is_in_redis(workers, llm, redis_server, monkeypatch):
    one = workers()
    hold, ending = Event(), Event()
    llm.play(began(), *words("some text"), hold, finished())
    turn = ask(one)
    gevent.sleep(0.3)
    commit = one.database.commit
    monkeypatch.setattr(one.database, "commit", lambda work: (ending.wait(), commit(work))[1])
    hold.set()
    gevent.sleep(0.4)
    entries = redis_server.client().xrange(f"tickertape:turn:{turn.id}")
    assert entries and not any(b"chat_completed" in fields[b"frames"] for _, fields in entries)
    ending.set()
    until(lambda: any(b"chat_completed" in fields[b"frames"]
                      for _, fields in redis_server.client().xrange(f"tickertape:turn:{turn.id}")))
    assert one.chat._segments.end(turn.id)[1]


def test_a_stop_on_another_worker_arrives_at_once(workers, llm):
    one, two = workers(segment_interval_ms=60_000), workers()
    llm.play(began(), *words("to be stopped"), Event(), finished())
    turn = ask(one)
    until(lambda: connected(one))
    gevent.sleep(0.3)
    asked = time.monotonic()
    two.chat.stop(two.chat.find(turn.user_id, turn.id))
    until(lambda: not one.chat.running)
    assert time.monotonic() - asked < 1.0
    assert two.chat.find(turn.user_id, turn.id).status == "stopped"


def test_nothing_is_lost_when_redis_goes_and_comes_back_empty(workers, llm, redis_server):
    one, two = workers(), workers()
    enough = Event()
    llm.play_while(lambda: not enough.is_set(), *words("w "), 0.03)
    turn = ask(one)
    readers = [Reader(two, turn)]
    until(lambda: len(readers[0].frames) > 10)
    redis_server.stop()
    until(lambda: not connected(two))
    before = len(readers[0].frames)
    readers.append(Reader(two, turn))
    until(lambda: len(readers[0].frames) > before + 10)
    redis_server.start()
    until(lambda: connected(two))
    readers.append(Reader(two, turn))
    before = len(readers[0].frames)
    until(lambda: len(readers[0].frames) > before + 10)
    enough.set()
    for reader in readers:
        reader.greenlet.join(15)
        assert reader.ids() == [EventId(1, seq) for seq in range(1, len(reader.frames) + 1)]
        assert sse.is_terminal(reader.frames[-1][1])


def test_a_takeover_is_followed_through_the_database_and_then_through_redis(workers, llm):
    one, two, three = workers(), workers(), workers()
    first, second = Event(), Event()
    llm.play(began(), *words("the first try"), first, finished())
    llm.play(began(), *words("the second try"), second, *words(" ends"), finished())
    turn = ask(one)
    reader = Reader(three, turn)
    gevent.sleep(0.4)
    one.streams.drain()
    one.chat.hand_over()
    two.housekeeping.adopt()
    until(lambda: reader.ids()[-1].attempt == 2)
    second.set()
    reader.greenlet.join(5)
    ids = reader.ids()
    assert ids == sorted(set(ids)) and sse.is_terminal(reader.frames[-1][1])
    for attempt in (1, 2):
        seqs = [each.seq for each in ids if each.attempt == attempt]
        assert seqs == list(range(1, len(seqs) + 1))
    first.set()


def test_frames_that_never_reached_redis_come_from_the_database(workers, llm, redis_server):
    one, two = workers(), workers()
    hold = Event()
    llm.play(began(), *words("before"), 0.5, *words(" this part is dropped"), 0.25, *words(" and this is not"), hold, finished())
    turn = ask(one)
    until(lambda: connected(one) and connected(two))
    reader = Reader(two, turn)
    gevent.sleep(0.3)
    add, dropped = one.streams._feed._bus._add, []

    def losing(entries):
        if len(dropped) < 1 and any(b"dropped" in entry.fields.get("frames", b"") for entry in entries):
            dropped.append(entries)
        else:
            add(entries)

    one.streams._feed._bus._add = losing
    until(lambda: dropped and b"not" in reader.frames[-1][1])
    hold.set()
    reader.greenlet.join(5)
    assert dropped
    assert reader.ids() == [EventId(1, seq) for seq in range(1, len(reader.frames) + 1)]


def test_a_worker_keeps_two_connections_however_many_turns_it_follows(workers, llm, redis_server):
    one, two = workers(), workers()
    hold = Event()
    turns = []
    for _ in range(20):
        llm.play(began(), *words("quiet"), hold, finished())
        turns.append(ask(one))
    readers = [Reader(two, turn) for turn in turns for _ in range(3)]
    until(lambda: all(len(reader.frames) >= 2 for reader in readers))
    clients = [each for each in redis_server.client().client_list() if each["cmd"] != "client|list"]
    assert len(clients) <= 4
    hold.set()
    gevent.joinall([reader.greenlet for reader in readers], timeout=10)
    until(lambda: not two.streams._feed._followed)


def test_an_overtaken_worker_cannot_write_below_the_attempt_that_took_over(redis_server):
    bus = Bus(redis_server.url)
    bus._add([Entry("turn", {"n": 2}, "2-1")])
    bus._add([Entry("turn", {"n": 1}, "1-90")])
    assert [identity for identity, _ in redis_server.client().xrange("turn")] == [b"2-1"]
    bus.close()


def part(attempt: int, first: int, last: int, turn_id: str = "t") -> Stored:
    return Stored(turn_id, attempt, first, last, b"")


@pytest.mark.parametrize(("parts", "fitting", "broken"), [
    ([part(1, 5, 7)], [(5, 7)], False),
    ([part(1, 3, 7)], [(3, 7)], False),
    ([part(1, 1, 4)], [], False),
    ([part(1, 6, 7)], [], True),
    ([part(1, 5, 6), part(1, 8, 9)], [(5, 6)], True),
    ([part(2, 1, 2)], [], True),
    ([part(1, 1, 9, "another")], [], False),
])
def test_only_parts_that_go_on_at_the_cursor_are_taken(parts, fitting, broken):
    whole, ends, gaps = _fitting(parts, {"t": EventId(1, 4)})
    assert [(each.seq_from, each.seq_to) for each in whole] == fitting
    assert gaps == ({"t"} if broken else set())
    assert ends["t"].seq == (fitting[-1][1] if fitting else 4)


def test_a_circuit_that_opens_on_one_worker_is_open_on_the_others_and_closes_there_too(redis_server):
    boards, buses, loops = (Board(), Board()), [], []
    for board in boards:
        buses.append(Bus(redis_server.url))
        board.shared = SharedCircuits(buses[-1], board)
        loops += [gevent.spawn(buses[-1].run_sender), gevent.spawn(buses[-1].run_receiver)]
    try:
        here, there = boards
        here.provider("groq").failed(time.monotonic(), 0, Failure("rate_limited", retry_after=30.0))
        here.shared.attempt_ended(None, None)
        until(lambda: there.provider("groq").state(time.monotonic()) == OPEN)
        assert 25 < there.provider("groq").until - time.monotonic() < 31
        assert there.provider("groq").reason == here.provider("groq").reason
        lease = there.provider("groq").take(time.monotonic())
        there.provider("groq").succeeded(lease)
        there.shared.attempt_ended(None, None)
        until(lambda: here.provider("groq").state(time.monotonic()) == CLOSED)
    finally:
        gevent.killall(loops)
        for bus in buses:
            bus.close()
