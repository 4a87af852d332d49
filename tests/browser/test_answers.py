"""An answer in the page: streamed, kept over reloads, cuts and switches, stopped, shared between tabs."""

import re
import threading
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site
from tests.browser.proxy import Proxy
from tests.support.fake_provider import (
    CUT,
    DONE,
    END,
    STALL,
    chunk,
    events,
    ok,
    stop,
    tokens,
    whole,
)
from tests.support.server import Server

Open = Callable[..., Page]

MARKDOWN = """# Apple in 2022

Fell **26.4 %** and cost $5, then $6.

| Year | Return |
|------|-------:|
| 2022 | −26 %  |

- one
- two

```python
x = 1

y = 2
```

The end ✓ 𝄞."""


def say(text: str, pause: float = 0.0, pieces: int = 7, *, hold: threading.Event | None = None) -> list:
    """A script that sends `text` in pieces of a few characters, the last of them once `hold` is set."""
    parts = [text[at:at + pieces] for at in range(0, len(text), pieces)]
    steps: list = [ok(), events(chunk("", role="assistant"))]
    for part in parts:
        steps += [pause, events(chunk(part))] if pause else [events(chunk(part))]
    if hold is not None:
        steps.insert(-1, hold)
    return [*steps, events(stop()), DONE, END]


def ask(page: Page, text: str) -> None:
    page.fill("#question", text)
    page.keyboard.press("Enter")


def answer(page: Page):
    return page.locator(".answer").last


def complete(page: Page, status: str = "complete"):
    expect(answer(page)).to_have_attribute("data-status", status, timeout=20_000)
    return answer(page)


def prose(page: Page) -> str:
    """The answer's HTML without the boxes a live one has."""
    return page.evaluate("""() => {
        const body = [...document.querySelectorAll(".answer [data-slot=body]")].at(-1).cloneNode(true);
        body.querySelector(".tail").remove();
        body.querySelectorAll(".group, .block").forEach((box) => box.replaceWith(...box.childNodes));
        return body.innerHTML.replace(/>\\s+</g, "><").trim();
    }""")


def text_of(page: Page) -> str:
    return re.sub(r"\s+", " ", answer(page).locator("[data-slot=body]").text_content()).strip()


def numbered(count: int) -> str:
    return " ".join(f"word{number}" for number in range(count))


def test_an_answer_streams_in_and_history_shows_the_same(site: Site, open_page: Open) -> None:
    site.first.play(*say(MARKDOWN, pause=0.02))
    page = open_page(site.url)
    ask(page, "How did Apple do?")
    expect(page.locator(".answer .tail")).not_to_be_empty()
    expect(page.locator(".stop")).to_be_visible()
    expect(page.locator(".answer h3")).to_have_text("Apple in 2022")
    expect(answer(page)).to_have_attribute("data-status", "streaming")
    complete(page)
    live = prose(page)
    assert "<table>" in live and "y = 2" in live and "𝄞" in live
    expect(answer(page).locator("[data-slot=body]")).to_contain_text("$5, then $6")
    expect(page.locator("[data-slot=maker]").last).to_have_text("groq · fake-1")
    expect(page.locator("[role=status]")).to_have_text("Answer complete")
    expect(page).to_have_url(re.compile(r"/c/\w+$"))
    expect(page.locator("#rail .days a")).to_have_text(["How did Apple do?"])
    page.reload()
    complete(page)
    assert prose(page) == live


PLACES = """() => {
    const body = document.querySelector(".answer [data-slot=body]");
    const { top } = body.getBoundingClientRect();
    return [...body.querySelectorAll(":is(h3, h4, h5, p, li, pre, table, hr, blockquote)")]
        .map((each) => [each.localName, each.textContent.slice(0, 12), Math.round(each.getBoundingClientRect().top - top)]);
}"""


