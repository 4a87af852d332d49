"""Ending work from outside without killing a greenlet in the wrong place.

Killing a greenlet inside a database call leaves its connection in an unknown state. So work marks the waits
that may be interrupted (a provider's socket, a pause between reads), and only these are.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import gevent
from gevent.hub import get_hub


class Cancelled(BaseException):
    """Raised inside the work. Not an Exception: no `except Exception` on the way may swallow it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Cancellation:
    """Shared by everything that works for one turn; `cancel` reaches all its interruptible waits at once.

    `reason` is `stopped` (the user), `lost` (another worker owns the turn now), `drained` or `deadline`.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._waiting: dict[gevent.Greenlet, object] = {}

    def cancel(self, reason: str) -> None:
        """Interrupt every marked wait, and each later one as it begins. The first reason stays."""
        if self.reason is not None:
            return
        self.reason = reason
        loop = get_hub().loop
        for greenlet in self._waiting:
            self._waiting[greenlet] = loop.run_callback(greenlet.throw, Cancelled(reason))

    def check(self) -> None:
        """Raise Cancelled if the work has been cancelled."""
        if self.reason is not None:
            raise Cancelled(self.reason)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Mark the waits inside as safe to interrupt. Not to be nested within one greenlet."""
        self.check()
        greenlet = gevent.getcurrent()
        self._waiting[greenlet] = None
        try:
            yield
        finally:
            throw = self._waiting.pop(greenlet)
            if throw is not None:
                throw.stop()  # the wait ended by itself before the throw arrived: it must not land elsewhere
        self.check()
