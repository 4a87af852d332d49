"""A provider at the socket: it plays what it is told, byte by byte, and notes what its client did.

    with FakeProvider() as fake:
        fake.play(ok(), events(chunk("Hel")), 0.1, events(chunk("lo"), stop()), DONE, END)

Each `play` is one request's script: bytes are sent, numbers are pauses in seconds, a threading.Event is waited for, `STALL`
waits for the client to leave, `CUT` ends the connection (FIN), `RESET` tears it down (RST), `END` closes chunked framing.
Requests without a script get `fake.default`. Plain sockets and threads: native ones, or greenlets where gevent has patched them.

As a process of its own it plays OpenAI: python -m tests.support.fake_provider --port 9001 --tokens 60 --interval 0.02
"""

import argparse
import json
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum


class Act(Enum):
    STALL = "stall"
    CUT = "cut"
    RESET = "reset"


STALL, CUT, RESET = Act.STALL, Act.CUT, Act.RESET
Step = bytes | float | threading.Event | Act
Script = Iterable[Step]


class Gone(Exception):
    """The client has closed its side."""


@dataclass
class Received:
    """One request, and the moment (time.monotonic) its client closed the connection while it was being answered."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    closed_at: float | None = None
    done: bool = False
    connection: int = 0

    def json(self) -> dict:
        return json.loads(self.body)


@dataclass
class FakeProvider:
    default: Callable[[Received], Script] | None = None
    port: int = 0
    requests: list[Received] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._scripts: deque[tuple[Step, ...]] = deque()
        self.default = self.default or _healthy
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=512)
        self.port = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def play(self, *script: Step) -> None:
        """The script of the next request that has none yet."""
        self._scripts.append(script)

    def forget(self) -> None:
        self._scripts.clear()
        self.requests.clear()

    def heal(self) -> None:
        """Answer well from now on."""
        self._scripts.clear()
        self.default = _healthy

    def close(self) -> None:
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        for connection in list(self._open):
            _reset(connection)

    def __enter__(self) -> "FakeProvider":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            while (request := _read_request(connection)) is not None:
                request.connection = number
                script = self._scripts.popleft() if self._scripts else self.default(request)
                self.requests.append(request)
                if not self._perform(connection, request, script):
                    return
        except OSError:
            pass
        finally:
            self._open.discard(connection)
            connection.close()

    def _perform(self, connection: socket.socket, request: Received, script: Script) -> bool:
        """Play the script; False when the connection has ended."""
        try:
            for step in script:
                if isinstance(step, bytes):
                    connection.settimeout(10)
                    connection.sendall(step)
                elif step is RESET:
                    _reset(connection)
                    return False
                elif step is CUT:
                    connection.shutdown(socket.SHUT_RDWR)
                    return False
                elif isinstance(step, threading.Event):
                    until = time.monotonic() + 60
                    while not step.is_set() and time.monotonic() < until:
                        _watch(connection, 0.02)
                else:
                    _watch(connection, 60.0 if step is STALL else step)
        except (Gone, OSError):
            request.closed_at = time.monotonic()
            return False
        finally:
            request.done = True
        return True


def _watch(connection: socket.socket, seconds: float) -> None:
    """Wait, and notice when the client leaves meanwhile."""
    connection.settimeout(max(seconds, 0.0001))
    try:
        if connection.recv(1, socket.MSG_PEEK) == b"":
            raise Gone
    except TimeoutError:
        pass


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _read_request(connection: socket.socket) -> Received | None:
    connection.settimeout(None)
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        piece = connection.recv(65536)
        if not piece:
            return None
        body += piece
    return Received(method, path, headers, body, time.monotonic())


def ok(content_type: str = "text/event-stream", **headers: str) -> bytes:
    """The head of an answer in chunks."""
    return head(200, {"Content-Type": content_type, "Transfer-Encoding": "chunked", **headers})


def head(status: int, headers: dict[str, str] | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} Status", *(f"{name.replace('_', '-')}: {value}" for name, value in (headers or {}).items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def whole(status: int, body: object, headers: dict[str, str] | None = None, content_type: str = "application/json") -> bytes:
    """An answer with its length; a body that is no bytes is written as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head(status, {"Content-Type": content_type, "Content-Length": str(len(data)), **(headers or {})}) + data


def framed(data: bytes) -> bytes:
    """One chunk of chunked framing."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(payload: object) -> bytes:
    return b"data: " + (payload if isinstance(payload, bytes) else json.dumps(payload).encode()) + b"\n\n"


def events(*payloads: object) -> bytes:
    """Events, one chunk each."""
    return b"".join(framed(event(payload)) for payload in payloads)


def chunk(content: str | None = None, finish: str | None = None, model: str = "fake-1", **delta: object) -> dict:
    if content is not None:
        delta["content"] = content
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion.chunk",
        "created": 1790000000,
        "model": model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


def stop(reason: str = "stop", **more: object) -> dict:
    return chunk(finish=reason) | more


def usage(prompt: int = 10, completion: int = 5) -> dict:
    counted = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "model": "fake-1", "choices": [], "usage": counted}


DONE = framed(b"data: [DONE]\n\n")
END = b"0\r\n\r\n"


def tokens(count: int, start: int = 0, text: str = "word{0} ") -> list[dict]:
    return [chunk(text.format(number)) for number in range(start, start + count)]


def answer(text: str, model: str = "fake-1") -> list[Step]:
    """A healthy answer, a token a word."""
    words = [word + " " for word in text.split(" ")]
    words[-1] = words[-1].rstrip()
    pieces = [chunk("", role="assistant", model=model), *(chunk(word, model=model) for word in words)]
    return [ok(), events(*pieces, stop(), usage(completion=len(words))), DONE, END]


def _healthy(request: Received) -> Script:
    return answer("Hello from the fake.")


def _openai(options: argparse.Namespace) -> Callable[[Received], Script]:
    def script(request: Received) -> Script:
        if request.method == "GET":
            yield whole(200, {"object": "list", "data": [{"id": options.model, "object": "model"}]})
            return
        model = options.model
        if not request.json().get("stream"):
            text = "".join(options.text.format(number) for number in range(options.tokens))
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            yield whole(200, {"id": "chatcmpl-fake", "object": "chat.completion", "created": 1, "model": model, "choices": [choice]})
            return
        yield ok()
        yield events(chunk("", role="assistant", model=model))
        for number in range(options.tokens):
            yield options.interval
            yield events(chunk(options.text.format(number), model=model))
        yield events(stop(), usage(completion=options.tokens)) + DONE + END

    return script


def main() -> None:
    parser = argparse.ArgumentParser(description="Plays OpenAI on loopback.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=60)
    parser.add_argument("--interval", type=float, default=0.02, help="seconds between tokens")
    parser.add_argument("--text", default="word{0} ", help="a token; {0} is its number")
    parser.add_argument("--model", default="fake-1")
    options = parser.parse_args()
    fake = FakeProvider(_openai(options), port=options.port)
    print(fake.url, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
