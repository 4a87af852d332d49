"""The page itself: keyboard, palette, phone, themes, print, no script, policy, contrast."""

import http.client
import re
import threading
from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Site
from tests.browser.test_answers import answer, ask, complete, prose, say
from tests.support.fake_provider import CUT, DONE, END, chunk, events, ok, stop, whole
from tests.support.server import Server

Open = Callable[..., Page]


def test_enter_asks_shift_enter_breaks_the_line_and_composition_is_left_alone(site: Site, open_page: Open) -> None:
    site.first.play(*say("Yes."))
    page = open_page(site.url)
    page.focus("#question")
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    page.evaluate("""() => document.querySelector("#question").dispatchEvent(
        new KeyboardEvent("keydown", { key: "Enter", isComposing: true, bubbles: true, cancelable: true }))""")
    assert page.locator(".answer").count() == 0
    page.keyboard.press("Enter")
    complete(page)
    assert site.first.requests[-1].json()["messages"][-1]["content"] == "one\ntwo"
    expect(page.locator("#question")).to_have_value("")
    expect(page.locator("#question")).to_be_focused()


def test_a_question_that_is_too_long_is_kept_and_told_and_not_asked(site: Site, open_page: Open) -> None:
    site.first.play(*say("Yes."))
    page = open_page(site.url)
    sent: list[dict] = []
    page.on("request", lambda request: sent.append(request.post_data_json) if request.url.endswith("/api/chat/stream") else None)
    question, too_much, send = page.locator("#question"), page.locator("#composer [aria-live]"), page.locator(".send")
    question.focus()
    page.keyboard.insert_text("word " * 6_399 + "𝄞" * 5 + "xy")
    expect(too_much).to_have_text("2 characters too many: a question has at most 32,000.")
    expect(question).to_have_accessible_description(re.compile("2 characters too many"))
    expect(send).to_be_disabled()
    page.keyboard.press("Enter")
    page.keyboard.press("Backspace")
    expect(too_much).to_have_text("1 character too many: a question has at most 32,000.")
    page.keyboard.press("Backspace")
    expect(too_much).to_be_empty()
    expect(send).to_be_enabled()
    page.keyboard.press("Enter")
    complete(page)
    assert [body["message"] for body in sent] == ["word " * 6_399 + "𝄞" * 5]


def test_a_question_that_is_too_long_when_edited_is_told_too(site: Site, open_page: Open) -> None:
    for text in ("Yes.", "No."):
        site.first.play(*say(text))
    page = open_page(site.url)
    ask(page, "Question")
    complete(page)
    editor, too_much, again = (page.locator(f".editor {each}") for each in ("textarea", "[aria-live]", "button"))
    page.locator(".edit summary").click()
    expect(editor).to_be_focused()
    page.keyboard.insert_text("x" * 32_000)
    expect(too_much).to_have_text("8 characters too many: a question has at most 32,000.")
    expect(again).to_be_disabled()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(editor).to_be_hidden()
    page.keyboard.press("Enter")
    expect(editor).to_be_focused()
    expect(editor).to_have_value("Question")
    expect(too_much).to_be_empty()
    page.keyboard.type(", or not")
    page.keyboard.press("Enter")
    expect(page.locator(".question")).to_have_text(["Question, or not"])
    expect(complete(page).locator("[data-slot=body]")).to_have_text(re.compile("No."))


def test_what_was_typed_is_there_after_a_reload_until_it_is_asked(site: Site, open_page: Open) -> None:
    written = threading.Event()
    site.first.play(*say("First answer.", hold=written))
    page = open_page(site.url)
    question = page.locator("#question")
    question.fill("A draft")
    page.reload()
    expect(question).to_have_value("A draft")
    question.press("Enter")
    expect(question).to_have_value("")
    question.fill("Typed while it answers")
    expect(page).to_have_url(re.compile(r"/c/\w+$"))
    written.set()
    complete(page)
    conversation = page.url
    page.goto(site.url)
    expect(question).to_have_value("")
    question.fill("Another")
    page.goto(conversation)
    expect(question).to_have_value("Typed while it answers")
    site.first.play(*say("Second answer."))
    question.press("Enter")
    expect(page.locator(".question")).to_have_count(2)
    complete(page)
    page.reload()
    expect(page.locator(".question")).to_have_count(2)
    expect(question).to_have_value("")
    page.goto(site.url)
    expect(question).to_have_value("Another")


