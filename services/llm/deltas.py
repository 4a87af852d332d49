"""What an LLM stream yields: the typed deltas, and what a request to one holds. Values only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LLMRequest:
    """One question to a model.

    `messages` are OpenAI chat messages (role, content). `question`, `assistant`, `context` and `evidence` repeat
    what they were made from, for the embedded provider, which reads no prompt. `provider` and `model` are a
    person's choice for this turn and go first. `purpose` names the caller in metrics (`chat`, `agent`, …).
    """

    messages: Sequence[Mapping[str, object]]
    question: str = ""
    assistant: str = "general"
    context: Mapping[str, object] = field(default_factory=dict)
    evidence: object | None = None
    provider: str | None = None
    model: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    purpose: str = "chat"
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Began:
    """A provider committed: the first content, reasoning or tool delta follows. `attempt` counts from 1."""

    provider: str
    model: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Content:
    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    index: int
    id: str | None
    name: str | None
    arguments: str


@dataclass(frozen=True, slots=True)
class Switched:
    """The answer goes on with another provider. `mode` is `before_first_token` or `restart`; what came after
    character `discard_from` (Unicode code points of content within this stream) no longer counts."""

    source: str
    target: str
    reason: str
    message: str
    mode: str
    discard_from: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and cost of one attempt. `cost` is in US dollars, None where the price is not known."""

    provider: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    estimated: bool = False
    wasted: bool = False
    cost: float | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at one provider, for the trail under the answer. Times in milliseconds from the start of the stream."""

    provider: str
    model: str
    outcome: str
    started_ms: int
    ttft_ms: int | None
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The last delta of a stream that ended well. `left_out` counts messages that the model's window had no room for."""

    provider: str
    model: str
    reason: str
    usage: tuple[Usage, ...]
    attempts: tuple[Attempt, ...]
    left_out: int = 0


Delta = Began | Content | Reasoning | ToolCall | Switched | Finished