def test_everything_stands_where_it_stands_after_a_reload(site: Site, open_page: Open) -> None:
    parts = ["# First", "Text.", "## Second", "### Third", "Text.", "---", "## After a rule", "- one\n- two", "> Said.", "```\ncode\n```", "#### Small", "Text."]
    text = "\n\n".join([*parts, *parts[2:6], *parts[:6], *parts])  # the first group of blocks ends with a rule, the second begins with a heading
    site.first.play(*say(text, pieces=40))
    page = open_page(site.url, viewport={"width": 1360, "height": 4000})
    ask(page, "Where is what?")
    complete(page)
    expect(page.locator(".answer .group")).to_have_count(3)
    live = page.evaluate(PLACES)
    page.reload()
    expect(page.locator(".answer .group")).to_have_count(0)
    assert page.evaluate(PLACES) == live


def test_a_reload_in_the_middle_goes_on_without_a_lost_or_doubled_character(site: Site, open_page: Open) -> None:
    expected = "\n\n".join(numbered(30) for _ in range(4))
    reloaded = threading.Event()
    site.first.play(*say(expected, pause=0.02, hold=reloaded))
    page = open_page(site.url)
    ask(page, "Count")
    for _ in range(3):
        page.wait_for_timeout(250)
        page.reload()
        expect(page.locator(".stop")).to_be_visible()
    reloaded.set()
    complete(page)
    assert text_of(page) == re.sub(r"\s+", " ", expected)
    assert len(site.first.requests) and page.locator(".answer").count() == 1
    site.first.play(*say("Next."))
    page.fill("#question", "And then?")
    page.keyboard.press("Enter")
    expect(page.locator(".question")).to_have_count(2)
    assert page.locator(".asking").last.evaluate("turn => getComputedStyle(turn).borderTopWidth") == "1px", "set apart as ever"


def test_what_is_written_from_right_to_left_is_shown_so(site: Site, open_page: Open) -> None:
    site.first.play(*say("مخاطر سهم AAPL أعلى."))
    page = open_page(site.url)
    ask(page, "ما هي مخاطر AAPL؟")
    complete(page)
    for place in (".question", ".answer .prose p"):
        left, right = page.locator(place).first.evaluate("""element => {
            const range = document.createRange(), box = element.getBoundingClientRect();
            range.selectNodeContents(element);
            const text = range.getBoundingClientRect();
            return [text.left - box.left, box.right - text.right];
        }""")
        assert right < 2 < left, place


def test_a_cut_connection_is_told_and_the_answer_goes_on(site: Site, proxy: Proxy, open_page: Open) -> None:
    expected = numbered(150)
    site.first.play(*say(expected, pause=0.015))
    page = open_page(f"http://127.0.0.1:{proxy.port}")
    ask(page, "Count")
    expect(page.locator(".answer .tail")).to_contain_text("word5 ")
    proxy.refusing = True
    proxy.cut()
    expect(page.locator("[data-slot=connection]")).to_contain_text("The answer goes on at the server")
    proxy.refusing = False
    complete(page)
    expect(page.locator("[data-slot=connection]")).to_be_hidden()
    assert text_of(page) == expected


def test_a_connection_that_went_silent_is_left_for_another(site: Site, proxy: Proxy, open_page: Open) -> None:
    expected = numbered(200)
    site.first.play(*say(expected, pause=0.015))
    page = open_page(f"http://127.0.0.1:{proxy.port}")
    ask(page, "Count")
    expect(page.locator(".answer .tail")).to_contain_text("word5 ")
    page.wait_for_timeout(900)  # the connections that brought the page are idle by then
    proxy.freeze()
    complete(page)
    assert text_of(page) == expected


