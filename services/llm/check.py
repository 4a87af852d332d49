"""Does each configured provider work, and how fast? Asked with the `openai` client, as an independent second opinion.

`flask providers check` prints what `check` yields.
"""

import ipaddress
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from services.llm.address import RefusedAddress, check_address
from services.llm.classify import classify
from services.llm.config import LLMSettings, ProviderSettings
from services.llm.errorbody import ErrorBody, read_error

_QUESTION = [{"role": "user", "content": "Reply with the single word: ready"}]
_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Check:
    """One line: a provider, which of its keys (from 1; 0 without), and one thing tried: `address`, `models` or a model's name.

    `problem` is a failure class; empty when it works. Milliseconds: to the first token for a model, else of the call.
    """

    provider: str
    key: int
    what: str
    works: bool
    latency_ms: int | None
    problem: str = ""
    note: str = ""


def check(settings: LLMSettings) -> Iterator[Check]:
    """Try every provider with each of its keys and models, one after the other. Costs a few tokens each."""
    for provider in settings.providers:
        refused = _address(provider, settings.allow_private)
        if refused is not None:
            yield refused
            continue
        for number, key in enumerate(provider.keys or ("",), start=1 if provider.keys else 0):
            with _client(provider, key) as client:
                yield _models(client, provider, number)
                for model in provider.models:
                    yield _model(client, provider, number, model)
    for name in settings.skipped:
        yield Check(name, 0, "key", False, None, "not_configured", "no key is set")


def _client(provider: ProviderSettings, key: str) -> object:
    from openai import DefaultHttpxClient, OpenAI  # 0.4 s to import: only who checks pays it

    headers = dict(provider.headers)
    if provider.key_header != "Authorization":
        headers[provider.key_header] = key
    client = OpenAI(
        base_url=provider.base_url,
        api_key=key or "none",
        default_headers=headers,
        default_query=dict(parse_qsl(urlsplit(provider.url).query)),
        max_retries=0,
        timeout=_SECONDS,
        http_client=DefaultHttpxClient(base_url=provider.base_url, follow_redirects=False, timeout=_SECONDS),
    )
    client.organization = client.project = None  # the environment's are OpenAI's, whoever this provider is
    return client


def _headers(provider: ProviderSettings) -> dict[str, object]:
    """Azure takes a bearer token for one of its own directory and refuses it, whatever the key is."""
    from openai import Omit

    return {} if provider.key_header == "Authorization" else {"Authorization": Omit()}


def _address(provider: ProviderSettings, allow_private: bool) -> Check | None:
    """What the name resolves to, before any client connects to it."""
    parts = urlsplit(provider.base_url)
    try:
        for *_, address in socket.getaddrinfo(parts.hostname, parts.port or parts.scheme, 0, socket.SOCK_STREAM):
            check_address(ipaddress.ip_address(address[0].partition("%")[0]), allow_private)
    except RefusedAddress as error:
        return Check(provider.name, 0, "address", False, None, "refused_address", str(error))
    except OSError:
        return Check(provider.name, 0, "address", False, None, "connect", "the name does not resolve")
    return None


def _models(client: object, provider: ProviderSettings, number: int) -> Check:
    began = time.monotonic()
    try:
        offered = {model.id for model in client.models.list(extra_headers=_headers(provider))}
    except Exception as error:  # whatever the client raises, it is an answer to the question
        return Check(provider.name, number, "models", False, _ms(began), _problem(error), "not every server lists its models")
    missing = [model for model in provider.models if model not in offered]
    return Check(provider.name, number, "models", True, _ms(began), note=f"not listed: {', '.join(missing)}" if missing else "")


def _model(client: object, provider: ProviderSettings, number: int, model: str) -> Check:
    began, first = time.monotonic(), None
    headers = _headers(provider)
    try:
        with client.chat.completions.create(model=model, messages=_QUESTION, stream=True, extra_headers=headers) as stream:
            for chunk in stream:
                if first is None and chunk.choices and _says_something(chunk.choices[0].delta):
                    first = _ms(began)
                    break
    except Exception as error:
        return Check(provider.name, number, model, False, _ms(began), _problem(error))
    if first is None:
        return Check(provider.name, number, model, False, _ms(began), "bad_response", "the stream held nothing")
    return Check(provider.name, number, model, True, first)


def _says_something(delta: object) -> bool:
    return any(getattr(delta, name, None) for name in ("content", "reasoning_content", "reasoning", "tool_calls"))


def _problem(error: Exception) -> str:
    """The class of a client's error. Its text stays here: providers quote keys in theirs."""
    import openai

    if isinstance(error, openai.APITimeoutError):
        return "timeout"
    if isinstance(error, openai.APIConnectionError):
        return "connect"
    if isinstance(error, openai.APIError):
        status = getattr(error, "status_code", None)
        body = read_error(error.body) if error.body is not None else ErrorBody(message=error.message)
        return classify(body, status).kind
    return "bad_response"


def _ms(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