def test_a_browser_that_keeps_nothing_can_ask_all_the_same(site: Site, open_page: Open) -> None:
    site.first.play(*say("Yes."))
    page = open_page(site.url)
    page.add_init_script("Object.defineProperty(window, 'sessionStorage', { get() { throw new DOMException('no', 'SecurityError'); } })")
    page.reload()
    ask(page, "Anything?")
    complete(page)


def test_assistant_and_context_travel_with_the_question_and_are_shown(site: Site, open_page: Open) -> None:
    site.first.play(*say("Yes."))
    page = open_page(site.url)
    page.select_option("#composer [name=assistantType]", "trader")
    page.fill("#composer [name=symbols]", "aapl, brk.b")
    page.select_option("[name=timeframe]", "3y")
    page.select_option("[name=riskTolerance]", "moderate")
    sent: list[dict] = []
    page.on("request", lambda request: sent.append(request.post_data_json) if request.url.endswith("/api/chat/stream") else None)
    ask(page, "Levels?")
    complete(page)
    assert sent[0]["assistantType"] == "trader"
    assert sent[0]["context"] == {"symbols": ["AAPL", "BRK.B"], "timeframe": "3y", "riskTolerance": "moderate"}
    chips = ["Trader", "AAPL", "BRK.B", "3 years", "Moderate risk"]
    expect(page.locator(".asked .chip")).to_have_text(chips)
    page.reload()
    expect(page.locator(".asked .chip")).to_have_text(chips)
    expect(page.locator(".symbols button")).to_have_text(["AAPL ×", "BRK.B ×"])
    page.locator(".symbols button").first.click()
    expect(page.locator(".symbols button")).to_have_text(["BRK.B ×"])


def test_provider_and_model_can_be_chosen_for_a_turn(site: Site, open_page: Open) -> None:
    site.second.play(*say("From the second."))
    page = open_page(site.url)
    menu = page.locator("#composer [name=answerer]")
    expect(menu).to_have_value("")
    assert menu.locator("optgroup").evaluate_all("groups => groups.map((group) => group.label)") == ["groq: ready", "openai: ready"]
    menu.select_option("openai/second-model")
    sent: list[dict] = []
    page.on("request", lambda request: sent.append(request.post_data_json) if request.url.endswith("/api/chat/stream") else None)
    ask(page, "Who are you?")
    expect(complete(page).locator("[data-slot=body]")).to_have_text(re.compile("From the second."))
    assert (sent[0]["provider"], sent[0]["model"]) == ("openai", "second-model")
    site.first.play(*say("From the first."))
    menu.select_option("")
    page.locator(".acts [data-again] button").click()
    expect(complete(page).locator("[data-slot=body]")).to_have_text(re.compile("From the first."))
    assert "provider" not in sent[1] and "model" not in sent[1]


def test_the_line_about_the_providers_is_that_of_now(open_page: Open, tmp_path) -> None:
    with Site(tmp_path) as own:
        page = open_page(own.url)
        line, light = page.locator(".who [data-slot=provider-line]"), page.locator(".who .dot")
        expect(line).to_have_text("groq ready, openai behind it")
        own.first.play(whole(401, {"error": {"message": "no", "code": "invalid_api_key"}}))
        read = threading.Event()
        own.second.play(*say("From the second.", hold=read))
        ask(page, "Who answers?")
        expect(page.locator(".answer .note")).to_be_visible()
        expect(line).to_have_text("openai ready; groq does not answer now")
        expect(light).to_have_attribute("data-state", "degraded")
        read.set()
        complete(page)
        own.second.play(whole(401, {"error": {"message": "no", "code": "invalid_api_key"}}))
        ask(page, "And now?")
        complete(page, "error")
        expect(line).to_have_text("No model answers now; groq and openai do not answer now")
        expect(light).to_have_attribute("data-state", "down")


