"""How many readers one worker carries: idle ones, ones at 10 tokens a second, and ones that vanish.

    python -m benchmarks.readers [idle] [steady] [vanish] [--workers 2]

gunicorn over SQLite, a model's server in C, and this process as all the clients, by epoll. One worker; for `steady` two, one a
core as operations.md says. Exits with 1 when a figure misses its target: 5,000 idle streams within 250 MB; 1,000 answers of 10
tokens a second with a p99 of 100 ms from the model's send to the reader; 10,000 readers that come and go leave descriptors,
greenlets and memory where they were.
"""

import argparse
import json
import os
import resource
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests

from tests.support.server import Server, free_port

HERE = Path(__file__).parent
USER = {"X-User-Id": "bench"}
IDLE, IDLE_MB = 5_000, 250
STEADY, RATE, TOKENS, P99_MS = 1_000, 10, 200, 100
VANISH, AT_ONCE, LEFT_MB = 10_000, 250, 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("only", nargs="*", choices=["idle", "steady", "vanish", []])
    parser.add_argument("--workers", type=int, default=2, help="of the server of `steady`; the others have one")
    options = parser.parse_args()
    wanted = options.only or ["idle", "steady", "vanish"]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    runs = {"idle": idle, "steady": lambda: steady(options.workers), "vanish": vanish}
    results = [runs[name]() for name in wanted]
    for text, ok in results:
        print(f"{'ok  ' if ok else 'MISS'} {text}")
    return 0 if all(ok for _, ok in results) else 1


