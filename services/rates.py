"""How often something happened lately: moving windows in memory, or in Redis for all workers and hosts together."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter

T = TypeVar("T")
log = logging.getLogger(__name__)

REDIS_TIMEOUT_S = 0.5
REDIS_PAUSE_S = 5.0     # after a failure it counts in memory for so long, and then asks Redis again


@dataclass(frozen=True)
class Window:
    """At most `amount` times within `seconds`, counted under `name` for each key; amount 0 is no limit."""

    name: str
    amount: int
    seconds: int

    @property
    def item(self) -> RateLimitItem:
        return RateLimitItemPerSecond(self.amount, self.seconds, namespace=self.name)


@dataclass(frozen=True)
class Standing:
    """How a window stands for one key: how many are left, and in how many seconds there will be one more."""

    window: Window
    remaining: int
    reset_s: float


class Rates:
    """Counts in Redis while it can be reached, else in this worker's memory, which knows less but never stands still."""

    def __init__(self, redis_url: str = "") -> None:
        self._memory = MovingWindowRateLimiter(MemoryStorage())
        self._shared, self._failure = _redis(redis_url) if redis_url else (None, Exception)
        self._away_until = 0.0

    def hit(self, window: Window, key: str) -> Standing | None:
        """Count one; None when it was allowed, else how the window stands and nothing is counted."""
        if window.amount == 0 or self._ask(lambda limiter: limiter.hit(window.item, key)):
            return None
        return self.standing(window, key)

    def standing(self, window: Window, key: str) -> Standing:
        stats = self._ask(lambda limiter: limiter.get_window_stats(window.item, key))
        return Standing(window, max(0, stats.remaining), max(0.0, stats.reset_time - time.time()))

    def forget(self, window: Window, key: str) -> None:
        """Begin to count from nothing."""
        self._ask(lambda limiter: limiter.clear(window.item, key))

    def _ask(self, question: Callable[[MovingWindowRateLimiter], T]) -> T:
        if self._shared is not None and time.monotonic() >= self._away_until:
            try:
                return question(self._shared)
            except self._failure as error:
                log.warning("Redis cannot be asked for rates (%s); counting in memory", type(error).__name__)
                self._away_until = time.monotonic() + REDIS_PAUSE_S
        return question(self._memory)


def _redis(url: str) -> tuple[MovingWindowRateLimiter, type[Exception]]:
    """The windows in Redis, and what is raised when it cannot be asked."""
    from redis.backoff import NoBackoff  # 20 MB and 0.1 s, which a host without Redis does not spend
    from redis.exceptions import RedisError
    from redis.retry import Retry

    storage = RedisStorage(url, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S,
                           retry=Retry(NoBackoff(), 0), key_prefix="tickertape:rates")
    return MovingWindowRateLimiter(storage), RedisError
