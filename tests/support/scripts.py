"""Scripts for the provider at the socket that the tests of whole servers share."""

import time
from collections.abc import Callable, Iterator

from tests.support.fake_provider import DONE, END, STALL, Received, Script, Step, chunk, events, ok, stop, usage


class Pace:
    """Seconds between tokens that a test may change while they come: slow until it has seen what it waits for, then quick."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


def paced(count: int, interval: float | Pace, text: Callable[[int], str] = "word{} ".format) -> Callable[[Received], Script]:
    """A healthy answer of `count` tokens, one every `interval` seconds; `text(n)` is written as it is sent."""
    def script(request: Received) -> Iterator[Step]:
        yield ok()
        for number in range(count):
            yield events(chunk(text(number)))
            yield interval.seconds if isinstance(interval, Pace) else interval
        yield events(stop(), usage(completion=count)) + DONE + END
    return script


def sent_at(number: int) -> str:
    """A token that is the moment it was sent (time.monotonic, in ms)."""
    return f"{time.monotonic() * 1000:.1f} "


def silent(request: Received) -> Iterator[Step]:
    """The head of an answer, and nothing more until the client leaves."""
    yield ok()
    yield STALL
