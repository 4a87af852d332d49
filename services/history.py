"""History: conversations as trees of messages, seen one branch at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from gevent.hub import get_hub
from sqlalchemy import delete, select, tuple_, update
from sqlalchemy.orm import Session

from services.errors import NotFound
from services.presentation import answer_html, told
from services.replay import replay
from services.sse import events_of, parse, split
from services.store.database import Database
from services.store.models import Conversation, Message, Segment, Turn, is_id
from services.workflows.runs import RunState

PAGE = 50
T = TypeVar("T")


class Conversations:
    """What a user asked and was answered. Every method checks the owner; to others nothing exists (NotFound)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recent(self, user_id: str | None, *, limit: int = PAGE, before: float | None = None,
               before_id: str = "") -> list[dict[str, object]]:
        """Conversations by last change, newest first; `before` and `before_id` are `updated` (seconds) and `id` of the last
        page's end. What begins together changes at the same moment, so the time alone is no place to go on from."""
        wanted = select(Conversation).where(Conversation.user_id == user_id)
        if before is not None:
            wanted = wanted.where(tuple_(Conversation.updated_at, Conversation.id) < tuple_(before, before_id))
        wanted = wanted.order_by(Conversation.updated_at.desc(), Conversation.id.desc()).limit(limit)
        return self._database.read(lambda session: [_summary(found) for found in session.scalars(wanted)])

    def get(self, user_id: str | None, conversation_id: str, *, leaf: str | None = None) -> dict[str, object]:
        """A conversation and the messages of one branch: the one through message `leaf`, else the newest.

        A message that is being written has its text so far, the stream's id and the id of the last event in it.
        """
        loaded = self._load(user_id, conversation_id)
        if leaf is not None and leaf not in loaded.messages:
            raise NotFound("no such message", field="m")
        return _aside(_view, loaded, branch_of(loaded.messages, leaf))

    def tree(self, user_id: str | None, conversation_id: str) -> dict[str, object]:
        """A conversation and all its messages, every branch, in order of creation."""
        loaded = self._load(user_id, conversation_id)
        return _aside(_view, loaded, list(loaded.messages.values()))

    def _load(self, user_id: str | None, conversation_id: str) -> "_Loaded":
        def work(session: Session) -> _Loaded:
            conversation = _owned(session, user_id, conversation_id)
            messages = _messages(session, conversation)
            writing = [message.id for message in messages.values() if message.status == "streaming"]
            return _Loaded(conversation, messages, {message_id: _log(session, message_id) for message_id in writing})
        return self._database.read(work)

    def rename(self, user_id: str | None, conversation_id: str, title: str) -> dict[str, object]:
        def work(session: Session) -> dict[str, object]:
            conversation = _owned(session, user_id, conversation_id)
            session.execute(update(Conversation).where(Conversation.id == conversation.id).values(title=title))
            session.refresh(conversation)
            return _summary(conversation)
        return self._database.write(work)

    def delete(self, user_id: str | None, conversation_id: str) -> list[str]:
        """Delete a conversation with all that belongs to it; returns the ids of its turns that were still running."""
        def work(session: Session) -> list[str]:
            conversation = _owned(session, user_id, conversation_id)
            # Their rows are locked first and in order, as the group commit does: else the two could block each other.
            running = (select(Turn.id).where(Turn.conversation_id == conversation.id, Turn.status == "running")
                       .order_by(Turn.id).with_for_update())
            ids = list(session.scalars(running))
            # Below one another, messages delete each other one level deeper each time; SQLite ends that at 1,000.
            session.execute(update(Message).where(Message.conversation_id == conversation.id).values(parent_id=None))
            session.execute(delete(Conversation).where(Conversation.id == conversation.id))
            return ids
        return self._database.write(work)


def _owned(session: Session, user_id: str | None, conversation_id: str) -> Conversation:
    conversation = session.get(Conversation, conversation_id) if user_id is not None and is_id(conversation_id) else None
    if conversation is None or conversation.user_id != user_id:
        raise NotFound("no such conversation")
    return conversation


