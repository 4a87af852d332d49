"""Accounts: made, signed in, signed out, given tokens, exported and deleted."""

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

import orjson
from itsdangerous import BadSignature, URLSafeSerializer

from services.accounts.audit import Audit
from services.accounts.passwords import Passwords
from services.accounts.throttle import Throttle
from services.errors import InvalidRequest, NotFound, Unauthenticated
from services.store import accounts as store
from services.store.accounts import Identity
from services.history import iso
from services.store.database import Database
from services.store.models import Account, ApiToken, SignIn

DAY_S = 86_400
TOKEN_PREFIX = "tt_"    # so that scanners for leaked secrets can know one
MOST_TOKENS = 50
_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}", re.ASCII)
WRONG = "the name or the password is wrong"


class Accounts:
    """Every method that takes a `user_id` acts for that user only."""

    def __init__(self, database: Database, throttle: Throttle, audit: Audit, *, secret: str, sign_in_d: float) -> None:
        self._database = database
        self._throttle = throttle
        self._audit = audit
        self._passwords = Passwords()
        self._devices = URLSafeSerializer(secret, salt="device")
        self._sign_in_s = sign_in_d * DAY_S

    def close(self) -> None:
        self._passwords.close()

    # ---- making and managing

    def add(self, name: str, password: str | None, *, subject: str | None = None, address: str | None = None) -> Account:
        """A new account. Raises InvalidRequest and Conflict."""
        name = _name(name)
        hashed = self._passwords.hash(password) if password is not None else None
        account = self._database.write(lambda session: store.add(session, name, hashed, subject))
        self._audit.record("account_made", user_id=account.user_id, name=name, address=address)
        return account

    def register(self, name: str, password: str, address: str) -> Account:
        """A stranger makes an account. Raises RateLimited as well."""
        self._throttle.register(address)
        return self.add(name, password, address=address)

    def all(self) -> list[Account]:
        return list(self._database.read(store.all_accounts))

    def set_password(self, name: str, password: str) -> None:
        """The keeper of the server sets it; every browser has to sign in again."""
        self._change(name, password=self._passwords.hash(password))
        self._audit.record("password_set", name=_name(name))

    def disable(self, name: str, disabled: bool = True) -> None:
        """Nobody signs in, and no token works, until it is enabled again."""
        self._change(name, disabled_at=time.time() if disabled else None)
        self._audit.record("account_disabled" if disabled else "account_enabled", name=_name(name))

    def _change(self, name: str, **values: object) -> None:
        def work(session) -> None:
            account = store.existing(session, _name(name))
            for attribute, value in values.items():
                setattr(account, attribute, value)
            store.end_sign_ins(session, account.user_id)
        self._database.write(work)

    # ---- signing in

    def sign_in(self, name: str, password: str, *, address: str, agent: str, device: str = "") -> tuple[str, str]:
        """The cookies of a browser that knows the password: its sign-in's token, and its device.

        Raises RateLimited, and Unauthenticated without telling whether there is such an account.
        """
        name = name.strip().lower()
        known = self._device_of(device, name)
        self._throttle.try_password(name, address, known)
        account = self._database.read(lambda session: store.named(session, name))
        if not self._passwords.fits(password, account.password if account else None) or account.disabled_at is not None:
            self._audit.record("sign_in_refused", user_id=account.user_id if account else None,
                               name=name if account else None, address=address)
            raise Unauthenticated(WRONG)
        self._throttle.succeeded(name, address, known)
        return self._signed_in(account, address, agent), device if known else self._devices.dumps([name, secrets.token_hex(8)])

    def sign_in_subject(self, issuer: str, claims: Mapping[str, object], *, address: str, agent: str) -> str:
        """The cookie of a browser an OpenID provider vouches for; the first time makes the account."""
        subject = f"{issuer.rstrip('/')}|{claims['sub']}"
        account = self._database.read(lambda session: store.by_subject(session, subject))
        if account is None:
            account = self._add_subject(subject, claims, address)
        if account.disabled_at is not None:
            raise Unauthenticated("this account is disabled")
        return self._signed_in(account, address, agent)

    def _add_subject(self, subject: str, claims: Mapping[str, object], address: str) -> Account:
        wanted = str(claims.get("preferred_username") or claims.get("email") or claims["sub"]).lower()
        base = re.sub(r"[^a-z0-9._@+-]", "-", wanted)[:50].lstrip("._@+-") or "user"
        for name in (base, *(f"{base}-{secrets.token_hex(3)}" for _ in range(3))):
            taken = self._database.read(lambda session, name=name: store.named(session, name))
            if taken is None:
                return self.add(name, None, subject=subject, address=address)
        raise InvalidRequest("no free name was found for this account")

    def _signed_in(self, account: Account, address: str, agent: str) -> str:
        token = secrets.token_urlsafe(32)
        sign_in = SignIn(user_id=account.user_id, token=_hash(token), agent=agent[:200], address=address[:45])
        self._database.write(lambda session: session.add(sign_in))
        self._audit.record("signed_in", user_id=account.user_id, name=account.name, address=address, about=sign_in.id)
        return token

    def _device_of(self, cookie: str, name: str) -> str | None:
        try:
            owner, device = self._devices.loads(cookie)
        except (BadSignature, ValueError, TypeError):
            return None
        return device if owner == name else None

    # ---- who is asking

    def by_sign_in(self, token: str) -> Identity | None:
        oldest = time.time() - self._sign_in_s
        return self._noted(lambda session: store.by_sign_in(session, _hash(token), oldest), None)

    def by_token(self, token: str, address: str | None) -> Identity | None:
        return self._noted(lambda session: store.by_token(session, _hash(token)), address)

    def _noted(self, find: Callable, address: str | None) -> Identity | None:
        identity = self._database.read(find)
        if identity is not None and identity.is_stale:
            self._database.write(lambda session: store.touch(session, identity))
            if identity.token_id is not None:
                self._audit.record("token_used", user_id=identity.user_id, address=address, about=identity.token_id)
        return identity

    # ---- what one has

    def sign_ins(self, identity: Identity) -> list[dict[str, object]]:
        """Browsers that are signed in, the one used last first."""
        found = self._database.read(lambda session: store.sign_ins(session, identity.user_id))
        return [{"id": each.id, "agent": each.agent, "address": each.address, "createdAt": iso(each.created_at),
                 "seenAt": iso(each.seen_at), "current": each.id == identity.sign_in_id} for each in found]

    def end_sign_in(self, user_id: str, sign_in_id: str) -> None:
        """Raises NotFound."""
        if not self._database.write(lambda session: store.end_sign_ins(session, user_id, only=sign_in_id)):
            raise NotFound("no such sign-in")
        self._audit.record("signed_out", user_id=user_id, about=sign_in_id)

    def end_other_sign_ins(self, identity: Identity) -> None:
        self._database.write(lambda session: store.end_sign_ins(session, identity.user_id, but=identity.sign_in_id or ""))
        self._audit.record("others_signed_out", user_id=identity.user_id)

    def tokens(self, user_id: str) -> list[dict[str, object]]:
        found = self._database.read(lambda session: store.tokens(session, user_id))
        return [{"id": each.id, "name": each.name, "actFor": each.act_for, "createdAt": iso(each.created_at),
                 "usedAt": iso(each.used_at) if each.used_at else None} for each in found]

    def make_token(self, user_id: str, name: str, *, act_for: bool = False) -> str:
        """A new API token; nobody can show it again."""
        name = " ".join(name.split())
        if not 0 < len(name) <= 100 or not name.isprintable():
            raise InvalidRequest("must have 1 to 100 printable characters", field="name")
        if len(self.tokens(user_id)) >= MOST_TOKENS:
            raise InvalidRequest(f"there are {MOST_TOKENS} already; revoke one first", field="name")
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        made = ApiToken(user_id=user_id, token=_hash(token), name=name, act_for=act_for)
        self._database.write(lambda session: session.add(made))
        self._audit.record("token_made", user_id=user_id, about=made.id)
        return token

    def make_token_for(self, name: str, label: str, *, act_for: bool) -> str:
        """The keeper of the server makes it, who alone may let it act for others."""
        account = self._database.read(lambda session: store.existing(session, _name(name)))
        return self.make_token(account.user_id, label, act_for=act_for)

    def revoke_token(self, user_id: str, token_id: str) -> None:
        """Raises NotFound."""
        self._database.write(lambda session: store.revoke(session, user_id, token_id))
        self._audit.record("token_revoked", user_id=user_id, about=token_id)

    def change_password(self, identity: Identity, old: str, new: str, address: str) -> None:
        """Raises Unauthenticated for a wrong old password. Every other browser has to sign in again."""
        self._confirm(identity, old, address)
        hashed = self._passwords.hash(new)

        def work(session) -> None:
            store.existing(session, identity.name).password = hashed
            store.end_sign_ins(session, identity.user_id, but=identity.sign_in_id or "")
        self._database.write(work)
        self._audit.record("password_changed", user_id=identity.user_id, address=address)

    def delete(self, identity: Identity, password: str, address: str) -> list[str]:
        """Delete the account and all that is its; returns the ids of turns that were running.

        Raises Unauthenticated for a wrong password; an account that has none needs none.
        """
        self._confirm(identity, password, address)
        return self._erase(identity.user_id, identity.name, address)

    def delete_named(self, name: str) -> list[str]:
        account = self._database.read(lambda session: store.existing(session, _name(name)))
        return self._erase(account.user_id, account.name, None)

    def _erase(self, user_id: str, name: str, address: str | None) -> list[str]:
        running = self._database.write(lambda session: store.erase(session, user_id))
        self._audit.record("account_deleted", user_id=user_id, name=name, address=address)
        return running

    def _confirm(self, identity: Identity, password: str, address: str) -> None:
        account = self._database.read(lambda session: store.existing(session, identity.name))
        if account.password is None:
            return
        self._throttle.try_password(identity.name, address, identity.sign_in_id or identity.token_id)
        if not self._passwords.fits(password, account.password):
            raise Unauthenticated("the password is wrong", field="password")
        self._throttle.succeeded(identity.name, address, identity.sign_in_id or identity.token_id)

    def export(self, identity: Identity, tree: Callable[[str, str], Mapping[str, object]]) -> Iterator[bytes]:
        """Everything one has, as one JSON object, a conversation at a time. `tree(user_id, conversation_id)` gives one."""
        ids = self._database.read(lambda session: store.conversations_of(session, identity.user_id))
        head = {"name": identity.name, "exportedAt": datetime.now(UTC).isoformat(timespec="seconds"), "signIns": self.sign_ins(identity),
                "tokens": self.tokens(identity.user_id), "audit": self._audit.of(identity.user_id)}
        yield orjson.dumps(head)[:-1] + b',"conversations":['
        separator = b""
        for conversation_id in ids:
            try:
                yield separator + orjson.dumps(tree(identity.user_id, conversation_id))
            except NotFound:  # deleted meanwhile
                continue
            separator = b",\n"
        yield b"]}\n"


def _name(name: str) -> str:
    name = name.strip().lower()
    if not _NAME.fullmatch(name):
        raise InvalidRequest("must have 1 to 64 of the characters a-z 0-9 . _ @ + - and begin with a letter or digit", field="name")
    return name


def _hash(token: str) -> str:
    # A token has 256 random bits: nothing to guess, so a plain hash does, and it can be looked up.
    return hashlib.sha256(token.encode()).hexdigest()
