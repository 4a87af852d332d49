"""What went wrong at a provider, and what follows from it: a table, and the small functions that read it. No I/O."""

import email.utils
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

import orjson

from services.llm.errorbody import ErrorBody, read_error


class Again(Enum):
    """Whether the same provider is asked once more."""

    NEVER = auto()
    FAST = auto()
    JITTER = auto()  # after a short random pause, so that many do not come back at the same instant
    IF_ALONE = auto()  # only where no other provider could answer
    AFTER_WAIT = auto()  # the same, and only when it says that it takes at most two seconds
    ADJUSTED = auto()  # once without the parameter it refused


class Next(Enum):
    """Whether another provider is asked."""

    YES = auto()
    NO = auto()
    LARGER = auto()  # only one with a larger window
    IF_ALLOWED = auto()  # only where the settings allow it


class Trip(Enum):
    """What it means for the circuit."""

    NONE = auto()
    COUNTS = auto()
    UNTIL = auto()  # open until Retry-After, else 5 s doubling to 60 s
    LONG = auto()  # open for ten minutes
    CONFIGURATION = auto()  # open until somebody changes the settings
    MODEL = auto()  # this model only


@dataclass(frozen=True, slots=True)
class Policy:
    again: Again
    onward: Next
    trip: Trip
    message: str
    retryable: bool = True


_BUSY = "The model provider is busy at the moment. Please try again shortly."
_DOWN = "The model provider could not be reached. Please try again shortly."
_BROKEN = "The answer broke off before it was complete. Please try again."
_OPERATOR = "The model provider is not set up correctly. The operator of this server has to look at it."

