"""Circuits shared between workers: what one has found out about a provider, the others need not find out again."""

import math
import secrets
import time
from collections.abc import Callable, Mapping

import orjson

from services.bus import Bus, Entry
from services.llm.deltas import Attempt, Usage
from services.llm.observer import Observer
from services.llm.routes import Board

KEY = "tickertape:circuits"
EXPIRE_S = 900

Name = tuple[str, str, object]  # provider, scope, and which credential or model


class SharedCircuits(Observer):
    """Looks at the circuits after every attempt, tells the other workers what has changed, and listens to them.

    A circuit that is open until the settings change stays with its worker: another may have other settings.
    """

    def __init__(self, bus: Bus, board: Board, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._bus = bus
        self._board = board
        self._clock = clock
        self._known: dict[Name, float] = {}
        self._me = secrets.token_hex(8).encode()
        bus.listen(KEY, self._heard)

    def attempt_ended(self, attempt: Attempt, usage: Usage | None) -> None:
        for name, breaker in self._board.circuits().items():
            if breaker.until != self._known.get(name, 0.0) and breaker.until != math.inf:
                self._known[name] = breaker.until
                self._tell(name, breaker.until, breaker.reason)

    def _tell(self, name: Name, until: float, reason: str) -> None:
        wall = time.time() + until - self._clock() if until else 0.0  # clocks that count from boot mean nothing elsewhere
        circuit = {"name": name, "until": wall, "reason": reason}
        self._bus.send(Entry(KEY, {"by": self._me, "circuit": orjson.dumps(circuit)}, expire_s=EXPIRE_S))

    def _heard(self, key: str, identity: str, fields: Mapping[bytes, bytes]) -> None:
        if fields[b"by"] == self._me:
            return
        circuit = orjson.loads(fields[b"circuit"])
        name, wall = tuple(circuit["name"]), circuit["until"]
        left = wall - time.time()
        if wall and left <= 0:
            return
        until = self._clock() + left if wall else 0.0
        breaker = self._board.circuit(*name)
        breaker.told(until, circuit["reason"])
        self._known[name] = breaker.until
