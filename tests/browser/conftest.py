"""A real server between a real Chromium and two providers that play what a test tells them."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.proxy import Proxy
from tests.support.fake_provider import FakeProvider

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Site:
    """One gunicorn on a free port. `first` and `second` are the providers it asks, in this order."""

    def __init__(self, instance: Path, **environ: str) -> None:
        self.first, self.second = FakeProvider(), FakeProvider()
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = instance / "server.log"
        self._environ = os.environ | {"INSTANCE_DIR": str(instance), "PORT": str(self.port), "HOST": "127.0.0.1"} | environ
        self._process: subprocess.Popen | None = None

    def with_models(self) -> "Site":
        self._environ |= {
            "LLM_PRIORITY": "groq,openai", "LLM_OFFLINE": "0", "GROQ_API_KEY": "k1", "GROQ_BASE_URL": self.first.url,
            "GROQ_MODEL": "first-model", "OPENAI_API_KEY": "k2", "OPENAI_BASE_URL": self.second.url, "OPENAI_MODEL": "second-model",
        }
        return self

    def start(self) -> "Site":
        command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py"]
        self._process = subprocess.Popen(command, cwd=ROOT, env=self._environ, stdout=self._log.open("ab"), stderr=subprocess.STDOUT, start_new_session=True)
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{self.url}/healthz", timeout=1)
                return self
            except (urllib.error.URLError, OSError):
                time.sleep(0.125)
        raise AssertionError(f"the server did not start:\n{self._log.read_text()[-4000:]}")

    def kill(self) -> None:
        """As a power cut: no process of it gets to say anything."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
        self.first.close()
        self.second.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


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
    site = Site(tmp_path_factory.mktemp("site"), STREAM_HEARTBEAT_S="1").with_models().start()
    yield site
    site.stop()


@pytest.fixture
def site(shared_site: Site) -> Site:
    """The server every test shares; scripts that a test left unplayed are gone."""
    shared_site.first.forget()
    shared_site.second.forget()
    return shared_site


@pytest.fixture(scope="session")
def keyless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with no key at all: the embedded desk answers."""
    names = ("GROQ_API_KEY", "OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "OPENAI_BASE_URL", "GROQ_BASE_URL")
    site = Site(tmp_path_factory.mktemp("keyless"), **dict.fromkeys(names, "")).start()
    yield site
    site.stop()


@pytest.fixture
def proxy(site: Site) -> Iterator[Proxy]:
    proxy = Proxy(site.port)
    yield proxy
    proxy.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages of one new visitor. Errors in the console and violations of the CSP fail the test."""
    context = browser.new_context(viewport={"width": 1360, "height": 1000})
    troubles: list[str] = []

    def open_page(url: str, **options: object) -> Page:
        nonlocal context
        if options:
            context = browser.new_context(**options)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: troubles.append(f"error: {error}"))
        page.on("console", lambda message: troubles.append(message.text) if "Content Security Policy" in message.text else None)
        page.goto(url)
        return page

    yield open_page
    context.close()
    assert not troubles
