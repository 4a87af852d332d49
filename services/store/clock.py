"""The database's own clock: what several hosts agree on. Heartbeats are written and judged by it alone."""

from sqlalchemy import Float
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class database_time(FunctionElement):
    """Seconds since 1970 in UTC, as the database counts them, at this moment of the transaction."""

    type = Float()
    inherit_cache = True


@compiles(database_time, "postgresql")
def _postgresql(element, compiler, **_) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


@compiles(database_time, "sqlite")
def _sqlite(element, compiler, **_) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"  # unixepoch('subsec') came with SQLite 3.42
