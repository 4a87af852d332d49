"""Stored parts of logs, and the group commit that writes them: one transaction for all live turns of a worker."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import gevent
import orjson
from gevent.event import AsyncResult, Event
from gevent.lock import RLock
from sqlalchemy import Connection, and_, select, text, tuple_, update

from services import sse
from services.sse import EventId
from services.store import turns
from services.store.database import Database, is_outage
from services.store.models import Segment, Turn, Worker
from services.store.rows import OverRows, packed
from services.streams.log import TurnLog

log = logging.getLogger(__name__)

READ_SEGMENTS = 64      # segments a reader takes at once: a few seconds of a fast stream
FOLLOW_CHUNK = 1_000    # turns asked for in one statement
OUTAGE_PAUSE_S = 1.0
STALLED_S = 5.0           # without a commit while turns live, the writer is not healthy

_MINE = {
    "sqlite": """SELECT json_group_array(json_array(id, attempt, stop_requested)) FROM turns
                 WHERE status = 'running' AND worker_id = :worker""",
    # The row locks keep a takeover from slipping between this check and the inserts. In the order of ids, and after the
    # worker's row, as everywhere: two transactions that lock in one order cannot block each other.
    "postgresql": """SELECT CAST(json_agg(json_build_array(id, attempt, stop_requested)) AS text)
                     FROM (SELECT id, attempt, stop_requested FROM turns WHERE status = 'running' AND worker_id = :worker
                           ORDER BY id FOR NO KEY UPDATE) AS mine""",
}
# A segment is written again when the acknowledgement of its commit was lost: the same frames, and perhaps more.
_STORE = OverRows("""INSERT INTO segments (turn_id, attempt, seq_from, seq_to, frames)
            SELECT {0}, {1}, {2}, {3}, substr(:frames, {4}, {5}) FROM {rows} WHERE true
            ON CONFLICT (turn_id, attempt, seq_from) DO UPDATE SET seq_to = excluded.seq_to, frames = excluded.frames""",
                  "text", "int", "bigint", "bigint", "int", "int")
_NEWER = OverRows("""SELECT stored.turn_id, stored.attempt, stored.seq_from, stored.seq_to, stored.frames
            FROM (SELECT {0} AS id, {1} AS attempt, {2} AS seq FROM {rows}) AS asked CROSS JOIN segments AS stored
            WHERE stored.turn_id = asked.id AND stored.attempt >= asked.attempt
              AND (stored.attempt > asked.attempt OR stored.seq_to > asked.seq)
            ORDER BY stored.turn_id, stored.attempt, stored.seq_from""", "text", "int", "bigint")


class Stored(NamedTuple):
    turn_id: str
    attempt: int
    seq_from: int
    seq_to: int
    frames: bytes


@dataclass(slots=True)
class Ending:
    """A log's last frame, and what ends its turn in the database."""

    log: TurnLog
    frame: bytes
    change: object
    done: AsyncResult = field(default_factory=AsyncResult)

    @property
    def attempt(self) -> tuple[str, int]:
        return self.log.turn_id, self.log.attempt


class SegmentStore:
    """Reading what is stored."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def after(self, turn_id: str, cursor: EventId, limit: int = READ_SEGMENTS) -> list[bytes]:
        """The next frames after `cursor`, in order; none when nothing later is stored."""
        statement = _ordered(and_(Segment.turn_id == turn_id, _later(cursor))).limit(limit)
        rows = self._database.read(lambda session: session.execute(statement).all())
        frames: list[bytes] = []
        for row in rows:
            own = sse.split(row.frames)
            skip = cursor.seq - row.seq_from + 1 if row.attempt == cursor.attempt else 0
            frames += own[max(skip, 0):]
        return frames

    def all(self, turn_id: str) -> list[bytes]:
        """Every stored frame of a turn."""
        return self.after(turn_id, sse.BEGINNING, limit=10_000_000)

    def end(self, turn_id: str) -> tuple[EventId, bool]:
        """The last stored event's id, (1, 0) when there is none, and whether the turn ended with it."""
        statement = (select(Segment.attempt, Segment.seq_to, Segment.frames).where(Segment.turn_id == turn_id)
                     .order_by(Segment.attempt.desc(), Segment.seq_from.desc()).limit(1))
        row = self._database.read(lambda session: session.execute(statement).first())
        if row is None:
            return EventId(1, 0), False
        return EventId(row.attempt, row.seq_to), sse.is_terminal(sse.split(row.frames)[-1])

    def running(self, turn_ids: Sequence[str]) -> set[str]:
        """Those of the turns that have not ended."""
        statement = select(Turn.id).where(Turn.id.in_(turn_ids), Turn.status == "running")
        return self._database.read(lambda session: set(session.scalars(statement)))

    def newer(self, cursors: dict[str, EventId]) -> list[Stored]:
        """What has been stored after each turn's cursor, for all turns in one go, in order."""
        asked = [(turn_id, *cursor) for turn_id, cursor in cursors.items()]
        rows: list[Stored] = []
        for start in range(0, len(asked), FOLLOW_CHUNK):
            chunk = {"rows": packed(asked[start:start + FOLLOW_CHUNK])}
            rows += self._database.read(lambda session: [Stored(*row) for row in session.execute(_NEWER.on(session.connection()), chunk)])
        return rows


