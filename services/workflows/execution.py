"""One run of a workflow: starts each node when its inputs are ready, takes their outcomes, streams the answer.

One greenlet an agent (working.py); the turn's greenlet coordinates here. It only ever waits for outcomes, so the turn's
cancellation interrupts it at once, and it passes that on to every agent.
"""

import time
from collections.abc import Iterator
from dataclasses import replace

import gevent
from gevent.lock import BoundedSemaphore
from gevent.queue import Empty, Queue

from services.cancellation import Cancellation, Cancelled
from services.errors import TickertapeError, Unavailable
from services.llm.deltas import Began, Content, Delta, Finished, Switched
from services.llm.trail import Trail
from services.workflows.agents import Agents, shifted
from services.workflows.announcing import Announcer
from services.workflows.budget import Ledger
from services.workflows.catalogue import AGENTS, Node, Workflow
from services.workflows.jobs import Assignment, Job
from services.workflows.results import Checkpoints, Missing, NodeResult
from services.workflows.verdicts import Overall, Verdict, label, overall
from services.workflows.working import Outcome, Worker, place

FAREWELL = 1.0  # seconds the coordinator waits for agents it has ended; their sockets close in the first milliseconds


class WorkflowFailure(Unavailable):
    """A run that cannot give an answer; the message says which part failed."""

    code = "workflow_failed"


