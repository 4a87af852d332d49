"""Whom to ask, in which order, and what to do after a failure. Knows the table and the circuits; does no I/O."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from services.errors import InvalidRequest
from services.llm import fitting
from services.llm.breaker import Breaker
from services.llm.deltas import LLMRequest
from services.llm.failures import CREDENTIAL_ONLY, Again, Failure, Next, Trip

SHORT_WAIT = 2.0  # seconds of Retry-After that are worth waiting for when nobody else is there
_JITTER = (0.2, 0.6)
_FAST = 0.05
_REPLY = 1024  # tokens kept free for the answer when a conversation is trimmed


class Board:
    """All circuits: one a provider, one for each of its credentials, one for each of its models."""

    def __init__(self) -> None:
        self._breakers: dict[tuple[str, str, object], Breaker] = {}
        self._turns: dict[str, int] = {}

    def provider(self, name: str) -> Breaker:
        return self._get(name, "provider", None)

    def credential(self, name: str, index: int) -> Breaker:
        return self._get(name, "credential", index)

    def model(self, name: str, model: str) -> Breaker:
        return self._get(name, "model", model)

    def rotation(self, name: str, keys: int) -> list[int]:
        """The indices of a provider's keys, beginning with the next whose turn it is."""
        first = self._turns[name] = (self._turns.get(name, -1) + 1) % max(keys, 1)
        return [(first + step) % keys for step in range(keys)]

    def circuits(self) -> dict[tuple[str, str, object], Breaker]:
        """Every circuit asked for so far, by provider, scope and which of it."""
        return dict(self._breakers)

    def circuit(self, name: str, scope: str, which: object) -> Breaker:
        return self._get(name, scope, which)

    def _get(self, name: str, scope: str, which: object) -> Breaker:
        return self._breakers.setdefault((name, scope, which), Breaker())


@dataclass(frozen=True, slots=True)
class Route:
    """One provider as a place in the order, with the model this turn asks it for."""

    name: str
    model: str
    keys: int = 1
    window: int | None = None


@dataclass(slots=True)
class Candidate:
    """A route with the credential it uses, and the leases of the circuits it passed."""

    route: Route
    key: int
    leases: dict[str, tuple[Breaker, int]] = field(default_factory=dict)

    def committed(self) -> None:
        for breaker, lease in self.leases.values():
            breaker.committed(lease)

    def succeeded(self) -> None:
        for breaker, lease in self.leases.values():
            breaker.succeeded(lease)

    def failed(self, now: float, failure: Failure) -> None:
        """Only the circuit that the failure is about takes it; the others just end their lease."""
        scope = "credential" if failure.kind in CREDENTIAL_ONLY else "model" if failure.policy.trip is Trip.MODEL else "provider"
        for name, (breaker, lease) in self.leases.items():
            if name == scope:
                breaker.failed(now, lease, failure)
            else:
                breaker.release(lease)

    def released(self) -> None:
        for breaker, lease in self.leases.values():
            breaker.release(lease)


@dataclass(frozen=True, slots=True)
class Step:
    """The next attempt. `messages` differ from the request's when it had to be trimmed."""

    candidate: Candidate | None  # None: the embedded provider
    pause: float = 0.0
    messages: fitting.Messages | None = None


