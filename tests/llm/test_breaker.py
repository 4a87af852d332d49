import math

from services.llm.breaker import CLOSED, HALF_OPEN, LEASE, OPEN, Breaker
from services.llm.failures import Failure

DOWN, LIMITED = Failure("server_error"), Failure("rate_limited")


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(3):
        breaker.failed(now, 0, DOWN)
    return breaker


def test_it_opens_after_three_failures_in_a_row():
    breaker = Breaker()
    breaker.failed(0, 0, DOWN)
    breaker.failed(0, 0, DOWN)
    assert breaker.state(0) == CLOSED and breaker.ready(0)
    breaker.failed(0, 0, DOWN)
    assert breaker.state(0) == OPEN and not breaker.ready(4.9)


def test_a_success_between_begins_the_count_anew():
    breaker = Breaker()
    for _ in range(2):
        breaker.failed(0, 0, DOWN)
    breaker.succeeded(0)
    breaker.failed(0, 0, DOWN)
    assert breaker.state(0) == CLOSED


def test_it_opens_when_half_of_the_last_ten_failed():
    breaker = Breaker()
    for _ in range(4):
        breaker.failed(0, 0, DOWN)
        breaker.succeeded(0)
    assert breaker.state(0) == CLOSED
    breaker.failed(0, 0, DOWN)
    assert breaker.state(0) == OPEN


def test_half_open_lets_one_probe_through():
    breaker = opened()
    assert breaker.state(5) == HALF_OPEN and breaker.ready(5)
    lease = breaker.take(5)
    assert lease and not breaker.ready(5) and not breaker.free(5)


def test_an_abandoned_probe_frees_itself():
    breaker = opened()
    first = breaker.take(5)
    assert breaker.ready(5 + LEASE)
    second = breaker.take(5 + LEASE)
    breaker.release(first)  # comes back late: it is not its lease any more
    assert not breaker.ready(5 + LEASE)
    breaker.release(second)
    assert breaker.ready(5 + LEASE)


def test_a_failed_probe_doubles_the_delay_up_to_twenty_seconds():
    breaker, now, delays = opened(), 5.0, []
    for _ in range(4):
        breaker.failed(now, breaker.take(now), DOWN)
        delays.append(breaker.until - now)
        now = breaker.until
    assert delays == [10, 20, 20, 20]


def test_a_probe_that_begins_to_answer_lets_the_others_in_on_probation():
    breaker = opened()
    lease = breaker.take(5)
    breaker.committed(lease)
    assert breaker.state(5) == CLOSED
    breaker.failed(5, 0, DOWN)
    assert breaker.state(5) == OPEN


def test_a_probe_that_answers_closes_it_for_good():
    breaker = opened()
    breaker.succeeded(breaker.take(5))
    breaker.failed(5, 0, DOWN)
    breaker.failed(5, 0, DOWN)
    assert breaker.state(5) == CLOSED


def test_failures_of_calls_from_before_do_not_lengthen_the_delay():
    breaker = opened()
    for _ in range(10):
        breaker.failed(1, 0, DOWN)
    assert breaker.until == 5


def test_a_rate_limit_opens_until_then():
    breaker = Breaker()
    breaker.failed(0, 0, Failure("rate_limited", retry_after=7.0))
    assert not breaker.ready(6.9) and breaker.ready(7)


def test_a_rate_limit_without_a_time_doubles_to_a_minute():
    breaker, now, delays = Breaker(), 0.0, []
    for _ in range(6):
        breaker.failed(now, breaker.take(now), LIMITED)
        delays.append(breaker.until - now)
        now = breaker.until
    assert delays == [5, 10, 20, 40, 60, 60]


def test_a_refused_key_stays_open_and_a_spent_quota_for_ten_minutes():
    refused, spent = Breaker(), Breaker()
    refused.failed(0, 0, Failure("auth"))
    spent.failed(0, 0, Failure("quota"))
    assert refused.until == math.inf and not refused.free(1e9)
    assert spent.until == 600


def test_what_is_the_users_own_fault_counts_for_nothing():
    breaker = Breaker()
    for kind in ("invalid", "context_length", "content_filter", "unsupported", "conflict", "deadline") * 5:
        breaker.failed(0, 0, Failure(kind))
    assert breaker.state(0) == CLOSED
