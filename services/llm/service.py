"""The LLM service: one question, one whole answer, from the first provider that can give it."""

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import gevent

from services.cancellation import Cancellation
from services.errors import InvalidRequest, TickertapeError, Unavailable
from services.llm import fitting
from services.llm.breaker import CLOSED
from services.llm.config import LLMSettings
from services.llm.deltas import Attempt, Began, Content, Delta, Finished, LLMRequest, Reasoning, Switched, ToolCall, Usage
from services.llm.failures import Failure, Trip
from services.llm.observer import Observer
from services.llm.plan import Board, Candidate, Plan, Route, Step, order
from services.llm.provider import Call, Provider, ProviderFailed
from services.llm.trail import Run, Trail
from services.llm.wire import Counted, Ended, Named

log = logging.getLogger("tickertape.llm")


class Embedded(Protocol):
    """The provider that needs no network: always last, and never without an answer."""

    name: str

    def stream(self, request: LLMRequest, cancellation: Cancellation) -> Iterator[Content]: ...


class LLMFailed(TickertapeError):
    """Nobody could answer. `code` is the failure's class; `partial` says that text was shown and stays."""

    def __init__(self, failure: Failure, attempts: Sequence[Attempt], usage: Sequence[Usage], partial: bool) -> None:
        super().__init__(failure.policy.message)
        self.code = failure.kind
        self.failure = failure
        self.retryable = failure.policy.retryable
        self.attempts, self.usage, self.partial = tuple(attempts), tuple(usage), partial


class LLMUnavailable(LLMFailed, Unavailable):
    status = 503


class LLMRefused(LLMFailed, InvalidRequest):
    """The request itself is the reason; the same again would fail again."""

    status = 400


@dataclass(frozen=True, slots=True)
class ProviderState:
    """What the page's menu, /readyz and /metrics show of a provider. `state` is its circuit's; `reason` why it is not closed."""

    name: str
    models: tuple[str, ...]
    state: str
    reason: str = ""
    retry_in: float | None = None


