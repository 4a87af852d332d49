"""What is told of the model providers, and whether a person's choice is one of them. Values in, values out."""

from collections.abc import Sequence

from services.errors import InvalidRequest
from services.llm.breaker import OPEN
from services.llm.config import OFFLINE
from services.llm.service import ProviderState


def can_be_tried(state: ProviderState) -> bool:
    """Whether a turn may still reach it: a circuit that opens by itself is tried when nobody else is left."""
    return state.state != OPEN or state.retry_in is not None


def shown(state: ProviderState) -> dict[str, object]:
    """For the page's menu and for operators. `reason` is a class of failure, `retryIn` in seconds."""
    entry: dict[str, object] = {"name": state.name, "models": list(state.models), "state": state.state, "embedded": state.name == OFFLINE}
    if state.reason:
        entry["reason"] = state.reason
    if state.retry_in is not None:
        entry["retryIn"] = round(state.retry_in, 1)
    return entry


def check_choice(states: Sequence[ProviderState], provider: str | None, model: str | None) -> None:
    """Raise InvalidRequest unless the choice is offered: before anything is written, not as the answer's error."""
    known = {state.name: state.models for state in states}
    if provider is not None and provider not in known:
        raise InvalidRequest(f"must be one of {', '.join(known)}", field="provider")
    models = known[provider] if provider else [name for names in known.values() for name in names]
    if model is not None and model not in models:
        raise InvalidRequest(f"must be one of {', '.join(models)}", field="model")
