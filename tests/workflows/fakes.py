"""A model that plays scripts, for the engine's tests. It waits as a socket would: on gevent, interruptible."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import gevent

from services.cancellation import Cancellation
from services.errors import Unavailable
from services.llm.deltas import Began, Content, Delta, Finished, LLMRequest, Switched, Usage
from services.llm.trail import Trail

PROSE = "The trend is intact [AAPL:cagr]."


class LLMFailed(Unavailable):
    code = "provider_failed"


@dataclass(frozen=True)
class Say:
    """One script: the deltas after `before` seconds, `between` seconds apart."""

    deltas: tuple[Delta | Exception, ...]
    before: float = 0.0
    between: float = 0.0


def verdict(stance: float = 0.4, confidence: int = 60, **more: object) -> str:
    fields = {"stance": stance, "confidence": confidence, "horizon": "1y", "summary": "Looks fine", "evidence": ["AAPL:cagr", "made.up"],
              "risks": ["rates"], "invalidation": "it falls", "abstained": False, **more}
    return f"\n\n```json\n{json.dumps(fields)}\n```\n"


def answer(text: str, *, seconds: float = 0.0, pieces: int = 4, provider: str = "fake", cost: float = 0.001, tokens: int = 100) -> Say:
    """A model that takes so many seconds for a text."""
    size = max(1, -(-len(text) // pieces))
    parts = [Content(text[at : at + size]) for at in range(0, len(text), size)]
    usage = Usage(provider, "fake-1", tokens, tokens, cost=cost)
    deltas = (Began(provider, "fake-1", 1), *parts, Finished(provider, "fake-1", "stop", (usage,), ()))
    return Say(deltas, between=seconds / len(deltas))


def failure(message: str = "The provider failed.") -> Say:
    return Say((LLMFailed(message),))


Script = Callable[[str, LLMRequest], Say]


@dataclass
class FakeLLM:
    """Plays `script(task, request)` for each request. `calls` are the tasks asked for, `open` the streams not yet closed."""

    script: Script = lambda task, request: answer(PROSE + verdict())
    calls: list[str] = field(default_factory=list)
    requests: list[LLMRequest] = field(default_factory=list)
    open: int = 0
    most: int = 0

    def stream(self, request: LLMRequest, cancellation: Cancellation, trail: Trail | None = None) -> Iterator[Delta]:
        task = task_of(request)
        self.calls.append(task)
        self.requests.append(request)
        say, counted = self.script(task, request), False
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            self._wait(say.before, cancellation)
            for delta in say.deltas:
                self._wait(say.between, cancellation)
                if isinstance(delta, Exception):
                    raise delta
                if isinstance(delta, Finished) and trail is not None:
                    trail.usage += delta.usage
                    counted = True
                yield delta
        finally:
            self.open -= 1
            if not counted and trail is not None:
                trail.usage.append(Usage("fake", "fake-1", 1, 1, estimated=True))

    @staticmethod
    def _wait(seconds: float, cancellation: Cancellation) -> None:
        with cancellation.interruptible():
            gevent.sleep(seconds)


def task_of(request: LLMRequest) -> str:
    """The task a request was made for; `repair` where only a verdict is asked for."""
    content = str(request.messages[-1]["content"])
    return content.rsplit("Your task: ", 1)[1].split(".")[0] if "Your task: " in content else "repair"


def switched(start: int, source: str = "fake", target: str = "spare") -> Switched:
    return Switched(source, target, "stalled", f"{source} stalled", "restart", start, 2)
