"""The common beat at which streams are read, and how long it is."""

import time

import gevent
import gevent.socket as gevent_socket
import pytest

from services.llm.pacing import LONGEST, LOOK_S, Beat, Seat, Tempo


class Thread:
    """An event loop's thread that uses a share of its core."""

    def __init__(self) -> None:
        self.now = self.spent = 100.0
        self.tempo = Tempo(0.04, lambda: self.now, lambda: self.spent)

    def goes_on(self, share: float, looks: int = 1) -> list[float]:
        """The intervals after each of `looks` while it uses `share`."""
        intervals = []
        for _ in range(looks):
            self.now += LOOK_S + 0.001
            self.spent += share * (LOOK_S + 0.001)
            self.tempo.look()
            intervals.append(self.tempo.interval)
        return intervals


def test_the_beat_is_lengthened_while_the_loop_is_busy_and_shortened_again():
    thread = Thread()
    assert thread.goes_on(0.7, looks=3) == [0.04] * 3
    assert thread.goes_on(0.95, looks=3) == pytest.approx([0.05, 0.06, 0.06])
    assert thread.goes_on(0.7, looks=3) == pytest.approx([0.06] * 3), "between the two marks it stays, or it would swing"
    assert thread.goes_on(0.3, looks=3) == pytest.approx([0.048, 0.04, 0.04])
    assert 0.04 * LONGEST == pytest.approx(0.06)


def test_it_is_not_judged_by_a_moment():
    thread = Thread()
    thread.now += LOOK_S / 2
    thread.spent += LOOK_S / 2
    assert not thread.tempo.look() and thread.tempo.interval == 0.04
    thread.now += LOOK_S / 2 + 0.001
    assert not thread.tempo.look() and thread.tempo.interval == 0.04, "half the time at work, half at rest"


def test_after_a_rest_it_is_as_short_as_at_first():
    thread = Thread()
    thread.goes_on(1.0, looks=5)
    thread.now += 1000
    thread.tempo.begin()
    assert thread.tempo.interval == 0.04 and not thread.tempo.look()


def test_a_beat_goes_on_when_its_interval_changes(monkeypatch):
    beat, woken = Beat(0.02), []
    monkeypatch.setattr(beat._tempo, "_cpu", time.monotonic)  # as if it were all at work
    here, there = gevent_socket.socketpair()
    seat = beat.join(there.fileno())
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        here.send(b"x")
        assert seat.wait(time.monotonic() + 5) and there.recv(100)
        woken.append(beat._tempo.interval)
    assert beat._tempo.interval == 0.02 * LONGEST
    assert len(woken) > 3, "it goes on after each change"
    seat.leave()


def test_a_beat_that_is_left_by_force_wakes_nobody_later():
    beat, woken = Beat(0.02), []
    pairs = [gevent_socket.socketpair() for _ in range(4)]
    seats = [beat.join(there.fileno()) for _, there in pairs]

    def wait(seat: Seat) -> None:
        woken.append(seat.wait(time.monotonic() + 5))

    def impatient(seat: Seat) -> None:
        with gevent.Timeout(0.005):
            seat.wait(time.monotonic() + 5)

    left = gevent.spawn(impatient, seats[0])
    patient = [gevent.spawn(wait, seat) for seat in seats[1:]]
    for here, _ in pairs:
        here.send(b"x")
    gevent.joinall([*patient, left])
    gevent.sleep(0.06)
    assert woken == [True] * 3 and isinstance(left.exception, gevent.Timeout)
    for seat in seats:
        seat.leave()
    gevent.sleep(0.06)
    assert beat._timer is None


def test_who_waits_at_the_beat_for_what_does_not_come_is_told():
    here, there = gevent_socket.socketpair()
    seat, began = Beat(0.02).join(there.fileno()), time.monotonic()
    assert seat.wait(began + 0.3) is False and 0.3 <= time.monotonic() - began < 1
    here.close()
    assert seat.wait(began + 5) is True, "its end can be read too"
    seat.leave()
