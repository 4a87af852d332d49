"""A question as it comes from outside, checked by value. What HTTP makes of the errors is in http/test_bad_input.py."""

import pytest

from services.errors import InvalidRequest
from services.questions import ASSISTANTS, Question, parse_question, printable
from services.settings import Settings

SETTINGS = Settings()


def test_a_message_is_enough():
    assert parse_question({"message": "What is beta?"}, SETTINGS) == Question(message="What is beta?")
    defaults = Question(message="What is beta?")
    assert (defaults.assistant_type, defaults.workflow, defaults.render, defaults.context) == ("general", "auto", "text", {})


def test_everything_the_contract_knows_is_taken():
    body = {"message": "m", "assistantType": "riskManager", "userId": " ann ", "conversationId": "c-1", "parentMessageId": "p_1",
            "workflow": "off", "render": "html", "provider": "groq", "model": "openai/gpt-oss-120b",
            "context": {"symbols": [" AAPL ", "^TNX", "BRK.B"], "timeframe": " 18 months ", "riskTolerance": "aggressive"}}
    assert parse_question(body, SETTINGS) == Question(
        message="m", assistant_type="riskManager", user_id="ann", conversation_id="c-1", parent_message_id="p_1", workflow="off",
        render="html", provider="groq", model="openai/gpt-oss-120b",
        context={"symbols": ["AAPL", "^TNX", "BRK.B"], "timeframe": "18 months", "riskTolerance": "aggressive"})


@pytest.mark.parametrize("assistant", ASSISTANTS)
def test_each_assistant_is_known(assistant):
    assert parse_question({"message": "m", "assistantType": assistant}, SETTINGS).assistant_type == assistant


def test_null_means_not_given_but_for_the_message():
    body = dict.fromkeys(["assistantType", "userId", "context", "conversationId", "parentMessageId", "workflow", "render"]) | {"message": "m"}
    assert parse_question(body, SETTINGS) == Question(message="m")
    assert parse_question({"message": "m", "context": {"symbols": None, "timeframe": None}}, SETTINGS).context == {}
    with pytest.raises(InvalidRequest) as refused:
        parse_question({"message": None}, SETTINGS)
    assert refused.value.field == "message"


@pytest.mark.parametrize(("length", "fits"), [(1, True), (32_000, True), (32_001, False)])
def test_a_message_has_1_to_32000_characters_whatever_their_bytes(length, fits):
    body = {"message": "🙂" * length}
    if fits:
        assert len(parse_question(body, SETTINGS).message) == length
    else:
        with pytest.raises(InvalidRequest, match="at most 32000 characters, has 32001"):
            parse_question(body, SETTINGS)


@pytest.mark.parametrize("count", [0, 20])
def test_up_to_twenty_symbols(count):
    assert len(parse_question({"message": "m", "context": {"symbols": ["KO"] * count}}, SETTINGS).context["symbols"]) == count


@pytest.mark.parametrize("body", [None, [], "m", 1, True])
def test_a_body_is_an_object(body):
    with pytest.raises(InvalidRequest, match="JSON object"):
        parse_question(body, SETTINGS)


def test_the_unknown_field_is_named_and_the_known_ones_are_listed():
    with pytest.raises(InvalidRequest) as refused:
        parse_question({"message": "m", "colour": 1}, SETTINGS)
    assert refused.value.field == "colour"
    assert "assistantType" in refused.value.message


def test_a_name_from_outside_is_repeated_short_and_visible():
    assert printable("a\r\n\x1b[31mé\ud83d") == "a\\r\\n\\x1b[31m\\xe9\\ud83d"
    assert len(printable("x" * 5_000)) == 64


def test_the_same_question_has_the_same_fingerprint_and_another_has_another():
    body = {"message": "m", "context": {"symbols": ["KO"], "timeframe": "1y"}}
    turned = {"context": {"timeframe": "1y", "symbols": ["KO"]}, "message": "m"}
    fingerprint = parse_question(body, SETTINGS).fingerprint()
    assert parse_question(turned, SETTINGS).fingerprint() == fingerprint
    others = [body | change for change in ({"message": "n"}, {"render": "html"}, {"workflow": "off"}, {"userId": "ann"},
                                           {"conversationId": "c"}, {"context": {"symbols": ["PEP"]}})]
    assert len({parse_question(other, SETTINGS).fingerprint() for other in others} | {fingerprint}) == len(others) + 1
