"""How much one user may ask, and one address where nobody is signed in.

Bursts are counted in moving windows (`services/rates.py`). What runs and what was spent is in the database, in the
same transaction as the turn: so it holds over all workers, and neither a restart nor a crash forgets it.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

from sqlalchemy import Connection

from services.errors import RateLimited
from services.rates import Rates, Standing, Window
from services.settings import Settings
from services.store import spending
from services.store.models import Turn
from services.store.spending import DAY_S, Spent

BUSY_S = 5.0        # when to ask again while others of one's answers are being written: nobody knows, soon
IPV6_PREFIX = 64    # what one household or host has

WORDS = {
    "turns_per_minute": "You have asked {allowed} questions within a minute.",
    "turns_per_day": "You have asked {allowed} questions today.",
    "concurrent_turns": "{allowed} of your answers are being written; wait for one of them.",
    "concurrent_readers": "You have {allowed} answers open at once; close one of them.",
    "tokens_per_day": "You have used the {allowed} tokens of today.",
    "cost_per_day": "You have used the ${allowed} of today.",
    "address_turns_per_minute": "{allowed} questions were asked from your network within a minute.",
    "address_turns_per_day": "{allowed} questions were asked from your network today.",
    "address_concurrent_turns": "{allowed} answers for your network are being written; wait for one of them.",
}


@dataclass(frozen=True)
class Budget:
    """A limit on what `Spent` says; `until` is `free` (something ends) or `tomorrow`."""

    name: str
    attribute: str
    until: str


BUDGETS = (Budget("concurrent_turns", "running", "free"), Budget("turns_per_day", "turns", "tomorrow"),
           Budget("tokens_per_day", "tokens", "tomorrow"), Budget("cost_per_day", "cost", "tomorrow"))
ADDRESS_BUDGETS = (Budget("address_concurrent_turns", "running", "free"), Budget("address_turns_per_day", "turns", "tomorrow"))


class Limits:
    """Admits turns and readers, or raises RateLimited saying which limit it is and when it ends."""

    def __init__(self, settings: Settings, rates: Rates) -> None:
        self._settings = settings
        self._rates = rates
        self._on = settings.rate_limits
        self._user = Window("turns_per_minute", settings.turns_per_minute, 60)
        self._address = Window("address_turns_per_minute", settings.address_turns_per_minute, 60)
        self._readers: Counter[str] = Counter()

    def admit(self, user_id: str, address: str | None) -> None:
        """Count a question about to be asked. `address` is None for somebody who is signed in. Before the transaction."""
        if not self._on:
            return
        keys = [(self._user, user_id)] + ([(self._address, network_of(address))] if address else [])
        for window, key in keys:
            standing = self._rates.hit(window, key)
            if standing is not None:
                raise self._refusal(window.name, standing.reset_s)

    def reserve(self, connection: Connection, asked: Sequence[tuple[Turn, str | None]]) -> list[RateLimited | None]:
        """Take each turn's share of its user's day, and of its address's, in the transaction that begins it.

        Returns the refusal of each that gets none.
        """
        if not self._on:
            return [None] * len(asked)
        shares = [(turn, network_of(address) if address else None) for turn, address in asked]
        spending.hold(connection, {key for turn, network in shares for key in (turn.user_id, network) if key is not None})
        ledger = _Ledger(connection, self._settings)
        refusals = [self._share(ledger, turn, network) for turn, network in shares]
        accepted = [share for share, refusal in zip(shares, refusals, strict=True) if refusal is None]
        spending.reserve(connection, accepted, self._settings.reserve_tokens, self._settings.reserve_cost)
        return refusals

    def _share(self, ledger: "_Ledger", turn: Turn, network: str | None) -> RateLimited | None:
        holders = [("user_id", turn.user_id, BUDGETS)] + ([("address", network, ADDRESS_BUDGETS)] if network is not None else [])
        try:
            for column, key, budgets in holders:
                self._check(budgets, ledger.of(column, key, turn))
        except RateLimited as refusal:
            return refusal
        for column, key, _ in holders:
            ledger.add(column, key)
        return None

    def settle(self, connection: Connection, ended: Iterable[tuple[str, Mapping[str, object]]]) -> None:
        """Put what turns used in place of what they reserved, in the transaction that ends them.

        Each is a turn's id and the columns of its answer. One that was cut before anybody counted keeps what it reserved.
        """
        if self._on:
            spending.settle(connection, [(turn_id, _usage(answer)) for turn_id, answer in ended])

    def check_readers(self, user_id: str) -> None:
        """Refuse one more open response of this user on this worker. Raises RateLimited."""
        if self._on and 0 < self._settings.concurrent_readers <= self._readers[user_id]:
            raise self._refusal("concurrent_readers", BUSY_S)

    def reading(self, user_id: str, frames: Iterator[bytes]) -> Iterator[bytes]:
        """The frames of a response, counted as this user's for as long as it is open."""
        self._readers[user_id] += 1
        try:
            yield from frames
        finally:
            self._readers[user_id] -= 1
            if not self._readers[user_id]:
                del self._readers[user_id]

    def headers(self, user_id: str) -> dict[str, str]:
        """RateLimit and RateLimit-Policy of an answer that was admitted; nothing while limits are off."""
        if not self._on or self._user.amount == 0:
            return {}
        return _headers(self._policies(), self._rates.standing(self._user, user_id))

    def _check(self, budgets: tuple[Budget, ...], spent: Spent) -> None:
        for budget in budgets:
            allowed, used = getattr(self._settings, budget.name), getattr(spent, budget.attribute)
            if allowed and used >= allowed:
                raise self._refusal(budget.name, BUSY_S if budget.until == "free" else _until_tomorrow())

    def _refusal(self, name: str, reset_s: float) -> RateLimited:
        allowed = getattr(self._settings, name)
        wait = max(1, round(reset_s + 0.5))
        shown = f"{allowed:,.2f}".removesuffix(".00") if isinstance(allowed, float) else f"{allowed:,}"
        error = RateLimited(f"{WORDS[name].format(allowed=shown)} The next one is possible {_in(wait)}.", retry_after=wait,
                            limit=name, allowed=allowed, retryAfter=wait,
                            resetAt=datetime.fromtimestamp(time.time() + wait, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"))
        window = Window(name, int(allowed), 0)
        error.headers = _headers(self._policies(name), Standing(window, 0, wait))
        return error

    def _policies(self, *also: str) -> list[str]:
        """What is limited by how many and in how many seconds, as RateLimit-Policy lists it."""
        names = dict.fromkeys(("turns_per_minute", "turns_per_day", *also))
        return [f'"{name}";q={int(getattr(self._settings, name))}{_span(name)}' for name in names if getattr(self._settings, name)]


class _Ledger:
    """What users and addresses have spent, with what one transaction has just added."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._reserved = settings.reserve_tokens, settings.reserve_cost
        self._spent: dict[tuple[str, str], Spent] = {}

    def of(self, column: str, key: str, turn: Turn) -> Spent:
        if (column, key) not in self._spent:
            self._spent[column, key] = spending.spent(self._connection, column, key, spending.day_of(turn.started_at))
        return self._spent[column, key]

    def add(self, column: str, key: str) -> None:
        self._spent[column, key] = self._spent[column, key].and_one(*self._reserved)


def _usage(answer: Mapping[str, object]) -> Mapping[str, object] | None:
    """What an answer has used; None where nobody counted what there is of it."""
    usage = answer.get("made", {}).get("usage") or {}
    uncounted = not usage.get("byAttempt") and (answer.get("content") or answer.get("reasoning"))
    return None if uncounted else usage


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, or the network an IPv6 address is in."""
    try:
        found = ip_address(address)
    except ValueError:
        return address[:45]
    return str(ip_network((found, IPV6_PREFIX), strict=False).network_address) if found.version == 6 else str(found)


def _headers(policies: list[str], standing: Standing) -> dict[str, str]:
    """https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/ (version 10)"""
    return {"RateLimit-Policy": ", ".join(policies),
            "RateLimit": f'"{standing.window.name}";r={standing.remaining};t={max(0, round(standing.reset_s))}'}


def _span(name: str) -> str:
    return ";w=60" if name.endswith("_per_minute") else f";w={DAY_S}" if name.endswith("_per_day") else ""


def _until_tomorrow() -> float:
    return DAY_S - time.time() % DAY_S


def _in(seconds: int) -> str:
    if seconds < 120:
        return f"in {seconds} second{'s' if seconds > 1 else ''}"
    if seconds < 7200:
        return f"in {round(seconds / 60)} minutes"
    return f"in {round(seconds / 3600)} hours"
