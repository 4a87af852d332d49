"""What a run says about itself: builds its events and sends them, until it is told to be silent."""

import time
from collections.abc import Collection, Mapping

from services import signals
from services.cancellation import Cancellation
from services.workflows.agents import Noticed
from services.workflows.budget import Ledger
from services.workflows.catalogue import Node
from services.workflows.jobs import Job
from services.workflows.results import Missing, NodeResult
from services.workflows.verdicts import Overall


class Announcer:
    """Sends one run's events. Progress is the share of its nodes that have ended, in whatever way.

    Once the turn is cancelled, or the run is over, nothing is sent any more.
    """

    def __init__(self, job: Job, cancellation: Cancellation, results: Mapping[str, NodeResult], missing: Mapping[str, Missing]) -> None:
        self._job = job
        self._cancellation = cancellation
        self._results = results
        self._missing = missing
        self._steps = {node.id: index for index, node in enumerate(job.workflow.nodes)}
        self.is_silent = False

    def started(self, recalled: Collection[str]) -> None:
        flow = self._job.workflow
        again = tuple(id for id in self._steps if id in recalled)
        self._tell(signals.WorkflowStarted, workflow=flow.id, name=flow.name, steps=len(self._steps), recalled=again)

    def agent_started(self, node: Node) -> None:
        missing = tuple(need for need in node.needs if need in self._missing)
        self._tell_of(node, signals.AgentStarted, needs=node.needs, missing=missing)

    def noticed(self, node: Node, said: Noticed) -> None:
        self._tell_of(node, signals.AgentProgressed, message=said.message, discard_from=said.discard_from, data=said.data)

    def wrote(self, node: Node, text: str) -> None:
        self._tell_of(node, signals.AgentTokens, text=text)

    def completed(self, node: Node, result: NodeResult, *, recalled: bool = False, text: str | None = None) -> None:
        self._tell_of(
            node, signals.AgentCompleted, verdict=result.verdict.payload(), usage=result.counted(), provider=result.provider,
            model=result.model, duration_ms=result.duration_ms, recalled=recalled, text=text,
        )  # fmt: skip

    def failed(self, node: Node, code: str, message: str, kept: int = 0) -> None:
        self._tell_of(node, signals.AgentFailed, code=code, message=message, required=node.required, kept=kept)

    def skipped(self, node: Node, message: str) -> None:
        self._tell_of(node, signals.AgentSkipped, message=message)

    def workflow_completed(self, overall: Overall, ledger: Ledger) -> None:
        gaps = [{"node": gap.node, "agent": gap.agent, "reason": gap.reason} for gap in self._missing.values()]
        self._tell(
            signals.WorkflowCompleted, steps=len(self._steps), verdict=overall.payload(), missing=gaps, partial=bool(gaps),
            tokens=ledger.tokens, cost=ledger.cost, duration_ms=ledger.elapsed_ms,
        )  # fmt: skip

    def workflow_failed(self, code: str, message: str) -> None:
        self._tell(signals.WorkflowFailed, steps=len(self._steps), code=code, message=message)

    def _tell_of(self, node: Node, event: type[signals.AgentEvent], **fields: object) -> None:
        self._tell(event, step=self._steps[node.id], node=node.id, agent=node.agent, task=node.task, **fields)

    def _tell(self, event: type[signals.WorkflowEvent], **fields: object) -> None:
        if self.is_silent or self._cancellation.reason is not None:
            return
        progress = round((len(self._results) + len(self._missing)) / len(self._steps), 3)
        signals.announce(self._job, event(workflow_id=self._job.run_id, at=time.time(), progress=progress, **fields))
