"""Who can answer, as the page says it: the composer's menu and the line at the foot of the rail. Pure."""

import math
from collections.abc import Sequence

from services.llm.service import ProviderState

EMBEDDED = "offline"
EMBEDDED_NAME = "Built-in desk"
READY = "closed"


def menu(states: Sequence[ProviderState]) -> list[dict[str, object]]:
    """Every provider with its models, the embedded one last; nothing where there is no choice."""
    return [_entry(state) for state in states] if has_model(states) else []


def has_model(states: Sequence[ProviderState]) -> bool:
    return any(state.name != EMBEDDED for state in states)


def chosen(choice: str) -> dict[str, str]:
    """The menu's `provider/model` as fields of the contract; nothing for automatic. A model's name may hold slashes."""
    provider, _, model = choice.partition("/")
    return {name: value for name, value in (("provider", provider), ("model", model)) if value}


def line(states: Sequence[ProviderState]) -> dict[str, str]:
    """Who answers, who stands behind, and who does not answer now."""
    models = [state for state in states if state.name != EMBEDDED]
    if not models:
        return {"state": "offline", "text": "Built-in desk, no model configured"}
    ready = [state.name for state in models if state.state == READY]
    away = [state.name for state in models if state.state != READY]
    text = f"{ready[0]} ready" if ready else "No model answers now"
    if ready[1:]:
        text += f", {' and '.join(ready[1:])} behind it"
    if away:
        text += f"; {' and '.join(away)} {'do' if len(away) > 1 else 'does'} not answer now"
    return {"state": "degraded" if ready and away else "ready" if ready else "down", "text": text}


def _entry(state: ProviderState) -> dict[str, object]:
    name = EMBEDDED_NAME if state.name == EMBEDDED else state.name
    return {"id": state.name, "name": name, "label": f"{name}: {_how(state)}", "models": [
        (f"{state.name}/{model}", EMBEDDED_NAME if state.name == EMBEDDED else model) for model in state.models]}


def _how(state: ProviderState) -> str:
    """static/js/views/answerers.js says the same when the menu is opened."""
    if state.state == READY:
        return "no model" if state.name == EMBEDDED else "ready"
    return "not answering now" + (f", back in {math.ceil(state.retry_in)} s" if state.retry_in else "")
