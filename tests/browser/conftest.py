"""A real server between a real Chromium and two providers that play what a test tells them."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.proxy import Proxy
from tests.support.fake_provider import FakeProvider
from tests.support.server import Server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@dataclass
class Site(Server):
    """A server with two providers, which it asks in this order."""

    first: FakeProvider = field(default_factory=FakeProvider)
    second: FakeProvider = field(default_factory=FakeProvider)

    def __post_init__(self) -> None:
        self.environ = {
            "LLM_PRIORITY": "groq,openai", "LLM_OFFLINE": "0", "GROQ_API_KEY": "k1", "GROQ_BASE_URL": self.first.url,
            "GROQ_MODEL": "first-model", "OPENAI_API_KEY": "k2", "OPENAI_BASE_URL": self.second.url, "OPENAI_MODEL": "second-model",
        } | self.environ

    def __exit__(self, *exc_info: object) -> None:
        super().__exit__(*exc_info)
        self.first.close()
        self.second.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is not installed")
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("site"), environ={"STREAM_HEARTBEAT_S": "1"}) as site:
        yield site


@pytest.fixture
def site(shared_site: Site) -> Site:
    """The server every test shares; scripts that a test left unplayed are gone."""
    shared_site.first.forget()
    shared_site.second.forget()
    return shared_site


@pytest.fixture(scope="session")
def keyless(server: Server) -> Server:
    """A server with no key at all: the embedded desk answers."""
    return server


@pytest.fixture
def proxy(site: Site) -> Iterator[Proxy]:
    proxy = Proxy(site.port)
    yield proxy
    proxy.close()


@pytest.fixture(scope="session")
def window(browser: Browser) -> Iterator[BrowserContext]:
    """One for all visitors: each of their own would take as long as most tests. An empty page keeps it open."""
    with browser.new_context(viewport={"width": 1360, "height": 1000}) as context:
        context.new_page()
        yield context


@pytest.fixture
def open_page(browser: Browser, window: BrowserContext) -> Iterator[Callable[..., Page]]:
    """Opens pages of one new visitor; those with `options` are somebody else's. Errors in the console and violations of the
    CSP fail the test."""
    troubles: list[str] = []
    others: list[BrowserContext] = []

    def open_page(url: str, **options: object) -> Page:
        if options:
            others.append(browser.new_context(**options))
        page = (others or [window])[-1].new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
        page.on("console", lambda message: troubles.append(message.text) if "Content Security Policy" in message.text else None)
        page.goto(url)
        return page

    yield open_page
    for context in others:
        context.close()
    for page in window.pages[1:]:
        page.close()
    window.set_offline(False)
    window.set_storage_state({})
    assert not troubles