class Execution:
    """One run, from its first node to its last."""

    def __init__(
        self, job: Job, agents: Agents, slots: BoundedSemaphore, at_once: int, cancellation: Cancellation,
        checkpoints: Checkpoints, trail: Trail,
    ) -> None:  # fmt: skip
        self._job = job
        self._agents = agents
        self._slots = slots
        self._at_once = at_once
        self._cancellation = cancellation
        self._checkpoints = checkpoints
        self._trail = trail
        self._ledger = Ledger(job.budget)
        self._last = job.workflow.last
        self._waiting = {node.id: node for node in job.workflow.nodes if node is not self._last}
        self._working: dict[str, Worker] = {}
        self._results: dict[str, NodeResult] = {}
        self._missing: dict[str, Missing] = {}
        self._outcomes: Queue[Outcome | None] = Queue()
        self._announcer = Announcer(job, cancellation, self._results, self._missing)

    def deltas(self) -> Iterator[Delta]:
        """The whole run, or what an earlier attempt left of it."""
        recalled = dict(self._checkpoints.load(self._job.run_id))
        self._cancellation.check()
        self._announcer.started(recalled)
        answer = recalled.pop(self._last.id, None)
        for result in recalled.values():
            self._recall(result)
        if answer is not None:
            yield from self._repeat(answer)
            return
        self._gather_views()
        yield from self._conclude()

    def silence(self) -> None:
        """However the run ended: none of its agents goes on, and none is heard any more."""
        self._announcer.is_silent = True
        for worker in self._working.values():
            worker.cancel(self._cancellation.reason or "stopped")
        gevent.joinall([worker.greenlet for worker in self._working.values()], timeout=FAREWELL)
        for worker in self._working.values():
            self._trail.usage += worker.trail.usage

    # -- the views --

    def _recall(self, result: NodeResult) -> None:
        """Take over a node that an earlier attempt finished."""
        node = self._waiting.pop(result.node, None)
        if node is not None:
            self._take(node, result, recalled=True)

    def _gather_views(self) -> None:
        """Run every node but the last, as parallel as the graph and the caps allow."""
        while self._waiting or self._working:
            if self._ledger.is_spent:
                self._cut()
            self._start_ready()
            if self._working:
                self._settle(self._next_outcome(self._ledger.seconds_left))
        if not self._results and self._missing and not self._ledger.is_spent:
            why = " ".join(dict.fromkeys(f"{gap.reason.rstrip('.')}." for gap in self._missing.values()))
            self._fail(f"None of the {len(self._missing)} specialists could answer. {why}")

    def _next_outcome(self, seconds: float) -> Outcome | None:
        """Wait for an agent to end, for the tokens to be spent, or for so many seconds to pass (None)."""
        with self._cancellation.interruptible():
            try:
                return self._outcomes.get(timeout=seconds)
            except Empty:
                return None

    def _start_ready(self) -> None:
        """Start the nodes whose inputs are settled; near the end of the budget leave optional ones out."""
        for node in [node for node in self._waiting.values() if self._is_ready(node)]:
            if self._ledger.nearly_spent and not node.required:
                self._skip(node, f"Left out: {self._job.budget.nearly:.0%} of the run's {self._ledger.share()[1]} are spent")
            elif len(self._working) < self._at_once:
                self._start(self._waiting.pop(node.id))

    def _is_ready(self, node: Node) -> bool:
        return all(need in self._results or need in self._missing for need in node.needs)

    def _start(self, node: Node) -> None:
        worker = Worker(self._assignment(node), self._agents, self._slots, self._announcer, self._ledger)
        self._working[node.id] = worker
        worker.start(lambda result: self._checkpoints.save(self._job.run_id, result), self._outcomes.put)

    def _assignment(self, node: Node) -> Assignment:
        job = self._job
        return Assignment(
            node, job.question, job.assistant, job.context, job.pack,
            [self._results[need] for need in node.needs if need in self._results],
            [self._missing[need] for need in node.needs if need in self._missing], job.provider, job.model, job.earlier,
        )  # fmt: skip

    def _settle(self, outcome: Outcome | None) -> None:
        """Take an agent's end into account; one that comes too late counts no more."""
        worker = self._working.pop(outcome.node.id, None) if outcome is not None else None
        if worker is None:
            return
        if outcome.cancelled is not None:
            raise Cancelled(outcome.cancelled)
        if outcome.result is not None:
            self._take(outcome.node, outcome.result)
            return
        self._book(outcome.node, worker.trail.usage)
        self._missing[outcome.node.id] = outcome.missing
        self._announcer.failed(outcome.node, outcome.code, outcome.missing.reason, len(outcome.missing.text))
        if outcome.node.required and outcome.code != "budget":
            name = AGENTS[outcome.node.agent].name.lower()
            self._fail(f"The {name} is needed for this answer and could not finish. {outcome.missing.reason}")

    def _take(self, node: Node, result: NodeResult, *, recalled: bool = False) -> None:
        self._results[node.id] = result
        self._book(node, result.usage)
        self._announcer.completed(node, result, recalled=recalled, text=result.text if recalled else None)

    def _book(self, node: Node, usage: tuple | list) -> None:
        self._ledger.book(node.id, usage)
        self._trail.usage += usage

    def _cut(self) -> None:
        """The budget is spent: end those at work, leave out the rest."""
        for worker in self._working.values():
            worker.cancel("budget")
        while self._working:
            outcome = self._next_outcome(FAREWELL)
            # None: a wake-up, or an agent that cannot be interrupted. Either way the oldest counts as cut now.
            self._settle(outcome or next(iter(self._working.values())).cut())
        for node in list(self._waiting.values()):
            self._skip(node, f"Left out: the run's {self._ledger.share()[1]} are spent")

    def _skip(self, node: Node, message: str) -> None:
        del self._waiting[node.id]
        self._missing[node.id] = Missing(node.id, node.agent, message)
        self._announcer.skipped(node, message)

    def _fail(self, message: str) -> None:
        self._announcer.workflow_failed(WorkflowFailure.code, message)
        raise WorkflowFailure(message)

    # -- the answer --

    def _conclude(self) -> Iterator[Delta]:
        """Stream the last node's answer, opened by what is missing from it."""
        node, started, before = self._last, time.monotonic(), len(self._trail.usage)
        weighed, opening, pieces = self._overall(), self._opening(), []
        with place(self._slots, self._cancellation):
            self._announcer.agent_started(node)
            try:
                for delta in self._agents.conclude(self._assignment(node), weighed, self._cancellation, self._trail):
                    if isinstance(delta, Finished):
                        result = NodeResult(
                            node.id, node.agent, "".join(pieces), _as_verdict(weighed), delta.provider, delta.model,
                            tuple(self._trail.usage[before:]), round((time.monotonic() - started) * 1000), delta.reason,
                        )  # fmt: skip
                        self._store(result)
                        yield self._completed(result, delta, weighed)
                        return
                    yield from _opened(delta, opening, pieces)
            except TickertapeError as error:
                self._announcer.failed(node, error.code, error.message, sum(map(len, pieces)))
                self._announcer.workflow_failed(error.code, error.message)
                raise

    def _store(self, answer: NodeResult) -> None:
        self._cancellation.check()
        self._checkpoints.save(self._job.run_id, answer)
        self._cancellation.check()

    def _completed(self, answer: NodeResult, delta: Finished, weighed: Overall, *, recalled: bool = False) -> Finished:
        """Tell that the answer is there; its usage, in the trail already, includes every agent's."""
        self._results[answer.node] = answer
        self._ledger.book(answer.node, answer.usage)
        self._announcer.completed(self._last, answer, recalled=recalled)
        self._announcer.workflow_completed(weighed, self._ledger)
        return replace(delta, usage=tuple(self._trail.usage))

    def _repeat(self, answer: NodeResult) -> Iterator[Delta]:
        """The answer was already written when its worker was lost: give it again, without asking anybody."""
        for node in list(self._waiting.values()):
            self._skip(node, "Missing from the answer that was written before")
        self._trail.usage += answer.usage
        yield Began(answer.provider, answer.model, 1)
        yield Content(answer.text)
        yield self._completed(answer, Finished(answer.provider, answer.model, answer.reason, (), ()), self._overall(), recalled=True)

    def _overall(self) -> Overall:
        about = {node.id: node.symbol for node in self._job.workflow.nodes}
        views = [(result.verdict, about.get(id)) for id, result in self._results.items() if id != self._last.id]
        return overall(views, len(self._missing), self._job.data_age_days)

    def _opening(self) -> str:
        """The first words of an answer that lacks views: said by us, whatever the model says."""
        if not self._missing:
            return ""
        names = [_view_of(self._job.workflow, gap) for gap in self._missing.values()]
        listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
        state = "Partial answer: the budget of this run is spent." if self._ledger.is_spent else "Partial answer."
        return f"*{state} Missing or unfinished: {listed}.*\n\n"


def _opened(delta: Delta, opening: str, pieces: list[str]) -> Iterator[Delta]:
    """A delta of the answer, behind `opening`; `pieces` gathers the text as the reader has it."""
    if isinstance(delta, Switched):
        delta = shifted(delta, len(opening) if pieces else 0)
        pieces[:] = ["".join(pieces)[: delta.discard_from]] if delta.discard_from else []
    elif isinstance(delta, Content):
        if not pieces and opening:
            pieces.append(opening)
            yield Content(opening)
        pieces.append(delta.text)
    yield delta


def _view_of(workflow: Workflow, gap: Missing) -> str:
    """`the trader's view`; with the task, where an agent has several nodes."""
    view = f"the {AGENTS[gap.agent].name.lower()}'s view"
    if sum(node.agent == gap.agent for node in workflow.nodes) == 1:
        return view
    task = next(node.task for node in workflow.nodes if node.id == gap.node)
    return f"{view} ({task[0].lower()}{task[1:]})"


def _as_verdict(weighed: Overall) -> Verdict:
    words = f"{label(weighed.stance).capitalize()}, confidence {weighed.confidence}" if weighed.voices else "No view"
    return Verdict(weighed.stance, weighed.confidence, summary=words, abstained=weighed.voices == 0)