class Plan:
    """One turn's way through the providers."""

    def __init__(
        self, board: Board, routes: Sequence[Route], request: LLMRequest, *, offline: bool, switch_on_filter: bool, jitter: Callable[[float, float], float]
    ) -> None:
        self._board = board
        self._routes = list(routes)
        self._request = request
        self._offline = offline
        self._switch_on_filter = switch_on_filter
        self._jitter = jitter
        self._spent: set[str] = set()  # providers this turn is done with
        self._tried_keys: set[tuple[str, int]] = set()
        self._again: set[str] = set()  # providers that had their second try
        self._trimmed = False
        self._larger_than = 0
        self._rotations = {route.name: board.rotation(route.name, route.keys) for route in self._routes}

    def first(self, now: float) -> Step | None:
        return self._onward(now)

    def after(self, failure: Failure, step: Step, now: float, committed: bool, refuse: Callable[[str], bool]) -> Step | None:
        """What follows `failure`; None when the turn is over. `refuse` tells the provider to leave a parameter out."""
        candidate, policy = step.candidate, failure.policy
        if candidate is None:
            return None
        route = candidate.route
        if policy.again is Again.ADJUSTED and not committed:
            return self._same(step, now) if refuse(failure.param) else None
        if policy.again in (Again.FAST, Again.JITTER) and not committed and route.name not in self._again:
            self._again.add(route.name)
            if same := self._same(step, now, _FAST if policy.again is Again.FAST else self._jitter(*_JITTER)):
                return same
        if policy.onward is Next.LARGER:
            return self._fitting(failure, step, now)
        if policy.onward is Next.NO or policy.onward is Next.IF_ALLOWED and not self._switch_on_filter:
            return None
        self._tried_keys.add((route.name, candidate.key))
        if failure.kind not in CREDENTIAL_ONLY:
            self._spent.add(route.name)
        return self._other(now) or self._alone(failure, step, now, committed) or self._onward(now)

    def _onward(self, now: float) -> Step | None:
        """The next provider; the one that recovers soonest when every circuit is open; the embedded one; nobody."""
        return self._other(now) or self._soonest(now) or self._embedded()

    def _other(self, now: float) -> Step | None:
        for route in self._routes:
            if route.name in self._spent or self._larger_than and (route.window or 0) <= self._larger_than:
                continue
            for key in self._rotations[route.name]:
                if (route.name, key) in self._tried_keys:
                    continue
                breakers = self._breakers(route, key)
                if all(breaker.ready(now) for breaker in breakers.values()):
                    return Step(self._take(route, key, breakers, now))
        return None

    def _soonest(self, now: float) -> Step | None:
        """Only where nobody has been asked yet, and one at a time while the embedded provider can answer the others."""
        if self._spent or self._tried_keys or self._larger_than:
            return None
        shut = []
        for route in self._routes:
            for key in self._rotations[route.name]:
                breakers = self._breakers(route, key)
                until = max(breaker.until for breaker in breakers.values())
                if until != math.inf and (not self._offline or all(breaker.free(now) for breaker in breakers.values())):
                    shut.append((until, len(shut), route, key, breakers))
        if not shut:
            return None
        *_, route, key, breakers = min(shut, key=lambda entry: entry[:2])
        return Step(self._take(route, key, breakers, now))

    def _alone(self, failure: Failure, step: Step, now: float, committed: bool) -> Step | None:
        """The same provider again, because no other could answer."""
        route = step.candidate.route
        if route.name in self._again:
            return None
        wait = failure.retry_after
        again = failure.policy.again
        short = again is Again.AFTER_WAIT and wait is not None and wait <= SHORT_WAIT
        restart = failure.policy.trip is Trip.COUNTS and (committed or again is Again.IF_ALONE)
        if not short and not restart:
            return None
        self._again.add(route.name)
        return self._same(step, now, wait if short else self._jitter(*_JITTER), forced=short)

    def _same(self, step: Step, now: float, pause: float = 0.0, forced: bool = False) -> Step | None:
        route, key = step.candidate.route, step.candidate.key
        breakers = self._breakers(route, key)
        if not forced and not all(breaker.ready(now) for breaker in breakers.values()):
            return None
        return replace(step, candidate=self._take(route, key, breakers, now), pause=pause)

    def _fitting(self, failure: Failure, step: Step, now: float) -> Step | None:
        """Too long: a larger window takes it as it is; else the oldest messages go, once."""
        route = step.candidate.route
        self._spent.add(route.name)
        self._larger_than = max(self._larger_than, route.window or 0, failure.limit or 0) or math.inf
        if larger := self._other(now):
            return larger
        messages = step.messages or self._request.messages
        tokens = failure.limit or route.window or fitting.count(messages) // 2
        shorter = fitting.fit(messages, tokens - min(self._request.max_tokens or _REPLY, tokens // 2))
        if self._trimmed or len(shorter) == len(messages):
            return None
        self._trimmed = True
        same = self._same(step, now)
        return same and replace(same, messages=shorter)

    def _embedded(self) -> Step | None:
        if not self._offline:
            return None
        self._offline = False
        return Step(None)

    def _breakers(self, route: Route, key: int) -> dict[str, Breaker]:
        board = self._board
        return {
            "provider": board.provider(route.name),
            "credential": board.credential(route.name, key),
            "model": board.model(route.name, route.model),
        }

    def _take(self, route: Route, key: int, breakers: dict[str, Breaker], now: float) -> Candidate:
        return Candidate(route, key, {scope: (breaker, breaker.take(now)) for scope, breaker in breakers.items()})


def order(routes: Sequence[Route], offered: dict[str, Sequence[str]], request: LLMRequest, embedded: str | None) -> list[Route]:
    """The routes with a person's choice first. InvalidRequest where the choice does not exist."""
    provider, model = request.provider, request.model
    if provider is None and model is not None:
        provider = next((name for name, models in offered.items() if model in models), None)
        if provider is None:
            raise InvalidRequest("This model is not offered.", field="model")
    if provider is None:
        return list(routes)
    if provider == embedded:
        return []
    chosen = next((route for route in routes if route.name == provider), None)
    if chosen is None:
        raise InvalidRequest("This provider is not available.", field="provider")
    if model is not None and model not in offered[provider]:
        raise InvalidRequest("This provider does not offer that model.", field="model")
    return [replace(chosen, model=model or chosen.model), *(route for route in routes if route is not chosen)]
