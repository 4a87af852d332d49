"""The settings of the LLM service: environment in, frozen values out. What cannot work is refused here, at the start."""

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.llm.address import RefusedAddress, check_url, is_local
from services.llm.prices import Price, PriceTable, read_prices

KNOWN = ("groq", "azure", "openai")
OFFLINE = "offline"


def spoken(provider: str) -> str:
    """A provider's name in a sentence for people."""
    return "the built-in desk" if provider == OFFLINE else provider


class SettingsError(ValueError):
    """A setting that cannot be used; the text names it and never holds a key."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """Seconds. First content counts from sending the request; models that reason before they speak get longer."""

    connect: float = 5.0
    headers: float = 20.0
    first_content: float = 20.0
    first_content_reasoning: float = 120.0
    between: float = 20.0
    turn: float = 300.0
    tail: float = 2.0  # what may follow the finish reason (usage, [DONE]) has this long; the answer is whole already


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """One OpenAI-compatible server. `url` is the whole address of its chat completions; `models` begins with the default."""

    name: str
    base_url: str
    url: str
    models: tuple[str, ...]
    keys: tuple[str, ...] = field(default=(), repr=False)
    key_header: str = "Authorization"
    window: int | None = None
    capabilities: frozenset[str] = frozenset()
    tokens_parameter: str = "max_tokens"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    api_version: str = ""


@dataclass(frozen=True, slots=True)
class LLMSettings:
    providers: tuple[ProviderSettings, ...] = ()
    clocks: Clocks = Clocks()
    read_interval: float = 0.04
    allow_private: bool = False
    switch_on_filter: bool = False
    offline: bool = True
    prices: PriceTable = PriceTable()
    skipped: tuple[str, ...] = ()  # names in the order whose key is missing


def load(environ: Mapping[str, str]) -> LLMSettings:
    """Read the settings. Raises SettingsError naming what is wrong."""
    allow_private = _flag(environ, "ALLOW_PRIVATE_PROVIDERS", False)
    file = _providers_file(environ)
    known = {name: build(environ, allow_private) for name, build in _BUILDERS.items()}
    prices = _prices("", file.get("prices", {}))
    for entry in file.get("provider", []):
        settings = _from_table(entry, environ, allow_private)
        if settings.name in (*KNOWN, OFFLINE) or settings.name in known:
            raise SettingsError(f"LLM_PROVIDERS_FILE: the name {settings.name!r} is taken")
        known[settings.name] = settings
        if "price" in entry:  # it holds for this provider only, whatever others charge for the same model
            prices |= _prices(f"{settings.name}: ", {f"{settings.name}:{model}": entry["price"] for model in settings.models})
    order = _order(environ, known)
    return LLMSettings(
        providers=tuple(known[name] for name in order if known[name] is not None),
        clocks=_clocks(environ),
        read_interval=_number(environ, "STREAM_FLUSH_MS", 40.0, least=0) / 1000,
        allow_private=allow_private,
        switch_on_filter=_flag(environ, "LLM_SWITCH_ON_CONTENT_FILTER", False),
        offline=_flag(environ, "LLM_OFFLINE", True),
        prices=PriceTable.shipped().with_(prices),
        skipped=tuple(name for name in order if known[name] is None),
    )


def _order(environ: Mapping[str, str], known: Iterable[str]) -> list[str]:
    names = _list(environ.get("LLM_PRIORITY", "")) or list(known)
    for name in names:
        if name not in known and name != OFFLINE:
            raise SettingsError(f"LLM_PRIORITY: {name!r} is unknown; known are {', '.join((*known, OFFLINE))}")
    return [name for name in dict.fromkeys(names) if name != OFFLINE]  # it is always last


def _groq(environ: Mapping[str, str], allow_private: bool) -> ProviderSettings | None:
    return _openai_like(environ, "groq", "GROQ", "https://api.groq.com/openai/v1", "llama-3.3-70b-versatile", allow_private)


def _openai(environ: Mapping[str, str], allow_private: bool) -> ProviderSettings | None:
    return _openai_like(environ, "openai", "OPENAI", "https://api.openai.com/v1", "gpt-4o-mini", allow_private)


def _openai_like(
    environ: Mapping[str, str], name: str, prefix: str, base_url: str, model: str, allow_private: bool
) -> ProviderSettings | None:
    keys = tuple(_list(environ.get(f"{prefix}_API_KEY", "")))
    base_url = _url(f"{prefix}_BASE_URL", environ.get(f"{prefix}_BASE_URL", "").strip() or base_url, allow_private)
    if not keys and not is_local(base_url):
        return None
    models = tuple(_list(environ.get(f"{prefix}_MODEL", ""))) or (model,)
    return ProviderSettings(
        name, base_url, f"{base_url}/chat/completions", models, _keys(name, keys), tokens_parameter="max_completion_tokens"
    )


def _azure(environ: Mapping[str, str], allow_private: bool) -> ProviderSettings | None:
    keys = tuple(_list(environ.get("AZURE_OPENAI_API_KEY", "")))
    endpoint, deployments = environ.get("AZURE_OPENAI_ENDPOINT", "").strip(), _list(environ.get("AZURE_OPENAI_DEPLOYMENT", ""))
    if not (endpoint and deployments and (keys or is_local(endpoint))):
        return None
    endpoint = _url("AZURE_OPENAI_ENDPOINT", endpoint, allow_private).removesuffix("/v1").removesuffix("/openai")
    version = environ.get("AZURE_OPENAI_API_VERSION", "").strip()
    dated = version not in ("", "v1", "preview", "latest")  # the v1 path knows no dates
    if dated:
        base_url, query = f"{endpoint}/openai/deployments/{deployments[0]}", f"?api-version={version}"
        deployments = deployments[:1]  # the address holds the deployment
    else:
        base_url, query = f"{endpoint}/openai/v1", f"?api-version={version}" if version == "preview" else ""
    return ProviderSettings(
        "azure", base_url, f"{base_url}/chat/completions{query}", tuple(deployments), _keys("azure", keys), key_header="api-key",
        tokens_parameter="max_completion_tokens", api_version=version if dated else "",
    )  # fmt: skip


_BUILDERS = {"groq": _groq, "azure": _azure, "openai": _openai}

_FIELDS = frozenset(
    "name base_url key key_env model models window capabilities price headers tokens_parameter".split()
)


def _providers_file(environ: Mapping[str, str]) -> dict:
    path = environ.get("LLM_PROVIDERS_FILE", "").strip()
    if not path:
        return {}
    try:
        file = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"LLM_PROVIDERS_FILE: cannot be read ({os.strerror(error.errno or 0)})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise SettingsError("LLM_PROVIDERS_FILE: this is no TOML") from None  # its text may hold keys
    for name in file.keys() - {"provider", "prices"}:
        raise SettingsError(f"LLM_PROVIDERS_FILE: unknown table {name!r}; known are [[provider]] and [prices]")
    if not isinstance(file.get("provider", []), list):
        raise SettingsError("LLM_PROVIDERS_FILE: a provider is written [[provider]]")
    return file


def _from_table(entry: Mapping[str, object], environ: Mapping[str, str], allow_private: bool) -> ProviderSettings:
    name = str(entry.get("name", "")).strip()
    if not name or not name.replace("-", "").replace("_", "").isalnum():
        raise SettingsError("LLM_PROVIDERS_FILE: each provider has a name of letters, digits, - and _")
    for unknown in sorted(entry.keys() - _FIELDS):
        raise SettingsError(f"LLM_PROVIDERS_FILE: {name}: unknown field {unknown!r}; known are {', '.join(sorted(_FIELDS))}")
    key = str(entry.get("key", "")) or environ.get(str(entry.get("key_env", "")), "")
    models = entry.get("models") or _list(str(entry.get("model", "")))
    if not isinstance(models, list) or not models or not all(isinstance(model, str) and model for model in models):
        raise SettingsError(f"LLM_PROVIDERS_FILE: {name}: it needs a model")
    window = entry.get("window")
    if window is not None and (not isinstance(window, int) or window < 256):
        raise SettingsError(f"LLM_PROVIDERS_FILE: {name}: the window is a number of tokens")
    base_url = _url(f"LLM_PROVIDERS_FILE: {name}: base_url", str(entry.get("base_url", "")), allow_private)
    return ProviderSettings(
        name,
        base_url,
        f"{base_url}/chat/completions",
        tuple(models),
        _keys(name, _list(key)),
        window=window,
        capabilities=frozenset(map(str, entry.get("capabilities", ()))),
        tokens_parameter=str(entry.get("tokens_parameter", "max_tokens")),
        headers={str(header): str(value) for header, value in dict(entry.get("headers", {})).items()},
    )


def _prices(whose: str, table: object) -> dict[str, Price]:
    try:
        return read_prices({"prices": table})
    except (ValueError, TypeError) as error:
        raise SettingsError(f"LLM_PROVIDERS_FILE: {whose}{error}") from None


def _clocks(environ: Mapping[str, str]) -> Clocks:
    default = Clocks()
    names = ("connect", "headers", "first_content", "first_content_reasoning", "between", "turn")
    return Clocks(**{name: _number(environ, f"LLM_TIMEOUT_{name.upper()}", getattr(default, name), least=0.001) for name in names})


def _url(setting: str, url: str, allow_private: bool) -> str:
    try:
        return check_url(url, allow_private)
    except RefusedAddress as error:
        raise SettingsError(f"{setting}: {error}") from None
    except ValueError:
        raise SettingsError(f"{setting}: this is no URL") from None


def _keys(name: str, keys: Iterable[str]) -> tuple[str, ...]:
    for key in keys:
        if not key.isascii() or not key.isprintable() or " " in key:
            raise SettingsError(f"{name}: a key has characters that no header can hold")
    return tuple(dict.fromkeys(keys))


def _list(text: str) -> list[str]:
    return [part for part in (piece.strip() for piece in text.split(",")) if part]


def _flag(environ: Mapping[str, str], name: str, default: bool) -> bool:
    value = environ.get(name, "").strip().lower()
    if value not in ("", "0", "1", "true", "false", "yes", "no", "on", "off"):
        raise SettingsError(f"{name}: 1 or 0")
    return default if not value else value in ("1", "true", "yes", "on")


def _number(environ: Mapping[str, str], name: str, default: float, least: float) -> float:
    value = environ.get(name, "").strip()
    try:
        number = float(value) if value else default
    except ValueError:
        raise SettingsError(f"{name}: a number is expected") from None
    if not least <= number < float("inf"):
        raise SettingsError(f"{name}: at least {least:g} is expected")
    return number