class LLMService:
    def __init__(
        self,
        settings: LLMSettings,
        embedded: Embedded | None = None,
        observer: Observer | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._settings = settings
        self._embedded = embedded if settings.offline else None
        self._observer = observer or Observer()
        self._clock = clock  # of the circuits; the answers' own times are real
        self._jitter = jitter
        self._board = Board()
        self._states: dict[str, str] = {}
        self._providers = {
            provider.name: Provider(provider, settings.clocks, settings.read_interval, settings.allow_private)
            for provider in settings.providers
        }

    def stream(self, request: LLMRequest, cancellation: Cancellation, trail: Trail | None = None) -> Iterator[Delta]:
        """The deltas of one answer; `Finished` is the last.

        Raises LLMFailed when nobody can answer, InvalidRequest for a provider or model that is not offered, and Cancelled
        once the provider's connection is closed. `trail` holds attempts and usage however it ends.
        """
        routes = order(self._routes(), self._offered(), request, self._embedded.name if self._embedded else None)
        return _Turn(self, request, cancellation, trail or Trail(), routes).deltas()

    def check(self, provider: str | None, model: str | None) -> None:
        """Raise InvalidRequest for a provider or model that is not offered."""
        choice = LLMRequest(messages=(), provider=provider, model=model)
        order(self._routes(), self._offered(), choice, self._embedded.name if self._embedded else None)

    def states(self) -> list[ProviderState]:
        """Every provider in its order, the embedded one last."""
        states = [self._state(name) for name in self._providers]
        if self._embedded is not None:
            states.append(ProviderState(self._embedded.name, (getattr(self._embedded, "model", self._embedded.name),), CLOSED))
        return states

    def close(self) -> None:
        for provider in self._providers.values():
            provider.close()

    def _routes(self) -> list[Route]:
        return [
            Route(name, provider.settings.models[0], max(len(provider.settings.keys), 1), self._window(provider, provider.settings.models[0]))
            for name, provider in self._providers.items()
        ]

    def _window(self, provider: Provider, model: str) -> int | None:
        return provider.settings.window or self._settings.prices.window(model)

    def _offered(self) -> dict[str, Sequence[str]]:
        return {name: provider.settings.models for name, provider in self._providers.items()}

    def _state(self, name: str) -> ProviderState:
        """A provider is as open as its least open way: its own circuit, or all its credentials', or its default model's."""
        now, settings = self._clock(), self._providers[name].settings
        credentials = [self._board.credential(name, index) for index in range(max(len(settings.keys), 1))]
        breakers = (self._board.provider(name), min(credentials, key=lambda breaker: breaker.until), self._board.model(name, settings.models[0]))
        worst = max(breakers, key=lambda breaker: breaker.until)
        retry_in = max(worst.until - now, 0.0) if worst.until not in (0.0, float("inf")) else None
        return ProviderState(name, settings.models, worst.state(now), worst.reason if worst.until else "", retry_in)

    def _announce(self, name: str) -> None:
        state = self._state(name).state
        if self._states.get(name, CLOSED) != state:
            self._states[name] = state
            self._observer.breaker_changed(name, state)


class _Turn:
    """One question on its way through the providers."""

    def __init__(self, service: LLMService, request: LLMRequest, cancellation: Cancellation, trail: Trail, routes: Sequence[Route]) -> None:
        self._service = service
        self._request = request
        self._cancellation = cancellation
        self._trail = trail
        settings = service._settings
        self._plan = Plan(
            service._board,
            routes,
            request,
            offline=service._embedded is not None,
            switch_on_filter=settings.switch_on_filter,
            jitter=service._jitter,
        )
        self._start = time.monotonic()
        self._deadline = self._start + settings.clocks.turn
        self._tried: list[str] = []
        self._number = 0

    def deltas(self) -> Iterator[Delta]:
        step = self._plan.first(self._service._clock())
        failure, run = Failure("connect"), None
        while step is not None:
            if run is not None and (switched := self._switched(run, step, failure)):
                yield switched
            self._wait(step.pause)
            run = self._run(step)
            try:
                yield from self._attempt(step, run)
            except ProviderFailed as failed:
                failure, previous = failed.failure, step
                self._note_failure(previous, failure)
                step = self._plan.after(failure, previous, self._service._clock(), run.committed, lambda name: self._refuse(previous, name))
                if time.monotonic() >= self._deadline:
                    step = None
                self._record(run, failure.kind, wasted=step is not None)
            except BaseException:
                if step.candidate is not None:
                    step.candidate.released()
                self._record(run, "cancelled", wasted=False)
                raise
            else:
                if step.candidate is not None:
                    step.candidate.succeeded()
                    self._service._announce(run.provider)
                self._record(run, "answered", wasted=False)
                trail = self._trail
                yield Finished(run.provider, run.model or run.asked, run.reason, tuple(trail.usage), tuple(trail.attempts))
                return
        raise self._failed(failure, run)

    def _attempt(self, step: Step, run: Run) -> Iterator[Delta]:
        observer, weigh = self._service._observer, fitting.weigh
        observer.attempt_started(run.provider, run.asked, self._request.purpose)
        committed, weight = False, 0
        try:
            for event in self._events(step, run):
                kind = type(event)
                if kind is Content or kind is Reasoning:
                    weight += weigh(event.text)
                elif kind is ToolCall:
                    weight += weigh(event.arguments)
                else:
                    self._take_note(event, run)
                    continue
                if not committed:
                    committed = True
                    yield self._commit(step, run)
                yield event
        finally:
            run.weight = weight

    def _events(self, step: Step, run: Run) -> Iterator[object]:
        request = self._request
        if step.candidate is None:
            extra = {**request.extra, "providers_failed": tuple(self._tried)} if self._tried else request.extra
            return self._service._embedded.stream(replace(request, extra=extra), self._cancellation)
        if step.messages is not None:
            request = replace(request, messages=step.messages)
        provider = self._service._providers[run.provider]
        keys = provider.settings.keys
        call = Call(run.asked, keys[step.candidate.key] if keys else "", self._deadline, self._trail.idle)
        return provider.stream(request, self._cancellation, call)

    def _commit(self, step: Step, run: Run) -> Began:
        run.committed, run.first = True, time.monotonic()
        self._trail.provider, self._trail.model = run.provider, run.model or run.asked
        if step.candidate is not None:
            step.candidate.committed()
            self._service._announce(run.provider)
        self._service._observer.first_content(run.provider, run.model or run.asked, run.first - run.started)
        return Began(run.provider, run.model or run.asked, self._number)

    def _take_note(self, event: object, run: Run) -> None:
        kind = type(event)
        if kind is Named:
            run.model = event.model
        elif kind is Counted:
            run.counted = event
        elif kind is Ended or kind is Finished:
            run.reason = event.reason

    def _run(self, step: Step) -> Run:
        self._number += 1
        if step.candidate is None:
            embedded = self._service._embedded
            return Run(embedded.name, getattr(embedded, "model", embedded.name), time.monotonic())
        route = step.candidate.route
        return Run(route.name, route.model, time.monotonic())

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            with self._cancellation.interruptible():
                gevent.sleep(min(seconds, max(self._deadline - time.monotonic(), 0)))

    def _switched(self, run: Run, step: Step, failure: Failure) -> Switched | None:
        """What the client has to know: who goes on, and whether text has to go. A quiet second try is nobody's concern."""
        target = step.candidate.route.name if step.candidate else self._service._embedded.name
        trimmed = step.messages is not None
        if target == run.provider and not run.committed and not trimmed:
            return None
        self._service._observer.switched(run.provider, target, failure)
        message = _TRIMMED if trimmed else f"{run.provider} could not answer; {target} goes on."
        if target == run.provider and not trimmed:
            message = f"{run.provider} broke off and is asked again."
        mode = "restart" if run.committed else "before_first_token"
        return Switched(run.provider, target, failure.kind, message, mode, 0, self._number + 1)

    def _note_failure(self, step: Step, failure: Failure) -> None:
        if step.candidate is None:
            return
        name = step.candidate.route.name
        self._tried = [*dict.fromkeys((*self._tried, name))]
        step.candidate.failed(self._service._clock(), failure)
        self._service._announce(name)
        if failure.policy.trip is Trip.CONFIGURATION:
            log.error("provider %s refused credential %d (HTTP %s); it is not used again until the settings change", name, step.candidate.key + 1, failure.status)
        else:
            log.warning("provider %s failed: %s (HTTP %s)", name, failure.kind, failure.status)

    def _refuse(self, step: Step, parameter: str) -> bool:
        route = step.candidate.route
        return self._service._providers[route.name].payloads.refuse(self._request, route.model, parameter)

    def _record(self, run: Run, outcome: str, wasted: bool) -> None:
        attempt = run.attempt(outcome, self._start, time.monotonic())
        prompt_tokens = fitting.count(self._request.messages) if run.committed and run.counted is None else 0
        usage = run.usage(prompt_tokens, wasted, self._service._settings.prices)
        self._trail.attempts.append(attempt)
        if usage is not None:
            self._trail.usage.append(usage)
        self._service._observer.attempt_ended(attempt, usage)

    def _failed(self, failure: Failure, run: Run | None) -> LLMFailed:
        kind = LLMUnavailable if failure.policy.retryable or failure.policy.trip is not Trip.NONE else LLMRefused
        return kind(failure, self._trail.attempts, self._trail.usage, partial=run is not None and run.committed)


_TRIMMED = "The conversation was too long for the model; its oldest messages were left out."
