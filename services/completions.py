"""Completions of the OpenAI-compatible door: an LLM stream on a wire that cannot take text back.

They keep nothing: no conversation, no log, no resuming. Whoever leaves ends the provider's work at once.
"""

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import gevent
from gevent.event import Event

from services import openai_wire
from services.cancellation import Cancellation, Cancelled
from services.charges import Charge, Charges
from services.errors import TickertapeError, Unavailable
from services.llm.config import OFFLINE
from services.llm.deltas import Began, Content, Delta, Finished, Reasoning, Switched, ToolCall
from services.llm.service import LLMService
from services.llm.trail import Trail
from services.openai_wire import WAITING, Asked, Chunks, Draft
from services.streams.log import Bell

log = logging.getLogger(__name__)

MOST_WAITING = 2000  # chunks that a slow reader has not taken; then the provider is not read on


class BrokeOff(TickertapeError):
    """Text was sent that another provider would have to replace; `code` is the class of the failure."""

    code = "cut"
    status = 503

    def __init__(self, switched: Switched) -> None:
        super().__init__(f"{switched.source} broke off in the middle of the answer, and this wire cannot take back what was sent: it is not "
                         "whole. Ask again, or have answers sent whole with the header X-Tickertape-Failover: buffer.")
        self.code = switched.reason


class Completions:
    """Starts completions, and ends those that still run when the worker has to go."""

    def __init__(self, llm: LLMService, charges: Charges, heartbeat_s: float) -> None:
        self._llm = llm
        self._charges = charges
        self._heartbeat = heartbeat_s
        self._running: set[Cancellation] = set()

    @property
    def running(self) -> int:
        return len(self._running)

    def open(self, user_id: str | None, address: str | None) -> Charge:
        """Admit a completion; each that is admitted has to be begun. Raises RateLimited."""
        return self._charges.open(user_id, address)

    def stream(self, asked: Asked, charge: Charge, cancellation: Cancellation, *, buffered: bool) -> "CompletionStream":
        """An answer in chunks, `buffered` all at once when it is whole. Raises what `complete` raises, before the first chunk."""
        stream = CompletionStream(charge.id, asked.include_usage, cancellation, self._heartbeat, buffered)
        gevent.spawn(self._write, stream, asked, charge, cancellation)
        try:
            stream.begin()
        except BaseException:
            stream.close()
            raise
        return stream

    def _write(self, stream: "CompletionStream", asked: Asked, charge: Charge, cancellation: Cancellation) -> None:
        with self._run(charge, cancellation, Trail(idle=stream.show)) as trail:
            stream.write(self._deltas(asked, cancellation, trail))

    def complete(self, asked: Asked, charge: Charge, cancellation: Cancellation) -> openai_wire.Json:
        """A whole answer. Raises LLMFailed, InvalidRequest, Unavailable, and Cancelled when the client has gone."""
        draft = Draft()
        try:
            with self._run(charge, cancellation, Trail()) as trail:
                for delta in self._deltas(asked, cancellation, trail):
                    take(draft, delta)
        except Cancelled as cancelled:
            if cancelled.reason == "drained":
                raise _restarting() from None
            raise
        return openai_wire.completion(charge.id, draft, delta.reason, delta.usage)  # the last is `Finished`

    def drain(self) -> None:
        """End what is still running, with a word."""
        for cancellation in list(self._running):
            cancellation.cancel("drained")

    @contextmanager
    def _run(self, charge: Charge, cancellation: Cancellation, trail: Trail) -> Iterator[Trail]:
        self._running.add(cancellation)
        try:
            yield trail
        finally:
            self._running.discard(cancellation)
            self._charges.close(charge, trail)

    def _deltas(self, asked: Asked, cancellation: Cancellation, trail: Trail) -> Iterator[Delta]:
        for delta in self._llm.stream(asked.request, cancellation, trail):
            if type(delta) is Began and delta.provider == OFFLINE and asked.structured:
                raise Unavailable("No model provider can answer now, and the built-in desk writes nothing but plain text.")
            yield delta


