"""One OpenAI-compatible provider: a request goes out, wire events come back, failures are classified."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import requests
from gevent import Timeout

from services.cancellation import Cancellation
from services.llm.body import Body, BodyBroken
from services.llm.config import Clocks, ProviderSettings
from services.llm.deltas import Content, LLMRequest, Reasoning, ToolCall
from services.llm.failures import Failure, classify, classify_response
from services.llm.pacing import Beat
from services.llm.payload import Payloads
from services.llm.transport import AddressRefused, Transport
from services.llm.wire import Broken, ChatWire, Ended, WireEvent

_ERROR_BODY, _ERROR_BODY_SECONDS = 1 << 16, 5.0
_MOST_BYTES = 64 << 20  # of one answer: some 300,000 tokens
_SETTLE = 0.1  # seconds a connection may take to its last chunk after [DONE]; a TLS handshake takes longer
_REASONS_FIRST = re.compile(r"(^|[/:-])(o[1-9]|gpt-5|gpt-oss|deepseek-r|qwq|magistral|grok-[34])|reason|think|-r1", re.IGNORECASE)


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


class Provider:
    def __init__(self, settings: ProviderSettings, clocks: Clocks = Clocks(), read_interval: float = 0.04, allow_private: bool = False) -> None:
        self.name = settings.name
        self.settings = settings
        self.payloads = Payloads(settings)
        self._clocks = clocks
        self._beat = Beat(read_interval)
        self._transport = Transport(settings.base_url, allow_private)
        self._prepared: dict[str, requests.PreparedRequest] = {}  # one for each key

    def stream(self, request: LLMRequest, cancellation: Cancellation, call: Call) -> Iterator[WireEvent]:
        """The events of one attempt. Raises ProviderFailed, or Cancelled with the connection closed."""
        clocks = self._clocks_for(call.model)
        started = time.monotonic()
        body = self._open(request, cancellation, call, clocks)
        try:
            yield from _Reading(body, cancellation, clocks, call, started, self._beat).events()
            with cancellation.interruptible():
                body.settle(_SETTLE)
        except BaseException:
            body.close()
            raise

    def close(self) -> None:
        self._transport.close()

    def reasons(self, model: str) -> bool:
        """Whether the model thinks for long before it says anything."""
        return "reasoning" in self.settings.capabilities or bool(_REASONS_FIRST.search(model))

    def _clocks_for(self, model: str) -> Clocks:
        clocks = self._clocks
        if not self.reasons(model):
            return clocks
        longer = clocks.first_content_reasoning
        return replace(clocks, first_content=longer, headers=max(longer, clocks.headers), between=max(clocks.between, longer / 2))

    def _open(self, request: LLMRequest, cancellation: Cancellation, call: Call, clocks: Clocks) -> Body:
        payload = self.payloads.build(request, call.model)
        left = max(call.deadline - time.monotonic(), 0.001)
        limit = Timeout(min(clocks.connect + clocks.headers, left))  # socket timeouts begin anew with every byte; this does not
        try:
            with cancellation.interruptible(), limit:
                response = self._transport.post(
                    self._request(call.key), payload, min(clocks.connect, left), min(clocks.headers, clocks.first_content, left)
                )
        except Timeout as late:
            if late is not limit:
                raise
            raise ProviderFailed(Failure("timeout")) from None
        except requests.RequestException as error:
            raise ProviderFailed(_connection_failure(error)) from None
        body = self._transport.body(response)
        if response.status_code == 200:
            return body
        try:
            with cancellation.interruptible():
                text = body.read_all(_ERROR_BODY, min(time.monotonic() + _ERROR_BODY_SECONDS, call.deadline))
                body.settle(0)
        except BaseException:
            body.close()
            raise
        raise ProviderFailed(classify_response(response.status_code, response.headers, text))

    def _request(self, key: str) -> requests.PreparedRequest:
        if key not in self._prepared:
            headers = {
                "Content-Type": "application/json",
                "Accept": "text/event-stream",
                "Accept-Encoding": "identity",
                "User-Agent": "tickertape",
                **self.settings.headers,
            }
            if key:
                header = self.settings.key_header
                headers[header] = f"Bearer {key}" if header == "Authorization" else key
            self._prepared[key] = self._transport.prepare(self.settings.url, headers)
        return self._prepared[key]


class _Reading:
    """Reads one answer under its clocks. Comments, empty deltas and broken events are bytes, but no sign of life."""

    def __init__(self, body: Body, cancellation: Cancellation, clocks: Clocks, call: Call, started: float, beat: Beat) -> None:
        self._body = body
        self._cancellation = cancellation
        self._clocks = clocks
        self._deadline = call.deadline
        self._idle = call.idle
        self._beat = beat
        self._phase: int | None = None  # of the beat, once something has been seen
        self._limit = started + clocks.first_content  # by then the next content has to come
        self._regular = False  # the socket's timeout is already the one that every content brings
        self._wire = ChatWire()
        self._committed = False  # something of the answer has been seen
        self._spoke = False  # content or a tool call, not only thoughts
        self._reason = ""

    def events(self) -> Iterator[WireEvent]:
        wire, read, interval = self._wire, self._read, self._beat.interval
        paced, size, more = False, 0, self._rearm(False, time.monotonic())
        while more:
            data = read(paced)
            now = time.monotonic()
            lively = False
            for event in wire.feed(data) if data else wire.end():
                kind = type(event)
                if kind is Content or kind is ToolCall:
                    self._committed = self._spoke = lively = True
                elif kind is Reasoning:
                    self._committed = lively = True
                elif kind is Broken:
                    raise ProviderFailed(self._broken(event))
                elif kind is Ended:
                    self._reason = event.reason
                yield event
            size += len(data)
            if wire.done:
                break
            if size > _MOST_BYTES:
                self._reason = "length"
                yield Ended("length")
                break
            more = self._rearm(lively, now)
            if lively and self._idle is not None:
                self._idle()
            paced = self._committed and not self._body.flooded and time.monotonic() < now + interval
        self._judge()

    def _read(self, paced: bool) -> bytes:
        """The next bytes, at the next beat if `paced`; b"" when there are no more, however that came about."""
        try:
            with self._cancellation.interruptible():
                if paced:
                    if self._phase is None:
                        self._phase = self._beat.phase()
                    self._beat.wait(self._phase)
                return self._body.read()
        except TimeoutError:
            if self._wire.ended:
                return b""  # the answer is whole; what should have followed is not waited for
            raise ProviderFailed(self._late()) from None
        except BodyBroken:
            return b""

    def _rearm(self, lively: bool, now: float) -> bool:
        """Set the time for the next content. False when the answer is whole and its tail has had its time.

        The socket's timeout is touched only when it changes: while content comes, each read leaves the same to the next.
        """
        if self._wire.ended:
            if lively or self._regular or self._limit > now + self._clocks.tail:
                self._limit = now + self._clocks.tail
        elif lively:
            self._limit = now + self._clocks.between
            if self._regular and self._limit <= self._deadline:
                return True
        limit = min(self._limit, self._deadline)
        if limit <= now:
            if self._wire.ended:
                return False
            raise ProviderFailed(self._late())
        self._body.timeout(limit - now)
        self._regular = lively and not self._wire.ended and limit == self._limit
        return True

    def _late(self) -> Failure:
        if time.monotonic() >= self._deadline:
            return Failure("deadline")
        return Failure("stall" if self._committed else "timeout")

    def _broken(self, event: Broken) -> Failure:
        if event.kind == "error":
            return classify(event.error)
        return Failure("cut" if event.kind == "malformed" else "bad_response")

    def _judge(self) -> None:
        """The body is over. Is what came an answer?"""
        if not self._reason:
            raise ProviderFailed(Failure("cut" if self._wire.seen else "bad_response"))
        if self._spoke or self._reason == "length":
            return
        if self._reason == "content_filter":
            raise ProviderFailed(Failure("content_filter"))
        raise ProviderFailed(Failure("cut" if self._committed else "bad_response"))


def _connection_failure(error: requests.RequestException) -> Failure:
    if isinstance(error, requests.ReadTimeout):
        return Failure("timeout")
    reason: BaseException | None = error
    while reason is not None:  # requests wraps urllib3's MaxRetryError, which wraps the reason
        if isinstance(reason, AddressRefused):
            return Failure("refused_address")
        inner = getattr(reason, "reason", None) or (reason.args[0] if reason.args else None)
        reason = inner if isinstance(inner, BaseException) else None
    return Failure("connect")
