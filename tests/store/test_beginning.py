"""Many turns that begin in one transaction are what they would be one after another."""

from collections import Counter
from dataclasses import replace

import gevent
import pytest
from sqlalchemy import update

from services.errors import Conflict, NotFound, RateLimited, Unprocessable
from services.questions import Question
from services.settings import Settings
from services.store.beginning import Asking
from services.store.models import Turn, new_id
from tests.support.fixtures import services_of
from tests.support.llm import written

HI = Question(message="Hi")


@pytest.fixture
def settings(tmp_path, database_url) -> Settings:
    return Settings(instance_dir=tmp_path, database_url=database_url, concurrent_turns=3, turns_per_minute=0, address_concurrent_turns=0)


@pytest.fixture
def services(app):
    return services_of(app)


def begin(services, askings: list[Asking]) -> list[object]:
    """What becomes of each, in one transaction."""
    return services.database.write_plainly(lambda connection: services.chat._begin_all(connection, askings))


def user(services, name: str) -> str:
    return services.users.ensure(f"claimed:{name}")


def test_each_has_its_own_conversation_question_and_answer(services):
    askings = [Asking(user(services, f"user {number}"), Question(message=f"Question {number}", context={"symbols": ["AAPL"]}))
               for number in range(20)]
    begun = begin(services, askings)
    assert len({each.turn.id for each in begun}) == len({each.turn.conversation_id for each in begun}) == 20
    for asking, each in zip(askings, begun, strict=True):
        found = services.conversations.get(asking.user_id, each.turn.conversation_id)
        assert found["title"] == asking.question.message
        asked, answer = found["messages"]
        assert (asked["id"], asked["content"], asked["status"], asked["context"]) == \
            (each.turn.user_message_id, asking.question.message, "complete", {"symbols": ["AAPL"]})
        assert (answer["id"], answer["parentId"], answer["status"], answer["content"]) == (each.turn.message_id, asked["id"], "streaming", "")
        stored = services.chat.find(asking.user_id, each.turn.id)
        kept = ("id", "attempt", "status", "worker_id", "trace_id", "question", "stop_requested", "idempotency_key", "fingerprint")
        assert [getattr(stored, name) for name in kept] == [getattr(each.turn, name) for name in kept]


def test_what_is_wrong_with_one_is_no_other_ones_trouble(services, llm):
    ann, bob = user(services, "ann"), user(services, "bob")
    first, = begin(services, [Asking(ann, HI, "k")])
    wrong = [
        (Asking(ann, replace(HI, message="Another"), "k"), Unprocessable),
        (Asking(bob, replace(HI, conversation_id=first.turn.conversation_id)), NotFound),
        (Asking(ann, replace(HI, parent_message_id=new_id())), NotFound),
        (Asking(ann, replace(HI, conversation_id=first.turn.conversation_id)), Conflict),
    ]
    for asking, error in wrong:
        good, bad, again = begin(services, [Asking(bob, HI), asking, Asking(ann, HI, "k")])
        assert isinstance(bad, error)
        assert again.existing and again.turn.id == first.turn.id
        assert services.chat.find(bob, good.turn.id).status == "running"
        services.database.write(lambda session, id=good.turn.id: session.execute(update(Turn).where(Turn.id == id).values(status="failed")))


def test_one_key_twice_in_a_transaction_is_one_turn(services):
    ann = user(services, "ann")
    first, second, other = begin(services, [Asking(ann, HI, "k"), Asking(ann, HI, "k"), Asking(ann, replace(HI, message="Other"), "k")])
    assert (first.existing, second.existing, second.turn.id) == (False, True, first.turn.id)
    assert isinstance(other, Unprocessable)


def test_the_limits_hold_within_a_transaction(services):
    ann, bob = user(services, "ann"), user(services, "bob")
    found = begin(services, [Asking(ann, HI) for _ in range(5)] + [Asking(ann, HI, "k"), Asking(ann, HI, "k"), Asking(bob, HI)])
    assert Counter(type(each).__name__ for each in found[:5]) == {"Begun": 3, "RateLimited": 2}
    assert [type(each) for each in found[5:7]] == [RateLimited, RateLimited], "who repeats a refused question is refused too"
    assert not found[7].existing
    assert isinstance(begin(services, [Asking(ann, HI)])[0], RateLimited)


def test_all_who_ask_at_once_are_answered(services, llm):
    users = [user(services, f"user {number}") for number in range(40)]
    for _ in users:
        llm.play(*written("Yes."))
    turns = [each.get(timeout=20) for each in [gevent.spawn(services.chat.start, one, HI) for one in users]]
    with gevent.Timeout(20):
        while services.chat.running:
            gevent.sleep(0.02)
    for one, turn in zip(users, turns, strict=True):
        assert [message["content"] for message in services.conversations.get(one, turn.conversation_id)["messages"]] == ["Hi", "Yes."]