class CompletionStream:
    """An iterator over the response's bytes. The provider is read in a greenlet of its own, so that silence can be filled."""

    def __init__(self, identity: str, include_usage: bool, cancellation: Cancellation, heartbeat_s: float, buffered: bool) -> None:
        self._cancellation = cancellation
        self._heartbeat = heartbeat_s
        self._draft = Draft() if buffered else None
        self._chunks = Chunks(identity, include_usage)
        self._ready: deque[bytes] = deque()
        self._bell = Bell()
        self._room = Event()
        self._spoke = False     # content or a tool call is among the chunks
        self._sent = False      # the reader has some of them
        self._begun = False     # the response has its status, so that errors become events
        self._over = False
        self._fault: TickertapeError | None = None

    # ---- the reader's side

    def begin(self) -> None:
        """Wait for the first chunk, so that a failure before it has a status of its own; at most one heartbeat long."""
        if not self._ready and not self._over:
            self._bell.wait(self._heartbeat)
        if self._fault is not None:
            raise self._fault
        self._begun = True

    def __iter__(self) -> "CompletionStream":
        return self

    def __next__(self) -> bytes:
        if not self._ready and not self._over and not self._bell.wait(self._heartbeat):
            return WAITING
        if not self._ready:
            if self._over:
                raise StopIteration
            return WAITING
        data = b"".join(self._ready)
        self._ready.clear()
        self._sent = True
        self._room.set()
        return data

    def close(self) -> None:
        """The client has gone, or has everything. Called by the WSGI server however the response ends."""
        self._cancellation.cancel("gone")

    # ---- the provider's side

    def write(self, deltas: Iterator[Delta]) -> None:
        """Everything to the end; raises nothing."""
        try:
            for delta in deltas:
                self._take(delta)
        except Cancelled as cancelled:
            if cancelled.reason == "drained":
                self._fail(_restarting())
        except TickertapeError as fault:
            self._fail(fault)
        except Exception:
            log.exception("a completion failed")
            self._fail(TickertapeError("Something went wrong on this server."))
        finally:
            self._over = True
            self._bell.ring()

    def show(self) -> None:
        """Everything that had arrived has been taken: send it on."""
        if self._ready:
            self._bell.ring()

    def _fail(self, fault: TickertapeError) -> None:
        if self._begun:
            self._ready.append(openai_wire.error_event(fault))
        else:
            self._ready.clear()
            self._fault = fault

    def _take(self, delta: Delta) -> None:
        if self._draft is None:
            self._relay(delta)
        else:
            take(self._draft, delta)
            if type(delta) is Finished:
                self._send_whole(self._draft)
        if type(delta) is Finished:
            self._ready.append(self._chunks.end(delta.reason, delta.usage))
        if len(self._ready) > MOST_WAITING:
            self._wait_for_room()

    def _relay(self, delta: Delta) -> None:
        kind, chunks = type(delta), self._chunks
        if kind is Content:
            self._spoke = True
            self._ready.append(chunks.content(delta.text))
        elif kind is Reasoning:
            self._ready.append(chunks.reasoning(delta.text))
        elif kind is ToolCall:
            self._spoke = True
            self._ready.append(chunks.tool_call(delta))
        elif kind is Began:
            first = not chunks.model
            chunks.model = f"{delta.provider}/{delta.model}"
            if first:
                self._ready.append(chunks.role())
        elif kind is Switched and not self._sent:
            self._ready.clear()
            self._spoke, chunks.model = False, ""
        elif kind is Switched and self._spoke:
            # Thoughts may be followed by another's thoughts; text may not.
            raise BrokeOff(delta)

    def _send_whole(self, draft: Draft) -> None:
        chunks = self._chunks
        chunks.model = draft.model
        self._ready.append(chunks.role())
        self._ready += [chunks.reasoning(text) for text in draft.reasoning]
        self._ready += [chunks.content(text) for text in draft.text]
        self._ready += [chunks.tool_call(call) for call in draft.calls()]

    def _wait_for_room(self) -> None:
        self._room.clear()
        self._bell.ring()
        with self._cancellation.interruptible():
            self._room.wait()


def take(draft: Draft, delta: Delta) -> None:
    """Add one delta to a draft."""
    kind = type(delta)
    if kind is Content:
        draft.text.append(delta.text)
    elif kind is Reasoning:
        draft.reasoning.append(delta.text)
    elif kind is ToolCall:
        draft.call(delta)
    elif kind is Began:
        draft.model = f"{delta.provider}/{delta.model}"
    elif kind is Switched:
        draft.text, draft.reasoning, draft.tool_calls = [], [], {}


def _restarting() -> Unavailable:
    return Unavailable("This server is restarting. Ask again in a moment.")
