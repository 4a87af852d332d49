"""The life of a turn in the database: begun, claimed by a worker, asked to stop, ended once, retired.

Functions of a session, for `Database.write` and the group commit; each states what it returns, none waits.
"""

import math
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, Row, bindparam, delete, select, update
from sqlalchemy.orm import Session

from services.errors import Conflict, NotFound, Unprocessable
from services.questions import Question
from services.sse import split
from services.store.clock import database_time
from services.store.models import Conversation, Message, Segment, Turn, Worker, is_id, new_id

TITLE_CHARS = 80
FRESH_S = 0.5  # a heartbeat this young is not written again: every turn that begins would queue for the worker's row


# Starting and ending a turn are what every question costs, so they go below the ORM, with statements built once:
# measured, a start took 3.5 ms of CPU through the session's unit of work and takes a quarter of that like this.
_conversations, _messages, _turns, _workers = (kind.__table__ for kind in (Conversation, Message, Turn, Worker))
_insert_conversation, _insert_message, _insert_turn = _conversations.insert(), _messages.insert(), _turns.insert()
_turn_of_key = _turns.select().where(_turns.c.user_id == bindparam("user"), _turns.c.idempotency_key == bindparam("key"))
_message_of_id = _messages.select().where(_messages.c.id == bindparam("message"))
_newest_message = (_messages.select().where(_messages.c.conversation_id == bindparam("conversation"))
                   .order_by(_messages.c.id.desc()).limit(1))
_branches = (select(_messages.c.id, _messages.c.parent_id, _messages.c.role, _messages.c.content)
             .where(_messages.c.conversation_id == bindparam("conversation")))
_touch_conversation = (_conversations.update()
                       .where(_conversations.c.id == bindparam("conversation"), _conversations.c.user_id == bindparam("user"))
                       .values(updated_at=bindparam("now")))
_is_fresh = select(_workers.c.id).where(_workers.c.id == bindparam("worker"), _workers.c.seen_at > database_time() - FRESH_S)
_beat = _workers.update().where(_workers.c.id == bindparam("worker"), _workers.c.seen_at > 0.0).values(seen_at=database_time())
_has_left = select(_workers.c.id).where(_workers.c.id == bindparam("worker"))
_insert_worker = _workers.insert().values(id=bindparam("worker"), host=bindparam("on_host"), pid=bindparam("of_pid"), seen_at=database_time())
_end_turn = (_turns.update()
             .where(_turns.c.id == bindparam("turn"), _turns.c.status == "running", _turns.c.attempt == bindparam("of_attempt"),
                    _turns.c.worker_id == bindparam("of_worker"))
             .values(status=bindparam("as_status"), ended_at=bindparam("now")))
_ended_by = select(_turns.c.id).where(_turns.c.id == bindparam("turn"), _turns.c.status != "running",
                                      _turns.c.attempt == bindparam("of_attempt"), _turns.c.worker_id == bindparam("of_worker"))
ANSWER_COLUMNS = ("content", "reasoning", "status", "made", "evidence", "workflow")
_end_answer = (_messages.update().where(_messages.c.id == bindparam("of_message"))
               .values({name: bindparam("new_" + name) for name in ANSWER_COLUMNS}))


@dataclass(frozen=True, slots=True)
class Begun:
    """A turn and what came before its question on the branch: `earlier` are role and content, oldest first."""

    turn: Turn
    earlier: list[dict[str, str]]
    existing: bool = False


def begin(connection: Connection, user_id: str, question: Question, worker_id: str, key: str | None) -> Begun:
    """Write the question, an empty answer and the turn; or find the turn `key` began.

    Raises NotFound for a conversation or message of somebody else, Conflict below an answer that is still being
    written, Unprocessable when `key` began a different question.
    """
    existing = of_key(connection, user_id, question, key)
    if existing is not None:
        return Begun(existing, [], existing=True)
    if connection.execute(_is_fresh, {"worker": worker_id}).first() is None:
        beat(connection, worker_id)
    now = time.time()
    conversation_id, parent = _place(connection, user_id, question, now)
    asked_id = _asked(connection, conversation_id, parent, question, now)
    answer_id = _add_message(connection, conversation_id, asked_id, "assistant", question, now)
    turn = Turn(id=new_id(), user_id=user_id, conversation_id=conversation_id, user_message_id=asked_id, message_id=answer_id,
                trace_id=new_id(), status="running", attempt=1, worker_id=worker_id, stop_requested=False,
                idempotency_key=key, fingerprint=question.fingerprint() if key is not None else None, question=asdict(question), started_at=now)
    connection.execute(_insert_turn, {column.name: getattr(turn, column.name) for column in _turns.columns})
    return Begun(turn, earlier(connection, turn) if parent is not None else [])


