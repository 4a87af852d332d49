"""Runs a workflow's graph: each node as soon as its inputs are ready, each result stored before it is announced.

One greenlet an agent; the caller's greenlet is the coordinator. It waits for outcomes, starts what became ready, and in
the end streams the last node's answer. The turn's cancellation interrupts the coordinator, which passes it on.
"""

import logging
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import gevent
from gevent.lock import BoundedSemaphore
from gevent.queue import Empty, Queue

from services import signals
from services.cancellation import Cancellation, Cancelled
from services.errors import TickertapeError, Unavailable
from services.llm.deltas import Began, Content, Delta, Finished, Switched, Usage
from services.llm.trail import Trail
from services.workflows.agents import Agents, Assignment, Noticed, Wrote, shifted
from services.workflows.budget import Budget, Ledger
from services.workflows.catalogue import AGENTS, Node, Workflow
from services.workflows.results import Checkpoints, Missing, NodeResult
from services.workflows.verdicts import Overall, Verdict, overall

log = logging.getLogger(__name__)

FAREWELL = 1.0  # seconds the coordinator waits for agents it has ended; their sockets close in the first milliseconds


class WorkflowFailure(Unavailable):
    """A run that cannot give an answer; the message says which part failed."""

    code = "workflow_failed"


@dataclass(eq=False)
class Job:
    """One run of a workflow, and the sender of all its signals. `workflow` is already expanded for its symbols."""

    run_id: str
    workflow: Workflow
    question: str
    assistant: str = "general"
    context: Mapping[str, object] = field(default_factory=dict)
    pack: object | None = None
    data_age_days: float | None = None
    provider: str | None = None
    model: str | None = None
    budget: Budget = field(default_factory=Budget)


