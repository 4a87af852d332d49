"""Whom to ask, in which order, and what to do after a failure. Knows the table and the circuits; does no I/O."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from services.llm import fitting
from services.llm.breaker import OPEN, Breaker
from services.llm.deltas import LLMRequest
from services.llm.failures import CREDENTIAL_ONLY, Again, Failure, Next, Trip
from services.llm.routes import Board, Candidate, Route

SHORT_WAIT = 2.0  # seconds of Retry-After that are worth waiting for when nobody else is there
_JITTER = (0.2, 0.6)
_FAST = 0.05


@dataclass(frozen=True, slots=True)
class Step:
    """The next attempt. `messages` are what it sends; `trimmed` says that a provider had found them too long."""

    candidate: Candidate | None  # None: the embedded provider
    messages: fitting.Messages
    pause: float = 0.0
    trimmed: bool = False


class Plan:
    """One turn's way through the providers."""

    def __init__(
        self,
        board: Board,
        routes: Sequence[Route],
        request: LLMRequest,
        *,
        offline: bool,
        switch_on_filter: bool,
        jitter: Callable[[float, float], float],
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
        self._larger_than = 0
        self._rotations = {route.name: board.rotation(route.name, route.keys) for route in self._routes}

    def first(self, now: float) -> Step | None:
        return self._onward(now)

    def why(self, now: float) -> Failure:
        """Why nobody can be asked, in case nobody can."""
        for route in self._routes:
            for key in self._rotations[route.name]:
                for breaker in self._breakers(route, key).values():
                    if breaker.state(now) == OPEN:
                        return Failure(breaker.reason)
        return Failure("not_configured")

    def after(self, failure: Failure, step: Step, now: float, committed: bool, refuse: Callable[[Failure], bool]) -> Step | None:
        """What follows `failure`; None when the turn is over. `refuse` tells the provider to leave out what it does not take."""
        candidate, policy = step.candidate, failure.policy
        if candidate is None:
            return None
        route = candidate.route
        if policy.again is Again.ADJUSTED and not committed:
            return self._same(step, now, forced=True) if refuse(failure) else None
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
                    return self._step(route, key, breakers, now)
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
        return self._step(route, key, breakers, now)

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
        tokens = fitting.count(step.messages) // 2  # the estimate may be what was wrong
        if limit := failure.limit or route.window:
            tokens = min(tokens, fitting.room(limit, self._request.max_tokens))
        shorter = fitting.fit(step.messages, tokens)
        if step.trimmed or len(shorter) == len(step.messages):
            return None
        return replace(self._same(step, now, forced=True), messages=shorter, trimmed=True)

    def _embedded(self) -> Step | None:
        if not self._offline:
            return None
        self._offline = False
        return Step(None, self._request.messages)

    def _breakers(self, route: Route, key: int) -> dict[str, Breaker]:
        board = self._board
        return {
            "provider": board.provider(route.name),
            "credential": board.credential(route.name, key),
            "model": board.model(route.name, route.model),
        }

    def _step(self, route: Route, key: int, breakers: dict[str, Breaker], now: float) -> Step:
        """An attempt with what fits: where it is plain beforehand that a window is too small, it is not tried out."""
        messages = self._request.messages
        if route.window is not None:
            messages = fitting.fit(messages, fitting.room(route.window, self._request.max_tokens))
        return Step(self._take(route, key, breakers, now), messages)

    def _take(self, route: Route, key: int, breakers: dict[str, Breaker], now: float) -> Candidate:
        return Candidate(route, key, {scope: (breaker, breaker.take(now)) for scope, breaker in breakers.items()})
