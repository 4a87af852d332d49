"""Sources over real sockets: one that hangs, trickles, lies or limits is passed over in its time, and the reason is said."""

import json
import subprocess
import sys
import textwrap
import time
from collections import Counter
from datetime import UTC, date, datetime

import gevent
import pytest

from services.market.cache import FileCache, MemoryCache
from services.market.config import MarketSettings
from services.market.desk import MarketDesk
from services.market.failures import NoData
from services.market.instruments import Instrument, catalogue
from services.market.sources import Sources
from tests.market.server import SourceServer, waited, weekdays, yahoo

LIMIT = 0.4
AAPL = catalogue().by_symbol["AAPL"]
NOW = datetime(2024, 3, 29, 12, tzinfo=UTC).timestamp()
DAYS = weekdays("2022-01-03", 580)


def settings(**addresses: str) -> MarketSettings:
    """Only the sources that are given an address here, so that nothing is ever asked outside."""
    keys = {"yahoo": {"YAHOO_CHART": "1"}, "twelvedata": {"TWELVEDATA_API_KEY": "k3y"}}
    environ = {"MARKET_TIMEOUT": str(LIMIT)}
    for name, address in addresses.items():
        environ |= {f"{name.upper()}_BASE_URL": address} | keys[name]
    return MarketSettings.from_environ(environ)


def answering(conversation) -> None:
    """Yahoo with a price a day that climbs by one, for the days asked for."""
    first, last = (datetime.fromtimestamp(int(conversation.query[n][0]), UTC).date().isoformat() for n in ("period1", "period2"))
    within = [(d, 100.0 + i) for i, d in enumerate(DAYS) if first <= d < last]
    conversation.json(yahoo([d for d, _ in within], [p for _, p in within]))


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("hang", "did not answer within"), ("trickle_body", "did not"),
        (lambda c: c.send(b"<!doctype html><html>Consent</html>", "200 OK", "Content-Type: text/html"), "a page or text"),
        (lambda c: c.send(b"slow down", "429 Too Many Requests", "Retry-After: 120"), "quota"),
        (lambda c: c.send(b"", "302 Found", "Location: http://127.0.0.1:9/consent"), "refused"),
        (lambda c: c.send(b"no", "401 Unauthorized"), "refused"),
        (lambda c: c.send(b'{"chart": {"result": [{"time', "200 OK"), "cut short or is not JSON"),
        (lambda c: c.send(b'{"chart":', "200 OK", length=5000), "cut short"),
        (lambda c: c.send(b"oops", "503 Service Unavailable"), "error (503)"),
        (lambda c: c.json({"chart": {"result": [{"meta": {}, "timestamp": ["soon"], "indicators": {}}]}}), "shape"),
        (lambda c: c.json(yahoo([], [])), "no prices"),
        (lambda c: c.json(yahoo(["2024-01-02"], [None])), "no prices"),
        (lambda c: c.connection.close(), "could not be reached"),
    ],
)
def test_a_bad_source_is_passed_over_in_time_with_its_reason(behaviour, reason) -> None:
    with SourceServer(lambda c: None) as server:
        server.behaviour = getattr(server, behaviour) if isinstance(behaviour, str) else behaviour
        begun = time.monotonic()
        found = Sources(settings(yahoo=server.address), MemoryCache(), clock=lambda: NOW).bars(AAPL, date(2022, 1, 3), date(2022, 12, 28))
        assert waited(begun) < LIMIT + 0.5
    assert found.source.name == "embedded" and found.bars.last == date(2022, 12, 28)
    assert len(found.notes) == 1 and found.notes[0].startswith("Yahoo chart API was passed over") and reason in found.notes[0]
    assert "127.0.0.1" not in found.notes[0]