POLICIES: dict[str, Policy] = {
    "connect": Policy(Again.FAST, Next.YES, Trip.COUNTS, _DOWN),
    "timeout": Policy(Again.NEVER, Next.YES, Trip.COUNTS, "The model provider did not answer in time. Please try again."),
    "server_error": Policy(Again.JITTER, Next.YES, Trip.COUNTS, _BUSY),
    "request_timeout": Policy(Again.FAST, Next.YES, Trip.COUNTS, _BUSY),
    "conflict": Policy(Again.FAST, Next.YES, Trip.NONE, _BUSY),
    "rate_limited": Policy(Again.AFTER_WAIT, Next.YES, Trip.UNTIL, "The model provider's rate limit is reached. Please try again shortly."),
    "quota": Policy(Again.NEVER, Next.YES, Trip.LONG, _OPERATOR),
    "auth": Policy(Again.NEVER, Next.YES, Trip.CONFIGURATION, _OPERATOR),
    "refused_address": Policy(Again.NEVER, Next.YES, Trip.LONG, _OPERATOR),
    "model_not_found": Policy(Again.NEVER, Next.YES, Trip.MODEL, "This model is not available. Please choose another."),
    "context_length": Policy(
        Again.NEVER, Next.LARGER, Trip.NONE, "This is too long for the model. Please shorten the message or start a new conversation.", False
    ),
    "content_filter": Policy(Again.NEVER, Next.IF_ALLOWED, Trip.NONE, "The model provider's content filter refused this message.", False),
    "unsupported": Policy(Again.ADJUSTED, Next.NO, Trip.NONE, "The model provider cannot do what was asked for.", False),
    "invalid": Policy(Again.NEVER, Next.NO, Trip.NONE, "The model provider refused this request.", False),
    "bad_response": Policy(Again.NEVER, Next.YES, Trip.COUNTS, _DOWN),
    "cut": Policy(Again.IF_ALONE, Next.YES, Trip.COUNTS, _BROKEN),
    "stall": Policy(Again.IF_ALONE, Next.YES, Trip.COUNTS, _BROKEN),
    "deadline": Policy(Again.NEVER, Next.NO, Trip.NONE, "The answer took too long and was ended."),
}
CREDENTIAL_ONLY = frozenset({"rate_limited", "quota", "auth"})  # another key of the same provider may well work


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure, classified. It holds no text of the provider, so that it may be logged as it is."""

    kind: str
    status: int | None = None
    retry_after: float | None = None
    param: str = ""
    limit: int | None = None  # tokens that would fit, where the provider said so

    @property
    def policy(self) -> Policy:
        return POLICIES[self.kind]


_CODES: dict[str, str] = {
    **dict.fromkeys(
        ("context_length_exceeded", "model_max_prompt_tokens_exceeded", "exceed_context_size_error", "string_above_max_length",
         "max_tokens_exceeded", "request_too_large"),
        "context_length",
    ),
    **dict.fromkeys(
        ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_balance", "insufficient_credits",
         "credits_exhausted", "payment_required", "quota_exceeded", "billing_error"),
        "quota",
    ),
    **dict.fromkeys(("content_filter", "content_policy_violation", "responsibleaipolicyviolation", "moderation_blocked"), "content_filter"),
    **dict.fromkeys(
        ("invalid_api_key", "incorrect_api_key", "api_key_invalid", "authentication_error", "invalid_authentication", "unauthenticated",
         "unauthorized", "permission_denied", "permission_error", "permissiondenied", "account_deactivated", "access_denied", "accessdenied",
         "account_suspended", "ip_not_authorized", "unsupported_country_region_territory"),
        "auth",
    ),
    **dict.fromkeys(
        ("model_not_found", "deploymentnotfound", "deployment_not_found", "model_decommissioned", "model_deprecated", "model_not_active",
         "resourcenotfound", "not_found_error", "notfounderror", "model_permission_blocked_org", "unknown_model", "invalid_model"),
        "model_not_found",
    ),
    **dict.fromkeys(("rate_limit_exceeded", "rate_limit_error", "too_many_requests", "resource_exhausted", "ratelimiterror"), "rate_limited"),
    **dict.fromkeys(("unsupported_parameter", "unsupported_value", "unknown_parameter", "extra_forbidden", "unrecognized_parameter"), "unsupported"),
    **dict.fromkeys(
        ("server_error", "internal_server_error", "internal_error", "internalservererror", "overloaded_error", "overloaded",
         "engine_overloaded", "model_overloaded", "service_unavailable", "serviceunavailable", "unavailable", "over_capacity", "capacity_exceeded",
         "api_error", "bad_gateway", "insufficient_system_resource"),
        "server_error",
    ),
    **dict.fromkeys(("timeout", "timeout_error", "request_timeout", "deadline_exceeded"), "request_timeout"),
}

# Read only where code and type say nothing. The order matters: the first that matches wins.
_MESSAGES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        ("unsupported", r"unsupported (parameter|value)|unrecognized request argument|unknown (parameter|field|argument)|extra_forbidden"
                        r"|extra (inputs|fields) (are )?not permitted|property '[^']*' is unsupported|(parameter|argument) [^ ]+ is not supported"),
        ("context_length", r"maximum context length|context[ _](length|size|window)|prompt is too long|input is too long|too many (input |prompt )?tokens"
                           r"|reduce the length of (the|your) (messages|prompt)|exceeds? (the )?(max|maximum)[a-z ]* (input|prompt)? ?tokens"),
        ("quota", r"exceeded your current quota|insufficient (balance|credits?|funds|quota)|credit balance is too low|out of credits"
                  r"|(credits?|quota|balance) (is |are |has been |have been )?(exhausted|depleted|exceeded)|billing"),
        ("content_filter", r"content[ _]?(management )?(filter|polic)|requires moderation|flagged (by|as)|content_filter"),
        ("auth", r"(api|access|secret) ?[-_]?key[^.]{0,40}(invalid|not valid|incorrect|expired|missing|disabled|revoked)"
                 r"|(invalid|incorrect|expired|missing|bad|wrong)[^.]{0,20}(api|access)[ _-]?key|no auth credentials|invalid (credentials|token)|unauthori[sz]ed"),
        ("model_not_found", r"(model|deployment)\b[^.]{0,120}(does not exist|not found|decommissioned|deprecated|no longer|unavailable for)"
                            r"|no such model|unknown model|no endpoints found|invalid model"),
        ("rate_limited", r"rate[ _-]?limit|too many requests"),
        ("server_error", r"overloaded|over capacity|temporarily unavailable|internal (server )?error"),
    )
)

_STATUSES: dict[int, str] = {
    401: "auth", 402: "quota", 403: "auth", 404: "model_not_found", 408: "request_timeout", 409: "conflict",
    410: "model_not_found", 413: "context_length", 429: "rate_limited",
}
_PATH = re.compile(r"""body['"],\s*['"](\w+)""")  # pydantic: 'loc': ['body', 'stream_options']
_QUOTED = re.compile(r"""['"`]([A-Za-z_][\w.]*)['"`]|argument supplied: (\w+)|(?:parameter|argument|field):? (\w+)""", re.IGNORECASE)
_LIMIT = re.compile(r"(?:maximum context length is|context (?:size|window|length)[^0-9]{0,30}|limit(?: is|:)?|maximum of|max(?:imum)?:?)\s*(\d{3,8})\b", re.IGNORECASE)
_TERSE = frozenset({"rate_limited", "server_error"})  # codes that providers also use for what is something else
_OF_A_500 = {True: ("quota", "auth", "context_length"), False: ("quota",)}  # local servers say all kinds of things with a 500


