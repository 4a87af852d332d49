"""Turns of workers that are gone are taken over once, and only theirs."""

import time

import gevent
import pytest
from gevent.event import Event as Gate
from sqlalchemy import delete, select, update

from services.answer import Answer
from services.errors import Unavailable
from services.store import turns
from services.store.models import Message, Turn, User, Worker, new_id
from services.store.users import Users
from tests.http.asking import ask, frames_of, post
from tests.support.fixtures import services_of, until_stored
from tests.support.llm import ANSWER, began, finished, words
from tests.support.sse_client import text_of


def make_old(app, seconds: float) -> None:
    services = services_of(app)
    services.database.write(lambda session: session.execute(
        update(Worker).where(Worker.id == services.chat._worker.id).values(seen_at=time.time() - seconds)))


def adopt(app) -> None:
    """A sweep of a worker that has been there for long enough to judge who is gone."""
    housekeeping = services_of(app).housekeeping
    housekeeping._judging_since, housekeeping._swept_at = float("-inf"), time.time()
    housekeeping.adopt()


def turn_of(app, stream_id: str) -> Turn:
    return services_of(app).database.read(lambda session: session.get(Turn, stream_id))


def orphaned(app, client, llm) -> str:
    """A turn of `app` that has written two tokens; its worker then falls silent without ending it."""
    llm.play(began(), *words("one two"), Gate())
    stream_id = post(client, userId="ann").headers["Location"].rsplit("/", 1)[1]
    until_stored(app, stream_id, 3)
    gevent.killall(services_of(app).loops)
    make_old(app, 60)
    return stream_id


def test_a_turn_of_a_silent_worker_is_taken_over_by_another_and_finished(app, client, make_app, llm):
    stream_id = orphaned(app, client, llm)
    other = make_app()
    adopt(other)
    frames = frames_of(other.test_client().get(f"/api/chat/streams/{stream_id}", headers={"X-User-Id": "ann"}))
    assert [frame.id[0] for frame in frames] == [1] * 3 + [2] * (len(frames) - 3)
    assert text_of(frames) == ANSWER
    turn = turn_of(other, stream_id)
    assert (turn.status, turn.attempt) == ("completed", 2)


def test_what_was_written_stays_when_the_next_attempt_writes_nothing(app, client, make_app, llm):
    stream_id = orphaned(app, client, llm)
    other = make_app()
    llm.play(Unavailable("Nobody could answer."))
    adopt(other)
    asking = other.test_client()
    frames = frames_of(asking.get(f"/api/chat/streams/{stream_id}", headers={"X-User-Id": "ann"}))
    assert (frames[-1].event, frames[-1].data["partial"], text_of(frames)) == ("error", True, "one two")
    conversation = asking.get(f"/api/conversations/{turn_of(other, stream_id).conversation_id}", headers={"X-User-Id": "ann"}).json
    assert conversation["messages"][-1]["content"] == "one two"


def go_on(app, llm) -> None:
    """Take a turn over, and write two more tokens of it."""
    llm.play(began(), *words("three four"), Gate())
    adopt(app)


def test_workers_that_leave_in_order_take_no_attempt_from_a_turn(app, client, make_app, llm):
    llm.play(began(), *words("one two"), Gate())
    stream_id = post(client, userId="ann").headers["Location"].rsplit("/", 1)[1]
    until_stored(app, stream_id, 3)
    for _ in range(4):
        services_of(app).chat.hand_over()
        app = make_app()
        go_on(app, llm)
    services_of(app).chat.hand_over()
    adopt(last := make_app())
    frames = frames_of(last.test_client().get(f"/api/chat/streams/{stream_id}", headers={"X-User-Id": "ann"}))
    assert (frames[-1].event, text_of(frames)) == ("chat_completed", ANSWER)
    assert (turn_of(last, stream_id).attempt, turn_of(last, stream_id).crashes) == (6, 0)


def test_a_turn_whose_workers_die_is_not_tried_for_ever(app, client, make_app, llm):
    stream_id = orphaned(app, client, llm)
    go_on(other := make_app(), llm)
    until_stored(other, stream_id, 3, attempt=2)
    gevent.killall(services_of(other).loops)
    make_old(other, 60)
    adopt(last := make_app())
    frames = frames_of(last.test_client().get(f"/api/chat/streams/{stream_id}", headers={"X-User-Id": "ann"}))
    assert (frames[-1].event, frames[-1].data["code"], text_of(frames)) == ("error", "interrupted", "three four")
    assert (turn_of(last, stream_id).attempt, turn_of(last, stream_id).crashes) == (3, 2)


