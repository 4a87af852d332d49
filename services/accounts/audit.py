"""The audit: what somebody may have to account for later. Written at once, kept as long as AUDIT_RETENTION_D says."""

import logging

from sqlalchemy import select

from services.history import iso
from services.store.database import Database
from services.store.models import Audited

log = logging.getLogger("tickertape.audit")


class Audit:
    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, kind: str, *, user_id: str | None = None, name: str | None = None, address: str | None = None,
               about: str | None = None) -> None:
        """`kind` in the past tense, such as signed_in. `about` is the id of a token, sign-in or conversation."""
        entry = Audited(kind=kind, user_id=user_id, name=name and name[:64], address=address, about=about and about[:200])
        self._database.write(lambda session: session.add(entry))
        log.info("%s", kind, extra={"user": user_id, "about": about})

    def of(self, user_id: str) -> list[dict[str, object]]:
        """Everything recorded about a user, oldest first."""
        wanted = select(Audited).where(Audited.user_id == user_id).order_by(Audited.at)
        return self._database.read(lambda session: [
            {"at": iso(entry.at), "kind": entry.kind, "address": entry.address, "about": entry.about}
            for entry in session.scalars(wanted)])
