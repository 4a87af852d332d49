"""What the wire tells beside the deltas a person sees: whose answer it is, what it cost, that it is whole, or broken."""

from dataclasses import dataclass

from services.llm.deltas import Content, Reasoning, ToolCall
from services.llm.errorbody import ErrorBody


@dataclass(frozen=True, slots=True)
class Named:
    """The model as the provider itself calls it; once, before everything else."""

    model: str


@dataclass(frozen=True, slots=True)
class Counted:
    """Tokens as the provider counts them; the last one counts. `cost` in US dollars where it says so (OpenRouter)."""

    prompt_tokens: int
    completion_tokens: int
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """A finish reason arrived: the answer is whole, though usage may follow."""

    reason: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The stream failed. `kind` is `error` (the provider said so), `malformed` or `page`. Nothing follows it."""

    kind: str
    error: ErrorBody = ErrorBody()


WireEvent = Content | Reasoning | ToolCall | Named | Counted | Ended | Broken
