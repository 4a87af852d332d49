"""The many shapes of a provider's error, read into one. Values only; the texts are for the classifier, never for users."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """`status` is the HTTP status some put into the body (OpenRouter's `code: 502`). `message` stays out of `repr`: it may
    hold a prompt or a key."""

    code: str = ""
    type: str = ""
    message: str = ""
    param: str = ""
    status: int | None = None

    def __repr__(self) -> str:
        return f"ErrorBody(status={self.status})"


def is_error(value: object) -> bool:
    """Whether a JSON object of a stream is an error and no chunk. `"error": null` is none."""
    return isinstance(value, Mapping) and (bool(value.get("error")) or value.get("object") == "error")


def read_error(value: object) -> ErrorBody:
    """Read `{"error": {…}}`, `{"error": "text"}`, `{"object": "error", …}`, `{"detail": …}`, `{"message": …}` or a text."""
    if isinstance(value, str):
        return ErrorBody(message=value)
    if isinstance(value, list) and value:  # Gemini wraps its error in an array
        return read_error(value[0])
    if not isinstance(value, Mapping):
        return ErrorBody()
    inner = value.get("error")
    if isinstance(inner, (Mapping, list)):
        return read_error(inner)
    if isinstance(inner, str) and inner:
        return _from_fields(value, message=inner)
    return _from_fields(value)


def _from_fields(value: Mapping[str, object], message: str = "") -> ErrorBody:
    detail = value.get("message") or value.get("detail") or ""
    code, status = value.get("code"), _status(value.get("status")) or _status(value.get("code"))
    inner = value.get("innererror")
    if not code and isinstance(inner, Mapping):
        code = inner.get("code")
    return ErrorBody(
        code="" if code is None or _status(code) else str(code),
        type=_text(value.get("type")) or _text(value.get("status")),
        message=" ".join(filter(None, (message, detail if isinstance(detail, str) else str(detail)))),
        param=_text(value.get("param")),
        status=status,
    )


def _status(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599 else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
