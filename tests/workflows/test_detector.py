import time

import pytest

from scripts.evaluate_detector import LIMITS
from scripts.train_detector import CLASSES, load, macro_f1
from services.workflows.catalogue import WORKFLOWS
from services.workflows.detector import chosen, detect


def test_the_parts_of_the_labelled_set_share_no_message():
    train, test = ({message.text.casefold() for message in load(part)} for part in ("train", "test"))
    assert not train & test
    assert len(train) + len(test) >= 300 and len(test) >= 150
    assert {message.language for message in load("test")} == {"en", "de", "fr", "es"}


def test_it_keeps_its_limits_on_messages_it_was_not_trained_on():
    import numpy as np

    messages = load("test")
    guesses = [detect(message.text, message.symbols).workflow or "none" for message in messages]
    truth = np.array([CLASSES.index(message.workflow) for message in messages])
    guess = np.array([CLASSES.index(name) for name in guesses])
    assert macro_f1(truth, guess) >= LIMITS["macro-F1"]
    assert (guess[truth == 0] != 0).mean() <= LIMITS["false triggers"]


def test_the_answer_has_the_fields_of_the_contract():
    payload = detect("Should I invest in Apple for the next 3 years?", ["AAPL"]).payload()
    assert list(payload) == ["workflow", "name", "confidence", "reason", "symbols", "alternatives"]
    assert (payload["workflow"], payload["name"], payload["symbols"]) == ("investmentResearch", "Investment research", ["AAPL"])
    assert 0.5 < payload["confidence"] <= 1 and "should i" in payload["reason"]
    assert all(set(other) == {"workflow", "name", "confidence"} for other in payload["alternatives"])


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_workflow_can_be_asked_for_by_its_name(workflow):
    assert detect(f"Run the {WORKFLOWS[workflow].name} workflow on KO", ["KO"]).workflow == workflow


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("Don't run a full analysis of Apple, should I buy it?", "without one"),
        ("Just tell me: should I invest in Apple?", "short"),
        ("Buy 10 shares of Apple", "places no orders"),
        ("Kaufe 10 Apple-Aktien", "places no orders"),
        ("Run the market debate? No workflow please.", "without one"),
    ],
)
def test_what_is_certain_is_decided_by_rules(message, words):
    detection = detect(message, ["AAPL"])
    assert detection.workflow is None and words in detection.reason and detection.confidence > 0.9


@pytest.mark.parametrize(
    "message",
    ["I just inherited 50k, should I invest in Apple?", "Should I buy 10 shares of Apple?", "Buy, hold or sell Apple?", "I want to buy Apple. Good idea?"],
)
def test_words_of_a_rule_do_not_make_the_rule(message):
    assert detect(message, ["AAPL"]).workflow == "investmentResearch"


def test_the_persons_choice_is_certain():
    assert chosen("off").workflow is None
    assert chosen("marketDebate").payload()["workflow"] == "marketDebate"
    assert chosen("marketDebate").confidence == chosen("off").confidence == 1


def test_shouting_changes_nothing():
    text = "Should I invest in Apple for the next 3 years?"
    assert detect(text.upper() + "!!!", ["AAPL"]).workflow == detect(text, ["AAPL"]).workflow


@pytest.mark.parametrize("message", ["🙂", "🚀🚀🚀📈" * 500, "???", " \n\t ", "\u2028\u0085", "ﬁ" * 100, "\ud83d", "0" * 9000, "​"])
def test_what_says_nothing_starts_nothing(message):
    assert detect(message).workflow is None


BOMBS = {
    "words": "should i invest in apple " * 1300,
    "one word": "a" * 32_000,
    "spaces": " " * 32_000,
    "nested": "(" * 16_000 + ")" * 16_000,
    "backtracking": "aaaaaaaaaaaaaaaaaaaaaaaa!" * 1280,
    "percents": "1%" * 16_000,
    "accents": "é\u0301" * 16_000,
    "prefixes": "do not do not do not " * 1500,
    "emoji": "👨‍👩‍👧‍👦" * 4_500,
}


@pytest.mark.parametrize("message", BOMBS.values(), ids=BOMBS)
def test_32_000_characters_of_anything_take_under_5_ms(message):
    detect("warm up")
    message = message[:32_000]
    best = min(_seconds(message) for _ in range(5))
    assert best < 0.005


def _seconds(message: str) -> float:
    started = time.perf_counter()
    detect(message, ["AAPL"])
    return time.perf_counter() - started


@pytest.mark.parametrize("message", ["{pasted}\n\nShould I invest in Apple for the next 3 years?", "Should I invest in Apple for the next 3 years?\n\n{pasted}"])
def test_a_question_is_found_before_or_after_what_is_pasted(message):
    pasted = "The quick brown fox jumps over the lazy dog. " * 650
    assert detect(message.format(pasted=pasted), ["AAPL"]).workflow == "investmentResearch"
