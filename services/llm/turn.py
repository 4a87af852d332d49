"""One question on its way through the providers, as the stream of deltas that a person follows."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import gevent

from services.cancellation import Cancellation
from services.llm import fitting
from services.llm.config import LLMSettings, spoken
from services.llm.deltas import Began, Content, Delta, Finished, LLMRequest, Reasoning, Switched, ToolCall
from services.llm.errors import LLMFailed, failed
from services.llm.failures import Failure, Trip
from services.llm.observer import Observer
from services.llm.plan import Plan, Step
from services.llm.provider import Provider
from services.llm.reading import Call, ProviderFailed
from services.llm.routes import Board, Route
from services.llm.trail import Run, Trail
from services.llm.wire_events import Counted, Ended, Named

log = logging.getLogger("tickertape.llm")

_TRIMMED = "The conversation was too long for the model; its oldest messages were left out."


class Embedded(Protocol):
    """The provider that needs no network: always last, and never without an answer, be it that it cannot answer."""

    name: str

    def can_answer(self, request: LLMRequest) -> bool: ...

    def stream(self, request: LLMRequest, cancellation: Cancellation) -> Iterator[Content]: ...


@dataclass(frozen=True, slots=True)
class Means:
    """What the turns of one service share. `clock` is the circuits'; the answers' own times are real."""

    settings: LLMSettings
    providers: Mapping[str, Provider]
    embedded: Embedded | None
    board: Board
    observer: Observer
    announce: Callable[[str], None]  # tells the observer when a provider's circuit has changed
    clock: Callable[[], float]
    jitter: Callable[[float, float], float]


class Turn:
    def __init__(
        self, means: Means, request: LLMRequest, cancellation: Cancellation, trail: Trail, routes: Sequence[Route]
    ) -> None:
        self._means = means
        self._request = request
        self._cancellation = cancellation
        self._trail = trail
        self._plan = Plan(
            means.board,
            routes,
            request,
            offline=means.embedded is not None,
            switch_on_filter=means.settings.switch_on_filter,
            jitter=means.jitter,
        )
        self._start = time.monotonic()
        self._deadline = self._start + means.settings.clocks.turn
        self._names = [route.name for route in routes]
        self._failed: list[str] = []
        self._number = 0

    def deltas(self) -> Iterator[Delta]:
        """Attempt after attempt, until one has answered or the plan has no more."""
        now = self._means.clock()
        step, failure, run = self._plan.first(now), self._plan.why(now), None
        while step is not None:
            last, run = run, self._run(step)
            try:
                if last is not None and (switched := self._switched(last, run, step, failure)):
                    yield switched
                self._wait(step.pause)
                yield from self._attempt(step, run)
                self._answered(step, run)
                yield self._finished(run)
                return
            except ProviderFailed as reason:
                failure = reason.failure
                step = self._after(failure, step, run)
            except BaseException:
                self._abandoned(step, run)
                raise
        raise self._error(failure, run)

    def _run(self, step: Step) -> Run:
        self._number += 1
        if step.candidate is None:
            embedded = self._means.embedded
            return Run(embedded.name, getattr(embedded, "model", embedded.name), embedded=True)
        return Run(step.candidate.route.name, step.candidate.route.model)

    def _switched(self, last: Run, run: Run, step: Step, failure: Failure) -> Switched | None:
        """What the client has to know: who goes on, and whether text has to go. A quiet second try is nobody's concern."""
        trimmed = step.trimmed and failure.kind == "context_length"
        if last.provider == run.provider and not last.committed and not trimmed:
            return None
        self._means.observer.switched(last.provider, run.provider, failure)
        message = f"{last.provider} could not answer; {spoken(run.provider)} goes on."
        if last.provider == run.provider:
            message = _TRIMMED if trimmed else f"{last.provider} broke off and is asked again."
        mode = "restart" if last.committed else "before_first_token"
        return Switched(last.provider, run.provider, failure.kind, message, mode, 0, self._number)

    def _wait(self, seconds: float) -> None:
        if seconds > 0:
            with self._cancellation.interruptible():
                gevent.sleep(min(seconds, max(self._deadline - time.monotonic(), 0)))

    def _attempt(self, step: Step, run: Run) -> Iterator[Delta]:
        run.started = time.monotonic()
        self._means.observer.attempt_started(run.provider, run.asked, self._request.purpose)
        weigh, committed, weight = fitting.weigh, False, 0
        try:
            for event in self._events(step, run):
                kind = type(event)
                if kind is Content or kind is Reasoning:
                    weight += weigh(event.text)
                elif kind is ToolCall:
                    weight += weigh(event.arguments)
                else:
                    _take_note(event, run)
                    continue
                if not committed:
                    committed = True
                    yield self._commit(step, run)
                yield event
        finally:
            run.weight = weight

    def _events(self, step: Step, run: Run) -> Iterator[object]:
        if step.candidate is None:
            extra = dict(self._request.extra)
            # Nobody was tried where every circuit is open: then all of them failed before this turn.
            if failed := tuple(self._failed or self._names):
                extra["providers_failed"] = failed
            return self._means.embedded.stream(replace(self._request, extra=extra), self._cancellation)
        provider = self._means.providers[run.provider]
        run.left_out = len(self._request.messages) - len(step.messages)
        keys = provider.settings.keys
        call = Call(run.asked, keys[step.candidate.key] if keys else "", self._deadline, self._trail.idle)
        return provider.stream(replace(self._request, messages=step.messages), self._cancellation, call)

    def _commit(self, step: Step, run: Run) -> Began:
        run.committed, run.first = True, time.monotonic()
        self._trail.provider, self._trail.model = run.provider, run.model or run.asked
        if step.candidate is not None:
            step.candidate.committed()
            self._means.announce(run.provider)
        self._means.observer.first_content(run.provider, run.model or run.asked, run.first - run.started)
        return Began(run.provider, run.model or run.asked, self._number)

    def _answered(self, step: Step, run: Run) -> None:
        if step.candidate is not None:
            step.candidate.succeeded()
            self._means.announce(run.provider)
        self._record(step, run, "answered", wasted=False)

    def _finished(self, run: Run) -> Finished:
        trail = self._trail
        return Finished(run.provider, run.model or run.asked, run.reason, tuple(trail.usage), tuple(trail.attempts), run.left_out)

    def _after(self, failure: Failure, step: Step, run: Run) -> Step | None:
        """Tell the circuits and the operator, and ask the plan how to go on."""
        if step.candidate is not None:
            self._note(failure, step, run)
        following = None
        if time.monotonic() < self._deadline:  # not planned and then left: a planned step holds leases of half-open circuits
            following = self._plan.after(failure, step, self._means.clock(), run.committed, lambda refused: self._refuse(run, refused))
        if run.committed and self._would_only_excuse(following):  # it holds none
            following = None
        self._record(step, run, failure.kind, wasted=following is not None)
        return following

    def _would_only_excuse(self, following: Step | None) -> bool:
        """Half an answer, marked as such, is worth more to who reads it than to be told that nobody can answer."""
        return following is not None and following.candidate is None and not self._means.embedded.can_answer(self._request)

    def _note(self, failure: Failure, step: Step, run: Run) -> None:
        if run.provider not in self._failed:
            self._failed.append(run.provider)
        step.candidate.failed(self._means.clock(), failure)
        self._means.announce(run.provider)
        if failure.policy.trip is Trip.CONFIGURATION:
            log.error(
                "provider %s refused credential %d (HTTP %s); it is not used again until the settings change",
                run.provider, step.candidate.key + 1, failure.status,
            )  # fmt: skip
        else:
            log.warning("provider %s failed: %s (HTTP %s)", run.provider, failure.kind, failure.status)

    def _refuse(self, run: Run, failure: Failure) -> bool:
        return self._means.providers[run.provider].payloads.refuse(self._request, run.asked, failure)

    def _abandoned(self, step: Step, run: Run) -> None:
        """Stopped, or left by its consumer: no verdict on the provider, but what was used is noted."""
        if step.candidate is not None:
            step.candidate.released()
        if run.started is not None and not run.recorded:
            self._record(step, run, "cancelled", wasted=False)

    def _record(self, step: Step, run: Run, outcome: str, wasted: bool) -> None:
        attempt = run.attempt(outcome, self._start, time.monotonic())
        usage = run.usage(step.messages, wasted, self._means.settings.prices)
        run.recorded = True
        self._trail.attempts.append(attempt)
        if usage is not None:
            self._trail.usage.append(usage)
        self._means.observer.attempt_ended(attempt, usage)

    def _error(self, failure: Failure, run: Run | None) -> LLMFailed:
        return failed(failure, self._trail.attempts, self._trail.usage, partial=run is not None and run.committed)


def _take_note(event: object, run: Run) -> None:
    kind = type(event)
    if kind is Named:
        run.model = event.model
    elif kind is Counted:
        run.counted = event
    elif kind is Ended or kind is Finished:
        run.reason = event.reason
