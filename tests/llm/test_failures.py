import json

import pytest

from services.llm.classify import classify, classify_response, retry_after
from services.llm.errorbody import ErrorBody, read_error
from services.llm.failures import POLICIES, Again, Next, Trip


def error(**fields: object) -> bytes:
    return json.dumps({"error": fields}).encode()


RESPONSES: list[tuple[str, int, bytes]] = [
    ("server_error", 500, b"Internal Server Error"),
    ("server_error", 502, b"<html>api key invalid</html>"),
    ("server_error", 503, b""),
    ("server_error", 504, error(message="upstream request timeout")),
    ("server_error", 529, error(type="overloaded_error", message="Overloaded")),
    ("server_error", 498, error(message="flex tier capacity exceeded", code="capacity_exceeded")),
    ("server_error", 503, error(message="The context window service is down. Unknown model parameter.")),
    ("request_timeout", 408, b""),
    ("conflict", 409, b""),
    ("rate_limited", 429, error(message="Rate limit reached for model `x` on tokens per minute (TPM): Limit 6000", type="tokens", code="rate_limit_exceeded")),
    ("rate_limited", 413, error(message="Request too large for model `x` on tokens per minute (TPM): Limit 6000, Requested 9000", type="tokens", code="rate_limit_exceeded")),
    ("quota", 429, error(message="You exceeded your current quota, please check your plan and billing details.", type="insufficient_quota", code="insufficient_quota")),
    ("quota", 402, error(message="Insufficient credits. Add more using https://openrouter.ai/credits", code=402)),
    ("quota", 402, error(message="Insufficient Balance", type="unknown_error", code="invalid_request_error")),
    ("quota", 400, error(message="Your credit balance is too low to access the API.", type="invalid_request_error")),
    ("quota", 403, error(code="insufficient_quota", message="x")),
    ("auth", 401, error(message="Incorrect API key provided: sk-abc.", type="invalid_request_error", code="invalid_api_key")),
    ("auth", 401, b""),
    ("auth", 403, error(message="Access denied due to invalid subscription key or wrong API endpoint.", code="PermissionDenied")),
    ("auth", 400, json.dumps([{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT"}}]).encode()),
    ("auth", 401, error(message="No auth credentials found", code=401)),
    ("model_not_found", 404, error(message="The model `gpt-9` does not exist or you do not have access to it.", type="invalid_request_error", code="model_not_found")),
    ("model_not_found", 404, error(code="DeploymentNotFound", message="The API deployment for this resource does not exist.")),
    ("model_not_found", 410, b""),
    ("model_not_found", 400, error(message="The model `x` has been decommissioned and is no longer supported.", code="model_decommissioned")),
    ("model_not_found", 404, json.dumps({"error": "model 'llama9' not found, try pulling it first"}).encode()),
    ("model_not_found", 403, error(message="Project does not have access to model x", code="model_not_found")),
    ("context_length", 400, error(message="This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.", code="context_length_exceeded")),
    ("context_length", 400, error(message="the request exceeds the available context size. try increasing the context size", type="exceed_context_size_error", code=400)),
    ("context_length", 400, json.dumps({"object": "error", "message": "This model's maximum context length is 4096 tokens.", "type": "BadRequestError", "code": 400}).encode()),
    ("context_length", 500, error(message="maximum context length is 4096 tokens")),
    ("context_length", 413, b""),
    ("content_filter", 400, error(message="The response was filtered due to the prompt triggering Azure OpenAI's content management policy.", param="prompt", code="content_filter", status=400, innererror={"code": "ResponsibleAIPolicyViolation"})),
    ("content_filter", 403, error(message="x requires moderation on Together AI. Your input was flagged for violence.", code=403)),
    ("unsupported", 400, error(message="Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", param="max_tokens", code="unsupported_parameter")),
    ("unsupported", 400, error(message="Unrecognized request argument supplied: stream_options")),
    ("unsupported", 422, json.dumps({"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"]}]}}).encode()),
    ("unsupported", 400, error(message="property 'seed' is unsupported")),
    ("invalid", 400, error(message="messages: at least one is required", type="invalid_request_error")),
    ("invalid", 422, b"{}"),
    ("invalid", 400, b"\xff\x00 garbage"),
    ("bad_response", 302, b""),
    ("bad_response", 204, b""),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "status", "body"), RESPONSES)
