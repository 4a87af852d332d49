"""The body of a request, and what a server has refused to read in it. No I/O."""

import json
from collections.abc import Iterable

import orjson

from services.llm.config import ProviderSettings
from services.llm.deltas import LLMRequest

PASSED_ON = (
    "tools", "tool_choice", "parallel_tool_calls", "response_format", "stop", "top_p", "seed", "presence_penalty",
    "frequency_penalty", "logit_bias", "reasoning_effort", "verbosity", "user",
)  # fmt: skip
_TOKENS = ("max_tokens", "max_completion_tokens")  # one and the same by two names; servers know either or both
_DROPPABLE = frozenset({*PASSED_ON, *_TOKENS, "temperature", "stream_options"}) - {"tools", "response_format"}


class Payloads:
    """Builds the bodies for one provider, and remembers for each model what must be left out."""

    def __init__(self, settings: ProviderSettings) -> None:
        self._names = (settings.tokens_parameter, *(name for name in _TOKENS if name != settings.tokens_parameter))
        self._refused: dict[str, set[str]] = {}

    def build(self, request: LLMRequest, model: str) -> bytes:
        refused = self._refused.get(model, ())
        body: dict[str, object] = {"model": model, "messages": list(request.messages), "stream": True}
        wishes: dict[str, object] = {"stream_options": {"include_usage": True}, "temperature": request.temperature}
        wishes |= {name: request.extra.get(name) for name in PASSED_ON}
        if name := next((name for name in self._names if name not in refused), None):
            wishes[name] = request.max_tokens
        body |= {name: value for name, value in wishes.items() if value is not None and name not in refused}
        return _encode(body)

    def refuse(self, request: LLMRequest, model: str, parameter: str) -> bool:
        """Leave `parameter` out from now on. False when that would not change the request, or its meaning too much."""
        parameter = "stream_options" if parameter in ("", "include_usage") else parameter
        refused = self._refused.setdefault(model, set())
        if parameter not in _DROPPABLE or parameter in refused or parameter not in self._sent(request, refused):
            return False
        refused.add(parameter)
        return True

    def _sent(self, request: LLMRequest, refused: Iterable[str]) -> set[str]:
        sent = {"stream_options", *(name for name in PASSED_ON if request.extra.get(name) is not None)}
        if request.temperature is not None:
            sent.add("temperature")
        if request.max_tokens is not None:
            sent.add(next((name for name in self._names if name not in refused), ""))
        return sent


def _encode(body: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(body, default=dict)
    except TypeError:  # a lone surrogate: no UTF-8 can hold it
        return json.dumps(body, ensure_ascii=False, default=dict).encode("utf-8", "replace")
