"""From text to instruments: words are no tickers, symbols of the whole world are, ambiguity is said."""

import time

import pytest

from services.market.instruments import catalogue
from services.market.symbols import resolve, well_formed


def symbols(text: str, *listed: str) -> list[str]:
    return [i.symbol for i in resolve(text, listed).instruments]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("How risky is AAPL compared with KO?", ["AAPL", "KO"]),
        ("$T and BRK.B, 7203.T, 0700.HK, SAP.DE and BTC", ["T", "BRK.B", "7203.T", "0700.HK", "SAP.DE", "BTC-USD"]),
        ("BRK-B or BTC-USD", ["BRK.B", "BTC-USD"]),
        ("Apple against toyota", ["AAPL", "7203.T"]),
        ("the S&P 500, the s&p500 and ^GSPC", ["^GSPC"]),
        ("FTSE 100, Nikkei, DAX and the Nasdaq", ["^FTSE", "^N225", "^GDAXI", "^IXIC"]),
        ("Is Gartner (IT) cheap?", ["IT"]),
        ("Is ALL, the insurer, a buy?", ["ALL"]),
        ("I hold shares of NOW", ["NOW"]),
        ("NYSE: T", ["T"]),
        ("$now", ["NOW"]),
        ("40% KO, 60% MSFT", ["KO", "MSFT"]),
        ("60% V, 40% A", ["V", "A"]),
        ("aapl or msft?", ["AAPL", "MSFT"]),
        ("Coca-Cola's beta, McDonald's and Bank of America's risk", ["KO", "MCD", "BAC"]),
        ("Nestlé or L'Oréal", ["NESN.SW", "OR.PA"]),
        ("J.P. Morgan and Johnson & Johnson", ["JPM", "JNJ"]),
        ("AT&T", ["T"]),
        ("Mitsubishi Electric, not Mitsubishi UFJ", ["6503.T", "8306.T"]),
        ("I like Target", ["TGT"]),
    ],
)
def test_what_names_an_instrument_is_found(text, expected) -> None:
    assert symbols(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "IT spending: ALL of us SO far GO ON NOW", "A CEO in the USA buys an ETF when the RSI says so", "What is beta? And VaR?",
        "How would a 50 bp cut hit banks?", "Explain the price to earnings ratio", "What is my target price?", "U.S. and U.K. GDP",
        "A 60/40 portfolio", "It is the best buy in tech", "open a position", "T-bill rate", "", "🙂 \u2028 \x00", "I ONLY ASK WHAT ALL OF IT IS FOR NOW",
        "meta analysis", "the gap between rich and poor", "$5 and $1,000", "is this a key risk", "What does A mean?",
    ],
)
def test_a_word_is_no_ticker(text) -> None:
    assert symbols(text) == []


def test_a_listed_symbol_is_meant_as_one() -> None:
    assert symbols("", "IT", "all", " brk-b ", "Apple", "GSPC") == ["IT", "ALL", "BRK.B", "AAPL", "^GSPC"]


def test_an_ambiguous_name_is_said_with_its_candidates_and_none_is_chosen() -> None:
    found = resolve("Should I buy Merck?")
    assert found.instruments == ()
    assert [(a.text, [c.symbol for c in a.candidates]) for a in found.ambiguous] == [("Merck", ["MRK", "MRK.DE"])]


def test_a_symbol_beside_the_name_settles_it() -> None:
    found = resolve("Merck (MRK)")
    assert [i.symbol for i in found.instruments] == ["MRK"] and found.ambiguous == ()


def test_an_unknown_symbol_comes_with_the_nearest() -> None:
    found = resolve("What about $APPL?", ["MSFF"])
    assert [(u.text, "MSFT" in [n.symbol for n in u.nearest]) for u in found.unknown][0] == ("MSFF", True)
    assert "AAPL" in [n.symbol for n in found.unknown[1].nearest]


def test_every_instrument_is_found_by_its_own_symbol() -> None:
    known = catalogue().by_symbol
    assert len(known) > 1000
    assert [s for s in known if symbols("", s) != [s]] == []


def test_mentions_say_where() -> None:
    text = "🙂 AAPL or Coca-Cola"
    assert [text[m.start : m.end] for m in resolve(text).mentions] == ["AAPL", "Coca-Cola"]


@pytest.mark.parametrize("symbol", ["a/b", "..", "../etc", "A..B", "", "A" * 17, "A B", "A%2FB", "\x00", "AAPL\n", "ÄÖ"])
def test_what_can_be_no_symbol_is_refused(symbol) -> None:
    assert not well_formed(symbol)


def test_the_longest_message_is_read_in_linear_time() -> None:
    short, long = ("the quick AAPL and apple $T brown, " * n for n in (90, 900))
    resolve(short)
    assert timed(long) < 25 * max(timed(short), 0.004)


def timed(text: str) -> float:
    """The best of three: a busy machine makes any single one long."""
    times = []
    for _ in range(3):
        begun = time.process_time()
        resolve(text)
        times.append(time.process_time() - begun)
    return min(times)


def test_a_thousand_unknown_symbols_cost_no_more_than_a_few() -> None:
    text = " ".join(f"$Q{chr(65 + i // 26 % 26)}{chr(65 + i % 26)}X" for i in range(676)) * 2
    resolve("$QQQX")
    begun = time.process_time()
    assert len(resolve(text).unknown) == 5
    assert time.process_time() - begun < 1
