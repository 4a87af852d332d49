"""The LLM service: one question, one whole answer, from the first provider that can give it."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from services.cancellation import Cancellation
from services.llm.breaker import CLOSED
from services.llm.config import LLMSettings
from services.llm.deltas import Delta, LLMRequest
from services.llm.errors import LLMFailed, LLMRefused, LLMUnavailable
from services.llm.observer import Observer
from services.llm.provider import Provider
from services.llm.routes import Board, Route, order
from services.llm.trail import Trail
from services.llm.turn import Embedded, Means, Turn

__all__ = ["Embedded", "LLMFailed", "LLMRefused", "LLMService", "LLMUnavailable", "ProviderState"]


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
        board: Board | None = None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._observer = observer or Observer()
        self._states: dict[str, str] = {}
        self._providers = {
            provider.name: Provider(provider, settings.clocks, settings.read_interval, settings.allow_private)
            for provider in settings.providers
        }
        self._offered = {name: provider.settings.models for name, provider in self._providers.items()}
        self._means = Means(
            settings,
            self._providers,
            embedded if settings.offline else None,
            board or Board(),
            self._observer,
            self._announce,
            clock,
            jitter,
        )
        self._usual = [
            Route(name, models[0], max(len(self._providers[name].settings.keys), 1), self._window(name, models[0]))
            for name, models in self._offered.items()
        ]

    def stream(self, request: LLMRequest, cancellation: Cancellation, trail: Trail | None = None) -> Iterator[Delta]:
        """The deltas of one answer; `Finished` is the last.

        Raises InvalidRequest at once for a provider or model that is not offered; while it is read, LLMFailed when nobody
        can answer, and Cancelled once the provider's connection is closed. `trail` holds attempts and usage however it ends.
        """
        return Turn(self._means, request, cancellation, trail or Trail(), self._routes(request.provider, request.model)).deltas()

    def check(self, provider: str | None, model: str | None) -> None:
        """Raise InvalidRequest for a provider or model that is not offered."""
        self._routes(provider, model)

    def states(self) -> list[ProviderState]:
        """Every provider in its order, the embedded one last."""
        states = [self._state(name) for name in self._providers]
        if (embedded := self._means.embedded) is not None:
            states.append(ProviderState(embedded.name, (getattr(embedded, "model", embedded.name),), CLOSED))
        return states

    def close(self) -> None:
        for provider in self._providers.values():
            provider.close()

    def _routes(self, provider: str | None, model: str | None) -> list[Route]:
        """The order of this turn, a person's choice first."""
        embedded = self._means.embedded
        routes = order(self._usual, self._offered, provider, model, embedded.name if embedded else None)
        if model is not None:
            routes = [replace(route, window=self._window(route.name, route.model)) for route in routes]
        return routes

    def _window(self, name: str, model: str) -> int | None:
        return self._providers[name].settings.window or self._means.settings.prices.window(model)

    def _state(self, name: str) -> ProviderState:
        """A provider is as open as its least open way: its own circuit, or all its credentials', or its default model's."""
        now, board, settings = self._means.clock(), self._means.board, self._providers[name].settings
        credentials = [board.credential(name, index) for index in range(max(len(settings.keys), 1))]
        best = min(credentials, key=lambda breaker: breaker.until)
        worst = max(board.provider(name), best, board.model(name, settings.models[0]), key=lambda breaker: breaker.until)
        retry_in = max(worst.until - now, 0.0) if worst.until not in (0.0, float("inf")) else None
        return ProviderState(name, settings.models, worst.state(now), worst.reason if worst.until else "", retry_in)

    def _announce(self, name: str) -> None:
        state = self._state(name).state
        if self._states.get(name, CLOSED) != state:
            self._states[name] = state
            self._observer.breaker_changed(name, state)
