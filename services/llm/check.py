"""Does a provider work as it is set up? Its list of models and one token of its default model, in plain words.

Through the `openai` client, so that what works here works for any OpenAI client; no retries, no redirects. No text of a
provider is shown: it may hold the key.
"""

import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from urllib.parse import parse_qsl, urlsplit

import openai

from services.llm.address import RefusedAddress, check_address
from services.llm.config import Clocks, ProviderSettings
from services.llm.failures import Failure, classify_response
from services.llm.provider import Provider

Headers = dict[str, str | openai.Omit]

MOST_NAMES = 3  # of listed models that are shown when the configured one is not among them
TOKENS, TOKENS_REASONING = 1, 64  # a model that thinks first refuses to say anything in one token

PROBLEMS = {
    "connect": "no connection to it: check the base URL, the network, and that it is running",
    "timeout": "no answer in time",
    "auth": "the key is refused",
    "quota": "the account's quota or credit is exhausted",
    "rate_limited": "its rate limit is reached; the key is good",
    "model_not_found": "it does not have this model or deployment",
    "server_error": "it has a fault of its own or is overloaded",
    "bad_response": "what answers is no OpenAI-compatible server: check the base URL, which mostly ends in /v1",
    "content_filter": "its content filter refused the word Hi",
    "unsupported": "it refuses a parameter of the request",
    "refused_address": "the address is private or a cloud's metadata service; ALLOW_PRIVATE_PROVIDERS=1 allows private ones",
}
OTHERWISE = "it refused the request"


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome for one credential. `models` are what it lists, None where it lists none; `latency_ms` is the completion's."""

    provider: str
    model: str
    key: int
    keys: int
    models: tuple[str, ...] | None = None
    latency_ms: int | None = None
    problem: str = ""

    @property
    def works(self) -> bool:
        return not self.problem

    @property
    def listing(self) -> str:
        if self.models is None:
            return "" if self.problem else "it lists no models"
        some = f"lists {len(self.models)} model{'s'[:len(self.models) != 1]}"
        if self.works or self.model in self.models or not self.models:
            return some
        return f"{some}, not this one, but {', '.join(self.models[:MOST_NAMES])}"

    def json(self) -> dict[str, object]:
        return asdict(self) | {"works": self.works}


def check(provider: ProviderSettings, clocks: Clocks, allow_private: bool = False) -> Iterator[Checked]:
    """One outcome for each of the provider's keys, as they come."""
    keys = provider.keys or ("",)
    for number, key in enumerate(keys, start=1):
        with _client(provider, key, clocks) as client:
            yield _checked(client, provider, allow_private, number, len(keys))


def _checked(client: openai.OpenAI, provider: ProviderSettings, allow_private: bool, number: int, keys: int) -> Checked:
    model, listed, latency, problem = provider.models[0], None, None, ""
    try:
        _check_host(provider.base_url, allow_private)
        # Azure takes a bearer token for one of its own and refuses it.
        headers = {} if _bears(provider) else {"Authorization": openai.Omit()}
        listed = _list(client, headers)
        latency = _complete(client, provider, model, headers)
    except Exception as error:
        problem = _in_words(error)
    return Checked(provider.name, model, number, keys, listed, latency, problem)


def _client(provider: ProviderSettings, key: str, clocks: Clocks) -> openai.OpenAI:
    headers = dict(provider.headers) | ({} if _bears(provider) else {provider.key_header: key})
    timeout = openai.Timeout(clocks.first_content, connect=clocks.connect)
    client = openai.OpenAI(
        base_url=provider.base_url, api_key=key or "none", max_retries=0, default_headers=headers,
        default_query=dict(parse_qsl(urlsplit(provider.url).query)),
        http_client=openai.DefaultHttpxClient(timeout=timeout, follow_redirects=False),
    )  # fmt: skip
    client.organization = client.project = None  # the environment's are OpenAI's, whoever this provider is
    return client


def _bears(provider: ProviderSettings) -> bool:
    return provider.key_header == "Authorization"


def _check_host(base_url: str, allow_private: bool) -> None:
    parts = urlsplit(base_url)
    for *_, address in socket.getaddrinfo(parts.hostname, parts.port or parts.scheme, 0, socket.SOCK_STREAM):
        check_address(ip_address(address[0].partition("%")[0]), allow_private)


def _list(client: openai.OpenAI, headers: Headers) -> tuple[str, ...] | None:
    """Not every server has a list, and what matters is whether it answers."""
    try:
        return tuple(sorted(model.id for model in client.models.list(extra_headers=headers)))
    except (openai.NotFoundError, openai.BadRequestError):
        return None
    except openai.APIStatusError as error:
        if error.status_code in (405, 501):
            return None
        raise


def _complete(client: openai.OpenAI, provider: ProviderSettings, model: str, headers: Headers) -> int:
    """Milliseconds from the request to the whole answer, without the client's own."""
    tokens = TOKENS_REASONING if Provider(provider).reasons(model) else TOKENS
    response = client.chat.completions.with_raw_response.create(
        model=model, messages=[{"role": "user", "content": "Hi"}], extra_body={provider.tokens_parameter: tokens}, extra_headers=headers,
    )  # fmt: skip
    if not response.parse().choices:
        raise ValueError("no choices")
    return round(response.elapsed.total_seconds() * 1000)


def _in_words(error: Exception) -> str:
    if isinstance(error, openai.APIStatusError):
        failure = classify_response(error.status_code, error.response.headers, error.response.content)
    elif isinstance(error, openai.APITimeoutError):
        failure = Failure("timeout")
    elif isinstance(error, openai.APIConnectionError | socket.gaierror):
        failure = Failure("connect")
    elif isinstance(error, RefusedAddress):
        failure = Failure("refused_address")
    else:  # a page, a stream, JSON of another shape: whatever the client stumbled over
        failure = Failure("bad_response")
    status = f" (HTTP {failure.status})" if failure.status else ""
    return PROBLEMS.get(failure.kind, OTHERWISE) + status
