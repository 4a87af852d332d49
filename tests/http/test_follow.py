"""Follow a stream from any point, stop it, and what is left of it later."""

import time
from dataclasses import replace

import gevent
import pytest
from gevent.event import Event as Gate

from services.streams.log import TurnLog
from tests.http.asking import ask, error_of, frames_of, parse, post
from tests.support.fixtures import services_of
from tests.support.llm import ANSWER, began, finished, words
from tests.support.sse_client import text_of


@pytest.fixture
def stream(client):
    """A finished stream's address and frames."""
    response = post(client)
    return response.headers["Location"], frames_of(response)


def after(client, location, event_id):
    return client.get(location, headers={"Last-Event-ID": event_id})


# ---- follow

def test_without_an_id_everything_comes_again(client, stream):
    location, frames = stream
    assert frames_of(client.get(location)) == frames


def test_from_any_event_exactly_the_rest_comes(client, stream):
    location, frames = stream
    for seq in range(len(frames)):
        assert frames_of(after(client, location, f"1-{seq}")) == frames[seq:]


def test_the_query_names_the_place_for_a_first_eventsource_and_the_header_wins(client, stream):
    location, frames = stream
    assert frames_of(client.get(location, query_string={"after": "1-2"})) == frames[2:]
    response = client.get(location, query_string={"after": "1-2"}, headers={"Last-Event-ID": "1-3"})
    assert frames_of(response) == frames[3:]


def test_whoever_has_the_last_event_gets_204_so_that_eventsource_stays_away(client, stream):
    location, frames = stream
    assert after(client, location, f"1-{len(frames)}").status_code == 204


def test_the_last_event_is_still_owed_while_it_is_stored_and_not_yet_shown(client, app, stream):
    """The commit that ends a turn comes first; for a moment its log in memory lacks the event that is in the database."""
    location, frames = stream
    turn_id, before = location.rsplit("/", 1)[1], len(frames) - 1
    log = services_of(app).streams._logs[turn_id] = TurnLog(turn_id, 1, seq=before)
    gevent.spawn_later(0.05, log.close, b'id: 1-%d\nevent: chat_completed\ndata: {"type":"chat_completed"}\n\n' % len(frames))
    response = after(client, location, f"1-{before}")
    assert response.status_code == 200
    assert [frame.id for frame in frames_of(response)] == [(1, len(frames))]


def test_an_id_from_the_future_of_a_finished_stream_is_past_its_end(client, stream):
    location, _ = stream
    assert after(client, location, "1-999999").status_code == 204


def test_an_attempt_that_has_not_begun_is_refused(client, stream):
    location, _ = stream
    for future in ("2-1", "999999999-999999999999"):
        assert error_of(after(client, location, future)) == (400, "invalid_request", "Last-Event-ID")


def test_an_id_before_the_first_event_is_the_beginning(client, stream):
    location, frames = stream
    for past in ("0-0", "0-7", "1-0"):
        assert frames_of(after(client, location, past)) == frames


def test_an_id_of_another_stream_is_a_place_in_this_one(client, stream):
    location, frames = stream
    other = ask(client, "Something else")
    event_id = "%d-%d" % other[1].id
    assert frames_of(after(client, location, event_id)) == frames[2:]


def test_a_running_stream_is_followed_live_to_its_end(client, llm):
    gate = Gate()
    llm.play(began(), *words("one two"), gate, *words(" three four"), finished(4))
    first = post(client)
    llm.until_held()
    late = after(client, first.headers["Location"], "1-2")
    gevent.spawn_later(0.1, gate.set)
    frames, rest = frames_of(first), frames_of(late)
    assert text_of(frames) == "one two three four"
    assert rest == frames[2:]


def test_ids_a_running_stream_has_not_reached_are_refused(client, llm):
    gate = Gate()
    llm.play(began(), gate, finished(0))
    first = post(client)
    for future in ("1-999", "2-0", "7-1"):
        assert error_of(after(client, first.headers["Location"], future)) == (400, "invalid_request", "Last-Event-ID"), future
    gate.set()
    assert first.get_data()


def test_a_reader_that_leaves_does_not_stop_the_run(client, llm, app):
    gate = Gate()
    llm.play(began(), *words("one"), gate, *words(" two"), finished(2))
    response = post(client)
    stream_id = response.headers["Location"].rsplit("/", 1)[1]
    body = response.iter_encoded()
    next(body), next(body)
    assert services_of(app).streams.readers(stream_id) == 1
    response.close()
    body.close()
    gevent.sleep(0)
    assert services_of(app).streams.readers(stream_id) == 0
    gate.set()
    assert text_of(frames_of(client.get(response.headers["Location"]))) == "one two"


def test_a_stream_nobody_knows_is_not_found(client, stream):
    assert error_of(client.get("/api/chat/streams/00000000000000000000000000"))[:2] == (404, "not_found")


# ---- stop

