"""What an outage of the database may do to turns, heartbeats and takeovers, and what it may not."""

import os
import subprocess
import sys
import time

import gevent
import pytest
import sqlalchemy
from gevent.event import Event
from sqlalchemy import delete, select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from services import sse
from services.questions import Question
from services.replay import replay
from services.store import turns
from services.store.database import _connect_args
from services.store.models import Turn, Worker
from tests.support.fixtures import services_of
from tests.support.llm import began, finished, words, written
from tests.support.server import ROOT


def away() -> OperationalError:
    return OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly"))


def ask(services, key: str | None = None) -> Turn:
    return services.chat.start(services.users.ensure("claimed:tester"), Question(message="What is beta?"), key)


def read(services, turn: Turn) -> list[dict]:
    chunks = services.chat.follow(turn)
    with gevent.Timeout(10):
        return list(sse.events_of(one for chunk in chunks for one in sse.split_wire(chunk)))


def worker_of(services) -> str:
    return services.housekeeping._worker.id


def held(services, llm, *said) -> tuple[Turn, Event]:
    """A turn that is being answered: the model has said this and waits for the event before it ends."""
    hold = Event()
    llm.play(began(), *said, hold, finished())
    turn = ask(services)
    gevent.sleep(0.1)
    return turn, hold


def leave(services) -> None:
    """What a worker does that has to go before its answers are finished."""
    services.streams.drain()
    services.chat.hand_over()


def rows(services, statement):
    return services.database.read(lambda session: session.execute(statement).all())


def test_a_commit_whose_acknowledgement_was_lost_neither_blocks_nor_doubles(app, llm, monkeypatch):
    services = services_of(app)
    commit, lost = services.database.commit, []

    def losing(work):
        result = commit(work)
        if len(lost) < 3:
            lost.append(result)
            raise away()
        return result

    monkeypatch.setattr("services.streams.segments.OUTAGE_PAUSE_S", 0.05)
    hold = Event()
    llm.play(began(), *words("one two three"), 0.4, *words(" four five"), hold, finished())
    turn = ask(services)
    monkeypatch.setattr(services.database, "commit", losing)
    gevent.sleep(0.8)
    assert len(lost) == 3
    hold.set()
    events = read(services, turn)
    assert [event["type"] for event in events][-1] == "chat_completed"
    stored = list(sse.events_of(services.chat._segments.all(turn.id)))
    assert stored == events


def test_an_ending_whose_acknowledgement_was_lost_is_still_this_attempts(app, llm, monkeypatch):
    services = services_of(app)
    commit, lost = services.database.commit, []

    def losing(work):
        result = commit(work)
        if result[1] and not lost:
            lost.append(result)
            raise away()
        return result

    monkeypatch.setattr("services.streams.segments.OUTAGE_PAUSE_S", 0.05)
    monkeypatch.setattr(services.database, "commit", losing)
    turn = ask(services)
    events = read(services, turn)
    assert lost and [event["type"] for event in events][-1] == "chat_completed"


def test_a_worker_whose_row_was_cleaned_away_in_its_sleep_still_owns_what_it_begins(make_app, llm):
    sleeper, other = services_of(make_app()), services_of(make_app())
    sleeper.database.write(lambda session: session.execute(delete(Worker).where(Worker.id == worker_of(sleeper))))
    _, hold = held(sleeper, llm)
    assert other.database.read(lambda session: turns.orphans(session, worker_of(other), 5.0)) == []
    hold.set()


def silence(services, worker: str) -> None:
    """Make a worker's last heartbeat a minute old; whoever judges has been there for longer."""
    silent = update(Worker).where(Worker.id == worker).values(seen_at=time.time() - 60)
    services.database.write(lambda session: session.execute(silent))
    services.housekeeping._judging_since -= 60
    services.housekeeping._swept_at = time.time()


