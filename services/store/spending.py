"""What turns cost, a row each: reserved when a turn begins, settled in the transaction that ends it.

The rows outlive their conversations, so that deleting one gives nothing back. A turn whose worker crashed is ended by
another worker and settled there; one that was deleted in mid-answer keeps what it reserved.
"""

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection, and_, bindparam, case, delete, exists, func, select, text

from services.store.models import Spending, Turn

DAY_S = 86_400

_spending, _turns = Spending.__table__, Turn.__table__
_today = _spending.c.day == bindparam("day")
_running = and_(_spending.c.settled.is_(False),
                exists().where(_turns.c.id == _spending.c.turn_id, _turns.c.status == "running"))


class Spent(NamedTuple):
    """Of one user or address: turns, tokens and dollars of a day, and turns running now."""

    turns: int
    tokens: int
    cost: float
    running: int


def _spent_by(column: str):
    # A turn that runs may have begun yesterday.
    return (select(func.coalesce(func.sum(case((_today, 1), else_=0)), 0),
                   func.coalesce(func.sum(case((_today, _spending.c.tokens), else_=0)), 0),
                   func.coalesce(func.sum(case((_today, _spending.c.cost), else_=0.0)), 0.0),
                   func.coalesce(func.sum(case((_running, 1), else_=0)), 0))
            .where(_spending.c[column] == bindparam("key"), _spending.c.day >= bindparam("day") - 1))


_statements = {column: _spent_by(column) for column in ("user_id", "address")}
_insert = _spending.insert()
_settle = (_spending.update().where(_spending.c.turn_id == bindparam("turn"))
           .values(tokens=bindparam("of_tokens"), cost=bindparam("of_cost"), settled=True))
_close = _spending.update().where(_spending.c.turn_id == bindparam("turn")).values(settled=True)
_lock = text("SELECT pg_advisory_xact_lock(hashtext(:key))")


def spent(connection: Connection, column: str, key: str, day: int) -> Spent:
    """What `key` (in `column` user_id or address) has spent; nobody else can spend for it until the transaction ends."""
    if connection.dialect.name == "postgresql":     # SQLite has one writer at a time anyway
        connection.execute(_lock, {"key": key})
    return Spent(*connection.execute(_statements[column], {"key": key, "day": day}).one())


def reserve(connection: Connection, turn: Turn, address: str | None, tokens: int, cost: float) -> None:
    connection.execute(_insert, {"turn_id": turn.id, "user_id": turn.user_id, "address": address, "day": day_of(turn.started_at),
                                 "tokens": tokens, "cost": cost, "settled": False})


def settle(connection: Connection, turn_id: str, usage: Mapping[str, object] | None) -> None:
    """Replace what was reserved by what was used; None leaves it as it is. `cost` counts as far as it is known."""
    if usage is None:
        connection.execute(_close, {"turn": turn_id})
        return
    tokens = sum(int(usage.get(name) or 0) for name in ("promptTokens", "completionTokens"))
    cost = sum(float(attempt.get("cost") or 0.0) for attempt in usage.get("byAttempt", ()))
    connection.execute(_settle, {"turn": turn_id, "of_tokens": tokens, "of_cost": cost})


def day_of(seconds: float) -> int:
    """The UTC day, counted from 1970."""
    return int(seconds // DAY_S)


def forget(connection: Connection, before: float) -> int:
    """Delete rows of days before that of a time. Returns how many."""
    return connection.execute(delete(Spending).where(Spending.day < day_of(before))).rowcount
