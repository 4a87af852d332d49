"""A TCP proxy on loopback that can fail as networks do: cut every connection, refuse new ones, or go silent."""

import contextlib
import socket
import struct
import threading
import time


class Proxy:
    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self.refusing = False
        self.accepted = 0
        self._flowing = threading.Event()
        self._flowing.set()
        self._open: dict[socket.socket, float] = {}  # and when it last sent something
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Reset every open connection."""
        for connection in list(self._open):
            self._reset(connection)

    def freeze(self) -> None:
        """Reset idle connections; let those with traffic stay open and pass nothing on, for ever."""
        busy = time.monotonic() - 0.5
        for connection, last in list(self._open.items()):
            if last < busy:
                self._reset(connection)
        self._flowing.clear()
        self._flowing = threading.Event()
        self._flowing.set()

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _reset(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.refusing:
                client.close()
                continue
            self.accepted += 1
            server = socket.create_connection(("127.0.0.1", self._target))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink, self._flowing), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, flowing: threading.Event) -> None:
        self._open[source] = time.monotonic()
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._open[source] = time.monotonic()
                flowing.wait()
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
        self._open.pop(source, None)
