"""Passwords, hashed with argon2 in two threads of their own: a hash takes 20 ms and 19 MiB, and none of it on the event loop."""

from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from gevent.threadpool import ThreadPool

from services.errors import InvalidRequest

SHORTEST, LONGEST = 8, 512
THREADS = 2     # bounds the memory that sign-ins can take, however many come at once

# OWASP's second choice of parameters: less memory than argon2-cffi's default, for simple hosts.
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


class Passwords:
    def __init__(self) -> None:
        self._pool = ThreadPool(THREADS)

    def hash(self, password: str) -> str:
        """Raises InvalidRequest for one that is too short or too long."""
        if not SHORTEST <= len(password) <= LONGEST:
            raise InvalidRequest(f"must have {SHORTEST} to {LONGEST} characters", field="password")
        return self._pool.apply(_hasher.hash, (password,))

    def fits(self, password: str, hashed: str | None) -> bool:
        """Whether it is the password. Takes as long where there is no account, so that nobody can tell."""
        right = self._pool.apply(_verify, (hashed, password[:LONGEST + 1]))
        return right and hashed is not None

    def close(self) -> None:
        self._pool.kill()


@cache
def _nobodys() -> str:
    return _hasher.hash("nobody has this password")


def _verify(hashed: str | None, password: str) -> bool:
    try:
        return _hasher.verify(hashed or _nobodys(), password)
    except (VerificationError, InvalidHashError):
        return False