def test_an_offline_browser_says_so_and_wakes_when_it_is_back(site: Site, proxy: Proxy, open_page: Open) -> None:
    expected = numbered(150)
    site.first.play(*say(expected, pause=0.015))
    page = open_page(f"http://127.0.0.1:{proxy.port}")
    ask(page, "Count")
    expect(page.locator(".answer .tail")).to_contain_text("word5 ")
    page.context.set_offline(True)
    proxy.cut()
    expect(page.locator("[data-slot=connection]")).to_contain_text("You are offline", timeout=20_000)
    page.context.set_offline(False)
    complete(page)
    assert text_of(page) == expected


def test_a_provider_that_breaks_off_is_replaced_and_its_text_taken_back(site: Site, open_page: Open) -> None:
    seen = threading.Event()
    site.first.play(ok(), events(chunk("", role="assistant")), events(chunk("Lost 𝄞 beginning.\n\nMore")), seen, CUT)
    site.second.play(*say("The whole answer.\n\nWith its second paragraph.", pause=0.02))
    page = open_page(site.url)
    ask(page, "Tell me")
    expect(page.locator(".answer .block")).to_have_text("Lost 𝄞 beginning.")
    seen.set()
    complete(page)
    assert text_of(page) == "The whole answer. With its second paragraph."
    expect(page.locator(".answer .note")).to_have_count(1)
    live = prose(page)
    page.reload()
    complete(page)
    assert prose(page) == live
    expect(page.locator(".answer .note")).to_have_count(1)


def test_stop_keeps_the_text_and_closes_the_provider(site: Site, open_page: Open) -> None:
    site.first.play(ok(), events(*tokens(20)), STALL)
    page = open_page(site.url)
    ask(page, "Go on for ever")
    expect(page.locator(".answer .tail")).to_contain_text("word19")
    page.click(".stop")
    stopped = complete(page, "stopped")
    expect(stopped.locator("[data-slot=ended]")).to_have_text("stopped by you")
    expect(page.locator("#question")).to_be_focused()
    assert "word19" in text_of(page)
    assert site.first.requests[-1].closed_at is not None


def test_escape_stops(site: Site, open_page: Open) -> None:
    site.first.play(ok(), events(*tokens(5)), STALL)
    page = open_page(site.url)
    ask(page, "Go on for ever")
    expect(page.locator(".answer .tail")).to_contain_text("word4")
    page.keyboard.press("Escape")
    complete(page, "stopped")


def test_an_error_has_a_way_out(site: Site, open_page: Open) -> None:
    refusal = {"error": {"message": "secret provider text", "code": "content_filter", "type": "invalid_request_error"}}
    site.first.play(whole(400, refusal))
    page = open_page(site.url)
    ask(page, "Something")
    failed = complete(page, "error")
    expect(failed.locator(".fault")).to_be_visible()
    assert "secret provider text" not in page.content()
    site.first.play(*say("Now it works."))
    failed.locator(".fault button").click()
    complete(page)
    assert text_of(page) == "Now it works."
    assert page.locator(".question").count() == 1


def test_a_second_tab_follows_the_same_answer(site: Site, open_page: Open) -> None:
    site.first.play(*say("First."))
    one = open_page(site.url)
    ask(one, "One")
    complete(one)
    two = one.context.new_page()
    two.goto(one.url)
    expected = numbered(90)
    site.first.play(*say(expected, pause=0.015))
    ask(one, "Two")
    expect(two.locator(".question")).to_have_text(["One", "Two"])
    expect(two.locator(".stop")).to_be_visible()
    complete(one)
    complete(two)
    assert text_of(two) == text_of(one) == expected
    two.locator(".edit summary").last.click()
    expect(two.locator(".editor textarea").last).to_be_focused()


