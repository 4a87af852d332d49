"""PostgreSQL for one run of the tests: Debian's own, on a free loopback port, in a folder that goes away."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from services.store.database import upgrade
from tests.support.server import free_port

# Nothing here has to survive a power cut.
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200", "shared_buffers=32MB")


def binaries() -> Path | None:
    """The folder of the newest installed PostgreSQL server, None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    return Path(on_path).parent if on_path else None


class Postgres:
    """A server, and databases on it that are used again: making one takes 100 ms, emptying one a few."""

    def __init__(self, folder: Path) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tickertape-postgres-"))
        self._bin = folder
        self._user = _unprivileged()
        self.port = free_port()
        self._made = 0
        self._empty: list[str] = []
        if self._user:
            shutil.chown(self._folder, self._user)
        data = self._folder / "data"
        self._run("initdb", "-D", data, "-U", "tester", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        options = [part for option in (f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", *FAST)
                   for part in ("-c", option)]
        self._command = [self._bin / "postgres", "-D", data, *options]
        self._start()

    def _start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, user=self._user, stdout=log, stderr=log, cwd=self._folder)
        self._wait()

    def restart(self) -> None:
        """As an upgrade of its package does: connections are broken off, and a moment later it is there again."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(20)
        self._start()

    def url(self, name: str) -> str:
        return f"postgresql://tester@127.0.0.1:{self.port}/{name}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a database with all tables and nothing in them."""
        name = self._empty.pop() if self._empty else self._create()
        yield self.url(name)
        self._sql("DELETE FROM users; DELETE FROM workers", name)  # everything else belongs to a user
        self._empty.append(name)

    def _create(self) -> str:
        self._made += 1
        name = f"test_{self._made}"
        self._sql(f"CREATE DATABASE {name}")
        upgrade(self.url(name).replace("postgresql://", "postgresql+psycopg://"))
        return name

    def stop(self) -> None:
        """End it, and its folder."""
        self._process.send_signal(signal.SIGQUIT)  # at once: there is nothing to keep
        self._process.wait(20)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: object) -> None:
        subprocess.run([self._bin / program, *map(str, arguments)], user=self._user, cwd=self._folder, check=True, capture_output=True)

    def _wait(self) -> None:
        for _ in range(200):
            try:
                return self._sql("SELECT 1")
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise RuntimeError((self._folder / "log").read_text(errors="replace"))

    def _sql(self, statement: str, name: str = "postgres") -> None:
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute(statement)


def _unprivileged() -> str | None:
    """PostgreSQL refuses to run as root: then it runs as `postgres`, which Debian's package makes, or as nobody."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
