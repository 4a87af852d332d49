"""A double of the LLM service: it plays deltas, waits where a test holds it, and notes what it was asked."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import gevent
from gevent.event import Event

from services.cancellation import Cancellation, Cancelled
from services.llm.breaker import CLOSED
from services.llm.deltas import Attempt, Began, Content, Delta, Finished, LLMRequest, Usage
from services.llm.service import ProviderState
from services.llm.trail import Trail

Step = Delta | float | Event | Exception

NAME, MODEL = "scripted", "scripted-1"
ANSWER = "A short answer."


class ScriptedLLM:
    """Each `play` is one request's script: deltas come out, numbers are pauses, an Event is waited for, an error is raised."""

    def __init__(self) -> None:
        self.requests: list[LLMRequest] = []
        self.cancelled: list[str] = []
        self._scripts: deque[Iterable[Step]] = deque()
        self._held = Event()

    def play(self, *steps: Step) -> None:
        self._held.clear()
        self._scripts.append(steps)

    def play_while(self, condition: Callable[[], bool], *steps: Step) -> None:
        """An answer that repeats `steps` for as long as the condition holds."""
        self._scripts.append(_repeated(condition, steps))

    def until_held(self) -> None:
        """Wait until a script waits for its Event: all before it has been taken."""
        assert self._held.wait(10), "no script got so far"

    def check(self, provider: str | None, model: str | None) -> None:
        """Every provider and model is offered."""

    def stream(self, request: LLMRequest, cancellation: Cancellation, trail: Trail | None = None) -> Iterator[Delta]:
        self.requests.append(request)
        script = self._scripts.popleft() if self._scripts else written(ANSWER)
        try:
            for step in script:
                cancellation.check()
                if isinstance(step, float | int | Event):
                    with cancellation.interruptible():
                        self._wait(step)
                elif isinstance(step, Exception):
                    raise step
                else:
                    yield self._noted(step, trail)
        except Cancelled as cancelled:
            self.cancelled.append(cancelled.reason)
            raise

    def _wait(self, step: float | Event) -> None:
        if isinstance(step, Event):
            self._held.set()
            step.wait()
        else:
            gevent.sleep(step)

    @staticmethod
    def _noted(delta: Delta, trail: Trail | None) -> Delta:
        if type(delta) is Finished and trail is not None:
            trail.attempts += delta.attempts
            trail.usage += delta.usage
        return delta

    def states(self) -> list[ProviderState]:
        return [ProviderState(NAME, (MODEL,), CLOSED)]

    def close(self) -> None:
        pass


def began() -> Began:
    return Began(NAME, MODEL, 1)


def words(text: str) -> list[Content]:
    """A token a word, each with the space before it."""
    return [Content(piece) for piece in re.findall(r"\s*\S+(?:\s+$)?", text)]


def finished(tokens: int = 4, reason: str = "stop") -> Finished:
    usage = Usage(NAME, MODEL, prompt_tokens=20, completion_tokens=tokens, cost=0.000012)
    return Finished(NAME, MODEL, reason, (usage,), (Attempt(NAME, MODEL, "answered", 0, 5, 50),))


def _repeated(condition: Callable[[], bool], steps: tuple[Step, ...]) -> Iterator[Step]:
    yield began()
    while condition():
        yield from steps
    yield finished()


def written(text: str) -> tuple[Step, ...]:
    """The script of a whole answer."""
    pieces = words(text)
    return (began(), *pieces, finished(len(pieces)))
