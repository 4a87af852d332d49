"""Ending work from outside without killing a greenlet in the wrong place.

Killing a greenlet inside a database call leaves its connection in an unknown state. So work marks the waits
that may be interrupted (a provider's socket, a pause between reads), and only these are.
"""

from collections.abc import Callable
from typing import TypeVar

import gevent
from gevent import Greenlet, getcurrent
from gevent.hub import get_hub

T = TypeVar("T")


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
        self._waiting: dict[Greenlet, object] = {}

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

    def interruptible(self) -> "_Interruptible":
        """Mark the waits inside a `with` as safe to interrupt. Not to be nested within one greenlet."""
        return _Interruptible(self)

    def wait_for(self, work: Callable[..., T], *arguments: object) -> T:
        """Run `work` in a greenlet of its own and return what it returns; a cancellation ends the wait, not the work."""
        working = gevent.spawn(work, *arguments)
        with self.interruptible():
            return working.get()


class _Interruptible:
    """Entered for every read of every stream; as a generator with @contextmanager it cost 2 µs more."""

    __slots__ = ("_cancellation", "_greenlet")

    def __init__(self, cancellation: Cancellation) -> None:
        self._cancellation = cancellation

    def __enter__(self) -> None:
        cancellation = self._cancellation
        if cancellation.reason is not None:
            raise Cancelled(cancellation.reason)
        self._greenlet = greenlet = getcurrent()
        cancellation._waiting[greenlet] = None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        cancellation = self._cancellation
        throw = cancellation._waiting.pop(self._greenlet)
        if throw is not None:
            throw.stop()  # the wait ended by itself before the throw arrived: it must not land elsewhere
        if kind is None and cancellation.reason is not None:
            raise Cancelled(cancellation.reason)
