"""The real server: gunicorn in a process group of its own, on a free port, with its log in a file."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from tests.support.tables import with_tables

ROOT = Path(__file__).resolve().parents[2]
READY_S = 30.0

# Impatient settings, so that a test of a takeover or a heartbeat does not wait as long as a person would.
# One user asks here what in earnest many do, so limits are off but where a test is about them.
QUICK = {"WORKER_GONE_S": "1.5", "HEARTBEAT_S": "0.3", "DRAIN_S": "5", "STREAM_RETRY_MS": "200", "RATE_LIMITS": "0"}

# What a developer's shell may hold and no test may use.
_FOREIGN = ("GROQ_", "OPENAI_", "AZURE_", "LLM_", "REDIS_URL", "DATABASE_URL", "SECRET_KEY")


def free_port() -> int:
    """A port that no connection takes for itself meanwhile: the system gives those from 32768 on."""
    while True:
        port = random.randrange(10_000, 32_768)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue


@dataclass
class Server:
    """One gunicorn, started for a `with`. Two of them on one `folder` are what two workers are to each other: they share only the database."""

    folder: Path
    workers: int = 1
    environ: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    scheme: str = "http"
    _process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What the server has written, stdout and stderr."""
        return self._log_file.read_text(errors="replace")

    @property
    def _log_file(self) -> Path:
        return self.folder / f"server-{self.port}.log"

    def start(self) -> "Server":
        """Start, and return once it is ready. Raises RuntimeError with the log when it does not become ready."""
        self._launch()
        self._wait_until_ready()
        return self

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.kill()

    def _launch(self) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        environ |= QUICK | {"HOST": "127.0.0.1", "PORT": str(self.port), "WEB_CONCURRENCY": str(self.workers), "PYTHONUNBUFFERED": "1"}
        environ |= ({"INSTANCE_DIR": str(self.folder)} if "DATABASE_URL" in self.environ else with_tables(self.folder)) | self.environ
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen([sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py"], cwd=ROOT, env=environ,
                                             stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            if self._process.poll() is not None:
                break
            if len(self.worker_pids()) >= self.workers and _answers(f"{self.url}/readyz"):
                return
            time.sleep(0.05)
        self.kill()
        raise RuntimeError(f"the server did not become ready:\n{self.log[-4000:]}")

    def worker_pids(self) -> list[int]:
        """The processes that are ready to serve; the oldest first."""
        booted = [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", self.log)]
        return [pid for pid in booted if Path(f"/proc/{pid}").exists()]

    def kill(self) -> None:
        """kill -9 to every process of it, as a power cut would."""
        if self._process is not None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self._process.wait(10)
            self._process = None

    def terminate(self, timeout: float = 30) -> int:
        """SIGTERM, as a deployment sends; returns the exit status."""
        self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(timeout)
        self.kill()
        return status

    def reload(self) -> None:
        """SIGHUP: new workers for old ones."""
        self._process.send_signal(signal.SIGHUP)


@contextmanager
def together(*servers: Server) -> Iterator[None]:
    """Start several and wait for all of them, which takes as long as one; all are killed at the end."""
    try:
        for server in servers:
            server._launch()
        for server in servers:
            server._wait_until_ready()
        yield
    finally:
        for server in servers:
            server.kill()


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2, verify=False).status_code == 200
    except requests.RequestException:
        return False
