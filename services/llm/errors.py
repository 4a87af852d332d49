"""How a stream ends that could not end well."""

from collections.abc import Sequence

from services.errors import InvalidRequest, TickertapeError, Unavailable
from services.llm.deltas import Attempt, Usage
from services.llm.failures import Failure, Trip


class LLMFailed(TickertapeError):
    """Nobody could answer. `code` is the failure's class; `partial` says that text was shown and stays."""

    def __init__(self, failure: Failure, attempts: Sequence[Attempt], usage: Sequence[Usage], partial: bool) -> None:
        super().__init__(failure.policy.message)
        self.code = failure.kind
        self.failure = failure
        self.retryable = failure.policy.retryable
        self.retry_after = failure.retry_after  # seconds, where the provider said so
        self.attempts, self.usage, self.partial = tuple(attempts), tuple(usage), partial


class LLMUnavailable(LLMFailed, Unavailable):
    status = 503


class LLMRefused(LLMFailed, InvalidRequest):
    """The request itself is the reason; the same again would fail again."""

    status = 400


def failed(failure: Failure, attempts: Sequence[Attempt], usage: Sequence[Usage], partial: bool) -> LLMFailed:
    """The error of a turn that ended with `failure`."""
    ours = failure.policy.retryable or failure.policy.trip is not Trip.NONE
    return (LLMUnavailable if ours else LLMRefused)(failure, attempts, usage, partial)
