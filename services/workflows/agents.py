"""One agent at work: its prompt, its stream, its verdict. Knows providers' deltas and prompts; knows no graph."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Protocol

from services.cancellation import Cancellation
from services.errors import TickertapeError, Unavailable
from services.llm.config import spoken
from services.llm.deltas import (
    Began,
    Content,
    Delta,
    Finished,
    LLMRequest,
    Reasoning,
    Switched,
)
from services.llm.trail import Trail
from services.workflows import prompting
from services.workflows.catalogue import AGENTS
from services.workflows.desk import DESK, OFFLINE, Desk
from services.workflows.jobs import Assignment
from services.workflows.prose import Prose
from services.workflows.reading import is_broken, parse
from services.workflows.results import NodeResult
from services.workflows.verdicts import Overall, Verdict, abstention

MAX_CHARACTERS = 24_000  # of one agent's text: about ten pages; what goes on after that is not read
MAX_AGENT_TOKENS = 1_200
MAX_ANSWER_TOKENS = 2_500


class LLM(Protocol):
    """What an agent needs of services.llm."""

    def stream(self, request: LLMRequest, cancellation: Cancellation, trail: Trail | None = None) -> Iterator[Delta]: ...


class EmptyAnswer(Unavailable):
    """A provider finished without a word."""

    code = "empty_answer"


@dataclass(frozen=True, slots=True)
class Wrote:
    """Prose to show. `characters` counts all that was sent and received so far, for the budget."""

    text: str
    characters: int


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something real to tell about the work; with `discard_from`, shown prose from there on no longer counts."""

    message: str
    discard_from: int | None = None
    data: Mapping[str, object] = field(default_factory=dict)


Tell = Callable[[Wrote | Noticed], None]


class Agents:
    """Runs agents on an LLM service; where no model answers, on the desk's computed reports."""

    def __init__(self, llm: LLM, desk: Desk) -> None:
        self._llm = llm
        self._desk = desk

    def work(self, task: Assignment, cancellation: Cancellation, tell: Tell, trail: Trail) -> NodeResult:
        """One view. Raises what the LLM service raises, and EmptyAnswer; Cancelled passes through.

        `trail` holds what was used, however it ends.
        """
        started = time.monotonic()
        view = _View(task, tell)
        request = self._request(task, prompting.view(task), MAX_AGENT_TOKENS)
        view.sent(request)
        with closing(self._llm.stream(request, cancellation, trail)) as deltas:
            for delta in deltas:
                if not view.take(delta):
                    break
        if view.is_offline:
            _forget_offline(trail)
            return replace(self._computed(task, tell, started), usage=tuple(trail.usage))
        view.end()
        verdict = self._verdict(view, task, cancellation, trail)
        result = view.result(verdict.citing(prompting.evidence_ids(task.pack)), started)
        return replace(result, usage=tuple(trail.usage))

    def conclude(self, task: Assignment, overall: Overall, cancellation: Cancellation, trail: Trail) -> Iterator[Delta]:
        """The answer, as the deltas of the turn; the overall verdict is given to the model, not asked of it."""
        request = self._request(task, prompting.synthesis(task, overall), MAX_ANSWER_TOKENS)
        with closing(self._llm.stream(request, cancellation, trail)) as deltas:
            for delta in deltas:
                if isinstance(delta, Began) and delta.provider == OFFLINE:
                    break
                if isinstance(delta, Switched) and delta.target == OFFLINE:
                    yield replace(delta, discard_from=0)
                    break
                yield delta
            else:
                return
        _forget_offline(trail)
        yield from self._desk.synthesis(task, overall)

    def _request(self, task: Assignment, messages: list[dict[str, str]], limit: int) -> LLMRequest:
        return LLMRequest(
            messages=messages, question=task.question, assistant=AGENTS[task.node.agent].assistant, context=task.context,
            evidence=task.pack, provider=task.provider, model=task.model, max_tokens=limit, purpose="agent",
        )  # fmt: skip

    def _computed(self, task: Assignment, tell: Tell, started: float) -> NodeResult:
        """The desk's report in the agent's voice, with a verdict computed from the measures."""
        tell(Noticed("No model answers: the desk computes this part from the data", data={"provider": OFFLINE}))
        text = ""
        for piece in self._desk.report(task):
            text += piece
            tell(Wrote(piece, 0))
        return NodeResult(
            task.node.id, task.node.agent, text.strip(), self._desk.verdict(task), OFFLINE, DESK, (), _since(started)
        )

    def _verdict(self, view: "_View", task: Assignment, cancellation: Cancellation, trail: Trail) -> Verdict:
        """What the agent concludes. Who tried to give a verdict is asked once more; who gave none abstains, at no cost."""
        verdict = parse(view.prose.text)
        if verdict is None and is_broken(view.prose.text):
            verdict = self._repaired(view, task, cancellation, trail)
        return verdict or abstention("Gave no verdict that could be read")

    def _repaired(self, view: "_View", task: Assignment, cancellation: Cancellation, trail: Trail) -> Verdict | None:
        """Ask once for the verdict alone."""
        view.tell(Noticed("Asked again for its verdict", data={"repair": 1}))
        request = self._request(task, prompting.repair(task, view.prose.text), 300)
        view.sent(request)
        text = ""
        try:
            with closing(self._llm.stream(request, cancellation, trail)) as deltas:
                for delta in deltas:
                    if isinstance(delta, Content) and len(text) < MAX_CHARACTERS:
                        text += delta.text
                    elif isinstance(delta, Switched):
                        text = text[: delta.discard_from]
        except TickertapeError:
            pass  # the prose is there; only its verdict is not
        return parse(text)


