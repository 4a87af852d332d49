"""When the desk answers for providers that cannot, it says so, in the turn that found out and in every later one."""

import pytest

from services.cancellation import Cancellation
from services.llm.config import load
from services.llm.deltas import Content, LLMRequest
from services.llm.offline import OfflineProvider
from services.llm.service import LLMService
from tests.support.fake_provider import whole
from tests.support.fixtures import openai_at


@pytest.fixture
def ask(provider):
    service = LLMService(load(openai_at(provider)), OfflineProvider())

    def ask(**choice: str) -> str:
        request = LLMRequest(messages=[{"role": "user", "content": "What is beta?"}], question="What is beta?", **choice)
        return "".join(delta.text for delta in service.stream(request, Cancellation()) if type(delta) is Content)

    yield ask
    service.close()


def refuse(provider) -> None:
    provider.play(whole(401, {"error": {"code": "invalid_api_key", "message": "no"}}))


def test_a_refused_key_is_named_in_the_turn_it_is_refused_in(ask, provider):
    refuse(provider)
    assert "did not answer (openai)" in ask()


def test_a_later_turn_that_tries_nobody_still_names_the_provider(ask, provider):
    refuse(provider)
    ask()
    later = ask()
    assert len(provider.requests) == 1  # the circuit is open: nobody was asked again
    assert "did not answer (openai)" in later
    assert "No model is configured" not in later


def test_the_desk_that_was_chosen_blames_nobody(ask, provider):
    refuse(provider)
    ask()
    assert "You chose the built-in desk" in ask(provider="offline")
