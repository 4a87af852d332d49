"""The one door to the database. All of it happens in threads of its own, because a driver blocks the event loop.

Measured: a foreign lock of 3 s on SQLite froze every stream of a worker for 2.9 s; through a thread, 11 ms.
"""

import logging
import os
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import gevent
import orjson
import sqlalchemy
from gevent.threadpool import ThreadPool
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from services.settings import LOOPBACK, Settings

# psycopg sees that gevent has patched `select` and waits in Python through it. Here it waits in threads of its own, where
# its C loop is right: measured, a query took 1.1 ms instead of 2.5 ms, and 0.6 ms of CPU instead of 1.0 ms.
if find_spec("psycopg_binary") or find_spec("psycopg_c"):
    os.environ.setdefault("PSYCOPG_WAIT_FUNC", "wait_c")

T = TypeVar("T")
log = logging.getLogger(__name__)

BUSY_TIMEOUT_MS = 10_000
POSTGRESQL_THREADS = 6
# libpq waits for ever by default: for a host that does not answer, and for a server that vanished in a query.
POSTGRESQL = {"connect_timeout": 5, "tcp_user_timeout": 10_000, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


class Database:
    """Runs functions of a session, each in one transaction, in a thread.

    SQLite has one thread: writes queue there in order instead of fighting for the file's lock. A function must
    not wait for anything but the database.
    """

    def __init__(self, url: str) -> None:
        self.sqlite = make_url(url).get_backend_name() == "sqlite"
        self.engine = _engine(url, self.sqlite)
        self._writing = self.engine.execution_options(immediate=True)
        self._pool = ThreadPool(1 if self.sqlite else POSTGRESQL_THREADS)
        self._writer = self._pool if self.sqlite else ThreadPool(1)

    def read(self, work: Callable[[Session], T]) -> T:
        """`work(session)` in a transaction that writes nothing."""
        return _apply(self._pool, _transaction, self.engine, work)

    def write(self, work: Callable[[Session], T]) -> T:
        """`work(session)` in a transaction; committed when it returns, rolled back when it raises."""
        return _apply(self._pool, _transaction, self._writing, work)

    def write_plainly(self, work: Callable[[Connection], T]) -> T:
        """As `write`, below the ORM: `work(connection)`."""
        return _apply(self._pool, _plain_transaction, self._writing, work)

    def commit(self, work: Callable[[Connection], T]) -> T:
        """As `write`, below the ORM, on the thread kept for the log's group commits: nothing queues before them."""
        return _apply(self._writer, _plain_transaction, self._writing, work)

    def ping(self) -> None:
        """Raise what the driver raises when the database cannot be reached."""
        self.read(lambda session: session.execute(sqlalchemy.text("SELECT 1")))

    def wait(self, timeout: float = 60.0) -> None:
        """Return once it answers. Raises what the driver raises when it has not within `timeout` seconds."""
        until = time.monotonic() + timeout
        while True:
            try:
                return self.ping()
            except Exception as error:
                if not is_outage(error) or time.monotonic() > until:
                    raise
                log.warning("waiting for the database")
                gevent.sleep(1)

    def close(self) -> None:
        self._pool.kill()
        self._writer.kill()
        self.engine.dispose()


_JSON = {"json_serializer": lambda value: orjson.dumps(value).decode(), "json_deserializer": orjson.loads}


def _engine(url: str, sqlite: bool) -> Engine:
    if not sqlite:
        return sqlalchemy.create_engine(url, **_JSON, pool_size=POSTGRESQL_THREADS + 1, max_overflow=0, pool_pre_ping=True,
                                        connect_args=_connect_args(make_url(url)))
    Path(make_url(url).database or "").parent.mkdir(parents=True, exist_ok=True)
    engine = sqlalchemy.create_engine(url, **_JSON, connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _connect_args(url: URL) -> dict[str, object]:
    """What the URL does not say itself.

    libpq offers encryption first and connects again without where a server refuses, as one does that is just starting or
    stopping. psycopg 3.3 then goes on waiting for the connection that was closed. So nothing is offered on loopback;
    a distant database is best named with `sslmode=require`, which does not fall back.
    """
    unasked = {"gssencmode": "disable"}
    if url.host in (None, *LOOPBACK):
        unasked["sslmode"] = "disable"
    return {name: value for name, value in (POSTGRESQL | unasked).items() if name not in url.query}


def _prepare_sqlite(connection, record) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late to take the write lock first
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails at once when another process wrote in between.
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _apply(pool: ThreadPool, transaction: Callable[..., T], engine: Engine, work: Callable[..., T]) -> T:
    """Run in the pool and wait. Errors travel as values: gevent prints every exception that leaves a pool's thread."""
    result, error = pool.apply(_caught, (transaction, engine, work))
    if error is not None:
        raise error
    return result


def _caught(transaction: Callable[..., T], engine: Engine, work: Callable[..., T]) -> tuple[T | None, Exception | None]:
    try:
        return transaction(engine, work), None
    except Exception as error:
        return None, error


def _transaction(engine: Engine, work: Callable[[Session], T]) -> T:
    with Session(engine, expire_on_commit=False) as session, session.begin():
        return work(session)


def _plain_transaction(engine: Engine, work: Callable[[Connection], T]) -> T:
    with engine.begin() as connection:
        return work(connection)


def upgrade(url: str) -> None:
    """Bring the tables to the newest migration; creates them in an empty database."""
    import alembic.command  # a sixth of a worker's start, and no worker needs it
    import alembic.config

    config = alembic.config.Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    if make_url(url).get_backend_name() == "sqlite":
        Path(make_url(url).database or "").parent.mkdir(parents=True, exist_ok=True)
    alembic.command.upgrade(config, "head")


def is_outage(error: Exception) -> bool:
    """Whether the database could not be reached or was busy, so that trying again later makes sense."""
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or isinstance(error, (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError))
    )


if __name__ == "__main__":
    upgrade(Settings.load().database)