def test_without_scripts_the_model_can_be_chosen_too(site: Site, open_page: Open) -> None:
    site.second.play(*say("From the second."))
    page = open_page(site.url, java_script_enabled=False)
    page.fill("#question", "Who are you?")
    page.select_option("[name=answerer]", "openai/second-model")
    page.click(".send")
    expect(page.locator(".answer .prose")).to_have_text(re.compile("From the second."))


def test_nothing_is_offered_where_only_the_desk_can_answer(keyless: Server, open_page: Open) -> None:
    expect(open_page(keyless.url).locator("[name=answerer]")).to_have_count(0)


def test_the_palette_finds_conversations_and_switches_the_assistant(site: Site, open_page: Open) -> None:
    for _ in range(2):
        site.first.play(*say("Yes."))
    page = open_page(site.url)
    ask(page, "Über Bonds")
    complete(page)
    page.goto(site.url)
    ask(page, "About shares")
    complete(page)
    page.keyboard.press("Control+k")
    expect(page.locator("#palette input")).to_be_focused()
    page.keyboard.type("uber")
    expect(page.locator("#palette [role=option]")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator(".question")).to_have_text("Über Bonds")
    page.wait_for_load_state()
    page.keyboard.press("Control+k")
    page.keyboard.type("risk man")
    page.keyboard.press("Enter")
    expect(page.locator("#composer [name=assistantType]")).to_have_value("riskManager")
    expect(page.locator("#question")).to_be_focused()
    page.keyboard.press("Control+k")
    page.keyboard.type("zzz")
    expect(page.locator(".palette-none")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#palette")).to_be_hidden()


def test_a_conversation_can_be_renamed_exported_and_deleted(site: Site, open_page: Open) -> None:
    site.first.play(*say("Yes."))
    page = open_page(site.url)
    ask(page, "Old name")
    complete(page)
    page.locator("[data-slot=menu] > summary").click()
    expect(page.locator("a[download]").first).to_have_attribute("href", re.compile(r"/api/conversations/\w{26}/export\?format=md"))
    page.fill(".rename [name=title]", "New name")
    page.locator(".rename button").click()
    expect(page.locator("#rail .days a")).to_have_text(["New name"])
    expect(page).to_have_title("New name · Tickertape")
    page.locator("[data-slot=menu] > summary").click()
    page.locator(".sure > summary").click()
    page.locator(".sure .danger").click()
    expect(page.locator(".empty h2")).to_be_visible()
    expect(page.locator("#rail .days a")).to_have_count(0)


def test_a_starter_question_asks_at_once(keyless: Server, open_page: Open) -> None:
    page = open_page(keyless.url)
    expect(page.locator(".keyless")).to_contain_text("GROQ_API_KEY")
    page.locator(".starters button").first.click()
    complete(page)
    expect(page.locator(".question")).to_have_text("What is a drawdown?")
    expect(page.locator(".empty")).to_have_count(0)
    expect(answer(page).locator("[data-slot=body]")).to_contain_text("drawdown")


def test_a_workflow_is_drawn_as_it_runs_and_the_same_after_a_reload(keyless: Server, open_page: Open) -> None:
    page = open_page(keyless.url)
    page.locator(".starters button").nth(2).click()
    expect(page.locator(".flow .agent")).to_have_count(5)
    expect(page.locator(".stage").first.locator(".agent")).to_have_count(3)
    complete(page)
    expect(page.locator("[data-slot=flow-fold]")).not_to_have_attribute("open", "")
    words = [".agent-head b", ".agent-view", ".agent-verdict", ".flow-total", ".flow-verdict", ".sources li"]
    seen = [page.locator(each).all_text_contents() for each in words]
    assert all(seen) and "".join(seen[4])
    page.reload()
    complete(page)
    assert [page.locator(each).all_text_contents() for each in words] == seen
    page.locator(".flow-head").click()
    page.locator(".agent summary").first.click()
    expect(page.locator(".agent-text").first).to_be_visible()


def test_a_workflow_that_is_over_before_the_page_draws_it_is_folded_too(keyless: Server, open_page: Open) -> None:
    page = open_page(keyless.url)
    page.evaluate("() => { window.requestAnimationFrame = (draw) => setTimeout(draw, 2000); }")
    page.locator(".starters button").nth(2).click()
    complete(page)
    expect(page.locator(".flow .agent")).to_have_count(5)
    expect(page.locator("[data-slot=flow-fold]")).not_to_have_attribute("open", "")


def test_a_debate_reads_in_turns_and_the_same_after_a_reload(keyless: Server, open_page: Open) -> None:
    page = open_page(keyless.url)
    page.select_option("[name=workflow]", "marketDebate")
    ask(page, "Bull or bear on Apple?")
    complete(page)
    speakers = page.locator('.flow[data-kind="debate"] .agent:not([data-speaker=""])')
    assert speakers.evaluate_all("cards => cards.map((card) => card.dataset.speaker)") == ["bull", "bear", "bull", "bear"]
    for number in range(4):
        expect(speakers.nth(number).locator("[data-slot=agent-text] p").first).to_be_visible()
    bull, bear, answering = (speakers.nth(number).bounding_box() for number in range(3))
    assert abs(bull["y"] - bear["y"]) < 2 and bear["x"] > bull["x"] + bull["width"] and answering["y"] >= bull["y"] + bull["height"]
    live = page.locator(".flow").inner_text()
    page.reload()
    assert page.locator(".flow").inner_text() == live
    page.set_viewport_size({"width": 390, "height": 844})
    left = {round(speakers.nth(number).bounding_box()["x"]) for number in range(4)}
    assert len(left) == 1


def test_an_agents_text_is_rendered_once_it_is_opened(keyless: Server, open_page: Open) -> None:
    page = open_page(keyless.url)
    page.locator(".starters button").nth(2).click()
    complete(page)
    page.locator(".flow-head").click()
    page.locator(".agent summary").first.click()
    expect(page.locator("[data-slot=maker]")).to_have_text("Built-in desk")
    expect(page.locator("[data-slot=speed]")).to_have_text("")
    text = page.locator("[data-slot=agent-text]").first
    expect(text.locator("p").first).to_be_visible()
    assert "**" not in text.inner_text()
    seen = text.inner_html()
    page.reload()
    page.locator(".flow-head").click()
    page.locator(".agent summary").first.click()
    assert text.inner_html() == seen


def test_what_will_run_is_told_before_and_one_click_answers_directly(keyless: Server, open_page: Open) -> None:
    page = open_page(keyless.url)
    sent: list[dict] = []
    page.on("request", lambda request: sent.append(request.post_data_json) if request.url.endswith("/api/chat/stream") else None)
    page.fill("#question", "What is beta?")
    page.wait_for_timeout(700)
    expect(page.locator(".plan")).to_be_hidden()
    page.fill("#question", "Should I invest in Apple for the next 3 years?")
    expect(page.locator(".plan span")).to_have_text("Investment research will run: five agents")
    page.fill("#question", "Compare Apple, Microsoft and Coca-Cola as investments")
    expect(page.locator(".plan span")).to_have_text("Asset comparison will run: six agents")
    page.click("[data-direct]")
    complete(page)
    expect(page.locator(".plan")).to_be_hidden()
    expect(page.locator(".flow")).to_have_count(0)
    assert sent[0]["workflow"] == "off"


def test_answer_directly_stops_the_agents_and_answers_beside(site: Site, open_page: Open) -> None:
    for _ in range(3):
        site.first.play(ok(), events(chunk("The agent begins")), 30)
    page = open_page(site.url)
    ask(page, "Should I invest in Apple for the next 3 years?")
    expect(page.locator('.agent[data-state="running"]')).to_have_count(3)
    while len(site.first.requests) < 3:  # an agent runs a moment before its provider is asked
        page.wait_for_timeout(20)
    site.first.forget()
    site.first.play(*say("A direct answer."))
    page.locator("[data-action=direct]").click()
    expect(page.locator(".flow")).to_have_count(0)
    expect(complete(page).locator("[data-slot=body]")).to_have_text(re.compile("A direct answer."))
    expect(page.locator(".question")).to_have_count(1)
    expect(answer(page).locator("[data-slot=version]")).to_have_text("2/2")
    answer(page).locator("[data-slot=older]").click()
    expect(page.locator(".flow")).to_have_attribute("data-state", "stopped")
    expect(page.locator("[data-action=direct]")).to_be_hidden()


def test_a_figure_tells_where_it_is_from_to_pointer_and_keyboard(keyless: Server, open_page: Open) -> None:
    page = open_page(keyless.url)
    page.locator(".starters button").nth(1).click()
    complete(page)
    figure = page.locator(".n[data-evidence]").first
    figure.hover()
    expect(page.locator("#evidence-card")).to_be_visible()
    expect(page.locator("#evidence-card")).to_contain_text("Source")
    page.keyboard.press("Escape")
    expect(page.locator("#evidence-card")).to_be_hidden()
    figure.focus()
    expect(page.locator("#evidence-card")).to_be_visible()
    expect(figure).to_have_attribute("aria-describedby", "evidence-card")
    page.locator(".sources summary").click()
    expect(page.locator(".sources li").first).to_be_visible()


def test_a_figure_without_a_source_says_so_to_pointer_and_keyboard(site: Site, open_page: Open) -> None:
    site.first.play(*say("The volatility of AAPL was 45.5 %, and $182 is a target."))
    page = open_page(site.url)
    ask(page, "How did AAPL do?")
    complete(page)
    card = page.locator("#evidence-card")
    for _ in range(2):
        figures = page.locator(".n.open")
        expect(figures).to_have_text(["45.5 %", "$182"])
        figures.first.hover()
        expect(card).to_contain_text("45.5 %")
        expect(card).to_contain_text("No source for this figure")
        expect(card).to_contain_text("No figure of the evidence has this value.")
        page.keyboard.press("Escape")
        expect(card).to_be_hidden()
        figures.first.focus()
        expect(figures.first).to_have_accessible_description(re.compile("No source for this figure"))
        page.keyboard.press("Tab")
        expect(figures.nth(1)).to_be_focused()
        expect(card).to_contain_text("$182")
        page.reload()


def bring(figure: Locator, y: float) -> None:
    """Scroll the page under a pointer that rests, until the figure's middle is at `y`."""
    figure.evaluate("""(figure, y) => {
        const { top, bottom } = figure.getBoundingClientRect();
        scrollBy({ top: (top + bottom) / 2 - y, behavior: "instant" });
    }""", y)


def test_the_card_opens_only_for_a_pointer_that_moves(keyless: Server, open_page: Open) -> None:
    page = open_page(keyless.url, viewport={"width": 1360, "height": 500})
    page.locator(".starters button").nth(1).click()
    complete(page)
    figure, card = page.locator(".n[data-evidence]").first, page.locator("#evidence-card")
    bring(figure, 90)
    box = figure.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, 200)
    page.evaluate("""() => document.addEventListener("pointerover", ({ target }) => { document.body.dataset.over = Boolean(target.closest("[data-evidence]")); })""")
    bring(figure, 200)
    expect(page.locator("body")).to_have_attribute("data-over", "true")
    expect(card).to_be_hidden()
    page.mouse.move(box["x"] + box["width"] / 2 + 1, 200)
    expect(card).to_be_visible()


