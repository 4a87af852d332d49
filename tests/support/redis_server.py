"""A Redis of our own on a free loopback port, that can be stopped and started again, empty."""

import shutil
import subprocess
import tempfile
import time

import redis

from tests.support.server import free_port


class RedisServer:
    """Keeps nothing on disk: after `stop` and `start` it has forgotten everything, as after a failover."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = tempfile.mkdtemp(prefix="tickertape-redis-")
        self._process: subprocess.Popen | None = None
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", self._folder],
            stdout=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while not self._answers():
            if time.monotonic() > until:
                raise RuntimeError("redis-server does not answer")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            return self.client().ping()
        except redis.RedisError:
            return False

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port)

    def stop(self) -> None:
        """Gone at once, with all it knew."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
