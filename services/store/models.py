"""The tables. Ids sort by creation; times are seconds since 1970 in UTC."""

import itertools
import re
import secrets
import time

from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Index, Integer, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: sorts as it counts


_ID = re.compile(f"[{_ALPHABET}]{{26}}")
_made = itertools.count()  # a question and its answer are often made in one millisecond, and must still sort


def new_id() -> str:
    """26 characters: 48 bits of milliseconds, 22 of a count, 60 random ones, so that ids of one process sort by creation."""
    return _encoded((time.time_ns() // 1_000_000) << 82 | (next(_made) & 0x3FFFFF) << 60 | secrets.randbits(60))


def first_id(seconds: float) -> str:
    """The smallest id there can be of a time: what sorts before it is older."""
    return _encoded(int(seconds * 1000) << 82)


def _encoded(number: int) -> str:
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def is_id(text: str) -> bool:
    """Whether it can be an id at all. What cannot is not worth a query, and PostgreSQL refuses a NUL in one."""
    return _ID.fullmatch(text) is not None


class Base(DeclarativeBase):
    """Everything here; `metadata` is what migrations are compared with."""


class User(Base):
    """Whoever asks. `handle` is `anon:<id>` (cookie), `claimed:<userId>` (by trust) or `account:<name>`."""

    __tablename__ = "users"
    id: Mapped[str] = mapped_column(String(26), primary_key=True, default=new_id)
    handle: Mapped[str] = mapped_column(String(300), unique=True)
    created_at: Mapped[float] = mapped_column(Float, default=time.time)


class Conversation(Base):
    __tablename__ = "conversations"
    __table_args__ = (Index("ix_conversations_user_updated", "user_id", "updated_at"),)
    id: Mapped[str] = mapped_column(String(26), primary_key=True, default=new_id)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    title: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[float] = mapped_column(Float, default=time.time)
    updated_at: Mapped[float] = mapped_column(Float, default=time.time)


class Message(Base):
    """One node of a conversation's tree. An answer's `status` is streaming, complete, stopped or error."""

    __tablename__ = "messages"
    id: Mapped[str] = mapped_column(String(26), primary_key=True, default=new_id)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"), index=True)
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"), index=True)
    role: Mapped[str] = mapped_column(String(10))
    content: Mapped[str] = mapped_column(Text, default="")
    reasoning: Mapped[str] = mapped_column(Text, default="")
    status: Mapped[str] = mapped_column(String(10), default="complete")
    assistant_type: Mapped[str] = mapped_column(String(20))
    context: Mapped[dict] = mapped_column(JSON, default=dict)
    made: Mapped[dict] = mapped_column(JSON, default=dict)  # provider, model, usage, metrics, attempts, switches, error
    evidence: Mapped[dict | None] = mapped_column(JSON)
    workflow: Mapped[dict | None] = mapped_column(JSON)
    created_at: Mapped[float] = mapped_column(Float, default=time.time)


class Turn(Base):
    """One question being answered, and its log's name: `id` is the stream's id.

    `status` is running, completed, stopped or failed; it leaves running once, by compare-and-set with `attempt`.
    `crashes` counts the attempts that came to nothing, but not those of workers that left in order and handed them over.
    `retired_at` tells that the log has been deleted.
    """

    __tablename__ = "turns"
    __table_args__ = (
        UniqueConstraint("user_id", "idempotency_key"),
        Index("ix_turns_status_worker", "status", "worker_id"),
        Index("ix_turns_ended", "ended_at"),
    )
    id: Mapped[str] = mapped_column(String(26), primary_key=True, default=new_id)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"), index=True)
    user_message_id: Mapped[str] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"))
    message_id: Mapped[str] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"), index=True)
    trace_id: Mapped[str] = mapped_column(String(32))
    status: Mapped[str] = mapped_column(String(10), default="running")
    attempt: Mapped[int] = mapped_column(Integer, default=1)
    crashes: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    worker_id: Mapped[str] = mapped_column(String(26))
    stop_requested: Mapped[bool] = mapped_column(default=False)
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    fingerprint: Mapped[str | None] = mapped_column(String(64))
    question: Mapped[dict] = mapped_column(JSON)
    started_at: Mapped[float] = mapped_column(Float, default=time.time)
    ended_at: Mapped[float | None] = mapped_column(Float)
    retired_at: Mapped[float | None] = mapped_column(Float)


class Segment(Base):
    """The encoded frames of a turn from `seq_from` to `seq_to` of one attempt, as they go over the wire."""

    __tablename__ = "segments"
    turn_id: Mapped[str] = mapped_column(ForeignKey("turns.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True)
    seq_from: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    seq_to: Mapped[int] = mapped_column(BigInteger)
    frames: Mapped[bytes] = mapped_column(LargeBinary)


class WorkflowNode(Base):
    """A finished node of a turn's workflow: its checkpoint, which no later attempt computes or pays for again."""

    __tablename__ = "workflow_nodes"
    turn_id: Mapped[str] = mapped_column(ForeignKey("turns.id", ondelete="CASCADE"), primary_key=True)
    node: Mapped[str] = mapped_column(String(80), primary_key=True)
    result: Mapped[dict] = mapped_column(JSON)


class Worker(Base):
    """A server process that runs turns. Without a fresh `seen_at` its running turns are taken over."""

    __tablename__ = "workers"
    id: Mapped[str] = mapped_column(String(26), primary_key=True, default=new_id)
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int] = mapped_column(Integer)
    seen_at: Mapped[float] = mapped_column(Float)


class Spending(Base):
    """What one turn holds of its user's and its address's day, see `services/store/spending.py`. Survives the turn."""

    __tablename__ = "spending"
    __table_args__ = (Index("ix_spending_user_day", "user_id", "day"), Index("ix_spending_address_day", "address", "day"))
    turn_id: Mapped[str] = mapped_column(String(26), primary_key=True)
    user_id: Mapped[str] = mapped_column(String(26))
    address: Mapped[str | None] = mapped_column(String(45))
    day: Mapped[int] = mapped_column(Integer)
    tokens: Mapped[int] = mapped_column(BigInteger)
    cost: Mapped[float] = mapped_column(Float)
    settled: Mapped[bool] = mapped_column(default=False)


class Account(Base):
    """A user who signs in: by `name` and password, or as `subject` of an OpenID provider (`issuer|sub`)."""

    __tablename__ = "accounts"
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    password: Mapped[str | None] = mapped_column(String(255))
    subject: Mapped[str | None] = mapped_column(String(600), unique=True)
    created_at: Mapped[float] = mapped_column(Float, default=time.time)
    disabled_at: Mapped[float | None] = mapped_column(Float)


class SignIn(Base):
    """A browser that is signed in. The cookie holds a random token; here is its SHA-256."""

    __tablename__ = "sign_ins"
    id: Mapped[str] = mapped_column(String(26), primary_key=True, default=new_id)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    token: Mapped[str] = mapped_column(String(64), unique=True)
    agent: Mapped[str] = mapped_column(String(200))
    address: Mapped[str] = mapped_column(String(45))
    created_at: Mapped[float] = mapped_column(Float, default=time.time)
    seen_at: Mapped[float] = mapped_column(Float, default=time.time)


class ApiToken(Base):
    """A program that may ask as a user. Shown once; here is its SHA-256. `act_for`: it may name other users by userId."""

    __tablename__ = "api_tokens"
    id: Mapped[str] = mapped_column(String(26), primary_key=True, default=new_id)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    token: Mapped[str] = mapped_column(String(64), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    act_for: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[float] = mapped_column(Float, default=time.time)
    used_at: Mapped[float | None] = mapped_column(Float)


class Audited(Base):
    """Something somebody may have to account for later: a sign-in, a token's use, a deletion. Survives its user."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_user_at", "user_id", "at"),)
    id: Mapped[str] = mapped_column(String(26), primary_key=True, default=new_id)
    at: Mapped[float] = mapped_column(Float, default=time.time, index=True)
    kind: Mapped[str] = mapped_column(String(40))
    user_id: Mapped[str | None] = mapped_column(String(26))
    name: Mapped[str | None] = mapped_column(String(64))        # the account's, also where a sign-in failed
    address: Mapped[str | None] = mapped_column(String(45))
    about: Mapped[str | None] = mapped_column(String(200))      # a token's or conversation's id
