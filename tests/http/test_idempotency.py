"""A retry with the same Idempotency-Key attaches to the run it started, and never starts a second one."""

import gevent
from gevent.event import Event as Gate

from tests.http.asking import STREAM, ask, error_of, frames_of, post
from tests.support.llm import ANSWER, began, finished, words
from tests.support.sse_client import text_of

KEY = {"Idempotency-Key": "7f3c-one"}


def test_a_retry_gets_the_run_it_started(client, llm):
    first = frames_of(post(client, headers=KEY))
    again = frames_of(post(client, headers=KEY))
    assert again == first
    assert len(llm.requests) == 1


def test_a_retry_attaches_to_a_run_that_is_still_going(client, llm):
    gate = Gate()
    llm.play(began(), *words("one two"), gate, *words(" three"), finished(3))
    first, again = post(client, headers=KEY), post(client, headers=KEY)
    gate.set()
    assert text_of(frames_of(again)) == text_of(frames_of(first)) == "one two three"
    assert len(llm.requests) == 1


def test_a_hundred_at_once_start_one_run(client, llm):
    asking = [gevent.spawn(lambda: frames_of(post(client.application.test_client(), headers=KEY, userId="ann"))) for _ in range(100)]
    answers = [task.get(timeout=30) for task in asking]
    assert len(llm.requests) == 1
    assert {text_of(frames) for frames in answers} == {ANSWER}
    assert len({frames[0].data["streamId"] for frames in answers}) == 1


def test_a_retry_without_a_cookie_attaches_too_for_the_cookie_may_be_what_got_lost(app, llm):
    first, again = app.test_client(), app.test_client()
    started = frames_of(post(first, headers=KEY))[0].data["streamId"]
    assert frames_of(post(again, headers=KEY))[0].data["streamId"] == started
    assert len(llm.requests) == 1
    assert again.get(f"/api/chat/streams/{started}").status_code == 200, "and it can go on following"


def test_a_stranger_whose_question_is_refused_is_not_known_afterwards(app):
    ask(app.test_client(), headers=KEY)
    stranger = app.test_client()
    response = stranger.post(STREAM, json={"message": "something else"}, headers=KEY)
    assert error_of(response) == (422, "unprocessable", "Idempotency-Key")
    assert stranger.get("/api/conversations").get_json() == {"conversations": []}


def test_the_key_of_another_question_is_refused(client, llm):
    ask(client, headers=KEY)
    for other in ({"message": "What is alpha?"}, {"message": "What is beta?", "assistantType": "trader"},
                  {"message": "What is beta?", "context": {"symbols": ["KO"]}}):
        assert error_of(client.post(STREAM, json=other, headers=KEY)) == (422, "unprocessable", "Idempotency-Key")
    assert len(llm.requests) == 1


def test_somebody_else_s_key_is_not_mine(client, llm):
    mine = ask(client, userId="ann", headers=KEY)
    theirs = ask(client.application.test_client(), userId="bob", headers=KEY)
    assert mine[0].data["streamId"] != theirs[0].data["streamId"]
    assert len(llm.requests) == 2


def test_another_key_is_another_run(client, llm):
    ask(client, headers=KEY)
    ask(client, headers={"Idempotency-Key": "7f3c-two"})
    assert len(llm.requests) == 2


def test_a_failed_run_is_not_run_again_by_its_key(client, llm):
    llm.play(began(), RuntimeError())
    assert ask(client, headers=KEY)[-1].event == "error"
    assert ask(client, headers=KEY)[-1].event == "error"
    assert len(llm.requests) == 1
