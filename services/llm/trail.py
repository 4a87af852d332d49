"""How an answer was made: every attempt with its time, outcome, usage and cost. Kept while the stream runs, whatever ends it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from services.llm import fitting
from services.llm.deltas import Attempt, Usage
from services.llm.prices import PriceTable
from services.llm.wire_events import Counted


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
    """One attempt while it runs. Times are monotonic."""

    provider: str
    asked: str  # the model we asked for
    embedded: bool = False  # it reads no prompt: no tokens, no cost
    model: str = ""  # as reported by the provider, once it did
    started: float | None = None
    first: float | None = None  # when the first content came
    committed: bool = False
    weight: int = 0  # of what it wrote, see fitting.weigh
    counted: Counted | None = None
    reason: str = "stop"
    left_out: int = 0  # messages that did not fit
    recorded: bool = False

    def attempt(self, outcome: str, start: float, now: float) -> Attempt:
        return Attempt(
            self.provider,
            self.model or self.asked,
            outcome,
            started_ms=_ms(self.started - start),
            ttft_ms=None if self.first is None else _ms(self.first - self.started),
            duration_ms=_ms(now - self.started),
        )

    def usage(self, messages: fitting.Messages, wasted: bool, prices: PriceTable) -> Usage | None:
        """What it used: counted by the provider, else estimated from the `messages` it was sent and what it wrote.

        None when it never began.
        """
        if self.counted is not None:
            prompt, completion, cost = self.counted.prompt_tokens, self.counted.completion_tokens, self.counted.cost
        elif not self.committed:
            return None
        elif self.embedded:
            prompt, completion, cost = 0, fitting.text_tokens(self.weight), 0.0
        else:
            prompt, completion, cost = fitting.count(messages), fitting.text_tokens(self.weight), None
        price = prices.price(self.provider, self.model, self.asked)
        if cost is None and price is not None:
            cost = price.of(prompt, completion)
        model = self.model or self.asked
        return Usage(self.provider, model, prompt, completion, estimated=self.counted is None, wasted=wasted, cost=cost)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
