"""The turn: from a question to its last event. A turn is a greenlet that belongs to no request."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import gevent
from gevent.hub import get_hub
from sqlalchemy import Connection

from services.answer import Answer
from services.answering import Answering, Outcome, Work
from services.cancellation import Cancellation, Cancelled
from services.errors import Gone, InvalidRequest, RateLimited, TickertapeError, Unavailable
from services.events import ChatFailed, ChatStarted, Event, ProviderSwitched
from services.limits import Limits
from services.market.references import hiding
from services.questions import Question
from services.render import BlockRenderer
from services.replay import replay
from services.settings import Settings
from services.sse import BEGINNING, EventId, events_of
from services.store import beginning, turns
from services.store.beginning import Asking, Begun
from services.store.database import Database
from services.store.models import Turn, Worker
from services.store.together import Together
from services.store.turns import Ended
from services.streams.log import TurnLog
from services.streams.segments import SegmentStore, SegmentWriter
from services.streams.service import Streams
from services.workflows.runs import RunState

log = logging.getLogger(__name__)


class ChatService:
    """Starts, follows and stops turns. Everything it works with is given."""

    def __init__(self, settings: Settings, database: Database, worker: Worker, streams: Streams,
                 segments: SegmentStore, answering: Answering, limits: Limits) -> None:
        self._settings = settings
        self._database = database
        self._worker = worker
        self._streams = streams
        self._segments = segments
        self._answering = answering
        self._limits = limits
        self._running: dict[str, Cancellation] = {}
        self.writer = SegmentWriter(
            database, worker.id, interval=settings.segment_interval_ms / 1000, heartbeat=settings.heartbeat_s,
            keep=settings.tail_frames, end=self._end_all, on_stop=lambda turn_id: self._cancel(turn_id, "stopped"), on_lost=self._lose,
        )
        self._beginnings = Together(
            lambda askings: database.write_plainly(lambda connection: self._begin_all(connection, askings)),
            single=lambda asking: asking.is_below_another)

    @property
    def running(self) -> int:
        """Turns being answered on this worker."""
        return len(self._running)

    @property
    def draining(self) -> bool:
        """Whether this worker is going, and begins nothing any more."""
        return self._streams.draining

    def answers(self, turn_id: str) -> bool:
        """Whether a turn is being answered on this worker."""
        return turn_id in self._running

    # ---- what the edge calls

    def start(self, user_id: str, question: Question, key: str | None = None, *, address: str | None = None) -> Turn:
        """Begin to answer, or find the turn that `key` began. `address` limits somebody who is not signed in.

        Raises NotFound, Conflict, Unprocessable, RateLimited, Unavailable.
        """
        if self.draining:
            raise Unavailable("this server is restarting; ask again in a moment")
        self._answering.check(question)
        begun = self._begin(Asking(user_id, question, key, address))
        # A beginning that was long in coming back may have been found idle and taken over here: one answer is enough.
        if not begun.existing and not self.answers(begun.turn.id):
            turn_log = self._streams.produce(begun.turn.id, begun.turn.attempt)
            turn_log.append(_started(begun.turn, question))
            self._answer(begun.turn, turn_log, question, begun.earlier)
        return begun.turn

    def find(self, user_id: str | None, stream_id: str) -> Turn:
        """A turn of this user. Raises NotFound."""
        return self._database.read(lambda session: turns.owned(session, user_id, stream_id))

    def follow(self, turn: Turn, after: EventId = BEGINNING) -> Iterator[bytes] | None:
        """The events after an id, live to the end; None when that id is the last there will be.

        Raises Gone when the log is retired, InvalidRequest for an id that cannot have been sent yet.
        """
        if turn.retired_at is not None:
            raise Gone("this stream's log is retired; its answer is in the conversation",
                       conversationId=turn.conversation_id, conversation=f"/api/conversations/{turn.conversation_id}")
        if after.attempt > turn.attempt:
            raise InvalidRequest("is from an attempt that has not begun", field="Last-Event-ID")
        running = turn.status == "running"
        if not running and after >= self._streams.end(turn.id):
            return None
        if running and self._streams.is_ahead(turn.id, after):
            raise InvalidRequest("is of an event that has not happened", field="Last-Event-ID")
        return self._streams.follow(turn.id, max(after, BEGINNING), running)

    def stop(self, turn: Turn) -> None:
        """End a turn wherever it runs. What has been written so far is kept."""
        if turn.status == "running" and not self._cancel(turn.id, "stopped"):
            self._database.write(lambda session: turns.request_stop(session, turn.id))
            self._streams.ask_to_look(turn.worker_id)

    def abandon(self, turn_ids: list[str]) -> None:
        """Drop turns whose conversation was deleted: nothing of them is written any more, and readers end."""
        for turn_id in turn_ids:
            self._cancel(turn_id, "lost")
            self._streams.close(turn_id)

    def take_over(self, claimed: turns.Claimed) -> None:
        """Go on with a turn this worker has claimed from one that is gone, as the turn's next attempt.

        It starts the answer again, unless the turn was to be stopped, is too old, or has been tried often enough, or
        an earlier version asked what this one does not understand: then it ends here, and the text it has is kept.
        """
        turn, stored = claimed.turn, list(events_of(claimed.frames))
        if self.answers(turn.id):
            self._lose(turn.id)  # its earlier attempt began here after all, while it was being claimed
        understood = _question_of(turn)
        question = _as_decided(understood or Question(message=""), stored)
        turn_log = self._streams.produce(turn.id, turn.attempt)
        if not stored:
            turn_log.append(_started(turn, question))
        text = replay(stored).text
        if turn.stop_requested or self._is_hopeless(turn) or understood is None:
            state = RunState.of(stored)
            turn_log.append(_taken_over(turn, len(text), "The server was restarted; the answer ends here."))
            self._launch(turn, turn_log, question, lambda cancellation: lambda answer: self._give_up(turn, text, state, answer))
        else:
            turn_log.append(_taken_over(turn, 0, "The server was restarted; the answer starts again."))
            self._answer(turn, turn_log, question, claimed.earlier, kept=text)

    def workflow_state(self, turn: Turn) -> tuple[RunState, int]:
        """How a turn's workflow stands, and how many readers of this worker follow it."""
        return RunState.of(events_of(self._segments.all(turn.id))), self._streams.readers(turn.id)

    def hand_over(self) -> None:
        """Let go of every running turn, for another worker to take over at once. The last thing a worker does."""
        for cancellation in list(self._running.values()):
            cancellation.cancel("drained")
        self.writer.leave()

    # ---- the life of a turn

    def _begin(self, asking: Asking) -> Begun:
        try:
            self._limits.admit(asking.user_id, asking.address)
        except RateLimited as refusal:
            asking = replace(asking, refusal=refusal)
        return self._beginnings.do(asking)

    def _begin_all(self, connection: Connection, askings: Sequence[Asking]) -> list[Begun | Exception]:
        """What becomes of each question, in one transaction: the turn that it has begun, or the error it has to be told."""
        found = beginning.find(connection, askings, self._worker.id)
        new = [(each, asking) for each, asking in zip(found, askings, strict=True) if isinstance(each, Begun) and not each.existing]
        refusals = self._limits.reserve(connection, [(each.turn, asking.address) for each, asking in new])
        refused = {each.turn.id: refusal for (each, _), refusal in zip(new, refusals, strict=True) if refusal is not None}
        beginning.write(connection, [each for each, _ in new if each.turn.id not in refused], self._worker.id)
        return [refused.get(each.turn.id, each) if isinstance(each, Begun) else each for each in found]

    def _answer(self, turn: Turn, turn_log: TurnLog, question: Question, earlier: list[dict[str, str]], kept: str = "") -> None:
        def work(cancellation: Cancellation) -> Work:
            write = self._answering.work(turn, question, earlier, cancellation)

            def keeping(answer: Answer) -> Outcome:
                answer.kept = kept
                return write(answer)
            return keeping
        self._launch(turn, turn_log, question, work)

    def _launch(self, turn: Turn, turn_log: TurnLog, question: Question, work: Callable[[Cancellation], Work]) -> None:
        cancellation = self._running[turn.id] = Cancellation()
        self.writer.track(turn_log)
        gevent.spawn(self._run, turn, turn_log, question.render == "html", work(cancellation), cancellation)

    def _run(self, turn: Turn, turn_log: TurnLog, html: bool, work: Work, cancellation: Cancellation) -> None:
        answer = Answer(turn.message_id, turn_log, BlockRenderer(text_rule=hiding, offload=get_hub().threadpool.apply) if html else None)
        budget = get_hub().loop.timer(self._settings.turn_budget_s)
        budget.start(cancellation.cancel, "deadline")
        try:
            ended = self._guarded(turn, answer, work)
            if ended is not None:
                self._end(turn, turn_log, answer, *ended)
        except Exception:
            self._streams.lose(turn.id)  # its readers wait for whoever takes the turn up again
            raise
        finally:
            budget.stop()
            budget.close()
            if self._running.get(turn.id) is cancellation:  # a later attempt of it may already run here
                del self._running[turn.id]
            self._streams.release(turn_log)

    def _guarded(self, turn: Turn, answer: Answer, work: Work) -> Outcome | None:
        """How the work ended, whatever happened in it; None for a turn that goes on elsewhere."""
        try:
            ended = work(answer)
        except Cancelled as cancelled:
            if cancelled.reason in ("lost", "drained"):
                return None
            if cancelled.reason == "deadline":
                ended = "failed", answer.failed("deadline", "The answer took longer than a turn may.", retryable=True)
            else:
                answer.finish()
                ended = "stopped", answer.completed("stopped")
        except TickertapeError as error:
            ended = "failed", answer.failed(error.code, error.message, retryable=getattr(error, "retryable", True))
        except Exception:
            log.exception("turn failed", extra={"turn": turn.id})
            ended = "failed", answer.failed("internal", "Something went wrong on this server.", retryable=True)
        return ended

    def _is_hopeless(self, turn: Turn) -> bool:
        too_old = time.time() - turn.started_at > self._settings.takeover_max_age_s
        return too_old or turn.crashes >= self._settings.max_attempts

    def _give_up(self, turn: Turn, text: str, state: RunState, answer: Answer) -> Outcome:
        answer.restore(text)
        answer.run_state = state
        if turn.stop_requested:
            answer.finish()
            return "stopped", answer.completed("stopped")
        return "failed", answer.failed("interrupted", "The server was restarted while it answered.", retryable=True)

    def _end(self, turn: Turn, turn_log: TurnLog, answer: Answer, status: str, event: Event) -> None:
        ended = Ended(turn, status, answer.columns(event))
        try:
            won = self.writer.finish(turn_log, turn_log.next_frame(event), ended)
        except Exception:
            log.exception("an answer cannot be stored", extra={"turn": turn.id})
            event = ChatFailed(code="internal", message="The answer could not be stored.", retryable=True, partial=False)
            ended = Ended(turn, "failed", Answer(turn.message_id, turn_log, None).columns(event))
            won = self.writer.finish(turn_log, turn_log.next_frame(event), ended)
        log.info("turn %s", status if won else "lost", extra={"turn": turn.id, "user": turn.user_id})

    def _end_all(self, connection: Connection, ended: Sequence[Ended]) -> set[tuple[str, int]]:
        """End turns in the database: their answers, their status, and what they have spent. Returns whose it was to end."""
        won = turns.end(connection, ended)
        self._limits.settle(connection, [(each.turn.id, each.answer) for each in ended if each.attempt in won])
        return won

    def _cancel(self, turn_id: str, reason: str) -> bool:
        cancellation = self._running.get(turn_id)
        if cancellation is not None:
            cancellation.cancel(reason)
        return cancellation is not None

    def _lose(self, turn_id: str) -> None:
        self._streams.lose(turn_id)
        self._cancel(turn_id, "lost")


def _started(turn: Turn, question: Question) -> ChatStarted:
    return ChatStarted(stream_id=turn.id, trace_id=turn.trace_id, conversation_id=turn.conversation_id,
                       user_message_id=turn.user_message_id, message_id=turn.message_id,
                       assistant_type=question.assistant_type)


def _question_of(turn: Turn) -> Question | None:
    try:
        return Question(**turn.question)
    except TypeError:
        return None


def _as_decided(question: Question, stored: Sequence[Mapping[str, object]]) -> Question:
    """The question with the workflow that an earlier attempt decided on: its finished steps are that workflow's."""
    decided = [event["workflow"] for event in stored if event["type"] == "workflow_detected"]
    return replace(question, workflow=decided[-1]) if decided else question


def _taken_over(turn: Turn, discard_from: int, message: str) -> ProviderSwitched:
    return ProviderSwitched(source="server", target="server", reason="worker_lost", message=message, mode="takeover",
                            discard_from=discard_from, attempt=turn.attempt)
