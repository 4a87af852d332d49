"""The live tail of one turn's log: encoded frames in memory, from the last stored ones to the newest.

Readers keep a cursor, not a queue, so a slow one costs nothing here: once the tail has moved on without it, it
reads the stored segments. Everything runs on one event loop; nothing here switches greenlets but `Bell.wait`.
"""

from gevent.hub import Waiter, get_hub

from services import sse
from services.events import Event
from services.sse import EventId


class Bell:
    """Wakes whoever waits. Ringing it while nobody waits costs a comparison, which is what a token costs."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[Waiter] = []

    def ring(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            loop = get_hub().loop
            for waiter in waiting:
                loop.run_callback(waiter.switch, True)

    def wait(self, timeout: float) -> bool:
        """True when it rang, False after `timeout` seconds."""
        hub = get_hub()
        waiter = Waiter(hub)
        self._waiting.append(waiter)
        timer = hub.loop.timer(timeout)
        timer.start(waiter.switch, False)
        try:
            return waiter.get()
        finally:
            timer.stop()
            timer.close()
            if waiter in self._waiting:
                self._waiting.remove(waiter)


class TurnLog:
    """One attempt's frames with seq `first_seq`, `first_seq + 1`, …; those up to `stored_seq` are in the database.

    The turn's own worker appends; on another worker the same log is a `mirror`, extended with segments as they come.
    A log that its worker has lost to another is dead: what its writer still appends is nobody's, and readers go on in
    its `successor`.
    """

    def __init__(self, turn_id: str, attempt: int = 1, *, seq: int = 0, mirror: bool = False, closed: bool = False) -> None:
        self.turn_id = turn_id
        self.bell = Bell()
        self.mirror = mirror
        self.closed = closed
        self.successor: TurnLog | None = None
        self.restart(attempt, seq)

    def restart(self, attempt: int, seq: int = 0) -> None:
        """Go on as attempt `attempt`, after its event `seq`. Earlier frames are the database's."""
        self.attempt = attempt
        self.first_seq = seq + 1
        self.last_seq = seq
        self.stored_seq = seq
        self._frames: list[bytes] = []
        self.bell.ring()

    def latest(self) -> "TurnLog":
        """The log that readers of this one read now."""
        turn = self
        while turn.successor is not None:
            turn = turn.successor
        return turn

    def succeed(self) -> "TurnLog":
        """Make the mirror in which readers go on, after the last event they can have seen here."""
        self.successor = TurnLog(self.turn_id, self.attempt, seq=self.last_seq, mirror=True)
        self.bell.ring()
        return self.successor

    @property
    def end(self) -> EventId:
        return EventId(self.attempt, self.last_seq)

    def append(self, event: Event) -> None:
        """Number and encode an event, and wake the readers."""
        self.last_seq += 1
        self._frames.append(sse.frame(self.attempt, self.last_seq, event))
        self.bell.ring()

    def append_token(self, text: str) -> None:
        """Append a bare answer token."""
        self.last_seq += 1
        self._frames.append(sse.token_frame(self.attempt, self.last_seq, text))
        self.bell.ring()

    def next_frame(self, event: Event) -> bytes:
        """The frame `event` will be, to be stored before anybody sees it; `close` then shows it."""
        return sse.frame(self.attempt, self.last_seq + 1, event)

    def close(self, last: bytes | None) -> None:
        """Show the stored last frame; nothing comes after it. None when another worker wrote the end."""
        if last is not None:
            self._frames.append(last)
            self.last_seq += 1
            self.mark_stored(self.last_seq, keep=len(self._frames))
        self.closed = True
        self.bell.ring()

    def extend(self, attempt: int, seq_from: int, frames: list[bytes], keep: int = 64) -> None:
        """Mirror a segment that another worker wrote, and forget all frames but the newest `keep`.

        A segment that does not begin where this log ends, or before, is not taken: nothing may be left out.
        """
        if attempt > self.attempt and seq_from == 1:
            self.restart(attempt)
        skip = self.last_seq + 1 - seq_from
        if attempt != self.attempt or skip < 0 or skip >= len(frames):
            return
        self._frames += frames[skip:]
        self.last_seq = seq_from + len(frames) - 1
        self.closed = self.closed or sse.is_terminal(frames[-1])
        self.mark_stored(self.last_seq, keep)
        self.bell.ring()

    def after(self, cursor: EventId) -> list[bytes] | None:
        """The frames after `cursor`, none if it is at the end; None when they begin before this tail."""
        attempt, seq = cursor
        if attempt == self.attempt and self.first_seq - 1 <= seq <= self.last_seq:
            return self._frames[seq - self.first_seq + 1:]
        if cursor < self.end:
            return None
        # Ahead of a log whose newest events are not here yet, or of any: it still has to learn of the end.
        return self._frames[-1:] if self.closed else []

    def unstored(self) -> tuple[int, list[bytes]]:
        """The first seq that is not stored, and its frame and all after it."""
        return self.stored_seq + 1, self._frames[self.stored_seq + 1 - self.first_seq:]

    def mark_stored(self, seq: int, keep: int) -> None:
        """Note that everything up to `seq` is in the database, and forget stored frames but the newest `keep`."""
        self.stored_seq = seq
        excess = seq - keep - self.first_seq + 1
        if excess > 0:
            del self._frames[:excess]
            self.first_seq += excess
