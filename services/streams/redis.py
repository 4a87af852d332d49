"""Logs through Redis Streams, so that readers elsewhere get frames before the database is asked, and in fewer questions.

An entry's id is the id of its last event, `<attempt>-<seq>`. Redis refuses ids that do not grow, so a worker that was
overtaken cannot write below the attempt that took over. Frames go out before they are committed, as they do to readers on
the writing worker; the last one of a turn only after. docs/decisions.md has the reasoning.
"""

import time
from collections.abc import Callable, Mapping

import gevent
from gevent.event import Event

from services.bus import Bus, Entry
from services.sse import EventId
from services.streams.log import TurnLog
from services.streams.segments import SegmentStore, Stored
from services.streams.service import PolledFeed

PUBLISH_S = 0.04         # at most so often for one turn, and less often with many:
PUBLISH_PER_TURN_S = 0.0005  # an entry costs 18 µs of CPU, so this bounds it at 4 % of a core
WAIT_S = 1.0
KEEP_ENTRIES = 200       # of one turn: the database has the rest
EXPIRE_S = 120
RENEW_S = 30.0


class RedisFeed:
    """A Feed. Whatever Redis does not have, has not yet, or cannot be asked for comes from the database."""

    def __init__(self, bus: Bus, segments: SegmentStore, worker_id: str, interval: float) -> None:
        self._bus = bus
        self._segments = segments
        self._worker_id = worker_id
        self._interval = interval
        self._polled = PolledFeed(segments, interval)
        self._tracked: dict[TurnLog, EventId] = {}   # logs written here, and the last event of each that went out
        self._renewed: dict[TurnLog, float] = {}
        self._tracking = Event()
        self._followed: set[str] = set()
        self._parts: list[Stored] = []
        self._arrived = Event()
        self.on_look: Callable[[], None] = lambda: None
        bus.on_change = self._arrived.set
        bus.listen(_worker_key(worker_id), self._told)

    def loops(self) -> list[Callable[[], None]]:
        return [self._bus.run_sender, self._bus.run_receiver, self.run_publisher]

    # ---- what is written here

    def track(self, turn: TurnLog) -> None:
        self._tracked[turn] = turn.end
        self._tracking.set()

    def run_publisher(self) -> None:
        """The loop that sends new frames, in a greenlet of its own."""
        while True:
            self._tracking.wait()
            if not self._tracked:
                self._tracking.clear()
                continue
            entries = [entry for turn in list(self._tracked) for entry in self._news(turn)]
            if entries:
                self._bus.send(*entries)
            gevent.sleep(max(PUBLISH_S, len(self._tracked) * PUBLISH_PER_TURN_S))

    def _news(self, turn: TurnLog) -> list[Entry]:
        """What has been appended since, as one entry; none for a log that is nobody's any more."""
        sent, end = self._tracked[turn], turn.end
        if turn.closed or turn.successor is not None:
            del self._tracked[turn]
            self._renewed.pop(turn, None)
        else:
            self._tracked[turn] = end
        if turn.successor is not None or end == sent:
            return []
        first = max(sent.seq + 1, turn.first_seq) if sent.attempt == end.attempt else turn.first_seq
        frames = turn.after(EventId(end.attempt, first - 1))
        fields = {"from": first, "frames": b"".join(frames)}
        return [Entry(_turn_key(turn.turn_id), fields, str(end), KEEP_ENTRIES, self._expiry(turn))]

    def _expiry(self, turn: TurnLog) -> int | None:
        """The time to live, now and then: each renewal is a command."""
        now = time.monotonic()
        if now - self._renewed.get(turn, -RENEW_S) < RENEW_S:
            return None
        if turn in self._tracked:
            self._renewed[turn] = now
        return EXPIRE_S

    # ---- what is read here

    def wake(self) -> None:
        self._arrived.set()

    def rest(self) -> None:
        self._listen({})
        self._parts.clear()

    def ask_to_look(self, worker_id: str) -> None:
        self._bus.send(Entry(_worker_key(worker_id), {"word": "look"}, expire_s=EXPIRE_S))

    def _interrupt(self) -> None:
        """Have the read that is waiting return, by way of this worker's own stream, and begin with what is listened to now."""
        self._bus.send(Entry(_worker_key(self._worker_id), {"word": "wake"}, expire_s=EXPIRE_S))

    def newer(self, cursors: dict[str, EventId]) -> list[Stored]:
        """As the Feed's. Parts that leave a gap, or begin an attempt, are asked of the database: it alone knows all."""
        self._listen(cursors)
        if not self._bus.connected:
            return self._forward(self._polled.newer(cursors))
        self._arrived.wait(WAIT_S)
        self._arrived.clear()
        parts, self._parts = self._parts, []
        whole, ends, broken = _fitting(parts, cursors)
        if broken:
            gevent.sleep(self._interval)
            stored = self._segments.newer({turn_id: ends[turn_id] for turn_id in broken})
            for part in stored:
                ends[part.turn_id] = EventId(part.attempt, part.seq_to)
            for turn_id in broken:
                self._bus.listen(_turn_key(turn_id), self._heard, after=str(ends[turn_id]))
            self._interrupt()
            whole += stored
        return whole

    def _listen(self, cursors: Mapping[str, EventId]) -> None:
        for turn_id in self._followed - cursors.keys():
            self._bus.mute(_turn_key(turn_id))
        added = cursors.keys() - self._followed
        for turn_id in added:
            self._bus.listen(_turn_key(turn_id), self._heard, after=str(cursors[turn_id]))
        self._followed = set(cursors)
        if added:
            self._interrupt()

    def _forward(self, stored: list[Stored]) -> list[Stored]:
        """Once Redis is back it is read from where the database has brought us."""
        for part in stored:
            self._bus.listen(_turn_key(part.turn_id), self._heard, after=f"{part.attempt}-{part.seq_to}")
        return stored

    def _heard(self, key: str, identity: str, fields: Mapping[bytes, bytes]) -> None:
        attempt, last = identity.split("-")
        self._parts.append(Stored(key.removeprefix(TURN), int(attempt), int(fields[b"from"]), int(last), fields[b"frames"]))
        self._arrived.set()

    def _told(self, key: str, identity: str, fields: Mapping[bytes, bytes]) -> None:
        if fields[b"word"] == b"look":
            self.on_look()


TURN, WORKER = "tickertape:turn:", "tickertape:worker:"


def _turn_key(turn_id: str) -> str:
    return TURN + turn_id


def _worker_key(worker_id: str) -> str:
    return WORKER + worker_id


def _fitting(parts: list[Stored], cursors: Mapping[str, EventId]) -> tuple[list[Stored], dict[str, EventId], set[str]]:
    """The parts that go on where a turn's cursor is, the cursors after them, and the turns with a part that does not.

    The beginning of an attempt never fits: what the one before it stored last may not have been seen here.
    """
    whole, ends, broken = [], dict(cursors), set()
    for part in parts:
        end = ends.get(part.turn_id)
        if end is None or (part.attempt, part.seq_to) <= end or part.turn_id in broken:
            continue
        if part.attempt == end.attempt and part.seq_from <= end.seq + 1:
            whole.append(part)
            ends[part.turn_id] = EventId(part.attempt, part.seq_to)
        else:
            broken.add(part.turn_id)
    return whole, ends, broken
