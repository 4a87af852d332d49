"""Streams: who writes a turn's log here, and everybody who reads one, wherever it is written."""

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

import gevent
from gevent.event import Event

from services import sse
from services.sse import EventId
from services.store.database import is_outage
from services.streams.log import TurnLog
from services.streams.segments import SegmentStore, Stored

log = logging.getLogger(__name__)

DRAIN_SPREAD_MS = 2_000  # readers that a shutdown ends come back spread over this time
SWEEP_S = 1.0            # how often the database is asked about mirrors that have heard nothing
OUTAGE_PAUSE_S = 0.5
OUTAGE_PATIENCE_S = 10.0  # how long a reader waits for the database before it is told to come back
TOKEN_LINE = b"\nevent: token\n"
T = TypeVar("T")


class Feed(Protocol):
    """How what one worker writes reaches the others before they find it in the database by themselves.

    `on_look` is called when another worker has left a mark for this one in the database.
    """

    on_look: Callable[[], None]

    def loops(self) -> list[Callable[[], None]]:
        """What has to run in greenlets of its own."""

    def track(self, turn: TurnLog) -> None:
        """Carry what this log, written here, gets from now on to whoever follows it elsewhere."""

    def newer(self, cursors: dict[str, EventId]) -> list[Stored]:
        """What came after each turn's cursor, in order; waits a moment for it. Later parts may be left out, earlier not."""

    def wake(self) -> None:
        """The set of followed turns has changed: a waiting `newer` should return."""

    def rest(self) -> None:
        """Nobody follows anything any more."""

    def ask_to_look(self, worker_id: str) -> None:
        """Wake another worker's writer: a mark for it is in the database."""


class PolledFeed:
    """Without anything else the database is asked again and again."""

    on_look: Callable[[], None]

    def __init__(self, segments: SegmentStore, interval: float) -> None:
        self._segments = segments
        self._interval = interval

    def loops(self) -> list[Callable[[], None]]:
        return []

    def track(self, turn: TurnLog) -> None:
        """Its segments are enough."""

    def newer(self, cursors: dict[str, EventId]) -> list[Stored]:
        gevent.sleep(self._interval)
        return self._segments.newer(cursors)

    def wake(self) -> None:
        """The next question is soon enough."""

    def rest(self) -> None:
        """Nothing is held."""

    def ask_to_look(self, worker_id: str) -> None:
        """A writer looks by itself with every commit."""