def test_the_card_never_covers_the_composer(keyless: Server, open_page: Open) -> None:
    page = open_page(keyless.url, viewport={"width": 1360, "height": 700})
    page.locator(".starters button").nth(1).click()
    complete(page)
    figure, card, dock = page.locator(".n[data-evidence]").last, page.locator("#evidence-card"), page.locator(".dock")
    edge = dock.bounding_box()["y"]
    bring(figure, edge - 200)
    figure.hover()
    expect(card).to_be_visible()
    page.evaluate("() => addEventListener('scroll', () => { document.body.dataset.scrolled = Math.round(scrollY); })")
    for y in (edge - 140, edge - 80, edge - 20, edge + 40):
        bring(figure, y)
        page.wait_for_function("() => document.body.dataset.scrolled == Math.round(scrollY)")
        seen = card.bounding_box() if card.is_visible() else None
        assert (seen is None) == (y > edge)
        assert seen is None or seen["y"] + seen["height"] <= edge


def test_evidence_a_model_names_is_a_numbered_note_and_never_raw(site: Site, open_page: Open) -> None:
    text = "It fell [AAPL:total_return] [^GSPC:made_up] with a beta (AAPL:beta, AAPL:total_return).\n\nAgain `AAPL:beta`. "
    site.first.play(*say(text + "More words. " * 12, pause=0.01, pieces=3))
    page = open_page(site.url)
    page.evaluate("""() => {
        window.raw = [];
        const look = () => { const text = document.querySelector(".answer [data-slot=body]")?.textContent ?? ""; if (/AAPL:|GSPC|total_|beta,|made_/.test(text)) window.raw.push(text); };
        new MutationObserver(look).observe(document.querySelector("[data-slot=transcript]"), { childList: true, characterData: true, subtree: true });
    }""")
    ask(page, "How did AAPL do?")
    complete(page)
    assert page.evaluate("() => window.raw") == []
    notes = page.locator(".prose sup.ref")
    expect(notes).to_have_text(["1", "2", "1", "2"])
    card = page.locator("#evidence-card")
    notes.first.hover()
    expect(card).to_contain_text("Total return")
    expect(card).to_contain_text("prod(1 + r) - 1")
    expect(card).to_contain_text(re.compile(r"\d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d"))
    page.keyboard.press("Escape")
    expect(card).to_be_hidden()
    notes.nth(1).focus()
    expect(card).to_contain_text("Beta")
    page.locator(".question").click()
    expect(card).to_be_hidden()
    page.locator(".sources summary").click()
    expect(page.locator(".sources li b")).to_have_text([re.compile("Total return"), re.compile("Beta")])
    page.reload()
    expect(page.locator(".prose sup.ref")).to_have_text(["1", "2", "1", "2"])
    assert "AAPL:beta" not in prose(page).replace('data-evidence="AAPL:beta"', "")


