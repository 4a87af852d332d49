"""What a run may spend, and how much of it is gone."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.llm.deltas import Usage
from services.workflows.results import spent

CHARACTERS_PER_TOKEN = 4  # of running text; an agent at work is counted so until its provider says the real number


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits of one run: tokens, US dollars, seconds. Nearing one, optional agents are left out; at it, the answer is written."""

    tokens: int = 120_000
    cost: float = 1.0
    seconds: float = 180.0
    nearly: float = 0.8


class Ledger:
    """What a run has spent: finished work as its providers counted it, work in hand as estimated."""

    def __init__(self, budget: Budget, clock: Callable[[], float] = time.monotonic) -> None:
        self.budget = budget
        self.usage: list[Usage] = []
        self._clock = clock
        self._started = clock()
        self._in_hand: dict[str, int] = {}

    def estimate(self, node: str, characters: int) -> bool:
        """A node at work has so far sent and received this many characters. True when that was the last of the tokens."""
        was = self.tokens < self.budget.tokens
        self._in_hand[node] = math.ceil(characters / CHARACTERS_PER_TOKEN)
        return was and self.tokens >= self.budget.tokens

    def book(self, node: str, usage: Sequence[Usage]) -> None:
        """A node ended; its real usage replaces its estimate. Without one (it failed), the estimate stays."""
        if usage:
            self._in_hand.pop(node, None)
            self.usage.extend(usage)

    @property
    def tokens(self) -> int:
        return spent(self.usage)[0] + sum(self._in_hand.values())

    @property
    def cost(self) -> float | None:
        """The known cost, None when no provider's price is known."""
        known = [usage.cost for usage in self.usage if usage.cost is not None]
        return sum(known) if known else None

    @property
    def seconds_left(self) -> float:
        return max(0.0, self.budget.seconds - (self._clock() - self._started))

    @property
    def elapsed_ms(self) -> int:
        return round((self._clock() - self._started) * 1000)

    def share(self) -> tuple[float, str]:
        """How much of the scarcest limit is gone (1 is all of it), and its name for a reader."""
        seconds = self.budget.seconds - self.seconds_left
        return max(
            (_part(self.tokens, self.budget.tokens), f"{self.budget.tokens:,} tokens"),
            (_part(self.cost or 0.0, self.budget.cost), f"${self.budget.cost:g}"),
            (_part(seconds, self.budget.seconds), f"{self.budget.seconds:g} s"),
        )

    @property
    def nearly_spent(self) -> bool:
        return self.share()[0] >= self.budget.nearly

    @property
    def is_spent(self) -> bool:
        return self.share()[0] >= 1


def _part(used: float, limit: float) -> float:
    return used / limit if limit > 0 else 1.0
