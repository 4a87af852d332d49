"""Errors the callers of a service decide on, each with the code and HTTP status it has at the edge.

A message is written for the person who reads it: no secret, no prompt, no text of a provider.
"""

from collections.abc import Mapping


class TickertapeError(Exception):
    """Base of every expected error; `code` is stable, `message` may be shown to anyone."""

    code = "internal"
    status = 500
    headers: Mapping[str, str] = {}     # what the answer says beside the JSON

    def __init__(self, message: str, *, field: str | None = None, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.details = details

    def payload(self) -> dict[str, object]:
        """The JSON object of the error: `{"error": {"code", "message", "field"?, …}}`."""
        error: dict[str, object] = {"code": self.code, "message": self.message}
        if self.field is not None:
            error["field"] = self.field
        return {"error": error | self.details}


class InvalidRequest(TickertapeError):
    """A value from outside that cannot be used; `field` names it."""

    code = "invalid_request"
    status = 400


class Unauthenticated(TickertapeError):
    code = "unauthenticated"
    status = 401


class Forbidden(TickertapeError):
    code = "forbidden"
    status = 403


class NotFound(TickertapeError):
    """It does not exist, or it is somebody else's: nobody outside can tell which."""

    code = "not_found"
    status = 404


class TooSlow(TickertapeError):
    code = "too_slow"
    status = 408


class Conflict(TickertapeError):
    code = "conflict"
    status = 409


class Gone(TickertapeError):
    """It existed and has been retired; `details` say where its result is."""

    code = "gone"
    status = 410


class TooLarge(TickertapeError):
    code = "too_large"
    status = 413


class UnsupportedMediaType(TickertapeError):
    code = "unsupported_media_type"
    status = 415


class Unprocessable(TickertapeError):
    """Well formed, but not possible in this state, such as an idempotency key used for another request."""

    code = "unprocessable"
    status = 422


class RateLimited(TickertapeError):
    code = "rate_limited"
    status = 429

    def __init__(self, message: str, *, retry_after: float, **details: object) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after


class Unavailable(TickertapeError):
    code = "unavailable"
    status = 503
    retry_after = 1.0  # seconds
