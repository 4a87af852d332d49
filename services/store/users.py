"""Who somebody is, in the database."""

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from services.store.database import Database
from services.store.models import User


class Users:
    """Finds and makes users by handle. A handle never changes its user, so what was found is kept in memory."""

    REMEMBERED = 10_000

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, str] = {}

    def find(self, handle: str) -> str | None:
        """The user's id, or None for somebody who has never asked anything."""
        if handle not in self._known:
            statement = select(User.id).where(User.handle == handle)
            found = self._database.read(lambda session: session.scalar(statement))
            if found is None:
                return None
            self._remember(handle, found)
        return self._known[handle]

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
        self._known[handle] = user_id


def _make(session, handle: str) -> str:
    user = User(handle=handle)
    session.add(user)
    session.flush()
    return user.id
