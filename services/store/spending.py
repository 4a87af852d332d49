"""What turns cost, a row each: reserved when a turn begins, settled in the transaction that ends it.

The rows outlive their conversations, so that deleting one gives nothing back. A turn whose worker crashed is ended by
another worker and settled there; one that was deleted in mid-answer keeps what it reserved.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, and_, bindparam, case, delete, exists, func, select

from services.store.models import Spending, Turn
from services.store.rows import OverRows, packed

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

    def and_one(self, tokens: int, cost: float) -> "Spent":
        """With one more turn that runs and has reserved this much."""
        return Spent(self.turns + 1, self.tokens + tokens, self.cost + cost, self.running + 1)


def _spent_by(column: str):
    # A turn that runs may have begun yesterday.
    return (select(func.coalesce(func.sum(case((_today, 1), else_=0)), 0),
                   func.coalesce(func.sum(case((_today, _spending.c.tokens), else_=0)), 0),
                   func.coalesce(func.sum(case((_today, _spending.c.cost), else_=0.0)), 0.0),
                   func.coalesce(func.sum(case((_running, 1), else_=0)), 0))
            .where(_spending.c[column] == bindparam("key"), _spending.c.day >= bindparam("day") - 1))


_statements = {column: _spent_by(column) for column in ("user_id", "address")}
_RESERVE = OverRows("""INSERT INTO spending (turn_id, user_id, address, day, tokens, cost, settled)
    SELECT {0}, {1}, {2}, {3}, {4}, {5}, false FROM {rows} WHERE true""", "text", "text", "text", "int", "bigint", "float8")
_settle = (_spending.update().where(_spending.c.turn_id == bindparam("turn"))
           .values(tokens=bindparam("of_tokens"), cost=bindparam("of_cost"), settled=True))
_close = _spending.update().where(_spending.c.turn_id == bindparam("turn")).values(settled=True)
_HOLD = OverRows("""SELECT pg_advisory_xact_lock(one) FROM (SELECT DISTINCT hashtext({0}) AS one FROM {rows} ORDER BY one) AS all_of_them""",
                 "text")


def hold(connection: Connection, keys: Iterable[str]) -> None:
    """Until the transaction ends, nobody else can spend for these users and addresses. In one order, whoever asks."""
    if connection.dialect.name == "postgresql":     # SQLite has one writer at a time anyway
        connection.execute(_HOLD.on(connection), {"rows": packed((key,) for key in keys)})


def spent(connection: Connection, column: str, key: str, day: int) -> Spent:
    """What `key` (in `column` user_id or address) has spent."""
    return Spent(*connection.execute(_statements[column], {"key": key, "day": day}).one())


def reserve(connection: Connection, shares: Iterable[tuple[Turn, str | None]], tokens: int, cost: float) -> None:
    """Reserve this much for each of these turns and addresses."""
    rows = [(turn.id, turn.user_id, address, day_of(turn.started_at), tokens, cost) for turn, address in shares]
    if rows:
        connection.execute(_RESERVE.on(connection), {"rows": packed(rows)})


def settle(connection: Connection, used: Iterable[tuple[str, Mapping[str, object] | None]]) -> None:
    """Replace what turns reserved by what they used; None leaves it as it is. `cost` counts as far as it is known."""
    uncounted, counted = [], []
    for turn_id, usage in used:
        if usage is None:
            uncounted.append({"turn": turn_id})
            continue
        tokens = sum(int(usage.get(name) or 0) for name in ("promptTokens", "completionTokens"))
        cost = sum(float(attempt.get("cost") or 0.0) for attempt in usage.get("byAttempt", ()))
        counted.append({"turn": turn_id, "of_tokens": tokens, "of_cost": cost})
    for statement, rows in ((_close, uncounted), (_settle, counted)):
        if rows:
            connection.execute(statement, rows)


def day_of(seconds: float) -> int:
    """The UTC day, counted from 1970."""
    return int(seconds // DAY_S)


def forget(connection: Connection, before: float) -> int:
    """Delete rows of days before that of a time. Returns how many."""
    return connection.execute(delete(Spending).where(Spending.day < day_of(before))).rowcount
