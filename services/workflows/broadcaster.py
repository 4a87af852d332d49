"""Turns one run's signals into `workflow_update` events on its turn's log. One receiver a signal."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol

import gevent

from services import signals
from services.events import Event, WorkflowDetected, WorkflowUpdated
from services.events import data as json_of
from services.workflows.catalogue import Workflow, outline
from services.workflows.runs import RunState

FLUSH_SECONDS = 0.04  # agent tokens wait this long for more, as the stream itself does
FLUSH_CHARACTERS = 2_000


class Log(Protocol):
    """The turn's log, as far as this module writes it."""

    def append(self, event: Event) -> None: ...


class Broadcaster:
    """Listens to one job while it is entered, and writes what it hears.

    Tokens of an agent are gathered, and written before anything else that is written. Leaving it writes what is
    gathered; after that it hears nothing. `state` is the run as its events tell it, for the page and for history.
    """

    def __init__(self, job: object, log: Log, flush_seconds: float = FLUSH_SECONDS) -> None:
        self.state = RunState()
        self._job = job
        self._log = log
        self._flush_seconds = flush_seconds
        self._gathered: dict[int, list[signals.AgentTokens]] = {}
        self._characters = 0
        self._timer: object | None = None
        self._receivers = {
            signals.workflow_started: self._workflow_started,
            signals.agent_started: self._agent_started,
            signals.agent_progressed: self._agent_progressed,
            signals.agent_tokens: self._agent_tokens,
            signals.agent_completed: self._agent_completed,
            signals.agent_failed: self._agent_failed,
            signals.agent_skipped: self._agent_skipped,
            signals.workflow_completed: self._workflow_completed,
            signals.workflow_failed: self._workflow_failed,
        }

    def __enter__(self) -> "Broadcaster":
        for signal, receiver in self._receivers.items():
            signal.connect(receiver, sender=self._job)
        return self

    def __exit__(self, *_: object) -> None:
        for signal, receiver in self._receivers.items():
            signal.disconnect(receiver, sender=self._job)
        self.flush()

    def detected(self, workflow: Workflow, run_id: str, reason: str) -> None:
        """Write `workflow_detected`: what is about to run, and why."""
        self._append(WorkflowDetected(
            workflow_id=run_id, workflow=workflow.id, title=workflow.name, message=workflow.message,
            agents=outline(workflow.nodes), estimated_time=workflow.estimated_seconds(), reason=reason,
        ))  # fmt: skip

    def flush(self) -> None:
        """Write the tokens gathered so far, one event an agent."""
        if self._timer is not None:
            self._timer.close()
            self._timer = None
        gathered, self._gathered, self._characters = self._gathered, {}, 0
        for events in gathered.values():
            text = "".join(event.text for event in events)
            self._append(_agent(events[-1], "agent.token", "", {"content": text}))

    def _append(self, event: Event) -> None:
        self.state.apply(json_of(event))
        self._log.append(event)

    def _write(self, event: Event) -> None:
        self.flush()
        self._append(event)

    # -- one receiver a signal --

    def _workflow_started(self, sender: object, event: signals.WorkflowStarted) -> None:
        brought = {"workflow": event.workflow, "name": event.name, "steps": event.steps, "recalled": list(event.recalled)}
        again = f", {len(event.recalled)} of {event.steps} parts already done" if event.recalled else ""
        self._write(_workflow(event, "workflow.started", f"{event.name} started{again}", brought))

    def _agent_started(self, sender: object, event: signals.AgentStarted) -> None:
        self._write(_agent(event, "agent.started", event.task, {"needs": list(event.needs), "missing": list(event.missing)}))

    def _agent_progressed(self, sender: object, event: signals.AgentProgressed) -> None:
        discard = {} if event.discard_from is None else {"discardFrom": event.discard_from}
        self._write(_agent(event, "agent.progress", event.message, {**event.data, **discard}))

    def _agent_tokens(self, sender: object, event: signals.AgentTokens) -> None:
        self._gathered.setdefault(event.step, []).append(event)
        self._characters += len(event.text)
        if self._characters >= FLUSH_CHARACTERS:
            self.flush()
        elif self._timer is None:
            self._timer = gevent.get_hub().loop.timer(self._flush_seconds)
            self._timer.start(self._flush_soon)

    def _flush_soon(self) -> None:
        """The timer runs in the hub, where nothing may wait: the log is written from a greenlet."""
        gevent.spawn(self.flush)

    def _agent_completed(self, sender: object, event: signals.AgentCompleted) -> None:
        brought: dict[str, object] = {
            "verdict": dict(event.verdict), "usage": list(event.usage), "provider": event.provider, "model": event.model,
            "durationMs": event.duration_ms, "summary": event.verdict["summary"], "recalled": event.recalled,
        }  # fmt: skip
        if event.text is not None:
            brought["text"] = event.text
        self._write(_agent(event, "agent.completed", str(event.verdict["summary"]) or "Finished", brought))

    def _agent_failed(self, sender: object, event: signals.AgentFailed) -> None:
        self._write(_agent(event, "agent.failed", event.message, {"code": event.code, "required": event.required, "kept": event.kept}))

    def _agent_skipped(self, sender: object, event: signals.AgentSkipped) -> None:
        self._write(_agent(event, "agent.skipped", event.message, {}))

    def _workflow_completed(self, sender: object, event: signals.WorkflowCompleted) -> None:
        brought = {
            "verdict": dict(event.verdict), "missing": list(event.missing), "partial": event.partial, "tokens": event.tokens,
            "cost": event.cost, "durationMs": event.duration_ms,
        }  # fmt: skip
        message = f"Finished without {len(event.missing)} of its views" if event.missing else "Finished"
        self._write(_workflow(event, "workflow.completed", message, brought))

    def _workflow_failed(self, sender: object, event: signals.WorkflowFailed) -> None:
        self._write(_workflow(event, "workflow.failed", event.message, {"code": event.code}))


def _workflow(event: signals.WorkflowEvent, kind: str, message: str, data: Mapping[str, object]) -> WorkflowUpdated:
    return WorkflowUpdated(
        workflow_id=event.workflow_id, event_type=kind, message=message, progress=event.progress, data=data, timestamp=_stamp(event),
    )  # fmt: skip


def _agent(event: signals.AgentEvent, kind: str, message: str, data: Mapping[str, object]) -> WorkflowUpdated:
    return WorkflowUpdated(
        workflow_id=event.workflow_id, event_type=kind, step_index=event.step, agent=event.agent, task=event.task, message=message,
        progress=event.progress, data={"nodeId": event.node, **data}, timestamp=_stamp(event),
    )  # fmt: skip


def _stamp(event: signals.WorkflowEvent) -> str:
    return datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