def _messages(session: Session, conversation: Conversation) -> dict[str, Message]:
    wanted = select(Message).where(Message.conversation_id == conversation.id).order_by(Message.id)
    return {message.id: message for message in session.scalars(wanted)}


@dataclass(frozen=True)
class _Loaded:
    """A conversation as it is stored: its messages by id in order, and of those being written the stream and its frames."""

    conversation: Conversation
    messages: dict[str, Message]
    logs: Mapping[str, tuple[str, list[bytes]]]


def _log(session: Session, message_id: str) -> tuple[str, list[bytes]]:
    turn_id = session.scalar(select(Turn.id).where(Turn.message_id == message_id))
    wanted = select(Segment.frames).where(Segment.turn_id == turn_id).order_by(Segment.attempt, Segment.seq_from)
    return turn_id, [one for stored in session.scalars(wanted) for one in split(stored)]


def _aside(work: Callable[[_Loaded, Sequence[Message]], T], loaded: _Loaded, messages: Sequence[Message]) -> T:
    """Rendering a long conversation takes a while: neither the event loop nor the database's thread should wait for it."""
    return get_hub().threadpool.apply(work, (loaded, messages))


def _view(loaded: _Loaded, messages: Sequence[Message]) -> dict[str, object]:
    siblings: dict[tuple[str | None, str], list[str]] = {}
    for message in loaded.messages.values():
        siblings.setdefault((message.parent_id, message.role), []).append(message.id)
    shown = [_message(each, loaded.logs.get(each.id)) | {"siblings": siblings[each.parent_id, each.role]} for each in messages]
    return _summary(loaded.conversation) | {"messages": shown}


def branch_of(messages: Mapping[str, Message], through: str | None) -> Sequence[Message]:
    """The messages from the root to a leaf: down from `through` always to the newest child, or to the newest of all."""
    if not messages:
        return []
    newest_child = {message.parent_id: message for message in messages.values()}
    at = messages[through] if through is not None else list(messages.values())[-1]
    while at.id in newest_child:
        at = newest_child[at.id]
    branch = [at]
    while branch[-1].parent_id is not None:
        branch.append(messages[branch[-1].parent_id])
    return branch[::-1]


def _summary(conversation: Conversation) -> dict[str, object]:
    return {"id": conversation.id, "title": conversation.title, "createdAt": iso(conversation.created_at),
            "updatedAt": iso(conversation.updated_at), "updated": conversation.updated_at}


def _message(message: Message, log: tuple[str, list[bytes]] | None) -> dict[str, object]:
    view = {
        "id": message.id, "parentId": message.parent_id, "role": message.role, "content": message.content,
        "status": message.status, "assistantType": message.assistant_type, "context": message.context,
        "createdAt": iso(message.created_at),
    }
    if message.role == "user":
        return view
    if log is not None:
        return view | {"evidence": None} | _live(*log)
    return view | {"reasoning": message.reasoning, "made": message.made, "workflow": message.workflow,
                   "evidence": told(message.evidence), "html": answer_html(message.content, message.evidence)}


def _live(turn_id: str, frames: list[bytes]) -> dict[str, object]:
    """What is stored of an answer that is being written, and where to go on reading."""
    events = list(events_of(frames))
    so_far, run = replay(events), RunState.of(events)
    done = int(so_far.blocks[-1]["end"]) if so_far.blocks else 0
    return {
        "content": so_far.text, "reasoning": so_far.reasoning, "html": so_far.html, "openText": so_far.text[done:],
        "streamId": turn_id, "lastEventId": str(parse(frames[-1])[0]) if frames else "0-0",
        "made": {"provider": so_far.provider, "model": so_far.model, "switches": so_far.switches},
        "workflow": run.to_dict() if run else None,
    }


def iso(seconds: float) -> str:
    """ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