def test_a_turn_that_its_own_worker_cannot_end_is_not_tried_for_ever(app, client, llm, monkeypatch):
    monkeypatch.setattr(Answer, "columns", lambda self, event: 1 / 0)
    response = post(client, userId="ann")
    stream_id = response.headers["Location"].rsplit("/", 1)[1]
    services = services_of(app)
    with gevent.Timeout(20):
        while turn_of(app, stream_id).crashes <= services.settings.max_attempts:
            gevent.sleep(0.1)
            services.housekeeping.mend()
    assert len(llm.requests) == services.settings.max_attempts, "what cannot be stored is not paid for again and again"
    monkeypatch.undo()
    with gevent.Timeout(20):
        while turn_of(app, stream_id).status == "running":
            gevent.sleep(0.1)
            services.housekeeping.mend()
    assert frames_of(response)[-1].data["code"] == "interrupted", "its reader has heard of it"


def test_a_worker_that_has_left_and_is_cleaned_away_took_no_attempt(app, client, make_app, llm):
    llm.play(began(), *words("one two"), Gate())
    stream_id = post(client, userId="ann").headers["Location"].rsplit("/", 1)[1]
    until_stored(app, stream_id, 3)
    services = services_of(app)
    services.chat.hand_over()
    services.database.write(lambda session: session.execute(delete(Worker).where(Worker.id == services.chat._worker.id)))
    adopt(other := make_app())
    assert (turn_of(other, stream_id).attempt, turn_of(other, stream_id).crashes) == (2, 0)


def test_the_late_end_of_an_attempt_leaves_the_next_one_on_the_same_worker_alone(app, client, llm, monkeypatch):
    services, held = services_of(app), Gate()
    monkeypatch.setattr(Answer, "check_figures", lambda self, question: held.wait())  # past the last wait that can be interrupted
    stream_id = post(client, userId="ann").headers["Location"].rsplit("/", 1)[1]
    until_stored(app, stream_id, 3)
    llm.play(began(), *words("three four"), going_on := Gate(), finished(2))
    claimed = services.database.write(lambda session: turns.claim(session, session.get(Turn, stream_id), services.chat._worker.id))
    monkeypatch.undo()
    services.chat.take_over(claimed)
    until_stored(app, stream_id, 3, attempt=2)
    held.set()
    gevent.sleep(0.5)
    going_on.set()
    with gevent.Timeout(5):
        while turn_of(app, stream_id).status == "running":
            gevent.sleep(0.02)
    assert (turn_of(app, stream_id).status, turn_of(app, stream_id).attempt) == ("completed", 2)


def test_an_answer_that_ends_after_its_conversation_was_deleted_holds_up_nobody(app, client, llm, monkeypatch):
    services, held = services_of(app), Gate()
    monkeypatch.setattr(Answer, "check_figures", lambda self, question: held.wait())
    stream_id = post(client, userId="ann").headers["Location"].rsplit("/", 1)[1]
    until_stored(app, stream_id, 3)
    assert client.delete(f"/api/conversations/{turn_of(app, stream_id).conversation_id}", headers={"X-User-Id": "ann"}).status_code == 204
    gevent.sleep(0.5)
    held.set()
    with gevent.Timeout(3):
        while services.chat.running:
            gevent.sleep(0.02)


def test_only_one_of_two_workers_gets_an_orphan(app, client, make_app, llm):
    one, two = services_of(make_app()), services_of(make_app())
    gevent.killall(one.loops + two.loops)
    stream_id = orphaned(app, client, llm)
    found = turn_of(app, stream_id)
    claims = [worker.database.write(lambda session, worker=worker: turns.claim(session, found, worker.chat._worker.id)) for worker in (one, two)]
    assert [claim is not None for claim in claims] == [True, False]


def test_the_worker_that_lost_its_turn_writes_nothing_more_and_follows_the_other(app, client, make_app, llm):
    gate = Gate()
    llm.play(began(), *words("old words"), gate, *words(" never seen"), finished(4))
    response = post(client, userId="ann")
    reader = gevent.spawn(frames_of, response)
    until_stored(app, response.headers["Location"].rsplit("/", 1)[1], 3)
    make_old(app, 60)
    other = make_app()
    adopt(other)
    frames = reader.get(timeout=10)
    assert text_of(frames) == ANSWER
    assert frames[-1].id[0] == 2
    assert llm.cancelled == ["lost"]
    gate.set()
    history = other.test_client().get(f"/api/conversations/{frames[0].data['conversationId']}", headers={"X-User-Id": "ann"}).get_json()
    assert history["messages"][1]["content"] == ANSWER
    assert services_of(app).streams._logs == {}


