"""What many greenlets ask of the database at the same moment, done in one transaction."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import gevent
from gevent.event import AsyncResult
from sqlalchemy.exc import IntegrityError

MOST = 16        # items of a transaction: all of them go on at the same moment, and who reads an answer has to wait for that long
BREATH_S = 0.05  # the longest wait for the event loop after so many: a worker that is never idle still begins 320 turns a second

Item = TypeVar("Item")
Result = TypeVar("Result")


class Together(Generic[Item, Result]):
    """Who comes while a transaction runs waits for the next one, with all others who came: nobody waits for more company.
    The next one lets the event loop finish first what the last one set off, and what streams have to read and write:
    otherwise a crowd that comes in at once keeps those waiting who are being answered already.

    `transaction(items)` gives each item's result, or the error that is raised to who asked for it. It gets them in the
    order they came in, and among them at most one that is `single(item)`.
    """

    def __init__(self, transaction: Callable[[Sequence[Item]], Sequence[Result | Exception]], single: Callable[[Item], bool]) -> None:
        self._transaction = transaction
        self._single = single
        self._waiting: list[tuple[Item, AsyncResult]] = []
        self._working = False

    def do(self, item: Item) -> Result:
        """Wait for the item's result. Raises its error, or that of the transaction."""
        result = AsyncResult()
        self._waiting.append((item, result))
        if not self._working:
            self._working = True
            gevent.spawn(self._work)
        return result.get()

    def _work(self) -> None:
        try:
            while self._waiting:
                batch = self._next()
                for (_, result), outcome in zip(batch, self._outcomes([item for item, _ in batch]), strict=True):
                    if isinstance(outcome, Exception):
                        result.set_exception(outcome)
                    else:
                        result.set(outcome)
                with gevent.Timeout(BREATH_S * len(batch) / MOST, False):
                    gevent.idle()
        finally:
            self._working = False

    def _next(self) -> list[tuple[Item, AsyncResult]]:
        batch, left = [], []
        for waiting in self._waiting:
            is_second = self._single(waiting[0]) and any(self._single(item) for item, _ in batch)
            (left if is_second or len(batch) == MOST else batch).append(waiting)
        self._waiting = left
        return batch

    def _outcomes(self, items: Sequence[Item]) -> Sequence[Result | Exception]:
        try:
            return self._transaction(items)
        except IntegrityError:
            # One of them met what another process wrote at the same moment; seen again, and alone, each finds it.
            return [self._alone(item) for item in items]
        except Exception as error:
            return [error] * len(items)

    def _alone(self, item: Item) -> Result | Exception:
        try:
            return self._transaction([item])[0]
        except Exception as error:
            return error