def test_again_and_edit_make_versions_one_can_go_back_to(site: Site, open_page: Open) -> None:
    for text in ("First answer.", "Second answer.", "Edited answer."):
        site.first.play(*say(text))
    page = open_page(site.url)
    ask(page, "Question")
    complete(page)
    page.locator(".acts [data-again] button").click()
    expect(answer(page).locator("[data-slot=body]")).to_contain_text("Second answer.")
    complete(page)
    expect(answer(page).locator("[data-slot=version]")).to_have_text("2/2")
    answer(page).locator("[data-slot=older]").click()
    expect(answer(page).locator("[data-slot=body]")).to_have_text("First answer.")
    page.wait_for_load_state()  # by then its scripts are at work
    page.locator(".edit summary").click()
    expect(page.locator(".editor textarea")).to_be_focused()
    page.keyboard.type(", or not")
    page.keyboard.press("Escape")
    expect(page.locator(".editor textarea")).to_be_hidden()
    expect(page.locator(".edit summary")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".editor textarea")).to_be_focused()
    expect(page.locator(".editor textarea")).to_have_value("Question")
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type("Edited question")
    page.keyboard.press("Enter")
    complete(page)
    expect(page.locator("#question")).to_be_focused()
    expect(page.locator(".question")).to_have_text(["Edited question"])
    expect(page.locator(".asked [data-slot=version]")).to_have_text("2/2")
    page.locator(".asked [data-slot=older]").click()
    expect(page.locator(".question")).to_have_text(["Question"])
    expect(answer(page).locator("[data-slot=body]")).to_have_text("Second answer.")


def test_the_next_question_goes_below_the_version_that_is_shown(site: Site, open_page: Open) -> None:
    for text in ("First answer.", "Second answer.", "Third."):
        site.first.play(*say(text))
    page = open_page(site.url)
    ask(page, "Question")
    complete(page)
    page.locator(".acts [data-again] button").click()
    expect(answer(page).locator("[data-slot=version]")).to_have_text("2/2")
    answer(page).locator("[data-slot=older]").click()
    expect(answer(page).locator("[data-slot=body]")).to_have_text("First answer.")
    page.wait_for_load_state()  # by then its scripts are at work
    ask(page, "And then?")
    expect(answer(page).locator("[data-slot=body]")).to_have_text("Third.")
    complete(page)
    said = [message["content"] for message in site.first.requests[-1].json()["messages"]]
    assert "First answer." in said and "Second answer." not in said


def test_what_a_model_writes_never_becomes_markup(site: Site, open_page: Open) -> None:
    evil = ("<img src=https://elsewhere.invalid/x onerror=alert(1)>\n\n<script>document.title='owned'</script>\n\n"
            "![p](https://elsewhere.invalid/p.gif) [l](javascript:alert(1)) [bank](https://elsewhere.invalid/)\n\n")
    site.first.play(*say(evil, pause=0.01))
    page = open_page(site.url)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: asked.append("dialog"))
    ask(page, "<b>Bold?</b>")
    complete(page)
    page.reload()
    complete(page)
    assert not [url for url in asked if "elsewhere" in url or url == "dialog"]
    assert page.locator(".prose img, .prose script").count() == 0
    expect(page.locator(".question")).to_have_text("<b>Bold?</b>")
    expect(page.locator(".prose .host").last).to_have_text("(elsewhere.invalid)")
    assert page.title() == "<b>Bold?</b> · Tickertape"


def test_a_rate_limit_counts_down_and_keeps_what_was_typed(site: Site, open_page: Open) -> None:
    page = open_page(site.url)
    refusal = {"status": 429, "headers": {"Retry-After": "2"}, "json": {"error": {"code": "rate_limited", "message": "Too many questions."}}}
    page.route("**/api/chat/stream", lambda route: route.fulfill(**refusal))
    ask(page, "Typed with care")
    expect(page.locator("[role=status]")).to_have_text("Too many questions.")
    expect(page.locator("[data-slot=connection]")).to_contain_text("You can ask again in")
    expect(page.locator("#question")).to_have_value("Typed with care")
    expect(page.locator(".send")).to_be_disabled()
    assert page.locator(".answer").count() == 0
    expect(page.locator(".empty")).to_be_visible()
    page.unroute("**/api/chat/stream")
    site.first.play(*say("At last."))
    expect(page.locator(".send")).to_be_enabled()
    page.locator(".send").click()
    complete(page)
    assert text_of(page) == "At last."