def test_stop_in_the_middle_keeps_the_text_and_ends_with_one_event(client, llm):
    llm.play(began(), *words("one two"), Gate())
    response = post(client)
    llm.until_held()
    stopped = client.post(response.headers["Location"] + "/stop")
    assert stopped.status_code == 202
    frames = frames_of(response)
    assert (frames[-1].event, frames[-1].data["finishReason"]) == ("chat_completed", "stopped")
    assert [frame.terminal for frame in frames].count(True) == 1
    answer = client.get(f"/api/conversations/{frames[0].data['conversationId']}").get_json()["messages"][1]
    assert (answer["content"], answer["status"]) == ("one two", "stopped")
    assert llm.cancelled == ["stopped"]


def test_stop_before_the_first_token_ends_with_an_empty_answer(client, llm):
    llm.play(Gate())
    response = post(client)
    client.post(response.headers["Location"] + "/stop")
    frames = frames_of(response)
    assert [frame.event for frame in frames] == ["chat_started", "chat_completed"]
    assert frames[-1].data["finishReason"] == "stopped"


def test_stop_with_html_closes_the_open_block(client, llm):
    llm.play(began(), *words("# One\n\ntwo"), Gate())
    response = post(client, render="html")
    llm.until_held()
    client.post(response.headers["Location"] + "/stop")
    frames = frames_of(response)
    assert frames[-1].data["html"].count("two") == 1
    assert [frame.data["index"] for frame in frames if frame.event == "block"] == [0, 1]


def test_stop_again_and_after_the_end_is_accepted(client, llm, stream):
    location, frames = stream
    for _ in range(2):
        response = client.post(location + "/stop")
        assert (response.status_code, response.get_json()["status"]) == (202, "completed")
    assert frames_of(client.get(location)) == frames


def test_stop_reaches_a_run_on_another_worker(client, make_app, llm):
    llm.play(began(), *words("one"), Gate())
    response = post(client, userId="ann")
    llm.until_held()
    elsewhere = make_app().test_client()
    assert elsewhere.post(response.headers["Location"] + "/stop", headers={"X-User-Id": "ann"}).status_code == 202
    assert frames_of(response)[-1].data["finishReason"] == "stopped"


# ---- another worker

def test_another_worker_follows_from_any_place_live_to_the_end(client, make_app, llm):
    gate = Gate()
    llm.play(began(), *words("one two three"), 0.25, *words(" four five"), gate, *words(" six"), finished(6))
    here = post(client, userId="ann")
    llm.until_held()
    elsewhere = make_app().test_client()
    readers = [gevent.spawn(lambda seq=seq: frames_of(elsewhere.get(
        here.headers["Location"], headers={"X-User-Id": "ann", "Last-Event-ID": f"1-{seq}"}))) for seq in (0, 2, 4)]
    gevent.spawn_later(0.5, gate.set)
    frames = frames_of(here)
    assert [reader.get(timeout=10) for reader in readers] == [frames, frames[2:], frames[4:]]
    assert services_of(elsewhere.application).streams.readers() == 0


# ---- later

def test_a_retired_log_is_gone_and_says_where_the_answer_is(client, app, stream):
    location, frames = stream
    housekeeping = services_of(app).housekeeping
    assert housekeeping.retire() == 0, "not before its time"
    services_of(app).retention._settings = replace(services_of(app).settings, log_retention_h=0.0)
    time.sleep(0.01)
    assert housekeeping.retire() == 1
    conversation = frames[0].data["conversationId"]
    for response in (client.get(location), after(client, location, "1-2"), after(client, location, f"1-{len(frames)}")):
        assert error_of(response) == (410, "gone", None)
        assert response.get_json()["error"]["conversation"] == f"/api/conversations/{conversation}"
    messages = client.get(f"/api/conversations/{conversation}").get_json()["messages"]
    assert messages[1]["content"] == ANSWER


def test_a_running_stream_is_not_retired(client, app, llm):
    gate = Gate()
    llm.play(began(), *words("one"), gate, finished(1))
    response = post(client)
    housekeeping = services_of(app).housekeeping
    services_of(app).retention._settings = replace(services_of(app).settings, log_retention_h=0.0)
    assert housekeeping.retire() == 0
    gate.set()
    assert text_of(frames_of(response)) == "one"


def test_deleting_the_conversation_ends_its_stream_and_whoever_reads_it(client, llm):
    llm.play(began(), *words("one two"), Gate())
    response = post(client)
    body = response.iter_encoded()
    next(body), next(body)
    conversation = client.get("/api/conversations").get_json()["conversations"][0]["id"]
    assert client.delete(f"/api/conversations/{conversation}").status_code == 204
    with gevent.Timeout(5):
        assert not any(frame.terminal for frame in parse(b"".join(body)))
    gevent.sleep(0.05)
    assert llm.cancelled == ["lost"]
    assert error_of(client.get(response.headers["Location"]))[:2] == (404, "not_found")


def test_a_server_that_is_going_tells_readers_when_to_come_back_and_takes_no_question(client, llm, app):
    gate = Gate()
    llm.play(began(), *words("one"), gate, finished(1))
    response = post(client)
    gevent.spawn_later(0.1, services_of(app).streams.drain)
    wire = response.get_data()
    assert wire.endswith(b"\n\n") and b"\nretry: " in wire[-20:]
    refused = client.post("/api/chat/stream", json={"message": "hi"})
    assert error_of(refused)[:2] == (503, "unavailable")
    gate.set()
