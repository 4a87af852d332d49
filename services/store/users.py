"""Who somebody is, in the database."""

import time

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from services.store.database import Database
from services.store.models import User


class Users:
    """Finds and makes users by handle. A handle keeps its user, so what was found is kept in memory, but not for long:
    a user may be deleted, by retention or on another worker."""

    REMEMBERED = 10_000
    FRESH_S = 60.0

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, tuple[str, float]] = {}  # by handle: the id, and until when it is believed

    def find(self, handle: str) -> str | None:
        """The user's id, or None for somebody who has never asked anything."""
        known, until = self._known.get(handle, (None, 0.0))
        if time.monotonic() < until:
            return known
        statement = select(User.id).where(User.handle == handle)
        found = self._database.read(lambda session: session.scalar(statement))
        if found is not None:
            self._remember(handle, found)
        return found

    def ensure(self, handle: str) -> str:
        """The user's id; makes the user when there is none."""
        found = self.find(handle)
        if found is not None:
            return found
        try:
            made = self._database.write(lambda session: _make(session, handle))
        except IntegrityError:  # two first questions at once
            return self.find(handle)
        self._remember(handle, made)
        return made

    def _remember(self, handle: str, user_id: str) -> None:
        if len(self._known) >= self.REMEMBERED:
            self._known.clear()
        self._known[handle] = user_id, time.monotonic() + self.FRESH_S


def _make(session, handle: str) -> str:
    user = User(handle=handle)
    session.add(user)
    session.flush()
    return user.id
