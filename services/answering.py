"""How an answer comes about: evidence first, then a workflow or one question to the LLM service, then its figures checked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

from services import prompts
from services.answer import Answer
from services.cancellation import Cancellation
from services.events import Event
from services.llm.deltas import Delta, LLMRequest
from services.llm.service import LLMService
from services.market.desk import MarketDesk
from services.market.evidence import EvidencePack
from services.questions import Question
from services.store.models import Turn
from services.workflows.results import Checkpoints
from services.workflows.service import Workflows

Outcome = tuple[str, Event]           # a turn's last status and its last event
Work = Callable[[Answer], Outcome]    # writes an answer and tells how it ended


@dataclass(frozen=True)
class Answering:
    """The services an answer is made with."""

    llm: LLMService
    desk: MarketDesk
    workflows: Workflows
    checkpoints: Checkpoints

    def check(self, question: Question) -> None:
        """Raise InvalidRequest for what can be refused before a turn begins."""
        self.workflows.check(question.workflow)
        self.llm.check(question.provider, question.model)

    def work(self, turn: Turn, question: Question, earlier: list[dict[str, str]], cancellation: Cancellation) -> Work:
        """The work of one turn. Nothing happens before it is called with the answer to write."""
        def write(answer: Answer) -> Outcome:
            for delta in self._deltas(turn, question, earlier, answer, cancellation):
                answer.take(delta)
            answer.finish()
            answer.check_figures(question.message)
            return "completed", answer.completed(answer.finish_reason)
        return write

    def _deltas(self, turn: Turn, question: Question, earlier: list[dict[str, str]], answer: Answer,
                cancellation: Cancellation) -> Iterator[Delta]:
        detection = self.workflows.detect(question)
        if detection.workflow is not None:
            run = self.workflows.begin(question, detection, turn.id, answer.log, earlier)
            answer.run, answer.run_state = run, run.state
            return run.deltas(cancellation, self.checkpoints, answer.trail)
        answer.pack = self._evidence(question, cancellation)
        return self.llm.stream(self._request(question, earlier, answer.pack), cancellation, answer.trail)

    def _evidence(self, question: Question, cancellation: Cancellation) -> EvidencePack:
        """Gathered beside the turn where a source may keep it waiting: a stop does not wait for one."""
        context = dict(question.context) | {"assistant": question.assistant_type}
        if not self.desk.settings.networked:
            return self.desk.evidence(question.message, context)
        return cancellation.wait_for(self.desk.evidence, question.message, context)

    def _request(self, question: Question, earlier: list[dict[str, str]], pack: EvidencePack) -> LLMRequest:
        messages = prompts.messages(question.message, assistant=question.assistant_type, context=question.context,
                                    earlier=earlier, today=date.today(), evidence_text=pack.prompt_text())
        return LLMRequest(messages=messages, question=question.message, assistant=question.assistant_type,
                          context=question.context, evidence=pack, provider=question.provider, model=question.model)