def test_a_server_that_answers_json_is_shown_all_the_same(site: Site, open_page: Open) -> None:
    site.first.play(*say("**Whole** at once."))
    page = open_page(site.url)
    page.route("**/api/chat/stream", lambda route: route.continue_(headers=route.request.headers | {"accept": "application/json"}))
    ask(page, "Json, please")
    complete(page)
    assert text_of(page) == "Whole at once."


def test_reasoning_is_folded_away_from_the_answer(site: Site, open_page: Open) -> None:
    thinking = chunk(None, reasoning_content="Let me think.")
    site.first.play(ok(), events(thinking, chunk("The answer.")), events(stop()), DONE, END)
    page = open_page(site.url)
    ask(page, "Think")
    complete(page)
    assert text_of(page) == "The answer."
    expect(page.locator(".reasoning-text")).to_be_hidden()
    page.locator(".reasoning summary").click()
    expect(page.locator(".reasoning-text")).to_have_text("Let me think.")


def test_twenty_thousand_tokens_cost_the_same_at_the_end_as_at_the_start(site: Site, open_page: Open) -> None:
    """The page's own work per token (Chromium's TaskDuration), early against late, with the answer in view.

    Other processes on the machine disturb single measurements, so one of three has to hold.
    """
    for _ in range(3):
        early, late = _early_and_late(site, open_page)
        print(f"\n  {early * 1e6:.0f} µs a token early, {late * 1e6:.0f} µs late")
        if late <= early * 1.5:
            return
    pytest.fail("the page slows down as the answer grows")


def _early_and_late(site: Site, open_page: Open) -> tuple[float, float]:
    page = open_page(site.url)
    batches = 400
    words = ["alpha ", "beta ", "gamma ", "delta. "]

    def batch(number: int) -> bytes:
        pieces = [chunk(words[each % 4] if each % 50 else "\n\n") for each in range(1, 51)]
        return events(*pieces)

    script: list = [ok(), events(chunk("", role="assistant"))]
    for number in range(batches):
        script += [batch(number), 0.015]
    site.first.play(*script, events(stop()), DONE, END)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def spent() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")

    ask(page, "At length")
    samples: list[tuple[int, float]] = []
    until = time.monotonic() + 90
    while time.monotonic() < until:
        blocks, status = page.evaluate(
            "() => [document.querySelectorAll('.answer .block').length, document.querySelector('.answer')?.dataset.status]")
        samples.append((blocks * 50, spent()))
        if status == "complete":
            break
        time.sleep(0.125)
    assert samples[-1][0] >= 19_950

    def per_token(start: int, end: int) -> float:
        inside = [sample for sample in samples if start <= sample[0] <= end]
        return (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0])

    return per_token(1_500, 6_500), per_token(14_500, 19_500)


TOP = "() => [...document.querySelectorAll('.question')].at(-1).getBoundingClientRect().top"
SCROLLED = "() => document.scrollingElement.scrollTop"
LEFT = "() => document.scrollingElement.scrollHeight - document.scrollingElement.scrollTop - innerHeight"


def test_a_question_stands_at_the_top_and_its_answer_grows_below_it(site: Site, open_page: Open) -> None:
    page = open_page(site.url)
    for number in range(3):
        site.first.play(*say("\n\n".join(numbered(20) for _ in range(12)), pause=0.005, pieces=60))
        ask(page, f"Question {number}")
        expect(page.locator(".question").last).to_have_text(f"Question {number}")
        if number:
            page.wait_for_function(f"() => ({TOP})() < 100")
        at = page.evaluate(SCROLLED)
        complete(page)
        assert abs(page.evaluate(SCROLLED) - at) < 3
        assert 50 < page.evaluate(TOP) < 110
    site.first.play(*say("Short."))
    ask(page, "Last question")
    complete(page)
    assert 50 < page.evaluate(TOP) < 110


