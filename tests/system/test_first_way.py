"""The first whole way through the house, on a real server: a question in, its events out, history after."""

from tests.support.fixtures import openai_at
from tests.support.sse_client import Client, text_of


def test_a_question_streams_an_answer_without_any_key(server):
    client = Client(server.url)
    with client.ask("What is beta?") as connection:
        frames = list(connection.frames())
    assert [frames[0].event, frames[-1].event] == ["chat_started", "chat_completed"]
    assert "No model is configured" in text_of(frames)
    assert frames[-1].data["provider"] == "offline"


def test_a_question_is_answered_by_the_model_of_the_environment(servers, provider):
    client = Client(servers(**openai_at(provider)).url)
    with client.ask() as connection:
        frames = list(connection.frames())
    assert text_of(frames) == "Hello from the fake."
    assert frames[-1].data["provider"] == "openai"
    assert provider.requests[0].path == "/v1/chat/completions"