class Engine:
    """Runs jobs; `per_run` and `per_server` cap the agents that work at one time."""

    def __init__(self, agents: Agents, *, per_run: int = 4, per_server: int = 64) -> None:
        self.agents = agents
        self.per_run = per_run
        self.slots = BoundedSemaphore(per_server)

    def run(
        self, job: Job, cancellation: Cancellation, checkpoints: Checkpoints, trail: Trail | None = None
    ) -> Iterator[Delta]:
        """Run a job, or go on with it; yields the deltas of its answer. `trail` gets the usage of all agents, however it ends.

        Raises WorkflowFailure when no answer is possible, what the LLM service raises while the answer streams, and
        Cancelled. After it has raised or was closed, nothing more is announced.
        """
        execution = _Execution(self, job, cancellation, checkpoints, trail or Trail())
        try:
            yield from execution.deltas()
        finally:
            execution.silence()


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How an agent ended: with a result, with a missing view (and the code of why), or cancelled from outside."""

    node: Node
    result: NodeResult | None = None
    missing: Missing | None = None
    code: str = ""
    cancelled: str | None = None


@dataclass(frozen=True, slots=True)
class _Working:
    greenlet: gevent.Greenlet
    cancellation: Cancellation
    trail: Trail


class _Execution:
    """One run, from its first node to its last."""

    def __init__(self, engine: Engine, job: Job, cancellation: Cancellation, checkpoints: Checkpoints, trail: Trail) -> None:
        self._engine = engine
        self._job = job
        self._cancellation = cancellation
        self._checkpoints = checkpoints
        self._trail = trail
        self._ledger = Ledger(job.budget)
        self._steps = {node.id: index for index, node in enumerate(job.workflow.nodes)}
        self._last = job.workflow.last
        self._waiting = {node.id: node for node in job.workflow.nodes if node is not self._last}
        self._working: dict[str, _Working] = {}
        self._results: dict[str, NodeResult] = {}
        self._missing: dict[str, Missing] = {}
        self._outcomes: Queue[_Outcome | None] = Queue()
        self._silent = False

    # -- the run --

    def deltas(self) -> Iterator[Delta]:
        """The whole run."""
        recalled = dict(self._checkpoints.load(self._job.run_id))
        flow = self._job.workflow
        self._tell(signals.WorkflowStarted, workflow=flow.id, name=flow.name, steps=len(flow.nodes), recalled=tuple(n for n in self._steps if n in recalled))
        finished = recalled.pop(self._last.id, None)
        for result in recalled.values():
            self._recall(result)
        if finished is not None:
            yield from self._repeat(finished)
            return
        self._gather_views()
        yield from self._conclude()

    def silence(self) -> None:
        """End all agents and hear nothing more of them."""
        self._silent = True
        for working in self._working.values():
            working.cancellation.cancel(self._cancellation.reason or "stopped")
        gevent.joinall([working.greenlet for working in self._working.values()], timeout=FAREWELL)
        for working in self._working.values():
            self._trail.usage += working.trail.usage

    def _recall(self, result: NodeResult) -> None:
        """Take over a node that an earlier attempt finished."""
        node = self._waiting.pop(result.node, None)
        if node is not None:
            self._results[node.id] = result
            self._book(node, result.usage)
            self._completed(node, result, recalled=True)

    def _gather_views(self) -> None:
        """Run every node but the last, as parallel as the graph and the caps allow."""
        while self._waiting or self._working:
            if self._ledger.is_spent:
                self._cut()
            self._start_ready()
            if self._working:
                self._settle(self._next_outcome())
        if not self._results and self._missing and not self._ledger.is_spent:
            self._fail("workflow_failed", f"None of the {len(self._missing)} specialists could answer. {self._reasons()}")

    def _next_outcome(self) -> _Outcome | None:
        """Wait for an agent to end, for the time to be over, or for the tokens to be spent (None)."""
        with self._cancellation.interruptible():
            try:
                return self._outcomes.get(timeout=self._ledger.seconds_left)
            except Empty:
                return None

    def _start_ready(self) -> None:
        """Start the nodes whose inputs are settled; near the end of the budget leave optional ones out."""
        for node in [n for n in self._waiting.values() if self._is_ready(n)]:
            if len(self._working) >= self._engine.per_run:
                return
            if self._ledger.nearly_spent and not node.required:
                self._skip(node, f"Left out: {self._job.budget.nearly:.0%} of the run's {self._ledger.share()[1]} are spent")
            else:
                self._start(self._waiting.pop(node.id))

    def _is_ready(self, node: Node) -> bool:
        return all(need in self._results or need in self._missing for need in node.needs)

    def _start(self, node: Node) -> None:
        cancellation, trail = Cancellation(), Trail()
        greenlet = gevent.spawn(self._agent, node, self._assignment(node), cancellation, trail)
        self._working[node.id] = _Working(greenlet, cancellation, trail)

    def _book(self, node: Node, usage: Sequence[Usage]) -> None:
        self._ledger.book(node.id, tuple(usage))
        self._trail.usage += usage

    def _assignment(self, node: Node) -> Assignment:
        job = self._job
        return Assignment(
            node, job.question, job.assistant, job.context, job.pack,
            [self._results[need] for need in node.needs if need in self._results],
            [self._missing[need] for need in node.needs if need in self._missing], job.provider, job.model,
        )  # fmt: skip

    def _settle(self, outcome: _Outcome | None) -> None:
        """Take an agent's end into account."""
        working = self._working.pop(outcome.node.id, None) if outcome is not None else None
        if working is None:
            return
        self._book(outcome.node, working.trail.usage)
        if outcome.cancelled is not None:
            raise Cancelled(outcome.cancelled)
        if outcome.result is not None:
            self._results[outcome.node.id] = outcome.result
            self._completed(outcome.node, outcome.result)
            return
        self._missing[outcome.node.id] = outcome.missing
        self._tell_node(
            signals.AgentFailed, outcome.node, code=outcome.code, message=outcome.missing.reason,
            required=outcome.node.required, kept=len(outcome.missing.text),
        )  # fmt: skip
        if outcome.node.required and outcome.code != "budget":
            name = AGENTS[outcome.node.agent].name
            self._fail("workflow_failed", f"The {name.lower()} is needed for this answer and could not finish. {outcome.missing.reason}")

    def _cut(self) -> None:
        """The budget is spent: end those at work, leave out the rest."""
        for working in self._working.values():
            working.cancellation.cancel("budget")
        while self._working:
            with self._cancellation.interruptible():
                try:
                    outcome = self._outcomes.get(timeout=FAREWELL)
                except Empty:  # an agent that cannot be interrupted: go on without it, its result comes too late
                    node = self._job.workflow.nodes[self._steps[next(iter(self._working))]]
                    outcome = self._ended(node, "budget", "")
            self._settle(outcome)
        for node in list(self._waiting.values()):
            self._skip(node, f"Left out: the run's {self._ledger.share()[1]} are spent")

    def _skip(self, node: Node, message: str) -> None:
        del self._waiting[node.id]
        self._missing[node.id] = Missing(node.id, node.agent, message)
        self._tell_node(signals.AgentSkipped, node, message=message)

    # -- one agent, in its own greenlet --

    def _agent(self, node: Node, task: Assignment, cancellation: Cancellation, trail: Trail) -> None:
        """Work, store the result, report how it ended. Nothing leaves this greenlet but through the queue."""
        written = _Written(self, node)
        try:
            with self._slot(node, cancellation), self._deadline(node, cancellation):
                self._tell_node(signals.AgentStarted, node, needs=node.needs, missing=tuple(gap.node for gap in task.missing))
                result = self._engine.agents.work(task, cancellation, written, trail)
            cancellation.check()
            self._checkpoints.save(self._job.run_id, result)
            outcome = _Outcome(node, result)
        except Cancelled as ended:
            outcome = self._ended(node, ended.reason, written.text)
        except TickertapeError as error:
            outcome = _Outcome(node, missing=Missing(node.id, node.agent, error.message), code=error.code)
        except Exception as error:
            _log_unexpected(self._job.run_id, node.id, error)
            outcome = _Outcome(node, missing=Missing(node.id, node.agent, "An internal error ended this part."), code="internal")
        self._outcomes.put(outcome)

    def _ended(self, node: Node, reason: str, text: str) -> _Outcome:
        if reason == "budget":
            words = f"Ended at the limit of the run ({self._ledger.share()[1]})"
            return _Outcome(node, missing=Missing(node.id, node.agent, words, text.strip()), code="budget")
        if reason == "deadline":
            return _Outcome(node, missing=Missing(node.id, node.agent, f"Not finished after {node.timeout:g} s"), code="timeout")
        return _Outcome(node, cancelled=reason)

    @contextmanager
    def _slot(self, node: Node, cancellation: Cancellation) -> Iterator[None]:
        """One of the server's places to work; waiting for it can be interrupted."""
        slots = self._engine.slots
        if slots.locked():
            self._tell_node(signals.AgentProgressed, node, message="Waits for a free place on this server")
        acquired = False
        try:
            with cancellation.interruptible():
                acquired = slots.acquire()
            yield
        finally:
            if acquired:
                slots.release()

    @contextmanager
    def _deadline(self, node: Node, cancellation: Cancellation) -> Iterator[None]:
        timer = gevent.get_hub().loop.timer(node.timeout)
        timer.start(cancellation.cancel, "deadline")
        try:
            yield
        finally:
            timer.close()

    def heard(self, node: Node, said: Wrote | Noticed) -> None:
        """What an agent tells while it works."""
        if isinstance(said, Noticed):
            self._tell_node(signals.AgentProgressed, node, message=said.message, discard_from=said.discard_from, data=said.data)
            return
        if said.text:
            self._tell_node(signals.AgentTokens, node, text=said.text)
        was_spent = self._ledger.is_spent
        self._ledger.estimate(node.id, said.characters)
        if self._ledger.is_spent and not was_spent:
            self._outcomes.put(None)

    # -- the answer --

    def _conclude(self) -> Iterator[Delta]:
        """Stream the last node's answer; store it before its end is told."""
        node, started, before = self._last, time.monotonic(), len(self._trail.usage)
        weighed, text, opening = self._overall(), "", self._opening()
        with self._slot(node, self._cancellation):
            self._tell_node(signals.AgentStarted, node, needs=node.needs, missing=tuple(self._missing))
            try:
                for delta in self._engine.agents.conclude(self._assignment(node), weighed, self._cancellation, self._trail):
                    match delta:
                        case Began() if not text:
                            yield delta
                            if opening:
                                yield Content(opening)
                            text = opening
                        case Content():
                            text += delta.text
                            yield delta
                        case Switched():
                            delta = shifted(delta, len(opening)) if text else delta
                            text = text[: delta.discard_from]
                            yield delta
                        case Finished():
                            yield self._finished(delta, text, weighed, started, tuple(self._trail.usage[before:]))
                        case _:
                            yield delta
            except TickertapeError as error:
                self._tell_node(signals.AgentFailed, node, code=error.code, message=error.message, required=True, kept=len(text))
                self._tell(signals.WorkflowFailed, steps=len(self._steps), code=error.code, message=error.message)
                raise

    def _finished(self, delta: Finished, text: str, weighed: Overall, started: float, usage: tuple[Usage, ...]) -> Finished:
        """Store the answer, tell that it is there, and sum up what everything cost."""
        self._cancellation.check()
        node = self._last
        duration = round((time.monotonic() - started) * 1000)
        verdict = Verdict(weighed.stance, weighed.confidence, abstained=weighed.voices == 0)
        result = NodeResult(node.id, node.agent, text, verdict, delta.provider, delta.model, usage, duration, delta.reason)
        self._checkpoints.save(self._job.run_id, result)
        self._cancellation.check()
        return self._complete(result, delta, weighed)

    def _complete(self, result: NodeResult, delta: Finished, weighed: Overall, *, recalled: bool = False) -> Finished:
        self._results[result.node] = result
        self._ledger.book(result.node, result.usage)
        self._completed(self._last, result, recalled=recalled)
        self._tell(
            signals.WorkflowCompleted, steps=len(self._steps), verdict=weighed.payload(), missing=self._gaps(), partial=bool(self._missing),
            tokens=self._ledger.tokens, cost=self._ledger.cost, duration_ms=self._ledger.elapsed_ms,
        )  # fmt: skip
        return replace(delta, usage=tuple(self._trail.usage))

    def _repeat(self, result: NodeResult) -> Iterator[Delta]:
        """The answer was already written when its worker was lost: give it again, without asking anybody."""
        for node in list(self._waiting.values()):
            self._missing[self._waiting.pop(node.id).id] = Missing(node.id, node.agent, "Missing from the finished answer")
        yield Began(result.provider, result.model, 1)
        yield Content(result.text)
        self._trail.usage += result.usage
        yield self._complete(result, Finished(result.provider, result.model, result.reason, (), ()), self._overall(), recalled=True)

    def _overall(self) -> Overall:
        views = [result.verdict for id, result in self._results.items() if id != self._last.id]
        return overall(views, len(self._missing), self._job.data_age_days)

    def _opening(self) -> str:
        """The first words of an answer that lacks views: said by us, whatever the model says."""
        if not self._missing:
            return ""
        names = [_title(self._job.workflow, gap) for gap in self._missing.values()]
        listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
        state = "Partial answer: the budget of this run is spent." if self._ledger.is_spent else "Partial answer."
        return f"*{state} Missing or unfinished: {listed}.*\n\n"

    # -- telling --

    def _gaps(self) -> list[dict[str, str]]:
        return [{"node": gap.node, "agent": gap.agent, "reason": gap.reason} for gap in self._missing.values()]

    def _reasons(self) -> str:
        return " ".join(dict.fromkeys(f"{gap.reason.rstrip('.')}." for gap in self._missing.values()))

    def _completed(self, node: Node, result: NodeResult, *, recalled: bool = False) -> None:
        self._tell_node(
            signals.AgentCompleted, node, verdict=result.verdict.payload(), usage=_counted(result), provider=result.provider,
            model=result.model, duration_ms=result.duration_ms, recalled=recalled,
            text=result.text if recalled and node is not self._last else None,
        )  # fmt: skip

    def _fail(self, code: str, message: str) -> None:
        self._tell(signals.WorkflowFailed, steps=len(self._steps), code=code, message=message)
        raise WorkflowFailure(message)

    def _tell_node(self, event: type[signals.AgentEvent], node: Node, **fields: object) -> None:
        self._tell(event, step=self._steps[node.id], node=node.id, agent=node.agent, task=node.task, **fields)

    def _tell(self, event: type[signals.WorkflowEvent], **fields: object) -> None:
        """Announce, unless the run has ended or been cancelled: then nothing is said any more."""
        if self._silent or self._cancellation.reason is not None:
            return
        finished = len(self._results) + len(self._missing)
        progress = round(finished / len(self._steps), 3)
        signals.announce(self._job, event(workflow_id=self._job.run_id, at=time.time(), progress=progress, **fields))


