import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.workflows.prose import Prose
from services.workflows.reading import is_broken, parse, split
from services.workflows.verdicts import from_payload

WHOLE = '{"stance": 0.4, "confidence": 62, "horizon": "1y", "summary": "Fine", "evidence": ["a:b"], "risks": ["rates"], "invalidation": "falls", "abstained": false}'


def test_a_fenced_object_is_read_whole():
    verdict = parse(f"Prose.\n\n```json\n{WHOLE}\n```")
    assert (verdict.stance, verdict.confidence, verdict.horizon, verdict.summary) == (0.4, 62, "1y", "Fine")
    assert (verdict.evidence_ids, verdict.risks, verdict.invalidation, verdict.abstained) == (("a:b",), ("rates",), "falls", False)


def test_a_verdict_survives_its_payload():
    verdict = parse(WHOLE)
    assert from_payload(json.loads(json.dumps(verdict.payload()))) == verdict


@pytest.mark.parametrize(
    "text",
    [
        f"Prose.\n{WHOLE}",
        f"Prose.\n```\n{WHOLE}\n```\nAnd a goodbye.",
        f"Prose.\n```JSON\n{WHOLE}\n```".replace("JSON", "json"),
        "Prose.\n```json\n" + WHOLE.replace("false}", "false,}") + "\n```",
        "Prose.\n```json\n" + WHOLE.replace('["rates"]', '["rates",]') + "\n```",
        "Prose.\n" + WHOLE.replace('"', "'").replace("false", "False"),
        "Prose.\n```json\n{\n// my view\n" + WHOLE[1:] + "\n```",
        'Prose.\n```json\n{"verdict": ' + WHOLE + "}\n```",
        "A table first:\n```\na b\n```\nProse.\n```json\n" + WHOLE + "\n```",
        "Prose.\n```json\n" + WHOLE.replace("Fine", "One {brace} and \\\"quotes\\\"") + "\n```",
    ],
)
def test_what_models_do_to_json_is_read_all_the_same(text):
    verdict = parse(text)
    assert (verdict.stance, verdict.confidence) == (0.4, 62)
    assert "stance" not in split(text)[0] and "Prose." in split(text)[0]


@pytest.mark.parametrize("length", range(1, len(WHOLE)))
def test_half_an_object_gives_what_was_whole_or_nothing(length):
    verdict = parse(f"Prose.\n\n```json\n{WHOLE[:length]}")
    if verdict is not None:
        assert (verdict.stance, verdict.confidence) == (0.4, 62)


@pytest.mark.parametrize(
    ("written", "stance"),
    [(0.5, 0.5), ("0,5", 0.5), (-3, -0.3), (70, 0.7), ("+0.2", 0.2), (5000, 1), ("bullish", 0.5), ("Strong Sell", -0.8), ("neutral", 0),
     ("haussier", 0.5), ("bajista", -0.5), ("sehr positiv", 0.8)],
)
def test_a_stance_is_a_number_or_a_word(written, stance):
    assert parse(json.dumps({"stance": written, "confidence": 50})).stance == pytest.approx(stance)


@pytest.mark.parametrize(
    ("written", "confidence"), [(62, 62), (0.62, 62), ("62%", 62), ("62 / 100", 62), ("7/10", 70), ("high", 80), (150, 100), (-5, 0), (1, 1), ("hoch", 80)]
)
def test_a_confidence_is_a_percentage_however_it_is_written(written, confidence):
    assert parse(json.dumps({"stance": 0, "confidence": written})).confidence == confidence


@pytest.mark.parametrize(
    "written",
    ["{}", '{"stance": 0.4}', '{"stance": null, "confidence": 5}', '{"stance": NaN, "confidence": 5}', '{"stance": true, "confidence": 5}',
     '{"stance": "purple", "confidence": 5}', "[1, 2]", '{"stance": [], "confidence": {}}', "{" * 5000, '{"a":' * 5000, ""],
)
def test_what_cannot_be_trusted_is_no_verdict(written):
    assert parse(written) is None


@pytest.mark.parametrize(
    ("prose", "stance", "confidence"),
    [("Up.\n\n**Stance:** bullish\n**Confidence:** 70%", 0.5, 70), ("- Haltung: negativ\n- Konfidenz: 40 %", -0.5, 40), ("Avis : haussier\nConfiance : 60", 0.5, 60)],
)
def test_a_verdict_stated_in_prose_is_read(prose, stance, confidence):
    assert (parse(prose).stance, parse(prose).confidence) == (stance, confidence)


@pytest.mark.parametrize("prose", ["I am bullish and confident.", "The stance of the Fed: unclear.", "Stance: bullish", "Confidence: 70%"])
def test_prose_that_states_no_verdict_has_none(prose):
    assert parse(prose) is None and not is_broken(prose)


def test_who_abstains_has_no_stance():
    verdict = parse('{"stance": 0.9, "confidence": 90, "summary": "No data", "abstained": true}')
    assert (verdict.stance, verdict.confidence, verdict.label, verdict.summary) == (0, 0, "abstained", "No data")


@pytest.mark.parametrize("piece", ["```json\n{", "{\n", "[" * 10 + '"', "```", '{"a": "', "\\", ", "])
def test_a_megabyte_of_anything_is_read_in_linear_time(piece):
    started = time.perf_counter()
    parse(piece * (1_000_000 // len(piece)))
    assert time.perf_counter() - started < 3


@given(st.text(alphabet='ab \n`{}"[]:,\\1', max_size=80), st.lists(st.integers(1, 9), max_size=40))
def test_streamed_prose_is_always_a_beginning_of_the_final_prose(text, sizes):
    prose, shown, at = Prose(), "", 0
    for size in [*sizes, len(text) + 1]:
        shown += prose.feed(text[at : at + size])
        at += size
    assert split(text)[0].startswith(shown)
    assert shown + prose.end() == split(text)[0]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_no_piece_of_a_verdict_is_shown_however_it_is_cut(size):
    text, prose = f"First line.\n\nSecond `code` line.\n\n```json\n{WHOLE}\n```\n", Prose()
    shown = "".join(prose.feed(text[at : at + size]) for at in range(0, len(text), size))
    assert shown + prose.end() == "First line.\n\nSecond `code` line."


def test_discarding_takes_back_what_was_shown():
    prose = Prose()
    prose.feed("Right. Wrong")
    assert prose.discard(7) == len("Right.")
    prose.feed("again")
    assert prose.end() == "" and prose.shown == "Right. again"
