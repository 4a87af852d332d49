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
    allow_open: bool = False                # serve a public address without accounts

    stream_flush_ms: int = 40               # a stream writes at most this often, after its first token
    stream_heartbeat_s: float = 15.0        # silence before a comment goes out
    stream_retry_ms: int = 1500             # what `retry:` tells the browser
    stream_stall_s: float = 30.0            # a client that takes nothing for so long is dropped
    segment_interval_ms: int = 250          # group commit of live turns
    follow_interval_ms: int = 60            # how often turns of other workers are read while somebody follows them
    tail_frames: int = 64                   # frames a live log keeps in memory once they are stored
    redis_url: str = ""                     # shares what is counted, and the streams, between hosts
    log_retention_h: float = 24.0           # then a stream answers 410; the conversation stays

    heartbeat_s: float = 1.0                # of a worker, in the database
    worker_gone_s: float = 5.0              # without a heartbeat its turns are taken over
    takeover_max_age_s: float = 600.0       # an older turn ends with an error, its text kept
    max_attempts: int = 2                   # of one turn, over all workers
    turn_budget_s: float = 600.0            # a turn ends after this, whatever it does
    drain_s: float = 20.0                   # on shutdown, how long running turns may take to finish

    max_body_bytes: int = 1_000_000
    max_message_chars: int = 32_000
    max_symbols: int = 20

    metrics_token: str = field(default="", repr=False)  # whoever has it may read /metrics; without one, only this machine

    environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **overrides: object) -> "Settings":
        """Settings from `environ` (default: the process's), then `overrides` by field name.

        Raises InvalidRequest naming the variable that cannot be read, and TypeError for an unknown override.
        """
        environ = dict(os.environ if environ is None else environ)
        values: dict[str, object] = {"environ": environ}
        for setting in fields(cls):
            text = environ.get(setting.name.upper(), "")
            if text != "" and setting.name != "environ":
                values[setting.name] = _read(setting.name.upper(), text, type(setting.default))
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
        if not self.allow_open and self.host not in LOOPBACK:
            raise InvalidRequest(f"refusing to serve {self.host} while anybody who reaches it is trusted; "
                                 "set ALLOW_OPEN=1 if something else guards it", field="HOST")


def _boolean(text: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    return words[text.strip().lower()]


_READERS: dict[type, Callable[[str], object]] = {bool: _boolean, int: int, float: float, str: str.strip}


def _read(name: str, text: str, kind: type) -> object:
    try:
        value = _READERS[kind](text) if kind in _READERS else Path(text)
    except (ValueError, KeyError):
        raise InvalidRequest(f"{name}={text!r} is not a {kind.__name__}", field=name) from None
    if isinstance(value, (int, float)) and value < 0:
        raise InvalidRequest(f"{name} must not be negative", field=name)
    return value
