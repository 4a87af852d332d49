"""Keeping what was fetched: an interface the application backs with its database, two small ones that need none."""

from __future__ import annotations

import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from gevent.lock import RLock

T = TypeVar("T")


class BarCache(Protocol):
    """Bytes by key. Entries are overwritten whole and never expire by themselves: each says inside how old it is.

    Calls may come from several greenlets; `get` gives None for a miss and must not raise for a broken entry.
    """

    def get(self, key: str) -> bytes | None: ...

    def put(self, key: str, value: bytes) -> None: ...


class MemoryCache:
    """The last `entries` values, for tests and for a single worker."""

    def __init__(self, entries: int = 256) -> None:
        self._entries = entries
        self._values: OrderedDict[str, bytes] = OrderedDict()

    def get(self, key: str) -> bytes | None:
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: str, value: bytes) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        while len(self._values) > self._entries:
            self._values.popitem(last=False)


class FileCache:
    """One file a key in a folder; written aside and renamed, so that a reader never sees half of one."""

    def __init__(self, folder: Path) -> None:
        self._folder = Path(folder)

    def get(self, key: str) -> bytes | None:
        try:
            return self._path(key).read_bytes()
        except OSError:
            return None

    def put(self, key: str, value: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(key)
        aside = path.with_suffix(f".{os.getpid()}.{time.monotonic_ns()}")
        aside.write_bytes(value)
        aside.replace(path)

    def _path(self, key: str) -> Path:
        # A symbol is text from outside: only its hash reaches the file system.
        return self._folder / (hashlib.sha256(key.encode()).hexdigest() + ".npz")


class OneAtATime:
    """Work under a key runs once at a time; who comes meanwhile waits, and usually finds the cache filled."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[RLock, int]] = {}

    def run(self, key: str, work: Callable[[], T]) -> T:
        lock, waiting = self._locks.get(key, (None, 0))
        lock = lock or RLock()
        self._locks[key] = (lock, waiting + 1)
        try:
            with lock:
                return work()
        finally:
            lock, waiting = self._locks[key]
            if waiting == 1:
                del self._locks[key]
            else:
                self._locks[key] = (lock, waiting - 1)