@pytest.mark.parametrize("after", ["an outage", "a sleep of the host"])
def test_nobody_is_judged_before_everybody_could_write_a_heartbeat_again(make_app, llm, monkeypatch, after):
    busy, other = services_of(make_app()), services_of(make_app())
    turn, hold = held(busy, llm)
    busy.chat.writer._heartbeat = 3600.0
    silence(other, worker_of(busy))
    if after == "an outage":
        with monkeypatch.context() as patch, pytest.raises(OperationalError):
            patch.setattr(other.database, "read", lambda work: (_ for _ in ()).throw(away()))
            other.housekeeping.adopt()
    else:
        other.housekeeping._swept_at -= 60
    other.housekeeping.adopt()
    assert rows(other, select(Turn.attempt).where(Turn.id == turn.id)) == [(1,)]
    other.housekeeping._judging_since -= 60
    other.housekeeping.adopt()
    assert rows(other, select(Turn.attempt).where(Turn.id == turn.id)) == [(2,)]
    hold.set()


def test_who_had_to_wait_to_write_takes_nothing_from_those_who_waited_too(make_app, llm, monkeypatch):
    monkeypatch.setattr("services.housekeeping.SWEEP_S", 0.2)
    busy, other = services_of(make_app()), services_of(make_app())
    turn, hold = held(busy, llm)
    busy.chat.writer._heartbeat = 3600.0
    silence(other, worker_of(busy))
    with other.database._writing.begin() as connection:
        connection.execute(text("LOCK TABLE workers IN EXCLUSIVE MODE" if connection.dialect.name == "postgresql" else "SELECT 1"))
        sweep = gevent.spawn(other.housekeeping.adopt)
        gevent.sleep(0.4)
    sweep.get(timeout=5)
    assert rows(other, select(Turn.attempt).where(Turn.id == turn.id)) == [(1,)]
    other.housekeeping.adopt()
    assert rows(other, select(Turn.attempt).where(Turn.id == turn.id)) == [(2,)]
    hold.set()


def test_a_worker_that_leaves_gives_its_turns_away_at_once_and_writes_no_more(make_app, llm):
    leaving, other = services_of(make_app()), services_of(make_app())
    turn, hold = held(leaving, llm, *words("some text"))
    leave(leaving)
    other.housekeeping.adopt()
    assert rows(other, select(Turn.attempt, Turn.worker_id).where(Turn.id == turn.id)) == [(2, worker_of(other))]
    leaving.chat.writer._beat_at = 0.0
    leaving.chat.writer.look()
    gevent.sleep(0.4)
    assert rows(other, select(Worker.seen_at).where(Worker.id == worker_of(leaving))) == [(0.0,)]
    hold.set()
    events = read(other, other.chat.find(turn.user_id, turn.id))
    assert [event["type"] for event in events if event["type"] in ("provider_switch", "chat_completed")] == ["provider_switch", "chat_completed"]


def test_a_worker_that_is_going_takes_nothing_over(make_app, llm):
    one, two = services_of(make_app()), services_of(make_app())
    turn, _ = held(one, llm)
    two.streams.drain()
    leave(one)
    two.housekeeping.adopt()
    assert rows(two, select(Turn.attempt).where(Turn.id == turn.id)) == [(1,)]


@pytest.mark.parametrize("first", ["the takeover", "the beginning"])
def test_a_turn_that_was_slow_to_begin_and_taken_over_meanwhile_is_answered_once(app, llm, monkeypatch, first):
    services = services_of(app)
    for pause in (0.2, 0.1):
        llm.play(began(), *words("It is written"), pause, *words(" once."), finished())
    begin = services.chat._begin

    def slowly(*arguments):
        begun = begin(*arguments)
        claimed = services.database.write(lambda session: turns.claim(session, session.get(Turn, begun.turn.id), worker_of(services)))
        if first == "the takeover":
            services.chat.take_over(claimed)
        else:
            gevent.spawn(services.chat.take_over, claimed)
        return begun

    monkeypatch.setattr(services.chat, "_begin", slowly)
    turn = ask(services)
    events = read(services, services.chat.find(turn.user_id, turn.id))
    gevent.sleep(0.5)
    assert replay(events).text == "It is written once."
    assert [event["type"] for event in events if event["type"] in ("chat_completed", "error")] == ["chat_completed"]
    assert rows(services, select(Turn.status, Turn.attempt)) == [("completed", 2)]


