"""History: a conversation is a tree; edit and regenerate make siblings; only its owner sees it."""

import pytest
from gevent.event import Event as Gate
from sqlalchemy import update

from services.store.models import Conversation
from tests.http.asking import STREAM, ask, error_of, frames_of, post
from tests.support.fixtures import services_of, until_stored
from tests.support.llm import ANSWER, began, finished, words, written


def started(frames):
    return frames[0].data


def opened(client, conversation_id, **query):
    response = client.get(f"/api/conversations/{conversation_id}", query_string=query)
    assert response.status_code == 200, response.get_data(as_text=True)
    return response.get_json()


def contents(conversation):
    return [message["content"] for message in conversation["messages"]]


@pytest.fixture
def conversation(client):
    """What `chat_started` said of a conversation of one question."""
    return started(ask(client, "First?"))


# ---- the branch

def test_a_question_and_its_answer_are_kept(client, conversation):
    question, answer = opened(client, conversation["conversationId"])["messages"]
    assert (question["id"], question["role"], question["content"], question["parentId"]) == (
        conversation["userMessageId"], "user", "First?", None)
    assert (answer["id"], answer["role"], answer["content"], answer["parentId"], answer["status"]) == (
        conversation["messageId"], "assistant", ANSWER, question["id"], "complete")
    assert (answer["made"]["provider"], answer["made"]["finishReason"]) == ("scripted", "stop")


def test_a_long_conversation_is_one_branch_in_the_order_it_was_asked(client, llm, conversation):
    questions = [f"Question {number}?" for number in range(12)]
    for question in questions:
        ask(client, question, conversationId=conversation["conversationId"])
    shown = contents(opened(client, conversation["conversationId"]))
    assert shown == [text for question in ("First?", *questions) for text in (question, ANSWER)]
    sent = [message["content"] for message in llm.requests[-1].messages[1:]]
    assert sent == shown[:-1], "the model sees the branch, oldest first, and the question last"


def test_regenerating_makes_a_second_answer_beside_the_first(client, llm, conversation):
    llm.play(*written("Another answer."))
    again = started(ask(client, "First?", conversationId=conversation["conversationId"], parentMessageId=conversation["userMessageId"]))
    assert again["userMessageId"] == conversation["userMessageId"]
    question, answer = opened(client, conversation["conversationId"])["messages"]
    assert (answer["id"], answer["content"]) == (again["messageId"], "Another answer.")
    assert answer["siblings"] == [conversation["messageId"], again["messageId"]]
    assert question["siblings"] == [conversation["userMessageId"]]
    assert [message["role"] for message in llm.requests[-1].messages] == ["system", "user"]


def test_editing_makes_a_second_question_beside_the_first(client, llm, conversation):
    ask(client, "Follow-up?", conversationId=conversation["conversationId"])
    edited = started(ask(client, "First, but better?", parentMessageId=conversation["userMessageId"]))
    assert edited["conversationId"] == conversation["conversationId"]
    question, answer = opened(client, conversation["conversationId"])["messages"]
    assert (question["id"], question["content"], question["parentId"]) == (edited["userMessageId"], "First, but better?", None)
    assert question["siblings"] == [conversation["userMessageId"], edited["userMessageId"]]
    assert [message["content"] for message in llm.requests[-1].messages[1:]] == ["First, but better?"]


def test_a_question_below_an_earlier_answer_branches_there(client, llm, conversation):
    ask(client, "Second?", conversationId=conversation["conversationId"])
    branched = started(ask(client, "Another second?", parentMessageId=conversation["messageId"]))
    shown = opened(client, conversation["conversationId"])
    assert contents(shown) == ["First?", ANSWER, "Another second?", ANSWER]
    assert shown["messages"][2]["parentId"] == conversation["messageId"]
    assert [message["content"] for message in llm.requests[-1].messages[1:]] == ["First?", ANSWER, "Another second?"]
    assert len(shown["messages"][2]["siblings"]) == 2
    assert branched["messageId"] == shown["messages"][3]["id"]


def test_another_branch_is_shown_through_one_of_its_messages(client, conversation):
    old = started(ask(client, "Second?", conversationId=conversation["conversationId"]))
    ask(client, "Edited second?", parentMessageId=old["userMessageId"])
    assert contents(opened(client, conversation["conversationId"])) == ["First?", ANSWER, "Edited second?", ANSWER]
    for message in (old["userMessageId"], old["messageId"]):
        assert contents(opened(client, conversation["conversationId"], m=message)) == ["First?", ANSWER, "Second?", ANSWER]


