"""From what a provider said to a class of failure: words first, then the status. No I/O.

Code, type and message outrank the status: an exhausted quota comes as 429, 402, 403 or 400, a wrong key also as 400.
"""

import email.utils
import re
import time
from collections.abc import Mapping

import orjson

from services.llm.errorbody import ErrorBody, read_error
from services.llm.failures import Failure

_KNOWN_CODES = {
    "context_length": """context_length_exceeded model_max_prompt_tokens_exceeded exceed_context_size_error
        string_above_max_length max_tokens_exceeded request_too_large""",
    "quota": """insufficient_quota billing_hard_limit_reached billing_not_active insufficient_balance insufficient_credits
        credits_exhausted payment_required quota_exceeded billing_error""",
    "content_filter": "content_filter content_policy_violation responsibleaipolicyviolation moderation_blocked",
    "auth": """invalid_api_key incorrect_api_key api_key_invalid authentication_error invalid_authentication unauthenticated
        unauthorized permission_denied permission_error permissiondenied account_deactivated access_denied accessdenied
        account_suspended ip_not_authorized unsupported_country_region_territory""",
    "model_not_found": """model_not_found deploymentnotfound deployment_not_found model_decommissioned model_deprecated
        model_not_active resourcenotfound not_found_error notfounderror model_permission_blocked_org unknown_model
        invalid_model""",
    "rate_limited": "rate_limit_exceeded rate_limit_error too_many_requests resource_exhausted ratelimiterror",
    "unsupported": "unsupported_parameter unsupported_value unknown_parameter extra_forbidden unrecognized_parameter",
    "server_error": """server_error internal_server_error internal_error internalservererror overloaded_error overloaded
        engine_overloaded model_overloaded service_unavailable serviceunavailable unavailable over_capacity
        capacity_exceeded api_error bad_gateway insufficient_system_resource""",
    "request_timeout": "timeout timeout_error request_timeout deadline_exceeded",
}
_CODES = {code: kind for kind, codes in _KNOWN_CODES.items() for code in codes.split()}

# More tokens asked for than the model writes, whatever the conversation: a smaller number would do.
_TOO_MANY = (
    r"supports at most \d+ completion tokens|max_(completion_)?tokens\W{1,3}must be less than or equal to"
    r"|range of max_(completion_)?tokens|maximum allowed number of output tokens|max_(completion_)?tokens\W{1,3}integer above max"
)
_OF_VALUE = re.compile(rf"unsupported value|{_TOO_MANY}", re.IGNORECASE)
_DEFAULT_ONLY = re.compile(r"only the default", re.IGNORECASE)  # to leave the parameter out is to send what is supported

# Read only where code and type say nothing. The order matters: the first that matches wins.
_MESSAGES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        ("unsupported", r"unsupported (parameter|value)|unrecognized request argument|unknown (parameter|field|argument)"
                        r"|extra_forbidden|extra (inputs|fields) (are )?not permitted|property '[^']*' is unsupported"
                        r"|(parameter|argument) [^ ]+ is not supported"),
        ("unsupported", _TOO_MANY),
        ("context_length", r"context[ _](length|size|window)|prompt is too long|input is too long"
                           r"|too many (input |prompt )?tokens|reduce the length of (the|your) (messages|prompt)"
                           r"|exceeds? (the )?(max|maximum)[a-z ]* (input|prompt)? ?tokens"),
        ("quota", r"exceeded your current quota|insufficient (balance|credits?|funds|quota)|credit balance is too low"
                  r"|out of credits|(credits?|quota|balance) (is |are |has been |have been )?(exhausted|depleted|exceeded)"
                  r"|billing"),
        ("content_filter", r"content[ _]?(management )?(filter|polic)|requires moderation|flagged (by|as)"),
        ("auth", r"(api|access|secret) ?[-_]?key[^.]{0,40}(invalid|not valid|incorrect|expired|missing|disabled|revoked)"
                 r"|(invalid|incorrect|expired|missing|bad|wrong)[^.]{0,20}(api|access)[ _-]?key|no auth credentials"
                 r"|invalid (credentials|token)|unauthori[sz]ed"),
        ("model_not_found", r"(model|deployment)\b[^.]{0,120}(does not exist|not found|decommissioned|deprecated|no longer"
                            r"|unavailable for)|no such model|unknown model|no endpoints found|invalid model"),
        ("rate_limited", r"rate[ _-]?limit|too many requests"),
        ("server_error", r"overloaded|over capacity|temporarily unavailable|internal (server )?error"),
    )
)  # fmt: skip

_STATUSES: dict[int, str] = {
    401: "auth", 402: "quota", 403: "auth", 404: "model_not_found", 408: "request_timeout", 409: "conflict",
    410: "model_not_found", 413: "context_length", 429: "rate_limited",
}
_PATH = re.compile(r"""body['"],\s*['"](\w+)""")  # pydantic: 'loc': ['body', 'stream_options']
_QUOTED = re.compile(r"""['"`]([A-Za-z_][\w.]*)['"`]|argument supplied: (\w+)|(?:parameter|argument|field):? (\w+)""", re.I)
_TOKENS = re.compile(r"\b(max_(?:completion_)?tokens)\b")
_MOST = re.compile(r"(?:at most|less than or equal to|<=|>|\[\s*\d+\s*,)\W{0,3}(\d{1,8})\b", re.IGNORECASE)
_LIMIT = re.compile(
    r"(?:maximum context length is|context (?:size|window|length)[^0-9]{0,30}|limit(?: is|:)?|maximum of|max(?:imum)?:?)"
    r"\s*(\d{3,8})\b",
    re.IGNORECASE,
)
_TERSE = frozenset({"rate_limited", "server_error"})  # codes that providers also use for what is something else
_OF_A_500 = {True: ("quota", "auth", "context_length"), False: ("quota",)}  # local servers say all kinds of things with a 500


def classify(error: ErrorBody, status: int | None = None, headers: Mapping[str, str] | None = None) -> Failure:
    """The failure an error object is. Code, type and message outrank `status`; inside a stream there is none."""
    status = status if status is not None and status >= 400 else error.status or status
    kind = _by_words(error, status) or _by_status(status)
    if kind == "unsupported":
        return _unsupported(error, status)
    return Failure(
        kind,
        status,
        retry_after=retry_after(headers or {}) if kind == "rate_limited" else None,
        limit=_number(_LIMIT, error.message) if kind == "context_length" else None,
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


def _unsupported(error: ErrorBody, status: int | None) -> Failure:
    of_value = error.code.lower() == "unsupported_value" or bool(_OF_VALUE.search(error.message))
    if not of_value or _DEFAULT_ONLY.search(error.message):
        return Failure("unsupported", status, param=_parameter(error))
    return Failure("unsupported", status, param=_parameter(error), of_value=True, limit=_number(_MOST, error.message))


def _parameter(error: ErrorBody) -> str:
    """The name of the refused parameter, the first part of a path such as `stream_options.include_usage`."""
    if error.param:
        return error.param.partition(".")[0]
    match = _PATH.search(error.message) or _QUOTED.search(error.message) or _TOKENS.search(error.message)
    return next(filter(None, match.groups()), "").partition(".")[0] if match else ""


def _number(pattern: re.Pattern[str], message: str) -> int | None:
    match = pattern.search(message)
    return int(match.group(1)) if match else None
