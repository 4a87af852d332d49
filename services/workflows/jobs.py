"""What is handed around in a run: the job, one node's assignment, and the evidence as agents use it. Values only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.workflows.budget import Budget
from services.workflows.catalogue import Node, Workflow
from services.workflows.results import Missing, NodeResult


class Item(Protocol):
    """One figure of the evidence."""

    id: str
    symbol: str | None
    value: float | None

    @property
    def measure(self) -> str: ...


class Pack(Protocol):
    """The evidence of a run, as agents use it."""

    @property
    def items(self) -> Sequence[Item]: ...

    def prompt_text(self) -> str: ...


@dataclass(eq=False)
class Job:
    """One run of a workflow, and the sender of all its signals. `workflow` is already expanded for its symbols.

    `earlier` are the role and content of the conversation's messages above the question, oldest first.
    """

    run_id: str
    workflow: Workflow
    question: str
    assistant: str = "general"
    context: Mapping[str, object] = field(default_factory=dict)
    earlier: Sequence[Mapping[str, str]] = ()
    pack: Pack | None = None
    data_age_days: float | None = None
    provider: str | None = None
    model: str | None = None
    budget: Budget = field(default_factory=Budget)


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one node is asked: the question, the shared evidence pack, and what the nodes it needs have said."""

    node: Node
    question: str
    assistant: str = "general"
    context: Mapping[str, object] = field(default_factory=dict)
    pack: Pack | None = None
    views: Sequence[NodeResult] = ()
    missing: Sequence[Missing] = ()
    provider: str | None = None
    model: str | None = None
    earlier: Sequence[Mapping[str, str]] = ()