def test_all_branches_come_when_asked_for(client, conversation):
    ask(client, "Second?", parentMessageId=conversation["messageId"])
    ask(client, "Third?", parentMessageId=conversation["messageId"])
    tree = opened(client, conversation["conversationId"], branches="all")
    assert contents(tree) == ["First?", ANSWER, "Second?", ANSWER, "Third?", ANSWER]


def test_nothing_can_be_asked_below_an_answer_that_is_being_written(client, llm):
    gate = Gate()
    llm.play(began(), *words("one"), gate, finished(1))
    response = post(client)
    llm.until_held()
    running = client.get("/api/conversations").get_json()["conversations"][0]["id"]
    refused = client.post(STREAM, json={"message": "And?", "conversationId": running})
    assert error_of(refused) == (409, "conflict", "parentMessageId")
    gate.set()
    response.get_data()


def test_an_answer_that_is_being_written_is_shown_as_far_as_it_is_stored_and_where_to_go_on(client, llm):
    gate = Gate()
    llm.play(began(), *words("one two"), gate, *words(" three"), finished(3))
    response = post(client)
    until_stored(client.application, response.headers["Location"].rsplit("/", 1)[1], 3)
    conversation = client.get("/api/conversations").get_json()["conversations"][0]["id"]
    answer = opened(client, conversation)["messages"][1]
    assert (answer["status"], answer["content"]) == ("streaming", "one two")
    gate.set()
    whole = frames_of(response)
    rest = frames_of(client.get(f"/api/chat/streams/{answer['streamId']}", headers={"Last-Event-ID": answer["lastEventId"]}))
    assert [frame.id for frame in rest] == [frame.id for frame in whole if "%d-%d" % frame.id > answer["lastEventId"]]
    assert rest[0].data["content"] == " three"


@pytest.mark.parametrize("field", ["conversationId", "parentMessageId"])
def test_what_does_not_exist_cannot_be_continued(client, llm, field):
    response = client.post(STREAM, json={"message": "And?", field: "00000000000000000000000000"})
    assert error_of(response) == (404, "not_found", field)
    assert llm.requests == []


def test_a_message_of_another_conversation_is_no_parent(client, conversation):
    other = started(ask(client, "Elsewhere?"))
    response = client.post(STREAM, json={"message": "And?", "conversationId": conversation["conversationId"],
                                         "parentMessageId": other["messageId"]})
    assert error_of(response) == (404, "not_found", "parentMessageId")


# ---- the list

def test_the_list_shows_the_last_changed_first_page_by_page(client):
    ids = [started(ask(client, f"Number {number}"))["conversationId"] for number in range(4)]
    ask(client, "More", conversationId=ids[1])
    found = client.get("/api/conversations").get_json()["conversations"]
    assert [each["id"] for each in found] == [ids[1], ids[3], ids[2], ids[0]]
    page = client.get("/api/conversations?limit=2").get_json()["conversations"]
    rest = client.get(f"/api/conversations?limit=2&before={page[-1]['updated']!r}").get_json()["conversations"]
    assert [each["id"] for each in page + rest] == [each["id"] for each in found]


def test_a_title_is_the_question_cut_at_a_word(client):
    ask(client, "What  does\na very " + "long " * 30 + "question look like?")
    title = client.get("/api/conversations").get_json()["conversations"][0]["title"]
    assert title.startswith("What does a very long long") and title.endswith("long…") and len(title) <= 81


# ---- rename, delete

def test_rename(client, conversation):
    path = f"/api/conversations/{conversation['conversationId']}"
    assert client.patch(path, json={"title": "  On\tbeta "}).get_json()["title"] == "On beta"
    assert client.get(path).get_json()["title"] == "On beta"


@pytest.mark.parametrize("body", [{}, {"title": ""}, {"title": "  "}, {"title": 7}, {"title": "x" * 201}, {"title": "a\0"},
                                  {"title": "a", "id": "b"}, ["title"], "title"])
def test_a_bad_title_is_refused(shared, body):
    client = shared[0].test_client()
    response = client.patch(f"/api/conversations/{started(ask(client))['conversationId']}", json=body)
    assert error_of(response) == (400, "invalid_request", "title")


def test_a_deleted_conversation_is_gone_with_its_streams(client, conversation):
    path = f"/api/conversations/{conversation['conversationId']}"
    assert client.delete(path).status_code == 204
    for response in (client.get(path), client.delete(path), client.get(f"/api/chat/streams/{conversation['streamId']}")):
        assert error_of(response)[:2] == (404, "not_found")
    assert client.get("/api/conversations").get_json() == {"conversations": []}


# ---- export

