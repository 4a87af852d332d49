"""blueprints/answerers.py: who can answer, as the page says it."""

from blueprints.answerers import chosen, line, menu
from services.llm.service import ProviderState

GROQ = ProviderState("groq", ("llama", "openai/gpt-oss"), "closed")
AWAY = ProviderState("openai", ("gpt",), "open", "rate_limited", 11.2)
REFUSED = ProviderState("azure", ("dep",), "open", "auth")
DESK = ProviderState("offline", ("desk",), "closed")


def test_the_menu_tells_how_each_provider_is() -> None:
    labels = [entry["label"] for entry in menu([GROQ, AWAY, REFUSED, DESK])]
    assert labels == ["groq: ready", "openai: not answering now, back in 12 s", "azure: not answering now", "Built-in desk: no model"]
    assert menu([DESK]) == []


def test_a_models_name_may_hold_slashes() -> None:
    value, shown = menu([GROQ])[0]["models"][1]
    assert shown == "openai/gpt-oss" and chosen(value) == {"provider": "groq", "model": "openai/gpt-oss"}
    assert chosen("") == {}


def test_the_line_says_who_answers_and_who_does_not() -> None:
    assert line([GROQ, AWAY, DESK]) == {"state": "degraded", "text": "groq ready; openai does not answer now"}
    assert line([AWAY, REFUSED, DESK])["text"] == "No model answers now; openai and azure do not answer now"
    assert line([DESK])["state"] == "offline"
