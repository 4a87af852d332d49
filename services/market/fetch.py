"""The door to the outside: one GET over requests that ends within its time, whatever the server does."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import gevent
import orjson
import requests
from urllib3.exceptions import HTTPError, ReadTimeoutError

from services.market.failures import Blocked, Malformed, NoData, SourceLimited, TimedOut, Unreachable

T = TypeVar("T")
MAX_BYTES = 16 * 1024 * 1024
CHUNK = 64 * 1024
USER_AGENT = "Tickertape"

# At DEBUG it writes whole addresses, and some sources take their key in the address.
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)


@dataclass(frozen=True)
class Answer:
    """A whole body with status 200."""

    body: bytes
    kind: str

    def json(self) -> dict | list:
        """The body as JSON. Malformed when it is not, as HTML with status 200 is not."""
        if self.body.lstrip()[:1] not in (b"{", b"["):
            raise Malformed("It answered with a page or text where data was expected.")
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            raise Malformed("Its answer was cut short or is not JSON.") from None


def get(
    url: str,
    params: Mapping[str, str],
    *,
    limit: float,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """The answer to one GET, whole, within `limit` seconds; a SourceFailure otherwise.

    The limit covers names, connection, headers and body together. requests' own timeouts begin anew with each byte;
    so the greenlet carries the deadline, and between reads the clock is asked as well (all that holds without gevent).
    """
    deadline = time.monotonic() + limit
    timeout = gevent.Timeout(limit)
    try:
        with timeout, requests.Session() as session, session.get(
            url,
            params=params,
            headers={"User-Agent": USER_AGENT, "Accept": "application/json"} | dict(headers or {}),
            timeout=limit,
            stream=True,
            allow_redirects=False,  # a redirect leads to a consent page or another host: neither has our data
        ) as response:
            _check_status(response)
            return Answer(_read(response, deadline, limit), response.headers.get("Content-Type", ""))
    except gevent.Timeout as fired:
        if fired is not timeout:
            raise
        raise TimedOut(f"It did not answer within {limit:g} s.") from None
    except (requests.Timeout, ReadTimeoutError):
        raise TimedOut(f"It did not answer within {limit:g} s.") from None
    except HTTPError:  # what a read of the raw body raises: cut, or not encoded as it says
        raise Malformed("Its answer was cut short.") from None
    except (requests.RequestException, OSError):
        raise Unreachable("It could not be reached.") from None


def off_loop(work: Callable[..., T], *args: object) -> T:
    """Run work that computes in the hub's thread pool, so that other greenlets go on. Not to be nested."""
    value, error = gevent.get_hub().threadpool.apply(_outcome, (work, args))
    if error is not None:
        raise error
    return value


def _outcome(work: Callable[..., T], args: tuple[object, ...]) -> tuple[T | None, Exception | None]:
    # An exception that leaves a pool thread is printed with its traceback, and a source without data is no such news.
    try:
        return work(*args), None
    except Exception as error:
        return None, error


def _check_status(response: requests.Response) -> None:
    status = response.status_code
    if status == 200:
        return
    if status == 429:
        raise SourceLimited("Its quota is used up for now.", rest=_retry_after(response))
    if status in (401, 403, 451) or 300 <= status < 400:
        raise Blocked("It refused the request.")
    if status in (400, 404, 422):
        raise NoData("It has no such symbol or dates.")
    raise Unreachable(f"It answered with an error ({status}).")


def _retry_after(response: requests.Response) -> float:
    value = response.headers.get("Retry-After", "")
    return min(3600.0, float(value)) if value.isdigit() else SourceLimited.rest


def _read(response: requests.Response, deadline: float, limit: float) -> bytes:
    body = bytearray()
    # iter_content waits for a whole chunk; read1 returns what one read of the socket gave, so the clock is asked each time.
    while chunk := response.raw.read1(CHUNK, decode_content=True):
        body += chunk
        if time.monotonic() > deadline:
            raise TimedOut(f"It did not finish within {limit:g} s.")
        if len(body) > MAX_BYTES:
            raise Malformed("Its answer is larger than any answer of its kind.")
    expected = response.headers.get("Content-Length", "")
    if expected.isdigit() and "Content-Encoding" not in response.headers and len(body) < int(expected):
        raise Malformed("Its answer was cut short.")
    return bytes(body)