def test_export_as_markdown(client, llm):
    llm.play(*written("Beta is *cov / var*."))
    frames = ask(client, "What is beta?", assistantType="analyst", context={"symbols": ["KO"], "timeframe": "1y", "riskTolerance": "moderate"})
    response = client.get(f"/api/conversations/{started(frames)['conversationId']}/export?format=md")
    assert response.mimetype == "text/markdown"
    assert response.headers["Content-Disposition"].startswith('attachment; filename="tickertape-')
    text = response.get_data(as_text=True)
    assert text.startswith("# What is beta?\n\n## What is beta?\n\n_Analyst · KO · 1y · moderate risk_\n\nBeta is *cov / var*.\n")


def test_export_as_json_holds_every_branch(client, conversation):
    ask(client, "First?", parentMessageId=conversation["userMessageId"])
    response = client.get(f"/api/conversations/{conversation['conversationId']}/export?format=json")
    assert response.mimetype == "application/json"
    assert contents(response.get_json()) == ["First?", ANSWER, ANSWER]


def test_an_unknown_format_is_refused(client, conversation):
    response = client.get(f"/api/conversations/{conversation['conversationId']}/export?format=docx")
    assert error_of(response) == (400, "invalid_request", "format")


# ---- the owner

def test_to_everybody_else_nothing_of_it_exists(app, client, conversation):
    ask(other := app.test_client(), "I am somebody too")
    stranger = app.test_client()
    conversation_path, stream_path = f"/api/conversations/{conversation['conversationId']}", f"/api/chat/streams/{conversation['streamId']}"
    for somebody in (other, stranger):
        assert conversation["conversationId"] not in somebody.get("/api/conversations").get_data(as_text=True)
        for response in (somebody.get(conversation_path), somebody.patch(conversation_path, json={"title": "Mine"}),
                         somebody.delete(conversation_path), somebody.get(conversation_path + "/export"),
                         somebody.get(conversation_path + "/export?format=json"), somebody.get(conversation_path + "?branches=all"),
                         somebody.get(stream_path), somebody.post(stream_path + "/stop"),
                         somebody.post(STREAM, json={"message": "hi", "conversationId": conversation["conversationId"]}),
                         somebody.post(STREAM, json={"message": "hi", "parentMessageId": conversation["messageId"]})):
            assert error_of(response)[:2] == (404, "not_found")
    assert contents(client.get(conversation_path).get_json()) == ["First?", ANSWER]


def test_somebody_else_cannot_stop_a_running_stream(app, client, llm):
    gate = Gate()
    llm.play(began(), *words("one"), gate, *words(" two"), finished(2))
    response = post(client)
    assert app.test_client().post(response.headers["Location"] + "/stop").status_code == 404
    gate.set()
    assert frames_of(response)[-1].data["finishReason"] == "stop"


def test_a_claimed_user_is_named_by_body_or_header_and_gets_no_cookie(app):
    first = app.test_client()
    response = post(first, userId="ann")
    response.get_data()
    assert "Set-Cookie" not in response.headers
    by_header = {"X-User-Id": "ann"}
    assert app.test_client().get(response.headers["Location"], headers=by_header).status_code == 200
    assert len(app.test_client().get("/api/conversations", headers=by_header).get_json()["conversations"]) == 1
    assert app.test_client().get(response.headers["Location"], headers={"X-User-Id": "bob"}).status_code == 404


def test_nobody_can_claim_to_be_an_anonymous_user(app, client):
    response = post(client)
    response.get_data()
    with client.session_transaction() as session:
        name = session["user"]
    for claim in (name, f"anon:{name}"):
        assert app.test_client().get(response.headers["Location"], headers={"X-User-Id": claim}).status_code == 404


def test_the_cookie_cannot_be_read_by_scripts_or_forged(app, client):
    cookie = post(client).headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie
    forged = app.test_client()
    payload, when, signature = cookie.split("=", 1)[1].split(";")[0].split(".")
    forged.set_cookie("tickertape", ".".join((payload, when, signature[::-1])))
    assert forged.get("/api/conversations").get_json() == {"conversations": []}


def test_pages_of_conversations_that_changed_at_the_same_moment_leave_none_out(app, client):
    ids = {started(ask(client, f"Question {number}"))["conversationId"] for number in range(5)}
    services_of(app).database.write(lambda session: session.execute(update(Conversation).values(updated_at=1_790_000_000.0)))
    seen, place = [], {}
    while page := client.get("/api/conversations", query_string={"limit": 2} | place).get_json()["conversations"]:
        seen += [each["id"] for each in page]
        place = {"before": page[-1]["updated"], "beforeId": page[-1]["id"]}
    assert len(seen) == 5 and set(seen) == ids
    assert error_of(client.get("/api/conversations?before=1&beforeId=x")) == (400, "invalid_request", "beforeId")
