from dataclasses import dataclass, field
from datetime import date

import pytest

from services.cancellation import Cancellation
from services.events import Event
from services.events import data as json_of
from services.llm.deltas import Content, Delta, Switched
from services.llm.trail import Trail
from services.workflows.agents import Agents
from services.workflows.broadcaster import Broadcaster
from services.workflows.budget import Budget
from services.workflows.catalogue import WORKFLOWS
from services.workflows.desk import Desk
from services.workflows.engine import Engine
from services.workflows.jobs import Job
from services.workflows.results import MemoryCheckpoints
from services.workflows.runs import RunState
from tests.workflows.fakes import FakeLLM


@dataclass(frozen=True)
class Item:
    id: str
    value: float | None
    symbol: str | None = "AAPL"
    as_of: date | None = None

    @property
    def measure(self) -> str:
        return self.id.rpartition(":")[2]


@dataclass(frozen=True)
class Instrument:
    symbol: str


@dataclass(frozen=True)
class Pack:
    """An evidence pack as the market desk gives it, small."""

    items: tuple[Item, ...] = (Item("AAPL:cagr", 0.12), Item("AAPL:volatility", 0.3), Item("AAPL:max_drawdown", -0.3), Item("AAPL:beta", None))
    instruments: tuple[Instrument, ...] = (Instrument("AAPL"),)
    weights: dict = field(default_factory=dict)
    curves: dict = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def prompt_text(self) -> str:
        return "\n".join(f"{item.id}: {item.value}" for item in self.items)


@dataclass
class Rig:
    """A run with all its parts, and what came of it."""

    llm: FakeLLM = field(default_factory=FakeLLM)
    workflow: str = "investmentResearch"
    symbols: tuple[str, ...] = ("AAPL",)
    budget: Budget = field(default_factory=Budget)
    run_id: str = "run-1"
    checkpoints: MemoryCheckpoints = field(default_factory=MemoryCheckpoints)
    cancellation: Cancellation = field(default_factory=Cancellation)
    events: list[tuple[str, dict]] = field(default_factory=list)
    text: str = ""
    last: Delta | None = None
    per_run: int = 4
    per_server: int = 64
    engine: Engine | None = None
    state: RunState = field(default_factory=RunState)
    trail: Trail = field(default_factory=Trail)

    def append(self, event: Event) -> None:
        self.events.append((event.name, json_of(event)))

    def job(self) -> Job:
        flow = WORKFLOWS[self.workflow].expanded(self.symbols)
        return Job(self.run_id, flow, "Should I invest in Apple?", pack=Pack(), budget=self.budget)

    def run(self) -> str:
        engine = self.engine or Engine(Agents(self.llm, Desk()), per_run=self.per_run, per_server=self.per_server)
        job = self.job()
        with Broadcaster(job, self, flush_seconds=0.005) as broadcaster:
            broadcaster.detected(job.workflow, job.run_id, "because")
            try:
                for delta in engine.run(job, self.cancellation, self.checkpoints, self.trail):
                    self.take(delta)
            finally:
                self.state = broadcaster.state
        return self.text

    def take(self, delta: Delta) -> None:
        self.last = delta
        if isinstance(delta, Content):
            self.text += delta.text
        elif isinstance(delta, Switched):
            self.text = self.text[: delta.discard_from]

    def kinds(self) -> list[str]:
        return [payload.get("eventType", event) for event, payload in self.events]

    def of(self, kind: str, node: str | None = None) -> list[dict]:
        updates = [payload for event, payload in self.events if payload.get("eventType") == kind]
        return [u for u in updates if node is None or u["data"]["nodeId"] == node]

    def shown(self, node: str) -> str:
        """An agent's prose as a client puts it together."""
        return next(n["text"] for n in self.state.to_dict()["nodes"] if n["id"] == node)


@pytest.fixture
def rig() -> Rig:
    return Rig()
