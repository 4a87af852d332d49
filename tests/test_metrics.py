"""What is counted, and that no label holds text from outside."""

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from services.llm.deltas import Attempt, Usage
from services.llm.failures import Failure
from services.llm.service import ProviderState
from services.metrics import Metrics

ATTEMPT = Attempt("groq", "llama-3", "answered", started_ms=0, ttft_ms=500, duration_ms=2500)
USAGE = Usage("groq", "llama-3", prompt_tokens=30, completion_tokens=100, cost=0.25)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics({"groq": ("llama-3", "llama-3-mini"), "offline": ("desk",)})


def read(metrics: Metrics) -> dict[str, dict[tuple[str, ...], float]]:
    """Samples by name, then by the values of their labels in the order of the labels' names."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            values = tuple(sample.labels[name] for name in sorted(sample.labels))
            found.setdefault(sample.name.removeprefix("tickertape_"), {})[values] = sample.value
    return found


def test_an_answer_is_an_attempt_its_tokens_its_cost_and_its_speed(metrics):
    metrics.first_content("groq", "llama-3", 0.5)
    metrics.attempt_ended(ATTEMPT, USAGE)
    found = read(metrics)
    assert found["attempts_total"] == {("llama-3", "answered", "groq"): 1}
    assert found["tokens_total"] == {("prompt", "llama-3", "groq"): 30, ("completion", "llama-3", "groq"): 100}
    assert found["cost_dollars_total"] == {("llama-3", "groq"): 0.25}
    assert found["first_token_seconds_sum"] == {("llama-3", "groq"): 0.5}
    assert found["tokens_per_second_sum"] == {("llama-3", "groq"): 50}  # 100 tokens in the 2 s after the first


def test_a_discarded_answers_tokens_are_wasted_and_have_no_speed(metrics):
    metrics.attempt_ended(replace(ATTEMPT, outcome="cut"), replace(USAGE, wasted=True))
    found = read(metrics)
    assert found["tokens_total"] == {("wasted", "llama-3", "groq"): 130}
    assert "tokens_per_second_count" not in found


def test_an_attempt_that_sent_nothing_spent_nothing(metrics):
    metrics.attempt_ended(replace(ATTEMPT, outcome="auth", ttft_ms=None), None)
    assert read(metrics)["attempts_total"] == {("llama-3", "auth", "groq"): 1}
    assert "tokens_total" not in read(metrics)


@pytest.mark.parametrize(("reported", "label"), [
    ("llama-3", "llama-3"), ("llama-3-2025-01-01", "llama-3"), ("llama-3-mini-v2", "llama-3-mini"), ("llama-3:latest", "llama-3"),
    ("llama-33", "other"), ("sk-secret", "other"), ("", "other"),
])
def test_a_model_is_counted_under_its_configured_name_or_as_other(metrics, reported, label):
    metrics.first_content("groq", reported, 0.1)
    assert read(metrics)["first_token_seconds_count"] == {(label, "groq"): 1}


def test_a_provider_that_is_not_configured_is_other(metrics):
    metrics.first_content("elsewhere", "llama-3", 0.1)
    assert read(metrics)["first_token_seconds_count"] == {("other", "other"): 1}


def test_a_switch_is_counted_by_its_class(metrics):
    metrics.switched("groq", "offline", Failure("rate_limited"))
    assert read(metrics)["switches_total"] == {("rate_limited", "groq", "offline"): 1}


def test_each_circuit_is_in_exactly_one_state(metrics):
    metrics.circuits([ProviderState("groq", ("llama-3",), "open", "auth")])
    metrics.circuits([ProviderState("groq", ("llama-3",), "half_open")])
    assert read(metrics)["circuits"] == {("groq", "closed"): 0, ("groq", "half_open"): 1, ("groq", "open"): 0}


def test_requests_are_counted_by_endpoint_not_by_address(metrics):
    metrics.served("chat.follow", 200)
    metrics.served(None, 404)
    assert read(metrics)["http_requests_total"] == {("chat.follow", "200"): 1, ("other", "404"): 1}
