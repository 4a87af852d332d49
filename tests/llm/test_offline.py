"""The embedded provider answers at once, says that no model wrote it, and can be stopped."""

import gevent
import pytest

from services import glossary
from services.cancellation import Cancellation, Cancelled
from services.llm.deltas import Content, LLMRequest
from services.llm.offline import OfflineProvider


def request(question, **fields):
    return LLMRequest(messages=[{"role": "user", "content": question}], question=question, **fields)


def pieces(question, desk=None, **fields):
    return [delta.text for delta in OfflineProvider(desk).stream(request(question, **fields), Cancellation())]


def answer(question, desk=None, **fields):
    return "".join(pieces(question, desk, **fields))


def test_it_names_itself():
    assert (OfflineProvider.name, OfflineProvider.model) == ("offline", "desk")


def test_one_short_line_says_that_no_model_is_configured_and_how_to_add_one():
    first, rest = answer("What is beta?").split("\n", 1)
    assert "No model is configured" in first and "GROQ_API_KEY" in first and "README" in first
    assert len(first) < 160 and "configured" not in rest


@pytest.mark.parametrize(("failed", "shown"), [(["groq", "openai"], "did not answer (groq, openai)"), (True, "did not answer.")])
def test_when_providers_failed_it_does_not_say_that_a_key_is_missing(failed, shown):
    first = answer("What is beta?", extra={"providers_failed": failed}).split("\n")[0]
    assert shown in first
    assert "configured" not in first and "KEY" not in first


def test_when_it_was_chosen_it_does_not_say_that_a_key_is_missing():
    for extra in ({}, {"providers_failed": ("groq",)}):
        first = answer("What is beta?", provider="offline", extra=extra).split("\n")[0]
        assert "You chose the built-in desk" in first
        assert "KEY" not in first and "groq" not in first


def test_a_term_is_explained_and_nothing_is_excused():
    text = answer("What is the Sharpe ratio?")
    assert glossary.terms()["sharpe-ratio"].example in text
    assert "cannot answer" not in text


def test_a_question_beyond_its_terms_is_not_answered_by_definitions_silently():
    text = answer("Should I buy bonds now?")
    assert "cannot answer the question itself without a model" in text
    assert "### Bond" in text


def test_many_terms_are_shortened_to_three_and_the_rest_named():
    text = answer("beta, alpha, RSI, MACD and ATR")
    assert text.count("### ") == 3
    assert "Also in the glossary: MACD, Average true range (ATR)" in text


def test_the_assistant_shapes_the_answer():
    angle = glossary.terms()["max-drawdown"].voices["riskManager"]
    assert angle in answer("What is a drawdown?", assistant="riskManager")
    assert angle not in answer("What is a drawdown?", assistant="economist")


def test_what_it_cannot_answer_it_says_with_three_questions_it_can():
    text = answer("Tell me about volatilty")
    assert "cannot answer this without a model" in text
    suggestions = [line for line in text.split("\n") if line.startswith("- ") and "*" in line]
    assert len(suggestions) == 3 and "Volatility" in suggestions[0]
    for suggestion in suggestions:
        assert "cannot answer" not in answer(suggestion)


def test_the_desk_comes_first_and_gets_the_request():
    asked = []
    report = "AAPL fell 27% in 2022.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    text = answer("What is beta of AAPL?", lambda r: asked.append(r) or iter([report[:9], report[9:]]), context={"symbols": ["AAPL"]})
    assert text.endswith(report) and text.startswith("> No model is configured")
    assert asked[0].context == {"symbols": ["AAPL"]}
    assert "### Beta" not in text


def test_where_the_desk_has_nothing_to_say_the_glossary_speaks():
    assert "### Beta" in answer("What is beta?", lambda r: None)


def test_a_desk_that_is_there_is_offered():
    assert "prices for" in answer("Tell me a joke", lambda r: None)
    assert "prices for" not in answer("Tell me a joke")


@pytest.mark.parametrize("report", ["a", " ", "\n\n  two   spaces \u2028 and\r\nlines\n\n", "word " * 1_000, "x" * 10_000, " \n" * 500])
def test_pieces_are_small_and_lose_nothing(report):
    found = pieces("x", lambda r: iter([report]))
    assert "".join(found).endswith("\n\n" + report)
    assert all(isinstance(piece, str) and piece and len(piece.split()) <= 4 for piece in found)


def test_a_stop_ends_it_at_the_next_piece():
    cancellation = Cancellation()
    stream = OfflineProvider().stream(request("What is beta?"), cancellation)
    assert isinstance(next(stream), Content)
    cancellation.cancel("stopped")
    with pytest.raises(Cancelled):
        next(stream)


def test_a_long_answer_lets_others_work():
    turns = []
    other = gevent.spawn(lambda: [turns.append(n) or gevent.sleep(0) for n in range(10)])
    answer("x", lambda r: iter(["word " * 4_000]))
    assert len(turns) == 10
    other.kill()


@pytest.mark.parametrize("question", ["", "😀" * 32_000, "\x00\r\n\u2028", "\ud800 lone", "x" * 32_000])
def test_no_question_breaks_it(question):
    assert "cannot answer this without a model" in answer(question)


@pytest.mark.parametrize(("question", "known"), [
    ("What is beta?", True), ("Who wins the next election?", False), ("How did the thing on the board do?", True),
])
def test_it_knows_whether_it_has_more_than_an_excuse(question, known):
    desk = OfflineProvider(lambda request: iter(["Figures."]) if "board" in request.question else None)
    assert desk.can_answer(request(question)) is known
    assert ("cannot answer this" in "".join(delta.text for delta in desk.stream(request(question), Cancellation()))) is not known