def test_the_limit_holds_for_a_head_that_trickles_and_the_event_loop_goes_on() -> None:
    """In a process as the server runs: patched, with other greenlets to serve."""
    program = textwrap.dedent("""
        import gevent.monkey; gevent.monkey.patch_all()
        import gevent, json, time
        from datetime import date
        from tests.market.server import SourceServer, yahoo, weekdays
        from tests.market.test_sources import settings, AAPL
        from services.market.cache import MemoryCache
        from services.market.sources import Sources
        days = weekdays("1990-01-01", 8800)
        large = json.dumps(yahoo(days, [100.0 + i % 7 for i in range(len(days))], volume=[1.5] * len(days))).encode()
        worst = [0.0]
        def watch():
            while True:
                at = time.monotonic(); gevent.sleep(0.005); worst[0] = max(worst[0], time.monotonic() - at - 0.005)
        out = {}
        for name in ("trickle_head", "trickle_body", "hang", "large"):
            with SourceServer(lambda c: c.send(large)) as server:
                if name != "large": server.behaviour = getattr(server, name)
                sources = Sources(settings(yahoo=server.address), MemoryCache())
                watcher = gevent.spawn(watch); gevent.sleep(0.02); worst[0] = 0.0
                at = time.monotonic(); found = sources.bars(AAPL, date(1990, 1, 2), date(2022, 12, 28))
                out[name] = [time.monotonic() - at, found.source.name, worst[0]]
                watcher.kill()
        print(json.dumps(out))
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    out = json.loads(done.stdout)
    for name in ("trickle_head", "trickle_body", "hang"):
        assert out[name][0] < LIMIT + 0.4 and out[name][1] == "embedded", (name, out[name])
    assert out["large"][1] == "yahoo"
    assert max(stall for *_, stall in out.values()) < 0.25, out  # 5 to 15 ms on a quiet machine


def test_the_next_source_is_asked_when_the_first_fails_and_the_reason_is_kept() -> None:
    rows = {"status": "ok", "values": [{"datetime": d, "close": "10"} for d in weekdays("2024-01-01", 20)]}
    with SourceServer(lambda c: c.send(b"", "429 Too Many Requests")) as first, SourceServer(lambda c: c.json(rows)) as second:
        found = Sources(settings(yahoo=first.address, twelvedata=second.address), MemoryCache(), clock=lambda: NOW).bars(
            AAPL, date(2024, 1, 1), date(2024, 1, 26))
    assert found.source.name == "twelvedata" and "quota" in found.notes[0]
    assert second.requests[0].query["apikey"] == ["k3y"]


def test_a_source_whose_prices_end_early_is_asked_last() -> None:
    """A stale source gives way to a current one; with no other, its prices are what there is, and that is said."""
    old, new = ([{"datetime": d, "close": "10"} for d in weekdays(first, 20)] for first in ("2024-01-01", "2024-03-04"))
    document = yahoo([r["datetime"] for r in old], [9.0] * 20)
    with SourceServer(lambda c: c.json(document)) as first, SourceServer(lambda c: c.json({"status": "ok", "values": new})) as second:
        both, one = settings(yahoo=first.address, twelvedata=second.address), settings(yahoo=first.address)
        found = Sources(both, MemoryCache(), clock=lambda: NOW).bars(AAPL, date(2024, 1, 1), date(2024, 3, 29))
        assert found.source.name == "twelvedata" and "newest price is of 2024-01-26" in found.notes[0]
        found = Sources(one, MemoryCache(), clock=lambda: NOW).bars(AAPL, date(2024, 1, 1), date(2024, 3, 29))
        assert found.source.name == "yahoo" and "newest price is of 2024-01-26" in found.notes[0]


def test_no_key_reaches_a_log_even_at_debug(caplog) -> None:
    caplog.set_level("DEBUG")
    with SourceServer(lambda c: c.send(b"", "500 Oops")) as server:
        Sources(settings(twelvedata=server.address), MemoryCache(), clock=lambda: NOW).bars(AAPL, date(2022, 1, 3), date(2022, 12, 28))
        assert server.requests[0].query["apikey"] == ["k3y"]
    assert "k3y" not in caplog.text


def test_a_source_that_limits_is_left_alone_for_as_long_as_it_says() -> None:
    clock = [NOW]
    with SourceServer(lambda c: c.send(b"", "429 Too Many Requests", "Retry-After: 90")) as server:
        sources = Sources(settings(yahoo=server.address), MemoryCache(), clock=lambda: clock[0])
        for _ in range(3):
            found = sources.bars(AAPL, date(2022, 1, 3), date(2022, 12, 28))
        assert len(server.requests) == 1 and "left alone" in found.notes[0]
        clock[0] += 91
        sources.bars(AAPL, date(2022, 1, 3), date(2022, 12, 28))
        assert len(server.requests) == 2


def test_settled_days_are_fetched_once_and_todays_again_after_a_while() -> None:
    clock, cache = [NOW], MemoryCache()
    with SourceServer(answering) as server:
        def ask(end: date) -> object:
            return Sources(settings(yahoo=server.address), cache, clock=lambda: clock[0]).bars(AAPL, date(2023, 1, 2), end)

        ask(date(2024, 2, 29))
        clock[0] += 30 * 86400
        again = ask(date(2024, 2, 29))
        assert len(server.requests) == 1 and again.source.name == "yahoo"
        clock[0] = NOW
        ask(date(2024, 3, 29))
        ask(date(2024, 3, 29))
        assert len(server.requests) == 2
        clock[0] += 61
        ask(date(2024, 3, 29))
        assert len(server.requests) == 3
        assert "2024-03" in datetime.fromtimestamp(int(server.requests[2].query["period1"][0]), UTC).isoformat()


def test_restated_history_is_fetched_whole() -> None:
    """After a split every adjusted price before it is another: what is kept must not be joined to it."""
    cache, factor, clock = MemoryCache(), [1.0], [NOW]

    def behave(conversation) -> None:
        first = datetime.fromtimestamp(int(conversation.query["period1"][0]), UTC).date().isoformat()
        within = [(d, (100.0 + i) / factor[0]) for i, d in enumerate(DAYS) if d >= first]
        conversation.json(yahoo([d for d, _ in within], [p for _, p in within]))

    with SourceServer(behave) as server:
        sources = Sources(settings(yahoo=server.address), cache, clock=lambda: clock[0])
        sources.bars(AAPL, date(2023, 1, 2), date(2024, 3, 29))
        factor[0], clock[0] = 4.0, NOW + 120
        found = sources.bars(AAPL, date(2023, 1, 2), date(2024, 3, 29))
    assert found.bars.first == date(2023, 1, 2) and found.bars.close.max() < 200 and len(server.requests) == 3


def test_one_fetch_at_a_time_for_a_key() -> None:
    with SourceServer(lambda c: (time.sleep(0.15), answering(c))) as server:
        sources = Sources(settings(yahoo=server.address), MemoryCache(), clock=lambda: NOW)
        jobs = [gevent.spawn(sources.bars, AAPL, date(2023, 1, 2), date(2024, 2, 29)) for _ in range(8)]
        gevent.joinall(jobs, raise_error=True)
        assert len(server.requests) == 1


def test_an_empty_answer_is_never_kept() -> None:
    class Watched(MemoryCache):
        puts = 0

        def put(self, key: str, value: bytes) -> None:
            Watched.puts += 1

    with SourceServer(lambda c: c.json(yahoo([], []))) as server:
        Sources(settings(yahoo=server.address), Watched(), clock=lambda: NOW).bars(AAPL, date(2022, 1, 3), date(2022, 12, 28))
    assert Watched.puts == 0


def test_with_the_network_gone_the_cache_answers_and_says_its_age() -> None:
    cache, toyota = MemoryCache(), catalogue().by_symbol["7203.T"]
    with SourceServer(answering) as server:
        sources = Sources(settings(yahoo=server.address), cache, clock=lambda: NOW)
        sources.bars(toyota, date(2023, 1, 2), date(2024, 3, 28))
    later = Sources(settings(yahoo=server.address), cache, clock=lambda: NOW + 10 * 86400)
    found = later.bars(toyota, date(2023, 1, 2), date(2024, 4, 5))
    assert len(found.bars) > 200 and "could not be reached" in found.notes[0] and "fetched on 2024-03-29" in found.notes[-1]


def test_a_broken_cache_entry_is_a_miss() -> None:
    cache = MemoryCache()
    cache.put("bars:AAPL", b"PK\x03\x04 nonsense")
    with SourceServer(answering) as server:
        assert Sources(settings(yahoo=server.address), cache, clock=lambda: NOW).bars(AAPL, date(2023, 1, 2), date(2024, 2, 29)).source.name == "yahoo"


def test_nobody_has_it() -> None:
    with pytest.raises(NoData, match="no other source"):
        Sources(MarketSettings(), MemoryCache()).bars(Instrument("XYZ", "XYZ", "", ""), date(2022, 1, 1), date(2022, 2, 1))


def test_nothing_leaves_the_house_unless_it_is_configured() -> None:
    def fetch(*args, **kwargs):
        raise AssertionError("the network was asked")

    desk = MarketDesk(MarketSettings.from_environ({}), MemoryCache(), fetch=fetch)
    assert desk.evidence("AAPL, KO and the economy").items and desk.sources(ask=True)


def test_the_order_is_the_declared_one_and_a_wrong_name_is_refused() -> None:
    assert MarketSettings.from_environ({"MARKET_SOURCES": "finnhub, yahoo"}).order == ("finnhub", "yahoo", "embedded")
    with pytest.raises(ValueError, match="bloomberg"):
        MarketSettings.from_environ({"MARKET_SOURCES": "bloomberg"})
    assert "s3cret" not in repr(MarketSettings.from_environ({"FRED_API_KEY": "s3cret"}))


def test_files_keep_values_under_names_no_symbol_can_choose(tmp_path) -> None:
    cache = FileCache(tmp_path / "bars")
    assert cache.get("../../etc/passwd") is None
    cache.put("../../etc/passwd", b"1")
    cache.put("../../etc/passwd", b"2")
    assert cache.get("../../etc/passwd") == b"2" and Counter(p.parent for p in tmp_path.rglob("*.npz")) == {tmp_path / "bars": 1}


def test_fred_and_the_sec_are_asked_with_what_they_want() -> None:
    def fred(conversation) -> None:
        conversation.json({"observations": [{"date": f"{y}-01-01", "value": str(100 + y - 2020)} for y in (2023, 2024)]})

    def sec(conversation) -> None:
        if "tickers" in conversation.path:
            conversation.json({"0": {"cik_str": 320193, "ticker": "AAPL"}})
        else:
            conversation.json({"facts": {"us-gaap": {"NetIncomeLoss": {"units": {"USD": [
                {"start": "2021-09-26", "end": "2022-09-24", "val": 99_803_000_000, "filed": "2022-10-28", "form": "10-K"}]}}}}})

    with SourceServer(fred) as one, SourceServer(sec) as two:
        desk = MarketDesk(MarketSettings.from_environ({
            "FRED_API_KEY": "k", "FRED_BASE_URL": one.address, "SEC_CONTACT": "ops@example.org", "SEC_BASE_URL": two.address,
            "SEC_FILES_BASE_URL": two.address}))
        pack = desk.evidence("AAPL and inflation")
    assert pack.item("macro:inflation").source == "FRED"
    assert pack.item("AAPL:net_income").value == 99_803_000_000 and "filed 2022-10-28" in pack.item("AAPL:net_income").source
    assert two.requests[1].path == "/api/xbrl/companyfacts/CIK0000320193.json"
    assert all("ops@example.org" in request.head for request in two.requests)


def test_the_sec_is_asked_at_most_ten_times_a_second() -> None:
    from services.market.fundamentals import Pace

    pace, begun = Pace(10), time.monotonic()
    gevent.joinall([gevent.spawn(pace.wait) for _ in range(5)], raise_error=True)
    assert waited(begun) >= 0.4
