"""Accounts, sign-ins and tokens in the database. Functions of a session, for `Database.read` and `Database.write`."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from services.errors import Conflict, NotFound
from services.store.models import Account, ApiToken, Conversation, SignIn, Turn, User

SEEN_S = 300.0  # how exactly it is known when a sign-in or token was last used


@dataclass(frozen=True)
class Identity:
    """Who is asking, and by what: a browser that signed in, or a program's token. `used` is when that was last noted."""

    user_id: str
    name: str
    sign_in_id: str | None = None
    token_id: str | None = None
    act_for: bool = False
    used: float | None = None

    @property
    def is_stale(self) -> bool:
        return self.used is None or time.time() - self.used > SEEN_S


def add(session: Session, name: str, password: str | None, subject: str | None) -> Account:
    """A new account and its user. Raises Conflict."""
    if session.scalar(select(Account.user_id).where(Account.name == name)) is not None:
        raise Conflict("this name is taken", field="name")
    user = User(handle=f"account:{name}")
    session.add(user)
    session.flush()
    account = Account(user_id=user.id, name=name, password=password, subject=subject)
    session.add(account)
    return account


def named(session: Session, name: str) -> Account | None:
    return session.scalar(select(Account).where(Account.name == name))


def by_subject(session: Session, subject: str) -> Account | None:
    return session.scalar(select(Account).where(Account.subject == subject))


def existing(session: Session, name: str) -> Account:
    """Raises NotFound."""
    account = named(session, name)
    if account is None:
        raise NotFound(f"there is no account {name!r}")
    return account


def all_accounts(session: Session) -> Sequence[Account]:
    return session.scalars(select(Account).order_by(Account.name)).all()


def by_sign_in(session: Session, token: str, oldest: float) -> Identity | None:
    """Whom a cookie's hashed token signs in, unless it was not used since `oldest` or the account is disabled."""
    found = session.execute(
        select(SignIn, Account.name).join(Account, Account.user_id == SignIn.user_id)
        .where(SignIn.token == token, SignIn.seen_at > oldest, Account.disabled_at.is_(None))).first()
    return Identity(found.SignIn.user_id, found.name, sign_in_id=found.SignIn.id, used=found.SignIn.seen_at) if found else None


def by_token(session: Session, token: str) -> Identity | None:
    """Whose hashed API token it is, unless the account is disabled."""
    found = session.execute(
        select(ApiToken, Account.name).join(Account, Account.user_id == ApiToken.user_id)
        .where(ApiToken.token == token, Account.disabled_at.is_(None))).first()
    return Identity(found.ApiToken.user_id, found.name, token_id=found.ApiToken.id, act_for=found.ApiToken.act_for,
                    used=found.ApiToken.used_at) if found else None


def touch(session: Session, identity: Identity) -> None:
    """Note that a sign-in or token was used now."""
    if identity.sign_in_id is not None:
        session.execute(update(SignIn).where(SignIn.id == identity.sign_in_id).values(seen_at=time.time()))
    else:
        session.execute(update(ApiToken).where(ApiToken.id == identity.token_id).values(used_at=time.time()))


def sign_ins(session: Session, user_id: str) -> Sequence[SignIn]:
    return session.scalars(select(SignIn).where(SignIn.user_id == user_id).order_by(SignIn.seen_at.desc())).all()


def end_sign_ins(session: Session, user_id: str, *, only: str | None = None, but: str | None = None) -> int:
    """End all sign-ins of a user, or `only` one, or all `but` one. Returns how many."""
    ending = delete(SignIn).where(SignIn.user_id == user_id)
    if only is not None:
        ending = ending.where(SignIn.id == only)
    if but is not None:
        ending = ending.where(SignIn.id != but)
    return session.execute(ending).rowcount


def tokens(session: Session, user_id: str) -> Sequence[ApiToken]:
    return session.scalars(select(ApiToken).where(ApiToken.user_id == user_id).order_by(ApiToken.id)).all()


def revoke(session: Session, user_id: str, token_id: str) -> None:
    """Raises NotFound."""
    if session.execute(delete(ApiToken).where(ApiToken.user_id == user_id, ApiToken.id == token_id)).rowcount != 1:
        raise NotFound("no such token")


def conversations_of(session: Session, user_id: str) -> Sequence[str]:
    return session.scalars(select(Conversation.id).where(Conversation.user_id == user_id).order_by(Conversation.id)).all()


def erase(session: Session, user_id: str) -> list[str]:
    """Delete a user and, by cascade, all that is theirs. Returns the ids of turns that were running."""
    running = list(session.scalars(select(Turn.id).where(Turn.user_id == user_id, Turn.status == "running")))
    session.execute(delete(User).where(User.id == user_id))
    return running
