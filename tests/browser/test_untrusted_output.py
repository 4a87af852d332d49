"""Hundreds of XSS payloads as a model's words, a source's words and a provider's names: nothing runs, nothing is asked for.

Twice each: as served, where not even a violation of the content security policy may be reported, because markup of ours
has to be clean by itself; and with the policy switched off in the browser, so that nothing but the markup protects.
"""

import random
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from services.workflows.catalogue import WORKFLOWS
from tests.browser.conftest import Site
from tests.browser.test_answers import answer, ask, complete
from tests.market.server import Conversation, SourceServer
from tests.support.fake_provider import DONE, END, Received, Script, Step, chunk, events, ok, stop
from tests.workflows.fakes import verdict

PAYLOADS = Path(__file__).resolve().parents[1] / "data" / "xss_payloads.txt"
OPEN_ENDED = "# fences that nothing closes"
ESCAPE = re.compile(r"\\(\\|n|r|t|u[0-9A-Fa-f]{4})")
LETTERS = {"\\": "\\", "n": "\n", "r": "\r", "t": "\t"}
NODES = {node.task: node.id for node in WORKFLOWS["investmentResearch"].nodes}

# What would run calls ran(); what asks the user something is no better.
TRIPWIRES = """
window.ran = (what) => tell("script: " + what);
for (const name of ["alert", "confirm", "prompt", "print", "open"]) window[name] = () => tell("script: " + name);
addEventListener("securitypolicyviolation", (event) => tell("policy: " + event.violatedDirective + " " + event.blockedURI));
"""

# Markup that no answer, agent, card or name may have; and links whose address or shown host is not what it seems.
AUDIT = """() => {
    const found = [];
    const report = (element) => found.push(element.outerHTML.slice(0, 200));
    const allowed = new Set("a blockquote br code div em h3 h4 h5 h6 hr li ol p pre s span strong sub sup table tbody td th thead tr ul".split(" "));
    const attributes = new Set("href rel class start tabindex role aria-label aria-describedby data-evidence data-end data-slot data-kind".split(" "));
    const odd = (element) => !allowed.has(element.localName) || element.getAttributeNames().some((name) => !attributes.has(name));
    for (const place of document.querySelectorAll(".prose, .agent-text, .reasoning-text, .made > span, .sources li > *, #evidence-card dd"))
        for (const element of place.querySelectorAll("*"))
            if (!element.closest(".mk-figure") && odd(element)) report(element);  // charts are ours
    for (const element of document.querySelectorAll("*"))
        if (element.getAttributeNames().some((name) => name.startsWith("on"))) report(element);
    document.querySelectorAll("main :is(script, style, link, meta, base, img, image, picture, iframe, object, embed, video, audio, [style])").forEach(report);
    if (document.scripts.length !== 1 || document.querySelector("base, meta[http-equiv]")) report(document.head);
    for (const link of document.querySelectorAll(".prose a[href], .agent-text a[href]")) {
        const said = link.textContent + " " + (link.nextElementSibling?.matches(".host") ? link.nextElementSibling.textContent : "");
        const host = link.protocol === "mailto:" ? "" : link.hostname;
        if (!["http:", "https:", "mailto:"].includes(link.protocol) || !said.toLowerCase().includes(host)) report(link);
    }
    return found;
}"""


def payloads() -> tuple[list[str], list[str]]:
    """Those that end by themselves, and those that take in whatever follows."""
    closed, _, open_ended = PAYLOADS.read_text().partition(OPEN_ENDED)
    return _lines(closed), _lines(open_ended.partition("\n")[2])


def _lines(text: str) -> list[str]:
    return [ESCAPE.sub(_letter, line) for line in text.split("\n") if line.strip() and not line.startswith("# ")]


def _letter(escape: re.Match) -> str:
    return LETTERS.get(escape[1]) or chr(int(escape[1][1:], 16))


def batches() -> list[str]:
    """All payloads in as many answers as there are payloads that nothing closes."""
    closed, open_ended = payloads()
    return ["\n\n".join([*closed[number::len(open_ended)], last]) for number, last in enumerate(open_ended)]


BATCHES = batches()
NAMES = ['"><img src=x onerror=ran(1)>', "</span><script>ran(1)</script>", "<svg/onload=ran(1)>", "' onpointerover=ran(1) '", "javascript:ran(1)"]


