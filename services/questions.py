"""A question as it comes from outside, checked: JSON in, a `Question` or an error that names the field out."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

import orjson

from services.errors import InvalidRequest
from services.prompts import ASSISTANTS
from services.settings import Settings

RISK_TOLERANCES = ("conservative", "moderate", "aggressive")
RENDERS = ("text", "html")
MAX_ID = 128
MAX_SYMBOL = 32
MAX_TIMEFRAME = 32
_IDENTIFIER = re.compile(r"[A-Za-z0-9_.:-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, of whom, and how. `context` holds `symbols`, `timeframe` and `riskTolerance` where given."""

    message: str
    assistant_type: str = "general"
    user_id: str | None = None
    context: Mapping[str, object] = field(default_factory=dict)
    conversation_id: str | None = None
    parent_message_id: str | None = None
    workflow: str = "auto"
    render: str = "text"
    provider: str | None = None
    model: str | None = None

    def fingerprint(self) -> str:
        """The same for the same question, so that a used idempotency key can be told from a retry."""
        return hashlib.sha256(orjson.dumps(asdict(self), option=orjson.OPT_SORT_KEYS)).hexdigest()


def parse_question(body: object, settings: Settings) -> Question:
    """The question in a decoded JSON body. Raises InvalidRequest with the field's name."""
    if not isinstance(body, dict):
        raise InvalidRequest("the body must be a JSON object")
    for name in body:
        if name not in _FIELDS:
            raise InvalidRequest(f"unknown field; known are {', '.join(_FIELDS)}", field=printable(str(name)))
    values = {}
    for name, (attribute, read) in _FIELDS.items():
        if name in body and (body[name] is not None or name == "message"):
            values[attribute] = read(body[name], name, settings)
    if "message" not in values:
        raise InvalidRequest("is required", field="message")
    return Question(**values)


def printable(text: str) -> str:
    """A name from outside, safe to repeat in an error."""
    return text[:64].encode("unicode_escape").decode()


def text_of(value: object, name: str, limit: int) -> str:
    """A string that every store and every client can hold."""
    if not isinstance(value, str):
        raise InvalidRequest("must be a string", field=name)
    if len(value) > limit:
        raise InvalidRequest(f"must have at most {limit} characters, has {len(value)}", field=name)
    if "\0" in value:
        raise InvalidRequest("must not contain the NUL character", field=name)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidRequest("contains half of a surrogate pair, which is not text", field=name) from None
    return value


def _message(value: object, name: str, settings: Settings) -> str:
    text = text_of(value, name, settings.max_message_chars)
    if not text.strip():
        raise InvalidRequest("must not be empty", field=name)
    return text


def one_of(value: object, name: str, known: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in known:
        raise InvalidRequest(f"must be one of {', '.join(known)}", field=name)
    return value


def _identifier(value: object, name: str, settings: Settings) -> str:
    text = text_of(value, name, MAX_ID)
    if not _IDENTIFIER.fullmatch(text):
        raise InvalidRequest("must be 1 to 128 letters, digits or _ . : -", field=name)
    return text


def _user_id(value: object, name: str, settings: Settings) -> str:
    text = text_of(value, name, MAX_ID).strip()
    if not text or not text.isprintable():
        raise InvalidRequest("must be 1 to 128 printable characters", field=name)
    return text


def _model(value: object, name: str, settings: Settings) -> str:
    return _user_id(value, name, settings)


def _symbols(value: object, name: str, settings: Settings) -> list[str]:
    if not isinstance(value, list):
        raise InvalidRequest("must be a list of strings", field=name)
    if len(value) > settings.max_symbols:
        raise InvalidRequest(f"must have at most {settings.max_symbols} symbols, has {len(value)}", field=name)
    symbols = [text_of(item, f"{name}[{index}]", MAX_SYMBOL).strip() for index, item in enumerate(value)]
    for index, symbol in enumerate(symbols):
        if not symbol or not symbol.isprintable():
            raise InvalidRequest("must be a printable symbol", field=f"{name}[{index}]")
    return symbols


def _timeframe(value: object, name: str, settings: Settings) -> str:
    text = text_of(value, name, MAX_TIMEFRAME).strip()
    if not text or not text.isprintable():
        raise InvalidRequest("must be 1 to 32 printable characters, such as 1y", field=name)
    return text


def _context(value: object, name: str, settings: Settings) -> dict[str, object]:
    if not isinstance(value, dict):
        raise InvalidRequest("must be an object", field=name)
    for key in value:
        if key not in _CONTEXT:
            raise InvalidRequest(f"unknown field; known are {', '.join(_CONTEXT)}", field=f"{name}.{printable(str(key))}")
    return {key: read(value[key], f"{name}.{key}", settings)
            for key, read in _CONTEXT.items() if value.get(key) is not None}


def _choice(known: tuple[str, ...]) -> Callable[[object, str, Settings], str]:
    return lambda value, name, settings: one_of(value, name, known)


_CONTEXT: dict[str, Callable[[object, str, Settings], object]] = {
    "symbols": _symbols, "timeframe": _timeframe, "riskTolerance": _choice(RISK_TOLERANCES),
}
_FIELDS: dict[str, tuple[str, Callable[[object, str, Settings], object]]] = {
    "message": ("message", _message),
    "assistantType": ("assistant_type", _choice(ASSISTANTS)),
    "userId": ("user_id", _user_id),
    "context": ("context", _context),
    "conversationId": ("conversation_id", _identifier),
    "parentMessageId": ("parent_message_id", _identifier),
    "workflow": ("workflow", _identifier),
    "render": ("render", _choice(RENDERS)),
    "provider": ("provider", _identifier),
    "model": ("model", _model),
}
