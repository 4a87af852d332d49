"""What a client can see of a turn: one small frozen dataclass an event, named in the past tense, and its JSON shape.

Field names here are Python's; on the wire they are camelCase, and fields that are None are left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events. `name` is the SSE event and the JSON `type`; a terminal one is a turn's last."""

    name: ClassVar[str]
    terminal: ClassVar[bool] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatStarted(Event):
    name: ClassVar[str] = "chat_started"
    stream_id: str
    trace_id: str
    conversation_id: str
    user_message_id: str
    message_id: str
    assistant_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenArrived(Event):
    """A piece of the answer. `metadata` {provider, model} on a provider's first; `channel` "reasoning" beside the answer."""

    name: ClassVar[str] = "token"
    content: str
    channel: str | None = None
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderSwitched(Event):
    """The answer goes on elsewhere; text after the `discard_from`th Unicode code point no longer counts.

    `source` and `target` are `from` and `to` on the wire.
    """

    name: ClassVar[str] = "provider_switch"
    source: str
    target: str
    reason: str
    message: str
    mode: str
    discard_from: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowDetected(Event):
    name: ClassVar[str] = "workflow_detected"
    workflow_id: str
    workflow: str
    title: str
    message: str
    agents: Sequence[Mapping[str, object]]
    estimated_time: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowUpdated(Event):
    name: ClassVar[str] = "workflow_update"
    workflow_id: str
    event_type: str
    step_index: int | None = None
    agent: str | None = None
    task: str | None = None
    message: str
    progress: float
    data: Mapping[str, object] | None = None
    timestamp: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockClosed(Event):
    """A finished Markdown block, rendered once; `end` is the code point of the answer's text it reaches to."""

    name: ClassVar[str] = "block"
    index: int
    html: str
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCompleted(Event):
    name: ClassVar[str] = "chat_completed"
    terminal: ClassVar[bool] = True
    message_id: str
    provider: str | None
    model: str | None
    finish_reason: str
    tokens_used: int
    usage: Mapping[str, object]
    metrics: Mapping[str, object]
    evidence: Mapping[str, object] | None = None
    html: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatFailed(Event):
    name: ClassVar[str] = "error"
    terminal: ClassVar[bool] = True
    code: str
    message: str
    retryable: bool
    partial: bool


_WIRE_NAMES = {"source": "from", "target": "to", "title": "name"}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return _WIRE_NAMES.get(name) or first + "".join(word.capitalize() for word in rest)


_KEYS: dict[type, list[tuple[str, str]]] = {}


def wire(value: object) -> dict[str, object]:
    """A dataclass as a JSON object: camelCase names, fields that are None left out."""
    kind = type(value)
    if kind not in _KEYS:
        _KEYS[kind] = [(item.name, _camel(item.name)) for item in fields(kind)]
    pairs = ((key, getattr(value, name)) for name, key in _KEYS[kind])
    return {key: found for key, found in pairs if found is not None}


def data(event: Event) -> dict[str, object]:
    """The JSON object of an event, `type` first."""
    return {"type": event.name} | wire(event)
