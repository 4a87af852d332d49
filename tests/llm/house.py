"""A service with two fake providers, and a client that does what a page does with the deltas."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from services.cancellation import Cancellation
from services.llm.config import Clocks, LLMSettings, ProviderSettings
from services.llm.deltas import Began, Content, Finished, LLMRequest, Reasoning, Switched, ToolCall
from services.llm.service import LLMFailed, LLMService
from services.llm.trail import Trail
from tests.support.fake_provider import FakeProvider

FAST = Clocks(connect=0.5, headers=0.5, first_content=0.5, first_content_reasoning=2.0, between=0.5, turn=8.0, tail=0.2)
HELLO = "Hello from the fake."


class Embedded:
    """Stands in for the provider that needs no network."""

    name = "offline"
    model = "desk"

    def __init__(self) -> None:
        self.requests: list[LLMRequest] = []
        self.knows = True

    def can_answer(self, request: LLMRequest) -> bool:
        return self.knows

    def stream(self, request: LLMRequest, cancellation: Cancellation) -> Iterator[Content]:
        self.requests.append(request)
        yield Content("No model ")
        yield Content("answered.")


@dataclass
class Seen:
    """What the client has in the end: text, truncated where it was told to."""

    text: str = ""
    reasoning: str = ""
    tools: list[ToolCall] = field(default_factory=list)
    began: list[Began] = field(default_factory=list)
    switched: list[Switched] = field(default_factory=list)
    finished: Finished | None = None
    error: LLMFailed | None = None
    trail: Trail = field(default_factory=Trail)

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        return [(attempt.provider, attempt.outcome) for attempt in self.trail.attempts]


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class House:
    def __init__(self, names: tuple[str, ...] = ("first", "second"), *, offline: bool = False, keys: int = 1, clocks: Clocks = FAST, **options: object) -> None:
        self.fakes = {name: FakeProvider() for name in names}
        self.time = Time()
        self.pause = 0.01
        self.embedded = Embedded()
        self.options = options
        self.providers = [
            ProviderSettings(name, fake.url, f"{fake.url}/chat/completions", (f"{name}-model",), tuple(f"key-{name}-{number}" for number in range(keys)))
            for name, fake in self.fakes.items()
        ]
        self.settings = LLMSettings(tuple(self.providers), clocks, offline=offline, **{"read_interval": 0.01, **options})
        self.build()

    def build(self, **changes: object) -> LLMService:
        """The service anew, with changed settings; `provider_<name>` changes one provider's."""
        providers = tuple(replace(provider, **changes.pop(f"provider_{provider.name}", {})) for provider in self.settings.providers)
        self.settings = replace(self.settings, providers=providers, **changes)
        self.service = LLMService(self.settings, self.embedded, clock=self.time, jitter=lambda low, high: self.pause)
        return self.service

    def __getattr__(self, name: str) -> FakeProvider:
        return self.__dict__["fakes"][name]

    def ask(self, message: str = "How is Apple doing?", **fields: object) -> Seen:
        request = LLMRequest(**{"messages": [{"role": "user", "content": message}], **fields})
        seen = Seen()
        try:
            for delta in self.service.stream(request, Cancellation(), seen.trail):
                self._take(seen, delta)
        except LLMFailed as error:
            seen.error = error
        return seen

    def _take(self, seen: Seen, delta: object) -> None:
        assert seen.finished is None, "something came after the end"
        if isinstance(delta, Content):
            seen.text += delta.text
        elif isinstance(delta, Reasoning):
            seen.reasoning += delta.text
        elif isinstance(delta, ToolCall):
            seen.tools.append(delta)
        elif isinstance(delta, Began):
            seen.began.append(delta)
        elif isinstance(delta, Switched):
            seen.switched.append(delta)
            if delta.mode == "restart":
                seen.text, seen.reasoning, seen.tools = seen.text[: delta.discard_from], "", []
        elif isinstance(delta, Finished):
            seen.finished = delta

    def is_well(self) -> None:
        """A healthy request through the same service succeeds."""
        for fake in self.fakes.values():
            fake.heal()
        seen = self.ask()
        assert seen.text == HELLO and seen.finished.reason == "stop", seen

    def close(self) -> None:
        self.service.close()
        for fake in self.fakes.values():
            fake.close()
