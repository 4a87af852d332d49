"""The checker: no false mark on correct prose, every planted wrong figure found, in linear time."""

import re
import time

import pytest

from services.market.desk import MarketDesk
from services.market.evidence import EvidencePack
from services.market.grounding import check, unmatched
from services.market.marking import text_rule
from tests.market.grounding_cases import QUESTION, SOUND, WRONG

PLANTED = re.compile("⟦(.*?)⟧")


@pytest.fixture(scope="module")
def pack() -> EvidencePack:
    return MarketDesk().evidence(QUESTION, {"timeframe": "1y"})


@pytest.mark.parametrize("text", SOUND)
def test_correct_prose_gets_no_false_mark(text, pack) -> None:
    assert [(m.text, m.reason) for m in unmatched(check(text, pack, QUESTION))] == []


@pytest.mark.parametrize("planted", WRONG)
def test_a_planted_figure_is_found_and_nothing_else(planted, pack) -> None:
    text = PLANTED.sub(r"\1", planted)
    assert [m.text for m in unmatched(check(text, pack, QUESTION))] == PLANTED.findall(planted)


def test_a_borne_out_figure_names_its_item(pack) -> None:
    marks = check("AAPL: volatility 35.5 %, beta 1.31; KO: beta 0.49.", pack)
    assert [m.evidence_id for m in marks] == ["AAPL:volatility", "AAPL:beta", "KO:beta"]


def test_a_distance_names_the_distance_and_not_one_of_the_two_prices_it_lies_between(pack) -> None:
    distance = next(item for item in pack.items if item.id == "AAPL:above_sma200")
    shown = f"{distance.value * 100:.1f} %".replace("-", "−")
    assert [m.evidence_id for m in check(f"- AAPL distance from the 200-day average {shown}: weak\n", pack)] == [distance.id]


def test_a_mark_lies_on_code_points(pack) -> None:
    text = "📉 Ünïcode first: AAPL’s beta is 1.31 and the target is $182."
    assert [text[m.start : m.end] for m in check(text, pack)] == ["1.31", "$182"]
    assert check(text, pack)[1].as_dict()["evidenceId"] is None


def test_what_the_user_said_is_left_alone(pack) -> None:
    assert unmatched(check("You have $25,000, that is 25,000 dollars.", pack, QUESTION)) == []
    assert [m.text for m in unmatched(check("You have $26,000.", pack, QUESTION))] == ["$26,000"]


def test_without_evidence_every_figure_is_open() -> None:
    assert [m.text for m in unmatched(check("It fell 12 % to $80 in 2022, on 3 days.", EvidencePack()))] == ["12 %", "$80"]


def test_a_wrong_symbol_is_told_apart_from_a_wrong_value(pack) -> None:
    assert "something else" in check("KO's volatility of 35.5 % is high.", pack)[0].reason
    assert "No figure" in check("KO's volatility of 45.5 % is high.", pack)[0].reason


def test_an_answer_of_any_length_is_checked_in_linear_time(pack) -> None:
    text = "Apple's volatility of 35.5 % beats 12.34 % and [1,2,3] | 4.5 | $9.99 and KO. "
    check(text, pack)
    most = 25 * max(timed(text * 40, pack), 0.01)
    assert timed(text * 400, pack, enough=most) < most


@pytest.mark.parametrize("hostile", ["1" * 20_000, "1," * 4_000, "| " * 10_000, "$" * 20_000, "-" * 20_000 + "1", "every " * 4000 + "5 %", " " * 20_000 + "1."])
def test_hostile_text_does_not_hang(hostile, pack) -> None:
    assert timed(hostile, pack, enough=2.0) < 2.0


def test_the_rule_wraps_each_figure_where_it_stands(pack) -> None:
    text = "135.5 % no. Volatility of AAPL is **35.5 %** & <b> a target of $182."
    rule = text_rule(text, check(text, pack))
    html = rule("135.5 % no. Volatility of AAPL is ") + rule("35.5 %") + rule(" & <b> a target of $182.")
    assert '<span class="n" tabindex="0" data-evidence="AAPL:volatility">35.5 %</span>' in html
    assert html.endswith(' &amp; &lt;b&gt; a target of <span class="n open" tabindex="0" role="mark">$182</span>.')
    assert html.startswith('<span class="n open" tabindex="0" role="mark">135.5 %</span> no.')


def timed(text: str, pack: EvidencePack, enough: float = 0.0) -> float:
    """The best of three: a busy machine makes any single one long. One below `enough` needs no better."""
    times = []
    for _ in range(3):
        begun = time.process_time()
        check(text, pack)
        times.append(time.process_time() - begun)
        if times[-1] < enough:
            break
    return min(times)


def test_figures_changed_by_a_tenth_or_a_third_are_found_nineteen_times_in_twenty(pack) -> None:
    """Each borne-out figure of the sound prose, falsified; what slips through equals another figure the words allow."""
    tried = found = 0
    for text in SOUND:
        for mark in check(text, pack, QUESTION):
            digits = re.search(r"\d[\d,]*(?:\.\d+)?", mark.text)
            places = len(digits[0].partition(".")[2])
            for factor in (1.09, 0.87, 1.31):
                wrong = f"{float(digits[0].replace(',', '')) * factor:,.{places}f}"
                if wrong == digits[0]:
                    continue
                at = mark.start + digits.start()
                changed = text[:at] + wrong + text[at + len(digits[0]) :]
                tried += 1
                found += any(m.start == mark.start and m.evidence_id is None for m in check(changed, pack, QUESTION))
    assert tried > 250 and found / tried >= 0.95