def scattered(text: str, seed: int, *, model: str = "fake-1", reasoning: str = "", hold: threading.Event | None = None) -> list[Step]:
    """`text` in tokens of random lengths, sent in pieces of random lengths: tags, escapes and frames are all torn.

    The last quarter comes once `hold` is set.
    """
    dice = random.Random(seed)
    said = [chunk("", role="assistant", model=model)] + [chunk(None, reasoning_content=part, model=model) for part in _torn(reasoning, dice, 400)]
    said += [chunk(part, model=model) for part in _torn(text, dice, 16)]
    wire = events(*said)
    late, steps = len(wire) * 3 // 4, [ok()]
    for at, piece in _places(wire, dice, 6000):
        steps += [piece, hold if hold and at <= late < at + len(piece) else 0.002]
    return [*steps, events(stop(model=model)) + DONE, END]


def _torn(text: str, dice: random.Random, most: int) -> Iterator[str]:
    return (piece for _, piece in _places(text, dice, most))


def _places(whole: str | bytes, dice: random.Random, most: int) -> Iterator[tuple[int, str | bytes]]:
    at = 0
    while at < len(whole):
        size = dice.randint(1, most)
        yield at, whole[at:at + size]
        at += size


class Watch:
    """A browser of one visitor, and all that happened in it that must not."""

    def __init__(self, browser: Browser, site: Site, **options: object) -> None:
        self.seen: list[str] = []
        self.has_policy = not options.get("bypass_csp")
        self.context: BrowserContext = browser.new_context(viewport={"width": 1360, "height": 1000}, **options)
        self.context.expose_binding("tell", lambda _, what: self.seen.append(what))
        self.context.add_init_script(TRIPWIRES)
        self.context.route(lambda url: not url.startswith(site.url + "/"), self._asked)
        self.context.on("page", self._watch)

    def _asked(self, route: Route) -> None:
        self.seen.append(f"request: {route.request.url}")
        route.abort()

    def _watch(self, page: Page) -> None:
        page.set_default_timeout(15_000)
        page.on("dialog", lambda dialog: (self.seen.append("dialog"), dialog.dismiss()))
        page.on("pageerror", lambda error: self.seen.append(f"error: {error}"))
        page.on("console", lambda message: self.seen.append(message.text) if "Content Security Policy" in message.text else None)
        page.on("websocket", lambda socket: self.seen.append(f"socket: {socket.url}"))
        page.on("popup", lambda popup: self.seen.append(f"window: {popup.url}"))
        page.on("download", lambda download: self.seen.append(f"download: {download.url}"))

    def open(self, url: str) -> Page:
        page = self.context.new_page()
        page.goto(url)
        return page

    def check(self, page: Page) -> None:
        """Nothing has happened, and nothing stands in the page that could."""
        page.wait_for_timeout(100)  # what was asked for and what runs late is told by then
        assert page.evaluate(AUDIT) == []
        assert self.seen == []


@pytest.fixture(params=["as served", "without the policy"])
def watch(request: pytest.FixtureRequest, browser: Browser, misled: Site) -> Iterator[Watch]:
    watch = Watch(browser, misled, bypass_csp=request.param != "as served")
    yield watch
    watch.context.close()


@pytest.fixture(scope="module")
def misled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server whose providers and whose source of company figures are all hostile."""
    with SourceServer(_filings) as source:
        addresses = {"SEC_CONTACT": "a@b.example", "SEC_BASE_URL": source.address, "SEC_FILES_BASE_URL": source.address}
        with Site(tmp_path_factory.mktemp("misled"), environ=addresses | {"STREAM_HEARTBEAT_S": "1"}) as site:
            yield site


FIGURES = {"Revenues": (365_817_000_000, "USD"), "NetIncomeLoss": (94_680_000_000, "USD"), "EarningsPerShareDiluted": (5.61, "USD/shares")}


def _filings(conversation: Conversation) -> None:
    """What the SEC would say of Apple's year 2021, with forms that are named by somebody else."""
    if conversation.path.endswith("company_tickers.json"):
        return conversation.json({"0": {"ticker": "AAPL", "cik_str": 320193}})
    closed, open_ended = payloads()
    shares = [mended(" ".join([*closed, *open_ended][number::3])) for number in range(3)]
    period = {"start": "2020-09-27", "end": "2021-09-25", "filed": "2021-10-29"}
    facts = {concept: {"units": {unit: [{"val": value, "form": f"10-K{share}"} | period]}}
             for (concept, (value, unit)), share in zip(FIGURES.items(), shares, strict=True)}
    conversation.json({"facts": {"us-gaap": facts}})


def stored(page: Page) -> list[dict]:
    """The conversation's messages as the API has them."""
    return page.request.get(page.url.replace("/c/", "/api/conversations/")).json()["messages"]


def mended(text: str) -> str:
    """As no database and no page could hold it otherwise."""
    return text.replace("\0", "\ufffd").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def test_there_are_two_hundred_payloads_and_more() -> None:
    closed, open_ended = payloads()
    assert len({*closed, *open_ended}) == len(closed) + len(open_ended) >= 200