def test_an_answer_that_comes_at_once_leaves_the_reader_at_the_question(keyless: Server, open_page: Open) -> None:
    page = open_page(keyless.url)
    for name in ("Apple", "Coca-Cola"):
        ask(page, f"How risky is {name}?")
        complete(page)
        expect(page.locator(".mk-figure").last).to_be_attached()
        page.wait_for_timeout(200)
        assert 50 < page.evaluate(TOP) < 160


def test_the_page_follows_the_end_only_while_the_reader_is_there(site: Site, open_page: Open) -> None:
    site.first.play(*say("\n\n".join(numbered(20) for _ in range(1000)), pause=0.015, pieces=60))
    page = open_page(site.url)
    ask(page, "At length")
    page.wait_for_function(f"() => ({LEFT})() > 500")
    expect(page.locator(".latest")).to_be_visible()
    assert page.evaluate(SCROLLED) < 50
    page.mouse.move(600, 400)
    page.mouse.wheel(0, 90_000)
    expect(page.locator(".latest")).to_be_hidden()
    at = page.evaluate(SCROLLED)
    page.wait_for_function(f"() => ({SCROLLED})() > {at + 200}")
    page.mouse.wheel(0, -600)
    expect(page.locator(".latest")).to_be_visible()
    at = page.evaluate(SCROLLED)
    page.mouse.wheel(0, 60)
    page.wait_for_function(f"() => ({SCROLLED})() > {at}")
    page.wait_for_timeout(500)
    assert abs(page.evaluate(SCROLLED) - at - 60) < 40
    page.locator(".latest").click()
    page.wait_for_function(f"() => ({LEFT})() < 100")
    page.locator(".stop").click()
    complete(page, "stopped")


def test_a_browser_that_is_still_scrolling_to_the_old_end_does_not_end_following(site: Site, open_page: Open) -> None:
    site.first.play(*say("\n\n".join(numbered(20) for _ in range(1000)), pause=0.015, pieces=60))
    page = open_page(site.url)
    ask(page, "At length")
    page.wait_for_function(f"() => ({LEFT})() > 500")
    page.evaluate("""() => addEventListener("scroll", () => {
        const known = document.scrollingElement.scrollTop;
        setTimeout(() => scrollTo(0, known), 100);
        setTimeout(() => { document.body.dataset.known = known; }, 150);
    }, { once: true })""")
    page.mouse.move(600, 400)
    page.mouse.wheel(0, 90_000)
    page.wait_for_function("() => document.body.dataset.known")
    page.wait_for_function(f"() => ({SCROLLED})() > Number(document.body.dataset.known) + 800")
    page.locator(".stop").click()
    complete(page, "stopped")


def test_a_server_killed_in_the_middle_comes_back_with_the_answer(open_page: Open, tmp_path) -> None:
    with Site(tmp_path, environ={"WORKER_GONE_S": "1"}) as own:
        own.first.play(*say(numbered(200), pause=0.02))
        page = open_page(own.url)
        ask(page, "Count")
        expect(page.locator(".answer .tail")).to_contain_text("word9 ")
        own.kill()
        expect(page.locator("[data-slot=connection]")).to_contain_text("trying again")
        own.first.forget()
        own.first.play(*say("The answer, again from the start.", pause=0.01))
        own.start()
        complete(page)
        assert text_of(page) == "The answer, again from the start."
        expect(page.locator(".answer .note")).to_be_visible()


def test_no_stream_is_opened_for_a_finished_answer(site: Site, open_page: Open) -> None:
    site.first.play(*say("Done."))
    page = open_page(site.url)
    ask(page, "Quick")
    complete(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    page.wait_for_timeout(300)
    assert not [url for url in asked if "/api/chat/" in url]