class _View:
    """The state of one agent's stream."""

    def __init__(self, task: Assignment, tell: Tell) -> None:
        self.task = task
        self.tell = tell
        self.prose = Prose()
        self.is_offline = False
        self.provider = self.model = ""
        self.reason = "stop"
        self._sent = 0

    def sent(self, request: LLMRequest) -> None:
        """Count a prompt towards the budget."""
        self._sent += sum(len(str(message.get("content", ""))) for message in request.messages)
        self.tell(Wrote("", self.characters))

    @property
    def characters(self) -> int:
        return self._sent + len(self.prose.text)

    def take(self, delta: Delta) -> bool:
        """One delta of the stream; False when no more of it is wanted."""
        match delta:
            case Began(provider=provider, model=model):
                self.provider, self.model, self.is_offline = provider, model, provider == OFFLINE
                if not self.is_offline:
                    self.tell(Noticed(f"{provider} answers", data={"provider": provider, "model": model}))
            case Content(text=text):
                self.tell(Wrote(self.prose.feed(text[:MAX_CHARACTERS]), self.characters))
            case Reasoning(text=text):
                self._sent += len(text)
            case Switched():
                self._switch(delta)
            case Finished():
                self.provider, self.model, self.reason = delta.provider, delta.model, delta.reason
        if len(self.prose.text) > MAX_CHARACTERS:
            self.reason = "length"
            self.tell(Noticed(f"Stopped reading after {MAX_CHARACTERS:,} characters"))
            return False
        return not self.is_offline

    def _switch(self, delta: Switched) -> None:
        self.is_offline = delta.target == OFFLINE
        kept = self.prose.discard(0 if self.is_offline else delta.discard_from)
        data = {"from": delta.source, "to": delta.target, "reason": delta.reason, "mode": delta.mode}
        self.tell(Noticed(f"{delta.source} failed, {spoken(delta.target)} goes on", discard_from=kept, data=data))

    def end(self) -> None:
        """The stream is over: show what was held back, or fail when there is nothing."""
        self.tell(Wrote(self.prose.end(), self.characters))
        if not self.prose.text.strip():
            raise EmptyAnswer("The model gave an empty answer.")

    def result(self, verdict: Verdict, started: float) -> NodeResult:
        if not self.prose.shown:  # an agent that gave its verdict alone
            self.tell(Wrote(verdict.summary, self.characters))
        return NodeResult(
            self.task.node.id, self.task.node.agent, self.prose.shown or verdict.summary, verdict, self.provider, self.model,
            duration_ms=_since(started), reason=self.reason,
        )  # fmt: skip


def _forget_offline(trail: Trail) -> None:
    """The embedded provider was left at its first word, for the desk: it used nothing and failed at nothing."""
    trail.usage[:] = [usage for usage in trail.usage if usage.provider != OFFLINE]
    trail.attempts[:] = [attempt for attempt in trail.attempts if attempt.provider != OFFLINE]


def shifted(delta: Delta, characters: int) -> Delta:
    """A delta whose stream comes after so many characters of ours."""
    return replace(delta, discard_from=delta.discard_from + characters) if isinstance(delta, Switched) else delta


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
