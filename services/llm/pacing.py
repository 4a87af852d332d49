"""A common beat for reads: at each beat one question to the kernel says which of many streams have something to read.

Measured: a stream that slept 40 ms by itself and then waited for its socket cost two wake-ups a token, three system calls
and a timer; asked for at a common beat, it is woken once, when there is something to read.
"""

import socket
import time
from collections.abc import Callable
from select import POLLIN

from gevent import Greenlet, getcurrent
from gevent.hub import get_hub
from gevent.monkey import get_original

PHASES = 4        # the streams of a beat in four groups, so that many of them do not hold up the hub in one go
LATE_S = 0.1      # how often a phase looks for waits that have lasted too long

BUSY, CALM = 0.8, 0.6  # of a core: from the one on a beat is lengthened, from the other on shortened again
STEP, LONGEST = 1.25, 1.5
LOOK_S = 0.1           # how often
_poll = get_original("select", "poll")  # gevent's own goes through the event loop; asked with 0, the original does not block


def is_readable(sock: socket.socket) -> bool:
    """Whether a read would return at once: with bytes, or because the other end has closed."""
    asked = _poll()
    asked.register(sock, POLLIN)
    return bool(asked.poll(0))


class Seat:
    """One stream's place in a beat. To be left when its socket is read no more."""

    __slots__ = ("_phase", "_fd", "greenlet", "limit")

    def __init__(self, phase: "_Phase", fd: int) -> None:
        self._phase = phase
        self._fd = fd
        self.greenlet: Greenlet | None = None
        self.limit = 0.0
        phase.enter(fd, self)

    def wait(self, limit: float) -> bool:
        """True at the first beat at which the socket can be read; False when it cannot until `limit` (monotonic).

        May be interrupted by an exception thrown into the greenlet.
        """
        self.limit = limit
        self.greenlet = getcurrent()
        try:
            return self._phase.hub.switch()
        finally:
            self.greenlet = None

    def leave(self) -> None:
        self._phase.leave(self._fd)


class Tempo:
    """The interval between two beats, in seconds; longer, by half at most, while the event loop's thread is busy.

    Tokens that are read and written together share the cost of it. A loop without a moment left is late everywhere, by more
    than the tokens would wait: with 500 streams on one worker, beats of 60 ms cost a fifth less than those of 40.
    """

    def __init__(self, interval: float, clock: Callable[[], float] = time.monotonic, cpu: Callable[[], float] = time.thread_time) -> None:
        self.interval = interval
        self._shortest, self._longest = interval, interval * LONGEST
        self._clock = clock
        self._cpu = cpu
        self._looked_at, self._spent = clock(), cpu()

    def begin(self) -> None:
        """The first beat after a rest."""
        self.interval = self._shortest
        self._looked_at, self._spent = self._clock(), self._cpu()

    def look(self) -> bool:
        """Whether the interval has changed. Called on the event loop's thread, at every beat."""
        now = self._clock()
        if now - self._looked_at < LOOK_S:
            return False
        spent, before = self._cpu(), self.interval
        share = (spent - self._spent) / (now - self._looked_at)
        self._looked_at, self._spent = now, spent
        if share > BUSY:
            self.interval = min(before * STEP, self._longest)
        elif share < CALM:
            self.interval = max(before / STEP, self._shortest)
        return self.interval != before


class Beat:
    """Wakes each waiting greenlet at the next beat of its phase, an interval after the last. Belongs to one hub."""

    def __init__(self, interval: float) -> None:
        self._tempo = Tempo(interval)
        self._hub = None
        self._timer = None
        self._at = 0
        self._phases: list[_Phase] = []

    def join(self, fd: int) -> Seat | None:
        """A seat for a socket in the phase that has just had its beat, so that its first wait is a whole interval.

        None where there is no common beat: without an interval, or on another thread's hub, whose greenlets cannot be
        switched to from here.
        """
        hub = get_hub()
        if self._hub is None:
            self._hub = hub
            self._phases = [_Phase(hub) for _ in range(PHASES)]
        if self._hub is not hub or not self._tempo.interval:
            return None
        if self._timer is None:
            self._tempo.begin()
            self._start()
        return Seat(self._phases[self._at], fd)

    def _next(self) -> None:
        """The timer's callback, in the hub: greenlets woken here run until they wait again."""
        self._at = (self._at + 1) % PHASES
        self._phases[self._at].wake()
        if not any(phase.seats for phase in self._phases):
            self._stop()
        elif self._tempo.look():
            self._stop()
            self._start()

    def _start(self) -> None:
        period = self._tempo.interval / PHASES
        self._timer = self._hub.loop.timer(period, period)
        self._timer.start(self._next)

    def _stop(self) -> None:
        self._timer.stop()
        self._timer.close()
        self._timer = None


class _Phase:
    def __init__(self, hub: object) -> None:
        self.hub = hub
        self.seats: dict[int, Seat] = {}
        self._sockets = _poll()
        self._late_at = 0.0

    def enter(self, fd: int, seat: Seat) -> None:
        self._sockets.register(fd, POLLIN)
        self.seats[fd] = seat

    def leave(self, fd: int) -> None:
        del self.seats[fd]
        self._sockets.unregister(fd)

    def wake(self) -> None:
        """Switch to every greenlet whose socket can be read, then to those that have waited for too long."""
        if not self.seats:
            return
        for fd, _ in self._sockets.poll(0):
            self._switch(self.seats.get(fd), True)  # one of those before it may have ended it
        now = time.monotonic()
        if now >= self._late_at:
            self._late_at = now + LATE_S
            for seat in list(self.seats.values()):
                if seat.limit <= now:
                    self._switch(seat, False)

    def _switch(self, seat: Seat | None, readable: bool) -> None:
        if seat is not None and seat.greenlet is not None:
            seat.greenlet.switch(readable)