def test_the_watch_sees_what_it_is_there_for(watch: Watch, misled: Site) -> None:
    """Put into a page as they are, the same payloads do run and ask: what passes below is our doing."""
    page = watch.open(misled.url)
    raw = ("<img src=x onerror=ran(1)><img src=https://elsewhere.invalid/x.png><p style='color:red'>x</p>"
           "<a href='javascript:ran(1)' id=link>x</a>")
    page.evaluate("(html) => document.querySelector('main').setHTMLUnsafe(html)", raw)
    page.evaluate("() => document.getElementById('link').click()")
    page.wait_for_timeout(200)
    happened = {what.split(" ")[0] for what in watch.seen}
    assert {"policy:"} <= happened and "script:" not in happened if watch.has_policy else {"script:", "request:"} <= happened
    assert len(page.evaluate(AUDIT)) >= 4


def test_no_answer_does_anything_while_it_is_written_and_afterwards(watch: Watch, misled: Site) -> None:
    page = watch.open(misled.url)
    for number, (text, name) in enumerate(zip(BATCHES, NAMES, strict=True)):
        reloaded = threading.Event() if number == 2 else None
        misled.first.play(*scattered(text, number, model=name, reasoning=BATCHES[number - 1], hold=reloaded))
        ask(page, f"{name} {number}")
        if reloaded:  # half an answer is drawn by the server
            expect(answer(page).locator(".block").nth(20)).to_be_attached()
            page.reload()
            expect(page.locator(".stop")).to_be_visible()
            reloaded.set()
        complete(page)
        watch.check(page)
    assert [message["content"] for message in stored(page) if message["role"] == "assistant"] == [mended(text) for text in BATCHES]
    page.reload()
    expect(page.locator(".answer")).to_have_count(len(BATCHES))
    watch.check(page)


def test_no_agent_does_anything_nor_does_its_verdict(watch: Watch, misled: Site) -> None:
    misled.first.default = _hostile_agents
    page = watch.open(misled.url)
    ask(page, "Should I invest in Apple for the next 3 years?")
    complete(page)
    misled.first.heal()
    expect(page.locator(".agent[data-state=done]")).to_have_count(len(NODES))
    watch.check(page)
    page.reload()
    page.evaluate("() => document.querySelectorAll('details').forEach((details) => details.open = true)")
    expect(page.locator(".agent-text").first).to_contain_text("ran(1)")
    watch.check(page)


def _hostile_agents(request: Received) -> Script:
    """Each agent writes another batch, and a verdict whose every word is a payload."""
    task = request.json()["messages"][-1]["content"].rsplit("Your task: ", 1)[1].split(".")[0]
    number = list(NODES).index(task)
    closed, _ = payloads()
    words = {name: "".join(closed[at::37]) for at, name in enumerate(("summary", "horizon", "invalidation"))}
    lists = {name: closed[at::41] for at, name in enumerate(("evidence", "risks"))}
    said = BATCHES[number] + ("" if number == len(NODES) - 1 else "\n```\n" + verdict(**words, **lists))
    return scattered(said, number, model=NAMES[number])


def test_no_source_does_anything_in_the_card_and_the_list_of_sources(watch: Watch, misled: Site) -> None:
    page = watch.open(misled.url)
    figures = "Apple's revenue was $365.8 billion, its net income $94.7 billion and its diluted earnings a share $5.61."
    misled.first.play(*scattered(figures, 1))
    ask(page, "How did Apple do?")
    complete(page)
    for _ in range(2):
        marked = page.locator(".answer .n[data-evidence]")
        expect(marked).to_have_count(len(FIGURES))
        for number in range(len(FIGURES)):
            marked.nth(number).focus()
            expect(page.locator("#evidence-card")).to_contain_text("ran(1)")
            assert page.evaluate(AUDIT) == []
        expect(page.locator(".sources")).to_contain_text("ran(1)")
        watch.check(page)
        page.reload()


def test_the_page_without_scripts_does_nothing_either(browser: Browser, misled: Site) -> None:
    """What needs no script (pictures, styles, frames, refreshes, forms) is asked for by nobody."""
    watch = Watch(browser, misled, java_script_enabled=False, bypass_csp=True)
    page = watch.open(misled.url)
    for number, text in enumerate(BATCHES):
        misled.first.play(*scattered(text, number))
        page.fill("#question", f"Number {number}")
        page.click(".send")
        expect(page.locator(".answer").last).to_contain_text("ran(1)")
    page.wait_for_timeout(100)
    assert page.locator("main :is(script, style, link, meta, base, img, iframe, object, embed, video, audio, [style])").count() == 0
    assert watch.seen == [] and page.url.startswith(misled.url)
    watch.context.close()
