"""Circuit breakers as values over time: every function is told the time, none looks at a clock.

Closed lets everything through. After failures in a row it opens, for a time that doubles. Then it is half-open: one
call at a time may try, under a lease that runs out by itself, so that a call that was abandoned blocks nobody.
"""

import math
from collections import deque
from dataclasses import dataclass, field

from services.llm.failures import Failure, Trip

IN_A_ROW = 3
OF_RECENT = (5, 10)  # so many failures among so many: a server that fails every other time is no good either
FIRST_DELAY, LONGEST_DELAY = 5.0, 20.0  # with a request every few seconds a healthy provider is back within 30 s
FIRST_RATE_DELAY, LONGEST_RATE_DELAY = 5.0, 60.0
LONG = 600.0
LEASE = 30.0

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"


@dataclass(slots=True)
class Breaker:
    """One circuit. `until` is when it may be tried again; 0 while it is closed, infinite until the settings change."""

    until: float = 0.0
    reason: str = ""
    _delay: float = 0.0
    _rate_delay: float = 0.0
    _in_a_row: int = 0
    _recent: deque[bool] = field(default_factory=lambda: deque(maxlen=OF_RECENT[1]))
    _lease: int = 0
    _lease_until: float = 0.0

    def state(self, now: float) -> str:
        if not self.until:
            return CLOSED
        return OPEN if now < self.until else HALF_OPEN

    def ready(self, now: float) -> bool:
        """Whether a call may go through now."""
        return not self.until or (now >= self.until and now >= self._lease_until)

    def free(self, now: float) -> bool:
        """Whether nobody is trying it just now: asked where every circuit is open and one must be tried all the same."""
        return now >= self._lease_until and self.until != math.inf

    def take(self, now: float) -> int:
        """Let a call through: 0 when closed, else the number of its lease."""
        if not self.until:
            return 0
        self._lease += 1
        self._lease_until = now + LEASE
        return self._lease

    def committed(self, lease: int) -> None:
        """The probe's answer began: let others in, on probation until an answer is whole."""
        if lease and lease == self._lease and self.until:
            self.until, self._lease_until = 0.0, 0.0
            self._in_a_row = IN_A_ROW - 1
            self._recent.clear()

    def succeeded(self, lease: int) -> None:
        self.committed(lease)
        if not self.until:
            self._in_a_row, self._delay, self._rate_delay, self.reason = 0, 0.0, 0.0, ""
            self._recent.append(True)

    def failed(self, now: float, lease: int, failure: Failure) -> None:
        """Take the failure's consequences. A call from before the circuit opened does not lengthen its delay."""
        trip = failure.policy.trip
        if trip is Trip.COUNTS:
            self._count(now, lease, failure.kind)
        elif trip is Trip.UNTIL:
            self._rate_limit(now, failure)
        elif trip in (Trip.LONG, Trip.MODEL):
            self._open(now + LONG, failure.kind)
        elif trip is Trip.CONFIGURATION:
            self._open(math.inf, failure.kind)
        self.release(lease)

    def release(self, lease: int) -> None:
        """The call is over without a verdict, such as the user's stop: the next may probe."""
        if lease and lease == self._lease:
            self._lease_until = 0.0

    def told(self, until: float, reason: str) -> None:
        """Take over what another worker found out: open until then, or with 0 closed, on probation."""
        if until:
            self._open(until, reason)
        elif self.until:
            self.until, self._lease_until = 0.0, 0.0
            self._in_a_row = IN_A_ROW - 1
            self._recent.clear()

    def _count(self, now: float, lease: int, kind: str) -> None:
        probe = bool(lease) and lease == self._lease
        if self.until and not probe:
            return
        self._in_a_row += 1
        self._recent.append(False)
        if probe or self._in_a_row >= IN_A_ROW or self._recent.count(False) >= OF_RECENT[0]:
            self._delay = min(self._delay * 2 or FIRST_DELAY, LONGEST_DELAY)
            self._open(now + self._delay, kind)

    def _rate_limit(self, now: float, failure: Failure) -> None:
        if failure.retry_after is not None:
            self._open(now + failure.retry_after, failure.kind)
        elif now >= self.until:
            self._rate_delay = min(self._rate_delay * 2 or FIRST_RATE_DELAY, LONGEST_RATE_DELAY)
            self._open(now + self._rate_delay, failure.kind)

    def _open(self, until: float, kind: str) -> None:
        if until > self.until:
            self.until, self.reason = until, kind