class House:
    """A server with one worker, and a model that sends `tokens`, `interval_us` apart."""

    def __init__(self, tokens: int, interval_us: int, workers: int = 1) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tickertape-bench-"))
        compiler = shutil.which("cc") or sys.exit("a C compiler is needed for the model's server")
        subprocess.run([compiler, "-O2", "-o", self._folder / "upstream", HERE / "upstream.c"], check=True)
        port = free_port()
        self._upstream = subprocess.Popen([self._folder / "upstream", str(port), str(tokens), str(interval_us)], stdout=subprocess.DEVNULL)
        self.server = Server(self._folder, workers=workers, environ={
            "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "OPENAI_API_KEY": "sk-bench", "OPENAI_MODEL": "bench",
            "LLM_PRIORITY": "openai", "RATE_LIMITS": "off", "WORKER_GONE_S": "60", "STREAM_RETRY_MS": "1500",
        }).start()

    def __enter__(self) -> "House":
        return self

    def __exit__(self, *_: object) -> None:
        self.server.kill()
        self._upstream.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def worker(self) -> int:
        return self.server.worker_pids()[0]

    def memory(self) -> float:
        """Resident MB of the workers."""
        lines = [line for pid in self.server.worker_pids() for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
        return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    def cpu(self) -> float:
        """Seconds of the workers."""
        stats = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in self.server.worker_pids()]
        return sum(int(fields[11]) + int(fields[12]) for fields in stats) / os.sysconf("SC_CLK_TCK")

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.worker}/fd"))

    def state(self) -> tuple[int, int, float]:
        """Descriptors, readers and memory of the worker. A reader is a greenlet, and nothing else here makes any."""
        counted = requests.get(f"{self.server.url}/metrics", timeout=10).text.splitlines()
        readers = next(float(line.split()[-1]) for line in counted if line.startswith("tickertape_live_readers"))
        return self.descriptors(), int(readers), self.memory()

    def ask(self) -> str:
        """Begin an answer and leave; returns the stream's address."""
        body = {"message": "What is beta?", "workflow": "off"}
        with requests.post(f"{self.server.url}/api/chat/stream", json=body, headers=USER, stream=True, timeout=30) as response:
            response.raise_for_status()
            return response.headers["Location"]

    def get(self, path: str) -> bytes:
        return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.server.port}\r\nX-User-Id: bench\r\n\r\n".encode()

    def post(self) -> bytes:
        body = json.dumps({"message": "What is beta?", "workflow": "off"}).encode()
        return (f"POST /api/chat/stream HTTP/1.1\r\nHost: 127.0.0.1:{self.server.port}\r\nX-User-Id: bench\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body


class Clients:
    """Many sockets in one loop."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.selector = selectors.EpollSelector()
        self.open: set[socket.socket] = set()

    def connect(self, request: bytes) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self._port), 30)
        client.sendall(request)
        client.setblocking(False)
        self.selector.register(client, selectors.EVENT_READ)
        self.open.add(client)
        return client

    def leave(self, client: socket.socket) -> None:
        self.selector.unregister(client)
        self.open.discard(client)
        client.close()

    def read(self, wait: float) -> list[tuple[socket.socket, bytes]]:
        """What has arrived within `wait` seconds; empty bytes from a server that has closed."""
        arrived = []
        for key, _ in self.selector.select(wait):
            try:
                arrived.append((key.fileobj, key.fileobj.recv(65536)))
            except OSError:
                arrived.append((key.fileobj, b""))
        return arrived

    def close(self) -> None:
        for client in list(self.open):
            self.leave(client)


def idle() -> tuple[str, bool]:
    with House(tokens=1_000, interval_us=600_000_000) as house:
        address = house.ask()
        before, clients, greeted = house.memory(), Clients(house.server.port), set()
        request = house.get(address)
        while len(clients.open) < IDLE:
            for _ in range(50):
                clients.connect(request)
            greeted |= {client for client, data in clients.read(0.01) if data}
        until = time.monotonic() + 60
        while len(greeted) < IDLE and time.monotonic() < until:
            greeted |= {client for client, data in clients.read(0.2) if data}
        time.sleep(1)
        after, cpu = house.memory(), house.cpu()
        time.sleep(5)
        busy = (house.cpu() - cpu) / 5
        clients.close()
    each = (after - before) * 1024 / IDLE
    return (f"idle: {len(greeted)} streams in {after:.0f} MB ({before:.0f} MB without, {each:.1f} kB each), {busy:.1%} of a core",
            len(greeted) == IDLE and after <= IDLE_MB)


def steady(workers: int) -> tuple[str, bool]:
    with House(tokens=TOKENS, interval_us=1_000_000 // RATE, workers=workers) as house:
        clients, delays, ended, request = Clients(house.server.port), [], 0, house.post()
        for _ in range(STEADY):  # spread over two seconds, as no crowd asks in one moment
            clients.connect(request)
            delays += _delays(clients, 0.002)[0]
        delays.clear()
        cpu, began = house.cpu(), time.monotonic()
        while time.monotonic() - began < TOKENS / RATE - 5:
            delays += _delays(clients, 0.1)[0]
        busy = (house.cpu() - cpu) / (time.monotonic() - began)
        rate = len(delays) / (time.monotonic() - began)
        until = time.monotonic() + 30
        while ended < STEADY and time.monotonic() < until:
            ended += _delays(clients, 0.2)[1]
        memory = house.memory()
        clients.close()
    delays.sort()
    p50, p99 = (delays[int(len(delays) * part)] * 1000 for part in (0.5, 0.99))
    return (f"steady: {STEADY} answers on {workers} worker(s) at {rate / STEADY:.1f} tokens/s each, p50 {p50:.0f} ms, p99 {p99:.0f} ms, "
            f"{busy:.0%} of a core ({busy / rate * 1e6:.0f} us a token), {memory:.0f} MB, {ended} ended", p99 <= P99_MS)


def _delays(clients: Clients, wait: float) -> tuple[list[float], int]:
    """Seconds from the model's send to now, of every token that has arrived; and how many answers ended."""
    delays, ended = [], 0
    for client, data in clients.read(wait):
        now = time.monotonic_ns()
        delays += [(now - int(piece[:piece.index(b" ")])) / 1e9 for piece in data.split(b'"content":"@')[1:] if b" " in piece[:24]]
        if not data or b"event: chat_completed" in data:
            ended += 1
            clients.leave(client)
    return delays, ended


def vanish() -> tuple[str, bool]:
    with House(tokens=100_000, interval_us=100_000) as house:
        request = house.get(house.ask())
        clients = Clients(house.server.port)
        for _ in range(4):  # the first ones leave caches, arenas of as many as were there at once, and what awaits a full collection
            _come_and_go(clients, request, 5_000)
            _settle(house)
        before = house.state()
        began = time.monotonic()
        _come_and_go(clients, request, VANISH)
        _settle(house)
        took = time.monotonic() - began
        after = house.state()
    same = after[0] <= before[0] + 2 and after[1] <= before[1] + 2 and after[2] <= before[2] + LEFT_MB
    return (f"vanish: {VANISH} came and went in {took:.0f} s; descriptors {before[0]} -> {after[0]}, readers {before[1]} -> {after[1]}, "
            f"memory {before[2]:.1f} -> {after[2]:.1f} MB", same)


def _come_and_go(clients: Clients, request: bytes, count: int) -> None:
    for start in range(0, count, AT_ONCE):
        came = {clients.connect(request) for _ in range(AT_ONCE)}
        until = time.monotonic() + 10
        while came and time.monotonic() < until:  # they leave in the middle of a stream, not before it has begun
            came -= {client for client, _ in clients.read(0.1)}
        clients.close()


def _settle(house: House) -> None:
    """Wait until the worker has taken notice of all who left."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        before = house.descriptors()
        time.sleep(2)
        if house.descriptors() == before < AT_ONCE:
            return


if __name__ == "__main__":
    sys.exit(main())