def classify(error: ErrorBody, status: int | None = None, headers: Mapping[str, str] | None = None) -> Failure:
    """The failure an error object is. Code, type and message outrank `status`; inside a stream there is none."""
    status = status if status is not None and status >= 400 else error.status or status
    kind = _by_words(error, status) or _by_status(status)
    return Failure(
        kind,
        status,
        retry_after=retry_after(headers or {}) if kind == "rate_limited" else None,
        param=_parameter(error) if kind == "unsupported" else "",
        limit=_limit(error.message) if kind == "context_length" else None,
    )


def classify_response(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """The failure an HTTP answer other than 200 is; its body may be anything."""
    if 300 <= status < 400 or status < 300:
        return Failure("bad_response", status)
    try:
        error = read_error(orjson.loads(body))
    except orjson.JSONDecodeError:
        page = body.lstrip()[:1] == b"<"  # what a proxy's page says in words is no code of the provider
        error = ErrorBody() if page else ErrorBody(message=body[:2000].decode("utf-8", "replace"))
    return classify(error, status, headers)


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds to wait as the headers say, a date included; None where they do not."""
    millis = headers.get("retry-after-ms", "")
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(millis) / 1000 if millis else float(value)
        return min(max(seconds, 0.0), 3600.0) if seconds == seconds else None
    except ValueError:
        return _until_date(value, now)


def _until_date(value: str, now: float | None) -> float | None:
    try:
        moment = email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(moment - (time.time() if now is None else now), 0.0), 3600.0)


def _by_words(error: ErrorBody, status: int | None) -> str | None:
    """Code first, then the message where the code is a broad one, then the type, then the message."""
    by_code = _CODES.get(error.code.lower())
    if by_code and by_code not in _TERSE:
        return by_code
    by_message = next((kind for kind, pattern in _MESSAGES if pattern.search(error.message)), None)
    if by_code:  # "rate_limit_exceeded" with "exceeded your current quota" is a quota
        return by_message if by_message == "quota" and by_code == "rate_limited" else by_code
    by_type = _CODES.get(error.type.lower())
    if by_type and by_type not in _TERSE:
        return by_type
    if status is not None and status >= 500 and by_message not in _OF_A_500[status == 500]:
        return by_type  # a server that is down may quote anything in its text
    return by_message or by_type


def _by_status(status: int | None) -> str:
    if status is None or status >= 500 or status == 498:  # 498: Groq's flex tier has no capacity
        return "server_error"
    return _STATUSES.get(status, "invalid")


def _parameter(error: ErrorBody) -> str:
    """The name of the refused parameter, the first part of a path such as `stream_options.include_usage`."""
    if error.param:
        return error.param.partition(".")[0]
    match = _PATH.search(error.message) or _QUOTED.search(error.message)
    return next(filter(None, match.groups()), "").partition(".")[0] if match else ""


def _limit(message: str) -> int | None:
    match = _LIMIT.search(message)
    return int(match.group(1)) if match else None
