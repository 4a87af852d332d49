"""Redis between workers: entries go out in one pipeline, and all that is listened to comes in over one connection.

Nothing here is a promise. What is sent while Redis is away is dropped, so whoever listens has another way to find out.
"""

import logging
from collections.abc import Callable, Mapping
from typing import NamedTuple

import gevent
import redis
from gevent.event import Event
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

log = logging.getLogger(__name__)

BLOCK_MS = 1_000
READ_PAUSE_S = 0.02     # what arrives within it is taken in one reply
AWAY_PAUSE_S = 0.5
TIMEOUT_S = 5.0         # longer than a blocking read, so that a peer that vanished is noticed
FIRST = "0-0"

Hear = Callable[[str, str, Mapping[bytes, bytes]], None]    # key, id and fields of an entry


class Entry(NamedTuple):
    """`id` may be `*`; Redis refuses one that is not above the stream's last."""

    key: str
    fields: Mapping[str, object]
    id: str = "*"
    keep: int = 100
    expire_s: int | None = None


class Bus:
    """Two connections: one that sends, and one that waits in a single XREAD for every stream somebody here listens to."""

    def __init__(self, url: str) -> None:
        self._reading = _client(url)
        self._writing = _client(url)
        self._listeners: dict[str, tuple[str, Hear]] = {}   # by key: the last id heard, and who hears
        self._outbox: list[Entry] = []
        self._unsent = Event()
        self.connected = False
        self._known = False
        self.on_change: Callable[[], None] = lambda: None

    def listen(self, key: str, hear: Hear, after: str = FIRST) -> None:
        """Hear every entry after an id; listening again moves to that id. Takes effect with the next read: see `send`."""
        self._listeners[key] = (after, hear)

    def mute(self, key: str) -> None:
        self._listeners.pop(key, None)

    def send(self, *entries: Entry) -> None:
        """Send soon, together with what else is waiting. Returns at once."""
        self._outbox += entries
        self._unsent.set()

    def run_sender(self) -> None:
        """The loop that sends, in a greenlet of its own."""
        while True:
            self._unsent.wait()
            self._unsent.clear()
            entries, self._outbox = self._outbox, []
            try:
                self._add(entries)
            except RedisError as error:
                log.debug("redis: %d entries dropped: %s", len(entries), type(error).__name__)
                gevent.sleep(AWAY_PAUSE_S)
                self._outbox.clear()

    def _add(self, entries: list[Entry]) -> None:
        pipeline = self._writing.pipeline(transaction=False)
        for entry in entries:
            pairs = [part for pair in entry.fields.items() for part in pair]
            pipeline.execute_command("XADD", entry.key, "MAXLEN", "~", entry.keep, entry.id, *pairs)
            if entry.expire_s is not None:
                pipeline.execute_command("EXPIRE", entry.key, entry.expire_s)
        # An entry that is refused is one that Redis has already, or that another attempt has overtaken.
        pipeline.execute(raise_on_error=False)

    def run_receiver(self) -> None:
        """The loop that reads, in a greenlet of its own. Needs at least one listener."""
        while True:
            try:
                self._receive()
            except RedisError as error:
                self._set_connected(False, type(error).__name__)
                gevent.sleep(AWAY_PAUSE_S)

    def _receive(self) -> None:
        asked = {key: after for key, (after, _) in self._listeners.items()}
        if not self.connected:
            self._reading.ping()
            self._set_connected(True)
        for key, entries in self._reading.execute_command("XREAD", "BLOCK", BLOCK_MS, "STREAMS", *asked, *asked.values()) or ():
            self._deliver(key.decode(), entries, asked)
        gevent.sleep(READ_PAUSE_S)

    def _deliver(self, key: str, entries: list[tuple[bytes, Mapping[bytes, bytes]]], asked: Mapping[str, str]) -> None:
        if key not in self._listeners:
            return
        after, hear = self._listeners[key]
        if after == asked[key]:  # else somebody moved it while Redis was waiting
            self._listeners[key] = (entries[-1][0].decode(), hear)
        for identity, fields in entries:
            hear(key, identity.decode(), fields)

    def _set_connected(self, connected: bool, reason: str = "") -> None:
        if connected == self.connected and self._known:
            return
        if connected:
            log.info("redis answers")
        else:
            log.warning("redis is away (%s); the database is asked instead", reason)
        self.connected, self._known = connected, True
        self.on_change()

    def close(self) -> None:
        self._reading.close()
        self._writing.close()


def _client(url: str) -> redis.Redis:
    """One connection, no silent retries. The defaults (100 connections, three retries) hide what we handle ourselves."""
    return redis.Redis.from_url(url, protocol=2, max_connections=1, socket_timeout=TIMEOUT_S, socket_connect_timeout=2.0,
                                retry=Retry(NoBackoff(), 0), health_check_interval=0)
