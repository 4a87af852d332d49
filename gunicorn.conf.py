"""How gunicorn serves Tickertape: gevent workers, and streams that end in order when a worker has to go."""

import gc
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import gevent
from gevent.server import StreamServer
from gevent.socket import socket as GeventSocket
from gunicorn.workers.ggevent import GeventWorker

from services import logs
from services.settings import Settings, words
from services.store import revision


class Connection(GeventSocket):
    """A client's connection. gevent's own `sendall` asks for the size of the send buffer before each write."""

    def sendall(self, data: bytes, flags: int = 0) -> None:
        sent = self.send(data, flags)
        if sent < len(data):
            super().sendall(memoryview(data)[sent:], flags)


class Worker(GeventWorker):
    def handle(self, listener, client, address) -> None:
        if type(client) is GeventSocket:  # gunicorn's own TLS has sockets of another class
            client = Connection(client.family, client.type, client.proto, fileno=client.detach())
        super().handle(listener, client, address)


# As gunicorn has it for several workers. Of a hundred that are taken at once, the first tokens came 100 ms late.
StreamServer.max_accept = 1

settings = Settings.load()
settings.check_exposure()

bind = f"{settings.host}:{settings.port}"
workers = settings.web_concurrency
worker_class = Worker
worker_connections = settings.worker_connections
wsgi_app = "app:create_app()"
preload_app = False           # every worker has its own event loop, threads and connections
keepalive = 5                 # seconds, from the connection or the last answer to the end of the next head; so never 0
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190
forwarded_allow_ips = ",".join(words(settings.trusted_proxies)) or "127.0.0.1"
secure_scheme_headers = {}    # the application reads X-Forwarded-Proto itself, from named proxies only
# Catches only a blocked event loop, and then ends every stream of the worker. One that drains tells nobody that it lives.
timeout = max(60, int(settings.drain_s) + 15)
graceful_timeout = int(settings.drain_s) + 10
max_requests = 0              # a count of requests says nothing about streams
control_socket_disable = True
accesslog = None

SUCCESSOR_S = 3.0             # how long a worker that is to go waits for the ones that come; readers end within 5 s
SPAWNED, READY = 1, 2         # states of a worker, by its age, in memory that the master shares with all of them

# Every reader is an open file, and the soft limit is often 1024.
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

# Each worker counts in files here, and /metrics adds them up. prometheus_client reads the variable when it is imported.
metrics_dir = Path(os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(
    (settings.instance_dir / "metrics" / f"{socket.gethostname()}-{settings.port}").absolute())))
metrics_dir.mkdir(parents=True, exist_ok=True)


def on_starting(server) -> None:
    """Prepare the database once, before there are workers; in a process of its own, because what the master imports
    its workers have imported before gevent could patch it. Counting begins at zero."""
    logs.configure(settings.log_format)
    for file in metrics_dir.glob("*.db"):
        file.unlink()
    if not revision.is_newest(settings.database):
        subprocess.run([sys.executable, "-m", "services.store.database"], check=True)
    server.states = mmap.mmap(-1, mmap.PAGESIZE)


def pre_fork(server, worker) -> None:
    server.states[worker.age % mmap.PAGESIZE] = SPAWNED


def post_fork(server, worker) -> None:
    """Let the event loop take the GIL back from the database thread at once.

    With Python's 5 ms, every system call of the loop may cost 5 ms while that thread computes.
    """
    sys.setswitchinterval(0.0005)
    gc.disable()  # what a worker loads stays: looking at it again and again is a tenth of its start
    worker.states = server.states


def post_worker_init(worker) -> None:
    """gunicorn only waits on shutdown; streams have to be ended, or they are cut without a word."""
    services = worker.app.callable.extensions["tickertape"]
    services.warm()
    gc.collect()
    gc.freeze()  # a full collection would stop every stream for 70 ms to look at all of it
    # And for 50 ms to look at 300 streams: about once in 3,000 turns, not 300. What turns leave needs none, it is freed at once.
    gc.set_threshold(700, 10, 100)
    gc.enable()

    def watch() -> None:
        while worker.alive:
            gevent.sleep(0.2)
        services.drain()

    worker.drainer = gevent.spawn(watch)
    worker.states[worker.age % mmap.PAGESIZE] = READY
    signal.signal(signal.SIGTERM, lambda number, frame: gevent.spawn(_go, worker, number, frame))


def _go(worker, number: int, frame) -> None:
    """Serve on until the new workers are ready. gunicorn starts them and ends the old ones at once, and for the seconds
    they take to start nobody would answer. On a plain shutdown nobody is starting."""
    until = time.monotonic() + SUCCESSOR_S
    while SPAWNED in worker.states[:] and time.monotonic() < until:
        gevent.sleep(0.05)
    worker.handle_exit(number, frame)


def worker_abort(worker) -> None:
    """Blocked for `timeout` seconds. It must not seem to leave in order: whatever blocked it, the next one has to count it."""
    os._exit(1)


def worker_exit(server, worker) -> None:
    drainer = getattr(worker, "drainer", None)
    if drainer is not None:
        drainer.join(timeout=settings.drain_s + 5)


def child_exit(server, worker) -> None:
    """A dead worker has no streams. Its counters stay; not with prometheus_client's own function, see on_starting."""
    for file in metrics_dir.glob(f"gauge_live*_{worker.pid}.db"):
        file.unlink(missing_ok=True)
    server.states[worker.age % mmap.PAGESIZE] = 0