def of_key(connection: Connection, user_id: str, question: Question, key: str | None) -> Turn | None:
    """The turn `key` began. Raises Unprocessable when that was for a different question."""
    row = connection.execute(_turn_of_key, {"user": user_id, "key": key}).first() if key is not None else None
    if row is None:
        return None
    if row.fingerprint != question.fingerprint():
        raise Unprocessable("this key was used for another question", field="Idempotency-Key")
    return Turn(**row._mapping)


def _place(connection: Connection, user_id: str, question: Question, now: float) -> tuple[str, Row | None]:
    """The conversation, made where there is none, and the message the question belongs below."""
    parent = None
    conversation_id = question.conversation_id
    if question.parent_message_id is not None:
        parent = connection.execute(_message_of_id, {"message": question.parent_message_id}).first()
        if parent is None or conversation_id not in (None, parent.conversation_id):
            raise NotFound("no such message", field="parentMessageId")
        conversation_id = parent.conversation_id
    if conversation_id is None:
        return _new_conversation(connection, user_id, question, now), None
    touched = connection.execute(_touch_conversation, {"conversation": conversation_id, "user": user_id, "now": now})
    if touched.rowcount != 1:
        if question.conversation_id is None:
            raise NotFound("no such message", field="parentMessageId")
        raise NotFound("no such conversation", field="conversationId")
    if parent is None:
        parent = connection.execute(_newest_message, {"conversation": conversation_id}).first()
    if parent is not None and parent.status == "streaming":
        raise Conflict("the answer above is still being written", field="parentMessageId")
    return conversation_id, parent


def _new_conversation(connection: Connection, user_id: str, question: Question, now: float) -> str:
    conversation_id = new_id()
    connection.execute(_insert_conversation, {"id": conversation_id, "user_id": user_id, "title": title_of(question.message),
                                                 "created_at": now, "updated_at": now})
    return conversation_id


def _asked(connection: Connection, conversation_id: str, parent: Row | None, question: Question, now: float) -> str:
    """The question's message: the parent itself to answer it again, a sibling to edit it, else a new one below."""
    parent_id = parent.id if parent else None
    if parent is not None and parent.role == "user":
        if parent.content == question.message:
            return parent.id
        parent_id = parent.parent_id
    return _add_message(connection, conversation_id, parent_id, "user", question, now)


def _add_message(connection: Connection, conversation_id: str, parent_id: str | None, role: str, question: Question,
                 now: float) -> str:
    message_id = new_id()
    connection.execute(_insert_message, {
        "id": message_id, "conversation_id": conversation_id, "parent_id": parent_id, "role": role,
        "content": question.message if role == "user" else "", "status": "complete" if role == "user" else "streaming",
        "assistant_type": question.assistant_type, "context": dict(question.context), "reasoning": "", "made": {},
        "evidence": None, "workflow": None, "created_at": now,
    })
    return message_id


def earlier(connection: Connection, turn: Turn) -> list[dict[str, str]]:
    """Role and content of everything above a turn's question on its branch, oldest first."""
    rows = {row.id: row for row in connection.execute(_branches, {"conversation": turn.conversation_id})}
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
    turn = session.get(Turn, turn_id) if user_id is not None and is_id(turn_id) else None
    if turn is None or turn.user_id != user_id:
        raise NotFound("no such stream")
    return turn


def request_stop(session: Session, turn_id: str) -> None:
    """The durable mark; the owning worker, or the one that takes over, sees it."""
    session.execute(update(Turn).where(Turn.id == turn_id, Turn.status == "running").values(stop_requested=True))


