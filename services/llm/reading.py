"""Reading one answer under its clocks: from a body's bytes to wire events, or to the failure that it is."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from services.cancellation import Cancellation
from services.llm.body import Body, BodyBroken
from services.llm.classify import classify
from services.llm.config import Clocks
from services.llm.deltas import Content, Reasoning, ToolCall
from services.llm.failures import Failure, Next
from services.llm.pacing import Beat, Seat
from services.llm.wire import ChatWire
from services.llm.wire_events import Broken, Ended, WireEvent

_MOST_BYTES = 64 << 20  # of one answer: some 300,000 tokens


class ProviderFailed(Exception):
    """An attempt came to nothing, or to nothing whole. It carries no text of the provider."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.kind)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Call:
    """What one attempt adds to a request. `deadline` is monotonic; `idle` is called before each wait for more."""

    model: str
    key: str = field(default="", repr=False)
    deadline: float = float("inf")
    idle: Callable[[], None] | None = None


class Reading:
    """Reads one answer under its clocks. Comments, empty deltas and broken events are bytes, but no sign of life."""

    def __init__(self, body: Body, cancellation: Cancellation, clocks: Clocks, call: Call, started: float, beat: Beat) -> None:
        self._body = body
        self._cancellation = cancellation
        self._clocks = clocks
        self._deadline = call.deadline
        self._idle = call.idle
        self._beat = beat
        self._seat: Seat | None = None  # at the beat, once something has been seen
        self._limit = started + clocks.first_content  # by then the next content has to come
        self._wire = ChatWire()
        self._committed = False  # something of the answer has been seen
        self._spoke = False  # content or a tool call, not only thoughts
        self._reason = ""

    def events(self) -> Iterator[WireEvent]:
        try:
            yield from self._events()
        finally:
            if self._seat is not None:
                self._seat.leave()

    def _events(self) -> Iterator[WireEvent]:
        wire, size = self._wire, 0
        while True:
            data = self._read()
            lively = False
            for event in wire.feed(data) if data else wire.end():
                kind = type(event)
                if kind is Content or kind is ToolCall:
                    self._committed = self._spoke = lively = True
                elif kind is Reasoning:
                    self._committed = lively = True
                elif kind is Broken:
                    event = self._broken(event)
                    self._reason = event.reason
                elif kind is Ended:
                    self._reason = event.reason
                    self._limit = min(self._limit, time.monotonic() + self._clocks.tail)
                yield event
            size += len(data)
            if wire.done:
                break
            if size > _MOST_BYTES:
                self._reason = "length"
                yield Ended("length")
                break
            if lively:
                self._lived()
        self._judge()

    def _lived(self) -> None:
        """Content has come: from now on it has another time, and the stream is read at the common beat."""
        now = time.monotonic()
        self._limit = now + (self._clocks.tail if self._wire.ended else self._clocks.between)
        if self._seat is None:
            self._body.timeout(self._clocks.between)  # for the bytes of a frame, once the first of them is here
            self._seat = self._body.join(self._beat)
        if self._idle is not None:
            self._idle()

    def _read(self) -> bytes:
        """The next bytes; b"" when there are no more, however that came about."""
        limit = min(self._limit, self._deadline)
        try:
            if limit <= time.monotonic():
                raise TimeoutError
            with self._cancellation.interruptible():
                if self._seat is None:
                    self._body.timeout(limit - time.monotonic())
                elif self._body.ready:
                    return self._read_on(limit)
                elif not self._seat.wait(limit):
                    raise TimeoutError
                return self._body.read()
        except TimeoutError:
            if self._wire.ended:
                return b""  # the answer is whole; what should have followed is not waited for
            raise ProviderFailed(self._late()) from None
        except BodyBroken:
            return b""

    def _read_on(self, limit: float) -> bytes:
        """More has arrived than one read takes, or so it seemed: then the wait for it is under the same clock as any other."""
        self._body.timeout(limit - time.monotonic())
        try:
            return self._body.read()
        finally:
            self._body.timeout(self._clocks.between)

    def _late(self) -> Failure:
        if time.monotonic() >= self._deadline:
            return Failure("deadline")
        return Failure("stall" if self._committed else "timeout")

    def _broken(self, event: Broken) -> Ended:
        """Raise what broke the stream; only a filter that steps in after commit is an end, with the text that it let pass."""
        if event.kind == "error":
            failure = classify(event.error)
        else:
            failure = Failure("cut" if event.kind == "malformed" else "bad_response")
        if self._committed and failure.kind == "content_filter":
            return Ended("content_filter")
        if failure.policy.onward is Next.NO:
            failure = Failure("server_error", failure.status)  # it had taken the request; what it says now is no verdict on it
        raise ProviderFailed(failure)

    def _judge(self) -> None:
        """The body is over. Is what came an answer?"""
        if not self._reason:
            raise ProviderFailed(Failure("cut" if self._wire.seen else "bad_response"))
        if self._spoke or self._reason == "length":
            return
        if self._reason == "content_filter":
            raise ProviderFailed(Failure("content_filter"))
        raise ProviderFailed(Failure("cut" if self._committed else "bad_response"))
