"""What the LLM service tells those who count: metrics, logs. Every method returns at once and raises nothing."""

from services.llm.deltas import Attempt, Usage
from services.llm.failures import Failure


class Observer:
    """Hears nothing. Override what you count."""

    def attempt_started(self, provider: str, model: str, purpose: str) -> None: ...

    def first_content(self, provider: str, model: str, ttft: float) -> None:
        """`ttft` in seconds from the start of the attempt."""

    def switched(self, source: str, target: str, failure: Failure) -> None: ...

    def attempt_ended(self, attempt: Attempt, usage: Usage | None) -> None:
        """Every attempt ends once, whatever its outcome; `usage` is None where nothing was sent."""

    def breaker_changed(self, provider: str, state: str) -> None: ...


class Observers(Observer):
    """Tells several."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def attempt_started(self, provider: str, model: str, purpose: str) -> None:
        for observer in self._observers:
            observer.attempt_started(provider, model, purpose)

    def first_content(self, provider: str, model: str, ttft: float) -> None:
        for observer in self._observers:
            observer.first_content(provider, model, ttft)

    def switched(self, source: str, target: str, failure: Failure) -> None:
        for observer in self._observers:
            observer.switched(source, target, failure)

    def attempt_ended(self, attempt: Attempt, usage: Usage | None) -> None:
        for observer in self._observers:
            observer.attempt_ended(attempt, usage)

    def breaker_changed(self, provider: str, state: str) -> None:
        for observer in self._observers:
            observer.breaker_changed(provider, state)
