"""Statements over many rows, given as one JSON text.

A driver lets go of the GIL for every row it reads or writes, and a busy event loop takes it: with 1,000 turns, a commit that
wrote a row each handed it over 2,000 times. As one parameter, all of them are one step.
"""

from collections.abc import Iterable

import orjson
from sqlalchemy import Connection, TextClause, text

_ROWS = {
    "sqlite": "json_each(:rows)",
    "postgresql": "json_array_elements(CAST(:rows AS json))",
}


class OverRows:
    """SQL with `{rows}` for the rows and `{0}`, `{1}` … for their columns, whose types are `kinds`."""

    def __init__(self, statement: str, *kinds: str) -> None:
        self._made = {dialect: _for(dialect, statement, kinds) for dialect in _ROWS}

    def on(self, connection: Connection) -> TextClause:
        """The statement in the connection's dialect; `:rows` is what `packed` makes."""
        return self._made[connection.dialect.name]


def packed(rows: Iterable[Iterable[object]]) -> str:
    """The rows as a parameter. A column of JSON is given as text."""
    return orjson.dumps(list(rows)).decode()


def _for(dialect: str, statement: str, kinds: Iterable[str]) -> TextClause:
    column = "json_extract(value, '$[{0}]')" if dialect == "sqlite" else "CAST(value->>{0} AS {1})"
    return text(statement.format(*[column.format(at, kind) for at, kind in enumerate(kinds)], rows=_ROWS[dialect]))
