"""The wire of the OpenAI-compatible door, both ways: a request's JSON in, completions, chunks and errors out. No I/O.

https://platform.openai.com/docs/api-reference/chat
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from services.errors import InvalidRequest, NotFound, TickertapeError
from services.llm.config import OFFLINE
from services.llm.deltas import LLMRequest, ToolCall, Usage
from services.llm.payload import PASSED_ON
from services.llm.service import ProviderState
from services.questions import printable

AUTO = "auto"
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
# What tells a provider how to keep books, not how to answer: leaving it out changes no answer.
IGNORED = ("store", "metadata", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention")
DONE = b"data: [DONE]\n\n"
WAITING = b": waiting\n\n"

ERROR_CODES = {"context_length": "context_length_exceeded", "rate_limited": "rate_limit_exceeded", "unauthenticated": "invalid_api_key"}
ERROR_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of the door. `structured` says that plain text would be no answer: JSON or a tool call is wanted."""

    request: LLMRequest
    stream: bool = False
    include_usage: bool = False
    structured: bool = False


# ---- a request in

def parse(body: object, states: Sequence[ProviderState]) -> Asked:
    """Raises InvalidRequest naming the parameter, NotFound for a model that is not offered."""
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object")
    given = {name: value for name, value in body.items() if value is not None and name not in IGNORED}
    for name in given:
        if name not in _READ and name not in PASSED_ON:
            raise InvalidRequest(f"Unrecognized request argument supplied: {printable(str(name))}", field=printable(str(name)))
    read = {name: reader(given[name], name) for name, reader in _READ.items() if name in given}
    for name in ("model", "messages"):
        if name not in read:
            raise InvalidRequest(f"you must provide {name}", field=name)
    if "stream_options" in read and not read.get("stream"):
        raise InvalidRequest("is only allowed when stream is true", field="stream_options")
    provider, model = choice(read["model"], states)
    extra = {name: given[name] for name in PASSED_ON if name in given}
    request = LLMRequest(
        messages=read["messages"], question=_question(read["messages"]), provider=provider, model=model, extra=extra,
        max_tokens=read.get("max_completion_tokens") or read.get("max_tokens"), temperature=read.get("temperature"), purpose="completion",
    )  # fmt: skip
    return Asked(request, read.get("stream", False), read.get("stream_options", False), _structured(extra))


def choice(name: str, states: Sequence[ProviderState]) -> tuple[str | None, str | None]:
    """Provider and model that a model's name here stands for: `auto`, `<provider>`, `<provider>/<model>`, or a bare model."""
    if name == AUTO:
        return None, None
    for state in states:
        if name == state.name:
            return state.name, None
        if name.startswith(f"{state.name}/") and name.removeprefix(f"{state.name}/") in state.models:
            return state.name, None if state.name == OFFLINE else name.removeprefix(f"{state.name}/")
    for state in states:
        if name in state.models and state.name != OFFLINE:
            return state.name, name
    raise NotFound(f"The model `{printable(name)}` does not exist here; GET /v1/models lists those that do.", field="model")


def _question(messages: Sequence[Json]) -> str:
    """The last thing the user said, for the embedded provider, which reads no conversation."""
    content = next((message.get("content") for message in reversed(messages) if message["role"] == "user"), "")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    return " ".join(part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str))


def _structured(extra: Json) -> bool:
    shape, tool = extra.get("response_format"), extra.get("tool_choice")
    return isinstance(shape, dict) and shape.get("type") != "text" or tool == "required" or isinstance(tool, dict)


