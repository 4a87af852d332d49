"""A client that is cut off again and again and comes back each time, and the account of what it was given."""

import random
import time
from collections import Counter
from dataclasses import dataclass, field

import gevent

from tests.support.sse_client import Client, Connection, Frame, text_of

AWAY = (500, 502, 503, 504)
GIVE_UP_S = 60.0


@dataclass
class Account:
    """The frames of one answer as they came, over all connections. Every one of the counts has to be 0."""

    frames: list[Frame] = field(default_factory=list)
    connections: int = 0
    refusals: Counter = field(default_factory=Counter)

    @property
    def after(self) -> str | None:
        return "%d-%d" % self.frames[-1].id if self.frames else None

    @property
    def ended(self) -> bool:
        return bool(self.frames) and self.frames[-1].terminal

    @property
    def text(self) -> str:
        return text_of(self.frames)

    @property
    def attempts(self) -> int:
        return self.frames[-1].id[0]

    def lost(self) -> int:
        """Events that are missing: within an attempt every number from 1 to the last one seen has to be there."""
        seen: dict[int, set[int]] = {}
        for attempt, seq in (frame.id for frame in self.frames):
            seen.setdefault(attempt, set()).add(seq)
        return sum(max(seqs) - len(seqs) for seqs in seen.values())

    def doubled(self) -> int:
        return len(self.frames) - len({frame.id for frame in self.frames})

    def reordered(self) -> int:
        return sum(later.id < earlier.id for earlier, later in zip(self.frames, self.frames[1:], strict=False))


class Traveller:
    """Asks one question and reads to the end, leaving each connection after a while; `stays` are seconds, least and most."""

    def __init__(self, client: Client, message: str, rng: random.Random, stays: tuple[float, float]) -> None:
        self._client = client
        self._message = message
        self._rng = rng
        self._stays = stays
        self._location: str | None = None
        self.account = Account()

    def run(self) -> Account:
        until = time.monotonic() + GIVE_UP_S
        while not self.account.ended:
            if time.monotonic() > until:
                raise TimeoutError(f"{self._location} has not ended after {self.account.after}")
            try:
                self._visit()
            except OSError as error:
                self.account.refusals[type(error).__name__] += 1
            gevent.sleep(self._rng.uniform(0.0, 0.5))
        return self.account

    def _visit(self) -> None:
        with self._connect() as connection:
            if connection.status in AWAY:
                self.account.refusals[connection.status] += 1
                return
            assert connection.status == 200, (connection.status, connection.response.read())
            self.account.connections += 1
            self._location = connection.headers.get("Location", self._location)
            with gevent.Timeout(self._rng.uniform(*self._stays), False):
                for frame in connection.frames():
                    self.account.frames.append(frame)

    def _connect(self) -> Connection:
        base = self._rng.choice(self._client.bases)
        if self._location is None:
            return self._client.ask(self._message, base=base, key=f"key of {self._message}", workflow="off")
        return self._client.follow(self._location, self.account.after, base=base)
