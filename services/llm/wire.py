"""The wire of an OpenAI-compatible stream: bytes in, typed events out. No sockets, no clock.

Every split of the same bytes gives the same events. What users may see is mended on the way: no lone surrogate, no NUL.
"""

import json
import re
from collections.abc import Mapping

import orjson

from services.llm.channels import Channels
from services.llm.errorbody import ErrorBody, is_error, read_error
from services.llm.eventstream import CAP, EventStreamDecoder, Kind, Special
from services.llm.wire_events import Broken, Counted, Ended, Named, WireEvent

MALFORMED_LIMIT = 3
_MODEL = re.compile(r"[A-Za-z0-9][\w.:/@+ -]{0,199}", re.ASCII)  # it is shown to people: nothing but a name passes

_REASONS = {
    "stop": "stop", "end_turn": "stop", "eos": "stop", "eos_token": "stop", "stop_sequence": "stop", "complete": "stop",
    "length": "length", "max_tokens": "length", "max_length": "length", "model_length": "length",
    "content_filter": "content_filter", "safety": "content_filter", "recitation": "content_filter",
    "tool_calls": "tool_calls", "function_call": "tool_calls", "tool_use": "tool_calls",
}  # fmt: skip
_FAILED = {"error", "insufficient_system_resource", "abort"}


class ChatWire:
    """Reads one answer. `done` says that nothing more can come; `ended` that the answer is whole."""

    def __init__(self, cap: int = CAP) -> None:
        self.done = False
        self.ended = False
        self.seen = False  # at least one thing that belongs to an answer or an error
        self._events = EventStreamDecoder(cap)
        self._channels = Channels()
        self._model = ""
        self._counted: Counted | None = None
        self._malformed = 0

    def feed(self, data: bytes) -> list[WireEvent]:
        out: list[WireEvent] = []
        for event in self._events.feed(data):
            if self.done:
                break
            self._event(event, out)
        return out

    def end(self) -> list[WireEvent]:
        """The body is over: what an unterminated last event still held."""
        out: list[WireEvent] = []
        for event in self._events.end() if not self.done else ():
            if not self.done:
                self._event(event, out)
        if not self.done:
            self._channels.flush(out)
        self.done = True
        return out

    def _event(self, event: bytes | Special, out: list[WireEvent]) -> None:
        if type(event) is bytes:
            self._payload(event, out)
        elif event.kind is Kind.ERROR:
            self._break("error", out, read_error(_loads(event.payload)[0] or event.payload.decode("utf-8", "replace")))
        elif event.kind is Kind.STRAY:
            self._stray(_loads(event.payload)[0], out)
        elif event.kind is Kind.HTML:
            self._break("page", out)
        else:
            self._count_malformed(out)

    def _payload(self, payload: bytes, out: list[WireEvent]) -> None:
        if payload[:6] == b"[DONE]":
            self._finish("stop", out)
            self.done = True
            return
        try:
            chunk = orjson.loads(payload)
            self._channels.lenient = False
        except orjson.JSONDecodeError:
            if not payload.strip():
                return
            chunk, self._channels.lenient = _loads(payload)
        if type(chunk) is not dict:
            self._count_malformed(out)
            return
        self._chunk(chunk, out)

    def _chunk(self, chunk: dict, out: list[WireEvent]) -> None:
        get = chunk.get
        if (get("error") or get("object") == "error") and is_error(chunk):
            self._break("error", out, read_error(chunk))
            return
        groq = get("x_groq")
        if groq is not None and self._groq(groq, out):
            return
        if not self._model:
            self._name(get("model"), out)
        choices = get("choices")
        if choices and type(choices) is list:
            self.seen = True
            self._choice(choices[0], out)
        usage = get("usage")
        if usage is not None and not self.done:
            self._count(usage, out)

    def _choice(self, choice: object, out: list[WireEvent]) -> None:
        if type(choice) is not dict or choice.get("index"):
            return
        delta = choice.get("delta")
        reason = choice.get("finish_reason")
        if type(delta) is dict:
            content = delta.get("content")
            alone = len(delta) == 1 or len(delta) == 2 and "role" in delta
            if alone and content and type(content) is str and not reason:
                self._channels.say(content, out)  # the way of nearly every chunk
                return
            self._delta(delta, out)
        if reason and type(reason) is str:
            self._reason(reason.lower(), choice, out)

    def _delta(self, delta: dict, out: list[WireEvent]) -> None:
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if thought and type(thought) is str:
            self._channels.muse(thought, out)
        content = delta.get("content") or delta.get("refusal")
        if type(content) is str:
            self._channels.say(content, out)
        elif type(content) is list:
            self._channels.parts(content, out)
        calls = delta.get("tool_calls")
        for call in calls if type(calls) is list else ():
            self._channels.call(call, out)

    def _reason(self, reason: str, choice: Mapping, out: list[WireEvent]) -> None:
        if reason in _FAILED:
            error = choice.get("error")
            self._break("error", out, read_error(error) if error else ErrorBody(code="server_error"))
        else:
            self._finish(_REASONS.get(reason, "stop"), out)

    def _finish(self, reason: str, out: list[WireEvent]) -> None:
        if not self.ended:
            self._channels.flush(out)
            self.ended = True
            out.append(Ended(reason))

    def _name(self, model: object, out: list[WireEvent]) -> None:
        if type(model) is str and _MODEL.fullmatch(model):
            self._model = model
            out.append(Named(model))

    def _count(self, usage: object, out: list[WireEvent]) -> None:
        if type(usage) is not dict:
            return
        prompt, completion, cost = (usage.get(key) for key in ("prompt_tokens", "completion_tokens", "cost"))
        if type(prompt) is int and type(completion) is int and prompt >= 0 and completion >= 0:
            counted = Counted(prompt, completion, float(cost) if type(cost) in (int, float) else None)
            if counted != self._counted and (prompt or completion):
                self._counted = counted
                out.append(counted)

    def _groq(self, groq: object, out: list[WireEvent]) -> bool:
        """Groq's own field; True when it held an error."""
        if type(groq) is not dict:
            return False
        if groq.get("error"):
            error = groq["error"]
            self._break("error", out, read_error(error) if type(error) is dict else ErrorBody(code=str(error), message=str(error)))
            return True
        self._count(groq.get("usage"), out)
        return False

    def _stray(self, value: object, out: list[WireEvent]) -> None:
        """JSON outside any event: an error body, or a whole answer from a server that does not stream."""
        if type(value) is not dict:
            return
        if is_error(value) or "choices" not in value:
            self._break("error" if is_error(value) else "page", out, read_error(value))
            return
        choices = value["choices"]
        choice = choices[0] if type(choices) is list and choices else None
        if type(choice) is dict and type(choice.get("message")) is dict:
            value = {**value, "choices": [{**choice, "delta": choice["message"]}]}
        self._chunk(value, out)

    def _count_malformed(self, out: list[WireEvent]) -> None:
        self._malformed += 1
        self.seen = True
        if self._malformed >= MALFORMED_LIMIT:
            self._break("malformed", out)

    def _break(self, kind: str, out: list[WireEvent], error: ErrorBody = ErrorBody()) -> None:
        self.seen = self.done = True
        if not self.ended:  # a finish reason outranks what goes wrong after it
            out.append(Broken(kind, error))


def _loads(payload: bytes) -> tuple[object, bool]:
    """JSON as forgiving as it can be read: broken UTF-8, lone surrogates, raw control characters. (None, True) if not at all."""
    try:
        return json.loads(payload.decode("utf-8", "replace"), strict=False), True
    except (ValueError, RecursionError):
        return None, True
