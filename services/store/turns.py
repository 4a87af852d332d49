"""The life of a turn in the database once it has begun: claimed by a worker, asked to stop, ended once, retired.

Functions of a session, for `Database.write` and the group commit; each states what it returns, none waits.
"""

import math
import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, Row, bindparam, delete, select, update
from sqlalchemy.orm import Session

from services.errors import NotFound
from services.sse import split
from services.store.clock import database_time
from services.store.models import Message, Segment, Turn, Worker, is_id
from services.store.rows import OverRows, packed

FRESH_S = 0.5  # a heartbeat this young is not written again: every turn that begins would queue for the worker's row


# Beginning (beginning.py) and ending a turn are what every question costs, so they go below the ORM, with statements built once:
# measured, a start took 3.5 ms of CPU through the session's unit of work and takes a quarter of that like this.
_messages, _workers = Message.__table__, Worker.__table__
_branches = (select(_messages.c.id, _messages.c.parent_id, _messages.c.role, _messages.c.content)
             .where(_messages.c.conversation_id == bindparam("conversation")))
_is_fresh = select(_workers.c.id).where(_workers.c.id == bindparam("worker"), _workers.c.seen_at > database_time() - FRESH_S)
_beat = _workers.update().where(_workers.c.id == bindparam("worker"), _workers.c.seen_at > 0.0).values(seen_at=database_time())
_has_left = select(_workers.c.id).where(_workers.c.id == bindparam("worker"))
_insert_worker = _workers.insert().values(id=bindparam("worker"), host=bindparam("on_host"), pid=bindparam("of_pid"), seen_at=database_time())
_END_TURNS = OverRows("""UPDATE turns SET status = ending.status, ended_at = :now
    FROM (SELECT {0} AS id, {1} AS attempt, {2} AS worker_id, {3} AS status FROM {rows}) AS ending
    WHERE turns.id = ending.id AND turns.attempt = ending.attempt AND turns.worker_id = ending.worker_id AND turns.status = 'running'
    RETURNING turns.id, turns.attempt""", "text", "int", "text", "text")
_ENDED_BY = OverRows("""SELECT turns.id, turns.attempt FROM (SELECT {0} AS id, {1} AS attempt, {2} AS worker_id FROM {rows}) AS ending
    CROSS JOIN turns WHERE turns.id = ending.id AND turns.attempt = ending.attempt AND turns.worker_id = ending.worker_id
      AND turns.status != 'running'""", "text", "int", "text")
_TOUCH_CONVERSATIONS = OverRows("""UPDATE conversations SET updated_at = :now WHERE id IN (SELECT {0} FROM {rows})""", "text")
ANSWER_COLUMNS = ("content", "reasoning", "status", "made", "evidence", "workflow")
_end_answer = (_messages.update().where(_messages.c.id == bindparam("of_message"))
               .values({name: bindparam("new_" + name) for name in ANSWER_COLUMNS}))


def branches(connection: Connection, conversation_id: str) -> dict[str, Row]:
    """All messages of a conversation by their ids: id, parent_id, role, content."""
    return {row.id: row for row in connection.execute(_branches, {"conversation": conversation_id})}


def branch(messages: Mapping[str, Row], leaf: str | None) -> list[dict[str, str]]:
    """Role and content of a message and of everything above it, oldest first."""
    found = []
    while leaf is not None:
        found.append({"role": messages[leaf].role, "content": messages[leaf].content})
        leaf = messages[leaf].parent_id
    return found[::-1]


def owned(session: Session, user_id: str | None, turn_id: str) -> Turn:
    """The turn, if it is this user's. Raises NotFound."""
    turn = session.get(Turn, turn_id) if user_id is not None and is_id(turn_id) else None
    if turn is None or turn.user_id != user_id:
        raise NotFound("no such stream")
    return turn


def request_stop(session: Session, turn_id: str) -> None:
    """The durable mark; the owning worker, or the one that takes over, sees it."""
    session.execute(update(Turn).where(Turn.id == turn_id, Turn.status == "running").values(stop_requested=True))


