"""Cancelling interrupts marked waits, and nothing else, ever."""

import random

import gevent
import pytest
from gevent.event import Event

from services.cancellation import Cancellation, Cancelled


def test_a_marked_wait_is_interrupted_at_once():
    cancellation, reached = Cancellation(), []

    def work():
        try:
            with cancellation.interruptible():
                Event().wait()
            reached.append("after")
        except Cancelled as cancelled:
            reached.append(cancelled.reason)

    task = gevent.spawn(work)
    gevent.sleep(0)
    cancellation.cancel("stopped")
    task.join(timeout=1)
    assert reached == ["stopped"]


def test_an_unmarked_wait_goes_on_to_its_end():
    cancellation, reached = Cancellation(), []

    def work():
        gevent.sleep(0.05)  # say, a commit
        reached.append("committed")
        with pytest.raises(Cancelled):
            cancellation.check()
        reached.append("noticed")

    task = gevent.spawn(work)
    gevent.sleep(0)
    cancellation.cancel("stopped")
    task.get(timeout=1)
    assert reached == ["committed", "noticed"]


def test_a_wait_that_begins_after_the_cancellation_never_begins():
    cancellation = Cancellation()
    cancellation.cancel("deadline")
    with pytest.raises(Cancelled, match="deadline"):
        with cancellation.interruptible():
            pytest.fail("inside")


def test_the_first_reason_stays():
    cancellation = Cancellation()
    cancellation.cancel("stopped")
    cancellation.cancel("lost")
    assert cancellation.reason == "stopped"


def test_all_who_work_for_one_turn_are_reached():
    cancellation = Cancellation()

    def work():
        with cancellation.interruptible():
            Event().wait()

    tasks = [gevent.spawn(work) for _ in range(20)]
    gevent.sleep(0)
    cancellation.cancel("stopped")
    gevent.joinall(tasks, timeout=1)
    assert all(isinstance(task.exception, Cancelled) for task in tasks)


def test_no_except_exception_swallows_it():
    cancellation = Cancellation()

    def work():
        try:
            with cancellation.interruptible():
                Event().wait()
        except Exception:
            return "swallowed"

    task = gevent.spawn(work)
    gevent.sleep(0)
    cancellation.cancel("stopped")
    with pytest.raises(Cancelled):
        task.get(timeout=1)


def test_an_error_of_the_wait_itself_comes_out_as_it_is():
    cancellation = Cancellation()
    with pytest.raises(ConnectionResetError):
        with cancellation.interruptible():
            raise ConnectionResetError


@pytest.mark.parametrize("ends_first", ["the wait", "the cancellation"])
def test_when_both_happen_in_one_turn_of_the_loop_the_throw_lands_in_the_wait_or_nowhere(ends_first):
    cancellation, woken, trace = Cancellation(), Event(), []

    def work():
        try:
            with cancellation.interruptible():
                woken.wait()
        except Cancelled:
            trace.append("cancelled at the wait")
        gevent.sleep(0.01)  # unmarked: a late throw would land here
        trace.append("unmarked wait done")

    task = gevent.spawn(work)
    gevent.sleep(0)
    acts = [woken.set, lambda: cancellation.cancel("stopped")]
    for act in acts if ends_first == "the wait" else reversed(acts):
        act()
    task.get(timeout=1)
    assert trace == ["cancelled at the wait", "unmarked wait done"]


def test_however_the_moments_fall_a_throw_never_lands_outside_a_marked_wait():
    rng = random.Random(7)

    def work(cancellation, outcome):
        try:
            while True:
                outcome.append("unmarked")
                gevent.sleep(rng.random() * 0.002)  # a throw here would leave "unmarked" as the last word
                outcome.append("between")
                with cancellation.interruptible():
                    outcome.append("marked")
                    gevent.sleep(rng.random() * 0.002)
                    outcome.append("between")
        except Cancelled:
            pass

    runs = []
    for _ in range(300):
        cancellation, outcome = Cancellation(), []
        task = gevent.spawn(work, cancellation, outcome)
        gevent.spawn_later(rng.random() * 0.01, cancellation.cancel, "stopped")
        runs.append((task, outcome))
    gevent.joinall([task for task, _ in runs], timeout=5)
    assert all(task.dead for task, _ in runs)
    assert {outcome[-1] for _, outcome in runs} <= {"marked", "between"}


def test_nothing_is_left_behind_in_a_cancellation_that_lives_on():
    cancellation = Cancellation()
    for _ in range(3):
        with cancellation.interruptible():
            gevent.sleep(0)
    assert not cancellation._waiting
