"""What many ask at the same moment is one transaction, and each gets its own answer."""

import time

import gevent
import pytest
from gevent.event import Event
from sqlalchemy.exc import IntegrityError, OperationalError

from services.store.together import BREATH_S, MOST, Together


class Book:
    """A transaction that notes what it was given; the first one waits to be let go."""

    def __init__(self) -> None:
        self.batches: list[list[object]] = []
        self.go = Event()
        self.together = Together(self._transaction, single=lambda item: item < 0)

    def _transaction(self, items: list[int]) -> list[object]:
        self.batches.append(list(items))
        self.go.wait()
        if 99 in items and len(items) > 1:
            raise IntegrityError("INSERT", {}, Exception("duplicate"))
        if 66 in items:
            raise OperationalError("COMMIT", {}, Exception("gone"))
        return [ValueError("odd") if item == 7 else item * 10 for item in items]

    def ask(self, *items: int) -> list[object]:
        """What each was told, all of them having come while a first one was being dealt with."""
        asking = [gevent.spawn(self._do, item) for item in (0, *items)]
        gevent.sleep(0)
        self.go.set()
        return [each.get(timeout=5) for each in asking[1:]]

    def _do(self, item: int) -> object:
        try:
            return self.together.do(item)
        except Exception as error:
            return error


@pytest.fixture
def book() -> Book:
    return Book()


def test_who_comes_meanwhile_is_in_the_next_one(book):
    assert book.ask(1, 2, 3) == [10, 20, 30]
    assert book.batches == [[0], [1, 2, 3]] or book.batches == [[0, 1, 2, 3]]
    assert book.together.do(4) == 40 and book.batches[-1] == [4]


def test_an_error_is_told_to_the_one_whose_it_is(book):
    one, odd, three = book.ask(1, 7, 3)
    assert (one, three) == (10, 30) and isinstance(odd, ValueError)


def test_what_ends_the_transaction_is_told_to_all_of_it_and_the_next_goes_on(book):
    told = book.ask(66, 2)
    assert all(isinstance(each, OperationalError) for each in told)
    assert book.together.do(2) == 20


def test_one_that_met_another_process_is_tried_again_by_itself(book):
    assert book.ask(1, 99, 3) == [10, 990, 30]
    assert book.batches[-3:] == [[1], [99], [3]]


def test_there_are_not_too_many_in_one_and_none_is_overtaken(book):
    numbers = list(range(100, 100 + 3 * MOST))
    assert book.ask(*numbers) == [number * 10 for number in numbers]
    assert max(map(len, book.batches)) == MOST
    assert [item for batch in book.batches for item in batch] == [0, *numbers]


def test_of_those_that_must_be_alone_there_is_one_in_each(book):
    assert book.ask(-1, 1, -2, 2, -3) == [-10, 10, -20, 20, -30]
    assert [sum(item < 0 for item in batch) for batch in book.batches if any(item < 0 for item in batch)] == [1, 1, 1]


def test_between_two_transactions_the_event_loop_gets_its_turn(book):
    """What the first one set off goes on before the second begins: here ten steps, each with one of the loop's own."""
    steps: list[int] = []

    def goes_on() -> None:
        book.together.do(1)
        for step in range(10):
            steps.append(step)
            gevent.sleep(0)

    gevent.spawn(goes_on)
    gevent.sleep(0)
    later = gevent.spawn(lambda: (book.together.do(2), len(steps))[1])
    gevent.sleep(0)
    book.go.set()
    assert later.get(timeout=5) == 10


def test_a_loop_that_is_never_idle_does_not_hold_up_who_waits(book):
    busy = gevent.spawn(lambda: [gevent.sleep(0) for _ in iter(int, 1)])
    try:
        assert book.ask(1, 2) == [10, 20]
        assert book.together.do(3) == 30
    finally:
        busy.kill()


def test_nor_does_it_those_that_must_be_alone(book):
    """Each of them is a transaction; were the wait the same after one as after many, there would be 20 a second."""
    busy = gevent.spawn(lambda: [gevent.sleep(0) for _ in iter(int, 1)])
    try:
        began = time.monotonic()
        assert len(book.ask(*range(-1, -41, -1))) == 40
        assert time.monotonic() - began < 40 * BREATH_S
    finally:
        busy.kill()
