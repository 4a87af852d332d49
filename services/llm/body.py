"""A response's body, read below http.client: everything that has arrived in one read, whatever its chunks."""

import time

from urllib3.exceptions import HTTPError
from urllib3.response import HTTPResponse

from services.llm.chunked import ChunkedDecoder
from services.llm.pacing import Beat, Seat

READ_SIZE = 65536
FLOOD = 16384  # bytes in one read that say there is more: the fastest model writes half of that in 40 ms


class BodyBroken(Exception):
    """The body ended before its framing says, or its framing is broken, or the connection was reset."""


class Body:
    """`read` gives what is there, waiting for at least a byte; b"" at the end. `whole` says the framing is complete.

    Where http.client's private parts are not as expected, or the server compressed against our wish, it reads through
    urllib3 instead: correct, and slower.
    """

    def __init__(self, raw: HTTPResponse) -> None:
        self._raw = raw
        self.whole = False
        self._flooded = False  # the last read was so large that the next should not wait
        self._left: int | None = None
        self._chunks: ChunkedDecoder | None = None
        self._socket = None
        self._first = True
        try:
            self._prepare()
        except AttributeError:
            self._reader = None

    def _prepare(self) -> None:
        response = self._raw._fp
        self._reader = response.fp
        if self._raw.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
            self._reader = None
            return
        if response.chunked:
            self._chunks = ChunkedDecoder()
        else:
            self._left = response.length
        self._socket = self._reader.raw._sock
        self._socket.recv, self._socket.settimeout, self._socket.fileno  # noqa: B018  they will be called
        self._in_records = hasattr(self._socket, "pending")
        self.whole = self._left == 0

    def timeout(self, seconds: float) -> None:
        """The longest wait of the reads that follow."""
        sock = self._socket or getattr(self._raw._connection, "sock", None)
        if sock is not None:
            sock.settimeout(max(seconds, 0.001))

    def join(self, beat: Beat) -> Seat | None:
        """A seat at the beat at which the socket is to be read; None where its bytes do not come straight from a socket."""
        return beat.join(self._socket.fileno()) if self._reader is not None else None

    @property
    def ready(self) -> bool:
        """Whether the next read has nothing to wait for."""
        return self._flooded or self.whole or (self._chunks is not None and self._chunks.broken is not None)

    def read(self) -> bytes:
        """Raises TimeoutError when nothing came in time, BodyBroken when the body is not as its framing says."""
        try:
            while not self.whole:
                if self._chunks is not None and self._chunks.broken is not None:
                    raise BodyBroken
                data = self._receive()
                if not data:
                    return self._end()
                self._flooded = len(data) >= FLOOD
                if body := self._unframe(data):
                    return body
        except (TimeoutError, BodyBroken):
            raise
        except (OSError, ValueError, HTTPError) as error:
            if isinstance(error.__cause__ or error.__context__, TimeoutError) or "timed out" in str(error):
                raise TimeoutError from None
            raise BodyBroken from None
        return b""

    def _receive(self) -> bytes:
        if self._reader is None:
            return self._raw.read1(READ_SIZE, decode_content=True)
        if self._first:  # what came with the headers lies in the reader's buffer; after one read1 it is empty for good
            self._first = False
            data = self._reader.read1(READ_SIZE)
        else:
            data = self._socket.recv(READ_SIZE)
        return self._and_further_records(data) if self._in_records and data else data

    def _and_further_records(self, data: bytes) -> bytes:
        """TLS gives out one record a read, and providers write a record a token: at a beat of 40 ms, 25 tokens a second.

        It also keeps what did not fit into the reader's buffer, and whoever asks the kernel hears nothing of that.
        """
        parts, size, patience = [data], len(data), self._socket.gettimeout()
        self._socket.settimeout(0)
        try:
            while size < READ_SIZE and (data := self._socket.recv(READ_SIZE)):
                parts.append(data)
                size += len(data)
        except OSError:
            pass  # no more for now; what is broken, the next read says again
        finally:
            self._socket.settimeout(patience)
        return b"".join(parts)

    def _unframe(self, data: bytes) -> bytes:
        if self._chunks is not None:
            body = self._chunks.feed(data)
            self.whole = self._chunks.done
            return body
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
            self.whole = self._left == 0
        return data

    def _end(self) -> bytes:
        if self._chunks is not None or self._left:
            raise BodyBroken
        self.whole = True
        return b""

    def read_all(self, most: int, deadline: float) -> bytes:
        """At most `most` bytes, until `deadline` (monotonic): for error bodies, which may never end."""
        parts, size = [], 0
        try:
            while size < most and (left := deadline - time.monotonic()) > 0:
                self.timeout(left)
                data = self.read()
                if not data:
                    break
                parts.append(data)
                size += len(data)
        except (TimeoutError, BodyBroken):
            pass
        return b"".join(parts)[:most]

    def settle(self, patience: float) -> None:
        """The answer has been read. The connection goes back to the pool if its end is here or comes within `patience`."""
        try:
            if not self.whole and self._reader is not None and self._left is None and self._chunks is not None:
                self.timeout(patience)
                self.read()
        except (TimeoutError, BodyBroken):
            pass
        if self.whole and self._reader is not None and not (self._chunks and self._chunks.excess):
            self._raw._fp.close()
            self._raw.release_conn()
        else:
            self.close()

    def close(self) -> None:
        """Close the connection at once; the provider stops writing."""
        connection = self._raw._connection
        self._raw.close()
        if connection is not None:
            connection.close()
            self._raw.release_conn()