def test_a_response_has_its_class(kind, status, body):
    assert classify_response(status, {}, body).kind == kind


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("server_error", ErrorBody()),
        ("server_error", ErrorBody(code="over_capacity")),
        ("server_error", ErrorBody(status=502)),
        ("rate_limited", ErrorBody(status=429)),
        ("context_length", ErrorBody(code="context_length_exceeded")),
        ("content_filter", ErrorBody(code="content_filter", status=400)),
        ("auth", ErrorBody(status=401, message="x")),
    ],
)
def test_an_error_inside_a_stream_is_what_its_code_says(kind, body):
    assert classify(body).kind == kind


@pytest.mark.parametrize(
    ("parameter", "body"),
    [
        ("max_tokens", {"param": "max_tokens", "code": "unsupported_parameter"}),
        ("stream_options", {"message": "Unrecognized request argument supplied: stream_options"}),
        ("stream_options", {"message": "Unknown parameter: 'stream_options.include_usage'."}),
        ("seed", {"message": "property 'seed' is unsupported"}),
        ("temperature", {"code": "unsupported_value", "message": "Unsupported value: 'temperature' does not support 0.2 with this model."}),
        ("stream_options", {"message": "[{'type': 'extra_forbidden', 'loc': ['body', 'stream_options'], 'msg': 'Extra inputs are not permitted'}]"}),
    ],
)
def test_the_refused_parameter_is_named(parameter, body):
    failure = classify_response(400, {}, error(**body))
    assert (failure.kind, failure.param) == ("unsupported", parameter)


def test_the_limit_of_the_context_is_read():
    assert classify(ErrorBody(code="context_length_exceeded", message="maximum context length is 8192 tokens. You asked for 9000.")).limit == 8192


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 40.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:10 GMT"}, 0.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "1e99"}, 3600.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers, seconds):
    assert retry_after(headers, now=60.0) == seconds


def test_the_table_says_what_the_issue_says():
    short = {kind: (policy.again, policy.onward, policy.trip) for kind, policy in POLICIES.items()}
    assert short["connect"] == (Again.FAST, Next.YES, Trip.COUNTS)
    assert short["timeout"] == (Again.NEVER, Next.YES, Trip.COUNTS)
    assert short["server_error"] == (Again.JITTER, Next.YES, Trip.COUNTS)
    assert short["request_timeout"] == (Again.FAST, Next.YES, Trip.COUNTS)
    assert short["conflict"] == (Again.FAST, Next.YES, Trip.NONE)
    assert short["rate_limited"] == (Again.AFTER_WAIT, Next.YES, Trip.UNTIL)
    assert short["quota"] == (Again.NEVER, Next.YES, Trip.LONG)
    assert short["auth"] == (Again.NEVER, Next.YES, Trip.CONFIGURATION)
    assert short["model_not_found"] == (Again.NEVER, Next.YES, Trip.MODEL)
    assert short["context_length"] == (Again.NEVER, Next.LARGER, Trip.NONE)
    assert short["content_filter"] == (Again.NEVER, Next.IF_ALLOWED, Trip.NONE)
    assert short["unsupported"] == (Again.ADJUSTED, Next.NO, Trip.NONE)
    assert short["invalid"] == (Again.NEVER, Next.NO, Trip.NONE)


@pytest.mark.parametrize("value", [None, 5, "text", [], [5], {"error": []}, {"error": [1]}, {"error": {"code": None, "message": {"a": 1}}}, {"code": True}, {"detail": "x"}])
def test_any_shape_of_error_can_be_read(value):
    assert isinstance(read_error(value), ErrorBody)
