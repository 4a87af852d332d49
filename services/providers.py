"""What people are told of the model providers: their states, and what a check of them found. Values in, values out."""

from services.llm.breaker import OPEN
from services.llm.check import Check
from services.llm.config import OFFLINE
from services.llm.service import ProviderState

PROBLEMS = {
    "connect": "no connection to it; check the base URL, the network, and that it is running",
    "timeout": "no answer in time",
    "auth": "the key is refused",
    "quota": "the account's quota or credit is exhausted",
    "rate_limited": "its rate limit is reached; the key is good",
    "model_not_found": "it does not have this model or deployment",
    "server_error": "it has a fault of its own or is overloaded",
    "bad_response": "what answers is no OpenAI-compatible server; check the base URL, which mostly ends in /v1",
    "content_filter": "its content filter refused the question",
    "unsupported": "it refuses a parameter of the request",
    "refused_address": "no provider may have its address",
    "not_configured": "not set up",
}
OTHERWISE = "it refused the request"


def can_be_tried(state: ProviderState) -> bool:
    """Whether a turn may still reach it: a circuit that opens by itself is tried when nobody else is left."""
    return state.state != OPEN or state.retry_in is not None


def shown(state: ProviderState) -> dict[str, object]:
    """For the page's menu and for operators. `reason` is a class of failure, `retryIn` in seconds."""
    entry: dict[str, object] = {"name": state.name, "models": list(state.models), "state": state.state, "embedded": state.name == OFFLINE}
    if state.reason:
        entry["reason"] = state.reason
    if state.retry_in is not None:
        entry["retryIn"] = round(state.retry_in, 1)
    return entry


def is_fault(check: Check) -> bool:
    """Whether somebody has to do something. A provider without a key is none's fault, and not every server lists its models."""
    return not check.works and check.what not in ("key", "models")


def line(check: Check) -> str:
    """`ok    groq llama-3.3-70b: first token after 412 ms`"""
    mark = "ok   " if check.works else "FAILS" if is_fault(check) else "-    "
    name = check.provider if check.what in ("key", "address") else f"{check.provider} {check.what}"
    key = f", key {check.key}" if check.key > 1 else ""
    said = PROBLEMS.get(check.problem, OTHERWISE)
    if check.works:
        said = f"listed in {check.latency_ms} ms" if check.what == "models" else f"first token after {check.latency_ms} ms"
    return f"{mark} {name}{key}: {said}" + (f"; {check.note}" if check.note else "")
