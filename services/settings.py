"""Every setting of the server, its default and its unit, in one typed place: defaults, then environment, then overrides.

What belongs to one service alone (providers, market sources) is read beside that service, from the same environment.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from services.errors import InvalidRequest

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Settings:
    """One field a setting; the environment variable has the field's name in capitals."""

    host: str = "127.0.0.1"
    port: int = 8000
    web_concurrency: int = 1                # worker processes
    worker_connections: int = 8000          # open connections of one worker
    instance_dir: Path = Path("instance")
    database_url: str = ""                  # empty: SQLite in the instance directory
    secret_key: str = ""                    # empty: made on the first run and kept in the instance directory
    auth: str = field(default="open", metadata={"choices": ("open", "password", "oidc")})  # who may ask; see docs/operations.md
    allow_open: bool = False                # serve a public address without accounts
    registration: bool = False              # anybody may make an account (AUTH=password)
    sign_in_d: float = 30.0                 # days a sign-in lasts without being used
    oidc_issuer: str = ""                   # such as https://id.example.org/realms/home
    oidc_client_id: str = ""
    oidc_client_secret: str = ""
    trusted_proxies: str = ""               # addresses or networks whose X-Forwarded-* count, such as 127.0.0.1
    trusted_hosts: str = ""                 # names it answers to; empty: any, but only loopback names without accounts

    stream_flush_ms: int = 40               # a stream writes at most this often, after its first token
    stream_heartbeat_s: float = 15.0        # silence before a comment goes out
    stream_retry_ms: int = 1500             # what `retry:` tells the browser
    stream_stall_s: float = 30.0            # a client that takes nothing for so long is dropped
    segment_interval_ms: int = 200          # group commit of live turns
    follow_interval_ms: int = 60            # how often turns of other workers are read while somebody follows them
    tail_frames: int = 64                   # frames a live log keeps in memory once they are stored
    redis_url: str = ""                     # shares what is counted, and the streams, between hosts
    log_retention_h: float = 24.0           # then a stream answers 410; the conversation stays

    heartbeat_s: float = 1.0                # of a worker, in the database
    worker_gone_s: float = 5.0              # without a heartbeat its turns are taken over
    takeover_max_age_s: float = 600.0       # an older turn ends with an error, its text kept
    max_attempts: int = 2                   # of one turn that came to nothing; a restart in order does not count
    turn_budget_s: float = 600.0            # a turn ends after this, whatever it does
    drain_s: float = 20.0                   # on shutdown, how long running turns may take to finish

    max_body_bytes: int = 1_000_000
    max_message_chars: int = 32_000
    max_symbols: int = 20
    body_timeout_s: float = 15.0            # for a request's whole body; its head has gunicorn's keepalive

    rate_limits: bool = True                # the limits below; 0 in one of them is no limit
    turns_per_minute: int = 30              # of one user
    turns_per_day: int = 1000               # days are UTC
    concurrent_turns: int = 8
    concurrent_readers: int = 100           # open responses of one user on one worker
    tokens_per_day: int = 3_000_000
    cost_per_day: float = 10.0              # US dollars, as far as prices are known
    address_turns_per_minute: int = 120     # of one address, over all who are not signed in there
    address_turns_per_day: int = 5000
    address_concurrent_turns: int = 60
    reserve_tokens: int = 4000              # what a turn holds of the day's tokens and cost until it has ended
    reserve_cost: float = 0.02

    stream_gzip: bool = False               # compress event streams; see docs/decisions.md
    log_format: str = field(default="text", metadata={"choices": ("text", "json")})
    conversation_retention_d: float = 0.0   # days without a change, then a conversation is deleted; 0 keeps it
    audit_retention_d: float = 180.0        # days the audit and what was spent are kept; 0 keeps them

    metrics_token: str = field(default="", repr=False)  # whoever has it may read /metrics; without one, only this machine

    environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **overrides: object) -> "Settings":
        """Settings from `environ` (default: the process's), then `overrides` by field name.

        Raises InvalidRequest naming the variable that cannot be read, and TypeError for an unknown override.
        """
        environ = _with_files(dict(os.environ if environ is None else environ))
        values: dict[str, object] = {"environ": environ}
        for setting in fields(cls):
            text = environ.get(setting.name.upper(), "")
            if text != "" and setting.name != "environ":
                values[setting.name] = _read(setting.name.upper(), text, type(setting.default), setting.metadata.get("choices"))
        return cls(**values | overrides)

    @property
    def database(self) -> str:
        """The SQLAlchemy URL, with the driver that is installed."""
        if not self.database_url:
            return f"sqlite:///{(self.instance_dir / 'tickertape.db').absolute()}"
        for scheme in ("postgresql://", "postgres://"):
            if self.database_url.startswith(scheme):
                return "postgresql+psycopg://" + self.database_url.removeprefix(scheme)
        return self.database_url

    def check_exposure(self) -> None:
        """Raise InvalidRequest for a public address without accounts: anybody could claim to be anybody there."""
        if self.auth == "open" and not self.allow_open and self.host not in LOOPBACK:
            raise InvalidRequest(f"refusing to serve {self.host} while anybody who reaches it is trusted; set AUTH=password "
                                 "or AUTH=oidc, or ALLOW_OPEN=1 if something else guards it", field="HOST")
        if self.auth == "oidc" and not (self.oidc_issuer and self.oidc_client_id):
            raise InvalidRequest("AUTH=oidc needs OIDC_ISSUER and OIDC_CLIENT_ID", field="AUTH")

    @property
    def hosts(self) -> tuple[str, ...] | None:
        """The names it answers to, without ports; None for any.

        Without accounts only this machine is trusted, so a name that merely resolves to it must not be answered:
        that is how a web page elsewhere would reach a server on loopback (DNS rebinding).
        """
        if self.trusted_hosts:
            return tuple(words(self.trusted_hosts.lower()))
        return (*LOOPBACK, "[::1]") if self.auth == "open" and not self.allow_open else None


def words(text: str) -> list[str]:
    """The items of a list separated by commas or spaces."""
    return text.replace(",", " ").split()


SECRETS = ("_KEY", "_SECRET", "_PASSWORD", "_TOKEN", "_URL")


def _with_files(environ: dict[str, str]) -> dict[str, str]:
    """`NAME_FILE` beside or instead of a secret `NAME`: its value is that file's content, as container hosts give it."""
    for name, path in list(environ.items()):
        secret = name.removesuffix("_FILE")
        if secret != name and secret.endswith(SECRETS) and not environ.get(secret):
            try:
                environ[secret] = Path(path).read_text().strip()
            except OSError as error:
                raise InvalidRequest(f"{name} cannot be read: {error.strerror}", field=name) from None
    return environ


def _boolean(text: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    return words[text.strip().lower()]


_READERS: dict[type, Callable[[str], object]] = {bool: _boolean, int: int, float: float, str: str.strip}


def _read(name: str, text: str, kind: type, choices: tuple[str, ...] | None) -> object:
    try:
        value = _READERS[kind](text) if kind in _READERS else Path(text)
    except (ValueError, KeyError):
        raise InvalidRequest(f"{name}={text!r} is not a {kind.__name__}", field=name) from None
    if choices is not None and value not in choices:
        raise InvalidRequest(f"{name} must be one of {', '.join(choices)}", field=name)
    if isinstance(value, (int, float)) and value < 0:
        raise InvalidRequest(f"{name} must not be negative", field=name)
    return value
