"""What workflows announce: one namespace, every signal declared here, each carrying one typed event.

The sender is always the run's own job (engine.Job): connect with it, and no other run and no other app is heard.
Signals announce. What must happen (a checkpoint, the end of a turn) is a plain call.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from blinker import Namespace, NamedSignal

_namespace = Namespace()

workflow_started = _namespace.signal("workflow-started", doc="A run began, or began again after its worker was lost.")
agent_started = _namespace.signal("agent-started", doc="An agent has what it needs and begins.")
agent_progressed = _namespace.signal("agent-progressed", doc="Something real happened to an agent: a provider began, was replaced, a wait.")
agent_tokens = _namespace.signal("agent-tokens", doc="An agent wrote some more of its prose.")
agent_completed = _namespace.signal("agent-completed", doc="An agent finished, and its result is stored.")
agent_failed = _namespace.signal("agent-failed", doc="An agent could not finish; its view is missing or unfinished.")
agent_skipped = _namespace.signal("agent-skipped", doc="An agent was left out, because the budget is nearly or wholly spent.")
workflow_completed = _namespace.signal("workflow-completed", doc="The answer is written.")
workflow_failed = _namespace.signal("workflow-failed", doc="The run ended without an answer.")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowEvent:
    """What every event says: which run, when (Unix time), and how much of it is finished (0..1, finished nodes of all)."""

    workflow_id: str
    at: float
    progress: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentEvent(WorkflowEvent):
    """An event of one node; `step` is its index in the run's outline."""

    step: int
    node: str
    agent: str
    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowStarted(WorkflowEvent):
    """`recalled` names the nodes that an earlier attempt finished: they are not run again."""

    workflow: str
    name: str
    steps: int
    recalled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStarted(AgentEvent):
    needs: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentProgressed(AgentEvent):
    """`discard_from`, when there is one, is the character of the agent's prose from which it no longer counts."""

    message: str
    discard_from: int | None = None
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTokens(AgentEvent):
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCompleted(AgentEvent):
    """`text` is set only for a recalled result: a client may not have seen the end of it."""

    verdict: Mapping[str, object]
    usage: Sequence[Mapping[str, object]]
    provider: str
    model: str
    duration_ms: int
    recalled: bool = False
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFailed(AgentEvent):
    code: str
    message: str
    required: bool
    kept: int = 0  # characters of unfinished prose that the answer may still use


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSkipped(AgentEvent):
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowCompleted(WorkflowEvent):
    """`verdict` is the overall one, computed from the agents'; `missing` lists the views that are not in it."""

    steps: int
    verdict: Mapping[str, object]
    missing: Sequence[Mapping[str, str]]
    partial: bool
    tokens: int
    cost: float | None
    duration_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowFailed(WorkflowEvent):
    steps: int
    code: str
    message: str


SIGNALS: Mapping[type[WorkflowEvent], NamedSignal] = {
    WorkflowStarted: workflow_started,
    AgentStarted: agent_started,
    AgentProgressed: agent_progressed,
    AgentTokens: agent_tokens,
    AgentCompleted: agent_completed,
    AgentFailed: agent_failed,
    AgentSkipped: agent_skipped,
    WorkflowCompleted: workflow_completed,
    WorkflowFailed: workflow_failed,
}


def announce(sender: object, event: WorkflowEvent) -> None:
    """Send an event on its signal, to those who listen to this sender."""
    SIGNALS[type(event)].send(sender, event=event)