def test_a_lost_turn_that_nobody_reads_leaves_nothing_behind(app, client, make_app, llm):
    llm.play(began(), *words("old words"), Gate())
    until_stored(app, post(client, userId="ann").headers["Location"].rsplit("/", 1)[1], 3)
    make_old(app, 60)
    adopt(make_app())
    with gevent.Timeout(10):
        while services_of(app).streams._logs:
            gevent.sleep(0.02)
    assert llm.cancelled == ["lost"]


def test_a_worker_s_own_turns_and_those_of_a_living_one_are_no_orphans(app, client, make_app, llm):
    gate = Gate()
    llm.play(began(), gate, finished(0))
    response = post(client)
    for services in (services_of(app), services_of(make_app())):
        worker_id = services.chat._worker.id
        assert services.database.read(lambda session: turns.orphans(session, worker_id, 5.0)) == []
    gate.set()
    response.get_data()


def test_a_worker_that_was_idle_for_days_keeps_its_turns(app, client, make_app, llm):
    """Without turns it writes no heartbeat; that must not make it look dead to those who tidy up."""
    other = make_app()
    make_old(app, 3 * 86_400)
    services_of(app).housekeeping.retire()
    services_of(other).housekeeping.retire()
    gate = Gate()
    llm.play(began(), gate, finished(0))
    response = post(client)
    worker_id = services_of(other).chat._worker.id
    assert services_of(other).database.read(lambda session: turns.orphans(session, worker_id, 5.0)) == []
    gate.set()
    assert frames_of(response)[-1].event == "chat_completed"


def test_a_worker_forgotten_by_mistake_introduces_itself_again(app, make_app):
    """A machine that slept for days: both workers look dead to each other when it wakes."""
    other = make_app()
    make_old(app, 3 * 86_400)
    services_of(other).housekeeping.retire()
    services_of(app).housekeeping.retire()
    found = services_of(app).database.read(lambda session: set(session.scalars(select(Worker.id))))
    assert services_of(app).chat._worker.id in found


@pytest.mark.parametrize("question", [{"message": "m", "no_longer_known": 1}, {}])
def test_a_turn_that_cannot_be_taken_over_ends_instead_of_running_for_ever(app, client, make_app, llm, question):
    """Say, a question that a later version no longer understands."""
    stream_id = orphaned(app, client, llm)
    services_of(app).database.write(lambda session: session.execute(update(Turn).where(Turn.id == stream_id).values(question=question)))
    other = make_app()
    adopt(other)
    frames = frames_of(other.test_client().get(f"/api/chat/streams/{stream_id}", headers={"X-User-Id": "ann"}))
    assert frames[-1].event == "error"
    assert text_of(frames) == "one two"
    assert turn_of(other, stream_id).status == "failed"


def test_a_conversation_of_hundreds_of_turns_can_be_deleted(client):
    started = ask(client)[0].data
    services = services_of(client.application)

    def grow(session):
        parent = started["messageId"]
        for number in range(1_200):
            message = Message(id=new_id(), conversation_id=started["conversationId"], parent_id=parent, assistant_type="general",
                              role=("user", "assistant")[number % 2], content=f"{number}")
            session.add(message)
            session.flush()
            parent = message.id
    services.database.write(grow)
    path = f"/api/conversations/{started['conversationId']}"
    assert len(client.get(path).get_json()["messages"]) == 1_202
    assert client.delete(path).status_code == 204
    assert services.database.read(lambda session: session.scalars(select(Message.id)).all()) == []


def test_a_stranger_forgotten_while_away_can_ask_again(app, client, monkeypatch):
    """Everything of theirs was deleted, then they themselves; the cookie in their browser stays. A minute later …"""
    monkeypatch.setattr(Users, "FRESH_S", 0.0)
    conversation = ask(client)[0].data["conversationId"]
    client.delete(f"/api/conversations/{conversation}")
    services = services_of(app)
    services.database.write(lambda session: session.execute(update(User).values(created_at=0.0)))
    services.housekeeping.retire()
    assert services.database.read(lambda session: session.scalars(select(User)).all()) == []
    assert ask(client)[-1].event == "chat_completed"
    assert len(client.get("/api/conversations").get_json()["conversations"]) == 1
