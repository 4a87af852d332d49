"""What is kept, and for how long. A time of 0 keeps it for ever; logs and workers always go."""

import time
from collections.abc import Callable

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from services.settings import Settings
from services.store import spending, turns
from services.store.database import Database
from services.store.models import Account, Audited, Conversation, SignIn, Turn, User, Worker, first_id

DAY_S = 86_400.0
BATCH = 200             # rows of one transaction: others write in between
STRANGER_D = 2.0        # an anonymous user without a conversation is a cookie nobody came back with


class Retention:
    """Deletes what is past its time. Safe to run on any number of workers at once."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    def run(self) -> dict[str, int]:
        """Delete everything past its time; how many rows of each kind."""
        settings = self._settings
        tasks = (("logs", settings.log_retention_h / 24, turns.retire, True),
                 ("conversations", settings.conversation_retention_d, _conversations, False),
                 ("audit entries", settings.audit_retention_d, _audit, False),
                 ("days of spending", settings.audit_retention_d, _spending, False),
                 ("sign-ins", settings.sign_in_d, _sign_ins, False),
                 ("strangers", STRANGER_D, _strangers, False),
                 ("workers", 1.0, _workers, False))
        return {name: self._all(work, days) for name, days, work, always in tasks if days or always}

    def _all(self, work: Callable[[Session, float], int], days: float) -> int:
        before, deleted = time.time() - days * DAY_S, 0
        while some := self._database.write(lambda session: work(session, before)):
            deleted += some
        return deleted


def _conversations(session: Session, before: float) -> int:
    running = exists().where(Turn.conversation_id == Conversation.id, Turn.status == "running")
    return _delete(session, Conversation, select(Conversation.id).where(Conversation.updated_at < before, ~running))


def _audit(session: Session, before: float) -> int:
    return _delete(session, Audited, select(Audited.id).where(Audited.at < before))


def _spending(session: Session, before: float) -> int:
    return spending.forget(session.connection(), before)


def _sign_ins(session: Session, before: float) -> int:
    return _delete(session, SignIn, select(SignIn.id).where(SignIn.seen_at < before))


def _strangers(session: Session, before: float) -> int:
    asked = exists().where(Conversation.user_id == User.id)
    account = exists().where(Account.user_id == User.id)
    return _delete(session, User, select(User.id).where(User.created_at < before, User.handle.like("anon:%"), ~asked, ~account))


def _workers(session: Session, before: float) -> int:
    # One that has just left has a heartbeat of 0, and others still have to see that it left.
    return _delete(session, Worker, select(Worker.id).where(Worker.seen_at < before, Worker.id < first_id(before)))


def _delete(session: Session, kind: type, wanted) -> int:
    ids = list(session.scalars(wanted.limit(BATCH)))
    return session.execute(delete(kind).where(kind.id.in_(ids))).rowcount if ids else 0