class Streams:
    """The logs alive on this worker, its own and mirrors of other workers' logs that somebody here follows."""

    def __init__(self, segments: SegmentStore, feed: Feed, *, flush_ms: int, heartbeat_s: float, retry_ms: int, keep: int) -> None:
        self._segments = segments
        self._feed = feed
        self._flush = flush_ms / 1000
        self._heartbeat = heartbeat_s
        self._retry_ms = retry_ms
        self._keep = keep
        self._logs: dict[str, TurnLog] = {}
        self._readers: Counter[str] = Counter()
        self._mirrored = Event()
        self.draining = False

    def produce(self, turn_id: str, attempt: int) -> TurnLog:
        """The log this worker writes from now on. Whoever mirrored it here reads on without noticing."""
        turn = self._logs.setdefault(turn_id, TurnLog(turn_id, attempt))
        if turn.mirror:
            turn.mirror = False
            turn.restart(attempt)
        self._feed.track(turn)
        return turn

    def release(self, turn: TurnLog) -> None:
        """This worker writes it no more. Open readers keep their log; later ones read what is stored."""
        if self._logs.get(turn.turn_id) is turn and not turn.mirror:
            del self._logs[turn.turn_id]

    def lose(self, turn_id: str) -> None:
        """Another worker writes it now: readers here follow that one, and what is still written here is for nobody."""
        turn = self._logs.get(turn_id)
        if turn is not None and not turn.mirror:
            mirror = turn.succeed()
            if self._readers[turn_id]:
                self._logs[turn_id] = mirror
                self._follow_others()
            else:
                del self._logs[turn_id]

    def close(self, turn_id: str) -> None:
        """It has been deleted: readers here end."""
        turn = self._logs.pop(turn_id, None)
        if turn is not None:
            turn.close(None)

    def readers(self, turn_id: str | None = None) -> int:
        """How many readers this worker has, of one turn or of all."""
        return self._readers.total() if turn_id is None else self._readers[turn_id]

    def end(self, turn_id: str) -> EventId:
        """The last event of a turn that has ended: as stored, for the log in memory shows it only after the commit."""
        return self._segments.end(turn_id)[0]

    def ask_to_look(self, worker_id: str) -> None:
        """Wake another worker's writer: a mark for it is in the database."""
        self._feed.ask_to_look(worker_id)

    def is_ahead(self, turn_id: str, cursor: EventId) -> bool:
        """Whether an id is past everything there is. Only the worker that writes the log can tell: what a client has
        read there may not be stored yet. Even it cannot for a later attempt: it may have been overtaken just now."""
        turn = self._logs.get(turn_id)
        return turn is not None and not turn.mirror and cursor.attempt == turn.attempt and cursor > turn.end

    def drain(self) -> None:
        """End all readers; each is told when to come back."""
        self.draining = True
        for turn in self._logs.values():
            turn.bell.ring()

    def follow(self, turn_id: str, cursor: EventId, running: bool) -> Iterator[bytes]:
        """The response of one reader: everything after `cursor`, then what comes, until the turn's last event.

        `running` is whether the turn had ended when the reader asked; an ended one is read from storage alone.
        """
        yield sse.opening(self._retry_ms)  # no blank line yet: what follows becomes part of this frame
        self._readers[turn_id] += 1
        try:
            if running or turn_id in self._logs:
                yield from self._read(self._patiently(lambda: self._open(turn_id)), cursor)
            else:
                yield from self._replay(turn_id, cursor)
        except _StillAway:
            yield self._come_back()
        finally:
            self._leave(turn_id)

    def _replay(self, turn_id: str, cursor: EventId) -> Iterator[bytes]:
        while frames := self._patiently(lambda: self._segments.after(turn_id, cursor)):
            cursor = _last_id(frames)
            yield b"".join(frames)

    def _open(self, turn_id: str) -> TurnLog:
        turn = self._logs.get(turn_id)
        if turn is None:
            (attempt, seq), closed = self._segments.end(turn_id)
            # Asking the database let other greenlets run: one of them may have opened it meanwhile.
            turn = self._logs.setdefault(turn_id, TurnLog(turn_id, attempt, seq=seq, mirror=True, closed=closed))
            self._follow_others()
        return turn

    def _follow_others(self) -> None:
        self._mirrored.set()
        self._feed.wake()

    def _leave(self, turn_id: str) -> None:
        self._readers[turn_id] -= 1
        if self._readers[turn_id] <= 0:
            del self._readers[turn_id]
            turn = self._logs.get(turn_id)
            if turn is not None and turn.mirror:
                del self._logs[turn_id]

    def _read(self, turn: TurnLog, cursor: EventId) -> Iterator[bytes]:
        written_at, paced = 0.0, False
        while not self.draining:
            turn = turn.latest()
            frames = turn.after(cursor)
            if frames is None:
                frames, cursor, over = self._stored(turn, cursor)
                if over:
                    return
            elif frames:
                cursor = turn.end
            elif turn.closed:
                return
            elif not turn.bell.wait(self._heartbeat):
                yield sse.HEARTBEAT
            elif paced and not turn.closed:
                self._pace(written_at)
            if frames:
                chunk = b"".join(frames)
                yield chunk
                written_at = self._written(written_at)
                paced = paced or TOKEN_LINE in chunk
        yield self._come_back()

    def _stored(self, turn: TurnLog, cursor: EventId) -> tuple[list[bytes], EventId, bool]:
        """Frames older than the tail in memory, the cursor after them, and whether there will be no more."""
        # As they are before the database answers: what is committed and forgotten meanwhile must not be skipped.
        tail, closed = EventId(turn.attempt, turn.first_seq - 1), turn.closed
        frames = self._patiently(lambda: self._segments.after(turn.turn_id, cursor))
        if frames:
            return frames, _last_id(frames), False
        if tail.seq == 0:
            return [], tail, False  # a new attempt, and of the ones before it there is nothing more
        if not closed:
            gevent.sleep(self._flush)  # mirrored before it was stored: it will be, or the next attempt begins
        return [], cursor, closed

    def _patiently(self, ask: Callable[[], T]) -> T:
        """The database's answer. During an outage the reader's connection stays open for a while."""
        until = time.monotonic() + OUTAGE_PATIENCE_S
        while True:
            try:
                return ask()
            except Exception as error:
                if not is_outage(error):
                    raise
                if self.draining or time.monotonic() > until:
                    raise _StillAway from error
                gevent.sleep(OUTAGE_PAUSE_S)

    def _come_back(self) -> bytes:
        return b"retry: %d\n\n" % (self._retry_ms + random.randrange(DRAIN_SPREAD_MS))

    def _written(self, before: float) -> float:
        """When the next write counts from. One that was late must not make all after it late: what comes at a steady beat
        would be early from then on, and wait each time."""
        now, due = time.monotonic(), before + self._flush
        return due if due <= now < due + self._flush else now

    def _pace(self, written_at: float) -> None:
        early = written_at + self._flush - time.monotonic()
        # A provider is read at this pace too, so most wake-ups are due, and a timer for a last ms is not worth it.
        if early > self._flush / 4:
            gevent.sleep(early)

    def run_follower(self) -> None:
        """The loop that reads other workers' logs for all readers here, in a greenlet of its own."""
        swept_at, before = time.monotonic(), {}
        while True:
            self._mirrored.wait()
            mirrors = {turn_id: turn for turn_id, turn in self._logs.items() if turn.mirror and not turn.closed}
            if not mirrors:
                self._mirrored.clear()
                self._feed.rest()
                continue
            try:
                self._extend(mirrors, self._feed.newer({turn_id: turn.end for turn_id, turn in mirrors.items()}))
                if time.monotonic() - swept_at >= SWEEP_S:
                    self._sweep({turn_id: turn for turn_id, turn in mirrors.items() if before.get(turn_id) == turn.end})
                    swept_at, before = time.monotonic(), {turn_id: turn.end for turn_id, turn in mirrors.items()}
            except Exception as error:
                if not is_outage(error):
                    raise
                log.warning("following other workers failed: %s", type(error).__name__)
                gevent.sleep(OUTAGE_PAUSE_S)

    def _extend(self, mirrors: dict[str, TurnLog], parts: list[Stored]) -> None:
        for part in parts:
            turn = mirrors[part.turn_id]
            if turn.mirror:
                turn.extend(part.attempt, part.seq_from, sse.split(part.frames), self._keep)

    def _sweep(self, quiet: dict[str, TurnLog]) -> None:
        """Ask the database about mirrors that heard nothing: whoever writes them may not reach us by other ways."""
        quiet = {turn_id: turn for turn_id, turn in quiet.items() if turn.mirror and not turn.closed}
        if not quiet:
            return
        running = self._segments.running(list(quiet))
        self._extend(quiet, self._segments.newer({turn_id: turn.end for turn_id, turn in quiet.items()}))
        for turn_id in quiet.keys() - running:
            if not quiet[turn_id].closed and quiet[turn_id].mirror:
                self.close(turn_id)  # deleted: it ended before the question, and left no last event


class _StillAway(Exception):
    """The database has been away for longer than a reader is kept waiting."""


def _last_id(frames: list[bytes]) -> EventId:
    return sse.parse(frames[-1])[0]