class _Written:
    """Passes on what an agent tells, and keeps its prose in case it is cut."""

    def __init__(self, execution: _Execution, node: Node) -> None:
        self._execution = execution
        self._node = node
        self.text = ""

    def __call__(self, said: Wrote | Noticed) -> None:
        if isinstance(said, Wrote):
            self.text += said.text
        elif said.discard_from is not None:
            self.text = self.text[: said.discard_from]
        self._execution.heard(self._node, said)


def _title(workflow: Workflow, gap: Missing) -> str:
    """`the trader's view`, or with the task where an agent has several nodes."""
    name = AGENTS[gap.agent].name.lower()
    several = sum(node.agent == gap.agent for node in workflow.nodes) > 1
    task = next(node.task for node in workflow.nodes if node.id == gap.node)
    return f"the {name}'s view ({task[0].lower()}{task[1:]})" if several else f"the {name}'s view"


def _counted(result: NodeResult) -> list[dict[str, object]]:
    """What a result cost, as it is shown."""
    return [
        {"provider": u.provider, "model": u.model, "promptTokens": u.prompt_tokens, "completionTokens": u.completion_tokens,
         "cost": u.cost, "estimated": u.estimated, "wasted": u.wasted}
        for u in result.usage
    ]  # fmt: skip


def _log_unexpected(run_id: str, node: str, error: Exception) -> None:
    """Say what kind of error and where, not its text: that may hold a prompt or a provider's words."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    log.error("run %s, node %s: %s at %s:%s", run_id, node, type(error).__name__, place.filename, place.lineno)
