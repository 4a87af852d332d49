"""How an answer was made: every attempt with its time, outcome, usage and cost. Kept while the stream runs, whatever ends it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from services.llm.deltas import Attempt, Usage
from services.llm.prices import PriceTable
from services.llm.wire import Counted


@dataclass(slots=True)
class Trail:
    """Give one to `LLMService.stream` to read it also when the stream is cancelled.

    `idle` is called each time the provider is about to wait for more: everything that had arrived has been yielded,
    so it is the moment to send it on.
    """

    idle: Callable[[], None] | None = None
    provider: str = ""
    model: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    usage: list[Usage] = field(default_factory=list)


@dataclass(slots=True)
class Run:
    """One attempt while it runs. Times as the service's monotonic clock gives them."""

    provider: str
    asked: str  # the model we asked for
    started: float
    model: str = ""  # as reported by the provider, once it did
    first: float | None = None  # when the first content came
    committed: bool = False
    weight: int = 0  # of what it wrote, see fitting.weigh
    counted: Counted | None = None
    reason: str = "stop"

    def attempt(self, outcome: str, start: float, now: float) -> Attempt:
        return Attempt(
            self.provider,
            self.model or self.asked,
            outcome,
            started_ms=round((self.started - start) * 1000),
            ttft_ms=None if self.first is None else round((self.first - self.started) * 1000),
            duration_ms=round((now - self.started) * 1000),
        )

    def usage(self, prompt_tokens: int, wasted: bool, prices: PriceTable) -> Usage | None:
        """What it used: counted by the provider, else estimated from what it wrote; None when it never began."""
        if self.counted is None and not self.committed:
            return None
        prompt, completion, cost = prompt_tokens, -(-self.weight // 4), None
        if self.counted is not None:
            prompt, completion, cost = self.counted.prompt_tokens, self.counted.completion_tokens, self.counted.cost
        price = prices.price(self.provider, self.model, self.asked)
        if cost is None and price is not None:
            cost = price.of(prompt, completion)
        return Usage(
            self.provider, self.model or self.asked, prompt, completion, estimated=self.counted is None, wasted=wasted, cost=cost
        )
