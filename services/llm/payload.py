"""The body of a request, and what a server has refused to read in it. No I/O."""

import json
from collections import deque
from dataclasses import dataclass, field
from hashlib import sha256

import orjson

from services.llm.config import ProviderSettings
from services.llm.deltas import LLMRequest
from services.llm.failures import Failure

PASSED_ON = (
    "tools", "tool_choice", "parallel_tool_calls", "response_format", "stop", "top_p", "seed", "presence_penalty",
    "frequency_penalty", "logit_bias", "reasoning_effort", "verbosity", "user",
)  # fmt: skip
_TOKENS = ("max_tokens", "max_completion_tokens")  # one and the same by two names; servers know either or both
_DROPPABLE = frozenset({*PASSED_ON, *_TOKENS, "temperature", "stream_options"}) - {"tools", "response_format"}
_VALUES = 64  # refused values remembered a model: clients of the OpenAI door may try any number


@dataclass(slots=True)
class _Refused:
    """What one model does not take. `most` is the largest limit of tokens it does take, where it named one."""

    parameters: set[str] = field(default_factory=set)
    values: deque[tuple[str, bytes]] = field(default_factory=lambda: deque(maxlen=_VALUES))
    most: int | None = None


class Payloads:
    """Builds the bodies for one provider, and remembers for each model what must be left out."""

    def __init__(self, settings: ProviderSettings) -> None:
        self._names = (settings.tokens_parameter, *(name for name in _TOKENS if name != settings.tokens_parameter))
        self._refused: dict[str, _Refused] = {}

    def build(self, request: LLMRequest, model: str) -> bytes:
        body = {"model": model, "messages": list(request.messages), "stream": True}
        return _encode(body | self._parameters(request, self._of(model)))

    def refuse(self, request: LLMRequest, model: str, failure: Failure) -> bool:
        """From now on leave out what `failure` names: a parameter, or one value of it; tokens are cut to a limit it names.

        False when that would not change the request, or its meaning too much.
        """
        refused = self._of(model)
        sent = self._parameters(request, refused)
        parameter = failure.param
        if not failure.of_value:
            parameter = "stream_options" if parameter in ("", "include_usage") else parameter
        elif parameter in _TOKENS:
            parameter = self._tokens(refused)
        if parameter not in _DROPPABLE or parameter not in sent:
            return False
        value = sent[parameter]
        if not failure.of_value:
            refused.parameters.add(parameter)
        elif parameter in _TOKENS and value == request.max_tokens and failure.limit and failure.limit < value:
            refused.most = failure.limit
        else:
            refused.values.append(_named(parameter, value))
        return True

    def _of(self, model: str) -> _Refused:
        return self._refused.setdefault(model, _Refused())

    def _parameters(self, request: LLMRequest, refused: _Refused) -> dict[str, object]:
        """All that is sent beside the model and the messages."""
        wishes: dict[str, object] = {"stream_options": {"include_usage": True}, "temperature": request.temperature}
        wishes |= {name: request.extra.get(name) for name in PASSED_ON}
        if (name := self._tokens(refused)) and request.max_tokens is not None:
            wishes[name] = min(request.max_tokens, refused.most or request.max_tokens)
        return {
            name: value
            for name, value in wishes.items()
            if value is not None and name not in refused.parameters and not (refused.values and _named(name, value) in refused.values)
        }

    def _tokens(self, refused: _Refused) -> str:
        """The name by which the model knows its limit of tokens; empty when it knows neither."""
        return next((name for name in self._names if name not in refused.parameters), "")


def _named(parameter: str, value: object) -> tuple[str, bytes]:
    """A value as it is remembered: some are as long as a request may be."""
    return parameter, sha256(_encode({parameter: value})).digest()


def _encode(body: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(body, default=dict)
    except TypeError:  # a lone surrogate: no UTF-8 can hold it
        return json.dumps(body, ensure_ascii=False, default=dict).encode("utf-8", "replace")
