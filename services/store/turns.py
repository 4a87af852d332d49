"""The life of a turn in the database: begun, claimed by a worker, asked to stop, ended once, retired.

Functions of a session, for `Database.write` and the group commit; each states what it returns, none waits.
"""

import time
from dataclasses import asdict, dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from services.errors import Conflict, NotFound, Unprocessable
from services.questions import Question
from services.store.models import Conversation, Message, Segment, Turn, Worker, new_id

TITLE_CHARS = 80


@dataclass(frozen=True, slots=True)
class Begun:
    """A turn and what came before its question on the branch: `earlier` are (role, content) pairs, oldest first."""

    turn: Turn
    earlier: list[dict[str, str]]
    existing: bool = False


def begin(session: Session, user_id: str, question: Question, worker_id: str, key: str | None) -> Begun:
    """Write the question, an empty answer and the turn; or find the turn `key` began.

    Raises NotFound for a conversation or message of somebody else, Conflict below an answer that is still being
    written, Unprocessable when `key` began a different question.
    """
    if key is not None:
        turn = session.scalar(select(Turn).where(Turn.user_id == user_id, Turn.idempotency_key == key))
        if turn is not None:
            if turn.fingerprint != question.fingerprint():
                raise Unprocessable("this key was used for another question", field="Idempotency-Key")
            return Begun(turn, [], existing=True)
    conversation, parent = _place(session, user_id, question)
    asked = _asked(session, conversation, parent, question)
    answer = Message(id=new_id(), conversation_id=conversation.id, parent_id=asked.id, role="assistant", status="streaming",
                     assistant_type=question.assistant_type, context=dict(question.context))
    session.add(answer)
    session.flush()
    turn = Turn(id=new_id(), user_id=user_id, conversation_id=conversation.id, user_message_id=asked.id, message_id=answer.id,
                trace_id=new_id(), worker_id=worker_id, idempotency_key=key, question=asdict(question), attempt=1,
                fingerprint=question.fingerprint() if key else None, started_at=time.time())
    session.add(turn)
    session.execute(update(Worker).where(Worker.id == worker_id).values(seen_at=time.time()))
    session.flush()
    return Begun(turn, earlier(session, turn))


def _place(session: Session, user_id: str, question: Question) -> tuple[Conversation, Message | None]:
    parent = None
    conversation_id = question.conversation_id
    if question.parent_message_id is not None:
        parent = session.get(Message, question.parent_message_id)
        if parent is None or conversation_id not in (None, parent.conversation_id):
            raise NotFound("no such message", field="parentMessageId")
        conversation_id = parent.conversation_id
    if conversation_id is None:
        conversation = Conversation(id=new_id(), user_id=user_id, title=title_of(question.message))
        session.add(conversation)
        session.flush()
        return conversation, None
    conversation = session.get(Conversation, conversation_id)
    if conversation is None or conversation.user_id != user_id:
        named = "parentMessageId" if question.conversation_id is None else "conversationId"
        raise NotFound("no such conversation" if named == "conversationId" else "no such message", field=named)
    conversation.updated_at = time.time()
    if parent is None:
        newest = select(Message).where(Message.conversation_id == conversation_id).order_by(Message.id.desc()).limit(1)
        parent = session.scalar(newest)
    if parent is not None and parent.status == "streaming":
        raise Conflict("the answer above is still being written", field="parentMessageId")
    return conversation, parent


def _asked(session: Session, conversation: Conversation, parent: Message | None, question: Question) -> Message:
    """The question's message: the parent itself to answer it again, a sibling to edit it, else a new one below."""
    if parent is not None and parent.role == "user":
        if parent.content == question.message:
            return parent
        parent_id = parent.parent_id
    else:
        parent_id = parent.id if parent else None
    asked = Message(id=new_id(), conversation_id=conversation.id, parent_id=parent_id, role="user", content=question.message,
                    assistant_type=question.assistant_type, context=dict(question.context))
    session.add(asked)
    session.flush()
    return asked


def earlier(session: Session, turn: Turn) -> list[dict[str, str]]:
    """Role and content of everything above a turn's question on its branch, oldest first."""
    columns = select(Message.id, Message.parent_id, Message.role, Message.content)
    rows = {row.id: row for row in session.execute(columns.where(Message.conversation_id == turn.conversation_id))}
    branch = []
    above = rows[turn.user_message_id].parent_id
    while above is not None:
        branch.append({"role": rows[above].role, "content": rows[above].content})
        above = rows[above].parent_id
    return branch[::-1]


def title_of(message: str) -> str:
    """The first line, cut at a word."""
    line = " ".join(message.split())
    if len(line) <= TITLE_CHARS:
        return line
    return (line[:TITLE_CHARS].rsplit(" ", 1)[0] or line[:TITLE_CHARS]) + "…"


def owned(session: Session, user_id: str | None, turn_id: str) -> Turn:
    """The turn, if it is this user's. Raises NotFound."""
    turn = session.get(Turn, turn_id) if user_id is not None else None
    if turn is None or turn.user_id != user_id:
        raise NotFound("no such stream")
    return turn


def request_stop(session: Session, turn_id: str) -> None:
    """The durable mark; the owning worker, or the one that takes over, sees it."""
    session.execute(update(Turn).where(Turn.id == turn_id, Turn.status == "running").values(stop_requested=True))


def end(session: Session, turn: Turn, status: str, answer: dict[str, object]) -> bool:
    """End a running turn and write its answer's columns; False when it is no longer `turn`'s attempt."""
    mine = update(Turn).where(Turn.id == turn.id, Turn.status == "running", Turn.attempt == turn.attempt,
                              Turn.worker_id == turn.worker_id).values(status=status, ended_at=time.time())
    if session.execute(mine).rowcount != 1:
        return False
    session.execute(update(Message).where(Message.id == turn.message_id).values(**answer))
    session.execute(update(Conversation).where(Conversation.id == turn.conversation_id).values(updated_at=time.time()))
    return True


def orphans(session: Session, worker_id: str, gone_s: float) -> list[Turn]:
    """Running turns whose worker, another than `worker_id`, has given no sign of life for `gone_s` seconds."""
    alive = select(Worker.id).where((Worker.seen_at > time.time() - gone_s) | (Worker.id == worker_id))
    return list(session.scalars(select(Turn).where(Turn.status == "running", Turn.worker_id.not_in(alive)).limit(100)))


def claim(session: Session, turn: Turn, worker_id: str) -> Turn | None:
    """Make an orphan this worker's, as its next attempt; None when another worker was first."""
    mine = update(Turn).where(Turn.id == turn.id, Turn.status == "running", Turn.attempt == turn.attempt,
                              Turn.worker_id == turn.worker_id).values(worker_id=worker_id, attempt=turn.attempt + 1)
    if session.execute(mine).rowcount != 1:
        return None
    session.execute(update(Worker).where(Worker.id == worker_id).values(seen_at=time.time()))
    session.refresh(turn := session.get(Turn, turn.id))
    return turn


def retire(session: Session, before: float, limit: int = 500) -> int:
    """Delete the logs of turns that ended before a time; their conversations stay. Returns how many."""
    old = select(Turn.id).where(Turn.ended_at < before, Turn.retired_at.is_(None)).limit(limit)
    ids = list(session.scalars(old))
    session.execute(delete(Segment).where(Segment.turn_id.in_(ids)))
    session.execute(update(Turn).where(Turn.id.in_(ids)).values(retired_at=time.time()))
    return len(ids)
