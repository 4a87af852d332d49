"""services/market/references.py and marking.py: ids in prose become numbered notes, or are not shown."""

import time

import pytest

from services.market.evidence import EvidencePack
from services.market.measures import Item
from services.market.references import hidden, references
from services.presentation import answer_html, checked, plain_html, told

IDS = ("AAPL:cagr", "^GSPC:beta", "AAPL~KO:correlation", "verdict:confidence")
PACK = EvidencePack(items=tuple(Item(id, "A label", 0.12, "fraction", "a source", "a formula") for id in IDS))


def html(text: str) -> str:
    return answer_html(text, checked(text, PACK, ""))


def note(id: str, number: int) -> str:
    return f'<sup class="ref" tabindex="0" data-evidence="{id}">{number}</sup>'


def test_a_reference_becomes_a_number_and_the_same_id_the_same_number() -> None:
    text = "It grew [AAPL:cagr], the market too [^GSPC:beta]. Grew, again [AAPL:cagr]."
    first, second = note("AAPL:cagr", 1), note("^GSPC:beta", 2)
    assert html(text) == f"<p>It grew{first}, the market too{second}. Grew, again{first}.</p>\n"


@pytest.mark.parametrize("written", [
    "[AAPL:cagr][^GSPC:beta]", "[AAPL:cagr] [^GSPC:beta]", "[AAPL:cagr, ^GSPC:beta]", "(AAPL:cagr; ^GSPC:beta)", "AAPL:cagr and ^GSPC:beta",
    "[Evidence: AAPL:cagr, ^GSPC:beta]", "【AAPL:cagr, ^GSPC:beta】", "`AAPL:cagr` `^GSPC:beta`",
])
def test_several_in_a_row_are_several_notes(written: str) -> None:
    shown = html(f"So it is {written}.")
    assert shown.replace(" <sup", "<sup") == f"<p>So it is{note('AAPL:cagr', 1)}{note('^GSPC:beta', 2)}.</p>\n"


def test_pairs_and_the_verdict_can_be_named_too() -> None:
    assert html("Together [AAPL~KO:correlation] (verdict:confidence).") == (
        f"<p>Together{note('AAPL~KO:correlation', 1)}{note('verdict:confidence', 2)}.</p>\n")


def test_an_id_that_is_no_evidence_is_not_shown() -> None:
    assert html("Cheap [TSLA:pe_ratio], dear [MSFT:cagr, AAPL:cagr].") == f"<p>Cheap, dear{note('AAPL:cagr', 1)}.</p>\n"
    assert plain_html("Cheap [TSLA:pe_ratio] `AAPL:cagr`, dear.") == "<p>Cheap , dear.</p>\n"


def test_the_sources_are_listed_by_the_same_numbers() -> None:
    text = "12 % a year, and its beta is known [^GSPC:beta]."
    evidence = told(checked(text, PACK, ""))
    assert evidence["cited"][0] == "^GSPC:beta" and len(evidence["cited"]) == 2
    assert note("^GSPC:beta", 1) in html(text) and 'class="n"' in html(text)


@pytest.mark.parametrize("text", [
    "At 10:30, NASDAQ:AAPL, note:this, [Note:this], [sic:foo], C:windows, 12:am, urn:ISBN:x, a ratio of 2:1, https://AA:bb/cc_dd",
    "`x[1:n]` and {A:b}",
])
def test_other_colons_are_left_alone(text: str) -> None:
    assert hidden(text) == text and not list(references(text))


def test_a_figure_beside_a_reference_keeps_its_mark() -> None:
    shown = html("Growth of 12 % [AAPL:cagr] a year for AAPL.")
    assert '<span class="n" tabindex="0" data-evidence=' in shown and ">12 %</span>" + note("AAPL:cagr", 1) in shown


@pytest.mark.parametrize("piece", ["[A", "A^", "AAPL:", "AAPL:cagr ", "(AAPL:cagr, ", " ", "A~", "[Evidence: ", "x_y:"])
def test_it_costs_time_in_proportion_to_the_text(piece: str) -> None:
    text = piece * (200_000 // len(piece)) + ":"
    begun = time.process_time()
    hidden(text)
    assert time.process_time() - begun < 1