def test_a_worker_that_was_looking_for_turns_when_it_left_takes_none_and_stays_gone(make_app, llm, monkeypatch):
    one, two, heir = (services_of(make_app()) for _ in range(3))
    turn, _ = held(one, llm)
    leave(one)
    look = turns.orphans

    def slowly(*arguments) -> list[Turn]:
        found = look(*arguments)
        two.streams.drain()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(turns, "orphans", slowly)
        two.housekeeping.adopt()
    two.chat.hand_over()
    assert two.database.write(lambda session: turns.claim(session, session.get(Turn, turn.id), worker_of(two))) is None
    two.housekeeping.retire()
    assert rows(heir, select(Worker.seen_at).where(Worker.id.in_([worker_of(one), worker_of(two)]))) == [(0.0,), (0.0,)]
    heir.housekeeping.adopt()
    assert rows(heir, select(Turn.attempt, Turn.worker_id).where(Turn.id == turn.id)) == [(2, worker_of(heir))]


def test_a_turn_whose_beginning_was_committed_but_never_acknowledged_is_answered_all_the_same(app, llm, monkeypatch):
    services = services_of(app)
    write = services.database.write_plainly

    def losing(work):
        write(work)
        raise away()

    monkeypatch.setattr(services.database, "write_plainly", losing)
    with pytest.raises(OperationalError):
        ask(services, key="k")
    monkeypatch.undo()
    services.housekeeping.mend()
    assert not services.chat.running
    services.housekeeping.mend()
    turn = ask(services, key="k")
    assert read(services, turn)[-1]["type"] == "chat_completed"


def test_readers_wait_out_a_short_outage(app, llm, monkeypatch):
    services = services_of(app)
    llm.play(*written("all of it is here"))
    turn = ask(services)
    whole = read(services, turn)
    services.streams._logs.clear()
    reading, failed = services.database.read, []

    def failing(work):
        if len(failed) < 3:
            failed.append(work)
            raise away()
        return reading(work)

    monkeypatch.setattr("services.streams.service.OUTAGE_PAUSE_S", 0.05)
    chunks = services.streams.follow(turn.id, sse.BEGINNING, running=True)
    monkeypatch.setattr(services.database, "read", failing)
    again = list(sse.events_of(one for chunk in chunks for one in sse.split_wire(chunk)))
    assert len(failed) == 3 and again == whole


def test_a_database_that_is_away_is_said_with_503_and_when_to_come_back(client, app, monkeypatch):
    services = services_of(app)
    monkeypatch.setattr(services.database, "read", lambda work: (_ for _ in ()).throw(away()))
    response = client.get("/api/conversations", headers={"X-User-Id": "tester"})
    assert (response.status_code, response.json["error"]["code"], response.headers["Retry-After"]) == (503, "unavailable", "1")


def test_several_hosts_that_start_at_once_prepare_one_database(postgres):
    postgres._sql("CREATE DATABASE empty_one")
    url = postgres.url("empty_one")
    starting = [subprocess.Popen([sys.executable, "-m", "services.store.database"], cwd=ROOT, env=os.environ | {"DATABASE_URL": url})
                for _ in range(3)]
    assert [each.wait(30) for each in starting] == [0, 0, 0]
    with sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://")).connect() as connection:
        assert connection.scalar(select(sqlalchemy.func.count()).select_from(Turn)) == 0


@pytest.mark.parametrize(("url", "mode"), [
    ("postgresql+psycopg://u@127.0.0.1/db", "disable"),
    ("postgresql+psycopg://u@/db", "disable"),
    ("postgresql+psycopg://u@db.example.org/db", None),
    ("postgresql+psycopg://u@127.0.0.1/db?sslmode=require", None),
])
def test_on_loopback_no_encryption_is_offered_because_its_refusal_hangs(url, mode):
    assert _connect_args(make_url(url)).get("sslmode") == mode


def test_what_the_url_says_itself_counts():
    assert "connect_timeout" not in _connect_args(make_url("postgresql+psycopg://u@127.0.0.1/db?connect_timeout=2"))