class Ended(NamedTuple):
    """How an attempt ended: the turn's status, and its answer's ANSWER_COLUMNS."""

    turn: Turn
    status: str
    answer: Mapping[str, object]

    @property
    def attempt(self) -> tuple[str, int]:
        return self.turn.id, self.turn.attempt


def end(connection: Connection, ended: Sequence[Ended]) -> set[tuple[str, int]]:
    """End running turns and write their answers; returns the attempts that were still theirs to end."""
    now = time.time()
    rows = sorted((each.turn.id, each.turn.attempt, each.turn.worker_id, each.status) for each in ended)  # as all lock them
    won = {tuple(row) for row in connection.execute(_END_TURNS.on(connection), {"rows": packed(rows), "now": now})}
    mine = [each for each in ended if each.attempt in won]
    if mine:
        connection.execute(_end_answer, [{"of_message": each.turn.message_id}
                                         | {"new_" + name: each.answer[name] for name in ANSWER_COLUMNS} for each in mine])
        touch(connection, {each.turn.conversation_id for each in mine}, now)
    if len(mine) < len(ended):
        # An attempt that asks twice has lost the acknowledgement of its commit: then it is this attempt that ended it.
        lost = [row[:3] for row in rows if row[:2] not in won]
        won |= {tuple(row) for row in connection.execute(_ENDED_BY.on(connection), {"rows": packed(lost)})}
    return won


def touch(connection: Connection, conversation_ids: Iterable[str], now: float) -> None:
    """Conversations have changed just now."""
    rows = packed((id,) for id in sorted(conversation_ids))
    connection.execute(_TOUCH_CONVERSATIONS.on(connection), {"rows": rows, "now": now})


def beat_unless_fresh(connection: Connection, worker_id: str) -> None:
    """Say that a worker lives, if it has not just done so."""
    if connection.execute(_is_fresh, {"worker": worker_id}).first() is None:
        beat(connection, worker_id)


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


def claim(session: Session, turn: Turn, worker_id: str, until: float = math.inf) -> Claimed | None:
    """Make a turn this worker's, as its next attempt; None when another worker was first, it has ended, or this one leaves.

    None also when it is later than `until` (monotonic) before we may write: where we had to wait, whoever is said to be
    silent may have waited too, and tells first that it lives.

    What is needed to go on is read in the same transaction: a turn that is claimed and cannot go on would run for ever.
    """
    if not beat(session, worker_id) or time.monotonic() > until:
        return None
    # 0 of a worker that left in order, whose row may be gone by now. One that takes its own turn up again could not end it.
    seen_at = session.scalar(select(Worker.seen_at).where(Worker.id == turn.worker_id))
    as_found = (Turn.id == turn.id, Turn.status == "running", Turn.attempt == turn.attempt, Turn.worker_id == turn.worker_id)
    mine = update(Turn).where(*as_found).values(worker_id=worker_id, attempt=turn.attempt + 1, crashes=turn.crashes + bool(seen_at))
    if session.execute(mine).rowcount != 1:
        return None
    session.refresh(turn := session.get(Turn, turn.id))
    stored = select(Segment.frames).where(Segment.turn_id == turn.id).order_by(Segment.attempt, Segment.seq_from)
    frames = [frame for segment in session.scalars(stored) for frame in split(segment)]
    messages = branches(session.connection(), turn.conversation_id)
    return Claimed(turn, frames, branch(messages, messages[turn.user_message_id].parent_id))


def retire(session: Session, before: float, limit: int = 500) -> int:
    """Delete the logs of turns that ended before a time; their conversations stay. Returns how many."""
    old = select(Turn.id).where(Turn.ended_at < before, Turn.retired_at.is_(None)).limit(limit)
    ids = list(session.scalars(old))
    session.execute(delete(Segment).where(Segment.turn_id.in_(ids)))
    session.execute(update(Turn).where(Turn.id.in_(ids)).values(retired_at=time.time()))
    return len(ids)
