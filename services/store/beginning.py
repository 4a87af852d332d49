"""How turns begin in the database: many of them in one transaction, each with a question, an empty answer and a turn.

What a transaction finds is read first, for each question by itself, and raises; what is new is written at its end, for all
of them in a statement a table.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import orjson
from sqlalchemy import Connection, Row, bindparam, select

from services.errors import Conflict, NotFound, RateLimited, Unprocessable
from services.questions import Question
from services.store.models import Conversation, Message, Turn, new_id
from services.store.rows import OverRows, packed
from services.store.turns import beat_unless_fresh, branch, branches, touch

TITLE_CHARS = 80

_conversations, _messages, _turns = (kind.__table__ for kind in (Conversation, Message, Turn))
_turns_of_ids = _turns.select().where(_turns.c.id.in_(bindparam("ids", expanding=True)))
_message_of_id = _messages.select().where(_messages.c.id == bindparam("message"))
_newest_message = (_messages.select().where(_messages.c.conversation_id == bindparam("conversation"))
                   .order_by(_messages.c.id.desc()).limit(1))
# Locked, so that of two questions below one answer on two workers the later one sees the earlier one's answer.
_own_conversation = (select(_conversations.c.id)
                     .where(_conversations.c.id == bindparam("conversation"), _conversations.c.user_id == bindparam("user"))
                     .with_for_update())

_KNOWN_KEYS = OverRows("""SELECT turns.id FROM (SELECT {0} AS user_id, {1} AS idempotency_key FROM {rows}) AS asked
    CROSS JOIN turns WHERE turns.user_id = asked.user_id AND turns.idempotency_key = asked.idempotency_key""", "text", "text")
_CONVERSATIONS = OverRows("""INSERT INTO conversations (id, user_id, title, created_at, updated_at)
    SELECT {0}, {1}, {2}, :now, :now FROM {rows} WHERE true""", "text", "text", "text")
_MESSAGES = OverRows("""INSERT INTO messages (id, conversation_id, parent_id, role, content, status, assistant_type, context,
        reasoning, made, evidence, workflow, created_at)
    SELECT {0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}, '', '{{}}', 'null', 'null', :now FROM {rows} WHERE true""",
    "text", "text", "text", "text", "text", "text", "text", "json")
_TURNS = OverRows("""INSERT INTO turns (id, user_id, conversation_id, user_message_id, message_id, trace_id, idempotency_key,
        fingerprint, question, status, attempt, worker_id, stop_requested, started_at)
    SELECT {0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}, 'running', 1, :worker, false, :now FROM {rows} WHERE true""",
    "text", "text", "text", "text", "text", "text", "text", "text", "json")


@dataclass(frozen=True, slots=True)
class Asking:
    """A question as it came: who asks, with which idempotency key, and from which address where nobody is signed in.

    With a `refusal` it begins nothing, and is told so where its key has begun nothing before: a retry is no new question.
    """

    user_id: str
    question: Question
    key: str | None = None
    address: str | None = None
    refusal: RateLimited | None = None

    @property
    def is_below_another(self) -> bool:
        """Whether it goes on with a conversation. That is locked; two transactions that lock several could block each other."""
        return self.question.conversation_id is not None or self.question.parent_message_id is not None


@dataclass(frozen=True, slots=True)
class Begun:
    """A turn and what came before its question on the branch: `earlier` are role and content, oldest first.

    `title` is that of a new conversation. `parent_id` is what a new question stands below; `asks_again` has none.
    """

    turn: Turn
    earlier: list[dict[str, str]]
    existing: bool = False
    question: Question | None = None
    title: str | None = None
    parent_id: str | None = None
    asks_again: bool = False


def find(connection: Connection, askings: Sequence[Asking], worker_id: str) -> list[Begun | Exception]:
    """For each question the turn its key began, or the one that `write` is to begin, or the error it has to be told.

    NotFound for a conversation or message of somebody else, Conflict below an answer that is still being written,
    Unprocessable when its key began a different question.
    """
    beat_unless_fresh(connection, worker_id)  # first: whoever locks a worker's row does it before any other
    known, now = _of_keys(connection, askings), time.time()
    return [_found(connection, asking, known, worker_id, now) for asking in askings]


def _found(connection: Connection, asking: Asking, known: dict[tuple[str, str], Turn], worker_id: str, now: float) -> Begun | Exception:
    try:
        existing = known.get((asking.user_id, asking.key))
        if existing is not None:
            return Begun(_same(existing, asking), [], existing=True)
        if asking.refusal is not None:
            return asking.refusal
        new = _new(connection, asking, worker_id, now)
    except (NotFound, Conflict, Unprocessable) as error:
        return error
    if asking.key is not None:
        known[asking.user_id, asking.key] = new.turn  # for the same question again in this transaction
    return new


def write(connection: Connection, begun: Sequence[Begun], worker_id: str) -> None:
    """Write all that is new."""
    if not begun:
        return
    now = {"now": begun[0].turn.started_at}
    conversations = [(new.turn.conversation_id, new.turn.user_id, new.title) for new in begun if new.title is not None]
    if conversations:
        connection.execute(_CONVERSATIONS.on(connection), now | {"rows": packed(conversations)})
    if going_on := {new.turn.conversation_id for new in begun if new.title is None}:
        touch(connection, going_on, now["now"])
    connection.execute(_MESSAGES.on(connection), now | {"rows": packed(row for new in begun for row in _message_rows(new))})
    connection.execute(_TURNS.on(connection), now | {"worker": worker_id, "rows": packed(map(_turn_row, begun))})


def _of_keys(connection: Connection, askings: Sequence[Asking]) -> dict[tuple[str, str], Turn]:
    """The turns that keys began, by user and key."""
    keyed = [(asking.user_id, asking.key) for asking in askings if asking.key is not None]
    if not keyed:
        return {}
    ids = list(connection.execute(_KNOWN_KEYS.on(connection), {"rows": packed(keyed)}).scalars())
    rows = connection.execute(_turns_of_ids, {"ids": ids}) if ids else ()
    return {(row.user_id, row.idempotency_key): Turn(**row._mapping) for row in rows}


def _same(turn: Turn, asking: Asking) -> Turn:
    if turn.fingerprint != asking.question.fingerprint():
        raise Unprocessable("this key was used for another question", field="Idempotency-Key")
    return turn


def _new(connection: Connection, asking: Asking, worker_id: str, now: float) -> Begun:
    """A turn that is still to be written, in its place."""
    question, key = asking.question, asking.key
    conversation_id, parent = _place(connection, asking.user_id, question)
    again = parent is not None and parent.role == "user" and parent.content == question.message
    above = parent.parent_id if parent is not None and parent.role == "user" else parent.id if parent is not None else None
    turn = Turn(id=new_id(), user_id=asking.user_id, conversation_id=conversation_id or new_id(),
                user_message_id=parent.id if again else new_id(), message_id=new_id(), trace_id=new_id(), status="running",
                attempt=1, worker_id=worker_id, stop_requested=False, idempotency_key=key,
                fingerprint=question.fingerprint() if key is not None else None, question=asdict(question), started_at=now)
    earlier = branch(branches(connection, turn.conversation_id), above) if above is not None else []
    return Begun(turn, earlier, question=question, title=None if conversation_id else title_of(question.message),
                 parent_id=above, asks_again=again)


def _place(connection: Connection, user_id: str, question: Question) -> tuple[str | None, Row | None]:
    """The conversation, where there is one, and the message the question belongs below: to answer it again when it is the
    same question, beside it when it is another one."""
    parent = None
    conversation_id = question.conversation_id
    if question.parent_message_id is not None:
        parent = connection.execute(_message_of_id, {"message": question.parent_message_id}).first()
        if parent is None or conversation_id not in (None, parent.conversation_id):
            raise NotFound("no such message", field="parentMessageId")
        conversation_id = parent.conversation_id
    if conversation_id is None:
        return None, None
    if connection.execute(_own_conversation, {"conversation": conversation_id, "user": user_id}).first() is None:
        if question.conversation_id is None:
            raise NotFound("no such message", field="parentMessageId")
        raise NotFound("no such conversation", field="conversationId")
    if parent is None:
        parent = connection.execute(_newest_message, {"conversation": conversation_id}).first()
    if parent is not None and parent.status == "streaming":
        raise Conflict("the answer above is still being written", field="parentMessageId")
    return conversation_id, parent


def _message_rows(new: Begun) -> Iterator[tuple[object, ...]]:
    """The question where it is a new one, and its answer, which is empty."""
    turn, question = new.turn, new.question
    context = orjson.dumps(dict(question.context)).decode()
    if not new.asks_again:
        yield (turn.user_message_id, turn.conversation_id, new.parent_id, "user", question.message, "complete",
               question.assistant_type, context)
    yield (turn.message_id, turn.conversation_id, turn.user_message_id, "assistant", "", "streaming",
           question.assistant_type, context)


def _turn_row(new: Begun) -> tuple[object, ...]:
    turn = new.turn
    return (turn.id, turn.user_id, turn.conversation_id, turn.user_message_id, turn.message_id, turn.trace_id,
            turn.idempotency_key, turn.fingerprint, orjson.dumps(turn.question).decode())


def title_of(message: str) -> str:
    """The first line, cut at a word."""
    line = " ".join(message.split())
    if len(line) <= TITLE_CHARS:
        return line
    return (line[:TITLE_CHARS].rsplit(" ", 1)[0] or line[:TITLE_CHARS]) + "…"
