"""One OpenAI-compatible provider: a request goes out, wire events come back, failures are classified."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace

import requests
from gevent import Timeout

from services.cancellation import Cancellation
from services.llm.body import Body
from services.llm.classify import classify_response
from services.llm.config import Clocks, ProviderSettings
from services.llm.deltas import LLMRequest
from services.llm.failures import Failure
from services.llm.pacing import Beat
from services.llm.payload import Payloads
from services.llm.reading import Call, ProviderFailed, Reading
from services.llm.transport import AddressRefused, Transport
from services.llm.wire_events import WireEvent

_ERROR_BODY, _ERROR_BODY_SECONDS = 1 << 16, 5.0
_SETTLE = 0.1  # seconds a connection may take to its last chunk after [DONE]; a TLS handshake takes longer
_REASONS_FIRST = re.compile(r"(^|[/:-])(o[1-9]|gpt-5|gpt-oss|deepseek-r|qwq|magistral|grok-[34])|reason|think|-r1", re.IGNORECASE)


class Provider:
    def __init__(
        self,
        settings: ProviderSettings,
        clocks: Clocks = Clocks(),
        read_interval: float = 0.04,
        allow_private: bool = False,
    ) -> None:
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
            yield from Reading(body, cancellation, clocks, call, started, self._beat).events()
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
