"""Runs workflows: as parallel as their graphs allow, within caps, to an answer that streams. See docs/workflows.md."""

from collections.abc import Iterator

from gevent.lock import BoundedSemaphore

from services.cancellation import Cancellation
from services.llm.deltas import Delta
from services.llm.trail import Trail
from services.workflows.agents import Agents
from services.workflows.execution import Execution
from services.workflows.jobs import Job
from services.workflows.results import Checkpoints


class Engine:
    """Runs jobs; `per_run` and `per_server` cap the agents that work at one time."""

    def __init__(self, agents: Agents, *, per_run: int = 4, per_server: int = 128) -> None:
        self._agents = agents
        self._per_run = per_run
        self.slots = BoundedSemaphore(per_server)

    def run(
        self, job: Job, cancellation: Cancellation, checkpoints: Checkpoints, trail: Trail | None = None
    ) -> Iterator[Delta]:
        """Run a job, or go on with it; yields the deltas of its answer. `trail` gets the usage of all agents, however it ends.

        Raises WorkflowFailure when no answer is possible, what the LLM service raises while the answer streams, and
        Cancelled. After it has raised or was closed, nothing more is announced.
        """
        execution = Execution(job, self._agents, self.slots, self._per_run, cancellation, checkpoints, trail or Trail())
        try:
            yield from execution.deltas()
        finally:
            execution.silence()
