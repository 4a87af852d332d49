"""Noticing that a client has left, without writing to it."""

import socket
from collections.abc import Callable

import gevent
from gevent.socket import wait_read


class Presence:
    """Watches a connection while a request is worked on; `gone` is called once if its client closes it.

    A client that sends more (pipelining) or speaks TLS to us is not watched: then only a failed write tells.
    """

    def __init__(self, connection: socket.socket | None, gone: Callable[[], None]) -> None:
        self._connection = connection
        self._gone = gone
        self._watching = gevent.spawn(self._watch) if connection is not None else None

    def end(self) -> None:
        """Stop watching, before anybody else reads from the connection."""
        if self._watching is not None and self._watching is not gevent.getcurrent():
            self._watching.kill()

    def __enter__(self) -> "Presence":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _watch(self) -> None:
        try:
            wait_read(self._connection.fileno())
            left = self._connection.recv(1, socket.MSG_PEEK) == b""
        except ValueError:  # TLS knows no peeking
            left = False
        except OSError:
            left = True
        if left:
            self._gone()