def _later(cursor: EventId):
    return tuple_(Segment.attempt, Segment.seq_to) > tuple_(cursor.attempt, cursor.seq)


def _ordered(condition):
    columns = (Segment.turn_id, Segment.attempt, Segment.seq_from, Segment.seq_to, Segment.frames)
    return select(*columns).where(condition).order_by(Segment.turn_id, Segment.attempt, Segment.seq_from)


class SegmentWriter:
    """Writes the live turns of one worker every `interval` seconds, and at once when one of them ends.

    The same transaction is the worker's heartbeat and brings the stop marks back. `end(connection, changes)` ends turns in
    it, comparing and setting, and returns the attempts (turn id, number) that it was theirs to end. `on_stop(turn_id)` and
    `on_lost(turn_id)` tell that somebody wants a turn stopped, and that another worker owns it now.
    """

    def __init__(self, database: Database, worker_id: str, *, interval: float, heartbeat: float, keep: int,
                 end: Callable[[Connection, Sequence[object]], set[tuple[str, int]]],
                 on_stop: Callable[[str], None], on_lost: Callable[[str], None]) -> None:
        self._database = database
        self._worker_id = worker_id
        self._interval = interval
        self._heartbeat = heartbeat
        self._keep = keep
        self._end = end
        self._on_stop = on_stop
        self._on_lost = on_lost
        self._mine = text(_MINE[database.engine.dialect.name])
        self._left = False
        self._live: dict[str, TurnLog] = {}
        self._endings: list[Ending] = []
        self._wake = Event()
        self._committing = RLock()
        self._beat_at = -math.inf
        self._due_at = -math.inf  # when the live turns are written next; what ends meanwhile is written without them
        self.last_commit = time.monotonic()

    def track(self, turn: TurnLog) -> None:
        """Begin to store a turn's log."""
        if self._left:
            return
        if not self._live:
            self.last_commit = time.monotonic()
        self._live[turn.turn_id] = turn
        self._wake.set()

    def look(self) -> None:
        """Commit now: somebody has left a mark in the database."""
        self._due_at = -math.inf
        self._wake.set()

    def finish(self, turn: TurnLog, frame: bytes, change: object) -> bool:
        """Store the last frame together with `change`, which ends the turn; returns when it is committed.

        False when the turn was not ours to end any more; then neither frame nor text was written.
        """
        ending = Ending(turn, frame, change)
        if self._left:
            return False
        self._endings.append(ending)
        self._wake.set()
        won = ending.done.get()
        if won:
            turn.close(frame)
        elif self._live.get(turn.turn_id, turn) is turn:  # else a later attempt of it already runs here
            self._on_lost(turn.turn_id)
        return won

    def is_healthy(self) -> bool:
        """Whether what live turns write reaches the database in time."""
        return self.behind() < STALLED_S

    def behind(self) -> float:
        """Seconds since the last commit while turns live, 0 without: no unstored frame is older."""
        return time.monotonic() - self.last_commit if self._live else 0.0

    def run(self) -> None:
        """The loop, in a greenlet of its own. Sleeps while no turn lives."""
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._live or self._endings:  # what nobody follows any more ends too: lost, or its conversation deleted
                with self._committing:
                    self._round(due=time.monotonic() >= self._due_at)
                while not self._endings and (left := self._due_at - time.monotonic()) > 0:
                    self._wake.wait(left)
                    self._wake.clear()

    def leave(self) -> None:
        """Store what there is, and give up the heartbeat, so that other workers take the running turns over at once."""
        with self._committing:
            self._round(due=True)
            self._left = True  # a later heartbeat would claim the turns back
            self._live.clear()
            endings, self._endings = self._endings, []
            for ending in endings:
                ending.done.set(False)
        gone = update(Worker).where(Worker.id == self._worker_id).values(seen_at=0.0)
        try:
            self._database.commit(lambda connection: connection.execute(gone))
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning("the database cannot be told that this worker leaves; its turns are taken over a little later")

    def _round(self, due: bool) -> None:
        """One commit: of what has ended, and if it is `due`, of what all others have written since the last time."""
        started = time.monotonic()
        live = dict(self._live) if due else {}  # a turn that is tracked during the transaction is not in its snapshot
        endings, self._endings = self._endings, []
        ending_ids = {ending.log.turn_id for ending in endings}
        batch = [segment for turn in live.values() if turn.turn_id not in ending_ids for segment in _pending(turn)]
        beat = started - self._beat_at >= self._heartbeat
        self._due_at = started + self._interval if due else self._due_at  # before the commit: who asks to look meanwhile is heard
        try:
            owned, won = self._database.commit(lambda connection: self._commit(connection, batch, endings, due, beat))
        except Exception as error:
            self._failed(error, endings)
            return
        self.last_commit = time.monotonic() if due else self.last_commit
        self._beat_at = started if beat else self._beat_at
        self._settle(live, batch, endings, owned, won)

    def _failed(self, error: Exception, endings: list[Ending]) -> None:
        if is_outage(error):
            log.warning("the database cannot be reached; %d live turns wait in memory", len(self._live))
            self._endings = endings + self._endings
        else:
            # Frames are bytes and cannot be refused; an ending can. It must not hold up the others for ever.
            log.error("storing live turns failed", exc_info=error)
            for ending in endings:
                ending.done.set_exception(error)
        gevent.sleep(OUTAGE_PAUSE_S)

    def _commit(self, connection: Connection, batch: Sequence[Stored], endings: Sequence[Ending], due: bool,
                beat: bool) -> tuple[dict[str, tuple[int, bool]], set[tuple[str, int]]]:
        if beat:
            turns.beat(connection, self._worker_id)
        owned = self._owned(connection) if due else {}
        rows = [segment for segment in batch if owned.get(segment.turn_id, (0,))[0] == segment.attempt]
        won = self._end(connection, [ending.change for ending in endings]) if endings else set()
        rows += [_last(ending.log, ending.frame) for ending in endings if ending.attempt in won]
        if rows:
            connection.execute(_STORE.on(connection), _in_one(rows))
        return owned, won

    def _owned(self, connection: Connection) -> dict[str, tuple[int, bool]]:
        """This worker's running turns in the database: the attempt, and whether somebody wants it stopped."""
        mine = orjson.loads(connection.execute(self._mine, {"worker": self._worker_id}).scalar() or "[]")
        return {turn_id: (attempt, bool(stop_requested)) for turn_id, attempt, stop_requested in mine}

    def _settle(self, live: dict[str, TurnLog], batch: Sequence[Stored], endings: Sequence[Ending],
                owned: dict[str, tuple[int, bool]], won: set[tuple[str, int]]) -> None:
        for segment in batch:
            turn = self._live.get(segment.turn_id)
            if turn is not None and turn.attempt == segment.attempt and segment.turn_id in owned:
                turn.mark_stored(segment.seq_to, self._keep)
        for ending in endings:
            if self._live.get(ending.log.turn_id) is ending.log:
                del self._live[ending.log.turn_id]
            live.pop(ending.log.turn_id, None)
            ending.done.set(ending.attempt in won)
        for turn_id, turn in live.items():
            if self._live.get(turn_id) is not turn:
                continue
            attempt, stop_requested = owned.get(turn_id, (0, False))
            if attempt != turn.attempt:
                self._live.pop(turn_id, None)
                self._on_lost(turn_id)
            elif stop_requested:
                self._on_stop(turn_id)


def _pending(turn: TurnLog) -> list[Stored]:
    first, frames = turn.unstored()
    return [Stored(turn.turn_id, turn.attempt, first, first + len(frames) - 1, b"".join(frames))] if frames else []


def _last(turn: TurnLog, frame: bytes) -> Stored:
    first, frames = turn.unstored()
    return Stored(turn.turn_id, turn.attempt, first, first + len(frames), b"".join(frames) + frame)


def _in_one(segments: Sequence[Stored]) -> dict[str, str | bytes]:
    """The parameters of `_STORE`: all frames in one piece, and for each segment where its own begin and how long they are."""
    rows, at = [], 1
    for segment in segments:
        rows.append((*segment[:4], at, len(segment.frames)))
        at += len(segment.frames)
    return {"rows": packed(rows), "frames": b"".join([segment.frames for segment in segments])}