def test_the_drawer_works_on_a_phone_with_and_without_scripts(site: Site, open_page: Open) -> None:
    for scripts in (True, False):
        page = open_page(site.url, viewport={"width": 390, "height": 844}, java_script_enabled=scripts)
        expect(page.locator("#rail")).to_be_hidden()
        page.locator(".rail-open").click()
        expect(page.locator("#rail .new")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#rail")).to_be_hidden()


@pytest.mark.parametrize(("width", "height"), [(390, 844), (320, 568), (680, 500), (1360, 1000)])
def test_nothing_is_wider_than_the_window(site: Site, open_page: Open, width: int, height: int) -> None:
    """680 × 500 is 1360 × 1000 at 200 %; 320 px is 1280 px at 400 %."""
    site.first.play(*say("| a | b |\n|---|---|\n| " + "x" * 300 + " | y |\n\n```\n" + "z" * 400 + "\n```\n\n" + "w" * 200))
    page = open_page(site.url, viewport={"width": width, "height": height})
    ask(page, "Wide? " + "q" * 90)
    complete(page)
    assert page.evaluate("() => document.scrollingElement.scrollWidth") <= width


def test_dark_and_light_can_be_chosen_and_are_kept(site: Site, open_page: Open) -> None:
    page = open_page(site.url)
    background = "() => getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.locator("[data-action=theme]").click()
    dark = page.evaluate(background)
    assert dark != light
    page.reload()
    assert page.evaluate(background) == dark


CONTRAST = """() => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const style = getComputedStyle(document.body);
    const luminance = (name) => {
        const probe = document.createElement("i");
        probe.style.color = `var(${name})`;
        document.body.append(probe);
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = getComputedStyle(probe).color;
        canvas.fillRect(0, 0, 1, 1);
        probe.remove();
        const linear = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((value) => {
            const part = value / 255;
            return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    };
    const ratio = (a, b) => {
        const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
        return (high + 0.05) / (low + 0.05);
    };
    const pairs = [];
    for (const ground of ["--page", "--surface", "--side", "--accent-soft", "--care-soft"])
        for (const ink of ["--text", "--text-quiet"]) pairs.push([ink, ground, ratio(ink, ground), 4.5]);
    for (const ground of ["--page", "--surface", "--side"]) {
        for (const ink of ["--text-faint", "--accent", "--up", "--down"]) pairs.push([ink, ground, ratio(ink, ground), 4.5]);
        pairs.push(["--field-edge", ground, ratio("--field-edge", ground), ground === "--side" ? 2.9 : 3]);
    }
    pairs.push(["--care", "--page", ratio("--care", "--page"), 3]);
    return pairs.filter(([, , found, wanted]) => found < wanted);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_ink_can_be_read_on_every_ground(site: Site, open_page: Open, scheme: str) -> None:
    page = open_page(site.url, color_scheme=scheme)
    assert page.evaluate(CONTRAST) == []


def test_every_control_has_a_name_and_the_page_its_landmarks(site: Site, open_page: Open) -> None:
    site.first.play(*say("Yes."))
    page = open_page(site.url)
    ask(page, "Named?")
    complete(page)
    nameless = page.evaluate("""() => [...document.querySelectorAll("button, input:not([type=hidden]), select, textarea, summary, a")]
        .filter((control) => !(control.ariaLabel || control.textContent.trim() || control.labels?.length || control.title))
        .map((control) => control.outerHTML)""")
    assert nameless == []
    for landmark in ("nav[aria-label]", "main", "[role=status]", "article[aria-label]"):
        assert page.locator(landmark).count() == 1
    assert page.locator("h1").count() == 1


def test_the_status_line_is_not_told_every_token(site: Site, open_page: Open) -> None:
    site.first.play(*say("word " * 60, pause=0.01))
    page = open_page(site.url)
    page.evaluate("""() => {
        window.said = [];
        const status = document.querySelector("[role=status]");
        new MutationObserver(() => window.said.push(status.textContent)).observe(status, { childList: true, characterData: true, subtree: true });
    }""")
    ask(page, "Quietly")
    complete(page)
    assert page.evaluate("() => window.said") == ["Asking", "Answering", "Answer complete"]


def test_tab_goes_through_the_page_in_reading_order(site: Site, open_page: Open) -> None:
    page = open_page(site.url)
    page.evaluate("() => document.activeElement?.blur()")
    order = []
    for _ in range(24):
        page.keyboard.press("Tab")
        order.append(page.evaluate("() => document.activeElement.className || document.activeElement.name || document.activeElement.id"))
    wanted = ["skip", "mark", "new", "quiet find needs-script", "quiet needs-script"]
    assert order[:5] == wanted
    assert order.index("message") < order.index("assistantType") < order.index("symbols") < order.index("button send")


def test_print_shows_the_article_alone(site: Site, open_page: Open) -> None:
    site.first.play(*say("Printed words."))
    page = open_page(site.url)
    ask(page, "On paper")
    complete(page)
    page.emulate_media(media="print")
    for selector in ("#rail", ".bar", ".dock", ".acts"):
        expect(page.locator(selector).first).to_be_hidden()
    expect(page.locator(".question")).to_be_visible()
    expect(page.locator(".prose")).to_be_visible()


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere(site: Site) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", site.port)
    for path, status in (("/", 200), ("/c/nothing", 404)):
        connection.request("GET", path)
        response = connection.getresponse()
        html = response.read().decode()
        assert response.status == status
        policy = response.headers["Content-Security-Policy"]
        assert re.search("default-src '(self|none)'", policy) and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", html)
        assert not re.findall(r'(?:src|href)="(?:https?:)?//', html)


# ---- without JavaScript

def test_without_scripts_an_answer_streams_in_as_html(site: Site, open_page: Open) -> None:
    """Read at the socket: the first block is there while the provider has not sent the second."""
    read = threading.Event()
    site.first.play(ok(), events(chunk("First *block*.\n\n")), read, events(chunk("Second."), stop()) + DONE + END)
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=10)
    connection.request("GET", "/")
    home = connection.getresponse()
    cookie = home.headers["Set-Cookie"].split(";")[0]
    token = re.search(r'name="csrf" value="([^"]+)"', home.read().decode())[1]
    fields = {"csrf": token, "message": "No script, please", "assistantType": "trader", "symbols": "KO; PEP", "timeframe": "1y"}
    connection.request("POST", "/ask", urlencode(fields), {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie})
    response = connection.getresponse()
    assert response.status == 200
    seen = b""
    while b"First <em>block</em>." not in seen:
        seen += response.read1(65536)
    assert b"Second." not in seen and b"No script, please" in seen and b"</html>" not in seen
    read.set()
    seen += response.read()
    assert b"<p>Second.</p>" in seen and seen.rstrip().endswith(b"</html>")
    assert seen.count(b"First <em>block</em>.") == 1
    assert b"groq" in seen and b">KO</li>" in seen and b'data-status="streaming"' in seen
    cookie = response.headers.get("Set-Cookie", cookie).split(";")[0]
    connection.request("GET", "/", headers={"Cookie": cookie})
    assert b"No script, please" in connection.getresponse().read()


def test_without_scripts_one_can_ask_go_on_edit_and_delete(site: Site, open_page: Open) -> None:
    for text in ("**First** answer.", "Second answer.", "Edited answer.", "Another answer."):
        site.first.play(*say(text))
    page = open_page(site.url, java_script_enabled=False)
    page.fill("#question", "First question")
    page.click(".send")
    expect(page.locator(".answer strong")).to_have_text("First")
    page.fill("#question", "Second question")
    page.click(".send")
    expect(page.locator(".answer .prose")).to_have_text([re.compile("First answer."), re.compile("Second answer.")])
    page.locator(".edit summary").last.click()
    page.locator(".editor textarea").last.fill("Edited question")
    page.locator(".editor button").last.click()
    expect(page.locator(".question")).to_have_text(["First question", "Edited question"])
    page.locator(".acts [data-again] button").last.click()
    expect(page.locator(".answer .prose").last).to_have_text(re.compile("Another answer."))
    page.wait_for_load_state()
    page.locator(".versions [data-slot=older]:visible").last.click()
    expect(page.locator(".answer .prose").last).to_have_text(re.compile("Edited answer."))
    page.locator("[data-slot=menu] > summary").click()
    page.locator(".sure > summary").click()
    page.locator(".sure .danger").click()
    expect(page.locator(".empty h2")).to_be_visible()


def test_without_scripts_what_a_switch_discarded_is_hidden(site: Site, open_page: Open) -> None:
    site.first.play(ok(), events(chunk("Lost beginning.\n\nMore")), 0.3, CUT)
    site.second.play(*say("Whole answer."))
    page = open_page(site.url, java_script_enabled=False)
    page.fill("#question", "Tell me")
    page.click(".send")
    expect(page.get_by_text("Whole answer.")).to_be_visible()
    expect(page.get_by_text("Lost beginning.")).to_be_hidden()


def test_without_scripts_a_refused_question_is_kept_in_the_field(site: Site, open_page: Open) -> None:
    page = open_page(site.url, java_script_enabled=False)
    page.fill("#question", "Typed with care")
    page.fill("#composer [name=symbols]", ",".join(f"S{number}" for number in range(21)))
    page.click(".send")
    expect(page.locator(".note")).to_contain_text("at most 20 symbols")
    expect(page.locator("#question")).to_have_value("Typed with care")


def test_who_is_signed_in_is_shown_and_can_leave(open_page: Open, tmp_path) -> None:
    with Server(tmp_path, environ={"AUTH": "password", "REGISTRATION": "1"}) as own:
        page = open_page(own.url)
        expect(page).to_have_url(re.compile(r"/login"))
        page.get_by_role("link", name="Make one").click()
        page.fill("[name=name]", "ann@example.org")
        page.fill("[name=password]", "three quiet words")
        page.get_by_role("button", name="Make the account").click()
        person = page.locator(".person > summary")
        expect(person).to_have_text("ann@example.org")
        page.wait_for_load_state()  # Escape is the script's
        person.click()
        page.keyboard.press("Escape")
        expect(page.locator(".person-menu")).to_be_hidden()
        person.click()
        page.get_by_role("link", name="Account", exact=True).click()
        expect(page.locator("h1")).to_have_text("Your account")
        page.goto(own.url)
        page.locator(".person > summary").click()
        page.get_by_role("button", name="Sign out").click()
        expect(page).to_have_url(re.compile(r"/login"))
