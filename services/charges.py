"""What completions cost whoever asks for them: the limits of turns, held and settled in the same book."""

import hashlib
import time
from collections import Counter
from dataclasses import dataclass

from services.errors import RateLimited
from services.events import wire
from services.limits import BUSY_S, Limits, network_of
from services.llm.trail import Trail
from services.settings import Settings
from services.store.database import Database
from services.store.models import Turn, new_id


@dataclass(frozen=True)
class Charge:
    """One completion's place in the book."""

    id: str
    user_id: str


class Charges:
    def __init__(self, settings: Settings, database: Database, limits: Limits) -> None:
        self._settings = settings
        self._database = database
        self._limits = limits
        self._running: Counter[str] = Counter()

    def open(self, user_id: str | None, address: str | None) -> Charge:
        """Admit a completion and reserve its share of the day. Raises RateLimited.

        `user_id` is None for somebody without a name, who then is the address. Concurrency is counted on this worker.
        """
        charge = Charge(new_id(), user_id or _stranger(address))
        if not self._settings.rate_limits:
            return charge
        if 0 < self._settings.concurrent_turns <= self._running[charge.user_id]:
            raise RateLimited(f"{self._settings.concurrent_turns} of your answers are being written; wait for one of them.",
                              retry_after=BUSY_S, limit="concurrent_turns")
        self._running[charge.user_id] += 1  # before anything waits: who asks meanwhile has to see it
        try:
            self._limits.admit(charge.user_id, address)
            held = Turn(id=charge.id, user_id=charge.user_id, started_at=time.time())
            refusal, = self._database.write_plainly(lambda connection: self._limits.reserve(connection, [(held, address)]))
            if refusal is not None:
                raise refusal
        except BaseException:
            self._forget(charge)
            raise
        return charge

    def close(self, charge: Charge, trail: Trail) -> None:
        """Put what was used in place of what was reserved, however the completion ended."""
        if not self._settings.rate_limits:
            return
        self._forget(charge)
        usage = {"promptTokens": sum(each.prompt_tokens for each in trail.usage),
                 "completionTokens": sum(each.completion_tokens for each in trail.usage),
                 "byAttempt": [wire(each) for each in trail.usage]}
        self._database.write_plainly(lambda connection: self._limits.settle(connection, [(charge.id, {"made": {"usage": usage}})]))

    def _forget(self, charge: Charge) -> None:
        self._running[charge.user_id] -= 1
        if not self._running[charge.user_id]:
            del self._running[charge.user_id]


def _stranger(address: str | None) -> str:
    return "addr-" + hashlib.blake2b(network_of(address or "").encode(), digest_size=8).hexdigest()
