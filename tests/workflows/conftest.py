from dataclasses import dataclass, field

import pytest

from services.cancellation import Cancellation
from services.llm.deltas import Content, Delta, Switched
from services.workflows.agents import Agents
from services.workflows.broadcaster import Broadcaster
from services.workflows.budget import Budget
from services.workflows.catalogue import WORKFLOWS
from services.workflows.desk import Desk
from services.workflows.engine import Engine, Job
from services.workflows.results import MemoryCheckpoints
from tests.workflows.fakes import FakeLLM


class Pack:
    """An evidence pack as the market desk gives it, small."""

    items = (
        {"id": "AAPL.cagr", "label": "Growth a year", "value": 0.12, "unit": "fraction", "asOf": "2022-12-28", "source": "embedded", "symbol": "AAPL"},
        {"id": "AAPL.volatility", "label": "Volatility", "value": 0.3, "unit": "fraction", "asOf": "2022-12-28", "source": "embedded", "symbol": "AAPL"},
        {"id": "AAPL.max_drawdown", "label": "Drawdown", "value": -0.3, "unit": "fraction", "asOf": "2022-12-28", "source": "embedded", "symbol": "AAPL"},
    )


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
    state: dict = field(default_factory=dict)

    def append(self, event: str, payload: dict) -> None:
        self.events.append((event, payload))

    def job(self) -> Job:
        flow = WORKFLOWS[self.workflow].expanded(self.symbols)
        return Job(self.run_id, flow, "Should I invest in Apple?", pack=Pack(), budget=self.budget)

    def run(self) -> str:
        engine = self.engine or Engine(Agents(self.llm, Desk()), per_run=self.per_run, per_server=self.per_server)
        job = self.job()
        with Broadcaster(job, self, flush_seconds=0.005) as broadcaster:
            broadcaster.detected(job.workflow, job.run_id, "because")
            try:
                for delta in engine.run(job, self.cancellation, self.checkpoints):
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
        return [u for u in updates if node is None or u["data"].get("node") == node]

    def shown(self, node: str) -> str:
        """An agent's prose as a client puts it together."""
        return next(n["text"] for n in self.state.to_dict()["nodes"] if n["id"] == node)


@pytest.fixture
def rig() -> Rig:
    return Rig()