def _name(value: object, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidRequest("must be a string", field=name)
    return value


def _messages(value: object, name: str) -> list[dict]:
    if not isinstance(value, list) or not value:
        raise InvalidRequest("must be a list with at least one message", field=name)
    for index, message in enumerate(value):
        at = f"{name}[{index}]"
        if not isinstance(message, dict):
            raise InvalidRequest("must be an object", field=at)
        if message.get("role") not in ROLES:
            raise InvalidRequest(f"must be one of {', '.join(ROLES)}", field=f"{at}.role")
        if not isinstance(message.get("content"), str | list | None):
            raise InvalidRequest("must be a string or a list of parts", field=f"{at}.content")
        if message.get("content") is None and not (message.get("tool_calls") or message.get("function_call")):
            raise InvalidRequest("is required", field=f"{at}.content")
    return value


def _flag(value: object, name: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequest("must be true or false", field=name)
    return value


def _include_usage(value: object, name: str) -> bool:
    if not isinstance(value, dict):
        raise InvalidRequest("must be an object", field=name)
    return _flag(value.get("include_usage", False), f"{name}.include_usage")


def _count(value: object, name: str) -> int:
    if type(value) is not int or value < 1:
        raise InvalidRequest("must be a whole number of at least 1", field=name)
    return value


def _temperature(value: object, name: str) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 2:
        raise InvalidRequest("must be a number from 0 to 2", field=name)
    return value


def _only(allowed: object) -> object:
    def read(value: object, name: str) -> None:
        if value != allowed:
            raise InvalidRequest(f"only {orjson.dumps(allowed).decode()} is supported", field=name)
    return read


_READ = {
    "model": _name, "messages": _messages, "stream": _flag, "stream_options": _include_usage, "max_tokens": _count,
    "max_completion_tokens": _count, "temperature": _temperature, "n": _only(1), "logprobs": _only(False), "top_logprobs": _only(0),
}  # fmt: skip


# ---- models out

def models(states: Sequence[ProviderState], created: int) -> list[Json]:
    """`auto` first, then each provider, in their order, with its models."""
    names = [(AUTO, "tickertape")]
    for state in states:
        names += [(state.name, state.name), *((f"{state.name}/{model}", state.name) for model in state.models)]
    return [{"id": name, "object": "model", "created": created, "owned_by": owner} for name, owner in names]


# ---- answers out

@dataclass(slots=True)
class Draft:
    """A whole answer as it grows; a switch of provider begins it anew."""

    model: str = ""
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    tool_calls: dict[int, dict] = field(default_factory=dict)

    def call(self, delta: ToolCall) -> None:
        call = self.tool_calls.setdefault(delta.index, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
        call["id"] = delta.id or call["id"]
        call["function"]["name"] = delta.name or call["function"]["name"]
        call["function"]["arguments"] += delta.arguments

    def calls(self) -> list[ToolCall]:
        """The calls, each as the one delta that says it all."""
        return [ToolCall(index, call["id"], call["function"]["name"], call["function"]["arguments"])
                for index, call in sorted(self.tool_calls.items())]


def completion(identity: str, draft: Draft, reason: str, usage: Sequence[Usage]) -> Json:
    """An answer that is not streamed."""
    message: dict[str, object] = {"role": "assistant", "content": "".join(draft.text) or None, "refusal": None}
    if not draft.tool_calls:
        message["content"] = "".join(draft.text)
    if draft.reasoning:
        message["reasoning_content"] = "".join(draft.reasoning)
    if draft.tool_calls:
        message["tool_calls"] = [draft.tool_calls[index] for index in sorted(draft.tool_calls)]
    choices = [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}]
    return {"id": f"chatcmpl-{identity}", "object": "chat.completion", "created": int(time.time()), "model": draft.model, "choices": choices,
            "usage": counted(usage), "system_fingerprint": None}


def counted(usage: Sequence[Usage]) -> Json:
    """The tokens of the answer itself; what was spent on discarded ones is in the metrics."""
    own = [each for each in usage if not each.wasted]
    prompt, written = sum(each.prompt_tokens for each in own), sum(each.completion_tokens for each in own)
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}


class Chunks:
    """The events of one streamed answer. `model` may change until the first of them."""

    def __init__(self, identity: str, include_usage: bool) -> None:
        self._identity = f"chatcmpl-{identity}"
        self._created = int(time.time())
        self._include_usage = include_usage
        self.model = ""

    def role(self) -> bytes:
        return self.delta({"role": "assistant", "content": "", "refusal": None})

    def content(self, text: str) -> bytes:
        return self.delta({"content": text})

    def reasoning(self, text: str) -> bytes:
        return self.delta({"reasoning_content": text})

    def tool_call(self, call: ToolCall) -> bytes:
        named = {"id": call.id, "type": "function"} if call.id else {}
        function = {"name": call.name} if call.name else {}
        return self.delta({"tool_calls": [{"index": call.index, **named, "function": function | {"arguments": call.arguments}}]})

    def delta(self, delta: Json, reason: str | None = None) -> bytes:
        return self._event([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}], None)

    def end(self, reason: str, usage: Sequence[Usage]) -> bytes:
        """The finish reason, the usage where it was asked for, and the mark that nothing follows."""
        tail = self._event([], counted(usage)) if self._include_usage else b""
        return self.delta({}, reason) + tail + DONE

    def _event(self, choices: list[Json], usage: Json | None) -> bytes:
        chunk: dict[str, object] = {"id": self._identity, "object": "chat.completion.chunk", "created": self._created, "model": self.model,
                                    "system_fingerprint": None, "choices": choices}
        if self._include_usage:
            chunk["usage"] = usage
        return b"data: " + orjson.dumps(chunk) + b"\n\n"


# ---- errors out

def status(fault: TickertapeError) -> int:
    """Of the response an error becomes. What a provider has against us is no fault of the request: 503, never 401."""
    return 429 if fault.code == "rate_limited" else fault.status


def retry_after(fault: TickertapeError) -> float | None:
    """Seconds, where the limit or the provider told."""
    return getattr(fault, "retry_after", None) or getattr(getattr(fault, "failure", None), "retry_after", None)


def error(fault: TickertapeError) -> Json:
    """OpenAI's error object."""
    code, message = status(fault), fault.message
    if code == 400 and fault.field and fault.field not in message:
        message = f"{fault.field}: {message}"
    kind = ERROR_TYPES.get(code, "invalid_request_error" if code < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": fault.field, "code": ERROR_CODES.get(fault.code, fault.code)}}


def error_event(fault: TickertapeError) -> bytes:
    """An error after the stream began. No [DONE] follows it."""
    return b"data: " + orjson.dumps(error(fault)) + b"\n\n"
