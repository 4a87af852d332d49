"""The live tail of a log: what a cursor before, in and after it gets."""

import gevent
import pytest

from services import sse
from services.events import ChatFailed, TokenArrived
from services.sse import BEGINNING, EventId
from services.streams.log import Bell, TurnLog

FAILED = ChatFailed(code="x", message="x", retryable=False, partial=False)


def log_of(count: int, **fields) -> TurnLog:
    turn = TurnLog("t", **fields)
    for number in range(1, count + 1):
        turn.append_token(f"{number}")
    return turn


def ids(frames):
    return [sse.parse(frame)[0] for frame in frames]


def of(attempt, *seqs):
    return [EventId(attempt, seq) for seq in seqs]


# ---- cursors

def test_from_the_beginning_everything_comes():
    assert ids(log_of(3).after(BEGINNING)) == of(1, 1, 2, 3)


@pytest.mark.parametrize("seq", [1, 2, 3, 4])
def test_from_within_exactly_the_rest_comes(seq):
    assert ids(log_of(4).after(EventId(1, seq))) == of(1, *range(seq + 1, 5))


def test_at_the_end_nothing_comes_yet():
    turn = log_of(2)
    assert turn.after(turn.end) == []
    turn.append(TokenArrived(content="3"))
    assert ids(turn.after(EventId(1, 2))) == of(1, 3)


def test_past_the_end_nothing_comes():
    assert log_of(2).after(EventId(1, 9)) == []
    assert log_of(2).after(EventId(2, 1)) == []


def test_before_the_tail_the_database_has_to_be_asked():
    turn = log_of(10)
    turn.mark_stored(8, keep=3)
    assert turn.first_seq == 6
    assert turn.after(BEGINNING) is None
    assert turn.after(EventId(1, 4)) is None
    assert ids(turn.after(EventId(1, 5))) == of(1, 6, 7, 8, 9, 10)


def test_a_cursor_of_an_earlier_attempt_is_before_the_tail():
    turn = TurnLog("t", 2)
    turn.append_token("again")
    assert turn.after(EventId(1, 999)) is None
    assert ids(turn.after(EventId(2, 0))) == of(2, 1)


# ---- storing

def test_what_is_not_stored_is_never_forgotten():
    turn = log_of(10)
    turn.mark_stored(0, keep=2)
    assert turn.first_seq == 1
    turn.mark_stored(4, keep=0)
    assert turn.first_seq == 5
    first, frames = turn.unstored()
    assert (first, ids(frames)) == (5, of(1, 5, 6, 7, 8, 9, 10))


def test_unstored_goes_on_where_the_last_store_ended():
    turn = log_of(3)
    assert turn.unstored()[0] == 1
    turn.mark_stored(3, keep=100)
    assert turn.unstored() == (4, [])
    turn.append_token("4")
    first, frames = turn.unstored()
    assert (first, ids(frames)) == (4, of(1, 4))


def test_a_long_run_keeps_a_short_tail():
    turn = TurnLog("t")
    for number in range(1, 2_001):
        turn.append_token("x")
        if number % 50 == 0:
            turn.mark_stored(number, keep=64)
    assert len(turn.after(EventId(1, turn.first_seq - 1))) == 64


# ---- the end

def test_the_last_frame_is_seen_only_once_it_is_stored():
    turn = log_of(1)
    frame = turn.next_frame(FAILED)
    assert turn.end == EventId(1, 1) and not turn.closed
    turn.close(frame)
    assert turn.closed
    assert ids(turn.after(EventId(1, 1))) == of(1, 2)
    assert turn.unstored() == (3, [])


def test_closing_without_a_frame_only_ends_the_readers():
    turn = log_of(1)
    turn.close(None)
    assert turn.closed and turn.end == EventId(1, 1)


# ---- mirrors

def segment(attempt, first, last, terminal=False):
    frames = [sse.token_frame(attempt, seq, "x") for seq in range(first, last + (not terminal))]
    return [*frames, sse.frame(attempt, last, FAILED)] if terminal else frames


def test_a_mirror_takes_segments_over_and_is_closed_by_the_last_frame():
    turn = TurnLog("t", 1, seq=5, mirror=True)
    turn.extend(1, 6, segment(1, 6, 7))
    turn.extend(1, 8, segment(1, 8, 9, terminal=True))
    assert ids(turn.after(EventId(1, 5))) == of(1, 6, 7, 8, 9)
    assert turn.closed


@pytest.mark.parametrize("first", [1, 4, 6])
def test_frames_a_mirror_has_already_are_not_taken_twice(first):
    turn = TurnLog("t", 1, seq=5, mirror=True)
    turn.extend(1, first, segment(1, first, 8))
    turn.extend(1, 7, segment(1, 7, 8))
    assert ids(turn.after(EventId(1, 5))) == of(1, 6, 7, 8)


def test_a_new_attempt_starts_a_mirror_again_and_the_old_one_is_not_listened_to():
    turn = TurnLog("t", 1, seq=5, mirror=True)
    turn.extend(1, 6, segment(1, 6, 7))
    turn.extend(2, 1, segment(2, 1, 2))
    turn.extend(1, 8, segment(1, 8, 9))
    assert turn.end == EventId(2, 2)
    assert turn.after(EventId(1, 6)) is None, "what is left of the first attempt is in the database"
    assert ids(turn.after(EventId(2, 0))) == of(2, 1, 2)


# ---- the bell

def test_everybody_who_waits_is_woken_once():
    bell = Bell()
    waiting = [gevent.spawn(bell.wait, 5) for _ in range(3)]
    gevent.sleep(0)
    bell.ring()
    assert [task.get(timeout=1) for task in waiting] == [True, True, True]
    assert not bell._waiting


def test_a_wait_without_a_ring_ends_in_time_and_leaves_nothing_behind():
    bell = Bell()
    assert bell.wait(0.01) is False
    assert not bell._waiting


def test_a_ring_while_nobody_waits_is_not_remembered():
    bell = Bell()
    bell.ring()
    assert bell.wait(0.01) is False


def test_a_waiter_that_is_killed_does_not_disturb_the_others():
    bell = Bell()
    one, other = gevent.spawn(bell.wait, 5), gevent.spawn(bell.wait, 5)
    gevent.sleep(0)
    one.kill()
    bell.ring()
    assert other.get(timeout=1) is True