def end(connection: Connection, turn: Turn, status: str, answer: Mapping[str, object]) -> bool:
    """End a running turn and write its answer's ANSWER_COLUMNS; False when it is no longer `turn`'s attempt."""
    now = time.time()
    ended = connection.execute(_end_turn, {"turn": turn.id, "of_attempt": turn.attempt, "of_worker": turn.worker_id,
                                        "as_status": status, "now": now})
    if ended.rowcount != 1:
        # An attempt that asks twice has lost the acknowledgement of its commit: then it is this attempt that ended it.
        return connection.execute(_ended_by, {"turn": turn.id, "of_attempt": turn.attempt, "of_worker": turn.worker_id}).first() is not None
    connection.execute(_end_answer, {"of_message": turn.message_id} | {"new_" + name: answer[name] for name in ANSWER_COLUMNS})
    connection.execute(_touch_conversation, {"conversation": turn.conversation_id, "user": turn.user_id, "now": now})
    return True


def beat(connection: Connection | Session, worker_id: str) -> bool:
    """Say that a worker lives; its row is written anew when a long sleep had it cleaned away.

    False for one that has said it leaves. It stays gone, whatever it was about to do: while it seemed to live, nobody
    would take its turns over.
    """
    if connection.execute(_beat, {"worker": worker_id}).rowcount == 1:
        return True
    if connection.execute(_has_left, {"worker": worker_id}).first() is not None:
        return False
    connection.execute(_insert_worker, {"worker": worker_id, "on_host": socket.gethostname(), "of_pid": os.getpid()})
    return True


def orphans(session: Session, worker_id: str, gone_s: float = math.inf, limit: int = 100) -> list[Turn]:
    """Running turns whose worker, another than `worker_id`, has said that it leaves, or nothing for `gone_s` seconds."""
    lives = (Worker.seen_at > 0.0) if gone_s == math.inf else (Worker.seen_at > database_time() - gone_s)
    alive = select(Worker.id).where(lives | (Worker.id == worker_id))
    return list(session.scalars(select(Turn).where(Turn.status == "running", Turn.worker_id.not_in(alive)).limit(limit)))


def running_of(session: Session, worker_id: str) -> list[Turn]:
    """The running turns that are this worker's to write."""
    return list(session.scalars(select(Turn).where(Turn.status == "running", Turn.worker_id == worker_id)))


@dataclass(frozen=True, slots=True)
class Claimed:
    """A turn that is this worker's from now on, and all it needs to go on: its stored frames, and what was said before."""

    turn: Turn
    frames: list[bytes]
    earlier: list[dict[str, str]]


def claim(session: Session, turn: Turn, worker_id: str) -> Claimed | None:
    """Make a turn this worker's, as its next attempt; None when another worker was first, it has ended, or this one leaves.

    What is needed to go on is read in the same transaction: a turn that is claimed and cannot go on would run for ever.
    """
    if not beat(session, worker_id):
        return None
    mine = update(Turn).where(Turn.id == turn.id, Turn.status == "running", Turn.attempt == turn.attempt,
                              Turn.worker_id == turn.worker_id).values(worker_id=worker_id, attempt=turn.attempt + 1)
    if session.execute(mine).rowcount != 1:
        return None
    session.refresh(turn := session.get(Turn, turn.id))
    stored = select(Segment.frames).where(Segment.turn_id == turn.id).order_by(Segment.attempt, Segment.seq_from)
    frames = [frame for segment in session.scalars(stored) for frame in split(segment)]
    return Claimed(turn, frames, earlier(session.connection(), turn))


def retire(session: Session, before: float, limit: int = 500) -> int:
    """Delete the logs of turns that ended before a time; their conversations stay. Returns how many."""
    old = select(Turn.id).where(Turn.ended_at < before, Turn.retired_at.is_(None)).limit(limit)
    ids = list(session.scalars(old))
    session.execute(delete(Segment).where(Segment.turn_id.in_(ids)))
    session.execute(update(Turn).where(Turn.id.in_(ids)).values(retired_at=time.time()))
    return len(ids)
