"""What is counted, for Prometheus. Nothing here is touched per token: attempts, requests and a sample a second.

Over several workers prometheus_client keeps one file a process in PROMETHEUS_MULTIPROC_DIR (see gunicorn.conf.py) and
whichever worker is asked adds them up; without that variable a process counts for itself.

No label holds text from outside: a model is one of the configured names or `other`, whatever a provider calls itself.
"""

import os
import time
from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from services.chat import ChatService
from services.completions import Completions
from services.llm.breaker import CLOSED, HALF_OPEN, OPEN
from services.llm.deltas import Attempt, Usage
from services.llm.failures import Failure
from services.llm.observer import Observer
from services.llm.prices import known_as
from services.llm.service import LLMService, ProviderState
from services.streams.service import Streams

OTHER = "other"
FIRST_TOKEN_S = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 8, 13, 20, 30, 60, 120)
TOKENS_PER_S = (1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000, 2000)
SHORTEST_S = 0.05  # an answer that came in one piece has no speed
MODEL = ("provider", "model")


class Metrics(Observer):
    """The counters of one process. `offered` are the configured models of each provider, the only ones that get a name."""

    def __init__(self, offered: Mapping[str, Sequence[str]]) -> None:
        self._offered = offered
        self._registry = CollectorRegistry()
        self._first_token = self._histogram("first_token_seconds", "From asking a provider to its first token.", MODEL, FIRST_TOKEN_S)
        self._speed = self._histogram("tokens_per_second", "Of whole answers, after the first token.", MODEL, TOKENS_PER_S)
        self._tokens = self._counter("tokens", "Tokens by kind: prompt, completion, or wasted on answers that were discarded.", (*MODEL, "kind"))
        self._cost = self._counter("cost_dollars", "Cost of tokens whose price is known.", MODEL)
        self._attempts = self._counter("attempts", "Attempts at a provider by outcome: answered, cancelled, or a class of failure.", (*MODEL, "outcome"))
        self._switches = self._counter("switches", "Switches from provider to provider by class of failure.", ("source", "target", "reason"))
        self._requests = self._counter("http_requests", "Responses begun, by endpoint and status.", ("endpoint", "status"))
        self._circuits = self._gauge("circuits", "Workers whose circuit to a provider is in a state.", "livesum", ("provider", "state"))
        self._streams = self._gauge("live_streams", "Answers being written, by door: chat turns, and completions of /v1.", "livesum", ("door",))
        self._readers = self._gauge("live_readers", "Open readers of turns.", "livesum")
        self._lag = self._gauge("log_lag_seconds", "Of the worker furthest behind: since the last commit of what live turns write.", "livemax")
        self._sampled = self._gauge("sampled_timestamp_seconds", "When the gauges above were last set, by the worker longest ago.", "livemin")

    # ---- what the LLM service tells

    def first_content(self, provider: str, model: str, ttft: float) -> None:
        self._first_token.labels(*self._label(provider, model)).observe(ttft)

    def switched(self, source: str, target: str, failure: Failure) -> None:
        self._switches.labels(source, target, failure.kind).inc()

    def attempt_ended(self, attempt: Attempt, usage: Usage | None) -> None:
        label = self._label(attempt.provider, attempt.model)
        self._attempts.labels(*label, attempt.outcome).inc()
        if usage is None:
            return
        self._spent(label, usage)
        writing = (attempt.duration_ms - (attempt.ttft_ms or 0)) / 1000
        if attempt.outcome == "answered" and writing >= SHORTEST_S:
            self._speed.labels(*label).observe(usage.completion_tokens / writing)

    def _spent(self, label: tuple[str, str], usage: Usage) -> None:
        kinds = ("wasted", "wasted") if usage.wasted else ("prompt", "completion")
        for kind, tokens in zip(kinds, (usage.prompt_tokens, usage.completion_tokens), strict=True):
            self._tokens.labels(*label, kind).inc(tokens)
        if usage.cost is not None:
            self._cost.labels(*label).inc(usage.cost)

    # ---- what the edge and the sampler tell

    def served(self, endpoint: str | None, status: int) -> None:
        """A response has begun; `endpoint` is None where no address matched."""
        self._requests.labels(endpoint or OTHER, str(status)).inc()

    def circuits(self, states: Sequence[ProviderState]) -> None:
        for found in states:
            for state in (CLOSED, HALF_OPEN, OPEN):
                self._circuits.labels(found.name, state).set(found.state == state)

    def live(self, *, turns: int, completions: int, readers: int, lag_s: float) -> None:
        self._streams.labels("chat").set(turns)
        self._streams.labels("completions").set(completions)
        self._readers.set(readers)
        self._lag.set(lag_s)
        self._sampled.set(time.time())

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format, of all workers."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)
        return generate_latest(together)

    # ----

    def _label(self, provider: str, model: str) -> tuple[str, str]:
        """Providers report longer names (gpt-4o-mini-2024-07-18) than they are configured with."""
        models = self._offered.get(provider)
        if models is None:
            return OTHER, OTHER
        return provider, known_as(model, models) or OTHER

    def _counter(self, name: str, text: str, labels: Sequence[str]) -> Counter:
        return Counter(f"tickertape_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, over_workers: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(f"tickertape_{name}", text, labels, registry=self._registry, multiprocess_mode=over_workers)

    def _histogram(self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float]) -> Histogram:
        return Histogram(f"tickertape_{name}", text, labels, registry=self._registry, buckets=buckets)


class Sampler:
    """Sets the gauges of this worker: once a second, so that another worker can show them, and when this one is asked."""

    def __init__(self, metrics: Metrics, chat: ChatService, streams: Streams, completions: Completions, llm: LLMService) -> None:
        self._metrics = metrics
        self._chat = chat
        self._streams = streams
        self._completions = completions
        self._llm = llm

    def sample(self) -> None:
        self._metrics.circuits(self._llm.states())
        self._metrics.live(turns=self._chat.running, completions=self._completions.running,
                           readers=self._streams.readers(), lag_s=self._chat.writer.behind())
