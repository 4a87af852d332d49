"""Streams: who writes a turn's log here, and everybody who reads one, wherever it is written."""

import logging
import random
import time
from collections.abc import Iterator

import gevent
from gevent.event import Event

from services import sse
from services.sse import EventId
from services.store.database import is_outage
from services.streams.log import TurnLog
from services.streams.segments import SegmentStore

log = logging.getLogger(__name__)

DRAIN_SPREAD_MS = 2_000  # readers that a shutdown ends come back spread over this time
TOKEN_LINE = b"\nevent: token\n"


class Streams:
    """The logs alive on this worker, its own and mirrors of other workers' logs that somebody here follows."""

    def __init__(self, segments: SegmentStore, *, flush_ms: int, heartbeat_s: float, retry_ms: int, follow_ms: int) -> None:
        self._segments = segments
        self._flush = flush_ms / 1000
        self._heartbeat = heartbeat_s
        self._retry_ms = retry_ms
        self._follow = follow_ms / 1000
        self._logs: dict[str, TurnLog] = {}
        self._mirrored = Event()
        self.draining = False

    def produce(self, turn_id: str, attempt: int) -> TurnLog:
        """The log this worker writes from now on. Whoever mirrored it here reads on without noticing."""
        turn = self._logs.setdefault(turn_id, TurnLog(turn_id, attempt))
        if turn.mirror:
            turn.mirror = False
            turn.restart(attempt)
        return turn

    def release(self, turn: TurnLog) -> None:
        """This worker writes it no more. Open readers keep their log; later ones read what is stored."""
        if self._logs.get(turn.turn_id) is turn:
            del self._logs[turn.turn_id]

    def lose(self, turn_id: str) -> None:
        """Another worker writes it now: readers here follow that one."""
        turn = self._logs.get(turn_id)
        if turn is not None:
            turn.mirror = True
            self._mirrored.set()

    def close(self, turn_id: str) -> None:
        """It has been deleted: readers here end."""
        turn = self._logs.pop(turn_id, None)
        if turn is not None:
            turn.close(None)

    def readers(self, turn_id: str | None = None) -> int:
        """How many readers this worker has, of one turn or of all."""
        if turn_id is None:
            return sum(turn.readers for turn in self._logs.values())
        return self._logs[turn_id].readers if turn_id in self._logs else 0

    def end(self, turn_id: str) -> EventId:
        """The last event there is, as far as this worker knows."""
        turn = self._logs.get(turn_id)
        return turn.end if turn is not None and not turn.mirror else self._segments.end(turn_id)[0]

    def is_ahead(self, turn_id: str, cursor: EventId) -> bool:
        """Whether an id is past everything there is. Only the worker that writes the log can tell: what a client has
        read there may not be stored yet."""
        turn = self._logs.get(turn_id)
        return turn is not None and not turn.mirror and cursor > turn.end

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
        if not running and turn_id not in self._logs:
            yield from self._replay(turn_id, cursor)
            return
        turn = self._open(turn_id)
        turn.readers += 1
        try:
            yield from self._read(turn, cursor)
        finally:
            turn.readers -= 1
            if turn.mirror and turn.readers == 0:
                self.release(turn)

    def _replay(self, turn_id: str, cursor: EventId) -> Iterator[bytes]:
        while frames := self._segments.after(turn_id, cursor):
            cursor = _last_id(frames)
            yield b"".join(frames)

    def _open(self, turn_id: str) -> TurnLog:
        turn = self._logs.get(turn_id)
        if turn is None:
            (attempt, seq), closed = self._segments.end(turn_id)
            # Asking the database let other greenlets run: one of them may have opened it meanwhile.
            turn = self._logs.setdefault(turn_id, TurnLog(turn_id, attempt, seq=seq, mirror=True, closed=closed))
            self._mirrored.set()
        return turn

    def _read(self, turn: TurnLog, cursor: EventId) -> Iterator[bytes]:
        written_at, paced = 0.0, False
        while not self.draining:
            frames = turn.after(cursor)
            if frames is None:
                tail = EventId(turn.attempt, turn.first_seq - 1)  # as it is before the wait: it may move on meanwhile
                frames = self._segments.after(turn.turn_id, cursor)
                cursor = _last_id(frames) if frames else tail
            elif frames:
                cursor = turn.end
            if frames:
                chunk = b"".join(frames)
                yield chunk
                written_at = time.monotonic()
                paced = paced or TOKEN_LINE in chunk
            elif turn.closed:
                return
            elif not turn.bell.wait(self._heartbeat):
                if turn.mirror and not self._segments.is_running(turn.turn_id):
                    return  # deleted, or ended in a way that left no last event
                yield sse.HEARTBEAT
            elif paced and not turn.closed:
                self._pace(written_at)
        yield b"retry: %d\n\n" % (self._retry_ms + random.randrange(DRAIN_SPREAD_MS))

    def _pace(self, written_at: float) -> None:
        early = written_at + self._flush - time.monotonic()
        # A provider is read at this pace too, so most wake-ups are due, and a timer for a last ms is not worth it.
        if early > self._flush / 4:
            gevent.sleep(early)

    def run_follower(self) -> None:
        """The loop that reads other workers' logs for all readers here, in a greenlet of its own."""
        while True:
            self._mirrored.wait()
            mirrors = {turn_id: turn for turn_id, turn in self._logs.items() if turn.mirror and not turn.closed}
            if not mirrors:
                self._mirrored.clear()
                continue
            try:
                stored = self._segments.newer({turn_id: turn.end for turn_id, turn in mirrors.items()})
            except Exception as error:
                log.log(logging.WARNING if is_outage(error) else logging.ERROR, "following other workers failed: %s", type(error).__name__)
                gevent.sleep(1)
                continue
            for row in stored:
                turn = mirrors[row.turn_id]
                if turn.mirror:
                    turn.extend(row.attempt, row.seq_from, sse.split(row.frames))
            gevent.sleep(self._follow)


def _last_id(frames: list[bytes]) -> EventId:
    return sse.parse(frames[-1])[0]
